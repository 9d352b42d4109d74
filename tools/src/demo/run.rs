//! Controls the demo: starts SFU, talkers and bot, sends late offers on schedule, gathers the output.
//!
//! Knows processes and the control API. `report` judges.

use super::{
    report::{judge, table, ProgramOutput, Report, Sent, Voice},
    view::View,
};
use crate::{
    analysis,
    program::{Event, Line, Program},
    sfu::Sfu,
    wav,
};
use serde_json::{json, Value};
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The bot's tone, which may be in the talkers' recordings and is not part of a voice.
const BOT_TONE_HZ: f32 = 440.0;
const LATE_OFFERS: u64 = 1000;
/// The offers are sent in this many bursts, over this share of the time between half of the run and the bot's leave, so
/// that they can be watched.
const BURSTS: u64 = 20;
const BURSTS_SHARE: f64 = 0.4;
const LEAVING_OFFERS: u64 = 50;
/// The bot leaves this long before the talkers, so that no late offer is in flight when it ends.
const BOT_EARLIER_S: u64 = 2;
/// Time for a program to end after its run.
const GRACE: Duration = Duration::from_secs(8);
/// The SFU that all participants are on at first.
const EDGE: &str = "sfu-a";
/// From the SFU's announcement to its kill.
const NOTICE: Duration = Duration::from_millis(1000);
/// Gaps within this time after the kill belong to the departure.
const AFTERMATH: Duration = Duration::from_millis(1500);
const CALL: &str = "demo";
const BOT: &str = "bot";

/// What to run, and the folder for the results.
#[derive(Clone, Debug)]
pub struct Plan {
    pub sfu: PathBuf,
    pub call: PathBuf,
    pub bot: PathBuf,
    /// Folder with alice.wav and bob.wav.
    pub speech: PathBuf,
    pub out: PathBuf,
    /// How long each talker stays in the call.
    pub seconds: u64,
    /// Redraw in place.
    pub ansi: bool,
}

pub(super) struct Actor {
    pub(super) program: Program,
    pub(super) output: ProgramOutput,
}

/// Runs the demo and prints it. Returns the report and all failures.
pub fn run(plan: &Plan) -> Result<(Report, Vec<String>), String> {
    fs::create_dir_all(&plan.out).map_err(|e| format!("{}: {e}", plan.out.display()))?;
    let report_file = plan.out.join("report.json");
    // A report of an earlier run must not be taken for this run's.
    let _ = fs::remove_file(&report_file);
    let talkers = ["alice", "bob"];
    let recording = |listener: &str| plan.out.join(format!("{listener}-received.wav"));
    for name in talkers {
        let _ = fs::remove_file(recording(name));
    }
    let sfu = Sfu::start(&plan.sfu, &plan.out.join("sfu"))?;
    let begin = Instant::now();
    let mut view = View::new(plan.ansi, plan.seconds as f64 + 1.0);
    view.say(0.0, &format!("SFU at {} (process {})", sfu.url, sfu.pid()));

    let mut actors = Vec::new();
    for (name, other) in talkers.into_iter().zip(talkers.into_iter().rev()) {
        // Repeated, so that no talker stops before the end.
        let speech = speech(plan, name);
        wav::repeat(&plan.speech.join(format!("{name}.wav")), &speech, plan.seconds as f64 + 2.0)?;
        let mut args = arguments(&sfu.url, name, plan.seconds);
        args.extend(["--play".into(), text(&speech)?, "--record".into(), text(&recording(name))?]);
        args.extend(["--hear".into(), other.to_string()]);
        actors.push(start(&plan.call, name, &args, &plan.out)?);
    }
    let bot_seconds = plan.seconds.saturating_sub(BOT_EARLIER_S).max(1);
    actors.push(start(&plan.bot, BOT, &arguments(&sfu.url, BOT, bot_seconds), &plan.out)?);

    let left_behind = direct(plan, &sfu, &mut actors, &mut view, begin);
    let state = sfu.ask("state")?;
    drop(sfu);

    let mut outputs: Vec<ProgramOutput> = actors.into_iter().map(|a| a.output).collect();
    let bot = outputs.pop().ok_or("no bot")?;
    let voices: Vec<Voice> = talkers
        .iter()
        .zip(talkers.iter().rev())
        .map(|(talker, listener)| examine(talker, &speech(plan, talker), &recording(listener), plan.seconds))
        .collect();
    let sent = Sent { left_behind, ..count(&state, &talkers) };
    print!("{}\n{}", view.draw(begin.elapsed().as_secs_f64()), table(&outputs, &bot, &voices, sent));
    let (report, wrong) = judge(&outputs, &bot, &voices, sent);
    let json = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
    fs::write(&report_file, json + "\n").map_err(|e| format!("{}: {e}", report_file.display()))?;
    Ok((report, wrong))
}

