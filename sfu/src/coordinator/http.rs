//! The coordinator's HTTP: join, get, watch, custom events, location hint.
//!
//! Browser clients use `/video`, native clients `/api/v2/video`. The two differ in the format of timestamps.

use crate::{
    config::IceServer,
    coordinator::{token, Call},
    faults::{Edge, Refusal, Stage},
    log::{rfc3339, unix_nanos},
    server::{self, silence, Connection, Server},
    state::JoinRecord,
};
use axum::{
    body::Body,
    extract::{OriginalUri, Path, Query, Request, State},
    http::{header, HeaderMap, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
    Extension, Json,
};
use serde::Deserialize;
use serde_json::{json, Value};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

#[derive(Clone, Debug, Default, Deserialize)]
pub struct CallQuery {
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    connection_id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct JoinBody {
    location: String,
    create: bool,
    ring: bool,
    notify: bool,
    migrating_from: Option<String>,
    migrating_from_list: Option<Vec<String>>,
    data: Option<Value>,
}

fn error(status: u16, code: i64, message: &str, unrecoverable: Option<bool>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut body = json!({ "code": code, "message": message, "StatusCode": status.as_u16(), "duration": "0.10ms" });
    if let Some(unrecoverable) = unrecoverable {
        body["unrecoverable"] = json!(unrecoverable);
    }
    (status, Json(body)).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    let mut response = error(refusal.http_status, refusal.code, &refusal.message, refusal.unrecoverable);
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The user ID of a request, from the query or else from the token's claim.
fn user(query: &CallQuery, headers: &HeaderMap) -> String {
    if !query.user_id.is_empty() {
        return query.user_id.clone();
    }
    let token = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    token::claims(token).user_id
}

fn sane(server: &Server, text: &str) -> bool {
    !text.is_empty() && text.len() <= server.config.limits.identifier && !text.chars().any(char::is_control)
}

fn time(browser: bool, at: SystemTime) -> Value {
    if browser {
        json!(rfc3339(at))
    } else {
        json!(unix_nanos(at))
    }
}

fn call_json(browser: bool, kind: &str, id: &str, call: &Call) -> Value {
    let at = time(browser, call.created_at);
    json!({
        "cid": format!("{kind}:{id}"), "id": id, "type": kind, "created_at": at, "updated_at": at,
        "created_by": user_json(browser, &call.created_by, call.created_at), "backstage": false, "blocked_user_ids": [],
        "custom": call.custom, "egress": {"broadcasting": false, "hls": null, "rtmps": []},
        "ingress": {"rtmp": {"address": ""}}, "current_session_id": "", "recording": false, "transcribing": false,
        "settings": {
            "audio": {"mic_default_on": false, "speaker_default_on": false, "default_device": "speaker",
                      "access_request_enabled": true, "opus_dtx_enabled": true, "redundant_coding_enabled": true},
            "video": {"enabled": true, "camera_default_on": false, "camera_facing": "front",
                      "access_request_enabled": true,
                      "target_resolution": {"width": 640, "height": 360, "bitrate": 1_250_000}},
            "screensharing": {"enabled": true, "access_request_enabled": true},
        },
    })
}

pub(super) fn user_json(browser: bool, id: &str, at: SystemTime) -> Value {
    json!({ "id": id, "name": id, "role": "user", "teams": [], "language": "", "custom": {},
            "created_at": time(browser, at), "updated_at": time(browser, at) })
}

const CAPABILITIES: [&str; 7] =
    ["send-audio", "send-video", "screenshare", "join-call", "end-call", "mute-users", "pin-for-everyone"];

fn is_browser(uri: &OriginalUri) -> bool {
    !uri.path().starts_with("/api/v2/")
}

/// `POST …/call/{type}/{id}/join`
pub async fn join(
    State(server): State<Arc<Server>>,
    Extension(connection): Extension<Connection>,
    uri: OriginalUri,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<CallQuery>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let started = Instant::now();
    let user_id = user(&query, &headers);
    let body = match server::body(&server, request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let body: JoinBody = match serde_json::from_slice(if body.is_empty() { b"{}" } else { &body }) {
        Ok(body) => body,
        Err(e) => return error(400, 4, &format!("JoinCall failed with error: \"{e}\""), None),
    };
    if server.faults.take_silent(Stage::JoinHttp, &user_id, None) {
        return silence().await;
    }
    if !sane(&server, &kind) || !sane(&server, &id) || kind.contains(':') {
        return error(400, 4, "JoinCall failed with error: \"the call's type or id is not valid\"", None);
    }
    if !sane(&server, &user_id) {
        return error(401, 5, "JoinCall failed with error: \"no user_id in query or token\"", None);
    }
    let cid = format!("{kind}:{id}");
    let mut excluded = body.migrating_from_list.clone().unwrap_or_default();
    excluded.truncate(16);
    if let Some(last) = body.migrating_from.clone().filter(|e| !e.is_empty()) {
        excluded.push(last);
    }
    let refusal = server.faults.take_refusal(&user_id);
    // The first SFU that is not excluded. If all are excluded, the first that is not hidden.
    let usable = || Edge::CHOICE.into_iter().filter(|e| !server.faults.is_hidden(*e));
    let pinned = server.faults.pinned(&cid, &user_id);
    let edge =
        pinned.or_else(|| usable().find(|e| !excluded.iter().any(|x| x == e.name()))).or_else(|| usable().next());
    let clip = |text: &str| text.chars().take(64).collect::<String>();
    server.world.lock().remember_join(JoinRecord {
        cid: cid.clone(),
        user_id: user_id.clone(),
        location: clip(&body.location),
        migrating_from: clip(body.migrating_from.as_deref().unwrap_or_default()),
        migrating_from_list: body.migrating_from_list.iter().flatten().take(16).map(|e| clip(e)).collect(),
        ring: body.ring,
        notify: body.notify,
        edge: if refusal.is_none() { edge.map_or(String::new(), |e| e.name().into()) } else { String::new() },
        http_status: refusal.as_ref().map_or(201, |r| r.http_status),
    });
    if let Some(refusal) = refusal {
        server.log.info(format_args!("{user_id} refused by the coordinator: {}", refusal.message));
        return refused(&refusal);
    }
    let Some(edge) = edge else { return error(503, -1, "no SFU is available", None) };
    let browser = is_browser(&uri);
    let (call, created) = {
        let mut calls = server.calls.lock();
        let created = !calls.calls.contains_key(&cid);
        if created && calls.calls.len() >= server.config.limits.calls {
            return error(429, 9, "too many calls", None);
        }
        let call = calls.calls.entry(cid.clone()).or_insert_with(|| Call {
            created_at: SystemTime::now(),
            created_by: user_id.clone(),
            custom: body
                .data
                .as_ref()
                .and_then(|d| d.get("custom"))
                .filter(|c| c.is_object())
                .cloned()
                .unwrap_or_else(|| json!({})),
        });
        let call = call.clone();
        calls.watch(&query.connection_id, &cid);
        (call, created)
    };
    let (http, ws) = match &server.config.public_url {
        Some(url) => (url.http().to_owned(), url.ws()),
        None => (format!("http://{}", connection.local), format!("ws://{}", connection.local)),
    };
    let configured = || server.config.ice_servers.iter().map(IceServer::describe).collect();
    let answer = json!({
        "call": call_json(browser, &kind, &id, &call),
        "members": [], "own_capabilities": CAPABILITIES,
        "credentials": {
            "server": {
                "edge_name": edge.name(),
                "url": format!("{http}/{}/twirp", edge.name()),
                "ws_endpoint": format!("{ws}/{}/ws", edge.name()),
            },
            "token": token::make(&user_id, &cid, edge.name()),
            "ice_servers": server.faults.ice_servers(&user_id).unwrap_or_else(configured),
        },
        "stats_options": {"reporting_interval_ms": 8000, "enable_rtc_stats": true},
        "created": created,
        "duration": format!("{:.2}ms", started.elapsed().as_secs_f64() * 1e3),
    });
    (StatusCode::CREATED, Json(answer)).into_response()
}

/// `GET …/call/{type}/{id}`. POST creates a missing call. With a `connection_id` the call is watched too.
pub async fn get_call(
    State(server): State<Arc<Server>>,
    uri: OriginalUri,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<CallQuery>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let create = request.method() == axum::http::Method::POST;
    if let Err(response) = server::body(&server, request.into_body()).await {
        return response;
    }
    let cid = format!("{kind}:{id}");
    let user_id = user(&query, &headers);
    let mut calls = server.calls.lock();
    if create && !calls.calls.contains_key(&cid) {
        if !sane(&server, &kind) || !sane(&server, &id) || kind.contains(':') || !sane(&server, &user_id) {
            return error(400, 4, "GetOrCreateCall failed with error: \"call or user is not valid\"", None);
        }
        if calls.calls.len() >= server.config.limits.calls {
            return error(429, 9, "too many calls", None);
        }
        let call = Call { created_at: SystemTime::now(), created_by: user_id, custom: json!({}) };
        calls.calls.insert(cid.clone(), call);
    }
    let Some(call) = calls.calls.get(&cid).cloned() else {
        return error(404, 16, &format!("GetCall failed with error: \"Can't find call with id {cid}\""), None);
    };
    calls.watch(&query.connection_id, &cid);
    let answer = json!({ "call": call_json(is_browser(&uri), &kind, &id, &call), "members": [],
                         "own_capabilities": CAPABILITIES, "duration": "0.10ms" });
    Json(answer).into_response()
}

/// `POST …/call/{type}/{id}/event`: sends a custom event to all watchers of the call.
pub async fn custom_event(
    State(server): State<Arc<Server>>,
    uri: OriginalUri,
    Path((kind, id)): Path<(String, String)>,
    Query(query): Query<CallQuery>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let user_id = user(&query, &headers);
    let body = match server::body(&server, request.into_body()).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return error(400, 4, "the body is not JSON", None);
    };
    let custom = body.get("custom").cloned().unwrap_or_else(|| json!({}));
    send_custom(&server, is_browser(&uri), &format!("{kind}:{id}"), &user_id, custom);
    Json(json!({ "duration": "0.10ms" })).into_response()
}

/// Sends a custom event to all watchers of a call. Returns their number.
pub fn send_custom(server: &Server, browser: bool, cid: &str, user_id: &str, custom: Value) -> usize {
    let now = SystemTime::now();
    let event = json!({ "type": "custom", "call_cid": cid, "created_at": time(browser, now), "custom": custom,
                        "user": user_json(browser, user_id, now) });
    server.calls.lock().send_to_watchers(cid, &event)
}

/// `HEAD /hint`: the client's location, in the header that a CDN would send.
pub async fn hint() -> Response {
    Response::builder().header("x-amz-cf-pop", "LOC50-P1").body(Body::empty()).unwrap_or_default()
}
