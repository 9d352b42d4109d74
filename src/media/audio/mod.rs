//! Audio: PCM into Opus frames, Opus frames into PCM.
//!
//! Must not know: packets to be sent, other kinds of tracks.

mod delay;
mod fifo;
mod input;
mod jitter;
pub mod level;
pub mod mix;
pub mod opus;
mod opus_queue;
pub mod payload;
mod playout;
pub mod receive;
pub mod red;
pub mod resample;
pub mod send;

use super::MAX_PAYLOAD;

/// Clock rate of Opus in RTP, whatever the sample rate of the audio (RFC 7587 section 4.1).
pub const RTP_RATE: u32 = 48_000;

/// RTP ticks of 20 ms, the unit in which PCM is encoded and played.
pub const FRAME_TICKS: u32 = 960;

/// Sample rates an application may use, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;
