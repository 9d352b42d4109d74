//! A development SFU: coordinator, three SFU edges (one in reserve) and a control API for fault injection, in one
//! process.
//!
//! For tests and demos. Tokens are not verified: everyone who can reach it can do everything.
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! let sfu = offhook_sfu::Sfu::start(offhook_sfu::Config::default()).await?;
//! println!("{}", sfu.url());
//! sfu.stop().await;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod config;
mod coordinator;
pub mod crypto;
mod ctl;
mod edge;
mod faults;
mod join;
mod log;
mod media;
mod participant;
mod publish;
mod room;
mod server;
mod socket;
mod state;
mod tick;
mod wire;

pub use config::{Config, IceServer, Limits, PublicUrl};
pub use log::Level;
pub use media::address::LocalAddress;

use media::{
    address::Addresses,
    tcp::{self, Registry},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};

/// A running SFU. It runs on the runtime it was started on and stops when dropped.
#[derive(Debug)]
pub struct Sfu {
    server: Arc<server::Server>,
    url: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Sfu {
    /// Starts an SFU on the caller's tokio runtime.
    ///
    /// Fails with `InvalidInput` for unusable options, as for an address that is not loopback unless `allow_remote` is
    /// set, and with the system's error if an address cannot be bound.
    pub async fn start(config: Config) -> io::Result<Sfu> {
        let addresses = check(&config).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let (most, waiting, mut media) = (config.limits.media_connections, config.limits.media_waiting, Vec::new());
        let tcp = match config.ice_tcp_port {
            Some(port) => {
                let (port, listeners) = tcp::bind(&addresses.shared(LocalAddress::of(address)), port)?;
                media = listeners;
                Some(server::MediaTcp { port, registry: Arc::new(Registry::new(most)) })
            }
            None => None,
        };
        let server = server::Server::new(config, address, addresses, tcp.clone());
        server.log.info(format_args!("listening on {address}"));
        let mut tasks =
            vec![tokio::spawn(server::serve(server.clone(), listener)), tokio::spawn(tick::run(server.clone()))];
        if let Some(server::MediaTcp { port, registry }) = tcp {
            server.log.info(format_args!("media over TCP on port {port}"));
            for listener in media {
                let (server, registry) = (server.clone(), registry.clone());
                tasks.push(tokio::spawn(async move {
                    tokio::select! {
                        () = tcp::serve(listener, registry, waiting) => {}
                        () = server.stopped() => {}
                    }
                }));
            }
        }
        Ok(Sfu { url: format!("http://{}", reachable(address)), server, tasks })
    }

    /// The port for media over TCP, if there is one.
    pub fn ice_tcp_port(&self) -> Option<u16> {
        self.server.tcp.as_ref().map(|tcp| tcp.port)
    }

    /// The coordinator's base URL, without a trailing slash.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The state that `/ctl/state` returns, for tests in this process.
    pub fn state(&self) -> serde_json::Value {
        state::describe(&self.server)
    }

    /// Closes all connections and ends all tasks. Waits at most one second for each task.
    pub async fn stop(mut self) {
        self.server.shut_down();
        for task in std::mem::take(&mut self.tasks) {
            let _ = tokio::time::timeout(Duration::from_secs(1), task).await;
        }
    }
}

impl Drop for Sfu {
    fn drop(&mut self) {
        self.server.shut_down();
    }
}

/// Checks what can be checked before anything is bound. Returns the addresses of media.
fn check(config: &Config) -> Result<Addresses, String> {
    let bound = config.addresses.iter().map(|a| a.ip).chain([config.listen.ip()]);
    if let Some(ip) = bound.into_iter().find(|ip| !ip.is_loopback() && !config.allow_remote) {
        return Err(format!("{ip} is not a loopback address; --allow-remote permits it"));
    }
    if !config.udp && config.ice_tcp_port.is_none() {
        return Err("media needs UDP or a port for TCP".into());
    }
    if config.ice_servers.len() > config::MAX_ICE_SERVERS {
        return Err(format!("more than {} ICE servers", config::MAX_ICE_SERVERS));
    }
    Addresses::new(&config.addresses, &config.public_addresses)
}

/// A wildcard address is announced as loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(a) if a.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], a.port())),
        SocketAddr::V6(a) if a.ip().is_unspecified() => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], a.port())),
        other => other,
    }
}
