//! The coordinator's own WebSocket: events around calls, in addition to those of their SFUs.
//!
//! One attempt: [`EventSocket::connect`] authenticates and waits for the connection's id, [`EventSocket::next`]
//! receives events and keeps the connection alive. A message that cannot be read is reported as malformed and the
//! socket stays open. Must not know: who uses the events, when to connect again.

use super::{Coordinator, CustomEvent, CLIENT};
use crate::{
    core::model::{Failure, FailureKind},
    error::Secret,
    log::{oh_log, Level},
    signalling::{
        json, text,
        ws::{self, WsIn, WsKind, WsLimits, WsReceiver, WsSender},
    },
};
use serde_json::{json, Value};
use std::{fmt, time::Duration};
use tokio::time::{sleep_until, timeout_at, Instant};

/// Most bytes of the data of one custom event, as JSON; a larger one is dropped, because whole queues of them may wait
/// for a slow application.
pub const MAX_CUSTOM: usize = 16 << 10;
/// Longest name of a call or user.
const MAX_NAME: usize = 1024;
/// Longest connection id; it is sent in URLs.
const MAX_CONNECTION_ID: usize = 256;

/// Timeouts and limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct EventsOptions {
    pub ws: WsLimits,
    /// From the name look-up to the connection's id.
    pub open: Duration,
    /// How often a health check is sent.
    pub ping: Duration,
    /// Silence after which the connection counts as lost.
    pub silent: Duration,
}

impl Default for EventsOptions {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        // Event messages are small; the application's size limit applies to the SFU's socket.
        let ws = WsLimits { name: "the size limit of coordinator events", ..WsLimits::default() };
        Self { ws, open: seconds(5), ping: seconds(20), silent: seconds(35) }
    }
}

/// Items received from the socket. `Ended` is final.
#[derive(Clone, Debug, PartialEq)]
pub enum EventIn {
    Custom(CustomEvent),
    /// An event of a kind that this library does not use.
    Other,
    /// A message that cannot be read, or is too large; the socket stays open.
    Malformed,
    Ended(Failure),
}

/// Whether the coordinator requires another token: this one is expired, not valid or unknown.
pub fn refuses_token(failure: &Failure) -> bool {
    // 40 to 43: expired, not valid yet, issued in the future, signature.
    failure.kind == FailureKind::Http { status: 401 } || matches!(failure.code, 40..=43)
}

/// An admitted connection. Dropping it closes it.
pub struct EventSocket {
    sender: WsSender,
    receiver: WsReceiver,
    connection_id: String,
    token: Secret,
    options: EventsOptions,
    ping_at: Instant,
    silent_at: Instant,
}

impl fmt::Debug for EventSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSocket").finish_non_exhaustive()
    }
}

impl Drop for EventSocket {
    fn drop(&mut self) {
        self.sender.close(1000, "");
    }
}

impl EventSocket {
    /// Connects and authenticates within `options.open`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As [`ws::open`]; `Http` with the coordinator's status, code and text when it refuses (see [`refuses_token`]);
    /// `Timeout` when it does not answer.
    pub async fn connect(coordinator: &Coordinator, token: &Secret, options: EventsOptions) -> Result<Self, Failure> {
        let deadline = Instant::now() + options.open;
        let url = coordinator.events_url()?;
        let headers = [("x-stream-client", CLIENT)];
        let (sender, receiver) = ws::open(coordinator.net(), &url, &headers, options.ws, deadline).await?;
        let hello = json!({
            "token": token.reveal(), "products": ["video"], "user_details": { "id": coordinator.user_id() },
        });
        let mut socket = Self {
            sender,
            receiver,
            connection_id: String::new(),
            token: token.clone(),
            options,
            ping_at: deadline,
            silent_at: deadline,
        };
        socket.send(hello)?;
        match timeout_at(deadline, socket.admitted()).await {
            Ok(id) => socket.connection_id = id?,
            Err(_) => {
                let text = "timeout: no answer on the coordinator's WebSocket";
                return Err(Failure::new(FailureKind::Timeout, text));
            }
        }
        socket.ping_at = Instant::now() + options.ping;
        socket.reset_silence();
        Ok(socket)
    }

    /// The connection's id. Joining or watching a call with it delivers the call's events on this connection.
    pub fn connection_id(&self) -> &str {
        &self.connection_id
    }

