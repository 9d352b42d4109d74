//! Packets of one stream put back in order: bounded, without duplicates, without the late ones.
//!
//! Must not know: decoding, when to play. Sequence numbers and timestamps are extended to 64 bit, so
//! that nobody above meets a wrap.
//!
//! Four witnesses tell when a packet's sound belongs: sequence number, timestamp, SSRC and arrival.
//! Senders and SFUs get each of them wrong, so none is believed alone: what contradicts the others is
//! mapped onto the time line that the stream has (`ticks`), and only two packets in a row make a new life.

use std::{collections::VecDeque, time::Duration};

use super::{
    delay::{media_micros, media_ticks, micros, DelayEstimator, LATE_TOLERANCE_US},
    opus, MAX_PAYLOAD,
};
use crate::media::frame::EncodedFrame;

/// Most packets held: 320 ms of the shortest, more than the largest delay of all others.
pub(super) const MAX_PACKETS: usize = 128;

/// A sequence number further ahead than this, or so far back that nobody remembers whether it came,
/// belongs to another life of the sender.
const MAX_JUMP: i64 = 1_000;

/// Timestamps may not part by more than this from what sequence numbers and arrival say.
const MAX_SLIP_US: i64 = 10_000_000;

/// A step of media time up to this is an inexact timestamp, not a pause.
pub(super) const INEXACT_TICKS: i64 = 720;

/// A packet cannot be so much earlier than the earliest of late: its timestamp is wrong.
const MAX_EARLY_US: i64 = 30_000;

/// How long the first packet after a pause waits for what follows it, which tells a sender whose clock
/// stood still (the next comes at its pace) from a network that held packets up (they come at once).
const PAUSE_PROOF_US: i64 = 30_000;

/// For how long an SSRC that another one has replaced is not believed to be back.
const FORMER_US: i64 = 500_000;

/// A packet waiting to be played.
#[derive(Debug)]
pub(super) struct Packet {
    /// Extended sequence number, counted on over restarts.
    pub sequence: i64,
    /// Place on the stream's time line, 48 kHz ticks.
    pub ticks: i64,
    /// Duration in 48 kHz ticks, 120..=5760.
    pub duration: i64,
    pub frame: EncodedFrame,
    /// First of a new life of the sender: nothing from before helps to decode it.
    pub fresh: bool,
    /// It came, and there is no sound in it.
    hollow: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// Queued, with the one that was kept aside before it, as the first of a new life.
    Restarted,
    /// Dropped, or kept aside until another one confirms it.
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
    /// Lost packets whose frame came again in time.
    pub restored: u64,
}

/// A packet as it comes in.
#[derive(Debug)]
struct Incoming {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    duration: i64,
    now_us: i64,
    frame: EncodedFrame,
}

/// The newest packet of sound.
#[derive(Clone, Copy, Debug)]
struct Newest {
    ssrc: u32,
    sequence: i64,
    timestamp: u32,
    ticks: i64,
    duration: i64,
    arrival: i64,
}

/// The newest sequence number, of sound or not: extended, and as it came.
#[derive(Clone, Copy, Debug)]
struct Top {
    sequence: i64,
    raw: u16,
}

/// The first packet after a pause that its timestamp does not know of.
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
    sounding: usize,
    newest: Option<Newest>,
    top: Top,
    /// Sequence number to be played next, once something was.
    next: Option<i64>,
    /// Where the packet taken last ends.
    until: i64,
    /// Which of the 128 sequence numbers up to the newest have come; bit 0 is the newest.
    seen: u128,
    /// Which of them were given up as lost.
    given_up: u128,
    /// Kept until the next confirms it (RFC 3550 appendix A.1: one stray packet is no restart).
    probation: Option<Incoming>,
    pause: Option<Pause>,
    /// A pause was confirmed since it was asked for.
    paused: bool,
    /// The SSRC of before, and when it was replaced.
    former: Option<(u32, i64)>,
    last_arrival: Option<i64>,
    pub delay: DelayEstimator,
    pub counts: Counts,
}

