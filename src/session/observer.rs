//! Hears the engine on the engine's tasks and hands over to the actor; never blocks there.
//! Must not know: rules, sockets.

use super::{
    inflow::Room,
    playout::{Playout, StreamNews},
    shared::Shared,
};
use crate::core::model::{Delivery, Generation, PeerKind, Unplayable};
use crate::core::{Input, PeerChange};
use crate::log::{oh_log, Level};
use crate::rtc::engine::{MediaKind, PacketSink, PeerObserver, PeerState, RemoteTrackInfo, Waiting};
use crate::signalling::{protocol::Channel, Signalling};
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

/// Local candidates told per peer connection; more are a defect of the host's network set-up.
const MAX_CANDIDATES: usize = 64;

/// Changes of one peer connection that may wait for the actor; of more only the latest count.
const MAX_CHANGES: usize = 16;

/// Streams without an owner that may wait for the actor; of more the first are reported, and all are counted.
const MAX_UNASSIGNED: usize = 64;

/// What the peer connections say of themselves, until the actor looks: nothing of it can be lost, and each of them
/// says so much and no more.
#[derive(Default)]
pub(super) struct PeerNews {
    waiting: Mutex<VecDeque<Input>>,
    told: Notify,
}

impl PeerNews {
    fn tell(&self, input: Input) {
        let mut waiting = self.waiting.lock();
        if let Input::Peer { generation, peer, .. } = &input {
            let of_this =
                |i: &Input| matches!(i, Input::Peer { generation: g, peer: p, .. } if (g, p) == (generation, peer));
            if waiting.iter().filter(|i| of_this(i)).count() >= MAX_CHANGES {
                // The newest stays: it says where things stand.
                if let Some(oldest) = waiting.iter().position(of_this) {
                    waiting.remove(oldest);
                }
            }
        }
        let is_unassigned = |i: &Input| matches!(i, Input::Unassigned { .. });
        if is_unassigned(&input) && waiting.iter().filter(|i| is_unassigned(i)).count() >= MAX_UNASSIGNED {
            return;
        }
        waiting.push_back(input);
        drop(waiting);
        self.told.notify_one();
    }

    pub async fn told(&self) {
        self.told.notified().await;
    }

    pub fn take(&self) -> VecDeque<Input> {
        std::mem::take(&mut self.waiting.lock())
    }
}

pub(super) struct Observer {
    pub generation: Generation,
    pub peer: PeerKind,
    pub news: Arc<PeerNews>,
    pub inputs: mpsc::Sender<Box<Input>>,
    /// Apart, so that a flood of data costs nothing that a connection needs; with the room that each holds.
    pub data: mpsc::UnboundedSender<(Room, Box<Input>)>,
    pub playout: Arc<Playout>,
    pub signalling: Arc<dyn Signalling>,
    pub shared: Arc<Shared>,
    pub candidates: AtomicUsize,
    /// Tracks of which no packet comes.
    pub silent: Mutex<Vec<Box<dyn PacketSink>>>,
}

impl Observer {
    fn add(&self, info: &RemoteTrackInfo, silent: Option<Unplayable>) -> Option<Box<dyn PacketSink>> {
        let owner = self.signalling.media_owner(&info.stream_id, &info.track_id);
        let (generation, inputs, mid) = (self.generation, self.inputs.clone(), info.mid.clone());
        let tell = move |news| {
            let input = match news {
                StreamNews::Came(id, again) => {
                    Input::RemoteTrack { generation, id, owner: owner.clone(), mid: mid.clone(), again }
                }
                StreamNews::Unplayable(id, why) => Input::RemoteUnplayable { id, why },
                StreamNews::Gone(id) => Input::RemoteTrackGone { id },
            };
            // Told again later, unless nobody is there any more.
            !matches!(inputs.try_send(Box::new(input)), Err(mpsc::error::TrySendError::Full(_)))
        };
        self.playout.add(info, silent, Arc::new(tell)).map(|(_, sink)| sink)
    }
}

