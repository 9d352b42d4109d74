//! Whether a peer connection carries packets, and what is done when it does not (ICE, RFC 8445).
//!
//! Never connected: one ICE restart after 5 s, given up after 5 s more. Lost: 2.5 s of patience, then
//! an ICE restart, then REJOIN. Two in a row that never connected: this network does not let us through.
//! Must not know: the engine, sockets.

use super::subscriber::Slot;
use super::{limits, model::*, Core, End, EndReason, PeerChange, Phase, Timer};
use crate::error::{Code, Error};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum LinkState {
    #[default]
    New,
    Connected,
    Disconnected,
    /// Failed or closed: only a new peer connection helps.
    Failed,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    pub state: LinkState,
    pub ever: bool,
    /// Closed by the SFU, whose reason is still waited for.
    closed: bool,
    /// The watchdog has restarted ICE before it first connected.
    restarted: bool,
}

impl Core {
    fn link(&mut self, peer: PeerKind) -> &mut Link {
        match peer {
            PeerKind::Publisher => &mut self.publisher.link,
            PeerKind::Subscriber => &mut self.subscriber.link,
        }
    }

    fn slot(&self, peer: PeerKind) -> Slot {
        match peer {
            PeerKind::Publisher => self.publisher.slot,
            PeerKind::Subscriber => self.subscriber.slot,
        }
    }

    /// Neither peer connection needs to be replaced.
    pub(super) fn peers_healthy(&self) -> bool {
        let fine = |slot, link: &Link| slot != Slot::Open || (link.state != LinkState::Failed && !link.closed);
        fine(self.publisher.slot, &self.publisher.link) && fine(self.subscriber.slot, &self.subscriber.link)
    }

    pub(super) fn on_peer_change(&mut self, now: Duration, generation: Generation, peer: PeerKind, change: PeerChange) {
        if Some(generation) != self.transport || !self.is_open() || self.slot(peer) != Slot::Open {
            return self.late();
        }
        let joined = self.phase == Phase::Joined;
        let link = self.link(peer);
        match change {
            PeerChange::Connected => {
                (link.state, link.ever) = (LinkState::Connected, true);
                self.never_connected = 0;
                self.forget_link_timers(peer);
            }
            // Before the first connection it says nothing that the watchdog does not know.
            PeerChange::Disconnected if !link.ever || link.state == LinkState::Failed => {}
            PeerChange::Disconnected => {
                link.state = LinkState::Disconnected;
                if joined {
                    self.timers.set(Timer::IceGrace(peer), now + self.config.dialect.ice_grace);
                }
            }
            PeerChange::Failed => self.link_failed(now, peer, "failed"),
            // An SFU that ends the call closes the peer connections, too; its word may come after that.
            PeerChange::Closed if joined && link.state != LinkState::Failed => {
                link.closed = true;
                self.timers.set(Timer::PeerClosed(peer), now + limits::CALL_ENDED_GRACE);
            }
            PeerChange::Closed => self.on_peer_gone(now, peer),
        }
    }

    /// The SFU has closed it, and said nothing that would explain it.
    pub(super) fn on_peer_gone(&mut self, now: Duration, peer: PeerKind) {
        if self.slot(peer) == Slot::Open {
            self.link_failed(now, peer, "was closed by the SFU");
        }
    }

    fn link_failed(&mut self, now: Duration, peer: PeerKind, how: &str) {
        self.forget_link_timers(peer);
        let link = self.link(peer);
        if link.state == LinkState::Failed {
            return;
        }
        link.state = LinkState::Failed;
        if !link.ever && self.never_connects(2) {
            return;
        }
        self.reconnect(now, Strategy::Rejoin, &format!("the {} peer connection {how}", name(peer)));
    }

    /// Another one that never connected; `halves` of the time it should have had. True when that is enough.
    fn never_connects(&mut self, halves: u32) -> bool {
        self.never_connected += halves;
        if self.never_connected < 2 * limits::NEVER_CONNECTED {
            return false;
        }
        let error = Error::new(
            Code::Network,
            "peer connections in a row never connected; let UDP to the SFU through, or give TURN servers",
        );
        let text = error.message.to_string();
        self.give_up(End { reason: EndReason::NetworkUnsupported, error: Some(error), text });
        true
    }

