//! The TCP stream below a WebSocket: shareable, so that a fault can reset or freeze it, or write bytes past the
//! WebSocket library.
//!
//! Knows nothing of messages.

use bytes::Bytes;
use futures_util::{
    io::{AsyncRead, AsyncWrite},
    task::AtomicWaker,
};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{ready, Context, Poll},
};
use tokio::{net::TcpStream, sync::watch};

/// Whether a connection flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Live,
    /// Nothing is read or written; what is to be written is kept for later.
    Frozen,
    /// Nothing is read, and what is to be written is lost: the line is cut and neither side was told.
    HalfOpen,
}

/// The valve of one stream; cheap to clone.
#[derive(Clone, Debug)]
pub struct Valve(Arc<(watch::Sender<Flow>, AtomicWaker)>);

impl Valve {
    fn new() -> Self {
        Valve(Arc::new((watch::Sender::new(Flow::Live), AtomicWaker::new())))
    }

    pub fn set(&self, flow: Flow) {
        self.0 .0.send_replace(flow);
        self.0 .1.wake();
    }

    /// Waits as long as what is to be written is kept; false when it is to be lost.
    pub async fn writable(&self) -> bool {
        // The sender lives as long as this.
        let flow = self.0 .0.subscribe().wait_for(|f| *f != Flow::Frozen).await.map_or(Flow::Live, |f| *f);
        flow == Flow::Live
    }

    /// True when nothing may be read; then the reader is woken by the next change.
    fn stops_reader(&self, cx: &mut Context<'_>) -> bool {
        self.0 .1.register(cx.waker());
        *self.0 .0.borrow() != Flow::Live
    }
}

/// One TCP stream whose first bytes may already have been read by the HTTP server.
#[derive(Debug)]
pub struct Wire {
    stream: Arc<TcpStream>,
    prefix: Bytes,
    valve: Valve,
}

impl Wire {
    pub fn new(stream: TcpStream, prefix: Bytes) -> Self {
        Wire { stream: Arc::new(stream), prefix, valve: Valve::new() }
    }

    /// The raw stream, for writes beside the WebSocket and for resets.
    pub fn raw(&self) -> Arc<TcpStream> {
        self.stream.clone()
    }

    /// What stops and starts it.
    pub fn valve(&self) -> Valve {
        self.valve.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.valve.stops_reader(cx) {
            return Poll::Pending;
        }
        if !self.prefix.is_empty() {
            let n = self.prefix.len().min(buf.len());
            buf[..n].copy_from_slice(&self.prefix.split_to(n));
            return Poll::Ready(Ok(n));
        }
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                other => return Poll::Ready(other),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            match self.stream.try_write(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
                other => return Poll::Ready(other),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The stream closes when its last owner drops it.
        Poll::Ready(Ok(()))
    }
}

/// Writes all of `bytes` directly to the stream.
pub async fn write_raw(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
