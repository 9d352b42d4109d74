//! Packets, texts and procedure calls between participants.

use super::sim::*;
use crate::core::{model::*, *};
use bytes::Bytes;

fn joined() -> Sim {
    let dialect = Dialect { data_channels: true, ..DIALECT };
    let mut sim = Sim::joined_with(Config { dialect, ..config() });
    sim.offer();
    sim.run(ms(50));
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("ann"))));
    sim.mark();
    sim
}

fn receive(sim: &mut Sim, body: DataBody) {
    receive_from(sim, "ann", body);
}

fn receive_from(sim: &mut Sim, from: &str, body: DataBody) {
    let generation = sim.core.cx.transport.unwrap_or(Generation(0));
    let data = DataIn { from: from.into(), session_id: format!("{from}-session"), delivery: Delivery::Reliable, body };
    sim.input(Input::Data { generation, data });
}

/// The losses reported to the application.
fn lost(sim: &Sim) -> Vec<DataLost> {
    sim.events().into_iter().filter_map(|e| if let Event::DataLost(lost) = e { Some(lost) } else { None }).collect()
}

fn packet() -> DataBody {
    DataBody::Packet { topic: "t".into(), payload: Bytes::from_static(b"x") }
}

fn sent(sim: &Sim) -> Vec<DataBody> {
    sim.since().iter().filter_map(|o| if let Output::SendData(m) = o { Some(m.body.clone()) } else { None }).collect()
}

fn texts(sim: &Sim) -> Vec<String> {
    let text = |e: Event| match e {
        Event::Data(DataIn { body: DataBody::Text { text, .. }, .. }) => Some(text),
        _ => None,
    };
    sim.events().into_iter().filter_map(text).collect()
}

fn responses(sim: &Sim) -> Vec<(u64, Result<String, u32>)> {
    let response = |e: Event| match e {
        Event::RpcResponse { id, answer } => Some((id, answer.map_err(|f| f.code))),
        _ => None,
    };
    sim.events().into_iter().filter_map(response).collect()
}

fn call(sim: &mut Sim, id: u64, timeout: u64) -> String {
    let (to, method, payload) = ("ann".into(), "m".into(), "p".into());
    sim.input(Input::CallRpc { id, to, method, payload, timeout: ms(timeout) });
    match sent(sim).pop() {
        Some(DataBody::RpcRequest { id, timeout_ms, .. }) if u64::from(timeout_ms) == timeout => id,
        other => panic!("no request: {other:?}"),
    }
}

fn begin(id: &str, length: Option<u64>) -> DataBody {
    DataBody::TextBegin { id: id.into(), topic: "t".into(), length, attributes: Attributes::default() }
}

fn piece(id: &str, index: u64, text: &str) -> DataBody {
    DataBody::TextPiece { id: id.into(), index, content: Bytes::copy_from_slice(text.as_bytes()) }
}

fn end(id: &str) -> DataBody {
    DataBody::TextEnd { id: id.into(), complete: true, attributes: Attributes::default() }
}

#[test]
fn sending_data_creates_a_publisher_with_channels_once() {
    let mut sim = joined();
    sim.input(Input::WantData);
    sim.input(Input::WantData);
    sim.run(ms(100));
    assert_eq!(sim.actions(PeerKind::Publisher), ["Create", "Offer", "SetAnswer"]);
    assert!(matches!(&sim.wanted()[..], [Wanted { channels: true, senders, .. }] if senders.is_empty()));
    assert_eq!(sim.rpc_names().iter().filter(|n| **n == "SetPublisher").count(), 1);
    // A new session opens the channels again without another request.
    sim.mark();
    sim.message(SfuMessage::Advice { strategy: Strategy::Rejoin, why: "so".into(), leave_edge: false });
    sim.run(ms(500));
    assert_eq!(sim.core.state(), State::Joined);
    assert_eq!(sim.actions(PeerKind::Publisher), ["Create", "Offer", "SetAnswer"]);
    assert!(matches!(&sim.wanted()[..], [Wanted { channels: true, senders, .. }] if senders.is_empty()));
    assert_eq!(sim.errors(), 0);
}

