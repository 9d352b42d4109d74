//! `oh_client`: configuration and credentials, the root of everything else.

use super::{
    basic::oh_bool,
    call::free_call,
    convert::{argument, credential, give, optional, required},
    handles::registry,
    network::{self, oh_ip_family_t},
    objects::{find, Client},
    process,
    protocol::{oh_protocol, oh_protocol_t},
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::core::model::{Failure, FailureKind};
use crate::error::{Code, Error, Secret};
use crate::rtc::engine::NetworkPolicy;
use crate::session::Connection;
use crate::signalling::{Net, NetOptions, Service, ServiceOptions};
use std::{
    ffi::c_char,
    sync::{atomic::Ordering, Arc},
};

/// A client: configuration, credentials and connections to the service. Calls are joined with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_client {
    /// Never used twice; 0: none.
    pub id: u64,
}

/// How to reach the service, and as whom. Begin with OH_INIT(oh_client_options). All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_client_options {
    /// sizeof(oh_client_options).
    pub size: usize,
    /// Base URL of the coordinator, for instance "https://video.example.com". Required. With OH_PROTOCOL_LIVEKIT the URL
    /// of the server, for instance "wss://sfu.example.com". Several servers of one cluster may be given,
    /// space-separated; tried in order. A query in it is part of every request.
    pub url: *const c_char,
    /// The application's API key; NULL: none. Blanks and line breaks around api_key and token are ignored; inside they
    /// are OH_ERR_ARGUMENT.
    pub api_key: *const c_char,
    /// The user id; NULL: the claim `user_id` (OH_PROTOCOL_LIVEKIT: `sub`) of the token. Required
    /// without a token.
    pub user_id: *const c_char,
    /// The user's token (a JWT); NULL: every call asks for one with OH_EVENT_TOKEN_NEEDED.
    pub token: *const c_char,
    /// PEM file with certificates to trust besides those of the system; NULL: none. A server that presents one of them
    /// itself (a self-signed certificate) is accepted as well; host name and validity are checked in any case. Keys on
    /// the curve P-521 are not supported.
    pub ca_file: *const c_char,
    /// URL whose response names the nearest edge in the header `x-amz-cf-pop`; NULL: not requested. It gets no token.
    pub hint_url: *const c_char,
    /// Largest message accepted from an SFU, in bytes on the wire, 1024 to 67108864; 0: 1048576, with
    /// OH_PROTOCOL_LIVEKIT 16777216 (3,000 participants with 4 KiB of metadata each). A larger one closes the connection
    /// with code 1009 and is reported with OH_ERR_LIMIT, the name of this option and the size: a join ends with it; later
    /// it is an OH_EVENT_ERROR and the call reconnects, and ends when it comes again within two minutes. Within it, no
    /// text of a participant or room is cut.
    pub max_message_bytes: usize,
    /// The protocol of the service; 0: OH_PROTOCOL_AUTO. api_key, hint_url and receive_custom_events are for
    /// OH_PROTOCOL_STREAM.
    pub protocol: oh_protocol_t,
    /// Allow plain http and ws to hosts that are not loopback. Tokens then travel in the clear. TLS is always verified.
    pub allow_insecure: oh_bool,
    /// Allow tokens to be sent to hosts that the server names over a connection without TLS. Otherwise: over TLS, any
    /// host that the server names; without TLS, only the host that the token was given for (all ports of it; the
    /// addresses of loopback are one host). Redirects are never followed. A server that is not on this machine or link
    /// must not name loopback or link-local addresses, not by a name either, whatever is set here: OH_ERR_INSECURE.
    pub allow_other_hosts: oh_bool,
    /// Receive custom events of the coordinator (OH_EVENT_CUSTOM), over one more WebSocket for all calls of this client.
    /// It reconnects by itself and never affects a call; a join waits at most 500 ms for its first connection.
    pub receive_custom_events: oh_bool,
    /// HTTP or SOCKS5 proxy for connections to the service and for TURN over TCP and TLS, for instance
    /// "http://user:password@proxy.example.com:3128"; also https://, socks5:// and socks5h:// (the same). The proxy looks up
    /// the names. Other characters of user and password are percent-encoded. NULL: as the environment says
    /// (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY). "none": no proxy. Servers on loopback are always reached directly,
    /// and UDP never goes through a proxy. The password is never part of an error, a log line or a trace.
    pub proxy: *const c_char,
    /// The only network interfaces to use for media, by name, with commas between: "eth0,wl*". A * at the end stands for
    /// any rest; a name that begins with ! is not used: "!docker*". At most 64 names. NULL: those that routes to the SFU
    /// lead through. With names that begin with ! only: the same without these.
    pub interfaces: *const c_char,
    /// IP addresses to use for media; 0: OH_IP_ANY.
    pub ip_family: oh_ip_family_t,
    /// Use only addresses of TURN servers for media, and send the SFU no others. A call whose service names no TURN server
    /// then has no media.
    pub relay_only: oh_bool,
    /// First local UDP port for media, 1 to 65535; 0 for both ports: any. A session uses up to two ports of each local
    /// address; while a call reconnects, those of two sessions. The range is shared by all calls of this machine that use
    /// it, and must hold at least two ports.
    pub media_port_min: u32,
    /// Last local UDP port for media, more than media_port_min.
    pub media_port_max: u32,
    /// Differentiated services code point (RFC 2474) of media packets, 0 to 63, for instance 46 (EF) for voice; 0: the
    /// system's. Networks may ignore or change it.
    pub dscp: u32,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_client_options to reserved);

