//! The available protocols by name, and how a client connects to a service of each. Code above this file uses no
//! protocol-specific types. Must not know: sessions, rules.

use super::livekit::{self, LiveKitService};
use super::protocol::Protocol;
use super::stream::{Coordinator, EventHub, EventsOptions, StreamService};
use super::{ws::WsLimits, Net};
use crate::core::model::Failure;
use crate::error::Secret;
use base64::Engine as _;
use std::sync::Arc;

/// The signalling protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Stream,
    LiveKit,
}

/// A client's service and how to reach it.
#[derive(Debug)]
pub struct ServiceOptions {
    pub url: String,
    pub api_key: String,
    pub user_id: String,
    pub token: Secret,
    /// URL that returns the nearest edge; empty: not queried.
    pub hint_url: String,
    /// Also receive the service's own events.
    pub events: bool,
    pub limits: WsLimits,
}

impl Service {
    /// The scheme of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Stream => "https",
            Self::LiveKit => "wss",
        }
    }

    /// The claim of its tokens that names the user.
    pub fn user_claim(self) -> &'static str {
        match self {
            Self::Stream => "user_id",
            Self::LiveKit => "sub",
        }
    }

    /// The user that a token names. The token is not verified here; the server verifies it.
    pub fn user_of(self, token: &Secret) -> Option<String> {
        match self {
            Self::Stream => user_id_of(token),
            Self::LiveKit => livekit::token::read(token).map(|claims| claims.identity).filter(|id| !id.is_empty()),
        }
    }

    /// Default limits of its sockets.
    pub fn limits(self) -> WsLimits {
        match self {
            Self::Stream => WsLimits::default(),
            Self::LiveKit => WsLimits { max_message: livekit::MAX_MESSAGE, ..WsLimits::default() },
        }
    }

    /// Creates a client's access to the service. Contacts no server.
    ///
    /// # Errors
    /// As [`Net::url`].
    pub fn connect(self, net: Arc<Net>, options: ServiceOptions) -> Result<Arc<dyn Protocol>, Failure> {
        let ServiceOptions { url, api_key, user_id, token, hint_url, events, limits } = options;
        if self == Self::LiveKit {
            return Ok(Arc::new(LiveKitService::new(net, &url, limits)?));
        }
        let coordinator = Arc::new(Coordinator::new(net.clone(), &url, &api_key, &user_id)?);
        if !hint_url.is_empty() {
            net.home(&hint_url, false)?;
        }
        let hub = || Arc::new(EventHub::new(coordinator.clone(), token, EventsOptions::default()));
        let events = events.then(hub);
        Ok(Arc::new(StreamService::new(net, coordinator, api_key, limits, hint_url, events)))
    }
}

/// The claim `user_id` of a JWT (RFC 7519).
fn user_id_of(token: &Secret) -> Option<String> {
    let payload = token.reveal().split('.').nth(1)?;
    let bytes = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    claims.get("user_id")?.as_str().filter(|id| !id.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_id_comes_from_the_token() {
        let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(br#"{"user_id":"alice"}"#);
        assert_eq!(user_id_of(&Secret::new(format!("x.{claims}.y"))).as_deref(), Some("alice"));
        for bad in ["", ".", "a.b", "a.!!.c", "a..c", "a.e30.c"] {
            assert_eq!(user_id_of(&Secret::new(bad)), None, "{bad}");
        }
    }
}