#[test]
fn late_data_is_dropped() {
    let mut sim = joined();
    receive(&mut sim, packet());
    assert!(matches!(sim.events()[..], [Event::Data(_)]));
    sim.mark();
    let data = DataIn { from: "ann".into(), session_id: String::new(), delivery: Delivery::Lossy, body: packet() };
    sim.input(Input::Data { generation: Generation(9), data });
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    receive(&mut sim, packet());
    assert_eq!((sim.events().len(), sim.core.counters().late_other), (0, 2));
    sim.leave();
    receive(&mut sim, packet());
    assert!(!sim.events().iter().any(|e| matches!(e, Event::Data(_))));
}

#[test]
fn a_text_is_delivered_whole_or_not_at_all() {
    let mut sim = joined();
    receive(&mut sim, begin("a", Some(4)));
    receive(&mut sim, begin("b", None));
    receive(&mut sim, piece("a", 0, "12"));
    receive(&mut sim, piece("b", 0, "x"));
    receive(&mut sim, piece("a", 0, "12"));
    receive(&mut sim, piece("a", 1, "34"));
    receive(&mut sim, end("b"));
    receive(&mut sim, end("a"));
    assert_eq!(texts(&sim), ["x", "1234"]);
    sim.mark();
    // Too short; a gap; not UTF-8; aborted; too long; no beginning; an extra end.
    receive(&mut sim, begin("c", Some(9)));
    receive(&mut sim, end("c"));
    receive(&mut sim, begin("d", None));
    receive(&mut sim, piece("d", 1, "late"));
    receive(&mut sim, end("d"));
    receive(&mut sim, begin("e", None));
    receive(&mut sim, DataBody::TextPiece { id: "e".into(), index: 0, content: Bytes::from_static(b"\xff") });
    receive(&mut sim, end("e"));
    receive(&mut sim, begin("f", None));
    receive(&mut sim, DataBody::TextEnd { id: "f".into(), complete: false, attributes: Attributes::default() });
    receive(&mut sim, begin("g", Some(limits::TEXT_BYTES as u64 + 1)));
    receive(&mut sim, piece("h", 0, "x"));
    receive(&mut sim, end("h"));
    assert_eq!((texts(&sim).len(), sim.core.counters().data_dropped, sim.errors()), (0, 5, 0));
    // The first loss is reported at once, the others together.
    sim.run(ms(1_100));
    let texts = |texts| DataLost { texts, ..DataLost::default() };
    assert_eq!(lost(&sim), [texts(1), texts(4)]);
}

#[test]
fn a_call_is_answered_once() {
    let mut sim = joined();
    let wire = call(&mut sim, 7, 15_000);
    receive(&mut sim, DataBody::RpcAck { id: wire.clone() });
    let answer = || DataBody::RpcAnswer { id: wire.clone(), answer: Ok("fine".into()) };
    receive(&mut sim, answer());
    receive(&mut sim, answer());
    sim.run(ms(20_000));
    assert_eq!(responses(&sim), [(7, Ok("fine".into()))]);
    // An answer from another participant is ignored.
    let wire = call(&mut sim, 8, 15_000);
    let generation = sim.core.cx.transport.unwrap();
    let body = DataBody::RpcAnswer { id: wire, answer: Ok("forged".into()) };
    let data = DataIn { from: "bob".into(), session_id: String::new(), delivery: Delivery::Reliable, body };
    sim.input(Input::Data { generation, data });
    assert_eq!(responses(&sim).len(), 1);
}

#[test]
fn silence_and_slowness_are_distinguished() {
    let mut sim = joined();
    call(&mut sim, 1, 15_000);
    let acknowledged = call(&mut sim, 2, 9_000);
    call(&mut sim, 3, 2_000);
    receive(&mut sim, DataBody::RpcAck { id: acknowledged });
    sim.run(ms(2_000));
    assert_eq!(responses(&sim), [(3, Err(rpc_codes::RESPONSE_TIMEOUT))]);
    sim.run(ms(5_000));
    assert_eq!(responses(&sim)[1..], [(1, Err(rpc_codes::CONNECTION_TIMEOUT))]);
    sim.run(ms(2_000));
    assert_eq!(responses(&sim)[2..], [(2, Err(rpc_codes::RESPONSE_TIMEOUT))]);
}

