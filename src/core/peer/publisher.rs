//! The publisher's negotiation: create → offer → SetPublisher → answer, one at a time.
//!
//! The engine is told all that is wanted with each offer, and takes an offer that was not answered back by itself. What
//! fails is offered again a bounded number of times; what was never acknowledged is part of every later offer. Must not know: the engine, sockets.

use super::connection::Connection;
use super::local_tracks::{LocalTracks, Sender, Told, Track};
use crate::core::context::{Context, Need, Settled};
use crate::core::{
    backoff, limits, model::*, timers::Timer, Action, AudioOffer, Event, Op, OpDone, OpFailed, Output, PresentLocal,
    PresentTrack, TrackId, Wanted, WantedSender,
};
use crate::error::{Code, Error};

#[derive(Debug)]
enum Step {
    Idle,
    Offering(Op),
    Asking(u64),
    Answering(Op, String),
}

#[derive(Debug)]
pub(in crate::core) struct Publisher {
    pub connection: Connection,
    step: Step,
    pub tracks: LocalTracks,
    /// The engine's senders in the order they were added; an offer that could be made has added them.
    senders: Vec<Sender>,
    /// Those of ended tracks whose m-lines the offer under way gives to new ones. Until it is answered they may be
    /// needed again.
    given_up: Vec<Sender>,
    /// A sender was added, ever: there is something to offer, if only that it is gone.
    added: bool,
    /// The application sends data: the publisher is kept for it, too.
    wants_channels: bool,
    /// How the SFU wants tracks to be published.
    pub options: Vec<PublishOption>,
    /// Something changed that the SFU was not offered yet.
    dirty: bool,
    /// Which tracks the offer under way holds.
    offered: Vec<TrackId>,
    ice_restart: bool,
    /// The offer under way restarts ICE.
    restarting: bool,
    first_error: Option<Error>,
    /// Several new tracks were refused together, and the SFU does not say which of them it means: they are offered one
    /// after the other, and this is the one whose turn it is.
    alone: Option<TrackId>,
}

impl Publisher {
    pub fn new() -> Self {
        Self {
            connection: Connection::new(PeerKind::Publisher, true),
            step: Step::Idle,
            tracks: LocalTracks::default(),
            senders: Vec::new(),
            given_up: Vec::new(),
            added: false,
            wants_channels: false,
            options: Vec::new(),
            dirty: false,
            offered: Vec::new(),
            ice_restart: false,
            restarting: false,
            first_error: None,
            alone: None,
        }
    }

    /// For a new connection: nothing is negotiated, the tracks stay in their order. What was closed for
    /// good stays closed.
    pub fn restart(&mut self) {
        let mut former = std::mem::replace(self, Self::new());
        former.connection.restart();
        former.tracks.restart();
        self.connection = former.connection;
        self.tracks = former.tracks;
        self.wants_channels = former.wants_channels;
        self.options = former.options;
        // Data channels as well: who sends data is asked when the time comes.
        self.dirty = true;
    }

    /// Nothing under way and nothing that the SFU was never told of.
    #[cfg(test)]
    pub fn is_settled(&self, cx: &Context) -> bool {
        !self.is_alive(cx) || !self.is_busy() && self.tracks.all.iter().all(|t| t.told != Told::Nothing)
    }

    /// Neither closed nor of a connection that is gone; it may be between two sockets.
    pub fn is_open(&self, cx: &Context) -> bool {
        cx.transport.is_some() && cx.is_open() && !self.connection.is_gone()
    }

    /// Open, and the SFU can be asked.
    pub fn is_alive(&self, cx: &Context) -> bool {
        cx.is_joined() && self.is_open(cx)
    }

    fn is_busy(&self) -> bool {
        !matches!(self.step, Step::Idle) || self.connection.is_creating()
    }

    fn sends(&self, track: TrackId) -> bool {
        self.senders.iter().any(|s| s.wanted.track == track)
    }

    // What the application wants.

