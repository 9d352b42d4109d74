//! A short join of a call, without audio: whether the service admits this user, and which addresses media uses.
//!
//! A muted track is published, so that there is a connection in both directions; nothing is ever sent on it. Must not
//! know: C, wire types.

use super::{
    journal::Journal,
    watch::{Look, WatchedEngine},
    Request,
};
use crate::core::model::{IceServer, PeerKind, TrackKind};
use crate::core::{Config, End, EndReason, Event};
use crate::dispatch::{self, Delivery, Handler, Limits, Mailbox};
use crate::error::{Code, Error};
use crate::media::audio::{opus::EncoderConfig, send::AudioFormat};
use crate::media::transform::NoTransforms;
use crate::rtc::engine::PeerState;
use crate::rtc::sdp::announce_sdp;
use crate::session::{AudioOptions, Bounds, Call, CallOptions, Connection, HandedOver, TrackOptions};
use crate::signalling::{Net, ServiceOptions};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout_at, Instant},
};

/// Longest time from the join until media is connected.
const MEDIA: Duration = Duration::from_secs(8);
/// Part of the whole time that the join leaves for the checks after it.
const LEFT: Duration = Duration::from_secs(2);
/// How often the peer connections are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// How long a direction without a peer connection is waited for: an SFU that has nothing to send offers none.
const OTHER: Duration = Duration::from_millis(700);
/// Longest time for the call to end.
const END: Duration = Duration::from_millis(2_250);

/// Leaves the call, also when the diagnosis is cut off.
struct Leaving(Arc<Call>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave("the diagnosis is done");
    }
}

/// Joins; returns the ICE servers that the service named.
pub(super) async fn check(
    journal: &Arc<Journal>,
    net: &Arc<Net>,
    request: &Request,
    (call_type, call_id): &(String, String),
    end: Instant,
) -> Vec<IceServer> {
    let step = journal.begin("join", call_id.clone());
    let now = Instant::now();
    let left = end.saturating_duration_since(now);
    let limit = now + left.mul_f32(0.75).max(left.saturating_sub(LEFT));
    let streams = Arc::new(crate::rtc::ServerStreams::new(net.dialer()));
    let engine = crate::rtc::default_engine(request.policy.clone(), Some(streams));
    let engine = Arc::new(WatchedEngine::new(engine));
    let (call, mut events) = match start(net, request, call_type, call_id, engine.clone()) {
        Ok(started) => started,
        Err(error) => {
            step.failed("join", error.message, "");
            return Vec::new();
        }
    };
    let leaving = Leaving(call.clone());
    match timeout_at(limit, joined(&mut events)).await {
        Ok(Ok(())) => {
            let participants = call.participants().len();
            step.ok(format!("joined as {}; {participants} in the call", request.options.user_id));
        }
        Ok(Err((reason, error))) => {
            journal.learn(engine.servers().into_iter().map(|server| server.password));
            let (cause, advice) = meaning(reason, &error);
            step.failed(cause, error.message, advice);
            let looks = engine.look();
            report_media(journal, &looks, &[], false);
            return engine.servers();
        }
        Err(_) => {
            step.failed("timeout", "the join did not end in time", "the server admits the token and does not go on");
            return engine.servers();
        }
    }
    let publishes = call.publish_audio(track()).is_ok();
    let media = Instant::now() + MEDIA;
    let Outcome { looks, refused, receives, ended } =
        connected(&engine, &mut events, publishes, limit.min(media)).await;
    let servers = engine.servers();
    journal.learn(servers.iter().map(|server| server.password.clone()));
    report_media(journal, &looks, &refused, receives);
    if let Some((reason, error)) = ended {
        let (cause, advice) = meaning(reason, &error);
        journal.begin("media", "").failed(cause, error.message, advice);
        return servers;
    }
    if publishes && refused.is_empty() && looks.iter().all(|look| look.kind != PeerKind::Publisher) {
        let advice = "the SFU did not take part in the negotiation: see its log";
        journal.begin("publisher", "").failed("media", "no connection was made in time", advice);
    }
    drop(leaving);
    let over = async { while !matches!(events.recv().await, None | Some(Event::Ended(_))) {} };
    // A call that does not end in time ends in the background.
    let _ = timeout_at(end.min(Instant::now() + END), over).await;
    servers
}

