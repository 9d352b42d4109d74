//! The packets of one stream that wait for the others of their frames, by sequence number, and where frames start and end
//! among them.
//!
//! Must not know: deadlines, which frames can be decoded, other streams. Its user bounds it.

use std::{collections::VecDeque, time::Duration};

use super::{
    codec::{Codec, Piece},
    packet::VideoPacket,
};

/// A place in the window.
#[derive(Debug)]
pub(super) enum Slot {
    /// Not arrived; missing since a later one arrived.
    Missing(Duration),
    /// Arrived, and part of no frame.
    Empty,
    Packet(Held),
}

#[derive(Debug)]
pub(super) struct Held {
    pub packet: VideoPacket,
    pub codec: Codec,
    pub piece: Piece,
    pub malformed: bool,
}

impl Held {
    pub fn timestamp(&self) -> u32 {
        self.packet.rtp.timestamp
    }

    fn bytes(&self) -> usize {
        self.packet.rtp.payload.len() + self.packet.descriptor.len()
    }

    /// Of the same frame.
    pub fn is_with(&self, other: &Held) -> bool {
        (self.timestamp(), self.codec) == (other.timestamp(), other.codec)
    }
}

/// What lies at the front of the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// So many slots are a whole frame.
    Whole(usize),
    /// The slot at this index is missing.
    Gap(usize),
    /// The rest has not been sent yet, as far as is known.
    Open,
}

/// A window of sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    /// Extended sequence number of the first slot.
    head: i64,
    bytes: usize,
    missing: usize,
    key_packets: usize,
}

impl Window {
    /// Empties it; the next slot is that of `head`.
    pub fn restart(&mut self, head: i64) {
        self.slots.clear();
        (self.head, self.bytes, self.missing, self.key_packets) = (head, 0, 0, 0);
    }

    pub fn head(&self) -> i64 {
        self.head
    }

    /// The number after the last slot.
    pub fn end(&self) -> i64 {
        self.head + self.slots.len() as i64
    }

    /// Slots, those of missing packets included.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Bytes of payloads and descriptors.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Some packet is of a key frame.
    pub fn has_key_packets(&self) -> bool {
        self.key_packets > 0
    }

    pub fn get(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }

    /// Adds slots of missing packets at the front.
    pub fn extend_front(&mut self, count: usize, now: Duration) {
        (0..count).for_each(|_| self.slots.push_front(Slot::Missing(now)));
        self.head -= count as i64;
        self.missing += count;
    }

    /// Adds the slot of a missing packet at the end.
    pub fn extend_back(&mut self, now: Duration) {
        self.slots.push_back(Slot::Missing(now));
        self.missing += 1;
    }

    /// Fills the slot of a missing packet.
    pub fn put(&mut self, index: usize, slot: Slot) {
        let Some(place @ Slot::Missing(_)) = self.slots.get_mut(index) else { return };
        match &slot {
            Slot::Packet(held) => {
                self.bytes += held.bytes();
                self.key_packets += usize::from(held.piece.key);
            }
            Slot::Empty => {}
            Slot::Missing(_) => return,
        }
        self.missing -= 1;
        *place = slot;
    }

    /// Removes the first slot.
    pub fn pop(&mut self) -> Option<Slot> {
        let slot = self.slots.pop_front()?;
        self.head += 1;
        match &slot {
            Slot::Packet(held) => {
                self.bytes -= held.bytes();
                self.key_packets -= usize::from(held.piece.key);
            }
            Slot::Missing(_) => self.missing -= 1,
            Slot::Empty => {}
        }
        Some(slot)
    }

    /// The packets in the first `length` slots.
    pub fn packets(&self, length: usize) -> impl DoubleEndedIterator<Item = &Held> {
        self.slots.range(..length.min(self.slots.len())).filter_map(|slot| match slot {
            Slot::Packet(held) => Some(held),
            _ => None,
        })
    }

    pub fn held_at(&self, index: usize) -> Option<&Held> {
        match self.slots.get(index) {
            Some(Slot::Packet(held)) => Some(held),
            _ => None,
        }
    }

