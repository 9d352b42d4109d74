//! The subscriber's negotiation, and the founding promise: an offer for a subscriber that is closed,
//! freed, never created or of an old generation, or for a call that is leaving or over, is dropped:
//! one counter, one debug line, nothing else.
//!
//! One offer at a time, in order; none is skipped. Each engine step comes back as an input, so the
//! check before each step is the check after each await.

use super::{
    ice, limits, link::Link, model::*, Action, Core, End, EndReason, Event, Op, OpDone, OpFailed, Output, Phase, Timer,
};
use crate::error::{Code, Error};
use std::{collections::VecDeque, time::Duration};

/// ICE credentials of peer connections that are gone, remembered at most.
const FORMER_ICE: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Made when it is first needed.
    Absent,
    Open,
    Closing,
    /// For good.
    Closed,
}

#[derive(Debug)]
struct Offer {
    sdp: String,
    negotiation_id: u32,
}

#[derive(Debug)]
enum Step {
    Idle,
    Creating(Op),
    SettingOffer(Op),
    Answering(Op),
    SettingAnswer(Op, String),
    /// The answer is in force here, and waits for a candidate to be told before it.
    Gathering(String),
    Sending(u64),
    RollingBack(Op),
}

#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) slot: Slot,
    step: Step,
    current: Option<Offer>,
    queue: VecDeque<Offer>,
    candidates: ice::Candidates,
    /// The SFU's DTLS identity.
    identity: Option<String>,
    /// ICE credentials that its offers had, and those of peer connections that are gone.
    ice: VecDeque<String>,
    former_ice: VecDeque<String>,
    /// Local candidates wait for the first answer.
    local: Vec<String>,
    /// The offer under way begins an ICE generation.
    new_ice: bool,
    pub(super) answered: bool,
    pub(super) link: Link,
    failures: u32,
    /// Nothing is to be received, whether there is a peer connection for it or not.
    pub(super) deaf: bool,
    /// The SFU's peer connection on the other side, by its offers.
    origin: Option<String>,
    /// The SFU was asked, by a resume, to whom media belongs.
    pub(super) asked_for_orphans: bool,
}

impl Subscriber {
    pub fn new(enabled: bool) -> Self {
        Self {
            slot: if enabled { Slot::Absent } else { Slot::Closed },
            step: Step::Idle,
            current: None,
            queue: VecDeque::new(),
            candidates: ice::Candidates::default(),
            identity: None,
            ice: VecDeque::new(),
            former_ice: VecDeque::new(),
            local: Vec::new(),
            new_ice: false,
            answered: false,
            link: Link::default(),
            failures: 0,
            deaf: false,
            origin: None,
            asked_for_orphans: false,
        }
    }

    /// True when there is a peer connection that must be closed.
    pub fn is_live(&self) -> bool {
        self.slot == Slot::Open || matches!(self.step, Step::Creating(_))
    }

    /// For a new connection; what was closed for good stays closed.
    pub fn restart(&mut self) {
        let mut former_ice = std::mem::take(&mut self.former_ice);
        former_ice.append(&mut self.ice);
        former_ice.drain(..former_ice.len().saturating_sub(FORMER_ICE));
        let deaf = self.deaf;
        *self = Self { former_ice, deaf, ..Self::new(!matches!(self.slot, Slot::Closed | Slot::Closing)) };
    }

    /// Media without a participant, about which it was not asked yet.
    pub fn has_orphans(&self, remotes: &[super::messages::Remote]) -> bool {
        !self.asked_for_orphans && remotes.iter().any(super::messages::Remote::is_orphan)
    }

    /// Whether an offer would put another peer connection in the place of the one that stays though nothing is
    /// received any more; remembers whose offers come.
    fn is_of_another(&mut self, sdp: &str) -> bool {
        let Some(session) = origin(sdp) else { return false };
        let other = self.origin.as_deref().is_some_and(|known| known != session);
        if !(other && self.deaf) {
            self.origin = Some(session.to_owned());
        }
        other && self.deaf
    }

    /// Whether an offer is meant for a peer connection that is gone; remembers whom it is for.
    fn is_of_before(&mut self, sdp: &str) -> bool {
        let Some(ice) = ice::credentials(sdp) else { return false };
        if self.former_ice.contains(&ice) {
            return true;
        }
        if !self.ice.contains(&ice) {
            if self.ice.len() >= FORMER_ICE {
                self.ice.pop_front();
            }
            self.ice.push_back(ice);
        }
        false
    }