type Events = mpsc::UnboundedReceiver<Event>;

fn start(
    net: &Arc<Net>,
    request: &Request,
    call_type: &str,
    call_id: &str,
    engine: Arc<WatchedEngine>,
) -> crate::error::Result<(Arc<Call>, Events)> {
    let given = &request.options;
    let options = ServiceOptions {
        url: given.url.clone(),
        api_key: given.api_key.clone(),
        user_id: given.user_id.clone(),
        token: given.token.clone(),
        hint_url: given.hint_url.clone(),
        events: false,
        limits: given.limits,
    };
    let unusable = |failure: crate::core::model::Failure| Error::new(Code::Argument, failure.message);
    let protocol = request.service.connect(net.clone(), options).map_err(unusable)?;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|_| Error::new(Code::Limit, "the system gave no random numbers"))?;
    let config = Config {
        dialect: *protocol.dialect(),
        call_type: call_type.to_owned(),
        call_id: call_id.to_owned(),
        user_id: given.user_id.clone(),
        create: true,
        ring: false,
        notify: false,
        data_json: String::new(),
        location: "auto".into(),
        join_retries: 0,
        subscribe: true,
        subscriber_sdp: announce_sdp(PeerKind::Subscriber),
        publisher_sdp: announce_sdp(PeerKind::Publisher),
        token: given.token.clone(),
        hold_unmute: false,
        renew_token: false,
        // The next moment: what is lost is a result.
        disconnect_timeout: Duration::from_nanos(1),
        partial_texts: false,
        seed: u64::from_ne_bytes(seed),
    };
    let audio = AudioOptions {
        rate: 48_000,
        channels: 1,
        float: false,
        opus: true,
        min_delay_ms: 20,
        max_delay_ms: 200,
        wanted: false,
    };
    let options = CallOptions {
        config,
        auto_subscribe: true,
        audio,
        data: Bounds::default(),
        drain: Duration::ZERO,
        transforms: Arc::new(NoTransforms),
    };
    let (sender, events) = mpsc::unbounded_channel();
    // The mailbox is bounded, and the events are few: nothing but a join.
    let handler = Handler::new(move |delivery| {
        if let Delivery::Control(notice) = delivery {
            let notice: crate::session::Notice = notice;
            let tells = matches!(
                notice.event,
                Event::Joined { .. } | Event::LocalFailed { .. } | Event::Media { .. } | Event::Ended(_)
            );
            if tells {
                let _ = sender.send(notice.event);
            }
        }
    });
    let mailbox = Mailbox::with_handler(dispatch::pool(), Limits::default(), handler);
    let connection = Connection { protocol, engine };
    let (call, launch) = Call::new(connection, options, mailbox, Arc::new(HandedOver::default()))?;
    launch.start();
    Ok((call, events))
}

async fn joined(events: &mut Events) -> Result<(), (EndReason, Error)> {
    loop {
        match events.recv().await {
            Some(Event::Joined { .. }) => return Ok(()),
            Some(Event::Ended(end)) => return Err(reason_of(end)),
            Some(_) => {}
            None => return Err((EndReason::Shutdown, Error::new(Code::Cancelled, "the library shuts down"))),
        }
    }
}

/// A microphone that is muted from the beginning.
fn track() -> TrackOptions {
    TrackOptions {
        source: TrackKind::Audio,
        input: AudioFormat::Pcm { rate: 48_000, channels: 1 },
        encoder: EncoderConfig::default(),
        buffer_ms: 100,
        live: true,
        music: false,
        red: 0,
        muted: true,
    }
}

/// What became of media.
#[derive(Default)]
struct Outcome {
    looks: Vec<Look>,
    /// Why the track was refused.
    refused: Vec<String>,
    /// Receiving is connected.
    receives: bool,
    /// The call has ended meanwhile.
    ended: Option<(EndReason, Error)>,
}

