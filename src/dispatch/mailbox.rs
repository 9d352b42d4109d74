//! One receiver of events and media: a bounded queue, and a handler that gets its items or a thread that pulls them.
//!
//! Must not know: calls, the C API, the network. Only `close_and_wait`, `quiesce` and `next` wait.

use super::{
    inner::{Call, Destroy, Discarded, Inner, OnPanic, Phase, State, Until},
    pool::Pool,
    queue::{Class, Counts, Delivery, Limits, Pushed, Queue, Weight},
    waits,
    wake::{Wake, WakeDescriptor},
};
use crate::error::{Code, Error, Result};
use crate::sync::{Condvar, Instant, Mutex, MutexGuard};
use std::{
    marker::PhantomData,
    sync::{
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};

/// Result of posting an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    Queued,
    /// No room; a [`Delivery::Lost`] is delivered in its place.
    Lost,
    /// The mailbox is closed or has its last item queued; the item is dropped.
    Closed,
}

/// State of a close when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// No callback runs or will run, and `destroy` has run.
    Done,
    /// Takes effect when a callback returns that cannot be waited for here: it is the caller's own, or it waits
    /// (directly or indirectly) for the caller's.
    Deferred,
}

/// The receiving side, passed at creation.
pub struct Handler<C, M> {
    call: Call<C, M>,
    destroy: Option<Destroy>,
    on_panic: Option<OnPanic>,
}

impl<C, M> Handler<C, M> {
    /// `call` gets every item, one at a time, on a pool thread.
    pub fn new(call: impl FnMut(Delivery<C, M>) + Send + 'static) -> Self {
        Self { call: Box::new(call), destroy: None, on_panic: None }
    }

    /// `destroy` runs exactly once, after the last callback has returned and `call` has been dropped: when the last
    /// item has been delivered, or when the mailbox is closed or dropped. Runs on a pool thread, or on the thread that
    /// closes.
    pub fn destroy(mut self, destroy: impl FnOnce() + Send + 'static) -> Self {
        self.destroy = Some(Box::new(destroy));
        self
    }

    /// `on_panic` gets the text when `call` (or `destroy`) panics. The panic closes the mailbox. Called on the same
    /// thread, with no lock held; must not block.
    pub fn on_panic(mut self, on_panic: impl FnOnce(String) + Send + 'static) -> Self {
        self.on_panic = Some(Box::new(on_panic));
        self
    }
}

impl<C, M> std::fmt::Debug for Handler<C, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handler")
    }
}

/// A bounded queue of control items `C` and media items `M` with one receiver. Cheap to clone; all
/// clones are the same mailbox. Any thread.
pub struct Mailbox<C: Send + 'static, M: Send + 'static> {
    inner: Arc<Inner<C, M>>,
    pool: Arc<Pool>,
}

impl<C: Send + 'static, M: Send + 'static> Clone for Mailbox<C, M> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), pool: self.pool.clone() }
    }
}

impl<C: Send + 'static, M: Send + 'static> std::fmt::Debug for Mailbox<C, M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("id", &self.inner.id).field("pull", &self.inner.pull).finish()
    }
}

