//! The threads that run callbacks: few, more while some are blocked, none when there is nothing.
//!
//! Must not know: what a mailbox is (it sees a [`Job`]), calls, the network.

use super::contain;
use crate::sync::{
    thread::{self, JoinHandle},
    Condvar, Instant, Mutex, MutexGuard,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};

/// Sizes and times of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Threads kept once they are started, and kept free of blocked callbacks while there is work.
    /// At least 1.
    pub base: usize,
    /// Threads at most. When all are blocked the others wait; nothing is lost but media.
    pub cap: usize,
    /// Threads at most that are started because of load alone, without a blocked callback.
    pub load_cap: usize,
    /// A callback that runs for longer counts as blocked.
    pub blocked_after: Duration,
    /// How long a thread above `base` stays idle before it ends.
    pub keep: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self { base: 2, cap: 512, load_cap: 64, blocked_after: Duration::from_millis(10), keep: Duration::from_secs(5) }
    }
}

/// What a pool looks like right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Threads that run or wait for callbacks (the monitor not counted).
    pub threads: usize,
    /// Of these, waiting for work.
    pub idle: usize,
    /// Mailboxes that wait for a thread.
    pub ready: usize,
}

/// Something with work to do, queued once at most.
pub(super) trait Job: Send + Sync {
    /// Works for a short while; true when there is more to do. Never panics.
    fn turn(&self, seat: &Seat) -> bool;
}

/// One pool thread as the others see it.
#[derive(Debug)]
pub(super) struct Seat {
    /// Microseconds since the pool was made at which the present callback began; 0 between two.
    busy_since: AtomicU64,
    epoch: Instant,
    wake: Condvar,
}

impl Seat {
    /// Brackets a callback, so that the monitor sees how long it takes. Gives the time it began.
    pub(super) fn begin(&self) -> Instant {
        let now = Instant::now();
        self.busy_since.store(self.micros(now).max(1), Relaxed);
        now
    }

    pub(super) fn end(&self) {
        self.busy_since.store(0, Relaxed);
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_micros()).unwrap_or(u64::MAX)
    }

    fn blocked(&self, now: Instant, after: Duration) -> bool {
        let since = self.busy_since.load(Relaxed);
        let after = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        since != 0 && self.micros(now).saturating_sub(since) >= after
    }
}

struct Ready {
    job: Arc<dyn Job>,
    since: Instant,
}

struct Worker {
    seat: Arc<Seat>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Ready>,
    workers: BTreeMap<u64, Worker>,
    /// Workers that sleep and that nobody has woken yet; the last one to sleep is woken first, so
    /// that those above the base really come to their end of idling.
    idle: Vec<Arc<Seat>>,
    next_number: u64,
    monitor: Option<JoinHandle<()>>,
    armed: bool,
    /// Ended or ending threads that nobody has joined yet.
    finished: Vec<JoinHandle<()>>,
    stopping: bool,
    /// Counts how often the pool came to a complete stop.
    stops: u64,
}

/// A pool of threads for callbacks. Threads are named `oh-call-N`.
pub struct Pool {
    config: PoolConfig,
    epoch: Instant,
    state: Mutex<State>,
    monitor_wake: Condvar,
    stopped: Condvar,
    shutting: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("config", &self.config).field("stats", &self.stats()).finish()
    }
}

impl Pool {
    /// A pool without any thread yet.
    pub fn new(mut config: PoolConfig) -> Arc<Self> {
        config.base = config.base.max(1);
        config.cap = config.cap.max(config.base);
        Arc::new(Self {
            config,
            epoch: Instant::now(),
            state: Mutex::default(),
            monitor_wake: Condvar::new(),
            stopped: Condvar::new(),
            shutting: Mutex::new(()),
        })
    }

    /// Any thread; takes a lock for a moment.
    pub fn stats(&self) -> PoolStats {
        let state = self.state.lock();
        PoolStats { threads: state.workers.len(), idle: state.idle.len(), ready: state.ready.len() }
    }

    /// Queues a job and sees to it that a thread takes it. Never waits for one.
    pub(super) fn push(self: &Arc<Self>, job: Arc<dyn Job>) {
        let mut state = self.state.lock();
        state.ready.push_back(Ready { job, since: Instant::now() });
        if let Some(seat) = state.idle.pop() {
            seat.wake.notify_one();
        } else if state.workers.len() >= self.config.base || !self.grow(&mut state) {
            self.arm(&mut state);
        }
    }

    /// Lets every thread finish what is queued and end, and joins them all. False when that took
    /// longer than `timeout` (a callback is blocked; its thread ends when it returns), or when the
    /// caller is itself in a callback. Afterwards the pool can be used again.
    pub fn shutdown(self: &Arc<Self>, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        if super::in_any_callback() {
            return false;
        }
        let one = match deadline {
            Some(deadline) => self.shutting.try_lock_until(deadline),
            None => Some(self.shutting.lock()),
        };
        let Some(_one) = one else { return false };
        let mut state = self.state.lock();
        let seen = state.stops;
        state.stopping = true;
        for seat in state.idle.drain(..) {
            seat.wake.notify_one();
        }
        self.monitor_wake.notify_one();
        self.note_stop(&mut state);
        while state.stops == seen {
            match deadline {
                Some(deadline) if self.stopped.wait_until(&mut state, deadline).timed_out() => {
                    if state.stops == seen {
                        return false;
                    }
                }
                Some(_) => {}
                None => self.stopped.wait(&mut state),
            }
        }
        Self::reap(&mut state);
        true
    }

