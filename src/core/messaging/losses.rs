//! Losses of reliable data from participants: the first is reported at once, later ones are collected for a while and
//! reported together.
//! Must not know: how it was lost.

use crate::core::context::Context;
use crate::core::{limits, model::DataLost, Event};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Not reported yet.
    lost: DataLost,
    quiet_until: Duration,
}

impl Losses {
    pub fn note(&mut self, lost: DataLost) {
        self.lost.packets += lost.packets;
        self.lost.bytes += lost.bytes;
        self.lost.texts += lost.texts;
    }

    pub fn add(&mut self, cx: &mut Context, lost: DataLost) {
        self.note(lost);
        self.report(cx);
    }

    pub fn texts(&mut self, cx: &mut Context, texts: u64) {
        cx.counters.data_dropped += texts;
        self.add(cx, DataLost { texts, ..DataLost::default() });
    }

    pub fn report(&mut self, cx: &mut Context) {
        if self.quiet_until <= cx.now && self.lost != DataLost::default() {
            self.quiet_until = cx.now + limits::LOSS_INTERVAL;
            self.end(cx);
        }
    }

    pub fn next(&self) -> Option<Duration> {
        (self.lost != DataLost::default()).then_some(self.quiet_until)
    }

    /// The call ends: reports the losses that are still unreported.
    pub fn end(&mut self, cx: &mut Context) {
        if self.lost != DataLost::default() {
            cx.event(Event::DataLost(std::mem::take(&mut self.lost)));
        }
    }
}
