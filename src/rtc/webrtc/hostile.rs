//! A hostile SFU for tests: ICE-lite and DTLS by hand, then arbitrary SCTP.
//!
//! Beside the engine because it uses the engine's DTLS. Must not know what it attacks.

use ::rtc::dtls::config::{ConfigBuilder, ExtendedMasterSecretType};
use ::rtc::dtls::crypto::Certificate;
use ::rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use ::rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use ::rtc::shared::TransportProtocol;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;

const PASSWORD: &str = "a-password-of-the-hostile-one";
const VERIFICATION: u32 = 0x0102_0304;
const FIRST_TSN: u32 = 1_000;

/// A bitwise checksum; speed does not matter here.
fn crc(polynomial: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { polynomial } else { 0 })
    })
}

/// The response to a STUN binding request (RFC 8489), as an ICE-lite agent sends it to anyone.
fn stun_success(request: &[u8], from: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(from) = from else { panic!("a loopback address of IPv4") };
    let mut answer = vec![1, 1, 0, 0];
    answer.extend_from_slice(&request[4..20]);
    answer.extend_from_slice(&[0, 0x20, 0, 8, 0, 1]);
    answer.extend_from_slice(&(from.port() ^ 0x2112).to_be_bytes());
    answer.extend(from.ip().octets().iter().zip([0x21, 0x12, 0xa4, 0x42]).map(|(a, b)| a ^ b));
    let with_length = |answer: &mut Vec<u8>, more: usize| {
        let length = (answer.len() - 20 + more) as u16;
        answer[2..4].copy_from_slice(&length.to_be_bytes());
    };
    with_length(&mut answer, 24);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, PASSWORD.as_bytes());
    let integrity = ring::hmac::sign(&key, &answer);
    answer.extend_from_slice(&[0, 8, 0, 20]);
    answer.extend_from_slice(integrity.as_ref());
    with_length(&mut answer, 8);
    let fingerprint = crc(0xedb8_8320, &answer) ^ 0x5354_554e;
    answer.extend_from_slice(&[0x80, 0x28, 0, 4]);
    answer.extend_from_slice(&fingerprint.to_be_bytes());
    answer
}

/// An SCTP packet of one chunk (RFC 9260).
fn sctp(tag: u32, kind: u8, value: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x13, 0x88, 0x13, 0x88];
    packet.extend_from_slice(&tag.to_be_bytes());
    packet.extend_from_slice(&[0; 4]);
    packet.extend_from_slice(&[kind, 0]);
    packet.extend_from_slice(&(value.len() as u16 + 4).to_be_bytes());
    packet.extend_from_slice(value);
    packet.resize(packet.len().next_multiple_of(4), 0);
    let sum = crc(0x82f6_3b78, &packet);
    packet[8..12].copy_from_slice(&sum.to_le_bytes());
    packet
}

fn init() -> Vec<u8> {
    let mut value = VERIFICATION.to_be_bytes().to_vec();
    value.extend_from_slice(&[0, 16, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    value.extend_from_slice(&FIRST_TSN.to_be_bytes());
    // FORWARD-TSN and stream resets are supported.
    value.extend_from_slice(&[0xc0, 0, 0, 4, 0x80, 8, 0, 6, 192, 130]);
    sctp(0, 1, &value)
}

/// An attack after the DTLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// FORWARD-TSN: everything up to 2^31 ahead counts as received.
    Forward,
    /// Error causes that are longer than their chunk.
    Causes,
    /// Data on one stream after the other.
    Streams,
    /// Stream resets that can complete only much later.
    Resets,
}

/// Progress of the attack.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) secured: AtomicUsize,
    /// SCTP datagrams sent, and those received.
    pub(super) sent: AtomicUsize,
    pub(super) answered: AtomicUsize,
}

pub(super) struct Hostile {
    pub(super) seen: Arc<Seen>,
    pub(super) offer: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    /// Sends a portion of its plan every `pace`.
    pub(super) async fn with(plan: Plan, pace: Duration) -> Self {
        let provider = ::rtc::crypto::default_provider().expect("cryptography");
        let certificate =
            Certificate::generate_self_signed(vec!["hostile".to_owned()], provider.crypto()).expect("a certificate");
        let digest = ring::digest::digest(&ring::digest::SHA256, &certificate.certificate[0]);
        let hex: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(vec![certificate])
            .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
            .with_extended_master_secret(ExtendedMasterSecretType::Require)
            .with_insecure_skip_verify(true)
            .build(true, None)
            .expect("a DTLS client");
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let local = socket.local_addr().expect("its address");
        let transport = format!(
            "c=IN IP4 127.0.0.1\r\na=ice-ufrag:hostile\r\na=ice-pwd:{PASSWORD}\r\na=fingerprint:sha-256 {}\r\n\
             a=setup:actpass\r\na=candidate:1 1 udp 2130706431 127.0.0.1 {} typ host\r\n",
            hex.join(":"),
            local.port()
        );
        let offer = format!(
            "v=0\r\no=- 5 5 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 0 1\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n{transport}a=mid:0\r\na=sctp-port:5000\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:1\r\na=sendonly\r\na=rtcp-mux\r\n\
             a=rtpmap:111 opus/48000/2\r\na=msid:p p\r\na=ssrc:77 cname:p\r\n"
        );
        let seen = Arc::new(Seen::default());
        let endpoint = Endpoint::new(local, TransportProtocol::UDP, None);
        let task = tokio::spawn(attack(socket, endpoint, Arc::new(config), seen.clone(), (plan, pace)));
        Self { seen, offer, task }
    }
}

