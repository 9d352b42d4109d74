//! A moderator's unmute takes effect when the application has been told of it, and not before.
//!
//! The notice of the event holds a [`Lift`]; when the last copy of that is dropped (the callback has returned, the
//! pulled event was freed, or nobody will ever be told), the tracks in it may be sent again. Must not know: rules, C.

use super::outgoing::Outgoing;
use parking_lot::Mutex;
use std::sync::Arc;

/// Tracks that are unmuted when this is dropped. Two are equal: it is no part of what a notice says.
#[derive(Clone, Debug, Default)]
pub struct Lift(Arc<Tracks>);

#[derive(Debug, Default)]
struct Tracks(Mutex<Vec<(Arc<Outgoing>, u64)>>);

impl PartialEq for Lift {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Lift {
    /// Of the mute that is in force now; a later one stays.
    pub(super) fn add(&self, track: Arc<Outgoing>) {
        let mute = track.moderation();
        self.0 .0.lock().push((track, mute));
    }
}

impl Drop for Tracks {
    fn drop(&mut self) {
        for (track, mute) in self.0.get_mut().drain(..) {
            track.lift(mute);
        }
    }
}
