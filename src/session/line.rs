//! A call's line to its service: being admitted; where there is a coordinator, custom events both ways.
//!
//! Beside the actor, not in it: nothing here touches the rules, and nothing here can delay them. It
//! ends with the actor. Must not know: C, wire types, peer connections.

use super::{
    events::{EventHub, Listener},
    shared::Shared,
};
use crate::core::{model::*, Event};
use crate::error::{Code, Error, Result, Secret};
use crate::runtime;
use crate::signalling::{
    livekit::token,
    stream::{events::MAX_CUSTOM, Coordinator, CustomEvent},
    Signalling,
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock, Weak},
};
use tokio::sync::watch;

/// Custom events that may wait to be sent.
const OUTBOX: usize = 32;

#[derive(Default)]
struct Outbox {
    queue: VecDeque<String>,
    /// A task is emptying the queue.
    sending: bool,
}

pub(super) struct Line {
    signalling: Arc<dyn Signalling>,
    /// Who passes custom events on, where the protocol has such.
    coordinator: Option<Arc<Coordinator>>,
    hub: Option<Arc<EventHub>>,
    /// The hub's name for this call.
    key: OnceLock<u64>,
    call_type: String,
    call_id: String,
    shared: Arc<Shared>,
    /// The token of the last join that succeeded.
    token: Mutex<Secret>,
    outbox: Mutex<Outbox>,
    over: watch::Sender<bool>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("call_id", &self.call_id).finish_non_exhaustive()
    }
}

/// Hands the hub's news to the application. Weak: the hub outlives calls.
struct Ear(Weak<Shared>);

impl Listener for Ear {
    fn custom(&self, event: CustomEvent) {
        if let Some(shared) = self.0.upgrade() {
            let CustomEvent { user_id, custom_type, json, .. } = event;
            shared.tell(Event::Custom { user_id, custom_type, json });
        }
    }

    fn token_needed(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.tell(Event::TokenNeeded);
        }
    }
}

/// The actor's hold on its line: the line ends when this is dropped, with the actor.
pub(super) struct LineHold(Arc<Line>);

impl std::ops::Deref for LineHold {
    type Target = Arc<Line>;
    fn deref(&self) -> &Arc<Line> {
        &self.0
    }
}

impl Drop for LineHold {
    fn drop(&mut self) {
        self.0.over.send_replace(true);
        if let (Some(hub), Some(key)) = (&self.0.hub, self.0.key.get()) {
            hub.unregister(*key);
        }
    }
}

impl Line {
    pub fn hold(
        signalling: Arc<dyn Signalling>,
        coordinator: Option<Arc<Coordinator>>,
        hub: Option<Arc<EventHub>>,
        call_type: String,
        call_id: String,
        shared: Arc<Shared>,
    ) -> LineHold {
        LineHold(Arc::new(Self {
            signalling,
            coordinator,
            hub,
            key: OnceLock::new(),
            call_type,
            call_id,
            shared,
            token: Mutex::default(),
            outbox: Mutex::default(),
            over: watch::Sender::new(false),
        }))
    }

    pub fn signalling(&self) -> &Arc<dyn Signalling> {
        &self.signalling
    }

    /// Asks to be admitted; with the client's events, so that they begin at once.
    pub async fn join(&self, mut request: AdmissionRequest, token: &Secret) -> Result<Admission, Failure> {
        if let Some(hub) = &self.hub {
            if self.key.get().is_none() {
                // Without a runtime there is no call either, and this is not where it is told.
                let ear = Arc::new(Ear(Arc::downgrade(&self.shared)));
                if let Ok(key) = hub.register(&self.call_type, &self.call_id, ear) {
                    let _ = self.key.set(key);
                }
            }
            request.connection_id = hub.connection_id(token).await;
        }
        let connection_id = request.connection_id.clone();
        let admission = self.signalling.admit(request, token).await?;
        *self.token.lock() = token.clone();
        if let (Some(hub), Some(key)) = (&self.hub, self.key.get()) {
            hub.admitted(*key, &connection_id, token);
        }
        Ok(admission)
    }

