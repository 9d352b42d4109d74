//! Opus frames written by an application, queued until they are due.
//!
//! Must not know: RTP sequence numbers, mute, who paces.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{input::LIVE_MS, opus, MAX_PAYLOAD, RTP_RATE};
use crate::error::{Code, Error, Result};

/// A frame written at most this much after its time still counts as on time, in 48 kHz ticks: an application that
/// writes in real time is not always exact.
const LATE: u64 = 960;

/// Maximum number of queued frames, whatever their duration.
const MAX_FRAMES: usize = 256;

/// A bounded queue in media time (48 kHz ticks).
#[derive(Debug)]
pub(super) struct OpusQueue {
    frames: VecDeque<(Bytes, u32)>,
    /// Ticks queued and allowed.
    held: usize,
    capacity: usize,
    /// Media time at which the next frame begins.
    position: u64,
    /// Content beyond [`LIVE_MS`] is dropped, oldest first.
    live: bool,
    /// Ticks accepted; those of them dropped; and those of the dropped that were too old or cleared.
    written: u64,
    dropped: u64,
    refused: u64,
}

impl OpusQueue {
    pub fn new(capacity_ms: u32, live: bool) -> Self {
        // The longest valid packet must always fit.
        let capacity = (capacity_ms.max(120) * (RTP_RATE / 1_000)) as usize;
        Self { frames: VecDeque::new(), held: 0, capacity, position: 0, live, written: 0, dropped: 0, refused: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub fn sent_ms(&self) -> u64 {
        (self.written - self.dropped - self.held as u64) / u64::from(RTP_RATE / 1_000)
    }

    pub fn refused_ms(&self) -> u64 {
        self.refused / u64::from(RTP_RATE / 1_000)
    }

    /// Drops all queued frames; returns how many ms they were.
    pub fn refuse(&mut self) -> u32 {
        let ms = self.buffered_ms();
        self.refused += self.held as u64;
        self.clear();
        ms
    }

    /// Drops the oldest frames so that, with the new one, at most [`LIVE_MS`] are queued; a longer packet stands alone.
    fn make_room(&mut self, duration: u32) {
        let most = (LIVE_MS * (RTP_RATE / 1_000)) as usize;
        while self.held + duration as usize > most || self.frames.len() >= MAX_FRAMES {
            let Some((_, oldest)) = self.frames.pop_front() else { return };
            self.held -= oldest as usize;
            self.dropped += u64::from(oldest);
            self.refused += u64::from(oldest);
        }
    }

    pub fn push(&mut self, payload: Bytes, duration: u32) -> Result<()> {
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::new(Code::Argument, "an Opus frame must not exceed 1500 bytes"));
        }
        let Some(actual) = opus::duration(&payload) else {
            return Err(Error::new(Code::Argument, "the payload is not an Opus packet"));
        };
        if duration != 0 && duration != actual {
            return Err(Error::new(
                Code::Argument,
                format!("the Opus packet is {actual} samples long at 48 kHz, not {duration}"),
            ));
        }
        if self.live {
            self.make_room(actual);
        }
        if self.frames.len() >= MAX_FRAMES || self.held + actual as usize > self.capacity {
            return Err(Error::new(Code::Full, "the queue of Opus frames is full; write in real time"));
        }
        self.held += actual as usize;
        self.written += u64::from(actual);
        self.frames.push_back((payload, actual));
        Ok(())
    }

    pub fn room(&self) -> usize {
        if self.frames.len() >= MAX_FRAMES {
            0
        } else {
            self.capacity - self.held
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn buffered_ms(&self) -> u32 {
        self.held as u32 / (RTP_RATE / 1_000)
    }

    pub fn clear(&mut self) {
        self.dropped += self.held as u64;
        self.frames.clear();
        self.held = 0;
    }

    /// The frame taken last is not sent.
    pub fn was_muted(&mut self, duration: u32) {
        self.dropped += u64::from(duration);
    }

    /// When the next frame is due, in media time; `None` if there is none.
    pub fn due(&self) -> Option<u64> {
        (!self.frames.is_empty()).then_some(self.position)
    }

    /// The next frame, if it is due at media time `now`. A frame written too late is returned now, after a gap.
    pub fn next(&mut self, now: u64) -> Option<Due> {
        if self.frames.is_empty() || self.position > now {
            return None;
        }
        let gap = now - self.position > LATE;
        if gap {
            // On the grid of the shortest frames.
            self.position = now - now % 120;
        }
        let (payload, duration) = self.frames.pop_front()?;
        let at = self.position;
        self.held -= duration as usize;
        self.position += u64::from(duration);
        Some(Due { at, payload, duration, gap })
    }
}

/// A frame that is due.
#[derive(Debug)]
pub(super) struct Due {
    /// Media time at which it starts.
    pub at: u64,
    pub payload: Bytes,
    pub duration: u32,
    /// It does not start right after the previous frame.
    pub gap: bool,
}
