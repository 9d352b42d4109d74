//! The figures of a soak and their judgement.
//!
//! Pure. Must not know: processes.

use super::watch::Watch;
use crate::bench::{
    procfs::Usage,
    summary::{percentile, round},
};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// Longest time without audio: the 99th percentile of the intervals between two frames.
const GAP_P99_MS: f64 = 60.0;
/// Growth of allocated memory per reconnect or new session that cannot be distinguished from noise. A leaked peer
/// connection costs some 300 KB, a leaked session some 700, so one leak in forty would be detected.
const NOISE_KB_PER_EVENT: f64 = 8.0;
/// The same per minute: memory in use varies by a few per cent with the number of sessions in a storm, and a short run
/// may see only the growth.
const NOISE_SHARE_PER_MINUTE: f64 = 0.06;
/// Memory that may remain when all sessions have ended, above the level after the first cycle, KB: buffers of the C
/// library, of threads that started later, tables that have grown.
const LEFT_OVER_KB: f64 = 1024.0;

/// One sample of the worker, ms into the storm.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at_ms: u64,
    pub usage: Usage,
    pub heap_kb: f64,
    pub joins: u64,
}

/// All results of a run.
#[derive(Debug)]
pub struct Found {
    pub seed: u64,
    pub quiet: usize,
    pub storm: usize,
    pub storm_seconds: f64,
    pub faults: BTreeMap<&'static str, u64>,
    pub watch: Watch,
    pub samples: Vec<Sample>,
    /// After the first cycle, when all sessions have ended.
    pub before: Sample,
    /// After the storm, when all sessions have ended.
    pub after: Sample,
    /// After oh_shutdown_wait.
    pub shut: Usage,
    /// The worker's own threads.
    pub worker_threads: u64,
    pub receiving: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    pub begin_kb: f64,
    pub end_kb: f64,
    /// Least squares over the storm after its first third.
    pub slope_kb_per_min: f64,
    pub limit_kb_per_min: f64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Count {
    pub before: u64,
    pub most: u64,
    pub after: u64,
    pub after_shutdown: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Way {
    pub count: usize,
    pub ms_p50: f64,
    pub ms_p95: f64,
    pub ms_max: f64,
}

/// Content of the file. New members may be added; names never change.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub ok: bool,
    /// Empty exactly when ok.
    pub wrong: Vec<String>,
    pub seed: u64,
    pub storm_seconds: f64,
    pub sessions: usize,
    pub unaffected: usize,
    pub faults: BTreeMap<&'static str, u64>,
    /// Joins through the C API, in total.
    pub joins: u64,
    pub reconnected: BTreeMap<&'static str, Way>,
    /// By end reason.
    pub ended: BTreeMap<String, u64>,
    /// Error events that did not end the call, by code.
    pub errors: BTreeMap<String, u64>,
    pub longest_away_ms: u64,
    pub leave_ms_p50: f64,
    pub leave_ms_p99: f64,
    pub leave_ms_max: f64,
    pub gap_ms_p99: f64,
    pub gap_ms_p99_corrected: f64,
    pub gap_ms_max: f64,
    pub gap_frames: f64,
    pub machine_stall_ms_max: f64,
    /// Sessions that received audio from everyone in their room after the storm.
    pub receiving_at_end: u64,
    pub rss: Memory,
    pub heap: Memory,
    /// KB still allocated when all sessions have ended, above the level after the first cycle.
    pub left_over_kb: f64,
    pub descriptors: Count,
    pub threads: Count,
    pub shutdown_ms: f64,
}

/// Slope of y over x by least squares; 0 without two different x.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n);
    let spread: f64 = points.iter().map(|p| (p.0 - mx).powi(2)).sum();
    if points.len() < 2 || spread == 0.0 {
        return 0.0;
    }
    points.iter().map(|p| (p.0 - mx) * (p.1 - my)).sum::<f64>() / spread
}

