//! Differences between protocols: which server admits, how ICE is restarted, how tracks are named and end.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::{Code, Secret};

/// One socket for admission, resume and requests; several servers.
const ONE_SOCKET: Dialect = Dialect {
    capabilities: Capabilities(0),
    subscriber_restart: false,
    candidates_first: true,
    admits_at_socket: true,
    resume_introduces: true,
    tracks_end_in_sdp: true,
    tracks_have_names: true,
    edge_failures: 1,
    ice_grace: ms(500),
    ..DIALECT
};

fn one_socket() -> Config {
    Config { dialect: ONE_SOCKET, ..config() }
}

fn servers(generation: Generation, edge: &str) -> Input {
    let admission = Admission { edge_name: edge.into(), alternatives: 2, ..Admission::default() };
    Input::Admitted { generation, result: Ok(Box::new(admission)) }
}

/// Admissions by an endpoint with two servers.
fn two_servers(o: &Output) -> Reply {
    match o {
        Output::Admit { generation, request, .. } => {
            let edge = if request.migrating_from_list.iter().any(|e| e == "a") { "b" } else { "a" };
            Reply::With(servers(*generation, edge))
        }
        _ => Reply::Good,
    }
}

fn edges(sim: &Sim) -> Vec<String> {
    let edge = |o: &Output| {
        if let Output::OpenSocket { admission, .. } = o {
            Some(admission.edge_name.clone())
        } else {
            None
        }
    };
    sim.since().iter().filter_map(edge).collect()
}

fn refused(generation: Generation, kind: FailureKind) -> Input {
    Input::SocketOpened { generation, result: Err(Failure::new(kind, "no")) }
}

#[test]
fn the_server_names_the_session() {
    let mut sim = Sim::new(one_socket());
    sim.joined.session_id = "PA_1".into();
    sim.joined.participants = vec![Participant { session_id: "PA_1".into(), ..person("me") }];
    sim.input(Input::Start);
    sim.run(ms(50));
    assert!(sim.events().iter().any(|e| matches!(e, Event::Joined { session_id, .. } if session_id == "PA_1")));
    sim.mark();
    sim.lose_socket();
    sim.run(ms(50));
    let resumed = |o: &Output| matches!(o, Output::OpenSocket { session_id, resume: true, .. } if session_id == "PA_1");
    assert_eq!(sim.count(resumed), 1);
}

#[test]
fn an_endpoint_that_refuses_is_final_and_one_that_is_unreachable_is_not() {
    for (kind, code) in
        [(FailureKind::Http { status: 403 }, Code::Refused), (FailureKind::Http { status: 401 }, Code::Auth)]
    {
        let mut sim = Sim::new(one_socket());
        let no = kind.clone();
        sim.on(move |o| match o {
            Output::OpenSocket { generation, .. } => Reply::With(refused(*generation, no.clone())),
            _ => Reply::Good,
        });
        sim.input(Input::Start);
        sim.run(ms(10_000));
        let end = sim.ended().expect("ended");
        assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::JoinFailed, Some(code)), "{kind:?}");
        assert_eq!(sim.core.counters().join_attempts, 1);
    }
    let mut sim = Sim::new(one_socket());
    let mut tries = 0;
    sim.on(move |o| match o {
        Output::OpenSocket { generation, .. } if tries == 0 => {
            tries += 1;
            Reply::With(refused(*generation, FailureKind::Http { status: 503 }))
        }
        _ => Reply::Good,
    });
    sim.input(Input::Start);
    sim.run(ms(10_000));
    assert_eq!(sim.core.state(), State::Joined);
}

#[test]
fn an_expired_token_at_the_socket_asks_for_another() {
    let mut sim = Sim::new(Config { renew_token: true, ..one_socket() });
    let mut tries = 0;
    sim.on(move |o| match o {
        Output::OpenSocket { generation, .. } if tries == 0 => {
            tries += 1;
            Reply::With(refused(*generation, FailureKind::Http { status: 401 }))
        }
        _ => Reply::Good,
    });
    sim.input(Input::Start);
    sim.run(ms(1_000));
    assert_eq!((sim.core.state(), sim.count(|o| matches!(o, Output::NeedToken))), (State::Joined, 1));
    // A token that the server sends later is used from then on.
    sim.message(SfuMessage::Token(Secret::new("fresh-token")));
    sim.mark();
    sim.lose_socket();
    sim.run(ms(50));
    let fresh =
        |o: &Output| matches!(o, Output::OpenSocket { admission, .. } if admission.token.reveal() == "fresh-token");
    assert_eq!(sim.count(fresh), 1);
}

