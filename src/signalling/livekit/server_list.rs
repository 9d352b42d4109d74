//! The service's servers, named by the application or announced by the service, and the choice of the next one.
//! Must not know: rules, sockets.

use crate::core::model::*;
use crate::error::Secret;
use crate::signalling::Net;
use parking_lot::Mutex;
use std::collections::VecDeque;
use url::Url;

/// Most servers kept from each source.
const MAX_SERVERS: usize = 16;
/// Most servers remembered as older.
const MAX_OLDER: usize = 64;

/// The servers of one service.
#[derive(Debug)]
pub(super) struct ServerList {
    /// Named by the application, in its order.
    given: Vec<Url>,
    /// Announced by the service, best first.
    announced: Mutex<Vec<Url>>,
    /// The names of servers that know only `/rtc`, the latest last.
    older: Mutex<VecDeque<String>>,
}

/// The edge name of a server: contains no secret, and is the same however the URL is written.
fn name(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or(host.to_owned(), |port| format!("{host}:{port}"))
}

impl ServerList {
    /// `urls`: one or more URLs, separated by white space. Contacts no server.
    pub fn new(net: &Net, urls: &str) -> Result<Self, Failure> {
        let home = |url: &str| net.home(url, true).and_then(socket);
        let given = urls.split_whitespace().take(MAX_SERVERS).map(home).collect::<Result<Vec<_>, _>>()?;
        if given.is_empty() {
            return Err(Failure::new(FailureKind::Malformed, "no server URL given"));
        }
        Ok(Self { given, announced: Mutex::default(), older: Mutex::default() })
    }

    /// Whether a server may know `/rtc/v1`.
    pub fn may_be_newer(&self, url: &Url) -> bool {
        !self.older.lock().contains(&name(url))
    }

    /// A server has refused `/rtc/v1` and accepted `/rtc`.
    pub fn set_older(&self, url: &Url) {
        let (name, mut older) = (name(url), self.older.lock());
        if !older.contains(&name) {
            if older.len() >= MAX_OLDER {
                older.pop_front();
            }
            older.push_back(name);
        }
    }

    /// Stores the servers that the service announced over its socket at `by`. Leaves out URLs that cannot be used, and
    /// those that `by` must not name.
    pub fn set_announced(&self, net: &Net, by: &Url, urls: Vec<String>) {
        let named = |url: &String| net.named(url, by).and_then(socket).ok();
        let fresh: Vec<Url> = urls.iter().take(MAX_SERVERS).filter_map(named).collect();
        if !fresh.is_empty() {
            *self.announced.lock() = fresh;
        }
    }

    /// Chooses the first server that was not left and has not failed; if there is none, the one for which that is
    /// longest ago.
    pub fn admit(&self, request: &AdmissionRequest, token: &Secret) -> Admission {
        let announced = self.announced.lock().clone();
        let mut all: Vec<Url> = Vec::new();
        for url in self.given.iter().chain(&announced) {
            if !all.iter().any(|known| name(known) == name(url)) {
                all.push(url.clone());
            }
        }
        let excluded = |url: &Url| request.migrating_from_list.iter().position(|edge| *edge == name(url));
        let chosen = all.iter().min_by_key(|url| excluded(url).map_or(0, |failed| failed + 1));
        let Some(url) = chosen.or(self.given.first()) else { return Admission::default() };
        Admission {
            edge_name: name(url),
            ws_endpoint: url.to_string(),
            token: token.clone(),
            cid: request.call_id.clone(),
            opus_dtx: true,
            opus_red: true,
            alternatives: all.len(),
            ..Admission::default()
        }
    }
}