async fn attack(
    socket: UdpSocket,
    mut dtls: Endpoint,
    config: Arc<::rtc::dtls::config::HandshakeConfig>,
    seen: Arc<Seen>,
    (plan, pace): (Plan, Duration),
) {
    let mut victim: Option<SocketAddr> = None;
    let mut number = 0u32;
    let mut tick = tokio::time::interval(pace);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut buffer = vec![0; 4_000];
    let (mut secured, mut tag) = (false, 0u32);
    loop {
        let mut send = Vec::new();
        tokio::select! {
            got = socket.recv_from(&mut buffer) => {
                let Ok((length, from)) = got else { continue };
                let datagram = &buffer[..length];
                match datagram.first() {
                    Some(0..=3) if datagram[..2] == [0, 1] => {
                        let _ = socket.send_to(&stun_success(datagram, from), from).await;
                        if victim.is_none() {
                            victim = Some(from);
                            dtls.connect(Instant::now(), from, config.clone(), None).expect("a handshake");
                        }
                    }
                    Some(20..=63) => {
                        let events = dtls.read(Instant::now(), from, None, BytesMut::from(datagram)).unwrap_or_default();
                        for event in events {
                            match event {
                                EndpointEvent::HandshakeComplete => {
                                    secured = true;
                                    seen.secured.fetch_add(1, Ordering::SeqCst);
                                }
                                EndpointEvent::ApplicationData(data) if data.len() >= 20 => {
                                    seen.answered.fetch_add(1, Ordering::SeqCst);
                                    match data[12] {
                                        // INIT ACK: returning its cookie opens the association.
                                        2 => {
                                            tag = u32::from_be_bytes([data[16], data[17], data[18], data[19]]);
                                            if let Some(cookie) = cookie(&data[32..]) {
                                                send.push(sctp(tag, 10, cookie));
                                            }
                                        }
                                        // COOKIE ACK: the attack starts.
                                        11 => send.extend((0..4).map(|n| blow(plan, tag, n))),
                                        _ => {}
                                    }
                                }
                                _ => {}
                            }
                        }
                    }
                    _ => {}
                }
            }
            _ = tick.tick() => {
                if let Some(victim) = victim {
                    let _ = dtls.handle_timeout(victim, Instant::now());
                    if secured {
                        send.extend([init(), forward(VERIFICATION), sctp(VERIFICATION, 130, &[0; 400])]);
                        if tag != 0 {
                            send.extend((0..16).map(|n| blow(plan, tag, number + n)));
                            number += 16;
                        }
                    }
                }
            }
        }
        if let Some(victim) = victim {
            for packet in send {
                if dtls.write(Instant::now(), victim, &packet).is_ok() {
                    seen.sent.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
        while let Some(out) = dtls.poll_transmit() {
            let _ = socket.send_to(&out.message, out.transport.peer_addr).await;
        }
    }
}

/// One packet of a plan.
fn blow(plan: Plan, tag: u32, number: u32) -> Vec<u8> {
    match plan {
        Plan::Forward => forward(tag),
        Plan::Causes => sctp(tag, [6, 9][number as usize % 2], &[0, 12, 0, 99, 1, 2, 3, 4]),
        Plan::Streams => {
            let mut data = (FIRST_TSN + number).to_be_bytes().to_vec();
            data.extend((number as u16).to_be_bytes());
            data.extend([0, 0, 0, 0, 0, 53, b'x']);
            let mut packet = sctp(tag, 0, &data);
            // Begin and end flags of a message.
            packet[13] = 3;
            packet[8..12].fill(0);
            let sum = crc(0x82f6_3b78, &packet);
            packet[8..12].copy_from_slice(&sum.to_le_bytes());
            packet
        }
        Plan::Resets => {
            let mut request = vec![0, 13, 0, 18];
            request.extend(number.to_be_bytes());
            request.extend([0; 4]);
            request.extend(FIRST_TSN.wrapping_add(1 << 30).to_be_bytes());
            request.extend([0, 1, 0, 0]);
            sctp(tag, 130, &request)
        }
    }
}

/// FORWARD-TSN (RFC 3758): skips almost 2^31 TSNs.
fn forward(tag: u32) -> Vec<u8> {
    sctp(tag, 192, &FIRST_TSN.wrapping_add(0x7fff_fff0).to_be_bytes())
}

/// The state cookie among the parameters of an INIT ACK.
fn cookie(mut parameters: &[u8]) -> Option<&[u8]> {
    while let [a, b, c, d, ..] = *parameters {
        let length = usize::from(u16::from_be_bytes([c, d]));
        if (a, b) == (0, 7) {
            return parameters.get(4..length);
        }
        parameters = parameters.get(length.max(4).next_multiple_of(4)..)?;
    }
    None
}
