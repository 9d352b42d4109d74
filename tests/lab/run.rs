//! One seed from beginning to end, many seeds on all cores, and the report of a failing seed.

use super::{
    faults::{plan, ALL, CLASSES},
    plants::Plant,
    world::{Act, Ev, Ms, World},
};
use offhook::core::{model::PeerKind, rng::Rng, Counters, Event, State};
use offhook::error::Code;
use std::{
    panic::{catch_unwind, AssertUnwindSafe},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    sync::Mutex,
    time::{Duration, Instant},
};

/// After the last fault every session is back or has ended within this time: the total disconnection timeout, plus the
/// duration of one attempt that began just before.
pub const CALM: Ms = 75_000;

/// What to run, from the environment.
#[derive(Clone, Debug)]
pub struct Settings {
    pub seeds: u64,
    pub from: u64,
    pub plant: Option<Plant>,
    pub classes: u32,
    pub quiet: bool,
}

/// Totals over a run.
#[derive(Clone, Debug, Default)]
pub struct Reached {
    pub joined: u64,
    pub ended: u64,
    /// Sessions that were connected at the end of the calm phase.
    pub survived: u64,
    pub counters: Counters,
    pub published: u64,
    /// Received packets and texts, and answered procedure calls.
    pub received: u64,
    pub answered: u64,
}

impl Reached {
    fn add(&mut self, other: &Reached) {
        self.joined += other.joined;
        self.ended += other.ended;
        self.survived += other.survived;
        self.published += other.published;
        self.received += other.received;
        self.answered += other.answered;
        add(&mut self.counters, other.counters);
    }
}

/// The violation of one seed.
#[derive(Clone, Debug)]
pub struct Violation {
    pub seed: u64,
    pub what: String,
}

fn one(seed: u64, classes: u32, spared: bool, plant: Option<Plant>, trace: bool) -> World {
    let mut world = World::new(plan(seed, classes, spared));
    world.plant = plant;
    world.trace = trace.then(Vec::new);
    through(world)
}

/// Runs a seed in which all sessions keep a trace.
pub fn traced(seed: u64) -> World {
    let mut world = World::new(plan(seed, ALL, false));
    world.trace_calls();
    through(world)
}

/// Runs every session from the beginning to the end.
fn through(mut world: World) -> World {
    let (seed, calm) = (world.setup.seed, world.setup.calm);
    // One per session: the state of one must not affect another.
    let mut rngs: Vec<Rng> =
        (0..world.clients.len() as u64).map(|n| Rng::new(!seed ^ n.wrapping_mul(0xd134_2543_de82_ef95))).collect();
    world.begin();
    world.run_until(calm);
    world.note(|| "----- no faults from here on".into());
    world.calm();
    world.run(5_000);
    for (client, rng) in rngs.iter_mut().enumerate() {
        let app = &world.clients[client].app;
        let silent = app.tracks.is_empty() && !app.publisher_closed && app.ended.is_none();
        if silent && world.setup.clients[client].publishes_at_last {
            let act = Act::Publish { muted: rng.between(0, 3) == 0 };
            world.at(world.now, Ev::App(client, act));
        }
    }
    world.run(CALM - 5_000);
    if world.broken.is_some() {
        return world;
    }
    world.judge_calm();
    for client in &mut world.clients {
        client.app.survived = client.app.joined && client.app.ended.is_none();
    }
    // Every session leaves.
    world.note(|| "----- all sessions leave".into());
    let left = world.now;
    for (client, mut rng) in rngs.into_iter().enumerate() {
        if rng.between(0, 9) == 0 {
            world.at(left, Ev::App(client, Act::ClosePeer(PeerKind::Subscriber)));
        }
        world.at(left + rng.between(0, 50), Ev::App(client, Act::Leave));
        if rng.between(0, 9) == 0 {
            world.at(left + rng.between(0, 100), Ev::App(client, Act::Leave));
        }
        for _ in 0..rng.between(0, 4) {
            let fault = super::faults::Fault::Stale(rng.next_u64());
            world.at(left + rng.between(0, 3_000), Ev::Fault(client, fault));
        }
    }
    world.run(60_000);
    for client in 0..world.clients.len() {
        if world.broken.is_none() && !world.clients[client].check.is_finished() {
            world.fault(format!("session {client} left {} ms ago and has not ended", world.now - left));
        }
    }
    world
}

