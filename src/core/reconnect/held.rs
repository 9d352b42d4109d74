//! Messages received before JoinResponse: kept, within limits, and handled after it. Must not know: what they mean.

use crate::core::context::Context;
use crate::core::{limits, model::SfuMessage};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(in crate::core) struct Held(VecDeque<SfuMessage>);

fn is_offer(message: &SfuMessage) -> bool {
    matches!(message, SfuMessage::SubscriberOffer { .. })
}

impl Held {
    pub fn push(&mut self, cx: &mut Context, message: SfuMessage) {
        // Counted separately: other messages must not displace an offer, because offers are not repeated.
        let like = self.0.iter().filter(|m| is_offer(m) == is_offer(&message));
        let (count, bytes) = like.fold((0, 0), |(n, bytes), m| (n + 1, bytes + m.weight()));
        let (most, most_bytes) = match is_offer(&message) {
            true => (limits::QUEUED_OFFERS, limits::QUEUED_OFFER_BYTES),
            false => (limits::HELD_MESSAGES, limits::HELD_BYTES),
        };
        let has_room = count < most && (bytes == 0 || bytes + message.weight() <= most_bytes);
        match (has_room, is_offer(&message)) {
            (true, _) => self.0.push_back(message),
            (false, true) => cx.drop_offer("late offer dropped: too many before JoinResponse", cx.generation),
            (false, false) => cx.late(),
        }
    }

    pub fn take(&mut self) -> VecDeque<SfuMessage> {
        std::mem::take(&mut self.0)
    }

    /// The attempt that they belong to has ended.
    pub fn clear(&mut self, cx: &mut Context) {
        for message in self.take() {
            match is_offer(&message) {
                true => {
                    let why = "late offer dropped: the JoinResponse never arrived";
                    cx.drop_offer(why, cx.generation)
                }
                false => cx.late(),
            }
        }
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &SfuMessage> {
        self.0.iter()
    }
}
