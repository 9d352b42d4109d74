//! The test stand around the real LiveKit server: one or more nodes, what they need, and a fault proxy before each.
//!
//! `stand` holds it all, `ctl` answers the control API, `node` and `redis` are child processes (`process`), `proxy` makes trouble.
//! Must not know the library, nor contact anything but loopback addresses. Switches: docs/livekit-stand.md.

pub mod config;
pub mod ctl;
pub mod http;
pub mod node;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod rooms;
pub mod stand;
pub mod token;
