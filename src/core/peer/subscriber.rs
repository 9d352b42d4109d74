//! The subscriber's negotiation, and the founding promise: an offer for a subscriber that is closed,
//! freed, never created or of an old generation, or for a call that is leaving or over, is dropped:
//! one counter, one debug line, nothing else.
//!
//! One offer at a time, in order; none is skipped. What the engine and the SFU answer comes back as an input, so the
//! check before each step is the check after each wait. Must not know: the engine, sockets.

use super::connection::Connection;
use crate::core::context::{Context, Need, Settled};
use crate::core::{limits, model::*, timers::Timer, Action, Event, Op, OpDone, OpFailed};
use crate::error::{Code, Error};
use std::collections::VecDeque;

/// ICE credentials of peer connections that are gone, remembered at most.
const FORMER_ICE: usize = 32;

#[derive(Debug)]
struct Offer {
    sdp: String,
    negotiation_id: u32,
}

#[derive(Debug)]
enum Step {
    Idle,
    /// The engine answers this description.
    Answering(Op, String),
    /// The answer is in force here, and waits for a candidate to be sent before it.
    Gathering(String),
    Sending(u64),
}

#[derive(Debug)]
pub(in crate::core) struct Subscriber {
    pub connection: Connection,
    step: Step,
    current: Option<Offer>,
    queue: VecDeque<Offer>,
    /// ICE credentials that its offers had, and those of peer connections that are gone.
    ice: VecDeque<String>,
    former_ice: VecDeque<String>,
    /// The offer under way begins an ICE generation.
    new_ice: bool,
    /// The SFU's peer connection on the other side, by its offers.
    origin: Option<String>,
    /// The newest offer that was heard, where they are numbered: which peer connection of the SFU it is of, and its
    /// number there.
    newest: Option<(String, u32)>,
    /// The offer that was answered last.
    answered: Option<u32>,
    /// An offer of the SFU that is in force since it was last asked for.
    in_force: Option<String>,
}

impl Subscriber {
    pub fn new(enabled: bool) -> Self {
        Self {
            connection: Connection::new(PeerKind::Subscriber, enabled),
            step: Step::Idle,
            current: None,
            queue: VecDeque::new(),
            ice: VecDeque::new(),
            former_ice: VecDeque::new(),
            new_ice: false,
            origin: None,
            newest: None,
            answered: None,
            in_force: None,
        }
    }

    /// For a new connection; what was closed for good stays closed.
    pub fn restart(&mut self) {
        let mut former = std::mem::replace(self, Self::new(true));
        former.connection.restart();
        self.connection = former.connection;
        self.former_ice = former.former_ice;
        self.former_ice.append(&mut former.ice);
        self.former_ice.drain(..self.former_ice.len().saturating_sub(FORMER_ICE));
    }

    /// Offers that wait for their turn or their answer.
    pub fn waiting(&self) -> usize {
        self.queue.len() + usize::from(self.current.is_some())
    }

    fn is_idle(&self) -> bool {
        matches!(self.step, Step::Idle) && !self.connection.is_creating()
    }

    /// The socket is gone, the peer connection stays. An engine step under way comes to its end.
    pub fn interrupt(&mut self) {
        if matches!(self.step, Step::Sending(_) | Step::Gathering(_)) {
            self.step = Step::Idle;
        }
        self.connection.failures = 0;
    }

    // Offers.

