//! A client's str0m peer connection, publisher or subscriber, running in its own task.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use str0m::{
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    media::{Direction, KeyframeRequestKind, MediaKind, Mid, Simulcast, SimulcastLayer},
    net::{Protocol, Receive},
    rtp::{ExtensionValues, RtpWrite},
    Candidate, Event, Input, Output, Rtc,
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
};

/// A received packet, with the fields that tests check.
#[derive(Clone, Debug)]
pub struct Received {
    pub mid: Option<Mid>,
    pub ssrc: u32,
    pub seq: u64,
    pub timestamp: u32,
    pub payload: Vec<u8>,
    pub audio_level: Option<i8>,
}

#[derive(Debug)]
pub enum PeerEvent {
    Connected,
    Packet(Received),
    KeyframeRequested(Option<String>),
}

enum Command {
    Offer(oneshot::Sender<String>),
    Answered(String),
    Accept(String, oneshot::Sender<String>),
    RequestKeyframe(u32),
    Write { mid: usize, rid: Option<&'static str>, seq: u64, timestamp: u32, payload: Vec<u8>, level: Option<i8> },
}

pub struct Peer {
    tx: mpsc::Sender<Command>,
    pub events: mpsc::Receiver<PeerEvent>,
}

/// Kind of track that a publisher sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Audio,
    Video,
    Simulcast,
}

impl Peer {
    pub async fn new(publishes: &[Kind]) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let local = socket.local_addr().expect("an address");
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, "udp").expect("a candidate"));
        let (tx, commands) = mpsc::channel(256);
        let (events_tx, events) = mpsc::channel(4096);
        let publishes = publishes.to_vec();
        tokio::spawn(run(
            Client { rtc, socket, local, pending: None, mids: Vec::new(), events: events_tx, publishes },
            commands,
        ));
        Peer { tx, events }
    }

    /// An offer of all published tracks.
    pub async fn offer(&self) -> String {
        let (reply, answer) = oneshot::channel();
        let _ = self.tx.send(Command::Offer(reply)).await;
        answer.await.expect("an offer")
    }

    pub async fn answered(&self, sdp: String) {
        let _ = self.tx.send(Command::Answered(sdp)).await;
    }

    /// Accepts the SFU's offer and returns the answer.
    pub async fn accept(&self, sdp: String) -> String {
        let (reply, answer) = oneshot::channel();
        let _ = self.tx.send(Command::Accept(sdp, reply)).await;
        answer.await.expect("an answer")
    }

    pub async fn write(&self, mid: usize, seq: u64, timestamp: u32, payload: Vec<u8>, level: Option<i8>) {
        let _ = self.tx.send(Command::Write { mid, rid: None, seq, timestamp, payload, level }).await;
    }

    pub async fn write_layer(&self, mid: usize, rid: &'static str, seq: u64, timestamp: u32, payload: Vec<u8>) {
        let command = Command::Write { mid, rid: Some(rid), seq, timestamp, payload, level: None };
        let _ = self.tx.send(command).await;
    }

    /// Sends a PLI for a received stream.
    pub async fn request_keyframe(&self, ssrc: u32) {
        let _ = self.tx.send(Command::RequestKeyframe(ssrc)).await;
    }

    /// Waits until the SFU requests a key frame.
    pub async fn keyframe_requested(&mut self) {
        super::within("a PLI", async {
            while let Some(event) = self.events.recv().await {
                if matches!(event, PeerEvent::KeyframeRequested(_)) {
                    return;
                }
            }
            panic!("the peer connection ended");
        })
        .await
    }

    pub async fn connected(&mut self) {
        super::within("a media connection", async {
            while let Some(event) = self.events.recv().await {
                if matches!(event, PeerEvent::Connected) {
                    return;
                }
            }
            panic!("the peer connection ended");
        })
        .await
    }

    pub async fn packet(&mut self) -> Received {
        super::within("a packet", async {
            while let Some(event) = self.events.recv().await {
                if let PeerEvent::Packet(packet) = event {
                    return packet;
                }
            }
            panic!("the peer connection ended");
        })
        .await
    }
}

struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    pending: Option<SdpPendingOffer>,
    mids: Vec<Mid>,
    events: mpsc::Sender<PeerEvent>,
    publishes: Vec<Kind>,
}

