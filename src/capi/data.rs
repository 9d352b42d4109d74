//! Data between participants: packets, texts, procedure calls.

use super::{
    call::oh_call,
    convert::{argument, give, optional, required, sized},
    objects::{find, CallObject},
    result::{guard, oh_result},
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

/// To whom, and how. Begin with OH_DATA_OPTIONS_INIT or oh_data_options_init. All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_data_options {
    /// sizeof(oh_data_options).
    pub size: u32,
    /// Non-zero: sent once, and what is lost is lost; else every one arrives, in order. Texts always do.
    pub lossy: u32,
    /// What it is about, for the application's own use; NULL: "".
    pub topic: *const c_char,
    /// `to_count` user ids; NULL: everybody in the call.
    pub to: *const *const c_char,
    /// How many user ids are at `to`.
    pub to_count: u32,
    /// Zero.
    pub reserved: u32,
}

const DEFAULTS: oh_data_options = oh_data_options {
    size: size_of::<oh_data_options>() as u32,
    lossy: 0,
    topic: std::ptr::null(),
    to: std::ptr::null(),
    to_count: 0,
    reserved: 0,
};

/// Fills in the defaults; the same as OH_DATA_OPTIONS_INIT, for languages without macros.
///
/// @param options  may be NULL: then nothing happens.
///
/// # Safety
/// `options` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_data_options_init(options: *mut oh_data_options) {
    if !options.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { options.write(DEFAULTS) };
    }
}

/// Topic, receivers and delivery.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid texts.
unsafe fn address(options: *const oh_data_options) -> Result<(String, Vec<String>, Delivery)> {
    // SAFETY: by the caller's contract, here and below.
    let options = unsafe { sized(options, DEFAULTS, size_of::<oh_data_options>(), "oh_data_options")? };
    let topic = unsafe { optional(options.topic, "oh_data_options.topic")? }.unwrap_or_default();
    if topic.len() > 1_024 {
        return Err(argument("oh_data_options.topic is longer than 1024 bytes"));
    }
    let count = options.to_count as usize;
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

/// Sends a packet to other participants (OH_CAP_DATA). Returns at once; packets of one delivery are sent in
/// order. They wait while the connection is being made anew.
///
/// @param options  NULL: reliable, to everybody, without a topic.
/// @param data     `size` bytes; may be NULL when size is 0.
/// @param size     60000 at most; 15000 is a good size, for what is larger holds up what follows it.
/// @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without the right to send data (see
///                 OH_EVENT_GRANTS); OH_ERR_STATE before the join and after the end; OH_ERR_FULL when 1 MiB waits to be sent: try again later; OH_ERR_CLOSED when the
///                 publisher was closed; OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
///
/// # Safety
/// `options` as its own documentation says; `data` must point to `size` readable bytes.
#[no_mangle]
pub unsafe extern "C" fn oh_call_send_data(
    call: oh_call,
    options: *const oh_data_options,
    data: *const c_void,
    size: usize,
) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let (topic, to, delivery) = unsafe { address(options)? };
        if size > MAX_PACKET {
            return Err(argument(format!("oh_call_send_data: {size} bytes; {MAX_PACKET} are allowed")));
        }
        if data.is_null() && size > 0 {
            return Err(argument("oh_call_send_data: data must not be NULL when size is not 0"));
        }
        let payload = match size {
            0 => Bytes::new(),
            // SAFETY: `size` bytes are readable by the caller's contract.
            _ => Bytes::copy_from_slice(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size) }),
        };
        let message = DataOut { to, delivery, body: DataBody::Packet { topic, payload } };
        session.send_data(message, Capabilities::DATA, "oh_call_send_data")
    })
}

/// Sends a text of any length to other participants (OH_CAP_TEXT); it arrives whole, as OH_EVENT_TEXT.
///
/// @param options  as for oh_call_send_data; `lossy` is not looked at.
/// @param text     1048576 bytes at most.
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
        return Err(argument(format!("{what}: {} bytes; {most} are allowed", bytes.len())));
    }
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| argument(format!("{what} is not UTF-8")))
}

