//! Outgoing data: the application's messages are queued here, bounded, until a data channel takes them.
//!
//! One small future per call moves packets from the queue to the channel of the current peer connection. It waits while
//! the channel is full, so that nothing reliable is lost, and drops lossy packets rather than let them grow old. During
//! a reconnect the queue waits. Must not know: rules, wire types, C.

use crate::core::model::{DataBody, DataOut, Delivery, Generation};
use crate::core::Unsent;
use crate::error::{Code, Error, Result};
use crate::log::{oh_log, Level};
use crate::rtc::engine::{DataWriter, EngineErrorKind};
use crate::signalling::Signalling;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::sync::Notify;

/// Bytes that may be queued here, besides those in the engine.
const MAX_BYTES: usize = 1 << 20;
const MAX_PACKETS: usize = 4_096;
/// Factor of these bounds for messages of the core.
const INTERNAL_SHARE: usize = 4;
/// The engine gets no more while it holds this many bytes.
const HIGH_WATER: usize = 256 << 10;
/// Poll interval of a full channel; only while it is full.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The kind of message that a packet is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Packet,
    Text,
    Answer,
    /// A message of the library: not reported as unsent.
    Internal,
}

impl Part {
    fn of(body: &DataBody) -> Self {
        match body {
            DataBody::Packet { .. } => Self::Packet,
            DataBody::Text { .. } => Self::Text,
            DataBody::RpcAnswer { .. } => Self::Answer,
            _ => Self::Internal,
        }
    }
}

#[derive(Clone)]
struct Packet {
    delivery: Delivery,
    bytes: Bytes,
    part: Part,
    /// The last packet of its message.
    last: bool,
}

impl Packet {
    fn count(&self, unsent: &mut Unsent) {
        match self.part {
            Part::Packet => unsent.packets += u64::from(self.last),
            Part::Text => unsent.texts += u64::from(self.last),
            Part::Answer => unsent.rpc_answers += u64::from(self.last),
            Part::Internal => return,
        }
        unsent.bytes += self.bytes.len() as u64;
    }
}

#[derive(Default)]
struct Queue {
    packets: VecDeque<Packet>,
    bytes: usize,
    /// The application sends no more.
    sealed: bool,
    /// Passed to the engine, and not known to have arrived; with the sealed size in bytes.
    flight: VecDeque<(Packet, usize)>,
    /// Could not be sent, regardless of the connection.
    failed: Unsent,
}

impl Queue {
    /// Removes the arrived packets from those in flight: `left` bytes have not arrived.
    fn arrived(&mut self, left: usize) {
        let mut sum: usize = self.flight.iter().map(|(_, size)| size).sum();
        while let Some((_, size)) = self.flight.front() {
            if sum.saturating_sub(*size) < left {
                return;
            }
            sum -= size;
            self.flight.pop_front();
        }
    }
}

struct Channel {
    generation: Generation,
    delivery: Delivery,
    writer: Arc<dyn DataWriter>,
}

