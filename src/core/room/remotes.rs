//! Received media: its owner and track, and the reports about media that cannot be played.
//!
//! A stream is played while it is bound to a track that is published and not muted. Two streams are never bound to the
//! same track. Received audio of a track is delivered before the event that the track has ended.
//! Must not know: packets, sockets, the engine.

use super::present;
use super::roster::Roster;
use super::subscriptions::Subscriptions;
use crate::core::context::{Context, Need, Settled};
use crate::core::{limits, model::*, timers::Timer, Event, Output, RemoteId};
use std::{collections::VecDeque, time::Duration};

/// A stream that has just arrived.
#[derive(Debug)]
pub(in crate::core) struct Arrived {
    pub id: RemoteId,
    /// The peer connection that carries it.
    pub transport: Generation,
    pub owner: Option<MediaOwner>,
    pub mid: String,
    pub again: bool,
}

/// A received stream. It is bound once its participant is known, which may be later.
#[derive(Debug)]
struct Remote {
    id: RemoteId,
    transport: Generation,
    owner: Option<MediaOwner>,
    mid: String,
    bound_to: Option<Bound>,
    /// Released; the session has not reported its end yet.
    forgotten: bool,
    /// Its participant was known at some time, and may have left since.
    introduced: bool,
    /// Arrival time.
    since: Duration,
    /// Why its contents cannot be played.
    unplayable: Option<Unplayable>,
    /// It was reported to the application as unassigned.
    reported: bool,
}

/// What a stream is played as: session id, kind and, if the protocol names tracks, the track; otherwise the part of the
/// stream ids that distinguishes streams.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    session_id: String,
    kind: TrackKind,
    track_id: String,
    stream: String,
}

impl Bound {
    /// The same track, or, for tracks without names, another one of the same participant and kind.
    fn is_akin(&self, other: &Bound) -> bool {
        (&self.session_id, self.kind, &self.track_id) == (&other.session_id, other.kind, &other.track_id)
    }
}

impl Remote {
    /// It names a participant that the SFU has not announced.
    fn is_owner_unknown(&self) -> bool {
        self.owner.is_some() && !self.introduced && !self.forgotten
    }

    fn forget(&mut self, cx: &mut Context) {
        if !std::mem::replace(&mut self.forgotten, true) {
            if self.bound_to.take().is_some() {
                cx.out(Output::PlayOut { id: self.id });
                cx.out(Output::Unbind { id: self.id });
            }
            cx.out(Output::Forget { id: self.id });
        }
    }

    /// When the stream counts as unassigned, unless already reported; a named owner may first be requested from the
    /// SFU.
    fn unassigned_at(&self) -> Option<Duration> {
        let open = !self.introduced && !self.reported && !self.forgotten && self.bound_to.is_none();
        let introduction = if self.owner.is_some() { limits::OWNER_UNKNOWN } else { Duration::ZERO };
        open.then(|| self.since + introduction + limits::UNASSIGNED)
    }

    /// Order of streams that claim the same track; the larger is newer.
    fn age(&self) -> (Generation, RemoteId) {
        (self.transport, self.id)
    }
}

/// A track, or all tracks of a participant, that ended a short time ago. Its media can arrive after that.
#[derive(Debug)]
struct Ended {
    prefix: String,
    /// `None`: the participant left.
    track_id: Option<String>,
    at: Duration,
}

#[derive(Debug, Default)]
pub(in crate::core) struct Remotes {
    all: Vec<Remote>,
    /// Oldest first.
    ended: VecDeque<Ended>,
    /// The owners of media were requested from the SFU by a resume; once per peer connection.
    asked_for_owners: bool,
    /// Tracks reported as unplayable, and why.
    unplayable: Vec<(Bound, Unplayable)>,
}

impl Remotes {
    /// A new peer connection carries media from here on.
    pub fn restart(&mut self) {
        self.asked_for_owners = false;
    }

