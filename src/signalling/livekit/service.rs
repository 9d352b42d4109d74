//! Combines server list, signalling session and socket into one [`Protocol`]. Must not know: rules, who joins and why.

use super::{
    data,
    outgoing::{self, PROTOCOL},
    server_list::ServerList,
    signal_session::*,
    wire,
};
use crate::core::model::*;
use crate::error::Secret;
use crate::signalling::{
    net::HttpCall,
    protocol::{CallFacts, Channel, Link, LinkOptions, LinkReceiver, Protocol, Signalling, SocketIn},
    text,
    ws::{self, SendError, WsIn, WsKind, WsLimits, WsReceiver, WsSender},
    Net,
};
use async_trait::async_trait;
use bytes::Bytes;
use hyper::header::{HeaderValue, AUTHORIZATION};
use offhook_proto::livekit as pb;
use parking_lot::Mutex;
use prost::Message;
use std::{
    collections::{HashMap, VecDeque},
    sync::{
        atomic::{AtomicU32, Ordering},
        Arc,
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{oneshot, watch},
    time::{timeout, Instant},
};
use url::Url;

/// Default size limit of a message: fits the join of a room with 3,000 participants, each with 4 KiB of metadata.
pub const MAX_MESSAGE: usize = 16 << 20;
/// Timeout of the request for the reason of a refusal.
const WHY: Duration = Duration::from_secs(2);

static DIALECT: Dialect = Dialect {
    name: "LiveKit",
    capabilities: Capabilities::DATA
        .with(Capabilities::TEXT)
        .with(Capabilities::RPC)
        .with(Capabilities::ATTRIBUTES)
        .with(Capabilities::ROOM)
        .with(Capabilities::SUBSCRIPTIONS),
    subscriber_restart: false,
    candidates_first: true,
    identity_is_unique: true,
    // Without the subscriber's connection the server does not announce this participant to the others.
    subscriber_stays: true,
    admits_at_socket: true,
    resume_introduces: true,
    ids_in_paths: false,
    data_channels: true,
    tracks_end_in_sdp: true,
    tracks_have_names: true,
    // A second answer to the same offer makes the session fail.
    numbered_offers: true,
    edge_failures: 1,
    // A cluster that has lost a node delays the upgrade, three seconds at a time, until it detects the loss.
    socket_open: Duration::from_secs(10),
    // Lost media is the first sign that the room's node has failed: the socket may be connected to another node.
    media_silence: Some(Duration::from_secs(4)),
    ice_grace: Duration::from_millis(500),
};

/// A client's LiveKit service.
#[derive(Clone, Debug)]
pub struct LiveKitService {
    net: Arc<Net>,
    servers: Arc<ServerList>,
    limits: WsLimits,
}

impl LiveKitService {
    /// `urls`: one or more servers of one service, separated by white space, tried in order. Contacts no server.
    ///
    /// # Errors
    /// As [`Net::url`].
    pub fn new(net: Arc<Net>, urls: &str, limits: WsLimits) -> Result<Self, Failure> {
        let servers = Arc::new(ServerList::new(&net, urls)?);
        Ok(Self { net, servers, limits })
    }

    /// The properties of this protocol.
    pub fn dialect() -> &'static Dialect {
        &DIALECT
    }
}

impl Protocol for LiveKitService {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn signalling(&self, call: CallFacts) -> Arc<dyn Signalling> {
        let state = SessionState { session: SignalSession::new(call.auto_subscribe), link: 0, waiting: HashMap::new() };
        Arc::new(LiveKitCall {
            service: self.clone(),
            call,
            state: Arc::new(Mutex::new(state)),
            newest: watch::Sender::new(0),
            sent: AtomicU32::new(0),
        })
    }

    fn call_of(&self, token: &Secret) -> Option<String> {
        super::token::read(token).map(|claims| claims.room).filter(|room| !room.is_empty())
    }
}

/// A call's signalling session, and its pending replies.
#[derive(Debug)]
struct SessionState {
    session: SignalSession,
    /// The number of the current link; input from other links is outdated.
    link: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<RpcReply, Failure>>>,
}

