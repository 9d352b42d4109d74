//! Hooks that process every frame between codec and packets: for encryption, or for read-only use such as recording.
//!
//! Must not know: codecs, packets, keys.

use super::frame::EncodedFrame;

/// The frame must not be passed on: it could not be decrypted, or is not in the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Processes every frame of one track in one direction. Sent frames: after the encoder, before packetization. Received
/// frames: after depacketization, before anything reads their payload.
pub trait FrameTransform: Send {
    /// May change the frame. Received frames are passed in order of arrival, not in sequence order, and may be
    /// duplicates.
    ///
    /// # Errors
    /// [`Refused`]: the frame is dropped and counted.
    fn transform(&mut self, frame: &mut EncodedFrame) -> Result<(), Refused>;
}

/// Leaves frames unchanged. Zero-sized; does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl FrameTransform for Identity {
    fn transform(&mut self, _: &mut EncodedFrame) -> Result<(), Refused> {
        Ok(())
    }
}

/// Creates the transforms of a call's tracks.
pub trait Transforms: Send + Sync + std::fmt::Debug {
    /// For a sent track.
    fn sending(&self) -> Box<dyn FrameTransform>;
    /// For a received track.
    fn receiving(&self) -> Box<dyn FrameTransform>;
}

/// Leaves every frame unchanged.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTransforms;

impl Transforms for NoTransforms {
    fn sending(&self) -> Box<dyn FrameTransform> {
        // Zero-sized type: nothing is allocated.
        Box::new(Identity)
    }

    fn receiving(&self) -> Box<dyn FrameTransform> {
        Box::new(Identity)
    }
}
