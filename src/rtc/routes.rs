//! Which local addresses lead to a destination, and sockets on them.
//!
//! A connected UDP socket tells the source address that the system would use; nothing is sent, no list of interfaces is
//! needed, and a machine with many interfaces gets no more sockets than routes. Must not know: any engine's types,
//! what is sent.

use super::engine::{Families, NetworkPolicy};
#[cfg(target_os = "linux")]
use crate::log::{oh_log, Level};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};

/// Most addresses of the machine that get a socket where routes do not tell which.
const MAX_LISTED: usize = 4;
/// Ports of a range that are tried for one socket.
const MAX_TRIES: u32 = 256;

/// Destinations that the default routes lead to (RFC 5737, RFC 3849); no host has these addresses.
pub const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// An address of an interface of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub interface: String,
    /// With its scope, if it has one.
    pub address: SocketAddr,
}

/// The addresses of the interfaces that are up; empty if the system does not tell.
pub fn listed() -> Vec<Listed> {
    #[cfg(target_os = "linux")]
    {
        use nix::net::if_::InterfaceFlags;
        let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
        all.filter(|found| found.flags.contains(InterfaceFlags::IFF_UP))
            .filter_map(|found| {
                let address = found.address?;
                let v4 = address.as_sockaddr_in().map(|a| SocketAddr::from((a.ip(), 0)));
                let v6 = address.as_sockaddr_in6();
                let v6 = v6.map(|a| SocketAddr::from(SocketAddrV6::new(a.ip(), 0, 0, a.scope_id())));
                Some(Listed { interface: found.interface_name, address: v4.or(v6)? })
            })
            .collect()
    }
    #[cfg(not(target_os = "linux"))]
    Vec::new()
}

/// The local address, with port 0, from which the system would send to `to`. `None`: there is no route.
fn source(to: IpAddr) -> Option<SocketAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, 9)).ok()?;
    let mut local = socket.local_addr().ok().filter(|local| !local.ip().is_unspecified())?;
    local.set_port(0);
    Some(local)
}

