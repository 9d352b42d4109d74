//! Controls the demo on LiveKit: two programs talk over two nodes, and the node that holds their room is killed.
//!
//! Knows processes, their sockets and the stand. `livekit_report` judges.

use super::{
    livekit_report::{judge, table, ReceivedPart, Report, Seat},
    report::ProgramOutput,
    run::{handle_line, rest, start, text, Actor},
    view::View,
};
use crate::{
    analysis,
    bench::procfs,
    livekit::{
        process,
        stand::{Options, Stand},
        token,
    },
    program::{Event, Line},
    wav,
};
use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Runtime;

const ROOM: &str = "demo";
const NAMES: [&str; 2] = ["alice", "bob"];
/// The node that holds the room and is killed.
const KILLED_NODE: usize = 0;
/// Share of the run after which the node is killed.
const KILLED_AT: f64 = 0.4;
/// Without a frame for this long, a participant counts as receiving no audio.
const NO_AUDIO_AFTER: Duration = Duration::from_millis(1200);
/// Time for a program to end after its run.
const GRACE: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(400);

/// What to run, and the folder for the results.
#[derive(Clone, Debug)]
pub struct Plan {
    pub server: PathBuf,
    pub call: PathBuf,
    /// Folder with alice.wav and bob.wav.
    pub speech: PathBuf,
    pub out: PathBuf,
    pub seconds: u64,
    /// Redraw in place.
    pub ansi: bool,
}

/// Result of a run.
#[derive(Debug)]
pub enum Outcome {
    Done(Box<Report>, Vec<String>),
    /// Why the demo could not run.
    Skipped(String),
}

/// Runs the demo and prints it. Returns the report and all failures.
pub fn run(plan: &Plan) -> Result<Outcome, String> {
    if !plan.server.is_file() {
        return Ok(Outcome::Skipped(format!("{} is not installed (make livekit)", plan.server.display())));
    }
    if process::find("redis-server").is_none() {
        return Ok(Outcome::Skipped("no redis-server in PATH for a cluster".to_owned()));
    }
    let say = |e: &dyn std::fmt::Display| format!("{}: {e}", plan.out.display());
    fs::create_dir_all(&plan.out).map_err(|e| say(&e))?;
    let report_file = plan.out.join("report.json");
    // Files of an earlier run must not be taken for this run's.
    for file in [report_file.clone(), recording(plan, "alice"), recording(plan, "bob")] {
        let _ = fs::remove_file(file);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build().map_err(|e| say(&e))?;
    println!("starting Redis and two nodes of the LiveKit server ...");
    let options =
        Options { server: plan.server.clone(), nodes: 2, redis: true, proxy: false, out: plan.out.join("stand") };
    let stand = runtime.block_on(Stand::start(&options))?;
    let result = play(plan, &runtime, &stand);
    runtime.block_on(stand.end());
    let (report, wrong) = result?;
    let json = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
    fs::write(&report_file, json + "\n").map_err(|e| say(&e))?;
    Ok(Outcome::Done(Box::new(report), wrong))
}

fn recording(plan: &Plan, listener: &str) -> PathBuf {
    plan.out.join(format!("{listener}-received.wav"))
}

fn speech(plan: &Plan, talker: &str) -> PathBuf {
    plan.out.join(format!("{talker}-sent.wav"))
}

fn other(name: &str) -> &'static str {
    NAMES[usize::from(name == NAMES[0])]
}

fn play(plan: &Plan, runtime: &Runtime, stand: &Arc<Stand>) -> Result<(Report, Vec<String>), String> {
    runtime.block_on(place(stand))?;
    let mut view = View::new(plan.ansi, plan.seconds as f64 + 1.0);
    for (index, port) in stand.ports.iter().enumerate() {
        view.say(0.0, &format!("node {index} at ws://127.0.0.1:{port}"));
    }
    let mut actors = Vec::new();
    for (index, name) in NAMES.iter().enumerate() {
        wav::repeat(&plan.speech.join(format!("{name}.wav")), &speech(plan, name), plan.seconds as f64 + 2.0)?;
        let token_options = token::TokenOptions {
            identity: (*name).to_owned(),
            room: ROOM.to_owned(),
            ..token::TokenOptions::default()
        };
        // Each tries a different node first, and knows both.
        let urls = [index, 1 - index].map(|node| format!("ws://127.0.0.1:{}", stand.ports[node])).join(" ");
        let args = ["--livekit", &urls, "--token", &token::join(&stand.keys, &token_options), "--json"];
        let mut args = args.map(String::from).to_vec();
        args.extend(["--play".into(), text(&speech(plan, name))?]);
        args.extend(["--record".into(), text(&recording(plan, name))?]);
        args.extend(["--hear".into(), other(name).into(), "--seconds".into(), plan.seconds.to_string()]);
        actors.push(start(&plan.call, name, &args, &plan.out)?);
    }
    let mut show = Show {
        plan,
        runtime,
        stand,
        view,
        begin: Instant::now(),
        seats: NAMES.map(|_| Seat::default()),
        last_audio: [None; 2],
        recorded_ms: [0.0; 2],
        killed: None,
        holder: None,
        moved: None,
    };
    show.direct(&mut actors);
    let Show { mut view, begin, mut seats, killed, moved, .. } = show;
    print!("{}", view.draw(begin.elapsed().as_secs_f64()));
    let outputs: Vec<ProgramOutput> = actors.into_iter().map(|a| a.output).collect();
    for (seat, name) in seats.iter_mut().zip(NAMES) {
        examine(plan, other(name), name, seat);
    }
    let killed = killed.map(|at| at.as_secs_f64());
    print!("\n{}", table(&outputs, &seats, moved));
    Ok(judge(&outputs, &seats, killed, moved))
}

