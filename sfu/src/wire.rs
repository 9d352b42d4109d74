//! The TCP stream below a WebSocket. It is shared, so that a fault can reset or freeze it, or bypass the WebSocket
//! library and write raw bytes.
//!
//! Must not know: messages.

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

/// Flow state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    Live,
    /// Nothing is read or written. Pending writes are kept for later.
    Frozen,
    /// Nothing is read, and writes are discarded: the link is broken and neither side has been notified.
    HalfOpen,
}

/// Controls the flow of one stream. Cheap to clone.
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

    /// Waits while writes are held back. Returns false if they must be discarded.
    pub async fn writable(&self) -> bool {
        // `self` owns the sender, so it outlives this wait.
        let flow = self.0 .0.subscribe().wait_for(|f| *f != Flow::Frozen).await.map_or(Flow::Live, |f| *f);
        flow == Flow::Live
    }

    /// True if reading is stopped. The next change wakes the reader.
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

    /// The raw stream, for writes that bypass the WebSocket and for resets.
    pub fn raw(&self) -> Arc<TcpStream> {
        self.stream.clone()
    }

    /// The valve that stops and starts it.
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
