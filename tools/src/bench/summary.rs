//! The figures of the benchmark: as a file for scripts, and as a table with targets.
//!
//! Pure. Must not know: processes.

use super::{
    instructions::Instructions,
    reconnect::{Reconnects, Ways},
};
use serde::Serialize;
use std::fmt::Write;

/// Content of the file. New members may be added; names never change.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub join_ms_p50: f64,
    pub join_ms_p95: f64,
    pub first_pcm_ms_p50: f64,
    pub first_pcm_ms_p95: f64,
    pub lookup_ns: f64,
    pub cheapest_call_ns: f64,
    pub late_offer_us: f64,
    /// Longest time without a received frame, in either direction; None if the reconnect did not happen.
    pub fast_gap_ms_p50: Option<f64>,
    pub fast_gap_ms_p95: Option<f64>,
    /// From the state event of the loss to the next received frame, in the slower direction.
    pub fast_after_notice_ms_p95: Option<f64>,
    pub rejoin_gap_ms_p50: Option<f64>,
    pub rejoin_gap_ms_p95: Option<f64>,
    pub migrate_gap_ms_p50: Option<f64>,
    pub migrate_gap_ms_p95: Option<f64>,
    /// From the moment a socket becomes half open to the state event, at most.
    pub dead_socket_notice_ms: Option<f64>,
    pub leave_ms_p99: Option<f64>,
    pub leave_ms_max: Option<f64>,
    /// The same beside 20 other sessions.
    pub leave_load_ms_p99: Option<f64>,
    pub leave_load_ms_max: Option<f64>,
    #[serde(skip)]
    pub reconnects: Reconnects,
    pub library_bytes: u64,
    /// User instructions per packet without a codec; None where they cannot be counted.
    #[serde(flatten)]
    pub instructions: Option<Instructions>,
    pub sessions: Vec<Sessions>,
}

/// Target for instructions per packet of engine and sockets, as a share of the baseline's.
const INSTRUCTIONS_AIM: f64 = 0.65;

/// Many sessions in one process.
#[derive(Clone, Debug, Serialize)]
pub struct Sessions {
    pub n: u64,
    pub cpu_pct_per_session: f64,
    /// Above the level before the first session.
    pub rss_kb_per_session: f64,
    /// Allocated memory above the level before the first session.
    pub heap_kb_per_session: f64,
    /// Of the whole process.
    pub threads: u64,
    /// Of the whole process.
    pub fds: u64,
    pub late_frames_pct: f64,
    #[serde(skip)]
    pub fds_per_session: f64,
    #[serde(skip)]
    pub threads_before: u64,
    /// Time in which a thread was runnable without a core, summed over all threads, in % of the time watched. With a
    /// high value, the machine causes the late frames.
    #[serde(skip)]
    pub waited_pct: f64,
}

/// The value below which `share` (0 to 1) of the values lie, interpolated; 0 without any.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = share.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    below + (above - below) * place.fract()
}

/// The measurement is not more precise than three decimal places.
pub fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Number of reconnects measured, and their durations.
fn counted(ways: &Ways) -> String {
    format!(
        "{} measured; noticed after {:.0} ms, JOINED again {:.0} ms later (medians)",
        ways.gaps.len(),
        percentile(&ways.notices, 0.5),
        percentile(&ways.back, 0.5)
    )
}

