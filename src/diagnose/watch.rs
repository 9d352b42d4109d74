//! An engine that passes everything on, and keeps what a diagnosis asks for: the ICE servers, the peer connections, and
//! the failures of servers. Must not know: calls, reports.

use crate::core::model::{IceServer, Path, PeerKind};
use crate::rtc::engine::*;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Most of each kind that is kept.
const MAX: usize = 32;

/// One peer connection.
pub(super) struct Watched {
    pub kind: PeerKind,
    peer: Weak<dyn Peer>,
    state: Arc<Mutex<PeerState>>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub servers: Vec<IceServer>,
    peers: Vec<Watched>,
}

impl Watched {
    pub fn state(&self) -> PeerState {
        *self.state.lock()
    }
}

/// What is known of one peer connection.
pub(super) struct Look {
    pub kind: PeerKind,
    pub state: PeerState,
    pub path: Path,
    pub pair: Option<Pair>,
}

/// See the module.
pub(super) struct WatchedEngine {
    inner: Arc<dyn Engine>,
    seen: Arc<Mutex<Seen>>,
}

impl WatchedEngine {
    pub fn new(inner: Arc<dyn Engine>) -> Self {
        Self { inner, seen: Arc::default() }
    }

    pub fn servers(&self) -> Vec<IceServer> {
        self.seen.lock().servers.clone()
    }

    /// The peer connections that live.
    pub fn look(&self) -> Vec<Look> {
        let peers: Vec<(PeerKind, PeerState, Arc<dyn Peer>)> = {
            let seen = self.seen.lock();
            let live = |watched: &Watched| Some((watched.kind, watched.state(), watched.peer.upgrade()?));
            seen.peers.iter().filter_map(live).collect()
        };
        let look = |(kind, state, peer): (PeerKind, PeerState, Arc<dyn Peer>)| {
            let (path, pair) = (peer.path(), peer.pair());
            Look { kind, state, path, pair }
        };
        peers.into_iter().map(look).collect()
    }
}

impl Engine for WatchedEngine {
    fn call(&self) -> EngineResult<Arc<dyn MediaCall>> {
        Ok(Arc::new(WatchedCall { inner: self.inner.call()?, seen: self.seen.clone() }))
    }
}

struct WatchedCall {
    inner: Arc<dyn MediaCall>,
    seen: Arc<Mutex<Seen>>,
}

impl MediaCall for WatchedCall {
    fn peer(
        &self,
        kind: PeerKind,
        options: PeerOptions,
        observer: Arc<dyn PeerObserver>,
    ) -> EngineResult<Arc<dyn Peer>> {
        let state = Arc::new(Mutex::new(PeerState::New));
        let servers = options.ice_servers.clone();
        let watched = Arc::new(WatchedObserver { inner: observer, state: state.clone() });
        let peer = self.inner.peer(kind, options, watched)?;
        let mut seen = self.seen.lock();
        for server in servers {
            if seen.servers.len() < MAX && !seen.servers.contains(&server) {
                seen.servers.push(server);
            }
        }
        if seen.peers.len() < MAX {
            seen.peers.push(Watched { kind, peer: Arc::downgrade(&peer), state });
        }
        Ok(peer)
    }

    fn network_changed(&self) -> Routes {
        self.inner.network_changed()
    }
}

struct WatchedObserver {
    inner: Arc<dyn PeerObserver>,
    state: Arc<Mutex<PeerState>>,
}

impl PeerObserver for WatchedObserver {
    fn candidate(&self, json: String) {
        self.inner.candidate(json);
    }

    fn state(&self, state: PeerState) {
        *self.state.lock() = state;
        self.inner.state(state);
    }

    fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        self.inner.track(info)
    }

    fn unplayable(&self, info: RemoteTrackInfo) {
        self.inner.unplayable(info);
    }

    fn unassigned(&self, ssrc: u32, packets: u64, new: bool) {
        self.inner.unassigned(ssrc, packets, new);
    }

    fn channel_open(&self, label: &str) {
        self.inner.channel_open(label);
    }

    fn data(&self, label: &str, message: Bytes) {
        self.inner.data(label, message);
    }

    fn server_failed(&self, failure: ServerFailure) {
        self.inner.server_failed(failure);
    }

    fn data_unread(&self, label: &str, messages: u64, bytes: u64) {
        self.inner.data_unread(label, messages, bytes);
    }

    fn data_room(&self, label: &str) -> Option<Waiting> {
        self.inner.data_room(label)
    }
}
