//! The SFU protocol of coordinator, socket and RPCs.
//!
//! [`Coordinator`](coordinator::Coordinator) admits a user and names an SFU,
//! [`SfuSocket`](socket::open) carries its events, [`Rpc`](rpc::Rpc) asks it for things,
//! [`StreamService`] is all of it behind the seam, [`hint`] finds the nearest edge, [`events`] is the coordinator's own
//! socket and [`EventHub`] keeps one for all calls of a client. Wire types (crate `offhook-proto`) stay inside this folder.
//! Must not know: anything above signalling.

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

pub use super::protocol::{CustomEvent, SocketIn};
pub use coordinator::{CallInfo, Coordinator};
pub use events::{EventIn, EventSocket, EventsOptions};
pub use hub::{EventHub, HubCounts};
pub use rpc::Rpc;
pub use service::{media_owner, StreamService};
pub use socket::{SfuReceiver, SfuSender, SfuSocketOptions};

/// How this client names itself to servers.
const CLIENT: &str = concat!("offhook-", env!("CARGO_PKG_VERSION"));
