//! The logic of a call, as pure code: call `handle(now, input)`, then take the outputs and the next deadline.
//! Must not know: tokio, sockets, any clock or source of randomness, the engine, wire types. Time is a `Duration` since
//! an epoch of the caller's choice.
//!
//! [`Core`] coordinates: each part owns its state and the methods that change it, and uses the [`context::Context`] to
//! read the state of the call and to queue commands. A part returns a [`context::Need`] for an action that it cannot do
//! itself. The flows that involve every part (join, reconnect, migrate, leave) are in `reconnect/`.
//!
//! The path of one offer, the central guarantee: [`Input::Message`] → is its generation current? → `peer/subscriber.rs`
//! queues it → checked again when it starts and after the engine has answered → SendAnswer. Any "no" on the way: one
//! count in `late_offers`, one debug line, nothing else.

pub mod backoff;
mod context;
pub mod io;
pub mod limits;
mod messages;
mod messaging;
pub mod model;
mod peer;
mod reconnect;
mod requests;
pub mod rng;
mod room;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod timers;
pub mod trace;

pub use io::{
    Action, AudioOffer, Config, Counters, Event, Input, NetworkChange, Op, OpDone, OpFailed, Output, PeerChange,
    RemoteId, TrackId, Wanted, WantedSender,
};
pub use limits::TRACKS as MAX_LOCAL_TRACKS;
pub use room::present::{Look, Present, PresentLocal, PresentTrack};
pub use room::roster::MAX_PARTICIPANTS;
pub use state::{End, EndReason, State, Unsent};

use crate::error::{Code, Error};
use context::{Context, Need, Phase, Settled};
use messaging::Messaging;
use model::*;
use peer::{Connection, IceServers, Publisher, Subscriber};
use reconnect::{Edges, Held, Migration, Reconnects, Socket, Tokens};
use room::Room;
use stats::Stats;
use std::{sync::Arc, time::Duration};
use timers::Timer;
use trace::Trace;

/// The logic and the state of one call.
#[derive(Debug)]
pub struct Core {
    cx: Context,
    tokens: Tokens,
    edges: Edges,
    socket: Socket,
    /// Messages received before JoinResponse.
    held: Held,
    reconnects: Reconnects,
    migration: Migration,
    publisher: Publisher,
    subscriber: Subscriber,
    ice_servers: IceServers,
    room: Room,
    messaging: Messaging,
    stats: Stats,
    health: Health,
    /// JOINED was reported to the application.
    joined_once: bool,
    /// The session of `session_id` has been joined.
    session_joined: bool,
    join_failures: u32,
    end: Option<End>,
    /// Records all inputs and outputs.
    trace: Option<Arc<Trace>>,
}

impl Core {
    pub fn new(config: Config) -> Self {
        let tokens = Tokens::new(config.token.clone());
        let cx = Context::new(config);
        Self {
            tokens,
            edges: Edges::default(),
            socket: Socket::default(),
            held: Held::default(),
            reconnects: Reconnects::default(),
            migration: Migration::default(),
            publisher: Publisher::new(),
            subscriber: Subscriber::new(!cx.subscriber_closed()),
            ice_servers: IceServers::default(),
            room: Room::default(),
            messaging: Messaging::default(),
            stats: Stats::default(),
            health: limits::HEALTH,
            joined_once: false,
            session_joined: false,
            join_failures: 0,
            end: None,
            trace: None,
            cx,
        }
    }

    /// Records all inputs and outputs from here on; call it before the first input.
    pub fn traced(mut self, trace: Arc<Trace>) -> Self {
        self.trace = Some(trace);
        self
    }

    pub fn state(&self) -> State {
        self.cx.state
    }

    pub fn counters(&self) -> Counters {
        self.cx.counters
    }

    pub fn counts(&self) -> Counts {
        self.room.counts
    }

    /// Permissions of this participant, once they are known.
    pub fn grants(&self) -> Option<Grants> {
        self.cx.grants
    }

    pub fn generation(&self) -> Generation {
        self.cx.generation
    }