/// The queue of outgoing data, and the channels that take from it.
#[derive(Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    channels: Mutex<Vec<Channel>>,
    /// Something was queued, or a channel may take more.
    changed: Notify,
    begun: AtomicBool,
    dropped: AtomicU64,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    /// Queues the packets of one message of the application, all or none.
    pub fn push(&self, message: &DataOut, packets: Vec<Bytes>, what: &str) -> Result<()> {
        let mut queue = self.queue.lock();
        if queue.sealed {
            return Err(Error::new(Code::State, format!("{what}: the call was left or has ended")));
        }
        self.take(&mut queue, message, packets, 1, what)
    }

    /// The same for messages of the core: also while the call is being left, and not limited by the application's
    /// queued data.
    pub fn push_internal(&self, message: &DataOut, packets: Vec<Bytes>) -> Result<()> {
        let mut queue = self.queue.lock();
        let taken = self.take(&mut queue, message, packets, INTERNAL_SHARE, "rpc");
        if taken.is_err() && Part::of(&message.body) == Part::Answer {
            queue.failed.rpc_answers += 1;
        }
        taken
    }

    fn take(&self, queue: &mut Queue, message: &DataOut, packets: Vec<Bytes>, share: usize, what: &str) -> Result<()> {
        let bytes: usize = packets.iter().map(Bytes::len).sum();
        let (most, most_bytes) = (MAX_PACKETS * share, MAX_BYTES * share);
        // A message larger than the queue is accepted when nothing else is queued.
        let too_much = queue.bytes + bytes > most_bytes || queue.packets.len() + packets.len() > most;
        if too_much && !queue.packets.is_empty() {
            let text = format!("{what}: too much data is queued; try again later");
            return Err(Error::new(Code::Full, text));
        }
        queue.bytes += bytes;
        let (delivery, part, count) = (message.delivery, Part::of(&message.body), packets.len());
        let packet = |(i, bytes)| Packet { delivery, bytes, part, last: i + 1 == count };
        queue.packets.extend(packets.into_iter().enumerate().map(packet));
        self.changed.notify_one();
        Ok(())
    }

    /// The application sends no more: further messages are refused.
    pub fn seal(&self) {
        self.queue.lock().sealed = true;
    }

    /// Takes note of what has arrived, as far as the channel reports it.
    fn note_arrived(&self) {
        if let Some(left) = self.channel(Delivery::Reliable).map(|writer| writer.buffered()) {
            self.queue.lock().arrived(left);
        }
    }

    /// Whether everything has arrived, as far as is reported.
    pub fn is_empty(&self) -> bool {
        self.note_arrived();
        let lossy = self.channel(Delivery::Lossy).map_or(0, |writer| writer.buffered());
        let queue = self.queue.lock();
        queue.packets.is_empty() && queue.flight.is_empty() && lossy == 0
    }

    /// Accepted messages that are not known to have arrived.
    pub fn unsent(&self) -> Unsent {
        let queue = self.queue.lock();
        let mut unsent = queue.failed;
        for packet in queue.flight.iter().map(|(packet, _)| packet).chain(&queue.packets) {
            packet.count(&mut unsent);
        }
        unsent
    }

    /// True for the first sender: the publisher must open channels.
    pub fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::AcqRel)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn add_channel(&self, generation: Generation, delivery: Delivery, writer: Arc<dyn DataWriter>) {
        let mut channels = self.channels.lock();
        channels.retain(|c| (c.generation, c.delivery) != (generation, delivery));
        channels.push(Channel { generation, delivery, writer });
        drop(channels);
        // Packets that a former connection did not deliver are not known to be missing.
        self.queue.lock().flight.clear();
        self.changed.notify_one();
    }

    pub fn remove_channels(&self, generation: Generation) {
        // From here on the channels report nothing.
        self.note_arrived();
        self.channels.lock().retain(|c| c.generation != generation);
    }

    /// The application sends no more.
    pub fn remove_all_channels(&self) {
        self.note_arrived();
        self.channels.lock().clear();
    }

    /// A channel of the publisher is open now.
    pub fn channel_open(&self) {
        self.changed.notify_one();
    }

    /// The channel of the newest peer connection, if it is open.
    fn channel(&self, delivery: Delivery) -> Option<Arc<dyn DataWriter>> {
        let channels = self.channels.lock();
        let newest = channels.iter().filter(|c| c.delivery == delivery).max_by_key(|c| c.generation)?;
        newest.writer.is_open().then(|| newest.writer.clone())
    }

    /// Moves packets for as long as the call lasts.
    pub async fn run(self: Arc<Self>, signalling: Arc<dyn Signalling>) {
        loop {
            let full = self.flush(|delivery, packet| signalling.seal(delivery, packet));
            if full {
                tokio::time::sleep(LOOK_AGAIN).await;
            } else {
                self.changed.notified().await;
            }
        }
    }

    /// Passes packets to the engine; true when the engine is full and must be polled again.
    fn flush(&self, seal: impl Fn(Delivery, Bytes) -> Bytes) -> bool {
        loop {
            let Some(packet) = self.queue.lock().packets.front().cloned() else { return false };
            let delivery = packet.delivery;
            let Some(writer) = self.channel(delivery) else { return false };
            let full = writer.buffered() > HIGH_WATER;
            if full && delivery == Delivery::Reliable {
                return true;
            }
            oh_log!(
                Level::Trace,
                "{} bytes for the {delivery:?} channel, {} buffered",
                packet.bytes.len(),
                writer.buffered()
            );
            let mut size = 0;
            let mut sealed = || {
                let sealed = seal(delivery, packet.bytes.clone());
                size = sealed.len();
                sealed
            };
            let lost = full
                || match writer.send(sealed()) {
                    Ok(()) => false,
                    Err(error) if delivery == Delivery::Reliable && error.kind == EngineErrorKind::Full => return true,
                    // It is closing; the next connection's channel takes the packet.
                    Err(error) if delivery == Delivery::Reliable && error.kind == EngineErrorKind::Closed => {
                        return false
                    }
                    Err(_) => true,
                };
            self.dropped.fetch_add(u64::from(lost), Ordering::Relaxed);
            let left = writer.buffered();
            let mut queue = self.queue.lock();
            queue.packets.pop_front();
            queue.bytes = queue.bytes.saturating_sub(packet.bytes.len());
            match delivery {
                Delivery::Lossy => {}
                Delivery::Reliable if lost => packet.count(&mut queue.failed),
                Delivery::Reliable => {
                    queue.flight.push_back((packet, size));
                    queue.arrived(left);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
