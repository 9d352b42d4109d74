//! `oh_audio_frame`: 20 ms of one track, as handed to the application.

use super::{
    basic::oh_bool,
    call::oh_call,
    convert::c_text,
    people::{oh_track_source, oh_track_source_t},
    sized::sized,
};
use crate::media::clock::NtpTime;
use crate::session::{AudioFrame, Samples, Who};
use std::ffi::{c_char, c_void, CString};
use std::time::Duration;

/// Format of audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_audio_format {
    /// Interleaved 16-bit integers in the machine's byte order.
    OH_AUDIO_S16 = 0,
    /// Interleaved 32-bit floats, -1.0 to 1.0.
    OH_AUDIO_F32 = 1,
    /// Opus packets (RFC 6716), 48 kHz clock.
    OH_AUDIO_OPUS = 2,
}
pub type oh_audio_format_t = i32;

/// Audio of one track: 20 ms, or one Opus packet. Everything it points to is valid until the callback returns (of a
/// pulled event: until oh_event_free).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_audio_frame {
    /// sizeof(oh_audio_frame) in the library.
    pub size: usize,
    /// The user id of the participant.
    pub user_id: *const c_char,
    /// The session id of the participant; one user can be in a call more than once.
    pub session_id: *const c_char,
    /// The track, as in oh_track_info; "" in protocols without track ids.
    pub track_id: *const c_char,
    /// OH_AUDIO_S16: frames * channels samples; else NULL.
    pub samples_s16: *const i16,
    /// OH_AUDIO_F32: frames * channels samples; else NULL.
    pub samples_f32: *const f32,
    /// OH_AUDIO_OPUS: opus_packet_size bytes; else NULL.
    pub opus_packet: *const u8,
    /// Bytes at opus_packet; 0 for other formats.
    pub opus_packet_size: usize,
    /// Samples per channel, 20 ms; 0 for OH_AUDIO_OPUS. Alternates by one where 20 ms are no whole number of samples.
    pub frames: usize,
    /// When the first sample was captured: microseconds since 1970 by the clock of the sender, which is the same for all
    /// tracks of a participant; 0: the sender has not reported it (yet). Compare it with tracks of the same participant
    /// only: clocks of different machines differ.
    pub capture_time_us: i64,
    /// When the packet of the first sample arrived: microseconds since oh_call_join was called, by the clock of this
    /// machine, as oh_event.at_ms; 0: it was in no packet (concealed, silence). It aligns tracks of different
    /// participants.
    pub arrival_time_us: i64,
    /// RTP timestamp of the first sample, 48 kHz; wraps around. It counts samples of the sender. When the jitter buffer
    /// grows, a timestamp repeats; when it shrinks, some are skipped; after silence it may go back. It starts anew with
    /// another stream (reconnects of the sender).
    pub rtp_timestamp: u32,
    /// Which of samples_s16, samples_f32 and opus_packet is set.
    pub format: oh_audio_format_t,
    /// Samples per second and channel, as set in oh_call_options.
    pub sample_rate_hz: u32,
    /// Channels, as set in oh_call_options.
    pub channels: u32,
    /// What the track carries.
    pub source: oh_track_source_t,
    /// Audio level, 0.0 (silence) to 1.0; 0 for OH_AUDIO_OPUS.
    pub level: f32,
    /// Synthesised by packet-loss concealment (OH_AUDIO_OPUS: packets before this one were lost). Also at the beginning
    /// of a pause of the sender, before it is known that nothing was lost.
    pub concealed: oh_bool,
    /// The sender sent nothing (muted, or discontinuous transmission); the samples are zero, or fade to zero.
    pub silence: oh_bool,
}

sized!(oh_audio_frame to silence);

