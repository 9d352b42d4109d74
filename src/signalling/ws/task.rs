//! The task that owns a socket: reads, writes, answers pings, closes in bounded time.
//!
//! Reading and writing are two loops under one `select`, so that neither starves the other and the descriptor closes
//! when the task ends. Must not know: what messages mean.

use super::{
    frames::{self, Assembler, Step, MAX_CONTROL},
    WsIn, WsKind, WsLimits, CLOSE_WITHIN,
};
use crate::{
    core::model::{Failure, FailureKind},
    net::Stream,
    share::{self, Share},
    signalling::text,
};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use soketto::base::OpCode;
use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::{pin, Pin},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        Arc, OnceLock,
    },
    task::{ready, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf},
    sync::{mpsc, watch, Notify},
    time::{timeout_at, Instant},
};

/// Bytes requested from the socket per read.
const READ: usize = 4 << 10;
/// Capacity that the write buffer keeps between frames.
const KEEP: usize = 4 << 10;
/// Longest close reason that is sent, in bytes.
const MAX_REASON: usize = 115;

/// A message queued for writing.
pub(super) struct Frame {
    pub data: Bytes,
    pub kind: WsKind,
}

/// A close request, with its deadline.
#[derive(Clone)]
pub(super) struct CloseOrder {
    code: Option<u16>,
    reason: String,
    until: Instant,
}

impl CloseOrder {
    pub fn new(code: Option<u16>, reason: &str) -> Self {
        let reason = text::truncate(reason, MAX_REASON).to_owned();
        Self { code, reason, until: Instant::now() + CLOSE_WITHIN }
    }

    fn payload(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        // 1005, 1006 and 1015 are for local use only and are never sent (RFC 6455 §7.4.1).
        if let Some(code) = self.code.filter(|code| !matches!(code, 0..=999 | 1004..=1006 | 1015)) {
            payload.extend_from_slice(&code.to_be_bytes());
            payload.extend_from_slice(self.reason.as_bytes());
        }
        debug_assert!(payload.len() <= MAX_CONTROL);
        payload
    }
}

/// State shared by the two ends and the task.
pub(super) struct Shared {
    /// Set once; wakes the writer.
    pub close: watch::Sender<Option<CloseOrder>>,
    /// Whether the task has ended and the descriptor is closed.
    pub done: watch::Sender<bool>,
    /// How the socket ended; set before the message channel closes.
    pub end: OnceLock<WsIn>,
    /// Bytes queued for writing.
    pub queued: AtomicUsize,
    pub reader_gone: AtomicBool,
    /// Wakes the writer for a pong, or because the reader was dropped.
    pub wake: Notify,
    /// The newest unanswered ping; older ones need no answer (RFC 6455 §5.5.3).
    pong: Mutex<Option<Bytes>>,
}

impl Shared {
    pub fn new() -> Self {
        Self {
            close: watch::Sender::new(None),
            done: watch::Sender::new(false),
            end: OnceLock::new(),
            queued: AtomicUsize::new(0),
            reader_gone: AtomicBool::new(false),
            wake: Notify::new(),
            pong: Mutex::new(None),
        }
    }

    pub fn order_close(&self, order: CloseOrder) {
        self.close.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(order);
            }
            first
        });
    }

    fn ordered(&self) -> Option<CloseOrder> {
        self.close.borrow().clone()
    }

    /// Records how the socket ended. Only the first call has an effect.
    fn finish(&self, end: WsIn) {
        let _ = self.end.set(end);
    }

    /// The connection is lost. After a close request this is not a failure.
    fn finish_lost(&self, kind: FailureKind, why: &str) {
        match self.ordered() {
            Some(order) => self.finish_local(&order),
            None => self.finish(WsIn::Failed(Failure::new(kind, text::clean(why, &[])))),
        }
    }

    fn finish_local(&self, order: &CloseOrder) {
        self.finish(WsIn::Closed { code: order.code.unwrap_or(1005), reason: order.reason.clone() });
    }
}

