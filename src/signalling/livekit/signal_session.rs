//! The signalling session of one call, without I/O. Requests of the core become frames; server messages become model
//! messages and replies. A request of the core that takes several exchanges on the wire (announce tracks, offer, await
//! the answer) is one request here.
//!
//! A session outlives its links and keeps the state that a resume sends to the server. [`SignalSession::begin_link`] sets
//! the current link. Must not know: sockets, tasks, any clock.

use super::{incoming, local_track::LocalTrack, outgoing, subscription_table::SubscriptionTable};
use crate::core::{model::*, MAX_PARTICIPANTS};
use crate::error::Secret;
use crate::signalling::text;
use offhook_proto::livekit as pb;
use pb::{signal_request::Message as ClientMessage, signal_response::Message as ServerMessage};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long a resume can succeed: the server keeps a session as long as its media connection is up.
const RESUME_S: i32 = 30;
/// Most session ids of participants that have left. They are kept so that an older update does not bring them back.
const MAX_LEFT: usize = 256;
/// Most requests that wait for a reply.
const MAX_WAITING: usize = 64;

/// A SetPublisher request in progress.
#[derive(Debug)]
struct Negotiation {
    ticket: u64,
    offer: pb::SessionDescription,
    offered: bool,
}

/// The outcome of a request.
#[derive(Debug)]
pub enum Outcome {
    Now(Result<RpcReply, Failure>),
    /// Settled under this ticket by a later frame.
    Later(u64),
}

/// The effects of a received frame.
#[derive(Debug, Default)]
pub struct FrameEffects {
    pub messages: Vec<SfuMessage>,
    pub settled: Vec<(u64, Result<RpcReply, Failure>)>,
    /// Frames to send now.
    pub frames: Vec<pb::SignalRequest>,
    /// Other servers of the service, best first.
    pub regions: Vec<String>,
}

impl FrameEffects {
    fn with_message(message: SfuMessage) -> Self {
        Self { messages: vec![message], ..Self::default() }
    }
}

/// The server's name for a local track.
fn local_named(cid: &str, info: &pb::TrackInfo) -> Option<SfuMessage> {
    let sfu_name = incoming::id(info.sid.clone())?;
    Some(SfuMessage::LocalNamed { track_id: cid.to_owned(), sfu_name })
}

#[derive(Debug)]
pub struct SignalSession {
    local_tracks: Vec<LocalTrack>,
    subscriptions: SubscriptionTable,
    negotiation: Option<Negotiation>,
    /// (request id, ticket)
    waiting: Vec<(u32, u64)>,
    tickets: u64,
    offers: u32,
    requests: u32,
    sid: String,
    counts: Counts,
    health: Option<Health>,
    grants: Option<Grants>,
    versions: HashMap<String, u32>,
    left: VecDeque<String>,
    last_offer: Option<pb::SessionDescription>,
    offers_at_once: bool,
    last_answer: Option<pb::SessionDescription>,
    data_channels: bool,
    /// The session has one peer connection for both directions.
    one_connection: bool,
    rtt_ms: i64,
    resuming: bool,
    /// The server has admitted this link.
    begun: bool,
    /// After a resume: the participants listed so far, until the list is complete.
    present: Option<Vec<String>>,
}

fn refused(code: i32, message: impl Into<String>) -> Failure {
    Failure { code, ..Failure::new(FailureKind::Sfu, message) }
}

impl SignalSession {
    pub fn new(auto_subscribe: bool) -> Self {
        Self {
            local_tracks: Vec::new(),
            subscriptions: SubscriptionTable::new(auto_subscribe),
            negotiation: None,
            waiting: Vec::new(),
            tickets: 0,
            offers: 0,
            requests: 0,
            sid: String::new(),
            counts: Counts::default(),
            health: None,
            grants: None,
            versions: HashMap::new(),
            left: VecDeque::new(),
            last_offer: None,
            offers_at_once: false,
            last_answer: None,
            data_channels: false,
            one_connection: false,
            rtt_ms: 0,
            resuming: false,
            begun: false,
            present: None,
        }
    }

