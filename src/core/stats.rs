//! What the SFU is told of how media flows: often at the beginning, then at the server's interval, once
//! more when leaving. A report that was not acknowledged is part of the next one; none is sent twice.
//! Must not know: what is in a report, sockets.

use super::{limits, model::*, Core, Output, Phase, Timer};
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

impl Core {
    /// In the call, or again: reports begin anew. None, when the server names no interval.
    pub(super) fn begin_stats(&mut self, now: Duration) {
        self.stats = Stats { mark: self.stats.mark, ..Stats::default() };
        self.schedule_stats(now);
    }

    fn schedule_stats(&mut self, now: Duration) {
        let asked = self.admission.as_ref().map_or(0, |a| a.stats_interval_ms);
        if asked == 0 {
            return;
        }
        let asked = Duration::from_millis(u64::from(asked)).clamp(limits::STATS_LEAST, limits::STATS_MOST);
        let wait = limits::FIRST_STATS.get(self.stats.reports).copied().unwrap_or(asked);
        self.timers.set(Timer::Stats, now + wait);
    }

    pub(super) fn on_stats_due(&mut self, now: Duration) {
        if self.phase != Phase::Joined {
            return;
        }
        self.stats.reports += 1;
        self.schedule_stats(now);
        // A slow server gets fewer reports, not a queue of them.
        if self.stats.collecting.is_none() && self.stats.under_way.is_none() {
            self.stats.mark += 1;
            let (generation, mark) = (self.generation, self.stats.mark);
            self.stats.collecting = Some(mark);
            self.out(Output::CollectStats { generation, mark });
        }
    }

    pub(super) fn on_stats(&mut self, generation: Generation, mark: u64, publisher: String, subscriber: String) {
        if !self.is_current(generation) || self.phase != Phase::Joined || self.stats.collecting != Some(mark) {
            return self.late();
        }
        self.stats.collecting = None;
        let id = self.rpc(RpcCall::SendStats {
            session_id: self.session_id.clone(),
            unified_session_id: self.unified_session_id.clone(),
            subscriber_stats: subscriber,
            publisher_stats: publisher,
        });
        self.stats.under_way = Some((id, mark));
    }

    pub(super) fn on_stats_told(&mut self, id: u64, ok: bool) {
        let Some((_, mark)) = self.stats.under_way.take_if(|(i, _)| *i == id) else { return self.late() };
        if ok {
            self.out(Output::CommitStats { mark });
        }
    }
}
