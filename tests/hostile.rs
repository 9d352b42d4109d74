//! Eight hostile SFUs at once, past DTLS, next to a pair of peers with audio: on a protocol that uses data channels and
//! on one that does not. Alone in its process, because it counts the process's memory and has a single I/O thread, so
//! that anything that blocks this thread is audible at the pair.
//!
//! A gap in the audio excludes the time in which that thread was runnable but had no CPU. The rest is caused by the
//! attack, however busy the machine is.

#[path = "../src/rtc/webrtc/hostile.rs"]
mod attacker;

use attacker::{Hostile, Plan};
use bytes::Bytes;
use offhook::core::model::PeerKind;
use offhook::rtc::engine::*;
use offhook::rtc::webrtc::WebRtcEngine;
use parking_lot::Mutex;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const ATTACKERS: usize = 8;
const DEADLINE: Duration = Duration::from_secs(30);
/// Longest gap in the neighbour's audio that the attack may cause.
const MOST_GAP: Duration = Duration::from_millis(60);
/// All attackers together stay below the limit of one, in bytes.
const MOST_MEMORY: usize = 64 << 20;

/// Counts the allocated bytes, and their peak.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn more(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed on unchanged to the system allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        System.alloc(layout)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        System.dealloc(pointer, layout)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        System.realloc(pointer, layout, size)
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Total time that this thread was runnable without a CPU: the second number of its schedstat, ns.
fn waited() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split_whitespace().nth(1).and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

/// The longest gap between packets: as measured, and without the time spent waiting for a CPU.
#[derive(Default)]
struct Gaps {
    last: Option<(Instant, Duration)>,
    packets: usize,
    longest: Duration,
    made: Duration,
}

impl Gaps {
    fn packet(&mut self) {
        let (now, waiting) = (Instant::now(), waited());
        if let Some((then, before)) = self.last.replace((now, waiting)) {
            let gap = now - then;
            self.longest = gap.max(self.longest);
            self.made = gap.saturating_sub(waiting.saturating_sub(before)).max(self.made);
        }
        self.packets += 1;
    }
}

#[derive(Default)]
struct Observer {
    states: Mutex<Vec<PeerState>>,
    candidates: Mutex<Vec<String>>,
    gaps: Arc<Mutex<Gaps>>,
}

impl Observer {
    fn has(&self, state: PeerState) -> bool {
        self.states.lock().contains(&state)
    }

    /// The longest gap as measured, and without waiting for a CPU. Resets both.
    fn longest_gap(&self) -> (Duration, Duration) {
        let mut gaps = self.gaps.lock();
        (std::mem::take(&mut gaps.longest), std::mem::take(&mut gaps.made))
    }

    fn packets(&self) -> usize {
        self.gaps.lock().packets
    }
}

struct Sink(Arc<Mutex<Gaps>>);

impl PacketSink for Sink {
    fn packet(&mut self, _: RtpPacket) {
        self.0.lock().packet();
    }
}

impl PeerObserver for Observer {
    fn candidate(&self, json: String) {
        self.candidates.lock().push(json);
    }

    fn state(&self, state: PeerState) {
        self.states.lock().push(state);
    }

    fn track(&self, _: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        Some(Box::new(Sink(self.gaps.clone())))
    }
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "too late: {what}");
}

/// A subscriber in a separate call, and its answer.
fn subscriber(
    engine: &WebRtcEngine,
    offer: &str,
    refuse_data: bool,
    observer: &Arc<Observer>,
) -> (Arc<dyn Peer>, String) {
    let options = PeerOptions { loopback_only: true, refuse_data, ..PeerOptions::default() };
    let call = engine.call().expect("a call");
    let peer = call.peer(PeerKind::Subscriber, options, observer.clone()).expect("a subscriber");
    let answer = peer.answer(offer, &[]).expect("an answer");
    (peer, answer.sdp)
}

/// A publisher that sends audio to a subscriber for the lifetime of the pair.
struct Pair {
    peers: [Arc<dyn Peer>; 2],
    receiver: Arc<Observer>,
    out: Arc<Observer>,
    sending: tokio::task::JoinHandle<()>,
}

