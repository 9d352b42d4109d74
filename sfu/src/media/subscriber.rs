//! The peer connection on which one participant receives. The SFU offers, the client answers.
//!
//! One negotiation at a time. It receives the full set of requested routes and computes the changes.

use crate::media::{
    forward::{MediaPacket, Route, Sub, NO_LAYER},
    peer::{drive, Core, Next, PeerStats, Role, Setup, COMMANDS, MEDIA},
    rewrite::Rewrite,
    sdp,
};
use std::{
    io,
    sync::{
        atomic::{AtomicU32, AtomicU64, AtomicU8, Ordering::Relaxed},
        Arc,
    },
    time::{Duration, Instant},
};
use str0m::{
    change::{SdpAnswer, SdpPendingOffer},
    media::{Direction, MediaKind, Mid, Pt},
    rtp::{ExtensionValues, RtpWrite},
    Event,
};
use tokio::sync::{mpsc, oneshot};

/// An unanswered offer is resent after this time.
const RESEND: Duration = Duration::from_secs(1);
/// Maximum resends of an offer.
const MAX_RESENDS: u32 = 5;
/// Consecutive unusable answers after which only a change triggers a new offer.
const MAX_BAD_ANSWERS: u32 = 3;
const RETRY: Duration = Duration::from_millis(500);

static NEXT_SUB: AtomicU64 = AtomicU64::new(1);

/// One track to forward to this subscriber.
#[derive(Clone, Debug)]
pub struct RequestedTrack {
    pub route: Arc<Route>,
    /// `prefix:TRACK_TYPE:n`.
    pub msid: String,
    /// Muted now. An existing m-line is kept, but none is added.
    pub muted: bool,
    /// Index of the simulcast layer that matches the subscribed size.
    pub layer: u8,
}

/// Result of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerResult {
    Applied,
    /// Its offer is not open, or never was. The answer is ignored.
    Stale,
    Unusable,
}

/// Commands from signalling to a subscriber.
#[derive(Debug)]
pub enum Command {
    /// The full set of requested tracks.
    SetTracks(Vec<RequestedTrack>),
    Answer {
        negotiation_id: u32,
        sdp: String,
        reply: oneshot::Sender<AnswerResult>,
    },
    Candidate(String, oneshot::Sender<Result<(), String>>),
    IceRestart,
    Close,
    Vanish,
}

/// One offer to send to the client.
#[derive(Clone, Debug)]
pub struct Offer {
    pub negotiation_id: u32,
    pub sdp: String,
    pub ice_restart: bool,
}

/// Receives the offers to send to the client, and is notified when the subscriber connects or ends.
pub trait Watcher: Send + Sync + 'static {
    fn offer(&self, offer: &Offer);
    fn connected(&self);
    fn ended(&self);
}

/// Handle of a subscriber's task.
#[derive(Clone, Debug)]
pub struct Handle {
    pub tx: mpsc::Sender<Command>,
    pub stats: Arc<PeerStats>,
}

/// Starts the task of a subscriber. `negotiations` is the last negotiation id of its session.
pub fn spawn(
    setup: &Setup,
    max_lines: usize,
    negotiations: Arc<AtomicU32>,
    watcher: Arc<dyn Watcher>,
) -> io::Result<Handle> {
    let core = Core::new(setup, false)?;
    let stats = core.stats.clone();
    let (tx, commands) = mpsc::channel(COMMANDS);
    let (media_tx, media) = mpsc::channel(MEDIA);
    let role = Subscriber {
        watcher,
        negotiations,
        max_lines,
        media_tx,
        requested: Vec::new(),
        slots: Vec::new(),
        open: None,
        restart: false,
        bad_answers: 0,
        retry_at: None,
    };
    tokio::spawn(drive(core, role, commands, Some(media)));
    Ok(Handle { tx, stats })
}

/// One m-line and the track it carries.
struct Slot {
    mid: Mid,
    kind: MediaKind,
    carries: Option<Carried>,
    /// True if the last applied answer agreed to sending.
    agreed: bool,
    rewrite: Rewrite,
    /// Flood packets sent so far. Added to the sequence numbers of later packets.
    flooded: u64,
    /// Outgoing payload types of the last (incoming payload type, stream).
    format: Option<(Pt, u64, Option<Formats>)>,
}

