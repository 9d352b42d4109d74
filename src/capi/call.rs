//! `oh_call`: join, wait, leave, free.

use super::{
    audio::{oh_audio_format, oh_audio_format_t, oh_audio_handler},
    basic::{oh_bool, oh_destroy},
    client::oh_client,
    convert::{argument, credential, give, number, optional, path_part, put_lines, required},
    deliver::mailbox,
    event::{oh_call_state_t, oh_event_handler},
    event_view::state_of,
    handles::registry,
    library::{timeout, OH_FOREVER, OH_ZERO},
    objects::{find, CallObject, Client},
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::core::model::{Capabilities, PeerKind};
use crate::core::{Config, State};
use crate::dispatch::{self, budget, Closing, Limits};
use crate::error::{Code, Error, Result, Secret};
use crate::media::transform::NoTransforms;
use crate::rtc::sdp::announce_sdp;
use crate::session::{AudioOptions, Bounds, Call, CallOptions, HandedOver};
use std::{
    ffi::{c_char, c_void},
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

/// A call: the presence of the local participant, from oh_call_join to oh_call_free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_call {
    /// Never used twice; 0: none.
    pub id: u64,
}

/// Where events and audio of a call go. oh_call_join copies it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct oh_call_handlers {
    /// sizeof(oh_call_handlers).
    pub size: usize,
    /// Passed to the handlers and to destroy.
    pub user_data: *mut c_void,
    /// Receives events; NULL: events are not delivered (with on_audio set).
    pub on_event: oh_event_handler,
    /// Receives audio; NULL: audio is not delivered.
    pub on_audio: oh_audio_handler,
    /// Called exactly once, after the last callback of the call; may be NULL. Not called when oh_call_join fails:
    /// user_data then stays the caller's.
    pub destroy: oh_destroy,
}