    pub fn begin_close(&mut self) -> bool {
        let live = self.is_live();
        if self.slot != Slot::Closing {
            self.slot = if live { Slot::Closing } else { Slot::Closed };
        }
        self.step = Step::Idle;
        live
    }

    /// The engine has closed what [`Subscriber::begin_close`] asked it to close.
    pub fn closed(&mut self) {
        if self.slot == Slot::Closing {
            self.slot = Slot::Closed;
        }
    }

    /// Closed for good, or about to be.
    pub fn is_gone(&self) -> bool {
        matches!(self.slot, Slot::Closing | Slot::Closed)
    }

    pub fn is_closing(&self) -> bool {
        self.slot == Slot::Closing
    }
}

impl Core {
    /// Offers that wait for their turn or their answer.
    #[cfg(test)]
    pub(super) fn offers_waiting(&self) -> usize {
        let held = self.held.iter().filter(|m| matches!(m, SfuMessage::SubscriberOffer { .. })).count();
        held + self.subscriber.queue.len() + usize::from(self.subscriber.current.is_some())
    }

    /// Neither closed nor of a connection that is gone; it may be between two sockets.
    pub(super) fn subscriber_open(&self) -> bool {
        self.transport.is_some() && self.is_open() && matches!(self.subscriber.slot, Slot::Absent | Slot::Open)
    }

    /// Open, and the SFU can be told.
    pub(super) fn subscriber_alive(&self) -> bool {
        self.phase == Phase::Joined && self.subscriber_open()
    }

    /// The socket is gone, the peer connection stays. An engine step under way comes to its end; what it
    /// did half is rolled back then, for the SFU offers anew.
    pub(super) fn interrupt_subscriber(&mut self) {
        if matches!(self.subscriber.step, Step::Sending(_) | Step::Gathering(_)) {
            self.subscriber.step = Step::Idle;
        }
        self.subscriber.failures = 0;
    }

    pub(super) fn drop_offer(&mut self, why: &'static str, generation: Generation) {
        self.counters.late_offers += 1;
        self.counters.offers_while_leaving += u64::from(self.phase == Phase::Leaving);
        if self.phase != Phase::Over {
            self.out(Output::Debug(why.into(), generation));
        }
    }

    pub(super) fn on_offer(&mut self, now: Duration, generation: Generation, sdp: String, negotiation_id: u32) {
        if !self.is_current(generation) {
            return self.drop_offer("late offer dropped: it is of an old generation", generation);
        }
        if !self.is_open() {
            return self.drop_offer("late offer dropped: the call is leaving", generation);
        }
        if !self.subscriber_alive() {
            return self.drop_offer("late offer dropped: the subscriber is closed", generation);
        }
        if self.subscriber.is_of_another(&sdp) {
            return self.drop_offer(
                "late offer dropped: the subscriber is closed, and this is not of the connection that stays",
                generation,
            );
        }
        if self.subscriber.is_of_before(&sdp) {
            return self.drop_offer("late offer dropped: it is of a session that is over", generation);
        }
        if self.subscriber.queue.len() >= limits::QUEUED_OFFERS {
            // No offer may be skipped, so a flood is a broken SFU.
            self.drop_offer("late offer dropped: too many wait already", generation);
            self.event(Event::Error(Error::new(
                Code::Protocol,
                "subscriber: more than 64 offers wait for an answer; the SFU does not keep to the protocol",
            )));
            return self.reconnect(now, Strategy::Rejoin, "the SFU flooded the subscriber with offers");
        }
        self.subscriber.queue.push_back(Offer { sdp, negotiation_id });
        self.next_offer(now);
    }

    /// Starts the next queued offer when none is under way.
    fn next_offer(&mut self, now: Duration) {
        if !matches!(self.subscriber.step, Step::Idle) {
            return;
        }
        if !self.subscriber_open() {
            return self.drop_queued_offers();
        }
        if self.phase != Phase::Joined {
            return;
        }
        let Some(offer) = self.subscriber.queue.pop_front() else { return };
        self.subscriber.current = Some(offer);
        if self.subscriber.slot == Slot::Absent {
            self.timers.cancel(Timer::PeerConnect(PeerKind::Subscriber));
            let ice_servers = self.admission.as_ref().map(|a| a.ice_servers.clone()).unwrap_or_default();
            let op = self.op(PeerKind::Subscriber, Action::Create { ice_servers });
            self.subscriber.step = Step::Creating(op);
        } else {
            self.set_offer(now);
        }
        let _ = now;
    }