/// Why a procedure call failed, as far as clients themselves find out; applications add codes of their own
/// from 1 to 999 and from 2000 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum oh_rpc_error {
    /// The other participant has no such procedure.
    OH_RPC_UNSUPPORTED_METHOD = 1400,
    /// No participant of this name is in the call, and nobody confirmed the request within 2 s.
    OH_RPC_RECIPIENT_NOT_FOUND = 1401,
    /// The payload is too long for the other side.
    OH_RPC_REQUEST_TOO_LARGE = 1402,
    /// The other side speaks another version of procedure calls.
    OH_RPC_UNSUPPORTED_VERSION = 1404,
    /// The procedure failed.
    OH_RPC_APPLICATION = 1500,
    /// The other participant did not confirm the request within 7 s: it is not here, or does not hear.
    OH_RPC_CONNECTION_TIMEOUT = 1501,
    /// It has the request, and did not answer in time.
    OH_RPC_RESPONSE_TIMEOUT = 1502,
    /// It left.
    OH_RPC_RECIPIENT_DISCONNECTED = 1503,
    /// Its answer was too long.
    OH_RPC_RESPONSE_TOO_LARGE = 1504,
    /// The request was not sent: the call has ended, or too many are under way.
    OH_RPC_SEND_FAILED = 1505,
}

/// Which procedure of whom. Begin with OH_RPC_OPTIONS_INIT or oh_rpc_options_init. All text is copied.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_rpc_options {
    /// sizeof(oh_rpc_options).
    pub size: u32,
    /// How long to wait for the answer in ms, 1000 to 600000; 0: 15000.
    pub timeout_ms: u32,
    /// The user id of the participant. Required.
    pub to: *const c_char,
    /// The procedure's name. Required.
    pub method: *const c_char,
    /// Handed over, 15360 bytes at most; NULL: "".
    pub payload: *const c_char,
}

const RPC_DEFAULTS: oh_rpc_options = oh_rpc_options {
    size: size_of::<oh_rpc_options>() as u32,
    timeout_ms: 0,
    to: std::ptr::null(),
    method: std::ptr::null(),
    payload: std::ptr::null(),
};

/// Fills in the defaults; the same as OH_RPC_OPTIONS_INIT, for languages without macros.
///
/// @param options  may be NULL: then nothing happens.
///
/// # Safety
/// `options` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_rpc_options_init(options: *mut oh_rpc_options) {
    if !options.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { options.write(RPC_DEFAULTS) };
    }
}

/// Calls a procedure of another participant (OH_CAP_RPC). Returns at once; OH_EVENT_RPC_RESPONSE with the
/// same number tells what became of it, exactly once.
///
/// @param options  `to` and `method` are required.
/// @param id       receives the number; may be NULL.
/// @return         OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without the right to send data;
///                 OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE.
///
/// Any thread, callbacks included. The response may come before this function has returned.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid texts; `id` must be
/// NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_rpc(call: oh_call, options: *const oh_rpc_options, id: *mut u64) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        if options.is_null() {
            return Err(argument("oh_call_rpc: options must not be NULL; to and method are required"));
        }
        // SAFETY: by the caller's contract, here and below.
        let options = unsafe { sized(options, RPC_DEFAULTS, size_of::<oh_rpc_options>(), "oh_rpc_options")? };
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
        if !id.is_null() {
            // SAFETY: writable by the caller's contract.
            unsafe { give(id, "id", || Ok(number))? };
        }
        Ok(())
    })
}

/// Answers OH_EVENT_RPC_REQUEST, inside the callback or later. An answer that comes twice, or when nobody can wait
/// for it any more (7 s after the time that the event tells), is dropped and counted.
///
/// @param request_id  of the event.
/// @param payload     the answer, 15360 bytes at most; of a failure data about it; NULL: "". What is longer, or not
///                    UTF-8, is OH_ERR_ARGUMENT, and the caller hears OH_RPC_RESPONSE_TOO_LARGE at once.
/// @param error_code  0: it went well; else an oh_rpc_error, or a code of your own.
/// @param error_text  why it failed, cut to 256 bytes; may be NULL.
/// @return            OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without the right to send data;
///                    OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
///
/// # Safety
/// The texts must be NULL or NUL-terminated strings.
#[no_mangle]
pub unsafe extern "C" fn oh_call_rpc_answer(
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
            false => match unsafe { long_text(payload, MAX_RPC, "oh_call_rpc_answer: payload") } {
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
