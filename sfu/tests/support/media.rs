//! A client's str0m peer connection, publisher or subscriber, running in its own task.

use super::{within, Client as Session};
use offhook_proto::models::{self, TrackType};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use str0m::{
    change::{SdpAnswer, SdpOffer, SdpPendingOffer},
    media::{Direction, KeyframeRequestKind, MediaKind, Mid, Simulcast, SimulcastLayer},
    net::{Protocol, Receive, TcpType},
    rtp::{ExtensionValues, RtpWrite},
    Candidate, Event, Input, Output, Rtc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
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
    /// Closes the TCP connections.
    CutTcp,
    /// Writes bytes to the TCP connections, without a frame around them.
    RawTcp(Vec<u8>),
    /// Stops reading from the TCP connections.
    PauseTcp,
    Write {
        mid: usize,
        rid: Option<&'static str>,
        seq: u64,
        timestamp: u32,
        payload: Vec<u8>,
        level: Option<i8>,
    },
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

/// How a client reaches the SFU.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The client's address, and the SFU's if it has a public address.
    pub ip: IpAddr,
    pub udp: bool,
    /// As the active side.
    pub tcp: bool,
    /// A public address of the SFU. Packets to it are delivered to `ip`, as a NAT does.
    pub public: Option<IpAddr>,
}

impl Way {
    pub const UDP: Way = Way { ip: IpAddr::V4(Ipv4Addr::LOCALHOST), udp: true, tcp: false, public: None };
    pub const TCP: Way = Way { udp: false, tcp: true, ..Way::UDP };

    pub fn at(self, ip: &str) -> Way {
        Way { ip: ip.parse().expect("an address"), ..self }
    }
}

/// Publishes one audio track and waits for the media connection. Returns the SFU's answer too.
pub async fn publish_audio(client: &Session, way: Way) -> (Peer, String) {
    let mut peer = Peer::over(&[Kind::Audio], way).await;
    let offer = peer.offer().await;
    let mid = offer.lines().find_map(|l| l.trim().strip_prefix("a=mid:")).expect("a mid").to_owned();
    let track = models::TrackInfo {
        track_id: "t".into(),
        track_type: TrackType::Audio as i32,
        mid,
        muted: true,
        ..Default::default()
    };
    let response = client.set_publisher(offer, vec![track]).await;
    assert!(response.error.is_none(), "{:?}", response.error);
    assert!(response.sdp.contains("a=candidate:"), "the answer contains the SFU's candidate");
    peer.answered(response.sdp.clone()).await;
    assert!(client.unmute(TrackType::Audio, false).await.error.is_none());
    peer.connected().await;
    (peer, response.sdp)
}

/// Answers the SFU's offer and waits for the media connection. Returns the offer too.
pub async fn subscribe(client: &mut Session, way: Way) -> (Peer, String) {
    let mut peer = Peer::over(&[], way).await;
    let offer = client.wait_offer().await;
    assert!(offer.sdp.contains("a=candidate:") && offer.sdp.contains("a=setup:actpass"), "{}", offer.sdp);
    let answer = peer.accept(offer.sdp.clone()).await;
    assert!(client.answer(offer.negotiation_id, answer).await.error.is_none());
    peer.connected().await;
    (peer, offer.sdp)
}

/// Sends audio until the receiver gets a packet that was sent after the call began.
pub async fn flows(from: &Peer, to: &mut Peer, first: u64) {
    while to.events.try_recv().is_ok() {}
    within("audio", async {
        for seq in first.. {
            from.write(0, seq, 960 * seq as u32, seq.to_be_bytes().to_vec(), Some(-10)).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
            while let Ok(event) = to.events.try_recv() {
                let is = |p: &Received| p.payload.len() == 8 && p.payload[..] >= first.to_be_bytes()[..];
                if matches!(&event, PeerEvent::Packet(p) if is(p)) {
                    return;
                }
            }
        }
    })
    .await
}

impl Peer {
    pub async fn new(publishes: &[Kind]) -> Peer {
        Peer::over(publishes, Way::UDP).await
    }