    /// The application brings a token, asked or not.
    ///
    /// # Errors
    /// `Argument` when it names another room than that of this call: it would lead there (`names_room`: as tokens of
    /// this protocol do).
    pub fn offer_token(&self, token: &Secret, names_room: bool) -> Result<()> {
        let room = names_room.then(|| token::read(token)).flatten().map(|claims| claims.room);
        if room.is_some_and(|room| !room.is_empty() && room != self.call_id) {
            return Err(Error::new(Code::Argument, "the token is for another call (claim video.room)"));
        }
        if let Some(hub) = self.hub.as_ref().filter(|_| !token.is_empty()) {
            hub.offer_token(token);
        }
        Ok(())
    }

    /// Sends a custom event, after those sent before; what fails comes as an error event.
    ///
    /// # Errors
    /// `Argument` when it is no JSON object or larger than [`MAX_CUSTOM`] bytes; `State` before the
    /// join and after the end; `Full` when 32 of them wait.
    pub fn send_custom(self: &Arc<Self>, json: String) -> Result<()> {
        let Some(coordinator) = self.coordinator.clone() else {
            return Err(Error::new(Code::Unsupported, "send_custom: this protocol has no custom events"));
        };
        if json.len() > MAX_CUSTOM {
            return Err(Error::new(
                Code::Argument,
                format!("send_custom: {} bytes; {MAX_CUSTOM} are allowed", json.len()),
            ));
        }
        if !serde_json::from_str::<serde_json::Value>(&json).is_ok_and(|json| json.is_object()) {
            return Err(Error::new(Code::Argument, "send_custom: this is not a JSON object"));
        }
        if *self.over.borrow() || self.shared.is_over() {
            return Err(Error::new(Code::State, "the call is over"));
        }
        if self.token.lock().is_empty() {
            return Err(Error::new(Code::State, "send_custom: the call is not joined yet"));
        }
        let mut outbox = self.outbox.lock();
        if outbox.queue.len() >= OUTBOX {
            let text = format!("send_custom: {OUTBOX} custom events wait to be sent; try again later");
            return Err(Error::new(Code::Full, text));
        }
        outbox.queue.push_back(json);
        if !outbox.sending {
            let (line, after) = (self.clone(), self.clone());
            let task = async move {
                let Ok(mut stop) = runtime::global().stop_signal() else { return };
                let mut over = line.over.subscribe();
                tokio::select! {
                    biased;
                    _ = over.wait_for(|over| *over) => {}
                    () = stop.requested() => {}
                    () = line.empty(&coordinator) => {}
                }
            };
            let on_panic = move |_| after.outbox.lock().sending = false;
            if let Err(error) = runtime::spawn_guarded("custom", task, on_panic) {
                outbox.queue.pop_back();
                return Err(error);
            }
            outbox.sending = true;
        }
        Ok(())
    }

    async fn empty(&self, coordinator: &Coordinator) {
        loop {
            let json = {
                let mut outbox = self.outbox.lock();
                let Some(json) = outbox.queue.pop_front() else {
                    outbox.sending = false;
                    return;
                };
                json
            };
            let token = self.token.lock().clone();
            let sent = coordinator.send_custom(&self.call_type, &self.call_id, &json, &token).await;
            if let Err(failure) = sent {
                self.shared.tell(Event::Error(error_of(&failure)));
            }
        }
    }
}

fn error_of(failure: &Failure) -> Error {
    let code = match failure.kind {
        FailureKind::Timeout => Code::Timeout,
        FailureKind::Connect => Code::Network,
        FailureKind::Tls => Code::Tls,
        FailureKind::Insecure => Code::Insecure,
        FailureKind::Http { status: 401 } => Code::Auth,
        FailureKind::Http { .. } | FailureKind::Sfu => Code::Refused,
        FailureKind::Malformed => Code::Protocol,
    };
    let server_code = match (failure.code, &failure.kind) {
        (0, FailureKind::Http { status }) => i32::from(*status),
        (code, _) => code,
    };
    Error::new(code, format!("send_custom: the event was not sent: {}", failure.message)).with_server_code(server_code)
}
