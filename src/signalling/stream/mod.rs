//! The SFU protocol of coordinator, socket and RPCs.
//!
//! [`Coordinator`](coordinator::Coordinator) admits a user and names an SFU,
//! [`SfuSocket`](socket::open) carries its events, [`Rpc`](rpc::Rpc) asks it for things,
//! [`StreamService`] is all of it behind the seam, [`hint`] finds the nearest edge, [`events`] is the coordinator's own socket. Wire types (crate `offhook-proto`) stay inside this folder.
//! Must not know: anything above signalling.

mod convert;
pub mod coordinator;
pub mod events;
pub mod hint;
mod reply;
pub mod rpc;
mod scan;
mod service;
pub mod socket;
#[doc(hidden)]
pub mod untrusted;

pub use super::protocol::SocketIn;
pub use coordinator::{CallInfo, Coordinator};
pub use events::{CustomEvent, EventIn, EventSocket, EventsOptions};
pub use rpc::Rpc;
pub use service::{media_owner, StreamService};
pub use socket::{SfuReceiver, SfuSender, SfuSocketOptions};

/// How this client names itself to servers.
const CLIENT: &str = concat!("offhook-", env!("CARGO_PKG_VERSION"));
