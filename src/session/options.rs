//! Options of a call: its servers, its engine, its settings. Must not know: what a call does with them.

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
    /// False: a track is received only when the application subscribes to it.
    pub auto_subscribe: bool,
    pub audio: AudioOptions,
    /// Bounds of the participants' data queued for the application.
    pub data: Bounds,
    /// How long accepted data and audio may still be sent when the call is left or a track freed; zero: not at all.
    pub drain: Duration,
    /// Transform every frame, in both directions.
    pub transforms: Arc<dyn Transforms>,
}
