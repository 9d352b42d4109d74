//! One-time actions on existing sessions: events, moderation, lost sockets.

use crate::{
    coordinator,
    ctl::{Answer, Target},
    participant::Grants,
    server::{encode, Server},
    socket::Out,
    wire::Flow,
};
use offhook_proto::{
    event::{self, sfu_event::EventPayload, SfuEvent},
    models::{self, TrackType, TrackUnpublishReason},
};
use serde::Deserialize;
use serde_json::{json, Value};
use std::{sync::Arc, time::Duration};

/// Sends an event on every socket of a target.
fn send_to_target(server: &Server, target: &Target, payload: EventPayload) -> Answer {
    let world = server.world.lock();
    let bytes = encode(payload);
    let sockets: Vec<_> = target.sockets(&world).into_iter().filter_map(|(_, s)| s).collect();
    let sent = sockets.iter().filter(|s| s.push(Out::Binary(bytes.clone()))).count();
    Ok(json!({ "sessions": sent }))
}

#[derive(Deserialize)]
pub struct DropWs {
    #[serde(flatten)]
    target: Target,
    /// Close code. If absent, the TCP connection ends without a close frame.
    #[serde(default)]
    code: Option<u16>,
    #[serde(default)]
    reason: String,
    /// Ends the connection with a TCP reset.
    #[serde(default)]
    hard: bool,
}

pub async fn drop_ws(server: Arc<Server>, a: DropWs) -> Answer {
    let world = server.world.lock();
    let sockets: Vec<_> = a.target.sockets(&world).into_iter().filter_map(|(_, s)| s).collect();
    for socket in &sockets {
        match a.code {
            Some(code) if !a.hard => {
                socket.push(Out::Close(code, a.reason.clone()));
            }
            _ => socket.cut(a.hard),
        }
    }
    Ok(json!({ "sessions": sockets.len() }))
}

#[derive(Deserialize)]
pub struct FreezeWs {
    #[serde(flatten)]
    target: Target,
    /// Time after which the socket resumes. If absent, it stays frozen until the client closes the connection.
    #[serde(default)]
    ms: Option<u64>,
    /// Discard writes instead of keeping them for later.
    #[serde(default)]
    half_open: bool,
}

/// Freezes the TCP connection: it stays open, but nothing is read from it and nothing is sent.
pub async fn freeze_ws(server: Arc<Server>, a: FreezeWs) -> Answer {
    if a.ms.is_some_and(|ms| ms > 60_000) {
        return Err("at most 60000 ms".into());
    }
    let live = a.target.live(&server.world.lock());
    let mut world = server.world.lock();
    let mut frozen = Vec::new();
    for joined in &live {
        let Some(socket) = world.leg(&joined.session_id, joined.edge).and_then(|l| l.socket.clone()) else {
            continue;
        };
        socket.freeze(if a.half_open { Flow::HalfOpen } else { Flow::Frozen });
        frozen.push(socket);
    }
    drop(world);
    let sessions = frozen.len();
    if let Some(ms) = a.ms {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            frozen.iter().for_each(|s| s.freeze(Flow::Live));
        });
    }
    Ok(json!({ "sessions": sessions }))
}

#[derive(Deserialize)]
pub struct GoAway {
    #[serde(flatten)]
    target: Target,
    /// 1 shutting down, 2 rebalance.
    #[serde(default)]
    reason: i32,
}

pub async fn go_away(server: Arc<Server>, a: GoAway) -> Answer {
    send_to_target(&server, &a.target, EventPayload::GoAway(event::GoAway { reason: a.reason }))
}

#[derive(Deserialize)]
pub struct Error {
    #[serde(flatten)]
    target: Target,
    code: i32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    strategy: i32,
    #[serde(default)]
    should_retry: bool,
}

pub async fn error(server: Arc<Server>, a: Error) -> Answer {
    let error = models::Error { code: a.code, message: a.message, should_retry: a.should_retry };
    let event = event::Error { error: Some(error), reconnect_strategy: a.strategy };
    send_to_target(&server, &a.target, EventPayload::Error(event))
}

#[derive(Deserialize)]
pub struct IceRestart {
    #[serde(flatten)]
    target: Target,
    /// 0 publisher, 1 subscriber.
    #[serde(default)]
    peer_type: i32,
}

pub async fn ice_restart(server: Arc<Server>, a: IceRestart) -> Answer {
    let live = a.target.live(&server.world.lock());
    for joined in &live {
        let _ = server.ice_restart(joined.edge, &joined.session_id, a.peer_type);
    }
    Ok(json!({ "sessions": live.len() }))
}

#[derive(Deserialize)]
pub struct CallEnded {
    #[serde(flatten)]
    target: Target,
    /// 1 ended, 2 live ended, 3 kicked, 4 session ended.
    #[serde(default = "ended")]
    reason: i32,
    /// Close the sockets afterwards, as SFUs do.
    #[serde(default = "yes")]
    close: bool,
}

fn ended() -> i32 {
    1
}

fn yes() -> bool {
    true
}

pub async fn call_ended(server: Arc<Server>, a: CallEnded) -> Answer {
    let mut world = server.world.lock();
    let sessions = a.target.sessions(&world);
    let bytes = encode(EventPayload::CallEnded(event::CallEnded { reason: a.reason }));
    for session_id in &sessions {
        let Some(participant) = world.participant(session_id) else { continue };
        for socket in participant.legs.iter().filter_map(|l| l.socket.as_ref()) {
            socket.push(Out::Binary(bytes.clone()));
            if a.close {
                socket.push(Out::Close(1000, "call ended".into()));
            }
        }
        if a.close {
            world.remove(&server, session_id, "the call ended", false);
        }
    }
    Ok(json!({ "sessions": sessions.len() }))
}

