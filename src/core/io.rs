//! What goes into a [`super::Core`] and what comes out: the whole surface between rules and world.
//!
//! Outputs are orders; the session actor carries them out and brings each result back as an input
//! that names its generation (and operation), so that a late result can be told from a current one.

use super::model::*;
use crate::error::{Code, Error, Secret};
use std::time::Duration;

/// The application's name for a track it sends.
pub type TrackId = u64;
/// The session's name for a track it receives.
pub type RemoteId = u64;
/// Names one engine operation; its result brings the number back.
pub type Op = u64;

/// Fixed facts of one call.
#[derive(Clone, Debug)]
pub struct Config {
    /// The protocol that is spoken.
    pub dialect: Dialect,
    pub call_type: String,
    pub call_id: String,
    pub user_id: String,
    pub create: bool,
    pub ring: bool,
    pub notify: bool,
    pub data_json: String,
    pub location: String,
    /// Retries of a failed join; 0 = none.
    pub join_retries: u32,
    /// False: no subscriber is ever created (a publish-only bot).
    pub subscribe: bool,
    /// Throw-away SDPs that announce codecs in JoinRequest.
    pub subscriber_sdp: String,
    pub publisher_sdp: String,
    /// Token given up front; empty: the application is asked.
    pub token: Secret,
    /// The application is asked again when its token has expired; always so when it gave none.
    pub renew_token: bool,
    /// How long a lost connection is looked for before the call ends; zero: for ever.
    pub disconnect_timeout: Duration,
    pub seed: u64,
}

/// How an audio track is to be offered.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioOffer {
    pub stereo: bool,
    pub dtx: bool,
    pub music: bool,
    pub muted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    Connected,
    Disconnected,
    Failed,
    Closed,
}

/// What happened to this machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkChange {
    Offline,
    Online,
    /// Another network: what is bound to the old one is dead.
    Changed,
    /// Addresses or routes are others; what is open may work on.
    Unsettled,
}

/// What an engine operation gave.
#[derive(Clone, Debug)]
pub enum OpDone {
    Done,
    /// Local offer with the mids of the publisher's tracks, in the order they were added.
    Offer {
        sdp: String,
        mids: Vec<String>,
    },
    Answer(String),
}

/// Why an engine operation failed.
#[derive(Clone, Debug)]
pub struct OpFailed {
    pub code: Code,
    /// The peer connection is closed: nothing to report.
    pub closed: bool,
    pub message: String,
}

#[derive(Debug)]
pub enum Input {
    /// Go. Once, first of all.
    Start,
    /// The application's answer to [`Output::NeedToken`]; `None`: it has none.
    Token(Option<Secret>),
    Admitted {
        generation: Generation,
        result: Result<Box<Admission>, Failure>,
    },
    SocketOpened {
        generation: Generation,
        result: Result<(), Failure>,
    },
    Message {
        generation: Generation,
        message: SfuMessage,
    },
    Malformed {
        generation: Generation,
    },
    SocketClosed {
        generation: Generation,
        code: Option<u16>,
        failure: Option<Failure>,
    },
    Rpc {
        generation: Generation,
        id: u64,
        result: Result<RpcReply, Failure>,
    },
    Op {
        generation: Generation,
        peer: PeerKind,
        op: Op,
        result: Result<OpDone, OpFailed>,
    },
    LocalCandidate {
        generation: Generation,
        peer: PeerKind,
        json: String,
    },
    Peer {
        generation: Generation,
        peer: PeerKind,
        change: PeerChange,
    },
    RemoteTrack {
        generation: Generation,
        id: RemoteId,
        /// None: its stream ids name nobody.
        owner: Option<MediaOwner>,
    },
    RemoteTrackGone {
        id: RemoteId,
    },
    /// Another participant, or the application's server, sends something.
    Data {
        generation: Generation,
        data: DataIn,
    },
    PeerClosed {
        generation: Generation,
        peer: PeerKind,
    },
    // The application:
    Publish {
        track: TrackId,
        offer: AudioOffer,
    },
    Unpublish {
        track: TrackId,
    },
    Mute {
        track: TrackId,
        muted: bool,
    },
    /// Closed or freed by the application; for good.
    ClosePeer(PeerKind),
    /// The application wants to send data: a publisher with its channels is needed.
    WantData,
    /// Calls a procedure of another participant; answered by [`Event::RpcResponse`] with this number.
    CallRpc {
        id: u64,
        to: String,
        method: String,
        payload: String,
        timeout: Duration,
    },
    /// The answer to [`Event::RpcRequest`].
    AnswerRpc {
        id: String,
        answer: Result<String, RpcFailure>,
    },
    /// What is wanted of one remote track.
    Wish {
        track_id: String,
        wish: Wish,
    },
    UpdateSelf(SelfUpdate),
    Leave {
        reason: String,
    },
    /// The machine's network, from the application or the operating system.
    Network(NetworkChange),
    /// The report that [`Output::CollectStats`] asked for, as JSON texts.
    Stats {
        generation: Generation,
        mark: u64,
        publisher: String,
        subscriber: String,
    },
    /// The session's own end: library shut down or defect.
    Abort(End),
}

