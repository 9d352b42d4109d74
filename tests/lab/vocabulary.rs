//! The only place that spells out the core's configuration and its network inputs.

use super::faults::Plan;
use offhook::core::{model::TrackKind, AudioOffer, Config, Input, NetworkChange};
use offhook::error::Secret;
use offhook::signalling::{livekit::LiveKitService, stream::StreamService};
use std::time::Duration;

pub fn config(index: usize, plan: &Plan, seed: u64, livekit: bool) -> Config {
    Config {
        dialect: if livekit { *LiveKitService::dialect() } else { *StreamService::dialect() },
        call_type: "default".into(),
        call_id: format!("room{}", plan.room),
        user_id: format!("user{index}"),
        create: true,
        ring: true,
        notify: true,
        data_json: String::new(),
        location: "auto".into(),
        join_retries: plan.join_retries,
        subscribe: plan.subscribe,
        subscriber_sdp: "v=0 subscriber".into(),
        publisher_sdp: "v=0 publisher".into(),
        token: if plan.token_given { Secret::new("user-token-0") } else { Secret::default() },
        hold_unmute: false,
        renew_token: true,
        disconnect_timeout: Duration::from_millis(DISCONNECT_TIMEOUT),
        partial_texts: false,
        seed,
    }
}

/// How long a session may try to reconnect.
pub const DISCONNECT_TIMEOUT: u64 = 30_000;

pub fn network(change: NetworkChange) -> Input {
    Input::Network(change)
}

pub fn audio(muted: bool) -> AudioOffer {
    AudioOffer { source: TrackKind::Audio, stereo: false, dtx: true, red: 1, music: false, muted }
}
