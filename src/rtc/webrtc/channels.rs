//! Data channels of one peer connection, local ones and those opened by the remote peer.
//!
//! Part of the engine's module; pure. Must not know: negotiation, what messages contain, who reads.

use super::super::engine::*;
use super::core::{Core, CoreEvent};
use super::driver::Shared;
use super::{closed, described, error};
use bytes::{Bytes, BytesMut};
use rtc::data_channel::{RTCDataChannelId, RTCDataChannelInit};
use rtc::peer_connection::event::RTCDataChannelEvent;
use rtc::peer_connection::message::RTCMessage;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;

/// Maximum data channels of one peer connection, local and remote together.
const MAX_CHANNELS: usize = 32;
/// Longest label, in bytes.
const MAX_LABEL: usize = 256;
/// Maximum unread messages counted at the end.
const MAX_DRAINED: u64 = 1 << 20;

/// A local data channel: the engine's id, and whether it is open.
pub(super) type NewChannel = (RTCDataChannelId, Arc<AtomicBool>);

/// The data channels of one peer connection, by the engine's id.
pub(super) struct Channels {
    /// Labels of the local channels; with the channel until it is handed out.
    local: Vec<(String, Option<NewChannel>)>,
    known: BTreeMap<RTCDataChannelId, Channel>,
    /// Largest message that may be sent.
    limit: usize,
}

struct Channel {
    label: Arc<str>,
    open: Arc<AtomicBool>,
    /// Whether `channel_open` was called.
    reported: bool,
    /// Closed: kept only for messages that were not read yet.
    ended: bool,
}

impl Default for Channels {
    fn default() -> Self {
        Self { local: Vec::new(), known: BTreeMap::new(), limit: MAX_DATA_MESSAGE }
    }
}

impl Channels {
    /// Sets the largest message that the remote peer accepts.
    pub(super) fn limit(&mut self, bytes: usize) {
        self.limit = bytes.min(MAX_DATA_MESSAGE);
    }

    /// Local channels created since the last call, by label.
    pub(super) fn take_new(&mut self) -> Vec<(String, NewChannel)> {
        self.local.iter_mut().filter_map(|(label, new)| Some((label.clone(), new.take()?))).collect()
    }

    fn live(&self) -> usize {
        self.known.values().filter(|channel| !channel.ended).count()
    }

    fn add(&mut self, id: RTCDataChannelId, label: &str) -> Arc<AtomicBool> {
        self.known.retain(|_, channel| !channel.ended);
        let open = Arc::new(AtomicBool::new(false));
        let channel = Channel { label: label.into(), open: open.clone(), reported: false, ended: false };
        self.known.insert(id, channel);
        open
    }

    /// Marks all channels as not open.
    pub(super) fn end(&mut self) {
        self.known.values().for_each(|channel| channel.open.store(false, Ordering::Release));
    }
}

/// Sends on one data channel.
pub(super) struct ChannelWriter {
    pub(super) id: RTCDataChannelId,
    pub(super) open: Arc<AtomicBool>,
    pub(super) shared: Arc<Shared>,
}

impl DataWriter for ChannelWriter {
    fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire) && self.shared.open().is_ok()
    }

    fn buffered(&self) -> usize {
        self.shared.look(|core| core.outstanding(self.id)).unwrap_or(0)
    }

    fn send(&self, message: Bytes) -> EngineResult<()> {
        self.shared.call(|core, now| core.send_data(now, self.id, message))
    }
}

impl Core {
    /// Creates a local data channel unless one with this label exists.
    pub(super) fn want_channel(&mut self, now: Instant, spec: &DataChannelSpec) -> EngineResult<()> {
        if !self.channels.local.iter().any(|(label, _)| *label == spec.label) {
            let new = self.add_channel(now, spec)?;
            self.channels.local.push((spec.label.clone(), Some(new)));
        }
        Ok(())
    }

    pub(super) fn add_channel(&mut self, now: Instant, spec: &DataChannelSpec) -> EngineResult<NewChannel> {
        if spec.label.is_empty() || spec.label.len() > MAX_LABEL {
            return Err(error(EngineErrorKind::Invalid, "the label of a data channel is empty or too long"));
        }
        if self.channels.live() >= MAX_CHANNELS {
            return Err(error(EngineErrorKind::Invalid, "too many data channels"));
        }
        let init = RTCDataChannelInit {
            ordered: spec.ordered,
            max_retransmits: spec.max_retransmits,
            ..RTCDataChannelInit::default()
        };
        let made = self.pc.create_data_channel(&spec.label, Some(init)).map(|channel| channel.id());
        let id = made.map_err(|e| described(EngineErrorKind::Internal, "add a data channel", &e))?;
        let open = self.channels.add(id, &spec.label);
        self.negotiation.offers = true;
        self.settle(now);
        Ok((id, open))
    }

