//! Hears the engine on the engine's tasks and hands over to the actor; never blocks there.
//! Must not know: rules, sockets.

use super::playout::Playout;
use crate::core::model::{Generation, PeerKind};
use crate::core::{Input, PeerChange};
use crate::rtc::engine::{MediaKind, PacketSink, PeerObserver, PeerState, RemoteTrackInfo};
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};
use tokio::sync::mpsc;

/// Local candidates told per peer connection; more are a defect of the host's network set-up.
const MAX_CANDIDATES: usize = 64;

pub(super) struct Observer {
    pub generation: Generation,
    pub peer: PeerKind,
    pub inputs: mpsc::Sender<Input>,
    pub playout: Arc<Playout>,
    pub candidates: AtomicUsize,
}

impl PeerObserver for Observer {
    fn candidate(&self, json: String) {
        if self.candidates.fetch_add(1, Ordering::Relaxed) < MAX_CANDIDATES {
            let (generation, peer) = (self.generation, self.peer);
            let _ = self.inputs.try_send(Input::LocalCandidate { generation, peer, json });
        }
    }

    fn state(&self, state: PeerState) {
        let change = match state {
            PeerState::New | PeerState::Connecting => return,
            PeerState::Connected => PeerChange::Connected,
            PeerState::Disconnected => PeerChange::Disconnected,
            PeerState::Failed => PeerChange::Failed,
            PeerState::Closed => PeerChange::Closed,
        };
        let (generation, peer) = (self.generation, self.peer);
        // Candidates are capped well below the channel's size: there is room for states.
        let _ = self.inputs.try_send(Input::Peer { generation, peer, change });
    }

    fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        if info.kind != MediaKind::Audio || !info.mime.eq_ignore_ascii_case("audio/opus") {
            return None;
        }
        let (id, sink) = self.playout.add()?;
        let (generation, stream_id, track_id) = (self.generation, info.stream_id, info.track_id);
        self.inputs.try_send(Input::RemoteTrack { generation, id, stream_id, track_id }).ok()?;
        Some(sink)
    }
}
