//! Participants, their tracks, received media and subscription settings.
//!
//! Updates from an SFU may be partial, duplicate and out of order; differences become events. Must not know: sockets,
//! the engine, where an update came from.

pub(super) mod present;
mod remotes;
pub(super) mod roster;
mod subscriptions;

pub(super) use remotes::{on_unassigned_ssrc, Arrived, Remotes};

use super::context::Context;
use super::messaging::Messaging;
use super::{model::*, Event};
use crate::error::{Code, Error};
use roster::{Roster, TrackNews, Upsert, MAX_BYTES, MAX_PARTICIPANTS, MAX_TRACKS};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};
use subscriptions::Subscriptions;

/// Maximum number of remembered replaced sessions.
const MAX_REPLACED: usize = 256;
/// Maximum number of remembered former local sessions, so that none is shown as a participant.
const FORMER_SESSIONS: usize = 32;

/// Kind of a participant update.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Snapshot,
    Joined,
    Updated,
    /// Complete state, at any time.
    Whole,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    pub roster: Roster,
    pub counts: Counts,
    pub remotes: Remotes,
    subscriptions: Subscriptions,
    /// Former local sessions.
    former_sessions: Vec<String>,
    /// Remote sessions that ended because their participant has a new one.
    replaced: VecDeque<String>,
    /// The full roster was reported to the application.
    refusal_reported: bool,
}

impl Room {
    // Participants.

    /// Replaces the roster with the SFU's snapshot; reports the differences.
    pub fn reconcile(&mut self, cx: &mut Context, messaging: &mut Messaging, snapshot: Vec<Participant>) {
        if snapshot.is_empty() {
            // Every snapshot contains the local participant: an empty one is invalid.
            return;
        }
        let present = snapshot.iter().map(|p| p.session_id.as_str()).collect();
        let users = match cx.config.dialect.identity_is_unique {
            true => snapshot.iter().map(|p| p.user_id.as_str()).collect(),
            false => HashSet::new(),
        };
        self.leave_out(cx, messaging, &present, &users);
        for participant in snapshot {
            self.on_participant(cx, messaging, participant, News::Snapshot);
        }
    }

    pub fn on_participant(&mut self, cx: &mut Context, messaging: &mut Messaging, mut p: Participant, news: News) {
        let replaced = self.replaced.contains(&p.session_id) && news != News::Snapshot;
        if replaced || self.former_sessions.contains(&p.session_id) {
            // A former local session is not another participant, and a replaced session does not return.
            return;
        }
        let is_self = p.session_id == cx.session_id;
        let session_id = p.session_id.clone();
        let joins = !session_id.is_empty() && self.roster.get(&session_id).is_none();
        if joins && !is_self && cx.config.dialect.identity_is_unique {
            self.replace_sessions_of(cx, messaging, &p.user_id);
        }
        p.local = is_self;
        // Only a complete state lists all tracks; an update changes only the participant.
        let tracks = std::mem::take(&mut p.published);
        let known = self.roster.shared(&session_id);
        if let Some(known) = &known {
            p.share_texts(known);
            p.published.clone_from(&known.published);
            if news == News::Whole {
                // Measurements arrive in separate messages.
                (p.quality, p.audio_level) = (known.quality, known.audio_level);
                (p.is_speaking, p.is_dominant) = (known.is_speaking, known.is_dominant);
            }
        }
        let changed = known.as_deref() != Some(&p);
        let is_new = known.is_none();
        let former = p.published.clone();
        let p = Arc::new(p);
        match self.roster.upsert(p.clone()) {
            Upsert::Refused if session_id.is_empty() => return,
            Upsert::Refused => return self.refuse(cx, "participants"),
            Upsert::New if !is_self => cx.event(Event::ParticipantJoined(p)),
            Upsert::New | Upsert::Known if changed => cx.event(Event::ParticipantUpdated(p)),
            _ => {}
        }
        if matches!(news, News::Whole | News::Snapshot) {
            self.take_tracks(cx, &session_id, former, tracks);
        } else if news != News::Updated || is_new {
            for track in tracks {
                self.on_track_published(cx, &session_id, track);
            }
        }
        self.bind(cx);
    }

    /// A join under an identity ends its previous session, whether or not the SFU reports that.
    fn replace_sessions_of(&mut self, cx: &mut Context, messaging: &mut Messaging, user_id: &str) {
        for former in self.roster.sessions_of(user_id) {
            if former != cx.session_id {
                self.on_participant_left(cx, messaging, &former, LeaveReason::REPLACED);
                if self.replaced.len() >= MAX_REPLACED {
                    self.replaced.pop_front();
                }
                // An outdated update must not restore it.
                self.replaced.push_back(former);
            }
        }
    }

