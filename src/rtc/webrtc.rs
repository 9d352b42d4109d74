//! The engine behind [`super::engine`]: the only file that names the crates `webrtc` and `rtc`.
//!
//! Must not know: signalling, calls, codecs' contents. Everything the engine gets wrong or leaves
//! open is made good here: its driver's silent end, `Closed` that is not told, readers that must
//! outlive a track, calls that must not hang, errors that quote packets.

use super::candidate::{self, Remote};
use super::engine::*;
use super::gate::Gate;
use super::sdp;
use super::tasks::Tasks;
use super::udp::{bind_addresses, PlainSocket};
use crate::core::model::{IceServer, PeerKind};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rtc::interceptor::{ReceiverReportBuilder, SenderReportBuilder, Slot};
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::transport::{RTCDtlsRole, RTCDtlsTransportState};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
    RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{ready, Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{watch, Mutex as AsyncMutex, Notify};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::media_stream::track_remote::{TrackRemote, TrackRemoteEvent};
use webrtc::media_stream::MediaStreamTrack;
use webrtc::peer_connection::{
    MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
    RTCIceCandidateInit, RTCIceServer, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
    RTCSessionDescription, RTCStatsReportEntry, Registry, SettingEngine, SettingEngineBuilder, StatsSelector,
};
use webrtc::rtp_transceiver::RtpTransceiver;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, Transmit,
};

/// The longest that one call into the engine may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that closing may take, and that a caller of `close` waits.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(450);
/// The longest that a packet waits for room in the engine's queue.
const WRITE_TIMEOUT: Duration = Duration::from_millis(100);
/// ICE ticks of the publisher until it is connected; nomination and DTLS each wait for a tick.
const PUBLISHER_TICK: Duration = Duration::from_millis(5);
/// Unanswered ticks after which the publisher gives a candidate pair up: 30 s of them.
const PUBLISHER_MAX_CHECKS: u16 = 6000;
/// Most candidates taken for one ICE generation of the other side.
const MAX_TRICKLED: usize = 64;
const AUDIO_LEVEL_URI: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const OPUS: &str = "audio/opus";

/// The WebRTC engine. Makes peer connections that live on the tokio runtime they were made in.
#[derive(Clone, Debug, Default)]
pub struct WebRtcEngine {
    live: Arc<AtomicUsize>,
}

impl WebRtcEngine {
    pub fn new() -> Self {
        Self::default()
    }

    /// Tasks of this engine that are alive; 0 once every peer connection is closed.
    pub fn live_tasks(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Engine for WebRtcEngine {
    async fn peer(
        &self,
        kind: PeerKind,
        options: PeerOptions,
        observer: Arc<dyn PeerObserver>,
    ) -> EngineResult<Arc<dyn Peer>> {
        let handle = tokio::runtime::Handle::try_current()
            .map_err(|_| error(EngineErrorKind::Internal, "a peer connection needs the library's runtime"))?;
        let tasks = Tasks::new(handle, self.live.clone());
        let shared = Arc::new(Shared {
            gate: Arc::new(Gate::new(observer)),
            tasks: tasks.clone(),
            pc: Mutex::new(None),
            local: Mutex::default(),
            readers: Mutex::default(),
            closed: watch::Sender::new(false),
            next_reader: AtomicUsize::new(0),
        });
        let alert = Arc::new(Notify::new());
        let runtime = Arc::new(EngineRuntime {
            tasks: tasks.clone(),
            gate: shared.gate.clone(),
            alert: alert.clone(),
            driver: Arc::default(),
        });
        let (media, registry) =
            media_engine(kind).map_err(|e| described(EngineErrorKind::Internal, "set up media", &e))?;
        let interfaces = rtc::shared::ifaces::ifaces().unwrap_or_default();
        let addresses = bind_addresses(
            options.loopback_only,
            interfaces.into_iter().filter_map(|interface| Some(interface.addr?.ip())),
        );
        let build = PeerConnectionBuilder::new()
            .with_configuration(
                RTCConfigurationBuilder::default()
                    .with_ice_servers(ice_servers(&options.ice_servers))
                    .build(),
            )
            .with_setting_engine(setting_engine(kind))
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler(Arc::downgrade(&shared))))
            .with_runtime(runtime.clone())
            .with_udp_addrs(addresses)
            .build();
        let pc: Arc<dyn PeerConnection> = match tokio::time::timeout(CALL_TIMEOUT, build).await {
            Ok(Ok(pc)) => Arc::new(pc),
            Ok(Err(e)) => return Err(described(EngineErrorKind::System, "open the peer connection", &e)),
            Err(_) => {
                return Err(error(
                    EngineErrorKind::Internal,
                    "open the peer connection: engine did not answer",
                ))
            }
        };
        *shared.pc.lock() = Some(pc);
        runtime.driver.arm(&shared.gate);
        tasks.spawn(watch_dtls(Arc::downgrade(&shared), alert, shared.closed.subscribe()));
        Ok(Arc::new(PcPeer { shared, negotiation: AsyncMutex::default(), trickled: AtomicUsize::new(0) }))
    }
}

