//! The faults that a test has set: which requests go unanswered, are refused, delayed or lost.
//!
//! Pure bookkeeping. Request handlers check it first.

use parking_lot::{Mutex, RwLock};
use serde::Deserialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Maximum rules per kind. Adding more is an error.
const MAX_RULES: usize = 64;

/// One of the SFUs that this process simulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, Deserialize)]
pub enum Edge {
    #[serde(rename = "sfu-a")]
    A,
    #[serde(rename = "sfu-b")]
    B,
    /// In reserve: the coordinator names it only for calls and users pinned to it.
    #[serde(rename = "sfu-c")]
    C,
}

impl Edge {
    pub const ALL: [Edge; 3] = [Edge::A, Edge::B, Edge::C];
    /// The SFUs that the coordinator chooses from.
    pub const CHOICE: [Edge; 2] = [Edge::A, Edge::B];

    pub fn name(self) -> &'static str {
        match self {
            Edge::A => "sfu-a",
            Edge::B => "sfu-b",
            Edge::C => "sfu-c",
        }
    }

    pub fn from_name(name: &str) -> Option<Edge> {
        Edge::ALL.into_iter().find(|e| e.name() == name)
    }

    pub fn index(self) -> usize {
        self as usize
    }
}

/// The stage at which a silent server stops answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    TcpAccept,
    JoinHttp,
    WsUpgrade,
    JoinResponse,
    SetPublisher,
    SendAnswer,
    Offer,
    CoordinatorWs,
    CoordinatorHello,
}

/// Which requests a rule matches and how often it still applies.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Scope {
    /// Uses left. If absent, the rule applies until `reset`.
    #[serde(default)]
    pub count: Option<u64>,
    /// Only requests of this user.
    #[serde(default)]
    pub user_id: Option<String>,
    /// Only requests to this SFU.
    #[serde(default)]
    pub edge: Option<Edge>,
}

impl Scope {
    fn matches(&self, user: &str, edge: Option<Edge>) -> bool {
        self.count != Some(0)
            && self.user_id.as_deref().is_none_or(|u| u == user)
            && (self.edge.is_none() || edge.is_none() || self.edge == edge)
    }
}

/// The coordinator's refusal of a join.
#[derive(Clone, Debug, Deserialize)]
pub struct Refusal {
    #[serde(default = "forbidden")]
    pub http_status: u16,
    #[serde(default)]
    pub code: i64,
    #[serde(default)]
    pub message: String,
    #[serde(default)]
    pub unrecoverable: Option<bool>,
    /// Seconds, sent as the Retry-After header.
    #[serde(default)]
    pub retry_after: Option<u64>,
}

fn forbidden() -> u16 {
    403
}

/// An SFU's refusal of a JoinRequest.
#[derive(Clone, Debug, Deserialize)]
pub struct JoinError {
    pub code: i32,
    #[serde(default)]
    pub message: String,
    /// Number of the reconnect strategy to send; 0 is unspecified.
    #[serde(default)]
    pub strategy: i32,
    #[serde(default)]
    pub should_retry: bool,
}

/// Loss, delay and flooding of media packets. Loss is reproducible from the seed.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Lossy {
    /// Percent of packets from clients that are lost.
    #[serde(default)]
    pub up: f64,
    /// Percent of packets to clients that are lost.
    #[serde(default)]
    pub down: f64,
    /// Mean burst length of losses in packets; 1 is independent loss.
    #[serde(default)]
    pub burst: Option<f64>,
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub session_id: Option<String>,
    #[serde(default)]
    pub user_id: Option<String>,
    /// Flood: number of extra packets sent after each audio or video packet to clients, at most 1000.
    #[serde(default)]
    pub flood: u32,
    /// How many more times each such datagram is sent, at most 1000. Cheap for the sender.
    #[serde(default)]
    pub repeat: u32,
    /// Also drop ICE and DTLS; otherwise only RTP and RTCP.
    #[serde(default)]
    pub all: bool,
    /// Delay of all datagrams from clients, including ICE and DTLS; at most 5000 ms.
    #[serde(default)]
    pub delay_up_ms: u64,
    /// Delay of all datagrams to clients, likewise.
    #[serde(default)]
    pub delay_down_ms: u64,
    /// Maximum extra delay, drawn at random for each packet. Consecutive packets can be reordered.
    #[serde(default)]
    pub jitter_ms: u64,
    /// Drops every datagram whose remote port is outside of this range (least, greatest): a firewall that only a relay
    /// with these ports passes.
    #[serde(default)]
    pub only_ports: Option<(u16, u16)>,
    /// Drops every UDP datagram: a firewall that only TCP passes.
    #[serde(default)]
    pub block_udp: bool,
}

