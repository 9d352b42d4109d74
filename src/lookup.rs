//! Name lookups on dedicated threads: the system's resolver blocks and cannot be cancelled.
//!
//! Lookups are bounded for the process and for each party (a client, an engine). A party whose names hang takes its
//! share of the threads and no more, and some threads are reserved for parties that have none. Concurrent lookups of
//! one name are merged. Results are cached for some seconds, failures for less (getaddrinfo gives no TTL). A queued
//! lookup without a waiter is removed; one that hangs in the resolver keeps its thread. A shutdown does not wait for
//! such a thread.
//! Must not know: URLs, sockets, what the addresses are for.

use crate::panics::thread_started;
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{HashMap, VecDeque},
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc, OnceLock,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Most addresses kept per name.
const MAX_ADDRESSES: usize = 8;
/// Longest name (RFC 1035 §2.3.4, with some room for other resolvers).
const MAX_NAME: usize = 1_024;
/// How long a result is cached.
const KEPT: Duration = Duration::from_secs(10);
const FAILURE_KEPT: Duration = Duration::from_secs(1);
/// Most names in the cache.
const MAX_KEPT: usize = 256;
/// Most parties that join one queued lookup and lend it their share.
const MAX_PARTIES: usize = 16;
/// Stack size. The resolver needs little; the default is 2 MiB.
const STACK: usize = 256 * 1024;

/// Bounds of the lookups.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Threads, including those that hang.
    pub threads: usize,
    /// Of these, reserved for parties without a thread.
    pub reserve: usize,
    /// Running lookups of one party that still have a waiter.
    pub share: usize,
    /// Running lookups of one party, including abandoned ones.
    pub held: usize,
    /// Lookups queued for a thread.
    pub queue: usize,
    /// A thread without work ends after this time.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { threads: 32, reserve: 8, share: 8, held: 12, queue: 512, idle: Duration::from_secs(10) }
    }
}

/// Resolves a name; may block for any time.
pub type Resolver = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Addresses, best first, or the error text.
pub type Found = Result<Arc<[IpAddr]>, Arc<str>>;

type ResultSender = Arc<watch::Sender<Option<Found>>>;

/// A source of lookups, with its own share of the threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Party(u64);

impl Party {
    #[allow(clippy::new_without_default)] // Each one is different.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

struct Job {
    name: Arc<str>,
    parties: Vec<Party>,
    sender: ResultSender,
}

struct Running {
    thread: u64,
    name: Arc<str>,
    party: Party,
    sender: ResultSender,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    running: Vec<Running>,
    kept: HashMap<Arc<str>, (Instant, Found)>,
    threads: HashMap<u64, JoinHandle<()>>,
    /// Idle threads.
    idle: usize,
    /// Threads that have not checked the queue yet; each then checks whether another thread is needed.
    starting: usize,
    next: u64,
    /// Number of stops. A thread started before the latest one ends after its current lookup.
    stops: u64,
}

struct Inner {
    resolver: Box<Resolver>,
    bounds: Bounds,
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
}

/// The lookups of one process. Cheap to clone; clones share their state.
#[derive(Clone)]
pub struct Lookups(Arc<Inner>);

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (threads, waiting) = self.counts();
        f.debug_struct("Lookups").field("threads", &threads).field("waiting", &waiting).finish()
    }
}

/// The lookups of the process, with the system's resolver.
pub fn global() -> &'static Lookups {
    static GLOBAL: OnceLock<Lookups> = OnceLock::new();
    GLOBAL.get_or_init(|| Lookups::new(system, Bounds::default()))
}

fn system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// A waiter for a lookup. When it is dropped, another lookup may take its place.
struct Waiter<'a> {
    lookups: &'a Lookups,
    receiver: Option<watch::Receiver<Option<Found>>>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.receiver = None;
        let mut state = self.lookups.0.state.lock();
        self.lookups.put_to_work(&mut state);
    }
}

impl Lookups {
    pub fn new(resolver: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static, bounds: Bounds) -> Self {
        Self(Arc::new(Inner {
            resolver: Box::new(resolver),
            bounds,
            state: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
        }))
    }

