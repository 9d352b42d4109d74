//! Filter between the engine's events and the observer of one peer connection: states are reported once and in order,
//! `Closed` exactly once, and nothing after it, also no data.
//!
//! Must not know: any engine's types, sockets.

use super::engine::{PacketSink, PeerObserver, PeerState, RemoteTrackInfo, ServerFailure, Waiting};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

pub struct Gate {
    observer: Arc<dyn PeerObserver>,
    /// Last state reported. Locked while the observer receives a state, so that states keep their order, and while it
    /// receives data, so that `Closed` cannot overtake it.
    reported: Mutex<PeerState>,
    closing: AtomicBool,
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").field("closing", &self.is_closing()).finish_non_exhaustive()
    }
}

impl Gate {
    pub fn new(observer: Arc<dyn PeerObserver>) -> Self {
        Self { observer, reported: Mutex::new(PeerState::New), closing: AtomicBool::new(false) }
    }

    /// Reports a state unless it repeats the last one or follows `Closed`. While closing, only `Closed` passes.
    pub fn state(&self, state: PeerState) {
        let mut reported = self.reported.lock();
        let quiet = self.is_closing() && state != PeerState::Closed;
        if *reported == state || *reported == PeerState::Closed || quiet {
            return;
        }
        *reported = state;
        self.observer.state(state);
    }

    /// Marks the peer connection as closing; true for the first caller.
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

    pub fn server_failed(&self, failure: ServerFailure) {
        if !self.is_closing() {
            self.observer.server_failed(failure);
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

    fn unless_closed(&self, report: impl FnOnce(&dyn PeerObserver)) {
        let reported = self.reported.lock();
        if !self.is_closing() && *reported != PeerState::Closed {
            report(&*self.observer);
        }
    }
}
