//! An encoded frame, and the traits that produce and consume frames: the same for every kind of track, in both
//! directions.
//!
//! Must not know: codecs, packets on the wire, who encodes or decodes.

use super::{clock::NtpTime, rtp::RtpPacket, transform::FrameTransform};
use bytes::Bytes;
use std::time::Duration;

/// One frame as its encoder made it: an Opus packet, or one layer of a picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedFrame {
    pub payload: Bytes,
    /// RTP timestamp, in ticks of the codec's clock.
    pub rtp_time: u32,
    /// Duration in the same ticks; 0 if unknown.
    pub duration: u32,
    /// Arrival time of its last packet; for a frame to send, when it was due. Since the caller's epoch.
    pub arrival: Duration,
    /// Capture time by the sender's clock; `None` if the sender did not report it.
    pub capture_time: Option<NtpTime>,
    /// It can be decoded without an earlier frame. True of every audio frame.
    pub key: bool,
    pub layer: Layer,
    /// Audio level in -dBov (RFC 6464), 0..=127, if known.
    pub level_dbov: Option<u8>,
    /// First frame after a pause of the sender (the RTP marker for audio, RFC 3551 section 4.1).
    pub begins: bool,
    /// Received frames: SSRC, and sequence number of the frame's last packet. Frames to send: 0.
    pub ssrc: u32,
    pub sequence: u16,
    /// Frames given up as lost just before this one.
    pub lost_before: u32,
}

/// The simulcast stream and layer that a frame belongs to; all 0 if the track has only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// Index of its stream among those of the track (simulcast).
    pub stream: u8,
    pub spatial: u8,
    pub temporal: u8,
}

/// RTCP feedback from the receivers of a track, if they send it (RFC 3550 section 6.4, RFC 4585).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackFeedback {
    /// Send a key frame (PLI or FIR).
    KeyFrame,
    Report {
        /// Share of packets lost since the previous report, in 256ths.
        fraction_lost: u8,
        /// Packets lost since the start; negative when more arrived than were sent.
        total_lost: i32,
        /// Interarrival jitter, in ticks of the RTP clock.
        jitter: u32,
        /// Round-trip time, if it can be computed.
        round_trip: Option<Duration>,
    },
    /// This many packets are requested again.
    Nack(u32),
    /// Maximum bit rate to send, in bit/s.
    Bitrate(u64),
}

/// Produces the frames of one track to send, when they are due.
pub trait FrameSource: Send {
    /// When [`FrameSource::poll`] next has work to do, since the caller's epoch; `None`: only after new input.
    fn deadline(&self) -> Option<Duration>;

    /// The next frame that is due at `now`; call until `None`. Calling early is harmless.
    fn poll(&mut self, now: Duration) -> Option<EncodedFrame>;

    /// Advances time to `now` without producing frames; queued data is kept.
    fn pass(&mut self, now: Duration);

    /// Feedback from a receiver of the track.
    fn feedback(&mut self, _feedback: TrackFeedback) {}
}

/// Puts the received packets of one track in order.
pub trait FrameReceiver: Send {
    /// Accepts a packet of any kind; its frames go through `transform` first.
    fn receive(&mut self, packet: RtpPacket, transform: &mut dyn FrameTransform);

    /// The next frame that is due, in order; call until `None`.
    fn poll(&mut self, now: Duration) -> Option<EncodedFrame>;
}

/// Requests that a receiver can send to the sender of its track.
pub trait TrackControl: Send + Sync + std::fmt::Debug {
    /// Requests a key frame. Returns at once without waiting; the sender may ignore it.
    fn request_key_frame(&self);
}
