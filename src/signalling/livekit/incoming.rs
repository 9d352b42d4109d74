//! What a server says: wire types to the vocabulary of a call.
//!
//! Text and lists are cut to what a call can sensibly need; ids are never cut, because two different ones
//! could become the same: what carries an absurd id is left out. Must not know: how it travelled, requests.

use crate::core::model::*;
use crate::error::Secret;
use crate::signalling::text;
use offhook_proto::livekit as pb;

/// Longest identity, sid and topic, in bytes.
pub(super) const MAX_ID: usize = 1024;
/// Longest name; longer ones are cut.
const MAX_NAME: usize = 1024;
/// Longest metadata, and attributes as JSON; longer ones are left out.
const MAX_METADATA: usize = 64 << 10;
const MAX_TRACKS: usize = 256;
const MAX_ICE_SERVERS: usize = 32;
const MAX_URLS: usize = 16;
const MAX_URL: usize = 4096;
/// Longest session description and candidate; longer ones make the message unreadable.
pub(super) const MAX_SDP: usize = 512 << 10;
pub(super) const MAX_CANDIDATE: usize = 4096;

pub(super) fn id(text: String) -> Option<String> {
    (!text.is_empty() && text.len() <= MAX_ID).then_some(text)
}

pub(super) fn participant(p: &pb::ParticipantInfo) -> Option<Participant> {
    let sid = id(p.sid.clone())?;
    Some(Participant {
        user_id: id(p.identity.clone())?,
        name: text::bounded(p.name.clone(), MAX_NAME),
        metadata: if p.metadata.len() <= MAX_METADATA { p.metadata.clone() } else { String::new() },
        attributes_json: attributes(p),
        published: p.tracks.iter().take(MAX_TRACKS).filter_map(track).collect(),
        track_prefix: sid.clone(),
        session_id: sid,
        ..Participant::default()
    })
}

fn attributes(p: &pb::ParticipantInfo) -> String {
    if p.attributes.is_empty() {
        return String::new();
    }
    // In one order, so that the same attributes are the same text.
    let sorted: std::collections::BTreeMap<_, _> = p.attributes.iter().collect();
    let json = serde_json::to_string(&sorted).unwrap_or_default();
    if json.len() <= MAX_METADATA {
        json
    } else {
        String::new()
    }
}

fn track(t: &pb::TrackInfo) -> Option<RemoteTrack> {
    Some(RemoteTrack {
        id: id(t.sid.clone())?,
        kind: kind(t)?,
        name: text::bounded(t.name.clone(), MAX_NAME),
        muted: t.muted,
    })
}

pub(super) fn kind(t: &pb::TrackInfo) -> Option<TrackKind> {
    use pb::{TrackSource, TrackType};
    match (t.r#type(), t.source()) {
        (TrackType::Audio, TrackSource::ScreenShareAudio) => Some(TrackKind::ScreenShareAudio),
        (TrackType::Audio, _) => Some(TrackKind::Audio),
        (TrackType::Video, TrackSource::ScreenShare) => Some(TrackKind::ScreenShare),
        (TrackType::Video, _) => Some(TrackKind::Video),
        (TrackType::Data, _) => None,
    }
}

pub(super) fn grants(p: &pb::ParticipantPermission) -> Grants {
    use pb::TrackSource;
    let may = |source: TrackSource| {
        let all = p.can_publish_sources.is_empty();
        p.can_publish && (all || p.can_publish_sources.contains(&(source as i32)))
    };
    Grants {
        audio: may(TrackSource::Microphone),
        video: may(TrackSource::Camera),
        screen_share: may(TrackSource::ScreenShare),
    }
}

pub(super) fn room(r: pb::Room) -> Room {
    Room {
        id: text::bounded(r.sid, MAX_ID),
        name: text::bounded(r.name, MAX_NAME),
        metadata: if r.metadata.len() <= MAX_METADATA { r.metadata } else { String::new() },
        recording: r.active_recording,
    }
}

