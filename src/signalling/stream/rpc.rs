//! RPCs to the SFU over Twirp (protobuf on HTTP).
//!
//! One attempt per call: the core decides which calls are repeated, and when. Must not know:
//! negotiation, tracks, generations.

use super::{convert, reply};
use crate::{
    core::model::{Failure, FailureKind, RpcCall, RpcReply},
    error::Secret,
    signalling::net::{HttpCall, HttpReply, Net},
};
use offhook_proto::{models as m, signal as s};
use prost::Message;
use serde::de::DeserializeOwned;
use std::{fmt, sync::Arc, time::Duration};
use url::Url;

/// Largest reply that is read, in bytes.
const MAX_REPLY: usize = 1 << 20;
const SERVICE: &str = "stream.video.sfu.signal.SignalServer";

/// A client of one SFU with one token. Usable from any thread; calls may overlap.
pub struct Rpc {
    net: Arc<Net>,
    base: Url,
    token: Secret,
}

impl fmt::Debug for Rpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rpc").field("host", &self.base.host_str()).finish_non_exhaustive()
    }
}

/// The failure of a request that the protocol's capabilities do not include.
fn unknown(method: &str) -> Failure {
    Failure::new(FailureKind::Sfu, format!("this protocol has no {method}"))
}

impl Rpc {
    /// `base_url` is `Admission::url`, which ends in `/twirp`. Contacts no server.
    ///
    /// # Errors
    /// As [`Net::url`].
    pub fn new(net: Arc<Net>, base_url: &str, token: Secret) -> Result<Self, Failure> {
        let mut base = net.url(base_url)?;
        base.set_fragment(None);
        Ok(Self { net, base, token })
    }

    /// Sends one call and waits at most `timeout` for its reply.
    ///
    /// # Errors
    /// `Sfu` with code, text and `should_retry` when the reply carries an application error; `Http`
    /// with the Twirp code and text when the transport refused; `Malformed` when the reply cannot
    /// be read or is larger than 1 MiB; `Timeout`, `Connect`, `Tls`, `Insecure`.
    pub async fn call(&self, call: &RpcCall, timeout: Duration) -> Result<RpcReply, Failure> {
        let method = call.name();
        let body = match call {
            RpcCall::SetPublisher { session_id, sdp, tracks } => {
                convert::set_publisher(session_id, sdp, tracks).encode_to_vec()
            }
            RpcCall::SendAnswer { session_id, sdp, negotiation_id } => {
                convert::send_answer(session_id, sdp, *negotiation_id).encode_to_vec()
            }
            RpcCall::IceTrickle { session_id, peer, candidate } => {
                convert::ice_trickle(session_id, *peer, candidate).encode_to_vec()
            }
            RpcCall::IceRestart { session_id, peer } => convert::ice_restart(session_id, *peer).encode_to_vec(),
            RpcCall::UpdateSubscriptions { session_id, subscriptions } => {
                convert::subscriptions(session_id, subscriptions).encode_to_vec()
            }
            RpcCall::UpdateMuteStates { session_id, states } => {
                convert::mute_states(session_id, states).encode_to_vec()
            }
            RpcCall::UpdateSelf { .. } => return Err(unknown(method)),
            RpcCall::SendStats { session_id, unified_session_id, subscriber_stats, publisher_stats } => {
                convert::send_stats(session_id, unified_session_id, subscriber_stats, publisher_stats).encode_to_vec()
            }
        };
        let reply = self.post(method, body, timeout).await?;
        self.understand(call, &reply)
    }

    /// Parses a successful reply.
    pub(super) fn understand(&self, call: &RpcCall, reply: &HttpReply) -> Result<RpcReply, Failure> {
        let method = call.name();
        match call {
            RpcCall::SetPublisher { .. } => {
                let answer: s::SetPublisherResponse = self.read(method, reply)?;
                self.check(method, answer.error)?;
                if answer.sdp.is_empty() {
                    return Err(Failure::new(FailureKind::Malformed, "the SFU's reply to SetPublisher has no answer"));
                }
                return Ok(RpcReply::Publisher { sdp: answer.sdp, ice_restart: answer.ice_restart });
            }
            RpcCall::SendAnswer { .. } => {
                self.check(method, self.read::<s::SendAnswerResponse>(method, reply)?.error)?;
            }
            RpcCall::IceTrickle { .. } => {
                self.check(method, self.read::<s::IceTrickleResponse>(method, reply)?.error)?;
            }
            RpcCall::IceRestart { .. } => {
                self.check(method, self.read::<s::IceRestartResponse>(method, reply)?.error)?;
            }
            RpcCall::UpdateSubscriptions { .. } => {
                self.check(method, self.read::<s::UpdateSubscriptionsResponse>(method, reply)?.error)?;
            }
            RpcCall::UpdateMuteStates { .. } => {
                self.check(method, self.read::<s::UpdateMuteStatesResponse>(method, reply)?.error)?;
            }
            RpcCall::UpdateSelf { .. } => return Err(unknown(method)),
            RpcCall::SendStats { .. } => {
                self.check(method, self.read::<s::SendStatsResponse>(method, reply)?.error)?;
            }
        }
        Ok(RpcReply::Done)
    }

    async fn post(&self, method: &str, body: Vec<u8>, timeout: Duration) -> Result<HttpReply, Failure> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend([SERVICE, method]),
            Err(()) => return Err(Failure::new(FailureKind::Malformed, "the SFU's URL cannot have a path")),
        };
        let headers = reply::headers(&self.token, Some("application/protobuf"))?;
        let call = HttpCall {
            method: hyper::Method::POST,
            url: &url,
            headers,
            body: body.into(),
            reply_limit: MAX_REPLY,
            timeout,
        };
        let reply = self.net.send(call).await?;
        if reply.is_success() {
            Ok(reply)
        } else {
            Err(reply::refusal(&format!("the SFU ({method})"), &reply, &self.token))
        }
    }

    /// Decodes protobuf, as requested, or JSON if the server's content type says so.
    fn read<T: Message + Default + DeserializeOwned>(&self, method: &str, reply: &HttpReply) -> Result<T, Failure> {
        let json = reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        let read = if json { serde_json::from_slice(&reply.body).ok() } else { T::decode(reply.body.clone()).ok() };
        read.ok_or_else(|| {
            Failure::new(FailureKind::Malformed, format!("the SFU's reply to {method} cannot be decoded"))
        })
    }

    /// An error member without code and text is not an error.
    fn check(&self, method: &str, error: Option<m::Error>) -> Result<(), Failure> {
        let Some(error) = error.map(|error| convert::sfu_error(error, &self.token)) else { return Ok(()) };
        if error.code == 0 && error.message.is_empty() {
            return Ok(());
        }
        let message = match error.message.is_empty() {
            true => format!("the SFU refused {method} with code {}", error.code),
            false => error.message,
        };
        let mut failure = Failure::new(FailureKind::Sfu, message);
        failure.code = error.code;
        failure.should_retry = error.should_retry;
        Err(failure)
    }
}
