//! The test stand around the real LiveKit server as a program. It prints one line of JSON when it is ready, and ends
//! when its stdin closes or on a signal. docs/livekit-stand.md describes it.

use offhook_tools::{
    args::Args,
    livekit::{
        ctl, process,
        stand::{Options, Stand},
    },
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{io::Read, path::PathBuf, process::ExitCode};
use tokio::sync::mpsc;

const USAGE: &str = "\
usage: offhook-livekit --server PATH [options]
  --server PATH      the livekit-server (make livekit: target/tools/livekit-server)
  --nodes N          number of nodes; more than one share a Redis (default 1)
  --redis            start a Redis even for one node
  --proxy            a fault proxy before each node
  --out DIR          configuration files and logs (default target/livekit)
  --exit-with-stdin  stop when standard input closes
Exit code 77: skipped, because the server or redis-server is not installed.";
/// Exit code that callers treat as a skip.
const SKIPPED: u8 = 77;

fn main() -> ExitCode {
    let args = Args::parse_with_flags(
        std::env::args().skip(1),
        &["server", "nodes", "out"],
        &["redis", "proxy", "exit-with-stdin", "help"],
    );
    if args.as_ref().is_ok_and(|args| args.has("help")) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let options = args.and_then(|args| {
        let options = Options {
            server: args.path("server")?,
            nodes: args.number("nodes", 1)?.clamp(1, 8) as usize,
            redis: args.has("redis"),
            proxy: args.has("proxy"),
            out: if args.has("out") { args.path("out")? } else { PathBuf::from("target/livekit") },
        };
        Ok((options, args.has("exit-with-stdin")))
    });
    let (options, with_stdin) = match options {
        Ok(options) => options,
        Err(text) => {
            eprintln!("offhook-livekit: {text}");
            return ExitCode::from(2);
        }
    };
    if !options.server.is_file() {
        eprintln!("SKIPPED: livekit: {} is not installed (make livekit)", options.server.display());
        return ExitCode::from(SKIPPED);
    }
    if (options.redis || options.nodes > 1) && process::find("redis-server").is_none() {
        eprintln!("SKIPPED: livekit: no redis-server in PATH for a cluster");
        return ExitCode::from(SKIPPED);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("offhook-livekit: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = match runtime.block_on(run(options, with_stdin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("offhook-livekit: {text}");
            ExitCode::FAILURE
        }
    };
    // A thread may still be blocked on stdin.
    runtime.shutdown_background();
    code
}

async fn run(options: Options, with_stdin: bool) -> Result<(), String> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(|e| e.to_string())?;
    let (closed_tx, mut closed) = mpsc::channel::<()>(1);
    let signalled = closed_tx.clone();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let _ = signalled.blocking_send(());
        }
    });
    let keep_open = closed_tx.clone();
    if with_stdin {
        std::thread::spawn(move || {
            let mut sink = [0u8; 256];
            while matches!(std::io::stdin().read(&mut sink), Ok(n) if n > 0) {}
            let _ = closed_tx.blocking_send(());
        });
    }
    let end = async {
        closed.recv().await;
    };
    tokio::pin!(end);
    // If dropped while it starts, everything started so far ends as well.
    let stand = tokio::select! {
        stand = Stand::start(&options) => stand?,
        () = &mut end => return Ok(()),
    };
    let control = ctl::serve(stand.clone()).await?;
    println!("{}", stand.greeting(&control));
    end.await;
    stand.end().await;
    drop(keep_open);
    Ok(())
}
