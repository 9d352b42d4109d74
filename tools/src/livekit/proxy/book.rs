//! State of each identity in the proxies: its sockets, the messages seen, and the faults for its next socket.
//!
//! One book serves all nodes, because a client may reconnect to another node. Does no I/O.

use super::{
    lock,
    socket::{Handle, Item, What},
    switches::Rules,
    wire::To,
};
use offhook_proto::livekit::{signal_request, signal_response, SignalRequest, SignalResponse};
use prost::Message;
use serde_json::{json, Map, Value};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
    time::{Duration, Instant},
};

/// Most sockets, leaves and the like that are kept per identity.
const MAX_NOTES: usize = 256;
/// Most offers kept for replay.
const MAX_OFFERS: usize = 8;
/// Most offers held back.
const MAX_HELD: usize = 1024;

/// How new sockets of an identity are handled.
#[derive(Clone, Debug)]
pub struct SocketRule {
    pub identity: String,
    /// Empty: any.
    pub path: String,
    pub way: Way,
    /// Number of sockets left that it applies to. None: until it is cleared.
    pub left: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// An HTTP status in place of the upgrade.
    Refuse(u16),
    /// No response at all.
    Hang,
    /// The upgrade succeeds, but nothing is forwarded afterwards.
    Silent,
}

/// An offer, encoded as for the client.
pub type Offer = Vec<u8>;

#[derive(Debug, Default)]
struct Record {
    live: Vec<Handle>,
    /// When the last socket ended.
    ended: Option<Instant>,
    sockets: u64,
    resumes: u64,
    resume_asks: u64,
    refused: u64,
    queries: VecDeque<Value>,
    offers: u64,
    replayed: u64,
    answers: u64,
    answer_ids: VecDeque<u32>,
    leaves: VecDeque<Value>,
    closes: VecDeque<Value>,
    counts: [BTreeMap<&'static str, u64>; 2],
    bytes: [u64; 2],
    dropped: u64,
    last_offers: VecDeque<Offer>,
    /// Sent before and after the next JoinResponse or ReconnectResponse.
    due_offers: Vec<Offer>,
    hold: bool,
    held: VecDeque<Offer>,
    linger: Duration,
}

/// All identities.
#[derive(Debug, Default)]
pub struct Book {
    pub signal: Rules,
    pub media: Rules,
    records: Mutex<BTreeMap<String, Record>>,
    socket_rules: Mutex<Vec<SocketRule>>,
    numbers: Mutex<u64>,
}

fn note<T>(list: &mut VecDeque<T>, value: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(value);
}

impl Book {
    /// A socket number, unique in this stand.
    pub fn number(&self) -> u64 {
        let mut last = lock(&self.numbers);
        *last += 1;
        *last
    }

    fn with<R>(&self, identity: &str, act: impl FnOnce(&mut Record) -> R) -> R {
        act(lock(&self.records).entry(identity.to_owned()).or_default())
    }

    /// Calls `act` with each record that matches; returns the sum.
    fn each(&self, identity: &str, mut act: impl FnMut(&mut Record) -> u64) -> u64 {
        let mut records = lock(&self.records);
        let meant = records.iter_mut().filter(|(name, _)| identity.is_empty() || *name == identity);
        meant.map(|(_, record)| act(record)).sum()
    }

    pub fn add_socket_rule(&self, rule: SocketRule) {
        lock(&self.socket_rules).push(rule);
    }

    /// Removes the rules for new sockets of an identity; empty: of every identity.
    pub fn clear_socket_rules(&self, identity: &str) {
        lock(&self.socket_rules).retain(|d| !identity.is_empty() && d.identity != identity);
    }

