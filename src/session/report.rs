//! Media statistics reported to the SFU: totals of the call, and the increase since the last report that it has. Names
//! are those of webrtc-stats where it has one. Must not know: rules, sockets.

use super::shared::Shared;
use serde_json::json;
use std::sync::atomic::Ordering::Relaxed;

#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    packets_sent: u64,
    bytes_sent: u64,
    packets_received: u64,
    bytes_received: u64,
    lost: u64,
    late: u64,
    concealed: u64,
    jitter_ms: u32,
}

/// Keeps the figures that the SFU has.
#[derive(Debug, Default)]
pub(super) struct Report {
    committed: Figures,
    collected: Option<(u64, Figures)>,
}

impl Report {
    /// Creates the report `mark`: publisher and subscriber as JSON texts.
    pub fn collect(&mut self, mark: u64, shared: &Shared) -> (String, String) {
        let (media, receive) = (&shared.media, *shared.receive.lock());
        let now = Figures {
            packets_sent: media.sent.load(Relaxed),
            bytes_sent: media.bytes_sent.load(Relaxed),
            packets_received: media.received.load(Relaxed),
            bytes_received: media.bytes_received.load(Relaxed),
            lost: receive.lost,
            late: receive.late,
            concealed: receive.concealed_frames,
            jitter_ms: receive.jitter_ms as u32,
        };
        self.collected = Some((mark, now));
        let was = self.committed;
        let publisher = json!([{
            "type": "outbound-rtp", "kind": "audio",
            "packetsSent": now.packets_sent, "bytesSent": now.bytes_sent,
            "newPacketsSent": now.packets_sent.saturating_sub(was.packets_sent),
        }]);
        let subscriber = json!([{
            "type": "inbound-rtp", "kind": "audio",
            "packetsReceived": now.packets_received, "bytesReceived": now.bytes_received,
            "packetsLost": now.lost, "packetsDiscarded": now.late,
            "jitter": f64::from(now.jitter_ms) / 1_000.0,
            "framesConcealed": now.concealed,
            "newPacketsReceived": now.packets_received.saturating_sub(was.packets_received),
            "newPacketsLost": now.lost.saturating_sub(was.lost),
        }]);
        (publisher.to_string(), subscriber.to_string())
    }

    /// The SFU has received the report `mark`.
    pub fn commit(&mut self, mark: u64) {
        if let Some((_, figures)) = self.collected.take_if(|(m, _)| *m == mark) {
            self.committed = figures;
        }
    }
}