/// The client's payload types: of the codec, and of redundant audio with it.
type Formats = (Pt, Option<Pt>);

struct Carried {
    route: Arc<Route>,
    msid: String,
    sub: Arc<Sub>,
}

struct Open {
    offer: Offer,
    pending: SdpPendingOffer,
    added: Vec<Slot>,
    /// m-lines whose direction this offer changes; true if to sending.
    turned: Vec<(Mid, bool)>,
    sent: Instant,
    resends: u32,
}

struct Subscriber {
    watcher: Arc<dyn Watcher>,
    negotiations: Arc<AtomicU32>,
    max_lines: usize,
    media_tx: mpsc::Sender<MediaPacket>,
    requested: Vec<RequestedTrack>,
    slots: Vec<Slot>,
    open: Option<Open>,
    restart: bool,
    bad_answers: u32,
    retry_at: Option<Instant>,
}

impl Subscriber {
    fn carry(&self, core: &Core, requested: &RequestedTrack) -> Carried {
        let sub = Sub {
            id: NEXT_SUB.fetch_add(1, Relaxed),
            media: self.media_tx.clone(),
            current: AtomicU8::new(NO_LAYER),
            target: AtomicU8::new(NO_LAYER),
            requested_layer: AtomicU8::new(requested.layer),
            dropped: core.stats.queue_dropped.clone(),
        };
        Carried { route: requested.route.clone(), msid: requested.msid.clone(), sub: Arc::new(sub) }
    }

    /// Drops tracks that are no longer requested, at once and without waiting for the client.
    fn release(&mut self) {
        let opened = self.open.iter_mut().flat_map(|o| o.added.iter_mut());
        for slot in self.slots.iter_mut().chain(opened) {
            let Some(carried) = &slot.carries else { continue };
            match self.requested.iter().find(|r| r.route.id == carried.route.id) {
                None => {
                    carried.route.remove(carried.sub.id);
                    slot.carries = None;
                }
                Some(requested) => {
                    if carried.sub.requested_layer.swap(requested.layer, Relaxed) != requested.layer {
                        carried.route.retarget(Instant::now());
                    }
                }
            }
        }
    }

    /// Starts a negotiation if there are changes and none is open.
    fn negotiate(&mut self, core: &mut Core) {
        if self.open.is_some() {
            return;
        }
        let missing: Vec<RequestedTrack> = self
            .requested
            .iter()
            .filter(|r| !r.muted)
            .filter(|r| !self.slots.iter().any(|s| s.carries.as_ref().is_some_and(|c| c.route.id == r.route.id)))
            .cloned()
            .collect();
        let mut turned = Vec::new();
        let mut added = Vec::new();
        for requested in missing {
            let carried = self.carry(core, &requested);
            let kind = requested.route.kind;
            // Reuse an inactive m-line of the same kind.
            if let Some(slot) = self.slots.iter_mut().find(|s| s.carries.is_none() && !s.agreed && s.kind == kind) {
                slot.carries = Some(carried);
                slot.format = None;
                slot.rewrite.leave_source();
            } else if self.slots.len() + added.len() < self.max_lines {
                added.push((kind, carried));
            }
        }
        let mut api = core.rtc.sdp_api();
        for slot in &self.slots {
            let sends = slot.carries.is_some();
            if sends != slot.agreed {
                api.set_direction(slot.mid, if sends { Direction::SendOnly } else { Direction::Inactive });
                turned.push((slot.mid, sends));
            }
        }
        let added: Vec<Slot> = added
            .into_iter()
            .map(|(kind, carried)| Slot {
                mid: api.add_media(kind, Direction::SendOnly, None, None, None),
                kind,
                carries: Some(carried),
                agreed: false,
                flooded: 0,
                rewrite: Rewrite::default(),
                format: None,
            })
            .collect();
        let ice_restart = self.restart && !self.slots.is_empty();
        if ice_restart {
            api.ice_restart(true);
        }
        let Some((offer, pending)) = api.apply() else { return };
        self.restart = false;
        // A changed msid on a sending m-line would be a change too, but a route never changes its msid.
        let mids: Vec<(String, Option<String>)> = self
            .slots
            .iter()
            .chain(&added)
            .map(|s| (s.mid.to_string(), s.carries.as_ref().map(|c| c.msid.clone())))
            .collect();
        let lines: Vec<sdp::Line<'_>> =
            mids.iter().map(|(mid, msid)| sdp::Line { mid: mid.trim(), msid: msid.as_deref() }).collect();
        let offer = Offer {
            negotiation_id: self.negotiations.fetch_add(1, Relaxed) + 1,
            sdp: sdp::with_msids(&offer.to_sdp_string(), &lines),
            ice_restart,
        };
        self.watcher.offer(&offer);
        self.open = Some(Open { offer, pending, added, turned, sent: Instant::now(), resends: 0 });
    }

