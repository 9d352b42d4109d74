//! `oh_event`: what happens in a call, as C sees it.

pub use super::event_payloads::*;
use super::{audio::oh_audio_frame, call::oh_call, people::*, sized::sized};
use std::ffi::{c_char, c_void};

/// The state of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_call_state {
    /// Not started: between oh_call_join and the first attempt.
    OH_STATE_IDLE = 0,
    /// Joining: admission, signalling, peer connections.
    OH_STATE_JOINING = 1,
    /// Joined: the SFU admitted this participant. Media flows after OH_EVENT_MEDIA.
    OH_STATE_JOINED = 2,
    /// Connection lost; reconnecting.
    OH_STATE_RECONNECTING = 3,
    /// The SFU moves this participant to another edge; media flows over the old one until then.
    OH_STATE_MIGRATING = 4,
    /// The machine has no network; the call waits for it.
    OH_STATE_OFFLINE = 5,
    /// Reconnecting failed; OH_STATE_LEFT follows at once.
    OH_STATE_RECONNECTING_FAILED = 6,
    /// Over; nothing follows but OH_EVENT_ENDED.
    OH_STATE_LEFT = 7,
}
pub type oh_call_state_t = i32;

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
    /// The join failed; see error, server_code and text.
    OH_END_JOIN_FAILED = 4,
    /// The connection was lost, and reconnecting failed.
    OH_END_CONNECTION_LOST = 5,
    /// The SFU disconnected this client.
    OH_END_DISCONNECTED = 6,
    /// oh_shutdown_wait.
    OH_END_SHUTDOWN = 7,
    /// A defect of the library, contained to this call.
    OH_END_INTERNAL = 8,
    /// More than ten attempts within two minutes to reconnect with a new session or another edge, failed ones included.
    /// Also before reconnect_timeout_ms has passed.
    OH_END_RECONNECT_LIMIT = 9,
    /// Offers of the SFU could not be answered, in three consecutive sessions.
    OH_END_NEGOTIATION_FAILED = 10,
    /// Peer connections cannot be established on this network; `text` has what was tried and found: candidates and
    /// pairs by type, TURN servers without a relay, whether anything was received.
    OH_END_NETWORK_UNSUPPORTED = 11,
    /// A reconnect was refused: the token has expired, the call is gone, or access was denied.
    OH_END_RECONNECT_REFUSED = 12,
    /// Another client joined as this participant.
    OH_END_REPLACED = 13,
}
pub type oh_end_reason_t = i32;

/// How a lost connection was made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_reconnect_kind {
    /// A new socket for the same session; the peer connections were kept.
    OH_RECONNECT_FAST = 2,
    /// A new session; local tracks were published again.
    OH_RECONNECT_REJOIN = 3,
    /// Another edge of the SFU; media flowed over the old one until then.
    OH_RECONNECT_MIGRATE = 4,
}
pub type oh_reconnect_kind_t = i32;

/// Direction of media, seen from the local participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_direction {
    /// Published media.
    OH_DIRECTION_SEND = 1,
    /// Received media.
    OH_DIRECTION_RECEIVE = 2,
}
pub type oh_direction_t = i32;