    /// How a request is handled; the newest rule decides. Refusals apply to every request, silence only to a socket.
    pub fn socket_rule(&self, identity: &str, path: &str, upgrade: bool) -> Option<Way> {
        let mut rules = lock(&self.socket_rules);
        let fits = |d: &SocketRule| {
            (d.identity.is_empty() || d.identity == identity)
                && (d.path.is_empty() || d.path == path)
                && d.left != Some(0)
                && (upgrade || d.way != Way::Silent)
        };
        let rule = rules.iter_mut().rev().find(|d| fits(d))?;
        // Clients often send a validate request after a refused socket. It gets the same response.
        if upgrade {
            rule.left = rule.left.map(|n| n - 1);
        }
        // A client that falls back to another path is not refused.
        let (way, whole) = (rule.way, rule.path.is_empty());
        drop(rules);
        if upgrade && way != Way::Silent && whole {
            self.with(identity, |r| r.refused += 1);
        }
        Some(way)
    }

    pub fn opened(&self, identity: &str, handle: Handle, path: &str, query: Map<String, Value>) {
        self.with(identity, |r| {
            r.sockets += 1;
            let asks = query.get("reconnect").and_then(Value::as_str);
            r.resume_asks += u64::from(matches!(asks, Some("1" | "true")));
            let query = json!({ "socket": handle.id, "node": handle.node, "path": path, "query": query });
            note(&mut r.queries, query, MAX_NOTES);
            r.live.push(handle);
        });
    }

    pub fn ended(&self, identity: &str, id: u64) {
        self.with(identity, |r| {
            r.live.retain(|h| h.id != id);
            r.ended = Some(Instant::now());
        });
    }

    /// Whether an identity has a socket, or had one within the last `grace`.
    pub fn is_about(&self, identity: &str, grace: Duration) -> bool {
        let records = lock(&self.records);
        let Some(record) = records.get(identity) else { return false };
        !record.live.is_empty() || record.ended.is_some_and(|at| at.elapsed() < grace)
    }

    /// Records a message as its sender sent it.
    pub fn saw(&self, identity: &str, socket: u64, to: To, kind: &'static str, bytes: &[u8]) {
        self.with(identity, |r| {
            *r.counts[to as usize].entry(kind).or_default() += 1;
            r.bytes[to as usize] += bytes.len() as u64;
            match (to, kind) {
                (To::Client, "reconnect") => r.resumes += 1,
                (To::Client, "offer") => r.offers += 1,
                (To::Client, "leave") => {
                    let message = SignalResponse::decode(bytes).ok().and_then(|m| m.message);
                    if let Some(signal_response::Message::Leave(leave)) = message {
                        let leave = json!({ "from": "server", "socket": socket, "reason": leave.reason().as_str_name(),
                            "action": leave.action().as_str_name(), "can_reconnect": leave.can_reconnect });
                        note(&mut r.leaves, leave, MAX_NOTES);
                    }
                }
                (To::Server, "answer") => {
                    r.answers += 1;
                    let message = SignalRequest::decode(bytes).ok().and_then(|m| m.message);
                    if let Some(signal_request::Message::Answer(answer)) = message {
                        note(&mut r.answer_ids, answer.id, MAX_NOTES);
                    }
                }
                (To::Server, "leave") => {
                    let message = SignalRequest::decode(bytes).ok().and_then(|m| m.message);
                    if let Some(signal_request::Message::Leave(leave)) = message {
                        let leave = json!({ "from": "client", "socket": socket,
                            "reason": leave.reason().as_str_name(), "action": leave.action().as_str_name() });
                        note(&mut r.leaves, leave, MAX_NOTES);
                    }
                }
                _ => {}
            }
        });
    }

    pub fn closed(&self, identity: &str, socket: u64, to: To, code: u16) {
        let from = if to == To::Client { "server" } else { "client" };
        let close = json!({ "from": from, "socket": socket, "code": code });
        self.with(identity, |r| note(&mut r.closes, close, MAX_NOTES));
    }

    pub fn lost(&self, identity: &str) {
        self.with(identity, |r| r.dropped += 1);
    }

    /// Records an offer on its way to the client; false if it is held back.
    pub fn offer_passes(&self, identity: &str, offer: &Offer) -> bool {
        self.with(identity, |r| {
            note(&mut r.last_offers, offer.clone(), MAX_OFFERS);
            if r.hold {
                note(&mut r.held, offer.clone(), MAX_HELD);
            }
            !r.hold
        })
    }

