//! STUN and TURN servers, each by itself: whether it answers, or gives a relay, and over which transport.
//!
//! Each gets a peer connection of its own that gathers from it alone and never has a remote peer. Must not know: who
//! named the servers.

use super::{journal::Journal, step_deadline};
use crate::core::model::{IceServer, PeerKind};
use crate::net::Endpoint;
use crate::rtc::engine::*;
use crate::signalling::Net;
use futures_util::stream::{FuturesUnordered, StreamExt};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Notify,
    time::{sleep, timeout_at, Instant},
};

/// Most URLs that are checked.
const MAX_URLS: usize = 24;
/// How often the result of a STUN server is looked at: one that sees the local address itself adds no candidate.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// An ICE server's URL (RFC 7064, RFC 7065).
#[derive(Clone, Debug, PartialEq, Eq)]
struct IceUrl {
    turn: bool,
    tls: bool,
    tcp: bool,
    host: String,
    port: u16,
}

/// Reads a URL; the reason if this library cannot use it.
fn parse(url: &str) -> Result<IceUrl, &'static str> {
    let (scheme, rest) = url.split_once(':').ok_or("it has no scheme")?;
    let (turn, tls) = match scheme.to_ascii_lowercase().as_str() {
        "stun" => (false, false),
        "stuns" => return Err("STUN over TLS is not supported"),
        "turn" => (true, false),
        "turns" => (true, true),
        _ => return Err("its scheme is not stun, turn or turns"),
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let place = place.trim_start_matches("//");
    let tcp = match query.split('&').find_map(|part| part.strip_prefix("transport=")) {
        None => tls,
        Some("tcp") if turn => true,
        Some("udp") if !tls => false,
        Some("udp") => return Err("TURN over DTLS is not supported"),
        Some(_) => return Err("its transport is not udp or tcp"),
    };
    let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("its port is not valid")?)),
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    if !place.starts_with('[') && host.contains(':') || host.contains(['[', ']']) {
        return Err("its host is not valid; an IPv6 address is in brackets");
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port > 0).ok_or("its port is not valid")?,
        None if tls => 5349,
        None => 3478,
    };
    if host.is_empty() {
        return Err("it has no host");
    }
    Ok(IceUrl { turn, tls, tcp, host: host.to_owned(), port })
}

/// The server of a URL.
pub(super) fn endpoint(url: &str) -> Option<Endpoint> {
    let url = parse(url).ok()?;
    Endpoint::at(&url.host, url.port, url.tls).ok()
}

/// Collects what the engine reports.
#[derive(Default)]
struct Found {
    result: Mutex<Option<Result<String, ServerFailure>>>,
    changed: Notify,
}

impl Found {
    fn set(&self, result: Result<String, ServerFailure>) {
        self.result.lock().get_or_insert(result);
        self.changed.notify_one();
    }
}

struct Observer(Arc<Found>);

impl PeerObserver for Observer {
    fn candidate(&self, json: String) {
        let json: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
        let words: Vec<&str> = json["candidate"].as_str().unwrap_or_default().split(' ').collect();
        let kind = words.iter().position(|word| *word == "typ").and_then(|at| words.get(at + 1));
        let address = words.get(4).zip(words.get(5)).map_or(String::new(), |(ip, port)| format!("{ip} port {port}"));
        match kind {
            Some(&"relay") => self.0.set(Ok(format!("relay allocated: {address}"))),
            Some(&"srflx") => self.0.set(Ok(format!("answered: this machine is seen as {address}"))),
            _ => {}
        }
    }

    fn state(&self, _: PeerState) {}

    fn track(&self, _: RemoteTrackInfo) -> Option<Box<dyn PacketSink>> {
        None
    }

    fn server_failed(&self, failure: ServerFailure) {
        self.0.set(Err(failure));
    }
}

/// Checks all servers at the same time.
pub(super) async fn check(
    journal: &Arc<Journal>,
    net: &Arc<Net>,
    policy: &NetworkPolicy,
    servers: Vec<IceServer>,
    end: Instant,
) {
    let mut urls: Vec<IceServer> = Vec::new();
    for server in servers {
        for url in &server.urls {
            let one = IceServer { urls: vec![url.clone()], ..server.clone() };
            if urls.len() < MAX_URLS && !urls.contains(&one) {
                urls.push(one);
            }
        }
    }
    if urls.is_empty() {
        let advice = "without TURN servers, media needs UDP or ICE over TCP to the SFU";
        return journal.skipped("ice", "", "no STUN or TURN server is known", advice);
    }
    let mut checks: FuturesUnordered<_> =
        urls.into_iter().map(|server| one(journal, net, policy, server, end)).collect();
    while checks.next().await.is_some() {}
}

