//! The RTP part of every kind of track: packets, and when they are sent.
//!
//! Must not know: codecs, sockets, the WebRTC engine.

pub mod pacer;
mod packet;
pub mod packetize;
pub mod sequence;

pub use packet::{RtpOut, RtpPacket};

/// First sequence number and timestamp of a stream (RFC 3550 section 5.1), from a seed. Small seeds give different
/// values as well.
pub fn first_numbers(seed: u64) -> (u16, u32) {
    // The finaliser of SplitMix64 spreads it over all bits.
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z as u16, (z >> 32) as u32)
}
