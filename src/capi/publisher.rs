//! `oh_publisher`: everything this participant sends.

use super::{
    call::oh_call,
    convert::give,
    handles::registry,
    objects::{find, owner, CallObject, PublisherObject},
    result::{guard, oh_result},
};
use std::sync::Arc;

/// What the local participant sends in a call; its tracks are oh_track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_publisher {
    /// Never used twice; 0: none.
    pub id: u64,
}

/// Gets the publisher of a call. Every call has one; the same handle each time.
///
/// @param publisher  receives the handle; freed with the call at the latest.
/// @return           OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_LIMIT.
///
/// Any thread.
///
/// # Safety
/// `publisher` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_publisher(call: oh_call, publisher: *mut oh_publisher) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        object.call()?;
        // SAFETY: by the caller's contract.
        unsafe {
            give(publisher, "publisher", || {
                let mut parts = object.parts.lock();
                if let Some(id) = object.publisher.get() {
                    return Ok(oh_publisher { id: *id });
                }
                let id = registry().insert(Arc::new(PublisherObject { call: Arc::downgrade(&object) }))?;
                parts.push(id);
                let _ = object.publisher.set(id);
                Ok(oh_publisher { id })
            })
        }
    })
}

/// Stops sending at once and for good while the call goes on; its tracks are over. Audio and data that were accepted and
/// not sent yet are discarded, and counted by OH_EVENT_UNSENT: call oh_track_wait_drained first, or free the tracks.
/// Closing twice is fine.
///
/// @return  OH_OK; OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
#[no_mangle]
pub extern "C" fn oh_publisher_close(publisher: oh_publisher) -> oh_result {
    guard(|| {
        let object = find::<PublisherObject>(publisher.id)?;
        owner(&object.call)?.call()?.close_publisher();
        Ok(())
    })
}

/// Closes the publisher and frees its handle; the call goes on.
///
/// @param publisher  none or stale: nothing happens.
///
/// Any thread, callbacks included.
#[no_mangle]
pub extern "C" fn oh_publisher_free(publisher: oh_publisher) {
    guard(|| {
        if let Ok(object) = registry().remove::<PublisherObject>(publisher.id) {
            if let Ok(call) = owner(&object.call) {
                call.call()?.close_publisher();
            }
        }
        Ok(())
    });
}
