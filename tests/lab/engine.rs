//! The model of the WebRTC engine: one peer connection, its steps with their latencies and failures, the order in which
//! JSEP allows them (RFC 8829, section 3.2), and its unsolicited events.

use super::{
    faults::Class,
    text::{self, Desc, Line, Tag, TO_RECEIVE},
    world::{Ev, Ms, World},
};
use offhook::core::{model::*, Action, Input, Op, OpDone, OpFailed, PeerChange, RemoteId};
use offhook::error::Code;
use offhook::signalling::{livekit, stream};

/// Packets of a forgotten track are ignored for this long.
const COMES_AGAIN: Ms = 500;

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Good,
    Fails,
    /// The peer connection has closed by itself.
    Closed,
}

/// Unsolicited events of a peer connection.
#[derive(Clone, Debug)]
pub enum News {
    Change(PeerChange),
    Candidate(String),
    /// Packets arrive. `again`: of a forgotten track.
    Track {
        mid: String,
        again: bool,
    },
    TrackGone {
        id: RemoteId,
    },
    Closed,
    /// Some time after a disconnect: reconnected by itself.
    Recovers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signalling {
    Stable,
    HaveLocal,
}

#[derive(Debug)]
pub struct Peer {
    pub generation: Generation,
    pub kind: PeerKind,
    /// False until Create has succeeded.
    pub made: bool,
    /// The core has requested its close, or it closed by itself.
    pub gone: bool,
    busy: Ms,
    signalling: Signalling,
    ice: u32,
    /// The local ICE generation before the offer in progress.
    stable_ice: u32,
    serial: u64,
    remote: Option<Desc>,
    stable_remote: Option<Desc>,
    pub senders: Vec<u64>,
    /// Their names, and whether they still send.
    names: Vec<(String, bool)>,
    /// M-lines on which the SFU sends, on a publisher.
    receive: u32,
    /// As in the answer in force.
    stable_names: Vec<(String, bool)>,
    /// Data channels exist; the answer in force contains them.
    channels: bool,
    pub channels_open: bool,
    /// Number of senders in the answer in force.
    pub acknowledged: usize,
    offered: usize,
    /// Remote tracks by m-line.
    pub tracks: Vec<(String, RemoteId, String)>,
    pub connected: bool,
    /// The network forwards its packets.
    reachable: bool,
    started: bool,
}

impl Peer {
    fn roll_back(&mut self) {
        if self.signalling != Signalling::Stable {
            self.signalling = Signalling::Stable;
            self.ice = self.stable_ice;
            self.names = self.stable_names.clone();
            self.senders.truncate(self.names.len());
        }
    }

    /// The name of an application's track in descriptions.
    pub fn name_of(&self, track: u64) -> Option<&str> {
        let line = self.senders.iter().position(|sender| *sender == track)?;
        self.names.get(line).map(|(name, _)| name.as_str())
    }

    /// Number of the SFU's description in force.
    pub fn remote_serial(&self) -> Option<u64> {
        self.stable_remote.as_ref().map(|d| d.serial)
    }
}

impl World {
    fn peer(&mut self, client: usize, generation: Generation, kind: PeerKind) -> Option<&mut Peer> {
        self.clients[client].peers.iter_mut().rev().find(|p| p.generation == generation && p.kind == kind)
    }

    /// Schedules a step after the earlier ones.
    pub fn engine_step(
        &mut self,
        client: usize,
        generation: Generation,
        kind: PeerKind,
        op: Op,
        action: Action,
        extra: Ms,
    ) {
        let now = self.now;
        let this = &mut self.clients[client];
        let mut fate = Fate::Good;
        if this.hit(now, Class::Op) {
            fate = if this.fault.between(0, 4) == 0 { Fate::Closed } else { Fate::Fails };
        }
        let mut wait = this.engine.between(0, 3) + extra;
        if this.hit(now, Class::Slow) {
            wait += this.fault.between(0, 2_000);
        }
        if matches!(action, Action::Create { .. }) {
            let reachable = !this.hit(now, Class::Peer);
            this.peers.push(Peer {
                generation,
                kind,
                made: false,
                gone: false,
                busy: now,
                signalling: Signalling::Stable,
                ice: 0,
                stable_ice: 0,
                serial: 0,
                remote: None,
                stable_remote: None,
                senders: Vec::new(),
                names: Vec::new(),
                receive: 0,
                stable_names: Vec::new(),
                channels: false,
                channels_open: false,
                acknowledged: 0,
                offered: 0,
                tracks: Vec::new(),
                connected: false,
                reachable,
                started: false,
            });
        }
        let mut at = now + wait;
        if let Some(peer) = self.peer(client, generation, kind) {
            peer.busy = peer.busy.max(at);
            at = peer.busy;
        }
        self.at(at, Ev::Op { client, generation, peer: kind, op, action, fate });
    }

