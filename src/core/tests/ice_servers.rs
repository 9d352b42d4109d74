//! Failures of STUN and TURN servers: reported once, without effect on the call.

use super::sim::*;
use crate::core::{model::*, *};

fn failure(url: &str, code: u16) -> IceServerFailure {
    IceServerFailure { url: url.into(), code, text: format!("{url} answers {code}") }
}

fn fails(sim: &mut Sim, peer: PeerKind, url: &str, code: u16) {
    let generation = sim.core.cx.transport.expect("peer connections");
    sim.input(Input::IceServer { generation, peer, failure: failure(url, code) });
}

/// URL and code of each reported failure.
fn reported(sim: &Sim) -> Vec<(String, u16)> {
    let of = |event| match event {
        Event::IceServer(failure) => Some((failure.url, failure.code)),
        _ => None,
    };
    sim.events().into_iter().filter_map(of).collect()
}

/// A call with both peer connections.
fn talking() -> Sim {
    let mut sim = Sim::joined();
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(1_000));
    sim.mark();
    sim
}

#[test]
fn each_server_and_code_is_reported_once_in_a_call() {
    let mut sim = talking();
    let (publisher, subscriber) = (PeerKind::Publisher, PeerKind::Subscriber);
    for _ in 0..3 {
        fails(&mut sim, publisher, "turn:a:1?transport=udp", 401);
        fails(&mut sim, subscriber, "turn:a:1?transport=udp", 401);
        fails(&mut sim, subscriber, "turn:a:1?transport=tcp", 401);
        fails(&mut sim, publisher, "turn:a:1?transport=udp", 701);
    }
    let all = [("turn:a:1?transport=udp", 401), ("turn:a:1?transport=tcp", 401), ("turn:a:1?transport=udp", 701)];
    let all = all.map(|(url, code)| (url.to_owned(), code));
    assert_eq!(reported(&sim), all);
    let Some(Event::IceServer(first)) = sim.events().into_iter().next() else { panic!("{:?}", sim.events()) };
    assert_eq!(first, failure("turn:a:1?transport=udp", 401), "with its text");

    // Another session of the same call.
    let before = sim.core.cx.transport;
    let network = Input::Network(NetworkChange::Changed);
    sim.input(network);
    sim.run(ms(3_000));
    sim.offer();
    sim.run(ms(1_000));
    assert!(sim.core.state() == State::Joined && sim.core.cx.transport > before, "{before:?}");
    fails(&mut sim, subscriber, "turn:a:1?transport=udp", 401);
    fails(&mut sim, subscriber, "stun:b:1", 701);
    assert_eq!(reported(&sim)[all.len()..], [("stun:b:1".to_owned(), 701)]);
    assert_eq!((sim.errors(), sim.core.counters().error_events), (0, 0), "it is no error of the call");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut sim = talking();
    let most = limits::ICE_SERVER_FAILURES;
    for n in 0..=most {
        fails(&mut sim, PeerKind::Publisher, &format!("turn:{n}"), 401);
    }
    assert_eq!(reported(&sim).len(), most + 1);
    fails(&mut sim, PeerKind::Publisher, &format!("turn:{most}"), 401);
    fails(&mut sim, PeerKind::Publisher, "turn:1", 401);
    assert_eq!(reported(&sim).len(), most + 1, "remembered");
    fails(&mut sim, PeerKind::Publisher, "turn:0", 401);
    assert_eq!(reported(&sim).len(), most + 2, "the oldest is not");
}

#[test]
fn failures_of_other_connections_are_ignored() {
    let mut sim = talking();
    let late = sim.core.counters().late_other;
    let current = sim.core.cx.transport.expect("peer connections").0;
    for generation in [current.wrapping_sub(1), current + 1].map(Generation) {
        let input = Input::IceServer { generation, peer: PeerKind::Publisher, failure: failure("turn:a", 401) };
        sim.input(input);
    }
    assert_eq!((reported(&sim), sim.core.counters().late_other), (Vec::new(), late + 2));
    // A peer connection that the application has closed.
    sim.input(Input::ClosePeer(PeerKind::Publisher));
    fails(&mut sim, PeerKind::Publisher, "turn:a", 401);
    assert_eq!((reported(&sim), sim.core.counters().late_other), (Vec::new(), late + 3));
    fails(&mut sim, PeerKind::Subscriber, "turn:a", 401);
    assert_eq!(reported(&sim).len(), 1);
    // A call that leaves, and one that has ended.
    sim.on(|_| Reply::Never);
    sim.leave();
    let leaving = Generation(current);
    let input = |url| Input::IceServer { generation: leaving, peer: PeerKind::Subscriber, failure: failure(url, 401) };
    sim.input(input("turn:b"));
    sim.run(ms(10_000));
    assert!(sim.core.is_over());
    sim.input(input("turn:c"));
    assert_eq!(reported(&sim).len(), 1);
}