/// Kind of an event: which member of oh_event.u is set. Later versions have more: skip the kinds that you do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_event_kind {
    /// `state`: the call is in another state.
    OH_EVENT_STATE = 1,
    /// `joined`: the SFU admitted this participant; peer connections are being made. Media of a direction flows once
    /// OH_EVENT_MEDIA says that it is connected.
    OH_EVENT_JOINED = 2,
    /// No member: a token is needed. Answer with oh_call_provide_token within 30 s.
    OH_EVENT_TOKEN_NEEDED = 3,
    /// `participant`: a participant joined. On join, sent once for everyone already present. At most 10000 participants
    /// with 256 tracks each and 16 MiB in all are kept; OH_EVENT_ERROR (OH_ERR_LIMIT) reports once that there are more. Where one identity is in a
    /// call only once (OH_PROTOCOL_LIVEKIT), OH_EVENT_PARTICIPANT_LEFT of the replaced session comes before.
    OH_EVENT_PARTICIPANT_JOINED = 4,
    /// `participant`: a participant changed. With `local`: the local participant, once after each join (as the token
    /// describes it) and whenever the server changes it.
    OH_EVENT_PARTICIPANT_UPDATED = 5,
    /// `participant`: a participant left; see leave_reason. Also sent for those who left while the connection was lost.
    /// OH_EVENT_TRACK_UNPUBLISHED of their tracks came before, and procedure calls to them have failed.
    OH_EVENT_PARTICIPANT_LEFT = 6,
    /// `track`: a participant published a track, muted or not: once, and again each time it is unmuted. On join, also
    /// sent for the tracks of everyone already present. With OH_PROTOCOL_STREAM a participant has one track of each
    /// source: further ones of the same source are not distinguished. With `local`: a moderator unmuted a local track.
    /// Packets of that local track are sent only after this event was delivered: when the callback has returned, or the
    /// pulled event was freed.
    OH_EVENT_TRACK_PUBLISHED = 7,
    /// `track`: a track ended, or was muted (`muted` is true, cause OH_UNPUBLISH_MUTED): then it still exists, and its
    /// end is sent as well (not with OH_PROTOCOL_STREAM). With `local`: a moderator muted a local track. All audio of the track is delivered before
    /// this event, none after it until the track is published again.
    OH_EVENT_TRACK_UNPUBLISHED = 8,
    /// `audio_level`: how loud a participant is.
    OH_EVENT_AUDIO_LEVEL = 9,
    /// `dominant_speaker`: another participant speaks most.
    OH_EVENT_DOMINANT_SPEAKER = 10,
    /// `connection_quality`: how well a participant is connected.
    OH_EVENT_CONNECTION_QUALITY = 11,
    /// `counts`: the number of participants.
    OH_EVENT_COUNTS = 12,
    /// `rights`: what the local participant may do, on join (OH_PROTOCOL_STREAM: only when a right is missing; before,
    /// everything is allowed) and whenever it changes. From then on, functions whose right
    /// is missing return OH_ERR_REFUSED.
    OH_EVENT_RIGHTS = 13,
    /// `pins`: the pinned participants.
    OH_EVENT_PINS = 14,
    /// `local_track`: local track published; once. Reconnects publish it again without this event, or report
    /// OH_EVENT_LOCAL_TRACK_FAILED.
    OH_EVENT_LOCAL_TRACK_PUBLISHED = 15,
    /// `local_track`: a local track could not be published, or is not published any more.
    OH_EVENT_LOCAL_TRACK_FAILED = 16,
    /// `error`: something failed that does not end the call.
    OH_EVENT_ERROR = 17,
    /// `lost`: events are missing here, because the application did not take them in time. Packets and texts of
    /// participants wait for the application without being dropped; they are missing when a connection ended before
    /// they were taken, or when a text was never completed. Lossy packets are dropped when there is no room, and counted
    /// in oh_call_stats.data_dropped only.
    OH_EVENT_LOST = 18,
    /// `audio`: audio of a track; in pull mode only (else see oh_audio_handler).
    OH_EVENT_AUDIO = 19,
    /// `ended`: the call is over. Exactly one, the last event of a call.
    OH_EVENT_ENDED = 20,
    /// `reconnected`: the connection was lost and is made again; state JOINED came just before.
    OH_EVENT_RECONNECTED = 21,
    /// `custom`: custom event from a participant or your backend. Your own are echoed. Only with
    /// oh_client_options.receive_custom_events. Can come before OH_EVENT_JOINED.
    OH_EVENT_CUSTOM = 22,
    /// `room`: the room, on join and when it changed (OH_CAP_ROOM).
    OH_EVENT_ROOM = 23,
    /// `data`: a packet from a participant, or from the application's server (OH_CAP_DATA).
    OH_EVENT_DATA = 24,
    /// `text`: a complete text from a participant (OH_CAP_TEXT).
    OH_EVENT_TEXT = 25,
    /// `rpc_request`: a participant calls a procedure; answer with oh_call_answer_rpc (OH_CAP_RPC).
    OH_EVENT_RPC_REQUEST = 26,
    /// `rpc_response`: result of oh_call_perform_rpc; exactly one for each, before OH_EVENT_ENDED at the latest.
    OH_EVENT_RPC_RESPONSE = 27,
    /// `subscription_permission`: permission to subscribe to a track was revoked or restored (OH_CAP_SUBSCRIPTIONS).
    OH_EVENT_SUBSCRIPTION_PERMISSION = 28,
    /// `media`: media of one direction was connected, or lost; once for each change. Sending is connected when something
    /// is published (a track, or data), receiving when the SFU has something to send, or at the join; where the SFU uses
    /// one peer connection for both directions (OH_PROTOCOL_LIVEKIT), both at the join. A direction that the application
    /// closes is not reported as lost, and the end of the call is OH_EVENT_ENDED.
    OH_EVENT_MEDIA = 29,
    /// `unsent`: the call ended before everything that was accepted could be sent; before OH_EVENT_ENDED, at most once.
    OH_EVENT_UNSENT = 30,
    /// `unplayable`: media or data of a participant cannot be decoded; once for each track (data: participant) and
    /// reason, and again after an unmute.
    OH_EVENT_UNPLAYABLE = 31,
    /// `text_part`: a part of a text that is still arriving; only with oh_call_options.text_parts. The complete text
    /// follows as OH_EVENT_TEXT, or OH_EVENT_LOST counts it.
    OH_EVENT_TEXT_PART = 32,
    /// `dtmf`: a participant (SIP) pressed a key of the telephone.
    OH_EVENT_DTMF = 33,
    /// `ice_server`: a STUN or TURN server gave no address: it was not reached, or refused. Once for each server and
    /// code in a call, for sending and receiving together. The call goes on with the addresses that it has; whether
    /// media flows is OH_EVENT_MEDIA.
    OH_EVENT_ICE_SERVER = 34,
}
pub type oh_event_kind_t = i32;

