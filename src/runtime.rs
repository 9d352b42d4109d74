//! The library's tokio runtime: started by the first task, stopped in order, restartable.
//!
//! Must not know: what the tasks do, callbacks, the C API.

use crate::{
    error::{Code, Error, Result},
    inject,
    log::{oh_log, Level},
    panics::{contain, panic_text, thread_started, Inside},
};
use futures_util::FutureExt;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::{
    cell::Cell,
    collections::BTreeMap,
    future::Future,
    panic::AssertUnwindSafe,
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::{Builder, Handle},
    sync::watch,
    task::JoinHandle,
};

/// Threads for blocking work, beside the I/O threads; started on demand.
const BLOCKING_THREADS: usize = 8;
const MOST_IO_THREADS: usize = 64;
/// Longest time a call takes to leave, plus a margin.
const GRACE: Duration = Duration::from_millis(2_250);
/// Poll interval for the end of a thread that cannot be joined.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Starting takes less than a millisecond; a start that has not completed by then never does.
const START: Duration = Duration::from_secs(2);

thread_local! {
    static IO_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread belongs to the runtime and must not block.
pub fn on_io_thread() -> bool {
    IO_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// The runtime of the process.
pub fn global() -> &'static Runtime {
    static GLOBAL: Runtime = Runtime::new();
    &GLOBAL
}

/// [`Runtime::spawn`] on the runtime of the process.
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> Result<JoinHandle<T>> {
    global().spawn(name, future)
}

/// [`Runtime::spawn_guarded`] on the runtime of the process.
pub fn spawn_guarded(
    name: &'static str,
    future: impl Future<Output = ()> + Send + 'static,
    on_panic: impl FnOnce(String) + Send + 'static,
) -> Result<JoinHandle<()>> {
    global().spawn_guarded(name, future, on_panic)
}

/// [`Runtime::shutdown`] on the runtime of the process.
pub fn shutdown(timeout: Duration) -> bool {
    global().shutdown(timeout)
}

/// Signals to a task that the runtime is stopping.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns when a shutdown has begun; at once if it has. Cancel-safe.
    pub async fn requested(&mut self) {
        // An error means that the runtime has ended: the same result.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether a shutdown has begun.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

/// Counts the tasks and threads of one start of a runtime.
#[derive(Debug, Default)]
struct Census {
    tasks: Mutex<BTreeMap<&'static str, usize>>,
    none_left: Condvar,
    threads: AtomicUsize,
}

impl Census {
    fn enter(self: &Arc<Self>, name: &'static str) -> Entry {
        *self.tasks.lock().entry(name).or_default() += 1;
        Entry { census: self.clone(), name }
    }

    fn wait_for_none(&self, deadline: Instant) -> bool {
        let mut tasks = self.tasks.lock();
        while !tasks.is_empty() {
            if self.none_left.wait_until(&mut tasks, deadline).timed_out() {
                return tasks.is_empty();
            }
        }
        true
    }
}

struct Entry {
    census: Arc<Census>,
    name: &'static str,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut tasks = self.census.tasks.lock();
        if let Some(n) = tasks.get_mut(self.name) {
            *n -= 1;
            if *n == 0 {
                tasks.remove(self.name);
            }
        }
        if tasks.is_empty() {
            self.census.none_left.notify_all();
        }
    }
}

/// See [`Runtime::reserve`].
pub struct Reserved {
    name: &'static str,
    tokio: Handle,
    entry: Entry,
}

impl std::fmt::Debug for Reserved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reserved").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Reserved {
    fn start<T: Send + 'static>(self, future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
        let entry = self.entry;
        self.tokio.spawn(async move {
            let out = future.await;
            drop(entry);
            out
        })
    }

    /// See [`Runtime::spawn_guarded`]. If the runtime is stopped before, the future is dropped.
    pub fn spawn_guarded(
        self,
        future: impl Future<Output = ()> + Send + 'static,
        on_panic: impl FnOnce(String) + Send + 'static,
    ) -> JoinHandle<()> {
        // Boxed: each wrapping future would hold it twice, once as an argument and once as the awaited future.
        let name = self.name;
        let future = Box::pin(inject::task(name, future));
        let guarded = async move {
            let mut contained = std::pin::pin!(AssertUnwindSafe(future).catch_unwind());
            let ended = std::future::poll_fn(|context| {
                let inside = Inside::enter();
                contained.as_mut().poll(context).map_err(|payload| (payload, inside.place()))
            });
            if let Err((payload, place)) = ended.await {
                let text = panic_text(payload);
                oh_log!(Level::Error, "a task ({name}) panicked at {place}: {text}");
                if contain(move || on_panic(text)).is_err() {
                    oh_log!(Level::Error, "the panic handler of a task ({name}) panicked, too");
                }
            }
        };
        self.start(inject::task("guard", guarded))
    }
}