    pub fn on_offer(&mut self, cx: &mut Context, generation: Generation, sdp: String, negotiation_id: u32) -> Settled {
        let late = if !cx.is_current(generation) {
            Some("late offer dropped: it is of an old generation")
        } else if !cx.is_open() || cx.is_draining() {
            Some("late offer dropped: the call is leaving")
        } else if !cx.subscriber_alive() {
            Some("late offer dropped: the subscriber is closed")
        } else if self.is_of_another(cx.receive_disabled, &sdp) {
            Some("late offer dropped: the subscriber is closed, and this is not of the connection that stays")
        } else if self.is_of_before(&sdp) {
            Some("late offer dropped: it is of a session that is over")
        } else {
            None
        };
        if let Some(why) = late {
            cx.drop_offer(why, generation);
            return Ok(());
        }
        let waiting: usize = self.queue.iter().map(|offer| offer.sdp.len()).sum();
        let too_large = waiting > 0 && waiting + sdp.len() > limits::QUEUED_OFFER_BYTES;
        if self.queue.len() >= limits::QUEUED_OFFERS || too_large {
            // No offer may be skipped, so a flood is a broken SFU.
            cx.drop_offer("late offer dropped: too many wait already", generation);
            cx.event(Event::Error(Error::new(
                Code::Protocol,
                "subscriber: more than 64 offers, or 4 MiB of them, wait for an answer; the SFU does not keep to the \
                 protocol",
            )));
            return Err(Need::rejoin("the SFU flooded the subscriber with offers"));
        }
        self.queue.push_back(Offer { sdp, negotiation_id });
        self.next_offer(cx)
    }

    /// Another socket is open. One that resumes is asked again for what was not answered, and for nothing else.
    pub fn begin_socket(&mut self, resumes: bool) {
        self.newest.take_if(|(_, id)| !resumes || self.answered != Some(*id));
        self.answered.take_if(|_| !resumes);
    }

    /// Whether an offer of the present socket was heard before, or one after it; remembers the newest.
    pub fn is_repeated(&mut self, cx: &Context, description: &str, negotiation_id: u32) -> bool {
        let numbered = cx.config.dialect.numbered_offers && negotiation_id != 0;
        let Some(session) = sdp::origin(description).filter(|_| numbered) else { return false };
        let known = self.newest.as_ref().filter(|(known, _)| known == session);
        let repeated = known.is_some_and(|(_, newest)| negotiation_id <= *newest);
        if !repeated {
            self.newest = Some((session.to_owned(), negotiation_id));
        }
        repeated
    }

    /// Whether an offer would put another peer connection in the place of the one that stays though nothing is
    /// received any more; remembers whose offers come.
    fn is_of_another(&mut self, receive_disabled: bool, description: &str) -> bool {
        let Some(session) = sdp::origin(description) else { return false };
        let other = self.origin.as_deref().is_some_and(|known| known != session) && receive_disabled;
        if !other {
            self.origin = Some(session.to_owned());
        }
        other
    }

