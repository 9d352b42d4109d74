//! Controls the benchmark: one SFU and one worker process per measurement, commands in, lines out.
//!
//! CPU, memory, threads and descriptors are those of the worker only.

use super::{
    instructions,
    procfs::look,
    reconnect::share,
    summary::{percentile, round, Sessions, Summary},
};
use crate::{program::Program, sfu::Sfu};
use serde_json::{json, Value};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// What to run and how much of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub sfu: PathBuf,
    pub worker: PathBuf,
    pub library: PathBuf,
    /// Program that resolves handles and prints `{"lookup_ns":n}`.
    pub lookup: PathBuf,
    /// The same sessions on the async crate, and on the library's engine with no layer above, for the comparison of
    /// instructions. None: instructions are not counted.
    pub alone: Option<(PathBuf, PathBuf)>,
    pub out: PathBuf,
    pub joins: u64,
    pub late_offers: u64,
    /// Reconnects of each strategy.
    pub reconnects: u64,
    /// Sockets that become half open; each takes as long as the library's timeout.
    pub dead_sockets: u64,
    pub sessions: Vec<u64>,
    /// Seconds over which running sessions are measured.
    pub watch_s: u64,
}

/// Limit for one line of a worker.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) struct Bench<'a> {
    pub(super) plan: &'a Plan,
    started: u32,
}

/// Runs everything and writes `summary.json`. Prints its progress to stdout.
pub fn run(plan: &Plan) -> Result<Summary, String> {
    fs::create_dir_all(&plan.out).map_err(|e| format!("{}: {e}", plan.out.display()))?;
    let mut bench = Bench { plan, started: 0 };
    println!("joining {} times", plan.joins);
    let (joined, first_pcm) = bench.joins().map_err(|e| format!("join: {e}"))?;
    println!("calling the API");
    let api = bench.api().map_err(|e| format!("api: {e}"))?;
    let lookup = bench.lookup().map_err(|e| format!("look-up: {e}"))?;
    println!("dropping {} late offers", plan.late_offers);
    let late_offer_us = bench.late().map_err(|e| format!("late: {e}"))?;
    let counted = match &plan.alone {
        Some((baseline, engine)) => {
            println!("counting instructions per packet: the library, its engine alone, the baseline");
            let plan = instructions::Plan {
                worker: plan.worker.clone(),
                baseline: baseline.clone(),
                engine: engine.clone(),
                sfu: plan.sfu.clone(),
                out: plan.out.clone(),
            };
            instructions::run(&plan).map_err(|e| format!("instructions: {e}"))?
        }
        None => None,
    };
    let reconnects = bench.reconnects().map_err(|e| format!("reconnects: {e}"))?;
    let mut sessions = Vec::new();
    for n in &plan.sessions {
        println!("{n} sessions that publish and receive, for {} s", plan.watch_s);
        sessions.push(bench.sessions(*n).map_err(|e| format!("{n} sessions: {e}"))?);
    }
    let summary = Summary {
        join_ms_p50: round(percentile(&joined, 0.5)),
        join_ms_p95: round(percentile(&joined, 0.95)),
        first_pcm_ms_p50: round(percentile(&first_pcm, 0.5)),
        first_pcm_ms_p95: round(percentile(&first_pcm, 0.95)),
        lookup_ns: round(number(&lookup, "lookup_ns")?),
        cheapest_call_ns: round(number(&api, "cheapest_call_ns")?),
        late_offer_us: round(late_offer_us),
        reconnects: reconnects.clone(),
        fast_gap_ms_p50: share(&reconnects.fast.gaps, 0.5),
        fast_gap_ms_p95: share(&reconnects.fast.gaps, 0.95),
        fast_after_notice_ms_p95: share(&reconnects.fast.after_notice, 0.95),
        rejoin_gap_ms_p50: share(&reconnects.rejoin.gaps, 0.5),
        rejoin_gap_ms_p95: share(&reconnects.rejoin.gaps, 0.95),
        migrate_gap_ms_p50: share(&reconnects.migrate.gaps, 0.5),
        migrate_gap_ms_p95: share(&reconnects.migrate.gaps, 0.95),
        dead_socket_notice_ms: share(&reconnects.dead.notices, 1.0),
        leave_ms_p99: share(&reconnects.leave_idle, 0.99),
        leave_ms_max: share(&reconnects.leave_idle, 1.0),
        leave_load_ms_p99: share(&reconnects.leave_load, 0.99),
        leave_load_ms_max: share(&reconnects.leave_load, 1.0),
        library_bytes: stripped_size(&plan.library, &plan.out)?,
        instructions: counted,
        sessions,
    };
    let file = plan.out.join("summary.json");
    let json = serde_json::to_string_pretty(&summary).map_err(|e| e.to_string())?;
    fs::write(&file, json + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(summary)
}

impl Bench<'_> {
    pub(super) fn start_sfu(&self) -> Result<Sfu, String> {
        Sfu::start(&self.plan.sfu, &self.plan.out.join("sfu"))
    }

    pub(super) fn worker(&mut self, mode: &str, url: &str, args: &[(&str, &str)]) -> Result<Program, String> {
        let mut all = vec![mode.to_owned(), "--url".to_owned(), url.to_owned()];
        all.extend(args.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]));
        self.started += 1;
        Program::start(&self.plan.worker, &all, &self.plan.out.join(format!("{}-{mode}", self.started)))
    }

    fn joins(&mut self) -> Result<(Vec<f64>, Vec<f64>), String> {
        let sfu = self.start_sfu()?;
        let other = self.worker("talk", &sfu.url, &[("call", "join"), ("user", "other")])?;
        expect(&other, "ready")?;
        let count = self.plan.joins.to_string();
        let args = [("call", "join"), ("user", "joiner"), ("count", count.as_str())];
        let worker = self.worker("join", &sfu.url, &args)?;
        let (mut joined, mut first_pcm) = (Vec::new(), Vec::new());
        for _ in 0..self.plan.joins {
            let line = expect(&worker, "join")?;
            joined.push(number(&line, "join_ms")?);
            first_pcm.push(number(&line, "first_pcm_ms")?);
        }
        end(worker)?;
        Ok((joined, first_pcm))
    }

    fn api(&mut self) -> Result<Value, String> {
        let sfu = self.start_sfu()?;
        let worker = self.worker("api", &sfu.url, &[])?;
        let line = expect(&worker, "api")?;
        end(worker)?;
        Ok(line)
    }

    /// The look-up alone is not available through the header, so a separate program links the crate.
    fn lookup(&mut self) -> Result<Value, String> {
        let program = Program::start(&self.plan.lookup, &[], &self.plan.out.join("lookup"))?;
        let line = program.line(LIMIT)?;
        end(program)?;
        serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"))
    }

    /// CPU time of the worker's process for one late offer, from the socket to the drop, in µs.
    fn late(&mut self) -> Result<f64, String> {
        let sfu = self.start_sfu()?;
        let count = self.plan.late_offers.to_string();
        let args = [("call", "late"), ("user", "late"), ("count", count.as_str())];
        let worker = self.worker("late", &sfu.url, &args)?;
        expect(&worker, "ready")?;
        // In portions within the SFU's limits.
        let mut left = self.plan.late_offers;
        while left > 0 {
            let count = left.min(1000);
            sfu.control("late_offer", &json!({"user_id": "late", "count": count}))?;
            left -= count;
        }
        let line = expect(&worker, "late")?;
        end(worker)?;
        let dropped = number(&line, "dropped")?;
        if dropped < self.plan.late_offers as f64 {
            return Err(format!("only {dropped} late offers were dropped"));
        }
        Ok(number(&line, "cpu_us")? / dropped)
    }

    fn sessions(&mut self, n: u64) -> Result<Sessions, String> {
        let sfu = self.start_sfu()?;
        let count = n.to_string();
        let mut worker = self.worker("sessions", &sfu.url, &[("n", &count), ("prefix", "many")])?;
        let heap = number(&expect(&worker, "idle")?, "heap_kb")?;
        let idle = look(worker.pid())?;
        // The last session of an odd number has no other participant in the worker.
        let last_call = format!("many{}", n / 2);
        let other = if n % 2 == 1 {
            let other = self.worker("talk", &sfu.url, &[("call", &last_call), ("user", "other")])?;
            expect(&other, "ready")?;
            Some(other)
        } else {
            None
        };
        worker.send_line("go")?;
        expect(&worker, "running")?;
        let before = look(worker.pid())?;
        let begin = Instant::now();
        thread::sleep(Duration::from_secs(self.plan.watch_s));
        let after = look(worker.pid())?;
        let seconds = begin.elapsed().as_secs_f64();
        worker.send_line("stop")?;
        let line = expect(&worker, "sessions")?;
        end(worker)?;
        drop(other);
        let per = |value: f64| value / n as f64;
        let frames = number(&line, "frames")?;
        if frames <= 0.0 {
            return Err("no frame was received".to_owned());
        }
        Ok(Sessions {
            n,
            cpu_pct_per_session: round(per((after.cpu_s - before.cpu_s) / seconds * 100.0)),
            rss_kb_per_session: round(per(after.rss_kb as f64 - idle.rss_kb as f64)),
            heap_kb_per_session: round(per(number(&line, "heap_kb")? - heap)),
            threads: after.threads,
            fds: after.fds,
            late_frames_pct: round(number(&line, "late_frames")? / frames * 100.0),
            fds_per_session: round(per(after.fds as f64 - idle.fds as f64)),
            threads_before: idle.threads,
            waited_pct: round((after.wait_s - before.wait_s).max(0.0) / seconds * 100.0),
        })
    }
}

