//! Who is in a call, what they publish, and the room they are in. Must not know: wire types, rules.

use super::TrackKind;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quality {
    #[default]
    Unknown,
    Poor,
    Good,
    Excellent,
    /// The SFU hears nothing of this participant.
    Lost,
}

/// A track that somebody publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteTrack {
    /// The SFU's name for it; empty in protocols that know kinds only.
    pub id: String,
    pub kind: TrackKind,
    /// Given by its publisher, may be empty.
    pub name: String,
    /// Published, but silent by its publisher's wish. Told to the application as unpublished.
    pub muted: bool,
}

impl From<TrackKind> for RemoteTrack {
    fn from(kind: TrackKind) -> Self {
        Self { id: String::new(), kind, name: String::new(), muted: false }
    }
}

/// Whose media a peer connection carries, as its stream ids say; read by the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaOwner {
    /// See [`Participant::track_prefix`].
    pub prefix: String,
    /// None: what the participant's track of that id says.
    pub kind: Option<TrackKind>,
    /// The SFU's name of the track; may be empty.
    pub track_id: String,
}

/// Somebody in the call, as the SFU last described them. `session_id` is the key: one user may be
/// in a call more than once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Participant {
    pub user_id: String,
    pub session_id: String,
    pub name: String,
    pub image: String,
    pub roles: Vec<String>,
    /// Custom data as JSON text, empty without any.
    pub custom_json: String,
    /// The application's own text about this participant, empty without any.
    pub metadata: String,
    /// Names and values as a JSON object, empty without any.
    pub attributes_json: String,
    pub published: Vec<RemoteTrack>,
    /// The part of the stream ids under which this participant's media arrives that names them.
    pub track_prefix: String,
    pub quality: Quality,
    pub is_speaking: bool,
    pub is_dominant: bool,
    /// 0.0 (silence) to 1.0.
    pub audio_level: f32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub total: u32,
    pub anonymous: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    pub user_id: String,
    pub session_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grants {
    pub audio: bool,
    pub video: bool,
    pub screen_share: bool,
}

/// The room itself, in protocols in which it is something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub id: String,
    pub name: String,
    /// The application's own text about the room, empty without any.
    pub metadata: String,
    pub recording: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnpublishCause {
    #[default]
    Unspecified,
    UserMuted,
    PermissionRevoked,
    Moderation,
}
