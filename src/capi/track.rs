//! `oh_track`: a local track, written at the application's pace, sent at the library's.

use super::{
    audio::{oh_audio_format, oh_audio_format_t},
    basic::oh_bool,
    call::oh_call,
    convert::{argument, give, number},
    handles::registry,
    library::timeout,
    objects::{find, owner, CallObject, TrackObject},
    people::{oh_track_source, oh_track_source_t},
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::core::model::TrackKind;
use crate::error::Result;
use crate::media::audio::{
    opus::{Application, EncoderConfig},
    send::AudioFormat,
};
use crate::session::TrackOptions;
use std::sync::Arc;

/// A local track: published by the local participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_track {
    /// Never used twice; 0: none.
    pub id: u64,
}

/// What is published, and how. Begin with OH_INIT(oh_audio_track_options).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_audio_track_options {
    /// sizeof(oh_audio_track_options).
    pub size: usize,
    /// What the track carries: OH_SOURCE_MICROPHONE or OH_SOURCE_SCREEN_SHARE_AUDIO; 0: OH_SOURCE_MICROPHONE.
    pub source: oh_track_source_t,
    /// Format of what will be written; 0: OH_AUDIO_S16. S16 and F32 may be mixed.
    pub format: oh_audio_format_t,
    /// Sample rate of what will be written in Hz, 8000 to 192000; 0: 48000.
    pub sample_rate_hz: u32,
    /// Channels of what will be written, 1 to 8; 0: 1. More than two are mixed down.
    pub channels: u32,
    /// Bit rate of Opus in bit/s, 6000 to 510000; 0: 64000, with music 128000.
    pub bitrate_bps: u32,
    /// Complexity of the Opus encoder, 1 to 10; 0: the library's choice; OH_ZERO: 0.
    pub complexity: u32,
    /// How much can be written ahead, in ms, 40 to 5000; 0: 200.
    pub buffer_ms: u32,
    /// Redundant audio (RED, RFC 2198), where the call and its SFU allow it: how many earlier frames are sent again with
    /// each packet, 1 or 2; 0: 1; OH_ZERO: none. A lost packet is then restored from the next one, at the cost of the
    /// bytes of the earlier frames.
    pub red_frames: u32,
    /// Music rather than speech.
    pub music: oh_bool,
    /// No discontinuous transmission: silence is sent as well. Otherwise as the settings of the call say; never for
    /// music.
    pub no_dtx: oh_bool,
    /// No forward error correction inside Opus packets. It is used only while redundant audio (red_frames) is not.
    pub no_fec: oh_bool,
    /// Publish it muted.
    pub muted: oh_bool,
    /// Live audio (a microphone, a bridge): at most 40 ms wait; beyond it the oldest is dropped and counted
    /// (oh_call_stats.audio_dropped_ms). Writing never returns OH_ERR_FULL.
    pub live: oh_bool,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_audio_track_options to reserved);

/// Publishes an audio track. Returns at once; OH_EVENT_LOCAL_TRACK_PUBLISHED or OH_EVENT_LOCAL_TRACK_FAILED is the
/// result. May be called before the call is joined. A call has up to 32 local tracks at a time, several of one source
/// included.
///
/// @param call     the call.
/// @param options  NULL: the defaults: mono, 16-bit, 48000 Hz.
/// @param track    receives the handle; free it with oh_track_free, or with the call.
/// @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_HANDLE; OH_ERR_STATE when the call is over; OH_ERR_REFUSED without
///                 OH_RIGHT_AUDIO (of a screen: OH_RIGHT_SCREEN_SHARE; before the rights are known, OH_EVENT_LOCAL_TRACK_FAILED with the same error);
///                 OH_ERR_CLOSED when the publisher was closed; OH_ERR_MEDIA; OH_ERR_ABI; OH_ERR_LIMIT
///                 when 32 tracks are published; OH_ERR_FULL when too many that are over were not freed, or are still
///                 being sent.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`; `track` must be NULL or
/// writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_publish_audio(
    call: oh_call,
    options: *const oh_audio_track_options,
    track: *mut oh_track,
) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        // SAFETY: by the caller's contract.
        let options = unsafe { read(options)? };
        let session = object.call()?.clone();
        // SAFETY: by the caller's contract.
        unsafe {
            give(track, "track", || {
                let options = settings(&options)?;
                // The event may come before this returns, and must find the handle.
                let mut parts = object.parts.lock();
                let track = session.publish_audio(options)?;
                let call = Arc::downgrade(&object);
                let id = match registry().insert(Arc::new(TrackObject { call, track: track.clone() })) {
                    Ok(id) => id,
                    Err(error) => {
                        session.unpublish(&track);
                        return Err(error);
                    }
                };
                parts.push(id);
                Ok(oh_track { id })
            })
        }
    })
}

