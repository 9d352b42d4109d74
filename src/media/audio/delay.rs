//! Packet delay estimation: how long to delay audio so that nearly all packets are in time.
//!
//! Must not know: payloads, order, decoding. Works on transit times: arrival minus media time. The smallest of the last
//! seconds (`base`) is the transit of an undelayed packet; how far a packet lies above it is its delay. Both clocks may
//! drift: only differences over seconds are used.

use std::time::Duration;

/// Half of the time over which the smallest transit is kept.
const WINDOW_US: i64 = 2_000_000;

/// Width and number of the histogram's bins: delays up to 400 ms are distinguished.
const BIN_US: i64 = 5_000;
const BINS: usize = 80;

/// Number of packets over which the histogram decays; about 5 s of 20 ms packets.
const MEMORY: f32 = 250.0;

/// Share of packets that must be in time.
const QUANTILE: f32 = 0.96;

/// Packets before the histogram is used.
const WARM_UP: u32 = 25;

/// Minimum delay until then.
const INITIAL_US: i64 = 40_000;

/// A packet that is late by no more than this above the target is still played.
pub(super) const LATE_TOLERANCE_US: i64 = 20_000;

/// Added to the measured delay, for late ticks.
const MARGIN_US: i64 = 10_000;

/// For how many packets a loss that redundancy could repair is remembered: half a minute of 20 ms packets.
const REDUNDANCY_MEMORY: u32 = 1_500;

/// Longest wait for redundancy: two packets of 20 ms.
const MAX_REDUNDANCY_US: i64 = 40_000;

/// Microseconds of a time; saturates far beyond the lifetime of any process.
pub(super) fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4).min(i64::MAX / 4)
}

/// Microseconds of a media time in 48 kHz ticks.
pub(super) fn media_micros(ticks: i64) -> i64 {
    // 1 000 000 / RTP_RATE, in lowest terms.
    ticks.saturating_mul(125) / 6
}

/// Media time in 48 kHz ticks of microseconds.
pub(super) fn media_ticks(us: i64) -> i64 {
    us.saturating_mul(6) / 125
}

/// Estimates the delays of one stream.
#[derive(Debug)]
pub(super) struct DelayEstimator {
    min_us: i64,
    max_us: i64,
    /// Smallest transit in the current window and in the previous one.
    current: i64,
    previous: i64,
    window_began: Option<i64>,
    bins: [f32; BINS],
    seen: u32,
    /// Minimum delay and for how many more packets it applies: lost frames arrive again in a later packet.
    redundancy: (i64, u32),
    last_transit: Option<i64>,
    /// Interarrival jitter in microseconds (RFC 3550 section 6.4.1).
    jitter_us: f64,
}

impl DelayEstimator {
    pub fn new(min: Duration, max: Duration) -> Self {
        let max_us = micros(max);
        Self {
            min_us: micros(min).min(max_us),
            max_us,
            current: i64::MAX,
            previous: i64::MAX,
            window_began: None,
            bins: [0.0; BINS],
            seen: 0,
            redundancy: (0, 0),
            last_transit: None,
            jitter_us: 0.0,
        }
    }

    /// Resets the estimates for a new path; the reported jitter is kept.
    pub fn reset(&mut self) {
        self.current = i64::MAX;
        self.previous = i64::MAX;
        self.window_began = None;
        self.bins = [0.0; BINS];
        self.seen = 0;
        self.redundancy = (0, 0);
        self.last_transit = None;
    }

    /// A lost packet's frame arrived in a packet `ticks` of media time later: expect the same of other losses.
    pub fn redundant(&mut self, ticks: i64) {
        let floor = media_micros(ticks).clamp(0, MAX_REDUNDANCY_US) + MARGIN_US;
        self.redundancy = (floor.max(self.redundancy_us()), REDUNDANCY_MEMORY);
    }

    fn redundancy_us(&self) -> i64 {
        if self.redundancy.1 > 0 {
            self.redundancy.0
        } else {
            0
        }
    }

