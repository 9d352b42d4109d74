//! The figures of the comparison on LiveKit: as a member of the summary, and as a table with targets.
//!
//! Pure. Must not know: processes.

use super::summary::percentile;
use serde::{ser::SerializeMap, Serialize, Serializer};
use std::fmt::Write;

/// Targets, as shares of the official client's figures.
const CPU_AIM: f64 = 0.47;
const MEMORY_AIM: f64 = 0.25;
/// Target for resident memory per session, in KB, with the most sessions.
const RSS_AIM: f64 = 640.0;
/// With more late frames than this (in %) the machine was overloaded, and CPU figures are meaningless: a client that
/// does less work uses less CPU.
const MOST_LATE: f64 = 5.0;

/// One run of one worker. Figures are for the whole process unless the name says otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Run {
    pub cpu_pct_per_session: f64,
    /// Without threads that run only the official client's Python; equal where there are none.
    pub cpu_native_pct_per_session: f64,
    /// Above the level before the first session.
    pub rss_kb_per_session: f64,
    /// Allocated memory above the level before the first session; NaN if the worker does not report it.
    pub heap_kb_per_session: f64,
    pub rss_kb: f64,
    pub rss_kb_idle: f64,
    pub threads: f64,
    pub threads_idle: f64,
    pub fds: f64,
    pub fds_per_session: f64,
    pub join_ms_p50: f64,
    pub join_ms_p95: f64,
    pub late_frames_pct: f64,
    /// Time in which a thread was runnable without a core, summed over all threads, in % of the time watched.
    pub waited_pct: f64,
}

type Figure = (&'static str, fn(&Run) -> f64);

const FIGURES: [Figure; 14] = [
    ("cpu_pct_per_session", |r| r.cpu_pct_per_session),
    ("cpu_native_pct_per_session", |r| r.cpu_native_pct_per_session),
    ("rss_kb_per_session", |r| r.rss_kb_per_session),
    ("heap_kb_per_session", |r| r.heap_kb_per_session),
    ("rss_kb", |r| r.rss_kb),
    ("rss_kb_idle", |r| r.rss_kb_idle),
    ("threads", |r| r.threads),
    ("threads_idle", |r| r.threads_idle),
    ("fds", |r| r.fds),
    ("fds_per_session", |r| r.fds_per_session),
    ("join_ms_p50", |r| r.join_ms_p50),
    ("join_ms_p95", |r| r.join_ms_p95),
    ("late_frames_pct", |r| r.late_frames_pct),
    ("waited_pct", |r| r.waited_pct),
];

impl Run {
    /// Short form for progress output.
    pub fn line(&self) -> String {
        format!(
            "{:.2} % CPU and {:.0} KB per session, {:.2} % late",
            self.cpu_pct_per_session, self.rss_kb_per_session, self.late_frames_pct
        )
    }
}

/// All runs of one client with one number of sessions; written as median and range of each figure.
#[derive(Clone, Debug, Default)]
pub struct Side {
    pub runs: Vec<Run>,
    /// Errors of the failed runs.
    pub failures: Vec<String>,
}

impl Side {
    fn values(&self, of: fn(&Run) -> f64) -> Vec<f64> {
        self.runs.iter().map(of).collect()
    }

    fn median(&self, of: fn(&Run) -> f64) -> f64 {
        percentile(&self.values(of), 0.5)
    }

    /// The median and, if they differ, least and greatest.
    fn cell(&self, of: fn(&Run) -> f64, digits: usize) -> String {
        let values = self.values(of);
        let [least, median, most] = [0.0, 0.5, 1.0].map(|share| format!("{:.digits$}", percentile(&values, share)));
        if least == most {
            median
        } else {
            format!("{median} ({least}-{most})")
        }
    }
}

impl Serialize for Side {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Spread {
            median: f64,
            min: f64,
            max: f64,
        }
        let mut map = serializer.serialize_map(Some(FIGURES.len() + 1))?;
        map.serialize_entry("failures", &self.failures)?;
        for (name, of) in FIGURES {
            let values = self.values(of);
            let [min, median, max] = [0.0, 0.5, 1.0].map(|share| super::summary::round(percentile(&values, share)));
            map.serialize_entry(name, &Spread { median, min, max })?;
        }
        map.end()
    }
}

