//! The protocol of one call as pure code: what the core asks becomes frames, what the server says becomes
//! messages and replies. A request of the core that the wire spreads over several exchanges (announce
//! tracks, offer, await the answer) is one request here.
//!
//! Outlives its links: what a resume has to tell the server is remembered here. Must not know: sockets,
//! tasks, any clock; which link is current is told by [`Dialogue::begin_link`].

use super::{incoming, outgoing, own::Own, wishes::Wishes};
use crate::core::{model::*, MAX_PARTICIPANTS};
use crate::error::Secret;
use crate::signalling::text;
use offhook_proto::livekit as pb;
use pb::{signal_request::Message as Ask, signal_response::Message as Said};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// How long a resume is worth trying: the server keeps a session as long as its media connection stands.
const RESUME_S: i32 = 30;
/// Versions of participants that have left, kept so that nothing older brings them back.
const MAX_LEFT: usize = 256;
/// Requests that wait for their replies, at most.
const MAX_WAITING: usize = 64;

/// SetPublisher under way.
#[derive(Debug)]
struct Negotiation {
    ticket: u64,
    sdp: String,
    offer_id: u32,
    offered: bool,
}

/// What becomes of a request.
#[derive(Debug)]
pub enum Outcome {
    Now(Result<RpcReply, Failure>),
    /// Settled under this ticket by something that is heard.
    Later(u64),
}

/// What follows from a frame that was heard.
#[derive(Debug, Default)]
pub struct Heard {
    pub messages: Vec<SfuMessage>,
    pub settled: Vec<(u64, Result<RpcReply, Failure>)>,
    /// To be sent now.
    pub frames: Vec<pb::SignalRequest>,
    /// Other servers of the service, best first.
    pub regions: Vec<String>,
}

impl Heard {
    fn say(message: SfuMessage) -> Self {
        Self { messages: vec![message], ..Self::default() }
    }
}

/// How the server names a track of this participant.
fn local_named(cid: &str, info: &pb::TrackInfo) -> Option<SfuMessage> {
    let sfu_name = incoming::id(info.sid.clone())?;
    Some(SfuMessage::LocalNamed { track_id: cid.to_owned(), sfu_name })
}

#[derive(Debug)]
pub struct Dialogue {
    own: Vec<Own>,
    wishes: Wishes,
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
    rtt_ms: i64,
    resuming: bool,
    /// The server has let this link in.
    begun: bool,
    /// Since a resume: everybody who was named, until all are known to have been.
    present: Option<Vec<String>>,
}

fn refused(code: i32, message: impl Into<String>) -> Failure {
    Failure { code, ..Failure::new(FailureKind::Sfu, message) }
}

impl Dialogue {
    pub fn new(auto_subscribe: bool) -> Self {
        Self {
            own: Vec::new(),
            wishes: Wishes::new(auto_subscribe),
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
            rtt_ms: 0,
            resuming: false,
            begun: false,
            present: None,
        }
    }

    /// Another link comes up. Unless it resumes, the server knows nothing of before.
    pub fn begin_link(&mut self, resume: bool) {
        self.negotiation = None;
        self.waiting.clear();
        (self.resuming, self.begun) = (resume, false);
        self.present = None;
        self.wishes.begin_link(resume);
        if !resume {
            self.own.clear();
            self.versions.clear();
            self.left.clear();
            (self.last_offer, self.last_answer) = (None, None);
            self.data_channels = false;
            self.sid.clear();
        }
    }

