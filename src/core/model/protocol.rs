//! Properties of one signalling protocol. Must not know: wire types, which protocols there are.

use super::json;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A string literal; the alias keeps serde from treating it as a borrowed field.
type Name = &'static str;

/// Properties of one signalling protocol, as far as the call logic depends on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// The protocol's name in errors.
    #[serde(with = "json::name")]
    pub name: Name,
    pub capabilities: Capabilities,
    /// The SFU restarts the subscriber's ICE on an RPC; otherwise only a FAST reconnect does.
    pub subscriber_restart: bool,
    /// The SFU delays addresses without a candidate by one second: local candidates are sent before the answer.
    pub candidates_first: bool,
    /// Admission happens on the SFU socket: its refusal is final, and its 401 means that the token is no longer valid.
    pub admits_at_socket: bool,
    /// After a resume (FAST) the SFU describes all participants again.
    pub resume_introduces: bool,
    /// Call type and call id are parts of a URL path and must be valid there.
    pub ids_in_paths: bool,
    /// An identity is in a call only once: a new join replaces the previous session.
    pub identity_is_unique: bool,
    /// The SFU treats the subscriber's connection as the participant's: it stays open when receiving is disabled.
    pub subscriber_stays: bool,
    /// A publisher with data channels may be created without any track.
    pub data_channels: bool,
    /// A track ends with its m-line in the publisher's offer; otherwise when SetPublisher omits it.
    pub tracks_end_in_sdp: bool,
    /// Tracks have names; otherwise a mute applies to a kind, that is to all its tracks.
    pub tracks_have_names: bool,
    /// The SFU numbers the offers of a peer connection from 1: an offer whose number is not higher is a repeat.
    pub numbered_offers: bool,
    /// Failures of one edge, other than a refusal, before another edge is requested.
    pub edge_failures: u32,
    /// Timeout for opening an SFU socket.
    pub socket_open: Duration,
    /// Without packets for this long a peer connection counts as lost; `None`: the engine's default.
    pub media_silence: Option<Duration>,
    /// How long a lost peer connection may recover by itself.
    pub ice_grace: Duration,
}

/// Features that only some protocols support. Bits of the C ABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Custom events through the coordinator.
    pub const CUSTOM_EVENTS: Self = Self(1);
    /// Ring, notify and `data` at the join.
    pub const RING: Self = Self(1 << 1);
    /// The list of pins.
    pub const PINS: Self = Self(1 << 2);
    /// The dominant speaker is reported.
    pub const DOMINANT_SPEAKER: Self = Self(1 << 3);
    /// An SFU can hand its participants over to another one while media flows.
    pub const MIGRATE: Self = Self(1 << 4);
    /// Data packets between participants.
    pub const DATA: Self = Self(1 << 5);
    /// Text of any length between participants.
    pub const TEXT: Self = Self(1 << 6);
    /// Remote procedure calls between participants.
    pub const RPC: Self = Self(1 << 7);
    /// The local name, metadata and attributes can be changed.
    pub const ATTRIBUTES: Self = Self(1 << 8);
    /// The room has metadata, and changes are reported.
    pub const ROOM: Self = Self(1 << 9);
    /// Individual tracks can be subscribed, paused and sized.
    pub const SUBSCRIPTIONS: Self = Self(1 << 10);

    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
