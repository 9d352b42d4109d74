//! SFU messages: wire types to model types.
//!
//! Texts are never cut: the size of their message bounds them. Lists are cut to what a call can sensibly need. Ids are
//! never cut, because two different ones could become equal: an object with an oversized id is left out. A note says
//! what was left out of a participant. Must not know: the transport.

use super::{peer_kind, strategy, track_kind};
use crate::{
    core::model::{
        CallEndedReason, CodecSpec, Counts, Grants, JoinState, LayerSetting, LeaveReason, Participant, ParticipantKind,
        Pin, PublishOption, Quality, RemoteTrack, SenderQuality, SfuError, SfuMessage, UnpublishCause,
    },
    error::Secret,
    signalling::{stream::scan::MAX_PARTICIPANTS, text},
};
use offhook_proto::{event as e, google, google::value::Kind, models as m};
use serde_json::Value;
use std::collections::VecDeque;

/// Longest user id, session id and track prefix, in bytes.
const MAX_ID: usize = 1024;
/// Longest codec parameter and similar text; longer ones are cut.
const MAX_TEXT: usize = 1024;
const MAX_ROLES: usize = 64;
/// Most notes about one message.
const MAX_NOTES: usize = 16;
/// Most publish options, senders, layers, bitrates in one list.
const MAX_OPTIONS: usize = 64;
/// Longest session description and longest candidate; longer ones make the message unreadable.
const MAX_SDP: usize = 512 << 10;
const MAX_CANDIDATE: usize = 4096;
/// Deepest custom data; deeper data is left out.
const MAX_CUSTOM_DEPTH: usize = 16;

/// Notes for the application about what was left out.
pub(crate) type Notes = VecDeque<SfuMessage>;