/// The speech of a talker for the whole run.
fn speech(plan: &Plan, talker: &str) -> PathBuf {
    plan.out.join(format!("{talker}-sent.wav"))
}

pub(super) fn text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("{}: not UTF-8", path.display()))
}

fn arguments(url: &str, user: &str, seconds: u64) -> Vec<String> {
    let seconds = seconds.to_string();
    ["--url", url, "--user", user, "--call", CALL, "--seconds", &seconds, "--json"].map(String::from).to_vec()
}

pub(super) fn start(path: &Path, name: &str, args: &[String], out: &Path) -> Result<Actor, String> {
    Ok(Actor { program: Program::start(path, args, &out.join(name))?, output: ProgramOutput::new(name) })
}

/// The part of the demo in which the SFU goes away in the middle of a sentence.
#[derive(Default)]
struct Departure {
    announced_at: Option<Duration>,
    left_behind: Option<u64>,
    ended: bool,
}

impl Departure {
    fn play(&mut self, at: Duration, now: Duration, sfu: &Sfu, actors: &mut [Actor], view: &mut View) {
        let seconds = now.as_secs_f64();
        match self.announced_at {
            None if now >= at => {
                self.announced_at = Some(now);
                actors.iter_mut().for_each(|a| a.output.gap_ms = 0.0);
                match sfu.control("go_away", &json!({"edge": EDGE, "reason": 1})) {
                    Ok(_) => view.say(seconds, &format!("{EDGE}, which has all three, announces that it shuts down")),
                    Err(e) => view.say(seconds, &format!("{EDGE} could not announce that it shuts down: {e}")),
                }
            }
            Some(announced) if self.left_behind.is_none() && now >= announced + NOTICE => {
                // Tried once; a failure is reported at the end.
                self.left_behind = Some(u64::MAX);
                match sfu.control("kill_edge", &json!({"edge": EDGE, "hide": true})) {
                    Ok(answer) => {
                        self.left_behind = answer["sessions"].as_u64();
                        view.say(
                            seconds,
                            &format!("{EDGE} is killed; {} sessions were still on it", answer["sessions"]),
                        );
                    }
                    Err(e) => view.say(seconds, &format!("{EDGE} could not be killed: {e}")),
                }
            }
            Some(announced) if !self.ended && now >= announced + NOTICE + AFTERMATH => {
                self.ended = true;
                let gap = actors.iter().map(|a| a.output.gap_ms).fold(0.0, f64::max);
                let what = match gap {
                    0.0 => "without a gap".to_owned(),
                    gap => format!("after {gap:.0} ms"),
                };
                view.say(seconds, &format!("the audio goes on {what}, from another SFU, in the middle of a sentence"));
            }
            _ => {}
        }
    }

    /// Whether gaps now belong to the departure.
    fn is_on(&self) -> bool {
        self.announced_at.is_some() && !self.ended
    }
}

/// When the nth burst of late offers is due.
fn burst_at(seconds: u64, n: u64) -> Duration {
    let half = Duration::from_secs(seconds) / 2;
    let room = Duration::from_secs(seconds.saturating_sub(BOT_EARLIER_S)).saturating_sub(half);
    half + room.mul_f64(BURSTS_SHARE * n as f64 / BURSTS as f64)
}

/// Sends a burst of late offers. The first is announced on the screen.
fn send_burst(sfu: &Sfu, view: &mut View, now: Duration, n: u64) {
    let body = json!({"user_id": BOT, "count": LATE_OFFERS / BURSTS});
    if n == 0 {
        trouble(sfu, view, now, &body, &format!("{LATE_OFFERS} late offers to the bot, whose subscriber is freed"));
    } else if let Err(e) = sfu.control("late_offer", &body) {
        view.say(now.as_secs_f64(), &format!("the SFU refused to send late offers: {e}"));
    }
}

