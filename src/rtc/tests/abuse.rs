//! Late, wrong, malformed or concurrent input: a clear error, never a hang, a panic or a leak.

use super::*;

fn kind<T>(result: EngineResult<T>) -> EngineErrorKind {
    match result {
        Ok(_) => panic!("an error was expected"),
        Err(e) => {
            assert!(e.message.len() < 200 && !e.message.contains("a="), "{}", e.message);
            e.kind
        }
    }
}

/// A valid offer of a local publisher.
async fn an_offer(engine: &WebRtcEngine) -> String {
    let (publisher, observer) = peer(engine, PeerKind::Publisher).await;
    let offer = publisher.offer(&wanted(&["mic", "second"])).unwrap().sdp;
    close(&publisher, &observer).await;
    offer.replace("a=setup:passive", "a=setup:actpass")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_fingerprint_fails() {
    let pair = Pair::new().await;
    pair.negotiate(&wanted(&["mic"]), |sdp| {
        let at = sdp.find("a=fingerprint:sha-256 ").expect("a fingerprint") + "a=fingerprint:sha-256 ".len();
        let good = sdp[at..at + 95].to_owned();
        sdp.replace(&good, &["AB"; 32].join(":"))
    })
    .await;
    until("Failed is reported", || {
        pair.subscriber_observer.has(PeerState::Failed) || pair.publisher_observer.has(PeerState::Failed)
    })
    .await;
    assert!(!pair.subscriber_observer.has(PeerState::Connected), "nothing connects with a wrong fingerprint");
    pair.close().await;
    assert_eq!(
        (pair.subscriber_observer.count(PeerState::Closed), pair.publisher_observer.count(PeerState::Closed)),
        (1, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_observer_ends_its_own_peer_connection() {
    let pair = Pair::new().await;
    pair.subscriber_observer.panics.store(1, Ordering::SeqCst);
    pair.negotiate(&wanted(&["mic"]), |sdp| sdp).await;
    until("Failed is reported", || pair.subscriber_observer.has(PeerState::Failed)).await;
    until("the other connects", || pair.publisher_observer.has(PeerState::Connected)).await;
    pair.close().await;
    assert_eq!(pair.subscriber_observer.count(PeerState::Closed), 1);
    until("no task is left", || pair.engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn candidates_are_refused_or_ignored() {
    let engine = WebRtcEngine::new();
    let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
    let good = r#"{"candidate":"candidate:1 1 udp 2130706431 127.0.0.1 9 typ host","sdpMid":"0"}"#;
    assert_eq!(kind(subscriber.add_candidate(good)), EngineErrorKind::Invalid, "no description yet");
    let offer = an_offer(&engine).await;
    let with_it = [good, "garbage", "null"].map(str::to_owned);
    assert_eq!(subscriber.answer(&offer, &with_it).expect("an answer").refused, 1);
    for fine in [
        good,
        r#"{"candidate":"1 1 UDP 2130706431 127.0.0.1 9 typ host","sdpMid":null,"sdpMLineIndex":null,"usernameFragment":null}"#,
        r#"{"candidate":"candidate:2 1 udp 1 ::1 9 typ host"}"#,
        r#"{"candidate":""}"#,
        r#"{"candidate":null}"#,
        "{}",
        "null",
        r#"{"candidate":"candidate:1 1 udp 1 b0a3-mdns.local 9 typ host"}"#,
        r#"{"candidate":"candidate:1 1 tcp 1 127.0.0.1 9 typ host tcptype passive"}"#,
    ] {
        subscriber.add_candidate(fine).expect(fine);
    }
    let huge = format!(r#"{{"candidate":"{}"}}"#, "x".repeat(5000));
    let deep = "[".repeat(4000);
    for bad in [
        "",
        "garbage",
        "[]",
        "3",
        r#"{"candidate":3}"#,
        r#"{"candidate":"candidate:1 1 udp x 127.0.0.1 9 typ host"}"#,
        r#"{"candidate":"candidate:1 1 udp 1 example.com 9 typ host"}"#,
        r#"{"candidate":"candidate:1 1 udp 1 127.0.0.1 0 typ host"}"#,
        r#"{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ"}"#,
        r#"{"candidate":"candidate:1 1 udp 1 127.0.0.1 9 typ nonsense"}"#,
        &huge,
        &deep,
    ] {
        let result = subscriber.add_candidate(bad);
        assert!(result.is_err(), "taken: {bad:.60}");
        assert_eq!(kind(result), EngineErrorKind::Invalid, "{bad:.60}");
    }
    let mut refused = 0;
    for port in 1000..1200 {
        let json = format!(r#"{{"candidate":"candidate:1 1 udp 1 127.0.0.1 {port} typ host"}}"#);
        refused += usize::from(subscriber.add_candidate(&json).is_err());
    }
    assert!(refused > 100, "candidates are bounded");
    close(&subscriber, &observer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_after_close_returns_closed() {
    let engine = WebRtcEngine::new();
    let offer = an_offer(&engine).await;
    let (peer, observer) = peer(&engine, PeerKind::Publisher).await;
    let writer = peer.offer(&wanted(&["mic"])).unwrap().writer("mic");
    let begun = Instant::now();
    for _ in 0..3 {
        peer.close();
    }
    // Also before closing is done.
    assert_eq!(kind(peer.offer(&wanted(&["late"]))), EngineErrorKind::Closed);
    close(&peer, &observer).await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(kind(peer.offer(&wanted(&["late"]))), EngineErrorKind::Closed);
    assert_eq!(kind(peer.set_answer(&offer)), EngineErrorKind::Closed);
    assert_eq!(kind(peer.answer(&offer, &[])), EngineErrorKind::Closed);
    assert_eq!(kind(peer.add_candidate("{}")), EngineErrorKind::Closed);
    assert_eq!(kind(peer.stats_json()), EngineErrorKind::Closed);
    let late = RtpOut { payload: Bytes::from_static(b"x"), ..RtpOut::default() };
    assert_eq!(kind(writer.send(late)), EngineErrorKind::Closed);
    assert_eq!(observer.states.lock().as_slice(), [PeerState::Closed]);
    until("no task is left", || engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_peer_closes_itself() {
    let engine = WebRtcEngine::new();
    let (peer, observer) = peer(&engine, PeerKind::Subscriber).await;
    drop(peer);
    until("Closed is reported", || observer.has(PeerState::Closed)).await;
    until("no task is left", || engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_race_close() {
    let engine = WebRtcEngine::new();
    let offer = an_offer(&engine).await;
    let candidate = r#"{"candidate":"candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"}"#;
    for round in 0..200u32 {
        let (peer, observer) = peer(&engine, PeerKind::Subscriber).await;
        let negotiate = async { peer.answer(&offer, &[]) };
        let trickle = async {
            for _ in 0..4 {
                let _ = peer.add_candidate(candidate);
                tokio::task::yield_now().await;
            }
        };
        let end = async {
            for _ in 0..round % 16 {
                tokio::task::yield_now().await;
            }
            close(&peer, &observer).await;
        };
        let stats = async { peer.stats_json() };
        let (result, (), (), stats) =
            soon("the race has ended", async { tokio::join!(negotiate, trickle, end, stats) }).await;
        for e in [result.err(), stats.err()].into_iter().flatten() {
            assert_eq!(e.kind, EngineErrorKind::Closed, "{}", e.message);
        }
        assert_eq!(observer.count(PeerState::Closed), 1, "round {round}");
        assert_eq!(observer.states.lock().last(), Some(&PeerState::Closed));
        assert!(!observer.has(PeerState::Failed), "a driver ended by close is no failure");
    }
    until("no task is left", || engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_descriptions_are_refused_and_a_good_one_still_works() {
    let engine = WebRtcEngine::new();
    let offer = an_offer(&engine).await;
    let (mut subscriber, _) = peer(&engine, PeerKind::Subscriber).await;
    let (publisher, _) = peer(&engine, PeerKind::Publisher).await;
    let mut refused = 0;
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % bound as u64) as usize
    };
    for round in 0..400 {
        let mut bytes = offer.clone().into_bytes();
        for _ in 0..=next(4) {
            let (at, length) = (next(bytes.len()), next(40));
            match next(5) {
                0 => bytes[at] = b" 0\r\n=:\xffz"[next(8)],
                1 => drop(bytes.drain(at..(at + length).min(bytes.len()))),
                2 => bytes.truncate(at.max(1)),
                3 => {
                    let copy = bytes[at..(at + length).min(bytes.len())].to_vec();
                    let to = next(bytes.len());
                    bytes.splice(to..to, copy);
                }
                _ => {
                    // A whole line is removed or duplicated.
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let mut lines: Vec<&str> = text.split("\r\n").collect();
                    let line = next(lines.len());
                    if next(2) == 0 {
                        lines.remove(line);
                    } else {
                        lines.insert(line, lines[line]);
                    }
                    bytes = lines.join("\r\n").into_bytes();
                }
            }
            if bytes.is_empty() {
                bytes.push(b'v');
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Err(e) = subscriber.answer(&text, &[]) {
            refused += 1;
            assert!(e.message.len() < 200, "{}", e.message);
        }
        publisher.offer(&wanted(&["mic"])).expect("still able to offer");
        assert!(publisher.set_answer(&text).is_err(), "an offer's text is no answer");
        if round % 40 == 39 {
            subscriber.close();
            subscriber = peer(&engine, PeerKind::Subscriber).await.0;
        }
    }
    assert!(refused > 50, "only {refused} were refused");
    // Rejected ones only, then a valid one on the same peer connection.
    let (subscriber, _) = peer(&engine, PeerKind::Subscriber).await;
    for bad in
        ["", "v=0", &offer.replace("a=mid:0", "a=mid:"), &offer.replace("a=ice-pwd", "a=ice-none"), &offer[..150]]
    {
        let result = subscriber.answer(bad, &[]);
        assert!(result.is_err(), "taken: {bad}");
        assert_eq!(kind(result), EngineErrorKind::Invalid);
    }
    subscriber.answer(&offer, &[]).expect("a good offer after bad ones");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn negotiation_out_of_order_is_refused() {
    let engine = WebRtcEngine::new();
    let offer = an_offer(&engine).await;
    let (subscriber, _) = peer(&engine, PeerKind::Subscriber).await;
    assert_eq!(kind(subscriber.set_answer(&offer)), EngineErrorKind::Invalid);
    assert_eq!(kind(subscriber.offer(&Wanted::default())), EngineErrorKind::Invalid);
    subscriber.answer(&offer, &[]).expect("an answer");
    assert_eq!(kind(subscriber.set_answer(&offer)), EngineErrorKind::Invalid);
    // Repeating the same offer changes nothing.
    subscriber.answer(&offer, &[]).expect("an answer");
    let senders = vec![AudioSenderSpec { track_id: "a b\r\na=x".into(), ..spec("x") }];
    assert_eq!(kind(subscriber.offer(&Wanted { senders, ..Wanted::default() })), EngineErrorKind::Invalid);
    let (publisher, _) = peer(&engine, PeerKind::Publisher).await;
    publisher.offer(&wanted(&["mic"])).expect("an offer");
    publisher.set_answer("v=0").expect_err("garbage");
    // The next offer rolls the pending one back, any number of times.
    for _ in 0..5 {
        publisher.offer(&wanted(&["mic"])).expect("an offer");
    }
}
