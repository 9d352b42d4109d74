//! Video through the SFU: subscriptions, key frame requests, retransmission, simulcast layers, migration of media.

mod support;

use offhook_proto::{
    models::{self, TrackType},
    signal,
};
use offhook_sfu::{Config, Sfu};
use serde_json::{json, Value};
use std::time::Duration;
use support::{
    ctl, join_request,
    media::{Kind, Peer, PeerEvent},
    until, within, Client,
};

fn mids(sdp: &str) -> Vec<String> {
    sdp.lines().filter_map(|l| l.trim().strip_prefix("a=mid:")).map(str::to_owned).collect()
}

fn layer(rid: &str, width: u32) -> models::VideoLayer {
    let video_dimension = Some(models::VideoDimension { width, height: width * 9 / 16 });
    models::VideoLayer { rid: rid.into(), video_dimension, ..Default::default() }
}

async fn publish(client: &Client, kind: Kind) -> Peer {
    let mut peer = Peer::new(&[kind]).await;
    let offer = peer.offer().await;
    let track = models::TrackInfo {
        track_type: TrackType::Video as i32,
        mid: mids(&offer)[0].clone(),
        layers: vec![layer("q", 320), layer("h", 640), layer("f", 1280)],
        ..Default::default()
    };
    let response = client.set_publisher(offer, vec![track]).await;
    assert!(response.error.is_none(), "{:?}", response.error);
    peer.answered(response.sdp).await;
    peer.connected().await;
    peer
}

async fn subscribe(client: &Client, to: &Client, width: u32) {
    let details = signal::TrackSubscriptionDetails {
        user_id: to.user.clone(),
        session_id: to.session_id.clone(),
        track_type: TrackType::Video as i32,
        dimension: Some(models::VideoDimension { width, height: width * 9 / 16 }),
    };
    let request = signal::UpdateSubscriptionsRequest { session_id: client.session_id.clone(), tracks: vec![details] };
    let answer: signal::UpdateSubscriptionsResponse = client.rpc("UpdateSubscriptions", &request).await;
    assert!(answer.error.is_none());
}

async fn answer(client: &mut Client, peer: &mut Peer) -> String {
    let offer = client.wait_offer().await;
    let sdp = peer.accept(offer.sdp.clone()).await;
    assert!(client.answer(offer.negotiation_id, sdp).await.error.is_none());
    offer.sdp
}

