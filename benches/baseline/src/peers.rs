//! Two peer connections on the async crate, configured as in the library before it drove the engine directly.
//!
//! Must not know: signalling.

use crate::{
    packets::Stack,
    signalling::{with_context, Result},
    sockets::Plain,
};
use async_trait::async_trait;
use bytes::Bytes;
use rtc::{
    interceptor::{ReceiverReportBuilder, SenderReportBuilder, Slot},
    peer_connection::transport::RTCDtlsRole,
    rtp_transceiver::{
        rtp_sender::{
            RTCRtpCodec, RTCRtpCodecParameters, RTCRtpCodingParameters, RTCRtpEncodingParameters,
            RTCRtpHeaderExtensionCapability, RtpCodecKind,
        },
        RTCRtpTransceiverDirection, RTCRtpTransceiverInit,
    },
};
use std::{
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::sync::watch;
use webrtc::{
    media_stream::{
        track_local::{static_rtp::TrackLocalStaticRTP, TrackLocal},
        track_remote::{TrackRemote, TrackRemoteEvent},
        MediaStreamTrack,
    },
    peer_connection::{
        MediaEngine, PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, RTCConfigurationBuilder,
        RTCPeerConnectionState, RTCSessionDescription, Registry, SettingEngineBuilder,
    },
};

const LIMIT: Duration = Duration::from_secs(60);
/// Maximum time that a packet waits for space in the crate's queue.
const WRITE: Duration = Duration::from_millis(100);
const SSRC: u32 = 77;

/// Records whether the peer is connected, and how many RTP packets it received.
struct Handler {
    up: watch::Sender<bool>,
    received: Arc<AtomicU64>,
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        if state == RTCPeerConnectionState::Connected {
            self.up.send_replace(true);
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        let received = self.received.clone();
        tokio::spawn(async move {
            while let Some(event) = track.poll().await {
                if matches!(event, TrackRemoteEvent::OnRtpPacket(_)) {
                    received.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Publisher,
    Subscriber,
}

pub struct Peer {
    pc: Arc<dyn PeerConnection>,
    up: watch::Receiver<bool>,
}

fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: "audio/opus".to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: vec![],
    }
}

impl Peer {
    async fn new(kind: Kind, received: Arc<AtomicU64>) -> Result<Self> {
        let context = with_context("set up");
        let mut media = MediaEngine::default();
        media
            .register_codec(RTCRtpCodecParameters { rtp_codec: opus(), payload_type: 111 }, RtpCodecKind::Audio)
            .map_err(|e| context(&e))?;
        let level = RTCRtpHeaderExtensionCapability { uri: "urn:ietf:params:rtp-hdrext:ssrc-audio-level".to_owned() };
        media.register_header_extension(level, RtpCodecKind::Audio, None).map_err(|e| context(&e))?;
        let registry = match kind {
            Kind::Publisher => Registry::new().with(Slot::SenderReport, SenderReportBuilder::new().build()),
            Kind::Subscriber => Registry::new().with(Slot::ReceiverReport, ReceiverReportBuilder::new().build()),
        };
        let settings = SettingEngineBuilder::new()
            .with_prflx_acceptance_min_wait(Some(Duration::from_millis(20)))
            .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
            .with_answering_dtls_role(RTCDtlsRole::Server);
        let settings = match kind {
            Kind::Publisher => settings.with_ice_connection_attempts(Some(Duration::from_millis(5)), Some(6000)),
            Kind::Subscriber => settings,
        };
        let (up_tx, up) = watch::channel(false);
        let pc = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::default().build())
            .with_setting_engine(settings.build())
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler { up: up_tx, received }))
            .with_runtime(Arc::new(Plain))
            .with_udp_addrs(vec!["127.0.0.1:0".to_owned()])
            .build()
            .await
            .map_err(|e| context(&e))?;
        Ok(Self { pc: Arc::new(pc), up })
    }

    async fn connected(&mut self) -> Result<()> {
        let up = tokio::time::timeout(LIMIT, self.up.wait_for(|up| *up)).await;
        up.map_err(|_| "not connected in time".to_owned())?.map(drop).map_err(|e| with_context("connect")(&e))
    }
}

/// Sends one audio track.
pub struct Publisher {
    peer: Peer,
    track: Arc<TrackLocalStaticRTP>,
}

/// The async crate as a [`Stack`].
pub struct Async;

impl Stack for Async {
    type Publisher = Publisher;
    type Subscriber = Peer;

    fn new() -> Result<Self> {
        Ok(Self)
    }

    async fn publisher(&self) -> Result<(Publisher, String, String)> {
        let context = with_context("offer");
        let peer = Peer::new(Kind::Publisher, Arc::default()).await?;
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(SSRC), ..Default::default() },
            active: true,
            codec: opus(),
            ..Default::default()
        };
        let names = ["stream", "track", "track"].map(str::to_owned);
        let [stream, id, label] = names;
        let track = MediaStreamTrack::new(stream.clone(), id, label, RtpCodecKind::Audio, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![stream],
            send_encodings: vec![],
        };
        peer.pc.add_transceiver_from_track(track.clone(), Some(init)).await.map_err(|e| context(&e))?;
        let offer = peer.pc.create_offer(None).await.map_err(|e| context(&e))?;
        let sdp = offer.sdp.clone();
        let mid = sdp.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or("0").trim().to_owned();
        peer.pc.set_local_description(offer).await.map_err(|e| context(&e))?;
        Ok((Publisher { peer, track }, sdp, mid))
    }

    async fn answered(publisher: &mut Publisher, sdp: String) -> Result<()> {
        let answer = RTCSessionDescription::answer(sdp).map_err(|e| with_context("answer")(&e))?;
        publisher.peer.pc.set_remote_description(answer).await.map_err(|e| with_context("answer")(&e))?;
        publisher.peer.connected().await
    }

    async fn subscriber(&self, offer: String, received: Arc<AtomicU64>) -> Result<(Peer, String)> {
        let context = with_context("answer");
        let peer = Peer::new(Kind::Subscriber, received).await?;
        let offer = RTCSessionDescription::offer(offer).map_err(|e| context(&e))?;
        peer.pc.set_remote_description(offer).await.map_err(|e| context(&e))?;
        let answer = peer.pc.create_answer(None).await.map_err(|e| context(&e))?;
        let sdp = answer.sdp.clone();
        peer.pc.set_local_description(answer).await.map_err(|e| context(&e))?;
        Ok((peer, sdp))
    }

    async fn connected(subscriber: &mut Peer) -> Result<()> {
        subscriber.connected().await
    }

    async fn write(publisher: &Publisher, number: u32, payload: Bytes) -> Result<()> {
        let header = rtc::rtp::Header {
            version: 2,
            payload_type: 111,
            sequence_number: number as u16,
            timestamp: number.wrapping_mul(960),
            ssrc: SSRC,
            ..Default::default()
        };
        let write = publisher.track.write_rtp(rtc::rtp::Packet { header, payload });
        tokio::time::timeout(WRITE, write)
            .await
            .map_err(|_| "the queue is full".to_owned())?
            .map_err(|e| with_context("write")(&e))
    }
}
