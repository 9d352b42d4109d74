//! Data between participants: packets, texts, procedure calls.

use super::{
    basic::oh_bool,
    call::oh_call,
    convert::{argument, give, optional, required},
    objects::{find, CallObject},
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::core::model::{rpc_codes, Attributes, Capabilities, DataBody, DataOut, Delivery, RpcFailure};
use crate::error::Result;
use bytes::Bytes;
use std::ffi::{c_char, c_void};
use std::time::Duration;

/// Largest packet, in bytes: what fits into one message of a data channel.
const MAX_PACKET: usize = 60_000;
/// Longest text, in bytes.
const MAX_TEXT: usize = 1 << 20;
/// Longest payload of a procedure call, each way.
const MAX_RPC: usize = crate::core::model::MAX_RPC_PAYLOAD;
/// Most receivers that are named.
const MAX_TO: usize = 256;

/// To whom data or a text is sent, and how. Begin with OH_INIT(oh_data_options). All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_data_options {
    /// sizeof(oh_data_options).
    pub size: usize,
    /// A topic, at most 1024 bytes, for the application's own use; NULL: "".
    pub topic: *const c_char,
    /// `to_count` user ids; NULL: everybody in the call.
    pub to: *const *const c_char,
    /// Number of user ids at to, at most 256.
    pub to_count: usize,
    /// Send each packet once, without repeating lost ones. Otherwise packets arrive, in order; what is
    /// in transit when a new session replaces the old one (OH_RECONNECT_REJOIN) can be lost. Ignored for texts.
    pub lossy: oh_bool,
    /// Zero.
    pub reserved: u32,
}

/// Which procedure to call, of which participant. Begin with OH_INIT(oh_rpc_options). All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_rpc_options {
    /// sizeof(oh_rpc_options).
    pub size: usize,
    /// The user id of the participant. Required.
    pub to: *const c_char,
    /// The name of the procedure. Required.
    pub method: *const c_char,
    /// The payload, at most 15360 bytes; NULL: "".
    pub payload: *const c_char,
    /// How long to wait for the answer, in ms, 1000 to 600000; 0: 15000.
    pub timeout_ms: u32,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_data_options to reserved, oh_rpc_options to reserved);

/// Topic, receivers and delivery.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid texts.
unsafe fn address(options: *const oh_data_options) -> Result<(String, Vec<String>, Delivery)> {
    // SAFETY: by the caller's contract, here and below.
    let options = unsafe { read(options)? };
    let topic = unsafe { optional(options.topic, "oh_data_options.topic")? }.unwrap_or_default();
    if topic.len() > 1_024 {
        return Err(argument("oh_data_options.topic is longer than 1024 bytes"));
    }
    let count = options.to_count;
    if count > MAX_TO {
        return Err(argument(format!("oh_data_options.to_count is more than {MAX_TO}")));
    }
    if count > 0 && options.to.is_null() {
        return Err(argument("oh_data_options.to must not be NULL when to_count is not 0"));
    }
    let mut to = Vec::with_capacity(count);
    for index in 0..count {
        // SAFETY: `to_count` pointers are readable by the caller's contract, each to a text.
        to.push(unsafe { required(options.to.add(index).read_unaligned(), "oh_data_options.to")? });
    }
    let delivery = if options.lossy != 0 { Delivery::Lossy } else { Delivery::Reliable };
    Ok((topic, to, delivery))
}

