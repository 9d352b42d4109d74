//! The publisher's negotiation: create → offer → SetPublisher → answer, one at a time.
//!
//! If the SFU uses one peer connection for both directions, the offers also contain the m-lines on which it sends.
//!
//! Each offer gives the engine the complete publisher configuration; the engine rolls back an unanswered offer by
//! itself. A failed offer is repeated a bounded number of times; everything not yet acknowledged is part of every later
//! offer. Must not know: the engine, sockets.

use super::connection::Connection;
use super::local_tracks::{LocalTracks, Sender, SfuMute, Track};
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
    /// The engine's senders in the order in which they were added; a successful offer has added them.
    senders: Vec<Sender>,
    /// Senders of ended tracks whose m-lines the pending offer reuses for new tracks. They may be needed again until it
    /// is answered.
    given_up: Vec<Sender>,
    /// A sender was added at some time: there is something to offer, even if only its removal.
    added: bool,
    /// The application sends data: the publisher is kept for that, too.
    wants_channels: bool,
    /// The SFU's publish options.
    pub options: Vec<PublishOption>,
    /// There is a change that was not offered to the SFU yet.
    dirty: bool,
    /// The tracks in the pending offer.
    offered: Vec<TrackId>,
    ice_restart: bool,
    /// The pending offer restarts ICE.
    restarting: bool,
    first_error: Option<Error>,
    /// Several new tracks were refused together and the SFU does not report which one it means. They are then offered
    /// one by one; this is the current one.
    alone: Option<TrackId>,
    /// M-lines on which the SFU sends; 0 if this connection does not receive.
    receive: u32,
    /// More of them, for the offer after the pending one.
    receive_due: Option<u32>,
    /// An answer of a connection that receives, set since the last [`Publisher::take_in_force`].
    in_force: Option<String>,
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
            receive: 0,
            receive_due: None,
            in_force: None,
        }
    }

    /// Resets for a new connection: nothing is negotiated, the tracks keep their order.
    pub fn restart(&mut self) {
        let mut former = std::mem::replace(self, Self::new());
        former.connection.restart(true);
        former.tracks.restart();
        self.connection = former.connection;
        self.tracks = former.tracks;
        self.wants_channels = former.wants_channels;
        self.options = former.options;
        // This also restores data channels: `negotiate` checks whether they are needed.
        self.dirty = true;
    }

    /// True if no negotiation is pending and the SFU has acknowledged all tracks.
    #[cfg(test)]
    pub fn is_settled(&self, cx: &Context) -> bool {
        !self.is_alive(cx) || !self.is_busy() && self.tracks.all.iter().all(|t| t.sfu_mute != SfuMute::Unknown)
    }

    /// Neither closed nor part of a lost connection; the socket may be reconnecting.
    pub fn is_open(&self, cx: &Context) -> bool {
        let needed = !cx.send_disabled || cx.one_connection;
        cx.transport.is_some() && cx.is_open() && !self.connection.is_gone() && needed
    }

    /// Open, and the SFU accepts requests.
    pub fn is_alive(&self, cx: &Context) -> bool {
        cx.is_joined() && self.is_open(cx)
    }

    fn is_busy(&self) -> bool {
        !matches!(self.step, Step::Idle) || self.connection.is_creating()
    }

    fn sends(&self, track: TrackId) -> bool {
        self.senders.iter().any(|s| s.wanted.track == track)
    }

    // Requests of the application.

    pub fn publish(&mut self, cx: &mut Context, track: TrackId, offer: AudioOffer) {
        let refusal = if !cx.is_open() {
            Some(Error::new(Code::State, "publish: the call is leaving or has ended"))
        } else if cx.send_disabled || self.connection.is_gone() {
            Some(Error::new(Code::Closed, "publish: the publisher of this call was closed"))
        } else if cx.grants.is_some_and(|g| !g.allow(offer.source)) {
            let text = match offer.source {
                TrackKind::Audio => "publish: this participant may not send audio in this call",
                _ => "publish: this participant may not share its screen in this call",
            };
            Some(Error::new(Code::Refused, text))
        } else if self.tracks.has(track) {
            // Duplicate; already in progress.
            return;
        } else if self.tracks.all.len() >= limits::TRACKS {
            Some(Error::new(Code::Limit, "publish: 32 tracks are published; free one of them first"))
        } else {
            None
        };
        if let Some(error) = refusal {
            // The track is never sent: its writer must be notified.
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
            sfu_mute: SfuMute::Unknown,
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
            self.send_mutes(cx);
        }
    }

    /// The application sends data: a publisher is needed, with or without tracks.
    pub fn want_channels(&mut self, cx: &mut Context) {
        if cx.config.dialect.data_channels && cx.is_open() && !std::mem::replace(&mut self.wants_channels, true) {
            self.dirty = true;
            self.negotiate(cx);
        }
    }

    /// Closed or freed by the application: permanent, the call continues. A connection that also receives stays.
    pub fn close(&mut self, cx: &mut Context) {
        if self.connection.is_gone() {
            return;
        }
        if cx.one_connection || cx.transport.is_none() {
            for track in self.tracks.ids() {
                self.unpublish(cx, track);
            }
            return;
        }
        if cx.is_joined() && self.connection.answered {
            // Makes the end visible to others at once: media stops, the track is muted.
            self.tracks.mute_on_close(cx);
            self.send_mutes(cx);
        }
        cx.requests.forget(PeerKind::Publisher);
        cx.timers.cancel(Timer::Republish);
        self.stop_sending(cx);
        self.connection.forget_timers(cx);
        self.end(cx);
    }

    // Receiving over this connection.

    /// The SFU uses this connection for both directions: offers it at once, with m-lines for `tracks` remote tracks.
    pub fn begin_receiving(&mut self, cx: &mut Context, tracks: usize) {
        if !self.connection.is_absent() {
            // Resumed: the next offer also restarts ICE.
            return;
        }
        let tracks = u32::try_from(tracks).unwrap_or(u32::MAX);
        self.receive = self.receive.max(tracks.clamp(1, limits::FIRST_RECEIVE_LINES));
        (self.wants_channels, self.dirty) = (true, true);
        self.negotiate(cx);
    }

    /// The SFU needs more m-lines, or only another offer.
    pub fn on_lines_needed(&mut self, cx: &mut Context, audio: u32) {
        if !cx.one_connection || !cx.subscriber_alive() || cx.receive_disabled {
            return cx.late();
        }
        if matches!(self.step, Step::Offering(_) | Step::Asking(_)) || self.connection.awaits_offer() {
            self.receive_due = Some(self.receive_due.unwrap_or(0).saturating_add(audio));
            return;
        }
        self.add_lines(cx, audio);
        self.negotiate(cx);
    }

    fn add_lines(&mut self, cx: &mut Context, audio: u32) {
        let wanted = self.receive.saturating_add(audio);
        let receive = wanted.min(limits::RECEIVE_LINES);
        if audio > 0 && receive == self.receive {
            // There is no room for more, and the SFU repeats the request after each answer.
            return cx.late();
        }
        if receive < wanted {
            let text = format!(
                "subscriber: the SFU needs more than {} m-lines to send; the tracks beyond it are not received",
                limits::RECEIVE_LINES
            );
            cx.event(Event::Error(Error::new(Code::Limit, text)));
        }
        (self.receive, self.dirty) = (receive, true);
    }

    /// Receiving was disabled: the next offer makes its m-lines inactive.
    pub fn stop_receiving(&mut self, cx: &mut Context) {
        if cx.one_connection {
            self.dirty = true;
            self.negotiate(cx);
        }
    }

    /// The answer that was just set, if this connection receives.
    pub fn take_in_force(&mut self) -> Option<String> {
        self.in_force.take()
    }

    /// Closes the peer connection.
    pub fn end(&mut self, cx: &mut Context) {
        self.connection.close(cx);
        self.step = Step::Idle;
    }

    pub fn stop_sending(&mut self, cx: &mut Context) {
        for track in std::mem::take(&mut self.tracks.all) {
            cx.out(Output::Sending { track: track.id, on: false });
        }
    }

    // Messages of the SFU.

    /// Stops and reports the tracks that the grants no longer allow.
    pub fn revoke(&mut self, cx: &mut Context, grants: Grants) {
        let revoked = self.tracks.all.iter().filter(|t| !grants.allow(t.offer.source));
        for (track, source) in revoked.map(|t| (t.id, t.offer.source)).collect::<Vec<_>>() {
            self.unpublish(cx, track);
            let text = match source {
                TrackKind::Audio => "publish: the permission to send audio was revoked",
                _ => "publish: the permission to share the screen was revoked",
            };
            cx.event(Event::LocalFailed { track, error: Error::new(Code::Refused, text) });
        }
    }

    /// A moderator muted local tracks.
    pub fn on_moderated(&mut self, cx: &mut Context, kind: TrackKind, known: Option<&RemoteTrack>) {
        if self.tracks.moderate(cx, kind, known) {
            self.send_mutes(cx);
        }
    }

    /// The SFU muted or unmuted a track, by its name.
    pub fn on_muted(&mut self, cx: &mut Context, name: &str, known: Option<&RemoteTrack>, muted: bool) {
        let Some(track) = self.tracks.named(name) else { return cx.late() };
        self.tracks.moderate_one(cx, track, known, muted);
        // Also if the application requested another state.
        self.send_mutes(cx);
    }

    /// The source of a track, by its name.
    pub fn source_of(&self, name: &str) -> TrackKind {
        self.tracks.all.iter().find(|t| t.name == name).map_or(TrackKind::Audio, |t| t.offer.source)
    }

    /// The SFU's name of a local track.
    pub fn on_named(&mut self, name: &str, sfu_name: String) {
        if let Some(track) = self.tracks.all.iter_mut().find(|t| t.name == name) {
            track.sfu_name = sfu_name;
        }
    }

    /// The SFU unpublished a track: it ends as if its permission had been revoked.
    pub fn on_unpublished(&mut self, cx: &mut Context, name: &str) {
        let Some(track) = self.tracks.named(name) else { return cx.late() };
        self.unpublish(cx, track);
        let error = Error::new(Code::Refused, "publish: the SFU unpublished the track");
        cx.event(Event::LocalFailed { track, error });
    }

    fn send_mutes(&mut self, cx: &mut Context) {
        // SetPublisher also carries mute states, and may arrive later than a mute request sent after it.
        if self.is_alive(cx) && !matches!(self.step, Step::Asking(_)) {
            self.tracks.send_mutes(cx);
        }
    }

    pub fn on_mute_reply(&mut self, cx: &mut Context, id: u64, ok: bool) {
        let alive = self.is_alive(cx);
        if self.tracks.on_mute_reply(cx, id, ok, alive) {
            self.send_mutes(cx);
        }
    }

    // Connection.

    /// The socket is closed, the peer connection stays: a pending request gets no reply.
    pub fn interrupt(&mut self, cx: &mut Context) {
        self.tracks.interrupt();
        if self.is_open(cx) && matches!(self.step, Step::Asking(_)) {
            self.offer_again();
            self.step = Step::Idle;
        }
    }

    /// Resumes on a new socket with the same peer connection: always restarts ICE and sends the mute states again.
    pub fn resume(&mut self, cx: &mut Context) {
        if !self.is_alive(cx) || !self.connection.answered || !self.connection.is_open() {
            return;
        }
        self.ice_restart = true;
        self.tracks.doubt();
        self.connection.failures = 0;
        self.send_mutes(cx);
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

    // Negotiation.

    /// The tracks known to the SFU, as described to it.
    pub fn announced(&self, cx: &Context) -> Vec<TrackInfo> {
        let known: Vec<_> = self.tracks.all.iter().filter(|t| t.sfu_mute != SfuMute::Unknown).map(|t| t.id).collect();
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
            local: Some(PresentLocal {
                track: t.id,
                published: t.sfu_mute != SfuMute::Unknown,
                moderated: t.moderated,
            }),
        };
        self.tracks.all.iter().map(present).collect()
    }

    /// How a track is offered: as requested by the application, limited by the call's settings.
    fn allowed(&self, cx: &Context, offer: &AudioOffer) -> AudioOffer {
        let admission = cx.admission.as_ref();
        let dtx = offer.dtx && admission.is_some_and(|a| a.opus_dtx);
        let red = if admission.is_some_and(|a| a.opus_red) { offer.red } else { 0 };
        AudioOffer { dtx, red, ..offer.clone() }
    }

    /// Offers the changes that the SFU does not have yet; during a negotiation, afterwards.
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
        // From an offer that was not answered.
        let back = std::mem::take(&mut self.given_up);
        self.senders.splice(0..0, back);
        // Published tracks are restored first after a reconnect: a new track that is refused must not block them.
        let mut later = self.tracks.are_restored() && self.tracks.first_new().is_some();
        // Receiving does not wait for the SFU's consent to local tracks: they follow in the second offer.
        let alone_first = cx.one_connection && !self.connection.answered;
        if alone_first {
            later = !self.tracks.all.is_empty();
            self.offered.clear();
            self.senders.clear();
        } else if later || self.alone.is_some() {
            let Self { senders, tracks, alone, offered, .. } = self;
            let waits = |id: TrackId| tracks.is_new(id) && (later || *alone != Some(id));
            offered.retain(|id| !waits(*id));
            senders.retain(|sender| !waits(sender.wanted.track));
        }
        let new = self.tracks.all.iter().filter(|t| self.offered.contains(&t.id) && !self.sends(t.id));
        let new: Vec<_> = new.map(|t| (t.id, t.name.clone(), self.allowed(cx, &t.offer))).collect();
        // An m-line that outlives its track is reused for a new one, so that their number stays small.
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
            // Freed before it was added: nothing to offer.
            return;
        }
        let ice_restart = std::mem::take(&mut self.ice_restart);
        self.restarting = ice_restart;
        let senders = self.senders.iter().map(|sender| sender.wanted.clone()).collect();
        let receive = if cx.receive_disabled { 0 } else { self.receive };
        let wanted = Wanted { senders, channels: self.wants_channels, ice_restart, receive };
        self.step = Step::Offering(self.connection.op(cx, Action::Offer(wanted)));
    }

    /// Records whether the engine has added the senders of the offer.
    fn note_added(&mut self, made: bool) {
        if !made {
            return self.senders.retain(|sender| sender.added);
        }
        for sender in &mut self.senders {
            sender.added = true;
            self.added = true;
        }
    }

    /// Includes the contents of the pending offer in the next one.
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
            // Result of adding a candidate.
            cx.counters.candidates_dropped += u64::from(result.is_err());
            return Ok(());
        }
        let step = std::mem::replace(&mut self.step, Step::Idle);
        if matches!(step, Step::Offering(_)) {
            self.note_added(result.is_ok());
        }
        match (step, result) {
            (_, Err(failed)) => return self.failed(cx, op_error(&failed), Whose::Unsaid),
            // Without a socket the offer cannot be sent.
            (Step::Offering(_), Ok(OpDone::Offer { .. })) if !self.is_alive(cx) => self.offer_again(),
            (Step::Offering(_), Ok(OpDone::Offer { sdp, mids })) => self.ask(cx, sdp, mids),
            (Step::Answering(_, sdp), Ok(_)) => self.published(cx, &sdp),
            (_, Ok(_)) => {
                let error = Error::new(Code::Internal, "publish: the engine returned no offer");
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
                let error = Error::new(Code::Protocol, "publish: the SFU's reply to SetPublisher contains no answer");
                self.failed(cx, error, Whose::Unsaid)
            }
            Err(failure) => {
                // It is unknown whether the request was executed, and which mute states the SFU has.
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
                self.send_mutes(cx);
                Ok(())
            }
        }
    }

    fn published(&mut self, cx: &mut Context, answer: &str) {
        self.given_up.clear();
        self.connection.failures = 0;
        self.first_error = None;
        self.restarting = false;
        if let Some(audio) = self.receive_due.take() {
            self.add_lines(cx, audio);
        }
        if cx.one_connection {
            self.in_force = Some(answer.to_owned());
            cx.failed_sessions = 0;
        }
        self.connection.remote_set(cx, answer);
        self.connection.first_answer(cx);
        for id in std::mem::take(&mut self.offered) {
            // Freed in the meantime: the next offer removes it.
            let Some(track) = self.tracks.get_mut(id) else { continue };
            if track.sfu_mute == SfuMute::Unknown {
                // Servers differ in whether TrackInfo.muted sets the mute state: send it again.
                track.sfu_mute = SfuMute::Unconfirmed;
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
        self.send_mutes(cx);
        self.negotiate(cx);
    }

    /// Continues with the next of the tracks that were refused together.
    fn next_alone(&mut self) {
        self.alone = self.tracks.first_new();
        self.dirty |= self.alone.is_some();
    }

    /// Gives up one track; the others continue.
    fn give_up(&mut self, cx: &mut Context, track: TrackId, error: Error) {
        self.tracks.remove(track);
        if self.alone.is_some() {
            self.next_alone();
        }
        // It may have been published before a reconnect.
        cx.out(Output::Sending { track, on: false });
        cx.event(Event::LocalFailed { track, error });
        // The other tracks of the offer are offered again. If there are none, the engine rolls the offer back on the
        // next one.
        self.dirty = cx.one_connection || !self.tracks.all.is_empty();
        self.negotiate(cx);
    }

    /// Retries later. After three consecutive failures the affected tracks are given up: the one that the SFU names,
    /// or, of several, those that it also refuses one by one.
    fn failed(&mut self, cx: &mut Context, error: Error, whose: Whose) -> Settled {
        self.connection.failures += 1;
        let first = self.first_error.get_or_insert_with(|| error.clone()).clone();
        let restarting = self.restarting;
        let alone = self.alone.filter(|track| whose == Whose::Refused && self.offered.contains(track));
        if let Some(audio) = self.receive_due.take() {
            self.add_lines(cx, audio);
        }
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
        // A published track is not given up: a new session may accept it.
        let published = self.tracks.all.iter().any(|t| t.announced && t.sfu_mute == SfuMute::Unknown);
        let receiving = cx.one_connection && self.tracks.first_new().is_none();
        if restarting || published || receiving {
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
            // The change concerns tracks that are already published: they stay unchanged.
            cx.event(Event::Error(first.clone()));
        }
        for track in given_up {
            // It may have been published before a reconnect.
            cx.out(Output::Sending { track, on: false });
            cx.event(Event::LocalFailed { track, error: first.clone() });
        }
        if cx.one_connection {
            self.dirty = true;
            self.negotiate(cx);
        }
        Ok(())
    }
}

/// What caused a negotiation to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Unsaid,
    /// The SFU refused the offer.
    Refused,
    /// The SFU refused this track.
    Track(TrackId),
}

fn op_error(failed: &OpFailed) -> Error {
    Error::new(failed.code, format!("publish: {}", failed.message))
}
