//! RTP packets as exchanged between the WebRTC engine and the media code (RFC 3550), without engine-only fields.
//!
//! Must not know: what is in a payload, SRTP, sockets.

use crate::media::clock::NtpTime;
use bytes::Bytes;
use std::time::Duration;

/// A received packet. Its m-line and layer are given by its track. Only these header extensions are read, if
/// negotiated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpPacket {
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload_type: u8,
    pub marker: bool,
    /// Audio level in -dBov and the voice activity flag, from the sender (RFC 6464).
    pub level: Option<(u8, bool)>,
    /// Capture time by the sender's clock (abs-capture-time).
    pub capture_time: Option<NtpTime>,
    /// Arrival time, since the receiver's epoch.
    pub arrival: Duration,
    pub payload: Bytes,
}

/// A packet to send. The caller sets sequence number and timestamp; SSRC and payload type come from the negotiation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RtpOut {
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    /// Audio level as in RFC 6464: 0 (loudest) to 127 (silence) mean 0 to -127 dBov; larger values count as 127. Sent
    /// in a header extension if one was negotiated.
    pub level_dbov: Option<u8>,
    pub payload: Bytes,
}