    fn set_offer(&mut self, now: Duration) {
        let Some(sdp) = self.subscriber.current.as_ref().map(|o| o.sdp.clone()) else { return };
        if ice::changed_identity(&mut self.subscriber.identity, &sdp) {
            return self.reconnect(now, Strategy::Rejoin, "the SFU's side of the subscriber is another one");
        }
        let op = self.op(PeerKind::Subscriber, Action::SetOffer(sdp));
        self.subscriber.step = Step::SettingOffer(op);
    }

    /// Everything that waits for an answer is late from now on. An answer that is on its way to the SFU
    /// counts as given, whatever becomes of the reply.
    pub(super) fn drop_queued_offers(&mut self) {
        let sent = matches!(self.subscriber.step, Step::Sending(id) if !self.timers.is_set(Timer::RpcRetry(id)));
        if sent && self.subscriber.current.take().is_some() {
            self.counters.offers_answered += 1;
        }
        let waiting = self.subscriber.queue.len() + usize::from(self.subscriber.current.is_some());
        self.subscriber.queue.clear();
        self.subscriber.current = None;
        let generation = self.generation;
        for _ in 0..waiting {
            self.drop_offer("late offer dropped: the subscriber closed before the offer's turn", generation);
        }
    }

    /// The attempt is over to which the messages belong that came before its JoinResponse.
    pub(super) fn drop_held(&mut self) {
        let generation = self.generation;
        for message in std::mem::take(&mut self.held) {
            match message {
                SfuMessage::SubscriberOffer { .. } => {
                    self.drop_offer("late offer dropped: it came before a JoinResponse that never did", generation)
                }
                _ => self.late(),
            }
        }
    }

    pub(super) fn on_subscriber_op(
        &mut self,
        now: Duration,
        generation: Generation,
        op: Op,
        result: Result<OpDone, OpFailed>,
    ) {
        if Some(generation) != self.transport || !self.subscriber_open() {
            return self.late();
        }
        let expected = match &self.subscriber.step {
            Step::Creating(o) | Step::SettingOffer(o) | Step::Answering(o) | Step::RollingBack(o) => *o == op,
            Step::SettingAnswer(o, _) => *o == op,
            Step::Idle | Step::Sending(_) | Step::Gathering(_) => false,
        };
        if !expected {
            // A candidate that was added, or refused: neither is anybody's concern.
            if result.is_err() {
                self.counters.candidates_dropped += 1;
            }
            return;
        }
        let step = std::mem::replace(&mut self.subscriber.step, Step::Idle);
        match (step, result) {
            (Step::RollingBack(_), _) => self.next_offer(now),
            // Its socket is gone, and with it who waits for the answer.
            (Step::Creating(_), Ok(_)) if self.subscriber.current.is_none() => {
                self.subscriber.slot = Slot::Open;
                self.next_offer(now);
            }
            (Step::SettingOffer(_) | Step::Answering(_), _) | (Step::SettingAnswer(..), Err(_))
                if self.subscriber.current.is_none() =>
            {
                let op = self.op(PeerKind::Subscriber, Action::Rollback);
                self.subscriber.step = Step::RollingBack(op);
            }
            (_, _) if self.subscriber.current.is_none() => self.next_offer(now),
            // It closed by itself and will say so, or has: the offer came too late for it.
            (_, Err(failed)) if failed.closed => {
                self.subscriber.current = None;
                self.drop_offer("late offer dropped: the peer connection closed under it", generation);
                self.next_offer(now);
            }
            (Step::Creating(_), Err(failed)) => self.offer_failed(now, failed, false),
            (_, Err(failed)) => self.offer_failed(now, failed, true),
            (Step::Creating(_), Ok(_)) => {
                self.subscriber.slot = Slot::Open;
                self.set_offer(now);
            }
            (Step::SettingOffer(_), Ok(_)) => {
                let sdp = self.subscriber.current.as_ref().map(|o| o.sdp.clone()).unwrap_or_default();
                self.subscriber.new_ice = self.subscriber.candidates.begins_anew(&sdp);
                let (ready, dropped) = self.subscriber.candidates.remote_set(&sdp);
                self.counters.candidates_dropped += dropped as u64;
                for json in ready {
                    self.op(PeerKind::Subscriber, Action::AddCandidate(json));
                }
                let op = self.op(PeerKind::Subscriber, Action::CreateAnswer);
                self.subscriber.step = Step::Answering(op);
            }
            (Step::Answering(_), Ok(OpDone::Answer(sdp))) => {
                let op = self.op(PeerKind::Subscriber, Action::SetLocalAnswer(sdp.clone()));
                self.subscriber.step = Step::SettingAnswer(op, sdp);
            }
            (Step::SettingAnswer(_, sdp), Ok(_)) => {
                self.subscriber.step = Step::Gathering(sdp);
                let wait = self.config.dialect.candidates_first && self.subscriber.new_ice;
                if wait && self.subscriber.local.is_empty() {
                    return self.timers.set(Timer::FirstCandidate, now + limits::FIRST_CANDIDATE);
                }
                self.answer_gathered(now);
            }
            (_, Ok(_)) => {
                let failed = OpFailed {
                    code: Code::Internal,
                    closed: false,
                    message: "the engine gave no answer to an offer".into(),
                };
                self.offer_failed(now, failed, true);
            }
        }
    }