fn error(kind: EngineErrorKind, message: &str) -> EngineError {
    EngineError { kind, message: message.to_owned() }
}

fn closed() -> EngineError {
    error(EngineErrorKind::Closed, "the peer connection is closed")
}

/// The variant's name only: the engine's texts quote packets, addresses and SDP.
fn described(kind: EngineErrorKind, what: &str, cause: &dyn fmt::Debug) -> EngineError {
    struct Name(String);
    impl fmt::Write for Name {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for c in s.chars() {
                if !c.is_ascii_alphanumeric() || self.0.len() >= 64 {
                    return Err(fmt::Error);
                }
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut name = Name(String::new());
    let _ = fmt::write(&mut name, format_args!("{cause:?}"));
    EngineError { kind, message: format!("cannot {what} ({})", name.0) }
}

/// STUN and TURN over UDP; the engine knows no other transport to a relay.
fn ice_servers(servers: &[IceServer]) -> Vec<RTCIceServer> {
    let usable = |server: &IceServer, url: &str| {
        let relay = url.starts_with("turn:");
        (url.starts_with("stun:") || relay)
            && !url.contains("transport=tcp")
            && (!relay || !(server.username.is_empty() || server.password.is_empty()))
            && rtc::ice::url::Url::parse_url(url).is_ok()
    };
    servers
        .iter()
        .take(16)
        .map(|server| RTCIceServer {
            urls: server.urls.iter().filter(|url| usable(server, url)).take(8).cloned().collect(),
            username: server.username.clone(),
            credential: server.password.reveal().to_owned(),
        })
        .filter(|server| !server.urls.is_empty())
        .collect()
}

fn setting_engine(kind: PeerKind) -> SettingEngine {
    let builder = SettingEngineBuilder::new()
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        // Being the DTLS server spares a tick: the SFU opens DTLS as soon as it may.
        .with_answering_dtls_role(RTCDtlsRole::Server);
    match kind {
        PeerKind::Subscriber => builder.build(),
        PeerKind::Publisher => {
            builder.with_ice_connection_attempts(Some(PUBLISHER_TICK), Some(PUBLISHER_MAX_CHECKS)).build()
        }
    }
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: vec![],
    }
}

fn media_engine(kind: PeerKind) -> webrtc::error::Result<(MediaEngine, Registry)> {
    let mut media = MediaEngine::default();
    media.register_codec(
        RTCRtpCodecParameters { rtp_codec: opus(), payload_type: 111 },
        RtpCodecKind::Audio,
    )?;
    if kind == PeerKind::Subscriber {
        // No rtx and no plain nack: with them the engine's NACK generator asks for packets again
        // that rtx has already brought.
        let h264 = |mode: u8, profile: &str| {
            format!("level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={profile}")
        };
        let codecs = [
            ("video/VP8", 96, String::new()),
            ("video/VP9", 98, "profile-id=0".to_owned()),
            ("video/VP9", 100, "profile-id=2".to_owned()),
            ("video/H264", 102, h264(1, "42001f")),
            ("video/H264", 127, h264(0, "42001f")),
            ("video/H264", 125, h264(1, "42e01f")),
            ("video/H264", 108, h264(0, "42e01f")),
            ("video/H264", 123, h264(1, "640032")),
            ("video/H264", 35, h264(1, "4d001f")),
            ("video/AV1", 45, String::new()),
        ];
        for (mime, payload_type, fmtp) in codecs {
            let feedback = |typ: &str, parameter: &str| RTCPFeedback {
                typ: typ.to_owned(),
                parameter: parameter.to_owned(),
            };
            let rtp_codec = RTCRtpCodec {
                mime_type: mime.to_owned(),
                clock_rate: 90_000,
                channels: 0,
                sdp_fmtp_line: fmtp,
                rtcp_feedback: vec![feedback("ccm", "fir"), feedback("nack", "pli")],
            };
            media.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, RtpCodecKind::Video)?;
        }
    }
    let level = RTCRtpHeaderExtensionCapability { uri: AUDIO_LEVEL_URI.to_owned() };
    media.register_header_extension(level, RtpCodecKind::Audio, None)?;
    let registry = match kind {
        PeerKind::Publisher => Registry::new().with(Slot::SenderReport, SenderReportBuilder::new().build()),
        PeerKind::Subscriber => {
            for uri in [rtc::sdp::extmap::SDES_MID_URI, rtc::sdp::extmap::SDES_RTP_STREAM_ID_URI] {
                let uri = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
                media.register_header_extension(uri, RtpCodecKind::Video, None)?;
            }
            Registry::new().with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
        }
    };
    Ok((media, registry))
}

