//! Tests of the state machine with synthetic messages, and of the parser with garbage.

use super::{
    machine::{Machine, Tables},
    message::{self, Message, Route},
    NetworkChange::{self, *},
};
use std::{net::IpAddr, time::Duration};

const ETH: u32 = 2;
const WLAN: u32 = 3;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn up(index: u32) -> Message {
    Message::Link { index, up: true }
}

fn down(index: u32) -> Message {
    Message::Link { index, up: false }
}

fn has(index: u32, address: &str) -> Message {
    Message::Address { index, address: ip(address), usable: true }
}

fn lost(index: u32, address: &str) -> Message {
    Message::AddressGone { index, address: ip(address) }
}

fn route(index: u32, gateway: &str) -> Route {
    Route { v6: false, index, gateway: Some(ip(gateway)) }
}

fn machine(messages: &[Message]) -> Machine {
    let mut tables = Tables::default();
    messages.iter().for_each(|message| tables.apply(message));
    Machine::new(tables)
}

/// Applies messages at one moment, then waits until the state has settled.
struct Run {
    machine: Machine,
    now: Duration,
}

impl Run {
    fn new(messages: &[Message]) -> Self {
        Self { machine: machine(messages), now: Duration::ZERO }
    }

    fn after(&mut self, messages: &[Message]) -> Option<NetworkChange> {
        for message in messages {
            self.machine.apply(self.now, message);
            assert_eq!(self.machine.tick(self.now), None, "nothing is reported at once");
        }
        let deadline = self.machine.deadline()?;
        assert!(deadline > self.now && deadline <= self.now + Duration::from_secs(3));
        assert_eq!(self.machine.tick(deadline - Duration::from_millis(1)), None);
        self.now = deadline;
        let reported = self.machine.tick(deadline);
        assert_eq!(self.machine.deadline(), None);
        self.now += Duration::from_secs(10);
        reported
    }
}

#[test]
fn the_last_address_and_the_first() {
    let mut run = Run::new(&[up(ETH), has(ETH, "10.0.0.2"), up(WLAN), has(WLAN, "2001:db8::1")]);
    assert!(run.machine.is_online());
    assert_eq!(run.after(&[lost(ETH, "10.0.0.2")]), Some(Changed));
    assert_eq!(run.after(&[lost(WLAN, "2001:db8::1")]), Some(Offline));
    assert_eq!(run.after(&[up(7)]), None, "a link without an address is nothing");
    assert_eq!(run.after(&[has(WLAN, "192.168.1.5")]), Some(Online));
    assert_eq!(run.after(&[has(ETH, "10.0.0.2")]), Some(Changed));
}

#[test]
fn an_address_counts_while_its_link_runs() {
    let mut run = Run::new(&[up(ETH), has(ETH, "10.0.0.2")]);
    assert_eq!(run.after(&[down(ETH)]), Some(Offline), "the cable was pulled; the address stays");
    assert_eq!(run.after(&[up(ETH)]), Some(Online));
    assert_eq!(run.after(&[Message::LinkGone { index: ETH }]), Some(Offline));
    assert_eq!(run.after(&[up(ETH)]), None, "its addresses were removed with it");
    let not_proven = Message::Address { index: ETH, address: ip("2001:db8::7"), usable: false };
    assert_eq!(run.after(&[not_proven]), None);
    assert_eq!(run.after(&[has(ETH, "2001:db8::7")]), Some(Online));
}

#[test]
fn a_state_restored_within_a_moment_is_not_reported() {
    let mut run = Run::new(&[up(ETH), has(ETH, "10.0.0.2")]);
    assert_eq!(run.after(&[lost(ETH, "10.0.0.2"), has(ETH, "10.0.0.2")]), None);
    assert_eq!(run.after(&[down(ETH), up(ETH), up(ETH)]), None);
    assert_eq!(run.after(&[has(ETH, "10.0.0.2")]), None, "reported again");
    assert_eq!(run.after(&[lost(ETH, "10.0.0.2"), has(ETH, "10.0.0.9")]), Some(Changed));
}