    /// The answer goes out, after the candidates that have to be known before it.
    pub(super) fn answer_gathered(&mut self, now: Duration) {
        if !self.subscriber_alive() || !matches!(self.subscriber.step, Step::Gathering(_)) {
            return;
        }
        self.timers.cancel(Timer::FirstCandidate);
        let Step::Gathering(sdp) = std::mem::replace(&mut self.subscriber.step, Step::Idle) else { return };
        if self.config.dialect.candidates_first {
            for json in std::mem::take(&mut self.subscriber.local) {
                self.trickle(PeerKind::Subscriber, json);
            }
        }
        let Some(offer) = &self.subscriber.current else { return self.next_offer(now) };
        let (session_id, negotiation_id) = (self.session_id.clone(), offer.negotiation_id);
        let id = self.rpc(RpcCall::SendAnswer { session_id, sdp, negotiation_id });
        self.subscriber.step = Step::Sending(id);
        // From now on, for the reply may be lost, and what it asks for in its place as well.
        if !self.timers.is_set(Timer::PeerConnect(PeerKind::Subscriber)) {
            self.watch_link(now, PeerKind::Subscriber);
        }
    }

    pub(super) fn on_send_answer(&mut self, now: Duration, id: u64, result: Result<(), Failure>) {
        if !matches!(self.subscriber.step, Step::Sending(i) if i == id) {
            return self.late();
        }
        self.subscriber.step = Step::Idle;
        match result {
            Ok(()) => {
                self.subscriber.current = None;
                self.subscriber.failures = 0;
                self.negotiation_rejoins = 0;
                self.counters.offers_answered += 1;
                if !self.subscriber.answered {
                    self.subscriber.answered = true;
                    self.watch_link(now, PeerKind::Subscriber);
                    self.flush_local();
                }
                self.next_offer(now);
            }
            Err(failure) => {
                let message = format!("SendAnswer failed: {}", failure.message);
                // The offer is already in force here: the SFU must offer again.
                let code = if failure.kind == FailureKind::Timeout { Code::Timeout } else { Code::Network };
                self.offer_failed(now, OpFailed { code, closed: false, message }, false);
            }
        }
    }

    /// An offer could not be answered while everything is open: say so, and ask for a fresh one.
    fn offer_failed(&mut self, now: Duration, failed: OpFailed, roll_back: bool) {
        self.counters.offers_failed += 1;
        self.subscriber.current = None;
        self.subscriber.failures += 1;
        // Who has closed it is not told of it any more.
        if !self.subscriber.deaf {
            self.event(Event::Error(Error::new(
                failed.code,
                format!("subscriber: an offer of the SFU could not be answered: {}", failed.message),
            )));
        }
        if self.subscriber.failures >= limits::NEGOTIATION_TRIES {
            return self.negotiation_failed(now, "three offers in a row could not be answered");
        }
        if roll_back && self.subscriber.slot == Slot::Open {
            let op = self.op(PeerKind::Subscriber, Action::Rollback);
            self.subscriber.step = Step::RollingBack(op);
        }
        self.restart_subscriber_ice(now);
        self.next_offer(now);
    }

