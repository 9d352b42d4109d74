//! Procedure calls between participants, both ways, each with one answer. Must not know: channels, wire types.

use crate::core::context::Context;
use crate::core::room::roster::Roster;
use crate::core::{limits, model::*, Event, Output};
use std::{collections::VecDeque, time::Duration};

#[derive(Debug, Default)]
pub(in crate::core) struct Procedures {
    calls: Vec<Call>,
    /// Requests from remote participants that the application has not answered.
    requests: Vec<Request>,
    /// Requests that were answered or have expired: id and caller. Suppresses duplicates.
    done: VecDeque<(String, String)>,
    /// Last time to acknowledgement, by participant.
    round_trips: Vec<(String, Duration)>,
}

/// A procedure call made by the application.
#[derive(Debug)]
struct Call {
    id: u64,
    wire_id: String,
    to: String,
    acked: bool,
    asked_at: Duration,
    ack_by: Duration,
    answer_by: Duration,
}

#[derive(Debug)]
struct Request {
    id: String,
    from: String,
    /// When its caller stops waiting.
    until: Duration,
}

impl Call {
    fn due(&self) -> Duration {
        match self.acked {
            true => self.answer_by,
            false => self.ack_by.min(self.answer_by),
        }
    }
}

fn failure(code: u32, message: &str) -> RpcFailure {
    RpcFailure { code, message: message.to_owned(), data: String::new() }
}

fn send(cx: &mut Context, to: &str, body: DataBody) {
    let message = DataOut { to: vec![to.to_owned()], delivery: Delivery::Reliable, body };
    cx.out(Output::SendData(message));
}

impl Procedures {
    /// When the next call or request expires.
    pub fn next(&self) -> Option<Duration> {
        self.calls.iter().map(Call::due).chain(self.requests.iter().map(|r| r.until)).min()
    }

    fn settle(&mut self, id: String, from: String) {
        // A participant with many requests evicts only its oldest entries.
        if self.done.iter().filter(|(_, f)| *f == from).count() >= limits::RPC_CALLS {
            let oldest = self.done.iter().position(|(_, f)| *f == from);
            oldest.and_then(|at| self.done.remove(at));
        }
        if self.done.len() >= limits::RPC_REQUESTS {
            self.done.pop_front();
        }
        self.done.push_back((id, from));
    }

    /// Round-trip time to a participant: the last measurement, or else the longest of any other participant.
    fn round_trip(&self, to: &str) -> Duration {
        let known = self.round_trips.iter().find(|(user_id, _)| user_id == to);
        let longest = || self.round_trips.iter().map(|(_, took)| *took).max();
        known.map(|(_, took)| *took).or_else(longest).unwrap_or_default()
    }

    fn measured(&mut self, to: &str, took: Duration) {
        self.round_trips.retain(|(user_id, _)| user_id != to);
        if self.round_trips.len() >= limits::RPC_CALLS {
            self.round_trips.remove(0);
        }
        self.round_trips.push((to.to_owned(), took));
    }

    // Outgoing calls.

    /// Why a call cannot be made, if so. `closed`: there is no publisher or no subscriber.
    pub fn refusal(&self, cx: &Context, closed: bool) -> Option<RpcFailure> {
        let why = if !cx.is_open() {
            "the call is leaving or has ended"
        } else if closed {
            "the publisher sends it and the subscriber receives the answer; one of them is closed"
        } else if cx.grants.is_some_and(|g| !g.data) {
            "this participant has no right to send data in this call"
        } else if self.calls.len() >= limits::RPC_CALLS {
            "too many procedure calls are pending"
        } else {
            return None;
        };
        Some(failure(rpc_codes::SEND_FAILED, why))
    }

    #[allow(clippy::too_many_arguments)]
    pub fn call(
        &mut self,
        cx: &mut Context,
        roster: &Roster,
        id: u64,
        to: String,
        method: String,
        payload: String,
        timeout: Duration,
    ) {
        let wire_id = cx.rng.uuid();
        let left = timeout.saturating_sub(self.round_trip(&to)).max(limits::RPC_LEAST.min(timeout));
        let timeout_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
        let body = DataBody::RpcRequest { id: wire_id.clone(), method, payload, timeout_ms, version: 1 };
        send(cx, &to, body);
        let ack = if roster.has_user(&to) { limits::RPC_ACK } else { limits::RPC_ACK_UNKNOWN };
        let (ack_by, answer_by) = (cx.now + ack, cx.now + timeout);
        self.calls.push(Call { id, wire_id, to, acked: false, asked_at: cx.now, ack_by, answer_by });
    }

    pub fn on_ack(&mut self, cx: &mut Context, from: &str, id: &str) {
        let call = self.calls.iter_mut().find(|c| c.wire_id == id && c.to == from && !c.acked);
        let Some(call) = call else { return cx.late() };
        call.acked = true;
        let took = cx.now.saturating_sub(call.asked_at);
        self.measured(from, took);
    }

