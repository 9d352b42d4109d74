//! Packets of one stream put back in order: bounded, without duplicates, without the late ones.
//!
//! Must not know: decoding, when to play. Sequence numbers and timestamps are extended to 64 bit, so
//! that nobody above meets a wrap.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    delay::{media_micros, micros, DelayEstimator},
    opus, MAX_PAYLOAD,
};

/// Most packets held: 320 ms of the shortest, more than the largest delay of all others.
pub(super) const MAX_PACKETS: usize = 128;

/// A sequence number further ahead than this, or so far back that nobody remembers whether it came,
/// belongs to another life of the sender.
const MAX_JUMP: i64 = 1_000;

/// Media time and arrival may not part by more than this between two packets.
const MAX_SLIP_US: i64 = 10_000_000;

/// A packet waiting to be played.
#[derive(Debug)]
pub(super) struct Packet {
    /// Extended sequence number.
    pub sequence: i64,
    /// Extended timestamp, 48 kHz ticks.
    pub ticks: i64,
    /// Duration in 48 kHz ticks, 120..=5760.
    pub duration: i64,
    pub payload: Bytes,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// Queued as the first of a new life; what was before is gone.
    Restarted,
    Dropped,
}

/// Counters of the packets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub received: u64,
    pub lost: u64,
    pub late: u64,
    pub duplicates: u64,
    pub discarded: u64,
    pub restarts: u64,
}

/// The newest packet seen, in extended numbers.
#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: i64,
    ticks: i64,
}

#[derive(Debug)]
pub(super) struct JitterBuffer {
    packets: VecDeque<Packet>,
    newest: Option<Newest>,
    /// Sequence number to be played next, once something was.
    next: Option<i64>,
    /// Which of the 128 sequence numbers up to the newest have come; bit 0 is the newest.
    seen: u128,
    /// The number that would confirm a jump (RFC 3550 appendix A.1: one stray packet is no restart).
    probation: Option<u16>,
    last_arrival: Option<i64>,
    pub delay: DelayEstimator,
    pub counts: Counts,
}