/// What a peer connection's parts share. Holds the engine's object until `close` takes it.
struct Shared {
    gate: Arc<Gate>,
    tasks: Tasks,
    pc: Mutex<Option<Arc<dyn PeerConnection>>>,
    /// First mid and ICE user name fragment of the local description, for candidates.
    local: Mutex<(String, String)>,
    /// By mid: who reads its track now, and how to tell that reader that it is over.
    readers: Mutex<HashMap<String, (usize, Arc<Notify>)>>,
    closed: watch::Sender<bool>,
    next_reader: AtomicUsize,
}

impl Shared {
    fn pc(&self) -> EngineResult<Arc<dyn PeerConnection>> {
        if self.gate.is_closing() {
            return Err(closed());
        }
        self.pc.lock().clone().ok_or_else(closed)
    }

    fn note_local(&self, sdp: &str) {
        let mid = sdp::mids(sdp).first().copied().unwrap_or("0").to_owned();
        *self.local.lock() = (mid, sdp::ice_ufrag(sdp).to_owned());
    }

    /// Runs one call into the engine: bounded, its errors stripped to a name.
    async fn call<T>(
        &self,
        kind: EngineErrorKind,
        what: &str,
        call: impl Future<Output = webrtc::error::Result<T>>,
    ) -> EngineResult<T> {
        let result = tokio::time::timeout(CALL_TIMEOUT, call).await;
        if self.gate.is_closing() {
            return Err(closed());
        }
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(webrtc::error::Error::ErrConnectionClosed)) => Err(closed()),
            Ok(Err(e)) => Err(described(kind, what, &e)),
            Err(_) => Err(EngineError {
                kind: EngineErrorKind::Internal,
                message: format!("cannot {what}: engine did not answer"),
            }),
        }
    }

    /// Starts closing unless that has begun; `closed` tells when it is done.
    fn start_close(self: &Arc<Self>) {
        if !self.gate.begin_close() {
            return;
        }
        let shared = self.clone();
        let pc = self.pc.lock().take();
        let at_end = self.clone();
        self.tasks.spawn_then(
            async move {
                if let Some(pc) = pc {
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, pc.close()).await;
                }
                shared.readers.lock().clear();
            },
            // Also when the runtime drops the task: a caller of `close` must not wait for it.
            move || {
                at_end.gate.state(PeerState::Closed);
                at_end.closed.send_replace(true);
            },
        );
    }

    async fn dtls_closed(&self) -> bool {
        let Ok(pc) = self.pc() else { return false };
        for transceiver in pc.get_transceivers().await {
            let transport = if let Ok(Some(sender)) = transceiver.sender().await {
                sender.transport().await
            } else if let Ok(Some(receiver)) = transceiver.receiver().await {
                receiver.transport().await
            } else {
                continue;
            };
            if let Ok(Some(transport)) = transport {
                return matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed));
            }
        }
        false
    }
}

