//! From an event of the session to its C form, and the texts that it points to.
//!
//! Must not know: who gets it.

use super::{
    audio::oh_track_kind,
    call::oh_call,
    convert::c_text,
    event::{oh_event_kind::*, *},
    result::oh_result,
    track::oh_track,
};
use crate::core::model::{DataBody, DataIn, Delivery, Participant, Quality, RemoteTrack, Strategy, UnpublishCause};
use crate::core::{Event, State};
use crate::error::Error;
use crate::session::Notice;
use std::ffi::{c_char, CString};

/// Texts that an event points to.
#[derive(Default)]
pub(super) struct Texts {
    texts: Vec<CString>,
    pins: Vec<oh_pin>,
}

impl Texts {
    fn keep(&mut self, text: &str) -> *const c_char {
        let text = c_text(text);
        // The heap text does not move when the list grows.
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }
}

pub(super) fn state_of(state: State) -> i32 {
    state as i32
}

pub(super) fn frame(call: oh_call, at_ms: u64, kind: oh_event_kind, u: oh_event_data) -> oh_event {
    oh_event { size: size_of::<oh_event>() as u32, kind: kind as i32, call, at_ms, u }
}

fn participant(p: &Participant, t: &mut Texts) -> oh_event_data {
    let participant = oh_event_participant {
        user_id: t.keep(&p.user_id),
        session_id: t.keep(&p.session_id),
        name: t.keep(&p.name),
        image: t.keep(&p.image),
        custom: t.keep(&p.custom_json),
        quality: quality(p.quality),
        speaking: u32::from(p.is_speaking),
        dominant: u32::from(p.is_dominant),
        level: p.audio_level,
        metadata: t.keep(&p.metadata),
        attributes: t.keep(&p.attributes_json),
    };
    oh_event_data { participant }
}

/// A packet or a text; the payload is not copied, it lives as long as the notice.
fn from_participant(data: &DataIn, t: &mut Texts) -> (oh_event_kind, oh_event_data) {
    let (user_id, session_id) = (t.keep(&data.from), t.keep(&data.session_id));
    match &data.body {
        DataBody::Text { id, topic, text } => {
            let text = oh_event_text { user_id, session_id, topic: t.keep(topic), id: t.keep(id), text: t.keep(text) };
            (OH_EVENT_TEXT, oh_event_data { text })
        }
        DataBody::Packet { topic, payload } => {
            let bytes = if payload.is_empty() { std::ptr::null() } else { payload.as_ptr() };
            let data = oh_event_data_packet {
                user_id,
                session_id,
                topic: t.keep(topic),
                bytes,
                size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
                lossy: u32::from(data.delivery == Delivery::Lossy),
            };
            (OH_EVENT_DATA, oh_event_data { data })
        }
        // The core puts pieces together before it tells.
        _ => {
            let none = t.keep("");
            let text = oh_event_text { user_id, session_id, topic: none, id: none, text: none };
            (OH_EVENT_TEXT, oh_event_data { text })
        }
    }
}

fn remote_track(user_id: &str, session_id: &str, track: &RemoteTrack, cause: i32, t: &mut Texts) -> oh_event_data {
    let track = oh_event_track {
        user_id: t.keep(user_id),
        session_id: t.keep(session_id),
        kind: oh_track_kind::from(track.kind) as i32,
        cause,
        track_id: t.keep(&track.id),
        name: t.keep(&track.name),
    };
    oh_event_data { track }
}

fn quality(quality: Quality) -> i32 {
    match quality {
        Quality::Unknown => 0,
        Quality::Poor => 1,
        Quality::Good => 2,
        Quality::Excellent => 3,
        Quality::Lost => 4,
    }
}

fn error_of(error: Option<&Error>) -> (i32, i32) {
    error.map_or((0, 0), |e| (oh_result::from(e.code) as i32, e.server_code))
}