fn settings(options: &oh_audio_track_options) -> Result<TrackOptions> {
    let or = |value: u32, default: u32| if value == 0 { default } else { value };
    let rate = or(options.sample_rate_hz, 48_000);
    let channels = or(options.channels, 1);
    if !(8_000..=192_000).contains(&rate) {
        return Err(argument("oh_audio_track_options.sample_rate_hz must be 0 or 8000 to 192000"));
    }
    if channels > 8 {
        return Err(argument("oh_audio_track_options.channels must be 0 to 8"));
    }
    let music = options.music != 0;
    let bitrate = or(options.bitrate_bps, if music { 128_000 } else { 64_000 });
    if !(6_000..=510_000).contains(&bitrate) {
        return Err(argument("oh_audio_track_options.bitrate_bps must be 0 or 6000 to 510000"));
    }
    let default = EncoderConfig::default();
    let complexity = number(options.complexity, u32::from(default.complexity), &(0..=10))
        .ok_or_else(|| argument("oh_audio_track_options.complexity must be 0 (the default), 1 to 10 or OH_ZERO"))?
        as u8;
    let input = match options.format {
        f if f == oh_audio_format::OH_AUDIO_OPUS as i32 => AudioFormat::Opus,
        f if f == oh_audio_format::OH_AUDIO_S16 as i32 || f == oh_audio_format::OH_AUDIO_F32 as i32 => {
            AudioFormat::Pcm { rate, channels: channels as u8 }
        }
        _ => return Err(argument("oh_audio_track_options.format must be one of oh_audio_format")),
    };
    let encoder = EncoderConfig {
        channels: if channels >= 2 { 2 } else { 1 },
        bitrate,
        complexity,
        dtx: options.no_dtx == 0 && !music,
        fec: options.no_fec == 0,
        application: if music { Application::Audio } else { Application::Voip },
        ..default
    };
    let red = number(options.red_frames, 1, &(0..=2))
        .ok_or_else(|| argument("oh_audio_track_options.red_frames must be 0 (the default), 1, 2 or OH_ZERO"))?
        as u8;
    let buffer_ms = or(options.buffer_ms, 200);
    let live = options.live != 0;
    let source = match options.source {
        s if s == oh_track_source::OH_SOURCE_UNKNOWN as i32 || s == oh_track_source::OH_SOURCE_MICROPHONE as i32 => {
            TrackKind::Audio
        }
        s if s == oh_track_source::OH_SOURCE_SCREEN_SHARE_AUDIO as i32 => TrackKind::ScreenShareAudio,
        _ => {
            let text = "oh_audio_track_options.source must be 0, OH_SOURCE_MICROPHONE or OH_SOURCE_SCREEN_SHARE_AUDIO";
            return Err(argument(text));
        }
    };
    Ok(TrackOptions { source, input, encoder, buffer_ms, live, music, red, muted: options.muted != 0 })
}

/// The handle of a session's track; none when the application has freed it.
pub(super) fn handle_of(object: &CallObject, track: u64) -> oh_track {
    let parts = object.parts.lock();
    let id = parts
        .iter()
        .copied()
        .find(|id| find::<TrackObject>(*id).is_ok_and(|object| object.track.id() == track))
        .unwrap_or(0);
    oh_track { id }
}

