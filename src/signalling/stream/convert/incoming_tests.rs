//! Bounds of incoming messages.

use super::*;

fn wire_participant() -> m::Participant {
    m::Participant { user_id: "u".into(), session_id: "s".into(), ..Default::default() }
}

#[test]
fn ids_are_never_cut() {
    let read = |p: m::Participant| {
        let mut notes = Notes::new();
        (participant(p, &mut notes).is_some(), notes.len())
    };
    assert_eq!(read(wire_participant()), (true, 0));
    assert_eq!(read(m::Participant { session_id: String::new(), ..wire_participant() }), (false, 0));
    assert_eq!(read(m::Participant { session_id: "x".repeat(MAX_ID + 1), ..wire_participant() }), (false, 1));
    assert_eq!(read(m::Participant { user_id: "x".repeat(MAX_ID + 1), ..wire_participant() }), (false, 1));
}

#[test]
fn texts_are_whole_and_lists_are_cut() {
    let mut notes = Notes::new();
    let custom = google::Value::from("\u{1}".repeat(100_000));
    let found = participant(
        m::Participant {
            name: "ä".repeat(100_000),
            image: "x".repeat(100_000),
            roles: vec!["r".repeat(5000); 1000],
            audio_level: f32::NAN,
            custom: Some(google::Struct { fields: [("k".to_owned(), custom)].into() }),
            source: m::ParticipantSource::Sip.into(),
            ..wire_participant()
        },
        &mut notes,
    )
    .unwrap();
    assert_eq!((found.name.len(), found.image.len(), found.kind), (200_000, 100_000, ParticipantKind::Sip));
    // Six bytes each as JSON: the limit applies to the message.
    assert_eq!(found.custom_json.len(), 600_000 + r#"{"k":""}"#.len());
    assert_eq!((found.roles.len(), found.roles[0].len()), (MAX_ROLES, 5_000));
    assert!(
        matches!(&notes.make_contiguous()[..], [SfuMessage::TooLarge(what)] if what == "participant u: 1000 roles; the limit is 64")
    );
    assert_eq!(found.audio_level, 0.0);
    let options = vec![m::PublishOption { track_type: 1, ..Default::default() }; 1000];
    assert_eq!(publish_options(options).len(), MAX_OPTIONS);
}

#[test]
fn oversized_descriptions_are_unreadable() {
    use e::sfu_event::EventPayload as P;
    let read = |payload| message(e::SfuEvent { event_payload: Some(payload) }, &Secret::default(), &mut Notes::new());
    let offer = |length| P::SubscriberOffer(e::SubscriberOffer { sdp: "x".repeat(length), ..Default::default() });
    assert!(read(offer(MAX_SDP)).is_some());
    assert!(read(offer(MAX_SDP + 1)).is_none());
    let trickle = |length| P::IceTrickle(m::IceTrickle { ice_candidate: "x".repeat(length), ..Default::default() });
    assert!(read(trickle(MAX_CANDIDATE)).is_some());
    assert!(read(trickle(MAX_CANDIDATE + 1)).is_none());
}

#[test]
fn custom_data_becomes_json_within_bounds() {
    let custom = |value: google::Value| custom_json(google::Struct { fields: [("k".to_owned(), value)].into() });
    assert_eq!(custom(google::Value::from("a\"b")).as_deref(), Some(r#"{"k":"a\"b"}"#));
    assert_eq!(
        custom(google::Value::from(vec![1.0.into(), 0.5.into(), true.into()])).as_deref(),
        Some(r#"{"k":[1,0.5,true]}"#)
    );
    assert_eq!(custom(google::Value::from(f64::NAN)).as_deref(), Some(r#"{"k":null}"#));
    assert_eq!(custom(google::Value::from(1e300)).as_deref(), Some(r#"{"k":1e+300}"#));
    assert_eq!(custom(google::Value { kind: None }).as_deref(), Some(r#"{"k":null}"#));
    let nested = |depth| (0..depth).fold(google::Value::from(1.0), |inner, _| google::Value::from(vec![inner]));
    assert!(custom(nested(10)).is_some());
    assert_eq!(custom(nested(MAX_CUSTOM_DEPTH + 1)), None);
    assert_eq!(custom(google::Value::from("x".repeat(100_000))).map(|json| json.len()), Some(100_008));
}

#[test]
fn an_error_never_repeats_the_token() {
    let token = Secret::new("secret-token-of-the-sfu");
    let error = m::Error { code: 401, message: "bad secret-token-of-the-sfu\n".repeat(100), should_retry: false };
    let error = sfu_error(error, &token);
    assert!(!error.message.contains("secret-token") && !error.message.contains('\n'));
    assert!(error.message.len() <= 512);
}
