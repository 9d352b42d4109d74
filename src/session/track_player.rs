//! Converts the packets of one remote track to frames for the application: order, the call's transform, decoding.
//!
//! Each kind of track has its own player, which alone knows its codec and when its next frame is due. Must not know:
//! locks, tasks, mailboxes, whose track it is.

use super::frames::{AudioOptions, Samples};
use crate::error::Result;
use crate::media::{
    audio::{
        payload::PayloadTypes,
        receive::{AudioReceiveConfig, AudioReceiver, Pulled, ReceiveStats},
    },
    clock::NtpTime,
    frame::FrameReceiver,
    rtp::{
        pacer::{Pacer, TICK},
        RtpPacket,
    },
    transform::FrameTransform,
};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};

/// Most ticks made up for after a stall.
const CATCH_UP: u32 = 3;

/// A frame to deliver, with its metadata.
pub(super) struct Played {
    pub samples: Samples,
    pub timestamp: u32,
    pub capture_time: Option<NtpTime>,
    /// When its first packet arrived, by the clock of the packets.
    pub arrival: Option<Duration>,
    pub level: f32,
    pub concealed: bool,
    pub silence: bool,
}

/// Plays one remote track. Times are since the caller's epoch.
pub(super) trait TrackPlayer: Send {
    /// The payload types of its codec from now on.
    fn accept(&mut self, types: PayloadTypes);

    /// Takes a packet of any kind. Each of its frames goes through `transform` before its content is used.
    fn receive(&mut self, packet: RtpPacket, transform: &mut dyn FrameTransform);

    /// When to call [`TrackPlayer::play`] next; `None`: after the next packet.
    fn deadline(&self) -> Option<Duration>;

    /// A packet arrived at `now` while there was no deadline. `phase`: regular deadlines are whole intervals after it,
    /// so that one wake-up serves all tracks of a call.
    fn begin(&mut self, now: Duration, phase: Duration);

    /// Delivers the frames that are due. An early call does no harm, a late one makes up for a few ticks.
    fn play(&mut self, now: Duration, hand: &mut dyn FnMut(Played));

    /// Whether it holds media that was not delivered.
    fn holds(&self) -> bool;

    fn stats(&self) -> ReceiveStats;
}

/// Audio, 20 ms at a time.
pub(super) struct AudioPlayer {
    receiver: AudioReceiver,
    /// `None`: no packets for a while.
    ticks: Option<Pacer>,
    /// Ticks are whole intervals after this.
    phase: Duration,
    float: bool,
    opus: bool,
    /// Buffer for the next pull.
    samples: Samples,
    /// Buffers that the application has given back.
    spare: Arc<Mutex<Vec<Samples>>>,
}

impl AudioPlayer {
    /// # Errors
    /// As [`AudioReceiver::new`].
    pub fn new(options: &AudioOptions, spare: Arc<Mutex<Vec<Samples>>>) -> Result<Self> {
        let config = AudioReceiveConfig {
            rate: options.rate,
            channels: options.channels,
            min_delay: Duration::from_millis(u64::from(options.min_delay_ms)),
            max_delay: Duration::from_millis(u64::from(options.max_delay_ms)),
            deliver_opus: options.opus,
        };
        Ok(Self {
            receiver: AudioReceiver::new(config)?,
            ticks: None,
            phase: Duration::ZERO,
            float: options.float,
            opus: options.opus,
            samples: Samples::none(options.float),
            spare,
        })
    }

    /// Time since the last whole interval.
    fn since_interval(&self, now: Duration) -> Duration {
        // Less than one tick: it fits.
        Duration::from_nanos((now.saturating_sub(self.phase).as_nanos() % TICK.as_nanos()) as u64)
    }

    fn tick(&mut self, now: Duration, hand: &mut dyn FnMut(Played)) {
        if self.opus {
            while let Some(frame) = self.receiver.poll(now) {
                hand(Played {
                    samples: Samples::Opus(frame.payload),
                    timestamp: frame.rtp_time,
                    capture_time: frame.capture_time,
                    arrival: Some(frame.arrival),
                    level: 0.0,
                    concealed: frame.lost_before > 0,
                    silence: false,
                });
            }
            return;
        }
        let pulled = match &mut self.samples {
            Samples::F32(buffer) => self.receiver.pull(now, buffer),
            Samples::S16(buffer) => self.receiver.pull(now, buffer),
            Samples::Opus(_) => None,
        };
        if let Some(Pulled { timestamp, level, concealed, silence, arrival, .. }) = pulled {
            let next = self.fresh();
            let samples = std::mem::replace(&mut self.samples, next);
            hand(Played { samples, timestamp, capture_time: None, arrival, level, concealed, silence });
        }
    }

    /// An empty buffer of the form that the application wants; a used one if there is one.
    fn fresh(&self) -> Samples {
        let used = self.spare.lock().pop();
        used.filter(|used| used.same_form(self.float)).unwrap_or_else(|| Samples::none(self.float))
    }
}

impl TrackPlayer for AudioPlayer {
    fn accept(&mut self, types: PayloadTypes) {
        self.receiver.accept(types);
    }

    fn receive(&mut self, packet: RtpPacket, transform: &mut dyn FrameTransform) {
        self.receiver.receive(packet, transform);
    }

    fn deadline(&self) -> Option<Duration> {
        self.ticks.as_ref().map(Pacer::next_tick)
    }

