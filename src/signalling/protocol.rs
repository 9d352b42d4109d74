//! The interface between the signalling protocols and the sessions above them.
//!
//! A [`Protocol`] is a service with its servers, shared by the calls of a client. It gives each call a [`Signalling`],
//! which requests admission and opens [`Link`]s. A link is one connection to an SFU, with its messages, its requests
//! and their replies. Must not know: any wire type, rules, peer connections.

use super::ws::SendError;
use crate::core::model::*;
use crate::error::Secret;
use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// One protocol with its servers. Cheap to share; contacts no server by itself.
pub trait Protocol: Send + Sync + fmt::Debug {
    fn dialect(&self) -> &'static Dialect;

    /// Creates a call's connection to the service.
    fn signalling(&self, call: CallFacts) -> Arc<dyn Signalling>;

    /// The call that a token admits to, if the protocol's tokens name one. The server uses that call regardless of the
    /// call that the application requests.
    fn call_of(&self, _token: &Secret) -> Option<String> {
        None
    }

    /// Closes the resources that the client's calls share, permanently. Does not wait. Idempotent.
    fn close(&self) {}
}

/// A custom event from a participant or the application's backend, sent to every client that watches the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomEvent {
    /// `type:id` of the call.
    pub cid: String,
    /// The sender's user id.
    pub user_id: String,
    /// The data's member `type` if it is text, else empty.
    pub custom_type: String,
    /// The data as JSON, bounded; its members in any order.
    pub json: String,
}

/// Receives the service's events for a call, outside any link.
pub trait ServiceListener: Send + Sync {
    /// A custom event of the call. Must not block.
    fn custom(&self, event: CustomEvent);
    /// The service refused the current token and no other is known. Must not block. Called on one call only, once per
    /// refused token.
    fn token_needed(&self);
}

/// The call parameters that a protocol needs.
#[derive(Clone, Debug, Default)]
pub struct CallFacts {
    pub call_type: String,
    pub call_id: String,
    pub user_id: String,
    /// False: a track is received only if the application subscribes to it.
    pub auto_subscribe: bool,
}

/// Options of a link.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    pub admission: Admission,
    pub session_id: String,
    /// Counts the links of this call from 0.
    pub attempt: u32,
    /// FAST reconnect: the SFU still has the session `session_id`.
    pub resume: bool,
}

/// A data channel that both sides of a protocol agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub label: &'static str,
    pub ordered: bool,
    /// `None`: retransmitted until delivered.
    pub max_retransmits: Option<u16>,
    pub delivery: Delivery,
}

/// One call's connection to its service. Holds the state that outlives a lost link.
#[async_trait]
pub trait Signalling: Send + Sync + fmt::Debug {
    /// Sets the listener for service events outside any link. Called before the first admission.
    fn listen(&self, _listener: Arc<dyn ServiceListener>) {}

    /// The application provided a token, requested or not.
    fn offer_token(&self, _token: &Secret) {}

    /// Longest custom event in bytes; `None`: the protocol has no custom events.
    fn custom_limit(&self) -> Option<usize> {
        None
    }

    /// Sends a custom event to every client that watches the call; one attempt.
    async fn send_custom(&self, _json: &str, _token: &Secret) -> Result<(), Failure> {
        Err(Failure::new(FailureKind::Malformed, "this protocol has no custom events"))
    }

    /// The machine's network has changed: connections from its old addresses are of no use.
    fn network_changed(&self) {}

    /// The call has ended: the listener receives no further events.
    fn end(&self) {}

    /// Requests admission; one attempt. Waits at most as long as the protocol's own deadline.
    async fn admit(&self, request: AdmissionRequest, token: &Secret) -> Result<Admission, Failure>;

    /// Opens a link before `deadline`; one attempt. Inside a tokio runtime.
    async fn open(
        &self,
        options: LinkOptions,
        deadline: Instant,
    ) -> Result<(Arc<dyn Link>, Box<dyn LinkReceiver>), Failure>;

    /// The owner of a media stream; `None`: the ids name no owner.
    fn media_owner(&self, stream_id: &str, track_id: &str) -> Option<MediaOwner>;

    /// The data channels that this side opens.
    fn channels(&self) -> &'static [Channel] {
        &[]
    }

    /// Encodes a message into packets, in order.
    fn encode(&self, _message: &DataOut) -> Vec<Bytes> {
        Vec::new()
    }

    /// Final change to a packet before it is sent. Called in send order.
    fn seal(&self, _delivery: Delivery, packet: Bytes) -> Bytes {
        packet
    }

    /// Decodes a packet from the channel with that label; `None`: it cannot be used.
    fn decode(&self, _label: &str, _packet: &Bytes) -> Option<DataIn> {
        None
    }
}

/// The sending end of one link. Usable from any task; calls may overlap.
#[async_trait]
pub trait Link: Send + Sync {
    /// Queues a request, in order; never waits.
    ///
    /// # Errors
    /// As [`super::ws::WsSender::send`].
    fn send(&self, request: &SfuRequest) -> Result<(), SendError>;

    /// Sends a request and waits at most `timeout` for the reply; one attempt.
    ///
    /// # Errors
    /// `Sfu` with the server's code, text and `should_retry`; `Timeout`, `Connect`, `Http`, `Malformed`.
    async fn call(&self, call: &RpcCall, timeout: Duration) -> Result<RpcReply, Failure>;

    /// Starts to close; completes within a second.
    fn close(&self, code: u16, reason: &str);

    /// Waits until the descriptor is closed. Does not start the close.
    async fn done(&self);
}

/// The receiving end of one link, for one task.
#[async_trait]
pub trait LinkReceiver: Send {
    /// Returns the next message. After the end every call returns how the link ended. Cancel safe.
    async fn next(&mut self) -> SocketIn;
}

/// Items received from a link. `Closed` and `Failed` are final and repeat without limit.
#[derive(Clone, PartialEq)]
pub enum SocketIn {
    Message(SfuMessage),
    /// A message that cannot be decoded; the socket stays open.
    Malformed,
    /// Closed cleanly, by either side; 1005 when the SFU gave no code.
    Closed {
        code: u16,
    },
    /// Connection lost, or closed because of what the SFU sent.
    Failed(Failure),
}

impl fmt::Debug for SocketIn {
    /// Omits the message itself: offers contain ICE passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketIn::Message(_) => f.write_str("Message"),
            SocketIn::Malformed => f.write_str("Malformed"),
            SocketIn::Closed { code } => write!(f, "Closed({code})"),
            SocketIn::Failed(failure) => write!(f, "Failed({failure:?})"),
        }
    }
}
