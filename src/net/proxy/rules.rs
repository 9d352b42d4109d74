//! Which proxy is used for which server: the application's option, the environment, and exceptions.
//!
//! Servers on loopback are never reached through a proxy. Must not know: how a proxy is asked for a connection.

use super::Proxy;
use crate::net::{Endpoint, Traffic};
use std::{net::IpAddr, sync::Arc};

/// Returns the value of a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of the process.
pub fn system_environment(name: &str) -> Option<String> {
    // Bytes that are not UTF-8 make the URL unusable, which is then reported.
    Some(std::env::var_os(name)?.to_string_lossy().into_owned())
}

/// The proxies of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    /// For http and ws.
    plain: Option<Arc<Proxy>>,
    /// For https and wss, and for everything that is not HTTP.
    tls: Option<Arc<Proxy>>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    /// `option`: empty or "none": no proxy; another text: the proxy for every server. Without it the environment
    /// decides: HTTPS_PROXY, HTTP_PROXY, and ALL_PROXY for what these do not set. NO_PROXY has exceptions in any case.
    /// A name in lower case comes first; an empty value means none.
    ///
    /// # Errors
    /// Which URL is unusable and why; the URL itself is not in the text.
    pub fn new(option: Option<&str>, environment: Environment<'_>) -> Result<Self, String> {
        let exceptions = first(&["no_proxy", "NO_PROXY"], environment)
            .map(|(_, list)| list.split([',', ' ', '\t']).filter_map(Exception::parse).collect())
            .unwrap_or_default();
        if let Some(text) = option.map(str::trim) {
            if text.is_empty() || text.eq_ignore_ascii_case("none") {
                return Ok(Self::default());
            }
            let proxy = Proxy::parse(text).map_err(|why| format!("this proxy URL cannot be used: {why}"))?;
            let proxy = Some(Arc::new(proxy));
            return Ok(Self { plain: proxy.clone(), tls: proxy, exceptions });
        }
        // In a CGI program this variable is the header "Proxy" of a request, set by whoever sent it.
        let plain: &[_] = match environment("REQUEST_METHOD") {
            Some(_) => &["http_proxy"],
            None => &["http_proxy", "HTTP_PROXY"],
        };
        let of = |names: &[&'static str]| {
            let found = first(names, environment).or_else(|| first(&["all_proxy", "ALL_PROXY"], environment));
            let Some((name, text)) = found.filter(|(_, text)| !text.trim().is_empty()) else { return Ok(None) };
            let unusable = |why| format!("the proxy URL in the environment variable {name} cannot be used: {why}");
            Proxy::parse(&text).map(|proxy| Some(Arc::new(proxy))).map_err(unusable)
        };
        Ok(Self { plain: of(plain)?, tls: of(&["https_proxy", "HTTPS_PROXY"])?, exceptions })
    }

    /// The proxy for a server; `None`: connect directly.
    pub(in crate::net) fn of(&self, endpoint: &Endpoint, traffic: Traffic) -> Option<&Proxy> {
        let tunnel = endpoint.tls || traffic == Traffic::Opaque;
        let proxy = if tunnel { &self.tls } else { &self.plain };
        let direct = || {
            let name = endpoint.name().to_ascii_lowercase();
            endpoint.is_loopback()
                || name.ends_with(".localhost")
                || self.exceptions.iter().any(|exception| exception.covers(endpoint, &name))
        };
        proxy.as_deref().filter(|_| !direct())
    }
}

fn first(names: &[&'static str], environment: Environment<'_>) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| environment(name).map(|value| (*name, value)))
}

/// One entry of NO_PROXY.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    hosts: Hosts,
    /// `None`: all ports.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    All,
    /// A name and the names below it; lower case, without dots at its ends.
    Name(String),
    /// An address and the length of the prefix that counts.
    Network(IpAddr, u8),
}

