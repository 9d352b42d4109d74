//! The development SFU as a program: prints its URL as one line of JSON, then logs to stderr until it is stopped.

use offhook_sfu::{Config, Level, Sfu};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{io::Read, process::ExitCode};

const USAGE: &str = "\
usage: offhook-sfu [options]
  --listen ADDRESS:PORT  address to listen on (default 127.0.0.1:0; port 0 picks a free port); IPv6 as [::1]:0
  --allow-remote         permit addresses that are not loopback
  --address ADDRESS      local address for media; repeatable (default: the one that the client's signalling used)
  --public-address ADDRESS
                         announce this address instead of the local one, with the same ports; one per family
  --public-url URL       base of the SFUs' URLs in the coordinator's answers (default: the address the client used)
  --ice-tcp-port PORT    media also over TCP on this port; 0 picks a free port
  --no-udp               no media over UDP; needs --ice-tcp-port
  --ice-server URL[,USER,PASSWORD]
                         STUN or TURN server for clients; repeatable. Other users of the machine can see the arguments.
  --log LEVEL            log level of stderr: off, warn, info (default) or debug
  --exit-with-stdin      stop when standard input closes
  --help                 this text
Prints {\"url\":\"http://ADDRESS:PORT\"} to standard output when it is ready.";

struct Arguments {
    config: Config,
    exit_with_stdin: bool,
}

fn arguments() -> Result<Option<Arguments>, String> {
    let mut config = Config { log: Level::Info, ..Config::default() };
    let mut exit_with_stdin = false;
    let mut rest = std::env::args().skip(1);
    while let Some(name) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => {
                let text = value()?;
                config.listen = text.parse().map_err(|_| format!("{text:?} is not an address with a port"))?;
            }
            "--allow-remote" => config.allow_remote = true,
            "--address" => config.addresses.push(value()?.parse()?),
            "--public-address" => {
                let text = value()?;
                config.public_addresses.push(text.parse().map_err(|_| format!("{text:?} is not an IP address"))?);
            }
            "--public-url" => config.public_url = Some(value()?.parse()?),
            "--ice-tcp-port" => {
                let text = value()?;
                config.ice_tcp_port = Some(text.parse().map_err(|_| format!("{text:?} is not a port"))?);
            }
            "--no-udp" => config.udp = false,
            "--ice-server" => config.ice_servers.push(value()?.parse()?),
            "--log" => config.log = value()?.parse()?,
            "--exit-with-stdin" => exit_with_stdin = true,
            "--help" | "-h" => return Ok(None),
            other => return Err(format!("unknown option {other}")),
        }
    }
    Ok(Some(Arguments { config, exit_with_stdin }))
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("offhook-sfu: {text}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("offhook-sfu: cannot start the tokio runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run(arguments));
    // A thread may still be reading standard input.
    runtime.shutdown_background();
    code
}

async fn run(arguments: Arguments) -> ExitCode {
    let Ok(mut signals) = Signals::new([SIGTERM, SIGINT]) else {
        eprintln!("offhook-sfu: cannot install signal handlers");
        return ExitCode::FAILURE;
    };
    let sfu = match Sfu::start(arguments.config).await {
        Ok(sfu) => sfu,
        Err(error) => {
            eprintln!("offhook-sfu: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", serde_json::json!({ "url": sfu.url() }));
    let (closed_tx, mut closed) = tokio::sync::mpsc::channel::<()>(1);
    let (keep_open, signalled) = (closed_tx.clone(), closed_tx.clone());
    std::thread::spawn(move || {
        for _ in signals.forever() {
            let _ = signalled.blocking_send(());
        }
    });
    if arguments.exit_with_stdin {
        std::thread::spawn(move || {
            let mut sink = [0u8; 256];
            while matches!(std::io::stdin().read(&mut sink), Ok(n) if n > 0) {}
            let _ = closed_tx.blocking_send(());
        });
    }
    closed.recv().await;
    drop(keep_open);
    sfu.stop().await;
    ExitCode::SUCCESS
}
