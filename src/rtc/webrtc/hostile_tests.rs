//! A hostile SFU: ICE-lite and DTLS by hand, and then whatever it likes as SCTP.
//!
//! Beside the engine because it is made of the engine's DTLS; a module of `rtc::tests`.

use super::*;
use ::rtc::dtls::config::{ConfigBuilder, ExtendedMasterSecretType};
use ::rtc::dtls::crypto::Certificate;
use ::rtc::dtls::endpoint::{Endpoint, EndpointEvent};
use ::rtc::dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use ::rtc::shared::TransportProtocol;
use bytes::BytesMut;
use std::net::SocketAddr;
use tokio::net::UdpSocket;

const PASSWORD: &str = "a-password-of-the-hostile-one";
const VERIFICATION: u32 = 0x0102_0304;
const FIRST_TSN: u32 = 1_000;

/// A checksum by bit; speed is of no concern here.
fn crc(polynomial: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { polynomial } else { 0 })
    })
}

/// The answer to a STUN binding request (RFC 8489), as an ICE-lite agent gives it to anyone.
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

/// What an attacker sends once it is past DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    /// Everything up to 2^31 ahead has come, it says.
    Forward,
    /// Causes of an abort that are longer than it.
    Causes,
    /// Data on one stream after the other.
    Streams,
    /// Resets of streams that can be done only much later.
    Resets,
}

/// How far the attack came.
#[derive(Default)]
struct Seen {
    secured: AtomicUsize,
    /// Datagrams with SCTP sent, and those that came back.
    sent: AtomicUsize,
    answered: AtomicUsize,
}

