//! Rules for data between participants, whatever happens to it on its way: each procedure call is answered once, each
//! request is delivered once, nothing is delivered in part, and nothing after the end or to a closed subscriber.

use super::data::Sample;
use offhook::core::{model::*, Event, Input, Output};
use std::collections::HashSet;

#[derive(Default)]
pub struct DataCheck {
    /// Unanswered procedure calls.
    calls: HashSet<u64>,
    /// Requests delivered to the application, with their callers.
    requests: HashSet<(String, String)>,
    /// Received packets and texts, and calls that were answered with success.
    pub received: u64,
    pub answered: u64,
    ended: bool,
}

impl DataCheck {
    /// Number of unanswered procedure calls.
    pub fn waiting(&self) -> usize {
        self.calls.len()
    }

    pub fn before(&mut self, input: &Input) {
        if let (Input::CallRpc { id, .. }, false) = (input, self.ended) {
            self.calls.insert(*id);
        }
    }

    /// `deaf`: the application has left, or closed its subscriber.
    pub fn output(&mut self, output: &Output, receive_disabled: bool) -> Result<(), String> {
        let Output::Event(event) = output else { return Ok(()) };
        match event {
            Event::Data(_) | Event::RpcRequest { .. } if receive_disabled => {
                Err(format!("data for a session that has left or closed its subscriber: {event:?}"))
            }
            Event::Data(data) => {
                self.received += 1;
                Sample::judge(data)
            }
            Event::RpcRequest { id, user_id, .. } => match self.requests.insert((id.clone(), user_id.clone())) {
                true => Ok(()),
                false => Err(format!("the application is called twice by {user_id}: {id}")),
            },
            Event::RpcResponse { id, answer } => {
                self.answered += u64::from(answer.is_ok());
                if answer.as_ref().is_ok_and(|text| *text != Sample::answer(*id)) {
                    return Err(format!("procedure call {id} is answered with {answer:?}"));
                }
                match self.calls.remove(id) {
                    true => Ok(()),
                    false => Err(format!("procedure call {id} is answered twice, or was never made")),
                }
            }
            Event::Ended(_) => {
                self.ended = true;
                match self.calls.is_empty() {
                    true => Ok(()),
                    false => Err(format!("the call ends, and {:?} were never answered", self.calls)),
                }
            }
            _ => Ok(()),
        }
    }
}

/// The kind of a body, in one word.
pub fn kind(body: &DataBody) -> &'static str {
    match body {
        DataBody::Packet { .. } => "packet",
        DataBody::Text { .. } => "text",
        DataBody::TextBegin { .. }
        | DataBody::TextPiece { .. }
        | DataBody::TextEnd { .. }
        | DataBody::TextPart { .. } => "piece",
        DataBody::Dtmf { .. } => "key",
        DataBody::Encrypted => "secret",
        DataBody::RpcRequest { .. } | DataBody::RpcAck { .. } | DataBody::RpcAnswer { .. } => "rpc",
    }
}
