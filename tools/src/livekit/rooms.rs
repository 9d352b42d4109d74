//! Client of the server's room service, as far as tests need it: Twirp with JSON.
//!
//! Knows the names of methods and members. The caller chooses the node.

use super::{config::Keys, http, token};
use hyper::Method;
use serde_json::{json, Map, Value};
use std::time::Duration;

/// Longer than the server's own limits for calls between nodes.
const LIMIT: Duration = Duration::from_secs(9);

/// The room service method for a command of the control API.
pub fn call_of(what: &str) -> Option<&'static str> {
    Some(match what {
        "mute" => "MutePublishedTrack",
        "remove" => "RemoveParticipant",
        "delete_room" => "DeleteRoom",
        "create_room" => "CreateRoom",
        "update_participant" => "UpdateParticipant",
        "update_room" => "UpdateRoomMetadata",
        "update_subscriptions" => "UpdateSubscriptions",
        "send_data" => "SendData",
        "list" => "ListParticipants",
        "rooms" => "ListRooms",
        _ => return None,
    })
}

/// Calls a method. Members are passed to the server unchanged, except `node`; `text` becomes `data` in base64.
pub async fn call(port: u16, keys: &Keys, call: &str, body: &Map<String, Value>) -> Result<Value, String> {
    let mut body = body.clone();
    body.remove("node");
    let room = body.get("room").or(body.get("name")).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(text) = body.remove("text") {
        use base64::{engine::general_purpose::STANDARD, Engine};
        body.insert("data".into(), json!(STANDARD.encode(text.as_str().unwrap_or_default())));
    }
    let path = format!("/twirp/livekit.RoomService/{call}");
    let bearer = token::admin(keys, &room);
    let text = Value::Object(body).to_string();
    let (status, answer) = http::request(Method::POST, port, &path, Some(&bearer), text, LIMIT).await?;
    if status != 200 {
        return Err(format!("{call}: HTTP {status}: {answer}"));
    }
    serde_json::from_str(&answer).map_err(|e| format!("{call}: {e}: {answer}"))
}
