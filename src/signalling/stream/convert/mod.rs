//! Converts wire types to model types and back; split by direction.
//!
//! A newer server causes no failure here: unknown enum numbers become "unknown" or the default.
//! Must not know: transports.

mod incoming;
mod outgoing;

pub(super) use incoming::{message, sfu_error};
pub(super) use outgoing::{
    ice_restart, ice_trickle, mute_states, request, send_answer, send_stats, set_publisher, subscriptions,
};

use crate::core::model::{PeerKind, Strategy, TrackKind};
use offhook_proto::models as m;

fn track_kind(number: i32) -> Option<TrackKind> {
    match m::TrackType::try_from(number).ok()? {
        m::TrackType::Unspecified => None,
        m::TrackType::Audio => Some(TrackKind::Audio),
        m::TrackType::Video => Some(TrackKind::Video),
        m::TrackType::ScreenShare => Some(TrackKind::ScreenShare),
        m::TrackType::ScreenShareAudio => Some(TrackKind::ScreenShareAudio),
    }
}

fn track_type(kind: TrackKind) -> i32 {
    match kind {
        TrackKind::Audio => m::TrackType::Audio,
        TrackKind::Video => m::TrackType::Video,
        TrackKind::ScreenShare => m::TrackType::ScreenShare,
        TrackKind::ScreenShareAudio => m::TrackType::ScreenShareAudio,
    }
    .into()
}

/// `None` for any other number: a candidate must never reach the wrong peer connection.
fn peer_kind(number: i32) -> Option<PeerKind> {
    match m::PeerType::try_from(number).ok()? {
        m::PeerType::PublisherUnspecified => Some(PeerKind::Publisher),
        m::PeerType::Subscriber => Some(PeerKind::Subscriber),
    }
}

fn peer_type(peer: PeerKind) -> i32 {
    match peer {
        PeerKind::Publisher => m::PeerType::PublisherUnspecified,
        PeerKind::Subscriber => m::PeerType::Subscriber,
    }
    .into()
}

fn strategy(number: i32) -> Strategy {
    match m::WebsocketReconnectStrategy::try_from(number) {
        Ok(m::WebsocketReconnectStrategy::Disconnect) => Strategy::Disconnect,
        Ok(m::WebsocketReconnectStrategy::Fast) => Strategy::Fast,
        Ok(m::WebsocketReconnectStrategy::Rejoin) => Strategy::Rejoin,
        Ok(m::WebsocketReconnectStrategy::Migrate) => Strategy::Migrate,
        Ok(m::WebsocketReconnectStrategy::Unspecified) | Err(_) => Strategy::Unspecified,
    }
}

fn strategy_number(strategy: Strategy) -> i32 {
    match strategy {
        Strategy::Unspecified => m::WebsocketReconnectStrategy::Unspecified,
        Strategy::Disconnect => m::WebsocketReconnectStrategy::Disconnect,
        Strategy::Fast => m::WebsocketReconnectStrategy::Fast,
        Strategy::Rejoin => m::WebsocketReconnectStrategy::Rejoin,
        Strategy::Migrate => m::WebsocketReconnectStrategy::Migrate,
    }
    .into()
}
