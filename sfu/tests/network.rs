//! Network faults: frozen and half-open sockets, slow edges, delayed datagrams, and calls pinned to edges.

mod support;

use offhook_proto::{
    event::{self, sfu_event::EventPayload, sfu_request::RequestPayload},
    models::{self, TrackType},
};
use offhook_sfu::{Config, Sfu};
use serde_json::json;
use std::time::{Duration, Instant};
use support::{
    ctl, join_call,
    media::{Kind, Peer},
    within, Client,
};
use tokio::time::timeout;

/// Long enough that an answer over loopback would have arrived.
const SILENCE: Duration = Duration::from_millis(300);

async fn start() -> Sfu {
    Sfu::start(Config { keep: Duration::from_millis(1500), ..Config::default() }).await.unwrap()
}

fn went_away(event: &EventPayload) -> Option<i32> {
    if let EventPayload::GoAway(g) = event {
        Some(g.reason)
    } else {
        None
    }
}

fn health(event: &EventPayload) -> Option<()> {
    matches!(event, EventPayload::HealthCheckResponse(_)).then_some(())
}

async fn ping(client: &mut Client) {
    client.send(RequestPayload::HealthCheckRequest(event::HealthCheckRequest {})).await;
}

#[tokio::test]
async fn a_frozen_socket_delivers_everything_later() {
    let sfu = start().await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    let mut ben = Client::join(sfu.url(), "ben", "c").await;
    let begin = Instant::now();
    assert_eq!(ctl(sfu.url(), "freeze_ws", json!({"user_id": "ann", "ms": 600})).await["sessions"], 1);
    ctl(sfu.url(), "go_away", json!({"reason": 2})).await;
    ping(&mut ann).await;
    assert_eq!(ben.wait("go_away", went_away).await, 2, "others are not frozen");
    assert_eq!(ann.wait("go_away", went_away).await, 2);
    ann.wait("an answer", health).await;
    assert!(begin.elapsed() >= Duration::from_millis(600));
}

#[tokio::test]
async fn a_half_open_socket_loses_everything() {
    let sfu = start().await;
    let mut ann = Client::join(sfu.url(), "ann", "c").await;
    let frozen = json!({"user_id": "ann", "half_open": true, "ms": 500});
    assert_eq!(ctl(sfu.url(), "freeze_ws", frozen).await["sessions"], 1);
    ctl(sfu.url(), "go_away", json!({"reason": 1})).await;
    // Until the socket resumes. Messages sent in the meantime are not delivered later.
    tokio::time::sleep(Duration::from_millis(600)).await;
    ctl(sfu.url(), "go_away", json!({"reason": 2})).await;
    assert_eq!(ann.wait("go_away", went_away).await, 2, "the first one was lost");
    // Permanently: the client receives nothing, and another socket takes over.
    ctl(sfu.url(), "freeze_ws", json!({"user_id": "ann", "half_open": true})).await;
    ping(&mut ann).await;
    assert!(timeout(SILENCE, ann.next()).await.is_err(), "neither an answer nor an end");
    let mut request = support::join_request(&ann.token, &ann.session_id);
    request.reconnect_details = Some(event::ReconnectDetails {
        strategy: models::WebsocketReconnectStrategy::Fast as i32,
        ..Default::default()
    });
    let mut again = Client::connect("ann", &ann.ws, &ann.rpc, request).await;
    assert!(again.join.reconnected);
    ping(&mut again).await;
    again.wait("an answer", health).await;
}

#[tokio::test]
async fn one_edge_is_slow() {
    // Far longer than a quick join takes on a busy machine.
    const SLOW: Duration = Duration::from_secs(2);
    let sfu = start().await;
    ctl(sfu.url(), "pin_edge", json!({"user_id": "ben", "edge": "sfu-b"})).await;
    ctl(sfu.url(), "slow", json!({"ms": SLOW.as_millis() as u64, "edge": "sfu-a"})).await;
    let begin = Instant::now();
    let ben = Client::join(sfu.url(), "ben", "c").await;
    assert!(ben.ws.contains("/sfu-b/"), "{}", ben.ws);
    let quick = begin.elapsed();
    Client::join(sfu.url(), "ann", "c").await;
    assert!(begin.elapsed() >= quick + SLOW);
    assert!(quick < SLOW, "the other edge and the coordinator took {quick:?}");
}

