//! A WebSocket client (RFC 6455) that sends and receives whole messages, over TCP or TLS.
//!
//! The handshake is soketto's. The frame loop is implemented here, because WebSocket libraries
//! refuse what this protocol needs: TEXT that is not UTF-8, arbitrary close codes, and a size limit
//! that is enforced before anything is buffered. One task per socket owns the stream. It ends
//! within a second of [`WsSender::close`], and at once when both ends are dropped. Must not know:
//! what the messages mean, when to reconnect.

mod frames;
mod task;

use super::{net::Net, text};
use crate::core::model::{Failure, FailureKind};
use crate::net::{timed_out, Endpoint, Stream};
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

/// Longest time from the close call until the descriptor is closed.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Most bytes of the response to the upgrade request.
const MAX_HANDSHAKE: usize = 16 << 10;

/// Limits of one socket.
#[derive(Clone, Copy, Debug)]
pub struct WsLimits {
    /// Most bytes of one received message, all fragments together; over it: close code 1009.
    pub max_message: usize,
    /// The name of `max_message` in errors.
    pub name: &'static str,
    /// Most fragments of one received message, empty ones included.
    pub max_fragments: u32,
    /// Most messages queued for writing.
    pub queue: usize,
    /// Most bytes queued for writing, and most bytes of one message.
    pub queue_bytes: usize,
    /// Longest time to write a message; beyond it the socket counts as lost.
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

/// The frame type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WsKind {
    Text,
    Binary,
}

/// Items received from a socket. `Closed` and `Failed` are final and repeat without limit.
#[derive(Clone, PartialEq)]
pub enum WsIn {
    /// Not necessarily UTF-8.
    Text(Bytes),
    Binary(Bytes),
    /// Closed cleanly, by either side; 1005 when the peer gave no code.
    Closed {
        code: u16,
        reason: String,
    },
    /// Connection lost, or closed because of what the peer sent.
    Failed(Failure),
}

impl fmt::Debug for WsIn {
    /// Sizes only: messages contain session descriptions with passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WsIn::Text(data) => write!(f, "Text({} bytes)", data.len()),
            WsIn::Binary(data) => write!(f, "Binary({} bytes)", data.len()),
            WsIn::Closed { code, reason } => write!(f, "Closed({code}, {reason:?})"),
            WsIn::Failed(failure) => write!(f, "Failed({failure:?})"),
        }
    }
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the socket's send queue is full")]
    Full,
    #[error("the socket is closed")]
    Closed,
    #[error("the message is larger than the socket's limit")]
    TooLarge,
}

/// The sending end. Cheap to clone, usable from any thread; no method blocks.
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
    /// Queues a message, in order. Never waits: a socket that does not drain returns
    /// [`SendError::Full`]. If a queued message cannot be written in time, the socket fails.
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

    /// Starts to close: writes the queued messages, then a close frame with `code` and `reason`
    /// (cut to 115 bytes), waits for the peer's close frame, and closes the descriptor. Takes at
    /// most [`CLOSE_WITHIN`], whatever the peer does. Only the first call has an effect.
    pub fn close(&self, code: u16, reason: &str) {
        self.shared.order_close(CloseOrder::new(Some(code), reason));
    }

    /// Waits until the descriptor is closed. Does not start the close.
    pub async fn done(&self) {
        // An error means that the task has ended, which is equivalent.
        let _ = self.shared.done.subscribe().wait_for(|done| *done).await;
    }

    /// Whether the descriptor is closed.
    pub fn is_done(&self) -> bool {
        *self.shared.done.borrow()
    }
}

/// The receiving end, for one task.
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
    /// Returns the next message. After the end every call returns how the socket ended. Cancel
    /// safe. At most one message is read ahead: a slow reader slows the peer down instead of
    /// filling memory.
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

/// Opens a socket: name look-up, TCP, TLS, upgrade, all before `deadline`.
///
/// `headers` are added to the upgrade request. Must be called inside a tokio runtime: the socket's
/// task is spawned on it.
///
/// # Errors
/// [`FailureKind::Timeout`], `Connect`, `Tls`, `Insecure`; `Http` when the server answers the
/// upgrade with another status (redirects are not followed); `Malformed` when its response is
/// invalid.
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

/// Parses bytes from a server, `chunk` at a time. Returns the bytes of complete messages, and the
/// close code of a violation, if any. For fuzzing.
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

/// Performs the upgrade; returns the bytes that the server sent after its response.
async fn upgrade(
    stream: &mut Stream,
    url: &Url,
    headers: &[(&str, &str)],
    endpoint: &Endpoint,
) -> Result<BytesMut, Failure> {
    let printable = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if headers
        .iter()
        .any(|(name, value)| name.is_empty() || name.contains([':', ' ']) || !printable(name) || !printable(value))
    {
        return Err(Failure::new(FailureKind::Malformed, "a header contains characters that HTTP does not allow"));
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
            let text = format!("{endpoint} redirected the WebSocket (HTTP {status_code}); redirects are not followed");
            Err(Failure::new(FailureKind::Http { status: status_code }, text))
        }
        Ok(ServerResponse::Rejected { status_code }) => {
            let text = format!("{endpoint} refused the WebSocket with HTTP {status_code}");
            Err(Failure::new(FailureKind::Http { status: status_code }, text))
        }
        Err(HandshakeError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            let text = format!("connection to {endpoint} lost during the WebSocket upgrade: {error}");
            Err(Failure::new(FailureKind::Connect, text::clean(&text, &[])))
        }
        // The error's details are bytes from the server; the violated rule is enough.
        Err(error) => {
            let rule = match error {
                HandshakeError::Io(_) => "its response is too long",
                HandshakeError::InvalidSecWebSocketAccept => "its key does not match",
                HandshakeError::UnsupportedHttpVersion => "it does not support HTTP/1.1",
                HandshakeError::HeaderNotFound(_) | HandshakeError::UnexpectedHeader(_) => {
                    "a header is missing or wrong"
                }
                _ => "its response is invalid",
            };
            let text = format!("{endpoint} is not a WebSocket server: {rule}");
            Err(Failure::new(FailureKind::Malformed, text))
        }
    }
}

/// The stream during the upgrade. Limits the bytes read, so that endless headers fail.
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
