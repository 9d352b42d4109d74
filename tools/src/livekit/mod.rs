//! The test stand around the real LiveKit server: one or more nodes, their keys and Redis, and a fault proxy before
//! each node.
//!
//! `stand` holds everything, `ctl` serves the control API, `node` and `redis` are child processes (`process`), `proxy`
//! injects faults. Must not know the library, nor contact anything but loopback addresses. Switches:
//! docs/livekit-stand.md.

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