async fn run(mut c: Client, mut commands: mpsc::Receiver<Command>) {
    let mut buffer = vec![0u8; 2048];
    loop {
        let next = loop {
            match c.rtc.poll_output() {
                Ok(Output::Timeout(at)) => break at,
                Ok(Output::Transmit(t)) => {
                    let _ = c.socket.try_send_to(&t.contents, t.destination);
                }
                Ok(Output::Event(event)) => c.event(event),
                Err(_) => return,
            }
        };
        if !c.rtc.is_alive() {
            return;
        }
        let next = next.min(Instant::now() + Duration::from_secs(60));
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => c.command(command),
                None => return,
            },
            got = c.socket.recv_from(&mut buffer) => {
                let Ok((n, from)) = got else { continue };
                if let Ok(receive) = Receive::new(Protocol::Udp, from, c.local, &buffer[..n]) {
                    let _ = c.rtc.handle_input(Input::Receive(Instant::now(), receive));
                }
                continue;
            }
            () = tokio::time::sleep_until(next.into()) => {}
        }
        let _ = c.rtc.handle_input(Input::Timeout(Instant::now()));
    }
}

impl Client {
    fn event(&mut self, event: Event) {
        let happened = match event {
            Event::Connected => PeerEvent::Connected,
            Event::KeyframeRequest(r) => PeerEvent::KeyframeRequested(r.rid.map(|r| r.to_string())),
            Event::RtpPacket(p) => {
                let mid = self.rtc.direct_api().stream_rx(&p.header.ssrc).map(|s| s.mid());
                PeerEvent::Packet(Received {
                    mid,
                    ssrc: *p.header.ssrc,
                    seq: *p.seq_no,
                    timestamp: p.header.timestamp,
                    payload: p.payload.to_vec(),
                    audio_level: p.header.ext_vals.audio_level,
                })
            }
            _ => return,
        };
        let _ = self.events.try_send(happened);
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Offer(reply) => {
                let mut api = self.rtc.sdp_api();
                for kind in &self.publishes[self.mids.len()..] {
                    let (media, simulcast) = match kind {
                        Kind::Audio => (MediaKind::Audio, None),
                        Kind::Video => (MediaKind::Video, None),
                        Kind::Simulcast => {
                            let mut simulcast = Simulcast::new();
                            for rid in ["q", "h", "f"] {
                                simulcast.add_send_layer(SimulcastLayer::new(rid));
                            }
                            (MediaKind::Video, Some(simulcast))
                        }
                    };
                    self.mids.push(api.add_media(media, Direction::SendOnly, None, None, simulcast));
                }
                if self.mids.len() == self.publishes.len() && self.pending.is_none() && !api.has_changes() {
                    api.ice_restart(true);
                }
                let (offer, pending) = api.apply().expect("an offer");
                self.pending = Some(pending);
                let _ = reply.send(offer.to_sdp_string());
            }
            Command::Answered(sdp) => {
                let answer = SdpAnswer::from_sdp_string(&sdp).expect("an answer");
                let pending = self.pending.take().expect("an open offer");
                self.rtc.sdp_api().accept_answer(pending, answer).expect("accepted");
            }
            Command::Accept(sdp, reply) => {
                let offer = SdpOffer::from_sdp_string(&sdp).expect("an offer");
                let answer = self.rtc.sdp_api().accept_offer(offer).expect("accepted");
                let _ = reply.send(answer.to_sdp_string());
            }
            Command::RequestKeyframe(ssrc) => {
                if let Some(stream) = self.rtc.direct_api().stream_rx(&ssrc.into()) {
                    stream.request_keyframe(KeyframeRequestKind::Pli);
                }
            }
            Command::Write { mid, rid, seq, timestamp, payload, level } => {
                let mid = self.mids[mid];
                let Some(media) = self.rtc.media(mid) else { return };
                let pt = media.remote_pts()[0];
                let values = ExtensionValues {
                    audio_level: level,
                    voice_activity: level.map(|l| l > -50),
                    mid: Some(mid),
                    ..Default::default()
                };
                let write =
                    RtpWrite::new(pt, seq.into(), timestamp, Instant::now(), payload).ext_vals(values).nackable(true);
                let mut api = self.rtc.direct_api();
                if let Some(stream) = api.stream_tx_by_mid(mid, rid.map(Into::into)) {
                    stream.write_rtp(write);
                }
            }
        }
    }
}
