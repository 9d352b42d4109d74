//! Joining and leaving: the four forms of JoinRequest, lost sockets, LeaveCallRequest.
//!
//! Manages participants. `publish` manages their tracks.

use crate::{
    config::Limits,
    faults::{Edge, Stage},
    media::{address::LocalAddress, peer::Setup, ports::Transport, publisher, subscriber},
    participant::{Grants, Leg, Participant},
    room::{Room, World},
    server::{encode, Server},
    socket::{End, Out, Outbox},
    state::{LateOffers, SessionStats},
};
use offhook_proto::{
    event::{self, sfu_event::EventPayload},
    models::{self, ErrorCode, PeerType, WebsocketReconnectStrategy as Strategy},
};
use serde_json::json;
use std::{
    sync::{atomic::Ordering::Relaxed, Arc, Weak},
    time::{Duration, Instant, SystemTime},
};

/// A migration counts as complete after this time, with or without media.
pub const MIGRATION: Duration = Duration::from_secs(1);
/// Reconnects recorded per session.
const MAX_JOINS: usize = 64;

/// The session and leg that a socket belongs to.
#[derive(Clone, Debug)]
pub struct Joined {
    pub session_id: String,
    pub edge: Edge,
    pub leg: u64,
    pub socket_number: u64,
    pub stats: Arc<SessionStats>,
}

/// Identity in a join request, from its token or query.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    pub user_id: String,
    pub cid: String,
}

pub type Refused = (ErrorCode, String);

fn refuse<T>(code: ErrorCode, text: impl Into<String>) -> Result<T, Refused> {
    Err((code, text.into()))
}

fn sane(limits: &Limits, text: &str) -> bool {
    !text.is_empty() && text.len() <= limits.identifier && !text.chars().any(char::is_control)
}

/// Connects the tasks of a leg's peer connections with its socket.
struct Watcher {
    server: Weak<Server>,
    session_id: String,
    edge: Edge,
    leg: u64,
    peer: PeerType,
}

impl Watcher {
    fn with_leg(&self, act: impl FnOnce(&Server, &mut Leg)) {
        let Some(server) = self.server.upgrade() else { return };
        let mut world = server.world.lock();
        if let Some(leg) = world.leg(&self.session_id, self.edge).filter(|l| l.id == self.leg) {
            act(&server, leg);
        }
    }

    fn log(&self, what: &str) {
        if let Some(server) = self.server.upgrade() {
            let session = &self.session_id;
            server.log.debug(format_args!("{session} at {}: {} {what}", self.edge.name(), self.peer.as_str_name()));
        }
    }
}

impl subscriber::Watcher for Watcher {
    fn offer(&self, offer: &subscriber::Offer) {
        self.with_leg(|server, leg| {
            *leg.stats.last_offer.lock() = Some(offer.clone());
            if server.faults.take_silent(Stage::Offer, &leg.stats.user_id, Some(leg.edge)) {
                return;
            }
            let bytes = encode(EventPayload::SubscriberOffer(event::SubscriberOffer {
                ice_restart: offer.ice_restart,
                sdp: offer.sdp.clone(),
                negotiation_id: offer.negotiation_id,
            }));
            if let Some(socket) = &leg.socket {
                let at = Instant::now() + Duration::from_millis(server.faults.slow_ms(Some(leg.edge)));
                socket.push_at(Out::Counted(bytes, leg.stats.offers_sent.clone(), None), at);
            }
        });
    }
    fn connected(&self) {
        self.log("connected");
    }
    fn ended(&self) {
        self.log("ended");
    }
}

impl publisher::Watcher for Watcher {
    fn connected(&self) {
        self.log("connected");
        let Some(server) = self.server.upgrade() else { return };
        server.migrated(&self.session_id, self.leg);
    }
    fn ended(&self) {
        self.log("ended");
    }
}