use oh_event_kind::*;

/// Names of the kinds, NUL-terminated.
const NAMES: [(oh_event_kind, &str); 34] = [
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
    (OH_EVENT_RIGHTS, "rights\0"),
    (OH_EVENT_PINS, "pins\0"),
    (OH_EVENT_LOCAL_TRACK_PUBLISHED, "local_track_published\0"),
    (OH_EVENT_LOCAL_TRACK_FAILED, "local_track_failed\0"),
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
    (OH_EVENT_SUBSCRIPTION_PERMISSION, "subscription_permission\0"),
    (OH_EVENT_MEDIA, "media\0"),
    (OH_EVENT_UNSENT, "unsent\0"),
    (OH_EVENT_UNPLAYABLE, "unplayable\0"),
    (OH_EVENT_TEXT_PART, "text_part\0"),
    (OH_EVENT_DTMF, "dtmf\0"),
    (OH_EVENT_ICE_SERVER, "ice_server\0"),
];

/// What an event holds: the member for its kind. Pointers only, so that every structure can grow.
#[derive(Clone, Copy)]
#[repr(C)]
pub union oh_event_payload {
    /// OH_EVENT_STATE.
    pub state: *const oh_event_state,
    /// OH_EVENT_JOINED.
    pub joined: *const oh_event_joined,
    /// OH_EVENT_PARTICIPANT_JOINED, OH_EVENT_PARTICIPANT_UPDATED, OH_EVENT_PARTICIPANT_LEFT.
    pub participant: *const oh_participant,
    /// OH_EVENT_TRACK_PUBLISHED, OH_EVENT_TRACK_UNPUBLISHED.
    pub track: *const oh_track_info,
    /// OH_EVENT_AUDIO_LEVEL.
    pub audio_level: *const oh_event_audio_level,
    /// OH_EVENT_DOMINANT_SPEAKER.
    pub dominant_speaker: *const oh_event_dominant_speaker,
    /// OH_EVENT_CONNECTION_QUALITY.
    pub connection_quality: *const oh_event_connection_quality,
    /// OH_EVENT_COUNTS.
    pub counts: *const oh_event_counts,
    /// OH_EVENT_RIGHTS.
    pub rights: *const oh_event_rights,
    /// OH_EVENT_PINS.
    pub pins: *const oh_event_pins,
    /// OH_EVENT_LOCAL_TRACK_PUBLISHED, OH_EVENT_LOCAL_TRACK_FAILED.
    pub local_track: *const oh_event_local_track,
    /// OH_EVENT_ERROR.
    pub error: *const oh_event_error,
    /// OH_EVENT_LOST.
    pub lost: *const oh_event_lost,
    /// OH_EVENT_AUDIO.
    pub audio: *const oh_audio_frame,
    /// OH_EVENT_ENDED.
    pub ended: *const oh_event_ended,
    /// OH_EVENT_RECONNECTED.
    pub reconnected: *const oh_event_reconnected,
    /// OH_EVENT_CUSTOM.
    pub custom: *const oh_event_custom,
    /// OH_EVENT_ROOM.
    pub room: *const oh_event_room,
    /// OH_EVENT_DATA.
    pub data: *const oh_event_data,
    /// OH_EVENT_TEXT.
    pub text: *const oh_event_text,
    /// OH_EVENT_TEXT_PART.
    pub text_part: *const oh_event_text_part,
    /// OH_EVENT_RPC_REQUEST.
    pub rpc_request: *const oh_event_rpc_request,
    /// OH_EVENT_RPC_RESPONSE.
    pub rpc_response: *const oh_event_rpc_response,
    /// OH_EVENT_SUBSCRIPTION_PERMISSION.
    pub subscription_permission: *const oh_event_subscription_permission,
    /// OH_EVENT_MEDIA.
    pub media: *const oh_event_media,
    /// OH_EVENT_UNSENT.
    pub unsent: *const oh_event_unsent,
    /// OH_EVENT_UNPLAYABLE.
    pub unplayable: *const oh_event_unplayable,
    /// OH_EVENT_DTMF.
    pub dtmf: *const oh_event_dtmf,
    /// OH_EVENT_ICE_SERVER.
    pub ice_server: *const oh_event_ice_server,
    /// Of kinds that this header does not have; NULL for OH_EVENT_TOKEN_NEEDED.
    pub other: *const c_void,
}

