//! `make soak`: fifty sessions in one process, and an SFU that injects faults.
//!
//! Exit code 0 when every session recovered or ended as promised. `summary.json` has the figures.
#![forbid(unsafe_code)]

use offhook_tools::{
    args::Args,
    soak::run::{run, Plan},
};
use std::{io::IsTerminal, process::ExitCode};

fn main() -> ExitCode {
    match plan().and_then(|plan| run(&plan).map(|summary| (plan, summary))) {
        Ok((plan, summary)) => {
            println!("\n{}\nsummary: {}", summary.table(), plan.out.join("summary.json").display());
            if summary.ok {
                println!("ok: every session reconnected or ended with one event; no other session was affected");
                return ExitCode::SUCCESS;
            }
            println!("NOT ok (again with SEED={}):", summary.seed);
            for line in summary.wrong.iter().take(40) {
                println!("  - {line}");
            }
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("\noffhook-soak: {e}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan, String> {
    let known = ["sfu", "worker", "out", "seconds", "seed", "quiet", "storm", "republish"];
    let args = Args::parse(std::env::args().skip(1), &known)?;
    Ok(Plan {
        sfu: args.path("sfu")?,
        worker: args.path("worker")?,
        out: args.path("out")?,
        seconds: args.number("seconds", 600)?.clamp(10, 7 * 24 * 3600),
        seed: args.number("seed", 1)?,
        quiet: args.number("quiet", 14)?.clamp(2, 200) as usize,
        storm: args.number("storm", 36)?.clamp(3, 300) as usize,
        republish: args.number("republish", 0)? != 0,
        ansi: std::io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|t| t != "dumb"),
    })
}
