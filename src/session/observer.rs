//! Hears the engine on the engine's tasks and hands over to the actor; never blocks there.
//! Must not know: rules, sockets.

use super::{playout::Playout, shared::Shared};
use crate::core::model::{Generation, PeerKind};
use crate::core::{Input, PeerChange};
use crate::log::{oh_log, Level};
use crate::rtc::engine::{MediaKind, PacketSink, PeerObserver, PeerState, RemoteTrackInfo};
use crate::signalling::Signalling;
use bytes::Bytes;
use std::sync::{
    atomic::{AtomicUsize, Ordering},
    Arc,
};
use tokio::sync::mpsc;

/// Local candidates told per peer connection; more are a defect of the host's network set-up.
const MAX_CANDIDATES: usize = 64;

/// Bytes of data that may wait for the actor.
const MAX_DATA: usize = 4 << 20;

pub(super) struct Observer {
    pub generation: Generation,
    pub peer: PeerKind,
    pub inputs: mpsc::Sender<Input>,
    /// Apart, so that a flood of data costs nothing that a connection needs; with the packet's size.
    pub data: mpsc::Sender<(usize, Input)>,
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
        oh_log!(Level::Debug, "{}: the {:?} is {state:?}", self.shared.name, self.peer);
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
        oh_log!(Level::Debug, "{}: {:?}: the data channel {label} is open", self.shared.name, self.peer);
        if self.peer == PeerKind::Publisher {
            self.shared.outbox.channel_open();
        }
    }

    fn data(&self, label: &str, message: Bytes) {
        let lost = || {
            self.shared.data_lost.fetch_add(1, Ordering::Relaxed);
        };
        oh_log!(Level::Trace, "{}: {:?}: {} bytes on {label}", self.shared.name, self.peer, message.len());
        let Some(data) = self.signalling.decode(label, &message) else { return lost() };
        let waiting = &self.shared.data_waiting;
        let size = message.len();
        let taken = waiting.fetch_add(size, Ordering::AcqRel) + size <= MAX_DATA
            && self.data.try_send((size, Input::Data { generation: self.generation, data })).is_ok();
        if !taken {
            waiting.fetch_sub(size, Ordering::AcqRel);
            lost();
        }
    }
}
