//! Two local peer connections against each other: what must work.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rtp_flows_as_it_was_written() {
    let pair = Pair::new().await;
    let offer = pair.negotiate(&wanted(&["mic"]), |sdp| sdp).await;
    let writer = offer.writer("mic");
    assert_eq!(offer.mids, ["0"]);
    assert!(offer.sdp.contains("a=setup:passive") && !offer.sdp.contains("actpass"), "the SFU opens DTLS");
    pair.connected().await;
    // A track is reported only on its first packet, so the first packets are not counted.
    send_until(&writer, 65_000, || !pair.subscriber_observer.packets(0).is_empty()).await;
    let before = pair.subscriber_observer.packets(0).len();
    for i in 0..200u16 {
        let payload = Bytes::from(vec![i as u8; 1 + usize::from(i)]);
        let sequence = 65_400u16.wrapping_add(i);
        let timestamp = 0xffff_f000u32.wrapping_add(960 * u32::from(i));
        writer.send(RtpOut { sequence, timestamp, marker: i % 10 == 0, level_dbov: None, payload }).unwrap();
    }
    until("200 packets", || {
        pair.subscriber_observer.packets(0).iter().filter(|p| p.sequence.wrapping_sub(65_400) < 200).count() == 200
    })
    .await;
    let packets = pair.subscriber_observer.packets(0);
    let counted: Vec<_> = packets[before..].iter().filter(|p| p.sequence.wrapping_sub(65_400) < 200).collect();
    for (i, packet) in counted.iter().enumerate() {
        assert_eq!(packet.sequence, 65_400u16.wrapping_add(i as u16));
        assert_eq!(packet.timestamp, 0xffff_f000u32.wrapping_add(960 * i as u32));
        assert_eq!(packet.marker, i % 10 == 0);
        assert_eq!((packet.payload.len(), packet.payload[0]), (i + 1, i as u8));
        assert_eq!(packet.payload_type, 111);
    }
    let info = pair.subscriber_observer.infos().remove(0);
    assert_eq!((info.stream_id.as_str(), info.track_id.as_str()), ("mic:stream", "mic"));
    assert_eq!((info.mid.as_str(), info.rid.as_str(), info.clock_rate), ("0", "", 48_000));
    assert_eq!(info.mime.to_ascii_lowercase(), "audio/opus");
    assert_eq!((info.kind, info.ssrc), (MediaKind::Audio, packets[0].ssrc));
    let stats = pair.publisher.stats_json().unwrap();
    assert!(stats.contains("outbound-rtp") && stats.contains("candidate-pair"), "{stats}");
    for secret in ["127.0.0.1", crate::rtc::sdp::ice_ufrag(&offer.sdp), "ertificate"] {
        assert!(!stats.contains(secret), "{secret} is in {stats}");
    }
    pair.close().await;
    assert_eq!(pair.subscriber_observer.count(PeerState::Closed), 1);
    // Its reader wakes up at the end and drops it, asynchronously.
    until("the sink goes with the peer connection", || pair.subscriber_observer.tracks.lock()[0].lock().dropped).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracks_added_mid_session() {
    let pair = Pair::new().await;
    let first = pair.negotiate(&wanted(&["one"]), |sdp| sdp).await.writer("one");
    pair.connected().await;
    send_until(&first, 1, || !pair.subscriber_observer.packets(0).is_empty()).await;
    let all = wanted(&["one", "two", "three"]);
    let offer = pair.publisher.offer(&all).expect("an offer");
    let (second, third) = (offer.writer("two"), offer.writer("three"));
    let early = RtpOut { sequence: 1, timestamp: 1, payload: Bytes::from_static(b"early"), ..RtpOut::default() };
    second.send(early).expect("dropped silently before its negotiation");
    let offer = pair.answer(offer, |sdp| sdp).await;
    assert_eq!(offer.mids, ["0", "1", "2"]);
    send_until(&second, 100, || pair.subscriber_observer.infos().len() == 2).await;
    send_until(&third, 200, || pair.subscriber_observer.infos().len() == 3).await;
    send_until(&first, 300, || pair.subscriber_observer.packets(0).iter().any(|p| p.sequence >= 300)).await;
    let infos = pair.subscriber_observer.infos();
    let ids: Vec<_> = infos.iter().map(|info| (info.mid.as_str(), info.track_id.as_str())).collect();
    assert_eq!(ids, [("0", "one"), ("1", "two"), ("2", "three")], "nothing is reported twice");
    let twice = pair.publisher.offer(&wanted(&["one", "two", "two"]));
    assert_eq!(twice.expect_err("a track id is taken once").kind, EngineErrorKind::Invalid);
    assert!(pair.publisher.offer(&all).expect("an offer").senders.is_empty(), "nothing is given twice");
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_m_line_goes_inactive_and_comes_back_as_another_track() {
    let pair = Pair::new().await;
    let old = wanted(&["old"]);
    let writer = pair.negotiate(&old, |sdp| sdp).await.writer("old");
    pair.connected().await;
    send_until(&writer, 1, || !pair.subscriber_observer.packets(0).is_empty()).await;
    pair.negotiate(&old, |sdp| sdp.replace("a=sendonly", "a=inactive")).await;
    pair.negotiate(&old, |sdp| sdp.replace("old:stream old", "new:stream new")).await;
    send_until(&writer, 1000, || pair.subscriber_observer.packets(1).iter().any(|p| p.sequence >= 1000)).await;
    let infos = pair.subscriber_observer.infos();
    assert_eq!(infos.len(), 2);
    assert_eq!((infos[1].stream_id.as_str(), infos[1].track_id.as_str()), ("new:stream", "new"));
    until("the old sink is dropped", || pair.subscriber_observer.tracks.lock()[0].lock().dropped).await;
    // And the first one again: the engine knows its id already.
    pair.negotiate(&old, |sdp| sdp).await;
    send_until(&writer, 2000, || pair.subscriber_observer.packets(2).iter().any(|p| p.sequence >= 2000)).await;
    assert_eq!(pair.subscriber_observer.infos()[2].track_id, "old");
    until("the second sink is dropped", || pair.subscriber_observer.tracks.lock()[1].lock().dropped).await;
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_track_with_another_stream_id_is_reported_again() {
    let pair = Pair::new().await;
    let mic = wanted(&["mic"]);
    let writer = pair.negotiate(&mic, |sdp| sdp).await.writer("mic");
    pair.connected().await;
    send_until(&writer, 1, || !pair.subscriber_observer.packets(0).is_empty()).await;
    pair.negotiate(&mic, |sdp| sdp.replace("mic:stream mic", "other:stream mic")).await;
    send_until(&writer, 1000, || pair.subscriber_observer.packets(1).iter().any(|p| p.sequence >= 1000)).await;
    assert_eq!(pair.subscriber_observer.infos()[1].stream_id, "other:stream");
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ice_restarts_while_media_flows() {
    let pair = Pair::new().await;
    let mic = wanted(&["mic"]);
    let first = pair.negotiate(&mic, |sdp| sdp).await;
    let writer = first.writer("mic");
    pair.connected().await;
    send_until(&writer, 1, || !pair.subscriber_observer.packets(0).is_empty()).await;
    let second = pair.negotiate(&restarted(&mic), |sdp| sdp).await;
    let (old, new) = (crate::rtc::sdp::ice_ufrag(&first.sdp), crate::rtc::sdp::ice_ufrag(&second.sdp));
    assert_ne!(old, new);
    assert!(second.sdp.contains("a=candidate:"), "the sockets stay, so their candidates are in the offer");
    send_until(&writer, 5000, || {
        pair.subscriber_observer.packets(0).iter().filter(|p| p.sequence >= 5000).count() > 20
    })
    .await;
    assert!(!pair.publisher_observer.has(PeerState::Failed) && !pair.subscriber_observer.has(PeerState::Failed));
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolled_back_offer_leaves_no_trace() {
    let pair = Pair::new().await;
    let dropped = pair.publisher.offer(&wanted(&["one"])).unwrap();
    let first = dropped.writer("one");
    // The subscriber gets it as well, in an unusable form.
    let broken = dropped.sdp.replace("a=fingerprint", "a=finger").replace("passive", "actpass");
    pair.subscriber.answer(&broken, &[]).expect_err("no fingerprint");
    let offer = pair.negotiate(&wanted(&["one", "two"]), |sdp| sdp).await;
    assert_eq!(offer.senders.len(), 1);
    let second = offer.writer("two");
    assert_eq!(offer.mids.len(), 2);
    assert_eq!(crate::rtc::sdp::mids(&offer.sdp), offer.mids);
    pair.connected().await;
    send_until(&first, 1, || pair.subscriber_observer.infos().len() == 1).await;
    send_until(&second, 1, || pair.subscriber_observer.infos().len() == 2).await;
    // Mid-session as well, while the first two continue.
    let all = wanted(&["one", "two", "three"]);
    let third = pair.publisher.offer(&all).unwrap().writer("three");
    let offer = pair.negotiate(&all, |sdp| sdp).await;
    assert_eq!(crate::rtc::sdp::mids(&offer.sdp), offer.mids);
    send_until(&third, 1, || pair.subscriber_observer.infos().len() == 3).await;
    send_until(&first, 900, || pair.subscriber_observer.packets(0).iter().any(|p| p.sequence >= 900)).await;
    let ids: Vec<_> = pair.subscriber_observer.infos().into_iter().map(|info| info.track_id).collect();
    assert_eq!(ids, ["one", "two", "three"]);
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stereo_is_asked_for_where_it_is_offered() {
    let pair = Pair::new().await;
    let wide = AudioSenderSpec { stereo: true, dtx: true, ..spec("wide") };
    let offer = pair.publisher.offer(&Wanted { senders: vec![spec("mono"), wide], ..Wanted::default() }).unwrap();
    assert_eq!(offer.sdp.matches("usedtx=1").count(), 1);
    let answer = pair.subscriber.answer(&offer.sdp, &[]).expect("our own edit is accepted").sdp;
    let parts: Vec<&str> = answer.split("m=audio").collect();
    assert!(!parts[1].contains("stereo=1") && parts[2].contains("stereo=1"), "{answer}");
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_remote_peer_ends_dtls() {
    let pair = Pair::new().await;
    let mic = wanted(&["mic"]);
    let writer = pair.negotiate(&mic, |sdp| sdp).await.writer("mic");
    pair.connected().await;
    send_until(&writer, 1, || !pair.subscriber_observer.packets(0).is_empty()).await;
    close(&pair.publisher, &pair.publisher_observer).await;
    until("Closed is reported", || pair.subscriber_observer.has(PeerState::Closed)).await;
    pair.subscriber.close();
    until("no task is left", || pair.engine.live_tasks() == 0).await;
    assert_eq!(pair.subscriber_observer.count(PeerState::Closed), 1);
    assert_eq!(pair.subscriber_observer.states.lock().last(), Some(&PeerState::Closed));
}
