//! What the application tells the actor: commands that may wait, orders that are never refused, and what becomes of a
//! track that was freed. Must not know: sockets, the engine.

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

    /// What is never refused, and the commands that wait, `first` before the others. The subscriber is closed before
    /// anything else; a track is freed as soon as it is known, for the next one may be among the commands; all other
    /// orders come after the commands that were given before them.
    /// What was ordered before something came counts before it: it may have been ordered while the actor looked where
    /// else something is to be done, and what came now may be the answer to what the application did next.
    pub(super) fn orders_first(&mut self) {
        if self.shared.orders.any() {
            self.on_orders(None);
        }
    }

    pub(super) fn on_orders(&mut self, mut first: Option<Command>) {
        let Waiting { close_subscriber, close_publisher, want_data, muted, mut freed, leave } =
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
            self.input(Input::ClosePeer(PeerKind::Publisher));
            self.next_tracks.clear();
        }
        if let Some(reason) = leave {
            self.leave(reason);
        }
    }

    fn leave(&mut self, reason: String) {
        // An answer that was given just before is sent, too: first it has to be where what is sent waits.
        self.carry_out();
        if self.drain.is_zero() || self.shared.is_sent() {
            return self.input(Input::Leave { reason });
        }
        self.draining = true;
        let within = self.drain;
        self.input(Input::Drain { reason, within });
    }

    /// Publishes what waits, unless a track of before that was freed is still being heard.
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
            Some(track) if !self.drain.is_zero() && !track.is_heard() && !self.ending.contains(&id) => {
                self.ending.push(id);
                let within = self.drain;
                self.ops.push(Box::pin(async move {
                    track.heard(within).await;
                    Done::Track(id)
                }));
            }
            _ => self.unpublish(id),
        }
    }

    /// A track that was freed is over; who waited for it has a turn.
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