#[derive(Debug)]
struct Running {
    tokio: tokio::runtime::Runtime,
    stop: watch::Sender<bool>,
    census: Arc<Census>,
}

impl Running {
    /// Cancels the remaining tasks, ends the threads and joins them. False when `timeout` was too short.
    fn end(self, timeout: Duration) -> bool {
        let Self { tokio, census, .. } = self;
        let left: Vec<_> = census.tasks.lock().iter().map(|(name, n)| (*name, *n)).collect();
        if !left.is_empty() {
            oh_log!(Level::Warn, "shutdown: cancelling tasks that did not end in time: {left:?}");
        }
        stop_tokio(tokio, timeout);
        census.threads.load(SeqCst) == 0 && census.tasks.lock().is_empty()
    }
}

/// A runtime that ends on a separate thread, because the caller of `shutdown` had no time left.
#[derive(Debug)]
struct Ending {
    end_state: Arc<EndState>,
    thread: thread::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct EndState {
    yes: Mutex<bool>,
    changed: Condvar,
}

impl EndState {
    fn wait(&self, deadline: Instant) -> bool {
        let mut end_state = self.yes.lock();
        while !*end_state {
            if self.changed.wait_until(&mut end_state, deadline).timed_out() {
                return *end_state;
            }
        }
        true
    }
}

impl Ending {
    /// Returns the runtime when no thread can be started.
    fn begin(running: Running, cut: Instant) -> std::result::Result<Self, Option<Running>> {
        let end_state = Arc::new(EndState::default());
        let place = Arc::new(Mutex::new(Some(running)));
        let (mark, for_thread) = (end_state.clone(), place.clone());
        let end = move || {
            thread_started();
            let Some(running) = for_thread.lock().take() else { return };
            let census = running.census.clone();
            census.wait_for_none(cut);
            running.end(Duration::ZERO);
            // A task that blocks its thread cannot be cancelled; wait until it returns.
            while census.threads.load(SeqCst) > 0 {
                thread::sleep(LOOK_AGAIN);
            }
            *mark.yes.lock() = true;
            mark.changed.notify_all();
        };
        match thread::Builder::new().name("oh-end".into()).spawn(end) {
            Ok(thread) => Ok(Self { end_state, thread }),
            Err(_) => Err(place.lock().take()),
        }
    }
}

#[derive(Debug)]
struct State {
    running: Option<Running>,
    ending: Vec<Ending>,
    /// 0: one per processor, 4 at most.
    io_threads: usize,
    stopping: bool,
}

/// A tokio runtime that starts on demand and can be stopped and started again.
#[derive(Debug)]
pub struct Runtime {
    state: Mutex<State>,
    changed: Condvar,
    grace: Duration,
}

impl Default for Runtime {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime {
    /// Not started yet.
    pub const fn new() -> Self {
        Self::with_grace(GRACE)
    }

    const fn with_grace(grace: Duration) -> Self {
        let state = State { running: None, ending: Vec::new(), io_threads: 0, stopping: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), grace }
    }

    /// Sets the number of I/O threads, 1..=64, 0 for the default (one per processor, 4 at most).
    /// Errors: `Argument` out of range; `State` when the runtime is already running with another.
    pub fn set_io_threads(&self, threads: usize) -> Result<()> {
        if threads > MOST_IO_THREADS {
            return Err(Error::new(Code::Argument, "the number of I/O threads must be 0 (default) to 64"));
        }
        let mut state = self.state.lock();
        if state.running.is_some() && state.io_threads != threads {
            return Err(Error::new(
                Code::State,
                "the I/O threads are already running; set their number before creating the first client",
            ));
        }
        state.io_threads = threads;
        Ok(())
    }

    /// The tokio handle, for objects that must be created inside the runtime. Starts the runtime when it is not
    /// running. Errors: as [`spawn`](Self::spawn).
    pub fn handle(&self) -> Result<Handle> {
        self.with(|running| running.tokio.handle().clone())
    }

