//! The peer connection on which one participant sends.
//!
//! Knows which m-line feeds which route; nothing of who listens.

use crate::media::{
    forward::{KeyframeWish, Route, MAX_LAYERS},
    peer::{drive, Core, PeerStats, Role, Setup, Then, COMMANDS},
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

/// Key frames of one layer are asked for at most this often.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(200);
/// Streams remembered per peer connection.
const MAX_STREAMS: usize = 64;

/// The answer to an offer, and whether ICE was restarted with it.
pub type Answered = Result<(String, bool), String>;

/// What signalling asks of a publisher.
#[derive(Debug)]
pub enum Command {
    Offer { sdp: String, routes: Vec<(String, Arc<Route>)>, reply: oneshot::Sender<Answered> },
    Candidate(String, oneshot::Sender<Result<(), String>>),
    Keyframe(KeyframeWish),
    Close,
    Vanish,
}

/// Told when a publisher connects or ends.
pub trait Watcher: Send + Sync + 'static {
    fn connected(&self);
    fn ended(&self);
}

/// The way to a publisher's task.
#[derive(Clone, Debug)]
pub struct Handle {
    pub tx: mpsc::Sender<Command>,
    pub stats: Arc<PeerStats>,
}

/// Starts the task of a publisher. Births are numbered by `source`; the later of two publishers of one track counts.
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
        own: tx.downgrade(),
        last_wish: Vec::new(),
    };
    tokio::spawn(drive(core, role, commands, None));
    Ok(Handle { tx, stats })
}

/// A route, and the simulcast layer of it if there are several.
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
    /// Where each SSRC goes; `None` for one that belongs to no announced track.
    streams: Vec<(Ssrc, Option<Destination>)>,
    formats: Vec<(Pt, PayloadParams)>,
    /// Given to routes for their wishes; weak, so that the task ends when its handle is dropped.
    own: mpsc::WeakSender<Command>,
    last_wish: Vec<(u64, u8, Instant)>,
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
            route.set_wishes(self.own.clone());
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

    fn keyframe(&mut self, core: &mut Core, wish: KeyframeWish) {
        let now = Instant::now();
        self.last_wish.retain(|(_, _, at)| now.duration_since(*at) < KEYFRAME_INTERVAL);
        if self.last_wish.iter().any(|(r, l, _)| (*r, *l) == (wish.route, wish.layer)) {
            return;
        }
        for (ssrc, target) in &self.streams {
            let Some((route, layer)) = target else { continue };
            if route.id != wish.route || layer.is_some_and(|l| l != wish.layer) {
                continue;
            }
            if let Some(stream) = core.rtc.direct_api().stream_rx(ssrc) {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                core.stats.keyframe_requests.fetch_add(1, Relaxed);
                self.last_wish.push((wish.route, wish.layer, now));
            }
        }
    }
}

impl Role for Publisher {
    type Command = Command;

    fn command(&mut self, core: &mut Core, command: Command) -> Then {
        match command {
            Command::Offer { sdp, routes, reply } => {
                let _ = reply.send(self.offer(core, &sdp, routes));
            }
            Command::Candidate(json, reply) => {
                let _ = reply.send(core.trickle(&json));
            }
            Command::Keyframe(wish) => self.keyframe(core, wish),
            Command::Close => return Then::Close,
            Command::Vanish => return Then::Vanish,
        }
        Then::Go
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