    pub fn publish(&mut self, cx: &mut Context, track: TrackId, offer: AudioOffer) {
        let refusal = if !cx.is_open() {
            Some(Error::new(Code::State, "publish: the call is leaving or over"))
        } else if self.connection.is_gone() {
            Some(Error::new(Code::Closed, "publish: the publisher of this call was closed"))
        } else if cx.grants.is_some_and(|g| !g.allow(offer.source)) {
            let text = match offer.source {
                TrackKind::Audio => "publish: this participant may not send audio in this call",
                _ => "publish: this participant may not share its screen in this call",
            };
            Some(Error::new(Code::Refused, text))
        } else if self.tracks.has(track) {
            // Said before, and under way.
            return;
        } else if self.tracks.all.len() >= limits::TRACKS {
            Some(Error::new(Code::Limit, "publish: 32 tracks are published; free one of them first"))
        } else {
            None
        };
        if let Some(error) = refusal {
            // It is never sent: who writes to it is to know.
            cx.out(Output::Sending { track, on: false });
            return cx.event(Event::LocalFailed { track, error });
        }
        self.tracks.all.push(Track {
            id: track,
            name: cx.rng.uuid(),
            sfu_name: String::new(),
            muted: offer.muted,
            offer,
            moderated: false,
            told: Told::Nothing,
            announced: false,
        });
        self.dirty = true;
        self.negotiate(cx);
    }

    pub fn unpublish(&mut self, cx: &mut Context, track: TrackId) {
        if !self.tracks.remove(track) {
            return;
        }
        if self.alone == Some(track) {
            self.alone = self.tracks.first_new();
        }
        cx.out(Output::Sending { track, on: false });
        if self.is_open(cx) && self.sends(track) {
            self.dirty = true;
            self.negotiate(cx);
        }
    }

    pub fn mute(&mut self, cx: &mut Context, track: TrackId, muted: bool) {
        if self.tracks.set_muted(cx, track, muted) {
            self.tell_mutes(cx);
        }
    }

    /// The application sends data: it needs a publisher, with or without tracks.
    pub fn want_channels(&mut self, cx: &mut Context) {
        if cx.config.dialect.data_channels && cx.is_open() && !std::mem::replace(&mut self.wants_channels, true) {
            self.dirty = true;
            self.negotiate(cx);
        }
    }

    /// Closed or freed by the application: for good, while the call goes on.
    pub fn close(&mut self, cx: &mut Context) {
        if self.connection.is_gone() {
            return;
        }
        if cx.is_joined() && self.connection.answered {
            // So that the others see it at once: media stops, the track is muted.
            self.tracks.mute_at_last(cx);
            self.tell_mutes(cx);
        }
        cx.requests.forget(PeerKind::Publisher);
        cx.timers.cancel(Timer::Republish);
        self.stop_sending(cx);
        self.connection.forget_timers(cx);
        self.end(cx);
    }

    /// The peer connection is closed.
    pub fn end(&mut self, cx: &mut Context) {
        self.connection.close(cx);
        self.step = Step::Idle;
    }

    pub fn stop_sending(&mut self, cx: &mut Context) {
        for track in std::mem::take(&mut self.tracks.all) {
            cx.out(Output::Sending { track: track.id, on: false });
        }
    }

    // What the SFU says.

    /// What the grants no longer allow stops, and is reported.
    pub fn revoke(&mut self, cx: &mut Context, grants: Grants) {
        let revoked = self.tracks.all.iter().filter(|t| !grants.allow(t.offer.source));
        for (track, source) in revoked.map(|t| (t.id, t.offer.source)).collect::<Vec<_>>() {
            self.unpublish(cx, track);
            let text = match source {
                TrackKind::Audio => "publish: the right to send audio was taken away",
                _ => "publish: the right to share the screen was taken away",
            };
            cx.event(Event::LocalFailed { track, error: Error::new(Code::Refused, text) });
        }
    }

    /// A moderator has muted what is sent.
    pub fn on_moderated(&mut self, cx: &mut Context, kind: TrackKind, known: Option<&RemoteTrack>) {
        if self.tracks.moderate(cx, kind, known) {
            self.tell_mutes(cx);
        }
    }

