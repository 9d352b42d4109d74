//! Engine operations. Each is carried out at once, and its result is the core's next input; only the end of a peer
//! connection is reported by its observer.

use super::*;
use crate::core::{OpDone, Wanted, WantedSender};
use crate::rtc::engine::{self, AudioSenderSpec, DataChannelSpec, EngineError, EngineErrorKind, EngineResult, Peer};
use crate::session::ops::failed;
use crate::signalling::protocol::Channel;

impl Actor {
    pub(super) fn engine(&mut self, generation: Generation, peer: PeerKind, op: Op, action: Action) {
        let name = action.name();
        let result = self.step(generation, peer, action).map_err(failed);
        if let Err(failed) = &result {
            oh_log!(Level::Debug, "{}: {peer:?} step {op} ({name}) failed: {}", self.shared.name, failed.message);
        }
        self.input(Input::Op { generation, peer, op, result });
    }

    fn step(&mut self, generation: Generation, kind: PeerKind, action: Action) -> EngineResult<OpDone> {
        let peer = || {
            let gone =
                || EngineError { kind: EngineErrorKind::Closed, message: "the peer connection is closed".into() };
            self.peers.get(generation, kind).ok_or_else(gone)
        };
        match action {
            Action::Create { ice_servers } => self.create_peer(generation, kind, ice_servers),
            Action::Answer { offer, candidates } => {
                let answer = peer()?.answer(&offer, &candidates)?;
                Ok(OpDone::Answer { sdp: answer.sdp, refused: answer.refused })
            }
            Action::Offer(wanted) => self.offer(generation, &*peer()?, wanted),
            Action::SetAnswer(sdp) => peer()?.set_answer(&sdp).map(|()| OpDone::Done),
            Action::AddCandidate(json) => peer()?.add_candidate(&json).map(|()| OpDone::Done),
        }
    }

    fn create_peer(
        &mut self,
        generation: Generation,
        peer: PeerKind,
        ice_servers: Vec<IceServer>,
    ) -> EngineResult<OpDone> {
        let options = PeerOptions {
            ice_servers,
            loopback_only: self.loopback_only,
            server: self.server,
            refuse_data: !self.config.dialect.data_channels,
            disconnected_after: self.config.dialect.media_silence,
        };
        let observer = Arc::new(Observer {
            generation,
            peer,
            peer_events: self.peer_events.clone(),
            inputs: self.input_sender.clone(),
            data: self.data_sender.clone(),
            playout: self.playout.clone(),
            signalling: self.signalling.clone(),
            shared: self.shared.clone(),
            candidates: std::sync::atomic::AtomicUsize::new(0),
            silent: Default::default(),
        });
        let media = match &self.media {
            Some(media) => media,
            None => self.media.insert(self.connection.engine.call()?),
        };
        let made = media.peer(peer, options, observer)?;
        self.peers.add(generation, peer, made);
        Ok(OpDone::Done)
    }

    fn offer(&self, generation: Generation, peer: &dyn Peer, wanted: Wanted) -> EngineResult<OpDone> {
        let spec = |sender: &WantedSender| {
            let (stereo, dtx, red) = (sender.offer.stereo, sender.offer.dtx, sender.offer.red);
            AudioSenderSpec { track_id: sender.name.clone(), stream_id: sender.name.clone(), stereo, dtx, red }
        };
        let channels = if wanted.channels { self.signalling.channels() } else { &[] };
        let channel = |channel: &Channel| DataChannelSpec {
            label: channel.label.to_owned(),
            ordered: channel.ordered,
            max_retransmits: channel.max_retransmits,
        };
        let offer = peer.offer(&engine::Wanted {
            senders: wanted.senders.iter().map(spec).collect(),
            channels: channels.iter().map(channel).collect(),
            ice_restart: wanted.ice_restart,
            receive: wanted.receive,
        })?;
        for (name, writer) in offer.senders {
            let sender = wanted.senders.iter().find(|sender| sender.name == name);
            // A track that was freed meanwhile sends nothing.
            if let Some((sender, track)) = sender.and_then(|s| Some((s, self.tracks.get(&s.track)?))) {
                track.set_dtx(sender.offer.dtx);
                track.add_writer(generation, writer);
            }
        }
        // A peer connection that carries both directions stays when the application has closed the publisher.
        let sends = !self.shared.publisher_closed.load(Ordering::Acquire);
        for (label, writer) in offer.channels.into_iter().filter(|_| sends) {
            if let Some(channel) = channels.iter().find(|channel| channel.label == label) {
                self.shared.outbox.add_channel(generation, channel.delivery, writer);
            }
        }
        Ok(OpDone::Offer { sdp: offer.sdp, mids: offer.mids })
    }

    pub(super) fn close_peer(&mut self, generation: Generation, peer: PeerKind) {
        if peer == PeerKind::Publisher {
            for track in self.tracks.values() {
                track.remove_writer(generation);
            }
            self.shared.outbox.remove_channels(generation);
        }
        let open = self.peers.take(generation, peer);
        let closed = self.closed.iter().position(|known| *known == (generation, peer));
        if let Some(open) = &open {
            open.close();
        }
        if let (Some(_), None) = (&open, closed) {
            return self.closing.push((generation, peer));
        }
        if let Some(index) = closed {
            self.closed.swap_remove(index);
        }
        self.input(Input::PeerClosed { generation, peer });
    }

    /// Handles the reports of the peer connections.
    pub(super) fn on_peer_event(&mut self, input: Input) {
        if let Input::Peer { generation, peer, change } = input {
            if change == PeerChange::Closed {
                if let Some(index) = self.closing.iter().position(|of| *of == (generation, peer)) {
                    self.closing.swap_remove(index);
                    return self.input(Input::PeerClosed { generation, peer });
                }
                self.closed.push((generation, peer));
            }
            self.inspect(generation, peer);
        }
        self.input(input);
    }

    /// Passes to the core the paths that this peer connection has tried.
    pub(super) fn inspect(&mut self, generation: Generation, peer: PeerKind) {
        if let Some(open) = self.peers.get(generation, peer) {
            let path = open.path();
            self.input(Input::Path { generation, peer, path });
        }
    }
}
