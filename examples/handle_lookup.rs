//! Measures how long it takes to resolve a live handle: one line of JSON, `{"lookup_ns":n}`.
//!
//! This is the part of every exported function that turns a number into an object, without the rest of the
//! call. `make bench` runs it. Knows nothing of calls.

use offhook::capi::handles::{registry, Kind, Object};
use std::{hint::black_box, sync::Arc, time::Instant};

/// Handles that live at the same time; as many as a busy process has.
const LIVE: usize = 1000;
const LOOKUPS: usize = 1_000_000;
const ROUNDS: usize = 15;

struct Thing;

impl Object for Thing {
    const KIND: Kind = Kind::Track;
}

fn main() {
    let ids: Vec<u64> = (0..LIVE).map(|_| registry().insert(Arc::new(Thing)).expect("room for the handles")).collect();
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            for id in ids.iter().cycle().take(LOOKUPS) {
                black_box(registry().get::<Thing>(black_box(*id)).expect("a live handle"));
            }
            began.elapsed().as_nanos() as f64 / LOOKUPS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{{\"lookup_ns\":{:.2}}}", rounds[ROUNDS / 2]);
}
