//! Decodes signalling frames. Each frame is scanned first, so that decoding takes no more memory than a call can need.
//! Must not know: what a message means.

use crate::signalling::scan::{self, leaf, node, Kind, Refused};
use offhook_proto::livekit as pb;
use prost::Message;
use std::mem::size_of;

/// An entry of a text map: key, value, and the map's own overhead.
static ENTRY: Kind = leaf(4 * size_of::<String>());
static PERMISSION: Kind = leaf(size_of::<pb::ParticipantPermission>());
static LAYER: Kind = leaf(size_of::<pb::VideoLayer>());
static TRACK: Kind = node(size_of::<pb::TrackInfo>(), &[(10, &LAYER)]);
static PARTICIPANT: Kind = Kind {
    participant: true,
    ..node(size_of::<pb::ParticipantInfo>(), &[(4, &TRACK), (11, &PERMISSION), (15, &ENTRY)])
};
static CODEC: Kind = leaf(size_of::<pb::Codec>());
static ROOM: Kind = leaf(size_of::<pb::Room>());
static ICE_SERVER: Kind = leaf(size_of::<pb::IceServer>());
static SERVER_INFO: Kind = leaf(size_of::<pb::ServerInfo>());
static JOIN: Kind = node(
    size_of::<pb::JoinResponse>(),
    &[(1, &ROOM), (2, &PARTICIPANT), (3, &PARTICIPANT), (5, &ICE_SERVER), (12, &SERVER_INFO), (14, &CODEC)],
);
static RECONNECT: Kind = node(size_of::<pb::ReconnectResponse>(), &[(1, &ICE_SERVER), (3, &SERVER_INFO)]);
static DESCRIPTION: Kind = leaf(size_of::<pb::SessionDescription>());
static UPDATE: Kind = node(size_of::<pb::ParticipantUpdate>(), &[(1, &PARTICIPANT)]);
static PUBLISHED: Kind = node(size_of::<pb::TrackPublishedResponse>(), &[(2, &TRACK)]);
static REGION: Kind = leaf(size_of::<pb::RegionInfo>());
static REGIONS: Kind = node(size_of::<pb::RegionSettings>(), &[(1, &REGION)]);
static LEAVE: Kind = node(size_of::<pb::LeaveRequest>(), &[(4, &REGIONS)]);
static SPEAKER: Kind = leaf(size_of::<pb::SpeakerInfo>());
static SPEAKERS: Kind = node(size_of::<pb::SpeakersChanged>(), &[(1, &SPEAKER)]);
static ROOM_UPDATE: Kind = node(size_of::<pb::RoomUpdate>(), &[(1, &ROOM)]);
static QUALITY: Kind = leaf(size_of::<pb::ConnectionQualityInfo>());
static QUALITIES: Kind = node(size_of::<pb::ConnectionQualityUpdate>(), &[(1, &QUALITY)]);
static STREAM: Kind = leaf(size_of::<pb::StreamStateInfo>());
static STREAMS: Kind = node(size_of::<pb::StreamStateUpdate>(), &[(1, &STREAM)]);
static WANTED: Kind = leaf(size_of::<pb::SubscribedQuality>());
static WANTED_CODEC: Kind = node(size_of::<pb::SubscribedCodec>(), &[(2, &WANTED)]);
static WANTED_QUALITY: Kind = node(size_of::<pb::SubscribedQualityUpdate>(), &[(2, &WANTED), (3, &WANTED_CODEC)]);
static SIMULCAST: Kind = node(size_of::<pb::SimulcastCodec>(), &[(4, &LAYER)]);
static ADD_TRACK: Kind = node(size_of::<pb::AddTrackRequest>(), &[(9, &LAYER), (10, &SIMULCAST)]);
static METADATA: Kind = node(size_of::<pb::UpdateParticipantMetadata>(), &[(3, &ENTRY)]);
static SMALL: Kind = leaf(128);
static REPLY: Kind =
    node(size_of::<pb::RequestResponse>(), &[(4, &SMALL), (5, &ADD_TRACK), (6, &SMALL), (7, &METADATA)]);
static MOVED: Kind = node(size_of::<pb::RoomMovedResponse>(), &[(1, &ROOM), (3, &PARTICIPANT), (4, &PARTICIPANT)]);