    /// Resends the open offer and resets its resend counter. An offer is never withdrawn: the client may have answered
    /// it without the answer arriving, and the m-lines of a different first offer would not match those it has now.
    fn repeat(&mut self) {
        if let Some(open) = &mut self.open {
            open.sent = Instant::now();
            open.resends = 0;
            self.watcher.offer(&open.offer);
        }
    }

    fn answer(&mut self, core: &mut Core, negotiation_id: u32, text: &str) -> AnswerResult {
        // An answer without an id is for the open offer.
        let fits = |o: &Open| negotiation_id == 0 || o.offer.negotiation_id == negotiation_id;
        if !self.open.as_ref().is_some_and(fits) {
            return AnswerResult::Stale;
        }
        let Ok(answer) = SdpAnswer::from_sdp_string(text) else {
            // The offer stays open and is resent.
            return AnswerResult::Unusable;
        };
        let Some(Open { pending, added, turned, .. }) = self.open.take() else { return AnswerResult::Stale };
        if core.rtc.sdp_api().accept_answer(pending, answer).is_err() {
            // The engine's pending offer is consumed. A new offer replaces this one.
            undo(core, &turned);
            self.bad_answers += 1;
            self.retry_later();
            return AnswerResult::Unusable;
        }
        core.described(text);
        self.bad_answers = 0;
        let first_added = self.slots.len();
        self.slots.extend(added);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            // The agreed direction applies even to a track that ended while the offer was open: its m-line must become
            // inactive before it can carry another track.
            let turned = turned.iter().find(|(mid, _)| *mid == slot.mid).map(|(_, sends)| *sends);
            let Some(sends) = turned.or((index >= first_added).then_some(true)) else { continue };
            slot.agreed = sends;
            if let Some(carried) = slot.carries.as_ref().filter(|_| sends) {
                carried.route.add(carried.sub.clone());
                carried.route.request_keyframe(0);
            }
        }
        self.negotiate(core);
        AnswerResult::Applied
    }

    fn retry_later(&mut self) {
        if self.bad_answers < MAX_BAD_ANSWERS {
            self.retry_at = Some(Instant::now() + RETRY);
        }
    }
}

/// The primary frame of a redundant audio packet, for clients that do not accept the redundant ones.
fn primary(packet: &[u8]) -> Option<&[u8]> {
    let (mut at, mut earlier) = (0, 0);
    while packet.get(at)? & 0x80 != 0 {
        earlier += usize::from(packet.get(at + 2)? & 3) << 8 | usize::from(*packet.get(at + 3)?);
        at += 4;
    }
    packet.get(at + 1 + earlier..).filter(|frame| !frame.is_empty())
}

/// Restores the directions in the engine, which changes them already when they are offered.
fn undo(core: &mut Core, turned: &[(Mid, bool)]) {
    let mut api = core.rtc.sdp_api();
    for (mid, sends) in turned {
        api.set_direction(*mid, if *sends { Direction::Inactive } else { Direction::SendOnly });
    }
}

impl Role for Subscriber {
    type Command = Command;

    fn command(&mut self, core: &mut Core, command: Command) -> Next {
        match command {
            Command::SetTracks(requested) => {
                self.requested = requested;
                self.release();
                // The set has changed: try again, the client may answer now.
                if self.open.as_ref().is_some_and(|o| o.resends >= MAX_RESENDS) {
                    self.repeat();
                }
                self.negotiate(core);
            }
            Command::Answer { negotiation_id, sdp, reply } => {
                let _ = reply.send(self.answer(core, negotiation_id, &sdp));
            }
            Command::Candidate(json, reply) => {
                let _ = reply.send(core.trickle(&json));
            }
            Command::IceRestart => {
                // ICE restarts after the answer to the open offer, which the client may not have received.
                self.restart = true;
                self.repeat();
                self.negotiate(core);
            }
            Command::Close => return Next::Close,
            Command::Vanish => return Next::Vanish,
        }
        Next::Go
    }

