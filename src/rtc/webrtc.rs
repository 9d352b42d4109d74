//! The engine behind [`super::engine`]: this module alone names the crates `webrtc` and `rtc`.
//!
//! Must not know: signalling, calls, codecs' contents. Everything the engine gets wrong or leaves
//! open is made good here: its driver's silent end, `Closed` that is not told, readers that must
//! outlive a track, calls that must not hang, errors that quote packets.

mod media;
mod reader;
mod runtime;
mod writer;

use self::media::{ice_servers, media_engine, opus, setting_engine};
use self::reader::Handler;
use self::runtime::{Driver, EngineRuntime};
use self::writer::Writer;
use super::candidate::{self, Remote};
use super::engine::*;
use super::gate::Gate;
use super::sdp;
use super::tasks::Tasks;
use super::udp::bind_addresses;
use crate::core::model::PeerKind;
use async_trait::async_trait;
use parking_lot::Mutex;
use rtc::peer_connection::configuration::RTCOfferOptions;
use rtc::peer_connection::transport::RTCDtlsTransportState;
use rtc::rtp_transceiver::rtp_sender::{RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind};
use rtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{watch, Mutex as AsyncMutex, Notify};
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, RTCConfigurationBuilder, RTCIceCandidateInit,
    RTCSessionDescription, RTCStatsReportEntry, StatsSelector,
};
use webrtc::rtp_transceiver::RtpTransceiver;

/// The longest that one call into the engine may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that closing may take, and that a caller of `close` waits.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(450);
/// Most candidates taken for one ICE generation of the other side.
const MAX_TRICKLED: usize = 64;

/// The WebRTC engine. Makes peer connections that live on the tokio runtime they were made in.
#[derive(Clone, Debug, Default)]
pub struct WebRtcEngine {
    live: Arc<AtomicUsize>,
}

