//! What the actor waits for: one future per order of the core, each ending as one [`Done`].
//!
//! All of them are bounded in time by the layer that they call. Must not know: rules, C.

use super::{data::Outbox, outgoing::Outgoing, playout::Playout};
use crate::core::model::*;
use crate::core::{Action, Input, Op, OpDone, OpFailed, TrackId};
use crate::error::Code;
use crate::rtc::engine::{AudioSenderSpec, DataChannelSpec, EngineError, EngineErrorKind, Peer};
use crate::signalling::{protocol::Channel, Link, LinkReceiver};
use parking_lot::Mutex;
use std::{future::Future, pin::Pin, sync::Arc};

pub(super) type Pending = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Both ends of an open socket.
type Socket = (Arc<dyn Link>, Box<dyn LinkReceiver>);

/// The end of something that was waited for.
pub(super) enum Done {
    Input(Input),
    Peer {
        generation: Generation,
        peer: PeerKind,
        op: Op,
        result: Result<Arc<dyn Peer>, EngineError>,
    },
    Socket {
        generation: Generation,
        result: Result<Socket, Failure>,
    },
    /// This track was freed, and what was written to it is sent, or had its time.
    Track(TrackId),
    Nothing,
}

type Held = (Generation, PeerKind, Arc<dyn Peer>);

/// The peer connections of a call, reachable also when its actor has failed.
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

    /// Closes what is left, without waiting for it here.
    pub fn close_all(&self) {
        for (_, _, peer) in self.0.lock().drain(..) {
            let _ = crate::runtime::spawn("close", async move { peer.close().await });
        }
    }
}

fn failed(error: EngineError) -> OpFailed {
    let code = match error.kind {
        EngineErrorKind::Closed => Code::Closed,
        EngineErrorKind::Invalid => Code::Protocol,
        EngineErrorKind::System => Code::Limit,
        EngineErrorKind::Full => Code::Full,
        EngineErrorKind::Internal => Code::Media,
    };
    OpFailed { code, closed: error.kind == EngineErrorKind::Closed, message: error.message }
}

/// What a step may need of the call.
pub(super) struct With {
    pub generation: Generation,
    /// The track that the step is about.
    pub track: Option<Arc<Outgoing>>,
    /// Of the protocol.
    pub channels: &'static [Channel],
    pub outbox: Arc<Outbox>,
}

/// One engine step on an existing peer connection.
pub(super) fn engine(kind: PeerKind, op: Op, peer: Option<Arc<dyn Peer>>, with: With, action: Action) -> Pending {
    Box::pin(async move {
        let generation = with.generation;
        let result = match peer {
            None => Err(OpFailed { code: Code::Closed, closed: true, message: "the peer connection is gone".into() }),
            Some(peer) => step(&*peer, with, action).await.map_err(failed),
        };
        Done::Input(Input::Op { generation, peer: kind, op, result })
    })
}

async fn step(peer: &dyn Peer, with: With, action: Action) -> Result<OpDone, EngineError> {
    match action {
        // Made by the actor itself.
        Action::Create { .. } => Ok(OpDone::Done),
        Action::AddAudio { stream_id, offer, .. } => {
            let (stereo, dtx, red) = (offer.stereo, offer.dtx, offer.red);
            let spec = AudioSenderSpec { track_id: stream_id.clone(), stream_id, stereo, dtx, red };
            let writer = peer.add_audio(spec).await?;
            if let Some(track) = with.track {
                track.set_dtx(offer.dtx);
                track.add_writer(with.generation, writer);
            }
            Ok(OpDone::Done)
        }
        Action::RemoveAudio { stream_id } => peer.remove_audio(&stream_id).await.map(|()| OpDone::Done),
        Action::AddChannels => {
            for channel in with.channels {
                let (label, ordered) = (channel.label.to_owned(), channel.ordered);
                let spec = DataChannelSpec { label, ordered, max_retransmits: channel.max_retransmits };
                let writer = peer.add_channel(spec).await?;
                with.outbox.add_channel(with.generation, channel.delivery, writer);
            }
            Ok(OpDone::Done)
        }
        Action::Offer { ice_restart } => {
            let offer = peer.offer(ice_restart).await?;
            Ok(OpDone::Offer { sdp: offer.sdp, mids: offer.mids })
        }
        Action::SetAnswer(sdp) => peer.set_answer(sdp).await.map(|()| OpDone::Done),
        Action::Rollback => peer.rollback().await.map(|()| OpDone::Done),
        Action::SetOffer(sdp) => peer.set_offer(sdp).await.map(|()| OpDone::Done),
        Action::CreateAnswer => peer.create_answer().await.map(OpDone::Answer),
        Action::SetLocalAnswer(sdp) => peer.set_local_answer(sdp).await.map(|()| OpDone::Done),
        Action::AddCandidate(json) => peer.add_candidate(json).await.map(|()| OpDone::Done),
    }
}

/// Whether the media server is on this machine: then only loopback addresses are bound.
pub(super) fn is_loopback(url: &str) -> bool {
    let Ok(url) = url::Url::parse(url) else { return false };
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Keeps the playout task's name in one place.
pub(super) fn play(playout: Arc<Playout>) -> impl Future<Output = ()> {
    playout.run()
}
