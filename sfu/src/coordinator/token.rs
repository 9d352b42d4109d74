//! Tokens: the claims of a JWT are read, never verified. Issued tokens are unsigned.
//!
//! A development SFU has no secrets to protect. Tokens are still not logged.

use base64::{engine::general_purpose::URL_SAFE_NO_PAD, Engine};
use serde::Deserialize;
use serde_json::json;

/// The claims used by the SFU. Missing claims are empty.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Claims {
    #[serde(default)]
    pub user_id: String,
    #[serde(default)]
    pub cid: String,
}

/// Reads the claims of a token, with or without `Bearer `. An unreadable token has no claims.
pub fn claims(token: &str) -> Claims {
    let token = token.strip_prefix("Bearer ").unwrap_or(token);
    let body = token.split('.').nth(1).unwrap_or_default().trim_end_matches('=');
    let json = URL_SAFE_NO_PAD.decode(body).unwrap_or_default();
    serde_json::from_slice(&json).unwrap_or_default()
}

/// Creates a token for one user in one call at one SFU.
pub fn make(user_id: &str, cid: &str, edge: &str) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "none", "typ": "JWT" }));
    let body = part(json!({ "user_id": user_id, "cid": cid, "edge": edge, "iss": "offhook-sfu" }));
    format!("{head}.{body}.{}", URL_SAFE_NO_PAD.encode(b"development"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let claims = claims(&format!("Bearer {}", make("u", "default:c", "sfu-a")));
        assert_eq!((claims.user_id.as_str(), claims.cid.as_str()), ("u", "default:c"));
    }

    #[test]
    fn garbage_has_no_claims() {
        for text in ["", "a", "a.b.c", "..", "Bearer ", "x.!!!.y", "e30.e30.e30"] {
            assert_eq!(claims(text).user_id, "");
        }
    }
}
