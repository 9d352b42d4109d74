//! Traces: bounded, without secrets, and replayed with the same decisions. [`Sim`] itself checks that every test's own
//! trace replays.

use super::sim::*;
use crate::core::trace::{replay, Room, Trace};
use crate::core::{model::*, *};
use crate::error::Secret;
use bytes::Bytes;
use std::sync::Arc;

const MUCH: Room = Room { entries: usize::MAX, bytes: usize::MAX };

fn traced(config: &Config, room: Room) -> (Core, Arc<Trace>) {
    let trace = Trace::new(config, 5, room);
    (Core::new(config.clone()).traced(trace.clone()), trace)
}

/// Passes inputs to a core and discards its outputs.
fn feed(core: &mut Core, at: &mut u64, inputs: impl IntoIterator<Item = Input>) {
    for input in inputs {
        *at += 1;
        core.handle(ms(*at), input);
        while core.poll_output().is_some() {}
    }
}

/// Joins the call, with every kind of secret in the messages.
fn join(core: &mut Core, at: &mut u64) {
    let servers = || {
        vec![IceServer {
            urls: vec!["turn:127.0.0.1:9".into()],
            username: "turn5ecretUser".into(),
            password: Secret::new("turn5ecretPassword"),
        }]
    };
    let known = admission(1);
    let admission = Admission {
        token: Secret::new("sfu5ecretToken0123"),
        ws_endpoint: "wss://me:5ecret@127.0.0.1:1/ws?token=5ecret".into(),
        ice_servers: servers(),
        edge_name: "named after sfu5ecretToken0123".into(),
        ..known
    };
    let ann = Participant {
        metadata: "meta5ecret".into(),
        custom_json: "{\"a\":\"5ecret\"}".into(),
        attributes_json: "5ecret".into(),
        ..person("ann")
    };
    let joined = JoinState {
        participants: vec![ann, Participant { session_id: core.cx.session_id.clone(), ..person("me") }],
        ice_servers: Some(servers()),
        room: Some(model::Room { metadata: "room5ecret".into(), ..model::Room::default() }),
        ..JoinState::default()
    };
    let generation = Generation(1);
    let refused = Failure::new(FailureKind::Connect, "no user5ecretToken here");
    feed(core, at, [Input::Start, Input::Admitted { generation, result: Err(refused) }]);
    core.tick(ms(*at + 6_000));
    while core.poll_output().is_some() {}
    *at += 6_000;
    let generation = core.generation();
    feed(
        core,
        at,
        [
            Input::Admitted { generation, result: Ok(Box::new(admission)) },
            Input::SocketOpened { generation, result: Ok(()) },
            Input::Message { generation, message: SfuMessage::Joined(Box::new(joined)) },
        ],
    );
    assert_eq!(core.state(), State::Joined);
}

fn secretive() -> Config {
    let dialect = Dialect { data_channels: true, ..DIALECT };
    let (token, data_json) = (Secret::new("user5ecretToken"), "{\"b\":\"5ecret\"}".to_owned());
    Config { dialect, token, data_json, partial_texts: true, ..config() }
}

fn data(body: DataBody) -> Input {
    let (from, session_id) = ("ann".to_owned(), "ann-session".to_owned());
    Input::Data { generation: Generation(2), data: DataIn { from, session_id, delivery: Delivery::Reliable, body } }
}

#[test]
fn no_secret_is_in_a_trace_and_it_happens_again() {
    let (mut core, trace) = traced(&secretive(), MUCH);
    let mut at = 0;
    join(&mut core, &mut at);
    let generation = core.generation();
    let attributes: Attributes = [("name".to_owned(), "value5ecret".to_owned())].into();
    let (id, topic) = ("t".to_owned(), "topic".to_owned());
    let piece = |index, content: &[u8]| {
        data(DataBody::TextPiece { id: "t".into(), index, content: Bytes::copy_from_slice(content) })
    };
    let text = "5ecret über 音声".as_bytes();
    let sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:5ecret5ecret5ecret5ecret\r\n".to_owned();
    let update = SelfUpdate {
        metadata: Some("5ecret".into()),
        attributes: vec![("a".into(), "5ecret".into())],
        ..SelfUpdate::default()
    };
    feed(
        &mut core,
        &mut at,
        [
            data(DataBody::Packet { topic: topic.clone(), payload: Bytes::from_static(b"5ecret") }),
            data(DataBody::TextBegin { id: id.clone(), topic, length: None, attributes: attributes.clone() }),
            piece(0, &text[..9]),
            piece(1, &text[9..17]),
            piece(2, &text[17..]),
            data(DataBody::TextEnd { id, complete: true, attributes }),
            data(DataBody::Dtmf { code: 5, digit: "5".into() }),
            data(DataBody::RpcRequest {
                id: "r".into(),
                method: "m".into(),
                payload: "5ecret".into(),
                timeout_ms: 5_000,
                version: 1,
            }),
            Input::AnswerRpc { id: "r".into(), answer: Ok("5ecret".into()) },
            Input::CallRpc {
                id: 1,
                to: "ann".into(),
                method: "m".into(),
                payload: "5ecret".into(),
                timeout: ms(5_000),
            },
            Input::UpdateSelf(update),
            Input::IceServer {
                generation,
                peer: PeerKind::Publisher,
                failure: IceServerFailure {
                    url: "turn:turn5ecretPassword@127.0.0.1:9?transport=udp".into(),
                    code: 401,
                    text: "refused sfu5ecretToken0123".into(),
                },
            },
            Input::Message {
                generation,
                message: SfuMessage::SubscriberOffer { ice_restart: false, sdp, negotiation_id: 1 },
            },
            Input::Message { generation, message: SfuMessage::Token(Secret::new("other5ecretToken01")) },
            Input::Message {
                generation,
                message: SfuMessage::DominantSpeaker { session_id: "other5ecretToken01".into() },
            },
            Input::Message {
                generation,
                message: SfuMessage::AudioLevels(vec![("ann-session".into(), f32::NAN, true)]),
            },
            Input::Leave { reason: "bye".into() },
        ],
    );
    let text = trace.text();
    assert!(!text.contains("5ecret"), "{}", text.lines().find(|line| line.contains("5ecret")).unwrap_or_default());
    for kept in [
        "<:6>",
        "<#",
        "<secret:",
        "a=ice-ufrag:u",
        "ann-session",
        "\"Drain",
        "TextPart",
        "transport=udp",
        "{\"Event\":{\"IceServer\"",
    ] {
        assert!(kept == "\"Drain" || text.contains(kept), "{kept} is missing:\n{text}");
    }
    let last = trace.last(usize::MAX).join("\n");
    assert!(last.lines().count() + 1 == text.lines().count() && !last.contains("a=ice-ufrag"), "{last}");
    let replayed = replay(&text).unwrap_or_else(|differs| panic!("{differs}\n{text}"));
    assert!(replayed.beyond == 0 && replayed.outputs > 20, "{replayed:?}");
}

