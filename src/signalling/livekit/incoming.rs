//! Server messages: wire types to model types.
//!
//! Text is never cut: the size of its message bounds it. Ids are never cut either, because two different ones could
//! become equal: an object with an oversized id is left out, and a note reports it. Must not know: the transport,
//! requests.

use crate::core::model::*;
use crate::error::Secret;
use crate::signalling::text;
use offhook_proto::livekit as pb;

/// Longest identity, sid and topic, in bytes.
pub(super) const MAX_ID: usize = 1024;
/// Longest user name of an ICE server; a longer one is cut.
const MAX_NAME: usize = 1024;
const MAX_TRACKS: usize = 256;
const MAX_NOTES: usize = 16;
const MAX_ICE_SERVERS: usize = 32;
const MAX_URLS: usize = 16;
const MAX_URL: usize = 4096;
/// Longest session description and candidate; longer ones make the message unreadable.
pub(super) const MAX_SDP: usize = 512 << 10;
pub(super) const MAX_CANDIDATE: usize = 4096;

pub(super) fn id(text: String) -> Option<String> {
    (!text.is_empty() && text.len() <= MAX_ID).then_some(text)
}

/// Converts a participant; moves the texts out of the message. `None`: it cannot be used; if it exceeds a local limit,
/// a note says why.
pub(super) fn participant(p: &mut pb::ParticipantInfo, notes: &mut Vec<SfuMessage>) -> Option<Participant> {
    for (field, long) in [("sid", &p.sid), ("identity", &p.identity)] {
        if long.len() > MAX_ID {
            let whose = if field == "sid" { &p.identity } else { &p.sid };
            note(notes, too_long(field, whose, long.len()));
            return None;
        }
    }
    if p.tracks.len() > MAX_TRACKS {
        let what = format!("participant {}: {} tracks; the limit is {MAX_TRACKS}", shown(&p.identity), p.tracks.len());
        note(notes, SfuMessage::TooLarge(what));
    }
    let sid = id(p.sid.clone())?;
    let mut published = Vec::new();
    for t in p.tracks.iter_mut().take(MAX_TRACKS) {
        if t.sid.len() > MAX_ID {
            note(notes, too_long("a track's sid", &p.identity, t.sid.len()));
        }
        published.extend(track(t));
    }
    Some(Participant {
        user_id: id(p.identity.clone())?,
        name: std::mem::take(&mut p.name).into(),
        attributes_json: attributes(p).into(),
        metadata: std::mem::take(&mut p.metadata).into(),
        published,
        track_prefix: sid.clone(),
        session_id: sid,
        kind: participant_kind(p),
        grants: p.permission.as_ref().map(grants),
        ..Participant::default()
    })
}

/// A name, cut for an error text.
fn shown(name: &str) -> &str {
    text::truncate(name, 64)
}

/// Adds a note, at most `MAX_NOTES` per message.
fn note(notes: &mut Vec<SfuMessage>, what: SfuMessage) {
    if notes.iter().filter(|m| matches!(m, SfuMessage::TooLarge(_))).count() < MAX_NOTES {
        notes.push(what);
    }
}

fn too_long(field: &str, whose: &str, length: usize) -> SfuMessage {
    let whose = text::clean(shown(whose), &[]);
    SfuMessage::TooLarge(format!("participant {whose}: {field} has {length} bytes; the limit is {MAX_ID}"))
}

fn participant_kind(p: &pb::ParticipantInfo) -> ParticipantKind {
    use pb::participant_info::Kind;
    match Kind::try_from(p.kind) {
        Ok(Kind::Ingress) => ParticipantKind::Ingress,
        Ok(Kind::Egress) => ParticipantKind::Egress,
        Ok(Kind::Sip) => ParticipantKind::Sip,
        Ok(Kind::Agent) => ParticipantKind::Agent,
        Ok(Kind::Standard) if p.permission.as_ref().is_some_and(|p| p.recorder) => ParticipantKind::Recorder,
        Ok(Kind::Standard) => ParticipantKind::Standard,
        Ok(Kind::Connector | Kind::Bridge) | Err(_) => ParticipantKind::Other,
    }
}

/// The server's numbers equal those of the C ABI.
pub(super) fn leave_reason(p: &pb::ParticipantInfo) -> LeaveReason {
    match p.disconnect_reason {
        number @ 0..=LeaveReason::LAST => LeaveReason(number),
        _ => LeaveReason::UNKNOWN,
    }
}

