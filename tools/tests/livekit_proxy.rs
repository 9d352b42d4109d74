//! The fault proxy from a client's side: in front of an echo server, and in front of the LiveKit server where that is
//! installed.
//!
//! The only foreign program it starts is the LiveKit server that `make livekit` puts into target/tools. Without it,
//! that part is skipped with a message.

use futures_util::future::BoxFuture;
use offhook_proto::livekit::{
    leave_request::Action, signal_response::Message as Said, DisconnectReason, JoinResponse, SessionDescription,
    SignalResponse,
};
use offhook_tools::livekit::{
    config::Keys,
    process,
    proxy::{book::Book, relay::Relays, words, Proxy},
    stand::{Options, Stand},
    token::{self, TokenOptions},
};
use prost::Message;
use serde_json::{json, Value};
use soketto::{
    handshake::{server::Response, Client, Server, ServerResponse},
    Incoming, Receiver, Sender,
};
use std::{future::Future, io::Write, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

const LIMIT: Duration = Duration::from_secs(20);
/// How long a test waits to see that nothing arrives: ten times what it would take.
const QUIET: Duration = Duration::from_millis(100);

type Stream = Compat<TcpStream>;

async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("takes too long")
}

/// A WebSocket server that echoes messages.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = Server::new(stream.compat());
                let Ok(request) = server.receive_request().await else { return };
                let key = request.key();
                server.send_response(&Response::Accept { key, protocol: None }).await.unwrap();
                let (mut sender, mut receiver) = server.into_builder().finish();
                let mut message = Vec::new();
                while receiver.receive_data(&mut message).await.is_ok() {
                    if sender.send_binary(std::mem::take(&mut message)).await.is_err() || sender.flush().await.is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    port
}

struct Peer {
    sender: Sender<Stream>,
    /// Filled by a separate task, because a cancelled receive loses its partial message.
    messages: mpsc::UnboundedReceiver<Vec<u8>>,
}

impl Peer {
    /// Opens a socket; the error is the HTTP status of a refusal.
    async fn connect(port: u16, token: &str, more: &str) -> Result<Self, u16> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let path = format!("/rtc?access_token={token}&protocol=16&auto_subscribe=1{more}");
        let host = format!("127.0.0.1:{port}");
        let mut client = Client::new(stream.compat(), &host, &path);
        match within(client.handshake()).await.unwrap() {
            ServerResponse::Accepted { .. } => {}
            ServerResponse::Rejected { status_code } | ServerResponse::Redirect { status_code, .. } => {
                return Err(status_code)
            }
        }
        let (sender, receiver) = client.into_builder().finish();
        let (queue, messages) = mpsc::unbounded_channel();
        tokio::spawn(read(receiver, queue));
        Ok(Peer { sender, messages })
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.sender.send_binary(bytes).await.unwrap();
        self.sender.flush().await.unwrap();
    }

    /// The next message; None if the socket has ended.
    async fn receive(&mut self) -> Option<Vec<u8>> {
        within(self.messages.recv()).await
    }

    async fn is_quiet(&mut self) -> bool {
        timeout(QUIET, self.messages.recv()).await.is_err()
    }

    /// The first message for which `choose` returns a value.
    async fn wait<T>(&mut self, choose: impl Fn(Said) -> Option<T>) -> T {
        loop {
            let bytes = self.receive().await.expect("the socket ended");
            let message = SignalResponse::decode(&bytes[..]).unwrap().message;
            if let Some(found) = message.and_then(&choose) {
                return found;
            }
        }
    }
}

async fn read(mut receiver: Receiver<Stream>, queue: mpsc::UnboundedSender<Vec<u8>>) {
    let mut message = Vec::new();
    while let Ok(Incoming::Data(_)) = receiver.receive(&mut message).await {
        if queue.send(std::mem::take(&mut message)).is_err() {
            return;
        }
    }
}

fn token_for(keys: &Keys, identity: &str) -> String {
    token::join(keys, &TokenOptions { identity: identity.into(), room: "room".into(), ..TokenOptions::default() })
}

fn message(said: Said) -> Vec<u8> {
    SignalResponse { message: Some(said) }.encode_to_vec()
}