/// What to join and how. Begin with OH_INIT(oh_call_options). All text is copied.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct oh_call_options {
    /// sizeof(oh_call_options).
    pub size: usize,
    /// Which call. Required; with OH_PROTOCOL_LIVEKIT the room, NULL: the one that the token is for. With
    /// OH_PROTOCOL_STREAM call_id and call_type are parts of a path: at most 1024 bytes, no control characters, not
    /// "." or "..".
    pub call_id: *const c_char,
    /// The type of the call; NULL: "default".
    pub call_type: *const c_char,
    /// Token for this call instead of the client's; NULL: the client's. Blanks and line breaks around it are ignored.
    pub token: *const c_char,
    /// The `data` of the join request as a JSON object; NULL: none.
    pub data_json: *const c_char,
    /// Where events and audio go; NULL, or neither on_event nor on_audio set: pull mode, see
    /// oh_call_wait_event; destroy must be NULL then.
    pub handlers: *const oh_call_handlers,
    /// Bytes of payload in events that wait for the application at most, 65536 to 1073741824; 0: 4194304. Beyond it
    /// reliable data stays with its sender (flow control); everything else is dropped as beyond max_queued_events.
    pub max_queued_event_bytes: usize,
    /// Events that wait for the application at most, 16 to 65536; 0: 1024. Beyond it events are dropped, and
    /// OH_EVENT_LOST has their number. Participants and their tracks have a queue of their own (32768 events, 16 MiB).
    /// Never dropped are OH_EVENT_ENDED, OH_EVENT_RPC_REQUEST, OH_EVENT_RPC_RESPONSE, reliable packets and texts: when as
    /// many of these wait, reliable data stays with its sender (flow control). State events and results of publishing are dropped only when a later
    /// one of the same call or track replaces them.
    pub max_queued_events: u32,
    /// Audio frames that wait for the application at most, 1 to 4096, all tracks together; 0: 50, one second of one
    /// track; and 8 MiB. Beyond it the oldest is dropped and counted (oh_call_stats.audio_frames_dropped).
    pub max_queued_audio_frames: u32,
    /// Sample rate of received audio in Hz, 8000 to 192000; 0: 48000.
    pub audio_sample_rate_hz: u32,
    /// Channels of received audio, 1 or 2; 0: 1.
    pub audio_channels: u32,
    /// Format of received audio; 0: OH_AUDIO_S16.
    pub audio_format: oh_audio_format_t,
    /// Jitter buffer: least delay in ms, 1 to 2000; 0: 20; OH_ZERO: none. A recorder loses fewer late packets with more.
    pub audio_min_delay_ms: u32,
    /// Jitter buffer: greatest delay in ms, 20 to 2000, not less than audio_min_delay_ms; 0: 200, or
    /// audio_min_delay_ms when that is more.
    pub audio_max_delay_ms: u32,
    /// Further attempts to join after a failed one, on another edge if there is one, 1 to 10; 0: 3; OH_ZERO: none.
    pub join_retries: u32,
    /// Reconnect timeout in ms: how long the call tries to reconnect before it ends; 0: 30000; OH_ZERO: it ends
    /// instead of reconnecting; OH_FOREVER: no limit. Meanwhile the call is in OH_STATE_RECONNECTING, MIGRATING or
    /// OFFLINE; handles stay valid, and audio that is written while there is no peer connection is discarded.
    pub reconnect_timeout_ms: u32,
    /// How long oh_call_leave and oh_call_free go on sending what was accepted before (audio, data, texts, custom
    /// events, answers to procedure calls), in ms, 1 to 1000; 0: 1000; OH_ZERO: nothing more is sent. The whole of a
    /// leave still takes at most 2000 ms.
    pub drain_ms: u32,
    /// Never receive (for a bot that only publishes). No subscriber is created; with OH_PROTOCOL_LIVEKIT one that
    /// subscribes to nothing, because servers take that connection for the participant's.
    pub no_subscriber: oh_bool,
    /// A track is received only when oh_subscriber_set_track asks for it (OH_CAP_SUBSCRIPTIONS).
    pub no_auto_subscribe: oh_bool,
    /// Pull mode: deliver audio as OH_EVENT_AUDIO.
    pub pull_audio: oh_bool,
    /// Deliver parts of texts while they arrive (OH_EVENT_TEXT_PART).
    pub text_parts: oh_bool,
    /// A track that a moderator unmutes stays muted until oh_track_set_muted unmutes it; see oh_track_info.held.
    pub hold_unmute: oh_bool,
    /// Ask for a new token with OH_EVENT_TOKEN_NEEDED when the token has expired. Always so without a token.
    pub renew_token: oh_bool,
    /// Do not create the call when it does not exist (OH_CAP_RING).
    pub no_create: oh_bool,
    /// Ring the members (OH_CAP_RING).
    pub ring: oh_bool,
    /// Notify the members (OH_CAP_RING).
    pub notify: oh_bool,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_call_handlers to destroy, oh_call_options to reserved);

/// Starts to join a call. Returns at once; OH_EVENT_JOINED or OH_EVENT_ENDED is the result (oh_call_wait_state waits for
/// it).
///
/// @param client   the client; it must live as long as its calls, freeing it frees them.
/// @param options  see oh_call_options; `call_id` is required.
/// @param call     receives the handle, before the first callback runs.
/// @return         OH_OK; OH_ERR_ARGUMENT with details in oh_get_last_error; OH_ERR_HANDLE; OH_ERR_ABI; OH_ERR_LIMIT when
///                 the system has no threads or descriptors left, or when more than oh_limits.max_queued_bytes wait for
///                 the application; OH_ERR_STATE while the library shuts down; OH_ERR_UNSUPPORTED for an option that
///                 the protocol does not have. On failure destroy is not called, and `call` is not written.
///
/// Any thread, callbacks included. Free it with oh_call_free.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid strings;
/// `call` must be NULL or writable. The handlers must be callable from any thread.
#[no_mangle]
pub unsafe extern "C" fn oh_call_join(
    client: oh_client,
    options: *const oh_call_options,
    call: *mut oh_call,
) -> oh_result {
    guard(|| {
        let client = find::<Client>(client.id)?;
        if options.is_null() {
            return Err(argument("oh_call_join: options must not be NULL; call_id is required"));
        }
        if call.is_null() {
            return Err(argument("call must not be NULL"));
        }
        // SAFETY: by the caller's contract.
        let (options, handlers) = unsafe {
            let options = read(options)?;
            (options, read(options.handlers)?)
        };
        // SAFETY: by the caller's contract.
        let settings = unsafe { settings(&client, &options, &handlers)? };
        join(&client, handlers, settings, |id| {
            // SAFETY: checked above, and writable by the caller's contract.
            unsafe { call.write(oh_call { id }) };
        })
    })
}

