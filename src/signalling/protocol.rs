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

    /// A call's own line to the service.
    fn signalling(&self, call: CallFacts) -> Arc<dyn Signalling>;
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

/// One call's line to its service; what has to survive a lost link lives here.
#[async_trait]
pub trait Signalling: Send + Sync + fmt::Debug {
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
