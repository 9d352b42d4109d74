//! Events that the application has pulled and not freed yet, at addresses that are not given out again soon.
//!
//! Must not know: where events come from.
//!
//! An application may free an event twice, or free what never was one. The address is all it gives, so an
//! address must not mean another event meanwhile. They come from one range that nobody else gets, in turn: an
//! address is used again when at least [`MAX_PULLED`] other events were given out. The memory behind parts of
//! the range that hold no event goes back to the system.

use super::{event::oh_event, event_view::Kept};
use crate::error::{Code, Error, Result};
use crate::session::{AudioFrame, Notice};
use std::{collections::HashMap, ptr::NonNull};

/// Most events pulled and not freed.
pub(super) const MAX_PULLED: usize = 65_536;
/// Places in the range: one in two is never in use.
const SLOTS: usize = 2 * MAX_PULLED;
/// Bytes from one place to the next.
const STRIDE: usize = 64;
/// Places whose memory is given back together; whole pages, whatever their size.
const BLOCK: usize = 65_536 / STRIDE;

const _: () = assert!(size_of::<oh_event>() <= STRIDE && SLOTS.is_multiple_of(BLOCK));

/// What an event points to.
#[derive(Default)]
pub(super) struct Behind {
    pub kept: Kept,
    /// Owns what is not copied, and what takes effect when the application has had it.
    pub notice: Option<Notice>,
    pub audio: Option<AudioFrame>,
}

// SAFETY: the pointers inside lead only to what this value owns, and nothing is changed after it was made.
unsafe impl Send for Behind {}

pub(super) struct Pulled {
    range: NonNull<u8>,
    /// What belongs to the events that are out, by place.
    out: HashMap<usize, Behind>,
    /// Events out in each block.
    used: Vec<u16>,
    next: usize,
}

// SAFETY: the range belongs to this value for ever, and is written only through it.
unsafe impl Send for Pulled {}

impl Pulled {
    /// Errors: `Limit` when the system has no addresses left.
    pub fn new() -> Result<Self> {
        let (access, kind) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE);
        // SAFETY: a new mapping, at any address.
        let range = unsafe { libc::mmap(std::ptr::null_mut(), SLOTS * STRIDE, access, kind, -1, 0) };
        let range = if range == libc::MAP_FAILED { None } else { NonNull::new(range.cast()) };
        let range =
            range.ok_or_else(|| Error::new(Code::Limit, "no memory for pulled events; raise the limit of it"))?;
        Ok(Self { range, out: HashMap::new(), used: vec![0; SLOTS / BLOCK], next: 0 })
    }

    pub fn is_full(&self) -> bool {
        self.out.len() >= MAX_PULLED
    }

    fn at(&self, slot: usize) -> *mut oh_event {
        // SAFETY: within the range.
        unsafe { self.range.as_ptr().add(slot * STRIDE).cast() }
    }

    /// Gives an event an address.
    pub fn put(&mut self, event: oh_event, behind: Behind) -> *const oh_event {
        // Others than this one are out, and those are fewer than there are places.
        while self.out.contains_key(&self.next) {
            self.next = (self.next + 1) % SLOTS;
        }
        let slot = self.next;
        self.next = (slot + 1) % SLOTS;
        self.used[slot / BLOCK] += 1;
        self.out.insert(slot, behind);
        let pointer = self.at(slot);
        // SAFETY: within the range, aligned, and nobody's just now.
        unsafe { pointer.write(event) };
        pointer
    }

    /// Takes an event back; nothing when there is none at this address. What it pointed to is for the caller
    /// to drop.
    pub fn take(&mut self, event: *const oh_event) -> Option<Behind> {
        let offset = (event as usize).checked_sub(self.range.as_ptr() as usize)?;
        if offset % STRIDE != 0 {
            return None;
        }
        let slot = offset / STRIDE;
        let behind = self.out.remove(&slot)?;
        let block = slot / BLOCK;
        self.used[block] -= 1;
        // The one that is being filled is needed again at once.
        if self.used[block] == 0 && block != self.next / BLOCK {
            let first = self.at(block * BLOCK);
            // SAFETY: whole blocks of the range, in which no event is out. A failure costs memory only.
            unsafe { libc::madvise(first.cast(), BLOCK * STRIDE, libc::MADV_DONTNEED) };
        }
        Some(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capi::{event::oh_event_payload, oh_call};

    fn event(n: u64) -> oh_event {
        let u = oh_event_payload { other: std::ptr::null() };
        oh_event { size: 0, call: oh_call { id: n }, at_ms: 0, u, kind: 0, reserved: 0 }
    }

    #[test]
    fn an_address_comes_back_late_and_freeing_twice_frees_nothing_else() {
        let mut pulled = Pulled::new().unwrap();
        let mut last_use = HashMap::new();
        let mut kept = Vec::new();
        for n in 0..3 * SLOTS {
            let pointer = pulled.put(event(n as u64), Behind::default());
            if let Some(before) = last_use.insert(pointer as usize, n) {
                assert!(n - before > MAX_PULLED, "{n} {before}");
            }
            if n % 100 == 0 && kept.len() < MAX_PULLED / 4 {
                kept.push((pointer, n));
                continue;
            }
            assert!(pulled.take(pointer).is_some());
            assert!(pulled.take(pointer).is_none());
        }
        assert_eq!(pulled.out.len(), kept.len());
        for (pointer, n) in kept {
            // SAFETY: it is out.
            assert_eq!(unsafe { (*pointer).call.id }, n as u64);
            assert!(pulled.take(pointer).is_some() && pulled.take(pointer).is_none());
        }
        assert!(pulled.used.iter().all(|n| *n == 0));
    }

    #[test]
    fn what_is_no_event_is_nothing() {
        let mut pulled = Pulled::new().unwrap();
        let pointer = pulled.put(event(1), Behind::default());
        let local = event(2);
        for wrong in [std::ptr::null(), &local, pointer.wrapping_byte_add(8), pointer.wrapping_byte_sub(STRIDE)] {
            assert!(pulled.take(wrong).is_none());
        }
        assert!(pulled.take(pointer.wrapping_byte_add(SLOTS * STRIDE)).is_none());
        assert!(pulled.take(pointer).is_some());
    }

    #[test]
    fn when_as_many_as_may_be_are_out_it_is_full() {
        let mut pulled = Pulled::new().unwrap();
        let mut all: Vec<_> = (0..MAX_PULLED).map(|n| pulled.put(event(n as u64), Behind::default())).collect();
        assert!(pulled.is_full());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), MAX_PULLED);
        assert!(all.into_iter().all(|pointer| pulled.take(pointer).is_some()) && !pulled.is_full());
    }
}
