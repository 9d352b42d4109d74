//! What goes into a [`super::Core`] and what comes out: the whole surface between rules and world.
//!
//! Outputs are orders; the session actor carries them out and brings each result back as an input
//! that names its generation (and operation), so that a late result can be told from a current one.

use super::{model::*, End, State, Unsent};
use crate::error::{Code, Error, Secret};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// The application's name for a track it sends.
pub type TrackId = u64;
/// The session's name for a track it receives.
pub type RemoteId = u64;
/// Names one engine operation; its result brings the number back.
pub type Op = u64;

/// Fixed facts of one call.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// A track that a moderator unmutes stays muted until the application agrees.
    pub hold_unmute: bool,
    /// The application is asked again when its token has expired; always so when it gave none.
    pub renew_token: bool,
    /// How long a lost connection is looked for before the call ends; zero: for ever.
    pub disconnect_timeout: Duration,
    /// Parts of texts are told as they come.
    pub partial_texts: bool,
    pub seed: u64,
}

/// How an audio track is to be offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioOffer {
    /// Of a microphone or of a shared screen.
    pub source: TrackKind,
    pub stereo: bool,
    pub dtx: bool,
    /// Earlier frames sent along with each packet (RED); 0 is none.
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

/// What happened to this machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkChange {
    Offline,
    Online,
    /// Another network: what is bound to the old one is dead.
    Changed,
    /// Addresses or routes are others; what is open may work on.
    Unsettled,
}

/// What an engine operation gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum OpDone {
    Done,
    /// Local offer with the mids of the senders that were wanted, in their order.
    Offer {
        sdp: String,
        mids: Vec<String>,
    },
    /// The answer, in force on this side; so many of the candidates that came with the offer were of no use.
    Answer {
        sdp: String,
        refused: usize,
    },
}

/// Why an engine operation failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OpFailed {
    pub code: Code,
    /// The peer connection is closed: nothing to report.
    pub closed: bool,
    pub message: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// The answer to [`Output::Inspect`]; also told before a peer connection's change for the worse.
    Path {
        generation: Generation,
        peer: PeerKind,
        path: Path,
    },
    RemoteTrack {
        generation: Generation,
        id: RemoteId,
        /// None: its stream ids name nobody.
        owner: Option<MediaOwner>,
        /// The m-line that describes it; empty: the engine does not say.
        mid: String,
        /// It was there before, and was [`Output::Forget`]ten.
        again: bool,
    },
    /// Messages that a peer connection received were dropped unread.
    DataUnread {
        generation: Generation,
        messages: u64,
        bytes: u64,
    },
    /// The engine's track is over, or the answer to [`Output::Forget`].
    RemoteTrackGone {
        id: RemoteId,
    },
    /// What a remote track carries cannot be decoded.
    RemoteUnplayable {
        id: RemoteId,
        why: Unplayable,
    },
    /// Packets come of a stream that the engine cannot assign to an m-line.
    Unassigned {
        generation: Generation,
        ssrc: u32,
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
    /// Leaves as well, after what was accepted has been sent: at most so long is waited for [`Input::Drained`].
    Drain {
        reason: String,
        within: Duration,
    },
    /// The answer to [`Output::Drain`]: nothing waits to be sent any more.
    Drained,
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

/// A sender that the publisher is to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WantedSender {
    pub track: TrackId,
    /// Of its stream and track; the same sender has the same name.
    pub name: String,
    pub offer: AudioOffer,
}

/// What the publisher is to be from the next offer on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// All of them; one that is not there any more is not sent any more.
    pub senders: Vec<WantedSender>,
    /// The data channels of the protocol.
    pub channels: bool,
    pub ice_restart: bool,
}

/// An order to the engine: one for each negotiation, and all of it or nothing happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Makes the peer connection.
    Create {
        ice_servers: Vec<IceServer>,
    },
    /// Subscriber: takes the SFU's offer with the candidates that are known so far, and answers it.
    Answer {
        offer: String,
        candidates: Vec<String>,
    },
    /// Publisher: offers what is wanted. An offer that was not answered is taken back before.
    Offer(Wanted),
    /// Publisher: takes the SFU's answer.
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
    /// Tell what this peer connection has tried so far; the answer is [`Input::Path`].
    Inspect {
        generation: Generation,
        peer: PeerKind,
    },
    /// Media of this remote track belongs to this participant (again); play it.
    Bind {
        id: RemoteId,
        user_id: String,
        session_id: String,
        kind: TrackKind,
        /// The SFU's name of the track, empty without any.
        track_id: String,
        /// Tells streams of the same kind apart where tracks have no names.
        stream: String,
        /// It cannot be decoded: only counted.
        silent: bool,
    },
    /// What has come of it is handed over now, ahead of its time: the next word is that it is over.
    PlayOut {
        id: RemoteId,
    },
    /// No longer somebody's.
    Unbind {
        id: RemoteId,
    },
    /// Nothing more is expected of it: its place is given back. What comes of it all the same, later, is a track that
    /// has come anew. The answer is [`Input::RemoteTrackGone`].
    Forget {
        id: RemoteId,
    },
    /// To other participants, as soon as there is a channel.
    SendData(DataOut),
    /// Say when nothing that was accepted waits to be sent any more; the answer is [`Input::Drained`].
    Drain,
    /// The track is negotiated: packets may flow; or not any more.
    Sending {
        track: TrackId,
        on: bool,
    },
    /// A moderator has muted this local track; or that is over, because the application has decided since.
    Moderated {
        track: TrackId,
        muted: bool,
    },
    /// A moderator has unmuted this local track. The event before says so; nothing is sent before it was delivered.
    Lifted {
        track: TrackId,
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

/// A participant, with all that is known of it.
fn whole<S: serde::Serializer>(who: &Arc<Participant>, to: S) -> Result<S::Ok, S::Error> {
    (**who).serialize(to)
}

/// What the application hears.
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
    /// The participant as it was then; its memory is the roster's until that changes.
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
    /// Some of what participants sent is missing, in all since this was told last.
    DataLost(DataLost),
    /// What a participant sends is encrypted end to end; once for each participant.
    DataEncrypted {
        user_id: String,
        session_id: String,
    },
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
    /// Something arrives that cannot be decoded.
    Unplayable(Box<UnplayableMedia>),
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
    /// Media of one direction is connected, or was.
    Media {
        direction: PeerKind,
        connected: bool,
        /// Empty when connected.
        text: String,
    },
    /// Something failed that does not end the call.
    Error(Error),
    /// What was accepted and could not be sent. Comes just before the terminal event; the core neither counts nor
    /// raises it.
    Unsent(Unsent),
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
    /// Packets and texts that were encrypted end to end, part of `data_dropped`.
    pub data_encrypted: u64,
    /// Reasons to reconnect that came while a reconnect was under way.
    pub triggers_merged: u64,
}
