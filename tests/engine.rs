//! Peer connections leave nothing behind: no descriptor, no task. Alone in its process, because it counts the process's
//! descriptors.

use offhook::core::model::PeerKind;
use offhook::rtc::engine::*;
use offhook::rtc::webrtc::WebRtcEngine;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
struct Count {
    connected: AtomicUsize,
    closed: AtomicUsize,
    candidates: parking_lot::Mutex<Vec<String>>,
}

impl PeerObserver for Count {
    fn candidate(&self, json: String) {
        self.candidates.lock().push(json);
    }

    fn state(&self, state: PeerState) {
        let count = match state {
            PeerState::Connected => &self.connected,
            PeerState::Closed => &self.closed,
            _ => return,
        };
        count.fetch_add(1, Ordering::SeqCst);
    }

    fn track(&self, _: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        None
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), wait).await.is_ok(), "too late: {what}");
}

/// Connects a publisher to a subscriber, sends, and closes; if `early`, closes before connecting. Returns the
/// publisher's handle, which outlives its peer connection.
async fn one_call(engine: &WebRtcEngine, early: bool) -> Arc<dyn Peer> {
    let observers = [Arc::new(Count::default()), Arc::new(Count::default())];
    let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
    let call = engine.call().expect("a call");
    let publisher = call.peer(PeerKind::Publisher, options.clone(), observers[0].clone()).expect("a publisher");
    let subscriber = call.peer(PeerKind::Subscriber, options, observers[1].clone()).expect("a subscriber");
    let spec = AudioSenderSpec { stream_id: "s".into(), track_id: "t".into(), stereo: false, dtx: false, red: 1 };
    let offer = publisher.offer(&Wanted { senders: vec![spec], ..Wanted::default() }).expect("an offer");
    let writer = offer.senders[0].1.clone();
    let answer = subscriber.answer(&offer.sdp.replace("setup:passive", "setup:actpass"), &[]).expect("an answer");
    if !early {
        publisher.set_answer(&answer.sdp).expect("the answer is accepted");
        until("a candidate", || !observers[0].candidates.lock().is_empty()).await;
        let candidate = observers[0].candidates.lock()[0].clone();
        subscriber.add_candidate(&candidate).expect("the candidate is accepted");
        until("connected", || observers.iter().all(|h| h.connected.load(Ordering::SeqCst) > 0)).await;
        for i in 0..20 {
            let payload = bytes::Bytes::from_static(b"payload");
            let packet = RtpOut { sequence: i, timestamp: u32::from(i) * 960, payload, ..RtpOut::default() };
            writer.send(packet).expect("a packet is accepted");
        }
    }
    publisher.close();
    subscriber.close();
    let closed = || observers.iter().all(|h| h.closed.load(Ordering::SeqCst) == 1);
    let close = until("both are closed", closed);
    tokio::time::timeout(Duration::from_secs(2), close).await.expect("close is bounded");
    publisher
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_behind() {
    let engine = WebRtcEngine::new();
    one_call(&engine, false).await;
    until("no task is left", || engine.live_tasks() == 0).await;
    let baseline = descriptors();
    let mut handles = Vec::new();
    for round in 0..40 {
        handles.push(one_call(&engine, round % 5 != 0).await);
    }
    until("no task is left", || engine.live_tasks() == 0).await;
    until("descriptors are back at the baseline", || descriptors() <= baseline).await;
    drop(handles);

    // One loopback peer connection opens one socket.
    let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
    let count = Arc::new(Count::default());
    let call = engine.call().expect("a call");
    let peer = call.peer(PeerKind::Subscriber, options, count.clone()).expect("a subscriber");
    assert_eq!(descriptors(), baseline + 1);
    drop(peer);
    until("a dropped peer connection closes itself", || descriptors() == baseline && engine.live_tasks() == 0).await;
    assert_eq!(count.closed.load(Ordering::SeqCst), 1);
}
