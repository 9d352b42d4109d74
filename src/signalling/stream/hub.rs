//! A client's connection to the coordinator's events, shared by its calls; optional.
//!
//! One task per client, from its first call until [`EventHub::close`]. It connects, keeps every admitted call watched,
//! delivers custom events to their calls, and reconnects without limit. No call waits for it, except briefly at a join,
//! and its failures do not affect calls. Must not know: C, the rules of a call, what an event means.

use super::{events::refuses_token, watching::Jobs, Coordinator, CustomEvent, EventIn, EventSocket, EventsOptions};
use crate::core::{backoff, model::Failure, rng::Rng};
use crate::error::{Result, Secret};
use crate::log::{oh_log, Level};
use crate::runtime::{self, Stop};
use crate::share::Share;
use crate::signalling::protocol::ServiceListener;
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc, Weak,
    },
    time::Duration,
};
use tokio::{
    sync::{watch, Notify},
    time::{sleep, timeout, Instant},
};

/// How long a join waits for the first connection, so that the call is watched from its start.
const JOIN_WAITS: Duration = Duration::from_millis(500);
/// A refused token is tried again after this long if no other token is provided.
const REFUSED: Duration = Duration::from_secs(60);
/// A connection that lasted this long was a good one: its loss starts a new series of attempts.
const LASTED: Duration = Duration::from_secs(30);

/// Counters of one hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    /// Connections that were admitted.
    pub connections: u64,
    /// Attempts that failed and connections that ended.
    pub failures: u64,
    /// Custom events delivered to a call; one for two calls counts twice.
    pub delivered: u64,
    /// Custom events of calls that are not registered here.
    pub foreign: u64,
    /// Events of kinds that this library does not use.
    pub ignored: u64,
    /// Messages that could not be read, or were too large.
    pub malformed: u64,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    failures: AtomicU64,
    delivered: AtomicU64,
    foreign: AtomicU64,
    ignored: AtomicU64,
    malformed: AtomicU64,
}

/// The state of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    /// The first attempt is pending or in progress.
    Starting,
    Up(String),
    Down,
}

pub(super) struct Entry {
    pub call_type: String,
    pub call_id: String,
    cid: String,
    listener: Arc<dyn ServiceListener>,
    /// The token that a join succeeded with; only admitted calls receive events.
    pub token: Option<Secret>,
    /// The id of the connection that watches this call, or was requested to.
    watched_by: String,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<u64, Entry>,
    next: u64,
    /// The newest known token.
    token: Secret,
    /// The token that the coordinator refused last.
    refused: Secret,
}

pub(super) struct Shared {
    pub coordinator: Arc<Coordinator>,
    options: EventsOptions,
    state: Mutex<State>,
    /// Signals a new token or a new call to watch.
    changed: Notify,
    link: watch::Sender<Link>,
    closed: watch::Sender<bool>,
    counters: Counters,
}

/// See the module. Created once per client; usable from any thread.
pub struct EventHub {
    shared: Arc<Shared>,
    /// Held by the task while it runs. A task handle would keep its whole runtime alive.
    task: Mutex<Weak<()>>,
}

impl fmt::Debug for EventHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventHub").field("counts", &self.counts()).finish_non_exhaustive()
    }
}

impl EventHub {
    /// Contacts no server. `token` may be empty: then that of the first join is used.
    pub fn new(coordinator: Arc<Coordinator>, token: Secret, options: EventsOptions) -> Self {
        let shared = Shared {
            coordinator,
            options,
            state: Mutex::new(State { token, ..State::default() }),
            changed: Notify::new(),
            link: watch::Sender::new(Link::Starting),
            closed: watch::Sender::new(false),
            counters: Counters::default(),
        };
        Self { shared: Arc::new(shared), task: Mutex::default() }
    }

    /// Registers a call, and connects if not yet connected. The listener receives nothing before
    /// [`EventHub::admitted`], and nothing that begins after [`EventHub::unregister`].
    ///
    /// # Errors
    /// As [`runtime::spawn`]; the call is then not registered.
    pub fn register(&self, call_type: &str, call_id: &str, listener: Arc<dyn ServiceListener>) -> Result<u64> {
        self.start()?;
        let mut state = self.shared.state.lock();
        state.next += 1;
        let key = state.next;
        let entry = Entry {
            call_type: call_type.to_owned(),
            call_id: call_id.to_owned(),
            cid: format!("{call_type}:{call_id}"),
            listener,
            token: None,
            watched_by: String::new(),
        };
        state.calls.insert(key, entry);
        Ok(key)
    }