    fn media(&mut self, core: &mut Core, packet: MediaPacket) {
        let of = |s: &&mut Slot| s.carries.as_ref().is_some_and(|c| c.sub.id == packet.sub);
        let Some(slot) = self.slots.iter_mut().find(of) else { return };
        let Some(carried) = &slot.carries else { return };
        if carried.route.is_simulcast() && packet.layer != carried.sub.current.load(Relaxed) {
            // Switch layers only at a key frame.
            if !packet.keyframe || packet.layer != carried.sub.target.load(Relaxed) {
                return;
            }
            carried.sub.current.store(packet.layer, Relaxed);
        }
        let pt = packet.format.pt();
        let out = match slot.format {
            Some((p, source, out)) if p == pt && source == packet.source => out,
            _ => {
                let found = core.rtc.codec_config().match_params(packet.format).map(|p| (p.pt(), p.red()));
                let found = found.filter(|(p, _)| core.rtc.media(slot.mid).is_some_and(|m| m.remote_pts().contains(p)));
                let sends = core.rtc.media(slot.mid).is_some_and(|m| m.direction().is_sending());
                let found = found.filter(|_| sends);
                slot.format = Some((pt, packet.source, found));
                found
            }
        };
        // The client does not support this codec.
        let Some((plain, red)) = out else { return };
        let (out, payload) = match red.filter(|_| packet.red) {
            Some(red) => (red, packet.payload),
            None if packet.red => match primary(&packet.payload) {
                Some(frame) => (plain, frame.into()),
                None => return,
            },
            None => (plain, packet.payload),
        };
        let audio = slot.kind == MediaKind::Audio;
        let clock = if audio { 48_000 } else { 90_000 };
        let Some((seq, timestamp)) = slot.rewrite.map(packet.source, packet.seq, packet.timestamp, packet.at, clock)
        else {
            return;
        };
        let values = ExtensionValues {
            audio_level: packet.audio_level,
            voice_activity: packet.voice,
            ..ExtensionValues::default()
        };
        let more = core.flood();
        let first = seq + slot.flooded;
        slot.flooded += u64::from(more);
        for seq in first..=first + u64::from(more) {
            let write = RtpWrite::new(out, seq.into(), timestamp, packet.at, payload.clone())
                .marker(packet.marker)
                .ext_vals(values.clone())
                .nackable(!audio);
            if let Some(stream) = core.rtc.direct_api().stream_tx_by_mid(slot.mid, None) {
                stream.write_rtp(write);
                core.stats.rtp_out.fetch_add(1, Relaxed);
            }
        }
    }

    fn event(&mut self, core: &mut Core, event: Event) {
        match event {
            Event::Connected => {
                self.watcher.connected();
                for slot in &self.slots {
                    if let Some(carried) = &slot.carries {
                        carried.route.request_keyframe(carried.sub.target.load(Relaxed));
                    }
                }
            }
            Event::KeyframeRequest(request) => {
                core.stats.keyframe_requests.fetch_add(1, Relaxed);
                let slot = self.slots.iter().find(|s| s.mid == request.mid);
                if let Some(carried) = slot.and_then(|s| s.carries.as_ref()) {
                    carried.route.request_keyframe(carried.sub.current.load(Relaxed));
                }
            }
            _ => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let resend = self.open.as_ref().filter(|o| o.resends < MAX_RESENDS).map(|o| o.sent + RESEND);
        [resend, self.retry_at].into_iter().flatten().min()
    }

    fn on_deadline(&mut self, core: &mut Core, now: Instant) {
        if let Some(open) = self.open.as_mut().filter(|o| o.resends < MAX_RESENDS && o.sent + RESEND <= now) {
            open.sent = now;
            open.resends += 1;
            self.watcher.offer(&open.offer);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.negotiate(core);
        }
    }

    fn ended(&mut self, _: &mut Core) {
        let opened = self.open.iter().flat_map(|o| &o.added);
        for carried in self.slots.iter().chain(opened).filter_map(|s| s.carries.as_ref()) {
            carried.route.remove(carried.sub.id);
        }
        self.watcher.ended();
    }
}