/// A VP8 payload: key frame or not, with a marker byte for the test.
fn vp8(key: bool, mark: u8) -> Vec<u8> {
    vec![0x10, u8::from(!key), mark, 1, 2, 3, 4, 5]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn video_on_subscription_with_retransmission() {
    let sfu = Sfu::start(Config::default()).await.unwrap();
    let ann = Client::join(sfu.url(), "ann", "c").await;
    let mut ben = Client::join(sfu.url(), "ben", "c").await;
    let mut camera = publish(&ann, Kind::Video).await;
    let mut screen = Peer::new(&[]).await;
    // The camera is already sending when a subscriber joins: the SFU requests a key frame.
    for i in 0..3u64 {
        camera.write(0, i, i as u32 * 3000, vp8(i == 0, 0), None).await;
    }
    until(sfu.url(), "packets of the camera", |s| s.to_string().contains("\"packets\":3")).await;
    subscribe(&ben, &ann, 640).await;
    let sdp = answer(&mut ben, &mut screen).await;
    assert!(sdp.contains(":TRACK_TYPE_VIDEO:1"), "{sdp}");
    screen.connected().await;
    camera.keyframe_requested().await;
    camera.write(0, 3, 9000, vp8(true, 0), None).await;
    let packet = screen.packet().await;
    // The client's key frame requests reach the publisher. Requests in quick succession are merged.
    within("a PLI passed on", async {
        loop {
            screen.request_keyframe(packet.ssrc).await;
            if tokio::time::timeout(Duration::from_millis(100), camera.keyframe_requested()).await.is_ok() {
                return;
            }
        }
    })
    .await;
    // Downstream loss: all packets still arrive, through NACK and RTX.
    ctl(sfu.url(), "lossy", json!({"user_id": "ben", "down": 5.0, "seed": 3})).await;
    let mut marks = std::collections::HashSet::new();
    within("all packets", async {
        for i in 0..200u64 {
            camera.write(0, 4 + i, i as u32 * 3000, vp8(false, i as u8), None).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        while marks.len() < 200 {
            let packet = screen.packet().await;
            marks.insert(packet.payload[2]);
        }
    })
    .await;
    let seen = support::state(sfu.url()).await;
    let legs = seen["rooms"][0]["participants"].as_array().unwrap().iter().find(|p| p["user_id"] == "ben").unwrap();
    assert!(legs["legs"][0]["subscriber"]["lost_down"].as_u64().unwrap() > 0, "the loss was real");
    // Unsubscribing makes the m-line inactive.
    let none = signal::UpdateSubscriptionsRequest { session_id: ben.session_id.clone(), tracks: vec![] };
    let _: signal::UpdateSubscriptionsResponse = ben.rpc("UpdateSubscriptions", &none).await;
    assert!(answer(&mut ben, &mut screen).await.contains("a=inactive"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simulcast_layers_by_size() {
    let sfu = Sfu::start(Config::default()).await.unwrap();
    let ann = Client::join(sfu.url(), "ann", "c").await;
    let mut ben = Client::join(sfu.url(), "ben", "c").await;
    let camera = publish(&ann, Kind::Simulcast).await;
    let mut screen = Peer::new(&[]).await;
    subscribe(&ben, &ann, 300).await;
    answer(&mut ben, &mut screen).await;
    screen.connected().await;
    let mut seq = 0u64;
    let mut last = None;
    for (width, mark) in [(300, b'q'), (1280, b'f'), (600, b'h')] {
        subscribe(&ben, &ann, width).await;
        within("the layer asked for", async {
            loop {
                seq += 1;
                for rid in ["q", "h", "f"] {
                    let payload = vp8(seq.is_multiple_of(5), rid.as_bytes()[0]);
                    camera.write_layer(0, rid, seq, seq as u32 * 3000, payload).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
                while let Ok(event) = screen.events.try_recv() {
                    let PeerEvent::Packet(packet) = event else { continue };
                    let (before, ssrc) = last.unwrap_or((packet.seq - 1, packet.ssrc));
                    assert_eq!((packet.seq, packet.ssrc), (before + 1, ssrc), "one unbroken stream");
                    last = Some((packet.seq, packet.ssrc));
                    if packet.payload[2] == mark {
                        return;
                    }
                }
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_goes_on_through_fast_and_migrate() {
    let sfu = Sfu::start(Config::default()).await.unwrap();
    let ann = Client::join(sfu.url(), "ann", "c").await;
    let mut ben = Client::join(sfu.url(), "ben", "c").await;
    let camera = publish(&ann, Kind::Video).await;
    let mut screen = Peer::new(&[]).await;
    subscribe(&ben, &ann, 640).await;
    answer(&mut ben, &mut screen).await;
    screen.connected().await;
    camera.write(0, 1, 0, vp8(true, 1), None).await;
    let first = screen.packet().await;

    // FAST: same peer connections, ICE restarted on both.
    ctl(sfu.url(), "drop_ws", json!({"user_id": "ben"})).await;
    within("the end", async { while ben.next().await.is_some() {} }).await;
    let mut request = join_request(&ben.token, &ben.session_id);
    #[allow(deprecated)]
    {
        request.fast_reconnect = true;
    }
    let mut ben = Client::connect("ben", &ben.ws, &ben.rpc, request).await;
    assert!(ben.join.reconnected);
    let offer = ben.wait_offer().await;
    assert!(offer.ice_restart);
    let sdp = screen.accept(offer.sdp).await;
    assert!(ben.answer(offer.negotiation_id, sdp).await.error.is_none());
    let restart = camera.offer().await;
    let track =
        models::TrackInfo { track_type: TrackType::Video as i32, mid: mids(&restart)[0].clone(), ..Default::default() };
    let response = ann.set_publisher(restart, vec![track]).await;
    assert!(response.error.is_none() && response.ice_restart, "{response:?}");
    camera.answered(response.sdp).await;
    within("media after FAST", async {
        for i in 2u64.. {
            camera.write(0, i, i as u32 * 3000, vp8(true, 2), None).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Ok(event) = screen.events.try_recv() {
                if matches!(event, PeerEvent::Packet(p) if p.ssrc == first.ssrc && p.seq > first.seq) {
                    return;
                }
            }
        }
    })
    .await;

    // MIGRATE: a new publisher at the other SFU feeds the same stream of the same subscriber.
    let mut request = join_request("", &ann.session_id);
    request.reconnect_details = Some(offhook_proto::event::ReconnectDetails { strategy: 4, ..Default::default() });
    let moved = Client::join_as(sfu.url(), "ann", "c", json!({"migrating_from": "sfu-a"}), request).await;
    let second = publish(&moved, Kind::Video).await;
    within("media after MIGRATE", async {
        for i in 0u64.. {
            second.write(0, i, i as u32 * 3000, vp8(true, 99), None).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            while let Ok(event) = screen.events.try_recv() {
                if matches!(event, PeerEvent::Packet(p) if p.payload[2] == 99 && p.ssrc == first.ssrc) {
                    return;
                }
            }
        }
    })
    .await;
    let seen = support::state(sfu.url()).await;
    let of_ann = seen["rooms"][0]["participants"].as_array().unwrap().iter().find(|p| p["user_id"] == "ann").unwrap();
    assert_eq!(of_ann["edge"], "sfu-b");
    assert_eq!(of_ann["tracks"].as_array().map(Vec::len), Some(1));
    assert_ne!(of_ann["legs"], Value::Null);
}
