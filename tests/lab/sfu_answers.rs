//! The model of the SFU, continued: its handling of the socket messages and RPCs of sessions.

use super::{
    faults::Class,
    sfu::{Member, Place, Published, SfuTimer, Subscriber, KEPT},
    sockets::Down,
    text::{Desc, Tag},
    world::{Ev, World},
};
use offhook::core::model::*;

impl World {
    pub fn sfu_receives(&mut self, sock: usize, request: SfuRequest) {
        let client = self.socks[sock].client;
        match request {
            SfuRequest::Join(request) => self.join(sock, *request),
            SfuRequest::Health => {
                let counts = self.sfu.counts(self.clients[client].room);
                self.send_message(sock, SfuMessage::Health(counts));
            }
            SfuRequest::Leave { session_id, .. } => {
                let edge = self.socks[sock].edge;
                if let Some((member, _)) = self.sfu.find(client, &session_id, edge) {
                    self.member_leaves(member);
                }
            }
        }
    }

    fn join(&mut self, sock: usize, request: JoinRequest) {
        let now = self.now;
        let (client, edge) = (self.socks[sock].client, self.socks[sock].edge);
        if self.socks[sock].joined {
            // A duplicate.
            return;
        }
        if self.clients[client].hit(now, Class::Join) {
            let rng = &mut self.clients[client].fault;
            let code = [700, 600, 301, 500, 400, 204][rng.between(0, 5) as usize];
            match rng.between(0, 5) {
                0 => return,
                1 => {
                    self.close_down(sock, Some(1011));
                    return;
                }
                _ => {
                    let error = SfuError { code, message: "planned".into(), should_retry: false };
                    return self.send_message(sock, SfuMessage::Error { error, strategy: Strategy::Unspecified });
                }
            }
        }
        let strategy = request.reconnect.as_ref().map_or(Strategy::Unspecified, |d| d.strategy);
        match strategy {
            Strategy::Fast => {
                if let Some((member, place)) = self.sfu.find(client, &request.session_id, edge) {
                    let p = &self.sfu.members[member].places[place];
                    if p.sock.is_some() || now < p.lost_at + KEPT {
                        return self.resume(member, place, sock);
                    }
                }
            }
            Strategy::Migrate => {
                let member = self
                    .sfu
                    .members
                    .iter()
                    .rposition(|m| m.client == client && m.session_id == request.session_id && !m.left);
                if let Some(member) = member {
                    return self.migrate(member, sock, &request);
                }
            }
            _ => {}
        }
        let previous = request.reconnect.as_ref().map_or("", |d| d.previous_session_id.as_str());
        let ghost = self.sfu.members.iter().rposition(|m| m.client == client && m.session_id == previous && !m.left);
        // The same session again at the first join: the old attempt is dropped.
        let same =
            self.sfu.members.iter().rposition(|m| m.client == client && m.session_id == request.session_id && !m.left);
        if let Some(member) = same {
            self.member_leaves(member);
        }
        if let Some(member) = ghost {
            if self.setup.lazy {
                self.after(5_000, Ev::Sfu(SfuTimer::Ghost { member }));
            } else {
                self.member_leaves(member);
            }
        }
        let peer_generation = self.sfu.peer_generation(client);
        let member = self.sfu.members.len();
        self.sfu.members.push(Member {
            client,
            room: self.clients[client].room,
            session_id: request.session_id,
            user: self.clients[client].user.clone(),
            prefix: format!("p{client}x{peer_generation}"),
            tracks: Vec::new(),
            places: vec![self.new_place(sock, peer_generation)],
            left: false,
            may_send: true,
            version: 0,
            pending: Vec::new(),
            unwanted: Default::default(),
            paused: Default::default(),
        });
        self.admit_member(member, sock, false);
        let person = self.sfu.person(member);
        self.broadcast(member, &SfuMessage::ParticipantJoined(Box::new(person)));
    }

