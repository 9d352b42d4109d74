//! Classification of a track's packets before decoding.
//!
//! Must not know: order, time, decoding.

/// The class of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Audio: decoded when due, unless it is malformed, late or a duplicate.
    Audio,
    /// Padding only: carries no audio.
    Padding,
    /// A payload type that is not Opus: comfort noise, telephone events, or one that was not negotiated.
    Unplayable,
}

/// The payload types of a track's Opus packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadTypes {
    opus: u128,
    red: Option<Red>,
}

/// The payload types of redundant audio (RFC 2198) and of the frames inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Red {
    pub outer: u8,
    pub inner: u8,
}

impl PayloadTypes {
    pub fn of(types: impl IntoIterator<Item = u8>) -> Self {
        let opus = types.into_iter().filter(|number| *number < 128).fold(0, |set, number| set | 1 << number);
        Self { opus, red: None }
    }

    /// Adds the payload types of redundant audio, if negotiated.
    #[must_use]
    pub fn with_red(self, red: Option<Red>) -> Self {
        Self { red, ..self }
    }

    pub fn contains(self, payload_type: u8) -> bool {
        payload_type < 128 && self.opus >> payload_type & 1 == 1
    }

    /// Classifies a packet by its payload type.
    pub fn kind(self, payload_type: u8, payload: &[u8]) -> Taken {
        match payload.is_empty() {
            true => Taken::Padding,
            false if self.contains(payload_type) || self.inner(payload_type).is_some() => Taken::Audio,
            false => Taken::Unplayable,
        }
    }

    /// The payload type of the frames in a packet of redundant audio; `None` for every other packet.
    pub fn inner(self, payload_type: u8) -> Option<u8> {
        self.red.filter(|red| red.outer == payload_type).map(|red| red.inner)
    }

    pub fn is_empty(self) -> bool {
        self.opus == 0
    }
}

impl Default for PayloadTypes {
    /// If not negotiated: the dynamic payload types (RFC 3551 section 6).
    fn default() -> Self {
        Self::of(96..128)
    }
}