#[derive(Debug)]
struct LiveKitCall {
    service: LiveKitService,
    call: CallFacts,
    state: Arc<Mutex<SessionState>>,
    /// One more than the number of the newest attempt to open a link.
    newest: watch::Sender<u32>,
    /// Reliable packets sent so far, over all sessions.
    sent: AtomicU32,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl LiveKitCall {
    /// The URL of a socket: `/rtc/v1` for a session with one peer connection, otherwise `/rtc`.
    fn url(&self, server: &Url, options: &LinkOptions, one_connection: bool) -> Result<Url, Failure> {
        let mut url = server.clone();
        if one_connection {
            let unusable = |()| Failure::new(FailureKind::Malformed, "this URL is not usable for a WebSocket");
            url.path_segments_mut().map_err(unusable)?.push("v1");
            let request =
                outgoing::join_request(self.call.auto_subscribe, options.resume.then_some(&options.session_id));
            url.query_pairs_mut().append_pair("join_request", &request);
            return Ok(url);
        }
        url.query_pairs_mut()
            .append_pair("protocol", &PROTOCOL.to_string())
            .append_pair("version", env!("CARGO_PKG_VERSION"))
            .append_pair("auto_subscribe", if self.call.auto_subscribe { "1" } else { "0" })
            .append_pair("adaptive_stream", "0");
        if options.resume {
            url.query_pairs_mut()
                .append_pair("reconnect", "1")
                .append_pair("reconnect_reason", "1")
                .append_pair("sid", &options.session_id);
        }
        Ok(url)
    }

    /// Adds the server's reason to the failure of a refused upgrade, if the server gives one.
    async fn why(&self, url: &Url, token: &Secret, failure: Failure) -> Failure {
        let FailureKind::Http { status } = failure.kind else { return failure };
        let mut url = url.clone();
        let scheme = if url.scheme() == "wss" { "https" } else { "http" };
        if url.set_scheme(scheme).is_err() {
            return failure;
        }
        match url.path_segments_mut() {
            Ok(mut path) => {
                path.push("validate");
            }
            Err(()) => return failure,
        }
        let Some(headers) = authorization(token) else { return failure };
        let call = HttpCall {
            method: hyper::Method::GET,
            url: &url,
            headers,
            body: Bytes::new(),
            reply_limit: 16 << 10,
            timeout: WHY,
        };
        let Ok(reply) = self.service.net.send(call).await else { return failure };
        let reason = text::clean(&String::from_utf8_lossy(&reply.body), &[token]);
        if reply.is_success() || reason.is_empty() {
            return failure;
        }
        let message = format!("the SFU refused with HTTP {status}: {reason}");
        Failure { code: i32::from(status), message, ..failure }
    }
}

fn authorization(token: &Secret) -> Option<hyper::HeaderMap> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.reveal())).ok()?;
    value.set_sensitive(true);
    let mut headers = hyper::HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    Some(headers)
}

#[async_trait]
impl Signalling for LiveKitCall {
    async fn admit(&self, request: AdmissionRequest, token: &Secret) -> Result<Admission, Failure> {
        Ok(self.service.servers.admit(&request, token))
    }

    async fn open(
        &self,
        options: LinkOptions,
        deadline: Instant,
    ) -> Result<(Arc<dyn Link>, Box<dyn LinkReceiver>), Failure> {
        let token = &options.admission.token;
        let server = self.service.net.url(&options.admission.ws_endpoint)?;
        let bearer = format!("Bearer {}", token.reveal());
        let headers = [("authorization", bearer.as_str())];
        // An attempt that a newer one has overtaken is abandoned. Admitted late, it would end the newer one: the server
        // removes the earlier participant with the same identity.
        let number = options.attempt.saturating_add(1);
        self.newest.send_if_modified(|newest| std::mem::replace(newest, number.max(*newest)) < number);
        let mut newest = self.newest.subscribe();
        let opening = async {
            let net = &self.service.net;
            let open = |url: Url| async move {
                let opened = ws::open(net, &url, &headers, self.service.limits, deadline).await;
                (opened, url)
            };
            // A resume continues the session as it began.
            let one = match options.resume {
                true => self.state.lock().session.has_one_connection(),
                false => self.service.servers.may_be_newer(&server),
            };
            let mut one_connection = one;
            let (mut opened, mut url) = open(self.url(&server, &options, one)?).await;
            let unknown = |failure: &Failure| matches!(failure.kind, FailureKind::Http { status: 404 });
            if one && !options.resume && opened.as_ref().is_err_and(unknown) {
                // The server, or a proxy before it, knows only the older path; or the room does not exist.
                one_connection = false;
                (opened, url) = open(self.url(&server, &options, false)?).await;
                if opened.is_ok() {
                    self.service.servers.set_older(&server);
                }
            }
            match opened {
                Ok((sender, receiver)) => Ok((sender, receiver, url, one_connection)),
                Err(failure) => Err(self.why(&url, token, failure).await),
            }
        };
        let (sender, receiver, url, one_connection) = tokio::select! {
            biased;
            _ = newest.wait_for(|newest| *newest > number) => return Err(superseded()),
            ends = opening => ends?,
        };
        let mut state = self.state.lock();
        if *self.newest.borrow() > number {
            sender.close(1000, "");
            return Err(superseded());
        }
        state.link += 1;
        state.waiting.clear();
        state.session.begin_link(options.resume, one_connection);
        let number = state.link;
        drop(state);
        let link = LiveKitLink { sender: sender.clone(), state: self.state.clone(), number };
        let receiver = LiveKitReceiver {
            ws: receiver,
            sender,
            state: self.state.clone(),
            number,
            service: self.service.clone(),
            url,
            token: token.clone(),
            pending: VecDeque::new(),
        };
        Ok((Arc::new(link), Box::new(receiver)))
    }