/// ICE servers that the coordinator announces instead of those of the start options.
#[derive(Clone, Debug, Deserialize)]
pub struct IceServers {
    /// In the coordinator's format: `urls`, `username`, `password`.
    pub servers: Vec<serde_json::Value>,
    /// Only for this user.
    #[serde(default)]
    pub user_id: Option<String>,
}

/// Assigns a call or user to one SFU.
#[derive(Clone, Debug, Deserialize)]
pub struct Pin {
    pub edge: Edge,
    /// Only for this call.
    #[serde(default)]
    pub cid: Option<String>,
    /// Only for this user.
    #[serde(default)]
    pub user_id: Option<String>,
}

/// All active faults.
#[derive(Debug, Default)]
pub struct Faults {
    silent: Mutex<Vec<(Scope, Stage)>>,
    refusals: Mutex<Vec<(Scope, Refusal)>>,
    connect_refusals: Mutex<Vec<(Scope, Refusal)>>,
    join_errors: Mutex<Vec<(Scope, JoinError)>>,
    lossy: RwLock<Vec<Lossy>>,
    lossy_version: AtomicU64,
    /// Per SFU; the last entry is the coordinator's.
    slow_ms: [AtomicU64; Edge::ALL.len() + 1],
    killed: Mutex<[bool; Edge::ALL.len()]>,
    hidden: Mutex<[bool; Edge::ALL.len()]>,
    pins: Mutex<Vec<Pin>>,
    ice_servers: Mutex<Vec<IceServers>>,
}

fn take<T: Clone>(
    rules: &Mutex<Vec<(Scope, T)>>,
    user: &str,
    edge: Option<Edge>,
    fits: impl Fn(&T) -> bool,
) -> Option<T> {
    let mut rules = rules.lock();
    let at = rules.iter().position(|(scope, rule)| fits(rule) && scope.matches(user, edge))?;
    let rule = rules[at].1.clone();
    if let Some(left) = &mut rules[at].0.count {
        *left -= 1;
        if *left == 0 {
            rules.remove(at);
        }
    }
    Some(rule)
}

fn add<T>(rules: &Mutex<Vec<(Scope, T)>>, scope: Scope, rule: T) -> Result<(), String> {
    let mut rules = rules.lock();
    if rules.len() >= MAX_RULES {
        return Err(format!("more than {MAX_RULES} rules of one kind; reset first"));
    }
    if scope.count != Some(0) {
        rules.push((scope, rule));
    }
    Ok(())
}

impl Faults {
    /// Returns true if this request is to go unanswered, and consumes one use of the rule.
    pub fn take_silent(&self, stage: Stage, user: &str, edge: Option<Edge>) -> bool {
        take(&self.silent, user, edge, |s| *s == stage).is_some()
    }

    /// True if any rule of this stage is left. Checked before a request is read.
    pub fn any_silent(&self, stage: Stage) -> bool {
        self.silent.lock().iter().any(|(_, s)| *s == stage)
    }

    pub fn add_silent(&self, scope: Scope, stage: Stage) -> Result<(), String> {
        add(&self.silent, scope, stage)
    }

    pub fn take_refusal(&self, user: &str) -> Option<Refusal> {
        take(&self.refusals, user, None, |_| true)
    }

    pub fn add_refusal(&self, scope: Scope, refusal: Refusal) -> Result<(), String> {
        add(&self.refusals, scope, refusal)
    }

    pub fn take_connect_refusal(&self, user: &str) -> Option<Refusal> {
        take(&self.connect_refusals, user, None, |_| true)
    }

    pub fn add_connect_refusal(&self, scope: Scope, refusal: Refusal) -> Result<(), String> {
        add(&self.connect_refusals, scope, refusal)
    }

    pub fn take_join_error(&self, user: &str, edge: Edge) -> Option<JoinError> {
        take(&self.join_errors, user, Some(edge), |_| true)
    }

    pub fn add_join_error(&self, scope: Scope, error: JoinError) -> Result<(), String> {
        add(&self.join_errors, scope, error)
    }

