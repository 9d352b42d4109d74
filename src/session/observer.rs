//! Receives the engine's callbacks on the engine's tasks and passes them to the actor; never blocks there.
//! Must not know: rules, sockets.

use super::{
    inflow::Room,
    playout::{Playout, StreamEvent},
    shared::Shared,
};
use crate::core::model::{Delivery, Generation, IceServerFailure, PeerKind, Unplayable};
use crate::core::{Input, PeerChange};
use crate::log::{oh_log, Level};
use crate::rtc::engine::{MediaKind, PacketSink, PeerObserver, PeerState, RemoteTrackInfo, ServerFailure, Waiting};
use crate::signalling::{protocol::Channel, text::bounded, Signalling};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
};
use tokio::sync::{mpsc, Notify};

/// Local candidates reported per peer connection; more are a fault of the host's network set-up.
const MAX_CANDIDATES: usize = 64;

/// State changes of one peer connection that may be queued for the actor; beyond it only the latest count.
const MAX_CHANGES: usize = 16;

/// Streams without an owner that may be queued for the actor; beyond it the first are reported, and all are counted.
const MAX_UNASSIGNED: usize = 64;

/// Failures of ICE servers that may be queued for the actor; further ones are dropped.
const MAX_SERVER_FAILURES: usize = 64;

/// Longest URL and text of a failure of an ICE server, in bytes.
const MAX_SERVER_TEXT: usize = 1_024;

/// Reports of the peer connections, queued until the actor takes them. The newest state of each is never lost, and
/// their number is bounded.
#[derive(Default)]
pub(super) struct PeerEvents {
    waiting: Mutex<VecDeque<Input>>,
    changed: Notify,
}

impl PeerEvents {
    fn push(&self, input: Input) {
        let mut waiting = self.waiting.lock();
        if let Input::Peer { generation, peer, .. } = &input {
            let of_this =
                |i: &Input| matches!(i, Input::Peer { generation: g, peer: p, .. } if (g, p) == (generation, peer));
            if waiting.iter().filter(|i| of_this(i)).count() >= MAX_CHANGES {
                // Keep the newest: it is the current state.
                if let Some(oldest) = waiting.iter().position(of_this) {
                    waiting.remove(oldest);
                }
            }
        }
        let full = |is: fn(&Input) -> bool, most| is(&input) && waiting.iter().filter(|i| is(i)).count() >= most;
        if full(|i| matches!(i, Input::Unassigned { .. }), MAX_UNASSIGNED)
            || full(|i| matches!(i, Input::IceServer { .. }), MAX_SERVER_FAILURES)
        {
            return;
        }
        waiting.push_back(input);
        drop(waiting);
        self.changed.notify_one();
    }

    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    pub fn take(&self) -> VecDeque<Input> {
        std::mem::take(&mut self.waiting.lock())
    }
}

pub(super) struct Observer {
    pub generation: Generation,
    pub peer: PeerKind,
    pub peer_events: Arc<PeerEvents>,
    pub inputs: mpsc::Sender<Box<Input>>,
    /// Separate, so that a flood of data does not delay connection inputs; each with the room that it holds.
    pub data: mpsc::UnboundedSender<(Room, Box<Input>)>,
    pub playout: Arc<Playout>,
    pub signalling: Arc<dyn Signalling>,
    pub shared: Arc<Shared>,
    pub candidates: AtomicUsize,
    /// Tracks that receive no packets.
    pub silent: Mutex<Vec<Box<dyn PacketSink>>>,
}

impl Observer {
    fn add(&self, info: &RemoteTrackInfo, silent: Option<Unplayable>) -> Option<Box<dyn PacketSink>> {
        let owner = self.signalling.media_owner(&info.stream_id, &info.track_id);
        let (generation, inputs, mid) = (self.generation, self.inputs.clone(), info.mid.clone());
        let send = move |event| {
            let input = match event {
                StreamEvent::Added(id, again) => {
                    Input::RemoteTrack { generation, id, owner: owner.clone(), mid: mid.clone(), again }
                }
                StreamEvent::Unplayable(id, why) => Input::RemoteUnplayable { id, why },
                StreamEvent::Removed(id) => Input::RemoteTrackGone { id },
            };
            // Retried later, unless the actor has ended.
            !matches!(inputs.try_send(Box::new(input)), Err(mpsc::error::TrySendError::Full(_)))
        };
        self.playout.add(info, silent, Arc::new(send)).map(|(_, sink)| sink)
    }
}

