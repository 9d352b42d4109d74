//! Participants that are present, left or were replaced, with or without a message of the SFU; updates of the local
//! participant; messages that are too large.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::Code;

/// A protocol in which an identity is in a call only once.
fn unique() -> Config {
    let mut config = config();
    config.dialect.identity_is_unique = true;
    config.dialect.data_channels = true;
    config
}

fn session_of(name: &str, session_id: &str, tracks: &[&str]) -> Participant {
    let track = |id: &&str| RemoteTrack { id: (*id).to_owned(), ..TrackKind::Audio.into() };
    let (session_id, published) = (session_id.to_owned(), tracks.iter().map(track).collect());
    Participant { track_prefix: format!("{session_id}-prefix"), session_id, published, ..person(name) }
}

fn state(p: Participant) -> SfuMessage {
    SfuMessage::ParticipantState(Box::new(p))
}

fn reported(sim: &Sim) -> Vec<String> {
    let one = |e: Event| match e {
        Event::ParticipantJoined(p) => Some(format!("+{}", p.session_id)),
        Event::ParticipantUpdated(p) if p.local => Some(format!("me {}", p.metadata)),
        Event::ParticipantUpdated(p) => Some(format!("={}", p.session_id)),
        Event::ParticipantLeft(p) => Some(format!("-{} {}", p.session_id, p.reason.0)),
        Event::TrackUnpublished { track, .. } => Some(format!("-{}", track.id)),
        Event::RpcResponse { id, answer } => Some(format!("rpc {id} {}", answer.err().map_or(0, |f| f.code))),
        _ => None,
    };
    sim.events().into_iter().filter_map(one).collect()
}

#[test]
fn a_join_replaces_the_session_of_the_same_identity() {
    let mut sim = Sim::joined_with(unique());
    sim.message(state(session_of("alice", "A1", &["TR_1"])));
    sim.offer();
    sim.run(ms(100));
    let generation = sim.core.generation();
    sim.input(Input::RemoteTrack {
        generation,
        id: 7,
        owner: owner("A1-prefix:TRACK_TYPE_AUDIO:0"),
        mid: String::new(),
        again: false,
    });
    sim.input(Input::Subscribe {
        track_id: "TR_1".into(),
        settings: SubscriptionSettings { subscribed: false, ..SubscriptionSettings::default() },
    });
    let (to, method, payload) = ("alice".to_owned(), "m".to_owned(), String::new());
    sim.input(Input::CallRpc { id: 5, to, method, payload, timeout: ms(15_000) });
    sim.run(ms(100));
    sim.mark();
    // The SFU never reports that the first session left.
    sim.message(state(session_of("alice", "A2", &["TR_2"])));
    sim.run(ms(100));
    let replaced = LeaveReason::REPLACED.0;
    let gone = rpc_codes::RECIPIENT_DISCONNECTED;
    assert_eq!(
        reported(&sim),
        ["-TR_1".to_owned(), format!("rpc 5 {gone}"), format!("-A1 {replaced}"), "+A2".to_owned()]
    );
    assert_eq!(sim.count(|o| matches!(o, Output::Unbind { id: 7 })), 1);
    let is_cleared =
        |c: &RpcCall| matches!(c, RpcCall::UpdateSubscriptions { subscriptions, .. } if subscriptions.is_empty());
    assert!(sim.rpcs().iter().any(is_cleared), "the settings of an ended track are cleared");
    assert_eq!(sim.core.participants().count(), 1, "alice, once");
    // Late updates and leave messages of the first session are ignored.
    sim.mark();
    sim.message(state(session_of("alice", "A1", &["TR_1"])));
    let (session_id, user_id) = ("A1".to_owned(), "alice".to_owned());
    sim.message(SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason::UNKNOWN });
    assert!(reported(&sim).is_empty());
    // Repeated: each session replaces the one before.
    for n in 3..400 {
        sim.message(state(session_of("alice", &format!("A{n}"), &[])));
    }
    assert_eq!(sim.core.participants().count(), 1);
}

