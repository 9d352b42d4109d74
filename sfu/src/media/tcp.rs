//! ICE over TCP (RFC 6544), passive side: one port for all peer connections.
//!
//! A new connection belongs to no peer connection. The user name fragment of its first STUN binding request names one,
//! and that one's engine checks the request's integrity before it accepts the connection.
//! Must not know: engines, rooms or messages.

use crate::media::{
    address::{plain, LocalAddress},
    frames::{framed, local_ufrag, MAX_FIRST_FRAME, MAX_FRAME},
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        tcp::{OwnedReadHalf, OwnedWriteHalf},
        TcpListener, TcpSocket, TcpStream,
    },
    sync::{mpsc, OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::{timeout, timeout_at, Instant},
};

/// Time within which a peer connection must accept a new connection.
const FIRST: Duration = Duration::from_secs(5);
/// Binding requests read before a connection is given up. A client repeats its request while its user name fragment is
/// not known here yet, as during an ICE restart.
const MAX_FIRST_FRAMES: usize = 32;
/// An accepted connection without a packet for this long is closed. ICE sends checks more often.
const IDLE: Duration = Duration::from_secs(30);
/// Time for one frame to be written. A client that does not read for longer is disconnected.
const STALL: Duration = Duration::from_secs(10);
/// Time for the last frames, once the peer connection has ended.
const LINGER: Duration = Duration::from_secs(1);
/// Frames that wait to be written to one connection. More are dropped.
const OUTGOING: usize = 256;
/// Packets and connections that wait for one peer connection. Then reading pauses.
const INCOMING: usize = 64;
/// Bytes read ahead from a connection.
const READ_AHEAD: usize = 4096;
/// Size of the system's buffers of a connection, each way.
const SYSTEM_BUFFER: u32 = 256 << 10;
const BACKLOG: u32 = 1024;

/// Counters of all connections.
#[derive(Debug, Default)]
pub struct TcpStats {
    pub accepted: AtomicU64,
    pub assigned: AtomicU64,
    pub refused: AtomicU64,
    /// Closed to make room for newer connections.
    pub evicted: AtomicU64,
    /// Waiting for their first binding request now.
    pub waiting: AtomicU64,
}

/// What a peer connection receives from its TCP connections.
#[derive(Debug)]
pub enum FromTcp {
    /// A new connection whose first packet names this peer connection.
    Opened(Opened),
    Packet(u64, Vec<u8>),
    Closed(u64),
}

/// A connection that no peer connection has accepted yet. Closed when dropped.
#[derive(Debug)]
pub struct Opened {
    pub local: IpAddr,
    pub remote: SocketAddr,
    pub first: Vec<u8>,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    permit: OwnedSemaphorePermit,
}

/// The peer connections that accept TCP connections, by their local user name fragment.
#[derive(Debug)]
pub struct Registry {
    peers: Mutex<HashMap<String, (u64, mpsc::Sender<FromTcp>)>>,
    ids: AtomicU64,
    /// One for each connection beyond its first binding request.
    permits: Arc<Semaphore>,
    pub stats: TcpStats,
}

impl Registry {
    /// `most` connections can be assigned to peer connections at once.
    pub fn new(most: usize) -> Self {
        Registry {
            peers: Mutex::default(),
            ids: AtomicU64::new(1),
            permits: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            stats: TcpStats::default(),
        }
    }

    /// Adds a peer connection, which has no user name fragment yet.
    pub fn register(self: &Arc<Self>) -> (Registration, mpsc::Receiver<FromTcp>) {
        let (sender, receiver) = mpsc::channel(INCOMING);
        let id = self.ids.fetch_add(1, Relaxed);
        (Registration { registry: self.clone(), id, sender, ufrag: String::new() }, receiver)
    }

    fn find(&self, ufrag: &str) -> Option<mpsc::Sender<FromTcp>> {
        self.peers.lock().get(ufrag).map(|(_, sender)| sender.clone())
    }

    /// The number of peer connections that accept connections.
    pub fn peers(&self) -> usize {
        self.peers.lock().len()
    }

    /// The number of connections assigned now.
    pub fn in_use(&self, most: usize) -> usize {
        most.saturating_sub(self.permits.available_permits())
    }
}

/// One peer connection in the registry. Removed when dropped.
#[derive(Debug)]
pub struct Registration {
    registry: Arc<Registry>,
    id: u64,
    sender: mpsc::Sender<FromTcp>,
    ufrag: String,
}

impl Registration {
    /// Sets the user name fragment that the engine accepts now.
    pub fn set_ufrag(&mut self, ufrag: &str) {
        if self.ufrag != ufrag {
            self.remove();
            self.ufrag = ufrag.to_owned();
            self.registry.peers.lock().insert(ufrag.to_owned(), (self.id, self.sender.clone()));
        }
    }

    fn remove(&self) {
        let mut peers = self.registry.peers.lock();
        if peers.get(&self.ufrag).is_some_and(|(id, _)| *id == self.id) {
            peers.remove(&self.ufrag);
        }
    }

