//! What stands between the engine's events and the observer of one peer connection: states are
//! told once and in order, `Closed` exactly once, and nothing after it, data neither.
//!
//! Must not know: any engine's types, sockets.

use super::engine::{PacketSink, PeerObserver, PeerState, RemoteTrackInfo, Waiting};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

pub struct Gate {
    observer: Arc<dyn PeerObserver>,
    /// Last state told. Held while the observer hears a state, so that states keep their order, and
    /// while it hears of data, so that `Closed` is not overtaken.
    told: Mutex<PeerState>,
    closing: AtomicBool,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("closing", &self.is_closing()).finish_non_exhaustive()
    }
}

impl Gate {
    pub fn new(observer: Arc<dyn PeerObserver>) -> Self {
        Self { observer, told: Mutex::new(PeerState::New), closing: AtomicBool::new(false) }
    }

    /// Tells a state unless it was the last one told, or the end was told. While closing only
    /// `Closed` passes.
    pub fn state(&self, state: PeerState) {
        let mut told = self.told.lock();
        let quiet = self.is_closing() && state != PeerState::Closed;
        if *told == state || *told == PeerState::Closed || quiet {
            return;
        }
        *told = state;
        self.observer.state(state);
    }

    /// Marks the peer connection as being closed; true for the first caller.
    pub fn begin_close(&self) -> bool {
        !self.closing.swap(true, Ordering::AcqRel)
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    pub fn candidate(&self, json: String) {
        if !self.is_closing() {
            self.observer.candidate(json);
        }
    }

    pub fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        if self.is_closing() {
            return None;
        }
        self.observer.track(info)
    }

    pub fn unplayable(&self, info: RemoteTrackInfo) {
        if !self.is_closing() {
            self.observer.unplayable(info);
        }
    }

    pub fn unassigned(&self, ssrc: u32, packets: u64, new: bool) {
        if !self.is_closing() {
            self.observer.unassigned(ssrc, packets, new);
        }
    }

    pub fn channel_open(&self, label: &str) {
        self.unless_closed(|observer| observer.channel_open(label));
    }

    pub fn data(&self, label: &str, message: Bytes) {
        self.unless_closed(|observer| observer.data(label, message));
    }

    pub fn data_unread(&self, label: &str, messages: u64, bytes: u64) {
        self.observer.data_unread(label, messages, bytes);
    }

    pub fn data_room(&self, label: &str) -> Option<Waiting> {
        self.observer.data_room(label)
    }

    fn unless_closed(&self, tell: impl FnOnce(&dyn PeerObserver)) {
        let told = self.told.lock();
        if !self.is_closing() && *told != PeerState::Closed {
            tell(&*self.observer);
        }
    }
}
