//! The edges (SFUs of a service) that refused or failed, and whether there is another to try. Must not know: how an
//! edge is chosen.

use crate::core::context::Context;
use crate::core::model::*;

/// Edges remembered as failed, at most.
const MAX_FAILED_EDGES: usize = 32;

#[derive(Debug, Default)]
pub(in crate::core) struct Edges {
    /// Those that refused or failed, the last one last.
    failed: Vec<String>,
    /// How many there are, as far as the admission tells.
    known: usize,
    /// How often each one failed otherwise.
    failures: Vec<(String, u32)>,
}

impl Edges {
    pub fn failed(&self) -> &[String] {
        &self.failed
    }

    pub fn has_failed(&self, edge: &str) -> bool {
        self.failed.iter().any(|failed| failed == edge)
    }

    pub fn admitted(&mut self, admission: &Admission) {
        self.known = admission.alternatives;
    }

    /// The call is joined by one of them.
    pub fn joined(&mut self) {
        self.failures.clear();
    }

    /// All may be tried again.
    pub fn forgive(&mut self) {
        self.failed.clear();
    }

    /// The last one last: it is also `migrating_from`.
    pub fn exclude(&mut self, edge: String) {
        self.failed.retain(|e| *e != edge);
        if self.failed.len() >= MAX_FAILED_EDGES {
            self.failed.remove(0);
        }
        self.failed.push(edge);
    }

    /// The SFU says itself that it is the wrong one.
    pub fn leave(&mut self, cx: &Context) {
        let edge = cx.admission.as_ref().map(|a| a.edge_name.clone()).unwrap_or_default();
        if !edge.is_empty() {
            self.exclude(edge);
        }
    }

    /// An edge that says it cannot is left at once, one that fails otherwise at the second time.
    pub fn blame(&mut self, cx: &mut Context, failure: &Failure) {
        let Some(edge) = cx.admission.take().map(|a| a.edge_name).filter(|e| !e.is_empty()) else { return };
        if failure.kind == FailureKind::Sfu && matches!(failure.code, 700 | 600 | 301) {
            return self.exclude(edge);
        }
        let failures = match self.failures.iter_mut().find(|(e, _)| *e == edge) {
            Some((_, failures)) => {
                *failures += 1;
                *failures
            }
            None => {
                self.failures.truncate(MAX_FAILED_EDGES - 1);
                self.failures.push((edge.clone(), 1));
                1
            }
        };
        if failures >= cx.config.dialect.edge_failures {
            self.exclude(edge);
        }
    }

    /// This one does not answer, and there is one that was not tried yet: no need to wait.
    pub fn has_another(&self, failure: &Failure) -> bool {
        failure.kind == FailureKind::Connect && self.known > 1 && self.failed.len() < self.known
    }
}
