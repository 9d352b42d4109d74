//! `oh_call_next_event`: events taken instead of pushed, for hosts that cannot be called.

use super::{
    audio::{view, AudioText},
    call::oh_call,
    convert::give,
    event::{oh_event, oh_event_data, oh_event_kind::OH_EVENT_AUDIO},
    event_view::{c_event, c_lost, frame, Texts},
    library::timeout,
    objects::{find, CallObject},
    result::{guard, oh_result},
};
use crate::dispatch::Delivery;
use crate::error::{Code, Error};
use crate::session::AudioFrame;
use parking_lot::Mutex;
use std::{collections::HashMap, os::fd::AsRawFd, sync::LazyLock};

/// A pulled event with everything that it points to.
struct Pulled {
    event: oh_event,
    _texts: Texts,
    _audio: Option<(AudioFrame, AudioText)>,
}

// SAFETY: the pointers inside lead only to what this value owns, and nothing is changed after it
// was made.
unsafe impl Send for Pulled {}

/// Pulled events that the application has not freed yet, by address: so that freeing one twice, or
/// something else, is harmless.
static PULLED: LazyLock<Mutex<HashMap<usize, Box<Pulled>>>> = LazyLock::new(Mutex::default);

/// Most events pulled and not freed.
const MAX_PULLED: usize = 65_536;

/// Takes the next event of a call in pull mode (a call joined without handlers), waiting for it.
///
/// @param call        a call without handlers.
/// @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
/// @param event       receives an event of yours, to be freed with oh_event_free.
/// @return            OH_OK; OH_ERR_EMPTY when nothing came in time; OH_ERR_CLOSED after the
///                    terminal event, or when the call was freed meanwhile; OH_ERR_STATE when the
///                    call has handlers, or another thread is pulling; OH_ERR_LIMIT when 65536
///                    events are not freed.
///
/// Any thread, one at a time.
///
/// # Safety
/// `event` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_next_event(call: oh_call, timeout_ms: u32, event: *mut *const oh_event) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let session = object.call()?.clone();
        let parts = move |track: u64| super::track::handle_of(&object, track);
        // SAFETY: by the caller's contract.
        unsafe {
            give(event, "event", || {
                if PULLED.lock().len() >= MAX_PULLED {
                    return Err(Error::new(
                        Code::Limit,
                        "oh_call_next_event: 65536 pulled events were not freed; call oh_event_free for each",
                    ));
                }
                let mut texts = Texts::default();
                let mut audio = None;
                let c = match session.mailbox().next(timeout(timeout_ms))? {
                    Delivery::Control(notice) => c_event(call, &notice, &mut texts, parts),
                    Delivery::Lost { count } => c_lost(call, count),
                    Delivery::Media(sound) => {
                        let text = AudioText::of(&sound);
                        let u = oh_event_data { audio: view(&sound, &text) };
                        audio = Some((sound, text));
                        frame(call, 0, OH_EVENT_AUDIO, u)
                    }
                };
                let pulled = Box::new(Pulled { event: c, _texts: texts, _audio: audio });
                let pointer: *const oh_event = &pulled.event;
                PULLED.lock().insert(pointer as usize, pulled);
                Ok(pointer)
            })
        }
    })
}

/// Frees an event that oh_call_next_event gave.
///
/// @param event  NULL, freed already, or not a pulled event: nothing happens.
///
/// Any thread, before or after the call was freed.
#[no_mangle]
pub extern "C" fn oh_event_free(event: *const oh_event) {
    guard(|| {
        let pulled = PULLED.lock().remove(&(event as usize));
        drop(pulled);
        Ok(())
    });
}

/// A descriptor that polls readable while oh_call_next_event has something to give, for poll, epoll
/// or kqueue. It belongs to the library: do not read, write or close it; it ends with oh_call_free.
///
/// @param call  a call without handlers.
/// @param fd    receives the descriptor.
/// @return      OH_OK; OH_ERR_STATE when the call has handlers; OH_ERR_LIMIT without descriptors.
///
/// # Safety
/// `fd` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_wake_fd(call: oh_call, fd: *mut i32) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let session = object.call()?;
        // SAFETY: by the caller's contract.
        unsafe { give(fd, "fd", || session.mailbox().wake_descriptor().map(|d| d.as_raw_fd())) }
    })
}
