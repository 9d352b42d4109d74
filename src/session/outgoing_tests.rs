//! Tests of written audio, with and without a connection that carries it.

use super::*;
use crate::media::audio::send::AudioSource;
use crate::rtc::engine::{EngineResult, FeedbackHandler};

/// Keeps the feedback callback. Connected unless `down`.
#[derive(Default)]
struct Wire(Mutex<Option<FeedbackHandler>>, AtomicBool);

impl Wire {
    fn down() -> Arc<Self> {
        Arc::new(Self(Mutex::default(), AtomicBool::new(true)))
    }
}

impl RtpSender for Wire {
    fn send(&self, _: RtpOut) -> EngineResult<()> {
        assert!(self.is_open(), "sent without a connection");
        Ok(())
    }

    fn is_open(&self) -> bool {
        !self.1.load(Ordering::Relaxed)
    }

    fn set_feedback_handler(&self, callback: FeedbackHandler) {
        *self.0.lock() = Some(callback);
    }
}

const FRAME: usize = 960;

/// A track with its pacing task, run by the test.
struct Paced {
    track: Arc<Outgoing>,
    totals: Arc<AudioTotals>,
    source: AudioSource<Arc<Outgoing>>,
    way: Way,
    now: Duration,
    media: MediaCounters,
}

impl std::ops::Deref for Paced {
    type Target = Outgoing;

    fn deref(&self) -> &Outgoing {
        &self.track
    }
}

impl Paced {
    fn new(input: AudioFormat) -> Self {
        Self::with(TrackOptions::of(input))
    }

    fn with(options: TrackOptions) -> Self {
        let totals = Arc::<AudioTotals>::default();
        let track = Arc::new(Outgoing::new(1, options, 1, totals.clone()).expect("a track"));
        let Outlet { coder, way } = track.outlet.lock().take().expect("not paced yet");
        let source = coder.with(track.clone());
        Self { track, totals, source, way, now: Duration::ZERO, media: MediaCounters::default() }
    }

    fn until(&mut self, now: Duration) -> Next {
        self.now = now;
        self.track.send_due(&mut self.source, &mut self.way, now, &self.media)
    }

    fn frames(&self) -> u64 {
        self.track.state.lock().input.frames()
    }

    /// Runs that many ticks; returns the number of frames taken.
    fn take(&mut self, ticks: u32) -> u64 {
        let before = self.frames();
        for _ in 0..ticks {
            self.until(self.now + Duration::from_millis(20));
        }
        self.frames() - before
    }
}

const PCM: AudioFormat = AudioFormat::Pcm { rate: 48_000, channels: 1 };

#[test]
fn after_finish_buffered_audio_waits_for_a_connection() {
    let mut track = Paced::new(PCM);
    track.add_writer(Generation(1), Arc::<Wire>::default());
    assert!(track.set_published(true), "it is to be paced");
    track.until(Duration::ZERO);
    let audio: Vec<i16> = (0..20 * FRAME).map(|n| ((n as f64 * 0.06).sin() * 8_000.0) as i16).collect();
    track.write_s16(&audio).expect("room");
    assert_eq!(track.take(5), 5);
    // Without a connection audio is dropped, as long as more may follow.
    track.remove_writer(Generation(1));
    assert_eq!(track.take(5), 5);
    // The rest must still be sent.
    track.finish();
    let left = track.buffered_ms();
    assert_eq!(track.take(50), 0);
    assert_eq!((track.buffered_ms(), track.is_played_out()), (left, false));
    // A connection that is not negotiated yet carries nothing.
    track.add_writer(Generation(2), Arc::<Wire>::default());
    assert_eq!(track.take(50), 0);
    assert_eq!(track.buffered_ms(), left);
    assert!(!track.set_published(true), "it is paced already");
    assert_eq!(track.take(5), 5);
    assert!(track.buffered_ms() < left);
    // This connection is lost as well: unsent audio is counted.
    track.remove_writer(Generation(2));
    let left = track.buffered_ms();
    assert_eq!(track.take(50), 0);
    track.stop();
    assert_eq!(track.totals.unsent_ms.load(Ordering::Relaxed), u64::from(left));
    assert!(left >= 80, "{left}");
}

