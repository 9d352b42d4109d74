//! Conditions that must hold once nothing has failed for long enough: every session is back and correct in every
//! detail, or has ended with one typed event whose cause the simulation knows.

use super::world::World;
use offhook::core::{model::*, EndReason, State};
use std::collections::BTreeMap;

impl World {
    pub fn judge_calm(&mut self) {
        for client in 0..self.clients.len() {
            if let Err(what) = self.judge(client) {
                self.fault(format!("session {client}, in the calm phase: {what}"));
            }
        }
    }

    fn judge(&self, client: usize) -> Result<(), String> {
        let this = &self.clients[client];
        if let Some(end) = &this.app.ended {
            return self.judge_end(client, end.reason).map_err(|e| format!("{e}: {}", end.text));
        }
        if this.app.left_at.is_some() || this.app.aborted {
            return Err("it left long ago and has not ended".into());
        }
        if this.core.state() != State::Joined {
            return Err(format!("it is neither joined nor ended, but {:?}", this.core.state()));
        }
        if this.check.open_sockets() != 1 {
            return Err(format!("it has {} open sockets", this.check.open_sockets()));
        }
        for kind in [PeerKind::Publisher, PeerKind::Subscriber] {
            let live = this.check.live_peers(kind);
            if live.len() > 1 {
                return Err(format!("{kind:?}: {live:?} are all alive"));
            }
        }
        if this.check.data.waiting() > 0 {
            return Err(format!("{} procedure calls wait without limit", this.check.data.waiting()));
        }
        let counters = this.core.counters();
        let done = counters.offers_answered + counters.offers_failed + counters.late_offers;
        if done != this.check.offers_in {
            return Err(format!("{} offers came, {done} are accounted for: {counters:?}", this.check.offers_in));
        }
        self.judge_room(client)?;
        self.judge_publisher(client)?;
        self.judge_subscriber(client)
    }

    /// Whether the simulation gave cause for this end.
    fn judge_end(&self, client: usize, reason: EndReason) -> Result<(), String> {
        let this = &self.clients[client];
        let suffers = !self.setup.isolated || client == 0;
        let fine = match reason {
            EndReason::Left => this.app.left_at.is_some(),
            EndReason::Shutdown => this.app.aborted,
            EndReason::CallEnded | EndReason::SessionEnded | EndReason::Kicked => this.check.caused_end,
            EndReason::Disconnected => this.check.caused_disconnect,
            EndReason::JoinFailed => suffers && !this.app.joined,
            // Only the session itself joins in its place.
            EndReason::Replaced => this.check.caused_end,
            EndReason::Internal => false,
            _ => suffers && this.app.joined,
        };
        match fine {
            true => Ok(()),
            false => Err(format!("it ended without cause by {reason:?}")),
        }
    }

    fn member(&self, client: usize) -> Result<usize, String> {
        let ids: Vec<usize> = self
            .sfu
            .members
            .iter()
            .enumerate()
            .filter(|(_, m)| m.client == client && !m.left)
            .map(|(i, _)| i)
            .collect();
        match ids[..] {
            [one] => Ok(one),
            _ => Err(format!("the SFU knows it as {} participants", ids.len())),
        }
    }

    fn judge_room(&self, client: usize) -> Result<(), String> {
        let this = &self.clients[client];
        self.member(client)?;
        if this.check.view.tainted {
            return Ok(());
        }
        let truth: BTreeMap<&str, bool> = self
            .sfu
            .room(this.room)
            .filter(|(_, m)| m.client != client)
            .map(|(_, m)| (m.session_id.as_str(), m.tracks.iter().any(|t| !t.muted)))
            .collect();
        let seen: BTreeMap<&str, bool> =
            this.check.view.people.iter().map(|(id, (_, tracks))| (id.as_str(), !tracks.is_empty())).collect();
        if truth != seen {
            return Err(format!("the room holds {truth:?}, its view is {seen:?}"));
        }
        let known: Vec<&str> = this.core.participants().map(|p| p.session_id.as_str()).collect();
        if let Some(stranger) = truth.keys().find(|t| !known.contains(*t)) {
            return Err(format!("its roster does not hold {stranger}"));
        }
        Ok(())
    }

