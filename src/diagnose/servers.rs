//! One server of the service: name look-up, TCP, proxy, TLS, HTTP. Must not know: protocols, media.

use super::{journal::Journal, step_deadline};
use crate::core::model::{Failure, FailureKind};
use crate::net::{connect_each, Dialer, Endpoint, Hop, Traffic};
use crate::signalling::{Net, Service, ServiceOptions, Verdict};
use std::{net::SocketAddr, sync::Arc};
use tokio::time::Instant;
use url::Url;

/// A connection that takes longer is reported as slow.
const SLOW_MS: u128 = 1_000;

/// The cause of a failure in one word, and what to do.
pub(super) fn meaning(failure: &Failure) -> (&'static str, &'static str) {
    match failure.kind {
        FailureKind::Timeout => ("timeout", "a firewall may drop the packets, or the server is overloaded"),
        FailureKind::Connect => ("unreachable", "check host, port and firewall, and that the server is running"),
        FailureKind::Tls => ("tls", "check the server's certificate and TLS settings"),
        FailureKind::Insecure => ("insecure", "use https or wss, or allow insecure servers in the options"),
        FailureKind::Http { .. } | FailureKind::Sfu => ("refused", "see the server's text"),
        FailureKind::Malformed => ("malformed", "check the URL: another service may be running there"),
        FailureKind::TooLarge => ("too_large", "check the URL: another service may be running there"),
    }
}

fn advice_of_tls(cause: &str) -> &'static str {
    match cause {
        "certificate_expired" => "renew the server's certificate, or correct the clock of this machine",
        "certificate_not_valid_yet" => "correct the clock of this machine or of the server that made the certificate",
        "certificate_wrong_host" => "use the host name of the certificate in the URL, or a certificate for this name",
        "certificate_unknown_issuer" => {
            "install the CA of the server, or pass its PEM file (ca_file); a server must also send its intermediate \
             certificates. A proxy that inspects TLS has a CA of its own"
        }
        "certificate_is_ca" => "pass this certificate as the CA file (ca_file)",
        "certificate_revoked" => "replace the server's certificate",
        "not_tls" => "this port does not speak TLS: check the port, or use http or ws",
        "timeout" => "something on the way lets TCP through and drops TLS: a firewall or an overloaded server",
        "ca_file" => "check the CA file and the system's certificates (package ca-certificates)",
        _ => "check the server's TLS settings, and whether something on the way changes the connection",
    }
}

/// Checks one server; true if the service can be used there.
pub(super) async fn check(
    journal: &Arc<Journal>,
    net: &Arc<Net>,
    (service, options): (Service, &ServiceOptions),
    url: &Url,
    call: Option<(&str, &str)>,
    proxy_of_options: bool,
    end: Instant,
) -> bool {
    let endpoint = match net.endpoint(url) {
        Ok(endpoint) => endpoint,
        Err(failure) => {
            let (cause, advice) = meaning(&failure);
            journal.begin("url", "").failed(cause, failure.message, advice);
            return false;
        }
    };
    let dialer = net.dialer();
    let Some(hop) = connect(journal, &dialer, &endpoint, proxy_of_options, end).await else { return false };
    if endpoint.tls {
        let step = journal.begin("tls", endpoint.to_string());
        match dialer.secure(hop, &endpoint, Traffic::Http, step_deadline(end)).await {
            Ok(secured) => step.ok(format!(
                "{}, the certificate is valid{}",
                secured.version,
                if secured.http1 { ", HTTP/1.1" } else { "" }
            )),
            Err((failure, cause)) => {
                step.failed(cause, failure.message, advice_of_tls(cause));
                return false;
            }
        }
    } else {
        drop(hop);
        let step = journal.begin("tls", endpoint.to_string());
        let found = "the URL is http or ws: tokens travel unencrypted";
        match endpoint.is_loopback() {
            true => step.ok("not used; the server is on this machine"),
            false => step.warning("insecure", found, "use https or wss"),
        }
    }
    http(journal, net, (service, options), url, &endpoint, call, end).await
}

/// Look-up, TCP and proxy.
async fn connect(
    journal: &Arc<Journal>,
    dialer: &Arc<Dialer>,
    endpoint: &Endpoint,
    proxy_of_options: bool,
    end: Instant,
) -> Option<Hop> {
    let (first, proxy) = dialer.first_hop(endpoint, Traffic::Http);
    // With a proxy the way to it is checked; it resolves the server's name itself.
    let traffic = if proxy.is_some() { Traffic::Opaque } else { Traffic::Http };
    let addresses = look_up(journal, dialer, &first, traffic, end).await?;
    let hop = tcp(journal, dialer, &first, &addresses, end).await?;
    let Some(proxy) = proxy else {
        journal.begin("proxy", endpoint.to_string()).ok("none is used for this server");
        return Some(hop);
    };
    let origin = if proxy_of_options { "set in the options" } else { "set in the environment" };
    if !endpoint.tls {
        journal.begin("proxy", proxy).ok(format!("{origin}, for {endpoint}"));
        return Some(hop);
    }
    let step = journal.begin("proxy", proxy);
    match dialer.through_proxy(hop, endpoint, Traffic::Http, step_deadline(end)).await {
        Ok(hop) => {
            step.ok(format!("{origin}; it connects to {endpoint}"));
            Some(hop)
        }
        Err(failure) => {
            let cause = match failure.kind {
                FailureKind::Timeout => "timeout",
                FailureKind::Tls => "tls",
                FailureKind::Connect if failure.code == 407 => "proxy_credentials",
                FailureKind::Connect => "proxy_refused",
                _ => "proxy_invalid",
            };
            let advice = format!(
                "the proxy is {origin}: correct its URL, have it allow this server, or add the server to NO_PROXY"
            );
            step.failed(cause, failure.message, advice);
            None
        }
    }
}

