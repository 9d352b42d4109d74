//! One participant of a room: its published tracks, and its one or two connections ("legs") to SFUs.
//!
//! Only data and its wire form. `room`, `join` and `publish` contain the logic.

use crate::{
    faults::Edge,
    media::{address::LocalAddress, forward::Route, levels::Level, publisher, subscriber},
    server::{encode, Server},
    socket::{Out, Outbox},
    state::SessionStats,
};
use offhook_proto::{
    event::{self, sfu_event::EventPayload},
    models::{self, TrackType},
    signal,
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Publish permissions of a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    pub audio: bool,
    pub video: bool,
    pub screenshare: bool,
}

impl Grants {
    pub const ALL: Grants = Grants { audio: true, video: true, screenshare: true };

    pub fn allow(self, kind: TrackType) -> bool {
        match kind {
            TrackType::Audio => self.audio,
            TrackType::Video => self.video,
            _ => self.screenshare,
        }
    }
}

/// One published track.
#[derive(Debug)]
pub struct Track {
    pub kind: TrackType,
    pub info: models::TrackInfo,
    /// Last component of its msid.
    pub number: u32,
    /// Announced to the other participants.
    pub announced: bool,
    pub muted: bool,
    pub route: Arc<Route>,
}

impl Track {
    /// True if its media is forwarded now.
    pub fn is_live(&self) -> bool {
        self.announced && !self.muted
    }

    /// The simulcast layer (0 smallest) that serves a subscribed size.
    pub fn layer_for(&self, size: Option<models::VideoDimension>) -> u8 {
        let requested = size.map_or(0, |d| d.width.max(d.height));
        if requested == 0 {
            return 2;
        }
        let mut layers: Vec<(u8, u32)> = self
            .info
            .layers
            .iter()
            .enumerate()
            .filter_map(|(i, l)| {
                let size = l.video_dimension?;
                let index = match l.rid.as_str() {
                    "q" => 0,
                    "h" => 1,
                    "f" => 2,
                    _ => i.min(2) as u8,
                };
                Some((index, size.width.max(size.height)))
            })
            .collect();
        layers.sort_by_key(|(_, size)| *size);
        layers.iter().find(|(_, size)| *size >= requested).or(layers.last()).map_or(2, |(index, _)| *index)
    }
}

/// One connection of a participant to one SFU: a socket and two peer connections.
#[derive(Debug)]
pub struct Leg {
    pub id: u64,
    pub edge: Edge,
    /// Address on which its signalling arrived.
    pub local: LocalAddress,
    pub socket: Option<Outbox>,
    /// Number of the current socket; identifies the end of a replaced socket.
    pub socket_number: u64,
    pub detached: Option<Instant>,
    pub publisher: Option<publisher::Handle>,
    /// DTLS fingerprint of the client's publisher. A different one means a new peer connection.
    pub fingerprint: String,
    pub subscriber: Option<subscriber::Handle>,
    pub subscriptions: Vec<signal::TrackSubscriptionDetails>,
    /// Set while this leg takes over from another one.
    pub migrating: Option<Instant>,
    pub stats: Arc<SessionStats>,
}

impl Leg {
    /// Sends an event on the leg's socket, if it has one.
    pub fn send(&self, server: &Server, payload: EventPayload) {
        self.send_bytes(server, encode(payload));
    }

    pub fn send_bytes(&self, server: &Server, bytes: Vec<u8>) {
        if let Some(socket) = &self.socket {
            self.stats.events_out.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let slow = Duration::from_millis(server.faults.slow_ms(Some(self.edge)));
            socket.push_at(Out::Binary(bytes), Instant::now() + slow);
        }
    }

    /// Ends both peer connections, with DTLS close_notify unless `vanish` is set.
    pub fn end_media(&mut self, vanish: bool) {
        if let Some(handle) = self.publisher.take() {
            let _ = handle.tx.try_send(if vanish { publisher::Command::Vanish } else { publisher::Command::Close });
        }
        if let Some(handle) = self.subscriber.take() {
            let _ = handle.tx.try_send(if vanish { subscriber::Command::Vanish } else { subscriber::Command::Close });
        }
    }
}

/// One participant.
#[derive(Debug)]
pub struct Participant {
    /// Distinguishes successive participants with the same session_id.
    pub number: u64,
    pub user_id: String,
    pub session_id: String,
    pub prefix: String,
    pub joined_at: SystemTime,
    pub source: i32,
    pub grants: Grants,
    pub tracks: Vec<Track>,
    pub next_track: u32,
    pub level: Level,
    pub dominant: bool,
    pub legs: Vec<Leg>,
    /// The active SFU. The other leg, if any, is the source or the destination of a migration.
    pub edge: Edge,
    /// Time since which it has no leg, because its SFU was killed.
    pub without_leg_since: Option<std::time::Instant>,
}

impl Participant {
    pub fn leg(&self, edge: Edge) -> Option<&Leg> {
        self.legs.iter().find(|l| l.edge == edge)
    }

    pub fn leg_mut(&mut self, edge: Edge) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|l| l.edge == edge)
    }

    /// Sends an event on every socket of the participant.
    pub fn send(&self, server: &Server, payload: &EventPayload) {
        for leg in &self.legs {
            leg.send(server, payload.clone());
        }
    }

    /// The track with this kind and name.
    pub fn track(&self, kind: TrackType, name: &str) -> Option<&Track> {
        self.tracks.iter().find(|t| t.kind == kind && t.info.track_id == name)
    }

    /// True if any track of this kind is forwarded to others.
    pub fn is_live(&self, kind: TrackType) -> bool {
        self.tracks.iter().any(|t| t.kind == kind && t.is_live())
    }

    /// The kinds with at least one forwarded track, each once.
    fn live_kinds(&self) -> Vec<TrackType> {
        let mut kinds = Vec::new();
        for track in self.tracks.iter().filter(|t| t.is_live()) {
            if !kinds.contains(&track.kind) {
                kinds.push(track.kind);
            }
        }
        kinds
    }

    pub fn msid(&self, track: &Track) -> String {
        format!("{}:{}:{}", self.prefix, track.kind.as_str_name(), track.number)
    }

    pub fn to_wire(&self) -> models::Participant {
        let since = self.joined_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        models::Participant {
            user_id: self.user_id.clone(),
            session_id: self.session_id.clone(),
            published_tracks: self.live_kinds().into_iter().map(|kind| kind as i32).collect(),
            joined_at: Some(offhook_proto::google::Timestamp {
                seconds: since.as_secs() as i64,
                nanos: since.subsec_nanos() as i32,
            }),
            track_lookup_prefix: self.prefix.clone(),
            connection_quality: models::ConnectionQuality::Excellent as i32,
            is_speaking: self.level.is_speaking,
            is_dominant_speaker: self.dominant,
            audio_level: self.level.level,
            name: self.user_id.clone(),
            roles: vec!["user".into()],
            source: self.source,
            ..models::Participant::default()
        }
    }

    pub fn published(&self, kind: TrackType) -> EventPayload {
        EventPayload::TrackPublished(event::TrackPublished {
            user_id: self.user_id.clone(),
            session_id: self.session_id.clone(),
            r#type: kind as i32,
            participant: Some(self.to_wire()),
        })
    }

    pub fn unpublished(&self, kind: TrackType, cause: models::TrackUnpublishReason) -> EventPayload {
        EventPayload::TrackUnpublished(event::TrackUnpublished {
            user_id: self.user_id.clone(),
            session_id: self.session_id.clone(),
            r#type: kind as i32,
            cause: cause as i32,
            participant: Some(self.to_wire()),
        })
    }
}
