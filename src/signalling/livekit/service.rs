//! Door, dialogue and socket as one [`Protocol`]. Must not know: rules, who joins and why.

use super::{data, dialogue::*, door::Door, wire};
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

/// The newest version of which this client understands everything that a server then says.
const PROTOCOL: &str = "16";
/// Largest message that is taken unless the application says otherwise: the join of a room with 3,000 participants,
/// each with 4 KiB of metadata.
pub const MAX_MESSAGE: usize = 16 << 20;
/// How long the server is asked for its reason when it refuses.
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
    // Until it is up, and once it is gone, the others are told of nobody.
    identity_is_unique: true,
    subscriber_stays: true,
    admits_at_socket: true,
    resume_introduces: true,
    ids_in_paths: false,
    data_channels: true,
    tracks_end_in_sdp: true,
    tracks_have_names: true,
    // A second answer to one makes the session fail.
    numbered_offers: true,
    edge_failures: 1,
    // A cluster that has lost a node lets the upgrade wait, three seconds at a time, until it knows.
    socket_open: Duration::from_secs(10),
    // Lost media is the first sign that the node with the room is gone: the socket may lead to another one.
    media_silence: Some(Duration::from_secs(4)),
    ice_grace: Duration::from_millis(500),
};

/// The service that a client speaks to.
#[derive(Clone, Debug)]
pub struct LiveKitService {
    net: Arc<Net>,
    door: Arc<Door>,
    limits: WsLimits,
}

impl LiveKitService {
    /// `urls`: one or more servers of one service, parted by white space; the first is asked first.
    /// Nothing is contacted.
    ///
    /// # Errors
    /// As [`Net::url`].
    pub fn new(net: Arc<Net>, urls: &str, limits: WsLimits) -> Result<Self, Failure> {
        let door = Arc::new(Door::new(&net, urls)?);
        Ok(Self { net, door, limits })
    }

    /// What is particular to this protocol.
    pub fn dialect() -> &'static Dialect {
        &DIALECT
    }
}

impl Protocol for LiveKitService {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn signalling(&self, call: CallFacts) -> Arc<dyn Signalling> {
        let talk = Talk { dialogue: Dialogue::new(call.auto_subscribe), link: 0, waiting: HashMap::new() };
        Arc::new(LiveKitCall {
            service: self.clone(),
            call,
            talk: Arc::new(Mutex::new(talk)),
            newest: watch::Sender::new(0),
            sent: AtomicU32::new(0),
        })
    }

    fn call_of(&self, token: &Secret) -> Option<String> {
        super::token::read(token).map(|claims| claims.room).filter(|room| !room.is_empty())
    }
}

/// The dialogue of a call, and who waits for its replies.
#[derive(Debug)]
struct Talk {
    dialogue: Dialogue,
    /// The number of the current link; what others say is of before.
    link: u64,
    waiting: HashMap<u64, oneshot::Sender<Result<RpcReply, Failure>>>,
}

#[derive(Debug)]
struct LiveKitCall {
    service: LiveKitService,
    call: CallFacts,
    talk: Arc<Mutex<Talk>>,
    /// One more than the number of the newest attempt to open a link.
    newest: watch::Sender<u32>,
    /// Reliable packets so far, over all sessions.
    sent: AtomicU32,
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

impl LiveKitCall {
    /// The words with which a server refuses, where it says more than a number.
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
        let said = text::clean(&String::from_utf8_lossy(&reply.body), &[token]);
        if reply.is_success() || said.is_empty() {
            return failure;
        }
        let message = format!("the SFU refuses with HTTP {status}: {said}");
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
        Ok(self.service.door.admit(&request, token))
    }

    async fn open(
        &self,
        options: LinkOptions,
        deadline: Instant,
    ) -> Result<(Arc<dyn Link>, Box<dyn LinkReceiver>), Failure> {
        let token = &options.admission.token;
        let mut url = self.service.net.url(&options.admission.ws_endpoint)?;
        url.query_pairs_mut()
            .append_pair("protocol", PROTOCOL)
            .append_pair("version", env!("CARGO_PKG_VERSION"))
            .append_pair("auto_subscribe", if self.call.auto_subscribe { "1" } else { "0" })
            .append_pair("adaptive_stream", "0");
        if options.resume {
            url.query_pairs_mut()
                .append_pair("reconnect", "1")
                .append_pair("reconnect_reason", "1")
                .append_pair("sid", &options.session_id);
        }
        let bearer = format!("Bearer {}", token.reveal());
        let headers = [("authorization", bearer.as_str())];
        // Nobody wants an attempt that was overtaken by a newer one. Let in late, it would be the newer one's end:
        // the server sends away who was there under the same identity.
        let number = options.attempt.saturating_add(1);
        self.newest.send_if_modified(|newest| std::mem::replace(newest, number.max(*newest)) < number);
        let mut newest = self.newest.subscribe();
        let opening = async {
            match ws::open(&self.service.net, &url, &headers, self.service.limits, deadline).await {
                Ok(ends) => Ok(ends),
                Err(failure) => Err(self.why(&url, token, failure).await),
            }
        };
        let (sender, receiver) = tokio::select! {
            biased;
            _ = newest.wait_for(|newest| *newest > number) => return Err(superseded()),
            ends = opening => ends?,
        };
        let mut talk = self.talk.lock();
        if *self.newest.borrow() > number {
            sender.close(1000, "");
            return Err(superseded());
        }
        talk.link += 1;
        talk.waiting.clear();
        talk.dialogue.begin_link(options.resume);
        let number = talk.link;
        drop(talk);
        let link = LiveKitLink { sender: sender.clone(), talk: self.talk.clone(), number };
        let receiver = LiveKitReceiver {
            ws: receiver,
            sender,
            talk: self.talk.clone(),
            number,
            service: self.service.clone(),
            url,
            token: token.clone(),
            heard: VecDeque::new(),
        };
        Ok((Arc::new(link), Box::new(receiver)))
    }