/// The number of an option: 0 is its default, OH_ZERO is zero.
fn within(value: u32, default: u32, range: std::ops::RangeInclusive<u32>, what: &str) -> Result<u32> {
    number(value, default, &range).ok_or_else(|| {
        argument(format!("oh_call_options.{what} must be 0 (the default), or {} to {}", range.start(), range.end()))
    })
}

/// Checks everything that can be checked before anything is made.
///
/// # Safety
/// The strings of `options` must be valid.
unsafe fn settings(
    client: &Client,
    options: &oh_call_options,
    handlers: &oh_call_handlers,
) -> Result<(CallOptions, Limits)> {
    // SAFETY: by the caller's contract.
    let (id, call_type, token, data_json) = unsafe {
        (
            optional(options.call_id, "oh_call_options.call_id")?,
            optional(options.call_type, "oh_call_options.call_type")?,
            credential(options.token, "oh_call_options.token")?,
            optional(options.data_json, "oh_call_options.data_json")?.unwrap_or_default(),
        )
    };
    if !data_json.is_empty()
        && !serde_json::from_str::<serde_json::Value>(&data_json).is_ok_and(|json| json.is_object())
    {
        return Err(argument("oh_call_options.data_json is not a JSON object"));
    }
    let format = options.audio_format;
    if !(oh_audio_format::OH_AUDIO_S16 as i32..=oh_audio_format::OH_AUDIO_OPUS as i32).contains(&format) {
        return Err(argument("oh_call_options.audio_format must be one of oh_audio_format"));
    }
    let min = within(options.audio_min_delay_ms, 20, 0..=2_000, "audio_min_delay_ms")?;
    let max = within(options.audio_max_delay_ms, min.max(200), 20..=2_000, "audio_max_delay_ms")?;
    if min > max {
        return Err(argument("oh_call_options.audio_min_delay_ms must not be more than audio_max_delay_ms"));
    }
    let pull = handlers.on_event.is_none() && handlers.on_audio.is_none();
    if pull && handlers.destroy.is_some() {
        return Err(argument("oh_call_handlers.destroy without a handler: pull mode has no user_data"));
    }
    let wanted = if pull { options.pull_audio != 0 } else { handlers.on_audio.is_some() };
    let audio = AudioOptions {
        rate: within(options.audio_sample_rate_hz, 48_000, 8_000..=192_000, "audio_sample_rate_hz")?,
        channels: within(options.audio_channels, 1, 1..=2, "audio_channels")? as u8,
        float: format == oh_audio_format::OH_AUDIO_F32 as i32,
        opus: format == oh_audio_format::OH_AUDIO_OPUS as i32,
        min_delay_ms: min,
        max_delay_ms: max,
        wanted,
    };
    let bytes = match options.max_queued_event_bytes {
        0 => 4 << 20,
        bytes @ 65_536..=0x4000_0000 => bytes,
        _ => return Err(argument("oh_call_options.max_queued_event_bytes must be 0 or 65536 to 1073741824")),
    };
    let limits = Limits {
        control: within(options.max_queued_events, 1_024, 16..=65_536, "max_queued_events")? as usize,
        media: within(options.max_queued_audio_frames, 50, 1..=4_096, "max_queued_audio_frames")? as usize,
        bytes,
        ..Limits::default()
    };
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|_| Error::new(Code::Limit, "the system gave no random numbers"))?;
    let token = token.map(Secret::new).unwrap_or_else(|| client.token.clone());
    let dialect = *client.connection.protocol.dialect();
    let id = which_call(client.connection.protocol.call_of(&token), id)?;
    if dialect.ids_in_paths {
        path_part(&id, "oh_call_options.call_id")?;
        path_part(call_type.as_deref().unwrap_or_default(), "oh_call_options.call_type")?;
    }
    let disconnect_timeout = match options.reconnect_timeout_ms {
        0 => Duration::from_secs(30),
        // The core's own word for no limit is zero; its least is the next moment.
        OH_FOREVER => Duration::ZERO,
        OH_ZERO => Duration::from_nanos(1),
        ms => Duration::from_millis(u64::from(ms)),
    };
    if options.no_auto_subscribe != 0 && !dialect.capabilities.has(Capabilities::SUBSCRIPTIONS) {
        let text = format!("oh_call_options.no_auto_subscribe: the protocol {} does not have it", dialect.name);
        return Err(Error::new(Code::Unsupported, text));
    }
    let config = Config {
        dialect,
        call_type: call_type.unwrap_or_else(|| "default".into()),
        call_id: id,
        user_id: client.user_id.clone(),
        create: options.no_create == 0,
        ring: options.ring != 0,
        notify: options.notify != 0,
        data_json,
        location: "auto".into(),
        join_retries: within(options.join_retries, 3, 0..=10, "join_retries")?,
        subscribe: options.no_subscriber == 0,
        subscriber_sdp: announce_sdp(PeerKind::Subscriber),
        publisher_sdp: announce_sdp(PeerKind::Publisher),
        hold_unmute: options.hold_unmute != 0,
        renew_token: options.renew_token != 0 || token.is_empty(),
        token,
        disconnect_timeout,
        partial_texts: options.text_parts != 0,
        seed: u64::from_ne_bytes(seed),
    };
    // Who never receives asks for nothing either.
    let auto_subscribe = options.no_auto_subscribe == 0 && options.no_subscriber == 0;
    let data = Bounds { messages: limits.control, bytes: limits.bytes };
    let drain = Duration::from_millis(u64::from(within(options.drain_ms, 1_000, 0..=1_000, "drain_ms")?));
    Ok((CallOptions { config, auto_subscribe, audio, data, drain, transforms: Arc::new(NoTransforms) }, limits))
}

