//! What a video track exchanges with the RTP code below it and the application above it.
//!
//! Must not know: SSRCs' meaning, order, time.

use super::codec::{Codec, Size};
use crate::media::{frame::EncodedFrame, rtp::RtpPacket};
use bytes::Bytes;

/// How a frame must be turned for display.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    #[default]
    None,
    /// Clockwise.
    Quarter,
    Half,
    /// Clockwise by 270 degrees.
    ThreeQuarters,
}

impl Rotation {
    /// Of the byte of the header extension (3GPP TS 26.114 section 7.4.5): the lowest two bits.
    pub fn of_extension(byte: u8) -> Self {
        match byte & 3 {
            0 => Rotation::None,
            1 => Rotation::Quarter,
            2 => Rotation::Half,
            _ => Rotation::ThreeQuarters,
        }
    }

    /// Clockwise, in degrees.
    pub fn degrees(self) -> u32 {
        self as u32 * 90
    }
}

/// A received packet with the header extensions that only video has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoPacket {
    pub rtp: RtpPacket,
    /// The dependency descriptor as it came; empty if there is none.
    pub descriptor: Bytes,
    pub rotation: Option<Rotation>,
}

/// A received frame: whole, and decodable after the frames handed out before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFrame {
    /// `payload`: VP8 and VP9 as the decoder takes them, H264 in Annex B form, AV1 as OBUs with sizes. VP9 and AV1: all
    /// spatial layers of one picture; `layer` has the highest.
    pub frame: EncodedFrame,
    pub codec: Codec,
    /// Size of this picture or of the last key frame; `None` if it could not be read.
    pub size: Option<Size>,
    pub rotation: Rotation,
    /// A tiny frame that the SFU sends when a track is muted or ends. `size` is that of the frames before it.
    pub blank: bool,
}
