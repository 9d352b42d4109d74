//! ICE candidates reach the right peer connection, at the right time, in the right ICE generation.

use super::sim::*;
use crate::core::{model::*, *};

const SUB: PeerKind = PeerKind::Subscriber;
const PUB: PeerKind = PeerKind::Publisher;

fn added(sim: &Sim, of: PeerKind) -> Vec<String> {
    let json = |o: &Output| match o {
        Output::Engine { peer, action: Action::AddCandidate(json), .. } if *peer == of => vec![json.clone()],
        Output::Engine { peer, action: Action::Answer { candidates, .. }, .. } if *peer == of => candidates.clone(),
        _ => Vec::new(),
    };
    sim.since().iter().flat_map(json).collect()
}

fn local(sim: &mut Sim, peer: PeerKind) {
    let generation = sim.core.generation();
    sim.input(Input::LocalCandidate { generation, peer, json: candidate(peer, "mine") });
}

fn trickled(sim: &Sim) -> Vec<PeerKind> {
    let peer = |c: RpcCall| if let RpcCall::IceTrickle { peer, .. } = c { Some(peer) } else { None };
    sim.rpcs().into_iter().filter_map(peer).collect()
}

#[test]
fn never_to_the_other_peer_connection_and_kept_until_the_remote_description() {
    let mut sim = Sim::joined();
    for peer in [SUB, PUB, SUB] {
        sim.message(trickle(peer, if peer == SUB { "remote" } else { "sfu" }));
    }
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    assert_eq!((added(&sim, SUB).len(), added(&sim, PUB).len()), (0, 0));
    sim.run(ms(50));
    assert_eq!(added(&sim, SUB), vec![candidate(SUB, "remote"); 2]);
    assert_eq!(added(&sim, PUB), vec![candidate(PUB, "sfu")]);
    assert_eq!(sim.actions(SUB), ["Create", "Answer"], "they go with the offer");
}

#[test]
fn candidates_of_a_superseded_generation_are_dropped_later_ones_wait() {
    let mut sim = Sim::joined();
    sim.message(offer(1, "one"));
    sim.run(ms(20));
    sim.message(trickle(SUB, "two"));
    assert_eq!(added(&sim, SUB).len(), 0, "its description comes later");
    sim.message(offer(2, "two"));
    sim.run(ms(20));
    assert_eq!(added(&sim, SUB), [candidate(SUB, "two")]);
    sim.message(trickle(SUB, "one"));
    assert_eq!((added(&sim, SUB).len(), sim.core.counters().candidates_dropped), (1, 1));
    // An ICE generation that returns is current again.
    sim.message(offer(3, "one"));
    sim.run(ms(20));
    sim.message(trickle(SUB, "one"));
    assert_eq!(added(&sim, SUB).len(), 2);
}

#[test]
fn garbage_is_counted_and_floods_are_bounded() {
    let mut sim = Sim::joined();
    for bad in ["", "null", "{\"candidate\":[]}", &"[".repeat(4_000), &"9".repeat(100_000)] {
        sim.message(SfuMessage::IceTrickle { peer: SUB, candidate: bad.to_owned() });
    }
    assert_eq!(sim.core.counters().candidates_dropped, 5);
    for _ in 0..10_000 {
        sim.message(trickle(SUB, "remote"));
    }
    sim.offer();
    sim.run(ms(50));
    assert_eq!(added(&sim, SUB).len(), 64);
    assert_eq!(sim.core.counters().candidates_dropped, 5 + 10_000 - 64);
}

#[test]
fn a_candidate_that_the_engine_refuses_affects_nothing_else() {
    let mut sim = Sim::joined();
    sim.on(|o| match o {
        Output::Engine { generation, peer, op, action: Action::Answer { candidates, .. } } => {
            let done = OpDone::Answer { sdp: "answer".into(), refused: candidates.len() };
            Reply::With(Input::Op { generation: *generation, peer: *peer, op: *op, result: Ok(done) })
        }
        _ if is_action(o, "AddCandidate") => op_failed(o, failed(false)),
        _ => Reply::Good,
    });
    sim.message(trickle(SUB, "remote"));
    sim.offer();
    sim.run(ms(50));
    assert_eq!((sim.answers().len(), sim.errors(), sim.core.counters().candidates_dropped), (1, 0, 1));
    sim.message(trickle(SUB, "remote"));
    sim.run(ms(50));
    assert_eq!((sim.errors(), sim.core.counters().candidates_dropped), (0, 2));
}

#[test]
fn candidates_that_came_while_an_offer_was_answered_follow_it_and_none_is_lost_when_that_fails() {
    let mut sim = Sim::joined();
    sim.message(trickle(SUB, "remote"));
    let mut once = true;
    sim.on(move |o| match is_action(o, "Answer") {
        true if std::mem::take(&mut once) => op_failed(o, failed(false)),
        true => Reply::Hold,
        false => Reply::Good,
    });
    sim.offer();
    sim.run(ms(20));
    assert_eq!((sim.core.counters().offers_failed, added(&sim, SUB).len()), (1, 1));
    sim.mark();
    sim.offer();
    sim.message(trickle(SUB, "remote"));
    sim.message(trickle(SUB, "later"));
    assert_eq!(added(&sim, SUB), [candidate(SUB, "remote")], "with the offer, once more");
    sim.mark();
    sim.release();
    assert_eq!((added(&sim, SUB), sim.actions(SUB)), (vec![candidate(SUB, "remote")], vec!["AddCandidate"]));
    assert_eq!(sim.core.counters().candidates_dropped, 0);
}

#[test]
fn local_candidates_wait_until_the_sfu_has_the_description() {
    let mut sim = Sim::joined();
    sim.on(|o| if is_rpc(o, "SendAnswer") || is_rpc(o, "SetPublisher") { Reply::Hold } else { Reply::Good });
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(20));
    local(&mut sim, SUB);
    local(&mut sim, PUB);
    sim.run(ms(20));
    assert_eq!(trickled(&sim), []);
    sim.release();
    sim.run(ms(20));
    assert_eq!(trickled(&sim), [SUB, PUB]);
    local(&mut sim, SUB);
    assert_eq!(trickled(&sim), [SUB, PUB, SUB]);
}

#[test]
fn a_closed_peer_connection_neither_gets_nor_gives_any() {
    let mut sim = Sim::joined();
    sim.offer();
    sim.input(Input::Publish { track: 1, offer: audio() });
    sim.run(ms(50));
    for peer in [SUB, PUB] {
        sim.input(Input::ClosePeer(peer));
        sim.run(ms(20));
        sim.mark();
        local(&mut sim, peer);
        sim.message(trickle(peer, if peer == SUB { "remote" } else { "sfu" }));
        let id = 9;
        let generation = sim.core.generation();
        if peer == SUB {
            sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
            sim.mark();
            let stream_id = "ann-prefix:TRACK_TYPE_AUDIO:0".to_owned();
            sim.input(Input::RemoteTrack {
                generation,
                id,
                owner: owner(&stream_id),
                mid: String::new(),
                again: false,
            });
        }
        sim.run(ms(500));
        assert_eq!(sim.since().len(), 0, "{peer:?}: {:?}", sim.since());
    }
}
