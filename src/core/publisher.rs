//! The publisher's negotiation: create → add tracks → offer → SetPublisher → answer, one at a time.
//!
//! What fails is rolled back and offered again a bounded number of times; what was never
//! acknowledged is part of every later offer. Mute is told with only the changed tracks, one
//! request at a time, the last intent wins.

use super::subscriber::Slot;
use super::track::{Sender, Told, Track};
use super::{
    backoff, ice, limits, link::Link, model::*, Action, AudioOffer, Core, Event, Op, OpDone, OpFailed, Output, Phase,
    Timer, TrackId,
};
use crate::error::{Code, Error};
use std::time::Duration;

#[derive(Debug)]
pub(super) enum Step {
    Idle,
    Creating(Op),
    /// A sender under this name.
    Adding(Op, TrackId, String),
    /// The sender at this place is no longer a track's.
    Removing(Op, usize),
    AddingChannels(Op),
    Offering(Op),
    Asking(u64),
    Answering(Op, String),
    RollingBack(Op),
}

#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) slot: Slot,
    pub(super) step: Step,
    /// Live tracks, in the order in which they were published.
    pub(super) tracks: Vec<Track>,
    /// The engine's senders in the order they were added.
    senders: Vec<Sender>,
    /// Senders ever added: their m-lines stay in the description (RFC 8829, section 5.2.2).
    added: usize,
    /// The engine has the data channels, too.
    channels: bool,
    mids: Vec<String>,
    /// Something changed that the SFU was not offered yet.
    dirty: bool,
    /// Which tracks the offer under way holds.
    offered: Vec<TrackId>,
    ice_restart: bool,
    /// The offer under way restarts ICE.
    restarting: bool,
    failures: u32,
    first_error: Option<Error>,
    /// The request under way, and what it tells of which tracks.
    pub(super) mute_rpc: Option<(u64, Vec<(TrackId, bool)>)>,
    /// SetPublisher was sent while it was under way: which of the two the SFU heard last nobody knows.
    pub(super) mute_overtaken: bool,
    /// Closed while a request was under way: mute after it.
    pub(super) mute_at_last: bool,
    pub(super) candidates: ice::Candidates,
    /// The SFU's DTLS identity.
    identity: Option<String>,
    pub(super) local: Vec<String>,
    pub(super) answered: bool,
    pub(super) link: Link,
}

impl Default for Publisher {
    fn default() -> Self {
        Self {
            slot: Slot::Absent,
            step: Step::Idle,
            tracks: Vec::new(),
            senders: Vec::new(),
            added: 0,
            channels: false,
            mids: Vec::new(),
            dirty: false,
            offered: Vec::new(),
            ice_restart: false,
            restarting: false,
            failures: 0,
            first_error: None,
            mute_rpc: None,
            mute_overtaken: false,
            mute_at_last: false,
            candidates: ice::Candidates::default(),
            identity: None,
            local: Vec::new(),
            answered: false,
            link: Link::default(),
        }
    }
}

impl Publisher {
    /// There is a peer connection, or one is being made.
    pub fn is_live(&self) -> bool {
        self.slot == Slot::Open || matches!(self.step, Step::Creating(_))
    }

    /// For a new connection: nothing is negotiated, the tracks stay in their order. What was closed for
    /// good stays closed.
    pub fn restart(&mut self) {
        let closed = matches!(self.slot, Slot::Closed | Slot::Closing);
        let tracks = std::mem::take(&mut self.tracks);
        *self = Self { tracks, slot: if closed { Slot::Closed } else { Slot::Absent }, ..Self::default() };
        for track in &mut self.tracks {
            track.told = Told::Nothing;
        }
        // Data channels as well: who sends data is asked when the time comes.
        self.dirty = true;
    }

    fn sends(&self, track: TrackId) -> bool {
        self.senders.iter().any(|s| s.track == track)
    }

    pub fn begin_close(&mut self) -> bool {
        let live = self.is_live();
        if self.slot != Slot::Closing {
            self.slot = if live { Slot::Closing } else { Slot::Closed };
        }
        self.step = Step::Idle;
        live
    }

    /// The engine has closed what [`Publisher::begin_close`] asked it to close.
    pub fn closed(&mut self) {
        if self.slot == Slot::Closing {
            self.slot = Slot::Closed;
        }
    }

    pub fn is_closing(&self) -> bool {
        self.slot == Slot::Closing
    }

    /// Closed for good, or about to be.
    pub fn is_gone(&self) -> bool {
        matches!(self.slot, Slot::Closing | Slot::Closed)
    }

