//! Measures reconnects, leaves, and how soon a dead socket is detected.
//!
//! A reconnect that does not happen is a missing figure, not an error: the table says "not reached".

use super::{
    run::{end, expect, number, Bench},
    summary::{percentile, round},
};
use serde_json::{json, Value};
use std::{thread, time::Duration};

/// Pause between two faults, so that one does not overlap the previous one, nor count towards the reconnect limit.
const APART: Duration = Duration::from_millis(300);
/// Reconnects of one session in quick succession are delayed more and more, so each session is used for this many.
const PER_SESSION: u64 = 2;
const LEAVES: u64 = 100;
/// Sessions besides the leaving one.
const LOAD: u64 = 20;

/// Figures of one reconnect strategy; empty if it did not happen.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Longest time between two received frames, in either direction.
    pub gaps: Vec<f64>,
    /// From the state event of the loss to the next received frame.
    pub after_notice: Vec<f64>,
    /// From the fault to its state event.
    pub notices: Vec<f64>,
    /// From that state event to JOINED again.
    pub back: Vec<f64>,
}

/// Results of `make bench` for lost connections.
#[derive(Clone, Debug, Default)]
pub struct Reconnects {
    pub fast: Ways,
    pub rejoin: Ways,
    pub migrate: Ways,
    pub dead: Ways,
    pub leave_idle: Vec<f64>,
    pub leave_load: Vec<f64>,
}

impl Reconnects {
    /// The strategies with their names.
    pub fn ways(&self) -> [(&'static str, &Ways); 4] {
        [("FAST", &self.fast), ("REJOIN", &self.rejoin), ("MIGRATE", &self.migrate), ("dead socket", &self.dead)]
    }
}

/// A percentile, or None without values.
pub fn share(values: &[f64], share: f64) -> Option<f64> {
    (!values.is_empty()).then(|| round(percentile(values, share)))
}

impl Bench<'_> {
    pub(super) fn reconnects(&mut self) -> Result<Reconnects, String> {
        let (rounds, dead) = (self.plan.reconnects, self.plan.dead_sockets);
        println!("losing the socket {rounds} times");
        let fast = self.ways("fast", rounds, 2, "drop_ws", &json!({"hard": true}))?;
        println!("receiving a request to rejoin {rounds} times");
        let error = json!({"code": 500, "message": "to be measured", "strategy": 3});
        let rejoin = self.ways("rejoin", rounds, 3, "error", &error)?;
        println!("receiving a request to migrate {rounds} times");
        let migrate = self.ways("migrate", rounds, 4, "go_away", &json!({"reason": 2}))?;
        println!("a socket becomes half open {dead} times; that takes some 13 s each");
        let dead = self.ways("dead", dead, 2, "freeze_ws", &json!({"half_open": true}))?;
        println!("leaving {LEAVES} times, alone and beside {LOAD} sessions");
        let leave_idle = self.leaves(0)?;
        let leave_load = self.leaves(LOAD)?;
        Ok(Reconnects { fast, rejoin, migrate, dead, leave_idle, leave_load })
    }

    /// `how` is the expected reconnect strategy; others are not counted.
    fn ways(&mut self, call: &str, rounds: u64, how: u64, fault: &str, body: &Value) -> Result<Ways, String> {
        let mut ways = Ways::default();
        let mut left = rounds;
        while left > 0 {
            let sfu = self.start_sfu()?;
            let mut worker = self.worker("reconnect", &sfu.url, &[("call", call)])?;
            expect(&worker, "ready")?;
            for _ in 0..left.min(PER_SESSION) {
                left -= 1;
                worker.send_line("watch")?;
                expect(&worker, "watching")?;
                let mut body = body.clone();
                body["user_id"] = json!("victim");
                sfu.control(fault, &body)?;
                let line = expect(&worker, "reconnect")?;
                if number(&line, "how")? as u64 == how {
                    ways.gaps.push(number(&line, "receive_gap_ms")?.max(number(&line, "send_gap_ms")?));
                    ways.after_notice.push(number(&line, "after_notice_ms")?);
                    ways.notices.push(number(&line, "notice_ms")?);
                    ways.back.push(number(&line, "back_ms")?);
                } else {
                    println!("  not as expected: {line}");
                }
                if line["ended"].as_str().is_some_and(|e| !e.is_empty()) {
                    // The session has left the call; later ones would as well.
                    return Ok(ways);
                }
                thread::sleep(APART);
            }
            worker.send_line("stop")?;
            end(worker)?;
        }
        Ok(ways)
    }

    fn leaves(&mut self, load: u64) -> Result<Vec<f64>, String> {
        let sfu = self.start_sfu()?;
        let (n, count) = (load.to_string(), LEAVES.to_string());
        let args = [("call", "leaves"), ("user", "leaver"), ("n", n.as_str()), ("count", count.as_str())];
        let worker = self.worker("leaves", &sfu.url, &args)?;
        expect(&worker, "ready")?;
        let took = (0..LEAVES).map(|_| number(&expect(&worker, "leave")?, "ms")).collect::<Result<_, _>>()?;
        end(worker)?;
        Ok(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_values_there_is_no_figure() {
        assert_eq!(share(&[], 0.5), None);
        assert_eq!(share(&[1.0, 3.0], 0.5), Some(2.0));
    }
}
