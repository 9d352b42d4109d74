//! What events hold: one structure for each kind, each beginning with its size.

use super::{basic::oh_bool, event::*, people::*, result::oh_result_t, sized::sized, track::oh_track};
use std::ffi::c_char;

/// OH_EVENT_STATE: the state of the call changed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_state {
    /// sizeof(oh_event_state) in the library.
    pub size: usize,
    /// The state now.
    pub state: oh_call_state_t,
    /// The state before.
    pub previous: oh_call_state_t,
}

/// OH_EVENT_JOINED: the call is joined.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_joined {
    /// sizeof(oh_event_joined) in the library.
    pub size: usize,
    /// The session id of the local participant.
    pub session_id: *const c_char,
    /// Milliseconds since oh_call_join.
    pub join_ms: u64,
    /// Participants in the call, the local one and anonymous ones included.
    pub participants: u32,
    /// Anonymous participants: counted, not listed.
    pub anonymous_participants: u32,
}

/// OH_EVENT_AUDIO_LEVEL: how loud a participant is.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_audio_level {
    /// sizeof(oh_event_audio_level) in the library.
    pub size: usize,
    /// The user id of the participant.
    pub user_id: *const c_char,
    /// The session id of the participant.
    pub session_id: *const c_char,
    /// 0.0 (silence) to 1.0.
    pub level: f32,
    /// Speaks now.
    pub speaking: oh_bool,
}

/// OH_EVENT_DOMINANT_SPEAKER: another participant speaks most.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_dominant_speaker {
    /// sizeof(oh_event_dominant_speaker) in the library.
    pub size: usize,
    /// The user id of the participant.
    pub user_id: *const c_char,
    /// The session id of the participant.
    pub session_id: *const c_char,
}

/// OH_EVENT_CONNECTION_QUALITY: how well a participant is connected.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_connection_quality {
    /// sizeof(oh_event_connection_quality) in the library.
    pub size: usize,
    /// The user id of the participant.
    pub user_id: *const c_char,
    /// The session id of the participant.
    pub session_id: *const c_char,
    /// Its quality now.
    pub quality: oh_connection_quality_t,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_COUNTS: the number of participants, as counted by the SFU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_counts {
    /// sizeof(oh_event_counts) in the library.
    pub size: usize,
    /// Participants in the call, the local one and anonymous ones included.
    pub participants: u32,
    /// Anonymous participants: counted, not listed; 0 in protocols without them.
    pub anonymous_participants: u32,
}

/// OH_EVENT_RIGHTS: what the local participant may do.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_rights {
    /// sizeof(oh_event_rights) in the library.
    pub size: usize,
    /// The rights now.
    pub rights: oh_rights,
}

/// OH_EVENT_PINS: all pinned participants.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_pins {
    /// sizeof(oh_event_pins) in the library.
    pub size: usize,
    /// `pin_count` pointers, most important first; NULL when pin_count is 0.
    pub pins: *const *const oh_pin,
    /// Number of pinned participants.
    pub pin_count: usize,
}

/// OH_EVENT_LOCAL_TRACK_PUBLISHED, OH_EVENT_LOCAL_TRACK_FAILED: the result of publishing a local track.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_local_track {
    /// sizeof(oh_event_local_track) in the library.
    pub size: usize,
    /// The track; none (id 0) when the application has freed it meanwhile.
    pub track: oh_track,
    /// Why it failed; "" for OH_EVENT_LOCAL_TRACK_PUBLISHED.
    pub text: *const c_char,
    /// OH_OK for OH_EVENT_LOCAL_TRACK_PUBLISHED.
    pub error: oh_result_t,
    /// The server's own code; 0 without one.
    pub server_code: i32,
}

/// OH_EVENT_ERROR: something failed that does not end the call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_error {
    /// sizeof(oh_event_error) in the library.
    pub size: usize,
    /// What failed and what to do.
    pub text: *const c_char,
    /// What kind of failure.
    pub error: oh_result_t,
    /// The server's own code (SFU error code or HTTP status); 0 without one.
    pub server_code: i32,
}

/// OH_EVENT_LOST: events are missing here. They were dropped because the queue was full; packets and texts also because
/// they could not be completed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_lost {
    /// sizeof(oh_event_lost) in the library.
    pub size: usize,
    /// Everything that is missing: events, packets and texts.
    pub total: u64,
    /// Packets of participants, part of total.
    pub data_packets: u64,
    /// Bytes of these packets.
    pub data_bytes: u64,
    /// Texts of participants, part of total.
    pub texts: u64,
}

