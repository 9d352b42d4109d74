//! What Offhook needs of a WebRTC engine, as traits, so that one module names the engine.
//!
//! Everything here answers at once and never waits for the network. Must not know: any engine's types, signalling, calls.

use crate::core::model::{IceServer, Path, PeerKind};
use crate::media::audio::payload::Red;
pub use crate::media::clock::SenderReport;
pub use crate::media::frame::{TrackControl, TrackFeedback};
pub use crate::media::rtp::{RtpOut, RtpPacket};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Audio,
    Video,
}

/// A track of the other side, told on its first packet.
#[derive(Clone, Debug)]
pub struct RemoteTrackInfo {
    pub kind: MediaKind,
    /// From `a=msid`; either id may carry the participant's prefix.
    pub stream_id: String,
    pub track_id: String,
    /// Simulcast layer, empty without one.
    pub rid: String,
    pub mid: String,
    pub ssrc: u32,
    /// e.g. `audio/opus`.
    pub mime: String,
    pub clock_rate: u32,
    /// Payload types that are Opus on its m-line; empty when that is not known.
    pub opus_types: Vec<u8>,
    /// The payload types of redundant audio and of the Opus in it (RFC 2198), where it is negotiated.
    pub red: Option<Red>,
}

/// Receives the packets of one remote track, on the engine's reading task: hand off, never block.
/// Dropped when the track or its peer connection is over.
pub trait PacketSink: Send {
    fn packet(&mut self, packet: RtpPacket);

    /// The track goes on after a negotiation; its payload types may be others.
    fn renegotiated(&mut self, _info: &RemoteTrackInfo) {}

    /// What the track's sender says of its clocks, every few seconds.
    fn report(&mut self, _report: SenderReport) {}

    /// By which the sender can be asked for something; told once, before the first packet.
    fn controlled_by(&mut self, _control: Arc<dyn TrackControl>) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    New,
    Connecting,
    Connected,
    Disconnected,
    /// ICE or DTLS failed for good, or the engine's driver died.
    Failed,
    /// Told exactly once, after `close` or when the other side ended DTLS.
    Closed,
}

/// Hears what happens to one peer connection; called on the engine's task: hand off, never block.
pub trait PeerObserver: Send + Sync + 'static {
    /// A local candidate as JSON (`candidate`, `sdpMid`, `sdpMLineIndex`, `usernameFragment`).
    fn candidate(&self, json: String);
    fn state(&self, state: PeerState);
    /// A remote track's first packet came; `None` refuses the track.
    fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>>;
    /// An m-line of the other side sends sound in codecs that the engine does not take; no packet of it comes.
    fn unplayable(&self, _info: RemoteTrackInfo) {}
    /// Packets come with an SSRC that belongs to no m-line; they are dropped. `new`: the first are some seconds old,
    /// and this stream was not told of before.
    fn unassigned(&self, _ssrc: u32, _packets: u64, _new: bool) {}
    /// A data channel, ours or one that the other side opened, may carry messages.
    fn channel_open(&self, _label: &str) {}
    /// One message on a data channel; `label` names it.
    fn data(&self, _label: &str, _message: Bytes) {}
    /// So many messages of so many bytes are dropped: larger than `MAX_DATA_MESSAGE`, or not read before the end. May
    /// come after `Closed`.
    fn data_unread(&self, _label: &str, _messages: u64, _bytes: u64) {}
    /// Asked before each message: what to wait for before the next one is read from that channel. Meanwhile the other
    /// side's window closes; nothing else of the peer connection waits.
    fn data_room(&self, _label: &str) -> Option<Waiting> {
        None
    }
}

/// Resolves when there is room again. Cancel safe.
pub type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug, Default)]
pub struct PeerOptions {
    pub ice_servers: Vec<IceServer>,
    /// Bind only loopback addresses (for SFUs on this machine); else every usable interface.
    /// ICE servers elsewhere are then left out.
    pub loopback_only: bool,
    /// Offered data channels are refused: the call has no use for any, and nothing of them reaches the engine.
    pub refuse_data: bool,
    /// How long without any packet before `Disconnected` is told; `None`: the engine's 5 s.
    pub disconnected_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// The peer connection is closed.
    Closed,
    /// The other side's SDP or candidate cannot be used.
    Invalid,
    /// Out of descriptors, or the system refused.
    System,
    /// Too much waits to be sent; later it may be taken.
    Full,
    Internal,
}

/// An engine error; the message holds no packet bytes, SDP or credentials.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    pub kind: EngineErrorKind,
    pub message: String,
}

pub type EngineResult<T> = Result<T, EngineError>;

/// What to send on a new audio transceiver.
#[derive(Clone, Debug)]
pub struct AudioSenderSpec {
    /// msid stream and track id.
    pub stream_id: String,
    pub track_id: String,
    pub stereo: bool,
    pub dtx: bool,
    /// Earlier frames sent along with each packet, where the other side takes them (RFC 2198); 0 is none.
    pub red: u8,
}

