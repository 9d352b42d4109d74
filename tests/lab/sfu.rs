//! The model of the SFU: edges that may die, rooms that span all edges, participants, their publishers and subscribers.
//! The behaviour of an SFU without planned faults; faults are planned elsewhere.

use super::{
    faults::Class,
    sockets::{Cut, Down},
    text::{Desc, Line, Tag},
    world::{Ev, Ms, World},
};
use offhook::core::model::*;
use std::collections::BTreeSet;

/// How long a session without a socket is kept for FAST.
pub const KEPT: Ms = 10_000;
/// An offer without an answer is repeated after this time.
const OFFER_AGAIN: Ms = 3_000;

pub struct Edge {
    pub name: String,
    pub alive: bool,
    /// Sockets do not open before this time: the cluster has not noticed yet that a node died.
    pub hangs_until: Ms,
}

/// A track as the SFU knows it.
#[derive(Clone, Debug)]
pub struct Published {
    pub name: String,
    pub muted: bool,
    /// The number of the stream by which other participants receive it.
    pub stream: String,
    /// The m-line that carries it.
    pub mid: String,
}

/// The subscriber's side of a participant at one edge.
#[derive(Default, Debug)]
pub struct Subscriber {
    pub ice: u32,
    pub next: u64,
    /// Unanswered offers.
    pub waiting: Vec<(u64, Ms)>,
    pub lines: Vec<Line>,
    /// On one peer connection: the streams that have no m-line yet, as of the last answer, and how many m-lines were
    /// requested for them since.
    pub missing: Vec<String>,
    pub requested: usize,
    /// Number of the last answered offer.
    pub answered: u64,
    dirty: bool,
    soon: bool,
}

/// A participant's place at one edge; during a migration it has two.
#[derive(Debug)]
pub struct Place {
    pub edge: usize,
    pub generation: Generation,
    pub sock: Option<usize>,
    /// Number of its peer connections at the SFU.
    pub peer_generation: u32,
    pub lost_at: Ms,
    /// The publisher's last offer and the ICE generation of the SFU's side.
    pub publisher: Option<(Tag, u64, u32)>,
    pub subscriber: Subscriber,
    gone: bool,
    /// The migration completes once its tracks are published here.
    arriving: bool,
}

#[derive(Debug)]
pub struct Member {
    pub client: usize,
    pub room: usize,
    pub session_id: String,
    pub user: String,
    pub prefix: String,
    pub tracks: Vec<Published>,
    pub places: Vec<Place>,
    pub left: bool,
    pub may_send: bool,
    /// Version of its reported state.
    pub version: u32,
    /// Announced, but not offered yet.
    pub pending: Vec<Published>,
    /// Remote tracks that it has unsubscribed, and that it has paused.
    pub unwanted: BTreeSet<String>,
    pub paused: BTreeSet<String>,
}

pub struct Sfu {
    pub edges: Vec<Edge>,
    pub members: Vec<Member>,
    peer_generations: Vec<u32>,
}

#[derive(Debug)]
pub enum SfuTimer {
    /// The edge notices that a silent socket is dead.
    Notice {
        sock: usize,
    },
    /// A session that has not resumed by now has left.
    Expire {
        member: usize,
        peer_generation: u32,
        lost_at: Ms,
    },
    Offer {
        member: usize,
        peer_generation: u32,
    },
    Repeat {
        member: usize,
        peer_generation: u32,
        serial: u64,
    },
    Complete {
        member: usize,
    },
    /// Removes a session that was replaced by another one of the same participant.
    Ghost {
        member: usize,
    },
    /// A socket that leads to a dead node is closed.
    Dangling {
        sock: usize,
    },
    EdgeUp {
        edge: usize,
    },
}

impl Sfu {
    pub fn new(edges: usize) -> Self {
        let edges = (0..edges).map(|n| Edge { name: format!("edge-{n}"), alive: true, hangs_until: 0 }).collect();
        Self { edges, members: Vec::new(), peer_generations: Vec::new() }
    }

    pub fn edge_named(&self, name: &str) -> usize {
        self.edges.iter().position(|e| e.name == name).unwrap_or(0)
    }

    /// The number of a participant's next peer connections.
    pub fn peer_generation(&mut self, client: usize) -> u32 {
        if self.peer_generations.len() <= client {
            self.peer_generations.resize(client + 1, 0);
        }
        self.peer_generations[client] += 1;
        self.peer_generations[client]
    }

    /// Members of the room, in the order in which they joined.
    pub fn room(&self, room: usize) -> impl Iterator<Item = (usize, &Member)> {
        self.members.iter().enumerate().filter(move |(_, m)| m.room == room && !m.left)
    }

