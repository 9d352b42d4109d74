//! `oh_subscriber`: everything this participant receives.

use super::{
    call::oh_call,
    convert::give,
    handles::registry,
    objects::{find, owner, CallObject, SubscriberObject},
    result::{guard, oh_result},
};
use std::sync::Arc;

/// What I receive in a call. It can be closed or freed on its own, for instance by a bot that only
/// publishes. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_subscriber {
    pub id: u64,
}

/// The subscriber of a call; the same handle each time, also when it is closed, until it is freed:
/// then OH_ERR_HANDLE from the handle, while this function still gives the (stale) handle.
///
/// @param subscriber  receives the handle; freed with the call at the latest.
/// @return           OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// # Safety
/// `subscriber` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_subscriber(call: oh_call, subscriber: *mut oh_subscriber) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        object.call()?;
        // SAFETY: by the caller's contract.
        unsafe {
            give(subscriber, "subscriber", || {
                let mut parts = object.parts.lock();
                if let Some(id) = object.subscriber.get() {
                    return Ok(oh_subscriber { id: *id });
                }
                let id = registry().insert(Arc::new(SubscriberObject { call: Arc::downgrade(&object) }))?;
                parts.push(id);
                let _ = object.subscriber.set(id);
                Ok(oh_subscriber { id })
            })
        }
    })
}

/// Stops receiving for good while the call goes on. Sound that is queued is discarded. Offers of the
/// SFU for it are dropped without an error from now on, and counted (oh_call_stats.late_offers).
/// Closing twice is fine. A callback in progress on another thread is waited for: after it returns
/// no sound is handed over, unless called inside a callback.
///
/// @return  OH_OK; OH_ERR_HANDLE.
#[no_mangle]
pub extern "C" fn oh_subscriber_close(subscriber: oh_subscriber) -> oh_result {
    guard(|| {
        let object = find::<SubscriberObject>(subscriber.id)?;
        owner(&object.call)?.call()?.close_subscriber();
        Ok(())
    })
}

/// Closes the subscriber and frees its handle; the call goes on.
///
/// @param subscriber  none or stale: nothing happens.
#[no_mangle]
pub extern "C" fn oh_subscriber_free(subscriber: oh_subscriber) {
    guard(|| {
        if let Ok(object) = registry().remove::<SubscriberObject>(subscriber.id) {
            if let Ok(call) = owner(&object.call) {
                call.call()?.close_subscriber();
            }
        }
        Ok(())
    });
}
