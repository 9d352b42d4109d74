//! Measures many sessions on the LiveKit server: the library and the official client in turn, in the same run.
//!
//! Both workers have the same form and print the same lines (tools/README.md). They use one node, which runs in its own
//! process and is not counted. Must not know what is behind the lines, nor judge; `livekit_summary` judges.

use super::{
    livekit_summary::{Run, Side, Size, Summary},
    procfs::look,
    run::{end, expect, number, of_kind, stripped_size, LIMIT},
    summary::{percentile, round},
};
use crate::{
    livekit::stand::{Options, Stand},
    program::Program,
};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Exit code of a script that skips.
const SKIPPED: i32 = 77;
/// Additional time per session that joins, on top of the limit for one line.
const PER_JOIN: Duration = Duration::from_secs(2);

/// What to run and how much of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub server: PathBuf,
    /// benches/worker.c, built.
    pub worker: PathBuf,
    pub library: PathBuf,
    /// None: only the library is measured.
    pub official: Option<Official>,
    pub out: PathBuf,
    pub sessions: Vec<u64>,
    /// Number of measurements of each of the two with each number of sessions.
    pub rounds: u64,
    pub watch_s: u64,
}

/// The official client.
#[derive(Clone, Debug)]
pub struct Official {
    /// benches/livekit_worker.py, and the script that runs it in the official client's environment.
    pub worker: PathBuf,
    pub environment: PathBuf,
    /// Where that script creates the environment. It contains the official client's library.
    pub venv: PathBuf,
}

/// Result of a run.
#[derive(Debug)]
pub enum Outcome {
    Done(Box<Summary>),
    /// Why nothing was measured.
    Skipped(String),
}

/// Runs everything and adds the figures to `summary.json` as `livekit`. Prints its progress to stdout.
pub fn run(plan: &Plan) -> Result<Outcome, String> {
    fs::create_dir_all(&plan.out).map_err(|e| format!("{}: {e}", plan.out.display()))?;
    if !plan.server.is_file() {
        return Ok(Outcome::Skipped(format!("{} is not installed (make livekit)", plan.server.display())));
    }
    if let Some(official) = &plan.official {
        if let Some(why) = environment(&official.environment)? {
            return Ok(Outcome::Skipped(why));
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .build()
        .map_err(|e| format!("no runtime: {e}"))?;
    let options =
        Options { server: plan.server.clone(), nodes: 1, redis: false, proxy: false, out: plan.out.join("livekit") };
    print_now("starting the LiveKit server");
    let stand = runtime.block_on(Stand::start(&options))?;
    println!();
    let result = Bench::new(plan, &stand).and_then(|mut bench| bench.all());
    runtime.block_on(stand.end());
    let summary = result?;
    save(&plan.out.join("summary.json"), &summary)?;
    Ok(Outcome::Done(Box::new(summary)))
}

/// Creates the environment of the official client. Returns the reason if it is not available.
fn environment(script: &Path) -> Result<Option<String>, String> {
    let say = |e: std::io::Error| format!("{}: {e}", script.display());
    // The script reports slow steps on stderr.
    let output = Command::new(script).stderr(Stdio::inherit()).output().map_err(say)?;
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(None),
        Some(SKIPPED) => Ok(Some(said.trim().trim_start_matches("SKIPPED: livekit: ").to_owned())),
        _ => Err(format!("{} ended with {}: {said}", script.display(), output.status)),
    }
}

/// The official client's library in its environment.
fn official_library(venv: &Path) -> Result<PathBuf, String> {
    let lib = venv.join("lib");
    let folders = fs::read_dir(&lib).map_err(|e| format!("{}: {e}", lib.display()))?;
    folders
        .flatten()
        .map(|folder| folder.path().join("site-packages/livekit/rtc/resources/liblivekit_ffi.so"))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{}: the official client's library is not there", lib.display()))
}

/// Keeps the other members of the file, which belong to the first protocol.
fn save(file: &Path, summary: &Summary) -> Result<(), String> {
    let say = |e: &dyn std::fmt::Display| format!("{}: {e}", file.display());
    let mut all = match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).map_err(|e| say(&e))?,
        Err(_) => serde_json::json!({}),
    };
    all["livekit"] = serde_json::to_value(summary).map_err(|e| say(&e))?;
    let text = serde_json::to_string_pretty(&all).map_err(|e| say(&e))?;
    fs::write(file, text + "\n").map_err(|e| say(&e))
}

fn print_now(text: &str) {
    print!("{text}");
    // A failed flush does not stop the measurement.
    let _ = std::io::stdout().flush();
}

/// The two clients that are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Offhook,
    Official,
}

struct Bench<'a> {
    plan: &'a Plan,
    key: String,
    secret: String,
    url: String,
    started: u32,
}

impl<'a> Bench<'a> {
    fn new(plan: &'a Plan, stand: &Arc<Stand>) -> Result<Self, String> {
        let port = stand.ports.first().ok_or("no node")?;
        let (key, secret) = (stand.keys.key.clone(), stand.keys.secret.clone());
        Ok(Bench { plan, key, secret, url: format!("ws://127.0.0.1:{port}"), started: 0 })
    }

