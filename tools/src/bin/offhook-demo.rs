//! `make demo`: two talkers and a bot in one call over a real SFU, shown live, and judged.
//!
//! Exit code 0 when both voices arrived and every late offer was dropped without an error. With `--livekit` it is `make
//! demo-livekit`: two talkers over two nodes, one of which is killed.
#![forbid(unsafe_code)]

use offhook_tools::{
    args::Args,
    demo::{
        listen::listen,
        livekit,
        run::{run, Plan},
    },
};
use std::{io::IsTerminal, path::Path, process::ExitCode};

/// Exit code that callers treat as a skip.
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    let known = ["sfu", "call", "bot", "speech", "out", "seconds", "livekit"];
    let result = Args::parse(std::env::args().skip(1), &known).and_then(|args| {
        if args.has("livekit") {
            cluster(&args)
        } else {
            one_sfu(&args)
        }
    });
    result.unwrap_or_else(|e| {
        eprintln!("offhook-demo: {e}");
        ExitCode::FAILURE
    })
}

/// Runs the demo on the development SFU, with late offers.
fn one_sfu(args: &Args) -> Result<ExitCode, String> {
    let plan = Plan {
        sfu: args.path("sfu")?,
        call: args.path("call")?,
        bot: args.path("bot")?,
        speech: args.path("speech")?,
        out: args.path("out")?,
        seconds: seconds(args, 20, 6)?,
        ansi: ansi(),
    };
    let (_, wrong) = run(&plan)?;
    Ok(verdict(&wrong, "both voices arrived, every late offer was dropped without an error", &plan.out))
}

/// Runs the demo on a cluster of LiveKit servers; one node is killed.
fn cluster(args: &Args) -> Result<ExitCode, String> {
    let plan = livekit::Plan {
        server: args.path("livekit")?,
        call: args.path("call")?,
        speech: args.path("speech")?,
        out: args.path("out")?,
        seconds: seconds(args, 40, 18)?,
        ansi: ansi(),
    };
    match livekit::run(&plan)? {
        livekit::Outcome::Done(_, wrong) => Ok(verdict(
            &wrong,
            "the node died, both were joined again within 10 s and received each other's audio",
            &plan.out,
        )),
        livekit::Outcome::Skipped(why) => {
            eprintln!("SKIPPED: livekit: {why}");
            Ok(ExitCode::from(SKIPPED))
        }
    }
}

fn verdict(wrong: &[String], promise: &str, out: &Path) -> ExitCode {
    if wrong.is_empty() {
        println!("\nok: {promise}\nreport: {}", out.join("report.json").display());
        print!("{}", listen(out, &std::env::var("PATH").unwrap_or_default()));
        return ExitCode::SUCCESS;
    }
    println!("\nNOT ok:");
    for line in wrong {
        println!("  - {line}");
    }
    println!("logs and recordings: {}", out.display());
    ExitCode::FAILURE
}

fn seconds(args: &Args, default: u64, least: u64) -> Result<u64, String> {
    let seconds = args.number("seconds", default)?;
    if !(least..=600).contains(&seconds) {
        return Err(format!("--seconds is between {least} and 600"));
    }
    Ok(seconds)
}

fn ansi() -> bool {
    std::io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|t| t != "dumb")
}
