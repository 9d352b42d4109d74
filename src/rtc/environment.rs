//! Clock and network of peer connections in place of the machine's: a test with its own clock and network can run them
//! in virtual time.
//!
//! Must not know: any engine's types, what datagrams mean.

use super::link::Link;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A clock and a network.
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    fn now(&self) -> Instant;

    /// Completes once this much of the clock's time has passed.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Returns a link in place of a UDP socket bound to this address.
    fn link(&self, local: SocketAddr) -> Arc<dyn Link>;
}
