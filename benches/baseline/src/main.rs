//! What `make bench` compares with: sessions on the async crate `webrtc`, which publish and hear, with the SFU, the
//! packets and the lines of `benches/worker.c packets` (tools/README.md). Nothing of the library is in it.
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
