//! Generates the schedule of faults, and the sessions they hit, from one seed.
//!
//! Pure: creates requests for the SFU's control API and sends none.

use serde_json::{json, Value};

/// Pseudo-random number generator, good enough to choose faults.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `least` to `most`, both included.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll() % (most - least + 1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.roll() % from.len() as u64) as usize]
    }
}

/// One request to the control API.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Milliseconds into the storm.
    pub at_ms: u64,
    /// The fault's name in the report. Several requests may make up one fault.
    pub name: &'static str,
    /// Path below /ctl/.
    pub call: &'static str,
    pub body: Value,
    /// Slots that it affects.
    pub hits: Vec<usize>,
}

/// The sessions that faults may hit.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Slot number of the first session.
    pub first: usize,
    pub count: usize,
    /// Sessions per room.
    pub room: usize,
}

/// Name and weight of the faults of one session.
const SINGLE: [(&str, u64); 20] = [
    ("close", 6),
    ("reset", 8),
    ("close_code", 5),
    ("half_open", 10),
    ("freeze", 8),
    ("lossy", 14),
    ("long_line", 7),
    ("blackout", 6),
    ("go_away", 9),
    ("error_fast", 3),
    ("error_rejoin", 4),
    ("error_migrate", 3),
    ("error_only", 2),
    ("disconnect", 1),
    ("ice_restart", 7),
    ("late_offers", 4),
    ("garbage", 4),
    ("silent", 7),
    ("refuse", 5),
    ("moderate", 3),
];

/// The whole storm, sorted by time. The same seed gives the same storm.
pub fn storm(seed: u64, field: Field, length_ms: u64) -> Vec<Order> {
    let mut dice = Dice::new(seed ^ 0x05_0a_4b);
    let mut orders = Vec::new();
    let mut at = 1000;
    while at < length_ms {
        single(&mut dice, field, at, &mut orders);
        at += dice.between(300, 1100);
    }
    // The edges are killed in turn, so that some sessions are on the one that is killed.
    let (mut at, mut turn) = (dice.between(6000, 9000), 0);
    while at + 8000 < length_ms {
        wide(&mut dice, field, at, turn, &mut orders);
        turn += 1;
        at += dice.between(9000, 13000);
    }
    orders.sort_by_key(|o| o.at_ms);
    orders
}

fn single(dice: &mut Dice, field: Field, at: u64, orders: &mut Vec<Order>) {
    let slot = field.first + dice.between(0, field.count as u64 - 1) as usize;
    let user = format!("s{slot}");
    let weights: u64 = SINGLE.iter().map(|(_, w)| w).sum();
    let mut draw = dice.between(0, weights - 1);
    let name = SINGLE.iter().find(|(_, w)| draw.checked_sub(*w).map(|left| draw = left).is_none());
    let name = name.map_or("close", |(name, _)| name);
    let mut order = |at_ms: u64, call: &'static str, mut body: Value| {
        body["user_id"] = json!(user);
        orders.push(Order { at_ms, name, call, body, hits: vec![slot] });
    };
    match name {
        "reset" => order(at, "drop_ws", json!({"hard": true})),
        "close_code" => order(at, "drop_ws", json!({"code": dice.pick(&[1000, 1001, 1011, 4001])})),
        "half_open" => order(at, "freeze_ws", json!({"half_open": true})),
        "freeze" => order(at, "freeze_ws", json!({"ms": dice.between(2000, 20_000)})),
        "lossy" => {
            let percent = dice.pick(&[5, 10, 20]);
            let burst = dice.between(1, 8);
            order(at, "lossy", json!({"up": percent, "down": percent, "burst": burst, "seed": dice.roll()}));
            order(at + dice.between(4000, 12_000), "lossy", json!({}));
        }
        "long_line" => {
            let line = json!({"delay_up_ms": 150, "delay_down_ms": 150, "jitter_ms": dice.between(0, 30)});
            order(at, "lossy", line);
            order(at + dice.between(5000, 12_000), "lossy", json!({}));
        }
        "blackout" => {
            order(at, "lossy", json!({"up": 100, "down": 100, "all": true}));
            order(at + dice.between(1000, 9000), "lossy", json!({}));
        }
        "go_away" => order(at, "go_away", json!({"reason": dice.between(1, 2)})),
        "error_fast" => order(at, "error", json!({"code": 206, "strategy": 2, "message": "fast"})),
        "error_rejoin" => order(at, "error", json!({"code": 500, "strategy": 3, "message": "rejoin"})),
        "error_migrate" => order(at, "error", json!({"code": 600, "strategy": 4, "message": "migrate"})),
        "error_only" => order(at, "error", json!({"code": 500, "strategy": 0, "message": "by the way"})),
        "disconnect" => order(at, "error", json!({"code": 500, "strategy": 1, "message": "go"})),
        "ice_restart" => order(at, "ice_restart", json!({"peer_type": dice.between(0, 1)})),
        "late_offers" => order(at, "late_offer", json!({"count": dice.between(1, 50)})),
        "garbage" => {
            let size = dice.pick(&[10, 1000, 3 << 20]);
            order(at, "raw_frame", json!({"size": size, "seed": dice.roll() >> 1}));
        }
        // A missing response, and an error that makes the session wait for one.
        "silent" => {
            let stage =
                dice.pick(&["join_http", "ws_upgrade", "join_response", "set_publisher", "send_answer", "offer"]);
            order(at, "silent", json!({"stage": stage, "count": 1}));
            let strategy = dice.between(2, 4);
            order(at + 10, "error", json!({"code": 500, "strategy": strategy, "message": "in silence"}));
        }
        "refuse" => {
            match dice.between(0, 4) {
                0 => order(at, "refuse_join", json!({"http_status": 503, "message": "busy", "count": 1})),
                1 => order(at, "refuse_join", json!({"http_status": 429, "retry_after": 1, "count": 1})),
                2 => order(at, "expire_tokens", json!({"count": 1})),
                _ => {
                    let code = dice.pick(&[700, 600, 301]);
                    order(at, "join_error", json!({"code": code, "message": "full", "count": 1}));
                }
            }
            order(at + 10, "error", json!({"code": 500, "strategy": 3, "message": "to be refused"}));
        }
        "moderate" => match dice.between(0, 3) {
            0 => order(at, "kick", json!({})),
            _ => order(at, "mute", json!({"track_type": 1})),
        },
        _ => order(at, "drop_ws", json!({})),
    }
}

