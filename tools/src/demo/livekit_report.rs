//! What the demo on the LiveKit server found, and whether the promise was kept.
//!
//! Pure: gathers what the programs said and what the recordings hold; knows no process and no file.

use super::report::Told;
use crate::analysis::{Match, HEARD};
use serde::Serialize;
use std::fmt::Write;

/// The promise: back within so many seconds after the node died.
pub const BACK_S: f64 = 10.0;
/// Share of what could have been heard of a voice that must lie inside the recording.
const MIN_OVERLAP: f64 = 0.6;
/// Less than so much of a voice says nothing.
const LEAST_S: f64 = 2.0;

/// A part of a recording, compared with what was said.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub seconds: f64,
    pub found: Match,
}

/// What is known of one listener beside what its program told.
#[derive(Clone, Debug, Default)]
pub struct Seat {
    pub node_before: Option<usize>,
    pub node_after: Option<usize>,
    /// Seconds from the kill to JOINED again, and to the first real sound after that.
    pub back_s: Option<f64>,
    pub hears_again_s: Option<f64>,
    /// Longest pause in what it heard, as its program measured it; 0 when the other did not speak just then.
    pub gap_s: f64,
    /// Where the recordings stood when the node died, and when the other was heard again.
    pub recorded_at_kill_s: f64,
    pub recorded_at_return_s: f64,
    pub lost: u64,
    pub received: u64,
    pub before: Option<Heard>,
    pub after: Option<Heard>,
    /// Why the recording could not be compared.
    pub unreadable: Option<String>,
}

impl Seat {
    pub fn lost_pct(&self) -> f64 {
        self.lost as f64 / (self.lost + self.received).max(1) as f64 * 100.0
    }

    /// Seconds without sound. Where the other made a pause just then, from the kill on.
    pub fn silent_s(&self) -> Option<f64> {
        if self.gap_s > 0.0 {
            Some(self.gap_s)
        } else {
            self.hears_again_s
        }
    }
}

/// The file a script reads.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Report {
    pub ok: bool,
    /// Seconds from the kill until the room was on another node.
    pub room_moved_s: Option<f64>,
    pub participants: Vec<Participant>,
}

#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Participant {
    pub name: String,
    pub node_before: Option<usize>,
    pub node_after: Option<usize>,
    pub join_ms: Option<f64>,
    pub back_s: Option<f64>,
    pub hears_again_s: Option<f64>,
    pub silent_s: Option<f64>,
    pub correlation_before: f64,
    pub correlation_after: f64,
    pub lost_pct: f64,
    pub errors: u64,
}

/// Judges; the second is everything that is wrong, in words, and empty exactly when the report is ok.
pub fn judge(told: &[Told], seats: &[Seat], killed: Option<f64>, moved: Option<f64>) -> (Report, Vec<String>) {
    let mut wrong = Vec::new();
    if killed.is_none() {
        wrong.push("the node could not be killed".to_owned());
    }
    for (told, seat) in told.iter().zip(seats) {
        let name = &told.name;
        if let Some(failure) = &told.failure {
            wrong.push(format!("{name}: {failure}"));
        }
        if told.join_ms.is_none() {
            wrong.push(format!("{name} never joined"));
        }
        if told.ended != 1 {
            wrong.push(format!("{name} had {} terminal events instead of one", told.ended));
        }
        for error in &told.errors {
            wrong.push(format!("{name}: error event: {error}"));
        }
        match (seat.back_s, seat.hears_again_s) {
            (None, _) => wrong.push(format!("{name} did not come back")),
            (Some(s), _) if s > BACK_S => {
                wrong.push(format!("{name} was back after {s:.1} s, later than {BACK_S} s"));
            }
            (Some(_), None) => wrong.push(format!("{name} did not hear again")),
            _ => {}
        }
        if let Some(why) = &seat.unreadable {
            wrong.push(format!("what {name} heard: {why}"));
            continue;
        }
        for (when, heard) in [("before", &seat.before), ("after", &seat.after)] {
            match heard {
                None => wrong.push(format!("what {name} heard {when} was not examined")),
                Some(heard) => judge_part(name, when, heard, &mut wrong),
            }
        }
    }
    if told.len() != seats.len() || told.is_empty() {
        wrong.push("not everybody was examined".to_owned());
    }
    let participants = told.iter().zip(seats).map(|(told, seat)| participant(told, seat)).collect();
    (Report { ok: wrong.is_empty(), room_moved_s: moved.map(tenth), participants }, wrong)
}

