//! Wire types of the SFU protocols, generated from the `.proto` files beside this crate.
//!
//! Binary encoding by `prost`; proto3 JSON, which the Stream protocol also uses, by `serde`. Contains no transports or
//! rules.
#![forbid(unsafe_code)]
#![allow(clippy::all, missing_docs)]

pub mod models {
    include!(concat!(env!("OUT_DIR"), "/stream.video.sfu.models.rs"));
    include!(concat!(env!("OUT_DIR"), "/stream.video.sfu.models.serde.rs"));
}
pub mod signal {
    include!(concat!(env!("OUT_DIR"), "/stream.video.sfu.signal.rs"));
    include!(concat!(env!("OUT_DIR"), "/stream.video.sfu.signal.serde.rs"));
}
pub mod event {
    include!(concat!(env!("OUT_DIR"), "/stream.video.sfu.event.rs"));
    include!(concat!(env!("OUT_DIR"), "/stream.video.sfu.event.serde.rs"));
}
/// The LiveKit protocol: binary only.
pub mod livekit {
    include!(concat!(env!("OUT_DIR"), "/livekit.rs"));
}
pub use pbjson_types as google;