struct Hostile {
    seen: Arc<Seen>,
    offer: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hostile {
    async fn new() -> Self {
        Self::with(Plan::Forward, Duration::from_millis(1)).await
    }

    async fn with(plan: Plan, pace: Duration) -> Self {
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
                                        // INIT ACK: its cookie comes back, and the way is free.
                                        2 => {
                                            tag = u32::from_be_bytes([data[16], data[17], data[18], data[19]]);
                                            if let Some(cookie) = cookie(&data[32..]) {
                                                send.push(sctp(tag, 10, cookie));
                                            }
                                        }
                                        // COOKIE ACK: now it begins.
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
            // Beginning and end of a message.
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

/// FORWARD-TSN (RFC 3758): skips all but 2^31 numbers.
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

/// The longest time without a packet at a subscriber, as a thread of its own sees it.
struct Gaps {
    longest: Arc<Mutex<Duration>>,
    stop: Arc<AtomicUsize>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Gaps {
    fn watch(heard: Arc<Hear>) -> Self {
        let (longest, stop) = (Arc::new(Mutex::new(Duration::ZERO)), Arc::new(AtomicUsize::new(0)));
        let (max, end) = (longest.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let (mut count, mut since) = (heard.packets(0).len(), Instant::now());
            while end.load(Ordering::SeqCst) == 0 {
                std::thread::sleep(Duration::from_millis(2));
                let now = heard.packets(0).len();
                let mut max = max.lock();
                *max = since.elapsed().max(*max);
                if now != count {
                    (count, since) = (now, Instant::now());
                }
            }
        });
        Self { longest, stop, thread: Some(thread) }
    }

    /// The longest so far; from here on it is measured anew.
    fn take(&self) -> Duration {
        std::mem::take(&mut *self.longest.lock())
    }
}

impl Drop for Gaps {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One I/O thread for everybody, so that whatever holds it up is heard next door.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn sctp_from_a_peer_past_dtls_costs_nothing_where_no_data_is_used() {
    let (neighbour, talking, gaps, quiet) = talking_neighbour().await;
    let hostile = Hostile::new().await;
    let hear = Arc::new(Hear::default());
    let options = PeerOptions { loopback_only: true, refuse_data: true, ..PeerOptions::default() };
    let victim = alone(&neighbour.engine, PeerKind::Subscriber, options, &hear);
    let answer = victim.answer(&hostile.offer, &[]).expect("an answer").sdp;
    assert!(answer.contains("m=application 0 ") && answer.contains("a=group:BUNDLE 1\r\n"), "{answer}");
    assert!(!answer.contains("sctp-port"), "{answer}");
    until("DTLS", || hostile.seen.secured.load(Ordering::SeqCst) == 1 && hear.has(PeerState::Connected)).await;
    // A busy machine makes gaps of its own: the best of five windows counts. The attack lasts for all of them.
    let allowed = (3 * quiet).max(Duration::from_millis(60));
    let mut attacked = Duration::MAX;
    for _ in 0..5 {
        gaps.take();
        let (before, sent) = (neighbour.heard.packets(0).len(), hostile.seen.sent.load(Ordering::SeqCst));
        until("an attack", || {
            hostile.seen.sent.load(Ordering::SeqCst) > sent + 500 && neighbour.heard.packets(0).len() > before + 50
        })
        .await;
        attacked = attacked.min(gaps.take());
        if attacked <= allowed {
            break;
        }
    }
    println!("longest gap next door: {quiet:?} before, {attacked:?} while attacked");
    assert_eq!(hostile.seen.answered.load(Ordering::SeqCst), 0, "there is no association that answers");
    assert!(attacked <= allowed, "{quiet:?} before, {attacked:?} while attacked");
    assert!(!hear.has(PeerState::Failed) && hear.channels.lock().is_empty());
    drop(gaps);
    talking.abort();
    close(&victim, &hear).await;
    neighbour.close().await;
}

/// A pair that talks, on the one I/O thread that everybody has.
async fn talking_neighbour() -> (Pair, tokio::task::JoinHandle<()>, Gaps, Duration) {
    let neighbour = Pair::new().await;
    let writer = neighbour.negotiate(&wanted(&["mic"]), |sdp| sdp).await.writer("mic");
    neighbour.connected().await;
    send_until(&writer, 1, || !neighbour.heard.packets(0).is_empty()).await;
    let talking = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        for i in 1_000u16.. {
            tick.tick().await;
            let payload = Bytes::from_static(b"neighbour");
            let _ = writer.send(RtpOut { sequence: i, timestamp: u32::from(i) * 960, payload, ..RtpOut::default() });
        }
    });
    let gaps = Gaps::watch(neighbour.heard.clone());
    let before = neighbour.heard.packets(0).len();
    until("a quiet second", || neighbour.heard.packets(0).len() > before + 50).await;
    let quiet = gaps.take();
    (neighbour, talking, gaps, quiet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn eight_hostile_peers_fail_and_a_neighbour_is_heard_on() {
    let (neighbour, talking, gaps, quiet) = talking_neighbour().await;
    // The attackers' own work is on another thread.
    let elsewhere =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let plans = [Plan::Forward, Plan::Causes, Plan::Streams, Plan::Resets];
    let (mut hostiles, mut victims) = (Vec::new(), Vec::new());
    gaps.take();
    for plan in plans.into_iter().cycle().take(8) {
        let hostile = elsewhere.spawn(Hostile::with(plan, Duration::from_millis(4))).await.expect("an attacker");
        let hear = Arc::new(Hear::default());
        let options = PeerOptions { loopback_only: true, ..PeerOptions::default() };
        let victim = alone(&neighbour.engine, PeerKind::Subscriber, options, &hear);
        let answer = victim.answer(&hostile.offer, &[]).expect("an answer").sdp;
        assert!(!answer.contains("m=application 0 "), "{answer}");
        hostiles.push(hostile);
        victims.push((plan, victim, hear));
    }
    for (plan, _, hear) in &victims {
        until(&format!("{plan:?} fails"), || hear.has(PeerState::Failed)).await;
        assert!(hear.has(PeerState::Connected), "{plan:?} was past DTLS");
    }
    // Each of the plans would keep the thread for seconds, once.
    let worst = gaps.take();
    assert!(worst < (20 * quiet).max(Duration::from_secs(2)), "{quiet:?} before, {worst:?} while they came");
    // They go on; a busy machine makes gaps of its own: the best of five windows counts.
    let allowed = (3 * quiet).max(Duration::from_millis(60));
    let mut attacked = Duration::MAX;
    let sent = || hostiles.iter().map(|hostile| hostile.seen.sent.load(Ordering::SeqCst)).sum::<usize>();
    for _ in 0..5 {
        gaps.take();
        let (before, had) = (neighbour.heard.packets(0).len(), sent());
        until("an attack", || sent() > had + 2_000 && neighbour.heard.packets(0).len() > before + 50).await;
        attacked = attacked.min(gaps.take());
        if attacked <= allowed {
            break;
        }
    }
    println!("longest gap next door: {quiet:?} before, {worst:?} as they came, {attacked:?} while attacked");
    assert!(attacked <= allowed, "{quiet:?} before, {attacked:?} while attacked");
    assert!(!neighbour.heard.has(PeerState::Disconnected) && !neighbour.out.has(PeerState::Disconnected));
    drop((gaps, hostiles));
    talking.abort();
    for (_, victim, hear) in &victims {
        close(victim, hear).await;
        assert_eq!(hear.count(PeerState::Closed), 1);
    }
    neighbour.close().await;
    elsewhere.shutdown_background();
    until("no task is left", || neighbour.engine.live_tasks() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_of_nothing_but_data_is_answered_and_refused() {
    let engine = WebRtcEngine::new();
    let hear = Arc::new(Hear::default());
    let options = PeerOptions { loopback_only: true, refuse_data: true, ..PeerOptions::default() };
    let peer = alone(&engine, PeerKind::Subscriber, options, &hear);
    let hostile = Hostile::new().await;
    let (data, audio) = hostile.offer.split_once("m=audio").expect("two m-lines");
    let answer = peer.answer(&data.replace("BUNDLE 0 1", "BUNDLE 0"), &[]).expect("an answer").sdp;
    assert!(answer.contains("m=application 0 ") && !answer.contains("candidate"), "{answer}");
    // Audio joins; only now there is something to connect.
    let answer = peer.answer(&format!("{data}m=audio{audio}"), &[]).expect("an answer").sdp;
    assert_eq!(crate::rtc::sdp::mids(&answer), ["0", "1"]);
    until("DTLS", || hostile.seen.secured.load(Ordering::SeqCst) == 1 && hear.has(PeerState::Connected)).await;
    close(&peer, &hear).await;
}
