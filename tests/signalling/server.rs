//! Scripted servers: raw HTTP replies and raw WebSocket frames.

use offhook::signalling::{Net, NetOptions};
use soketto::handshake::{server::Response, Server};
use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::compat::TokioAsyncReadCompatExt;

/// Every wait of these tests ends here at the latest.
pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("the test's deadline passed")
}

pub fn net() -> Arc<Net> {
    Arc::new(Net::new(NetOptions::default()).unwrap())
}

/// A listener that hands each connection to `script`; counts them.
pub async fn serve<F, S>(script: S) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(script(stream));
        }
    });
    (address, count)
}

/// Accepts connections and never says a word.
pub async fn silent() -> SocketAddr {
    serve(|stream| async move {
        let _hold = stream;
        std::future::pending::<()>().await
    })
    .await
    .0
}

/// One HTTP request as it came in.
#[derive(Debug)]
pub struct Seen {
    /// Request line and headers.
    pub head: String,
    pub body: Vec<u8>,
}

/// Answers every request with the same bytes and reports what came; keeps connections open.
pub async fn http(reply: Vec<u8>) -> (SocketAddr, mpsc::Receiver<Seen>, Arc<AtomicUsize>) {
    let (report, seen) = mpsc::channel(64);
    let (address, count) = serve(move |mut stream| {
        let (reply, report) = (reply.clone(), report.clone());
        async move {
            while let Some(request) = read_request(&mut stream).await {
                let _ = report.try_send(request);
                if stream.write_all(&reply).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (address, seen, count)
}

/// A reply with a body and further header lines (each ending in CRLF).
pub fn reply(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

async fn read_request(stream: &mut TcpStream) -> Option<Seen> {
    let head = read_head(stream).await?;
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse().unwrap()))
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen { head, body })
}

/// Answers a WebSocket upgrade, with `early` right behind the answer in the same write. Returns the
/// request's head.
pub async fn upgrade(stream: &mut TcpStream, early: &[u8]) -> Option<String> {
    let head = read_head(stream).await?;
    upgrade_to(stream, &head, early).await?;
    Some(head)
}

/// The same for a request that was read.
pub async fn upgrade_to(stream: &mut TcpStream, head: &str, early: &[u8]) -> Option<()> {
    // The library's server half computes the answer, in memory, so that it can be sent in one piece.
    let (mut near, far) = tokio::io::duplex(64 << 10);
    near.write_all(head.as_bytes()).await.ok()?;
    let mut server = Server::new(far.compat());
    let key = server.receive_request().await.ok()?.key();
    server.send_response(&Response::Accept { key, protocol: None }).await.ok()?;
    drop(server);
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.ok()?;
    answer.extend_from_slice(early);
    stream.write_all(&answer).await.ok()
}

/// A WebSocket server: upgrades with `early` behind it, then runs `script`.
pub async fn ws<F, S>(early: Vec<u8>, script: S) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F + Clone + Send + 'static,
{
    let accept = move |mut stream: TcpStream| {
        let (early, script) = (early.clone(), script.clone());
        async move {
            if upgrade(&mut stream, &early).await.is_some() {
                script(stream).await;
            }
        }
    };
    serve(accept).await.0
}

pub const TEXT: u8 = 0x81;
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// A frame as a server sends it; `first` holds FIN and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xffff => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// Reads one frame of the client, which must be masked: first byte and payload.
pub async fn read_frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = stream.read_u8().await.ok()?;
    let second = stream.read_u8().await.ok()?;
    assert!(second & 0x80 != 0, "a client masks its frames");
    let length = match second & 0x7f {
        126 => stream.read_u16().await.ok()? as usize,
        127 => stream.read_u64().await.ok()? as usize,
        length => length as usize,
    };
    let mut mask = [0; 4];
    stream.read_exact(&mut mask).await.ok()?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await.ok()?;
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= mask[index % 4];
    }
    Some((first, payload))
}

/// The code and reason of a close frame's payload.
pub fn close_of(payload: &[u8]) -> (u16, String) {
    (u16::from_be_bytes([payload[0], payload[1]]), String::from_utf8_lossy(&payload[2..]).into_owned())
}
