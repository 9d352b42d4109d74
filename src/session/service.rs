//! A call's connection to its service: admission and, where the protocol has them, custom events in both directions.
//!
//! Separate from the actor: nothing here touches the core or can delay it. It ends with the actor. Must not know: C,
//! wire types, which protocol it is, peer connections.

use super::shared::Shared;
use crate::core::{model::*, Event, Unsent};
use crate::error::{Code, Error, Result, Secret};
use crate::runtime;
use crate::signalling::{protocol::ServiceListener, CustomEvent, Signalling};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};
use tokio::sync::watch;

/// Custom events that may be queued.
const OUTBOX: usize = 32;

/// Outgoing custom events.
#[derive(Debug, Default)]
pub(super) struct CustomOutbox {
    /// While there is a task, it is sending the first one.
    queue: VecDeque<String>,
    /// A task is emptying the queue.
    sending: bool,
    /// The application sends no more.
    sealed: bool,
}

impl CustomOutbox {
    pub fn seal(&mut self) {
        self.sealed = true;
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn count(&self, unsent: &mut Unsent) {
        unsent.custom_events += self.queue.len() as u64;
        unsent.bytes += self.queue.iter().map(|json| json.len() as u64).sum::<u64>();
    }
}

pub(super) struct ServiceConnection {
    signalling: Arc<dyn Signalling>,
    shared: Arc<Shared>,
    /// The token of the last join that succeeded.
    token: Mutex<Secret>,
    ended: watch::Sender<bool>,
}

impl std::fmt::Debug for ServiceConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceConnection").field("signalling", &self.signalling).finish_non_exhaustive()
    }
}

/// Passes the service's events to the application. Weak: the service outlives calls.
struct Listener(Weak<Shared>);

impl ServiceListener for Listener {
    fn custom(&self, event: CustomEvent) {
        if let Some(shared) = self.0.upgrade() {
            let CustomEvent { user_id, custom_type, json, .. } = event;
            shared.emit(Event::Custom { user_id, custom_type, json });
        }
    }

    fn token_needed(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.emit(Event::TokenNeeded);
        }
    }
}

/// The actor's hold on the connection, which ends when this is dropped with the actor.
pub(super) struct ServiceHold(Arc<ServiceConnection>);

impl std::ops::Deref for ServiceHold {
    type Target = Arc<ServiceConnection>;
    fn deref(&self) -> &Arc<ServiceConnection> {
        &self.0
    }
}

impl Drop for ServiceHold {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
        self.0.signalling.end();
    }
}

impl ServiceConnection {
    pub fn hold(signalling: Arc<dyn Signalling>, shared: Arc<Shared>) -> ServiceHold {
        signalling.listen(Arc::new(Listener(Arc::downgrade(&shared))));
        ServiceHold(Arc::new(Self { signalling, shared, token: Mutex::default(), ended: watch::Sender::new(false) }))
    }

    pub fn signalling(&self) -> &Arc<dyn Signalling> {
        &self.signalling
    }

    /// Requests admission.
    pub async fn join(&self, request: AdmissionRequest, token: &Secret) -> Result<Admission, Failure> {
        let admission = self.signalling.admit(request, token).await?;
        *self.token.lock() = token.clone();
        Ok(admission)
    }

    /// Sends a custom event, after those sent before; a failure comes as an error event.
    ///
    /// # Errors
    /// `Argument` when it is no JSON object or larger than the protocol allows; `State` before the join and after the
    /// end; `Full` when 32 of them wait.
    pub fn send_custom(self: &Arc<Self>, json: String) -> Result<()> {
        let Some(most) = self.signalling.custom_limit() else {
            return Err(Error::new(Code::Unsupported, "send_custom: this protocol has no custom events"));
        };
        if json.len() > most {
            let text = format!("send_custom: {} bytes; {most} are allowed", json.len());
            return Err(Error::new(Code::Argument, text));
        }
        if !serde_json::from_str::<serde_json::Value>(&json).is_ok_and(|json| json.is_object()) {
            return Err(Error::new(Code::Argument, "send_custom: this is not a JSON object"));
        }
        if *self.ended.borrow() || self.shared.has_ended() {
            return Err(Error::new(Code::State, "the call has ended"));
        }
        if self.token.lock().is_empty() {
            return Err(Error::new(Code::State, "send_custom: the call has not joined yet"));
        }
        let mut outbox = self.shared.custom.lock();
        if outbox.sealed {
            return Err(Error::new(Code::State, "send_custom: the call was left or has ended"));
        }
        if outbox.queue.len() >= OUTBOX {
            let text = format!("send_custom: {OUTBOX} custom events are queued; try again later");
            return Err(Error::new(Code::Full, text));
        }
        outbox.queue.push_back(json);
        if !outbox.sending {
            let (service, after) = (self.clone(), self.clone());
            let task = async move {
                let mut ended = service.ended.subscribe();
                tokio::select! {
                    biased;
                    _ = ended.wait_for(|ended| *ended) => {}
                    () = service.empty() => {}
                }
            };
            let on_panic = move |_| after.shared.custom.lock().sending = false;
            if let Err(error) = runtime::spawn_guarded("custom", task, on_panic) {
                outbox.queue.pop_back();
                return Err(error);
            }
            outbox.sending = true;
        }
        Ok(())
    }

    async fn empty(&self) {
        loop {
            let json = {
                let mut outbox = self.shared.custom.lock();
                let Some(json) = outbox.queue.front().cloned() else {
                    outbox.sending = false;
                    return;
                };
                json
            };
            let token = self.token.lock().clone();
            let sent = self.signalling.send_custom(&json, &token).await;
            self.shared.custom.lock().queue.pop_front();
            if let Err(failure) = sent {
                let text = format!("send_custom: the event was not sent: {}", failure.message);
                self.shared.emit(Event::Error(failure.error(text)));
            }
        }
    }
}
