//! Data between participants: what comes late, twice or in pieces, and procedure calls to their end.

use super::sim::*;
use crate::core::{model::*, *};
use bytes::Bytes;

fn talking() -> Sim {
    let dialect = Dialect { data_channels: true, ..DIALECT };
    let mut sim = Sim::joined_with(Config { dialect, ..config() });
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
    sim.offer();
    sim.run(ms(50));
    sim.mark();
    sim
}

fn hear(sim: &mut Sim, body: DataBody) {
    let generation = sim.core.transport.expect("peer connections in use");
    let data = DataIn { from: "ann".into(), session_id: String::new(), delivery: Delivery::Reliable, body };
    sim.input(Input::Data { generation, data });
}

fn request(id: &str) -> DataBody {
    let (method, payload) = ("m".to_owned(), "p".to_owned());
    DataBody::RpcRequest { id: id.into(), method, payload, timeout_ms: 5_000, version: 1 }
}

fn called(sim: &Sim) -> usize {
    sim.events().iter().filter(|e| matches!(e, Event::RpcRequest { .. })).count()
}

fn sent(sim: &Sim) -> usize {
    sim.count(|o| matches!(o, Output::SendData(_)))
}

#[test]
fn a_request_that_comes_twice_is_told_once() {
    let mut sim = talking();
    hear(&mut sim, request("1"));
    hear(&mut sim, request("1"));
    assert_eq!(called(&sim), 1);
    sim.input(Input::AnswerRpc { id: "1".into(), answer: Ok("fine".into()) });
    hear(&mut sim, request("1"));
    assert_eq!(called(&sim), 1, "after its answer");
    hear(&mut sim, request("2"));
    sim.run(ms(6_000));
    hear(&mut sim, request("2"));
    assert_eq!(called(&sim), 2, "after its time");
    hear(&mut sim, request("3"));
    sim.message(SfuMessage::ParticipantLeft { session_id: person("ann").session_id, user_id: "ann".into() });
    hear(&mut sim, request("3"));
    assert_eq!(called(&sim), 3, "after its caller has been gone");
}

#[test]
fn no_answer_goes_out_while_leaving() {
    let mut sim = talking();
    hear(&mut sim, request("1"));
    sim.on(|o| if matches!(o, Output::CloseSocket { .. }) { Reply::Never } else { Reply::Good });
    sim.leave();
    sim.mark();
    sim.input(Input::AnswerRpc { id: "1".into(), answer: Ok("fine".into()) });
    assert_eq!(sent(&sim), 0);
}

#[test]
fn every_call_is_answered_once_whatever_becomes_of_it() {
    let mut sim = talking();
    for id in 1..=3 {
        let (to, method, payload) = ("ann".to_owned(), "m".to_owned(), String::new());
        sim.input(Input::CallRpc { id, to, method, payload, timeout: ms(10_000) });
    }
    let wire: Vec<String> = sim
        .since()
        .iter()
        .filter_map(|o| match o {
            Output::SendData(DataOut { body: DataBody::RpcRequest { id, .. }, .. }) => Some(id.clone()),
            _ => None,
        })
        .collect();
    hear(&mut sim, DataBody::RpcAnswer { id: wire[0].clone(), answer: Ok("fine".into()) });
    hear(&mut sim, DataBody::RpcAnswer { id: wire[0].clone(), answer: Ok("again".into()) });
    sim.run(ms(8_000));
    sim.leave();
    sim.run(ms(2_000));
    let mut answered: Vec<_> = sim
        .events()
        .into_iter()
        .filter_map(|e| if let Event::RpcResponse { id, answer } = e { Some((id, answer.is_ok())) } else { None })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, [(1, true), (2, false), (3, false)]);
}

#[test]
fn texts_are_bounded_and_whole_or_nothing() {
    let mut sim = talking();
    let begin = |n: usize| DataBody::TextBegin { id: format!("t{n}"), topic: String::new(), length: None };
    for n in 0..10_000 {
        hear(&mut sim, begin(n));
    }
    assert_eq!(sim.core.counters().data_dropped, 10_000 - limits::TEXTS as u64);
    let piece = |n: usize, index| DataBody::TextPiece { id: format!("t{n}"), index, content: Bytes::from(vec![b'x'; 20_000]) };
    for index in 0..100 {
        for n in 0..limits::TEXTS {
            hear(&mut sim, piece(n, index));
        }
    }
    for n in 0..limits::TEXTS {
        hear(&mut sim, DataBody::TextEnd { id: format!("t{n}"), complete: true });
    }
    assert_eq!(sim.events().len(), 0, "more than may wait is nothing");
    hear(&mut sim, begin(1));
    hear(&mut sim, piece(1, 1));
    hear(&mut sim, DataBody::TextEnd { id: "t1".into(), complete: true });
    assert_eq!(sim.events().len(), 0, "a piece is missing");
}

#[test]
fn a_closed_subscriber_hears_nothing() {
    let mut sim = talking();
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    sim.run(ms(50));
    hear(&mut sim, DataBody::Packet { topic: String::new(), payload: Bytes::from_static(b"late") });
    hear(&mut sim, request("1"));
    assert_eq!((sim.events().len(), sent(&sim)), (0, 0));
}

#[test]
fn texts_that_never_end_are_in_nobodys_way() {
    let mut sim = talking();
    let begin = |id: String| DataBody::TextBegin { id, topic: String::new(), length: None };
    let piece = |id: &str, size| DataBody::TextPiece { id: id.into(), index: 0, content: Bytes::from(vec![b'x'; size]) };
    for n in 0..limits::TEXTS {
        hear(&mut sim, begin(format!("never{n}")));
    }
    hear(&mut sim, piece("never5", limits::TEXT_BYTES));
    hear(&mut sim, begin("short".into()));
    hear(&mut sim, piece("short", 3));
    hear(&mut sim, DataBody::TextEnd { id: "short".into(), complete: true });
    assert_eq!(sim.events().len(), 1);
    // What was coming over peer connections that are gone never comes to its end.
    let before = sim.core.counters().data_dropped;
    hear(&mut sim, begin("half".into()));
    sim.message(SfuMessage::Error { error: SfuError::default(), strategy: Strategy::Rejoin });
    sim.run(ms(100));
    sim.offer();
    sim.run(ms(100));
    assert!(sim.core.counters().data_dropped > before);
    sim.mark();
    hear(&mut sim, piece("half", 3));
    hear(&mut sim, DataBody::TextEnd { id: "half".into(), complete: true });
    assert_eq!(sim.events().len(), 0);
}

#[test]
fn a_call_without_a_way_there_or_back_fails_at_once() {
    for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
        let mut sim = talking();
        sim.input(Input::ClosePeer(peer));
        let (to, method, payload) = ("ann".to_owned(), "m".to_owned(), String::new());
        sim.input(Input::CallRpc { id: 1, to, method, payload, timeout: ms(10_000) });
        let failed = |e: &Event| matches!(e, Event::RpcResponse { id: 1, answer: Err(f) } if f.code == rpc_codes::SEND_FAILED);
        assert!(sim.events().iter().any(failed), "{peer:?}");
        assert_eq!(sent(&sim), 0);
    }
}