#[test]
fn a_token_of_the_service_that_is_refused_gives_way_to_that_of_the_application() {
    let mut sim = Sim::joined_with(Config { renew_token: true, ..one_socket() });
    sim.message(SfuMessage::Token(Secret::new("spoilt")));
    sim.on(|o| match o {
        Output::OpenSocket { generation, admission, .. } if admission.token.reveal() == "spoilt" => {
            Reply::With(refused(*generation, FailureKind::Http { status: 401 }))
        }
        _ => Reply::Good,
    });
    sim.mark();
    sim.lose_socket();
    sim.run(ms(1_000));
    assert_eq!((sim.core.state(), sim.count(|o| matches!(o, Output::NeedToken))), (State::Joined, 0));
    assert_eq!((sim.count(|o| matches!(o, Output::OpenSocket { .. })), sim.core.counters().reconnects_fast), (2, 1));
    // When both tokens are refused, the application is asked for one.
    sim.on(|o| match o {
        Output::OpenSocket { generation, .. } => Reply::With(refused(*generation, FailureKind::Http { status: 401 })),
        _ => Reply::Good,
    });
    sim.message(SfuMessage::Token(Secret::new("spoilt again")));
    sim.mark();
    sim.lose_socket();
    sim.run(ms(1_000));
    assert_eq!(sim.count(|o| matches!(o, Output::NeedToken)), 1);
    assert!(sim.count(|o| matches!(o, Output::OpenSocket { .. })) <= 4);
}

#[test]
fn no_backoff_at_a_dead_endpoint_while_another_is_untried() {
    let mut sim = Sim::new(one_socket());
    sim.on(two_servers);
    sim.input(Input::Start);
    sim.run(ms(50));
    assert_eq!(edges(&sim), ["a"]);
    sim.mark();
    sim.on(|o| match o {
        Output::OpenSocket { generation, admission, .. } if admission.edge_name == "a" => {
            Reply::With(refused(*generation, FailureKind::Connect))
        }
        o => two_servers(o),
    });
    sim.lose_socket();
    sim.run(ms(100));
    assert_eq!((edges(&sim), sim.core.state()), (vec!["a".into(), "b".into()], State::Joined));
    assert_eq!((sim.core.counters().reconnects_fast, sim.core.counters().reconnects_rejoin), (1, 0));
    // When all servers fail, the usual backoff applies.
    sim.mark();
    sim.on(|o| match o {
        Output::OpenSocket { generation, .. } => Reply::With(refused(*generation, FailureKind::Connect)),
        o => two_servers(o),
    });
    sim.lose_socket();
    sim.run(ms(10_000));
    assert!((2..=8).contains(&edges(&sim).len()), "{:?}", edges(&sim));
}

#[test]
fn advice_in_place_of_a_join_response_is_followed_at_once() {
    let mut sim = Sim::joined_with(one_socket());
    sim.on(|o| match o {
        // The resume finds no session.
        Output::Send { generation, request: SfuRequest::Join(join) }
            if join.reconnect.as_ref().is_some_and(|r| r.strategy == Strategy::Fast) =>
        {
            let message = SfuMessage::Advice { strategy: Strategy::Rejoin, why: "unknown".into(), leave_edge: false };
            Reply::With(Input::Message { generation: *generation, message })
        }
        _ => Reply::Good,
    });
    sim.lose_socket();
    sim.run(ms(50));
    assert_eq!((sim.core.state(), sim.core.counters().reconnects_rejoin, sim.errors()), (State::Joined, 1, 0));
}

