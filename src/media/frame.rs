//! An encoded frame, and who gives and takes frames: the same for every kind of track, in both directions.
//!
//! Must not know: codecs, packets on the wire, who encodes or decodes.

use super::{clock::NtpTime, rtp::RtpPacket, transform::FrameTransform};
use bytes::Bytes;
use std::time::Duration;

/// One frame as its encoder made it: an Opus packet, a picture of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedFrame {
    pub payload: Bytes,
    /// RTP timestamp, in ticks of the codec's clock.
    pub rtp_time: u32,
    /// Duration in the same ticks; 0: not known.
    pub duration: u32,
    /// When its last packet came; of a frame to send, when it was due. Since the caller's epoch.
    pub arrival: Duration,
    /// When it was captured, by its sender's clock; `None`: nobody has said so.
    pub capture_time: Option<NtpTime>,
    /// It needs no frame before it. Of sound, every frame is one.
    pub key: bool,
    pub layer: Layer,
    /// Loudness of sound in -dBov (RFC 6464), 0..=127, where it is known.
    pub level_dbov: Option<u8>,
    /// The first one after a pause of the sender (the RTP marker of sound, RFC 3551 section 4.1).
    pub begins: bool,
    /// Received: SSRC, and number of the frame's last packet. Of a frame to send, 0.
    pub ssrc: u32,
    pub sequence: u16,
    /// Frames given up just before this one.
    pub lost_before: u32,
}

/// Which of the versions of a picture that are sent at once a frame belongs to; all 0 of what has one only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// Place of its stream among those of the track (simulcast).
    pub stream: u8,
    pub spatial: u8,
    pub temporal: u8,
}

/// What those who receive a track say of it, where they say it (RFC 3550 section 6.4, RFC 4585).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackFeedback {
    /// Send a frame that needs none before it.
    KeyFrame,
    Report {
        /// Share of packets lost since the report before, in 256ths.
        fraction_lost: u8,
        /// Packets lost since the beginning; negative when more came than were sent.
        total_lost: i32,
        /// Variation of arrival times, in ticks of the RTP clock.
        jitter: u32,
        /// Round trip, where it can be told.
        round_trip: Option<Duration>,
    },
    /// So many packets are asked for again.
    Nack(u32),
    /// No more than so many bit/s are to be sent.
    Bitrate(u64),
}

/// Gives the frames of one track to send, when their time has come.
pub trait FrameSource: Send {
    /// When [`FrameSource::poll`] has something to do next, since the caller's epoch; `None`: when something new was
    /// given to it.
    fn deadline(&self) -> Option<Duration>;

    /// The next frame that is due at `now`; call until `None`. A call that comes early is no harm.
    fn poll(&mut self, now: Duration) -> Option<EncodedFrame>;

    /// Time goes on until `now` without frames: what is there is kept.
    fn pass(&mut self, now: Duration);

    /// Somebody who receives the track has said something.
    fn feedback(&mut self, _feedback: TrackFeedback) {}
}

/// Puts what comes of one track in order.
pub trait FrameReceiver: Send {
    /// Takes a packet of whatever kind; its frames go through `transform` first.
    fn receive(&mut self, packet: RtpPacket, transform: &mut dyn FrameTransform);

    /// The next frame whose time has come, in order; call until `None`.
    fn poll(&mut self, now: Duration) -> Option<EncodedFrame>;
}

/// What a receiver may ask of the sender of its track.
pub trait TrackControl: Send + Sync + std::fmt::Debug {
    /// Asks for a frame that needs none before it. At once; nothing is waited for, and nothing is promised.
    fn request_key_frame(&self);
}
