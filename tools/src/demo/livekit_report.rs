//! Results of the demo on LiveKit, and their judgement.
//!
//! Pure: combines the programs' output and the recordings. Must not know: processes, files.

use super::report::ProgramOutput;
use crate::analysis::{Match, RECEIVED_CORRELATION};
use serde::Serialize;
use std::fmt::Write;

/// Limit for the reconnect, in seconds after the kill.
pub const BACK_S: f64 = 10.0;
/// Least share of a voice's expected audio that must be in the recording.
const MIN_OVERLAP: f64 = 0.6;
/// A shorter part of a voice cannot be judged.
const LEAST_S: f64 = 2.0;

/// A part of a recording, compared with the speech.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedPart {
    pub seconds: f64,
    pub found: Match,
}

/// Results of one listener, besides its program's output.
#[derive(Clone, Debug, Default)]
pub struct Seat {
    pub node_before: Option<usize>,
    pub node_after: Option<usize>,
    /// Seconds from the kill to JOINED again, and to the first received audio after that.
    pub back_s: Option<f64>,
    pub audio_again_s: Option<f64>,
    /// Longest gap in received audio, as measured by its program; 0 if the talker paused at that time.
    pub gap_s: f64,
    /// Positions in the recording at the kill, and when audio returned.
    pub recorded_at_kill_s: f64,
    pub recorded_at_return_s: f64,
    pub lost: u64,
    pub received: u64,
    pub before: Option<ReceivedPart>,
    pub after: Option<ReceivedPart>,
    /// Why the recording could not be compared.
    pub unreadable: Option<String>,
}

impl Seat {
    pub fn lost_pct(&self) -> f64 {
        self.lost as f64 / (self.lost + self.received).max(1) as f64 * 100.0
    }

    /// Seconds without audio; counted from the kill if the talker paused at that time.
    pub fn silent_s(&self) -> Option<f64> {
        if self.gap_s > 0.0 {
            Some(self.gap_s)
        } else {
            self.audio_again_s
        }
    }
}

/// Content of the report file, for scripts.
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
    pub audio_again_s: Option<f64>,
    pub silent_s: Option<f64>,
    pub correlation_before: f64,
    pub correlation_after: f64,
    pub lost_pct: f64,
    pub errors: u64,
}

/// Judges. The second result lists every failure as text; it is empty exactly when the report is ok.
pub fn judge(
    outputs: &[ProgramOutput],
    seats: &[Seat],
    killed: Option<f64>,
    moved: Option<f64>,
) -> (Report, Vec<String>) {
    let mut wrong = Vec::new();
    if killed.is_none() {
        wrong.push("the node could not be killed".to_owned());
    }
    for (output, seat) in outputs.iter().zip(seats) {
        let name = &output.name;
        if let Some(failure) = &output.failure {
            wrong.push(format!("{name}: {failure}"));
        }
        if output.join_ms.is_none() {
            wrong.push(format!("{name} never joined"));
        }
        if output.ended != 1 {
            wrong.push(format!("{name} had {} terminal events instead of one", output.ended));
        }
        for error in &output.errors {
            wrong.push(format!("{name}: error event: {error}"));
        }
        match (seat.back_s, seat.audio_again_s) {
            (None, _) => wrong.push(format!("{name} did not reconnect")),
            (Some(s), _) if s > BACK_S => {
                wrong.push(format!("{name} reconnected after {s:.1} s, later than {BACK_S} s"));
            }
            (Some(_), None) => wrong.push(format!("{name} received no audio after the reconnect")),
            _ => {}
        }
        if let Some(why) = &seat.unreadable {
            wrong.push(format!("the recording of {name}: {why}"));
            continue;
        }
        for (when, part) in [("before", &seat.before), ("after", &seat.after)] {
            match part {
                None => wrong.push(format!("the audio of {name} {when} the kill was not examined")),
                Some(part) => judge_part(name, when, part, &mut wrong),
            }
        }
    }
    if outputs.len() != seats.len() || outputs.is_empty() {
        wrong.push("not every participant was examined".to_owned());
    }
    let participants = outputs.iter().zip(seats).map(|(output, seat)| participant(output, seat)).collect();
    (Report { ok: wrong.is_empty(), room_moved_s: moved.map(tenth), participants }, wrong)
}

