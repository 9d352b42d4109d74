//! The subscriber's negotiation, and the central guarantee: an offer is dropped if it is for a subscriber that is
//! closed, freed, never created or of an old generation, or for a call that is leaving or has ended: one counter, one
//! debug line, nothing else.
//!
//! Offers are processed one at a time, in order; none is skipped. Results of the engine and the SFU arrive as inputs,
//! so the check before each step is also the check after each wait. Must not know: the engine, sockets.

use super::connection::Connection;
use crate::core::context::{Context, Need, Phase, Settled};
use crate::core::{limits, model::*, timers::Timer, Action, Event, Op, OpDone, OpFailed};
use crate::error::{Code, Error};
use std::collections::VecDeque;

/// Maximum number of remembered ICE credentials of closed peer connections.
const FORMER_ICE: usize = 32;

#[derive(Debug)]
struct Offer {
    sdp: String,
    negotiation_id: u32,
}

#[derive(Debug)]
enum Step {
    Idle,
    /// The engine is answering this description.
    Answering(Op, String),
    /// The answer is set locally and waits for a candidate to be sent before it.
    Gathering(String),
    Sending(u64),
}

#[derive(Debug)]
pub(in crate::core) struct Subscriber {
    pub connection: Connection,
    step: Step,
    current: Option<Offer>,
    queue: VecDeque<Offer>,
    /// ICE credentials of this peer connection's offers, and of closed peer connections.
    ice: VecDeque<String>,
    former_ice: VecDeque<String>,
    /// The current offer starts a new ICE generation.
    new_ice: bool,
    /// Identifies the SFU's peer connection, from its offers.
    origin: Option<String>,
    /// The newest numbered offer: the SFU's peer connection it belongs to, and its number there.
    newest: Option<(String, u32)>,
    /// Number of the last answered offer.
    answered: Option<u32>,
    /// An SFU offer that was set since the last [`Subscriber::take_in_force`].
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

    /// Resets for a new connection. A permanently closed subscriber stays closed.
    pub fn restart(&mut self) {
        let mut former = std::mem::replace(self, Self::new(true));
        former.connection.restart(!former.connection.is_gone());
        self.connection = former.connection;
        self.former_ice = former.former_ice;
        self.former_ice.append(&mut former.ice);
        self.former_ice.drain(..self.former_ice.len().saturating_sub(FORMER_ICE));
    }

    /// Number of offers that are queued or being answered.
    pub fn waiting(&self) -> usize {
        self.queue.len() + usize::from(self.current.is_some())
    }

    fn is_idle(&self) -> bool {
        matches!(self.step, Step::Idle) && !self.connection.is_creating()
    }

    /// The socket is closed, the peer connection stays. A running engine operation completes.
    pub fn interrupt(&mut self) {
        if matches!(self.step, Step::Sending(_) | Step::Gathering(_)) {
            self.step = Step::Idle;
        }
        self.connection.failures = 0;
    }

    // Offers.