    /// Whether an offer is meant for a peer connection that is gone; remembers whom it is for.
    fn is_of_before(&mut self, description: &str) -> bool {
        let Some(ice) = sdp::credentials(description) else { return false };
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

    /// Starts the next queued offer when none is under way.
    fn next_offer(&mut self, cx: &mut Context) -> Settled {
        if !self.is_idle() {
            return Ok(());
        }
        if !cx.subscriber_open() {
            self.drop_offers(cx);
            return Ok(());
        }
        if !cx.is_joined() {
            return Ok(());
        }
        let Some(offer) = self.queue.pop_front() else { return Ok(()) };
        self.current = Some(offer);
        if !self.connection.is_absent() {
            return self.answer(cx);
        }
        cx.timers.cancel(Timer::PeerConnect(PeerKind::Subscriber));
        self.connection.create(cx);
        Ok(())
    }

    fn answer(&mut self, cx: &mut Context) -> Settled {
        let Some(description) = self.current.as_mut().map(|o| std::mem::take(&mut o.sdp)) else { return Ok(()) };
        self.connection.check_identity(&description)?;
        let candidates = self.connection.give_candidates(&description);
        let op = self.connection.op(cx, Action::Answer { offer: description.clone(), candidates });
        self.step = Step::Answering(op, description);
        Ok(())
    }

    /// Everything that waits for an answer is late from now on. An answer that is on its way to the SFU
    /// counts as given, whatever becomes of the reply.
    pub fn drop_offers(&mut self, cx: &mut Context) {
        let sent = matches!(self.step, Step::Sending(id) if !cx.timers.is_set(Timer::RpcRetry(id)));
        if sent && self.current.take().is_some() {
            cx.counters.offers_answered += 1;
        }
        let waiting = self.waiting();
        self.queue.clear();
        self.current = None;
        let generation = cx.generation;
        for _ in 0..waiting {
            cx.drop_offer("late offer dropped: the subscriber closed before the offer's turn", generation);
        }
    }

    // The negotiation.

    pub fn on_op(
        &mut self,
        cx: &mut Context,
        generation: Generation,
        op: Op,
        result: Result<OpDone, OpFailed>,
    ) -> Settled {
        if Some(generation) != cx.transport || !cx.subscriber_open() {
            cx.late();
            return Ok(());
        }
        let created = self.connection.created(op, result.is_ok());
        let description = match &mut self.step {
            Step::Answering(o, description) if *o == op => Some(std::mem::take(description)),
            _ if created => None,
            _ => {
                // A candidate that was added, or refused.
                cx.counters.candidates_dropped += u64::from(result.is_err());
                return Ok(());
            }
        };
        self.step = Step::Idle;
        let answer = match (result, &description) {
            (Ok(OpDone::Answer { sdp, refused }), Some(description)) => {
                cx.counters.candidates_dropped += refused as u64;
                self.new_ice = self.connection.begins_anew(description);
                self.connection.remote_set(cx, description);
                Ok(Some(sdp))
            }
            (Ok(_), None) => Ok(None),
            (Ok(_), Some(_)) => {
                let message = "the engine gave no answer to an offer".into();
                Err(OpFailed { code: Code::Internal, closed: false, message })
            }
            (Err(failed), _) => Err(failed),
        };
        if answer.is_err() {
            self.connection.take_candidates_back();
        } else {
            self.in_force = description;
        }
        // Without one the socket is gone, and with it who waits for the answer.
        if self.current.is_none() {
            return self.next_offer(cx);
        }
        match answer {
            // It closed by itself and will say so, or has: the offer came too late for it.
            Err(failed) if failed.closed => {
                self.current = None;
                cx.drop_offer("late offer dropped: the peer connection closed under it", generation);
                self.next_offer(cx)
            }
            Err(failed) => self.failed(cx, failed),
            Ok(None) => self.answer(cx),
            Ok(Some(answer)) => self.on_answered(cx, answer),
        }
    }

    /// Both descriptions are in force here.
    fn on_answered(&mut self, cx: &mut Context, answer: String) -> Settled {
        self.step = Step::Gathering(answer);
        let wait = cx.config.dialect.candidates_first && self.new_ice;
        if wait && !self.connection.has_local() {
            cx.timers.set(Timer::FirstCandidate, cx.now + limits::FIRST_CANDIDATE);
            return Ok(());
        }
        self.on_gathered(cx)
    }

    /// The description of the SFU that has come into force just now.
    pub fn take_in_force(&mut self) -> Option<String> {
        self.in_force.take()
    }

    /// The answer is sent, after the candidates that have to be known before it.
    pub fn on_gathered(&mut self, cx: &mut Context) -> Settled {
        if !cx.subscriber_alive() || !matches!(self.step, Step::Gathering(_)) {
            return Ok(());
        }
        cx.timers.cancel(Timer::FirstCandidate);
        let Step::Gathering(sdp) = std::mem::replace(&mut self.step, Step::Idle) else { return Ok(()) };
        if cx.config.dialect.candidates_first {
            self.connection.send_local(cx);
        }
        let Some(offer) = &self.current else { return self.next_offer(cx) };
        let (session_id, negotiation_id) = (cx.session_id.clone(), offer.negotiation_id);
        self.answered = Some(negotiation_id);
        self.step = Step::Sending(cx.request(RpcCall::SendAnswer { session_id, sdp, negotiation_id }));
        // From now on, for the reply may be lost, and what it asks for in its place as well.
        if !cx.timers.is_set(Timer::PeerConnect(PeerKind::Subscriber)) {
            self.connection.watch(cx);
        }
        Ok(())
    }

    /// The reply to SendAnswer.
    pub fn on_reply(&mut self, cx: &mut Context, id: u64, result: Result<(), Failure>) -> Settled {
        if !matches!(self.step, Step::Sending(i) if i == id) {
            cx.late();
            return Ok(());
        }
        self.step = Step::Idle;
        match result {
            Ok(()) => {
                self.current = None;
                self.connection.failures = 0;
                cx.failed_sessions = 0;
                cx.counters.offers_answered += 1;
                self.connection.first_answer(cx);
                self.next_offer(cx)
            }
            Err(failure) => {
                let message = format!("SendAnswer failed: {}", failure.message);
                // The offer is already in force here: the SFU must offer again.
                let code = if failure.kind == FailureKind::Timeout { Code::Timeout } else { Code::Network };
                self.failed(cx, OpFailed { code, closed: false, message })
            }
        }
    }

    /// An offer could not be answered while everything is open: report it, and ask for a fresh one.
    fn failed(&mut self, cx: &mut Context, failed: OpFailed) -> Settled {
        cx.counters.offers_failed += 1;
        self.current = None;
        self.connection.failures += 1;
        // Who has closed it is not told of it any more.
        if !cx.receive_disabled {
            cx.event(Event::Error(Error::new(
                failed.code,
                format!("subscriber: an offer of the SFU could not be answered: {}", failed.message),
            )));
        }
        if self.connection.failures >= limits::NEGOTIATION_TRIES {
            return Err(Need::Renegotiate("three offers in a row could not be answered"));
        }
        self.restart_ice(cx)?;
        self.next_offer(cx)
    }

    /// The SFU is asked to offer anew: by a request where there is one, else by coming back on a new socket.
    pub fn restart_ice(&self, cx: &mut Context) -> Settled {
        if !cx.config.dialect.subscriber_restart {
            return Err(Need::fast("the subscriber needs to be offered anew"));
        }
        let session_id = cx.session_id.clone();
        cx.request(RpcCall::IceRestart { session_id, peer: PeerKind::Subscriber });
        Ok(())
    }

    // Candidates.

    pub fn on_remote_candidate(&mut self, cx: &mut Context, json: String) {
        if !cx.subscriber_alive() {
            return cx.late();
        }
        let unsettled = matches!(self.step, Step::Answering(..));
        self.connection.on_remote_candidate(cx, json, unsettled);
    }

    pub fn on_local_candidate(&mut self, cx: &mut Context, json: String) -> Settled {
        if !cx.subscriber_open() {
            cx.late();
            return Ok(());
        }
        // The answer under way is of a new ICE generation, and so may this be: it belongs before it.
        let under_way = self.connection.is_creating() || !matches!(self.step, Step::Idle | Step::Sending(_));
        let first = cx.config.dialect.candidates_first && self.new_ice && under_way;
        self.connection.on_local_candidate(cx, json, first);
        self.on_gathered(cx)
    }

    // Its end.

    /// Nothing is received any more; where the SFU would take the end of a subscriber for the end of the whole
    /// participant, the peer connection stays until the rest is closed.
    pub fn stop(&mut self, cx: &mut Context) {
        self.drop_offers(cx);
        cx.requests.forget(PeerKind::Subscriber);
        if cx.config.dialect.subscriber_stays {
            self.step = Step::Idle;
        } else {
            self.connection.forget_timers(cx);
            self.end(cx);
        }
    }

    /// The peer connection is closed.
    pub fn end(&mut self, cx: &mut Context) {
        self.connection.close(cx);
        self.step = Step::Idle;
    }
}