/// OH_EVENT_ENDED: why the call ended.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_ended {
    /// sizeof(oh_event_ended) in the library.
    pub size: usize,
    /// The reason in words.
    pub text: *const c_char,
    /// The reason.
    pub reason: oh_end_reason_t,
    /// OH_OK when the call ended without a failure; OH_ERR_CANCELLED when it was left before it had joined.
    pub error: oh_result_t,
    /// The server's own code; 0 without one.
    pub server_code: i32,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_RECONNECTED: the call is connected again.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_reconnected {
    /// sizeof(oh_event_reconnected) in the library.
    pub size: usize,
    /// The session id of the local participant now.
    pub session_id: *const c_char,
    /// Milliseconds since the loss was detected.
    pub elapsed_ms: u64,
    /// How it was connected again.
    pub kind: oh_reconnect_kind_t,
    /// Attempts, the successful one included.
    pub attempts: u32,
}

/// OH_EVENT_CUSTOM: a custom event.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_custom {
    /// sizeof(oh_event_custom) in the library.
    pub size: usize,
    /// The user id of the sender; "" when the coordinator does not say.
    pub user_id: *const c_char,
    /// The member `type` of the data when it is a string; else "".
    pub custom_type: *const c_char,
    /// The data as a JSON object, at most 16384 bytes. The order of its members can differ from the sender's.
    pub data_json: *const c_char,
}

/// OH_EVENT_ROOM: the room.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_room {
    /// sizeof(oh_event_room) in the library.
    pub size: usize,
    /// The server's id of the room.
    pub room_id: *const c_char,
    /// Its name, usually the call id that was joined.
    pub name: *const c_char,
    /// The application's own text about the room; may be "".
    pub metadata: *const c_char,
    /// The room is being recorded.
    pub recording: oh_bool,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_DATA: a packet from a participant, or from the application's server.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_data {
    /// sizeof(oh_event_data) in the library.
    pub size: usize,
    /// The user id of the sender; "" for the application's server. Data can come before OH_EVENT_PARTICIPANT_JOINED.
    pub user_id: *const c_char,
    /// The session id of the sender; "" when it is not known.
    pub session_id: *const c_char,
    /// The topic that the sender set; may be "".
    pub topic: *const c_char,
    /// `data_size` bytes; NULL when data_size is 0.
    pub data: *const u8,
    /// Bytes at data.
    pub data_size: usize,
    /// It came over the lossy channel.
    pub lossy: oh_bool,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_TEXT: a complete text from a participant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_text {
    /// sizeof(oh_event_text) in the library.
    pub size: usize,
    /// The user id of the sender; "" for the application's server.
    pub user_id: *const c_char,
    /// The session id of the sender; "" when it is not known.
    pub session_id: *const c_char,
    /// The topic that the sender set; may be "".
    pub topic: *const c_char,
    /// The sender's id of this text.
    pub text_id: *const c_char,
    /// The text.
    pub text: *const c_char,
    /// Names and values that the sender attached, as a JSON object of strings; may be "".
    pub attributes_json: *const c_char,
}

/// OH_EVENT_TEXT_PART: a part of a text that is still arriving.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_text_part {
    /// sizeof(oh_event_text_part) in the library.
    pub size: usize,
    /// The user id of the sender; "" for the application's server.
    pub user_id: *const c_char,
    /// The session id of the sender; "" when it is not known.
    pub session_id: *const c_char,
    /// The topic that the sender set; may be "".
    pub topic: *const c_char,
    /// The sender's id of this text: the same for all of its parts and for OH_EVENT_TEXT.
    pub text_id: *const c_char,
    /// The new part; whole characters only.
    pub text: *const c_char,
    /// Names and values that the sender attached, as a JSON object of strings; may be "".
    pub attributes_json: *const c_char,
    /// Bytes of the text before this part.
    pub offset_bytes: u64,
}

