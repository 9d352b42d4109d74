//! The publisher's negotiation: create → offer → SetPublisher → answer, one at a time.
//!
//! The engine is told all that is wanted with each offer, and takes an offer that was not answered back by itself. What
//! fails is offered again a bounded number of times; what was never acknowledged is part of every later offer. Must not know: the engine, sockets.

use super::connection::Connection;
use super::local_tracks::{LocalTracks, Sender, Told, Track};
use crate::core::context::{Context, Need, Settled};
use crate::core::{
    backoff, limits, model::*, timers::Timer, Action, AudioOffer, Event, Op, OpDone, OpFailed, Output, TrackId, Wanted,
    WantedSender,
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
    /// Senders ever added: their m-lines stay in the description (RFC 8829, section 5.2.2).
    added: usize,
    /// The application sends data: the publisher is kept for it, too.
    wants_channels: bool,
    mids: Vec<String>,
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
}

impl Publisher {
    pub fn new() -> Self {
        Self {
            connection: Connection::new(PeerKind::Publisher, true),
            step: Step::Idle,
            tracks: LocalTracks::default(),
            senders: Vec::new(),
            added: 0,
            wants_channels: false,
            mids: Vec::new(),
            options: Vec::new(),
            dirty: false,
            offered: Vec::new(),
            ice_restart: false,
            restarting: false,
            first_error: None,
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
        } else if cx.grants.is_some_and(|g| !g.audio) {
            Some(Error::new(Code::Refused, "publish: this participant may not send audio in this call"))
        } else if !self.tracks.all.is_empty() {
            Some(Error::new(Code::State, "publish: an audio track is already published; free it first"))
        } else if self.added >= limits::TRACKS {
            Some(Error::new(Code::Limit, "publish: this call has published 32 tracks; mute instead of publishing anew"))
        } else {
            None
        };
        if let Some(error) = refusal {
            // It is never sent: who writes to it is to know.
            cx.out(Output::Sending { track, on: false });
            return cx.event(Event::LocalFailed { track, error });
        }
        let (name, muted, told) = (cx.rng.uuid(), offer.muted, Told::Nothing);
        self.tracks.all.push(Track { id: track, offer, name, muted, moderated: false, told, announced: false });
        self.dirty = true;
        self.negotiate(cx);
    }

    pub fn unpublish(&mut self, cx: &mut Context, track: TrackId) {
        if !self.tracks.remove(track) {
            return;
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
            self.tracks.mute_at_last();
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

    /// The grants no longer allow audio: stop, and report it.
    pub fn revoke_audio(&mut self, cx: &mut Context) {
        for track in self.tracks.ids() {
            self.unpublish(cx, track);
            let error = Error::new(Code::Refused, "publish: the right to send audio was taken away");
            cx.event(Event::LocalFailed { track, error });
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
        if cx.config.dialect.tracks_end_in_sdp {
            self.senders.retain(|sender| self.tracks.has(sender.wanted.track));
        }
        let new: Vec<_> = self.tracks.all.iter().filter(|track| !self.sends(track.id)).collect();
        let new: Vec<_> = new.into_iter().map(|t| (t.id, t.name.clone(), self.allowed(cx, &t.offer))).collect();
        for (track, name, offer) in new {
            self.senders.push(Sender { wanted: WantedSender { track, name, offer }, added: false });
        }
        self.dirty = false;
        if self.senders.is_empty() && self.added == 0 && !self.wants_channels {
            // Freed before it was ever added: there is nothing to offer.
            return;
        }
        let ice_restart = std::mem::take(&mut self.ice_restart);
        self.restarting = ice_restart;
        self.offered = self.tracks.ids();
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
            self.added += usize::from(!std::mem::replace(&mut sender.added, true));
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
                Err(failed) => self.failed(cx, op_error(&failed)),
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
            (_, Err(failed)) => return self.failed(cx, op_error(&failed)),
            // Between two sockets there is nobody to ask.
            (Step::Offering(_), Ok(OpDone::Offer { .. })) if !self.is_alive(cx) => self.offer_again(),
            (Step::Offering(_), Ok(OpDone::Offer { sdp, mids })) => self.ask(cx, sdp, mids),
            (Step::Answering(_, sdp), Ok(_)) => self.published(cx, &sdp),
            (_, Ok(_)) => return self.failed(cx, Error::new(Code::Internal, "publish: the engine gave no offer")),
        }
        Ok(())
    }

    fn ask(&mut self, cx: &mut Context, sdp: String, mids: Vec<String>) {
        self.mids = mids;
        let tracks = self.infos(cx, &self.offered);
        self.tracks.set_publisher_sent(&self.offered);
        let session_id = cx.session_id.clone();
        self.step = Step::Asking(cx.request(RpcCall::SetPublisher { session_id, sdp, tracks }));
    }

    fn infos(&self, cx: &Context, which: &[TrackId]) -> Vec<TrackInfo> {
        let option = self.options.iter().find(|o| o.kind == TrackKind::Audio);
        let (option_id, codec) = option.map_or_else(
            || (0, CodecSpec { name: "opus".into(), clock_rate: 48_000, ..Default::default() }),
            |o| (o.id, o.codec.clone()),
        );
        let info = |t: &Track| {
            let index = self.senders.iter().position(|s| s.wanted.track == t.id)?;
            Some(TrackInfo {
                track_id: t.name.clone(),
                kind: TrackKind::Audio,
                mid: self.mids.get(index).cloned().unwrap_or_default(),
                muted: t.muted,
                dtx: self.allowed(cx, &t.offer).dtx,
                stereo: t.offer.stereo,
                red: self.allowed(cx, &t.offer).red > 0,
                codec: codec.clone(),
                publish_option_id: option_id,
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
                self.failed(cx, error)
            }
            Err(failure) => {
                // Whether it was carried out nobody knows, nor what the SFU believes of mutes.
                self.tracks.doubt();
                let code = if failure.kind == FailureKind::Timeout { Code::Timeout } else { Code::Refused };
                let error = Error::new(code, format!("publish: SetPublisher failed: {}", failure.message))
                    .with_server_code(failure.code);
                self.failed(cx, error)?;
                self.tell_mutes(cx);
                Ok(())
            }
        }
    }

    fn published(&mut self, cx: &mut Context, answer: &str) {
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
        self.tell_mutes(cx);
        self.negotiate(cx);
    }

    /// Tried again later; after three in a row the tracks in question are given up.
    fn failed(&mut self, cx: &mut Context, error: Error) -> Settled {
        self.connection.failures += 1;
        let first = self.first_error.get_or_insert(error).clone();
        let restarting = self.restarting;
        self.offer_again();
        if self.connection.failures < limits::NEGOTIATION_TRIES {
            let wait = backoff::rpc(self.connection.failures + 1, &mut cx.rng);
            cx.timers.set(Timer::Republish, cx.now + wait);
            return Ok(());
        }
        self.connection.failures = 0;
        self.first_error = None;
        // What was published is not given up: a new session may take it.
        let published = self.tracks.all.iter().any(|t| t.announced && t.told == Told::Nothing);
        if restarting || published {
            return Err(Need::Renegotiate("the publisher could not be negotiated"));
        }
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

fn op_error(failed: &OpFailed) -> Error {
    Error::new(failed.code, format!("publish: {}", failed.message))
}
