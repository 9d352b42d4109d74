//! The Stream protocol: coordinator, SFU socket and RPCs.
//!
//! [`Coordinator`](coordinator::Coordinator) admits a user and names an SFU, [`SfuSocket`](socket::open) carries the
//! SFU's events, [`Rpc`](rpc::Rpc) sends requests to it, [`StreamService`] implements the protocol traits, [`hint`]
//! finds the nearest edge, [`events`] is the coordinator's own socket and [`EventHub`] keeps one for all calls of a
//! client. Wire types (crate `offhook-proto`) stay inside this folder. Must not know: anything above signalling.

mod ask;
mod convert;
pub mod coordinator;
pub mod events;
pub mod hint;
mod hub;
mod reply;
pub mod rpc;
mod scan;
mod service;
pub mod socket;
#[doc(hidden)]
pub mod untrusted;
mod watching;

pub(crate) use ask::ask;

pub use super::protocol::{CustomEvent, SocketIn};
pub use coordinator::{CallInfo, Coordinator};
pub use events::{EventIn, EventSocket, EventsOptions};
pub use hub::{EventHub, HubCounts};
pub use rpc::Rpc;
pub use service::{media_owner, StreamService};
pub use socket::{SfuReceiver, SfuSender, SfuSocketOptions};

/// The client name sent to servers.
const CLIENT: &str = concat!("offhook-", env!("CARGO_PKG_VERSION"));