/// The engine does not tell when the other side ends DTLS. A datagram that looks like a DTLS
/// alert is the reason to look; what counts is the engine's own view afterwards.
async fn watch_dtls(shared: Weak<Shared>, alert: Arc<Notify>, mut done: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = alert.notified() => {}
            _ = done.wait_for(|done| *done) => return,
        }
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let Some(shared) = shared.upgrade() else { return };
            if tokio::time::timeout(CALL_TIMEOUT, shared.dtls_closed()).await.unwrap_or(false) {
                shared.gate.state(PeerState::Closed);
                return;
            }
        }
    }
}

/// The engine's event handler: runs on the driver task, so it hands off at once.
struct Handler(Weak<Shared>);

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        let (Some(shared), Ok(init)) = (self.0.upgrade(), event.candidate.to_json()) else { return };
        let (mid, ufrag) = shared.local.lock().clone();
        shared.gate.candidate(candidate::to_json(&init.candidate, &mid, 0, &ufrag));
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        let Some(shared) = self.0.upgrade() else { return };
        let state = match state {
            RTCPeerConnectionState::Connecting => PeerState::Connecting,
            RTCPeerConnectionState::Connected => PeerState::Connected,
            RTCPeerConnectionState::Disconnected => PeerState::Disconnected,
            RTCPeerConnectionState::Failed => PeerState::Failed,
            // New is where everything starts, and Closed is told by `close`, once.
            _ => return,
        };
        shared.gate.state(state);
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let Some(shared) = self.0.upgrade() else { return };
        let tasks = shared.tasks.clone();
        tasks.spawn(read_track(self.0.clone(), track, shared.closed.subscribe()));
    }
}

/// One stream of a track that is being read: a simulcast layer has its own.
struct Stream {
    info: RemoteTrackInfo,
    sink: Option<Box<dyn PacketSink>>,
}

/// Reads one remote track for as long as the peer connection lives. The engine never forgets a
/// track id and sends a reopened track's events to its first reader, so a reader whose m-line has
/// gone to another track drops its sinks and stays.
async fn read_track(shared: Weak<Shared>, track: Arc<dyn TrackRemote>, mut done: watch::Receiver<bool>) {
    const MAX_STREAMS: usize = 4;
    let over = Arc::new(Notify::new());
    let id = match shared.upgrade() {
        Some(shared) => shared.next_reader.fetch_add(1, Ordering::Relaxed),
        None => return,
    };
    let mut streams: Vec<Stream> = Vec::new();
    loop {
        let event = tokio::select! {
            biased;
            _ = done.wait_for(|done| *done) => return,
            () = over.notified() => {
                streams.clear();
                continue;
            }
            event = track.poll() => event,
        };
        match event {
            None | Some(TrackRemoteEvent::OnEnded) => return,
            Some(TrackRemoteEvent::OnRtpPacket(packet)) => {
                let ssrc = packet.header.ssrc;
                let stream = streams.iter_mut().find(|stream| stream.info.ssrc == ssrc);
                if let Some(sink) = stream.and_then(|stream| stream.sink.as_mut()) {
                    sink.packet(RtpPacket {
                        sequence: packet.header.sequence_number,
                        timestamp: packet.header.timestamp,
                        ssrc,
                        payload_type: packet.header.payload_type,
                        marker: packet.header.marker,
                        payload: packet.payload,
                    });
                }
            }
            Some(TrackRemoteEvent::OnOpen(init)) => {
                let Some(shared) = shared.upgrade() else { return };
                let mid = mid_of(&shared, init.receiver_id.into()).await;
                let codec = track.codec(init.ssrc).await.unwrap_or_default();
                let info = RemoteTrackInfo {
                    kind: match track.kind().await {
                        RtpCodecKind::Video => MediaKind::Video,
                        _ => MediaKind::Audio,
                    },
                    stream_id: init.stream_ids.into_iter().next().unwrap_or_default(),
                    track_id: init.track_id,
                    rid: init.rid.map(|rid| rid.to_string()).unwrap_or_default(),
                    mid,
                    ssrc: init.ssrc,
                    mime: codec.mime_type,
                    clock_rate: codec.clock_rate,
                };
                // The engine opens a track again after every renegotiation.
                let same = |s: &Stream| {
                    (s.info.ssrc, &s.info.stream_id, &s.info.mid, &s.info.rid)
                        == (info.ssrc, &info.stream_id, &info.mid, &info.rid)
                };
                if streams.iter().any(same) {
                    continue;
                }
                let previous = shared.readers.lock().insert(info.mid.clone(), (id, over.clone()));
                if let Some((reader, over)) = previous {
                    if reader != id {
                        over.notify_one();
                    }
                }
                // Without a rid there is one stream per m-line: the new one replaces it.
                streams.retain(|s| s.info.mid == info.mid && !info.rid.is_empty() && s.info.rid != info.rid);
                if streams.len() < MAX_STREAMS {
                    let sink = shared.gate.track(info.clone());
                    streams.push(Stream { info, sink });
                }
            }
            Some(_) => {}
        }
    }
}

