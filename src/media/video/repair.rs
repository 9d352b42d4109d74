//! Repair of lost packets: which to ask for and when (RFC 4585 section 6.2.1), retransmissions and their form (RFC 4588).
//!
//! Must not know: frames, RTCP beyond the pair of numbers in a NACK, sockets.

use std::{collections::VecDeque, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::rtp::{
    sequence::{distance, Unwrapper},
    RtpOut, RtpPacket,
};

/// Most packets that are missing at a time. A longer gap is not repaired: a key frame is cheaper.
pub const MAX_MISSING: usize = 512;

/// Most requests of one packet.
const MAX_REQUESTS: u8 = 10;

/// Most pairs in one NACK.
pub const MAX_PAIRS: usize = 64;

/// How long a packet may be late before it is asked for; adapts to the reordering seen, within these bounds.
const PATIENCE: Duration = Duration::from_millis(5);
const MAX_PATIENCE: Duration = Duration::from_millis(20);

/// Shortest time between two requests of the same packet, and what is added to the round-trip time.
const MIN_REPEAT: Duration = Duration::from_millis(20);

/// A pair of a NACK: a sequence number, and a bit for each of the 16 after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NackPair {
    pub first: u16,
    pub following: u16,
}

impl NackPair {
    /// The sequence numbers, in order.
    pub fn sequences(self) -> impl Iterator<Item = u16> {
        let later = (0..16u16).filter(move |bit| self.following >> bit & 1 == 1);
        std::iter::once(self.first).chain(later.map(move |bit| self.first.wrapping_add(bit + 1)))
    }
}

/// Counters of [`Requests`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Packets found missing.
    pub missing: u64,
    /// Of those: arrived late by themselves; arrived after a request; given up.
    pub reordered: u64,
    pub repaired: u64,
    pub given_up: u64,
    /// Requests sent, counted by packet.
    pub requests: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: i64,
    since: Duration,
    asked: Option<Duration>,
    times: u8,
}

/// Finds the missing packets of one received stream, and says when to ask for them.
#[derive(Debug)]
pub struct Requests {
    numbers: Unwrapper,
    /// In order of sequence numbers.
    missing: VecDeque<Missing>,
    patience: Duration,
    wait: Duration,
    round_trip: Duration,
    counts: RequestCounts,
}

impl Requests {
    /// `wait`: a packet is given up this long after it was found missing. As long as the assembler waits.
    pub fn new(wait: Duration) -> Self {
        Self {
            numbers: Unwrapper::default(),
            missing: VecDeque::new(),
            patience: PATIENCE,
            wait,
            round_trip: Duration::from_millis(100),
            counts: RequestCounts::default(),
        }
    }

    pub fn counts(&self) -> RequestCounts {
        self.counts
    }

    /// Sets the round-trip time to the sender, as measured, and how long packets are waited for.
    pub fn set_times(&mut self, round_trip: Duration, wait: Duration) {
        (self.round_trip, self.wait) = (round_trip.min(Duration::from_secs(2)), wait);
    }

    /// Packets that are missing now.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// A packet arrived, of any kind, by itself or as a retransmission. Packets that [`Requests`] must not know of
    /// (another SSRC, far away) are not passed in.
    pub fn received(&mut self, sequence: u16, retransmitted: bool, now: Duration) {
        let Some(newest) = self.numbers.newest() else {
            self.numbers.accept(sequence);
            return;
        };
        let extended = self.numbers.accept(sequence);
        if extended > newest {
            let skipped = (extended - newest - 1) as usize;
            if skipped >= MAX_MISSING {
                self.give_up(self.missing.len());
                return;
            }
            self.counts.missing += skipped as u64;
            self.give_up((self.missing.len() + skipped).saturating_sub(MAX_MISSING));
            let missing = |sequence| Missing { sequence, since: now, asked: None, times: 0 };
            self.missing.extend((newest + 1..extended).map(missing));
            return;
        }
        let Ok(index) = self.missing.binary_search_by_key(&extended, |missing| missing.sequence) else { return };
        let Some(found) = self.missing.remove(index) else { return };
        if found.times == 0 || (!retransmitted && now.saturating_sub(found.since) <= MAX_PATIENCE) {
            self.counts.reordered += 1;
            let needed = now.saturating_sub(found.since) + Duration::from_millis(2);
            self.patience = self.patience.max(needed).min(MAX_PATIENCE);
        } else {
            self.counts.repaired += 1;
            // Real losses lessen it again, slowly.
            self.patience = (self.patience * 63 / 64).max(PATIENCE);
        }
    }