    pub fn close_peer(&mut self, client: usize, generation: Generation, kind: PeerKind, extra: Ms) {
        let wait = self.clients[client].engine.between(0, 60) + extra;
        if let Some(peer) = self.peer(client, generation, kind) {
            peer.gone = true;
        }
        self.after(wait, Ev::Engine { client, generation, peer: kind, what: News::Closed });
    }

    pub fn op_done(
        &mut self,
        client: usize,
        generation: Generation,
        kind: PeerKind,
        op: Op,
        action: Action,
        fate: Fate,
    ) {
        let name = action.name();
        let result = match self.peer(client, generation, kind) {
            None => Err(closed()),
            Some(peer) if peer.gone => Err(closed()),
            Some(peer) if fate == Fate::Closed && peer.made => {
                peer.gone = true;
                let what = News::Change(PeerChange::Closed);
                self.after(1, Ev::Engine { client, generation, peer: kind, what });
                Err(closed())
            }
            Some(_) if fate != Fate::Good => {
                Err(OpFailed { code: Code::Media, closed: false, message: "a planned failure".into() })
            }
            Some(_) => self.step(client, generation, kind, action),
        };
        match result {
            Ok(done) => {
                self.input(client, Input::Op { generation, peer: kind, op, result: Ok(done) });
                self.flush_data(client);
            }
            Err(failed) if failed.code == Code::Internal => {
                self.fault(format!("session {client}: {kind:?} {generation:?} {name}: {}", failed.message))
            }
            Err(failed) => self.input(client, Input::Op { generation, peer: kind, op, result: Err(failed) }),
        }
    }

    fn step(
        &mut self,
        client: usize,
        generation: Generation,
        kind: PeerKind,
        action: Action,
    ) -> Result<OpDone, OpFailed> {
        use Signalling::*;
        let peer_generation = generation.0;
        let owner = client;
        let livekit = self.setup.livekit;
        let Some(peer) = self.peer(client, generation, kind) else { return Err(closed()) };
        let signalling = peer.signalling;
        match action {
            Action::Create { .. } => peer.made = true,
            Action::Offer(wanted) => {
                // An earlier offer without an answer is rolled back.
                peer.roll_back();
                let mut ends = false;
                for (name, live) in &mut peer.names {
                    let stays = wanted.senders.iter().any(|sender| sender.name == *name);
                    ends |= std::mem::replace(live, *live && stays) && !stays;
                }
                let is_new = |name: &String| !peer.names.iter().any(|(known, _)| known == name);
                if !livekit && ends && !wanted.senders.iter().any(|sender| is_new(&sender.name)) {
                    // An m-line is given up only for a new track.
                    return Err(broken("tracks do not end in this protocol's SDP".into()));
                }
                for sender in &wanted.senders {
                    if peer.names.iter().any(|(name, _)| *name == sender.name) {
                        continue;
                    }
                    if peer.senders.contains(&sender.track) {
                        return Err(broken(format!("track {} is added twice", sender.track)));
                    }
                    peer.senders.push(sender.track);
                    peer.names.push((sender.name.clone(), true));
                }
                if wanted.channels && !livekit {
                    return Err(broken("this protocol has no data channels".into()));
                }
                let channels = wanted.channels && !std::mem::replace(&mut peer.channels, wanted.channels);
                (peer.signalling, peer.stable_ice) = (HaveLocal, peer.ice);
                peer.ice += u32::from(wanted.ice_restart && peer.started);
                peer.serial += 1;
                peer.offered = peer.senders.len();
                let line = |(n, t): (usize, &u64)| {
                    let (name, active) = &peer.names[n];
                    let stream = if livekit { name.clone() } else { format!("t{t}") };
                    Line { mid: n.to_string(), stream, active: *active }
                };
                peer.receive = peer.receive.max(wanted.receive);
                let receive = (0..peer.receive).map(|n| Line {
                    mid: format!("r{n}"),
                    stream: TO_RECEIVE.into(),
                    active: n < wanted.receive,
                });
                let lines: Vec<_> = peer.senders.iter().enumerate().map(line).chain(receive).collect();
                let mid = |name: &String| peer.names.iter().position(|(n, _)| n == name).map(|n| n.to_string());
                let mids = wanted.senders.iter().filter_map(|sender| mid(&sender.name)).collect();
                let tag = Tag { sfu: false, owner, peer_generation, kind, ice: peer.ice };
                let desc = Desc { tag, serial: peer.serial, lines };
                if channels {
                    self.clients[client].signalling_link.session.has_data_channels();
                }
                self.gather(client, generation, kind, &desc.tag);
                return Ok(OpDone::Offer { sdp: desc.text(), mids });
            }
            Action::SetAnswer(sdp) => {
                let Some(desc) = Desc::parse(&sdp) else {
                    return Err(broken("an answer that was never sent".into()));
                };
                if signalling != HaveLocal {
                    return Err(broken(format!("set answer in {signalling:?}")));
                }
                if desc.serial != peer.serial {
                    return Err(broken(format!("answer to offer {}, current is {}", desc.serial, peer.serial)));
                }
                check_remote(client, kind, &desc, peer.stable_remote.as_ref())?;
                peer.signalling = Stable;
                peer.acknowledged = peer.offered;
                peer.stable_names = peer.names.clone();
                peer.channels_open = peer.channels;
                (peer.remote, peer.stable_remote) = (Some(desc.clone()), Some(desc));
                self.connects(client, generation, kind);
                self.media(client, generation, kind);
            }
            Action::Answer { offer, candidates } => {
                let Some(desc) = Desc::parse(&offer) else { return Err(broken("an offer that was never made".into())) };
                if signalling != Stable {
                    return Err(broken(format!("answer in {signalling:?}")));
                }
                check_remote(client, kind, &desc, peer.stable_remote.as_ref())?;
                if peer.stable_remote.as_ref().is_some_and(|r| r.tag.ice != desc.tag.ice) {
                    peer.ice += 1;
                }
                (peer.remote, peer.stable_remote) = (Some(desc.clone()), Some(desc.clone()));
                let mut refused = 0;
                for json in &candidates {
                    match check_candidate(kind, &desc, json) {
                        Err(failed) if failed.code == Code::Internal => return Err(failed),
                        other => refused += usize::from(other.is_err()),
                    }
                }
                let tag = Tag { sfu: false, owner, peer_generation, kind, ice: peer.ice };
                let answer = Desc { tag: tag.clone(), serial: desc.serial, lines: Vec::new() };
                self.gather(client, generation, kind, &tag);
                self.connects(client, generation, kind);
                self.media(client, generation, kind);
                return Ok(OpDone::Answer { sdp: answer.text(), refused });
            }
            Action::AddCandidate(json) => {
                let Some(remote) = &peer.remote else {
                    return Err(broken("a candidate before any description".into()));
                };
                check_candidate(kind, remote, &json)?;
            }
        }
        Ok(OpDone::Done)
    }

