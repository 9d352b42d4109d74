//! Faults of a LiveKit server, in its own messages: every way in which it disconnects or refuses a client or sends what
//! no correct server sends; and frames of the past. Must not know: signalling sessions.

use super::{
    engine::News,
    faults::Fault,
    livekit_server::leave,
    sfu::SfuTimer,
    sockets::Down,
    world::{Ev, World},
};
use offhook::core::{model::*, rng::Rng, PeerChange};
use offhook_proto::livekit as pb;
use pb::{leave_request::Action, signal_response::Message as ServerMessage, DisconnectReason as Why};
use prost::Message;

fn bytes(server_message: ServerMessage) -> Vec<u8> {
    pb::SignalResponse { message: Some(server_message) }.encode_to_vec()
}

impl World {
    /// In place of the first message: nothing, a close, or a reason.
    pub fn refuse_livekit(&mut self, sock: usize) {
        let client = self.socks[sock].client;
        let kind = self.clients[client].fault.between(0, 6);
        match kind {
            0 => {}
            1 => self.close_down(sock, Some(1011)),
            2 => self.close_down(sock, None),
            3 => {
                let edges = self.sfu.edges.len();
                let other = (self.socks[sock].edge + 1) % edges + 1;
                let alternative_url = format!("ws://127.0.0.1:{other}/");
                self.frame(sock, ServerMessage::Join(pb::JoinResponse { alternative_url, ..Default::default() }));
            }
            _ => {
                let (action, why) = [
                    (Action::Reconnect, Why::StateMismatch),
                    (Action::Reconnect, Why::JoinFailure),
                    (Action::Disconnect, Why::ServerShutdown),
                    (Action::Resume, Why::SignalClose),
                ][self.clients[client].fault.between(0, 3) as usize];
                self.frame(sock, leave(action, why));
                self.close_down(sock, Some(1000));
            }
        }
    }

    /// True: the fault was applied in the way of this protocol.
    pub fn strike_livekit(&mut self, client: usize, fault: &Fault) -> bool {
        let seat = self.livekit_seat(client);
        match fault {
            // A node that shuts down disconnects everyone; they reconnect elsewhere.
            Fault::GoAway => {
                if let Some((member, sock)) = seat {
                    let regions = (0..self.sfu.edges.len()).rev().map(|edge| pb::RegionInfo {
                        url: format!("ws://127.0.0.1:{}/", edge + 1),
                        ..Default::default()
                    });
                    let regions = Some(pb::RegionSettings { regions: regions.collect() });
                    let ServerMessage::Leave(server_message) = leave(Action::Disconnect, Why::ServerShutdown) else {
                        return true;
                    };
                    let _ = sock;
                    self.dismiss(member, ServerMessage::Leave(pb::LeaveRequest { regions, ..server_message }));
                }
            }
            Fault::Error(strategy) => {
                if let Some((member, sock)) = seat {
                    self.send_away(client, member, sock, *strategy);
                }
            }
            Fault::IceRestart(PeerKind::Subscriber) => {
                if let Some((member, _)) = seat {
                    if let Some(peer_generation) = self.sfu.members[member].current().map(|p| p.peer_generation) {
                        self.offer(member, peer_generation, true);
                    }
                }
            }
            // The server has no message for it; a moderator mutes in its place.
            Fault::IceRestart(PeerKind::Publisher) => {
                let muted = self.clients[client].fault.between(0, 2) > 0;
                self.moderate(client, muted);
            }
            // The node with the room dies, and the one with the socket does not notice.
            Fault::EdgeDies { silently: true, .. } if self.setup.eager => {
                if let Some((member, _)) = seat {
                    self.home_dies(member);
                }
            }
            Fault::Garbage(which) => self.strange_frame(client, *which),
            Fault::Stale(which) => {
                self.stale_frame(client, *which);
                return false;
            }
            _ => return false,
        }
        true
    }