    /// A signal that a shutdown has begun. Starts the runtime when it is not running. Errors: as
    /// [`spawn`](Self::spawn).
    pub fn stop_signal(&self) -> Result<Stop> {
        self.with(|running| Stop(running.stop.subscribe()))
    }

    /// Starts a task, counted under `name` until it has ended and its future is dropped; starts the
    /// runtime when it is not running. A task that shall end on shutdown watches
    /// [`stop_signal`](Self::stop_signal).
    ///
    /// Errors: `Limit` when the system has no threads or descriptors for the runtime (tried again
    /// at the next call); `State` during a shutdown.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        self.start(name, inject::task(name, future))
    }

    fn start<T: Send + 'static>(
        &self,
        name: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        Ok(self.reserve(name)?.start(future))
    }

    /// As [`spawn`](Self::spawn), and `on_panic` gets the text (cut to 200 characters) when the
    /// task panics. It runs on the I/O thread: hand off, never block.
    pub fn spawn_guarded(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
        on_panic: impl FnOnce(String) + Send + 'static,
    ) -> Result<JoinHandle<()>> {
        Ok(self.reserve(name)?.spawn_guarded(future, on_panic))
    }

    /// Reserves one task, which is counted from now on and whose start cannot fail. Starts the runtime when it is not
    /// running. Errors: as [`spawn`](Self::spawn).
    pub fn reserve(&self, name: &'static str) -> Result<Reserved> {
        self.with(|r| Reserved { name, tokio: r.tokio.handle().clone(), entry: r.census.enter(name) })
    }

    /// Tasks started with `spawn` that have not ended.
    pub fn live_tasks(&self) -> usize {
        self.task_names().iter().map(|(_, n)| n).sum()
    }

    /// The same by name, for tests that look for leaks.
    pub fn task_names(&self) -> Vec<(&'static str, usize)> {
        let state = self.state.lock();
        let Some(running) = &state.running else { return Vec::new() };
        let tasks = running.census.tasks.lock();
        tasks.iter().map(|(name, n)| (*name, *n)).collect()
    }

    /// All tasks in the runtime, those that dependencies started included.
    pub fn all_tasks(&self) -> usize {
        let state = self.state.lock();
        state.running.as_ref().map_or(0, |r| r.tokio.metrics().num_alive_tasks())
    }

    /// Whether threads of the runtime exist.
    pub fn is_running(&self) -> bool {
        self.state.lock().running.is_some()
    }

    /// Signals every task to stop, waits for them, then ends and joins the threads. Even with a short `timeout`, tasks
    /// have [`GRACE`] to end in order, in the background if needed. Tasks that have not ended by then (and by three
    /// quarters of `timeout`) are dropped at their next await.
    ///
    /// True when nothing of the runtime runs any more; false when `timeout` was too short (the rest ends by itself, or
    /// never) or when called on an I/O thread. Either way the next task starts a new runtime. Later calls also wait for
    /// runtimes that are still ending.
    pub fn shutdown(&self, timeout: Duration) -> bool {
        if on_io_thread() {
            return false;
        }
        // At most a year, so that no clock overflows.
        let timeout = timeout.min(Duration::from_secs(365 * 86400));
        let began = Instant::now();
        let deadline = began + timeout;
        let mut state = self.state.lock();
        while state.stopping {
            if self.changed.wait_until(&mut state, deadline).timed_out() && state.stopping {
                return false;
            }
        }
        let mut done = true;
        if let Some(running) = state.running.take() {
            state.stopping = true;
            drop(state);
            running.stop.send_replace(true);
            let cut = began + timeout.mul_f32(0.75).max(self.grace);
            let ended = running.census.wait_for_none(cut.min(deadline));
            let later = if ended || cut <= deadline { Err(Some(running)) } else { Ending::begin(running, cut) };
            let later = later.map_err(|now| {
                let left = deadline.saturating_duration_since(Instant::now());
                done = now.is_none_or(|running| running.end(left));
            });
            state = self.state.lock();
            state.stopping = false;
            state.ending.extend(later.ok());
            self.changed.notify_all();
        }
        // Wait for runtimes that earlier calls left ending.
        while let Some(end_state) = state.ending.first().map(|ending| ending.end_state.clone()) {
            if !MutexGuard::unlocked(&mut state, || end_state.wait(deadline)) {
                return false;
            }
            if let Some(at) = state.ending.iter().position(|ending| Arc::ptr_eq(&ending.end_state, &end_state)) {
                let ending = state.ending.remove(at);
                // The thread cannot panic; its result carries no information.
                let _ = MutexGuard::unlocked(&mut state, || ending.thread.join());
            }
        }
        done
    }

    fn with<T>(&self, f: impl FnOnce(&Running) -> T) -> Result<T> {
        let mut state = self.state.lock();
        if state.stopping {
            return Err(Error::new(Code::State, "the library is shutting down; try again after the shutdown"));
        }
        if state.running.is_none() {
            state.running = Some(start(state.io_threads)?);
        }
        match &state.running {
            Some(running) => Ok(f(running)),
            None => Err(Error::new(Code::Internal, "the runtime vanished")),
        }
    }
}