impl JitterBuffer {
    pub fn new(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            packets: VecDeque::new(),
            newest: None,
            next: None,
            seen: 0,
            probation: None,
            last_arrival: None,
            delay: DelayEstimator::new(min_delay, max_delay),
            counts: Counts::default(),
        }
    }

    /// Forgets the stream; the counters stay.
    pub fn reset(&mut self) {
        self.packets.clear();
        self.newest = None;
        self.next = None;
        self.seen = 0;
        self.probation = None;
        self.last_arrival = None;
        self.delay.reset();
    }

    /// When the last packet came, whatever became of it, in microseconds.
    pub fn last_arrival(&self) -> Option<i64> {
        self.last_arrival
    }

    pub fn push(&mut self, sequence: u16, timestamp: u32, payload: Bytes, now: Duration) -> Pushed {
        self.counts.received += 1;
        let duration = if payload.len() > MAX_PAYLOAD { None } else { opus::duration(&payload) };
        let Some(duration) = duration else {
            self.counts.discarded += 1;
            return Pushed::Dropped;
        };
        let now_us = micros(now);
        let last_arrival = self.last_arrival.replace(now_us);
        let Some(newest) = self.newest else {
            return self.first(sequence, timestamp, duration, payload, now_us, Pushed::Queued);
        };
        let step = i64::from(sequence.wrapping_sub(newest.sequence as u16) as i16);
        if step > MAX_JUMP || step <= -i64::from(u128::BITS) {
            if self.probation.replace(sequence.wrapping_add(1)) == Some(sequence) {
                return self.restart(sequence, timestamp, duration, payload, now_us);
            }
            self.counts.discarded += 1;
            return Pushed::Dropped;
        }
        self.probation = None;
        let advance = i64::from(timestamp.wrapping_sub(newest.ticks as u32) as i32);
        let slip = now_us.saturating_sub(last_arrival.unwrap_or(now_us)) - media_micros(advance);
        if step > 0 && slip.saturating_abs() > MAX_SLIP_US {
            return self.restart(sequence, timestamp, duration, payload, now_us);
        }
        let sequence = newest.sequence + step;
        let ticks = newest.ticks.saturating_add(advance);
        if !self.mark(step) {
            self.counts.duplicates += 1;
            return Pushed::Dropped;
        }
        if step > 0 {
            self.newest = Some(Newest { sequence, ticks });
        }
        self.delay.observe(now_us, ticks);
        if self.next.is_some_and(|next| sequence < next) {
            // It was given up for lost and has come after all.
            self.counts.late += 1;
            self.counts.lost = self.counts.lost.saturating_sub(1);
            return Pushed::Dropped;
        }
        self.insert(Packet { sequence, ticks, duration: i64::from(duration), payload });
        Pushed::Queued
    }

    fn restart(&mut self, sequence: u16, timestamp: u32, duration: u32, payload: Bytes, now_us: i64) -> Pushed {
        self.counts.restarts += 1;
        self.counts.discarded += self.packets.len() as u64;
        self.reset();
        self.last_arrival = Some(now_us);
        self.first(sequence, timestamp, duration, payload, now_us, Pushed::Restarted)
    }

    fn first(
        &mut self,
        sequence: u16,
        timestamp: u32,
        duration: u32,
        payload: Bytes,
        now_us: i64,
        outcome: Pushed,
    ) -> Pushed {
        // One turn up, so that what was sent just before it does not come out negative.
        let (sequence, ticks) = (i64::from(sequence) + 0x1_0000, i64::from(timestamp) + 0x1_0000_0000);
        self.newest = Some(Newest { sequence, ticks });
        self.seen = 1;
        self.delay.observe(now_us, ticks);
        self.insert(Packet { sequence, ticks, duration: i64::from(duration), payload });
        outcome
    }

    /// Notes that the packet `step` (> -128) away from the newest has come; false if it had before.
    fn mark(&mut self, step: i64) -> bool {
        if step > 0 {
            self.seen = u32::try_from(step).ok().and_then(|step| self.seen.checked_shl(step)).unwrap_or(0) | 1;
            return true;
        }
        let bit = u32::try_from(-step).ok().and_then(|back| 1u128.checked_shl(back)).unwrap_or(0);
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }

    fn insert(&mut self, packet: Packet) {
        let at = self.packets.iter().rposition(|held| held.sequence < packet.sequence).map_or(0, |i| i + 1);
        self.packets.insert(at, packet);
        if self.packets.len() > MAX_PACKETS {
            self.discard_front();
        }
    }

    pub fn len(&self) -> usize {
        self.packets.len()
    }

    pub fn front(&self) -> Option<&Packet> {
        self.packets.front()
    }

    /// Media time held from the first packet to the end of the last, in 48 kHz ticks.
    pub fn held_ticks(&self) -> i64 {
        match (self.packets.front(), self.packets.back()) {
            (Some(front), Some(back)) => (back.ticks + back.duration - front.ticks).max(0),
            _ => 0,
        }
    }

    /// Packets missing before the first one held.
    pub fn missing(&self) -> i64 {
        match (self.packets.front(), self.next) {
            (Some(front), Some(next)) => front.sequence - next,
            _ => 0,
        }
    }

    /// Gives the next missing packet up.
    pub fn give_up_one(&mut self) {
        if self.missing() > 0 {
            self.counts.lost += 1;
            self.next = self.next.map(|next| next + 1);
        }
    }

    /// Takes the first packet; what is missing before it is given up.
    pub fn pop(&mut self) -> Option<Packet> {
        let missing = self.missing();
        let packet = self.packets.pop_front()?;
        self.counts.lost += missing.max(0) as u64;
        self.next = Some(packet.sequence + 1);
        Some(packet)
    }

    /// Drops the first packet because its time is over.
    pub fn drop_late(&mut self) {
        if self.pop().is_some() {
            self.counts.late += 1;
        }
    }

    /// Drops the first packet because there is too much.
    pub fn discard_front(&mut self) {
        if self.pop().is_some() {
            self.counts.discarded += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 ms of wide-band CELT that libopus accepts as a packet header.
    fn payload() -> Bytes {
        Bytes::from_static(&[0xf8, 1, 2, 3])
    }

    fn buffer() -> JitterBuffer {
        JitterBuffer::new(Duration::from_millis(20), Duration::from_millis(200))
    }

    fn push(buffer: &mut JitterBuffer, i: u64, first: u16, first_ts: u32) -> Pushed {
        let sequence = first.wrapping_add(i as u16);
        let timestamp = first_ts.wrapping_add(i as u32 * 960);
        buffer.push(sequence, timestamp, payload(), Duration::from_millis(i * 20))
    }

    #[test]
    fn order_is_restored_across_both_wraps() {
        let mut buffer = buffer();
        for i in [0, 2, 1, 3, 5, 4, 5, 1] {
            push(&mut buffer, i, 65_534, u32::MAX - 1_500);
        }
        let ticks: Vec<i64> = std::iter::from_fn(|| buffer.pop()).map(|p| p.ticks).collect();
        assert_eq!(ticks.len(), 6);
        assert!(ticks.windows(2).all(|pair| pair[1] - pair[0] == 960), "{ticks:?}");
        assert_eq!(buffer.counts.duplicates, 2);
        assert_eq!(buffer.counts.lost, 0);
    }

    #[test]
    fn a_late_packet_is_no_longer_lost_and_comes_once() {
        let mut buffer = buffer();
        for i in [0, 1, 3] {
            push(&mut buffer, i, 10, 0);
        }
        while buffer.pop().is_some() {}
        assert_eq!(buffer.counts.lost, 1);
        push(&mut buffer, 2, 10, 0);
        push(&mut buffer, 2, 10, 0);
        assert_eq!((buffer.counts.lost, buffer.counts.late, buffer.counts.duplicates), (0, 1, 1));
        assert_eq!(buffer.len(), 0);
    }

    #[test]
    fn a_stray_packet_is_ignored_and_a_new_life_begins_with_the_second() {
        let mut buffer = buffer();
        for i in 0..3 {
            push(&mut buffer, i, 100, 0);
        }
        assert_eq!(push(&mut buffer, 3, 30_000, 77), Pushed::Dropped);
        assert_eq!(push(&mut buffer, 3, 100, 0), Pushed::Queued);
        assert_eq!(push(&mut buffer, 4, 30_000, 77), Pushed::Dropped);
        assert_eq!(push(&mut buffer, 5, 30_000, 77), Pushed::Restarted);
        assert_eq!(buffer.len(), 1);
    }

    #[test]
    fn never_holds_more_than_its_bound() {
        let mut buffer = buffer();
        for i in 0..1_000 {
            push(&mut buffer, i, 0, 0);
        }
        assert_eq!(buffer.len(), MAX_PACKETS);
        assert_eq!(buffer.counts.discarded, 1_000 - MAX_PACKETS as u64);
        let huge = Bytes::from(vec![0xf8; MAX_PAYLOAD + 1]);
        assert_eq!(buffer.push(1_000, 0, huge, Duration::ZERO), Pushed::Dropped);
        assert_eq!(buffer.push(1_000, 0, Bytes::new(), Duration::ZERO), Pushed::Dropped);
    }
}