    /// The participant and the place behind a session id at an edge.
    pub fn find(&self, client: usize, session_id: &str, edge: usize) -> Option<(usize, usize)> {
        self.members.iter().enumerate().rev().find_map(|(index, m)| {
            let ours = m.client == client && m.session_id == session_id && !m.left;
            let place = m.places.iter().rposition(|p| p.edge == edge && !p.gone)?;
            ours.then_some((index, place))
        })
    }

    pub fn person(&self, member: usize) -> Participant {
        let m = &self.members[member];
        Participant {
            user_id: m.user.clone(),
            session_id: m.session_id.clone(),
            name: m.user.as_str().into(),
            published: m.tracks.iter().filter(|t| !t.muted).map(|_| TrackKind::Audio.into()).take(1).collect(),
            track_prefix: m.prefix.clone(),
            ..Participant::default()
        }
    }

    pub fn counts(&self, room: usize) -> Counts {
        Counts { total: self.room(room).count() as u32, anonymous: 0 }
    }
}

impl Place {
    pub fn new(edge: usize, generation: Generation, sock: usize, peer_generation: u32, subscriber: Subscriber) -> Self {
        Self {
            edge,
            generation,
            sock: Some(sock),
            peer_generation,
            lost_at: 0,
            publisher: None,
            subscriber,
            gone: false,
            arriving: false,
        }
    }
}

impl Subscriber {
    /// An offer, or the request for one, is sent.
    pub fn offered_once(&mut self) {
        (self.dirty, self.soon) = (false, false);
    }

    /// Something has changed, and no offer is pending.
    pub fn is_due(&self) -> bool {
        self.dirty && self.waiting.is_empty() && !self.soon
    }
}

impl Member {
    pub fn place(&self, peer_generation: u32) -> Option<usize> {
        self.places.iter().position(|p| p.peer_generation == peer_generation && !p.gone)
    }

    /// Its current place.
    pub fn current(&self) -> Option<&Place> {
        self.places.iter().rev().find(|p| !p.gone)
    }
}

impl World {
    /// Sends to everyone else in the room, at every edge where they are connected.
    pub fn broadcast(&mut self, member: usize, message: &SfuMessage) {
        if self.setup.livekit {
            return self.broadcast_livekit(member);
        }
        let room = self.sfu.members[member].room;
        let client = self.sfu.members[member].client;
        let socks: Vec<usize> = self
            .sfu
            .room(room)
            .filter(|(_, m)| m.client != client)
            .flat_map(|(_, m)| m.places.iter().filter(|p| !p.gone).filter_map(|p| p.sock))
            .filter(|s| self.socks[*s].joined)
            .collect();
        for sock in socks {
            self.send_message(sock, message.clone());
        }
    }

    /// The streams of the room have changed for the other members.
    pub fn streams_changed(&mut self, member: usize) {
        let (room, client) = (self.sfu.members[member].room, self.sfu.members[member].client);
        let others: Vec<(usize, u32)> = self
            .sfu
            .room(room)
            .filter(|(_, m)| m.client != client)
            .flat_map(|(i, m)| m.places.iter().filter(|p| !p.gone).map(move |p| (i, p.peer_generation)))
            .collect();
        for (member, peer_generation) in others {
            self.want_offer(member, peer_generation, 10);
        }
    }

    /// An offer is due. It waits for the answer to a pending one, unless edges are impatient.
    pub fn want_offer(&mut self, member: usize, peer_generation: u32, wait: Ms) {
        let impatient = self.setup.impatient;
        let Some(place) = self.sfu.members[member].place(peer_generation) else { return };
        let sub = &mut self.sfu.members[member].places[place].subscriber;
        sub.dirty = true;
        if (impatient || sub.waiting.is_empty()) && !std::mem::replace(&mut sub.soon, true) {
            self.after(wait, Ev::Sfu(SfuTimer::Offer { member, peer_generation }));
        }
    }

    /// The streams of the room that a participant receives.
    pub fn streams_for(&self, member: usize) -> Vec<String> {
        let m = &self.sfu.members[member];
        let others = self.sfu.room(m.room).filter(|(_, o)| o.client != m.client);
        let wanted = |t: &&Published| !m.unwanted.contains(t.sid());
        others.flat_map(|(_, o)| o.tracks.iter().filter(wanted).map(|t| t.stream.clone())).collect()
    }

