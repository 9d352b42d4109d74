//! Data on its way out: what the application sent waits here, bounded, until a data channel takes it.
//!
//! One small future per call moves packets from the queue to the channel of the peer connection in use; it
//! waits while the channel is full, so that nothing reliable is lost, and drops what is lossy rather than let
//! it grow old. While a connection is being made anew the queue waits. Must not know: rules, wire types, C.

use crate::core::model::{Delivery, Generation};
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

/// Bytes that may wait here, besides those in the engine.
const MAX_BYTES: usize = 1 << 20;
const MAX_PACKETS: usize = 4_096;
/// The engine is given no more while so much waits in it.
const HIGH_WATER: usize = 256 << 10;
/// How often a full channel is looked at; only while it is full.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Queue {
    packets: VecDeque<(Delivery, Bytes)>,
    bytes: usize,
}

struct Channel {
    generation: Generation,
    delivery: Delivery,
    writer: Arc<dyn DataWriter>,
}

/// What waits to be sent, and the channels that take it.
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
    /// Queues the packets of one message, all or none.
    pub fn push(&self, delivery: Delivery, packets: Vec<Bytes>, what: &str) -> Result<()> {
        let bytes: usize = packets.iter().map(Bytes::len).sum();
        let mut queue = self.queue.lock();
        // What is larger than the queue may go when nothing else waits.
        let too_much = queue.bytes + bytes > MAX_BYTES || queue.packets.len() + packets.len() > MAX_PACKETS;
        if too_much && !queue.packets.is_empty() {
            let text = format!("{what}: too much data waits to be sent; try again later");
            return Err(Error::new(Code::Full, text));
        }
        queue.bytes += bytes;
        queue.packets.extend(packets.into_iter().map(|packet| (delivery, packet)));
        drop(queue);
        self.changed.notify_one();
        Ok(())
    }

    /// True for the first who sends: the publisher must be told to open channels.
    pub fn begin(&self) -> bool {
        !self.begun.swap(true, Ordering::AcqRel)
    }

    pub fn begin_again(&self) {
        self.begun.store(false, Ordering::Release);
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub fn add_channel(&self, generation: Generation, delivery: Delivery, writer: Arc<dyn DataWriter>) {
        let mut channels = self.channels.lock();
        channels.retain(|c| (c.generation, c.delivery) != (generation, delivery));
        channels.push(Channel { generation, delivery, writer });
        drop(channels);
        self.changed.notify_one();
    }

    pub fn remove_channels(&self, generation: Generation) {
        self.channels.lock().retain(|c| c.generation != generation);
    }

    /// A channel of ours carries messages now.
    pub fn channel_open(&self) {
        self.changed.notify_one();
    }

    /// The channel of the newest peer connection, if it takes messages.
    fn channel(&self, delivery: Delivery) -> Option<Arc<dyn DataWriter>> {
        let channels = self.channels.lock();
        let newest = channels.iter().filter(|c| c.delivery == delivery).max_by_key(|c| c.generation)?;
        newest.writer.is_open().then(|| newest.writer.clone())
    }

    /// Moves packets for as long as the call lasts.
    pub async fn run(self: Arc<Self>, signalling: Arc<dyn Signalling>) {
        loop {
            let full = self.flush(&*signalling).await;
            if full {
                tokio::time::sleep(LOOK_AGAIN).await;
            } else {
                self.changed.notified().await;
            }
        }
    }

    /// Gives the engine what it takes; true when it is full and should be looked at again.
    async fn flush(&self, signalling: &dyn Signalling) -> bool {
        loop {
            let Some((delivery, packet)) = self.queue.lock().packets.front().cloned() else { return false };
            let Some(writer) = self.channel(delivery) else { return false };
            let full = writer.buffered() > HIGH_WATER;
            if full && delivery == Delivery::Reliable {
                return true;
            }
            oh_log!(
                Level::Trace,
                "{} bytes for the {delivery:?} channel, {} wait in it",
                packet.len(),
                writer.buffered()
            );
            let lost = full
                || match writer.send(signalling.seal(delivery, packet.clone())).await {
                    Ok(()) => false,
                    Err(error) if delivery == Delivery::Reliable && error.kind == EngineErrorKind::Full => return true,
                    // It closes; the next connection's channel takes it.
                    Err(error) if delivery == Delivery::Reliable && error.kind == EngineErrorKind::Closed => {
                        return false
                    }
                    Err(_) => true,
                };
            self.dropped.fetch_add(u64::from(lost), Ordering::Relaxed);
            let mut queue = self.queue.lock();
            queue.packets.pop_front();
            queue.bytes = queue.bytes.saturating_sub(packet.len());
        }
    }
}
