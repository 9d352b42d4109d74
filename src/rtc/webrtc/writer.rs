//! Sends RTP on one sender.
//!
//! Part of the engine's module. Must not know: negotiation beyond its result for this sender, what packets contain.

use super::super::engine::*;
use super::driver::Shared;
use crate::media::audio::red;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

/// Set once a sender may send; the state is 0 until then. The lower bytes, from the lowest: payload type, header
/// extension id, payload type of redundant audio (0: none).
const READY: u32 = 1 << 31;

/// Negotiated state of one sender.
pub(super) struct SenderState {
    pub(super) ssrc: u32,
    state: AtomicU32,
    red: Mutex<red::Encoder>,
    feedback_handler: Mutex<Option<FeedbackHandler>>,
}

/// Audio level bytes by level (RFC 6464 §3): the V bit is set for anything but digital silence.
static LEVELS: [u8; 128] = {
    let mut levels = [0; 128];
    let mut i = 0;
    while i < 128 {
        levels[i] = i as u8 | if i < 127 { 0x80 } else { 0 };
        i += 1;
    }
    levels
};

impl std::fmt::Debug for SenderState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SenderState").field("ssrc", &self.ssrc).finish_non_exhaustive()
    }
}

impl SenderState {
    pub(super) fn new(ssrc: u32, red: u8) -> Self {
        let red = Mutex::new(red::Encoder::new(usize::from(red)));
        Self { ssrc, state: AtomicU32::new(0), red, feedback_handler: Mutex::default() }
    }

    /// Passes on feedback of a receiver. Not called under the core's lock.
    pub(super) fn report_feedback(&self, feedback: TrackFeedback) {
        let feedback_handler = self.feedback_handler.lock().clone();
        if let Some(feedback_handler) = feedback_handler {
            feedback_handler(feedback);
        }
    }

    /// From now on packets are dropped silently.
    pub(super) fn stop(&self) {
        self.state.store(0, Ordering::Release);
    }

    pub(super) fn negotiated(&self, payload_type: u8, level: u8, red: u8) {
        let state = READY | u32::from(payload_type) | u32::from(level) << 8 | u32::from(red) << 16;
        self.state.store(state, Ordering::Release);
    }
}

pub(super) struct Writer {
    pub(super) sender_state: Arc<SenderState>,
    pub(super) shared: Arc<Shared>,
}

impl RtpSender for Writer {
    fn send(&self, packet: RtpOut) -> EngineResult<()> {
        let RtpOut { sequence, timestamp, marker, level_dbov, payload } = packet;
        let negotiated = self.sender_state.state.load(Ordering::Acquire);
        if negotiated & READY == 0 {
            return self.shared.open();
        }
        let (opus, red) = ((negotiated & 0x7f) as u8, (negotiated >> 16 & 0x7f) as u8);
        let (payload_type, payload) = match red {
            0 => (opus, payload),
            red => (red, self.sender_state.red.lock().packet(timestamp, &payload, opus)),
        };
        let mut header = rtc::rtp::Header {
            version: 2,
            marker,
            payload_type,
            sequence_number: sequence,
            timestamp,
            ssrc: self.sender_state.ssrc,
            ..Default::default()
        };
        let extension = (negotiated >> 8 & 0xff) as u8;
        if let (Some(level), 1..) = (level_dbov, extension) {
            let level = usize::from(level.min(127));
            let _ = header.set_extension(extension, Bytes::from_static(&LEVELS[level..=level]));
        }
        self.shared.send_rtp(rtc::rtp::Packet { header, payload })
    }

    fn is_open(&self) -> bool {
        self.sender_state.state.load(Ordering::Acquire) & READY != 0 && self.shared.is_connected()
    }

    fn is_redundant(&self) -> bool {
        self.sender_state.state.load(Ordering::Acquire) >> 16 & 0x7f != 0
    }

    fn set_feedback_handler(&self, feedback_handler: FeedbackHandler) {
        *self.sender_state.feedback_handler.lock() = Some(feedback_handler);
    }
}

/// Sends requests to the sender of one stream.
pub(super) struct Control {
    pub(super) ssrc: u32,
    pub(super) shared: Weak<Shared>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("ssrc", &self.ssrc).finish_non_exhaustive()
    }
}

impl TrackControl for Control {
    fn request_key_frame(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.request_key_frame(self.ssrc);
        }
    }
}
