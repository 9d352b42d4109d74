//! The main guarantee: an offer is counted and otherwise ignored if its subscriber is closed, freed, never created or
//! of an old generation, or if the call is leaving or ended.

use super::sim::*;
use crate::core::{model::*, rng::Rng, *};
use crate::error::Secret;

const SUB: PeerKind = PeerKind::Subscriber;

/// Each asynchronous step in the negotiation of an offer.
const AWAITS: [&str; 3] = ["Create", "Answer", "SendAnswer"];

fn is_await(output: &Output, name: &str) -> bool {
    is_rpc(output, name) || matches!(output, Output::Engine { peer: SUB, action, .. } if action_name(action) == name)
}

/// A joined call whose negotiation is blocked at `at`.
fn waiting_at(at: &'static str) -> Sim {
    let mut sim = Sim::joined();
    sim.on(move |o| if is_await(o, at) { Reply::Hold } else { Reply::Good });
    sim.offer();
    sim.run(ms(20));
    assert_eq!(sim.held.len(), 1, "{at}");
    sim.mark();
    sim
}

#[test]
fn the_steps_of_an_answer_and_its_negotiation_id() {
    let mut sim = Sim::joined();
    let id = sim.offer();
    sim.run(ms(20));
    assert_eq!(sim.actions(SUB), ["Create", "Answer"]);
    let session_id = sim.core.cx.session_id.clone();
    let answer = RpcCall::SendAnswer { session_id, sdp: "answer 2".into(), negotiation_id: id };
    assert_eq!(sim.rpcs(), [answer]);
    let second = sim.offer();
    sim.run(ms(20));
    assert_eq!(sim.answers(), [id, second]);
    assert_eq!((sim.core.counters().offers_answered, sim.core.counters().late_offers), (2, 0));
}

#[test]
fn offers_are_answered_one_at_a_time_in_order() {
    let mut sim = Sim::joined();
    let ids: Vec<_> = (0..20).map(|_| sim.offer()).collect();
    assert_eq!(sim.actions(SUB), ["Create"], "one at a time");
    sim.run(ms(500));
    assert_eq!(sim.answers(), ids);
    assert_eq!(sim.core.counters().offers_answered, 20);
}

#[test]
fn closing_leaving_and_aborting_are_noticed_after_every_await() {
    for at in AWAITS {
        for way in ["close", "leave", "abort", "call ended"] {
            let mut sim = waiting_at(at);
            let errors = sim.core.counters().error_events;
            // One more offer behind the one in progress.
            sim.offer();
            match way {
                "close" => sim.input(Input::ClosePeer(SUB)),
                "leave" => sim.leave(),
                "abort" => {
                    sim.input(Input::Abort(End { reason: EndReason::Shutdown, error: None, text: String::new() }))
                }
                _ => sim.message(SfuMessage::CallEnded(CallEndedReason::Ended)),
            }
            sim.offer();
            sim.release();
            sim.run(ms(3_000));
            let counters = sim.core.counters();
            // An answer that was already being sent counts as answered.
            let given = u64::from(at == "SendAnswer");
            assert_eq!((counters.late_offers, counters.offers_answered), (3 - given, given), "{at}, {way}");
            assert_eq!(counters.error_events, errors, "{at}, {way}: an error was reported");
            assert_eq!(sim.rpcs(), [], "{at}, {way}");
            assert_eq!(sim.actions(SUB), [""; 0], "{at}, {way}");
            let closes = sim.count(|o| matches!(o, Output::ClosePeer { peer: SUB, .. }));
            assert_eq!(closes, 1, "{at}, {way}");
            match way {
                "close" => assert_eq!(sim.core.state(), State::Joined),
                _ => assert!(sim.core.is_over(), "{at}, {way}"),
            }
        }
    }
}

#[test]
fn a_failure_after_the_close_is_not_reported() {
    for at in AWAITS {
        let mut sim = waiting_at(at);
        sim.input(Input::ClosePeer(SUB));
        sim.mark();
        let held = sim.held.remove(0);
        let late = if at == "SendAnswer" {
            rpc_failed(&held, sfu(500, "no such session"))
        } else {
            op_failed(&held, failed(true))
        };
        if let Reply::With(input) = late {
            sim.input(input);
        }
        sim.run(ms(3_000));
        assert_eq!((sim.errors(), sim.rpcs().len()), (0, 0), "{at}");
        assert_eq!(sim.core.state(), State::Joined);
    }
}

