//! Baseline of `make bench`: sessions on the async crate `webrtc` that publish and receive, with the same SFU, packets
//! and output lines as `benches/worker.c packets` (tools/README.md). It does not use the library.
//!
//! `offhook-baseline packets --url URL --prefix P --n N --count C`
#![forbid(unsafe_code)]

mod packets;
mod peers;
mod signalling;
mod sockets;

fn main() -> std::process::ExitCode {
    packets::program::<peers::Async>("offhook-baseline")
}