    /// Takes the offers that are sent around the first message of a socket.
    pub fn due_offers(&self, identity: &str) -> Vec<Offer> {
        self.with(identity, |r| {
            let due = std::mem::take(&mut r.due_offers);
            r.replayed += 2 * due.len() as u64;
            due
        })
    }

    /// Sends the last offers again, newest first. Without a live socket, or when the last one is just closing, they
    /// wait for the next socket. Returns the number sent and the number waiting.
    pub fn replay(&self, identity: &str, count: usize, change: impl Fn(&Offer, u64) -> Offer) -> (u64, u64) {
        let mut waiting = 0;
        let said = self.each(identity, |r| {
            let chosen: Vec<Offer> = r.last_offers.iter().rev().cycle().take(count).cloned().collect();
            let chosen: Vec<Offer> = (r.replayed..).zip(&chosen).map(|(n, offer)| change(offer, n)).collect();
            let send = |h: &Handle| chosen.iter().filter(|o| h.send(To::Client, What::message(To::Client, o))).count();
            let said = r.live.iter().map(send).sum::<usize>() as u64;
            r.replayed += said;
            if said == 0 {
                waiting += chosen.len() as u64;
                r.due_offers.extend(chosen);
            }
            said
        });
        (said, waiting)
    }

    pub fn hold_offers(&self, identity: &str, on: bool) -> u64 {
        self.with(identity, |r| {
            r.hold = on;
            r.held.len() as u64
        })
    }

    /// Sends the offers that were held back to all live sockets.
    pub fn release(&self, identity: &str) -> u64 {
        self.each(identity, |r| {
            r.hold = false;
            let held = std::mem::take(&mut r.held);
            let send = |h: &Handle| held.iter().filter(|o| h.send(To::Client, What::message(To::Client, o))).count();
            r.live.iter().map(send).sum::<usize>() as u64
        })
    }

    /// How long a client's socket stays open after the server's has ended.
    pub fn set_linger(&self, identity: &str, linger: Duration) {
        self.with(identity, |r| r.linger = linger);
    }

    pub fn linger(&self, identity: &str) -> Duration {
        self.with(identity, |r| r.linger)
    }

    /// Calls `act` on the live sockets of an identity; returns the number of successes.
    pub fn live(&self, identity: &str, act: impl Fn(&Handle) -> bool) -> u64 {
        self.each(identity, |r| r.live.iter().filter(|h| act(h)).count() as u64)
    }

    /// Resets every switch. Counters keep their values.
    pub fn reset(&self) {
        self.signal.clear("");
        self.media.clear("");
        self.clear_socket_rules("");
        self.live("", |h| h.set_open(true));
        self.each("", |r| {
            r.hold = false;
            r.held.clear();
            r.due_offers.clear();
            r.linger = Duration::ZERO;
            0
        });
    }

    pub fn describe(&self) -> Vec<Value> {
        let describe = |(identity, r): (&String, &Record)| {
            json!({ "identity": identity, "sockets": r.sockets, "live": r.live.len(), "refused": r.refused,
                "live_sockets": r.live.iter().map(|h| h.id).collect::<Vec<_>>(),
                "queries": r.queries, "resumes": r.resumes, "resume_asks": r.resume_asks, "offers": r.offers,
                "replayed": r.replayed, "held": r.held.len(), "waiting": r.due_offers.len(),
                "answers": r.answers, "answer_ids": r.answer_ids, "leaves": r.leaves, "closes": r.closes,
                "to_client": r.counts[To::Client as usize], "to_server": r.counts[To::Server as usize],
                "bytes_to_client": r.bytes[To::Client as usize], "bytes_to_server": r.bytes[To::Server as usize],
                "dropped": r.dropped })
        };
        lock(&self.records).iter().map(describe).collect()
    }
}

impl Handle {
    /// Appends an item to the queue of one side.
    pub fn send(&self, to: To, what: What) -> bool {
        let queue = if to == To::Client { &self.to_client } else { &self.to_server };
        queue.try_send(Item { due: None, what }).is_ok()
    }
}