    /// Sends an offer with the current streams of the room.
    pub fn offer(&mut self, member: usize, peer_generation: u32, ice_restart: bool) {
        let now = self.now;
        let m = &self.sfu.members[member];
        let Some(index) = m.place(peer_generation).filter(|_| !m.left) else { return };
        let Some(sock) = m.places[index].sock.filter(|s| self.socks[*s].joined) else { return };
        let streams = self.streams_for(member);
        if self.setup.one_connection {
            return self.require_lines(member, index, sock, &streams);
        }
        let place = &mut self.sfu.members[member].places[index];
        let sub = &mut place.subscriber;
        for line in &mut sub.lines {
            line.active = line.active && streams.contains(&line.stream);
        }
        for stream in streams {
            if sub.lines.iter().any(|l| l.active && l.stream == stream) {
                continue;
            }
            // An m-line whose track has ended is reused.
            match sub.lines.iter_mut().find(|l| !l.active) {
                Some(line) => (line.active, line.stream) = (true, stream),
                None => {
                    let mid = sub.lines.len().to_string();
                    sub.lines.push(Line { mid, stream, active: true });
                }
            }
        }
        sub.offered_once();
        sub.ice += u32::from(ice_restart);
        sub.next += 1;
        let serial = sub.next;
        sub.waiting.push((serial, now));
        let tag = Tag { sfu: true, owner: member, peer_generation, kind: PeerKind::Subscriber, ice: sub.ice };
        let desc = Desc { tag: tag.clone(), serial, lines: sub.lines.clone() };
        let message = SfuMessage::SubscriberOffer { ice_restart, sdp: desc.text(), negotiation_id: serial as u32 };
        self.send_message(sock, message);
        for number in 0..2 {
            let message = SfuMessage::IceTrickle { peer: PeerKind::Subscriber, candidate: tag.candidate(number, true) };
            self.send_message(sock, message);
        }
        let again = if self.setup.livekit { super::livekit_server::NEGOTIATION_FAILED } else { OFFER_AGAIN };
        self.after(again, Ev::Sfu(SfuTimer::Repeat { member, peer_generation, serial }));
    }

    /// A participant leaves the room.
    pub fn member_leaves(&mut self, member: usize) {
        if std::mem::replace(&mut self.sfu.members[member].left, true) {
            return;
        }
        let m = &mut self.sfu.members[member];
        m.tracks.clear();
        m.pending.clear();
        for place in &mut m.places {
            place.gone = true;
        }
        let (session_id, user_id) = (m.session_id.clone(), m.user.clone());
        self.broadcast(member, &SfuMessage::ParticipantLeft { session_id, user_id, reason: LeaveReason::UNKNOWN });
        self.streams_changed(member);
    }

    /// A socket has closed: with 1000 it was a leave, else the session is kept for its participant.
    pub fn sfu_loses(&mut self, sock: usize, code: Option<u16>) {
        let found = self.sfu.members.iter().enumerate().find_map(|(i, m)| {
            let place = m.places.iter().position(|p| p.sock == Some(sock) && !p.gone)?;
            (!m.left).then_some((i, place))
        });
        let Some((member, index)) = found else { return };
        let now = self.now;
        let m = &mut self.sfu.members[member];
        let place = &mut m.places[index];
        (place.sock, place.lost_at) = (None, now);
        let (peer_generation, arriving) = (place.peer_generation, place.arriving);
        let last = m.places.iter().filter(|p| !p.gone).count() == 1;
        let newest = m.places.iter().rposition(|p| !p.gone) == Some(index);
        // The move is final once no old place has a socket.
        let settled = !arriving || m.places.iter().all(|p| p.gone || p.sock.is_none());
        if !last && newest && settled {
            for old in m.places[..index].iter_mut() {
                old.gone = true;
            }
            self.old_place_ends(member);
        }
        let m = &mut self.sfu.members[member];
        let last = m.places.iter().filter(|p| !p.gone).count() == 1;
        if !(last || newest && settled) {
            // The old place of a migration, or a new one that failed.
            m.places[index].gone = true;
            if !newest {
                self.old_place_ends(member);
            }
        } else if code == Some(1000) && last {
            self.member_leaves(member);
        } else {
            self.after(KEPT, Ev::Sfu(SfuTimer::Expire { member, peer_generation, lost_at: now }));
        }
    }

    /// Tracks published at the old edge end with it, unless they were published at the new one.
    fn old_place_ends(&mut self, member: usize) {
        let silent = self.sfu.members[member].current().is_some_and(|p| p.publisher.is_none());
        if silent {
            self.publish(member, &[]);
        }
    }

