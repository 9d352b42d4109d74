//! The control API of the stand: `POST /ctl/{what}` with a JSON object, `GET /ctl/state`.
//!
//! It has the form of the development SFU's control API, so that the same tests can use both. docs/livekit-stand.md
//! lists the commands.

use super::{proxy::words, rooms, stand::Stand, token};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
    Json, Router,
};
use serde_json::{json, Value};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// Between the two signals of a graceful stop.
const GRACE_MS: u64 = 500;

/// Serves on a free loopback port until the runtime ends. Returns the URL.
pub async fn serve(stand: Arc<Stand>) -> Result<String, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let routes = Router::new().route("/ctl/state", get(state_of)).route("/ctl/{what}", post(answer)).with_state(stand);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(format!("http://{address}"))
}

async fn state_of(State(stand): State<Arc<Stand>>) -> Response {
    Json(state(&stand).await).into_response()
}

async fn answer(State(stand): State<Arc<Stand>>, Path(what): Path<String>, body: Bytes) -> Response {
    let body = serde_json::from_slice::<Value>(if body.is_empty() { b"{}" } else { &body });
    let result = match body {
        Ok(body) if body.is_object() => act(&stand, &what, body).await,
        Ok(_) => Err("a JSON object is required".to_owned()),
        Err(e) => Err(format!("arguments: {e}")),
    };
    match result {
        Ok(value) => Json(value).into_response(),
        Err(text) => (StatusCode::BAD_REQUEST, Json(json!({ "error": text }))).into_response(),
    }
}

async fn act(stand: &Arc<Stand>, what: &str, body: Value) -> Result<Value, String> {
    let done = || Ok(json!({}));
    if let Some(call) = rooms::call_of(what) {
        let port = asked(stand, &body).await?;
        let body = body.as_object().cloned().unwrap_or_default();
        return rooms::call(port, &stand.keys, call, &body).await;
    }
    if let Some(result) = words::act(&stand.book, what, &body) {
        return result;
    }
    match what {
        "state" => Ok(state(stand).await),
        "token" => {
            let token_options: token::TokenOptions =
                serde_json::from_value(body).map_err(|e| format!("arguments: {e}"))?;
            Ok(json!({ "token": token::join(&stand.keys, &token_options) }))
        }
        "kill" => {
            stand.node(&body)?.1.lock().await.kill().await?;
            done()
        }
        "stop" => {
            let grace = Duration::from_millis(body["grace_ms"].as_u64().unwrap_or(GRACE_MS));
            let took = stand.node(&body)?.1.lock().await.stop(grace).await?;
            Ok(json!({ "ms": took.as_millis() as u64 }))
        }
        "drain" => {
            stand.node(&body)?.1.lock().await.drain()?;
            done()
        }
        "start" => {
            let took = stand.node(&body)?.1.lock().await.start().await?;
            Ok(json!({ "ms": took.as_millis() as u64 }))
        }
        "pause" | "resume" => {
            stand.node(&body)?.1.lock().await.pause(what == "pause")?;
            done()
        }
        "where" | "place" => {
            let redis = stand.redis.as_ref().ok_or("there is no Redis: one node holds every room")?;
            let room = body["room"].as_str().ok_or("room is needed")?;
            if what == "place" {
                let id = stand.node(&body)?.1.lock().await.node_id().ok_or("the node has no ID yet")?;
                redis.place(room, &id).await?;
                return done();
            }
            let held = redis.node_of(room).await?;
            for (index, node) in stand.nodes.iter().enumerate() {
                if held.is_some() && node.lock().await.node_id() == held {
                    return Ok(json!({ "node": index }));
                }
            }
            // On no node, or on a process that has ended.
            Ok(json!({ "node": -1 }))
        }
        _ => Err(format!("unknown command {what}")),
    }
}

/// The port of the node named in `body`, or of a running one.
async fn asked(stand: &Stand, body: &Value) -> Result<u16, String> {
    if !body["node"].is_null() {
        return Ok(stand.ports[stand.node(body)?.0]);
    }
    for (node, port) in stand.nodes.iter().zip(&stand.ports) {
        // A node that is locked is starting or stopping and does not answer.
        if let Ok(mut node) = node.try_lock() {
            if node.pid().is_some() && !node.is_paused() {
                return Ok(*port);
            }
        }
    }
    Err("no node is running".to_owned())
}

async fn state(stand: &Stand) -> Value {
    let mut nodes = Vec::new();
    for (index, node) in stand.nodes.iter().enumerate() {
        let mut node = node.lock().await;
        nodes.push(json!({ "node": index, "running": node.pid().is_some(), "paused": node.is_paused(),
            "pid": node.pid(), "node_id": node.node_id(), "starts": node.starts, "port": node.port(),
            "udp_port": node.udp_port() }));
    }
    json!({ "nodes": nodes, "identities": stand.book.describe(), "relays": stand.relays.describe(), "redis": stand.redis.as_ref().map(|r| json!({ "port": r.port, "pid": r.pid })) })
}