    /// Returns false if it is too late or there is no room.
    pub fn add(&mut self, cx: &mut Context, arrived: Arrived) -> bool {
        let Arrived { id, transport, owner, mid, again } = arrived;
        if cx.receive_disabled {
            cx.out(Output::Unbind { id });
        }
        if cx.receive_disabled || self.all.len() >= limits::REMOTE_TRACKS {
            cx.late();
            return false;
        }
        // Its participant was known and has left since, or its track has ended.
        let introduced = again || owner.as_ref().is_some_and(|owner| self.has_ended(cx.now, owner));
        self.all.push(Remote {
            id,
            transport,
            owner,
            mid,
            bound_to: None,
            forgotten: false,
            introduced,
            since: cx.now,
            unplayable: None,
            reported: false,
        });
        true
    }

    fn has_ended(&self, now: Duration, owner: &MediaOwner) -> bool {
        self.ended.iter().any(|ended| {
            let is_meant = ended.track_id.as_ref().is_none_or(|id| *id == owner.track_id);
            now < ended.at + limits::OWNER_UNKNOWN && ended.prefix == owner.prefix && is_meant
        })
    }

    fn note_ended(&mut self, now: Duration, prefix: &str, track_id: Option<&str>) {
        if prefix.is_empty() || track_id.is_some_and(str::is_empty) {
            return;
        }
        let recent = |ended: &Ended| now < ended.at + limits::OWNER_UNKNOWN;
        while self.ended.len() >= limits::ENDED_TRACKS || self.ended.front().is_some_and(|oldest| !recent(oldest)) {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { prefix: prefix.to_owned(), track_id: track_id.map(str::to_owned), at: now });
    }

    /// The streams bound to tracks.
    pub fn bound(&self) -> Vec<present::Bound> {
        let bound = |remote: &Remote| {
            let Bound { session_id, kind, track_id, .. } = remote.bound_to.clone()?;
            Some(present::Bound { session_id, kind, track_id, unplayable: remote.unplayable })
        };
        self.all.iter().filter_map(bound).collect()
    }

    /// The engine's track ended.
    pub fn on_gone(&mut self, id: RemoteId) {
        self.all.retain(|r| r.id != id);
    }

    /// The contents of a stream cannot be decoded.
    pub fn on_unplayable(&mut self, cx: &mut Context, roster: &Roster, id: RemoteId, why: Unplayable) {
        let Some(remote) = self.all.iter_mut().find(|r| r.id == id) else { return };
        if remote.unplayable.is_none() {
            remote.unplayable = Some(why);
            if let Some(bound) = remote.bound_to.clone() {
                self.report_unplayable(cx, roster, &bound, why);
            }
        }
    }

    /// Starts the timers for streams without an owner: it may still be announced.
    pub fn watch(&self, cx: &mut Context) {
        if self.asks_for_owners() && !cx.timers.is_set(Timer::OwnerUnknown) {
            cx.timers.set(Timer::OwnerUnknown, cx.now + limits::OWNER_UNKNOWN);
        }
        self.watch_unassigned(cx);
    }

    /// True if there is media of an unknown participant and no resume has requested its owner yet.
    fn asks_for_owners(&self) -> bool {
        !self.asked_for_owners && self.all.iter().any(Remote::is_owner_unknown)
    }

    /// The message that announces the participant was lost: after a resume the SFU announces all participants. Once per
    /// peer connection.
    pub fn on_owner_unknown(&mut self, cx: &Context) -> Settled {
        if !cx.config.dialect.resume_introduces || !cx.is_joined() || !self.asks_for_owners() {
            return Ok(());
        }
        self.asked_for_owners = true;
        let unknown = self.all.iter().filter(|r| r.is_owner_unknown()).find_map(|r| r.owner.as_ref());
        let whose = unknown.map_or("", |o| o.prefix.as_str());
        Err(Need::fast(format!("media arrived from a participant whom the SFU did not announce ({whose})")))
    }

    /// Streams without an owner are reported once no message about them can still be on its way.
    pub fn watch_unassigned(&self, cx: &mut Context) {
        match self.all.iter().filter_map(Remote::unassigned_at).min() {
            Some(at) => cx.timers.set(Timer::Unassigned, at),
            None => cx.timers.cancel(Timer::Unassigned),
        }
    }

