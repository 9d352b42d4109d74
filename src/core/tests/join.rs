//! Joining: order, deadlines, retries at other edges, tokens.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::{Code, Secret};
use std::sync::Arc;

fn admissions(sim: &Sim) -> Vec<AdmissionRequest> {
    let request = |o: &Output| if let Output::Admit { request, .. } = o { Some((**request).clone()) } else { None };
    sim.log.iter().filter_map(request).collect()
}

fn refuse_join(output: &Output, code: i32) -> Reply {
    match output {
        Output::Send { generation, request: SfuRequest::Join(_) } => {
            let error = SfuError { code, message: "no room".into(), should_retry: false };
            let message = SfuMessage::Error { error, strategy: Strategy::Unspecified };
            Reply::With(Input::Message { generation: *generation, message })
        }
        _ => Reply::Good,
    }
}

#[test]
fn everything_comes_in_order_and_nothing_by_rpc_before_join_response() {
    let mut sim = Sim::new(config());
    sim.on(|o| if matches!(o, Output::Send { .. }) { Reply::Hold } else { Reply::Good });
    sim.input(Input::Start);
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(100));
    let generation = sim.core.generation();
    sim.input(Input::LocalCandidate { generation, peer: PeerKind::Publisher, json: "{}".into() });
    sim.message(trickle(PeerKind::Publisher, "sfu"));
    sim.message(trickle(PeerKind::Subscriber, "remote"));
    assert_eq!(sim.core.state(), State::Joining);
    assert_eq!(sim.count(|o| matches!(o, Output::Rpc { .. } | Output::Engine { .. })), 0);
    sim.good();
    sim.release();
    sim.run(ms(100));
    let order: Vec<_> = sim
        .log
        .iter()
        .filter_map(|o| match o {
            Output::Admit { .. } => Some("admit"),
            Output::OpenSocket { .. } => Some("socket"),
            Output::Send { request: SfuRequest::Join(_), .. } => Some("join"),
            Output::Event(Event::Joined { .. }) => Some("joined"),
            Output::Event(Event::LocalPublished { .. }) => Some("published"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["admit", "socket", "join", "joined", "published"]);
    let states: Vec<_> = sim
        .events()
        .into_iter()
        .filter_map(|e| if let Event::State { state, .. } = e { Some(state) } else { None })
        .collect();
    assert_eq!(states, [State::Joining, State::Joined]);
}

#[test]
fn what_comes_before_join_response_is_kept_and_handled_after_it() {
    let mut sim = Sim::new(config());
    sim.on(|o| if matches!(o, Output::Send { .. }) { Reply::Hold } else { Reply::Good });
    sim.input(Input::Start);
    sim.run(ms(10));
    let id = sim.offer();
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
    assert_eq!(sim.actions(PeerKind::Subscriber), [""; 0]);
    sim.release();
    sim.run(ms(10));
    assert_eq!(sim.answers(), [id]);
    assert!(sim.events().contains(&Event::ParticipantJoined(Arc::new(person("ann")))));
    let joined = sim.log.iter().position(|o| matches!(event(o), Some(Event::Joined { .. })));
    let participant = sim.log.iter().position(|o| matches!(event(o), Some(Event::ParticipantJoined(_))));
    assert!(joined < participant);
}

#[test]
fn an_offer_in_the_instant_of_join_response_is_not_lost() {
    for before in [true, false] {
        let mut sim = Sim::new(config());
        sim.on(|o| if matches!(o, Output::Send { .. }) { Reply::Hold } else { Reply::Good });
        sim.input(Input::Start);
        sim.run(ms(10));
        let joined = SfuMessage::Joined(Box::default());
        let id = if before {
            let id = sim.offer();
            sim.message(joined);
            id
        } else {
            sim.message(joined);
            sim.offer()
        };
        sim.run(ms(10));
        assert_eq!(sim.answers(), [id], "offer before JoinResponse: {before}");
    }
}

#[test]
fn a_flood_before_join_response_costs_no_offer() {
    let mut sim = Sim::new(config());
    sim.on(|o| if matches!(o, Output::Send { .. }) { Reply::Hold } else { Reply::Good });
    sim.input(Input::Start);
    sim.run(ms(10));
    for _ in 0..200 {
        sim.message(SfuMessage::Unknown);
    }
    let ids: Vec<_> = (0..70).map(|_| sim.offer()).collect();
    sim.release();
    sim.run(ms(1_000));
    assert_eq!(sim.answers(), ids[..limits::QUEUED_OFFERS]);
    assert_eq!(sim.core.counters().late_offers, 6);
    assert_eq!(sim.core.counters().unknown, limits::HELD_MESSAGES as u64);
}

#[test]
fn join_response_has_five_seconds() {
    let mut sim = Sim::new(Config { join_retries: 0, ..config() });
    sim.on(|o| if matches!(o, Output::Send { .. }) { Reply::Never } else { Reply::Good });
    sim.input(Input::Start);
    sim.run(ms(2));
    sim.offer();
    sim.run(ms(4_999));
    assert!(sim.ended().is_none());
    sim.run(ms(1));
    let end = sim.ended().expect("ended");
    assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::JoinFailed, Some(Code::Timeout)));
    let closed = |o: &Output| matches!(o, Output::CloseSocket { code: limits::CLOSE_JOIN_FAILED, .. });
    assert_eq!(sim.count(closed), 1);
    assert_eq!(sim.core.counters().late_offers, 1, "an offer that was kept is counted");
}

