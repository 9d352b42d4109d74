//! `oh_event`: what happens in a call, as C sees it.

use super::{audio::oh_audio, call::oh_call, track::oh_track};
pub use super::{event_enums::*, event_parts::*};
use std::ffi::{c_char, c_void};

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_state {
    /// Not begun: the moment between oh_call_join and the first attempt.
    OH_STATE_IDLE = 0,
    /// Getting in: admission, socket, peer connections.
    OH_STATE_JOINING = 1,
    /// In the call: media can flow.
    OH_STATE_JOINED = 2,
    /// The connection was lost and is looked for.
    OH_STATE_RECONNECTING = 3,
    /// The SFU hands this participant over to another edge; the old one plays until then.
    OH_STATE_MIGRATING = 4,
    /// The machine has no network: the call waits for it.
    OH_STATE_OFFLINE = 5,
    /// The connection was not found again; OH_STATE_LEFT follows at once.
    OH_STATE_RECONNECTING_FAILED = 6,
    /// Over; nothing follows but OH_EVENT_ENDED.
    OH_STATE_LEFT = 7,
}

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_end_reason {
    /// The application left or freed the call.
    OH_END_LEFT = 0,
    /// The call was ended for everybody.
    OH_END_CALL_ENDED = 1,
    /// The livestream or session in it ended.
    OH_END_SESSION_ENDED = 2,
    /// This participant was removed.
    OH_END_KICKED = 3,
    /// The join did not succeed; error, server_code and text tell why.
    OH_END_JOIN_FAILED = 4,
    /// The connection was lost.
    OH_END_CONNECTION_LOST = 5,
    /// The SFU told this client to disconnect.
    OH_END_DISCONNECTED = 6,
    /// oh_shutdown_wait.
    OH_END_SHUTDOWN = 7,
    /// A defect of the library, contained to this call.
    OH_END_INTERNAL = 8,
    /// More than ten reconnects within two minutes: the connection does not last.
    OH_END_RECONNECT_LIMIT = 9,
    /// Offers of the SFU could not be answered, in three sessions one after the other.
    OH_END_NEGOTIATION_FAILED = 10,
    /// Peer connections never come up on this network; `reason` says what was tried and what was found: candidates
    /// and pairs by type, TURN servers that gave no relay, whether anything came back.
    OH_END_NETWORK_UNSUPPORTED = 11,
    /// This participant is not let in again: the token has expired, the call is gone, or it is refused.
    OH_END_RECONNECT_REFUSED = 12,
    /// Somebody else has joined as this participant.
    OH_END_REPLACED = 13,
}

