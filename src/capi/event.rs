//! `oh_event`: what happens in a call, as C sees it.

use super::{
    audio::{oh_audio, oh_track_kind},
    call::oh_call,
    convert::c_text,
    result::oh_result,
    track::oh_track,
};
use crate::core::{Event, State};
use crate::core::model::{Participant, Quality, Strategy, UnpublishCause};
use crate::error::Error;
use crate::session::Notice;
use std::ffi::{c_char, c_void, CString};

/// Where a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_state {
    OH_STATE_IDLE = 0,
    OH_STATE_JOINING = 1,
    OH_STATE_JOINED = 2,
    OH_STATE_RECONNECTING = 3,
    OH_STATE_MIGRATING = 4,
    OH_STATE_OFFLINE = 5,
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
    /// Peer connections never come up on this network (is UDP allowed?).
    OH_END_NETWORK_UNSUPPORTED = 11,
    /// This participant is not let in again: the token has expired, the call is gone, or it is refused.
    OH_END_RECONNECT_REFUSED = 12,
}

/// What an event is about; tells which member of the union holds. More may be added: ignore
/// what you do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_event_kind {
    /// `state`: the call is in another state.
    OH_EVENT_STATE = 1,
    /// `joined`: media can flow.
    OH_EVENT_JOINED = 2,
    /// No member: a token is needed; answer with oh_call_provide_token within 30 s.
    OH_EVENT_TOKEN_NEEDED = 3,
    /// `participant`: somebody is here (at a join also those who were here before).
    OH_EVENT_PARTICIPANT_JOINED = 4,
    /// `participant`: something about somebody changed.
    OH_EVENT_PARTICIPANT_UPDATED = 5,
    /// `participant`: somebody is gone.
    OH_EVENT_PARTICIPANT_LEFT = 6,
    /// `track`: a participant publishes a track (or unmuted it).
    OH_EVENT_TRACK_PUBLISHED = 7,
    /// `track`: a participant's track ended (or was muted; see cause).
    OH_EVENT_TRACK_UNPUBLISHED = 8,
    /// `level`: how loud a participant is now.
    OH_EVENT_AUDIO_LEVEL = 9,
    /// `level`: who speaks most; only the names hold.
    OH_EVENT_DOMINANT_SPEAKER = 10,
    /// `quality`: how well a participant is connected.
    OH_EVENT_CONNECTION_QUALITY = 11,
    /// `counts`: how many are in the call, by the SFU's count.
    OH_EVENT_COUNTS = 12,
    /// `grants`: what this participant may send.
    OH_EVENT_GRANTS = 13,
    /// `pins`: the pinned participants.
    OH_EVENT_PINS = 14,
    /// `local`: a track of mine is on the air.
    OH_EVENT_LOCAL_PUBLISHED = 15,
    /// `local`: a track of mine could not be published, or not any more; error tells why.
    OH_EVENT_LOCAL_FAILED = 16,
    /// `error`: something failed that does not end the call.
    OH_EVENT_ERROR = 17,
    /// `lost`: events were dropped here because the application was too slow to take them.
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

const NAMES: [(oh_event_kind, &str); 22] = [
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
];

/// oh_state before and after.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_state {
    pub state: i32,
    pub previous: i32,
}