#[test]
fn an_answer_is_not_sent_again_for_a_subscriber_closed_meanwhile() {
    let mut sim = Sim::joined();
    sim.on(|o| {
        if is_rpc(o, "SendAnswer") {
            rpc_failed(o, Failure::new(FailureKind::Connect, "gone"))
        } else {
            Reply::Good
        }
    });
    sim.offer();
    sim.run(ms(8));
    assert_eq!(sim.answers().len(), 1);
    sim.input(Input::ClosePeer(SUB));
    sim.run(ms(3_000));
    assert_eq!(sim.answers().len(), 1);
    assert_eq!((sim.core.counters().late_offers, sim.errors()), (1, 0));
}

#[test]
fn an_offer_queued_behind_another_while_leaving_is_dropped() {
    let mut sim = waiting_at("Answer");
    for _ in 0..5 {
        sim.offer();
    }
    sim.leave();
    assert_eq!(sim.core.counters().late_offers, 6);
    sim.offer();
    assert_eq!(sim.core.counters().offers_while_leaving, 7);
    assert_eq!(sim.count(|o| matches!(o, Output::Debug(..))), 7, "one line each");
    sim.release();
    sim.run(ms(2_000));
    assert_eq!(sim.rpcs(), []);
}

#[test]
fn an_offer_after_the_end_is_counted_and_nothing_else() {
    let mut sim = Sim::joined();
    sim.leave();
    sim.run(ms(10));
    assert!(sim.core.is_over());
    let before = sim.log.len();
    for _ in 0..1_000 {
        sim.offer();
    }
    assert_eq!((sim.core.counters().late_offers, sim.log.len()), (1_000, before));
    assert_eq!(sim.core.deadline(), None);
}

#[test]
fn an_offer_of_another_generation_is_dropped() {
    let mut sim = Sim::joined();
    for generation in [0, 2, u32::MAX] {
        sim.input(Input::Message { generation: Generation(generation), message: offer(1, "x") });
    }
    assert_eq!(sim.core.counters().late_offers, 3);
    assert_eq!(sim.count(|o| !matches!(o, Output::Debug(..))), 0);
    let id = sim.offer();
    sim.run(ms(20));
    assert_eq!(sim.answers(), [id]);
}

#[test]
fn a_subscriber_that_was_never_made_or_closed_before_joining_drops_them_all() {
    for never in [true, false] {
        let mut sim = Sim::new(Config { subscribe: !never, ..config() });
        if !never {
            sim.input(Input::ClosePeer(SUB));
        }
        sim.input(Input::Start);
        sim.run(ms(50));
        sim.mark();
        for _ in 0..1_000 {
            sim.offer();
        }
        sim.message(trickle(SUB, "remote"));
        sim.run(ms(1_000));
        assert_eq!((sim.core.counters().late_offers, sim.core.state()), (1_000, State::Joined));
        assert_eq!(sim.count(|o| !matches!(o, Output::Debug(..))), 0);
        // The rest of the call still works.
        sim.input(Input::Publish { track: 1, offer: audio() });
        sim.run(ms(100));
        assert!(sim.events().contains(&Event::LocalPublished { track: 1 }));
    }
}

#[test]
fn closing_twice_closes_once() {
    let mut sim = waiting_at("Answer");
    for _ in 0..3 {
        sim.input(Input::ClosePeer(SUB));
    }
    sim.leave();
    sim.run(ms(2_000));
    assert_eq!(sim.count(|o| matches!(o, Output::ClosePeer { peer: SUB, .. })), 1);
}

#[test]
fn the_count_is_exact_over_random_mixes() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut sim = Sim::joined();
        sim.delays = Some((Rng::new(!seed), 5));
        let (mut offers, mut live) = (0, 0);
        let closes_at = rng.between(1, 30);
        for n in 0..30 {
            if n == closes_at {
                sim.input(Input::ClosePeer(SUB));
            }
            sim.offer();
            offers += 1;
            live += u64::from(n < closes_at);
            sim.run(ms(rng.between(0, 8)));
        }
        let counters = sim.core.counters();
        assert_eq!(
            counters.offers_answered + counters.late_offers + sim.core.offers_waiting() as u64,
            offers,
            "seed {seed}"
        );
        assert!(counters.late_offers >= offers - live, "seed {seed}");
        assert_eq!((counters.error_events, counters.offers_failed), (0, 0), "seed {seed}");
    }
}

#[test]
fn a_failure_while_open_is_reported_and_a_new_offer_requested() {
    for at in AWAITS {
        let mut sim = Sim::joined();
        let mut once = true;
        sim.on(move |o| match o {
            _ if !is_await(o, at) || !std::mem::take(&mut once) => Reply::Good,
            Output::Rpc { .. } => rpc_failed(o, sfu(500, "the SFU is confused")),
            _ => op_failed(o, failed(false)),
        });
        sim.offer();
        let second = sim.offer();
        sim.run(ms(100));
        let counters = sim.core.counters();
        assert_eq!((counters.offers_failed, counters.offers_answered, sim.errors()), (1, 1, 1), "{at}");
        assert_eq!(sim.answers().last(), Some(&second), "{at}: the next one has its turn");
        assert_eq!(sim.rpc_names().iter().filter(|n| **n == "IceRestart").count(), 1, "{at}");
    }
}

