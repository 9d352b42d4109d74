//! Structures of events that stand for themselves: levels, pins, rooms, packets, media, keys.

use std::ffi::c_char;

/// How loud somebody is.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_level {
    /// Who it is.
    pub user_id: *const c_char,
    /// The participant's session.
    pub session_id: *const c_char,
    /// 0.0 to 1.0.
    pub level: f32,
    /// Non-zero: speaks now.
    pub speaking: u32,
}

/// How well somebody is connected.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_quality {
    /// Who it is.
    pub user_id: *const c_char,
    /// The participant's session.
    pub session_id: *const c_char,
    /// 0 unknown, 1 poor, 2 good, 3 excellent, 4 lost.
    pub quality: i32,
    /// Zero.
    pub reserved: u32,
}

/// A pinned participant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_pin {
    /// Who it is.
    pub user_id: *const c_char,
    /// The participant's session.
    pub session_id: *const c_char,
}

/// Who is pinned, all of them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_pins {
    /// `count` of them, most important first; NULL when count is 0.
    pub pins: *const oh_pin,
    /// How many.
    pub count: u32,
    /// Zero.
    pub reserved: u32,
}

/// A custom event of the call.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_custom {
    /// Who sent it; "" when the coordinator does not say.
    pub user_id: *const c_char,
    /// The member `type` of the data when it is text, else "".
    pub custom_type: *const c_char,
    /// The data as JSON, at most 16384 bytes; the order of its members is not that of the sender.
    pub json: *const c_char,
}

/// The room itself.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_room {
    /// The server's name of it.
    pub id: *const c_char,
    /// Shown to people, mostly the name that the call was joined by.
    pub name: *const c_char,
    /// The application's own text about the room, "" without any.
    pub metadata: *const c_char,
    /// Non-zero: it is being recorded.
    pub recording: u32,
    /// Zero.
    pub reserved: u32,
}

/// A packet of another participant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_data_packet {
    /// The sender; "" for the application's server. Data may come before OH_EVENT_PARTICIPANT_JOINED.
    pub user_id: *const c_char,
    /// The sender's session, "" when it is not known.
    pub session_id: *const c_char,
    /// What it is about, as its sender says; may be "".
    pub topic: *const c_char,
    /// `size` bytes; NULL when size is 0.
    pub bytes: *const u8,
    /// Bytes at `bytes`.
    pub size: u32,
    /// Non-zero: it came over the lossy channel.
    pub lossy: u32,
}

/// Whether a track can be had.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_subscribable {
    /// Whose track it is.
    pub user_id: *const c_char,
    /// The participant's session.
    pub session_id: *const c_char,
    /// The track, as in oh_event_track.
    pub track_id: *const c_char,
    /// Non-zero: it can be had.
    pub allowed: u32,
    /// Zero.
    pub reserved: u32,
}

/// Media of one direction.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_media {
    /// oh_direction.
    pub direction: i32,
    /// Non-zero: connected, media can flow; zero: it was connected and was lost.
    pub connected: u32,
    /// What was tried and found; "" when connected.
    pub text: *const c_char,
}

/// What was accepted and could not be sent.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_unsent {
    /// Milliseconds of audio, all tracks together.
    pub audio_ms: u64,
    /// Packets of oh_call_send_data.
    pub data_packets: u64,
    /// Texts of oh_call_send_text.
    pub texts: u64,
    /// Events of oh_call_send_custom.
    pub custom_events: u64,
    /// Answers of oh_call_rpc_answer.
    pub rpc_answers: u64,
    /// Bytes of all of them but audio.
    pub bytes: u64,
}

/// What cannot be decoded.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_unplayable {
    /// The sender; "" when it is not known.
    pub user_id: *const c_char,
    /// The sender's session, "" when it is not known.
    pub session_id: *const c_char,
    /// The track, as in oh_event_track; "" when it is not known, and of data.
    pub track_id: *const c_char,
    /// What was found and what to do.
    pub text: *const c_char,
    /// oh_track_kind; of data 0.
    pub kind: i32,
    /// oh_unplayable.
    pub reason: i32,
}

/// A piece of a text that is still arriving.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_text_part {
    /// The sender; "" for the application's server.
    pub user_id: *const c_char,
    /// The sender's session, "" when it is not known.
    pub session_id: *const c_char,
    /// What it is about, as its sender says; may be "".
    pub topic: *const c_char,
    /// The sender's name of this text, the same for all of its pieces and for OH_EVENT_TEXT.
    pub id: *const c_char,
    /// What its sender attached to the text, names and values as a JSON object, "" without any.
    pub attributes: *const c_char,
    /// The new piece; whole characters only.
    pub text: *const c_char,
    /// Bytes of the text before this piece.
    pub offset: u64,
}

/// A key of a telephone.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_dtmf {
    /// Who pressed it.
    pub user_id: *const c_char,
    /// The participant's session, "" when it is not known.
    pub session_id: *const c_char,
    /// The key as a text: "0" to "9", "*", "#", "A" to "D".
    pub digit: *const c_char,
    /// Its number by RFC 4733: 0 to 15.
    pub code: u32,
    /// Zero.
    pub reserved: u32,
}