    /// The SFU has muted or unmuted a track, by its name.
    pub fn on_muted(&mut self, cx: &mut Context, name: &str, known: Option<&RemoteTrack>, muted: bool) {
        let Some(track) = self.tracks.named(name) else { return cx.late() };
        self.tracks.moderate_one(cx, track, known, muted);
        // Also where the application wants it otherwise.
        self.tell_mutes(cx);
    }

    /// The source of a track, by its name.
    pub fn source_of(&self, name: &str) -> TrackKind {
        self.tracks.all.iter().find(|t| t.name == name).map_or(TrackKind::Audio, |t| t.offer.source)
    }

    /// The SFU says how it names a track.
    pub fn on_named(&mut self, name: &str, sfu_name: String) {
        if let Some(track) = self.tracks.all.iter_mut().find(|t| t.name == name) {
            track.sfu_name = sfu_name;
        }
    }

    /// The SFU has stopped a track: it is over, as if the right to it had been taken away.
    pub fn on_unpublished(&mut self, cx: &mut Context, name: &str) {
        let Some(track) = self.tracks.named(name) else { return cx.late() };
        self.unpublish(cx, track);
        let error = Error::new(Code::Refused, "publish: the SFU took the track off the air");
        cx.event(Event::LocalFailed { track, error });
    }

    fn tell_mutes(&mut self, cx: &mut Context) {
        // SetPublisher tells of mutes as well, and may be slower than what is said after it.
        if self.is_alive(cx) && !matches!(self.step, Step::Asking(_)) {
            self.tracks.tell_mutes(cx);
        }
    }

    pub fn on_mute_reply(&mut self, cx: &mut Context, id: u64, ok: bool) {
        let alive = self.is_alive(cx);
        if self.tracks.on_mute_reply(cx, id, ok, alive) {
            self.tell_mutes(cx);
        }
    }

    // Its connection.

    /// The socket is gone, the peer connection stays: what the SFU was asked it will not answer any more.
    pub fn interrupt(&mut self, cx: &mut Context) {
        self.tracks.interrupt();
        if self.is_open(cx) && matches!(self.step, Step::Asking(_)) {
            self.offer_again();
            self.step = Step::Idle;
        }
    }

    /// Back on a new socket with the peer connection of before: ICE is restarted in any case, mute states
    /// are sent again.
    pub fn resume(&mut self, cx: &mut Context) {
        if !self.is_alive(cx) || !self.connection.answered || !self.connection.is_open() {
            return;
        }
        self.ice_restart = true;
        self.tracks.doubt();
        self.connection.failures = 0;
        self.tell_mutes(cx);
    }

    pub fn restart_ice(&mut self, cx: &mut Context) {
        if self.is_alive(cx) && self.connection.answered {
            self.ice_restart = true;
            self.negotiate(cx);
        }
    }

    pub fn on_remote_candidate(&mut self, cx: &mut Context, json: String) {
        if !self.is_alive(cx) {
            return cx.late();
        }
        let unsettled = matches!(self.step, Step::Answering(..));
        self.connection.on_remote_candidate(cx, json, unsettled);
    }

    pub fn on_local_candidate(&mut self, cx: &mut Context, json: String) {
        match self.is_open(cx) {
            true => self.connection.on_local_candidate(cx, json, false),
            false => cx.late(),
        }
    }

    // The negotiation.

    /// The tracks that the SFU knows, as it knows them.
    pub fn announced(&self, cx: &Context) -> Vec<TrackInfo> {
        let known: Vec<_> = self.tracks.all.iter().filter(|t| t.told != Told::Nothing).map(|t| t.id).collect();
        self.infos(cx, &known)
    }

    /// The tracks of the application, in the order in which they were published.
    pub fn present(&self) -> Vec<PresentTrack> {
        let present = |t: &Track| PresentTrack {
            id: t.sfu_name.clone(),
            name: String::new(),
            kind: t.offer.source,
            muted: t.muted,
            encrypted: false,
            received: false,
            unplayable: None,
            local: Some(PresentLocal { track: t.id, published: t.told != Told::Nothing, moderated: t.moderated }),
        };
        self.tracks.all.iter().map(present).collect()
    }

