//! Where peer connections take their time and their datagrams from when it is not the machine: a test with a clock
//! and a network of its own can run them in virtual time.
//!
//! Must not know: any engine's types, what datagrams mean.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A clock and a network.
pub trait Environment: fmt::Debug + Send + Sync + 'static {
    fn now(&self) -> Instant;

    /// Is over once that much of this clock's time has passed.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

    /// Takes the place of a UDP socket that was bound to this address.
    fn socket(&self, local: SocketAddr) -> Arc<dyn Datagrams>;
}

/// The place of one UDP socket in that network.
pub trait Datagrams: fmt::Debug + Send + Sync + 'static {
    /// Sends one datagram, or loses it; never waits.
    fn send(&self, to: SocketAddr, contents: &[u8]);

    /// The next datagram: its length, at most that of the buffer, and who sent it.
    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<(usize, SocketAddr)>;
}