impl Server {
    pub(crate) fn setup(&self, local: LocalAddress, stats: &SessionStats) -> Setup {
        let tcp = self.tcp.as_ref().map(|tcp| (tcp.port, tcp.registry.clone()));
        Setup {
            transport: Transport { places: self.addresses.places(local), udp: self.config.udp, tcp },
            faults: self.faults.clone(),
            session: stats.session_id.clone(),
            user: stats.user_id.clone(),
            max_candidates: self.config.limits.candidates,
        }
    }

    /// Creates the leg's subscriber unless it has a live one.
    pub(crate) fn ensure_subscriber(self: &Arc<Self>, leg: &mut Leg) {
        if leg.subscriber.as_ref().is_some_and(|h| !h.tx.is_closed()) {
            return;
        }
        let watcher = self.watcher(leg, PeerType::Subscriber);
        let setup = self.setup(leg.local, &leg.stats);
        let lines = self.config.limits.media_lines;
        match subscriber::spawn(&setup, lines, leg.stats.negotiations.clone(), watcher) {
            Ok(handle) => leg.subscriber = Some(handle),
            Err(error) => self.log.warn(format_args!("no subscriber for {}: {error}", leg.stats.user_id)),
        }
    }

    /// Replaces the leg's publisher with a new one.
    pub(crate) fn new_publisher(self: &Arc<Self>, leg: &mut Leg) -> std::io::Result<()> {
        let watcher = self.watcher(leg, PeerType::PublisherUnspecified);
        let setup = self.setup(leg.local, &leg.stats);
        let handle = publisher::spawn(&setup, self.next_id(), watcher)?;
        if let Some(old) = leg.publisher.replace(handle) {
            let _ = old.tx.try_send(publisher::Command::Close);
        }
        Ok(())
    }

    fn watcher(self: &Arc<Self>, leg: &Leg, peer: PeerType) -> Arc<Watcher> {
        Arc::new(Watcher {
            server: Arc::downgrade(self),
            session_id: leg.stats.session_id.clone(),
            edge: leg.edge,
            leg: leg.id,
            peer,
        })
    }