    /// The session is given up while the watchdog waits for what it has restarted: an SFU may not know any more
    /// a session that never connected. True when the call is over for that.
    pub(super) fn never_came_up(&mut self) -> bool {
        let stuck =
            |slot, link: &Link| slot == Slot::Open && link.restarted && !link.ever && link.state == LinkState::New;
        let none = !self.publisher.link.ever && !self.subscriber.link.ever;
        let any =
            stuck(self.publisher.slot, &self.publisher.link) || stuck(self.subscriber.slot, &self.subscriber.link);
        none && any && self.never_connects(1)
    }

    /// A negotiated peer connection begins to connect.
    pub(super) fn watch_link(&mut self, now: Duration, peer: PeerKind) {
        if self.link(peer).state == LinkState::New {
            self.timers.set(Timer::PeerConnect(peer), now + limits::PEER_CONNECT);
        }
    }

    /// After a FAST reconnect: what was down gets as long as any ICE restart, what never came up starts anew.
    pub(super) fn watch_links(&mut self, now: Duration) {
        for peer in [PeerKind::Publisher, PeerKind::Subscriber] {
            if self.slot(peer) != Slot::Open {
                continue;
            }
            let answered = match peer {
                PeerKind::Publisher => self.publisher.answered,
                PeerKind::Subscriber => self.subscriber.answered,
            };
            match self.link(peer).state {
                LinkState::Disconnected => self.timers.set(Timer::IceRestart(peer), now + limits::ICE_RESTART),
                LinkState::New if answered => self.watch_link(now, peer),
                _ => {}
            }
        }
    }

    pub(super) fn forget_link_timers(&mut self, peer: PeerKind) {
        for timer in [Timer::PeerConnect(peer), Timer::IceGrace(peer), Timer::IceRestart(peer), Timer::PeerClosed(peer)]
        {
            self.timers.cancel(timer);
        }
    }

    /// Patience is over: ICE anew.
    pub(super) fn on_ice_grace(&mut self, now: Duration, peer: PeerKind) {
        if self.phase == Phase::Joined && self.link(peer).state == LinkState::Disconnected {
            self.timers.set(Timer::IceRestart(peer), now + limits::ICE_RESTART);
            self.restart_ice(now, peer);
        }
    }

    pub(super) fn on_ice_restart_timeout(&mut self, now: Duration, peer: PeerKind) {
        if self.phase == Phase::Joined && self.link(peer).state == LinkState::Disconnected {
            let why = format!("an ICE restart did not bring back the {} peer connection", name(peer));
            self.reconnect(now, Strategy::Rejoin, &why);
        }
    }

    pub(super) fn on_peer_connect_timeout(&mut self, now: Duration, peer: PeerKind) {
        if peer == PeerKind::Subscriber && self.subscriber.slot == Slot::Absent {
            // The first offer was lost, or the answer's way: a resume makes the SFU say it again.
            return self.reconnect(now, Strategy::Fast, "the SFU did not offer anything to the subscriber");
        }
        if self.slot(peer) != Slot::Open || self.link(peer).state != LinkState::New {
            return;
        }
        if !std::mem::replace(&mut self.link(peer).restarted, true) {
            self.timers.set(Timer::PeerConnect(peer), now + limits::PEER_CONNECT);
            return self.restart_ice(now, peer);
        }
        self.link_failed(now, peer, "did not come up");
    }

    /// The publisher's ICE is ours to restart, the subscriber's the SFU's.
    fn restart_ice(&mut self, now: Duration, peer: PeerKind) {
        if !self.config.dialect.subscriber_restart {
            // A new socket also shows whether the session is still there.
            let why = format!("the {} peer connection is lost", name(peer));
            return self.reconnect(now, Strategy::Fast, &why);
        }
        match peer {
            PeerKind::Publisher => self.restart_publisher_ice(now),
            PeerKind::Subscriber if self.subscriber_alive() => self.restart_subscriber_ice(now),
            PeerKind::Subscriber => {}
        }
    }
}

impl Core {
    /// The SFU is asked to offer anew: by an RPC where there is one, else by coming back on a new socket.
    pub(super) fn restart_subscriber_ice(&mut self, now: Duration) {
        if self.config.dialect.subscriber_restart {
            let session_id = self.session_id.clone();
            self.rpc(RpcCall::IceRestart { session_id, peer: PeerKind::Subscriber });
        } else {
            self.reconnect(now, Strategy::Fast, "the subscriber needs to be offered anew");
        }
    }
}

fn name(peer: PeerKind) -> &'static str {
    match peer {
        PeerKind::Publisher => "publisher",
        PeerKind::Subscriber => "subscriber",
    }
}
