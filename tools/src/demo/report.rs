//! Results of the demo, and their judgement.
//!
//! Pure: combines the programs' output and the recordings. Must not know: processes, files.

use crate::{
    analysis::{Match, RECEIVED_CORRELATION},
    program::{Event, Line, Stats},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write};

/// Least share of a voice's expected audio that must be in the recording.
const MIN_OVERLAP: f64 = 0.6;

/// Longest time without audio when an SFU goes away. The library aims at 100 ms, and a demo shares its machine.
const MAX_GAP_MS: f64 = 300.0;

/// Output of one program.
#[derive(Clone, Debug, Default)]
pub struct ProgramOutput {
    pub name: String,
    pub join_ms: Option<f64>,
    pub first_audio_ms: Option<f64>,
    pub stats: Option<Stats>,
    pub subscriber_freed: bool,
    /// Duration of each reconnect.
    pub reconnected_ms: Vec<f64>,
    /// Longest gap in received audio since its SFU announced its shutdown.
    pub gap_ms: f64,
    /// Texts of its error events.
    pub errors: Vec<String>,
    /// Terminal events; must be exactly one.
    pub ended: u64,
    /// Why its process did not end properly.
    pub failure: Option<String>,
}

impl ProgramOutput {
    pub fn new(name: &str) -> Self {
        ProgramOutput { name: name.to_owned(), ..ProgramOutput::default() }
    }

    pub fn add(&mut self, line: &Line) {
        match &line.event {
            Event::Joined { join_ms } => self.join_ms = self.join_ms.or(Some(*join_ms)),
            Event::FirstAudio { ms } => self.first_audio_ms = self.first_audio_ms.or(Some(*ms)),
            Event::Stats(stats) => self.stats = Some(*stats),
            Event::Reconnected { ms } => self.reconnected_ms.push(*ms),
            Event::SubscriberFreed => self.subscriber_freed = true,
            Event::Error { code, message } => self.errors.push(format!("{message} ({code})")),
            Event::Ended { .. } => self.ended += 1,
            _ => {}
        }
    }

    /// Error events, counted by the program or here, whichever is higher.
    fn error_count(&self) -> u64 {
        self.stats.unwrap_or_default().errors.max(self.errors.len() as u64)
    }
}

/// One talker's voice, as received by the other.
#[derive(Clone, Debug)]
pub struct Voice {
    pub talker: String,
    /// Or why the recording could not be read.
    pub found: Result<Match, String>,
    /// Seconds of the voice that should be in the recording.
    pub expected_s: f64,
}

/// Counters of the SFU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Late offers to the bot, which had freed its subscriber.
    pub to_bot: u64,
    /// Real offers to the bot (for the talkers' tracks) that it did not answer; they are late as well.
    pub unanswered_by_bot: u64,
    /// Answers to offers that were not open. Every answer to a late offer is among them.
    pub stale_answers: u64,
    /// Late offers to the talkers while they were leaving.
    pub while_leaving: u64,
    /// Sessions still on the departing SFU when it was killed; None if it could not be killed.
    pub left_behind: Option<u64>,
}

/// Content of the report file, for scripts; the names are fixed.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Report {
    pub ok: bool,
    pub join_ms: Vec<f64>,
    pub first_audio_ms: Vec<f64>,
    pub correlation: BTreeMap<String, f64>,
    pub late_offers_sent: u64,
    pub late_offers_dropped: u64,
    pub offers_while_leaving: u64,
    pub error_events: u64,
    /// Longest gap in a talker's received audio while its SFU went away; gaps up to 60 ms count as none.
    pub migrate_gap_ms: f64,
    /// How long each participant took to move to another SFU.
    pub migrate_ms: Vec<f64>,
}

