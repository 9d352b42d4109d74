//! User instructions per packet, counted by callgrind: of the whole library, of its engine alone, and of the same call
//! on the async crate.
//!
//! Each program runs twice with different numbers of packets, and the difference is taken, so that the cost of start,
//! join and connect cancels out. No codec runs. Must not know: the programs beyond their lines.

use super::{
    run::{end, number, of_kind},
    summary::round,
};
use crate::{program::Program, sfu::Sfu};
use serde::Serialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Rounds of 20 ms in the two runs.
const ROUNDS: [u32; 2] = [250, 1000];
/// Sessions, two per call.
const SESSIONS: &str = "2";
/// Limit for one run under callgrind, which is about fifty times slower.
const LIMIT: Duration = Duration::from_secs(240);

/// Programs to compare.
#[derive(Clone, Debug)]
pub struct Plan {
    /// benches/worker.c, built.
    pub worker: PathBuf,
    /// benches/baseline, built on the async crate; and built on the library's engine.
    pub baseline: PathBuf,
    pub engine: PathBuf,
    pub sfu: PathBuf,
    pub out: PathBuf,
}

/// Instructions per packet, sent or received.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Instructions {
    /// Engine and sockets of the library, without the layers above.
    pub instructions_per_packet: f64,
    /// The async crate and its sockets, without layers above.
    pub baseline_instructions_per_packet: f64,
    /// The first divided by the second; both cover the same layers.
    pub instructions_ratio: f64,
    /// From the C function to the socket and from the socket to the C callback: engine, sockets, session, receive
    /// buffer, pacing, delivery.
    pub library_instructions_per_packet: f64,
}

/// One run: packets sent and received, and instructions of the whole process.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Count {
    packets: f64,
    instructions: f64,
}

/// Returns None without valgrind.
pub fn run(plan: &Plan) -> Result<Option<Instructions>, String> {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: instructions per packet: no valgrind");
        return Ok(None);
    }
    let library = both(plan, "library", &plan.worker)?;
    let engine = both(plan, "engine", &plan.engine)?;
    let baseline = both(plan, "baseline", &plan.baseline)?;
    Ok(Some(Instructions {
        instructions_per_packet: engine.round(),
        baseline_instructions_per_packet: baseline.round(),
        instructions_ratio: round(engine / baseline),
        library_instructions_per_packet: library.round(),
    }))
}

/// Instructions per packet of one program.
fn both(plan: &Plan, name: &str, program: &Path) -> Result<f64, String> {
    let [few, many] = ROUNDS.map(|rounds| once(plan, name, program, rounds));
    per_packet(few?, many?).ok_or_else(|| format!("{name}: the longer run had no more packets"))
}

fn per_packet(few: Count, many: Count) -> Option<f64> {
    let packets = many.packets - few.packets;
    (packets > 0.0).then(|| (many.instructions - few.instructions) / packets)
}

fn once(plan: &Plan, name: &str, program: &Path, rounds: u32) -> Result<Count, String> {
    let say = |e: String| format!("{name}, {rounds} rounds: {e}");
    let sfu = Sfu::start(&plan.sfu, &plan.out.join("sfu"))?;
    let file = plan.out.join(format!("callgrind-{name}-{rounds}"));
    let mut args = vec![
        "--tool=callgrind".to_owned(),
        "--fair-sched=try".to_owned(),
        format!("--callgrind-out-file={}", file.display()),
    ];
    args.extend([program.display().to_string(), "packets".to_owned()]);
    let rounds = rounds.to_string();
    args.extend(["--url", &sfu.url, "--n", SESSIONS, "--prefix", "packets", "--count", &rounds].map(String::from));
    let worker = Program::start(Path::new("valgrind"), &args, &plan.out.join(format!("packets-{name}-{rounds}")))?;
    let line = of_kind(&worker.line(LIMIT).map_err(say)?, "packets")?;
    end(worker).map_err(say)?;
    let counted = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let instructions = total(&counted).ok_or_else(|| say("callgrind reports no total".to_owned()))?;
    Ok(Count { packets: number(&line, "sent")? + number(&line, "received")?, instructions })
}

/// Sum over all threads, from callgrind's file.
fn total(file: &str) -> Option<f64> {
    let totals = file.lines().filter_map(|line| line.strip_prefix("totals:")?.trim().parse::<f64>().ok());
    let sum: f64 = totals.sum();
    (sum > 0.0).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starting_costs_cancels_out() {
        let few = Count { packets: 100.0, instructions: 1_500_000.0 };
        let many = Count { packets: 300.0, instructions: 2_500_000.0 };
        assert_eq!(per_packet(few, many), Some(5000.0));
        assert_eq!(per_packet(many, many), None);
    }

    #[test]
    fn callgrinds_total_is_found() {
        assert_eq!(total("version: 1\nfn=(1) totals\n0 5\ntotals: 12345\n"), Some(12345.0));
        assert_eq!(total("events: Ir\n"), None);
    }
}