/// An order to the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Create {
        ice_servers: Vec<IceServer>,
    },
    AddAudio {
        track: TrackId,
        stream_id: String,
        offer: AudioOffer,
    },
    /// What [`Action::AddAudio`] added under this name is no longer sent.
    RemoveAudio {
        stream_id: String,
    },
    /// The data channels of the protocol.
    AddChannels,
    Offer {
        ice_restart: bool,
    },
    SetAnswer(String),
    Rollback,
    SetOffer(String),
    CreateAnswer,
    SetLocalAnswer(String),
    AddCandidate(String),
}

impl Action {
    /// The step's name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Create { .. } => "create",
            Action::AddAudio { .. } => "add audio",
            Action::RemoveAudio { .. } => "remove audio",
            Action::AddChannels => "add data channels",
            Action::Offer { .. } => "offer",
            Action::SetAnswer(_) => "set answer",
            Action::Rollback => "roll back",
            Action::SetOffer(_) => "set offer",
            Action::CreateAnswer => "create answer",
            Action::SetLocalAnswer(_) => "set local answer",
            Action::AddCandidate(_) => "add candidate",
        }
    }
}

#[derive(Debug)]
pub enum Output {
    /// Ask the application for a token; the answer is [`Input::Token`].
    NeedToken,
    Admit {
        generation: Generation,
        token: Secret,
        request: Box<AdmissionRequest>,
    },
    OpenSocket {
        generation: Generation,
        admission: Box<Admission>,
        session_id: String,
        attempt: u32,
        /// FAST: the SFU still has the session of that name.
        resume: bool,
    },
    Send {
        generation: Generation,
        request: SfuRequest,
    },
    /// Close with this code; messages are still read until the other side has closed too.
    CloseSocket {
        generation: Generation,
        code: u16,
        reason: String,
    },
    /// Forget the socket at once.
    DropSocket {
        generation: Generation,
    },
    Rpc {
        generation: Generation,
        id: u64,
        call: RpcCall,
    },
    Engine {
        generation: Generation,
        peer: PeerKind,
        op: Op,
        action: Action,
    },
    ClosePeer {
        generation: Generation,
        peer: PeerKind,
    },
    /// Media of this remote track belongs to this participant (again); play it.
    Bind {
        id: RemoteId,
        user_id: String,
        session_id: String,
        kind: TrackKind,
    },
    /// No longer somebody's.
    Unbind {
        id: RemoteId,
    },
    /// To other participants, as soon as there is a channel.
    SendData(DataOut),
    /// The track is negotiated: packets may flow; or not any more.
    Sending {
        track: TrackId,
        on: bool,
    },
    /// A moderator has muted this track of mine; or it is over, because the application has unmuted it.
    Moderated {
        track: TrackId,
        muted: bool,
    },
    /// Put together what happened since the last committed report; the answer is [`Input::Stats`].
    CollectStats {
        generation: Generation,
        mark: u64,
    },
    /// The SFU has that report: the next one begins after it.
    CommitStats {
        mark: u64,
    },
    /// Send what is left to report; nobody waits for it.
    FlushStats {
        generation: Generation,
        session_id: String,
        unified_session_id: String,
    },
    Event(Event),
    /// One debug line; built only when asked for.
    Debug(std::borrow::Cow<'static, str>, Generation),
    /// Everything is over: the last event was given, nothing may follow.
    Finished,
}

/// Where a call is. Numbers are the C ABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i32)]
pub enum State {
    #[default]
    Idle = 0,
    Joining = 1,
    Joined = 2,
    Reconnecting = 3,
    Migrating = 4,
    Offline = 5,
    ReconnectingFailed = 6,
    Left = 7,
}

/// Why a call ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    pub reason: EndReason,
    pub error: Option<Error>,
    /// Words for a person.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum EndReason {
    /// The application left or freed the call.
    Left = 0,
    /// The call was ended for everybody.
    CallEnded = 1,
    /// The livestream or session in it ended.
    SessionEnded = 2,
    /// This participant was removed.
    Kicked = 3,
    /// The join did not succeed.
    JoinFailed = 4,
    /// The connection was lost and not found again.
    ConnectionLost = 5,
    /// The SFU told this client to disconnect.
    Disconnected = 6,
    /// `oh_shutdown_wait`.
    Shutdown = 7,
    /// A defect of the library, contained to this call.
    Internal = 8,
    /// Too many reconnects in too little time.
    ReconnectLimit = 9,
    /// Offers of the SFU could not be answered, in one session after the other.
    NegotiationFailed = 10,
    /// Peer connections never come up on this network.
    NetworkUnsupported = 11,
    /// The coordinator or the SFU refuses to let this participant in again.
    ReconnectRefused = 12,
    /// Somebody else has joined as this participant.
    Replaced = 13,
}

