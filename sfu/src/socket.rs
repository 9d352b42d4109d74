//! Server side of one WebSocket: the upgrade, a bounded outbox with its writer, and reading with an idle timeout.
//!
//! Accepts text frames that are not UTF-8, because some clients send protobuf in them. Must not know: messages.

use crate::{
    config::Limits,
    wire,
    wire::{Flow, Valve, Wire},
};
use axum::{body::Body, http::Request, response::Response};
use hyper_util::rt::TokioIo;
use soketto::{
    connection::{Builder, Error},
    handshake::http::Server as Handshake,
    Incoming, Mode, Receiver, Sender,
};
use std::{
    future::Future,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::{Duration, Instant},
};
use tokio::{
    net::TcpStream,
    sync::{mpsc, oneshot, watch},
    time::{sleep, sleep_until, timeout},
};

/// Capacity of a client's send queue. A client that exceeds it is disconnected.
const OUTBOX: usize = 4096;
/// Write timeout. A slower write means that the client no longer reads.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// Idle timeout: a client must send a message this often (health checks arrive every 5 s).
pub const IDLE_LIMIT: Duration = Duration::from_secs(40);
/// How long the server waits for the client to close the socket first.
pub const LINGER: Duration = Duration::from_secs(1);

/// One item of the send queue.
#[derive(Debug)]
pub enum Out {
    /// A message in one binary frame.
    Binary(Vec<u8>),
    /// A message in one text frame.
    Text(String),
    /// A message that is counted when it has been written to the socket.
    Counted(Vec<u8>, Arc<AtomicU64>, Option<Arc<AtomicU64>>),
    /// A malformed or oversized frame.
    Raw(RawFrame),
    /// A close frame. The client has one second to answer it.
    Close(u16, String),
    /// Writes nothing; signals that everything before it has been written.
    Mark(oneshot::Sender<()>),
}

/// A frame that a well-behaved server would not send.
#[derive(Clone, Debug)]
pub struct RawFrame {
    /// WebSocket opcode of the first fragment.
    pub opcode: u8,
    /// Payload. Ignored if `size` is set.
    pub payload: Vec<u8>,
    /// Sends this many seeded random bytes instead of `payload`.
    pub size: Option<u64>,
    /// False payload length to write into the header (one fragment only).
    pub claim: Option<u64>,
    pub fragments: u64,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Open,
    /// Write the queued messages, then close.
    Finish,
    /// Close without a close frame.
    Drop,
    /// Close with a TCP reset.
    Reset,
}

/// Send queue of one client. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outbox {
    tx: mpsc::Sender<(Out, Instant)>,
    fate: Arc<watch::Sender<Fate>>,
    valve: Valve,
}

impl Outbox {
    /// Queues a message. If the queue is full, the client does not read, and the connection is ended.
    ///
    /// Returns false if the connection has ended.
    pub fn push(&self, out: Out) -> bool {
        self.push_at(out, Instant::now())
    }

    /// Like `push`, but the message is written no earlier than `at`.
    pub fn push_at(&self, out: Out, at: Instant) -> bool {
        match self.tx.try_send((out, at)) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.end(Fate::Drop);
                false
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Like `push`, but waits for space in the queue instead of ending the connection.
    pub async fn send(&self, out: Out) -> bool {
        self.tx.send((out, Instant::now())).await.is_ok()
    }

    /// Waits until all messages queued so far have been written, or the connection has ended.
    pub async fn flush(&self) {
        let (written, mark) = oneshot::channel();
        if self.send(Out::Mark(written)).await {
            let _ = mark.await;
        }
    }

    /// Ends the TCP connection without a close frame, with a reset if `hard`.
    pub fn cut(&self, hard: bool) {
        self.end(if hard { Fate::Reset } else { Fate::Drop });
    }

    /// Pauses the connection without ending it, or resumes it.
    pub fn freeze(&self, flow: Flow) {
        self.valve.set(flow);
    }

    /// Ends the connection. A harder end is never replaced by a softer one.
    fn end(&self, fate: Fate) {
        self.fate.send_if_modified(|f| {
            let harder = fate > *f;
            if harder {
                *f = fate;
            }
            harder
        });
    }

    /// True once no message can be delivered any more.
    pub fn is_closed(&self) -> bool {
        self.tx.is_closed()
    }
}

/// How a connection ended, as seen by the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The client sent a close frame.
    Closed(u16, String),
    /// The connection broke, was cut or timed out.
    Lost,
    /// The client broke the WebSocket protocol or a size limit.
    Violated,
}

