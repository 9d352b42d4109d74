//! The development SFU as a child process, and a client for its control API.
//!
//! Implements just enough HTTP/1.1 for `/ctl/`: one request per connection. Must not know: calls.

use crate::program::Program;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(10);
/// Most bytes read of a response.
const MAX_ANSWER: u64 = 16 << 20;

/// A running SFU. Drop ends it.
#[derive(Debug)]
pub struct Sfu {
    program: Program,
    /// The coordinator URL for clients.
    pub url: String,
    address: SocketAddr,
}

impl Sfu {
    /// Starts `path` on a free port of 127.0.0.1; `log` as for [`Program::start`].
    pub fn start(path: &Path, log: &Path) -> Result<Self, String> {
        let args = ["--listen", "127.0.0.1:0", "--exit-with-stdin"].map(String::from);
        let program = Program::start(path, &args, log)?;
        let line = program.line(LIMIT).map_err(|e| format!("{}: {e}", path.display()))?;
        let said: Value = serde_json::from_str(&line).map_err(|e| format!("{}: {e}: {line}", path.display()))?;
        let url = said["url"].as_str().ok_or_else(|| format!("no url in: {line}"))?.to_owned();
        let address = address_of(&url)?;
        Ok(Sfu { program, url, address })
    }

    pub fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Sends POST to `/ctl/{what}` and returns the JSON of the response.
    pub fn control(&self, what: &str, body: &Value) -> Result<Value, String> {
        request(self.address, "POST", &format!("/ctl/{what}"), Some(body))
    }

    /// Sends GET to `/ctl/{what}`.
    pub fn ask(&self, what: &str) -> Result<Value, String> {
        request(self.address, "GET", &format!("/ctl/{what}"), None)
    }
}

fn address_of(url: &str) -> Result<SocketAddr, String> {
    let authority = url.strip_prefix("http://").ok_or_else(|| format!("not an http URL: {url}"))?;
    let authority = authority.split('/').next().unwrap_or_default();
    authority.parse().map_err(|_| format!("no address in {url}"))
}

fn request(address: SocketAddr, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
    let say = |e: std::io::Error| format!("{method} {path}: {e}");
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(say)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(say)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(say)?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(say)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(say)?;
    parse(&answer).map_err(|e| format!("{method} {path}: {e}"))
}

/// Parses a response that ended with its connection. Any 2xx status is success.
fn parse(answer: &[u8]) -> Result<Value, String> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or("no complete HTTP answer")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let mut body = answer[end + 4..].to_vec();
    if head.contains("\r\ntransfer-encoding: chunked") {
        body = unchunk(&body)?;
    }
    let status = head.split(' ').nth(1).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    if !status.starts_with('2') {
        return Err(format!("HTTP {status}: {text}"));
    }
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
}

fn unchunk(mut body: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    loop {
        let line = body.windows(2).position(|w| w == b"\r\n").ok_or("broken chunk")?;
        let size = std::str::from_utf8(&body[..line]).ok().and_then(|s| usize::from_str_radix(s.trim(), 16).ok());
        let size = size.ok_or("broken chunk size")?;
        body = &body[line + 2..];
        if size == 0 {
            return Ok(out);
        }
        if body.len() < size + 2 {
            return Err("chunk cut short".to_owned());
        }
        out.extend_from_slice(&body[..size]);
        body = &body[size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn answers_are_parsed() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"sent\":3}").unwrap()["sent"], 3);
        assert_eq!(parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap(), Value::Null);
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap()["a"], 1);
        assert!(parse(b"HTTP/1.1 404 Not Found\r\n\r\nno such user").unwrap_err().contains("no such user"));
        assert!(parse(b"garbage").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nx").is_err());
    }

    #[test]
    fn a_request_reaches_the_server_whole() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = address_of(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut seen = Vec::new();
            let mut buffer = [0; 1024];
            while !seen.ends_with(b"}") {
                let n = stream.read(&mut buffer).unwrap();
                assert!(n > 0);
                seen.extend_from_slice(&buffer[..n]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{\"sent\":5}").unwrap();
            String::from_utf8(seen).unwrap()
        });
        let answer = request(address, "POST", "/ctl/late_offer", Some(&serde_json::json!({"count": 5}))).unwrap();
        assert_eq!(answer["sent"], 5);
        let seen = server.join().unwrap();
        assert!(seen.starts_with("POST /ctl/late_offer HTTP/1.1\r\n") && seen.ends_with("{\"count\":5}"), "{seen}");
        assert!(address_of("ws://127.0.0.1:1").is_err());
    }
}
