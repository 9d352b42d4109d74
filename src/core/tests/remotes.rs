//! Streams and the tracks that they are: what is heard when, and what is said of media that cannot be.

use super::sim::*;
use crate::core::{model::*, *};

const ANN: &str = "ann-session";

fn track(id: &str) -> RemoteTrack {
    RemoteTrack { id: id.into(), ..TrackKind::Audio.into() }
}

/// A protocol that names tracks, with ann and what she publishes.
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
    let owner = MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: track_id.into(), stream: String::new() };
    media_of(sim, id, Some(owner));
}

fn media_of(sim: &mut Sim, id: RemoteId, owner: Option<MediaOwner>) {
    let generation = sim.core.generation();
    sim.input(Input::RemoteTrack { generation, id, owner, mid: String::new(), again: false });
}

/// What happened to what is heard, and what was told of tracks, in order.
fn story(sim: &Sim) -> Vec<String> {
    let tell = |o: &Output| {
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
    sim.since().iter().filter_map(tell).collect()
}

#[test]
fn a_track_is_heard_to_its_end_and_no_longer() {
    let mut sim = named(&[track("mic"), track("screen")]);
    media(&mut sim, 1, "mic");
    media(&mut sim, 2, "screen");
    state(&mut sim, &[track("screen")]);
    assert_eq!(story(&sim), ["bind 1 mic", "bind 2 screen", "play out 1", "unbind 1", "unpublished mic"]);
    sim.mark();
    // Muted is told as unpublished, and what comes all the same is not heard before the word.
    state(&mut sim, &[RemoteTrack { muted: true, ..track("screen") }]);
    media(&mut sim, 3, "screen");
    state(&mut sim, &[track("screen")]);
    let words = story(&sim);
    assert_eq!(words[..3], ["play out 2", "unbind 2", "unpublished screen"]);
    assert_eq!(words[3], "published screen");
    // Two streams of the same track: the newer one.
    assert_eq!(words[4..], ["bind 2 screen", "play out 2", "unbind 2", "bind 3 screen"]);
    sim.mark();
    sim.message(SfuMessage::ParticipantLeft {
        session_id: ANN.into(),
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    assert_eq!(story(&sim), ["play out 3", "unbind 3", "unpublished screen", "left"]);
    sim.run(ms(60_000));
    assert_eq!(story(&sim).len(), 4);
}

#[test]
fn where_kinds_are_all_that_is_known_the_word_counts_as_well() {
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
    // Media may come before the word that there is a track...
    media_of(&mut sim, 1, owner("ann-prefix:TRACK_TYPE_AUDIO:1"));
    published(&mut sim, true);
    published(&mut sim, false);
    // ...but not after the word that there is none: not the old one's, and not the next one's.
    media_of(&mut sim, 2, owner("ann-prefix:TRACK_TYPE_AUDIO:2"));
    assert_eq!(story(&sim), ["bind 1 ", "published ", "play out 1", "unbind 1", "unpublished "]);
    sim.input(Input::RemoteTrackGone { id: 1 });
    sim.mark();
    published(&mut sim, true);
    assert_eq!(story(&sim), ["published ", "bind 2 "]);
    // An old track's last frames beside a new one's first: one stream at a time.
    sim.mark();
    media_of(&mut sim, 3, owner("ann-prefix:TRACK_TYPE_AUDIO:3"));
    assert_eq!(story(&sim), ["play out 2", "unbind 2", "bind 3 "]);
    // Another participant's word is about another participant.
    sim.mark();
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("bob"))));
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "bob-session".into(),
        user_id: "bob".into(),
        reason: LeaveReason::UNKNOWN,
    });
    assert_eq!(story(&sim), ["left"]);
}

#[test]
fn what_is_not_wanted_is_not_heard() {
    let mut sim = named(&[track("mic"), track("screen")]);
    media(&mut sim, 1, "mic");
    media(&mut sim, 2, "screen");
    sim.mark();
    let wish = |sim: &mut Sim, subscribed| {
        sim.input(Input::Wish { track_id: "mic".into(), wish: Wish { subscribed, ..Wish::default() } })
    };
    wish(&mut sim, false);
    wish(&mut sim, false);
    state(&mut sim, &[track("mic"), track("screen")]);
    assert_eq!(story(&sim), ["unbind 1"]);
    wish(&mut sim, true);
    assert_eq!(story(&sim), ["unbind 1", "bind 1 mic"]);
}

