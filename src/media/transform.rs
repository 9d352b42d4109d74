//! What changes every frame between codec and packets: the place of encryption, and of who only looks (recording).
//!
//! Must not know: codecs, packets, keys.

use super::frame::EncodedFrame;

/// The frame is not to go on: it could not be decrypted, or has not the form expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// Sees every frame of one track in one direction: of what is sent after the encoder and before packets are made, of
/// what is received after packets became frames and before anything looks at what is in them.
pub trait FrameTransform: Send {
    /// May change the frame. Frames received come as they arrive, not in order, and may come twice.
    ///
    /// # Errors
    /// [`Refused`]: the frame is dropped and counted.
    fn transform(&mut self, frame: &mut EncodedFrame) -> Result<(), Refused>;
}

/// Leaves frames as they are. Takes no memory, and nothing is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identity;

impl FrameTransform for Identity {
    fn transform(&mut self, _: &mut EncodedFrame) -> Result<(), Refused> {
        Ok(())
    }
}

/// Makes the transforms of a call's tracks.
pub trait Transforms: Send + Sync + std::fmt::Debug {
    /// For a track that is sent.
    fn sending(&self) -> Box<dyn FrameTransform>;
    /// For a track that is received.
    fn receiving(&self) -> Box<dyn FrameTransform>;
}

/// Every frame stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoTransforms;

impl Transforms for NoTransforms {
    fn sending(&self) -> Box<dyn FrameTransform> {
        // Of a type without size: nothing is allocated.
        Box::new(Identity)
    }

    fn receiving(&self) -> Box<dyn FrameTransform> {
        Box::new(Identity)
    }
}
