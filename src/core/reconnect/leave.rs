//! All ways to end a call: leave, call ended, connection lost, internal error. All are idempotent, emit exactly one
//! terminal event as the last event, and none takes longer than the leave limit.

use super::super::context::{Draining, Phase};
use super::super::{limits, model::*, Core, End, EndReason, Event, Output, State, Timer};
use crate::error::{Code, Error};
use std::time::Duration;

impl Core {
    /// Leaves once accepted data is sent, or after `within`. From here on nothing is received and offers are late. A
    /// running reconnect continues: remaining connections send, and a connection restored in time sends the rest.
    pub(in crate::core) fn on_drain(&mut self, reason: String, within: Duration) {
        if !self.cx.is_open() || self.cx.is_draining() {
            return;
        }
        let until = self.cx.now + within;
        if !self.can_still_send(until) {
            return self.on_leave(reason);
        }
        self.cx.draining = Some(Draining { reason, until });
        self.stop_receiving();
        self.keep_drain();
        self.cx.out(Output::Drain);
    }

    /// True if a connection can send data now, or may be able to by `until`.
    pub(super) fn can_still_send(&self, until: Duration) -> bool {
        match self.cx.phase {
            Phase::Joined => true,
            // A drain does not wait for the network.
            Phase::Offline => false,
            // Peer connections that FAST keeps, or those of the edge that a migration leaves.
            _ if self.reconnects.is_running() && self.peers_send() => true,
            Phase::WaitingRetry => {
                let retry = self.cx.timers.at(Timer::RetryJoin);
                self.reconnects.is_running() && retry.is_some_and(|at| at < until)
            }
            Phase::Admitting | Phase::Opening | Phase::Joining => self.reconnects.is_running(),
            Phase::Idle | Phase::WaitingToken | Phase::Staying | Phase::Leaving | Phase::Over => false,
        }
    }

    fn peers_send(&self) -> bool {
        let publisher = &self.publisher.connection;
        self.migration.keeps_peers() || self.cx.transport.is_some() && publisher.is_open() && publisher.is_healthy()
    }

    /// The drain deadline outlives the connection on which it was set.
    pub(super) fn keep_drain(&mut self) {
        if let Some(draining) = &self.cx.draining {
            self.cx.timers.set(Timer::Drain, draining.until);
        }
    }

    /// All data is sent, or the deadline has passed.
    pub(in crate::core) fn on_drained(&mut self) {
        if let Some(Draining { reason, .. }) = self.cx.draining.take() {
            self.on_leave(reason);
        }
    }

    pub(in crate::core) fn on_leave(&mut self, mut reason: String) {
        if !self.cx.is_open() {
            return;
        }
        let mut cut = reason.len().min(limits::LEAVE_REASON);
        while !reason.is_char_boundary(cut) {
            cut -= 1;
        }
        reason.truncate(cut);
        let error = (self.cx.state == State::Joining)
            .then(|| Error::new(Code::Cancelled, "join: cancelled, the application left first"));
        self.leave(End { error, ..left() }, Some(reason));
    }

    /// Ends in an orderly way: sends a leave message if there is a socket, and closes the peer connections. Offers
    /// received meanwhile are late.
    pub(in crate::core) fn leave(&mut self, end: End, message: Option<String>) {
        if !self.cx.is_open() {
            return;
        }
        // A call that was about to leave ends as left, whatever happens in between.
        let end = if self.cx.draining.take().is_some() { left() } else { end };
        let joined = self.cx.is_joined() || self.cx.phase == Phase::Joining;
        let reporting = self.cx.is_joined() && self.cx.admission.as_ref().is_some_and(|a| a.stats_interval_ms > 0);
        let (generation, session_id) = (self.cx.generation, self.cx.session_id.clone());
        if reporting && message.is_some() {
            let (session_id, unified_session_id) = (session_id.clone(), self.cx.unified_session_id.clone());
            self.cx.out(Output::FlushStats { generation, session_id, unified_session_id });
        }
        self.cx.phase = Phase::Leaving;
        self.end = Some(end);
        self.close_everything();
        if let Some(reason) = message.as_deref().filter(|_| !joined) {
            self.leave_old_leg(reason);
        }
        self.close_old_leg();
        if self.socket.open && joined {
            if let Some(reason) = message {
                self.cx.out(Output::Send { generation, request: SfuRequest::Leave { session_id, reason } });
            }
            self.cx.out(Output::CloseSocket { generation, code: limits::CLOSE_NORMAL, reason: String::new() });
        } else {
            // This also ends an attempt whose socket is still opening.
            self.forget_socket(limits::CLOSE_NORMAL, "");
        }
        self.cx.timers.set(Timer::LeaveLimit, self.cx.now + limits::LEAVE);
        self.finish_if_done();
    }

    /// Ends at once, without a leave message.
    pub(in crate::core) fn end_now(&mut self, end: End) {
        if self.is_over() {
            return;
        }
        let end = if self.cx.draining.take().is_some() { left() } else { end };
        self.cx.phase = Phase::Leaving;
        self.end.get_or_insert(end);
        self.close_everything();
        self.close_old_leg();
        self.forget_socket(limits::CLOSE_NORMAL, "");
        self.finish();
    }

    fn close_everything(&mut self) {
        self.subscriber.drop_offers(&mut self.cx);
        self.held.clear(&mut self.cx);
        self.publisher.stop_sending(&mut self.cx);
        self.cx.requests.clear();
        self.cx.timers.clear();
        self.publisher.end(&mut self.cx);
        self.subscriber.end(&mut self.cx);
        self.room.remotes.unbind_all(&mut self.cx);
    }

    pub(in crate::core) fn forget_socket(&mut self, code: u16, reason: &str) {
        let generation = self.cx.generation;
        if std::mem::take(&mut self.socket.open) {
            self.cx.out(Output::CloseSocket { generation, code, reason: reason.to_owned() });
        } else if self.migration.is_leg(generation) {
            // The migration has not opened its socket yet: this one belongs to the old leg.
            return;
        }
        self.cx.out(Output::DropSocket { generation });
    }

    pub(in crate::core) fn finish_if_done(&mut self) {
        let closing = self.publisher.connection.is_closing() || self.subscriber.connection.is_closing();
        if !self.socket.open && !closing {
            self.finish();
        }
    }

    /// Emits the terminal event; nothing follows.
    pub(in crate::core) fn finish(&mut self) {
        if self.is_over() {
            return;
        }
        let end = self.end.take().unwrap_or_else(left);
        if std::mem::take(&mut self.socket.open) {
            // The server did not close in time.
            self.cx.out(Output::DropSocket { generation: self.cx.generation });
        }
        self.messaging.end(&mut self.cx);
        self.cx.set_state(State::Left);
        self.cx.phase = Phase::Over;
        self.cx.timers.clear();
        self.room.clear();
        self.cx.event(Event::Ended(end));
        self.cx.out(Output::Finished);
    }
}

fn left() -> End {
    End { reason: EndReason::Left, error: None, text: "left".into() }
}
