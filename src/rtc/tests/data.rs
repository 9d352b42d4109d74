//! Data channels against another WebRTC stack in place of the SFU, and senders that are removed.

use super::stack::{audio, feed, Sfu};
use super::*;
use str0m::channel::{ChannelConfig, ChannelId, Reliability};

/// Configuration of a channel that the other stack opens: `_lossy` without retransmissions.
fn config(label: &str) -> ChannelConfig {
    let lossy = label == "_lossy";
    ChannelConfig {
        label: label.to_owned(),
        ordered: !lossy,
        reliability: if lossy { Reliability::MaxRetransmits { retransmits: 0 } } else { Reliability::Reliable },
        ..ChannelConfig::default()
    }
}

fn channel(label: &str) -> DataChannelSpec {
    let lossy = label == "_lossy";
    DataChannelSpec { label: label.to_owned(), ordered: !lossy, max_retransmits: lossy.then_some(0) }
}

/// Message number `i`: some hundred bytes, every tenth 15 kB.
fn message(i: usize) -> Vec<u8> {
    let length = if i.is_multiple_of(10) { 15_000 } else { 100 + i };
    let mut message = vec![i as u8; length];
    message[..8].copy_from_slice(&(i as u64).to_be_bytes());
    message
}

/// Sends on a channel of the other stack, as soon as there is room.
async fn sfu_sends(sfu: &Sfu, id: ChannelId, message: Vec<u8>) {
    soon("room in the other stack", async {
        loop {
            let message = message.clone();
            let taken = sfu
                .with(move |rtc| rtc.channel(id).is_some_and(|mut c| c.write(true, &message).expect("a write")))
                .await;
            if taken {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Sends messages, numbered from `first`, over a reliable channel of the other stack and waits for them.
async fn sfu_to_us(sfu: &Sfu, id: ChannelId, observer: &Recorder, first: usize, count: usize) {
    observer.data.lock().clear();
    for i in first..first + count {
        sfu_sends(sfu, id, message(i)).await;
    }
    until("all messages", || observer.data.lock().len() >= count).await;
    let data = observer.data.lock();
    for (i, (label, got)) in data.iter().enumerate() {
        assert_eq!((label.as_str(), &got[..]), ("_reliable", &message(first + i)[..]), "message {i}");
    }
}

/// Sends messages, numbered from `first`, to the other stack and waits for them.
async fn us_to_sfu(writer: &Arc<dyn DataWriter>, sfu: &Sfu, first: usize, count: usize) {
    sfu.log.lock().data.clear();
    for i in first..first + count {
        soon("room", async {
            loop {
                match writer.send(message(i).into()) {
                    Ok(()) => return,
                    Err(e) => assert_eq!(e.kind, EngineErrorKind::Full, "{e}"),
                }
                assert!(writer.buffered() > 0);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    until("all messages", || sfu.log.lock().data.len() >= count).await;
    for (i, (_, got)) in sfu.log.lock().data.iter().enumerate() {
        assert_eq!(got, &message(first + i), "message {i}");
    }
}

fn with_channels(tracks: &[&str], labels: &[&str]) -> Wanted {
    Wanted { channels: labels.iter().map(|label| channel(label)).collect(), ..wanted(tracks) }
}

async fn negotiate(sfu: &Sfu, publisher: &Arc<dyn Peer>, wanted: &Wanted) -> LocalOffer {
    let offer = publisher.offer(wanted).expect("an offer");
    assert!(crate::rtc::sdp::mids_differ(&offer.sdp), "every m-line has a mid of its own: {}", offer.sdp);
    sfu.answer(publisher, &offer, |sdp| sdp).await;
    offer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_remote_peer_opens_channels_and_nothing_else() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
    let (ids, _) =
        sfu.offer(&subscriber, |api| ["_reliable", "_lossy"].map(|l| api.add_channel_with_config(config(l)))).await;
    until("both channels", || observer.channels.lock().len() == 2 && sfu.log.lock().channels.len() == 2).await;
    assert!(observer.has(PeerState::Connected));
    sfu_to_us(&sfu, ids[0], &observer, 0, 200).await;
    sfu_sends(&sfu, ids[1], b"lost or not".to_vec()).await;
    until("the lossy one", || observer.data.lock().iter().any(|(label, _)| label == "_lossy")).await;
    // Audio is added, and both survive an ICE restart.
    let (mid, _) = sfu.offer(&subscriber, |api| audio(api, "p1AUDIO", "a")).await;
    feed(&sfu, mid, 1, || observer.packets(0).len() > 20).await;
    sfu_to_us(&sfu, ids[0], &observer, 200, 50).await;
    sfu.offer(&subscriber, |api| drop(api.ice_restart(true))).await;
    sfu_to_us(&sfu, ids[0], &observer, 250, 50).await;
    feed(&sfu, mid, 5000, || observer.packets(0).iter().filter(|p| p.sequence >= 5000).count() > 20).await;
    assert_eq!(observer.channels.lock().len(), 2, "a channel is reported once");
    // The other stack ends DTLS.
    sfu.with(|rtc| drop(rtc.close())).await;
    until("Closed is reported", || observer.has(PeerState::Closed)).await;
    subscriber.close();
    until("no task is left", || engine.live_tasks() == 0).await;
    assert_eq!((observer.count(PeerState::Closed), observer.late.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_join_a_subscriber_that_has_audio() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
    let (mid, _) = sfu.offer(&subscriber, |api| audio(api, "p1AUDIO", "a")).await;
    until("connected", || observer.has(PeerState::Connected)).await;
    feed(&sfu, mid, 1, || observer.packets(0).len() > 5).await;
    let (id, _) = sfu.offer(&subscriber, |api| api.add_channel_with_config(config("_reliable"))).await;
    until("the channel", || sfu.log.lock().channels.len() == 1).await;
    sfu_to_us(&sfu, id, &observer, 0, 50).await;
    // It stays when the only other m-line is rejected.
    sfu.offer(&subscriber, move |api| api.stop_media(mid)).await;
    sfu_to_us(&sfu, id, &observer, 50, 50).await;
    close(&subscriber, &observer).await;
    until("no task is left", || engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_channels_are_offered_and_audio_joins() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (publisher, out) = peer(&engine, PeerKind::Publisher).await;
    let both = ["_reliable", "_lossy"];
    let offer = negotiate(&sfu, &publisher, &with_channels(&[], &both)).await;
    let (reliable, lossy) = (offer.channel("_reliable"), offer.channel("_lossy"));
    assert!(offer.mids.is_empty() && !offer.sdp.contains("m=audio"), "{}", offer.sdp);
    until("both are open", || reliable.is_open() && lossy.is_open()).await;
    until("both are reported", || out.channels.lock().len() == 2).await;
    us_to_sfu(&reliable, &sfu, 0, 200).await;
    until("all is acknowledged", || reliable.buffered() == 0).await;
    let large = reliable.send(vec![0; MAX_DATA_MESSAGE + 1].into()).expect_err("it is too large");
    assert_eq!(large.kind, EngineErrorKind::Invalid);
    lossy.send(Bytes::from_static(b"lost or not")).expect("it is taken");
    until("the lossy one", || sfu.log.lock().data.iter().any(|(_, data)| data == b"lost or not")).await;

    let mic = with_channels(&["mic"], &both);
    let offer = negotiate(&sfu, &publisher, &mic).await;
    assert_eq!(offer.mids, ["1"]);
    let writer = offer.writer("mic");
    send_until(&writer, 1, || sfu.log.lock().packets.len() > 20).await;
    us_to_sfu(&reliable, &sfu, 200, 50).await;
    negotiate(&sfu, &publisher, &restarted(&mic)).await;
    us_to_sfu(&reliable, &sfu, 250, 50).await;
    send_until(&writer, 5000, || sfu.log.lock().packets.iter().any(|p| p.0 >= 5000)).await;
    // One more channel on an existing association.
    let all = ["_reliable", "_lossy", "third"];
    let third = negotiate(&sfu, &publisher, &with_channels(&["mic"], &all)).await.channel("third");
    until("it is open", || third.is_open()).await;
    us_to_sfu(&third, &sfu, 0, 20).await;

    let offer = negotiate(&sfu, &publisher, &with_channels(&[], &all)).await;
    let late = RtpOut { sequence: 9, timestamp: 9, payload: Bytes::from_static(b"late"), ..RtpOut::default() };
    writer.send(late).expect("dropped silently");
    assert!(offer.mids.is_empty(), "{:?}", offer.mids);
    let audio = offer.sdp.split("m=").find(|part| part.starts_with("audio")).expect("the m-line stays");
    assert!(audio.contains("a=inactive"), "{audio}");
    us_to_sfu(&reliable, &sfu, 300, 50).await;
    // The id is free again.
    let offer = negotiate(&sfu, &publisher, &with_channels(&["mic"], &all)).await;
    assert_eq!(offer.mids, ["1"], "in the m-line of the one that ended");
    let writer = offer.writer("mic");
    let before = sfu.log.lock().packets.len();
    send_until(&writer, 9000, || sfu.log.lock().packets.len() > before + 5).await;
    assert!(sfu.log.lock().packets[before..].iter().all(|p| p.0 >= 9000), "nothing of the removed one");

    publisher.close();
    let late = reliable.send(Bytes::from_static(b"late")).expect_err("it is closed");
    assert_eq!((late.kind, reliable.is_open(), out.late.load(Ordering::SeqCst)), (EngineErrorKind::Closed, false, 0));
    until("no task is left", || engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audio_is_offered_and_channels_join_after_rollbacks() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (publisher, _) = peer(&engine, PeerKind::Publisher).await;
    let offer = negotiate(&sfu, &publisher, &wanted(&["one"])).await;
    assert_eq!(offer.mids, ["0"]);
    let first = offer.writer("one");
    send_until(&first, 1, || sfu.log.lock().packets.len() > 5).await;
    // Rolled back offers use up mids; the data channels' mid must not be one of those.
    let second = publisher.offer(&wanted(&["one", "two"])).expect("an offer").writer("two");
    let all = with_channels(&["one", "two"], &["_reliable"]);
    let reliable = publisher.offer(&all).expect("an offer").channel("_reliable");
    for _ in 0..3 {
        let offer = publisher.offer(&all).expect("an offer");
        assert!(crate::rtc::sdp::mids_differ(&offer.sdp), "{}", offer.sdp);
    }
    assert!(!reliable.is_open());
    assert_eq!(negotiate(&sfu, &publisher, &all).await.mids.len(), 2);
    until("it is open", || reliable.is_open()).await;
    us_to_sfu(&reliable, &sfu, 0, 50).await;
    // The engine does not roll back an ICE restart: the next offer carries it.
    publisher.offer(&restarted(&all)).expect("an offer");
    negotiate(&sfu, &publisher, &all).await;
    us_to_sfu(&reliable, &sfu, 50, 50).await;
    let fewer = with_channels(&["two"], &["_reliable"]);
    publisher.offer(&fewer).expect("an offer");
    assert_eq!(negotiate(&sfu, &publisher, &fewer).await.mids.len(), 1);
    us_to_sfu(&reliable, &sfu, 100, 50).await;
    let before = sfu.log.lock().packets.len();
    send_until(&second, 7000, || sfu.log.lock().packets.len() > before + 5).await;
    publisher.close();
    until("no task is left", || engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_send_buffer_is_bounded_and_close_ends_it() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (publisher, out) = peer(&engine, PeerKind::Publisher).await;
    let reliable = with_channels(&[], &["_reliable"]);
    let writer = negotiate(&sfu, &publisher, &reliable).await.channel("_reliable");
    until("it is open", || writer.is_open()).await;
    us_to_sfu(&writer, &sfu, 0, 20).await;
    // The remote peer vanishes without closing.
    drop(sfu);
    let mut taken = 0;
    let full = loop {
        match writer.send(message(0).into()) {
            Ok(()) => taken += 15_000,
            Err(e) => break e,
        }
        assert!(taken <= MAX_BUFFERED, "the send buffer is not bounded");
    };
    assert_eq!(full.kind, EngineErrorKind::Full, "{full}");
    let buffered = writer.buffered();
    assert!((MAX_BUFFERED / 2..=MAX_BUFFERED).contains(&buffered), "{buffered} of {taken}");
    close(&publisher, &out).await;
    assert_eq!(writer.buffered(), 0);
    assert_eq!(writer.send(Bytes::new()).expect_err("closed").kind, EngineErrorKind::Closed);
    assert_eq!(publisher.offer(&reliable).err().map(|e| e.kind), Some(EngineErrorKind::Closed));
    assert_eq!(out.count(PeerState::Closed), 1);
    until("no task is left", || engine.live_tasks() == 0).await;
}

/// Sends on the other stack until its window is closed: returns the number of messages, from `first` on, and their
/// bytes.
async fn fill(sfu: &Sfu, id: ChannelId, first: usize) -> (usize, usize) {
    let (mut sent, mut bytes, mut refused) = (0, 0, Instant::now());
    loop {
        let message = message(first + sent);
        let length = message.len();
        let taken =
            sfu.with(move |rtc| rtc.channel(id).is_some_and(|mut c| c.write(true, &message).expect("a write"))).await;
        if taken {
            (sent, bytes, refused) = (sent + 1, bytes + length, Instant::now());
            assert!(bytes < 8 << 20, "the window stays open: {sent} messages");
        } else if refused.elapsed() > Duration::from_millis(500) {
            return (sent, bytes);
        } else {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_closes_the_window_and_loses_nothing() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
    let (mid, _) = sfu.offer(&subscriber, |api| audio(api, "p1AUDIO", "a")).await;
    feed(&sfu, mid, 1, || observer.packets(0).len() > 5).await;
    let (id, _) = sfu.offer(&subscriber, |api| api.add_channel_with_config(config("_reliable"))).await;
    until("the channel", || sfu.log.lock().channels.len() == 1).await;
    sfu_to_us(&sfu, id, &observer, 0, 20).await;
    observer.data.lock().clear();
    observer.full.send_replace(true);
    let (sent, bytes) = fill(&sfu, id, 0).await;
    assert!(observer.data.lock().len() <= 1, "one was being read");
    // Media is not blocked by it.
    let before = observer.packets(0).len();
    feed(&sfu, mid, 1_000, || observer.packets(0).len() > before + 10).await;
    let freed = Instant::now();
    observer.full.send_replace(false);
    until("all of them", || observer.data.lock().len() == sent).await;
    println!("{sent} messages of {bytes} bytes after {:?}", freed.elapsed());
    for (i, (_, got)) in observer.data.lock().iter().enumerate() {
        assert_eq!(got[..], message(i)[..], "message {i}");
    }
    // It continues as before; messages unread at the end are reported.
    sfu_to_us(&sfu, id, &observer, 0, 20).await;
    observer.full.send_replace(true);
    fill(&sfu, id, 0).await;
    close(&subscriber, &observer).await;
    until("no task is left", || engine.live_tasks() == 0).await;
    let (messages, bytes) = *observer.unread.lock();
    assert!(messages > 50 && bytes > messages * 100, "{messages} messages of {bytes} bytes");
    assert_eq!(observer.late.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closes_in_the_middle_of_messages() {
    let engine = WebRtcEngine::new();
    for round in 0..10 {
        let sfu = Arc::new(Sfu::new().await);
        let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
        let (id, _) = sfu.offer(&subscriber, |api| api.add_channel_with_config(config("_reliable"))).await;
        until("the channel", || sfu.log.lock().channels.len() == 1).await;
        let sender = tokio::spawn({
            let sfu = sfu.clone();
            async move {
                loop {
                    let wrote = sfu
                        .with(move |rtc| rtc.channel(id).map(|mut c| c.write(true, &message(7)).unwrap_or_default()));
                    let _ = wrote.await;
                    tokio::task::yield_now().await;
                }
            }
        });
        until("messages", || observer.data.lock().len() > round * 3).await;
        if round % 2 == 0 {
            close(&subscriber, &observer).await;
        } else {
            drop(subscriber);
            until("Closed is reported", || observer.has(PeerState::Closed)).await;
        }
        let received = observer.data.lock().len();
        until("no task is left", || engine.live_tasks() == 0).await;
        assert_eq!((observer.data.lock().len(), observer.late.load(Ordering::SeqCst)), (received, 0));
        sender.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_are_each_sides_own() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (publisher, observer) = peer(&engine, PeerKind::Publisher).await;
    let mut offer = publisher.offer(&with_channels(&[], &["_reliable"])).expect("an offer");
    let writer = offer.channel("_reliable");
    assert!(offer.sdp.contains("a=max-message-size:65536"), "{}", offer.sdp);
    // The other stack believes that it may send more than this side accepts.
    offer.sdp = offer.sdp.replace("a=max-message-size:65536", "a=max-message-size:200000");
    sfu.answer(&publisher, &offer, |sdp| {
        let at = sdp.find("a=max-message-size:").expect("a size");
        let end = at + sdp[at..].find('\r').expect("an end");
        format!("{}a=max-message-size:1000{}", &sdp[..at], &sdp[end..])
    })
    .await;
    until("it is open", || writer.is_open() && !sfu.log.lock().channels.is_empty()).await;
    assert_eq!(writer.send(vec![1; 1001].into()).expect_err("too large").kind, EngineErrorKind::Invalid);
    writer.send(vec![1; 1000].into()).expect("it is taken");
    let id = sfu.log.lock().channels[0].0;
    for length in [15_000, MAX_DATA_MESSAGE, MAX_DATA_MESSAGE + 1, 100_000] {
        sfu_sends(&sfu, id, vec![7; length]).await;
    }
    // Messages in the same datagram as a too large one are delivered with the next datagram.
    soon("the messages after it", async {
        while observer.data.lock().len() < 4 {
            sfu_sends(&sfu, id, vec![7; 1]).await;
        }
    })
    .await;
    let lengths: Vec<usize> = observer.data.lock().iter().take(4).map(|(_, data)| data.len()).collect();
    assert_eq!(lengths, [15_000, MAX_DATA_MESSAGE, 1, 1]);
    close(&publisher, &observer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnected_is_reported_after_the_configured_time() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let observer = Arc::new(Recorder::default());
    let options = PeerOptions {
        loopback_only: true,
        disconnected_after: Some(Duration::from_millis(700)),
        ..PeerOptions::default()
    };
    let publisher = alone(&engine, PeerKind::Publisher, options, &observer);
    negotiate(&sfu, &publisher, &with_channels(&[], &["_reliable"])).await;
    until("connected", || observer.has(PeerState::Connected)).await;
    // An idle connection is not a lost one.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(!observer.has(PeerState::Disconnected));
    drop(sfu);
    let silent = Instant::now();
    until("Disconnected", || observer.has(PeerState::Disconnected)).await;
    let waited = silent.elapsed();
    assert!(waited < Duration::from_secs(3), "reported after {waited:?}");
    close(&publisher, &observer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_local_peers_exchange_data() {
    let pair = Pair::new().await;
    let there = pair.negotiate(&with_channels(&[], &["_reliable"]), |sdp| sdp).await.channel("_reliable");
    until("it is open", || there.is_open()).await;
    for i in 0..100 {
        there.send(message(i).into()).expect("it is taken");
    }
    until("all messages", || pair.subscriber_observer.data.lock().len() == 100).await;
    assert!((0..100).all(|i| pair.subscriber_observer.data.lock()[i].1[..] == message(i)[..]));
    close(&pair.publisher, &pair.publisher_observer).await;
    until("Closed is reported", || pair.subscriber_observer.has(PeerState::Closed)).await;
    pair.close().await;
    until("no task is left", || pair.engine.live_tasks() == 0).await;
}
