//! State shared by the application's threads and the actor of a call.
//!
//! Commands go through a bounded channel; leaving bypasses it, so that a flood of commands cannot keep a call from
//! ending. State is published under a lock that is never held for long.
//! Must not know: who uses it, C, wire types, the engine.

use super::{
    counters::MediaCounters,
    data::Outbox,
    inflow::{Bounds, Inflow},
    latch::HandedOver,
    lift::Lift,
    notes,
    notice::{Notice, Places},
    orders::Orders,
    outgoing::{AudioTotals, Outgoing},
    playout::{Playout, Receiving},
    redact::Secrets,
    service::CustomOutbox,
    AudioFrame,
};
use crate::core::model::{Counts, Grants};
use crate::core::trace::Trace;
use crate::core::{Core, Counters, End, EndReason, Event, Input, State, TrackId, Unsent};
use crate::dispatch::Mailbox;
use crate::error::{Error, Secret};
use crate::media::{audio::receive::ReceiveStats, transform::Transforms};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::HashMap,
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc, OnceLock,
    },
    time::Instant,
};

/// Commands of the application to the actor.
#[derive(Debug)]
pub(super) enum Command {
    Token(Option<Secret>),
    Publish(Arc<Outgoing>),
    /// Any input that the core takes unchanged.
    Input(Box<Input>),
}

/// Commands that may be queued for the actor.
pub(super) const COMMANDS: usize = 256;
#[derive(Debug, Default)]
pub(super) struct Status {
    pub state: State,
    pub end: Option<End>,
    pub counters: Counters,
    pub counts: Counts,
    pub participants: usize,
    /// The grants of this participant, once known.
    pub grants: Option<Grants>,
}

#[derive(Debug)]
pub(super) struct Shared {
    /// CALL/USER, for the log.
    pub name: Box<str>,
    pub mailbox: Mailbox<Notice, AudioFrame>,
    pub began: Instant,
    pub status: Mutex<Status>,
    pub changed: Condvar,
    pub media: Arc<MediaCounters>,
    pub receive: Arc<Mutex<ReceiveStats>>,
    pub handed_over: Arc<HandedOver>,
    pub orders: Orders,
    /// The application has left. Held while a command is queued, so that each is either before the leave or refused.
    pub left: Mutex<bool>,
    pub subscriber_closed: Arc<AtomicBool>,
    pub publisher_closed: AtomicBool,
    /// Removed from everything reported or logged.
    pub secrets: Arc<Secrets>,
    /// Outgoing data.
    pub outbox: Arc<Outbox>,
    pub custom: Mutex<CustomOutbox>,
    /// Tracks that were published and are not unpublished yet.
    pub tracks: Mutex<HashMap<TrackId, Arc<Outgoing>>>,
    pub audio: Arc<AudioTotals>,
    /// Accepted but not sent; known at the end.
    pub unsent: Mutex<Unsent>,
    /// Participants' messages that could not be decoded, and lossy ones beyond the bounds.
    pub data_lost: AtomicU64,
    /// Room for participants' data.
    pub inflow: Arc<Inflow>,
    /// RPC calls whose answers the application has not received.
    pub rpcs: Places,
    /// The call's core, for readers of its state; its actor runs it under this lock.
    pub rules: OnceLock<Arc<Mutex<Core>>>,
    /// Received media, for its statistics.
    pub playout: OnceLock<Arc<Playout>>,
    /// The inputs and decisions of the core.
    pub trace: Arc<Trace>,
    /// Transform every frame, in both directions.
    pub transforms: Arc<dyn Transforms>,
}

impl Shared {
    pub fn new(
        name: &str,
        mailbox: Mailbox<Notice, AudioFrame>,
        handed_over: Arc<HandedOver>,
        subscribe: bool,
        data: Bounds,
        trace: Arc<Trace>,
        transforms: Arc<dyn Transforms>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            mailbox,
            began: Instant::now(),
            status: Mutex::default(),
            changed: Condvar::new(),
            media: Arc::default(),
            receive: Arc::default(),
            handed_over,
            orders: Orders::default(),
            left: Mutex::default(),
            subscriber_closed: Arc::new(AtomicBool::new(!subscribe)),
            publisher_closed: AtomicBool::new(false),
            secrets: Arc::default(),
            outbox: Arc::default(),
            custom: Mutex::default(),
            tracks: Mutex::default(),
            audio: Arc::default(),
            unsent: Mutex::default(),
            data_lost: AtomicU64::new(0),
            inflow: Inflow::new(data),
            rpcs: Places::default(),
            rules: OnceLock::new(),
            playout: OnceLock::new(),
            trace,
            transforms,
        })
    }

    /// The parts of the call that received media needs.
    pub fn receiving(&self) -> Receiving {
        Receiving {
            began: self.began,
            media: self.media.clone(),
            totals: self.receive.clone(),
            secrets: self.secrets.clone(),
            closed: self.subscriber_closed.clone(),
            mailbox: self.mailbox.clone(),
            transforms: self.transforms.clone(),
        }
    }

    pub fn ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Reports an event. Updates the status first, so that a woken waiter finds it.
    pub fn emit(&self, event: Event) {
        self.emit_then(event, None);
    }

    /// As [`Shared::emit`]; `lift` takes effect once the application has received the event.
    pub fn emit_then(&self, mut event: Event, lift: Option<Lift>) {
        let at_ms = self.ms();
        self.secrets.event(&mut event);
        match &event {
            Event::State { state, .. } => {
                if *state == State::Joined {
                    // Before waiters wake up: from here on data may be sent.
                    let joined = &self.media.joined_ms;
                    let _ = joined.compare_exchange(0, at_ms.max(1), Ordering::Relaxed, Ordering::Relaxed);
                }
                self.status.lock().state = *state;
                self.changed.notify_all();
            }
            Event::Ended(end) => {
                let mut status = self.status.lock();
                if status.end.is_some() {
                    return;
                }
                status.state = State::Left;
                status.end = Some(end.clone());
                drop(status);
                notes::failed(self, end);
                self.close_outboxes(at_ms);
                self.changed.notify_all();
                self.mailbox.post_last(Notice::new(at_ms, event).lifting(lift));
                return;
            }
            _ => {}
        }
        self.post(Notice::new(at_ms, event).holding(&self.inflow).answering(&self.rpcs).lifting(lift));
    }

    pub(super) fn post(&self, notice: Notice) {
        let (class, weight) = (notice.class(), notice.weight());
        self.mailbox.post_weighed(notice, class, weight);
    }

    pub fn end(&self, reason: EndReason, error: Error) {
        let text = error.message.to_string();
        self.emit(Event::Ended(End { reason, error: Some(error), text }));
    }

    pub fn has_ended(&self) -> bool {
        self.status.lock().end.is_some()
    }
}
