//! `oh_call`: join, wait, leave, free.

use super::{
    audio::{oh_audio_format, oh_audio_handler},
    client::oh_client,
    convert::{argument, credential, give, optional, path_part, put_lines, required, sized},
    deliver::mailbox,
    event::oh_event_handler,
    event_view::state_of,
    handles::registry,
    library::{oh_destroy, timeout, OH_NO_DRAIN},
    objects::{find, CallObject, Client},
    result::{guard, oh_result},
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
    mem::offset_of,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    time::Duration,
};

/// A call: one participant's presence, from oh_call_join to oh_call_free. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_call {
    /// Unique in the process, for ever; 0 is none.
    pub id: u64,
}

/// Who hears what happens. With neither on_event nor on_audio the call is in pull mode: see
/// oh_call_next_event.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct oh_call_handlers {
    /// NULL: events are not told (with on_audio set).
    pub on_event: oh_event_handler,
    /// NULL: sound is not told.
    pub on_audio: oh_audio_handler,
    /// Called exactly once, after the last callback of this call; may be NULL. Not called when
    /// oh_call_join fails: user_data then stays the caller's.
    pub destroy: oh_destroy,
    /// Handed back to all three.
    pub user_data: *mut c_void,
}

/// What to join and how. Begin with OH_CALL_OPTIONS_INIT or oh_call_options_init. All text is copied.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct oh_call_options {
    /// sizeof(oh_call_options).
    pub size: u32,
    /// Retries of a failed join on other edges, 0 to 10; INIT sets 3.
    pub join_retries: i32,
    /// Which call. Required; with OH_PROTOCOL_LIVEKIT the room, NULL: the one that the token is for. With
    /// OH_PROTOCOL_STREAM id and call_type are parts of a path: 1024 bytes at most, no control characters, not "."
    /// or "..".
    pub id: *const c_char,
    /// The call's type; NULL: "default".
    pub call_type: *const c_char,
    /// Token for this call instead of the client's; NULL: the client's. Blanks and line breaks around it are left
    /// out.
    pub token: *const c_char,
    /// The `data` of the join request as a JSON object; NULL: none.
    pub data_json: *const c_char,
    /// Who hears what happens; all zero: pull mode.
    pub handlers: oh_call_handlers,
    /// Samples per second of what is heard, 8000 to 192000; 0: 48000.
    pub audio_rate: u32,
    /// Channels of what is heard, 1 or 2; 0: 1.
    pub audio_channels: u32,
    /// oh_audio_format of what is heard.
    pub audio_format: i32,
    /// Receive buffer: least and greatest delay in ms, 0 to 2000; both 0: 20 to 200.
    pub audio_min_delay_ms: u32,
    /// As audio_min_delay_ms.
    pub audio_max_delay_ms: u32,
    /// Events queued for the application at most, 16 to 65536; 0: 1024. Beyond it events are
    /// dropped and OH_EVENT_LOST says how many. Room of their own have participants who come and go and their
    /// tracks (32768 events, 16 MiB). Answers to procedure calls, state events and the terminal event are never
    /// dropped, nor are packets and texts of participants: beyond as many, what is sent reliably is left with its
    /// sender (flow control).
    pub event_queue: u32,
    /// Frames of 20 ms queued for the application at most, 1 to 4096, all participants together;
    /// 0: 50. Beyond it the oldest is dropped and counted.
    pub audio_queue: u32,
    /// Non-zero: never receive (a publish-only bot). No subscriber is created; with OH_PROTOCOL_LIVEKIT one for
    /// which nothing is asked, because servers take that connection for the participant's.
    pub no_subscriber: u32,
    /// Pull mode: non-zero to get sound as OH_EVENT_AUDIO.
    pub pull_audio: u32,
    /// Non-zero: do not create the call when it does not exist.
    pub no_create: u32,
    /// Non-zero: ring the members.
    pub ring: u32,
    /// Non-zero: notify the members.
    pub notify: u32,
    /// How long a lost connection is looked for before the call ends, in ms; 0: 30000; OH_FOREVER: as
    /// long as it takes. Meanwhile the call is in OH_STATE_RECONNECTING, MIGRATING or OFFLINE; handles
    /// stay valid and what is written to tracks is discarded.
    pub disconnect_timeout_ms: u32,
    /// Non-zero: ask with OH_EVENT_TOKEN_NEEDED for another token when the one given has expired. Always
    /// so when none was given.
    pub renew_token: u32,
    /// Non-zero: a track is received only when oh_subscriber_set_track asks for it (OH_CAP_SUBSCRIPTIONS).
    pub no_auto_subscribe: u32,
    /// Zero.
    pub reserved: u32,
    /// How long oh_call_leave and oh_call_free go on sending what was accepted before (audio, data, texts, custom
    /// events, answers to procedure calls), in ms, 1 to 1000; 0: 1000; OH_NO_DRAIN: not at all. The whole of a leave
    /// still takes two seconds at most.
    pub drain_ms: u32,
    /// Non-zero: pieces of texts come as they arrive, too (OH_EVENT_TEXT_PART).
    pub partial_texts: u32,
    /// Non-zero: a track that a moderator unmutes stays muted until oh_track_set_muted agrees; see
    /// oh_event_track.held.
    pub hold_unmute: u32,
    /// Bytes of payload in events that wait for the application at most, 65536 to 1073741824; 0: 4194304. Beyond
    /// it reliable data is left with its sender (flow control), everything else as beyond event_queue.
    pub event_bytes: u32,
}

