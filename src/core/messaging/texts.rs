//! Texts of participants, reassembled from their pieces. A text is delivered whole, and in parts as it arrives if so
//! configured.
//!
//! Each sender has a limit, and all senders share one: the sender with the largest share makes room, with its own
//! oldest text. A lost text is counted and reported. Must not know: channels, wire types.

use super::losses::Losses;
use crate::core::context::Context;
use crate::core::{limits, model::*, Event};
use std::{collections::HashMap, time::Duration};

/// An incomplete text.
#[derive(Debug)]
pub(super) struct Text {
    /// The peer connection that carries it.
    generation: Generation,
    id: String,
    from: String,
    session_id: String,
    topic: String,
    attributes: Attributes,
    next: u64,
    bytes: Vec<u8>,
    /// Bytes already delivered in parts.
    delivered: usize,
    /// The length announced by its sender.
    length: Option<u64>,
    /// Dropped if nothing arrives by then.
    idle_at: Duration,
}

/// Memory cost of a text without its content: an empty text counts too.
fn cost(id: &str, topic: &str, attributes: &Attributes) -> usize {
    256 + id.len() + topic.len() + attributes.iter().map(|(name, value)| 64 + name.len() + value.len()).sum::<usize>()
}

impl Text {
    pub fn new(
        generation: Generation,
        id: String,
        from: String,
        session_id: String,
        topic: String,
        attributes: Attributes,
        length: Option<u64>,
    ) -> Self {
        let (next, bytes, delivered, idle_at) = (0, Vec::new(), 0, Duration::ZERO);
        Self { generation, id, from, session_id, topic, attributes, next, bytes, delivered, length, idle_at }
    }

    fn cost(&self) -> usize {
        self.bytes.len() + cost(&self.id, &self.topic, &self.attributes)
    }

    fn is(&self, id: &str, from: &str) -> bool {
        self.id == id && self.from == from
    }
}

/// The incomplete texts, oldest first.
#[derive(Debug, Default)]
pub(super) struct Texts {
    all: Vec<Text>,
    bytes: usize,
}

