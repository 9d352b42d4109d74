//! The inner state of a mailbox: its phases, the turns that a pool thread takes in it, and its end.
//!
//! Must not know: who posts or closes. Rules: one runner at a time; the handler, `destroy` and the drop of items run
//! with no lock held; the thread that is the runner when the mailbox has ended finishes it.

use super::{
    pool::{Job, Seat},
    queue::Queue,
    waits::{self, Inside, Token},
    wake::Wake,
    Delivery,
};
use crate::panics::contain;
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::{
    sync::{
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};

/// A mailbox gives its thread back after this many items, so that no call starves another…
const ITEMS_PER_TURN: usize = 32;
/// …or after this long, whichever comes first.
const TIME_PER_TURN: Duration = Duration::from_millis(5);

/// A callback that takes less is prompt: its call may use the pool's reserve.
const PROMPT: Duration = Duration::from_millis(100);

pub(super) type Call<C, M> = Box<dyn FnMut(Delivery<C, M>) + Send>;
pub(super) type Destroy = Box<dyn FnOnce() + Send>;
pub(super) type OnPanic = Box<dyn FnOnce(String) + Send>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Open,
    /// The last item is queued; nothing is accepted any more.
    Ending,
    /// Closed by a caller or a panic; queued items are discarded, a callback may still run.
    Closing,
    /// `destroy` has run.
    Closed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    CallbackReturned,
    Closed,
}

pub(super) struct State<C, M> {
    pub(super) queue: Queue<C, M>,
    pub(super) phase: Phase,
    /// In the pool's queue.
    pub(super) scheduled: bool,
    /// The thread that is in the handler or in `destroy`, or between two items of one turn.
    pub(super) runner: Option<Token>,
    /// Absent while it runs, after the end, and in pull mode.
    pub(super) call: Option<Call<C, M>>,
    pub(super) destroy: Option<Destroy>,
    pub(super) on_panic: Option<OnPanic>,
    pub(super) waiters: Vec<(Token, Until)>,
    /// Callbacks returned so far.
    pub(super) returned: u64,
    pub(super) pulling: bool,
    pub(super) wake: Option<Wake>,
}

pub(super) struct Inner<C, M> {
    pub(super) id: u64,
    /// Copy of `State::runner` for the wait-for graph; 0: none. Changed with the state locked.
    pub(super) running: Arc<AtomicU64>,
    /// Consecutive callbacks that were prompt.
    pub(super) prompt: AtomicU32,
    pub(super) pull: bool,
    pub(super) state: Mutex<State<C, M>>,
    pub(super) changed: Condvar,
}

/// Undelivered items; a panic in their drop is contained.
pub(super) struct Discarded<T>(pub(super) Option<T>);

impl<T> Drop for Discarded<T> {
    fn drop(&mut self) {
        if let Some(items) = self.0.take() {
            let _ = contain(move || drop(items));
        }
    }
}

impl<C, M> Inner<C, M> {
    pub(super) fn set_runner(&self, state: &mut State<C, M>, runner: Option<Token>) {
        state.runner = runner;
        self.running.store(runner.unwrap_or(0), waits::ORDER);
    }

    /// Finishes the mailbox. The caller is the runner and has the phase at `Closing`, or the last item delivered;
    /// `call` is the handler if the caller holds it.
    pub(super) fn finish<T>(
        &self,
        mut state: MutexGuard<'_, State<C, M>>,
        call: Option<Call<C, M>>,
        discarded: Discarded<T>,
    ) {
        state.phase = Phase::Closing;
        let call = call.or_else(|| state.call.take());
        let (destroy, on_panic) = (state.destroy.take(), state.on_panic.take());
        drop(state);
        drop(discarded);
        let inside = Inside::enter(self.id);
        let dropped = contain(move || drop(call)).err();
        let destroyed = contain(move || destroy.map_or((), |d| d())).err();
        if let (Some(text), Some(on_panic)) = (dropped.or(destroyed), on_panic) {
            let _ = contain(move || on_panic(text));
        }
        drop(inside);
        let mut state = self.state.lock();
        state.phase = Phase::Closed;
        self.set_runner(&mut state, None);
        state.returned += 1;
        for (waiter, _) in std::mem::take(&mut state.waiters) {
            waits::waited(waiter);
        }
        self.changed.notify_all();
    }

    fn callback_returned(&self, state: &mut State<C, M>) {
        state.returned += 1;
        if state.waiters.is_empty() {
            return;
        }
        state.waiters.retain(|(waiter, until)| {
            let stays = *until == Until::Closed;
            if !stays {
                waits::waited(*waiter);
            }
            stays
        });
        self.changed.notify_all();
    }
}

impl<C, M> Inner<C, M> {
    fn returned_after(&self, time: Duration) {
        let before = self.prompt.load(Relaxed);
        let now = if time < PROMPT { before.saturating_add(1) } else { 0 };
        if now != before {
            self.prompt.store(now, Relaxed);
        }
    }
}

impl<C: Send, M: Send> Job for Inner<C, M> {
    fn prompt(&self) -> u32 {
        self.prompt.load(Relaxed)
    }

    fn turn(&self, seat: &Seat) -> bool {
        let nothing = || Discarded::<()>(None);
        let mut state = self.state.lock();
        state.scheduled = false;
        if state.phase == Phase::Closed || state.runner.is_some() {
            return false;
        }
        self.set_runner(&mut state, Some(waits::token()));
        let mut call = state.call.take();
        let mut began = None;
        for _ in 0..ITEMS_PER_TURN {
            if state.phase == Phase::Closing {
                break;
            }
            let Some(item) = state.queue.pop() else { break };
            let now = seat.begin();
            let over = now.saturating_duration_since(*began.get_or_insert(now)) >= TIME_PER_TURN;
            let result = MutexGuard::unlocked(&mut state, || {
                let _inside = Inside::enter(self.id);
                contain(|| call.as_mut().map_or((), |call| call(item)))
            });
            self.returned_after(seat.end(now));
            if let Err(text) = result {
                let on_panic = state.on_panic.take();
                state.phase = Phase::Closing;
                let discarded = Discarded(Some(state.queue.clear()));
                MutexGuard::unlocked(&mut state, || {
                    drop(discarded);
                    let _inside = Inside::enter(self.id);
                    let _ = contain(|| on_panic.map_or((), |hook| hook(text)));
                });
            }
            self.callback_returned(&mut state);
            if over {
                break;
            }
        }
        if state.phase == Phase::Closing || (state.phase == Phase::Ending && state.queue.is_empty()) {
            let now = seat.begin();
            self.finish(state, call, nothing());
            seat.end(now);
            return false;
        }
        state.call = call;
        self.set_runner(&mut state, None);
        state.scheduled = !state.queue.is_empty();
        state.scheduled
    }
}

impl<C, M> Drop for Inner<C, M> {
    /// The last clone was dropped without a close: no callback runs, since a running one holds a clone.
    fn drop(&mut self) {
        let id = self.id;
        let state = self.state.get_mut();
        if state.phase == Phase::Closed {
            return;
        }
        let items = Discarded(Some(state.queue.clear()));
        let (call, destroy, on_panic) = (state.call.take(), state.destroy.take(), state.on_panic.take());
        drop(items);
        let _inside = Inside::enter(id);
        let dropped = contain(move || drop(call)).err();
        let destroyed = contain(move || destroy.map_or((), |d| d())).err();
        if let (Some(text), Some(on_panic)) = (dropped.or(destroyed), on_panic) {
            let _ = contain(move || on_panic(text));
        }
    }
}
