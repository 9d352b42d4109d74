//! MIGRATE: another edge takes over while the old one still plays.
//!
//! What is left behind becomes the old leg: its socket is read for one message, its peer connections
//! go on sending and playing, and nothing is asked of it any more. Must not know: the engine, sockets.

use super::{limits, model::*, Core, Output, Phase, State, Timer};
use std::time::Duration;

/// The connection that a migration leaves.
#[derive(Debug)]
pub(super) struct OldLeg {
    pub generation: Generation,
    transport: Option<Generation>,
    socket_open: bool,
    peers: Vec<PeerKind>,
}

impl Core {
    /// Sets the present connection aside; everything new is made beside it.
    pub(super) fn leave_behind(&mut self, now: Duration) {
        self.drop_queued_offers();
        self.drop_held();
        self.rpcs.clear();
        self.timers.clear();
        let mut peers = Vec::new();
        if self.publisher.is_live() {
            peers.push(PeerKind::Publisher);
        }
        if self.subscriber.is_live() {
            peers.push(PeerKind::Subscriber);
        }
        self.old = Some(OldLeg {
            generation: self.generation,
            transport: self.transport.take(),
            socket_open: std::mem::take(&mut self.socket_open),
            peers,
        });
        self.publisher.restart();
        self.subscriber.restart();
        self.timers.set(Timer::Migration, now + limits::MIGRATION);
        self.set_state(State::Migrating);
    }

    /// Whether it is of the connection that a migration leaves.
    pub(super) fn is_old_leg(&self, generation: Generation) -> bool {
        self.old.as_ref().is_some_and(|old| old.generation == generation)
    }

    pub(super) fn is_old_transport(&self, generation: Generation) -> bool {
        self.old.as_ref().is_some_and(|old| old.transport == Some(generation))
    }

    /// What the old socket may still say.
    pub(super) fn on_old_message(&mut self, now: Duration, message: SfuMessage) {
        if self.old.as_ref().is_some_and(|old| !old.socket_open) {
            return self.late();
        }
        match message {
            SfuMessage::MigrationComplete if self.phase == Phase::Joined => self.migrated(now),
            // Early: the new edge has still to say that we joined.
            SfuMessage::MigrationComplete => self.migration_told = true,
            SfuMessage::CallEnded(reason) => self.on_call_ended(now, reason),
            _ => self.late(),
        }
    }

    pub(super) fn on_old_socket_closed(&mut self, now: Duration) {
        let Some(old) = &mut self.old else { return };
        old.socket_open = false;
        // Nobody will say any more that it is complete.
        if self.phase == Phase::Joined {
            self.migrated(now);
        }
    }

    /// The new leg is joined: done when the old one has said so, or cannot any more.
    pub(super) fn migrated_if_told(&mut self, now: Duration) {
        if self.migration_told || self.old.as_ref().is_some_and(|old| !old.socket_open) {
            self.migrated(now);
        }
    }

    pub(super) fn on_migration_timeout(&mut self, now: Duration) {
        if self.phase == Phase::Joined {
            self.migrated(now);
        } else {
            self.escalate(now);
        }
    }

    fn migrated(&mut self, now: Duration) {
        self.timers.cancel(Timer::Migration);
        self.close_old_leg();
        self.reconnected(now);
    }

    /// The old leg is let go; without a LeaveCallRequest, for the session goes on elsewhere.
    pub(super) fn close_old_leg(&mut self) {
        self.migration_told = false;
        let Some(old) = self.old.take() else { return };
        let generation = old.generation;
        if old.socket_open {
            self.out(Output::CloseSocket { generation, code: limits::CLOSE_NORMAL, reason: String::new() });
        }
        self.out(Output::DropSocket { generation });
        let Some(generation) = old.transport else { return };
        for peer in old.peers {
            self.out(Output::ClosePeer { generation, peer });
        }
        self.unbind_remotes_of(generation);
    }

    /// The session's last words, on the old socket while the new one is not joined yet.
    pub(super) fn old_goodbye(&mut self, reason: &str) {
        let Some(old) = self.old.as_ref().filter(|old| old.socket_open) else { return };
        let (generation, session_id) = (old.generation, self.session_id.clone());
        let request = SfuRequest::Leave { session_id, reason: reason.to_owned() };
        self.out(Output::Send { generation, request });
    }
}
