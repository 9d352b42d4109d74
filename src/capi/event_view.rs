//! From an event of the session to its C form, and what that points to.
//!
//! Must not know: who gets it.

use super::{
    call::oh_call,
    convert::c_text,
    event::{oh_event_kind::*, *},
    people::*,
    result::oh_result,
    track::oh_track,
};
use crate::core::model::{
    Attributes, DataBody, DataIn, DataLost, Delivery, Grants, Participant, PeerKind, Pin, RemoteTrack, Strategy,
};
use crate::core::{Event, State};
use crate::dispatch;
use crate::error::Error;
use crate::session::Notice;
use std::any::Any;
use std::ffi::{c_char, CString};

/// What an event points to: structures, arrays and texts, at addresses that stay until this is dropped.
#[derive(Default)]
pub(super) struct Kept {
    texts: Vec<CString>,
    values: Vec<*mut dyn Any>,
}

// SAFETY: the pointers lead only to what this value owns, and nothing of it is changed after it was made.
unsafe impl Send for Kept {}

impl Kept {
    fn text(&mut self, text: &str) -> *const c_char {
        let text = c_text(text);
        // The heap text does not move when the list grows.
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }

    /// A structure for the application to look at.
    pub fn value<T: 'static>(&mut self, value: T) -> *const T {
        let pointer = Box::into_raw(Box::new(value));
        self.values.push(pointer);
        pointer
    }

    /// An array of pointers; NULL when there is none.
    pub fn pointers<T: 'static>(&mut self, pointers: Vec<*const T>) -> *const *const T {
        match pointers.is_empty() {
            true => std::ptr::null(),
            // Behind the vector, whose own place is of no interest.
            false => {
                let vector = Box::into_raw(Box::new(pointers));
                self.values.push(vector);
                // SAFETY: it was made above, and nothing else refers to it.
                unsafe { (*vector).as_ptr() }
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        for value in self.values.drain(..) {
            // SAFETY: each is from Box::into_raw, and is in the list once.
            drop(unsafe { Box::from_raw(value) });
        }
    }
}

pub(super) fn state_of(state: State) -> i32 {
    state as i32
}

pub(super) fn frame(call: oh_call, at_ms: u64, kind: oh_event_kind, u: oh_event_payload) -> oh_event {
    oh_event { size: size_of::<oh_event>(), call, at_ms, u, kind: kind as i32, reserved: 0 }
}

/// Keeps a payload of an event, and gives the member of the union that points to it.
macro_rules! payload {
    ($kept:ident, $member:ident: $name:ident { $($body:tt)* }) => {{
        let value = $name { size: size_of::<$name>(), $($body)* };
        oh_event_payload { $member: $kept.value(value) }
    }};
}

/// `tracks`: with the tracks that it describes itself.
pub(super) fn participant(p: &Participant, tracks: bool, k: &mut Kept) -> oh_participant {
    let published: &[RemoteTrack] = if tracks { &p.published } else { &[] };
    let tracks: Vec<_> = published
        .iter()
        .map(|track| {
            let info = track_info(&p.user_id, &p.session_id, track, oh_unpublish_cause::OH_UNPUBLISH_UNKNOWN, k);
            k.value(info)
        })
        .collect();
    oh_participant {
        size: size_of::<oh_participant>(),
        user_id: k.text(&p.user_id),
        session_id: k.text(&p.session_id),
        name: k.text(&p.name),
        image_url: k.text(&p.image),
        custom_json: k.text(&p.custom_json),
        metadata: k.text(&p.metadata),
        attributes_json: k.text(&p.attributes_json),
        track_count: tracks.len(),
        tracks: k.pointers(tracks),
        rights: p.grants.as_ref().map_or(0, rights),
        rights_known: p.grants.is_some().into(),
        kind: p.kind as i32,
        quality: oh_connection_quality::from(p.quality) as i32,
        leave_reason: p.reason.0,
        audio_level: p.audio_level,
        speaking: p.is_speaking.into(),
        dominant: p.is_dominant.into(),
        local: p.local.into(),
    }
}

