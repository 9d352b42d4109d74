//! One track of the publisher, what the SFU believes of it, and the sender that carries it. Must not know: when a
//! negotiation runs.

use super::{AudioOffer, TrackId};

/// What the SFU believes of a track's mute state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It has not acknowledged the track.
    Nothing,
    /// It was told, and may not have heard.
    Unsure,
    Muted(bool),
}

impl Told {
    pub(super) fn or_nothing(self, next: Told) -> Told {
        if self == Told::Nothing {
            self
        } else {
            next
        }
    }
}

#[derive(Debug)]
pub(super) struct Track {
    pub(super) id: TrackId,
    pub(super) offer: AudioOffer,
    /// Name in msid and TrackInfo.
    pub(super) name: String,
    pub(super) muted: bool,
    /// By a moderator, and not unmuted by the application since.
    pub(super) moderated: bool,
    pub(super) told: Told,
    /// The application knows that it is on the air.
    pub(super) announced: bool,
}

/// One sender of the engine.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) track: TrackId,
    /// The name under which it was added.
    pub(super) name: String,
}