#[test]
fn a_network_that_never_settles_is_reported_in_time() {
    let mut machine = machine(&[up(ETH), has(ETH, "10.0.0.2")]);
    let mut reported = Vec::new();
    for step in 0..100u64 {
        let now = Duration::from_millis(100 * step);
        reported.extend(machine.tick(now).map(|change| (step, change)));
        machine.apply(now, &has(WLAN, &format!("10.1.0.{}", step % 200)));
        machine.apply(now, &up(WLAN));
    }
    assert_eq!(reported, (1..20).map(|n| (5 * n, Changed)).collect::<Vec<_>>());
}

#[test]
fn default_routes_count_from_the_first_message_on() {
    let mut run = Run::new(&[up(ETH), has(ETH, "10.0.0.2"), up(WLAN), has(WLAN, "10.1.0.2")]);
    let (eth, wlan) = (route(ETH, "10.0.0.1"), route(WLAN, "10.1.0.1"));
    // First message about this route: its removal implies that it existed.
    assert_eq!(run.after(&[Message::RouteGone(eth), Message::Route(eth)]), None);
    assert_eq!(run.after(&[Message::RouteGone(eth), Message::Route(wlan)]), Some(Changed));
    assert_eq!(run.after(&[Message::Route(wlan)]), None);
    assert_eq!(run.after(&[down(ETH), down(WLAN)]), Some(Offline));
    assert_eq!(run.after(&[Message::RouteGone(wlan)]), None, "nothing is reported while offline");
    assert_eq!(run.after(&[up(ETH)]), Some(Online));
}

#[test]
fn lost_messages_are_made_good() {
    let mut run = Run::new(&[up(ETH), has(ETH, "10.0.0.2")]);
    let mut same = Tables::default();
    [up(ETH), has(ETH, "10.0.0.2")].iter().for_each(|m| same.apply(m));
    run.machine.replace(run.now, same);
    assert_eq!(run.machine.deadline(), None);
    run.machine.replace(run.now, Tables::default());
    assert_eq!(run.after(&[]), Some(Offline));
}

#[test]
fn tables_and_routes_are_bounded() {
    let mut machine = machine(&[]);
    for index in 0..10_000u32 {
        let address = IpAddr::from((0x0a00_0000 + index).to_be_bytes());
        machine.apply(Duration::ZERO, &up(index));
        if index % 50 == 0 {
            machine.apply(Duration::ZERO, &Message::Address { index, address, usable: true });
            machine.apply(Duration::ZERO, &Message::Route(Route { v6: false, index, gateway: None }));
        }
    }
    assert!(format!("{machine:?}").len() < 1 << 20);
    assert_eq!(machine.tick(Duration::from_secs(60)), Some(Online));
}

/// A message as the kernel writes it.
fn wire(kind: u16, flags: u16, body: &[u8], attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut all = body.to_vec();
    for (kind, payload) in attributes {
        all.extend_from_slice(&(4 + payload.len() as u16).to_ne_bytes());
        all.extend_from_slice(&kind.to_ne_bytes());
        all.extend_from_slice(payload);
        all.resize(all.len().next_multiple_of(4), 0);
    }
    let mut bytes = (16 + all.len() as u32).to_ne_bytes().to_vec();
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&all);
    bytes
}

fn link_body(index: u32, flags: u32) -> Vec<u8> {
    [[0; 4], index.to_ne_bytes(), flags.to_ne_bytes(), [0; 4]].concat()
}

fn address_body(family: u8, flags: u8) -> Vec<u8> {
    [[family, 24, flags, 0], ETH.to_ne_bytes()].concat()
}