const DEFAULTS: oh_call_options = oh_call_options {
    size: size_of::<oh_call_options>() as u32,
    join_retries: 3,
    id: std::ptr::null(),
    call_type: std::ptr::null(),
    token: std::ptr::null(),
    data_json: std::ptr::null(),
    handlers: oh_call_handlers { on_event: None, on_audio: None, destroy: None, user_data: std::ptr::null_mut() },
    audio_rate: 0,
    audio_channels: 0,
    audio_format: 0,
    audio_min_delay_ms: 0,
    audio_max_delay_ms: 0,
    event_queue: 0,
    audio_queue: 0,
    no_subscriber: 0,
    pull_audio: 0,
    no_create: 0,
    ring: 0,
    notify: 0,
    disconnect_timeout_ms: 0,
    renew_token: 0,
    no_auto_subscribe: 0,
    reserved: 0,
    drain_ms: 0,
    partial_texts: 0,
    hold_unmute: 0,
    event_bytes: 0,
};

/// Fills in the defaults; the same as OH_CALL_OPTIONS_INIT, for languages without macros.
///
/// @param options  may be NULL: then nothing happens.
///
/// # Safety
/// `options` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_options_init(options: *mut oh_call_options) {
    if !options.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { options.write(DEFAULTS) };
    }
}

/// Starts to join a call. Returns at once; OH_EVENT_JOINED or OH_EVENT_ENDED tells the result
/// (oh_call_wait waits for it).
///
/// @param client   the client; it must live as long as its calls, freeing it frees them.
/// @param options  see oh_call_options; `id` is required.
/// @param call     receives the handle, before the first callback runs.
/// @return         OH_OK; OH_ERR_ARGUMENT with details in oh_last_error; OH_ERR_HANDLE; OH_ERR_ABI;
///                 OH_ERR_LIMIT when the system has no threads or descriptors left, or when more than
///                 oh_limits.queue_bytes wait for the application; OH_ERR_STATE while the library shuts
///                 down. On failure destroy is not called, and `call` is not written.
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
            return Err(argument("oh_call_join: options must not be NULL; id is required"));
        }
        if call.is_null() {
            return Err(argument("call must not be NULL"));
        }
        // SAFETY: by the caller's contract.
        let options = unsafe { sized(options, DEFAULTS, offset_of!(oh_call_options, drain_ms), "oh_call_options")? };
        // SAFETY: by the caller's contract.
        let settings = unsafe { settings(&client, &options)? };
        join(&client, &options, settings, |id| {
            // SAFETY: checked above, and writable by the caller's contract.
            unsafe { call.write(oh_call { id }) };
        })
    })
}