    /// Admits a socket: a new participant, a FAST reconnect, a REJOIN or a MIGRATE.
    pub fn join(
        self: &Arc<Self>,
        edge: Edge,
        local: LocalAddress,
        identity: &Identity,
        request: &event::JoinRequest,
        socket: &Outbox,
    ) -> Result<Joined, Refused> {
        let limits = &self.config.limits;
        let session = request.session_id.as_str();
        if !sane(limits, session) || !sane(limits, &identity.user_id) || !sane(limits, &identity.cid) {
            return refuse(
                ErrorCode::RequestValidationFailed,
                "session_id, user and call are required and limited in length",
            );
        }
        if request.subscriber_sdp.len() > limits.sdp || request.publisher_sdp.len() > limits.sdp {
            return refuse(ErrorCode::RequestValidationFailed, "the SDP is too long");
        }
        let details = request.reconnect_details.clone().unwrap_or_default();
        let mut strategy = Strategy::try_from(details.strategy).unwrap_or(Strategy::Unspecified);
        #[allow(deprecated)]
        if request.fast_reconnect {
            strategy = Strategy::Fast;
        }
        let mut world = self.world.lock();
        let elsewhere = world.sessions.get(session).is_some_and(|cid| *cid != identity.cid);
        if elsewhere || world.participant(session).is_some_and(|p| p.user_id != identity.user_id) {
            return refuse(ErrorCode::RequestValidationFailed, "this session_id belongs to another user or call");
        }
        if !world.rooms.contains_key(&identity.cid) && world.rooms.len() >= limits.rooms {
            return refuse(ErrorCode::TooManyRequests, "too many calls");
        }
        let previous = details.previous_session_id.clone();
        if strategy == Strategy::Rejoin && !previous.is_empty() && previous != session {
            // Only the same user may replace a session.
            if world.participant(&previous).is_some_and(|p| p.user_id == identity.user_id) {
                world.remove(self, &previous, "rejoined", false);
            }
        }
        let summary = json!({
            "edge": edge.name(), "strategy": strategy.as_str_name(), "reconnect_attempt": details.reconnect_attempt,
            "previous_session_id": previous, "from_sfu_id": details.from_sfu_id, "reason": details.reason,
            "announced_tracks": details.announced_tracks.len(), "subscriptions": details.subscriptions.len(),
        });
        let number_of_old = world.participant(session).map(|p| p.number);
        let reconnected = self.take_up(&mut world, edge, local, identity, request, strategy)?;
        let room = world.rooms.get_mut(&identity.cid).ok_or((ErrorCode::CallNotFound, "no such call".to_owned()))?;
        let at = room.position(session).ok_or((ErrorCode::ParticipantNotFound, "no such participant".to_owned()))?;
        let fresh = number_of_old != Some(room.participants[at].number);
        if details.subscriptions.len() <= limits.subscriptions {
            if let Some(leg) = room.participants[at].leg_mut(edge) {
                if !details.subscriptions.is_empty() || !reconnected {
                    leg.subscriptions = details.subscriptions.clone();
                }
            }
        }
        let number = self.next_id();
        let state = room.call_state();
        let Some(leg) = room.participants[at].leg_mut(edge) else {
            return refuse(ErrorCode::InternalServerError, "the session has ended");
        };
        leg.socket = Some(socket.clone());
        leg.socket_number = number;
        leg.detached = None;
        leg.stats.sockets.fetch_add(1, Relaxed);
        {
            let mut joins = leg.stats.joins.lock();
            if joins.len() < MAX_JOINS {
                joins.push(summary);
            }
        }
        leg.send(
            self,
            EventPayload::JoinResponse(event::JoinResponse {
                call_state: Some(state),
                reconnected,
                fast_reconnect_deadline_seconds: self.config.fast_reconnect_deadline_seconds,
                publish_options: publish_options(),
            }),
        );
        let joined =
            Joined { session_id: session.into(), edge, leg: leg.id, socket_number: number, stats: leg.stats.clone() };
        let had_subscriber = leg.subscriber.as_ref().is_some_and(|h| !h.tx.is_closed());
        self.ensure_subscriber(leg);
        let me = &room.participants[at];
        if let Some(leg) = me.leg(edge) {
            room.refresh(me, leg);
            if reconnected && had_subscriber {
                if let Some(handle) = &leg.subscriber {
                    let _ = handle.tx.try_send(subscriber::Command::IceRestart);
                }
            }
        }
        if fresh {
            let event = event::ParticipantJoined {
                call_cid: identity.cid.clone(),
                participant: Some(me.to_wire()),
                is_pinned: room.pins.iter().any(|p| p.session_id == session),
            };
            room.broadcast(self, Some(session), EventPayload::ParticipantJoined(event));
        }
        self.counters.joins.fetch_add(1, Relaxed);
        let (user, cid, name) = (&identity.user_id, &identity.cid, edge.name());
        self.log.info(format_args!("{user} joined {cid} at {name}: {}", strategy.as_str_name()));
        Ok(joined)
    }

