//! Ports, keys and the configuration file of a node.
//!
//! Pure except for the choice of ports and keys. Nodes bind to, and announce, loopback addresses only.

use std::{
    fmt::Write,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

/// A port without a listener. Without a STUN server in its configuration the LiveKit server would announce public ones
/// to its clients.
pub const DEAD_STUN: &str = "127.0.0.1:9";

/// Key and secret, shared by all nodes.
#[derive(Clone, Debug)]
pub struct Keys {
    pub key: String,
    pub secret: String,
}

impl Keys {
    pub fn generate() -> Result<Self, String> {
        Ok(Keys { key: format!("API{}", random_text(12)?), secret: random_text(43)? })
    }
}

/// Letters and digits from the system's random generator.
fn random_text(length: usize) -> Result<String, String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = vec![0u8; length];
    getrandom::fill(&mut bytes).map_err(|e| format!("no random bytes: {e}"))?;
    Ok(bytes.iter().map(|b| char::from(LETTERS[usize::from(*b) % LETTERS.len()])).collect())
}

/// The ports of one node, all on 127.0.0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Signalling and room service.
    pub http: u16,
    /// All media, multiplexed.
    pub udp: u16,
}

impl Ports {
    /// Picks ports that are free now. The caller must expect that they are taken later.
    pub fn pick() -> Result<Self, String> {
        let udp = |port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        Ok(Ports { http: free_tcp()?, udp: free(udp)? })
    }
}

/// A TCP port that is free now.
pub fn free_tcp() -> Result<u16, String> {
    free(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
}

/// A port that `can_bind` confirms. It is below the system's ephemeral ports, which any connection of this machine can
/// take at any time, also while the server that owns the port restarts.
fn free(can_bind: impl Fn(u16) -> bool) -> Result<u16, String> {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    for _ in 0..200 {
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).map_err(|e| format!("no random bytes: {e}"))?;
        let port = FIRST + u16::from_le_bytes(bytes) % COUNT;
        if can_bind(port) {
            return Ok(port);
        }
    }
    Err(format!("no free port among 200 from {FIRST} to {}", FIRST + COUNT))
}

/// The configuration of one node, as YAML.
pub fn node(ports: Ports, keys: &Keys, redis: Option<u16>) -> String {
    let Ports { http, udp } = ports;
    let Keys { key, secret } = keys;
    let mut text = format!(
        "port: {http}
bind_addresses: [127.0.0.1]
keys:
  {key}: {secret}
logging:
  level: info
  json: true
rtc:
  udp_port: {udp}
  # The proxy carries UDP only, and a server that moves its clients to TCP after losses would evade it.
  tcp_port: 0
  allow_tcp_fallback: false
  node_ip: 127.0.0.1
  use_external_ip: false
  enable_loopback_candidate: true
  interfaces:
    includes: [lo]
  ips:
    includes: [127.0.0.1/32]
  stun_servers: [\"{DEAD_STUN}\"]
turn:
  enabled: false
room:
  auto_create: true
  enable_remote_unmute: true
"
    );
    if let Some(port) = redis {
        let _ = write!(text, "redis:\n  address: 127.0.0.1:{port}\n");
        // These are the server's defaults, set explicitly because failover depends on them. A node that holds a room
        // and has sent no sign of life for 5 s (fixed in the server) is replaced. A socket at another node closes when
        // a message was not accepted within retry_timeout.
        text.push_str(
            "signal_relay:\n  retry_timeout: 7500ms\n  connect_attempts: 3\nnode_stats:\n  stats_update_interval: 2s\n",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_announces_loopback_only() {
        let keys = Keys::generate().unwrap();
        assert!(keys.secret.len() >= 32 && keys.secret != Keys::generate().unwrap().secret);
        let text = node(Ports { http: 1, udp: 2 }, &keys, Some(3));
        for line in ["port: 1", "  udp_port: 2", "  tcp_port: 0", "  address: 127.0.0.1:3", "turn:\n  enabled: false"] {
            assert!(text.contains(line), "{line}");
        }
        assert!(text.contains("stun_servers: [\"127.0.0.1:9\"]"));
        assert!(!node(Ports { http: 1, udp: 2 }, &keys, None).contains("redis"));
    }

    #[test]
    fn ports_differ() {
        assert_ne!(Ports::pick().unwrap(), Ports::pick().unwrap());
    }
}