/// What an event is about; tells which member of the union holds. More may be added: ignore
/// what you do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_event_kind {
    /// `state`: the call is in another state.
    OH_EVENT_STATE = 1,
    /// `joined`: the SFU has let this participant in; peer connections are being made. Media of a direction flows
    /// once OH_EVENT_MEDIA says that it is connected.
    OH_EVENT_JOINED = 2,
    /// No member: a token is needed; answer with oh_call_provide_token within 30 s.
    OH_EVENT_TOKEN_NEEDED = 3,
    /// `participant`: a participant joined. On join sent once for everybody already present. Where one identity is in
    /// a call once (OH_PROTOCOL_LIVEKIT), OH_EVENT_PARTICIPANT_LEFT of the session that is replaced comes before.
    OH_EVENT_PARTICIPANT_JOINED = 4,
    /// `participant`: something about a participant changed. With `local`: about the local participant, sent once
    /// after each join (what the token says of it) and whenever the server changes it.
    OH_EVENT_PARTICIPANT_UPDATED = 5,
    /// `participant`: a participant left; `reason` says why. Also for those who left while the connection was lost.
    /// Their tracks ended before (OH_EVENT_TRACK_UNPUBLISHED), and procedure calls to them have failed.
    OH_EVENT_PARTICIPANT_LEFT = 6,
    /// `track`: a participant published a track, once, muted or not; and again each time it is unmuted. With
    /// `local`: a moderator unmuted a local track. Packets are sent only after this event was delivered: when the
    /// callback has returned, or the pulled event was freed.
    OH_EVENT_TRACK_PUBLISHED = 7,
    /// `track`: a participant's track ended, or was muted (`muted` non-zero, cause 1): then it is still there, and its
    /// end is sent as well. With `local`: a moderator muted a local track.
    /// What had come of the track was handed over before this event; nothing of it is after it, until the track is
    /// published again.
    OH_EVENT_TRACK_UNPUBLISHED = 8,
    /// `level`: how loud a participant is now.
    OH_EVENT_AUDIO_LEVEL = 9,
    /// `level`: who speaks most; only the names hold.
    OH_EVENT_DOMINANT_SPEAKER = 10,
    /// `quality`: how well a participant is connected.
    OH_EVENT_CONNECTION_QUALITY = 11,
    /// `counts`: how many are in the call, by the SFU's count.
    OH_EVENT_COUNTS = 12,
    /// `grants`: what the local participant may do, on join and whenever it changes. Functions whose right is missing
    /// return OH_ERR_REFUSED from then on.
    OH_EVENT_GRANTS = 13,
    /// `pins`: the pinned participants.
    OH_EVENT_PINS = 14,
    /// `local`: a track of mine is on the air.
    OH_EVENT_LOCAL_PUBLISHED = 15,
    /// `local`: a track of mine could not be published, or not any more; error tells why.
    OH_EVENT_LOCAL_FAILED = 16,
    /// `error`: something failed that does not end the call.
    OH_EVENT_ERROR = 17,
    /// `lost`: events were dropped here because the application was too slow to take them; or packets or texts of
    /// participants, which wait for the application without being dropped, are missing: a connection ended before
    /// they were taken, or a text never became whole.
    OH_EVENT_LOST = 18,
    /// `audio`: sound of a participant; in pull mode only (else see oh_audio_handler).
    OH_EVENT_AUDIO = 19,
    /// `ended`: the call is over. The one terminal event, the last of all.
    OH_EVENT_ENDED = 20,
    /// `reconnected`: the connection was lost and is back; state JOINED came just before.
    OH_EVENT_RECONNECTED = 21,
    /// `custom`: somebody, or the application's server, told everyone who watches the call; only with
    /// oh_client_options.events. May come before OH_EVENT_JOINED. One's own come back, too.
    OH_EVENT_CUSTOM = 22,
    /// `room`: the room, at the join and when it has changed (OH_CAP_ROOM).
    OH_EVENT_ROOM = 23,
    /// `data`: a packet of another participant, or of the application's server (OH_CAP_DATA).
    OH_EVENT_DATA = 24,
    /// `text`: a text of another participant, put together (OH_CAP_TEXT).
    OH_EVENT_TEXT = 25,
    /// `rpc`: another participant calls a procedure; answer with oh_call_rpc_answer (OH_CAP_RPC).
    OH_EVENT_RPC_REQUEST = 26,
    /// `rpc`: what became of an oh_call_rpc; exactly one for each, before OH_EVENT_ENDED at the latest.
    OH_EVENT_RPC_RESPONSE = 27,
    /// `subscribable`: a track cannot be had any more, or again (OH_CAP_SUBSCRIPTIONS).
    OH_EVENT_SUBSCRIBABLE = 28,
    /// `media`: media of one direction is connected, or was lost; once for each change. Sending is connected when
    /// something is published (a track, or data), receiving when the SFU has something to send, or at the join. A
    /// direction that the application closes is not reported as lost, and the end of the call is OH_EVENT_ENDED.
    OH_EVENT_MEDIA = 29,
    /// `unsent`: the call has ended before everything that was accepted could be sent; comes before
    /// OH_EVENT_ENDED, at most once.
    OH_EVENT_UNSENT = 30,
    /// `unplayable`: media or data of a participant arrives that cannot be decoded; once for each track (of data:
    /// participant) and reason.
    OH_EVENT_UNPLAYABLE = 31,
    /// `text_part`: a piece of a text that is still arriving; only with oh_call_options.partial_texts. The whole
    /// text follows as OH_EVENT_TEXT, or OH_EVENT_LOST counts it.
    OH_EVENT_TEXT_PART = 32,
    /// `dtmf`: a participant (of SIP) pressed a key of the telephone.
    OH_EVENT_DTMF = 33,
}

/// How a lost connection was found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_reconnect {
    /// A new socket for the same session; sound went on meanwhile.
    OH_RECONNECT_FAST = 2,
    /// A new session; what was published is published again.
    OH_RECONNECT_REJOIN = 3,
    /// Another edge of the SFU, the old one played until it took over.
    OH_RECONNECT_MIGRATE = 4,
}

use oh_event_kind::*;