    fn media_owner(&self, stream_id: &str, track_id: &str) -> Option<MediaOwner> {
        media_owner(stream_id, track_id)
    }

    fn channels(&self) -> &'static [Channel] {
        self.talk.lock().dialogue.has_data_channels();
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

/// Reads `{participant}|{track}` with the track's own id beside it.
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
    talk: Arc<Mutex<Talk>>,
    number: u64,
}

fn superseded() -> Failure {
    Failure::new(FailureKind::Connect, "the link was replaced by another one")
}

fn say(sender: &WsSender, frames: Vec<pb::SignalRequest>) -> Result<(), SendError> {
    frames.into_iter().try_for_each(|frame| sender.send(frame.encode_to_vec(), WsKind::Binary))
}

#[async_trait]
impl Link for LiveKitLink {
    fn send(&self, request: &SfuRequest) -> Result<(), SendError> {
        // Under the lock, so that the frames of two requests keep their order.
        let mut talk = self.talk.lock();
        if talk.link != self.number {
            return Err(SendError::Closed);
        }
        say(&self.sender, talk.dialogue.request(request, now_ms()))
    }

    async fn call(&self, call: &RpcCall, limit: Duration) -> Result<RpcReply, Failure> {
        let (ticket, reply) = {
            let mut talk = self.talk.lock();
            if talk.link != self.number {
                return Err(superseded());
            }
            let (frames, outcome) = talk.dialogue.call(call);
            let sent = say(&self.sender, frames);
            let ticket = match (outcome, sent) {
                (Outcome::Now(result), Ok(())) => return result,
                (Outcome::Now(_), Err(error)) => return Err(Failure::new(FailureKind::Connect, error.to_string())),
                (Outcome::Later(ticket), Err(error)) => {
                    talk.dialogue.give_up(ticket);
                    return Err(Failure::new(FailureKind::Connect, error.to_string()));
                }
                (Outcome::Later(ticket), Ok(())) => ticket,
            };
            let (tell, told) = oneshot::channel();
            talk.waiting.insert(ticket, tell);
            (ticket, told)
        };
        match timeout(limit, reply).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(superseded()),
            Err(_) => {
                let mut talk = self.talk.lock();
                talk.waiting.remove(&ticket);
                talk.dialogue.give_up(ticket);
                let text = format!("the SFU did not answer {} in time", call.name());
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
    talk: Arc<Mutex<Talk>>,
    number: u64,
    service: LiveKitService,
    /// Where this socket leads.
    url: Url,
    token: Secret,
    heard: VecDeque<SfuMessage>,
}

#[async_trait]
impl LinkReceiver for LiveKitReceiver {
    async fn next(&mut self) -> SocketIn {
        loop {
            if let Some(message) = self.heard.pop_front() {
                return SocketIn::Message(message);
            }
            let frame = match self.ws.next().await {
                WsIn::Binary(frame) | WsIn::Text(frame) => frame,
                WsIn::Closed { code, .. } => return SocketIn::Closed { code },
                WsIn::Failed(failure) => return SocketIn::Failed(failure),
            };
            match wire::read(&frame) {
                Ok(response) => self.hear(response),
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
    fn hear(&mut self, response: pb::SignalResponse) {
        let mut talk = self.talk.lock();
        if talk.link != self.number {
            self.heard.extend(Dialogue::hear_late(&response));
            return;
        }
        let heard = talk.dialogue.hear(response, now_ms());
        let _ = say(&self.sender, heard.frames);
        for (ticket, mut result) in heard.settled {
            if let Err(failure) = &mut result {
                failure.message = text::clean(&failure.message, &[&self.token]);
            }
            if let Some(waiting) = talk.waiting.remove(&ticket) {
                let _ = waiting.send(result);
            }
        }
        drop(talk);
        if !heard.regions.is_empty() {
            self.service.door.learn(&self.service.net, &self.url, heard.regions);
        }
        self.heard.extend(heard.messages);
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
        let net = Arc::new(Net::new(NetOptions::default()));
        let service = LiveKitService::new(net, &url, WsLimits::default()).unwrap();
        let call = service.signalling(CallFacts::default());
        let admission = call.admit(AdmissionRequest::default(), &Secret::new("token")).await.unwrap();
        let open = |attempt| {
            let (call, admission) = (call.clone(), admission.clone());
            let options = LinkOptions { admission, session_id: String::new(), attempt, resume: false };
            let deadline = Instant::now() + Duration::from_secs(30);
            tokio::spawn(async move { call.open(options, deadline).await.err() })
        };
        // Upgrades hang, as they do at a cluster that has lost a node.
        let old = open(0);
        let (_first, _) = listener.accept().await.unwrap();
        let new = open(1);
        assert_eq!(old.await.unwrap(), Some(superseded()));
        // Also one that is begun too late.
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
