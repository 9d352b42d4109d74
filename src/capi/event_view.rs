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
use crate::core::model::{
    Attributes, DataBody, DataIn, DataLost, Delivery, Grants, Participant, PeerKind, Quality, RemoteTrack, Strategy,
    UnpublishCause,
};
use crate::core::{Event, State};
use crate::dispatch;
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
        kind: p.kind as i32,
        local: u32::from(p.local),
        reason: p.reason.0,
        rights: p.grants.as_ref().map_or(0, rights),
    };
    oh_event_data { participant }
}

fn json(attributes: &Attributes) -> String {
    match attributes.is_empty() {
        true => String::new(),
        false => serde_json::to_string(attributes).unwrap_or_default(),
    }
}

fn rights(g: &Grants) -> u32 {
    let bits = [
        (g.audio, oh_right::OH_RIGHT_AUDIO),
        (g.video, oh_right::OH_RIGHT_VIDEO),
        (g.screen_share, oh_right::OH_RIGHT_SCREEN_SHARE),
        (g.data, oh_right::OH_RIGHT_DATA),
        (g.subscribe, oh_right::OH_RIGHT_SUBSCRIBE),
        (g.update_metadata, oh_right::OH_RIGHT_UPDATE_METADATA),
        (g.hidden, oh_right::OH_RIGHT_HIDDEN),
        (g.recorder, oh_right::OH_RIGHT_RECORDER),
    ];
    bits.into_iter().filter(|(has, _)| *has).map(|(_, bit)| bit as u32).sum()
}

