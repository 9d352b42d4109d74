//! Access tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA256 (RFC 7515). Created from a key and a secret, for
//! tests and servers; read without verification, which is the server's task. Must not know: any clock; who uses them.

use crate::error::Secret;
use base64::{prelude::BASE64_URL_SAFE_NO_PAD, Engine as _};
use ring::hmac;
use serde_json::{json, Map, Value};
use std::time::Duration;

/// The holder and the permissions of a token.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    pub identity: String,
    pub room: String,
    pub name: String,
    pub metadata: String,
    pub attributes: Vec<(String, String)>,
    pub no_publish: bool,
    pub no_subscribe: bool,
    pub no_data: bool,
    /// May change its own name, metadata and attributes.
    pub update_self: bool,
    /// Not visible to other participants.
    pub hidden: bool,
    /// May administer the room through the server's API.
    pub admin: bool,
}

/// Creates a token that is valid from 10 s before `now` (since 1970) until `valid` after `now`.
pub fn make(key: &str, secret: &Secret, grant: &Grant, now: Duration, valid: Duration) -> Secret {
    let mut video = Map::new();
    video.insert("room".into(), json!(grant.room));
    video.insert("roomJoin".into(), json!(true));
    video.insert("canPublish".into(), json!(!grant.no_publish));
    video.insert("canSubscribe".into(), json!(!grant.no_subscribe));
    video.insert("canPublishData".into(), json!(!grant.no_data));
    for (name, on) in
        [("canUpdateOwnMetadata", grant.update_self), ("hidden", grant.hidden), ("roomAdmin", grant.admin)]
    {
        if on {
            video.insert(name.into(), json!(true));
        }
    }
    let mut claims = Map::new();
    claims.insert("iss".into(), json!(key));
    claims.insert("sub".into(), json!(grant.identity));
    claims.insert("nbf".into(), json!(now.as_secs().saturating_sub(10)));
    claims.insert("exp".into(), json!(now.as_secs().saturating_add(valid.as_secs().max(1))));
    claims.insert("video".into(), Value::Object(video));
    for (name, value) in [("name", &grant.name), ("metadata", &grant.metadata)] {
        if !value.is_empty() {
            claims.insert(name.into(), json!(value));
        }
    }
    if !grant.attributes.is_empty() {
        let attributes: Map<_, _> = grant.attributes.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        claims.insert("attributes".into(), Value::Object(attributes));
    }
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({"alg": "HS256", "typ": "JWT"}));
    let signed = format!("{head}.{}", part(&Value::Object(claims)));
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&hmac_key, signed.as_bytes()));
    Secret::new(format!("{signed}.{signature}"))
}

/// Claims of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub identity: String,
    /// Empty: not bound to a room.
    pub room: String,
}

/// Reads a token without verifying it; `None`: it is not a token.
pub fn read(token: &Secret) -> Option<Claims> {
    let payload = token.reveal().split('.').nth(1)?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    claims.as_object()?;
    Some(Claims { identity: text(claims.get("sub")), room: text(claims.pointer("/video/room")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(token: &Secret) -> Value {
        let part = token.reveal().split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_token_holds_identity_permissions_and_lifetime() {
        let grant = Grant {
            identity: "alice".into(),
            room: "r".into(),
            attributes: vec![("k".into(), "v".into())],
            no_data: true,
            update_self: true,
            ..Grant::default()
        };
        let token = make("key", &Secret::new("secret"), &grant, Duration::from_secs(1_000), Duration::from_secs(60));
        let claims_json = claims(&token);
        assert_eq!((claims_json["iss"].as_str(), claims_json["sub"].as_str()), (Some("key"), Some("alice")));
        assert_eq!((claims_json["nbf"].as_u64(), claims_json["exp"].as_u64()), (Some(990), Some(1_060)));
        assert_eq!(claims_json["video"]["canPublishData"], false);
        assert_eq!(claims_json["video"]["canPublish"], true);
        assert_eq!(claims_json["video"]["canUpdateOwnMetadata"], true);
        assert_eq!(claims_json["video"].get("hidden"), None);
        assert_eq!(claims_json["attributes"]["k"], "v");
        assert_eq!(read(&token), Some(Claims { identity: "alice".into(), room: "r".into() }));
    }

    #[test]
    fn the_signature_is_that_of_rfc_7515() {
        // Appendix A.1: the same key, header and payload give the same signature.
        let key = BASE64_URL_SAFE_NO_PAD
            .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
        assert_eq!(signature, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    }

    #[test]
    fn invalid_tokens_have_no_claims() {
        for bad in ["", "a", "a.b", "a.!!.c", "a.bnVsbA.c"] {
            assert_eq!(read(&Secret::new(bad)), None, "{bad}");
        }
    }
}