    /// Local candidates follow a moment later.
    fn gather(&mut self, client: usize, generation: Generation, kind: PeerKind, tag: &Tag) {
        let count = self.clients[client].engine.between(0, 2);
        for number in 0..count {
            let wait = self.clients[client].engine.between(0, 40);
            let what = News::Candidate(tag.candidate(number, true));
            self.after(wait, Ev::Engine { client, generation, peer: kind, what });
        }
    }

    /// Both descriptions are in force: it connects if the network allows it.
    fn connects(&mut self, client: usize, generation: Generation, kind: PeerKind) {
        let now = self.now;
        let wait = 20 + 2 * self.clients[client].latency();
        let never = self.clients[client].hit(now, Class::Peer);
        let Some(peer) = self.peer(client, generation, kind) else { return };
        let first = !std::mem::replace(&mut peer.started, true);
        let restarted = !peer.connected;
        if first && !peer.reachable && never {
            let wait = wait + 3_000;
            let what = News::Change(PeerChange::Failed);
            return self.after(wait, Ev::Engine { client, generation, peer: kind, what });
        }
        if (first && peer.reachable) || (!first && restarted) {
            peer.reachable = true;
            let what = News::Change(PeerChange::Connected);
            self.after(wait, Ev::Engine { client, generation, peer: kind, what });
        }
    }

    /// Remote tracks follow the m-lines of the description in force.
    fn media(&mut self, client: usize, generation: Generation, kind: PeerKind) {
        let wait = self.clients[client].latency();
        let Some(peer) = self.peer(client, generation, kind) else { return };
        let Some(remote) = peer.stable_remote.clone() else { return };
        let mut news = Vec::new();
        // An m-line that stops sending causes no event; one that another track has taken over does.
        peer.tracks.retain(|(mid, id, stream)| {
            let taken = remote.lines_of_sfu().any(|l| l.mid == *mid && l.stream != *stream);
            if taken {
                news.push(News::TrackGone { id: *id });
            }
            !taken
        });
        for line in remote.lines_of_sfu() {
            if !peer.tracks.iter().any(|(mid, ..)| *mid == line.mid) {
                news.push(News::Track { mid: line.mid.clone(), again: false });
            }
        }
        for what in news {
            self.after(wait, Ev::Engine { client, generation, peer: kind, what });
        }
    }