fn within(value: u32, default: u32, range: std::ops::RangeInclusive<u32>, what: &str) -> Result<u32> {
    match value {
        0 => Ok(default),
        v if range.contains(&v) => Ok(v),
        _ => Err(argument(format!("oh_call_options.{what} must be 0 or {} to {}", range.start(), range.end()))),
    }
}

/// Checks everything that can be checked before anything is made.
///
/// # Safety
/// The strings of `options` must be valid.
unsafe fn settings(client: &Client, options: &oh_call_options) -> Result<(CallOptions, Limits)> {
    // SAFETY: by the caller's contract.
    let (id, call_type, token, data_json) = unsafe {
        (
            optional(options.id, "oh_call_options.id")?,
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
    let join_retries = u32::try_from(options.join_retries)
        .ok()
        .filter(|n| *n <= 10)
        .ok_or_else(|| argument("oh_call_options.join_retries must be 0 to 10"))?;
    let format = options.audio_format;
    if !(oh_audio_format::OH_AUDIO_S16 as i32..=oh_audio_format::OH_AUDIO_OPUS as i32).contains(&format) {
        return Err(argument("oh_call_options.audio_format must be one of oh_audio_format"));
    }
    let (min, max) = match (options.audio_min_delay_ms, options.audio_max_delay_ms) {
        (0, 0) => (20, 200),
        (min, max) if min <= max && (20..=2_000).contains(&max) => (min, max),
        _ => return Err(argument("oh_call_options: audio_min_delay_ms <= audio_max_delay_ms, and that 20 to 2000")),
    };
    let pull = options.handlers.on_event.is_none() && options.handlers.on_audio.is_none();
    if pull && options.handlers.destroy.is_some() {
        return Err(argument("oh_call_options.handlers: destroy without a handler; pull mode has no user_data"));
    }
    let wanted = if pull { options.pull_audio != 0 } else { options.handlers.on_audio.is_some() };
    let audio = AudioOptions {
        rate: within(options.audio_rate, 48_000, 8_000..=192_000, "audio_rate")?,
        channels: within(options.audio_channels, 1, 1..=2, "audio_channels")? as u8,
        float: format == oh_audio_format::OH_AUDIO_F32 as i32,
        opus: format == oh_audio_format::OH_AUDIO_OPUS as i32,
        min_delay_ms: min,
        max_delay_ms: max,
        wanted,
    };
    let limits = Limits {
        control: within(options.event_queue, 1_024, 16..=65_536, "event_queue")? as usize,
        media: within(options.audio_queue, 50, 1..=4_096, "audio_queue")? as usize,
        bytes: within(options.event_bytes, 4 << 20, 65_536..=1 << 30, "event_bytes")? as usize,
        ..Limits::default()
    };
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|_| Error::new(Code::Limit, "the system gave no random numbers"))?;
    let token = token.map(Secret::new).unwrap_or_else(|| client.token.clone());
    let dialect = *client.connection.protocol.dialect();
    let id = which_call(client.connection.protocol.call_of(&token), id)?;
    if dialect.ids_in_paths {
        path_part(&id, "oh_call_options.id")?;
        path_part(call_type.as_deref().unwrap_or_default(), "oh_call_options.call_type")?;
    }
    let disconnect_timeout = match options.disconnect_timeout_ms {
        0 => Duration::from_secs(30),
        u32::MAX => Duration::ZERO,
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
        join_retries,
        subscribe: options.no_subscriber == 0,
        subscriber_sdp: announce_sdp(PeerKind::Subscriber),
        publisher_sdp: announce_sdp(PeerKind::Publisher),
        hold_unmute: options.hold_unmute != 0,
        renew_token: options.renew_token != 0 || token.is_empty(),
        token,
        disconnect_timeout,
        partial_texts: options.partial_texts != 0,
        seed: u64::from_ne_bytes(seed),
    };
    // Who never receives asks for nothing either.
    let auto_subscribe = options.no_auto_subscribe == 0 && options.no_subscriber == 0;
    let data = Bounds { messages: limits.control, bytes: limits.bytes };
    let drain = match options.drain_ms {
        OH_NO_DRAIN => 0,
        _ => within(options.drain_ms, 1_000, 1..=1_000, "drain_ms")?,
    };
    let drain = Duration::from_millis(u64::from(drain));
    Ok((CallOptions { config, auto_subscribe, audio, data, drain, transforms: Arc::new(NoTransforms) }, limits))
}

/// The call's id. A token that names its room leads there, whatever the application asks for: better said
/// than found out.
fn which_call(bound: Option<String>, id: Option<String>) -> Result<String> {
    match (id, bound) {
        (Some(id), Some(room)) if id != room => {
            Err(argument("oh_call_options.id is not the call that the token is for (claim video.room)"))
        }
        (Some(id), _) => Ok(id),
        (None, Some(room)) => Ok(room),
        (None, None) => Err(argument("oh_call_options.id is missing; it must not be NULL or empty")),
    }
}

fn join(
    client: &Arc<Client>,
    options: &oh_call_options,
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
    let mailbox = mailbox(oh_call { id }, &object, options.handlers, limits, started.clone(), handed_over.clone());
    let made = Call::new(client.connection.clone(), settings, mailbox, handed_over);
    let begun = made.and_then(|(call, launch)| {
        let _ = object.call.set(call);
        // Whether the join succeeds is decided here, against a free of the client on another thread: that one either
        // finds the call among the client's, or is found here. Only then the application hears of the handle.
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
            "oh_call_join: {waiting} bytes wait for the application in all calls, {limit} are allowed \
             (oh_limits.queue_bytes); let handlers return sooner, or free calls"
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
/// @param state       oh_state; OH_STATE_JOINED and OH_STATE_LEFT are the useful ones. For
///                    OH_STATE_LEFT it waits until OH_EVENT_ENDED was handed over (and destroy
///                    called), so that freeing the call next loses nothing.
/// @param timeout_ms  how long to wait; 0: only look; OH_FOREVER.
/// @return            OH_OK when the call is in that state; OH_ERR_TIMEOUT; when the call ended
///                    first: the error it ended with (OH_ERR_CANCELLED when the application left),
///                    oh_last_error has its text; OH_ERR_WOULD_DEADLOCK inside a callback of the
///                    same call, and for OH_STATE_LEFT inside a callback of another call for which a
///                    callback of this one waits, directly or around corners.
#[no_mangle]
pub extern "C" fn oh_call_wait(call: oh_call, state: i32, timeout_ms: u32) -> oh_result {
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
        .ok_or_else(|| argument("oh_call_wait: state must be one of oh_state"))?;
        let session = find::<CallObject>(call.id)?.call()?.clone();
        session.wait(wanted, timeout(timeout_ms))
    })
}

/// The state a call is in now.
///
/// @param state  receives an oh_state.
/// @return       OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// # Safety
/// `state` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_state(call: oh_call, state: *mut i32) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let session = object.call()?;
        // SAFETY: by the caller's contract.
        unsafe { give(state, "state", || Ok(state_of(session.state()))) }
    })
}

