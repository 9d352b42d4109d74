//! Fault switches, and their effect on one stream of messages or packets, decided from a seed.
//!
//! Pure: returns what to send and with which delay; sends nothing.

use super::wire::To;
use crate::soak::faults::Dice;
use serde::Deserialize;
use std::{sync::Mutex, time::Duration};

/// Which peer connection a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pc {
    Publisher,
    Subscriber,
}

/// Faults for each message or packet. Probabilities are from 0 to 1.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Odds {
    #[serde(alias = "drop")]
    pub loss: f64,
    pub delay_ms: u64,
    /// Most additional delay. It does not reorder.
    pub jitter_ms: u64,
    pub duplicate: f64,
    /// Probability of being held until the next one has passed.
    pub reorder: f64,
    /// Drops everything.
    pub blackhole: bool,
    pub seed: u64,
}

/// Scope of odds. An absent member matches everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub identity: String,
    pub to: Option<To>,
    pub pc: Option<Pc>,
    /// Kinds of messages.
    pub kinds: Vec<String>,
}

impl Scope {
    /// Reads `identity`, `direction`, `pc` and `kinds` of a control request.
    pub fn read(body: &serde_json::Value) -> Result<Self, String> {
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let kinds = body["kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(Scope {
            identity: text("identity").to_owned(),
            to: match text("direction") {
                "" | "both" => None,
                "to_client" => Some(To::Client),
                "to_server" => Some(To::Server),
                other => return Err(format!("direction is to_client, to_server or both, not {other}")),
            },
            pc: match text("pc") {
                "" | "both" => None,
                "publisher" => Some(Pc::Publisher),
                "subscriber" => Some(Pc::Subscriber),
                other => return Err(format!("pc is publisher, subscriber or both, not {other}")),
            },
            kinds: kinds.iter().filter_map(|k| k.as_str().map(str::to_owned)).collect(),
        })
    }

    fn fits(&self, identity: &str, to: To, pc: Option<Pc>, kind: &str) -> bool {
        (self.identity.is_empty() || self.identity == identity)
            && self.to.is_none_or(|t| t == to)
            && (self.pc.is_none() || self.pc == pc)
            && (self.kinds.is_empty() || self.kinds.iter().any(|k| k == kind))
    }
}

/// Active odds, with the number of the request that set them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    number: u64,
    odds: Odds,
}

/// The active rules; of several that match, the one set last applies.
#[derive(Debug, Default)]
pub struct Rules(Mutex<(u64, Vec<(Scope, Rule)>)>);

impl Rules {
    /// Replaces the rule of the same scope. Odds that do nothing are a rule as well: they override a wider one.
    pub fn set(&self, scope: Scope, odds: Odds) {
        let mut inner = super::lock(&self.0);
        inner.0 += 1;
        let number = inner.0;
        inner.1.retain(|(s, _)| *s != scope);
        inner.1.push((scope, Rule { number, odds }));
    }

    /// Removes the rules of one identity; empty: all rules.
    pub fn clear(&self, identity: &str) {
        super::lock(&self.0).1.retain(|(s, _)| !identity.is_empty() && s.identity != identity);
    }

    pub fn find(&self, identity: &str, to: To, pc: Option<Pc>, kind: &str) -> Option<Rule> {
        let inner = super::lock(&self.0);
        inner.1.iter().rev().find(|(s, _)| s.fits(identity, to, pc, kind)).map(|(_, rule)| *rule)
    }
}

/// One stream in one direction.
#[derive(Debug)]
pub struct Lane<T> {
    salt: u64,
    rule: u64,
    dice: Dice,
    held: Option<T>,
    pub dropped: u64,
}

impl<T: Clone> Lane<T> {
    /// Lanes with different salts get different faults from the same seed.
    pub fn new(salt: u64) -> Self {
        Lane { salt, rule: 0, dice: Dice::new(salt), held: None, dropped: 0 }
    }