    /// The current participants, including the local one.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.room.roster.iter()
    }

    /// The data for a snapshot of the participants and their tracks; empty after the call has ended.
    pub fn look(&self) -> Look {
        let cx = &self.cx;
        if self.is_over() {
            return Look::default();
        }
        let known = self.room.roster.shared(&cx.session_id);
        let mut local = known.unwrap_or_else(|| {
            let session_id = if self.joined_once { cx.session_id.clone() } else { String::new() };
            Arc::new(Participant { user_id: cx.config.user_id.clone(), session_id, ..Participant::default() })
        });
        if !local.local || local.grants != cx.grants {
            let local = Arc::make_mut(&mut local);
            (local.local, local.grants) = (true, cx.grants);
        }
        Look {
            remote: self.room.roster.all_except(&cx.session_id),
            bound: self.room.remotes.bound(),
            local_tracks: self.publisher.present(),
            local: Some(local),
        }
    }

    /// Whether a reconnect with a new session is running.
    pub fn is_rejoining(&self) -> bool {
        self.reconnects.is_running() && !self.reconnects.is_fast()
    }

    /// The call has ended: no more outputs.
    pub fn is_over(&self) -> bool {
        self.cx.phase == Phase::Over
    }

    /// When to call [`Core::tick`]; `None`: not at all.
    pub fn deadline(&self) -> Option<Duration> {
        if self.is_over() {
            return None;
        }
        [self.cx.timers.next(), self.messaging.next()].into_iter().flatten().min()
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.cx.poll_output();
        if let (Some(trace), Some(output)) = (&self.trace, &output) {
            trace.decided(output);
        }
        output
    }

    /// Processes one input.
    pub fn handle(&mut self, now: Duration, mut input: Input) {
        // The text of an offer that is late by its arrival is not looked at, and not recorded: a flood of them is cheap,
        // and leaves the trace its room.
        if let Input::Message { message: SfuMessage::SubscriberOffer { sdp, .. }, generation } = &mut input {
            if self.is_over() || self.subscriber.is_late(&self.cx, *generation).is_some() {
                sdp.clear();
            }
        }
        if let Some(trace) = &self.trace {
            trace.given(now, &input);
        }
        self.cx.now = now;
        self.tokens.hide(&mut input);
        if self.is_over() {
            return self.count_late(&input);
        }
        let settled = self.on_input(input);
        self.settle(settled);
    }

    /// Runs the timers that are due; call it at [`Core::deadline`] (harmless when called early).
    pub fn tick(&mut self, now: Duration) {
        if let Some(trace) = &self.trace {
            trace.tick(now);
        }
        self.cx.now = now;
        if self.messaging.next().is_some_and(|at| at <= now) && !self.is_over() {
            self.messaging.on_due(&mut self.cx, &self.room.roster);
        }
        while !self.is_over() {
            let Some(timer) = self.cx.timers.due(now) else { return };
            let settled = self.on_timer(timer);
            self.settle(settled);
        }
    }

    /// Offers that are queued or being answered.
    #[cfg(test)]
    fn offers_waiting(&self) -> usize {
        let held = self.held.iter().filter(|m| matches!(m, SfuMessage::SubscriberOffer { .. })).count();
        held + self.subscriber.waiting()
    }

    fn on_input(&mut self, input: Input) -> Settled {
        let cx = &mut self.cx;
        match input {
            Input::Start => self.start(),
            Input::Token(token) => self.on_token(token),
            Input::Admitted { generation, result } => self.on_admitted(generation, result),
            Input::SocketOpened { generation, result } => self.on_socket_opened(generation, result),
            Input::Message { generation, message } => return self.on_message(generation, message),
            Input::Malformed { generation } => {
                cx.counters.malformed += 1;
                if cx.is_current(generation) {
                    self.reset_silence_timer();
                }
            }
            Input::SocketClosed { generation, code, failure } => self.on_socket_closed(generation, code, failure),
            Input::Rpc { generation, id, result } => return self.on_reply(generation, id, result),
            Input::Op { generation, peer: PeerKind::Publisher, op, result } => {
                let settled = self.publisher.on_op(cx, generation, op, result);
                if let Some(description) = self.publisher.take_in_force() {
                    self.room.remotes.on_described(cx, generation, &description);
                }
                return settled;
            }
            Input::Op { generation, peer: PeerKind::Subscriber, op, result } => {
                let settled = self.subscriber.on_op(cx, generation, op, result);
                if let Some(description) = self.subscriber.take_in_force() {
                    self.room.remotes.on_described(cx, generation, &description);
                }
                return settled;
            }
            Input::LocalCandidate { generation, .. } if Some(generation) != cx.transport => cx.late(),
            Input::LocalCandidate { peer: PeerKind::Publisher, json, .. } => {
                self.publisher.on_local_candidate(cx, json)
            }
            Input::LocalCandidate { peer: PeerKind::Subscriber, json, .. } => {
                return self.subscriber.on_local_candidate(cx, json)
            }
            Input::Peer { generation, peer, change } => return self.on_peer_change(generation, peer, change),
            Input::Path { generation, peer, path } => {
                if Some(generation) == cx.transport {
                    self.connection(peer).1.on_path(path);
                }
            }
            Input::IceServer { generation, peer, failure } => self.on_ice_server(generation, peer, failure),
            Input::PeerClosed { generation, peer } => self.on_peer_closed(generation, peer),
            Input::RemoteTrack { generation, id, owner, mid, again } => {
                self.on_remote_track(room::Arrived { id, transport: generation, owner, mid, again })
            }
            Input::RemoteTrackGone { id } => self.room.remotes.on_gone(id),
            Input::RemoteUnplayable { id, why } => self.room.on_unplayable(cx, id, why),
            Input::Unassigned { generation, ssrc } => self.on_unassigned(generation, ssrc),
            Input::Data { generation, data } => self.on_data(generation, data),
            Input::DataUnread { generation, messages, bytes } => match self.receives_data(generation) {
                true => self.messaging.on_unread(&mut self.cx, messages, bytes),
                false => self.cx.late(),
            },
            Input::Publish { track, offer } => self.publisher.publish(cx, track, offer),
            Input::Unpublish { track } => self.publisher.unpublish(cx, track),
            Input::Mute { track, muted } => self.publisher.mute(cx, track, muted),
            Input::ClosePeer(peer) => self.on_close_peer(peer),
            Input::WantData => self.publisher.want_channels(cx),
            Input::CallRpc { id, to, method, payload, timeout } => self.call_rpc(id, to, method, payload, timeout),
            Input::AnswerRpc { id, answer } => self.messaging.rpc.answer(cx, id, answer),
            Input::Subscribe { track_id, settings } => self.room.subscribe(cx, track_id, settings),
            Input::UpdateSelf(update) => update_self(cx, update),
            Input::Leave { reason } => self.on_leave(reason),
            Input::Drain { reason, within } => self.on_drain(reason, within),
            Input::Drained => self.on_drained(),
            Input::Abort(end) => self.end_now(end),
            Input::Network(change) => self.on_network(change),
            Input::Stats { generation, mark, publisher, subscriber } => {
                self.stats.on_collected(cx, generation, mark, publisher, subscriber)
            }
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer) -> Settled {
        let cx = &mut self.cx;
        match timer {
            Timer::RetryJoin => self.retry(),
            Timer::JoinResponse => self.on_join_response_timeout(),
            Timer::HealthPing => self.ping(),
            Timer::HealthSilent => return self.on_silence(),
            Timer::Token => self.on_token(None),
            Timer::RpcRetry(id) => cx.retry_request(id),
            Timer::Republish => self.publisher.negotiate(cx),
            Timer::PeerConnect(peer) => return with(self.connection(peer), Connection::on_connect_timeout),
            Timer::Inspect(peer) => with(self.connection(peer), |connection, cx| connection.inspect(cx)),
            Timer::FirstCandidate => return self.subscriber.on_gathered(cx),
            Timer::SessionGone => {
                if let Some((want, code)) = cx.requests.take_session_gone() {
                    let why = format!("the SFU answered a request with error {code}");
                    return Err(Need::Reconnect(want, why.into()));
                }
            }
            Timer::PeerClosed(peer) => return with(self.connection(peer), Connection::on_gone),
            Timer::OwnerUnknown => return self.room.remotes.on_owner_unknown(cx),
            Timer::Unassigned => self.room.remotes.on_unassigned_due(cx),
            Timer::IceGrace(peer) => return with(self.connection(peer), Connection::on_grace_over),
            Timer::IceRestart(peer) => return with(self.connection(peer), |c, cx| c.on_restart_timeout(cx)),
            Timer::Stats => self.stats.on_due(cx),
            Timer::Migration => self.on_migration_timeout(),
            Timer::Disconnected => self.on_disconnected_too_long(),
            Timer::Drain => self.on_drained(),
            Timer::LeaveLimit => self.finish(),
        }
        Ok(())
    }

    /// Does what a part of the call could not do itself.
    fn settle(&mut self, settled: Settled) {
        match settled {
            Ok(()) => {}
            Err(Need::Reconnect(strategy, why)) => self.reconnect(strategy, &why),
            Err(Need::Renegotiate(why)) => self.negotiation_failed(why),
            Err(Need::NeverConnected(why)) => {
                if !self.never_connects(2) {
                    self.reconnect(Strategy::Rejoin, &why);
                }
            }
            Err(Need::RestartIce(peer)) => self.restart_ice(peer),
        }
    }

    /// Counts an input after the end of the call: an offer as a late offer, others too.
    fn count_late(&mut self, input: &Input) {
        match input {
            Input::Message { message: SfuMessage::SubscriberOffer { .. }, generation } => {
                self.cx.drop_offer("late offer dropped: the call has ended", *generation)
            }
            Input::Message { .. } | Input::Rpc { .. } | Input::Op { .. } => self.cx.late(),
            _ => {}
        }
    }

    // The peer connections.

    fn connection(&mut self, peer: PeerKind) -> (&mut Context, &mut Connection) {
        match peer {
            PeerKind::Publisher => (&mut self.cx, &mut self.publisher.connection),
            PeerKind::Subscriber => (&mut self.cx, &mut self.subscriber.connection),
        }
    }

    /// Applies the same function to both, the publisher first.
    fn each_connection(&mut self, mut what: impl FnMut(&mut Connection, &mut Context)) {
        what(&mut self.publisher.connection, &mut self.cx);
        what(&mut self.subscriber.connection, &mut self.cx);
    }

    fn on_peer_change(&mut self, generation: Generation, peer: PeerKind, change: PeerChange) -> Settled {
        let (cx, connection) = self.connection(peer);
        if Some(generation) != cx.transport || !cx.is_open() || !connection.is_open() {
            cx.late();
            return Ok(());
        }
        if change == PeerChange::Connected {
            self.reconnects.connected();
        }
        with(self.connection(peer), |connection, cx| connection.on_change(cx, change))
    }

    fn on_ice_server(&mut self, generation: Generation, peer: PeerKind, failure: IceServerFailure) {
        let (cx, connection) = self.connection(peer);
        if Some(generation) != cx.transport || !cx.is_open() || !connection.is_live() {
            return cx.late();
        }
        self.ice_servers.report(&mut self.cx, failure);
    }

    fn on_peer_closed(&mut self, generation: Generation, peer: PeerKind) {
        if Some(generation) == self.cx.transport {
            self.connection(peer).1.closed();
            if self.cx.phase == Phase::Leaving {
                self.finish_if_done();
            }
        }
    }

    /// The publisher's ICE is restarted locally, the subscriber's by the SFU.
    fn restart_ice(&mut self, peer: PeerKind) {
        if !self.cx.config.dialect.subscriber_restart {
            // A new socket also shows whether the session is still there.
            let why = format!("the {} peer connection is lost", self.connection(peer).1.name());
            return self.reconnect(Strategy::Fast, &why);
        }
        match peer {
            PeerKind::Publisher => self.publisher.restart_ice(&mut self.cx),
            PeerKind::Subscriber if self.cx.subscriber_alive() => {
                let settled = self.subscriber.restart_ice(&mut self.cx);
                self.settle(settled);
            }
            PeerKind::Subscriber => {}
        }
    }

    /// The application closes one permanently; the call continues.
    fn on_close_peer(&mut self, peer: PeerKind) {
        let carrier = if self.cx.one_connection { PeerKind::Publisher } else { peer };
        let (_, connection) = self.connection(carrier);
        connection.media_unreported(peer);
        if connection.is_gone() {
            return;
        }
        match peer {
            PeerKind::Publisher => {
                self.publisher.close(&mut self.cx);
                self.cx.send_disabled = true;
            }
            PeerKind::Subscriber => {
                self.cx.receive_disabled = true;
                if self.cx.config.dialect.subscriber_stays || self.cx.one_connection {
                    self.room.remotes.unbind_all(&mut self.cx);
                    self.room.want_nothing(&mut self.cx);
                    self.publisher.stop_receiving(&mut self.cx);
                } else {
                    self.stop_receiving();
                }
            }
        }
    }

    /// Stops receiving permanently.
    fn stop_receiving(&mut self) {
        self.cx.receive_disabled = true;
        self.subscriber.stop(&mut self.cx);
        self.room.remotes.unbind_all(&mut self.cx);
    }

    // Received media and data.

    fn on_remote_track(&mut self, arrived: room::Arrived) {
        let (cx, transport) = (&mut self.cx, arrived.transport);
        let in_use = Some(transport) == cx.transport && cx.subscriber_open();
        // The old connection of a migration still plays.
        let plays_on = self.migration.is_transport(transport) && !cx.subscriber_closed();
        if !in_use && !plays_on || !cx.is_open() {
            return cx.late();
        }
        self.room.on_remote_track(cx, arrived);
    }

    fn on_unassigned(&mut self, generation: Generation, ssrc: u32) {
        let known = Some(generation) == self.cx.transport || self.migration.is_transport(generation);
        if !known || !self.cx.is_joined() || self.cx.receive_disabled {
            return self.cx.late();
        }
        room::on_unassigned_ssrc(&mut self.cx, ssrc);
    }

    /// Data received over a peer connection is still delivered after another one has replaced it.
    fn receives_data(&self, generation: Generation) -> bool {
        generation <= self.cx.generation && self.cx.is_open() && !self.cx.receive_disabled
    }

    fn on_data(&mut self, generation: Generation, data: DataIn) {
        if !self.receives_data(generation) {
            return self.cx.late();
        }
        self.messaging.came_over(&mut self.cx, generation);
        if let DataBody::RpcRequest { id, .. } = &data.body {
            // An answer uses the same data channels as the application's data.
            if self.messaging.rpc.is_new(&data.from, id) {
                self.publisher.want_channels(&mut self.cx);
            }
        }
        self.messaging.on_data(&mut self.cx, generation, data);
    }

    fn call_rpc(&mut self, id: u64, to: String, method: String, payload: String, timeout: Duration) {
        let cx = &mut self.cx;
        let closed = cx.send_disabled || self.publisher.connection.is_gone() || cx.subscriber_closed();
        if let Some(refusal) = self.messaging.rpc.refusal(cx, closed) {
            return cx.event(Event::RpcResponse { id, answer: Err(refusal) });
        }
        self.publisher.want_channels(cx);
        self.messaging.rpc.call(cx, &self.room.roster, id, to, method, payload, timeout);
    }

    // Requests to the SFU.

    fn on_reply(&mut self, generation: Generation, id: u64, result: Result<RpcReply, Failure>) -> Settled {
        let cx = &mut self.cx;
        let Some(call) = cx.settle_request(generation, id, &result) else { return Ok(()) };
        match call {
            RpcCall::SetPublisher { .. } => return self.publisher.on_reply(cx, id, result),
            RpcCall::SendAnswer { .. } => return self.subscriber.on_reply(cx, id, result.map(drop)),
            RpcCall::UpdateMuteStates { .. } => self.publisher.on_mute_reply(cx, id, result.is_ok()),
            RpcCall::IceTrickle { .. } => cx.counters.candidates_dropped += u64::from(result.is_err()),
            RpcCall::SendStats { .. } => self.stats.on_reply(cx, id, result.is_ok()),
            RpcCall::UpdateSubscriptions { .. } => self.room.on_subscriptions_reply(cx, id, result.map(drop)),
            RpcCall::UpdateSelf { .. } => {
                if let Err(failure) = result {
                    let text = format!("attributes: the SFU refused the update: {}", failure.message);
                    cx.event(Event::Error(Error::new(Code::Refused, text).with_server_code(failure.code)));
                }
            }
            RpcCall::IceRestart { .. } => {}
        }
        Ok(())
    }
}

fn with<T>(
    (cx, connection): (&mut Context, &mut Connection),
    what: impl FnOnce(&mut Connection, &mut Context) -> T,
) -> T {
    what(connection, cx)
}

/// The application changes this participant's name, metadata or attributes.
fn update_self(cx: &mut Context, update: SelfUpdate) {
    let refusal = if !cx.is_joined() {
        Error::new(Code::State, "attributes: the call is not joined; try again when it is")
    } else if cx.grants.is_some_and(|g| !g.update_metadata) {
        let text = "attributes: this participant has no right to change its name, metadata and attributes";
        Error::new(Code::Refused, text)
    } else {
        let session_id = cx.session_id.clone();
        cx.request(RpcCall::UpdateSelf { session_id, update });
        return;
    };
    cx.event(Event::Error(refusal));
}
