//! Configuration of each peer connection: codecs, header extensions, interceptors, ICE.
//!
//! Part of the engine's module. Must not know: negotiation, packets.

use super::super::engine::{PeerOptions, MAX_DATA_MESSAGE};
use super::super::sdp::{CAPTURE_EXTENSION, LEVEL_EXTENSION};
use super::gather::Transport;
use super::inbound::{Inbound, Tap};
use crate::core::model::{IceServer, PeerKind};
use parking_lot::Mutex;
use rtc::crypto::RTCCryptoProvider;
use rtc::dtls::cipher_suite::CipherSuiteId;
use rtc::ice::url::{ProtoType, SchemeType, Url};
use rtc::interceptor::{Registry, SenderReportBuilder, Slot};
use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::peer_connection::configuration::setting_engine::{SctpMaxMessageSize, SettingEngine, SettingEngineBuilder};
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// ICE tick of the publisher until it is connected; nomination and DTLS each wait for a tick.
const PUBLISHER_TICK: Duration = Duration::from_millis(5);
/// Unanswered ticks after which the publisher gives up a candidate pair: 30 s of them.
const PUBLISHER_MAX_CHECKS: u16 = 6000;
/// The same for a pair with a relay. A direct pair needs one round trip, a relay at least four: it loses without a wait,
/// unless packets are lost.
const RELAY_WAIT: Duration = Duration::from_millis(150);
/// How long a pair with a reflexive address waits for a better one.
const PRFLX_WAIT: Duration = Duration::from_millis(20);
pub(super) const OPUS: &str = "audio/opus";
pub(super) const RED: &str = "audio/red";
const OPUS_PAYLOAD: u8 = 111;
const RED_PAYLOAD: u8 = 63;

/// Maximum bytes in the engine that wait for reassembly or reading.
const RECEIVE_BUFFER: u32 = 256 * 1024;
/// Maximum number of servers used.
const MAX_SERVERS: usize = 16;

/// A STUN or TURN server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// As configured.
    pub(super) url: String,
    pub(super) turn: bool,
    pub(super) transport: Transport,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) username: String,
    pub(super) password: crate::error::Secret,
}

/// STUN over UDP, TURN over UDP, TCP and TLS (RFC 7064, RFC 7065). On loopback only servers whose host is a loopback
/// name or address: no other machine is contacted, not even a name server.
pub(super) fn ice_servers(options: &PeerOptions) -> Vec<Server> {
    let usable = |server: &IceServer, url: &String| {
        let parsed = Url::parse_url(url).ok()?;
        let (turn, transport) = match (parsed.scheme, parsed.proto) {
            (SchemeType::Stun, ProtoType::Udp) => (false, Transport::Udp),
            (SchemeType::Turn, ProtoType::Udp) => (true, Transport::Udp),
            (SchemeType::Turn, ProtoType::Tcp) => (true, Transport::Tcp),
            (SchemeType::Turns, ProtoType::Tcp) => (true, Transport::Tls),
            _ => return None,
        };
        if turn && (server.username.is_empty() || server.password.is_empty()) {
            return None;
        }
        let host = parsed.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        (!options.loopback_only || is_loopback(&host)).then(|| Server {
            url: url.clone(),
            turn,
            transport,
            host,
            port: parsed.port,
            username: server.username.clone(),
            password: server.password.clone(),
        })
    };
    let all = options.ice_servers.iter().take(MAX_SERVERS);
    let usable = all.flat_map(|server| server.urls.iter().filter_map(|url| usable(server, url)).take(8));
    usable.take(MAX_SERVERS).collect()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

pub(super) fn setting_engine(
    kind: PeerKind,
    disconnected_after: Option<Duration>,
    provider: Arc<dyn RTCCryptoProvider>,
) -> SettingEngine {
    // A shorter timeout needs more frequent checks: three unanswered checks are not chance.
    let keepalive =
        disconnected_after.map(|after| (after / 3).clamp(Duration::from_millis(200), Duration::from_secs(2)));
    let builder = SettingEngineBuilder::new()
        // A check of the SFU may overtake its candidate. The pair is equally good, because SFUs are not behind a NAT
        // that a better pair would avoid.
        .with_prflx_acceptance_min_wait(Some(PRFLX_WAIT))
        .with_srflx_acceptance_min_wait(Some(PRFLX_WAIT))
        .with_relay_acceptance_min_wait(Some(RELAY_WAIT))
        .with_ice_timeouts(disconnected_after, None, keepalive)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_DATA_MESSAGE as u32))
        .with_sctp_max_receive_buffer_size(RECEIVE_BUFFER)
        .with_crypto_provider(provider)
        // Other suites would decrypt records where they are not checked.
        .with_dtls_cipher_suites(vec![
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Rsa_With_Aes_128_Gcm_Sha256,
            CipherSuiteId::Tls_Ecdhe_Ecdsa_With_ChaCha20_Poly1305_Sha256,
            CipherSuiteId::Tls_Ecdhe_Rsa_With_ChaCha20_Poly1305_Sha256,
        ])
        .with_multicast_dns_mode(rtc::ice::mdns::MulticastDnsMode::Disabled)
        // The DTLS server role saves a tick: the SFU starts DTLS as soon as it can.
        .with_answering_dtls_role(RTCDtlsRole::Server);
    match kind {
        PeerKind::Subscriber => builder.build(),
        PeerKind::Publisher => {
            builder.with_ice_connection_attempts(Some(PUBLISHER_TICK), Some(PUBLISHER_MAX_CHECKS)).build()
        }
    }
}

