//! Inputs and outputs of a [`super::Core`]: the whole interface between the call logic and the rest of the library.
//!
//! Outputs are commands. The session actor executes them and returns each result as an input that names its generation
//! (and operation), so that late results can be distinguished from current ones.

use super::{model::*, End, State, Unsent};
use crate::error::{Code, Error, Secret};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// The application's id of a local track.
pub type TrackId = u64;
/// The session's id of a remote track.
pub type RemoteId = u64;
/// Identifies one engine operation; its result carries the same number.
pub type Op = u64;

/// Settings of one call; fixed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The signalling protocol.
    pub dialect: Dialect,
    pub call_type: String,
    pub call_id: String,
    pub user_id: String,
    pub create: bool,
    pub ring: bool,
    pub notify: bool,
    pub data_json: String,
    pub location: String,
    /// Retries of a failed join; 0: none.
    pub join_retries: u32,
    /// False: no subscriber is ever created (a publish-only bot).
    pub subscribe: bool,
    /// Placeholder SDPs that announce codecs in JoinRequest.
    pub subscriber_sdp: String,
    pub publisher_sdp: String,
    /// Initial token. If empty, the application is asked for one.
    pub token: Secret,
    /// A track that a moderator unmutes stays muted until the application agrees.
    pub hold_unmute: bool,
    /// Ask the application again when its token has expired; always set when it supplied none.
    pub renew_token: bool,
    /// Reconnect timeout, after which the call ends. Zero: no limit.
    pub disconnect_timeout: Duration,
    /// Deliver parts of texts as they arrive.
    pub partial_texts: bool,
    pub seed: u64,
}

/// How an audio track is offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioOffer {
    /// Microphone or screen audio.
    pub source: TrackKind,
    pub stereo: bool,
    pub dtx: bool,
    /// Earlier frames repeated in each packet (RED); 0: none.
    pub red: u8,
    pub music: bool,
    pub muted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerChange {
    Connected,
    Disconnected,
    Failed,
    Closed,
}

/// A change of this machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkChange {
    Offline,
    Online,
    /// Another network: sockets bound to the old one are dead.
    Changed,
    /// Addresses or routes changed; open sockets may still work.
    Unsettled,
}

/// Result of an engine operation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum OpDone {
    Done,
    /// Local offer with the mids of the requested senders, in their order.
    Offer {
        sdp: String,
        mids: Vec<String>,
    },
    /// The answer, already set locally, and how many of the candidates passed with the offer were refused.
    Answer {
        sdp: String,
        refused: usize,
    },
}

/// Why an engine operation failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpFailed {
    pub code: Code,
    /// The peer connection is closed; no error is reported.
    pub closed: bool,
    pub message: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Input {
    /// Starts the call. The first input, given once.
    Start,
    /// Reply to [`Output::NeedToken`]; `None`: the application has no token.
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
    /// Reply to [`Output::Inspect`]; also sent before a peer connection changes to a worse state.
    Path {
        generation: Generation,
        peer: PeerKind,
        path: Path,
    },
    /// A STUN or TURN server gave this peer connection no address.
    IceServer {
        generation: Generation,
        peer: PeerKind,
        failure: IceServerFailure,
    },
    RemoteTrack {
        generation: Generation,
        id: RemoteId,
        /// `None`: its stream ids name no participant.
        owner: Option<MediaOwner>,
        /// The m-line that describes it; empty if the engine does not report it.
        mid: String,
        /// It existed before and was released with [`Output::Forget`].
        again: bool,
    },
    /// Messages received by a peer connection were dropped unread.
    DataUnread {
        generation: Generation,
        messages: u64,
        bytes: u64,
    },
    /// The engine's track ended; also the reply to [`Output::Forget`].
    RemoteTrackGone {
        id: RemoteId,
    },
    /// The media of a remote track cannot be decoded.
    RemoteUnplayable {
        id: RemoteId,
        why: Unplayable,
    },
    /// Packets arrive of a stream that the engine cannot assign to an m-line.
    Unassigned {
        generation: Generation,
        ssrc: u32,
    },
    /// Data from another participant or the application's backend.
    Data {
        generation: Generation,
        data: DataIn,
    },
    PeerClosed {
        generation: Generation,
        peer: PeerKind,
    },
    // From the application:
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
    /// Closed or freed by the application; permanent.
    ClosePeer(PeerKind),
    /// The application sends data: a publisher with data channels is needed.
    WantData,
    /// Calls a procedure of another participant. The result is [`Event::RpcResponse`] with this id.
    CallRpc {
        id: u64,
        to: String,
        method: String,
        payload: String,
        timeout: Duration,
    },
    /// Answers [`Event::RpcRequest`].
    AnswerRpc {
        id: String,
        answer: Result<String, RpcFailure>,
    },
    /// Subscription settings of one remote track.
    Subscribe {
        track_id: String,
        settings: SubscriptionSettings,
    },
    UpdateSelf(SelfUpdate),
    Leave {
        reason: String,
    },
    /// Leaves after accepted data has been sent; waits for [`Input::Drained`] for at most `within`.
    Drain {
        reason: String,
        within: Duration,
    },
    /// Reply to [`Output::Drain`]: no data is waiting to be sent.
    Drained,
    /// A change of the machine's network, reported by the application or the operating system.
    Network(NetworkChange),
    /// The report requested by [`Output::CollectStats`], as JSON texts.
    Stats {
        generation: Generation,
        mark: u64,
        publisher: String,
        subscriber: String,
    },
    /// Ends the call from within the library: shutdown or an internal error.
    Abort(End),
}