    /// Records that a packet of media time `ticks` arrived at `now_us`.
    pub fn observe(&mut self, now_us: i64, ticks: i64) {
        let transit = now_us.saturating_sub(media_micros(ticks));
        self.redundancy.1 = self.redundancy.1.saturating_sub(1);
        if let Some(last) = self.last_transit.replace(transit) {
            let difference = transit.saturating_sub(last).saturating_abs() as f64;
            self.jitter_us += (difference - self.jitter_us) / 16.0;
        }
        match self.window_began {
            Some(began) if now_us.saturating_sub(began) < WINDOW_US => {
                self.current = self.current.min(transit);
            }
            Some(began) => {
                // After a long pause the previous window says nothing about the path.
                let recent = now_us.saturating_sub(began) < 4 * WINDOW_US;
                self.previous = if recent { self.current } else { i64::MAX };
                self.current = transit;
                self.window_began = Some(now_us);
            }
            None => {
                self.current = transit;
                self.window_began = Some(now_us);
            }
        }
        let delay = transit.saturating_sub(self.base()).max(0);
        let bin = ((delay / BIN_US) as usize).min(BINS - 1);
        self.seen = self.seen.saturating_add(1);
        // A plain average at first, exponential decay later.
        let weight = (1.0 / self.seen as f32).max(1.0 / MEMORY);
        for value in &mut self.bins {
            *value *= 1.0 - weight;
        }
        self.bins[bin] += weight;
    }

    /// Smallest recent transit, in microseconds; meaningless before the first packet.
    pub fn base(&self) -> i64 {
        let base = self.current.min(self.previous);
        if base == i64::MAX {
            0
        } else {
            base
        }
    }

    /// How long after its earliest possible arrival a packet should be played, in microseconds.
    pub fn target_us(&self) -> i64 {
        let wanted = if self.seen < WARM_UP { self.measured_us().max(INITIAL_US) } else { self.measured_us() };
        wanted.max(self.redundancy_us()).clamp(self.min_us, self.max_us)
    }

    fn measured_us(&self) -> i64 {
        if self.seen == 0 {
            return 0;
        }
        let mut share = 0.0;
        for (bin, value) in self.bins.iter().enumerate() {
            share += value;
            if share >= QUANTILE {
                return (bin as i64 + 1) * BIN_US + MARGIN_US;
            }
        }
        BINS as i64 * BIN_US
    }

    /// When to play the packet of media time `ticks`, in microseconds.
    pub fn release_us(&self, ticks: i64) -> i64 {
        self.base().saturating_add(media_micros(ticks)).saturating_add(self.target_us())
    }

    /// How far behind its earliest possible arrival media time `ticks` is at `now_us`.
    pub fn delay_us(&self, now_us: i64, ticks: i64) -> i64 {
        now_us.saturating_sub(media_micros(ticks)).saturating_sub(self.base())
    }

    /// Shortest delay allowed, in microseconds.
    pub fn min_us(&self) -> i64 {
        self.min_us
    }

    /// Longest delay allowed, in microseconds.
    pub fn max_us(&self) -> i64 {
        self.max_us
    }

    pub fn jitter_ms(&self) -> f32 {
        (self.jitter_us / 1_000.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimator() -> DelayEstimator {
        DelayEstimator::new(Duration::from_millis(20), Duration::from_millis(200))
    }

    fn feed(estimator: &mut DelayEstimator, from: i64, packets: i64, delay_ms: impl Fn(i64) -> i64) {
        for i in from..from + packets {
            estimator.observe((i * 20 + delay_ms(i)) * 1_000, i * 960);
        }
    }

    #[test]
    fn starts_at_forty_and_settles_at_the_minimum() {
        let mut delays = estimator();
        assert_eq!(delays.target_us(), 40_000);
        feed(&mut delays, 0, 100, |_| 30);
        assert_eq!(delays.target_us(), 20_000);
        assert_eq!(delays.base(), 30_000);
        assert!(delays.jitter_ms() < 0.1);
    }

    #[test]
    fn grows_with_jitter_and_comes_back() {
        let mut delays = estimator();
        feed(&mut delays, 0, 200, |i| if i % 10 == 0 { 75 } else { 5 });
        assert_eq!(delays.target_us(), 85_000);
        assert!(delays.jitter_ms() > 5.0);
        feed(&mut delays, 200, 1_000, |_| 5);
        assert_eq!(delays.target_us(), 20_000);
        feed(&mut delays, 1_200, 1_000, |i| i % 7 * 100);
        assert_eq!(delays.target_us(), 200_000);
    }

    #[test]
    fn drift_does_not_look_like_delay() {
        let mut delays = estimator();
        // 500 ppm for 20 minutes: 600 ms in all.
        feed(&mut delays, 0, 60_000, |i| i * 20 / 2_000);
        assert_eq!(delays.target_us(), 20_000);
        assert!(delays.base() > 590_000);
    }

    #[test]
    fn absurd_times_are_survived() {
        let mut delays = estimator();
        for ticks in [i64::MAX, i64::MIN, 0, i64::MAX] {
            for now in [0, micros(Duration::MAX), 5] {
                delays.observe(now, ticks);
                let target = delays.target_us();
                assert!((20_000..=200_000).contains(&target));
                delays.release_us(ticks);
                delays.delay_us(now, ticks);
            }
        }
    }
}
