//! Frames become packets.
//!
//! Must not know: codecs beyond how their frames are cut, SSRCs, payload types, who sends.

use super::RtpOut;
use crate::media::frame::EncodedFrame;

/// Makes the packets of one track's frames, and numbers them.
pub trait Packetizer: Send {
    /// Hands the packets of a frame to `send`, in their order.
    fn packetize(&mut self, frame: EncodedFrame, send: &mut dyn FnMut(RtpOut));
}

/// A frame of sound is a packet (RFC 7587 section 4.2). Redundancy (RFC 2198) is added where it is known whether it was
/// negotiated.
#[derive(Clone, Debug)]
pub struct OnePacketEach {
    next: u16,
}

impl OnePacketEach {
    /// `first`: the number of the first packet.
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
