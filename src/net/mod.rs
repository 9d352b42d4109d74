//! Byte streams to servers: name look-up, proxies, TCP, TLS.
//!
//! The lowest layer of the network: signalling and TURN over TCP and TLS get their streams here. Every wait has a
//! deadline, everything that a server or proxy sends before the stream is open is bounded, and errors name host and
//! cause but never credentials. Must not know: HTTP requests, WebSocket, WebRTC, what travels on a stream.

mod dialer;
mod endpoint;
mod proxy;
mod race;
mod stream;
mod survey;
pub(crate) mod text;
mod tls;

pub(crate) use dialer::{timed_out, Dialer, Traffic};
pub(crate) use endpoint::{is_local, Endpoint};
#[doc(hidden)]
pub use proxy::understand as understand_proxy;
pub(crate) use proxy::Proxies;
pub use proxy::{system_environment, Environment};
pub(crate) use stream::Stream;
pub(crate) use survey::{connect_each, Hop};