/// What a publisher is to be from the next offer on.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// All senders, by track id. One that is not there any more is not sent any more: its m-line becomes inactive.
    pub senders: Vec<AudioSenderSpec>,
    /// Data channels to have, by label; none is ever taken away.
    pub channels: Vec<DataChannelSpec>,
    pub ice_restart: bool,
}

/// What [`Peer::offer`] gives.
pub struct LocalOffer {
    pub sdp: String,
    /// The mid of each sender that was wanted, in that order.
    pub mids: Vec<String>,
    /// Senders that were in no offer before, by track id.
    pub senders: Vec<(String, Arc<dyn RtpSender>)>,
    /// Data channels that were in no offer before, by label.
    pub channels: Vec<(String, Arc<dyn DataWriter>)>,
}

impl std::fmt::Debug for LocalOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalOffer").field("mids", &self.mids).finish_non_exhaustive()
    }
}

/// What [`Peer::answer`] gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAnswer {
    pub sdp: String,
    /// So many of the candidates that came with the offer were of no use.
    pub refused: usize,
}

/// What may be sent and received in one message on a data channel, in bytes.
pub const MAX_DATA_MESSAGE: usize = 64 * 1024;
/// Bytes that may wait to be sent on one data channel.
pub const MAX_BUFFERED: usize = 1 << 20;

/// A data channel of ours (RFC 8831, RFC 8832).
#[derive(Clone, Debug)]
pub struct DataChannelSpec {
    pub label: String,
    pub ordered: bool,
    /// `None`: reliable.
    pub max_retransmits: Option<u16>,
}

/// Makes the media of calls.
pub trait Engine: Send + Sync + 'static {
    /// For one call. Must be called inside the library's tokio runtime.
    fn call(&self) -> EngineResult<Arc<dyn MediaCall>>;
}

/// The peer connections of one call, of all its sessions: they share one task. One that fails inside, or takes too long
/// there, fails alone.
pub trait MediaCall: Send + Sync + 'static {
    /// A new peer connection. Servers and addresses may be others with each session of a call, so they are told here.
    ///
    /// # Errors
    /// `System` when there are no sockets.
    fn peer(
        &self,
        kind: PeerKind,
        options: PeerOptions,
        observer: Arc<dyn PeerObserver>,
    ) -> EngineResult<Arc<dyn Peer>>;
}

/// One peer connection. Every method may be called after `close` and then fails with `Closed`.
/// The caller runs one negotiation at a time.
pub trait Peer: Send + Sync + 'static {
    /// Publisher: makes it what is wanted, creates an offer and sets it as the local description. An offer before that
    /// was not answered is taken back first (JSEP rollback). When it fails, no offer is pending; what was added stays,
    /// and is found again by the next one.
    fn offer(&self, wanted: &Wanted) -> EngineResult<LocalOffer>;

    /// Publisher: sets the SFU's answer. When it fails the offer is still pending.
    fn set_answer(&self, sdp: &str) -> EngineResult<()>;

    /// Subscriber: sets the SFU's offer, creates the answer, sets that and adds the candidates (JSON), all at once; when
    /// it fails, nothing of it was done. `stereo=1` of the offer's Opus formats is mirrored.
    fn answer(&self, offer: &str, candidates: &[String]) -> EngineResult<LocalAnswer>;

    /// A candidate of the other side as JSON. The remote description must be set.
    fn add_candidate(&self, json: &str) -> EngineResult<()>;

    /// Round trip time in ms and the like, as JSON text without addresses or credentials.
    fn stats_json(&self) -> EngineResult<String>;

    /// What was tried to connect, and what was found.
    fn path(&self) -> Path {
        Path::default()
    }

    /// Closes, soon; idempotent. The observer hears `Closed` once it is done, unless it has heard it before.
    fn close(&self);
}

/// Hears what those who receive a track say of it.
pub type Hears = Arc<dyn Fn(TrackFeedback) + Send + Sync>;

/// Sends RTP on one sender. Usable from any thread.
pub trait RtpSender: Send + Sync + 'static {
    /// Sends one packet, at once: neither the network nor other work of the peer connection is waited for. While the
    /// peer connection is busy the packet is sent as soon as it is not; of many that wait, the oldest are dropped.
    /// Before the negotiation is done the packet is dropped silently.
    ///
    /// # Errors
    /// `Closed` after close; `Internal` when the engine refuses. Errors carry no payload.
    fn send(&self, packet: RtpOut) -> EngineResult<()>;

    /// From now on `hears` is told what those who receive say of it, on the engine's task: hand off, never block.
    fn hear(&self, _hears: Hears) {}
}

/// Sends on one data channel. Usable from any thread.
pub trait DataWriter: Send + Sync + 'static {
    fn is_open(&self) -> bool;

    /// Bytes that the other side has not acknowledged yet; what was acknowledged lately may still count.
    fn buffered(&self) -> usize;

    /// Queues one message (binary); never waits for the network. `Full` beyond `MAX_BUFFERED` bytes
    /// waiting, `Invalid` when larger than `MAX_DATA_MESSAGE` or than the other side takes, `Closed`
    /// after close or before it is open. Errors carry no payload.
    fn send(&self, message: Bytes) -> EngineResult<()>;
}