    /// Starts a new link. Unless it is a resume, the server has no state of the previous one, and the session has
    /// `one_connection` or two.
    pub fn begin_link(&mut self, resume: bool, one_connection: bool) {
        self.negotiation = None;
        self.waiting.clear();
        (self.resuming, self.begun) = (resume, false);
        self.present = None;
        self.subscriptions.begin_link(resume);
        if !resume {
            self.local_tracks.clear();
            self.versions.clear();
            self.left.clear();
            (self.last_offer, self.last_answer) = (None, None);
            self.data_channels = false;
            self.one_connection = one_connection;
            self.sid.clear();
        }
    }

    /// The server's name for the current session.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The session has one peer connection for both directions.
    pub fn has_one_connection(&self) -> bool {
        self.one_connection
    }

    /// The frames of a request that has no reply. `now_ms`: milliseconds since 1970.
    pub fn request(&mut self, request: &SfuRequest, now_ms: i64) -> Vec<pb::SignalRequest> {
        let message = match request {
            // Opening the link is the join. A resume sends the client's state.
            SfuRequest::Join(_) if !self.resuming => return Vec::new(),
            SfuRequest::Join(_) => ClientMessage::SyncState(self.sync_state()),
            SfuRequest::Health => ClientMessage::PingReq(pb::Ping { timestamp: now_ms, rtt: self.rtt_ms }),
            SfuRequest::Leave { .. } => ClientMessage::Leave(pb::LeaveRequest {
                reason: pb::DisconnectReason::ClientInitiated as i32,
                action: pb::leave_request::Action::Disconnect as i32,
                ..Default::default()
            }),
        };
        vec![outgoing::request(message)]
    }

    fn sync_state(&self) -> pb::SyncState {
        let channel = |label: &str, target: pb::SignalTarget| pb::DataChannelInfo {
            label: label.to_owned(),
            id: 0,
            target: target as i32,
        };
        let labels = super::data::CHANNELS.iter().map(|c| c.label);
        pb::SyncState {
            answer: self.last_answer.clone(),
            offer: self.last_offer.clone(),
            subscription: Some(self.subscriptions.non_default()),
            publish_tracks: self
                .local_tracks
                .iter()
                .filter(|local| local.info.is_some())
                .map(|local| pb::TrackPublishedResponse { cid: local.cid.clone(), track: local.info.clone() })
                .collect(),
            data_channels: match self.data_channels {
                true => labels.map(|label| channel(label, pb::SignalTarget::Publisher)).collect(),
                false => Vec::new(),
            },
            track_sids_disabled: self.subscriptions.disabled(),
            datachannel_receive_states: Vec::new(),
        }
    }

    /// The publisher has data channels from now on; needed for the next resume.
    pub fn has_data_channels(&mut self) {
        self.data_channels = true;
    }