    fn judge_publisher(&self, client: usize) -> Result<(), String> {
        let this = &self.clients[client];
        if this.app.publisher_closed || this.app.publish_in_doubt {
            return Ok(());
        }
        let member = &self.sfu.members[self.member(client)?];
        let tracks = &this.app.tracks;
        if let Some(track) = tracks.iter().find(|t| !t.publish_acknowledged) {
            return Err(format!("track {} was neither published nor refused", track.id));
        }
        if member.tracks.len() != tracks.len() {
            return Err(format!("it publishes {tracks:?}, the SFU knows of {:?}", member.tracks));
        }
        for track in tracks {
            if !this.check.sending.contains(&track.id) {
                return Err(format!("track {} is published, but nothing is sent", track.id));
            }
        }
        if let Some(generation) = this.check.live_peers(PeerKind::Publisher).first() {
            let peer = this.peers.iter().rev().find(|p| p.kind == PeerKind::Publisher && p.generation == *generation);
            let carried: Vec<u64> = peer.map_or(Vec::new(), |p| p.senders[..p.acknowledged].to_vec());
            let order: Vec<u64> = tracks.iter().map(|t| t.id).collect();
            let live: Vec<u64> = carried.iter().copied().filter(|t| order.contains(t)).collect();
            if live != order {
                return Err(format!("tracks {order:?} are published, the peer connection carries {carried:?}"));
            }
            if let Some(peer) = peer.filter(|p| !order.is_empty() && (!p.connected || p.gone)) {
                return Err(format!("the publisher of {:?} is not connected", peer.generation));
            }
        }
        // A lost mute frame goes unnoticed, in both directions.
        let lost = this.up_in_doubt || this.app.moderated && this.check.view.tainted;
        if lost && self.setup.livekit {
            return Ok(());
        }
        if !self.setup.livekit {
            // A mute applies to the kind: it is muted when all its tracks are.
            if tracks.iter().any(|track| track.in_doubt) {
                return Ok(());
            }
            let (ours, theirs) = (tracks.iter().all(|t| t.muted), member.tracks.iter().all(|t| t.muted));
            return match ours == theirs {
                true => Ok(()),
                false => Err(format!("its tracks should be muted: {ours}, the SFU has {:?}", member.tracks)),
            };
        }
        // The SFU lists tracks in the order in which they were added there, which may differ after a refusal.
        let publisher = this.peers.iter().rev().find(|p| p.kind == PeerKind::Publisher && !p.gone);
        for (n, ours) in tracks.iter().enumerate().filter(|(_, track)| !track.in_doubt) {
            let name = publisher.and_then(|p| p.name_of(ours.id));
            let theirs = name.and_then(|name| member.tracks.iter().find(|t| t.name == name));
            if theirs.or(member.tracks.get(n)).is_some_and(|theirs| theirs.muted != ours.muted) {
                let (id, muted) = (ours.id, ours.muted);
                return Err(format!("track {id} should be muted: {muted}, the SFU has {:?}", member.tracks));
            }
        }
        Ok(())
    }

    fn judge_subscriber(&self, client: usize) -> Result<(), String> {
        let this = &self.clients[client];
        if this.app.subscriber_closed || !self.setup.clients[client].subscribe {
            return match this.check.bound.is_empty() {
                true => Ok(()),
                false => Err("its subscriber is closed, and still something plays".into()),
            };
        }
        let member = self.member(client)?;
        let Some(place) = self.sfu.members[member].current() else {
            return Err("it has no place at an edge".into());
        };
        let sub = &place.subscriber;
        let one = self.setup.one_connection;
        if !sub.waiting.is_empty() || sub.answered != sub.next {
            return Err(format!(
                "{} offers, the last answer is to {}, waiting: {:?}",
                sub.next, sub.answered, sub.waiting
            ));
        }
        let kind = if one { PeerKind::Publisher } else { PeerKind::Subscriber };
        let Some(generation) = this.check.live_peers(kind).pop() else {
            return Err("it answered without a subscriber".into());
        };
        let peer = this.peers.iter().rev().find(|p| p.kind == kind && p.generation == generation);
        let Some(peer) = peer else { return Err("the engine has no subscriber".into()) };
        // An offer that was sent twice may have arrived last.
        if !one && peer.remote_serial() != Some(sub.next) && !this.check.view.tainted {
            return Err(format!("offer {} is not in force, {:?} is", sub.next, peer.remote_serial()));
        }
        if !peer.connected || peer.gone {
            return Err(format!("the subscriber of {generation:?} is not connected"));
        }
        // Every audible track plays, with the right owner.
        let mut audible: Vec<(&str, &str, bool)> = Vec::new();
        // The SFU may not have received that the application no longer wants a track.
        let given_up = |sid: &str| {
            let settings = this.app.subscription_settings.get(sid);
            this.up_in_doubt && settings.is_some_and(|settings| !settings.subscribed)
        };
        for (_, other) in self.sfu.room(this.room).filter(|(_, m)| m.client != client) {
            for track in other.tracks.iter().filter(|t| !self.sfu.members[member].unwanted.contains(t.sid())) {
                audible.push((track.stream.as_str(), other.session_id.as_str(), track.muted || given_up(track.sid())));
            }
        }
        if this.check.view.tainted {
            return Ok(());
        }
        self.judge_subscription_settings(client, member)?;
        for (stream, session_id, muted) in &audible {
            let Some((_, id, _)) = peer.tracks.iter().find(|(_, _, s)| s == stream) else {
                return Err(format!("{stream} does not arrive"));
            };
            match this.check.bound.get(id) {
                Some(owner) if owner == session_id => {}
                // A track known to be muted has no receiver; not every protocol reports it to late joiners.
                None if *muted => {}
                owner => return Err(format!("{stream} of {session_id} plays as {owner:?}")),
            }
        }
        // Only these tracks are played, each once.
        if this.check.bound.len() > audible.len() {
            return Err(format!("{:?} play, {audible:?} are audible", this.check.bound));
        }
        Ok(())
    }

    /// The SFU has the subscription settings of every existing track.
    fn judge_subscription_settings(&self, client: usize, member: usize) -> Result<(), String> {
        let this = &self.clients[client];
        if this.up_in_doubt {
            return Ok(());
        }
        let m = &self.sfu.members[member];
        let others = self.sfu.room(this.room).filter(|(_, o)| o.client != client);
        for track in others.flat_map(|(_, o)| &o.tracks) {
            let Some(settings) = this.app.subscription_settings.get(track.sid()) else { continue };
            let at_sfu = (!m.unwanted.contains(track.sid()), !m.paused.contains(track.sid()));
            if at_sfu != (settings.subscribed, settings.enabled) {
                return Err(format!("the settings of {} are {settings:?}, the SFU has {at_sfu:?}", track.sid()));
            }
        }
        Ok(())
    }
}
