//! A WebSocket client as plain messages (RFC 6455), over TCP or TLS.
//!
//! The handshake is soketto's; the frame loop is our own, because this protocol needs what
//! WebSocket libraries refuse: TEXT that is not UTF-8, close codes of our choosing, a size limit
//! that holds before anything is buffered. One task per socket owns the stream; it ends within a
//! second of [`WsSender::close`], and at once when both ends are dropped. Must not know: what the
//! messages mean, when to reconnect.

mod frames;
mod task;

use super::{
    connect::{timed_out, Endpoint, Stream},
    net::Net,
    text,
};
use crate::core::model::{Failure, FailureKind};
use crate::share::Share;
use bytes::{Bytes, BytesMut};
use soketto::handshake::{client::Header, Client, Error as HandshakeError, ServerResponse};
use std::{
    fmt, io,
    pin::Pin,
    sync::{atomic::Ordering, Arc},
    task::{Context, Poll},
    time::Duration,
};
use task::{CloseOrder, Frame, Shared};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::mpsc,
    time::{timeout_at, Instant},
};
use tokio_util::compat::TokioAsyncReadCompatExt;
use url::{Position, Url};

/// A close, from the call to the descriptor's end, takes at most this long.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Most bytes of the answer to the upgrade request.
const MAX_HANDSHAKE: usize = 16 << 10;

/// Limits of one socket.
#[derive(Clone, Copy, Debug)]
pub struct WsLimits {
    /// Most bytes of one received message, all fragments together; over it: close code 1009.
    pub max_message: usize,
    /// What `max_message` is called in errors.
    pub name: &'static str,
    /// Most fragments of one received message, empty ones included.
    pub max_fragments: u32,
    /// Most messages that wait to be written.
    pub queue: usize,
    /// Most bytes that wait to be written, and of one message.
    pub queue_bytes: usize,
    /// A message that takes longer to write means that the socket is dead.
    pub write_deadline: Duration,
}

impl Default for WsLimits {
    fn default() -> Self {
        Self {
            max_message: 1 << 20,
            name: "oh_client_options.max_message_bytes",
            max_fragments: 4096,
            queue: 64,
            queue_bytes: 4 << 20,
            write_deadline: Duration::from_secs(5),
        }
    }
}

/// How a message is marked on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsKind {
    Text,
    Binary,
}

/// What a socket hands up. `Closed` and `Failed` are last: they repeat for ever.
#[derive(Clone, PartialEq)]
pub enum WsIn {
    /// Not necessarily UTF-8.
    Text(Bytes),
    Binary(Bytes),
    /// Closed in order, by either side; 1005 when the peer gave no code.
    Closed {
        code: u16,
        reason: String,
    },
    /// Lost, or given up because of what the peer sent.
    Failed(Failure),
}

impl fmt::Debug for WsIn {
    /// Sizes only: messages carry session descriptions with passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WsIn::Text(data) => write!(f, "Text({} bytes)", data.len()),
            WsIn::Binary(data) => write!(f, "Binary({} bytes)", data.len()),
            WsIn::Closed { code, reason } => write!(f, "Closed({code}, {reason:?})"),
            WsIn::Failed(failure) => write!(f, "Failed({failure:?})"),
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the socket is not being drained: too much waits to be written")]
    Full,
    #[error("the socket is closed")]
    Closed,
    #[error("the message is larger than the socket takes")]
    TooLarge,
}

/// The writing end. Cheap to clone, usable from any thread; nothing here blocks.
#[derive(Clone)]
pub struct WsSender {
    queue: mpsc::Sender<Frame>,
    shared: Arc<Shared>,
    queue_bytes: usize,
}

impl fmt::Debug for WsSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsSender").field("done", &self.is_done()).finish_non_exhaustive()
    }
}