/// The call's id. A token that names its room leads there, whatever the application asks for: better said
/// than found out.
pub(super) fn which_call(bound: Option<String>, id: Option<String>) -> Result<String> {
    match (id, bound) {
        (Some(id), Some(room)) if id != room => {
            Err(argument("oh_call_options.call_id is not the call that the token is for (claim video.room)"))
        }
        (Some(id), _) => Ok(id),
        (None, Some(room)) => Ok(room),
        (None, None) => Err(argument("oh_call_options.call_id is missing; it must not be NULL or empty")),
    }
}

fn join(
    client: &Arc<Client>,
    handlers: oh_call_handlers,
    (settings, limits): (CallOptions, Limits),
    announce: impl FnOnce(u64),
) -> Result<()> {
    has_room()?;
    let object = Arc::new(CallObject {
        call: Default::default(),
        client: Arc::downgrade(client),
        parts: Default::default(),
        publisher: Default::default(),
        subscriber: Default::default(),
        freed: AtomicBool::new(false),
    });
    let id = registry().insert(object.clone())?;
    let started = Arc::new(AtomicBool::new(false));
    let handed_over = Arc::new(HandedOver::default());
    let mailbox = mailbox(oh_call { id }, &object, handlers, limits, started.clone(), handed_over.clone());
    let made = Call::new(client.connection.clone(), settings, mailbox, handed_over);
    let begun = made.and_then(|(call, launch)| {
        let _ = object.call.set(call);
        // Whether the join succeeds is decided here, against a free of the client on another thread: that one either
        // finds the call among the client's, or is found here. Only then the application gets the handle.
        let mut calls = client.calls.lock();
        if client.freed.load(Ordering::Acquire) {
            return Err(Error::new(Code::Handle, "the oh_client handle is stale: the client was freed"));
        }
        announce(id);
        started.store(true, Ordering::Release);
        calls.insert(id);
        Ok(launch)
    });
    match begun {
        Ok(launch) => {
            launch.start();
            Ok(())
        }
        Err(error) => {
            let _ = registry().remove::<CallObject>(id);
            Err(error)
        }
    }
}

/// What the process must have for one more call.
fn has_room() -> Result<()> {
    let (waiting, limit) = (budget::waiting(), budget::limit());
    if !budget::takes_another() {
        let text = format!(
            "oh_call_join: {waiting} bytes wait for the application in all calls, {limit} is the limit \
             (oh_limits.max_queued_bytes); let handlers return sooner, or free calls"
        );
        return Err(Error::new(Code::Limit, text));
    }
    if !dispatch::pool().prepare() {
        return Err(Error::new(Code::Limit, "oh_call_join: the system has no thread left for callbacks"));
    }
    Ok(())
}