fn judge_part(name: &str, when: &str, part: &ReceivedPart, wrong: &mut Vec<String>) {
    let ReceivedPart { seconds, found } = part;
    if *seconds < LEAST_S {
        wrong.push(format!("{name} received only {seconds:.1} s {when} the kill"));
    } else if found.correlation < RECEIVED_CORRELATION {
        wrong.push(format!(
            "the audio of {name} {when} the kill does not match the speech: correlation {:.3} < {RECEIVED_CORRELATION}",
            found.correlation
        ));
    } else if found.overlap_s < MIN_OVERLAP * seconds {
        wrong.push(format!(
            "only {:.1} of {seconds:.1} s that {name} received {when} the kill match the speech",
            found.overlap_s
        ));
    }
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn participant(output: &ProgramOutput, seat: &Seat) -> Participant {
    let correlation = |part: Option<ReceivedPart>| part.map_or(0.0, |h| (h.found.correlation * 1e4).round() / 1e4);
    Participant {
        name: output.name.clone(),
        node_before: seat.node_before,
        node_after: seat.node_after,
        join_ms: output.join_ms.map(tenth),
        back_s: seat.back_s.map(tenth),
        audio_again_s: seat.audio_again_s.map(tenth),
        silent_s: seat.silent_s().map(tenth),
        correlation_before: correlation(seat.before),
        correlation_after: correlation(seat.after),
        lost_pct: (seat.lost_pct() * 100.0).round() / 100.0,
        errors: output.errors.len() as u64,
    }
}

/// The table at the end.
pub fn table(outputs: &[ProgramOutput], seats: &[Seat], moved: Option<f64>) -> String {
    let mut out = String::new();
    let text = |value: Option<f64>, unit: &str| value.map_or("-".to_owned(), |v| format!("{v:.1}{unit}"));
    let node = |node: Option<usize>| node.map_or("-".to_owned(), |n| n.to_string());
    let _ = writeln!(
        out,
        "{:<8} {:>9} {:>8} {:>8} {:>12} {:>14} {:>20} {:>20} {:>7} {:>7}",
        "", "join ms", "node", "back", "audio again", "without audio", "audio before", "audio after", "lost", "errors"
    );
    for (output, seat) in outputs.iter().zip(seats) {
        let part = |part: Option<ReceivedPart>| {
            part.map_or("-".to_owned(), |h| format!("{:.1} s, corr. {:.3}", h.seconds, h.found.correlation))
        };
        let _ = writeln!(
            out,
            "{:<8} {:>9} {:>8} {:>8} {:>12} {:>14} {:>20} {:>20} {:>7} {:>7}",
            output.name,
            output.join_ms.map_or("-".to_owned(), |ms| format!("{ms:.0}")),
            format!("{} -> {}", node(seat.node_before), node(seat.node_after)),
            text(seat.back_s, " s"),
            text(seat.audio_again_s, " s"),
            text(seat.silent_s(), " s"),
            part(seat.before),
            part(seat.after),
            format!("{:.1} %", seat.lost_pct()),
            output.errors.len()
        );
    }
    let _ = writeln!(
        out,
        "the room was on another node {} after its own was killed; back and audio again are counted from the kill",
        text(moved, " s")
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str) -> ProgramOutput {
        ProgramOutput { join_ms: Some(30.0), ended: 1, ..ProgramOutput::new(name) }
    }

    fn part(correlation: f64) -> Option<ReceivedPart> {
        let found = Match { correlation, snr_db: 10.0, offset_s: 0.0, overlap_s: 14.0 };
        Some(ReceivedPart { seconds: 15.0, found })
    }

    fn seat() -> Seat {
        Seat {
            node_before: Some(0),
            node_after: Some(1),
            back_s: Some(5.0),
            audio_again_s: Some(5.4),
            gap_s: 5.2,
            lost: 1,
            received: 99,
            before: part(0.97),
            after: part(0.96),
            ..Seat::default()
        }
    }

    fn verdict(change: impl FnOnce(&mut ProgramOutput, &mut Seat)) -> Vec<String> {
        let (mut one, mut there) = (output("alice"), seat());
        change(&mut one, &mut there);
        let (report, wrong) = judge(&[one, output("bob")], &[there, seat()], Some(16.0), Some(4.2));
        assert_eq!(report.ok, wrong.is_empty());
        wrong
    }

    #[test]
    fn a_kept_promise_is_ok() {
        assert!(verdict(|_, _| {}).is_empty());
        let (report, _) = judge(&[output("alice")], &[seat()], Some(1.0), Some(4.26));
        assert_eq!((report.room_moved_s, report.participants[0].silent_s), (Some(4.3), Some(5.2)));
        assert_eq!(report.participants[0].lost_pct, 1.0);
        let table = table(&[output("alice")], &[seat()], Some(4.2));
        assert!(table.contains("0 -> 1") && table.contains("corr. 0.960"), "{table}");
    }

    #[test]
    fn every_broken_promise_is_seen() {
        let cases: [(&str, Vec<String>); 9] = [
            ("did not reconnect", verdict(|_, s| s.back_s = None)),
            ("later than 10 s", verdict(|_, s| s.back_s = Some(10.1))),
            ("received no audio after the reconnect", verdict(|_, s| s.audio_again_s = None)),
            ("does not match the speech", verdict(|_, s| s.after = part(0.5))),
            ("not examined", verdict(|_, s| s.before = None)),
            ("received only", verdict(|_, s| s.after.as_mut().unwrap().seconds = 1.0)),
            ("no file", verdict(|_, s| s.unreadable = Some("no file".into()))),
            ("terminal events", verdict(|t, _| t.ended = 0)),
            ("error event: bad", verdict(|t, _| t.errors.push("bad".into()))),
        ];
        for (what, wrong) in cases {
            assert!(wrong.iter().any(|w| w.contains(what)), "{what}: {wrong:?}");
        }
        assert!(!judge(&[output("a")], &[seat()], None, None).0.ok);
        assert!(!judge(&[], &[], Some(1.0), None).0.ok);
    }
}
