//! The way to a server one step at a time, so that each step can be timed and reported.
//!
//! [`Dialer::open`] takes the same steps at once. Must not know: reports, HTTP, what travels on a stream.

use super::{
    dialer::{timed_out, Dialer, Traffic},
    race::race,
    stream::Wire,
    text, Endpoint,
};
use crate::core::model::{Failure, FailureKind};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, Instant as Clock},
};
use tokio::{
    net::TcpStream,
    time::{timeout_at, Instant},
};

/// A connection between two steps.
pub(crate) struct Hop(Wire);

impl fmt::Debug for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hop")
    }
}

/// One address that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub address: SocketAddr,
    pub took: Duration,
    /// Why it is not connected.
    pub error: Option<String>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Secured {
    pub version: &'static str,
    /// HTTP/1.1 was negotiated by name (ALPN, RFC 7301).
    pub http1: bool,
}

/// Connects to each address by itself, all at the same time, in the order given.
pub(crate) async fn connect_each(addresses: &[SocketAddr], deadline: Instant) -> Vec<Attempt> {
    let connect = |(index, address): (usize, SocketAddr)| async move {
        let began = Clock::now();
        let error = match timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(text::clean(&error.to_string(), &[])),
            Err(_) => Some("no answer".to_owned()),
        };
        (index, Attempt { address, took: began.elapsed(), error })
    };
    let mut attempts: FuturesUnordered<_> = addresses.iter().copied().enumerate().map(connect).collect();
    let mut done = Vec::with_capacity(addresses.len());
    while let Some(attempt) = attempts.next().await {
        done.push(attempt);
    }
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, attempt)| attempt).collect()
}

impl Dialer {
    /// The server that TCP connects to: the proxy, with its name for people, or the server itself.
    pub fn first_hop(&self, endpoint: &Endpoint, traffic: Traffic) -> (Endpoint, Option<String>) {
        match self.proxy(endpoint, traffic) {
            Some(proxy) => (proxy.endpoint().clone(), Some(proxy.to_string())),
            None => (endpoint.clone(), None),
        }
    }

    /// The addresses of a server, best first.
    pub async fn look_up(
        &self,
        endpoint: &Endpoint,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Failure> {
        self.resolve(endpoint, traffic, deadline).await
    }

    /// Connects as every connection does (RFC 8305); returns the address that won.
    pub async fn first_of(
        &self,
        endpoint: &Endpoint,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<(Hop, SocketAddr), Failure> {
        match race(addresses, deadline, TcpStream::connect).await {
            Ok(tcp) => {
                let address = tcp.peer_addr().map_err(|error| lost(endpoint, &error.to_string()))?;
                Ok((Hop(Box::new(tcp)), address))
            }
            Err(lost) if lost.timed_out => Err(timed_out(endpoint, "the TCP connection")),
            Err(why) => Err(lost(endpoint, &why.last.map_or("no address".to_owned(), |error| error.to_string()))),
        }
    }

    /// Asks the proxy for a connection to `endpoint`. Without a proxy nothing happens.
    pub async fn through_proxy(
        &self,
        hop: Hop,
        endpoint: &Endpoint,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<Hop, Failure> {
        match self.proxy(endpoint, traffic) {
            Some(proxy) => self.ask(proxy, hop.0, endpoint, deadline).await.map(Hop),
            None => Ok(hop),
        }
    }

    /// Starts TLS and ends the connection. A failure comes with its cause in one word.
    pub async fn secure(
        &self,
        hop: Hop,
        endpoint: &Endpoint,
        traffic: Traffic,
        deadline: Instant,
    ) -> Result<Secured, (Failure, &'static str)> {
        let stream = self.handshake(endpoint, hop.0, traffic, deadline).await?;
        let (_, connection) = stream.get_ref();
        let version = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        };
        Ok(Secured { version, http1: connection.alpn_protocol() == Some(b"http/1.1") })
    }
}

fn lost(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(FailureKind::Connect, text::clean(&format!("could not connect to {endpoint}: {why}"), &[]))
}
