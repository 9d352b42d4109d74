//! The WebRTC engine that Offhook needs, as traits, so that only one module names the engine.
//!
//! All functions return at once and never wait for the network. Must not know: any engine's types, signalling, calls.

use crate::core::model::{IceServer, Path, PeerKind};
use crate::media::audio::payload::Red;
pub use crate::media::clock::SenderReport;
pub use crate::media::frame::{TrackControl, TrackFeedback};
pub use crate::media::rtp::{RtpOut, RtpPacket};
use bytes::Bytes;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Audio,
    Video,
}

/// A remote track, reported on its first packet.
#[derive(Clone, Debug)]
pub struct RemoteTrackInfo {
    pub kind: MediaKind,
    /// From `a=msid`; either id may carry the participant's prefix.
    pub stream_id: String,
    pub track_id: String,
    /// Simulcast layer; empty if there is none.
    pub rid: String,
    pub mid: String,
    pub ssrc: u32,
    /// e.g. `audio/opus`.
    pub mime: String,
    pub clock_rate: u32,
    /// Opus payload types on its m-line; empty if unknown.
    pub opus_types: Vec<u8>,
    /// The payload types of redundant audio and of the Opus frames inside (RFC 2198), if negotiated.
    pub red: Option<Red>,
}

/// Receives the packets of one remote track, on the engine's reading task: hand off, never block. Dropped when the
/// track or its peer connection ends.
pub trait PacketSink: Send {
    fn packet(&mut self, packet: RtpPacket);

    /// The track continues after a renegotiation; its payload types may have changed.
    fn renegotiated(&mut self, _info: &RemoteTrackInfo) {}

    /// A sender report of the track's sender, every few seconds.
    fn report(&mut self, _report: SenderReport) {}

    /// Passes the handle for requests to the sender; called once, before the first packet.
    fn controlled_by(&mut self, _control: Arc<dyn TrackControl>) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerState {
    New,
    Connecting,
    Connected,
    Disconnected,
    /// ICE or DTLS failed permanently, or the engine's driver died.
    Failed,
    /// Reported exactly once, after `close` or when the remote peer ended DTLS.
    Closed,
}

/// Callbacks for the events of one peer connection; called on the engine's task: hand off, never block.
pub trait PeerObserver: Send + Sync + 'static {
    /// A local candidate as JSON (`candidate`, `sdpMid`, `sdpMLineIndex`, `usernameFragment`).
    fn candidate(&self, json: String);
    fn state(&self, state: PeerState);
    /// First packet of a remote track; `None` rejects the track.
    fn track(&self, info: RemoteTrackInfo) -> Option<Box<dyn PacketSink>>;
    /// A remote m-line sends audio only in codecs that the engine does not support; its packets are not delivered.
    fn unplayable(&self, _info: RemoteTrackInfo) {}
    /// Packets arrived with an SSRC that belongs to no m-line; they are dropped. `new`: the first are some seconds old,
    /// and this stream was not reported before.
    fn unassigned(&self, _ssrc: u32, _packets: u64, _new: bool) {}
    /// A data channel, opened by either side, is open for messages.
    fn channel_open(&self, _label: &str) {}
    /// One message of the data channel `label`.
    fn data(&self, _label: &str, _message: Bytes) {}
    /// A STUN or TURN server gave no address: once for each server and reason.
    fn server_failed(&self, _failure: ServerFailure) {}
    /// This many messages and bytes were dropped: larger than `MAX_DATA_MESSAGE`, or not read before the end. May be
    /// called after `Closed`.
    fn data_unread(&self, _label: &str, _messages: u64, _bytes: u64) {}
    /// Called before each message: the future to wait for before the next message is read from that channel. Meanwhile
    /// the remote peer's send window closes; nothing else of the peer connection waits.
    fn data_room(&self, _label: &str) -> Option<Waiting> {
        None
    }
}

/// Why a STUN or TURN server gave no address (as W3C `RTCPeerConnectionIceErrorEvent`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFailure {
    /// Its URL, without credentials.
    pub url: String,
    /// The code of its error response (RFC 8489 section 14.8, RFC 8656 section 19); 701: it cannot be reached.
    pub code: u16,
    /// What was found and what to do; no credentials, nothing the server wrote.
    pub text: String,
}

/// Completes when there is room again. Cancel safe.
pub type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

