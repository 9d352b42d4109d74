//! One client's WebSocket and the one to the server behind it: read, inspected, rewritten, and written.
//!
//! Knows how to forward bytes between the sides. The book decides about faults.

use super::{
    book::Book,
    candidates,
    frame::{self, Assembler, Frame},
    relay::Relays,
    switches::{Lane, Pc},
    wire::{self, To},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        tcp::{ReadHalf, WriteHalf},
        TcpStream,
    },
    sync::{mpsc, watch, Notify},
    time::{sleep, sleep_until, Instant},
};

/// Most items queued for one side; a full queue blocks the other side.
const QUEUE: usize = 4096;
/// Longest message that is forwarded.
const MAX_MESSAGE: u64 = 16 << 20;
/// Limit for the server's connection to end after its client's has.
const SERVER_END: Duration = Duration::from_secs(2);
/// Limit for the client's connection to end after everything was written to it.
const CLIENT_END: Duration = Duration::from_secs(5);
/// Servers require a mask, not a random one.
const MASK: [u8; 4] = [0x4f, 0x66, 0x68, 0x6b];

/// An item to write to one side.
#[derive(Debug)]
pub enum What {
    /// Bytes in wire format.
    Bytes(Vec<u8>),
    /// A frame header that claims `claim` bytes, and `size` bytes of payload.
    Huge { claim: u64, size: u64 },
    /// Closes the connection for writing.
    End,
}

impl What {
    pub fn frame(to: To, frame: &Frame) -> Self {
        What::Bytes(frame.encode((to == To::Server).then_some(MASK)))
    }

    /// A signalling message in a binary frame.
    pub fn message(to: To, bytes: &[u8]) -> Self {
        What::frame(to, &Frame::whole(frame::BINARY, bytes.to_vec()))
    }
}

#[derive(Debug)]
pub struct Item {
    /// Earliest time to write it; items never overtake each other.
    pub due: Option<Instant>,
    pub what: What,
}

/// A live socket, as the control API uses it.
#[derive(Debug)]
pub struct Handle {
    pub id: u64,
    pub node: usize,
    pub to_client: mpsc::Sender<Item>,
    pub to_server: mpsc::Sender<Item>,
    open: watch::Sender<bool>,
    cut: Arc<Notify>,
}

impl Handle {
    /// Lets bytes pass in both directions, or stops them.
    pub fn set_open(&self, open: bool) -> bool {
        self.open.send(open).is_ok()
    }

    /// Resets both connections.
    pub fn cut(&self) -> bool {
        self.cut.notify_one();
        true
    }
}

/// The connection of one side, and bytes already read from it.
pub struct Side {
    pub stream: TcpStream,
    pub early: Vec<u8>,
}

/// What a socket belongs to.
#[derive(Clone)]
pub struct Place {
    pub book: Arc<Book>,
    pub relays: Arc<Relays>,
    pub identity: String,
    pub node: usize,
    pub path: String,
    pub query: serde_json::Map<String, serde_json::Value>,
}

/// Forwards one WebSocket after the upgrade, until it ends.
pub async fn run(place: Place, mut client: Side, mut server: Side, silent: bool) {
    let id = place.book.number();
    let (to_client, client_items) = mpsc::channel(QUEUE);
    let (to_server, server_items) = mpsc::channel(QUEUE);
    let (open, gate) = watch::channel(!silent);
    let cut = Arc::new(Notify::new());
    let handle = Handle {
        id,
        node: place.node,
        to_client: to_client.clone(),
        to_server: to_server.clone(),
        open,
        cut: cut.clone(),
    };
    place.book.opened(&place.identity, handle, &place.path, place.query.clone());
    let direction = |to, queue| Direction {
        to,
        id,
        place: place.clone(),
        // The socket's number is not part of the salt, because it depends on other sockets.
        lane: Lane::new(0x51 + to as u64),
        queue,
        last_due: None,
        gate: gate.clone(),
    };
    let reset = {
        let (client_reads, client_writes) = client.stream.split();
        let (server_reads, server_writes) = server.stream.split();
        let from_client = direction(To::Server, to_server).carry(client_reads, client.early);
        let from_server = direction(To::Client, to_client).carry(server_reads, server.early);
        let write_client = write(client_writes, client_items, gate.clone());
        let write_server = write(server_writes, server_items, gate.clone());
        tokio::pin!(from_client, from_server, write_client, write_server);
        let mut done = [false; 4];
        let mut end: Option<Instant> = None;
        loop {
            let limit = end.unwrap_or_else(Instant::now);
            tokio::select! {
                () = &mut from_client, if !done[0] => {
                    done[0] = true;
                    end.get_or_insert(Instant::now() + SERVER_END);
                }
                () = &mut from_server, if !done[1] => done[1] = true,
                () = &mut write_server, if !done[2] => done[2] = true,
                () = &mut write_client, if !done[3] => {
                    done[3] = true;
                    end.get_or_insert(Instant::now() + CLIENT_END);
                }
                () = sleep_until(limit), if end.is_some() => break false,
                () = cut.notified() => break true,
            }
            if done[0] && done[2] && done[3] {
                break false;
            }
        }
    };
    if reset {
        for stream in [&client.stream, &server.stream] {
            // If this fails, the connections end without a reset.
            let _ = stream.set_zero_linger();
        }
    }
    place.book.ended(&place.identity, id);
}