fn json(attributes: &Attributes) -> String {
    match attributes.is_empty() {
        true => String::new(),
        false => serde_json::to_string(attributes).unwrap_or_default(),
    }
}

fn rights(g: &Grants) -> oh_rights {
    let bits = [
        (g.audio, oh_right::OH_RIGHT_AUDIO),
        (g.video, oh_right::OH_RIGHT_VIDEO),
        (g.screen_share, oh_right::OH_RIGHT_SCREEN_SHARE),
        (g.data, oh_right::OH_RIGHT_DATA),
        (g.subscribe, oh_right::OH_RIGHT_SUBSCRIBE),
        (g.update_metadata, oh_right::OH_RIGHT_SET_ATTRIBUTES),
        (g.hidden, oh_right::OH_RIGHT_HIDDEN),
        (g.recorder, oh_right::OH_RIGHT_RECORDER),
    ];
    bits.into_iter().filter(|(has, _)| *has).map(|(_, bit)| bit as oh_rights).sum()
}

/// A packet, a text, a part of one or a key; the payload is not copied, it lives as long as the notice.
fn from_participant(data: &DataIn, k: &mut Kept) -> (oh_event_kind, oh_event_payload) {
    let (user_id, session_id) = (k.text(&data.from), k.text(&data.session_id));
    match &data.body {
        DataBody::Text { id, topic, text, attributes } => {
            let attributes_json = k.text(&json(attributes));
            let (topic, text_id, text) = (k.text(topic), k.text(id), k.text(text));
            let u = payload!(k, text: oh_event_text { user_id, session_id, topic, text_id, text, attributes_json });
            (OH_EVENT_TEXT, u)
        }
        DataBody::Packet { topic, payload } => {
            let data_at = if payload.is_empty() { std::ptr::null() } else { payload.as_ptr() };
            let topic = k.text(topic);
            let u = payload!(k, data: oh_event_data {
                user_id,
                session_id,
                topic,
                data: data_at,
                data_size: payload.len(),
                lossy: (data.delivery == Delivery::Lossy).into(),
                reserved: 0,
            });
            (OH_EVENT_DATA, u)
        }
        DataBody::TextPart { id, topic, text, attributes, offset } => {
            let attributes_json = k.text(&json(attributes));
            let (topic, text_id, text, offset_bytes) = (k.text(topic), k.text(id), k.text(text), *offset);
            let u = payload!(k, text_part: oh_event_text_part {
                user_id, session_id, topic, text_id, text, attributes_json, offset_bytes
            });
            (OH_EVENT_TEXT_PART, u)
        }
        DataBody::Dtmf { code, digit } => {
            let digit = k.text(digit);
            (OH_EVENT_DTMF, payload!(k, dtmf: oh_event_dtmf { user_id, session_id, digit, code: *code, reserved: 0 }))
        }
        // The core completes texts before it reports them.
        _ => {
            let none = k.text("");
            let u = payload!(k, text: oh_event_text {
                user_id, session_id, topic: none, text_id: none, text: none, attributes_json: none
            });
            (OH_EVENT_TEXT, u)
        }
    }
}

pub(super) fn track_info(
    user_id: &str,
    session_id: &str,
    track: &RemoteTrack,
    cause: oh_unpublish_cause,
    k: &mut Kept,
) -> oh_track_info {
    oh_track_info {
        size: size_of::<oh_track_info>(),
        user_id: k.text(user_id),
        session_id: k.text(session_id),
        track_id: k.text(&track.id),
        name: k.text(&track.name),
        track: oh_track { id: 0 },
        source: oh_track_source::from(track.kind) as i32,
        cause: cause as i32,
        muted: track.muted.into(),
        local: track.local.into(),
        held: track.held.into(),
        encrypted: track.encrypted.into(),
        received: 0,
        unplayable: oh_unplayable_reason::OH_UNPLAYABLE_NONE as i32,
        published: 0,
        moderated: 0,
    }
}

