//! `oh_diagnose`: why a call does not connect.

use super::{
    basic::{oh_bool, oh_destroy},
    call::which_call,
    client::{check, oh_client_options, Checked},
    convert::{argument, c_text, credential, number, optional, path_part, required},
    library::{UserData, OH_FOREVER},
    process,
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::core::model::IceServer;
use crate::diagnose::{self, Journal, Report, Request, State};
use crate::dispatch::{self, Delivery, Handler, Limits, Mailbox};
use crate::error::{Code, Error, Result, Secret};
use crate::runtime;
use std::{
    convert::Infallible,
    ffi::{c_char, c_void},
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};

/// Most diagnoses at a time.
const MAX_RUNNING: usize = 8;
/// Most ICE servers of one.
const MAX_ICE_SERVERS: usize = 16;
/// Most bytes of a URL, user name or password of an ICE server.
const MAX_ICE_TEXT: usize = 4_096;

static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A STUN or TURN server. Begin with OH_INIT(oh_ice_server). All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_ice_server {
    /// sizeof(oh_ice_server).
    pub size: usize,
    /// Its URL (RFC 7064, RFC 7065), for instance "turn:turn.example.com:3478?transport=tcp". Required.
    pub url: *const c_char,
    /// The user name; NULL: none. Required for TURN.
    pub username: *const c_char,
    /// The password; NULL: none. Required for TURN. It is never part of a report.
    pub password: *const c_char,
}

/// What to diagnose. Begin with OH_INIT(oh_diagnose_options). All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_diagnose_options {
    /// sizeof(oh_diagnose_options).
    pub size: usize,
    /// The service and how to reach it, as for oh_client_new. Required, with its `url`. Without a token, the service is
    /// asked whether it is there; user_id is needed for a join only.
    pub client: *const oh_client_options,
    /// The call to join for a moment, with the token of `client`; NULL: no call is joined. Other participants see the
    /// local one join, with a muted microphone, and leave. No audio is sent. As by oh_call_join, the call is created if
    /// it does not exist.
    pub call_id: *const c_char,
    /// The type of the call; NULL: "default".
    pub call_type: *const c_char,
    /// STUN and TURN servers to check besides those that the service names in a join: `ice_server_count` pointers; NULL
    /// when ice_server_count is 0.
    pub ice_servers: *const *const oh_ice_server,
    /// Number of servers, at most 16.
    pub ice_server_count: usize,
    /// The longest time for everything, in ms, 100 to 600000; 0: 20000. What is not done then has failed.
    pub timeout_ms: u32,
    /// Zero.
    pub reserved: u32,
}

/// The result of oh_diagnose.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_diagnosis {
    /// sizeof(oh_diagnosis) in the library.
    pub size: usize,
    /// The report for people: a line for each step with its state, what it concerns, its time and what was found; then
    /// single results, and what to do ("->").
    pub text: *const c_char,
    /// The same for programs, a JSON object: `format` (1), `version` of the library, `state`, `complete`, `ms`, `failed`,
    /// `warnings`, and the array `steps`. A step has `name`, `target`, `state` ("ok", "warning", "failed" or "skipped"),
    /// `ms` and `found`; if there is something to say also `cause` (one word, for instance "certificate_expired"),
    /// `advice` and `details` (an array of texts). Later versions may have more members, names and causes.
    pub report_json: *const c_char,
    /// Steps that failed.
    pub steps_failed: u32,
    /// Steps with a warning.
    pub steps_warning: u32,
    /// The time was over, or the library shut down, before all steps were taken.
    pub incomplete: oh_bool,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_ice_server to password, oh_diagnose_options to reserved, oh_diagnosis to reserved);

/// Receives the result of oh_diagnose.
///
/// @param user_data  as given to oh_diagnose.
/// @param diagnosis  valid until the handler returns.
///
/// Runs once, on a callback thread. It may use the library.
pub type oh_diagnosis_handler = Option<unsafe extern "C" fn(user_data: *mut c_void, diagnosis: *const oh_diagnosis)>;

