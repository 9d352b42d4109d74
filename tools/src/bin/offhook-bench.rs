//! `make bench`: measures the library from outside its process and writes `summary.json`.
#![forbid(unsafe_code)]

use offhook_tools::{
    args::Args,
    bench::{
        livekit,
        run::{run, Plan},
    },
};
use std::process::ExitCode;

/// Exit code that callers treat as a skip.
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    let known = [
        "sfu",
        "worker",
        "library",
        "lookup",
        "baseline",
        "engine",
        "out",
        "joins",
        "late-offers",
        "reconnects",
        "dead-sockets",
        "watch-seconds",
        "livekit",
        "official",
        "environment",
        "venv",
        "sessions",
        "rounds",
    ];
    let result = Args::parse(std::env::args().skip(1), &known).and_then(|args| {
        if args.has("livekit") {
            compare(&args)
        } else {
            measure(&args)
        }
    });
    result.unwrap_or_else(|e| {
        eprintln!("offhook-bench: {e}");
        ExitCode::FAILURE
    })
}

/// Measures the library on the development SFU.
fn measure(args: &Args) -> Result<ExitCode, String> {
    let plan = Plan {
        sfu: args.path("sfu")?,
        worker: args.path("worker")?,
        library: args.path("library")?,
        lookup: args.path("lookup")?,
        alone: if args.has("baseline") { Some((args.path("baseline")?, args.path("engine")?)) } else { None },
        out: args.path("out")?,
        joins: args.number("joins", 50)?.clamp(1, 10_000),
        late_offers: args.number("late-offers", 5000)?.clamp(1, 1_000_000),
        reconnects: args.number("reconnects", 20)?.clamp(1, 1000),
        dead_sockets: args.number("dead-sockets", 2)?.clamp(1, 100),
        sessions: args.numbers("sessions", &[1, 10, 50])?,
        watch_s: args.number("watch-seconds", 10)?.clamp(1, 600),
    };
    check_sessions(&plan.sessions)?;
    let summary = run(&plan)?;
    println!("\n{}\nsummary: {}", summary.table(), plan.out.join("summary.json").display());
    Ok(ExitCode::SUCCESS)
}

fn check_sessions(sessions: &[u64]) -> Result<(), String> {
    if sessions.iter().all(|n| (1..=1000).contains(n)) {
        Ok(())
    } else {
        Err("--sessions are between 1 and 1000".to_owned())
    }
}

/// Measures the library and the official client on the LiveKit server.
fn compare(args: &Args) -> Result<ExitCode, String> {
    let plan = livekit::Plan {
        server: args.path("livekit")?,
        worker: args.path("worker")?,
        library: args.path("library")?,
        official: if args.has("official") {
            Some(livekit::Official {
                worker: args.path("official")?,
                environment: args.path("environment")?,
                venv: args.path("venv")?,
            })
        } else {
            None
        },
        out: args.path("out")?,
        sessions: args.numbers("sessions", &[1, 5, 10, 25, 50])?,
        rounds: args.number("rounds", 2)?.clamp(1, 20),
        watch_s: args.number("watch-seconds", 10)?.clamp(1, 600),
    };
    check_sessions(&plan.sessions)?;
    match livekit::run(&plan)? {
        livekit::Outcome::Done(summary) => {
            println!("\n{}\nsummary: {}", summary.table(), plan.out.join("summary.json").display());
            Ok(if summary.complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        livekit::Outcome::Skipped(why) => {
            eprintln!("SKIPPED: livekit: {why}");
            Ok(ExitCode::from(SKIPPED))
        }
    }
}
