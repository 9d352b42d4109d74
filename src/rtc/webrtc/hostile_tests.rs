//! Effects of a hostile SFU on other peer connections; a module of `rtc::tests`.

#[path = "hostile.rs"]
mod attacker;

use super::*;
use attacker::{Hostile, Plan};

impl Hostile {
    async fn new() -> Self {
        Self::with(Plan::Forward, Duration::from_millis(1)).await
    }
}

/// The longest time without a packet at a subscriber, measured by a separate thread.
struct Gaps {
    longest: Arc<Mutex<Duration>>,
    stop: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Gaps {
    fn watch(observer: Arc<Recorder>) -> Self {
        let (longest, stop) = (Arc::new(Mutex::new(Duration::ZERO)), Arc::new(AtomicUsize::new(0)));
        let (max, end) = (longest.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let (mut count, mut since) = (observer.packets(0).len(), Instant::now());
            while end.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(2));
                let now = observer.packets(0).len();
                let mut max = max.lock();
                *max = since.elapsed().max(*max);
                if now != count {
                    (count, since) = (now, Instant::now());
                }
            }
        });
        Self { longest, stop, thread: Some(thread) }
    }

    /// The longest so far; restarts the measurement.
    fn take(&self) -> Duration {
        std::mem::take(&mut *self.longest.lock())
    }
}