    pub async fn over(publishes: &[Kind], way: Way) -> Peer {
        let socket = UdpSocket::bind((way.ip, 0)).await.expect("a socket");
        let local = socket.local_addr().expect("an address");
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(Instant::now());
        if way.udp {
            rtc.add_local_candidate(Candidate::host(local, "udp").expect("a candidate"));
        }
        if way.tcp {
            let active = Candidate::builder().tcp().host(SocketAddr::new(way.ip, 9)).tcptype(TcpType::Active);
            rtc.add_local_candidate(active.build().expect("a candidate"));
        }
        let (tx, commands) = mpsc::channel(256);
        let (events_tx, events) = mpsc::channel(4096);
        let publishes = publishes.to_vec();
        tokio::spawn(run(
            Client {
                rtc,
                socket,
                local,
                way,
                tcp: Tcp::new(),
                pending: None,
                mids: Vec::new(),
                events: events_tx,
                publishes,
            },
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

    pub async fn cut_tcp(&self) {
        let _ = self.tx.send(Command::CutTcp).await;
    }

    pub async fn raw_tcp(&self, bytes: &[u8]) {
        let _ = self.tx.send(Command::RawTcp(bytes.to_vec())).await;
    }

    pub async fn pause_tcp(&self) {
        let _ = self.tx.send(Command::PauseTcp).await;
    }

    /// Sends a PLI for a received stream.
    pub async fn request_keyframe(&self, ssrc: u32) {
        let _ = self.tx.send(Command::RequestKeyframe(ssrc)).await;
    }

    /// Waits until the SFU requests a key frame.
    pub async fn keyframe_requested(&mut self) {
        within("a PLI", async {
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
        within("a media connection", async {
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
        within("a packet", async {
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

/// TCP connections to the SFU, by the address in its candidate. A packet to an address without one makes it.
struct Tcp {
    open: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>>,
    inbox: mpsc::Receiver<(SocketAddr, Vec<u8>)>,
    to_inbox: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    paused: tokio::sync::watch::Sender<bool>,
}

impl Tcp {
    fn new() -> Self {
        let (to_inbox, inbox) = mpsc::channel(256);
        Tcp { open: HashMap::new(), inbox, to_inbox, paused: tokio::sync::watch::Sender::new(false) }
    }

    fn send(&mut self, to: SocketAddr, at: SocketAddr, packet: &[u8]) {
        let frame = [&(packet.len() as u16).to_be_bytes()[..], packet].concat();
        let missing = self.open.get(&to).is_none_or(|frames| frames.is_closed());
        // A connection begins with a binding request.
        if missing && packet[0] > 1 {
            return;
        }
        if missing {
            let (frames, outgoing) = mpsc::channel(256);
            tokio::spawn(Tcp::run(to, at, outgoing, self.to_inbox.clone(), self.paused.subscribe()));
            self.open.insert(to, frames);
        }
        let _ = self.open[&to].try_send(frame);
    }

    async fn run(
        to: SocketAddr,
        at: SocketAddr,
        mut outgoing: mpsc::Receiver<Vec<u8>>,
        inbox: mpsc::Sender<(SocketAddr, Vec<u8>)>,
        mut paused: tokio::sync::watch::Receiver<bool>,
    ) {
        let Ok(stream) = TcpStream::connect(at).await else { return };
        let _ = stream.set_nodelay(true);
        let (mut reader, mut writer) = stream.into_split();
        let reading = async {
            while let Ok(length) = reader.read_u16().await {
                let mut packet = vec![0; length.into()];
                if reader.read_exact(&mut packet).await.is_err() || inbox.send((to, packet)).await.is_err() {
                    return;
                }
                let _ = paused.wait_for(|paused| !*paused).await;
            }
        };
        let writing = async {
            while let Some(frame) = outgoing.recv().await {
                if writer.write_all(&frame).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = reading => {}
            () = writing => {}
        }
    }
}

struct Client {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    way: Way,
    tcp: Tcp,
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
                Ok(Output::Transmit(t)) => c.transmit(t.proto, t.destination, &t.contents),
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
                let Ok((n, mut from)) = got else { continue };
                from.set_ip(c.way.public.unwrap_or(from.ip()));
                if let Ok(receive) = Receive::new(Protocol::Udp, from, c.local, &buffer[..n]) {
                    let _ = c.rtc.handle_input(Input::Receive(Instant::now(), receive));
                }
                continue;
            }
            Some((from, packet)) = c.tcp.inbox.recv() => {
                let local = SocketAddr::new(c.way.ip, 9);
                if let Ok(receive) = Receive::new(Protocol::Tcp, from, local, &packet) {
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
    fn transmit(&mut self, proto: Protocol, to: SocketAddr, packet: &[u8]) {
        // The NAT in front of the SFU.
        let ip = if self.way.public == Some(to.ip()) { self.way.ip } else { to.ip() };
        let at = SocketAddr::new(ip, to.port());
        if proto == Protocol::Tcp {
            self.tcp.send(to, at, packet);
        } else {
            let _ = self.socket.try_send_to(packet, at);
        }
    }

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
            Command::CutTcp => self.tcp.open.clear(),
            Command::RawTcp(bytes) => {
                for frames in self.tcp.open.values() {
                    let _ = frames.try_send(bytes.clone());
                }
            }
            Command::PauseTcp => {
                self.tcp.paused.send_replace(true);
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
