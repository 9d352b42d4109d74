//! The peer connection on which one participant sends. Maps m-lines to routes.
//!
//! Must not know: subscribers.

use crate::media::{
    forward::{LayerKeyframe, Route, MAX_LAYERS},
    peer::{drive, Core, Next, PeerStats, Role, Setup, COMMANDS},
    sdp,
};
use std::{
    io,
    sync::{atomic::Ordering::Relaxed, Arc},
    time::{Duration, Instant},
};
use str0m::{
    change::SdpOffer,
    format::PayloadParams,
    media::{KeyframeRequestKind, Mid, Pt, Rid},
    rtp::Ssrc,
    Event,
};
use tokio::sync::{mpsc, oneshot};

/// Minimum interval between key frame requests for one layer.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum streams per peer connection.
const MAX_STREAMS: usize = 64;

/// The answer to an offer, and whether it restarted ICE.
pub type Answered = Result<(String, bool), String>;

/// Commands from signalling to a publisher.
#[derive(Debug)]
pub enum Command {
    Offer { sdp: String, routes: Vec<(String, Arc<Route>)>, reply: oneshot::Sender<Answered> },
    Candidate(String, oneshot::Sender<Result<(), String>>),
    Keyframe(LayerKeyframe),
    Close,
    Vanish,
}

/// Notified when a publisher connects or ends.
pub trait Watcher: Send + Sync + 'static {
    fn connected(&self);
    fn ended(&self);
}

/// Handle of a publisher's task.
#[derive(Clone, Debug)]
pub struct Handle {
    pub tx: mpsc::Sender<Command>,
    pub stats: Arc<PeerStats>,
}

/// Starts the task of a publisher. `source` numbers publishers in order of creation. If two publish one track, the
/// later one is forwarded.
pub fn spawn(setup: &Setup, source: u64, watcher: Arc<dyn Watcher>) -> io::Result<Handle> {
    let core = Core::new(setup, true)?;
    let stats = core.stats.clone();
    let (tx, commands) = mpsc::channel(COMMANDS);
    let role = Publisher {
        source,
        watcher,
        mids: Vec::new(),
        streams: Vec::new(),
        formats: Vec::new(),
        self_tx: tx.downgrade(),
        last_requests: Vec::new(),
    };
    tokio::spawn(drive(core, role, commands, None));
    Ok(Handle { tx, stats })
}

/// A route and, with simulcast, its layer.
type Destination = (Arc<Route>, Option<u8>);

struct Line {
    mid: Mid,
    route: Arc<Route>,
    rids: Vec<Rid>,
}

struct Publisher {
    source: u64,
    watcher: Arc<dyn Watcher>,
    mids: Vec<Line>,
    /// Destination of each SSRC. `None` if it belongs to no announced track.
    streams: Vec<(Ssrc, Option<Destination>)>,
    formats: Vec<(Pt, PayloadParams)>,
    /// Given to routes for key frame requests. Weak, so that the task ends when its handle is dropped.
    self_tx: mpsc::WeakSender<Command>,
    last_requests: Vec<(u64, u8, Instant)>,
}

impl Publisher {
    fn offer(&mut self, core: &mut Core, text: &str, routes: Vec<(String, Arc<Route>)>) -> Answered {
        let offer = SdpOffer::from_sdp_string(text).map_err(|e| format!("the offer cannot be read: {e}"))?;
        let answer = core.rtc.sdp_api().accept_offer(offer).map_err(|e| format!("the offer is refused: {e}"))?;
        let restarted = core.described(text);
        self.mids.clear();
        self.streams.clear();
        self.formats.clear();
        for (mid, route) in routes {
            route.set_keyframe_tx(self.self_tx.clone());
            let rids = sdp::rids(text, &mid).into_iter().map(Rid::from).collect();
            self.mids.push(Line { mid: Mid::from(mid.as_str()), route, rids });
        }
        Ok((answer.to_sdp_string(), restarted))
    }

    fn locate(&self, core: &mut Core, ssrc: Ssrc) -> Option<Destination> {
        let (mid, rid) = {
            let mut api = core.rtc.direct_api();
            let stream = api.stream_rx(&ssrc)?;
            (stream.mid(), stream.rid())
        };
        let line = self.mids.iter().find(|l| l.mid == mid)?;
        let layer = rid.map(|rid| match &*rid {
            "q" => 0,
            "h" => 1,
            "f" => 2,
            _ => line.rids.iter().position(|r| *r == rid).unwrap_or(0).min(MAX_LAYERS - 1) as u8,
        });
        Some((line.route.clone(), layer))
    }

    fn keyframe(&mut self, core: &mut Core, request: LayerKeyframe) {
        let now = Instant::now();
        self.last_requests.retain(|(_, _, at)| now.duration_since(*at) < KEYFRAME_INTERVAL);
        if self.last_requests.iter().any(|(r, l, _)| (*r, *l) == (request.route, request.layer)) {
            return;
        }
        for (ssrc, target) in &self.streams {
            let Some((route, layer)) = target else { continue };
            if route.id != request.route || layer.is_some_and(|l| l != request.layer) {
                continue;
            }
            if let Some(stream) = core.rtc.direct_api().stream_rx(ssrc) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                core.stats.keyframe_requests.fetch_add(1, Relaxed);
                self.last_requests.push((request.route, request.layer, now));
            }
        }
    }
}

impl Role for Publisher {
    type Command = Command;

    fn command(&mut self, core: &mut Core, command: Command) -> Next {
        match command {
            Command::Offer { sdp, routes, reply } => {
                let _ = reply.send(self.offer(core, &sdp, routes));
            }
            Command::Candidate(json, reply) => {
                let _ = reply.send(core.trickle(&json));
            }
            Command::Keyframe(request) => self.keyframe(core, request),
            Command::Close => return Next::Close,
            Command::Vanish => return Next::Vanish,
        }
        Next::Go
    }

    fn event(&mut self, core: &mut Core, event: Event) {
        match event {
            Event::RtpPacket(packet) => {
                core.stats.rtp_in.fetch_add(1, Relaxed);
                let ssrc = packet.header.ssrc;
                if !self.streams.iter().any(|(s, _)| *s == ssrc) {
                    if self.streams.len() >= MAX_STREAMS {
                        return;
                    }
                    let target = self.locate(core, ssrc);
                    self.streams.push((ssrc, target));
                }
                let pt = packet.header.payload_type;
                let format = match self.formats.iter().find(|(p, _)| *p == pt) {
                    Some((_, format)) => *format,
                    None => {
                        let is = |p: &PayloadParams| p.pt() == pt || p.red() == Some(pt);
                        let Some(format) = core.rtc.codec_config().find(is).copied() else {
                            return;
                        };
                        self.formats.push((pt, format));
                        format
                    }
                };
                if let Some((_, Some((route, layer)))) = self.streams.iter().find(|(s, _)| *s == ssrc) {
                    route.forward(self.source, *layer, &packet, format);
                }
            }
            Event::Connected => self.watcher.connected(),
            _ => {}
        }
    }

    fn ended(&mut self, _: &mut Core) {
        self.watcher.ended();
    }
}