#[derive(Clone, Debug, Default)]
pub struct PeerOptions {
    pub ice_servers: Vec<IceServer>,
    /// The signalling connection is one to this machine: only loopback addresses are bound, and ICE servers elsewhere
    /// are ignored, until the SFU names a candidate elsewhere.
    pub loopback_only: bool,
    /// The address in the URL of the signalling, if it has one and no name: a socket is opened from which it is reached.
    pub server: Option<IpAddr>,
    /// Reject offered data channels: the call does not use any, and none of their packets reaches the engine.
    pub refuse_data: bool,
    /// Time without any packet before `Disconnected` is reported; `None`: the engine's 5 s.
    pub disconnected_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineErrorKind {
    /// The peer connection is closed.
    Closed,
    /// The remote SDP or candidate cannot be used.
    Invalid,
    /// Out of file descriptors, or a system call failed.
    System,
    /// The send buffer is full; retry later.
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

/// A sender on a new audio transceiver.
#[derive(Clone, Debug)]
pub struct AudioSenderSpec {
    /// msid stream and track id.
    pub stream_id: String,
    pub track_id: String,
    pub stereo: bool,
    pub dtx: bool,
    /// Earlier frames sent with each packet, if the remote peer supports RFC 2198; 0 disables it.
    pub red: u8,
}

/// Requested state of a publisher from the next offer on.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// All senders, by track id. A sender that is no longer listed stops: its m-line becomes inactive.
    pub senders: Vec<AudioSenderSpec>,
    /// Data channels to open, by label; none is ever removed.
    pub channels: Vec<DataChannelSpec>,
    /// Number of audio m-lines on which the remote peer sends: this peer connection carries both directions. Those that
    /// an earlier offer had beyond it become inactive. Needs a sender or a data channel.
    pub receive: u32,
    pub ice_restart: bool,
}

/// Result of [`Peer::offer`].
pub struct LocalOffer {
    pub sdp: String,
    /// The mid of each requested sender, in the same order.
    pub mids: Vec<String>,
    /// Senders that were in no earlier offer, by track id.
    pub senders: Vec<(String, Arc<dyn RtpSender>)>,
    /// Data channels that were in no earlier offer, by label.
    pub channels: Vec<(String, Arc<dyn DataWriter>)>,
}

impl std::fmt::Debug for LocalOffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalOffer").field("mids", &self.mids).finish_non_exhaustive()
    }
}

/// Result of [`Peer::answer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAnswer {
    pub sdp: String,
    /// Number of candidates of the offer that could not be used.
    pub refused: usize,
}

/// Largest data channel message, in bytes, in both directions.
pub const MAX_DATA_MESSAGE: usize = 64 * 1024;
/// Maximum bytes queued for sending on one data channel.
pub const MAX_BUFFERED: usize = 1 << 20;

/// A local data channel (RFC 8831, RFC 8832).
#[derive(Clone, Debug)]
pub struct DataChannelSpec {
    pub label: String,
    pub ordered: bool,
    /// `None`: reliable.
    pub max_retransmits: Option<u16>,
}

/// Which of this machine's network the peer connections of a client may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Only addresses on TURN servers are used.
    pub relay_only: bool,
    pub families: Families,
    /// Names of the only interfaces to use, as the system lists them; empty: those that routes lead through. A trailing
    /// `*` stands for any rest.
    pub interfaces: Vec<String>,
    /// Names of interfaces not to use, in the same form.
    pub excluded_interfaces: Vec<String>,
    /// First and last local UDP port; `None`: any.
    pub ports: Option<(u16, u16)>,
    /// Differentiated services code point of the media's packets (RFC 2474), 0 to 63; 0 is the system's.
    pub dscp: u8,
}

/// IP versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    #[default]
    Both,
    V4,
    V6,
}

/// The server that a byte stream leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTarget {
    /// A name or an address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// With TLS, verified for `host`.
    pub tls: bool,
}

/// A byte stream.
pub trait ByteStream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send> ByteStream for T {}

/// Completes with a connected stream, or with the reason why there is none, for people. Cancel safe.
pub type Opening = Pin<Box<dyn Future<Output = Result<Pin<Box<dyn ByteStream>>, String>> + Send>>;

/// Opens byte streams to TURN servers: name look-up, proxy, TCP, TLS. Implemented outside of the engine.
pub trait Streams: std::fmt::Debug + Send + Sync + 'static {
    /// Connects within `timeout`. Contacts nothing before the first poll.
    fn open(&self, target: StreamTarget, timeout: Duration) -> Opening;
}

/// Where routes lead after a change of the machine's network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routes {
    /// Nothing is known: no peer connection has a destination yet.
    #[default]
    Unknown,
    /// As before.
    Same,
    /// No destination can be reached.
    Gone,
    /// To the same destinations from other addresses: new sockets are open, and an ICE restart moves media to them.
    Moved,
}

