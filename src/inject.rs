//! Fault injection in tasks and callbacks, for tests: a panic at the next poll of a task of a chosen kind.
//!
//! Compiled into the unit tests only. In every other build a task is the future itself and a mark is empty, and no
//! library contains the text of the injected panic (`make check-header` checks this). A test marks its thread. Tasks
//! that it starts from there inherit the mark, and so do the tasks that those start, so that a test can hit one session
//! among others.
//! Must not know: what the tasks do.

#[cfg(not(test))]
mod none {
    /// Returns the future itself.
    pub(crate) fn task<F>(_: &'static str, future: F) -> F {
        future
    }

    /// An empty mark.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Mark;

    impl Mark {
        pub(crate) fn of_thread() -> Self {
            Mark
        }

        pub(crate) fn reached(self, _: &'static str) {}
    }
}

#[cfg(not(test))]
pub(crate) use none::{task, Mark};

#[cfg(test)]
pub(crate) use planted::*;

#[cfg(test)]
mod planted {
    use parking_lot::Mutex;
    use std::{
        cell::Cell,
        collections::BTreeMap,
        future::Future,
        pin::Pin,
        sync::atomic::{AtomicU64, Ordering::Relaxed},
        task::{Context, Poll},
    };

    thread_local! {
        static MARK: Cell<u64> = const { Cell::new(0) };
    }

    /// (mark, kind) → whether the panic is still pending.
    static PLANS: Mutex<BTreeMap<(u64, &'static str), bool>> = Mutex::new(BTreeMap::new());
    /// Live tasks by mark and kind.
    static LIVE: Mutex<BTreeMap<(u64, &'static str), usize>> = Mutex::new(BTreeMap::new());

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Mark(u64);

    impl Mark {
        /// Gives this thread a new mark, until [`Mark::lift`].
        pub fn new() -> Self {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            let mark = Mark(NEXT.fetch_add(1, Relaxed));
            MARK.set(mark.0);
            mark
        }

        pub fn lift() {
            MARK.set(0);
        }

        pub(crate) fn of_thread() -> Self {
            Mark(MARK.get())
        }

        /// The next task or callback of this kind with this mark panics.
        pub fn strike(self, kind: &'static str) {
            PLANS.lock().insert((self.0, kind), true);
        }

        /// Whether that panic has happened.
        pub fn struck(self, kind: &'static str) -> bool {
            PLANS.lock().get(&(self.0, kind)) == Some(&false)
        }

        /// Live tasks with this mark, by kind.
        pub fn live(self) -> Vec<(&'static str, usize)> {
            LIVE.lock().iter().filter(|((mark, _), _)| *mark == self.0).map(|((_, kind), n)| (*kind, *n)).collect()
        }

        pub(crate) fn reached(self, kind: &'static str) {
            if self.0 == 0 {
                return;
            }
            let mut plans = PLANS.lock();
            if let Some(strikes @ true) = plans.get_mut(&(self.0, kind)) {
                *strikes = false;
                drop(plans);
                panic!("planted fault in {kind}");
            }
        }
    }

    pub(crate) struct Task<F> {
        future: Pin<Box<F>>,
        kind: &'static str,
        mark: Mark,
    }

    pub(crate) fn task<F: Future>(kind: &'static str, future: F) -> Task<F> {
        let mark = Mark::of_thread();
        *LIVE.lock().entry((mark.0, kind)).or_default() += 1;
        Task { future: Box::pin(future), kind, mark }
    }

    impl<F: Future> Future for Task<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
            struct Restore(u64);
            impl Drop for Restore {
                fn drop(&mut self) {
                    MARK.set(self.0);
                }
            }
            let _restore = Restore(MARK.replace(self.mark.0));
            self.mark.reached(self.kind);
            self.future.as_mut().poll(context)
        }
    }

    impl<F> Drop for Task<F> {
        fn drop(&mut self) {
            let mut live = LIVE.lock();
            if let Some(n) = live.get_mut(&(self.mark.0, self.kind)) {
                *n -= 1;
                if *n == 0 {
                    live.remove(&(self.mark.0, self.kind));
                }
            }
        }
    }
}
