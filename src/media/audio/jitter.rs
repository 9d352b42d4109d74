//! Jitter buffer: puts the packets of one stream in order. Bounded; drops duplicates and late packets.
//!
//! Must not know: decoding, when to play. Sequence numbers and timestamps are extended to 64 bit, so that users never
//! see a wrap.
//!
//! Four inputs place a packet's audio in time: sequence number, timestamp, SSRC and arrival time. Senders and SFUs get
//! each of them wrong, so none is trusted alone. A value that contradicts the others is mapped onto the stream's
//! existing time line (`ticks`); only two packets in a row count as a stream restart.

use std::{collections::VecDeque, time::Duration};

use super::{
    delay::{media_micros, media_ticks, micros, DelayEstimator, LATE_TOLERANCE_US},
    opus, MAX_PAYLOAD,
};
use crate::media::{frame::EncodedFrame, rtp::sequence::distance};

/// Maximum number of packets held: 2.56 s of 10 ms, more than the largest delay; 640 ms of the shortest.
pub(super) const MAX_PACKETS: usize = 256;

/// A sequence number further ahead than this, or further back than the receive history, belongs to a restarted stream.
const MAX_JUMP: i64 = 1_000;

/// Timestamps may deviate by at most this from sequence numbers and arrival times.
const MAX_SLIP_US: i64 = 10_000_000;

/// A step of media time up to this is an inexact timestamp, not a pause.
pub(super) const INEXACT_TICKS: i64 = 720;

/// A packet cannot be this much earlier than the earliest recent transit: its timestamp is wrong.
const MAX_EARLY_US: i64 = 30_000;

/// How long the first packet after a pause waits for the next one. The spacing shows whether the sender's clock stood
/// still (the next packet arrives at the normal pace) or the network delayed packets (they arrive at once).
const PAUSE_PROOF_US: i64 = 30_000;

/// Packets of a replaced SSRC are dropped until the new SSRC has sent nothing for this long.
const FORMER_US: i64 = 500_000;

/// A packet waiting to be played.
#[derive(Debug)]
pub(super) struct Packet {
    /// Extended sequence number; continues over restarts.
    pub sequence: i64,
    /// Position on the stream's time line, 48 kHz ticks.
    pub ticks: i64,
    /// Duration in 48 kHz ticks, 120..=5760.
    pub duration: i64,
    pub frame: EncodedFrame,
    /// First packet after a stream restart: earlier packets do not help to decode it.
    pub fresh: bool,
    /// It arrived, but contains no audio.
    hollow: bool,
}

/// Result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// Queued, together with the packet kept aside before it, as the start of a restarted stream.
    Restarted,
    /// Dropped, or kept aside until another packet confirms it.
    Dropped,
}

/// Packet counters.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub received: u64,
    pub lost: u64,
    pub late: u64,
    pub duplicates: u64,
    pub discarded: u64,
    pub restarts: u64,
    /// Lost packets whose frame arrived again in time.
    pub restored: u64,
}

/// An incoming packet.
#[derive(Debug)]
struct Incoming {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    duration: i64,
    now_us: i64,
    frame: EncodedFrame,
}

/// The newest audio packet.
#[derive(Clone, Copy, Debug)]
struct Newest {
    ssrc: u32,
    sequence: i64,
    timestamp: u32,
    ticks: i64,
    duration: i64,
    arrival: i64,
}

/// The newest sequence number, of audio or not: extended, and as received.
#[derive(Clone, Copy, Debug)]
struct Top {
    sequence: i64,
    raw: u16,
}

/// The first packet after a pause that its timestamp does not show.
#[derive(Clone, Copy, Debug)]
struct Pause {
    arrival: i64,
    ticks: i64,
    late_us: i64,
}

#[derive(Debug)]
pub(super) struct JitterBuffer {
    packets: VecDeque<Packet>,
    /// Packets held that are not hollow.
    audio_packets: usize,
    newest: Option<Newest>,
    top: Top,
    /// Next sequence number to play, once a packet was played.
    next: Option<i64>,
    /// End of the packet taken last, in 48 kHz ticks.
    until: i64,
    /// Which of the 128 sequence numbers up to the newest have arrived; bit 0 is the newest.
    seen: u128,
    /// Which of them were given up as lost.
    given_up: u128,
    /// Kept until the next packet confirms it (RFC 3550 appendix A.1: one stray packet is no restart).
    probation: Option<Incoming>,
    pause: Option<Pause>,
    /// A pause was confirmed since the last [`JitterBuffer::take_paused`].
    paused: bool,
    /// The previous SSRC, and when it was replaced.
    former: Option<(u32, i64)>,
    last_arrival: Option<i64>,
    pub delay: DelayEstimator,
    pub counts: Counts,
}