async fn opened(gate: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone; the gate then counts as open.
    let _ = gate.wait_for(|open| *open).await;
}

async fn write(mut to: WriteHalf<'_>, mut items: mpsc::Receiver<Item>, mut gate: watch::Receiver<bool>) {
    while let Some(item) = items.recv().await {
        if let Some(due) = item.due {
            sleep_until(due).await;
        }
        opened(&mut gate).await;
        let written = match item.what {
            What::Bytes(bytes) => to.write_all(&bytes).await,
            What::Huge { claim, size } => huge(&mut to, claim, size).await,
            What::End => {
                let _ = to.shutdown().await;
                return;
            }
        };
        if written.is_err() {
            return;
        }
    }
}

async fn huge(to: &mut WriteHalf<'_>, claim: u64, size: u64) -> std::io::Result<()> {
    to.write_all(&frame::header(true, frame::BINARY, claim, false)).await?;
    let chunk = vec![0u8; 64 << 10];
    let mut left = size;
    while left > 0 {
        let part = left.min(chunk.len() as u64) as usize;
        to.write_all(&chunk[..part]).await?;
        left -= part as u64;
    }
    Ok(())
}

/// One direction.
struct Direction {
    to: To,
    id: u64,
    place: Place,
    lane: Lane<Vec<u8>>,
    queue: mpsc::Sender<Item>,
    last_due: Option<Instant>,
    gate: watch::Receiver<bool>,
}

impl Direction {
    /// Reads until the connection ends, and then queues the end.
    async fn carry(mut self, mut from: ReadHalf<'_>, mut buffer: Vec<u8>) {
        let mut assembler = Assembler::default();
        let mut lingered = false;
        loop {
            let message = match frame::take(&mut buffer, MAX_MESSAGE) {
                Ok(Some(frame)) => assembler.push(frame, MAX_MESSAGE),
                Ok(None) => {
                    opened(&mut self.gate).await;
                    match from.read_buf(&mut buffer).await {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    }
                    // Bytes that were read while the gate was closed wait as well.
                    opened(&mut self.gate).await;
                    continue;
                }
                Err(e) => Err(e),
            };
            match message {
                Ok(Some(frame)) if frame.opcode >= frame::CLOSE => {
                    if frame.opcode == frame::CLOSE {
                        let code = frame.payload.get(..2).map_or(1005, |b| u16::from_be_bytes([b[0], b[1]]));
                        self.place.book.closed(&self.place.identity, self.id, self.to, code);
                        self.linger(&mut lingered).await;
                    }
                    self.push(What::frame(self.to, &frame), None).await;
                }
                Ok(Some(frame)) => self.message(frame).await,
                Ok(None) => {}
                // After invalid data, nothing further is parsed.
                Err(_) => break,
            }
        }
        self.linger(&mut lingered).await;
        self.push(What::End, None).await;
    }

    /// Keeps the client's socket open for the linger time after the server has ended.
    async fn linger(&self, lingered: &mut bool) {
        if self.to == To::Client && !*lingered {
            *lingered = true;
            sleep(self.place.book.linger(&self.place.identity)).await;
        }
    }