/// What a call was given and what it decided: the trace of its rules, to find out why it did what it did, and to let
/// the same happen again. Lines of JSON: the first has the call's settings, each other one something that was given
/// ("in", "tick", with the time in ns) or decided ("out"). Of a long call the end is kept. Works until the call is
/// freed, also when it is over. Attach it to a report of a defect.
///
/// No tokens, passwords, metadata, texts, payloads and packets of media are in it: a hash or a length stands in their
/// place. Names of participants and addresses of this machine are.
///
/// @param buf     receives the text, cut after the last line that fits and always NUL-terminated; may be NULL when
///                len is 0.
/// @param len     bytes at buf.
/// @param needed  receives the bytes that the whole text needs without its NUL; a call that goes on may need more
///                the next time.
/// @return        OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread, callbacks included. Usually less than 1 MiB.
///
/// # Safety
/// `buf` must be NULL or point to `len` writable bytes; `needed` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_trace(call: oh_call, buf: *mut c_char, len: usize, needed: *mut usize) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        if needed.is_null() || (buf.is_null() && len > 0) {
            return Err(argument("oh_call_trace: needed must not be NULL, and buf only with a len of 0"));
        }
        let text = session.trace();
        // SAFETY: by the caller's contract.
        unsafe {
            put_lines(&text, buf, len);
            needed.write(text.len());
        }
        Ok(())
    })
}

