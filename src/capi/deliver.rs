//! From a call's mailbox into the application's functions: events and audio, the last word of a call whose
//! delivery failed, and `destroy`. Must not know: what the events mean.

use super::{
    audio::view,
    call::{oh_call, oh_call_handlers},
    event_view::{c_event, c_lost, Kept},
    library::UserData,
    objects::CallObject,
    track::handle_of,
};
use crate::core::Event;
use crate::dispatch::{self, Delivery, Handler, Limits, Mailbox};
use crate::inject::Mark;
use crate::session::{AudioFrame, HandedOver, Notice};
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc, Weak,
};

/// Where the call's events and audio go.
pub(super) fn mailbox(
    call: oh_call,
    object: &Arc<CallObject>,
    handlers: oh_call_handlers,
    limits: Limits,
    started: Arc<AtomicBool>,
    handed_over: Arc<HandedOver>,
) -> Mailbox<Notice, AudioFrame> {
    if handlers.on_event.is_none() && handlers.on_audio.is_none() {
        // Who pulls knows what was pulled.
        handed_over.mark();
        return Mailbox::pulled(dispatch::pool(), limits);
    }
    let over = Arc::new(AtomicBool::new(false));
    let (object, mark) = (Arc::downgrade(object), Mark::of_thread());
    let last_word = LastWord { call, object: object.clone(), handlers, over: over.clone() };
    let mut receiver = Receiver { call, object, handlers, over: over.clone(), mark };
    let user = UserData { pointer: handlers.user_data, destroy: handlers.destroy };
    let handler = Handler::new(move |delivery| receiver.deliver(delivery))
        .destroy(move || {
            over.store(true, Ordering::Release);
            // A join that failed leaves user_data to the caller.
            if started.load(Ordering::Acquire) {
                user.release();
            }
            handed_over.mark();
        })
        .on_panic(move |text| last_word.say(&text));
    Mailbox::with_handler(dispatch::pool(), limits, handler)
}

struct Receiver {
    call: oh_call,
    object: Weak<CallObject>,
    handlers: oh_call_handlers,
    /// The terminal event was given, or `destroy` has begun.
    over: Arc<AtomicBool>,
    mark: Mark,
}

// SAFETY: the handlers are callable from any thread by the header's contract, one at a time; the
// user_data pointer is only handed back.
unsafe impl Send for Receiver {}

impl Receiver {
    fn deliver(&mut self, delivery: Delivery<Notice, AudioFrame>) {
        self.mark.reached("callback");
        match delivery {
            Delivery::Media(frame) => self.audio(&frame),
            Delivery::Control(notice) => {
                let Some(on_event) = self.handlers.on_event else { return };
                let mut kept = Kept::default();
                let object = self.object.upgrade();
                let track = |id| object.as_ref().map_or(super::track::oh_track { id: 0 }, |o| handle_of(o, id));
                let event = c_event(self.call, &notice, &mut kept, track);
                // Not held during the callback: the application may free the call in it.
                drop(object);
                if matches!(notice.event, Event::Ended(_)) {
                    self.over.store(true, Ordering::Release);
                }
                // SAFETY: the application's function; the event and what it points to live until it returns.
                unsafe { on_event(self.handlers.user_data, self.call, &event) };
            }
            Delivery::Lost { count, data } => {
                let Some(on_event) = self.handlers.on_event else { return };
                let mut kept = Kept::default();
                let event = c_lost(self.call, count, data, &mut kept);
                // SAFETY: as above.
                unsafe { on_event(self.handlers.user_data, self.call, &event) };
            }
        }
    }

    fn audio(&mut self, frame: &AudioFrame) {
        let Some(on_audio) = self.handlers.on_audio else { return };
        let audio = view(frame);
        // SAFETY: the application's function; the frame, with the names, lives until it returns.
        unsafe { on_audio(self.handlers.user_data, self.call, &audio) };
    }
}

/// What a call still says when its delivery has failed inside: that it is over.
struct LastWord {
    call: oh_call,
    object: Weak<CallObject>,
    handlers: oh_call_handlers,
    over: Arc<AtomicBool>,
}

// SAFETY: as for the receiver, whose place it takes.
unsafe impl Send for LastWord {}

impl LastWord {
    fn say(self, text: &str) {
        let object = self.object.upgrade();
        let session = object.as_ref().and_then(|object| object.call.get().cloned());
        drop(object);
        let Some(session) = session else { return };
        let at_ms = session.fail(text);
        let (Some(on_event), Some(end)) = (self.handlers.on_event, session.end()) else { return };
        drop(session);
        if self.over.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut kept = Kept::default();
        let notice = Notice::new(at_ms, Event::Ended(end));
        let event = c_event(self.call, &notice, &mut kept, |_| super::track::oh_track { id: 0 });
        // SAFETY: the application's function, in place of the callback that failed; destroy comes later.
        unsafe { on_event(self.handlers.user_data, self.call, &event) };
    }
}
