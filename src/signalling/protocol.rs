//! The seam: what every protocol is to the sessions above it.
//!
//! A [`Protocol`] is a service with its servers, shared by the calls of a client. It gives each call a
//! [`Signalling`], which admits and opens [`Link`]s: one link is one connection to an SFU, with its
//! messages, its requests and their replies. Must not know: any wire type, rules, peer connections.

use super::ws::SendError;
use crate::core::model::*;
use crate::error::Secret;
use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// One protocol with its servers. Cheap to share; contacts nobody by itself.
pub trait Protocol: Send + Sync + fmt::Debug {
    fn dialect(&self) -> &'static Dialect;

    /// A call's own connection to the service.
    fn signalling(&self, call: CallFacts) -> Arc<dyn Signalling>;

    /// The call that a token is for, where tokens say so: it leads there whatever the application asks for.
    fn call_of(&self, _token: &Secret) -> Option<String> {
        None
    }

    /// Ends what the calls of the client shared, for good, without waiting. Idempotent.
    fn close(&self) {}
}

/// Something that a participant, or the application's own server, sent to everyone who watches a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomEvent {
    /// `type:id` of the call.
    pub cid: String,
    /// Who sent it.
    pub user_id: String,
    /// The data's member `type` when it is text, else empty.
    pub custom_type: String,
    /// The data as JSON, bounded; its members in any order.
    pub json: String,
}

/// Receives what the service itself says of a call, beside any link.
pub trait ServiceListener: Send + Sync {
    /// A custom event of the call. Must not block.
    fn custom(&self, event: CustomEvent);
    /// The service refuses the token that it has, and knows no other. Must not block. Of all calls only one is asked,
    /// once per refused token.
    fn token_needed(&self);
}

/// What a protocol needs to know of a call.
#[derive(Clone, Debug, Default)]
pub struct CallFacts {
    pub call_type: String,
    pub call_id: String,
    pub user_id: String,
    /// False: a track is received only when the application asks for it.
    pub auto_subscribe: bool,
}

/// Which link to open.
#[derive(Clone, Debug)]
pub struct LinkOptions {
    pub admission: Admission,
    pub session_id: String,
    /// Counts the links of this call from 0.
    pub attempt: u32,
    /// FAST: the SFU still has the session of that name.
    pub resume: bool,
}

/// A data channel as both sides of a protocol know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub label: &'static str,
    pub ordered: bool,
    /// None: until it arrives.
    pub max_retransmits: Option<u16>,
    pub delivery: Delivery,
}

/// One call's connection to its service; what has to survive a lost link lives here.
#[async_trait]
pub trait Signalling: Send + Sync + fmt::Debug {
    /// Who receives what the service says beside any link; before the first admission.
    fn listen(&self, _listener: Arc<dyn ServiceListener>) {}

    /// The application has brought a token, asked or not.
    fn offer_token(&self, _token: &Secret) {}

    /// Longest custom event in bytes; `None`: the protocol has no custom events.
    fn custom_limit(&self) -> Option<usize> {
        None
    }

    /// Sends a custom event to everyone who watches the call; one attempt.
    async fn send_custom(&self, _json: &str, _token: &Secret) -> Result<(), Failure> {
        Err(Failure::new(FailureKind::Malformed, "this protocol has no custom events"))
    }

    /// The call is over: the listener receives nothing any more.
    fn end(&self) {}

    /// Asks to be admitted; one attempt. Waits at most as long as the protocol's own deadline.
    async fn admit(&self, request: AdmissionRequest, token: &Secret) -> Result<Admission, Failure>;

    /// Opens a link before `deadline`; one attempt. Inside a tokio runtime.
    async fn open(
        &self,
        options: LinkOptions,
        deadline: Instant,
    ) -> Result<(Arc<dyn Link>, Box<dyn LinkReceiver>), Failure>;

    /// Whose media this is; `None`: the ids name nobody.
    fn media_owner(&self, stream_id: &str, track_id: &str) -> Option<MediaOwner>;

    /// The data channels that this side opens.
    fn channels(&self) -> &'static [Channel] {
        &[]
    }

    /// The packets that a message becomes, in order.
    fn encode(&self, _message: &DataOut) -> Vec<Bytes> {
        Vec::new()
    }

    /// The last touch to a packet right before it goes out; asked in the order in which packets go.
    fn seal(&self, _delivery: Delivery, packet: Bytes) -> Bytes {
        packet
    }

    /// What a packet on the channel of that label says; `None`: it cannot be used.
    fn decode(&self, _label: &str, _packet: &Bytes) -> Option<DataIn> {
        None
    }
}

/// The writing end of one link. Usable from any task; calls may overlap.
#[async_trait]
pub trait Link: Send + Sync {
    /// Queues a request, in order; never waits.
    ///
    /// # Errors
    /// As [`super::ws::WsSender::send`].
    fn send(&self, request: &SfuRequest) -> Result<(), SendError>;

    /// Asks for something and waits at most `timeout` for the reply; one attempt.
    ///
    /// # Errors
    /// `Sfu` with the server's code, text and `should_retry`; `Timeout`, `Connect`, `Http`, `Malformed`.
    async fn call(&self, call: &RpcCall, timeout: Duration) -> Result<RpcReply, Failure>;

    /// Starts to close; over within a second.
    fn close(&self, code: u16, reason: &str);

    /// Waits until the descriptor is gone. Does not close by itself.
    async fn done(&self);
}

/// The reading end of one link, for one task.
#[async_trait]
pub trait LinkReceiver: Send {
    /// The next message, or how the link ended (again and again). Cancel safe.
    async fn next(&mut self) -> SocketIn;
}

/// What comes out of a link. `Closed` and `Failed` are last: they repeat for ever.
#[derive(Clone, PartialEq)]
pub enum SocketIn {
    Message(SfuMessage),
    /// Something that cannot be read; the socket goes on.
    Malformed,
    /// Closed in order, by either side; 1005 when the SFU gave no code.
    Closed {
        code: u16,
    },
    /// Lost, or given up because of what the SFU sent.
    Failed(Failure),
}

impl fmt::Debug for SocketIn {
    /// Without the message itself: offers hold ICE passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketIn::Message(_) => f.write_str("Message"),
            SocketIn::Malformed => f.write_str("Malformed"),
            SocketIn::Closed { code } => write!(f, "Closed({code})"),
            SocketIn::Failed(failure) => write!(f, "Failed({failure:?})"),
        }
    }
}
