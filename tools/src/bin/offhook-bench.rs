//! `make bench`: measures the library from outside and writes `summary.json`.
#![forbid(unsafe_code)]

use offhook_tools::{
    args::Args,
    bench::run::{run, Plan},
};
use std::process::ExitCode;

fn main() -> ExitCode {
    match plan().and_then(|plan| run(&plan).map(|summary| (plan, summary))) {
        Ok((plan, summary)) => {
            println!("\n{}\nsummary: {}", summary.table(), plan.out.join("summary.json").display());
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("offhook-bench: {e}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan, String> {
    let known = [
        "sfu",
        "worker",
        "library",
        "lookup",
        "out",
        "joins",
        "late-offers",
        "reconnects",
        "dead-sockets",
        "watch-seconds",
    ];
    let args = Args::parse(std::env::args().skip(1), &known)?;
    Ok(Plan {
        sfu: args.path("sfu")?,
        worker: args.path("worker")?,
        library: args.path("library")?,
        lookup: args.path("lookup")?,
        out: args.path("out")?,
        joins: args.number("joins", 50)?.clamp(1, 10_000),
        late_offers: args.number("late-offers", 5000)?.clamp(1, 1_000_000),
        reconnects: args.number("reconnects", 20)?.clamp(1, 1000),
        dead_sockets: args.number("dead-sockets", 2)?.clamp(1, 100),
        sessions: vec![1, 10, 50],
        watch_s: args.number("watch-seconds", 10)?.clamp(1, 600),
    })
}