async fn one(journal: &Arc<Journal>, net: &Arc<Net>, policy: &NetworkPolicy, server: IceServer, end: Instant) {
    let text = server.urls.first().cloned().unwrap_or_default();
    let shown = Journal::url(&text);
    let url = match parse(&text) {
        Ok(url) => url,
        Err(why) => {
            let step = journal.begin("ice", shown);
            return step.warning("url", format!("this URL is not used: {why}"), "correct the URL of the server");
        }
    };
    let step = journal.begin(if url.turn { "turn" } else { "stun" }, shown);
    if url.turn && (server.username.is_empty() || server.password.is_empty()) {
        return step.failed(
            "credentials",
            "not asked: user name or password is missing",
            "pass both for a TURN server",
        );
    }
    let found = Arc::new(Found::default());
    let streams = Arc::new(crate::rtc::ServerStreams::new(net.dialer()));
    let policy = NetworkPolicy { relay_only: url.turn, ..policy.clone() };
    let engine = crate::rtc::default_engine(policy, Some(streams));
    // The application named it: it may be on this machine.
    let options = PeerOptions {
        ice_servers: vec![server],
        refuse_data: true,
        server: url.host.parse().ok(),
        ..PeerOptions::default()
    };
    let spec =
        AudioSenderSpec { stream_id: "doctor".into(), track_id: "doctor".into(), stereo: false, dtx: false, red: 0 };
    let wanted = Wanted { senders: vec![spec], ..Wanted::default() };
    let opened = engine.call().and_then(|call| {
        let peer = call.peer(PeerKind::Publisher, options, Arc::new(Observer(found.clone())))?;
        // Gathering starts with the first description.
        peer.offer(&wanted)?;
        Ok(peer)
    });
    let peer = match opened {
        Ok(peer) => peer,
        Err(error) => return step.failed("system", error.message, "check the limits of open files"),
    };
    let answered = async {
        loop {
            if let Some(result) = found.result.lock().take() {
                return result;
            }
            // Without a NAT in between no candidate comes of an answer.
            if !url.turn && peer.path().text.contains(": answered") {
                return Ok("answered; no address translation in between".to_owned());
            }
            tokio::select! {
                () = found.changed.notified() => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    };
    let result = timeout_at(step_deadline(end), answered).await;
    peer.close();
    match result {
        Ok(Ok(text)) => step.ok(text),
        Ok(Err(failure)) => {
            let (cause, advice) = meaning(failure.code, url.tcp);
            step.failed(cause, format!("{}: {}", failure.code, failure.text), advice);
        }
        Err(_) => {
            let (cause, advice) = meaning(NO_ANSWER, url.tcp);
            step.failed(cause, "no answer in time", advice);
        }
    }
}

/// The code for a server that cannot be reached (as W3C `RTCPeerConnectionIceErrorEvent`).
const NO_ANSWER: u16 = 701;

fn meaning(code: u16, tcp: bool) -> (&'static str, &'static str) {
    match code {
        401 => ("credentials", "check user name and password; those of a service expire, often after hours"),
        403 => ("forbidden", "the server's configuration forbids relays for this user or address"),
        437 | 441 => ("allocation", "try again; the server may have been restarted"),
        486 => ("quota", "the user has too many relays: raise the server's quota, or wait until they expire"),
        508 => ("capacity", "the server has no ports left: enlarge its range"),
        NO_ANSWER if tcp => ("unreachable", "check host, port and firewall for TCP, and the server's certificate"),
        NO_ANSWER => ("unreachable", "a firewall blocks UDP, or the server is down; try TURN over TCP or TLS as well"),
        _ => ("refused", "see the server's log"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_ice_servers() {
        let of = |url: &str| parse(url).map(|u| (u.turn, u.tls, u.tcp, u.host, u.port));
        let is = |turn, tls, tcp, host: &str, port| Ok((turn, tls, tcp, host.to_owned(), port));
        assert_eq!(of("stun:h"), is(false, false, false, "h", 3478));
        assert_eq!(of("TURN:h:99?transport=udp"), is(true, false, false, "h", 99));
        assert_eq!(of("turn:[2001:db8::1]:1?transport=tcp"), is(true, false, true, "2001:db8::1", 1));
        assert_eq!(of("turns:h?transport=tcp"), is(true, true, true, "h", 5349));
        assert_eq!(of("turns:h"), is(true, true, true, "h", 5349));
        for bad in ["", "h", "http:h", "stuns:h", "turns:h?transport=udp", "stun:", "stun:h:0", "stun:h:x", "turn:[::1"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