async fn mid_of(shared: &Shared, id: rtc::rtp_transceiver::RTCRtpTransceiverId) -> String {
    let Ok(pc) = shared.pc() else { return String::new() };
    let transceiver = pc.get_transceivers().await.into_iter().find(|transceiver| transceiver.id() == id);
    match transceiver {
        Some(transceiver) => transceiver.mid().await.ok().flatten().unwrap_or_default(),
        None => String::new(),
    }
}

#[derive(Default)]
struct Negotiation {
    senders: Vec<Sender>,
    remote_offer: String,
    /// The answer as we sent it and as the engine wrote it; it takes back only its own.
    answer: Option<(String, String)>,
    remote_ufrag: String,
}

struct Sender {
    spec: AudioSenderSpec,
    transceiver: Arc<dyn RtpTransceiver>,
    writer: Arc<Writer>,
}

struct PcPeer {
    shared: Arc<Shared>,
    negotiation: AsyncMutex<Negotiation>,
    trickled: AtomicUsize,
}

impl Drop for PcPeer {
    fn drop(&mut self) {
        self.shared.start_close();
    }
}

impl PcPeer {
    async fn negotiation(&self) -> EngineResult<tokio::sync::MutexGuard<'_, Negotiation>> {
        match tokio::time::timeout(CALL_TIMEOUT, self.negotiation.lock()).await {
            Ok(_) if self.shared.gate.is_closing() => Err(closed()),
            Ok(guard) => Ok(guard),
            Err(_) => {
                Err(error(EngineErrorKind::Internal, "another negotiation of this peer connection hangs"))
            }
        }
    }

    fn remote(&self, n: &mut Negotiation, sdp: &str) -> EngineResult<String> {
        let prepared = sdp::prepare_remote(sdp).map_err(|e| error(EngineErrorKind::Invalid, e))?;
        let ufrag = sdp::ice_ufrag(&prepared);
        if n.remote_ufrag != ufrag {
            n.remote_ufrag = ufrag.to_owned();
            self.trickled.store(0, Ordering::Relaxed);
        }
        Ok(prepared)
    }

    /// Drops what is pending, as the engine sees it.
    async fn undo(&self, pc: &Arc<dyn PeerConnection>) -> EngineResult<()> {
        let undo = async {
            let rollback = RTCSessionDescription::rollback(None)?;
            if pc.pending_local_description().await.is_some() {
                pc.set_local_description(rollback).await
            } else if pc.pending_remote_description().await.is_some() {
                pc.set_remote_description(rollback).await
            } else {
                Ok(())
            }
        };
        self.shared.call(EngineErrorKind::Internal, "roll back", undo).await
    }
}