#[test]
fn full_edges_are_left_for_others_and_named() {
    for code in [700, 600, 301] {
        let mut sim = Sim::new(config());
        let mut refusals = 2;
        sim.on(move |o| match o {
            Output::Send { request: SfuRequest::Join(_), .. } if refusals > 0 => {
                refusals -= 1;
                refuse_join(o, code)
            }
            _ => Reply::Good,
        });
        sim.input(Input::Start);
        sim.run(ms(10_000));
        assert_eq!(sim.core.state(), State::Joined);
        let all = admissions(&sim);
        let left: Vec<_> = all.iter().map(|r| (r.migrating_from.as_str(), r.migrating_from_list.join(" "))).collect();
        assert_eq!(
            left,
            [("", String::new()), ("edge-1", "edge-1".into()), ("edge-2", "edge-1 edge-2".into())],
            "{code}"
        );
        // Retries do not ring or notify again.
        assert_eq!(
            all.iter().map(|r| (r.ring, r.notify)).collect::<Vec<_>>(),
            [(true, true), (false, false), (false, false)]
        );
        let closes = sim.count(|o| matches!(o, Output::CloseSocket { code: limits::CLOSE_JOIN_FAILED, .. }));
        assert_eq!((closes, sim.core.counters().join_attempts), (2, 3));
    }
}

#[test]
fn retries_are_counted_and_their_waits_grow_within_bounds() {
    for retries in [0, 1, 3, 7] {
        let mut sim = Sim::new(Config { join_retries: retries, ..config() });
        sim.on(|o| refuse_join(o, 700));
        sim.input(Input::Start);
        let (mut at, mut waits, mut last) = (sim.now, Vec::new(), 1);
        while sim.ended().is_none() && waits.len() < 20 {
            sim.run(MS);
            let attempts = admissions(&sim).len();
            if attempts > last {
                waits.push((sim.now - at).as_millis() as u64);
                (at, last) = (sim.now, attempts);
            }
            assert!(sim.now < ms(120_000));
        }
        assert_eq!(admissions(&sim).len() as u32, retries + 1);
        for (n, wait) in waits.iter().enumerate() {
            let base = (500u64 << n.min(4)).min(5_000);
            // Plus three answers of one millisecond each.
            assert!(*wait >= base * 3 / 4 && *wait <= (base * 5 / 4).min(5_000) + 4, "{n}: {wait}");
        }
        let end = sim.ended().expect("ended");
        let error = end.error.expect("an error");
        assert_eq!((end.reason, error.code, error.server_code), (EndReason::JoinFailed, Code::Refused, 700));
        assert!(error.message.contains("no room"), "{}", error.message);
    }
}

#[test]
fn other_refusals_are_final_with_code_and_message() {
    for code in [500, 401, 403, 300] {
        let mut sim = Sim::new(config());
        sim.on(move |o| refuse_join(o, code));
        sim.input(Input::Start);
        sim.run(ms(10));
        let error = sim.ended().and_then(|e| e.error).expect("an error at once");
        assert_eq!(error.server_code, code);
        assert!(error.message.contains("no room"));
        assert_eq!(error.code, if code == 401 { Code::Auth } else { Code::Refused });
        assert_eq!(admissions(&sim).len(), 1);
    }
}

/// The first admission fails with `failure`; later ones succeed.
fn coordinator_fails_once(failure: Failure) -> Sim {
    let mut sim = Sim::new(config());
    let mut failure = Some(failure);
    sim.on(move |o| match o {
        Output::Admit { generation, .. } => match failure.take() {
            Some(failure) => Reply::With(Input::Admitted { generation: *generation, result: Err(failure) }),
            None => Reply::Good,
        },
        _ => Reply::Good,
    });
    sim.input(Input::Start);
    sim
}

#[test]
fn admission_is_retried_only_when_that_can_help() {
    let failure = |kind| Failure::new(kind, "words");
    for (kind, again) in [
        (FailureKind::Http { status: 500 }, true),
        (FailureKind::Http { status: 503 }, true),
        (FailureKind::Http { status: 429 }, true),
        (FailureKind::Connect, true),
        (FailureKind::Timeout, true),
        (FailureKind::Http { status: 400 }, false),
        (FailureKind::Http { status: 401 }, false),
        (FailureKind::Http { status: 404 }, false),
        (FailureKind::Tls, false),
        (FailureKind::Insecure, false),
        (FailureKind::Malformed, false),
    ] {
        let mut sim = coordinator_fails_once(failure(kind.clone()));
        sim.run(ms(3_000));
        assert_eq!(sim.core.state() == State::Joined, again, "{kind:?}");
        if again {
            assert_eq!(admissions(&sim)[1].migrating_from, "", "no edge is to blame");
            assert!(admissions(&sim)[1].ring, "no participant was rung yet");
            let attempts: Vec<_> = sim
                .log
                .iter()
                .filter_map(|o| if let Output::OpenSocket { attempt, .. } = o { Some(*attempt) } else { None })
                .collect();
            assert_eq!(attempts, [0], "the first socket");
        } else {
            let error = sim.ended().and_then(|e| e.error).expect("an error");
            assert!(error.message.contains("words"));
        }
    }
    let mut sim = coordinator_fails_once(Failure { unrecoverable: true, ..failure(FailureKind::Http { status: 500 }) });
    sim.run(ms(3_000));
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::JoinFailed), "unrecoverable is final");
}