/// Memory figures after the first third, in which the process makes its one-time allocations.
fn memory(samples: &[Sample], storm_ms: f64, of: impl Fn(&Sample) -> f64) -> Memory {
    let warm: Vec<&Sample> = samples.iter().filter(|s| s.at_ms as f64 >= storm_ms / 3.0).collect();
    let points: Vec<(f64, f64)> = warm.iter().map(|s| (s.at_ms as f64 / 60_000.0, of(s))).collect();
    let (Some(first), Some(last)) = (warm.first(), warm.last()) else {
        return Memory { begin_kb: 0.0, end_kb: 0.0, slope_kb_per_min: 0.0, limit_kb_per_min: 0.0 };
    };
    let minutes = ((last.at_ms - first.at_ms) as f64 / 60_000.0).max(1e-9);
    let events = (last.joins - first.joins) as f64 / minutes;
    let mean = points.iter().map(|p| p.1).sum::<f64>() / points.len() as f64;
    Memory {
        begin_kb: round(of(first)),
        end_kb: round(of(last)),
        slope_kb_per_min: round(slope(&points)),
        limit_kb_per_min: round(mean * NOISE_SHARE_PER_MINUTE + events * NOISE_KB_PER_EVENT),
    }
}

/// Judges the results.
pub fn judge(found: Found) -> Summary {
    let Found { watch, samples, before, after, shut, .. } = &found;
    let mut wrong = watch.wrong.clone();
    let gap = |of: &str, key: &str| watch.gaps.get(of).and_then(|g| g[key].as_f64()).unwrap_or_default();
    let storm_ms = found.storm_seconds * 1e3;
    let mut check = |fine: bool, what: String| {
        if !fine {
            wrong.push(what);
        }
    };
    let sessions = found.quiet + found.storm;
    let heap = memory(samples, storm_ms, |s| s.heap_kb);
    let rss = memory(samples, storm_ms, |s| s.usage.rss_kb as f64);
    for (name, m) in [("allocated memory", &heap), ("resident memory", &rss)] {
        check(
            m.slope_kb_per_min <= m.limit_kb_per_min,
            format!("{name} grows by {:.0} KB per minute, more than {:.0}", m.slope_kb_per_min, m.limit_kb_per_min),
        );
    }
    let left_over_kb = round(after.heap_kb - before.heap_kb);
    check(left_over_kb <= LEFT_OVER_KB, format!("{left_over_kb} KB are left over when all sessions are gone"));
    let most = |of: fn(&Usage) -> u64| samples.iter().map(|s| of(&s.usage)).max().unwrap_or_default();
    let count = |of: fn(&Usage) -> u64| Count {
        before: of(&before.usage),
        most: most(of),
        after: of(&after.usage),
        after_shutdown: of(shut),
    };
    let (descriptors, threads) = (count(|u| u.fds), count(|u| u.threads));
    for (name, c) in [("descriptors", &descriptors), ("threads", &threads)] {
        check(c.after <= c.before, format!("{} {name} instead of {} when all sessions are gone", c.after, c.before));
    }
    check(
        threads.after_shutdown == found.worker_threads,
        format!(
            "{} threads after oh_shutdown_wait, {} are the worker's own",
            threads.after_shutdown, found.worker_threads
        ),
    );
    let (result, shutdown_ms) = watch.shutdown.clone().unwrap_or_default();
    check(result == "OH_OK", format!("oh_shutdown_wait: {result}"));
    let corrected = gap("corrected", "p99_ms");
    check(found.quiet < 2 || gap("raw", "frames") > 0.0, "no audio was received in the quiet rooms".to_owned());
    check(corrected < GAP_P99_MS, format!("gaps of {corrected} ms in the quiet rooms (p99)"));
    check(
        found.receiving == sessions as u64,
        format!(
            "only {} of {sessions} sessions receive audio from their whole room after the storm: {}",
            found.receiving,
            watch.beat.as_ref().map_or("", |b| &b.missing)
        ),
    );
    let way = |ms: &Vec<f64>| Way {
        count: ms.len(),
        ms_p50: round(percentile(ms, 0.5)),
        ms_p95: round(percentile(ms, 0.95)),
        ms_max: round(percentile(ms, 1.0)),
    };
    Summary {
        ok: wrong.is_empty(),
        wrong,
        seed: found.seed,
        storm_seconds: round(found.storm_seconds),
        sessions,
        unaffected: found.quiet,
        faults: found.faults.clone(),
        joins: after.joins,
        reconnected: watch.back.iter().map(|(k, v)| (*k, way(v))).collect(),
        ended: watch.ended.clone(),
        errors: watch.errors.clone(),
        longest_away_ms: watch.longest_away_ms,
        leave_ms_p50: round(percentile(&watch.left_ms, 0.5)),
        leave_ms_p99: round(percentile(&watch.left_ms, 0.99)),
        leave_ms_max: round(percentile(&watch.left_ms, 1.0)),
        gap_ms_p99: gap("raw", "p99_ms"),
        gap_ms_p99_corrected: corrected,
        gap_ms_max: gap("raw", "max_ms"),
        gap_frames: gap("raw", "frames"),
        machine_stall_ms_max: watch.stall_ms,
        receiving_at_end: found.receiving,
        rss,
        heap,
        left_over_kb,
        descriptors,
        threads,
        shutdown_ms,
    }
}