#[test]
fn lost_media_is_answered_by_a_resume() {
    let mut sim = Sim::joined_with(one_socket());
    sim.offer();
    sim.run(ms(100));
    sim.mark();
    sim.peer(PeerKind::Subscriber, PeerChange::Disconnected);
    sim.run(ms(400));
    assert_eq!(sim.core.state(), State::Joined);
    sim.run(ms(150));
    assert_eq!((sim.core.counters().reconnects_fast, sim.rpc_names().contains(&"IceRestart")), (1, false));
}

#[test]
fn candidates_go_before_the_answer_of_a_new_ice_generation() {
    let mut sim = Sim::joined_with(one_socket());
    let generation = sim.core.generation();
    let json = || candidate(PeerKind::Subscriber, "mine");
    sim.on(|o| match o {
        Output::Engine { action: Action::Answer { .. }, .. } => Reply::Hold,
        _ => Reply::Good,
    });
    sim.offer();
    sim.run(ms(20));
    sim.release();
    assert!(sim.answers().is_empty(), "it waits for the first candidate");
    sim.input(Input::LocalCandidate { generation, peer: PeerKind::Subscriber, json: json() });
    assert_eq!(sim.rpc_names(), ["IceTrickle", "SendAnswer"]);
    sim.run(ms(20));
    // The answer does not wait again in the same ICE generation, and the wait is bounded if no candidate comes.
    sim.good();
    sim.mark();
    sim.offer();
    sim.run(ms(20));
    assert_eq!(sim.answers().len(), 1);
    sim.mark();
    sim.message(offer(50, "another-generation"));
    sim.run(ms(30));
    assert!(sim.answers().is_empty());
    sim.run(limits::FIRST_CANDIDATE);
    assert_eq!(sim.answers(), [50]);
    // Leaving meanwhile makes the offer late.
    sim.mark();
    sim.message(offer(51, "third-generation"));
    sim.run(ms(20));
    sim.leave();
    sim.run(ms(2_000));
    assert_eq!((sim.answers().len(), sim.errors()), (0, 0));
}

#[test]
fn a_freed_track_leaves_the_offer() {
    let mut sim = Sim::joined_with(one_socket());
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(100));
    sim.mark();
    sim.input(Input::Unpublish { track: 1 });
    sim.run(ms(100));
    assert_eq!(sim.actions(PeerKind::Publisher), ["Offer", "SetAnswer"]);
    assert_eq!(sim.wanted(), [Wanted::default()]);
    sim.mark();
    sim.input(Input::Publish { track: 2, offer: audio() });
    sim.run(ms(100));
    assert_eq!(sim.actions(PeerKind::Publisher), ["Offer", "SetAnswer"]);
    assert!(matches!(&sim.wanted()[0].senders[..], [sender] if sender.track == 2));
    assert_eq!(sim.errors(), 0);
}

#[test]
fn whole_participants_patch_nothing_and_replace_everything() {
    let mut sim = Sim::joined_with(one_socket());
    let track = |id: &str, muted| RemoteTrack { id: id.into(), muted, ..TrackKind::Audio.into() };
    let ann = |tracks: Vec<RemoteTrack>| {
        SfuMessage::ParticipantState(Box::new(Participant { published: tracks, ..person("ann") }))
    };
    let reported = |sim: &mut Sim, tracks| {
        sim.mark();
        sim.message(ann(tracks));
        let one = |e: Event| match e {
            Event::ParticipantJoined(_) => Some("joined".to_owned()),
            Event::ParticipantUpdated(_) => Some("updated".to_owned()),
            Event::TrackPublished { track, .. } if track.muted => Some(format!("+{} muted", track.id)),
            Event::TrackPublished { track, .. } => Some(format!("+{}", track.id)),
            Event::TrackUnpublished { track, cause, .. } => Some(format!("-{} {cause:?} {}", track.id, track.muted)),
            _ => None,
        };
        sim.events().into_iter().filter_map(one).collect::<Vec<_>>()
    };
    assert_eq!(reported(&mut sim, vec![track("a", false), track("b", true)]), ["joined", "+a", "+b muted"]);
    assert!(reported(&mut sim, vec![track("a", false), track("b", true)]).is_empty());
    assert_eq!(reported(&mut sim, vec![track("a", true), track("b", false)]), ["-a UserMuted true", "+b"]);
    assert!(reported(&mut sim, vec![track("a", true), track("b", false)]).is_empty(), "muted once");
    assert_eq!(reported(&mut sim, vec![track("a", false)]), ["-b Unspecified false", "+a"]);
    sim.message(SfuMessage::AudioLevels(vec![("ann-session".into(), 0.5, true)]));
    assert!(reported(&mut sim, vec![track("a", false)]).is_empty(), "what is measured stays");
    assert_eq!(reported(&mut sim, vec![track("a", true)]), ["-a UserMuted true"]);
    assert_eq!(reported(&mut sim, vec![]), ["-a Unspecified true"], "the end of what is muted, too");
}