    /// Resolves `name`. Waits as long as the resolver does: give it a deadline. Cancel safe.
    ///
    /// # Errors
    /// The system's error text, or why the resolver was not called.
    pub async fn find(&self, party: Party, name: &str) -> Found {
        if name.len() > MAX_NAME {
            return Err("the name is too long".into());
        }
        let mut waiter = Waiter { lookups: self, receiver: None };
        {
            let mut state = self.0.state.lock();
            match state.kept.get(name) {
                Some((until, found)) if Instant::now() < *until => {
                    let found = found.clone();
                    drop(state);
                    return found;
                }
                _ => {}
            }
            match self.enter(&mut state, party, name) {
                Ok(receiver) => waiter.receiver = Some(receiver),
                Err(why) => {
                    drop(state);
                    return Err(why.into());
                }
            }
            self.put_to_work(&mut state);
        }
        let Some(receiver) = &mut waiter.receiver else { return Err("the lookup was not started".into()) };
        let found = match receiver.wait_for(|found| found.is_some()).await {
            Ok(found) => found.clone(),
            Err(_) => None,
        };
        found.unwrap_or_else(|| Err("the lookup was cancelled".into()))
    }

    /// Joins a running or queued lookup of that name, or queues one.
    fn enter(
        &self,
        state: &mut State,
        party: Party,
        name: &str,
    ) -> Result<watch::Receiver<Option<Found>>, &'static str> {
        if let Some(running) = state.running.iter().find(|running| *running.name == *name) {
            return Ok(running.sender.subscribe());
        }
        if let Some(job) = state.queue.iter_mut().find(|job| *job.name == *name) {
            if !job.parties.contains(&party) && job.parties.len() < MAX_PARTIES {
                job.parties.push(party);
            }
            return Ok(job.sender.subscribe());
        }
        if state.queue.len() >= self.0.bounds.queue {
            state.queue.retain(|job| job.sender.receiver_count() > 0);
        }
        // The first half of the queue is open to all; beyond it a party may hold an eighth of the queue.
        let waiting = state.queue.len();
        let queued_by_party = state.queue.iter().filter(|job| job.parties.first() == Some(&party)).count();
        if waiting >= self.0.bounds.queue
            || (waiting >= self.0.bounds.queue / 2 && queued_by_party >= self.0.bounds.queue / 8)
        {
            return Err("too many name lookups are queued");
        }
        let (sender, receiver) = watch::channel(None);
        state.queue.push_back(Job { name: name.into(), parties: vec![party], sender: Arc::new(sender) });
        Ok(receiver)
    }

    /// The next lookup to run, and the party it counts for. Removes queued lookups without a waiter.
    fn next(&self, state: &mut State) -> Option<(usize, Party)> {
        state.queue.retain(|job| job.sender.receiver_count() > 0);
        let bounds = &self.0.bounds;
        let free = bounds.threads.saturating_sub(state.running.len());
        let mut best: Option<(usize, usize, Party)> = None;
        for (index, job) in state.queue.iter().enumerate() {
            for party in &job.parties {
                let running_of_party = state.running.iter().filter(|running| running.party == *party);
                let (held, waited) = running_of_party.fold((0, 0), |(held, waited), running| {
                    (held + 1, waited + usize::from(running.sender.receiver_count() > 0))
                });
                let room = if held == 0 { free > 0 } else { free > bounds.reserve };
                let may = room && waited < bounds.share && held < bounds.held;
                if may && best.is_none_or(|(least, ..)| held < least) {
                    best = Some((held, index, *party));
                }
            }
        }
        best.map(|(_, index, party)| (index, party))
    }

    /// Wakes or starts a thread when a lookup can run.
    fn put_to_work(&self, state: &mut State) {
        if state.queue.is_empty() || self.next(state).is_none() {
            return;
        }
        if state.idle > 0 {
            self.0.work.notify_one();
            return;
        }
        if state.starting > 0 {
            return;
        }
        state.threads.retain(|_, thread| !thread.is_finished());
        if state.threads.len() >= self.0.bounds.threads {
            return;
        }
        state.next += 1;
        let (number, stops, lookups) = (state.next, state.stops, self.clone());
        let thread = thread::Builder::new().name(format!("oh-names-{number}")).stack_size(STACK);
        match thread.spawn(move || lookups.serve(number, stops)) {
            Ok(thread) => {
                state.starting += 1;
                state.threads.insert(number, thread);
            }
            // A running thread takes the next lookup when it is done.
            Err(_) if !state.running.is_empty() => {}
            Err(_) => {
                for job in state.queue.drain(..) {
                    job.sender.send_replace(Some(Err("the system has no thread for the name lookup".into())));
                }
            }
        }
    }

    /// Main function of a lookup thread.
    fn serve(self, number: u64, stops: u64) {
        thread_started();
        let mut state = self.0.state.lock();
        state.starting -= 1;
        while state.stops == stops {
            let Some((index, party)) = self.next(&mut state) else {
                state.idle += 1;
                let timed_out = self.0.work.wait_for(&mut state, self.0.bounds.idle).timed_out();
                state.idle -= 1;
                if timed_out && self.next(&mut state).is_none() {
                    break;
                }
                continue;
            };
            let Some(Job { name, sender, .. }) = state.queue.remove(index) else { continue };
            state.running.push(Running { thread: number, name: name.clone(), party, sender: sender.clone() });
            // Other queued lookups must not wait for this one.
            self.put_to_work(&mut state);
            drop(state);
            let (found, of_the_name) = self.resolve(&name);
            state = self.0.state.lock();
            state.running.retain(|running| running.thread != number);
            if of_the_name {
                keep(&mut state, name, &found);
            }
            sender.send_replace(Some(found));
        }
        // It may have been woken for a lookup that another thread has to run now.
        self.put_to_work(&mut state);
        drop(state);
        self.0.ended.notify_all();
    }

    /// Returns the result, and whether it concerns the name. A lack of system resources (descriptors, memory) says
    /// nothing about the name: the next lookup may succeed.
    fn resolve(&self, name: &str) -> (Found, bool) {
        let found = match crate::panics::contain(|| (self.0.resolver)(name)) {
            Ok(Ok(addresses)) if addresses.is_empty() => Err("the name has no address".into()),
            Ok(Ok(addresses)) => {
                let mut kept: Vec<IpAddr> = Vec::new();
                for address in addresses {
                    if kept.len() < MAX_ADDRESSES && !kept.contains(&address) {
                        kept.push(address);
                    }
                }
                Ok(kept.into())
            }
            Ok(Err(error)) => return (Err(error.to_string().into()), error.raw_os_error().is_none()),
            Err(_) => Err("the resolver panicked".into()),
        };
        (found, true)
    }

    /// Drops the cached result of a name: none of its addresses answered.
    pub fn forget(&self, name: &str) {
        self.0.state.lock().kept.remove(name);
    }

    /// Clears the cache: the machine is on another network, where names may have other addresses.
    pub fn forget_all(&self) {
        self.0.state.lock().kept.clear();
    }

    /// Number of threads, and of lookups queued for one.
    pub fn counts(&self) -> (usize, usize) {
        let mut state = self.0.state.lock();
        state.threads.retain(|_, thread| !thread.is_finished());
        (state.threads.len(), state.queue.len())
    }

    /// Ends the threads that do not hang in the resolver and waits for them. Queued lookups are cancelled and the cache
    /// is cleared. Returns how many threads hang: they end by themselves once the resolver returns. The next lookup
    /// starts new threads.
    pub fn stop(&self, deadline: Instant) -> usize {
        let mut state = self.0.state.lock();
        state.stops += 1;
        state.queue.clear();
        state.kept.clear();
        self.0.work.notify_all();
        loop {
            let hang = |state: &State, number: &u64| state.running.iter().any(|running| running.thread == *number);
            let ended: Vec<u64> = state.threads.keys().filter(|number| !hang(&state, number)).copied().collect();
            let busy = state.threads.len() - ended.len();
            let threads: Vec<_> = ended.iter().filter_map(|number| state.threads.remove(number)).collect();
            drop(state);
            for thread in threads {
                // The thread is ending.
                let _ = thread.join();
            }
            state = self.0.state.lock();
            if busy == 0 || self.0.ended.wait_until(&mut state, deadline).timed_out() {
                return busy;
            }
        }
    }
}

fn keep(state: &mut State, name: Arc<str>, found: &Found) {
    let now = Instant::now();
    if state.kept.len() >= MAX_KEPT {
        state.kept.retain(|_, (until, _)| now < *until);
    }
    if state.kept.len() >= MAX_KEPT {
        let oldest = state.kept.iter().min_by_key(|(_, (until, _))| *until).map(|(name, _)| name.clone());
        oldest.map(|name| state.kept.remove(&name));
    }
    state.kept.insert(name, (now + if found.is_ok() { KEPT } else { FAILURE_KEPT }, found.clone()));
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
