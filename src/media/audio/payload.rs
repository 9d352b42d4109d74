//! What a packet of a track is, before anybody decodes it.
//!
//! Must not know: order, time, decoding.

/// What a packet was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Sound: to be decoded when its time comes, unless it is malformed, late or double.
    Sound,
    /// Padding only: it fills the line, and stands for no sound.
    Padding,
    /// Of a payload type that is not Opus: comfort noise, telephone events, whatever was not negotiated.
    Unplayable,
}

/// The payload types under which a track's Opus comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadTypes {
    opus: u128,
    red: Option<Red>,
}

/// The payload types of redundant audio (RFC 2198) and of the frames in it.
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

    /// And those of redundant audio, when it is negotiated.
    #[must_use]
    pub fn with_red(self, red: Option<Red>) -> Self {
        Self { red, ..self }
    }

    pub fn contains(self, payload_type: u8) -> bool {
        payload_type < 128 && self.opus >> payload_type & 1 == 1
    }

    /// What a packet is taken for by its payload type.
    pub fn kind(self, payload_type: u8, payload: &[u8]) -> Taken {
        match payload.is_empty() {
            true => Taken::Padding,
            false if self.contains(payload_type) || self.inner(payload_type).is_some() => Taken::Sound,
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
    /// Where nobody has said it: the dynamic ones (RFC 3551 section 6).
    fn default() -> Self {
        Self::of(96..128)
    }
}
