//! The engine behind [`super::engine`]: this module alone names the crates `webrtc` and `rtc`.
//!
//! Must not know: signalling, calls, codecs' contents. Everything the engine gets wrong or leaves
//! open is made good here: its driver's silent end, `Closed` that is not told, readers that must
//! outlive a track, calls that must not hang, errors that quote packets.

mod channel;
mod media;
mod peer;
mod reader;
mod runtime;
mod writer;

use self::channel::Channels;
use self::media::{ice_servers, media_engine, setting_engine};
use self::peer::PcPeer;
use self::reader::Handler;
use self::runtime::{Driver, EngineRuntime};
use super::early::IceUp;
use super::engine::*;
use super::environment::Environment;
use super::gate::Gate;
use super::sdp;
use super::tasks::Tasks;
use super::udp::bind_addresses;
use crate::core::model::PeerKind;
use async_trait::async_trait;
use parking_lot::Mutex;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{watch, Notify};
use webrtc::peer_connection::{PeerConnection, PeerConnectionBuilder, RTCConfigurationBuilder};

/// The longest that one call into the engine may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that closing may take, and that a caller of `close` waits.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(450);

/// The WebRTC engine. Makes peer connections that live on the tokio runtime they were made in.
#[derive(Clone, Debug, Default)]
pub struct WebRtcEngine {
    live: Arc<AtomicUsize>,
    /// The machine, when there is no other.
    environment: Option<Arc<dyn Environment>>,
}

impl WebRtcEngine {
    pub fn new() -> Self {
        Self::default()
    }

    /// An engine whose peer connections live by another clock and another network.
    pub fn in_environment(environment: Arc<dyn Environment>) -> Self {
        Self { live: Arc::default(), environment: Some(environment) }
    }

    /// Tasks of this engine that are alive; 0 once every peer connection is closed.
    pub fn live_tasks(&self) -> usize {
        self.live.load(Ordering::Acquire)
    }
}

#[async_trait]
impl Engine for WebRtcEngine {
    async fn peer(
        &self,
        kind: PeerKind,
        options: PeerOptions,
        observer: Arc<dyn PeerObserver>,
    ) -> EngineResult<Arc<dyn Peer>> {
        let handle = tokio::runtime::Handle::try_current()
            .map_err(|_| error(EngineErrorKind::Internal, "a peer connection needs the library's runtime"))?;
        let shared = Arc::new(Shared {
            kind,
            options,
            environment: self.environment.clone(),
            gate: Arc::new(Gate::new(observer)),
            tasks: Tasks::new(handle, self.live.clone()),
            alert: Arc::default(),
            open: Mutex::new(None),
            local: Mutex::default(),
            readers: Mutex::default(),
            channels: Channels::default(),
            closed: watch::Sender::new(false),
            next_reader: AtomicUsize::new(0),
        });
        shared.open().await?;
        let watch = watch_dtls(Arc::downgrade(&shared), shared.alert.clone(), shared.closed.subscribe());
        let gate = shared.gate.clone();
        shared.tasks.spawn_guarded("dtls", watch, move || gate.state(PeerState::Failed));
        Ok(Arc::new(PcPeer::new(shared)))
    }
}

fn error(kind: EngineErrorKind, message: &str) -> EngineError {
    EngineError { kind, message: message.to_owned() }
}

fn closed() -> EngineError {
    error(EngineErrorKind::Closed, "the peer connection is closed")
}

/// The variant's name only: the engine's texts quote packets, addresses and SDP.
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

/// The engine's object and the watch over its driver.
struct Open {
    pc: Arc<dyn PeerConnection>,
    driver: Arc<Driver>,
}

/// What a peer connection's parts share. Holds the engine's object until `close` takes it.
struct Shared {
    kind: PeerKind,
    options: PeerOptions,
    environment: Option<Arc<dyn Environment>>,
    gate: Arc<Gate>,
    tasks: Tasks,
    /// Woken by datagrams that look like DTLS alerts.
    alert: Arc<Notify>,
    open: Mutex<Option<Open>>,
    /// First mid and ICE user name fragment of the local description, for candidates.
    local: Mutex<(String, String)>,
    /// By mid: who reads its track now, and how to tell that reader that it is over.
    readers: Mutex<HashMap<String, (usize, Arc<Notify>)>>,
    channels: Channels,
    closed: watch::Sender<bool>,
    next_reader: AtomicUsize,
}

impl Shared {
    fn pc(&self) -> EngineResult<Arc<dyn PeerConnection>> {
        if self.gate.is_closing() {
            return Err(closed());
        }
        self.open.lock().as_ref().map(|open| open.pc.clone()).ok_or_else(closed)
    }

