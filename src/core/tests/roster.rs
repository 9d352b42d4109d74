//! Participants, their tracks, and the owners of media.

use super::sim::*;
use crate::core::{model::*, *};
use std::sync::Arc;

fn joined_with(participants: Vec<Participant>) -> Sim {
    let mut sim = Sim::new(config());
    sim.joined.participants = participants;
    sim.input(Input::Start);
    sim.run(ms(50));
    sim
}

fn left(name: &str) -> SfuMessage {
    let (session_id, user_id) = (format!("{name}-session"), name.to_owned());
    SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason::UNKNOWN }
}

fn published(name: &str, kind: TrackKind) -> Event {
    Event::TrackPublished { user_id: name.into(), session_id: format!("{name}-session"), track: kind.into() }
}

fn bound(sim: &Sim) -> Vec<(RemoteId, String)> {
    let bind = |o: &Output| {
        if let Output::Bind { id, session_id, .. } = o {
            Some((*id, session_id.clone()))
        } else {
            None
        }
    };
    sim.since().iter().filter_map(bind).collect()
}

fn media(sim: &mut Sim, id: RemoteId, stream_id: &str, track_id: &str) {
    let generation = sim.core.generation();
    let owner = owner(stream_id).or_else(|| owner(track_id));
    sim.input(Input::RemoteTrack { generation, id, owner, mid: String::new(), again: false });
}

#[test]
fn late_joiners_get_tracks_published_before() {
    let ann = Participant { published: vec![TrackKind::Audio.into(), TrackKind::Video.into()], ..person("ann") };
    let sim = joined_with(vec![ann, person("bob")]);
    let events: Vec<_> = sim.events().into_iter().skip(3).collect();
    assert!(matches!(&events[0], Event::ParticipantJoined(p) if p.user_id == "ann"));
    assert_eq!(events[1..3], [published("ann", TrackKind::Audio), published("ann", TrackKind::Video)]);
    assert!(matches!(&events[3], Event::ParticipantJoined(p) if p.user_id == "bob"));
    assert!(matches!(&events[4..], [Event::ParticipantUpdated(p)] if p.local), "and the local participant");
}

#[test]
fn duplicate_unknown_and_repeated_updates_are_harmless() {
    let mut sim = joined_with(vec![person("ann")]);
    sim.mark();
    let ann = Participant { published: vec![TrackKind::Audio.into()], ..person("ann") };
    for _ in 0..3 {
        sim.message(SfuMessage::ParticipantJoined(Box::new(ann.clone())));
    }
    assert_eq!(sim.events(), [published("ann", TrackKind::Audio)], "only what is new");
    sim.mark();
    for _ in 0..2 {
        sim.message(SfuMessage::ParticipantUpdated(Box::new(Participant { name: "Ann".into(), ..ann.clone() })));
    }
    assert_eq!(sim.events().len(), 1);
    let kept = sim.core.participants().find(|p| p.user_id == "ann").expect("ann");
    assert_eq!((&*kept.name, kept.published.as_slice()), ("Ann", &[RemoteTrack::from(TrackKind::Audio)][..]));
    sim.mark();
    sim.message(left("nobody"));
    sim.message(SfuMessage::ParticipantJoined(Box::default()));
    sim.message(SfuMessage::TrackPublished {
        session_id: "nobody".into(),
        user_id: "nobody".into(),
        kind: TrackKind::Audio,
        participant: None,
    });
    assert_eq!(sim.since().len(), 0);
    // An update of an unknown participant is a join.
    sim.message(SfuMessage::ParticipantUpdated(Box::new(person("bob"))));
    assert_eq!(sim.events(), [Event::ParticipantJoined(Arc::new(person("bob")))]);
}

