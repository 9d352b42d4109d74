//! The available protocols by name, and how a client connects to a service of each. Code above this file uses no
//! protocol-specific types. Must not know: sessions, rules.

use super::livekit::{self, LiveKitService};
use super::protocol::Protocol;
use super::stream::{Coordinator, EventHub, EventsOptions, StreamService};
use super::{ws::WsLimits, Net};
use crate::core::model::Failure;
use crate::error::Secret;
use base64::Engine as _;
use std::{sync::Arc, time::Duration};
use url::Url;

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

    /// What its servers are called, for people.
    pub fn server_name(self) -> &'static str {
        match self {
            Self::Stream => "Stream coordinator",
            Self::LiveKit => "LiveKit server",
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

    /// The call that a token admits to, if the protocol's tokens name one.
    pub fn call_of(self, token: &Secret) -> Option<String> {
        match self {
            Self::Stream => None,
            Self::LiveKit => livekit::token::read(token).map(|claims| claims.room).filter(|room| !room.is_empty()),
        }
    }

    /// Whether ids of calls are parts of its paths.
    pub fn has_ids_in_paths(self) -> bool {
        match self {
            Self::Stream => StreamService::dialect().ids_in_paths,
            Self::LiveKit => LiveKitService::dialect().ids_in_paths,
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

/// What a server answered to the question whether it is one of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is, and accepts the token. The call may not exist (HTTP 404).
    Accepted,
    /// It is, and requires a token; none was sent.
    NoToken,
    /// It is, and refuses the token or the call.
    Refused,
    /// It answers HTTP, but not as this service.
    Other,
}

/// The answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// The HTTP status.
    pub status: u16,
    /// The server's own text, bounded, without the token.
    pub text: String,
}

impl Service {
    /// The servers of a service by the application's URL.
    ///
    /// # Errors
    /// As [`Net::url`].
    pub(crate) fn servers(self, net: &Net, url: &str) -> Result<Vec<Url>, Failure> {
        let urls: Vec<&str> = match self {
            Self::Stream => vec![url],
            Self::LiveKit => url.split_whitespace().collect(),
        };
        urls.into_iter().map(|url| net.home(url, true)).collect()
    }

    /// Asks a server by HTTP whether it is one of the service; with a token, whether it accepts that. `call`: type and
    /// id. Nothing is created, and nobody joins.
    ///
    /// # Errors
    /// There was no answer in HTTP.
    pub(crate) async fn ask(
        self,
        net: &Net,
        url: &Url,
        options: &ServiceOptions,
        call: Option<(&str, &str)>,
        timeout: Duration,
    ) -> Result<Answer, Failure> {
        match self {
            Self::Stream => {
                let who = (options.api_key.as_str(), options.user_id.as_str());
                super::stream::ask(net, url, who, call, &options.token, timeout).await
            }
            Self::LiveKit => livekit::ask(net, url, &options.token, timeout).await,
        }
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