    /// The server's name of the present session.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// The frames of a request that has no reply. `now_ms`: milliseconds since 1970.
    pub fn request(&mut self, request: &SfuRequest, now_ms: i64) -> Vec<pb::SignalRequest> {
        let ask = match request {
            // To join is to open the link; who resumes says what it knows.
            SfuRequest::Join(_) if !self.resuming => return Vec::new(),
            SfuRequest::Join(_) => Ask::SyncState(self.sync_state()),
            SfuRequest::Health => Ask::PingReq(pb::Ping { timestamp: now_ms, rtt: self.rtt_ms }),
            SfuRequest::Leave { .. } => Ask::Leave(pb::LeaveRequest {
                reason: pb::DisconnectReason::ClientInitiated as i32,
                action: pb::leave_request::Action::Disconnect as i32,
                ..Default::default()
            }),
        };
        vec![outgoing::request(ask)]
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
            subscription: Some(self.wishes.against_the_usual()),
            publish_tracks: self
                .own
                .iter()
                .filter(|own| own.info.is_some())
                .map(|own| pb::TrackPublishedResponse { cid: own.cid.clone(), track: own.info.clone() })
                .collect(),
            data_channels: match self.data_channels {
                true => labels.map(|label| channel(label, pb::SignalTarget::Publisher)).collect(),
                false => Vec::new(),
            },
            track_sids_disabled: self.wishes.disabled(),
            datachannel_receive_states: Vec::new(),
        }
    }

    /// The publisher has data channels from now on; for the next resume.
    pub fn has_data_channels(&mut self) {
        self.data_channels = true;
    }

    /// The frames of a request with a reply, and whether that is known already.
    pub fn call(&mut self, call: &RpcCall) -> (Vec<pb::SignalRequest>, Outcome) {
        let done = Outcome::Now(Ok(RpcReply::Done));
        match call {
            RpcCall::SetPublisher { sdp, tracks, .. } => self.set_publisher(sdp, tracks),
            RpcCall::SendAnswer { sdp, negotiation_id, .. } => {
                let answer = outgoing::description("answer", sdp, *negotiation_id);
                self.last_answer = Some(answer.clone());
                (vec![outgoing::request(Ask::Answer(answer))], done)
            }
            RpcCall::IceTrickle { peer, candidate, .. } => {
                let trickle = pb::TrickleRequest {
                    candidate_init: candidate.clone(),
                    target: outgoing::target(*peer) as i32,
                    r#final: false,
                };
                (vec![outgoing::request(Ask::Trickle(trickle))], done)
            }
            RpcCall::IceRestart { .. } => {
                let failure = refused(0, "this protocol restarts ICE by a resume");
                (Vec::new(), Outcome::Now(Err(failure)))
            }
            RpcCall::UpdateSubscriptions { subscriptions, .. } => (self.wishes.tell(subscriptions), done),
            RpcCall::UpdateMuteStates { states, .. } => self.mute(states),
            RpcCall::UpdateSelf { update, .. } => {
                if self.waiting.len() >= MAX_WAITING {
                    return (Vec::new(), Outcome::Now(Err(refused(429, "too many requests wait for replies"))));
                }
                self.requests += 1;
                let ticket = self.ticket();
                self.waiting.push((self.requests, ticket));
                let update = outgoing::self_update(update, self.requests);
                (vec![outgoing::request(Ask::UpdateMetadata(update))], Outcome::Later(ticket))
            }
            // Nobody there wants them.
            RpcCall::SendStats { .. } => (Vec::new(), done),
        }
    }

    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Announces what is new, and offers once the server has taken it.
    fn set_publisher(&mut self, sdp: &str, tracks: &[TrackInfo]) -> (Vec<pb::SignalRequest>, Outcome) {
        self.own.retain(|own| tracks.iter().any(|t| t.track_id == own.cid));
        let mut frames = Vec::new();
        for track in tracks {
            if let Some(own) = self.own.iter_mut().find(|own| own.cid == track.track_id) {
                own.mid.clone_from(&track.mid);
                own.wanted = track.muted;
                if own.info.is_some() || own.queued {
                    // An offer says nothing of mutes.
                    frames.extend(own.tell_mute());
                    continue;
                }
                // Announced before, and never confirmed: the announcement may be lost.
            } else {
                self.own.push(Own::announced(track));
            }
            frames.push(outgoing::request(Ask::AddTrack(outgoing::add_track(track))));
        }
        self.offers += 1;
        let ticket = self.ticket();
        let offer_id = self.offers;
        self.negotiation = Some(Negotiation { ticket, sdp: sdp.to_owned(), offer_id, offered: false });
        frames.extend(self.offer_when_ready());
        (frames, Outcome::Later(ticket))
    }

    fn offer_when_ready(&mut self) -> Option<pb::SignalRequest> {
        let ready = self.own.iter().all(|own| own.info.is_some() || own.queued);
        let negotiation = self.negotiation.as_mut().filter(|n| ready && !n.offered)?;
        negotiation.offered = true;
        let offer = outgoing::description("offer", &negotiation.sdp, negotiation.offer_id);
        Some(outgoing::request(Ask::Offer(offer)))
    }

    fn mute(&mut self, states: &[MuteState]) -> (Vec<pb::SignalRequest>, Outcome) {
        let mut frames = Vec::new();
        for state in states {
            let meant = |own: &&Own| match state.track_id.is_empty() {
                true => own.kind == state.kind,
                false => own.cid == state.track_id,
            };
            let Some(own) = self.own.iter_mut().find(|own| meant(&&**own)) else { continue };
            // Said in any case: who asks may know that the server has forgotten it.
            (own.wanted, own.told) = (state.muted, None);
            if own.info.is_none() {
                // It is said as soon as there is a name; when that will be nobody knows.
                let failure = refused(0, "the SFU has not said how it names the track");
                return (frames, Outcome::Now(Err(failure)));
            }
            frames.extend(own.tell_mute());
        }
        (frames, Outcome::Now(Ok(RpcReply::Done)))
    }

    /// Nobody waits for it any more; what comes for it later is late.
    pub fn give_up(&mut self, ticket: u64) {
        self.negotiation.take_if(|n| n.ticket == ticket);
        self.waiting.retain(|(_, t)| *t != ticket);
    }

    /// A frame of the current link.
    pub fn hear(&mut self, response: pb::SignalResponse, now_ms: i64) -> Heard {
        let Some(said) = response.message else { return Heard::say(SfuMessage::Unknown) };
        match said {
            // Once, and first.
            Said::Join(_) | Said::Reconnect(_) if self.begun => Heard::say(SfuMessage::Unknown),
            Said::Join(join) => self.joined(join),
            Said::Reconnect(_) if !self.resuming => Heard::say(SfuMessage::Unknown),
            Said::Reconnect(reconnect) => Heard::say(self.resumed(reconnect)),
            Said::Answer(answer) => self.answered(answer),
            Said::Offer(offer) => {
                let message = incoming::offer(&offer);
                if matches!(message, SfuMessage::SubscriberOffer { .. }) {
                    self.note_offer(offer);
                }
                Heard::say(message)
            }
            Said::Trickle(trickle) => Heard::say(incoming::candidate(trickle)),
            Said::Update(update) => self.updated(update.participants),
            Said::TrackPublished(published) => self.published(published),
            Said::Leave(leave) => {
                let regions = leave.regions.iter().flat_map(|r| &r.regions).map(|r| r.url.clone()).take(16).collect();
                Heard { messages: vec![incoming::leave(&leave)], regions, ..Heard::default() }
            }
            Said::Mute(mute) => Heard::say(match self.own.iter_mut().find(|own| own.sid() == Some(&mute.sid)) {
                Some(own) => {
                    // What was said to it before may arrive after this.
                    (own.wanted, own.told) = (mute.muted, None);
                    SfuMessage::LocalMuted { track_id: own.cid.clone(), muted: mute.muted }
                }
                None => SfuMessage::Alive,
            }),
            Said::SpeakersChanged(change) => Heard::say(SfuMessage::AudioLevels(incoming::speakers(change))),
            Said::RoomUpdate(update) => self.room(update.room),
            Said::ConnectionQuality(update) => {
                let one = |u: pb::ConnectionQualityInfo| {
                    let quality = incoming::quality(u.quality());
                    Some((incoming::id(u.participant_sid)?, quality))
                };
                Heard::say(SfuMessage::ConnectionQuality(update.updates.into_iter().filter_map(one).collect()))
            }
            Said::StreamStateUpdate(update) => {
                let paused = |s: pb::StreamStateInfo| {
                    let paused = s.state() == pb::StreamState::Paused;
                    Some((incoming::id(s.participant_sid)?, TrackKind::Video, paused))
                };
                Heard::say(SfuMessage::InboundState(update.stream_states.into_iter().filter_map(paused).collect()))
            }
            Said::SubscribedQualityUpdate(update) => {
                let kind = self.own.iter().find(|own| own.sid() == Some(&update.track_sid)).map(|own| own.kind);
                Heard::say(match kind {
                    Some(kind) => SfuMessage::ChangePublishQuality(vec![incoming::wanted_layers(kind, update)]),
                    None => SfuMessage::Alive,
                })
            }
            Said::SubscriptionPermissionUpdate(update) => {
                let pb::SubscriptionPermissionUpdate { participant_sid, track_sid, allowed } = update;
                match (incoming::id(participant_sid), incoming::id(track_sid)) {
                    (Some(session_id), Some(track_id)) => {
                        let (message, frames) = self.wishes.allowed(session_id, track_id, allowed);
                        Heard { frames, ..Heard::say(message) }
                    }
                    _ => Heard::say(SfuMessage::Unknown),
                }
            }
            Said::RefreshToken(token) => Heard::say(SfuMessage::Token(Secret::new(token))),
            Said::TrackUnpublished(gone) => {
                let own = self.own.iter().position(|own| own.sid() == Some(&gone.track_sid));
                // A resume must not claim it.
                let track_id = own.map(|index| self.own.remove(index).cid);
                Heard::say(track_id.map_or(SfuMessage::Alive, |track_id| SfuMessage::LocalUnpublished { track_id }))
            }
            Said::PongResp(pong) => {
                self.rtt_ms = now_ms.saturating_sub(pong.last_ping_timestamp).clamp(0, 60_000);
                Heard::say(SfuMessage::Alive)
            }
            Said::Pong(_) | Said::TrackSubscribed(_) => Heard::say(SfuMessage::Alive),
            Said::SubscriptionResponse(response) => Heard::say(incoming::not_subscribed(&response)),
            Said::RequestResponse(response) => self.replied(response),
            Said::RoomMoved(moved) => {
                let why = "the SFU moved this participant to another room".to_owned();
                let advice = SfuMessage::Advice { strategy: Strategy::Rejoin, why, leave_edge: false };
                let token = (!moved.token.is_empty()).then(|| SfuMessage::Token(Secret::new(moved.token)));
                Heard { messages: token.into_iter().chain([advice]).collect(), ..Heard::default() }
            }
        }
    }

    /// What a frame of a link that was replaced says that has to be known all the same: that there was an offer, which
    /// is late. Nothing else of it reaches this dialogue.
    pub fn hear_late(response: &pb::SignalResponse) -> Option<SfuMessage> {
        match response.message.as_ref()? {
            Said::Offer(offer) => Some(incoming::offer(offer)),
            _ => None,
        }
    }

    /// The newest offer, for a resume: one that comes again in between does not take its place.
    fn note_offer(&mut self, offer: pb::SessionDescription) {
        let older = |newest: &pb::SessionDescription| {
            offer.id != 0 && offer.id < newest.id && sdp::origin(&offer.sdp) == sdp::origin(&newest.sdp)
        };
        if !self.last_offer.as_ref().is_some_and(older) {
            self.last_offer = Some(offer);
        }
    }

    fn joined(&mut self, join: pb::JoinResponse) -> Heard {
        if join.room.is_none() && !join.alternative_url.is_empty() {
            let why = "the SFU cannot take this participant, and names another".to_owned();
            let message = SfuMessage::Advice { strategy: Strategy::Rejoin, why, leave_edge: true };
            return Heard { messages: vec![message], regions: vec![join.alternative_url], ..Heard::default() };
        }
        let mut notes = Vec::new();
        let Some(mut me) = join.participant else { return Heard::say(SfuMessage::Unknown) };
        let Some(myself) = incoming::participant(&mut me, &mut notes) else {
            return Heard::say(SfuMessage::Unknown);
        };
        self.begun = true;
        self.sid.clone_from(&me.sid);
        self.grants = myself.grants;
        self.offers_at_once = join.subscriber_primary;
        self.versions.clear();
        self.note_version(&me);
        let frames = self.wishes.without_video(join.other_participants.iter()).into_iter().collect();
        let mut participants = Vec::with_capacity(join.other_participants.len() + 1);
        for mut p in join.other_participants {
            participants.extend(incoming::participant(&mut p, &mut notes));
            self.note_version(&p);
        }
        participants.push(myself);
        // The room's own number follows with seconds of delay.
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
            ..JoinState::default()
        };
        let joined = SfuMessage::Joined(Box::new(state));
        Heard { messages: [joined].into_iter().chain(notes).collect(), frames, ..Heard::default() }
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
            ..JoinState::default()
        }))
    }

    fn answered(&mut self, answer: pb::SessionDescription) -> Heard {
        // Servers of before do not number their answers.
        let ours = |n: &mut Negotiation| n.offered && (answer.id == 0 || answer.id == n.offer_id);
        let Some(negotiation) = self.negotiation.take_if(ours) else { return Heard::say(SfuMessage::PublisherAnswer) };
        let result = match answer.sdp.len() {
            1..=incoming::MAX_SDP => Ok(RpcReply::Publisher { sdp: answer.sdp, ice_restart: false }),
            _ => Err(Failure::new(FailureKind::Malformed, "the SFU's answer cannot be used")),
        };
        Heard { messages: vec![SfuMessage::Alive], settled: vec![(negotiation.ticket, result)], ..Heard::default() }
    }

    fn published(&mut self, published: pb::TrackPublishedResponse) -> Heard {
        let own = self.own.iter_mut().find(|own| own.cid == published.cid);
        let (Some(own), Some(info)) = (own, published.track) else { return Heard::say(SfuMessage::Alive) };
        let named = local_named(&own.cid, &info);
        let mute = own.confirmed(info);
        let frames = mute.into_iter().chain(self.offer_when_ready()).collect();
        Heard { messages: vec![named.unwrap_or(SfuMessage::Alive)], frames, ..Heard::default() }
    }

    fn replied(&mut self, response: pb::RequestResponse) -> Heard {
        use pb::request_response::{Reason, Request};
        let reason = response.reason();
        let fine = matches!(reason, Reason::Ok | Reason::Queued);
        let code = match reason {
            Reason::NotAllowed => 403,
            Reason::NotFound => 404,
            Reason::LimitExceeded => 429,
            _ => 400,
        };
        let said = text::clean(&response.message, &[]);
        let said = match said.is_empty() {
            true => format!("the SFU refuses: {}", reason.as_str_name().to_lowercase().replace('_', " ")),
            false => said,
        };
        let mut heard = Heard::say(SfuMessage::Alive);
        if let Some(Request::AddTrack(add)) = &response.request {
            let own = self.own.iter_mut().find(|own| own.cid == add.cid && own.info.is_none());
            if let (Some(own), Reason::Queued) = (own, reason) {
                own.queued = true;
                heard.frames.extend(self.offer_when_ready());
                return heard;
            }
            let meant = self.own.iter().any(|own| own.cid == add.cid && own.info.is_none());
            if let Some(n) = self.negotiation.take_if(|n| meant && !fine && !n.offered) {
                self.own.retain(|own| own.info.is_some() || own.cid != add.cid);
                let failure = Failure { track_id: add.cid.clone(), ..refused(code, said) };
                heard.settled.push((n.ticket, Err(failure)));
            }
            return heard;
        }
        if let Some(index) = self.waiting.iter().position(|(id, _)| *id == response.request_id) {
            let (_, ticket) = self.waiting.swap_remove(index);
            let result = if fine { Ok(RpcReply::Done) } else { Err(refused(code, said)) };
            heard.settled.push((ticket, result));
        }
        heard
    }

    /// Of more than the call can follow nothing is remembered.
    fn note_version(&mut self, p: &pb::ParticipantInfo) {
        let room = self.versions.len() < MAX_PARTICIPANTS && p.sid.len() <= incoming::MAX_ID;
        if room || self.versions.contains_key(&p.sid) {
            self.versions.insert(p.sid.clone(), p.version);
        }
    }

    fn updated(&mut self, participants: Vec<pb::ParticipantInfo>) -> Heard {
        let (mut messages, mut frames) = (Vec::new(), Vec::new());
        for mut p in participants {
            let Some(person) = incoming::participant(&mut p, &mut messages) else { continue };
            let gone = p.state() == pb::participant_info::State::Disconnected;
            // Bounded; a server that names more than that is not asked who is missing.
            self.present.take_if(|present| present.len() >= MAX_PARTICIPANTS);
            if let Some(present) = self.present.as_mut().filter(|_| !gone) {
                present.push(p.sid.clone());
            }
            // What is older than what was said already came the long way round. Nobody comes back under a sid that
            // has left, so a farewell is never old.
            let older = !gone && self.versions.get(&p.sid).is_some_and(|known| p.version < *known);
            let mine = p.sid == self.sid;
            // Of this participant's own farewell a leave says why.
            if older || self.left.contains(&p.sid) || (gone && mine) {
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
            if mine {
                frames.extend(self.named(&p.tracks, &mut messages));
            } else {
                frames.extend(self.wishes.without_video([&p].into_iter()));
            }
            if let Some(grants) = person.grants.filter(|_| mine) {
                if self.grants.replace(grants) != Some(grants) {
                    messages.push(SfuMessage::Grants(grants));
                }
            }
            self.note_version(&p);
            messages.push(SfuMessage::ParticipantState(Box::new(person)));
        }
        Heard { messages, frames, ..Heard::default() }
    }

    /// Tracks of ours whose names the server never told are found by their m-lines.
    fn named(&mut self, tracks: &[pb::TrackInfo], messages: &mut Vec<SfuMessage>) -> Vec<pb::SignalRequest> {
        let mut frames = Vec::new();
        for info in tracks.iter().filter(|t| !t.mid.is_empty()) {
            if self.own.iter().any(|own| own.sid() == Some(&info.sid)) {
                continue;
            }
            let nameless = self.own.iter_mut().find(|own| own.queued && own.info.is_none() && own.mid == info.mid);
            if let Some(own) = nameless {
                messages.extend(local_named(&own.cid, info));
                frames.extend(own.confirmed(info.clone()));
            }
        }
        frames
    }

    fn room(&mut self, room: Option<pb::Room>) -> Heard {
        let Some(room) = room else { return Heard::say(SfuMessage::Alive) };
        self.counts = Counts { total: room.num_participants, anonymous: 0 };
        let counts = SfuMessage::Health(self.counts);
        let mut messages = vec![counts, SfuMessage::Room(Box::new(incoming::room(room)))];
        // After a resume the server names everybody, this participant among them, and then the room: who left meanwhile
        // is only missing there.
        let sid = &self.sid;
        messages.extend(self.present.take_if(|present| present.contains(sid)).map(SfuMessage::Present));
        Heard { messages, ..Heard::default() }
    }
}

#[cfg(test)]
#[path = "dialogue_tests.rs"]
mod tests;