    /// Joins the threads that said they were ending, without the lock.
    fn reap(state: &mut MutexGuard<'_, State>) {
        while !state.finished.is_empty() {
            let finished = std::mem::take(&mut state.finished);
            MutexGuard::unlocked(state, || {
                for thread in finished {
                    // A pool thread has nothing to panic with; its result tells nothing.
                    let _ = thread.join();
                }
            });
        }
    }

    fn note_stop(&self, state: &mut State) {
        if state.stopping && state.workers.is_empty() && state.monitor.is_none() && state.ready.is_empty() {
            state.stopping = false;
            state.stops += 1;
            self.stopped.notify_all();
        }
    }

    /// Starts one thread; false at the cap or when the system refuses.
    fn grow(self: &Arc<Self>, state: &mut State) -> bool {
        if state.workers.len() >= self.config.cap {
            return false;
        }
        let number = state.next_number;
        let seat = Arc::new(Seat { busy_since: AtomicU64::new(0), epoch: self.epoch, wake: Condvar::new() });
        let (pool, own) = (self.clone(), seat.clone());
        let started = thread::Builder::new().name(format!("oh-call-{number}")).spawn(move || pool.work(number, &own));
        let Ok(thread) = started else { return false };
        state.next_number += 1;
        state.workers.insert(number, Worker { seat, thread });
        true
    }

    fn work(self: Arc<Self>, number: u64, seat: &Arc<Seat>) {
        crate::runtime::thread_started();
        let mut state = self.state.lock();
        loop {
            if let Some(ready) = state.ready.pop_front() {
                if !state.ready.is_empty() && state.idle.is_empty() {
                    self.arm(&mut state);
                }
                let more = MutexGuard::unlocked(&mut state, || {
                    // Never panics; should it, then this thread at least lives on.
                    let more = contain(|| ready.job.turn(seat)).unwrap_or(false);
                    // Dropped without the lock: the last reference to a mailbox runs its destroy.
                    more.then_some(ready.job)
                });
                if let Some(job) = more {
                    // This thread comes by itself for it; nobody needs to be woken.
                    state.ready.push_back(Ready { job, since: Instant::now() });
                }
                continue;
            }
            if state.stopping {
                break;
            }
            state.idle.push(seat.clone());
            let timed_out = if state.workers.len() > self.config.base {
                seat.wake.wait_for(&mut state, self.config.keep).timed_out()
            } else {
                seat.wake.wait(&mut state);
                false
            };
            // Whoever wakes a worker takes its seat off the list; else it goes by itself.
            if let Some(at) = state.idle.iter().rposition(|s| Arc::ptr_eq(s, seat)) {
                state.idle.remove(at);
            }
            if timed_out && state.ready.is_empty() && state.workers.len() > self.config.base {
                break;
            }
        }
        if let Some(worker) = state.workers.remove(&number) {
            state.finished.push(worker.thread);
        }
        self.monitor_wake.notify_one();
        self.note_stop(&mut state);
    }

    /// Work waits and nobody is free: have the monitor look again soon.
    fn arm(self: &Arc<Self>, state: &mut State) {
        if state.armed {
            return;
        }
        if state.monitor.is_none() {
            let pool = self.clone();
            // Refused by the system: the next item to be posted tries again.
            let Ok(thread) = thread::Builder::new().name("oh-call-watch".into()).spawn(move || pool.watch()) else {
                return;
            };
            state.monitor = Some(thread);
        }
        state.armed = true;
        self.monitor_wake.notify_one();
    }

    /// The monitor: looks only while work waits for a thread, sleeps otherwise.
    fn watch(self: Arc<Self>) {
        crate::runtime::thread_started();
        let mut state = self.state.lock();
        loop {
            Self::reap(&mut state);
            if state.ready.is_empty() {
                state.armed = false;
                if state.stopping && state.workers.is_empty() {
                    break;
                }
            }
            if state.armed {
                self.monitor_wake.wait_for(&mut state, self.config.blocked_after / 2);
                self.relieve(&mut state);
            } else if state.finished.is_empty() {
                self.monitor_wake.wait(&mut state);
            }
        }
        if let Some(own) = state.monitor.take() {
            state.finished.push(own);
        }
        self.note_stop(&mut state);
    }

    /// Starts threads in the place of blocked ones, and some when work waits far too long.
    fn relieve(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        let Some(front) = state.ready.front() else { return };
        let waited = now.saturating_duration_since(front.since);
        if !state.idle.is_empty() || waited < self.config.blocked_after {
            return;
        }
        let threads = state.workers.len();
        let blocked = state.workers.values().filter(|w| w.seat.blocked(now, self.config.blocked_after)).count();
        let free = threads - blocked;
        let mut wanted = 0;
        if free < self.config.base {
            // What blocks two threads is likely to block the next two: grow with what is blocked.
            wanted = (self.config.base - free).max(blocked / 2);
        } else if waited >= self.config.blocked_after * 5 && free < self.config.load_cap {
            wanted = 1;
        }
        for _ in 0..wanted.min(state.ready.len()) {
            if !self.grow(state) {
                break;
            }
        }
    }
}