    /// Response delay of an SFU, or of the coordinator if `edge` is `None`.
    pub fn slow_ms(&self, edge: Option<Edge>) -> u64 {
        self.slow_ms[edge.map_or(Edge::ALL.len(), Edge::index)].load(Relaxed)
    }

    /// Delays one SFU, or all SFUs and the coordinator if `edge` is `None`.
    pub fn set_slow_ms(&self, edge: Option<Edge>, ms: u64) {
        for (at, slow) in self.slow_ms.iter().enumerate() {
            if edge.is_none_or(|e| e.index() == at) {
                slow.store(ms.min(60_000), Relaxed);
            }
        }
    }

    pub fn add_pin(&self, pin: Pin) -> Result<(), String> {
        let mut pins = self.pins.lock();
        // A later pin for the same target replaces the earlier one.
        pins.retain(|p| p.cid != pin.cid || p.user_id != pin.user_id);
        if pins.len() >= MAX_RULES {
            return Err(format!("more than {MAX_RULES} pins; reset first"));
        }
        pins.push(pin);
        Ok(())
    }

    /// The SFU that this user of this call is pinned to, unless it is hidden. Overrides all other selection rules.
    pub fn pinned(&self, cid: &str, user: &str) -> Option<Edge> {
        let fits =
            |p: &&Pin| p.cid.as_deref().is_none_or(|c| c == cid) && p.user_id.as_deref().is_none_or(|u| u == user);
        let edge = self.pins.lock().iter().find(fits)?.edge;
        (!self.is_hidden(edge)).then_some(edge)
    }

