//! A small client of the SFU protocol for these tests: HTTP, WebSocket, Twirp, and two str0m peer connections.
//!
//! Deliberately simple and strict. It does not use the library.
#![allow(dead_code)]

pub mod media;

use futures_util::io::{AsyncRead, AsyncWrite};
use offhook_proto::{
    event::{self, sfu_event::EventPayload, sfu_request::RequestPayload, SfuEvent, SfuRequest},
    models, signal,
};
use prost::Message;
use serde_json::{json, Value};
use soketto::{
    connection::{Receiver, Sender},
    handshake::{Client as Handshake, ServerResponse},
    Incoming,
};
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

/// Timeout for every step of these tests.
pub const DEADLINE: Duration = Duration::from_secs(10);

pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(DEADLINE, work).await.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Response of one HTTP exchange on its own connection.
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| {
            let (n, v) = l.split_once(':')?;
            n.eq_ignore_ascii_case(name).then_some(v.trim())
        })
    }
}

pub fn address(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").expect("a URL").1;
    rest.find('/').map_or((rest, ""), |at| rest.split_at(at))
}

/// Sends a request. Returns `None` if the server closed the connection without a response.
pub async fn try_http(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
    let (host, path) = address(url);
    let mut stream = TcpStream::connect(host).await.ok()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    head += &format!("content-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all((head + "\r\n").as_bytes()).await.ok()?;
    // A server that rejects a body may stop reading it.
    let _ = stream.write_all(body).await;
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    let end = all.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8(all[..end].to_vec()).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Reply { status, head, body: all[end + 4..].to_vec() })
}

pub async fn http(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    within(url, try_http(method, url, headers, body)).await.unwrap_or_else(|| panic!("{url}: no answer"))
}

pub async fn ctl(base: &str, name: &str, arguments: Value) -> Value {
    let reply = http("POST", &format!("{base}/ctl/{name}"), &[], arguments.to_string().as_bytes()).await;
    assert_eq!(reply.status, 200, "{name}: {}", String::from_utf8_lossy(&reply.body));
    reply.json()
}

pub async fn state(base: &str) -> Value {
    ctl(base, "state", json!({})).await
}