#[test]
fn nothing_is_lost_before_the_first_connection() {
    let mut track = Paced::new(PCM);
    let wire = Wire::down();
    track.add_writer(Generation(1), wire.clone());
    track.set_published(true);
    assert!(matches!(track.until(Duration::ZERO), Next::At(None)), "nothing is written");
    track.write_s16(&vec![5_000; 20 * FRAME]).expect("room");
    // Negotiated, and not connected for 300 ms.
    assert_eq!((track.take(15), track.buffered_ms()), (0, 400));
    assert!(matches!(track.until(track.now), Next::At(Some(_))));
    wire.1.store(false, Ordering::Relaxed);
    // At its own pace: what waited is not sent in a burst.
    assert!((5..=6).contains(&track.take(5)));
    // Once connected, audio written without a connection is dropped; its packets do not count as sent.
    let sent = track.stats().packets_sent;
    wire.1.store(true, Ordering::Relaxed);
    assert_eq!((track.take(5), track.stats().packets_sent), (5, sent));
    // The rest of an ended track waits for the connection, not for the negotiation alone.
    track.finish();
    let left = track.buffered_ms();
    assert_eq!((track.take(20), track.buffered_ms()), (0, left));
    wire.1.store(false, Ordering::Relaxed);
    assert_eq!(track.take(3), 3);
}

#[test]
fn the_applications_own_frames_go_by_their_own_deadlines() {
    // CELT frames of 2.5, 10 and 60 ms, by their TOC.
    for (packet, ms) in [(&[0xe0u8, 1, 2, 3][..], 2.5f32), (&[0xf0, 1, 2, 3], 10.0), (&[0xfb, 3, 1, 2, 3], 60.0)] {
        let mut track = Paced::new(AudioFormat::Opus);
        track.add_writer(Generation(1), Arc::<Wire>::default());
        track.set_published(true);
        assert!(matches!(track.until(Duration::ZERO), Next::At(None)), "nothing is written");
        for _ in 0..8 {
            track.write_opus(packet).expect("room");
        }
        let mut at = Duration::ZERO;
        for n in 1..=8u64 {
            let next = track.until(at);
            assert_eq!(track.frames(), n, "{ms} ms: at {at:?}");
            match next {
                Next::At(Some(next)) => {
                    assert_eq!((next - at).as_micros() as f32, ms * 1_000.0);
                    // Nothing is due just before it.
                    track.until(next - Duration::from_micros(1));
                    assert_eq!(track.frames(), n);
                    at = next;
                }
                Next::At(None) => assert_eq!(n, 8),
                Next::Ended => panic!("the track is published"),
            }
        }
        // After a pause the first packet is due at once, and the next one at its own time.
        let later = at + Duration::from_secs(3);
        track.write_opus(packet).expect("room");
        track.write_opus(packet).expect("room");
        track.until(later);
        assert_eq!(track.frames(), 9);
        track.until(later + Duration::from_micros((ms * 1_000.0) as u64));
        assert_eq!(track.frames(), 10);
        assert_eq!(track.buffered_ms(), 0);
    }
}

