//! `oh_subscriber`: everything this participant receives.

use super::{
    call::oh_call,
    convert::{argument, give, required, sized},
    handles::registry,
    objects::{find, owner, CallObject, SubscriberObject},
    result::{guard, oh_result},
};
use crate::core::model::{LayerQuality, Wish};
use crate::dispatch::Closing;
use crate::error::{Code, Error};
use std::ffi::c_char;
use std::sync::Arc;

/// What I receive in a call. It can be closed or freed on its own, for instance by a bot that only
/// publishes. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_subscriber {
    /// Unique in the process, for ever; 0 is none.
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

/// A layer of simulcast video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_layer {
    /// As good as the network allows.
    OH_LAYER_HIGH = 0,
    /// The one in the middle.
    OH_LAYER_MEDIUM = 1,
    /// The smallest.
    OH_LAYER_LOW = 2,
}

/// What is wanted of one remote track. Begin with OH_REMOTE_TRACK_OPTIONS_INIT or
/// oh_remote_track_options_init.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_remote_track_options {
    /// sizeof(oh_remote_track_options).
    pub size: u32,
    /// Non-zero: nothing at all.
    pub unsubscribe: u32,
    /// Non-zero: nothing for the moment; comes back faster than after unsubscribe.
    pub pause: u32,
    /// oh_layer, where no size is given.
    pub layer: i32,
    /// The size at which video is shown, in pixels; 0: not said.
    pub width: u32,
    /// As width.
    pub height: u32,
    /// Frames per second at most; 0: not said.
    pub fps: u32,
    /// Where bandwidth is short: 1 goes first; 0: the SFU decides.
    pub priority: u32,
}

const TRACK_DEFAULTS: oh_remote_track_options = oh_remote_track_options {
    size: size_of::<oh_remote_track_options>() as u32,
    unsubscribe: 0,
    pause: 0,
    layer: 0,
    width: 0,
    height: 0,
    fps: 0,
    priority: 0,
};

/// Fills in the defaults; the same as OH_REMOTE_TRACK_OPTIONS_INIT, for languages without macros.
///
/// @param options  may be NULL: then nothing happens.
///
/// # Safety
/// `options` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_remote_track_options_init(options: *mut oh_remote_track_options) {
    if !options.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { options.write(TRACK_DEFAULTS) };
    }
}

/// Says what is wanted of one remote track (OH_CAP_SUBSCRIPTIONS); asynchronous, the last wish wins, and it is
/// kept over reconnects until the track ends. Video is not received in this version, whatever is asked.
///
/// @param track_id  of OH_EVENT_TRACK_PUBLISHED.
/// @param options   NULL: the track, as good as it is.
/// @return          OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_STATE after the end; OH_ERR_FULL;
///                  OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `track_id` must be NULL or a NUL-terminated string; `options` must be NULL or point to a structure as
/// large as its `size`.
#[no_mangle]
pub unsafe extern "C" fn oh_subscriber_set_track(
    subscriber: oh_subscriber,
    track_id: *const c_char,
    options: *const oh_remote_track_options,
) -> oh_result {
    guard(|| {
        let object = find::<SubscriberObject>(subscriber.id)?;
        let owner = owner(&object.call)?;
        // SAFETY: by the caller's contract.
        let (track_id, options) = unsafe {
            (
                required(track_id, "track_id")?,
                sized(options, TRACK_DEFAULTS, size_of::<oh_remote_track_options>(), "oh_remote_track_options")?,
            )
        };
        let quality = match options.layer {
            l if l == oh_layer::OH_LAYER_HIGH as i32 => LayerQuality::High,
            l if l == oh_layer::OH_LAYER_MEDIUM as i32 => LayerQuality::Medium,
            l if l == oh_layer::OH_LAYER_LOW as i32 => LayerQuality::Low,
            _ => return Err(argument("oh_remote_track_options.layer must be one of oh_layer")),
        };
        let wish = Wish {
            subscribed: options.unsubscribe == 0,
            enabled: options.pause == 0,
            width: options.width,
            height: options.height,
            fps: options.fps,
            quality,
            priority: options.priority,
        };
        owner.call()?.wish(track_id, wish)
    })
}

/// Stops receiving for good while the call goes on. Sound that is queued is discarded. Offers of the
/// SFU for it are dropped without an error from now on, and counted (oh_call_stats.late_offers).
/// Closing twice is fine. A callback in progress on another thread is waited for: after it returns
/// no sound is handed over, unless called inside a callback of the same call. With OH_PROTOCOL_LIVEKIT data, texts and procedure
/// calls end with it, while offers are still answered, with nothing asked for: servers take that connection
/// for the participant's.
///
/// @return  OH_OK; OH_ERR_HANDLE; OH_ERR_WOULD_DEADLOCK when the callback in progress itself waits for the
///          callback that this is called in: then it is closed, but was not waited for.
#[no_mangle]
pub extern "C" fn oh_subscriber_close(subscriber: oh_subscriber) -> oh_result {
    guard(|| {
        let object = find::<SubscriberObject>(subscriber.id)?;
        let session = owner(&object.call)?.call()?.clone();
        match session.close_subscriber() {
            Closing::Deferred if !session.mailbox().in_callback_of_this() => Err(Error::new(
                Code::WouldDeadlock,
                "oh_subscriber_close: closed, but the callback in progress was not waited for: it waits for this one",
            )),
            _ => Ok(()),
        }
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