    /// Finds or creates the leg for a JoinRequest. Returns true if an existing leg continues.
    fn take_up(
        self: &Arc<Self>,
        world: &mut World,
        edge: Edge,
        local: LocalAddress,
        identity: &Identity,
        request: &event::JoinRequest,
        strategy: Strategy,
    ) -> Result<bool, Refused> {
        let session = request.session_id.as_str();
        if strategy == Strategy::Fast && world.leg(session, edge).is_some() {
            return Ok(true);
        }
        let elsewhere = world.participant(session).is_some_and(|p| p.legs.iter().any(|l| l.edge != edge));
        if strategy != Strategy::Migrate && !elsewhere {
            // The same session starts again: the others see it leave and join.
            world.remove(self, session, "replaced", false);
        }
        world.rooms.entry(identity.cid.clone()).or_insert_with(|| Room::new(&identity.cid));
        world.sessions.insert(session.into(), identity.cid.clone());
        let exists = world.participant(session).is_some();
        let id = self.next_id();
        let unified = &request.unified_session_id;
        let stats = Arc::new(SessionStats::new(session, unified, &identity.user_id, &identity.cid, edge));
        let mut leg = Leg {
            id,
            edge,
            local,
            socket: None,
            socket_number: 0,
            detached: None,
            publisher: None,
            fingerprint: String::new(),
            subscriber: None,
            subscriptions: Vec::new(),
            migrating: None,
            stats,
        };
        if exists {
            let old = world.participant(session).and_then(|p| {
                let at = p.legs.iter().position(|l| l.edge == edge)?;
                Some(p.legs.swap_remove(at))
            });
            if let Some(old) = old {
                world.end_leg(old, "replaced", false);
            }
            if let Some(participant) = world.participant(session) {
                if participant.legs.is_empty() {
                    participant.edge = edge;
                    participant.without_leg_since = None;
                } else {
                    leg.migrating = Some(Instant::now());
                }
                participant.legs.push(leg);
            }
            return Ok(false);
        }
        let limit = self.config.limits.participants;
        let Some(room) = world.rooms.get_mut(&identity.cid) else {
            return refuse(ErrorCode::CallNotFound, "no such call");
        };
        if room.participants.len() >= limit {
            world.sessions.remove(session);
            return refuse(ErrorCode::CallParticipantLimitReached, "the call has too many participants");
        }
        room.participants.push(Participant {
            number: id,
            user_id: identity.user_id.clone(),
            session_id: session.into(),
            prefix: (0..10).map(|_| fastrand::alphanumeric()).collect(),
            joined_at: SystemTime::now(),
            source: request.source,
            grants: Grants::ALL,
            tracks: Vec::new(),
            next_track: 1,
            level: Default::default(),
            dominant: false,
            legs: vec![leg],
            edge,
            without_leg_since: None,
        });
        Ok(false)
    }

    /// Completes a migration when the new leg has media or the wait has ended. Notifies the old leg.
    pub fn migrated(self: &Arc<Self>, session_id: &str, leg: u64) {
        let mut world = self.world.lock();
        let Some(participant) = world.participant(session_id) else { return };
        let Some(new) = participant.legs.iter_mut().find(|l| l.id == leg) else { return };
        if new.migrating.take().is_none() {
            return;
        }
        participant.edge = new.edge;
        let edge = new.edge;
        if let Some(old) = participant.legs.iter().find(|l| l.id != leg) {
            let complete = event::ParticipantMigrationComplete {};
            old.send(self, EventPayload::ParticipantMigrationComplete(complete));
        }
        self.log.info(format_args!("{} migrated to {}", participant.user_id, edge.name()));
    }

    /// Called when a session's socket has ended.
    pub fn socket_ended(self: &Arc<Self>, joined: &Joined, end: &End) {
        if let End::Closed(code, _) = end {
            let mut codes = joined.stats.close_codes.lock();
            if codes.len() < MAX_JOINS {
                codes.push(*code);
            }
        }
        let mut world = self.world.lock();
        let Some(participant) = world.participant(&joined.session_id) else { return };
        let Some(at) = participant.legs.iter().position(|l| l.id == joined.leg) else { return };
        if participant.legs[at].socket_number != joined.socket_number {
            return;
        }
        if matches!(end, End::Closed(1000, _)) {
            self.drop_leg(&mut world, &joined.session_id, joined.leg, "closed");
            return;
        }
        let leg = &mut participant.legs[at];
        leg.socket = None;
        leg.detached = Some(Instant::now());
        let user = &participant.user_id;
        self.log.info(format_args!("{user} disconnected from {}; session kept for reconnect", joined.edge.name()));
    }