    pub fn on_unassigned_due(&mut self, cx: &mut Context) {
        let mut unassigned = Vec::new();
        for remote in &mut self.all {
            if remote.unassigned_at().is_none_or(|at| at > cx.now) {
                continue;
            }
            // Without a socket no participant can be announced.
            if !cx.is_joined() {
                remote.since = cx.now;
                continue;
            }
            remote.reported = true;
            unassigned.push(remote.owner.as_ref().map(|o| o.track_id.clone()));
        }
        for track_id in unassigned {
            let why = match &track_id {
                None => "its stream ids name no participant",
                Some(_) => "the SFU has not announced the participant or track that its stream ids name",
            };
            let text = format!(
                "a stream arrives that cannot be assigned: {why}; it is counted (oh_call_stats.packets_unassigned) \
                 and not played"
            );
            report_unassigned(cx, track_id.unwrap_or_default(), text);
        }
        self.watch_unassigned(cx);
    }

    /// Assigns media without an owner to the participants known now.
    pub(super) fn bind(&mut self, cx: &mut Context, roster: &Roster, subscriptions: &Subscriptions) {
        for index in 0..self.all.len() {
            let remote = &self.all[index];
            if remote.bound_to.is_some() || remote.forgotten {
                continue;
            }
            let Some(named) = &remote.owner else { continue };
            let Some(owner) = roster.owner(named) else { continue };
            let (user_id, session_id) = (owner.participant.user_id.clone(), owner.participant.session_id.clone());
            let (kind, encrypted, track_id) = (owner.kind, owner.encrypted, named.track_id.clone());
            let stream = named.stream.clone();
            let plays = owner.is_published && subscriptions.is_wanted(&track_id);
            self.all[index].introduced = true;
            if !plays {
                continue;
            }
            let whose =
                Bound { session_id: session_id.clone(), kind, track_id: track_id.clone(), stream: stream.clone() };
            if !self.take_place(cx, index, &whose) {
                self.all[index].owner = None;
                continue;
            }
            let remote = &mut self.all[index];
            remote.bound_to = Some(whose.clone());
            let id = remote.id;
            let unplayable = if encrypted { Some(Unplayable::Encrypted) } else { remote.unplayable };
            cx.out(Output::Bind { id, user_id, session_id, kind, track_id, stream, silent: encrypted });
            if let Some(why) = unplayable {
                self.report_unplayable(cx, roster, &whose, why);
            }
        }
    }

    /// Reserves a track for one stream. A track is played from the newest stream of the newest connection; false if
    /// another stream is newer. Other streams are unbound after their received audio was delivered. That of the old
    /// connection of a migration is not delivered, because the new one carries the same.
    ///
    /// Tracks without names are distinguished by the rest of their stream ids, but only within one connection. Another
    /// connection may name them differently: its stream of a kind replaces all others of that kind.
    fn take_place(&mut self, cx: &mut Context, index: usize, whose: &Bound) -> bool {
        let age = self.all[index].age();
        let mid = self.all[index].mid.clone();
        let same = |r: &Remote| {
            r.bound_to.as_ref().is_some_and(|bound| {
                let line = !mid.is_empty() && r.mid == mid;
                bound == whose || bound.is_akin(whose) && (r.transport != age.0 || line)
            })
        };
        if self.all.iter().any(|r| same(r) && r.age() > age) {
            return false;
        }
        for (other, old) in self.all.iter_mut().enumerate() {
            if other == index || !same(old) {
                continue;
            }
            (old.bound_to, old.owner) = (None, None);
            let id = old.id;
            if old.transport == age.0 {
                cx.out(Output::PlayOut { id });
            }
            cx.out(Output::Unbind { id });
        }
        true
    }

