//! `oh_access_token_create`: tokens for tests and servers that hold the key and secret of a LiveKit service.

use super::{
    basic::oh_bool,
    convert::{argument, credential, missing, optional, required, secret},
    protocol::attributes,
    result::{guard, oh_result},
    sized::{read, sized},
};
use crate::error::{Code, Error, Secret};
use crate::signalling::livekit::token::{self, Grant};
use std::ffi::c_char;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who may join which call, and do what there. Begin with OH_INIT(oh_access_token_options).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct oh_access_token_options {
    /// sizeof(oh_access_token_options).
    pub size: usize,
    /// The API key of the service. Required. Blanks and line breaks around it are ignored.
    pub api_key: *const c_char,
    /// The secret of the API key. Required; keep it on servers. Blanks and line breaks around it are ignored.
    pub api_secret: *const c_char,
    /// The user id. Required.
    pub user_id: *const c_char,
    /// The call (room). Required.
    pub call_id: *const c_char,
    /// The display name; NULL: none.
    pub name: *const c_char,
    /// The application's own text about the participant; NULL: none.
    pub metadata: *const c_char,
    /// Names and values as a JSON object of strings, at most 256 members; NULL: none.
    pub attributes_json: *const c_char,
    /// Seconds until the token expires, 1 to 31536000; 0: 21600 (6 hours).
    pub ttl_s: u32,
    /// May not publish.
    pub no_publish: oh_bool,
    /// May not receive tracks.
    pub no_subscribe: oh_bool,
    /// May not send data.
    pub no_data: oh_bool,
    /// May call oh_call_set_attributes.
    pub allow_set_attributes: oh_bool,
    /// Is not visible to others.
    pub hidden: oh_bool,
    /// May administrate the room over the server's own API.
    pub room_admin: oh_bool,
    /// Zero.
    pub reserved: u32,
}

sized!(oh_access_token_options to reserved);

/// Creates an access token for OH_PROTOCOL_LIVEKIT (a JWT, RFC 7519, signed with HMAC-SHA256). Opens no connection. For
/// servers and tests: an application on a user's machine must not have the secret.
///
/// @param options   api_key, api_secret, user_id and call_id are required.
/// @param buf       receives the token, NUL-terminated; may be NULL when buf_size is 0.
/// @param buf_size  bytes at buf.
/// @param length    receives the length of the token without its NUL, also with OH_ERR_BUFFER; may be NULL.
/// @return          OH_OK; OH_ERR_BUFFER when buf_size is not more than the length: nothing is written to buf;
///                  OH_ERR_ARGUMENT; OH_ERR_ABI.
///
/// Any thread.
///
/// # Safety
/// `options` must be NULL or point to a structure as large as its `size`, with valid texts; `buf` must be
/// NULL or point to `buf_size` writable bytes; `length` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_access_token_create(
    options: *const oh_access_token_options,
    buf: *mut c_char,
    buf_size: usize,
    length: *mut usize,
) -> oh_result {
    guard(|| {
        if options.is_null() || (buf.is_null() && buf_size > 0) {
            return Err(argument("oh_access_token_create: options must not be NULL, and buf only when buf_size is 0"));
        }
        // SAFETY: by the caller's contract, here and for the texts below.
        let options = unsafe { read(options)? };
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
                update_self: options.allow_set_attributes != 0,
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
        if !length.is_null() {
            // SAFETY: writable by the caller's contract.
            unsafe { length.write_unaligned(token.len()) };
        }
        if token.len() >= buf_size {
            let text = format!("oh_access_token_create: the token needs a buffer of {} bytes", token.len() + 1);
            return Err(Error::new(Code::Buffer, text));
        }
        // SAFETY: `buf_size` bytes are writable by the caller's contract, and the token with its NUL fits.
        unsafe {
            std::ptr::copy_nonoverlapping(token.as_ptr(), buf.cast(), token.len());
            *buf.add(token.len()) = 0;
        }
        Ok(())
    })
}
