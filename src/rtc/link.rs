//! A datagram transport of one peer connection.
//!
//! Implemented by UDP sockets and by the virtual links of tests. A relay (TURN over UDP, RFC 8656) uses the link on
//! which it was requested. A stream to a TURN server or to the remote peer (RFC 6544) will be a link of its own: it
//! frames datagrams (RFC 8656 section 12.5, RFC 4571) and sends to a single address. Must not know: any engine's types,
//! what datagrams mean.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// See the module.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Local address. No two links of a peer connection have the same.
    fn local(&self) -> SocketAddr;

    /// Sends one datagram, best effort; never waits. Any thread.
    fn send(&self, to: SocketAddr, contents: &[u8]);

    /// Receives one datagram: its length, at most that of the buffer, and the sender's address. One task.
    ///
    /// # Errors
    /// System errors; many in a row end the link.
    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;
}
