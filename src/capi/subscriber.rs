//! `oh_subscriber`: everything this participant receives.

use super::{
    basic::oh_bool,
    call::oh_call,
    convert::{argument, give, required},
    handles::registry,
    objects::{find, owner, CallObject, SubscriberObject},
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::core::model::{LayerQuality, SubscriptionSettings};
use crate::dispatch::Closing;
use crate::error::{Code, Error};
use std::ffi::c_char;
use std::sync::Arc;

/// What the local participant receives in a call. It can be closed or freed on its own, for instance by a bot that only
/// publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct oh_subscriber {
    /// Never used twice; 0: none.
    pub id: u64,
}

/// Gets the subscriber of a call; the same handle each time, also after it was closed or freed (then it is stale).
///
/// @param subscriber  receives the handle; freed with the call at the latest.
/// @return            OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT; OH_ERR_LIMIT.
///
/// Any thread.
///
/// # Safety
/// `subscriber` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_subscriber(call: oh_call, subscriber: *mut oh_subscriber) -> oh_result {
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
pub enum oh_video_layer {
    /// The best that the network allows.
    OH_LAYER_HIGH = 0,
    /// The middle one.
    OH_LAYER_MEDIUM = 1,
    /// The smallest one.
    OH_LAYER_LOW = 2,
}
pub type oh_video_layer_t = i32;

/// Subscription settings of a remote track. Begin with OH_INIT(oh_remote_track_options).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_remote_track_options {
    /// sizeof(oh_remote_track_options).
    pub size: usize,
    /// Do not receive the track.
    pub unsubscribe: oh_bool,
    /// Receive nothing for the moment; continues faster than after unsubscribe.
    pub pause: oh_bool,
    /// Video: the layer, when neither width nor height is set.
    pub layer: oh_video_layer_t,
    /// Video: width at which it is shown, in pixels; 0: not set.
    pub width: u32,
    /// Video: height at which it is shown, in pixels; 0: not set.
    pub height: u32,
    /// Video: frames per second at most; 0: no limit.
    pub max_fps: u32,
    /// When bandwidth is short: 1 is served first; 0: the SFU decides.
    pub priority: u32,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_remote_track_options to reserved);

/// Sets the subscription of a remote track (OH_CAP_SUBSCRIPTIONS). Asynchronous; the last call wins, and it is kept over
/// reconnects until the track ends. Video is not received in this version, whatever is set.
///
/// @param track_id  of oh_track_info.
/// @param options   NULL: receive it, as well as the network allows.
/// @return          OH_OK, and OH_EVENT_ERROR when it fails later (OH_ERR_LIMIT beyond 1024 tracks); OH_ERR_ARGUMENT;
///                  OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_SUBSCRIBE; OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE; OH_ERR_ABI.
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
        let (track_id, options) = unsafe { (required(track_id, "track_id")?, read(options)?) };
        let quality = match options.layer {
            l if l == oh_video_layer::OH_LAYER_HIGH as i32 => LayerQuality::High,
            l if l == oh_video_layer::OH_LAYER_MEDIUM as i32 => LayerQuality::Medium,
            l if l == oh_video_layer::OH_LAYER_LOW as i32 => LayerQuality::Low,
            _ => return Err(argument("oh_remote_track_options.layer must be one of oh_video_layer")),
        };
        let settings = SubscriptionSettings {
            subscribed: options.unsubscribe == 0,
            enabled: options.pause == 0,
            width: options.width,
            height: options.height,
            fps: options.max_fps,
            quality,
            priority: options.priority,
        };
        owner.call()?.set_subscription(track_id, settings)
    })
}

/// Stops receiving for good while the call goes on. Audio that waits is discarded. Later offers of the SFU are dropped
/// without an error and counted (oh_call_stats.late_offers). Closing twice is fine. Waits for a callback in progress on
/// another thread: when it returns, no more audio is delivered, unless it was called inside a callback of the same call.
/// With OH_PROTOCOL_LIVEKIT data, texts and procedure calls end as well, while offers are still answered, without
/// subscribing to anything: servers take that connection for the participant's.
///
/// @return  OH_OK; OH_ERR_HANDLE; OH_ERR_WOULD_DEADLOCK when the callback in progress waits for the callback that this is
///          called in: then it is closed, but was not waited for.
///
/// Any thread, callbacks included.
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
///
/// Any thread, callbacks included. Waits as oh_subscriber_close.
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
