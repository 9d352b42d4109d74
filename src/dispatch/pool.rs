//! The threads that run callbacks: few, more while some are blocked, none before there is work.
//!
//! When all threads up to the cap are blocked, a reserve serves mailboxes whose callbacks have been prompt so far.
//!
//! Must not know: what a mailbox is (it sees a [`Job`]), calls, the network.

use crate::panics::contain;
use crate::sync::{
    thread::{self, JoinHandle},
    Condvar, Instant, Mutex, MutexGuard,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};

/// Sizes and times of a pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolConfig {
    /// Threads kept once started, and kept free of blocked callbacks while there is work. At least 1.
    pub base: usize,
    /// Most threads, without the reserve. When all are blocked, other mailboxes wait; nothing is lost but media.
    pub cap: usize,
    /// Threads beside those, used only while all of those are blocked, and only for calls whose last callback was
    /// prompt. One that blocks all the same is replaced, at most a quarter of `cap` times; the last ones serve only
    /// calls that were prompt [`PROVEN`] times in a row.
    pub reserve: usize,
    /// Most threads started because of load alone, without a blocked callback.
    pub load_cap: usize,
    /// A callback that runs longer counts as blocked.
    pub blocked_after: Duration,
    /// How long a thread above `base` stays idle before it ends.
    pub keep: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            base: 2,
            cap: 512,
            reserve: 4,
            load_cap: 64,
            blocked_after: Duration::from_millis(10),
            keep: Duration::from_secs(5),
        }
    }
}

/// Snapshot of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStats {
    /// Threads that run or wait for callbacks (without the monitor).
    pub threads: usize,
    /// Of these, threads of the reserve.
    pub reserve: usize,
    /// Idle threads.
    pub idle: usize,
    /// Mailboxes that wait for a thread.
    pub ready: usize,
}

/// How often a shutdown checks that there is a thread for the queued jobs.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Consecutive prompt callbacks after which a mailbox counts as reliably prompt.
const PROVEN: u32 = 32;

/// A unit of work, queued at most once.
pub(super) trait Job: Send + Sync {
    /// Consecutive prompt callbacks up to now.
    fn prompt(&self) -> u32;

    /// Works for a short while; true when there is more to do. Never panics.
    fn turn(&self, seat: &Seat) -> bool;
}

/// State of one pool thread, readable by the other threads.
#[derive(Debug)]
pub(super) struct Seat {
    /// Start of the current callback, in microseconds since the pool was made; 0 between callbacks.
    busy_since: AtomicU64,
    epoch: Instant,
    wake: Condvar,
}

impl Seat {
    /// Marks the start of a callback, so that the monitor sees how long it takes. Returns the start time.
    pub(super) fn begin(&self) -> Instant {
        let now = Instant::now();
        self.busy_since.store(self.micros(now).max(1), Relaxed);
        now
    }

    /// Marks its end. Returns the time since `began`.
    pub(super) fn end(&self, began: Instant) -> Duration {
        self.busy_since.store(0, Relaxed);
        Instant::now().saturating_duration_since(began)
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
    prompt: u32,
}

impl Ready {
    fn new(job: Arc<dyn Job>) -> Self {
        Self { since: Instant::now(), prompt: job.prompt(), job }
    }
}

struct Worker {
    seat: Arc<Seat>,
    thread: JoinHandle<()>,
    reserve: bool,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Ready>,
    workers: BTreeMap<u64, Worker>,
    /// Workers that sleep and have not been woken. The last one to sleep is woken first, so that those above the base
    /// do reach the end of their idle time.
    idle: Vec<Arc<Seat>>,
    /// The same for the reserve.
    idle_reserve: Vec<Arc<Seat>>,
    /// Workers of the reserve, and how many of them run a job that is not [`PROVEN`].
    reserve: usize,
    trials: usize,
    next_number: u64,
    monitor: Option<JoinHandle<()>>,
    armed: bool,
    /// Ended or ending threads that are not joined yet.
    finished: Vec<JoinHandle<()>>,
    stopping: bool,
    /// Counts how often the pool came to a complete stop.
    stops: u64,
}

impl State {
    /// Workers that take any job.
    fn general(&self) -> usize {
        self.workers.len() - self.reserve
    }