/// OH_EVENT_RPC_REQUEST: a participant calls a procedure.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_rpc_request {
    /// sizeof(oh_event_rpc_request) in the library.
    pub size: usize,
    /// For oh_call_answer_rpc.
    pub request_id: *const c_char,
    /// The user id of the caller.
    pub user_id: *const c_char,
    /// The procedure.
    pub method: *const c_char,
    /// The payload of the request; may be "".
    pub payload: *const c_char,
    /// How long the caller waits for the answer, as it says. Other clients may say up to 7000 ms less than they wait.
    pub timeout_ms: u32,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_RPC_RESPONSE: the result of oh_call_perform_rpc.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_rpc_response {
    /// sizeof(oh_event_rpc_response) in the library.
    pub size: usize,
    /// The id that oh_call_perform_rpc returned.
    pub rpc_id: u64,
    /// The answer; on failure the data of the error, usually "".
    pub payload: *const c_char,
    /// Why it failed; "" on success.
    pub text: *const c_char,
    /// 0 on success; else an oh_rpc_error, or a code of the other application.
    pub error_code: u32,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_SUBSCRIPTION_PERMISSION: whether a track may be received.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_subscription_permission {
    /// sizeof(oh_event_subscription_permission) in the library.
    pub size: usize,
    /// The user id of the track's participant.
    pub user_id: *const c_char,
    /// The session id of the track's participant.
    pub session_id: *const c_char,
    /// The track, as in oh_track_info.
    pub track_id: *const c_char,
    /// The track may be received.
    pub allowed: oh_bool,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_MEDIA: media of one direction was connected or lost.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_media {
    /// sizeof(oh_event_media) in the library.
    pub size: usize,
    /// What was tried and found; "" when connected.
    pub text: *const c_char,
    /// The direction.
    pub direction: oh_direction_t,
    /// True: connected, media can flow. False: it was connected and was lost.
    pub connected: oh_bool,
}

/// OH_EVENT_UNSENT: what was accepted and could not be sent before the call ended.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_unsent {
    /// sizeof(oh_event_unsent) in the library.
    pub size: usize,
    /// Milliseconds of audio, all tracks together.
    pub audio_ms: u64,
    /// Packets of oh_call_send_data.
    pub data_packets: u64,
    /// Texts of oh_call_send_text.
    pub texts: u64,
    /// Events of oh_call_send_custom_event.
    pub custom_events: u64,
    /// Answers of oh_call_answer_rpc.
    pub rpc_answers: u64,
    /// Bytes of everything but audio.
    pub bytes: u64,
}

/// OH_EVENT_UNPLAYABLE: media or data that cannot be decoded.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_unplayable {
    /// sizeof(oh_event_unplayable) in the library.
    pub size: usize,
    /// The user id of the sender; "" when it is not known.
    pub user_id: *const c_char,
    /// The session id of the sender; "" when it is not known.
    pub session_id: *const c_char,
    /// The track, as in oh_track_info; "" when it is not known, and for data.
    pub track_id: *const c_char,
    /// What was found and what to do.
    pub text: *const c_char,
    /// What the track carries; OH_SOURCE_UNKNOWN for data.
    pub source: oh_track_source_t,
    /// Why.
    pub reason: oh_unplayable_reason_t,
}

/// OH_EVENT_DTMF: a key of a telephone was pressed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_dtmf {
    /// sizeof(oh_event_dtmf) in the library.
    pub size: usize,
    /// The user id of the participant.
    pub user_id: *const c_char,
    /// The session id of the participant; "" when it is not known.
    pub session_id: *const c_char,
    /// The key: "0" to "9", "*", "#", "A" to "D".
    pub digit: *const c_char,
    /// Its number (RFC 4733): 0 to 15.
    pub code: u32,
    /// Zero.
    pub reserved: u32,
}

/// OH_EVENT_ICE_SERVER: a STUN or TURN server gave no address.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_ice_server {
    /// sizeof(oh_event_ice_server) in the library.
    pub size: usize,
    /// The server's URL as the service named it, for instance "turn:turn.example.com:3478?transport=udp"; without
    /// credentials, at most 1024 bytes.
    pub url: *const c_char,
    /// What was found and what to do.
    pub text: *const c_char,
    /// The code of the server's error response (STUN, TURN): for instance 401 wrong credentials, 403 forbidden, 437
    /// allocation mismatch, 441 wrong credentials for an allocation, 486 too many allocations, 508 no capacity. 701: it
    /// was not reached: no answer, refused, TLS failed. As in W3C's icecandidateerror.
    pub code: u32,
    /// Zero.
    pub reserved: u32,
}

sized!(
    oh_event_state to previous,
    oh_event_joined to anonymous_participants,
    oh_event_audio_level to speaking,
    oh_event_dominant_speaker to session_id,
    oh_event_connection_quality to reserved,
    oh_event_counts to anonymous_participants,
    oh_event_rights to rights,
    oh_event_pins to pin_count,
    oh_event_local_track to server_code,
    oh_event_error to server_code,
    oh_event_lost to texts,
    oh_event_ended to reserved,
    oh_event_reconnected to attempts,
    oh_event_custom to data_json,
    oh_event_room to reserved,
    oh_event_data to reserved,
    oh_event_text to attributes_json,
    oh_event_text_part to offset_bytes,
    oh_event_rpc_request to reserved,
    oh_event_rpc_response to reserved,
    oh_event_subscription_permission to reserved,
    oh_event_media to connected,
    oh_event_unsent to bytes,
    oh_event_unplayable to reason,
    oh_event_dtmf to reserved,
    oh_event_ice_server to reserved,
);
