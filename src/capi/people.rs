//! Participants and their tracks, as events and snapshots describe them.

use super::{basic::oh_bool, sized::sized, track::oh_track};
use crate::core::model::{Quality, TrackKind, UnpublishCause};
use std::ffi::c_char;

/// What a track carries, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_track_source {
    /// Not known; data and texts have no source.
    OH_SOURCE_UNKNOWN = 0,
    /// Audio of a microphone.
    OH_SOURCE_MICROPHONE = 1,
    /// Video of a camera.
    OH_SOURCE_CAMERA = 2,
    /// Video of a shared screen.
    OH_SOURCE_SCREEN_SHARE = 3,
    /// Audio of a shared screen.
    OH_SOURCE_SCREEN_SHARE_AUDIO = 4,
}
pub type oh_track_source_t = i32;

impl From<TrackKind> for oh_track_source {
    fn from(kind: TrackKind) -> Self {
        match kind {
            TrackKind::Audio => Self::OH_SOURCE_MICROPHONE,
            TrackKind::Video => Self::OH_SOURCE_CAMERA,
            TrackKind::ScreenShare => Self::OH_SOURCE_SCREEN_SHARE,
            TrackKind::ScreenShareAudio => Self::OH_SOURCE_SCREEN_SHARE_AUDIO,
        }
    }
}

/// Why a track ended or was muted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_unpublish_cause {
    /// The server did not say.
    OH_UNPUBLISH_UNKNOWN = 0,
    /// Its participant muted it.
    OH_UNPUBLISH_MUTED = 1,
    /// Its participant lost the right to publish it.
    OH_UNPUBLISH_PERMISSION_REVOKED = 2,
    /// A moderator muted or removed it.
    OH_UNPUBLISH_MODERATION = 3,
}
pub type oh_unpublish_cause_t = i32;

impl From<UnpublishCause> for oh_unpublish_cause {
    fn from(cause: UnpublishCause) -> Self {
        match cause {
            UnpublishCause::Unspecified => Self::OH_UNPUBLISH_UNKNOWN,
            UnpublishCause::UserMuted => Self::OH_UNPUBLISH_MUTED,
            UnpublishCause::PermissionRevoked => Self::OH_UNPUBLISH_PERMISSION_REVOKED,
            UnpublishCause::Moderation => Self::OH_UNPUBLISH_MODERATION,
        }
    }
}

/// Why received media or data cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_unplayable_reason {
    /// It can, as far as is known.
    OH_UNPLAYABLE_NONE = 0,
    /// The track is encrypted end to end.
    OH_UNPLAYABLE_ENCRYPTED = 1,
    /// Its codec is not supported.
    OH_UNPLAYABLE_CODEC = 2,
    /// The stream cannot be assigned to a track of a participant.
    OH_UNPLAYABLE_UNASSIGNED = 3,
    /// Its payload type was not negotiated.
    OH_UNPLAYABLE_PAYLOAD_TYPE = 4,
    /// Data or a text is encrypted end to end.
    OH_UNPLAYABLE_DATA_ENCRYPTED = 5,
}
pub type oh_unplayable_reason_t = i32;

/// How well a participant is connected, as measured by the SFU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_connection_quality {
    /// Not measured.
    OH_QUALITY_UNKNOWN = 0,
    /// Media is impaired.
    OH_QUALITY_POOR = 1,
    /// Some loss or delay.
    OH_QUALITY_GOOD = 2,
    /// No impairment.
    OH_QUALITY_EXCELLENT = 3,
    /// The SFU receives nothing from the participant.
    OH_QUALITY_LOST = 4,
}
pub type oh_connection_quality_t = i32;

impl From<Quality> for oh_connection_quality {
    fn from(quality: Quality) -> Self {
        match quality {
            Quality::Unknown => Self::OH_QUALITY_UNKNOWN,
            Quality::Poor => Self::OH_QUALITY_POOR,
            Quality::Good => Self::OH_QUALITY_GOOD,
            Quality::Excellent => Self::OH_QUALITY_EXCELLENT,
            Quality::Lost => Self::OH_QUALITY_LOST,
        }
    }
}

