//! RTP packets as they pass between the WebRTC engine and media (RFC 3550), without what only the engine needs.
//!
//! Must not know: what is in a payload, SRTP, sockets.

use crate::media::clock::NtpTime;
use bytes::Bytes;
use std::time::Duration;

/// A packet that has come. Of which m-line and layer it is, is told with its track; of its header extensions these are
/// read, where they were negotiated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpPacket {
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload_type: u8,
    pub marker: bool,
    /// Loudness in -dBov and whether it is a voice, as its sender says (RFC 6464).
    pub level: Option<(u8, bool)>,
    /// When it was captured, by its sender's clock (abs-capture-time).
    pub capture_time: Option<NtpTime>,
    /// When it came, since the receiver's epoch.
    pub arrival: Duration,
    pub payload: Bytes,
}

/// A packet to send. Sequence number and timestamp are the caller's; SSRC and payload type are the negotiation's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpOut {
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    /// Loudness of its sound as RFC 6464 counts it, 0 (loudest) to 127 (silence) meaning 0 to -127 dBov; larger values
    /// count as 127. It travels in a header extension if one was negotiated.
    pub level_dbov: Option<u8>,
    pub payload: Bytes,
}