/// Both clients with one number of sessions.
#[derive(Clone, Debug, Serialize)]
pub struct Size {
    pub n: u64,
    pub offhook: Side,
    pub official: Side,
    /// The library divided by the official client, medians.
    pub cpu_ratio: Option<f64>,
    /// The same, without the CPU time of the official client's Python.
    pub cpu_native_ratio: Option<f64>,
    pub rss_ratio: Option<f64>,
    /// None: unknown, because the machine was overloaded or one of the two failed.
    pub cpu_reached: Option<bool>,
    pub rss_reached: Option<bool>,
}

impl Size {
    pub fn new(n: u64, offhook: Side, official: Side) -> Self {
        let both = !offhook.runs.is_empty() && !official.runs.is_empty();
        let ratio = |of: fn(&Run) -> f64| match official.median(of) {
            theirs if both && theirs > 0.0 => Some(super::summary::round(offhook.median(of) / theirs)),
            _ => None,
        };
        let calm = [&offhook, &official].iter().all(|side| side.median(|r| r.late_frames_pct) <= MOST_LATE);
        let cpu_ratio = ratio(|r| r.cpu_pct_per_session);
        let cpu_native_ratio = ratio(|r| r.cpu_native_pct_per_session);
        let rss_ratio = ratio(|r| r.rss_kb_per_session);
        Size {
            n,
            cpu_ratio,
            cpu_native_ratio,
            rss_ratio,
            // Compared without Python, so that Python's cost does not count in the library's favour.
            cpu_reached: cpu_native_ratio.filter(|_| calm).map(|ratio| ratio <= CPU_AIM),
            rss_reached: rss_ratio.map(|ratio| ratio <= MEMORY_AIM),
            offhook,
            official,
        }
    }
}

/// The member `livekit` of the file.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub seconds: u64,
    pub rounds: u64,
    /// Both stripped.
    pub library_bytes: u64,
    pub official_library_bytes: u64,
    pub sessions: Vec<Size>,
}

impl Summary {
    /// Whether the thread count is independent of the sessions: between the fewest and the most sessions, fewer threads
    /// are added than sessions, and fewer than 8.
    pub fn no_thread_per_session(&self) -> Option<bool> {
        let measured = || self.sessions.iter().filter(|s| !s.offhook.runs.is_empty());
        let few = measured().min_by_key(|s| s.n)?;
        let many = measured().max_by_key(|s| s.n)?;
        let threads = |size: &Size| size.offhook.median(|r| r.threads);
        (many.n > few.n).then(|| threads(many) - threads(few) < (many.n - few.n).min(8) as f64)
    }

    /// Whether every run of the library succeeded.
    pub fn complete(&self) -> bool {
        self.sessions.iter().all(|size| size.offhook.failures.is_empty())
    }

    /// The table as text.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "  LiveKit: {} runs of {} s each in turn; median (least-greatest)\n\n\
             {:>8} {:<9}{:<20} {:<10}{:<22} {:<8}{:<14} {:<18} {:<22} {:<22} {:<18}waited %",
            self.rounds,
            self.seconds,
            "sessions",
            "",
            "CPU %/session",
            "- native",
            "RSS KB/session",
            "RSS MB",
            "threads",
            "fds",
            "join p50 ms",
            "join p95 ms",
            "late frames %"
        );
        for size in &self.sessions {
            let sides = [("offhook", &size.offhook), ("official", &size.official)];
            for (name, side) in sides.into_iter().filter(|(_, side)| !side.runs.is_empty()) {
                let _ = writeln!(
                    out,
                    "{:>8} {name:<9}{:<20} {:<10}{:<22} {:<8}{:<14} {:<18} {:<22} {:<22} {:<18}{:.0}",
                    size.n,
                    side.cell(|r| r.cpu_pct_per_session, 2),
                    format!("{:.2}", side.median(|r| r.cpu_native_pct_per_session)),
                    side.cell(|r| r.rss_kb_per_session, 0),
                    format!("{:.1}", side.median(|r| r.rss_kb) / 1024.0),
                    side.cell(|r| r.threads, 0),
                    side.cell(|r| r.fds, 0),
                    side.cell(|r| r.join_ms_p50, 1),
                    side.cell(|r| r.join_ms_p95, 1),
                    side.cell(|r| r.late_frames_pct, 2),
                    side.median(|r| r.waited_pct)
                );
            }
            for failure in size.offhook.failures.iter().chain(&size.official.failures) {
                let _ = writeln!(out, "{:>8} FAILED: {failure}", size.n);
            }
            let _ = writeln!(
                out,
                "{:>8} ratio    CPU {}, native {} (≤ {CPU_AIM}: {}); RSS per session {} (≤ {MEMORY_AIM}: {})\n",
                size.n,
                text(size.cpu_ratio),
                text(size.cpu_native_ratio),
                verdict(size.cpu_reached),
                text(size.rss_ratio),
                verdict(size.rss_reached)
            );
        }
        let measured = self.sessions.iter().filter(|size| !size.offhook.runs.is_empty());
        if let Some(most) = measured.max_by_key(|size| size.n) {
            let rss = most.offhook.median(|r| r.rss_kb_per_session);
            let _ = writeln!(
                out,
                "  at {}: RSS {rss:.0} KB per session (≤ {RSS_AIM}: {}), heap {:.0} KB",
                most.n,
                verdict(Some(rss <= RSS_AIM)),
                most.offhook.median(|r| r.heap_kb_per_session)
            );
        }
        if let Some(kept) = self.no_thread_per_session() {
            let _ = writeln!(out, "  no thread per session: {}", verdict(Some(kept)));
        }
        let _ = writeln!(
            out,
            "  library, stripped: {:.1} MB, the official client's {:.1} MB",
            self.library_bytes as f64 / 1e6,
            self.official_library_bytes as f64 / 1e6
        );
        out
    }
}