    pub fn sfu_timer(&mut self, timer: SfuTimer) {
        match timer {
            SfuTimer::Notice { sock } => {
                if std::mem::take(&mut self.socks[sock].edge_end) {
                    self.sfu_loses(sock, None);
                }
            }
            SfuTimer::Expire { member, peer_generation, lost_at } => {
                let m = &self.sfu.members[member];
                let lost = m
                    .place(peer_generation)
                    .is_some_and(|p| m.places[p].sock.is_none() && m.places[p].lost_at == lost_at);
                let only = m.places.iter().filter(|p| !p.gone).count() == 1;
                if lost && !only {
                    // The participant continued at another place meanwhile.
                    if let Some(place) = m.place(peer_generation) {
                        self.sfu.members[member].places[place].gone = true;
                        self.old_place_ends(member);
                    }
                } else if lost && !m.left {
                    self.note(|| format!("     the SFU gives up session {}", self_id(member)));
                    self.member_leaves(member);
                }
            }
            SfuTimer::Offer { member, peer_generation } => {
                let m = &mut self.sfu.members[member];
                let Some(place) = m.place(peer_generation) else { return };
                let sub = &mut m.places[place].subscriber;
                sub.soon = false;
                if sub.dirty {
                    self.offer(member, peer_generation, false);
                }
            }
            SfuTimer::Repeat { member, peer_generation, serial } => {
                let m = &mut self.sfu.members[member];
                let Some(place) = m.place(peer_generation) else { return };
                if self.setup.livekit {
                    return self.negotiation_timed_out(member, peer_generation, serial);
                }
                let place = &mut self.sfu.members[member].places[place];
                if place.sock.is_some() && place.subscriber.waiting.iter().any(|(s, _)| *s == serial) {
                    place.subscriber.waiting.retain(|(s, _)| *s > serial);
                    if place.subscriber.waiting.is_empty() {
                        self.offer(member, peer_generation, false);
                    }
                }
            }
            SfuTimer::Complete { member } => self.migration_complete(member),
            SfuTimer::Ghost { member } => self.member_leaves(member),
            SfuTimer::Dangling { sock } => self.close_down(sock, Some(1000)),
            SfuTimer::EdgeUp { edge } => {
                self.note(|| format!("     edge-{edge} is up again"));
                self.sfu.edges[edge].alive = true;
            }
        }
    }

    /// The new edge is ready: reported on the old socket.
    pub fn arrived(&mut self, member: usize, peer_generation: u32) {
        let Some(place) = self.sfu.members[member].place(peer_generation) else { return };
        if std::mem::take(&mut self.sfu.members[member].places[place].arriving) {
            let wait = 10 + self.clients[self.sfu.members[member].client].latency();
            self.after(wait, Ev::Sfu(SfuTimer::Complete { member }));
        }
    }

    pub fn expect_arrival(&mut self, member: usize, place: usize) {
        self.sfu.members[member].places[place].arriving = true;
    }

    fn migration_complete(&mut self, member: usize) {
        let m = &self.sfu.members[member];
        let old = m.places.iter().position(|p| !p.gone);
        let newest = m.places.iter().rposition(|p| !p.gone);
        if old == newest || m.left {
            return;
        }
        if let Some(sock) = old.and_then(|o| m.places[o].sock) {
            let client = m.client;
            let now = self.now;
            if self.clients[client].hit(now, Class::GoAway) {
                // A fault: the message is not sent.
                return;
            }
            self.send_message(sock, SfuMessage::MigrationComplete);
        }
    }

    /// An edge dies: its sockets break, and its sessions are lost.
    pub fn edge_dies(&mut self, edge: usize, for_ms: Ms, silently: bool) {
        if !self.sfu.edges[edge].alive {
            return;
        }
        self.note(|| format!("     edge-{edge} dies for {for_ms} ms"));
        self.sfu.edges[edge].alive = false;
        for sock in 0..self.socks.len() {
            if self.socks[sock].edge == edge && self.socks[sock].edge_end {
                self.socks[sock].edge_end = false;
                if silently {
                    self.socks[sock].silent = true;
                } else {
                    self.send_down(sock, Down::Close(None));
                }
            }
        }
        let lost: Vec<usize> = (0..self.sfu.members.len())
            .filter(|m| {
                let m = &mut self.sfu.members[*m];
                let mut here = false;
                for place in m.places.iter_mut().filter(|p| p.edge == edge && !p.gone) {
                    place.gone = true;
                    here = true;
                }
                here && m.places.iter().all(|p| p.gone) && !m.left
            })
            .collect();
        for member in lost {
            self.member_leaves(member);
        }
        self.after(for_ms, Ev::Sfu(SfuTimer::EdgeUp { edge }));
    }

    /// Ends every silence that a fault began: the calm phase must find sockets that are alive or closed.
    pub fn cut_silent(&mut self) {
        for sock in 0..self.socks.len() {
            if self.socks[sock].silent && self.socks[sock].client_end {
                self.socks[sock].silent = false;
                self.cut(sock, Cut::Reset);
                self.socks[sock].edge_end = false;
                self.send_down(sock, Down::Close(None));
            }
        }
    }
}

fn self_id(member: usize) -> String {
    format!("of participant {member}")
}