#[test]
fn a_mute_from_outside_is_moderation_and_may_be_undone_from_outside() {
    let mut sim = Sim::joined_with(one_socket());
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(100));
    let name = sim.core.publisher.tracks.all[0].name.clone();
    sim.mark();
    sim.message(SfuMessage::LocalMuted { track_id: name.clone(), muted: true });
    sim.message(SfuMessage::LocalMuted { track_id: name.clone(), muted: true });
    sim.run(ms(50));
    let moderated = |sim: &Sim| {
        let order = |o: &Output| match o {
            Output::Moderated { muted, .. } => Some(*muted),
            Output::Lifted { .. } => Some(false),
            _ => None,
        };
        sim.since().iter().filter_map(order).collect::<Vec<_>>()
    };
    assert_eq!(moderated(&sim), [true]);
    // The mute is confirmed: an unmute in progress may have undone it.
    let confirms = |call: &RpcCall| matches!(call, RpcCall::UpdateMuteStates { states, .. } if states[0].muted);
    assert!(matches!(sim.rpcs().len(), 1..=2) && sim.rpcs().iter().all(confirms));
    sim.message(SfuMessage::LocalMuted { track_id: name.clone(), muted: false });
    assert_eq!(moderated(&sim), [true, false]);
    // A mute by the application can only be undone by the application.
    sim.input(Input::Mute { track: 1, muted: true });
    sim.run(ms(50));
    sim.mark();
    sim.message(SfuMessage::LocalMuted { track_id: name.clone(), muted: false });
    sim.run(ms(50));
    assert!(matches!(&sim.rpcs()[..], [RpcCall::UpdateMuteStates { states, .. }] if states[0].muted));
    sim.mark();
    sim.message(SfuMessage::LocalUnpublished { track_id: name });
    sim.message(SfuMessage::LocalMuted { track_id: "stranger".into(), muted: true });
    sim.run(ms(100));
    assert_eq!(sim.events().iter().filter(|e| matches!(e, Event::LocalFailed { track: 1, .. })).count(), 1);
}

