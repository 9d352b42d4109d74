//! A development SFU: coordinator, three SFU edges (one in reserve) and a control API for fault injection, in one
//! process.
//!
//! For tests and demos on one machine. Tokens are not verified. Do not expose it to the open network.
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

pub use config::{Config, Limits};
pub use log::Level;

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
    /// Fails with `InvalidInput` for an address that is not loopback unless `allow_remote` is set, and with the
    /// system's error if the address cannot be bound.
    pub async fn start(config: Config) -> io::Result<Sfu> {
        if !config.listen.ip().is_loopback() && !config.allow_remote {
            let text = format!("{} is not a loopback address; --allow-remote permits it", config.listen.ip());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let server = server::Server::new(config, address);
        server.log.info(format_args!("listening on {address}"));
        let tasks =
            vec![tokio::spawn(server::serve(server.clone(), listener)), tokio::spawn(tick::run(server.clone()))];
        Ok(Sfu { url: format!("http://{}", reachable(address)), server, tasks })
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

/// A wildcard address is announced as loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(a) if a.ip().is_unspecified() => SocketAddr::from(([127, 0, 0, 1], a.port())),
        SocketAddr::V6(a) if a.ip().is_unspecified() => SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], a.port())),
        other => other,
    }
}