#[test]
fn every_call_has_its_answer_before_the_end() {
    let mut sim = joined();
    call(&mut sim, 1, 60_000);
    sim.message(SfuMessage::ParticipantLeft {
        session_id: "ann-session".into(),
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    assert_eq!(responses(&sim), [(1, Err(rpc_codes::RECIPIENT_DISCONNECTED))]);
    call(&mut sim, 2, 60_000);
    sim.leave();
    sim.run(ms(2_000));
    let events = sim.events();
    let answered = events.iter().position(|e| matches!(e, Event::RpcResponse { id: 2, .. }));
    let ended = events.iter().position(|e| matches!(e, Event::Ended(_)));
    assert!(answered.is_some() && answered < ended, "{events:?}");
    sim.input(Input::CallRpc { id: 3, to: "a".into(), method: "m".into(), payload: String::new(), timeout: ms(1_000) });
    assert_eq!(sim.events().len(), events.len(), "nothing after the end");
}

#[test]
fn requests_are_confirmed_delivered_once_and_answered_once() {
    let mut sim = joined();
    let request = |id: &str, version| DataBody::RpcRequest {
        id: id.into(),
        method: "m".into(),
        payload: "p".into(),
        timeout_ms: 8_000,
        version,
    };
    receive(&mut sim, request("r", 1));
    receive(&mut sim, request("r", 1));
    let delivered = |sim: &Sim| sim.events().iter().filter(|e| matches!(e, Event::RpcRequest { .. })).count();
    assert_eq!((delivered(&sim), sent(&sim)), (1, vec![DataBody::RpcAck { id: "r".into() }]));
    for _ in 0..2 {
        sim.input(Input::AnswerRpc { id: "r".into(), answer: Ok("a".into()) });
    }
    assert_eq!(sent(&sim)[1..], [DataBody::RpcAnswer { id: "r".into(), answer: Ok("a".into()) }]);
    receive(&mut sim, request("v2", 2));
    let refused = sent(&sim).pop();
    assert!(
        matches!(&refused, Some(DataBody::RpcAnswer { answer: Err(f), .. }) if f.code == rpc_codes::UNSUPPORTED_VERSION)
    );
    // Other clients wait 7 s longer than the timeout they send. A later answer is dropped.
    for (wait, answers) in [(14_900, 1), (15_100, 0)] {
        let id = format!("slow{wait}");
        receive(&mut sim, request(&id, 1));
        sim.run(ms(wait));
        sim.mark();
        sim.input(Input::AnswerRpc { id, answer: Ok("a".into()) });
        assert_eq!(sent(&sim).len(), answers, "{wait}");
    }
}

#[test]
fn a_duplicate_request_is_not_delivered_again() {
    let mut sim = joined();
    let request = |id: &str| {
        let (id, method, payload) = (id.into(), "m".into(), "p".into());
        DataBody::RpcRequest { id, method, payload, timeout_ms: 5_000, version: 1 }
    };
    let delivered = |sim: &Sim| sim.events().iter().filter(|e| matches!(e, Event::RpcRequest { .. })).count();
    receive(&mut sim, request("1"));
    sim.input(Input::AnswerRpc { id: "1".into(), answer: Ok("fine".into()) });
    receive(&mut sim, request("1"));
    assert_eq!(delivered(&sim), 1, "after its answer");
    receive(&mut sim, request("2"));
    sim.run(ms(12_500));
    receive(&mut sim, request("2"));
    assert_eq!(delivered(&sim), 2, "after its time");
    receive(&mut sim, request("3"));
    sim.message(SfuMessage::ParticipantLeft {
        session_id: person("ann").session_id,
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    receive(&mut sim, request("3"));
    assert_eq!(delivered(&sim), 3, "after its caller has left");
}

#[test]
fn no_answer_goes_out_while_leaving() {
    let mut sim = joined();
    let (id, method, payload) = ("1".into(), "m".into(), "p".into());
    receive(&mut sim, DataBody::RpcRequest { id, method, payload, timeout_ms: 5_000, version: 1 });
    sim.on(|o| if matches!(o, Output::CloseSocket { .. }) { Reply::Never } else { Reply::Good });
    sim.leave();
    sim.mark();
    sim.input(Input::AnswerRpc { id: "1".into(), answer: Ok("fine".into()) });
    assert!(sent(&sim).is_empty());
}

#[test]
fn floods_are_bounded() {
    let mut sim = joined();
    for n in 0..2 * limits::RPC_CALLS as u64 {
        let (to, method) = ("ann".into(), "m".into());
        sim.input(Input::CallRpc { id: n, to, method, payload: String::new(), timeout: ms(60_000) });
        let id = n.to_string();
        receive(
            &mut sim,
            DataBody::RpcRequest { id, method: "m".into(), payload: String::new(), timeout_ms: 1, version: 1 },
        );
    }
    let refused = responses(&sim).iter().filter(|(_, a)| *a == Err(rpc_codes::SEND_FAILED)).count();
    assert_eq!((refused, sim.core.counters().data_dropped), (limits::RPC_CALLS, limits::RPC_CALLS as u64));
    // A refused caller is notified at once; another caller is not refused.
    let busy =
        |b: &&DataBody| matches!(b, DataBody::RpcAnswer { answer: Err(f), .. } if f.code == rpc_codes::APPLICATION);
    assert_eq!(sent(&sim).iter().filter(busy).count(), limits::RPC_CALLS);
    sim.mark();
    let (id, method, payload) = ("other".into(), "m".into(), String::new());
    receive_from(&mut sim, "bob", DataBody::RpcRequest { id, method, payload, timeout_ms: 1, version: 1 });
    assert!(sim.events().iter().any(|e| matches!(e, Event::RpcRequest { user_id, .. } if user_id == "bob")));
}

#[test]
fn the_callee_gets_the_time_that_the_caller_waits() {
    let mut sim = joined();
    let first = call(&mut sim, 1, 8_000);
    sim.run(ms(120));
    receive(&mut sim, DataBody::RpcAck { id: first.clone() });
    // A duplicate acknowledgement does not change the measured round trip.
    sim.run(ms(500));
    receive(&mut sim, DataBody::RpcAck { id: first });
    let sent_timeout = |sim: &mut Sim, id, to: &str, timeout| {
        let (to, method) = (to.to_owned(), "m".to_owned());
        sim.input(Input::CallRpc { id, to, method, payload: String::new(), timeout: ms(timeout) });
        match sent(sim).pop() {
            Some(DataBody::RpcRequest { timeout_ms, .. }) => timeout_ms,
            other => panic!("no request: {other:?}"),
        }
    };
    // Reduced by the measured round trip; for another participant, by the longest one measured.
    assert_eq!(sent_timeout(&mut sim, 2, "ann", 8_000), 7_880);
    assert_eq!(sent_timeout(&mut sim, 3, "ben", 15_000), 14_880);
    assert_eq!(sent_timeout(&mut sim, 4, "ann", 1_000), 1_000);
}

#[test]
fn an_absent_callee_fails_early() {
    let mut sim = joined();
    let ask = |sim: &mut Sim, id| {
        let (to, method) = ("nobody".to_owned(), "m".to_owned());
        sim.input(Input::CallRpc { id, to, method, payload: String::new(), timeout: ms(15_000) });
        match sent(sim).pop() {
            Some(DataBody::RpcRequest { id, .. }) => id,
            other => panic!("no request: {other:?}"),
        }
    };
    ask(&mut sim, 1);
    sim.run(ms(1_900));
    assert_eq!(responses(&sim), []);
    sim.run(ms(200));
    assert_eq!(responses(&sim), [(1, Err(rpc_codes::RECIPIENT_NOT_FOUND))]);
    // A hidden participant can still answer.
    let wire = ask(&mut sim, 2);
    receive_from(&mut sim, "nobody", DataBody::RpcAck { id: wire.clone() });
    sim.run(ms(5_000));
    receive_from(&mut sim, "nobody", DataBody::RpcAnswer { id: wire, answer: Ok("here".into()) });
    assert_eq!(responses(&sim)[1..], [(2, Ok("here".into()))]);
    // A participant that joins meanwhile gets the usual acknowledgement timeout.
    ask(&mut sim, 3);
    sim.message(SfuMessage::ParticipantJoined(Box::new(person("nobody"))));
    sim.run(ms(6_900));
    assert_eq!(responses(&sim).len(), 2);
    sim.run(ms(200));
    assert_eq!(responses(&sim)[2..], [(3, Err(rpc_codes::CONNECTION_TIMEOUT))]);
}

#[test]
fn a_call_without_a_way_there_or_back_fails_at_once() {
    for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
        let mut sim = joined();
        sim.input(Input::ClosePeer(peer));
        let (to, method, payload) = ("ann".to_owned(), "m".to_owned(), String::new());
        sim.input(Input::CallRpc { id: 1, to, method, payload, timeout: ms(10_000) });
        let failed =
            |e: &Event| matches!(e, Event::RpcResponse { id: 1, answer: Err(f) } if f.code == rpc_codes::SEND_FAILED);
        assert!(sim.events().iter().any(failed), "{peer:?}");
        assert!(sent(&sim).is_empty());
    }
}