#[async_trait]
impl Peer for PcPeer {
    async fn add_audio(&self, spec: AudioSenderSpec) -> EngineResult<Arc<dyn RtpWriter>> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let is_token =
            |id: &str| !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_graphic());
        if !is_token(&spec.stream_id) || !is_token(&spec.track_id) {
            return Err(error(
                EngineErrorKind::Invalid,
                "stream and track id must be printable ASCII without spaces",
            ));
        }
        if n.senders.iter().any(|sender| sender.spec.track_id == spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "the track id is taken"));
        }
        let ssrc = getrandom::u32().map_err(|_| error(EngineErrorKind::System, "no randomness"))?.max(1);
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            active: true,
            codec: opus(),
            ..Default::default()
        };
        let (stream, track) = (spec.stream_id.clone(), spec.track_id.clone());
        let track = MediaStreamTrack::new(stream, track.clone(), track, RtpCodecKind::Audio, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![spec.stream_id.clone()],
            send_encodings: vec![],
        };
        let add = pc.add_transceiver_from_track(track.clone(), Some(init));
        let transceiver = self.shared.call(EngineErrorKind::Internal, "add a sender", add).await?;
        let writer =
            Arc::new(Writer { track, ssrc, gate: self.shared.gate.clone(), negotiated: AtomicU32::new(0) });
        n.senders.push(Sender { spec, transceiver, writer: writer.clone() });
        Ok(writer)
    }

    async fn offer(&self, ice_restart: bool) -> EngineResult<LocalOffer> {
        let pc = self.shared.pc()?;
        let n = self.negotiation().await?;
        if n.senders.is_empty() {
            return Err(error(EngineErrorKind::Invalid, "there is no sender to offer"));
        }
        let shared = &self.shared;
        let options = ice_restart.then(|| RTCOfferOptions { ice_restart: true });
        let offer =
            shared.call(EngineErrorKind::Internal, "create an offer", pc.create_offer(options)).await?;
        let text = offer.sdp.clone();
        shared.note_local(&text);
        let set =
            shared.call(EngineErrorKind::Internal, "set the offer", pc.set_local_description(offer)).await;
        if let Err(e) = set {
            let _ = self.undo(&pc).await;
            return Err(e);
        }
        let mut mids = Vec::with_capacity(n.senders.len());
        let mut described = Vec::with_capacity(n.senders.len());
        for sender in &n.senders {
            let mid = shared.call(EngineErrorKind::Internal, "read a mid", sender.transceiver.mid()).await?;
            let mid = mid.ok_or_else(|| error(EngineErrorKind::Internal, "a sender has no mid"))?;
            described.push((mid.clone(), sender.spec.stereo, sender.spec.dtx));
            mids.push(mid);
        }
        Ok(LocalOffer { sdp: sdp::offer_passive(&sdp::describe_senders(&text, &described)), mids })
    }

    async fn set_answer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let sdp = self.remote(&mut n, &sdp)?;
        let shared = &self.shared;
        let pending = async { Ok(pc.pending_local_description().await) };
        let Some(offer) = shared.call(EngineErrorKind::Internal, "read the offer", pending).await? else {
            return Err(error(EngineErrorKind::Invalid, "there is no offer to answer"));
        };
        // The engine forgets its offer before it looks for the m-lines: look first.
        if sdp::mids(&offer.sdp) != sdp::mids(&sdp) {
            return Err(error(EngineErrorKind::Invalid, "the answer is for another offer"));
        }
        let answer = RTCSessionDescription::answer(sdp)
            .map_err(|e| described(EngineErrorKind::Invalid, "read the answer", &e))?;
        shared.call(EngineErrorKind::Invalid, "use the answer", pc.set_remote_description(answer)).await?;
        for sender in &n.senders {
            sender.writer.negotiate(shared, &sender.transceiver).await?;
        }
        Ok(())
    }

    async fn rollback(&self) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        n.answer = None;
        self.undo(&pc).await
    }

    async fn set_offer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        n.answer = None;
        let prepared = self.remote(&mut n, &sdp)?;
        let offer = RTCSessionDescription::offer(prepared)
            .map_err(|e| described(EngineErrorKind::Invalid, "read the offer", &e))?;
        let set = self
            .shared
            .call(EngineErrorKind::Invalid, "use the offer", pc.set_remote_description(offer))
            .await;
        match set {
            Ok(()) => n.remote_offer = sdp,
            Err(e) => {
                let _ = self.undo(&pc).await;
                return Err(e);
            }
        }
        Ok(())
    }

    async fn create_answer(&self) -> EngineResult<String> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let answer =
            self.shared.call(EngineErrorKind::Invalid, "create an answer", pc.create_answer(None)).await?;
        let ours = sdp::mirror_stereo(&n.remote_offer, &answer.sdp);
        n.answer = Some((ours.clone(), answer.sdp));
        Ok(ours)
    }

    async fn set_local_answer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let engines = match n.answer.take() {
            Some((ours, engines)) if sdp == ours => engines,
            _ => return Err(error(EngineErrorKind::Invalid, "not the answer that was created last")),
        };
        self.shared.note_local(&engines);
        let answer = RTCSessionDescription::answer(engines)
            .map_err(|e| described(EngineErrorKind::Internal, "read the answer", &e))?;
        self.shared.call(EngineErrorKind::Invalid, "set the answer", pc.set_local_description(answer)).await
    }

    async fn add_candidate(&self, json: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let candidate = match candidate::parse(&json).map_err(|e| error(EngineErrorKind::Invalid, e))? {
            Remote::Nothing => return Ok(()),
            Remote::Use { candidate, .. } => candidate,
        };
        if self.trickled.fetch_add(1, Ordering::Relaxed) >= MAX_TRICKLED {
            return Err(error(EngineErrorKind::Invalid, "too many candidates"));
        }
        let init = RTCIceCandidateInit { candidate, ..Default::default() };
        self.shared.call(EngineErrorKind::Invalid, "use the candidate", pc.add_ice_candidate(init)).await
    }

    async fn stats_json(&self) -> EngineResult<String> {
        let pc = self.shared.pc()?;
        let stats = async { Ok(pc.get_stats(Instant::now(), StatsSelector::None).await) };
        let report = self.shared.call(EngineErrorKind::Internal, "read statistics", stats).await?;
        let entries: Vec<serde_json::Value> = report
            .iter()
            .filter_map(|entry| match entry {
                RTCStatsReportEntry::Transport(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::IceCandidatePair(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::Codec(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::InboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::OutboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::RemoteInboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::RemoteOutboundRtp(s) => serde_json::to_value(s).ok(),
                // Candidates and certificates hold addresses and keys.
                _ => None,
            })
            .map(|mut value| {
                if let Some(object) = value.as_object_mut() {
                    object.remove("iceLocalUsernameFragment");
                    object.remove("localCertificateId");
                    object.remove("remoteCertificateId");
                }
                value
            })
            .collect();
        serde_json::to_string(&entries)
            .map_err(|_| error(EngineErrorKind::Internal, "cannot write statistics"))
    }

    async fn close(&self) {
        let mut done = self.shared.closed.subscribe();
        self.shared.start_close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT + Duration::from_millis(40), done.wait_for(|done| *done))
            .await;
    }
}

/// Payload type and header extension id of a sender that may send; 0 until then.
const READY: u32 = 1 << 31;

struct Writer {
    track: Arc<TrackLocalStaticRTP>,
    ssrc: u32,
    gate: Arc<Gate>,
    negotiated: AtomicU32,
}

/// Loudness bytes by level (RFC 6464 §3): the V bit is set for anything but digital silence.
static LEVELS: [u8; 128] = {
    let mut levels = [0; 128];
    let mut i = 0;
    while i < 128 {
        levels[i] = i as u8 | if i < 127 { 0x80 } else { 0 };
        i += 1;
    }
    levels
};

impl Writer {
    /// Takes over what was negotiated for this sender.
    async fn negotiate(&self, shared: &Shared, transceiver: &Arc<dyn RtpTransceiver>) -> EngineResult<()> {
        let read = async {
            let sends = transceiver.current_direction().await?.has_send();
            let Some(sender) = transceiver.sender().await?.filter(|_| sends) else { return Ok(0) };
            let parameters = sender.get_parameters().await?.rtp_parameters;
            let codec = parameters.codecs.iter().find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(OPUS));
            let level =
                parameters.header_extensions.iter().find(|extension| extension.uri == AUDIO_LEVEL_URI);
            Ok(codec.map_or(0, |codec| {
                READY
                    | u32::from(codec.payload_type)
                    | level.map_or(0, |level| u32::from(level.id as u8) << 8)
            }))
        };
        let negotiated = shared.call(EngineErrorKind::Internal, "read what a sender may send", read).await?;
        self.negotiated.store(negotiated, Ordering::Release);
        Ok(())
    }
}

