//! One received track: repairs its stream, assembles its frames and asks for key frames.
//!
//! Must not know: RTCP packets, whose track it is, who reads the frames.

use std::time::Duration;

use super::{
    assemble::{self, Assembler, Pushed},
    codec::{Codec, PayloadKind, PayloadTypes},
    keyframe::KeyFrameRequests,
    packet::{VideoFrame, VideoPacket},
    repair::{unwrap_rtx, NackPair, RequestCounts, Requests},
};
use crate::media::{frame::EncodedFrame, transform::Refused};

/// Longest wait for a missing packet, on the longest paths.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Counters of a receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveCounts {
    pub frames: assemble::Counts,
    pub repair: RequestCounts,
    /// Retransmissions received; those without a packet in them, which probe the path; those of a stream that is not
    /// received.
    pub retransmissions: u64,
    pub probes: u64,
    pub unusable: u64,
    /// Key frames asked for.
    pub key_frame_requests: u64,
}

/// A missing packet is waited for during four round trips, for three requests and their answers, and for this long.
const MARGIN: Duration = Duration::from_millis(100);

/// One received track.
#[derive(Debug)]
pub struct VideoReceiver {
    assembler: Assembler,
    requests: Requests,
    key_frames: KeyFrameRequests,
    retransmissions: u64,
    probes: u64,
    unusable: u64,
}

impl VideoReceiver {
    /// `types`: the track's payload types, those of retransmissions included.
    pub fn new(types: PayloadTypes) -> Self {
        Self {
            assembler: Assembler::new(types),
            requests: Requests::new(assemble::USUAL_WAIT),
            key_frames: KeyFrameRequests::default(),
            retransmissions: 0,
            probes: 0,
            unusable: 0,
        }
    }

    /// The payload types changed by a negotiation.
    pub fn set_types(&mut self, types: PayloadTypes) {
        self.assembler.set_types(types);
    }

    /// Sets the round-trip time as measured: it decides when a packet is asked for again, and how long one is waited
    /// for.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        // A frame that comes a little late is better than all frames until the next key frame.
        let wait = (round_trip.min(MAX_WAIT) * 4 + MARGIN).clamp(assemble::USUAL_WAIT, MAX_WAIT);
        self.assembler.set_wait(wait);
        self.requests.set_times(round_trip, wait);
    }

    /// Accepts a packet of the track, media or retransmission. Any input is safe.
    pub fn receive(&mut self, mut packet: VideoPacket) -> Pushed {
        let mut retransmitted = false;
        if let PayloadKind::Rtx(original) = self.assembler.types().kind(packet.rtp.payload_type) {
            self.retransmissions += 1;
            let Some(ssrc) = self.assembler.ssrc() else {
                self.unusable += 1;
                return Pushed::Late;
            };
            let Some(rtp) = unwrap_rtx(packet.rtp, original, ssrc) else {
                self.probes += 1;
                return Pushed::Duplicate;
            };
            (packet.rtp, retransmitted) = (rtp, true);
        }
        let (sequence, now) = (packet.rtp.sequence, packet.rtp.arrival);
        if retransmitted && !self.assembler.is_near(sequence) {
            // It must not look like a restart.
            self.unusable += 1;
            return Pushed::Late;
        }
        let pushed = self.assembler.push(packet);
        match pushed {
            Pushed::Aside => {}
            Pushed::Restarted => {
                self.requests.reset();
                self.requests.received(sequence, false, now);
            }
            Pushed::Taken | Pushed::Duplicate | Pushed::Late => self.requests.received(sequence, retransmitted, now),
        }
        pushed
    }

    /// The next frame that is whole and can be decoded, in order; call until `None`. `transform` decrypts it.
    pub fn poll(
        &mut self,
        now: Duration,
        transform: &mut dyn FnMut(Codec, &mut EncodedFrame) -> Result<(), Refused>,
    ) -> Option<VideoFrame> {
        let frame = self.assembler.poll(now, transform);
        if frame.as_ref().is_some_and(|frame| frame.frame.key) {
            self.key_frames.answered();
        }
        if self.assembler.needs_key_frame() {
            self.key_frames.request();
        }
        if let Some(oldest) = self.assembler.oldest_wanted() {
            self.requests.forget_before(oldest);
        }
        frame
    }

    /// The application cannot use the next frames without a key frame: it dropped some, or its decoder failed.
    pub fn require_key_frame(&mut self) {
        self.assembler.require_key_frame();
        self.key_frames.request();
    }

    /// The packets to ask for now (NACK), into `pairs`, and whether to ask for a key frame (PLI). Call after
    /// [`VideoReceiver::poll`].
    pub fn feedback(&mut self, now: Duration, pairs: &mut Vec<NackPair>) -> bool {
        self.requests.poll(now, pairs);
        self.key_frames.poll(now)
    }

    /// When to call [`VideoReceiver::poll`] and [`VideoReceiver::feedback`] without a new packet.
    pub fn deadline(&self) -> Option<Duration> {
        let all = [self.assembler.deadline(), self.requests.deadline(), self.key_frames.deadline()];
        all.into_iter().flatten().min()
    }

    /// The sender changed, as after a reconnect; the counters stay.
    pub fn reset(&mut self) {
        self.assembler.reset();
        self.requests.reset();
        self.key_frames.answered();
    }

    pub fn counts(&self) -> ReceiveCounts {
        ReceiveCounts {
            frames: self.assembler.counts(),
            repair: self.requests.counts(),
            retransmissions: self.retransmissions,
            probes: self.probes,
            unusable: self.unusable,
            key_frame_requests: self.key_frames.sent(),
        }
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