/// Converts an event; `None` if its content cannot be used.
pub(crate) fn message(event: e::SfuEvent, token: &Secret, notes: &mut Notes) -> Option<SfuMessage> {
    use e::sfu_event::EventPayload as P;
    let Some(payload) = event.event_payload else { return Some(SfuMessage::Unknown) };
    Some(match payload {
        P::JoinResponse(joined) => SfuMessage::Joined(Box::new(join_state(joined, notes)?)),
        P::SubscriberOffer(offer) if offer.sdp.len() <= MAX_SDP => SfuMessage::SubscriberOffer {
            ice_restart: offer.ice_restart,
            sdp: offer.sdp,
            negotiation_id: offer.negotiation_id,
        },
        P::SubscriberOffer(_) => return None,
        P::PublisherAnswer(_) => SfuMessage::PublisherAnswer,
        P::IceTrickle(trickle) if trickle.ice_candidate.len() > MAX_CANDIDATE => return None,
        P::IceTrickle(trickle) => match peer_kind(trickle.peer_type) {
            Some(peer) => SfuMessage::IceTrickle { peer, candidate: trickle.ice_candidate },
            None => SfuMessage::Unknown,
        },
        P::IceRestart(restart) => match peer_kind(restart.peer_type) {
            Some(peer) => SfuMessage::IceRestart { peer },
            None => SfuMessage::Unknown,
        },
        P::ChangePublishQuality(change) => SfuMessage::ChangePublishQuality(sender_qualities(change)),
        P::ChangePublishOptions(change) => SfuMessage::ChangePublishOptions(publish_options(change.publish_options)),
        P::ConnectionQualityChanged(change) => {
            let update = |u: e::ConnectionQualityInfo| Some((id(u.session_id)?, quality(u.connection_quality)));
            SfuMessage::ConnectionQuality(many(change.connection_quality_updates, MAX_PARTICIPANTS, update))
        }
        P::AudioLevelChanged(change) => {
            let update = |l: e::AudioLevel| Some((id(l.session_id)?, level(l.level), l.is_speaking));
            SfuMessage::AudioLevels(many(change.audio_levels, MAX_PARTICIPANTS, update))
        }
        P::DominantSpeakerChanged(change) => SfuMessage::DominantSpeaker { session_id: maybe_id(change.session_id)? },
        P::ParticipantJoined(joined) => about(joined.participant, SfuMessage::ParticipantJoined, notes),
        P::ParticipantUpdated(updated) => about(updated.participant, SfuMessage::ParticipantUpdated, notes),
        P::ParticipantLeft(left) => match left.participant.and_then(|p| participant(p, notes)) {
            // This protocol gives no reason.
            Some(who) => SfuMessage::ParticipantLeft {
                session_id: who.session_id,
                user_id: who.user_id,
                reason: LeaveReason::UNKNOWN,
            },
            None => SfuMessage::Unknown,
        },
        P::TrackPublished(track) => match (id(track.session_id), maybe_id(track.user_id), track_kind(track.r#type)) {
            (Some(session_id), Some(user_id), Some(kind)) => SfuMessage::TrackPublished {
                session_id,
                user_id,
                kind,
                participant: track.participant.and_then(|p| participant(p, notes)).map(Box::new),
            },
            _ => SfuMessage::Unknown,
        },
        P::TrackUnpublished(track) => match (id(track.session_id), maybe_id(track.user_id), track_kind(track.r#type)) {
            (Some(session_id), Some(user_id), Some(kind)) => SfuMessage::TrackUnpublished {
                session_id,
                user_id,
                kind,
                cause: unpublish_cause(track.cause),
                participant: track.participant.and_then(|p| participant(p, notes)).map(Box::new),
            },
            _ => SfuMessage::Unknown,
        },
        P::HealthCheckResponse(health) => SfuMessage::Health(counts(health.participant_count)),
        P::InboundStateNotification(note) => {
            let update = |state: e::InboundVideoState| {
                Some((id(state.session_id)?, track_kind(state.track_type)?, state.paused))
            };
            SfuMessage::InboundState(many(note.inbound_video_states, MAX_PARTICIPANTS, update))
        }
        // Without the grants there is nothing to apply; it must not be taken as "revoked".
        P::CallGrantsUpdated(update) => match update.current_grants {
            Some(grants) => SfuMessage::Grants(Grants {
                audio: grants.can_publish_audio,
                video: grants.can_publish_video,
                screen_share: grants.can_screenshare,
                ..Grants::ALL
            }),
            None => SfuMessage::Unknown,
        },
        P::PinsUpdated(update) => SfuMessage::Pins(many(update.pins, MAX_PARTICIPANTS, pin)),
        P::GoAway(go_away) => SfuMessage::GoAway { reason: go_away.reason },
        P::ParticipantMigrationComplete(_) => SfuMessage::MigrationComplete,
        P::CallEnded(ended) => SfuMessage::CallEnded(ended_reason(ended.reason)),
        P::Error(error) => SfuMessage::Error {
            error: sfu_error(error.error.unwrap_or_default(), token),
            strategy: strategy(error.reconnect_strategy),
        },
    })
}

/// An application error, its text bounded and without the token.
pub(crate) fn sfu_error(error: m::Error, token: &Secret) -> SfuError {
    SfuError { code: error.code, message: text::clean(&error.message, &[token]), should_retry: error.should_retry }
}

fn join_state(joined: e::JoinResponse, notes: &mut Notes) -> Option<JoinState> {
    let state = joined.call_state.unwrap_or_default();
    // The binary form was counted before decoding; the JSON form is counted here.
    if state.participants.len() > MAX_PARTICIPANTS {
        let what = format!("an SFU message has more than {MAX_PARTICIPANTS} participants; it was dropped");
        notes.push_back(SfuMessage::TooLarge(what));
        return None;
    }
    Some(JoinState {
        participants: many(state.participants, MAX_PARTICIPANTS, |p| participant(p, notes)),
        counts: counts(state.participant_count),
        pins: many(state.pins, MAX_PARTICIPANTS, pin),
        publish_options: publish_options(joined.publish_options),
        reconnected: joined.reconnected,
        fast_reconnect_deadline_s: joined.fast_reconnect_deadline_seconds.max(0),
        ..JoinState::default()
    })
}

fn participant(p: m::Participant, notes: &mut Notes) -> Option<Participant> {
    for (field, long) in
        [("user_id", &p.user_id), ("session_id", &p.session_id), ("track_lookup_prefix", &p.track_lookup_prefix)]
    {
        if long.len() > MAX_ID {
            let whose = if field == "user_id" { &p.session_id } else { &p.user_id };
            too_long(notes, whose, &format!("{field} has {} bytes; the limit is {MAX_ID}", long.len()));
            return None;
        }
    }
    let mut published = Vec::new();
    for kind in p.published_tracks.into_iter().filter_map(track_kind) {
        // At most one live track of each kind, even if the list repeats one.
        if !published.iter().any(|known: &RemoteTrack| known.kind == kind) {
            published.push(kind.into());
        }
    }
    if p.roles.len() > MAX_ROLES {
        too_long(notes, &p.user_id, &format!("{} roles; the limit is {MAX_ROLES}", p.roles.len()));
    }
    let custom_json = match p.custom {
        Some(custom) if !custom.fields.is_empty() => custom_json(custom).unwrap_or_else(|| {
            too_long(notes, &p.user_id, &format!("custom is nested deeper than {MAX_CUSTOM_DEPTH}"));
            String::new()
        }),
        _ => String::new(),
    };
    Some(Participant {
        session_id: id(p.session_id)?,
        user_id: p.user_id,
        name: p.name.into(),
        image: p.image.into(),
        roles: many(p.roles, MAX_ROLES, Some),
        custom_json: custom_json.into(),
        published,
        track_prefix: p.track_lookup_prefix,
        quality: quality(p.connection_quality),
        is_speaking: p.is_speaking,
        is_dominant: p.is_dominant_speaker,
        audio_level: level(p.audio_level),
        kind: participant_kind(p.source),
        ..Participant::default()
    })
}

fn too_long(notes: &mut Notes, whose: &str, what: &str) {
    if notes.len() >= MAX_NOTES {
        return;
    }
    let whose = text::clean(text::truncate(whose, 64), &[]);
    notes.push_back(SfuMessage::TooLarge(format!("participant {whose}: {what}")));
}

fn participant_kind(source: i32) -> ParticipantKind {
    use m::ParticipantSource as Source;
    match Source::try_from(source) {
        Ok(Source::WebrtcUnspecified) => ParticipantKind::Standard,
        Ok(Source::Rtmp | Source::Whip | Source::Rtsp | Source::Srt) => ParticipantKind::Ingress,
        Ok(Source::Sip) => ParticipantKind::Sip,
        Err(_) => ParticipantKind::Other,
    }
}

fn about(who: Option<m::Participant>, what: fn(Box<Participant>) -> SfuMessage, notes: &mut Notes) -> SfuMessage {
    who.and_then(|p| participant(p, notes)).map_or(SfuMessage::Unknown, |who| what(Box::new(who)))
}

fn publish_options(options: Vec<m::PublishOption>) -> Vec<PublishOption> {
    many(options, MAX_OPTIONS, |option| {
        let size = option.video_dimension.unwrap_or_default();
        Some(PublishOption {
            id: option.id,
            kind: track_kind(option.track_type)?,
            codec: codec(option.codec.unwrap_or_default()),
            bitrate: option.bitrate,
            fps: option.fps,
            max_spatial_layers: option.max_spatial_layers,
            max_temporal_layers: option.max_temporal_layers,
            width: size.width,
            height: size.height,
            use_single_layer: option.use_single_layer,
            audio_bitrates: many(option.audio_bitrate_profiles, MAX_OPTIONS, |rate| Some((rate.profile, rate.bitrate))),
        })
    })
}

fn codec(codec: m::Codec) -> CodecSpec {
    CodecSpec {
        name: text::bounded(codec.name, MAX_TEXT),
        payload_type: codec.payload_type,
        clock_rate: codec.clock_rate,
        encoding_parameters: text::bounded(codec.encoding_parameters, MAX_TEXT),
        fmtp: text::bounded(codec.fmtp, MAX_TEXT),
    }
}

fn sender_qualities(change: e::ChangePublishQuality) -> Vec<SenderQuality> {
    let audio = many(change.audio_senders, MAX_OPTIONS, |sender| {
        Some(SenderQuality {
            kind: track_kind(sender.track_type)?,
            publish_option_id: sender.publish_option_id,
            layers: Vec::new(),
        })
    });
    let video = many(change.video_senders, MAX_OPTIONS, |sender| {
        Some(SenderQuality {
            kind: track_kind(sender.track_type)?,
            publish_option_id: sender.publish_option_id,
            layers: many(sender.layers, MAX_OPTIONS, |layer| Some(layer_setting(layer))),
        })
    });
    audio.into_iter().chain(video).collect()
}

fn layer_setting(layer: e::VideoLayerSetting) -> LayerSetting {
    let scale = layer.scale_resolution_down_by;
    LayerSetting {
        rid: text::bounded(layer.name, MAX_TEXT),
        active: layer.active,
        max_bitrate: layer.max_bitrate,
        scale_down_by: if scale.is_finite() { scale } else { 0.0 },
        max_fps: layer.max_framerate,
        scalability_mode: text::bounded(layer.scalability_mode, MAX_TEXT),
    }
}

fn pin(pin: m::Pin) -> Option<Pin> {
    Some(Pin { user_id: maybe_id(pin.user_id)?, session_id: maybe_id(pin.session_id)? })
}

fn counts(count: Option<m::ParticipantCount>) -> Counts {
    let count = count.unwrap_or_default();
    Counts { total: count.total, anonymous: count.anonymous }
}

fn quality(number: i32) -> Quality {
    match m::ConnectionQuality::try_from(number) {
        Ok(m::ConnectionQuality::Poor) => Quality::Poor,
        Ok(m::ConnectionQuality::Good) => Quality::Good,
        Ok(m::ConnectionQuality::Excellent) => Quality::Excellent,
        Ok(m::ConnectionQuality::Unspecified) | Err(_) => Quality::Unknown,
    }
}

fn unpublish_cause(number: i32) -> UnpublishCause {
    match m::TrackUnpublishReason::try_from(number) {
        Ok(m::TrackUnpublishReason::UserMuted) => UnpublishCause::UserMuted,
        Ok(m::TrackUnpublishReason::PermissionRevoked) => UnpublishCause::PermissionRevoked,
        Ok(m::TrackUnpublishReason::Moderation) => UnpublishCause::Moderation,
        Ok(m::TrackUnpublishReason::Unspecified) | Err(_) => UnpublishCause::Unspecified,
    }
}

fn ended_reason(number: i32) -> CallEndedReason {
    match m::CallEndedReason::try_from(number) {
        Ok(m::CallEndedReason::Ended) => CallEndedReason::Ended,
        Ok(m::CallEndedReason::LiveEnded) => CallEndedReason::LiveEnded,
        Ok(m::CallEndedReason::Kicked) => CallEndedReason::Kicked,
        Ok(m::CallEndedReason::SessionEnded) => CallEndedReason::SessionEnded,
        Ok(m::CallEndedReason::Unspecified) | Err(_) => CallEndedReason::Unspecified,
    }
}

/// 0 to 1; NaN is silence.
fn level(level: f32) -> f32 {
    if level.is_nan() {
        0.0
    } else {
        level.clamp(0.0, 1.0)
    }
}

/// An id that can be used: not empty, not too long.
fn id(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text).and_then(maybe_id)
}

fn maybe_id(text: String) -> Option<String> {
    (text.len() <= MAX_ID).then_some(text)
}

/// The first `most` elements, without those that cannot be used.
fn many<A, B>(list: Vec<A>, most: usize, translate: impl FnMut(A) -> Option<B>) -> Vec<B> {
    list.into_iter().take(most).filter_map(translate).collect()
}

/// Custom data as JSON text; `None` if it is nested too deeply.
fn custom_json(custom: google::Struct) -> Option<String> {
    Some(object(custom, 0)?.to_string())
}

fn object(custom: google::Struct, depth: usize) -> Option<Value> {
    if depth > MAX_CUSTOM_DEPTH {
        return None;
    }
    let members = custom.fields.into_iter().map(|(name, member)| Some((name, value(member, depth + 1)?)));
    members.collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
}

fn value(custom: google::Value, depth: usize) -> Option<Value> {
    if depth > MAX_CUSTOM_DEPTH {
        return None;
    }
    Some(match custom.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(value)) => Value::Bool(value),
        Some(Kind::NumberValue(value)) => number(value),
        Some(Kind::StringValue(value)) => Value::String(value),
        Some(Kind::ListValue(list)) => {
            Value::Array(list.values.into_iter().map(|item| value(item, depth + 1)).collect::<Option<_>>()?)
        }
        Some(Kind::StructValue(inner)) => object(inner, depth)?,
    })
}

/// Whole numbers are written as integers: 7, not 7.0. Numbers that JSON cannot represent become null.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        Value::from(value as i64)
    } else {
        serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

#[cfg(test)]
#[path = "incoming_tests.rs"]
mod tests;
