//! MIGRATE: another edge takes over while the old connection still plays.
//!
//! The previous connection becomes the old leg. Its socket is read for one message, its peer connections continue to
//! send and play, and it gets no more requests. Must not know: the engine, sockets.

use super::super::context::Phase;
use super::super::{limits, model::*, Core, Output, State, Timer};

/// The connection that a migration leaves.
#[derive(Debug)]
struct OldLeg {
    generation: Generation,
    transport: Option<Generation>,
    socket_open: bool,
    peers: Vec<PeerKind>,
}

#[derive(Debug, Default)]
pub(in crate::core) struct Migration {
    /// The old leg, while it still plays.
    old: Option<OldLeg>,
    /// MigrationComplete arrived before the new edge's JoinResponse.
    completed: bool,
}

impl Migration {
    pub fn is_running(&self) -> bool {
        self.old.is_some()
    }

    /// The peer connections of the old leg still send.
    pub fn keeps_peers(&self) -> bool {
        self.old.as_ref().is_some_and(|old| old.peers.contains(&PeerKind::Publisher))
    }

    /// True if the generation is that of the old leg.
    pub fn is_leg(&self, generation: Generation) -> bool {
        self.old.as_ref().is_some_and(|old| old.generation == generation)
    }

    pub fn is_transport(&self, generation: Generation) -> bool {
        self.old.as_ref().is_some_and(|old| old.transport == Some(generation))
    }

    /// The old leg has reported completion, or no longer can.
    fn is_complete(&self) -> bool {
        self.completed || self.old.as_ref().is_some_and(|old| !old.socket_open)
    }
}

impl Core {
    /// Turns the current connection into the old leg; everything new is created beside it.
    pub(super) fn leave_behind(&mut self) {
        self.abandon();
        let mut peers = Vec::new();
        self.each_connection(|connection, _| {
            if connection.is_live() {
                peers.push(connection.kind());
            }
        });
        self.migration.old = Some(OldLeg {
            generation: self.cx.generation,
            transport: self.cx.transport.take(),
            socket_open: std::mem::take(&mut self.socket.open),
            peers,
        });
        self.restart_peers();
        self.cx.timers.set(Timer::Migration, self.cx.now + limits::MIGRATION);
        self.cx.set_state(State::Migrating);
    }

    /// Handles a message from the old socket.
    pub(in crate::core) fn on_old_message(&mut self, message: SfuMessage) {
        if self.migration.old.as_ref().is_some_and(|old| !old.socket_open) {
            return self.cx.late();
        }
        match message {
            SfuMessage::MigrationComplete if self.cx.is_joined() => self.migrated(),
            // Early: JoinResponse of the new edge is still missing.
            SfuMessage::MigrationComplete => self.migration.completed = true,
            SfuMessage::CallEnded(reason) => self.on_call_ended(reason),
            _ => self.cx.late(),
        }
    }

    pub(super) fn on_old_socket_closed(&mut self) {
        let Some(old) = &mut self.migration.old else { return };
        old.socket_open = false;
        // Completion will no longer be reported.
        if self.cx.is_joined() {
            self.migrated();
        }
    }

    /// The new leg is joined: the migration is done if the old leg has reported completion, or no longer can.
    pub(super) fn migrated_if_complete(&mut self) {
        if self.migration.is_complete() {
            self.migrated();
        }
    }

    pub(in crate::core) fn on_migration_timeout(&mut self) {
        match self.cx.is_joined() {
            true => self.migrated(),
            false => self.escalate(),
        }
    }

    /// The new leg failed and the call is about to leave: the remaining data is sent over the old leg.
    pub(super) fn stay_on_old_leg(&mut self) {
        self.abandon();
        self.forget_socket(limits::CLOSE_JOIN_FAILED, "join failed");
        self.close_transport();
        self.restart_peers();
        self.cx.phase = Phase::Staying;
    }

    fn migrated(&mut self) {
        self.cx.timers.cancel(Timer::Migration);
        self.close_old_leg();
        self.each_connection(|connection, cx| connection.media_handed_over(cx));
        self.reconnected();
    }

    /// Closes the old leg, without a LeaveCallRequest because the session continues on another edge.
    pub(super) fn close_old_leg(&mut self) {
        let Migration { old: Some(old), .. } = std::mem::take(&mut self.migration) else { return };
        let generation = old.generation;
        if old.socket_open {
            self.cx.out(Output::CloseSocket { generation, code: limits::CLOSE_NORMAL, reason: String::new() });
        }
        self.cx.out(Output::DropSocket { generation });
        let Some(generation) = old.transport else { return };
        for peer in old.peers {
            self.cx.out(Output::ClosePeer { generation, peer });
        }
        self.room.remotes.unbind_of(&mut self.cx, generation);
    }

    /// Sends the session's leave message on the old socket while the new one is not joined yet.
    pub(super) fn leave_old_leg(&mut self, reason: &str) {
        let Some(old) = self.migration.old.as_ref().filter(|old| old.socket_open) else { return };
        let (generation, session_id) = (old.generation, self.cx.session_id.clone());
        let request = SfuRequest::Leave { session_id, reason: reason.to_owned() };
        self.cx.out(Output::Send { generation, request });
    }
}