    /// Whether the packet at `index` only continues the frame of the packet before it, so that there are no more frames
    /// than without it.
    pub fn extends_frame(&self, index: usize) -> bool {
        let Some(held) = self.held_at(index) else { return true };
        let before = index.checked_sub(1).and_then(|before| self.held_at(before));
        let is_last = self.held_at(index + 1).is_none();
        before.is_some_and(|before| before.is_with(held) && !before.packet.rtp.marker)
            && (is_last || !held.packet.rtp.marker)
    }

    /// Whether the packet at `index` certainly starts a frame.
    fn starts_frame(&self, index: usize) -> bool {
        let Some(held) = self.held_at(index) else { return false };
        if held.piece.begins {
            return !self.before(index).is_some_and(|before| before.is_with(held) && !before.packet.rtp.marker);
        }
        match self.before(index) {
            Some(before) => before.packet.rtp.marker || !before.is_with(held),
            None => false,
        }
    }

    /// The packet right before `index`, past those that are part of no frame.
    fn before(&self, index: usize) -> Option<&Held> {
        let slots = self.slots.range(..index.min(self.slots.len()));
        match slots.rev().find(|slot| !matches!(slot, Slot::Empty)) {
            Some(Slot::Packet(held)) => Some(held),
            _ => None,
        }
    }

    /// Scans the frame that starts at `index`, of which `known` slots have been scanned before.
    pub fn scan(&self, index: usize, known: usize) -> Front {
        let Some(first) = self.held_at(index) else { return Front::Gap(index) };
        for at in index + known..self.slots.len() {
            match &self.slots[at] {
                Slot::Missing(_) => return Front::Gap(at),
                Slot::Empty => {}
                Slot::Packet(held) if !held.is_with(first) => return Front::Whole(at - index),
                Slot::Packet(held) if held.packet.rtp.marker => return Front::Whole(at + 1 - index),
                Slot::Packet(_) => {}
            }
        }
        Front::Open
    }

    /// Frames in the window, at least in part, that are not whole. `at_start`: the first slot starts one.
    pub fn unfinished(&self, at_start: bool) -> usize {
        let (mut unfinished, mut at) = (0, 0);
        // A missing packet makes the frames on both sides of it unfinished, unless they start or end there.
        let mut known_start = at_start;
        let mut counted: Option<&Held> = None;
        while at < self.slots.len() {
            let Some(held) = self.held_at(at) else {
                known_start &= matches!(self.slots[at], Slot::Empty);
                at += 1;
                continue;
            };
            let starts = known_start || self.starts_frame(at);
            let (length, whole) = match self.scan(at, 0) {
                Front::Whole(length) => (length, true),
                Front::Gap(gap) => (gap - at, false),
                Front::Open => (self.slots.len() - at, false),
            };
            let same = counted.is_some_and(|counted| !starts && counted.is_with(held));
            if !(same || (starts && whole)) {
                unfinished += 1;
                counted = Some(held);
            }
            known_start = whole;
            at += length.max(1);
        }
        unfinished
    }

    /// Since when the first missing packet is missing.
    pub fn missing_since(&self) -> Option<Duration> {
        if self.missing == 0 {
            return None;
        }
        self.slots.iter().find_map(|slot| match slot {
            Slot::Missing(since) => Some(*since),
            _ => None,
        })
    }

    /// Where a whole key frame starts. `at_start`: the first slot starts a frame.
    pub fn find_key_frame(&self, at_start: bool) -> Option<usize> {
        let mut at = 0;
        while at < self.slots.len() {
            let starts = (at == 0 && at_start) || self.starts_frame(at);
            if !starts {
                at += 1;
                continue;
            }
            at += match self.scan(at, 0) {
                Front::Whole(length) => {
                    let is_key = |slot: &Slot| matches!(slot, Slot::Packet(held) if held.piece.key);
                    if self.slots.range(at..at + length).any(is_key) {
                        return Some(at);
                    }
                    length
                }
                Front::Gap(gap) => gap + 1 - at,
                Front::Open => return None,
            };
        }
        None
    }

    /// Where the next frame after the first missing packet certainly starts; without a missing packet, the next after the
    /// first slot.
    pub fn next_start(&self) -> Option<usize> {
        let first = self.slots.iter().position(|slot| matches!(slot, Slot::Missing(_))).unwrap_or(0);
        (first + 1..self.slots.len()).find(|index| self.starts_frame(*index))
    }
}