#[test]
fn a_leaving_participant_takes_its_tracks_along() {
    let ann = Participant { published: vec![TrackKind::Audio.into()], ..person("ann") };
    let mut sim = joined_with(vec![ann]);
    media(&mut sim, 7, "ann-prefix:TRACK_TYPE_AUDIO:0", "");
    sim.mark();
    for _ in 0..2 {
        sim.message(left("ann"));
    }
    assert_eq!(sim.count(|o| matches!(o, Output::Unbind { id: 7 })), 1);
    assert!(matches!(sim.events()[..], [Event::TrackUnpublished { .. }, Event::ParticipantLeft(_)]));
    assert_eq!(sim.core.participants().count(), 1, "only the local participant");
}

#[test]
fn tracks_come_with_an_embedded_participant() {
    let mut sim = joined_with(Vec::new());
    sim.mark();
    let message = |kinds: Vec<TrackKind>| {
        let published = kinds.into_iter().map(RemoteTrack::from).collect();
        Box::new(Participant { published, ..person("ann") })
    };
    sim.message(SfuMessage::TrackPublished {
        session_id: "ann-session".into(),
        user_id: "ann".into(),
        kind: TrackKind::Audio,
        participant: Some(message(vec![TrackKind::Audio])),
    });
    assert!(matches!(sim.events()[..], [Event::ParticipantJoined(_), Event::TrackPublished { .. }]));
    for _ in 0..2 {
        sim.message(SfuMessage::TrackUnpublished {
            session_id: "ann-session".into(),
            user_id: "ann".into(),
            kind: TrackKind::Audio,
            cause: UnpublishCause::UserMuted,
            participant: None,
        });
    }
    let gone =
        |e: &Event| matches!(e, Event::TrackUnpublished { cause: UnpublishCause::UserMuted, track, .. } if track.muted);
    assert_eq!(sim.events().iter().filter(|e| gone(e)).count(), 1);
    // An unknown participant whose list still names the track that ends: the track ends.
    sim.message(SfuMessage::TrackUnpublished {
        session_id: "bob-session".into(),
        user_id: "bob".into(),
        kind: TrackKind::Video,
        cause: UnpublishCause::Unspecified,
        participant: Some(Box::new(Participant { published: vec![TrackKind::Video.into()], ..person("bob") })),
    });
    let bob = sim.core.participants().find(|p| p.user_id == "bob").expect("bob");
    assert!(bob.published.is_empty());
}

#[test]
fn the_local_participant_is_not_a_remote_one() {
    let mut sim = Sim::new(config());
    let me = Participant {
        session_id: sim.core.cx.session_id.clone(),
        published: vec![TrackKind::Audio.into()],
        ..person("me")
    };
    sim.joined.participants = vec![me.clone()];
    sim.input(Input::Start);
    sim.run(ms(50));
    let (session_id, user_id) = (me.session_id.clone(), me.user_id.clone());
    let kind = TrackKind::Video;
    sim.message(SfuMessage::ParticipantJoined(Box::new(me.clone())));
    sim.message(SfuMessage::ParticipantUpdated(Box::new(Participant { name: "I".into(), ..me.clone() })));
    let participant = Some(Box::new(me.clone()));
    sim.message(SfuMessage::TrackPublished {
        session_id: session_id.clone(),
        user_id: user_id.clone(),
        kind,
        participant,
    });
    let cause = UnpublishCause::Moderation;
    sim.message(SfuMessage::TrackUnpublished {
        session_id: session_id.clone(),
        user_id: user_id.clone(),
        kind,
        cause,
        participant: None,
    });
    assert_eq!(sim.core.participants().count(), 1, "known all the same");
    sim.message(SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason::UNKNOWN });
    let mut names = Vec::new();
    for event in sim.events() {
        match event {
            Event::ParticipantUpdated(p) if p.local => names.push(p.name.to_string()),
            Event::State { .. } | Event::Joined { .. } => {}
            other => panic!("only the call and the local participant, not {other:?}"),
        }
    }
    assert_eq!(names, ["me", "I", "me"], "what changed of oneself, and nothing twice");
}