impl Drop for Gaps {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One I/O thread for all, so that any delay is noticed at the neighbour.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sctp_from_a_peer_past_dtls_costs_nothing_where_no_data_is_used() {
    let (neighbour, sending, gaps, quiet) = sending_neighbour().await;
    let hostile = Hostile::new().await;
    let observer = Arc::new(Recorder::default());
    let options = PeerOptions { loopback_only: true, refuse_data: true, ..PeerOptions::default() };
    let victim = alone(&neighbour.engine, PeerKind::Subscriber, options, &observer);
    let answer = victim.answer(&hostile.offer, &[]).expect("an answer").sdp;
    assert!(answer.contains("m=application 0 ") && answer.contains("a=group:BUNDLE 1\r\n"), "{answer}");
    assert!(!answer.contains("sctp-port"), "{answer}");
    until("DTLS", || hostile.seen.secured.load(Ordering::SeqCst) == 1 && observer.has(PeerState::Connected)).await;
    // A busy machine causes gaps, too: the best of five windows counts. The attack lasts for all of them.
    let allowed = (3 * quiet).max(Duration::from_millis(60));
    let mut attacked = Duration::MAX;
    for _ in 0..5 {
        gaps.take();
        let (before, sent) = (neighbour.subscriber_observer.packets(0).len(), hostile.seen.sent.load(Ordering::SeqCst));
        until("an attack", || {
            hostile.seen.sent.load(Ordering::SeqCst) > sent + 500
                && neighbour.subscriber_observer.packets(0).len() > before + 50
        })
        .await;
        attacked = attacked.min(gaps.take());
        if attacked <= allowed {
            break;
        }
    }
    println!("longest gap at the neighbour: {quiet:?} before, {attacked:?} while attacked");
    assert_eq!(hostile.seen.answered.load(Ordering::SeqCst), 0, "there is no association that answers");
    assert!(attacked <= allowed, "{quiet:?} before, {attacked:?} while attacked");
    assert!(!observer.has(PeerState::Failed) && observer.channels.lock().is_empty());
    drop(gaps);
    sending.abort();
    close(&victim, &observer).await;
    neighbour.close().await;
}

/// A pair that sends media, on the I/O thread shared by all.
async fn sending_neighbour() -> (Pair, tokio::task::JoinHandle<()>, Gaps, Duration) {
    let neighbour = Pair::new().await;
    let writer = neighbour.negotiate(&wanted(&["mic"]), |sdp| sdp).await.writer("mic");
    neighbour.connected().await;
    send_until(&writer, 1, || !neighbour.subscriber_observer.packets(0).is_empty()).await;
    let sending = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for i in 1_000u16.. {
            tick.tick().await;
            let payload = Bytes::from_static(b"neighbour");
            let _ = writer.send(RtpOut { sequence: i, timestamp: u32::from(i) * 960, payload, ..RtpOut::default() });
        }
    });
    let gaps = Gaps::watch(neighbour.subscriber_observer.clone());
    let before = neighbour.subscriber_observer.packets(0).len();
    until("a quiet second", || neighbour.subscriber_observer.packets(0).len() > before + 50).await;
    let quiet = gaps.take();
    (neighbour, sending, gaps, quiet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn eight_hostile_peers_fail_and_a_neighbour_keeps_receiving() {
    let (neighbour, sending, gaps, quiet) = sending_neighbour().await;
    // The attackers run on another thread.
    let elsewhere =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let plans = [Plan::Forward, Plan::Causes, Plan::Streams, Plan::Resets];
    let (mut hostiles, mut victims) = (Vec::new(), Vec::new());
    gaps.take();
    for plan in plans.into_iter().cycle().take(8) {
        let hostile = elsewhere.spawn(Hostile::with(plan, Duration::from_millis(4))).await.expect("an attacker");
        let observer = Arc::new(Recorder::default());
        let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
        let victim = alone(&neighbour.engine, PeerKind::Subscriber, options, &observer);
        let answer = victim.answer(&hostile.offer, &[]).expect("an answer").sdp;
        assert!(!answer.contains("m=application 0 "), "{answer}");
        hostiles.push(hostile);
        victims.push((plan, victim, observer));
    }
    for (plan, _, observer) in &victims {
        until(&format!("{plan:?} fails"), || observer.has(PeerState::Failed)).await;
        assert!(observer.has(PeerState::Connected), "{plan:?} was past DTLS");
    }
    // Each of the plans would block the thread for seconds, once.
    let worst = gaps.take();
    assert!(worst < (20 * quiet).max(Duration::from_secs(2)), "{quiet:?} before, {worst:?} while they came");
    // They continue; a busy machine causes gaps, too: the best of five windows counts.
    let allowed = (3 * quiet).max(Duration::from_millis(60));
    let mut attacked = Duration::MAX;
    let sent = || hostiles.iter().map(|hostile| hostile.seen.sent.load(Ordering::SeqCst)).sum::<usize>();
    for _ in 0..5 {
        gaps.take();
        let (before, had) = (neighbour.subscriber_observer.packets(0).len(), sent());
        until("an attack", || sent() > had + 2_000 && neighbour.subscriber_observer.packets(0).len() > before + 50)
            .await;
        attacked = attacked.min(gaps.take());
        if attacked <= allowed {
            break;
        }
    }
    println!("longest gap at the neighbour: {quiet:?} before, {worst:?} as they came, {attacked:?} while attacked");
    assert!(attacked <= allowed, "{quiet:?} before, {attacked:?} while attacked");
    assert!(
        !neighbour.subscriber_observer.has(PeerState::Disconnected)
            && !neighbour.publisher_observer.has(PeerState::Disconnected)
    );
    drop((gaps, hostiles));
    sending.abort();
    for (_, victim, observer) in &victims {
        close(victim, observer).await;
        assert_eq!(observer.count(PeerState::Closed), 1);
    }
    neighbour.close().await;
    elsewhere.shutdown_background();
    until("no task is left", || neighbour.engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_of_nothing_but_data_is_answered_and_refused() {
    let engine = WebRtcEngine::new();
    let observer = Arc::new(Recorder::default());
    let options = PeerOptions { loopback_only: true, refuse_data: true, ..PeerOptions::default() };
    let peer = alone(&engine, PeerKind::Subscriber, options, &observer);
    let hostile = Hostile::new().await;
    let (data, audio) = hostile.offer.split_once("m=audio").expect("two m-lines");
    let answer = peer.answer(&data.replace("BUNDLE 0 1", "BUNDLE 0"), &[]).expect("an answer").sdp;
    assert!(answer.contains("m=application 0 ") && !answer.contains("candidate"), "{answer}");
    // Audio is added; only now there is something to connect.
    let answer = peer.answer(&format!("{data}m=audio{audio}"), &[]).expect("an answer").sdp;
    assert_eq!(crate::rtc::sdp::mids(&answer), ["0", "1"]);
    until("DTLS", || hostile.seen.secured.load(Ordering::SeqCst) == 1 && observer.has(PeerState::Connected)).await;
    close(&peer, &observer).await;
}