fn offer(id: u32) -> Vec<u8> {
    message(Said::Offer(SessionDescription { r#type: "offer".into(), sdp: "v=0\r\n".into(), id }))
}

fn state_of(book: &Book, identity: &str) -> Value {
    book.describe().into_iter().find(|r| r["identity"] == identity).unwrap_or_default()
}

/// Waits until `member` of the book's state of an identity is `want`.
async fn until(book: &Book, identity: &str, member: &str, want: Value) {
    let poll = async {
        while state_of(book, identity)[member] != want {
            sleep(Duration::from_millis(2)).await;
        }
    };
    within(poll).await;
}

#[tokio::test]
async fn before_an_echo() {
    let book = Arc::new(Book::default());
    let proxy = Proxy::start(book.clone(), Relays::new(book.clone()), 0, echo().await).await.unwrap();
    let keys = Keys::generate().unwrap();
    let (anna, bert) = (token_for(&keys, "anna"), token_for(&keys, "bert"));
    let ctl = |what: &str, body: Value| words::act(&book, what, &body).unwrap().unwrap();

    // Forwarded in both directions, and counted.
    let mut peer = Peer::connect(proxy.port, &anna, "&reconnect=1&sid=PA_x").await.unwrap();
    let mut other = Peer::connect(proxy.port, &bert, "").await.unwrap();
    let first = offer(7);
    peer.say(&first).await;
    assert_eq!(peer.receive().await, Some(first.clone()));
    let known = state_of(&book, "anna");
    assert_eq!(
        (&known["offers"], &known["to_client"]["offer"], &known["resume_asks"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(known["queries"][0]["query"]["sid"], "PA_x");
    assert!(!known.to_string().contains(&anna));

    // Half open: nothing passes, nothing is lost.
    assert_eq!(ctl("half_open", json!({ "identity": "anna" })), json!({ "sockets": 1 }));
    peer.say(b"\x70\x01").await;
    assert!(peer.is_quiet().await);
    other.say(b"\x70\x02").await;
    assert_eq!(other.receive().await.as_deref(), Some(&b"\x70\x02"[..]));
    ctl("heal", json!({ "identity": "anna" }));
    assert_eq!(peer.receive().await.as_deref(), Some(&b"\x70\x01"[..]));

    // Faults by rule: everything duplicated, or one kind dropped.
    ctl("signal", json!({ "identity": "anna", "direction": "to_client", "duplicate": 1.0 }));
    peer.say(b"\x70\x03").await;
    assert_eq!((peer.receive().await, peer.receive().await), (Some(b"\x70\x03".to_vec()), Some(b"\x70\x03".to_vec())));
    ctl("signal", json!({ "identity": "anna", "direction": "to_client", "drop": 1.0, "kinds": ["offer"] }));
    peer.say(&first).await;
    until(&book, "anna", "dropped", json!(1)).await;
    ctl("reset", json!({}));

    // Offers replayed, immediately and around the next JoinResponse.
    assert_eq!(ctl("replay", json!({ "identity": "anna", "count": 2 })), json!({ "sent": 2, "waiting": 0 }));
    assert_eq!((peer.receive().await, peer.receive().await), (Some(first.clone()), Some(first.clone())));
    assert_eq!(ctl("cut", json!({ "identity": "anna" })), json!({ "sockets": 1 }));
    assert_eq!(peer.receive().await, None);
    until(&book, "anna", "live", json!(0)).await;
    assert_eq!(ctl("replay", json!({ "identity": "anna" })), json!({ "sent": 0, "waiting": 1 }));
    let mut peer = Peer::connect(proxy.port, &anna, "").await.unwrap();
    let join = message(Said::Join(JoinResponse::default()));
    peer.say(&join).await;
    for expected in [&first, &join, &first] {
        assert_eq!(peer.receive().await.as_ref(), Some(expected));
    }

    // Offers held back and released.
    ctl("hold_offers", json!({ "identity": "anna", "on": true }));
    peer.say(&offer(8)).await;
    until(&book, "anna", "held", json!(1)).await;
    assert!(peer.is_quiet().await);
    assert_eq!(ctl("release", json!({ "identity": "anna" })), json!({ "sent": 1 }));
    assert_eq!(peer.receive().await, Some(offer(8)));

    // Garbage, refusals, a silent socket, a close.
    ctl("garbage", json!({ "identity": "anna", "bytes": "//8=", "text": "what" }));
    assert_eq!((peer.receive().await, peer.receive().await), (Some(vec![255, 255]), Some(b"what".to_vec())));
    ctl("refuse", json!({ "identity": "bert", "status": 401, "count": 1 }));
    assert_eq!(Peer::connect(proxy.port, &bert, "").await.err(), Some(401));
    assert!(Peer::connect(proxy.port, &bert, "").await.is_ok());
    ctl("silent", json!({ "identity": "bert", "count": 1 }));
    let mut mute = Peer::connect(proxy.port, &bert, "").await.unwrap();
    mute.say(b"\x70\x04").await;
    assert!(mute.is_quiet().await);
    assert_eq!(ctl("close", json!({ "identity": "anna", "code": 4000 })), json!({ "sockets": 1 }));
    assert_eq!(peer.receive().await, None);
    until(&book, "anna", "live", json!(0)).await;
}

/// Writes to stderr directly, because the test harness captures the output of passing tests.
fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: livekit: {why}");
}

/// A stand around the LiveKit server, or None if that is not installed.
async fn stand(name: &str, nodes: usize) -> Option<Arc<Stand>> {
    let target = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target"));
    let server = target.join("tools/livekit-server");
    if !server.is_file() {
        skipped("no target/tools/livekit-server (make livekit)");
        return None;
    }
    if nodes > 1 && process::find("redis-server").is_none() {
        skipped("no redis-server in PATH for a cluster");
        return None;
    }
    let options = Options { server, nodes, redis: false, proxy: true, out: target.join(name) };
    Some(Stand::start(&options).await.unwrap())
}

/// Runs a test with a stand, and ends the stand in any case.
async fn with_stand(
    name: &str,
    nodes: usize,
    test: impl FnOnce(Arc<Stand>) -> BoxFuture<'static, ()> + Send + 'static,
) {
    let Some(stand) = stand(name, nodes).await else { return };
    let result = tokio::spawn(test(stand.clone())).await;
    stand.end().await;
    result.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_real_server() {
    with_stand("livekit-test", 1, |stand| Box::pin(real_server(stand))).await;
}

async fn real_server(stand: Arc<Stand>) {
    let port = stand.proxies[0].port;
    let anna = token_for(&stand.keys, "anna");
    let mut peer = Peer::connect(port, &anna, "").await.unwrap();
    let join = peer.wait(|m| if let Said::Join(join) = m { Some(join) } else { None }).await;
    let urls: Vec<String> = join.ice_servers.into_iter().flat_map(|s| s.urls).collect();
    assert!(!urls.is_empty() && urls.iter().all(|u| u.starts_with("stun:127.0.0.1:")), "{urls:?}");

    // The server's candidates lead to a relay only.
    let candidate = |m| match m {
        Said::Trickle(trickle) if trickle.candidate_init.contains("candidate:") => Some(trickle.candidate_init),
        Said::Offer(offer) => offer.sdp.lines().find(|l| l.contains("candidate:")).map(str::to_owned),
        _ => None,
    };
    let candidate = peer.wait(candidate).await;
    let relays = stand.relays.describe();
    let front = relays[0]["front"].as_str().unwrap().replace(':', " ");
    let real = format!("127.0.0.1 {}", stand.nodes[0].lock().await.udp_port());
    assert!(candidate.contains(&front) && !candidate.contains(&real), "{candidate} {relays:?}");

    // The server disconnects the participant when it stops, and does not know it after the restart.
    let took = stand.nodes[0].lock().await.stop(Duration::from_millis(200)).await.unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}");
    // The server ends so fast that about one leave in ten is never written.
    let mut leaves = 0;
    while let Some(bytes) = peer.receive().await {
        if let Some(Said::Leave(leave)) = SignalResponse::decode(&bytes[..]).unwrap().message {
            assert_eq!((leave.reason(), leave.action()), (DisconnectReason::ServerShutdown, Action::Disconnect));
            leaves += 1;
        }
    }
    assert!(leaves <= 1);
    stand.nodes[0].lock().await.start().await.unwrap();
    let sid = join.participant.unwrap().sid;
    let mut peer = Peer::connect(port, &anna, &format!("&reconnect=1&sid={sid}")).await.unwrap();
    let leave = peer.wait(|m| if let Said::Leave(leave) = m { Some(leave) } else { None }).await;
    assert_eq!((leave.reason(), leave.action()), (DisconnectReason::StateMismatch, Action::Reconnect));
    let known = state_of(&stand.book, "anna");
    assert_eq!((&known["resume_asks"], &known["resumes"]), (&json!(1), &json!(0)));
    assert_eq!(known["leaves"].as_array().unwrap().len(), leaves + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_outlives_the_node_that_only_had_its_socket() {
    with_stand("livekit-test-cluster", 2, |stand| Box::pin(cluster(stand))).await;
}

async fn cluster(stand: Arc<Stand>) {
    let holder = stand.nodes[1].lock().await.node_id().unwrap();
    stand.redis.as_ref().unwrap().place("room", &holder).await.unwrap();
    let anna = token_for(&stand.keys, "anna");
    let mut peer = Peer::connect(stand.proxies[0].port, &anna, "").await.unwrap();
    let join = peer.wait(|m| if let Said::Join(join) = m { Some(join) } else { None }).await;
    assert_eq!(join.server_info.unwrap().node_id, holder);
    stand.nodes[0].lock().await.kill().await.unwrap();
    while peer.receive().await.is_some() {}
    let sid = join.participant.unwrap().sid;
    let more = format!("&reconnect=1&sid={sid}");
    let mut peer = Peer::connect(stand.proxies[1].port, &anna, &more).await.unwrap();
    peer.wait(|m| matches!(m, Said::Reconnect(_)).then_some(())).await;
    assert_eq!(state_of(&stand.book, "anna")["resumes"], 1);
}
