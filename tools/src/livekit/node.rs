//! One LiveKit node as a child process: start, kill, stop, pause, and restart.
//!
//! Must not know: rooms, clients.

use super::{
    config::{self, Keys, Ports},
    http,
    process::Process,
};
use hyper::Method;
use nix::{
    sys::signal::{kill, Signal},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Limit for a node to answer. It reports ready after its first statistics, about 2 s.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Limit for a node to end after it was forced to.
const END_LIMIT: Duration = Duration::from_secs(8);
/// Interval between two checks of a starting process.
const LOOK: Duration = Duration::from_millis(20);
/// Number of attempts with other ports when the picked ones were taken in the meantime.
const ATTEMPTS: usize = 5;
/// Bytes of a log searched for the node's name.
const LOG_SEARCHED: u64 = 256 << 10;

/// One node, running or not.
#[derive(Debug)]
pub struct Node {
    server: PathBuf,
    config: PathBuf,
    log: PathBuf,
    ports: Ports,
    child: Option<Process>,
    paused: bool,
    /// Offset in the log at which the current process began.
    begun_at: u64,
    node_id: Option<String>,
    pub starts: u64,
}

impl Node {
    /// Starts a node on free ports. Its files are `{name}.yaml` and `{name}.log` in `out`.
    pub async fn launch(
        server: &Path,
        out: &Path,
        name: &str,
        keys: &Keys,
        redis: Option<u16>,
    ) -> Result<Self, String> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let mut node = Node {
                server: server.to_owned(),
                config: out.join(format!("{name}.yaml")),
                log: out.join(format!("{name}.log")),
                ports: Ports::pick()?,
                child: None,
                paused: false,
                begun_at: 0,
                node_id: None,
                starts: 0,
            };
            std::fs::write(&node.config, config::node(node.ports, keys, redis))
                .map_err(|e| format!("{}: {e}", node.config.display()))?;
            match node.start().await {
                Ok(_) => return Ok(node),
                // Another process took the port: try other ports.
                Err(e) if node.said("address already in use") => last = e,
                Err(e) => return Err(e),
            }
        }
        Err(last)
    }

    pub fn port(&self) -> u16 {
        self.ports.http
    }

    pub fn udp_port(&self) -> u16 {
        self.ports.udp
    }

    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The process id, unless the process has ended.
    pub fn pid(&mut self) -> Option<u32> {
        let child = self.child.as_mut()?;
        if child.is_running() {
            return Some(child.pid());
        }
        self.child = None;
        None
    }

    /// Starts or restarts the node with the same ports, and waits until it answers. Returns how long that took.
    pub async fn start(&mut self) -> Result<Duration, String> {
        if self.pid().is_some() {
            return Err("the node is running".to_owned());
        }
        let begun = Instant::now();
        self.begun_at = std::fs::metadata(&self.log).map_or(0, |m| m.len());
        let args = ["--config".to_owned(), self.config.display().to_string()];
        self.child = Some(Process::spawn(&self.server, &args, &self.log)?);
        self.paused = false;
        self.node_id = None;
        self.starts += 1;
        loop {
            if self.pid().is_none() {
                return Err(format!("the server ended at once; its log: {}", self.log.display()));
            }
            let answer = http::request(Method::GET, self.ports.http, "/", None, String::new(), READY_LIMIT).await;
            if matches!(answer, Ok((200, _))) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > READY_LIMIT {
                self.kill().await?;
                return Err(format!("not ready within {READY_LIMIT:?}; its log: {}", self.log.display()));
            }
            sleep(LOOK).await;
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<(), String> {
        let pid = self.pid().ok_or("the node is not running")?;
        kill(Pid::from_raw(pid as i32), signal).map_err(|e| format!("{signal}: {e}"))
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<(), String> {
        self.signal(Signal::SIGKILL)?;
        self.ended(END_LIMIT).await
    }

    /// SIGTERM: the node takes no new rooms and waits for its participants without limit. So it gets a second SIGTERM
    /// after `grace`, on which it disconnects them. Returns how long it took to end.
    pub async fn stop(&mut self, grace: Duration) -> Result<Duration, String> {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM)?;
        if self.ended(grace).await.is_err() {
            self.signal(Signal::SIGTERM)?;
            if self.ended(END_LIMIT).await.is_err() {
                self.kill().await?;
                return Err(format!("did not end within {END_LIMIT:?} and was killed"));
            }
        }
        Ok(begun.elapsed())
    }

    /// Only the first SIGTERM.
    pub fn drain(&mut self) -> Result<(), String> {
        self.signal(Signal::SIGTERM)
    }

    pub fn pause(&mut self, on: bool) -> Result<(), String> {
        self.signal(if on { Signal::SIGSTOP } else { Signal::SIGCONT })?;
        self.paused = on;
        Ok(())
    }

    async fn ended(&mut self, limit: Duration) -> Result<(), String> {
        let Some(child) = self.child.as_mut() else { return Ok(()) };
        if !child.ended(limit).await {
            return Err("still running".to_owned());
        }
        self.child = None;
        Ok(())
    }

    /// The node ID of the current process; it changes with each start.
    pub fn node_id(&mut self) -> Option<String> {
        if self.node_id.is_none() {
            let text = self.log_text();
            let lines = text.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok());
            self.node_id = lines.filter_map(|l| Some(l.get("nodeID")?.as_str()?.to_owned())).next();
        }
        self.node_id.clone()
    }

    fn said(&self, text: &str) -> bool {
        self.log_text().contains(text)
    }

    /// The beginning of the current process's log.
    fn log_text(&self) -> String {
        let mut text = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.seek(SeekFrom::Start(self.begun_at));
            let _ = file.take(LOG_SEARCHED).read_to_end(&mut text);
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}
