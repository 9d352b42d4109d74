//! Load test for a running SFU: pairs of sessions that publish Opus at 50 packets per second and receive each other.
//!
//! `cargo run -p offhook-sfu --example load -- http://127.0.0.1:PORT 50 10` for 50 sessions and 10 seconds.

#[path = "../tests/support/mod.rs"]
mod support;

use offhook_proto::models::{self, TrackType};
use std::time::{Duration, Instant};
use support::{
    media::{Kind, Peer, PeerEvent},
    Client,
};

struct Session {
    client: Client,
    sends: Peer,
    receives: Option<Peer>,
}

async fn publish(base: &str, n: usize) -> (Session, Duration, Duration) {
    let before = Instant::now();
    let client = Client::join(base, &format!("user-{n}"), &format!("load-{}", n / 2)).await;
    let joined = before.elapsed();
    let mut sends = Peer::new(&[Kind::Audio]).await;
    let offer = sends.offer().await;
    let mid = offer.lines().find_map(|l| l.trim().strip_prefix("a=mid:")).expect("a mid").to_owned();
    let track = models::TrackInfo { track_type: TrackType::Audio as i32, mid, ..Default::default() };
    let response = client.set_publisher(offer, vec![track]).await;
    sends.answered(response.sdp).await;
    sends.connected().await;
    (Session { client, sends, receives: None }, joined, before.elapsed())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let base = arguments.next().expect("the SFU's URL");
    let count: usize = arguments.next().map_or(50, |n| n.parse().expect("a number of sessions"));
    let seconds: u64 = arguments.next().map_or(10, |n| n.parse().expect("a number of seconds"));
    let (mut sessions, mut joins, mut connects) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..count {
        let (session, joined, connected) = publish(&base, n).await;
        sessions.push(session);
        joins.push(joined);
        connects.push(connected);
    }
    for session in &mut sessions {
        let mut peer = Peer::new(&[]).await;
        let offer = session.client.wait_offer().await;
        let answer = peer.accept(offer.sdp).await;
        session.client.answer(offer.negotiation_id, answer).await;
        peer.connected().await;
        session.receives = Some(peer);
    }
    joins.sort();
    connects.sort();
    println!("joined p50 {:?}, publisher connected p50 {:?}", joins[count / 2], connects[count / 2]);
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let mut received = 0u64;
    let begin = Instant::now();
    for i in 0..seconds * 50 {
        tick.tick().await;
        for session in &mut sessions {
            session.sends.write(0, i, 960 * i as u32, vec![0x78; 160], Some(-20)).await;
            while let Ok(event) = session.receives.as_mut().expect("a subscriber").events.try_recv() {
                received += u64::from(matches!(event, PeerEvent::Packet(_)));
            }
        }
    }
    let sent = seconds * 50 * count as u64;
    println!("{sent} packets sent, {received} received in {:?}", begin.elapsed());
}
