//! What the SFU is told of how media flows: often at the beginning, then at the server's interval, once
//! more when leaving. A report that was not acknowledged is part of the next one; none is sent twice.
//! Must not know: what is in a report, sockets.

use super::{context::Context, limits, model::*, Output, Timer};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Stats {
    reports: usize,
    mark: u64,
    /// Being put together.
    collecting: Option<u64>,
    /// Sent, and not acknowledged.
    under_way: Option<(u64, u64)>,
}

impl Stats {
    /// In the call, or again: reports begin anew. None, when the server names no interval.
    pub fn begin(&mut self, cx: &mut Context) {
        *self = Self { mark: self.mark, ..Self::default() };
        self.schedule(cx);
    }

    fn schedule(&self, cx: &mut Context) {
        let asked = cx.admission.as_ref().map_or(0, |a| a.stats_interval_ms);
        if asked == 0 {
            return;
        }
        let asked = Duration::from_millis(u64::from(asked)).clamp(limits::STATS_LEAST, limits::STATS_MOST);
        let wait = limits::FIRST_STATS.get(self.reports).copied().unwrap_or(asked);
        cx.timers.set(Timer::Stats, cx.now + wait);
    }

    pub fn on_due(&mut self, cx: &mut Context) {
        if !cx.is_joined() {
            return;
        }
        self.reports += 1;
        self.schedule(cx);
        // A slow server gets fewer reports, not a queue of them.
        if self.collecting.is_none() && self.under_way.is_none() {
            self.mark += 1;
            self.collecting = Some(self.mark);
            cx.out(Output::CollectStats { generation: cx.generation, mark: self.mark });
        }
    }

    pub fn on_collected(
        &mut self,
        cx: &mut Context,
        generation: Generation,
        mark: u64,
        publisher_stats: String,
        subscriber_stats: String,
    ) {
        if !cx.is_current(generation) || !cx.is_joined() || self.collecting != Some(mark) {
            return cx.late();
        }
        self.collecting = None;
        let (session_id, unified_session_id) = (cx.session_id.clone(), cx.unified_session_id.clone());
        let call = RpcCall::SendStats { session_id, unified_session_id, subscriber_stats, publisher_stats };
        self.under_way = Some((cx.request(call), mark));
    }

    pub fn on_reply(&mut self, cx: &mut Context, id: u64, ok: bool) {
        let Some((_, mark)) = self.under_way.take_if(|(i, _)| *i == id) else { return cx.late() };
        if ok {
            cx.out(Output::CommitStats { mark });
        }
    }
}
