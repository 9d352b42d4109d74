//! The server that a URL or a name refers to, and which servers may be contacted.
//!
//! Hosts that a server names are restricted, unlike hosts that the application names: see [`Endpoint::named_by`]. Must
//! not know: sockets, name look-up, proxies.

use super::text;
use crate::core::model::{Failure, FailureKind};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};
use url::{Host, Url};

/// The server that a URL refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub host: Host<String>,
    pub port: u16,
    pub tls: bool,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Endpoint {
    /// Parses an http, https, ws or wss URL. Plain-text URLs must refer to a loopback host (127.0.0.0/8, ::1,
    /// localhost) unless `insecure_allowed`. Contacts no server.
    pub fn of(url: &Url, insecure_allowed: bool) -> Result<Self, Failure> {
        let tls = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err(unusable("its scheme is not http, https, ws or wss")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it contains a user name or password; set credentials in the options instead"));
        }
        let host = url.host().ok_or_else(|| unusable("it has no host"))?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let endpoint = Self { host, port: port.ok_or_else(|| unusable("its port is 0"))?, tls };
        if !tls && !insecure_allowed && !endpoint.is_loopback() {
            return Err(endpoint.insecure());
        }
        Ok(endpoint)
    }

    /// The server at a host, which is a name or an address, IPv6 with or without brackets.
    pub fn at(host: &str, port: u16, tls: bool) -> Result<Self, Failure> {
        let host = match host.parse() {
            Ok(IpAddr::V4(address)) => Host::Ipv4(address),
            Ok(IpAddr::V6(address)) => Host::Ipv6(address),
            Err(_) => Host::parse(host).map_err(|why| unusable(&format!("its host is not valid: {why}")))?,
        };
        if port == 0 {
            return Err(unusable("its port is 0"));
        }
        Ok(Self { host, port, tls })
    }

    /// Loopback by the URL alone: 127.0.0.0/8, ::1 or localhost.
    pub(crate) fn is_loopback(&self) -> bool {
        match self.host {
            Host::Domain(_) => self.name().eq_ignore_ascii_case("localhost"),
            _ => self.address().is_some_and(|address| address.to_canonical().is_loopback()),
        }
    }

    /// The host name without a trailing dot; empty for an address.
    pub(super) fn name(&self) -> &str {
        match &self.host {
            Host::Domain(name) => name.trim_end_matches('.'),
            _ => "",
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// Whether the host is this machine or on the same link, judged by the URL alone.
    pub(super) fn is_local(&self) -> bool {
        let name = self.name().to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost") || self.address().is_some_and(is_local)
    }

    pub(super) fn is_same_host(&self, other: &Self) -> bool {
        let named = !self.name().is_empty() && self.name().eq_ignore_ascii_case(other.name());
        named || self.host == other.host || (self.is_loopback() && other.is_loopback())
    }

    /// Whether `by` may name this server as a destination for the user's token. The application or another server named
    /// `by`. Over TLS `by` may name any host. Without TLS an attacker on the path could have named it, so only the same
    /// host is allowed, unless `others_allowed`. Only a local server may name a local one: a remote server must not
    /// reach services of this machine.
    pub fn named_by(&self, by: &Self, others_allowed: bool) -> Result<(), Failure> {
        if self.is_local() && !by.is_local() {
            return Err(self.out_of_reach(&by.to_string()));
        }
        if by.tls || others_allowed || self.is_same_host(by) {
            return Ok(());
        }
        let text = format!(
            "refused to send the token to {self}: {by} named it without TLS. Use https/wss, or allow other hosts in \
             the client options (allow_other_hosts)"
        );
        Err(Failure::new(FailureKind::Insecure, text::clean(&text, &[])))
    }

    pub(super) fn out_of_reach(&self, by: &str) -> Failure {
        let text = format!(
            "refused to contact {self}, which {by} named: it is on this machine or link, but the server that named it \
             is not"
        );
        Failure::new(FailureKind::Insecure, text::clean(&text, &[]))
    }

    pub(super) fn insecure(&self) -> Failure {
        let text = format!(
            "refused plain http/ws to {self}: tokens would be sent unencrypted. Use https/wss, \
             or allow insecure servers in the client options"
        );
        Failure::new(FailureKind::Insecure, text)
    }
}

/// Loopback, link-local, or the unspecified address, which connects to loopback.
pub(crate) fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(a) => a.is_loopback() || a.is_link_local() || a.octets()[0] == 0,
        IpAddr::V6(a) => a.is_loopback() || a == Ipv6Addr::UNSPECIFIED || a.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn unusable(why: &str) -> Failure {
    Failure::new(FailureKind::Malformed, format!("this URL cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str, insecure: bool) -> Result<Endpoint, FailureKind> {
        Endpoint::of(&Url::parse(url).unwrap(), insecure).map_err(|failure| failure.kind)
    }

    #[test]
    fn plain_text_only_to_loopback() {
        for url in
            ["http://127.0.0.1:1/", "ws://127.9.8.7/", "ws://[::1]:2/", "http://localhost:3/", "http://LOCALHOST./"]
        {
            assert!(of(url, false).is_ok(), "{url}");
        }
        for url in ["http://192.0.2.1/", "ws://example.com/", "http://localhost.example.com/", "http://[::2]/"] {
            assert_eq!(of(url, false), Err(FailureKind::Insecure), "{url}");
            assert!(of(url, true).is_ok(), "{url}");
        }
        assert!(of("https://example.com/", false).is_ok_and(|e| e.tls && e.port == 443));
        assert!(of("wss://example.com/", false).is_ok_and(|e| e.tls && e.port == 443));
    }

    #[test]
    fn which_servers_may_name_which() {
        let named = |url: &str, by: &str, others: bool| {
            let of = |url: &str| Endpoint::of(&Url::parse(url).unwrap(), true).unwrap();
            of(url).named_by(&of(by), others).map_err(|failure| failure.kind)
        };
        // Over TLS any host may be named, without it only the same one.
        assert_eq!(named("wss://b.example.com/", "https://a.example.com/", false), Ok(()));
        assert_eq!(named("wss://b.example.com/", "http://a.example.com/", false), Err(FailureKind::Insecure));
        assert_eq!(named("wss://b.example.com/", "http://a.example.com/", true), Ok(()));
        assert_eq!(named("ws://A.example.com.:9/", "http://a.example.com/", false), Ok(()));
        assert_eq!(named("ws://127.0.0.1:9/", "http://localhost:1/", false), Ok(()));
        assert_eq!(named("ws://10.0.0.1:9/", "http://10.0.0.2:1/", false), Err(FailureKind::Insecure));
        // Only a local server may name a local host, however it is written.
        for local in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://localhost/",
            "https://x.localhost./",
            "https://169.254.169.254/",
            "https://[fe80::1]/",
            "https://0.0.0.0/",
            "https://[::]/",
        ] {
            assert_eq!(named(local, "https://a.example.com/", true), Err(FailureKind::Insecure), "{local}");
            assert_eq!(named(local, "https://127.0.0.1:7/", true), Ok(()), "{local}");
        }
    }

    #[test]
    fn urls_that_lead_nowhere() {
        for url in ["ftp://127.0.0.1/", "http://user:pass@127.0.0.1/", "http://127.0.0.1:0/", "data:,x"] {
            assert_eq!(of(url, false), Err(FailureKind::Malformed), "{url}");
        }
        let secret = Endpoint::of(&Url::parse("http://u:hunter2@127.0.0.1/").unwrap(), false).unwrap_err();
        assert!(!secret.message.contains("hunter2"));
    }

    #[test]
    fn hosts_by_themselves() {
        let shown = |host: &str| Endpoint::at(host, 1, false).map(|e| e.to_string()).map_err(|failure| failure.kind);
        for (host, text) in [
            ("turn.example.com", "turn.example.com:1"),
            ("192.0.2.1", "192.0.2.1:1"),
            ("127.1", "127.0.0.1:1"),
            ("2001:db8::1", "[2001:db8::1]:1"),
            ("[2001:db8::1]", "[2001:db8::1]:1"),
        ] {
            assert_eq!(shown(host).as_deref(), Ok(text));
        }
        for host in ["", "a b", "a\r\nb", "a/b", "u@h", "h:1"] {
            assert_eq!(shown(host), Err(FailureKind::Malformed), "{host:?}");
        }
        assert!(Endpoint::at("turn.example.com", 0, false).is_err());
    }
}