pub async fn kick(server: Arc<Server>, target: Target) -> Answer {
    call_ended(server, CallEnded { target, reason: models::CallEndedReason::Kicked as i32, close: true }).await
}

#[derive(Deserialize)]
pub struct Mute {
    #[serde(flatten)]
    target: Target,
    /// 1 audio, 2 video, 3 screen share, 4 screen share audio.
    #[serde(default = "audio")]
    track_type: i32,
}

fn audio() -> i32 {
    TrackType::Audio as i32
}

pub async fn mute(server: Arc<Server>, a: Mute) -> Answer {
    let kind = TrackType::try_from(a.track_type).map_err(|_| "no such track_type")?;
    let mut world = server.world.lock();
    let sessions = a.target.sessions(&world);
    for session_id in &sessions {
        let _ = server.set_muted(&mut world, session_id, kind, true, TrackUnpublishReason::Moderation);
    }
    Ok(json!({ "sessions": sessions.len() }))
}

#[derive(Deserialize)]
pub struct SetGrants {
    #[serde(flatten)]
    target: Target,
    #[serde(default = "yes")]
    audio: bool,
    #[serde(default = "yes")]
    video: bool,
    #[serde(default = "yes")]
    screenshare: bool,
    #[serde(default)]
    message: String,
}

pub async fn grants(server: Arc<Server>, a: SetGrants) -> Answer {
    let mut world = server.world.lock();
    let sessions = a.target.sessions(&world);
    let grants = Grants { audio: a.audio, video: a.video, screenshare: a.screenshare };
    for session_id in &sessions {
        let Some(participant) = world.participant(session_id) else { continue };
        participant.grants = grants;
        let current = models::CallGrants {
            can_publish_audio: a.audio,
            can_publish_video: a.video,
            can_screenshare: a.screenshare,
        };
        let event = event::CallGrantsUpdated { current_grants: Some(current), message: a.message.clone() };
        participant.send(&server, &EventPayload::CallGrantsUpdated(event));
        let revoked: Vec<TrackType> = participant.tracks.iter().map(|t| t.kind).filter(|k| !grants.allow(*k)).collect();
        for kind in revoked {
            let reason = TrackUnpublishReason::PermissionRevoked;
            let _ = server.set_muted(&mut world, session_id, kind, true, reason);
        }
    }
    Ok(json!({ "sessions": sessions.len() }))
}

#[derive(Deserialize)]
pub struct Pins {
    cid: String,
    /// The full list of session ids, most important first.
    sessions: Vec<String>,
}

pub async fn pins(server: Arc<Server>, a: Pins) -> Answer {
    let mut world = server.world.lock();
    let room = world.rooms.get_mut(&a.cid).ok_or("no such call")?;
    if a.sessions.len() > room.participants.len() {
        return Err("more pins than participants".into());
    }
    let pin = |id: &String| {
        let participant = room.participants.iter().find(|p| p.session_id == *id)?;
        Some(models::Pin { user_id: participant.user_id.clone(), session_id: id.clone() })
    };
    room.pins = a.sessions.iter().filter_map(pin).collect();
    let pins = room.pins.clone();
    room.broadcast(&server, None, EventPayload::PinsUpdated(event::PinsChanged { pins }));
    Ok(json!({ "pins": room.pins.len() }))
}

#[derive(Deserialize)]
pub struct SendEvent {
    #[serde(flatten)]
    target: Target,
    /// An SfuEvent in proto3 JSON.
    event: Value,
}

/// Sends an arbitrary event, for cases without a dedicated control call.
pub async fn send_event(server: Arc<Server>, a: SendEvent) -> Answer {
    let event: SfuEvent = serde_json::from_value(a.event).map_err(|e| format!("event: {e}"))?;
    send_to_target(&server, &a.target, event.event_payload.ok_or("event: empty")?)
}

#[derive(Deserialize)]
pub struct CustomEvent {
    cid: String,
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    custom: Value,
}

/// Sends a custom event on the coordinator's WebSockets that watch a call.
pub async fn custom_event(server: Arc<Server>, a: CustomEvent) -> Answer {
    let sent = coordinator::http::send_custom(&server, false, &a.cid, &a.user_id, a.custom);
    Ok(json!({ "sockets": sent }))
}

#[derive(Deserialize)]
pub struct FloodEvents {
    #[serde(flatten)]
    target: Target,
    /// Duration of the flood.
    ms: u64,
}

/// Sends small events as fast as the client's socket accepts them, at most 32,000 per second so that other clients are
/// still served.
pub async fn flood_events(server: Arc<Server>, a: FloodEvents) -> Answer {
    if a.ms > 60_000 {
        return Err("ms is at most 60000".into());
    }
    let sockets: Vec<_> = a.target.sockets(&server.world.lock()).into_iter().filter_map(|(_, s)| s).collect();
    let count = sockets.len();
    let event = encode(EventPayload::HealthCheckResponse(event::HealthCheckResponse::default()));
    for socket in sockets {
        let event = event.clone();
        tokio::spawn(async move {
            let end = tokio::time::Instant::now() + Duration::from_millis(a.ms);
            // In small batches, so that the SFU's regular events are not dropped.
            while tokio::time::Instant::now() < end && !socket.is_closed() {
                for _ in 0..64 {
                    if !socket.send(Out::Binary(event.clone())).await {
                        return;
                    }
                }
                socket.flush().await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    Ok(json!({ "sessions": count }))
}
