//! `oh_access_token`: tokens for tests and servers that hold the key and secret of a LiveKit service.

use super::{
    convert::{argument, credential, missing, optional, required, secret, sized},
    protocol::attributes,
    result::{guard, oh_result},
};
use crate::error::{Code, Error, Secret};
use crate::signalling::livekit::token::{self, Grant};
use std::ffi::c_char;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who is let in where, and may do what. Begin with OH_ACCESS_TOKEN_OPTIONS_INIT or
/// oh_access_token_options_init.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_access_token_options {
    /// sizeof(oh_access_token_options).
    pub size: u32,
    /// Seconds that the token is good for, 1 to 31536000; 0: 21600 (6 hours).
    pub ttl_s: u32,
    /// The service's key and its secret. Required. Keep the secret on servers. Blanks and line breaks around them
    /// are left out.
    pub api_key: *const c_char,
    /// As api_key.
    pub api_secret: *const c_char,
    /// The user id. Required.
    pub user_id: *const c_char,
    /// The call's id. Required.
    pub call_id: *const c_char,
    /// Shown to people; NULL: none.
    pub name: *const c_char,
    /// The application's own text about the participant; NULL: none.
    pub metadata: *const c_char,
    /// Names and values as a JSON object of texts; NULL: none.
    pub attributes_json: *const c_char,
    /// Non-zero: may not publish.
    pub no_publish: u32,
    /// Non-zero: may not receive.
    pub no_subscribe: u32,
    /// Non-zero: may not send data.
    pub no_data: u32,
    /// Non-zero: may call oh_call_set_attributes.
    pub may_set_attributes: u32,
    /// Non-zero: the others do not see it.
    pub hidden: u32,
    /// Non-zero: may also administrate the room over the server's own API.
    pub room_admin: u32,
}

const DEFAULTS: oh_access_token_options = oh_access_token_options {
    size: size_of::<oh_access_token_options>() as u32,
    ttl_s: 0,
    api_key: std::ptr::null(),
    api_secret: std::ptr::null(),
    user_id: std::ptr::null(),
    call_id: std::ptr::null(),
    name: std::ptr::null(),
    metadata: std::ptr::null(),
    attributes_json: std::ptr::null(),
    no_publish: 0,
    no_subscribe: 0,
    no_data: 0,
    may_set_attributes: 0,
    hidden: 0,
    room_admin: 0,
};

/// Fills in the defaults; the same as OH_ACCESS_TOKEN_OPTIONS_INIT, for languages without macros.
///
/// @param options  may be NULL: then nothing happens.
///
/// # Safety
/// `options` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_access_token_options_init(options: *mut oh_access_token_options) {
    if !options.is_null() {
        // SAFETY: writable by the caller's contract.
        unsafe { options.write(DEFAULTS) };
    }
}

/// Makes an access token for OH_PROTOCOL_LIVEKIT (a JWT, RFC 7519, signed with HMAC-SHA256). Contacts
/// nobody. For servers and tests: an application on a user's machine must not hold the secret.
///
/// @param options  api_key, api_secret, user_id and call_id are required.
/// @param buf      receives the token, NUL-terminated; nothing is written on failure.
/// @param len      bytes at buf; 2048 suffice without long metadata.
/// @return         OH_OK; OH_ERR_BUFFER when it does not fit: oh_last_error tells how long it is;
///                 OH_ERR_ARGUMENT; OH_ERR_ABI.
///
/// Any thread.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid texts; `buf` must be
/// NULL or point to `len` writable bytes.
#[no_mangle]
pub unsafe extern "C" fn oh_access_token(
    options: *const oh_access_token_options,
    buf: *mut c_char,
    len: usize,
) -> oh_result {
    guard(|| {
        if options.is_null() || buf.is_null() {
            return Err(argument("oh_access_token: options and buf must not be NULL"));
        }
        // SAFETY: by the caller's contract, here and for the texts below.
        let options =
            unsafe { sized(options, DEFAULTS, size_of::<oh_access_token_options>(), "oh_access_token_options")? };
        let (key, secret, grant) = unsafe {
            let json = optional(options.attributes_json, "oh_access_token_options.attributes_json")?;
            let grant = Grant {
                identity: required(options.user_id, "oh_access_token_options.user_id")?,
                room: required(options.call_id, "oh_access_token_options.call_id")?,
                name: optional(options.name, "oh_access_token_options.name")?.unwrap_or_default(),
                metadata: optional(options.metadata, "oh_access_token_options.metadata")?.unwrap_or_default(),
                attributes: attributes(json.as_deref(), "oh_access_token_options.attributes_json")?,
                no_publish: options.no_publish != 0,
                no_subscribe: options.no_subscribe != 0,
                no_data: options.no_data != 0,
                update_self: options.may_set_attributes != 0,
                hidden: options.hidden != 0,
                admin: options.room_admin != 0,
            };
            (
                credential(options.api_key, "oh_access_token_options.api_key")?
                    .ok_or_else(|| missing("oh_access_token_options.api_key"))?,
                secret(options.api_secret, "oh_access_token_options.api_secret")?
                    .ok_or_else(|| missing("oh_access_token_options.api_secret"))?,
                grant,
            )
        };
        let ttl = match options.ttl_s {
            0 => 6 * 3_600,
            s @ 1..=31_536_000 => s,
            _ => return Err(argument("oh_access_token_options.ttl_s must be 0 or 1 to 31536000")),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let token = token::make(&key, &Secret::new(secret), &grant, now, Duration::from_secs(u64::from(ttl)));
        let token = token.reveal().as_bytes();
        if token.len() >= len {
            let text = format!("oh_access_token: the token needs {} bytes", token.len() + 1);
            return Err(Error::new(Code::Buffer, text));
        }
        // SAFETY: `len` bytes are writable by the caller's contract, and the token with its NUL fits.
        unsafe {
            std::ptr::copy_nonoverlapping(token.as_ptr(), buf.cast(), token.len());
            *buf.add(token.len()) = 0;
        }
        Ok(())
    })
}
