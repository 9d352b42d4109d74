//! `make demo`: two talkers and a bot in one call over a real SFU, watched live, and judged.
//!
//! Exit code 0 when both voices were really heard and every late offer was dropped in silence.
#![forbid(unsafe_code)]

use offhook_tools::{
    args::Args,
    demo::run::{run, Plan},
};
use std::{io::IsTerminal, process::ExitCode};

fn main() -> ExitCode {
    let result = plan().and_then(|plan| run(&plan).map(|(_, wrong)| (plan, wrong)));
    match result {
        Ok((plan, wrong)) if wrong.is_empty() => {
            println!("\nok: both voices were heard, every late offer was dropped in silence");
            println!("report: {}", plan.out.join("report.json").display());
            ExitCode::SUCCESS
        }
        Ok((plan, wrong)) => {
            println!("\nNOT ok:");
            for line in wrong {
                println!("  - {line}");
            }
            println!("logs and recordings: {}", plan.out.display());
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("offhook-demo: {e}");
            ExitCode::FAILURE
        }
    }
}

fn plan() -> Result<Plan, String> {
    let args = Args::parse(std::env::args().skip(1), &["sfu", "call", "bot", "speech", "out", "seconds"])?;
    let seconds = args.number("seconds", 20)?;
    if !(6..=600).contains(&seconds) {
        return Err("--seconds is between 6 and 600".to_owned());
    }
    Ok(Plan {
        sfu: args.path("sfu")?,
        call: args.path("call")?,
        bot: args.path("bot")?,
        speech: args.path("speech")?,
        out: args.path("out")?,
        seconds,
        ansi: std::io::stdout().is_terminal() && std::env::var("TERM").is_ok_and(|t| t != "dumb"),
    })
}
