//! Collects the steps while they are taken. A step that is dropped before its result is one that was cut off.
//!
//! Texts are bounded, without control characters and known secrets. Must not know: what the steps check.

use super::report::{Report, State, Step};
use crate::error::Secret;
use crate::log::{oh_log, Level};
use crate::net::text::{clean, truncate};
use parking_lot::Mutex;
use std::{fmt, sync::Arc, time::Instant};

/// Most steps of a report, and most details of a step; further ones are dropped.
const MAX_STEPS: usize = 96;
const MAX_DETAILS: usize = 24;

/// Receives each step when it ends. Must not block.
pub type Progress = Box<dyn Fn(&Step) + Send + Sync>;

/// See the module. Any thread.
pub struct Journal {
    began: Instant,
    steps: Mutex<Vec<Step>>,
    secrets: Mutex<Vec<Secret>>,
    /// The report was cut off; `None`: it is not complete yet.
    cut_off: Mutex<Option<bool>>,
    progress: Option<Progress>,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("steps", &self.steps.lock().len()).finish_non_exhaustive()
    }
}

impl Journal {
    pub fn new(secrets: Vec<Secret>, progress: Option<Progress>) -> Arc<Self> {
        let (steps, cut_off, began) = (Mutex::default(), Mutex::new(None), Instant::now());
        Arc::new(Self { began, steps, secrets: Mutex::new(secrets), cut_off, progress })
    }

    /// Adds secrets that a server sent.
    pub(super) fn learn(&self, secrets: impl IntoIterator<Item = Secret>) {
        let mut all = self.secrets.lock();
        for secret in secrets {
            if !secret.is_empty() && !all.contains(&secret) && all.len() < MAX_STEPS {
                all.push(secret);
            }
        }
    }

    pub(super) fn begin(self: &Arc<Self>, name: &'static str, target: impl Into<String>) -> Pending {
        let target = target.into();
        Pending { journal: self.clone(), name, target, began: Instant::now(), details: Vec::new(), done: false }
    }

    pub(super) fn skipped(self: &Arc<Self>, name: &'static str, target: &str, why: &str, advice: &str) {
        self.begin(name, target).end(State::Skipped, "", why, advice);
    }

    /// The last step was taken; `cut_off`: others are missing.
    pub(super) fn end(&self, cut_off: bool) {
        self.cut_off.lock().get_or_insert(cut_off);
    }

    /// What is known so far.
    pub fn report(&self) -> Report {
        // Steps that end later belong to no report.
        let mut report = Report { steps: self.steps.lock().clone(), ..Report::default() };
        report.ms = self.began.elapsed().as_millis() as u64;
        report.cut_off = self.cut_off.lock().unwrap_or(true);
        report
    }

    /// Of a URL that a server or an option gave: without user information, query and fragment.
    pub(super) fn url(text: &str) -> String {
        let text = text.split(['#']).next().unwrap_or_default();
        // The query of an ICE server is its transport.
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let transport = query.split('&').find(|part| matches!(*part, "transport=tcp" | "transport=udp"));
        let colon = if scheme.is_empty() { "" } else { ":" };
        let query = transport.map_or(String::new(), |transport| format!("?{transport}"));
        truncate(&format!("{scheme}{colon}{rest}{query}"), 200).to_owned()
    }

    fn clean(&self, text: &str) -> String {
        let secrets = self.secrets.lock();
        clean(text, &secrets.iter().collect::<Vec<_>>())
    }

    fn add(&self, mut step: Step) {
        step.target = self.clean(&step.target);
        step.found = self.clean(&step.found);
        step.advice = self.clean(&step.advice);
        step.details.truncate(MAX_DETAILS);
        step.details.iter_mut().for_each(|detail| *detail = self.clean(detail));
        oh_log!(Level::Info, "{}", step.line());
        if let Some(progress) = &self.progress {
            progress(&step);
        }
        let mut steps = self.steps.lock();
        if steps.len() < MAX_STEPS {
            steps.push(step);
        }
    }
}

/// A step that has begun.
#[must_use]
pub(super) struct Pending {
    journal: Arc<Journal>,
    name: &'static str,
    target: String,
    began: Instant,
    details: Vec<String>,
    done: bool,
}

impl Pending {
    pub fn detail(&mut self, text: impl Into<String>) {
        if self.details.len() < MAX_DETAILS {
            self.details.push(text.into());
        }
    }

    pub fn ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    pub fn ok(self, found: impl Into<String>) {
        self.end(State::Ok, "", found, "");
    }

    pub fn warning(self, cause: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.end(State::Warning, cause, found, advice);
    }

    pub fn failed(self, cause: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.end(State::Failed, cause, found, advice);
    }

    pub fn end_skipped(self, found: impl Into<String>) {
        self.end(State::Skipped, "", found, "");
    }

    fn end(mut self, state: State, cause: &'static str, found: impl Into<String>, advice: impl Into<String>) {
        self.finish(state, cause, found.into(), advice.into());
    }

    fn finish(&mut self, state: State, cause: &'static str, found: String, advice: String) {
        self.done = true;
        let (target, details) = (std::mem::take(&mut self.target), std::mem::take(&mut self.details));
        let step = Step { name: self.name, target, state, ms: self.ms(), found, cause, advice, details };
        self.journal.add(step);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.done {
            let advice = "allow more time, or check what is slow here".to_owned();
            self.finish(State::Failed, "timeout", "not done when the time was over".to_owned(), advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_never_get_into_a_report() {
        let journal = Journal::new(vec![Secret::new("hunter2-hunter2")], None);
        journal.learn([Secret::new("turn5ecret")]);
        let mut step = journal.begin("turn", "turn:hunter2-hunter2@h");
        step.detail("with turn5ecret");
        step.failed("refused", "server says hunter2-hunter2\r\nX: y", "not turn5ecret");
        journal.end(false);
        let report = journal.report();
        let shown = format!("{report:?} {} {}", report.text(), report.json());
        assert!(!shown.contains("hunter2") && !shown.contains("turn5ecret"), "{shown}");
        assert!(!report.steps[0].found.contains('\n'));
        assert!(!report.cut_off);
    }

    #[test]
    fn a_step_that_is_dropped_was_cut_off() {
        let journal = Journal::new(Vec::new(), None);
        drop(journal.begin("tcp", "h:1"));
        let report = journal.report();
        assert_eq!((report.steps[0].state, report.steps[0].cause), (State::Failed, "timeout"));
        assert!(report.cut_off, "nobody said that it is complete");
    }

    #[test]
    fn a_report_is_bounded() {
        let journal = Journal::new(Vec::new(), None);
        for _ in 0..1_000 {
            let mut step = journal.begin("tcp", "x".repeat(10_000));
            for _ in 0..1_000 {
                step.detail("y".repeat(10_000));
            }
            step.ok("z".repeat(10_000));
        }
        assert!(journal.report().json().len() < 96 * (24 + 3) * 600);
    }

    #[test]
    fn urls_are_shown_without_credentials() {
        for (url, shown) in [
            ("turn:user:pw@h:3478?transport=tcp&x=secret", "turn:h:3478?transport=tcp"),
            ("turns:h", "turns:h"),
            ("stun:[2001:db8::1]:3478#x", "stun:[2001:db8::1]:3478"),
            ("h", "h"),
        ] {
            assert_eq!(Journal::url(url), shown);
        }
    }
}