#[async_trait]
impl RtpWriter for Writer {
    async fn write(
        &self,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        level_dbov: Option<u8>,
        payload: Bytes,
    ) -> EngineResult<()> {
        if self.gate.is_closing() {
            return Err(closed());
        }
        let negotiated = self.negotiated.load(Ordering::Acquire);
        if negotiated & READY == 0 {
            return Ok(());
        }
        let mut header = rtc::rtp::Header {
            version: 2,
            marker,
            payload_type: (negotiated & 0x7f) as u8,
            sequence_number: sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        let extension = (negotiated >> 8 & 0xff) as u8;
        if let (Some(level), 1..) = (level_dbov, extension) {
            let level = usize::from(level.min(127));
            let _ = header.set_extension(extension, Bytes::from_static(&LEVELS[level..=level]));
        }
        let packet = rtc::rtp::Packet { header, payload };
        match tokio::time::timeout(WRITE_TIMEOUT, self.track.write_rtp(packet)).await {
            Ok(Ok(())) => Ok(()),
            _ if self.gate.is_closing() => Err(closed()),
            // The engine's text would quote the packet.
            Ok(Err(_)) => Err(error(EngineErrorKind::Internal, "the engine takes no more packets")),
            Err(_) => Err(error(EngineErrorKind::Internal, "the engine's queue is full")),
        }
    }
}

/// Whether the driver task is being watched, and whether it is over.
#[derive(Debug, Default)]
struct Driver {
    spawned: AtomicBool,
    armed: AtomicBool,
    ended: AtomicBool,
}

impl Driver {
    /// From now on the driver's end is the peer connection's failure, unless it is being closed.
    fn arm(&self, gate: &Gate) {
        self.armed.store(true, Ordering::SeqCst);
        if self.ended.load(Ordering::SeqCst) {
            gate.state(PeerState::Failed);
        }
    }