/// Head count, self included.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_counts {
    pub total: u32,
    pub anonymous: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_joined {
    /// Own session id.
    pub session_id: *const c_char,
    pub counts: oh_event_counts,
    /// Milliseconds since oh_call_join.
    pub join_ms: u32,
    pub reserved: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_participant {
    pub user_id: *const c_char,
    pub session_id: *const c_char,
    pub name: *const c_char,
    pub image: *const c_char,
    /// Custom data as JSON, "" without any.
    pub custom: *const c_char,
    /// 0 unknown, 1 poor, 2 good, 3 excellent.
    pub quality: i32,
    pub speaking: u32,
    pub dominant: u32,
    /// 0.0 to 1.0.
    pub level: f32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_track {
    pub user_id: *const c_char,
    pub session_id: *const c_char,
    /// oh_track_kind.
    pub kind: i32,
    /// Why it ended: 0 not said, 1 muted by its user, 2 permission revoked, 3 moderation.
    pub cause: i32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_level {
    pub user_id: *const c_char,
    pub session_id: *const c_char,
    /// 0.0 to 1.0.
    pub level: f32,
    pub speaking: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_quality {
    pub user_id: *const c_char,
    pub session_id: *const c_char,
    /// 0 unknown, 1 poor, 2 good, 3 excellent.
    pub quality: i32,
    pub reserved: u32,
}

/// Non-zero: allowed.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_grants {
    pub audio: u32,
    pub video: u32,
    pub screen_share: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_pin {
    pub user_id: *const c_char,
    pub session_id: *const c_char,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_pins {
    /// `count` of them, most important first; NULL when count is 0.
    pub pins: *const oh_pin,
    pub count: u32,
    pub reserved: u32,
}

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_local {
    /// None (id 0) when the application has freed it meanwhile.
    pub track: oh_track,
    /// oh_result; OH_OK for OH_EVENT_LOCAL_PUBLISHED.
    pub error: i32,
    /// The server's own code, 0 without one.
    pub server_code: i32,
    pub text: *const c_char,
}

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

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_lost {
    pub count: u64,
}

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

#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_event_ended {
    /// oh_end_reason.
    pub code: i32,
    /// oh_result; OH_OK when the call ended as wanted.
    pub error: i32,
    /// The server's own code, 0 without one.
    pub server_code: i32,
    pub reserved: u32,
    /// In words.
    pub reason: *const c_char,
}

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

/// The member that `kind` names.
#[derive(Clone, Copy)]
#[repr(C)]
pub union oh_event_data {
    pub state: oh_event_state,
    pub joined: oh_event_joined,
    pub participant: oh_event_participant,
    pub track: oh_event_track,
    pub level: oh_event_level,
    pub quality: oh_event_quality,
    pub counts: oh_event_counts,
    pub grants: oh_event_grants,
    pub pins: oh_event_pins,
    pub local: oh_event_local,
    pub error: oh_event_error,
    pub lost: oh_event_lost,
    pub audio: oh_audio,
    pub ended: oh_event_ended,
    pub reconnected: oh_event_reconnected,
    pub custom: oh_event_custom,
    /// Room for later kinds: the size of an event does not change.
    pub reserved: [u64; 24],
}

/// Something that happened. Everything it points to is valid during the callback only; of a pulled
/// event: until oh_event_free. Text is UTF-8 and never NULL.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct oh_event {
    /// sizeof(oh_event) in the library.
    pub size: u32,
    /// oh_event_kind; skip what you do not know.
    pub kind: i32,
    pub call: oh_call,
    /// Milliseconds since oh_call_join.
    pub at_ms: u64,
    pub u: oh_event_data,
}

/// Gets the events of a call, in order.
///
/// Runs on a callback thread; the callbacks of one call (events and media) run one at a time, with
/// no lock held: every function of the library may be called, oh_call_free included.
pub type oh_event_handler =
    Option<unsafe extern "C" fn(user_data: *mut c_void, call: oh_call, event: *const oh_event)>;

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

/// Texts that an event points to.
#[derive(Default)]
pub(super) struct Texts {
    texts: Vec<CString>,
    pins: Vec<oh_pin>,
}

impl Texts {
    fn keep(&mut self, text: &str) -> *const c_char {
        let text = c_text(text);
        // The heap text does not move when the list grows.
        let pointer = text.as_ptr();
        self.texts.push(text);
        pointer
    }
}

pub(super) fn state_of(state: State) -> i32 {
    state as i32
}

pub(super) fn frame(call: oh_call, at_ms: u64, kind: oh_event_kind, u: oh_event_data) -> oh_event {
    oh_event { size: size_of::<oh_event>() as u32, kind: kind as i32, call, at_ms, u }
}

fn participant(p: &Participant, t: &mut Texts) -> oh_event_data {
    let participant = oh_event_participant {
        user_id: t.keep(&p.user_id),
        session_id: t.keep(&p.session_id),
        name: t.keep(&p.name),
        image: t.keep(&p.image),
        custom: t.keep(&p.custom_json),
        quality: quality(p.quality),
        speaking: u32::from(p.is_speaking),
        dominant: u32::from(p.is_dominant),
        level: p.audio_level,
    };
    oh_event_data { participant }
}

fn quality(quality: Quality) -> i32 {
    match quality {
        Quality::Unknown => 0,
        Quality::Poor => 1,
        Quality::Good => 2,
        Quality::Excellent => 3,
    }
}

fn error_of(error: Option<&Error>) -> (i32, i32) {
    error.map_or((0, 0), |e| (oh_result::from(e.code) as i32, e.server_code))
}

/// The C form of an event; valid as long as the texts are. `track` finds the handle of a track.
pub(super) fn c_event(call: oh_call, notice: &Notice, t: &mut Texts, track: impl Fn(u64) -> oh_track) -> oh_event {
    // What no member covers is zero.
    let zero = oh_event_data { reserved: [0; 24] };
    let (kind, u) = match &notice.event {
        Event::State { state, previous } => (
            OH_EVENT_STATE,
            oh_event_data { state: oh_event_state { state: state_of(*state), previous: state_of(*previous) } },
        ),
        Event::Joined { counts, session_id } => {
            let counts = oh_event_counts { total: counts.total, anonymous: counts.anonymous };
            let join_ms = u32::try_from(notice.at_ms).unwrap_or(u32::MAX);
            let joined = oh_event_joined { session_id: t.keep(session_id), counts, join_ms, reserved: 0 };
            (OH_EVENT_JOINED, oh_event_data { joined })
        }
        Event::Reconnected { strategy, attempts, session_id, elapsed_ms } => {
            let how = match strategy {
                Strategy::Fast => oh_reconnect::OH_RECONNECT_FAST,
                Strategy::Migrate => oh_reconnect::OH_RECONNECT_MIGRATE,
                _ => oh_reconnect::OH_RECONNECT_REJOIN,
            };
            let reconnected = oh_event_reconnected {
                session_id: t.keep(session_id),
                how: how as i32,
                attempts: *attempts,
                elapsed_ms: *elapsed_ms,
            };
            (OH_EVENT_RECONNECTED, oh_event_data { reconnected })
        }
        Event::TokenNeeded => (OH_EVENT_TOKEN_NEEDED, zero),
        Event::ParticipantJoined(p) => (OH_EVENT_PARTICIPANT_JOINED, participant(p, t)),
        Event::ParticipantUpdated(p) => (OH_EVENT_PARTICIPANT_UPDATED, participant(p, t)),
        Event::ParticipantLeft(p) => (OH_EVENT_PARTICIPANT_LEFT, participant(p, t)),
        Event::TrackPublished { user_id, session_id, kind } => {
            let kind = oh_track_kind::from(*kind) as i32;
            let track = oh_event_track { user_id: t.keep(user_id), session_id: t.keep(session_id), kind, cause: 0 };
            (OH_EVENT_TRACK_PUBLISHED, oh_event_data { track })
        }
        Event::TrackUnpublished { user_id, session_id, kind, cause } => {
            let kind = oh_track_kind::from(*kind) as i32;
            let cause = match cause {
                UnpublishCause::Unspecified => 0,
                UnpublishCause::UserMuted => 1,
                UnpublishCause::PermissionRevoked => 2,
                UnpublishCause::Moderation => 3,
            };
            let track = oh_event_track { user_id: t.keep(user_id), session_id: t.keep(session_id), kind, cause };
            (OH_EVENT_TRACK_UNPUBLISHED, oh_event_data { track })
        }
        Event::AudioLevel { user_id, session_id, level, speaking } => {
            let (user_id, session_id) = (t.keep(user_id), t.keep(session_id));
            let level = oh_event_level { user_id, session_id, level: *level, speaking: u32::from(*speaking) };
            (OH_EVENT_AUDIO_LEVEL, oh_event_data { level })
        }
        Event::DominantSpeaker { user_id, session_id } => {
            let (user_id, session_id) = (t.keep(user_id), t.keep(session_id));
            let level = oh_event_level { user_id, session_id, level: 0.0, speaking: 1 };
            (OH_EVENT_DOMINANT_SPEAKER, oh_event_data { level })
        }
        Event::Quality { user_id, session_id, quality: q } => {
            let (user_id, session_id) = (t.keep(user_id), t.keep(session_id));
            let quality = oh_event_quality { user_id, session_id, quality: quality(*q), reserved: 0 };
            (OH_EVENT_CONNECTION_QUALITY, oh_event_data { quality })
        }
        Event::Counts(c) => {
            let counts = oh_event_counts { total: c.total, anonymous: c.anonymous };
            (OH_EVENT_COUNTS, oh_event_data { counts })
        }
        Event::Grants(g) => {
            let (audio, video, screen_share) = (g.audio.into(), g.video.into(), g.screen_share.into());
            (OH_EVENT_GRANTS, oh_event_data { grants: oh_event_grants { audio, video, screen_share } })
        }
        Event::Pins(pins) => {
            for pin in pins {
                let (user_id, session_id) = (t.keep(&pin.user_id), t.keep(&pin.session_id));
                t.pins.push(oh_pin { user_id, session_id });
            }
            let first = if t.pins.is_empty() { std::ptr::null() } else { t.pins.as_ptr() };
            let pins = oh_event_pins { pins: first, count: t.pins.len() as u32, reserved: 0 };
            (OH_EVENT_PINS, oh_event_data { pins })
        }
        Event::Custom { user_id, custom_type, json } => {
            let (user_id, custom_type, json) = (t.keep(user_id), t.keep(custom_type), t.keep(json));
            (OH_EVENT_CUSTOM, oh_event_data { custom: oh_event_custom { user_id, custom_type, json } })
        }
        Event::LocalPublished { track: id } => {
            let local = oh_event_local { track: track(*id), error: 0, server_code: 0, text: t.keep("") };
            (OH_EVENT_LOCAL_PUBLISHED, oh_event_data { local })
        }
        Event::LocalFailed { track: id, error } => {
            let (code, server_code) = error_of(Some(error));
            let local = oh_event_local { track: track(*id), error: code, server_code, text: t.keep(&error.message) };
            (OH_EVENT_LOCAL_FAILED, oh_event_data { local })
        }
        Event::Error(error) => {
            let (code, server_code) = error_of(Some(error));
            let error = oh_event_error { error: code, server_code, text: t.keep(&error.message) };
            (OH_EVENT_ERROR, oh_event_data { error })
        }
        Event::Ended(end) => {
            let (error, server_code) = error_of(end.error.as_ref());
            let reason = t.keep(&end.text);
            let ended = oh_event_ended { code: end.reason as i32, error, server_code, reserved: 0, reason };
            (OH_EVENT_ENDED, oh_event_data { ended })
        }
    };
    frame(call, notice.at_ms, kind, u)
}

pub(super) fn c_lost(call: oh_call, count: u64) -> oh_event {
    frame(call, 0, OH_EVENT_LOST, oh_event_data { lost: oh_event_lost { count } })
}
