//! STUN and TURN servers that gave no address, reported to the application.
//!
//! Both peer connections use the same servers, and so does each new session: the same failure is reported once.
//! Must not know: how addresses are gathered.

use crate::core::{context::Context, limits, model::IceServerFailure, Event};
use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(in crate::core) struct IceServers {
    /// URL and code of each reported failure; the oldest first.
    reported: VecDeque<(String, u16)>,
}

impl IceServers {
    pub fn report(&mut self, cx: &mut Context, failure: IceServerFailure) {
        if self.reported.iter().any(|(url, code)| *url == failure.url && *code == failure.code) {
            return;
        }
        if self.reported.len() >= limits::ICE_SERVER_FAILURES {
            self.reported.pop_front();
        }
        self.reported.push_back((failure.url.clone(), failure.code));
        cx.event(Event::IceServer(failure));
    }
}