/// The C form of an event; valid as long as the texts are. `track` finds the handle of a track.
pub(super) fn c_event(call: oh_call, notice: &Notice, t: &mut Texts, track: impl Fn(u64) -> oh_track) -> oh_event {
    // What no member covers is zero.
    let zero = oh_event_data { reserved: [0; 24] };
    let (kind, u) = match &notice.event {
        Event::State { state, previous } => (
            OH_EVENT_STATE,
            oh_event_data { state: oh_event_state { state: state_of(*state), previous: state_of(*previous) } },
        ),
        Event::Joined { counts, session_id } => {
            let counts = oh_event_counts { total: counts.total, anonymous: counts.anonymous };
            let join_ms = u32::try_from(notice.at_ms).unwrap_or(u32::MAX);
            let joined = oh_event_joined { session_id: t.keep(session_id), counts, join_ms, reserved: 0 };
            (OH_EVENT_JOINED, oh_event_data { joined })
        }
        Event::Reconnected { strategy, attempts, session_id, elapsed_ms } => {
            let how = match strategy {
                Strategy::Fast => oh_reconnect::OH_RECONNECT_FAST,
                Strategy::Migrate => oh_reconnect::OH_RECONNECT_MIGRATE,
                _ => oh_reconnect::OH_RECONNECT_REJOIN,
            };
            let reconnected = oh_event_reconnected {
                session_id: t.keep(session_id),
                how: how as i32,
                attempts: *attempts,
                elapsed_ms: *elapsed_ms,
            };
            (OH_EVENT_RECONNECTED, oh_event_data { reconnected })
        }
        Event::TokenNeeded => (OH_EVENT_TOKEN_NEEDED, zero),
        Event::ParticipantJoined(p) => (OH_EVENT_PARTICIPANT_JOINED, participant(p, t)),
        Event::ParticipantUpdated(p) => (OH_EVENT_PARTICIPANT_UPDATED, participant(p, t)),
        Event::ParticipantLeft(p) => (OH_EVENT_PARTICIPANT_LEFT, participant(p, t)),
        Event::TrackPublished { user_id, session_id, track } => {
            (OH_EVENT_TRACK_PUBLISHED, remote_track(user_id, session_id, track, 0, t))
        }
        Event::TrackUnpublished { user_id, session_id, track, cause } => {
            let cause = match cause {
                UnpublishCause::Unspecified => 0,
                UnpublishCause::UserMuted => 1,
                UnpublishCause::PermissionRevoked => 2,
                UnpublishCause::Moderation => 3,
            };
            (OH_EVENT_TRACK_UNPUBLISHED, remote_track(user_id, session_id, track, cause, t))
        }
        Event::AudioLevel { user_id, session_id, level, speaking } => {
            let (user_id, session_id) = (t.keep(user_id), t.keep(session_id));
            let level = oh_event_level { user_id, session_id, level: *level, speaking: u32::from(*speaking) };
            (OH_EVENT_AUDIO_LEVEL, oh_event_data { level })
        }
        Event::DominantSpeaker { user_id, session_id } => {
            let (user_id, session_id) = (t.keep(user_id), t.keep(session_id));
            let level = oh_event_level { user_id, session_id, level: 0.0, speaking: 1 };
            (OH_EVENT_DOMINANT_SPEAKER, oh_event_data { level })
        }
        Event::Quality { user_id, session_id, quality: q } => {
            let (user_id, session_id) = (t.keep(user_id), t.keep(session_id));
            let quality = oh_event_quality { user_id, session_id, quality: quality(*q), reserved: 0 };
            (OH_EVENT_CONNECTION_QUALITY, oh_event_data { quality })
        }
        Event::Counts(c) => {
            let counts = oh_event_counts { total: c.total, anonymous: c.anonymous };
            (OH_EVENT_COUNTS, oh_event_data { counts })
        }
        Event::Grants(g) => {
            let (audio, video, screen_share) = (g.audio.into(), g.video.into(), g.screen_share.into());
            (OH_EVENT_GRANTS, oh_event_data { grants: oh_event_grants { audio, video, screen_share } })
        }
        Event::Pins(pins) => {
            for pin in pins {
                let (user_id, session_id) = (t.keep(&pin.user_id), t.keep(&pin.session_id));
                t.pins.push(oh_pin { user_id, session_id });
            }
            let first = if t.pins.is_empty() { std::ptr::null() } else { t.pins.as_ptr() };
            let pins = oh_event_pins { pins: first, count: t.pins.len() as u32, reserved: 0 };
            (OH_EVENT_PINS, oh_event_data { pins })
        }
        Event::Custom { user_id, custom_type, json } => {
            let (user_id, custom_type, json) = (t.keep(user_id), t.keep(custom_type), t.keep(json));
            (OH_EVENT_CUSTOM, oh_event_data { custom: oh_event_custom { user_id, custom_type, json } })
        }
        Event::Room(r) => {
            let (id, name, metadata) = (t.keep(&r.id), t.keep(&r.name), t.keep(&r.metadata));
            let room = oh_event_room { id, name, metadata, recording: r.recording.into(), reserved: 0 };
            (OH_EVENT_ROOM, oh_event_data { room })
        }
        Event::Data(data) => from_participant(data, t),
        Event::RpcRequest { id, user_id, method, payload, timeout_ms } => {
            let rpc = oh_event_rpc {
                call_id: 0,
                request_id: t.keep(id),
                user_id: t.keep(user_id),
                method: t.keep(method),
                payload: t.keep(payload),
                text: t.keep(""),
                error_code: 0,
                timeout_ms: *timeout_ms,
            };
            (OH_EVENT_RPC_REQUEST, oh_event_data { rpc })
        }
        Event::RpcResponse { id, answer } => {
            let (payload, text, error_code) = match answer {
                Ok(payload) => (payload.as_str(), "", 0),
                Err(failure) => (failure.data.as_str(), failure.message.as_str(), failure.code),
            };
            let none = t.keep("");
            let rpc = oh_event_rpc {
                call_id: *id,
                request_id: none,
                user_id: none,
                method: none,
                payload: t.keep(payload),
                text: t.keep(text),
                error_code,
                timeout_ms: 0,
            };
            (OH_EVENT_RPC_RESPONSE, oh_event_data { rpc })
        }
        Event::Subscribable { user_id, session_id, track_id, allowed } => {
            let subscribable = oh_event_subscribable {
                user_id: t.keep(user_id),
                session_id: t.keep(session_id),
                track_id: t.keep(track_id),
                allowed: u32::from(*allowed),
                reserved: 0,
            };
            (OH_EVENT_SUBSCRIBABLE, oh_event_data { subscribable })
        }
        Event::LocalPublished { track: id } => {
            let local = oh_event_local { track: track(*id), error: 0, server_code: 0, text: t.keep("") };
            (OH_EVENT_LOCAL_PUBLISHED, oh_event_data { local })
        }
        Event::LocalFailed { track: id, error } => {
            let (code, server_code) = error_of(Some(error));
            let local = oh_event_local { track: track(*id), error: code, server_code, text: t.keep(&error.message) };
            (OH_EVENT_LOCAL_FAILED, oh_event_data { local })
        }
        Event::Error(error) => {
            let (code, server_code) = error_of(Some(error));
            let error = oh_event_error { error: code, server_code, text: t.keep(&error.message) };
            (OH_EVENT_ERROR, oh_event_data { error })
        }
        Event::Ended(end) => {
            let (error, server_code) = error_of(end.error.as_ref());
            let reason = t.keep(&end.text);
            let ended = oh_event_ended { code: end.reason as i32, error, server_code, reserved: 0, reason };
            (OH_EVENT_ENDED, oh_event_data { ended })
        }
    };
    frame(call, notice.at_ms, kind, u)
}

pub(super) fn c_lost(call: oh_call, count: u64) -> oh_event {
    frame(call, 0, OH_EVENT_LOST, oh_event_data { lost: oh_event_lost { count } })
}
