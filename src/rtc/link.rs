//! A way for the datagrams of one peer connection into the network.
//!
//! A UDP socket is one, and so is the virtual one of a test. A relay (TURN over UDP, RFC 8656) goes through the link
//! that it was asked for on. A stream to a TURN server, or to the other side (RFC 6544), will be links of their own:
//! they put datagrams into frames (RFC 8656 section 12.5, RFC 4571), and send to no address but one.
//! Must not know: any engine's types, what datagrams mean.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// See the module.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Where datagrams come to. No two links of a peer connection have the same.
    fn local(&self) -> SocketAddr;

    /// Sends one datagram, or loses it; never waits. Any thread.
    fn send(&self, to: SocketAddr, contents: &[u8]);

    /// The next datagram: its length, at most that of the buffer, and who sent it. One task.
    ///
    /// # Errors
    /// The system's; many of them in a row are the end of the link.
    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;
}
