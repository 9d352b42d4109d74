//! What participants send each other: packets as they are, texts put together, procedure calls with their
//! deadlines. Whatever is late, doubled, out of order or too much is dropped and counted.
//!
//! Must not know: channels, wire types.

use super::{limits, model::*, Core, Event, Output};
use std::{collections::VecDeque, time::Duration};

#[derive(Debug, Default)]
pub(super) struct Data {
    /// The application sends: the publisher is kept for it, too.
    pub(super) wanted: bool,
    calls: Vec<Call>,
    /// Requests of others that the application has not answered.
    requests: Vec<Request>,
    /// Those that were answered or are too old: id and caller. Told once, whatever comes twice.
    done: VecDeque<(String, String)>,
    /// The oldest first.
    texts: Vec<Text>,
}

/// A procedure call of the application's.
#[derive(Debug)]
struct Call {
    id: u64,
    wire_id: String,
    to: String,
    acked: bool,
    ack_by: Duration,
    answer_by: Duration,
}

#[derive(Debug)]
struct Request {
    id: String,
    from: String,
    until: Duration,
}

/// A text of which pieces have come.
#[derive(Debug)]
struct Text {
    id: String,
    from: String,
    session_id: String,
    topic: String,
    next: u64,
    bytes: Vec<u8>,
    /// What its sender promised.
    length: Option<u64>,
}

impl Call {
    fn due(&self) -> Duration {
        match self.acked {
            true => self.answer_by,
            false => self.ack_by.min(self.answer_by),
        }
    }
}

impl Data {
    fn settle(&mut self, id: String, from: String) {
        if self.done.len() >= limits::RPC_CALLS {
            self.done.pop_front();
        }
        self.done.push_back((id, from));
    }

    /// When something is over.
    pub fn next(&self) -> Option<Duration> {
        let calls = self.calls.iter().map(Call::due);
        calls.chain(self.requests.iter().map(|r| r.until)).min()
    }
}

fn failure(code: u32, message: &str) -> RpcFailure {
    RpcFailure { code, message: message.to_owned(), data: String::new() }
}

impl Core {
    pub(super) fn on_want_data(&mut self, now: Duration) {
        if self.config.dialect.data_channels && self.is_open() && !self.data.wanted {
            self.data.wanted = true;
            self.publisher_wants_channels(now);
        }
    }

    pub(super) fn on_data(&mut self, generation: Generation, now: Duration, data: DataIn) {
        if Some(generation) != self.transport || !self.subscriber_open() || self.subscriber.deaf {
            return self.late();
        }
        let DataIn { from, session_id, delivery, body } = data;
        match body {
            DataBody::Packet { .. } | DataBody::Text { .. } => {
                self.event(Event::Data(DataIn { from, session_id, delivery, body }))
            }
            DataBody::TextBegin { id, topic, length } => self.text_begins(id, from, session_id, topic, length),
            DataBody::TextPiece { id, index, content } => self.text_goes_on(&id, &from, index, &content),
            DataBody::TextEnd { id, complete } => self.text_ends(&id, &from, complete),
            DataBody::RpcRequest { id, method, payload, timeout_ms, version } => {
                self.on_rpc_request(now, from, id, method, payload, timeout_ms, version)
            }
            DataBody::RpcAck { id } => match self.data.calls.iter_mut().find(|c| c.wire_id == id && c.to == from) {
                Some(call) => call.acked = true,
                None => self.late(),
            },
            DataBody::RpcAnswer { id, answer } => {
                let index = self.data.calls.iter().position(|c| c.wire_id == id && c.to == from);
                let Some(index) = index else { return self.late() };
                let id = self.data.calls.swap_remove(index).id;
                self.event(Event::RpcResponse { id, answer });
            }
        }
    }

