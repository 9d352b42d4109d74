//! Which protocol a client speaks, and what that can do.

use super::{
    call::oh_call,
    convert::{argument, give, optional},
    objects::{find, CallObject},
    result::{guard, oh_result},
};
use crate::core::model::{Capabilities, SelfUpdate};
use std::ffi::c_char;

/// The protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_protocol {
    /// By the URL: wss:// and ws:// mean OH_PROTOCOL_LIVEKIT, https:// and http:// OH_PROTOCOL_STREAM.
    OH_PROTOCOL_AUTO = 0,
    /// Stream Video, also spoken by the development SFU.
    OH_PROTOCOL_STREAM = 1,
    /// LiveKit: the open server and its cluster. Tokens are made by the application's server, or with
    /// oh_access_token_create.
    OH_PROTOCOL_LIVEKIT = 2,
}
pub type oh_protocol_t = i32;

/// What only some protocols have; bits of oh_capabilities. A function that needs a capability which the call's protocol
/// lacks returns OH_ERR_UNSUPPORTED and says so in oh_get_last_error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum oh_capability {
    /// oh_call_send_custom_event, OH_EVENT_CUSTOM.
    OH_CAP_CUSTOM_EVENTS = 1,
    /// oh_call_options: ring, notify, data_json, no_create; otherwise they are ignored.
    OH_CAP_RING = 2,
    /// OH_EVENT_PINS.
    OH_CAP_PINS = 4,
    /// OH_EVENT_DOMINANT_SPEAKER.
    OH_CAP_DOMINANT_SPEAKER = 8,
    /// OH_STATE_MIGRATING: an SFU moves its participants to another edge while media flows.
    OH_CAP_MIGRATE = 16,
    /// oh_call_send_data, OH_EVENT_DATA.
    OH_CAP_DATA = 32,
    /// oh_call_send_text, OH_EVENT_TEXT.
    OH_CAP_TEXT = 64,
    /// oh_call_perform_rpc, OH_EVENT_RPC_REQUEST.
    OH_CAP_RPC = 128,
    /// oh_call_set_attributes, and the metadata and attributes of participants.
    OH_CAP_ATTRIBUTES = 256,
    /// OH_EVENT_ROOM.
    OH_CAP_ROOM = 512,
    /// oh_subscriber_set_track, oh_call_options.no_auto_subscribe, OH_EVENT_SUBSCRIPTION_PERMISSION.
    OH_CAP_SUBSCRIPTIONS = 1024,
}

/// A set of oh_capability: the sum of its bits. Bits that you do not know may be set.
pub type oh_capabilities = u64;

/// Gets what the protocol of a call can do.
///
/// @param capabilities  receives the capabilities.
/// @return              OH_OK; OH_ERR_HANDLE; OH_ERR_ARGUMENT.
///
/// Any thread, at any time of the call.
///
/// # Safety
/// `capabilities` must be NULL or writable.
#[no_mangle]
pub unsafe extern "C" fn oh_call_get_capabilities(call: oh_call, capabilities: *mut oh_capabilities) -> oh_result {
    guard(|| {
        let object = find::<CallObject>(call.id)?;
        let Capabilities(bits) = object.call()?.capabilities();
        // SAFETY: by the caller's contract.
        unsafe { give(capabilities, "capabilities", || Ok(bits)) }
    })
}

/// Most attributes that one request changes.
const MAX_ATTRIBUTES: usize = 256;

/// Changes the name, metadata and attributes of the local participant (OH_CAP_ATTRIBUTES); asynchronous. A refusal by the
/// server is reported as OH_EVENT_ERROR, a change as OH_EVENT_PARTICIPANT_UPDATED with `local`.
///
/// @param name             the display name; NULL or "": unchanged.
/// @param metadata         the application's own text; NULL or "": unchanged.
/// @param attributes_json  a JSON object of strings, at most 256 members: only these names change, "" deletes one; NULL:
///                         unchanged.
/// @return                 OH_OK; OH_ERR_ARGUMENT; OH_ERR_UNSUPPORTED; OH_ERR_REFUSED without OH_RIGHT_SET_ATTRIBUTES;
///                         OH_ERR_STATE after the end; OH_ERR_FULL; OH_ERR_HANDLE.
///
/// Any thread, callbacks included.
///
/// # Safety
/// The texts must be NULL or NUL-terminated strings.
#[no_mangle]
pub unsafe extern "C" fn oh_call_set_attributes(
    call: oh_call,
    name: *const c_char,
    metadata: *const c_char,
    attributes_json: *const c_char,
) -> oh_result {
    guard(|| {
        let session = find::<CallObject>(call.id)?.call()?.clone();
        // SAFETY: by the caller's contract.
        let (name, metadata, json) = unsafe {
            (optional(name, "name")?, optional(metadata, "metadata")?, optional(attributes_json, "attributes_json")?)
        };
        let attributes = attributes(json.as_deref(), "attributes_json")?;
        session.update_self(SelfUpdate { name, metadata, attributes })
    })
}

/// Names and values of a JSON object of texts.
pub(super) fn attributes(json: Option<&str>, what: &str) -> crate::error::Result<Vec<(String, String)>> {
    let Some(json) = json else { return Ok(Vec::new()) };
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json).map_err(|_| argument(format!("{what} is not a JSON object")))?;
    if object.len() > MAX_ATTRIBUTES {
        return Err(argument(format!("{what} has more than {MAX_ATTRIBUTES} members")));
    }
    let text = |(name, value): (String, serde_json::Value)| match value {
        serde_json::Value::String(value) => Ok((name, value)),
        _ => Err(argument(format!("{what}: the value of every member must be a text"))),
    };
    object.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_texts() {
        assert_eq!(attributes(None, "a"), Ok(Vec::new()));
        assert_eq!(attributes(Some(r#"{"a":"b","c":""}"#), "a").map(|a| a.len()), Ok(2));
        for bad in ["", "[]", "{", r#"{"a":1}"#, r#"{"a":{"b":"c"}}"#, "null"] {
            assert!(attributes(Some(bad), "a").is_err(), "{bad}");
        }
    }

    #[test]
    fn bits_are_those_of_the_core() {
        use oh_capability::*;
        let pairs = [
            (OH_CAP_CUSTOM_EVENTS, Capabilities::CUSTOM_EVENTS),
            (OH_CAP_RING, Capabilities::RING),
            (OH_CAP_PINS, Capabilities::PINS),
            (OH_CAP_DOMINANT_SPEAKER, Capabilities::DOMINANT_SPEAKER),
            (OH_CAP_MIGRATE, Capabilities::MIGRATE),
            (OH_CAP_DATA, Capabilities::DATA),
            (OH_CAP_TEXT, Capabilities::TEXT),
            (OH_CAP_RPC, Capabilities::RPC),
            (OH_CAP_ATTRIBUTES, Capabilities::ATTRIBUTES),
            (OH_CAP_ROOM, Capabilities::ROOM),
            (OH_CAP_SUBSCRIPTIONS, Capabilities::SUBSCRIPTIONS),
        ];
        for (bit, capability) in pairs {
            assert_eq!(bit as oh_capabilities, capability.0);
        }
    }
}
