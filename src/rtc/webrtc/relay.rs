//! One allocation on a TURN server (RFC 8656), over UDP or a stream: datagrams to peers and from them.
//!
//! Part of the engine's module; pure. Must not know: candidates, sockets, name servers.

use super::super::link::Port;
use super::super::stun;
use super::gather::Transport;
use super::media::Server;
use rtc::crypto::RTCCryptoProvider;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc::stun::message::TransactionId;
use rtc::turn::client::{Client, ClientConfig, Event};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Refreshed so often that one lost or stale response is harmless.
const REFRESH: Duration = Duration::from_secs(120);
const ALLOCATED: u16 = 0x0103;
const REFRESHED: u16 = 0x0104;
const ALLOCATE_ERROR: u16 = 0x0113;
/// The server does not know the allocation (allocation mismatch).
const ENDED: u16 = 437;
/// Two refreshes without a response, with all their retransmissions: the server is gone.
const SILENT: Duration = Duration::from_secs(2 * 120 + 15);
/// A permission that was not answered is requested again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Maximum permissions requested at a time.
const MAX_ASKED: usize = 64;
const REFRESH_ERROR: u16 = 0x0114;
/// There was no answer; the code that W3C's error event has for it.
pub(super) const NO_ANSWER: u16 = 701;
/// Maximum datagrams queued for a permission.
const MAX_WAITING: usize = 16;
/// Maximum allocation attempts, counting those repeated because the server's nonce was stale.
const MAX_TRIES: u32 = 3;

/// Output of a relay.
#[derive(Debug)]
pub(super) enum RelayOutput {
    /// The allocation exists.
    Relayed(SocketAddr),
    /// Send this to the server on the port.
    Send(Vec<u8>),
    /// It is of no use any more: the code of the server's response, 701 if there was none.
    Failed(u16),
    /// Received from a peer through the relay.
    Received(SocketAddr, Vec<u8>),
}

/// See the module.
pub(super) struct Relay {
    client: Client,
    pub(super) port: Port,
    /// Unspecified for a stream.
    pub(super) local: SocketAddr,
    /// A stand-in for a stream.
    pub(super) server: SocketAddr,
    pub(super) url: String,
    pub(super) transport: Transport,
    /// The relayed address, to which peers send.
    pub(super) relayed: Option<SocketAddr>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    tries: u32,
    /// Code of the last error response to an allocation or a refresh.
    refused: u16,
    /// The server does not keep the allocation.
    pub(super) lost: bool,
    /// The relayed address, also after the allocation was lost.
    pub(super) was: Option<SocketAddr>,
    /// The allocation has no address.
    unusable: bool,
    /// When the server last confirmed the allocation.
    kept_at: Instant,
    /// Peers for which a permission was requested lately.
    asked: Vec<(SocketAddr, Instant)>,
}

/// The address that stands for the server of a stream.
pub(super) fn stand_in(stream: u32) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, stream as u16).into()
}

impl Relay {
    /// Requests an allocation. `address` is that of the server, for a stream [`stand_in`].
    pub(super) fn new(
        now: Instant,
        port: Port,
        address: SocketAddr,
        server: &Server,
        provider: &Arc<dyn RTCCryptoProvider>,
    ) -> Result<Self, Error> {
        let (local, transport_protocol) = match port {
            Port::Udp(local) => (local, TransportProtocol::UDP),
            Port::Stream(_) => ((Ipv4Addr::UNSPECIFIED, 0).into(), TransportProtocol::TCP),
        };
        let config = ClientConfig {
            turn_serv_addr: address.to_string(),
            local_addr: local,
            transport_protocol,
            username: server.username.clone(),
            password: server.password.reveal().to_owned(),
            allocation_refresh_interval_cap: Some(REFRESH),
            ..ClientConfig::default()
        };
        let mut client = Client::new(config, provider.clone())?;
        client.allocate(now)?;
        Ok(Self {
            client,
            port,
            local,
            server: address,
            url: server.url.clone(),
            transport: server.transport,
            relayed: None,
            waiting: VecDeque::new(),
            tries: 1,
            refused: 0,
            lost: false,
            was: None,
            unusable: false,
            kept_at: now,
            asked: Vec::new(),
        })
    }

    /// Whether a datagram of the server belongs to this allocation.
    pub(super) fn owns(&self, port: Port, from: SocketAddr, transaction: Option<[u8; 12]>) -> bool {
        if self.lost {
            // Another one may have taken its place.
            return false;
        }
        let is_from_server = matches!(port, Port::Stream(_)) || from == self.server;
        port == self.port
            && is_from_server
            && transaction.is_none_or(|id| self.client.has_transaction(&TransactionId(id)))
    }

