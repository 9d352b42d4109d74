//! Tests of the engine through its trait: real sockets on 127.0.0.1, every wait with a deadline.
//!
//! Here: an observer that records its callbacks, and pairs of peer connections.

mod abuse;
mod data;
#[path = "../webrtc/hostile_tests.rs"]
mod hostile;
mod pairs;
mod redundant;
mod stack;
mod text;

use super::engine::*;
use super::webrtc::WebRtcEngine;
use crate::core::model::PeerKind;
use bytes::Bytes;
use parking_lot::Mutex;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(20);

/// One track as reported to the observer.
#[derive(Default)]
struct ReceivedTrack {
    info: Option<RemoteTrackInfo>,
    packets: Vec<RtpPacket>,
    dropped: bool,
}

/// Records everything, with the time of the first Connected and of the first packet.
#[derive(Default)]
struct Recorder {
    states: Mutex<Vec<PeerState>>,
    candidates: Mutex<Vec<String>>,
    tracks: Mutex<Vec<Arc<Mutex<ReceivedTrack>>>>,
    connected: Mutex<Option<Instant>>,
    first_packet: Arc<Mutex<Option<Instant>>>,
    panics: AtomicUsize,
    channels: Mutex<Vec<String>>,
    data: Mutex<Vec<(String, Bytes)>>,
    /// Data and channels reported after `Closed`.
    late: AtomicUsize,
    /// While true, no reliable message is accepted.
    full: tokio::sync::watch::Sender<bool>,
    /// Messages dropped, and their bytes.
    unread: Mutex<(u64, u64)>,
}

struct Sink(Arc<Mutex<ReceivedTrack>>, Arc<Mutex<Option<Instant>>>);

impl PacketSink for Sink {
    fn packet(&mut self, packet: RtpPacket) {
        self.1.lock().get_or_insert_with(Instant::now);
        self.0.lock().packets.push(packet);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.0.lock().dropped = true;
    }
}

impl PeerObserver for Recorder {
    fn candidate(&self, json: String) {
        self.candidates.lock().push(json);
    }

    fn state(&self, state: PeerState) {
        self.states.lock().push(state);
        if state == PeerState::Connected {
            self.connected.lock().get_or_insert_with(Instant::now);
            if self.panics.load(Ordering::SeqCst) > 0 {
                panic!("the observer panics, as the test asked");
            }
        }
    }

    fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        let track = Arc::new(Mutex::new(ReceivedTrack { info: Some(info), ..ReceivedTrack::default() }));
        self.tracks.lock().push(track.clone());
        Some(Box::new(Sink(track, self.first_packet.clone())))
    }

    fn channel_open(&self, label: &str) {
        self.late.fetch_add(usize::from(self.has(PeerState::Closed)), Ordering::SeqCst);
        self.channels.lock().push(label.to_owned());
    }

    fn data(&self, label: &str, message: Bytes) {
        self.late.fetch_add(usize::from(self.has(PeerState::Closed)), Ordering::SeqCst);
        self.data.lock().push((label.to_owned(), message));
    }

    fn data_unread(&self, _: &str, messages: u64, bytes: u64) {
        let mut unread = self.unread.lock();
        *unread = (unread.0 + messages, unread.1 + bytes);
    }

    fn data_room(&self, label: &str) -> Option<Waiting> {
        let mut full = self.full.subscribe();
        let waits = label == "_reliable" && *full.borrow();
        waits.then(|| Box::pin(async move { drop(full.wait_for(|full| !*full).await) }) as Waiting)
    }
}

impl Recorder {
    fn has(&self, state: PeerState) -> bool {
        self.states.lock().contains(&state)
    }

    fn count(&self, state: PeerState) -> usize {
        self.states.lock().iter().filter(|s| **s == state).count()
    }

    fn infos(&self) -> Vec<RemoteTrackInfo> {
        self.tracks.lock().iter().filter_map(|track| track.lock().info.clone()).collect()
    }

    fn packets(&self, track: usize) -> Vec<RtpPacket> {
        self.tracks.lock().get(track).map(|track| track.lock().packets.clone()).unwrap_or_default()
    }
}

/// Fails the test when `future` takes longer than the deadline.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("too late: {what}"),
    }
}

/// Waits until `condition` holds; fails the test at the deadline.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    soon(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

async fn peer(engine: &WebRtcEngine, kind: PeerKind) -> (Arc<dyn Peer>, Arc<Recorder>) {
    let observer = Arc::new(Recorder::default());
    let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
    (alone(engine, kind, options, &observer), observer)
}