/// The pair of addresses that a peer connection uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Kinds of the candidates (RFC 8445 section 4): "host", "srflx", "prflx" or "relay".
    pub local_kind: String,
    pub remote_kind: String,
    pub local: std::net::SocketAddr,
    pub remote: std::net::SocketAddr,
    /// ICE over TCP.
    pub tcp: bool,
    /// URL of the TURN server whose address is used; `None`: the connection is direct.
    pub relay: Option<String>,
}

/// Creates the media of calls.
pub trait Engine: Send + Sync + 'static {
    /// For one call. Call it inside the library's tokio runtime.
    fn call(&self) -> EngineResult<Arc<dyn MediaCall>>;
}

/// The peer connections of all sessions of one call: they share one task. An internal failure or an overlong engine
/// call affects only its own peer connection.
pub trait MediaCall: Send + Sync + 'static {
    /// Creates a peer connection. Servers and addresses may change with each session of a call, so they are passed
    /// here.
    ///
    /// # Errors
    /// `System` if no socket can be opened.
    fn peer(
        &self,
        kind: PeerKind,
        options: PeerOptions,
        observer: Arc<dyn PeerObserver>,
    ) -> EngineResult<Arc<dyn Peer>>;

    /// The machine's network has changed: asks where routes lead now, and opens sockets where they have moved.
    fn network_changed(&self) -> Routes {
        Routes::Unknown
    }
}

/// One peer connection. Every method may be called after `close`; it then fails with `Closed`. The caller runs one
/// negotiation at a time.
pub trait Peer: Send + Sync + 'static {
    /// Publisher: applies `wanted`, creates an offer and sets it as the local description. An earlier unanswered offer
    /// is rolled back first (JSEP rollback). On failure no offer is pending; senders and channels already added stay,
    /// and the next offer reuses them.
    fn offer(&self, wanted: &Wanted) -> EngineResult<LocalOffer>;

    /// Publisher: sets the SFU's answer. On failure the offer stays pending.
    fn set_answer(&self, sdp: &str) -> EngineResult<()>;

    /// Subscriber: sets the SFU's offer, creates and sets the answer, and adds the candidates (JSON), in one step; on
    /// failure none of it takes effect. `stereo=1` of the offer's Opus formats is mirrored.
    fn answer(&self, offer: &str, candidates: &[String]) -> EngineResult<LocalAnswer>;

    /// Adds a remote candidate (JSON). The remote description must be set.
    fn add_candidate(&self, json: &str) -> EngineResult<()>;

    /// Statistics such as the round-trip time in ms, as JSON without addresses or credentials.
    fn stats_json(&self) -> EngineResult<String>;

    /// Diagnostics of the connection attempts.
    fn path(&self) -> Path {
        Path::default()
    }

    /// The pair in use; `None`: there is none yet.
    fn pair(&self) -> Option<Pair> {
        None
    }

    /// Closes asynchronously; idempotent. The observer receives `Closed` when it is done, unless it already did.
    fn close(&self);
}

/// Callback for the feedback of a track's receivers.
pub type FeedbackHandler = Arc<dyn Fn(TrackFeedback) + Send + Sync>;

/// Sends RTP on one sender. Usable from any thread.
pub trait RtpSender: Send + Sync + 'static {
    /// Sends one packet without waiting for the network or for other work of the peer connection. While the peer
    /// connection is busy, packets are queued and sent when it is free; if too many are queued, the oldest are dropped.
    /// Before the negotiation is done, packets are dropped silently.
    ///
    /// # Errors
    /// `Closed` after close; `Internal` if the engine fails. Errors carry no payload.
    fn send(&self, packet: RtpOut) -> EngineResult<()>;

    /// Whether packets reach the network: negotiated, connected and not closed. Otherwise they are dropped.
    fn is_open(&self) -> bool;

    /// Whether each packet also carries the frame before it (RED, RFC 2198), as negotiated.
    fn is_redundant(&self) -> bool {
        false
    }

    /// Sets the callback for the feedback of the receivers. It is called on the engine's task: hand off, never block.
    fn set_feedback_handler(&self, _handler: FeedbackHandler) {}
}

/// Sends on one data channel. Usable from any thread.
pub trait DataWriter: Send + Sync + 'static {
    fn is_open(&self) -> bool;

    /// Bytes not acknowledged by the remote peer yet; bytes acknowledged very recently may still count.
    fn buffered(&self) -> usize;

    /// Queues one binary message; never waits for the network. `Full` if more than `MAX_BUFFERED` bytes would be
    /// queued, `Invalid` if larger than `MAX_DATA_MESSAGE` or than the remote peer accepts, `Closed` after close or
    /// before the channel is open. Errors carry no payload.
    fn send(&self, message: Bytes) -> EngineResult<()>;
}
