//! Fair sharing of the I/O threads: each call has a budget of network reads, and stops reading when it is used up.
//!
//! The budget counts datagrams and chunks of a stream, not time: a count is the same on a slow machine, on a busy one
//! and under a memory checker. Each call has a budget that does not depend on other calls; beyond it, calls draw on a
//! common budget. A call that its server floods slows the server down (the socket is not read) and leaves the other
//! calls their time. Every task of a call runs inside [`Share::run`], which bounds the work of one turn (one poll).
//! Must not know: what the tasks do, calls, the runtime.

use parking_lot::Mutex;
use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

/// Reads per second in the budget of each call: forty audio streams.
const PER_CALL: f64 = 2_000.0;
/// Reads per second in the common budget of all calls, for each processor.
const COMMON: f64 = 20_000.0;
/// Most reads saved up: allows a burst such as a join.
const PER_CALL_SAVED: f64 = 4_000.0;
const COMMON_SAVED: f64 = 8_000.0;
/// Longest wait before the budget is checked again: the common budget may have grown.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// A task that has run this long yields to others.
const TURN: Duration = Duration::from_millis(1);
/// Datagrams that one task reads in one turn.
const DATAGRAMS: u32 = 16;
/// Bytes of a stream that count as one read.
const PIECE: usize = 4_096;

thread_local! {
    /// The share of the task that runs on this thread, and when its turn began.
    static CURRENT: RefCell<Option<(Arc<Share>, Instant)>> = const { RefCell::new(None) };
    static READ: Cell<u32> = const { Cell::new(0) };
}

/// Available reads; negative while in debt.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Option<Instant>,
}

impl Bucket {
    fn refill(&mut self, now: Instant, rate: f64, most: f64) {
        let passed = self.at.map_or(most, |at| rate * now.saturating_duration_since(at).as_secs_f64());
        // Times come from several threads, out of order.
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
        self.left = (self.left + passed).min(most);
    }
}

static ALL: Mutex<Bucket> = Mutex::new(Bucket { left: 0.0, at: None });

fn processors() -> f64 {
    static COUNT: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, |n| n.get().min(4))) as f64
}

/// The budget of one call.
#[derive(Debug)]
pub struct Share {
    bucket: Mutex<Bucket>,
}

impl Default for Share {
    fn default() -> Self {
        Self { bucket: Mutex::new(Bucket { left: 0.0, at: None }) }
    }
}

impl Share {
    /// The share of the current task; a new one outside of any task.
    pub fn current() -> Arc<Self> {
        CURRENT.with_borrow(|current| current.as_ref().map(|(share, _)| share.clone())).unwrap_or_default()
    }

    /// Runs a task of the call, in bounded turns. Tasks that it starts belong to the call, too.
    pub fn run<F: Future>(self: &Arc<Self>, task: F) -> Run<F> {
        Run { share: self.clone(), task: Box::pin(task) }
    }

    /// Counts one datagram read.
    pub fn read_one(&self) {
        self.spend(now(), 1.0);
    }

    /// Counts bytes read from a stream.
    pub fn read_bytes(&self, bytes: usize) {
        self.spend(now(), bytes.div_ceil(PIECE) as f64);
    }

    fn spend(&self, now: Instant, reads: f64) {
        let mut bucket = self.bucket.lock();
        bucket.refill(now, PER_CALL, PER_CALL_SAVED);
        bucket.left -= reads;
        if bucket.left < 0.0 {
            Self::borrow(&mut bucket, now);
        }
    }

    /// Pays the debt from the common budget, as far as it reaches.
    fn borrow(bucket: &mut Bucket, now: Instant) {
        let mut all = ALL.lock();
        all.refill(now, COMMON * processors(), COMMON_SAVED * processors());
        let paid = all.left.max(0.0).min(-bucket.left);
        all.left -= paid;
        bucket.left += paid;
    }

    /// How long to pause reading; `None`: continue.
    pub fn wait(&self) -> Option<Duration> {
        let mut bucket = self.bucket.lock();
        if bucket.left < 0.0 {
            let now = Instant::now();
            bucket.refill(now, PER_CALL, PER_CALL_SAVED);
            if bucket.left < 0.0 {
                Self::borrow(&mut bucket, now);
            }
        }
        // A remainder after paying is a rounding error.
        (bucket.left < -1e-6)
            .then(|| Duration::from_secs_f64(-bucket.left / PER_CALL).clamp(Duration::from_millis(1), LOOK_AGAIN))
    }