impl Pair {
    async fn sending(engine: &WebRtcEngine) -> Self {
        let (out, receiver) = (Arc::new(Observer::default()), Arc::new(Observer::default()));
        let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
        let call = engine.call().expect("a call");
        let publisher = call.peer(PeerKind::Publisher, options, out.clone()).expect("a publisher");
        let spec = AudioSenderSpec { stream_id: "s".into(), track_id: "t".into(), stereo: false, dtx: false, red: 0 };
        let offer = publisher.offer(&Wanted { senders: vec![spec], ..Wanted::default() }).expect("an offer");
        let writer = offer.senders[0].1.clone();
        let offer = offer.sdp.replace("setup:passive", "setup:actpass");
        let (subscriber, answer) = subscriber(engine, &offer, false, &receiver);
        publisher.set_answer(&answer).expect("the answer is accepted");
        for (from, to) in [(&out, &subscriber), (&receiver, &publisher)] {
            until("a candidate", || !from.candidates.lock().is_empty()).await;
            let candidates = from.candidates.lock().clone();
            for candidate in candidates {
                to.add_candidate(&candidate).expect("the candidate is accepted");
            }
        }
        let sending = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            for i in 0u16.. {
                tick.tick().await;
                let payload = Bytes::from_static(b"neighbour");
                let packet = RtpOut { sequence: i, timestamp: u32::from(i) * 960, payload, ..RtpOut::default() };
                let _ = writer.send(packet);
            }
        });
        until("audio arrives", || receiver.packets() > 10).await;
        receiver.longest_gap();
        Self { peers: [publisher, subscriber], receiver, out, sending }
    }

    async fn close(self) {
        self.sending.abort();
        for (peer, observer) in self.peers.iter().zip([&self.out, &self.receiver]) {
            close(peer, observer).await;
        }
    }
}

/// Closes within the deadline, not counting the time that this thread waits for a CPU.
async fn close(peer: &Arc<dyn Peer>, observer: &Observer) {
    let (begun, before) = (Instant::now(), waited());
    peer.close();
    until("it is closed", || observer.has(PeerState::Closed)).await;
    let took = begun.elapsed().saturating_sub(waited().saturating_sub(before));
    assert!(took < Duration::from_secs(2), "closing took {took:?}");
}

fn besieged(refuse_data: bool) {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    // The attackers run on another thread.
    let (io, elsewhere) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
    io.block_on(async {
        let engine = WebRtcEngine::new();
        let pair = Pair::sending(&engine).await;
        until("a quiet second", || pair.receiver.packets() > 60).await;
        let quiet = pair.receiver.longest_gap();
        let before = LIVE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);

        let plans = [Plan::Forward, Plan::Causes, Plan::Streams, Plan::Resets];
        let (mut hostiles, mut victims) = (Vec::new(), Vec::new());
        for plan in plans.into_iter().cycle().take(ATTACKERS) {
            let hostile = elsewhere.spawn(Hostile::with(plan, Duration::from_millis(4))).await.expect("an attacker");
            let observer = Arc::new(Observer::default());
            let (victim, _) = subscriber(&engine, &hostile.offer, refuse_data, &observer);
            hostiles.push(hostile);
            victims.push((plan, victim, observer));
        }
        for ((plan, _, observer), hostile) in victims.iter().zip(&hostiles) {
            let secured = || hostile.seen.secured.load(Ordering::SeqCst) == 1 && observer.has(PeerState::Connected);
            until(&format!("{plan:?} is past DTLS"), secured).await;
            if !refuse_data {
                until(&format!("{plan:?} fails"), || observer.has(PeerState::Failed)).await;
            }
        }
        let came = pair.receiver.longest_gap();

        // The attacks continue while another pair connects, exchanges audio and closes.
        let sent = || hostiles.iter().map(|hostile| hostile.seen.sent.load(Ordering::SeqCst)).sum::<usize>();
        let (packets, had) = (pair.receiver.packets(), sent());
        let late = Pair::sending(&engine).await;
        late.close().await;
        until("an attack", || sent() > had + 10_000 && pair.receiver.packets() > packets + 100).await;
        let attacked = pair.receiver.longest_gap();
        let memory = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        println!(
            "refusing data {refuse_data}: longest gap of the neighbour, as measured and without CPU wait: {quiet:?} before, \
             {came:?} as the attackers connected, {attacked:?} during the attack; {} KB more at most",
            memory >> 10
        );
        for (_, made) in [came, attacked] {
            assert!(made <= MOST_GAP, "a gap of {made:?}; {quiet:?} before");
        }
        assert!(memory <= MOST_MEMORY, "{memory} bytes");
        for (plan, victim, observer) in &victims {
            assert!(!refuse_data || !observer.has(PeerState::Failed), "{plan:?}: nothing of it reaches the engine");
            close(victim, observer).await;
        }
        assert!(!pair.receiver.has(PeerState::Disconnected) && !pair.out.has(PeerState::Disconnected));
        // Check of the measurement: blocking the thread shows.
        let packets = pair.receiver.packets();
        pair.receiver.longest_gap();
        let _ = tokio::spawn(async { std::thread::sleep(3 * MOST_GAP) }).await;
        until("audio arrives again", || pair.receiver.packets() > packets + 5).await;
        let (_, made) = pair.receiver.longest_gap();
        assert!(made > MOST_GAP, "{made:?} of a thread that was blocked");
        // They still send, without a receiver.
        pair.close().await;
        drop((hostiles, victims));
        until("no task is left", || engine.live_tasks() == 0).await;
    });
    let begun = Instant::now();
    elsewhere.shutdown_timeout(DEADLINE);
    io.shutdown_timeout(DEADLINE);
    assert!(begun.elapsed() < DEADLINE, "the threads go");
}

/// One after the other: each has the process to itself.
#[test]
fn eight_attackers_cost_a_neighbour_nothing() {
    besieged(true);
    besieged(false);
}