    /// Why an offer that arrives now is late, whatever it says.
    pub fn is_late(&self, cx: &Context, generation: Generation) -> Option<&'static str> {
        if !cx.is_current(generation) {
            Some("late offer dropped: it is for an old generation")
        } else if !cx.is_open() || cx.is_draining() {
            Some("late offer dropped: the call is leaving")
        } else if cx.phase == Phase::Joining {
            // Kept until the JoinResponse tells.
            None
        } else if cx.one_connection {
            Some("late offer dropped: in this session only this side offers")
        } else if !cx.subscriber_alive() {
            Some("late offer dropped: the subscriber is closed")
        } else {
            None
        }
    }

    pub fn on_offer(&mut self, cx: &mut Context, generation: Generation, sdp: String, negotiation_id: u32) -> Settled {
        let late = if let Some(why) = self.is_late(cx, generation) {
            Some(why)
        } else if self.is_of_another(cx.receive_disabled, &sdp) {
            Some("late offer dropped: the subscriber is closed, and the offer is for another peer connection")
        } else if self.is_of_before(&sdp) {
            Some("late offer dropped: it is for a session that has ended")
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
            // No offer may be skipped, so a flood means a broken SFU.
            cx.drop_offer("late offer dropped: too many are queued", generation);
            cx.event(Event::Error(Error::new(
                Code::Protocol,
                "subscriber: more than 64 offers, or 4 MiB of them, wait for an answer; the SFU violates the \
                 protocol",
            )));
            return Err(Need::rejoin("the SFU flooded the subscriber with offers"));
        }
        self.queue.push_back(Offer { sdp, negotiation_id });
        self.next_offer(cx)
    }

    /// A new socket is open. On a resume the SFU repeats unanswered offers, and only those.
    pub fn begin_socket(&mut self, resumes: bool) {
        self.newest.take_if(|(_, id)| !resumes || self.answered != Some(*id));
        self.answered.take_if(|_| !resumes);
    }

    /// True if this offer or a later one was already received on this socket; records the newest.
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

    /// True if an offer would replace the peer connection that stays open although receiving is disabled; records the
    /// SFU's peer connection.
    fn is_of_another(&mut self, receive_disabled: bool, description: &str) -> bool {
        let Some(session) = sdp::origin(description) else { return false };
        let other = self.origin.as_deref().is_some_and(|known| known != session) && receive_disabled;
        if !other {
            self.origin = Some(session.to_owned());
        }
        other
    }

    /// True if an offer is for a closed peer connection; records its ICE credentials.
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

    /// Starts the next queued offer if none is in progress.
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

    /// Drops all unanswered offers as late. An answer that is already being sent to the SFU counts as answered,
    /// whatever its reply.
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
            cx.drop_offer("late offer dropped: the subscriber closed before the offer was processed", generation);
        }
    }

    // Negotiation.

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
                // Result of adding a candidate.
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
                let message = "the engine returned no answer to an offer".into();
                Err(OpFailed { code: Code::Internal, closed: false, message })
            }
            (Err(failed), _) => Err(failed),
        };
        if answer.is_err() {
            self.connection.take_candidates_back();
        } else {
            self.in_force = description;
        }
        // No current offer means that the socket is closed: the answer is not needed.
        if self.current.is_none() {
            return self.next_offer(cx);
        }
        match answer {
            // It closed by itself and reports that separately: the offer came too late.
            Err(failed) if failed.closed => {
                self.current = None;
                cx.drop_offer("late offer dropped: the peer connection closed meanwhile", generation);
                self.next_offer(cx)
            }
            Err(failed) => self.failed(cx, failed),
            Ok(None) => self.answer(cx),
            Ok(Some(answer)) => self.on_answered(cx, answer),
        }
    }

    /// Both descriptions are set locally.
    fn on_answered(&mut self, cx: &mut Context, answer: String) -> Settled {
        self.step = Step::Gathering(answer);
        let wait = cx.config.dialect.candidates_first && self.new_ice;
        if wait && !self.connection.has_local() {
            cx.timers.set(Timer::FirstCandidate, cx.now + limits::FIRST_CANDIDATE);
            return Ok(());
        }
        self.on_gathered(cx)
    }

    /// The SFU description that was just set, if any.
    pub fn take_in_force(&mut self) -> Option<String> {
        self.in_force.take()
    }

    /// Sends the answer, after the candidates that must precede it.
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
        // Watch from now on: the reply may be lost, and so may the request for a new offer.
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
                // The offer is already set locally: the SFU must offer again.
                let code = if failure.kind == FailureKind::Timeout { Code::Timeout } else { Code::Network };
                self.failed(cx, OpFailed { code, closed: false, message })
            }
        }
    }

    /// An open subscriber could not answer an offer: reports it and requests a new one.
    fn failed(&mut self, cx: &mut Context, failed: OpFailed) -> Settled {
        cx.counters.offers_failed += 1;
        self.current = None;
        self.connection.failures += 1;
        // Not reported once the application has closed the subscriber.
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

    /// Requests a new offer from the SFU: by an RPC if supported, otherwise by a resume on a new socket.
    pub fn restart_ice(&self, cx: &mut Context) -> Settled {
        if !cx.config.dialect.subscriber_restart {
            return Err(Need::fast("the subscriber needs a new offer"));
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
        // The pending answer is of a new ICE generation, possibly also this candidate: send it before the answer.
        let under_way = self.connection.is_creating() || !matches!(self.step, Step::Idle | Step::Sending(_));
        let first = cx.config.dialect.candidates_first && self.new_ice && under_way;
        self.connection.on_local_candidate(cx, json, first);
        self.on_gathered(cx)
    }

    // End.

    /// Stops receiving. If the SFU would treat the subscriber's end as the participant's end, the peer connection stays
    /// until the rest is closed.
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

    /// Closes the peer connection.
    pub fn end(&mut self, cx: &mut Context) {
        self.connection.close(cx);
        self.step = Step::Idle;
    }
}