async fn look_up(
    journal: &Arc<Journal>,
    dialer: &Arc<Dialer>,
    endpoint: &Endpoint,
    traffic: Traffic,
    end: Instant,
) -> Option<Vec<SocketAddr>> {
    let mut step = journal.begin("lookup", endpoint.host.to_string());
    match dialer.look_up(endpoint, traffic, step_deadline(end)).await {
        Ok(addresses) => {
            let v6 = addresses.iter().filter(|address| address.is_ipv6()).count();
            for address in &addresses {
                step.detail(address.ip().to_string());
            }
            let found = match (addresses.len() - v6, v6) {
                (1, 0) => "1 IPv4 address".to_owned(),
                (0, 1) => "1 IPv6 address".to_owned(),
                (v4, v6) => format!("{v4} IPv4 and {v6} IPv6 addresses"),
            };
            step.ok(found);
            Some(addresses)
        }
        Err(failure) => {
            let (cause, advice) = match failure.kind {
                FailureKind::Insecure => meaning(&failure),
                FailureKind::Timeout => ("timeout", "no name server answers: check the network and /etc/resolv.conf"),
                _ => ("name", "check the spelling of the host, and the name server of this machine"),
            };
            step.failed(cause, failure.message, advice);
            None
        }
    }
}

async fn tcp(
    journal: &Arc<Journal>,
    dialer: &Arc<Dialer>,
    endpoint: &Endpoint,
    addresses: &[SocketAddr],
    end: Instant,
) -> Option<Hop> {
    let mut step = journal.begin("tcp", endpoint.to_string());
    let deadline = step_deadline(end);
    // All addresses one by one, and the way that every connection takes.
    let (each, first) = tokio::join!(connect_each(addresses, deadline), dialer.first_of(endpoint, addresses, deadline));
    for attempt in &each {
        let result = match &attempt.error {
            None => format!("connected in {} ms", attempt.took.as_millis()),
            Some(error) => format!("{error} after {} ms", attempt.took.as_millis()),
        };
        step.detail(format!("{}: {result}", attempt.address));
    }
    let answered: Vec<_> = each.iter().filter(|attempt| attempt.error.is_none()).collect();
    match first {
        Ok((hop, winner)) => {
            let slow = each.iter().any(|a| a.address == winner && a.took.as_millis() > SLOW_MS);
            let found = format!("{} of {} addresses answer; {} is used", answered.len(), each.len(), winner.ip());
            if answered.len() < each.len() {
                let advice = "connections use another address; those that do not answer delay a join by up to 250 ms \
                              each: repair them, or remove them from DNS";
                step.warning("address_dead", found, advice);
            } else if slow {
                step.warning("slow", found, "the connection is slow: check the network between here and the server");
            } else {
                step.ok(found);
            }
            Some(hop)
        }
        Err(failure) => {
            let refused = each.iter().any(|a| a.error.as_ref().is_some_and(|error| error.contains("refused")));
            let (cause, advice) = match (failure.kind.clone(), refused) {
                (_, true) => {
                    ("refused", "nothing listens on this port: check the port, and that the server is running")
                }
                (FailureKind::Timeout, _) => {
                    ("timeout", "a firewall drops the packets, or the server is down: check host, port and firewall")
                }
                _ => meaning(&failure),
            };
            step.failed(cause, failure.message, advice);
            None
        }
    }
}

async fn http(
    journal: &Arc<Journal>,
    net: &Arc<Net>,
    (service, options): (Service, &ServiceOptions),
    url: &Url,
    endpoint: &Endpoint,
    call: Option<(&str, &str)>,
    end: Instant,
) -> bool {
    let step = journal.begin("http", endpoint.to_string());
    let timeout = step_deadline(end).saturating_duration_since(Instant::now());
    let name = service.server_name();
    let answer = match service.ask(net, url, options, call, timeout).await {
        Ok(answer) => answer,
        Err(failure) => {
            let (cause, advice) = match failure.kind {
                FailureKind::Timeout => {
                    ("timeout", "the server accepts connections and does not answer: is it overloaded?")
                }
                _ => meaning(&failure),
            };
            step.failed(cause, failure.message, advice);
            return false;
        }
    };
    let text = if answer.text.is_empty() { String::new() } else { format!(": {}", answer.text) };
    let status = answer.status;
    match answer.verdict {
        Verdict::Accepted => {
            let token = if options.token.is_empty() { "" } else { ", which accepts the token" };
            // Only the question was about a call, which need not exist.
            let call = if status == 404 { "; the call does not exist yet" } else { "" };
            step.ok(format!("a {name}{token}{call} (HTTP {status})"));
        }
        Verdict::NoToken => step.ok(format!("a {name}, HTTP {status}; it requires a token, and none was given")),
        Verdict::Refused => {
            let (cause, advice) = match status {
                401 => ("token", "the token is wrong or expired, or made with another key; check the clock, too"),
                403 => ("forbidden", "the token does not permit this call"),
                429 => ("rate_limit", "too many requests: wait"),
                _ => ("refused", "see the server's text"),
            };
            step.failed(cause, format!("a {name}, which refuses with HTTP {status}{text}"), advice);
            return false;
        }
        Verdict::Other => {
            let advice = format!("check host, port and path of the URL, and what stands in front of the {name}");
            step.failed("not_the_service", format!("HTTP {status}, and not from a {name}{text}"), advice);
            return false;
        }
    }
    true
}
