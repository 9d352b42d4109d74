//! A connected byte stream with limits.
//!
//! Must not know: how it was connected, what travels on it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream yields to other tasks after this many bytes in a row.
const TURN: usize = 64 << 10;

/// What a stream consists of: TCP, TLS on it, and both again inside the tunnel of a proxy.
pub(super) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

pub(super) type Wire = Box<dyn Transport>;

/// A connected stream, plain or encrypted. Reads yield regularly, so that a peer that sends without pause does not hold
/// the thread.
pub(crate) struct Stream {
    wire: Wire,
    /// Bytes read since the last yield.
    turn: usize,
    /// Bytes that may still be read before the next write.
    left: usize,
    /// The value of `left` after a write.
    most: usize,
}

impl Stream {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, turn: 0, left: usize::MAX, most: usize::MAX }
    }

    /// Limits the bytes that the peer may send in reply to one request. Beyond the limit reads fail.
    pub fn bounded(self, most: usize) -> Self {
        Self { left: most, most, ..self }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.turn >= TURN {
            this.turn = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the reply exceeds the size limit")));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut this.wire).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        match &result {
            Poll::Pending => this.turn = 0,
            Poll::Ready(_) => this.turn += read,
        }
        if this.most != usize::MAX {
            this.left = this.left.saturating_sub(read);
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.left = self.most;
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
