//! Combines coordinator, socket and RPCs into one [`Protocol`]. Must not know: rules, who joins and
//! why.

use super::{events::MAX_CUSTOM, hint, socket, Coordinator, EventHub, Rpc, SfuReceiver, SfuSender, SfuSocketOptions};
use crate::core::model::*;
use crate::error::Secret;
use crate::signalling::{
    protocol::{CallFacts, Link, LinkOptions, LinkReceiver, Protocol, ServiceListener, Signalling, SocketIn},
    ws::{SendError, WsLimits},
    Net,
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::Instant;

static DIALECT: Dialect = Dialect {
    name: "Stream",
    capabilities: Capabilities::CUSTOM_EVENTS
        .with(Capabilities::RING)
        .with(Capabilities::PINS)
        .with(Capabilities::DOMINANT_SPEAKER)
        .with(Capabilities::MIGRATE),
    subscriber_restart: true,
    candidates_first: false,
    identity_is_unique: false,
    subscriber_stays: false,
    admits_at_socket: false,
    resume_introduces: false,
    ids_in_paths: true,
    data_channels: false,
    tracks_end_in_sdp: false,
    tracks_have_names: false,
    numbered_offers: false,
    edge_failures: 2,
    socket_open: Duration::from_secs(5),
    media_silence: None,
    ice_grace: Duration::from_millis(2_500),
};

/// A client's Stream service.
#[derive(Clone, Debug)]
pub struct StreamService {
    net: Arc<Net>,
    coordinator: Arc<Coordinator>,
    api_key: String,
    limits: WsLimits,
    /// URL that returns the nearest edge; empty: not queried.
    hint_url: String,
    /// The coordinator's events, if the application enabled them.
    events: Option<Arc<EventHub>>,
}

impl StreamService {
    pub fn new(
        net: Arc<Net>,
        coordinator: Arc<Coordinator>,
        api_key: String,
        limits: WsLimits,
        hint_url: String,
        events: Option<Arc<EventHub>>,
    ) -> Self {
        Self { net, coordinator, api_key, limits, hint_url, events }
    }

    /// The properties of this protocol.
    pub fn dialect() -> &'static Dialect {
        &DIALECT
    }
}

impl Protocol for StreamService {
    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    fn signalling(&self, call: CallFacts) -> Arc<dyn Signalling> {
        Arc::new(StreamCall { service: self.clone(), call, listener: Mutex::default(), key: OnceLock::new() })
    }

    fn close(&self) {
        if let Some(events) = &self.events {
            events.close();
        }
    }
}

struct StreamCall {
    service: StreamService,
    call: CallFacts,
    listener: Mutex<Option<Arc<dyn ServiceListener>>>,
    /// The hub's key for this call.
    key: OnceLock<u64>,
}

impl fmt::Debug for StreamCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamCall").field("call", &self.call).finish_non_exhaustive()
    }
}

#[async_trait]
impl Signalling for StreamCall {
    fn listen(&self, listener: Arc<dyn ServiceListener>) {
        *self.listener.lock() = Some(listener);
    }

    fn network_changed(&self) {
        self.service.net.network_changed();
    }

    fn offer_token(&self, token: &Secret) {
        if let Some(events) = self.service.events.as_ref().filter(|_| !token.is_empty()) {
            events.offer_token(token);
        }
    }

    fn custom_limit(&self) -> Option<usize> {
        Some(MAX_CUSTOM)
    }

    async fn send_custom(&self, json: &str, token: &Secret) -> Result<(), Failure> {
        let CallFacts { call_type, call_id, .. } = &self.call;
        self.service.coordinator.send_custom(call_type, call_id, json, token).await
    }

    fn end(&self) {
        let listener = self.listener.lock().take();
        drop(listener);
        if let (Some(events), Some(key)) = (&self.service.events, self.key.get()) {
            events.unregister(*key);
        }
    }

    /// Joins with the id of the client's event connection, so that events start at once.
    async fn admit(&self, mut request: AdmissionRequest, token: &Secret) -> Result<Admission, Failure> {
        let StreamService { net, coordinator, hint_url, events, .. } = &self.service;
        if let Some(events) = events {
            self.register(events);
            request.connection_id = events.connection_id(token).await;
        }
        if !hint_url.is_empty() {
            request.location = hint::location(net, hint_url).await;
        }
        let admission = coordinator.join(&request, token).await?;
        if let (Some(events), Some(key)) = (events, self.key.get()) {
            events.admitted(*key, &request.connection_id, token);
        }
        Ok(admission)
    }

