//! Media through the SFU: str0m clients publish Opus and receive each other.

mod support;

use offhook_proto::{event::sfu_event::EventPayload, models::TrackType};
use offhook_sfu::{Config, Sfu};
use std::time::Duration;
use support::{
    media::{self, Peer, Way},
    within, Client,
};

fn mids(sdp: &str) -> Vec<String> {
    sdp.lines().filter_map(|l| l.trim().strip_prefix("a=mid:")).map(str::to_owned).collect()
}

async fn publish_audio(client: &Client) -> Peer {
    media::publish_audio(client, Way::UDP).await.0
}

async fn subscribe(client: &mut Client) -> (Peer, String) {
    media::subscribe(client, Way::UDP).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opus_both_ways() {
    let sfu = Sfu::start(Config::default()).await.unwrap();
    let mut alice = Client::join(sfu.url(), "alice", "c1").await;
    let mut bob = Client::join(sfu.url(), "bob", "c1").await;
    assert!(bob.join.call_state.as_ref().unwrap().participants.len() == 2, "self is in the snapshot");
    let joined = alice
        .wait("participant_joined", |e| match e {
            EventPayload::ParticipantJoined(j) => j.participant.clone(),
            _ => None,
        })
        .await;
    assert_eq!(joined.user_id, "bob");

    let alice_sends = publish_audio(&alice).await;
    let published = bob
        .wait("track_published", |e| if let EventPayload::TrackPublished(t) = e { Some(t.clone()) } else { None })
        .await;
    assert_eq!(published.r#type, TrackType::Audio as i32);
    let participant = published.participant.unwrap();
    assert_eq!(participant.published_tracks, [TrackType::Audio as i32]);
    let (mut bob_receives, sdp) = subscribe(&mut bob).await;
    let msid = format!("a=msid:{0}:TRACK_TYPE_AUDIO:1 {0}:TRACK_TYPE_AUDIO:1", participant.track_lookup_prefix);
    assert!(sdp.contains(&msid), "{sdp}");

    let bob_sends = publish_audio(&bob).await;
    let (mut alice_receives, _) = subscribe(&mut alice).await;
    for i in 0..100u64 {
        for (peer, name) in [(&alice_sends, b'a'), (&bob_sends, b'b')] {
            let payload = [vec![name, i as u8], vec![7; 60]].concat();
            peer.write(0, 100 + i, 960 * i as u32, payload, Some(if name == b'a' { -10 } else { -60 })).await;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for (receiver, name) in [(&mut bob_receives, b'a'), (&mut alice_receives, b'b')] {
        let first = receiver.packet().await;
        let mut last = first.clone();
        while last.payload[1] < 99 {
            last = receiver.packet().await;
            assert_eq!(last.payload[0], name);
        }
        let n = u64::from(last.payload[1] - first.payload[1]);
        assert_eq!(last.seq - first.seq, n, "numbering is continuous");
        assert_eq!(last.timestamp.wrapping_sub(first.timestamp), 960 * n as u32);
        assert_eq!(last.audio_level, Some(if name == b'a' { -10 } else { -60 }));
    }
    // Levels: alice is loud and dominant, bob is not.
    let levels = bob
        .wait("audio levels", |e| match e {
            EventPayload::AudioLevelChanged(l) => {
                l.audio_levels.iter().find(|l| l.user_id == "alice" && l.is_speaking).cloned()
            }
            _ => None,
        })
        .await;
    assert!((levels.level - 0.316).abs() < 0.02, "{}", levels.level);
    let dominant = bob
        .wait("dominant speaker", |e| match e {
            EventPayload::DominantSpeakerChanged(d) => Some(d.user_id.clone()),
            _ => None,
        })
        .await;
    assert_eq!(dominant, "alice");

    // Alice leaves: her m-line becomes inactive, and a later track of the same kind reuses it.
    alice.leave().await;
    let left =
        bob.wait("participant_left", |e| if let EventPayload::ParticipantLeft(l) = e { Some(l.clone()) } else { None });
    assert_eq!(left.await.participant.unwrap().user_id, "alice");
    let offer = bob.wait_offer().await;
    assert!(offer.sdp.contains("a=inactive") && !offer.sdp.contains("a=msid:"), "{}", offer.sdp);
    let answer = bob_receives.accept(offer.sdp).await;
    assert!(bob.answer(offer.negotiation_id, answer).await.error.is_none());
    let carol = Client::join(sfu.url(), "carol", "c1").await;
    let carol_sends = publish_audio(&carol).await;
    let offer = bob.wait_offer().await;
    assert_eq!(mids(&offer.sdp).len(), 1, "the m-line is reused: {}", offer.sdp);
    let answer = bob_receives.accept(offer.sdp).await;
    assert!(bob.answer(offer.negotiation_id, answer).await.error.is_none());
    within("carol's packets", async {
        for i in 0u64.. {
            carol_sends.write(0, i, 960 * i as u32, vec![b'c'; 40], Some(-20)).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            while let Ok(event) = bob_receives.events.try_recv() {
                if matches!(event, support::media::PeerEvent::Packet(p) if p.payload[0] == b'c') {
                    return;
                }
            }
        }
    })
    .await;
    sfu.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unanswered_offers_are_sent_again() {
    let sfu = Sfu::start(Config::default()).await.unwrap();
    let alice = Client::join(sfu.url(), "alice", "c1").await;
    let _sends = publish_audio(&alice).await;
    // The first offer is not sent. The first SendAnswer is neither answered nor applied.
    support::ctl(sfu.url(), "silent", serde_json::json!({"stage": "offer", "count": 1})).await;
    support::ctl(sfu.url(), "silent", serde_json::json!({"stage": "send_answer", "count": 1})).await;
    let mut bob = Client::join(sfu.url(), "bob", "c1").await;
    let offer = bob.wait_offer().await;
    let mut peer = Peer::new(&[]).await;
    let answer = peer.accept(offer.sdp.clone()).await;
    let lost = tokio::time::timeout(Duration::from_millis(200), bob.answer(offer.negotiation_id, answer)).await;
    assert!(lost.is_err());
    let again = bob.wait_offer().await;
    assert_eq!((again.negotiation_id, &again.sdp), (offer.negotiation_id, &offer.sdp), "the same offer");
    let answer = peer.accept(again.sdp).await;
    assert!(bob.answer(again.negotiation_id, answer).await.error.is_none());
    peer.connected().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_that_ends_while_offered_frees_its_m_line() {
    let sfu = Sfu::start(Config::default()).await.unwrap();
    let mut alice = Client::join(sfu.url(), "alice", "c1").await;
    let _sends = publish_audio(&alice).await;
    let mut bob = Client::join(sfu.url(), "bob", "c1").await;
    let first = bob.wait_offer().await;
    alice.leave().await;
    bob.wait("participant_left", |e| matches!(e, EventPayload::ParticipantLeft(_)).then_some(())).await;
    let mut peer = Peer::new(&[]).await;
    let answer = peer.accept(first.sdp.clone()).await;
    assert!(bob.answer(first.negotiation_id, answer).await.error.is_none());
    let carol = Client::join(sfu.url(), "carol", "c1").await;
    let sends = publish_audio(&carol).await;
    // Carol's track reuses the first m-line after it became inactive, or gets a new one. Either way it is offered.
    let prefix = bob.wait("track_published", |e| match e {
        EventPayload::TrackPublished(t) => t.participant.as_ref().map(|p| p.track_lookup_prefix.clone()),
        _ => None,
    });
    let prefix = prefix.await;
    loop {
        let offer = bob.wait_offer().await;
        let answer = peer.accept(offer.sdp.clone()).await;
        assert!(bob.answer(offer.negotiation_id, answer).await.error.is_none());
        if offer.sdp.contains(&format!("a=msid:{prefix}")) {
            break;
        }
    }
    peer.connected().await;
    for i in 0..50u64 {
        sends.write(0, 100 + i, 960 * i as u32, vec![b'c'; 40], Some(-10)).await;
    }
    assert_eq!(within("carol's audio", peer.packet()).await.payload[0], b'c');
    sfu.stop().await;
}
