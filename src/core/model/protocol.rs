//! What is particular to one protocol. Must not know: wire types, which protocols there are.

use super::json;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Written in the program; a reference that serde does not take for one.
type Name = &'static str;

/// What is particular to one protocol, as far as the rules are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// The protocol's name in errors.
    #[serde(with = "json::name")]
    pub name: Name,
    pub capabilities: Capabilities,
    /// The SFU restarts the subscriber's ICE when an RPC asks for it; else only a FAST reconnect does that.
    pub subscriber_restart: bool,
    /// The SFU waits a second with addresses that no candidate named: ours are told before the answer.
    pub candidates_first: bool,
    /// Who admits is the SFU's socket itself: what it refuses is final, and its 401 is a token's end.
    pub admits_at_socket: bool,
    /// A resume (FAST) brings the description of everybody again.
    pub resume_introduces: bool,
    /// Type and id of a call are parts of a URL's path, and must be fit for it.
    pub ids_in_paths: bool,
    /// One identity is in a call once: who joins as it replaces who was there.
    pub identity_is_unique: bool,
    /// The SFU takes the subscriber's connection for the participant's: it stays when nothing is received.
    pub subscriber_stays: bool,
    /// A publisher and its data channels may be wanted without any track.
    pub data_channels: bool,
    /// A track ends when its m-line in the publisher's offer does; else when SetPublisher leaves it out.
    pub tracks_end_in_sdp: bool,
    /// Tracks have names; else mutes are of a kind, and of all its tracks together.
    pub tracks_have_names: bool,
    /// The SFU counts the offers of a peer connection from 1: what has the number of one before was said before.
    pub numbered_offers: bool,
    /// Failures of one edge, other than its own refusal, before another one is asked for.
    pub edge_failures: u32,
    /// How long an SFU's socket may take to open.
    pub socket_open: Duration,
    /// Without a packet for so long a peer connection counts as lost; `None`: the engine's own measure.
    pub media_silence: Option<Duration>,
    /// How long a lost peer connection may come back by itself.
    pub ice_grace: Duration,
}

/// What an application can ask for in one protocol and not in the other. Bits of the C ABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Custom events through the coordinator.
    pub const CUSTOM_EVENTS: Self = Self(1);
    /// Ring, notify and `data` at the join.
    pub const RING: Self = Self(1 << 1);
    /// The list of pins.
    pub const PINS: Self = Self(1 << 2);
    /// The dominant speaker is told.
    pub const DOMINANT_SPEAKER: Self = Self(1 << 3);
    /// An SFU hands its participants over to another one while media flows.
    pub const MIGRATE: Self = Self(1 << 4);
    /// Data packets between participants.
    pub const DATA: Self = Self(1 << 5);
    /// Text of any length between participants.
    pub const TEXT: Self = Self(1 << 6);
    /// Remote procedure calls between participants.
    pub const RPC: Self = Self(1 << 7);
    /// The own name, metadata and attributes can be changed.
    pub const ATTRIBUTES: Self = Self(1 << 8);
    /// The room itself has metadata, and its changes are told.
    pub const ROOM: Self = Self(1 << 9);
    /// Single tracks can be chosen, paused and sized.
    pub const SUBSCRIPTIONS: Self = Self(1 << 10);

    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}
