//! The fields of an SFU's event that hold messages, for the [scan](crate::signalling::scan) before decoding.
//! Must not know: what the fields mean.

use crate::signalling::scan::{self, leaf, node, Kind, Refused};
use offhook_proto::{event as e, google, models as m};
use std::mem::size_of;

pub(super) use crate::signalling::scan::MAX_PARTICIPANTS;

/// An entry of a hash map: key, value, and the map's own overhead.
const ENTRY_SIZE: usize = 2 * (size_of::<String>() + size_of::<google::Value>());

static STRUCT: Kind = node(size_of::<google::Struct>(), &[(1, &ENTRY)]);
static ENTRY: Kind = node(ENTRY_SIZE, &[(2, &VALUE)]);
static VALUE: Kind = node(size_of::<google::Value>(), &[(5, &STRUCT), (6, &LIST)]);
static LIST: Kind = node(size_of::<google::ListValue>(), &[(1, &VALUE)]);
static TIME: Kind = leaf(size_of::<google::Timestamp>());

static PARTICIPANT: Kind =
    Kind { participant: true, ..node(size_of::<m::Participant>(), &[(4, &TIME), (12, &STRUCT)]) };
static COUNT: Kind = leaf(size_of::<m::ParticipantCount>());
static PIN: Kind = leaf(size_of::<m::Pin>());
static CODEC: Kind = leaf(size_of::<m::Codec>());
static DIMENSION: Kind = leaf(size_of::<m::VideoDimension>());
static AUDIO_BITRATE: Kind = leaf(size_of::<m::AudioBitrate>());
static OPTION: Kind = node(size_of::<m::PublishOption>(), &[(2, &CODEC), (7, &DIMENSION), (10, &AUDIO_BITRATE)]);
static CALL_STATE: Kind = node(size_of::<m::CallState>(), &[(1, &PARTICIPANT), (2, &TIME), (3, &COUNT), (4, &PIN)]);
static JOINED: Kind = node(size_of::<e::JoinResponse>(), &[(1, &CALL_STATE), (4, &OPTION)]);
static ABOUT_PARTICIPANT: Kind = node(size_of::<e::ParticipantJoined>(), &[(2, &PARTICIPANT)]);
static PUBLISHED: Kind = node(size_of::<e::TrackPublished>(), &[(4, &PARTICIPANT)]);
static UNPUBLISHED: Kind = node(size_of::<e::TrackUnpublished>(), &[(5, &PARTICIPANT)]);
static LAYER: Kind = node(size_of::<e::VideoLayerSetting>(), &[(6, &CODEC)]);
static AUDIO_SENDER: Kind = node(size_of::<e::AudioSender>(), &[(2, &CODEC)]);
static VIDEO_SENDER: Kind = node(size_of::<e::VideoSender>(), &[(2, &CODEC), (3, &LAYER)]);
static PUBLISH_QUALITY: Kind = node(size_of::<e::ChangePublishQuality>(), &[(1, &AUDIO_SENDER), (2, &VIDEO_SENDER)]);
static PUBLISH_OPTIONS: Kind = node(size_of::<e::ChangePublishOptions>(), &[(1, &OPTION)]);
static QUALITY: Kind = leaf(size_of::<e::ConnectionQualityInfo>());
static QUALITIES: Kind = node(size_of::<e::ConnectionQualityChanged>(), &[(1, &QUALITY)]);
static LEVEL: Kind = leaf(size_of::<e::AudioLevel>());
static LEVELS: Kind = node(size_of::<e::AudioLevelChanged>(), &[(1, &LEVEL)]);
static PINS: Kind = node(size_of::<e::PinsChanged>(), &[(1, &PIN)]);
static HEALTH: Kind = node(size_of::<e::HealthCheckResponse>(), &[(1, &COUNT)]);
static INNER_ERROR: Kind = leaf(size_of::<m::Error>());
static ERROR: Kind = node(size_of::<e::Error>(), &[(4, &INNER_ERROR)]);
static GRANTS: Kind = leaf(size_of::<m::CallGrants>());
static GRANTS_UPDATED: Kind = node(size_of::<e::CallGrantsUpdated>(), &[(1, &GRANTS)]);
static INBOUND: Kind = leaf(size_of::<e::InboundVideoState>());
static INBOUNDS: Kind = node(size_of::<e::InboundStateNotification>(), &[(1, &INBOUND)]);
static SMALL: Kind = leaf(64);

static EVENT: Kind = node(
    size_of::<e::SfuEvent>(),
    &[
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
);

/// Whether an encoded `SfuEvent` may be decoded.
pub(super) fn check_event(wire: &[u8]) -> Result<(), Refused> {
    scan::check(wire, &EVENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::scan::MAX_DEPTH;
    use prost::Message;

    fn is_modest(wire: &[u8]) -> bool {
        check_event(wire).is_ok()
    }

    fn joined(participants: Vec<m::Participant>) -> Vec<u8> {
        let state = m::CallState { participants, ..Default::default() };
        let joined = e::JoinResponse { call_state: Some(state), ..Default::default() };
        e::SfuEvent { event_payload: Some(e::sfu_event::EventPayload::JoinResponse(joined)) }.encode_to_vec()
    }

    #[test]
    fn a_large_call_passes_and_an_inflated_one_does_not() {
        let large_participant = m::Participant {
            user_id: "user".into(),
            session_id: "session".into(),
            joined_at: Some(Default::default()),
            published_tracks: vec![1, 2],
            roles: vec!["speaker".into()],
            ..Default::default()
        };
        assert!(is_modest(&joined(vec![large_participant.clone(); 2_000])));
        assert!(!is_modest(&joined(vec![m::Participant::default(); MAX_PARTICIPANTS + 1])));
        let roles = m::Participant { roles: vec![String::new(); 1_000_001], ..large_participant };
        assert!(!is_modest(&joined(vec![roles])));
    }

    #[test]
    fn depth_is_bounded() {
        let mut value = google::Value::from(1.0);
        for _ in 0..MAX_DEPTH {
            value = google::Value::from(vec![value]);
        }
        let custom = google::Struct { fields: [("deep".to_owned(), value)].into() };
        assert!(!is_modest(&joined(vec![m::Participant { custom: Some(custom), ..Default::default() }])));
    }

    #[test]
    fn broken_wire_is_refused() {
        for wire in [&b"\x0a\x05"[..], b"\x0a", b"\x80", b"\x03", b"\x00\x01", &[0xff; 11], b"\x09\x01", b"\x0d\x01"] {
            assert!(!is_modest(wire), "{wire:x?}");
        }
        // Unknown fields of every wire type are skipped.
        assert!(is_modest(b"\xa0\x06\x01\xa2\x06\x01x\xa5\x06abcd\xa1\x06abcdefgh"));
        assert!(is_modest(b""));
    }
}