    fn all(&mut self) -> Result<Summary, String> {
        let plan = self.plan;
        let mut sizes = Vec::new();
        for n in &plan.sessions {
            let (mut ours, mut theirs) = (Side::default(), Side::default());
            for round in 1..=plan.rounds {
                let both = [(Who::Offhook, "offhook", &mut ours), (Who::Official, "official", &mut theirs)];
                for (who, name, side) in both.into_iter().take(if plan.official.is_some() { 2 } else { 1 }) {
                    print_now(&format!("{n:>3} sessions, {name:<8} {round} of {}: ", plan.rounds));
                    match self.sessions(who, *n) {
                        Ok(run) => {
                            println!("  {}", run.line());
                            side.runs.push(run);
                        }
                        // A run that is too slow for the machine is a result as well; the others continue.
                        Err(e) => {
                            println!("  FAILED: {e}");
                            side.failures.push(e);
                        }
                    }
                }
            }
            sizes.push(Size::new(*n, ours, theirs));
        }
        Ok(Summary {
            seconds: plan.watch_s,
            rounds: plan.rounds,
            library_bytes: stripped_size(&plan.library, &plan.out)?,
            official_library_bytes: match &plan.official {
                Some(official) => stripped_size(&official_library(&official.venv)?, &plan.out)?,
                None => 0,
            },
            sessions: sizes,
        })
    }

    fn start(&mut self, who: Who, mode: &str, args: &[(&str, &str)]) -> Result<Program, String> {
        let mut all = Vec::new();
        let program = match (who, &self.plan.official) {
            (Who::Official, Some(official)) => {
                all.push(official.worker.display().to_string());
                &official.environment
            }
            _ => &self.plan.worker,
        };
        let url = if who == Who::Offhook { "--livekit" } else { "--url" };
        all.extend([mode, url, &self.url, "--key", &self.key, "--secret", &self.secret].map(String::from));
        all.extend(args.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]));
        self.started += 1;
        Program::start(program, &all, &self.plan.out.join(format!("livekit-{}-{mode}", self.started)))
    }

    fn sessions(&mut self, who: Who, n: u64) -> Result<Run, String> {
        let (count, prefix) = (n.to_string(), format!("bench-{}-", self.started));
        let mut worker = self.start(who, "sessions", &[("n", &count), ("prefix", &prefix)])?;
        let heap = wait(&worker, "idle", LIMIT)?["heap_kb"].as_f64().unwrap_or(f64::NAN);
        let idle = look(worker.pid())?;
        // The last session of an odd number has no other participant in the worker. Both clients get the same one.
        let room = format!("{prefix}{}", n / 2);
        let other = match n % 2 {
            0 => None,
            _ => {
                let other = self.start(Who::Offhook, "talk", &[("call", &room), ("user", "other")])?;
                expect(&other, "ready")?;
                Some(other)
            }
        };
        worker.send_line("go")?;
        wait(&worker, "running", LIMIT + PER_JOIN * n as u32)?;
        let before = look(worker.pid())?;
        let begin = Instant::now();
        print_now("|");
        while let Some(left) = Duration::from_secs(self.plan.watch_s).checked_sub(begin.elapsed()) {
            thread::sleep(left.min(Duration::from_secs(1)));
            print_now(".");
        }
        let after = look(worker.pid())?;
        let seconds = begin.elapsed().as_secs_f64();
        worker.send_line("stop")?;
        let line = wait(&worker, "sessions", LIMIT)?;
        end(worker)?;
        drop(other);
        let frames = number(&line, "frames")?;
        if frames <= 0.0 {
            return Err("no frame was received".to_owned());
        }
        let joins: Vec<f64> = line["join_ms"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
        let per = |value: f64| round(value / n as f64);
        let cpu = (after.cpu_s - before.cpu_s) / seconds * 100.0;
        Ok(Run {
            cpu_pct_per_session: per(cpu),
            cpu_native_pct_per_session: per(cpu - line["cpu_python_pct"].as_f64().unwrap_or(0.0)),
            rss_kb_per_session: per(after.rss_kb as f64 - idle.rss_kb as f64),
            heap_kb_per_session: per(line["heap_kb"].as_f64().unwrap_or(f64::NAN) - heap),
            rss_kb: after.rss_kb as f64,
            rss_kb_idle: idle.rss_kb as f64,
            threads: after.threads as f64,
            threads_idle: idle.threads as f64,
            fds: after.fds as f64,
            fds_per_session: per(after.fds as f64 - idle.fds as f64),
            join_ms_p50: round(percentile(&joins, 0.5)),
            join_ms_p95: round(percentile(&joins, 0.95)),
            late_frames_pct: round(number(&line, "late_frames")? / frames * 100.0),
            waited_pct: round((after.wait_s - before.wait_s).max(0.0) / seconds * 100.0),
        })
    }
}

/// The worker's next line. Prints a dot for each second of waiting.
fn wait(worker: &Program, kind: &str, limit: Duration) -> Result<Value, String> {
    let begin = Instant::now();
    loop {
        match worker.line(Duration::from_secs(1)) {
            Ok(line) => return of_kind(&line, kind),
            Err(e) if e.starts_with("ended") || begin.elapsed() > limit => {
                return Err(format!("waiting for '{kind}': {e}"));
            }
            Err(_) => print_now("."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_the_first_protocol_stay() {
        let file = std::env::temp_dir().join(format!("offhook-summary-{}.json", std::process::id()));
        fs::write(&file, r#"{"join_ms_p50":2.5,"livekit":1}"#).unwrap();
        let summary =
            Summary { seconds: 1, rounds: 1, library_bytes: 1, official_library_bytes: 2, sessions: Vec::new() };
        save(&file, &summary).unwrap();
        let all: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        fs::remove_file(&file).unwrap();
        assert_eq!((&all["join_ms_p50"], &all["livekit"]["official_library_bytes"]), (&2.5.into(), &2.into()));
        assert!(official_library(Path::new("/nonexistent")).is_err());
    }
}