    /// The task ends with the library's threads; the next call starts it again.
    fn start(&self) -> Result<()> {
        let mut task = self.task.lock();
        if *self.shared.closed.borrow() || task.strong_count() > 0 {
            return Ok(());
        }
        let stop = runtime::global().stop_signal()?;
        let shared = self.shared.clone();
        // The panic is logged; the next call starts the task again.
        let dead = self.shared.clone();
        let on_panic = move |_| drop(dead.link.send_replace(Link::Down));
        self.shared.link.send_replace(Link::Starting);
        let alive = Arc::new(());
        *task = Arc::downgrade(&alive);
        let work = async move {
            run(shared, stop).await;
            drop(alive);
        };
        runtime::spawn_guarded("events", Arc::<Share>::default().run(work), on_panic)?;
        Ok(())
    }

    pub fn unregister(&self, key: u64) {
        let gone = self.shared.state.lock().calls.remove(&key);
        drop(gone);
    }

    /// The connection id for a join, empty without a connection. Waits only for the first connection, at most 500 ms.
    /// `token` is used if the hub has none of its own.
    pub async fn connection_id(&self, token: &Secret) -> String {
        {
            let mut state = self.shared.state.lock();
            if state.token.is_empty() {
                state.token = token.clone();
                self.shared.changed.notify_one();
            }
        }
        let mut link = self.shared.link.subscribe();
        // In time or not, the state after the wait counts.
        let _ = timeout(JOIN_WAITS, link.wait_for(|link| *link != Link::Starting)).await;
        let id = match &*link.borrow() {
            Link::Up(id) => id.clone(),
            Link::Starting | Link::Down => String::new(),
        };
        id
    }