    pub(super) fn channel_event(&mut self, event: RTCDataChannelEvent) {
        match event {
            RTCDataChannelEvent::OnOpen(id) => {
                if !self.channels.known.contains_key(&id) {
                    let Some(mut channel) = self.pc.data_channel(id) else { return };
                    let label = channel.label().to_owned();
                    if label.len() > MAX_LABEL || self.channels.live() >= MAX_CHANNELS {
                        let _ = channel.close();
                        return;
                    }
                    self.channels.add(id, &label);
                }
                let Some(channel) = self.channels.known.get_mut(&id) else { return };
                channel.open.store(true, Ordering::Release);
                if !std::mem::replace(&mut channel.reported, true) {
                    self.events.push_back(CoreEvent::ChannelOpen(channel.label.clone()));
                }
            }
            RTCDataChannelEvent::OnClosing(id) | RTCDataChannelEvent::OnClose(id) => {
                if let Some(channel) = self.channels.known.get_mut(&id) {
                    channel.open.store(false, Ordering::Release);
                    channel.ended = true;
                }
            }
            _ => {}
        }
    }

    /// Bytes not acknowledged by the remote peer yet.
    pub(super) fn outstanding(&mut self, id: RTCDataChannelId) -> usize {
        self.pc.data_channel(id).map_or(0, |channel| channel.outstanding_bytes())
    }

    pub(super) fn send_data(&mut self, now: Instant, id: RTCDataChannelId, message: Bytes) -> EngineResult<()> {
        let not_open = || error(EngineErrorKind::Closed, "the data channel is not open");
        if self.is_closed() {
            return Err(closed());
        }
        if message.len() > self.channels.limit {
            return Err(error(EngineErrorKind::Invalid, "the message is too large"));
        }
        let open = self.channels.known.get(&id).is_some_and(|channel| channel.open.load(Ordering::Acquire));
        let Some(mut channel) = self.pc.data_channel(id).filter(|_| open) else { return Err(not_open()) };
        if channel.outstanding_bytes() + message.len() > MAX_BUFFERED {
            return Err(error(EngineErrorKind::Full, "the send buffer of the data channel is full"));
        }
        let sent = channel.send(now, BytesMut::from(message));
        self.settle(now);
        match sent {
            Ok(()) => Ok(()),
            Err(Error::ErrDataChannelClosed | Error::ErrDataChannelNotOpen) => Err(not_open()),
            Err(_) => Err(error(EngineErrorKind::Internal, "the engine rejected the message")),
        }
    }

    /// Whether there may be messages to read.
    pub(super) fn has_channels(&self) -> bool {
        !self.channels.known.is_empty() || self.pc.sctp().is_some()
    }

    /// Reads at most `most` received messages, with the labels of their channels. Unread messages close the remote
    /// peer's window.
    pub(super) fn read_data(&mut self, now: Instant, most: usize) -> Vec<(Arc<str>, Bytes)> {
        let mut read = Vec::new();
        let mut any = false;
        while read.len() < most {
            let Some(message) = self.pc.poll_read() else { break };
            any = true;
            let RTCMessage::DataChannelMessage(id, message) = message.message else { continue };
            if !self.channels.known.contains_key(&id) {
                // The channel opened together with its first message.
                self.settle(now);
            }
            let Some(channel) = self.channels.known.get(&id) else { continue };
            let label = channel.label.clone();
            if message.data.len() > MAX_DATA_MESSAGE {
                self.events.push_back(CoreEvent::Unread(label, 1, message.data.len() as u64));
            } else {
                read.push((label, message.data.freeze()));
            }
        }
        if any {
            // There is room again: a SACK opens the remote peer's window.
            self.settle(now);
        }
        read
    }

    /// Counts the messages that will not be read any more: messages and bytes by label.
    pub(super) fn drain_data(&mut self, now: Instant) -> BTreeMap<Arc<str>, (u64, u64)> {
        let mut unread = BTreeMap::<Arc<str>, (u64, u64)>::new();
        let mut messages = 0;
        while self.has_channels() && messages < MAX_DRAINED {
            let read = self.read_data(now, 64);
            if read.is_empty() {
                break;
            }
            for (label, message) in read {
                messages += 1;
                let sum = unread.entry(label).or_default();
                *sum = (sum.0 + 1, sum.1 + message.len() as u64);
            }
        }
        unread
    }
}