fn samples() -> Vec<(Vec<u8>, Vec<Message>)> {
    let v6 = "2001:db8::5".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let near = "fe80::5".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let address = |address: &str, usable| Message::Address { index: ETH, address: ip(address), usable };
    let route_body = |prefix, table| [[2, prefix, 0, 0], [table, 3, 0, 1], [0; 4]].concat();
    let (out, gateway) = (ETH.to_ne_bytes(), [10, 0, 0, 1]);
    vec![
        (wire(16, 0, &link_body(ETH, 0x1043), &[(3, b"eth0\0")]), vec![up(ETH)]),
        (wire(16, 0, &link_body(ETH, 0x1003), &[]), vec![down(ETH)]),
        (wire(16, 0, &link_body(1, 0x49), &[]), vec![down(1)]),
        (wire(17, 0, &link_body(ETH, 0), &[]), vec![Message::LinkGone { index: ETH }]),
        // A point-to-point link: the second address is the local one.
        (
            wire(20, 0, &address_body(2, 0x80), &[(1, &[9, 9, 9, 9]), (2, &[10, 0, 0, 2])]),
            vec![address("10.0.0.2", true)],
        ),
        (wire(20, 0, &address_body(2, 0), &[(2, &[127, 0, 0, 1])]), vec![address("127.0.0.1", false)]),
        (wire(20, 0, &address_body(2, 0), &[(2, &[169, 254, 0, 1])]), vec![address("169.254.0.1", false)]),
        (wire(20, 0, &address_body(10, 0), &[(1, &v6)]), vec![address("2001:db8::5", true)]),
        (wire(20, 0, &address_body(10, 0), &[(1, &near)]), vec![address("fe80::5", false)]),
        (
            wire(20, 0, &address_body(10, 0), &[(1, &v6), (8, &0x40u32.to_ne_bytes())]),
            vec![address("2001:db8::5", false)],
        ),
        (wire(21, 0, &address_body(2, 0), &[(2, &[10, 0, 0, 2])]), vec![lost(ETH, "10.0.0.2")]),
        (wire(24, 0, &route_body(0, 254), &[(4, &out), (5, &gateway)]), vec![Message::Route(route(ETH, "10.0.0.1"))]),
        (
            wire(25, 0, &route_body(0, 254), &[(4, &out), (5, &gateway)]),
            vec![Message::RouteGone(route(ETH, "10.0.0.1"))],
        ),
        (wire(24, 0, &route_body(24, 254), &[(4, &out)]), vec![]),
        (wire(24, 0, &route_body(0, 255), &[(4, &out)]), vec![]),
        (wire(3, 0, &[0; 4], &[]), vec![Message::Done { interrupted: false }]),
        (wire(3, 0x10, &[0; 4], &[]), vec![Message::Done { interrupted: true }]),
        (wire(2, 0, &[0xff; 20], &[]), vec![Message::Lost]),
        (wire(28, 0, &[0; 12], &[]), vec![]),
    ]
}

#[test]
fn messages_are_read_one_by_one_and_together() {
    let (mut all, mut wanted) = (Vec::new(), Vec::new());
    for (bytes, messages) in samples() {
        assert_eq!(message::read(&bytes), messages, "{bytes:?}");
        all.extend(bytes);
        wanted.extend(messages);
    }
    assert_eq!(message::read(&all), wanted);
}

#[test]
fn garbage_is_survived() {
    let all: Vec<u8> = samples().into_iter().flat_map(|(bytes, _)| bytes).collect();
    let mut rng = crate::core::rng::Rng::new(11);
    let mut read = 0;
    for round in 0..20_000u64 {
        let mut bytes = match round % 3 {
            0 => (0..rng.between(0, 200)).map(|_| rng.next_u64() as u8).collect(),
            _ => all[..rng.between(0, all.len() as u64) as usize].to_vec(),
        };
        for _ in 0..rng.between(0, 6) {
            if let Some(at) = (bytes.len() as u64).checked_sub(1).map(|last| rng.between(0, last)) {
                bytes[at as usize] = [0, 0xff, rng.next_u64() as u8][rng.between(0, 2) as usize];
            }
        }
        let mut machine = machine(&[up(ETH), has(ETH, "10.0.0.2")]);
        for message in message::read(&bytes) {
            machine.apply(Duration::ZERO, &message);
            read += 1;
        }
        machine.tick(Duration::from_secs(5));
    }
    assert!(read > 20_000, "the garbage was close enough to the truth: {read}");
    // Invalid lengths end the parsing.
    for length in [0u32, 1, 15, 17, u32::MAX] {
        let mut bytes = all.clone();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        assert_eq!(message::read(&bytes), []);
    }
}
