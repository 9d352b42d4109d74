//! Faults that stay active until they are used up or reset.

use crate::{
    ctl::{Answer, Target},
    faults::{Edge, IceServers, JoinError, Lossy, Pin, Refusal, Scope, Stage},
    server::Server,
};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

#[derive(Deserialize)]
pub struct Reset {
    /// Keep pins to edges, for tests that rely on them.
    #[serde(default)]
    keep_pins: bool,
}

pub async fn reset(server: Arc<Server>, a: Reset) -> Answer {
    server.faults.reset(a.keep_pins);
    Ok(json!({}))
}

#[derive(Deserialize)]
pub struct Silent {
    stage: Stage,
    #[serde(flatten)]
    scope: Scope,
}

pub async fn silent(server: Arc<Server>, a: Silent) -> Answer {
    server.faults.add_silent(a.scope, a.stage)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
pub struct Slow {
    ms: u64,
    /// Only this SFU. If absent, all SFUs and the coordinator.
    #[serde(default)]
    edge: Option<Edge>,
}

pub async fn slow(server: Arc<Server>, a: Slow) -> Answer {
    server.faults.set_slow_ms(a.edge, a.ms);
    Ok(json!({}))
}

pub async fn pin_edge(server: Arc<Server>, a: Pin) -> Answer {
    server.faults.add_pin(a)?;
    Ok(json!({}))
}

pub async fn lossy(server: Arc<Server>, a: Lossy) -> Answer {
    if [a.delay_up_ms, a.delay_down_ms, a.jitter_ms].into_iter().any(|ms| ms > 5000) {
        return Err("delays are at most 5000 ms".into());
    }
    if a.flood > 1000 || a.repeat > 1000 {
        return Err("flood and repeat are at most 1000".into());
    }
    server.faults.add_lossy(a)?;
    Ok(json!({}))
}

pub async fn ice_servers(server: Arc<Server>, a: IceServers) -> Answer {
    if a.servers.len() > 16 {
        return Err("at most 16 ICE servers".into());
    }
    server.faults.add_ice_servers(a)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
pub struct RefuseJoin {
    #[serde(flatten)]
    refusal: Refusal,
    #[serde(flatten)]
    scope: Scope,
}

pub async fn refuse_join(server: Arc<Server>, a: RefuseJoin) -> Answer {
    if !(400..600).contains(&a.refusal.http_status) {
        return Err("http_status must be 400 to 599".into());
    }
    server.faults.add_refusal(a.scope, a.refusal)?;
    Ok(json!({}))
}

/// Refuses joins as if the token had expired.
pub async fn expire_tokens(server: Arc<Server>, scope: Scope) -> Answer {
    let refusal = Refusal {
        http_status: 401,
        code: 40,
        message: "JoinCall failed with error: \"token is expired\"".into(),
        unrecoverable: None,
        retry_after: None,
    };
    server.faults.add_refusal(scope, refusal)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
pub struct RefuseSocket {
    #[serde(flatten)]
    error: JoinError,
    #[serde(flatten)]
    scope: Scope,
}

pub async fn join_error(server: Arc<Server>, a: RefuseSocket) -> Answer {
    server.faults.add_join_error(a.scope, a.error)?;
    Ok(json!({}))
}

#[derive(Deserialize)]
pub struct OneEdge {
    edge: Edge,
    /// The coordinator no longer names this SFU.
    #[serde(default)]
    hide: bool,
}

/// Kills an SFU abruptly: sockets are reset, media stops, requests are not answered.
pub async fn kill_edge(server: Arc<Server>, a: OneEdge) -> Answer {
    server.faults.set_killed(a.edge, true, a.hide);
    let mut world = server.world.lock();
    let target = Target { edge: Some(a.edge), ..Target::default() };
    let killed = target.live(&world);
    for joined in &killed {
        let Some(participant) = world.participant(&joined.session_id) else { continue };
        let Some(at) = participant.legs.iter().position(|l| l.id == joined.leg) else { continue };
        let leg = participant.legs.swap_remove(at);
        for track in &participant.tracks {
            track.route.forget_source();
        }
        match participant.legs.first_mut() {
            Some(other) => {
                other.migrating = None;
                participant.edge = other.edge;
            }
            None => participant.without_leg_since = Some(std::time::Instant::now()),
        }
        if let Some(socket) = &leg.socket {
            socket.cut(true);
        }
        world.end_leg(leg, "SFU killed", true);
    }
    Ok(json!({ "sessions": killed.len() }))
}

pub async fn revive_edge(server: Arc<Server>, a: OneEdge) -> Answer {
    server.faults.set_killed(a.edge, false, false);
    Ok(json!({}))
}
