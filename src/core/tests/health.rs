//! Liveness checks and lost connections.

use super::sim::*;
use crate::core::{model::*, *};
use crate::error::Code;

fn pings(sim: &Sim) -> usize {
    sim.requests().iter().filter(|r| **r == SfuRequest::Health).count()
}

#[test]
fn a_ping_every_five_seconds() {
    let mut sim = Sim::joined();
    sim.run(ms(60_000));
    assert_eq!((pings(&sim), sim.core.state()), (12, State::Joined));
}

#[test]
fn twelve_seconds_of_silence_are_a_lost_socket() {
    let mut sim = Sim::joined();
    sim.on(|_| Reply::Never);
    // Part of the 12 s has elapsed since JoinResponse; another message restarts the timer.
    sim.message(SfuMessage::Unknown);
    sim.run(limits::HEALTH.silent - MS);
    assert_eq!(sim.core.state(), State::Joined);
    sim.run(MS);
    assert_eq!(sim.core.state(), State::Reconnecting);
    let closes: Vec<_> = sim
        .since()
        .iter()
        .filter_map(|o| if let Output::CloseSocket { code, .. } = o { Some(*code) } else { None })
        .collect();
    assert_eq!(closes, [limits::CLOSE_UNHEALTHY]);
    sim.run(ms(30_000));
    let end = sim.ended().expect("ended");
    assert_eq!((end.reason, end.error.map(|e| e.code)), (EndReason::ConnectionLost, Some(Code::Network)));
    assert!(end.text.contains("12 s"), "how it began: {}", end.text);
}

#[test]
fn any_message_is_a_sign_of_life_even_one_that_cannot_be_read() {
    let mut sim = Sim::joined();
    sim.on(|_| Reply::Never);
    let generation = sim.core.generation();
    for n in 0..20 {
        sim.run(ms(8_000));
        match n % 2 {
            0 => sim.message(SfuMessage::Unknown),
            _ => sim.input(Input::Malformed { generation }),
        }
    }
    assert_eq!((sim.core.state(), sim.core.counters().malformed), (State::Joined, 10));
    // Messages of another generation do not count.
    for _ in 0..3 {
        sim.run(ms(4_000));
        sim.input(Input::Malformed { generation: Generation(9) });
        sim.input(Input::Message { generation: Generation(9), message: SfuMessage::Unknown });
    }
    assert_eq!(sim.core.state(), State::Reconnecting);
}

#[test]
fn local_timeouts_are_no_sign_of_life() {
    let mut sim = Sim::joined();
    sim.on(|o| match o {
        Output::Rpc { generation, id, .. } => {
            let result = Err(Failure::new(FailureKind::Timeout, "no answer within 5 s"));
            Reply::At(ms(5_000), Input::Rpc { generation: *generation, id: *id, result })
        }
        Output::Send { .. } => Reply::Never,
        _ => Reply::Good,
    });
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(limits::HEALTH.silent);
    assert_eq!(sim.core.state(), State::Reconnecting);
}

#[test]
fn a_lost_socket_or_peer_connection_that_is_not_restored_ends_the_call_and_is_named() {
    let lost = |input: fn(Generation) -> Input| {
        let mut sim = Sim::joined();
        sim.offer();
        sim.input(Input::Publish { track: 1, offer: audio() });
        sim.run(ms(100));
        let input = input(sim.core.generation());
        sim.on(|_| Reply::Never);
        sim.input(input);
        sim.run(ms(40_000));
        let end = sim.ended().expect("ended");
        assert_eq!(end.reason, EndReason::ConnectionLost);
        end.text
    };
    let text = lost(|generation| Input::SocketClosed { generation, code: Some(1011), failure: None });
    assert!(text.contains("1011"), "{text}");
    let text = lost(|generation| Input::SocketClosed {
        generation,
        code: None,
        failure: Some(Failure::new(FailureKind::Connect, "reset by peer")),
    });
    assert!(text.contains("reset by peer"), "{text}");
    let text = lost(|generation| Input::Peer { generation, peer: PeerKind::Publisher, change: PeerChange::Failed });
    assert!(text.contains("publisher"), "{text}");
    let text = lost(|generation| Input::Peer { generation, peer: PeerKind::Subscriber, change: PeerChange::Closed });
    assert!(text.contains("subscriber"), "{text}");
    let text = lost(|generation| Input::Message { generation, message: SfuMessage::GoAway { reason: 1 } });
    assert!(text.contains("SFU"), "{text}");
}

#[test]
fn a_closed_peer_connection_can_fail_as_it_likes() {
    for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
        let mut sim = Sim::joined();
        sim.offer();
        sim.input(Input::Publish { track: 1, offer: audio() });
        sim.run(ms(100));
        sim.on(|o| if matches!(o, Output::ClosePeer { .. }) { Reply::Hold } else { Reply::Good });
        sim.input(Input::ClosePeer(peer));
        let generation = sim.core.generation();
        for change in [PeerChange::Disconnected, PeerChange::Failed, PeerChange::Closed] {
            sim.input(Input::Peer { generation, peer, change });
        }
        sim.release();
        sim.input(Input::Peer { generation, peer, change: PeerChange::Closed });
        sim.input(Input::PeerClosed { generation, peer });
        // The other peer connection connects; the closed one does not have to.
        let other = if peer == PeerKind::Publisher { PeerKind::Subscriber } else { PeerKind::Publisher };
        sim.input(Input::Peer { generation, peer: other, change: PeerChange::Connected });
        sim.run(ms(30_000));
        assert_eq!((sim.core.state(), sim.errors()), (State::Joined, 0), "{peer:?}");
    }
}

#[test]
fn a_peer_connection_that_does_not_come_up_gets_an_ice_restart_then_a_new_session_then_the_end() {
    let mut sim = Sim::joined();
    sim.connects = false;
    let begin = sim.now;
    sim.offer();
    sim.run(limits::PEER_CONNECT + ms(10));
    assert_eq!(sim.rpc_names().iter().filter(|n| **n == "IceRestart").count(), 1);
    assert_eq!(sim.core.state(), State::Joined);
    sim.run(limits::PEER_CONNECT);
    assert_eq!((sim.core.state(), sim.core.counters().reconnects_rejoin), (State::Joined, 1));
    sim.offer();
    sim.run(limits::PEER_CONNECT * 2 + ms(10));
    assert_eq!(sim.ended().map(|e| e.reason), Some(EndReason::NetworkUnsupported));
    assert!(sim.now - begin < ms(21_000));

    // A peer connection that connected does not count as one of several failures in a row.
    let mut sim = Sim::joined();
    sim.offer();
    sim.run(ms(60_000));
    assert_eq!((sim.core.state(), sim.core.counters().reconnect_attempts), (State::Joined, 0));
}

#[test]
fn the_second_peer_connection_has_its_own_time() {
    let mut sim = Sim::joined();
    sim.connects = false;
    sim.offer();
    sim.run(ms(100));
    sim.peer(PeerKind::Subscriber, PeerChange::Connected);
    sim.run(ms(8_000));
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(limits::PEER_CONNECT - ms(10));
    assert_eq!(sim.actions(PeerKind::Publisher).iter().filter(|a| **a == "Offer").count(), 1);
    sim.run(ms(20));
    assert_eq!(sim.actions(PeerKind::Publisher).iter().filter(|a| **a == "Offer").count(), 2, "ICE restart");
    sim.peer(PeerKind::Publisher, PeerChange::Connected);
    sim.run(ms(60_000));
    assert_eq!((sim.core.state(), sim.core.counters().reconnect_attempts), (State::Joined, 0));
}