/// # Safety
/// `samples` must point to `count` readable values, or be NULL.
unsafe fn slice<'a, T>(samples: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if samples.is_null() {
        return Err(argument("samples must not be NULL"));
    }
    if count > isize::MAX as usize / size_of::<T>() {
        return Err(argument("more samples than memory can hold"));
    }
    // SAFETY: by the caller's contract.
    Ok(unsafe { std::slice::from_raw_parts(samples, count) })
}

fn samples_of(track: &TrackObject, frames: usize) -> Result<usize> {
    let channels = usize::from(track.track.channels());
    if channels == 0 {
        return Err(crate::error::Error::new(
            crate::error::Code::State,
            "track: it takes Opus packets (oh_track_write_opus), not PCM",
        ));
    }
    frames.checked_mul(channels).ok_or_else(|| argument("more samples than memory can hold"))
}

/// Writes audio as 16-bit integers. Never waits: the library sends 20 ms every 20 ms by its own clock, whatever the
/// rhythm of the writes. oh_track_wait_writable waits for room.
///
/// @param samples  frames * channels samples, interleaved; copied.
/// @param frames   samples per channel, any number that fits the buffer (a live track: any).
/// @return         OH_OK: all was taken; OH_ERR_FULL: nothing was taken, because there is no room for all of it now (for
///                 more than the buffer holds there never is);
///                 OH_ERR_STATE for a track of Opus packets; OH_ERR_CLOSED when the track or its call is over;
///                 OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread; writers of one track should take turns.
///
/// # Safety
/// `samples` must point to as many readable values.
#[no_mangle]
pub unsafe extern "C" fn oh_track_write_s16(track: oh_track, samples: *const i16, frames: usize) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        // SAFETY: by the caller's contract.
        let samples = unsafe { slice(samples, samples_of(&object, frames)?)? };
        object.track.write_s16(samples)
    })
}

/// Writes audio as 32-bit floats, -1.0 to 1.0; otherwise as oh_track_write_s16.
///
/// @param samples  frames * channels samples, interleaved; copied.
/// @param frames   samples per channel.
/// @return         as oh_track_write_s16.
///
/// # Safety
/// As `oh_track_write_s16`.
#[no_mangle]
pub unsafe extern "C" fn oh_track_write_f32(track: oh_track, samples: *const f32, frames: usize) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        // SAFETY: by the caller's contract.
        let samples = unsafe { slice(samples, samples_of(&object, frames)?)? };
        object.track.write_f32(samples)
    })
}

/// Writes one Opus packet (RFC 6716) of the application's own encoder, on a track with the format OH_AUDIO_OPUS. It is
/// sent unchanged, at its time; packets of DTX (two bytes or less) are left out.
///
/// @param packet       copied.
/// @param packet_size  1 to 1500 bytes.
/// @return             as oh_track_write_s16; OH_ERR_ARGUMENT also when it is not an Opus packet.
///
/// # Safety
/// `packet` must point to `packet_size` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn oh_track_write_opus(track: oh_track, packet: *const u8, packet_size: usize) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        if packet_size == 0 || packet_size > 1_500 {
            return Err(argument("oh_track_write_opus: packet_size must be 1 to 1500"));
        }
        // SAFETY: by the caller's contract.
        let packet = unsafe { slice(packet, packet_size)? };
        object.track.write_opus(packet)
    })
}

/// Waits until there is room to write.
///
/// @param frames      samples per channel (a track of Opus packets: of 48 kHz, 960 for 20 ms).
/// @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
/// @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over; OH_ERR_ARGUMENT when so
///                    many never fit; OH_ERR_WOULD_DEADLOCK inside a callback with a timeout; OH_ERR_HANDLE.
///
/// Any thread. The buffer does not drain until the track is published.
#[no_mangle]
pub extern "C" fn oh_track_wait_writable(track: oh_track, frames: usize, timeout_ms: u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        if timeout_ms > 0 && crate::dispatch::in_any_callback() {
            return Err(crate::error::Error::new(
                crate::error::Code::WouldDeadlock,
                "oh_track_wait_writable: inside a callback, which would delay its call; write from another thread",
            ));
        }
        let track = object.track.clone();
        drop(object);
        track.wait_room(frames, timeout(timeout_ms))
    })
}