impl Families {
    fn has(self, address: IpAddr) -> bool {
        match self {
            Self::Both => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

impl NetworkPolicy {
    /// Whether an interface may be used.
    fn has(&self, interface: &str) -> bool {
        let is = |name: &String| match name.strip_suffix('*') {
            Some(begin) => interface.starts_with(begin),
            None => interface == name,
        };
        !self.excluded_interfaces.iter().any(is) && (self.interfaces.is_empty() || self.interfaces.iter().any(is))
    }

    pub fn names_interfaces(&self) -> bool {
        !self.interfaces.is_empty() || !self.excluded_interfaces.is_empty()
    }
}

/// Whether another machine may answer to an address; those of a link last.
fn rank(address: IpAddr) -> Option<u8> {
    match address {
        IpAddr::V4(a) if a.is_loopback() || a.is_unspecified() => None,
        IpAddr::V4(a) if a.is_link_local() => Some(2),
        IpAddr::V4(_) => Some(0),
        IpAddr::V6(a) if a.is_loopback() || a.is_unspecified() => None,
        IpAddr::V6(_) if super::udp::is_scoped(address) => None,
        IpAddr::V6(_) => Some(1),
    }
}

/// The local addresses, with port 0, to send from to `to`; empty if there are none. `list` gives the interfaces'
/// addresses and is asked only if they are needed.
pub fn sources(policy: &NetworkPolicy, to: IpAddr, list: impl Fn() -> Vec<Listed>) -> Vec<SocketAddr> {
    if !policy.families.has(to) {
        return Vec::new();
    }
    if super::udp::is_scoped(to) {
        // Every link may be the one.
        let scoped = list().into_iter().filter(|l| super::udp::is_scoped(l.address.ip()) && policy.has(&l.interface));
        return scoped.map(|listed| listed.address).take(MAX_LISTED).collect();
    }
    let route = source(to);
    if to.is_loopback() || !policy.names_interfaces() {
        return route.into_iter().collect();
    }
    let list = list();
    let is_allowed = |address: &SocketAddr| {
        let mut of = list.iter().filter(|listed| listed.address.ip() == address.ip());
        of.any(|listed| policy.has(&listed.interface))
    };
    if let Some(route) = route.filter(is_allowed) {
        return vec![route];
    }
    usable(policy, &list).into_iter().filter(|address| address.is_ipv4() == to.is_ipv4()).collect()
}

/// Whether two lists of sources lead over the same interfaces, and the old addresses are still there. Temporary IPv6
/// addresses change every day (RFC 8981), and the old ones stay in use.
pub fn are_equal(old: &[SocketAddr], new: &[SocketAddr], list: impl Fn() -> Vec<Listed>) -> bool {
    if old == new {
        return true;
    }
    let list = list();
    let interface = |address: &SocketAddr| {
        list.iter().find(|listed| listed.address.ip() == address.ip()).map(|listed| listed.interface.clone())
    };
    let interfaces = |addresses: &[SocketAddr]| addresses.iter().map(interface).collect::<Option<Vec<_>>>();
    interfaces(old).is_some_and(|of_old| Some(of_old) == interfaces(new))
}

/// Addresses of the machine that may be used, best first.
fn usable(policy: &NetworkPolicy, list: &[Listed]) -> Vec<SocketAddr> {
    let mut found: Vec<(u8, SocketAddr)> = Vec::new();
    for listed in list.iter().filter(|listed| policy.has(&listed.interface)) {
        let address = listed.address;
        if let Some(rank) = rank(address.ip()).filter(|_| policy.families.has(address.ip())) {
            if !found.iter().any(|(_, known)| *known == address) {
                found.push((rank, address));
            }
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, address)| address).take(MAX_LISTED).collect()
}

/// The addresses of a machine on which no route leads elsewhere.
pub fn without_routes(policy: &NetworkPolicy, list: impl Fn() -> Vec<Listed>) -> Vec<SocketAddr> {
    usable(policy, &list())
}

/// The interface that sockets on an address must be bound to: the client's options name it, and the default route leads
/// over another one. `None`: routes decide.
#[cfg(target_os = "linux")]
fn device(policy: &NetworkPolicy, address: IpAddr, list: impl Fn() -> Vec<Listed>) -> Option<String> {
    if !policy.names_interfaces() || address.is_loopback() || super::udp::is_scoped(address) {
        return None;
    }
    let list = list();
    let interface = |ip: IpAddr| list.iter().find(|listed| listed.address.ip() == ip).map(|listed| &listed.interface);
    let own = interface(address).filter(|own| policy.has(own))?;
    let elsewhere = ELSEWHERE.into_iter().find(|to| to.is_ipv4() == address.is_ipv4())?;
    let default = source(elsewhere).and_then(|local| interface(local.ip()));
    (default != Some(own)).then(|| own.clone())
}

/// Binds a socket to the interface of its address if the client's options need that. A wish: Linux before 5.7 refuses it
/// to ordinary users, and other systems have no list of interfaces here.
#[cfg(target_os = "linux")]
pub fn keep_to_interface(policy: &NetworkPolicy, address: IpAddr, socket: &impl std::os::fd::AsFd) {
    if let Some(name) = device(policy, address, listed) {
        use nix::sys::socket::{setsockopt, sockopt};
        if let Err(error) = setsockopt(socket, sockopt::BindToDevice, &name.clone().into()) {
            oh_log!(Level::Info, "a socket on {address} could not be bound to {name}: {error}");
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn keep_to_interface<S>(_policy: &NetworkPolicy, _address: IpAddr, _socket: &S) {}

/// Marks the packets of a socket. A wish: where the system refuses it, they are sent unmarked.
fn mark(socket: &UdpSocket, v4: bool, dscp: u8) {
    #[cfg(target_os = "linux")]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        let class = i32::from(dscp) << 2;
        let _ = if v4 {
            setsockopt(socket, sockopt::Ipv4Tos, &class)
        } else {
            setsockopt(socket, sockopt::Ipv6TClass, &class)
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, v4, dscp);
}

/// Opens a UDP socket on `address`; `random` picks the first port of the range that is tried.
///
/// # Errors
/// Of the system, for the last port tried.
pub fn bind(policy: &NetworkPolicy, address: SocketAddr, random: u16) -> io::Result<UdpSocket> {
    let socket = match policy.ports {
        None => UdpSocket::bind(address)?,
        Some((first, last)) => {
            let count = u32::from(last.max(first) - first) + 1;
            let mut tried = Err(io::ErrorKind::AddrInUse.into());
            for n in 0..count.min(MAX_TRIES) {
                let offset = (u32::from(random) + n) % count;
                let mut address = address;
                address.set_port(first + offset as u16);
                tried = UdpSocket::bind(address);
                if tried.is_ok() {
                    break;
                }
            }
            tried?
        }
    };
    keep_to_interface(policy, address.ip(), &socket);
    if policy.dscp > 0 {
        mark(&socket, address.is_ipv4(), policy.dscp);
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(interface: &str, address: &str) -> Listed {
        let ip: IpAddr = address.parse().expect("an address");
        Listed { interface: interface.to_owned(), address: SocketAddr::new(ip, 0) }
    }

    fn local(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn loopback_leads_to_itself_and_needs_no_list() {
        let policy = NetworkPolicy { interfaces: names(&["eth0"]), ..NetworkPolicy::default() };
        let sources = |to: &str| sources(&policy, to.parse().expect("an address"), || unreachable!("not asked"));
        assert_eq!(sources("127.0.0.9"), [local("127.0.0.1:0")]);
    }

    #[test]
    fn families_and_interfaces_are_kept_to() {
        let list = || {
            vec![
                listed("lo", "127.0.0.1"),
                listed("eth0", "192.0.2.7"),
                listed("eth0", "2001:db8::7"),
                listed("docker0", "172.17.0.1"),
                listed("wlan0", "169.254.3.4"),
                listed("eth0", "fe80::7"),
            ]
        };
        let ips = |policy: &NetworkPolicy| -> Vec<String> {
            without_routes(policy, list).iter().map(|address| address.ip().to_string()).collect()
        };
        let mut policy = NetworkPolicy::default();
        assert_eq!(ips(&policy), ["192.0.2.7", "172.17.0.1", "2001:db8::7", "169.254.3.4"]);
        policy.excluded_interfaces = names(&["docker*"]);
        assert_eq!(ips(&policy), ["192.0.2.7", "2001:db8::7", "169.254.3.4"]);
        policy.interfaces = names(&["wl*", "docker0"]);
        assert_eq!(ips(&policy), ["169.254.3.4"]);
        policy = NetworkPolicy { families: Families::V6, ..NetworkPolicy::default() };
        assert_eq!(ips(&policy), ["2001:db8::7"]);
        assert!(sources(&policy, ELSEWHERE[0], list).is_empty());
        // Named interfaces are used even where no route leads through them.
        policy = NetworkPolicy { interfaces: names(&["docker0"]), ..NetworkPolicy::default() };
        assert_eq!(sources(&policy, ELSEWHERE[0], list), [local("172.17.0.1:0")]);
        // A link-local destination may be on any link.
        policy = NetworkPolicy::default();
        let near = sources(&policy, "fe80::1".parse().expect("an address"), list);
        assert_eq!(near, [local("[fe80::7]:0")]);
    }

    #[test]
    fn a_new_address_beside_the_old_one_is_no_other_route() {
        let list =
            || vec![listed("eth0", "2001:db8::7"), listed("eth0", "2001:db8::8"), listed("wlan0", "2001:db8::9")];
        let equal = |old: &str, new: &str| are_equal(&[local(old)], &[local(new)], list);
        assert!(equal("[2001:db8::7]:0", "[2001:db8::7]:0") && equal("[2001:db8::7]:0", "[2001:db8::8]:0"));
        assert!(!equal("[2001:db8::7]:0", "[2001:db8::9]:0"), "another interface");
        assert!(!equal("[2001:db8::1]:0", "[2001:db8::7]:0"), "the old one is gone");
        assert!(!are_equal(&[], &[local("[2001:db8::7]:0")], list));
    }

    #[test]
    fn many_interfaces_are_a_handful_of_addresses() {
        let list = || (0..60).map(|n| listed(&format!("br{n}"), &format!("10.0.{n}.1"))).collect();
        assert_eq!(without_routes(&NetworkPolicy::default(), list).len(), MAX_LISTED);
    }

    #[test]
    fn ports_come_from_the_range_until_it_is_used_up() {
        let local = local("127.0.0.1:0");
        // Three ports that are free, below the ephemeral ones: no connection of this machine takes them in between.
        let first = (0..100)
            .map(|n| 20_000 + (std::process::id() % 100) as u16 * 100 + n)
            .find(|first| (0..3).all(|n| UdpSocket::bind((local.ip(), first + n)).is_ok()))
            .expect("three free ports");
        let policy = NetworkPolicy { ports: Some((first, first + 2)), dscp: 46, ..NetworkPolicy::default() };
        let sockets: Vec<UdpSocket> =
            (0..3).map(|n| bind(&policy, local, 7 * n + 2).expect("a port of the range")).collect();
        let mut ports: Vec<u16> =
            sockets.iter().map(|socket| socket.local_addr().expect("an address").port()).collect();
        ports.sort_unstable();
        assert_eq!(ports, [first, first + 1, first + 2]);
        assert_eq!(bind(&policy, local, 0).expect_err("none is left").kind(), io::ErrorKind::AddrInUse);
        #[cfg(target_os = "linux")]
        {
            use nix::sys::socket::{getsockopt, sockopt};
            assert_eq!(getsockopt(&sockets[0], sockopt::Ipv4Tos).expect("an option"), 46 << 2);
        }
    }
}
