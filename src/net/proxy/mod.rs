//! Proxies: HTTP (CONNECT) with or without TLS to the proxy, and SOCKS version 5.
//!
//! A proxy resolves the names of servers itself. What it answers is bounded, and never part of an error: an error holds
//! the proxy's host and the code of its answer. Must not know: TCP, TLS, what travels in the tunnel.

mod http;
mod rules;
mod socks;

pub(crate) use rules::Proxies;
pub use rules::{system_environment, Environment};

use super::{text, Endpoint};
use crate::core::model::{Failure, FailureKind};
use crate::error::Secret;
use percent_encoding::percent_decode_str;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite};
use url::{Host, Url};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    Socks5,
}

/// A user's name and password on a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Credentials {
    user: Secret,
    password: Secret,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    scheme: Scheme,
    endpoint: Endpoint,
    credentials: Option<Credentials>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", self.endpoint)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a proxy gave no connection.
#[derive(Debug, PartialEq)]
struct Refusal {
    kind: FailureKind,
    /// Of its answer; 0: none.
    code: i32,
    /// Continues "the proxy P".
    why: String,
}

impl Refusal {
    fn new(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { kind, code: 0, why: why.into() }
    }

    /// Reading or writing failed.
    fn of_stream(error: &io::Error) -> Self {
        let why = match error.kind() {
            io::ErrorKind::UnexpectedEof => "closed the connection before its answer was complete".to_owned(),
            _ => format!("dropped the connection: {error}"),
        };
        Self::new(FailureKind::Connect, why)
    }
}

impl Proxy {
    /// Parses the URL of a proxy; without a scheme it is http. Path and query are ignored.
    ///
    /// # Errors
    /// Why it cannot be used, without any part of it.
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let url = match text.contains("://") {
            true => Url::parse(text),
            false => Url::parse(&format!("http://{text}")),
        };
        let url = url.map_err(|why| why.to_string())?;
        let (scheme, usual_port) = match url.scheme() {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            // The name is resolved by the proxy with both: a local resolver may not know it, and must not learn it.
            "socks5" | "socks5h" => (Scheme::Socks5, 1080),
            _ => return Err("its scheme is not http, https, socks5 or socks5h".to_owned()),
        };
        let host = match url.host() {
            // For socks5 the URL parser does not interpret the host.
            Some(Host::Domain(name)) => Host::parse(name).map_err(|why| why.to_string())?,
            Some(address) => address.to_owned(),
            None => return Err("it has no host".to_owned()),
        };
        let port = url.port().unwrap_or(usual_port);
        if port == 0 {
            return Err("its port is 0".to_owned());
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some(Credentials { user: decoded(user)?, password: decoded(password.unwrap_or(""))? }),
        };
        if let Some(Credentials { user, password }) = &credentials {
            let (user, password) = (user.reveal(), password.reveal());
            match scheme {
                Scheme::Socks5 if user.len() > socks::MAX_TEXT || password.len() > socks::MAX_TEXT => {
                    return Err("its user name or password has more than 255 bytes".to_owned());
                }
                Scheme::Http | Scheme::Https if user.contains(':') => {
                    return Err("its user name contains a colon".to_owned());
                }
                _ => {}
            }
        }
        Ok(Self { scheme, endpoint: Endpoint { host, port, tls: scheme == Scheme::Https }, credentials })
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Asks for a connection to `target` on a stream to the proxy, which then leads there. The caller sets the deadline.
    pub async fn request<S>(&self, stream: &mut S, target: &Endpoint) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + ?Sized,
    {
        let credentials = self.credentials.as_ref();
        let opened = match self.scheme {
            Scheme::Http | Scheme::Https => http::connect(stream, target, credentials).await,
            Scheme::Socks5 => socks::connect(stream, target, credentials).await,
        };
        opened.map_err(|Refusal { kind, code, why }| {
            let message = text::clean(&format!("the proxy {self} {why}"), &[]);
            Failure { code, ..Failure::new(kind, message) }
        })
    }
}

fn decoded(text: &str) -> Result<Secret, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Secret::new).map_err(|_| "its user name or password is not UTF-8".to_owned())
}

/// Interprets a proxy's answer: `Ok` has the number of bytes that it consists of. `socks`: as SOCKS, else as HTTP. For
/// fuzzing.
#[doc(hidden)]
pub fn understand(socks: bool, authenticated: bool, bytes: &[u8]) -> Result<usize, String> {
    use futures_util::FutureExt;
    let user_info = if authenticated { "user:hunter2@" } else { "" };
    let scheme = if socks { "socks5" } else { "http" };
    let proxy = Proxy::parse(&format!("{scheme}://{user_info}proxy.example.com"))?;
    let target = Endpoint::at("sfu.example.com", 443, true).map_err(|failure| failure.message)?;
    let mut stream = tokio::io::join(bytes, tokio::io::sink());
    // Neither half ever waits.
    let opened = proxy.request(&mut stream, &target).now_or_never().ok_or("the exchange waits")?;
    opened.map(|()| bytes.len() - stream.reader().len()).map_err(|failure| failure.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_proxies() {
        let shown = |text: &str| Proxy::parse(text).map(|proxy| proxy.to_string());
        for (text, proxy) in [
            ("http://p.example.com", "http://p.example.com:80"),
            ("p.example.com:3128", "http://p.example.com:3128"),
            (" HTTP://P.example.com:3128/x?y ", "http://p.example.com:3128"),
            ("10.0.0.1:8080", "http://10.0.0.1:8080"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
            ("socks5://p.example.com", "socks5://p.example.com:1080"),
            ("socks5h://127.1:80", "socks5://127.0.0.1:80"),
            ("socks5://[::1]:9", "socks5://[::1]:9"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(proxy), "{text}");
        }
        for text in
            ["ftp://p", "socks4://p", "http://", "socks5://", "http://p:0", "http://p:99999", "a b", "socks5:///"]
        {
            assert!(shown(text).is_err(), "{text}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_not_shown() {
        let proxy = Proxy::parse("http://al%40x:hunt%3Aer%C3%A92@p.example.com").unwrap();
        let credentials = proxy.credentials.as_ref().unwrap();
        assert_eq!((credentials.user.reveal(), credentials.password.reveal()), ("al@x", "hunt:eré2"));
        let shown = format!("{proxy} {proxy:?} {credentials:?}");
        assert!(!shown.contains("hunt") && !shown.contains("al@x") && !shown.contains("al%40x"), "{shown}");
        assert!(Proxy::parse("http://user@p").unwrap().credentials.unwrap().password.is_empty());
        for text in ["http://hun%3Ater2:x@p", "http://u:hunter2%ff@p", "http://u:hunter2@p:0", "x://u:hunter2@p"] {
            let why = Proxy::parse(text).unwrap_err();
            assert!(!why.contains("hunter2") && !why.contains("hun:"), "{why}");
        }
        assert!(Proxy::parse(&format!("socks5://u:{}@p", "x".repeat(256))).is_err());
    }
}
