//! A minimal TURN server over UDP (RFC 8656) for tests: it verifies no credentials. Pure.

use std::collections::HashMap;
use std::net::SocketAddr;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

pub(super) struct Server {
    address: SocketAddr,
    /// Error code for requests with credentials, instead of an allocation.
    refuses: Option<u16>,
    /// Relayed address by client.
    clients: HashMap<SocketAddr, SocketAddr>,
    permitted: HashMap<(SocketAddr, std::net::IpAddr), ()>,
    channels: HashMap<(SocketAddr, u16), SocketAddr>,
    next: u16,
}

type Out = Vec<(SocketAddr, SocketAddr, Vec<u8>)>;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut attribute = kind.to_be_bytes().to_vec();
    attribute.extend((value.len() as u16).to_be_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

fn message(kind: u16, id: &[u8], attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut message = kind.to_be_bytes().to_vec();
    message.extend((attributes.len() as u16).to_be_bytes());
    message.extend(COOKIE);
    message.extend(id);
    message.extend(attributes);
    message
}

fn masked(address: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(address) = address else { panic!("IPv4") };
    let mut value = vec![0, 1];
    value.extend((address.port() ^ 0x2112).to_be_bytes());
    value.extend(address.ip().octets().iter().zip(COOKIE).map(|(a, b)| a ^ b));
    value
}

fn unmasked(value: &[u8]) -> SocketAddr {
    let ip: Vec<u8> = value[4..8].iter().zip(COOKIE).map(|(a, b)| a ^ b).collect();
    SocketAddr::from(([ip[0], ip[1], ip[2], ip[3]], u16::from_be_bytes([value[2], value[3]]) ^ 0x2112))
}

fn find(message: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut rest = message.get(20..)?;
    while rest.len() >= 4 {
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        if rest[..2] == kind.to_be_bytes() {
            return Some(rest[4..4 + length].to_vec());
        }
        rest = &rest[4 + length.next_multiple_of(4)..];
    }
    None
}

impl Server {
    pub(super) fn new(address: &str, refuses: Option<u16>) -> Self {
        let (clients, permitted, channels) = Default::default();
        let address = address.parse().expect("an address");
        Self { address, refuses, clients, permitted, channels, next: 40_000 }
    }

    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        address == self.address || self.clients.values().any(|relayed| *relayed == address)
    }

    /// Simulates a restart: all allocations are lost.
    pub(super) fn forget(&mut self) {
        self.clients.clear();
    }

    pub(super) fn allocations(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn received(&mut self, from: SocketAddr, to: SocketAddr, contents: &[u8]) -> Out {
        if to != self.address {
            return self.peer_sends(from, to, contents).into_iter().collect();
        }
        if (0x40..0x50).contains(&contents[0]) {
            let number = u16::from_be_bytes([contents[0], contents[1]]);
            let length = usize::from(u16::from_be_bytes([contents[2], contents[3]]));
            let (Some(relayed), Some(peer)) = (self.clients.get(&from), self.channels.get(&(from, number))) else {
                return Vec::new();
            };
            return vec![(*relayed, *peer, contents[4..4 + length].to_vec())];
        }
        let (kind, id) = (u16::from_be_bytes([contents[0], contents[1]]), &contents[8..20]);
        let refuse = |kind: u16, code: u16| {
            let value = [0, 0, (code / 100) as u8, (code % 100) as u8];
            let proof = [attribute(0x14, b"realm"), attribute(0x15, b"nonce")].concat();
            message(kind | 0x110, id, &[attribute(9, &value), proof])
        };
        let answer = match kind {
            0x0003 if find(contents, 8).is_none() => refuse(kind, 401),
            0x0003 => match self.refuses {
                Some(code) => refuse(kind, code),
                None => {
                    self.next += 1;
                    let relayed = SocketAddr::new(self.address.ip(), self.next);
                    let relayed = *self.clients.entry(from).or_insert(relayed);
                    let lifetime = attribute(0x0d, &600u32.to_be_bytes());
                    let seen = attribute(0x20, &masked(from));
                    message(0x0103, id, &[attribute(0x16, &masked(relayed)), lifetime, seen])
                }
            },
            0x0004 if !self.clients.contains_key(&from) => refuse(kind, 437),
            0x0004 => {
                let lifetime = find(contents, 0x0d).unwrap_or_default();
                if lifetime == [0; 4] {
                    self.clients.remove(&from);
                }
                message(0x0104, id, &[attribute(0x0d, &lifetime)])
            }
            0x0008 => {
                let peer = unmasked(&find(contents, 0x12).expect("a peer"));
                self.permitted.insert((from, peer.ip()), ());
                message(0x0108, id, &[])
            }
            0x0009 => {
                let number = find(contents, 0x0c).expect("a number");
                let peer = unmasked(&find(contents, 0x12).expect("a peer"));
                self.channels.insert((from, u16::from_be_bytes([number[0], number[1]])), peer);
                message(0x0109, id, &[])
            }
            0x0016 => {
                let (peer, data) = (find(contents, 0x12).expect("a peer"), find(contents, 0x13).expect("data"));
                let Some(relayed) = self.clients.get(&from).copied() else { return Vec::new() };
                let peer = unmasked(&peer);
                assert!(self.permitted.contains_key(&(from, peer.ip())), "nothing goes without a permission");
                return vec![(relayed, peer, data)];
            }
            _ => return Vec::new(),
        };
        vec![(self.address, from, answer)]
    }

    fn peer_sends(&self, from: SocketAddr, to: SocketAddr, data: &[u8]) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let (client, _) = self.clients.iter().find(|(_, relayed)| **relayed == to)?;
        self.permitted.get(&(*client, from.ip()))?;
        let bound = self.channels.iter().find(|((of, _), peer)| of == client && **peer == from);
        let contents = match bound {
            Some(((_, number), _)) => {
                let mut contents = number.to_be_bytes().to_vec();
                contents.extend((data.len() as u16).to_be_bytes());
                contents.extend(data);
                contents
            }
            None => message(0x0017, &[7; 12], &[attribute(0x12, &masked(from)), attribute(0x13, data)]),
        };
        Some((self.address, *client, contents))
    }
}
