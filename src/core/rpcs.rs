//! RPCs under way: who waits for which, and which may be tried again.
//!
//! Every RPC belongs to one generation; a reply of another one is late. Idempotent ones are tried
//! at most three times; those that carry a negotiation only when the server asks for it or was
//! never reached.

use super::{backoff, limits, model::*, Core, Event, Output, Timer};
use crate::error::{Code, Error};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Rpcs {
    next: u64,
    live: Vec<Live>,
}

#[derive(Debug)]
struct Live {
    id: u64,
    call: RpcCall,
    tries: u32,
}

/// RPCs under way at once. Beyond it candidates are dropped; what a negotiation waits for is not: it
/// comes one at a time, and would wait for ever.
const MAX_LIVE: usize = 256;

impl Rpcs {
    pub fn clear(&mut self) {
        self.live.clear();
    }
}

impl Core {
    /// Sends an RPC; the id names it until it is settled.
    pub(super) fn rpc(&mut self, call: RpcCall) -> u64 {
        self.rpcs.next += 1;
        let id = self.rpcs.next;
        if self.rpcs.live.len() >= MAX_LIVE && matches!(call, RpcCall::IceTrickle { .. }) {
            self.counters.candidates_dropped += 1;
            return id;
        }
        self.rpcs.live.push(Live { id, call: call.clone(), tries: 1 });
        self.counters.rpcs += 1;
        let generation = self.generation;
        self.out(Output::Rpc { generation, id, call });
        id
    }

    /// The peer connection is closed for good: nothing about it is tried again, its replies are late.
    pub(super) fn forget_rpcs(&mut self, closed: PeerKind) {
        self.rpcs.live.retain(|live| match &live.call {
            RpcCall::SetPublisher { .. } => closed != PeerKind::Publisher,
            RpcCall::SendAnswer { .. } => closed != PeerKind::Subscriber,
            RpcCall::IceTrickle { peer, .. } | RpcCall::IceRestart { peer, .. } => *peer != closed,
            _ => true,
        });
    }

    pub(super) fn retry_rpc(&mut self, id: u64) {
        if let Some(live) = self.rpcs.live.iter().find(|l| l.id == id) {
            let (call, generation) = (live.call.clone(), self.generation);
            self.counters.rpc_retries += 1;
            self.out(Output::Rpc { generation, id, call });
        }
    }

    /// The SFU does not know this session any more, and has not said that the call is over.
    pub(super) fn on_session_gone(&mut self, now: Duration) {
        let Some((want, code)) = self.session_gone.take() else { return };
        self.reconnect(now, want, &format!("the SFU answers a request with error {code}"));
    }

    pub(super) fn on_rpc(&mut self, now: Duration, generation: Generation, id: u64, result: Result<RpcReply, Failure>) {
        if !self.is_current(generation) || !self.is_open() {
            return self.late();
        }
        let Some(index) = self.rpcs.live.iter().position(|l| l.id == id) else { return self.late() };
        // No sign of life: replies come another way than messages, and would hide that the socket is dead.
        if let Some(code) = result.as_ref().err().filter(|f| f.kind == FailureKind::Sfu).map(|f| f.code) {
            // The session itself is gone: nothing in it can succeed.
            if matches!(code, 200 | 204 | 205 | 206 | 300) {
                let want = if code == 206 { Strategy::Fast } else { Strategy::Rejoin };
                // Unless the call has ended: then the word for it is on its way.
                if self.session_gone.is_none() {
                    self.session_gone = Some((want, code));
                    self.timers.set(Timer::SessionGone, now + limits::CALL_ENDED_GRACE);
                }
                return;
            }
        }
        if let Err(failure) = &result {
            let live = &mut self.rpcs.live[index];
            if live.tries < limits::RPC_TRIES && may_retry(&live.call, failure) {
                let wait = backoff::rpc(live.tries, &mut self.rng);
                let wait = wait.max(Duration::from_millis(failure.retry_after_ms.unwrap_or(0).min(5_000)));
                live.tries += 1;
                return self.timers.set(Timer::RpcRetry(id), now + wait);
            }
        }
        let live = self.rpcs.live.swap_remove(index);
        match live.call {
            RpcCall::SetPublisher { .. } => self.on_set_publisher(now, id, result),
            RpcCall::SendAnswer { .. } => self.on_send_answer(now, id, result.map(drop)),
            RpcCall::UpdateMuteStates { .. } => self.on_mute_told(id, result.is_ok()),
            RpcCall::IceTrickle { .. } => {
                if result.is_err() {
                    self.counters.candidates_dropped += 1;
                }
            }
            RpcCall::SendStats { .. } => self.on_stats_told(id, result.is_ok()),
            RpcCall::UpdateSubscriptions { .. } => self.on_wishes_told(id, result.map(drop)),
            RpcCall::UpdateSelf { .. } => {
                if let Err(failure) = result {
                    let text = format!("attributes: the SFU did not take them: {}", failure.message);
                    self.event(Event::Error(Error::new(Code::Refused, text).with_server_code(failure.code)));
                }
            }
            RpcCall::IceRestart { .. } => {}
        }
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
