//! Trace of a call: all inputs and outputs of the core with their times, to analyse a call and to repeat it
//! ([`replay`]).
//!
//! The trace is a ring of lines with limits on their number and bytes: of a long call the end is kept. Media packets are
//! never recorded. Secrets and private data are removed before a line is stored (`hide.rs`). The format is lines of JSON:
//! the first one has the settings of the call, each other line is an input (`in`, `tick`) or an output (`out`). Lines
//! are stored as text, which takes less memory than the values.
//! Must not know: who reads it, where it goes.

mod hide;
mod replay;

pub use replay::{replay, Differs, Replayed};

use super::{model::*, Action, Config, Event, Input, OpDone, Output, WantedSender};
use hide::Hider;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc, time::Duration};

/// Version of the line format.
const FORMAT: u32 = 1;
/// Size of a line besides its text.
const LINE: usize = 32;
/// Space kept for the next line.
const SCRATCH: usize = 512;

/// Size limits of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    pub entries: usize,
    pub bytes: usize,
}

impl Room {
    /// Enough for a join with all its messages and a minute of a quiet call. Every call of a process may use this much.
    pub const OF_A_CALL: Self = Self { entries: 1_024, bytes: 128 << 10 };
}

#[derive(Default)]
struct Ring {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    /// Number of lines dropped so far.
    dropped: u64,
    hider: Hider,
    /// The line being written; kept for its capacity.
    next: Vec<u8>,
}

/// See the module. Any thread may read the trace.
pub struct Trace {
    room: Room,
    start: Config,
    ring: Mutex<Ring>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Trace")
    }
}

/// The first line of a trace.
#[derive(Serialize, Deserialize)]
struct FirstLine {
    offhook_trace: u32,
    version: String,
    /// Number of dropped entries.
    dropped: u64,
    start: Config,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    In {
        at_ns: u64,
        #[serde(rename = "in")]
        given: &'a Input,
    },
    Tick {
        at_ns: u64,
        tick: bool,
    },
    Out {
        out: &'a Output,
    },
    TooLarge {
        too_large: &'a str,
        bytes: usize,
    },
}

impl Trace {
    /// Creates the trace of a call with these settings. `key`: random, and stored nowhere else.
    pub fn new(config: &Config, key: u64, room: Room) -> Arc<Self> {
        let (mut start, mut hider) = (config.clone(), Hider::new(key));
        hide::of_config(&mut start, &mut |place| hider.hide(place));
        Arc::new(Self { room, start, ring: Mutex::new(Ring { hider, ..Ring::default() }) })
    }

    pub(super) fn given(&self, now: Duration, input: &Input) {
        let size = size_of_input(input);
        let mut ring = self.ring.lock();
        if size > self.room.bytes {
            return self.keep(&mut ring, &Line::TooLarge { too_large: "in", bytes: size });
        }
        let mut input = input.clone();
        hide::of_input(&mut input, &mut |place| ring.hider.hide(place));
        self.keep(&mut ring, &Line::In { at_ns: ns(now), given: &input });
    }

    pub(super) fn tick(&self, now: Duration) {
        self.keep(&mut self.ring.lock(), &Line::Tick { at_ns: ns(now), tick: true });
    }

    pub(super) fn decided(&self, output: &Output) {
        let size = size_of_output(output);
        let mut ring = self.ring.lock();
        if size > self.room.bytes {
            return self.keep(&mut ring, &Line::TooLarge { too_large: "out", bytes: size });
        }
        let mut output = output.clone();
        hide::of_output(&mut output, &mut |place| ring.hider.hide(place));
        self.keep(&mut ring, &Line::Out { out: &output });
    }