impl JitterBuffer {
    pub fn new(min_delay: Duration, max_delay: Duration) -> Self {
        Self {
            packets: VecDeque::new(),
            sounding: 0,
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

    /// Forgets the stream; the counters stay.
    pub fn reset(&mut self) {
        self.packets.clear();
        self.sounding = 0;
        self.newest = None;
        self.next = None;
        (self.seen, self.given_up) = (0, 0);
        (self.probation, self.pause, self.former) = (None, None, None);
        self.paused = false;
        self.last_arrival = None;
        self.delay.reset();
    }

    /// When the last packet of sound came, whatever became of it, in microseconds.
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
        if ssrc != newest.ssrc || is_far(step) || is_another_life(&newest, from_newest, &packet) {
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

    /// Notes a packet without sound: its number is not missing.
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

    /// An earlier frame that came again inside a later packet (RFC 2198): it fills the hole of its packet,
    /// if there is one. Only between two packets that have come: what was before the first is nobody's loss.
    pub fn restore(&mut self, frame: EncodedFrame) -> bool {
        let EncodedFrame { ssrc, sequence, rtp_time: timestamp, .. } = frame;
        let Some(newest) = self.newest.filter(|newest| newest.ssrc == ssrc) else { return false };
        let back = -self.step(sequence);
        // Not yet seen, and something before it was.
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
        // A sender counts otherwise when its timestamp is not between those of its neighbours.
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

    /// How far a sequence number is from the newest.
    fn step(&self, sequence: u16) -> i64 {
        i64::from(sequence.wrapping_sub(self.top.raw) as i16)
    }

    /// Whether a packet of the SSRC of before is one of its last, while the new one is alive.
    fn is_former(&self, ssrc: u32, newest: Newest, now_us: i64) -> bool {
        newest.ssrc != ssrc && now_us.saturating_sub(newest.arrival) < FORMER_US
    }

    /// Where a packet of this life belongs, and whether it is kept.
    fn take(&mut self, sequence: i64, packet: Incoming) {
        let Some(newest) = self.newest else { return };
        let now_us = packet.now_us;
        let ticks = self.place(&newest, sequence - newest.sequence, &packet);
        if sequence > newest.sequence {
            let (ssrc, timestamp, duration) = (packet.ssrc, packet.timestamp, packet.duration);
            self.newest = Some(Newest { ssrc, sequence, timestamp, ticks, duration, arrival: now_us });
        }
        if self.next.is_some_and(|next| sequence < next) {
            // It was given up for lost and has come after all.
            self.delay.observe(now_us, ticks);
            self.counts.late += 1;
            self.take_back(sequence);
            return;
        }
        let late_us = self.delay.delay_us(now_us, ticks);
        let dry = self.sounding == 0 && self.next.is_some() && sequence > newest.sequence;
        if dry && late_us > self.delay.target_us() + LATE_TOLERANCE_US {
            self.pause = Some(Pause { arrival: now_us, ticks, late_us });
        } else {
            self.delay.observe(now_us, ticks);
        }
        self.hold(sequence, ticks, false, packet);
    }

    /// Where a packet `step` away from the newest belongs on the time line.
    fn place(&self, newest: &Newest, step: i64, packet: &Incoming) -> i64 {
        let advance = i64::from(packet.timestamp.wrapping_sub(newest.timestamp) as i32);
        let even = step.saturating_mul(newest.duration);
        let by_time = newest.ticks.saturating_add(advance);
        let by_number = newest.ticks.saturating_add(even);
        if step <= 0 {
            // What was sent before cannot be heard after it.
            return if advance > 0 || (step < 0 && advance == 0) { by_number } else { by_time };
        }
        if advance < newest.duration / 4 {
            // The clock stands still or goes back; the sound is another all the same.
            return by_number;
        }
        let earliest = self.delay.base().saturating_sub(MAX_EARLY_US);
        if packet.now_us.saturating_sub(media_micros(by_time)) < earliest && by_time > by_number {
            // It says that a pause has passed for which there was no time.
            return by_number.max(media_ticks(packet.now_us.saturating_sub(self.delay.base())).min(by_time));
        }
        by_time
    }

    /// The packet after a pause that was in doubt tells whether there was one.
    fn settle_pause_with(&mut self, packet: &Incoming, newest: &Newest) {
        let Some(pause) = self.pause else { return };
        let spacing = packet.now_us.saturating_sub(pause.arrival);
        if spacing.saturating_mul(2) >= media_micros(newest.duration) {
            self.confirm_pause();
        } else {
            // Held up together: they are late.
            self.pause = None;
            self.delay.observe(pause.arrival, pause.ticks);
        }
    }

    /// Decides about a pause in doubt when its time is over; to be called before anything is played.
    pub fn settle_pause(&mut self, now_us: i64) {
        if self.pause.is_some_and(|pause| now_us.saturating_sub(pause.arrival) >= PAUSE_PROOF_US) {
            self.confirm_pause();
        }
    }

    /// The sender's clock stood still: what comes now is in time.
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

    /// Whether the sender paused before the first packet held, though its clock does not say so; once.
    pub fn take_paused(&mut self) -> bool {
        std::mem::take(&mut self.paused)
    }

    /// Another life, if this is the second packet in a row that says so: it goes on where the old one ends.
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
        // One turn up, so that what was sent just before it does not come out negative.
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

    /// Notes that the packet `step` (> -128) away from the newest has come; false if it had before.
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

    /// It counted as lost and was not.
    fn take_back(&mut self, sequence: i64) {
        let bit = bit(self.top.sequence - sequence);
        if self.given_up & bit != 0 {
            self.given_up &= !bit;
            self.counts.lost = self.counts.lost.saturating_sub(1);
        }
    }

    fn insert(&mut self, packet: Packet) {
        self.sounding += usize::from(!packet.hollow);
        let at = self.packets.iter().rposition(|held| held.sequence < packet.sequence).map_or(0, |i| i + 1);
        self.packets.insert(at, packet);
        if self.packets.len() > MAX_PACKETS {
            self.discard_front();
        }
    }

    /// Packets of sound.
    pub fn len(&self) -> usize {
        self.sounding
    }

    /// The first packet of sound; none while it is in doubt when its time is.
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

    /// Gives the next missing packet up.
    pub fn give_up_one(&mut self) {
        if self.missing() > 0 {
            if let Some(next) = self.next {
                self.note_lost(next);
                self.next = Some(next + 1);
            }
            self.pass_hollow();
        }
    }

    /// Of the packets missing before the first one held only `sound` had any: the others are not lost.
    pub fn forgive(&mut self, sound: i64) {
        while self.missing() > sound {
            self.next = self.next.map(|next| next + 1);
            self.pass_hollow();
        }
    }

    fn note_lost(&mut self, sequence: i64) {
        self.counts.lost += 1;
        self.given_up |= bit(self.top.sequence - sequence);
    }

    /// How many of the missing packets had sound, going by the media time that is missing with them.
    pub fn missing_sound(&self) -> i64 {
        let front = self.packets.iter().find(|packet| !packet.hollow);
        let (Some(front), Some(_)) = (front, self.next) else { return 0 };
        let gap = front.ticks.saturating_sub(self.until);
        let by_time = if gap < 120 { 0 } else { ((gap + front.duration / 2) / front.duration).max(1) };
        self.missing().min(by_time)
    }

    /// Takes the first packet; what is missing before it is given up.
    pub fn pop(&mut self) -> Option<Packet> {
        if self.sounding == 0 {
            return None;
        }
        self.forgive(self.missing_sound());
        while self.missing() > 0 {
            self.give_up_one();
        }
        while self.packets.front().is_some_and(|packet| packet.hollow) {
            self.packets.pop_front();
        }
        let packet = self.packets.pop_front()?;
        self.sounding -= 1;
        self.next = Some(packet.sequence + 1);
        self.until = packet.ticks.saturating_add(packet.duration);
        if self.sounding == 0 {
            self.pause = None;
        }
        self.pass_hollow();
        Some(packet)
    }

    /// Hollow packets whose turn it is are over.
    fn pass_hollow(&mut self) {
        while let Some(sequence) = self.packets.front().filter(|p| p.hollow).map(|p| p.sequence) {
            if self.next.is_some_and(|next| next != sequence) {
                return;
            }
            self.packets.pop_front();
            self.next = self.next.map(|_| sequence + 1);
        }
    }

    /// Drops the first packet because its time is over.
    pub fn drop_late(&mut self) {
        if self.pop().is_some() {
            self.counts.late += 1;
        }
    }

    /// Drops the first packet because there is too much.
    pub fn discard_front(&mut self) {
        if self.sounding == 0 {
            // Nothing but numbers: those missing among them are lost.
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

/// Further than one life of a sender goes in one step.
fn is_far(step: i64) -> bool {
    step > MAX_JUMP || step <= -i64::from(u128::BITS)
}

/// Whether sequence number and timestamp together say that the sender began anew.
fn is_another_life(newest: &Newest, step: i64, packet: &Incoming) -> bool {
    if step == 1 {
        return false;
    }
    let advance = i64::from(packet.timestamp.wrapping_sub(newest.timestamp) as i32);
    let media = media_micros(advance);
    if step <= 0 {
        // Sent before the newest and sampled after it: it is not what its number says.
        let parted = media.saturating_sub(media_micros(step * newest.duration));
        return advance > INEXACT_TICKS || parted.saturating_abs() > MAX_SLIP_US;
    }
    let passed = packet.now_us.saturating_sub(newest.arrival);
    media < -MAX_SLIP_US || media > passed.saturating_add(MAX_SLIP_US)
}

/// The bit of the packet `back` before the newest; none when nobody remembers it.
fn bit(back: i64) -> u128 {
    u32::try_from(back).ok().and_then(|back| 1u128.checked_shl(back)).unwrap_or(0)
}

#[cfg(test)]
#[path = "jitter_tests.rs"]
mod tests;