const NAMES: [(oh_event_kind, &str); 33] = [
    (OH_EVENT_STATE, "state\0"),
    (OH_EVENT_JOINED, "joined\0"),
    (OH_EVENT_TOKEN_NEEDED, "token_needed\0"),
    (OH_EVENT_PARTICIPANT_JOINED, "participant_joined\0"),
    (OH_EVENT_PARTICIPANT_UPDATED, "participant_updated\0"),
    (OH_EVENT_PARTICIPANT_LEFT, "participant_left\0"),
    (OH_EVENT_TRACK_PUBLISHED, "track_published\0"),
    (OH_EVENT_TRACK_UNPUBLISHED, "track_unpublished\0"),
    (OH_EVENT_AUDIO_LEVEL, "audio_level\0"),
    (OH_EVENT_DOMINANT_SPEAKER, "dominant_speaker\0"),
    (OH_EVENT_CONNECTION_QUALITY, "connection_quality\0"),
    (OH_EVENT_COUNTS, "counts\0"),
    (OH_EVENT_GRANTS, "grants\0"),
    (OH_EVENT_PINS, "pins\0"),
    (OH_EVENT_LOCAL_PUBLISHED, "local_published\0"),
    (OH_EVENT_LOCAL_FAILED, "local_failed\0"),
    (OH_EVENT_ERROR, "error\0"),
    (OH_EVENT_LOST, "lost\0"),
    (OH_EVENT_AUDIO, "audio\0"),
    (OH_EVENT_ENDED, "ended\0"),
    (OH_EVENT_RECONNECTED, "reconnected\0"),
    (OH_EVENT_CUSTOM, "custom\0"),
    (OH_EVENT_ROOM, "room\0"),
    (OH_EVENT_DATA, "data\0"),
    (OH_EVENT_TEXT, "text\0"),
    (OH_EVENT_RPC_REQUEST, "rpc_request\0"),
    (OH_EVENT_RPC_RESPONSE, "rpc_response\0"),
    (OH_EVENT_SUBSCRIBABLE, "subscribable\0"),
    (OH_EVENT_MEDIA, "media\0"),
    (OH_EVENT_UNSENT, "unsent\0"),
    (OH_EVENT_UNPLAYABLE, "unplayable\0"),
    (OH_EVENT_TEXT_PART, "text_part\0"),
    (OH_EVENT_DTMF, "dtmf\0"),
];

/// oh_state before and after.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_state {
    /// oh_state now.
    pub state: i32,
    /// oh_state before.
    pub previous: i32,
}

/// Head count, self included.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_counts {
    /// All participants.
    pub total: u32,
    /// Those of them who have no name and are not told one by one; 0 in protocols without such.
    pub anonymous: u32,
}

/// The call is joined.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_joined {
    /// Own session id.
    pub session_id: *const c_char,
    /// How many are in the call.
    pub counts: oh_event_counts,
    /// Milliseconds since oh_call_join.
    pub join_ms: u32,
    /// Zero.
    pub reserved: u32,
}

/// A participant, as far as is known now.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_participant {
    /// Who it is; one user may be in a call more than once (not with OH_PROTOCOL_LIVEKIT).
    pub user_id: *const c_char,
    /// Names the participant in this call.
    pub session_id: *const c_char,
    /// Shown to people, "" without any.
    pub name: *const c_char,
    /// URL of a picture, "" without any.
    pub image: *const c_char,
    /// Custom data as JSON, "" without any.
    pub custom: *const c_char,
    /// 0 unknown, 1 poor, 2 good, 3 excellent, 4 lost.
    pub quality: i32,
    /// Non-zero: speaks now.
    pub speaking: u32,
    /// Non-zero: speaks most.
    pub dominant: u32,
    /// 0.0 to 1.0.
    pub level: f32,
    /// The application's own text about this participant, "" without any (OH_CAP_ATTRIBUTES).
    pub metadata: *const c_char,
    /// Names and values as a JSON object, "" without any (OH_CAP_ATTRIBUTES).
    pub attributes: *const c_char,
    /// oh_participant_kind.
    pub kind: i32,
    /// Non-zero: this is the local participant.
    pub local: u32,
    /// OH_EVENT_PARTICIPANT_LEFT: why, an oh_leave_reason; else 0.
    pub reason: i32,
    /// Bits of oh_right; 0 in protocols that do not say them of others.
    pub rights: u32,
}

