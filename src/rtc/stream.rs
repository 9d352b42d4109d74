//! A byte stream as a link: to a TURN server (messages as RFC 8656 section 12.5 puts them on a stream), or to the
//! remote peer (ICE over TCP, RFC 6544, with the frames of RFC 4571).
//!
//! It connects when it is first polled. Datagrams are queued up to a bound and then dropped, as a network would: audio
//! that waits behind a stalled stream is of no use. Bytes that are no frame end the stream. Must not know: any engine's
//! types, TLS, proxies, what datagrams mean.

use super::engine::{ByteStream, Opening};
use super::link::{Link, Port};
use super::stun;
use super::udp::Admission;
use crate::share::Share;
use parking_lot::Mutex;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll, Waker};
use tokio::io::ReadBuf;

/// Bytes that may wait to be sent: a second of some audio tracks.
const MAX_QUEUED: usize = 64 * 1024;
/// Longest frame accepted.
const MAX_FRAME: usize = 2_048;
/// Bytes read at once.
const READ: usize = 4_096;

/// How datagrams are put on the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Messages and channel data that carry their own length.
    Turn,
    /// A length of two bytes before each datagram.
    Length,
}

impl Framing {
    /// Appends a datagram to `out`.
    fn write(self, datagram: &[u8], out: &mut Vec<u8>) {
        if self == Self::Length {
            out.extend((datagram.len() as u16).to_be_bytes());
        }
        out.extend(datagram);
        if self == Self::Turn {
            // Channel data; messages are always a multiple of four.
            out.resize(out.len() + datagram.len().next_multiple_of(4) - datagram.len(), 0);
        }
    }

    /// The frame at the start of `bytes`: all its bytes, and where its datagram is.
    fn read(self, bytes: &[u8]) -> io::Result<Option<(usize, std::ops::Range<usize>)>> {
        let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        let (whole, datagram) = match self {
            Self::Length => match *bytes {
                [a, b, ..] => {
                    let length = usize::from(u16::from_be_bytes([a, b]));
                    (2 + length, 2..2 + length)
                }
                _ => return Ok(None),
            },
            Self::Turn => match stun::framed(bytes) {
                Ok(Some((whole, datagram))) => (whole, 0..datagram),
                Ok(None) => return Ok(None),
                Err(stun::NotFramed) => return invalid("the server sent something else than STUN"),
            },
        };
        if datagram.len() > MAX_FRAME {
            return invalid("a frame is too long");
        }
        Ok((bytes.len() >= whole).then_some((whole, datagram)))
    }
}

enum State {
    Opening(Opening),
    Open(Pin<Box<dyn ByteStream>>),
    Ended,
}

struct Inner {
    state: State,
    /// Frames to send; the first may be sent in part already.
    out: Vec<u8>,
    /// Sent bytes at the start of `out`.
    sent: usize,
    /// Received bytes, and how many at the start were delivered.
    input: Vec<u8>,
    delivered: usize,
    /// The reading task.
    waker: Option<Waker>,
}

/// See the module.
pub struct StreamLink {
    number: u32,
    framing: Framing,
    inner: Mutex<Inner>,
    admission: Admission,
    share: Arc<Share>,
}

impl std::fmt::Debug for StreamLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamLink").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Inner {
    /// Sends as much as the stream takes. Its task is woken when there is more room.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let State::Open(stream) = &mut self.state else { return Ok(()) };
        while self.sent < self.out.len() {
            match stream.as_mut().poll_write(cx, &self.out[self.sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(length)) => self.sent += length,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            // TLS may hold bytes back.
            if let Poll::Ready(Err(error)) = stream.as_mut().poll_flush(cx) {
                return Err(error);
            }
        } else if self.sent >= READ {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
        Ok(())
    }
}

impl StreamLink {
    pub fn new(number: u32, framing: Framing, opening: Opening, share: Arc<Share>) -> Self {
        let inner = Inner {
            state: State::Opening(opening),
            out: Vec::new(),
            sent: 0,
            input: Vec::new(),
            delivered: 0,
            waker: None,
        };
        Self { number, framing, inner: Mutex::new(inner), admission: Admission::default(), share }
    }

    fn poll_frame(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        match &inner.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => inner.waker = Some(cx.waker().clone()),
        }
        if let State::Opening(opening) = &mut inner.state {
            match ready!(opening.as_mut().poll(cx)) {
                Ok(stream) => inner.state = State::Open(stream),
                Err(why) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::NotConnected, why))),
            }
        }
        inner.flush(cx)?;
        loop {
            if let Some((whole, datagram)) = self.framing.read(&inner.input[inner.delivered..])? {
                let datagram = datagram.start + inner.delivered..datagram.end + inner.delivered;
                let length = datagram.len().min(buffer.len());
                buffer[..length].copy_from_slice(&inner.input[datagram][..length]);
                inner.delivered += whole;
                return Poll::Ready(Ok(length));
            }
            inner.input.drain(..inner.delivered);
            inner.delivered = 0;
            let State::Open(stream) = &mut inner.state else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let mut bytes = [0; READ];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(stream.as_mut().poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream was closed")));
            }
            inner.input.extend_from_slice(read.filled());
        }
    }
}

impl Link for StreamLink {
    fn local(&self) -> SocketAddr {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    }

    fn port(&self) -> Port {
        Port::Stream(self.number)
    }