/// A sender that the publisher must have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WantedSender {
    pub track: TrackId,
    /// Name of its stream and track; the same sender keeps the same name.
    pub name: String,
    pub offer: AudioOffer,
}

/// The publisher's contents from the next offer on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    pub ice_restart: bool,
    /// Include the protocol's data channels.
    pub channels: bool,
    /// Number of audio m-lines on which only the SFU sends, if this connection carries both directions; those that an
    /// earlier offer had beyond it become inactive.
    #[serde(default)]
    pub receive: u32,
    /// All senders; a sender that is missing here stops.
    pub senders: Vec<WantedSender>,
}

/// A command to the engine: one per negotiation step. It takes effect completely or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Creates the peer connection.
    Create {
        ice_servers: Vec<IceServer>,
    },
    /// Subscriber: sets the SFU's offer with the candidates known so far, and answers it.
    Answer {
        offer: String,
        candidates: Vec<String>,
    },
    /// Publisher: creates an offer. An unanswered earlier offer is rolled back first.
    Offer(Wanted),
    /// Publisher: sets the SFU's answer.
    SetAnswer(String),
    AddCandidate(String),
}

impl Action {
    /// The step's name in logs.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Create { .. } => "create",
            Action::Answer { .. } => "answer",
            Action::Offer(_) => "offer",
            Action::SetAnswer(_) => "set answer",
            Action::AddCandidate(_) => "add candidate",
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub enum Output {
    /// Ask the application for a token; the reply is [`Input::Token`].
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
        /// FAST: the SFU still has the session with this id.
        resume: bool,
    },
    Send {
        generation: Generation,
        request: SfuRequest,
    },
    /// Close with this code; messages are read until the server has closed too.
    CloseSocket {
        generation: Generation,
        code: u16,
        reason: String,
    },
    /// Drop the socket at once.
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
    /// Report what this peer connection has tried so far; the reply is [`Input::Path`].
    Inspect {
        generation: Generation,
        peer: PeerKind,
    },
    /// This remote track belongs to this participant (again); play it.
    Bind {
        id: RemoteId,
        user_id: String,
        session_id: String,
        kind: TrackKind,
        /// The SFU's name of the track; empty if it has none.
        track_id: String,
        /// Distinguishes streams of the same kind if tracks have no names.
        stream: String,
        /// It cannot be decoded: only count it.
        silent: bool,
    },
    /// Deliver the buffered audio of this track now, before its playout time; the track ends next.
    PlayOut {
        id: RemoteId,
    },
    /// The track no longer belongs to a participant.
    Unbind {
        id: RemoteId,
    },
    /// The track is no longer needed: release its entry. Media that arrives for it later is a new track. The reply is
    /// [`Input::RemoteTrackGone`].
    Forget {
        id: RemoteId,
    },
    /// Send to other participants as soon as there is a channel.
    SendData(DataOut),
    /// Report when no accepted data is waiting to be sent; the reply is [`Input::Drained`].
    Drain,
    /// The track is negotiated and packets may flow, or no longer.
    Sending {
        track: TrackId,
        on: bool,
    },
    /// A moderator muted this local track; `false`: no longer in effect, because the application has set its own mute
    /// state.
    Moderated {
        track: TrackId,
        muted: bool,
    },
    /// A moderator unmuted this local track. The event before reports it; nothing is sent until that event is
    /// delivered.
    Lifted {
        track: TrackId,
    },
    /// Collect the statistics since the last committed report; the reply is [`Input::Stats`].
    CollectStats {
        generation: Generation,
        mark: u64,
    },
    /// The SFU has received that report: the next one starts after it.
    CommitStats {
        mark: u64,
    },
    /// Send the remaining statistics; no reply.
    FlushStats {
        generation: Generation,
        session_id: String,
        unified_session_id: String,
    },
    Event(Event),
    /// One debug line; formatted only when debug logging is on.
    Debug(std::borrow::Cow<'static, str>, Generation),
    /// The call has ended: the terminal event was emitted and no output follows.
    Finished,
}

/// Serialises a participant with all its fields.
fn whole<S: serde::Serializer>(who: &Arc<Participant>, to: S) -> Result<S::Ok, S::Error> {
    (**who).serialize(to)
}

/// Events for the application.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Event {
    State {
        state: State,
        previous: State,
    },
    Joined {
        counts: Counts,
        session_id: String,
    },
    /// The connection is restored; state JOINED is reported just before.
    Reconnected {
        strategy: Strategy,
        /// Number of attempts.
        attempts: u32,
        /// The current local session id.
        session_id: String,
        /// Time since the loss was detected.
        elapsed_ms: u64,
    },
    TokenNeeded,
    /// Snapshot of the participant; shares memory with the roster until that changes.
    ParticipantJoined(#[serde(serialize_with = "whole")] Arc<Participant>),
    ParticipantUpdated(#[serde(serialize_with = "whole")] Arc<Participant>),
    ParticipantLeft(#[serde(serialize_with = "whole")] Arc<Participant>),
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
        #[serde(with = "json::float")]
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
    /// Custom event from a participant or the application's backend. Not from the SFU: the core neither receives nor
    /// emits it.
    Custom {
        user_id: String,
        custom_type: String,
        json: String,
    },
    /// The room changed or became known.
    Room(Box<Room>),
    /// Another participant sent a packet or a text.
    Data(DataIn),
    /// Data from participants was lost; totals since the last such event.
    DataLost(DataLost),
    /// A participant's data is encrypted end to end; sent once per participant.
    DataEncrypted {
        user_id: String,
        session_id: String,
    },
    /// Another participant calls a procedure of the application.
    RpcRequest {
        id: String,
        user_id: String,
        method: String,
        payload: String,
        timeout_ms: u32,
    },
    /// Result of a procedure call of the application; sent once per call.
    RpcResponse {
        id: u64,
        answer: Result<String, RpcFailure>,
    },
    /// Received media or data cannot be decoded.
    Unplayable(Box<UnplayableMedia>),
    /// Permission to subscribe to a track was revoked or restored.
    Subscribable {
        user_id: String,
        session_id: String,
        track_id: String,
        allowed: bool,
    },
    /// Local track published.
    LocalPublished {
        track: TrackId,
    },
    /// A local track could not be published, or is no longer published.
    LocalFailed {
        track: TrackId,
        error: Error,
    },
    /// Media in one direction connected or disconnected.
    Media {
        direction: PeerKind,
        connected: bool,
        /// Empty when connected.
        text: String,
    },
    /// A STUN or TURN server gave no address; sent once per server and code.
    IceServer(IceServerFailure),
    /// An error that does not end the call.
    Error(Error),
    /// Data that was accepted but could not be sent. Comes just before the terminal event; the core neither counts nor
    /// emits it.
    Unsent(Unsent),
    /// The terminal event; exactly one.
    Ended(End),
}

/// Counters of one call; the core's part of the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    pub late_offers: u64,
    /// Late or stale messages, replies and candidates, without offers.
    pub late_other: u64,
    /// Offers received while the call was leaving; part of `late_offers`.
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
    /// Successful reconnects, by strategy.
    pub reconnects_fast: u64,
    pub reconnects_rejoin: u64,
    pub reconnects_migrate: u64,
    pub reconnect_attempts: u64,
    /// Data that could not be reassembled or exceeded a limit.
    pub data_dropped: u64,
    /// Packets and texts encrypted end to end; part of `data_dropped`.
    pub data_encrypted: u64,
    /// Reasons to reconnect that occurred during a reconnect.
    pub triggers_merged: u64,
}
