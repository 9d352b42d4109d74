//! Causes of a lost connection besides the peer connections themselves: the socket, the machine's network, sessions
//! that cannot be negotiated, peer connections that never connect, and timeouts.

use super::super::context::Phase;
use super::*;

impl Core {
    pub(in crate::core) fn on_socket_closed(
        &mut self,
        generation: Generation,
        code: Option<u16>,
        failure: Option<Failure>,
    ) {
        if self.migration.is_leg(generation) {
            return self.on_old_socket_closed();
        }
        if !self.cx.is_current(generation) {
            return self.cx.late();
        }
        self.socket.open = false;
        match self.cx.phase {
            Phase::Leaving => self.finish_if_done(),
            Phase::Joining => {
                let failure = failure.unwrap_or_else(|| {
                    let code = code.map_or(String::new(), |c| format!(" with code {c}"));
                    Failure::new(FailureKind::Connect, format!("the SFU closed the socket{code} before JoinResponse"))
                });
                self.join_attempt_failed("the SFU socket", failure, true);
            }
            Phase::Joined => {
                let why = match (failure, code) {
                    (Some(failure), _) if failure.kind == FailureKind::TooLarge => return self.on_too_large(&failure),
                    (Some(failure), _) => failure.message,
                    (None, Some(code)) => format!("the SFU closed the socket with code {code}"),
                    (None, None) => "the SFU closed the socket".to_owned(),
                };
                self.reconnect(Strategy::Fast, &why);
            }
            _ => self.cx.late(),
        }
    }

    /// The socket was lost because a message exceeded a limit of this client. The first time it may be this message
    /// alone; a second time means that it returns after every reconnect.
    fn on_too_large(&mut self, failure: &Failure) {
        if self.reconnects.too_large_again(self.cx.now) {
            return self.too_large(&failure.message);
        }
        self.cx.event(Event::Error(Error::new(Code::Limit, failure.message.clone())));
        self.reconnect(Strategy::Fast, &failure.message);
    }

    pub(super) fn too_large(&mut self, why: &str) {
        self.give_up(EndReason::ConnectionLost, Error::new(Code::Limit, why.to_owned()));
    }

    /// The network went down, came back or changed, as reported by the application or detected by the operating system.
    pub(in crate::core) fn on_network(&mut self, change: NetworkChange) {
        if !self.cx.is_open() || !self.joined_once {
            return;
        }
        match (change, self.cx.phase) {
            (NetworkChange::Offline, _) if self.cx.is_draining() => self.on_drained(),
            (NetworkChange::Offline, Phase::Offline) => {}
            (NetworkChange::Offline, _) => self.go_offline(),
            (_, Phase::Offline) => self.back_online(),
            // The call was not offline: nothing to restore.
            (NetworkChange::Online, _) => self.cx.late(),
            // A new socket shows whether the path still works, and ICE is restarted on it.
            (NetworkChange::Unsettled, _) => self.reconnect(Strategy::Fast, "addresses of this machine changed"),
            // Sockets are bound to addresses that may no longer exist.
            (NetworkChange::Changed, _) => self.reconnect(Strategy::Rejoin, "the network of this machine changed"),
        }
    }

    fn go_offline(&mut self) {
        let keeps = !self.migration.is_running() && self.cx.transport.is_some();
        let strategy = if keeps { Strategy::Fast } else { Strategy::Rejoin };
        match &mut self.reconnects.running {
            // A migration or rejoin in progress has no connection to keep.
            Some(run) if run.strategy != Strategy::Fast => run.strategy = Strategy::Rejoin,
            Some(_) => {}
            running => *running = Some(Run::new(strategy, self.cx.now, 0, "the network was down")),
        }
        self.interrupt(limits::CLOSE_REPLACED, "offline");
        self.close_old_leg();
        self.start_deadline();
        self.cx.phase = Phase::Offline;
        self.cx.set_state(State::Offline);
    }

    fn back_online(&mut self) {
        let Some(since) = self.reconnects.running.as_ref().map(|run| run.since) else { return };
        let fast_allowed = self.fast_allowed(since, 0);
        if let Some(run) = self.reconnects.running.as_mut().filter(|run| run.strategy == Strategy::Fast) {
            if !fast_allowed {
                run.strategy = Strategy::Rejoin;
            }
        }
        self.cx.set_state(State::Reconnecting);
        self.attempt();
    }

    pub(in crate::core) fn on_disconnected_too_long(&mut self) {
        let after = self.cx.config.disconnect_timeout.as_millis();
        let run = self.reconnects.running.as_ref();
        let (why, last) = run.map(|run| (run.why.clone(), run.last.clone())).unwrap_or_default();
        let last = if last.is_empty() { last } else { format!("; last attempt: {last}") };
        let text = format!("connection lost and not restored within {after} ms; first cause: {why}{last}");
        self.give_up(EndReason::ConnectionLost, Error::new(Code::Network, text));
    }

    /// Three failed offers in a row start a new session; three such sessions in a row end the call.
    pub(in crate::core) fn negotiation_failed(&mut self, why: &str) {
        self.cx.failed_sessions += 1;
        if self.cx.failed_sessions < limits::NEGOTIATION_REJOINS {
            return self.reconnect(Strategy::Rejoin, why);
        }
        let text = format!("negotiation failed in three consecutive sessions; last cause: {why}");
        self.give_up(EndReason::NegotiationFailed, Error::new(Code::Media, text));
    }

    /// Counts a peer connection that never connected, in `halves` of the connect timeout. True if the limit is reached.
    pub(in crate::core) fn never_connects(&mut self, halves: u32) -> bool {
        let enough = self.reconnects.never_connected(halves);
        if enough {
            let text = what_was_tried([&self.publisher.connection, &self.subscriber.connection]);
            self.give_up(EndReason::NetworkUnsupported, Error::new(Code::Network, text));
        }
        enough
    }

    /// The session is abandoned while the watchdog waits for its ICE restart: an SFU may no longer know a session that
    /// never connected. True if this ended the call.
    pub(super) fn never_came_up(&mut self) -> bool {
        let both = [&self.publisher.connection, &self.subscriber.connection];
        let none = !both.iter().any(|connection| connection.was_connected());
        let any = both.iter().any(|connection| connection.is_stuck());
        none && any && self.never_connects(1)
    }
}