/// Sets [`Shared::done`] when the task ends, for any reason.
struct Done(Arc<Shared>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.done.send_replace(true);
    }
}

/// Runs the socket until it is closed or lost, or both ends are dropped.
pub(super) async fn run(
    stream: Stream,
    early: BytesMut,
    queue: mpsc::Receiver<Frame>,
    messages: mpsc::Sender<WsIn>,
    shared: Arc<Shared>,
    limits: WsLimits,
    share: Arc<Share>,
) {
    // Declared first, dropped last: after the descriptor.
    let _done = Done(shared.clone());
    let (reader, writer) = tokio::io::split(stream);
    let mut reading = pin!(read(reader, early, messages, &shared, &limits, &share));
    let mut writing = pin!(Writer::new(writer, &shared, &limits).run(queue));
    // When one loop ends while a close is in progress, the other may run until the close's deadline.
    let read_first = tokio::select! {
        () = &mut reading => true,
        () = &mut writing => false,
    };
    if let Some(order) = shared.ordered() {
        if read_first {
            let _ = timeout_at(order.until, writing).await;
        } else {
            let _ = timeout_at(order.until, reading).await;
        }
        shared.finish_local(&order);
    }
}

/// Reads until the peer's close frame, the end of the stream, or a violation. A violation is reported at once; further
/// input is then discarded, so that the peer can still read our close frame.
async fn read(
    mut reader: ReadHalf<Stream>,
    mut input: BytesMut,
    messages: mpsc::Sender<WsIn>,
    shared: &Shared,
    limits: &WsLimits,
    share: &Share,
) {
    let mut assembler = Assembler::new(limits);
    let violation = loop {
        // A peer that sends more than this call's share is throttled.
        share.admitted().await;
        share::breathe().await;
        let step = assembler.step(&mut input);
        if input.is_empty() {
            // A socket without unparsed input holds no buffer while it waits for anything.
            input = BytesMut::new();
        }
        match step {
            Ok(Step::NeedMore) => match more(&mut reader, &mut input).await {
                Ok(0) => {
                    return shared
                        .finish_lost(FailureKind::Connect, "connection closed by the server without a close frame")
                }
                Ok(bytes) => share.read_bytes(bytes),
                Err(error) => return shared.finish_lost(FailureKind::Connect, &format!("connection lost: {error}")),
            },
            Ok(Step::Message { text, data }) => {
                share.read_one();
                // Without a reader the message is dropped; the loop continues for pings and the close.
                let _ = messages.send(if text { WsIn::Text(data) } else { WsIn::Binary(data) }).await;
            }
            Ok(Step::Ping(payload)) => {
                share.read_one();
                *shared.pong.lock() = Some(Bytes::copy_from_slice(&payload));
                shared.wake.notify_one();
            }
            Ok(Step::Pong) => {}
            Ok(Step::Close { code, reason }) => {
                shared.finish(WsIn::Closed { code: code.unwrap_or(1005), reason });
                shared.order_close(CloseOrder::new(code, ""));
                return;
            }
            Err(violation) => break violation,
        }
    };
    let (kind, text) = match violation.size {
        // A local limit, not a violation by the server.
        Some(size) => {
            let (name, most) = (limits.name, limits.max_message);
            (FailureKind::TooLarge, format!("a message of {size} bytes is larger than {name} ({most})"))
        }
        None => {
            let (what, code) = (violation.what, violation.code);
            (FailureKind::Malformed, format!("WebSocket protocol violation by the server: {what} (closed with {code})"))
        }
    };
    shared.finish(WsIn::Failed(Failure::new(kind, text)));
    drop(messages);
    drop(assembler);
    shared.order_close(CloseOrder::new(Some(violation.code), violation.what));
    loop {
        input = BytesMut::new();
        if !matches!(more(&mut reader, &mut input).await, Ok(1..)) {
            return;
        }
    }
}

/// Reads more bytes.
async fn more(reader: &mut ReadHalf<Stream>, input: &mut BytesMut) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut piece = [MaybeUninit::uninit(); READ];
        let mut piece = ReadBuf::uninit(&mut piece);
        ready!(Pin::new(&mut *reader).poll_read(cx, &mut piece))?;
        input.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    })
    .await
}

