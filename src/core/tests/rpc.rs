//! RPCs: which are retried, how often, how soon.

use super::sim::*;
use crate::core::{model::*, *};

const SUB: PeerKind = PeerKind::Subscriber;

/// All RPCs named `name` fail with `failure`. Triggers one and counts its tries.
fn tries(name: &'static str, failure: Failure) -> (usize, Sim) {
    let mut sim = Sim::joined();
    sim.on(move |o| if is_rpc(o, name) { rpc_failed(o, failure.clone()) } else { Reply::Good });
    match name {
        "SetPublisher" => sim.input(Input::Publish { track: 1, offer: audio() }),
        "UpdateMuteStates" => sim.input(Input::Publish { track: 1, offer: audio() }),
        "SendAnswer" => {
            sim.offer();
        }
        "IceTrickle" => {
            sim.offer();
            sim.run(ms(20));
            let generation = sim.core.generation();
            sim.input(Input::LocalCandidate { generation, peer: SUB, json: candidate(SUB, "mine") });
        }
        other => panic!("{other}"),
    }
    sim.run(ms(9_000));
    // A failed publication is offered again, as a new RPC with a new number.
    let first =
        sim.since().iter().find_map(
            |o| {
                if let Output::Rpc { id, .. } = o {
                    is_rpc(o, name).then_some(*id)
                } else {
                    None
                }
            },
        );
    let count = sim.count(|o| matches!(o, Output::Rpc { id, .. } if Some(*id) == first));
    (count, sim)
}

#[test]
fn idempotent_ones_are_tried_three_times_when_that_can_help() {
    for name in ["UpdateMuteStates", "IceTrickle"] {
        for (failure, times) in [
            (Failure::new(FailureKind::Timeout, "slow"), 3),
            (Failure::new(FailureKind::Connect, "gone"), 3),
            (http(503), 3),
            (http(429), 3),
            (http(404), 1),
            (sfu(500, "no"), 1),
            (Failure { should_retry: true, ..sfu(500, "not now") }, 3),
            (Failure::new(FailureKind::Malformed, "??"), 1),
        ] {
            assert_eq!(tries(name, failure.clone()).0, times, "{name} {failure:?}");
        }
    }
}

#[test]
fn a_request_that_may_have_arrived_is_not_repeated() {
    for name in ["SetPublisher", "SendAnswer"] {
        for (failure, times) in [
            (Failure::new(FailureKind::Timeout, "slow"), 1),
            (http(503), 1),
            (sfu(500, "no"), 1),
            (Failure::new(FailureKind::Connect, "never reached"), 3),
            (Failure { should_retry: true, ..sfu(500, "not now") }, 3),
        ] {
            assert_eq!(tries(name, failure.clone()).0, times, "{name} {failure:?}");
        }
    }
}

#[test]
fn errors_that_end_the_session_are_not_tried_again() {
    for code in [200, 204, 205, 206, 300] {
        let failure = Failure { should_retry: true, ..sfu(code, "over") };
        assert_eq!(tries("IceTrickle", failure.clone()).0, 1, "{code}");
        assert_eq!(tries("SendAnswer", failure).0, 1, "{code}");
    }
}

#[test]
fn should_retry_does_not_spin() {
    let mut sim = Sim::joined();
    sim.on(|o| {
        if is_rpc(o, "SendAnswer") {
            rpc_failed(o, Failure { should_retry: true, ..sfu(500, "again") })
        } else {
            Reply::Good
        }
    });
    sim.offer();
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let before = sim.answers().len();
        sim.run(MS);
        if sim.answers().len() > before {
            times.push(sim.now);
        }
    }
    assert_eq!(times.len() as u32, limits::RPC_TRIES);
    let (first, second) = (times[1] - times[0], times[2] - times[1]);
    assert!(first >= ms(75) && first <= ms(130), "{first:?}");
    assert!(second >= ms(150) && second <= ms(255), "{second:?}");
    assert_eq!((sim.core.counters().rpc_retries, sim.core.counters().offers_failed), (2, 1));
}

#[test]
fn the_server_may_ask_for_more_time_within_bounds() {
    for (retry_after, least) in [(1_500, 1_500), (3_600_000, 5_000)] {
        let mut sim = Sim::joined();
        let failure = Failure { retry_after_ms: Some(retry_after), should_retry: true, ..sfu(429, "slow down") };
        sim.on(move |o| if is_rpc(o, "SendAnswer") { rpc_failed(o, failure.clone()) } else { Reply::Good });
        sim.offer();
        sim.run(ms(10));
        sim.run(ms(least - 15));
        assert_eq!(sim.answers().len(), 1, "{retry_after}");
        sim.run(ms(30));
        assert_eq!(sim.answers().len(), 2, "{retry_after}");
    }
}

#[test]
fn a_try_that_succeeds_in_the_end_is_a_success() {
    let mut sim = Sim::joined();
    let mut left = 2;
    sim.on(move |o| match is_rpc(o, "SendAnswer") && left > 0 {
        true => {
            left -= 1;
            rpc_failed(o, Failure::new(FailureKind::Connect, "never reached"))
        }
        false => Reply::Good,
    });
    sim.offer();
    let second = sim.offer();
    sim.run(ms(2_000));
    let counters = sim.core.counters();
    assert_eq!((counters.offers_answered, counters.rpc_retries, sim.errors()), (2, 2, 0));
    assert_eq!(sim.answers(), [1, 1, 1, second]);
}

#[test]
fn replies_that_belong_to_nothing_are_late() {
    let mut sim = Sim::joined();
    sim.on(|o| if is_rpc(o, "SendAnswer") { Reply::Hold } else { Reply::Good });
    sim.offer();
    sim.run(ms(20));
    let current = sim.core.generation();
    for (generation, id) in [(Generation(0), 1), (Generation(9), 1), (current, 77), (current, 0)] {
        sim.input(Input::Rpc { generation, id, result: Err(sfu(500, "no")) });
        sim.input(Input::Rpc { generation, id, result: Ok(RpcReply::Done) });
    }
    assert_eq!((sim.core.counters().late_other, sim.errors()), (8, 0));
    sim.release();
    assert_eq!(sim.core.counters().offers_answered, 1);
}

#[test]
fn a_flood_of_candidates_never_costs_a_negotiation() {
    let mut sim = Sim::joined();
    sim.offer();
    sim.run(ms(20));
    sim.on(|o| if is_rpc(o, "IceTrickle") { Reply::Never } else { Reply::Good });
    let generation = sim.core.generation();
    for _ in 0..1_000 {
        sim.input(Input::LocalCandidate { generation, peer: SUB, json: candidate(SUB, "mine") });
    }
    assert_eq!(sim.rpc_names().iter().filter(|n| **n == "IceTrickle").count(), 256);
    assert_eq!(sim.core.counters().candidates_dropped, 744);
    let id = sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(100));
    assert_eq!(sim.answers().last(), Some(&id));
    assert!(sim.events().contains(&Event::LocalPublished { track: 1 }));
}

#[test]
fn a_candidate_that_cannot_be_sent_is_only_counted() {
    let (_, sim) = tries("IceTrickle", http(404));
    assert_eq!((sim.errors(), sim.core.counters().candidates_dropped), (0, 1));
}
