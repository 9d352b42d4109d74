//! The fault proxy between clients and one node: it forwards signalling and media, and injects faults on request.
//!
//! `head` and `frame` parse, `wire` and `candidates` rewrite, `socket` and `relay` forward, `switches` decides, `book`
//! stores, `words` implements the control API. The proxy contacts loopback addresses only.

pub mod book;
pub mod candidates;
pub mod frame;
pub mod head;
pub mod relay;
pub mod socket;
pub mod switches;
pub mod wire;
pub mod words;

use book::{Book, Way};
use relay::Relays;
use socket::{Place, Side};
use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{copy_bidirectional, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::AbortHandle,
    time::{interval, timeout},
};

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 4096;
/// Limit for a client to send its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Limit for a server to answer an upgrade; with a dead node in its cluster it tries for about ten seconds.
const UPGRADE_LIMIT: Duration = Duration::from_secs(60);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long relays outlive the last socket: the client may resume.
const RELAY_GRACE: Duration = Duration::from_secs(60);
const TIDY: Duration = Duration::from_secs(5);
/// How long a request is left without an answer.
const HANG_LIMIT: Duration = Duration::from_secs(120);

/// Locks a mutex even if it is poisoned.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running proxy. Drop ends it.
#[derive(Debug)]
pub struct Proxy {
    pub port: u16,
    tasks: [AbortHandle; 2],
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Proxy {
    /// Listens on a free loopback port for clients of the server at `target`, which is node `node`.
    pub async fn start(book: Arc<Book>, relays: Arc<Relays>, node: usize, target: u16) -> Result<Self, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let tidy = relays.clone();
        let tidying = tokio::spawn(async move {
            let mut ticks = interval(TIDY);
            loop {
                ticks.tick().await;
                tidy.tidy(RELAY_GRACE);
            }
        });
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let accepting = tokio::spawn(async move {
            loop {
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let Ok((client, _)) = listener.accept().await else { continue };
                let (book, relays) = (book.clone(), relays.clone());
                tokio::spawn(async move {
                    // Invalid requests get no response.
                    let _ = connection(book, relays, node, target, client).await;
                    drop(place);
                });
            }
        });
        Ok(Proxy { port, tasks: [accepting.abort_handle(), tidying.abort_handle()] })
    }
}

async fn connection(
    book: Arc<Book>,
    relays: Arc<Relays>,
    node: usize,
    target: u16,
    mut client: TcpStream,
) -> Result<(), String> {
    let say = |e: std::io::Error| e.to_string();
    client.set_nodelay(true).map_err(say)?;
    let mut early = Vec::new();
    let head = timeout(REQUEST_LIMIT, head::read(&mut client, &mut early)).await.map_err(|e| e.to_string())??;
    let Some(request) = head else { return Ok(()) };
    let identity = request.identity();
    let signals = request.path().starts_with("/rtc");
    let way = signals.then(|| book.socket_rule(&identity, request.path(), request.upgrades())).flatten();
    match way {
        Some(Way::Refuse(status)) => return refuse(client, status).await,
        Some(Way::Hang) => {
            let _ = timeout(HANG_LIMIT, gone(&client)).await;
            return Ok(());
        }
        Some(Way::Silent) | None => {}
    }
    let connected = timeout(CONNECT_LIMIT, TcpStream::connect((Ipv4Addr::LOCALHOST, target))).await;
    let Ok(Ok(mut server)) = connected else {
        // A port without a server would refuse the connection; a reset is the nearest equivalent.
        let _ = client.set_zero_linger();
        return Ok(());
    };
    server.set_nodelay(true).map_err(say)?;
    server.write_all(&request.forward()).await.map_err(say)?;
    if !request.upgrades() {
        server.write_all(&early).await.map_err(say)?;
        return copy_bidirectional(&mut client, &mut server).await.map(drop).map_err(say);
    }
    let mut behind = Vec::new();
    let answer = tokio::select! {
        answer = timeout(UPGRADE_LIMIT, head::read(&mut server, &mut behind)) => answer.map_err(|e| e.to_string())??,
        // The client has closed and does not wait for the response any more.
        () = gone(&client) => return Ok(()),
    };
    let Some(answer) = answer else {
        let _ = client.set_zero_linger();
        return Ok(());
    };
    client.write_all(&answer.as_it_came()).await.map_err(say)?;
    if answer.status() != 101 {
        client.write_all(&behind).await.map_err(say)?;
        return copy_bidirectional(&mut client, &mut server).await.map(drop).map_err(say);
    }
    let path = request.path().to_owned();
    let place = Place { book, relays, identity, node, path, query: request.query() };
    let (client, server) = (Side { stream: client, early }, Side { stream: server, early: behind });
    socket::run(place, client, server, way == Some(Way::Silent)).await;
    Ok(())
}

/// Returns when the client has closed. Bytes that it sends meanwhile stay unread.
async fn gone(client: &TcpStream) {
    let mut byte = [0u8; 1];
    match client.peek(&mut byte).await {
        Ok(0) | Err(_) => {}
        // It sends before it gets a response, so it is alive; its end is not visible behind unread bytes.
        Ok(_) => std::future::pending().await,
    }
}

async fn refuse(mut client: TcpStream, status: u16) -> Result<(), String> {
    let body = "refused by the test stand";
    let text = format!(
        "HTTP/1.1 {status} Refused\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    client.write_all(text.as_bytes()).await.map_err(|e| e.to_string())?;
    client.shutdown().await.map_err(|e| e.to_string())?;
    // Gives the client time to read the response.
    let _ = timeout(CONNECT_LIMIT, gone(&client)).await;
    Ok(())
}