    /// Returns what to send when `item` arrives, in this order, each with its delay.
    pub fn pass(&mut self, rule: Option<Rule>, item: T) -> Vec<(T, Duration)> {
        let Some(Rule { number, odds }) = rule else {
            // A held item is released after the next one, even if the rule was removed.
            let held = self.held.take();
            return std::iter::once(item).chain(held).map(|i| (i, Duration::ZERO)).collect();
        };
        if self.rule != number {
            self.rule = number;
            self.dice = Dice::new(odds.seed.wrapping_mul(0x1_0000_0001) ^ self.salt);
        }
        // Always the same number of draws, so that one switch does not change the effect of another.
        let mut chance = |odds: f64| ((self.dice.roll() >> 11) as f64 / (1u64 << 53) as f64) < odds;
        let (lost, twice, late) = (chance(odds.loss), chance(odds.duplicate), chance(odds.reorder));
        let jitter = self.dice.roll() % (odds.jitter_ms + 1);
        let delay = Duration::from_millis(odds.delay_ms + jitter);
        if lost || odds.blackhole {
            self.dropped += 1;
            return Vec::new();
        }
        if late && self.held.is_none() {
            self.held = Some(item);
            return Vec::new();
        }
        let copy = twice.then(|| item.clone());
        std::iter::once(item).chain(copy).chain(self.held.take()).map(|i| (i, delay)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn odds(value: serde_json::Value) -> Odds {
        serde_json::from_value(value).unwrap()
    }

    fn run(odds: Odds, salt: u64, count: u32) -> Vec<(u32, Duration)> {
        let rule = Some(Rule { number: 1, odds });
        let mut lane = Lane::new(salt);
        (0..count).flat_map(|i| lane.pass(rule, i)).collect()
    }

    #[test]
    fn the_same_seed_makes_the_same_faults() {
        let odds =
            odds(json!({ "drop": 0.3, "duplicate": 0.2, "reorder": 0.2, "delay_ms": 5, "jitter_ms": 9, "seed": 4 }));
        let first = run(odds, 1, 1000);
        assert_eq!(first, run(odds, 1, 1000));
        assert_ne!(first, run(odds, 2, 1000));
        assert_ne!(first, run(Odds { seed: 5, ..odds }, 1, 1000));
        assert!(first.iter().all(|(_, d)| (5..=14).contains(&(d.as_millis() as u64))));
    }

    #[test]
    fn probabilities_are_what_they_say() {
        assert_eq!(run(odds(json!({ "loss": 1.0 })), 1, 100).len(), 0);
        assert_eq!(run(odds(json!({ "blackhole": true })), 1, 100).len(), 0);
        assert_eq!(run(odds(json!({ "duplicate": 1.0 })), 1, 100).len(), 200);
        let kept = run(odds(json!({ "loss": 0.25 })), 1, 4000).len();
        assert!((2850..3150).contains(&kept), "{kept}");
        // One switch does not change the other's effect.
        let both = run(odds(json!({ "loss": 0.25, "duplicate": 1.0 })), 1, 4000).len();
        assert_eq!(both, 2 * kept);
    }

    #[test]
    fn what_is_reordered_comes_behind_the_next_one() {
        let order: Vec<u32> = run(odds(json!({ "reorder": 1.0 })), 1, 6).iter().map(|(i, _)| *i).collect();
        assert_eq!(order, [1, 0, 3, 2, 5, 4]);
        let mut lane = Lane::new(1);
        assert!(lane.pass(Some(Rule { number: 1, odds: odds(json!({ "reorder": 1.0 })) }), 1).is_empty());
        assert_eq!(lane.pass(None, 2), [(2, Duration::ZERO), (1, Duration::ZERO)]);
    }

    #[test]
    fn the_rule_set_last_holds_for_those_it_fits() {
        let rules = Rules::default();
        let scope = |body| Scope::read(&body).unwrap();
        rules.set(scope(json!({})), odds(json!({ "loss": 0.1 })));
        rules.set(scope(json!({ "identity": "a", "direction": "to_client" })), odds(json!({ "loss": 0.2 })));
        rules.set(scope(json!({ "identity": "a", "kinds": ["offer"] })), odds(json!({ "loss": 0.3 })));
        let loss = |who, to, kind| rules.find(who, to, None, kind).map(|r| r.odds.loss);
        assert_eq!(loss("a", To::Client, "offer"), Some(0.3));
        assert_eq!(loss("a", To::Client, "join"), Some(0.2));
        assert_eq!(loss("a", To::Server, "ping"), Some(0.1));
        assert_eq!(loss("b", To::Client, "offer"), Some(0.1));
        rules.set(scope(json!({})), odds(json!({ "loss": 0.9 })));
        assert_eq!(loss("a", To::Client, "offer"), Some(0.9));
        rules.clear("a");
        assert_eq!(loss("a", To::Client, "offer"), Some(0.9));
        rules.clear("");
        assert_eq!(loss("b", To::Client, "offer"), None);
        assert!(Scope::read(&json!({ "direction": "up" })).is_err() && Scope::read(&json!({ "pc": "x" })).is_err());
    }
}