/// The URL of a server's signalling socket.
fn socket(mut url: Url) -> Result<Url, Failure> {
    url.set_fragment(None);
    let scheme = if matches!(url.scheme(), "https" | "wss") { "wss" } else { "ws" };
    let unusable = |()| Failure::new(FailureKind::Malformed, "this URL is not usable for a WebSocket");
    url.set_scheme(scheme).map_err(unusable)?;
    url.path_segments_mut().map_err(unusable)?.pop_if_empty().push("rtc");
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::NetOptions;

    fn net() -> Net {
        Net::new(NetOptions::default()).unwrap()
    }

    fn after(failed: &[&str]) -> AdmissionRequest {
        let migrating_from_list = failed.iter().map(|s| (*s).to_owned()).collect();
        AdmissionRequest { migrating_from_list, ..AdmissionRequest::default() }
    }

    #[test]
    fn the_server_that_failed_longest_ago_is_next() {
        let servers = ServerList::new(&net(), "ws://127.0.0.1:1 http://127.0.0.1:2/sfu/").unwrap();
        let token = Secret::new("t");
        let chosen = |failed: &[&str]| servers.admit(&after(failed), &token);
        assert_eq!(chosen(&[]).ws_endpoint, "ws://127.0.0.1:1/rtc");
        assert_eq!(chosen(&["127.0.0.1:1"]).ws_endpoint, "ws://127.0.0.1:2/sfu/rtc");
        assert_eq!(chosen(&["127.0.0.1:1", "127.0.0.1:2"]).edge_name, "127.0.0.1:1");
        assert_eq!(chosen(&["127.0.0.1:2", "127.0.0.1:1"]).edge_name, "127.0.0.1:2");
        assert_eq!(chosen(&[]).alternatives, 2);
    }

    #[test]
    fn the_service_may_name_more() {
        let servers = ServerList::new(&net(), "https://sfu.example.com").unwrap();
        let token = Secret::new("t");
        assert_eq!(servers.admit(&after(&[]), &token).alternatives, 1);
        // Plain text to other than loopback hosts is refused, as everywhere.
        let by = Url::parse("wss://sfu.example.com/rtc").unwrap();
        servers.set_announced(
            &net(),
            &by,
            vec!["wss://b.example.com".into(), "ws://c.example.com".into(), "junk".into()],
        );
        let next = servers.admit(&after(&["sfu.example.com:443"]), &token);
        assert_eq!(
            (next.edge_name.as_str(), next.ws_endpoint.as_str()),
            ("b.example.com:443", "wss://b.example.com/rtc")
        );
        assert_eq!(servers.admit(&after(&[]), &token).edge_name, "sfu.example.com:443");
    }

    #[test]
    fn a_query_is_kept() {
        let servers = ServerList::new(&net(), "https://sfu.example.com/a/?tenant=7").unwrap();
        let admission = servers.admit(&after(&[]), &Secret::new("t"));
        assert_eq!(admission.ws_endpoint, "wss://sfu.example.com/a/rtc?tenant=7");
        assert_eq!(admission.edge_name, "sfu.example.com:443");
    }

    #[test]
    fn servers_that_must_not_be_named() {
        let token = Secret::new("t");
        let named = |given: &str, allowed: bool, url: &str| {
            let options = NetOptions { insecure_allowed: true, other_hosts_allowed: allowed, ..NetOptions::default() };
            let net = Net::new(options).unwrap();
            let servers = ServerList::new(&net, given).unwrap();
            let by = Url::parse(given).unwrap();
            servers.set_announced(&net, &by, vec![url.to_owned()]);
            servers.admit(&after(&[]), &token).alternatives == 2
        };
        assert!(named("wss://a.example.com", false, "wss://b.example.com"));
        assert!(!named("ws://a.example.com", false, "wss://b.example.com"));
        assert!(named("ws://a.example.com", true, "wss://b.example.com"));
        assert!(named("ws://a.example.com:1", false, "ws://a.example.com:2"));
        assert!(named("ws://127.0.0.1:1", false, "ws://127.0.0.1:2"));
        for url in ["wss://127.0.0.1", "wss://localhost:7880", "wss://[::1]", "wss://169.254.169.254", "wss://0"] {
            assert!(!named("wss://a.example.com", true, url), "{url}");
        }
    }

    #[test]
    fn urls_that_lead_nowhere() {
        for urls in ["", "  ", "ftp://127.0.0.1", "ws://example.com", "ws://127.0.0.1:1 junk"] {
            assert!(ServerList::new(&net(), urls).is_err(), "{urls}");
        }
    }
}