    /// How a track is offered: as the application wants it, as far as the call's settings allow it.
    fn allowed(&self, cx: &Context, offer: &AudioOffer) -> AudioOffer {
        let admission = cx.admission.as_ref();
        let dtx = offer.dtx && admission.is_some_and(|a| a.opus_dtx);
        let red = if admission.is_some_and(|a| a.opus_red) { offer.red } else { 0 };
        AudioOffer { dtx, red, ..offer.clone() }
    }

    /// Offers what the SFU does not know yet, unless a negotiation is under way (then after it).
    pub fn negotiate(&mut self, cx: &mut Context) {
        let news = self.dirty || self.ice_restart;
        if !news || self.is_busy() || !self.is_alive(cx) {
            return;
        }
        if !self.connection.is_absent() {
            return self.offer(cx);
        }
        if !self.tracks.all.is_empty() || self.wants_channels {
            self.connection.create(cx);
        }
    }

    fn offer(&mut self, cx: &mut Context) {
        self.offered = self.tracks.ids();
        // Of an offer that was not answered.
        let back = std::mem::take(&mut self.given_up);
        self.senders.splice(0..0, back);
        // What was published before a reconnect comes first: a new one that is refused must not keep it from coming back.
        let later = self.tracks.are_restored() && self.tracks.first_new().is_some();
        if later || self.alone.is_some() {
            let Self { senders, tracks, alone, offered, .. } = self;
            let waits = |id: TrackId| tracks.is_new(id) && (later || *alone != Some(id));
            offered.retain(|id| !waits(*id));
            senders.retain(|sender| !waits(sender.wanted.track));
        }
        let new = self.tracks.all.iter().filter(|t| self.offered.contains(&t.id) && !self.sends(t.id));
        let new: Vec<_> = new.map(|t| (t.id, t.name.clone(), self.allowed(cx, &t.offer))).collect();
        // Where an m-line may outlive its track, it is given up for a new one: so there are never many.
        if cx.config.dialect.tracks_end_in_sdp || !new.is_empty() {
            let all = std::mem::take(&mut self.senders);
            (self.senders, self.given_up) = all.into_iter().partition(|sender| self.tracks.has(sender.wanted.track));
            if cx.config.dialect.tracks_end_in_sdp {
                self.given_up.clear();
            }
        }
        for (track, name, offer) in new {
            self.senders.push(Sender { wanted: WantedSender { track, name, offer }, mid: String::new(), added: false });
        }
        self.dirty = later;
        if self.senders.is_empty() && !self.added && !self.wants_channels {
            // Freed before it was ever added: there is nothing to offer.
            return;
        }
        let ice_restart = std::mem::take(&mut self.ice_restart);
        self.restarting = ice_restart;
        let senders = self.senders.iter().map(|sender| sender.wanted.clone()).collect();
        let wanted = Wanted { senders, channels: self.wants_channels, ice_restart };
        self.step = Step::Offering(self.connection.op(cx, Action::Offer(wanted)));
    }

    /// Whether the engine has what it was told to have.
    fn note_added(&mut self, made: bool) {
        if !made {
            return self.senders.retain(|sender| sender.added);
        }
        for sender in &mut self.senders {
            sender.added = true;
            self.added = true;
        }
    }

    /// What the offer under way held is part of the next one.
    fn offer_again(&mut self) {
        self.offered.clear();
        self.dirty = true;
        self.ice_restart |= std::mem::take(&mut self.restarting);
    }