/// Places the room on a node, before any participant is in it.
async fn place(stand: &Stand) -> Result<(), String> {
    let redis = stand.redis.as_ref().ok_or("no Redis")?;
    let id = stand.nodes[KILLED_NODE].lock().await.node_id().ok_or("the node has no ID yet")?;
    redis.place(ROOM, &id).await
}

/// The running node that holds the room.
async fn holder(stand: &Stand) -> Option<usize> {
    let held = stand.redis.as_ref()?.node_of(ROOM).await.ok()??;
    for (index, node) in stand.nodes.iter().enumerate() {
        let mut node = node.lock().await;
        if node.pid().is_some() && node.node_id().as_ref() == Some(&held) {
            return Some(index);
        }
    }
    None
}

/// State of the running demo.
struct Show<'a> {
    plan: &'a Plan,
    runtime: &'a Runtime,
    stand: &'a Arc<Stand>,
    view: View,
    begin: Instant,
    seats: [Seat; 2],
    last_audio: [Option<Instant>; 2],
    recorded_ms: [f64; 2],
    killed: Option<Duration>,
    holder: Option<usize>,
    /// Seconds from the kill until the room was on another node.
    moved: Option<f64>,
}

impl Show<'_> {
    fn direct(&mut self, actors: &mut [Actor]) {
        let seconds = Duration::from_secs(self.plan.seconds);
        let (mut next_look, mut next_status) = (Duration::ZERO, Duration::from_secs(1));
        loop {
            let now = self.begin.elapsed();
            for (index, actor) in actors.iter_mut().enumerate() {
                while let Some(line) = actor.program.try_line() {
                    self.take(index, actor, &line);
                }
            }
            if self.killed.is_none() && now >= seconds.mul_f64(KILLED_AT) {
                self.kill();
            }
            if now >= next_look {
                next_look = now + LOOK;
                self.look(actors);
            }
            if now >= next_status {
                next_status = now + Duration::from_secs(2);
                print!("{}", self.view.status(now.as_secs_f64()));
            }
            print!("{}", self.view.draw(now.as_secs_f64()));
            if actors.iter_mut().all(|a| a.program.ended().is_some()) || now >= seconds + GRACE {
                break;
            }
            thread::sleep(Duration::from_millis(60));
        }
        for (index, actor) in actors.iter_mut().enumerate() {
            for line in rest(actor) {
                self.take(index, actor, &line);
            }
        }
    }

    fn say(&mut self, what: &str) {
        self.view.say(self.begin.elapsed().as_secs_f64(), what);
    }

    /// Seconds since the node was killed.
    fn since(&self) -> Option<f64> {
        Some((self.begin.elapsed() - self.killed?).as_secs_f64())
    }

    fn kill(&mut self) {
        let stand = self.stand.clone();
        let result = self.runtime.block_on(async move { stand.nodes[KILLED_NODE].lock().await.kill().await });
        match result {
            Ok(()) => {
                self.killed = Some(self.begin.elapsed());
                self.say(&format!("node {KILLED_NODE}, which holds the room, is KILLED in the middle of a sentence"));
                for (seat, recorded) in self.seats.iter_mut().zip(self.recorded_ms) {
                    seat.recorded_at_kill_s = recorded / 1e3;
                }
            }
            Err(e) => self.say(&format!("node {KILLED_NODE} could not be killed: {e}")),
        }
    }

    /// Finds the node of each participant and of the room.
    fn look(&mut self, actors: &mut [Actor]) {
        let holder = self.runtime.block_on(holder(self.stand));
        if holder != self.holder {
            if let (Some(node), Some(after)) = (holder, self.since()) {
                self.moved = self.moved.or(Some(after));
                self.say(&format!("the room is on node {node}, {after:.1} s after the kill"));
            }
            self.holder = holder;
        }
        let nodes: Vec<String> = (0..self.stand.ports.len())
            .map(|index| {
                let dead = index == KILLED_NODE && self.killed.is_some();
                let what = match (dead, holder == Some(index)) {
                    (true, _) => "DEAD",
                    (false, true) => "holds the room",
                    (false, false) => "up",
                };
                format!("node {index}: {what}")
            })
            .collect();
        self.view.banner(&nodes.join("   "));
        for (index, actor) in actors.iter_mut().enumerate() {
            if actor.program.ended().is_some() {
                continue;
            }
            let ports = procfs::connected(actor.program.pid());
            let node = self.stand.ports.iter().position(|port| ports.contains(port));
            let seat = &mut self.seats[index];
            match self.killed {
                None => seat.node_before = node.or(seat.node_before),
                Some(_) if seat.back_s.is_some() => seat.node_after = node.or(seat.node_after),
                Some(_) => {}
            }
            let receives = self.last_audio[index].is_some_and(|at| at.elapsed() < NO_AUDIO_AFTER);
            let place = node.map_or("no node".to_owned(), |node| format!("at node {node}"));
            if !receives {
                self.view.level(other(NAMES[index]), 0.0);
            }
            let verb = if receives { "receives audio from" } else { "receives no audio from" };
            let note = format!("{place}, {verb} {}, lost {:.1} %", other(NAMES[index]), self.seats[index].lost_pct());
            self.view.note(NAMES[index], &note);
        }
    }

    fn take(&mut self, index: usize, actor: &mut Actor, line: &str) {
        let Ok(line) = serde_json::from_str::<Line>(line) else { return };
        let (since, name) = (self.since(), NAMES[index]);
        match &line.event {
            Event::ReceiveStats(stats) => {
                self.recorded_ms[index] = stats.recorded_ms;
                let seat = &mut self.seats[index];
                (seat.lost, seat.received) = (stats.lost, stats.received);
                if stats.frames > 0 {
                    self.last_audio[index] = Some(Instant::now());
                }
                if seat.back_s.is_some() && seat.audio_again_s.is_none() && stats.frames > 0 {
                    seat.audio_again_s = since;
                    // After the silence of the interruption, which is in the recording as well.
                    seat.recorded_at_return_s = stats.recorded_ms / 1e3;
                    let after = since.unwrap_or_default();
                    self.say(&format!("{name} receives audio from {} again, {after:.1} s after the kill", other(name)));
                }
            }
            Event::State { state } if state == "reconnecting" => {
                self.say(&format!("{name} lost its connection and reconnects"));
            }
            Event::Reconnected { ms } => {
                actor.output.add(&line);
                let seat = &mut self.seats[index];
                if let Some(after) = since {
                    seat.back_s = Some(after);
                    let took = ms / 1e3;
                    self.say(&format!("{name} reconnected after {took:.1} s, {after:.1} s after the kill"));
                }
            }
            Event::Gap { ms } => {
                // Shorter gaps come from the machine, not from the kill.
                if since.is_some() && *ms > 500.0 {
                    let seat = &mut self.seats[index];
                    seat.gap_s = seat.gap_s.max(ms / 1e3);
                    self.say(&format!("{name} received no audio for {:.1} s", ms / 1e3));
                }
            }
            _ => {
                let at = self.begin.elapsed().as_secs_f64();
                handle_line(actor, &line, &mut self.view, at, false);
            }
        }
    }
}

