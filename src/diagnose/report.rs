//! A report: the steps that were taken, as text for people and as JSON. Pure. Must not know: what the steps check.

use serde_json::{json, Value};
use std::fmt::Write;

/// Version of the JSON.
const FORMAT: u32 = 1;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Ok,
    Skipped,
    Warning,
    Failed,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was checked: "lookup", "tcp", "tls" and so on.
    pub name: &'static str,
    /// Where: a host and port, an ICE server's URL; empty: nothing in particular.
    pub target: String,
    pub state: State,
    pub ms: u64,
    pub found: String,
    /// The cause of a failure or warning in one word, for programs; empty otherwise.
    pub cause: &'static str,
    /// What to do; empty: nothing.
    pub advice: String,
    /// Single results: each address, each candidate.
    pub details: Vec<String>,
}

/// The steps in the order in which they ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub steps: Vec<Step>,
    pub ms: u64,
    /// The time was over, or the library shut down, before all steps were taken.
    pub cut_off: bool,
}

impl Report {
    pub fn count(&self, state: State) -> usize {
        self.steps.iter().filter(|step| step.state == state).count()
    }

    /// The worst state of all steps; a report that was cut off has failed.
    pub fn state(&self) -> State {
        match self.steps.iter().map(|step| step.state).max() {
            _ if self.cut_off || self.steps.is_empty() => State::Failed,
            Some(State::Skipped) | None => State::Ok,
            Some(state) => state,
        }
    }

    pub fn json(&self) -> String {
        let steps: Vec<Value> = self.steps.iter().map(Step::json).collect();
        json!({
            "format": FORMAT,
            "version": env!("CARGO_PKG_VERSION"),
            "state": self.state().name(),
            "complete": !self.cut_off,
            "ms": self.ms,
            "failed": self.count(State::Failed),
            "warnings": self.count(State::Warning),
            "steps": steps,
        })
        .to_string()
    }

    /// Lines for people, each step on one, followed by its details and what to do.
    pub fn text(&self) -> String {
        let width = self.steps.iter().map(|step| step.target.chars().count()).max().unwrap_or(0).min(44);
        let mut text = String::new();
        for step in &self.steps {
            step.write(&mut text, width);
        }
        let _ = write!(
            text,
            "{} failed, {} with a warning, {} ok, {} skipped, in {} ms",
            self.count(State::Failed),
            self.count(State::Warning),
            self.count(State::Ok),
            self.count(State::Skipped),
            self.ms
        );
        text.push_str(if self.cut_off { "; cut off before the end\n" } else { "\n" });
        text
    }
}

impl Step {
    /// The step on one line.
    pub fn line(&self) -> String {
        let mut text = String::new();
        self.head(&mut text, 0);
        text
    }

    fn head(&self, text: &mut String, width: usize) {
        let state = if self.state == State::Failed { "FAILED" } else { self.state.name() };
        let (name, target, found) = (self.name, &self.target, &self.found);
        let _ = write!(text, "{state:<8} {name:<10} {target:<width$} {:>6} ms  {found}", self.ms);
    }

    fn write(&self, text: &mut String, width: usize) {
        self.head(text, width);
        text.push('\n');
        for detail in &self.details {
            let _ = writeln!(text, "           {detail}");
        }
        if !self.advice.is_empty() {
            let _ = writeln!(text, "           -> {}", self.advice);
        }
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "name": self.name,
            "target": self.target,
            "state": self.state.name(),
            "ms": self.ms,
            "found": self.found,
        });
        for (name, text) in [("cause", self.cause), ("advice", self.advice.as_str())] {
            if !text.is_empty() {
                json[name] = text.into();
            }
        }
        if !self.details.is_empty() {
            json["details"] = self.details.clone().into();
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str, state: State) -> Step {
        let (target, found) = ("sfu.example.com:443".to_owned(), "TLS 1.3".to_owned());
        Step { name, target, state, ms: 12, found, cause: "", advice: String::new(), details: Vec::new() }
    }

    fn report(states: &[State]) -> Report {
        Report { steps: states.iter().map(|state| step("tls", *state)).collect(), ms: 7, cut_off: false }
    }

    #[test]
    fn the_worst_step_is_the_state() {
        use State::*;
        for (states, state) in [
            (&[Ok, Ok][..], Ok),
            (&[Ok, Skipped], Ok),
            (&[Skipped], Ok),
            (&[Warning, Ok], Warning),
            (&[Failed, Warning, Ok, Skipped], Failed),
            (&[], Failed),
        ] {
            assert_eq!(report(states).state(), state, "{states:?}");
        }
        assert_eq!(Report { cut_off: true, ..report(&[Ok]) }.state(), Failed);
    }

    #[test]
    fn text_has_a_line_for_each_step_and_its_advice() {
        let mut report = report(&[State::Ok, State::Failed]);
        report.steps[1].advice = "renew the certificate".into();
        report.steps[1].details = vec!["192.0.2.1 3 ms".into()];
        let text = report.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("ok       tls        sfu.example.com:443     12 ms  TLS 1.3"), "{text}");
        assert!(lines[1].starts_with("FAILED   tls "), "{text}");
        assert_eq!(lines[2].trim(), "192.0.2.1 3 ms");
        assert_eq!(lines[3].trim(), "-> renew the certificate");
        assert_eq!(lines[4], "1 failed, 0 with a warning, 1 ok, 0 skipped, in 7 ms");
        assert!(Report { cut_off: true, ..report }.text().ends_with("cut off before the end\n"));
    }

    #[test]
    fn json_has_what_programs_need() {
        let mut report = report(&[State::Ok, State::Failed]);
        report.steps[1].cause = "certificate_expired";
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((json["state"].as_str(), json["failed"].as_u64()), (Some("failed"), Some(1)));
        assert_eq!(json["steps"][1]["cause"], "certificate_expired");
        assert_eq!(json["steps"][0].get("cause"), None);
        assert_eq!(json["format"], FORMAT);
    }
}