#[test]
fn three_failures_in_a_row_make_a_new_session_three_such_sessions_the_end() {
    let fail = |every: u32| {
        let mut sim = Sim::joined();
        let mut n = 0;
        sim.on(move |o| {
            n += u32::from(is_await(o, "Answer"));
            if is_await(o, "Answer") && n % every != 0 {
                op_failed(o, failed(false))
            } else {
                Reply::Good
            }
        });
        for _ in 0..9 {
            sim.offer();
            sim.run(ms(20));
        }
        sim
    };
    let sim = fail(3);
    assert_eq!((sim.core.state(), sim.core.counters().offers_answered), (State::Joined, 3));
    let sim = fail(100);
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::NegotiationFailed));
    assert_eq!((sim.core.counters().offers_failed, sim.core.counters().reconnects_rejoin), (9, 2));
}

#[test]
fn a_step_refused_because_the_peer_connection_is_closed_is_nobodys_error() {
    let mut sim = Sim::joined();
    sim.on(|o| if is_await(o, "Answer") { op_failed(o, failed(true)) } else { Reply::Good });
    for _ in 0..5 {
        sim.offer();
    }
    sim.run(ms(100));
    assert_eq!((sim.core.counters().late_offers, sim.errors(), sim.rpcs().len()), (5, 0, 0));
    assert_eq!(sim.core.state(), State::Joined);
}

#[test]
fn a_flood_of_offers_is_bounded_and_counted() {
    let mut sim = waiting_at("Answer");
    for _ in 0..limits::QUEUED_OFFERS {
        sim.offer();
    }
    assert_eq!(sim.core.state(), State::Joined);
    sim.offer();
    assert_eq!(sim.core.state(), State::Reconnecting);
    assert_eq!(sim.core.counters().late_offers, limits::QUEUED_OFFERS as u64 + 2);
    sim.good();
    sim.run(ms(1_000));
    assert_eq!((sim.core.state(), sim.core.counters().reconnects_rejoin), (State::Joined, 1));
}

#[test]
fn an_offer_while_joining_is_counted_when_the_join_ends_otherwise() {
    let mut sim = Sim::new(Config { token: Secret::new("t"), ..config() });
    sim.on(|o| if matches!(o, Output::Send { .. }) { Reply::Never } else { Reply::Good });
    sim.input(Input::Start);
    sim.run(ms(10));
    sim.offer();
    sim.offer();
    sim.leave();
    assert_eq!(sim.core.counters().late_offers, 2);
}

#[test]
fn offers_that_wait_are_bounded_in_bytes() {
    let large = |id| SfuMessage::SubscriberOffer {
        ice_restart: false,
        sdp: format!("v=0\r\n{}", "a=x\r\n".repeat(100_000)),
        negotiation_id: id,
    };
    let fit = limits::QUEUED_OFFER_BYTES / 500_000;
    let mut sim = waiting_at("Answer");
    for n in 0..fit {
        sim.message(large(100 + n as u32));
    }
    assert_eq!((sim.core.state(), sim.errors()), (State::Joined, 0));
    sim.message(large(200));
    assert_eq!((sim.core.state(), sim.errors()), (State::Reconnecting, 1));

    // Before JoinResponse, where other messages are queued as well, each kind with its own limit.
    let mut sim = Sim::new(config());
    sim.on(|o| if matches!(o, Output::Send { .. }) { Reply::Hold } else { Reply::Good });
    sim.input(Input::Start);
    sim.run(ms(10));
    let person = |n: usize| Participant {
        user_id: format!("p-{n}"),
        session_id: format!("s-{n}"),
        metadata: "m".repeat(300_000).into(),
        ..Participant::default()
    };
    for n in 0..limits::HELD_MESSAGES {
        sim.message(SfuMessage::ParticipantJoined(Box::new(person(n))));
        sim.message(large(n as u32));
    }
    let held = |offers: bool| {
        let like = sim.core.held.iter().filter(|m| matches!(m, SfuMessage::SubscriberOffer { .. }) == offers);
        like.map(SfuMessage::weight).sum::<usize>()
    };
    assert!((1 << 20..=limits::HELD_BYTES).contains(&held(false)), "{}", held(false));
    assert!((3 << 20..=limits::QUEUED_OFFER_BYTES).contains(&held(true)), "{}", held(true));
}
