//! The RPCs of a session: publishing, muting, subscribing, answering, trickling, restarting ICE.
//!
//! Every failure is an application error in the response and does not affect other sessions.

use crate::{
    faults::Edge,
    media::{forward::Route, publisher, sdp, subscriber},
    participant::{Participant, Track},
    room::World,
    server::Server,
    state::SessionStats,
};
use offhook_proto::{
    event::{self, sfu_event::EventPayload},
    models::{self, ErrorCode, PeerType, TrackType, TrackUnpublishReason},
    signal,
};
use std::{
    sync::{atomic::Ordering::Relaxed, Arc},
    time::Duration,
};
use str0m::media::MediaKind;
use tokio::{sync::oneshot, time::timeout};

/// Time limit for a reply from a peer connection's task.
const REPLY: Duration = Duration::from_secs(4);

pub type Failure = (ErrorCode, String);

fn fail<T>(code: ErrorCode, text: impl Into<String>) -> Result<T, Failure> {
    Err((code, text.into()))
}

fn gone<T>(_: T) -> Failure {
    (ErrorCode::ParticipantNotFound, "no such session".into())
}

const KINDS: [TrackType; 4] = [TrackType::Audio, TrackType::Video, TrackType::ScreenShare, TrackType::ScreenShareAudio];

fn media_kind(kind: TrackType) -> Option<MediaKind> {
    match kind {
        TrackType::Audio | TrackType::ScreenShareAudio => Some(MediaKind::Audio),
        TrackType::Video | TrackType::ScreenShare => Some(MediaKind::Video),
        TrackType::Unspecified => None,
    }
}

impl Server {
    /// The counters of a session, if it exists at this SFU.
    pub fn session(&self, edge: Edge, session_id: &str) -> Option<Arc<SessionStats>> {
        self.world.lock().leg(session_id, edge).map(|l| l.stats.clone())
    }

