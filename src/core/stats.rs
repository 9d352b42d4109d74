//! Media statistics reports to the SFU: frequent at first, then at the server's interval, and once more when leaving.
//! An unacknowledged report is included in the next one; none is sent twice.
//! Must not know: what is in a report, sockets.

use super::{context::Context, limits, model::*, Output, Timer};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Stats {
    reports: usize,
    mark: u64,
    /// Being collected.
    collecting: Option<u64>,
    /// Sent and not yet acknowledged.
    under_way: Option<(u64, u64)>,
}

impl Stats {
    /// Restarts the reports after a join or rejoin. No reports if the server sets no interval.
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
        // A slow server gets fewer reports, not a backlog.
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