    /// A join succeeded with this connection id and token: from now on the call is kept watched.
    pub fn admitted(&self, key: u64, connection_id: &str, token: &Secret) {
        let mut state = self.shared.state.lock();
        state.token = token.clone();
        if state.refused == *token {
            state.refused = Secret::default();
        }
        if let Some(entry) = state.calls.get_mut(&key) {
            entry.token = Some(token.clone());
            entry.watched_by = connection_id.to_owned();
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// The application provided a token.
    pub fn offer_token(&self, token: &Secret) {
        self.shared.state.lock().token = token.clone();
        self.shared.changed.notify_one();
    }

    pub fn counts(&self) -> HubCounts {
        let c = &self.shared.counters;
        HubCounts {
            connections: c.connections.load(Relaxed),
            failures: c.failures.load(Relaxed),
            delivered: c.delivered.load(Relaxed),
            foreign: c.foreign.load(Relaxed),
            ignored: c.ignored.load(Relaxed),
            malformed: c.malformed.load(Relaxed),
        }
    }

    /// Closes the hub permanently, at once, without waiting. Idempotent.
    pub fn close(&self) {
        self.shared.closed.send_replace(true);
        self.shared.link.send_replace(Link::Down);
        let calls = std::mem::take(&mut self.shared.state.lock().calls);
        drop(calls);
    }
}

impl Drop for EventHub {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// A token to try: the newest, unless it was refused.
    fn token(&self) -> Option<Secret> {
        let state = self.state.lock();
        (!state.token.is_empty() && state.token != state.refused).then(|| state.token.clone())
    }

    fn refused(&self, token: Secret) {
        let mut state = self.state.lock();
        // If another token was provided meanwhile, none is requested.
        let needed = state.token == token && state.refused != token;
        state.refused = token;
        let listener = needed.then(|| state.calls.values().find(|c| c.token.is_some())).flatten();
        let listener = listener.map(|call| call.listener.clone());
        drop(state);
        if let Some(listener) = listener {
            listener.token_needed();
        }
    }

    fn deliver(&self, event: CustomEvent) {
        let wants = |call: &&Entry| call.token.is_some() && call.cid == event.cid;
        let listeners: Vec<_> =
            self.state.lock().calls.values().filter(wants).map(|call| call.listener.clone()).collect();
        if listeners.is_empty() {
            self.counters.foreign.fetch_add(1, Relaxed);
        }
        for listener in listeners {
            self.counters.delivered.fetch_add(1, Relaxed);
            listener.custom(event.clone());
        }
    }

    /// The calls that are not yet watched on this connection; each is returned once.
    fn unwatched(&self, connection_id: &str) -> Vec<u64> {
        let mut state = self.state.lock();
        let calls = state.calls.iter_mut();
        let missing = calls.filter(|(_, call)| call.token.is_some() && call.watched_by != connection_id);
        let name = |(key, call): (&u64, &mut Entry)| {
            call.watched_by = connection_id.to_owned();
            *key
        };
        missing.map(name).collect()
    }

    /// Gives a call whose token was refused the newest token; false if the call already has it.
    pub(super) fn renew(&self, key: u64) -> bool {
        let mut state = self.state.lock();
        let newest = state.token.clone();
        let call = state.calls.get_mut(&key).filter(|call| call.token.as_ref() != Some(&newest));
        call.map(|call| call.token = Some(newest)).is_some()
    }

    pub(super) fn with_call<T>(&self, key: u64, look: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.state.lock().calls.get(&key).map(look)
    }
}

async fn run(shared: Arc<Shared>, mut stop: Stop) {
    let mut closed = shared.closed.subscribe();
    tokio::select! {
        biased;
        // An error means that the hub was dropped, which is equivalent.
        _ = closed.wait_for(|closed| *closed) => {}
        () = stop.requested() => {}
        () = connect_for_ever(&shared) => {}
    }
    shared.link.send_replace(Link::Down);
}

async fn connect_for_ever(shared: &Shared) {
    let mut seed = [0; 8];
    // Without randomness all clients merely use the same delays.
    let _ = getrandom::fill(&mut seed);
    let mut rng = Rng::new(u64::from_ne_bytes(seed));
    let mut failures = 0;
    loop {
        let token = token(shared).await;
        let began = Instant::now();
        let failure = match EventSocket::connect(&shared.coordinator, &token, shared.options).await {
            Err(failure) => failure,
            Ok(socket) => listen(shared, socket).await,
        };
        shared.link.send_replace(Link::Down);
        shared.counters.failures.fetch_add(1, Relaxed);
        failures = if began.elapsed() >= LASTED { 1 } else { failures + 1 };
        let code = failure.code;
        oh_log!(Level::Debug, "coordinator event connection failed: {}, code {code}", failure.message);
        if refuses_token(&failure) {
            shared.refused(token);
        }
        let wait = backoff::events(failures, &mut rng);
        sleep(wait.max(Duration::from_millis(failure.retry_after_ms.unwrap_or(0).min(60_000)))).await;
    }
}

/// The token to connect with. A refused token is tried again after a minute, because the server may have been the
/// cause.
async fn token(shared: &Shared) -> Secret {
    let again = Instant::now() + REFUSED;
    loop {
        if let Some(token) = shared.token() {
            return token;
        }
        let refused = shared.state.lock().refused.clone();
        tokio::select! {
            () = shared.changed.notified() => {}
            () = tokio::time::sleep_until(again), if !refused.is_empty() => return refused,
        }
    }
}

/// Receives events from one connection until it ends.
async fn listen(shared: &Shared, mut socket: EventSocket) -> Failure {
    let id = socket.connection_id().to_owned();
    shared.counters.connections.fetch_add(1, Relaxed);
    shared.link.send_replace(Link::Up(id.clone()));
    oh_log!(Level::Debug, "connected to the coordinator's events");
    let mut jobs = Jobs::new();
    loop {
        for key in shared.unwatched(&id) {
            jobs.push(shared, key, id.clone());
        }
        tokio::select! {
            event = socket.next() => match event {
                EventIn::Custom(event) => shared.deliver(event),
                EventIn::Other => drop(shared.counters.ignored.fetch_add(1, Relaxed)),
                EventIn::Malformed => drop(shared.counters.malformed.fetch_add(1, Relaxed)),
                EventIn::Ended(failure) => return failure,
            },
            () = shared.changed.notified() => {}
            () = jobs.next(), if !jobs.is_empty() => {}
        }
    }
}