    /// The frames of a request with a reply, and its outcome, known now or later.
    pub fn call(&mut self, call: &RpcCall) -> (Vec<pb::SignalRequest>, Outcome) {
        let done = Outcome::Now(Ok(RpcReply::Done));
        match call {
            RpcCall::SetPublisher { sdp, tracks, .. } => self.set_publisher(sdp, tracks),
            RpcCall::SendAnswer { sdp, negotiation_id, .. } => {
                let answer = outgoing::description("answer", sdp, *negotiation_id);
                self.last_answer = Some(answer.clone());
                (vec![outgoing::request(ClientMessage::Answer(answer))], done)
            }
            RpcCall::IceTrickle { peer, candidate, .. } => {
                let trickle = pb::TrickleRequest {
                    candidate_init: candidate.clone(),
                    target: outgoing::target(*peer) as i32,
                    r#final: false,
                };
                (vec![outgoing::request(ClientMessage::Trickle(trickle))], done)
            }
            RpcCall::IceRestart { .. } => {
                let failure = refused(0, "this protocol restarts ICE only by a resume");
                (Vec::new(), Outcome::Now(Err(failure)))
            }
            RpcCall::UpdateSubscriptions { subscriptions, .. } => (self.subscriptions.update(subscriptions), done),
            RpcCall::UpdateMuteStates { states, .. } => self.mute(states),
            RpcCall::UpdateSelf { update, .. } => {
                if self.waiting.len() >= MAX_WAITING {
                    return (Vec::new(), Outcome::Now(Err(refused(429, "too many pending requests"))));
                }
                self.requests += 1;
                let ticket = self.ticket();
                self.waiting.push((self.requests, ticket));
                let update = outgoing::self_update(update, self.requests);
                (vec![outgoing::request(ClientMessage::UpdateMetadata(update))], Outcome::Later(ticket))
            }
            // LiveKit has no use for them.
            RpcCall::SendStats { .. } => (Vec::new(), done),
        }
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Announces new tracks, and sends the offer once the server has confirmed them.
    fn set_publisher(&mut self, sdp: &str, tracks: &[TrackInfo]) -> (Vec<pb::SignalRequest>, Outcome) {
        self.local_tracks.retain(|local| tracks.iter().any(|t| t.track_id == local.cid));
        let mut frames = Vec::new();
        for track in tracks {
            if let Some(local) = self.local_tracks.iter_mut().find(|local| local.cid == track.track_id) {
                local.mid.clone_from(&track.mid);
                local.requested_mute = track.muted;
                if local.info.is_some() || local.queued {
                    // An offer does not carry mute states.
                    frames.extend(local.mute_request());
                    continue;
                }
                // Announced before but not confirmed: the announcement may be lost.
            } else {
                self.local_tracks.push(LocalTrack::announced(track));
            }
            frames.push(outgoing::request(ClientMessage::AddTrack(outgoing::add_track(track))));
        }
        self.offers += 1;
        let ticket = self.ticket();
        let offer = outgoing::description("offer", sdp, self.offers);
        self.negotiation = Some(Negotiation { ticket, offer, offered: false });
        frames.extend(self.offer_when_ready());
        (frames, Outcome::Later(ticket))
    }

    fn offer_when_ready(&mut self) -> Option<pb::SignalRequest> {
        let ready = self.local_tracks.iter().all(|local| local.info.is_some() || local.queued);
        let negotiation = self.negotiation.as_mut().filter(|n| ready && !n.offered)?;
        negotiation.offered = true;
        Some(outgoing::request(ClientMessage::Offer(negotiation.offer.clone())))
    }

    fn mute(&mut self, states: &[MuteState]) -> (Vec<pb::SignalRequest>, Outcome) {
        let mut frames = Vec::new();
        for state in states {
            let meant = |local: &&LocalTrack| match state.track_id.is_empty() {
                true => local.kind == state.kind,
                false => local.cid == state.track_id,
            };
            let Some(local) = self.local_tracks.iter_mut().find(|local| meant(&&**local)) else { continue };
            // Always sent: the caller may know that the server has lost the state.
            (local.requested_mute, local.sent_mute) = (state.muted, None);
            if local.info.is_none() {
                // Sent as soon as the server has named the track, at an unknown time.
                let failure = refused(0, "the SFU has not confirmed the track yet");
                return (frames, Outcome::Now(Err(failure)));
            }
            frames.extend(local.mute_request());
        }
        (frames, Outcome::Now(Ok(RpcReply::Done)))
    }

    /// Abandons a pending request. A later reply to it is ignored.
    pub fn give_up(&mut self, ticket: u64) {
        self.negotiation.take_if(|n| n.ticket == ticket);
        self.waiting.retain(|(_, t)| *t != ticket);
    }

    /// Processes a frame of the current link.
    pub fn handle_frame(&mut self, response: pb::SignalResponse, now_ms: i64) -> FrameEffects {
        let Some(server_message) = response.message else { return FrameEffects::with_message(SfuMessage::Unknown) };
        match server_message {
            // Valid once, as the first message.
            ServerMessage::Join(_) | ServerMessage::Reconnect(_) if self.begun => {
                FrameEffects::with_message(SfuMessage::Unknown)
            }
            ServerMessage::Join(join) => self.joined(join),
            ServerMessage::Reconnect(_) if !self.resuming => FrameEffects::with_message(SfuMessage::Unknown),
            ServerMessage::Reconnect(reconnect) => FrameEffects::with_message(self.resumed(reconnect)),
            ServerMessage::Answer(answer) => self.answered(answer),
            ServerMessage::Offer(offer) => {
                let message = incoming::offer(&offer);
                if matches!(message, SfuMessage::SubscriberOffer { .. }) && !self.one_connection {
                    self.note_offer(offer);
                }
                FrameEffects::with_message(message)
            }
            ServerMessage::MediaSectionsRequirement(needed) => FrameEffects::with_message(match self.one_connection {
                // The server has not processed the pending offer, and repeats after its answer what that does not have.
                true if self.negotiation.is_some() || self.last_answer.is_none() => SfuMessage::Alive,
                // Video is not received.
                true => SfuMessage::LinesNeeded { audio: needed.num_audios },
                false => SfuMessage::Unknown,
            }),
            ServerMessage::Trickle(trickle) => FrameEffects::with_message(incoming::candidate(trickle)),
            ServerMessage::Update(update) => self.updated(update.participants),
            ServerMessage::TrackPublished(published) => self.published(published),
            ServerMessage::Leave(leave) => {
                let regions = leave.regions.iter().flat_map(|r| &r.regions).map(|r| r.url.clone()).take(16).collect();
                FrameEffects { messages: vec![incoming::leave(&leave)], regions, ..FrameEffects::default() }
            }
            ServerMessage::Mute(mute) => FrameEffects::with_message(
                match self.local_tracks.iter_mut().find(|local| local.sid() == Some(&mute.sid)) {
                    Some(local) => {
                        // An earlier mute request may reach the server after this.
                        (local.requested_mute, local.sent_mute) = (mute.muted, None);
                        SfuMessage::LocalMuted { track_id: local.cid.clone(), muted: mute.muted }
                    }
                    None => SfuMessage::Alive,
                },
            ),
            ServerMessage::SpeakersChanged(change) => {
                FrameEffects::with_message(SfuMessage::AudioLevels(incoming::speakers(change)))
            }
            ServerMessage::RoomUpdate(update) => self.room(update.room),
            ServerMessage::ConnectionQuality(update) => {
                let one = |u: pb::ConnectionQualityInfo| {
                    let quality = incoming::quality(u.quality());
                    Some((incoming::id(u.participant_sid)?, quality))
                };
                FrameEffects::with_message(SfuMessage::ConnectionQuality(
                    update.updates.into_iter().filter_map(one).collect(),
                ))
            }
            ServerMessage::StreamStateUpdate(update) => {
                let paused = |s: pb::StreamStateInfo| {
                    let paused = s.state() == pb::StreamState::Paused;
                    Some((incoming::id(s.participant_sid)?, TrackKind::Video, paused))
                };
                FrameEffects::with_message(SfuMessage::InboundState(
                    update.stream_states.into_iter().filter_map(paused).collect(),
                ))
            }
            ServerMessage::SubscribedQualityUpdate(update) => {
                let kind = self
                    .local_tracks
                    .iter()
                    .find(|local| local.sid() == Some(&update.track_sid))
                    .map(|local| local.kind);
                FrameEffects::with_message(match kind {
                    Some(kind) => SfuMessage::ChangePublishQuality(vec![incoming::requested_layers(kind, update)]),
                    None => SfuMessage::Alive,
                })
            }
            ServerMessage::SubscriptionPermissionUpdate(update) => {
                let pb::SubscriptionPermissionUpdate { participant_sid, track_sid, allowed } = update;
                match (incoming::id(participant_sid), incoming::id(track_sid)) {
                    (Some(session_id), Some(track_id)) => {
                        let (message, frames) = self.subscriptions.allowed(session_id, track_id, allowed);
                        FrameEffects { frames, ..FrameEffects::with_message(message) }
                    }
                    _ => FrameEffects::with_message(SfuMessage::Unknown),
                }
            }
            ServerMessage::RefreshToken(token) => FrameEffects::with_message(SfuMessage::Token(Secret::new(token))),
            ServerMessage::TrackUnpublished(gone) => {
                let local = self.local_tracks.iter().position(|local| local.sid() == Some(&gone.track_sid));
                // A resume must not list it.
                let track_id = local.map(|index| self.local_tracks.remove(index).cid);
                FrameEffects::with_message(
                    track_id.map_or(SfuMessage::Alive, |track_id| SfuMessage::LocalUnpublished { track_id }),
                )
            }
            ServerMessage::PongResp(pong) => {
                self.rtt_ms = now_ms.saturating_sub(pong.last_ping_timestamp).clamp(0, 60_000);
                FrameEffects::with_message(SfuMessage::Alive)
            }
            ServerMessage::Pong(_) | ServerMessage::TrackSubscribed(_) => FrameEffects::with_message(SfuMessage::Alive),
            ServerMessage::SubscriptionResponse(response) => {
                FrameEffects::with_message(incoming::not_subscribed(&response))
            }
            ServerMessage::RequestResponse(response) => self.replied(response),
            ServerMessage::RoomMoved(moved) => {
                let why = "the SFU moved this participant to another room".to_owned();
                let advice = SfuMessage::Advice { strategy: Strategy::Rejoin, why, leave_edge: false };
                let token = (!moved.token.is_empty()).then(|| SfuMessage::Token(Secret::new(moved.token)));
                FrameEffects { messages: token.into_iter().chain([advice]).collect(), ..FrameEffects::default() }
            }
        }
    }

    /// Processes a frame of a link that was replaced. Only an offer is passed on, as a late one. The session's state
    /// does not change.
    pub fn handle_late_frame(response: &pb::SignalResponse) -> Option<SfuMessage> {
        match response.message.as_ref()? {
            ServerMessage::Offer(offer) => Some(incoming::offer(offer)),
            _ => None,
        }
    }

    /// Keeps the newest offer for a resume. An older one that arrives again does not replace it.
    fn note_offer(&mut self, offer: pb::SessionDescription) {
        let older = |newest: &pb::SessionDescription| {
            offer.id != 0 && offer.id < newest.id && sdp::origin(&offer.sdp) == sdp::origin(&newest.sdp)
        };
        if !self.last_offer.as_ref().is_some_and(older) {
            self.last_offer = Some(offer);
        }
    }

    fn joined(&mut self, join: pb::JoinResponse) -> FrameEffects {
        if join.room.is_none() && !join.alternative_url.is_empty() {
            let why = "the SFU cannot admit this participant and named another server".to_owned();
            let message = SfuMessage::Advice { strategy: Strategy::Rejoin, why, leave_edge: true };
            return FrameEffects {
                messages: vec![message],
                regions: vec![join.alternative_url],
                ..FrameEffects::default()
            };
        }
        let mut notes = Vec::new();
        let Some(mut local_info) = join.participant else { return FrameEffects::with_message(SfuMessage::Unknown) };
        let Some(local_participant) = incoming::participant(&mut local_info, &mut notes) else {
            return FrameEffects::with_message(SfuMessage::Unknown);
        };
        self.begun = true;
        self.sid.clone_from(&local_info.sid);
        self.grants = local_participant.grants;
        self.offers_at_once = join.subscriber_primary && !self.one_connection;
        self.versions.clear();
        self.note_version(&local_info);
        let frames = self.subscriptions.without_video(join.other_participants.iter()).into_iter().collect();
        let mut participants = Vec::with_capacity(join.other_participants.len() + 1);
        for mut p in join.other_participants {
            participants.extend(incoming::participant(&mut p, &mut notes));
            self.note_version(&p);
        }
        participants.push(local_participant);
        // The room's own count lags by seconds.
        self.counts = Counts { total: u32::try_from(participants.len()).unwrap_or(u32::MAX), anonymous: 0 };
        let seconds = |s: i32| Duration::from_secs(u64::try_from(s).unwrap_or(0));
        self.health = (join.ping_interval > 0 && join.ping_timeout > join.ping_interval)
            .then(|| Health { ping: seconds(join.ping_interval), silent: seconds(join.ping_timeout) });
        let state = JoinState {
            participants,
            counts: self.counts,
            reconnected: false,
            fast_reconnect_deadline_s: RESUME_S,
            session_id: self.sid.clone(),
            health: self.health,
            ice_servers: Some(incoming::ice_servers(join.ice_servers)),
            grants: self.grants,
            publisher_first: !join.subscriber_primary,
            room: join.room.map(incoming::room),
            offers_at_once: self.offers_at_once,
            one_connection: self.one_connection,
            ..JoinState::default()
        };
        let joined = SfuMessage::Joined(Box::new(state));
        FrameEffects { messages: [joined].into_iter().chain(notes).collect(), frames, ..FrameEffects::default() }
    }

    fn resumed(&mut self, reconnect: pb::ReconnectResponse) -> SfuMessage {
        self.begun = true;
        self.present = Some(Vec::new());
        SfuMessage::Joined(Box::new(JoinState {
            counts: self.counts,
            reconnected: true,
            fast_reconnect_deadline_s: RESUME_S,
            session_id: self.sid.clone(),
            health: self.health,
            ice_servers: Some(incoming::ice_servers(reconnect.ice_servers)),
            offers_at_once: self.offers_at_once,
            one_connection: self.one_connection,
            ..JoinState::default()
        }))
    }

    fn answered(&mut self, answer: pb::SessionDescription) -> FrameEffects {
        // Older servers do not number their answers.
        let is_current = |n: &mut Negotiation| n.offered && (answer.id == 0 || answer.id == n.offer.id);
        let Some(negotiation) = self.negotiation.take_if(is_current) else {
            return FrameEffects::with_message(SfuMessage::PublisherAnswer);
        };
        let result = match answer.sdp.len() {
            1..=incoming::MAX_SDP => {
                if self.one_connection {
                    (self.last_offer, self.last_answer) = (Some(negotiation.offer), Some(answer.clone()));
                }
                Ok(RpcReply::Publisher { sdp: answer.sdp, ice_restart: false })
            }
            _ => Err(Failure::new(FailureKind::Malformed, "the SFU's answer is unusable")),
        };
        FrameEffects {
            messages: vec![SfuMessage::Alive],
            settled: vec![(negotiation.ticket, result)],
            ..FrameEffects::default()
        }
    }

    fn published(&mut self, published: pb::TrackPublishedResponse) -> FrameEffects {
        let local = self.local_tracks.iter_mut().find(|local| local.cid == published.cid);
        let (Some(local), Some(info)) = (local, published.track) else {
            return FrameEffects::with_message(SfuMessage::Alive);
        };
        let named = local_named(&local.cid, &info);
        let mute = local.confirmed(info);
        let frames = mute.into_iter().chain(self.offer_when_ready()).collect();
        FrameEffects { messages: vec![named.unwrap_or(SfuMessage::Alive)], frames, ..FrameEffects::default() }
    }

    fn replied(&mut self, response: pb::RequestResponse) -> FrameEffects {
        use pb::request_response::{Reason, Request};
        let reason = response.reason();
        let fine = matches!(reason, Reason::Ok | Reason::Queued);
        let code = match reason {
            Reason::NotAllowed => 403,
            Reason::NotFound => 404,
            Reason::LimitExceeded => 429,
            _ => 400,
        };
        let reason_text = text::clean(&response.message, &[]);
        let reason_text = match reason_text.is_empty() {
            true => format!("the SFU refused: {}", reason.as_str_name().to_lowercase().replace('_', " ")),
            false => reason_text,
        };
        let mut effects = FrameEffects::with_message(SfuMessage::Alive);
        if let Some(Request::AddTrack(add)) = &response.request {
            let local = self.local_tracks.iter_mut().find(|local| local.cid == add.cid && local.info.is_none());
            if let (Some(local), Reason::Queued) = (local, reason) {
                local.queued = true;
                effects.frames.extend(self.offer_when_ready());
                return effects;
            }
            let meant = self.local_tracks.iter().any(|local| local.cid == add.cid && local.info.is_none());
            if let Some(n) = self.negotiation.take_if(|n| meant && !fine && !n.offered) {
                self.local_tracks.retain(|local| local.info.is_some() || local.cid != add.cid);
                let failure = Failure { track_id: add.cid.clone(), ..refused(code, reason_text) };
                effects.settled.push((n.ticket, Err(failure)));
            }
            return effects;
        }
        if let Some(index) = self.waiting.iter().position(|(id, _)| *id == response.request_id) {
            let (_, ticket) = self.waiting.swap_remove(index);
            let result = if fine { Ok(RpcReply::Done) } else { Err(refused(code, reason_text)) };
            effects.settled.push((ticket, result));
        }
        effects
    }

    /// Records a participant's version. Beyond the participant limit nothing is recorded.
    fn note_version(&mut self, p: &pb::ParticipantInfo) {
        let room = self.versions.len() < MAX_PARTICIPANTS && p.sid.len() <= incoming::MAX_ID;
        if room || self.versions.contains_key(&p.sid) {
            self.versions.insert(p.sid.clone(), p.version);
        }
    }

    fn updated(&mut self, participants: Vec<pb::ParticipantInfo>) -> FrameEffects {
        let (mut messages, mut frames) = (Vec::new(), Vec::new());
        for mut p in participants {
            let Some(person) = incoming::participant(&mut p, &mut messages) else { continue };
            let gone = p.state() == pb::participant_info::State::Disconnected;
            // Bounded: if the server lists more than that, absent participants are not detected.
            self.present.take_if(|present| present.len() >= MAX_PARTICIPANTS);
            if let Some(present) = self.present.as_mut().filter(|_| !gone) {
                present.push(p.sid.clone());
            }
            // An update that is older than the known version arrived late. A session id is not reused after a leave, so
            // a disconnect is never outdated.
            let older = !gone && self.versions.get(&p.sid).is_some_and(|known| p.version < *known);
            let is_local = p.sid == self.sid;
            // A leave message reports the reason for this participant's own disconnect.
            if older || self.left.contains(&p.sid) || (gone && is_local) {
                continue;
            }
            if gone {
                self.versions.remove(&p.sid);
                let reason = incoming::leave_reason(&p);
                if self.left.len() >= MAX_LEFT {
                    self.left.pop_front();
                }
                self.left.push_back(p.sid);
                let Participant { session_id, user_id, .. } = person;
                messages.push(SfuMessage::ParticipantLeft { session_id, user_id, reason });
                continue;
            }
            if is_local {
                frames.extend(self.named(&p.tracks, &mut messages));
            } else {
                frames.extend(self.subscriptions.without_video([&p].into_iter()));
            }
            if let Some(grants) = person.grants.filter(|_| is_local) {
                if self.grants.replace(grants) != Some(grants) {
                    messages.push(SfuMessage::Grants(grants));
                }
            }
            self.note_version(&p);
            messages.push(SfuMessage::ParticipantState(Box::new(person)));
        }
        FrameEffects { messages, frames, ..FrameEffects::default() }
    }

    /// Finds local tracks that the server has not named, by their m-lines.
    fn named(&mut self, tracks: &[pb::TrackInfo], messages: &mut Vec<SfuMessage>) -> Vec<pb::SignalRequest> {
        let mut frames = Vec::new();
        for info in tracks.iter().filter(|t| !t.mid.is_empty()) {
            if self.local_tracks.iter().any(|local| local.sid() == Some(&info.sid)) {
                continue;
            }
            let nameless = self
                .local_tracks
                .iter_mut()
                .find(|local| local.queued && local.info.is_none() && local.mid == info.mid);
            if let Some(local) = nameless {
                messages.extend(local_named(&local.cid, info));
                frames.extend(local.confirmed(info.clone()));
            }
        }
        frames
    }

    fn room(&mut self, room: Option<pb::Room>) -> FrameEffects {
        let Some(room) = room else { return FrameEffects::with_message(SfuMessage::Alive) };
        self.counts = Counts { total: room.num_participants, anonymous: 0 };
        let counts = SfuMessage::Health(self.counts);
        let mut messages = vec![counts, SfuMessage::Room(Box::new(incoming::room(room)))];
        // After a resume the server lists all participants, including this one, and then sends the room. A participant
        // that left meanwhile is only missing from that list.
        let sid = &self.sid;
        messages.extend(self.present.take_if(|present| present.contains(sid)).map(SfuMessage::Present));
        FrameEffects { messages, ..FrameEffects::default() }
    }
}

#[cfg(test)]
#[path = "signal_session_tests.rs"]
mod tests;