    /// LeaveCallRequest.
    pub fn leave(self: &Arc<Self>, joined: &Joined, reason: &str) {
        joined.stats.leave_received.store(true, Relaxed);
        *joined.stats.leave_reason.lock() = reason.chars().take(128).collect();
        let mut world = self.world.lock();
        self.drop_leg(&mut world, &joined.session_id, joined.leg, "left");
    }

    /// Ends one leg. If it is the last one, the participant is removed.
    pub fn drop_leg(self: &Arc<Self>, world: &mut World, session_id: &str, leg: u64, why: &str) {
        let Some(participant) = world.participant(session_id) else { return };
        let Some(at) = participant.legs.iter().position(|l| l.id == leg) else { return };
        if participant.legs.len() == 1 {
            world.remove(self, session_id, why, false);
            return;
        }
        let old = participant.legs.swap_remove(at);
        participant.edge = participant.legs[0].edge;
        participant.legs[0].migrating = None;
        for track in &participant.tracks {
            track.route.forget_source();
        }
        world.end_leg(old, why, false);
    }

    /// Writes a burst of offers that the client must ignore. Returns the number accepted for writing.
    pub async fn send_late_offers(&self, stats: &Arc<SessionStats>, socket: Option<Outbox>, burst: LateOffers) -> u64 {
        stats.late_offers_asked.fetch_add(burst.count, Relaxed);
        let Some(socket) = socket else { return 0 };
        let sdp = match &*stats.last_offer.lock() {
            Some(offer) => offer.sdp.clone(),
            None => crate::media::sdp::stray_offer(self.address),
        };
        let mut accepted = 0;
        for i in 0..burst.count {
            let bytes = encode(EventPayload::SubscriberOffer(event::SubscriberOffer {
                ice_restart: false,
                sdp: sdp.clone(),
                negotiation_id: stats.negotiations.fetch_add(1, Relaxed) + 1,
            }));
            let after = stats.leave_received.load(Relaxed).then(|| stats.late_offers_after_leave.clone());
            if !socket.send(Out::Counted(bytes, stats.late_offers_sent.clone(), after)).await {
                break;
            }
            accepted += 1;
            if burst.delay_ms > 0 && i + 1 < burst.count {
                tokio::time::sleep(Duration::from_millis(burst.delay_ms)).await;
            }
        }
        accepted
    }

    /// Ends all sessions and stops the server.
    pub fn shut_down(&self) {
        let mut world = self.world.lock();
        let rooms = std::mem::take(&mut world.rooms);
        world.sessions.clear();
        drop(world);
        for mut participant in rooms.into_values().flat_map(|r| r.participants) {
            for leg in &mut participant.legs {
                leg.end_media(true);
            }
        }
        self.stop.send_replace(true);
    }
}

/// The publish options sent to every client.
pub fn publish_options() -> Vec<models::PublishOption> {
    let codec = |name: &str, clock_rate: u32, fmtp: &str| {
        Some(models::Codec { name: name.into(), clock_rate, fmtp: fmtp.into(), ..models::Codec::default() })
    };
    let video = |track_type: models::TrackType, id, bitrate, width, height, layers| models::PublishOption {
        track_type: track_type as i32,
        codec: codec("vp8", 90_000, ""),
        bitrate,
        fps: 30,
        max_spatial_layers: layers,
        max_temporal_layers: 1,
        video_dimension: Some(models::VideoDimension { width, height }),
        id,
        ..models::PublishOption::default()
    };
    vec![
        models::PublishOption {
            track_type: models::TrackType::Audio as i32,
            codec: codec("opus", 48_000, "minptime=10;useinbandfec=1"),
            bitrate: 64_000,
            id: 1,
            ..models::PublishOption::default()
        },
        video(models::TrackType::Video, 2, 1_250_000, 1280, 720, 3),
        video(models::TrackType::ScreenShare, 3, 2_500_000, 1920, 1080, 1),
    ]
}