    pub fn on_answer(&mut self, cx: &mut Context, from: &str, id: &str, answer: Result<String, RpcFailure>) {
        let index = self.calls.iter().position(|c| c.wire_id == id && c.to == from);
        let Some(index) = index else { return cx.late() };
        let id = self.calls.swap_remove(index).id;
        cx.event(Event::RpcResponse { id, answer });
    }

    // Incoming requests.

    /// True if the request is valid and not a duplicate.
    pub fn is_new(&self, from: &str, id: &str) -> bool {
        let waits = self.requests.iter().any(|r| r.id == id && r.from == from);
        let done = self.done.iter().any(|(i, f)| (i.as_str(), f.as_str()) == (id, from));
        !(id.is_empty() || from.is_empty() || waits || done)
    }

    #[allow(clippy::too_many_arguments)]
    pub fn on_request(
        &mut self,
        cx: &mut Context,
        from: String,
        id: String,
        method: String,
        payload: String,
        timeout_ms: u32,
        version: u32,
    ) {
        if !self.is_new(&from, &id) {
            return cx.late();
        }
        let pending = self.requests.iter().filter(|r| r.from == from).count();
        if pending >= limits::RPC_CALLS || self.requests.len() >= limits::RPC_REQUESTS {
            cx.counters.data_dropped += 1;
            let answer = Err(failure(rpc_codes::APPLICATION, "too many procedure calls are waiting for an answer"));
            return send(cx, &from, DataBody::RpcAnswer { id, answer });
        }
        send(cx, &from, DataBody::RpcAck { id: id.clone() });
        if version > 1 {
            let answer =
                Err(failure(rpc_codes::UNSUPPORTED_VERSION, "this version of procedure calls is not supported"));
            return send(cx, &from, DataBody::RpcAnswer { id, answer });
        }
        // Other clients send a shorter timeout than they wait: accept an answer for as long as the caller may wait.
        let sent_timeout = Duration::from_millis(u64::from(timeout_ms.clamp(1_000, 600_000)));
        let until = cx.now + sent_timeout + limits::RPC_KEPT_BACK;
        self.requests.push(Request { id: id.clone(), from: from.clone(), until });
        cx.event(Event::RpcRequest { id, user_id: from, method, payload, timeout_ms });
    }

    /// The application answers.
    pub fn answer(&mut self, cx: &mut Context, id: String, answer: Result<String, RpcFailure>) {
        let index = self.requests.iter().position(|r| r.id == id);
        // While leaving there is no channel for it.
        let Some(index) = index.filter(|_| cx.is_open()) else { return cx.late() };
        let request = self.requests.swap_remove(index);
        self.settle(request.id, request.from.clone());
        send(cx, &request.from, DataBody::RpcAnswer { id, answer });
    }

    // Expiry and cleanup.

    pub fn on_due(&mut self, cx: &mut Context, roster: &Roster) {
        while let Some(index) = self.requests.iter().position(|r| r.until <= cx.now) {
            let Request { id, from, .. } = self.requests.swap_remove(index);
            self.settle(id, from);
        }
        while let Some(index) = self.calls.iter().position(|c| c.due() <= cx.now) {
            let mut call = self.calls.swap_remove(index);
            let here = call.acked || roster.has_user(&call.to);
            let (acks_by, over) = (call.asked_at + limits::RPC_ACK, call.answer_by <= cx.now);
            if here && !over && call.ack_by < acks_by {
                // The participant has joined since, and may still receive it.
                call.ack_by = acks_by;
                self.calls.push(call);
                continue;
            }
            let failed = match (here, over) {
                (false, _) => {
                    failure(rpc_codes::RECIPIENT_NOT_FOUND, "no participant with this user id is in the call")
                }
                (true, true) => failure(rpc_codes::RESPONSE_TIMEOUT, "no answer within the timeout"),
                (true, false) => {
                    failure(rpc_codes::CONNECTION_TIMEOUT, "the participant did not acknowledge the procedure call")
                }
            };
            cx.event(Event::RpcResponse { id: call.id, answer: Err(failed) });
        }
    }

    /// A participant has left.
    pub fn forget(&mut self, cx: &mut Context, user_id: &str) {
        self.round_trips.retain(|(to, _)| to != user_id);
        while let Some(index) = self.requests.iter().position(|r| r.from == user_id) {
            let Request { id, from, .. } = self.requests.swap_remove(index);
            self.settle(id, from);
        }
        while let Some(index) = self.calls.iter().position(|c| c.to == user_id) {
            let id = self.calls.swap_remove(index).id;
            let failed = failure(rpc_codes::RECIPIENT_DISCONNECTED, "the participant has left");
            cx.event(Event::RpcResponse { id, answer: Err(failed) });
        }
    }

    /// The call ends.
    pub fn end(&mut self, cx: &mut Context) {
        for call in std::mem::take(&mut self.calls) {
            let failed = failure(rpc_codes::SEND_FAILED, "the call has ended");
            cx.event(Event::RpcResponse { id: call.id, answer: Err(failed) });
        }
        self.requests.clear();
        self.done.clear();
    }
}