/// Polls the state until it satisfies the condition.
pub async fn until(base: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    within(what, async {
        loop {
            let state = state(base).await;
            if fits(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}

/// The record of a live or ended session in the state.
pub fn session<'a>(state: &'a Value, session_id: &str) -> Option<&'a Value> {
    let mut all = ["sessions", "gone"].into_iter().flat_map(|k| state[k].as_array().expect("a list"));
    all.rfind(|s| s["session_id"] == session_id)
}

pub async fn join_call(base: &str, user: &str, call: &str, body: Value) -> Reply {
    let url = format!("{base}/api/v2/video/call/default/{call}/join?user_id={user}&api_key=key");
    http("POST", &url, &[("content-type", "application/json")], body.to_string().as_bytes()).await
}

pub type Stream = Compat<TcpStream>;

/// Opens a WebSocket.
pub async fn websocket(url: &str) -> (Sender<Stream>, Receiver<Stream>) {
    let (host, path) = address(url);
    let stream = TcpStream::connect(host).await.expect("a connection");
    stream.set_nodelay(true).expect("nodelay");
    let mut handshake = Handshake::new(stream.compat(), host, path);
    match handshake.handshake().await.expect("a handshake") {
        ServerResponse::Accepted { .. } => {}
        other => panic!("no upgrade: {other:?}"),
    }
    handshake.into_builder().finish()
}

/// Sends bytes in a text frame. They must be valid UTF-8.
pub async fn send_as_text<T: AsyncRead + AsyncWrite + Unpin>(sender: &mut Sender<T>, bytes: &[u8]) {
    // The WebSocket library sends text only from `str`. JSON is valid `str`, and so is protobuf with ASCII fields.
    sender.send_text(std::str::from_utf8(bytes).expect("text")).await.expect("sent");
    sender.flush().await.expect("flushed");
}

/// One session: credentials, socket, and received events.
pub struct Client {
    pub user: String,
    pub session_id: String,
    pub rpc: String,
    pub token: String,
    pub ws: String,
    pub sender: Sender<Stream>,
    pub receiver: Receiver<Stream>,
    pub join: event::JoinResponse,
    /// Events read while waiting for others.
    pub seen: Vec<EventPayload>,
}

pub fn join_request(token: &str, session_id: &str) -> event::JoinRequest {
    event::JoinRequest { token: token.into(), session_id: session_id.into(), ..Default::default() }
}

impl Client {
    /// Joins a call through the coordinator and one SFU.
    pub async fn join(base: &str, user: &str, call: &str) -> Client {
        let session = format!("session-{user}-{:x}", fastrand::u64(..));
        Client::join_as(base, user, call, json!({ "location": "auto" }), join_request("", &session)).await
    }

    pub async fn join_as(base: &str, user: &str, call: &str, body: Value, mut request: event::JoinRequest) -> Client {
        let reply = join_call(base, user, call, body).await;
        assert_eq!(reply.status, 201, "{}", String::from_utf8_lossy(&reply.body));
        let answer = reply.json();
        let text = |path: &str| answer.pointer(path).and_then(Value::as_str).expect("text").to_owned();
        let (ws, rpc) = (text("/credentials/server/ws_endpoint"), text("/credentials/server/url"));
        request.token = text("/credentials/token");
        Client::connect(user, &ws, &rpc, request).await
    }

    /// Opens the SFU's socket with given credentials.
    pub async fn connect(user: &str, ws: &str, rpc: &str, request: event::JoinRequest) -> Client {
        let (sender, receiver) = within("websocket", websocket(&format!("{ws}?attempt=0&user_id={user}"))).await;
        let mut client = Client {
            user: user.into(),
            session_id: request.session_id.clone(),
            rpc: rpc.into(),
            token: request.token.clone(),
            ws: ws.into(),
            sender,
            receiver,
            join: event::JoinResponse::default(),
            seen: Vec::new(),
        };
        client.send(RequestPayload::JoinRequest(request)).await;
        client.join = client
            .wait("a JoinResponse", |e| match e {
                EventPayload::JoinResponse(r) => Some(r.clone()),
                EventPayload::Error(e) => panic!("refused: {e:?}"),
                _ => None,
            })
            .await;
        client
    }

    pub async fn send(&mut self, payload: RequestPayload) {
        let bytes = SfuRequest { request_payload: Some(payload) }.encode_to_vec();
        self.sender.send_binary(&bytes).await.expect("sent");
        self.sender.flush().await.expect("flushed");
    }

    /// The next event, or `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<EventPayload> {
        next_event(&mut self.receiver).await
    }

    /// Waits for a matching event, already received or not. Other events are kept in order.
    pub async fn wait<T>(&mut self, what: &str, fits: impl Fn(&EventPayload) -> Option<T>) -> T {
        if let Some((at, found)) = self.seen.iter().enumerate().find_map(|(i, e)| Some((i, fits(e)?))) {
            self.seen.remove(at);
            return found;
        }
        within(what, async {
            loop {
                let event = self.next().await.unwrap_or_else(|| panic!("{what}: the socket ended"));
                if let Some(found) = fits(&event) {
                    return found;
                }
                self.seen.push(event);
            }
        })
        .await
    }

    pub async fn wait_offer(&mut self) -> event::SubscriberOffer {
        let fits = |e: &EventPayload| if let EventPayload::SubscriberOffer(o) = e { Some(o.clone()) } else { None };
        self.wait("a SubscriberOffer", fits).await
    }

    pub async fn leave(&mut self) {
        let leave = event::LeaveCallRequest { session_id: self.session_id.clone(), reason: "test".into() };
        self.send(RequestPayload::LeaveCallRequest(leave)).await;
    }

    /// Calls one RPC in protobuf.
    pub async fn rpc<Q: Message, A: Message + Default>(&self, method: &str, request: &Q) -> A {
        let reply = self.rpc_raw(method, "application/protobuf", &request.encode_to_vec()).await;
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
        A::decode(&reply.body[..]).expect("a protobuf answer")
    }

    pub async fn rpc_raw(&self, method: &str, kind: &str, body: &[u8]) -> Reply {
        let url = format!("{}/stream.video.sfu.signal.SignalServer/{method}", self.rpc);
        http("POST", &url, &[("content-type", kind), ("authorization", &self.token)], body).await
    }

    pub async fn set_publisher(&self, sdp: String, tracks: Vec<models::TrackInfo>) -> signal::SetPublisherResponse {
        let request = signal::SetPublisherRequest { sdp, session_id: self.session_id.clone(), tracks };
        self.rpc("SetPublisher", &request).await
    }

    pub async fn unmute(&self, kind: models::TrackType, muted: bool) -> signal::UpdateMuteStatesResponse {
        let mute_states = vec![signal::TrackMuteState { track_type: kind as i32, muted }];
        let request = signal::UpdateMuteStatesRequest { session_id: self.session_id.clone(), mute_states };
        self.rpc("UpdateMuteStates", &request).await
    }

    pub async fn answer(&self, negotiation_id: u32, sdp: String) -> signal::SendAnswerResponse {
        let peer_type = models::PeerType::Subscriber as i32;
        let session_id = self.session_id.clone();
        self.rpc("SendAnswer", &signal::SendAnswerRequest { peer_type, sdp, session_id, negotiation_id }).await
    }
}

pub async fn next_event(receiver: &mut Receiver<Stream>) -> Option<EventPayload> {
    loop {
        let mut bytes = Vec::new();
        match receiver.receive(&mut bytes).await {
            Ok(Incoming::Data(_)) => {}
            Ok(Incoming::Pong(_)) => continue,
            _ => return None,
        }
        // Skip malformed messages, which some tests send on purpose.
        if let Ok(SfuEvent { event_payload: Some(payload) }) = SfuEvent::decode(&bytes[..]) {
            return Some(payload);
        }
    }
}
