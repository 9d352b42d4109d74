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

fn hears(sim: &mut Sim, body: DataBody) {
    hears_from(sim, "ann", body);
}

fn hears_from(sim: &mut Sim, from: &str, body: DataBody) {
    let generation = sim.core.cx.transport.unwrap_or(Generation(0));
    let data = DataIn { from: from.into(), session_id: format!("{from}-session"), delivery: Delivery::Reliable, body };
    sim.input(Input::Data { generation, data });
}

/// What the application heard of losses.
fn lost(sim: &Sim) -> Vec<DataLost> {
    sim.events().into_iter().filter_map(|e| if let Event::DataLost(lost) = e { Some(lost) } else { None }).collect()
}

fn packet() -> DataBody {
    DataBody::Packet { topic: "t".into(), payload: Bytes::from_static(b"x") }
}

fn said(sim: &Sim) -> Vec<DataBody> {
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
    match said(sim).pop() {
        Some(DataBody::RpcRequest { id, timeout_ms, .. }) if u64::from(timeout_ms) == timeout => id,
        other => panic!("not asked: {other:?}"),
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
fn who_sends_gets_a_publisher_with_channels_once() {
    let mut sim = joined();
    sim.input(Input::WantData);
    sim.input(Input::WantData);
    sim.run(ms(100));
    assert_eq!(sim.actions(PeerKind::Publisher), ["Create", "Offer", "SetAnswer"]);
    assert!(matches!(&sim.wanted()[..], [Wanted { channels: true, senders, .. }] if senders.is_empty()));
    assert_eq!(sim.rpc_names().iter().filter(|n| **n == "SetPublisher").count(), 1);
    // A new session has them again, without being asked.
    sim.mark();
    sim.message(SfuMessage::Advice { strategy: Strategy::Rejoin, why: "so".into(), leave_edge: false });
    sim.run(ms(500));
    assert_eq!(sim.core.state(), State::Joined);
    assert_eq!(sim.actions(PeerKind::Publisher), ["Create", "Offer", "SetAnswer"]);
    assert!(matches!(&sim.wanted()[..], [Wanted { channels: true, senders, .. }] if senders.is_empty()));
    assert_eq!(sim.errors(), 0);
}

#[test]
fn nobody_hears_data_late() {
    let mut sim = joined();
    hears(&mut sim, packet());
    assert!(matches!(sim.events()[..], [Event::Data(_)]));
    sim.mark();
    let data = DataIn { from: "ann".into(), session_id: String::new(), delivery: Delivery::Lossy, body: packet() };
    sim.input(Input::Data { generation: Generation(9), data });
    sim.input(Input::ClosePeer(PeerKind::Subscriber));
    hears(&mut sim, packet());
    assert_eq!((sim.events().len(), sim.core.counters().late_other), (0, 2));
    sim.leave();
    hears(&mut sim, packet());
    assert!(!sim.events().iter().any(|e| matches!(e, Event::Data(_))));
}

#[test]
fn a_text_is_told_whole_or_not_at_all() {
    let mut sim = joined();
    hears(&mut sim, begin("a", Some(4)));
    hears(&mut sim, begin("b", None));
    hears(&mut sim, piece("a", 0, "12"));
    hears(&mut sim, piece("b", 0, "x"));
    hears(&mut sim, piece("a", 0, "12"));
    hears(&mut sim, piece("a", 1, "34"));
    hears(&mut sim, end("b"));
    hears(&mut sim, end("a"));
    assert_eq!(texts(&sim), ["x", "1234"]);
    sim.mark();
    // Too short, a gap, not UTF-8, given up, too long, without a beginning, an end too many.
    hears(&mut sim, begin("c", Some(9)));
    hears(&mut sim, end("c"));
    hears(&mut sim, begin("d", None));
    hears(&mut sim, piece("d", 1, "late"));
    hears(&mut sim, end("d"));
    hears(&mut sim, begin("e", None));
    hears(&mut sim, DataBody::TextPiece { id: "e".into(), index: 0, content: Bytes::from_static(b"\xff") });
    hears(&mut sim, end("e"));
    hears(&mut sim, begin("f", None));
    hears(&mut sim, DataBody::TextEnd { id: "f".into(), complete: false, attributes: Attributes::default() });
    hears(&mut sim, begin("g", Some(limits::TEXT_BYTES as u64 + 1)));
    hears(&mut sim, piece("h", 0, "x"));
    hears(&mut sim, end("h"));
    assert_eq!((texts(&sim).len(), sim.core.counters().data_dropped, sim.errors()), (0, 5, 0));
    // Told: the first at once, the others together.
    sim.run(ms(1_100));
    let texts = |texts| DataLost { texts, ..DataLost::default() };
    assert_eq!(lost(&sim), [texts(1), texts(4)]);
}

#[test]
fn a_call_is_answered_once() {
    let mut sim = joined();
    let wire = call(&mut sim, 7, 15_000);
    hears(&mut sim, DataBody::RpcAck { id: wire.clone() });
    let answer = || DataBody::RpcAnswer { id: wire.clone(), answer: Ok("fine".into()) };
    hears(&mut sim, answer());
    hears(&mut sim, answer());
    sim.run(ms(20_000));
    assert_eq!(responses(&sim), [(7, Ok("fine".into()))]);
    // Nobody else's word counts.
    let wire = call(&mut sim, 8, 15_000);
    let generation = sim.core.cx.transport.unwrap();
    let body = DataBody::RpcAnswer { id: wire, answer: Ok("forged".into()) };
    let data = DataIn { from: "bob".into(), session_id: String::new(), delivery: Delivery::Reliable, body };
    sim.input(Input::Data { generation, data });
    assert_eq!(responses(&sim).len(), 1);
}

#[test]
fn silence_is_told_from_slowness() {
    let mut sim = joined();
    call(&mut sim, 1, 15_000);
    let heard = call(&mut sim, 2, 9_000);
    call(&mut sim, 3, 2_000);
    hears(&mut sim, DataBody::RpcAck { id: heard });
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
    let told = events.iter().position(|e| matches!(e, Event::RpcResponse { id: 2, .. }));
    let ended = events.iter().position(|e| matches!(e, Event::Ended(_)));
    assert!(told.is_some() && told < ended, "{events:?}");
    sim.input(Input::CallRpc { id: 3, to: "a".into(), method: "m".into(), payload: String::new(), timeout: ms(1_000) });
    assert_eq!(sim.events().len(), events.len(), "nothing after the end");
}

#[test]
fn requests_are_confirmed_told_once_and_answered_once() {
    let mut sim = joined();
    let request = |id: &str, version| DataBody::RpcRequest {
        id: id.into(),
        method: "m".into(),
        payload: "p".into(),
        timeout_ms: 8_000,
        version,
    };
    hears(&mut sim, request("r", 1));
    hears(&mut sim, request("r", 1));
    let told = |sim: &Sim| sim.events().iter().filter(|e| matches!(e, Event::RpcRequest { .. })).count();
    assert_eq!((told(&sim), said(&sim)), (1, vec![DataBody::RpcAck { id: "r".into() }]));
    for _ in 0..2 {
        sim.input(Input::AnswerRpc { id: "r".into(), answer: Ok("a".into()) });
    }
    assert_eq!(said(&sim)[1..], [DataBody::RpcAnswer { id: "r".into(), answer: Ok("a".into()) }]);
    hears(&mut sim, request("v2", 2));
    let refused = said(&sim).pop();
    assert!(
        matches!(&refused, Some(DataBody::RpcAnswer { answer: Err(f), .. }) if f.code == rpc_codes::UNSUPPORTED_VERSION)
    );
    // Other clients wait for 7 s more than they tell; who answers later than that has nothing to answer any more.
    for (wait, answers) in [(14_900, 1), (15_100, 0)] {
        let id = format!("slow{wait}");
        hears(&mut sim, request(&id, 1));
        sim.run(ms(wait));
        sim.mark();
        sim.input(Input::AnswerRpc { id, answer: Ok("a".into()) });
        assert_eq!(said(&sim).len(), answers, "{wait}");
    }
}

#[test]
fn a_request_that_comes_again_is_not_told_again() {
    let mut sim = joined();
    let request = |id: &str| {
        let (id, method, payload) = (id.into(), "m".into(), "p".into());
        DataBody::RpcRequest { id, method, payload, timeout_ms: 5_000, version: 1 }
    };
    let told = |sim: &Sim| sim.events().iter().filter(|e| matches!(e, Event::RpcRequest { .. })).count();
    hears(&mut sim, request("1"));
    sim.input(Input::AnswerRpc { id: "1".into(), answer: Ok("fine".into()) });
    hears(&mut sim, request("1"));
    assert_eq!(told(&sim), 1, "after its answer");
    hears(&mut sim, request("2"));
    sim.run(ms(12_500));
    hears(&mut sim, request("2"));
    assert_eq!(told(&sim), 2, "after its time");
    hears(&mut sim, request("3"));
    sim.message(SfuMessage::ParticipantLeft {
        session_id: person("ann").session_id,
        user_id: "ann".into(),
        reason: LeaveReason::UNKNOWN,
    });
    hears(&mut sim, request("3"));
    assert_eq!(told(&sim), 3, "after its caller has been gone");
}

#[test]
fn no_answer_goes_out_while_leaving() {
    let mut sim = joined();
    let (id, method, payload) = ("1".into(), "m".into(), "p".into());
    hears(&mut sim, DataBody::RpcRequest { id, method, payload, timeout_ms: 5_000, version: 1 });
    sim.on(|o| if matches!(o, Output::CloseSocket { .. }) { Reply::Never } else { Reply::Good });
    sim.leave();
    sim.mark();
    sim.input(Input::AnswerRpc { id: "1".into(), answer: Ok("fine".into()) });
    assert!(said(&sim).is_empty());
}

#[test]
fn floods_are_bounded() {
    let mut sim = joined();
    for n in 0..2 * limits::RPC_CALLS as u64 {
        let (to, method) = ("ann".into(), "m".into());
        sim.input(Input::CallRpc { id: n, to, method, payload: String::new(), timeout: ms(60_000) });
        let id = n.to_string();
        hears(
            &mut sim,
            DataBody::RpcRequest { id, method: "m".into(), payload: String::new(), timeout_ms: 1, version: 1 },
        );
    }
    let refused = responses(&sim).iter().filter(|(_, a)| *a == Err(rpc_codes::SEND_FAILED)).count();
    assert_eq!((refused, sim.core.counters().data_dropped), (limits::RPC_CALLS, limits::RPC_CALLS as u64));
    // Who is refused hears so at once; somebody else is not refused.
    let busy =
        |b: &&DataBody| matches!(b, DataBody::RpcAnswer { answer: Err(f), .. } if f.code == rpc_codes::APPLICATION);
    assert_eq!(said(&sim).iter().filter(busy).count(), limits::RPC_CALLS);
    sim.mark();
    let (id, method, payload) = ("other".into(), "m".into(), String::new());
    hears_from(&mut sim, "bob", DataBody::RpcRequest { id, method, payload, timeout_ms: 1, version: 1 });
    assert!(sim.events().iter().any(|e| matches!(e, Event::RpcRequest { user_id, .. } if user_id == "bob")));
}

#[test]
fn the_callee_gets_the_time_that_the_caller_waits() {
    let mut sim = joined();
    let first = call(&mut sim, 1, 8_000);
    sim.run(ms(120));
    hears(&mut sim, DataBody::RpcAck { id: first.clone() });
    // An acknowledgement that comes again measures nothing.
    sim.run(ms(500));
    hears(&mut sim, DataBody::RpcAck { id: first });
    let told = |sim: &mut Sim, id, to: &str, timeout| {
        let (to, method) = (to.to_owned(), "m".to_owned());
        sim.input(Input::CallRpc { id, to, method, payload: String::new(), timeout: ms(timeout) });
        match said(sim).pop() {
            Some(DataBody::RpcRequest { timeout_ms, .. }) => timeout_ms,
            other => panic!("not asked: {other:?}"),
        }
    };
    // Less one round trip as measured; to somebody else as long as the longest.
    assert_eq!(told(&mut sim, 2, "ann", 8_000), 7_880);
    assert_eq!(told(&mut sim, 3, "ben", 15_000), 14_880);
    assert_eq!(told(&mut sim, 4, "ann", 1_000), 1_000);
}

#[test]
fn who_is_not_there_does_not_cost_the_callers_time() {
    let mut sim = joined();
    let ask = |sim: &mut Sim, id| {
        let (to, method) = ("nobody".to_owned(), "m".to_owned());
        sim.input(Input::CallRpc { id, to, method, payload: String::new(), timeout: ms(15_000) });
        match said(sim).pop() {
            Some(DataBody::RpcRequest { id, .. }) => id,
            other => panic!("not asked: {other:?}"),
        }
    };
    ask(&mut sim, 1);
    sim.run(ms(1_900));
    assert_eq!(responses(&sim), []);
    sim.run(ms(200));
    assert_eq!(responses(&sim), [(1, Err(rpc_codes::RECIPIENT_NOT_FOUND))]);
    // Who is hidden answers all the same.
    let wire = ask(&mut sim, 2);
    hears_from(&mut sim, "nobody", DataBody::RpcAck { id: wire.clone() });
    sim.run(ms(5_000));
    hears_from(&mut sim, "nobody", DataBody::RpcAnswer { id: wire, answer: Ok("here".into()) });
    assert_eq!(responses(&sim)[1..], [(2, Ok("here".into()))]);
    // Who comes meanwhile is waited for as anybody.
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
        assert!(said(&sim).is_empty());
    }
}