#[test]
fn where_a_user_may_join_twice_no_participant_is_replaced() {
    let mut sim = Sim::joined();
    sim.message(state(session_of("alice", "A1", &[])));
    sim.message(state(session_of("alice", "A2", &[])));
    assert_eq!(reported(&sim), ["+A1", "+A2"]);
}

#[test]
fn a_session_of_the_local_identity_replaces_no_participant() {
    let mut sim = Sim::new(unique());
    sim.joined.participants = vec![person("ann")];
    sim.input(Input::Start);
    sim.run(ms(50));
    sim.mark();
    sim.message(state(session_of("me", "twin", &[])));
    assert_eq!((reported(&sim), sim.core.state()), (vec!["+twin".to_owned()], State::Joined));
    assert!(sim.core.participants().any(|p| p.local), "the SFU reports a replacement itself");
}

#[test]
fn participants_that_left_while_disconnected_are_reported() {
    let mut sim = Sim::new(unique());
    sim.joined.participants = vec![session_of("ann", "ANN", &["TR_1"]), person("bob"), person("cat")];
    sim.input(Input::Start);
    sim.run(ms(50));
    let me = sim.core.cx.session_id.clone();
    // A resume lists everyone present; a list without the local participant is incomplete and ignored.
    sim.mark();
    sim.message(SfuMessage::Present(vec!["bob-session".into()]));
    assert!(reported(&sim).is_empty());
    sim.message(SfuMessage::Present(vec![me, "bob-session".into(), "cat-session".into(), "dan-session".into()]));
    assert_eq!(reported(&sim), ["-TR_1", "-ANN 0"]);
    // The snapshot of another session: one participant left, one returned with another session id.
    sim.mark();
    sim.joined.participants = vec![session_of("bob", "BOB2", &[])];
    sim.peer(PeerKind::Subscriber, PeerChange::Failed);
    sim.message(SfuMessage::Error { error: SfuError::default(), strategy: Strategy::Rejoin });
    sim.run(ms(10_000));
    let reported: Vec<_> = reported(&sim).into_iter().filter(|t| !t.starts_with("me")).collect();
    assert_eq!(reported, ["-bob-session 2", "-cat-session 0", "+BOB2"]);
    assert_eq!(sim.core.participants().count(), 2);
}

#[test]
fn the_reason_is_that_of_the_server() {
    let mut sim = Sim::joined_with(unique());
    sim.message(state(session_of("alice", "A1", &[])));
    sim.mark();
    let (session_id, user_id) = ("A1".to_owned(), "alice".to_owned());
    sim.message(SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason(4) });
    assert_eq!(reported(&sim), ["-A1 4"]);
}

#[test]
fn updates_of_the_local_participant_are_reported_after_the_join_and_on_change() {
    let mut sim = Sim::new(unique());
    let session_id = sim.core.cx.session_id.clone();
    let me = |metadata: &str| Participant { metadata: metadata.into(), session_id: session_id.clone(), ..person("me") };
    // A server that names the session. The sim adds another "me" of the same session, which causes no event.
    sim.joined.participants = vec![me("of the token")];
    sim.input(Input::Start);
    sim.run(ms(50));
    let events = sim.events();
    let at = |what: &dyn Fn(&Event) -> bool| events.iter().position(what).expect("reported");
    let joined = at(&|e| matches!(e, Event::Joined { .. }));
    assert!(joined < at(&|e| matches!(e, Event::ParticipantUpdated(p) if p.local && &*p.metadata == "of the token")));
    sim.mark();
    let long = "x".repeat(100_000);
    for metadata in ["", "set", "set", &long] {
        sim.message(state(me(metadata)));
    }
    assert_eq!(reported(&sim), ["me set".to_owned(), format!("me {long}")]);
    // Local tracks are not reported as remote ones, and local audio levels are not reported.
    sim.mark();
    sim.message(state(Participant { published: vec![TrackKind::Audio.into()], ..me(&long) }));
    sim.message(SfuMessage::AudioLevels(vec![(session_id.clone(), 0.5, true)]));
    sim.message(state(me(&long)));
    assert!(reported(&sim).is_empty(), "{:?}", reported(&sim));
}