    pub fn new_place(&self, sock: usize, peer_generation: u32) -> Place {
        let s = &self.socks[sock];
        Place::new(s.edge, s.generation, sock, peer_generation, Subscriber::default())
    }

    /// JoinResponse, and the messages that follow it.
    fn admit_member(&mut self, member: usize, sock: usize, reconnected: bool) {
        let m = &self.sfu.members[member];
        let (client, room) = (m.client, m.room);
        let participants = self.sfu.room(room).map(|(i, _)| self.sfu.person(i)).collect();
        let state = JoinState {
            participants,
            counts: self.sfu.counts(room),
            reconnected,
            fast_reconnect_deadline_s: 10,
            ..JoinState::default()
        };
        let Some(peer_generation) = m.current().map(|p| p.peer_generation) else { return };
        let eager = self.setup.eager;
        self.clients[client].check.snapshot_sent();
        if eager {
            // Before JoinResponse in the same instant: a client must keep it.
            self.socks[sock].joined = true;
            self.offer(member, peer_generation, reconnected);
        }
        self.socks[sock].joined = true;
        self.send_message(sock, SfuMessage::Joined(Box::new(state)));
        if !eager {
            if reconnected {
                return self.offer(member, peer_generation, true);
            }
            self.want_offer(member, peer_generation, 300);
        }
    }

    /// FAST: the session still exists.
    fn resume(&mut self, member: usize, place: usize, sock: usize) {
        let generation = self.socks[sock].generation;
        let old = self.sfu.members[member].places[place].sock.replace(sock);
        self.sfu.members[member].places[place].generation = generation;
        self.sfu.members[member].places[place].subscriber.waiting.clear();
        if let Some(old) = old.filter(|o| *o != sock) {
            self.close_down(old, Some(4100));
        }
        self.admit_member(member, sock, true);
    }

    fn migrate(&mut self, member: usize, sock: usize, request: &JoinRequest) {
        let client = self.sfu.members[member].client;
        let peer_generation = self.sfu.peer_generation(client);
        let new = self.new_place(sock, peer_generation);
        self.sfu.members[member].places.push(new);
        let place = self.sfu.members[member].places.len() - 1;
        self.expect_arrival(member, place);
        self.admit_member(member, sock, false);
        let announced = request.reconnect.as_ref().map_or(0, |d| d.announced_tracks.len());
        if announced == 0 {
            self.arrived(member, peer_generation);
        }
    }

    /// One RPC, as an edge processes it.
    pub fn serve(
        &mut self,
        client: usize,
        generation: Generation,
        edge: usize,
        call: RpcCall,
    ) -> Result<RpcReply, Failure> {
        let session_id = match &call {
            RpcCall::SetPublisher { session_id, .. }
            | RpcCall::SendAnswer { session_id, .. }
            | RpcCall::IceTrickle { session_id, .. }
            | RpcCall::IceRestart { session_id, .. }
            | RpcCall::UpdateSubscriptions { session_id, .. }
            | RpcCall::UpdateMuteStates { session_id, .. }
            | RpcCall::UpdateSelf { session_id, .. }
            | RpcCall::SendStats { session_id, .. } => session_id.clone(),
        };
        let Some((member, place)) = self.sfu.find(client, &session_id, edge) else {
            return Err(sfu_error(200, "participant not found"));
        };
        let p = &self.sfu.members[member].places[place];
        if p.generation != generation {
            // An RPC in transit when its session resumed elsewhere; its caller no longer waits.
            return Err(sfu_error(102, "of an older connection"));
        }
        match call {
            RpcCall::SetPublisher { sdp, tracks, .. } => self.set_publisher(member, place, &sdp, tracks),
            RpcCall::SendAnswer { sdp, negotiation_id, .. } => self.answered(member, place, &sdp, negotiation_id),
            RpcCall::IceRestart { peer: PeerKind::Subscriber, .. } => {
                let peer_generation = p.peer_generation;
                self.offer(member, peer_generation, true);
                Ok(RpcReply::Done)
            }
            RpcCall::UpdateMuteStates { states, .. } => {
                let peer_generation = p.peer_generation;
                let current = self.sfu.members[member].current();
                if current.is_some_and(|p| p.peer_generation != peer_generation && p.publisher.is_some()) {
                    return Ok(RpcReply::Done);
                }
                for state in states {
                    self.mute(member, state.muted);
                }
                Ok(RpcReply::Done)
            }
            RpcCall::IceTrickle { peer, candidate, .. } => {
                self.candidate_received(client, peer, &candidate);
                Ok(RpcReply::Done)
            }
            _ => Ok(RpcReply::Done),
        }
    }

