//! The application's input to the actor: commands, which may wait, and orders, which are never refused; and the end of
//! a freed track. Must not know: sockets, the engine.

use super::*;

impl Actor {
    fn on_command(&mut self, command: Command) {
        match command {
            Command::Token(token) => self.input(Input::Token(token)),
            Command::Publish(track) => {
                let same = |id: &&TrackId| self.tracks.get(*id).is_some_and(|t| t.source() == track.source());
                let after = self.ending.iter().filter(same).copied().collect();
                self.next_tracks.push_back((track, after));
                self.publish_next();
            }
            Command::Input(input) => self.input(*input),
        }
    }

    /// Handles orders, and queued commands, `first` before the others. The subscriber is closed before anything else; a
    /// track is freed as soon as it is known, because the next one may be among the commands; all other orders follow
    /// the commands that were given before them. An order counts before an input that arrives after it. It may have
    /// been given while the actor polled other sources, and the input may be the response to the application's next
    /// action.
    pub(super) fn orders_first(&mut self) {
        if self.shared.orders.any() {
            self.on_orders(None);
        }
    }

    pub(super) fn on_orders(&mut self, mut first: Option<Command>) {
        let Waiting { close_subscriber, close_publisher, want_data, muted, mut freed, leave, stay_away } =
            self.shared.orders.take();
        if close_subscriber {
            self.input(Input::ClosePeer(PeerKind::Subscriber));
        }
        for _ in 0..COMMANDS {
            freed.retain(|id| {
                let known = self.tracks.contains_key(id) || self.next_tracks.iter().any(|(next, _)| next.id() == *id);
                if known {
                    self.free_track(*id);
                }
                !known
            });
            let Some(command) = first.take().or_else(|| self.commands.try_recv().ok()) else { break };
            self.on_command(command);
        }
        if want_data {
            self.input(Input::WantData);
        }
        for (track, muted) in muted {
            self.input(Input::Mute { track, muted });
        }
        for track in freed {
            self.free_track(track);
        }
        if close_publisher {
            self.shared.outbox.remove_all_channels();
            self.input(Input::ClosePeer(PeerKind::Publisher));
            self.next_tracks.clear();
        }
        if let Some(reason) = leave {
            self.leave(reason);
        }
        if stay_away && self.core.lock().is_rejoining() {
            // A new session would replace the one that joins now. What is not sent yet is reported.
            self.input(Input::Drained);
        }
    }

    fn leave(&mut self, reason: String) {
        // An answer that was given just before is sent, too: first it has to be in the outbox.
        self.carry_out();
        if self.drain.is_zero() || self.shared.is_sent() {
            return self.input(Input::Leave { reason });
        }
        self.draining = true;
        let within = self.drain;
        self.input(Input::Drain { reason, within });
    }

    /// Publishes waiting tracks, except those that follow a freed track that is still being sent.
    fn publish_next(&mut self) {
        for (track, after) in std::mem::take(&mut self.next_tracks) {
            if after.iter().any(|id| self.ending.contains(id) && self.tracks.contains_key(id)) {
                self.next_tracks.push_back((track, after));
                continue;
            }
            let (id, offer) = (track.id(), track.offer());
            self.tracks.insert(id, track);
            self.input(Input::Publish { track: id, offer });
        }
    }

    fn free_track(&mut self, id: TrackId) {
        let track = self.shared.tracks.lock().get(&id).cloned();
        match track {
            Some(track) if !self.drain.is_zero() && !track.is_played_out() && !self.ending.contains(&id) => {
                self.ending.push(id);
                let within = self.drain;
                self.ops.push(Box::pin(async move {
                    track.wait_played(within).await;
                    Done::Track(id)
                }));
            }
            _ => self.unpublish(id),
        }
    }

    /// Ends a freed track; tracks that waited for it are published.
    pub(super) fn unpublish(&mut self, id: TrackId) {
        self.ending.retain(|ending| *ending != id);
        if let Some(track) = self.shared.tracks.lock().remove(&id) {
            track.stop();
        }
        self.next_tracks.retain(|(next, _)| next.id() != id);
        self.input(Input::Unpublish { track: id });
        self.tracks.remove(&id);
        self.publish_next();
    }
}
