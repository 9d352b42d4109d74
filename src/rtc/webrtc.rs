//! The implementation of [`super::engine`]: only this module names the crate `rtc`.
//!
//! The crate has no socket, clock or task. `core` and the modules beside it drive it, and work around its bugs and
//! gaps. `call` and `driver` own the links, the clock and the task. Must not know: signalling, calls, codecs' contents.

mod call;
mod channels;
mod core;
#[cfg(test)]
mod core_tests;
mod crypto;
mod driver;
mod gather;
mod gathering;
mod handshake;
mod inbound;
mod links;
mod media;
mod negotiate;
mod nominate;
mod peer;
mod relay;
mod sctp_check;
mod tcp;
#[cfg(test)]
mod turn_server;
mod writer;

use self::call::{Call, PcCall};
use self::links::Network;
use super::engine::*;
use super::environment::Environment;
use super::tasks::Tasks;
use crate::lookup::Party;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

/// The WebRTC engine. Its peer connections run on the tokio runtime they were created in.
#[derive(Clone, Debug)]
pub struct WebRtcEngine {
    live: Arc<AtomicUsize>,
    /// `None`: the machine's own clock and sockets.
    environment: Option<Arc<dyn Environment>>,
    names: Party,
    policy: Arc<NetworkPolicy>,
    streams: Option<Arc<dyn Streams>>,
}

impl Default for WebRtcEngine {
    fn default() -> Self {
        Self { live: Arc::default(), environment: None, names: Party::new(), policy: Arc::default(), streams: None }
    }
}

impl WebRtcEngine {
    pub fn new() -> Self {
        Self::default()
    }

    /// An engine for one client. `streams`: for TURN servers over TCP and TLS.
    pub fn with(policy: NetworkPolicy, streams: Option<Arc<dyn Streams>>) -> Self {
        Self { policy: Arc::new(policy), streams, ..Self::default() }
    }

    /// An engine whose peer connections use another clock and network.
    pub fn in_environment(environment: Arc<dyn Environment>) -> Self {
        Self { environment: Some(environment), ..Self::default() }
    }

    /// Tasks of this engine that are alive; 0 once every peer connection is closed.
    pub fn live_tasks(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }
}

impl Engine for WebRtcEngine {
    fn call(&self) -> EngineResult<Arc<dyn MediaCall>> {
        let handle = tokio::runtime::Handle::try_current()
            .map_err(|_| error(EngineErrorKind::Internal, "media needs the library's runtime"))?;
        let tasks = Tasks::new(handle, self.live.clone());
        let (environment, policy, streams) = (self.environment.clone(), self.policy.clone(), self.streams.clone());
        let network = Network { tasks, environment, policy, streams };
        Ok(Arc::new(PcCall(Arc::new(Call::new(network, self.names)))))
    }
}

fn error(kind: EngineErrorKind, message: &str) -> EngineError {
    EngineError { kind, message: message.to_owned() }
}

fn closed() -> EngineError {
    error(EngineErrorKind::Closed, "the peer connection is closed")
}

/// Only the variant's name: the engine's error texts quote packets, addresses and SDP.
fn described(kind: EngineErrorKind, what: &str, cause: &dyn fmt::Debug) -> EngineError {
    struct Name(String);
    impl fmt::Write for Name {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            for c in s.chars() {
                if !c.is_ascii_alphanumeric() || self.0.len() >= 64 {
                    return Err(fmt::Error);
                }
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut name = Name(String::new());
    let _ = fmt::write(&mut name, format_args!("{cause:?}"));
    EngineError { kind, message: format!("cannot {what} ({})", name.0) }
}
