//! Frames of one track that wait for the application. Bounded; when it is full, everything up to the next key frame is
//! dropped: late video is of no use, and frames behind a dropped one cannot be decoded.
//!
//! Must not know: who reads, where frames come from.

use std::collections::VecDeque;

use super::packet::VideoFrame;

/// Bounds: half a second at 30 frames per second, and the largest frames that an assembler makes.
pub const MAX_FRAMES: usize = 16;
pub const MAX_BYTES: usize = 4 << 20;

/// What happened to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queued {
    Yes,
    /// Frames were dropped, this one or older ones, and nothing is queued before the next key frame: ask for one.
    NeedsKeyFrame,
    /// Older frames were dropped; the queue begins with a key frame.
    Shortened,
}

/// A bounded queue of frames.
#[derive(Debug)]
pub struct FrameQueue {
    frames: VecDeque<VideoFrame>,
    bytes: usize,
    max_frames: usize,
    max_bytes: usize,
    waiting: bool,
    dropped: u64,
    /// Dropped since the last frame that was taken.
    lost: u32,
}

impl Default for FrameQueue {
    fn default() -> Self {
        Self::new(MAX_FRAMES, MAX_BYTES)
    }
}

impl FrameQueue {
    /// For at most so many frames and bytes. One frame always fits, whatever its size.
    pub fn new(max_frames: usize, max_bytes: usize) -> Self {
        let max_frames = max_frames.max(1);
        Self { frames: VecDeque::new(), bytes: 0, max_frames, max_bytes, waiting: false, dropped: 0, lost: 0 }
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Frames dropped since the queue was created.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn drop_frames(&mut self, count: usize) {
        for frame in self.frames.drain(..count) {
            self.bytes -= frame.frame.payload.len();
            self.lost = self.lost.saturating_add(1).saturating_add(frame.frame.lost_before);
            self.dropped += 1;
        }
    }

    /// Appends a frame, or drops it while a key frame is waited for.
    pub fn push(&mut self, frame: VideoFrame) -> Queued {
        let size = frame.frame.payload.len();
        self.waiting &= !frame.frame.key;
        self.bytes += size;
        self.frames.push_back(frame);
        if self.waiting {
            self.drop_frames(self.frames.len());
            return Queued::NeedsKeyFrame;
        }
        let is_full = |queue: &Self| queue.frames.len() > queue.max_frames || queue.bytes > queue.max_bytes;
        if !is_full(self) {
            return Queued::Yes;
        }
        while is_full(self) && self.frames.len() > 1 {
            let next_key = self.frames.iter().skip(1).position(|frame| frame.frame.key).map(|index| index + 1);
            match next_key {
                Some(index) => self.drop_frames(index),
                None => {
                    self.drop_frames(self.frames.len());
                    self.waiting = true;
                    return Queued::NeedsKeyFrame;
                }
            }
        }
        Queued::Shortened
    }

    /// The oldest frame. `lost_before` includes those dropped here.
    pub fn pop(&mut self) -> Option<VideoFrame> {
        let mut frame = self.frames.pop_front()?;
        self.bytes -= frame.frame.payload.len();
        frame.frame.lost_before = frame.frame.lost_before.saturating_add(std::mem::take(&mut self.lost));
        Some(frame)
    }

    /// Drops everything, as when a track is unsubscribed from. The next frame that is queued must be a key frame.
    pub fn clear(&mut self) {
        self.drop_frames(self.frames.len());
        self.waiting = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        frame::EncodedFrame,
        video::{codec::Codec, packet::Rotation},
    };
    use bytes::Bytes;

    fn frame(number: u32, key: bool, size: usize) -> VideoFrame {
        let frame =
            EncodedFrame { rtp_time: number, key, payload: Bytes::from(vec![0; size]), ..EncodedFrame::default() };
        VideoFrame { frame, codec: Codec::Vp8, size: None, rotation: Rotation::None, blank: false }
    }

    #[test]
    fn unread_frames_are_dropped_to_the_next_key_frame() {
        let mut queue = FrameQueue::new(4, 1_000);
        for number in 0..4 {
            assert_eq!(queue.push(frame(number, number == 0, 10)), Queued::Yes);
        }
        assert_eq!(queue.push(frame(4, false, 10)), Queued::NeedsKeyFrame);
        assert_eq!((queue.len(), queue.dropped()), (0, 5));
        assert_eq!(queue.push(frame(5, false, 10)), Queued::NeedsKeyFrame);
        for number in 6..10 {
            assert_eq!(queue.push(frame(number, number % 2 == 0, 10)), Queued::Yes);
        }
        assert_eq!(queue.push(frame(10, true, 10)), Queued::Shortened, "to the key frame 8");
        let first = queue.pop().expect("a frame");
        assert_eq!((first.frame.rtp_time, first.frame.key, first.frame.lost_before), (8, true, 8));
        assert_eq!(queue.pop().map(|frame| (frame.frame.rtp_time, frame.frame.lost_before)), Some((9, 0)));
        queue.clear();
        assert_eq!(
            (queue.push(frame(11, false, 1)), queue.push(frame(12, true, 1))),
            (Queued::NeedsKeyFrame, Queued::Yes)
        );
    }

    #[test]
    fn bytes_are_bounded_and_one_frame_always_fits() {
        let mut queue = FrameQueue::new(100, 1_000);
        queue.push(frame(0, true, 600));
        assert_eq!(queue.push(frame(1, false, 600)), Queued::NeedsKeyFrame);
        assert_eq!(queue.push(frame(2, true, 5_000)), Queued::Shortened);
        assert_eq!(queue.len(), 1);
        assert_eq!(queue.push(frame(3, true, 10)), Queued::Shortened);
        assert_eq!(queue.pop().map(|frame| frame.frame.rtp_time), Some(3));
        assert_eq!((queue.pop(), queue.bytes), (None, 0));
    }
}