/// Waits until everything that was written has been sent, what is written meanwhile included.
///
/// @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
/// @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over; OH_ERR_WOULD_DEADLOCK
///                    inside a callback with a timeout; OH_ERR_HANDLE.
///
/// Any thread. The buffer does not drain until the track is published. A muted track has nothing left to send.
/// oh_call_leave and oh_track_free drain by themselves, within oh_call_options.drain_ms.
#[no_mangle]
pub extern "C" fn oh_track_wait_drained(track: oh_track, timeout_ms: u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        if timeout_ms > 0 && crate::dispatch::in_any_callback() {
            return Err(crate::error::Error::new(
                crate::error::Code::WouldDeadlock,
                "oh_track_wait_drained: inside a callback, which would delay its call; wait on another thread",
            ));
        }
        let track = object.track.clone();
        drop(object);
        track.drain(timeout(timeout_ms))
    })
}

/// Discards what was written and not sent yet: others receive nothing more of it. What is written next is sent at once.
/// For an answer that is interrupted (barge-in), and before oh_track_free or oh_call_leave when the rest is not wanted.
///
/// @param sent_ms     receives how much of everything written to this track was taken for sending, in ms: also what was
///                    discarded without a connection, and silence that DTX left out; may
///                    be NULL.
/// @param dropped_ms  receives how much was discarded now, in ms; may be NULL.
/// @return            OH_OK; OH_ERR_CLOSED when the track or its call is over; OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `sent_ms` and `dropped_ms` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_track_clear(track: oh_track, sent_ms: *mut u64, dropped_ms: *mut u64) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        let (sent, dropped) = object.track.clear()?;
        if !sent_ms.is_null() {
            // SAFETY: writable by the caller's contract.
            unsafe { sent_ms.write_unaligned(sent) };
        }
        if !dropped_ms.is_null() {
            // SAFETY: writable by the caller's contract.
            unsafe { dropped_ms.write_unaligned(u64::from(dropped)) };
        }
        Ok(())
    })
}

/// Gets how much was written and not sent yet. To wait until it is sent: oh_track_wait_drained.
///
/// @param buffered_ms  receives the time in ms; after the end of the track, what was not sent.
/// @return             OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread.
///
/// # Safety
/// `buffered_ms` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_track_get_buffered_ms(track: oh_track, buffered_ms: *mut u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        // SAFETY: by the caller's contract.
        unsafe { give(buffered_ms, "buffered_ms", || Ok(object.track.buffered_ms())) }
    })
}

/// Mutes or unmutes a track. Media follows at once. What was written while muted is never sent, nor what was written
/// before a change and is not sent yet. The others are
/// informed; the last call wins. The track stays published.
///
/// @param muted  true: mute.
/// @return       OH_OK; OH_ERR_HANDLE; OH_ERR_STATE when the call is over.
///
/// Any thread, callbacks included.
#[no_mangle]
pub extern "C" fn oh_track_set_muted(track: oh_track, muted: oh_bool) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        owner(&object.call)?.call()?.mute(&object.track, muted != 0)
    })
}

/// Unpublishes a track and frees its handle. What was written before is still sent, in the background and within
/// oh_call_options.drain_ms; a track of the same source that is published next starts after that. Call oh_track_clear first when the rest is
/// not wanted. OH_EVENT_UNSENT counts what could not be sent in time.
///
/// @param track  none or stale: nothing happens.
///
/// Any thread, callbacks included; returns at once.
#[no_mangle]
pub extern "C" fn oh_track_free(track: oh_track) {
    guard(|| {
        if let Ok(object) = registry().remove::<TrackObject>(track.id) {
            if let Ok(call) = owner(&object.call) {
                call.parts.lock().retain(|id| *id != track.id);
                call.call()?.unpublish(&object.track);
            }
        }
        Ok(())
    });
}