#[test]
fn subscription_settings_are_sent_one_at_a_time_and_after_every_reconnect() {
    let mut sim = Sim::joined_with(one_socket());
    sim.on(|o| if is_rpc(o, "UpdateSubscriptions") { Reply::Hold } else { Reply::Good });
    let off = SubscriptionSettings { subscribed: false, ..SubscriptionSettings::default() };
    for (track, settings) in [("a", off), ("b", off), ("a", SubscriptionSettings::default()), ("b", off)] {
        sim.input(Input::Subscribe { track_id: track.into(), settings });
    }
    assert_eq!(sim.rpcs().len(), 1);
    sim.good();
    sim.release();
    sim.run(ms(50));
    let last = |sim: &Sim| match sim.rpcs().pop() {
        Some(RpcCall::UpdateSubscriptions { subscriptions, .. }) => {
            subscriptions.into_iter().map(|s| (s.track_id, s.settings.subscribed)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(last(&sim), [("a".to_owned(), true), ("b".to_owned(), false)]);
    sim.mark();
    sim.lose_socket();
    sim.run(ms(100));
    assert_eq!(last(&sim).len(), 2);
    for n in 0..2 * limits::SUBSCRIPTIONS {
        sim.input(Input::Subscribe { track_id: n.to_string(), settings: off });
    }
    assert!(sim.errors() > 0, "bounded");
}

#[test]
fn media_of_an_unknown_participant_causes_one_resume_and_media_of_one_that_left_none() {
    let receive_media = |sim: &mut Sim, id, name: &str| {
        let generation = Generation(1);
        sim.input(Input::RemoteTrack {
            generation,
            id,
            owner: owner(&format!("{name}-prefix:TRACK_TYPE_AUDIO:0")),
            mid: String::new(),
            again: false,
        });
    };
    let mut sim = Sim::joined_with(one_socket());
    // The media of a participant that left stays in the session description for a while; another one joins meanwhile.
    sim.message(SfuMessage::ParticipantState(Box::new(person("ann"))));
    receive_media(&mut sim, 1, "ann");
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "ann-session".into(),
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    receive_media(&mut sim, 2, "ben");
    sim.message(SfuMessage::ParticipantState(Box::new(person("ben"))));
    // One that left before his media arrived.
    sim.message(SfuMessage::ParticipantState(Box::new(person("dan"))));
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "dan-session".into(),
        user_id: "dan".into(),
        reason: LeaveReason::UNKNOWN,
    });
    sim.run(ms(100));
    receive_media(&mut sim, 4, "dan");
    sim.mark();
    sim.run(limits::OWNER_UNKNOWN + ms(1_000));
    assert_eq!(sim.core.counters().reconnects_fast, 0);
    // The message that announces the participant was lost.
    receive_media(&mut sim, 3, "cat");
    sim.run(limits::OWNER_UNKNOWN - ms(100));
    assert_eq!(sim.core.counters().reconnects_fast, 0);
    sim.run(ms(1_000));
    assert_eq!((sim.core.state(), sim.core.counters().reconnects_fast), (State::Joined, 1));
    sim.run(limits::OWNER_UNKNOWN * 3);
    assert_eq!(sim.core.counters().reconnects_fast, 1);
}

#[test]
fn a_repeated_offer_is_late_where_offers_are_numbered() {
    let mut sim = Sim::joined_with(Config { dialect: Dialect { numbered_offers: true, ..DIALECT }, ..config() });
    let late = |sim: &mut Sim, session: u32, negotiation_id| {
        let before = sim.core.counters().late_offers;
        let sdp = format!("v=0\r\no=- {session} 2 IN IP4 0.0.0.0\r\na=ice-ufrag:u\r\n");
        sim.message(SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id });
        sim.run(ms(20));
        sim.core.counters().late_offers > before
    };
    assert!(!late(&mut sim, 7, 36) && late(&mut sim, 7, 36) && late(&mut sim, 7, 35) && !late(&mut sim, 7, 37));
    // Another SFU peer connection has its own numbering. An SFU that sends 0 does not number its offers.
    assert!(!late(&mut sim, 8, 1) && late(&mut sim, 8, 1) && !late(&mut sim, 8, 0) && !late(&mut sim, 8, 0));
    // A resume accepts an unanswered offer again, and no other.
    sim.on(|o| if is_action(o, "Answer") { Reply::Hold } else { Reply::Good });
    assert!(!late(&mut sim, 8, 2));
    sim.lose_socket();
    sim.run(ms(20));
    let counted = sim.core.counters().late_offers;
    sim.good();
    sim.release();
    sim.run(ms(50));
    assert_eq!((sim.core.state(), sim.core.counters().reconnects_fast), (State::Joined, 1));
    assert!(!late(&mut sim, 8, 2) && late(&mut sim, 8, 2), "{counted}");
    sim.lose_socket();
    sim.run(ms(3_000));
    assert_eq!(sim.core.counters().reconnects_fast, 2);
    assert!(late(&mut sim, 8, 2) && !late(&mut sim, 8, 3));
    // Without numbering, the same offer may be repeated any number of times.
    let mut sim = Sim::joined();
    assert!(!late(&mut sim, 7, 36) && !late(&mut sim, 7, 36) && !late(&mut sim, 7, 35));
    assert_eq!(sim.answers(), [36, 36, 35]);
}
