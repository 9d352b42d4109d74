//! `oh_call_wait_event`: events that are pulled, for hosts that cannot be called on foreign threads.

use super::{
    audio::view,
    call::oh_call,
    convert::give,
    event::{oh_event, oh_event_kind::OH_EVENT_AUDIO, oh_event_payload},
    event_view::{c_event, c_lost, frame},
    library::timeout,
    objects::{find, CallObject},
    pulled::{Behind, Pulled},
    result::{guard, oh_result},
};
use crate::dispatch::Delivery;
use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use std::os::fd::AsRawFd;

/// Made with the first event that is pulled.
static PULLED: Mutex<Option<Pulled>> = Mutex::new(None);

fn see_to_room() -> Result<()> {
    let mut pulled = PULLED.lock();
    let pulled = match &mut *pulled {
        Some(pulled) => pulled,
        none => none.insert(Pulled::new()?),
    };
    if pulled.is_full() {
        let text = "oh_call_wait_event: 65536 pulled events were not freed; call oh_event_free for each";
        return Err(Error::new(Code::Limit, text));
    }
    Ok(())
}

/// Takes the next event of a call in pull mode (a call joined without handlers), waiting for it.
///
/// @param call        a call without handlers.
/// @param timeout_ms  how long to wait; 0: not at all; OH_FOREVER.
/// @param event       receives the event; free it with oh_event_free.
/// @return            OH_OK; OH_ERR_EMPTY when there was none in time; OH_ERR_CLOSED after the last event, or when
///                    the call was freed meanwhile; OH_ERR_STATE when the call has handlers, or another thread is
///                    waiting; OH_ERR_LIMIT when 65536 events are not freed; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread, one at a time.
///
/// # Safety
/// `event` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_wait_event(call: oh_call, timeout_ms: u32, event: *mut *const oh_event) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let session = object.call()?.clone();
        let parts = move |track: u64| super::track::handle_of(&object, track);
        // SAFETY: by the caller's contract.
        unsafe {
            give(event, "event", || {
                see_to_room()?;
                let mut behind = Behind::default();
                let c = match session.mailbox().next(timeout(timeout_ms))? {
                    Delivery::Control(notice) => {
                        let c = c_event(call, &notice, &mut behind.kept, parts);
                        behind.notice = Some(notice);
                        c
                    }
                    Delivery::Lost { count, data } => c_lost(call, count, data, &mut behind.kept),
                    Delivery::Media(audio) => {
                        let u = oh_event_payload { audio: behind.kept.value(view(&audio)) };
                        behind.audio = Some(audio);
                        frame(call, 0, OH_EVENT_AUDIO, u)
                    }
                };
                // Others may have pulled meanwhile; one more for each of them does no harm.
                match &mut *PULLED.lock() {
                    Some(pulled) => Ok(pulled.put(c, behind)),
                    None => Err(Error::new(Code::Internal, "pulled events vanished")),
                }
            })
        }
    })
}

/// Frees an event of oh_call_wait_event.
///
/// @param event  NULL, freed already, or not a pulled event: nothing happens. The address of a freed event is not used
///               for another one before 65536 more were pulled, so that freeing it twice frees no other event.
///
/// Any thread, before or after the call was freed.
#[no_mangle]
pub extern "C" fn oh_event_free(event: *const oh_event) {
    guard(|| {
        let behind = PULLED.lock().as_mut().and_then(|pulled| pulled.take(event));
        // What it drops may be the last of a call: not under the lock.
        drop(behind);
        Ok(())
    });
}

/// Gets a descriptor that polls readable while oh_call_wait_event has an event, or OH_ERR_CLOSED to return, for poll, epoll or kqueue. The
/// library owns it: do not read, write or close it; it is closed after oh_call_free: stop
/// polling it before.
///
/// @param call  a call without handlers.
/// @param fd    receives the descriptor.
/// @return      OH_OK; OH_ERR_STATE when the call has handlers; OH_ERR_LIMIT when the system has no descriptor left;
///              OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread.
///
/// # Safety
/// `fd` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_wake_fd(call: oh_call, fd: *mut i32) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let session = object.call()?;
        // SAFETY: by the caller's contract.
        unsafe { give(fd, "fd", || session.mailbox().wake_descriptor().map(|d| d.as_raw_fd())) }
    })
}
