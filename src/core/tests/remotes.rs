//! Streams and their tracks: what is played when, and what is reported of media that cannot be played.

use super::sim::*;
use crate::core::{model::*, *};

const ANN: &str = "ann-session";

fn track(id: &str) -> RemoteTrack {
    RemoteTrack { id: id.into(), ..TrackKind::Audio.into() }
}

/// A protocol that names tracks, with ann and her published tracks.
fn named(tracks: &[RemoteTrack]) -> Sim {
    let mut config = config();
    config.dialect.resume_introduces = true;
    let mut sim = Sim::joined_with(config);
    state(&mut sim, tracks);
    sim.mark();
    sim
}

fn state(sim: &mut Sim, tracks: &[RemoteTrack]) {
    sim.message(SfuMessage::ParticipantState(Box::new(Participant { published: tracks.to_vec(), ..person("ann") })));
}

fn media(sim: &mut Sim, id: RemoteId, track_id: &str) {
    let owner =
        MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: track_id.into(), stream: String::new() };
    media_of(sim, id, Some(owner));
}

fn media_of(sim: &mut Sim, id: RemoteId, owner: Option<MediaOwner>) {
    let generation = sim.core.generation();
    sim.input(Input::RemoteTrack { generation, id, owner, mid: String::new(), again: false });
}

/// Playback outputs and track events, in order.
fn history(sim: &Sim) -> Vec<String> {
    let format_output = |o: &Output| {
        Some(match o {
            Output::Bind { id, track_id, silent: false, .. } => format!("bind {id} {track_id}"),
            Output::Bind { id, track_id, .. } => format!("bind {id} {track_id} silent"),
            Output::PlayOut { id } => format!("play out {id}"),
            Output::Unbind { id } => format!("unbind {id}"),
            Output::Event(Event::TrackPublished { track, .. }) => format!("published {}", track.id),
            Output::Event(Event::TrackUnpublished { track, .. }) => format!("unpublished {}", track.id),
            Output::Event(Event::ParticipantLeft(_)) => "left".to_owned(),
            Output::Event(Event::Unplayable(what)) => format!("unplayable {} {:?}", what.track_id, what.reason),
            _ => return None,
        })
    };
    sim.since().iter().filter_map(format_output).collect()
}

#[test]
fn a_track_is_played_to_its_end_and_no_longer() {
    let mut sim = named(&[track("mic"), track("screen")]);
    media(&mut sim, 1, "mic");
    media(&mut sim, 2, "screen");
    state(&mut sim, &[track("screen")]);
    assert_eq!(history(&sim), ["bind 1 mic", "bind 2 screen", "play out 1", "unbind 1", "unpublished mic"]);
    sim.mark();
    // A muted track is reported as unpublished. Media that arrives anyway is not played before the unmute.
    state(&mut sim, &[RemoteTrack { muted: true, ..track("screen") }]);
    media(&mut sim, 3, "screen");
    state(&mut sim, &[track("screen")]);
    let entries = history(&sim);
    assert_eq!(entries[..3], ["play out 2", "unbind 2", "unpublished screen"]);
    assert_eq!(entries[3], "published screen");
    // Two streams of the same track: the newer one is played.
    assert_eq!(entries[4..], ["bind 2 screen", "play out 2", "unbind 2", "bind 3 screen"]);
    sim.mark();
    sim.message(SfuMessage::ParticipantLeft {
        session_id: ANN.into(),
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    assert_eq!(history(&sim), ["play out 3", "unbind 3", "unpublished screen", "left"]);
    sim.run(ms(60_000));
    assert_eq!(history(&sim).len(), 4);
}

#[test]
fn where_only_kinds_are_known_publish_messages_count_as_well() {
    let mut sim = Sim::joined();
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
    let published = |sim: &mut Sim, on: bool| {
        let (session_id, user_id, kind) = (ANN.to_owned(), "ann".to_owned(), TrackKind::Audio);
        sim.message(match on {
            true => SfuMessage::TrackPublished { session_id, user_id, kind, participant: None },
            false => {
                let cause = UnpublishCause::UserMuted;
                SfuMessage::TrackUnpublished { session_id, user_id, kind, cause, participant: None }
            }
        });
    };
    sim.mark();
    // Media may arrive before TrackPublished...
    media_of(&mut sim, 1, owner("ann-prefix:TRACK_TYPE_AUDIO:1"));
    published(&mut sim, true);
    published(&mut sim, false);
    // ...but is not played after TrackUnpublished: neither the old stream nor the next one.
    media_of(&mut sim, 2, owner("ann-prefix:TRACK_TYPE_AUDIO:2"));
    assert_eq!(history(&sim), ["bind 1 ", "published ", "play out 1", "unbind 1", "unpublished "]);
    sim.input(Input::RemoteTrackGone { id: 1 });
    sim.mark();
    published(&mut sim, true);
    assert_eq!(history(&sim), ["published ", "bind 2 "]);
    // The last frames of an old track and the first of a new one: one stream at a time.
    sim.mark();
    media_of(&mut sim, 3, owner("ann-prefix:TRACK_TYPE_AUDIO:3"));
    assert_eq!(history(&sim), ["play out 2", "unbind 2", "bind 3 "]);
    // A message about another participant does not affect this one.
    sim.mark();
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("bob"))));
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "bob-session".into(),
        user_id: "bob".into(),
        reason: LeaveReason::UNKNOWN,
    });
    assert_eq!(history(&sim), ["left"]);
}