#[test]
fn a_trace_is_bounded_and_notes_what_was_dropped() {
    let room = Room { entries: 100, bytes: 64 << 10 };
    let (mut core, trace) = traced(&secretive(), room);
    let mut at = 0;
    join(&mut core, &mut at);
    assert!(replay(&trace.text()).is_ok());
    let generation = core.generation();
    let long = "x".repeat(20_000);
    for n in 0..1_000 {
        feed(&mut core, &mut at, [Input::LocalCandidate { generation, peer: PeerKind::Publisher, json: long.clone() }]);
        assert!(trace.text().len() < 2 * room.bytes, "{n}");
    }
    let text = trace.text();
    assert!(text.lines().count() <= room.entries + 1 && trace.last(3).len() == 3);
    let replay_error = replay(&text).unwrap_err().to_string();
    assert!(
        replay_error.starts_with("line 1: the first ") && replay_error.contains("entries were dropped"),
        "{replay_error}"
    );
    // An entry that exceeds the whole limit leaves a note.
    let (mut core, trace) = traced(&secretive(), room);
    feed(
        &mut core,
        &mut 0,
        [Input::Start, Input::LocalCandidate { generation, peer: PeerKind::Publisher, json: "x".repeat(1 << 20) }],
    );
    let replay_error = replay(&trace.text()).unwrap_err().to_string();
    assert!(replay_error.contains("too large"), "{replay_error}");
}

#[test]
fn another_decision_is_found_where_it_is() {
    let (mut core, trace) = traced(&secretive(), MUCH);
    join(&mut core, &mut 0);
    let text = trace.text();
    let at = text.lines().position(|line| line.contains("OpenSocket")).expect("a socket is opened");
    let changed: String = text.lines().map(|line| line.replace("\"attempt\":0", "\"attempt\":7") + "\n").collect();
    let differs = replay(&changed).unwrap_err();
    assert_eq!(differs.line, at + 1, "{differs}");
    assert!(differs.what.contains("the output is") && differs.what.contains("; the trace has"), "{differs}");
}

#[test]
fn a_flood_of_late_offers_leaves_the_trace_its_room() {
    let (mut core, trace) = traced(&secretive(), Room { entries: 10_000, bytes: 2 << 20 });
    let mut at = 0;
    join(&mut core, &mut at);
    let generation = core.generation();
    let offer = |n: u32| Input::Message {
        generation,
        message: SfuMessage::SubscriberOffer {
            sdp: format!("v=0\r\no=- {n} 2 IN IP4 127.0.0.1\r\n{}", "a=x\r\n".repeat(2_000)),
            negotiation_id: n,
            ice_restart: false,
        },
    };
    // One that is not late is recorded with its text.
    feed(&mut core, &mut at, [offer(1)]);
    let before = trace.text().len();
    assert!(before > 10_000);
    feed(&mut core, &mut at, [Input::ClosePeer(PeerKind::Subscriber)]);
    feed(&mut core, &mut at, (2..1_002).map(offer));
    assert!(trace.text().len() < before + 400 * 1_000, "{}", trace.text().len());
    assert!(core.counters().late_offers >= 1_000);
    let replayed = replay(&trace.text()).expect("the same decisions");
    assert!(replayed.inputs > 1_000);
    // After the end, too.
    feed(&mut core, &mut at, [Input::Leave { reason: String::new() }]);
    feed(&mut core, &mut at, (1_002..2_002).map(offer));
    assert!(replay(&trace.text()).is_ok());
}
