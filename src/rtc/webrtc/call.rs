//! The media of one call: its peer connections, and the one task that serves them all.
//!
//! The task has one timer, armed lazily: an early wake-up is harmless. A peer connection that fails internally, or
//! whose observer does, ends alone. The task ends when no peer connection is left, and is started again with the next
//! one.
//!
//! Part of the engine's module. Must not know: negotiation, media, what datagrams mean.

use super::super::engine::*;
use super::super::gate::Gate;
use super::super::trace::Trace;
use super::driver::{Driver, Shared, Turn};
use super::links::{Links, Network};
use super::media::ice_servers;
use super::peer::PcPeer;
use crate::core::model::PeerKind;
use crate::lookup::Party;
use crate::panics::contain;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Instant;

/// See the module.
pub(super) struct Call {
    network: Network,
    names: Party,
    peers: Mutex<Vec<Weak<Shared>>>,
    /// Wakes the task.
    waker: AtomicWaker,
    arrivals: Mutex<Arrivals>,
}

/// Peer connections that the task has not taken over yet.
#[derive(Default)]
struct Arrivals {
    new: Vec<Driver>,
    /// Whether a task is running that will.
    served: bool,
}

impl Call {
    pub(super) fn new(network: Network, names: Party) -> Self {
        Self { network, names, peers: Mutex::default(), waker: AtomicWaker::new(), arrivals: Mutex::default() }
    }

    pub(super) fn policy(&self) -> Arc<NetworkPolicy> {
        self.network.policy.clone()
    }

    /// Whether servers can be reached over streams.
    pub(super) fn has_streams(&self) -> bool {
        self.network.streams.is_some()
    }

    pub(super) fn now(&self) -> Instant {
        self.network.environment.as_ref().map_or_else(Instant::now, |environment| environment.now())
    }

    pub(super) fn names(&self) -> Party {
        self.names
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    pub(super) fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
        self.network.tasks.spawn(name, future);
    }

    /// Creates a peer connection and passes its driver to the task.
    pub(super) fn open(
        self: &Arc<Self>,
        kind: PeerKind,
        options: PeerOptions,
        observer: Arc<dyn PeerObserver>,
    ) -> EngineResult<Arc<Shared>> {
        let used: Vec<String> = ice_servers(&options).into_iter().map(|server| server.url).collect();
        let trace = Arc::new(Trace::new(&options.ice_servers, &used).limited(&self.network.policy));
        let _inside = self.network.tasks.enter();
        // Without a socket it may still get one, when the remote candidates are known.
        let links = Links::new(self.network.clone(), options.loopback_only, options.server)?;
        let gate = Arc::new(Gate::new(observer));
        let (shared, driver) = Shared::new(self.clone(), kind, options, links, trace, gate)?;
        let mut peers = self.peers.lock();
        peers.retain(|peer| peer.strong_count() > 0);
        peers.push(Arc::downgrade(&shared));
        drop(peers);
        self.serve(driver);
        Ok(shared)
    }

    fn serve(self: &Arc<Self>, driver: Driver) {
        let begin = {
            let mut arrivals = self.arrivals.lock();
            arrivals.new.push(driver);
            !std::mem::replace(&mut arrivals.served, true)
        };
        if !begin {
            return self.wake();
        }
        // If the runtime is gone, the task is dropped at once.
        let mut task = Task { call: self.clone(), drivers: Vec::new(), timer: None, ended: false };
        let task = std::future::poll_fn(move |cx| task.poll(cx));
        self.network.tasks.spawn_guarded("media", task, || {}, || {});
    }
}

/// A call, as the trait defines it.
pub(super) struct PcCall(pub(super) Arc<Call>);

impl MediaCall for PcCall {
    fn peer(
        &self,
        kind: PeerKind,
        options: PeerOptions,
        observer: Arc<dyn PeerObserver>,
    ) -> EngineResult<Arc<dyn Peer>> {
        Ok(Arc::new(PcPeer(self.0.open(kind, options, observer)?)))
    }

    fn network_changed(&self) -> Routes {
        let peers: Vec<Arc<Shared>> = self.0.peers.lock().iter().filter_map(Weak::upgrade).collect();
        let routes: Vec<Routes> = peers.iter().map(|peer| peer.network_changed()).collect();
        // A peer connection that moved needs a restart; one that is reachable keeps the call online.
        let order = [Routes::Moved, Routes::Same, Routes::Gone];
        order.into_iter().find(|state| routes.contains(state)).unwrap_or_default()
    }
}

type Sleeping = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    call: Arc<Call>,
    drivers: Vec<Driver>,
    timer: Option<(Instant, Sleeping)>,
    /// It has ended; the next one may have started.
    ended: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // It failed internally, or was dropped with its runtime: drivers added meanwhile have no task.
        let left = {
            let mut arrivals = self.call.arrivals.lock();
            arrivals.served = false;
            std::mem::take(&mut arrivals.new)
        };
        drop(left);
    }
}

impl Task {
    // tests/c/valgrind.supp names this function.
    #[inline(never)]
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.call.waker.register(cx.waker());
        loop {
            let new = std::mem::take(&mut self.call.arrivals.lock().new);
            self.drivers.extend(new);
            let mut again = false;
            let mut index = 0;
            while index < self.drivers.len() {
                let turn = Self::guard(&mut self.drivers[index], |driver| driver.turn(cx)).unwrap_or(Turn::Closed);
                again |= turn == Turn::Again;
                if turn == Turn::Closed {
                    let closed = self.drivers.remove(index);
                    let _ = contain(move || drop(closed));
                } else {
                    index += 1;
                }
            }
            again |= self.tick(cx);
            if self.drivers.is_empty() {
                let mut arrivals = self.call.arrivals.lock();
                if arrivals.new.is_empty() {
                    (arrivals.served, self.ended) = (false, true);
                    return Poll::Ready(());
                }
                again = true;
            }
            if !again {
                return Poll::Pending;
            }
        }
    }

    /// Runs `work` so that a panic fails only this peer connection.
    fn guard<T>(driver: &mut Driver, work: impl FnOnce(&mut Driver) -> T) -> Option<T> {
        let done = contain(|| work(driver)).ok();
        if done.is_none() {
            let _ = contain(|| driver.failed());
        }
        done
    }

    /// Arms the timer; true if it was due.
    fn tick(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.drivers.iter().filter_map(Driver::deadline).min() else { return false };
        // An early timer is harmless: the deadline is checked again.
        if self.timer.as_ref().is_none_or(|(at, _)| *at > deadline) {
            let wait = deadline.saturating_duration_since(self.call.now());
            let sleep: Sleeping = match &self.call.network.environment {
                Some(environment) => environment.sleep(wait),
                None => Box::pin(tokio::time::sleep(wait)),
            };
            self.timer = Some((deadline, sleep));
        }
        let Some((_, sleep)) = &mut self.timer else { return false };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.timer = None;
        let now = self.call.now();
        for driver in &mut self.drivers {
            Self::guard(driver, |driver| driver.due(now));
        }
        true
    }
}