fn attributes(p: &pb::ParticipantInfo) -> String {
    if p.attributes.is_empty() {
        return String::new();
    }
    // Sorted, so that equal attributes give equal text.
    let sorted: std::collections::BTreeMap<_, _> = p.attributes.iter().collect();
    serde_json::to_string(&sorted).unwrap_or_default()
}

fn track(t: &mut pb::TrackInfo) -> Option<RemoteTrack> {
    Some(RemoteTrack {
        id: id(t.sid.clone())?,
        name: std::mem::take(&mut t.name),
        muted: t.muted,
        encrypted: t.encryption != 0,
        ..kind(t)?.into()
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
        data: p.can_publish_data,
        subscribe: p.can_subscribe,
        update_metadata: p.can_update_metadata,
        hidden: p.hidden,
        recorder: p.recorder,
    }
}

pub(super) fn room(r: pb::Room) -> Room {
    Room { id: r.sid, name: r.name, metadata: r.metadata, recording: r.active_recording }
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

/// Translates the server's leave request.
pub(super) fn leave(leave: &pb::LeaveRequest) -> SfuMessage {
    use pb::{leave_request::Action, DisconnectReason as Why};
    let why = leave.reason();
    let advice = |strategy| {
        let why = format!("the SFU requested a reconnect ({})", words(why));
        SfuMessage::Advice { strategy, why, leave_edge: false }
    };
    match leave.action() {
        Action::Resume => advice(Strategy::Fast),
        Action::Reconnect => advice(Strategy::Rejoin),
        // Servers before protocol 13 send only this.
        Action::Disconnect if leave.can_reconnect => advice(Strategy::Rejoin),
        Action::Disconnect => match why {
            // Not meant to remove this participant: it rejoins. A server that shuts down also sends "disconnect", even
            // if this socket is connected to another server.
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
        Why::ServerShutdown => "server shutdown",
        Why::StateMismatch => "state mismatch",
        Why::JoinFailure => "join failed",
        Why::Migration => "migration",
        Why::SignalClose => "signalling closed",
        Why::ConnectionTimeout => "media connection timed out",
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
    let error = SfuError {
        code: response.err,
        message: format!("cannot subscribe to track {track}: {why}"),
        should_retry: false,
    };
    SfuMessage::Error { error, strategy: Strategy::Unspecified }
}

/// The layers of a local track that are requested.
pub(super) fn requested_layers(kind: TrackKind, update: pb::SubscribedQualityUpdate) -> SenderQuality {
    let mut requested = update.subscribed_qualities;
    if let Some(codec) = update.subscribed_codecs.into_iter().next() {
        requested = codec.qualities;
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
    SenderQuality { kind, publish_option_id: 0, layers: requested.into_iter().take(8).filter_map(layer).collect() }
}

/// Converts an offer. Does not check whether it is late.
pub(super) fn offer(offer: &pb::SessionDescription) -> SfuMessage {
    match offer.sdp.len() {
        0..=MAX_SDP => {
            SfuMessage::SubscriberOffer { ice_restart: false, sdp: offer.sdp.clone(), negotiation_id: offer.id }
        }
        _ => SfuMessage::Unknown,
    }
}

pub(super) fn candidate(trickle: pb::TrickleRequest) -> SfuMessage {
    let peer = match trickle.target() {
        pb::SignalTarget::Publisher => PeerKind::Publisher,
        pb::SignalTarget::Subscriber => PeerKind::Subscriber,
    };
    // The end of a list may carry no candidate.
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
        let translated = |action: Action, reason: Why, can_reconnect| {
            leave(&pb::LeaveRequest { can_reconnect, reason: reason as i32, action: action as i32, regions: None })
        };
        for number in 0..32 {
            let message = leave(&pb::LeaveRequest { reason: number, ..Default::default() });
            assert!(matches!(message, SfuMessage::CallEnded(_) | SfuMessage::Advice { .. }), "{number}");
        }
        let strategy = |m| if let SfuMessage::Advice { strategy, .. } = m { Some(strategy) } else { None };
        assert_eq!(strategy(translated(Action::Resume, Why::ConnectionTimeout, false)), Some(Strategy::Fast));
        assert_eq!(strategy(translated(Action::Reconnect, Why::StateMismatch, false)), Some(Strategy::Rejoin));
        assert_eq!(strategy(translated(Action::Disconnect, Why::ServerShutdown, false)), Some(Strategy::Rejoin));
        assert_eq!(strategy(translated(Action::Disconnect, Why::UnknownReason, true)), Some(Strategy::Rejoin));
        let ended = |m| if let SfuMessage::CallEnded(reason) = m { Some(reason) } else { None };
        let because = |why| ended(translated(Action::Disconnect, why, false));
        assert_eq!(because(Why::DuplicateIdentity), Some(CallEndedReason::Replaced));
        assert_eq!(because(Why::ParticipantRemoved), Some(CallEndedReason::Kicked));
        assert_eq!(because(Why::RoomDeleted), Some(CallEndedReason::Ended));
        assert_eq!(because(Why::UserRejected), Some(CallEndedReason::Disconnected));
    }

    #[test]
    fn oversized_ids_are_dropped_and_reported_and_texts_are_whole() {
        let long = "x".repeat(100_000);
        let p = |sid: &str| pb::ParticipantInfo {
            sid: sid.into(),
            identity: "ann".into(),
            name: long.clone(),
            metadata: format!("{long}\u{1}"),
            attributes: [("k".to_owned(), "\u{1}".repeat(70_000))].into(),
            ..Default::default()
        };
        let mut notes = Vec::new();
        assert!(participant(&mut p(""), &mut notes).is_none() && notes.is_empty());
        assert!(participant(&mut p(&long), &mut notes).is_none());
        assert!(matches!(&notes[..], [SfuMessage::TooLarge(what)] if what.contains("ann") && what.contains("sid")));
        let whole = participant(&mut p("PA_1"), &mut notes).unwrap();
        assert_eq!((whole.name.len(), whole.metadata.len(), notes.len()), (100_000, 100_001, 1));
        // Six bytes each as JSON: the limit applies to the message.
        assert_eq!(whole.attributes_json.len(), 6 * 70_000 + r#"{"k":""}"#.len());
        assert_eq!(room(pb::Room { metadata: long.clone(), ..Default::default() }).metadata, long);
    }

    #[test]
    fn kinds_rights_and_encryption_are_read() {
        use pb::participant_info::Kind;
        let mut notes = Vec::new();
        let mut kind = |number: i32, recorder| {
            let permission = Some(pb::ParticipantPermission { recorder, ..Default::default() });
            let (sid, identity) = ("PA_1".into(), "i".into());
            let tracks = vec![pb::TrackInfo { sid: "TR_1".into(), encryption: 1, ..Default::default() }];
            let mut p = pb::ParticipantInfo { sid, identity, kind: number, permission, tracks, ..Default::default() };
            let p = participant(&mut p, &mut notes).unwrap();
            assert!(p.published[0].encrypted && p.grants.is_some_and(|g| g.recorder == recorder && !g.data));
            p.kind
        };
        assert_eq!(kind(Kind::Agent as i32, false), ParticipantKind::Agent);
        assert_eq!(kind(Kind::Sip as i32, true), ParticipantKind::Sip);
        assert_eq!(kind(0, true), ParticipantKind::Recorder);
        assert_eq!((kind(0, false), kind(99, false)), (ParticipantKind::Standard, ParticipantKind::Other));
        let reason = |number| leave_reason(&pb::ParticipantInfo { disconnect_reason: number, ..Default::default() }).0;
        assert_eq!((reason(2), reason(16), reason(17), reason(-1)), (2, 16, 0, 0));
    }

    #[test]
    fn sources_limit_what_may_be_published() {
        let mut p = pb::ParticipantPermission { can_publish: true, ..Default::default() };
        let may = |p: &pb::ParticipantPermission| {
            let g = grants(p);
            (g.audio, g.video, g.screen_share)
        };
        assert_eq!(may(&p), (true, true, true));
        p.can_publish_sources = vec![pb::TrackSource::Camera as i32];
        assert_eq!(may(&p), (false, true, false));
        p.can_publish = false;
        assert_eq!(may(&p), (false, false, false));
        (p.can_publish_data, p.can_update_metadata, p.hidden) = (true, true, true);
        let g = grants(&p);
        assert!(g.data && g.update_metadata && g.hidden && !g.subscribe && !g.recorder);
    }
}