/// What the application hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    State {
        state: State,
        previous: State,
    },
    Joined {
        counts: Counts,
        session_id: String,
    },
    /// The connection is back; state JOINED came just before.
    Reconnected {
        strategy: Strategy,
        /// Attempts that it took.
        attempts: u32,
        /// The own session now.
        session_id: String,
        /// Since the loss was noticed.
        elapsed_ms: u64,
    },
    TokenNeeded,
    ParticipantJoined(Box<Participant>),
    ParticipantUpdated(Box<Participant>),
    ParticipantLeft(Box<Participant>),
    TrackPublished {
        user_id: String,
        session_id: String,
        track: RemoteTrack,
    },
    TrackUnpublished {
        user_id: String,
        session_id: String,
        track: RemoteTrack,
        cause: UnpublishCause,
    },
    AudioLevel {
        user_id: String,
        session_id: String,
        level: f32,
        speaking: bool,
    },
    DominantSpeaker {
        user_id: String,
        session_id: String,
    },
    Quality {
        user_id: String,
        session_id: String,
        quality: Quality,
    },
    Counts(Counts),
    Grants(Grants),
    Pins(Vec<Pin>),
    /// Somebody, or the application's server, told everyone who watches the call. Not from the SFU:
    /// the core neither hears nor raises it.
    Custom {
        user_id: String,
        custom_type: String,
        json: String,
    },
    /// The room has changed, or is known now.
    Room(Box<Room>),
    /// Another participant sent a packet or a text.
    Data(DataIn),
    /// Another participant calls a procedure of the application's.
    RpcRequest {
        id: String,
        user_id: String,
        method: String,
        payload: String,
        timeout_ms: u32,
    },
    /// What became of a procedure call of the application's; once for each.
    RpcResponse {
        id: u64,
        answer: Result<String, RpcFailure>,
    },
    /// A track cannot be had any more, or again.
    Subscribable {
        user_id: String,
        session_id: String,
        track_id: String,
        allowed: bool,
    },
    /// A track of mine is on the air.
    LocalPublished {
        track: TrackId,
    },
    /// A track of mine could not be published, or not any more.
    LocalFailed {
        track: TrackId,
        error: Error,
    },
    /// Something failed that does not end the call.
    Error(Error),
    /// The one terminal event.
    Ended(End),
}