impl WsSender {
    /// Queues a message, in order. It is written soon or the socket fails; a socket that does not
    /// drain gives [`SendError::Full`] rather than waiting.
    pub fn send(&self, data: impl Into<Bytes>, kind: WsKind) -> Result<(), SendError> {
        let data = data.into();
        if self.shared.close.borrow().is_some() {
            return Err(SendError::Closed);
        }
        let length = data.len();
        if length > self.queue_bytes {
            return Err(SendError::TooLarge);
        }
        let before = self.shared.queued.fetch_add(length, Ordering::AcqRel);
        let refused = if before + length > self.queue_bytes {
            Some(SendError::Full)
        } else {
            self.queue.try_send(Frame { data, kind }).err().map(|error| match error {
                mpsc::error::TrySendError::Full(_) => SendError::Full,
                mpsc::error::TrySendError::Closed(_) => SendError::Closed,
            })
        };
        match refused {
            None => Ok(()),
            Some(error) => {
                self.shared.queued.fetch_sub(length, Ordering::AcqRel);
                Err(error)
            }
        }
    }

    /// Starts to close: writes what is queued, then a close frame with `code` and `reason` (cut to
    /// 115 bytes), waits for the peer's, and lets go of the descriptor; all within
    /// [`CLOSE_WITHIN`], however the peer behaves. Only the first call counts.
    pub fn close(&self, code: u16, reason: &str) {
        self.shared.order_close(CloseOrder::new(Some(code), reason));
    }

    /// Waits until the descriptor is gone. Does not close by itself.
    pub async fn done(&self) {
        // An error means that the task is gone, which is the same.
        let _ = self.shared.done.subscribe().wait_for(|done| *done).await;
    }

    /// Whether the descriptor is gone.
    pub fn is_done(&self) -> bool {
        *self.shared.done.borrow()
    }
}

/// The reading end, for one task.
pub struct WsReceiver {
    messages: mpsc::Receiver<WsIn>,
    shared: Arc<Shared>,
}

impl fmt::Debug for WsReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsReceiver").finish_non_exhaustive()
    }
}

impl WsReceiver {
    /// The next message, or how it ended (again and again). Cancel safe. At most one message is
    /// read ahead: a slow reader slows the peer down, it does not fill memory.
    pub async fn next(&mut self) -> WsIn {
        match self.messages.recv().await {
            Some(message) => message,
            None => {
                self.shared.end.get().cloned().unwrap_or_else(|| {
                    WsIn::Failed(Failure::new(FailureKind::Connect, "the socket's task was stopped"))
                })
            }
        }
    }
}

impl Drop for WsReceiver {
    fn drop(&mut self) {
        self.shared.reader_gone.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }
}

/// Opens a socket: look-up, TCP, TLS, upgrade, all before `deadline`.
///
/// `headers` are added to the upgrade request. Must be called inside a tokio runtime: the socket's
/// task is spawned on it.
///
/// # Errors
/// [`FailureKind::Timeout`], `Connect`, `Tls`, `Insecure`; `Http` when the server answers the
/// upgrade with another status (redirects are not followed); `Malformed` when its answer is none.
pub async fn open(
    net: &Net,
    url: &Url,
    headers: &[(&str, &str)],
    limits: WsLimits,
    deadline: Instant,
) -> Result<(WsSender, WsReceiver), Failure> {
    let endpoint = net.endpoint(url)?;
    let mut stream = net.dial(&endpoint, deadline).await?;
    let early = match timeout_at(deadline, upgrade(&mut stream, url, headers, &endpoint)).await {
        Ok(early) => early?,
        Err(_) => return Err(timed_out(&endpoint, "the WebSocket upgrade")),
    };
    let (queue, queued) = mpsc::channel(limits.queue.max(1));
    let (messages, incoming) = mpsc::channel(1);
    let shared = Arc::new(Shared::new());
    let share = Share::current();
    let run = task::run(stream, early, queued, messages, shared.clone(), limits, share.clone());
    tokio::spawn(share.run(crate::inject::task("socket", run)));
    let sender = WsSender { queue, shared: shared.clone(), queue_bytes: limits.queue_bytes };
    Ok((sender, WsReceiver { messages: incoming, shared }))
}

