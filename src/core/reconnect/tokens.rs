//! The current token, and what to do when it is refused. Must not know: what a token says.

use crate::core::context::Context;
use crate::core::{model::*, Config, Input};
use crate::error::Secret;

/// Shorter tokens may be ordinary words and are not treated as secrets.
const SHORTEST_SECRET: usize = 8;

#[derive(Debug)]
pub(in crate::core) struct Tokens {
    current: Secret,
    /// The application's token; the service may have sent another since.
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

    /// The application supplied a token.
    pub fn given(&mut self, token: Secret) {
        self.current = token.clone();
        self.given = token;
    }

    /// An attempt starts or has succeeded: the application may be asked again.
    pub fn begin_attempt(&mut self) {
        self.renewed = false;
    }

    /// The SFU sent a token to replace one that will expire.
    pub fn refreshed(&mut self, cx: &mut Context, token: Secret) {
        if token.is_empty() {
            return;
        }
        if let Some(admission) = &mut cx.admission {
            admission.token = token.clone();
        }
        self.current = token;
    }

    /// True if the failure means a refused token and there is another to try: the application's, if the refused one
    /// came from the service; otherwise a new one, requested from the application (current token empty).
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

    /// A server may quote the user's token in its text; from here on the text goes to logs and events.
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