/// Makes a client. Opens no connection.
///
/// @param options  see oh_client_options; `url` is required.
/// @param client   receives the handle.
/// @return         OH_OK; OH_ERR_ARGUMENT with details in oh_get_last_error; OH_ERR_INSECURE for plain http or ws to a
///                 host that is not loopback; OH_ERR_ABI; OH_ERR_LIMIT.
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

/// The options of a client, checked, before anything is made of them.
pub(super) struct Checked {
    pub service: Service,
    pub options: ServiceOptions,
    pub net: NetOptions,
    pub policy: NetworkPolicy,
}

/// `user`: a user id is required.
///
/// # Safety
/// The texts of `options` must be NULL or NUL-terminated.
pub(super) unsafe fn check(options: &oh_client_options, user: bool) -> crate::error::Result<Checked> {
    // SAFETY: by the caller's contract, here and for the texts below.
    let (url, api_key, user_id, token, ca_file, hint_url) = unsafe {
        (
            required(options.url, "oh_client_options.url")?.trim().to_owned(),
            credential(options.api_key, "oh_client_options.api_key")?,
            optional(options.user_id, "oh_client_options.user_id")?,
            credential(options.token, "oh_client_options.token")?,
            optional(options.ca_file, "oh_client_options.ca_file")?,
            optional(options.hint_url, "oh_client_options.hint_url")?,
        )
    };
    let begins = |scheme: &str| url.get(..scheme.len()).is_some_and(|u| u.eq_ignore_ascii_case(scheme));
    let service = match options.protocol {
        // A coordinator is never reached by a WebSocket's URL.
        p if p == oh_protocol::OH_PROTOCOL_AUTO as i32 => match begins("wss://") || begins("ws://") {
            true => Service::LiveKit,
            false => Service::Stream,
        },
        p if p == oh_protocol::OH_PROTOCOL_STREAM as i32 => Service::Stream,
        p if p == oh_protocol::OH_PROTOCOL_LIVEKIT as i32 => Service::LiveKit,
        _ => return Err(argument("oh_client_options.protocol must be one of oh_protocol")),
    };
    if !["wss://", "https://", "ws://", "http://"].into_iter().any(begins) {
        let scheme = service.scheme();
        let text = format!("oh_client_options.url must begin with {scheme}:// (or http:// for this machine)");
        return Err(argument(text));
    }
    let token = Secret::new(token.unwrap_or_default());
    let claim = service.user_claim();
    let user_id = user_id.or_else(|| service.user_of(&token));
    if user && user_id.is_none() {
        let text = format!("oh_client_options.user_id is missing, and the token has no claim {claim} to take it from");
        return Err(argument(text));
    }
    let mut limits = service.limits();
    match options.max_message_bytes {
        0 => {}
        bytes @ 1_024..=67_108_864 => limits.max_message = bytes,
        _ => return Err(argument("oh_client_options.max_message_bytes must be 0 or 1024 to 67108864")),
    }
    // SAFETY: by the caller's contract.
    let (policy, proxy) = unsafe { (network::policy(options)?, network::proxy(options)?) };
    let net = NetOptions {
        insecure_allowed: options.allow_insecure != 0,
        ca_file: ca_file.map(Into::into),
        other_hosts_allowed: options.allow_other_hosts != 0,
        proxy,
    };
    let options = ServiceOptions {
        url,
        api_key: api_key.unwrap_or_default(),
        user_id: user_id.unwrap_or_default(),
        token,
        hint_url: hint_url.unwrap_or_default(),
        events: options.receive_custom_events != 0,
        limits,
    };
    Ok(Checked { service, options, net, policy })
}

/// # Safety
/// As `oh_client_new`.
unsafe fn make(options: *const oh_client_options) -> crate::error::Result<oh_client> {
    if options.is_null() {
        return Err(argument("oh_client_new: options must not be NULL; url is required"));
    }
    // SAFETY: by the caller's contract.
    let Checked { service, options, net, policy } = unsafe { check(&read(options)?, true)? };
    let (user_id, token) = (options.user_id.clone(), options.token.clone());
    let net = Arc::new(Net::new(net).map_err(argument)?);
    let streams = Arc::new(crate::rtc::ServerStreams::new(net.dialer()));
    let engine = crate::rtc::default_engine(policy, Some(streams));
    let protocol = service.connect(net, options).map_err(|f| bad_url(&f))?;
    let connection = Connection { protocol, engine };
    let client = Client { connection, user_id, token, calls: Default::default(), freed: Default::default() };
    Ok(oh_client { id: registry().insert(Arc::new(client))? })
}

fn bad_url(failure: &Failure) -> Error {
    let code = if failure.kind == FailureKind::Insecure { Code::Insecure } else { Code::Argument };
    Error::new(code, format!("oh_client_options.url or hint_url: {}", failure.message))
}

/// Frees a client and its calls, which are left and freed as by oh_call_free. Handles of its calls, tracks and so on may
/// be freed before or after.
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
        object.connection.protocol.close();
        let _ = registry().remove::<Client>(client.id);
        Ok(())
    });
}