/// Answers OH_EVENT_TOKEN_NEEDED, inside the callback or later.
///
/// @param token  the user's token, blanks and line breaks around it are left out; NULL: there is none, the join
///               fails with OH_ERR_AUTH.
/// @return       OH_OK; OH_ERR_STATE when the call is over; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread. Without a question the token is ignored. With OH_PROTOCOL_LIVEKIT a token for another call is an
/// argument error, and the question stays.
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

/// Sends a custom event to everyone who watches the call (participants whose clients hear the
/// coordinator's events, this one included). Returns at once; the events of one call are sent in
/// order. What could not be sent comes as OH_EVENT_ERROR and is not sent again.
///
/// @param call  the call, joined; its client needs no oh_client_options.events to send.
/// @param json  a JSON object, 16384 bytes at most.
/// @return      OH_OK; OH_ERR_ARGUMENT when json is no JSON object, or too long; OH_ERR_STATE before
///              the join or after the end; OH_ERR_FULL when 32 of them wait to be sent;
///              OH_ERR_HANDLE; OH_ERR_LIMIT.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `json` must be NULL or a NUL-terminated string.
#[no_mangle]
pub unsafe extern "C" fn oh_call_send_custom(call: oh_call, json: *const c_char) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let json = unsafe { required(json, "json")? };
        session.send_custom(json)
    })
}

/// Leaves: sends what was accepted before (audio, data, texts, custom events, answers to procedure calls), says
/// leave message, and ends with OH_EVENT_ENDED within 2 s. Returns at once; from here on nothing more is accepted, and
/// nothing more is received.
///
/// What waits is sent within oh_call_options.drain_ms, only as long as it takes; the last sound has 0.2 s more to be
/// heard before the others learn that this participant is gone. What could not be sent in time, or because the
/// connection was lost, comes as OH_EVENT_UNSENT before OH_EVENT_ENDED.
///
/// @param call    the call; leaving twice, or after the end, is fine.
/// @param reason  told to the SFU, cut to 115 bytes; may be NULL.
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

/// Frees a call: leaves it if that was not done, and ends its callbacks. Its publisher, subscriber
/// and tracks are freed with it.
///
/// After it returns, no callback of this call runs, and destroy has been called: a callback in
/// progress on another thread is waited for. Inside a callback of the same call it returns at once
/// and takes effect when that callback returns. So it does when the callback in progress itself waits for the
/// callback that this is called in: calls that free each other, or wait for each other, inside their callbacks
/// do not deadlock. What was accepted before is still sent, as after oh_call_leave, and the leave message to the SFU follows:
/// in the background, 2 s at most. What could not be sent is then only logged: to hear of it, call oh_call_leave
/// and wait for OH_STATE_LEFT first. A process that ends meanwhile ends it, too: oh_shutdown_wait waits for it.
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
