//! Rooms: their participants, event delivery, and the tracks each subscriber receives.
//!
//! All control state is one value behind one lock. The lock is never held across an await, and media does not take it.

use crate::{
    faults::Edge,
    media::{levels::Dominant, subscriber},
    participant::{Leg, Participant},
    server::Server,
    socket::Outbox,
    state::{JoinRecord, SessionStats},
};
use offhook_proto::{
    event::{self, sfu_event::EventPayload},
    models::{self, TrackType},
};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::SystemTime,
};

/// Ended sessions kept.
const MAX_GONE: usize = 512;
/// Join requests kept.
const MAX_JOINS: usize = 512;

/// One call, as seen by the SFUs.
#[derive(Debug)]
pub struct Room {
    pub cid: String,
    pub started_at: SystemTime,
    pub participants: Vec<Participant>,
    pub pins: Vec<models::Pin>,
    pub dominant: Dominant,
}

impl Room {
    pub fn new(cid: &str) -> Self {
        Room {
            cid: cid.into(),
            started_at: SystemTime::now(),
            participants: Vec::new(),
            pins: Vec::new(),
            dominant: Dominant::default(),
        }
    }

    pub fn position(&self, session_id: &str) -> Option<usize> {
        self.participants.iter().position(|p| p.session_id == session_id)
    }

    /// Sends an event to all participants except one session.
    pub fn broadcast(&self, server: &Server, except: Option<&str>, payload: EventPayload) {
        let bytes = crate::server::encode(payload);
        for participant in self.participants.iter().filter(|p| Some(p.session_id.as_str()) != except) {
            for leg in &participant.legs {
                leg.send_bytes(server, bytes.clone());
            }
        }
    }

    pub fn count(&self) -> models::ParticipantCount {
        models::ParticipantCount { total: self.participants.len() as u32, anonymous: 0 }
    }

    pub fn call_state(&self) -> models::CallState {
        let since = self.started_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        models::CallState {
            participants: self.participants.iter().map(Participant::to_wire).collect(),
            started_at: Some(offhook_proto::google::Timestamp {
                seconds: since.as_secs() as i64,
                nanos: since.subsec_nanos() as i32,
            }),
            participant_count: Some(self.count()),
            pins: self.pins.clone(),
            ..models::CallState::default()
        }
    }

    /// The tracks to forward to one leg of `me`.
    pub fn requested(&self, me: &Participant, leg: &Leg) -> Vec<subscriber::RequestedTrack> {
        let mut requested = Vec::new();
        for other in &self.participants {
            let is_self = other.session_id == me.session_id;
            for track in other.tracks.iter().filter(|t| t.announced) {
                if is_self && !track.info.self_sub_audio_video {
                    continue;
                }
                let asked = leg.subscriptions.iter().find(|s| {
                    s.track_type == track.kind as i32
                        && (s.session_id == other.session_id || s.session_id.is_empty() && s.user_id == other.user_id)
                });
                // Audio is forwarded by default, everything else only when subscribed to.
                if track.kind != TrackType::Audio && asked.is_none() {
                    continue;
                }
                requested.push(subscriber::RequestedTrack {
                    route: track.route.clone(),
                    msid: other.msid(track),
                    muted: track.muted,
                    layer: track.layer_for(asked.and_then(|s| s.dimension)),
                });
            }
        }
        requested
    }

    /// Sends the current set of tracks to one leg's subscriber.
    pub fn refresh(&self, me: &Participant, leg: &Leg) {
        if let Some(handle) = &leg.subscriber {
            // If the task's command queue is full, the next change sends the full set again.
            let _ = handle.tx.try_send(subscriber::Command::SetTracks(self.requested(me, leg)));
        }
    }

    /// Sends the current set of tracks to every subscriber.
    pub fn refresh_all(&self) {
        for participant in &self.participants {
            for leg in &participant.legs {
                self.refresh(participant, leg);
            }
        }
    }
}

/// All control state.
#[derive(Debug, Default)]
pub struct World {
    pub rooms: HashMap<String, Room>,
    /// Maps session_id to cid.
    pub sessions: HashMap<String, String>,
    pub gone: VecDeque<(Arc<SessionStats>, Option<Outbox>)>,
    pub joins: VecDeque<JoinRecord>,
}

impl World {
    pub fn room_of(&mut self, session_id: &str) -> Option<&mut Room> {
        self.rooms.get_mut(self.sessions.get(session_id)?)
    }

    pub fn participant(&mut self, session_id: &str) -> Option<&mut Participant> {
        let room = self.room_of(session_id)?;
        let at = room.position(session_id)?;
        Some(&mut room.participants[at])
    }

    pub fn leg(&mut self, session_id: &str, edge: Edge) -> Option<&mut Leg> {
        self.participant(session_id)?.leg_mut(edge)
    }

    pub fn remember_join(&mut self, record: JoinRecord) {
        if self.joins.len() >= MAX_JOINS {
            self.joins.pop_front();
        }
        self.joins.push_back(record);
    }

    /// Ends a leg's media and keeps its record.
    pub fn end_leg(&mut self, mut leg: Leg, why: &str, vanish: bool) {
        leg.end_media(vanish);
        leg.stats.ended.lock().get_or_insert_with(|| why.to_owned());
        if self.gone.len() >= MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back((leg.stats, leg.socket.take()));
    }

    /// Removes a participant and notifies the others.
    pub fn remove(&mut self, server: &Server, session_id: &str, why: &str, vanish: bool) {
        let Some(cid) = self.sessions.remove(session_id) else { return };
        let Some(room) = self.rooms.get_mut(&cid) else { return };
        let Some(at) = room.position(session_id) else { return };
        let mut participant = room.participants.remove(at);
        server.log.info(format_args!("{} left {cid}: {why}", participant.user_id));
        let left = EventPayload::ParticipantLeft(event::ParticipantLeft {
            call_cid: cid.clone(),
            participant: Some(participant.to_wire()),
        });
        room.broadcast(server, None, left);
        room.refresh_all();
        let empty = room.participants.is_empty();
        for leg in std::mem::take(&mut participant.legs) {
            self.end_leg(leg, why, vanish);
        }
        if empty {
            self.rooms.remove(&cid);
        }
    }
}