#[test]
fn an_unsubscribed_track_is_not_played() {
    let mut sim = named(&[track("mic"), track("screen")]);
    media(&mut sim, 1, "mic");
    media(&mut sim, 2, "screen");
    sim.mark();
    let subscribe = |sim: &mut Sim, subscribed| {
        sim.input(Input::Subscribe {
            track_id: "mic".into(),
            settings: SubscriptionSettings { subscribed, ..SubscriptionSettings::default() },
        })
    };
    subscribe(&mut sim, false);
    subscribe(&mut sim, false);
    state(&mut sim, &[track("mic"), track("screen")]);
    assert_eq!(history(&sim), ["unbind 1"]);
    subscribe(&mut sim, true);
    assert_eq!(history(&sim), ["unbind 1", "bind 1 mic"]);
}

#[test]
fn undecodable_media_is_reported_once_and_silent() {
    let mut sim = named(&[RemoteTrack { encrypted: true, ..track("secret") }, track("odd"), track("mute")]);
    media(&mut sim, 1, "secret");
    assert_eq!(history(&sim), ["bind 1 secret silent", "unplayable secret Encrypted"]);
    sim.mark();
    // An unsupported codec: reported for a known track, or once its participant publishes it.
    media(&mut sim, 2, "odd");
    media(&mut sim, 3, "late");
    for id in [2, 3] {
        sim.input(Input::RemoteUnplayable { id, why: Unplayable::Codec });
        sim.input(Input::RemoteUnplayable { id, why: Unplayable::Codec });
    }
    assert_eq!(history(&sim), ["bind 2 odd", "unplayable odd Codec"]);
    state(&mut sim, &[RemoteTrack { encrypted: true, ..track("secret") }, track("odd"), track("late")]);
    assert_eq!(history(&sim)[2..], ["unpublished mute", "published late", "bind 3 late", "unplayable late Codec"]);
    // The same track over another stream is not reported again; after it was republished it is.
    sim.mark();
    media(&mut sim, 4, "secret");
    assert_eq!(history(&sim), ["play out 1", "unbind 1", "bind 4 secret silent"]);
    sim.mark();
    state(&mut sim, &[track("odd"), track("late")]);
    state(&mut sim, &[RemoteTrack { encrypted: true, ..track("secret") }, track("odd"), track("late")]);
    // The republished track arrives as another stream.
    media(&mut sim, 5, "secret");
    let entries = history(&sim);
    assert_eq!(entries[entries.len() - 2..], ["bind 5 secret silent", "unplayable secret Encrypted"]);
    let reported =
        sim.events().into_iter().find_map(|e| if let Event::Unplayable(what) = e { Some(what) } else { None });
    let reported = reported.expect("reported");
    assert_eq!(
        (reported.user_id.as_str(), reported.session_id.as_str(), reported.kind),
        ("ann", ANN, Some(TrackKind::Audio))
    );
}

#[test]
fn a_stream_without_an_owner_is_reported_once() {
    let mut sim = named(&[track("mic")]);
    sim.offer();
    sim.run(ms(100));
    sim.mark();
    media_of(&mut sim, 1, None);
    media(&mut sim, 2, "mic");
    sim.run(limits::UNASSIGNED - ms(10));
    assert_eq!(history(&sim), ["bind 2 mic"]);
    sim.run(ms(20));
    assert_eq!(history(&sim)[1..], ["unplayable  Unassigned"]);
    sim.run(ms(60_000));
    assert_eq!(history(&sim).len(), 2);
    // With a named owner this is certain only after the SFU was asked and has not announced the owner.
    sim.mark();
    media(&mut sim, 3, "nobody's");
    sim.run(limits::OWNER_UNKNOWN - ms(10));
    assert_eq!((history(&sim).len(), sim.core.counters().reconnects_fast), (0, 0));
    sim.run(limits::UNASSIGNED + ms(500));
    assert_eq!(sim.core.counters().reconnects_fast, 1);
    assert_eq!(history(&sim), ["unplayable nobody's Unassigned"]);
    sim.run(ms(60_000));
    assert_eq!(history(&sim).len(), 1);
    // An owner that is announced later is played.
    state(&mut sim, &[track("mic"), track("nobody's")]);
    assert_eq!(history(&sim)[1..], ["published nobody's", "bind 3 nobody's"]);
    // Packets that the engine cannot assign: it reports each stream once.
    sim.mark();
    let generation = sim.core.cx.transport.expect("a transport");
    sim.input(Input::Unassigned { generation, ssrc: 0xabc });
    sim.input(Input::Unassigned { generation: Generation(0), ssrc: 0xabc });
    assert_eq!(history(&sim), ["unplayable  Unassigned"]);
}

