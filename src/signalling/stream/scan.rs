//! A look at a protobuf message before it is decoded: how much memory would it become?
//!
//! Two bytes on the wire (an empty participant) become some 250 in memory, so a frame limit alone
//! would let 1 MiB grow into 128. The scan walks the wire form with a table of which fields hold
//! messages, adds up what decoding would allocate, and allocates nothing itself. Must not know:
//! what the fields mean.

use offhook_proto::{event as e, google, models as m};
use std::mem::size_of;

/// Most bytes that decoding one event may allocate, its text not counted (that is bounded by the
/// size of the frame).
const MAX_DECODED: usize = 16 << 20;
/// Most fields of one event, all levels together.
const MAX_FIELDS: usize = 200_000;
/// Most participants in one event.
pub(super) const MAX_PARTICIPANTS: usize = 5_000;
/// Deepest nesting. prost itself stops at 100.
const MAX_DEPTH: usize = 40;

/// A message type: its size in memory and its fields that hold messages. Fields that are not
/// listed are scalars and text.
struct Kind {
    size: usize,
    fields: &'static [(u32, &'static Kind)],
}

const fn leaf(size: usize) -> Kind {
    Kind { size, fields: &[] }
}

/// Room for an element of a repeated text or number field.
const SCALAR: usize = size_of::<String>();
/// An entry of a hash map: key, value, and the map's own overhead.
const ENTRY_SIZE: usize = 2 * (size_of::<String>() + size_of::<google::Value>());

static STRUCT: Kind = Kind { size: size_of::<google::Struct>(), fields: &[(1, &ENTRY)] };
static ENTRY: Kind = Kind { size: ENTRY_SIZE, fields: &[(2, &VALUE)] };
static VALUE: Kind = Kind { size: size_of::<google::Value>(), fields: &[(5, &STRUCT), (6, &LIST)] };
static LIST: Kind = Kind { size: size_of::<google::ListValue>(), fields: &[(1, &VALUE)] };
static TIME: Kind = leaf(size_of::<google::Timestamp>());

static PARTICIPANT: Kind = Kind { size: size_of::<m::Participant>(), fields: &[(4, &TIME), (12, &STRUCT)] };
static COUNT: Kind = leaf(size_of::<m::ParticipantCount>());
static PIN: Kind = leaf(size_of::<m::Pin>());
static CODEC: Kind = leaf(size_of::<m::Codec>());
static DIMENSION: Kind = leaf(size_of::<m::VideoDimension>());
static AUDIO_BITRATE: Kind = leaf(size_of::<m::AudioBitrate>());
static OPTION: Kind = Kind {
    size: size_of::<m::PublishOption>(),
    fields: &[(2, &CODEC), (7, &DIMENSION), (10, &AUDIO_BITRATE)],
};
static CALL_STATE: Kind = Kind {
    size: size_of::<m::CallState>(),
    fields: &[(1, &PARTICIPANT), (2, &TIME), (3, &COUNT), (4, &PIN)],
};
static JOINED: Kind = Kind { size: size_of::<e::JoinResponse>(), fields: &[(1, &CALL_STATE), (4, &OPTION)] };
static ABOUT_PARTICIPANT: Kind =
    Kind { size: size_of::<e::ParticipantJoined>(), fields: &[(2, &PARTICIPANT)] };
static PUBLISHED: Kind = Kind { size: size_of::<e::TrackPublished>(), fields: &[(4, &PARTICIPANT)] };
static UNPUBLISHED: Kind = Kind { size: size_of::<e::TrackUnpublished>(), fields: &[(5, &PARTICIPANT)] };
static LAYER: Kind = Kind { size: size_of::<e::VideoLayerSetting>(), fields: &[(6, &CODEC)] };
static AUDIO_SENDER: Kind = Kind { size: size_of::<e::AudioSender>(), fields: &[(2, &CODEC)] };
static VIDEO_SENDER: Kind = Kind { size: size_of::<e::VideoSender>(), fields: &[(2, &CODEC), (3, &LAYER)] };
static PUBLISH_QUALITY: Kind =
    Kind { size: size_of::<e::ChangePublishQuality>(), fields: &[(1, &AUDIO_SENDER), (2, &VIDEO_SENDER)] };
static PUBLISH_OPTIONS: Kind = Kind { size: size_of::<e::ChangePublishOptions>(), fields: &[(1, &OPTION)] };
static QUALITY: Kind = leaf(size_of::<e::ConnectionQualityInfo>());
static QUALITIES: Kind = Kind { size: size_of::<e::ConnectionQualityChanged>(), fields: &[(1, &QUALITY)] };
static LEVEL: Kind = leaf(size_of::<e::AudioLevel>());
static LEVELS: Kind = Kind { size: size_of::<e::AudioLevelChanged>(), fields: &[(1, &LEVEL)] };
static PINS: Kind = Kind { size: size_of::<e::PinsChanged>(), fields: &[(1, &PIN)] };
static HEALTH: Kind = Kind { size: size_of::<e::HealthCheckResponse>(), fields: &[(1, &COUNT)] };
static INNER_ERROR: Kind = leaf(size_of::<m::Error>());
static ERROR: Kind = Kind { size: size_of::<e::Error>(), fields: &[(4, &INNER_ERROR)] };
static GRANTS: Kind = leaf(size_of::<m::CallGrants>());
static GRANTS_UPDATED: Kind = Kind { size: size_of::<e::CallGrantsUpdated>(), fields: &[(1, &GRANTS)] };
static INBOUND: Kind = leaf(size_of::<e::InboundVideoState>());
static INBOUNDS: Kind = Kind { size: size_of::<e::InboundStateNotification>(), fields: &[(1, &INBOUND)] };
static SMALL: Kind = leaf(64);