/// Counters of one call; the core's part of the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub late_offers: u64,
    /// Late or stale messages, replies and candidates other than offers.
    pub late_other: u64,
    /// Offers that came while the call was leaving; part of `late_offers`.
    pub offers_while_leaving: u64,
    pub malformed: u64,
    pub unknown: u64,
    pub offers_answered: u64,
    pub offers_failed: u64,
    pub rpcs: u64,
    pub rpc_retries: u64,
    pub join_attempts: u64,
    pub candidates_dropped: u64,
    pub error_events: u64,
    /// Reconnects that succeeded, by how.
    pub reconnects_fast: u64,
    pub reconnects_rejoin: u64,
    pub reconnects_migrate: u64,
    pub reconnect_attempts: u64,
    /// Data that could not be put together, or was more than may wait.
    pub data_dropped: u64,
    /// Reasons to reconnect that came while a reconnect was under way.
    pub triggers_merged: u64,
}

/// Numbers of the protocol, in one place.
pub mod limits {
    use super::{Duration, Health};

    pub const JOIN_RESPONSE: Duration = Duration::from_secs(5);
    /// Unless the SFU wants it otherwise.
    pub const HEALTH: Health = Health { ping: Duration::from_secs(5), silent: Duration::from_secs(12) };
    /// What it may want.
    pub const HEALTH_LEAST: Duration = Duration::from_secs(1);
    pub const HEALTH_MOST: Duration = Duration::from_secs(60);
    pub const TOKEN: Duration = Duration::from_secs(30);
    pub const LEAVE: Duration = Duration::from_millis(1_000);
    /// A peer connection that never connected: after this an ICE restart, after as much again it has failed.
    pub const PEER_CONNECT: Duration = Duration::from_secs(5);
    /// An answer waits so long for the first candidate of its ICE generation.
    pub const FIRST_CANDIDATE: Duration = Duration::from_millis(50);
    /// Media waits so long for the word who its participant is.
    pub const ORPHANS: Duration = Duration::from_secs(5);
    pub const ICE_RESTART: Duration = Duration::from_secs(10);
    /// Between the end of the media and the word that the call has ended.
    pub const CALL_ENDED_GRACE: Duration = Duration::from_millis(250);
    pub const NEVER_CONNECTED: u32 = 2;
    pub const MIGRATION: Duration = Duration::from_secs(7);
    pub const FAST_ATTEMPTS: u32 = 3;
    pub const REJOINS: usize = 10;
    pub const REJOIN_WINDOW: Duration = Duration::from_secs(120);
    /// A connection that lasted this long was a good one.
    pub const STABLE: Duration = Duration::from_secs(10);
    pub const NEGOTIATION_REJOINS: u32 = 3;
    /// Before the first reports; then the server's interval.
    pub const FIRST_STATS: [Duration; 4] = [
        Duration::from_millis(1_500),
        Duration::from_millis(3_000),
        Duration::from_millis(3_000),
        Duration::from_millis(5_000),
    ];
    pub const STATS_LEAST: Duration = Duration::from_secs(1);
    pub const STATS_MOST: Duration = Duration::from_secs(300);
    pub const RPC_TRIES: u32 = 3;
    pub const NEGOTIATION_TRIES: u32 = 3;
    pub const QUEUED_OFFERS: usize = 64;
    pub const HELD_MESSAGES: usize = 32;
    pub const TRACKS: usize = 32;
    pub const REMOTE_TRACKS: usize = 1_024;
    pub const LEAVE_REASON: usize = 115;
    /// Without this much a procedure call was not heard.
    pub const RPC_ACK: Duration = Duration::from_secs(7);
    /// Procedure calls under way, each way.
    pub const RPC_CALLS: usize = 256;
    /// Texts that are being put together, and their bytes together.
    pub const TEXTS: usize = 32;
    pub const TEXT_BYTES: usize = 1 << 20;
    pub const WISHES: usize = 1_024;
    pub const CLOSE_NORMAL: u16 = 1000;
    pub const CLOSE_UNHEALTHY: u16 = 4001;
    pub const CLOSE_REPLACED: u16 = 4100;
    pub const CLOSE_JOIN_FAILED: u16 = 4101;
}