/// The worker's next line, which must be of this kind.
pub(super) fn expect(worker: &Program, kind: &str) -> Result<Value, String> {
    of_kind(&worker.line(LIMIT).map_err(|e| format!("waiting for '{kind}': {e}"))?, kind)
}

pub(super) fn of_kind(line: &str, kind: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
    if value["kind"] == kind {
        Ok(value)
    } else {
        Err(format!("expected '{kind}', got: {line}"))
    }
}

pub(super) fn number(line: &Value, key: &str) -> Result<f64, String> {
    line[key].as_f64().ok_or_else(|| format!("no number '{key}' in: {line}"))
}

pub(super) fn end(mut worker: Program) -> Result<(), String> {
    let status = worker.wait(LIMIT)?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the worker ended with {status}"))
    }
}

/// Bytes of a library after `strip --strip-unneeded`.
pub(super) fn stripped_size(library: &Path, out: &Path) -> Result<u64, String> {
    let stripped = out.join("stripped.so");
    let status = Command::new("strip").arg("--strip-unneeded").arg("-o").arg(&stripped).arg(library).status();
    if !status.map_err(|e| format!("strip: {e}"))?.success() {
        return Err(format!("strip failed on {}", library.display()));
    }
    fs::metadata(&stripped).map(|m| m.len()).map_err(|e| format!("{}: {e}", stripped.display()))
}