    fn end(&self, gate: &Gate) {
        self.ended.store(true, Ordering::SeqCst);
        if self.armed.load(Ordering::SeqCst) {
            gate.state(PeerState::Failed);
        }
    }
}

/// The runtime given to one peer connection: plain sockets, counted tasks, no TCP.
#[derive(Debug)]
struct EngineRuntime {
    tasks: Tasks,
    gate: Arc<Gate>,
    alert: Arc<Notify>,
    driver: Arc<Driver>,
}

struct Spawned(tokio::task::JoinHandle<()>);

impl JoinHandle for Spawned {
    fn detach(&self) {}

    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

struct Ticks(tokio::time::Interval);

impl AsyncInterval for Ticks {
    fn tick(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.0.tick().await;
        })
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl Runtime for EngineRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        // The driver is the first task of a peer connection.
        if self.driver.spawned.swap(true, Ordering::SeqCst) {
            return Box::new(Spawned(self.tasks.spawn(future)));
        }
        let (driver, gate) = (self.driver.clone(), self.gate.clone());
        Box::new(Spawned(self.tasks.spawn_then(future, move || driver.end(&gate))))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let _guard = self.tasks.handle().enter();
        Ok(Arc::new(Udp(PlainSocket::new(socket, self.alert.clone())?)))
    }

    fn wrap_tcp_listener(&self, _: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect_tcp<'a>(&'a self, _: SocketAddr) -> Boxed<'a, Arc<dyn AsyncTcpStream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, Vec<SocketAddr>> {
        Box::pin(async move { Ok(tokio::net::lookup_host(host).await?.collect()) })
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        Box::new(Ticks(tokio::time::interval(period)))
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tasks.handle().block_on(future);
    }

    fn name(&self) -> &'static str {
        "offhook"
    }
}

#[derive(Debug)]
struct Udp(PlainSocket);

impl AsyncUdpSocket for Udp {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.0.poll_send(cx, transmit.destination, transmit.contents, transmit.segment_size)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        let (length, from) = ready!(self.0.poll_recv(cx, buffer))?;
        // A datagram of no bytes still needs a stride that advances.
        (meta.len, meta.stride, meta.addr) = (length, length.max(1), from);
        Poll::Ready(Ok(1))
    }
}