    /// Starts to read and write a connection that the engine has accepted. Its packets arrive at the receiver of
    /// `register`, until it ends or the returned handle is dropped.
    pub fn run(&self, opened: Opened) -> TcpHandle {
        let id = self.registry.ids.fetch_add(1, Relaxed);
        let (frames, outgoing) = mpsc::channel(OUTGOING);
        self.registry.stats.assigned.fetch_add(1, Relaxed);
        tokio::spawn(carry(id, opened, outgoing, self.sender.clone()));
        TcpHandle { id, frames }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Writes to a connection. Dropping it closes the connection after what was written.
#[derive(Debug)]
pub struct TcpHandle {
    pub id: u64,
    frames: mpsc::Sender<Vec<u8>>,
}

impl TcpHandle {
    /// Sends a packet. Returns false if it is dropped, because the client does not read fast enough.
    pub fn send(&self, packet: &[u8]) -> bool {
        framed(packet).is_some_and(|frame| self.frames.try_send(frame).is_ok())
    }
}

/// Binds one port on all addresses. Port 0 picks one that is free on all of them.
pub fn bind(addresses: &[LocalAddress], port: u16) -> io::Result<(u16, Vec<TcpListener>)> {
    let mut attempts = 16;
    loop {
        attempts -= 1;
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut bound = port;
        let result: io::Result<()> = addresses.iter().try_for_each(|address| {
            let listener = listen(address.with_port(bound))?;
            bound = listener.local_addr()?.port();
            listeners.push(listener);
            Ok(())
        });
        match result {
            Ok(()) => return Ok((bound, listeners)),
            Err(e) if port == 0 && attempts > 0 && e.kind() == io::ErrorKind::AddrInUse => {}
            Err(e) => return Err(e),
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit these. They bound what the system holds for a client that does not read.
    socket.set_send_buffer_size(SYSTEM_BUFFER)?;
    socket.set_recv_buffer_size(SYSTEM_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts connections until dropped. At most `most` wait for their first binding request; a newer connection replaces
/// the oldest of them, so that those who only wait cannot block the others.
pub async fn serve(listener: TcpListener, registry: Arc<Registry>, most: usize) {
    let mut waiting = Waiting(VecDeque::new());
    loop {
        let Ok((stream, remote)) = listener.accept().await else {
            // Probably out of file descriptors. Retry; others may be closed in the meantime.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        registry.stats.accepted.fetch_add(1, Relaxed);
        while waiting.0.front().is_some_and(AbortHandle::is_finished) {
            waiting.0.pop_front();
        }
        if waiting.0.len() >= most {
            waiting.0.retain(|task| !task.is_finished());
        }
        if waiting.0.len() >= most {
            if let Some(oldest) = waiting.0.pop_front() {
                oldest.abort();
                registry.stats.evicted.fetch_add(1, Relaxed);
            }
        }
        let task = tokio::spawn(first(stream, remote, registry.clone()));
        waiting.0.push_back(task.abort_handle());
    }
}

/// Connections that wait for their first binding request. Closed when dropped.
struct Waiting(VecDeque<AbortHandle>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}

/// Counts a waiting connection, also if its task is aborted.
struct Counted(Arc<Registry>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.stats.waiting.fetch_sub(1, Relaxed);
    }
}

/// Passes a new connection to the peer connection that its first binding request names, or closes it.
async fn first(stream: TcpStream, remote: SocketAddr, registry: Arc<Registry>) {
    registry.stats.waiting.fetch_add(1, Relaxed);
    let _counted = Counted(registry.clone());
    if timeout(FIRST, assign(stream, remote, &registry)).await.ok().flatten().is_none() {
        registry.stats.refused.fetch_add(1, Relaxed);
    }
}

async fn assign(stream: TcpStream, remote: SocketAddr, registry: &Registry) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let local = plain(stream.local_addr().ok()?).ip();
    let (reader, writer) = stream.into_split();
    let mut reader = BufReader::with_capacity(READ_AHEAD, reader);
    for _ in 0..MAX_FIRST_FRAMES {
        let first = read(&mut reader, MAX_FIRST_FRAME).await.ok()?;
        if let Some(peer) = registry.find(local_ufrag(&first)?) {
            let permit = registry.permits.clone().try_acquire_owned().ok()?;
            let remote = plain(remote);
            return peer.send(FromTcp::Opened(Opened { local, remote, first, reader, writer, permit })).await.ok();
        }
    }
    None
}

/// Reads and writes one connection until either side ends.
async fn carry(id: u64, opened: Opened, outgoing: mpsc::Receiver<Vec<u8>>, peer: mpsc::Sender<FromTcp>) {
    let Opened { mut reader, writer, permit, .. } = opened;
    let reading = async {
        while let Ok(Ok(packet)) = timeout(IDLE, read(&mut reader, MAX_FRAME)).await {
            if peer.send(FromTcp::Packet(id, packet)).await.is_err() {
                // The peer connection has ended. Its last frames are still written.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = write(writer, outgoing) => {}
    }
    drop((reader, permit));
    let _ = peer.send(FromTcp::Closed(id)).await;
}

/// The next packet. Empty frames, which keep a connection alive, are skipped.
async fn read(reader: &mut BufReader<OwnedReadHalf>, most: usize) -> io::Result<Vec<u8>> {
    loop {
        let length = usize::from(reader.read_u16().await?);
        if length > most {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if length > 0 {
            let mut packet = vec![0; length];
            reader.read_exact(&mut packet).await?;
            return Ok(packet);
        }
    }
}

/// Writes frames until the peer connection ends, or the client does not read.
async fn write(mut stream: OwnedWriteHalf, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    let mut end = None;
    while let Some(frame) = outgoing.recv().await {
        if outgoing.is_closed() {
            end.get_or_insert_with(|| Instant::now() + LINGER);
        }
        let limit = end.unwrap_or_else(|| Instant::now() + STALL);
        if !matches!(timeout_at(limit, stream.write_all(&frame)).await, Ok(Ok(()))) {
            return;
        }
    }
    let _ = stream.shutdown().await;
}
