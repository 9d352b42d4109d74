//! The Redis that the nodes share: a child process without persistence, and the few commands of its protocol needed
//! here.
//!
//! Knows the keys under which the server stores nodes and rooms, so that tests can query and choose the node of a room.

use super::{
    config,
    process::{self, Process},
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::Mutex,
    time::{sleep, timeout},
};

const LIMIT: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 5;
/// A hash of room name to node id.
const ROOMS: &str = "room_node_map";

/// A running Redis. Drop ends it.
#[derive(Debug)]
pub struct Redis {
    child: Mutex<Process>,
    pub pid: u32,
    pub port: u16,
}

impl Redis {
    /// Starts the `redis-server` of the PATH.
    pub async fn start(out: &Path) -> Result<Self, String> {
        let program = process::find("redis-server").ok_or("no redis-server in PATH")?;
        // Another process can take the port before the server does: then with another one.
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            match Self::start_on(&program, out, config::free_tcp()?).await {
                Ok(redis) => return Ok(redis),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    async fn start_on(program: &Path, out: &Path, port: u16) -> Result<Self, String> {
        let dir = out.display().to_string();
        let port_text = port.to_string();
        let args = ["--bind", "127.0.0.1", "--port", &port_text, "--save", "", "--appendonly", "no", "--dir", &dir];
        let child = Process::spawn(program, &args.map(String::from), &out.join("redis.log"))?;
        let redis = Redis { pid: child.pid(), child: Mutex::new(child), port };
        let end = Instant::now() + LIMIT;
        while redis.ask(&["PING"]).await.is_err() {
            if !redis.child.lock().await.is_running() || Instant::now() > end {
                return Err(format!("redis-server does not answer; its log: {dir}/redis.log"));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(redis)
    }

    /// Kills it.
    pub async fn end(&self) {
        self.child.lock().await.kill();
    }

    /// The node that a room is on, if any.
    pub async fn node_of(&self, room: &str) -> Result<Option<String>, String> {
        self.ask(&["HGET", ROOMS, room]).await
    }

    /// Sets the node of a room, before any participant is in it.
    pub async fn place(&self, room: &str, node_id: &str) -> Result<(), String> {
        self.ask(&["HSET", ROOMS, room, node_id]).await.map(drop)
    }

    /// Sends one command. Nil becomes None; numbers become text.
    async fn ask(&self, words: &[&str]) -> Result<Option<String>, String> {
        timeout(LIMIT, exchange(self.port, words)).await.map_err(|_| "redis: no answer".to_owned())?
    }
}

async fn exchange(port: u16, words: &[&str]) -> Result<Option<String>, String> {
    let say = |e: std::io::Error| format!("redis: {e}");
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await.map_err(say)?);
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(text.as_bytes()).await.map_err(say)?;
    let mut line = String::new();
    stream.read_line(&mut line).await.map_err(say)?;
    let line = line.trim_end();
    match line.split_at_checked(1) {
        Some(("+" | ":", rest)) => Ok(Some(rest.to_owned())),
        Some(("$", "-1")) => Ok(None),
        Some(("$", size)) => {
            let mut bytes = vec![0; size.parse::<usize>().map_err(|e| format!("redis: {e}"))?.min(1 << 20)];
            stream.read_exact(&mut bytes).await.map_err(say)?;
            Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => Err(format!("redis: {line}")),
    }
}
