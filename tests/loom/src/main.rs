//! The library's hand-made synchronisation under loom: the handle registry, the dispatcher and the
//! close latch, as they are, file by file, with the checker's primitives in place of the system's.
//!
//! A program and not a test, because the unit tests inside those files are not for the checker.
//! `make loom` runs every model; with names as arguments only those; LOOM_PREEMPTIONS=n looks further.

#[allow(dead_code, unused_imports)]
#[path = "../../../src/dispatch/mod.rs"]
mod dispatch;
#[allow(dead_code, unused_imports)]
#[path = "../../../src/error.rs"]
mod error;
#[allow(dead_code, unused_imports)]
#[path = "../../../src/capi/handles.rs"]
mod handles;
#[allow(dead_code, unused_imports)]
#[path = "../../../src/session/latch.rs"]
mod latch;
mod models;
#[allow(dead_code, unused_imports)]
mod sync;

/// What the dispatcher needs of panics: its threads have nothing to prepare, and what panics is told on standard error.
mod panics {
    use std::panic::{catch_unwind, AssertUnwindSafe};

    pub(crate) fn thread_started() {}

    pub(crate) fn contain<T>(f: impl FnOnce() -> T) -> Result<T, String> {
        catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
            let text = payload.downcast_ref::<&str>().map_or_else(String::new, |text| (*text).to_owned());
            eprintln!("a panic was contained: {text}");
            text
        })
    }
}

use std::time::{Duration, Instant};
use sync::Time;

/// One model: a closure that is run for every order of its threads' steps.
pub struct Model {
    pub name: &'static str,
    /// Switches between threads that nothing forces, at most per run.
    pub preemptions: usize,
    pub time: Time,
    pub run: fn(),
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let more: usize = std::env::var("LOOM_PREEMPTIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let limit = std::env::var("LOOM_SECONDS").ok().and_then(|n| n.parse().ok()).map(Duration::from_secs);
    let began = Instant::now();
    let mut count = 0;
    for model in models::all() {
        if !wanted.is_empty() && !wanted.iter().any(|w| model.name.contains(w.as_str())) {
            continue;
        }
        println!("model {} ({} preemptions at most)", model.name, model.preemptions.max(more));
        let (runs, seconds) = check(&model, model.preemptions.max(more), limit);
        println!("ok    {}: {runs} orders in {seconds:.1} s", model.name);
        count += 1;
    }
    assert!(count > 0, "no model has such a name");
    println!("{count} models hold, {:.1} s", began.elapsed().as_secs_f32());
}

fn check(model: &Model, preemptions: usize, limit: Option<Duration>) -> (usize, f32) {
    use std::sync::{
        atomic::{AtomicUsize, Ordering::Relaxed},
        Arc,
    };
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.max_duration = limit;
    builder.checkpoint_interval = 1_000;
    let runs = Arc::new(AtomicUsize::new(0));
    let (counter, time, run) = (runs.clone(), model.time, model.run);
    let began = Instant::now();
    builder.check(move || {
        counter.fetch_add(1, Relaxed);
        sync::begin(time);
        run();
    });
    (runs.load(Relaxed), began.elapsed().as_secs_f32())
}