#[test]
fn levels_quality_speaker_counts_and_pins() {
    let mut sim = joined_with(vec![person("ann"), person("bob")]);
    sim.mark();
    let s = |name: &str| format!("{name}-session");
    sim.message(SfuMessage::AudioLevels(vec![
        (s("ann"), 0.5, true),
        (s("bob"), f32::NAN, false),
        (s("nobody"), 0.1, true),
        (s("bob"), 7.0, true),
    ]));
    let levels: Vec<_> =
        sim.events().into_iter().map(|e| if let Event::AudioLevel { level, .. } = e { level } else { -1.0 }).collect();
    assert_eq!(levels, [0.5, 0.0, 1.0]);
    sim.mark();
    for _ in 0..2 {
        sim.message(SfuMessage::ConnectionQuality(vec![(s("ann"), Quality::Poor), (s("nobody"), Quality::Good)]));
        sim.message(SfuMessage::Health(Counts { total: 2, anonymous: 1 }));
    }
    assert_eq!(sim.events().len(), 2, "only what changed: {:?}", sim.events());
    assert_eq!(sim.core.counts(), Counts { total: 2, anonymous: 1 });
    sim.message(SfuMessage::DominantSpeaker { session_id: s("ann") });
    sim.message(SfuMessage::DominantSpeaker { session_id: s("bob") });
    let dominant: Vec<_> = sim.core.participants().filter(|p| p.is_dominant).map(|p| p.user_id.as_str()).collect();
    assert_eq!(dominant, ["bob"], "the flag moves");
    sim.message(SfuMessage::DominantSpeaker { session_id: s("nobody") });
    assert_eq!(sim.core.participants().filter(|p| p.is_dominant).count(), 0);
    let pins = vec![Pin { user_id: "ann".into(), session_id: s("ann") }];
    sim.message(SfuMessage::Pins(pins.clone()));
    assert_eq!(sim.events().last(), Some(&Event::Pins(pins)));
}

#[test]
fn media_before_its_participant_waits_for_it() {
    let mut sim = joined_with(vec![person("ann")]);
    sim.offer();
    sim.mark();
    media(&mut sim, 1, "ann-prefix:TRACK_TYPE_AUDIO:0", "");
    media(&mut sim, 2, "", "bob-prefix:TRACK_TYPE_AUDIO:0");
    media(&mut sim, 3, "garbage", "::");
    assert_eq!(bound(&sim), [(1, "ann-session".to_owned())]);
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("bob"))));
    assert_eq!(bound(&sim).last(), Some(&(2, "bob-session".to_owned())));
    sim.input(Input::RemoteTrackGone { id: 1 });
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    let unbound: Vec<_> =
        sim.since().iter().filter_map(|o| if let Output::Unbind { id } = o { Some(*id) } else { None }).collect();
    assert_eq!(unbound, [2, 3]);
}

#[test]
fn media_of_another_generation_or_without_end_is_not_kept() {
    let mut sim = joined_with(vec![person("ann")]);
    sim.mark();
    sim.input(Input::RemoteTrack {
        generation: Generation(0),
        id: 5,
        owner: owner("ann-prefix:TRACK_TYPE_AUDIO:0"),
        mid: String::new(),
        again: false,
    });
    assert_eq!((sim.since().len(), sim.core.counters().late_other), (0, 1));
    for id in 0..limits::REMOTE_TRACKS as u64 + 100 {
        media(&mut sim, id, "ann-prefix:TRACK_TYPE_AUDIO:0", "");
    }
    assert_eq!(bound(&sim).len(), limits::REMOTE_TRACKS);
}

#[test]
fn a_returning_participant_gets_its_media_back() {
    let mut sim = joined_with(vec![person("ann")]);
    media(&mut sim, 1, "ann-prefix:TRACK_TYPE_AUDIO:0", "");
    sim.message(left("ann"));
    sim.run(ms(10));
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
    // Media that still arrives comes as another stream.
    let generation = sim.core.cx.transport.expect("peer connections in use");
    let owner = owner("ann-prefix:TRACK_TYPE_AUDIO:0");
    sim.input(Input::RemoteTrack { generation, id: 2, owner, mid: String::new(), again: true });
    assert_eq!(bound(&sim), [(1, "ann-session".to_owned()), (2, "ann-session".to_owned())]);
}

