//! Measures reconnects, leaves, and how soon a dead socket is noticed.
//!
//! What does not come about is a figure that is missing, not a failure: the table says "not reached".

use super::{
    run::{end, expect, number, Bench},
    summary::{percentile, round},
};
use serde_json::{json, Value};
use std::{thread, time::Duration};

/// Between two, so that one does not begin in the other's wake, nor count towards the limit of reconnects.
const APART: Duration = Duration::from_millis(300);
/// Those of one session that follow each other closely are put off more and more; a session is worn for this many.
const PER_SESSION: u64 = 2;
const LEAVES: u64 = 100;
/// Sessions beside the one that leaves.
const LOAD: u64 = 20;

/// Figures of one way to reconnect; empty: it did not come about.
#[derive(Clone, Debug, Default)]
pub struct Ways {
    /// Longest time between two real frames, in either direction.
    pub gaps: Vec<f64>,
    /// From the notice of the loss to the next real frame.
    pub after_notice: Vec<f64>,
    /// From the trouble to the state event that tells of it.
    pub notices: Vec<f64>,
    /// From the notice to JOINED again.
    pub back: Vec<f64>,
}

/// What `make bench` measures of lost connections.
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
    /// With their names.
    pub fn ways(&self) -> [(&'static str, &Ways); 4] {
        [("FAST", &self.fast), ("REJOIN", &self.rejoin), ("MIGRATE", &self.migrate), ("dead socket", &self.dead)]
    }
}

/// A percentile, or nothing without values.
pub fn share(values: &[f64], share: f64) -> Option<f64> {
    (!values.is_empty()).then(|| round(percentile(values, share)))
}

impl Bench<'_> {
    pub(super) fn reconnects(&mut self) -> Result<Reconnects, String> {
        let (rounds, dead) = (self.plan.reconnects, self.plan.dead_sockets);
        println!("losing the socket {rounds} times");
        let fast = self.ways("fast", rounds, 2, "drop_ws", &json!({"hard": true}))?;
        println!("being told to rejoin {rounds} times");
        let error = json!({"code": 500, "message": "to be measured", "strategy": 3});
        let rejoin = self.ways("rejoin", rounds, 3, "error", &error)?;
        println!("being told to go away {rounds} times");
        let migrate = self.ways("migrate", rounds, 4, "go_away", &json!({"reason": 2}))?;
        println!("a socket goes silent {dead} times; that takes some 13 s each");
        let dead = self.ways("dead", dead, 2, "freeze_ws", &json!({"half_open": true}))?;
        println!("leaving {LEAVES} times, alone and beside {LOAD} sessions");
        let leave_idle = self.leaves(0)?;
        let leave_load = self.leaves(LOAD)?;
        Ok(Reconnects { fast, rejoin, migrate, dead, leave_idle, leave_load })
    }

    /// `how` is the reconnect that is expected; others are not counted.
    fn ways(&mut self, call: &str, rounds: u64, how: u64, fault: &str, body: &Value) -> Result<Ways, String> {
        let mut ways = Ways::default();
        let mut left = rounds;
        while left > 0 {
            let sfu = self.start_sfu()?;
            let mut worker = self.worker("reconnect", &sfu.url, &[("call", call)])?;
            expect(&worker, "ready")?;
            for _ in 0..left.min(PER_SESSION) {
                left -= 1;
                worker.tell("watch")?;
                expect(&worker, "watching")?;
                let mut body = body.clone();
                body["user_id"] = json!("victim");
                sfu.control(fault, &body)?;
                let line = expect(&worker, "reconnect")?;
                if number(&line, "how")? as u64 == how {
                    ways.gaps.push(number(&line, "hears_gap_ms")?.max(number(&line, "heard_gap_ms")?));
                    ways.after_notice.push(number(&line, "after_notice_ms")?);
                    ways.notices.push(number(&line, "notice_ms")?);
                    ways.back.push(number(&line, "back_ms")?);
                } else {
                    println!("  not as expected: {line}");
                }
                if line["ended"].as_str().is_some_and(|e| !e.is_empty()) {
                    // It is out of the call; others of its kind would be as well.
                    return Ok(ways);
                }
                thread::sleep(APART);
            }
            worker.tell("stop")?;
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