    fn keep(&self, ring: &mut Ring, line: &Line<'_>) {
        let written = serde_json::to_writer(&mut ring.next, line);
        let line: Box<str> = match written {
            Ok(()) if ring.next.len() + LINE > self.room.bytes => {
                format!(r#"{{"too_large":"line","bytes":{}}}"#, ring.next.len()).into()
            }
            Ok(()) => std::str::from_utf8(&ring.next).unwrap_or_default().into(),
            Err(error) => format!(r#"{{"unreadable":"{error}"}}"#).into(),
        };
        // A large line is rare: do not keep its space.
        ring.next.clear();
        ring.next.shrink_to(SCRATCH);
        ring.bytes += line.len() + LINE;
        ring.lines.push_back(line);
        while ring.lines.len() > self.room.entries || ring.bytes > self.room.bytes {
            let Some(line) = ring.lines.pop_front() else { return };
            ring.bytes -= line.len() + LINE;
            ring.dropped += 1;
        }
    }

    /// The whole trace, as lines of JSON.
    pub fn text(&self) -> String {
        let (dropped, lines) = self.lines(usize::MAX);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let first = FirstLine { offhook_trace: FORMAT, version, dropped, start: self.start.clone() };
        let first = serde_json::to_string(&first).unwrap_or_default();
        [first].into_iter().chain(lines).map(|line| line + "\n").collect()
    }

    /// The last lines, at most `most`, for a log: without descriptions and candidates.
    pub fn last(&self, most: usize) -> Vec<String> {
        let (_, mut lines) = self.lines(most);
        lines.iter_mut().for_each(shorten);
        lines
    }

    fn lines(&self, most: usize) -> (u64, Vec<String>) {
        // The call waits for a copy only, not for what follows.
        let (dropped, hider, mut lines): (_, _, Vec<String>) = {
            let ring = self.ring.lock();
            let skipped = ring.lines.len().saturating_sub(most);
            (
                ring.dropped,
                ring.hider.clone(),
                ring.lines.iter().skip(skipped).map(|line| String::from(&**line)).collect(),
            )
        };
        lines.iter_mut().for_each(|line| hider.line(line));
        (dropped, lines)
    }
}

/// Replaces descriptions and candidates by their length.
fn shorten(line: &mut String) {
    fn walk(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) if text.starts_with("v=0") || text.contains("candidate:") => {
                *text = format!("<:{}>", text.len())
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(walk),
            serde_json::Value::Object(all) => all.values_mut().for_each(walk),
            _ => {}
        }
    }
    if let Ok(mut value) = serde_json::from_str(line) {
        walk(&mut value);
        *line = value.to_string();
    }
}

fn ns(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

/// The form of an output in a trace.
fn words_of(output: &Output) -> String {
    serde_json::to_string(output).unwrap_or_default()
}

fn size_of_all(participants: &[Participant]) -> usize {
    participants.iter().map(Participant::weight).sum()
}

/// Approximate size in bytes of an input's data.
fn size_of_input(input: &Input) -> usize {
    match input {
        Input::Message { message: SfuMessage::Joined(joined), .. } => 512 + size_of_all(&joined.participants),
        Input::Message { message, .. } => message.weight(),
        Input::Rpc { result: Ok(RpcReply::Publisher { sdp, .. }), .. } => sdp.len(),
        Input::Op { result: Ok(OpDone::Offer { sdp, .. } | OpDone::Answer { sdp, .. }), .. } => sdp.len(),
        Input::LocalCandidate { json, .. } => json.len(),
        Input::Path { path, .. } => path.text.len(),
        Input::IceServer { failure, .. } => failure.url.len() + failure.text.len(),
        Input::Data { data, .. } => data.from.len() + data.session_id.len() + data.body.size(),
        Input::CallRpc { to, method, payload, .. } => to.len() + method.len() + payload.len(),
        Input::AnswerRpc { answer: Ok(payload), .. } => payload.len(),
        Input::Stats { publisher, subscriber, .. } => publisher.len() + subscriber.len(),
        Input::Admitted { .. } => 512,
        Input::Subscribe { track_id, .. } => track_id.len(),
        _ => 0,
    }
}

/// Approximate size in bytes of an output's data.
fn size_of_output(output: &Output) -> usize {
    match output {
        Output::OpenSocket { .. } | Output::Admit { .. } | Output::Send { .. } => 512,
        Output::Rpc { call, .. } => match call {
            RpcCall::SetPublisher { sdp, .. } | RpcCall::SendAnswer { sdp, .. } => sdp.len(),
            RpcCall::IceTrickle { candidate, .. } => candidate.len(),
            RpcCall::SendStats { subscriber_stats, publisher_stats, .. } => {
                subscriber_stats.len() + publisher_stats.len()
            }
            RpcCall::UpdateSubscriptions { subscriptions, .. } => subscriptions.len() * size_of::<Subscription>(),
            _ => 0,
        },
        Output::Engine { action, .. } => match action {
            Action::Answer { offer, candidates } => offer.len() + candidates.iter().map(String::len).sum::<usize>(),
            Action::Offer(wanted) => wanted.senders.len() * size_of::<WantedSender>(),
            Action::SetAnswer(text) | Action::AddCandidate(text) => text.len(),
            Action::Create { .. } => 0,
        },
        Output::SendData(message) => message.body.size(),
        Output::Debug(text, _) => text.len(),
        Output::Event(event) => match event {
            Event::ParticipantJoined(p) | Event::ParticipantUpdated(p) | Event::ParticipantLeft(p) => p.weight(),
            Event::Room(room) => room.weight(),
            Event::Data(data) => data.body.size(),
            Event::RpcRequest { payload, .. } => payload.len(),
            Event::RpcResponse { answer: Ok(payload), .. } => payload.len(),
            Event::Pins(pins) => Pin::weight_of(pins),
            Event::IceServer(failure) => failure.url.len() + failure.text.len(),
            Event::Error(error) | Event::LocalFailed { error, .. } => error.message.len(),
            Event::Ended(end) => end.text.len(),
            _ => 0,
        },
        _ => 0,
    }
}
