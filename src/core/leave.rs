//! The ways out: leave, call ended, connection lost, defect. All are idempotent, all end in exactly
//! one terminal event, the last one, and none takes longer than the leave limit.

use super::{limits, model::*, Core, End, EndReason, Event, Output, Phase, State, Timer};
use crate::error::{Code, Error};
use std::time::Duration;

impl Core {
    pub(super) fn on_leave(&mut self, now: Duration, mut reason: String) {
        if !self.is_open() {
            return;
        }
        let mut cut = reason.len().min(limits::LEAVE_REASON);
        while !reason.is_char_boundary(cut) {
            cut -= 1;
        }
        reason.truncate(cut);
        let error = (self.state == State::Joining)
            .then(|| Error::new(Code::Cancelled, "join: cancelled, the application left first"));
        let end = End { reason: EndReason::Left, error, text: "left".into() };
        self.leave(now, end, Some(reason));
    }

    /// Ends in good order: goodbye on the socket when there is one, peer connections closed.
    /// Offers that come meanwhile are late.
    pub(super) fn leave(&mut self, now: Duration, end: End, goodbye: Option<String>) {
        if !self.is_open() {
            return;
        }
        let joined = self.phase == Phase::Joined || self.phase == Phase::Joining;
        let reporting = self.phase == Phase::Joined && self.admission.as_ref().is_some_and(|a| a.stats_interval_ms > 0);
        if reporting && goodbye.is_some() {
            let generation = self.generation;
            let (session_id, unified_session_id) = (self.session_id.clone(), self.unified_session_id.clone());
            self.out(Output::FlushStats { generation, session_id, unified_session_id });
        }
        self.phase = Phase::Leaving;
        self.end = Some(end);
        self.close_all_peers();
        if let Some(reason) = goodbye.as_deref().filter(|_| !joined) {
            self.old_goodbye(reason);
        }
        self.close_old_leg();
        if self.socket_open && joined {
            let generation = self.generation;
            if let Some(reason) = goodbye {
                let session_id = self.session_id.clone();
                self.out(Output::Send { generation, request: SfuRequest::Leave { session_id, reason } });
            }
            self.out(Output::CloseSocket { generation, code: limits::CLOSE_NORMAL, reason: String::new() });
        } else {
            // Also ends an attempt that is still opening its socket.
            self.forget_socket(limits::CLOSE_NORMAL, "");
        }
        self.timers.set(Timer::LeaveLimit, now + limits::LEAVE);
        self.finish_if_done();
    }

    /// Ends at once: there is nobody to say goodbye to.
    pub(super) fn end_now(&mut self, end: End) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = Phase::Leaving;
        self.end.get_or_insert(end);
        self.close_all_peers();
        self.close_old_leg();
        self.forget_socket(limits::CLOSE_NORMAL, "");
        self.finish();
    }

    pub(super) fn abort(&mut self, end: End) {
        self.end_now(end);
    }

    pub(super) fn on_socket_closed(
        &mut self,
        now: Duration,
        generation: Generation,
        code: Option<u16>,
        failure: Option<Failure>,
    ) {
        if self.is_old_leg(generation) {
            return self.on_old_socket_closed(now);
        }
        if !self.is_current(generation) {
            return self.late();
        }
        self.socket_open = false;
        match self.phase {
            Phase::Leaving => self.finish_if_done(),
            Phase::Joining => {
                let failure = failure.unwrap_or_else(|| {
                    let code = code.map_or(String::new(), |c| format!(" with code {c}"));
                    Failure::new(FailureKind::Connect, format!("the SFU closed the socket{code} before JoinResponse"))
                });
                self.join_attempt_failed(now, "the SFU socket", failure, true);
            }
            Phase::Joined => {
                let why = match (failure, code) {
                    (Some(failure), _) => failure.message,
                    (None, Some(code)) => format!("the SFU closed the socket with code {code}"),
                    (None, None) => "the SFU closed the socket".to_owned(),
                };
                self.reconnect(now, Strategy::Fast, &why);
            }
            _ => self.late(),
        }
    }

    pub(super) fn on_peer_closed(&mut self, generation: Generation, peer: PeerKind) {
        if Some(generation) != self.transport {
            return;
        }
        match peer {
            PeerKind::Publisher => self.publisher.closed(),
            PeerKind::Subscriber => self.subscriber.closed(),
        }
        if self.phase == Phase::Leaving {
            self.finish_if_done();
        }
    }

    fn close_all_peers(&mut self) {
        self.drop_queued_offers();
        self.drop_held();
        self.stop_sending();
        self.rpcs.clear();
        self.timers.clear();
        let generation = self.transport.unwrap_or(self.generation);
        if self.publisher.begin_close() {
            self.out(Output::ClosePeer { generation, peer: PeerKind::Publisher });
        }
        if self.subscriber.begin_close() {
            self.out(Output::ClosePeer { generation, peer: PeerKind::Subscriber });
        }
        for remote in std::mem::take(&mut self.remotes) {
            self.out(Output::Unbind { id: remote.id });
        }
    }

    /// The peer connections in use are closed to make room for others.
    pub(super) fn close_transport(&mut self) {
        let Some(generation) = self.transport.take() else { return };
        self.drop_texts();
        if self.publisher.is_live() {
            self.out(Output::ClosePeer { generation, peer: PeerKind::Publisher });
        }
        if self.subscriber.is_live() {
            self.out(Output::ClosePeer { generation, peer: PeerKind::Subscriber });
        }
        self.unbind_remotes_of(generation);
    }

    pub(super) fn forget_socket(&mut self, code: u16, reason: &str) {
        let generation = self.generation;
        if std::mem::take(&mut self.socket_open) {
            self.out(Output::CloseSocket { generation, code, reason: reason.to_owned() });
        } else if self.is_old_leg(generation) {
            // A migration that has no socket of its own yet: this one is the old leg's to close.
            return;
        }
        self.out(Output::DropSocket { generation });
    }

    fn finish_if_done(&mut self) {
        if !self.socket_open && !self.publisher.is_closing() && !self.subscriber.is_closing() {
            self.finish();
        }
    }

    /// The one terminal event, then nothing.
    pub(super) fn finish(&mut self) {
        if self.phase == Phase::Over {
            return;
        }
        let end = self.end.take().unwrap_or(End { reason: EndReason::Left, error: None, text: "left".into() });
        if std::mem::take(&mut self.socket_open) {
            // The other side did not close in time.
            let generation = self.generation;
            self.out(Output::DropSocket { generation });
        }
        self.end_data();
        self.set_state(State::Left);
        self.phase = Phase::Over;
        self.timers.clear();
        self.roster.clear();
        self.event(Event::Ended(end));
        self.out(Output::Finished);
    }
}