impl Observer {
    fn is_reliable(&self, label: &str) -> bool {
        let of = |c: &Channel| c.label == label && c.delivery == Delivery::Reliable;
        self.signalling.channels().iter().any(of)
    }
}

/// The failure for the core. The URL came from a server: bounded, and without user information.
fn ice_server_failure(failure: ServerFailure) -> IceServerFailure {
    let ServerFailure { mut url, code, text } = failure;
    if let Some(host) = url.rfind('@').map(|at| at + 1) {
        let scheme = url.find(':').map_or(0, |at| at + 1);
        url.replace_range(scheme.min(host)..host, "");
    }
    IceServerFailure { url: bounded(url, MAX_SERVER_TEXT), code, text: bounded(text, MAX_SERVER_TEXT) }
}

impl PeerObserver for Observer {
    fn candidate(&self, json: String) {
        if self.candidates.fetch_add(1, Ordering::Relaxed) < MAX_CANDIDATES {
            let (generation, peer) = (self.generation, self.peer);
            self.peer_events.push(Input::LocalCandidate { generation, peer, json });
        }
    }

    fn state(&self, state: PeerState) {
        oh_log!(Level::Debug, "{}: the {:?} is {state:?}", self.shared.name, self.peer);
        let change = match state {
            PeerState::New | PeerState::Connecting => return,
            PeerState::Connected => {
                self.shared.tracks.lock().values().for_each(|track| track.connected());
                PeerChange::Connected
            }
            PeerState::Disconnected => PeerChange::Disconnected,
            PeerState::Failed => PeerChange::Failed,
            PeerState::Closed => PeerChange::Closed,
        };
        let (generation, peer) = (self.generation, self.peer);
        self.peer_events.push(Input::Peer { generation, peer, change });
    }

    fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        if info.kind != MediaKind::Audio {
            return None;
        }
        let playable = info.mime.eq_ignore_ascii_case("audio/opus");
        self.add(&info, (!playable).then_some(Unplayable::Codec))
    }

    fn unplayable(&self, info: RemoteTrackInfo) {
        // No packets arrive; it is kept as long as the peer connection lives.
        self.silent.lock().extend(self.add(&info, Some(Unplayable::Codec)));
    }

    fn unassigned(&self, ssrc: u32, packets: u64, new: bool) {
        self.shared.media.received.fetch_add(packets, Ordering::Relaxed);
        self.shared.media.unassigned.fetch_add(packets, Ordering::Relaxed);
        if new {
            self.peer_events.push(Input::Unassigned { generation: self.generation, ssrc });
        }
    }

    fn server_failed(&self, failure: ServerFailure) {
        let (generation, peer, failure) = (self.generation, self.peer, ice_server_failure(failure));
        self.peer_events.push(Input::IceServer { generation, peer, failure });
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
        // Only lossy messages arrive without a check for room.
        if data.delivery == Delivery::Lossy && !self.shared.inflow.has_room() {
            return lost();
        }
        let room = self.shared.inflow.take(message.len());
        // The channel is unbounded; it is closed once the call has ended.
        let _ = self.data.send((room, Box::new(Input::Data { generation: self.generation, data })));
    }

    fn data_unread(&self, label: &str, messages: u64, bytes: u64) {
        if self.is_reliable(label) {
            let input = Input::DataUnread { generation: self.generation, messages, bytes };
            let _ = self.data.send((Room::default(), Box::new(input)));
        } else {
            self.shared.data_lost.fetch_add(messages, Ordering::Relaxed);
        }
    }

    fn data_room(&self, label: &str) -> Option<Waiting> {
        let waits = !self.shared.inflow.has_room() && self.is_reliable(label);
        waits.then(|| Box::pin(self.shared.inflow.room()) as Waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_state_of_each_peer_connection_is_always_reported() {
        let peer_events = PeerEvents::default();
        let change = |n: u32, peer, change| peer_events.push(Input::Peer { generation: Generation(n), peer, change });
        for _ in 0..10_000 {
            for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
                change(1, peer, PeerChange::Disconnected);
                change(1, peer, PeerChange::Connected);
            }
        }
        peer_events.push(Input::LocalCandidate {
            generation: Generation(1),
            peer: PeerKind::Publisher,
            json: String::new(),
        });
        change(1, PeerKind::Publisher, PeerChange::Failed);
        let reported = peer_events.take();
        assert!(reported.len() <= 2 * MAX_CHANGES + 1, "{}", reported.len());
        let last = |of| {
            let of_it = |i: &Input| match i {
                Input::Peer { peer, change, .. } if *peer == of => Some(*change),
                _ => None,
            };
            reported.iter().rev().find_map(of_it)
        };
        assert_eq!(last(PeerKind::Publisher), Some(PeerChange::Failed));
        assert_eq!(last(PeerKind::Subscriber), Some(PeerChange::Connected));
        assert_eq!(reported.iter().filter(|i| matches!(i, Input::LocalCandidate { .. })).count(), 1);
        assert!(peer_events.take().is_empty(), "taken once");
    }

    #[test]
    fn a_stream_without_an_owner_is_reported_however_long_the_queue_is() {
        let peer_events = PeerEvents::default();
        let unassigned = |ssrc| peer_events.push(Input::Unassigned { generation: Generation(1), ssrc });
        for _ in 0..1_000 {
            let (generation, peer) = (Generation(1), PeerKind::Subscriber);
            peer_events.push(Input::Peer { generation, peer, change: PeerChange::Connected });
        }
        (0..10_000).for_each(unassigned);
        let reported = peer_events.take();
        let ssrc = |i: &Input| match i {
            Input::Unassigned { ssrc, .. } => Some(*ssrc),
            _ => None,
        };
        let ssrcs: Vec<u32> = reported.iter().filter_map(ssrc).collect();
        assert_eq!(ssrcs, (0..MAX_UNASSIGNED as u32).collect::<Vec<_>>());
    }

    #[test]
    fn failures_of_ice_servers_are_bounded_and_hold_no_credentials() {
        let peer_events = PeerEvents::default();
        for n in 0..10_000 {
            let failure = IceServerFailure { url: format!("turn:127.0.0.1:{n}"), code: 401, text: String::new() };
            let (generation, peer) = (Generation(1), PeerKind::Publisher);
            peer_events.push(Input::IceServer { generation, peer, failure });
        }
        let (generation, peer, change) = (Generation(1), PeerKind::Publisher, PeerChange::Failed);
        peer_events.push(Input::Peer { generation, peer, change });
        let reported = peer_events.take();
        assert_eq!(reported.len(), MAX_SERVER_FAILURES + 1);
        assert!(matches!(reported.back(), Some(Input::Peer { .. })), "other reports have their own room");

        for (url, kept) in [
            ("turn:127.0.0.1:3478?transport=tcp", "turn:127.0.0.1:3478?transport=tcp"),
            ("turns:[::1]:5349", "turns:[::1]:5349"),
            ("turn:user:pass@127.0.0.1", "turn:127.0.0.1"),
            ("turn:a@b@host", "turn:host"),
            ("user@host", "host"),
            ("", ""),
        ] {
            let failure = ServerFailure { url: url.into(), code: 701, text: "é".repeat(1_000) };
            let failure = ice_server_failure(failure);
            assert_eq!((failure.url.as_str(), failure.code), (kept, 701));
            assert_eq!(failure.text, "é".repeat(MAX_SERVER_TEXT / 2));
        }
        let long = ServerFailure { url: format!("turn:{}", "x".repeat(1 << 20)), code: 401, text: String::new() };
        assert_eq!(ice_server_failure(long).url.len(), MAX_SERVER_TEXT);
    }
}