    /// SetPublisher: negotiates the publisher and replaces the full list of tracks.
    pub async fn set_publisher(
        self: &Arc<Self>,
        edge: Edge,
        request: signal::SetPublisherRequest,
    ) -> Result<signal::SetPublisherResponse, Failure> {
        let limits = &self.config.limits;
        if request.sdp.len() > limits.sdp {
            return fail(ErrorCode::RequestValidationFailed, "the SDP is too long");
        }
        if request.tracks.len() > limits.tracks {
            return fail(ErrorCode::RequestValidationFailed, "too many tracks");
        }
        let lines = sdp::media(&request.sdp);
        let mut accepted: Vec<(TrackType, models::TrackInfo)> = Vec::new();
        for info in &request.tracks {
            let kind = TrackType::try_from(info.track_type).unwrap_or_default();
            let Some(media) = media_kind(kind) else {
                return fail(ErrorCode::RequestValidationFailed, "a track has no type");
            };
            let name = if media == MediaKind::Audio { "audio" } else { "video" };
            let mut info = info.clone();
            if info.mid.is_empty() {
                // No mid: use the first sending m-line of this kind that no other track uses.
                let free = lines
                    .iter()
                    .find(|(mid, k, sends)| *k == name && *sends && !accepted.iter().any(|(_, a)| a.mid == *mid));
                info.mid = free.map(|(mid, ..)| (*mid).to_owned()).unwrap_or_default();
            }
            if !lines.iter().any(|(mid, k, _)| *mid == info.mid && *k == name) {
                let text = format!("no {name} m-line has the mid {:?}", info.mid);
                return fail(ErrorCode::PublishTracksMismatch, text);
            }
            // Several encodings of one source, each with its own publish option: only the first is forwarded. The same
            // option with another track ID is another track.
            let encoding = |(k, a): &(TrackType, models::TrackInfo)| {
                *k == kind && (a.publish_option_id != info.publish_option_id || a.track_id == info.track_id)
            };
            if !accepted.iter().any(encoding) {
                accepted.push((kind, info));
            }
        }
        let (reply, first_new) = {
            let mut world = self.world.lock();
            let participant = world.participant(&request.session_id).ok_or_else(|| gone(()))?;
            if let Some((kind, _)) = accepted.iter().find(|(k, _)| !participant.grants.allow(*k)) {
                return fail(ErrorCode::PermissionDenied, format!("{} may not be published", kind.as_str_name()));
            }
            let known = participant.next_track;
            let routes = accepted
                .iter()
                .map(|(kind, info)| (info.mid.clone(), self.route_for(participant, *kind, info)))
                .collect();
            let leg = participant.leg_mut(edge).ok_or_else(|| gone(()))?;
            // A different DTLS fingerprint means a new peer connection.
            let fingerprint = sdp::attribute(&request.sdp, "fingerprint").unwrap_or_default();
            let alive = leg.publisher.as_ref().is_some_and(|h| !h.tx.is_closed());
            if !alive || leg.fingerprint != fingerprint {
                leg.fingerprint = fingerprint.into();
                self.new_publisher(leg)
                    .map_err(|e| (ErrorCode::InternalServerError, format!("no socket for media: {e}")))?;
            }
            let (reply, answered) = oneshot::channel();
            let command = publisher::Command::Offer { sdp: request.sdp.clone(), routes, reply };
            let sent = leg.publisher.as_ref().map(|h| h.tx.try_send(command).is_ok());
            if sent != Some(true) {
                return fail(ErrorCode::TooManyRequests, "the publisher is busy");
            }
            (answered, known)
        };
        let answered = timeout(REPLY, reply).await.ok().and_then(Result::ok);
        let mut world = self.world.lock();
        let answered = answered.unwrap_or_else(|| Err("the publisher has ended".into()));
        match answered {
            Ok((sdp, ice_restart)) => {
                self.take_over_tracks(&mut world, &request.session_id, accepted);
                Ok(signal::SetPublisherResponse { sdp, session_id: request.session_id, ice_restart, error: None })
            }
            Err(text) => {
                if let Some(participant) = world.participant(&request.session_id) {
                    // Drop the tracks that this request added.
                    participant.tracks.retain(|t| t.announced || t.number < first_new);
                }
                fail(ErrorCode::RequestValidationFailed, text)
            }
        }
    }

    fn route_for(&self, participant: &mut Participant, kind: TrackType, info: &models::TrackInfo) -> Arc<Route> {
        if let Some(track) = participant.track(kind, &info.track_id) {
            return track.route.clone();
        }
        let route = Arc::new(Route::new(self.next_id(), media_kind(kind).unwrap_or(MediaKind::Audio)));
        let number = participant.next_track;
        participant.next_track += 1;
        participant.tracks.push(Track {
            kind,
            info: info.clone(),
            number,
            announced: false,
            muted: info.muted,
            route: route.clone(),
        });
        route
    }

    /// Replaces the published tracks with those of an accepted SetPublisher.
    fn take_over_tracks(&self, world: &mut World, session_id: &str, list: Vec<(TrackType, models::TrackInfo)>) {
        let Some(room) = world.room_of(session_id) else { return };
        let Some(at) = room.position(session_id) else { return };
        let mut events = Vec::new();
        let me = &mut room.participants[at];
        // Others are notified per kind, not per track: when the first track of a kind starts and when the last ends.
        let was_live: Vec<TrackType> = KINDS.into_iter().filter(|kind| me.is_live(*kind)).collect();
        let is_listed = |t: &Track| list.iter().any(|(k, info)| *k == t.kind && info.track_id == t.info.track_id);
        me.tracks.retain(is_listed);
        for (kind, info) in list {
            let same = |t: &&mut Track| t.kind == kind && t.info.track_id == info.track_id;
            let Some(track) = me.tracks.iter_mut().find(same) else { continue };
            track.muted = info.muted;
            track.info = info;
            if !track.muted {
                track.announced = true;
                track.route.gate(false);
            }
        }
        for kind in KINDS {
            match (was_live.contains(&kind), me.is_live(kind)) {
                (false, true) => events.push(me.published(kind)),
                (true, false) => {
                    let muted = me.tracks.iter().any(|t| t.kind == kind);
                    let why = if muted { TrackUnpublishReason::UserMuted } else { TrackUnpublishReason::Unspecified };
                    events.push(me.unpublished(kind, why));
                }
                _ => {}
            }
        }
        let user = me.user_id.clone();
        let names: Vec<&str> = me.tracks.iter().map(|t| t.kind.as_str_name()).collect();
        self.log.info(format_args!("{user} publishes {}", names.join(", ")));
        for event in events {
            room.broadcast(self, Some(session_id), event);
        }
        room.refresh_all();
    }