static EVENT: Kind = Kind {
    size: size_of::<e::SfuEvent>(),
    fields: &[
        (1, &SMALL),
        (2, &SMALL),
        (3, &QUALITIES),
        (4, &LEVELS),
        (5, &SMALL),
        (6, &PUBLISH_QUALITY),
        (10, &ABOUT_PARTICIPANT),
        (11, &ABOUT_PARTICIPANT),
        (12, &SMALL),
        (13, &JOINED),
        (14, &HEALTH),
        (16, &PUBLISHED),
        (17, &UNPUBLISHED),
        (18, &ERROR),
        (19, &GRANTS_UPDATED),
        (20, &SMALL),
        (21, &SMALL),
        (22, &PINS),
        (23, &SMALL),
        (24, &ABOUT_PARTICIPANT),
        (25, &SMALL),
        (27, &PUBLISH_OPTIONS),
        (28, &INBOUNDS),
    ],
};

/// Whether an `SfuEvent` in wire form is well formed as far as its tags and lengths go, and modest
/// enough to be decoded.
pub(super) fn is_modest_event(wire: &[u8]) -> bool {
    Scan { decoded: 0, fields: 0, participants: 0 }.message(wire, &EVENT, 0).is_some()
}

struct Scan {
    decoded: usize,
    fields: usize,
    participants: usize,
}

impl Scan {
    fn message(&mut self, mut wire: &[u8], kind: &'static Kind, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        // Vectors double: up to twice the size of their elements, for a moment three times.
        self.decoded += 3 * kind.size;
        self.participants += usize::from(std::ptr::eq(kind, &PARTICIPANT));
        while !wire.is_empty() {
            self.fields += 1;
            if self.fields > MAX_FIELDS || self.decoded > MAX_DECODED || self.participants > MAX_PARTICIPANTS
            {
                return None;
            }
            let tag = varint(&mut wire)?;
            let field = u32::try_from(tag >> 3).ok().filter(|field| *field != 0)?;
            match tag & 7 {
                0 => {
                    varint(&mut wire)?;
                }
                1 => wire = wire.get(8..)?,
                2 => {
                    let length = usize::try_from(varint(&mut wire)?).ok()?;
                    let (inner, rest) = wire.split_at_checked(length)?;
                    wire = rest;
                    match kind.fields.iter().find(|(number, _)| *number == field) {
                        Some((_, inner_kind)) => self.message(inner, inner_kind, depth + 1)?,
                        // Text, or packed numbers: at most four bytes of memory for one of wire.
                        None => self.decoded += SCALAR,
                    }
                }
                5 => wire = wire.get(4..)?,
                // Groups: not in proto3.
                _ => return None,
            }
        }
        (self.decoded <= MAX_DECODED && self.participants <= MAX_PARTICIPANTS).then_some(())
    }
}

fn varint(wire: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, byte) in wire.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *wire = &wire[index + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn joined(participants: Vec<m::Participant>) -> Vec<u8> {
        let state = m::CallState { participants, ..Default::default() };
        let joined = e::JoinResponse { call_state: Some(state), ..Default::default() };
        e::SfuEvent { event_payload: Some(e::sfu_event::EventPayload::JoinResponse(joined)) }.encode_to_vec()
    }

    #[test]
    fn a_large_call_passes_and_an_inflated_one_does_not() {
        let somebody = m::Participant {
            user_id: "user".into(),
            session_id: "session".into(),
            joined_at: Some(Default::default()),
            published_tracks: vec![1, 2],
            roles: vec!["speaker".into()],
            ..Default::default()
        };
        assert!(is_modest_event(&joined(vec![somebody.clone(); 2_000])));
        assert!(!is_modest_event(&joined(vec![m::Participant::default(); MAX_PARTICIPANTS + 1])));
        let roles = m::Participant { roles: vec![String::new(); 400_000], ..somebody };
        assert!(!is_modest_event(&joined(vec![roles])));
    }

    #[test]
    fn depth_is_bounded() {
        let mut value = google::Value::from(1.0);
        for _ in 0..MAX_DEPTH {
            value = google::Value::from(vec![value]);
        }
        let custom = google::Struct { fields: [("deep".to_owned(), value)].into() };
        assert!(!is_modest_event(&joined(vec![m::Participant {
            custom: Some(custom),
            ..Default::default()
        }])));
    }

    #[test]
    fn broken_wire_is_refused() {
        for wire in
            [&b"\x0a\x05"[..], b"\x0a", b"\x80", b"\x03", b"\x00\x01", &[0xff; 11], b"\x09\x01", b"\x0d\x01"]
        {
            assert!(!is_modest_event(wire), "{wire:x?}");
        }
        // Unknown fields of every wire type are skipped.
        assert!(is_modest_event(b"\xa0\x06\x01\xa2\x06\x01x\xa5\x06abcd\xa1\x06abcdefgh"));
        assert!(is_modest_event(b""));
    }
}