impl Summary {
    /// The table as text.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let faults: u64 = self.faults.values().sum();
        let list =
            |map: &BTreeMap<String, u64>| map.iter().map(|(k, v)| format!("{k} {v}")).collect::<Vec<_>>().join(", ");
        let _ = writeln!(out, "  faults             {faults} in {:.0} s (seed {})", self.storm_seconds, self.seed);
        let _ = writeln!(out, "  sessions           {} at a time, {} joins", self.sessions, self.joins);
        for (way, w) in &self.reconnected {
            let _ = writeln!(
                out,
                "  {way:<18} {} times, {:.0} ms p50, {:.0} ms p95, {:.0} ms at most",
                w.count, w.ms_p50, w.ms_p95, w.ms_max
            );
        }
        let _ = writeln!(out, "  ended              {}", list(&self.ended));
        let _ = writeln!(out, "  errors             {}", list(&self.errors));
        let _ = writeln!(out, "  longest away       {} ms", self.longest_away_ms);
        let _ = writeln!(
            out,
            "  leave              {:.0} ms p50, {:.0} ms p99, {:.0} ms at most",
            self.leave_ms_p50, self.leave_ms_p99, self.leave_ms_max
        );
        let _ = writeln!(
            out,
            "  gaps, quiet rooms  {:.0} ms p99 ({:.0} without machine stalls), {:.0} ms at most",
            self.gap_ms_p99, self.gap_ms_p99_corrected, self.gap_ms_max
        );
        let _ = writeln!(out, "  receive their room {} of {}", self.receiving_at_end, self.sessions);
        for (name, m) in [("resident", &self.rss), ("allocated", &self.heap)] {
            let _ = writeln!(
                out,
                "  {name:<18} {:.1} to {:.1} MB, {:+.0} KB per minute (limit {:.0})",
                m.begin_kb / 1e3,
                m.end_kb / 1e3,
                m.slope_kb_per_min,
                m.limit_kb_per_min
            );
        }
        let _ = writeln!(out, "  left over          {:.0} KB when all are gone", self.left_over_kb);
        for (name, c) in [("descriptors", &self.descriptors), ("threads", &self.threads)] {
            let _ = writeln!(
                out,
                "  {name:<18} {} before, {} at most, {} when all are gone, {} after shutdown ({:.0} ms)",
                c.before, c.most, c.after, c.after_shutdown, self.shutdown_ms
            );
        }
        out
    }
}