fn judge_part(name: &str, when: &str, heard: &Heard, wrong: &mut Vec<String>) {
    let Heard { seconds, found } = heard;
    if *seconds < LEAST_S {
        wrong.push(format!("{name} heard only {seconds:.1} s {when} the kill"));
    } else if found.correlation < HEARD {
        wrong.push(format!(
            "what {name} heard {when} the kill is not what was said: correlation {:.3} < {HEARD}",
            found.correlation
        ));
    } else if found.overlap_s < MIN_OVERLAP * seconds {
        wrong.push(format!("only {:.1} of {seconds:.1} s that {name} heard {when} were said", found.overlap_s));
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn participant(told: &Told, seat: &Seat) -> Participant {
    let correlation = |heard: Option<Heard>| heard.map_or(0.0, |h| (h.found.correlation * 1e4).round() / 1e4);
    Participant {
        name: told.name.clone(),
        node_before: seat.node_before,
        node_after: seat.node_after,
        join_ms: told.join_ms.map(tenth),
        back_s: seat.back_s.map(tenth),
        hears_again_s: seat.hears_again_s.map(tenth),
        silent_s: seat.silent_s().map(tenth),
        correlation_before: correlation(seat.before),
        correlation_after: correlation(seat.after),
        lost_pct: (seat.lost_pct() * 100.0).round() / 100.0,
        errors: told.errors.len() as u64,
    }
}

/// The table at the end.
pub fn table(told: &[Told], seats: &[Seat], moved: Option<f64>) -> String {
    let mut out = String::new();
    let text = |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |v| format!("{v:.1}{unit}"));
    let node = |node: Option<usize>| node.map_or("-".to_owned(), |n| n.to_string());
    let _ = writeln!(
        out,
        "{:<8} {:>9} {:>8} {:>8} {:>12} {:>14} {:>20} {:>20} {:>7} {:>7}",
        "", "join ms", "node", "back", "hears again", "without sound", "heard before", "heard after", "lost", "errors"
    );
    for (told, seat) in told.iter().zip(seats) {
        let heard = |heard: Option<Heard>| {
            heard.map_or("-".to_owned(), |h| format!("{:.1} s, corr. {:.3}", h.seconds, h.found.correlation))
        };
        let _ = writeln!(
            out,
            "{:<8} {:>9} {:>8} {:>8} {:>12} {:>14} {:>20} {:>20} {:>7} {:>7}",
            told.name,
            told.join_ms.map_or("-".to_owned(), |ms| format!("{ms:.0}")),
            format!("{} -> {}", node(seat.node_before), node(seat.node_after)),
            text(seat.back_s, " s"),
            text(seat.hears_again_s, " s"),
            text(seat.silent_s(), " s"),
            heard(seat.before),
            heard(seat.after),
            format!("{:.1} %", seat.lost_pct()),
            told.errors.len()
        );
    }
    let _ = writeln!(
        out,
        "the room was on another node {} after its own was killed; back and hears again are counted from the kill",
        text(moved, " s")
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Told {
        Told { join_ms: Some(30.0), ended: 1, ..Told::new(name) }
    }

    fn heard(correlation: f64) -> Option<Heard> {
        let found = Match { correlation, snr_db: 10.0, offset_s: 0.0, overlap_s: 14.0 };
        Some(Heard { seconds: 15.0, found })
    }

    fn seat() -> Seat {
        Seat {
            node_before: Some(0),
            node_after: Some(1),
            back_s: Some(5.0),
            hears_again_s: Some(5.4),
            gap_s: 5.2,
            lost: 1,
            received: 99,
            before: heard(0.97),
            after: heard(0.96),
            ..Seat::default()
        }
    }

    fn verdict(change: impl FnOnce(&mut Told, &mut Seat)) -> Vec<String> {
        let (mut one, mut there) = (told("alice"), seat());
        change(&mut one, &mut there);
        let (report, wrong) = judge(&[one, told("bob")], &[there, seat()], Some(16.0), Some(4.2));
        assert_eq!(report.ok, wrong.is_empty());
        wrong
    }

    #[test]
    fn a_kept_promise_is_ok() {
        assert!(verdict(|_, _| {}).is_empty());
        let (report, _) = judge(&[told("alice")], &[seat()], Some(1.0), Some(4.26));
        assert_eq!((report.room_moved_s, report.participants[0].silent_s), (Some(4.3), Some(5.2)));
        assert_eq!(report.participants[0].lost_pct, 1.0);
        let table = table(&[told("alice")], &[seat()], Some(4.2));
        assert!(table.contains("0 -> 1") && table.contains("corr. 0.960"), "{table}");
    }

    #[test]
    fn every_broken_promise_is_seen() {
        let cases: [(&str, Vec<String>); 9] = [
            ("did not come back", verdict(|_, s| s.back_s = None)),
            ("later than 10 s", verdict(|_, s| s.back_s = Some(10.1))),
            ("did not hear again", verdict(|_, s| s.hears_again_s = None)),
            ("not what was said", verdict(|_, s| s.after = heard(0.5))),
            ("not examined", verdict(|_, s| s.before = None)),
            ("heard only", verdict(|_, s| s.after.as_mut().unwrap().seconds = 1.0)),
            ("no file", verdict(|_, s| s.unreadable = Some("no file".into()))),
            ("terminal events", verdict(|t, _| t.ended = 0)),
            ("error event: bad", verdict(|t, _| t.errors.push("bad".into()))),
        ];
        for (what, wrong) in cases {
            assert!(wrong.iter().any(|w| w.contains(what)), "{what}: {wrong:?}");
        }
        assert!(!judge(&[told("a")], &[seat()], None, None).0.ok);
        assert!(!judge(&[], &[], Some(1.0), None).0.ok);
    }
}
