//! How a call is made: its servers, its engine, its settings. Must not know: what a call does with them.

use super::{frames::AudioOptions, inflow::Bounds};
use crate::core::Config;
use crate::media::transform::Transforms;
use crate::rtc::engine::Engine;
use crate::signalling::Protocol;
use std::{sync::Arc, time::Duration};

/// How a call reaches its servers; shared by the calls of one client.
#[derive(Clone)]
pub struct Connection {
    pub protocol: Arc<dyn Protocol>,
    pub engine: Arc<dyn Engine>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

#[derive(Clone, Debug)]
pub struct CallOptions {
    pub config: Config,
    /// False: a track is received only when the application asks for it.
    pub auto_subscribe: bool,
    pub audio: AudioOptions,
    /// How much of what participants send may wait for the application.
    pub data: Bounds,
    /// How long what was accepted may still be sent when the call is left or a track freed; zero: not at all.
    pub drain: Duration,
    /// What every frame passes, in both directions.
    pub transforms: Arc<dyn Transforms>,
}
