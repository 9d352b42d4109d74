//! The model of a LiveKit server: its frames on one side, the model SFU's rooms, members and peer connections on the
//! other. The behaviour of such a server without planned faults. Must not know: signalling sessions, cores.

use super::{
    faults::Class,
    sfu::{Member, Published, KEPT},
    sockets::Down,
    text::{Desc, Line, Tag},
    world::{Ms, World},
};
use offhook::core::model::*;
use offhook_proto::livekit as pb;
use pb::{
    leave_request::Action, signal_request::Message as ClientMessage, signal_response::Message as ServerMessage,
    DisconnectReason as Why,
};
use prost::Message;

/// An offer without an answer for this long ends the session.
pub const NEGOTIATION_FAILED: Ms = 15_000;
/// Maximum number of departed participants that are listed at a resume.
const NAMED_LEFT: usize = 128;

pub fn leave(action: Action, reason: Why) -> ServerMessage {
    ServerMessage::Leave(pb::LeaveRequest { action: action as i32, reason: reason as i32, ..Default::default() })
}

impl Published {
    pub fn sid(&self) -> &str {
        self.stream.split_once('|').map_or("", |(_, sid)| sid)
    }

    fn info(&self) -> pb::TrackInfo {
        pb::TrackInfo {
            sid: self.sid().to_owned(),
            r#type: pb::TrackType::Audio as i32,
            source: pb::TrackSource::Microphone as i32,
            name: "microphone".into(),
            muted: self.muted,
            mid: self.mid.clone(),
            ..Default::default()
        }
    }
}

impl World {
    /// A frame to one socket, subject to the faults on its way.
    pub fn frame(&mut self, sock: usize, server_message: ServerMessage) {
        let grants = matches!(server_message, ServerMessage::Update(_) | ServerMessage::TrackUnpublished(_));
        let frame = pb::SignalResponse { message: Some(server_message) }.encode_to_vec();
        self.queue_down(sock, Down::Frame(frame), grants);
    }

