//! `oh_client`: configuration and credentials, the root of everything else.

use super::{
    call::free_call,
    convert::{argument, give, optional, required, sized},
    handles::registry,
    objects::{find, Client},
    process,
    protocol::oh_protocol,
    result::{guard, oh_result},
};
use crate::core::model::{Failure, FailureKind};
use crate::error::{Code, Error, Secret};
use crate::session::{Connection, EventHub};
use crate::signalling::{
    livekit::{token, LiveKitService},
    stream::{Coordinator, EventsOptions, StreamService},
    ws::WsLimits,
    Net, NetOptions,
};
use base64::Engine as _;
use std::{
    ffi::c_char,
    sync::{atomic::Ordering, Arc},
};

/// Configuration, credentials and the connections to the servers; calls are made from it. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_client {
    /// Unique in the process, for ever; 0 is none.
    pub id: u64,
}

/// How to reach the service, and as whom. Begin with OH_CLIENT_OPTIONS_INIT or
/// oh_client_options_init. All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_client_options {
    /// sizeof(oh_client_options).
    pub size: u32,
    /// Largest message taken from an SFU, in bytes, 1024 to 67108864; 0: 1048576. A larger one ends
    /// the connection with close code 1009.
    pub max_message_bytes: u32,
    /// Base URL of the coordinator, for instance "https://video.example.com". Required. With
    /// OH_PROTOCOL_LIVEKIT the URL of the server, for instance "wss://sfu.example.com"; several servers of
    /// one cluster may be given, parted by spaces: the first is asked first, the others when it is gone.
    pub url: *const c_char,
    /// The application's key at the service; NULL: none.
    pub api_key: *const c_char,
    /// Who joins; NULL: the claim `user_id` (with OH_PROTOCOL_LIVEKIT `sub`) of the token.
    pub user_id: *const c_char,
    /// The user's token (a JWT); NULL: every call asks for one with OH_EVENT_TOKEN_NEEDED.
    pub token: *const c_char,
    /// PEM file with certificates to trust besides those of the system; NULL: none.
    pub ca_file: *const c_char,
    /// URL that tells the nearest edge in its `x-amz-cf-pop` header; NULL: not asked.
    pub hint_url: *const c_char,
    /// Non-zero allows plain http and ws to hosts that are not loopback. Tokens then travel in the
    /// clear. TLS is always verified.
    pub allow_insecure: u32,
    /// Non-zero: also hear the coordinator's own events (OH_EVENT_CUSTOM), over one more WebSocket
    /// for all calls of this client. It is connected again whenever it is lost and never disturbs a
    /// call; a join waits 500 ms for its first connection at most.
    pub events: u32,
    /// oh_protocol: what is spoken with the service. api_key, hint_url and events are of
    /// OH_PROTOCOL_STREAM.
    pub protocol: i32,
    /// Zero.
    pub reserved: u32,
}

const DEFAULTS: oh_client_options = oh_client_options {
    size: size_of::<oh_client_options>() as u32,
    max_message_bytes: 0,
    url: std::ptr::null(),
    api_key: std::ptr::null(),
    user_id: std::ptr::null(),
    token: std::ptr::null(),
    ca_file: std::ptr::null(),
    hint_url: std::ptr::null(),
    allow_insecure: 0,
    events: 0,
    protocol: 0,
    reserved: 0,
};

/// Fills in the defaults; the same as OH_CLIENT_OPTIONS_INIT, for languages without macros.
///
/// @param options  may be NULL: then nothing happens.
///
/// # Safety
/// `options` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_client_options_init(options: *mut oh_client_options) {
    if !options.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { options.write(DEFAULTS) };
    }
}

/// Makes a client. Contacts nobody.
///
/// @param options  see oh_client_options; `url` is required.
/// @param client   receives the handle.
/// @return         OH_OK; OH_ERR_ARGUMENT with details in oh_last_error; OH_ERR_INSECURE for plain
///                 http to a host that is not loopback; OH_ERR_ABI; OH_ERR_LIMIT.
///
/// Any thread. Free it with oh_client_free.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`; `client` must be NULL or
/// writable.
#[no_mangle]
pub unsafe extern "C" fn oh_client_new(options: *const oh_client_options, client: *mut oh_client) -> oh_result {
    guard(|| {
        process::init();
        // SAFETY: by the caller's contract.
        unsafe { give(client, "client", || make(options)) }
    })
}