/// Finds out why a call does not connect, step by step: this machine's addresses and routes, name look-up, TCP to each
/// address, proxy, TLS and the certificate, whether the service answers and accepts the token; with a token and a call_id
/// a short join, with the addresses and the relay that media uses; and each STUN and TURN server by itself, over UDP, TCP
/// and TLS. Each step is logged with OH_LOG_INFO when it ends.
///
/// It waits for the network, so the result goes to a handler, as everything that comes later: the caller never blocks, and
/// calls of the process are not affected. It needs no oh_client, which cannot be made of some of the options that are to be
/// checked. It cannot be stopped, but is bounded by timeout_ms; oh_shutdown_wait ends it at once, with what is known.
///
/// A report has no tokens, passwords or queries of URLs. It does have host names and addresses of this machine and of
/// servers.
///
/// @param options    `client` is required.
/// @param handler    receives the result, exactly once. Required.
/// @param user_data  passed to handler.
/// @param destroy    called once, after the handler; may be NULL. Not called on failure: user_data then stays the
///                   caller's, and the handler is not called.
/// @return           OH_OK; OH_ERR_ARGUMENT with details in oh_get_last_error; OH_ERR_ABI; OH_ERR_LIMIT when 8 are in
///                   progress, or the system has no threads or descriptors left; OH_ERR_STATE while the library shuts
///                   down. What is wrong with the network or the service is no failure of this function.
///
/// Any thread, callbacks included. Returns at once.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid texts, structures and array. The
/// handler must be callable from any thread.
#[no_mangle]
pub unsafe extern "C" fn oh_diagnose(
    options: *const oh_diagnose_options,
    handler: oh_diagnosis_handler,
    user_data: *mut c_void,
    destroy: oh_destroy,
) -> oh_result {
    guard(|| {
        process::init();
        if options.is_null() {
            return Err(argument("oh_diagnose: options must not be NULL; client is required"));
        }
        let Some(handler) = handler else {
            return Err(argument("oh_diagnose: handler must not be NULL; it receives the result"));
        };
        // SAFETY: by the caller's contract.
        let request = unsafe { request(&read(options)?)? };
        start(request, handler, UserData { pointer: user_data, destroy })
    })
}

/// # Safety
/// Texts, structures and the array must be valid.
unsafe fn request(options: &oh_diagnose_options) -> Result<Request> {
    if options.client.is_null() {
        return Err(argument("oh_diagnose_options.client is missing; it must not be NULL"));
    }
    // SAFETY: by the caller's contract, here and below.
    let client = unsafe { read(options.client)? };
    let (call_id, call_type) = unsafe {
        (
            optional(options.call_id, "oh_diagnose_options.call_id")?,
            optional(options.call_type, "oh_diagnose_options.call_type")?.unwrap_or_else(|| "default".into()),
        )
    };
    let joins = call_id.is_some() && !client.token.is_null();
    let Checked { service, options: of_service, net, policy } = unsafe { check(&client, joins)? };
    let call = match call_id {
        None => None,
        Some(id) => {
            let id = which_call(service.call_of(&of_service.token), Some(id))?;
            if service.has_ids_in_paths() {
                path_part(&id, "oh_diagnose_options.call_id")?;
                path_part(&call_type, "oh_diagnose_options.call_type")?;
            }
            Some((call_type, id))
        }
    };
    let timeout = options.timeout_ms;
    let timeout = number(timeout, 20_000, &(100..=600_000)).filter(|_| timeout != OH_FOREVER).ok_or_else(|| {
        argument(format!("oh_diagnose_options.timeout_ms is {timeout}; it must be 0 (20000), or 100 to 600000"))
    })?;
    let ice_servers = unsafe { ice_servers(options.ice_servers, options.ice_server_count)? };
    let timeout = Duration::from_millis(u64::from(timeout));
    Ok(Request { service, options: of_service, net, policy, call, ice_servers, timeout })
}

