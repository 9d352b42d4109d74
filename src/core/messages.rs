//! What the SFU says on its socket: liveness, roster, and who a remote track belongs to.
//!
//! Every message is checked against the generation first. What is unknown is counted and ignored;
//! what comes before JoinResponse is kept (bounded) and handled after it.

use super::roster::Upsert;
use super::{limits, model::*, Core, End, EndReason, Event, Output, Phase, RemoteId, Timer};
use crate::error::{Code, Error};
use std::time::Duration;

/// Media that arrives; bound once its participant is known (it may come first).
#[derive(Debug)]
pub(super) struct Remote {
    pub id: RemoteId,
    /// Whose peer connection carries it.
    transport: Generation,
    owner: Option<MediaOwner>,
    bound_to: Option<Bound>,
    /// Its participant was known once, and may have left since.
    introduced: bool,
}

/// Who hears it as what: session id, kind, and the track where protocols name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    session_id: String,
    kind: TrackKind,
    track_id: String,
}

impl Remote {
    pub fn is_orphan(&self) -> bool {
        self.owner.is_some() && !self.introduced
    }
}

/// How a participant came to be known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Snapshot,
    Joined,
    Updated,
    /// At any time, but whole.
    Whole,
}

impl Core {
    pub(super) fn on_message(&mut self, now: Duration, generation: Generation, message: SfuMessage) {
        if let SfuMessage::SubscriberOffer { sdp, negotiation_id, .. } = message {
            if self.is_current(generation) && self.phase == Phase::Joining {
                let held = SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id };
                return self.hold(held);
            }
            if self.is_current(generation) {
                self.heard(now);
            }
            return self.on_offer(now, generation, sdp, negotiation_id);
        }
        if message == SfuMessage::LateOffer {
            if self.is_current(generation) {
                self.heard(now);
            }
            return self.drop_offer("late offer dropped: the SFU has said it before", generation);
        }
        if self.is_old_leg(generation) && self.is_open() {
            return self.on_old_message(now, message);
        }
        if !self.is_current(generation) || !self.is_open() {
            return self.late();
        }
        self.heard(now);
        match (self.phase, message) {
            (Phase::Joining, SfuMessage::Joined(joined)) => self.on_joined(now, *joined),
            (Phase::Joining, SfuMessage::Error { error, .. }) => {
                let failure = Failure {
                    code: error.code,
                    should_retry: error.should_retry,
                    ..Failure::new(FailureKind::Sfu, error.message)
                };
                self.join_attempt_failed(now, "the SFU", failure, true);
            }
            (Phase::Joining, SfuMessage::CallEnded(reason)) => self.on_call_ended(now, reason),
            (Phase::Joining, SfuMessage::Advice { strategy, why, leave_edge }) => {
                self.on_advice_while_joining(now, strategy, why, leave_edge)
            }
            (Phase::Joining, SfuMessage::Token(token)) => self.on_fresh_token(token),
            (Phase::Joining, message) => self.hold(message),
            (Phase::Joined, message) => self.dispatch(now, message),
            _ => self.late(),
        }
    }

    fn hold(&mut self, message: SfuMessage) {
        let is_offer = |m: &SfuMessage| matches!(m, SfuMessage::SubscriberOffer { .. });
        // Counted apart: no flood of other messages may cost an offer, which nobody repeats.
        let offers = self.held.iter().filter(|m| is_offer(m)).count();
        let has_room = match is_offer(&message) {
            true => offers < limits::QUEUED_OFFERS,
            false => self.held.len() - offers < limits::HELD_MESSAGES,
        };
        match (has_room, is_offer(&message)) {
            (true, _) => self.held.push_back(message),
            (false, true) => self.drop_offer("late offer dropped: too many before JoinResponse", self.generation),
            (false, false) => self.late(),
        }
    }

    /// A sign of life.
    pub(super) fn heard(&mut self, now: Duration) {
        if self.phase == Phase::Joined {
            self.timers.set(Timer::HealthSilent, now + self.health.silent);
        }
    }

    pub(super) fn ping(&mut self, now: Duration) {
        if self.phase == Phase::Joined {
            let generation = self.generation;
            self.out(Output::Send { generation, request: SfuRequest::Health });
            self.timers.set(Timer::HealthPing, now + self.health.ping);
        }
    }

    pub(super) fn on_silence(&mut self, now: Duration) {
        if self.phase == Phase::Joined {
            self.forget_socket(limits::CLOSE_UNHEALTHY, "silent too long");
            let why = format!("nothing was heard from the SFU for {} s", self.health.silent.as_secs());
            self.reconnect(now, Strategy::Fast, &why);
        }
    }

    /// A message of the current generation in a joined call.
    pub(super) fn dispatch(&mut self, now: Duration, message: SfuMessage) {
        if self.phase != Phase::Joined {
            if let SfuMessage::SubscriberOffer { .. } = message {
                return self.drop_offer("late offer dropped: the call is leaving", self.generation);
            }
            return self.late();
        }
        match message {
            SfuMessage::Joined(_) => self.late(),
            SfuMessage::SubscriberOffer { sdp, negotiation_id, .. } => {
                self.on_offer(now, self.generation, sdp, negotiation_id)
            }
            SfuMessage::LateOffer => self.late(),
            SfuMessage::PublisherAnswer => self.counters.unknown += 1,
            SfuMessage::IceTrickle { peer, candidate } => self.on_remote_candidate(peer, candidate),
            SfuMessage::IceRestart { peer: PeerKind::Publisher } => self.restart_publisher_ice(now),
            // The SFU offers by itself.
            SfuMessage::IceRestart { peer: PeerKind::Subscriber } => {}
            // One layer of audio: there is nothing to switch.
            SfuMessage::ChangePublishQuality(_) => {}
            SfuMessage::ChangePublishOptions(options) => self.publish_options = options,
            SfuMessage::ConnectionQuality(list) => self.on_quality(list),
            SfuMessage::AudioLevels(list) => self.on_levels(list),
            SfuMessage::DominantSpeaker { session_id } => self.on_dominant(&session_id),
            SfuMessage::ParticipantJoined(p) => self.on_participant(*p, News::Joined),
            SfuMessage::ParticipantUpdated(p) => self.on_participant(*p, News::Updated),
            SfuMessage::ParticipantState(p) => self.on_participant(*p, News::Whole),
            SfuMessage::ParticipantLeft { session_id, .. } => self.on_participant_left(&session_id),
            SfuMessage::TrackPublished { session_id, kind, participant, .. } => {
                if let Some(p) = participant {
                    self.on_participant(*p, News::Updated);
                }
                self.on_track_published(&session_id, kind.into());
            }
            SfuMessage::TrackUnpublished { session_id, kind, cause, participant, .. } => {
                // First: who is new comes with the tracks of before.
                if let Some(p) = participant {
                    self.on_participant(*p, News::Updated);
                }
                self.on_track_unpublished(&session_id, &kind.into(), cause);
            }
            SfuMessage::Health(counts) => {
                if counts != self.counts {
                    self.counts = counts;
                    self.event(Event::Counts(counts));
                }
            }
            SfuMessage::InboundState(_) => {}
            SfuMessage::Grants(grants) => self.on_grants(now, grants),
            SfuMessage::Pins(pins) => self.event(Event::Pins(pins)),
            SfuMessage::GoAway { .. } => self.reconnect(now, Strategy::Migrate, "the SFU asked its clients to leave"),
            SfuMessage::MigrationComplete => self.late(),
            SfuMessage::Alive => {}
            SfuMessage::Token(token) => self.on_fresh_token(token),
            SfuMessage::Room(room) => self.event(Event::Room(room)),
            SfuMessage::LocalMuted { track_id, muted } => self.on_local_muted(&track_id, muted),
            SfuMessage::LocalUnpublished { track_id } => self.on_local_unpublished(now, &track_id),
            SfuMessage::Subscribable { track_id, session_id, allowed } => {
                let user_id = self.roster.get(&session_id).map(|p| p.user_id.clone()).unwrap_or_default();
                self.event(Event::Subscribable { user_id, session_id, track_id, allowed });
            }
            SfuMessage::Advice { strategy, why, leave_edge } => {
                if leave_edge {
                    self.leave_edge();
                }
                self.reconnect(now, strategy, &why);
            }
            SfuMessage::CallEnded(reason) => self.on_call_ended(now, reason),
            SfuMessage::Error { error, strategy } => self.on_sfu_error(now, error, strategy),
            SfuMessage::Unknown => self.counters.unknown += 1,
        }
    }

    fn on_sfu_error(&mut self, now: Duration, error: SfuError, strategy: Strategy) {
        let told = Error::new(Code::Refused, format!("the SFU reports error {}: {}", error.code, error.message))
            .with_server_code(error.code);
        match strategy {
            Strategy::Unspecified => self.event(Event::Error(told)),
            Strategy::Disconnect => {
                let text = told.message.to_string();
                let end = End { reason: EndReason::Disconnected, error: Some(told), text };
                self.leave(now, end, Some("disconnected by the SFU".into()));
            }
            Strategy::Fast | Strategy::Rejoin | Strategy::Migrate => {
                let text = told.message.to_string();
                self.event(Event::Error(told));
                self.reconnect(now, strategy, &text);
            }
        }
    }

    pub(super) fn on_call_ended(&mut self, now: Duration, reason: CallEndedReason) {
        let (reason, text) = match reason {
            CallEndedReason::Kicked => (EndReason::Kicked, "removed from the call"),
            CallEndedReason::LiveEnded => (EndReason::SessionEnded, "the livestream ended"),
            CallEndedReason::SessionEnded => (EndReason::SessionEnded, "the session ended"),
            CallEndedReason::Replaced => (EndReason::Replaced, "somebody else has joined as this participant"),
            CallEndedReason::Disconnected => (EndReason::Disconnected, "disconnected by the SFU"),
            CallEndedReason::Ended | CallEndedReason::Unspecified => (EndReason::CallEnded, "the call ended"),
        };
        self.leave(now, End { reason, error: None, text: text.into() }, None);
    }

    pub(super) fn on_grants(&mut self, now: Duration, grants: Grants) {
        if self.grants.replace(grants) == Some(grants) {
            return;
        }
        self.event(Event::Grants(grants));
        if !grants.audio {
            self.revoke_audio(now);
        }
    }

    pub(super) fn on_participant(&mut self, mut p: Participant, news: News) {
        if self.former_sessions.contains(&p.session_id) {
            // What this participant was before it came back is nobody else.
            return;
        }
        let is_self = p.session_id == self.session_id;
        let session_id = p.session_id.clone();
        let known = self.roster.get(&session_id).cloned();
        if news == News::Whole {
            // What is measured comes by messages of its own.
            if let Some(known) = &known {
                (p.quality, p.audio_level) = (known.quality, known.audio_level);
                (p.is_speaking, p.is_dominant) = (known.is_speaking, known.is_dominant);
            }
        }
        // Only join and snapshot speak of all tracks; an update patches the person.
        let tracks = std::mem::take(&mut p.published);
        let former = known.as_ref().map(|k| k.published.clone());
        p.published = former.clone().unwrap_or_default();
        let changed = known.as_ref() != Some(&p);
        match self.roster.upsert(p.clone()) {
            Upsert::Refused => return,
            Upsert::New if !is_self => self.event(Event::ParticipantJoined(Box::new(p))),
            Upsert::Known if !is_self && changed => self.event(Event::ParticipantUpdated(Box::new(p))),
            _ => {}
        }
        if news == News::Whole {
            self.take_tracks(&session_id, former.unwrap_or_default(), tracks);
        } else if news != News::Updated || known.is_none() {
            for track in tracks {
                self.on_track_published(&session_id, track);
            }
        }
        self.bind_remotes();
    }

    /// All tracks of a participant replace those of before.
    fn take_tracks(&mut self, session_id: &str, former: Vec<RemoteTrack>, tracks: Vec<RemoteTrack>) {
        for old in former {
            let now = tracks.iter().find(|t| (&t.id, t.kind) == (&old.id, old.kind));
            match now {
                None => {
                    self.forget_wish(&old.id);
                    self.on_track_unpublished(session_id, &old, UnpublishCause::Unspecified);
                }
                Some(now) if now.muted && !old.muted => {
                    self.on_track_unpublished(session_id, &old, UnpublishCause::UserMuted);
                }
                Some(_) => {}
            }
        }
        for track in tracks {
            self.on_track_published(session_id, track);
        }
    }

    fn on_participant_left(&mut self, session_id: &str) {
        let Some(p) = self.roster.remove(session_id) else { return };
        if session_id == self.session_id {
            // Why, is told otherwise.
            return;
        }
        for index in 0..self.remotes.len() {
            if self.remotes[index].bound_to.as_ref().is_some_and(|b| b.session_id == session_id) {
                self.remotes[index].bound_to = None;
                let id = self.remotes[index].id;
                self.out(Output::Unbind { id });
            }
        }
        for track in p.published.clone() {
            self.forget_wish(&track.id);
            if !track.muted {
                self.event(Event::TrackUnpublished {
                    user_id: p.user_id.clone(),
                    session_id: p.session_id.clone(),
                    track,
                    cause: UnpublishCause::Unspecified,
                });
            }
        }
        self.forget_data_of(&p.user_id);
        self.event(Event::ParticipantLeft(Box::new(p)));
    }

    fn on_track_published(&mut self, session_id: &str, track: RemoteTrack) {
        if self.roster.publish(session_id, &track) && session_id != self.session_id {
            let user_id = self.roster.get(session_id).map(|p| p.user_id.clone()).unwrap_or_default();
            self.event(Event::TrackPublished { user_id, session_id: session_id.to_owned(), track });
            self.want_nothing();
        }
    }

    fn on_track_unpublished(&mut self, session_id: &str, track: &RemoteTrack, cause: UnpublishCause) {
        if session_id == self.session_id && cause == UnpublishCause::Moderation {
            self.on_moderated(track.kind);
        }
        if self.roster.unpublish(session_id, track) && session_id != self.session_id {
            let user_id = self.roster.get(session_id).map(|p| p.user_id.clone()).unwrap_or_default();
            let (session_id, track) = (session_id.to_owned(), track.clone());
            self.event(Event::TrackUnpublished { user_id, session_id, track, cause });
        }
    }

    fn on_quality(&mut self, list: Vec<(String, Quality)>) {
        for (session_id, quality) in list {
            let Some(p) = self.roster.get_mut(&session_id) else { continue };
            if p.quality != quality {
                p.quality = quality;
                let user_id = p.user_id.clone();
                self.event(Event::Quality { user_id, session_id, quality });
            }
        }
    }

    fn on_levels(&mut self, list: Vec<(String, f32, bool)>) {
        for (session_id, level, speaking) in list {
            let Some(p) = self.roster.get_mut(&session_id) else { continue };
            let level = if level.is_finite() { level.clamp(0.0, 1.0) } else { 0.0 };
            (p.audio_level, p.is_speaking) = (level, speaking);
            let user_id = p.user_id.clone();
            self.event(Event::AudioLevel { user_id, session_id, level, speaking });
        }
    }

    fn on_dominant(&mut self, session_id: &str) {
        let mut speaker = None;
        let former: Vec<_> = self.roster.iter().filter(|p| p.is_dominant).map(|p| p.session_id.clone()).collect();
        for old in former {
            if let Some(p) = self.roster.get_mut(&old) {
                p.is_dominant = false;
            }
        }
        if let Some(p) = self.roster.get_mut(session_id) {
            p.is_dominant = true;
            speaker = Some(p.user_id.clone());
        }
        if let Some(user_id) = speaker {
            self.event(Event::DominantSpeaker { user_id, session_id: session_id.to_owned() });
        }
    }

    pub(super) fn on_remote_track(
        &mut self,
        now: Duration,
        generation: Generation,
        id: RemoteId,
        owner: Option<MediaOwner>,
    ) {
        let in_use = Some(generation) == self.transport && self.subscriber_open();
        // The old connection of a migration plays on.
        let plays_on = self.is_old_transport(generation) && !self.subscriber.is_gone();
        if !in_use && !plays_on || !self.is_open() {
            return self.late();
        }
        if self.subscriber.deaf {
            self.out(Output::Unbind { id });
            return self.late();
        }
        if self.remotes.len() >= limits::REMOTE_TRACKS {
            return self.late();
        }
        self.remotes.push(Remote { id, transport: generation, owner, bound_to: None, introduced: false });
        self.bind_remotes();
        if self.subscriber.has_orphans(&self.remotes) && !self.timers.is_set(Timer::Orphans) {
            self.timers.set(Timer::Orphans, now + limits::ORPHANS);
        }
    }

    /// The word who somebody is was lost: a resume tells of everybody. Once for each peer connection.
    pub(super) fn on_orphans(&mut self, now: Duration) {
        let resumes_tell = self.config.dialect.admits_at_socket;
        if resumes_tell && self.phase == Phase::Joined && self.subscriber.has_orphans(&self.remotes) {
            self.subscriber.asked_for_orphans = true;
            let orphan = self.remotes.iter().filter(|r| r.is_orphan()).find_map(|r| r.owner.as_ref());
            let whose = orphan.map_or("", |o| o.prefix.as_str());
            let why = format!("media came of somebody whom the SFU did not introduce ({whose})");
            self.reconnect(now, Strategy::Fast, &why);
        }
    }

    /// Matches media that has no owner yet with the participants known now.
    fn bind_remotes(&mut self) {
        for index in 0..self.remotes.len() {
            let remote = &self.remotes[index];
            if remote.bound_to.is_some() {
                continue;
            }
            let Some(named) = &remote.owner else { continue };
            let Some((owner, kind)) = self.roster.owner(named) else { continue };
            let (user_id, session_id) = (owner.user_id.clone(), owner.session_id.clone());
            let id = remote.id;
            let transport = self.remotes[index].transport;
            let track_id = named.track_id.clone();
            let whose = Some(Bound { session_id: session_id.clone(), kind, track_id });
            self.remotes[index].bound_to.clone_from(&whose);
            self.remotes[index].introduced = true;
            // The same media over the connection that a migration leaves: from here on it is heard once.
            for other in 0..self.remotes.len() {
                let old = &mut self.remotes[other];
                if old.bound_to == whose && old.transport < transport {
                    (old.bound_to, old.owner) = (None, None);
                    let id = old.id;
                    self.out(Output::Unbind { id });
                }
            }
            self.out(Output::Bind { id, user_id, session_id, kind });
        }
    }

    /// Their peer connection is closed.
    pub(super) fn unbind_remotes_of(&mut self, transport: Generation) {
        for remote in std::mem::take(&mut self.remotes) {
            if remote.transport == transport {
                self.out(Output::Unbind { id: remote.id });
            } else {
                self.remotes.push(remote);
            }
        }
    }

    /// The SFU's picture of the call replaces ours; the differences are told.
    pub(super) fn reconcile(&mut self, snapshot: Vec<Participant>) {
        if snapshot.is_empty() {
            // We are in every picture of the call: without us it is none.
            return;
        }
        let mut known: Vec<_> = self.roster.iter().map(|p| p.session_id.clone()).collect();
        known.sort_unstable();
        for session_id in known {
            if !snapshot.iter().any(|p| p.session_id == session_id) && session_id != self.session_id {
                self.on_participant_left(&session_id);
            }
        }
        for participant in snapshot {
            let session_id = participant.session_id.clone();
            let former = self.roster.get(&session_id).map(|p| p.published.clone()).unwrap_or_default();
            let tracks = participant.published.clone();
            for old in former {
                if !tracks.iter().any(|t| t.id == old.id) {
                    self.forget_wish(&old.id);
                }
                if !tracks.iter().any(|t| (&t.id, t.kind, t.muted) == (&old.id, old.kind, old.muted)) {
                    self.on_track_unpublished(&session_id, &old, UnpublishCause::Unspecified);
                }
            }
            self.on_participant(participant, News::Snapshot);
        }
    }
}