struct Writer<'a> {
    writer: WriteHalf<Stream>,
    shared: &'a Shared,
    limits: &'a WsLimits,
    close: watch::Receiver<Option<CloseOrder>>,
    buffer: Vec<u8>,
}

/// The socket accepted no bytes in time, or is lost; already recorded.
struct Stuck;

impl<'a> Writer<'a> {
    fn new(writer: WriteHalf<Stream>, shared: &'a Shared, limits: &'a WsLimits) -> Self {
        Self { writer, shared, limits, close: shared.close.subscribe(), buffer: Vec::new() }
    }

    async fn run(mut self, mut queue: mpsc::Receiver<Frame>) {
        // Either the close frame was written or nothing can be written: both end the loop.
        let _ = self.serve(&mut queue).await;
    }

    async fn serve(&mut self, queue: &mut mpsc::Receiver<Frame>) -> Result<(), Stuck> {
        let mut senders_left = true;
        loop {
            let ordered = self.close.borrow_and_update().clone();
            if let Some(order) = ordered {
                // Messages sent before the close are written first, usually the leave message.
                queue.close();
                while let Ok(frame) = queue.try_recv() {
                    self.message(frame).await?;
                }
                return self.frame(OpCode::Close, &order.payload()).await;
            }
            let pong = self.shared.pong.lock().take();
            if let Some(payload) = pong {
                self.frame(OpCode::Pong, &payload).await?;
                // One message per pong, so that a flood of pings does not starve the queue.
                if let Ok(frame) = queue.try_recv() {
                    self.message(frame).await?;
                }
                continue;
            }
            if !senders_left && self.shared.reader_gone.load(Ordering::Acquire) {
                return Ok(());
            }
            tokio::select! {
                _ = self.close.changed() => {}
                () = self.shared.wake.notified() => {}
                frame = queue.recv(), if senders_left => match frame {
                    Some(frame) => self.message(frame).await?,
                    None => senders_left = false,
                },
            }
        }
    }

    async fn message(&mut self, frame: Frame) -> Result<(), Stuck> {
        self.shared.queued.fetch_sub(frame.data.len(), Ordering::AcqRel);
        let opcode = match frame.kind {
            WsKind::Text => OpCode::Text,
            WsKind::Binary => OpCode::Binary,
        };
        self.frame(opcode, &frame.data).await
    }

    /// Writes one frame within the write deadline, or within the deadline of a close that starts meanwhile.
    async fn frame(&mut self, opcode: OpCode, payload: &[u8]) -> Result<(), Stuck> {
        let mut mask = [0; 4];
        if getrandom::fill(&mut mask).is_err() {
            let failure = Failure::new(FailureKind::Connect, "the system's random number generator failed");
            self.shared.finish(WsIn::Failed(failure));
            return Err(Stuck);
        }
        self.buffer.clear();
        self.buffer.shrink_to(KEEP);
        frames::encode(opcode, payload, mask, &mut self.buffer);
        let mut until = Instant::now() + self.limits.write_deadline;
        let mut closing = false;
        let (writer, buffer, close) = (&mut self.writer, &self.buffer, &mut self.close);
        let mut io = pin!(async {
            writer.write_all(buffer).await?;
            writer.flush().await
        });
        loop {
            if !closing {
                if let Some(order) = &*close.borrow_and_update() {
                    closing = true;
                    until = until.min(order.until);
                }
            }
            tokio::select! {
                biased;
                result = &mut io => return match result {
                    Ok(()) => Ok(()),
                    Err(error) => {
                        self.shared.finish_lost(FailureKind::Connect, &format!("connection lost: {error}"));
                        Err(Stuck)
                    }
                },
                () = tokio::time::sleep_until(until) => {
                    self.shared.finish_lost(FailureKind::Timeout, "write timed out: the server stopped reading");
                    return Err(Stuck);
                }
                _ = close.changed(), if !closing => {}
            }
        }
    }
}