/// Judges. The second result lists every failure as text; it is empty exactly when the report is ok.
pub fn judge(talkers: &[ProgramOutput], bot: &ProgramOutput, voices: &[Voice], sent: Sent) -> (Report, Vec<String>) {
    let mut wrong = Vec::new();
    for output in talkers.iter().chain([bot]) {
        let name = &output.name;
        if let Some(failure) = &output.failure {
            wrong.push(format!("{name}: {failure}"));
        }
        if output.join_ms.is_none() {
            wrong.push(format!("{name} never joined"));
        }
        if output.stats.is_none() {
            wrong.push(format!("{name} printed no statistics"));
        }
        if output.ended != 1 {
            wrong.push(format!("{name} had {} terminal events instead of one", output.ended));
        }
        match output.reconnected_ms.len() {
            1 => {}
            n => wrong.push(format!("{name} changed its SFU {n} times instead of once")),
        }
        if output.gap_ms > MAX_GAP_MS {
            wrong.push(format!("{name} received no audio for {:.0} ms while its SFU went away", output.gap_ms));
        }
        for error in &output.errors {
            wrong.push(format!("{name}: error event: {error}"));
        }
        if output.errors.is_empty() && output.error_count() > 0 {
            wrong.push(format!("{name} counted {} error events", output.error_count()));
        }
    }
    for output in talkers.iter().filter(|t| t.first_audio_ms.is_none()) {
        wrong.push(format!("{} received no audio", output.name));
    }
    if voices.len() != talkers.len() || voices.is_empty() {
        wrong.push("not every voice was examined".to_owned());
    }
    for voice in voices {
        judge_voice(voice, &mut wrong);
    }

    // The bot also counts real offers that arrived after its subscriber was freed.
    let all_dropped = bot.stats.unwrap_or_default().late_offers_dropped;
    let dropped = all_dropped - all_dropped.saturating_sub(sent.to_bot).min(sent.unanswered_by_bot);
    if sent.stale_answers > 0 {
        wrong.push(format!("{} offers were answered although they were late", sent.stale_answers));
    }
    if !bot.subscriber_freed {
        wrong.push(format!("{} did not free its subscriber", bot.name));
    }
    if sent.to_bot == 0 {
        wrong.push("no late offer was sent".to_owned());
    }
    if dropped != sent.to_bot {
        wrong.push(format!("{dropped} of {} late offers were dropped", sent.to_bot));
    }
    if sent.while_leaving == 0 {
        wrong.push("no offer was sent to a leaving talker".to_owned());
    }
    match sent.left_behind {
        None => wrong.push("the SFU that went away could not be killed".to_owned()),
        Some(0) => {}
        Some(n) => wrong.push(format!("{n} were still on the SFU that had gone away when it died")),
    }
    let report = Report {
        ok: wrong.is_empty(),
        join_ms: talkers.iter().chain([bot]).filter_map(|t| t.join_ms).map(tenth).collect(),
        first_audio_ms: talkers.iter().filter_map(|t| t.first_audio_ms).map(tenth).collect(),
        correlation: voices
            .iter()
            .map(|v| (v.talker.clone(), v.found.as_ref().map_or(0.0, |m| (m.correlation * 1e4).round() / 1e4)))
            .collect(),
        late_offers_sent: sent.to_bot,
        late_offers_dropped: dropped,
        offers_while_leaving: sent.while_leaving,
        migrate_gap_ms: talkers.iter().map(|t| tenth(t.gap_ms)).fold(0.0, f64::max),
        migrate_ms: talkers.iter().chain([bot]).filter_map(|t| t.reconnected_ms.first()).map(|ms| tenth(*ms)).collect(),
        error_events: talkers.iter().chain([bot]).map(ProgramOutput::error_count).sum(),
    };
    (report, wrong)
}

/// Times are not more precise than this.
fn tenth(ms: f64) -> f64 {
    (ms * 10.0).round() / 10.0
}

