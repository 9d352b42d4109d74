//! `oh_track`: one thing I send, written at the application's pace, sent at the library's.

use super::{
    audio::oh_audio_format,
    call::oh_call,
    convert::{argument, give, sized},
    handles::registry,
    library::timeout,
    objects::{find, owner, CallObject, TrackObject},
    result::{guard, oh_result},
};
use crate::core::model::TrackKind;
use crate::error::Result;
use crate::media::audio::{
    opus::{Application, EncoderConfig},
    send::AudioFormat,
};
use crate::session::TrackOptions;
use std::{mem::offset_of, sync::Arc};

/// A track that I publish. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_track {
    /// Unique in the process, for ever; 0 is none.
    pub id: u64,
}

/// What is sent and how. Begin with OH_AUDIO_TRACK_OPTIONS_INIT or oh_audio_track_options_init.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_audio_track_options {
    /// sizeof(oh_audio_track_options).
    pub size: u32,
    /// oh_audio_format of what will be written; s16 and f32 may be mixed freely.
    pub format: i32,
    /// Samples per second of what will be written, 8000 to 192000; 0: 48000.
    pub rate: u32,
    /// Channels of what will be written, 1 to 8; 0: 1. More than two are mixed down.
    pub channels: u32,
    /// bit/s of Opus, 6000 to 510000; 0: 64000, with music 128000.
    pub bitrate: u32,
    /// Effort of the Opus encoder, 0 to 10; -1: the library's choice.
    pub complexity: i32,
    /// How much may be written ahead, in ms, 40 to 5000; 0: 200.
    pub buffer_ms: u32,
    /// Non-zero: music rather than speech.
    pub music: u32,
    /// Non-zero: no discontinuous transmission (silence is sent, too). Zero: as the call's settings
    /// say; never for music.
    pub no_dtx: u32,
    /// Non-zero: no forward error correction.
    pub no_fec: u32,
    /// Non-zero: start muted.
    pub muted: u32,
    /// Zero.
    pub reserved: u32,
    /// Non-zero: what is written is heard now or never (a microphone, a bridge): at most 40 ms wait, beyond it the
    /// oldest is dropped and counted (oh_call_stats.audio_dropped_ms). A write never gives OH_ERR_FULL then.
    pub live: u32,
    /// Redundant audio (RED, RFC 2198), where the call and its SFU allow it: how many earlier frames are sent once
    /// more with each packet, 1 or 2; -1: none. 0: 1. A packet that is lost is then made good by the next one. It
    /// costs the bytes of the earlier frames again.
    pub red: i32,
}

const DEFAULTS: oh_audio_track_options = oh_audio_track_options {
    size: size_of::<oh_audio_track_options>() as u32,
    format: oh_audio_format::OH_AUDIO_S16 as i32,
    rate: 0,
    channels: 0,
    bitrate: 0,
    complexity: -1,
    buffer_ms: 0,
    music: 0,
    no_dtx: 0,
    no_fec: 0,
    muted: 0,
    reserved: 0,
    live: 0,
    red: 0,
};

/// Fills in the defaults; the same as OH_AUDIO_TRACK_OPTIONS_INIT, for languages without macros.
///
/// @param options  may be NULL: then nothing happens.
///
/// # Safety
/// `options` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_audio_track_options_init(options: *mut oh_audio_track_options) {
    if !options.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { options.write(DEFAULTS) };
    }
}