/// An event of a call. Everything it points to is valid until the callback returns (of a pulled event: until
/// oh_event_free). Text is UTF-8, never NULL and never cut: what a message within oh_client_options.max_message_bytes
/// holds arrives complete (texts of errors: 1024 bytes). A zero byte inside becomes U+FFFD.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct oh_event {
    /// sizeof(oh_event) in the library.
    pub size: usize,
    /// The call.
    pub call: oh_call,
    /// Milliseconds since oh_call_join; 0 for OH_EVENT_AUDIO, and for OH_EVENT_LOST of a full queue.
    pub at_ms: u64,
    /// What it holds: the member that is named at the kind.
    pub u: oh_event_payload,
    /// Its kind; skip those that you do not know.
    pub kind: oh_event_kind_t,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_event to reserved);

/// Called with each event of a call, in order.
///
/// @param user_data  as in oh_call_handlers.
/// @param call       the call.
/// @param event      valid until the handler returns.
///
/// Runs on a callback thread; the callbacks of one call (events and media) run one at a time, with no lock held: every
/// function of the library may be called, oh_call_free included.
pub type oh_event_handler = Option<unsafe extern "C" fn(user_data: *mut c_void, call: oh_call, event: *const oh_event)>;

/// The name of an event kind, for instance "participant_joined".
///
/// @param kind  any number.
/// @return      static text; "unknown" for numbers that are no kind. Any thread.
#[no_mangle]
pub extern "C" fn oh_event_kind_get_name(kind: oh_event_kind_t) -> *const c_char {
    NAMES.iter().find(|(k, _)| *k as i32 == kind).map_or("unknown\0", |(_, name)| name).as_ptr().cast()
}

/// The name of a state, for instance "joined".
///
/// @param state  any number.
/// @return       static text; "unknown" for numbers that are no state. Any thread.
#[no_mangle]
pub extern "C" fn oh_call_state_get_name(state: oh_call_state_t) -> *const c_char {
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
