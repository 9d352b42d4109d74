//! Controls the soak: starts SFU and worker, sends the faults, samples the worker, and passes the results to the judge.

use super::{
    faults::{storm, Field, Order},
    summary::{judge, Found, Sample, Summary},
    watch::{Beat, Watch},
};
use crate::{bench::procfs::look, program::Program, sfu::Sfu};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// What to run and how much of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub sfu: PathBuf,
    pub worker: PathBuf,
    pub out: PathBuf,
    pub seconds: u64,
    pub seed: u64,
    /// Sessions in rooms without faults; two per room.
    pub quiet: usize,
    /// Sessions in rooms with faults; three per room.
    pub storm: usize,
    /// Whether tracks are freed and others published in their place during a call.
    pub republish: bool,
    /// Redraw the progress in place.
    pub ansi: bool,
}

const QUIET_ROOM: usize = 2;
const STORM_ROOM: usize = 3;
/// The worker's own threads: main thread, pacing, metronome, four managers.
const WORKER_THREADS: u64 = 7;
/// Limit for all sessions to join or leave.
const MOVE: Duration = Duration::from_secs(60);
/// Limit for all sessions to receive audio again after the storm: the longest time away plus a margin.
const CALM: Duration = Duration::from_secs(45);
/// Limit for idle threads and connections to end.
const SETTLE: Duration = Duration::from_secs(25);
const STEP: Duration = Duration::from_millis(20);

struct Soak<'a> {
    plan: &'a Plan,
    sfu: Sfu,
    worker: Program,
    watch: Watch,
    begin: Instant,
    samples: Vec<Sample>,
    printed: Instant,
    sent: u64,
}