/// Publishes an audio track. Returns at once; OH_EVENT_LOCAL_PUBLISHED or OH_EVENT_LOCAL_FAILED
/// tells the result. May be called before the call is joined. One audio track per call at a time.
///
/// @param call     the call.
/// @param options  NULL: mono s16 at 48000 Hz, sensible defaults.
/// @param track    receives the handle; free it with oh_track_free, or with the call.
/// @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_HANDLE; OH_ERR_STATE when the call is over; OH_ERR_REFUSED
///                 when this participant may not send audio (before that is known, OH_EVENT_LOCAL_FAILED with the
///                 same code); OH_ERR_CLOSED when the publisher was closed; OH_ERR_MEDIA; OH_ERR_ABI.
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
        let options =
            unsafe { sized(options, DEFAULTS, offset_of!(oh_audio_track_options, live), "oh_audio_track_options")? };
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
    let rate = or(options.rate, 48_000);
    let channels = or(options.channels, 1);
    if !(8_000..=192_000).contains(&rate) {
        return Err(argument("oh_audio_track_options.rate must be 0 or 8000 to 192000"));
    }
    if channels > 8 {
        return Err(argument("oh_audio_track_options.channels must be 0 to 8"));
    }
    let music = options.music != 0;
    let bitrate = or(options.bitrate, if music { 128_000 } else { 64_000 });
    if !(6_000..=510_000).contains(&bitrate) {
        return Err(argument("oh_audio_track_options.bitrate must be 0 or 6000 to 510000"));
    }
    let default = EncoderConfig::default();
    let complexity = match options.complexity {
        -1 => default.complexity,
        c @ 0..=10 => c as u8,
        _ => return Err(argument("oh_audio_track_options.complexity must be -1 to 10")),
    };
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
    let red = match options.red {
        0 => 1,
        -1 => 0,
        frames @ 1..=2 => frames as u8,
        _ => return Err(argument("oh_audio_track_options.red must be -1 to 2")),
    };
    let buffer_ms = or(options.buffer_ms, 200);
    let live = options.live != 0;
    let source = TrackKind::Audio;
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

fn samples_of(track: &TrackObject, frames: u32) -> Result<usize> {
    let channels = usize::from(track.track.channels());
    if channels == 0 {
        return Err(crate::error::Error::new(
            crate::error::Code::State,
            "track: it takes Opus packets (oh_track_write_opus), not PCM",
        ));
    }
    Ok(frames as usize * channels)
}

/// Writes sound as 16-bit integers. Never waits: the library sends 20 ms every 20 ms of its own
/// clock, whatever the rhythm of the writes; oh_track_wait waits for room.
///
/// @param samples  frames * channels values, interleaved; copied.
/// @param frames   samples per channel, any number that fits the buffer (of a live track: any).
/// @return         OH_OK: all was taken; OH_ERR_FULL: nothing was taken, there is no room for all
///                 of it now; OH_ERR_STATE for a track of Opus packets; OH_ERR_CLOSED when the track
///                 or its call is over; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread; writers of one track should take turns.
///
/// # Safety
/// `samples` must point to as many readable values.
#[no_mangle]
pub unsafe extern "C" fn oh_track_write_s16(track: oh_track, samples: *const i16, frames: u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        // SAFETY: by the caller's contract.
        let samples = unsafe { slice(samples, samples_of(&object, frames)?)? };
        object.track.write_s16(samples)
    })
}

/// Writes sound as 32-bit floats, -1.0 to 1.0; else as oh_track_write_s16.
///
/// # Safety
/// As `oh_track_write_s16`.
#[no_mangle]
pub unsafe extern "C" fn oh_track_write_f32(track: oh_track, samples: *const f32, frames: u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        // SAFETY: by the caller's contract.
        let samples = unsafe { slice(samples, samples_of(&object, frames)?)? };
        object.track.write_f32(samples)
    })
}

/// Writes one Opus packet (RFC 6716) of the application's own encoder, on a track of the format
/// OH_AUDIO_OPUS. Sent as it is, when its time has come.
///
/// @param packet  copied.
/// @param size    1 to 1500 bytes.
/// @return        as oh_track_write_s16; OH_ERR_ARGUMENT when it is not an Opus packet.
///
/// # Safety
/// `packet` must point to `size` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn oh_track_write_opus(track: oh_track, packet: *const u8, size: u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        if size == 0 || size > 1_500 {
            return Err(argument("oh_track_write_opus: size must be 1 to 1500 bytes"));
        }
        // SAFETY: by the caller's contract.
        let packet = unsafe { slice(packet, size as usize)? };
        object.track.write_opus(packet)
    })
}

