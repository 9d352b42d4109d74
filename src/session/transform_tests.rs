//! A transform of every frame, as for encryption, over the whole path through a session: from the application's samples
//! to packets, and from packets to the audio that another application receives.

use super::{
    counters::MediaCounters,
    frames::{AudioFrame, AudioOptions, Who},
    notice::Notice,
    outgoing::{Outgoing, TrackOptions},
    playout::{Playout, Receiving},
};
use crate::core::model::{Generation, TrackKind};
use crate::dispatch::{self, Delivery, Limits, Mailbox};
use crate::media::{
    audio::{payload::Red, receive::ReceiveStats, red, send::AudioFormat},
    frame::EncodedFrame,
    transform::{FrameTransform, NoTransforms, Refused, Transforms},
};
use crate::rtc::engine::{EngineResult, MediaKind, PacketSink, RemoteTrackInfo, RtpOut, RtpPacket, RtpSender};
use parking_lot::Mutex;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Not a cipher, but like one: every byte is changed, and a tag is added that the receiver checks.
#[derive(Clone, Copy, Debug)]
struct Key(u8);

struct Seal(u8);
struct Open(u8);

impl FrameTransform for Seal {
    fn transform(&mut self, frame: &mut EncodedFrame) -> Result<(), Refused> {
        let changed = frame.payload.iter().map(|byte| byte ^ self.0).chain([self.0; 4]);
        frame.payload = changed.collect();
        Ok(())
    }
}

impl FrameTransform for Open {
    fn transform(&mut self, frame: &mut EncodedFrame) -> Result<(), Refused> {
        let payload = frame.payload.strip_suffix(&[self.0; 4]).ok_or(Refused)?;
        frame.payload = payload.iter().map(|byte| byte ^ self.0).collect();
        Ok(())
    }
}

impl Transforms for Key {
    fn sending(&self) -> Box<dyn FrameTransform> {
        Box::new(Seal(self.0))
    }

    fn receiving(&self) -> Box<dyn FrameTransform> {
        Box::new(Open(self.0))
    }
}

/// The sent packets, as they arrive.
struct Wire {
    red: Mutex<red::Encoder>,
    payload_type: u8,
    packets: Mutex<Vec<RtpPacket>>,
}

impl RtpSender for Wire {
    fn send(&self, packet: RtpOut) -> EngineResult<()> {
        let RtpOut { sequence, timestamp, marker, payload, .. } = packet;
        let payload = match self.payload_type {
            RED => self.red.lock().packet(timestamp, &payload, OPUS),
            _ => payload,
        };
        let (ssrc, payload_type) = (5, self.payload_type);
        let packet = RtpPacket { sequence, timestamp, ssrc, payload_type, marker, payload, ..RtpPacket::default() };
        self.packets.lock().push(packet);
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }
}

const OPUS: u8 = 111;
const RED: u8 = 63;
const FRAMES: usize = 10;

/// The packets that a track sends for a tone.
async fn sent(transforms: &dyn Transforms, payload_type: u8) -> Vec<RtpPacket> {
    let options = TrackOptions::of(AudioFormat::Pcm { rate: 48_000, channels: 1 });
    let track = Outgoing::new(1, options, 1, Arc::default()).expect("a track").transformed(transforms.sending());
    let track = Arc::new(track);
    let wire = Arc::new(Wire { red: Mutex::new(red::Encoder::new(1)), payload_type, packets: Mutex::default() });
    track.add_writer(Generation(1), wire.clone());
    assert!(track.set_published(true));
    let tone: Vec<i16> = (0..960 * FRAMES).map(|n| ((n as f32 * 0.0576).sin() * 13_000.0) as i16).collect();
    track.write_s16(&tone).expect("room");
    let pacing = tokio::spawn(track.clone().pace(Arc::<MediaCounters>::default()));
    let all = async {
        while wire.packets.lock().len() < FRAMES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("all is sent");
    track.stop();
    tokio::time::timeout(Duration::from_secs(20), pacing).await.expect("it ends with the track").expect("no panic");
    let packets = wire.packets.lock().clone();
    packets
}

/// Number of loud frames that a receiver gets, and its statistics; if `lossy`, every fifth packet is lost.
fn receive(transforms: Arc<dyn Transforms>, packets: &[RtpPacket], lossy: bool) -> (usize, ReceiveStats) {
    let limits = Limits { control: 64, vital: 8, media: 256, ..Limits::default() };
    let mailbox: Mailbox<Notice, AudioFrame> = Mailbox::pulled(dispatch::pool(), limits);
    let totals = Arc::<Mutex<ReceiveStats>>::default();
    let call = Receiving {
        began: Instant::now(),
        media: Arc::default(),
        totals: totals.clone(),
        secrets: Arc::default(),
        closed: Arc::default(),
        mailbox: mailbox.clone(),
        transforms,
    };
    let options = AudioOptions {
        rate: 48_000,
        channels: 1,
        float: false,
        opus: false,
        min_delay_ms: 20,
        max_delay_ms: 200,
        wanted: true,
    };
    let playout = Playout::new(options, call);
    let info = RemoteTrackInfo {
        kind: MediaKind::Audio,
        stream_id: String::new(),
        track_id: String::new(),
        rid: String::new(),
        mid: "0".into(),
        ssrc: 5,
        mime: "audio/opus".into(),
        clock_rate: 48_000,
        opus_types: vec![OPUS],
        red: Some(Red { outer: RED, inner: OPUS }),
    };
    let (id, mut sink): (_, Box<dyn PacketSink>) = playout.add(&info, None, Arc::new(|_| true)).expect("a place");
    let who = Who::new("ann".into(), "ann-session".into(), "mic".into(), TrackKind::Audio);
    playout.bind(id, who, false);
    for (n, packet) in packets.iter().enumerate() {
        if !lossy || n % 5 != 2 {
            sink.packet(packet.clone());
        }
    }
    playout.play_out(id);
    drop(sink);
    let mut loud = 0;
    while let Ok(Delivery::Media(frame)) = mailbox.next(Duration::ZERO) {
        loud += usize::from(frame.level > 0.15);
    }
    let totals = *totals.lock();
    (loud, totals)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_are_changed_and_changed_back_on_the_whole_way() {
    for payload_type in [OPUS, RED] {
        let plain = sent(&NoTransforms, payload_type).await;
        let sealed = sent(&Key(0x5a), payload_type).await;
        assert!(sealed.iter().all(|packet| packet.payload.ends_with(&[0x5a; 4])), "no frame is sent unchanged");
        let none: Arc<dyn Transforms> = Arc::new(NoTransforms);
        let key: Arc<dyn Transforms> = Arc::new(Key(0x5a));
        for (transforms, packets) in [(none, &plain), (key, &sealed)] {
            let (loud, stats) = receive(transforms.clone(), packets, false);
            assert!(loud >= FRAMES - 1, "{transforms:?} {payload_type}: {loud} frames, {stats:?}");
            assert_eq!((stats.refused, stats.lost, stats.discarded), (0, 0, 0), "{stats:?}");
            let (loud, stats) = receive(transforms, packets, true);
            assert_eq!(stats.restored > 0, payload_type == RED, "redundant frames are restored, too: {stats:?}");
            assert!(payload_type == OPUS || loud >= FRAMES - 1, "{loud}: {stats:?}");
        }
        // A receiver with another key, or none, gets no audio; that is counted, and nothing else is wrong.
        let (loud, stats) = receive(Arc::new(Key(0x5b)), &sealed, false);
        assert_eq!((loud, stats.refused, stats.lost), (0, FRAMES as u64, 0), "{stats:?}");
    }
}