/// Sends a packet to other participants (OH_CAP_DATA). Returns at once; packets of one delivery are sent in order. They
/// wait while the call reconnects.
///
/// @param options    NULL: reliable, to everybody, without a topic.
/// @param data       `data_size` bytes; may be NULL when data_size is 0.
/// @param data_size  at most 60000, and with topic and twice the ids in `to` less than 65536; 15000 is a good size, because
///                   larger packets delay those that follow.
/// @return           OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_DATA; OH_ERR_STATE
///                   before the join and after the end; OH_ERR_FULL when 1 MiB waits to be sent; OH_ERR_CLOSED when the
///                   publisher was closed; OH_ERR_HANDLE; OH_ERR_ABI.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `options` as its own documentation says; `data` must point to `data_size` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn oh_call_send_data(
    call: oh_call,
    options: *const oh_data_options,
    data: *const c_void,
    data_size: usize,
) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let (topic, to, delivery) = unsafe { address(options)? };
        if data_size > MAX_PACKET {
            return Err(argument(format!("oh_call_send_data: {data_size} bytes; {MAX_PACKET} is the limit")));
        }
        if data.is_null() && data_size > 0 {
            return Err(argument("oh_call_send_data: data must not be NULL when data_size is not 0"));
        }
        let payload = match data_size {
            0 => Bytes::new(),
            // SAFETY: `data_size` bytes are readable by the caller's contract.
            _ => Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), data_size) }),
        };
        let message = DataOut { to, delivery, body: DataBody::Packet { topic, payload } };
        session.send_data(message, Capabilities::DATA, "oh_call_send_data")
    })
}

/// Sends a text to other participants (OH_CAP_TEXT). It arrives complete, as OH_EVENT_TEXT.
///
/// @param options  as for oh_call_send_data; `lossy` is ignored.
/// @param text     at most 1048576 bytes.
/// @return         as oh_call_send_data.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `options` as its own documentation says; `text` must be NULL or a NUL-terminated string.
#[no_mangle]
pub unsafe extern "C" fn oh_call_send_text(
    call: oh_call,
    options: *const oh_data_options,
    text: *const c_char,
) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let (topic, to, _) = unsafe { address(options)? };
        let text = unsafe { long_text(text, MAX_TEXT, "oh_call_send_text: text")? };
        let attributes = Attributes::default();
        let body = DataBody::Text { id: session.text_id(), topic, text, attributes };
        let message = DataOut { to, delivery: Delivery::Reliable, body };
        session.send_data(message, Capabilities::TEXT, "oh_call_send_text")
    })
}

/// Text that may be empty, but not NULL.
///
/// # Safety
/// `text` must be NULL or a NUL-terminated string.
unsafe fn long_text(text: *const c_char, most: usize, what: &str) -> Result<String> {
    if text.is_null() {
        return Err(argument(format!("{what} must not be NULL")));
    }
    // SAFETY: by the caller's contract.
    let bytes = unsafe { std::ffi::CStr::from_ptr(text) }.to_bytes();
    if bytes.len() > most {
        return Err(argument(format!("{what}: {} bytes; {most} is the limit", bytes.len())));
    }
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| argument(format!("{what} is not UTF-8")))
}

/// Why a procedure call failed, as detected by clients. Applications use codes of their own from 1 to 999 and from 2000 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_rpc_error {
    /// The participant has no such procedure.
    OH_RPC_UNSUPPORTED_METHOD = 1400,
    /// No participant with this user id is in the call, and nobody acknowledged the request within 2 s.
    OH_RPC_RECIPIENT_NOT_FOUND = 1401,
    /// The payload is too long for the participant.
    OH_RPC_REQUEST_TOO_LARGE = 1402,
    /// The participant uses another version of procedure calls.
    OH_RPC_UNSUPPORTED_VERSION = 1404,
    /// The procedure failed.
    OH_RPC_APPLICATION = 1500,
    /// The participant did not acknowledge the request within 7 s.
    OH_RPC_CONNECTION_TIMEOUT = 1501,
    /// No answer within timeout_ms. The request may still arrive, and the procedure run.
    OH_RPC_RESPONSE_TIMEOUT = 1502,
    /// The participant left.
    OH_RPC_RECIPIENT_DISCONNECTED = 1503,
    /// The answer was too long.
    OH_RPC_RESPONSE_TOO_LARGE = 1504,
    /// Not sent (too many requests are in progress, the publisher or the subscriber is closed, a right is missing), or the
    /// call ended before the answer: then the procedure may have run.
    OH_RPC_SEND_FAILED = 1505,
}