    async fn open(
        &self,
        options: LinkOptions,
        deadline: Instant,
    ) -> Result<(Arc<dyn Link>, Box<dyn LinkReceiver>), Failure> {
        let LinkOptions { admission, session_id, attempt, .. } = options;
        let service = &self.service;
        let rpc = Rpc::new(service.net.clone(), &admission.url, admission.token.clone())?;
        let options = SfuSocketOptions {
            endpoint: admission.ws_endpoint,
            token: admission.token,
            attempt,
            user_id: self.call.user_id.clone(),
            api_key: service.api_key.clone(),
            session_id,
            cid: format!("{}:{}", self.call.call_type, self.call.call_id),
        };
        let (sender, receiver) = socket::open(&service.net, &options, service.limits, deadline).await?;
        Ok((Arc::new(StreamLink { sender, rpc }), Box::new(receiver)))
    }

    fn media_owner(&self, stream_id: &str, track_id: &str) -> Option<MediaOwner> {
        media_owner(stream_id, track_id)
    }
}

impl StreamCall {
    /// An error is ignored: without a runtime there is no call, which is reported elsewhere.
    fn register(&self, events: &EventHub) {
        let listener = self.listener.lock();
        let (Some(listener), None) = (&*listener, self.key.get()) else { return };
        let CallFacts { call_type, call_id, .. } = &self.call;
        if let Ok(key) = events.register(call_type, call_id, listener.clone()) {
            let _ = self.key.set(key);
        }
    }
}

/// Parses `{prefix}:TRACK_TYPE_…:…`; servers differ in which of the two ids carries it.
pub fn media_owner(stream_id: &str, track_id: &str) -> Option<MediaOwner> {
    [stream_id, track_id].into_iter().find_map(split_stream_id).map(|(prefix, kind, stream)| MediaOwner {
        prefix: prefix.to_owned(),
        kind: Some(kind),
        track_id: String::new(),
        stream: stream.to_owned(),
    })
}

/// Splits `{prefix}:TRACK_TYPE_…:…`; the last part is an opaque token, the prefix has no colon.
fn split_stream_id(stream_id: &str) -> Option<(&str, TrackKind, &str)> {
    let mut parts = stream_id.splitn(3, ':');
    let prefix = parts.next().filter(|p| !p.is_empty())?;
    let kind = match parts.next()? {
        "TRACK_TYPE_AUDIO" => TrackKind::Audio,
        "TRACK_TYPE_VIDEO" => TrackKind::Video,
        "TRACK_TYPE_SCREEN_SHARE" => TrackKind::ScreenShare,
        "TRACK_TYPE_SCREEN_SHARE_AUDIO" => TrackKind::ScreenShareAudio,
        _ => return None,
    };
    Some((prefix, kind, parts.next().unwrap_or_default()))
}

struct StreamLink {
    sender: SfuSender,
    rpc: Rpc,
}

#[async_trait]
impl Link for StreamLink {
    fn send(&self, request: &SfuRequest) -> Result<(), SendError> {
        self.sender.send(request)
    }

    async fn call(&self, call: &RpcCall, timeout: Duration) -> Result<RpcReply, Failure> {
        self.rpc.call(call, timeout).await
    }

    fn close(&self, code: u16, reason: &str) {
        self.sender.close(code, reason);
    }

    async fn done(&self) {
        self.sender.done().await;
    }
}

#[async_trait]
impl LinkReceiver for SfuReceiver {
    async fn next(&mut self) -> SocketIn {
        SfuReceiver::next(self).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_ids() {
        assert_eq!(split_stream_id("p1:TRACK_TYPE_AUDIO:0"), Some(("p1", TrackKind::Audio, "0")));
        let screen = split_stream_id("p1:TRACK_TYPE_SCREEN_SHARE_AUDIO:a:b");
        assert_eq!(screen, Some(("p1", TrackKind::ScreenShareAudio, "a:b")));
        assert_eq!(split_stream_id("p1:TRACK_TYPE_VIDEO"), Some(("p1", TrackKind::Video, "")));
        for bad in ["", "p1", ":TRACK_TYPE_AUDIO:0", "p1:AUDIO:0", "p1:"] {
            assert_eq!(split_stream_id(bad), None, "{bad}");
        }
        let named = |stream, track| media_owner(stream, track).map(|o| o.prefix);
        assert_eq!(named("junk", "p:TRACK_TYPE_VIDEO:1").as_deref(), Some("p"));
        assert_eq!(named("junk", "junk"), None);
    }
}