    async fn push(&mut self, what: What, due: Option<Instant>) {
        // The queue is closed: the other side has ended, which `run` detects.
        let _ = self.queue.send(Item { due, what }).await;
    }

    async fn message(&mut self, mut frame: Frame) {
        let Place { book, identity, .. } = self.place.clone();
        let kind = if frame.opcode == frame::TEXT { "text" } else { wire::kind(self.to, &frame.payload) };
        book.saw(&identity, self.id, self.to, kind, &frame.payload);
        if frame.opcode == frame::BINARY {
            match self.changed(kind, &frame.payload) {
                Some(payload) => frame.payload = payload,
                None => return,
            }
        }
        if self.to == To::Client && kind == "offer" && !book.offer_passes(&identity, &frame.payload) {
            return;
        }
        let begins = self.to == To::Client && matches!(kind, "join" | "reconnect");
        let due = if begins { book.due_offers(&identity) } else { Vec::new() };
        for offer in &due {
            self.push(What::message(To::Client, offer), None).await;
        }
        let rule = book.signal.find(&identity, self.to, None, kind);
        let before = self.lane.dropped;
        for (bytes, delay) in self.lane.pass(rule, frame.encode((self.to == To::Server).then_some(MASK))) {
            let at = (!delay.is_zero()).then(|| Instant::now() + delay);
            self.last_due = self.last_due.max(at);
            self.push(What::Bytes(bytes), self.last_due).await;
        }
        if self.lane.dropped > before {
            book.lost(&identity);
        }
        for offer in &due {
            self.push(What::message(To::Client, offer), None).await;
        }
    }

    /// The message with its candidates rewritten; None if nothing is left of it.
    fn changed(&self, kind: &str, bytes: &[u8]) -> Option<Vec<u8>> {
        let Place { relays, identity, .. } = &self.place;
        let number = match (self.to, kind) {
            (To::Client, "answer") | (To::Server, "answer") => 2,
            (To::Client, "offer") => 3,
            (To::Server, "offer") => 1,
            (To::Client, "trickle") => 4,
            (To::Server, "trickle") => 3,
            (To::Server, "sync_state") => {
                // Answer and offer that the client has; the candidates in them are the client's own.
                let strip = &mut |sdp: &str| candidates::in_sdp(sdp, &mut |_| None);
                return Some(wire::replace(&wire::replace(bytes, &[12, 1, 2], strip), &[12, 5, 2], strip));
            }
            _ => return Some(bytes.to_vec()),
        };
        let pc = match (kind, trickle_target(number, bytes)) {
            ("answer", _) => Pc::Publisher,
            ("offer", _) => Pc::Subscriber,
            (_, target) => target,
        };
        // A server that knew its client's address would send there directly, past the relay. So the client's candidates
        // are removed, and the server learns the address from packets.
        let mut map = |address| if self.to == To::Client { relays.front(identity, pc, address) } else { None };
        if kind != "trickle" {
            return Some(wire::replace(bytes, &[number, 2], &mut |sdp| candidates::in_sdp(sdp, &mut map)));
        }
        let mut removed = false;
        let bytes = wire::replace(bytes, &[number, 1], &mut |json| {
            candidates::in_trickle(json, &mut map).unwrap_or_else(|| {
                removed = true;
                String::new()
            })
        });
        (!removed).then_some(bytes)
    }
}

/// The peer connection of a trickled candidate: the message's target, the publisher's by default.
fn trickle_target(number: u64, bytes: &[u8]) -> Pc {
    use offhook_proto::livekit::{signal_request, signal_response, SignalRequest, SignalResponse, SignalTarget};
    use prost::Message;
    let trickle = if number == 4 {
        match SignalResponse::decode(bytes).ok().and_then(|m| m.message) {
            Some(signal_response::Message::Trickle(trickle)) => Some(trickle),
            _ => None,
        }
    } else {
        match SignalRequest::decode(bytes).ok().and_then(|m| m.message) {
            Some(signal_request::Message::Trickle(trickle)) => Some(trickle),
            _ => None,
        }
    };
    match trickle.map(|t| t.target()) {
        Some(SignalTarget::Subscriber) => Pc::Subscriber,
        _ => Pc::Publisher,
    }
}