    pub fn candidate_received(&mut self, client: usize, peer: PeerKind, candidate: &str) {
        if let Some((tag, _)) = super::text::candidate(candidate) {
            if tag.kind != peer || tag.owner != client || tag.sfu {
                self.fault(format!("session {client}: sent a candidate of {} as {peer:?}", tag.ufrag()));
            }
        }
    }

    fn set_publisher(
        &mut self,
        member: usize,
        place: usize,
        sdp: &str,
        tracks: Vec<TrackInfo>,
    ) -> Result<RpcReply, Failure> {
        let Some(desc) = Desc::parse(sdp) else { return Err(sfu_error(400, "no SDP")) };
        let client = self.sfu.members[member].client;
        for track in &tracks {
            if !desc.lines.iter().any(|l| l.mid == track.mid) {
                let (mid, name) = (&track.mid, &track.track_id);
                self.fault(format!("session {client}: track {name} is announced with the mid '{mid}', not offered"));
            }
        }
        if !self.sfu.members[member].may_send && !tracks.is_empty() {
            return Err(sfu_error(403, "no right to publish"));
        }
        let p = &mut self.sfu.members[member].places[place];
        let peer_generation = p.peer_generation;
        let ice = match &p.publisher {
            None => 0,
            Some((tag, serial, ice)) => {
                if (tag.owner, tag.peer_generation) != (desc.tag.owner, desc.tag.peer_generation) {
                    let text = format!("session {client}: publisher {} became {}", tag.ufrag(), desc.tag.ufrag());
                    self.fault(text);
                    return Err(sfu_error(400, "another publisher"));
                }
                if *serial > desc.serial {
                    let text = format!("session {client}: offer {} of the publisher after {serial}", desc.serial);
                    self.fault(text);
                    return Err(sfu_error(102, "out of order"));
                }
                ice + u32::from(tag.ice != desc.tag.ice)
            }
        };
        p.publisher = Some((desc.tag.clone(), desc.serial, ice));
        // The edge that is being left no longer decides once the new one has received tracks.
        let newest = self.sfu.members[member]
            .current()
            .is_none_or(|p| p.peer_generation == peer_generation || p.publisher.is_none());
        if newest {
            self.publish(member, &tracks);
        }
        self.arrived(member, peer_generation);
        let tag = Tag { sfu: true, owner: member, peer_generation, kind: PeerKind::Publisher, ice };
        if let Some(sock) = self.sfu.members[member].places[place].sock {
            let candidate = tag.candidate(7, true);
            self.send_message(sock, SfuMessage::IceTrickle { peer: PeerKind::Publisher, candidate });
        }
        let lines = desc.lines.clone();
        Ok(RpcReply::Publisher { sdp: Desc { tag, serial: desc.serial, lines }.text(), ice_restart: false })
    }

    /// All live tracks of a participant, as announced.
    pub fn publish(&mut self, member: usize, tracks: &[TrackInfo]) {
        let prefix = self.sfu.members[member].prefix.clone();
        let before: Vec<Published> = std::mem::take(&mut self.sfu.members[member].tracks);
        let audible = before.iter().any(|t| !t.muted);
        let after: Vec<Published> = tracks
            .iter()
            .map(|t| Published {
                name: t.track_id.clone(),
                muted: t.muted,
                stream: format!("{prefix}:TRACK_TYPE_AUDIO:{}", t.track_id),
                mid: t.mid.clone(),
            })
            .collect();
        let names = |list: &[Published]| list.iter().map(|t| t.name.clone()).collect::<Vec<_>>();
        let changed = names(&before) != names(&after);
        let audible_now = after.iter().any(|t| !t.muted);
        self.sfu.members[member].tracks = after;
        self.announce(member, audible, audible_now, UnpublishCause::Unspecified);
        if changed {
            self.streams_changed(member);
        }
    }

