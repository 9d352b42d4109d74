//! Start options of the development SFU, and the limits on everything it accepts.
//!
//! Must not know: sockets or rooms.

use crate::{log::Level, media::address::LocalAddress};
use axum::http::{uri::PathAndQuery, Uri};
use serde_json::{json, Value};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

/// Most ICE servers.
pub const MAX_ICE_SERVERS: usize = 16;
const MAX_TEXT: usize = 1024;

/// Options of one SFU process.
#[derive(Clone, Debug)]
pub struct Config {
    /// TCP address for everything except media. Port 0 picks a free port.
    pub listen: SocketAddr,
    /// Allows a `listen` address that is not loopback.
    pub allow_remote: bool,
    /// Log level of stderr.
    pub log: Level,
    /// Limits on client requests.
    pub limits: Limits,
    /// How long a disconnected session is kept for a FAST reconnect.
    pub keep: Duration,
    /// Value of `fast_reconnect_deadline_seconds` in JoinResponse.
    pub fast_reconnect_deadline_seconds: i32,
    /// Local addresses for media. If empty, each client's media uses the address that its signalling used.
    pub addresses: Vec<LocalAddress>,
    /// Addresses announced in candidates instead of the local ones, with the same ports. At most one per family.
    pub public_addresses: Vec<IpAddr>,
    /// Base of the SFUs' URLs in the coordinator's answers. If absent, the address that the client used.
    pub public_url: Option<PublicUrl>,
    /// Media over UDP.
    pub udp: bool,
    /// Port for media over TCP; 0 picks a free one. If absent, there is no media over TCP.
    pub ice_tcp_port: Option<u16>,
    /// STUN and TURN servers that the coordinator announces, at most 16.
    pub ice_servers: Vec<IceServer>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            allow_remote: false,
            log: Level::Warn,
            limits: Limits::default(),
            keep: Duration::from_secs(10),
            fast_reconnect_deadline_seconds: 10,
            addresses: Vec::new(),
            public_addresses: Vec::new(),
            public_url: None,
            udp: true,
            ice_tcp_port: None,
            ice_servers: Vec::new(),
        }
    }
}

/// A URL that clients can reach: `http://` or `https://`, a host, perhaps a port and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// The base of HTTP URLs, without a trailing slash.
    pub fn http(&self) -> &str {
        &self.0
    }

    /// The base of WebSocket URLs.
    pub fn ws(&self) -> String {
        self.0.replacen("http", "ws", 1)
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an http or https URL of a host");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        let fits = matches!(uri.scheme_str(), Some("http" | "https"))
            && text.len() <= MAX_TEXT
            && !uri.host().unwrap_or_default().is_empty()
            && !authority.contains('@')
            && !text.contains('#')
            && uri.path_and_query().and_then(PathAndQuery::query).is_none();
        if !fits {
            return Err(wrong());
        }
        let scheme = uri.scheme_str().unwrap_or_default();
        Ok(PublicUrl(format!("{scheme}://{authority}{}", uri.path().trim_end_matches('/'))))
    }
}

/// A STUN or TURN server for clients.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    pub url: String,
    /// Empty for STUN.
    pub username: String,
    pub password: String,
}

impl IceServer {
    /// In the coordinator's format.
    pub fn describe(&self) -> Value {
        if self.username.is_empty() {
            return json!({ "urls": [self.url] });
        }
        json!({ "urls": [self.url], "username": self.username, "password": self.password })
    }
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl FromStr for IceServer {
    type Err = String;

    /// `URL` or `URL,user,password`. The password may contain commas. Errors never contain the user or the password.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',').map(str::to_owned);
        let url = parts.next().unwrap_or_default();
        let (scheme, host) = url.split_once(':').unwrap_or_default();
        let turn = matches!(scheme, "turn" | "turns");
        let known = turn || matches!(scheme, "stun" | "stuns");
        if !known || host.is_empty() || text.len() > MAX_TEXT || url.chars().any(|c| c.is_control() || c == ' ') {
            return Err("an ICE server begins with stun:HOST, stuns:HOST, turn:HOST or turns:HOST".into());
        }
        match (parts.next(), parts.next()) {
            (Some(username), Some(password)) if !username.is_empty() && !password.is_empty() => {
                Ok(IceServer { url, username, password })
            }
            (None, None) if !turn => Ok(IceServer { url, username: String::new(), password: String::new() }),
            (None, None) => Err(format!("{url} needs a user and a password: URL,user,password")),
            _ => Err(format!("{url}: after the URL come a user and a password, separated by commas")),
        }
    }
}

/// Upper limits. A request that exceeds one is rejected with an error, never queued.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Concurrent TCP connections.
    pub connections: usize,
    /// Bytes of an HTTP body.
    pub body: usize,
    /// Bytes of a WebSocket message.
    pub frame: usize,
    /// Bytes of an SDP.
    pub sdp: usize,
    /// Concurrent rooms.
    pub rooms: usize,
    /// Calls the coordinator keeps.
    pub calls: usize,
    /// Participants of one room.
    pub participants: usize,
    /// Tracks one participant publishes.
    pub tracks: usize,
    /// Entries of one UpdateSubscriptions.
    pub subscriptions: usize,
    /// m-lines of one subscriber.
    pub media_lines: usize,
    /// Trickled candidates for one peer connection.
    pub candidates: usize,
    /// Bytes of any identifier (user, session, call).
    pub identifier: usize,
    /// Concurrent TCP connections for media.
    pub media_connections: usize,
    /// New TCP connections for media, of one address, that no peer connection has accepted yet.
    pub media_waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: 4096,
            body: 1 << 20,
            frame: 1 << 20,
            sdp: 256 << 10,
            rooms: 1024,
            calls: 4096,
            participants: 256,
            tracks: 64,
            subscriptions: 512,
            media_lines: 256,
            candidates: 64,
            identifier: 256,
            media_connections: 4096,
            media_waiting: 256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_urls() {
        let url: PublicUrl = "https://sfu.example.org:8443/calls/".parse().unwrap();
        assert_eq!(url.http(), "https://sfu.example.org:8443/calls");
        assert_eq!(url.ws(), "wss://sfu.example.org:8443/calls");
        assert_eq!("http://[2001:db8::7]".parse::<PublicUrl>().unwrap().ws(), "ws://[2001:db8::7]");
        for text in ["", "sfu.example.org", "ftp://h", "http://", "http://u:p@h", "http://h?q", "http://h/#f", "/p"] {
            assert!(text.parse::<PublicUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn ice_servers() {
        let stun: IceServer = "stun:stun.example.org:3478".parse().unwrap();
        assert_eq!(stun.describe(), json!({ "urls": ["stun:stun.example.org:3478"] }));
        let turn: IceServer = "turn:127.0.0.1:3478?transport=tcp,user,se,cret".parse().unwrap();
        let urls = ["turn:127.0.0.1:3478?transport=tcp"];
        assert_eq!(turn.describe(), json!({ "urls": urls, "username": "user", "password": "se,cret" }));
        assert!(!format!("{turn:?}").contains("cret"));
    }

    #[test]
    fn unusable_ice_servers_are_refused_without_their_secrets() {
        for text in ["", "turn:", "http://h,u,secret", "turn:h", "turn:h,secret", "turn:h,,secret", "stun:h,secret"] {
            let error = text.parse::<IceServer>().unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