static RESPONSE: Kind = node(
    size_of::<pb::SignalResponse>(),
    &[
        (1, &JOIN),
        (2, &DESCRIPTION),
        (3, &DESCRIPTION),
        (4, &SMALL),
        (5, &UPDATE),
        (6, &PUBLISHED),
        (8, &LEAVE),
        (9, &SMALL),
        (10, &SPEAKERS),
        (11, &ROOM_UPDATE),
        (12, &QUALITIES),
        (13, &STREAMS),
        (14, &WANTED_QUALITY),
        (15, &SMALL),
        (17, &SMALL),
        (19, &RECONNECT),
        (20, &SMALL),
        (21, &SMALL),
        (22, &REPLY),
        (23, &SMALL),
        (24, &MOVED),
        (25, &SMALL),
    ],
);

/// Decodes one frame of the signalling socket; `None`: it is malformed, or would take too much memory.
pub fn response(frame: &[u8]) -> Option<pb::SignalResponse> {
    read(frame).ok()
}

pub(super) fn read(frame: &[u8]) -> Result<pb::SignalResponse, Refused> {
    scan::check(frame, &RESPONSE)?;
    pb::SignalResponse::decode(frame).map_err(|_| Refused::Broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::scan::MAX_PARTICIPANTS;

    fn update(participants: Vec<pb::ParticipantInfo>) -> Vec<u8> {
        let update = pb::ParticipantUpdate { participants };
        pb::SignalResponse { message: Some(pb::signal_response::Message::Update(update)) }.encode_to_vec()
    }

    #[test]
    fn a_large_room_passes_and_an_inflated_one_does_not() {
        let large_participant = pb::ParticipantInfo {
            sid: "PA_x".into(),
            identity: "x".into(),
            tracks: vec![pb::TrackInfo { sid: "TR_x".into(), ..Default::default() }; 3],
            attributes: [("a".to_owned(), "b".to_owned())].into(),
            ..Default::default()
        };
        assert!(response(&update(vec![large_participant; 1_500])).is_some());
        assert!(response(&update(vec![pb::ParticipantInfo::default(); MAX_PARTICIPANTS + 1])).is_none());
        let tracks = pb::ParticipantInfo { tracks: vec![pb::TrackInfo::default(); 200_000], ..Default::default() };
        assert!(response(&update(vec![tracks])).is_none());
    }

    #[test]
    fn three_thousand_people_with_four_kilobytes_each_fit_the_default() {
        let large_participant = |n: usize| pb::ParticipantInfo {
            sid: format!("PA_{n:012}"),
            identity: format!("user-{n}"),
            name: format!("User {n}"),
            metadata: "x".repeat(4 << 10),
            permission: Some(pb::ParticipantPermission { can_publish: true, ..Default::default() }),
            tracks: vec![pb::TrackInfo {
                sid: format!("TR_{n:012}"),
                mime_type: "audio/red".into(),
                ..Default::default()
            }],
            attributes: [("role".to_owned(), "listener".to_owned()), ("team".to_owned(), "blue".to_owned())].into(),
            ..Default::default()
        };
        let frame = update((0..3_000).map(large_participant).collect());
        assert!(frame.len() <= super::super::service::MAX_MESSAGE, "{} bytes", frame.len());
        let Ok(pb::signal_response::Message::Update(update)) = read(&frame).map(|r| r.message.unwrap()) else {
            panic!("not read")
        };
        assert!(update.participants.len() == 3_000 && update.participants.iter().all(|p| p.metadata.len() == 4 << 10));
    }

    #[test]
    fn oversized_and_malformed_frames_are_distinguished() {
        let many = update(vec![pb::ParticipantInfo::default(); MAX_PARTICIPANTS + 1]);
        assert_eq!(read(&many).map(drop), Err(Refused::TooMuch("more than 5000 participants")));
        assert_eq!(read(b"\x0a\x05").map(drop), Err(Refused::Broken));
    }

    #[test]
    fn garbage_is_refused_and_the_unknown_is_skipped() {
        for frame in [&b"\x0a\x05"[..], b"\x80", b"\x03", &[0xff; 64]] {
            assert!(response(frame).is_none(), "{frame:x?}");
        }
        assert_eq!(response(b"\xfa\x0f\x01x").map(|r| r.message), Some(None));
    }
}