    /// Makes the engine's object; one made before is given up without a word.
    async fn open(self: &Arc<Self>) -> EngineResult<()> {
        let (driver, ice) = (Arc::new(Driver::default()), Arc::new(IceUp::default()));
        let runtime = EngineRuntime {
            tasks: self.tasks.clone(),
            gate: self.gate.clone(),
            alert: self.alert.clone(),
            driver: driver.clone(),
            ice: ice.clone(),
            environment: self.environment.clone(),
        };
        let (media, registry) =
            media_engine(self.kind).map_err(|e| described(EngineErrorKind::Internal, "set up media", &e))?;
        let interfaces = rtc::shared::ifaces::ifaces().unwrap_or_default();
        let interfaces = interfaces.into_iter().filter_map(|interface| Some(interface.addr?.ip()));
        let servers = ice_servers(&self.options);
        let build = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::default().with_ice_servers(servers).build())
            .with_setting_engine(setting_engine(self.kind, self.options.disconnected_after))
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler { shared: Arc::downgrade(self), ice }))
            .with_runtime(Arc::new(runtime))
            .with_data_channel_send_buffer_limit(MAX_BUFFERED)
            .with_udp_addrs(bind_addresses(self.options.loopback_only, interfaces))
            .build();
        let pc: Arc<dyn PeerConnection> = match tokio::time::timeout(CALL_TIMEOUT, build).await {
            Ok(Ok(pc)) => Arc::new(pc),
            Ok(Err(e)) => return Err(described(EngineErrorKind::System, "open the peer connection", &e)),
            Err(_) => return Err(error(EngineErrorKind::Internal, "open the peer connection: engine did not answer")),
        };
        let mut open = self.open.lock();
        let unused = if self.gate.is_closing() {
            Some(pc)
        } else {
            driver.arm(&self.gate);
            open.replace(Open { pc, driver }).map(|old| {
                old.driver.disarm();
                old.pc
            })
        };
        drop(open);
        if let Some(pc) = unused {
            self.tasks.spawn("unused", async move {
                let _ = tokio::time::timeout(CLOSE_TIMEOUT, pc.close()).await;
            });
        }
        if self.gate.is_closing() {
            return Err(closed());
        }
        Ok(())
    }

    fn note_local(&self, sdp: &str) {
        let mid = sdp::mids(sdp).first().copied().unwrap_or("0").to_owned();
        *self.local.lock() = (mid, sdp::ice_ufrag(sdp).to_owned());
    }

    /// Runs one call into the engine: bounded, its errors stripped to a name.
    async fn call<T>(
        &self,
        kind: EngineErrorKind,
        what: &str,
        call: impl Future<Output = webrtc::error::Result<T>>,
    ) -> EngineResult<T> {
        let result = tokio::time::timeout(CALL_TIMEOUT, call).await;
        if self.gate.is_closing() {
            return Err(closed());
        }
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(webrtc::error::Error::ErrConnectionClosed)) => Err(closed()),
            Ok(Err(e)) => Err(described(kind, what, &e)),
            Err(_) => Err(EngineError {
                kind: EngineErrorKind::Internal,
                message: format!("cannot {what}: engine did not answer"),
            }),
        }
    }

    /// Starts closing unless that has begun; `closed` tells when it is done.
    fn start_close(self: &Arc<Self>) {
        if !self.gate.begin_close() {
            return;
        }
        let shared = self.clone();
        let open = self.open.lock().take();
        let at_end = self.clone();
        self.tasks.spawn_then(
            "closing",
            async move {
                if let Some(open) = open {
                    let _ = tokio::time::timeout(CLOSE_TIMEOUT, open.pc.close()).await;
                }
                shared.readers.lock().clear();
            },
            // Also when the runtime drops the task: a caller of `close` must not wait for it.
            move || {
                at_end.gate.state(PeerState::Closed);
                at_end.closed.send_replace(true);
            },
        );
    }

    async fn dtls_closed(&self) -> bool {
        let Ok(pc) = self.pc() else { return false };
        if let Some(sctp) = pc.sctp().await {
            return matches!(sctp.transport().state().await, Ok(RTCDtlsTransportState::Closed));
        }
        for transceiver in pc.get_transceivers().await {
            let transport = if let Ok(Some(sender)) = transceiver.sender().await {
                sender.transport().await
            } else if let Ok(Some(receiver)) = transceiver.receiver().await {
                receiver.transport().await
            } else {
                continue;
            };
            if let Ok(Some(transport)) = transport {
                return matches!(transport.state().await, Ok(RTCDtlsTransportState::Closed));
            }
        }
        false
    }
}

/// The engine does not tell when the other side ends DTLS. A datagram that looks like a DTLS
/// alert is the reason to look; what counts is the engine's own view afterwards.
async fn watch_dtls(shared: Weak<Shared>, alert: Arc<Notify>, mut done: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = alert.notified() => {}
            _ = done.wait_for(|done| *done) => return,
        }
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let Some(shared) = shared.upgrade() else { return };
            if tokio::time::timeout(CALL_TIMEOUT, shared.dtls_closed()).await.unwrap_or(false) {
                shared.gate.state(PeerState::Closed);
                return;
            }
        }
    }
}