    async fn admitted(&mut self) -> Result<String, Failure> {
        loop {
            let received = self.receiver.next().await;
            match self.read(received) {
                Read::Admitted(id) => return Ok(id),
                Read::In(EventIn::Ended(failure)) => return Err(failure),
                // Other messages before the admission belong to no call.
                Read::Alive | Read::In(_) => {}
            }
        }
    }

    fn reset_silence(&mut self) {
        self.silent_at = Instant::now() + self.options.silent;
    }

    fn send(&self, message: Value) -> Result<(), Failure> {
        self.sender.send(message.to_string(), WsKind::Text).map_err(|why| {
            Failure::new(FailureKind::Connect, format!("cannot send on the coordinator's WebSocket: {why}"))
        })
    }

    /// Returns the next event, or how the connection ended; must not be called again after that. Cancel safe.
    pub async fn next(&mut self) -> EventIn {
        loop {
            tokio::select! {
                biased;
                received = self.receiver.next() => {
                    self.reset_silence();
                    match self.read(received) {
                        Read::In(event) => return event,
                        Read::Admitted(_) => return EventIn::Other,
                        Read::Alive => {}
                    }
                }
                () = sleep_until(self.silent_at) => {
                    let text = "timeout: no message on the coordinator's WebSocket";
                    return EventIn::Ended(Failure::new(FailureKind::Timeout, text));
                }
                () = sleep_until(self.ping_at) => {
                    self.ping_at = Instant::now() + self.options.ping;
                    let ping = json!({ "type": "health.check", "connection_id": self.connection_id });
                    if let Err(failure) = self.send(ping) {
                        return EventIn::Ended(failure);
                    }
                }
            }
        }
    }

    fn read(&self, received: WsIn) -> Read {
        match received {
            WsIn::Text(data) | WsIn::Binary(data) => read(&data, &self.token),
            WsIn::Closed { code, .. } => {
                let text = format!("the coordinator closed its WebSocket with code {code}");
                Read::In(EventIn::Ended(Failure::new(FailureKind::Connect, text)))
            }
            WsIn::Failed(failure) => Read::In(EventIn::Ended(failure)),
        }
    }
}

enum Read {
    /// `connection.ok`, with the id.
    Admitted(String),
    /// A health check.
    Alive,
    In(EventIn),
}

fn read(data: &[u8], token: &Secret) -> Read {
    // The parser bounds the depth, this check the number of values.
    let message = json::is_modest(data).then(|| serde_json::from_slice::<Value>(data).ok()).flatten();
    let Some(message) = message else { return Read::In(EventIn::Malformed) };
    match message["type"].as_str() {
        Some("health.check") => Read::Alive,
        Some("connection.ok") => match name(&message["connection_id"], MAX_CONNECTION_ID) {
            Some(id) => Read::Admitted(id),
            None => Read::In(EventIn::Malformed),
        },
        Some("connection.error") => Read::In(EventIn::Ended(refusal(&message["error"], token))),
        Some("custom") => Read::In(custom(&message).map_or(EventIn::Malformed, EventIn::Custom)),
        Some(_) => Read::In(EventIn::Other),
        None => Read::In(EventIn::Malformed),
    }
}

fn name(value: &Value, most: usize) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= most).map(str::to_owned)
}

fn custom(message: &Value) -> Option<CustomEvent> {
    let data = &message["custom"];
    let json = if data.is_null() { "{}".to_owned() } else { data.to_string() };
    if json.len() > MAX_CUSTOM {
        oh_log!(Level::Debug, "a custom event of {} bytes was dropped: the limit is {MAX_CUSTOM}", json.len());
        return None;
    }
    Some(CustomEvent {
        cid: name(&message["call_cid"], 2 * MAX_NAME)?,
        user_id: name(&message["user"]["id"], MAX_NAME).unwrap_or_default(),
        custom_type: name(&data["type"], MAX_NAME).unwrap_or_default(),
        json,
    })
}

fn refusal(error: &Value, token: &Secret) -> Failure {
    let number = |name: &str| error[name].as_i64().unwrap_or(0);
    let status = u16::try_from(number("StatusCode")).unwrap_or(0);
    let reason = text::clean(error["message"].as_str().unwrap_or_default(), &[token]);
    let reason = if reason.is_empty() { "the coordinator refused its WebSocket".to_owned() } else { reason };
    let mut failure = Failure::new(FailureKind::Http { status }, reason);
    failure.code = i32::try_from(number("code")).unwrap_or(0);
    failure.unrecoverable = error["unrecoverable"].as_bool().unwrap_or(false);
    failure
}