    /// UpdateMuteStates: announces, mutes and unmutes.
    pub fn update_mute_states(&self, edge: Edge, request: &signal::UpdateMuteStatesRequest) -> Result<(), Failure> {
        if request.mute_states.len() > self.config.limits.tracks {
            return fail(ErrorCode::RequestValidationFailed, "too many tracks");
        }
        let mut world = self.world.lock();
        world.leg(&request.session_id, edge).ok_or_else(|| gone(()))?;
        for state in &request.mute_states {
            let kind = TrackType::try_from(state.track_type).unwrap_or_default();
            let reason = TrackUnpublishReason::UserMuted;
            self.set_muted(&mut world, &request.session_id, kind, state.muted, reason)?;
        }
        Ok(())
    }

    /// Mutes or unmutes the tracks of a kind and notifies the others.
    pub fn set_muted(
        &self,
        world: &mut World,
        session_id: &str,
        kind: TrackType,
        muted: bool,
        reason: TrackUnpublishReason,
    ) -> Result<(), Failure> {
        let room = world.room_of(session_id).ok_or_else(|| gone(()))?;
        let at = room.position(session_id).ok_or_else(|| gone(()))?;
        let me = &mut room.participants[at];
        if !muted && !me.grants.allow(kind) {
            return fail(ErrorCode::PermissionDenied, format!("{} may not be published", kind.as_str_name()));
        }
        if !me.tracks.iter().any(|t| t.kind == kind) {
            // Clients announce kinds they do not publish as muted.
            return if muted { Ok(()) } else { fail(ErrorCode::PublishTrackNotFound, "no such track is published") };
        }
        let was_live = me.is_live(kind);
        // The mute state applies to all tracks of the kind.
        for track in me.tracks.iter_mut().filter(|t| t.kind == kind) {
            track.muted = muted;
            track.info.muted = muted;
            track.announced |= !muted;
            // A client that mutes itself stops sending. If it is muted by others, the SFU stops forwarding.
            track.route.gate(muted && reason != TrackUnpublishReason::UserMuted);
        }
        let event = match (was_live, me.is_live(kind)) {
            (false, true) => me.published(kind),
            (true, false) => me.unpublished(kind, reason),
            _ => return Ok(()),
        };
        // The participant is notified unless it muted itself.
        let except = (reason == TrackUnpublishReason::UserMuted).then_some(session_id);
        room.broadcast(self, except, event);
        room.refresh_all();
        Ok(())
    }

    /// UpdateSubscriptions: replaces the full set.
    pub fn update_subscriptions(&self, edge: Edge, request: signal::UpdateSubscriptionsRequest) -> Result<(), Failure> {
        if request.tracks.len() > self.config.limits.subscriptions {
            return fail(ErrorCode::RequestValidationFailed, "too many subscriptions");
        }
        let mut world = self.world.lock();
        world.leg(&request.session_id, edge).ok_or_else(|| gone(()))?.subscriptions = request.tracks;
        let room = world.room_of(&request.session_id).ok_or_else(|| gone(()))?;
        let at = room.position(&request.session_id).ok_or_else(|| gone(()))?;
        let me = &room.participants[at];
        if let Some(leg) = me.leg(edge) {
            room.refresh(me, leg);
        }
        Ok(())
    }

