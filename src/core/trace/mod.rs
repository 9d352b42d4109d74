//! Trace of a call: all inputs and outputs of the core with their times, to analyse a call and to repeat it
//! ([`replay`]).
//!
//! The trace is a ring with limits on entries and bytes: of a long call the end is kept. An entry is a copy; it is
//! formatted only when the trace is read. Media packets are never recorded. Secrets and private data are removed before
//! an entry is stored (`hide.rs`). The format is lines of JSON: the first one has the settings of the call, each other
//! line is an input (`in`, `tick`) or an output (`out`).
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
/// Approximate size of an entry without its texts.
const ENTRY: usize = 320;

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

#[derive(Debug)]
enum Entry {
    Given(Duration, Input),
    Tick(Duration),
    Decided(Output),
    /// Larger than the whole trace: the kind of entry, and its bytes.
    TooLarge(&'static str, usize),
}

const _: () = assert!(size_of::<Entry>() + 64 <= ENTRY);

#[derive(Default)]
struct Ring {
    /// Each with its size.
    entries: VecDeque<(Arc<Entry>, usize)>,
    bytes: usize,
    /// Number of entries dropped so far.
    dropped: u64,
    hider: Hider,
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
        let size = ENTRY + size_of_input(input);
        let mut ring = self.ring.lock();
        if size > self.room.bytes {
            return self.keep(&mut ring, Entry::TooLarge("in", size), ENTRY);
        }
        let mut input = input.clone();
        hide::of_input(&mut input, &mut |place| ring.hider.hide(place));
        let size = ENTRY + size_of_input(&input);
        self.keep(&mut ring, Entry::Given(now, input), size);
    }

    pub(super) fn tick(&self, now: Duration) {
        self.keep(&mut self.ring.lock(), Entry::Tick(now), ENTRY);
    }

    pub(super) fn decided(&self, output: &Output) {
        let size = ENTRY + size_of_output(output);
        let mut ring = self.ring.lock();
        if size > self.room.bytes {
            return self.keep(&mut ring, Entry::TooLarge("out", size), ENTRY);
        }
        let mut output = output.clone();
        hide::of_output(&mut output, &mut |place| ring.hider.hide(place));
        let size = ENTRY + size_of_output(&output);
        self.keep(&mut ring, Entry::Decided(output), size);
    }

    fn keep(&self, ring: &mut Ring, entry: Entry, size: usize) {
        ring.bytes += size;
        ring.entries.push_back((Arc::new(entry), size));
        while ring.entries.len() > self.room.entries || ring.bytes > self.room.bytes {
            let Some((_, size)) = ring.entries.pop_front() else { return };
            ring.bytes -= size;
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
        // Do not block the call while formatting.
        let (dropped, entries) = {
            let ring = self.ring.lock();
            let skipped = ring.entries.len().saturating_sub(most);
            let entries: Vec<_> = ring.entries.iter().skip(skipped).map(|(entry, _)| entry.clone()).collect();
            (ring.dropped, entries)
        };
        let mut lines: Vec<String> = entries.iter().map(|entry| words(entry)).collect();
        let hider = self.ring.lock().hider.clone();
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

fn words(entry: &Entry) -> String {
    let ns = |at: &Duration| u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let line = match entry {
        Entry::Given(at, given) => Line::In { at_ns: ns(at), given },
        Entry::Tick(at) => Line::Tick { at_ns: ns(at), tick: true },
        Entry::Decided(out) => Line::Out { out },
        Entry::TooLarge(too_large, bytes) => Line::TooLarge { too_large, bytes: *bytes },
    };
    serde_json::to_string(&line).unwrap_or_else(|error| format!(r#"{{"unreadable":"{error}"}}"#))
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
