//! Packetization: frames into RTP packets.
//!
//! Must not know: codecs beyond how their frames are split, SSRCs, payload types, who sends.

use super::RtpOut;
use crate::media::frame::EncodedFrame;

/// Makes and numbers the packets of one track's frames.
pub trait Packetizer: Send {
    /// Passes the packets of a frame to `send`, in order.
    fn packetize(&mut self, frame: EncodedFrame, send: &mut dyn FnMut(RtpOut));
}

/// One packet per audio frame (RFC 7587 section 4.2). Redundancy (RFC 2198) is added later, where the negotiated
/// payload types are known.
#[derive(Clone, Debug)]
pub struct OnePacketEach {
    next: u16,
}

impl OnePacketEach {
    /// `first`: sequence number of the first packet.
    pub fn new(first: u16) -> Self {
        Self { next: first }
    }
}

impl Packetizer for OnePacketEach {
    fn packetize(&mut self, frame: EncodedFrame, send: &mut dyn FnMut(RtpOut)) {
        let EncodedFrame { payload, rtp_time, level_dbov, begins, .. } = frame;
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        send(RtpOut { sequence, timestamp: rtp_time, marker: begins, level_dbov, payload });
    }
}
