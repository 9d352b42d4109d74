//! The coordinator: admits users to calls and assigns an SFU. Its WebSocket carries custom events.

pub mod http;
pub mod token;
pub mod ws;

use crate::socket::Outbox;
use std::{collections::HashMap, time::SystemTime};

/// One call, as seen by the coordinator.
#[derive(Clone, Debug)]
pub struct Call {
    pub created_at: SystemTime,
    pub created_by: String,
    pub custom: serde_json::Value,
}

/// One coordinator WebSocket.
#[derive(Debug)]
pub struct Watcher {
    pub user_id: String,
    pub outbox: Outbox,
    /// cids of the watched calls.
    pub watching: Vec<String>,
}

/// State of the coordinator.
#[derive(Debug, Default)]
pub struct Calls {
    pub calls: HashMap<String, Call>,
    pub watchers: HashMap<String, Watcher>,
}

/// Maximum calls that one socket may watch.
const MAX_WATCHED: usize = 256;

impl Calls {
    pub fn watch(&mut self, connection_id: &str, cid: &str) {
        if let Some(watcher) = self.watchers.get_mut(connection_id) {
            if watcher.watching.len() < MAX_WATCHED && !watcher.watching.iter().any(|c| c == cid) {
                watcher.watching.push(cid.into());
            }
        }
    }

    /// Sends an event to all watchers of a call. Returns their number.
    pub fn send_to_watchers(&self, cid: &str, event: &serde_json::Value) -> usize {
        let text = event.to_string();
        let watching = self.watchers.values().filter(|w| w.watching.iter().any(|c| c == cid));
        watching.filter(|w| w.outbox.push(crate::socket::Out::Text(text.clone()))).count()
    }
}