    fn text_begins(&mut self, id: String, from: String, session_id: String, topic: String, length: Option<u64>) {
        let known = self.data.texts.iter().any(|t| t.id == id && t.from == from);
        let too_long = length.is_some_and(|l| l > limits::TEXT_BYTES as u64);
        if known || too_long {
            self.counters.data_dropped += 1;
            return;
        }
        if self.data.texts.len() >= limits::TEXTS {
            // The oldest may never end; it must not be in the way of the others.
            self.drop_text(0);
        }
        self.data.texts.push(Text { id, from, session_id, topic, next: 0, bytes: Vec::new(), length });
    }

    fn text_goes_on(&mut self, id: &str, from: &str, index: u64, content: &[u8]) {
        let Some(at) = self.data.texts.iter().position(|t| t.id == id && t.from == from) else {
            return self.late();
        };
        let next = self.data.texts[at].next;
        if index < next {
            // Once more: it is there already.
            return self.late();
        }
        let Some(at) = (index == next).then(|| self.room_for_text(at, content.len())).flatten() else {
            return self.drop_text(at);
        };
        let text = &mut self.data.texts[at];
        text.next += 1;
        text.bytes.extend_from_slice(content);
    }

    /// Where the text is after older ones have made room for so many bytes of it; `None`: it is too large itself.
    fn room_for_text(&mut self, mut at: usize, more: usize) -> Option<usize> {
        if self.data.texts[at].bytes.len() + more > limits::TEXT_BYTES {
            return None;
        }
        while self.data.texts.iter().map(|t| t.bytes.len()).sum::<usize>() + more > limits::TEXT_BYTES {
            let oldest = usize::from(at == 0);
            self.drop_text(oldest);
            at -= usize::from(oldest < at);
        }
        Some(at)
    }

    fn drop_text(&mut self, at: usize) {
        self.data.texts.remove(at);
        self.counters.data_dropped += 1;
    }

    /// The channels on which texts were coming are gone: what is missing of them never comes.
    pub(super) fn drop_texts(&mut self) {
        self.counters.data_dropped += self.data.texts.len() as u64;
        self.data.texts.clear();
    }

    fn text_ends(&mut self, id: &str, from: &str, complete: bool) {
        let Some(at) = self.data.texts.iter().position(|t| t.id == id && t.from == from) else {
            return self.late();
        };
        let text = self.data.texts.remove(at);
        let whole = complete && text.length.is_none_or(|l| l == text.bytes.len() as u64);
        let Some(content) = whole.then(|| String::from_utf8(text.bytes).ok()).flatten() else {
            self.counters.data_dropped += 1;
            return;
        };
        let body = DataBody::Text { id: text.id, topic: text.topic, text: content };
        let data = DataIn { from: text.from, session_id: text.session_id, delivery: Delivery::Reliable, body };
        self.event(Event::Data(data));
    }

    #[allow(clippy::too_many_arguments)]
    fn on_rpc_request(
        &mut self,
        now: Duration,
        from: String,
        id: String,
        method: String,
        payload: String,
        timeout_ms: u32,
        version: u32,
    ) {
        let waits = self.data.requests.iter().any(|r| r.id == id && r.from == from);
        let done = self.data.done.iter().any(|(i, f)| (i, f) == (&id, &from));
        if id.is_empty() || from.is_empty() || waits || done {
            return self.late();
        }
        if self.data.requests.len() >= limits::RPC_CALLS {
            self.counters.data_dropped += 1;
            return;
        }
        // An answer goes the same way as what the application sends.
        self.on_want_data(now);
        self.say(&from, DataBody::RpcAck { id: id.clone() });
        if version > 1 {
            let answer = Err(failure(rpc_codes::UNSUPPORTED_VERSION, "this version of procedure calls is not known"));
            return self.say(&from, DataBody::RpcAnswer { id, answer });
        }
        let until = now + Duration::from_millis(u64::from(timeout_ms.clamp(1_000, 600_000)));
        self.data.requests.push(Request { id: id.clone(), from: from.clone(), until });
        self.event(Event::RpcRequest { id, user_id: from, method, payload, timeout_ms });
    }