/// Waits until there is room.
///
/// @param frames      samples per channel (of a track of Opus packets: packets).
/// @param timeout_ms  how long to wait; 0: only look; OH_FOREVER.
/// @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over;
///                    OH_ERR_ARGUMENT when so many never fit; OH_ERR_WOULD_DEADLOCK inside a
///                    callback (a callback must not wait for time to pass); OH_ERR_HANDLE.
///
/// Before the track is on the air nothing makes room.
#[no_mangle]
pub extern "C" fn oh_track_wait(track: oh_track, frames: u32, timeout_ms: u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        if timeout_ms > 0 && crate::dispatch::in_any_callback() {
            return Err(crate::error::Error::new(
                crate::error::Code::WouldDeadlock,
                "oh_track_wait: inside a callback, which would hold up its call; write from another thread",
            ));
        }
        let track = object.track.clone();
        drop(object);
        track.wait_room(frames as usize, timeout(timeout_ms))
    })
}

/// Waits until everything that was written has been handed to the network. What is written meanwhile is waited for as
/// well.
///
/// @param timeout_ms  how long to wait; 0: only look; OH_FOREVER.
/// @return            OH_OK; OH_ERR_TIMEOUT; OH_ERR_CLOSED when the track or its call is over; OH_ERR_WOULD_DEADLOCK
///                    inside a callback; OH_ERR_HANDLE.
///
/// Before the track is on the air nothing drains. Of a muted track nothing is left to send. oh_call_leave and
/// oh_track_free drain by themselves, within a second.
#[no_mangle]
pub extern "C" fn oh_track_drain(track: oh_track, timeout_ms: u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        if timeout_ms > 0 && crate::dispatch::in_any_callback() {
            return Err(crate::error::Error::new(
                crate::error::Code::WouldDeadlock,
                "oh_track_drain: inside a callback, which would hold up its call; wait on another thread",
            ));
        }
        let track = object.track.clone();
        drop(object);
        track.drain(timeout(timeout_ms))
    })
}

/// Discards at once what was written and not sent yet: the others hear nothing more of it, and what is written next
/// begins anew. For an answer that is interrupted (barge-in), and before oh_track_free or oh_call_leave when the rest
/// is not to be heard.
///
/// @param sent_ms     receives how many ms of everything written to this track have been sent since it was published;
///                    may be NULL.
/// @param dropped_ms  receives how many ms were discarded now; may be NULL.
/// @return            OH_OK; OH_ERR_CLOSED when the track or its call is over; OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `sent_ms` and `dropped_ms` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_track_clear(track: oh_track, sent_ms: *mut u64, dropped_ms: *mut u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        let (sent, dropped) = object.track.clear()?;
        if !sent_ms.is_null() {
            // SAFETY: writable by the caller's contract.
            unsafe { sent_ms.write_unaligned(sent) };
        }
        if !dropped_ms.is_null() {
            // SAFETY: writable by the caller's contract.
            unsafe { dropped_ms.write_unaligned(dropped) };
        }
        Ok(())
    })
}

/// How much was written and not sent yet, in ms. To wait for the end of what was said: oh_track_drain.
///
/// @param ms  receives the number.
/// @return    OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// # Safety
/// `ms` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_track_buffered_ms(track: oh_track, ms: *mut u32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        // SAFETY: by the caller's contract.
        unsafe { give(ms, "ms", || Ok(object.track.buffered_ms())) }
    })
}

/// Mutes or unmutes. Media follows at once and what was written while muted is never sent; the
/// others are told, the last intent wins. The track keeps its place in the call.
///
/// @param muted  non-zero: mute.
/// @return       OH_OK; OH_ERR_HANDLE; OH_ERR_STATE when the call is over.
#[no_mangle]
pub extern "C" fn oh_track_set_muted(track: oh_track, muted: i32) -> oh_result {
    guard(|| {
        let object = find::<TrackObject>(track.id)?;
        owner(&object.call)?.call()?.mute(&object.track, muted != 0)
    })
}

/// Unpublishes a track and frees its handle. What was written before is still sent, in the background and within
/// oh_call_options.drain_ms; a track that is published next goes on the air after that. Call oh_track_clear first when
/// the rest is not to be heard.
///
/// @param track  none or stale: nothing happens.
///
/// Any thread, callbacks included; returns at once. What could not be sent in time is part of OH_EVENT_UNSENT.
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
