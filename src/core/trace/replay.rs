//! Replays the inputs of a trace in a new core at the same times, and compares the outputs.
//! Must not know: files, who asks.

use super::{hide, words_of, FirstLine, FORMAT};
use crate::core::{Core, Input, Output};
use serde::Deserialize;
use std::{fmt, time::Duration};

/// Maximum line length of a trace.
const LONGEST: usize = 64 << 20;

/// Result of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub inputs: u64,
    pub outputs: u64,
    /// Outputs after the last line; a trace taken in the middle of a call may lack them.
    pub beyond: u64,
    /// The trace contains the end of the call.
    pub ended: bool,
}

/// Why a trace cannot be replayed, or where the outputs differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differs {
    /// Line number, from 1.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Differs {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    at_ns: Option<u64>,
    #[serde(rename = "in")]
    given: Option<Input>,
    tick: Option<bool>,
    out: Option<serde_json::Value>,
    too_large: Option<String>,
    bytes: Option<u64>,
}

/// Replays the text of a trace.
///
/// # Errors
/// The text is not a trace, is truncated, lacks its start, or an output differs; with the line.
pub fn replay(text: &str) -> Result<Replayed, Differs> {
    let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let (_, first) = lines.next().ok_or_else(|| differs(1, "the trace is empty"))?;
    let mut core = begin(first)?;
    if !text.ends_with('\n') {
        return Err(differs(text.lines().count(), "the trace is truncated: the last line is incomplete"));
    }
    let mut replayed = Replayed::default();
    let mut now = Duration::ZERO;
    for (number, line) in lines {
        let read = read(line).map_err(|what| differs(number, what))?;
        if let Some(at) = read.at_ns.map(Duration::from_nanos) {
            if at < now {
                return Err(differs(number, "its time is before that of the previous line"));
            }
            now = at;
        }
        match read {
            Read { given: Some(mut input), .. } => {
                let mut shown = Ok(());
                hide::of_input(&mut input, &mut |place| shown = shown.clone().and_then(|()| hide::show(place)));
                shown.map_err(|what| differs(number, what))?;
                core.handle(now, input);
                replayed.inputs += 1;
            }
            Read { tick: Some(_), .. } => {
                core.tick(now);
                replayed.inputs += 1;
            }
            Read { out: Some(recorded), .. } => {
                let Some(mut output) = core.poll_output() else {
                    return Err(differs(number, format!("no output; the trace has {recorded}")));
                };
                replayed.ended |= matches!(output, Output::Finished);
                compare(number, &recorded, &mut output)?;
                replayed.outputs += 1;
            }
            Read { too_large: Some(what), .. } => {
                let text =
                    format!("an entry ({what}) was too large for the trace; the following lines cannot be replayed");
                return Err(differs(number, text));
            }
            _ => return Err(differs(number, "it is neither an input nor an output")),
        }
    }
    while core.poll_output().is_some() {
        replayed.beyond += 1;
    }
    if replayed.ended && replayed.beyond > 0 {
        return Err(differs(text.lines().count(), "there are more outputs after the end of the call"));
    }
    Ok(replayed)
}

fn differs(line: usize, what: impl Into<String>) -> Differs {
    Differs { line, what: what.into() }
}

fn begin(first: &str) -> Result<Core, Differs> {
    let json: serde_json::Value = match first.len() {
        0..=LONGEST => serde_json::from_str(first).map_err(|error| differs(1, format!("it is not JSON: {error}")))?,
        _ => return Err(differs(1, "it is too long")),
    };
    let Some(format) = json.get("offhook_trace") else {
        return Err(differs(1, "it is not the first line of a trace (offhook_trace is missing)"));
    };
    if *format != FORMAT {
        return Err(differs(1, format!("the trace has format {format}; {FORMAT} is supported")));
    }
    let version = json.get("version").and_then(|v| v.as_str()).unwrap_or("?").to_owned();
    let first: FirstLine = serde_json::from_value(json)
        .map_err(|error| differs(1, format!("it is from version {version} and cannot be read: {error}")))?;
    if first.dropped > 0 {
        let text = format!("the first {} entries were dropped: the rest cannot be replayed", first.dropped);
        return Err(differs(1, text));
    }
    let mut start = first.start;
    let mut shown = Ok(());
    hide::of_config(&mut start, &mut |place| shown = shown.clone().and_then(|()| hide::show(place)));
    shown.map_err(|what| differs(1, what))?;
    Ok(Core::new(start))
}

fn read(line: &str) -> Result<Read, String> {
    if line.len() > LONGEST {
        return Err("it is too long".into());
    }
    let read: Read = serde_json::from_str(line).map_err(|error| format!("it cannot be read: {error}"))?;
    let things = [read.given.is_some(), read.tick.is_some(), read.out.is_some(), read.too_large.is_some()];
    let timed = read.given.is_some() || read.tick.is_some();
    if things.iter().filter(|is| **is).count() != 1
        || read.at_ns.is_some() != timed
        || read.bytes.is_some() != things[3]
    {
        return Err("it is neither an input nor an output".into());
    }
    Ok(read)
}

fn compare(number: usize, recorded: &serde_json::Value, output: &mut Output) -> Result<(), Differs> {
    // Hide the same data in the same way as in the trace.
    let mut hider = hide::Hider::default();
    hide::of_output(output, &mut |place| hider.hide(place));
    let decided = words_of(output);
    let same = serde_json::from_str(&decided).is_ok_and(|decided: serde_json::Value| decided == *recorded);
    match same {
        true => Ok(()),
        false => Err(differs(number, format!("the output is {decided}; the trace has {recorded}"))),
    }
}
