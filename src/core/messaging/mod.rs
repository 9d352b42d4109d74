//! Messages between participants besides media: packets (passed through), texts (reassembled) and procedure calls (with
//! deadlines). Anything late, duplicate, out of order or over a limit is dropped and counted.
//!
//! Must not know: channels, wire types.

mod losses;
mod rpc;
mod texts;

use super::context::Context;
use super::room::roster::Roster;
use super::{limits, model::*, Event};
use losses::Losses;
use rpc::Procedures;
use std::{collections::VecDeque, time::Duration};
use texts::Texts;

#[derive(Debug, Default)]
pub(super) struct Messaging {
    pub rpc: Procedures,
    texts: Texts,
    losses: Losses,
    /// The newest peer connection that delivered data.
    newest: Generation,
    /// Participants whose encrypted data was reported; the oldest first.
    encrypted: VecDeque<String>,
}

impl Messaging {
    /// The next deadline.
    pub fn next(&self) -> Option<Duration> {
        [self.rpc.next(), self.texts.next(), self.losses.next()].into_iter().flatten().min()
    }

    /// Data arrived over a peer connection: incomplete texts from older connections can no longer complete.
    pub fn came_over(&mut self, cx: &mut Context, generation: Generation) {
        if generation > self.newest {
            self.newest = generation;
            self.texts.drop_before(cx, &mut self.losses, generation);
        }
    }

    /// Messages received by a peer connection were dropped unread.
    pub fn on_unread(&mut self, cx: &mut Context, packets: u64, bytes: u64) {
        cx.counters.data_dropped += packets;
        self.losses.add(cx, DataLost { packets, bytes, texts: 0 });
    }

    pub fn on_data(&mut self, cx: &mut Context, generation: Generation, data: DataIn) {
        let DataIn { from, session_id, delivery, body } = data;
        match body {
            DataBody::Packet { .. } | DataBody::Text { .. } | DataBody::TextPart { .. } | DataBody::Dtmf { .. } => {
                cx.event(Event::Data(DataIn { from, session_id, delivery, body }))
            }
            DataBody::TextBegin { id, topic, length, attributes } => {
                let text = texts::Text::new(generation, id, from, session_id, topic, attributes, length);
                self.texts.begin(cx, &mut self.losses, text)
            }
            DataBody::TextPiece { id, index, content } => {
                self.texts.add(cx, &mut self.losses, &id, &from, index, &content)
            }
            DataBody::TextEnd { id, complete, attributes } => {
                self.texts.end(cx, &mut self.losses, &id, &from, complete, attributes)
            }
            DataBody::Encrypted => self.on_encrypted(cx, from, session_id),
            DataBody::RpcRequest { id, method, payload, timeout_ms, version } => {
                self.rpc.on_request(cx, from, id, method, payload, timeout_ms, version)
            }
            DataBody::RpcAck { id } => self.rpc.on_ack(cx, &from, &id),
            DataBody::RpcAnswer { id, answer } => self.rpc.on_answer(cx, &from, &id, answer),
        }
    }

    fn on_encrypted(&mut self, cx: &mut Context, user_id: String, session_id: String) {
        cx.counters.data_dropped += 1;
        cx.counters.data_encrypted += 1;
        if self.encrypted.contains(&user_id) {
            return;
        }
        if self.encrypted.len() >= limits::ENCRYPTED {
            self.encrypted.pop_front();
        }
        self.encrypted.push_back(user_id.clone());
        cx.event(Event::DataEncrypted { user_id, session_id });
    }

    /// Handles calls, requests and texts whose deadline has passed, and losses that are due for reporting.
    pub fn on_due(&mut self, cx: &mut Context, roster: &Roster) {
        self.texts.drop_idle(cx, &mut self.losses);
        self.losses.report(cx);
        self.rpc.on_due(cx, roster);
    }

    /// A participant has left: drops its texts and fails the calls to it.
    pub fn forget(&mut self, cx: &mut Context, user_id: &str) {
        // Reported on the next tick.
        let texts = self.texts.drop_of(user_id);
        cx.counters.data_dropped += texts;
        self.losses.note(DataLost { texts, ..DataLost::default() });
        self.encrypted.retain(|from| from != user_id);
        self.rpc.forget(cx, user_id);
    }

    /// The call ends: every procedure call gets its one result before the terminal event.
    pub fn end(&mut self, cx: &mut Context) {
        self.rpc.end(cx);
        self.losses.end(cx);
        self.texts.clear();
    }
}
