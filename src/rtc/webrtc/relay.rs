//! One allocation on a TURN server over UDP (RFC 8656): datagrams to peers and from them.
//!
//! Part of the engine's module; pure. Must not know: candidates, sockets, name servers.

use super::media::Server;
use rtc::crypto::RTCCryptoProvider;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;
use rtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use rtc::stun::message::TransactionId;
use rtc::turn::client::{Client, ClientConfig, Event};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Refreshed so often that one lost or stale response is harmless.
const REFRESH: Duration = Duration::from_secs(120);
/// Maximum datagrams queued for a permission.
const MAX_WAITING: usize = 16;
/// Maximum allocation attempts, counting those repeated because the server's nonce was stale.
const MAX_TRIES: u32 = 3;

/// Output of a relay.
#[derive(Debug)]
pub(super) enum RelayOutput {
    /// The allocation exists.
    Relayed(SocketAddr),
    /// Send this to the server on the local socket.
    Send(Vec<u8>),
    /// Received from a peer through the relay.
    Received(SocketAddr, Vec<u8>),
}

/// See the module.
pub(super) struct Relay {
    client: Client,
    pub(super) local: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) url: String,
    /// The relayed address, to which peers send.
    pub(super) relayed: Option<SocketAddr>,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    tries: u32,
}

impl Relay {
    /// Requests an allocation.
    pub(super) fn new(
        now: Instant,
        local: SocketAddr,
        address: SocketAddr,
        server: &Server,
        provider: &Arc<dyn RTCCryptoProvider>,
    ) -> Result<Self, Error> {
        let config = ClientConfig {
            turn_serv_addr: address.to_string(),
            local_addr: local,
            transport_protocol: TransportProtocol::UDP,
            username: server.username.clone(),
            password: server.password.reveal().to_owned(),
            allocation_refresh_interval_cap: Some(REFRESH),
            ..ClientConfig::default()
        };
        let mut client = Client::new(config, provider.clone())?;
        client.allocate(now)?;
        let (relayed, waiting) = (None, VecDeque::new());
        Ok(Self { client, local, server: address, url: server.url.clone(), relayed, waiting, tries: 1 })
    }

    /// Whether a datagram of the server belongs to this allocation.
    pub(super) fn owns(&self, from: SocketAddr, local: SocketAddr, transaction: Option<[u8; 12]>) -> bool {
        (from, local) == (self.server, self.local)
            && transaction.is_none_or(|id| self.client.has_transaction(&TransactionId(id)))
    }

    pub(super) fn received(&mut self, now: Instant, datagram: &[u8]) {
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: self.server,
            transport_protocol: TransportProtocol::UDP,
            ecn: None,
        };
        // Unreadable datagrams are ignored.
        let _ = self.client.handle_read(TaggedBytesMut { now, transport, message: datagram.into() });
    }

    /// Sends to a peer, once the server permits it.
    pub(super) fn send(&mut self, now: Instant, to: SocketAddr, datagram: &[u8]) {
        let Some(Ok(mut relay)) = self.relayed.map(|relayed| self.client.relay(relayed)) else { return };
        // Any other error counts as packet loss.
        if let Err(Error::ErrNoPermission) = relay.send_to(now, datagram, to) {
            let _ = relay.create_permission(now, to);
            if self.waiting.len() < MAX_WAITING {
                self.waiting.push_back((to, datagram.to_vec()));
            }
        }
    }

    pub(super) fn timeout(&mut self, now: Instant) {
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
        loop {
            if let Some(out) = self.client.poll_write() {
                return Some(RelayOutput::Send(out.message.to_vec()));
            }
            match self.client.poll_event()? {
                Event::AllocateResponse(_, relayed) => {
                    self.relayed = Some(relayed);
                    return Some(RelayOutput::Relayed(relayed));
                }
                Event::DataIndicationOrChannelData(_, from, data) => {
                    return Some(RelayOutput::Received(from, data.to_vec()))
                }
                Event::CreatePermissionResponse(_, peer) => {
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
                _ => {}
            }
        }
    }
}

/// The nonce was too old (438, RFC 8489 §14.8): the repeated request gets a new one.
fn is_stale(error: &Error) -> bool {
    matches!(error, Error::Other(text) if text.contains("(error 438"))
}