/// # Safety
/// As `oh_client_new`.
unsafe fn make(options: *const oh_client_options) -> crate::error::Result<oh_client> {
    if options.is_null() {
        return Err(argument("oh_client_new: options must not be NULL; url is required"));
    }
    // SAFETY: by the caller's contract, here and for the texts below.
    let options = unsafe { sized(options, DEFAULTS, "oh_client_options")? };
    let (url, api_key, user_id, token, ca_file, hint_url) = unsafe {
        (
            required(options.url, "oh_client_options.url")?,
            optional(options.api_key, "oh_client_options.api_key")?,
            optional(options.user_id, "oh_client_options.user_id")?,
            optional(options.token, "oh_client_options.token")?,
            optional(options.ca_file, "oh_client_options.ca_file")?,
            optional(options.hint_url, "oh_client_options.hint_url")?,
        )
    };
    let livekit = match options.protocol {
        p if p == oh_protocol::OH_PROTOCOL_STREAM as i32 => false,
        p if p == oh_protocol::OH_PROTOCOL_LIVEKIT as i32 => true,
        _ => return Err(argument("oh_client_options.protocol must be one of oh_protocol")),
    };
    let schemes: &[&str] = match livekit {
        true => &["wss://", "https://", "ws://", "http://"],
        false => &["https://", "http://"],
    };
    if !schemes.iter().any(|scheme| url.get(..scheme.len()).is_some_and(|u| u.eq_ignore_ascii_case(scheme))) {
        let text = format!(
            "oh_client_options.url must begin with {} (or {} for this machine)",
            schemes[0],
            schemes[schemes.len() - 1]
        );
        return Err(argument(text));
    }
    let token = Secret::new(token.unwrap_or_default());
    let claim = if livekit { "sub" } else { "user_id" };
    let claimed = || match livekit {
        true => token::read(&token).map(|claims| claims.identity).filter(|id| !id.is_empty()),
        false => user_id_of(&token),
    };
    let user_id = user_id.or_else(claimed).ok_or_else(|| {
        argument(format!("oh_client_options.user_id is missing, and the token has no claim {claim} to take it from"))
    })?;
    let mut limits = WsLimits::default();
    match options.max_message_bytes {
        0 => {}
        bytes @ 1_024..=67_108_864 => limits.max_message = bytes as usize,
        _ => return Err(argument("oh_client_options.max_message_bytes must be 0 or 1024..=67108864")),
    }
    let net = Arc::new(Net::new(NetOptions {
        insecure_allowed: options.allow_insecure != 0,
        ca_file: ca_file.map(Into::into),
    }));
    let engine = crate::rtc::default_engine();
    let connection = if livekit {
        let service = LiveKitService::new(net, &url, limits).map_err(|f| bad_url(&f))?;
        Connection { protocol: Arc::new(service), engine, coordinator: None, events: None }
    } else {
        let api_key = api_key.unwrap_or_default();
        let coordinator = Coordinator::new(net.clone(), &url, &api_key, &user_id).map_err(|f| bad_url(&f))?;
        if let Some(hint) = &hint_url {
            net.url(hint).map_err(|f| bad_url(&f))?;
        }
        let coordinator = Arc::new(coordinator);
        let hub = || EventHub::new(coordinator.clone(), token.clone(), EventsOptions::default());
        let events = (options.events != 0).then(|| Arc::new(hub()));
        let hint_url = hint_url.unwrap_or_default();
        let service = StreamService::new(net, coordinator.clone(), api_key, limits, hint_url);
        Connection { protocol: Arc::new(service), engine, coordinator: Some(coordinator), events }
    };
    let client = Client { connection, user_id, token, calls: Default::default(), freed: Default::default() };
    Ok(oh_client { id: registry().insert(Arc::new(client))? })
}

fn bad_url(failure: &Failure) -> Error {
    let code = if failure.kind == FailureKind::Insecure { Code::Insecure } else { Code::Argument };
    Error::new(code, format!("oh_client_options.url or hint_url: {}", failure.message))
}

/// The claim `user_id` of a JWT (RFC 7519). The token is not verified: that is the server's part.
fn user_id_of(token: &Secret) -> Option<String> {
    let payload = token.reveal().split('.').nth(1)?;
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    claims.get("user_id")?.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

/// Frees a client and what is left of it: its calls are left and freed as by oh_call_free, in any
/// order relative to handles of your own.
///
/// @param client  none or stale: nothing happens.
///
/// Any thread, callbacks included. May wait for callbacks in progress on other threads.
#[no_mangle]
pub extern "C" fn oh_client_free(client: oh_client) {
    guard(|| {
        let Ok(object) = find::<Client>(client.id) else { return Ok(()) };
        object.freed.store(true, Ordering::Release);
        // All leave at once, then each is waited for.
        let calls: Vec<u64> = object.calls.lock().iter().copied().collect();
        for id in &calls {
            if let Ok(call) = find::<super::objects::CallObject>(*id) {
                if let Some(call) = call.call.get() {
                    call.leave("freed");
                }
            }
        }
        for id in calls {
            free_call(id);
        }
        if let Some(events) = &object.connection.events {
            events.close();
        }
        let _ = registry().remove::<Client>(client.id);
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_id_comes_from_the_token() {
        let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(br#"{"user_id":"alice"}"#);
        assert_eq!(user_id_of(&Secret::new(format!("x.{claims}.y"))).as_deref(), Some("alice"));
        for bad in ["", ".", "a.b", "a.!!.c", "a..c", "a.e30.c"] {
            assert_eq!(user_id_of(&Secret::new(bad)), None, "{bad}");
        }
    }
}