/// What kind of participant it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_participant_kind {
    /// A person with a client, or a program that joined as one.
    OH_PARTICIPANT_STANDARD = 0,
    /// A stream that is ingested into the call (RTMP, WHIP).
    OH_PARTICIPANT_INGRESS = 1,
    /// A recording or a stream of the call.
    OH_PARTICIPANT_EGRESS = 2,
    /// A telephone (SIP).
    OH_PARTICIPANT_SIP = 3,
    /// An agent: a program that acts by itself.
    OH_PARTICIPANT_AGENT = 4,
    /// Records the call.
    OH_PARTICIPANT_RECORDER = 5,
    /// Of a kind that this version does not know.
    OH_PARTICIPANT_OTHER = 6,
}
pub type oh_participant_kind_t = i32;

/// Why a participant left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_leave_reason {
    /// It has not left, or the server did not say.
    OH_LEAVE_UNKNOWN = 0,
    /// It left by itself.
    OH_LEAVE_CLIENT = 1,
    /// Another client joined as the same participant.
    OH_LEAVE_REPLACED = 2,
    /// Its server shut down.
    OH_LEAVE_SERVER_SHUTDOWN = 3,
    /// It was removed.
    OH_LEAVE_REMOVED = 4,
    /// The room was deleted.
    OH_LEAVE_ROOM_DELETED = 5,
    /// Server and client disagreed about its session.
    OH_LEAVE_STATE_MISMATCH = 6,
    /// Its join failed.
    OH_LEAVE_JOIN_FAILURE = 7,
    /// It moved to another server.
    OH_LEAVE_MIGRATION = 8,
    /// Its signalling connection was lost.
    OH_LEAVE_SIGNAL_CLOSE = 9,
    /// The room was closed.
    OH_LEAVE_ROOM_CLOSED = 10,
    /// SIP: the callee did not answer.
    OH_LEAVE_USER_UNAVAILABLE = 11,
    /// SIP: the callee declined.
    OH_LEAVE_USER_REJECTED = 12,
    /// SIP: the trunk failed.
    OH_LEAVE_SIP_TRUNK_FAILURE = 13,
    /// Its connection timed out.
    OH_LEAVE_CONNECTION_TIMEOUT = 14,
    /// Its media failed.
    OH_LEAVE_MEDIA_FAILURE = 15,
    /// The agent failed.
    OH_LEAVE_AGENT_ERROR = 16,
}
pub type oh_leave_reason_t = i32;

/// What a participant may do, and two marks; bits of oh_rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_right {
    /// May publish audio of a microphone.
    OH_RIGHT_AUDIO = 1,
    /// May publish video of a camera.
    OH_RIGHT_VIDEO = 2,
    /// May publish a screen and its audio.
    OH_RIGHT_SCREEN_SHARE = 4,
    /// May send data, texts and procedure calls.
    OH_RIGHT_DATA = 8,
    /// May receive tracks.
    OH_RIGHT_SUBSCRIBE = 16,
    /// May change its own name, metadata and attributes (oh_call_set_attributes).
    OH_RIGHT_SET_ATTRIBUTES = 32,
    /// No right: the participant is not visible to others.
    OH_RIGHT_HIDDEN = 64,
    /// No right: the participant records the call.
    OH_RIGHT_RECORDER = 128,
}

/// A set of oh_right: the sum of its bits. Bits that you do not know may be set.
pub type oh_rights = u64;

