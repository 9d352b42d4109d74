//! The subset of the SFU's protocol needed to join a call, publish one track and receive another one.
//!
//! Must not know: peer connections.

use futures_util::io::{AsyncRead, AsyncWrite};
use offhook_proto::{
    event::{
        sfu_event::EventPayload, sfu_request::RequestPayload, HealthCheckRequest, JoinRequest, SfuEvent, SfuRequest,
        SubscriberOffer,
    },
    models::{PeerType, TrackInfo, TrackType},
    signal::{SendAnswerRequest, SendAnswerResponse, SetPublisherRequest, SetPublisherResponse},
};
use prost::Message;
use serde_json::Value;
use soketto::{
    connection::{Receiver, Sender},
    handshake::{Client as Handshake, ServerResponse},
    Incoming,
};
use std::{fmt::Display, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

pub type Result<T> = std::result::Result<T, String>;

const HEALTH: Duration = Duration::from_secs(5);
const SERVICE: &str = "stream.video.sfu.signal.SignalServer";

pub fn with_context(what: &'static str) -> impl Fn(&dyn Display) -> String {
    move |e| format!("{what}: {e}")
}

fn address(url: &str) -> Result<(&str, &str)> {
    let rest = url.split_once("://").ok_or_else(|| format!("not a URL: {url}"))?.1;
    Ok(rest.find('/').map_or((rest, ""), |at| rest.split_at(at)))
}

/// One POST on its own connection.
async fn post(url: &str, kind: &str, token: &str, body: &[u8]) -> Result<Vec<u8>> {
    let (host, path) = address(url)?;
    let context = with_context("HTTP");
    let mut stream = TcpStream::connect(host).await.map_err(|e| context(&e))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         authorization: {token}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.map_err(|e| context(&e))?;
    stream.write_all(body).await.map_err(|e| context(&e))?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.map_err(|e| context(&e))?;
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").ok_or("HTTP: incomplete response")?;
    let head = String::from_utf8_lossy(&all[..end]);
    if !head.split(' ').nth(1).is_some_and(|status| status.starts_with('2')) {
        return Err(format!("{url}: {head}"));
    }
    Ok(all.split_off(end + 4))
}

/// A session that the SFU has accepted.
pub struct Session {
    id: String,
    rpc: String,
    token: String,
    sender: Sender<Compat<TcpStream>>,
    /// Offers from the SFU, in order.
    pub offers: mpsc::Receiver<SubscriberOffer>,
}

impl Session {
    pub async fn join(base: &str, user: &str, call: &str) -> Result<Self> {
        let url = format!("{base}/api/v2/video/call/default/{call}/join?user_id={user}&api_key=key");
        let answer = post(&url, "application/json", "development", br#"{"location":"auto"}"#).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|e| with_context("the coordinator")(&e))?;
        let text = |path: &str| {
            answer
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
                .ok_or_else(|| format!("no {path}: {answer}"))
        };
        let (ws, rpc, token) =
            (text("/credentials/server/ws_endpoint")?, text("/credentials/server/url")?, text("/credentials/token")?);
        let (mut sender, mut receiver) = websocket(&format!("{ws}?attempt=0&user_id={user}")).await?;
        let id = format!("session-{user}-{call}");
        let join = JoinRequest { token: token.clone(), session_id: id.clone(), ..Default::default() };
        send(&mut sender, RequestPayload::JoinRequest(join)).await?;
        loop {
            match next(&mut receiver).await? {
                EventPayload::JoinResponse(_) => break,
                EventPayload::Error(e) => return Err(format!("refused: {e:?}")),
                _ => {}
            }
        }
        let (found, offers) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok(event) = next(&mut receiver).await {
                if let EventPayload::SubscriberOffer(offer) = event {
                    if found.send(offer).await.is_err() {
                        break;
                    }
                }
            }
        });
        Ok(Self { id, rpc, token, sender, offers })
    }

    async fn call<A: Message + Default>(&self, method: &str, request: &impl Message) -> Result<A> {
        let url = format!("{}/{SERVICE}/{method}", self.rpc);
        let answer = post(&url, "application/protobuf", &self.token, &request.encode_to_vec()).await?;
        A::decode(&answer[..]).map_err(|e| with_context("an RPC")(&e))
    }

    /// Publishes one audio track. Returns the SFU's answer.
    pub async fn publish(&self, sdp: String, mid: String) -> Result<String> {
        let track = TrackInfo { track_type: TrackType::Audio as i32, mid, ..Default::default() };
        let request = SetPublisherRequest { sdp, session_id: self.id.clone(), tracks: vec![track] };
        Ok(self.call::<SetPublisherResponse>("SetPublisher", &request).await?.sdp)
    }

    pub async fn answer(&self, negotiation_id: u32, sdp: String) -> Result<()> {
        let peer_type = PeerType::Subscriber as i32;
        let request = SendAnswerRequest { peer_type, sdp, session_id: self.id.clone(), negotiation_id };
        self.call::<SendAnswerResponse>("SendAnswer", &request).await.map(drop)
    }

    /// Sends periodic health checks until the connection ends.
    pub async fn keep_alive(mut self) {
        while send(&mut self.sender, RequestPayload::HealthCheckRequest(HealthCheckRequest {})).await.is_ok() {
            tokio::time::sleep(HEALTH).await;
        }
    }
}

async fn websocket(url: &str) -> Result<(Sender<Compat<TcpStream>>, Receiver<Compat<TcpStream>>)> {
    let (host, path) = address(url)?;
    let context = with_context("WebSocket");
    let stream = TcpStream::connect(host).await.map_err(|e| context(&e))?;
    stream.set_nodelay(true).map_err(|e| context(&e))?;
    let mut handshake = Handshake::new(stream.compat(), host, path);
    match handshake.handshake().await.map_err(|e| context(&e))? {
        ServerResponse::Accepted { .. } => {}
        other => return Err(format!("WebSocket: {other:?}")),
    }
    Ok(handshake.into_builder().finish())
}

async fn send<T: AsyncRead + AsyncWrite + Unpin>(sender: &mut Sender<T>, payload: RequestPayload) -> Result<()> {
    let bytes = SfuRequest { request_payload: Some(payload) }.encode_to_vec();
    sender.send_binary(&bytes).await.map_err(|e| with_context("WebSocket")(&e))?;
    sender.flush().await.map_err(|e| with_context("WebSocket")(&e))
}

async fn next<T: AsyncRead + AsyncWrite + Unpin>(receiver: &mut Receiver<T>) -> Result<EventPayload> {
    loop {
        let mut bytes = Vec::new();
        match receiver.receive(&mut bytes).await.map_err(|e| with_context("WebSocket")(&e))? {
            Incoming::Data(_) => {}
            Incoming::Pong(_) => continue,
            Incoming::Closed(_) => return Err("WebSocket: closed".to_owned()),
        }
        if let Ok(SfuEvent { event_payload: Some(payload) }) = SfuEvent::decode(&bytes[..]) {
            return Ok(payload);
        }
    }
}
