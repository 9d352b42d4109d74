//! Sends RTP on one sender.
//!
//! Part of the engine's module. Must not know: negotiation beyond what it left for this sender,
//! what packets contain.

use super::super::engine::*;
use super::super::gate::Gate;
use super::media::{AUDIO_LEVEL_URI, OPUS};
use super::{closed, error, Shared};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::track_local::TrackLocal;
use webrtc::rtp_transceiver::RtpTransceiver;

/// The longest that a packet waits for room in the engine's queue.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_millis(100);

/// Payload type and header extension id of a sender that may send; 0 until then.
const READY: u32 = 1 << 31;

pub(super) struct Writer {
    pub(super) track: Arc<TrackLocalStaticRTP>,
    pub(super) ssrc: u32,
    pub(super) gate: Arc<Gate>,
    pub(super) negotiated: AtomicU32,
}

/// Loudness bytes by level (RFC 6464 §3): the V bit is set for anything but digital silence.
static LEVELS: [u8; 128] = {
    let mut levels = [0; 128];
    let mut i = 0;
    while i < 128 {
        levels[i] = i as u8 | if i < 127 { 0x80 } else { 0 };
        i += 1;
    }
    levels
};

impl Writer {
    /// From now on packets are dropped silently.
    pub(super) fn stop(&self) {
        self.negotiated.store(0, Ordering::Release);
    }

    /// Takes over what was negotiated for this sender.
    pub(super) async fn negotiate(&self, shared: &Shared, transceiver: &Arc<dyn RtpTransceiver>) -> EngineResult<()> {
        let read = async {
            let sends = transceiver.current_direction().await?.has_send();
            let Some(sender) = transceiver.sender().await?.filter(|_| sends) else { return Ok(0) };
            let parameters = sender.get_parameters().await?.rtp_parameters;
            let codec = parameters.codecs.iter().find(|c| c.rtp_codec.mime_type.eq_ignore_ascii_case(OPUS));
            let level = parameters.header_extensions.iter().find(|extension| extension.uri == AUDIO_LEVEL_URI);
            Ok(codec.map_or(0, |codec| {
                READY | u32::from(codec.payload_type) | level.map_or(0, |level| u32::from(level.id as u8) << 8)
            }))
        };
        let negotiated = shared.call(EngineErrorKind::Internal, "read what a sender may send", read).await?;
        self.negotiated.store(negotiated, Ordering::Release);
        Ok(())
    }
}

#[async_trait]
impl RtpWriter for Writer {
    async fn write(
        &self,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        level_dbov: Option<u8>,
        payload: Bytes,
    ) -> EngineResult<()> {
        if self.gate.is_closing() {
            return Err(closed());
        }
        let negotiated = self.negotiated.load(Ordering::Acquire);
        if negotiated & READY == 0 {
            return Ok(());
        }
        let mut header = rtc::rtp::Header {
            version: 2,
            marker,
            payload_type: (negotiated & 0x7f) as u8,
            sequence_number: sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        let extension = (negotiated >> 8 & 0xff) as u8;
        if let (Some(level), 1..) = (level_dbov, extension) {
            let level = usize::from(level.min(127));
            let _ = header.set_extension(extension, Bytes::from_static(&LEVELS[level..=level]));
        }
        let packet = rtc::rtp::Packet { header, payload };
        match tokio::time::timeout(WRITE_TIMEOUT, self.track.write_rtp(packet)).await {
            Ok(Ok(())) => Ok(()),
            _ if self.gate.is_closing() => Err(closed()),
            // The engine's text would quote the packet.
            Ok(Err(_)) => Err(error(EngineErrorKind::Internal, "the engine takes no more packets")),
            Err(_) => Err(error(EngineErrorKind::Internal, "the engine's queue is full")),
        }
    }
}