#[test]
fn what_cannot_be_decoded_is_told_once_and_is_silent() {
    let mut sim = named(&[RemoteTrack { encrypted: true, ..track("secret") }, track("odd"), track("mute")]);
    media(&mut sim, 1, "secret");
    assert_eq!(story(&sim), ["bind 1 secret silent", "unplayable secret Encrypted"]);
    sim.mark();
    // By its codec: known with the stream, or before its participant is.
    media(&mut sim, 2, "odd");
    media(&mut sim, 3, "late");
    for id in [2, 3] {
        sim.input(Input::RemoteUnplayable { id, why: Unplayable::Codec });
        sim.input(Input::RemoteUnplayable { id, why: Unplayable::Codec });
    }
    assert_eq!(story(&sim), ["bind 2 odd", "unplayable odd Codec"]);
    state(&mut sim, &[RemoteTrack { encrypted: true, ..track("secret") }, track("odd"), track("late")]);
    assert_eq!(story(&sim)[2..], ["unpublished mute", "published late", "bind 3 late", "unplayable late Codec"]);
    // The same again over another stream is no news; after it was published anew it is.
    sim.mark();
    media(&mut sim, 4, "secret");
    assert_eq!(story(&sim), ["play out 1", "unbind 1", "bind 4 secret silent"]);
    sim.mark();
    state(&mut sim, &[track("odd"), track("late")]);
    state(&mut sim, &[RemoteTrack { encrypted: true, ..track("secret") }, track("odd"), track("late")]);
    // Published anew it comes as another stream.
    media(&mut sim, 5, "secret");
    let words = story(&sim);
    assert_eq!(words[words.len() - 2..], ["bind 5 secret silent", "unplayable secret Encrypted"]);
    let told = sim.events().into_iter().find_map(|e| if let Event::Unplayable(what) = e { Some(what) } else { None });
    let told = told.expect("told");
    assert_eq!((told.user_id.as_str(), told.session_id.as_str(), told.kind), ("ann", ANN, Some(TrackKind::Audio)));
}

#[test]
fn a_stream_that_nobody_owns_is_told_of_once() {
    let mut sim = named(&[track("mic")]);
    sim.offer();
    sim.run(ms(100));
    sim.mark();
    media_of(&mut sim, 1, None);
    media(&mut sim, 2, "mic");
    sim.run(limits::UNASSIGNED - ms(10));
    assert_eq!(story(&sim), ["bind 2 mic"]);
    sim.run(ms(20));
    assert_eq!(story(&sim)[1..], ["unplayable  Unassigned"]);
    sim.run(ms(60_000));
    assert_eq!(story(&sim).len(), 2);
    // Of somebody who is named it is certain only when the SFU was asked for the word, and has not said it.
    sim.mark();
    media(&mut sim, 3, "nobody's");
    sim.run(limits::OWNER_UNKNOWN - ms(10));
    assert_eq!((story(&sim).len(), sim.core.counters().reconnects_fast), (0, 0));
    sim.run(limits::UNASSIGNED + ms(500));
    assert_eq!(sim.core.counters().reconnects_fast, 1);
    assert_eq!(story(&sim), ["unplayable nobody's Unassigned"]);
    sim.run(ms(60_000));
    assert_eq!(story(&sim).len(), 1);
    // Who is introduced after that is heard.
    state(&mut sim, &[track("mic"), track("nobody's")]);
    assert_eq!(story(&sim)[1..], ["published nobody's", "bind 3 nobody's"]);
    // Packets that the engine assigns to nothing: the engine tells once for each stream.
    sim.mark();
    let generation = sim.core.cx.transport.expect("a transport");
    sim.input(Input::Unassigned { generation, ssrc: 0xabc });
    sim.input(Input::Unassigned { generation: Generation(0), ssrc: 0xabc });
    assert_eq!(story(&sim), ["unplayable  Unassigned"]);
}

/// What was forgotten, in order.
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
        let owner = Some(MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: name.into(), stream: String::new() });
        sim.input(Input::RemoteTrack { generation, id, owner, mid: mid.into(), again: false });
    }
    sim.mark();
    // Described again: nothing is over. An m-line that ends: that track is, and is heard to its end.
    describe(&mut sim, 102, &[("0", "sendonly"), ("1", "sendonly"), ("2", "sendonly"), ("3", "sendonly")]);
    assert!(forgotten(&sim).is_empty());
    describe(&mut sim, 103, &[("0", "inactive"), ("1", "sendonly"), ("2", "sendonly"), ("3", "sendonly")]);
    assert_eq!((story(&sim), forgotten(&sim)), (vec!["play out 1".to_owned(), "unbind 1".into()], vec![1]));
    // Its owner says that it is over; muted it is not over.
    sim.mark();
    state(&mut sim, &[RemoteTrack { muted: true, ..track("screen") }, track("music")]);
    assert!(forgotten(&sim).is_empty());
    state(&mut sim, &[track("music")]);
    assert_eq!(forgotten(&sim), [2]);
    // Its owner leaves, with what was never heard.
    sim.mark();
    let (session_id, user_id) = (ANN.to_owned(), "ann".to_owned());
    sim.message(SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason::UNKNOWN });
    assert_eq!(forgotten(&sim), [3, 4]);
    // Who comes again is heard, when packets do; nobody is asked who that is.
    sim.run(ms(10));
    sim.message(SfuMessage::ParticipantState(Box::new(Participant {
        published: vec![track("music")],
        ..person("ann")
    })));
    sim.mark();
    let owner = |name: &str| Some(MediaOwner { prefix: "ann-prefix".into(), kind: None, track_id: name.into(), stream: String::new() });
    sim.input(Input::RemoteTrack { generation, id: 5, owner: owner("music"), mid: "2".into(), again: true });
    assert_eq!(story(&sim), ["bind 5 music"]);
    sim.input(Input::RemoteTrack { generation, id: 6, owner: owner("old"), mid: "3".into(), again: true });
    sim.run(ms(60_000));
    assert_eq!((story(&sim).len(), sim.core.counters().reconnects_fast), (1, 0));
    assert_eq!(sim.check.fault, None);
}

#[test]
fn however_many_tracks_there_were_the_next_one_is_heard() {
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
        assert_eq!(story(&sim).len(), 1, "track {id} is silent");
        sim.run(ms(2));
    }
}