/// Waits until a call is in a state.
///
/// @param call        the call.
/// @param state       usually OH_STATE_JOINED or OH_STATE_LEFT. A state that is over before this thread runs, as a
///                    short reconnect, is missed: OH_EVENT_STATE reports each. For OH_STATE_LEFT it waits until
///                    OH_EVENT_ENDED was delivered (and destroy called), so that oh_call_free loses no event. In pull
///                    mode it waits for the end alone: take events until OH_ERR_CLOSED before oh_call_free.
/// @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
/// @return            OH_OK when the call is in that state; OH_ERR_TIMEOUT; when the call ended first: the error it ended
///                    with (OH_ERR_CANCELLED when the application left; OH_ERR_STATE when it ended without an error),
///                    oh_get_last_error has the text;
///                    OH_ERR_WOULD_DEADLOCK inside a callback of the same call, and for OH_STATE_LEFT inside a callback
///                    of another call for which a callback of this one waits, directly or indirectly; OH_ERR_HANDLE;
///                    OH_ERR_ARGUMENT for an unknown state.
///
/// Any thread.
#[no_mangle]
pub extern "C" fn oh_call_wait_state(call: oh_call, state: oh_call_state_t, timeout_ms: u32) -> oh_result {
    guard(|| {
        let wanted = [
            State::Idle,
            State::Joining,
            State::Joined,
            State::Reconnecting,
            State::Migrating,
            State::Offline,
            State::ReconnectingFailed,
            State::Left,
        ]
        .into_iter()
        .find(|s| state_of(*s) == state)
        .ok_or_else(|| argument("oh_call_wait_state: state must be one of oh_call_state"))?;
        let session = find::<CallObject>(call.id)?.call()?.clone();
        session.wait(wanted, timeout(timeout_ms))
    })
}

/// Gets the state of a call.
///
/// @param state  receives the state.
/// @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread.
///
/// # Safety
/// `state` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_state(call: oh_call, state: *mut oh_call_state_t) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let session = object.call()?;
        // SAFETY: by the caller's contract.
        unsafe { give(state, "state", || Ok(state_of(session.state()))) }
    })
}

/// Gets the trace of a call: what its protocol logic received and decided, to find out why, and to replay it. Lines of
/// JSON: the first has the settings of the call, each other one an input ("in", "tick", with the time in ns) or a
/// decision ("out"). Of a long call the end is kept. Works until the call is freed, also after its end. Attach it to a
/// report of a defect.
///
/// It holds no tokens, passwords, metadata, texts, payloads or media: a hash or a length stands in their place. It does
/// hold names of participants and addresses of this machine.
///
/// @param buf       receives the text, cut after the last line that fits and always NUL-terminated; may be NULL when
///                  buf_size is 0.
/// @param buf_size  bytes at buf.
/// @param length    receives the length of the complete text without its NUL; it can be more at the next call.
/// @return          OH_OK, also when the text was cut; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread, callbacks included. Usually less than 1 MiB.
///
/// # Safety
/// `buf` must be NULL or point to `buf_size` writable bytes; `length` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_trace(
    call: oh_call,
    buf: *mut c_char,
    buf_size: usize,
    length: *mut usize,
) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        if length.is_null() || (buf.is_null() && buf_size > 0) {
            return Err(argument("oh_call_get_trace: length must not be NULL, and buf only when buf_size is 0"));
        }
        let text = session.trace();
        // SAFETY: by the caller's contract.
        unsafe {
            put_lines(&text, buf, buf_size);
            length.write(text.len());
        }
        Ok(())
    })
}

/// Answers OH_EVENT_TOKEN_NEEDED, inside the callback or later.
///
/// @param token  the user's token; blanks and line breaks around it are ignored. NULL: there is none; the join fails
///               with OH_ERR_AUTH, a reconnect with OH_END_RECONNECT_REFUSED.
/// @return       OH_OK; OH_ERR_STATE when the call is over; OH_ERR_FULL; OH_ERR_HANDLE; OH_ERR_ARGUMENT, with
///               OH_PROTOCOL_LIVEKIT also for a token for another call: the call then still waits for one.
///
/// Any thread. The token is ignored when none was asked for.
///
/// # Safety
/// `token` must be NULL or a NUL-terminated string.
#[no_mangle]
pub unsafe extern "C" fn oh_call_provide_token(call: oh_call, token: *const c_char) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let token = unsafe { credential(token, "token")? };
        session.provide_token(token.map(Secret::new))
    })
}