/// Runs a seed; an isolated one twice, and compares the runs.
fn seed(seed: u64, classes: u32, plant: Option<Plant>, trace: bool) -> (World, Option<String>) {
    let mut world = one(seed, classes, false, plant, trace);
    if let Some(what) = world.broken.take() {
        return (world, Some(what));
    }
    if !world.setup.isolated {
        return (world, None);
    }
    for client in 1..world.clients.len() {
        let disturbed = |(_, e): &&(Ms, Event)| match e {
            // A call at the wrong time is an error of its own application.
            Event::Error(error) if error.code == Code::State => false,
            Event::Error(_) | Event::Reconnected { .. } => true,
            Event::State { state, .. } => !matches!(state, State::Joining | State::Joined | State::Left),
            _ => false,
        };
        let found = world.clients[client].log.iter().find(disturbed);
        let found =
            found.map(|(at, e)| format!("session {client} is affected by another session's fault at {at}: {e:?}"));
        if found.is_some() {
            return (world, found);
        }
    }
    let spared = one(seed, classes, true, plant, false);
    if let Some(what) = spared.broken {
        return (world, Some(format!("in the run without the fault: {what}")));
    }
    for client in 0..world.clients.len() {
        if world.clients[client].room == world.clients[0].room {
            continue;
        }
        let (mut ours, theirs) = (world.clients[client].log.clone(), &spared.clients[client].log);
        if plant == Some(Plant::Crosstalk) {
            ours.extend(world.clients[0].log.last().cloned());
        }
        if ours != *theirs {
            let at = ours.iter().zip(theirs).position(|(a, b)| a != b).unwrap_or(ours.len().min(theirs.len()));
            let what = format!(
                "session {client} in another room: event {at} is {:?}, without the fault it is {:?}",
                ours.get(at),
                theirs.get(at)
            );
            return (world, Some(what));
        }
    }
    (world, None)
}

/// As [`seed`]; a panic inside is a violation as well.
fn guarded(number: u64, classes: u32, plant: Option<Plant>, trace: bool) -> Result<World, (String, Vec<String>)> {
    let result = catch_unwind(AssertUnwindSafe(|| seed(number, classes, plant, trace)));
    match result {
        Ok((world, None)) => Ok(world),
        Ok((mut world, Some(what))) => Err((what, world.trace.take().unwrap_or_default())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned()));
            Err((format!("a panic: {}", text.unwrap_or_default()), Vec::new()))
        }
    }
}

/// Runs one seed. Returns what it reached, or its violation.
pub fn try_seed(number: u64, classes: u32, plant: Option<Plant>) -> Result<Reached, String> {
    let world = guarded(number, classes, plant, false).map_err(|(what, _)| what)?;
    let mut reached = Reached::default();
    for client in &world.clients {
        reached.joined += u64::from(client.app.joined);
        reached.ended += u64::from(client.app.ended.is_some());
        reached.survived += u64::from(client.app.survived);
        reached.published +=
            client.log.iter().filter(|(_, e)| matches!(e, Event::LocalPublished { .. })).count() as u64;
        reached.received += client.check.data.received;
        reached.answered += client.check.data.answered;
        add(&mut reached.counters, client.core.counters());
    }
    Ok(reached)
}

pub fn add(sum: &mut Counters, c: Counters) {
    sum.late_offers += c.late_offers;
    sum.late_other += c.late_other;
    sum.offers_answered += c.offers_answered;
    sum.offers_failed += c.offers_failed;
    sum.offers_while_leaving += c.offers_while_leaving;
    sum.rpc_retries += c.rpc_retries;
    sum.candidates_dropped += c.candidates_dropped;
    sum.reconnects_fast += c.reconnects_fast;
    sum.reconnects_rejoin += c.reconnects_rejoin;
    sum.reconnects_migrate += c.reconnects_migrate;
    sum.reconnect_attempts += c.reconnect_attempts;
    sum.triggers_merged += c.triggers_merged;
    sum.malformed += c.malformed;
    sum.data_dropped += c.data_dropped;
}