    /// Sends a message of the model SFU as a LiveKit frame.
    pub fn send_livekit(&mut self, sock: usize, message: SfuMessage) {
        let description = |sdp: String, id: u32| pb::SessionDescription { r#type: "offer".into(), sdp, id };
        let server_message = match message {
            SfuMessage::SubscriberOffer { sdp, negotiation_id, .. } => {
                ServerMessage::Offer(description(sdp, negotiation_id))
            }
            SfuMessage::IceTrickle { peer, candidate } => {
                let target = match peer {
                    PeerKind::Publisher => pb::SignalTarget::Publisher,
                    PeerKind::Subscriber => pb::SignalTarget::Subscriber,
                };
                ServerMessage::Trickle(pb::TrickleRequest {
                    candidate_init: candidate,
                    target: target as i32,
                    r#final: false,
                })
            }
            SfuMessage::CallEnded(reason) => leave(
                Action::Disconnect,
                match reason {
                    CallEndedReason::Kicked => Why::ParticipantRemoved,
                    CallEndedReason::SessionEnded | CallEndedReason::Replaced => Why::DuplicateIdentity,
                    CallEndedReason::Disconnected => Why::UserRejected,
                    CallEndedReason::LiveEnded => Why::RoomClosed,
                    CallEndedReason::Ended | CallEndedReason::Unspecified => Why::RoomDeleted,
                },
            ),
            other => return self.fault(format!("this protocol has no message for {other:?}")),
        };
        self.frame(sock, server_message);
    }

    /// The current state of a participant.
    pub fn info(&self, member: usize) -> pb::ParticipantInfo {
        let m = &self.sfu.members[member];
        let state =
            if m.left { pb::participant_info::State::Disconnected } else { pb::participant_info::State::Active };
        pb::ParticipantInfo {
            sid: m.session_id.clone(),
            identity: m.user.clone(),
            name: m.user.clone(),
            state: state as i32,
            version: m.version,
            tracks: m.tracks.iter().map(Published::info).collect(),
            permission: Some(pb::ParticipantPermission {
                can_subscribe: true,
                can_publish: m.may_send,
                can_publish_data: true,
                can_update_metadata: true,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn room_of(&self, room: usize) -> pb::Room {
        let num_participants = self.sfu.room(room).count() as u32;
        pb::Room { sid: format!("RM_{room}"), name: format!("room{room}"), num_participants, ..Default::default() }
    }

    /// A participant has changed, joined or left: everyone else is notified, and the participant itself if the server
    /// is eager.
    pub fn broadcast_livekit(&mut self, member: usize) {
        self.sfu.members[member].version += 1;
        let info = self.info(member);
        let (room, client) = (self.sfu.members[member].room, self.sfu.members[member].client);
        let eager = self.setup.eager;
        let others = self.sfu.room(room).filter(|(i, m)| m.client != client || eager && *i == member);
        let socks: Vec<usize> =
            others.filter_map(|(_, m)| m.current()?.sock).filter(|s| self.socks[*s].joined).collect();
        for sock in socks {
            self.frame(sock, ServerMessage::Update(pb::ParticipantUpdate { participants: vec![info.clone()] }));
        }
    }

    /// A socket has opened; the parameters of its request decide which message is sent first.
    pub fn livekit_connects(&mut self, sock: usize) {
        let (client, edge, generation) = (self.socks[sock].client, self.socks[sock].edge, self.socks[sock].generation);
        let now = self.now;
        let Some(asked) = self.asked(client, generation).cloned() else { return };
        if self.clients[client].hit(now, Class::Join) {
            return self.refuse_livekit(sock);
        }
        if asked.resume {
            if let Some((member, place)) = self.sfu.find(client, &asked.session_id, edge) {
                let p = &self.sfu.members[member].places[place];
                if p.sock.is_some() || now < p.lost_at + KEPT {
                    return self.resume_livekit(member, place, sock);
                }
            }
            // Older servers admit a client anew if it cannot resume.
            if !self.setup.impatient {
                self.frame(sock, leave(Action::Reconnect, Why::StateMismatch));
                let code = if self.setup.eager { Some(1000) } else { None };
                return self.close_down(sock, code);
            }
        }
        self.join_livekit(sock);
    }

    fn join_livekit(&mut self, sock: usize) {
        let client = self.socks[sock].client;
        let twins: Vec<usize> = (0..self.sfu.members.len())
            .filter(|m| self.sfu.members[*m].client == client && !self.sfu.members[*m].left)
            .collect();
        for twin in twins {
            self.dismiss(twin, leave(Action::Disconnect, Why::DuplicateIdentity));
        }
        let peer_generation = self.sfu.peer_generation(client);
        let session_id = format!("PA_{client}x{peer_generation}");
        let member = self.sfu.members.len();
        self.sfu.members.push(Member {
            client,
            room: self.clients[client].room,
            prefix: session_id.clone(),
            session_id: session_id.clone(),
            user: self.clients[client].user.clone(),
            tracks: Vec::new(),
            places: vec![self.new_place(sock, peer_generation)],
            left: false,
            may_send: true,
            version: 1,
            pending: Vec::new(),
            unwanted: Default::default(),
            paused: Default::default(),
        });
        self.clients[client].local_ids.push(session_id);
        self.clients[client].check.snapshot_sent();
        let room = self.clients[client].room;
        let others = self.sfu.room(room).filter(|(i, _)| *i != member).map(|(i, _)| self.info(i)).collect();
        let join = pb::JoinResponse {
            room: Some(self.room_of(room)),
            participant: Some(self.info(member)),
            other_participants: others,
            subscriber_primary: !self.setup.one_connection,
            ping_interval: 5,
            ping_timeout: 15,
            ..Default::default()
        };
        self.socks[sock].joined = true;
        self.frame(sock, ServerMessage::Join(join));
        self.refresh_token(sock);
        self.broadcast_livekit(member);
        self.want_offer(member, peer_generation, if self.setup.eager { 0 } else { 300 });
    }

    fn refresh_token(&mut self, sock: usize) {
        let token = self.clients[self.socks[sock].client].tokens.fresh();
        self.frame(sock, ServerMessage::RefreshToken(token));
    }

    fn resume_livekit(&mut self, member: usize, place: usize, sock: usize) {
        let generation = self.socks[sock].generation;
        let p = &mut self.sfu.members[member].places[place];
        let (peer_generation, old) = (p.peer_generation, p.sock.replace(sock));
        p.generation = generation;
        p.subscriber.waiting.clear();
        if let Some(old) = old.filter(|o| *o != sock) {
            self.close_down(old, None);
        }
        self.socks[sock].joined = true;
        self.socks[sock].sync_due = true;
        self.frame(sock, ServerMessage::Reconnect(pb::ReconnectResponse::default()));
        let room = self.sfu.members[member].room;
        let gone = (0..self.sfu.members.len()).rev().filter(|m| {
            let m = &self.sfu.members[*m];
            m.room == room && m.left
        });
        let gone: Vec<_> = gone.take(NAMED_LEFT).map(|m| self.info(m)).collect();
        self.frame(sock, ServerMessage::Update(pb::ParticipantUpdate { participants: gone }));
        let all = self.sfu.room(room).map(|(i, _)| self.info(i)).collect();
        self.frame(sock, ServerMessage::Update(pb::ParticipantUpdate { participants: all }));
        self.frame(sock, ServerMessage::RoomUpdate(pb::RoomUpdate { room: Some(self.room_of(room)) }));
        self.refresh_token(sock);
        self.offer(member, peer_generation, true);
    }

    /// The server removes a participant.
    pub fn dismiss(&mut self, member: usize, server_message: ServerMessage) {
        let socks: Vec<usize> = self.sfu.members[member].places.iter().filter_map(|p| p.sock).collect();
        for sock in socks {
            self.frame(sock, server_message.clone());
            self.close_down(sock, Some(1000));
        }
        self.member_leaves(member);
    }

    pub fn negotiation_timed_out(&mut self, member: usize, peer_generation: u32, serial: u64) {
        let m = &self.sfu.members[member];
        let Some(place) = m.place(peer_generation).filter(|_| !m.left).map(|p| &m.places[p]) else { return };
        let receive_disabled = self.clients[m.client].app.subscriber_closed || !self.setup.clients[m.client].subscribe;
        if place.sock.is_some() && !receive_disabled && place.subscriber.waiting.iter().any(|(s, _)| *s == serial) {
            self.dismiss(member, leave(Action::Reconnect, Why::MediaFailure));
        }
    }

    /// The participant and the place of this socket.
    fn seat(&self, sock: usize) -> Option<(usize, usize)> {
        self.sfu.members.iter().enumerate().rev().find_map(|(i, m)| {
            let place = m.places.iter().position(|p| p.sock == Some(sock))?;
            (!m.left && m.place(m.places[place].peer_generation).is_some()).then_some((i, place))
        })
    }

    pub fn server_receives(&mut self, sock: usize, frame: &[u8]) {
        let client = self.socks[sock].client;
        let Ok(request) = pb::SignalRequest::decode(frame) else {
            return self.fault(format!("session {client}: a frame that cannot be read"));
        };
        let Some(ask) = request.message else { return };
        let Some((member, place)) = self.seat(sock) else {
            // The node behind this socket may differ from the one with the room: it answers anyway.
            if let ClientMessage::PingReq(ping) = ask {
                self.pong(sock, &ping);
            }
            return;
        };
        if std::mem::take(&mut self.socks[sock].sync_due)
            && !matches!(ask, ClientMessage::SyncState(_) | ClientMessage::Leave(_))
        {
            let doubt = self.clients[client].up_in_doubt;
            if !doubt {
                self.fault(format!("session {client}: resumed, and sends {ask:?} first"));
            }
        }
        match ask {
            ClientMessage::Offer(offer) => self.offered_livekit(member, place, sock, &offer),
            ClientMessage::Answer(answer) => {
                let _ = self.answered(member, place, &answer.sdp, answer.id);
            }
            ClientMessage::Trickle(trickle) => {
                let peer = match trickle.target() {
                    pb::SignalTarget::Publisher => PeerKind::Publisher,
                    pb::SignalTarget::Subscriber => PeerKind::Subscriber,
                };
                self.candidate_received(client, peer, &trickle.candidate_init);
            }
            ClientMessage::AddTrack(add) => self.add_track(member, sock, add),
            ClientMessage::Mute(mute) => self.mute_livekit(member, &mute.sid, mute.muted),
            ClientMessage::Leave(_) => self.dismiss(member, leave(Action::Disconnect, Why::ClientInitiated)),
            ClientMessage::SyncState(state) => self.sync(member, place, &state),
            ClientMessage::PingReq(ping) => self.pong(sock, &ping),
            ClientMessage::UpdateMetadata(update) => {
                let now = self.now;
                let mut reason = pb::request_response::Reason::Ok;
                if self.clients[client].hit(now, Class::Rpc) {
                    if self.clients[client].fault.between(0, 1) == 0 {
                        return;
                    }
                    reason = pb::request_response::Reason::NotAllowed;
                }
                let request_id = update.request_id;
                let response = pb::RequestResponse { request_id, reason: reason as i32, ..Default::default() };
                self.frame(sock, ServerMessage::RequestResponse(response));
            }
            ClientMessage::Subscription(update) => self.subscribe(member, place, update.track_sids, update.subscribe),
            ClientMessage::TrackSetting(setting) => {
                let paused = &mut self.sfu.members[member].paused;
                for sid in setting.track_sids {
                    match setting.disabled {
                        true => paused.insert(sid),
                        false => paused.remove(&sid),
                    };
                }
            }
            ClientMessage::Simulate(_) | ClientMessage::Ping(_) => {}
        }
    }

    fn pong(&mut self, sock: usize, ping: &pb::Ping) {
        let pong = pb::Pong { last_ping_timestamp: ping.timestamp, timestamp: ping.timestamp };
        self.frame(sock, ServerMessage::PongResp(pong));
    }

    fn subscribe(&mut self, member: usize, place: usize, sids: Vec<String>, wanted: bool) {
        let m = &mut self.sfu.members[member];
        let before = m.unwanted.clone();
        for sid in sids {
            match wanted {
                true => m.unwanted.remove(&sid),
                false => m.unwanted.insert(sid),
            };
        }
        if m.unwanted != before {
            let peer_generation = m.places[place].peer_generation;
            self.want_offer(member, peer_generation, 10);
        }
    }

    fn add_track(&mut self, member: usize, sock: usize, add: pb::AddTrackRequest) {
        use pb::request_response::{Reason, Request};
        let (client, now) = (self.socks[sock].client, self.now);
        let m = &self.sfu.members[member];
        let known = m.pending.iter().chain(&m.tracks).any(|t| t.name == add.cid);
        let reason = if !m.may_send {
            Some(Reason::NotAllowed)
        } else if known {
            // It waits until the previous one ends, which is never confirmed.
            Some(Reason::Queued)
        } else if self.clients[client].hit(now, Class::Rpc) {
            match self.clients[client].fault.between(0, 2) {
                0 => return,
                1 => Some(Reason::UnclassifiedError),
                _ => Some(Reason::LimitExceeded),
            }
        } else {
            None
        };
        if let Some(reason) = reason {
            let request = Some(Request::AddTrack(add));
            let response = pb::RequestResponse { reason: reason as i32, request, ..Default::default() };
            return self.frame(sock, ServerMessage::RequestResponse(response));
        }
        let sid = format!("TR_{client}x{}", self.clients[client].name());
        let stream = format!("{}|{sid}", self.sfu.members[member].prefix);
        let track = Published { name: add.cid.clone(), muted: add.muted, stream, mid: String::new() };
        let info = track.info();
        self.sfu.members[member].pending.push(track);
        self.frame(sock, ServerMessage::TrackPublished(pb::TrackPublishedResponse { cid: add.cid, track: Some(info) }));
    }

    fn offered_livekit(&mut self, member: usize, place: usize, sock: usize, offer: &pb::SessionDescription) {
        let client = self.socks[sock].client;
        let Some(desc) = Desc::parse(&offer.sdp) else {
            return self.fault(format!("session {client}: an offer that is none"));
        };
        let p = &mut self.sfu.members[member].places[place];
        let peer_generation = p.peer_generation;
        let ice = match &p.publisher {
            None => 0,
            Some((tag, serial, ice)) => {
                if (tag.owner, tag.peer_generation) != (desc.tag.owner, desc.tag.peer_generation) {
                    let text = format!("session {client}: publisher {} became {}", tag.ufrag(), desc.tag.ufrag());
                    return self.fault(text);
                }
                if *serial >= desc.serial {
                    if !self.clients[client].up_in_doubt {
                        let text = format!("session {client}: offer {} of the publisher after {serial}", desc.serial);
                        self.fault(text);
                    }
                    return;
                }
                ice + u32::from(tag.ice != desc.tag.ice)
            }
        };
        p.publisher = Some((desc.tag.clone(), desc.serial, ice));
        self.carried(member, sock, &desc);
        let lines = self.lines_for(member, place, &desc);
        let now = self.now;
        if self.clients[client].hit(now, Class::Rpc) {
            // Carried out, but never answered.
            return;
        }
        let tag = Tag { sfu: true, owner: member, peer_generation, kind: PeerKind::Publisher, ice };
        let sdp = Desc { tag: tag.clone(), serial: desc.serial, lines }.text();
        self.frame(sock, ServerMessage::Answer(pb::SessionDescription { r#type: "answer".into(), sdp, id: offer.id }));
        let sub = &mut self.sfu.members[member].places[place].subscriber;
        sub.requested = sub.missing.len();
        if sub.requested > 0 {
            let num_audios = sub.requested as u32;
            let needed = pb::MediaSectionsRequirement { num_audios, num_videos: 0 };
            self.frame(sock, ServerMessage::MediaSectionsRequirement(needed));
        }
        self.send_message(
            sock,
            SfuMessage::IceTrickle { peer: PeerKind::Publisher, candidate: tag.candidate(7, true) },
        );
    }

    /// The m-lines of the answer to an offer: streams that are sent keep theirs, others get free ones.
    fn lines_for(&mut self, member: usize, place: usize, offer: &Desc) -> Vec<Line> {
        let streams = self.streams_for(member);
        let sub = &mut self.sfu.members[member].places[place].subscriber;
        let mut lines = offer.lines.clone();
        let receiving = |l: &&mut Line| l.receives();
        for line in lines.iter_mut().filter(receiving) {
            let now = sub.lines.iter().find(|l| l.mid == line.mid && l.active && streams.contains(&l.stream));
            let stream = now.filter(|_| line.active).map(|l| l.stream.clone());
            (line.active, line.stream) = (stream.is_some(), stream.unwrap_or_else(|| "free".into()));
        }
        let has = |lines: &[Line], stream: &String| lines.iter().any(|l| l.active && l.stream == *stream);
        let offered = |mid: &str| offer.lines.iter().any(|l| l.mid == mid && l.active);
        sub.missing.clear();
        for stream in streams {
            if has(&lines, &stream) {
                continue;
            }
            match lines.iter_mut().find(|l| l.receives() && !l.active && offered(&l.mid)) {
                Some(line) => (line.active, line.stream) = (true, stream),
                None => sub.missing.push(stream),
            }
        }
        sub.lines = lines.iter().filter(|l| l.receives()).cloned().collect();
        lines
    }

    /// On one peer connection the client offers: it is asked for an offer, with more m-lines if there are streams
    /// without any.
    pub fn require_lines(&mut self, member: usize, place: usize, sock: usize, streams: &[String]) {
        let place = &mut self.sfu.members[member].places[place];
        let sub = &mut place.subscriber;
        sub.offered_once();
        if place.publisher.is_none() {
            // Nothing is offered yet.
            return;
        }
        let free = sub.lines.iter().filter(|l| !l.active || !streams.contains(&l.stream)).count();
        let sent = |stream: &&String| sub.lines.iter().any(|l| l.active && l.stream == **stream);
        let needed = streams.iter().filter(|stream| !sent(stream)).count().saturating_sub(free);
        let more = needed.saturating_sub(sub.requested);
        sub.requested += more;
        let needed = pb::MediaSectionsRequirement { num_audios: more as u32, num_videos: 0 };
        self.frame(sock, ServerMessage::MediaSectionsRequirement(needed));
    }

    /// A track that was announced and is offered is published; one that is no longer offered ends.
    fn carried(&mut self, member: usize, sock: usize, desc: &Desc) {
        let m = &mut self.sfu.members[member];
        let before: Vec<String> = m.tracks.iter().map(|t| t.stream.clone()).collect();
        let offered = |t: &Published| desc.lines.iter().find(|l| l.active && l.stream == t.name).map(|l| l.mid.clone());
        let (kept, ended): (Vec<_>, Vec<_>) =
            std::mem::take(&mut m.tracks).into_iter().partition(|t| offered(t).is_some());
        m.tracks = kept;
        let (fresh, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut m.pending).into_iter().partition(|t| offered(t).is_some());
        m.pending = rest;
        m.tracks.extend(fresh);
        for track in &mut m.tracks {
            track.mid = offered(track).unwrap_or_default();
        }
        let after: Vec<String> = m.tracks.iter().map(|t| t.stream.clone()).collect();
        if self.setup.lazy {
            for track in ended {
                let gone = pb::TrackUnpublishedResponse { track_sid: track.sid().to_owned() };
                self.frame(sock, ServerMessage::TrackUnpublished(gone));
            }
        }
        if before != after {
            self.broadcast_livekit(member);
            self.streams_changed(member);
        }
    }

    fn mute_livekit(&mut self, member: usize, sid: &str, muted: bool) {
        let m = &mut self.sfu.members[member];
        if let Some(track) = m.pending.iter_mut().find(|t| t.sid() == sid) {
            track.muted = muted;
        }
        let track = m.tracks.iter_mut().find(|t| t.sid() == sid && t.muted != muted);
        if track.map(|t| t.muted = muted).is_some() {
            self.broadcast_livekit(member);
        }
    }

    /// A mute by a moderator.
    pub fn mute_from_outside(&mut self, client: usize, muted: bool) {
        let Some(member) = self.sfu.members.iter().rposition(|m| m.client == client && !m.left) else { return };
        let m = &self.sfu.members[member];
        let (Some(sid), Some(sock)) = (m.tracks.first().map(|t| t.sid().to_owned()), m.current().and_then(|p| p.sock))
        else {
            return;
        };
        self.frame(sock, ServerMessage::Mute(pb::MuteTrackRequest { sid: sid.clone(), muted }));
        self.mute_livekit(member, &sid, muted);
    }

    /// A resuming client names the tracks that it assumes to be published.
    fn sync(&mut self, member: usize, place: usize, state: &pb::SyncState) {
        let m = &self.sfu.members[member];
        let known = |sid: &str| m.pending.iter().chain(&m.tracks).any(|t| t.sid() == sid);
        let stranger = state.publish_tracks.iter().any(|t| t.track.as_ref().is_none_or(|t| !known(&t.sid)));
        if stranger {
            return self.dismiss(member, leave(Action::Reconnect, Why::StateMismatch));
        }
        self.sfu.members[member].paused.extend(state.track_sids_disabled.iter().cloned());
        if let Some(subscription) = &state.subscription {
            self.subscribe(member, place, subscription.track_sids.clone(), subscription.subscribe);
        }
    }

    /// A participant's grants have changed; what is no longer allowed ends at once.
    pub fn grants_changed(&mut self, member: usize) {
        let sock = self.sfu.members[member].current().and_then(|p| p.sock).filter(|s| self.socks[*s].joined);
        let m = &mut self.sfu.members[member];
        let ended = if m.may_send { Vec::new() } else { std::mem::take(&mut m.tracks) };
        if !m.may_send {
            m.pending.clear();
        }
        for track in &ended {
            if let Some(sock) = sock {
                let gone = pb::TrackUnpublishedResponse { track_sid: track.sid().to_owned() };
                self.frame(sock, ServerMessage::TrackUnpublished(gone));
            }
        }
        self.broadcast_livekit(member);
        if let Some(sock) = sock.filter(|_| !self.setup.eager) {
            let info = self.info(member);
            self.frame(sock, ServerMessage::Update(pb::ParticipantUpdate { participants: vec![info] }));
        }
        if !ended.is_empty() {
            self.streams_changed(member);
        }
    }

    /// The participant of a session that its edge still reads, with its socket.
    pub fn livekit_seat(&self, client: usize) -> Option<(usize, usize)> {
        let sock = self.live_sock(client).filter(|s| self.socks[*s].joined && self.socks[*s].edge_end)?;
        self.seat(sock).map(|(member, _)| (member, sock))
    }
}
