//! The measured call: its arguments, and packets in both directions until enough have passed.
//!
//! Must not know: the WebRTC stack in use.

use crate::signalling::{with_context, Result, Session};
use bytes::Bytes;
use std::{
    process::ExitCode,
    sync::{
        atomic::{AtomicU64, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};

/// A 20 ms frame at 64 kbit/s, the same as in packets.c (RFC 6716).
const FRAME: [u8; 160] = [0x78; 160];
const LIMIT: Duration = Duration::from_secs(120);

/// The WebRTC stack: creates the peer connections of one session.
pub trait Stack: Sized {
    type Publisher;
    type Subscriber;

    fn new() -> Result<Self>;
    /// Creates the publisher. Also returns its offer and the mid of its track.
    async fn publisher(&self) -> Result<(Self::Publisher, String, String)>;
    async fn answered(publisher: &mut Self::Publisher, sdp: String) -> Result<()>;
    /// Creates the subscriber. Also returns the answer to `offer`. Received packets are counted in `received`.
    async fn subscriber(&self, offer: String, received: Arc<AtomicU64>) -> Result<(Self::Subscriber, String)>;
    async fn connected(subscriber: &mut Self::Subscriber) -> Result<()>;
    async fn write(publisher: &Self::Publisher, number: u32, payload: Bytes) -> Result<()>;
}

#[derive(Clone, Default)]
struct Arguments {
    url: String,
    prefix: String,
    n: usize,
    count: u32,
}

fn arguments(name: &str) -> Result<Arguments> {
    let mut arguments = Arguments { prefix: name.to_owned(), n: 2, count: 250, ..Arguments::default() };
    let mut rest = std::env::args().skip(1);
    if rest.next().as_deref() != Some("packets") {
        return Err("usage: packets --url URL [--prefix P] [--n N] [--count C]".to_owned());
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

async fn run<S: Stack>(arguments: Arguments) -> Result<()> {
    let received = Arc::new(AtomicU64::new(0));
    let (mut publishers, mut sessions, mut subscribers) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..arguments.n {
        let call = format!("{}{}", arguments.prefix, i / 2);
        let session = Session::join(&arguments.url, if i % 2 == 1 { "u1" } else { "u0" }, &call).await?;
        let stack = S::new()?;
        let (mut publisher, offer, mid) = stack.publisher().await?;
        S::answered(&mut publisher, session.publish(offer, mid).await?).await?;
        publishers.push(publisher);
        sessions.push((session, stack));
    }
    for (mut session, stack) in sessions {
        let offer = session.offers.recv().await.ok_or("no offer from the SFU")?;
        let (mut subscriber, answer) = stack.subscriber(offer.sdp, received.clone()).await?;
        session.answer(offer.negotiation_id, answer).await?;
        S::connected(&mut subscriber).await?;
        subscribers.push((subscriber, stack));
        tokio::spawn(session.keep_alive());
    }
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let (mut sent, mut rounds, mut number) = (0u64, 0, 0u32);
    let begin = Instant::now();
    let any_received = |sent: u64| received.load(Ordering::Relaxed) > 0 || sent == 0;
    while rounds < arguments.count {
        tick.tick().await;
        for publisher in &publishers {
            S::write(publisher, number, Bytes::from_static(&FRAME)).await?;
            sent += 1;
        }
        number += 1;
        rounds += u32::from(any_received(sent));
        if rounds == 0 && begin.elapsed() > LIMIT {
            return Err("no packets received".to_owned());
        }
    }
    println!(r#"{{"kind":"packets","sent":{sent},"received":{}}}"#, received.load(Ordering::Relaxed));
    Ok(())
}

/// Runs the program `name`.
pub fn program<S: Stack>(name: &str) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let result = arguments(name).and_then(|arguments| {
        let runtime = runtime.map_err(|e| with_context("cannot start the tokio runtime")(&e))?;
        let result = runtime.block_on(run::<S>(arguments));
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{name}: {e}");
            ExitCode::FAILURE
        }
    }
}