/// A participant's track.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_track {
    /// Whose it is.
    pub user_id: *const c_char,
    /// The participant's session.
    pub session_id: *const c_char,
    /// oh_track_kind.
    pub kind: i32,
    /// Why it ended: 0 not said, 1 muted by its user, 2 permission revoked, 3 moderation.
    pub cause: i32,
    /// The SFU's name of the track, for oh_subscriber_set_track; "" in protocols without one.
    pub track_id: *const c_char,
    /// As its publisher calls it; may be "". Its source is `kind`.
    pub name: *const c_char,
    /// Non-zero: published, and muted.
    pub muted: u32,
    /// Non-zero: a track of the local participant, changed by a moderator.
    pub local: u32,
    /// Non-zero: a moderator unmuted it, and it stays muted until oh_track_set_muted says otherwise: with
    /// oh_call_options.hold_unmute, and when the application itself had muted it.
    pub held: u32,
    /// Non-zero: encrypted end to end.
    pub encrypted: u32,
}

/// Non-zero: allowed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_grants {
    /// Sound of a microphone.
    pub audio: u32,
    /// Video of a camera.
    pub video: u32,
    /// The screen, with its sound.
    pub screen_share: u32,
    /// Data, texts and procedure calls.
    pub data: u32,
    /// Receiving tracks.
    pub subscribe: u32,
    /// Changing the own name, metadata and attributes.
    pub update_metadata: u32,
    /// Not a permission: this participant is not visible to others.
    pub hidden: u32,
    /// Not a permission: this participant records the call.
    pub recorder: u32,
}

/// What became of a track of mine.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_local {
    /// None (id 0) when the application has freed it meanwhile.
    pub track: oh_track,
    /// oh_result; OH_OK for OH_EVENT_LOCAL_PUBLISHED.
    pub error: i32,
    /// The server's own code, 0 without one.
    pub server_code: i32,
    /// What failed and what to do; "" for OH_EVENT_LOCAL_PUBLISHED.
    pub text: *const c_char,
}

/// Something that failed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_error {
    /// oh_result.
    pub error: i32,
    /// The server's own code (SFU error code or HTTP status), 0 without one.
    pub server_code: i32,
    /// What failed and what to do.
    pub text: *const c_char,
}

/// What is missing here. Packets and texts were dropped for want of room, or could not be put together.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_lost {
    /// How many were dropped.
    pub count: u64,
    /// Packets of participants that were dropped, part of count.
    pub data_packets: u64,
    /// Their bytes.
    pub data_bytes: u64,
    /// Texts of participants that were dropped, part of count.
    pub texts: u64,
}

/// How a lost connection was found again.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_reconnected {
    /// Own session id now.
    pub session_id: *const c_char,
    /// oh_reconnect.
    pub how: i32,
    /// Attempts that it took.
    pub attempts: u32,
    /// Milliseconds since the loss was noticed.
    pub elapsed_ms: u64,
}

/// Why and how the call ended.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_ended {
    /// oh_end_reason.
    pub code: i32,
    /// oh_result; OH_OK when the call ended as wanted.
    pub error: i32,
    /// The server's own code, 0 without one.
    pub server_code: i32,
    /// Zero.
    pub reserved: u32,
    /// In words.
    pub reason: *const c_char,
}

/// A text of another participant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_text {
    /// The sender; "" for the application's server.
    pub user_id: *const c_char,
    /// The sender's session, "" when it is not known.
    pub session_id: *const c_char,
    /// What it is about, as its sender says; may be "".
    pub topic: *const c_char,
    /// The sender's name of this text.
    pub id: *const c_char,
    /// The whole text.
    pub text: *const c_char,
    /// What its sender attached to it, names and values as a JSON object, "" without any.
    pub attributes: *const c_char,
}

/// A procedure call: a request of another participant, or the response to one of mine.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_rpc {
    /// OH_EVENT_RPC_RESPONSE: the number that oh_call_rpc gave; else 0.
    pub call_id: u64,
    /// OH_EVENT_RPC_REQUEST: for oh_call_rpc_answer; else "".
    pub request_id: *const c_char,
    /// OH_EVENT_RPC_REQUEST: who calls; else "".
    pub user_id: *const c_char,
    /// OH_EVENT_RPC_REQUEST: the procedure; else "".
    pub method: *const c_char,
    /// What is handed over, or the answer; of a failure its data, mostly "".
    pub payload: *const c_char,
    /// OH_EVENT_RPC_RESPONSE: why it failed; else "".
    pub text: *const c_char,
    /// OH_EVENT_RPC_RESPONSE: 0, or an oh_rpc_error, or a code of the other application's.
    pub error_code: u32,
    /// OH_EVENT_RPC_REQUEST: ms that the caller waits for the answer, as it tells; other clients may tell up to 7 s
    /// less.
    pub timeout_ms: u32,
}