#[test]
fn receiver_feedback_reaches_the_frame_source() {
    #[derive(Default)]
    struct Source(Vec<TrackFeedback>);
    impl FrameSource for Source {
        fn deadline(&self) -> Option<Duration> {
            None
        }
        fn poll(&mut self, _: Duration) -> Option<EncodedFrame> {
            None
        }
        fn pass(&mut self, _: Duration) {}
        fn feedback(&mut self, feedback: TrackFeedback) {
            self.0.push(feedback);
        }
    }
    let mut track = Paced::new(PCM);
    let (old, new) = (Arc::<Wire>::default(), Arc::<Wire>::default());
    track.add_writer(Generation(1), old.clone());
    track.add_writer(Generation(2), new.clone());
    let send_feedback = |wire: &Wire, feedback| wire.0.lock().clone().expect("a feedback callback")(feedback);
    let mut source = Source::default();
    for n in 0..1_000 {
        send_feedback(&old, TrackFeedback::Nack(n));
    }
    send_feedback(&new, TrackFeedback::KeyFrame);
    track.track.send_due(&mut source, &mut track.way, Duration::ZERO, &track.media);
    assert_eq!(source.0.len(), MAX_FEEDBACK, "bounded");
    assert_eq!(source.0[MAX_FEEDBACK - 2..], [TrackFeedback::Nack(999), TrackFeedback::KeyFrame]);
    track.track.send_due(&mut source, &mut track.way, Duration::ZERO, &track.media);
    assert_eq!(source.0.len(), MAX_FEEDBACK, "delivered once");
    // After the end of the track feedback is ignored.
    track.stop();
    send_feedback(&new, TrackFeedback::KeyFrame);
}

#[test]
fn a_mute_while_a_frame_is_coded_keeps_it_back() {
    let mut track = Paced::new(PCM);
    track.add_writer(Generation(1), Arc::<Wire>::default());
    track.set_published(true);
    let audio: Vec<i16> = (0..50 * FRAME as i32).map(|n| ((n * 997) % 20_000 - 10_000) as i16).collect();
    std::thread::scope(|scope| {
        let outgoing = track.track.clone();
        let writer = scope.spawn(move || {
            // Writes, mutes and clears as fast as it can: never blocked by the encoder for long, always consistent.
            for n in 0..400u64 {
                let _ = outgoing.write_s16(&audio[..FRAME * (1 + n as usize % 4)]);
                match n % 4 {
                    0 => outgoing.set_muted(n % 8 == 0),
                    1 => drop(outgoing.clear()),
                    _ => std::thread::yield_now(),
                }
            }
            outgoing.set_muted(true);
        });
        while !writer.is_finished() {
            track.take(1);
        }
        writer.join().expect("no panic");
    });
    let sent = track.frames();
    track.take(20);
    assert_eq!(track.frames(), sent, "no audio is sent after a mute");
    let state = track.state.lock();
    assert!(state.is_drained() && state.input.buffered_ms() == 0);
}

#[test]
fn counters_of_a_track_stay_after_its_end() {
    let mut track = Paced::new(PCM);
    let wire = Arc::<Wire>::default();
    track.add_writer(Generation(1), wire.clone());
    let none = track.stats();
    assert_eq!((none.published, none.packets_sent, none.report, none.source), (false, 0, None, TrackKind::Audio));
    track.set_published(true);
    track.until(Duration::ZERO);
    let audio: Vec<i16> = (0..10 * FRAME).map(|n| ((n as f64 * 0.06).sin() * 8_000.0) as i16).collect();
    track.write_s16(&audio).expect("room");
    assert_eq!(track.take(5), 5);
    let callback = wire.0.lock().clone().expect("a feedback callback");
    let report = |total_lost| TrackFeedback::Report {
        fraction_lost: 64,
        total_lost,
        jitter: 480,
        round_trip: Some(Duration::from_millis(30)),
    };
    callback(report(1));
    callback(report(-7));
    callback(TrackFeedback::KeyFrame);
    let stats = track.stats();
    assert_eq!((stats.packets_sent, stats.published, stats.muted), (5, true, false));
    assert_eq!(stats.bytes_sent, track.media.bytes_sent.load(Ordering::Relaxed));
    assert_eq!((stats.sent_ms, stats.buffered_ms), (100, track.buffered_ms()));
    let report = stats.report.expect("the newest");
    assert_eq!((report.fraction_lost, report.total_lost, report.jitter_ms), (0.25, -7, 10.0));
    assert!(report.round_trip_ms.is_some_and(|trip| (trip - 30.0).abs() < 0.1), "{report:?}");
    track.set_moderated(true);
    assert!(track.stats().muted && track.stats().moderated);
    track.set_moderated(false);
    let left = track.buffered_ms();
    track.stop();
    track.stop();
    let ended = track.stats();
    assert_eq!(
        (ended.published, ended.packets_sent, ended.buffered_ms, ended.unsent_ms),
        (false, 5, 0, u64::from(left))
    );
    assert_eq!(track.totals.unsent_ms.load(Ordering::Relaxed), u64::from(left));
}