pub(super) fn quality(quality: pb::ConnectionQuality) -> Quality {
    match quality {
        pb::ConnectionQuality::Poor => Quality::Poor,
        pb::ConnectionQuality::Good => Quality::Good,
        pb::ConnectionQuality::Excellent => Quality::Excellent,
        pb::ConnectionQuality::Lost => Quality::Lost,
    }
}

pub(super) fn ice_servers(servers: Vec<pb::IceServer>) -> Vec<IceServer> {
    let server = |s: pb::IceServer| IceServer {
        urls: s.urls.into_iter().filter(|url| url.len() <= MAX_URL).take(MAX_URLS).collect(),
        username: text::bounded(s.username, MAX_NAME),
        password: Secret::new(s.credential),
    };
    servers.into_iter().take(MAX_ICE_SERVERS).map(server).collect()
}

/// What the server's word to leave means for this client.
pub(super) fn leave(leave: &pb::LeaveRequest) -> SfuMessage {
    use pb::{leave_request::Action, DisconnectReason as Why};
    let why = leave.reason();
    let advice = |strategy| {
        let why = format!("the SFU asks to connect again ({})", words(why));
        SfuMessage::Advice { strategy, why, leave_edge: false }
    };
    match leave.action() {
        Action::Resume => advice(Strategy::Fast),
        Action::Reconnect => advice(Strategy::Rejoin),
        // Before protocol 13 this is all that a server says.
        Action::Disconnect if leave.can_reconnect => advice(Strategy::Rejoin),
        Action::Disconnect => match why {
            // Nobody meant this participant to go: it comes back. A server that shuts down says "disconnect"
            // as well, also when it is not the one that this socket leads to.
            Why::ServerShutdown
            | Why::StateMismatch
            | Why::JoinFailure
            | Why::Migration
            | Why::SignalClose
            | Why::ConnectionTimeout
            | Why::MediaFailure => advice(Strategy::Rejoin),
            Why::DuplicateIdentity => SfuMessage::CallEnded(CallEndedReason::Replaced),
            Why::ParticipantRemoved => SfuMessage::CallEnded(CallEndedReason::Kicked),
            Why::RoomDeleted | Why::RoomClosed => SfuMessage::CallEnded(CallEndedReason::Ended),
            _ => SfuMessage::CallEnded(CallEndedReason::Disconnected),
        },
    }
}

fn words(why: pb::DisconnectReason) -> &'static str {
    use pb::DisconnectReason as Why;
    match why {
        Why::ServerShutdown => "it shuts down",
        Why::StateMismatch => "it knows another state",
        Why::JoinFailure => "the join failed",
        Why::Migration => "migration",
        Why::SignalClose => "signalling was closed",
        Why::ConnectionTimeout => "the media connection timed out",
        Why::MediaFailure => "media failed",
        _ => "no reason given",
    }
}

pub(super) fn speakers(change: pb::SpeakersChanged) -> Vec<(String, f32, bool)> {
    change.speakers.into_iter().filter_map(|s| Some((id(s.sid)?, s.level, s.active))).collect()
}

pub(super) fn not_subscribed(response: &pb::SubscriptionResponse) -> SfuMessage {
    let why = match response.err() {
        pb::SubscriptionError::SeCodecUnsupported => "its codec is not supported",
        pb::SubscriptionError::SeTrackNotfound => "there is no such track",
        pb::SubscriptionError::SeUnknown => "no reason given",
    };
    let track = text::clean(&response.track_sid, &[]);
    let error =
        SfuError { code: response.err, message: format!("track {track} cannot be had: {why}"), should_retry: false };
    SfuMessage::Error { error, strategy: Strategy::Unspecified }
}