    fn send(&self, _: SocketAddr, contents: &[u8]) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let queued = inner.out.len() - inner.sent;
        if matches!(inner.state, State::Ended) || queued + contents.len() + 4 > MAX_QUEUED {
            return;
        }
        self.framing.write(contents, &mut inner.out);
        // Its task connects, and sends what waits.
        let Some(waker) = inner.waker.clone() else { return };
        if inner.flush(&mut Context::from_waker(&waker)).is_err() {
            // The task finds the error again when it reads.
            waker.wake();
        }
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        ready!(self.admission.poll(&self.share, cx));
        let received = ready!(self.poll_frame(cx, buffer));
        // By frames: a chunk of a stream may hold a thousand small ones.
        self.share.read_one();
        if received.is_err() {
            let mut inner = self.inner.lock();
            (inner.state, inner.out, inner.input) = (State::Ended, Vec::new(), Vec::new());
            (inner.sent, inner.delivered) = (0, 0);
        }
        Poll::Ready(received.map(|length| (length, self.local())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const DEADLINE: Duration = Duration::from_secs(20);

    fn link(framing: Framing, room: usize) -> (StreamLink, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(room);
        let stream: Pin<Box<dyn ByteStream>> = Box::pin(ours);
        let opening = Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(stream)
        });
        (StreamLink::new(7, framing, opening, Arc::default()), theirs)
    }

    async fn receive(link: &StreamLink) -> io::Result<Vec<u8>> {
        let mut buffer = [0; MAX_FRAME];
        let read = std::future::poll_fn(|cx| link.poll_recv(cx, &mut buffer));
        let (length, _) = tokio::time::timeout(DEADLINE, read).await.expect("in time")?;
        Ok(buffer[..length].to_vec())
    }

    fn send(link: &StreamLink, datagram: &[u8]) {
        link.send((Ipv4Addr::UNSPECIFIED, 0).into(), datagram);
    }

    fn binding(length: u8) -> Vec<u8> {
        [&[0, 1, 0, length][..], &stun::COOKIE, &[5; 12], &vec![6; usize::from(length)]].concat()
    }

    #[tokio::test]
    async fn datagrams_pass_in_both_directions_byte_by_byte() {
        for framing in [Framing::Turn, Framing::Length] {
            let (link, mut theirs) = link(framing, 1 << 16);
            // Sent before the stream is open.
            let channel = [&[0x40, 1, 0, 5][..], b"sound"].concat();
            send(&link, &binding(8));
            send(&link, &channel);
            let (ours, peer) = (link, async move {
                let mut sent = Vec::new();
                framing.write(&binding(8), &mut sent);
                framing.write(&channel, &mut sent);
                let mut received = vec![0; sent.len()];
                theirs.read_exact(&mut received).await.expect("all bytes");
                assert_eq!(received, sent);
                for byte in sent {
                    theirs.write_all(&[byte]).await.expect("written");
                    tokio::task::yield_now().await;
                }
                theirs
            });
            let both =
                async { (receive(&ours).await.expect("a message"), receive(&ours).await.expect("channel data")) };
            let ((message, data), theirs) = tokio::join!(both, peer);
            assert_eq!((message, data.len()), (binding(8), 9), "{framing:?}");
            drop(theirs);
            assert_eq!(receive(&ours).await.expect_err("an end").kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[tokio::test]
    async fn what_is_no_frame_ends_the_stream() {
        let long = [&[0x08, 1][..], &[0; 0x801]].concat();
        for (framing, bytes) in [
            (Framing::Turn, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            (Framing::Turn, vec![0x80; 32]),
            (Framing::Turn, vec![0x40, 0, 0xff, 0xff]),
            (Framing::Length, long),
            (Framing::Length, vec![0xff; 8]),
        ] {
            let (link, mut theirs) = link(framing, 1 << 16);
            theirs.write_all(&bytes).await.expect("written");
            assert_eq!(receive(&link).await.expect_err("an error").kind(), io::ErrorKind::InvalidData, "{bytes:?}");
            // Later calls are harmless.
            send(&link, b"late");
            assert!(receive(&link).await.is_err());
        }
    }

    #[tokio::test]
    async fn a_stalled_stream_keeps_a_bounded_queue_and_goes_on_with_whole_frames() {
        let (link, mut theirs) = link(Framing::Length, 1_000);
        let open = std::future::poll_fn(|cx| {
            let _ = link.poll_recv(cx, &mut [0; MAX_FRAME]);
            Poll::Ready(())
        });
        open.await;
        for n in 0..10_000u32 {
            send(&link, &[n.to_be_bytes(), [9; 4]].concat());
        }
        assert!(link.inner.lock().out.len() <= MAX_QUEUED + READ, "{}", link.inner.lock().out.len());
        let reader = async {
            let mut frames = Vec::new();
            let mut header = [0; 2];
            while frames.len() < 3_000 {
                theirs.read_exact(&mut header).await.expect("a frame");
                let mut frame = vec![0; usize::from(u16::from_be_bytes(header))];
                theirs.read_exact(&mut frame).await.expect("its bytes");
                frames.push(frame);
            }
            frames
        };
        let frames = tokio::select! {
            frames = tokio::time::timeout(DEADLINE, reader) => frames.expect("in time"),
            _ = receive(&link) => unreachable!("nothing is sent to it"),
        };
        for (n, frame) in frames.iter().enumerate() {
            assert_eq!(*frame, [(n as u32).to_be_bytes(), [9; 4]].concat());
        }
    }

    #[tokio::test]
    async fn a_stream_that_does_not_open_says_why() {
        let opening: Opening = Box::pin(async { Err("the proxy refused".to_owned()) });
        let link = StreamLink::new(1, Framing::Turn, opening, Arc::default());
        send(&link, &binding(0));
        assert_eq!(receive(&link).await.expect_err("an error").to_string(), "the proxy refused");
    }
}