    fn give_up(&mut self, count: usize) {
        let count = count.min(self.missing.len());
        self.missing.drain(..count);
        self.counts.given_up += count as u64;
    }

    /// Packets before this one are not needed any more.
    pub fn forget_before(&mut self, sequence: u16) {
        let Some(newest) = self.numbers.newest() else { return };
        let oldest = newest + distance(sequence, newest as u16);
        let count = self.missing.partition_point(|missing| missing.sequence < oldest);
        self.give_up(count);
    }

    /// The stream restarted.
    pub fn reset(&mut self) {
        self.numbers = Unwrapper::default();
        self.missing.clear();
    }

    fn repeat(&self) -> Duration {
        (self.round_trip * 5 / 4).max(MIN_REPEAT)
    }

    /// When to ask for a packet; `None`: not again.
    fn due(&self, missing: &Missing) -> Option<Duration> {
        let Some(asked) = missing.asked else { return Some(missing.since.saturating_add(self.patience)) };
        let due = asked.saturating_add(self.repeat());
        // An answer after the deadline is of no use.
        let in_time = due.saturating_add(self.round_trip) <= missing.since.saturating_add(self.wait);
        (in_time && missing.times < MAX_REQUESTS).then_some(due)
    }

    /// When [`Requests::poll`] next has something to do.
    pub fn deadline(&self) -> Option<Duration> {
        let next = |missing: &Missing| {
            let until = missing.since.saturating_add(self.wait);
            self.due(missing).map_or(until, |due| due.min(until))
        };
        self.missing.iter().map(next).min()
    }

    /// Writes the packets to ask for now into `pairs`, replacing its content, and gives up those whose time is over.
    pub fn poll(&mut self, now: Duration, pairs: &mut Vec<NackPair>) {
        pairs.clear();
        let wait = self.wait;
        let over = self.missing.iter().take_while(|missing| now >= missing.since.saturating_add(wait)).count();
        self.give_up(over);
        for index in 0..self.missing.len() {
            let missing = self.missing[index];
            if self.due(&missing).is_none_or(|due| now < due) {
                continue;
            }
            let sequence = missing.sequence as u16;
            let ahead = pairs.last().map(|pair| sequence.wrapping_sub(pair.first));
            let is_full = pairs.len() == MAX_PAIRS;
            match (pairs.last_mut(), ahead) {
                (Some(pair), Some(ahead @ 1..=16)) => pair.following |= 1 << (ahead - 1),
                _ if is_full => return,
                _ => pairs.push(NackPair { first: sequence, following: 0 }),
            }
            self.counts.requests += 1;
            let missing = &mut self.missing[index];
            (missing.asked, missing.times) = (Some(now), missing.times + 1);
        }
    }
}

/// The packet inside a retransmission; `None`: it is padding. `payload_type` and `ssrc`: of the original stream.
pub fn unwrap_rtx(packet: RtpPacket, payload_type: u8, ssrc: u32) -> Option<RtpPacket> {
    let sequence = u16::from_be_bytes(*packet.payload.first_chunk()?);
    Some(RtpPacket { sequence, payload_type, ssrc, payload: packet.payload.slice(2..), ..packet })
}

