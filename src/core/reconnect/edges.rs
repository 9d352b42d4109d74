//! The edges (SFUs of a service) that refused or failed, and whether another one is left to try. Must not know: how an
//! edge is chosen.

use crate::core::context::Context;
use crate::core::model::*;

/// Maximum number of remembered failed edges.
const MAX_FAILED_EDGES: usize = 32;

#[derive(Debug, Default)]
pub(in crate::core) struct Edges {
    /// Edges that refused or failed; the latest is last.
    failed: Vec<String>,
    /// Number of edges, as reported by the admission.
    known: usize,
    /// Number of other failures of each edge.
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

    /// The call joined through an edge.
    pub fn joined(&mut self) {
        self.failures.clear();
    }

    /// All edges may be tried again.
    pub fn forgive(&mut self) {
        self.failed.clear();
    }

    /// Excludes an edge. The latest is last: it is also `migrating_from`.
    pub fn exclude(&mut self, edge: String) {
        self.failed.retain(|e| *e != edge);
        if self.failed.len() >= MAX_FAILED_EDGES {
            self.failed.remove(0);
        }
        self.failed.push(edge);
    }

    /// The SFU asks this client to use another edge.
    pub fn leave(&mut self, cx: &Context) {
        let edge = cx.admission.as_ref().map(|a| a.edge_name.clone()).unwrap_or_default();
        if !edge.is_empty() {
            self.exclude(edge);
        }
    }

    /// Excludes an edge at once if it refuses, or after repeated other failures.
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

    /// This edge is unreachable and others are untried: retry without delay.
    pub fn has_another(&self, failure: &Failure) -> bool {
        failure.kind == FailureKind::Connect && self.known > 1 && self.failed.len() < self.known
    }
}
