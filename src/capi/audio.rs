//! `oh_audio`: 20 ms of one participant, as handed to the application.

use super::{call::oh_call, convert::c_text};
use crate::core::model::TrackKind;
use crate::session::{AudioFrame, Samples, Who};
use std::ffi::{c_char, c_void, CString};

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_track_kind {
    /// Sound of a microphone.
    OH_TRACK_AUDIO = 1,
    /// Video of a camera.
    OH_TRACK_VIDEO = 2,
    /// A screen.
    OH_TRACK_SCREEN_SHARE = 3,
    /// The sound of what is on a screen.
    OH_TRACK_SCREEN_SHARE_AUDIO = 4,
}

impl From<TrackKind> for oh_track_kind {
    fn from(kind: TrackKind) -> Self {
        match kind {
            TrackKind::Audio => Self::OH_TRACK_AUDIO,
            TrackKind::Video => Self::OH_TRACK_VIDEO,
            TrackKind::ScreenShare => Self::OH_TRACK_SCREEN_SHARE,
            TrackKind::ScreenShareAudio => Self::OH_TRACK_SCREEN_SHARE_AUDIO,
        }
    }
}

/// Form of sound.
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

/// Sound of one participant. Everything it points to is valid during the callback only (of a pulled
/// event: until oh_event_free).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_audio {
    /// sizeof(oh_audio) in the library; grows in later versions.
    pub size: u32,
    /// oh_audio_format: which of the three pointers below is set.
    pub format: i32,
    /// Who is heard.
    pub user_id: *const c_char,
    /// Names the participant; one user may be in a call more than once.
    pub session_id: *const c_char,
    /// OH_AUDIO_S16: frames * channels samples; else NULL.
    pub samples: *const i16,
    /// OH_AUDIO_F32: frames * channels samples; else NULL.
    pub samples_f32: *const f32,
    /// OH_AUDIO_OPUS: packet_size bytes; else NULL.
    pub packet: *const u8,
    /// Bytes at `packet`; 0 for other formats.
    pub packet_size: u32,
    /// Samples per channel: 20 ms of them; 0 for OH_AUDIO_OPUS.
    pub frames: u32,
    /// Samples per second and channel, as asked for in oh_call_options.
    pub rate: u32,
    /// Channels, as asked for in oh_call_options.
    pub channels: u32,
    /// RTP timestamp of the first sample, 48 kHz, wraps around.
    pub timestamp: u32,
    /// Loudness, 0.0 (silence) to 1.0; 0 for OH_AUDIO_OPUS.
    pub level: f32,
    /// oh_track_kind.
    pub kind: i32,
    /// Non-zero: invented to hide a loss (of OH_AUDIO_OPUS: packets before this one were lost).
    pub concealed: u32,
    /// Non-zero: the sender sent nothing (muted or discontinuous transmission); the samples are zero.
    pub silence: u32,
    /// Zero.
    pub reserved: u32,
    /// The track, as in oh_event_track; "" in protocols without such names.
    pub track_id: *const c_char,
}

/// Gets 20 ms of one participant, for every participant that is heard.
///
/// @param user_data  as in oh_call_handlers.
/// @param call       the call it belongs to.
/// @param audio      valid during the call only.
///
/// Runs on a callback thread; the callbacks of one call run one at a time. When it is too slow, the
/// oldest frames are dropped and counted (oh_call_stats.media_dropped); other calls are not delayed.
pub type oh_audio_handler = Option<unsafe extern "C" fn(user_data: *mut c_void, call: oh_call, audio: *const oh_audio)>;

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

/// The C form; valid as long as the frame is.
pub(super) fn view(frame: &AudioFrame) -> oh_audio {
    let text = frame.who.beside(AudioText::of);
    let name = |of: fn(&AudioText) -> &CString| text.map_or(c"".as_ptr(), |text| of(text).as_ptr());
    let (mut samples, mut samples_f32, mut packet) = (std::ptr::null(), std::ptr::null(), std::ptr::null());
    let (mut packet_size, mut total) = (0, 0);
    let format = match &frame.samples {
        Samples::S16(s) => {
            (samples, total) = (s.as_ptr(), s.len());
            oh_audio_format::OH_AUDIO_S16
        }
        Samples::F32(s) => {
            (samples_f32, total) = (s.as_ptr(), s.len());
            oh_audio_format::OH_AUDIO_F32
        }
        Samples::Opus(p) => {
            (packet, packet_size) = (p.as_ptr(), p.len());
            oh_audio_format::OH_AUDIO_OPUS
        }
    };
    oh_audio {
        size: size_of::<oh_audio>() as u32,
        format: format as i32,
        user_id: name(|text| &text.user_id),
        session_id: name(|text| &text.session_id),
        samples,
        samples_f32,
        packet,
        packet_size: packet_size as u32,
        frames: (total / usize::from(frame.channels.max(1))) as u32,
        rate: frame.rate,
        channels: u32::from(frame.channels),
        timestamp: frame.timestamp,
        level: frame.level,
        kind: oh_track_kind::from(frame.who.kind) as i32,
        concealed: u32::from(frame.concealed),
        silence: u32::from(frame.silence),
        reserved: 0,
        track_id: name(|text| &text.track_id),
    }
}
