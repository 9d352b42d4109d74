//! The library's engine alone, behind its traits: the same sessions, SFU and packets as the baseline, without the parts
//! of the library above `rtc::engine` (no session, receive buffer, pacing or callbacks).
//!
//! `engine packets --url URL --prefix P --n N --count C`
#![forbid(unsafe_code)]

mod packets;
mod signalling;

use bytes::Bytes;
use offhook::{
    core::model::PeerKind,
    rtc::{
        engine::{
            AudioSenderSpec, Engine, EngineError, MediaCall, PacketSink, Peer, PeerObserver, PeerOptions, PeerState,
            RemoteTrackInfo, RtpOut, RtpPacket, RtpSender, Wanted,
        },
        webrtc::WebRtcEngine,
    },
};
use packets::Stack;
use signalling::{with_context, Result};
use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::sync::watch;

const LIMIT: Duration = Duration::from_secs(60);

struct Counter(Arc<AtomicU64>);

impl PacketSink for Counter {
    fn packet(&mut self, _: RtpPacket) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Records whether the peer is connected, and how many RTP packets it received.
struct Observer {
    up: watch::Sender<bool>,
    received: Arc<AtomicU64>,
}

impl PeerObserver for Observer {
    fn candidate(&self, _: String) {}

    fn state(&self, state: PeerState) {
        if state == PeerState::Connected {
            self.up.send_replace(true);
        }
    }

    fn track(&self, _: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        Some(Box::new(Counter(self.received.clone())))
    }
}

struct Connection {
    peer: Arc<dyn Peer>,
    up: watch::Receiver<bool>,
}

impl Connection {
    async fn connected(&mut self) -> Result<()> {
        let up = tokio::time::timeout(LIMIT, self.up.wait_for(|up| *up)).await;
        up.map_err(|_| "not connected in time".to_owned())?.map(drop).map_err(|e| with_context("connect")(&e))
    }
}

/// The media of one call, created as the library creates it.
struct EngineStack(Arc<dyn MediaCall>);

impl EngineStack {
    fn peer(&self, kind: PeerKind, received: Arc<AtomicU64>) -> Result<Connection> {
        let (up_tx, up) = watch::channel(false);
        let options = PeerOptions { loopback_only: true, refuse_data: true, ..PeerOptions::default() };
        let peer = self.0.peer(kind, options, Arc::new(Observer { up: up_tx, received }));
        Ok(Connection { peer: peer.map_err(|e| with_context("set up")(&e))?, up })
    }
}

impl Stack for EngineStack {
    type Publisher = (Connection, Arc<dyn RtpSender>);
    type Subscriber = Connection;

    fn new() -> Result<Self> {
        WebRtcEngine::new().call().map(Self).map_err(|e| with_context("set up")(&e))
    }

    async fn publisher(&self) -> Result<(Self::Publisher, String, String)> {
        let connection = self.peer(PeerKind::Publisher, Arc::default())?;
        let sender = AudioSenderSpec {
            stream_id: "stream".to_owned(),
            track_id: "track".to_owned(),
            stereo: false,
            dtx: false,
            red: 0,
        };
        let wanted = Wanted { senders: vec![sender], ..Wanted::default() };
        let offer = connection.peer.offer(&wanted).map_err(|e| with_context("offer")(&e))?;
        let mid = offer.mids.into_iter().next().ok_or("no mid")?;
        let (_, sender) = offer.senders.into_iter().next().ok_or("no sender")?;
        Ok(((connection, sender), offer.sdp, mid))
    }

    async fn answered((connection, _): &mut Self::Publisher, sdp: String) -> Result<()> {
        connection.peer.set_answer(&sdp).map_err(|e| with_context("answer")(&e))?;
        connection.connected().await
    }

    async fn subscriber(&self, offer: String, received: Arc<AtomicU64>) -> Result<(Connection, String)> {
        let connection = self.peer(PeerKind::Subscriber, received)?;
        let answer = connection.peer.answer(&offer, &[]).map_err(|e| with_context("answer")(&e))?;
        Ok((connection, answer.sdp))
    }

    async fn connected(subscriber: &mut Connection) -> Result<()> {
        subscriber.connected().await
    }

    async fn write((_, sender): &Self::Publisher, number: u32, payload: Bytes) -> Result<()> {
        let packet = RtpOut {
            sequence: number as u16,
            timestamp: number.wrapping_mul(960),
            marker: false,
            level_dbov: None,
            payload,
        };
        sender.send(packet).map_err(|e: EngineError| with_context("write")(&e))
    }
}

fn main() -> std::process::ExitCode {
    packets::program::<EngineStack>("engine")
}