/// Runs until the last program ends. Returns the number of sessions on the departing SFU when it was killed.
fn direct(plan: &Plan, sfu: &Sfu, actors: &mut [Actor], view: &mut View, begin: Instant) -> Option<u64> {
    let mut departure = Departure::default();
    let departs = Duration::from_millis(plan.seconds * 300);
    let half = Duration::from_secs(plan.seconds) / 2;
    let armed_at = Duration::from_secs(plan.seconds.saturating_sub(2)).max(half);
    let last = Duration::from_secs(plan.seconds) + GRACE;
    let (mut bursts, mut armed) = (0, false);
    let mut next_status = Duration::from_secs(1);
    loop {
        let now = begin.elapsed();
        for actor in &mut *actors {
            listen(actor, view, now.as_secs_f64(), departure.is_on());
        }
        departure.play(departs, now, sfu, actors, view);
        while bursts < BURSTS && now >= burst_at(plan.seconds, bursts) {
            send_burst(sfu, view, now, bursts);
            bursts += 1;
        }
        if !armed && now >= armed_at {
            armed = true;
            for actor in actors.iter().filter(|a| a.output.name != BOT) {
                let name = &actor.output.name;
                let body = json!({"user_id": name, "count": LEAVING_OFFERS, "when": "leave"});
                trouble(sfu, view, now, &body, &format!("{LEAVING_OFFERS} offers for when {name} leaves"));
            }
        }
        if now >= next_status {
            next_status = now + Duration::from_secs(2);
            print!("{}", view.status(now.as_secs_f64()));
        }
        print!("{}", view.draw(now.as_secs_f64()));
        if actors.iter_mut().all(|a| a.program.ended().is_some()) || now >= last {
            break;
        }
        thread::sleep(Duration::from_millis(60));
    }
    for actor in actors {
        for line in rest(actor) {
            take(actor, &line, view, begin.elapsed().as_secs_f64(), false);
        }
    }
    departure.left_behind.filter(|n| *n < u64::MAX)
}

/// Records how a program ended, which it must have by now, and returns its remaining lines.
pub(super) fn rest(actor: &mut Actor) -> Vec<String> {
    match actor.program.wait(Duration::ZERO) {
        Ok(status) if status.success() => {}
        Ok(status) => actor.output.failure = Some(format!("ended with {status}; see its .log")),
        Err(e) => actor.output.failure = Some(e),
    }
    // The thread that reads its stdout may lag behind the end of the process.
    std::iter::from_fn(|| actor.program.line(Duration::from_millis(500)).ok()).collect()
}

fn trouble(sfu: &Sfu, view: &mut View, now: Duration, body: &Value, what: &str) {
    match sfu.control("late_offer", body) {
        Ok(_) => view.say(now.as_secs_f64(), &format!("the SFU sends {what}")),
        Err(e) => view.say(now.as_secs_f64(), &format!("the SFU refused to send {what}: {e}")),
    }
}

fn listen(actor: &mut Actor, view: &mut View, at: f64, departing: bool) {
    while let Some(line) = actor.program.try_line() {
        take(actor, &line, view, at, departing);
    }
}

fn take(actor: &mut Actor, line: &str, view: &mut View, at: f64, departing: bool) {
    let Ok(line) = serde_json::from_str::<Line>(line) else {
        return;
    };
    handle_line(actor, &line, view, at, departing);
}