fn too_large(sim: &mut Sim) {
    let failure = Failure::new(FailureKind::TooLarge, "a message of 9 bytes is larger than max_message_bytes (8)");
    let generation = sim.core.generation();
    sim.input(Input::SocketClosed { generation, code: None, failure: Some(failure) });
}

fn limit_error(error: Option<crate::error::Error>) -> bool {
    error.is_some_and(|e| e.code == Code::Limit && e.message.contains("max_message_bytes"))
}

#[test]
fn a_message_that_is_too_large_costs_one_reconnect_and_at_its_second_coming_the_call() {
    let mut sim = Sim::joined();
    too_large(&mut sim);
    sim.run(ms(1_000));
    assert_eq!((sim.core.state(), sim.core.counters().reconnects_fast), (State::Joined, 1));
    let errors = sim.events().into_iter().filter_map(|e| if let Event::Error(e) = e { Some(e) } else { None });
    assert!(errors.map(Some).all(limit_error) && sim.errors() == 1);
    // Long afterwards it counts as the first one again.
    sim.run(limits::TOO_LARGE_AGAIN);
    too_large(&mut sim);
    sim.run(ms(1_000));
    assert_eq!(sim.core.state(), State::Joined);
    too_large(&mut sim);
    let end = sim.ended().expect("no loop of resumes");
    assert_eq!(end.reason, EndReason::ConnectionLost);
    assert!(limit_error(end.error));
}

#[test]
fn a_join_response_that_is_too_large_ends_the_join_at_once() {
    let kinds: [fn(Generation) -> Input; 2] = [
        |generation| Input::SocketClosed {
            generation,
            code: None,
            failure: Some(Failure::new(FailureKind::TooLarge, "max_message_bytes")),
        },
        |generation| Input::Message { generation, message: SfuMessage::TooLarge("max_message_bytes".into()) },
    ];
    for input in kinds {
        let lost = move |o: &Output| match o {
            Output::Send { generation, request: SfuRequest::Join(_) } => Reply::With(input(*generation)),
            _ => Reply::Good,
        };
        let mut sim = Sim::new(config());
        sim.on(lost);
        sim.input(Input::Start);
        sim.run(ms(30_000));
        let end = sim.ended().expect("ended");
        assert_eq!((end.reason, sim.core.counters().join_attempts), (EndReason::JoinFailed, 1));
        assert!(limit_error(end.error));
        // The same during a reconnect.
        let mut sim = Sim::joined();
        sim.on(lost);
        sim.lose_socket();
        sim.run(ms(30_000));
        assert!(limit_error(sim.ended().and_then(|e| e.error)));
    }
}

#[test]
fn an_omission_is_reported_and_nothing_else_happens() {
    let mut sim = Sim::joined();
    sim.message(SfuMessage::TooLarge("participant x: identity has 5000 bytes; the limit is 1024".into()));
    assert!(matches!(&sim.events()[..], [Event::Error(e)] if e.code == Code::Limit && e.message.contains("identity")));
    assert_eq!(sim.core.state(), State::Joined);
}

#[test]
fn a_full_roster_is_reported_once() {
    let mut sim = Sim::joined();
    for n in 0..10_010 {
        sim.message(state(session_of("u", &n.to_string(), &[])));
    }
    let errors: Vec<_> = sim.events().into_iter().filter(|e| matches!(e, Event::Error(_))).collect();
    assert!(matches!(&errors[..], [Event::Error(e)] if e.code == Code::Limit), "{errors:?}");
    // A participant without a session id is ignored.
    sim.mark();
    sim.message(state(Participant { session_id: String::new(), ..person("x") }));
    assert_eq!(sim.errors(), 0);
}