/// What a server's bytes add up to, `chunk` at a time: bytes of messages, and the close code of the
/// rule they break, if any. For fuzzing.
#[doc(hidden)]
pub fn understand(bytes: &[u8], chunk: usize, limits: &WsLimits) -> (usize, Option<u16>) {
    let mut assembler = frames::Assembler::new(limits);
    let (mut input, mut total) = (BytesMut::new(), 0);
    for part in bytes.chunks(chunk.max(1)) {
        input.extend_from_slice(part);
        loop {
            match assembler.step(&mut input) {
                Ok(frames::Step::NeedMore) => break,
                Ok(frames::Step::Message { data, .. }) => {
                    assert!(data.len() <= limits.max_message, "a message beyond the limit");
                    total += data.len();
                }
                Ok(frames::Step::Ping(data)) => {
                    let mut pong = Vec::new();
                    frames::encode(soketto::base::OpCode::Pong, &data, [1, 2, 3, 4], &mut pong);
                    assert!(pong.len() <= 6 + frames::MAX_CONTROL, "a pong is too long");
                }
                Ok(_) => {}
                Err(violation) => return (total, Some(violation.code)),
            }
        }
    }
    (total, None)
}

/// Performs the upgrade; returns what the server sent right behind its answer.
async fn upgrade(
    stream: &mut Stream,
    url: &Url,
    headers: &[(&str, &str)],
    endpoint: &Endpoint,
) -> Result<BytesMut, Failure> {
    let sound = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if headers.iter().any(|(name, value)| name.is_empty() || name.contains([':', ' ']) || !sound(name) || !sound(value))
    {
        return Err(Failure::new(FailureKind::Malformed, "a header holds characters that HTTP does not allow"));
    }
    let headers: Vec<Header<'_>> =
        headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
    let host = &url[Position::BeforeHost..Position::AfterPort];
    let resource = &url[Position::BeforePath..Position::AfterQuery];
    let io = Bounded { stream, left: MAX_HANDSHAKE }.compat();
    let mut client = Client::new(io, host, resource);
    client.set_headers(&headers);
    match client.handshake().await {
        Ok(ServerResponse::Accepted { .. }) => Ok(client.take_buffer()),
        Ok(ServerResponse::Redirect { status_code, .. }) => {
            let text = format!("{endpoint} redirects the WebSocket (HTTP {status_code}), which is not followed");
            Err(Failure::new(FailureKind::Http { status: status_code }, text))
        }
        Ok(ServerResponse::Rejected { status_code }) => {
            let text = format!("{endpoint} refused the WebSocket with HTTP {status_code}");
            Err(Failure::new(FailureKind::Http { status: status_code }, text))
        }
        Err(HandshakeError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            let text = format!("the connection to {endpoint} broke during the WebSocket upgrade: {error}");
            Err(Failure::new(FailureKind::Connect, text::clean(&text, &[])))
        }
        // The details are the server's bytes; which rule they broke is enough.
        Err(error) => {
            let rule = match error {
                HandshakeError::Io(_) => "its answer is too long",
                HandshakeError::InvalidSecWebSocketAccept => "its key does not match",
                HandshakeError::UnsupportedHttpVersion => "it does not speak HTTP/1.1",
                HandshakeError::HeaderNotFound(_) | HandshakeError::UnexpectedHeader(_) => {
                    "a header is missing or wrong"
                }
                _ => "its answer is not understandable",
            };
            let text = format!("{endpoint} did not answer as a WebSocket server: {rule}");
            Err(Failure::new(FailureKind::Malformed, text))
        }
    }
}

/// The stream during the upgrade: a server that never ends its headers is cut off.
struct Bounded<'a> {
    stream: &'a mut Stream,
    left: usize,
}

impl AsyncRead for Bounded<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut *self.stream).poll_read(cx, buf);
        self.left = self.left.saturating_sub(buf.filled().len() - before);
        result
    }
}

impl AsyncWrite for Bounded<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(cx)
    }
}