    /// All participants of a room whose node dies: their media is lost, their sockets stay open for a while without
    /// effect, and new sockets take as long to open as the cluster needs to notice.
    fn home_dies(&mut self, member: usize) {
        let room = self.sfu.members[member].room;
        let gone: Vec<usize> = self.sfu.room(room).map(|(member, _)| member).collect();
        self.note(|| format!("     the node of room {room} dies, without a notification"));
        let until = self.now + 6_000;
        for edge in &mut self.sfu.edges {
            edge.hangs_until = until;
        }
        for member in gone {
            let client = self.sfu.members[member].client;
            let sock = self.sfu.members[member].current().and_then(|p| p.sock);
            if let Some(sock) = sock {
                self.after(8_000, Ev::Sfu(SfuTimer::Dangling { sock }));
            }
            for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
                let newest = self.clients[client].peers.iter().rev().find(|p| p.kind == peer && p.made && !p.gone);
                if let Some(generation) = newest.map(|p| p.generation) {
                    let what = News::Change(PeerChange::Disconnected);
                    self.after(4_000, Ev::Engine { client, generation, peer, what });
                }
            }
            // No node is left to report it to the others.
            let m = &mut self.sfu.members[member];
            m.left = true;
            m.tracks.clear();
            m.pending.clear();
        }
    }

    /// A moderator mutes or unmutes what a session sends.
    pub fn moderate(&mut self, client: usize, muted: bool) {
        // The application's state afterwards is checked by its next action.
        self.clients[client].app.doubt_mutes();
        self.clients[client].app.moderated = true;
        self.mute_from_outside(client, muted);
    }

    fn send_away(&mut self, client: usize, member: usize, sock: usize, strategy: Strategy) {
        match strategy {
            Strategy::Unspecified => {
                let track_sid = "TR_nothing".to_owned();
                let err = pb::SubscriptionError::SeTrackNotfound as i32;
                self.frame(sock, ServerMessage::SubscriptionResponse(pb::SubscriptionResponse { track_sid, err }));
            }
            // The session is kept, its socket is not.
            Strategy::Fast => {
                self.frame(sock, leave(Action::Resume, Why::SignalClose));
                self.close_down(sock, Some(1000));
                self.sfu_loses(sock, None);
            }
            Strategy::Rejoin => self.dismiss(member, leave(Action::Reconnect, Why::MediaFailure)),
            Strategy::Migrate => self.dismiss(member, leave(Action::Disconnect, Why::Migration)),
            Strategy::Disconnect => {
                self.clients[client].check.caused_disconnect = true;
                self.dismiss(member, leave(Action::Disconnect, Why::UserRejected));
            }
        }
    }

    /// Messages that no correct server sends, or that are meant for another client.
    fn strange_frame(&mut self, client: usize, which: u64) {
        let mut rng = Rng::new(which);
        let Some((_, sock)) = self.livekit_seat(client) else { return };
        let target = rng.between(0, 1) as i32;
        let unknown_participant = |state: pb::participant_info::State| pb::ParticipantInfo {
            sid: "PA_nobody".into(),
            identity: "nobody".into(),
            state: state as i32,
            ..Default::default()
        };
        let frame = match rng.between(0, 16) {
            0 => (0..rng.between(1, 40)).map(|_| rng.between(0, 255) as u8).collect(),
            1 => b"\xfa\x0f\x01x".to_vec(),
            2 => bytes(ServerMessage::Answer(pb::SessionDescription {
                id: rng.between(0, 9) as u32,
                ..Default::default()
            })),
            3 => {
                let candidate_init = "{".repeat(rng.between(0, 5_000) as usize);
                bytes(ServerMessage::Trickle(pb::TrickleRequest { candidate_init, target, r#final: true }))
            }
            4 => bytes(ServerMessage::Join(pb::JoinResponse::default())),
            5 => bytes(ServerMessage::Reconnect(pb::ReconnectResponse::default())),
            6 => {
                let participants = vec![unknown_participant(pb::participant_info::State::Disconnected)];
                bytes(ServerMessage::Update(pb::ParticipantUpdate { participants }))
            }
            7 => {
                let speaker = pb::SpeakerInfo { sid: "PA_nobody".into(), level: f32::NAN, active: true };
                bytes(ServerMessage::SpeakersChanged(pb::SpeakersChanged { speakers: vec![speaker; 3] }))
            }
            8 => {
                let track = Some(pb::TrackInfo { sid: "TR_nothing".into(), ..Default::default() });
                bytes(ServerMessage::TrackPublished(pb::TrackPublishedResponse { cid: "nothing".into(), track }))
            }
            9 => bytes(ServerMessage::Mute(pb::MuteTrackRequest { sid: "TR_nothing".into(), muted: true })),
            10 => {
                bytes(ServerMessage::TrackUnpublished(pb::TrackUnpublishedResponse { track_sid: "TR_nothing".into() }))
            }
            11 => {
                let response = pb::RequestResponse { request_id: 77, reason: 2, ..Default::default() };
                bytes(ServerMessage::RequestResponse(response))
            }
            12 => bytes(ServerMessage::Pong(1)),
            13 => {
                let me = unknown_participant(pb::participant_info::State::Active);
                bytes(ServerMessage::Join(pb::JoinResponse { participant: Some(me), ..Default::default() }))
            }
            14 => bytes(ServerMessage::RefreshToken(String::new())),
            15 => {
                let (num_audios, num_videos) = (rng.between(0, 3) as u32, rng.between(0, 3) as u32);
                bytes(ServerMessage::MediaSectionsRequirement(pb::MediaSectionsRequirement { num_audios, num_videos }))
            }
            _ => {
                let update =
                    pb::ConnectionQualityInfo { participant_sid: "PA_nobody".into(), quality: 7, score: f32::NAN };
                bytes(ServerMessage::ConnectionQuality(pb::ConnectionQualityUpdate { updates: vec![update] }))
            }
        };
        self.send_down(sock, Down::Frame(frame));
    }

    /// A socket that is no longer the current one still delivers a frame.
    fn stale_frame(&mut self, client: usize, which: u64) {
        let mut rng = Rng::new(which ^ 0x5a5a);
        let current = self.clients[client].core.generation();
        let dead = self.clients[client].socks.iter().filter(|(g, _)| *g != current).map(|(_, s)| *s);
        let dead: Vec<usize> = dead.collect();
        let Some(sock) = dead.last().copied() else { return };
        for _ in 0..rng.between(1, 3) {
            let frame = match rng.between(0, 5) {
                0 => bytes(leave(Action::Disconnect, Why::DuplicateIdentity)),
                1 => bytes(leave(Action::Reconnect, Why::StateMismatch)),
                2 => bytes(ServerMessage::Offer(pb::SessionDescription {
                    sdp: "v=0".into(),
                    id: 3,
                    ..Default::default()
                })),
                3 => bytes(ServerMessage::RefreshToken("user-token-0".into())),
                4 => bytes(ServerMessage::Reconnect(pb::ReconnectResponse::default())),
                _ => bytes(ServerMessage::Answer(pb::SessionDescription { sdp: "v=0".into(), ..Default::default() })),
            };
            let current = self.clients[client].socks.last().is_some_and(|(_, newest)| *newest == sock);
            if !current {
                self.client_receives(sock, &frame);
            }
        }
    }
}