/// # Safety
/// As of [`request`].
unsafe fn ice_servers(servers: *const *const oh_ice_server, count: usize) -> Result<Vec<IceServer>> {
    if count > MAX_ICE_SERVERS {
        let text = format!("oh_diagnose_options.ice_server_count is {count}; at most {MAX_ICE_SERVERS} are checked");
        return Err(argument(text));
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    if servers.is_null() {
        return Err(argument("oh_diagnose_options.ice_servers is NULL, but ice_server_count is not 0"));
    }
    let mut all = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: `count` pointers are readable by the caller's contract, and each is NULL or valid.
        let server = unsafe { servers.add(index).read_unaligned() };
        if server.is_null() {
            return Err(argument(format!("oh_diagnose_options.ice_servers[{index}] is NULL")));
        }
        let (url, username, password) = unsafe {
            let server = read(server)?;
            (
                required(server.url, "oh_ice_server.url")?.trim().to_owned(),
                optional(server.username, "oh_ice_server.username")?.unwrap_or_default(),
                credential(server.password, "oh_ice_server.password")?.unwrap_or_default(),
            )
        };
        for (text, what) in [(&url, "url"), (&username, "username"), (&password, "password")] {
            if text.len() > MAX_ICE_TEXT {
                return Err(argument(format!("oh_ice_server.{what} is longer than {MAX_ICE_TEXT} bytes")));
            }
        }
        all.push(IceServer { urls: vec![url], username, password: Secret::new(password) });
    }
    Ok(all)
}

/// One of those in progress.
struct Place;

impl Place {
    fn take() -> Result<Self> {
        let next = |n| (n < MAX_RUNNING).then_some(n + 1);
        if RUNNING.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_err() {
            let text = format!("oh_diagnose: {MAX_RUNNING} are in progress; wait for one of them");
            return Err(Error::new(Code::Limit, text));
        }
        Ok(Self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Passes the report on when the diagnosis ends, for whatever reason.
struct Post {
    mailbox: Mailbox<Report, Infallible>,
    journal: Arc<Journal>,
    place: Option<Place>,
}

impl Drop for Post {
    fn drop(&mut self) {
        // Free before the handler runs: it may begin another.
        self.place = None;
        self.mailbox.post_last(self.journal.report());
    }
}

fn start(
    request: Request,
    handler: unsafe extern "C" fn(*mut c_void, *const oh_diagnosis),
    user: UserData,
) -> Result<()> {
    let place = Place::take()?;
    let task = runtime::global().reserve("diagnose")?;
    if !dispatch::pool().prepare() {
        return Err(Error::new(Code::Limit, "oh_diagnose: the system has no thread left for callbacks"));
    }
    // Nothing fails from here on: the handler and destroy are called.
    let pointer = UserData { pointer: user.pointer, destroy: None };
    let call = move |delivery: Delivery<Report, Infallible>| {
        let pointer = &pointer;
        if let Delivery::Control(report) = delivery {
            let (text, json) = (c_text(&report.text()), c_text(&report.json()));
            let count = |state| u32::try_from(report.count(state)).unwrap_or(u32::MAX);
            let diagnosis = oh_diagnosis {
                size: size_of::<oh_diagnosis>(),
                text: text.as_ptr(),
                report_json: json.as_ptr(),
                steps_failed: count(State::Failed),
                steps_warning: count(State::Warning),
                incomplete: report.cut_off.into(),
                reserved: 0,
            };
            // SAFETY: the application's function; the structure and its texts live until it returns.
            unsafe { handler(pointer.pointer, &diagnosis) };
        }
    };
    let handler = Handler::new(call).destroy(move || user.release());
    let mailbox = Mailbox::with_handler(dispatch::pool(), Limits::default(), handler);
    let journal = Journal::new(request.secrets(), None);
    let post = Post { mailbox, journal, place: Some(place) };
    task.spawn_guarded(
        async move {
            let post = post;
            diagnose::run(request, &post.journal).await;
        },
        |_| {},
    );
    Ok(())
}
