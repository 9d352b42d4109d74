//! The model of the coordinator: admits by token and selects an edge.

use super::{
    client::failure,
    faults::{Class, Plan},
    world::{Ev, Ms, World},
};
use offhook::core::{model::*, Input};
use offhook::error::Secret;

/// The tokens of one application: each is valid until the coordinator stops accepting it.
pub struct Tokens {
    given: u32,
    /// The oldest token that is still accepted.
    pub oldest: u32,
}

impl Tokens {
    pub fn new(plan: &Plan) -> Self {
        Self { given: 0, oldest: u32::from(plan.token_expired) }
    }

    /// A new token, valid now.
    pub fn fresh(&mut self) -> String {
        self.given = self.given.max(self.oldest) + 1;
        self.oldest = self.oldest.min(self.given);
        format!("user-token-{}", self.given)
    }

    /// From now on no issued token is accepted.
    pub fn expire(&mut self) {
        self.oldest = self.given + 1;
    }

    pub fn takes(&self, token: &str) -> bool {
        token.strip_prefix("user-token-").and_then(|n| n.parse().ok()).is_some_and(|n: u32| n >= self.oldest)
    }
}

impl World {
    /// A planned failure of the coordinator.
    pub fn admission_fails(&mut self, client: usize, generation: Generation) {
        let this = &mut self.clients[client];
        let wait = this.latency();
        let mut failure = failure(&mut this.fault, &[400, 403, 404, 429, 500, 502, 503]);
        if failure.kind == FailureKind::Sfu {
            failure.kind = FailureKind::Http { status: 500 };
            failure.unrecoverable = this.fault.between(0, 9) == 0;
        }
        let wait: Ms = if failure.kind == FailureKind::Timeout { 5_000 } else { wait };
        self.after(wait, Ev::Input(client, Input::Admitted { generation, result: Err(failure) }));
    }

    pub fn coordinate(&mut self, client: usize, generation: Generation, token: &str, request: &AdmissionRequest) {
        if self.setup.livekit {
            return self.admit_livekit(client, generation, token, request);
        }
        let now = self.now;
        let wait = self.clients[client].latency();
        if self.clients[client].hit(now, Class::Token) {
            self.clients[client].tokens.expire();
        }
        if !self.clients[client].tokens.takes(token) {
            let failure = Failure { code: 40, ..Failure::new(FailureKind::Http { status: 401 }, "token expired") };
            return self.after(wait, Ev::Input(client, Input::Admitted { generation, result: Err(failure) }));
        }
        let edge = self.choose(client, generation, &request.migrating_from_list);
        let number = self.clients[client].name();
        let admission = Admission {
            edge_name: self.sfu.edges[edge].name.clone(),
            url: "http://127.0.0.1:1/twirp".into(),
            ws_endpoint: "ws://127.0.0.1:1/ws".into(),
            token: Secret::new(format!("sfu-token-{client}-{number}")),
            cid: format!("{}:{}", request.call_type, request.call_id),
            stats_interval_ms: 8_000,
            ..Admission::default()
        };
        let input = Input::Admitted { generation, result: Ok(Box::new(admission)) };
        self.after(wait, Ev::Input(client, input));
    }

    /// By room and attempt. An excluded edge is selected only if there is no other.
    fn choose(&mut self, client: usize, generation: Generation, excluded: &[String]) -> usize {
        let this = &self.clients[client];
        let count = self.sfu.edges.len();
        let first = (self.setup.seed as usize).wrapping_add(this.room * 7 + generation.0 as usize / 3) % count;
        let order = (0..count).map(|n| (first + n) % count);
        let good = |e: &usize| !excluded.contains(&self.sfu.edges[*e].name);
        // The coordinator may not have noticed yet that an edge died.
        let informed = this.mood.chance(Class::Edge).is_multiple_of(2);
        order
            .clone()
            .find(|e| good(e) && (!informed || self.sfu.edges[*e].alive))
            .or_else(|| order.clone().find(|e| good(e)))
            .or_else(|| order.clone().find(|e| self.sfu.edges[*e].alive))
            .unwrap_or(first)
    }
}
