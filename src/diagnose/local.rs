//! This machine: the addresses that media would use, the routes, and whether changes are noticed. Contacts nothing.
//! Must not know: servers.

use super::journal::Journal;
use crate::netwatch;
use crate::rtc::engine::NetworkPolicy;
use crate::rtc::routes::{self, Listed, ELSEWHERE};
use std::net::SocketAddr;
use std::sync::Arc;

pub(super) fn check(journal: &Arc<Journal>, policy: &NetworkPolicy) {
    let mut step = journal.begin("network", "");
    let list = routes::listed();
    let mut found = Vec::new();
    for (to, family) in ELSEWHERE.into_iter().zip(["IPv4", "IPv6"]) {
        let used = routes::sources(policy, to, || list.clone());
        for address in &used {
            step.detail(format!("{family}: {}", described(address, &list)));
        }
        if used.is_empty() {
            step.detail(format!("{family}: no route, or not allowed by the options"));
        } else {
            found.push(family);
        }
    }
    match netwatch::can_be_watched() {
        Ok(()) => step.detail("changes of the network are noticed"),
        Err(why) => step.detail(format!("changes of the network are not noticed: {why}")),
    }
    if !found.is_empty() {
        return step.ok(format!("default routes of {}", found.join(" and ")));
    }
    let others = routes::without_routes(policy, || list.clone());
    for address in &others {
        step.detail(format!("without a default route: {}", described(address, &list)));
    }
    match others.is_empty() {
        true => step.warning(
            "no_network",
            "no address leads to other machines",
            "connect this machine to a network, or check the options for interfaces and IP family; servers on this \
             machine can be used",
        ),
        false => step.warning("no_default_route", "there is no default route", "add a route to the server"),
    }
}

fn described(address: &SocketAddr, list: &[Listed]) -> String {
    let interface = list.iter().find(|listed| listed.address.ip() == address.ip()).map(|listed| &listed.interface);
    match interface {
        Some(interface) => format!("{} on {interface}", address.ip()),
        None => address.ip().to_string(),
    }
}