    /// Waits until the call may read on. Cancel safe.
    pub async fn admitted(&self) {
        while let Some(wait) = self.wait() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// When this turn began, which is accurate enough: reads earned since then count for the next turn.
fn now() -> Instant {
    CURRENT.with_borrow(|current| current.as_ref().map(|(_, since)| *since)).unwrap_or_else(Instant::now)
}

/// Yields when this task has used up its turn. Await it between two units of work.
pub async fn breathe() {
    let over = CURRENT.with_borrow(|current| current.as_ref().is_some_and(|(_, since)| since.elapsed() >= TURN));
    if over {
        tokio::task::yield_now().await;
    }
}

/// Whether one more datagram may be read in this turn; counts it.
pub fn one_more() -> bool {
    let read = READ.get();
    READ.set(read + 1);
    read < DATAGRAMS || CURRENT.with_borrow(Option::is_none)
}

/// See [`Share::run`].
#[derive(Debug)]
pub struct Run<F> {
    share: Arc<Share>,
    task: Pin<Box<F>>,
}

/// Restores the thread's previous share, even when a task panics.
struct Turn(Option<(Arc<Share>, Instant)>);

impl Drop for Turn {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| *current = self.0.take());
    }
}

impl<F: Future> Future for Run<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        READ.set(0);
        let this_turn = (self.share.clone(), Instant::now());
        let _turn = Turn(CURRENT.with_borrow_mut(|current| current.replace(this_turn)));
        self.task.as_mut().poll(cx)
    }
}

/// Empties the common budget for a while. Tests that need this run one at a time.
#[cfg(test)]
pub(crate) fn without_common() -> WithoutCommon {
    static ONE_BY_ONE: Mutex<()> = Mutex::new(());
    let turn = ONE_BY_ONE.lock();
    *ALL.lock() = Bucket { left: 0.0, at: Some(Instant::now() + Duration::from_secs(60)) };
    WithoutCommon { _turn: turn }
}

/// See [`without_common`].
#[cfg(test)]
pub(crate) struct WithoutCommon {
    _turn: parking_lot::MutexGuard<'static, ()>,
}

#[cfg(test)]
impl Drop for WithoutCommon {
    fn drop(&mut self) {
        *ALL.lock() = Bucket { left: 0.0, at: None };
    }
}

/// The most that a call reads in this time without the common budget.
#[cfg(test)]
pub(crate) fn per_call_reads(within: Duration) -> usize {
    (PER_CALL_SAVED + PER_CALL * within.as_secs_f64()) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_exceeds_its_share_waits_and_others_do_not() {
        let _dry = without_common();
        let (greedy, modest) = (Share::default(), Share::default());
        let start = Instant::now();
        for ms in 0..1_000u32 {
            let now = start + Duration::from_millis(u64::from(ms));
            greedy.spend(now, 20.0);
            modest.spend(now, 1.0);
        }
        let read = PER_CALL_SAVED + PER_CALL;
        assert!((greedy.bucket.lock().left + 20_000.0 - read).abs() < 10.0, "{greedy:?}");
        assert!(modest.bucket.lock().left > PER_CALL_SAVED - 10.0, "{modest:?}");
        assert_eq!((greedy.wait(), modest.wait()), (Some(LOOK_AGAIN), None));
        let paid = |share: &Share| {
            *ALL.lock() = Bucket { left: COMMON_SAVED, at: Some(Instant::now()) };
            share.wait().is_none()
        };
        assert!((0..3).any(|_| paid(&greedy)), "an unused common budget is available to every call: {greedy:?}");
        assert_eq!(modest.wait(), None);
    }

    #[test]
    fn bytes_of_a_stream_count_by_the_piece() {
        let _dry = without_common();
        let share = Share::default();
        let begun = Instant::now();
        for bytes in [1, PIECE, PIECE + 1] {
            share.read_bytes(bytes);
        }
        let left = share.bucket.lock().left;
        let refilled = PER_CALL * begun.elapsed().as_secs_f64();
        assert!((PER_CALL_SAVED - 4.0..=PER_CALL_SAVED - 4.0 + refilled).contains(&left), "{left}");
    }

    #[test]
    fn tasks_know_their_call_and_what_they_start_belongs_to_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let share = Arc::new(Share::default());
        let (outer, inner) = (share.clone(), Arc::new(Share::default()));
        runtime.block_on(share.run(async move {
            assert!(Arc::ptr_eq(&Share::current(), &outer));
            inner.run(async { assert!(Arc::ptr_eq(&Share::current(), &inner)) }).await;
            tokio::task::yield_now().await;
            assert!(Arc::ptr_eq(&Share::current(), &outer));
            assert_eq!((0..20).filter(|_| one_more()).count(), DATAGRAMS as usize);
            tokio::task::yield_now().await;
            assert!(one_more(), "another turn");
        }));
        assert!(!Arc::ptr_eq(&Share::current(), &share));
        assert!((0..100).all(|_| one_more()), "outside of any call nothing is counted");
    }

    #[test]
    fn a_long_turn_is_interrupted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let others = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = others.clone();
        runtime.block_on(Arc::new(Share::default()).run(async move {
            tokio::spawn(async move {
                loop {
                    count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            });
            for _ in 0..5 {
                let since = Instant::now();
                while since.elapsed() < 2 * TURN {}
                breathe().await;
            }
        }));
        assert!(others.load(std::sync::atomic::Ordering::SeqCst) >= 4);
    }
}