    pub(super) fn received(&mut self, now: Instant, datagram: &[u8]) {
        let transport_protocol = match self.port {
            Port::Udp(_) => TransportProtocol::UDP,
            Port::Stream(_) => TransportProtocol::TCP,
        };
        let transport =
            TransportContext { local_addr: self.local, peer_addr: self.server, transport_protocol, ecn: None };
        match stun::message_type(datagram) {
            Some(ALLOCATE_ERROR) => self.refused = stun::error_code(datagram),
            Some(REFRESHED) => self.kept_at = now,
            // A stale nonce is not a refusal. The engine's client does not report the others.
            Some(REFRESH_ERROR) => match stun::error_code(datagram) {
                438 => {}
                code => {
                    self.refused = code;
                    self.lost |= self.relayed.is_some();
                }
            },
            _ => {}
        }
        // Unreadable datagrams are ignored.
        let read = self.client.handle_read(TaggedBytesMut { now, transport, message: datagram.into() });
        if self.relayed.is_some_and(|relayed| self.client.relay(relayed).is_err()) {
            // The server has ended the allocation by a refresh with lifetime 0.
            (self.refused, self.lost) = (ENDED, true);
        }
        if read.is_err() && stun::message_type(datagram) == Some(ALLOCATED) && self.relayed.is_none() {
            // A success without an address: the engine's client forgets the request.
            self.unusable = true;
        }
    }

    /// Sends to a peer, once the server permits it.
    pub(super) fn send(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        let Some(Ok(mut relay)) = self.relayed.map(|relayed| self.client.relay(relayed)) else { return };
        // Any other error counts as packet loss.
        if let Err(Error::ErrNoPermission) = relay.send_to(now, datagram, to) {
            // The engine's client would request it for every datagram until the response is here.
            self.asked.retain(|(_, at)| now < *at + ASK_AGAIN);
            if self.asked.len() < MAX_ASKED && !self.asked.iter().any(|(known, _)| *known == to) {
                self.asked.push((to, now));
                let _ = relay.create_permission(now, to);
            }
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back((to, datagram.to_vec()));
            }
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        if self.relayed.is_some() && now >= self.kept_at + SILENT {
            (self.refused, self.lost) = (NO_ANSWER, true);
        }
        let _ = self.client.handle_timeout(now);
    }

    pub(super) fn deadline(&mut self) -> Option<Instant> {
        self.client.poll_timeout()
    }

    /// Releases the allocation.
    pub(super) fn close(&mut self, now: Instant) {
        if let Some(Ok(mut relay)) = self.relayed.take().map(|relayed| self.client.relay(relayed)) {
            let _ = relay.close(now);
        }
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<RelayOutput> {
        if self.lost && self.relayed.take().is_some() {
            return Some(RelayOutput::Failed(self.refused));
        }
        if std::mem::take(&mut self.unusable) && !self.lost {
            self.lost = true;
            return Some(RelayOutput::Failed(NO_ANSWER));
        }
        loop {
            if let Some(out) = self.client.poll_write() {
                return Some(RelayOutput::Send(out.message.to_vec()));
            }
            match self.client.poll_event()? {
                Event::AllocateResponse(_, relayed) => {
                    (self.relayed, self.was, self.kept_at) = (Some(relayed), Some(relayed), now);
                    return Some(RelayOutput::Relayed(relayed));
                }
                Event::DataIndicationOrChannelData(_, from, data) => {
                    return Some(RelayOutput::Received(from, data.to_vec()))
                }
                Event::CreatePermissionResponse(_, peer) => {
                    self.asked.retain(|(known, _)| *known != peer);
                    let (ready, rest) = std::mem::take(&mut self.waiting).into_iter().partition(|(to, _)| *to == peer);
                    self.waiting = rest;
                    let ready: VecDeque<_> = ready;
                    for (to, datagram) in ready {
                        self.send(now, to, &datagram);
                    }
                }
                Event::CreatePermissionError(..) => self.waiting.clear(),
                Event::AllocateError(_, error) if is_stale(&error) && self.tries < MAX_TRIES => {
                    self.tries += 1;
                    let _ = self.client.allocate(now);
                }
                Event::AllocateError(..) => {
                    self.lost = true;
                    return Some(RelayOutput::Failed(if self.refused > 0 { self.refused } else { NO_ANSWER }));
                }
                Event::TransactionTimeout(_) if self.relayed.is_none() && !self.lost => {
                    self.lost = true;
                    return Some(RelayOutput::Failed(NO_ANSWER));
                }
                _ => {}
            }
        }
    }
}

/// What a server's code means and what to do, for people (RFC 8489 section 14.8, RFC 8656 section 19).
pub(super) fn meaning(code: u16) -> &'static str {
    match code {
        300 => "the server names another one, which is not followed",
        400 => "the server did not understand the request",
        401 => "wrong user name or password: check the credentials that the service gives for this server",
        403 => "the server forbids relays for this user or address",
        420 => "the server does not support an attribute of the request",
        437 => "the server no longer knows the relay: it was restarted, or the address of this machine changed",
        438 => "the server rejected its own nonce again and again",
        440 => "the server has no addresses of this IP version",
        441 => "the relay was made with other credentials",
        442 => "the server does not relay UDP",
        486 => "the user has too many relays: the server's quota is reached",
        500 => "the server has an internal error",
        508 => "the server has no more ports or bandwidth for relays",
        NO_ANSWER => "no answer: a firewall may block it, or the server is not running",
        _ => "the server refused",
    }
}

/// The nonce was too old (438, RFC 8489 §14.8): the repeated request gets a new one.
fn is_stale(error: &Error) -> bool {
    matches!(error, Error::Other(text) if text.contains("(error 438"))
}