/// Sends a custom event to all clients of the call that receive custom events, this one included (OH_CAP_CUSTOM_EVENTS).
/// Returns at once; the events of one call are sent in order. A failure is reported as OH_EVENT_ERROR, and the event is
/// not sent again.
///
/// @param call       the call, joined; its client needs no oh_client_options.receive_custom_events to send.
/// @param data_json  a JSON object, at most 16384 bytes.
/// @return           OH_OK; OH_ERR_ARGUMENT when data_json is not a JSON object, or too long; OH_ERR_STATE before the
///                   join or after the end; OH_ERR_FULL when 32 events wait to be sent; OH_ERR_UNSUPPORTED;
///                   OH_ERR_HANDLE; OH_ERR_LIMIT.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `data_json` must be NULL or a NUL-terminated string.
#[no_mangle]
pub unsafe extern "C" fn oh_call_send_custom_event(call: oh_call, data_json: *const c_char) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let data_json = unsafe { required(data_json, "data_json")? };
        session.send_custom(data_json)
    })
}

/// Leaves a call: sends what was accepted before (audio, data, texts, custom events, answers to procedure calls), then
/// the leave message; OH_EVENT_ENDED follows within 2000 ms. Returns at once; from here on nothing more is accepted or
/// received, and received audio that waits in jitter buffers is discarded.
///
/// What waits is sent within oh_call_options.drain_ms, and only as long as it takes; then up to 200 ms pass, within drain_ms, so that
/// the last audio is played before the others learn that this participant left. What could not be sent in time, or because the
/// connection was lost, is reported by OH_EVENT_UNSENT before OH_EVENT_ENDED.
///
/// @param call    the call; leaving twice, or after the end, does nothing.
/// @param reason  sent to the SFU, cut to 115 bytes; may be NULL.
/// @return        OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT when reason is not UTF-8.
///
/// Any thread, callbacks included. The handle stays valid until oh_call_free.
///
/// # Safety
/// `reason` must be NULL or a NUL-terminated string.
#[no_mangle]
pub unsafe extern "C" fn oh_call_leave(call: oh_call, reason: *const c_char) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let reason = unsafe { optional(reason, "reason")? };
        session.leave(reason.as_deref().unwrap_or_default());
        Ok(())
    })
}

/// Frees a call: leaves it if that was not done, and ends its callbacks. Its publisher, subscriber and tracks are freed
/// with it.
///
/// When it returns, no callback of this call runs, and destroy has been called: it waits for a callback in progress on
/// another thread. Inside a callback of the same call it returns at once and takes effect when that callback returns;
/// likewise when the callback in progress waits for the callback that this is called in, so that calls that free each
/// other inside their callbacks do not deadlock.
///
/// What was accepted before is still sent, as by oh_call_leave, in the background and within 2000 ms. What could not be
/// sent is only logged then: to receive OH_EVENT_UNSENT, call oh_call_leave and wait for OH_STATE_LEFT first. The end of
/// the process ends it as well; oh_shutdown_wait waits for it.
///
/// @param call  none or stale: nothing happens.
///
/// Any thread, callbacks included.
#[no_mangle]
pub extern "C" fn oh_call_free(call: oh_call) {
    guard(|| {
        free_call(call.id);
        Ok(())
    });
}

pub(super) fn free_call(id: u64) {
    let Ok(object) = find::<CallObject>(id) else { return };
    let Some(session) = object.call.get() else { return };
    object.freed.store(true, Ordering::Release);
    session.leave("freed");
    // A second thread that frees meanwhile still finds the object, and waits here as well.
    let _: Closing = session.mailbox().close_and_wait();
    for part in object.parts.lock().drain(..) {
        registry().forget(part);
    }
    let _ = registry().remove::<CallObject>(id);
    if let Some(client) = object.client.upgrade() {
        client.calls.lock().remove(&id);
    }
}