    pub(super) fn track(&mut self, id: TrackId) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|t| t.id == id)
    }
}

impl Core {
    /// Nothing under way and nothing that the SFU was never told of.
    #[cfg(test)]
    pub(super) fn publisher_settled(&self) -> bool {
        let idle = matches!(self.publisher.step, Step::Idle);
        !self.publisher_alive() || idle && self.publisher.tracks.iter().all(|t| t.told != Told::Nothing)
    }

    /// Neither closed nor of a connection that is gone; it may be between two sockets.
    pub(super) fn publisher_open(&self) -> bool {
        self.transport.is_some() && self.is_open() && matches!(self.publisher.slot, Slot::Absent | Slot::Open)
    }

    /// Open, and the SFU can be asked.
    /// An answer is being set: which candidates belong is known only after it.
    pub(super) fn publisher_sets_answer(&self) -> bool {
        matches!(self.publisher.step, Step::Answering(..))
    }

    pub(super) fn publisher_alive(&self) -> bool {
        self.phase == Phase::Joined && self.publisher_open()
    }

    /// The socket is gone, the peer connection stays: what the SFU was asked it will not answer any more.
    pub(super) fn interrupt_publisher(&mut self) {
        self.publisher.mute_rpc = None;
        self.publisher.mute_at_last = false;
        if !self.publisher_open() || !matches!(self.publisher.step, Step::Asking(_)) {
            return;
        }
        self.offer_again();
        let op = self.op(PeerKind::Publisher, Action::Rollback);
        self.publisher.step = Step::RollingBack(op);
    }

    /// What the offer under way held is part of the next one.
    fn offer_again(&mut self) {
        self.publisher.offered.clear();
        self.publisher.dirty = true;
        self.publisher.ice_restart |= std::mem::take(&mut self.publisher.restarting);
    }

    /// Back on a new socket with the peer connection of before: ICE is restarted in any case, mute states
    /// are told anew.
    pub(super) fn resume_publisher(&mut self) {
        if !self.publisher_alive() || !self.publisher.answered || self.publisher.slot != Slot::Open {
            return;
        }
        self.publisher.ice_restart = true;
        for track in &mut self.publisher.tracks {
            track.told = track.told.or_nothing(Told::Unsure);
        }
        self.publisher.failures = 0;
        self.tell_mute();
    }

    /// The tracks that the SFU knows, as it knows them.
    pub(super) fn announced_tracks(&self) -> Vec<TrackInfo> {
        let known: Vec<_> = self.publisher.tracks.iter().filter(|t| t.told != Told::Nothing).map(|t| t.id).collect();
        self.track_infos(&known)
    }

    pub(super) fn on_publish(&mut self, now: Duration, track: TrackId, offer: AudioOffer) {
        let refusal = if !self.is_open() {
            Some(Error::new(Code::State, "publish: the call is leaving or over"))
        } else if !matches!(self.publisher.slot, Slot::Absent | Slot::Open) {
            Some(Error::new(Code::Closed, "publish: the publisher of this call was closed"))
        } else if self.grants.is_some_and(|g| !g.audio) {
            Some(Error::new(Code::Refused, "publish: this participant may not send audio in this call"))
        } else if !self.publisher.tracks.is_empty() {
            Some(Error::new(Code::State, "publish: an audio track is already published; free it first"))
        } else if self.publisher.added >= limits::TRACKS {
            Some(Error::new(Code::Limit, "publish: this call has published 32 tracks; mute instead of publishing anew"))
        } else {
            None
        };
        if let Some(error) = refusal {
            return self.event(Event::LocalFailed { track, error });
        }
        let name = self.rng.uuid();
        let muted = offer.muted;
        let told = Told::Nothing;
        self.publisher.tracks.push(Track { id: track, offer, name, muted, moderated: false, told, announced: false });
        self.publisher.dirty = true;
        self.negotiate_publisher(now);
    }

    pub(super) fn on_unpublish(&mut self, now: Duration, track: TrackId) {
        let before = self.publisher.tracks.len();
        self.publisher.tracks.retain(|t| t.id != track);
        if self.publisher.tracks.len() == before {
            return;
        }
        self.out(Output::Sending { track, on: false });
        if self.publisher_open() && self.publisher.sends(track) {
            self.publisher.dirty = true;
            self.negotiate_publisher(now);
        }
    }

    /// How a track is offered: the application's wish, as far as the call's settings allow it.
    fn allowed(&self, offer: &AudioOffer) -> AudioOffer {
        let dtx = offer.dtx && self.admission.as_ref().is_some_and(|a| a.opus_dtx);
        AudioOffer { dtx, ..offer.clone() }
    }