/// The schedule of a failing seed, with as few classes of faults as it needs, and how to reproduce it.
pub fn report(number: u64, settings: &Settings) -> String {
    let fails = |classes: u32| guarded(number, classes, settings.plant, false).is_err();
    let mut classes = settings.classes;
    for class in CLASSES {
        let fewer = classes & !(1 << class as u8);
        if fewer != classes && fails(fewer) {
            classes = fewer;
        }
    }
    let Err((what, trace)) = guarded(number, classes, settings.plant, true) else {
        return format!("seed {number}: it failed once and not again");
    };
    let needed: Vec<String> =
        CLASSES.iter().filter(|c| classes & (1 << **c as u8) != 0).map(|c| format!("{c:?}")).collect();
    let shown = if settings.quiet { &trace[trace.len().saturating_sub(60)..] } else { &trace[..] };
    let plant = settings.plant.map_or(String::new(), |p| format!(" PLANT={p:?}"));
    let plant = match std::env::var("LAB_PROTOCOL") {
        Ok(one) if !one.is_empty() => format!("{plant} PROTOCOL={one}"),
        _ => plant,
    };
    let only = if classes == ALL { String::new() } else { format!(" CLASSES={classes:#x}") };
    format!(
        "{}\nseed {number}: {what}\nrequired faults: {}\nto reproduce: make lab SEED={number}{only}{plant}\n",
        shown.join("\n"),
        if needed.is_empty() { "none".to_owned() } else { needed.join(", ") }
    )
}

/// Runs all seeds, on all cores; prints a line every two seconds.
pub fn many(settings: &Settings) -> (Vec<Violation>, Reached, Duration) {
    let start = Instant::now();
    let next = AtomicU64::new(settings.from);
    let end = settings.from + settings.seeds;
    let done = AtomicU64::new(0);
    let working = AtomicBool::new(true);
    let violations = Mutex::new(Vec::new());
    let sum = Mutex::new(Reached::default());
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get());
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut partial = Reached::default();
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= end
                            || violations.lock().map_or(true, |v: std::sync::MutexGuard<'_, Vec<_>>| v.len() >= 40)
                        {
                            break;
                        }
                        match try_seed(number, settings.classes, settings.plant) {
                            Ok(reached) => partial.add(&reached),
                            Err(what) => {
                                if let Ok(mut list) = violations.lock() {
                                    list.push(Violation { seed: number, what });
                                }
                            }
                        }
                        done.fetch_add(1, Relaxed);
                    }
                    if let Ok(mut sum) = sum.lock() {
                        sum.add(&partial);
                    }
                })
            })
            .collect();
        if !settings.quiet {
            scope.spawn(|| {
                let mut reported_at = Instant::now();
                while working.load(Relaxed) {
                    std::thread::park_timeout(Duration::from_millis(100));
                    if reported_at.elapsed() >= Duration::from_secs(2) {
                        reported_at = Instant::now();
                        let (n, s) = (done.load(Relaxed), start.elapsed().as_secs_f64());
                        let bad = violations.lock().map_or(0, |v| v.len());
                        println!("{n} of {} seeds, {:.0}/s, {bad} violations", settings.seeds, n as f64 / s);
                    }
                }
            });
        }
        for worker in workers {
            let _ = worker.join();
        }
        working.store(false, Relaxed);
    });
    let mut list = violations.into_inner().unwrap_or_default();
    list.sort_by_key(|v| v.seed);
    (list, sum.into_inner().unwrap_or_default(), start.elapsed())
}

/// All messages and actions of a run, as text: two runs of a seed must not differ.
pub fn transcript(number: u64) -> String {
    let (mut world, broken) = seed(number, ALL, None, true);
    format!("{broken:?}\n{}", world.trace.take().unwrap_or_default().join("\n"))
}