    /// A limit is reached: reported once.
    fn refuse(&mut self, cx: &mut Context, what: &str) {
        if !std::mem::replace(&mut self.refusal_reported, true) {
            let text = format!(
                "roster: limit of {what} exceeded ({MAX_PARTICIPANTS} participants, {MAX_TRACKS} tracks of each, \
                 {MAX_BYTES} bytes in all)"
            );
            cx.event(Event::Error(Error::new(Code::Limit, text)));
        }
    }

    pub fn on_participant_left(
        &mut self,
        cx: &mut Context,
        messaging: &mut Messaging,
        session_id: &str,
        reason: LeaveReason,
    ) {
        let Some(mut p) = self.roster.remove(session_id) else { return };
        if session_id == cx.session_id {
            // The reason is reported elsewhere.
            return;
        }
        Arc::make_mut(&mut p).reason = reason;
        self.remotes.release(cx, session_id, None, true);
        self.remotes.forget(cx, &p.track_prefix, None);
        for track in p.published.clone() {
            self.subscriptions.forget(cx, &self.roster, &track.id);
            cx.event(Event::TrackUnpublished {
                user_id: p.user_id.clone(),
                session_id: p.session_id.clone(),
                track,
                cause: UnpublishCause::Unspecified,
            });
        }
        self.subscriptions.follow_screens(cx, &self.roster);
        if !self.roster.has_user(&p.user_id) {
            messaging.forget(cx, &p.user_id);
        }
        cx.event(Event::ParticipantLeft(p));
    }

    /// The SFU listed all present sessions: those missing have left, without a message that reached this client.
    pub fn on_present(&mut self, cx: &mut Context, messaging: &mut Messaging, sessions: &[String]) {
        let present: HashSet<&str> = sessions.iter().map(String::as_str).collect();
        if present.contains(cx.session_id.as_str()) {
            self.leave_out(cx, messaging, &present, &HashSet::new());
        }
    }

    /// Removes all participants that are not in `present`; `users`: users that are present with another session.
    fn leave_out(
        &mut self,
        cx: &mut Context,
        messaging: &mut Messaging,
        present: &HashSet<&str>,
        users: &HashSet<&str>,
    ) {
        let missing = |p: &&Participant| !present.contains(p.session_id.as_str()) && p.session_id != cx.session_id;
        let mut gone: Vec<_> =
            self.roster.iter().filter(missing).map(|p| (p.session_id.clone(), p.user_id.clone())).collect();
        gone.sort_unstable();
        for (session_id, user_id) in gone {
            let replaced = cx.config.dialect.identity_is_unique && users.contains(user_id.as_str());
            let reason = if replaced { LeaveReason::REPLACED } else { LeaveReason::UNKNOWN };
            self.on_participant_left(cx, messaging, &session_id, reason);
        }
    }

    /// A local session has ended; further messages about it are ignored.
    pub fn retire_session(&mut self, session_id: String) {
        self.roster.remove(&session_id);
        if self.former_sessions.len() >= FORMER_SESSIONS {
            self.former_sessions.remove(0);
        }
        self.former_sessions.push(session_id);
    }

    fn user_of(&self, session_id: &str) -> String {
        self.roster.get(session_id).map(|p| p.user_id.clone()).unwrap_or_default()
    }

    /// The call has ended.
    pub fn clear(&mut self) {
        self.roster.clear();
    }

    // Tracks.

    /// A local track, as described by the SFU.
    pub fn local_track(&self, session_id: &str, kind: TrackKind) -> Option<&RemoteTrack> {
        self.roster.get(session_id)?.published.iter().find(|t| t.kind == kind)
    }

    /// Replaces all tracks of a participant.
    fn take_tracks(&mut self, cx: &mut Context, session_id: &str, former: Vec<RemoteTrack>, tracks: Vec<RemoteTrack>) {
        for old in former {
            let now = tracks.iter().find(|t| (&t.id, t.kind) == (&old.id, old.kind));
            match now {
                None => {
                    self.subscriptions.forget(cx, &self.roster, &old.id);
                    self.on_track_unpublished(cx, session_id, &old, UnpublishCause::Unspecified);
                }
                Some(now) if now.muted && self.roster.mute(session_id, now) => {
                    self.track_unpublished(cx, session_id, now.clone(), UnpublishCause::UserMuted, false);
                }
                Some(_) => {}
            }
        }
        for track in tracks {
            self.on_track_published(cx, session_id, track);
        }
    }

    pub fn on_track_published(&mut self, cx: &mut Context, session_id: &str, track: RemoteTrack) {
        match self.roster.publish(session_id, &track) {
            TrackNews::Published if session_id != cx.session_id => {
                let user_id = self.user_of(session_id);
                cx.event(Event::TrackPublished { user_id, session_id: session_id.to_owned(), track });
                self.subscriptions.want_nothing(cx, &self.roster);
                self.subscriptions.follow_screens(cx, &self.roster);
                self.bind(cx);
            }
            TrackNews::Refused => self.refuse(cx, "tracks"),
            _ => {}
        }
    }