    fn media_owner(&self, stream_id: &str, track_id: &str) -> Option<MediaOwner> {
        media_owner(stream_id, track_id)
    }

    fn channels(&self) -> &'static [Channel] {
        self.state.lock().session.has_data_channels();
        &data::CHANNELS
    }

    fn encode(&self, message: &DataOut) -> Vec<Bytes> {
        data::encode(message, now_ms())
    }

    fn seal(&self, delivery: Delivery, packet: Bytes) -> Bytes {
        match delivery {
            Delivery::Reliable => data::seal(&packet, self.sent.fetch_add(1, Ordering::Relaxed).wrapping_add(1).max(1)),
            Delivery::Lossy => packet,
        }
    }

    fn decode(&self, label: &str, packet: &Bytes) -> Option<DataIn> {
        data::decode(label, packet)
    }
}

/// Parses `{participant}|{track}`; `track_id` is the track's own id.
pub fn media_owner(stream_id: &str, track_id: &str) -> Option<MediaOwner> {
    let (prefix, packed) = stream_id.split_once('|').unwrap_or((stream_id, ""));
    let track = if track_id.is_empty() { packed } else { track_id };
    (!prefix.is_empty() && !track.is_empty()).then(|| MediaOwner {
        prefix: prefix.to_owned(),
        kind: None,
        track_id: track.to_owned(),
        stream: String::new(),
    })
}

struct LiveKitLink {
    sender: WsSender,
    state: Arc<Mutex<SessionState>>,
    number: u64,
}

fn superseded() -> Failure {
    Failure::new(FailureKind::Connect, "the link was replaced by a newer one")
}

fn send_frames(sender: &WsSender, frames: Vec<pb::SignalRequest>) -> Result<(), SendError> {
    frames.into_iter().try_for_each(|frame| sender.send(frame.encode_to_vec(), WsKind::Binary))
}

#[async_trait]
impl Link for LiveKitLink {
    fn send(&self, request: &SfuRequest) -> Result<(), SendError> {
        // Sent under the lock, so that the frames of two requests keep their order.
        let mut state = self.state.lock();
        if state.link != self.number {
            return Err(SendError::Closed);
        }
        send_frames(&self.sender, state.session.request(request, now_ms()))
    }

    async fn call(&self, call: &RpcCall, limit: Duration) -> Result<RpcReply, Failure> {
        let (ticket, reply) = {
            let mut state = self.state.lock();
            if state.link != self.number {
                return Err(superseded());
            }
            let (frames, outcome) = state.session.call(call);
            let sent = send_frames(&self.sender, frames);
            let ticket = match (outcome, sent) {
                (Outcome::Now(result), Ok(())) => return result,
                (Outcome::Now(_), Err(error)) => return Err(Failure::new(FailureKind::Connect, error.to_string())),
                (Outcome::Later(ticket), Err(error)) => {
                    state.session.give_up(ticket);
                    return Err(Failure::new(FailureKind::Connect, error.to_string()));
                }
                (Outcome::Later(ticket), Ok(())) => ticket,
            };
            let (reply_sender, reply_receiver) = oneshot::channel();
            state.waiting.insert(ticket, reply_sender);
            (ticket, reply_receiver)
        };
        match timeout(limit, reply).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(superseded()),
            Err(_) => {
                let mut state = self.state.lock();
                state.waiting.remove(&ticket);
                state.session.give_up(ticket);
                let text = format!("timeout: no reply from the SFU to {}", call.name());
                Err(Failure::new(FailureKind::Timeout, text))
            }
        }
    }

    fn close(&self, code: u16, reason: &str) {
        self.sender.close(code, reason);
    }

    async fn done(&self) {
        self.sender.done().await;
    }
}

