//! The whole stand: nodes, Redis and proxies, from start to end.
//!
//! Knows the components and the order of start and stop. `ctl` and `proxy` serve clients and tests.

use super::{
    config::Keys,
    node::Node,
    proxy::{book::Book, relay::Relays, Proxy},
    redis::Redis,
};
use serde_json::{json, Value};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::Mutex;

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    pub server: PathBuf,
    pub nodes: usize,
    /// With more than one node there is always a Redis.
    pub redis: bool,
    pub proxy: bool,
    /// Configuration files and logs.
    pub out: PathBuf,
}

/// A running stand. Drop ends everything.
#[derive(Debug)]
pub struct Stand {
    pub keys: Keys,
    pub nodes: Vec<Mutex<Node>>,
    pub ports: Vec<u16>,
    pub redis: Option<Redis>,
    pub book: Arc<Book>,
    pub relays: Arc<Relays>,
    /// One per node, or none.
    pub proxies: Vec<Proxy>,
    /// Locks the folder while the stand exists.
    _folder: File,
}

impl Stand {
    /// Starts everything and waits until each node answers.
    pub async fn start(options: &Options) -> Result<Arc<Self>, String> {
        let (out, folder) = prepare(&options.out)?;
        let keys = Keys::generate()?;
        let clustered = options.redis || options.nodes > 1;
        let redis = if clustered { Some(Redis::start(&out).await?) } else { None };
        let port = redis.as_ref().map(|r| r.port);
        let names: Vec<String> = (0..options.nodes.max(1)).map(|i| format!("node{i}")).collect();
        let nodes = names.iter().map(|name| Node::launch(&options.server, &out, name, &keys, port));
        let nodes = futures_util::future::try_join_all(nodes).await?;
        let ports: Vec<u16> = nodes.iter().map(Node::port).collect();
        let nodes = nodes.into_iter().map(Mutex::new).collect();
        let book = Arc::new(Book::default());
        let relays = Relays::new(book.clone());
        let mut proxies = Vec::new();
        if options.proxy {
            for (node, port) in ports.iter().enumerate() {
                proxies.push(Proxy::start(book.clone(), relays.clone(), node, *port).await?);
            }
        }
        Ok(Arc::new(Stand { keys, nodes, ports, redis, book, relays, proxies, _folder: folder }))
    }

    /// The JSON printed when everything is ready.
    pub fn greeting(&self, control: &str) -> Value {
        let nodes: Vec<Value> = (0..self.ports.len())
            .map(|i| json!({ "url": self.url(i), "direct": format!("ws://127.0.0.1:{}", self.ports[i]) }))
            .collect();
        json!({ "control": control, "key": self.keys.key, "secret": self.keys.secret, "nodes": nodes,
                "url": self.url(0) })
    }

    /// The URL of a node for clients.
    fn url(&self, node: usize) -> String {
        let port = self.proxies.get(node).map_or(self.ports[node], |proxy| proxy.port);
        format!("ws://127.0.0.1:{port}")
    }

    /// The node selected by an argument; node 0 without one.
    pub fn node(&self, body: &Value) -> Result<(usize, &Mutex<Node>), String> {
        let index = body["node"].as_u64().unwrap_or(0) as usize;
        Ok((index, self.nodes.get(index).ok_or_else(|| format!("there is no node {index}"))?))
    }

    /// Ends every process, including paused ones.
    pub async fn end(&self) {
        for node in &self.nodes {
            // An error means that the node is not running.
            let _ = node.lock().await.kill().await;
        }
        if let Some(redis) = &self.redis {
            redis.end().await;
        }
    }
}

/// The folder for files, as an absolute path, without the files of an earlier stand.
fn prepare(out: &Path) -> Result<(PathBuf, File), String> {
    let say = |e: std::io::Error| format!("{}: {e}", out.display());
    std::fs::create_dir_all(out).map_err(say)?;
    let out = out.canonicalize().map_err(say)?;
    let folder = File::create(out.join("stand.lock")).map_err(say)?;
    folder.try_lock().map_err(|_| format!("{}: another stand uses it", out.display()))?;
    for entry in std::fs::read_dir(&out).map_err(say)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours =
            name == "redis.log" || (name.starts_with("node") && (name.ends_with(".log") || name.ends_with(".yaml")));
        if ours {
            std::fs::remove_file(entry.path()).map_err(say)?;
        }
    }
    Ok((out, folder))
}
