//! The state that `/ctl/state` returns: counters of live and ended sessions, and the requests received.
//!
//! Counters are written on many paths and read in one place.

use crate::{faults::Edge, media::subscriber::Offer, server::Server};
use offhook_proto::models::TrackType;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use std::sync::{
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    Arc,
};

/// Twirp methods, in the order of their counters.
pub const METHODS: [&str; 10] = [
    "SetPublisher",
    "SendAnswer",
    "IceTrickle",
    "UpdateSubscriptions",
    "UpdateMuteStates",
    "IceRestart",
    "SendStats",
    "SendMetrics",
    "StartNoiseCancellation",
    "StopNoiseCancellation",
];

/// A burst of late offers to send.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct LateOffers {
    #[serde(default = "one")]
    pub count: u64,
    #[serde(default)]
    pub delay_ms: u64,
}

fn one() -> u64 {
    1
}

/// One session at one SFU, from its first socket on. Kept for a while after it ends.
#[derive(Debug)]
pub struct SessionStats {
    pub session_id: String,
    pub unified_session_id: String,
    pub user_id: String,
    pub cid: String,
    pub edge: Edge,
    /// Real subscriber offers written to the socket, including resends.
    pub offers_sent: Arc<AtomicU64>,
    pub answers_received: AtomicU64,
    pub answers_applied: AtomicU64,
    /// Answers that match no open offer, including answers to late offers.
    pub answers_stale: AtomicU64,
    pub answers_unusable: AtomicU64,
    pub late_offers_asked: AtomicU64,
    /// Late offers written to the socket.
    pub late_offers_sent: Arc<AtomicU64>,
    /// Those written after LeaveCallRequest was received.
    pub late_offers_after_leave: Arc<AtomicU64>,
    pub late_on_leave: Mutex<Option<LateOffers>>,
    pub leave_received: AtomicBool,
    pub leave_reason: Mutex<String>,
    pub sockets: AtomicU64,
    pub messages_in: AtomicU64,
    pub messages_text: AtomicU64,
    pub messages_unreadable: AtomicU64,
    pub bytes_in: AtomicU64,
    pub events_out: AtomicU64,
    pub health_checks: AtomicU64,
    pub rpcs: [AtomicU64; METHODS.len()],
    pub negotiations: Arc<AtomicU32>,
    pub last_offer: Mutex<Option<Offer>>,
    /// Joins of this session as JSON: edge, strategy, attempt, previous session, reason and counts.
    pub joins: Mutex<Vec<Value>>,
    pub close_codes: Mutex<Vec<u16>>,
    pub ended: Mutex<Option<String>>,
}

impl SessionStats {
    pub fn new(session_id: &str, unified: &str, user_id: &str, cid: &str, edge: Edge) -> Self {
        SessionStats {
            session_id: session_id.into(),
            unified_session_id: unified.into(),
            user_id: user_id.into(),
            cid: cid.into(),
            edge,
            offers_sent: Arc::default(),
            answers_received: AtomicU64::new(0),
            answers_applied: AtomicU64::new(0),
            answers_stale: AtomicU64::new(0),
            answers_unusable: AtomicU64::new(0),
            late_offers_asked: AtomicU64::new(0),
            late_offers_sent: Arc::default(),
            late_offers_after_leave: Arc::default(),
            late_on_leave: Mutex::default(),
            leave_received: AtomicBool::new(false),
            leave_reason: Mutex::default(),
            sockets: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            messages_text: AtomicU64::new(0),
            messages_unreadable: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            events_out: AtomicU64::new(0),
            health_checks: AtomicU64::new(0),
            rpcs: Default::default(),
            negotiations: Arc::default(),
            last_offer: Mutex::default(),
            joins: Mutex::default(),
            close_codes: Mutex::default(),
            ended: Mutex::default(),
        }
    }

    pub fn describe(&self) -> Value {
        let rpcs: serde_json::Map<String, Value> =
            METHODS.iter().zip(&self.rpcs).map(|(m, n)| ((*m).to_owned(), json!(n.load(Relaxed)))).collect();
        json!({
            "session_id": self.session_id,
            "unified_session_id": self.unified_session_id,
            "user_id": self.user_id,
            "cid": self.cid,
            "edge": self.edge.name(),
            "offers_sent": self.offers_sent.load(Relaxed),
            "answers_received": self.answers_received.load(Relaxed),
            "answers_applied": self.answers_applied.load(Relaxed),
            "answers_stale": self.answers_stale.load(Relaxed),
            "answers_unusable": self.answers_unusable.load(Relaxed),
            "late_offers_asked": self.late_offers_asked.load(Relaxed),
            "late_offers_sent": self.late_offers_sent.load(Relaxed),
            "late_offers_after_leave": self.late_offers_after_leave.load(Relaxed),
            "leave_received": self.leave_received.load(Relaxed),
            "leave_reason": *self.leave_reason.lock(),
            "sockets": self.sockets.load(Relaxed),
            "messages_in": self.messages_in.load(Relaxed),
            "messages_text": self.messages_text.load(Relaxed),
            "messages_unreadable": self.messages_unreadable.load(Relaxed),
            "bytes_in": self.bytes_in.load(Relaxed),
            "events_out": self.events_out.load(Relaxed),
            "health_checks": self.health_checks.load(Relaxed),
            "negotiation_id": self.negotiations.load(Relaxed),
            "rpcs": rpcs,
            "joins": *self.joins.lock(),
            "close_codes": *self.close_codes.lock(),
            "ended": *self.ended.lock(),
        })
    }
}