/// Bounds of [`History`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryConfig {
    pub max_bytes: usize,
    pub max_packets: usize,
    /// Older packets are not sent again.
    pub max_age: Duration,
    /// Bytes of retransmissions per 256 bytes sent.
    pub share: u32,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { max_bytes: 1 << 20, max_packets: 2_048, max_age: Duration::from_secs(2), share: 128 }
    }
}

/// Retransmissions that may be sent without any sent packets before them, in bytes.
const BURST: usize = 64 << 10;

/// Counters of [`History`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryCounts {
    /// Packets asked for; sent again; not held any more; sent again a moment ago; over the limit.
    pub requested: u64,
    pub sent: u64,
    pub unknown: u64,
    pub too_soon: u64,
    pub limited: u64,
}

#[derive(Clone, Debug)]
struct Sent {
    sequence: i64,
    timestamp: u32,
    marker: bool,
    payload_type: u8,
    payload: Bytes,
    at: Duration,
    again: Option<Duration>,
}

/// A retransmission to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retransmission {
    /// In the sequence numbers of the RTX stream. Its header extensions are those of the original packet, with the RID
    /// as repaired-rid.
    pub rtp: RtpOut,
    /// Payload type of the original packet: that of the RTX stream follows from it.
    pub original_type: u8,
}

/// The sent packets of one stream, for retransmission.
#[derive(Debug)]
pub struct History {
    config: HistoryConfig,
    numbers: Unwrapper,
    packets: VecDeque<Sent>,
    bytes: usize,
    /// Sequence number of the next retransmission.
    next: u16,
    /// Bytes of retransmissions that may be sent now, in 256ths.
    allowance: usize,
    counts: HistoryCounts,
}

impl History {
    /// `first`: first sequence number of the RTX stream, from a seed.
    pub fn new(config: HistoryConfig, first: u16) -> Self {
        Self {
            config,
            numbers: Unwrapper::default(),
            packets: VecDeque::new(),
            bytes: 0,
            next: first,
            allowance: BURST * 256,
            counts: HistoryCounts::default(),
        }
    }

    pub fn counts(&self) -> HistoryCounts {
        self.counts
    }

    /// Packets and bytes held.
    pub fn held(&self) -> (usize, usize) {
        (self.packets.len(), self.bytes)
    }

    /// Records a packet that is being sent. Only its payload is shared; nothing is copied.
    pub fn sent(&mut self, packet: &RtpOut, payload_type: u8, now: Duration) {
        let newest = self.numbers.newest();
        let sequence = self.numbers.accept(packet.sequence);
        if newest.is_some_and(|newest| sequence <= newest) {
            // Numbers only grow; a stream that starts anew has no history.
            self.packets.clear();
            self.bytes = 0;
            self.numbers = Unwrapper::default();
            return self.sent(packet, payload_type, now);
        }
        let RtpOut { timestamp, marker, payload, .. } = packet;
        self.bytes += payload.len();
        self.packets.push_back(Sent {
            sequence,
            timestamp: *timestamp,
            marker: *marker,
            payload_type,
            payload: payload.clone(),
            at: now,
            again: None,
        });
        let earned = payload.len().saturating_mul(self.config.share as usize);
        self.allowance = self.allowance.saturating_add(earned).min(BURST * 256);
        while let Some(oldest) = self.packets.front() {
            let too_old = now.saturating_sub(oldest.at) > self.config.max_age;
            if !too_old && self.bytes <= self.config.max_bytes && self.packets.len() <= self.config.max_packets {
                return;
            }
            self.bytes -= oldest.payload.len();
            self.packets.pop_front();
        }
    }

