//! A moderator's unmute takes effect when the application has received its event, and not before.
//!
//! The notice of the event holds a [`Lift`]. When the last copy is dropped (the callback has returned, the pulled event
//! was freed, or it is never delivered), its tracks may be sent again. Must not know: rules, C.

use super::outgoing::Outgoing;
use parking_lot::Mutex;
use std::sync::Arc;

/// Tracks that are unmuted when this is dropped. Always equal: it is not part of a notice's content.
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
    /// Adds a track and the mute in force now; a later mute stays.
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