    fn begin(&mut self, now: Duration, phase: Duration) {
        self.phase = phase;
        let since = self.since_interval(now);
        let wait = if since.is_zero() { since } else { TICK - since };
        self.ticks = Some(Pacer::new(now + wait, CATCH_UP));
    }

    fn play(&mut self, now: Duration, hand: &mut dyn FnMut(Played)) {
        let since = self.since_interval(now);
        let Some(ticks) = &mut self.ticks else { return };
        let due = ticks.poll(now);
        if due.skipped > 0 {
            *ticks = Pacer::new(now + (TICK - since), CATCH_UP);
        }
        for _ in 0..due.ticks {
            // A long delay may hold audio for longer than a pause takes to be recognised.
            if self.receiver.idle(now) && !self.receiver.holds_audio() {
                self.ticks = None;
                return;
            }
            self.tick(now, hand);
        }
    }

    fn holds(&self) -> bool {
        self.receiver.holds_audio()
    }

    fn stats(&self) -> ReceiveStats {
        self.receiver.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{audio::opus::Encoder, transform::Identity};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn player(opus: bool) -> AudioPlayer {
        delayed(opus, 20)
    }

    fn delayed(opus: bool, min_delay_ms: u32) -> AudioPlayer {
        let options = AudioOptions {
            rate: 48_000,
            channels: 1,
            float: false,
            opus,
            min_delay_ms,
            max_delay_ms: min_delay_ms.max(200),
            wanted: true,
        };
        AudioPlayer::new(&options, Arc::default()).unwrap()
    }

    fn packets(count: u16) -> Vec<RtpPacket> {
        let mut encoder = Encoder::new(&Default::default()).unwrap();
        let tone: Vec<f32> = (0..960).map(|i| (i as f32 * 0.0576).sin() * 0.4).collect();
        let make = |n: u16| {
            let payload = encoder.encode_f32(&tone).unwrap();
            let (timestamp, arrival) = (u32::from(n) * 960, ms(20 * u64::from(n)));
            RtpPacket { sequence: n, timestamp, payload_type: 111, payload, arrival, ..RtpPacket::default() }
        };
        (0..count).map(make).collect()
    }

    #[test]
    fn a_wake_serves_all_tracks_and_the_last_one_ends_by_itself() {
        let (mut one, mut two) = (player(false), player(true));
        assert_eq!((one.deadline(), two.deadline()), (None, None));
        one.play(ms(5), &mut |_| panic!("no packet has arrived"));
        // Begun at different times, due at the same ones: 20 ms apart, counted from the call's phase.
        let phase = ms(7);
        one.begin(ms(7), phase);
        two.begin(ms(16), phase);
        assert_eq!((one.deadline(), two.deadline()), (Some(ms(7)), Some(ms(27))));
        let (mut audible, mut passed, mut now) = (0, 0, ms(7));
        let mut packets = packets(50).into_iter().peekable();
        while let Some(at) = one.deadline().into_iter().chain(two.deadline()).min() {
            assert!(at >= now && (at - phase).as_nanos().is_multiple_of(TICK.as_nanos()), "{at:?} after {now:?}");
            now = at;
            while let Some(packet) = packets.next_if(|packet| packet.arrival <= now) {
                one.receive(packet.clone(), &mut Identity);
                two.receive(packet, &mut Identity);
            }
            one.play(now, &mut |played| audible += usize::from(played.level > 0.1));
            two.play(now, &mut |played| passed += usize::from(matches!(played.samples, Samples::Opus(_))));
            // Early or repeated: no effect.
            one.play(now, &mut |_| panic!("twice"));
            two.play(now, &mut |_| panic!("twice"));
        }
        assert!(audible >= 49 && passed == 50, "{audible} {passed}");
        // 500 ms after the last packet, and not before.
        assert!(now >= ms(49 * 20 + 500) && now <= ms(49 * 20 + 540), "{now:?}");
        assert!(packets.next().is_none() && !two.holds());
    }

    #[test]
    fn a_long_delay_loses_nothing_at_a_pause() {
        for (opus, min_delay_ms) in [(false, 600), (false, 2_000), (true, 2_000)] {
            let mut player = delayed(opus, min_delay_ms);
            player.begin(ms(0), ms(0));
            let mut packets = packets(110).into_iter().peekable();
            let mut played = 0;
            while let Some(at) = player.deadline() {
                while let Some(packet) = packets.next_if(|packet| packet.arrival <= at) {
                    player.receive(packet, &mut Identity);
                }
                player.play(at, &mut |frame| {
                    played += usize::from(frame.level > 0.1 || matches!(frame.samples, Samples::Opus(_)));
                });
                assert!(at < ms(10_000), "it never ends");
            }
            assert!((109..=112).contains(&played), "{played} frames with {min_delay_ms} ms");
        }
    }

    #[test]
    fn after_a_stall_a_little_is_made_up_for() {
        let mut player = player(false);
        player.begin(ms(0), ms(0));
        let mut packets = packets(60).into_iter();
        for n in 0..10 {
            player.receive(packets.next().unwrap(), &mut Identity);
            player.play(ms(20 * n), &mut |_| {});
        }
        packets.for_each(|packet| player.receive(packet, &mut Identity));
        let mut at_once = 0;
        player.play(ms(1_190), &mut |_| at_once += 1);
        assert_eq!((at_once, player.deadline()), (3, Some(ms(1_200))));
    }
}