/// Which layers of a track of ours somebody wants.
pub(super) fn wanted_layers(kind: TrackKind, update: pb::SubscribedQualityUpdate) -> SenderQuality {
    let mut wanted = update.subscribed_qualities;
    if let Some(codec) = update.subscribed_codecs.into_iter().next() {
        wanted = codec.qualities;
    }
    let layer = |q: pb::SubscribedQuality| {
        let rid = match q.quality() {
            pb::VideoQuality::Low => "q",
            pb::VideoQuality::Medium => "h",
            pb::VideoQuality::High => "f",
            pb::VideoQuality::Off => return None,
        };
        Some(LayerSetting {
            rid: rid.to_owned(),
            active: q.enabled,
            max_bitrate: 0,
            scale_down_by: 0.0,
            max_fps: 0,
            scalability_mode: String::new(),
        })
    };
    SenderQuality { kind, publish_option_id: 0, layers: wanted.into_iter().take(8).filter_map(layer).collect() }
}

pub(super) fn candidate(trickle: pb::TrickleRequest) -> SfuMessage {
    let peer = match trickle.target() {
        pb::SignalTarget::Publisher => PeerKind::Publisher,
        pb::SignalTarget::Subscriber => PeerKind::Subscriber,
    };
    // The last word of a list may be no candidate.
    if trickle.candidate_init.is_empty() || trickle.candidate_init.len() > MAX_CANDIDATE {
        return SfuMessage::Alive;
    }
    SfuMessage::IceTrickle { peer, candidate: trickle.candidate_init }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_leave_has_a_meaning() {
        use pb::{leave_request::Action, DisconnectReason as Why};
        let said = |action: Action, reason: Why, can_reconnect| {
            leave(&pb::LeaveRequest { can_reconnect, reason: reason as i32, action: action as i32, regions: None })
        };
        for number in 0..32 {
            let message = leave(&pb::LeaveRequest { reason: number, ..Default::default() });
            assert!(matches!(message, SfuMessage::CallEnded(_) | SfuMessage::Advice { .. }), "{number}");
        }
        let strategy = |m| if let SfuMessage::Advice { strategy, .. } = m { Some(strategy) } else { None };
        assert_eq!(strategy(said(Action::Resume, Why::ConnectionTimeout, false)), Some(Strategy::Fast));
        assert_eq!(strategy(said(Action::Reconnect, Why::StateMismatch, false)), Some(Strategy::Rejoin));
        assert_eq!(strategy(said(Action::Disconnect, Why::ServerShutdown, false)), Some(Strategy::Rejoin));
        assert_eq!(strategy(said(Action::Disconnect, Why::UnknownReason, true)), Some(Strategy::Rejoin));
        let ended = |m| if let SfuMessage::CallEnded(reason) = m { Some(reason) } else { None };
        let because = |why| ended(said(Action::Disconnect, why, false));
        assert_eq!(because(Why::DuplicateIdentity), Some(CallEndedReason::Replaced));
        assert_eq!(because(Why::ParticipantRemoved), Some(CallEndedReason::Kicked));
        assert_eq!(because(Why::RoomDeleted), Some(CallEndedReason::Ended));
        assert_eq!(because(Why::UserRejected), Some(CallEndedReason::Disconnected));
    }

    #[test]
    fn absurd_ids_are_left_out_and_long_names_cut() {
        let long = "x".repeat(5_000);
        let p = |sid: &str| pb::ParticipantInfo {
            sid: sid.into(),
            identity: "i".into(),
            name: long.clone(),
            ..Default::default()
        };
        assert!(participant(&p("")).is_none() && participant(&p(&long)).is_none());
        assert_eq!(participant(&p("PA_1")).map(|p| p.name.len()), Some(MAX_NAME));
    }

    #[test]
    fn sources_limit_what_may_be_published() {
        let mut p = pb::ParticipantPermission { can_publish: true, ..Default::default() };
        assert_eq!(grants(&p), Grants { audio: true, video: true, screen_share: true });
        p.can_publish_sources = vec![pb::TrackSource::Camera as i32];
        assert_eq!(grants(&p), Grants { audio: false, video: true, screen_share: false });
        p.can_publish = false;
        assert_eq!(grants(&p), Grants { audio: false, video: false, screen_share: false });
    }
}
