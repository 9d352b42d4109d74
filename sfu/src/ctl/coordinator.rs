//! Faults of the coordinator's WebSockets: refused, dropped, or sent arbitrary messages.

use crate::{
    coordinator::Watcher,
    ctl::Answer,
    faults::{Refusal, Scope},
    server::Server,
    socket::Out,
};
use serde::Deserialize;
use serde_json::{json, Value};
use std::sync::Arc;

#[derive(Deserialize)]
pub struct RefuseConnect {
    #[serde(flatten)]
    refusal: Refusal,
    #[serde(flatten)]
    scope: Scope,
}

/// Refuses authentication on the coordinator's WebSocket.
pub async fn refuse_connect(server: Arc<Server>, a: RefuseConnect) -> Answer {
    server.faults.add_connect_refusal(a.scope, a.refusal)?;
    Ok(json!({}))
}

/// Applies `act` to the sockets of one user or of all users. Answers with their number.
fn each(server: &Server, user_id: Option<&str>, act: impl Fn(&Watcher)) -> Answer {
    let calls = server.calls.lock();
    let fits = |w: &&Watcher| user_id.is_none_or(|user| user == w.user_id);
    let sockets = calls.watchers.values().filter(fits).map(act).count();
    Ok(json!({ "sockets": sockets }))
}

#[derive(Deserialize)]
pub struct DropCoordinator {
    #[serde(default)]
    user_id: Option<String>,
    /// Close code. If absent, the TCP connection ends without a close frame.
    #[serde(default)]
    code: Option<u16>,
    /// Ends the connection with a TCP reset.
    #[serde(default)]
    hard: bool,
}

pub async fn drop_coordinator(server: Arc<Server>, a: DropCoordinator) -> Answer {
    each(&server, a.user_id.as_deref(), |watcher| match a.code.filter(|_| !a.hard) {
        Some(code) => {
            watcher.outbox.push(Out::Close(code, String::new()));
        }
        None => watcher.outbox.cut(a.hard),
    })
}

#[derive(Deserialize)]
pub struct CoordinatorFrame {
    #[serde(default)]
    user_id: Option<String>,
    /// A string is sent verbatim, anything else as JSON.
    message: Value,
}

/// Sends an arbitrary message, well-formed or not.
pub async fn coordinator_frame(server: Arc<Server>, a: CoordinatorFrame) -> Answer {
    let text = a.message.as_str().map_or_else(|| a.message.to_string(), str::to_owned);
    each(&server, a.user_id.as_deref(), |watcher| {
        watcher.outbox.push(Out::Text(text.clone()));
    })
}