fn with_metadata(number: usize, bytes: usize) -> Participant {
    let name = format!("p-{number}");
    Participant { metadata: "m".repeat(bytes).into(), ..person(&name) }
}

#[test]
fn events_share_the_memory_of_the_roster() {
    let track = RemoteTrack { id: "t".into(), ..TrackKind::Audio.into() };
    let everyone: Vec<_> =
        (0..50).map(|n| Participant { published: vec![track.clone()], ..with_metadata(n, 70_000) }).collect();
    let sim = joined_with(everyone);
    let joined = |e| if let Event::ParticipantJoined(p) = e { Some(p) } else { None };
    let reported: Vec<_> = sim.events().into_iter().filter_map(joined).collect();
    assert_eq!(reported.len(), 50);
    // Also after changes that leave the text alone: tracks, level.
    for p in reported {
        let listed = sim.core.room.roster.get(&p.session_id).unwrap();
        assert!(Arc::ptr_eq(&listed.metadata, &p.metadata) && listed.published.len() == 1);
    }
    // The same text again shares the same memory.
    let mut sim = sim;
    sim.mark();
    let renamed = Participant { name: "another".into(), ..with_metadata(7, 70_000) };
    sim.message(SfuMessage::ParticipantUpdated(Box::new(renamed)));
    let [Event::ParticipantUpdated(p)] = &sim.events()[..] else { panic!("{:?}", sim.events()) };
    assert!(Arc::ptr_eq(&sim.core.room.roster.get("p-7-session").unwrap().metadata, &p.metadata));
}

#[test]
fn a_roster_without_end_is_bounded_and_reported_once() {
    let bytes = |sim: &Sim| sim.core.participants().map(Participant::weight).sum::<usize>();
    let mut sim = joined_with(vec![]);
    sim.mark();
    for n in 0..600 {
        sim.message(SfuMessage::ParticipantJoined(Box::new(with_metadata(n, 73_000))));
    }
    assert!((15 << 20..=16 << 20).contains(&bytes(&sim)), "{}", bytes(&sim));
    let listed = sim.core.participants().filter(|p| p.user_id != "me").count();
    let events = sim.events();
    let joined = events.iter().filter(|e| matches!(e, Event::ParticipantJoined(_))).count();
    let errors: Vec<_> = events.iter().filter(|e| matches!(e, Event::Error(_))).collect();
    assert_eq!((joined, errors.len()), (listed, 1));
    assert!(matches!(errors[0], Event::Error(e) if e.code == crate::error::Code::Limit));
    // A leaving participant frees space; an update that exceeds the limit is ignored.
    sim.mark();
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "p-0-session".into(),
        user_id: "p-0".into(),
        reason: LeaveReason::UNKNOWN,
    });
    sim.message(SfuMessage::ParticipantJoined(Box::new(with_metadata(700, 50_000))));
    sim.message(SfuMessage::ParticipantUpdated(Box::new(with_metadata(1, 1_000_000))));
    assert!(matches!(sim.events()[..], [Event::ParticipantLeft(_), Event::ParticipantJoined(_)]));
    assert!(bytes(&sim) <= 16 << 20);
    // Tracks count as well.
    for n in 0..40_000 {
        let id = format!("{n}-{}", "t".repeat(400));
        let track = RemoteTrack { id, name: "n".repeat(500), ..TrackKind::Audio.into() };
        sim.core.room.roster.publish(&format!("p-{}-session", 1 + n % 200), &track);
    }
    assert!(bytes(&sim) <= 16 << 20, "{}", bytes(&sim));
    // Small participants are limited by number.
    let mut sim = joined_with(vec![]);
    for n in 0..MAX_PARTICIPANTS + 10 {
        sim.message(SfuMessage::ParticipantJoined(Box::new(with_metadata(n, 1))));
    }
    assert_eq!((sim.core.participants().count(), sim.errors()), (MAX_PARTICIPANTS, 1));
}
