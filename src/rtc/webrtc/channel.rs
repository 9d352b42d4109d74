//! Data channels of one peer connection: ours, and those that the other side opens.
//!
//! Part of the engine's module. Must not know: negotiation, what messages contain.

use super::super::engine::*;
use super::super::gate::Gate;
use super::writer::WRITE_TIMEOUT;
use super::{closed, error, Shared};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{watch, Mutex as AsyncMutex, Notify};
use webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelId, RTCDataChannelInit};
use webrtc::error::Error;
use webrtc::peer_connection::PeerConnection;

/// Most data channels of one peer connection, both sides' together.
const MAX_CHANNELS: usize = 32;
/// Longest label, in bytes.
const MAX_LABEL: usize = 256;
/// How soon, and how late at most, it is looked again for what the other side acknowledged.
const LOOK_SOON: Duration = Duration::from_millis(10);
const LOOK_LATE: Duration = Duration::from_millis(200);

/// The data channels of one peer connection, by the engine's number.
pub(super) struct Channels {
    /// Held while one is made: the engine may announce it to the event handler as if it were the
    /// other side's, before it returns it.
    open: AsyncMutex<HashMap<RTCDataChannelId, Arc<Channel>>>,
    /// Largest message that may be sent.
    limit: AtomicUsize,
}

impl Default for Channels {
    fn default() -> Self {
        Self { open: AsyncMutex::default(), limit: AtomicUsize::new(MAX_DATA_MESSAGE) }
    }
}

impl Channels {
    /// The other side takes messages of at most this size.
    pub(super) fn limit(&self, bytes: usize) {
        self.limit.store(bytes.min(MAX_DATA_MESSAGE), Ordering::Release);
    }
}

/// What the reader and the writer of one data channel share.
pub(super) struct Channel {
    label: String,
    open: AtomicBool,
    /// Whether `channel_open` was told.
    told: AtomicBool,
    outstanding: AtomicUsize,
    /// Held from a change or a look until `outstanding` has it, so that the newest stays.
    counting: AsyncMutex<()>,
    sent: Notify,
    /// The engine's object; given up with the channel, whoever still holds a writer.
    engine: Mutex<Option<Arc<dyn DataChannel>>>,
}

impl Channel {
    fn new(label: String, engine: Arc<dyn DataChannel>) -> Arc<Self> {
        Arc::new(Self {
            label,
            open: AtomicBool::new(false),
            told: AtomicBool::new(false),
            outstanding: AtomicUsize::new(0),
            counting: AsyncMutex::new(()),
            sent: Notify::new(),
            engine: Mutex::new(Some(engine)),
        })
    }

    fn opened(&self, gate: &Gate) {
        self.open.store(true, Ordering::Release);
        if !self.told.swap(true, Ordering::AcqRel) {
            gate.channel_open(&self.label);
        }
    }

    fn end(&self) {
        self.open.store(false, Ordering::Release);
        self.engine.lock().take();
        self.outstanding.store(0, Ordering::Release);
    }
}

/// Makes a data channel of ours.
pub(super) async fn add(
    shared: &Arc<Shared>,
    pc: &Arc<dyn PeerConnection>,
    spec: DataChannelSpec,
) -> EngineResult<Arc<dyn DataWriter>> {
    if spec.label.is_empty() || spec.label.len() > MAX_LABEL {
        return Err(error(EngineErrorKind::Invalid, "the label of a data channel is empty or too long"));
    }
    let mut open = shared.channels.open.lock().await;
    if open.len() >= MAX_CHANNELS {
        return Err(error(EngineErrorKind::Invalid, "too many data channels"));
    }
    let init = RTCDataChannelInit {
        ordered: spec.ordered,
        max_retransmits: spec.max_retransmits,
        ..RTCDataChannelInit::default()
    };
    let create = pc.create_data_channel(&spec.label, Some(init));
    let engine = shared.call(EngineErrorKind::Internal, "add a data channel", create).await?;
    let channel = Channel::new(spec.label, engine.clone());
    open.insert(engine.id(), channel.clone());
    drop(open);
    read(shared, engine, Some(channel.clone()));
    Ok(Arc::new(Writer { channel, gate: shared.gate.clone(), shared: Arc::downgrade(shared) }))
}

/// Starts to read a data channel; without `channel` it is one that the engine announced.
pub(super) fn read(shared: &Arc<Shared>, engine: Arc<dyn DataChannel>, channel: Option<Arc<Channel>>) {
    let (gate, tasks) = (shared.gate.clone(), shared.tasks.clone());
    let task = run(Arc::downgrade(shared), gate.clone(), engine, channel, shared.closed.subscribe());
    // Who is not read any more would be silent without a word: it counts as a failed connection.
    tasks.spawn_guarded("data", task, move || gate.state(PeerState::Failed));
}