fn pins(pins: &[Pin], k: &mut Kept) -> oh_event_payload {
    let pins: Vec<_> = pins
        .iter()
        .map(|pin| {
            let (user_id, session_id) = (k.text(&pin.user_id), k.text(&pin.session_id));
            k.value(oh_pin { size: size_of::<oh_pin>(), user_id, session_id })
        })
        .collect();
    let (pin_count, pins) = (pins.len(), k.pointers(pins));
    payload!(k, pins: oh_event_pins { pins, pin_count })
}

fn lost(data: dispatch::DataLost, total: u64, k: &mut Kept) -> oh_event_payload {
    let dispatch::DataLost { packets, texts, bytes } = data;
    payload!(k, lost: oh_event_lost { total, data_packets: packets, data_bytes: bytes, texts })
}

fn error_of(error: Option<&Error>) -> (i32, i32) {
    error.map_or((0, 0), |e| (oh_result::from(e.code) as i32, e.server_code))
}

/// The C form of an event; valid as long as `k` and the notice are. `track` finds the handle of a track.
pub(super) fn c_event(call: oh_call, notice: &Notice, k: &mut Kept, track: impl Fn(u64) -> oh_track) -> oh_event {
    let (kind, u) = match &notice.event {
        Event::State { state, previous } => {
            let (state, previous) = (state_of(*state), state_of(*previous));
            (OH_EVENT_STATE, payload!(k, state: oh_event_state { state, previous }))
        }
        Event::Joined { counts, session_id } => {
            let session_id = k.text(session_id);
            let u = payload!(k, joined: oh_event_joined {
                session_id,
                join_ms: notice.at_ms,
                participants: counts.total,
                anonymous_participants: counts.anonymous,
            });
            (OH_EVENT_JOINED, u)
        }
        Event::Reconnected { strategy, attempts, session_id, elapsed_ms } => {
            let kind = match strategy {
                Strategy::Fast => oh_reconnect_kind::OH_RECONNECT_FAST,
                Strategy::Migrate => oh_reconnect_kind::OH_RECONNECT_MIGRATE,
                _ => oh_reconnect_kind::OH_RECONNECT_REJOIN,
            };
            let session_id = k.text(session_id);
            let u = payload!(k, reconnected: oh_event_reconnected {
                session_id, elapsed_ms: *elapsed_ms, kind: kind as i32, attempts: *attempts
            });
            (OH_EVENT_RECONNECTED, u)
        }
        Event::TokenNeeded => (OH_EVENT_TOKEN_NEEDED, oh_event_payload { other: std::ptr::null() }),
        Event::ParticipantJoined(p) => (OH_EVENT_PARTICIPANT_JOINED, of_participant(p, k)),
        Event::ParticipantUpdated(p) => (OH_EVENT_PARTICIPANT_UPDATED, of_participant(p, k)),
        Event::ParticipantLeft(p) => (OH_EVENT_PARTICIPANT_LEFT, of_participant(p, k)),
        Event::TrackPublished { user_id, session_id, track } => {
            let info = track_info(user_id, session_id, track, oh_unpublish_cause::OH_UNPUBLISH_UNKNOWN, k);
            (OH_EVENT_TRACK_PUBLISHED, oh_event_payload { track: k.value(info) })
        }
        Event::TrackUnpublished { user_id, session_id, track, cause } => {
            let info = track_info(user_id, session_id, track, (*cause).into(), k);
            (OH_EVENT_TRACK_UNPUBLISHED, oh_event_payload { track: k.value(info) })
        }
        Event::AudioLevel { user_id, session_id, level, speaking } => {
            let (user_id, session_id) = (k.text(user_id), k.text(session_id));
            let u = payload!(k, audio_level: oh_event_audio_level {
                user_id, session_id, level: *level, speaking: (*speaking).into()
            });
            (OH_EVENT_AUDIO_LEVEL, u)
        }
        Event::DominantSpeaker { user_id, session_id } => {
            let (user_id, session_id) = (k.text(user_id), k.text(session_id));
            let u = payload!(k, dominant_speaker: oh_event_dominant_speaker { user_id, session_id });
            (OH_EVENT_DOMINANT_SPEAKER, u)
        }
        Event::Quality { user_id, session_id, quality } => {
            let (user_id, session_id) = (k.text(user_id), k.text(session_id));
            let quality = oh_connection_quality::from(*quality) as i32;
            let u = payload!(k, connection_quality: oh_event_connection_quality {
                user_id, session_id, quality, reserved: 0
            });
            (OH_EVENT_CONNECTION_QUALITY, u)
        }
        Event::Counts(c) => {
            let u = payload!(k, counts: oh_event_counts {
                participants: c.total, anonymous_participants: c.anonymous
            });
            (OH_EVENT_COUNTS, u)
        }
        Event::Grants(g) => (OH_EVENT_RIGHTS, payload!(k, rights: oh_event_rights { rights: rights(g) })),
        Event::Pins(all) => (OH_EVENT_PINS, pins(all, k)),
        Event::Custom { user_id, custom_type, json } => {
            let (user_id, custom_type, data_json) = (k.text(user_id), k.text(custom_type), k.text(json));
            (OH_EVENT_CUSTOM, payload!(k, custom: oh_event_custom { user_id, custom_type, data_json }))
        }
        Event::Room(r) => {
            let (room_id, name, metadata) = (k.text(&r.id), k.text(&r.name), k.text(&r.metadata));
            let recording = r.recording.into();
            (OH_EVENT_ROOM, payload!(k, room: oh_event_room { room_id, name, metadata, recording, reserved: 0 }))
        }
        Event::Data(data) => from_participant(data, k),
        Event::DataLost(DataLost { packets, bytes, texts }) => {
            let data = dispatch::DataLost { packets: *packets, texts: *texts, bytes: *bytes };
            (OH_EVENT_LOST, lost(data, packets + texts, k))
        }
        Event::DataEncrypted { user_id, session_id } => {
            let (user_id, session_id, track_id) = (k.text(user_id), k.text(session_id), k.text(""));
            let text =
                k.text("data and texts of this participant are encrypted end to end; they are dropped and counted");
            let u = payload!(k, unplayable: oh_event_unplayable {
                user_id,
                session_id,
                track_id,
                text,
                source: oh_track_source::OH_SOURCE_UNKNOWN as i32,
                reason: oh_unplayable_reason::OH_UNPLAYABLE_DATA_ENCRYPTED as i32,
            });
            (OH_EVENT_UNPLAYABLE, u)
        }
        Event::RpcRequest { id, user_id, method, payload, timeout_ms } => {
            let (request_id, user_id, method) = (k.text(id), k.text(user_id), k.text(method));
            let (payload, timeout_ms) = (k.text(payload), *timeout_ms);
            let u = payload!(k, rpc_request: oh_event_rpc_request {
                request_id, user_id, method, payload, timeout_ms, reserved: 0
            });
            (OH_EVENT_RPC_REQUEST, u)
        }
        Event::RpcResponse { id, answer } => {
            let (payload, text, error_code) = match answer {
                Ok(payload) => (payload.as_str(), "", 0),
                Err(failure) => (failure.data.as_str(), failure.message.as_str(), failure.code),
            };
            let (payload, text) = (k.text(payload), k.text(text));
            let u = payload!(k, rpc_response: oh_event_rpc_response {
                rpc_id: *id, payload, text, error_code, reserved: 0
            });
            (OH_EVENT_RPC_RESPONSE, u)
        }
        Event::Subscribable { user_id, session_id, track_id, allowed } => {
            let (user_id, session_id, track_id) = (k.text(user_id), k.text(session_id), k.text(track_id));
            let u = payload!(k, subscription_permission: oh_event_subscription_permission {
                user_id, session_id, track_id, allowed: (*allowed).into(), reserved: 0
            });
            (OH_EVENT_SUBSCRIPTION_PERMISSION, u)
        }
        Event::Unplayable(what) => {
            let (user_id, session_id) = (k.text(&what.user_id), k.text(&what.session_id));
            let (track_id, text) = (k.text(&what.track_id), k.text(&what.text));
            let source = what.kind.map_or(oh_track_source::OH_SOURCE_UNKNOWN, oh_track_source::from) as i32;
            let u = payload!(k, unplayable: oh_event_unplayable {
                user_id, session_id, track_id, text, source, reason: what.reason as i32
            });
            (OH_EVENT_UNPLAYABLE, u)
        }
        Event::LocalPublished { track: id } => {
            let text = k.text("");
            let u =
                payload!(k, local_track: oh_event_local_track { track: track(*id), text, error: 0, server_code: 0 });
            (OH_EVENT_LOCAL_TRACK_PUBLISHED, u)
        }
        Event::LocalFailed { track: id, error } => {
            let ((code, server_code), text) = (error_of(Some(error)), k.text(&error.message));
            let u =
                payload!(k, local_track: oh_event_local_track { track: track(*id), text, error: code, server_code });
            (OH_EVENT_LOCAL_TRACK_FAILED, u)
        }
        Event::Media { direction, connected, text } => {
            let direction = match direction {
                PeerKind::Publisher => oh_direction::OH_DIRECTION_SEND,
                PeerKind::Subscriber => oh_direction::OH_DIRECTION_RECEIVE,
            };
            let text = k.text(text);
            let u = payload!(k, media: oh_event_media {
                text, direction: direction as i32, connected: (*connected).into()
            });
            (OH_EVENT_MEDIA, u)
        }
        Event::IceServer(failure) => {
            let (url, text, code) = (k.text(&failure.url), k.text(&failure.text), failure.code.into());
            (OH_EVENT_ICE_SERVER, payload!(k, ice_server: oh_event_ice_server { url, text, code, reserved: 0 }))
        }
        Event::Error(error) => {
            let ((code, server_code), text) = (error_of(Some(error)), k.text(&error.message));
            (OH_EVENT_ERROR, payload!(k, error: oh_event_error { text, error: code, server_code }))
        }
        Event::Unsent(u) => {
            let u = payload!(k, unsent: oh_event_unsent {
                audio_ms: u.audio_ms,
                data_packets: u.packets,
                texts: u.texts,
                custom_events: u.custom_events,
                rpc_answers: u.rpc_answers,
                bytes: u.bytes,
            });
            (OH_EVENT_UNSENT, u)
        }
        Event::Ended(end) => {
            let ((error, server_code), text) = (error_of(end.error.as_ref()), k.text(&end.text));
            let reason = end.reason as i32;
            (OH_EVENT_ENDED, payload!(k, ended: oh_event_ended { text, reason, error, server_code, reserved: 0 }))
        }
    };
    frame(call, notice.at_ms, kind, u)
}