fn start(io_threads: usize) -> Result<Running> {
    let threads = match io_threads {
        0 => thread::available_parallelism().map_or(1, |n| n.get()).clamp(1, 4),
        n => n,
    };
    let advice = "raise the limits of threads and open files, or wait until some are free";
    let refused = || Error::new(Code::Limit, format!("cannot start the I/O threads; {advice}"));
    if !threads_can_be_had(threads) {
        return Err(refused());
    }
    let census = Arc::new(Census::default());
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let for_thread = census.clone();
    // If the system runs out of threads at this moment after all, tokio panics instead of failing, leaks its
    // descriptors, and may wait without limit for the threads it has. So do not build it on this thread.
    let helper = thread::Builder::new().name("oh-start".into()).spawn(move || {
        thread_started();
        let _ = sender.send(contain(move || build(threads, for_thread)));
    });
    let Ok(helper) = helper else { return Err(refused()) };
    let Ok(built) = receiver.recv_timeout(START) else { return Err(refused()) };
    let _ = helper.join();
    match built {
        Ok(Ok(tokio)) => Ok(Running { tokio, stop: watch::Sender::new(false), census }),
        Ok(Err(e)) => Err(Error::new(Code::Limit, format!("cannot start the I/O threads ({}); {advice}", e.kind()))),
        Err(_) => Err(refused()),
    }
}

fn build(threads: usize, census: Arc<Census>) -> std::io::Result<tokio::runtime::Runtime> {
    let number = AtomicUsize::new(0);
    let ended = census.clone();
    Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name_fn(move || format!("oh-io-{}", number.fetch_add(1, SeqCst)))
        .on_thread_start(move || {
            census.threads.fetch_add(1, SeqCst);
            IO_THREAD.with(|io| io.set(true));
            thread_started();
        })
        .on_thread_stop(move || {
            ended.threads.fetch_sub(1, SeqCst);
        })
        .enable_all()
        .build()
}

/// Whether the system can start that many threads at once. Tried, because there is no query for it.
fn threads_can_be_had(threads: usize) -> bool {
    let gate = Arc::new(Mutex::new(()));
    let held = gate.lock();
    let mut tried = Vec::with_capacity(threads);
    for _ in 0..threads {
        let gate = gate.clone();
        let wait = move || {
            thread_started();
            drop(gate.lock());
        };
        match thread::Builder::new().name("oh-probe".into()).stack_size(64 * 1024).spawn(wait) {
            Ok(thread) => tried.push(thread),
            Err(_) => break,
        }
    }
    drop(held);
    let all = tried.len() == threads;
    for thread in tried {
        let _ = thread.join();
    }
    all
}

/// Ends and joins the threads. Inside another tokio runtime of the host, tokio refuses to block; a helper thread does
/// it there.
fn stop_tokio(tokio: tokio::runtime::Runtime, timeout: Duration) {
    // Threads need a moment to end even when there is no time left.
    let timeout = timeout.max(Duration::from_millis(100));
    if Handle::try_current().is_err() {
        tokio.shutdown_timeout(timeout);
        return;
    }
    let shared = Arc::new(Mutex::new(Some(tokio)));
    let for_thread = shared.clone();
    let helper = thread::Builder::new().name("oh-stop".into()).spawn(move || {
        thread_started();
        if let Some(tokio) = for_thread.lock().take() {
            tokio.shutdown_timeout(timeout);
        }
    });
    match helper {
        Ok(helper) => drop(helper.join()),
        Err(_) => {
            if let Some(tokio) = shared.lock().take() {
                tokio.shutdown_background();
            }
        }
    }
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;