impl Texts {
    /// When the first text reaches its idle timeout.
    pub fn next(&self) -> Option<Duration> {
        self.all.iter().map(|text| text.idle_at).min()
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn find(&self, id: &str, from: &str) -> Option<usize> {
        self.all.iter().position(|text| text.is(id, from))
    }

    fn take(&mut self, at: usize) -> Text {
        let text = self.all.remove(at);
        self.bytes -= text.cost();
        text
    }

    /// Removes the texts that match `gone`; returns how many.
    fn take_all(&mut self, gone: impl Fn(&Text) -> bool) -> u64 {
        let before = self.all.len();
        self.all.retain(|text| !gone(text));
        self.bytes = self.all.iter().map(Text::cost).sum();
        (before - self.all.len()) as u64
    }

    /// Number of texts and bytes of one sender.
    fn share(&self, from: &str) -> (usize, usize) {
        let texts = self.all.iter().filter(|text| text.from == from);
        texts.fold((0, 0), |(count, bytes), text| (count + 1, bytes + text.cost()))
    }

    /// The text to drop so that `more` (texts, bytes) of a sender fit; never its text `but`. `None`: everything fits.
    /// `Some(None)`: only `but` itself is left to drop.
    fn victim(&self, from: &str, more: (usize, usize), but: Option<&str>) -> Option<Option<usize>> {
        let oldest = |of: &str| {
            let removable = |text: &Text| text.from == of && !but.is_some_and(|id| text.is(id, from));
            self.all.iter().position(removable)
        };
        let (count, bytes) = self.share(from);
        let (count, bytes) = (count + more.0, bytes + more.1);
        if count > limits::TEXTS || bytes > limits::SENDER_BYTES {
            return Some(oldest(from));
        }
        let too_many = self.all.len() + more.0 > limits::ALL_TEXTS;
        if !too_many && self.bytes + more.1 <= limits::ALL_TEXT_BYTES {
            return None;
        }
        let mut shares = HashMap::new();
        for text in &self.all {
            *shares.entry(text.from.as_str()).or_insert(0) += if too_many { 1 } else { text.cost() };
        }
        // On equal shares the requesting sender drops its own text.
        let requested = if too_many { count } else { bytes };
        let greedy = shares.into_iter().filter(|(_, share)| *share > requested).max_by_key(|(of, share)| (*share, *of));
        Some(oldest(greedy.map_or(from, |(greedy, _)| greedy)))
    }

    /// Makes room for a new text of a sender (`but` is `None`), or for more of its text `but`; false if there is no
    /// room.
    fn make_room(
        &mut self,
        cx: &mut Context,
        losses: &mut Losses,
        from: &str,
        more: (usize, usize),
        but: Option<&str>,
    ) -> bool {
        while let Some(victim) = self.victim(from, more, but) {
            let Some(at) = victim else { return false };
            self.take(at);
            losses.texts(cx, 1);
        }
        true
    }

    /// Drops texts from closed peer connections: their missing pieces never arrive.
    pub fn drop_before(&mut self, cx: &mut Context, losses: &mut Losses, generation: Generation) {
        let lost = self.take_all(|text| text.generation < generation);
        losses.texts(cx, lost);
    }

    /// Drops the texts of a participant who has left; returns how many.
    pub fn drop_of(&mut self, user_id: &str) -> u64 {
        self.take_all(|text| text.from == user_id)
    }

    pub fn drop_idle(&mut self, cx: &mut Context, losses: &mut Losses) {
        let now = cx.now;
        let lost = self.take_all(|text| text.idle_at <= now);
        losses.texts(cx, lost);
    }

    pub fn begin(&mut self, cx: &mut Context, losses: &mut Losses, mut text: Text) {
        if self.find(&text.id, &text.from).is_some() {
            // Duplicate.
            return cx.late();
        }
        let too_long = text.length.is_some_and(|l| l > limits::TEXT_BYTES as u64);
        let cost = text.cost();
        if too_long || !self.make_room(cx, losses, &text.from, (1, cost), None) {
            return losses.texts(cx, 1);
        }
        text.idle_at = cx.now + limits::TEXT_IDLE;
        self.bytes += cost;
        self.all.push(text);
    }

    pub fn add(&mut self, cx: &mut Context, losses: &mut Losses, id: &str, from: &str, index: u64, content: &[u8]) {
        let Some(at) = self.find(id, from) else { return cx.late() };
        let text = &self.all[at];
        if index < text.next {
            // Duplicate.
            return cx.late();
        }
        let fits = index == text.next && text.bytes.len() + content.len() <= limits::TEXT_BYTES;
        let fits = fits && self.make_room(cx, losses, from, (0, content.len()), Some(id));
        // Making room may have removed older texts.
        let Some(at) = self.find(id, from) else { return cx.late() };
        if !fits {
            self.take(at);
            return losses.texts(cx, 1);
        }
        self.bytes += content.len();
        let text = &mut self.all[at];
        text.next += 1;
        text.bytes.extend_from_slice(content);
        text.idle_at = cx.now + limits::TEXT_IDLE;
        if cx.config.partial_texts {
            self.deliver_part(cx, losses, at);
        }
    }

    /// Delivers the new complete characters; an incomplete one waits for its remaining bytes.
    fn deliver_part(&mut self, cx: &mut Context, losses: &mut Losses, at: usize) {
        let text = &mut self.all[at];
        let fresh = &text.bytes[text.delivered..];
        let whole = match std::str::from_utf8(fresh) {
            Ok(part) => part.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                self.take(at);
                return losses.texts(cx, 1);
            }
        };
        let part = String::from_utf8_lossy(&fresh[..whole]).into_owned();
        if part.is_empty() {
            return;
        }
        let offset = text.delivered as u64;
        text.delivered += whole;
        let (id, topic, attributes) = (text.id.clone(), text.topic.clone(), text.attributes.clone());
        let body = DataBody::TextPart { id, topic, text: part, attributes, offset };
        let (from, session_id) = (text.from.clone(), text.session_id.clone());
        cx.event(Event::Data(DataIn { from, session_id, delivery: Delivery::Reliable, body }));
    }

    pub fn end(
        &mut self,
        cx: &mut Context,
        losses: &mut Losses,
        id: &str,
        from: &str,
        complete: bool,
        attributes: Attributes,
    ) {
        let Some(at) = self.find(id, from) else { return cx.late() };
        let mut text = self.take(at);
        let whole = complete && text.length.is_none_or(|l| l == text.bytes.len() as u64);
        let Some(content) = whole.then(|| String::from_utf8(text.bytes).ok()).flatten() else {
            return losses.texts(cx, 1);
        };
        text.attributes.extend(attributes);
        let body = DataBody::Text { id: text.id, topic: text.topic, text: content, attributes: text.attributes };
        let data = DataIn { from: text.from, session_id: text.session_id, delivery: Delivery::Reliable, body };
        cx.event(Event::Data(data));
    }
}
