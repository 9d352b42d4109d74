//! The token in use, and what to do when it is refused. Must not know: what a token says.

use crate::core::context::Context;
use crate::core::{model::*, Config, Input};
use crate::error::Secret;

/// Shorter tokens are words, and no secrets.
const SHORTEST_SECRET: usize = 8;

#[derive(Debug)]
pub(in crate::core) struct Tokens {
    current: Secret,
    /// The application's; the service may have brought another since.
    given: Secret,
    /// The application was asked for a token in this attempt.
    renewed: bool,
}

impl Tokens {
    pub fn new(token: Secret) -> Self {
        Self { given: token.clone(), current: token, renewed: false }
    }

    pub fn current(&self) -> &Secret {
        &self.current
    }

    /// The application has brought one.
    pub fn given(&mut self, token: Secret) {
        self.current = token.clone();
        self.given = token;
    }

    /// An attempt begins, or has succeeded: the application may be asked again.
    pub fn begin_attempt(&mut self) {
        self.renewed = false;
    }

    /// The SFU brings a token in place of the one that will expire.
    pub fn refreshed(&mut self, cx: &mut Context, token: Secret) {
        if token.is_empty() {
            return;
        }
        if let Some(admission) = &mut cx.admission {
            admission.token = token.clone();
        }
        self.current = token;
    }

    /// Whether the failure is that of a token, and there is another to try: that of the application when the refused
    /// one was the service's own, then a fresh one, for which the application is asked (an empty one).
    pub fn replace(&mut self, config: &Config, failure: &Failure) -> bool {
        if failure.kind != (FailureKind::Http { status: 401 }) {
            return false;
        }
        if self.current != self.given {
            self.current = self.given.clone();
            return true;
        }
        let ask = config.renew_token && !self.renewed;
        if ask {
            self.renewed = true;
            self.current = Secret::default();
        }
        ask
    }

    /// A server may quote the user's token in its words; from here on they go to logs and events.
    pub fn hide(&self, input: &mut Input) {
        let token = self.current.reveal();
        let text = match input {
            Input::Message { message: SfuMessage::Error { error, .. }, .. } => &mut error.message,
            Input::Rpc { result: Err(failure), .. }
            | Input::Admitted { result: Err(failure), .. }
            | Input::SocketOpened { result: Err(failure), .. }
            | Input::SocketClosed { failure: Some(failure), .. } => &mut failure.message,
            _ => return,
        };
        if token.len() >= SHORTEST_SECRET && text.contains(token) {
            *text = text.replace(token, "<secret>");
        }
    }
}