pub(super) fn opus() -> RTCRtpCodec {
    RTCRtpCodec {
        mime_type: OPUS.to_owned(),
        clock_rate: 48_000,
        channels: 2,
        sdp_fmtp_line: "minptime=10;useinbandfec=1".to_owned(),
        rtcp_feedback: vec![],
    }
}

/// Opus frames, each with earlier ones (RFC 2198).
fn red() -> RTCRtpCodec {
    let sdp_fmtp_line = format!("{OPUS_PAYLOAD}/{OPUS_PAYLOAD}");
    RTCRtpCodec { mime_type: RED.to_owned(), sdp_fmtp_line, ..opus() }
}

pub(super) fn media_engine(
    kind: PeerKind,
    inbound: &Arc<Mutex<Inbound>>,
) -> rtc::shared::error::Result<(MediaEngine, Registry)> {
    let mut media = MediaEngine::default();
    for (rtp_codec, payload_type) in [(opus(), OPUS_PAYLOAD), (red(), RED_PAYLOAD)] {
        media.register_codec(RTCRtpCodecParameters { rtp_codec, payload_type }, RtpCodecKind::Audio)?;
    }
    if kind == PeerKind::Subscriber {
        // No rtx and no plain nack: with them the engine's NACK generator requests packets again that rtx has already
        // delivered.
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
            let feedback =
                |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
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
    let level = RTCRtpHeaderExtensionCapability { uri: LEVEL_EXTENSION.to_owned() };
    media.register_header_extension(level, RtpCodecKind::Audio, None)?;
    let mut registry = Registry::new().with(Slot::from(100), Tap::new(inbound.clone()));
    match kind {
        PeerKind::Publisher => registry = registry.with(Slot::SenderReport, SenderReportBuilder::new().build()),
        PeerKind::Subscriber => {
            use rtc::sdp::extmap::{SDES_MID_URI, SDES_RTP_STREAM_ID_URI};
            for uri in [SDES_MID_URI, SDES_RTP_STREAM_ID_URI, CAPTURE_EXTENSION] {
                for kind in [RtpCodecKind::Audio, RtpCodecKind::Video] {
                    let uri = RTCRtpHeaderExtensionCapability { uri: uri.to_owned() };
                    media.register_header_extension(uri, kind, None)?;
                }
            }
        }
    }
    Ok((media, registry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_only_servers_of_this_machine_are_asked() {
        let urls = [
            "stun:127.0.0.1:3478",
            "stun:[::1]:3478",
            "stun:LocalHost",
            "stun:localhost.example.org",
            "stun:stun.example.org:3478",
            "stun:192.0.2.1",
            "stun:127.0.0.1.example.org",
            "stun:[2001:db8::1]:3478",
            "turn:198.51.100.7:3478",
            "turn:127.8.8.8:3478?transport=udp",
            "turn:127.0.0.1:3478?transport=tcp",
        ];
        let server = IceServer {
            urls: urls.map(str::to_owned).to_vec(),
            username: "u".to_owned(),
            password: crate::error::Secret::new("p"),
        };
        let elsewhere = IceServer { urls: vec!["stun:192.0.2.9".to_owned()], ..IceServer::default() };
        let asked = |loopback_only| -> Vec<String> {
            let ice_servers = vec![elsewhere.clone(), server.clone()];
            let options = PeerOptions { ice_servers, loopback_only, ..PeerOptions::default() };
            super::ice_servers(&options).into_iter().map(|server| server.url).collect()
        };
        assert_eq!(asked(true), [urls[0], urls[1], urls[2], urls[9], urls[10]]);
        assert!(asked(false).len() >= 8);
    }
}