impl Summary {
    /// The table as text.
    pub fn table(&self) -> String {
        let (mut out, mut rest) = (String::new(), String::new());
        let mut row = |what: &str, value: f64, unit: &str, limit: Option<f64>| {
            let verdict = match limit {
                None => String::new(),
                Some(limit) if value <= limit => format!("≤ {limit} {unit}: reached"),
                Some(limit) => format!("≤ {limit} {unit}: MISSED by {:.0} %", (value / limit - 1.0) * 100.0),
            };
            let _ = writeln!(out, "  {what:<34} {value:>10.2} {unit:<4} {verdict}");
        };
        row("join to JOINED, p50", self.join_ms_p50, "ms", Some(60.0));
        row("join to JOINED, p95", self.join_ms_p95, "ms", None);
        row("join to first PCM, p50", self.first_pcm_ms_p50, "ms", Some(200.0));
        row("join to first PCM, p95", self.first_pcm_ms_p95, "ms", None);
        row("handle look-up", self.lookup_ns, "ns", Some(50.0));
        row("cheapest call", self.cheapest_call_ns, "ns", None);
        row("late offer, CPU from socket to drop", self.late_offer_us, "us", None);
        let mut maybe = |what: &str, value: Option<f64>, limit: Option<f64>| match value {
            Some(value) => row(what, value, "ms", limit),
            None => {
                let _ = writeln!(rest, "  {what:<34} {:>10}", "not reached");
            }
        };
        maybe("FAST: without audio, p50", self.fast_gap_ms_p50, Some(250.0));
        maybe("FAST: without audio, p95", self.fast_gap_ms_p95, Some(500.0));
        maybe("FAST: audio after the notice, p95", self.fast_after_notice_ms_p95, Some(500.0));
        maybe("REJOIN: without audio, p50", self.rejoin_gap_ms_p50, None);
        maybe("REJOIN: without audio, p95", self.rejoin_gap_ms_p95, None);
        maybe("MIGRATE: without audio, p50", self.migrate_gap_ms_p50, None);
        maybe("MIGRATE: without audio, p95", self.migrate_gap_ms_p95, Some(100.0));
        maybe("dead socket noticed, at most", self.dead_socket_notice_ms, Some(12_000.0));
        maybe("leave, p99", self.leave_ms_p99, Some(100.0));
        maybe("leave, at most", self.leave_ms_max, Some(2000.0));
        maybe("leave beside 20 sessions, p99", self.leave_load_ms_p99, Some(100.0));
        maybe("leave beside 20 sessions, at most", self.leave_load_ms_max, Some(2000.0));
        row("library, stripped", self.library_bytes as f64 / 1e6, "MB", Some(12.0));
        if let Some(most) = self.sessions.iter().max_by_key(|s| s.n) {
            row(&format!("RSS per session at {}", most.n), most.rss_kb_per_session, "KB", Some(500.0));
            row(&format!("heap per session at {}", most.n), most.heap_kb_per_session, "KB", None);
            row(&format!("descriptors per session at {}", most.n), most.fds_per_session, "", Some(4.0));
        }
        if let Some(counted) = self.instructions {
            row("instructions per packet, engine and sockets", counted.instructions_per_packet, "", None);
            row("instructions per packet, baseline", counted.baseline_instructions_per_packet, "", None);
            row("ratio of these", counted.instructions_ratio, "", Some(INSTRUCTIONS_AIM));
            row("instructions per packet, whole library", counted.library_instructions_per_packet, "", None);
        }
        out.push_str(&rest);
        for (name, ways) in self.reconnects.ways() {
            let _ = writeln!(out, "  {name}: {}", counted(ways));
        }
        let _ = writeln!(
            out,
            "\n  {:>8} {:>14} {:>16} {:>16} {:>9} {:>16} {:>6} {:>14} {:>10}",
            "sessions",
            "CPU %/session",
            "RSS KB/session",
            "heap KB/session",
            "threads",
            "threads before",
            "fds",
            "late frames %",
            "waited %"
        );
        for s in &self.sessions {
            let _ = writeln!(
                out,
                "  {:>8} {:>14.2} {:>16.0} {:>16.0} {:>9} {:>16} {:>6} {:>14.3} {:>10.1}",
                s.n,
                s.cpu_pct_per_session,
                s.rss_kb_per_session,
                s.heap_kb_per_session,
                s.threads,
                s.threads_before,
                s.fds,
                s.late_frames_pct,
                s.waited_pct
            );
        }
        if let (Some(few), Some(many)) =
            (self.sessions.iter().min_by_key(|s| s.n), self.sessions.iter().max_by_key(|s| s.n))
        {
            let verdict = if many.threads < few.threads + (many.n - few.n).max(1) { "reached" } else { "MISSED" };
            let _ = writeln!(
                out,
                "\n  no thread per session: {verdict} ({} at {}, {} at {})",
                few.threads, few.n, many.threads, many.n
            );
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let sessions = |n, threads| Sessions {
            n,
            cpu_pct_per_session: 1.5,
            rss_kb_per_session: 400.0,
            heap_kb_per_session: 350.0,
            threads,
            fds: 10 + 3 * n,
            late_frames_pct: 0.1,
            fds_per_session: 3.0,
            threads_before: 4,
            waited_pct: 2.0,
        };
        Summary {
            join_ms_p50: 30.0,
            join_ms_p95: 50.0,
            first_pcm_ms_p50: 250.0,
            first_pcm_ms_p95: 300.0,
            lookup_ns: 20.0,
            cheapest_call_ns: 5.0,
            late_offer_us: 9.0,
            fast_gap_ms_p50: Some(21.0),
            fast_gap_ms_p95: Some(40.0),
            fast_after_notice_ms_p95: Some(30.0),
            rejoin_gap_ms_p50: Some(150.0),
            rejoin_gap_ms_p95: Some(200.0),
            migrate_gap_ms_p50: None,
            migrate_gap_ms_p95: None,
            dead_socket_notice_ms: Some(12_500.0),
            leave_ms_p99: Some(20.0),
            leave_ms_max: Some(21.0),
            leave_load_ms_p99: Some(150.0),
            leave_load_ms_max: Some(160.0),
            reconnects: Reconnects::default(),
            library_bytes: 8_000_000,
            instructions: Some(Instructions {
                instructions_per_packet: 7000.0,
                baseline_instructions_per_packet: 10_000.0,
                instructions_ratio: 0.7,
                library_instructions_per_packet: 9000.0,
            }),
            sessions: vec![sessions(1, 6), sessions(50, 7)],
        }
    }

    #[test]
    fn percentiles_are_interpolated() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&values, 0.5), 2.5);
        assert_eq!(percentile(&values, 1.0), 4.0);
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
        assert_eq!(percentile(&[7.0], 0.95), 7.0);
    }

    #[test]
    fn the_file_has_its_names_and_no_others() {
        let json = serde_json::to_value(summary()).unwrap();
        let mut keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected = "baseline_instructions_per_packet cheapest_call_ns dead_socket_notice_ms \
                        fast_after_notice_ms_p95 fast_gap_ms_p50 \
                        fast_gap_ms_p95 first_pcm_ms_p50 first_pcm_ms_p95 instructions_per_packet instructions_ratio join_ms_p50 \
                        join_ms_p95 late_offer_us \
                        leave_load_ms_max leave_load_ms_p99 leave_ms_max leave_ms_p99 library_bytes \
                        library_instructions_per_packet lookup_ns \
                        migrate_gap_ms_p50 migrate_gap_ms_p95 rejoin_gap_ms_p50 rejoin_gap_ms_p95 sessions";
        assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
        let mut keys: Vec<&str> = json["sessions"][0].as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected = "cpu_pct_per_session fds heap_kb_per_session late_frames_pct n rss_kb_per_session threads";
        assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn the_table_says_what_is_missed_and_by_how_much() {
        let table = summary().table();
        assert!(table.contains("MISSED by 25 %"), "{table}");
        assert!(table.contains("MISSED by 50 %"), "{table}");
        assert!(table.contains("≤ 0.65 : MISSED by 8 %"), "{table}");
        assert_eq!(table.matches("not reached").count(), 2, "{table}");
        assert!(table.contains("no thread per session: reached (6 at 1, 7 at 50)"), "{table}");
        let mut many = summary();
        many.sessions[1].threads = 56;
        assert!(many.table().contains("no thread per session: MISSED"));
    }
}
