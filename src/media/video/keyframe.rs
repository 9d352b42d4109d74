//! Key frame requests, in both directions: merged, repeated until answered, limited in rate.
//!
//! Must not know: RTCP, who asks, which codec.

use std::time::Duration;

/// Shortest time between two requests, and between two key frames sent on request.
pub const INTERVAL: Duration = Duration::from_millis(500);

/// Longest time between repetitions of a request without an answer.
const MAX_INTERVAL: Duration = Duration::from_secs(4);

/// Requests to the sender of one received track.
#[derive(Debug)]
pub struct KeyFrameRequests {
    wanted: bool,
    last: Option<Duration>,
    interval: Duration,
    sent: u64,
}

impl Default for KeyFrameRequests {
    fn default() -> Self {
        Self { wanted: false, last: None, interval: INTERVAL, sent: 0 }
    }
}

impl KeyFrameRequests {
    /// A key frame is needed, for whatever reason.
    pub fn request(&mut self) {
        if !self.wanted {
            (self.wanted, self.interval) = (true, INTERVAL);
        }
    }

    /// A key frame was received.
    pub fn answered(&mut self) {
        self.wanted = false;
    }

    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Requests sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// When [`KeyFrameRequests::poll`] next returns true.
    pub fn deadline(&self) -> Option<Duration> {
        let at = self.last.map_or(Duration::ZERO, |last| last.saturating_add(self.interval));
        self.wanted.then_some(at)
    }

    /// Whether to send a request (PLI) now. One without an answer is repeated, less and less often.
    pub fn poll(&mut self, now: Duration) -> bool {
        if self.deadline().is_none_or(|at| now < at) {
            return false;
        }
        let repeated = self.last.is_some_and(|last| now.saturating_sub(last) < 2 * self.interval);
        self.interval = if repeated { (self.interval * 2).min(MAX_INTERVAL) } else { INTERVAL };
        self.last = Some(now);
        self.sent += 1;
        true
    }
}

/// Most layers of a sent track.
pub const MAX_LAYERS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Demanded {
    pending: bool,
    /// The last key frame that was produced.
    last: Option<Duration>,
    /// Sequence number of the last FIR (RFC 5104 section 4.3.1).
    fir: Option<u8>,
}

/// Requests by the receivers of one sent track, for each of its layers.
#[derive(Debug, Default)]
pub struct KeyFrameDemands {
    layers: [Demanded; MAX_LAYERS],
    /// Requests received.
    received: u64,
}

impl KeyFrameDemands {
    /// Requests received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// A PLI for this layer. `round_trip`: a request that was on its way when the last key frame was sent is answered by
    /// that one.
    pub fn pli(&mut self, layer: usize, now: Duration, round_trip: Duration) {
        self.received += 1;
        let Some(demanded) = self.layers.get_mut(layer) else { return };
        let on_its_way = round_trip.min(INTERVAL);
        demanded.pending |= demanded.last.is_none_or(|last| now.saturating_sub(last) >= on_its_way);
    }

    /// A FIR for this layer; one with the number of the previous is a repetition.
    pub fn fir(&mut self, layer: usize, number: u8) {
        self.received += 1;
        let Some(demanded) = self.layers.get_mut(layer) else { return };
        demanded.pending |= demanded.fir.replace(number) != Some(number);
    }

    /// This layer must begin with a key frame: it was off before.
    pub fn starts(&mut self, layer: usize) {
        if let Some(demanded) = self.layers.get_mut(layer) {
            (demanded.pending, demanded.last) = (true, None);
        }
    }

    /// The encoder produced a key frame of this layer, on request or not.
    pub fn produced(&mut self, layer: usize, now: Duration) {
        if let Some(demanded) = self.layers.get_mut(layer) {
            (demanded.pending, demanded.last) = (false, Some(now));
        }
    }

    /// The layers of which a key frame is to be encoded now, as bits: those with a request, at most one in 500 ms. Stays
    /// set until [`KeyFrameDemands::produced`].
    pub fn due(&self, now: Duration) -> u8 {
        let is_due = |demanded: &Demanded| {
            demanded.pending && demanded.last.is_none_or(|last| now >= last.saturating_add(INTERVAL))
        };
        self.layers.iter().enumerate().fold(0, |set, (layer, demanded)| set | u8::from(is_due(demanded)) << layer)
    }

    /// When [`KeyFrameDemands::due`] next grows without a new request.
    pub fn deadline(&self, now: Duration) -> Option<Duration> {
        let pending = self.layers.iter().filter(|demanded| demanded.pending);
        pending
            .filter_map(|demanded| demanded.last.map(|last| last.saturating_add(INTERVAL)))
            .filter(|at| *at > now)
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn requests_are_merged_and_repeated() {
        let mut requests = KeyFrameRequests::default();
        assert!(!requests.poll(ms(0)));
        let mut sent = Vec::new();
        for now in 0..10_000 {
            if now < 6_000 {
                requests.request();
            } else if now == 6_000 {
                requests.answered();
            } else if now == 8_000 {
                requests.request();
            }
            if requests.poll(ms(now)) {
                sent.push(now);
            }
        }
        assert_eq!(sent, [0, 500, 1_500, 3_500, 8_000, 8_500, 9_500]);
        assert_eq!((requests.sent(), requests.is_wanted()), (7, true));
        // A request shortly after an answer waits for the interval.
        let mut requests = KeyFrameRequests::default();
        requests.request();
        assert!(requests.poll(ms(0)));
        requests.answered();
        requests.request();
        assert_eq!((requests.poll(ms(499)), requests.deadline(), requests.poll(ms(500))), (false, Some(ms(500)), true));
        requests.poll(Duration::MAX);
        requests.poll(Duration::MAX);
    }

    #[test]
    fn demands_are_merged_for_each_layer() {
        let mut demands = KeyFrameDemands::default();
        for _ in 0..100 {
            demands.pli(0, ms(10), ms(50));
            demands.pli(2, ms(10), ms(50));
            demands.pli(99, ms(10), ms(50));
        }
        assert_eq!((demands.due(ms(10)), demands.received()), (0b101, 300));
        demands.produced(0, ms(20));
        assert_eq!(demands.due(ms(20)), 0b100);
        demands.pli(0, ms(60), ms(50));
        assert_eq!(demands.due(ms(2_000)), 0b100, "it was sent before that key frame arrived");
        demands.pli(0, ms(100), ms(50));
        assert_eq!((demands.due(ms(519)), demands.deadline(ms(100))), (0b100, Some(ms(520))));
        assert_eq!(demands.due(ms(520)), 0b101);
        demands.produced(0, ms(530));
        demands.fir(0, 7);
        demands.produced(0, ms(1_100));
        demands.fir(0, 7);
        assert_eq!(demands.due(ms(5_000)), 0b100, "a FIR comes several times");
        demands.fir(0, 8);
        demands.starts(1);
        assert_eq!(demands.due(ms(1_600)), 0b111);
        demands.starts(99);
        demands.produced(99, ms(0));
    }
}