/// A registered wait that other threads can detect; see [`Mailbox::wait_for_end`]. Stays on its thread.
#[derive(Debug)]
pub struct Waiting {
    me: waits::Token,
    _here: PhantomData<*const ()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        waits::waited(self.me);
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl<C: Send + 'static, M: Send + 'static> Mailbox<C, M> {
    /// A mailbox whose items go to `handler` on threads of `pool`.
    pub fn with_handler(pool: &Arc<Pool>, limits: Limits, handler: Handler<C, M>) -> Self {
        let Handler { call, destroy, on_panic } = handler;
        Self::make(pool, limits, Some(call), destroy, on_panic)
    }

    /// A mailbox whose items are pulled with [`next`](Self::next).
    pub fn pulled(pool: &Arc<Pool>, limits: Limits) -> Self {
        Self::make(pool, limits, None, None, None)
    }

    fn make(
        pool: &Arc<Pool>,
        limits: Limits,
        call: Option<Call<C, M>>,
        destroy: Option<Destroy>,
        on_panic: Option<OnPanic>,
    ) -> Self {
        let state = State {
            queue: Queue::new(limits),
            phase: Phase::Open,
            scheduled: false,
            runner: None,
            destroy,
            on_panic,
            waiters: Vec::new(),
            returned: 0,
            pulling: false,
            wake: None,
            call: None,
        };
        let inner = Inner {
            id: NEXT_ID.fetch_add(1, Relaxed),
            running: Arc::default(),
            prompt: AtomicU32::new(0),
            pull: call.is_none(),
            state: Mutex::new(State { call, ..state }),
            changed: Condvar::new(),
        };
        Self { inner: Arc::new(inner), pool: pool.clone() }
    }

    /// Queues a control item that holds no memory besides itself. Never waits.
    pub fn post(&self, item: C, class: Class) -> Posted {
        self.post_weighed(item, class, Weight::default())
    }

    /// Queues a control item. Never waits.
    pub fn post_weighed(&self, item: C, class: Class, weight: Weight) -> Posted {
        let mut state = self.inner.state.lock();
        if state.phase != Phase::Open {
            drop(state);
            return Posted::Closed;
        }
        let (pushed, unwanted) = state.queue.push_control(item, class, weight);
        self.queued(state);
        drop(unwanted);
        match pushed {
            Pushed::Queued => Posted::Queued,
            Pushed::Lost => Posted::Lost,
        }
    }

    /// Queues a media item that holds `bytes` bytes; the oldest item makes room and is counted as dropped. Allocates
    /// nothing once the queue has reached its size. Never waits.
    pub fn post_media(&self, item: M, bytes: usize) -> Posted {
        let mut state = self.inner.state.lock();
        if state.phase != Phase::Open || state.queue.media_closed {
            drop(state);
            return Posted::Closed;
        }
        state.queue.push_media(item, bytes);
        let mut unwanted = state.queue.shed_media();
        // More than one only when sizes differ, or when the process's budget is used up.
        while let Some(more) = state.queue.shed_media() {
            let old = unwanted.replace(more);
            MutexGuard::unlocked(&mut state, || drop(old));
        }
        self.queued(state);
        drop(unwanted);
        Posted::Queued
    }

    /// Queues the last item. There is always room for it, and nothing is accepted after it. With a handler, `destroy`
    /// runs as soon as it has been delivered.
    pub fn post_last(&self, item: C) -> Posted {
        let mut state = self.inner.state.lock();
        if state.phase != Phase::Open {
            drop(state);
            return Posted::Closed;
        }
        state.phase = Phase::Ending;
        state.queue.push_last(item);
        self.queued(state);
        Posted::Queued
    }

    /// After queueing an item: wakes its receiver.
    fn queued(&self, mut state: MutexGuard<'_, State<C, M>>) {
        if self.inner.pull {
            if let Some(wake) = &mut state.wake {
                wake.raise();
            }
            if state.pulling {
                self.inner.changed.notify_all();
            }
        } else if !state.scheduled && state.runner.is_none() {
            state.scheduled = true;
            drop(state);
            self.pool.push(self.inner.clone());
        }
    }

    /// Whether both are the same mailbox.
    pub fn is_same(&self, other: &Self) -> bool {
        self.inner.id == other.inner.id
    }

    /// Whether the calling thread is inside a callback (or the destroy) of this mailbox.
    pub fn in_callback_of_this(&self) -> bool {
        waits::inside(self.inner.id)
    }

    /// Whether it accepts nothing more. Items queued up to the last one may still be delivered.
    pub fn is_closed(&self) -> bool {
        self.inner.state.lock().phase != Phase::Open
    }

    /// Totals so far.
    pub fn counts(&self) -> Counts {
        let state = self.inner.state.lock();
        Counts { bytes_waiting: state.queue.bytes(), ..state.queue.counts }
    }

    /// Drops queued media, uncounted, and accepts no more, even from a thread that is about to post. Control items
    /// continue. Idempotent.
    pub fn close_media(&self) {
        let mut state = self.inner.state.lock();
        let out = state.queue.close_media();
        if state.queue.is_empty() && state.phase == Phase::Open {
            if let Some(wake) = &mut state.wake {
                wake.lower();
            }
        }
        drop(state);
        drop(out);
    }

    /// Closes without waiting: queued items are discarded, no further callback begins, `destroy` runs on a pool thread.
    /// For threads that must not wait. Idempotent.
    pub fn close(&self) -> Closing {
        self.close_with(false)
    }

    /// Closes, and returns when no callback runs any more and `destroy` has run; waits for a callback in progress on
    /// another thread. Returns [`Closing::Deferred`] when that would wait for the caller itself. Idempotent; a second
    /// closer waits likewise. Not for I/O threads.
    pub fn close_and_wait(&self) -> Closing {
        self.close_with(true)
    }

    fn close_with(&self, wait: bool) -> Closing {
        let inner = &self.inner;
        let me = waits::token();
        let mut state = inner.state.lock();
        if state.phase == Phase::Closed {
            return Closing::Done;
        }
        let mut discarded = None;
        if state.phase < Phase::Closing {
            state.phase = Phase::Closing;
            discarded = Some(state.queue.clear());
            if let Some(wake) = &mut state.wake {
                wake.raise();
            }
            inner.changed.notify_all();
        }
        let discarded = Discarded(discarded);
        match state.runner {
            None if wait || inner.pull => {
                inner.set_runner(&mut state, Some(me));
                inner.finish(state, None, discarded);
                Closing::Done
            }
            None => {
                let push = !std::mem::replace(&mut state.scheduled, true);
                drop(state);
                drop(discarded);
                if push {
                    self.pool.push(inner.clone());
                }
                Closing::Deferred
            }
            Some(_) if wait && waits::try_wait(me, &inner.running) => {
                state.waiters.push((me, Until::Closed));
                // Drop the items on this thread and before it waits: the callback in progress may wait for an item's
                // drop.
                MutexGuard::unlocked(&mut state, || drop(discarded));
                while state.phase != Phase::Closed {
                    inner.changed.wait(&mut state);
                }
                Closing::Done
            }
            Some(_) => {
                drop(state);
                drop(discarded);
                Closing::Deferred
            }
        }
    }

    /// Waits until the callback now in progress, if any, has returned; later ones may have begun. After
    /// [`Closing::Done`] no callback uses state that it read before this call. Returns [`Closing::Deferred`] inside the
    /// callback itself or when waiting would wait for the caller.
    pub fn quiesce(&self) -> Closing {
        let me = waits::token();
        let mut state = self.inner.state.lock();
        if state.runner.is_none() {
            return Closing::Done;
        }
        if !waits::try_wait(me, &self.inner.running) {
            return Closing::Deferred;
        }
        state.waiters.push((me, Until::CallbackReturned));
        let seen = state.returned;
        while state.returned == seen && state.runner.is_some() && state.phase != Phase::Closed {
            self.inner.changed.wait(&mut state);
        }
        Closing::Done
    }

    /// Registers that the calling thread will wait, until the guard is dropped, for something that happens only after
    /// the callbacks of this mailbox have ended. `None` when one of its callbacks waits (directly or indirectly) for
    /// the caller: the wait would not end.
    pub fn wait_for_end(&self) -> Option<Waiting> {
        let me = waits::token();
        waits::try_wait(me, &self.inner.running).then(|| Waiting { me, _here: PhantomData })
    }

    /// Pulls the next item, waiting up to `timeout` (zero: not at all).
    ///
    /// Errors: `Empty` when no item arrived; `Closed` after the last item or a close; `State` when another thread is
    /// pulling, or when the mailbox has a handler.
    pub fn next(&self, timeout: Duration) -> Result<Delivery<C, M>> {
        let inner = &self.inner;
        if !inner.pull {
            return Err(Error::new(Code::State, "events go to the handler; they cannot be pulled as well"));
        }
        let mut state = inner.state.lock();
        if state.pulling {
            return Err(Error::new(Code::State, "another thread is already waiting for the next event"));
        }
        // `None`, without a deadline, when the clock would overflow.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            if state.phase < Phase::Closing {
                if let Some(item) = state.queue.pop() {
                    // After the last item the descriptor stays readable, so that the reader pulls `Closed`.
                    if state.queue.is_empty() && state.phase == Phase::Open {
                        if let Some(wake) = &mut state.wake {
                            wake.lower();
                        }
                    }
                    return Ok(item);
                }
            }
            if state.phase != Phase::Open {
                return Err(Error::new(Code::Closed, "no further event: the call has ended"));
            }
            state.pulling = true;
            let timed_out = match deadline {
                _ if timeout.is_zero() => true,
                Some(deadline) => inner.changed.wait_until(&mut state, deadline).timed_out(),
                None => {
                    inner.changed.wait(&mut state);
                    false
                }
            };
            state.pulling = false;
            if timed_out && state.queue.is_empty() && state.phase == Phase::Open {
                return Err(Error::new(Code::Empty, "timed out waiting for an event"));
            }
        }
    }

    /// A descriptor that polls readable while [`next`](Self::next) has a result, created by the first call; always the
    /// same one. Errors: `State` with a handler, `Limit` when the system has no descriptor.
    pub fn wake_descriptor(&self) -> Result<WakeDescriptor> {
        if !self.inner.pull {
            return Err(Error::new(Code::State, "events go to the handler; there is nothing to poll"));
        }
        let mut state = self.inner.state.lock();
        if state.wake.is_none() {
            let mut wake = Wake::new().map_err(|e| {
                Error::new(
                    Code::Limit,
                    format!("no file descriptor for the wake-up ({}); raise the limit of open files", e.kind()),
                )
            })?;
            if !state.queue.is_empty() || state.phase != Phase::Open {
                wake.raise();
            }
            state.wake = Some(wake);
        }
        state.wake.as_ref().map(Wake::descriptor).ok_or_else(|| Error::new(Code::Internal, "wake-up vanished"))
    }
}
