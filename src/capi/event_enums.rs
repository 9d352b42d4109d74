//! Enumerations that members of events hold: kinds and rights of participants, reasons, directions.

/// What kind of participant it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_participant_kind {
    /// A person with a client, or a program that joined as one.
    OH_PARTICIPANT_STANDARD = 0,
    /// A stream that is fed into the call (RTMP, WHIP).
    OH_PARTICIPANT_INGRESS = 1,
    /// A stream or recording that is made of the call.
    OH_PARTICIPANT_EGRESS = 2,
    /// A telephone.
    OH_PARTICIPANT_SIP = 3,
    /// A program that acts by itself.
    OH_PARTICIPANT_AGENT = 4,
    /// Records the call.
    OH_PARTICIPANT_RECORDER = 5,
    /// Of a kind that this version does not know.
    OH_PARTICIPANT_OTHER = 6,
}

/// Why a participant left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_leave_reason {
    /// Not said by the server.
    OH_LEAVE_UNKNOWN = 0,
    /// By its own decision.
    OH_LEAVE_CLIENT = 1,
    /// Another client joined as the same participant.
    OH_LEAVE_REPLACED = 2,
    /// Its server shut down.
    OH_LEAVE_SERVER_SHUTDOWN = 3,
    /// It was removed.
    OH_LEAVE_REMOVED = 4,
    /// The room was deleted.
    OH_LEAVE_ROOM_DELETED = 5,
    /// Server and client did not agree about its session.
    OH_LEAVE_STATE_MISMATCH = 6,
    /// It did not get in.
    OH_LEAVE_JOIN_FAILURE = 7,
    /// It went on to another server.
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

/// Rights of a participant; bits of oh_event_participant.rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_right {
    /// May publish audio of a microphone.
    OH_RIGHT_AUDIO = 1,
    /// May publish video of a camera.
    OH_RIGHT_VIDEO = 2,
    /// May publish the screen and its audio.
    OH_RIGHT_SCREEN_SHARE = 4,
    /// May send data, texts and procedure calls.
    OH_RIGHT_DATA = 8,
    /// May receive tracks.
    OH_RIGHT_SUBSCRIBE = 16,
    /// May change its own name, metadata and attributes.
    OH_RIGHT_UPDATE_METADATA = 32,
    /// Is not visible to others.
    OH_RIGHT_HIDDEN = 64,
    /// Records the call.
    OH_RIGHT_RECORDER = 128,
}

/// Direction of media, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_direction {
    /// What is published.
    OH_DIRECTION_SEND = 1,
    /// What is received.
    OH_DIRECTION_RECEIVE = 2,
}

/// Why something that arrived cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_unplayable {
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