#[tokio::test]
async fn the_reserve_edge_is_used_only_when_pinned() {
    let sfu = start().await;
    let edge = |user: &'static str, body| async {
        let answer = join_call(sfu.url(), user, "c", body).await.json();
        answer["credentials"]["server"]["edge_name"].as_str().unwrap().to_owned()
    };
    let all = json!({"migrating_from_list": ["sfu-a", "sfu-b", "sfu-c"]});
    assert_eq!(edge("ann", all.clone()).await, "sfu-a", "never the reserve");
    ctl(sfu.url(), "pin_edge", json!({"cid": "default:c", "edge": "sfu-c"})).await;
    assert_eq!(edge("ann", all).await, "sfu-c", "whatever is to be excluded");
    let client = Client::join(sfu.url(), "ann", "c").await;
    assert!(client.ws.contains("/sfu-c/"));
    // Killing another edge does not affect it.
    for other in ["sfu-a", "sfu-b"] {
        assert_eq!(ctl(sfu.url(), "kill_edge", json!({"edge": other})).await["sessions"], 0);
    }
    assert_eq!(ctl(sfu.url(), "kill_edge", json!({"edge": "sfu-c", "hide": true})).await["sessions"], 1);
    assert_eq!(edge("ann", json!({})).await, "sfu-a", "a hidden one is not named");
    ctl(sfu.url(), "reset", json!({})).await;
    assert_eq!(edge("ann", json!({})).await, "sfu-a", "pins are reset, too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_are_delayed() {
    let sfu = start().await;
    let ann = Client::join(sfu.url(), "ann", "c").await;
    let mut ben = Client::join(sfu.url(), "ben", "c").await;
    let mut sends = Peer::new(&[Kind::Audio]).await;
    let offer = sends.offer().await;
    let mid = offer.lines().find_map(|l| l.trim().strip_prefix("a=mid:")).unwrap().to_owned();
    let track = models::TrackInfo {
        track_id: "t".into(),
        track_type: TrackType::Audio as i32,
        mid,
        muted: true,
        ..Default::default()
    };
    sends.answered(ann.set_publisher(offer, vec![track]).await.sdp).await;
    assert!(ann.unmute(TrackType::Audio, false).await.error.is_none());
    sends.connected().await;
    let mut receives = Peer::new(&[]).await;
    let offer = ben.wait_offer().await;
    let answer = receives.accept(offer.sdp.clone()).await;
    assert!(ben.answer(offer.negotiation_id, answer).await.error.is_none());
    receives.connected().await;

    let mut seq = 100u64;
    for (rule, least) in [
        (json!({"user_id": "ben", "delay_down_ms": 250}), 250),
        (json!({"user_id": "ann", "delay_up_ms": 150, "delay_down_ms": 150}), 400),
    ] {
        ctl(sfu.url(), "lossy", rule).await;
        let begin = Instant::now();
        for i in 0..5 {
            sends.write(0, seq + i, 960 * (seq + i) as u32, vec![seq as u8 + i as u8; 40], Some(-10)).await;
        }
        for _ in 0..5 {
            let got = within("a packet", receives.packet()).await;
            assert_eq!(got.payload[0], seq as u8, "all of them, in order");
            assert!(begin.elapsed() >= Duration::from_millis(least), "{:?} < {least} ms", begin.elapsed());
            seq += 1;
        }
    }
    let url = format!("{}/ctl/lossy", sfu.url());
    let refused = support::http("POST", &url, &[], br#"{"delay_up_ms":9999}"#).await;
    assert_eq!(refused.status, 400);
}
