//! Requests to the SFU under way: who waits for which, and which may be tried again.
//!
//! Every request belongs to one generation; a reply of another one is late. Idempotent ones are tried
//! at most three times; those that carry a negotiation only when the server asks for it or was
//! never reached. Must not know: what becomes of a reply.

use super::{backoff, context::Context, limits, model::*, Output, Timer};
use std::time::Duration;

/// Requests under way at once. Beyond it candidates are dropped; what a negotiation waits for is not: it
/// comes one at a time, and would wait for ever.
const MAX_LIVE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Requests {
    next: u64,
    live: Vec<Live>,
    /// A reply said that there is no such session: what to do about it, and the code.
    session_gone: Option<(Strategy, i32)>,
}

#[derive(Debug)]
struct Live {
    id: u64,
    call: RpcCall,
    tries: u32,
}

impl Requests {
    /// The number of a new request, and whether there is room to send it.
    pub fn begin(&mut self, call: &RpcCall) -> (u64, bool) {
        self.next += 1;
        let sent = self.live.len() < MAX_LIVE || !matches!(call, RpcCall::IceTrickle { .. });
        if sent {
            self.live.push(Live { id: self.next, call: call.clone(), tries: 1 });
        }
        (self.next, sent)
    }

    pub fn clear(&mut self) {
        self.live.clear();
    }

    /// The session is there.
    pub fn begin_session(&mut self) {
        self.session_gone = None;
    }

    /// The peer connection is closed for good: nothing about it is tried again, its replies are late.
    pub fn forget(&mut self, closed: PeerKind) {
        self.live.retain(|live| match &live.call {
            RpcCall::SetPublisher { .. } => closed != PeerKind::Publisher,
            RpcCall::SendAnswer { .. } => closed != PeerKind::Subscriber,
            RpcCall::IceTrickle { peer, .. } | RpcCall::IceRestart { peer, .. } => *peer != closed,
            _ => true,
        });
    }

    /// What to do because the SFU does not know this session any more, with its code.
    pub fn take_session_gone(&mut self) -> Option<(Strategy, i32)> {
        self.session_gone.take()
    }
}

impl Context {
    pub fn retry_request(&mut self, id: u64) {
        if let Some(live) = self.requests.live.iter().find(|l| l.id == id) {
            let (call, generation) = (live.call.clone(), self.generation);
            self.counters.rpc_retries += 1;
            self.out(Output::Rpc { generation, id, call });
        }
    }

    /// A reply has come: the request that it settles, unless it is late, tried again, or tells that the session is
    /// gone.
    pub fn settle_request(
        &mut self,
        generation: Generation,
        id: u64,
        result: &Result<RpcReply, Failure>,
    ) -> Option<RpcCall> {
        let index = self.requests.live.iter().position(|l| l.id == id);
        let Some(index) = index.filter(|_| self.is_current(generation) && self.is_open()) else {
            self.late();
            return None;
        };
        // No sign of life: replies come another way than messages, and would hide that the socket is dead.
        if let Err(failure) = result {
            // The session itself is gone: nothing in it can succeed.
            if failure.kind == FailureKind::Sfu && matches!(failure.code, 200 | 204 | 205 | 206 | 300) {
                let want = if failure.code == 206 { Strategy::Fast } else { Strategy::Rejoin };
                // Unless the call has ended: then the word for it is on its way.
                if self.requests.session_gone.is_none() {
                    self.requests.session_gone = Some((want, failure.code));
                    self.timers.set(Timer::SessionGone, self.now + limits::CALL_ENDED_GRACE);
                }
                return None;
            }
            let live = &mut self.requests.live[index];
            if live.tries < limits::RPC_TRIES && may_retry(&live.call, failure) {
                let wait = backoff::rpc(live.tries, &mut self.rng);
                let wait = wait.max(Duration::from_millis(failure.retry_after_ms.unwrap_or(0).min(5_000)));
                live.tries += 1;
                self.timers.set(Timer::RpcRetry(id), self.now + wait);
                return None;
            }
        }
        Some(self.requests.live.swap_remove(index).call)
    }
}

fn may_retry(call: &RpcCall, failure: &Failure) -> bool {
    if failure.should_retry {
        return !matches!(call, RpcCall::SendStats { .. });
    }
    match call {
        RpcCall::SendStats { .. } => false,
        // May have arrived: saying it twice would be a second negotiation.
        RpcCall::SetPublisher { .. } | RpcCall::SendAnswer { .. } => failure.kind == FailureKind::Connect,
        _ => match failure.kind {
            FailureKind::Timeout | FailureKind::Connect => true,
            FailureKind::Http { status } => status == 429 || status >= 500,
            _ => false,
        },
    }
}
