//! The coordinator's WebSocket: authentication, health checks, custom events.

use crate::{
    coordinator::{http::user_json, token, Watcher},
    faults::Stage,
    log::{rfc3339, unix_nanos},
    server::{silence, Server},
    socket::{self, Inbox, Out, Outbox},
};
use axum::{
    extract::{OriginalUri, Request, State},
    response::Response,
};
use serde_json::{json, Value};
use std::{
    sync::{atomic::Ordering::Relaxed, Arc},
    time::{Duration, SystemTime},
};
use tokio::time::timeout;

const AUTH_LIMIT: Duration = Duration::from_secs(10);
/// Clients send a health check every 15 to 25 s.
const IDLE: Duration = Duration::from_secs(60);
const MAX_WATCHERS: usize = 4096;

/// `GET /api/v2/connect` and `/video/connect`
pub async fn connect(State(server): State<Arc<Server>>, uri: OriginalUri, request: Request) -> Response {
    if server.faults.take_silent(Stage::CoordinatorWs, "", None) {
        return silence().await;
    }
    let browser = !uri.path().starts_with("/api/v2/");
    let limits = server.config.limits.clone();
    socket::upgrade(request, &limits, move |inbox, outbox| serve(server, browser, inbox, outbox))
}

async fn serve(server: Arc<Server>, browser: bool, mut inbox: Inbox, outbox: Outbox) {
    server.counters.coordinator_sockets.fetch_add(1, Relaxed);
    let auth = timeout(AUTH_LIMIT, async { inbox.receive(AUTH_LIMIT).await.ok().and_then(|(b, _)| read(b)) });
    let Some(auth) = auth.await.ok().flatten() else { return };
    let given = auth.pointer("/user_details/id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let claimed = token::claims(auth.get("token").and_then(Value::as_str).unwrap_or_default()).user_id;
    let user_id = if given.is_empty() { claimed } else { given };
    let created = |at| if browser { json!(rfc3339(at)) } else { json!(unix_nanos(at)) };
    let now = SystemTime::now();
    if server.faults.take_silent(Stage::CoordinatorHello, &user_id, None) {
        while inbox.receive(IDLE).await.is_ok() {}
        return;
    }
    if let Some(refusal) = server.faults.take_connect_refusal(&user_id) {
        let error = json!({ "code": refusal.code, "StatusCode": refusal.http_status, "message": refusal.message });
        let text =
            json!({ "type": "connection.error", "created_at": created(now), "connection_id": "", "error": error });
        outbox.push(Out::Text(text.to_string()));
        inbox.linger().await;
        return;
    }
    let refusal = user_id.is_empty() || user_id.len() > server.config.limits.identifier;
    if refusal || server.calls.lock().watchers.len() >= MAX_WATCHERS {
        let error = json!({ "code": 5, "StatusCode": 401, "message": "no user in user_details or token" });
        let text =
            json!({ "type": "connection.error", "created_at": created(now), "connection_id": "", "error": error });
        outbox.push(Out::Text(text.to_string()));
        inbox.linger().await;
        return;
    }
    let connection_id: String = (0..20).map(|_| fastrand::alphanumeric()).collect();
    let watcher = Watcher { user_id: user_id.clone(), outbox: outbox.clone(), watching: Vec::new() };
    server.calls.lock().watchers.insert(connection_id.clone(), watcher);
    let ok = json!({ "type": "connection.ok", "connection_id": connection_id, "created_at": created(now),
                     "me": user_json(browser, &user_id, now) });
    outbox.push(Out::Text(ok.to_string()));
    while let Ok((bytes, _)) = inbox.receive(IDLE).await {
        // Browser clients wrap each message in an array.
        let Some(message) = read(bytes) else { continue };
        let (wrapped, message) = match message {
            Value::Array(mut list) if !list.is_empty() => (true, list.swap_remove(0)),
            other => (false, other),
        };
        if message.get("type").and_then(Value::as_str) == Some("health.check") {
            let mut answer = json!({ "type": "health.check", "connection_id": connection_id,
                                     "created_at": created(SystemTime::now()) });
            if let Some(cid) = message.get("cid") {
                answer["cid"] = cid.clone();
            }
            let answer = if wrapped { json!([answer]) } else { answer };
            outbox.push(Out::Text(answer.to_string()));
        }
    }
    server.calls.lock().watchers.remove(&connection_id);
}

fn read(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}