async fn run(
    shared: Weak<Shared>,
    gate: Arc<Gate>,
    engine: Arc<dyn DataChannel>,
    channel: Option<Arc<Channel>>,
    mut done: watch::Receiver<bool>,
) {
    let channel = match channel {
        Some(channel) => channel,
        None => match accept(&shared, &engine).await {
            Some(channel) => channel,
            None => return,
        },
    };
    let over = async {
        let _ = done.wait_for(|done| *done).await;
    };
    let heard = async {
        if !hear(&shared, &gate, &engine, &channel).await {
            // The engine's events are over without a close: they go to another reader of the same
            // channel. To drop this handle would make the engine forget that one, too.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = over => {}
        () = heard => {}
    }
    channel.end();
    if let Some(shared) = shared.upgrade() {
        shared.channels.open.lock().await.remove(&engine.id());
    }
}

/// Finds a channel that was announced among ours, or takes it as one of the other side.
async fn accept(shared: &Weak<Shared>, engine: &Arc<dyn DataChannel>) -> Option<Arc<Channel>> {
    let shared = shared.upgrade()?;
    let mut open = shared.channels.open.lock().await;
    if let Some(channel) = open.get(&engine.id()) {
        return Some(channel.clone());
    }
    let label = shared.call(EngineErrorKind::Internal, "read a label", engine.label()).await.ok()?;
    if open.len() >= MAX_CHANNELS || label.len() > MAX_LABEL {
        drop(open);
        let _ = shared.call(EngineErrorKind::Internal, "refuse a data channel", engine.close()).await;
        return None;
    }
    let channel = Channel::new(label, engine.clone());
    open.insert(engine.id(), channel.clone());
    Some(channel)
}

/// Hands on what happens on a channel, until the engine tells no more; true once it is closed.
async fn hear(shared: &Weak<Shared>, gate: &Gate, engine: &Arc<dyn DataChannel>, channel: &Channel) -> bool {
    let mut wait = LOOK_SOON;
    loop {
        let waiting = channel.outstanding.load(Ordering::Acquire);
        let look = async {
            if waiting == 0 {
                channel.sent.notified().await;
            }
            match shared.upgrade().and_then(|shared| shared.environment.clone()) {
                Some(environment) => environment.sleep(wait).await,
                None => tokio::time::sleep(wait).await,
            }
        };
        tokio::select! {
            event = engine.poll() => match event {
                Some(DataChannelEvent::OnOpen) => channel.opened(gate),
                Some(DataChannelEvent::OnMessage(message)) => {
                    if message.data.len() <= MAX_DATA_MESSAGE {
                        gate.data(&channel.label, message.data.freeze());
                    }
                }
                Some(DataChannelEvent::OnClosing) => channel.open.store(false, Ordering::Release),
                Some(DataChannelEvent::OnClose) => {
                    channel.open.store(false, Ordering::Release);
                    return true;
                }
                Some(_) => {}
                None => return false,
            },
            () = look => {
                let _counting = channel.counting.lock().await;
                let left = engine.outstanding_bytes().await.unwrap_or(0);
                wait = if left < waiting || waiting == 0 { LOOK_SOON } else { (wait * 2).min(LOOK_LATE) };
                channel.outstanding.store(left, Ordering::Release);
            }
        }
    }
}

struct Writer {
    channel: Arc<Channel>,
    gate: Arc<Gate>,
    shared: Weak<Shared>,
}

#[async_trait]
impl DataWriter for Writer {
    fn is_open(&self) -> bool {
        self.channel.open.load(Ordering::Acquire) && !self.gate.is_closing()
    }

    fn buffered(&self) -> usize {
        if self.gate.is_closing() {
            return 0;
        }
        self.channel.outstanding.load(Ordering::Acquire)
    }

    async fn send(&self, message: Bytes) -> EngineResult<()> {
        let Some(shared) = self.shared.upgrade().filter(|_| self.is_open()) else {
            return Err(self.not_open());
        };
        let length = message.len();
        if length > shared.channels.limit.load(Ordering::Acquire) {
            return Err(error(EngineErrorKind::Invalid, "the message is too large"));
        }
        let Some(engine) = self.channel.engine.lock().clone() else { return Err(self.not_open()) };
        let send = async {
            let _counting = self.channel.counting.lock().await;
            engine.try_send(BytesMut::from(message)).await?;
            let waiting = engine.outstanding_bytes().await.unwrap_or(length);
            self.channel.outstanding.store(waiting, Ordering::Release);
            self.channel.sent.notify_one();
            Ok(())
        };
        match tokio::time::timeout(WRITE_TIMEOUT, send).await {
            Ok(Ok(())) => Ok(()),
            _ if !self.is_open() => Err(self.not_open()),
            Ok(Err(Error::ErrSendBufferFull)) => {
                Err(error(EngineErrorKind::Full, "too much waits to be sent on the data channel"))
            }
            Ok(Err(Error::ErrDataChannelClosed | Error::ErrDataChannelNotOpen)) => Err(self.not_open()),
            Ok(Err(_)) => Err(error(EngineErrorKind::Internal, "the engine takes no more messages")),
            Err(_) => Err(error(EngineErrorKind::Internal, "the engine did not answer")),
        }
    }
}

impl Writer {
    fn not_open(&self) -> EngineError {
        if self.gate.is_closing() {
            return closed();
        }
        error(EngineErrorKind::Closed, "the data channel is not open")
    }
}