impl JitterBuffer {
    pub fn new(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            packets: VecDeque::new(),
            audio_packets: 0,
            newest: None,
            top: Top { sequence: 0, raw: 0 },
            next: None,
            until: 0,
            seen: 0,
            given_up: 0,
            probation: None,
            pause: None,
            paused: false,
            former: None,
            last_arrival: None,
            delay: DelayEstimator::new(min_delay, max_delay),
            counts: Counts::default(),
        }
    }

    /// Resets the stream state; the counters stay.
    pub fn reset(&mut self) {
        self.packets.clear();
        self.audio_packets = 0;
        self.newest = None;
        self.next = None;
        (self.seen, self.given_up) = (0, 0);
        (self.probation, self.pause, self.former) = (None, None, None);
        self.paused = false;
        self.last_arrival = None;
        self.delay.reset();
    }

    /// Arrival time of the last audio packet, even if dropped, in microseconds.
    pub fn last_arrival(&self) -> Option<i64> {
        self.last_arrival
    }

    pub fn push(&mut self, frame: EncodedFrame) -> Pushed {
        self.counts.received += 1;
        let duration = if frame.payload.len() > MAX_PAYLOAD { None } else { opus::duration(&frame.payload) };
        let Some(duration) = duration else {
            self.counts.discarded += 1;
            return Pushed::Dropped;
        };
        let now_us = micros(frame.arrival);
        let EncodedFrame { ssrc, sequence, rtp_time: timestamp, .. } = frame;
        let packet = Incoming { ssrc, sequence, timestamp, duration: i64::from(duration), now_us, frame };
        let Some(newest) = self.newest else {
            self.last_arrival = Some(now_us);
            self.first(packet);
            return Pushed::Queued;
        };
        if self.former.is_some_and(|(former, _)| former == ssrc) && self.is_former(ssrc, newest, now_us) {
            self.counts.late += 1;
            return Pushed::Dropped;
        }
        self.last_arrival = Some(now_us);
        let step = self.step(sequence);
        let from_newest = self.top.sequence + step - newest.sequence;
        if ssrc != newest.ssrc || is_far(step) || is_restart(&newest, from_newest, &packet) {
            return self.on_probation(packet);
        }
        if self.probation.take_if(|held| held.ssrc == ssrc).is_some() {
            self.counts.discarded += 1;
        }
        let sequence = self.top.sequence + step;
        if !self.mark(step, packet.sequence) {
            self.counts.duplicates += 1;
            return Pushed::Dropped;
        }
        if sequence > newest.sequence {
            self.settle_pause_with(&packet, &newest);
        }
        self.take(sequence, packet);
        Pushed::Queued
    }

    /// Records a packet without audio: it does not count as lost.
    pub fn push_hollow(&mut self, ssrc: u32, sequence: u16) {
        let Some(newest) = self.newest else { return };
        let step = self.step(sequence);
        if newest.ssrc != ssrc || is_far(step) || !self.mark(step, sequence) {
            return;
        }
        let sequence = if step > 0 { self.top.sequence } else { self.top.sequence + step };
        if self.next.is_some_and(|next| sequence < next) {
            self.take_back(sequence);
            return;
        }
        self.insert(Packet {
            sequence,
            ticks: 0,
            duration: 0,
            frame: EncodedFrame::default(),
            fresh: false,
            hollow: true,
        });
        self.pass_hollow();
    }

    /// An earlier frame repeated inside a later packet (RFC 2198): fills the hole of its packet, if there is one. Only
    /// between two received packets: packets before the first do not count as lost.
    pub fn restore(&mut self, frame: EncodedFrame) -> bool {
        let EncodedFrame { ssrc, sequence, rtp_time: timestamp, .. } = frame;
        let Some(newest) = self.newest.filter(|newest| newest.ssrc == ssrc) else { return false };
        let back = -self.step(sequence);
        // Not received itself, but an older one was.
        let hole = |seen: u128| back > 0 && seen > 1 && seen & 1 == 0;
        if !u32::try_from(back).ok().and_then(|back| self.seen.checked_shr(back)).is_some_and(hole) {
            return false;
        }
        let payload = &frame.payload;
        let Some(duration) = opus::duration(payload).filter(|_| payload.len() <= MAX_PAYLOAD) else { return false };
        let sequence = self.top.sequence - back;
        let ticks = newest.ticks.saturating_add(i64::from(timestamp.wrapping_sub(newest.timestamp) as i32));
        self.delay.redundant(newest.ticks - ticks);
        if self.next.is_some_and(|next| sequence < next) {
            return false;
        }
        // A timestamp that is not between those of its neighbours means that the sender numbers packets differently.
        let before = self.packets.iter().rev().find(|held| !held.hollow && held.sequence < sequence);
        let after = self.packets.iter().find(|held| !held.hollow && held.sequence > sequence);
        if before.is_some_and(|held| held.ticks >= ticks) || after.is_some_and(|held| held.ticks <= ticks) {
            return false;
        }
        self.seen |= bit(back);
        self.counts.restored += 1;
        let duration = i64::from(duration);
        self.insert(Packet { sequence, ticks, duration, frame, fresh: false, hollow: false });
        true
    }

    /// Distance of a sequence number from the newest.
    fn step(&self, sequence: u16) -> i64 {
        distance(sequence, self.top.raw)
    }

    /// Whether this is a late packet of the previous SSRC, while the new one is still active.
    fn is_former(&self, ssrc: u32, newest: Newest, now_us: i64) -> bool {
        newest.ssrc != ssrc && now_us.saturating_sub(newest.arrival) < FORMER_US
    }

    /// Places a packet of the current stream, and keeps it unless it is late.
    fn take(&mut self, sequence: i64, packet: Incoming) {
        let Some(newest) = self.newest else { return };
        let now_us = packet.now_us;
        let ticks = self.place(&newest, sequence - newest.sequence, &packet);
        if sequence > newest.sequence {
            let (ssrc, timestamp, duration) = (packet.ssrc, packet.timestamp, packet.duration);
            self.newest = Some(Newest { ssrc, sequence, timestamp, ticks, duration, arrival: now_us });
        }
        if self.next.is_some_and(|next| sequence < next) {
            // It was given up as lost, but has arrived.
            self.delay.observe(now_us, ticks);
            self.counts.late += 1;
            self.take_back(sequence);
            return;
        }
        let late_us = self.delay.delay_us(now_us, ticks);
        let dry = self.audio_packets == 0 && self.next.is_some() && sequence > newest.sequence;
        if dry && late_us > self.delay.target_us() + LATE_TOLERANCE_US {
            self.pause = Some(Pause { arrival: now_us, ticks, late_us });
        } else {
            self.delay.observe(now_us, ticks);
        }
        self.hold(sequence, ticks, false, packet);
    }

    /// Position on the time line of a packet `step` away from the newest.
    fn place(&self, newest: &Newest, step: i64, packet: &Incoming) -> i64 {
        let advance = i64::from(packet.timestamp.wrapping_sub(newest.timestamp) as i32);
        let even = step.saturating_mul(newest.duration);
        let by_time = newest.ticks.saturating_add(advance);
        let by_number = newest.ticks.saturating_add(even);
        if step <= 0 {
            // A packet sent before the newest cannot play after it.
            return if advance > 0 || (step < 0 && advance == 0) { by_number } else { by_time };
        }
        if advance < newest.duration / 4 {
            // The timestamp stands still or goes back, but the audio is new.
            return by_number;
        }
        let earliest = self.delay.base().saturating_sub(MAX_EARLY_US);
        if packet.now_us.saturating_sub(media_micros(by_time)) < earliest && by_time > by_number {
            // The timestamp shows a pause longer than the time that has passed.
            return by_number.max(media_ticks(packet.now_us.saturating_sub(self.delay.base())).min(by_time));
        }
        by_time
    }

    /// Decides about an unconfirmed pause by the packet after it.
    fn settle_pause_with(&mut self, packet: &Incoming, newest: &Newest) {
        let Some(pause) = self.pause else { return };
        let spacing = packet.now_us.saturating_sub(pause.arrival);
        if spacing.saturating_mul(2) >= media_micros(newest.duration) {
            self.confirm_pause();
        } else {
            // They arrived together, so the network delayed them: they are late.
            self.pause = None;
            self.delay.observe(pause.arrival, pause.ticks);
        }
    }

    /// Confirms a pause that has been unconfirmed for long enough; call it before playing anything.
    pub fn settle_pause(&mut self, now_us: i64) {
        if self.pause.is_some_and(|pause| now_us.saturating_sub(pause.arrival) >= PAUSE_PROOF_US) {
            self.confirm_pause();
        }
    }

    /// The sender's clock stood still: packets from now on are in time.
    fn confirm_pause(&mut self) {
        let Some(pause) = self.pause.take() else { return };
        self.paused = true;
        let by = media_ticks(pause.late_us);
        for packet in &mut self.packets {
            packet.ticks = packet.ticks.saturating_add(by);
        }
        if let Some(newest) = &mut self.newest {
            newest.ticks = newest.ticks.saturating_add(by);
        }
        self.delay.observe(pause.arrival, pause.ticks.saturating_add(by));
    }

    /// Whether the sender paused before the first packet held without a timestamp step; returns true once.
    pub fn take_paused(&mut self) -> bool {
        std::mem::take(&mut self.paused)
    }

    /// A packet that may start a restarted stream. If it is the second in a row, the new stream continues where the old
    /// one ends.
    fn on_probation(&mut self, packet: Incoming) -> Pushed {
        let confirmed = self.probation.take_if(|held| {
            let advance = i64::from(packet.timestamp.wrapping_sub(held.timestamp) as i32);
            held.ssrc == packet.ssrc
                && held.sequence.wrapping_add(1) == packet.sequence
                && media_micros(advance).saturating_abs() <= MAX_SLIP_US
        });
        let Some(first) = confirmed else {
            if self.probation.replace(packet).is_some() {
                self.counts.discarded += 1;
            }
            return Pushed::Dropped;
        };
        self.counts.restarts += 1;
        self.pause = None;
        let Some(old) = self.newest else { return Pushed::Dropped };
        if old.ssrc != first.ssrc {
            self.former = Some((old.ssrc, packet.now_us));
        }
        let on_time = media_ticks(first.now_us.saturating_sub(self.delay.base()));
        let ticks = old.ticks.saturating_add(old.duration).max(on_time);
        let sequence = self.top.sequence + 1;
        self.mark(1, first.sequence);
        self.newest = Some(Newest {
            ssrc: first.ssrc,
            sequence,
            timestamp: first.timestamp,
            ticks,
            duration: first.duration,
            arrival: first.now_us,
        });
        self.delay.observe(first.now_us, ticks);
        self.hold(sequence, ticks, true, first);
        self.mark(1, packet.sequence);
        self.take(sequence + 1, packet);
        Pushed::Restarted
    }

    fn first(&mut self, packet: Incoming) {
        // One wrap up, so that a packet sent just before it does not become negative.
        let sequence = i64::from(packet.sequence) + 0x1_0000;
        let ticks = i64::from(packet.timestamp) + 0x1_0000_0000;
        self.newest = Some(Newest {
            ssrc: packet.ssrc,
            sequence,
            timestamp: packet.timestamp,
            ticks,
            duration: packet.duration,
            arrival: packet.now_us,
        });
        self.top = Top { sequence, raw: packet.sequence };
        self.seen = 1;
        self.delay.observe(packet.now_us, ticks);
        self.hold(sequence, ticks, false, packet);
    }

    fn hold(&mut self, sequence: i64, ticks: i64, fresh: bool, packet: Incoming) {
        let Incoming { duration, frame, .. } = packet;
        self.insert(Packet { sequence, ticks, duration, frame, fresh, hollow: false });
    }

    /// Marks the packet `step` (> -128) away from the newest as received; false if it already was.
    fn mark(&mut self, step: i64, raw: u16) -> bool {
        if step > 0 {
            let shifted = |bits: u128| u32::try_from(step).ok().and_then(|step| bits.checked_shl(step)).unwrap_or(0);
            self.seen = shifted(self.seen) | 1;
            self.given_up = shifted(self.given_up);
            self.top = Top { sequence: self.top.sequence + step, raw };
            return true;
        }
        let bit = bit(-step);
        let new = self.seen & bit == 0;
        self.seen |= bit;
        new
    }

    /// It counted as lost, but has arrived.
    fn take_back(&mut self, sequence: i64) {
        let bit = bit(self.top.sequence - sequence);
        if self.given_up & bit != 0 {
            self.given_up &= !bit;
            self.counts.lost = self.counts.lost.saturating_sub(1);
        }
    }

    fn insert(&mut self, packet: Packet) {
        self.audio_packets += usize::from(!packet.hollow);
        let at = self.packets.iter().rposition(|held| held.sequence < packet.sequence).map_or(0, |i| i + 1);
        self.packets.insert(at, packet);
        if self.packets.len() > MAX_PACKETS {
            self.discard_front();
        }
    }

    /// Number of audio packets.
    pub fn len(&self) -> usize {
        self.audio_packets
    }

    /// The first audio packet; `None` while a pause is unconfirmed.
    pub fn front(&self) -> Option<&Packet> {
        if self.pause.is_some() {
            return None;
        }
        self.packets.iter().find(|packet| !packet.hollow)
    }

    /// Media time held from the first packet to the end of the last, in 48 kHz ticks.
    pub fn held_ticks(&self) -> i64 {
        match (self.front(), self.packets.iter().rfind(|packet| !packet.hollow)) {
            (Some(front), Some(back)) => (back.ticks + back.duration - front.ticks).max(0),
            _ => 0,
        }
    }

    /// Packets missing before the first one held.
    pub fn missing(&self) -> i64 {
        let Some(next) = self.next else { return 0 };
        let first = (0..).zip(&self.packets).find(|(_, packet)| !packet.hollow);
        first.map_or(0, |(hollow, packet)| packet.sequence - next - hollow)
    }

    /// Gives up the next missing packet.
    pub fn give_up_one(&mut self) {
        if self.missing() > 0 {
            if let Some(next) = self.next {
                self.note_lost(next);
                self.next = Some(next + 1);
            }
            self.pass_hollow();
        }
    }

    /// Of the packets missing before the first one held only `with_audio` had audio: the others are not lost.
    pub fn forgive(&mut self, with_audio: i64) {
        while self.missing() > with_audio {
            self.next = self.next.map(|next| next + 1);
            self.pass_hollow();
        }
    }

    fn note_lost(&mut self, sequence: i64) {
        self.counts.lost += 1;
        self.given_up |= bit(self.top.sequence - sequence);
    }

    /// How many of the missing packets had audio, by the missing media time.
    pub fn missing_audio(&self) -> i64 {
        let front = self.packets.iter().find(|packet| !packet.hollow);
        let (Some(front), Some(_)) = (front, self.next) else { return 0 };
        let gap = front.ticks.saturating_sub(self.until);
        let by_time = if gap < 120 { 0 } else { ((gap + front.duration / 2) / front.duration).max(1) };
        self.missing().min(by_time)
    }

    /// Takes the first packet; packets missing before it are given up.
    pub fn pop(&mut self) -> Option<Packet> {
        if self.audio_packets == 0 {
            return None;
        }
        self.forgive(self.missing_audio());
        while self.missing() > 0 {
            self.give_up_one();
        }
        while self.packets.front().is_some_and(|packet| packet.hollow) {
            self.packets.pop_front();
        }
        let packet = self.packets.pop_front()?;
        self.audio_packets -= 1;
        self.next = Some(packet.sequence + 1);
        self.until = packet.ticks.saturating_add(packet.duration);
        if self.audio_packets == 0 {
            self.pause = None;
        }
        self.pass_hollow();
        Some(packet)
    }

    /// Removes hollow packets whose turn it is.
    fn pass_hollow(&mut self) {
        while let Some(sequence) = self.packets.front().filter(|p| p.hollow).map(|p| p.sequence) {
            if self.next.is_some_and(|next| next != sequence) {
                return;
            }
            self.packets.pop_front();
            self.next = self.next.map(|_| sequence + 1);
        }
    }

    /// Drops the first packet because it is late.
    pub fn drop_late(&mut self) {
        if self.pop().is_some() {
            self.counts.late += 1;
        }
    }

    /// Drops the first packet because too many are held.
    pub fn discard_front(&mut self) {
        if self.audio_packets == 0 {
            // Only hollow packets: those missing among them are lost.
            if let (Some(next), Some(back)) = (self.next, self.packets.back()) {
                let end = back.sequence + 1;
                self.counts.lost += (end - next - self.packets.len() as i64).max(0) as u64;
                self.next = Some(end);
            }
            self.packets.clear();
        } else if self.pop().is_some() {
            self.counts.discarded += 1;
        }
    }
}

/// A larger step than one stream makes.
fn is_far(step: i64) -> bool {
    step > MAX_JUMP || step <= -i64::from(u128::BITS)
}

/// Whether sequence number and timestamp together show a stream restart.
fn is_restart(newest: &Newest, step: i64, packet: &Incoming) -> bool {
    if step == 1 {
        return false;
    }
    let advance = i64::from(packet.timestamp.wrapping_sub(newest.timestamp) as i32);
    let media = media_micros(advance);
    if step <= 0 {
        // Sent before the newest but sampled after it: its sequence number belongs to another stream.
        let parted = media.saturating_sub(media_micros(step * newest.duration));
        return advance > INEXACT_TICKS || parted.saturating_abs() > MAX_SLIP_US;
    }
    let passed = packet.now_us.saturating_sub(newest.arrival);
    media < -MAX_SLIP_US || media > passed.saturating_add(MAX_SLIP_US)
}

/// The bit of the packet `back` before the newest; 0 if it is out of range.
fn bit(back: i64) -> u128 {
    u32::try_from(back).ok().and_then(|back| 1u128.checked_shl(back)).unwrap_or(0)
}

#[cfg(test)]
#[path = "jitter_tests.rs"]
mod tests;