/// A track that a participant publishes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_track_info {
    /// sizeof(oh_track_info) in the library.
    pub size: usize,
    /// The user id of its participant.
    pub user_id: *const c_char,
    /// The session id of its participant.
    pub session_id: *const c_char,
    /// The SFU's id of the track, for oh_subscriber_set_track; "" in protocols without one.
    pub track_id: *const c_char,
    /// The name that its publisher gave it; may be "".
    pub name: *const c_char,
    /// The handle, of a local track in a snapshot; else none.
    pub track: oh_track,
    /// What it carries.
    pub source: oh_track_source_t,
    /// OH_EVENT_TRACK_UNPUBLISHED: why; else OH_UNPUBLISH_UNKNOWN.
    pub cause: oh_unpublish_cause_t,
    /// Published, and muted: a snapshot, and OH_EVENT_TRACK_UNPUBLISHED with OH_UNPUBLISH_MUTED.
    pub muted: oh_bool,
    /// A track of the local participant (in an event: that a moderator changed).
    pub local: oh_bool,
    /// A moderator unmuted it, and it stays muted until oh_track_set_muted unmutes it: with
    /// oh_call_options.hold_unmute, and when the application itself had muted it. Only in OH_EVENT_TRACK_PUBLISHED.
    pub held: oh_bool,
    /// Encrypted end to end.
    pub encrypted: oh_bool,
    /// Snapshot, remote track: its media arrives and can be played.
    pub received: oh_bool,
    /// Snapshot, remote track: why its media cannot be played, an oh_unplayable_reason; else OH_UNPLAYABLE_NONE.
    pub unplayable: oh_unplayable_reason_t,
    /// Snapshot, local track: it is published over the present connection; packets can be sent.
    pub published: oh_bool,
    /// Snapshot, local track: a moderator muted it.
    pub moderated: oh_bool,
}

/// A participant, as last described by the SFU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_participant {
    /// sizeof(oh_participant) in the library.
    pub size: usize,
    /// The user id. One user can be in a call more than once (not with OH_PROTOCOL_LIVEKIT).
    pub user_id: *const c_char,
    /// Identifies the participant in this call.
    pub session_id: *const c_char,
    /// The display name; may be "".
    pub name: *const c_char,
    /// URL of a picture; may be "".
    pub image_url: *const c_char,
    /// Custom data as a JSON object; may be "".
    pub custom_json: *const c_char,
    /// The application's own text about the participant; may be "" (OH_CAP_ATTRIBUTES).
    pub metadata: *const c_char,
    /// Names and values as a JSON object of strings; may be "" (OH_CAP_ATTRIBUTES).
    pub attributes_json: *const c_char,
    /// Its tracks: `track_count` pointers; NULL when track_count is 0. None in OH_EVENT_PARTICIPANT_JOINED:
    /// OH_EVENT_TRACK_PUBLISHED follows for each. With OH_PROTOCOL_STREAM the SFU reports a track of
    /// another participant that is muted as ended: it is not among them until it is published again.
    pub tracks: *const *const oh_track_info,
    /// Number of tracks.
    pub track_count: usize,
    /// Its rights, when rights_known.
    pub rights: oh_rights,
    /// The protocol reports the rights of participants; else rights is 0.
    pub rights_known: oh_bool,
    /// What kind of participant it is.
    pub kind: oh_participant_kind_t,
    /// How well it is connected.
    pub quality: oh_connection_quality_t,
    /// OH_EVENT_PARTICIPANT_LEFT: why; else OH_LEAVE_UNKNOWN.
    pub leave_reason: oh_leave_reason_t,
    /// Its audio level, 0.0 (silence) to 1.0.
    pub audio_level: f32,
    /// Speaks now.
    pub speaking: oh_bool,
    /// The dominant speaker.
    pub dominant: oh_bool,
    /// The local participant.
    pub local: oh_bool,
}

/// A snapshot of the participants of a call; see oh_call_get_participants.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_participants {
    /// sizeof(oh_participants) in the library.
    pub size: usize,
    /// `participant_count` pointers, the local participant first; NULL when participant_count is 0.
    pub participants: *const *const oh_participant,
    /// Number of participants.
    pub participant_count: usize,
}

/// A pinned participant.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_pin {
    /// sizeof(oh_pin) in the library.
    pub size: usize,
    /// The user id.
    pub user_id: *const c_char,
    /// The session id.
    pub session_id: *const c_char,
}

sized!(oh_participants to participant_count, oh_track_info to moderated, oh_participant to local, oh_pin to session_id);
