//! Every kind of event, in all three forms in which it may arrive, and malformed input.

use super::*;
use crate::core::model::{
    CallEndedReason, CodecSpec, Counts, Grants, JoinState, LayerSetting, LeaveReason, Participant, ParticipantKind,
    PeerKind, Pin, PublishOption, Quality, SenderQuality, SfuError, SfuMessage, Strategy, TrackKind, UnpublishCause,
};
use e::sfu_event::EventPayload as P;
use offhook_proto::{google, models as m};

fn wire_participant() -> m::Participant {
    m::Participant {
        user_id: "ann".into(),
        session_id: "s-1".into(),
        published_tracks: vec![1, 2, 2, 99],
        joined_at: Some(google::Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        track_lookup_prefix: "pre".into(),
        connection_quality: 2,
        is_speaking: true,
        is_dominant_speaker: true,
        audio_level: 0.5,
        name: "Ann".into(),
        image: "https://example.com/a.png".into(),
        custom: Some(google::Struct { fields: [("seat".to_owned(), google::Value::from(7.0))].into() }),
        roles: vec!["host".into()],
        source: m::ParticipantSource::Sip.into(),
    }
}

fn participant() -> Participant {
    Participant {
        user_id: "ann".into(),
        session_id: "s-1".into(),
        name: "Ann".into(),
        image: "https://example.com/a.png".into(),
        roles: vec!["host".into()],
        custom_json: r#"{"seat":7}"#.into(),
        metadata: Default::default(),
        attributes_json: Default::default(),
        published: vec![TrackKind::Audio.into(), TrackKind::Video.into()],
        track_prefix: "pre".into(),
        quality: Quality::Good,
        is_speaking: true,
        is_dominant: true,
        audio_level: 0.5,
        kind: ParticipantKind::Sip,
        ..Participant::default()
    }
}

fn wire_codec() -> m::Codec {
    m::Codec {
        payload_type: 111,
        name: "opus".into(),
        clock_rate: 48_000,
        encoding_parameters: "2".into(),
        fmtp: "useinbandfec=1".into(),
    }
}

fn wire_option() -> m::PublishOption {
    m::PublishOption {
        track_type: 2,
        codec: Some(wire_codec()),
        bitrate: 1_000_000,
        fps: 30,
        max_spatial_layers: 3,
        max_temporal_layers: 1,
        video_dimension: Some(m::VideoDimension { width: 1280, height: 720 }),
        id: 5,
        use_single_layer: true,
        audio_bitrate_profiles: vec![m::AudioBitrate { profile: 2, bitrate: 128_000 }],
        degradation_preference: 1,
    }
}

fn option() -> PublishOption {
    PublishOption {
        id: 5,
        kind: TrackKind::Video,
        codec: CodecSpec {
            name: "opus".into(),
            payload_type: 111,
            clock_rate: 48_000,
            encoding_parameters: "2".into(),
            fmtp: "useinbandfec=1".into(),
        },
        bitrate: 1_000_000,
        fps: 30,
        max_spatial_layers: 3,
        max_temporal_layers: 1,
        width: 1280,
        height: 720,
        use_single_layer: true,
        audio_bitrates: vec![(2, 128_000)],
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

/// One event of every kind with the expected message.
fn samples() -> Vec<(P, SfuMessage)> {
    let who = || Some(wire_participant());
    let pin = || m::Pin { user_id: text("ann"), session_id: text("s-1") };
    let count = || Some(m::ParticipantCount { total: 4, anonymous: 1 });
    let counts = Counts { total: 4, anonymous: 1 };
    let joined = e::JoinResponse {
        call_state: Some(m::CallState {
            participants: vec![wire_participant()],
            started_at: Some(google::Timestamp { seconds: 1, nanos: 2 }),
            participant_count: count(),
            pins: vec![pin()],
            e2ee_enabled: true,
        }),
        reconnected: true,
        fast_reconnect_deadline_seconds: 9,
        publish_options: vec![wire_option(), m::PublishOption::default()],
    };
    let layer = e::VideoLayerSetting {
        name: text("h"),
        active: true,
        max_bitrate: 500_000,
        scale_resolution_down_by: 2.0,
        codec: Some(wire_codec()),
        max_framerate: 15,
        scalability_mode: text("L1T2"),
    };
    let quality = e::ChangePublishQuality {
        audio_senders: vec![e::AudioSender { codec: None, track_type: 1, publish_option_id: 3 }],
        video_senders: vec![e::VideoSender {
            codec: Some(wire_codec()),
            layers: vec![layer],
            track_type: 2,
            publish_option_id: 5,
            degradation_preference: 2,
        }],
    };
    vec![
        (
            P::SubscriberOffer(e::SubscriberOffer { ice_restart: true, sdp: text("v=0\r\n"), negotiation_id: 7 }),
            SfuMessage::SubscriberOffer { ice_restart: true, sdp: text("v=0\r\n"), negotiation_id: 7 },
        ),
        (P::PublisherAnswer(e::PublisherAnswer { sdp: text("v=0") }), SfuMessage::PublisherAnswer),
        (
            P::ConnectionQualityChanged(e::ConnectionQualityChanged {
                connection_quality_updates: vec![e::ConnectionQualityInfo {
                    user_id: text("ann"),
                    session_id: text("s-1"),
                    connection_quality: 3,
                }],
            }),
            SfuMessage::ConnectionQuality(vec![(text("s-1"), Quality::Excellent)]),
        ),
        (
            P::AudioLevelChanged(e::AudioLevelChanged {
                audio_levels: vec![e::AudioLevel {
                    user_id: text("ann"),
                    session_id: text("s-1"),
                    level: 3.5,
                    is_speaking: true,
                }],
            }),
            SfuMessage::AudioLevels(vec![(text("s-1"), 1.0, true)]),
        ),
        (
            P::IceTrickle(m::IceTrickle { peer_type: 1, ice_candidate: text("{}"), session_id: text("s-1") }),
            SfuMessage::IceTrickle { peer: PeerKind::Subscriber, candidate: text("{}") },
        ),
        (
            P::ChangePublishQuality(quality),
            SfuMessage::ChangePublishQuality(vec![
                SenderQuality { kind: TrackKind::Audio, publish_option_id: 3, layers: vec![] },
                SenderQuality {
                    kind: TrackKind::Video,
                    publish_option_id: 5,
                    layers: vec![LayerSetting {
                        rid: text("h"),
                        active: true,
                        max_bitrate: 500_000,
                        scale_down_by: 2.0,
                        max_fps: 15,
                        scalability_mode: text("L1T2"),
                    }],
                },
            ]),
        ),
        (
            P::ParticipantJoined(e::ParticipantJoined { participant: who(), ..Default::default() }),
            SfuMessage::ParticipantJoined(Box::new(participant())),
        ),
        (
            P::ParticipantUpdated(e::ParticipantUpdated { participant: who(), ..Default::default() }),
            SfuMessage::ParticipantUpdated(Box::new(participant())),
        ),
        (
            P::ParticipantLeft(e::ParticipantLeft { participant: who(), ..Default::default() }),
            SfuMessage::ParticipantLeft { session_id: text("s-1"), user_id: text("ann"), reason: LeaveReason::UNKNOWN },
        ),
        (
            P::DominantSpeakerChanged(e::DominantSpeakerChanged { user_id: text("ann"), session_id: text("s-1") }),
            SfuMessage::DominantSpeaker { session_id: text("s-1") },
        ),
        (
            P::JoinResponse(joined),
            SfuMessage::Joined(Box::new(JoinState {
                participants: vec![participant()],
                counts,
                pins: vec![Pin { user_id: text("ann"), session_id: text("s-1") }],
                publish_options: vec![option()],
                reconnected: true,
                fast_reconnect_deadline_s: 9,
                ..JoinState::default()
            })),
        ),
        (P::HealthCheckResponse(e::HealthCheckResponse { participant_count: count() }), SfuMessage::Health(counts)),
        (
            P::TrackPublished(e::TrackPublished {
                user_id: text("ann"),
                session_id: text("s-1"),
                r#type: 4,
                participant: who(),
            }),
            SfuMessage::TrackPublished {
                session_id: text("s-1"),
                user_id: text("ann"),
                kind: TrackKind::ScreenShareAudio,
                participant: Some(Box::new(participant())),
            },
        ),
        (
            P::TrackUnpublished(e::TrackUnpublished {
                user_id: text("ann"),
                session_id: text("s-1"),
                r#type: 3,
                cause: 3,
                participant: None,
            }),
            SfuMessage::TrackUnpublished {
                session_id: text("s-1"),
                user_id: text("ann"),
                kind: TrackKind::ScreenShare,
                cause: UnpublishCause::Moderation,
                participant: None,
            },
        ),
        (
            P::Error(e::Error {
                error: Some(m::Error { code: 700, message: text("full"), should_retry: true }),
                reconnect_strategy: 4,
            }),
            SfuMessage::Error {
                error: SfuError { code: 700, message: text("full"), should_retry: true },
                strategy: Strategy::Migrate,
            },
        ),
        (
            P::CallGrantsUpdated(e::CallGrantsUpdated {
                current_grants: Some(m::CallGrants {
                    can_publish_audio: true,
                    can_publish_video: false,
                    can_screenshare: true,
                }),
                message: text("so"),
            }),
            SfuMessage::Grants(Grants { video: false, ..Grants::ALL }),
        ),
        (P::GoAway(e::GoAway { reason: 2 }), SfuMessage::GoAway { reason: 2 }),
        (P::IceRestart(e::IceRestart { peer_type: 0 }), SfuMessage::IceRestart { peer: PeerKind::Publisher }),
        (
            P::PinsUpdated(e::PinsChanged { pins: vec![pin()] }),
            SfuMessage::Pins(vec![Pin { user_id: text("ann"), session_id: text("s-1") }]),
        ),
        (P::CallEnded(e::CallEnded { reason: 3 }), SfuMessage::CallEnded(CallEndedReason::Kicked)),
        (P::ParticipantMigrationComplete(e::ParticipantMigrationComplete {}), SfuMessage::MigrationComplete),
        (
            P::ChangePublishOptions(e::ChangePublishOptions {
                publish_options: vec![wire_option()],
                reason: text("codec"),
            }),
            SfuMessage::ChangePublishOptions(vec![option()]),
        ),
        (
            P::InboundStateNotification(e::InboundStateNotification {
                inbound_video_states: vec![e::InboundVideoState {
                    user_id: text("ann"),
                    session_id: text("s-1"),
                    track_type: 2,
                    paused: true,
                }],
            }),
            SfuMessage::InboundState(vec![(text("s-1"), TrackKind::Video, true)]),
        ),
    ]
}

fn event(payload: P) -> e::SfuEvent {
    e::SfuEvent { event_payload: Some(payload) }
}

fn understood(text: bool, data: &[u8]) -> Option<SfuMessage> {
    decode(text, data).ok().and_then(|event| convert::message(event, &Secret::default(), &mut VecDeque::new()))
}

#[test]
fn every_kind_in_binary_and_in_text() {
    let samples = samples();
    // One for each field of the oneof, so that a new kind cannot be forgotten here.
    assert_eq!(samples.len(), 23);
    for (payload, expected) in samples {
        let wire = event(payload).encode_to_vec();
        assert_eq!(understood(false, &wire).as_ref(), Some(&expected));
        assert_eq!(understood(true, &wire), Some(expected));
    }
}

#[test]
fn every_kind_in_json() {
    for (payload, expected) in samples() {
        let mut event = event(payload);
        // JSON has names for enums only; the unknown ones of the sample cannot be written.
        visit_participants(&mut event, |participant| {
            participant.published_tracks.retain(|kind| *kind != 99);
        });
        let json = serde_json::to_vec(&event).unwrap();
        assert_eq!(json[0], b'{');
        assert_eq!(understood(true, &json), Some(expected));
    }
}

fn visit_participants(event: &mut e::SfuEvent, change: impl Fn(&mut m::Participant)) {
    let participant = match event.event_payload.as_mut().unwrap() {
        P::ParticipantJoined(e) => e.participant.as_mut(),
        P::ParticipantUpdated(e) => e.participant.as_mut(),
        P::ParticipantLeft(e) => e.participant.as_mut(),
        P::TrackPublished(e) => e.participant.as_mut(),
        P::JoinResponse(e) => e.call_state.as_mut().and_then(|state| state.participants.first_mut()),
        _ => None,
    };
    participant.into_iter().for_each(change);
}

#[test]
fn newer_messages_are_unknown_and_not_an_error() {
    let unknown =
        |payload: P| assert_eq!(understood(false, &event(payload).encode_to_vec()), Some(SfuMessage::Unknown));
    unknown(P::IceTrickle(m::IceTrickle { peer_type: 9, ..Default::default() }));
    unknown(P::IceRestart(e::IceRestart { peer_type: -1 }));
    unknown(P::TrackPublished(e::TrackPublished { session_id: text("s"), r#type: 42, ..Default::default() }));
    unknown(P::ParticipantJoined(e::ParticipantJoined::default()));
    unknown(P::CallGrantsUpdated(e::CallGrantsUpdated::default()));
    // A field that does not exist yet, and no field at all.
    assert_eq!(understood(false, b"\xfa\x06\x00"), Some(SfuMessage::Unknown));
    assert_eq!(understood(false, b""), Some(SfuMessage::Unknown));
    assert_eq!(understood(true, br#"{"tomorrow":{"x":[1]}}"#), Some(SfuMessage::Unknown));
    let ended = event(P::CallEnded(e::CallEnded { reason: 1234 })).encode_to_vec();
    assert_eq!(understood(false, &ended), Some(SfuMessage::CallEnded(CallEndedReason::Unspecified)));
    // The JSON reader of the wire types may refuse a name it does not know: then the frame is
    // dropped. It must never become a reason that was not given.
    let json = br#"{"callEnded":{"reason":"CALL_ENDED_REASON_TOMORROW"}}"#;
    let read = understood(true, json);
    assert!(matches!(read, None | Some(SfuMessage::CallEnded(CallEndedReason::Unspecified))), "{read:?}");
}

#[test]
fn json_is_bounded_in_depth_and_count() {
    let deep = format!("{{\"goAway\":{}", "[".repeat(100_000));
    assert_eq!(understood(true, deep.as_bytes()), None);
    let deep = format!("{{\"goAway\":{}", "{\"a\":".repeat(10_000));
    assert_eq!(understood(true, deep.as_bytes()), None);
    let many = format!("{{\"joinResponse\":{{\"callState\":{{\"participants\":[{}]}}}}}}", vec!["{}"; 6000].join(","));
    assert_eq!(understood(true, many.as_bytes()), None);
}

/// A small generator, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn mutated_events_never_panic() {
    let samples: Vec<(bool, Vec<u8>)> = samples()
        .into_iter()
        .map(|(payload, _)| event(payload))
        .flat_map(|event| [(false, event.encode_to_vec()), (true, serde_json::to_vec(&event).unwrap_or_default())])
        .collect();
    let (mut read, mut refused) = (0, 0);
    for seed in 1..=20_000u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (as_text, sample) = &samples[random.below(samples.len())];
        let mut data = sample.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(data.len());
            match random.below(5) {
                0 if !data.is_empty() => data[at] ^= 1 << random.below(8),
                1 if !data.is_empty() => data[at] = random.below(256) as u8,
                2 => data.truncate(at),
                3 => data.insert(at, random.below(256) as u8),
                _ => {
                    let piece = data[at..].to_vec();
                    data.extend_from_slice(&piece);
                }
            }
        }
        match std::panic::catch_unwind(|| understood(*as_text, &data)) {
            Ok(Some(_)) => read += 1,
            Ok(None) => refused += 1,
            Err(_) => panic!("seed {seed} panics on {data:02x?}"),
        }
    }
    // Both outcomes happen, or the mutations do not test anything.
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused");
}

#[test]
fn pure_garbage_never_panics() {
    for seed in 1..=5_000u64 {
        let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let data: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
        let _ = understood(false, &data);
        let json = [b"{", &data[..]].concat();
        let _ = understood(true, &json);
    }
}