    /// Offers what the SFU does not know yet, unless a negotiation is under way (then after it).
    pub(super) fn negotiate_publisher(&mut self, now: Duration) {
        if !self.publisher_alive() || !matches!(self.publisher.step, Step::Idle) {
            return;
        }
        if !self.publisher.dirty && !self.publisher.ice_restart {
            return;
        }
        if self.publisher.slot == Slot::Absent {
            if self.publisher.tracks.is_empty() && !self.data.wanted {
                return;
            }
            let ice_servers = self.admission.as_ref().map(|a| a.ice_servers.clone()).unwrap_or_default();
            let op = self.op(PeerKind::Publisher, Action::Create { ice_servers });
            self.publisher.step = Step::Creating(op);
            return;
        }
        self.add_or_offer(now);
    }

    /// The application sends data: it needs a publisher, with or without tracks.
    pub(super) fn publisher_wants_channels(&mut self, now: Duration) {
        self.publisher.dirty = true;
        self.negotiate_publisher(now);
    }

    fn add_or_offer(&mut self, now: Duration) {
        if self.data.wanted && !self.publisher.channels {
            let op = self.op(PeerKind::Publisher, Action::AddChannels);
            self.publisher.step = Step::AddingChannels(op);
            return;
        }
        if self.config.dialect.tracks_end_in_sdp {
            let live = |id: TrackId| self.publisher.tracks.iter().any(|t| t.id == id);
            let ended = self.publisher.senders.iter().position(|s| !live(s.track));
            if let Some(index) = ended {
                let stream_id = self.publisher.senders[index].name.clone();
                let op = self.op(PeerKind::Publisher, Action::RemoveAudio { stream_id });
                self.publisher.step = Step::Removing(op, index);
                return;
            }
        }
        let missing = self.publisher.tracks.iter().find(|t| !self.publisher.sends(t.id));
        if let Some(track) = missing {
            let id = track.id;
            let (name, offer) = (track.name.clone(), self.allowed(&track.offer));
            let stream_id = name.clone();
            let op = self.op(PeerKind::Publisher, Action::AddAudio { track: id, stream_id, offer });
            self.publisher.step = Step::Adding(op, id, name);
            return;
        }
        self.publisher.dirty = false;
        if self.publisher.added == 0 && !self.publisher.channels {
            // Freed before it was ever added: there is nothing to offer.
            return;
        }
        let ice_restart = std::mem::take(&mut self.publisher.ice_restart);
        self.publisher.restarting = ice_restart;
        self.publisher.offered = self.publisher.tracks.iter().map(|t| t.id).collect();
        let op = self.op(PeerKind::Publisher, Action::Offer { ice_restart });
        self.publisher.step = Step::Offering(op);
        let _ = now;
    }

    pub(super) fn on_publisher_op(
        &mut self,
        now: Duration,
        generation: Generation,
        op: Op,
        result: Result<OpDone, OpFailed>,
    ) {
        if Some(generation) != self.transport || !self.publisher_open() {
            return self.late();
        }
        let expected = match &self.publisher.step {
            Step::Creating(o) | Step::Offering(o) | Step::RollingBack(o) => *o == op,
            Step::Removing(o, _) => *o == op,
            Step::AddingChannels(o) => *o == op,
            Step::Adding(o, ..) => *o == op,
            Step::Answering(o, _) => *o == op,
            Step::Idle | Step::Asking(_) => false,
        };
        if !expected {
            if result.is_err() {
                self.counters.candidates_dropped += 1;
            }
            return;
        }
        let step = std::mem::replace(&mut self.publisher.step, Step::Idle);
        match (step, result) {
            // What came meanwhile found a negotiation under way and relies on this.
            (Step::RollingBack(_), _) if !self.timers.is_set(Timer::Republish) => self.negotiate_publisher(now),
            (Step::RollingBack(_), _) => {}
            (Step::Creating(_) | Step::Adding(..) | Step::Removing(..) | Step::AddingChannels(_), Err(failed)) => {
                self.publish_failed(now, op_error(&failed), false)
            }
            (_, Err(failed)) => self.publish_failed(now, op_error(&failed), true),
            (Step::Creating(_), Ok(_)) => {
                self.publisher.slot = Slot::Open;
                self.negotiate_publisher(now);
            }
            // Also of a track that was freed meanwhile: it is taken out again under this name.
            (Step::Adding(_, track, name), Ok(_)) => {
                self.publisher.senders.push(Sender { track, name });
                self.publisher.added += 1;
                self.negotiate_publisher(now);
            }
            (Step::Removing(_, index), Ok(_)) => {
                if index < self.publisher.senders.len() {
                    self.publisher.senders.remove(index);
                }
                self.negotiate_publisher(now);
            }
            (Step::AddingChannels(_), Ok(_)) => {
                self.publisher.channels = true;
                self.negotiate_publisher(now);
            }
            // Between two sockets there is nobody to ask.
            (Step::Offering(_), Ok(OpDone::Offer { .. })) if !self.publisher_alive() => {
                self.offer_again();
                let op = self.op(PeerKind::Publisher, Action::Rollback);
                self.publisher.step = Step::RollingBack(op);
            }
            (Step::Offering(_), Ok(OpDone::Offer { sdp, mids })) => self.ask(sdp, mids),
            (Step::Answering(_, sdp), Ok(_)) => self.on_published(now, &sdp),
            (_, Ok(_)) => {
                let error = Error::new(Code::Internal, "publish: the engine gave no offer");
                self.publish_failed(now, error, true);
            }
        }
    }

