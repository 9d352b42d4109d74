//! Where peer connections take their time and their datagrams from when it is not the machine: a test with a clock
//! and a network of its own can run them in virtual time.
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

    /// Is over once that much of this clock's time has passed.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Takes the place of a UDP socket that was bound to this address.
    fn link(&self, local: SocketAddr) -> Arc<dyn Link>;
}
