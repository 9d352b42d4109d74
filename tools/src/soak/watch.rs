//! Follows the worker's sessions line by line: how long each is away, how each ended, and what failed.
//!
//! Pure: takes lines and the current time.

use serde_json::Value;
use std::collections::BTreeMap;

/// A session that was hit must be joined again or ended within this time.
pub const LIMIT_MS: u64 = 30_000;
/// Margin for delays of the machine.
const GRACE_MS: u64 = 1_000;
/// Upper limit, however often a session is hit.
const NEVER_LONGER_MS: u64 = 60_000;
const MAX_WRONG: usize = 200;

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Since when it has been neither joined nor ended.
    away_since: Option<u64>,
    hit_at: Option<u64>,
    reported: bool,
}

/// The worker's periodic status line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beat {
    pub alive: u64,
    pub joined: u64,
    pub receiving: u64,
    pub joins: u64,
    pub heap_kb: f64,
    pub stall_ms: f64,
    pub missing: String,
}

/// State gathered from the worker's lines.
#[derive(Debug, Default)]
pub struct Watch {
    slots: Vec<Slot>,
    pub beat: Option<Beat>,
    pub beats: u64,
    /// Failures of the soak, as text.
    pub wrong: Vec<String>,
    /// Number of terminal events by end reason.
    pub ended: BTreeMap<String, u64>,
    /// Elapsed ms of reconnects, by strategy.
    pub back: BTreeMap<&'static str, Vec<f64>>,
    /// Error events that do not end the call, by code.
    pub errors: BTreeMap<String, u64>,
    pub left_ms: Vec<f64>,
    pub longest_away_ms: u64,
    pub gaps: BTreeMap<String, Value>,
    pub shutdown: Option<(String, f64)>,
    pub stall_ms: f64,
}

/// Names of oh_end_reason.
fn reason(code: i64) -> &'static str {
    match code {
        0 => "left",
        1 => "call_ended",
        2 => "session_ended",
        3 => "kicked",
        4 => "join_failed",
        5 => "connection_lost",
        6 => "disconnected",
        7 => "shutdown",
        8 => "internal",
        9 => "reconnect_limit",
        10 => "negotiation_failed",
        11 => "network_unsupported",
        12 => "reconnect_refused",
        _ => "unknown",
    }
}

impl Watch {
    pub fn new(slots: usize) -> Self {
        Watch { slots: vec![Slot::default(); slots], ..Watch::default() }
    }

    pub fn complain(&mut self, what: String) {
        if self.wrong.len() < MAX_WRONG {
            self.wrong.push(what);
        }
    }