fn text(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
}

fn verdict(reached: Option<bool>) -> &'static str {
    match reached {
        Some(true) => "reached",
        Some(false) => "MISSED",
        None => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(cpu: [f64; 2], rss: f64, threads: f64) -> Side {
        let run = |cpu| Run {
            cpu_pct_per_session: cpu,
            cpu_native_pct_per_session: cpu,
            rss_kb_per_session: rss,
            threads,
            ..Run::default()
        };
        Side { runs: cpu.map(run).to_vec(), failures: Vec::new() }
    }

    fn summary(threads: f64) -> Summary {
        let sizes = [
            Size::new(1, side([2.0, 3.0], 900.0, 7.0), side([4.0, 8.0], 3000.0, 30.0)),
            Size::new(50, side([2.0, 2.0], 700.0, threads), side([3.0, 3.0], 3000.0, 300.0)),
        ];
        Summary {
            seconds: 10,
            rounds: 2,
            library_bytes: 10_000_000,
            official_library_bytes: 20_000_000,
            sessions: sizes.to_vec(),
        }
    }

    #[test]
    fn medians_are_compared() {
        let sizes = summary(7.0).sessions;
        assert_eq!((sizes[0].cpu_ratio, sizes[0].rss_ratio), (Some(0.417), Some(0.3)));
        assert_eq!((sizes[0].cpu_reached, sizes[0].rss_reached), (Some(true), Some(false)));
        assert_eq!((sizes[1].cpu_reached, sizes[1].rss_reached), (Some(false), Some(true)));
        let none = Size::new(1, side([1.0, 1.0], 1.0, 1.0), Side::default());
        assert_eq!((none.cpu_reached, none.rss_reached), (None, None));
    }

    #[test]
    fn the_cost_of_python_is_not_counted() {
        let mut theirs = side([8.0, 8.0], 1.0, 1.0);
        theirs.runs.iter_mut().for_each(|r| r.cpu_native_pct_per_session = 5.0);
        let size = Size::new(1, side([3.0, 3.0], 1.0, 1.0), theirs);
        assert_eq!((size.cpu_ratio, size.cpu_native_ratio, size.cpu_reached), (Some(0.375), Some(0.6), Some(false)));
        let mut busy = side([3.0, 3.0], 1.0, 1.0);
        busy.runs.iter_mut().for_each(|r| r.late_frames_pct = 20.0);
        assert_eq!(Size::new(1, busy, side([9.0, 9.0], 1.0, 1.0)).cpu_reached, None);
    }

    #[test]
    fn the_table_and_the_file_have_it_all() {
        let table = summary(7.0).table();
        assert!(table.contains("2.50 (2.00-3.00)") && table.contains("no thread per session: reached"), "{table}");
        assert_eq!(table.matches("MISSED").count(), 3, "{table}");
        assert!(table.contains("RSS 700 KB per session (≤ 640: MISSED)"), "{table}");
        assert_eq!(summary(56.0).no_thread_per_session(), Some(false));
        let json = serde_json::to_value(summary(7.0)).unwrap();
        assert_eq!(json["sessions"][0]["offhook"]["cpu_pct_per_session"]["max"], 3.0);
        assert_eq!(json["sessions"][1]["official"]["rss_kb_per_session"]["median"], 3000.0);
    }
}