impl Observer {
    fn is_reliable(&self, label: &str) -> bool {
        let of = |c: &Channel| c.label == label && c.delivery == Delivery::Reliable;
        self.signalling.channels().iter().any(of)
    }
}

impl PeerObserver for Observer {
    fn candidate(&self, json: String) {
        if self.candidates.fetch_add(1, Ordering::Relaxed) < MAX_CANDIDATES {
            let (generation, peer) = (self.generation, self.peer);
            self.news.tell(Input::LocalCandidate { generation, peer, json });
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
        self.news.tell(Input::Peer { generation, peer, change });
    }

    fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        if info.kind != MediaKind::Audio {
            return None;
        }
        let playable = info.mime.eq_ignore_ascii_case("audio/opus");
        self.add(&info, (!playable).then_some(Unplayable::Codec))
    }

    fn unplayable(&self, info: RemoteTrackInfo) {
        // There is nothing to receive; it is remembered for as long as the peer connection lives.
        self.silent.lock().extend(self.add(&info, Some(Unplayable::Codec)));
    }

    fn unassigned(&self, ssrc: u32, packets: u64, new: bool) {
        self.shared.media.received.fetch_add(packets, Ordering::Relaxed);
        self.shared.media.unassigned.fetch_add(packets, Ordering::Relaxed);
        if new {
            self.news.tell(Input::Unassigned { generation: self.generation, ssrc });
        }
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
        // Only lossy ones come without having been asked for.
        if data.delivery == Delivery::Lossy && !self.shared.inflow.has_room() {
            return lost();
        }
        let room = self.shared.inflow.take(message.len());
        // The actor takes more than may wait; it is gone when the call is over.
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
    fn however_many_changes_come_the_newest_of_each_peer_connection_is_told() {
        let news = PeerNews::default();
        let change = |n: u32, peer, change| news.tell(Input::Peer { generation: Generation(n), peer, change });
        for _ in 0..10_000 {
            for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
                change(1, peer, PeerChange::Disconnected);
                change(1, peer, PeerChange::Connected);
            }
        }
        news.tell(Input::LocalCandidate { generation: Generation(1), peer: PeerKind::Publisher, json: String::new() });
        change(1, PeerKind::Publisher, PeerChange::Failed);
        let told = news.take();
        assert!(told.len() <= 2 * MAX_CHANGES + 1, "{}", told.len());
        let last = |of| {
            let of_it = |i: &Input| match i {
                Input::Peer { peer, change, .. } if *peer == of => Some(*change),
                _ => None,
            };
            told.iter().rev().find_map(of_it)
        };
        assert_eq!(last(PeerKind::Publisher), Some(PeerChange::Failed));
        assert_eq!(last(PeerKind::Subscriber), Some(PeerChange::Connected));
        assert_eq!(told.iter().filter(|i| matches!(i, Input::LocalCandidate { .. })).count(), 1);
        assert!(news.take().is_empty(), "taken once");
    }

    #[test]
    fn a_stream_without_an_owner_is_told_however_much_else_waits() {
        let news = PeerNews::default();
        let unassigned = |ssrc| news.tell(Input::Unassigned { generation: Generation(1), ssrc });
        for _ in 0..1_000 {
            let (generation, peer) = (Generation(1), PeerKind::Subscriber);
            news.tell(Input::Peer { generation, peer, change: PeerChange::Connected });
        }
        (0..10_000).for_each(unassigned);
        let told = news.take();
        let ssrc = |i: &Input| match i {
            Input::Unassigned { ssrc, .. } => Some(*ssrc),
            _ => None,
        };
        let ssrcs: Vec<u32> = told.iter().filter_map(ssrc).collect();
        assert_eq!(ssrcs, (0..MAX_UNASSIGNED as u32).collect::<Vec<_>>());
    }
}