fn judge_voice(voice: &Voice, wrong: &mut Vec<String>) {
    let talker = &voice.talker;
    match &voice.found {
        Err(why) => wrong.push(format!("the recording of {talker}: {why}")),
        Ok(found) if found.correlation < RECEIVED_CORRELATION => {
            wrong.push(format!(
                "the voice of {talker} was not received: correlation {:.3} < {RECEIVED_CORRELATION}",
                found.correlation
            ));
        }
        Ok(found) if found.overlap_s < MIN_OVERLAP * voice.expected_s => {
            wrong.push(format!("only {:.1} s of {:.1} s of {talker} were received", found.overlap_s, voice.expected_s))
        }
        Ok(_) => {}
    }
}

/// The table at the end.
pub fn table(talkers: &[ProgramOutput], bot: &ProgramOutput, voices: &[Voice], sent: Sent) -> String {
    let mut out = String::new();
    let ms = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.0}"));
    let _ = writeln!(
        out,
        "{:<8} {:>8} {:>14} {:>9} {:>6} {:>10} {:>13} {:>7}",
        "", "join ms", "first audio ms", "packets", "lost", "concealed", "late dropped", "errors"
    );
    for output in talkers.iter().chain([bot]) {
        let s = output.stats.unwrap_or_default();
        let _ = writeln!(
            out,
            "{:<8} {:>8} {:>14} {:>9} {:>6} {:>10} {:>13} {:>7}",
            output.name,
            ms(output.join_ms),
            ms(output.first_audio_ms),
            s.packets_received,
            s.packets_lost,
            s.concealed_frames,
            s.late_offers_dropped,
            output.error_count()
        );
    }
    out.push('\n');
    for voice in voices {
        let _ = match &voice.found {
            Err(why) => writeln!(out, "{}'s voice: {why}", voice.talker),
            Ok(m) => writeln!(
                out,
                "{}'s voice at the other: {:.1} of {:.1} s, {:+.2} s later, correlation {:.3} (1 is the same, from {RECEIVED_CORRELATION} on it counts)",
                voice.talker, m.overlap_s, voice.expected_s, m.offset_s, m.correlation
            ),
        };
    }
    let gap = talkers.iter().map(|t| t.gap_ms).fold(0.0, f64::max);
    let moved: Vec<String> = talkers
        .iter()
        .chain([bot])
        .filter_map(|t| Some(format!("{} in {:.0} ms", t.name, t.reconnected_ms.first()?)))
        .collect();
    let _ = writeln!(
        out,
        "the SFU went away: moved {}; {}",
        moved.join(", "),
        match gap {
            0.0 => "no gap".to_owned(),
            gap => format!("the longest gap in a voice was {gap:.0} ms"),
        }
    );
    let leaving: u64 = talkers.iter().map(|t| t.stats.unwrap_or_default().offers_while_leaving).sum();
    let _ = writeln!(
        out,
        "late offers: {} sent to {} and {} real ones that it left unanswered, {} dropped; \
         {} sent to leaving talkers, of which {} still arrived and were dropped",
        sent.to_bot,
        bot.name,
        sent.unanswered_by_bot,
        bot.stats.unwrap_or_default().late_offers_dropped,
        sent.while_leaving,
        leaving
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str) -> ProgramOutput {
        ProgramOutput {
            name: name.to_owned(),
            join_ms: Some(30.0),
            first_audio_ms: Some(90.0),
            stats: Some(Stats { late_offers_dropped: 1000, ..Stats::default() }),
            subscriber_freed: true,
            reconnected_ms: vec![13.0],
            ended: 1,
            ..ProgramOutput::default()
        }
    }

    fn voice(talker: &str, correlation: f64) -> Voice {
        let found = Match { correlation, snr_db: 10.0, offset_s: 0.1, overlap_s: 9.0 };
        Voice { talker: talker.to_owned(), found: Ok(found), expected_s: 10.0 }
    }

    const SENT: Sent =
        Sent { to_bot: 1000, unanswered_by_bot: 0, stale_answers: 0, while_leaving: 40, left_behind: Some(0) };

    /// A good run with one change; returns the failures.
    fn verdict(
        change: impl FnOnce(&mut Vec<ProgramOutput>, &mut ProgramOutput, &mut Vec<Voice>, &mut Sent),
    ) -> Vec<String> {
        let mut talkers = vec![output("alice"), output("bob")];
        let (mut bot, mut sent) = (output("bot"), SENT);
        let mut voices = vec![voice("alice", 0.97), voice("bob", 0.95)];
        change(&mut talkers, &mut bot, &mut voices, &mut sent);
        let (report, wrong) = judge(&talkers, &bot, &voices, sent);
        assert_eq!(report.ok, wrong.is_empty());
        wrong
    }

    #[test]
    fn a_good_run_is_ok_and_the_report_has_its_names() {
        let (report, wrong) =
            judge(&[output("alice"), output("bob")], &output("bot"), &[voice("alice", 0.97), voice("bob", 0.95)], SENT);
        assert!(report.ok && wrong.is_empty(), "{wrong:?}");
        let json = serde_json::to_value(&report).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = vec![
            "ok",
            "join_ms",
            "first_audio_ms",
            "correlation",
            "late_offers_sent",
            "late_offers_dropped",
            "offers_while_leaving",
            "error_events",
            "migrate_gap_ms",
            "migrate_ms",
        ];
        expected.sort_unstable();
        let mut keys = keys;
        keys.sort_unstable();
        assert_eq!(keys, expected);
        assert_eq!(json["join_ms"].as_array().unwrap().len(), 3);
        assert_eq!(json["correlation"]["bob"], 0.95);
        assert!(table(&[output("alice")], &output("bot"), &[voice("alice", 0.97)], SENT).contains("0.970"));
    }

    #[test]
    fn real_offers_that_came_too_late_are_allowed_for() {
        let wrong = verdict(|_, b, _, s| {
            s.unanswered_by_bot = 3;
            b.stats.as_mut().unwrap().late_offers_dropped = 1003;
        });
        assert!(wrong.is_empty(), "{wrong:?}");
        let wrong = verdict(|_, b, _, s| {
            s.unanswered_by_bot = 3;
            b.stats.as_mut().unwrap().late_offers_dropped = 1004;
        });
        assert!(wrong.iter().any(|w| w.contains("1001 of 1000")), "{wrong:?}");
    }

    #[test]
    fn every_fault_is_seen() {
        let cases: [(&str, Vec<String>); 17] = [
            ("although they were late", verdict(|_, _, _, s| s.stale_answers = 1)),
            ("was not received", verdict(|_, _, v, _| v[1] = voice("bob", 0.4))),
            ("of bob were received", verdict(|_, _, v, _| v[1].expected_s = 60.0)),
            ("recording of alice", verdict(|_, _, v, _| v[0].found = Err("no file".into()))),
            ("not every voice", verdict(|_, _, v, _| v.clear())),
            ("received no audio", verdict(|t, _, _, _| t[0].first_audio_ms = None)),
            ("never joined", verdict(|_, b, _, _| b.join_ms = None)),
            ("no late offer", verdict(|_, _, _, s| s.to_bot = 0)),
            ("999 of 1000", verdict(|_, b, _, _| b.stats.as_mut().unwrap().late_offers_dropped = 999)),
            ("no offer was sent to a leaving", verdict(|_, _, _, s| s.while_leaving = 0)),
            ("error event: bad", verdict(|t, _, _, _| t[1].errors.push("bad".into()))),
            ("did not free", verdict(|_, b, _, _| b.subscriber_freed = false)),
            ("changed its SFU 0 times", verdict(|_, b, _, _| b.reconnected_ms.clear())),
            ("received no audio for 400 ms", verdict(|t, _, _, _| t[0].gap_ms = 400.0)),
            ("2 were still on the SFU", verdict(|_, _, _, s| s.left_behind = Some(2))),
            ("could not be killed", verdict(|_, _, _, s| s.left_behind = None)),
            ("2 terminal events", verdict(|t, _, _, _| t[0].ended = 2)),
        ];
        for (expected, wrong) in cases {
            assert!(wrong.iter().any(|w| w.contains(expected)), "{expected}: {wrong:?}");
        }
    }
}
