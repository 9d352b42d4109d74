//! What `make bench` compares with: sessions on the async crate `webrtc`, which publish and hear, with the SFU, the
//! packets and the lines of `benches/worker.c packets` (tools/README.md). Nothing of the library is in it.
//!
//! `offhook-baseline packets --url URL --prefix P --n N --count C`
#![forbid(unsafe_code)]

mod peers;
mod signalling;
mod sockets;

use bytes::Bytes;
use peers::{Publisher, Subscriber};
use signalling::{Result, Session};
use std::{
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

/// A frame of 20 ms at 64 kbit/s, as worker.c sends it (RFC 6716).
const FRAME: [u8; 160] = [0x78; 160];
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Default)]
struct Arguments {
    url: String,
    prefix: String,
    n: usize,
    count: u32,
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments { prefix: "baseline".to_owned(), n: 2, count: 250, ..Arguments::default() };
    let mut rest = std::env::args().skip(1);
    if rest.next().as_deref() != Some("packets") {
        return Err("usage: offhook-baseline packets --url URL [--prefix P] [--n N] [--count C]".to_owned());
    }
    while let Some(name) = rest.next() {
        let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.parse::<u32>().map_err(|_| format!("{name}: not a number: {value}"));
        match name.as_str() {
            "--url" => arguments.url = value,
            "--prefix" => arguments.prefix = value,
            "--n" => arguments.n = number()? as usize,
            "--count" => arguments.count = number()?,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(arguments)
}

async fn run(arguments: Arguments) -> Result<()> {
    let received = Arc::new(AtomicU64::new(0));
    let (mut publishers, mut sessions, mut subscribers) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..arguments.n {
        let call = format!("{}{}", arguments.prefix, i / 2);
        let session = Session::join(&arguments.url, if i % 2 == 1 { "u1" } else { "u0" }, &call).await?;
        let (mut publisher, offer, mid) = Publisher::new().await?;
        publisher.answered(session.publish(offer, mid).await?).await?;
        publishers.push(publisher);
        sessions.push(session);
    }
    for mut session in sessions {
        let offer = session.offers.recv().await.ok_or("no offer of the SFU")?;
        let (mut subscriber, answer) = Subscriber::new(offer.sdp, received.clone()).await?;
        session.answer(offer.negotiation_id, answer).await?;
        subscriber.connected().await?;
        subscribers.push(subscriber);
        tokio::spawn(session.live());
    }
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let (mut sent, mut rounds, mut number) = (0u64, 0, 0u32);
    let begin = Instant::now();
    let heard_all = |sent: u64| received.load(Ordering::Relaxed) > 0 || sent == 0;
    while rounds < arguments.count {
        tick.tick().await;
        for publisher in &publishers {
            publisher.write(number, Bytes::from_static(&FRAME)).await?;
            sent += 1;
        }
        number += 1;
        rounds += u32::from(heard_all(sent));
        if rounds == 0 && begin.elapsed() > LIMIT {
            return Err("nothing is heard".to_owned());
        }
    }
    println!(r#"{{"kind":"packets","sent":{sent},"received":{}}}"#, received.load(Ordering::Relaxed));
    Ok(())
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = arguments().and_then(|arguments| {
        let runtime = runtime.map_err(|e| signalling::said("no runtime")(&e))?;
        let result = runtime.block_on(run(arguments));
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("offhook-baseline: {e}");
            ExitCode::FAILURE
        }
    }
}