    /// SendAnswer. An answer that matches no open offer is counted and otherwise ignored.
    pub async fn send_answer(&self, edge: Edge, request: signal::SendAnswerRequest) -> Result<(), Failure> {
        if request.sdp.len() > self.config.limits.sdp {
            return fail(ErrorCode::RequestValidationFailed, "the SDP is too long");
        }
        let (stats, reply) = {
            let mut world = self.world.lock();
            let leg = world.leg(&request.session_id, edge).ok_or_else(|| gone(()))?;
            leg.stats.answers_received.fetch_add(1, Relaxed);
            let (reply, answered) = oneshot::channel();
            let command =
                subscriber::Command::Answer { negotiation_id: request.negotiation_id, sdp: request.sdp, reply };
            let handle = leg.subscriber.as_ref().ok_or_else(|| gone(()))?;
            // If the subscriber has ended, the reply is dropped and the answer counts as stale.
            let _ = handle.tx.try_send(command);
            (leg.stats.clone(), answered)
        };
        let result = timeout(REPLY, reply).await.ok().and_then(Result::ok).unwrap_or(subscriber::AnswerResult::Stale);
        match result {
            subscriber::AnswerResult::Applied => stats.answers_applied.fetch_add(1, Relaxed),
            subscriber::AnswerResult::Stale => stats.answers_stale.fetch_add(1, Relaxed),
            subscriber::AnswerResult::Unusable => {
                stats.answers_unusable.fetch_add(1, Relaxed);
                return fail(ErrorCode::RequestValidationFailed, "unusable answer");
            }
        };
        Ok(())
    }

    /// IceTrickle.
    pub async fn ice_trickle(&self, edge: Edge, request: models::IceTrickle) -> Result<(), Failure> {
        if request.ice_candidate.len() > 4096 {
            return fail(ErrorCode::RequestValidationFailed, "the candidate is too long");
        }
        let reply = {
            let mut world = self.world.lock();
            let leg = world.leg(&request.session_id, edge).ok_or_else(|| gone(()))?;
            let (reply, answered) = oneshot::channel();
            let candidate = request.ice_candidate;
            if request.peer_type == PeerType::Subscriber as i32 {
                if let Some(handle) = &leg.subscriber {
                    let _ = handle.tx.try_send(subscriber::Command::Candidate(candidate, reply));
                }
            } else if let Some(handle) = &leg.publisher {
                let _ = handle.tx.try_send(publisher::Command::Candidate(candidate, reply));
            }
            answered
        };
        match timeout(REPLY, reply).await {
            Ok(Ok(Err(text))) => fail(ErrorCode::RequestValidationFailed, text),
            // A candidate for a peer connection that does not exist is late, not an error.
            _ => Ok(()),
        }
    }

    /// IceRestart: a new offer for the subscriber, an event for the publisher.
    pub fn ice_restart(self: &Arc<Self>, edge: Edge, session_id: &str, peer: i32) -> Result<(), Failure> {
        let mut world = self.world.lock();
        let leg = world.leg(session_id, edge).ok_or_else(|| gone(()))?;
        if peer != PeerType::Subscriber as i32 {
            leg.send(self, EventPayload::IceRestart(event::IceRestart { peer_type: peer }));
            return Ok(());
        }
        let alive = leg.subscriber.as_ref().is_some_and(|h| !h.tx.is_closed());
        self.ensure_subscriber(leg);
        if alive {
            if let Some(handle) = &leg.subscriber {
                let _ = handle.tx.try_send(subscriber::Command::IceRestart);
            }
            return Ok(());
        }
        // The client has closed the old peer connection: the new one offers all tracks again.
        let room = world.room_of(session_id).ok_or_else(|| gone(()))?;
        let at = room.position(session_id).ok_or_else(|| gone(()))?;
        let me = &room.participants[at];
        if let Some(leg) = me.leg(edge) {
            room.refresh(me, leg);
        }
        Ok(())
    }
}