    /// Three offers in a row: a new session; three such sessions in a row: the end.
    pub(super) fn negotiation_failed(&mut self, now: Duration, why: &str) {
        self.negotiation_rejoins += 1;
        if self.negotiation_rejoins < limits::NEGOTIATION_REJOINS {
            return self.reconnect(now, Strategy::Rejoin, why);
        }
        let error = Error::new(
            Code::Media,
            format!("negotiation failed in three sessions one after the other, the last time because {why}"),
        );
        let text = error.message.to_string();
        self.give_up(End { reason: EndReason::NegotiationFailed, error: Some(error), text });
    }

    /// Closed or freed by the application: for good, while the call goes on.
    pub(super) fn close_subscriber(&mut self) {
        if !matches!(self.subscriber.slot, Slot::Absent | Slot::Open) {
            return;
        }
        self.subscriber.deaf = true;
        if self.config.dialect.subscriber_stays {
            for remote in std::mem::take(&mut self.remotes) {
                self.out(Output::Unbind { id: remote.id });
            }
            return self.want_nothing();
        }
        self.drop_queued_offers();
        self.forget_rpcs(PeerKind::Subscriber);
        self.forget_link_timers(PeerKind::Subscriber);
        let generation = self.transport.unwrap_or(self.generation);
        if self.subscriber.begin_close() {
            self.out(Output::ClosePeer { generation, peer: PeerKind::Subscriber });
        }
        for remote in std::mem::take(&mut self.remotes) {
            self.out(Output::Unbind { id: remote.id });
        }
    }

    pub(super) fn on_remote_candidate(&mut self, peer: PeerKind, json: String) {
        // Whether it is superseded is decided by the description that is being set.
        let unsettled = match peer {
            PeerKind::Subscriber => matches!(self.subscriber.step, Step::SettingOffer(_)),
            PeerKind::Publisher => self.publisher_sets_answer(),
        };
        let candidates = match peer {
            PeerKind::Subscriber if self.subscriber_alive() => &mut self.subscriber.candidates,
            PeerKind::Publisher if self.publisher_alive() => &mut self.publisher.candidates,
            _ => return self.late(),
        };
        let verdict = if unsettled { candidates.hold(&json) } else { candidates.offer(&json) };
        match verdict {
            ice::Verdict::Add => {
                self.op(peer, Action::AddCandidate(json));
            }
            ice::Verdict::Held => {}
            ice::Verdict::Dropped => self.counters.candidates_dropped += 1,
        }
    }

    /// A candidate of ours: told once the SFU knows the description that it belongs to.
    pub(super) fn on_local_candidate(&mut self, now: Duration, generation: Generation, peer: PeerKind, json: String) {
        if Some(generation) != self.transport {
            return self.late();
        }
        // The answer under way is of a new ICE generation, and so may this be: it belongs before it.
        let under_way = !matches!(self.subscriber.step, Step::Idle | Step::Sending(_) | Step::RollingBack(_));
        let first = self.config.dialect.candidates_first && self.subscriber.new_ice && under_way;
        let joined = self.phase == Phase::Joined;
        let (told, waiting) = match peer {
            PeerKind::Subscriber if self.subscriber_open() => {
                (joined && self.subscriber.answered && !first, &mut self.subscriber.local)
            }
            PeerKind::Publisher if self.publisher_open() => {
                (joined && self.publisher.answered, &mut self.publisher.local)
            }
            _ => return self.late(),
        };
        if told {
            self.trickle(peer, json);
        } else if waiting.len() < limits::HELD_MESSAGES {
            waiting.push(json);
        } else {
            self.counters.candidates_dropped += 1;
        }
        if peer == PeerKind::Subscriber {
            self.answer_gathered(now);
        }
    }

    /// Tells the candidates that waited for the first answer, or for a new socket.
    pub(super) fn flush_local(&mut self) {
        if self.subscriber_alive() && self.subscriber.answered {
            for json in std::mem::take(&mut self.subscriber.local) {
                self.trickle(PeerKind::Subscriber, json);
            }
        }
        if self.publisher_alive() && self.publisher.answered {
            for json in std::mem::take(&mut self.publisher.local) {
                self.trickle(PeerKind::Publisher, json);
            }
        }
    }

    pub(super) fn trickle(&mut self, peer: PeerKind, candidate: String) {
        let session_id = self.session_id.clone();
        self.rpc(RpcCall::IceTrickle { session_id, peer, candidate });
    }
}
