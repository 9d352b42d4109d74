//! Who is in the call, which tracks they publish, whose media arrives, and which of it is wanted.
//!
//! Updates are partial, doubled and out of order in practice; the differences become events. Must not know: sockets,
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

/// Sessions that were replaced, remembered at most.
const MAX_REPLACED: usize = 256;
/// Own session ids remembered, so that no former self is shown.
const FORMER_SESSIONS: usize = 32;

/// How a participant came to be known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Snapshot,
    Joined,
    Updated,
    /// At any time, but whole.
    Whole,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    pub roster: Roster,
    pub counts: Counts,
    pub remotes: Remotes,
    subscriptions: Subscriptions,
    /// Former sessions of this participant.
    former_sessions: Vec<String>,
    /// Sessions of others that ended because their participant has another one.
    replaced: VecDeque<String>,
    /// The application knows that the roster is full.
    refusal_reported: bool,
}

impl Room {
    // Participants.

    /// The SFU's picture of the call replaces ours; the differences are reported.
    pub fn reconcile(&mut self, cx: &mut Context, messaging: &mut Messaging, snapshot: Vec<Participant>) {
        if snapshot.is_empty() {
            // We are in every picture of the call: without us it is none.
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
            // What this participant was before it came back is nobody else; nor is who was replaced.
            return;
        }
        let is_self = p.session_id == cx.session_id;
        let session_id = p.session_id.clone();
        let joins = !session_id.is_empty() && self.roster.get(&session_id).is_none();
        if joins && !is_self && cx.config.dialect.identity_is_unique {
            self.replace_sessions_of(cx, messaging, &p.user_id);
        }
        p.local = is_self;
        // Only a whole picture speaks of all tracks; an update patches the person.
        let tracks = std::mem::take(&mut p.published);
        let known = self.roster.shared(&session_id);
        if let Some(known) = &known {
            p.share_texts(known);
            p.published.clone_from(&known.published);
            if news == News::Whole {
                // What is measured comes by messages of its own.
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

    /// Who joins under an identity ends the session that had it, whether the SFU says so or not.
    fn replace_sessions_of(&mut self, cx: &mut Context, messaging: &mut Messaging, user_id: &str) {
        for former in self.roster.sessions_of(user_id) {
            if former != cx.session_id {
                self.on_participant_left(cx, messaging, &former, LeaveReason::REPLACED);
                if self.replaced.len() >= MAX_REPLACED {
                    self.replaced.pop_front();
                }
                // An update of before must not bring it back.
                self.replaced.push_back(former);
            }
        }
    }

    /// There is no room for more: reported once.
    fn refuse(&mut self, cx: &mut Context, what: &str) {
        if !std::mem::replace(&mut self.refusal_reported, true) {
            let text = format!(
                "roster: more {what} than are kept ({MAX_PARTICIPANTS} participants, {MAX_TRACKS} tracks of each, \
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

    /// The SFU has named everybody: who is not among them left while nobody could say so.
    pub fn on_present(&mut self, cx: &mut Context, messaging: &mut Messaging, sessions: &[String]) {
        let present: HashSet<&str> = sessions.iter().map(String::as_str).collect();
        if present.contains(cx.session_id.as_str()) {
            self.leave_out(cx, messaging, &present, &HashSet::new());
        }
    }

    /// Everybody else has left; `users`: who is here with another session.
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

    /// A session of ours is over; whatever is still said of it concerns nobody.
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

    /// The call is over.
    pub fn clear(&mut self) {
        self.roster.clear();
    }

    // Their tracks.

    /// A track of this participant, as the SFU describes it.
    pub fn own_track(&self, session_id: &str, kind: TrackKind) -> Option<&RemoteTrack> {
        self.roster.get(session_id)?.published.iter().find(|t| t.kind == kind)
    }

    /// All tracks of a participant replace those of before.
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
            // Where tracks have no names, one that is muted is unpublished as well, and comes again as it was.
            let over = !track.id.is_empty();
            self.track_unpublished(cx, session_id, track.clone(), cause, over);
        }
    }

    /// A track was unpublished, or muted.
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
        cx.event(Event::TrackUnpublished { user_id, session_id: session_id.to_owned(), track, cause });
    }

    pub fn on_subscribable(&mut self, cx: &mut Context, session_id: String, track_id: String, allowed: bool) {
        let user_id = self.user_of(&session_id);
        cx.event(Event::Subscribable { user_id, session_id, track_id, allowed });
    }

    // What is measured.

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

    // Their media.

    /// Matches media that has no owner yet with the participants known now.
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

    /// The application wants one remote track, or not, or differently.
    pub fn subscribe(&mut self, cx: &mut Context, track_id: String, wish: Wish) {
        if !self.subscriptions.set(cx, &self.roster, &track_id, wish) {
            return;
        }
        match wish.subscribed {
            true => self.bind(cx),
            false => self.remotes.unbind_track(cx, &track_id),
        }
    }

    /// Nothing is received any more, and the subscriber stays: no track is wanted.
    pub fn want_nothing(&mut self, cx: &mut Context) {
        self.subscriptions.want_nothing(cx, &self.roster);
    }

    /// On a new socket all subscription settings are sent again.
    pub fn resume(&mut self, cx: &mut Context) {
        self.subscriptions.resume(cx, &self.roster);
    }

    pub fn on_subscriptions_reply(&mut self, cx: &mut Context, id: u64, result: Result<(), Failure>) {
        self.subscriptions.on_reply(cx, &self.roster, id, result);
    }
}