    fn mute(&mut self, member: usize, muted: bool) {
        let m = &mut self.sfu.members[member];
        let audible = m.tracks.iter().any(|t| !t.muted);
        for track in &mut m.tracks {
            track.muted = muted;
        }
        let now = m.tracks.iter().any(|t| !t.muted);
        self.announce(member, audible, now, UnpublishCause::UserMuted);
    }

    /// Notifies the others when a participant's audio begins or ends.
    fn announce(&mut self, member: usize, before: bool, now: bool, cause: UnpublishCause) {
        let m = &self.sfu.members[member];
        let (session_id, user_id, kind) = (m.session_id.clone(), m.user.clone(), TrackKind::Audio);
        let participant = Some(Box::new(self.sfu.person(member)));
        if now && !before {
            self.broadcast(member, &SfuMessage::TrackPublished { session_id, user_id, kind, participant });
        } else if before && !now {
            self.broadcast(member, &SfuMessage::TrackUnpublished { session_id, user_id, kind, cause, participant });
        }
    }

    pub fn answered(
        &mut self,
        member: usize,
        place: usize,
        sdp: &str,
        negotiation_id: u32,
    ) -> Result<RpcReply, Failure> {
        let serial = u64::from(negotiation_id);
        let client = self.sfu.members[member].client;
        let desc = Desc::parse(sdp);
        if desc.as_ref().is_none_or(|d| d.serial != serial || d.tag.kind != PeerKind::Subscriber) {
            let answer_id = desc.map(|d| (d.serial, d.tag.ufrag()));
            self.fault(format!("session {client}: the answer {answer_id:?} is sent for offer {serial}"));
        }
        let p = &mut self.sfu.members[member].places[place];
        let (peer_generation, sub) = (p.peer_generation, &mut p.subscriber);
        sub.waiting.retain(|(s, _)| *s != serial);
        sub.answered = sub.answered.max(serial);
        if sub.is_due() {
            self.offer(member, peer_generation, false);
        }
        Ok(RpcReply::Done)
    }

    /// Grants change: what is no longer allowed ends at the SFU at once.
    pub fn grant(&mut self, client: usize, audio: bool) {
        let Some(member) = self.sfu.members.iter().rposition(|m| m.client == client && !m.left) else {
            return;
        };
        self.sfu.members[member].may_send = audio;
        if self.setup.livekit {
            return self.grants_changed(member);
        }
        if !audio {
            self.publish(member, &[]);
        }
        let sock = self.sfu.members[member].current().and_then(|p| p.sock).filter(|s| self.socks[*s].joined);
        if let Some(sock) = sock {
            let grants = Grants { audio, video: false, screen_share: false, ..Grants::ALL };
            self.send_message(sock, SfuMessage::Grants(grants));
        }
    }

    /// The call ends for one participant.
    pub fn end_call(&mut self, client: usize, reason: CallEndedReason) {
        let Some(sock) = self.live_sock(client).filter(|s| self.socks[*s].joined) else { return };
        self.send_message(sock, SfuMessage::CallEnded(reason));
        self.send_down(sock, Down::Close(Some(1000)));
        self.socks[sock].edge_end = false;
        let here = |m: &Member| m.client == client && !m.left && m.places.iter().any(|p| p.sock == Some(sock));
        if let Some(member) = self.sfu.members.iter().rposition(here) {
            self.member_leaves(member);
        }
    }
}

pub fn sfu_error(code: i32, message: &str) -> Failure {
    Failure { code, ..Failure::new(FailureKind::Sfu, message) }
}