    /// Records that a fault hits this slot now.
    pub fn hit(&mut self, slot: usize, now: u64) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.hit_at = Some(now);
        }
    }

    /// Processes one line.
    pub fn take_line(&mut self, line: &str, now: u64) {
        let Ok(line) = serde_json::from_str::<Value>(line) else {
            self.complain(format!("the worker printed invalid JSON: {}", &line.chars().take(200).collect::<String>()));
            return;
        };
        let number = |key: &str| line[key].as_f64().unwrap_or_default();
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let slot = number("slot") as usize;
        match line["kind"].as_str().unwrap_or_default() {
            "state" => match line["state"].as_str() {
                Some("joined" | "left") => self.is_back(slot, now),
                _ => {
                    if let Some(slot) = self.slots.get_mut(slot) {
                        slot.away_since.get_or_insert(now);
                    }
                }
            },
            // Freed, perhaps while reconnecting: no further events follow.
            "over" => self.is_back(slot, now),
            "ended" => {
                self.is_back(slot, now);
                let code = number("code") as i64;
                let name = reason(code);
                if name == "unknown" {
                    self.complain(format!("s{slot} ended with the unknown reason {code}"));
                }
                *self.ended.entry(name.to_owned()).or_default() += 1;
            }
            "back" => {
                let way = match number("how") as i64 {
                    2 => "fast",
                    3 => "rejoin",
                    4 => "migrate",
                    _ => "unknown",
                };
                self.back.entry(way).or_default().push(number("ms"));
            }
            "error" => *self.errors.entry(text("error")).or_default() += 1,
            "wrong" => self.complain(format!("slot {}: {}", line["slot"], text("text"))),
            "left" => self.left_ms.push(number("ms")),
            "gaps" => {
                self.gaps.insert(text("of"), line.clone());
            }
            "shutdown" => self.shutdown = Some((text("result"), number("ms"))),
            "beat" => {
                self.beats += 1;
                self.stall_ms = self.stall_ms.max(number("stall_ms"));
                self.beat = Some(Beat {
                    alive: number("alive") as u64,
                    joined: number("joined") as u64,
                    receiving: number("receiving") as u64,
                    joins: number("joins") as u64,
                    heap_kb: number("heap_kb"),
                    stall_ms: number("stall_ms"),
                    missing: text("missing"),
                });
            }
            _ => {}
        }
    }

    fn is_back(&mut self, slot: usize, now: u64) {
        let Some(slot) = self.slots.get_mut(slot) else { return };
        if let Some(since) = slot.away_since.take() {
            self.longest_away_ms = self.longest_away_ms.max(now.saturating_sub(since));
        }
        slot.reported = false;
    }

    /// Checks for sessions that have been away too long. Returns the number of sessions away now.
    pub fn look(&mut self, now: u64) -> usize {
        let mut late = Vec::new();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let Some(since) = slot.away_since else { continue };
            let away = now.saturating_sub(since);
            let begin = slot.hit_at.map_or(since, |hit| hit.max(since));
            if !slot.reported && (now.saturating_sub(begin) > LIMIT_MS + GRACE_MS || away > NEVER_LONGER_MS + GRACE_MS)
            {
                slot.reported = true;
                late.push(format!("slot {number} has been neither joined nor ended for {away} ms"));
            }
        }
        late.into_iter().for_each(|l| self.complain(l));
        self.slots.iter().filter(|s| s.away_since.is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(slot: usize, state: &str) -> String {
        format!(r#"{{"kind":"state","slot":{slot},"state":"{state}"}}"#)
    }

    #[test]
    fn a_session_away_too_long_is_reported_once() {
        let mut watch = Watch::new(3);
        watch.take_line(&state(1, "reconnecting"), 1000);
        watch.take_line(&state(2, "joining"), 1000);
        watch.take_line(&state(2, "joined"), 5000);
        assert_eq!(watch.look(31_000), 1);
        assert!(watch.wrong.is_empty());
        watch.look(32_001);
        watch.look(40_000);
        assert_eq!(watch.wrong.len(), 1, "{:?}", watch.wrong);
        assert_eq!(watch.longest_away_ms, 4000);
    }

    #[test]
    fn another_hit_extends_the_limit_up_to_a_maximum() {
        let mut watch = Watch::new(1);
        watch.take_line(&state(0, "reconnecting"), 0);
        for at in [10_000, 25_000, 50_000] {
            watch.hit(0, at);
        }
        watch.look(60_000);
        assert!(watch.wrong.is_empty());
        watch.look(61_001);
        assert_eq!(watch.wrong.len(), 1);
    }

    #[test]
    fn ends_and_wrongs_are_counted() {
        let mut watch = Watch::new(2);
        watch.take_line(&state(1, "reconnecting"), 0);
        watch.take_line(r#"{"kind":"ended","slot":1,"code":5}"#, 100);
        watch.take_line(r#"{"kind":"ended","slot":0,"code":99}"#, 100);
        watch.take_line(r#"{"kind":"wrong","slot":0,"text":"a quiet room received an event: state"}"#, 100);
        watch.take_line(r#"{"kind":"back","slot":0,"how":2,"ms":120}"#, 100);
        watch.take_line("nonsense", 100);
        assert_eq!(watch.ended["connection_lost"], 1);
        assert_eq!(watch.back["fast"], [120.0]);
        assert_eq!(watch.wrong.len(), 3, "{:?}", watch.wrong);
        assert_eq!(watch.look(100_000), 0);
    }
}
