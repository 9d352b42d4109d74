//! The actor's pending operations: one future per output of the core that takes time, each ending as one [`Done`]; and
//! the peer connections, which answer at once.
//!
//! The futures are bounded in time by the layer that they call. Must not know: rules, C.

use super::playout::Playout;
use crate::core::model::*;
use crate::core::{Input, OpFailed, TrackId};
use crate::error::Code;
use crate::rtc::engine::{EngineError, EngineErrorKind, Peer};
use crate::signalling::{Link, LinkReceiver};
use parking_lot::Mutex;
use std::{future::Future, net::IpAddr, pin::Pin, sync::Arc};

pub(super) type Pending = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Both ends of an open socket.
type Socket = (Arc<dyn Link>, Box<dyn LinkReceiver>);

/// The result of a pending operation.
pub(super) enum Done {
    Input(Input),
    Socket {
        generation: Generation,
        result: Result<Socket, Failure>,
    },
    /// This track was freed, and what was written to it is sent, or its time is up.
    Track(TrackId),
    Nothing,
}

type Held = (Generation, PeerKind, Arc<dyn Peer>);

/// The peer connections of a call, reachable even after its actor has failed.
#[derive(Clone, Default)]
pub(super) struct Peers(Arc<Mutex<Vec<Held>>>);

impl Peers {
    pub fn add(&self, generation: Generation, kind: PeerKind, peer: Arc<dyn Peer>) {
        self.0.lock().push((generation, kind, peer));
    }

    pub fn get(&self, generation: Generation, kind: PeerKind) -> Option<Arc<dyn Peer>> {
        self.0.lock().iter().find(|(g, k, _)| (*g, *k) == (generation, kind)).map(|(_, _, p)| p.clone())
    }

    pub fn take(&self, generation: Generation, kind: PeerKind) -> Option<Arc<dyn Peer>> {
        let mut all = self.0.lock();
        let index = all.iter().position(|(g, k, _)| (*g, *k) == (generation, kind))?;
        Some(all.swap_remove(index).2)
    }

    /// Closes the remaining ones, without waiting.
    pub fn close_all(&self) {
        let all = std::mem::take(&mut *self.0.lock());
        for (_, _, peer) in all {
            peer.close();
        }
    }
}

/// Converts an engine error for the core.
pub(super) fn failed(error: EngineError) -> OpFailed {
    let code = match error.kind {
        EngineErrorKind::Closed => Code::Closed,
        EngineErrorKind::Invalid => Code::Protocol,
        EngineErrorKind::System => Code::Limit,
        EngineErrorKind::Full => Code::Full,
        EngineErrorKind::Internal => Code::Media,
    };
    OpFailed { code, closed: error.kind == EngineErrorKind::Closed, message: error.message }
}

/// Whether the media server seems to be on this machine, and its address if the URL has one.
pub(super) fn place(url: &str) -> (bool, Option<IpAddr>) {
    let Ok(url) = url::Url::parse(url) else { return (false, None) };
    let address = match url.host() {
        Some(url::Host::Ipv4(ip)) => IpAddr::from(ip),
        Some(url::Host::Ipv6(ip)) => IpAddr::from(ip).to_canonical(),
        Some(url::Host::Domain(name)) => return (name.eq_ignore_ascii_case("localhost"), None),
        None => return (false, None),
    };
    (address.is_loopback(), Some(address))
}

/// Keeps the playout task's name in one place.
pub(super) fn play(playout: Arc<Playout>) -> impl Future<Output = ()> {
    playout.run()
}