pub(super) fn handle_line(actor: &mut Actor, line: &Line, view: &mut View, at: f64, departing: bool) {
    actor.output.add(line);
    let name = &actor.output.name;
    match &line.event {
        Event::Joined { join_ms } => {
            view.enter(name, "in the call");
            view.say(at, &format!("{name} joined in {join_ms:.0} ms"));
        }
        Event::FirstAudio { ms } => {
            view.say(at, &format!("{name} receives the first audio after {ms:.0} ms"));
            view.note(name, "sends and receives audio");
        }
        Event::State { state } if state == "migrating" || state == "reconnecting" => {
            view.note(name, "moves to another SFU …");
        }
        Event::State { .. } => {}
        Event::Reconnected { ms } => {
            view.note(name, &format!("sends again, on another SFU after {ms:.0} ms"));
            view.say(at, &format!("{name} is on another SFU after {ms:.0} ms"));
        }
        Event::Gap { ms } => {
            if departing {
                actor.output.gap_ms = actor.output.gap_ms.max(*ms);
                view.say(at, &format!("{name} received no audio for {ms:.0} ms"));
            }
        }
        Event::Level { user, level } => view.level(user, *level),
        Event::ParticipantJoined { user } => view.say(at, &format!("{name}: {user} joined")),
        Event::ParticipantLeft { user } => view.say(at, &format!("{name}: {user} left")),
        Event::SubscriberFreed => {
            view.note(name, "sends a tone; its subscriber is freed");
            view.say(at, &format!("{name} frees its subscriber and stays"));
        }
        Event::Error { code, message } => view.say(at, &format!("{name}: ERROR {code}: {message}")),
        Event::Ended { reason } => {
            view.leave(name);
            view.say(at, &format!("{name} has left: {reason}"));
        }
        Event::Stats(stats) if actor.output.name == BOT => {
            view.count(at, "late offers dropped by the bot", stats.late_offers_dropped, LATE_OFFERS);
        }
        Event::ReceiveStats(_) | Event::Stats(_) | Event::Other => {}
    }
}

fn examine(talker: &str, speech: &Path, recording: &Path, seconds: u64) -> Voice {
    let mut expected_s = seconds as f64;
    let found = wav::read(speech).and_then(|original| {
        let recorded = wav::read(recording)?;
        expected_s = expected_s.min(original.seconds());
        // Of a longer original, only the part that was played can be found.
        let played = original.samples.len().min(seconds as usize * original.rate as usize);
        Ok(analysis::compare(
            (&original.samples[..played], original.rate),
            (&recorded.samples, recorded.rate),
            &[BOT_TONE_HZ],
        ))
    });
    Voice { talker: talker.to_owned(), found, expected_s }
}

/// Sums the SFU's counters for the demo's sessions, live and ended.
fn count(state: &Value, talkers: &[&str]) -> Sent {
    let mut sent = Sent::default();
    let sessions = ["sessions", "gone"].iter().filter_map(|k| state[*k].as_array()).flatten();
    for session in sessions {
        let number = |key: &str| session[key].as_u64().unwrap_or(0);
        match session["user_id"].as_str() {
            Some(BOT) => {
                sent.to_bot += number("late_offers_sent");
                // A talker's answer may cross its own leave at the SFU. It is stale there, which is not an error.
                sent.stale_answers += number("answers_stale");
                sent.unanswered_by_bot += number("offers_sent").saturating_sub(number("answers_received"));
            }
            Some(user) if talkers.contains(&user) => sent.while_leaving += number("late_offers_after_leave"),
            _ => {}
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_offers_are_over_before_the_bot_leaves() {
        for seconds in [6, 10, 20, 600] {
            assert_eq!(burst_at(seconds, 0), Duration::from_secs(seconds) / 2);
            let (last, leave) = (burst_at(seconds, BURSTS - 1), Duration::from_secs(seconds - BOT_EARLIER_S));
            assert!(last + Duration::from_millis(500) <= leave, "{seconds}: {last:?}");
        }
        assert_eq!(LATE_OFFERS % BURSTS, 0);
        assert_eq!(burst_at(0, BURSTS), Duration::ZERO);
    }

    #[test]
    fn the_sfus_counters_are_added_up() {
        let state = json!({
            "sessions": [{"user_id": "bot", "late_offers_sent": 1000, "offers_sent": 5, "answers_received": 2,
                "answers_stale": 1}],
            "gone": [
                {"user_id": "alice", "late_offers_after_leave": 50, "late_offers_sent": 50},
                {"user_id": "bob", "late_offers_after_leave": 49, "answers_stale": 3},
                {"user_id": "carol", "late_offers_after_leave": 7},
            ],
        });
        let sent = count(&state, &["alice", "bob"]);
        assert_eq!((sent.to_bot, sent.unanswered_by_bot), (1000, 3));
        assert_eq!((sent.while_leaving, sent.stale_answers), (99, 1));
        assert_eq!(count(&Value::Null, &["alice"]).to_bot, 0);
    }
}