    /// A receiver asked for a packet. `round_trip`: a packet sent again less than this ago is still on its way.
    pub fn request(&mut self, sequence: u16, now: Duration, round_trip: Duration) -> Option<Retransmission> {
        self.counts.requested += 1;
        let sequence = self.numbers.extend(sequence);
        let index = self.packets.binary_search_by_key(&sequence, |sent| sent.sequence).ok();
        let Some(sent) = index.and_then(|index| self.packets.get_mut(index)) else {
            self.counts.unknown += 1;
            return None;
        };
        if now.saturating_sub(sent.at) > self.config.max_age {
            self.counts.unknown += 1;
            return None;
        }
        if sent.again.is_some_and(|again| now.saturating_sub(again) < round_trip * 3 / 4) {
            self.counts.too_soon += 1;
            return None;
        }
        let Some(left) = self.allowance.checked_sub(sent.payload.len() * 256) else {
            self.counts.limited += 1;
            return None;
        };
        self.allowance = left;
        self.counts.sent += 1;
        sent.again = Some(now);
        let mut payload = BytesMut::with_capacity(2 + sent.payload.len());
        payload.put_u16(sequence as u16);
        payload.put_slice(&sent.payload);
        let number = self.next;
        self.next = number.wrapping_add(1);
        let (timestamp, marker) = (sent.timestamp, sent.marker);
        let rtp = RtpOut { sequence: number, timestamp, marker, level_dbov: None, payload: payload.freeze() };
        Some(Retransmission { rtp, original_type: sent.payload_type })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn ask(requests: &mut Requests, now: u64) -> Vec<u16> {
        let mut pairs = vec![NackPair::default(); 3];
        requests.poll(ms(now), &mut pairs);
        pairs.into_iter().flat_map(NackPair::sequences).collect()
    }

    #[test]
    fn losses_are_asked_for_until_it_is_of_no_use() {
        let mut requests = Requests::new(ms(200));
        requests.set_times(ms(50), ms(200));
        requests.received(65_533, false, ms(0));
        requests.received(2, false, ms(10));
        assert_eq!(requests.deadline(), Some(ms(15)));
        assert!(ask(&mut requests, 14).is_empty());
        requests.received(0, false, ms(14));
        assert!(ask(&mut requests, 15).is_empty(), "reordering was seen: 4 ms, and 2 more");
        assert_eq!(ask(&mut requests, 16), [65_534, 65_535, 1]);
        requests.received(65_535, true, ms(70));
        assert!(ask(&mut requests, 78).is_empty());
        assert_eq!(ask(&mut requests, 79), [65_534, 1]);
        assert_eq!(ask(&mut requests, 142), [65_534, 1]);
        assert!(ask(&mut requests, 209).is_empty());
        assert_eq!((requests.missing(), requests.deadline()), (2, Some(ms(210))));
        assert!(ask(&mut requests, 210).is_empty());
        let counts = requests.counts();
        assert_eq!((counts.missing, counts.reordered, counts.repaired, counts.given_up), (4, 1, 1, 2));
        assert_eq!((counts.requests, requests.deadline()), (7, None));
    }

    #[test]
    fn bounds_restarts_and_forgetting() {
        let mut requests = Requests::new(ms(200));
        requests.received(0, false, ms(0));
        for step in 1..200u16 {
            requests.received(step.wrapping_mul(100), false, ms(0));
            assert!(requests.missing() <= MAX_MISSING);
        }
        let mut pairs = Vec::new();
        requests.poll(ms(100), &mut pairs);
        assert_eq!(pairs.len(), 31, "512 numbers, up to 17 to a pair");
        requests.forget_before(199 * 100 - 3);
        assert_eq!(requests.missing(), 3);
        requests.received(199 * 100 + 600, false, ms(100));
        assert_eq!(requests.missing(), 0, "a gap that is not repaired");
        requests.received(5, false, ms(100));
        requests.forget_before(7);
        requests.reset();
        requests.received(40_000, false, ms(100));
        requests.received(39_999, true, ms(100));
        assert_eq!((requests.missing(), requests.deadline()), (0, None));
        // Every second packet: one pair for eight of them.
        (0..1_000u16).for_each(|step| requests.received(40_000u16.wrapping_add(2 * step), false, ms(100)));
        requests.poll(ms(120), &mut pairs);
        assert_eq!(pairs.len(), 57);
        requests.poll(Duration::MAX, &mut pairs);
        assert_eq!((pairs.len(), requests.missing()), (0, 0));
    }

    #[test]
    fn retransmissions_and_their_form() {
        let mut history = History::new(HistoryConfig::default(), 65_535);
        let packet = |sequence: u16| RtpOut {
            sequence,
            timestamp: u32::from(sequence) + 7,
            marker: sequence == 3,
            level_dbov: None,
            payload: Bytes::from(vec![sequence as u8; 100]),
        };
        for step in 0..20u16 {
            history.sent(&packet(65_530u16.wrapping_add(step)), 96, ms(step.into()));
        }
        let mut received = Vec::new();
        for sequence in [65_530, 3] {
            let again = history.request(sequence, ms(40), ms(50)).expect("it is held");
            assert_eq!(again.original_type, 96);
            let rtx = RtpPacket { payload: again.rtp.payload, sequence: again.rtp.sequence, ..RtpPacket::default() };
            received.push((rtx.sequence, unwrap_rtx(rtx, 96, 5).expect("a packet")));
        }
        assert_eq!((received[0].0, received[1].0), (65_535, 0));
        assert_eq!((received[1].1.sequence, received[1].1.ssrc, received[1].1.payload_type), (3, 5, 96));
        assert_eq!(received[1].1.payload, packet(3).payload);
        assert_eq!(history.request(3, ms(60), ms(50)), None, "it is on its way");
        assert!(history.request(3, ms(80), ms(50)).is_some());
        assert_eq!(history.request(100, ms(80), ms(50)), None);
        assert_eq!(history.request(3, ms(9_000), ms(50)), None, "too old");
        let counts = history.counts();
        assert_eq!((counts.requested, counts.sent, counts.unknown, counts.too_soon), (6, 3, 2, 1));
        assert_eq!(unwrap_rtx(RtpPacket::default(), 96, 5), None);
        let empty = RtpPacket { payload: Bytes::from_static(&[1, 2]), ..RtpPacket::default() };
        assert!(unwrap_rtx(empty, 96, 5).is_some_and(|packet| packet.payload.is_empty() && packet.sequence == 258));
    }

    #[test]
    fn a_history_is_bounded_and_so_are_retransmissions() {
        let config = HistoryConfig { max_bytes: 10_000, max_packets: 50, ..HistoryConfig::default() };
        let mut history = History::new(config, 0);
        for sequence in 0..1_000u16 {
            let payload = Bytes::from(vec![0; if sequence < 500 { 1_000 } else { 10 }]);
            history.sent(&RtpOut { sequence, payload, ..RtpOut::default() }, 96, ms(0));
            let (packets, bytes) = history.held();
            assert!(packets <= 50 && bytes <= 10_000);
        }
        // A receiver that asks for everything again and again.
        let mut history = History::new(HistoryConfig::default(), 0);
        let (mut sent, mut again) = (0, 0);
        for sequence in 0..20_000u16 {
            let payload = Bytes::from(vec![0; 1_000]);
            history.sent(&RtpOut { sequence, payload, ..RtpOut::default() }, 96, ms(0));
            sent += 1_000;
            for back in 0..5 {
                again += history.request(sequence.wrapping_sub(back), ms(0), ms(0)).map_or(0, |_| 1_000);
            }
        }
        assert!(again <= sent / 2 + BURST, "{again} of {sent} bytes");
        assert!(history.counts().limited > 0);
        // Numbers that go back start a new stream.
        history.sent(&RtpOut { sequence: 5, ..RtpOut::default() }, 96, ms(0));
        assert_eq!(history.held(), (1, 0));
        let _ = history.request(5, Duration::MAX, Duration::MAX / 8);
    }
}