    /// Stops playing a participant's streams, or those of one track, until they are bound again. The application is
    /// notified next that the track ended, and first gets all audio received before. `over`: also releases them.
    pub fn release(&mut self, cx: &mut Context, session_id: &str, track: Option<&RemoteTrack>, over: bool) {
        let meant = |bound: &Bound| {
            let one = |t: &RemoteTrack| (bound.kind, bound.track_id.as_str()) == (t.kind, t.id.as_str());
            bound.session_id == session_id && track.is_none_or(one)
        };
        for remote in &mut self.all {
            if remote.bound_to.take_if(|bound| meant(bound)).is_some() {
                cx.out(Output::PlayOut { id: remote.id });
                cx.out(Output::Unbind { id: remote.id });
                if over {
                    remote.forget(cx);
                }
            }
        }
        self.unplayable.retain(|(bound, _)| !meant(bound));
    }

    /// Releases streams that are not played, by the names in their stream ids.
    pub fn forget(&mut self, cx: &mut Context, prefix: &str, track: Option<&RemoteTrack>) {
        self.note_ended(cx.now, prefix, track.map(|track| track.id.as_str()));
        let meant = |owner: &MediaOwner| {
            owner.prefix == prefix
                && track.is_none_or(|t| owner.track_id == t.id && owner.kind.is_none_or(|k| k == t.kind))
        };
        for remote in self.all.iter_mut().filter(|r| r.owner.as_ref().is_some_and(meant)) {
            remote.forget(cx);
        }
    }

    /// An SFU description was set: releases the streams that its m-lines no longer send.
    pub fn on_described(&mut self, cx: &mut Context, transport: Generation, description: &str) {
        let (sending, described) = sdp::sending(description);
        let over =
            |r: &&mut Remote| r.transport == transport && !r.mid.is_empty() && !sending.contains(&r.mid.as_str());
        for remote in self.all.iter_mut().filter(over).filter(|_| described) {
            remote.forget(cx);
        }
    }

    /// A track was unsubscribed.
    pub fn unbind_track(&mut self, cx: &mut Context, track_id: &str) {
        for remote in &mut self.all {
            if remote.bound_to.take_if(|bound| bound.track_id == track_id).is_some() {
                cx.out(Output::Unbind { id: remote.id });
            }
        }
    }

    /// A peer connection was closed.
    pub fn unbind_of(&mut self, cx: &mut Context, transport: Generation) {
        self.all.retain(|remote| {
            let gone = remote.transport == transport;
            if gone {
                cx.out(Output::Unbind { id: remote.id });
            }
            !gone
        });
    }

    pub fn unbind_all(&mut self, cx: &mut Context) {
        for remote in std::mem::take(&mut self.all) {
            cx.out(Output::Unbind { id: remote.id });
        }
    }

    /// Reports once that a track cannot be played, and why.
    fn report_unplayable(&mut self, cx: &mut Context, roster: &Roster, bound: &Bound, reason: Unplayable) {
        let known = self.unplayable.iter().any(|(b, r)| b == bound && *r == reason);
        if known || self.unplayable.len() >= limits::UNPLAYABLE {
            return;
        }
        self.unplayable.push((bound.clone(), reason));
        let text = match reason {
            Unplayable::Encrypted => {
                "the track is encrypted end to end; this library has no key for it, and plays silence"
            }
            Unplayable::Codec => "the track's codec is not Opus; it cannot be played",
            _ => "the track sends only payload types that were not negotiated; they cannot be played",
        };
        let user_id = roster.get(&bound.session_id).map(|p| p.user_id.clone()).unwrap_or_default();
        cx.event(Event::Unplayable(Box::new(UnplayableMedia {
            user_id,
            session_id: bound.session_id.clone(),
            track_id: bound.track_id.clone(),
            kind: Some(bound.kind),
            reason,
            text: text.to_owned(),
        })));
    }
}

/// The engine dropped packets of a stream that no m-line describes.
pub(in crate::core) fn on_unassigned_ssrc(cx: &mut Context, ssrc: u32) {
    let text = format!(
        "media with SSRC {ssrc:#x} belongs to no m-line of the SFU's offers; it is counted \
         (oh_call_stats.packets_unassigned) and not played"
    );
    report_unassigned(cx, String::new(), text);
}

fn report_unassigned(cx: &mut Context, track_id: String, text: String) {
    let reason = Unplayable::Unassigned;
    cx.event(Event::Unplayable(Box::new(UnplayableMedia { track_id, reason, text, ..UnplayableMedia::default() })));
}