/// Calls a procedure of another participant (OH_CAP_RPC). Returns at once; OH_EVENT_RPC_RESPONSE with the same rpc_id is
/// the result, exactly once.
///
/// @param options  `to` and `method` are required.
/// @param rpc_id   receives the id of this procedure call; may be NULL.
/// @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_DATA; OH_ERR_STATE after
///                 the end; OH_ERR_FULL; OH_ERR_HANDLE; OH_ERR_ABI.
///
/// Any thread, callbacks included. The response may come before this function has returned.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid texts; `rpc_id` must be
/// NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_perform_rpc(
    call: oh_call,
    options: *const oh_rpc_options,
    rpc_id: *mut u64,
) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        if options.is_null() {
            return Err(argument("oh_call_perform_rpc: options must not be NULL; to and method are required"));
        }
        // SAFETY: by the caller's contract, here and below.
        let options = unsafe { read(options)? };
        let (to, method) =
            unsafe { (required(options.to, "oh_rpc_options.to")?, required(options.method, "oh_rpc_options.method")?) };
        let payload = match options.payload.is_null() {
            true => String::new(),
            false => unsafe { long_text(options.payload, MAX_RPC, "oh_rpc_options.payload")? },
        };
        let timeout = match options.timeout_ms {
            0 => 15_000,
            ms @ 1_000..=600_000 => ms,
            _ => return Err(argument("oh_rpc_options.timeout_ms must be 0 or 1000 to 600000")),
        };
        let number = session.call_rpc(to, method, payload, Duration::from_millis(u64::from(timeout)))?;
        if !rpc_id.is_null() {
            // SAFETY: writable by the caller's contract.
            unsafe { give(rpc_id, "rpc_id", || Ok(number))? };
        }
        Ok(())
    })
}

/// Answers OH_EVENT_RPC_REQUEST, inside the callback or later. A second answer, or one after the caller's timeout and 7 s
/// more, is dropped and counted (oh_call_stats.late_messages).
///
/// @param request_id  of the event.
/// @param payload     the answer, at most 15360 bytes; for a failure, data about it; NULL: "". A longer one, or one that
///                    is not UTF-8, is OH_ERR_ARGUMENT, and the caller gets OH_RPC_RESPONSE_TOO_LARGE at once.
/// @param error_code  0: success; else an oh_rpc_error, or a code of your own.
/// @param error_text  why it failed, cut to 256 bytes; may be NULL.
/// @return            OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_DATA; OH_ERR_STATE
///                    after the end; OH_ERR_FULL; OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
///
/// # Safety
/// The texts must be NULL or NUL-terminated strings.
#[no_mangle]
pub unsafe extern "C" fn oh_call_answer_rpc(
    call: oh_call,
    request_id: *const c_char,
    payload: *const c_char,
    error_code: u32,
    error_text: *const c_char,
) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let (id, error_text) = unsafe { (required(request_id, "request_id")?, optional(error_text, "error_text")?) };
        let payload = match payload.is_null() {
            true => String::new(),
            // SAFETY: by the caller's contract.
            false => match unsafe { long_text(payload, MAX_RPC, "oh_call_answer_rpc: payload") } {
                Ok(payload) => payload,
                Err(error) => {
                    // Its caller need not wait for another one. Sent or not, the argument is what is wrong.
                    let (code, data) = (rpc_codes::RESPONSE_TOO_LARGE, String::new());
                    let message = "the answer cannot be sent: it is too long, or no text".to_owned();
                    drop(session.answer_rpc(id, Err(RpcFailure { code, message, data })));
                    return Err(error);
                }
            },
        };
        let answer = match error_code {
            0 => Ok(payload),
            code => {
                let mut message = error_text.unwrap_or_default();
                let cut = (0..=message.len().min(256)).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
                message.truncate(cut);
                Err(RpcFailure { code, message, data: payload })
            }
        };
        session.answer_rpc(id, answer)
    })
}
