//! Sound between an application and the network: PCM into Opus packets, Opus packets into PCM.
//!
//! Must not know: clocks, sockets, threads, tokio, randomness, the WebRTC engine. Time is handed in
//! as a [`std::time::Duration`] since an epoch of the caller's choice, chance as a seed.

mod delay;
mod fifo;
mod jitter;
pub mod level;
pub mod mix;
pub mod opus;
mod opus_queue;
pub mod pacer;
pub mod payload;
mod playout;
pub mod receive;
pub mod red;
pub mod resample;
pub mod send;

/// Clock rate of Opus in RTP, whatever the rate of the sound inside (RFC 7587 section 4.1).
pub const RTP_RATE: u32 = 48_000;

/// RTP ticks of the 20 ms the library works in.
pub const FRAME_TICKS: u32 = 960;

/// Sample rates an application may use, in Hz.
pub const RATES: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// Largest RTP payload taken or given, in bytes: what fits one datagram.
pub const MAX_PAYLOAD: usize = 1_500;
