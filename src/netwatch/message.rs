//! Parses the kernel's messages about links, addresses and routes (rtnetlink, RFC 3549).
//!
//! Bounded by the input's size; truncated, unknown or invalid parts are skipped. Must not know: sockets, what a message
//! leads to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
pub const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
pub const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;

/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `NLM_F_DUMP_INTR`: the state changed during the dump.
const INTERRUPTED: u16 = 0x10;

const HEADER: usize = 16;
const V4: u8 = 2;
const V6: u8 = 10;

/// One message about the machine's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An interface, and whether packets can leave the machine through it.
    Link {
        index: u32,
        up: bool,
    },
    LinkGone {
        index: u32,
    },
    /// An address of an interface; not `usable`: one that no other machine could answer to.
    Address {
        index: u32,
        address: IpAddr,
        usable: bool,
    },
    AddressGone {
        index: u32,
        address: IpAddr,
    },
    /// A default route.
    Route(Route),
    RouteGone(Route),
    /// A dump is complete.
    Done {
        interrupted: bool,
    },
    /// The kernel reported an error, or dropped messages.
    Lost,
}

/// A default route: IP version, interface and gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub v6: bool,
    pub index: u32,
    pub gateway: Option<IpAddr>,
}

/// Builds the request for all links or all addresses.
pub fn request(kind: u16, sequence: u32) -> Vec<u8> {
    // The family, unspecified, and the rest of the longer of the two headers.
    let body = [0; 16];
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&DUMP.to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&0u32.to_ne_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

const fn aligned(length: usize) -> usize {
    (length + 3) & !3
}

/// Parses the messages of one datagram.
pub fn read(mut datagram: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    while let (Some(length), Some(kind), Some(flags)) = (u32_at(datagram, 0), u16_at(datagram, 4), u16_at(datagram, 6))
    {
        let length = length as usize;
        let Some(body) = datagram.get(HEADER..length) else { break };
        messages.extend(match kind {
            DONE => Some(Message::Done { interrupted: flags & INTERRUPTED != 0 }),
            ERROR | OVERRUN => Some(Message::Lost),
            NEW_LINK | DEL_LINK => link(kind, body),
            NEW_ADDRESS | DEL_ADDRESS => address(kind, body),
            NEW_ROUTE | DEL_ROUTE => route(kind, body),
            _ => None,
        });
        datagram = datagram.get(aligned(length)..).unwrap_or_default();
    }
    messages
}

fn link(kind: u16, body: &[u8]) -> Option<Message> {
    const LOOPBACK: u32 = 0x8;
    /// Up, and with a carrier.
    const RUNS: u32 = 0x41;
    let (index, flags) = (u32_at(body, 4)?, u32_at(body, 8)?);
    Some(match kind {
        DEL_LINK => Message::LinkGone { index },
        _ => Message::Link { index, up: flags & RUNS == RUNS && flags & LOOPBACK == 0 },
    })
}

/// The attributes of a message as (type, payload).
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        // The upper bits are flags.
        let kind = u16_at(bytes, 2)? & 0x3fff;
        let payload = bytes.get(4..length)?;
        bytes = bytes.get(aligned(length)..).unwrap_or_default();
        Some((kind, payload))
    })
}

fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        V4 => <[u8; 4]>::try_from(bytes).ok().map(|b| Ipv4Addr::from(b).into()),
        V6 => <[u8; 16]>::try_from(bytes).ok().map(|b| Ipv6Addr::from(b).into()),
        _ => None,
    }
}

fn address(kind: u16, body: &[u8]) -> Option<Message> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    const FLAGS: u16 = 8;
    /// Not proven unique yet, or proven not to be.
    const UNPROVEN: u32 = 0x48;
    let (family, mut flags, index) = (*body.first()?, u32::from(*body.get(2)?), u32_at(body, 4)?);
    let (mut local, mut other) = (None, None);
    for (kind, payload) in attributes(body.get(8..)?) {
        match kind {
            LOCAL => local = ip(family, payload),
            ADDRESS => other = ip(family, payload),
            FLAGS => flags = u32_at(payload, 0).unwrap_or(flags),
            _ => {}
        }
    }
    // On a point-to-point link ADDRESS is the remote end.
    let address = local.or(other)?;
    if kind == DEL_ADDRESS {
        return Some(Message::AddressGone { index, address });
    }
    Some(Message::Address { index, address, usable: flags & UNPROVEN == 0 && leads_outside(address) })
}

fn leads_outside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => !(a.is_loopback() || a.is_link_local() || a.is_unspecified() || a.is_multicast()),
        IpAddr::V6(a) => {
            let link_local = a.segments()[0] & 0xffc0 == 0xfe80;
            !(a.is_loopback() || link_local || a.is_unspecified() || a.is_multicast())
        }
    }
}

fn route(kind: u16, body: &[u8]) -> Option<Message> {
    const MAIN_TABLE: u8 = 254;
    const UNICAST: u8 = 1;
    const OUT: u16 = 4;
    const GATEWAY: u16 = 5;
    let (family, prefix) = (*body.first()?, *body.get(1)?);
    let (table, sort) = (*body.get(4)?, *body.get(7)?);
    if prefix != 0 || table != MAIN_TABLE || sort != UNICAST || !matches!(family, V4 | V6) {
        return None;
    }
    let mut route = Route { v6: family == V6, index: 0, gateway: None };
    for (kind, payload) in attributes(body.get(12..)?) {
        match kind {
            OUT => route.index = u32_at(payload, 0).unwrap_or(0),
            GATEWAY => route.gateway = ip(family, payload),
            _ => {}
        }
    }
    Some(if kind == NEW_ROUTE { Message::Route(route) } else { Message::RouteGone(route) })
}