/// Number of sessions on one edge, from the JSON of `/ctl/state`.
pub fn on_edge(state: &Value, edge: &str) -> usize {
    state["sessions"].as_array().map_or(0, |s| s.iter().filter(|s| s["edge"] == edge).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn usage(rss_kb: u64, threads: u64, fds: u64) -> Usage {
        Usage { cpu_s: 1.0, wait_s: 0.0, rss_kb, threads, fds }
    }

    fn sample(at_ms: u64, heap_kb: f64) -> Sample {
        Sample { at_ms, usage: usage(80_000, 14, 300), heap_kb, joins: 50 + at_ms / 1000 }
    }

    fn found() -> Found {
        let mut watch = Watch::new(50);
        for of in ["raw", "corrected"] {
            watch.gaps.insert(of.to_owned(), json!({"frames": 1000, "p99_ms": 41, "max_ms": 90}));
        }
        watch.shutdown = Some(("OH_OK".to_owned(), 12.0));
        let end = |threads, fds| Sample { at_ms: 0, usage: usage(50_000, threads, fds), heap_kb: 300.0, joins: 140 };
        Found {
            seed: 1,
            quiet: 14,
            storm: 36,
            storm_seconds: 90.0,
            faults: BTreeMap::from([("reset", 7)]),
            watch,
            samples: (0..90).map(|s| sample(s * 1000, 60_000.0 + (s % 7) as f64 * 100.0)).collect(),
            before: end(13, 12),
            after: end(12, 12),
            shut: usage(50_000, 7, 4),
            worker_threads: 7,
            receiving: 50,
        }
    }

    fn verdict(change: impl FnOnce(&mut Found)) -> Vec<String> {
        let mut found = found();
        change(&mut found);
        let summary = judge(found);
        assert_eq!(summary.ok, summary.wrong.is_empty());
        assert!(summary.table().contains("seed 1"));
        summary.wrong
    }

    #[test]
    fn slopes_are_least_squares() {
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]), 2.0);
        assert_eq!(slope(&[(0.0, 1.0), (1.0, 3.0), (2.0, 1.0)]), 0.0);
        assert_eq!(slope(&[(1.0, 1.0)]), 0.0);
        assert_eq!(slope(&[]), 0.0);
    }

    #[test]
    fn a_good_run_is_ok() {
        assert_eq!(verdict(|_| {}), Vec::<String>::new());
    }

    #[test]
    fn every_fault_is_seen() {
        let cases: [(&str, Vec<String>); 9] = [
            (
                "allocated memory grows",
                verdict(|f| f.samples.iter_mut().for_each(|s| s.heap_kb += s.at_ms as f64 / 10.0)),
            ),
            ("resident memory grows", verdict(|f| f.samples.iter_mut().for_each(|s| s.usage.rss_kb += s.at_ms / 10))),
            ("left over", verdict(|f| f.after.heap_kb += 2000.0)),
            ("13 descriptors", verdict(|f| f.after.usage.fds = 13)),
            ("14 threads", verdict(|f| f.after.usage.threads = 14)),
            ("8 threads after", verdict(|f| f.shut.threads = 8)),
            ("OH_ERR_TIMEOUT", verdict(|f| f.watch.shutdown = Some(("OH_ERR_TIMEOUT".into(), 1.0)))),
            ("only 49", verdict(|f| f.receiving = 49)),
            (
                "gaps of 70",
                verdict(|f| {
                    f.watch.gaps.insert("corrected".into(), json!({"frames": 9, "p99_ms": 70}));
                }),
            ),
        ];
        for (expected, wrong) in cases {
            assert!(wrong.iter().any(|w| w.contains(expected)), "{expected}: {wrong:?}");
        }
        assert!(verdict(|f| f.watch.complain("x".into())).contains(&"x".to_owned()));
    }
}
