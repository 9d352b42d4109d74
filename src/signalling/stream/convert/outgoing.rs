//! Client messages: model types to wire types.
//!
//! Must not know: the transport.

use super::{peer_type, strategy_number, track_type};
use crate::{
    core::model::{CodecSpec, JoinRequest, MuteState, PeerKind, SfuRequest, Strategy, Subscription, TrackInfo},
    error::Secret,
    signalling::text,
};
use offhook_proto::{event as e, models as m, signal as s};

/// Longest reason of a LeaveCallRequest, in bytes.
const MAX_REASON: usize = 115;

/// A message for the SFU socket. The token goes into JoinRequest and nowhere else.
pub(crate) fn request(request: &SfuRequest, token: &Secret) -> e::SfuRequest {
    use e::sfu_request::RequestPayload;
    let payload = match request {
        SfuRequest::Join(join) => RequestPayload::JoinRequest(join_request(join, token)),
        SfuRequest::Health => RequestPayload::HealthCheckRequest(e::HealthCheckRequest {}),
        SfuRequest::Leave { session_id, reason } => RequestPayload::LeaveCallRequest(e::LeaveCallRequest {
            session_id: session_id.clone(),
            reason: text::truncate(reason, MAX_REASON).to_owned(),
        }),
    };
    e::SfuRequest { request_payload: Some(payload) }
}

// Older servers read `fast_reconnect`, newer ones the strategy: FAST sets both.
#[allow(deprecated)]
fn join_request(join: &JoinRequest, token: &Secret) -> e::JoinRequest {
    let fast = join.reconnect.as_ref().is_some_and(|details| details.strategy == Strategy::Fast);
    e::JoinRequest {
        token: token.reveal().to_owned(),
        session_id: join.session_id.clone(),
        unified_session_id: join.unified_session_id.clone(),
        subscriber_sdp: join.subscriber_sdp.clone(),
        publisher_sdp: join.publisher_sdp.clone(),
        client_details: Some(client_details()),
        fast_reconnect: fast,
        reconnect_details: join.reconnect.as_ref().map(|details| e::ReconnectDetails {
            strategy: strategy_number(details.strategy),
            announced_tracks: details.announced_tracks.iter().map(track_info).collect(),
            subscriptions: details.subscriptions.iter().map(subscription).collect(),
            reconnect_attempt: details.attempt,
            from_sfu_id: details.from_sfu_id.clone(),
            previous_session_id: details.previous_session_id.clone(),
            reason: details.reason.clone(),
        }),
        ..Default::default()
    }
}

fn client_details() -> m::ClientDetails {
    m::ClientDetails {
        sdk: Some(m::Sdk {
            r#type: m::SdkType::Unspecified.into(),
            major: env!("CARGO_PKG_VERSION_MAJOR").into(),
            minor: env!("CARGO_PKG_VERSION_MINOR").into(),
            patch: env!("CARGO_PKG_VERSION_PATCH").into(),
        }),
        os: Some(m::Os {
            name: std::env::consts::OS.into(),
            version: String::new(),
            architecture: std::env::consts::ARCH.into(),
        }),
        ..Default::default()
    }
}

pub(crate) fn set_publisher(session_id: &str, sdp: &str, tracks: &[TrackInfo]) -> s::SetPublisherRequest {
    s::SetPublisherRequest {
        sdp: sdp.to_owned(),
        session_id: session_id.to_owned(),
        tracks: tracks.iter().map(track_info).collect(),
    }
}

pub(crate) fn send_answer(session_id: &str, sdp: &str, negotiation_id: u32) -> s::SendAnswerRequest {
    s::SendAnswerRequest {
        peer_type: m::PeerType::Subscriber.into(),
        sdp: sdp.to_owned(),
        session_id: session_id.to_owned(),
        negotiation_id,
    }
}

pub(crate) fn ice_trickle(session_id: &str, peer: PeerKind, candidate: &str) -> m::IceTrickle {
    m::IceTrickle { peer_type: peer_type(peer), ice_candidate: candidate.to_owned(), session_id: session_id.to_owned() }
}

pub(crate) fn ice_restart(session_id: &str, peer: PeerKind) -> s::IceRestartRequest {
    s::IceRestartRequest { session_id: session_id.to_owned(), peer_type: peer_type(peer) }
}

pub(crate) fn subscriptions(session_id: &str, wanted: &[Subscription]) -> s::UpdateSubscriptionsRequest {
    s::UpdateSubscriptionsRequest {
        session_id: session_id.to_owned(),
        tracks: wanted.iter().map(subscription).collect(),
    }
}

pub(crate) fn mute_states(session_id: &str, states: &[MuteState]) -> s::UpdateMuteStatesRequest {
    let state = |s: &MuteState| s::TrackMuteState { track_type: track_type(s.kind), muted: s.muted };
    s::UpdateMuteStatesRequest { session_id: session_id.to_owned(), mute_states: states.iter().map(state).collect() }
}

pub(crate) fn send_stats(
    session_id: &str,
    unified_session_id: &str,
    subscriber_stats: &str,
    publisher_stats: &str,
) -> s::SendStatsRequest {
    s::SendStatsRequest {
        session_id: session_id.to_owned(),
        unified_session_id: unified_session_id.to_owned(),
        subscriber_stats: subscriber_stats.to_owned(),
        publisher_stats: publisher_stats.to_owned(),
        sdk: "offhook".into(),
        sdk_version: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    }
}

fn track_info(track: &TrackInfo) -> m::TrackInfo {
    m::TrackInfo {
        track_id: track.track_id.clone(),
        track_type: track_type(track.kind),
        mid: track.mid.clone(),
        dtx: track.dtx,
        stereo: track.stereo,
        red: track.red,
        muted: track.muted,
        codec: Some(codec(&track.codec)),
        publish_option_id: track.publish_option_id,
        ..Default::default()
    }
}

fn codec(codec: &CodecSpec) -> m::Codec {
    m::Codec {
        payload_type: codec.payload_type,
        name: codec.name.clone(),
        clock_rate: codec.clock_rate,
        encoding_parameters: codec.encoding_parameters.clone(),
        fmtp: codec.fmtp.clone(),
    }
}

fn subscription(wanted: &Subscription) -> s::TrackSubscriptionDetails {
    s::TrackSubscriptionDetails {
        user_id: wanted.user_id.clone(),
        session_id: wanted.session_id.clone(),
        track_type: track_type(wanted.kind),
        // Audio has no size; the field is then left out.
        dimension: (wanted.width > 0 && wanted.height > 0)
            .then_some(m::VideoDimension { width: wanted.width, height: wanted.height }),
    }
}