    pub fn on_op(
        &mut self,
        cx: &mut Context,
        generation: Generation,
        op: Op,
        result: Result<OpDone, OpFailed>,
    ) -> Settled {
        if Some(generation) != cx.transport || !self.is_open(cx) {
            cx.late();
            return Ok(());
        }
        if self.connection.created(op, result.is_ok()) {
            return match result {
                Ok(_) => {
                    self.negotiate(cx);
                    Ok(())
                }
                Err(failed) => self.failed(cx, op_error(&failed), Whose::Unsaid),
            };
        }
        let expected = matches!(&self.step, Step::Offering(o) | Step::Answering(o, _) if *o == op);
        if !expected {
            // A candidate that was added, or refused.
            cx.counters.candidates_dropped += u64::from(result.is_err());
            return Ok(());
        }
        let step = std::mem::replace(&mut self.step, Step::Idle);
        if matches!(step, Step::Offering(_)) {
            self.note_added(result.is_ok());
        }
        match (step, result) {
            (_, Err(failed)) => return self.failed(cx, op_error(&failed), Whose::Unsaid),
            // Between two sockets there is nobody to ask.
            (Step::Offering(_), Ok(OpDone::Offer { .. })) if !self.is_alive(cx) => self.offer_again(),
            (Step::Offering(_), Ok(OpDone::Offer { sdp, mids })) => self.ask(cx, sdp, mids),
            (Step::Answering(_, sdp), Ok(_)) => self.published(cx, &sdp),
            (_, Ok(_)) => {
                let error = Error::new(Code::Internal, "publish: the engine gave no offer");
                return self.failed(cx, error, Whose::Unsaid);
            }
        }
        Ok(())
    }

    fn ask(&mut self, cx: &mut Context, sdp: String, mids: Vec<String>) {
        for (sender, mid) in self.senders.iter_mut().zip(mids) {
            sender.mid = mid;
        }
        let tracks = self.infos(cx, &self.offered);
        self.tracks.set_publisher_sent(&self.offered);
        let session_id = cx.session_id.clone();
        self.step = Step::Asking(cx.request(RpcCall::SetPublisher { session_id, sdp, tracks }));
    }

    fn infos(&self, cx: &Context, which: &[TrackId]) -> Vec<TrackInfo> {
        let option = |source| {
            self.options.iter().find(|o| o.kind == source).map_or_else(
                || (0, CodecSpec { name: "opus".into(), clock_rate: 48_000, ..Default::default() }),
                |o| (o.id, o.codec.clone()),
            )
        };
        let info = |t: &Track| {
            let (publish_option_id, codec) = option(t.offer.source);
            let sender = self.senders.iter().find(|s| s.wanted.track == t.id)?;
            Some(TrackInfo {
                track_id: t.name.clone(),
                kind: t.offer.source,
                mid: sender.mid.clone(),
                muted: t.muted,
                dtx: self.allowed(cx, &t.offer).dtx,
                stereo: t.offer.stereo,
                red: self.allowed(cx, &t.offer).red > 0,
                codec,
                publish_option_id,
                layers: Vec::new(),
            })
        };
        self.tracks.all.iter().filter(|t| which.contains(&t.id)).filter_map(info).collect()
    }

    /// The reply to SetPublisher.
    pub fn on_reply(&mut self, cx: &mut Context, id: u64, result: Result<RpcReply, Failure>) -> Settled {
        if !matches!(self.step, Step::Asking(i) if i == id) {
            cx.late();
            return Ok(());
        }
        self.step = Step::Idle;
        match result {
            Ok(RpcReply::Publisher { sdp, .. }) if !sdp.is_empty() => {
                self.connection.check_identity(&sdp)?;
                let op = self.connection.op(cx, Action::SetAnswer(sdp.clone()));
                self.step = Step::Answering(op, sdp);
                Ok(())
            }
            Ok(_) => {
                let error = Error::new(Code::Protocol, "publish: the SFU's reply to SetPublisher holds no answer");
                self.failed(cx, error, Whose::Unsaid)
            }
            Err(failure) => {
                // Whether it was carried out nobody knows, nor what the SFU believes of mutes.
                self.tracks.doubt();
                let code = if failure.kind == FailureKind::Timeout { Code::Timeout } else { Code::Refused };
                let error = Error::new(code, format!("publish: SetPublisher failed: {}", failure.message))
                    .with_server_code(failure.code);
                let whose = match self.tracks.named(&failure.track_id) {
                    Some(track) => Whose::Track(track),
                    None if failure.kind == FailureKind::Sfu => Whose::Refused,
                    None => Whose::Unsaid,
                };
                self.failed(cx, error, whose)?;
                self.tell_mutes(cx);
                Ok(())
            }
        }
    }