#[test]
fn media_of_a_track_that_has_just_ended_is_not_a_lost_announcement() {
    let mut sim = named(&[track("mic"), track("music")]);
    sim.offer();
    sim.run(ms(100));
    state(&mut sim, &[track("mic")]);
    sim.mark();
    sim.run(ms(200));
    media(&mut sim, 1, "music");
    sim.run(limits::OWNER_UNKNOWN + limits::UNASSIGNED + ms(500));
    assert_eq!((history(&sim).len(), sim.core.counters().reconnects_fast), (0, 0));
    // It is published again: the stream is its.
    state(&mut sim, &[track("mic"), track("music")]);
    assert_eq!(history(&sim), ["published music", "bind 1 music"]);
    // Long after the end of a track its media is unexpected.
    state(&mut sim, &[track("mic")]);
    sim.run(limits::OWNER_UNKNOWN + ms(10));
    media(&mut sim, 2, "music");
    sim.run(limits::OWNER_UNKNOWN + ms(500));
    assert_eq!(sim.core.counters().reconnects_fast, 1);
}

/// Forgotten streams, in order.
fn forgotten(sim: &Sim) -> Vec<RemoteId> {
    sim.since().iter().filter_map(|o| if let Output::Forget { id } = o { Some(*id) } else { None }).collect()
}

fn describe(sim: &mut Sim, negotiation_id: u32, lines: &[(&str, &str)]) {
    let mut sdp = "v=0\r\na=ice-ufrag:remote\r\n".to_owned();
    for (mid, direction) in lines {
        sdp += &format!("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:{mid}\r\na={direction}\r\n");
    }
    sim.message(SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id });
    sim.run(ms(20));
}

#[test]
fn a_track_whose_m_line_or_owner_is_gone_gives_its_place_back() {
    let mut sim = named(&[track("mic"), track("screen"), track("music")]);
    describe(&mut sim, 101, &[("0", "sendonly"), ("1", "sendonly"), ("2", "sendonly"), ("3", "sendonly")]);
    let generation = sim.core.cx.transport.expect("a transport");
    for (id, mid, name) in [(1, "0", "mic"), (2, "1", "screen"), (3, "2", "music"), (4, "3", "nobody's")] {
        let owner =
            Some(MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: name.into(), stream: String::new() });
        sim.input(Input::RemoteTrack { generation, id, owner, mid: mid.into(), again: false });
    }
    sim.mark();
    // Described again: nothing ends. When an m-line ends, its track ends and is played to its end.
    describe(&mut sim, 102, &[("0", "sendonly"), ("1", "sendonly"), ("2", "sendonly"), ("3", "sendonly")]);
    assert!(forgotten(&sim).is_empty());
    describe(&mut sim, 103, &[("0", "inactive"), ("1", "sendonly"), ("2", "sendonly"), ("3", "sendonly")]);
    assert_eq!((history(&sim), forgotten(&sim)), (vec!["play out 1".to_owned(), "unbind 1".into()], vec![1]));
    // The owner unpublishes the track; a mute does not end it.
    sim.mark();
    state(&mut sim, &[RemoteTrack { muted: true, ..track("screen") }, track("music")]);
    assert!(forgotten(&sim).is_empty());
    state(&mut sim, &[track("music")]);
    assert_eq!(forgotten(&sim), [2]);
    // The owner leaves; tracks that were never played end too.
    sim.mark();
    let (session_id, user_id) = (ANN.to_owned(), "ann".to_owned());
    sim.message(SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason::UNKNOWN });
    assert_eq!(forgotten(&sim), [3, 4]);
    // A returning participant is played once packets arrive; unknown media that returns causes no resume.
    sim.run(ms(10));
    sim.message(SfuMessage::ParticipantState(Box::new(Participant {
        published: vec![track("music")],
        ..person("ann")
    })));
    sim.mark();
    let owner = |name: &str| {
        Some(MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: name.into(), stream: String::new() })
    };
    sim.input(Input::RemoteTrack { generation, id: 5, owner: owner("music"), mid: "2".into(), again: true });
    assert_eq!(history(&sim), ["bind 5 music"]);
    sim.input(Input::RemoteTrack { generation, id: 6, owner: owner("old"), mid: "3".into(), again: true });
    sim.run(ms(60_000));
    assert_eq!((history(&sim).len(), sim.core.counters().reconnects_fast), (1, 0));
    assert_eq!(sim.check.fault, None);
}

#[test]
fn however_many_tracks_there_were_the_next_one_is_played() {
    let mut sim = named(&[]);
    sim.offer();
    sim.run(ms(50));
    let generation = sim.core.cx.transport.expect("a transport");
    let tracks = limits::REMOTE_TRACKS as u64 + 1_100;
    for id in 0..tracks {
        let name = format!("t{id}");
        state(&mut sim, &[track(&name)]);
        sim.mark();
        let owner = Some(MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: name, stream: String::new() });
        sim.input(Input::RemoteTrack { generation, id, owner, mid: String::new(), again: false });
        assert_eq!(history(&sim).len(), 1, "track {id} is silent");
        sim.run(ms(2));
    }
}