/// A peer connection that is alone in its call.
fn alone(engine: &WebRtcEngine, kind: PeerKind, options: PeerOptions, observer: &Arc<Recorder>) -> Arc<dyn Peer> {
    engine.call().expect("a call").peer(kind, options, observer.clone()).expect("a peer connection")
}

/// Closes, and waits for `Closed`.
async fn close(peer: &Arc<dyn Peer>, observer: &Recorder) {
    peer.close();
    until("Closed is reported", || observer.has(PeerState::Closed)).await;
}

/// Requests senders for these tracks, and nothing else.
fn wanted(tracks: &[&str]) -> Wanted {
    Wanted { senders: tracks.iter().map(|track| spec(track)).collect(), ..Wanted::default() }
}

fn restarted(wanted: &Wanted) -> Wanted {
    Wanted { ice_restart: true, ..wanted.clone() }
}

impl LocalOffer {
    /// The writer of a new sender.
    fn writer(&self, track: &str) -> Arc<dyn RtpSender> {
        self.senders.iter().find(|(id, _)| id == track).map(|(_, writer)| writer.clone()).expect("it is new")
    }

    fn channel(&self, label: &str) -> Arc<dyn DataWriter> {
        self.channels.iter().find(|(l, _)| l == label).map(|(_, writer)| writer.clone()).expect("it is new")
    }
}

fn spec(track: &str) -> AudioSenderSpec {
    let (stream_id, track_id) = (format!("{track}:stream"), track.to_owned());
    AudioSenderSpec { stream_id, track_id, stereo: false, dtx: false, red: 0 }
}

/// A local publisher and a local subscriber in one call, connected to each other.
struct Pair {
    engine: WebRtcEngine,
    publisher: Arc<dyn Peer>,
    subscriber: Arc<dyn Peer>,
    publisher_observer: Arc<Recorder>,
    subscriber_observer: Arc<Recorder>,
}

impl Pair {
    async fn new() -> Self {
        let engine = WebRtcEngine::new();
        let call = engine.call().expect("a call");
        let (publisher_observer, subscriber_observer) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
        let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
        let publisher =
            call.peer(PeerKind::Publisher, options.clone(), publisher_observer.clone()).expect("a publisher");
        let subscriber = call.peer(PeerKind::Subscriber, options, subscriber_observer.clone()).expect("a subscriber");
        Self { engine, publisher, subscriber, publisher_observer, subscriber_observer }
    }

    /// One negotiation; `edit` changes the offer between the two.
    async fn negotiate(&self, wanted: &Wanted, edit: impl Fn(String) -> String) -> LocalOffer {
        let offer = self.publisher.offer(wanted).expect("an offer");
        self.answer(offer, edit).await
    }

    async fn answer(&self, offer: LocalOffer, edit: impl Fn(String) -> String) -> LocalOffer {
        // Both sides want to be the DTLS server: between two local ones the publisher yields.
        let sdp = edit(offer.sdp.replace("a=setup:passive", "a=setup:actpass"));
        let answer = self.subscriber.answer(&sdp, &[]).expect("an answer");
        self.publisher.set_answer(&answer.sdp).expect("the answer is taken");
        self.trickle().await;
        offer
    }

    /// Passes on the candidates found so far; at least one of each side.
    async fn trickle(&self) {
        for (from, to) in [(&self.publisher_observer, &self.subscriber), (&self.subscriber_observer, &self.publisher)] {
            until("a candidate", || !from.candidates.lock().is_empty()).await;
            let candidates = std::mem::take(&mut *from.candidates.lock());
            for candidate in &candidates {
                to.add_candidate(candidate).expect("the candidate is taken");
            }
            // Kept: a later negotiation finds no new ones.
            *from.candidates.lock() = candidates;
        }
    }

    async fn connected(&self) {
        until("both connected", || {
            self.publisher_observer.has(PeerState::Connected) && self.subscriber_observer.has(PeerState::Connected)
        })
        .await;
    }

    async fn close(&self) {
        close(&self.publisher, &self.publisher_observer).await;
        close(&self.subscriber, &self.subscriber_observer).await;
    }
}

/// Sends one packet every 5 ms until `done`; returns how many were sent.
async fn send_until(writer: &Arc<dyn RtpSender>, first: u16, mut done: impl FnMut() -> bool) -> u16 {
    let mut sent = 0u16;
    soon("media arrives", async {
        while !done() {
            let payload = Bytes::copy_from_slice(&[sent as u8, 7, 7]);
            let timestamp = u32::from(sent) * 960;
            let sequence = first.wrapping_add(sent);
            let packet = RtpOut { sequence, timestamp, marker: false, level_dbov: Some(30), payload };
            writer.send(packet).expect("a packet is taken");
            sent = sent.wrapping_add(1);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    sent
}
