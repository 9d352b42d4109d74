//! The addresses of media: which are bound, and which are announced to clients in their place.
//!
//! Must not know: peer connections.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV6},
    str::FromStr,
};

/// Most local addresses for media.
const MAX_ADDRESSES: usize = 8;

/// A local IP address. A link-local IPv6 address has a scope: the index of its network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    pub ip: IpAddr,
    pub scope: u32,
}

impl LocalAddress {
    /// The address of a socket. An IPv4 address in IPv6 form, as dual-stack sockets have it, becomes IPv4.
    pub fn of(address: SocketAddr) -> Self {
        let scope = if let SocketAddr::V6(v6) = address { v6.scope_id() } else { 0 };
        LocalAddress { ip: address.ip().to_canonical(), scope }
    }

    /// The address to bind.
    pub fn with_port(self, port: u16) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => (ip, port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, self.scope).into(),
        }
    }

    /// The destination of a packet that leaves from this address. A link-local destination in an SDP has no scope.
    pub fn reach(self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V6(v6) if self.scope != 0 && v6.ip().is_unicast_link_local() => {
                SocketAddrV6::new(*v6.ip(), v6.port(), 0, self.scope).into()
            }
            other => other,
        }
    }
}

impl From<IpAddr> for LocalAddress {
    fn from(ip: IpAddr) -> Self {
        LocalAddress { ip, scope: 0 }
    }
}

impl FromStr for LocalAddress {
    type Err = String;

    /// `192.0.2.1`, `2001:db8::1`, `fe80::1%2` or `fe80::1%eth0`; IPv6 also in brackets.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not an IP address");
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        let (ip, zone) = bare.split_once('%').map_or((bare, None), |(ip, zone)| (ip, Some(zone)));
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let scope = match (zone, ip) {
            (None, _) => 0,
            (Some(zone), IpAddr::V6(v6)) if v6.is_unicast_link_local() => {
                scope(zone).ok_or_else(|| format!("{text:?} names no network interface"))?
            }
            _ => return Err(wrong()),
        };
        Ok(LocalAddress { ip, scope })
    }
}

/// The index of a network interface, from its number or its name.
fn scope(zone: &str) -> Option<u32> {
    let index = zone.parse().ok().or_else(|| {
        // Linux only. Elsewhere the number must be given.
        if zone.is_empty() || zone.len() > 15 || zone.contains(['/', '.']) {
            return None;
        }
        std::fs::read_to_string(format!("/sys/class/net/{zone}/ifindex")).ok()?.trim().parse().ok()
    });
    index.filter(|index| *index != 0)
}

/// Without scope and flow label, so that equal addresses compare as equal.
pub fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A local address and the one that clients are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub local: LocalAddress,
    pub announced: IpAddr,
}

/// The addresses of all media of a process.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Empty: each client's media uses the address of its signalling connection.
    local: Vec<LocalAddress>,
    /// At most one per family.
    public: Vec<IpAddr>,
}

impl Addresses {
    /// Checks the addresses: each can be announced, and a public one replaces exactly one local one.
    pub fn new(local: &[LocalAddress], public: &[IpAddr]) -> Result<Self, String> {
        if local.len() > MAX_ADDRESSES {
            return Err(format!("more than {MAX_ADDRESSES} addresses for media"));
        }
        if let Some(ip) = local.iter().map(|l| l.ip).chain(public.iter().copied()).find(|ip| !is_announceable(*ip)) {
            return Err(format!("{ip} cannot be announced to clients"));
        }
        for (at, address) in local.iter().enumerate() {
            if local[..at].contains(address) {
                return Err(format!("{} is given twice", address.ip));
            }
        }
        for ipv4 in [true, false] {
            let publics = public.iter().filter(|ip| ip.is_ipv4() == ipv4).count();
            let locals = local.iter().filter(|l| l.ip.is_ipv4() == ipv4).count();
            if publics > 1 {
                return Err("more than one public address of a family".into());
            }
            if publics == 1 && locals > 1 {
                return Err("a public address replaces one local address, but several of its family are given".into());
            }
        }
        Ok(Addresses { local: local.to_vec(), public: public.to_vec() })
    }

