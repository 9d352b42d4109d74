//! A plain UDP socket for one peer connection: one datagram per call, no segmentation offload,
//! whose receive buffers would take 190 KB per peer connection.
//!
//! Must not know: any engine's types, what the datagrams mean except for one byte.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

/// Content type of a DTLS alert record (RFC 6347 §4.1), never the first byte of STUN or RTP.
pub const DTLS_ALERT: u8 = 21;

#[derive(Debug)]
pub struct PlainSocket {
    io: UdpSocket,
    /// Woken by a datagram that looks like a DTLS alert: a reason to look, not a fact.
    alert: Arc<Notify>,
}

impl PlainSocket {
    /// Takes over a bound socket; must be called inside the tokio runtime.
    pub fn new(socket: std::net::UdpSocket, alert: Arc<Notify>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { io: UdpSocket::from_std(socket)?, alert })
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Sends one datagram, or several of `segment` bytes each that lie behind one another.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        to: SocketAddr,
        contents: &[u8],
        segment: Option<usize>,
    ) -> Poll<io::Result<usize>> {
        match segment {
            Some(size) if size > 0 && size < contents.len() => {
                for chunk in contents.chunks(size) {
                    ready!(self.io.poll_send_to(cx, chunk, to))?;
                }
                Poll::Ready(Ok(contents.len()))
            }
            _ => self.io.poll_send_to(cx, contents, to),
        }
    }

    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut read = ReadBuf::new(buffer);
        let from = ready!(self.io.poll_recv_from(cx, &mut read))?;
        if read.filled().first() == Some(&DTLS_ALERT) {
            self.alert.notify_one();
        }
        Poll::Ready(Ok((read.filled().len(), from)))
    }
}

/// Where to bind: one loopback socket, or every usable interface. `interfaces` are the machine's
/// addresses. A wildcard is expanded to the interfaces by the engine, and skips loopback.
pub fn bind_addresses(loopback_only: bool, interfaces: impl IntoIterator<Item = IpAddr>) -> Vec<String> {
    const LOOPBACK: &str = "127.0.0.1:0";
    if loopback_only {
        return vec![LOOPBACK.to_owned()];
    }
    let (mut v4, mut v6) = (false, false);
    for address in interfaces {
        match address {
            IpAddr::V4(a) => v4 |= !(a.is_loopback() || a.is_link_local() || a.is_unspecified()),
            IpAddr::V6(a) => v6 |= !(a.is_loopback() || a.is_unspecified() || a.segments()[0] & 0xffc0 == 0xfe80),
        }
    }
    let mut addresses = Vec::new();
    if v4 {
        addresses.push("0.0.0.0:0".to_owned());
    }
    if v6 {
        addresses.push("[::]:0".to_owned());
    }
    if addresses.is_empty() {
        addresses.push(LOOPBACK.to_owned());
    }
    addresses
}