    fn ask(&mut self, sdp: String, mids: Vec<String>) {
        self.publisher.mids = mids;
        let tracks = self.track_infos(&self.publisher.offered);
        self.publisher.mute_overtaken = self.publisher.mute_rpc.is_some();
        for id in self.publisher.offered.clone() {
            if let Some(track) = self.publisher.track(id) {
                track.told = track.told.or_nothing(Told::Muted(track.muted));
            }
        }
        let session_id = self.session_id.clone();
        let id = self.rpc(RpcCall::SetPublisher { session_id, sdp, tracks });
        self.publisher.step = Step::Asking(id);
    }

    fn track_infos(&self, which: &[TrackId]) -> Vec<TrackInfo> {
        let option = self.publish_options.iter().find(|o| o.kind == TrackKind::Audio);
        let (option_id, codec) = option.map_or_else(
            || (0, CodecSpec { name: "opus".into(), clock_rate: 48_000, ..Default::default() }),
            |o| (o.id, o.codec.clone()),
        );
        self.publisher
            .tracks
            .iter()
            .filter(|t| which.contains(&t.id))
            .filter_map(|t| {
                let index = self.publisher.senders.iter().position(|s| s.track == t.id)?;
                Some(TrackInfo {
                    track_id: t.name.clone(),
                    kind: TrackKind::Audio,
                    mid: self.publisher.mids.get(index).cloned().unwrap_or_default(),
                    muted: t.muted,
                    dtx: self.allowed(&t.offer).dtx,
                    stereo: t.offer.stereo,
                    red: false,
                    codec: codec.clone(),
                    publish_option_id: option_id,
                    layers: Vec::new(),
                })
            })
            .collect()
    }

    pub(super) fn on_set_publisher(&mut self, now: Duration, id: u64, result: Result<RpcReply, Failure>) {
        if !matches!(self.publisher.step, Step::Asking(i) if i == id) {
            return self.late();
        }
        self.publisher.step = Step::Idle;
        match result {
            Ok(RpcReply::Publisher { sdp, .. }) if !sdp.is_empty() => {
                if ice::changed_identity(&mut self.publisher.identity, &sdp) {
                    let why = "the SFU's side of the publisher is another one";
                    return self.reconnect(now, Strategy::Rejoin, why);
                }
                let op = self.op(PeerKind::Publisher, Action::SetAnswer(sdp.clone()));
                self.publisher.step = Step::Answering(op, sdp);
            }
            Ok(_) => {
                let error = Error::new(Code::Protocol, "publish: the SFU's reply to SetPublisher holds no answer");
                self.publish_failed(now, error, true);
            }
            Err(failure) => {
                // Whether it was carried out nobody knows, nor what the SFU believes of mutes.
                for track in &mut self.publisher.tracks {
                    track.told = track.told.or_nothing(Told::Unsure);
                }
                let code = if failure.kind == FailureKind::Timeout { Code::Timeout } else { Code::Refused };
                let error = Error::new(code, format!("publish: SetPublisher failed: {}", failure.message))
                    .with_server_code(failure.code);
                self.publish_failed(now, error, true);
                self.tell_mute();
            }
        }
    }