impl Exception {
    /// `None`: an entry without a meaning, which covers nothing.
    fn parse(entry: &str) -> Option<Self> {
        let bracketed = entry.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match bracketed {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':')?)),
            None => match entry.split_once(':') {
                // More colons: an IPv6 address.
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (entry, None),
            },
        };
        let port = port.map(str::parse).transpose().ok()?;
        if host == "*" {
            return Some(Self { hosts: Hosts::All, port });
        }
        let (address, prefix) = match host.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
            None => (host, None),
        };
        let hosts = match (address.parse::<IpAddr>(), prefix) {
            (Ok(address), None) => {
                let address = address.to_canonical();
                Hosts::Network(address, width(address))
            }
            (Ok(address), Some(prefix)) if prefix <= width(address) => Hosts::Network(address, prefix),
            (Err(_), None) => {
                let name = host.strip_prefix('*').unwrap_or(host).trim_matches('.').to_ascii_lowercase();
                Hosts::Name(Some(name).filter(|name| !name.is_empty())?)
            }
            _ => return None,
        };
        Some(Self { hosts, port })
    }

    /// `name`: the endpoint's name in lower case; empty for an address.
    fn covers(&self, endpoint: &Endpoint, name: &str) -> bool {
        if self.port.is_some_and(|port| port != endpoint.port) {
            return false;
        }
        match &self.hosts {
            Hosts::All => true,
            Hosts::Name(end) => {
                name.strip_suffix(end.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Hosts::Network(network, prefix) => {
                let Some(address) = endpoint.address().map(|address| address.to_canonical()) else { return false };
                match (network, address) {
                    (IpAddr::V4(a), IpAddr::V4(b)) => {
                        let differ = u32::from(*a) ^ u32::from(b);
                        differ.leading_zeros() >= u32::from(*prefix)
                    }
                    (IpAddr::V6(a), IpAddr::V6(b)) => {
                        let differ = u128::from(*a) ^ u128::from(b);
                        differ.leading_zeros() >= u32::from(*prefix)
                    }
                    _ => false,
                }
            }
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() {
        32
    } else {
        128
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(option: Option<&str>, variables: &[(&str, &str)]) -> Result<Proxies, String> {
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Proxies::new(option, &find)
    }

    fn host(host: &str, port: u16, tls: bool) -> Endpoint {
        Endpoint::at(host, port, tls).unwrap()
    }

    /// The proxies for https, http and other traffic to one host.
    fn used(option: Option<&str>, variables: &[(&str, &str)]) -> [String; 3] {
        let proxies = proxies(option, variables).unwrap();
        [(true, Traffic::Http), (false, Traffic::Http), (false, Traffic::Opaque)].map(|(tls, traffic)| {
            proxies.of(&host("sfu.example.com", 443, tls), traffic).map(ToString::to_string).unwrap_or_default()
        })
    }

    #[test]
    fn the_environment_decides_without_an_option() {
        let (s, p, all) = ("http://s:80", "http://p:80", "socks5://all:1080");
        let everything = [("HTTPS_PROXY", "s"), ("HTTP_PROXY", "http://p/"), ("ALL_PROXY", "socks5h://all")];
        assert_eq!(used(None, &everything), [s, p, s]);
        assert_eq!(used(None, &everything[1..]), [all, p, all]);
        assert_eq!(used(None, &everything[..1]), [s, "", s]);
        assert_eq!(used(None, &[]), ["", "", ""]);
        // Lower case first, and an empty value means none.
        assert_eq!(used(None, &[("HTTPS_PROXY", "s"), ("https_proxy", "p")])[0], p);
        assert_eq!(used(None, &[("https_proxy", ""), ("ALL_PROXY", "socks5://all")]), ["", all, ""]);
        // In a CGI program.
        let cgi = |name| used(None, &[("REQUEST_METHOD", "GET"), (name, "p")])[1].clone();
        assert_eq!((cgi("HTTP_PROXY"), cgi("http_proxy")), (String::new(), p.to_owned()));
    }

    #[test]
    fn the_option_comes_first() {
        let environment = [("ALL_PROXY", "s"), ("http_proxy", "s")];
        assert_eq!(used(Some("https://o:1"), &environment), ["https://o:1"; 3]);
        for none in ["", " ", "none", "NONE"] {
            assert_eq!(used(Some(none), &environment), [""; 3], "{none:?}");
        }
        assert_eq!(used(Some("https://o:1"), &[("no_proxy", "example.com")]), [""; 3]);
    }

    #[test]
    fn unusable_urls_are_reported_without_their_text() {
        let why = proxies(Some("ftp://u:hunter2@p"), &[]).unwrap_err();
        assert!(why.contains("scheme") && !why.contains("hunter2"), "{why}");
        let why = proxies(None, &[("ALL_PROXY", "socks4://u:hunter2@p")]).unwrap_err();
        assert!(why.contains("ALL_PROXY") && !why.contains("hunter2"), "{why}");
        // Neither the option nor the other variables need this one.
        assert!(proxies(Some("p"), &[("ALL_PROXY", "socks4://p")]).is_ok());
        assert!(proxies(None, &[("ALL_PROXY", "socks4://p"), ("http_proxy", ""), ("https_proxy", "p")]).is_ok());
        let shown = format!("{:?}", proxies(Some("http://user:hunter2@p"), &[]).unwrap());
        assert!(shown.contains("http://p:80") && !shown.contains("hunter2") && !shown.contains("user"), "{shown}");
    }

    #[test]
    fn loopback_is_never_reached_through_a_proxy() {
        let proxies = proxies(Some("p"), &[]).unwrap();
        for local in ["127.0.0.1", "127.9.8.7", "::1", "::ffff:127.0.0.1", "localhost", "LOCALHOST.", "x.localhost"] {
            assert_eq!(proxies.of(&host(local, 1, true), Traffic::Http), None, "{local}");
        }
        for other in ["10.0.0.1", "192.0.2.1", "localhost.example.com", "::2", "notlocalhost"] {
            assert!(proxies.of(&host(other, 1, true), Traffic::Http).is_some(), "{other}");
        }
    }

    #[test]
    fn exceptions() {
        let direct = |list: &str, to: &str, port: u16| {
            let proxies = proxies(Some("p"), &[("NO_PROXY", list)]).unwrap();
            proxies.of(&host(to, port, true), Traffic::Http).is_none()
        };
        for (list, to) in [
            ("example.com", "example.com"),
            ("example.com", "a.b.example.com"),
            (".example.com", "a.example.com"),
            (".example.com", "example.com"),
            ("*.example.com", "a.example.com"),
            ("EXAMPLE.com.", "A.Example.COM."),
            ("x, example.com", "example.com"),
            ("x example.com", "example.com"),
            ("*", "anything.test"),
            ("*", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1", "::ffff:192.0.2.1"),
            ("192.0.2.0/24", "192.0.2.77"),
            ("192.0.2.77/24", "192.0.2.1"),
            ("0.0.0.0/0", "198.51.100.1"),
            ("2001:db8::/32", "2001:db8:1::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("example.com:443", "a.example.com"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("10.0.0.0/8:443", "10.1.1.1"),
            ("*:443", "anything.test"),
        ] {
            assert!(direct(list, to, 443), "{list}: {to}");
        }
        for (list, to) in [
            ("", "example.com"),
            (",, ,", "example.com"),
            (".", "example.com"),
            ("example.com", "notexample.com"),
            ("example.com", "example.com.test"),
            ("example.com:80", "example.com"),
            ("example.com:x", "example.com"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("[2001:db8::1]x", "2001:db8::1"),
            ("192.0.2.0/24", "192.0.3.1"),
            ("192.0.2.0/33", "192.0.2.1"),
            ("192.0.2.0/x", "192.0.2.1"),
            ("2001:db8::/32", "2001:db9::1"),
            ("::/0", "192.0.2.1"),
            ("192.0.2.1", "1.192.0.2.1.test"),
        ] {
            assert!(!direct(list, to, 443), "{list}: {to}");
        }
    }
}