    fn idle_of(&mut self, reserve: bool) -> &mut Vec<Arc<Seat>> {
        match reserve {
            true => &mut self.idle_reserve,
            false => &mut self.idle,
        }
    }
}

/// A pool of threads for callbacks. Threads are named `oh-call-N`.
pub struct Pool {
    config: PoolConfig,
    cap: AtomicUsize,
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
            cap: AtomicUsize::new(config.cap),
            config,
            epoch: Instant::now(),
            state: Mutex::default(),
            monitor_wake: Condvar::new(),
            stopped: Condvar::new(),
            shutting: Mutex::new(()),
        })
    }

    /// Any thread; takes a lock briefly.
    pub fn stats(&self) -> PoolStats {
        let state = self.state.lock();
        PoolStats {
            threads: state.workers.len(),
            reserve: state.reserve,
            idle: state.idle.len() + state.idle_reserve.len(),
            ready: state.ready.len(),
        }
    }

    /// Changes [`PoolConfig::cap`]. Threads beyond it end when they are idle.
    pub fn set_cap(&self, cap: usize) {
        self.cap.store(cap.max(self.config.base), Relaxed);
    }

    fn cap(&self) -> usize {
        self.cap.load(Relaxed)
    }

    /// Makes sure that a delivering thread and the monitor exist, so that later items are delivered even if the system
    /// has no threads left then. False when it has none now.
    pub fn prepare(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        (state.general() > 0 || self.grow(&mut state, false)) && self.has_monitor(&mut state)
    }

    /// Queues a job and makes sure that a thread takes it. Never waits for one.
    pub(super) fn push(self: &Arc<Self>, job: Arc<dyn Job>) {
        let mut state = self.state.lock();
        let ready = Ready::new(job);
        let prompt = ready.prompt > 0;
        state.ready.push_back(ready);
        if let Some(seat) = state.idle.pop() {
            seat.wake.notify_one();
            return;
        }
        if state.general() < self.config.base && self.grow(&mut state, false) {
            return;
        }
        if let Some(seat) = state.idle_reserve.pop_if(|_| prompt) {
            seat.wake.notify_one();
            return;
        }
        self.arm(&mut state);
        if state.stopping && state.workers.is_empty() {
            self.stopped.notify_all();
        }
    }

    /// Lets every thread finish the queued jobs and end, and joins them all. False when that took longer than `timeout`
    /// (a callback is blocked; its thread ends when it returns), or when the caller is itself in a callback. Afterwards
    /// the pool can be used again.
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
        let State { idle, idle_reserve, .. } = &mut *state;
        for seat in idle.drain(..).chain(idle_reserve.drain(..)) {
            seat.wake.notify_one();
        }
        self.monitor_wake.notify_one();
        self.note_stop(&mut state);
        while state.stops == seen {
            // No worker exists because the system refused a thread: try again now, and again soon.
            let nobody = state.workers.is_empty() && !state.ready.is_empty() && !self.grow(&mut state, false);
            let look = Instant::now().checked_add(LOOK_AGAIN).filter(|_| nobody);
            match [look, deadline].into_iter().flatten().min() {
                Some(until) if self.stopped.wait_until(&mut state, until).timed_out() => {
                    if state.stops == seen && deadline.is_some_and(|d| d <= Instant::now()) {
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

    /// Joins the ended or ending threads, without the lock.
    fn reap(state: &mut MutexGuard<'_, State>) {
        while !state.finished.is_empty() {
            let finished = std::mem::take(&mut state.finished);
            MutexGuard::unlocked(state, || {
                for thread in finished {
                    // A pool thread cannot panic; its result carries no information.
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

    /// Starts one thread; false at the limit, or when the system refuses.
    fn grow(self: &Arc<Self>, state: &mut State, reserve: bool) -> bool {
        let full = match reserve {
            true => state.reserve >= self.config.reserve + self.trials(),
            false => state.general() >= self.cap(),
        };
        if full {
            return false;
        }
        let number = state.next_number;
        let seat = Arc::new(Seat { busy_since: AtomicU64::new(0), epoch: self.epoch, wake: Condvar::new() });
        let (pool, own) = (self.clone(), seat.clone());
        let started =
            thread::Builder::new().name(format!("oh-call-{number}")).spawn(move || pool.work(number, &own, reserve));
        let Ok(thread) = started else { return false };
        state.next_number += 1;
        state.reserve += usize::from(reserve);
        state.workers.insert(number, Worker { seat, thread, reserve });
        true
    }

    /// The next job for a thread: the oldest one; for a reserve thread, the oldest that may use the reserve.
    fn take(&self, state: &mut State, reserve: bool) -> Option<Ready> {
        if !reserve {
            return state.ready.pop_front();
        }
        let least = self.wanted_of_reserve(state);
        let at = state.ready.iter().position(|ready| ready.prompt >= least)?;
        let ready = state.ready.remove(at)?;
        state.trials += usize::from(ready.prompt < PROVEN);
        Some(ready)
    }

    /// Consecutive prompt callbacks that a job needs to get a reserve thread now.
    fn wanted_of_reserve(&self, state: &State) -> u32 {
        match state.trials < self.trials() {
            true => 1,
            false => PROVEN,
        }
    }

    /// Reserve threads, beside [`PoolConfig::reserve`], for jobs that are not [`PROVEN`].
    fn trials(&self) -> usize {
        (self.cap() / 4).max(1)
    }

    fn work(self: Arc<Self>, number: u64, seat: &Arc<Seat>, reserve: bool) {
        crate::panics::thread_started();
        let mut state = self.state.lock();
        loop {
            if let Some(ready) = self.take(&mut state, reserve) {
                if !state.ready.is_empty() && state.idle.is_empty() {
                    self.arm(&mut state);
                }
                let trial = reserve && ready.prompt < PROVEN;
                let more = MutexGuard::unlocked(&mut state, || {
                    // `turn` never panics; if it does, this thread at least survives.
                    let more = contain(|| ready.job.turn(seat)).unwrap_or(false);
                    // Dropped without the lock: the last reference to a mailbox runs its destroy.
                    more.then_some(ready.job)
                });
                state.trials -= usize::from(trial);
                if let Some(job) = more {
                    // This thread takes queued jobs itself; no other one needs to be woken.
                    state.ready.push_back(Ready::new(job));
                }
                continue;
            }
            if state.stopping {
                break;
            }
            state.idle_of(reserve).push(seat.clone());
            let timed_out = if reserve || state.general() > self.config.base {
                seat.wake.wait_for(&mut state, self.config.keep).timed_out()
            } else {
                seat.wake.wait(&mut state);
                false
            };
            // The waker removes the worker's seat from the list; after a timeout the worker removes it.
            let idle = state.idle_of(reserve);
            if let Some(at) = idle.iter().rposition(|s| Arc::ptr_eq(s, seat)) {
                idle.remove(at);
            }
            let spare = if reserve { true } else { state.ready.is_empty() && state.general() > self.config.base };
            if timed_out && spare {
                break;
            }
        }
        if let Some(worker) = state.workers.remove(&number) {
            state.reserve -= usize::from(reserve);
            state.finished.push(worker.thread);
        }
        self.monitor_wake.notify_one();
        self.note_stop(&mut state);
    }

    /// Jobs wait and no thread is free: makes the monitor check again soon.
    fn arm(self: &Arc<Self>, state: &mut State) {
        // If the system refuses, the next post tries again.
        if !state.armed && self.has_monitor(state) {
            state.armed = true;
            self.monitor_wake.notify_one();
        }
    }

    fn has_monitor(self: &Arc<Self>, state: &mut State) -> bool {
        if state.monitor.is_none() {
            let pool = self.clone();
            let started = thread::Builder::new().name("oh-call-watch".into()).spawn(move || pool.watch());
            state.monitor = started.ok();
        }
        state.monitor.is_some()
    }

    /// The monitor: checks only while jobs wait for a thread, sleeps otherwise.
    fn watch(self: Arc<Self>) {
        crate::panics::thread_started();
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

    /// Starts threads in place of blocked ones, and one when a job waits far too long. If the system refuses, the next
    /// check tries again, as long as jobs wait.
    fn relieve(self: &Arc<Self>, state: &mut State) {
        let now = Instant::now();
        let Some(front) = state.ready.front() else { return };
        let waited = now.saturating_duration_since(front.since);
        if !state.idle.is_empty() || waited < self.config.blocked_after {
            return;
        }
        let after = self.config.blocked_after;
        let count = |reserve| {
            let those = state.workers.values().filter(|w| w.reserve == reserve);
            let (all, blocked) =
                those.fold((0, 0), |(all, blocked), w| (all + 1, blocked + usize::from(w.seat.blocked(now, after))));
            (all - blocked, blocked)
        };
        let ((free, blocked), (free_reserve, _)) = (count(false), count(true));
        let mut wanted = 0;
        if free < self.config.base {
            // The cause that blocks two threads likely blocks the next two: grow with the number of blocked threads.
            wanted = (self.config.base - free).max(blocked / 2);
        } else if waited >= after * 5 && free < self.config.load_cap {
            wanted = 1;
        }
        let mut started = 0;
        while started < wanted.min(state.ready.len()) && self.grow(state, false) {
            started += 1;
        }
        if free == 0 && started == 0 {
            self.call_reserve(state, free_reserve);
        }
    }

    /// No thread is free and none can be added: the reserve serves the jobs that were prompt.
    fn call_reserve(self: &Arc<Self>, state: &mut State, free: usize) {
        let least = self.wanted_of_reserve(state);
        let waiting = state.ready.iter().filter(|ready| ready.prompt >= least).take(self.config.reserve).count();
        if waiting == 0 {
            return;
        }
        if let Some(seat) = state.idle_reserve.pop() {
            seat.wake.notify_one();
            return;
        }
        for _ in free..self.config.reserve.min(free + waiting) {
            if !self.grow(state, true) {
                break;
            }
        }
    }
}