/// The reading half.
pub struct Inbox {
    receiver: Receiver<Wire>,
    fate: watch::Receiver<Fate>,
    buffer: Vec<u8>,
}

impl Inbox {
    /// Reads and discards messages until the client closes or `enough` completes. Do not read after this call.
    ///
    /// A cancelled read leaves the WebSocket library in the middle of a frame.
    pub async fn drain(&mut self, enough: impl Future<Output = ()>) {
        let reading = async { while self.receive(IDLE_LIMIT).await.is_ok() {} };
        tokio::select! {
            () = reading => {}
            () = enough => {}
        }
    }

    /// Like `drain`, for at most one second. Queued messages are written in the meantime.
    pub async fn linger(&mut self) {
        self.drain(sleep(LINGER)).await;
    }

    /// Waits for the next message. Its bytes are valid until the next call.
    pub async fn receive(&mut self, idle: Duration) -> Result<(&[u8], bool), End> {
        self.buffer.clear();
        // Release the buffer of an unusually large message.
        self.buffer.shrink_to(16 << 10);
        loop {
            let text;
            {
                let read = timeout(idle, self.receiver.receive(&mut self.buffer));
                let got = tokio::select! {
                    got = read => got.map_err(|_| End::Lost)?,
                    _ = self.fate.wait_for(|f| *f > Fate::Finish) => return Err(End::Lost),
                };
                text = match got {
                    Ok(Incoming::Data(data)) => data.is_text(),
                    Ok(Incoming::Pong(_)) => continue,
                    Ok(Incoming::Closed(reason)) => {
                        return Err(End::Closed(reason.code, reason.descr.unwrap_or_default()))
                    }
                    Err(Error::Io(_) | Error::Closed) => return Err(End::Lost),
                    Err(_) => return Err(End::Violated),
                };
            }
            return Ok((&self.buffer, text));
        }
    }
}

/// Answers an upgrade request and, once upgraded, runs `serve` with the two halves.
///
/// The writer runs until all clones of the outbox are dropped or the connection ends.
pub fn upgrade<F, S>(mut request: Request<Body>, limits: &Limits, serve: S) -> Response
where
    S: FnOnce(Inbox, Outbox) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let mut handshake = Handshake::new();
    let Ok(answer) = handshake.receive_request(&request) else {
        return Response::builder().status(400).body(Body::from("expected a WebSocket upgrade")).unwrap_or_default();
    };
    let frame = limits.frame;
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        let wire = Wire::new(parts.io.into_inner(), parts.read_buf);
        let (raw, valve) = (wire.raw(), wire.valve());
        let mut builder = Builder::new(wire, Mode::Server);
        builder.set_max_message_size(frame);
        builder.set_max_frame_size(frame);
        let (sender, receiver) = builder.finish();
        let (tx, rx) = mpsc::channel(OUTBOX);
        let (fate_tx, fate) = watch::channel(Fate::Open);
        let outbox = Outbox { tx, fate: Arc::new(fate_tx), valve };
        let writer = tokio::spawn(write_all(sender, raw, rx, outbox.fate.clone(), outbox.valve.clone()));
        serve(Inbox { receiver, fate, buffer: Vec::new() }, outbox.clone()).await;
        // Queued messages are still written, within a time limit. Clones of the outbox may outlive it.
        outbox.end(Fate::Finish);
        tokio::pin!(writer);
        if timeout(LINGER, &mut writer).await.is_err() {
            outbox.end(Fate::Drop);
            let _ = writer.await;
        }
    });
    answer.map(|()| Body::empty())
}

