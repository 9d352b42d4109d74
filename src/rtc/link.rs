//! A datagram transport of one peer connection.
//!
//! Implemented by UDP sockets, by streams ([`super::stream`]) and by the virtual links of tests. A relay on a TURN
//! server (RFC 8656) uses the link on which it was requested. Must not know: any engine's types, what datagrams mean.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

/// Names a link of a peer connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The socket with this local address.
    Udp(SocketAddr),
    /// The stream with this number. It leads to one server or peer.
    Stream(u32),
}

/// See the module.
pub trait Link: fmt::Debug + Send + Sync + 'static {
    /// Local address; unspecified for a stream.
    fn local(&self) -> SocketAddr;

    /// No two links of a peer connection have the same.
    fn port(&self) -> Port {
        Port::Udp(self.local())
    }

    /// Sends one datagram, best effort; never waits. Any thread.
    fn send(&self, to: SocketAddr, contents: &[u8]);

    /// Receives one datagram: its length, at most that of the buffer, and the sender's address (not for a stream). One
    /// task.
    ///
    /// # Errors
    /// System errors; many in a row end a socket, the first one ends a stream.
    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>;
}