    fn on_published(&mut self, now: Duration, answer: &str) {
        self.publisher.failures = 0;
        self.publisher.first_error = None;
        self.publisher.restarting = false;
        let (ready, dropped) = self.publisher.candidates.remote_set(answer);
        self.counters.candidates_dropped += dropped as u64;
        for json in ready {
            self.op(PeerKind::Publisher, Action::AddCandidate(json));
        }
        if !self.publisher.answered {
            self.publisher.answered = true;
            self.watch_link(now, PeerKind::Publisher);
            self.flush_local();
        }
        for id in std::mem::take(&mut self.publisher.offered) {
            // Freed meanwhile: the next offer says so.
            let Some(track) = self.publisher.track(id) else { continue };
            if track.told == Told::Nothing {
                // Servers differ in whether TrackInfo.muted announces a track: tell it once more.
                track.told = Told::Unsure;
                let news = !std::mem::replace(&mut track.announced, true);
                self.out(Output::Sending { track: id, on: true });
                if news {
                    self.event(Event::LocalPublished { track: id });
                }
            }
        }
        self.tell_mute();
        self.negotiate_publisher(now);
    }

    /// Rolled back, and tried again later; after three in a row the tracks in question are given up.
    fn publish_failed(&mut self, now: Duration, error: Error, roll_back: bool) {
        self.publisher.failures += 1;
        let first = self.publisher.first_error.get_or_insert(error).clone();
        if roll_back {
            let op = self.op(PeerKind::Publisher, Action::Rollback);
            self.publisher.step = Step::RollingBack(op);
        }
        let restarting = self.publisher.restarting;
        self.offer_again();
        if self.publisher.failures < limits::NEGOTIATION_TRIES {
            let wait = backoff::rpc(self.publisher.failures + 1, &mut self.rng);
            return self.timers.set(Timer::Republish, now + wait);
        }
        self.publisher.failures = 0;
        self.publisher.first_error = None;
        // What was on the air is not given up: a new session may take it.
        let on_the_air = self.publisher.tracks.iter().any(|t| t.announced && t.told == Told::Nothing);
        if restarting || on_the_air {
            return self.negotiation_failed(now, "the publisher could not be negotiated");
        }
        let given_up: Vec<_> = self.publisher.tracks.iter().filter(|t| t.told == Told::Nothing).map(|t| t.id).collect();
        self.publisher.tracks.retain(|t| t.told != Told::Nothing);
        self.publisher.dirty = false;
        self.publisher.ice_restart = false;
        if given_up.is_empty() {
            // A change to what is on the air already: it stays as it was.
            self.event(Event::Error(first.clone()));
        }
        for track in given_up {
            // It may have been on the air before a reconnect.
            self.out(Output::Sending { track, on: false });
            self.event(Event::LocalFailed { track, error: first.clone() });
        }
    }

    pub(super) fn stop_sending(&mut self) {
        for track in std::mem::take(&mut self.publisher.tracks) {
            self.out(Output::Sending { track: track.id, on: false });
        }
    }

    /// Closed or freed by the application: for good, while the call goes on.
    pub(super) fn close_publisher(&mut self, now: Duration) {
        if !matches!(self.publisher.slot, Slot::Absent | Slot::Open) {
            return;
        }
        if self.phase == Phase::Joined && self.publisher.answered {
            // So that the others see it at once: media stops, the track is muted.
            for track in &mut self.publisher.tracks {
                track.muted = true;
            }
            // Behind an older request, which may tell the opposite; it is the last word all the same.
            self.publisher.mute_at_last = self.publisher.mute_rpc.is_some();
            self.tell_mute();
        }
        self.forget_rpcs(PeerKind::Publisher);
        self.timers.cancel(Timer::Republish);
        self.stop_sending();
        self.forget_link_timers(PeerKind::Publisher);
        let generation = self.transport.unwrap_or(self.generation);
        if self.publisher.begin_close() {
            self.out(Output::ClosePeer { generation, peer: PeerKind::Publisher });
        }
        let _ = now;
    }

    pub(super) fn restart_publisher_ice(&mut self, now: Duration) {
        if self.publisher_alive() && self.publisher.answered {
            self.publisher.ice_restart = true;
            self.negotiate_publisher(now);
        }
    }

    /// The grants no longer allow audio: stop, and say so.
    pub(super) fn revoke_audio(&mut self, now: Duration) {
        let revoked: Vec<_> = self.publisher.tracks.iter().map(|t| t.id).collect();
        for track in revoked {
            self.on_unpublish(now, track);
            let error = Error::new(Code::Refused, "publish: the right to send audio was taken away");
            self.event(Event::LocalFailed { track, error });
        }
    }
}

fn op_error(failed: &OpFailed) -> Error {
    Error::new(failed.code, format!("publish: {}", failed.message))
}
