//! Tests every control API call from a client's point of view.

mod support;

use offhook_proto::{
    event::{self, sfu_event::EventPayload},
    models::{TrackType, WebsocketReconnectStrategy as Strategy},
};
use offhook_sfu::{Config, Sfu};
use serde_json::{json, Value};
use std::time::{Duration, Instant};
use support::{ctl, join_call, join_request, session, state, try_http, until, within, Client};
use tokio::time::timeout;

/// Long enough that an answer over loopback would have arrived.
const SILENCE: Duration = Duration::from_millis(300);

async fn start() -> Sfu {
    Sfu::start(Config { keep: Duration::from_millis(1500), ..Config::default() }).await.unwrap()
}

fn is_offer(event: &EventPayload) -> Option<event::SubscriberOffer> {
    match event {
        EventPayload::SubscriberOffer(offer) => Some(offer.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn late_offers() {
    let sfu = start().await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    let answer = ctl(sfu.url(), "late_offer", json!({"user_id": "ann", "count": 1000, "wait": true})).await;
    assert_eq!(answer["accepted"], 1000);
    let mut last = 0;
    for _ in 0..1000 {
        let offer = ann.wait("an offer", is_offer).await;
        assert!(offer.negotiation_id > last && offer.sdp.contains("m=audio"));
        last = offer.negotiation_id;
    }
    let seen =
        until(sfu.url(), "the count", |s| session(s, &ann.session_id).unwrap()["late_offers_sent"] == 1000).await;
    assert_eq!(session(&seen, &ann.session_id).unwrap()["late_offers_after_leave"], 0);
    // An answer to a late offer is ignored and counted.
    assert!(ann.answer(last, "v=0".into()).await.error.is_none());
    assert_eq!(session(&state(sfu.url()).await, &ann.session_id).unwrap()["answers_stale"], 1);
    // Late offers at the moment of the leave.
    let id = ann.session_id.clone();
    let armed = json!({"session_id": id, "count": 50, "delay_ms": 1, "when": "leave"});
    ctl(sfu.url(), "late_offer", armed).await;
    ann.leave().await;
    for _ in 0..50 {
        ann.wait("an offer after LeaveCall", is_offer).await;
    }
    // After the session has ended, on the socket that is still open.
    let answer = ctl(sfu.url(), "late_offer", json!({"session_id": id, "count": 5, "wait": true})).await;
    assert_eq!(answer["accepted"], 5);
    for _ in 0..5 {
        ann.wait("an offer for a session gone", is_offer).await;
    }
    let seen = state(sfu.url()).await;
    let record = session(&seen, &id).unwrap();
    assert_eq!(record["late_offers_after_leave"], 55);
    assert_eq!(record["late_offers_asked"], 1055);
    assert_eq!(seen["rooms"], json!([]));
    // Once the client has closed, nothing is sent and nothing is counted.
    let _ = ann.sender.close().await;
    within("the close", async { while ann.next().await.is_some() {} }).await;
    within("the SFU's end", async {
        while ctl(sfu.url(), "late_offer", json!({"session_id": id, "wait": true})).await["accepted"] != 0 {}
    })
    .await;
    let a = state(sfu.url()).await;
    ctl(sfu.url(), "late_offer", json!({"session_id": id, "wait": true})).await;
    let b = state(sfu.url()).await;
    assert_eq!(session(&a, &id).unwrap()["late_offers_sent"], session(&b, &id).unwrap()["late_offers_sent"]);
}

#[tokio::test]
async fn silent_before_the_socket() {
    let sfu = start().await;
    let join = format!("{}/api/v2/video/call/default/c/join?user_id=u", sfu.url());
    for stage in ["tcp_accept", "join_http"] {
        ctl(sfu.url(), "silent", json!({"stage": stage, "count": 1})).await;
        assert!(timeout(SILENCE, try_http("POST", &join, &[], b"{}")).await.is_err(), "{stage} answered");
        assert_eq!(join_call(sfu.url(), "u", "c", json!({})).await.status, 201, "{stage} is over");
    }
    let answer = join_call(sfu.url(), "u", "c", json!({})).await.json();
    let ws = answer["credentials"]["server"]["ws_endpoint"].as_str().unwrap().to_owned();
    ctl(sfu.url(), "silent", json!({"stage": "ws_upgrade"})).await;
    assert!(timeout(SILENCE, support::websocket(&ws)).await.is_err());
    ctl(sfu.url(), "reset", json!({})).await;
    within("an upgrade", support::websocket(&ws)).await;
    ctl(sfu.url(), "silent", json!({"stage": "join_response", "user_id": "u"})).await;
    assert!(timeout(SILENCE, Client::join(sfu.url(), "u", "c")).await.is_err());
    Client::join(sfu.url(), "another", "c").await;
}

#[tokio::test]
async fn silent_rpcs() {
    let sfu = start().await;
    let ann = Client::join(sfu.url(), "ann", "c").await;
    let ben = Client::join(sfu.url(), "ben", "c").await;
    ctl(sfu.url(), "silent", json!({"stage": "set_publisher", "count": 1, "user_id": "ann"})).await;
    assert!(ben.set_publisher("x".into(), vec![]).await.error.is_some(), "others are answered");
    assert!(timeout(SILENCE, ann.set_publisher("x".into(), vec![])).await.is_err());
    assert!(ann.set_publisher("x".into(), vec![]).await.error.is_some(), "once only");
    ctl(sfu.url(), "silent", json!({"stage": "send_answer"})).await;
    assert!(timeout(SILENCE, ann.answer(1, "x".into())).await.is_err());
}

#[tokio::test]
async fn refusals() {
    let sfu = start().await;
    let refusal = json!({"http_status": 429, "code": 9, "message": "slow down", "retry_after": 2, "count": 1});
    ctl(sfu.url(), "refuse_join", refusal).await;
    let refused = join_call(sfu.url(), "u", "c", json!({})).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("2")));
    assert_eq!(refused.json()["message"], "slow down");
    ctl(sfu.url(), "expire_tokens", json!({"count": 1})).await;
    let refused = join_call(sfu.url(), "u", "c", json!({})).await;
    assert_eq!((refused.status, &refused.json()["code"]), (401, &json!(40)));
    let full = json!({"code": 700, "message": "full", "count": 1, "edge": "sfu-a"});
    ctl(sfu.url(), "join_error", full).await;
    let answer = join_call(sfu.url(), "u", "c", json!({})).await.json();
    let (mut sender, mut receiver) =
        support::websocket(answer["credentials"]["server"]["ws_endpoint"].as_str().unwrap()).await;
    let request = join_request(answer["credentials"]["token"].as_str().unwrap(), "s");
    let request = offhook_proto::event::sfu_request::RequestPayload::JoinRequest(request);
    let bytes = prost::Message::encode_to_vec(&event::SfuRequest { request_payload: Some(request) });
    sender.send_binary(bytes).await.unwrap();
    sender.flush().await.unwrap();
    let refused = within("an error", support::next_event(&mut receiver)).await.unwrap();
    let EventPayload::Error(error) = refused else { panic!("{refused:?}") };
    assert_eq!(error.error.unwrap().message, "full");
    let moved = json!({"migrating_from": "sfu-a", "migrating_from_list": ["sfu-a"]});
    let client = Client::join_as(sfu.url(), "u", "c", moved, join_request("", "s")).await;
    assert!(client.ws.contains("sfu-b"));
}

async fn reconnect(client: &Client, strategy: Strategy, attempt: u32) -> Client {
    let mut request = join_request(&client.token, &client.session_id);
    request.reconnect_details = Some(event::ReconnectDetails {
        strategy: strategy as i32,
        reconnect_attempt: attempt,
        reason: "test".into(),
        ..Default::default()
    });
    Client::connect(&client.user, &client.ws, &client.rpc, request).await
}

#[tokio::test]
async fn dropped_sockets_and_fast() {
    let sfu = start().await;
    let mut watcher = Client::join(sfu.url(), "watcher", "c").await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    for drop in
        [json!({"user_id": "ann"}), json!({"user_id": "ann", "hard": true}), json!({"user_id": "ann", "code": 1011})]
    {
        assert_eq!(ctl(sfu.url(), "drop_ws", drop.clone()).await["sessions"], 1);
        within("the end", async { while ann.next().await.is_some() {} }).await;
        ann = reconnect(&ann, Strategy::Fast, 0).await;
        assert!(ann.join.reconnected, "{drop}");
    }
    let seen = state(sfu.url()).await;
    assert_eq!(session(&seen, &ann.session_id).unwrap()["sockets"], 4);
    assert!(!watcher.seen.iter().any(|e| matches!(e, EventPayload::ParticipantLeft(_))));
    // Without a reconnect in time, the participant is removed.
    ctl(sfu.url(), "drop_ws", json!({"user_id": "ann"})).await;
    let left = |e: &EventPayload| matches!(e, EventPayload::ParticipantLeft(_)).then_some(());
    watcher.wait("participant_left", left).await;
    assert!(!reconnect(&ann, Strategy::Fast, 0).await.join.reconnected);
}

#[tokio::test]
async fn rejoin_replaces_the_old_session() {
    let sfu = start().await;
    let ann = Client::join(sfu.url(), "ann", "c").await;
    let mut request = join_request("", "second");
    request.reconnect_details = Some(event::ReconnectDetails {
        strategy: Strategy::Rejoin as i32,
        previous_session_id: ann.session_id.clone(),
        ..Default::default()
    });
    let again = Client::join_as(sfu.url(), "ann", "c", json!({}), request).await;
    let people = again.join.call_state.unwrap().participants;
    assert_eq!(people.len(), 1, "no ghost");
    assert_eq!(people[0].session_id, "second");
}

#[tokio::test]
async fn migration() {
    let sfu = start().await;
    let mut watcher = Client::join(sfu.url(), "watcher", "c").await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    ctl(sfu.url(), "go_away", json!({"user_id": "ann", "reason": 2})).await;
    ann.wait("go_away", |e| matches!(e, EventPayload::GoAway(g) if g.reason == 2).then_some(())).await;
    let mut request = join_request("", &ann.session_id);
    request.reconnect_details = Some(event::ReconnectDetails {
        strategy: Strategy::Migrate as i32,
        from_sfu_id: "sfu-a".into(),
        ..Default::default()
    });
    let body = json!({"migrating_from": "sfu-a", "migrating_from_list": ["sfu-a"]});
    let moved = Client::join_as(sfu.url(), "ann", "c", body, request).await;
    let of_ann = |j: &event::JoinResponse| {
        let people = &j.call_state.as_ref().unwrap().participants;
        people.iter().find(|p| p.user_id == "ann").unwrap().track_lookup_prefix.clone()
    };
    assert_eq!(of_ann(&moved.join), of_ann(&ann.join), "the prefix stays");
    let complete = |e: &EventPayload| matches!(e, EventPayload::ParticipantMigrationComplete(_)).then_some(());
    ann.wait("participant_migration_complete on the old socket", complete).await;
    ann.sender.close().await.unwrap();
    within("the old socket's end", async { while ann.next().await.is_some() {} }).await;
    until(sfu.url(), "one leg", |s| {
        let people = s["rooms"][0]["participants"].as_array().unwrap();
        people.iter().any(|p| p["user_id"] == "ann" && p["edge"] == "sfu-b" && p["legs"].as_array().unwrap().len() == 1)
    })
    .await;
    ctl(sfu.url(), "error", json!({"user_id": "watcher", "code": 500, "strategy": 3, "message": "m"})).await;
    let got = watcher
        .wait("an error", |e| match e {
            EventPayload::Error(e) => Some((e.reconnect_strategy, e.error.clone().unwrap().code)),
            _ => None,
        })
        .await;
    assert_eq!(got, (3, 500));
    let others: Vec<&EventPayload> =
        watcher.seen.iter().filter(|e| matches!(e, EventPayload::ParticipantLeft(_))).collect();
    assert!(others.is_empty(), "others see no leave: {others:?}");
}

#[tokio::test]
async fn a_dead_edge() {
    let sfu = start().await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    assert_eq!(ctl(sfu.url(), "kill_edge", json!({"edge": "sfu-a"})).await["sessions"], 1);
    within("the end", async { while ann.next().await.is_some() {} }).await;
    let url = format!("{}/stream.video.sfu.signal.SignalServer/SendStats", ann.rpc);
    let headers = [("content-type", "application/json")];
    assert!(within("a hang-up", try_http("POST", &url, &headers, b"{}")).await.is_none());
    let mut request = join_request("", &ann.session_id);
    request.reconnect_details =
        Some(event::ReconnectDetails { strategy: Strategy::Migrate as i32, ..Default::default() });
    let moved = Client::join_as(sfu.url(), "ann", "c", json!({"migrating_from": "sfu-a"}), request).await;
    assert!(moved.ws.contains("sfu-b"));
    ctl(sfu.url(), "revive_edge", json!({"edge": "sfu-a"})).await;
    assert!(try_http("POST", &url, &headers, b"{}").await.is_some());
    // A participant that does not reconnect is removed.
    let mut ben = Client::join(sfu.url(), "ben", "c").await;
    ctl(sfu.url(), "kill_edge", json!({"edge": "sfu-a"})).await;
    within("the end", async { while ben.next().await.is_some() {} }).await;
    until(sfu.url(), "ben has left", |s| s["rooms"][0]["participants"].as_array().unwrap().len() == 1).await;
}

#[tokio::test]
async fn moderation() {
    let sfu = start().await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    let mut ben = Client::join(sfu.url(), "ben", "c").await;
    ctl(sfu.url(), "pins", json!({"cid": "default:c", "sessions": [ben.session_id]})).await;
    let pins =
        ann.wait("pins", |e| if let EventPayload::PinsUpdated(p) = e { Some(p.pins.clone()) } else { None }).await;
    assert_eq!(pins[0].user_id, "ben");
    ctl(sfu.url(), "grants", json!({"user_id": "ann", "audio": false, "message": "hush"})).await;
    let grants =
        ann.wait("grants", |e| if let EventPayload::CallGrantsUpdated(g) = e { g.current_grants } else { None }).await;
    assert!(!grants.can_publish_audio && grants.can_publish_video);
    assert_eq!(ann.unmute(TrackType::Audio, false).await.error.unwrap().code, 403);
    let event = json!({"connectionQualityChanged": {"connectionQualityUpdates": [{"userId": "ben"}]}});
    ctl(sfu.url(), "send_event", json!({"user_id": "ann", "event": event})).await;
    ann.wait("any event", |e| matches!(e, EventPayload::ConnectionQualityChanged(_)).then_some(())).await;
    ctl(sfu.url(), "ice_restart", json!({"user_id": "ann"})).await;
    ann.wait("ice_restart", |e| matches!(e, EventPayload::IceRestart(r) if r.peer_type == 0).then_some(())).await;
    ctl(sfu.url(), "kick", json!({"user_id": "ben"})).await;
    ben.wait("call_ended", |e| matches!(e, EventPayload::CallEnded(c) if c.reason == 3).then_some(())).await;
    within("the end", async { while ben.next().await.is_some() {} }).await;
    ctl(sfu.url(), "call_ended", json!({"cid": "default:c"})).await;
    ann.wait("call_ended", |e| matches!(e, EventPayload::CallEnded(c) if c.reason == 1).then_some(())).await;
    within("the end", async { while ann.next().await.is_some() {} }).await;
    assert_eq!(state(sfu.url()).await["rooms"], json!([]));
}

#[tokio::test]
async fn slow_answers() {
    let sfu = start().await;
    ctl(sfu.url(), "slow", json!({"ms": 200})).await;
    let before = Instant::now();
    Client::join(sfu.url(), "ann", "c").await;
    assert!(before.elapsed() >= Duration::from_millis(400), "HTTP and socket are both slow");
    ctl(sfu.url(), "reset", json!({})).await;
}

#[tokio::test]
async fn strange_frames() {
    let sfu = start().await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    let id = ann.session_id.clone();
    // A valid message in three fragments of a binary frame, after a frame of garbage.
    let good = event::SfuEvent { event_payload: Some(EventPayload::GoAway(event::GoAway { reason: 1 })) };
    let base64 = |bytes: &[u8]| -> String {
        use base64::{engine::general_purpose::STANDARD, Engine};
        STANDARD.encode(bytes)
    };
    let garbage = json!({"session_id": id, "opcode": "binary", "base64": base64(&[0xff; 30])});
    ctl(sfu.url(), "raw_frame", garbage.clone()).await;
    let bytes = prost::Message::encode_to_vec(&good);
    let split = json!({"session_id": id, "opcode": "binary", "base64": base64(&bytes), "fragments": 3});
    assert_eq!(ctl(sfu.url(), "raw_frame", split).await["sessions"], 1);
    ann.wait("the fragmented message", |e| matches!(e, EventPayload::GoAway(_)).then_some(())).await;
    // A header that claims 200 MiB: the test client refuses it.
    ctl(sfu.url(), "raw_frame", json!({"session_id": id, "opcode": 2, "base64": "AA==", "claim": 200u64 << 20})).await;
    let mut big = Client::join(sfu.url(), "big", "c").await;
    ctl(sfu.url(), "raw_frame", json!({"session_id": big.session_id, "size": 3 << 20, "seed": 4})).await;
    big.receiver = std::mem::replace(&mut big.receiver, support::websocket(&big.ws).await.1);
    let mut bytes = Vec::new();
    within("3 MiB", async {
        while bytes.len() < 3 << 20 {
            bytes.clear();
            big.receiver.receive_data(&mut bytes).await.unwrap();
        }
    })
    .await;
    let mut random = fastrand::Rng::with_seed(4);
    let mut expected = vec![0u8; 16 << 10];
    random.fill(&mut expected);
    assert_eq!(bytes[..expected.len()], expected[..]);
    assert_eq!(
        state(sfu.url()).await["rooms"][0]["participants"].as_array().map(Vec::len),
        Some(2),
        "{:?}",
        Value::Null
    );
}
