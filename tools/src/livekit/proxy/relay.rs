//! UDP relays for media: a client sends to the relay's address, which forwards to the server from another socket.
//!
//! One per identity, peer connection and server address. Must not know: the content of packets.

use super::{
    book::Book,
    lock,
    switches::{Lane, Pc, Rule},
    wire::To,
};
use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, UdpSocket as StdUdpSocket},
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        Arc, Mutex,
    },
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{sleep_until, Instant},
};

/// Most relays at a time; further candidates are removed.
const MAX_RELAYS: usize = 4096;
/// Most client addresses of one relay; a new one replaces the one that was idle longest.
const MAX_FLOWS: usize = 16;
const MAX_PACKET: usize = 4096;
/// Most delayed packets in the queue; further ones are lost.
const MAX_LATE: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    identity: String,
    pc: Pc,
    server: SocketAddr,
}

/// Packets of one direction.
#[derive(Debug, Default)]
struct Count {
    passed: AtomicU64,
    dropped: AtomicU64,
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Relay {
    front: SocketAddr,
    counts: Arc<[Count; 2]>,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// All relays of a stand.
#[derive(Debug)]
pub struct Relays {
    book: Arc<Book>,
    all: Mutex<HashMap<Key, Relay>>,
}

impl Relays {
    pub fn new(book: Arc<Book>) -> Arc<Self> {
        Arc::new(Relays { book, all: Mutex::default() })
    }

    /// The address to which a client sends its packets for `server`. None if `server` is not on IPv4 loopback.
    pub fn front(&self, identity: &str, pc: Pc, server: SocketAddr) -> Option<SocketAddr> {
        if !server.ip().is_loopback() || !server.is_ipv4() {
            return None;
        }
        let key = Key { identity: identity.to_owned(), pc, server };
        let mut all = lock(&self.all);
        if let Some(relay) = all.get(&key) {
            return Some(relay.front);
        }
        if all.len() >= MAX_RELAYS {
            return None;
        }
        let socket = bind().ok()?;
        let front = socket.local_addr().ok()?;
        let counts = Arc::<[Count; 2]>::default();
        let way = Way { book: self.book.clone(), key: key.clone(), counts: counts.clone() };
        let task = tokio::spawn(serve(way, Arc::new(socket))).abort_handle();
        all.insert(key, Relay { front, counts, task });
        Some(front)
    }

    /// Ends the relays of identities that have had no socket for `grace`.
    pub fn tidy(&self, grace: Duration) {
        lock(&self.all).retain(|key, _| self.book.is_about(&key.identity, grace));
    }

    pub fn describe(&self) -> Vec<serde_json::Value> {
        let all = lock(&self.all);
        let describe = |(key, relay): (&Key, &Relay)| {
            let count = |to: To| {
                let count = &relay.counts[to as usize];
                serde_json::json!({ "packets": count.passed.load(Relaxed), "bytes": count.bytes.load(Relaxed),
                    "dropped": count.dropped.load(Relaxed) })
            };
            let pc = if key.pc == Pc::Publisher { "publisher" } else { "subscriber" };
            serde_json::json!({ "identity": key.identity, "pc": pc, "server": key.server.to_string(),
                "front": relay.front.to_string(), "to_client": count(To::Client), "to_server": count(To::Server) })
        };
        all.iter().map(describe).collect()
    }
}

fn bind() -> std::io::Result<UdpSocket> {
    let socket = StdUdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// What a packet needs on its way, in either direction.
#[derive(Clone)]
struct Way {
    book: Arc<Book>,
    key: Key,
    counts: Arc<[Count; 2]>,
}

impl Way {
    fn rule(&self, to: To) -> Option<Rule> {
        self.book.media.find(&self.key.identity, to, Some(self.key.pc), "")
    }

    /// Applies the rule to a packet, and sends what is left.
    fn pass(&self, to: To, lane: &mut Lane<Vec<u8>>, pacer: &Pacer, packet: &[u8]) {
        let count = &self.counts[to as usize];
        let before = lane.dropped;
        for (packet, delay) in lane.pass(self.rule(to), packet.to_vec()) {
            count.passed.fetch_add(1, Relaxed);
            count.bytes.fetch_add(packet.len() as u64, Relaxed);
            pacer.send(packet, delay);
        }
        count.dropped.fetch_add(lane.dropped - before, Relaxed);
    }
}

/// Sends packets in order, some of them delayed.
#[derive(Debug)]
struct Pacer {
    socket: Arc<UdpSocket>,
    to: Option<SocketAddr>,
    late: mpsc::Sender<(Instant, Vec<u8>)>,
    waiting: Arc<AtomicUsize>,
}

impl Pacer {
    fn new(socket: Arc<UdpSocket>, to: Option<SocketAddr>, tasks: &mut JoinSet<()>) -> (Self, AbortHandle) {
        let (late, mut packets) = mpsc::channel::<(Instant, Vec<u8>)>(MAX_LATE);
        let waiting = Arc::new(AtomicUsize::new(0));
        let pacer = Pacer { socket: socket.clone(), to, late, waiting: waiting.clone() };
        let task = tasks.spawn(async move {
            while let Some((due, packet)) = packets.recv().await {
                sleep_until(due).await;
                put(&socket, to, &packet);
                waiting.fetch_sub(1, Relaxed);
            }
        });
        (pacer, task)
    }

    fn send(&self, packet: Vec<u8>, delay: Duration) {
        if delay.is_zero() && self.waiting.load(Relaxed) == 0 {
            return put(&self.socket, self.to, &packet);
        }
        self.waiting.fetch_add(1, Relaxed);
        if self.late.try_send((Instant::now() + delay, packet)).is_err() {
            self.waiting.fetch_sub(1, Relaxed);
        }
    }
}

/// A packet that cannot be sent now is lost, as on any network.
fn put(socket: &UdpSocket, to: Option<SocketAddr>, packet: &[u8]) {
    let _ = match to {
        Some(to) => socket.try_send_to(packet, to),
        None => socket.try_send(packet),
    };
}

/// One client address.
struct Flow {
    lane: Lane<Vec<u8>>,
    pacer: Pacer,
    tasks: [AbortHandle; 3],
    used: Instant,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn serve(way: Way, front: Arc<UdpSocket>) {
    let mut tasks = JoinSet::new();
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut buffer = vec![0u8; MAX_PACKET];
    loop {
        // Errors concern packets sent earlier, to a client that has closed its port.
        let Ok((size, from)) = front.recv_from(&mut buffer).await else { continue };
        // Collects the tasks that have ended.
        while tasks.try_join_next().is_some() {}
        if !flows.contains_key(&from) {
            if flows.len() >= MAX_FLOWS {
                let oldest = flows.iter().min_by_key(|(_, flow)| flow.used).map(|(a, _)| *a);
                oldest.and_then(|oldest| flows.remove(&oldest));
            }
            let Some(flow) = open(&way, &front, from, &mut tasks).await else { continue };
            flows.insert(from, flow);
        }
        let Some(flow) = flows.get_mut(&from) else { continue };
        flow.used = Instant::now();
        way.pass(To::Server, &mut flow.lane, &flow.pacer, &buffer[..size]);
    }
}

async fn open(way: &Way, front: &Arc<UdpSocket>, client: SocketAddr, tasks: &mut JoinSet<()>) -> Option<Flow> {
    let back = Arc::new(bind().ok()?);
    back.connect(way.key.server).await.ok()?;
    // A new socket is not writable before the runtime has polled it once, and the first packet would be lost.
    back.writable().await.ok()?;
    let (pacer, pacing) = Pacer::new(back.clone(), None, tasks);
    let (to_client, pacing_back) = Pacer::new(front.clone(), Some(client), tasks);
    let way_back = way.clone();
    let reading = tasks.spawn(async move {
        let mut lane = Lane::new(0x300 + way_back.key.pc as u64);
        let mut buffer = vec![0u8; MAX_PACKET];
        loop {
            // A stopped server refuses packets; it may restart.
            let Ok(size) = back.recv(&mut buffer).await else { continue };
            way_back.pass(To::Client, &mut lane, &to_client, &buffer[..size]);
        }
    });
    let lane = Lane::new(0x400 + way.key.pc as u64);
    Some(Flow { lane, pacer, tasks: [pacing, pacing_back, reading], used: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::livekit::proxy::switches::{Odds, Scope};
    use serde_json::json;
    use tokio::time::timeout;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn packets_go_both_ways_and_rules_hold() {
        let server = bind().unwrap();
        let client = bind().unwrap();
        let book = Arc::new(Book::default());
        let relays = Relays::new(book.clone());
        let address = server.local_addr().unwrap();
        let front = relays.front("anna", Pc::Publisher, address).unwrap();
        assert_eq!(relays.front("anna", Pc::Publisher, address), Some(front));
        assert_ne!(relays.front("anna", Pc::Subscriber, address), Some(front));
        assert_eq!(relays.front("anna", Pc::Publisher, "10.0.0.1:5".parse().unwrap()), None);

        let mut buffer = [0u8; 64];
        client.send_to(b"there", front).await.unwrap();
        let (size, back) = timeout(LIMIT, server.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..size], b"there");
        assert_ne!(back, client.local_addr().unwrap());
        server.send_to(b"and back", back).await.unwrap();
        let (size, from) = timeout(LIMIT, client.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..size], from), (&b"and back"[..], front));

        let odds = Odds { blackhole: true, ..Odds::default() };
        let scope = json!({ "identity": "anna", "pc": "publisher", "direction": "to_client" });
        book.media.set(Scope::read(&scope).unwrap(), odds);
        server.send_to(b"lost", back).await.unwrap();
        client.send_to(b"still", front).await.unwrap();
        let (size, _) = timeout(LIMIT, server.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..size], b"still");
        let dropped = || relays.describe().iter().filter_map(|r| r["to_client"]["dropped"].as_u64()).sum::<u64>();
        timeout(LIMIT, async {
            while dropped() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();

        book.media.clear("");
        book.media.set(Scope::read(&json!({})).unwrap(), Odds { delay_ms: 30, ..Odds::default() });
        let begun = Instant::now();
        server.send_to(b"late", back).await.unwrap();
        let (size, _) = timeout(LIMIT, client.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..size], b"late");
        assert!(begun.elapsed() >= Duration::from_millis(30));
        relays.tidy(Duration::ZERO);
        assert!(relays.describe().is_empty());
    }
}