    pub fn on_track_unpublished(
        &mut self,
        cx: &mut Context,
        session_id: &str,
        track: &RemoteTrack,
        cause: UnpublishCause,
    ) {
        if self.roster.unpublish(session_id, track) {
            // In protocols without track names a muted track is unpublished as well, and returns unchanged.
            let over = !track.id.is_empty();
            self.track_unpublished(cx, session_id, track.clone(), cause, over);
        }
    }

    /// A track was unpublished or muted.
    fn track_unpublished(
        &mut self,
        cx: &mut Context,
        session_id: &str,
        track: RemoteTrack,
        cause: UnpublishCause,
        over: bool,
    ) {
        if session_id == cx.session_id {
            return;
        }
        self.remotes.release(cx, session_id, Some(&track), over);
        let prefix = self.roster.get(session_id).map(|p| p.track_prefix.clone());
        if let Some(prefix) = prefix.filter(|_| over) {
            self.remotes.forget(cx, &prefix, Some(&track));
        }
        self.subscriptions.follow_screens(cx, &self.roster);
        let user_id = self.user_of(session_id);
        let track = RemoteTrack { muted: track.muted || cause == UnpublishCause::UserMuted, ..track };
        cx.event(Event::TrackUnpublished { user_id, session_id: session_id.to_owned(), track, cause });
    }

    pub fn on_subscribable(&mut self, cx: &mut Context, session_id: String, track_id: String, allowed: bool) {
        let user_id = self.user_of(&session_id);
        cx.event(Event::Subscribable { user_id, session_id, track_id, allowed });
    }

    // Measurements.

    pub fn on_counts(&mut self, cx: &mut Context, counts: Counts) {
        if counts != self.counts {
            self.counts = counts;
            cx.event(Event::Counts(counts));
        }
    }

    pub fn on_quality(&mut self, cx: &mut Context, list: Vec<(String, Quality)>) {
        for (session_id, quality) in list {
            let Some(p) = self.roster.get_mut(&session_id) else { continue };
            if p.quality != quality {
                p.quality = quality;
                let user_id = p.user_id.clone();
                cx.event(Event::Quality { user_id, session_id, quality });
            }
        }
    }

    pub fn on_levels(&mut self, cx: &mut Context, list: Vec<(String, f32, bool)>) {
        for (session_id, level, speaking) in list {
            let Some(p) = self.roster.get_mut(&session_id) else { continue };
            let level = if level.is_finite() { level.clamp(0.0, 1.0) } else { 0.0 };
            (p.audio_level, p.is_speaking) = (level, speaking);
            let user_id = p.user_id.clone();
            cx.event(Event::AudioLevel { user_id, session_id, level, speaking });
        }
    }

    pub fn on_dominant(&mut self, cx: &mut Context, session_id: String) {
        let former: Vec<_> = self.roster.iter().filter(|p| p.is_dominant).map(|p| p.session_id.clone()).collect();
        for old in former {
            if let Some(p) = self.roster.get_mut(&old) {
                p.is_dominant = false;
            }
        }
        if let Some(p) = self.roster.get_mut(&session_id) {
            p.is_dominant = true;
            let user_id = p.user_id.clone();
            cx.event(Event::DominantSpeaker { user_id, session_id });
        }
    }

    // Media.

    /// Assigns media without an owner to the participants known now.
    pub fn bind(&mut self, cx: &mut Context) {
        self.remotes.bind(cx, &self.roster, &self.subscriptions);
    }

    pub fn on_remote_track(&mut self, cx: &mut Context, remote: Arrived) {
        if self.remotes.add(cx, remote) {
            self.bind(cx);
            self.remotes.watch(cx);
        }
    }

    pub fn on_unplayable(&mut self, cx: &mut Context, id: super::RemoteId, why: Unplayable) {
        self.remotes.on_unplayable(cx, &self.roster, id, why);
    }

    /// The application changes the settings of one remote track.
    pub fn subscribe(&mut self, cx: &mut Context, track_id: String, settings: SubscriptionSettings) {
        if !self.subscriptions.set(cx, &self.roster, &track_id, settings) {
            return;
        }
        match settings.subscribed {
            true => self.bind(cx),
            false => self.remotes.unbind_track(cx, &track_id),
        }
    }

    /// Unsubscribes all tracks: receiving is disabled and the subscriber stays open.
    pub fn want_nothing(&mut self, cx: &mut Context) {
        self.subscriptions.want_nothing(cx, &self.roster);
    }

    /// Sends all subscription settings again on a new socket.
    pub fn resume(&mut self, cx: &mut Context) {
        self.subscriptions.resume(cx, &self.roster);
    }

    pub fn on_subscriptions_reply(&mut self, cx: &mut Context, id: u64, result: Result<(), Failure>) {
        self.subscriptions.on_reply(cx, &self.roster, id, result);
    }
}
