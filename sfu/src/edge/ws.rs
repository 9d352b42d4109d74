//! The SFU's WebSocket: JoinRequest, health checks, LeaveCallRequest in; events out.
//!
//! Parses frames only. `join` implements their effect on a room.

use crate::{
    coordinator::token,
    faults::{Edge, Stage},
    join::{Identity, Joined},
    media::address::LocalAddress,
    server::{encode, silence, Connection, HangUp, Server},
    socket::{self, End, Inbox, Out, Outbox, IDLE_LIMIT, LINGER},
};
use axum::{
    extract::{Path, Query, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    Extension,
};
use offhook_proto::{
    event::{self, sfu_event::EventPayload, sfu_request::RequestPayload, SfuRequest},
    models::{self, ErrorCode},
};
use prost::Message;
use serde::Deserialize;
use std::{
    sync::{atomic::Ordering::Relaxed, Arc},
    time::Duration,
};
use tokio::time::timeout;

/// Time limit for the JoinRequest.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
/// Time limit for a burst of late offers at a leave.
const LATE_LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default, Deserialize)]
pub struct WsQuery {
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    cid: String,
}

/// `GET /{edge}/ws`
pub async fn connect(
    State(server): State<Arc<Server>>,
    Extension(connection): Extension<Connection>,
    Path(edge): Path<String>,
    Query(query): Query<WsQuery>,
    request: Request,
) -> Response {
    let Some(edge) = Edge::from_name(&edge) else { return StatusCode::NOT_FOUND.into_response() };
    if server.faults.is_killed(edge) {
        return abort();
    }
    if server.faults.take_silent(Stage::WsUpgrade, &query.user_id, Some(edge)) {
        return silence().await;
    }
    let limits = server.config.limits.clone();
    let local = LocalAddress::of(connection.local);
    socket::upgrade(request, &limits, move |inbox, outbox| serve(server, edge, local, query, inbox, outbox))
}

/// Simulates a dead SFU. On a shared port the closest equivalent is to close the connection without a response.
pub fn abort() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(HangUp);
    response
}

async fn serve(server: Arc<Server>, edge: Edge, local: LocalAddress, query: WsQuery, mut inbox: Inbox, outbox: Outbox) {
    let Some(request) = first_request(&server, &mut inbox, &outbox).await else { return };
    let claims = token::claims(&request.token);
    let pick = |claimed: String, asked: &str| if claimed.is_empty() { asked.to_owned() } else { claimed };
    let identity = Identity { user_id: pick(claims.user_id, &query.user_id), cid: pick(claims.cid, &query.cid) };
    if server.faults.take_silent(Stage::JoinResponse, &identity.user_id, Some(edge)) {
        while inbox.receive(IDLE_LIMIT).await.is_ok() {}
        return;
    }
    let refusal = server.faults.take_join_error(&identity.user_id, edge);
    let joined = match refusal {
        Some(refusal) => Err((refusal.code, refusal.message, refusal.strategy, refusal.should_retry)),
        None => {
            server.join(edge, local, &identity, &request, &outbox).map_err(|(code, text)| (code as i32, text, 0, false))
        }
    };
    let joined = match joined {
        Ok(joined) => joined,
        Err((code, message, reconnect_strategy, should_retry)) => {
            let name = ErrorCode::try_from(code).map(|c| c.as_str_name()).unwrap_or("an unknown code");
            server.log.info(format_args!("{} refused by {}: {name}", identity.user_id, edge.name()));
            outbox.push(Out::Binary(encode(EventPayload::Error(event::Error {
                error: Some(models::Error { code, message, should_retry }),
                reconnect_strategy,
            }))));
            inbox.linger().await;
            return;
        }
    };
    let end = serve_session(&server, &joined, &mut inbox, &outbox).await;
    server.socket_ended(&joined, &end);
}

async fn first_request(server: &Server, inbox: &mut Inbox, outbox: &Outbox) -> Option<event::JoinRequest> {
    let wait = async {
        loop {
            let (bytes, text) = inbox.receive(JOIN_LIMIT).await.ok()?;
            match decode(bytes, text)?.request_payload {
                Some(RequestPayload::JoinRequest(request)) => return Some(request),
                Some(RequestPayload::HealthCheckRequest(_)) => {
                    let response = event::HealthCheckResponse { participant_count: None };
                    outbox.push(Out::Binary(encode(EventPayload::HealthCheckResponse(response))));
                }
                _ => return None,
            }
        }
    };
    let request = timeout(JOIN_LIMIT, wait).await.ok().flatten();
    if request.is_none() {
        server.log.debug(format_args!("socket closed before a JoinRequest"));
    }
    request
}

/// Serves a joined socket until it ends.
async fn serve_session(server: &Arc<Server>, joined: &Joined, inbox: &mut Inbox, outbox: &Outbox) -> End {
    let stats = &joined.stats;
    loop {
        let (bytes, text) = match inbox.receive(IDLE_LIMIT).await {
            Ok(message) => message,
            Err(end) => {
                if end == End::Violated {
                    outbox.push(Out::Close(1009, "a frame is malformed or too large".into()));
                }
                return end;
            }
        };
        stats.messages_in.fetch_add(1, Relaxed);
        stats.bytes_in.fetch_add(bytes.len() as u64, Relaxed);
        if text {
            stats.messages_text.fetch_add(1, Relaxed);
        }
        match decode(bytes, text).and_then(|r| r.request_payload) {
            Some(RequestPayload::HealthCheckRequest(_)) => {
                stats.health_checks.fetch_add(1, Relaxed);
                let mut world = server.world.lock();
                let count = world.room_of(&joined.session_id).map(|r| r.count());
                let response = event::HealthCheckResponse { participant_count: count };
                if let Some(leg) = world.leg(&joined.session_id, joined.edge) {
                    if leg.socket_number == joined.socket_number {
                        leg.send(server, EventPayload::HealthCheckResponse(response));
                    }
                }
            }
            Some(RequestPayload::LeaveCallRequest(leave)) => {
                server.leave(joined, &leave.reason);
                return after_leave(server, joined, inbox, outbox).await;
            }
            Some(RequestPayload::JoinRequest(_)) | None => {
                stats.messages_unreadable.fetch_add(1, Relaxed);
            }
        }
    }
}

/// After LeaveCallRequest, keeps the socket open until the client closes it or one second has passed, so that late
/// offers arrive. The client's close frame is read only after the burst, because the reply to it is the last frame
/// that can be written.
async fn after_leave(server: &Arc<Server>, joined: &Joined, inbox: &mut Inbox, outbox: &Outbox) -> End {
    let burst = joined.stats.late_on_leave.lock().take();
    if let Some(burst) = burst {
        let burst = async {
            server.send_late_offers(&joined.stats, Some(outbox.clone()), burst).await;
            outbox.flush().await;
        };
        let _ = timeout(LATE_LIMIT, burst).await;
    }
    inbox.drain(tokio::time::sleep(LINGER)).await;
    End::Lost
}

/// Protobuf, or JSON when a text frame begins with a brace.
fn decode(bytes: &[u8], text: bool) -> Option<SfuRequest> {
    if text && bytes.first() == Some(&b'{') {
        serde_json::from_slice(bytes).ok()
    } else {
        SfuRequest::decode(bytes).ok()
    }
}