struct LiveKitReceiver {
    ws: WsReceiver,
    sender: WsSender,
    state: Arc<Mutex<SessionState>>,
    number: u64,
    service: LiveKitService,
    /// The URL of this socket.
    url: Url,
    token: Secret,
    pending: VecDeque<SfuMessage>,
}

#[async_trait]
impl LinkReceiver for LiveKitReceiver {
    async fn next(&mut self) -> SocketIn {
        loop {
            if let Some(message) = self.pending.pop_front() {
                return SocketIn::Message(message);
            }
            let frame = match self.ws.next().await {
                WsIn::Binary(frame) | WsIn::Text(frame) => frame,
                WsIn::Closed { code, .. } => return SocketIn::Closed { code },
                WsIn::Failed(failure) => return SocketIn::Failed(failure),
            };
            match wire::read(&frame) {
                Ok(response) => self.handle_frame(response),
                Err(refused) => {
                    return match refused.words(frame.len()) {
                        Some(words) => SocketIn::Message(SfuMessage::TooLarge(words)),
                        None => SocketIn::Malformed,
                    }
                }
            }
        }
    }
}

impl LiveKitReceiver {
    fn handle_frame(&mut self, response: pb::SignalResponse) {
        let mut state = self.state.lock();
        if state.link != self.number {
            self.pending.extend(SignalSession::handle_late_frame(&response));
            return;
        }
        let effects = state.session.handle_frame(response, now_ms());
        let _ = send_frames(&self.sender, effects.frames);
        for (ticket, mut result) in effects.settled {
            if let Err(failure) = &mut result {
                failure.message = text::clean(&failure.message, &[&self.token]);
            }
            if let Some(waiting) = state.waiting.remove(&ticket) {
                let _ = waiting.send(result);
            }
        }
        drop(state);
        if !effects.regions.is_empty() {
            self.service.servers.set_announced(&self.service.net, &self.url, effects.regions);
        }
        self.pending.extend(effects.messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::NetOptions;

    #[tokio::test]
    async fn an_attempt_that_is_overtaken_ends_at_once_and_never_becomes_the_link() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let net = Arc::new(Net::new(NetOptions::default()).unwrap());
        let service = LiveKitService::new(net, &url, WsLimits::default()).unwrap();
        let call = service.signalling(CallFacts::default());
        let admission = call.admit(AdmissionRequest::default(), &Secret::new("token")).await.unwrap();
        let open = |attempt| {
            let (call, admission) = (call.clone(), admission.clone());
            let options = LinkOptions { admission, session_id: String::new(), attempt, resume: false };
            let deadline = Instant::now() + Duration::from_secs(30);
            tokio::spawn(async move { call.open(options, deadline).await.err() })
        };
        // Upgrades hang, as they do in a cluster that has lost a node.
        let old = open(0);
        let (_first, _) = listener.accept().await.unwrap();
        let new = open(1);
        assert_eq!(old.await.unwrap(), Some(superseded()));
        // An attempt that starts too late fails as well.
        assert_eq!(open(0).await.unwrap(), Some(superseded()));
        new.abort();
    }

    #[test]
    fn stream_ids_name_participant_and_track() {
        let named = |stream, track| media_owner(stream, track).map(|o| (o.prefix, o.track_id));
        let both = Some(("PA_a".to_owned(), "TR_b".to_owned()));
        assert_eq!(named("PA_a|TR_b", "TR_b"), both);
        assert_eq!(named("PA_a|TR_b", ""), both);
        assert_eq!(named("PA_a", "TR_b"), both);
        for (stream, track) in [("", ""), ("PA_a", ""), ("|TR_b", "TR_b"), ("", "TR_b")] {
            assert_eq!(named(stream, track), None, "{stream} {track}");
        }
    }
}