/// The member that `kind` names.
#[derive(Clone, Copy)]
#[repr(C)]
pub union oh_event_data {
    /// OH_EVENT_STATE.
    pub state: oh_event_state,
    /// OH_EVENT_JOINED.
    pub joined: oh_event_joined,
    /// OH_EVENT_PARTICIPANT_JOINED, _UPDATED, _LEFT.
    pub participant: oh_event_participant,
    /// OH_EVENT_TRACK_PUBLISHED, OH_EVENT_TRACK_UNPUBLISHED.
    pub track: oh_event_track,
    /// OH_EVENT_AUDIO_LEVEL, OH_EVENT_DOMINANT_SPEAKER.
    pub level: oh_event_level,
    /// OH_EVENT_CONNECTION_QUALITY.
    pub quality: oh_event_quality,
    /// OH_EVENT_COUNTS.
    pub counts: oh_event_counts,
    /// OH_EVENT_GRANTS.
    pub grants: oh_event_grants,
    /// OH_EVENT_PINS.
    pub pins: oh_event_pins,
    /// OH_EVENT_LOCAL_PUBLISHED, OH_EVENT_LOCAL_FAILED.
    pub local: oh_event_local,
    /// OH_EVENT_ERROR.
    pub error: oh_event_error,
    /// OH_EVENT_LOST.
    pub lost: oh_event_lost,
    /// OH_EVENT_AUDIO.
    pub audio: oh_audio,
    /// OH_EVENT_ENDED.
    pub ended: oh_event_ended,
    /// OH_EVENT_RECONNECTED.
    pub reconnected: oh_event_reconnected,
    /// OH_EVENT_CUSTOM.
    pub custom: oh_event_custom,
    /// OH_EVENT_ROOM.
    pub room: oh_event_room,
    /// OH_EVENT_DATA.
    pub data: oh_event_data_packet,
    /// OH_EVENT_TEXT.
    pub text: oh_event_text,
    /// OH_EVENT_RPC_REQUEST, OH_EVENT_RPC_RESPONSE.
    pub rpc: oh_event_rpc,
    /// OH_EVENT_SUBSCRIBABLE.
    pub subscribable: oh_event_subscribable,
    /// OH_EVENT_MEDIA.
    pub media: oh_event_media,
    /// OH_EVENT_UNSENT.
    pub unsent: oh_event_unsent,
    /// OH_EVENT_UNPLAYABLE.
    pub unplayable: oh_event_unplayable,
    /// OH_EVENT_TEXT_PART.
    pub text_part: oh_event_text_part,
    /// OH_EVENT_DTMF.
    pub dtmf: oh_event_dtmf,
    /// Room for later kinds: the size of an event does not change.
    pub reserved: [u64; 24],
}

/// Something that happened. Everything it points to is valid during the callback only; of a pulled
/// event: until oh_event_free. Text is UTF-8, never NULL and never cut: what a message within
/// oh_client_options.max_message_bytes says arrives whole. A zero byte inside becomes U+FFFD.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct oh_event {
    /// sizeof(oh_event) in the library.
    pub size: u32,
    /// oh_event_kind; skip what you do not know.
    pub kind: i32,
    /// Whose event it is.
    pub call: oh_call,
    /// Milliseconds since oh_call_join.
    pub at_ms: u64,
    /// What happened, in the member that `kind` names.
    pub u: oh_event_data,
}

/// Gets the events of a call, in order.
///
/// Runs on a callback thread; the callbacks of one call (events and media) run one at a time, with
/// no lock held: every function of the library may be called, oh_call_free included.
pub type oh_event_handler = Option<unsafe extern "C" fn(user_data: *mut c_void, call: oh_call, event: *const oh_event)>;

/// The name of an event kind, for instance "participant_joined"; "unknown" for other numbers.
/// Static text, any thread.
#[no_mangle]
pub extern "C" fn oh_event_kind_name(kind: i32) -> *const c_char {
    NAMES.iter().find(|(k, _)| *k as i32 == kind).map_or("unknown\0", |(_, name)| name).as_ptr().cast()
}

/// The name of a state, for instance "joined"; "unknown" for other numbers. Static text, any thread.
#[no_mangle]
pub extern "C" fn oh_state_name(state: i32) -> *const c_char {
    let name = match state {
        0 => "idle\0",
        1 => "joining\0",
        2 => "joined\0",
        3 => "reconnecting\0",
        4 => "migrating\0",
        5 => "offline\0",
        6 => "reconnecting_failed\0",
        7 => "left\0",
        _ => "unknown\0",
    };
    name.as_ptr().cast()
}