/// Faults that hit many sessions at once.
fn wide(dice: &mut Dice, field: Field, at: u64, turn: usize, orders: &mut Vec<Order>) {
    let all: Vec<usize> = (field.first..field.first + field.count).collect();
    let edge = ["sfu-a", "sfu-b"][turn / 2 % 2];
    let mut order = |at_ms, name, call, body, hits: &[usize]| {
        orders.push(Order { at_ms, name, call, body, hits: hits.to_vec() });
    };
    if turn.is_multiple_of(2) {
        order(at, "kill_edge", "kill_edge", json!({"edge": edge, "hide": true}), &all);
        let back = at + dice.between(2000, 6000);
        order(back, "kill_edge", "revive_edge", json!({"edge": edge}), &all);
        return;
    }
    let rooms = field.count / field.room;
    let room = dice.between(0, rooms.max(1) as u64 - 1) as usize;
    let cid = format!("default:storm-{room}");
    let people: Vec<usize> = all.iter().copied().filter(|slot| (slot - field.first) / field.room == room).collect();
    match dice.between(0, 3) {
        0 => order(at, "room_reset", "drop_ws", json!({"cid": cid, "hard": true}), &people),
        1 => order(at, "call_ended", "call_ended", json!({"cid": cid, "reason": 1}), &people),
        2 => order(at, "room_goes_away", "go_away", json!({"cid": cid, "reason": 1}), &people),
        _ => {
            order(at, "slow_edge", "slow", json!({"ms": 300, "edge": edge}), &all);
            order(at + dice.between(3000, 8000), "slow_edge", "slow", json!({"ms": 0, "edge": edge}), &all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELD: Field = Field { first: 14, count: 36, room: 3 };

    #[test]
    fn a_seed_is_a_storm() {
        let storm_of = |seed| storm(seed, FIELD, 600_000);
        assert_eq!(storm_of(1), storm_of(1));
        assert_ne!(storm_of(1), storm_of(2));
        let orders = storm_of(3);
        assert!(orders.windows(2).all(|w| w[0].at_ms <= w[1].at_ms));
        for (name, _) in SINGLE {
            assert!(orders.iter().any(|o| o.name == name), "{name} never happens in ten minutes");
        }
    }

    #[test]
    fn the_quiet_rooms_are_never_meant() {
        for seed in 0..20 {
            for order in storm(seed, FIELD, 120_000) {
                assert!(order.hits.iter().all(|s| (14..50).contains(s)), "{order:?}");
                let body = &order.body;
                let meant = body["user_id"].as_str().is_some_and(|u| u.starts_with('s'))
                    || body["cid"].as_str().is_some_and(|c| c.starts_with("default:storm-"))
                    || body["edge"].as_str().is_some_and(|e| e != "sfu-c");
                assert!(meant, "{order:?}");
            }
        }
    }

    #[test]
    fn a_killed_edge_is_revived_and_only_one_is_dead_at_a_time() {
        let mut dead = Vec::new();
        for order in storm(9, FIELD, 300_000) {
            match order.call {
                "kill_edge" => dead.push(order.body["edge"].clone()),
                "revive_edge" => dead.retain(|e| *e != order.body["edge"]),
                _ => {}
            }
            assert!(dead.len() <= 1);
        }
        assert!(dead.is_empty());
    }
}