async fn write_all(
    mut sender: Sender<Wire>,
    raw: Arc<TcpStream>,
    mut rx: mpsc::Receiver<(Out, Instant)>,
    end: Arc<watch::Sender<Fate>>,
    valve: Valve,
) {
    let (mut fate, mut finish) = (end.subscribe(), end.subscribe());
    loop {
        let step = async {
            let (out, at) = tokio::select! {
                biased;
                item = rx.recv() => item?,
                _ = finish.wait_for(|f| *f != Fate::Open) => return None,
            };
            if at > Instant::now() {
                sleep_until(at.into()).await;
            }
            // Not subject to the write timeout below: a frozen connection stays open.
            if !valve.writable().await {
                return Some(());
            }
            let closes = matches!(out, Out::Close(..));
            timeout(WRITE_LIMIT, write_one(&mut sender, &raw, out)).await.ok()??;
            if closes {
                sleep(LINGER).await;
                return None;
            }
            Some(())
        };
        tokio::select! {
            biased;
            fate = fate.wait_for(|f| *f > Fate::Finish) => {
                if fate.is_ok_and(|f| *f == Fate::Reset) {
                    let _ = raw.set_zero_linger();
                }
                return;
            }
            more = step => if more.is_none() { break },
        }
    }
    // Stop the reader too: nothing will be sent to this client any more.
    end.send_if_modified(|f| {
        let open = *f == Fate::Open;
        if open {
            *f = Fate::Drop;
        }
        open
    });
}

/// Writes one item. `None` ends the connection.
async fn write_one(sender: &mut Sender<Wire>, raw: &TcpStream, out: Out) -> Option<()> {
    match out {
        Out::Binary(bytes) => {
            sender.send_binary(&bytes).await.ok()?;
            sender.flush().await.ok()
        }
        Out::Text(text) => {
            sender.send_text(&text).await.ok()?;
            sender.flush().await.ok()
        }
        Out::Counted(bytes, count, also) => {
            sender.send_binary(&bytes).await.ok()?;
            sender.flush().await.ok()?;
            count.fetch_add(1, Relaxed);
            if let Some(also) = also {
                also.fetch_add(1, Relaxed);
            }
            Some(())
        }
        Out::Raw(frame) => write_frame(raw, &frame).await.ok(),
        Out::Mark(written) => {
            // The waiting caller may have gone away.
            let _ = written.send(());
            Some(())
        }
        Out::Close(code, reason) => {
            let mut reason = reason;
            while reason.len() > 123 {
                reason.pop();
            }
            let mut bytes = vec![0x88, 2 + reason.len() as u8];
            bytes.extend_from_slice(&code.to_be_bytes());
            bytes.extend_from_slice(reason.as_bytes());
            wire::write_raw(raw, &bytes).await.ok()
        }
    }
}

async fn write_frame(raw: &TcpStream, frame: &RawFrame) -> std::io::Result<()> {
    let total = frame.size.unwrap_or(frame.payload.len() as u64);
    let fragments = frame.fragments.clamp(1, 10_000);
    let mut random = fastrand::Rng::with_seed(frame.seed);
    let mut sent = 0u64;
    for i in 0..fragments {
        let last = i + 1 == fragments;
        let length = if last { total - sent } else { total / fragments };
        let opcode = if i == 0 { frame.opcode & 0x0f } else { 0 };
        let mut head = vec![opcode | if last { 0x80 } else { 0 }];
        match frame.claim.unwrap_or(length) {
            n @ 0..=125 => head.push(n as u8),
            n @ 126..=0xffff => {
                head.push(126);
                head.extend_from_slice(&(n as u16).to_be_bytes());
            }
            n => {
                head.push(127);
                head.extend_from_slice(&n.to_be_bytes());
            }
        }
        wire::write_raw(raw, &head).await?;
        if frame.size.is_some() {
            let mut chunk = [0u8; 16 << 10];
            let mut left = length;
            while left > 0 {
                let n = left.min(chunk.len() as u64) as usize;
                random.fill(&mut chunk[..n]);
                wire::write_raw(raw, &chunk[..n]).await?;
                left -= n as u64;
            }
        } else {
            wire::write_raw(raw, &frame.payload[sent as usize..(sent + length) as usize]).await?;
        }
        sent += length;
    }
    Ok(())
}