    pub fn add_lossy(&self, lossy: Lossy) -> Result<(), String> {
        let mut all = self.lossy.write();
        // A later rule for the same target replaces the earlier one.
        all.retain(|l| l.session_id != lossy.session_id || l.user_id != lossy.user_id);
        if all.len() >= MAX_RULES {
            return Err(format!("more than {MAX_RULES} lossy rules; reset first"));
        }
        all.push(lossy);
        self.lossy_version.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Changes whenever the loss rules change, so that the packet path compares one number.
    pub fn lossy_version(&self) -> u64 {
        self.lossy_version.load(Relaxed)
    }

    /// The rule for one session. A session rule precedes a user rule, which precedes a general rule.
    pub fn lossy_for(&self, session: &str, user: &str) -> Option<Lossy> {
        let all = self.lossy.read();
        let named = |l: &&Lossy| l.session_id.as_deref() == Some(session);
        let of_user = |l: &&Lossy| l.session_id.is_none() && l.user_id.as_deref() == Some(user);
        let general = |l: &&Lossy| l.session_id.is_none() && l.user_id.is_none();
        all.iter().find(named).or_else(|| all.iter().find(of_user)).or_else(|| all.iter().find(general)).cloned()
    }

    pub fn add_ice_servers(&self, servers: IceServers) -> Result<(), String> {
        let mut all = self.ice_servers.lock();
        // A later rule for the same user replaces the earlier one.
        all.retain(|s| s.user_id != servers.user_id);
        if all.len() >= MAX_RULES {
            return Err(format!("more than {MAX_RULES} rules for ICE servers; reset first"));
        }
        all.push(servers);
        Ok(())
    }

    /// The ICE servers for a user, if a rule names them. A rule for the user precedes the general rule.
    pub fn ice_servers(&self, user: &str) -> Option<Vec<serde_json::Value>> {
        let all = self.ice_servers.lock();
        let of_user = all.iter().find(|s| s.user_id.as_deref() == Some(user));
        of_user.or_else(|| all.iter().find(|s| s.user_id.is_none())).map(|s| s.servers.clone())
    }

    pub fn is_killed(&self, edge: Edge) -> bool {
        self.killed.lock()[edge.index()]
    }

    /// True if the coordinator must not name this SFU.
    pub fn is_hidden(&self, edge: Edge) -> bool {
        self.hidden.lock()[edge.index()]
    }

    pub fn set_killed(&self, edge: Edge, killed: bool, hidden: bool) {
        self.killed.lock()[edge.index()] = killed;
        self.hidden.lock()[edge.index()] = hidden;
    }

    /// Clears all faults and revives killed SFUs.
    pub fn reset(&self, keep_pins: bool) {
        self.silent.lock().clear();
        self.refusals.lock().clear();
        self.connect_refusals.lock().clear();
        self.join_errors.lock().clear();
        self.ice_servers.lock().clear();
        self.lossy.write().clear();
        self.lossy_version.fetch_add(1, Relaxed);
        self.set_slow_ms(None, 0);
        *self.killed.lock() = Default::default();
        *self.hidden.lock() = Default::default();
        if !keep_pins {
            self.pins.lock().clear();
        }
    }

    /// The active faults as JSON, for `/ctl/state`.
    pub fn describe(&self) -> serde_json::Value {
        serde_json::json!({
            "silent": self.silent.lock().iter().map(|(s, r)| format!("{r:?} {s:?}")).collect::<Vec<_>>(),
            "refuse_join": self.refusals.lock().len(),
            "refuse_connect": self.connect_refusals.lock().len(),
            "join_error": self.join_errors.lock().len(),
            "lossy": self.lossy.read().len(),
            "ice_servers": self.ice_servers.lock().len(),
            "slow_ms": self.slow_ms.iter().map(|s| s.load(Relaxed)).max(),
            "pins": self.pins.lock().len(),
            "killed": Edge::ALL.into_iter().filter(|e| self.is_killed(*e)).collect::<Vec<_>>(),
        })
    }
}

/// Decides for each packet whether it is lost.
#[derive(Debug)]
pub struct Loss {
    rng: fastrand::Rng,
    burst: f64,
    left: u64,
}

impl Loss {
    pub fn new(rule: &Lossy, session: &str, direction: u64) -> Self {
        // Each session and direction gets its own random sequence from one seed.
        let mut seed = rule.seed ^ direction.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in session.bytes() {
            seed = (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        Loss { rng: fastrand::Rng::with_seed(seed), burst: rule.burst.unwrap_or(1.0).clamp(1.0, 1000.0), left: 0 }
    }

    /// Returns true if the next packet is lost, at an overall rate of `percent`.
    pub fn lose(&mut self, percent: f64) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return true;
        }
        let p = (percent / 100.0).clamp(0.0, 1.0);
        if p >= 1.0 {
            return true;
        }
        // With losses of mean length b beginning at rate q: p = qb / (qb + 1 - q).
        let q = p / (p + self.burst * (1.0 - p));
        if self.rng.f64() >= q {
            return false;
        }
        while self.left < 10_000 && self.rng.f64() >= 1.0 / self.burst {
            self.left += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_has_the_requested_rate_and_is_reproducible() {
        for burst in [None, Some(5.0)] {
            let rule = Lossy { burst, seed: 7, ..Lossy::default() };
            let run = || {
                let mut loss = Loss::new(&rule, "s", 0);
                (0..200_000).map(|_| loss.lose(10.0)).collect::<Vec<_>>()
            };
            let first = run();
            assert_eq!(first, run());
            let lost = first.iter().filter(|l| **l).count() as f64 / 2_000.0;
            assert!((9.0..11.0).contains(&lost), "{lost} percent lost with burst {burst:?}");
        }
    }

    #[test]
    fn ice_servers_prefer_the_rule_of_the_user() {
        let faults = Faults::default();
        let rule = |user: Option<&str>, name: &str| IceServers {
            servers: vec![serde_json::json!({ "urls": [name] })],
            user_id: user.map(str::to_owned),
        };
        assert!(faults.ice_servers("u").is_none());
        faults.add_ice_servers(rule(None, "turn:a")).unwrap();
        faults.add_ice_servers(rule(Some("u"), "turn:b")).unwrap();
        faults.add_ice_servers(rule(Some("u"), "turn:c")).unwrap();
        assert_eq!(faults.ice_servers("u").unwrap()[0]["urls"][0], "turn:c");
        assert_eq!(faults.ice_servers("other").unwrap()[0]["urls"][0], "turn:a");
        faults.reset(false);
        assert!(faults.ice_servers("u").is_none());
    }

    #[test]
    fn rules_are_used_up() {
        let faults = Faults::default();
        let scope = Scope { count: Some(2), user_id: Some("u".into()), edge: None };
        faults.add_silent(scope, Stage::JoinHttp).unwrap();
        assert!(!faults.take_silent(Stage::JoinHttp, "other", None));
        assert!(faults.take_silent(Stage::JoinHttp, "u", None));
        assert!(faults.take_silent(Stage::JoinHttp, "u", None));
        assert!(!faults.take_silent(Stage::JoinHttp, "u", None));
    }
}
