//! The SFU's socket: one protobuf message per WebSocket frame.
//!
//! A message that cannot be read is returned as [`SocketIn::Malformed`] and the socket stays open.
//! Must not know: health checks, generations, what a message leads to.

use super::{convert, scan, CLIENT};
use crate::{
    core::model::{Failure, SfuMessage, SfuRequest},
    error::Secret,
    signalling::{
        json,
        net::Net,
        protocol::SocketIn,
        scan::Refused,
        ws::{self, SendError, WsIn, WsKind, WsLimits, WsReceiver, WsSender},
    },
};
use offhook_proto::event as e;
use prost::Message;
use std::{collections::VecDeque, fmt};
use tokio::time::Instant;

/// Options of an SFU socket.
#[derive(Clone)]
pub struct SfuSocketOptions {
    /// `Admission::ws_endpoint`.
    pub endpoint: String,
    /// `Admission::token`; goes into JoinRequest, never into the URL.
    pub token: Secret,
    /// Counts the sockets of this call from 0.
    pub attempt: u32,
    pub user_id: String,
    pub api_key: String,
    pub session_id: String,
    /// `type:id` of the call.
    pub cid: String,
}

impl fmt::Debug for SfuSocketOptions {
    /// Omits the endpoint: some servers put credentials into its query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SfuSocketOptions")
            .field("attempt", &self.attempt)
            .field("session_id", &self.session_id)
            .field("cid", &self.cid)
            .finish_non_exhaustive()
    }
}

/// Opens the SFU's socket before `deadline`; nothing is sent yet. Must be called inside a tokio
/// runtime.
///
/// # Errors
/// As [`ws::open`].
pub async fn open(
    net: &Net,
    options: &SfuSocketOptions,
    limits: WsLimits,
    deadline: Instant,
) -> Result<(SfuSender, SfuReceiver), Failure> {
    let mut url = net.url(&options.endpoint)?;
    url.set_fragment(None);
    url.query_pairs_mut()
        .append_pair("attempt", &options.attempt.to_string())
        .append_pair("user_id", &options.user_id)
        .append_pair("api_key", &options.api_key)
        .append_pair("user_session_id", &options.session_id)
        .append_pair("cid", &options.cid);
    let (sender, receiver) = ws::open(net, &url, &[("x-stream-client", CLIENT)], limits, deadline).await?;
    let token = options.token.clone();
    Ok((SfuSender { ws: sender, token: token.clone() }, SfuReceiver { ws: receiver, token, notes: VecDeque::new() }))
}

/// The sending end. Cheap to clone, usable from any thread; no method blocks.
#[derive(Clone, Debug)]
pub struct SfuSender {
    ws: WsSender,
    token: Secret,
}

impl SfuSender {
    /// Queues a request in order, as a binary frame.
    ///
    /// # Errors
    /// As [`WsSender::send`].
    pub fn send(&self, request: &SfuRequest) -> Result<(), SendError> {
        self.ws.send(convert::request(request, &self.token).encode_to_vec(), WsKind::Binary)
    }

    /// Starts to close; completes within one second. See [`WsSender::close`].
    pub fn close(&self, code: u16, reason: &str) {
        self.ws.close(code, reason);
    }

    /// Waits until the descriptor is closed. Does not start the close.
    pub async fn done(&self) {
        self.ws.done().await;
    }

    /// Whether the descriptor is closed.
    pub fn is_done(&self) -> bool {
        self.ws.is_done()
    }
}

/// The receiving end, for one task.
#[derive(Debug)]
pub struct SfuReceiver {
    ws: WsReceiver,
    token: Secret,
    /// Notes about what was left out of the last message.
    notes: VecDeque<SfuMessage>,
}

impl SfuReceiver {
    /// Returns the next message. After the end every call returns how the socket ended. Cancel
    /// safe.
    pub async fn next(&mut self) -> SocketIn {
        if let Some(note) = self.notes.pop_front() {
            return SocketIn::Message(note);
        }
        let (text, data) = match self.ws.next().await {
            WsIn::Text(data) => (true, data),
            WsIn::Binary(data) => (false, data),
            WsIn::Closed { code, .. } => return SocketIn::Closed { code },
            WsIn::Failed(failure) => return SocketIn::Failed(failure),
        };
        match decode(text, &data) {
            Ok(event) => match convert::message(event, &self.token, &mut self.notes) {
                Some(message) => SocketIn::Message(message),
                None => self.notes.pop_front().map_or(SocketIn::Malformed, SocketIn::Message),
            },
            Err(refused) => match refused.words(data.len()) {
                Some(words) => SocketIn::Message(SfuMessage::TooLarge(words)),
                None => SocketIn::Malformed,
            },
        }
    }
}

/// Decodes one frame. A text frame is protobuf too, UTF-8 or not, unless it starts like JSON.
pub(super) fn decode(text: bool, data: &[u8]) -> Result<e::SfuEvent, Refused> {
    if text && data.first() == Some(&b'{') {
        if !json::is_modest(data) {
            return Err(Refused::TooMuch("more than 20000 objects or 200000 values"));
        }
        return serde_json::from_slice(data).map_err(|_| Refused::Broken);
    }
    scan::check_event(data)?;
    e::SfuEvent::decode(data).map_err(|_| Refused::Broken)
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