/// Waits until media is connected in both directions, or there is nothing more to wait for.
async fn connected(engine: &WatchedEngine, events: &mut Events, publishes: bool, deadline: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut first: Option<Instant> = None;
    loop {
        let looks = engine.look();
        // The peer connections of a call that has ended are gone.
        if !looks.is_empty() {
            outcome.looks = looks;
        }
        while let Ok(event) = events.try_recv() {
            match event {
                Event::LocalFailed { error, .. } => outcome.refused.push(error.message.into_owned()),
                Event::Media { direction: PeerKind::Subscriber, connected, .. } => outcome.receives = connected,
                Event::Ended(end) => outcome.ended = Some(reason_of(end)),
                _ => {}
            }
        }
        let up = |kind| outcome.looks.iter().any(|look| look.kind == kind && look.state == PeerState::Connected);
        let (publisher, subscriber) = (up(PeerKind::Publisher), up(PeerKind::Subscriber) || outcome.receives);
        if publisher || subscriber {
            first.get_or_insert_with(Instant::now);
        }
        // An SFU that has nothing to send offers no connection.
        let waited = first.is_some_and(|at| at.elapsed() > OTHER);
        let sends = publisher || !publishes || !outcome.refused.is_empty();
        if (sends && (subscriber || waited)) || outcome.ended.is_some() || Instant::now() >= deadline {
            return outcome;
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn reason_of(end: End) -> (EndReason, Error) {
    let error = end.error.unwrap_or_else(|| Error::new(Code::State, end.text));
    (end.reason, error)
}

fn meaning(reason: EndReason, error: &Error) -> (&'static str, &'static str) {
    match (reason, error.code) {
        (EndReason::NetworkUnsupported, _) => (
            "media_blocked",
            "media found no way to the SFU: open UDP, or give the service a TURN server over TCP or TLS on port 443",
        ),
        (_, Code::Auth) => ("token", "the token is wrong or expired, or made with another key; check the clock, too"),
        (_, Code::Refused) => ("refused", "see the server's text: the user may not join this call"),
        (_, Code::Timeout) => ("timeout", "the server does not answer the join in time"),
        (_, Code::Network) => ("unreachable", "the SFU that the service names cannot be reached from here"),
        (_, Code::Tls) => ("tls", "check the certificate of the SFU that the service names"),
        _ => ("join", "see the text"),
    }
}

/// `receives`: receiving is connected, on a subscriber or, if there is none, on the publisher's peer connection.
fn report_media(journal: &Arc<Journal>, looks: &[Look], refused: &[String], receives: bool) {
    let both = receives && looks.iter().all(|look| look.kind == PeerKind::Publisher);
    for look in looks {
        let (name, direction) = match look.kind {
            PeerKind::Publisher if both => ("publisher", "sends and receives"),
            PeerKind::Publisher => ("publisher", "sends"),
            PeerKind::Subscriber => ("subscriber", "receives"),
        };
        let mut step = journal.begin(name, "");
        for part in look.path.text.split("; ").filter(|part| !part.is_empty()) {
            step.detail(part);
        }
        match (&look.pair, look.state) {
            (Some(pair), PeerState::Connected) => {
                let way = match (&pair.relay, pair.tcp) {
                    (Some(url), _) => format!("through the relay {}", Journal::url(url)),
                    (None, true) => "over TCP".to_owned(),
                    (None, false) => "over UDP".to_owned(),
                };
                let (local, remote) = (pair.local, pair.remote);
                step.ok(format!(
                    "{direction} {way}: {} {} to {} {remote}",
                    pair.local_kind,
                    local.ip(),
                    pair.remote_kind
                ));
            }
            (_, PeerState::Connected) => step.ok(format!("{direction}, connected")),
            (_, PeerState::New) if look.kind == PeerKind::Subscriber => {
                step.end_skipped("the SFU had nothing to send, and offered no connection");
            }
            (_, state) => {
                let (cause, advice) = match look.path.silent {
                    true => (
                        "media_blocked",
                        "nothing came back from the SFU: a firewall blocks UDP. Open it, or give the service a TURN \
                         server over TCP or TLS on port 443",
                    ),
                    false => ("media", "see the pairs and servers above"),
                };
                let state = format!("{state:?}").to_lowercase();
                step.failed(cause, format!("no connection ({state})"), advice);
            }
        }
    }
    for why in refused.iter().take(1) {
        let advice = "media to the SFU is not checked; the token does not permit to publish";
        journal.begin("publisher", "").warning("forbidden", why.clone(), advice);
    }
}