    fn published(&mut self, cx: &mut Context, answer: &str) {
        self.given_up.clear();
        self.connection.failures = 0;
        self.first_error = None;
        self.restarting = false;
        self.connection.remote_set(cx, answer);
        self.connection.first_answer(cx);
        for id in std::mem::take(&mut self.offered) {
            // Freed meanwhile: the next offer says so.
            let Some(track) = self.tracks.get_mut(id) else { continue };
            if track.told == Told::Nothing {
                // Servers differ in whether TrackInfo.muted announces a track: tell it once more.
                track.told = Told::Unsure;
                let news = !std::mem::replace(&mut track.announced, true);
                cx.out(Output::Sending { track: id, on: true });
                if news {
                    cx.event(Event::LocalPublished { track: id });
                }
            }
        }
        if self.alone.is_some() {
            self.next_alone();
        }
        self.tell_mutes(cx);
        self.negotiate(cx);
    }

    /// The turn of the next one of those that were refused together.
    fn next_alone(&mut self) {
        self.alone = self.tracks.first_new();
        self.dirty |= self.alone.is_some();
    }

    /// One track is not to be had; the others go on.
    fn give_up(&mut self, cx: &mut Context, track: TrackId, error: Error) {
        self.tracks.remove(track);
        if self.alone.is_some() {
            self.next_alone();
        }
        // It may have been sent before a reconnect.
        cx.out(Output::Sending { track, on: false });
        cx.event(Event::LocalFailed { track, error });
        // What was offered with it is offered again; without any other track the engine takes it back with the next one.
        self.dirty = !self.tracks.all.is_empty();
        self.negotiate(cx);
    }

    /// Tried again later; after three in a row the tracks in question are given up: the one that the SFU means, or of
    /// several those that it also refuses alone.
    fn failed(&mut self, cx: &mut Context, error: Error, whose: Whose) -> Settled {
        self.connection.failures += 1;
        let first = self.first_error.get_or_insert_with(|| error.clone()).clone();
        let restarting = self.restarting;
        let alone = self.alone.filter(|track| whose == Whose::Refused && self.offered.contains(track));
        self.offer_again();
        let tried_before = alone.is_some();
        if self.connection.failures < limits::NEGOTIATION_TRIES && !tried_before {
            let wait = backoff::rpc(self.connection.failures + 1, &mut cx.rng);
            cx.timers.set(Timer::Republish, cx.now + wait);
            return Ok(());
        }
        self.connection.failures = 0;
        self.first_error = None;
        if let Whose::Track(track) = whose {
            self.give_up(cx, track, error);
            return Ok(());
        }
        // What was published is not given up: a new session may take it.
        let published = self.tracks.all.iter().any(|t| t.announced && t.told == Told::Nothing);
        if restarting || published {
            return Err(Need::Renegotiate("the publisher could not be negotiated"));
        }
        if let Some(track) = alone {
            self.give_up(cx, track, error);
            return Ok(());
        }
        if whose == Whose::Refused && self.tracks.several_new() {
            self.next_alone();
            self.negotiate(cx);
            return Ok(());
        }
        self.alone = None;
        let given_up = self.tracks.give_up();
        self.dirty = false;
        self.ice_restart = false;
        if given_up.is_empty() {
            // A change to what is published already: it stays as it was.
            cx.event(Event::Error(first.clone()));
        }
        for track in given_up {
            // It may have been sent before a reconnect.
            cx.out(Output::Sending { track, on: false });
            cx.event(Event::LocalFailed { track, error: first.clone() });
        }
        Ok(())
    }
}

/// Whose fault it is that a negotiation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Unsaid,
    /// The SFU refuses what was offered.
    Refused,
    /// The SFU refuses this one.
    Track(TrackId),
}

fn op_error(failed: &OpFailed) -> Error {
    Error::new(failed.code, format!("publish: {}", failed.message))
}