    /// No more packets are expected of a track. If its m-line still sends, it arrives again after a while.
    pub fn forget_track(&mut self, client: usize, id: RemoteId) {
        for peer in &mut self.clients[client].peers {
            let Some(at) = peer.tracks.iter().position(|(_, known, _)| *known == id) else { continue };
            let (generation, kind, (mid, ..)) = (peer.generation, peer.kind, peer.tracks.remove(at));
            let what = News::Track { mid, again: true };
            self.after(COMES_AGAIN, Ev::Engine { client, generation, peer: kind, what });
            break;
        }
        self.after(1, Ev::Input(client, Input::RemoteTrackGone { id }));
    }

    pub fn engine_news(&mut self, client: usize, generation: Generation, kind: PeerKind, what: News) {
        let name = self.clients[client].name();
        let input = match what {
            News::Closed => Input::PeerClosed { generation, peer: kind },
            // An event in transit when the peer connection closed may still arrive.
            News::Candidate(json) => Input::LocalCandidate { generation, peer: kind, json },
            News::TrackGone { id } => Input::RemoteTrackGone { id },
            News::Track { mid, again } => {
                let Some(peer) = self.peer(client, generation, kind).filter(|p| !p.gone) else { return };
                let Some(line) =
                    peer.stable_remote.as_ref().and_then(|r| r.lines_of_sfu().find(|l| l.mid == mid)).cloned()
                else {
                    return;
                };
                if peer.tracks.iter().any(|(m, ..)| *m == mid) {
                    return;
                }
                let id = (client as u64) << 32 | name;
                peer.tracks.push((mid.clone(), id, line.stream.clone()));
                let owner = match self.setup.livekit {
                    true => livekit::media_owner(&line.stream, ""),
                    false => stream::media_owner(&line.stream, &line.stream),
                };
                Input::RemoteTrack { generation, id, owner, mid, again }
            }
            News::Recovers => {
                let Some(peer) = self.peer(client, generation, kind) else { return };
                if peer.gone || peer.connected {
                    return;
                }
                peer.connected = true;
                self.flush_data(client);
                Input::Peer { generation, peer: kind, change: PeerChange::Connected }
            }
            News::Change(change) => {
                let Some(peer) = self.peer(client, generation, kind) else { return };
                let by_itself = change == PeerChange::Closed;
                let old_news = match change {
                    PeerChange::Connected => peer.connected,
                    PeerChange::Disconnected => !peer.connected,
                    PeerChange::Failed | PeerChange::Closed => false,
                };
                if !peer.made || (peer.gone && !by_itself) || old_news {
                    return;
                }
                peer.connected = change == PeerChange::Connected;
                peer.gone |= by_itself;
                self.flush_data(client);
                Input::Peer { generation, peer: kind, change }
            }
        };
        self.input(client, input);
    }
}

/// A candidate must belong to the peer connection and the ICE generation to which it is added.
fn check_candidate(kind: PeerKind, remote: &Desc, json: &str) -> Result<(), OpFailed> {
    let Some((tag, has_ufrag)) = text::candidate(json) else {
        return Err(OpFailed { code: Code::Protocol, closed: false, message: "no candidate".into() });
    };
    let expected = (remote.tag.owner, remote.tag.peer_generation, remote.tag.sfu);
    if tag.kind != kind || (tag.owner, tag.peer_generation, tag.sfu) != expected {
        return Err(broken(format!("a candidate of {} on {}", tag.ufrag(), remote.tag.ufrag())));
    }
    if has_ufrag && tag.ice < remote.tag.ice {
        return Err(broken(format!("a superseded candidate: {} on {}", tag.ufrag(), remote.tag.ufrag())));
    }
    Ok(())
}

/// A description must be the SFU's, for this peer connection, and of the same peer connection at the SFU as the
/// previous one.
fn check_remote(client: usize, kind: PeerKind, desc: &Desc, before: Option<&Desc>) -> Result<(), OpFailed> {
    if !desc.tag.sfu || desc.tag.kind != kind {
        return Err(broken(format!("session {client}: {} on a {kind:?}", desc.tag.ufrag())));
    }
    match before {
        // The SFU has lost the session and the client has not: another DTLS identity.
        Some(before)
            if (before.tag.owner, before.tag.peer_generation) != (desc.tag.owner, desc.tag.peer_generation) =>
        {
            Err(OpFailed { code: Code::Media, closed: false, message: "another fingerprint".into() })
        }
        // No socket does this, only a bug in this library.
        Some(before) if before.tag.ice > desc.tag.ice => {
            Err(OpFailed { code: Code::Media, closed: false, message: "back in time".into() })
        }
        _ => Ok(()),
    }
}

fn closed() -> OpFailed {
    OpFailed { code: Code::Closed, closed: true, message: "the peer connection is closed".into() }
}

/// Not a failure of the engine but of its caller.
fn broken(message: String) -> OpFailed {
    OpFailed { code: Code::Internal, closed: false, message }
}