#[test]
fn retry_after_is_honoured_and_bounded() {
    for (retry_after, least, most) in [(4_000, 4_000, 4_010), (3_600_000, 30_000, 30_010), (1, 375, 640)] {
        let mut sim = coordinator_fails_once(Failure { retry_after_ms: Some(retry_after), ..http(429) });
        let begin = sim.now;
        while admissions(&sim).len() < 2 && sim.now < ms(100_000) {
            sim.run(MS);
        }
        let waited = (sim.now - begin).as_millis() as u64;
        assert!(waited >= least && waited <= most, "{retry_after}: {waited}");
    }
}

#[test]
fn a_socket_that_does_not_open_or_closes_early_fails_the_attempt_only() {
    for early in [false, true] {
        let mut sim = Sim::new(config());
        let mut once = true;
        sim.on(move |o| match o {
            Output::OpenSocket { generation, .. } if !early && std::mem::take(&mut once) => {
                Reply::With(Input::SocketOpened {
                    generation: *generation,
                    result: Err(Failure::new(FailureKind::Timeout, "slow")),
                })
            }
            Output::Send { generation, .. } if early && std::mem::take(&mut once) => {
                Reply::With(Input::SocketClosed { generation: *generation, code: Some(1011), failure: None })
            }
            _ => Reply::Good,
        });
        sim.input(Input::Start);
        sim.run(ms(3_000));
        assert_eq!(sim.core.state(), State::Joined, "early: {early}");
        // A single failure does not exclude an edge.
        assert_eq!(admissions(&sim)[1].migrating_from, "");
    }
}

#[test]
fn messages_of_a_failed_attempt_never_reach_the_next() {
    let mut sim = Sim::new(config());
    sim.on(|o| refuse_join(o, 700));
    sim.input(Input::Start);
    sim.run(ms(4));
    let old = sim.core.generation();
    sim.good();
    sim.run(ms(3_000));
    assert_eq!(sim.core.state(), State::Joined);
    sim.mark();
    sim.input(Input::Message { generation: old, message: offer(9, "old") });
    sim.input(Input::Message { generation: old, message: SfuMessage::CallEnded(CallEndedReason::Ended) });
    sim.input(Input::SocketClosed { generation: old, code: Some(1006), failure: None });
    sim.run(ms(100));
    assert_eq!((sim.core.state(), sim.core.counters().late_offers), (State::Joined, 1));
    assert_eq!(sim.count(|o| !matches!(o, Output::Debug(..))), 0);
}

#[test]
fn a_missing_token_is_requested() {
    let sim = Sim::joined_with(Config { token: Secret::default(), ..config() });
    assert_eq!(sim.log.iter().filter(|o| matches!(o, Output::NeedToken)).count(), 1);
    let token =
        sim.log.iter().find_map(|o| if let Output::Admit { token, .. } = o { Some(token.reveal()) } else { None });
    assert_eq!(token, Some("asked-for"));
}

#[test]
fn a_token_that_never_arrives_is_a_specific_error() {
    for answer in [Some(None), Some(Some(Secret::default())), None] {
        let mut sim = Sim::new(Config { token: Secret::default(), ..config() });
        let never = answer.is_none();
        sim.on(|o| if matches!(o, Output::NeedToken) { Reply::Never } else { Reply::Good });
        sim.input(Input::Start);
        if let Some(answer) = answer {
            sim.input(Input::Token(answer));
        }
        sim.run(limits::TOKEN - MS);
        assert_eq!(sim.ended().is_none(), never);
        sim.run(MS);
        let end = sim.ended().expect("ended");
        assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::JoinFailed, Some(Code::Auth)));
        sim.input(Input::Token(Some(Secret::new("too late"))));
        assert_eq!(sim.log.iter().filter(|o| matches!(o, Output::Admit { .. })).count(), 0);
    }
}

#[test]
fn a_second_start_or_join_response_changes_nothing() {
    let mut sim = Sim::joined();
    sim.input(Input::Start);
    sim.message(SfuMessage::Joined(Box::new(JoinState { participants: vec![person("ann")], ..JoinState::default() })));
    sim.run(ms(100));
    assert_eq!(sim.since().len(), 0);
    assert_eq!(sim.core.counters().join_attempts, 1);
}