/// Compares the recording with the speech: the part before the kill, and the part after audio returned.
fn examine(plan: &Plan, talker: &str, listener: &str, seat: &mut Seat) {
    let result = wav::read(&speech(plan, talker)).and_then(|said| {
        let recorded = wav::read(&recording(plan, listener))?;
        let at = |seconds: f64| ((seconds * f64::from(recorded.rate)) as usize).min(recorded.samples.len());
        let (before, after) =
            (&recorded.samples[..at(seat.recorded_at_kill_s)], &recorded.samples[at(seat.recorded_at_return_s)..]);
        let compare = |part: &[f32]| ReceivedPart {
            seconds: part.len() as f64 / f64::from(recorded.rate),
            found: analysis::compare((&said.samples, said.rate), (part, recorded.rate), &[]),
        };
        Ok((compare(before), compare(after)))
    });
    match result {
        Ok((before, after)) => (seat.before, seat.after) = (Some(before), Some(after)),
        Err(e) => seat.unreadable = Some(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_talker_has_a_listener() {
        assert_eq!((other("alice"), other("bob")), ("bob", "alice"));
    }

    #[test]
    fn without_a_server_it_is_skipped() {
        let plan = Plan {
            server: PathBuf::from("/nonexistent"),
            call: PathBuf::new(),
            speech: PathBuf::new(),
            out: PathBuf::new(),
            seconds: 1,
            ansi: false,
        };
        assert!(matches!(run(&plan), Ok(Outcome::Skipped(_))));
    }
}