    fn say(&mut self, to: &str, body: DataBody) {
        let message = DataOut { to: vec![to.to_owned()], delivery: Delivery::Reliable, body };
        self.out(Output::SendData(message));
    }

    pub(super) fn on_call_rpc(
        &mut self,
        now: Duration,
        id: u64,
        to: String,
        method: String,
        payload: String,
        timeout: Duration,
    ) {
        let refusal = if !self.is_open() {
            Some(failure(rpc_codes::SEND_FAILED, "the call is leaving or over"))
        } else if self.publisher.is_gone() || self.subscriber.is_gone() {
            Some(failure(
                rpc_codes::SEND_FAILED,
                "it goes out by the publisher and comes back by the subscriber; one is closed",
            ))
        } else if self.data.calls.len() >= limits::RPC_CALLS {
            Some(failure(rpc_codes::SEND_FAILED, "too many procedure calls are under way"))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.event(Event::RpcResponse { id, answer: Err(refusal) });
        }
        self.on_want_data(now);
        let wire_id = self.rng.uuid();
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let body = DataBody::RpcRequest { id: wire_id.clone(), method, payload, timeout_ms, version: 1 };
        self.say(&to, body);
        let (ack_by, answer_by) = (now + limits::RPC_ACK, now + timeout);
        self.data.calls.push(Call { id, wire_id, to, acked: false, ack_by, answer_by });
    }

    pub(super) fn on_answer_rpc(&mut self, id: String, answer: Result<String, RpcFailure>) {
        let index = self.data.requests.iter().position(|r| r.id == id);
        // While leaving there is no channel for it any more.
        let Some(index) = index.filter(|_| self.is_open()) else { return self.late() };
        let request = self.data.requests.swap_remove(index);
        self.data.settle(request.id, request.from.clone());
        self.say(&request.from, DataBody::RpcAnswer { id, answer });
    }

    /// Calls and requests whose time is up.
    pub(super) fn on_data_due(&mut self, now: Duration) {
        while let Some(index) = self.data.requests.iter().position(|r| r.until <= now) {
            let Request { id, from, .. } = self.data.requests.swap_remove(index);
            self.data.settle(id, from);
        }
        while let Some(index) = self.data.calls.iter().position(|c| c.due() <= now) {
            let call = self.data.calls.swap_remove(index);
            let failed = match call.acked || call.answer_by <= call.ack_by {
                true => failure(rpc_codes::RESPONSE_TIMEOUT, "no answer within the time given"),
                false => failure(rpc_codes::CONNECTION_TIMEOUT, "the participant does not hear procedure calls"),
            };
            self.event(Event::RpcResponse { id: call.id, answer: Err(failed) });
        }
    }

    /// Who has left does not answer, and nobody waits for their texts.
    pub(super) fn forget_data_of(&mut self, user_id: &str) {
        if self.roster.iter().any(|p| p.user_id == user_id) {
            return;
        }
        self.data.texts.retain(|t| t.from != user_id);
        while let Some(index) = self.data.requests.iter().position(|r| r.from == user_id) {
            let Request { id, from, .. } = self.data.requests.swap_remove(index);
            self.data.settle(id, from);
        }
        while let Some(index) = self.data.calls.iter().position(|c| c.to == user_id) {
            let id = self.data.calls.swap_remove(index).id;
            let failed = failure(rpc_codes::RECIPIENT_DISCONNECTED, "the participant has left");
            self.event(Event::RpcResponse { id, answer: Err(failed) });
        }
    }

    /// The call ends: each procedure call gets its one answer before the terminal event.
    pub(super) fn end_data(&mut self) {
        for call in std::mem::take(&mut self.data.calls) {
            let failed = failure(rpc_codes::SEND_FAILED, "the call has ended");
            self.event(Event::RpcResponse { id: call.id, answer: Err(failed) });
        }
        self.data.texts.clear();
        self.data.requests.clear();
        self.data.done.clear();
    }
}