/// One join request at the coordinator.
#[derive(Clone, Debug, Serialize)]
pub struct JoinRecord {
    pub cid: String,
    pub user_id: String,
    pub location: String,
    pub migrating_from: String,
    pub migrating_from_list: Vec<String>,
    pub ring: bool,
    pub notify: bool,
    /// The SFU named in the response; empty if the join was refused.
    pub edge: String,
    pub http_status: u16,
}

/// Counters of the whole process.
#[derive(Debug, Default)]
pub struct Counters {
    pub connections: AtomicU64,
    pub connections_open: AtomicU64,
    pub http_requests: AtomicU64,
    pub joins: AtomicU64,
    pub rpcs: [AtomicU64; METHODS.len()],
    pub rpc_errors: AtomicU64,
    pub refused: AtomicU64,
    pub coordinator_sockets: AtomicU64,
}

/// The complete state as JSON, for tests.
pub fn describe(server: &Server) -> Value {
    let world = server.world.lock();
    let mut rooms: Vec<&crate::room::Room> = world.rooms.values().collect();
    rooms.sort_by(|a, b| a.cid.cmp(&b.cid));
    let rooms: Vec<Value> = rooms
        .into_iter()
        .map(|room| {
            let participants: Vec<Value> = room.participants.iter().map(participant).collect();
            json!({"cid": room.cid, "participants": participants, "dominant_speaker": room.dominant.current(),
                   "pins": room.pins.iter().map(|p| &p.session_id).collect::<Vec<_>>()})
        })
        .collect();
    let live = world.rooms.values().flat_map(|r| &r.participants).flat_map(|p| &p.legs);
    let sessions: Vec<Value> = live.map(|l| l.stats.describe()).collect();
    let gone: Vec<Value> = world.gone.iter().map(|(stats, _)| stats.describe()).collect();
    let c = &server.counters;
    let rpcs: serde_json::Map<String, Value> =
        METHODS.iter().zip(&c.rpcs).map(|(m, n)| ((*m).to_owned(), json!(n.load(Relaxed)))).collect();
    json!({
        "rooms": rooms,
        "sessions": sessions,
        "gone": gone,
        "joins": world.joins,
        "faults": server.faults.describe(),
        "media": media(server),
        "counters": {
            "connections": c.connections.load(Relaxed),
            "connections_open": c.connections_open.load(Relaxed),
            "http_requests": c.http_requests.load(Relaxed),
            "joins": c.joins.load(Relaxed),
            "rpcs": rpcs,
            "rpc_errors": c.rpc_errors.load(Relaxed),
            "refused": c.refused.load(Relaxed),
            "coordinator_sockets": c.coordinator_sockets.load(Relaxed),
        },
    })
}

fn media(server: &Server) -> Value {
    let tcp = server.tcp.as_ref().map(|tcp| {
        let stats = &tcp.registry.stats;
        json!({
            "port": tcp.port,
            "accepted": stats.accepted.load(Relaxed),
            "assigned": stats.assigned.load(Relaxed),
            "refused": stats.refused.load(Relaxed),
            "evicted": stats.evicted.load(Relaxed),
            "waiting": stats.waiting.load(Relaxed),
            "open": tcp.registry.in_use(server.config.limits.media_connections),
            "peer_connections": tcp.registry.peers(),
        })
    });
    json!({ "udp": server.config.udp, "ice_tcp": tcp })
}

fn participant(p: &crate::participant::Participant) -> Value {
    let tracks: Vec<Value> = p
        .tracks
        .iter()
        .map(|t| {
            json!({
                "type": TrackType::try_from(t.info.track_type).unwrap_or_default().as_str_name(),
                "mid": t.info.mid, "announced": t.announced, "muted": t.muted, "msid": p.msid(t),
                "subscribers": t.route.subscribers(), "packets": t.route.packets.load(Relaxed),
                "bytes": t.route.bytes.load(Relaxed), "simulcast": t.route.is_simulcast(),
                "level_measured": t.route.meter().is_measured(),
            })
        })
        .collect();
    let legs: Vec<Value> = p
        .legs
        .iter()
        .map(|l| {
            json!({
                "edge": l.edge.name(), "socket": l.socket.as_ref().is_some_and(|s| !s.is_closed()),
                "migrating": l.migrating.is_some(), "subscriptions": l.subscriptions.len(),
                "publisher": l.publisher.as_ref().map(|h| h.stats.describe()),
                "subscriber": l.subscriber.as_ref().map(|h| h.stats.describe()),
            })
        })
        .collect();
    json!({
        "user_id": p.user_id, "session_id": p.session_id, "prefix": p.prefix, "edge": p.edge.name(),
        "audio_level": p.level.level, "is_speaking": p.level.is_speaking, "dominant": p.dominant,
        "grants": {"audio": p.grants.audio, "video": p.grants.video, "screenshare": p.grants.screenshare},
        "tracks": tracks, "legs": legs,
    })
}