/// Called with 20 ms of one track's audio, for every track that is received.
///
/// A track begins with its first packet. 500 ms after the last one it pauses: no frames until packets arrive again.
/// To record tracks side by side, write each frame at its place by arrival_time_us, or by capture_time_us among the
/// tracks of one participant, advance by `frames`, and fill gaps with silence.
///
/// @param user_data  as in oh_call_handlers.
/// @param call       the call.
/// @param frame      valid until the handler returns.
///
/// Runs on a callback thread; the callbacks of one call run one at a time. When the handler is too slow, the oldest
/// frames are dropped and counted (oh_call_stats.audio_frames_dropped); other calls are not delayed.
pub type oh_audio_handler =
    Option<unsafe extern "C" fn(user_data: *mut c_void, call: oh_call, frame: *const oh_audio_frame)>;

/// The names of a track in C form; made once, and kept beside the names.
pub(super) struct AudioText {
    user_id: CString,
    session_id: CString,
    track_id: CString,
}

impl AudioText {
    fn of(who: &Who) -> Self {
        Self { user_id: c_text(&who.user_id), session_id: c_text(&who.session_id), track_id: c_text(&who.track_id) }
    }
}

/// Microseconds since 1970 of a sender's time, which counts from 1900 and begins anew in 2036: good until 2106. 0 is kept
/// for "not known".
fn unix_us(time: NtpTime) -> i64 {
    const UNIX_EPOCH: u64 = 2_208_988_800 << 32;
    let since = u128::from(time.0.wrapping_sub(UNIX_EPOCH));
    // 64 bits and 20 more, less 32: it fits.
    (((since * 1_000_000) >> 32) as i64).max(1)
}

/// Microseconds since the join; 0 is kept for "in no packet".
fn since_join_us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX).max(1)
}

/// The C form; valid as long as the frame is.
pub(super) fn view(frame: &AudioFrame) -> oh_audio_frame {
    let text = frame.who.beside(AudioText::of);
    let name = |of: fn(&AudioText) -> &CString| text.map_or(c"".as_ptr(), |text| of(text).as_ptr());
    let (mut samples_s16, mut samples_f32, mut opus_packet) = (std::ptr::null(), std::ptr::null(), std::ptr::null());
    let (mut opus_packet_size, mut total) = (0, 0);
    let format = match &frame.samples {
        Samples::S16(s) => {
            (samples_s16, total) = (s.as_ptr(), s.len());
            oh_audio_format::OH_AUDIO_S16
        }
        Samples::F32(s) => {
            (samples_f32, total) = (s.as_ptr(), s.len());
            oh_audio_format::OH_AUDIO_F32
        }
        Samples::Opus(p) => {
            (opus_packet, opus_packet_size) = (p.as_ptr(), p.len());
            oh_audio_format::OH_AUDIO_OPUS
        }
    };
    oh_audio_frame {
        size: size_of::<oh_audio_frame>(),
        user_id: name(|text| &text.user_id),
        session_id: name(|text| &text.session_id),
        track_id: name(|text| &text.track_id),
        samples_s16,
        samples_f32,
        opus_packet,
        opus_packet_size,
        frames: total / usize::from(frame.channels.max(1)),
        capture_time_us: frame.capture_time.map_or(0, unix_us),
        arrival_time_us: frame.arrival.map_or(0, since_join_us),
        rtp_timestamp: frame.timestamp,
        format: format as i32,
        sample_rate_hz: frame.rate,
        channels: u32::from(frame.channels),
        source: oh_track_source::from(frame.who.kind) as i32,
        level: frame.level,
        concealed: frame.concealed.into(),
        silence: frame.silence.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_times_count_from_1970() {
        assert_eq!(unix_us(NtpTime((2_208_988_800 + 5) << 32 | 1 << 31)), 5_500_000);
        assert_eq!(unix_us(NtpTime(2_208_988_800 << 32)), 1);
        // The second after the overflow of 2036.
        assert_eq!(unix_us(NtpTime(1 << 32)), ((1 << 32) - 2_208_988_800 + 1) * 1_000_000);
    }
}
