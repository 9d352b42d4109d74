//! Hears the engine on the engine's tasks and hands over to the actor; never blocks there.
//! Must not know: rules, sockets.

use super::{playout::Playout, shared::Shared};
use crate::core::model::{Generation, PeerKind};
use crate::core::{Input, PeerChange};
use crate::rtc::engine::{MediaKind, PacketSink, PeerObserver, PeerState, RemoteTrackInfo};
use crate::signalling::Signalling;
use crate::log::{oh_log, Level};
use bytes::Bytes;
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};
use tokio::sync::mpsc;

/// Local candidates told per peer connection; more are a defect of the host's network set-up.
const MAX_CANDIDATES: usize = 64;

/// Places of the actor's inbox that data does not take.
const RESERVED: usize = 192;

pub(super) struct Observer {
    pub generation: Generation,
    pub peer: PeerKind,
    pub inputs: mpsc::Sender<Input>,
    pub playout: Arc<Playout>,
    pub signalling: Arc<dyn Signalling>,
    pub shared: Arc<Shared>,
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
        let owner = self.signalling.media_owner(&info.stream_id, &info.track_id);
        self.inputs.try_send(Input::RemoteTrack { generation: self.generation, id, owner }).ok()?;
        Some(sink)
    }

    fn channel_open(&self, label: &str) {
        oh_log!(Level::Debug, "{:?}: the data channel {label} is open", self.peer);
        if self.peer == PeerKind::Publisher {
            self.shared.outbox.channel_open();
        }
    }

    fn data(&self, label: &str, message: Bytes) {
        let lost = || {
            self.shared.data_lost.fetch_add(1, Ordering::Relaxed);
        };
        oh_log!(Level::Trace, "{:?}: {} bytes on {label}", self.peer, message.len());
        let Some(data) = self.signalling.decode(label, &message) else { return lost() };
        // Room is kept for what a connection cannot do without.
        if self.inputs.capacity() <= RESERVED {
            return lost();
        }
        if self.inputs.try_send(Input::Data { generation: self.generation, data }).is_err() {
            lost();
        }
    }
}
