//! Access tokens: JWTs signed with the nodes' key, for tests.
//!
//! Knows the claims that the server reads. Tokens are returned to the caller and never logged.

use super::config::Keys;
use base64::{engine::general_purpose::URL_SAFE_NO_PAD, Engine};
use ring::hmac;
use serde::Deserialize;
use serde_json::{json, Map, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// Content of a token.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct TokenOptions {
    #[serde(default)]
    pub identity: String,
    #[serde(default)]
    pub room: String,
    pub name: Option<String>,
    pub metadata: Option<String>,
    pub attributes: Option<Map<String, Value>>,
    /// Seconds it is valid; negative for an expired one. Default six hours.
    pub ttl_s: Option<i64>,
    /// Members of the `video` grant that are added or replaced.
    #[serde(default)]
    pub grants: Map<String, Value>,
    /// Signs with another secret, so that the server refuses it.
    #[serde(default)]
    pub forged: bool,
}

/// A token that permits its identity to join a room.
pub fn join(keys: &Keys, token_options: &TokenOptions) -> String {
    let mut video = Map::new();
    video.insert("room".into(), json!(token_options.room));
    video.insert("roomJoin".into(), json!(true));
    video.extend(token_options.grants.clone());
    let mut claims = json!({ "iss": keys.key, "sub": token_options.identity, "video": video });
    let more = [
        ("name", token_options.name.clone().map(Value::from)),
        ("metadata", token_options.metadata.clone().map(Value::from)),
        ("attributes", token_options.attributes.clone().map(Value::from)),
    ];
    for (name, value) in more {
        if let Some(value) = value {
            claims[name] = value;
        }
    }
    let secret = if token_options.forged { "not the secret that the server knows" } else { &keys.secret };
    sign(claims, token_options.ttl_s.unwrap_or(6 * 3600), secret)
}

/// A token for the room service.
pub fn admin(keys: &Keys, room: &str) -> String {
    let video = json!({ "room": room, "roomAdmin": true, "roomCreate": true, "roomList": true });
    sign(json!({ "iss": keys.key, "sub": "stand", "video": video }), 60, &keys.secret)
}

fn sign(mut claims: Value, ttl_s: i64, secret: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()) as i64;
    // The clocks of server and client may round differently.
    claims["nbf"] = json!(now.min(now + ttl_s) - 10);
    claims["exp"] = json!(now + ttl_s);
    let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()))
}

/// The identity of a token, unverified; empty if it cannot be read.
pub fn identity(token: &str) -> String {
    let body = token.split('.').nth(1).unwrap_or_default().trim_end_matches('=');
    let json = URL_SAFE_NO_PAD.decode(body).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&json).unwrap_or_default();
    claims["sub"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_its_identity_and_is_signed() {
        let keys = Keys { key: "k".into(), secret: "s".repeat(32) };
        let mut token_options =
            TokenOptions { identity: "anna".into(), room: "r".into(), ttl_s: Some(-5), ..TokenOptions::default() };
        token_options.grants.insert("canPublish".into(), json!(false));
        let token = join(&keys, &token_options);
        assert_eq!(identity(&token), "anna");
        let parts: Vec<&str> = token.split('.').collect();
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        assert_eq!(claims["video"], json!({ "room": "r", "roomJoin": true, "canPublish": false }));
        assert!(claims["exp"].as_i64().unwrap() > claims["nbf"].as_i64().unwrap());
        let key = hmac::Key::new(hmac::HMAC_SHA256, keys.secret.as_bytes());
        let tag = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        hmac::verify(&key, format!("{}.{}", parts[0], parts[1]).as_bytes(), &tag).unwrap();
        for text in ["", "a", "a.b.c", "..", "x.!!!.y"] {
            assert_eq!(identity(text), "");
        }
    }
}
