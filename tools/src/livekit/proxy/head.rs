//! The head of an HTTP request or response: parsed, queried, and forwarded.
//!
//! Knows where the token is in it, and that no WebSocket extension may be negotiated through the proxy.

use crate::livekit::token;
use base64::{engine::general_purpose::URL_SAFE, Engine};
use offhook_proto::livekit::{JoinRequest, WrappedJoinRequest};
use prost::Message;
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The query may contain a join request.
const MAX_HEAD: usize = 2 << 20;

/// First line and headers.
#[derive(Clone, Debug)]
pub struct Head {
    first: String,
    headers: Vec<(String, String)>,
}

/// Reads a head; bytes after it stay in `buffer`. None if the peer closed first.
pub async fn read(from: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Result<Option<Head>, String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = Head::parse(&String::from_utf8_lossy(&buffer[..end]))?;
            buffer.drain(..end + 4);
            return Ok(Some(head));
        }
        if buffer.len() > MAX_HEAD {
            return Err("HTTP head too long".to_owned());
        }
        if from.read_buf(buffer).await.map_err(|e| e.to_string())? == 0 {
            return Ok(None);
        }
    }
}

impl Head {
    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        };
        let headers = lines.map(header).collect::<Result<_, &str>>()?;
        Ok(Head { first, headers })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Whether it asks for a WebSocket upgrade.
    pub fn upgrades(&self) -> bool {
        self.header("upgrade").is_some_and(|v| v.eq_ignore_ascii_case("websocket"))
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
    }

    fn target(&self) -> &str {
        self.first.split(' ').nth(1).unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.target().split('?').next().unwrap_or_default()
    }

    fn pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let query = self.target().split_once('?').map_or("", |(_, q)| q);
        query.split('&').filter(|p| !p.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(name), unescape(value))
        })
    }

    /// The query for display: without the token, and with the `reconnect` of a join request in its place.
    pub fn query(&self) -> Map<String, Value> {
        let shown = |(name, value): (String, String)| match name.as_str() {
            "join_request" => ("reconnect".to_owned(), Value::from(if resumes(&value) { "1" } else { "0" })),
            _ => (name, Value::from(value)),
        };
        self.pairs().filter(|(name, _)| name != "access_token").map(shown).collect()
    }

    /// The identity of the token; empty without one.
    pub fn identity(&self) -> String {
        let header = self.header("authorization").and_then(|v| v.strip_prefix("Bearer ")).map(str::to_owned);
        let given = self.pairs().find(|(name, _)| name == "access_token").map(|(_, value)| value);
        token::identity(&header.or(given).unwrap_or_default())
    }

    /// Encodes a response unchanged.
    pub fn as_it_came(&self) -> Vec<u8> {
        let headers: String = self.headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        format!("{}\r\n{headers}\r\n", self.first).into_bytes()
    }

    /// Encodes a request for the server. An upgrade loses its extensions; any other request is the last on its
    /// connection.
    pub fn forward(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.first);
        let upgrade = self.upgrades();
        let dropped: &[&str] = if upgrade { &["sec-websocket-extensions"] } else { &["connection", "keep-alive"] };
        for (name, value) in &self.headers {
            if !dropped.iter().any(|d| name.eq_ignore_ascii_case(d)) {
                out.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        out.push_str(if upgrade { "\r\n" } else { "connection: close\r\n\r\n" });
        out.into_bytes()
    }
}

/// Whether a join request of `/rtc/v1` asks for a resume. One that is compressed cannot be read.
fn resumes(join_request: &str) -> bool {
    let read = || {
        let wrapped = URL_SAFE.decode(join_request).ok()?;
        let wrapped = WrappedJoinRequest::decode(&wrapped[..]).ok()?;
        JoinRequest::decode(&wrapped.join_request[..]).ok()
    };
    read().is_some_and(|request| request.reconnect)
}

/// Decodes %-escapes and `+` of a query.
fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(if *byte == b'+' { b' ' } else { *byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::livekit::config::Keys;

    #[test]
    fn a_request_names_its_identity_and_hides_its_token() {
        let keys = Keys { key: "k".into(), secret: "s".into() };
        let token_options = token::TokenOptions { identity: "anna b".into(), ..token::TokenOptions::default() };
        let token = token::join(&keys, &token_options);
        let text = format!(
            "GET /rtc?access_token={token}&reconnect=1&name=a%20b+c HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Extensions: permessage-deflate"
        );
        let head = Head::parse(&text).unwrap();
        assert_eq!((head.identity().as_str(), head.path(), head.upgrades()), ("anna b", "/rtc", true));
        assert_eq!(Value::Object(head.query()), serde_json::json!({ "reconnect": "1", "name": "a b c" }));
        let forward = String::from_utf8(head.forward()).unwrap();
        assert!(forward.contains("Connection: Upgrade\r\n") && !forward.contains("deflate"));
        assert!(forward.contains(&token) && forward.ends_with("\r\n\r\n"));

        let request = JoinRequest { reconnect: true, ..JoinRequest::default() }.encode_to_vec();
        let wrapped =
            URL_SAFE.encode(WrappedJoinRequest { join_request: request.into(), ..Default::default() }.encode_to_vec());
        for (join_request, reconnect) in [(wrapped.as_str(), "1"), ("", "0"), ("junk", "0")] {
            let head = Head::parse(&format!("GET /rtc/v1?join_request={join_request} HTTP/1.1")).unwrap();
            assert_eq!(head.query()["reconnect"], reconnect);
        }

        let head = Head::parse(&format!("GET /rtc/validate HTTP/1.1\r\nAuthorization: Bearer {token}")).unwrap();
        assert_eq!(head.identity(), "anna b");
        assert!(String::from_utf8(head.forward()).unwrap().ends_with("connection: close\r\n\r\n"));
        assert_eq!(Head::parse("HTTP/1.1 401 No").unwrap().status(), 401);
        assert!(Head::parse("GET / HTTP/1.1\r\njunk").is_err());
    }
}