/// Keeps what is sent; `true`: it repeats each frame in the next packet.
#[derive(Default)]
struct Recorder(Mutex<Vec<Bytes>>, AtomicBool);

impl RtpSender for Recorder {
    fn send(&self, packet: RtpOut) -> EngineResult<()> {
        self.0.lock().push(packet.payload);
        Ok(())
    }

    fn is_open(&self) -> bool {
        true
    }

    fn is_redundant(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

#[test]
fn a_frame_that_red_repeats_is_not_coded_twice_as_well() {
    let mut track = Paced::new(PCM);
    let wire = Arc::<Recorder>::default();
    track.add_writer(Generation(1), wire.clone());
    track.set_published(true);
    track.until(Duration::ZERO);
    let speech = speech();
    let mut at = 0;
    let mut fec_of = |track: &mut Paced, redundant: bool| {
        wire.1.store(redundant, Ordering::Relaxed);
        wire.0.lock().clear();
        track.write_s16(&speech[at..at + 48 * FRAME]).expect("room");
        at += 48 * FRAME;
        assert_eq!(track.take(48), 48);
        let sent = wire.0.lock();
        let celt = sent.iter().filter(|packet| packet[0] & 0x80 != 0).count();
        (sent.iter().filter(|packet| opus::has_fec(packet)).count(), celt)
    };
    let (fec, celt) = fec_of(&mut track, false);
    assert!(fec > 10 && celt == 0, "{fec} with FEC, {celt} in CELT mode");
    let (fec, _) = fec_of(&mut track, true);
    assert!(fec <= 1, "{fec} with FEC");
    // The encoder takes some frames to change its mode.
    let (fec, celt) = fec_of(&mut track, true);
    assert!(fec == 0 && celt > 40, "{fec} with FEC, {celt} in CELT mode");
    // A connection without RED joins it: FEC is needed again.
    track.add_writer(Generation(2), Arc::<Recorder>::default());
    track.set_published(true);
    let (fec, _) = fec_of(&mut track, true);
    assert!(fec > 10, "{fec} with FEC");
}

/// Spoken words, mono at 48 kHz.
fn speech() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/speech/bob.wav");
    let wav = std::fs::read(path).expect("a file");
    wav[44..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Noise 65 dB below full scale.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> i16 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 16) as i16 % 32
    }

    /// The packets of 200 frames of it.
    fn packets(&mut self, track: &mut Paced, wire: &Recorder) -> usize {
        wire.0.lock().clear();
        for _ in 0..5 {
            let pause: Vec<i16> = (0..40 * FRAME).map(|_| self.next()).collect();
            track.write_s16(&pause).expect("room");
            track.take(40);
        }
        wire.0.lock().len()
    }
}

#[test]
fn a_pause_is_left_out_with_and_without_red() {
    for redundant in [false, true] {
        let mut options = TrackOptions::of(PCM);
        options.encoder.dtx = true;
        let mut track = Paced::with(options);
        let wire = Arc::new(Recorder(Mutex::default(), AtomicBool::new(redundant)));
        track.add_writer(Generation(1), wire.clone());
        track.set_published(true);
        track.until(Duration::ZERO);
        let mut noise = Noise(1);
        let first = noise.packets(&mut track, &wire);
        for words in speech().chunks_exact(40 * FRAME).take(10) {
            let words: Vec<i16> = words.iter().map(|sample| sample.saturating_add(noise.next())).collect();
            track.write_s16(&words).expect("room");
            track.take(40);
        }
        let after_words = noise.packets(&mut track, &wire);
        track.clear().expect("open");
        let after_clear = noise.packets(&mut track, &wire);
        for sent in [first, after_words, after_clear] {
            assert!((1..60).contains(&sent), "{sent} of 200 sent, RED: {redundant}");
        }
    }
}