    /// The addresses for a client whose signalling arrived at `signalling`.
    pub fn places(&self, signalling: LocalAddress) -> Vec<Place> {
        let own = [signalling];
        let local = if self.local.is_empty() { &own[..] } else { &self.local[..] };
        local
            .iter()
            .map(|local| {
                let public = self.public.iter().find(|p| p.is_ipv4() == local.ip.is_ipv4());
                Place { local: *local, announced: public.copied().unwrap_or(local.ip) }
            })
            .collect()
    }

    /// The addresses of listeners that all clients share.
    pub fn shared(&self, signalling: LocalAddress) -> Vec<LocalAddress> {
        if self.local.is_empty() {
            vec![signalling]
        } else {
            self.local.clone()
        }
    }
}

/// The engine accepts no other addresses in candidates.
fn is_announceable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_broadcast() && !v4.is_multicast() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> LocalAddress {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_read() {
        assert_eq!(local("127.0.0.1"), ip("127.0.0.1").into());
        assert_eq!(local("[::1]"), ip("::1").into());
        assert_eq!(local("fe80::1%7"), LocalAddress { ip: ip("fe80::1"), scope: 7 });
        assert_eq!(local("fe80::1%7").with_port(9).to_string(), "[fe80::1%7]:9");
        for text in ["", "localhost", "127.0.0.1:80", "127.0.0.1%1", "::1%1", "fe80::1%", "fe80::1%0", "fe80::1%../x"] {
            assert!(text.parse::<LocalAddress>().is_err(), "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn interfaces_have_names() {
        assert_eq!(local("fe80::1%lo").scope, 1);
        assert!("fe80::1%no-such-name".parse::<LocalAddress>().is_err());
    }

    #[test]
    fn link_local_destinations_get_the_scope() {
        let to = |text: &str| text.parse::<SocketAddr>().unwrap();
        assert_eq!(local("fe80::1%7").reach(to("[fe80::2]:5")), to("[fe80::2%7]:5"));
        assert_eq!(local("fe80::1%7").reach(to("[2001:db8::2]:5")), to("[2001:db8::2]:5"));
        assert_eq!(plain(to("[fe80::2%7]:5")), to("[fe80::2]:5"));
        assert_eq!(plain(to("[::ffff:127.0.0.1]:5")), to("127.0.0.1:5"));
        assert_eq!(LocalAddress::of(to("[::ffff:127.0.0.1]:5")), local("127.0.0.1"));
    }

    #[test]
    fn public_addresses_replace_those_of_their_family() {
        let addresses = Addresses::new(&[local("127.0.0.1"), local("::1")], &[ip("203.0.113.7")]).unwrap();
        let places = addresses.places(local("127.0.0.9"));
        let announced: Vec<IpAddr> = places.iter().map(|p| p.announced).collect();
        assert_eq!(announced, [ip("203.0.113.7"), ip("::1")]);
        assert_eq!(places[0].local, local("127.0.0.1"));
        let addresses = Addresses::new(&[], &[ip("2001:db8::7")]).unwrap();
        assert_eq!(addresses.places(local("127.0.0.9"))[0].announced, ip("127.0.0.9"));
        assert_eq!(addresses.places(local("::1"))[0].announced, ip("2001:db8::7"));
    }

    #[test]
    fn unusable_addresses_are_refused() {
        for (locals, publics) in [
            (vec!["0.0.0.0"], vec![]),
            (vec!["::"], vec![]),
            (vec![], vec!["224.0.0.1"]),
            (vec!["127.0.0.1", "127.0.0.1"], vec![]),
            (vec![], vec!["203.0.113.7", "203.0.113.8"]),
            (vec!["127.0.0.1", "127.0.0.2"], vec!["203.0.113.7"]),
            (vec!["127.0.0.1"; 9], vec![]),
        ] {
            let locals: Vec<LocalAddress> = locals.into_iter().map(local).collect();
            let publics: Vec<IpAddr> = publics.into_iter().map(ip).collect();
            assert!(Addresses::new(&locals, &publics).is_err(), "{locals:?} {publics:?}");
        }
    }
}
