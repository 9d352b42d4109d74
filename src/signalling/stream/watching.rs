//! Keeps a client's calls watched on its event connection: one small future per call that is not
//! watched yet.
//!
//! Must not know: when the connection changes, who listens.

use super::events::refuses_token;
use super::hub::{Entry, Shared};
use crate::core::model::FailureKind;
use crate::core::{backoff, rng::Rng};
use crate::log::{oh_log, Level};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{future::Future, pin::Pin, sync::Arc};
use tokio::{sync::Semaphore, time::sleep};

/// Most concurrent requests of one client.
const AT_ONCE: usize = 4;

type Job<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The watch requests in progress; dropping it cancels them all.
pub(super) struct Jobs<'a>(FuturesUnordered<Job<'a>>, Arc<Semaphore>);

impl<'a> Jobs<'a> {
    pub fn new() -> Self {
        Self(FuturesUnordered::new(), Arc::new(Semaphore::new(AT_ONCE)))
    }

    pub fn push(&mut self, shared: &'a Shared, key: u64, connection_id: String) {
        let turns = self.1.clone();
        self.0.push(Box::pin(async move { watch(shared, &turns, key, &connection_id).await }));
    }

    /// Waits until one completes.
    pub async fn next(&mut self) {
        self.0.next().await;
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Watches one call. Retries what may succeed later, as long as the call exists.
async fn watch(shared: &Shared, turns: &Semaphore, key: u64, connection_id: &str) {
    let mut rng = Rng::new(key ^ connection_id.bytes().fold(7, |n: u64, b| n.wrapping_mul(31) ^ u64::from(b)));
    let mut tries = 0;
    loop {
        let look = |call: &Entry| (call.call_type.clone(), call.call_id.clone(), call.token.clone());
        let Some((call_type, call_id, Some(token))) = shared.with_call(key, look) else { return };
        let result = {
            // The semaphore is never closed.
            let _turn = turns.acquire().await;
            shared.coordinator.watch(&call_type, &call_id, connection_id, &token).await
        };
        let Err(failure) = result else { return };
        let later = match failure.kind {
            FailureKind::Http { status } => matches!(status, 408 | 429) || status >= 500,
            FailureKind::Timeout | FailureKind::Connect => true,
            _ => false,
        };
        tries += 1;
        oh_log!(Level::Debug, "{call_id}: cannot watch its events (attempt {tries}): {}", failure.message);
        if refuses_token(&failure) && shared.renew(key) {
            continue;
        }
        if !later || failure.unrecoverable {
            return;
        }
        sleep(backoff::events(tries, &mut rng)).await;
    }
}