impl WebRtcEngine {
    pub fn new() -> Self {
        Self::default()
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
            gate: Arc::new(Gate::new(observer)),
            tasks: Tasks::new(handle, self.live.clone()),
            alert: Arc::default(),
            open: Mutex::new(None),
            local: Mutex::default(),
            readers: Mutex::default(),
            closed: watch::Sender::new(false),
            next_reader: AtomicUsize::new(0),
        });
        shared.open().await?;
        let watch = watch_dtls(Arc::downgrade(&shared), shared.alert.clone(), shared.closed.subscribe());
        shared.tasks.spawn(watch);
        Ok(Arc::new(PcPeer { shared, negotiation: AsyncMutex::default(), trickled: Mutex::default() }))
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
    gate: Arc<Gate>,
    tasks: Tasks,
    /// Woken by datagrams that look like DTLS alerts.
    alert: Arc<Notify>,
    open: Mutex<Option<Open>>,
    /// First mid and ICE user name fragment of the local description, for candidates.
    local: Mutex<(String, String)>,
    /// By mid: who reads its track now, and how to tell that reader that it is over.
    readers: Mutex<HashMap<String, (usize, Arc<Notify>)>>,
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
        let driver = Arc::new(Driver::default());
        let runtime = EngineRuntime {
            tasks: self.tasks.clone(),
            gate: self.gate.clone(),
            alert: self.alert.clone(),
            driver: driver.clone(),
        };
        let (media, registry) =
            media_engine(self.kind).map_err(|e| described(EngineErrorKind::Internal, "set up media", &e))?;
        let interfaces = rtc::shared::ifaces::ifaces().unwrap_or_default();
        let interfaces = interfaces.into_iter().filter_map(|interface| Some(interface.addr?.ip()));
        let servers = ice_servers(&self.options.ice_servers);
        let build = PeerConnectionBuilder::new()
            .with_configuration(RTCConfigurationBuilder::default().with_ice_servers(servers).build())
            .with_setting_engine(setting_engine(self.kind))
            .with_media_engine(media)
            .with_interceptor_registry(registry)
            .with_handler(Arc::new(Handler(Arc::downgrade(self))))
            .with_runtime(Arc::new(runtime))
            .with_udp_addrs(bind_addresses(self.options.loopback_only, interfaces))
            .build();
        let pc: Arc<dyn PeerConnection> = match tokio::time::timeout(CALL_TIMEOUT, build).await {
            Ok(Ok(pc)) => Arc::new(pc),
            Ok(Err(e)) => return Err(described(EngineErrorKind::System, "open the peer connection", &e)),
            Err(_) => {
                return Err(error(
                    EngineErrorKind::Internal,
                    "open the peer connection: engine did not answer",
                ))
            }
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
            self.tasks.spawn(async move {
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

#[derive(Default)]
struct Negotiation {
    senders: Vec<Sender>,
    remote_offer: String,
    /// The answer as we sent it and as the engine wrote it; it takes back only its own.
    answer: Option<(String, String)>,
    remote_ufrag: String,
    /// Whether a negotiation was finished, ever.
    done: bool,
    /// Whether the engine's object is a new one to which candidates must be given again.
    reopened: bool,
}

/// Candidates taken for the other side's current ICE generation.
#[derive(Default)]
struct Trickled {
    count: usize,
    /// Their texts, kept until the first negotiation is finished.
    kept: Vec<String>,
    done: bool,
}

struct Sender {
    spec: AudioSenderSpec,
    transceiver: Arc<dyn RtpTransceiver>,
    writer: Arc<Writer>,
}

struct PcPeer {
    shared: Arc<Shared>,
    negotiation: AsyncMutex<Negotiation>,
    trickled: Mutex<Trickled>,
}

impl Drop for PcPeer {
    fn drop(&mut self) {
        self.shared.start_close();
    }
}

impl PcPeer {
    async fn negotiation(&self) -> EngineResult<tokio::sync::MutexGuard<'_, Negotiation>> {
        match tokio::time::timeout(CALL_TIMEOUT, self.negotiation.lock()).await {
            Ok(_) if self.shared.gate.is_closing() => Err(closed()),
            Ok(guard) => Ok(guard),
            Err(_) => {
                Err(error(EngineErrorKind::Internal, "another negotiation of this peer connection hangs"))
            }
        }
    }

    fn remote(&self, n: &mut Negotiation, sdp: &str) -> EngineResult<String> {
        let prepared = sdp::prepare_remote(sdp).map_err(|e| error(EngineErrorKind::Invalid, e))?;
        let ufrag = sdp::ice_ufrag(&prepared);
        if n.remote_ufrag != ufrag {
            n.remote_ufrag = ufrag.to_owned();
            let mut trickled = self.trickled.lock();
            (trickled.count, trickled.kept) = (0, Vec::new());
        }
        Ok(prepared)
    }

    /// Notes that both descriptions are set.
    fn finished(&self, n: &mut Negotiation) {
        n.done = true;
        let mut trickled = self.trickled.lock();
        (trickled.done, trickled.kept) = (true, Vec::new());
    }

    /// Drops what is pending, as the engine sees it.
    async fn undo(&self, pc: &Arc<dyn PeerConnection>, n: &mut Negotiation) -> EngineResult<()> {
        let remote = async { Ok(pc.pending_remote_description().await.is_some()) };
        let remote = self.shared.call(EngineErrorKind::Internal, "roll back", remote).await?;
        if remote && !n.done && n.senders.is_empty() {
            // The engine starts its transports with the first offer and refuses to start them for
            // another. Nothing was said yet that binds this side: begin anew.
            n.reopened = true;
            return self.shared.open().await;
        }
        let undo = async {
            let rollback = RTCSessionDescription::rollback(None)?;
            if pc.pending_local_description().await.is_some() {
                pc.set_local_description(rollback).await
            } else if remote {
                pc.set_remote_description(rollback).await
            } else {
                Ok(())
            }
        };
        self.shared.call(EngineErrorKind::Internal, "roll back", undo).await
    }
}

#[async_trait]
impl Peer for PcPeer {
    async fn add_audio(&self, spec: AudioSenderSpec) -> EngineResult<Arc<dyn RtpWriter>> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let is_token =
            |id: &str| !id.is_empty() && id.len() <= 256 && id.bytes().all(|b| b.is_ascii_graphic());
        if !is_token(&spec.stream_id) || !is_token(&spec.track_id) {
            return Err(error(
                EngineErrorKind::Invalid,
                "stream and track id must be printable ASCII without spaces",
            ));
        }
        if n.senders.iter().any(|sender| sender.spec.track_id == spec.track_id) {
            return Err(error(EngineErrorKind::Invalid, "the track id is taken"));
        }
        let ssrc = getrandom::u32().map_err(|_| error(EngineErrorKind::System, "no randomness"))?.max(1);
        let encoding = RTCRtpEncodingParameters {
            rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
            active: true,
            codec: opus(),
            ..Default::default()
        };
        let (stream, track) = (spec.stream_id.clone(), spec.track_id.clone());
        let track = MediaStreamTrack::new(stream, track.clone(), track, RtpCodecKind::Audio, vec![encoding]);
        let track = Arc::new(TrackLocalStaticRTP::new(track));
        let init = RTCRtpTransceiverInit {
            direction: RTCRtpTransceiverDirection::Sendonly,
            streams: vec![spec.stream_id.clone()],
            send_encodings: vec![],
        };
        let add = pc.add_transceiver_from_track(track.clone(), Some(init));
        let transceiver = self.shared.call(EngineErrorKind::Internal, "add a sender", add).await?;
        let writer =
            Arc::new(Writer { track, ssrc, gate: self.shared.gate.clone(), negotiated: AtomicU32::new(0) });
        n.senders.push(Sender { spec, transceiver, writer: writer.clone() });
        Ok(writer)
    }

    async fn offer(&self, ice_restart: bool) -> EngineResult<LocalOffer> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        if n.senders.is_empty() {
            return Err(error(EngineErrorKind::Invalid, "there is no sender to offer"));
        }
        let shared = &self.shared;
        let options = ice_restart.then(|| RTCOfferOptions { ice_restart: true });
        let offer =
            shared.call(EngineErrorKind::Internal, "create an offer", pc.create_offer(options)).await?;
        let text = offer.sdp.clone();
        shared.note_local(&text);
        let set =
            shared.call(EngineErrorKind::Internal, "set the offer", pc.set_local_description(offer)).await;
        if let Err(e) = set {
            let _ = self.undo(&pc, &mut n).await;
            return Err(e);
        }
        let mut mids = Vec::with_capacity(n.senders.len());
        let mut described = Vec::with_capacity(n.senders.len());
        for sender in &n.senders {
            let mid = shared.call(EngineErrorKind::Internal, "read a mid", sender.transceiver.mid()).await?;
            let mid = mid.ok_or_else(|| error(EngineErrorKind::Internal, "a sender has no mid"))?;
            described.push((mid.clone(), sender.spec.stereo, sender.spec.dtx));
            mids.push(mid);
        }
        Ok(LocalOffer { sdp: sdp::offer_passive(&sdp::describe_senders(&text, &described)), mids })
    }

    async fn set_answer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let sdp = self.remote(&mut n, &sdp)?;
        let shared = &self.shared;
        let pending = async { Ok(pc.pending_local_description().await) };
        let Some(offer) = shared.call(EngineErrorKind::Internal, "read the offer", pending).await? else {
            return Err(error(EngineErrorKind::Invalid, "there is no offer to answer"));
        };
        // The engine forgets its offer before it looks for the m-lines: look first.
        if sdp::mids(&offer.sdp) != sdp::mids(&sdp) {
            return Err(error(EngineErrorKind::Invalid, "the answer is for another offer"));
        }
        let answer = RTCSessionDescription::answer(sdp)
            .map_err(|e| described(EngineErrorKind::Invalid, "read the answer", &e))?;
        shared.call(EngineErrorKind::Invalid, "use the answer", pc.set_remote_description(answer)).await?;
        self.finished(&mut n);
        for sender in &n.senders {
            sender.writer.negotiate(shared, &sender.transceiver).await?;
        }
        Ok(())
    }

    async fn rollback(&self) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        n.answer = None;
        self.undo(&pc, &mut n).await
    }

    async fn set_offer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        n.answer = None;
        let prepared = self.remote(&mut n, &sdp)?;
        let offer = RTCSessionDescription::offer(prepared)
            .map_err(|e| described(EngineErrorKind::Invalid, "read the offer", &e))?;
        let set = self
            .shared
            .call(EngineErrorKind::Invalid, "use the offer", pc.set_remote_description(offer))
            .await;
        if let Err(e) = set {
            let _ = self.undo(&pc, &mut n).await;
            return Err(e);
        }
        n.remote_offer = sdp;
        if std::mem::take(&mut n.reopened) {
            let kept = self.trickled.lock().kept.clone();
            for candidate in kept {
                let init = RTCIceCandidateInit { candidate, ..Default::default() };
                let add = pc.add_ice_candidate(init);
                self.shared.call(EngineErrorKind::Invalid, "use a candidate again", add).await?;
            }
        }
        Ok(())
    }

    async fn create_answer(&self) -> EngineResult<String> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let answer =
            self.shared.call(EngineErrorKind::Invalid, "create an answer", pc.create_answer(None)).await?;
        let ours = sdp::mirror_stereo(&n.remote_offer, &answer.sdp);
        n.answer = Some((ours.clone(), answer.sdp));
        Ok(ours)
    }

    async fn set_local_answer(&self, sdp: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let mut n = self.negotiation().await?;
        let engines = match n.answer.take() {
            Some((ours, engines)) if sdp == ours => engines,
            _ => return Err(error(EngineErrorKind::Invalid, "not the answer that was created last")),
        };
        self.shared.note_local(&engines);
        let answer = RTCSessionDescription::answer(engines)
            .map_err(|e| described(EngineErrorKind::Internal, "read the answer", &e))?;
        self.shared
            .call(EngineErrorKind::Invalid, "set the answer", pc.set_local_description(answer))
            .await?;
        self.finished(&mut n);
        Ok(())
    }

    async fn add_candidate(&self, json: String) -> EngineResult<()> {
        let pc = self.shared.pc()?;
        let candidate = match candidate::parse(&json).map_err(|e| error(EngineErrorKind::Invalid, e))? {
            Remote::Nothing => return Ok(()),
            Remote::Use { candidate, .. } => candidate,
        };
        {
            let mut trickled = self.trickled.lock();
            if trickled.count >= MAX_TRICKLED {
                return Err(error(EngineErrorKind::Invalid, "too many candidates"));
            }
            trickled.count += 1;
        }
        let init = RTCIceCandidateInit { candidate: candidate.clone(), ..Default::default() };
        self.shared.call(EngineErrorKind::Invalid, "use the candidate", pc.add_ice_candidate(init)).await?;
        let mut trickled = self.trickled.lock();
        if !trickled.done && trickled.kept.len() < MAX_TRICKLED {
            trickled.kept.push(candidate);
        }
        Ok(())
    }

    async fn stats_json(&self) -> EngineResult<String> {
        let pc = self.shared.pc()?;
        let stats = async { Ok(pc.get_stats(Instant::now(), StatsSelector::None).await) };
        let report = self.shared.call(EngineErrorKind::Internal, "read statistics", stats).await?;
        let entries: Vec<serde_json::Value> = report
            .iter()
            .filter_map(|entry| match entry {
                RTCStatsReportEntry::Transport(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::IceCandidatePair(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::Codec(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::InboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::OutboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::RemoteInboundRtp(s) => serde_json::to_value(s).ok(),
                RTCStatsReportEntry::RemoteOutboundRtp(s) => serde_json::to_value(s).ok(),
                // Candidates and certificates hold addresses and keys.
                _ => None,
            })
            .map(|mut value| {
                if let Some(object) = value.as_object_mut() {
                    object.remove("iceLocalUsernameFragment");
                    object.remove("localCertificateId");
                    object.remove("remoteCertificateId");
                }
                value
            })
            .collect();
        serde_json::to_string(&entries)
            .map_err(|_| error(EngineErrorKind::Internal, "cannot write statistics"))
    }

    async fn close(&self) {
        let mut done = self.shared.closed.subscribe();
        self.shared.start_close();
        let _ = tokio::time::timeout(CLOSE_TIMEOUT + Duration::from_millis(40), done.wait_for(|done| *done))
            .await;
    }
}