/// A packet, a text, a part of one or a key; the payload is not copied, it lives as long as the notice.
fn from_participant(data: &DataIn, t: &mut Texts) -> (oh_event_kind, oh_event_data) {
    let (user_id, session_id) = (t.keep(&data.from), t.keep(&data.session_id));
    match &data.body {
        DataBody::Text { id, topic, text, attributes } => {
            let attributes = t.keep(&json(attributes));
            let (topic, id, text) = (t.keep(topic), t.keep(id), t.keep(text));
            let text = oh_event_text { user_id, session_id, topic, id, text, attributes };
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
        DataBody::TextPart { id, topic, text, attributes, offset } => {
            let attributes = t.keep(&json(attributes));
            let (topic, id, text, offset) = (t.keep(topic), t.keep(id), t.keep(text), *offset);
            let text_part = oh_event_text_part { user_id, session_id, topic, id, attributes, text, offset };
            (OH_EVENT_TEXT_PART, oh_event_data { text_part })
        }
        DataBody::Dtmf { code, digit } => {
            let dtmf = oh_event_dtmf { user_id, session_id, digit: t.keep(digit), code: *code, reserved: 0 };
            (OH_EVENT_DTMF, oh_event_data { dtmf })
        }
        // The core puts pieces together before it tells.
        _ => {
            let none = t.keep("");
            let text = oh_event_text { user_id, session_id, topic: none, id: none, text: none, attributes: none };
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
        muted: u32::from(track.muted),
        local: u32::from(track.local),
        held: u32::from(track.held),
        encrypted: u32::from(track.encrypted),
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
            let grants = oh_event_grants {
                audio: g.audio.into(),
                video: g.video.into(),
                screen_share: g.screen_share.into(),
                data: g.data.into(),
                subscribe: g.subscribe.into(),
                update_metadata: g.update_metadata.into(),
                hidden: g.hidden.into(),
                recorder: g.recorder.into(),
            };
            (OH_EVENT_GRANTS, oh_event_data { grants })
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
        Event::DataLost(lost) => {
            let DataLost { packets, bytes, texts } = *lost;
            let count = packets + texts;
            let lost = oh_event_lost { count, data_packets: packets, data_bytes: bytes, texts };
            (OH_EVENT_LOST, oh_event_data { lost })
        }
        Event::DataEncrypted { user_id, session_id } => {
            let unplayable = oh_event_unplayable {
                user_id: t.keep(user_id),
                session_id: t.keep(session_id),
                track_id: t.keep(""),
                text: t
                    .keep("data and texts of this participant are encrypted end to end; they are dropped and counted"),
                kind: 0,
                reason: oh_unplayable::OH_UNPLAYABLE_DATA_ENCRYPTED as i32,
            };
            (OH_EVENT_UNPLAYABLE, oh_event_data { unplayable })
        }
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
        Event::Unplayable(what) => {
            let unplayable = oh_event_unplayable {
                user_id: t.keep(&what.user_id),
                session_id: t.keep(&what.session_id),
                track_id: t.keep(&what.track_id),
                text: t.keep(&what.text),
                kind: what.kind.map_or(0, |kind| oh_track_kind::from(kind) as i32),
                reason: what.reason as i32,
            };
            (OH_EVENT_UNPLAYABLE, oh_event_data { unplayable })
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
        Event::Media { direction, connected, text } => {
            let direction = match direction {
                PeerKind::Publisher => oh_direction::OH_DIRECTION_SEND,
                PeerKind::Subscriber => oh_direction::OH_DIRECTION_RECEIVE,
            };
            let media =
                oh_event_media { direction: direction as i32, connected: u32::from(*connected), text: t.keep(text) };
            (OH_EVENT_MEDIA, oh_event_data { media })
        }
        Event::Error(error) => {
            let (code, server_code) = error_of(Some(error));
            let error = oh_event_error { error: code, server_code, text: t.keep(&error.message) };
            (OH_EVENT_ERROR, oh_event_data { error })
        }
        Event::Unsent(u) => {
            let unsent = oh_event_unsent {
                audio_ms: u.audio_ms,
                data_packets: u.packets,
                texts: u.texts,
                custom_events: u.custom_events,
                rpc_answers: u.rpc_answers,
                bytes: u.bytes,
            };
            (OH_EVENT_UNSENT, oh_event_data { unsent })
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

pub(super) fn c_lost(call: oh_call, count: u64, data: dispatch::DataLost) -> oh_event {
    frame(
        call,
        0,
        OH_EVENT_LOST,
        oh_event_data {
            lost: oh_event_lost { count, data_packets: data.packets, data_bytes: data.bytes, texts: data.texts },
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn view(event: Event, look: impl FnOnce(&oh_event)) {
        let notice = Notice::new(7, event);
        let mut texts = Texts::default();
        look(&c_event(oh_call { id: 1 }, &notice, &mut texts, |_| oh_track { id: 0 }));
    }

    fn said(body: DataBody) -> Event {
        Event::Data(DataIn { from: "ann".into(), session_id: "s".into(), delivery: Delivery::Reliable, body })
    }

    /// A text of an event that is still in view.
    unsafe fn text<'a>(text: *const c_char) -> &'a str {
        // SAFETY: by the caller's contract.
        unsafe { CStr::from_ptr(text) }.to_str().expect("UTF-8")
    }

    #[test]
    fn keys_parts_and_losses_have_their_members() {
        view(said(DataBody::Dtmf { code: 11, digit: "#".into() }), |e| {
            assert_eq!(e.kind, OH_EVENT_DTMF as i32);
            // SAFETY: the member that the kind names; its texts live as long as the view.
            let (dtmf, user, digit) = unsafe { (e.u.dtmf, text(e.u.dtmf.user_id), text(e.u.dtmf.digit)) };
            assert_eq!((dtmf.code, user, digit), (11, "ann", "#"));
        });
        let attributes: Attributes = [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "\"".to_owned())].into();
        let (id, topic) = ("id".to_owned(), "t".to_owned());
        view(said(DataBody::TextPart { id, topic, text: "é".into(), attributes, offset: 9 }), |e| {
            assert_eq!(e.kind, OH_EVENT_TEXT_PART as i32);
            // SAFETY: as above.
            let (part, attributes) = unsafe { (e.u.text_part, text(e.u.text_part.attributes)) };
            assert_eq!((part.offset, attributes), (9, r#"{"a":"\"","b":"2"}"#));
        });
        let (id, topic, attributes) = ("id".to_owned(), "t".to_owned(), Attributes::default());
        view(said(DataBody::Text { id, topic, text: "x".into(), attributes }), |e| {
            // SAFETY: as above.
            assert_eq!((e.kind, unsafe { text(e.u.text.attributes) }), (OH_EVENT_TEXT as i32, ""));
        });
        view(Event::DataLost(DataLost { packets: 2, bytes: 30, texts: 1 }), |e| {
            assert_eq!(e.kind, OH_EVENT_LOST as i32);
            // SAFETY: as above.
            let lost = unsafe { e.u.lost };
            assert_eq!((lost.count, lost.data_packets, lost.data_bytes, lost.texts), (3, 2, 30, 1));
        });
        view(Event::DataEncrypted { user_id: "ann".into(), session_id: "s".into() }, |e| {
            assert_eq!(e.kind, OH_EVENT_UNPLAYABLE as i32);
            // SAFETY: as above.
            let (unplayable, user) = unsafe { (e.u.unplayable, text(e.u.unplayable.user_id)) };
            assert_eq!((unplayable.reason, user), (oh_unplayable::OH_UNPLAYABLE_DATA_ENCRYPTED as i32, "ann"));
        });
    }
}
