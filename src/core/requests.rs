//! Pending requests to the SFU, and which of them may be retried.
//!
//! Every request belongs to one generation; a reply for another one is late. Idempotent requests are tried at most
//! three times. Requests that carry a negotiation are retried only if the server asks for it or was never reached.
//! Must not know: what becomes of a reply.

use super::{backoff, context::Context, limits, model::*, Output, Timer};
use std::time::Duration;

/// Maximum pending requests. Beyond it candidates are dropped. Requests of a negotiation are not dropped: there is one
/// at a time, and the negotiation would wait without limit.
const MAX_LIVE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Requests {
    next: u64,
    live: Vec<Live>,
    /// A reply reported that the session does not exist: the strategy to apply, and the error code.
    session_gone: Option<(Strategy, i32)>,
}

#[derive(Debug)]
struct Live {
    id: u64,
    call: RpcCall,
    tries: u32,
}

impl Requests {
    /// Returns the id of a new request, and whether there was room to send it.
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

    /// The session exists.
    pub fn begin_session(&mut self) {
        self.session_gone = None;
    }

    /// The peer connection is closed permanently: its requests are not retried and their replies are late.
    pub fn forget(&mut self, closed: PeerKind) {
        self.live.retain(|live| match &live.call {
            RpcCall::SetPublisher { .. } => closed != PeerKind::Publisher,
            RpcCall::SendAnswer { .. } => closed != PeerKind::Subscriber,
            RpcCall::IceTrickle { peer, .. } | RpcCall::IceRestart { peer, .. } => *peer != closed,
            _ => true,
        });
    }

    /// The strategy to apply because the SFU no longer knows this session, with the error code.
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

    /// Handles a reply. Returns the request that it settles; none if the reply is late, the request is retried or the
    /// session is gone.
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
        // Does not count as activity: replies use another path than messages, and would hide a dead socket.
        if let Err(failure) = result {
            // The session itself is gone: nothing in it can succeed.
            if failure.kind == FailureKind::Sfu && matches!(failure.code, 200 | 204 | 205 | 206 | 300) {
                let want = if failure.code == 206 { Strategy::Fast } else { Strategy::Rejoin };
                // Wait first: if the call has ended, that message is still on its way.
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
        // It may have arrived: a retry would be a second negotiation.
        RpcCall::SetPublisher { .. } | RpcCall::SendAnswer { .. } => failure.kind == FailureKind::Connect,
        _ => match failure.kind {
            FailureKind::Timeout | FailureKind::Connect => true,
            FailureKind::Http { status } => status == 429 || status >= 500,
            _ => false,
        },
    }
}