/// Runs the soak and writes `summary.json`. Prints its progress to stdout.
pub fn run(plan: &Plan) -> Result<Summary, String> {
    fs::create_dir_all(&plan.out).map_err(|e| format!("{}: {e}", plan.out.display()))?;
    let file = plan.out.join("summary.json");
    // A file of an earlier run must not be taken for this run's.
    let _ = fs::remove_file(&file);
    println!(
        "{} sessions in one process, {} of them in rooms without faults; SEED={}",
        plan.quiet + plan.storm,
        plan.quiet,
        plan.seed
    );
    let sfu = Sfu::start(&plan.sfu, &plan.out.join("sfu"))?;
    for room in 0..plan.quiet.div_ceil(QUIET_ROOM) {
        sfu.control("pin_edge", &json!({"cid": format!("default:quiet-{room}"), "edge": "sfu-c"}))?;
    }
    let number = |name: &str, value: u64| [format!("--{name}"), value.to_string()];
    let mut args = vec!["--url".to_owned(), sfu.url.clone()];
    args.extend(number("seed", plan.seed & 0xffff_ffff));
    args.extend(number("quiet", plan.quiet as u64));
    args.extend(number("storm", plan.storm as u64));
    args.extend(number("republish", u64::from(plan.republish)));
    let log = plan.out.join("worker");
    let worker = Program::start(&plan.worker, &args, &log)?;
    let now = Instant::now();
    let watch = Watch::new(plan.quiet + plan.storm);
    let mut soak = Soak { plan, sfu, worker, watch, begin: now, samples: vec![], printed: now, sent: 0 };
    let found = soak.all();
    // After a crash, the problems found before it are reported as well.
    let found = found.map_err(|e| match soak.watch.wrong.is_empty() {
        true => e,
        false => format!("{e}\nbefore that: {}", soak.watch.wrong.join("\n  ")),
    });
    let Soak { watch, .. } = soak;
    let mut found = found?;
    found.watch = watch;
    let text = fs::read_to_string(log.with_extension("log")).unwrap_or_default();
    if let Some(line) = text.lines().find(|l| l.contains("panicked")) {
        found.watch.complain(format!("the worker's log: {line}"));
    }
    let summary = judge(found);
    let json = serde_json::to_string_pretty(&summary).map_err(|e| e.to_string())?;
    fs::write(&file, json + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    Ok(summary)
}

impl Soak<'_> {
    fn all(&mut self) -> Result<Found, String> {
        let plan = self.plan;
        let sessions = (plan.quiet + plan.storm) as u64;
        // One complete cycle first, so that one-time allocations exist before counting starts.
        self.say("all");
        self.until("all sessions receive audio", MOVE, |b| b.receiving == sessions)?;
        self.say("none");
        let before = self.gone()?;
        self.say("all");
        self.until("all sessions receive audio", MOVE, |b| b.receiving == sessions)?;
        self.pause(Duration::from_secs(2))?;
        self.say("arm");
        self.say("chaos");
        let orders = storm(plan.seed, self.field(), plan.seconds * 1000);
        write_orders(&orders, &plan.out.join("faults.jsonl"))?;
        let faults = self.storm(&orders)?;
        let storm_seconds = self.begin.elapsed().as_secs_f64();
        self.say("calm");
        for edge in ["sfu-a", "sfu-b"] {
            self.sfu.control("revive_edge", &json!({"edge": edge}))?;
        }
        self.sfu.control("reset", &json!({"keep_pins": true}))?;
        // If this is not reached, the summary reports it, with the sessions concerned.
        let _ = self.until("all sessions receive audio again", CALM, |b| b.receiving == sessions);
        let receiving = self.watch.beat.clone().unwrap_or_default();
        self.say("gaps");
        self.pause(Duration::from_secs(1))?;
        self.say("disarm");
        self.say("none");
        let after = self.gone()?;
        self.say("shutdown");
        let end = Instant::now() + Duration::from_secs(10);
        while self.watch.shutdown.is_none() && Instant::now() < end {
            self.step()?;
        }
        let shut = self.least(look(self.worker.pid())?)?;
        self.say("bye");
        let status = self.worker.wait(Duration::from_secs(10))?;
        if status.code().is_none() {
            return Err(format!("the worker ended with {status}"));
        }
        if let Some(beat) = &mut self.watch.beat {
            beat.missing.clone_from(&receiving.missing);
        }
        Ok(Found {
            seed: plan.seed,
            quiet: plan.quiet,
            storm: plan.storm,
            storm_seconds,
            faults,
            watch: Watch::default(),
            samples: std::mem::take(&mut self.samples),
            before,
            after,
            shut,
            worker_threads: WORKER_THREADS,
            receiving: receiving.receiving,
        })
    }

    fn field(&self) -> Field {
        Field { first: self.plan.quiet, count: self.plan.storm, room: STORM_ROOM }
    }

    fn say(&mut self, word: &str) {
        // The next step detects a worker that has ended.
        let _ = self.worker.send_line(word);
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_millis() as u64
    }

    /// Processes the worker's new lines, and sleeps for a moment.
    fn step(&mut self) -> Result<(), String> {
        let now = self.now();
        while let Some(line) = self.worker.try_line() {
            self.watch.take_line(&line, now);
        }
        self.watch.look(now);
        if let Some(status) = self.worker.ended() {
            return Err(format!("the worker ended with {status}; see {}", self.plan.out.join("worker.log").display()));
        }
        thread::sleep(STEP);
        Ok(())
    }

    fn pause(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.step()?;
        }
        Ok(())
    }

    fn until(&mut self, what: &str, limit: Duration, fits: impl Fn(&Beat) -> bool) -> Result<(), String> {
        let (begin, seen) = (Instant::now(), self.watch.beats);
        loop {
            self.step()?;
            self.progress(&format!("waiting until {what}"));
            // A beat sent before the command does not count.
            if self.watch.beats > seen + 1 && self.watch.beat.as_ref().is_some_and(&fits) {
                return Ok(());
            }
            if begin.elapsed() > limit {
                let beat = self.watch.beat.clone().unwrap_or_default();
                return Err(format!("not within {limit:?}: {what}; {beat:?}"));
            }
        }
    }

    /// Waits until no session is left, and until idle threads and descriptors are gone.
    fn gone(&mut self) -> Result<Sample, String> {
        self.until("all sessions have left", MOVE, |b| b.alive == 0)?;
        let least = self.least(look(self.worker.pid())?)?;
        let beat = self.watch.beat.clone().unwrap_or_default();
        Ok(Sample { at_ms: self.now(), usage: least, heap_kb: beat.heap_kb, joins: beat.joins })
    }

    /// Samples until neither threads nor descriptors decrease for a while.
    fn least(&mut self, mut least: crate::bench::procfs::Usage) -> Result<crate::bench::procfs::Usage, String> {
        let (begin, mut changed) = (Instant::now(), Instant::now());
        while changed.elapsed() < Duration::from_secs(6) && begin.elapsed() < SETTLE {
            self.pause(Duration::from_millis(200))?;
            self.progress("waiting for idle threads and descriptors to end");
            let usage = look(self.worker.pid())?;
            if usage.threads < least.threads || usage.fds < least.fds {
                changed = Instant::now();
            }
            least.threads = least.threads.min(usage.threads);
            least.fds = least.fds.min(usage.fds);
            least.rss_kb = usage.rss_kb;
        }
        Ok(least)
    }

    fn storm(&mut self, orders: &[Order]) -> Result<BTreeMap<&'static str, u64>, String> {
        let mut faults = BTreeMap::new();
        let mut last_name = ("", u64::MAX);
        let mut next = orders.iter().peekable();
        self.begin = Instant::now();
        let mut sampled = 0;
        while self.now() < self.plan.seconds * 1000 {
            self.step()?;
            let now = self.now();
            while let Some(order) = next.next_if(|o| o.at_ms <= now) {
                // Two requests of one fault follow each other closely. A request that ends a fault is not counted as
                // one.
                let ends = matches!(order.call, "revive_edge")
                    || order.body == json!({"user_id": order.body["user_id"]}) && order.call == "lossy"
                    || order.body["ms"] == 0;
                let again = last_name.0 == order.name && order.at_ms - last_name.1.min(order.at_ms) <= 10;
                if !ends && !again {
                    *faults.entry(order.name).or_default() += 1;
                    self.sent += 1;
                }
                last_name = (order.name, order.at_ms);
                for slot in &order.hits {
                    self.watch.hit(*slot, now);
                }
                // HTTP 400: the session does not exist at the moment, which is not an error.
                let done = self.sfu.control(order.call, &order.body);
                if let Err(e) = done.as_ref() {
                    if !e.contains("HTTP 400") {
                        return Err(format!("the SFU: {e}"));
                    }
                }
            }
            if now >= sampled {
                sampled = now + 1000;
                let beat = self.watch.beat.clone();
                let usage = look(self.worker.pid())?;
                if let Some(beat) = beat {
                    self.samples.push(Sample { at_ms: now, usage, heap_kb: beat.heap_kb, joins: beat.joins });
                }
            }
            self.progress("storm");
        }
        Ok(faults)
    }

    /// Prints a progress line at intervals, in place where possible.
    fn progress(&mut self, what: &str) {
        let every = if self.plan.ansi { Duration::from_millis(500) } else { Duration::from_secs(5) };
        if self.printed.elapsed() < every {
            return;
        }
        self.printed = Instant::now();
        let (now, beat) = (self.now(), self.watch.beat.clone().unwrap_or_default());
        let usage = look(self.worker.pid()).ok();
        let away = self.watch.look(now);
        let line = format!(
            "{:5.0} s  {what}: {} in calls, {away} reconnecting, {} joins, {} faults, {:.0} MB, {} descriptors, {} threads, \
             {} wrong",
            now as f64 / 1e3,
            beat.alive,
            beat.joins,
            self.sent,
            usage.map_or(0.0, |u| u.rss_kb as f64 / 1e3),
            usage.map_or(0, |u| u.fds),
            usage.map_or(0, |u| u.threads),
            self.watch.wrong.len()
        );
        match self.plan.ansi {
            true => print!("\r\x1b[K{line}"),
            false => println!("{line}"),
        }
        let _ = std::io::stdout().flush();
    }
}

/// Writes the list of requests with their times, to be read beside the logs.
fn write_orders(orders: &[Order], path: &Path) -> Result<(), String> {
    let text: String = orders
        .iter()
        .map(|o| json!({"at_ms": o.at_ms, "fault": o.name, "call": o.call, "body": o.body}).to_string() + "\n")
        .collect();
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