fn of_participant(p: &Participant, k: &mut Kept) -> oh_event_payload {
    let participant = participant(p, true, k);
    oh_event_payload { participant: k.value(participant) }
}

pub(super) fn c_lost(call: oh_call, total: u64, data: dispatch::DataLost, k: &mut Kept) -> oh_event {
    frame(call, 0, OH_EVENT_LOST, lost(data, total, k))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::IceServerFailure;
    use std::ffi::CStr;

    fn view(event: Event, look: impl FnOnce(&oh_event)) {
        let notice = Notice::new(7, event);
        let mut kept = Kept::default();
        look(&c_event(oh_call { id: 1 }, &notice, &mut kept, |_| oh_track { id: 0 }));
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
            let (dtmf, user, digit) = unsafe { (*e.u.dtmf, text((*e.u.dtmf).user_id), text((*e.u.dtmf).digit)) };
            assert_eq!((dtmf.code, user, digit), (11, "ann", "#"));
        });
        let attributes: Attributes = [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "\"".to_owned())].into();
        let (id, topic) = ("id".to_owned(), "t".to_owned());
        view(said(DataBody::TextPart { id, topic, text: "é".into(), attributes, offset: 9 }), |e| {
            assert_eq!(e.kind, OH_EVENT_TEXT_PART as i32);
            // SAFETY: as above.
            let (part, attributes) = unsafe { (*e.u.text_part, text((*e.u.text_part).attributes_json)) };
            assert_eq!((part.offset_bytes, attributes), (9, r#"{"a":"\"","b":"2"}"#));
        });
        let (id, topic, attributes) = ("id".to_owned(), "t".to_owned(), Attributes::default());
        view(said(DataBody::Text { id, topic, text: "x".into(), attributes }), |e| {
            // SAFETY: as above.
            assert_eq!((e.kind, unsafe { text((*e.u.text).attributes_json) }), (OH_EVENT_TEXT as i32, ""));
        });
        view(Event::DataLost(DataLost { packets: 2, bytes: 30, texts: 1 }), |e| {
            assert_eq!(e.kind, OH_EVENT_LOST as i32);
            // SAFETY: as above.
            let lost = unsafe { *e.u.lost };
            assert_eq!((lost.total, lost.data_packets, lost.data_bytes, lost.texts), (3, 2, 30, 1));
        });
        view(Event::DataEncrypted { user_id: "ann".into(), session_id: "s".into() }, |e| {
            assert_eq!(e.kind, OH_EVENT_UNPLAYABLE as i32);
            // SAFETY: as above.
            let (unplayable, user) = unsafe { (*e.u.unplayable, text((*e.u.unplayable).user_id)) };
            assert_eq!((unplayable.reason, user), (oh_unplayable_reason::OH_UNPLAYABLE_DATA_ENCRYPTED as i32, "ann"));
        });
    }

    #[test]
    fn a_failed_ice_server_has_its_url_code_and_text() {
        let (url, text) = ("turns:turn.example.com:443?transport=tcp".to_owned(), "no answer within 5 s".to_owned());
        view(Event::IceServer(IceServerFailure { url: url.clone(), code: 701, text: text.clone() }), |e| {
            assert_eq!(e.kind, OH_EVENT_ICE_SERVER as i32);
            // SAFETY: the member that the kind names; its texts live as long as the view.
            let (seen, seen_url, seen_text) = unsafe {
                let seen = *e.u.ice_server;
                (seen, self::text(seen.url), self::text(seen.text))
            };
            assert_eq!((seen.size, seen.code, seen.reserved), (size_of::<oh_event_ice_server>(), 701, 0));
            assert_eq!((seen_url, seen_text), (url.as_str(), text.as_str()));
        });
        // SAFETY: static text.
        let name = unsafe { CStr::from_ptr(oh_event_kind_get_name(OH_EVENT_ICE_SERVER as i32)) };
        assert_eq!(name.to_bytes(), b"ice_server");
    }

    #[test]
    fn arrays_are_of_pointers_and_empty_ones_are_null() {
        let pin = |user: &str| Pin { user_id: user.into(), session_id: "s".into() };
        view(Event::Pins(vec![pin("ann"), pin("bob")]), |e| {
            // SAFETY: as above; `pins` has `pin_count` pointers.
            unsafe {
                let pins = &*e.u.pins;
                let all = std::slice::from_raw_parts(pins.pins, pins.pin_count);
                let names: Vec<_> = all.iter().map(|pin| ((**pin).size, text((**pin).user_id))).collect();
                assert_eq!(names, [(size_of::<oh_pin>(), "ann"), (size_of::<oh_pin>(), "bob")]);
            }
        });
        // SAFETY: as above.
        view(Event::Pins(Vec::new()), |e| unsafe { assert!((*e.u.pins).pins.is_null() && (*e.u.pins).pin_count == 0) });
        let tracks = vec![RemoteTrack { id: "t".into(), muted: true, ..crate::core::model::TrackKind::Audio.into() }];
        let someone = Participant { user_id: "ann".into(), published: tracks, ..Participant::default() };
        view(Event::ParticipantJoined(someone.into()), |e| {
            // SAFETY: as above; `tracks` has one pointer.
            let (who, track) = unsafe { (*e.u.participant, **(*e.u.participant).tracks) };
            assert_eq!((who.track_count, who.rights_known, track.muted), (1, 0, 1));
            assert_eq!(track.source, oh_track_source::OH_SOURCE_MICROPHONE as i32);
            // SAFETY: as above.
            unsafe { assert_eq!((text(track.user_id), text(track.track_id)), ("ann", "t")) };
        });
    }
}
