//! Converts the kernel's messages to changes: none, offline, online, changed. Pure; the caller passes the time.
//!
//! Networks change in bursts (a lease renewed, a cable unplugged and plugged in again), so a change counts only after
//! it has lasted a moment; a call asks the routes what it means. Must not know: sockets, where messages come from.

use super::{
    message::{Message, Route},
    NetworkChange,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

/// A state that has lasted this long is reported…
const QUIET: Duration = Duration::from_millis(150);
/// …and one that never settles after this long.
const AT_MOST: Duration = Duration::from_millis(500);
/// Most links, and most addresses, that are kept; further ones are ignored.
const MAX_ENTRIES: usize = 4_096;
/// Most default routes.
const MAX_ROUTES: usize = 64;

/// The relevant state of the machine's network.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    links: BTreeMap<u32, bool>,
    addresses: BTreeSet<(u32, IpAddr)>,
}

impl Tables {
    pub fn apply(&mut self, message: &Message) {
        match *message {
            Message::Link { index, up } if self.links.len() < MAX_ENTRIES || self.links.contains_key(&index) => {
                self.links.insert(index, up);
            }
            Message::LinkGone { index } => {
                self.links.remove(&index);
                self.addresses.retain(|(link, _)| *link != index);
            }
            Message::Address { index, address, usable: true } if self.addresses.len() < MAX_ENTRIES => {
                self.addresses.insert((index, address));
            }
            Message::Address { index, address, usable: false } | Message::AddressGone { index, address } => {
                self.addresses.remove(&(index, address));
            }
            _ => {}
        }
    }

    /// Addresses that another machine could answer to now.
    fn usable(&self) -> BTreeSet<IpAddr> {
        let up = |index: &u32| self.links.get(index) == Some(&true);
        self.addresses.iter().filter(|(index, _)| up(index)).map(|(_, address)| *address).collect()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    tables: Tables,
    /// Default routes seen in messages, and whether each exists. The full list is never requested, because some
    /// machines have a million routes.
    routes: BTreeMap<Route, bool>,
    /// State of the last report.
    reported: BTreeSet<IpAddr>,
    reported_routes: BTreeMap<Route, bool>,
    /// Since when the state differs from the last report, and when it last changed.
    unsettled: Option<(Duration, Duration)>,
}

impl Machine {
    pub fn new(tables: Tables) -> Self {
        let reported = tables.usable();
        Self { tables, routes: BTreeMap::new(), reported, reported_routes: BTreeMap::new(), unsettled: None }
    }

    /// Whether there is a usable address, as last reported.
    pub fn is_online(&self) -> bool {
        !self.reported.is_empty()
    }

    /// Applies one message of the kernel.
    pub fn apply(&mut self, now: Duration, message: &Message) {
        let before = (self.tables.usable(), self.routes.clone());
        match *message {
            Message::Route(route) => self.route(route, true),
            Message::RouteGone(route) => self.route(route, false),
            _ => self.tables.apply(message),
        }
        self.compare(now, before);
    }

    /// Replaces the tables after a new dump, because messages were lost.
    pub fn replace(&mut self, now: Duration, tables: Tables) {
        let before = (self.tables.usable(), self.routes.clone());
        self.tables = tables;
        self.compare(now, before);
    }

    fn route(&mut self, route: Route, there: bool) {
        if self.routes.len() >= MAX_ROUTES && !self.routes.contains_key(&route) {
            self.routes.clear();
            self.reported_routes.clear();
        }
        self.routes.insert(route, there);
        // The first message about a route implies its state before.
        self.reported_routes.entry(route).or_insert(!there);
    }

    fn compare(&mut self, now: Duration, before: (BTreeSet<IpAddr>, BTreeMap<Route, bool>)) {
        let usable = self.tables.usable();
        if usable == self.reported && self.routes == self.reported_routes {
            self.unsettled = None;
        } else if (usable, &self.routes) != (before.0, &before.1) {
            let since = self.unsettled.map_or(now, |(since, _)| since);
            self.unsettled = Some((since, now));
        }
    }

    /// When to call [`Machine::tick`]; `None`: not at all.
    pub fn deadline(&self) -> Option<Duration> {
        self.unsettled.map(|(since, last)| (last + QUIET).min(since + AT_MOST))
    }

    /// Call at [`Machine::deadline`]; harmless before it.
    pub fn tick(&mut self, now: Duration) -> Option<NetworkChange> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        self.unsettled = None;
        let was_online = self.is_online();
        self.reported = self.tables.usable();
        self.reported_routes = self.routes.clone();
        match (was_online, self.is_online()) {
            (true, false) => Some(NetworkChange::Offline),
            (false, true) => Some(NetworkChange::Online),
            (true, true) => Some(NetworkChange::Changed),
            // Without an address a change of routes has no effect.
            (false, false) => None,
        }
    }
}
