//! Redundant audio between two local peer connections and with another WebRTC stack; rejected video.

use super::stack::Sfu;
use super::*;
use crate::media::audio::{payload::Red, red};

fn with_red(track: &str, red: u8) -> AudioSenderSpec {
    AudioSenderSpec { red, ..spec(track) }
}

/// Real Opus frames that differ only in their number.
fn frame(i: u16) -> Bytes {
    Bytes::from(vec![0xf8, (i >> 8) as u8, i as u8])
}

/// Packets of one sender, numbered consecutively: a repeated number would be a replay (RFC 3711 §3.3.2).
struct PacketSender {
    writer: Arc<dyn RtpSender>,
    next: u16,
}

impl PacketSender {
    fn new(writer: Arc<dyn RtpSender>) -> Self {
        Self { writer, next: 1 }
    }

    async fn send(&mut self, count: u16) {
        for i in self.next..self.next + count {
            let packet = RtpOut { sequence: i, timestamp: u32::from(i) * 960, payload: frame(i), ..RtpOut::default() };
            self.writer.send(packet).expect("a packet is taken");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.next += count;
    }
}

/// The frame of a packet and the earlier ones in it, with their sequence numbers and timestamps.
fn frames(packet: &RtpPacket, red: Option<Red>) -> (Bytes, Vec<(u16, u32, Bytes)>) {
    match red.filter(|red| red.outer == packet.payload_type) {
        None => (packet.payload.clone(), Vec::new()),
        Some(red) => {
            let parts = red::parse(&packet.payload, red.inner).expect("a packet of redundant audio");
            let earlier = parts.earlier().map(|(back, block)| {
                let timestamp = packet.timestamp.wrapping_sub(u32::from(block.offset));
                (packet.sequence.wrapping_sub(back), timestamp, block.payload.clone())
            });
            (parts.primary.clone(), earlier.collect())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn earlier_frames_travel_along() {
    let pair = Pair::new().await;
    let senders = vec![with_red("mic", 2), with_red("plain", 0)];
    let offer = pair.negotiate(&Wanted { senders, ..Wanted::default() }, |sdp| sdp).await;
    let (mut mic, mut plain) = (PacketSender::new(offer.writer("mic")), PacketSender::new(offer.writer("plain")));
    let lines: Vec<&str> = offer.sdp.split("m=audio").collect();
    assert!(lines[1].contains("red/48000/2") && lines[1].contains("a=fmtp:63 111/111"), "{}", lines[1]);
    assert!(!lines[2].contains("red/") && !lines[2].contains("SAVPF 111 63"), "{}", lines[2]);
    pair.connected().await;
    soon("media", async {
        while pair.subscriber_observer.infos().len() < 2 {
            mic.send(5).await;
            plain.send(5).await;
        }
    })
    .await;
    let track =
        |id: &str| pair.subscriber_observer.infos().iter().position(|info| info.track_id == id).expect("the track");
    let infos = pair.subscriber_observer.infos();
    assert!(infos.iter().all(|info| info.mime.eq_ignore_ascii_case("audio/opus")), "{infos:?}");
    let red = |id: &str| infos.iter().find(|info| info.track_id == id).and_then(|info| info.red);
    assert_eq!((red("mic"), red("plain")), (Some(Red { outer: 63, inner: 111 }), None));
    let (first, last) = (mic.next, [mic.next + 49, plain.next + 49]);
    mic.send(50).await;
    plain.send(50).await;
    for (id, last) in ["mic", "plain"].into_iter().zip(last) {
        until("all of it", || pair.subscriber_observer.packets(track(id)).iter().any(|p| p.sequence == last)).await;
        for packet in pair.subscriber_observer.packets(track(id)) {
            let (primary, earlier) = frames(&packet, red(id));
            assert_eq!((primary, packet.timestamp), (frame(packet.sequence), u32::from(packet.sequence) * 960), "{id}");
            for (sequence, timestamp, payload) in &earlier {
                assert_eq!((payload, *timestamp), (&frame(*sequence), u32::from(*sequence) * 960), "{id}");
            }
            let expected = if id == "mic" && packet.sequence >= first { 2 } else { earlier.len() };
            assert_eq!(earlier.len(), expected, "redundant frames in number {}", packet.sequence);
            assert!(id == "mic" || packet.payload_type == 111, "{packet:?}");
        }
    }
    pair.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redundant_audio_is_not_sent_unless_answered() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (publisher, out) = peer(&engine, PeerKind::Publisher).await;
    let senders = vec![with_red("mic", 1)];
    let offer = publisher.offer(&Wanted { senders, ..Wanted::default() }).expect("an offer");
    let mut mic = PacketSender::new(offer.writer("mic"));
    sfu.answer(&publisher, &offer, |sdp| {
        assert!(!sdp.contains("red/48000"), "the other stack is set up without: {sdp}");
        sdp
    })
    .await;
    until("connected", || out.has(PeerState::Connected)).await;
    soon("media", async {
        while sfu.log.lock().packets.len() < 20 {
            mic.send(10).await;
        }
    })
    .await;
    assert!(sfu.log.lock().packets.iter().all(|packet| packet.2.len() == 3), "frames and nothing else");
    close(&publisher, &out).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redundant_audio_to_another_stack() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::with_red().await;
    let (publisher, out) = peer(&engine, PeerKind::Publisher).await;
    let senders = vec![with_red("mic", 1)];
    let offer = publisher.offer(&Wanted { senders, ..Wanted::default() }).expect("an offer");
    let mut mic = PacketSender::new(offer.writer("mic"));
    sfu.answer(&publisher, &offer, |sdp| sdp).await;
    until("connected", || out.has(PeerState::Connected)).await;
    soon("media", async {
        while sfu.log.lock().packets.len() < 20 {
            mic.send(10).await;
        }
    })
    .await;
    let packets = sfu.log.lock().packets.clone();
    for (sequence, _, packet, _) in packets.iter().filter(|packet| packet.0 > packets[0].0) {
        let parts = red::parse(&Bytes::from(packet.clone()), 111).expect("a packet of redundant audio");
        let earlier: Vec<_> = parts.earlier().map(|(back, block)| (back, block.payload.clone())).collect();
        assert_eq!((parts.primary.clone(), earlier), (frame(*sequence), vec![(1, frame(sequence - 1))]));
    }
    close(&publisher, &out).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redundant_audio_from_another_stack() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::with_red().await;
    let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
    let (mid, _) = sfu.offer(&subscriber, |api| super::stack::audio(api, "pAUDIO", "a")).await;
    let (mut encoder, mut sequence) = (red::Encoder::new(1), 0);
    soon("media from the other stack", async {
        while observer.infos().is_empty() || observer.packets(0).len() < 20 {
            sequence += 1;
            let packet = encoder.packet(u32::from(sequence) * 960, &frame(sequence), 111);
            sfu.send_as(mid, 63, sequence, packet.to_vec()).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    let info = &observer.infos()[0];
    assert_eq!(info.mime.to_ascii_lowercase(), "audio/opus");
    let red = info.red.expect("redundant audio is negotiated");
    for packet in observer.packets(0) {
        let (primary, earlier) = frames(&packet, Some(red));
        assert_eq!((packet.payload_type, primary), (red.outer, frame(packet.sequence)));
        assert!(earlier.iter().all(|(sequence, _, payload)| *payload == frame(*sequence)));
    }
    close(&subscriber, &observer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn video_is_answered_as_inactive_and_audio_goes_on() {
    let engine = WebRtcEngine::new();
    let sfu = Sfu::new().await;
    let (subscriber, observer) = peer(&engine, PeerKind::Subscriber).await;
    // The first m-line, which carries the bundle.
    let ((video, audio), _) = sfu
        .offer(&subscriber, |api| {
            let direction = str0m::media::Direction::SendOnly;
            let video =
                api.add_media(str0m::media::MediaKind::Video, direction, Some("v".into()), Some("v".into()), None);
            (video, super::stack::audio(api, "pAUDIO", "a"))
        })
        .await;
    super::stack::feed(&sfu, audio, 1, || !observer.infos().is_empty() && observer.packets(0).len() > 20).await;
    let sends = sfu.with(move |rtc| rtc.media(video).map(|m| m.direction().is_sending())).await;
    assert_eq!(sends, Some(false), "the remote peer does not send");
    assert_eq!(observer.infos().len(), 1);
    close(&subscriber, &observer).await;
}
