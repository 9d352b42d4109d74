//! CONNECT (RFC 9110 section 9.3.6) with Basic authentication (RFC 7617).
//!
//! Must not know: how the stream to the proxy was made.

use super::{Credentials, Refusal};
use crate::core::model::FailureKind;
use crate::net::Endpoint;
use base64::{prelude::BASE64_STANDARD, Engine};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Most bytes of a proxy's answer, 1xx answers included.
const MAX_ANSWER: usize = 8 << 10;
const MAX_HEADERS: usize = 64;
const BEGIN: &[u8] = b"HTTP/";

pub(super) async fn connect<S>(
    stream: &mut S,
    target: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(Credentials { user, password }) = credentials {
        let pair = BASE64_STANDARD.encode(format!("{}:{}", user.reveal(), password.reveal()));
        request.push_str(&format!("Proxy-Authorization: Basic {pair}\r\n"));
    }
    request.push_str("\r\n");
    let write = async {
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await
    };
    write.await.map_err(|error| Refusal::of_stream(&error))?;
    let mut left = MAX_ANSWER;
    loop {
        let head = head(stream, &mut left).await?;
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let parsed = answer.parse(&head).is_ok_and(|status| status.is_complete());
        match answer.code.filter(|_| parsed) {
            None => return Err(Refusal::new(FailureKind::Malformed, "sent an invalid HTTP answer")),
            Some(100 | 102..=199) => {}
            // A length or encoding in such an answer means nothing.
            Some(200..=299) => return Ok(()),
            Some(status) => {
                let basic =
                    answer.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("proxy-authenticate"));
                let basic = basic.map(|header| header.value.get(..5).is_some_and(|v| v.eq_ignore_ascii_case(b"basic")));
                return Err(refused(target, status, credentials.is_some(), &basic.collect::<Vec<_>>()));
            }
        }
    }
}

/// `basic`: for each challenge, whether it is one for Basic authentication.
fn refused(target: &Endpoint, status: u16, authenticated: bool, basic: &[bool]) -> Refusal {
    let advice = match status {
        407 if !basic.is_empty() && !basic.contains(&true) => ": it requires another authentication than Basic",
        407 if authenticated => ": the credentials in the URL of the proxy are not accepted",
        407 => ": set credentials in the URL of the proxy",
        403 | 405 => ": it does not allow connections to this host and port",
        502..=504 => ": it cannot reach the server",
        _ => "",
    };
    let why = format!("refused CONNECT to {target} with {status}{advice}");
    Refusal { kind: FailureKind::Connect, code: status.into(), why }
}

/// Reads one head, byte by byte: what follows it belongs to the tunnel.
async fn head<S: AsyncRead + Unpin + ?Sized>(stream: &mut S, left: &mut usize) -> Result<Vec<u8>, Refusal> {
    let mut head = Vec::new();
    while !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") {
        if *left == 0 {
            let why = format!("sent an HTTP answer of more than {MAX_ANSWER} bytes");
            return Err(Refusal::new(FailureKind::TooLarge, why));
        }
        *left -= 1;
        head.push(stream.read_u8().await.map_err(|error| Refusal::of_stream(&error))?);
        // A server of another protocol may be waiting as well: do not wait for the end of a line.
        if head.len() <= BEGIN.len() && !BEGIN.starts_with(&head) {
            return Err(Refusal::new(FailureKind::Malformed, "did not answer in HTTP"));
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::super::understand;

    fn of(answer: impl AsRef<[u8]>) -> Result<usize, String> {
        understand(false, false, answer.as_ref())
    }

    fn why(answer: impl AsRef<[u8]>) -> String {
        of(answer).unwrap_err()
    }

    #[test]
    fn what_follows_the_head_belongs_to_the_tunnel() {
        let answer = "HTTP/1.1 200 Connection established\r\nx: y\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(of(format!("{answer}hello")), Ok(answer.len()));
        assert_eq!(of("HTTP/1.0 200 OK\r\n\r\n"), Ok(19));
        let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 299 x\r\n\r\n";
        assert_eq!(of(answer), Ok(answer.len()));
    }

    #[test]
    fn refusals_have_status_and_advice() {
        let refused = |head: &str| why(format!("HTTP/1.1 {head}\r\n\r\n"));
        let begin = "the proxy http://proxy.example.com:80 refused CONNECT to sfu.example.com:443 with ";
        for (head, end) in [
            ("407 No", "407: set credentials in the URL of the proxy"),
            ("407 No\r\nproxy-authenticate: BASIC realm=\"x\"", "407: set credentials in the URL of the proxy"),
            ("407 No\r\nProxy-Authenticate: Negotiate", "407: it requires another authentication than Basic"),
            ("403 hunter2", "403: it does not allow connections to this host and port"),
            ("502 x", "502: it cannot reach the server"),
            ("301 x\r\nlocation: http://x/", "301"),
            ("101 x", "101"),
        ] {
            assert_eq!(refused(head), format!("{begin}{end}"));
        }
        let accepted = understand(false, true, b"HTTP/1.1 407 hunter2\r\n\r\n").unwrap_err();
        assert!(accepted.ends_with("with 407: the credentials in the URL of the proxy are not accepted"), "{accepted}");
    }

    #[test]
    fn answers_that_are_none() {
        assert!(why("SSH-2.0-x").contains("did not answer in HTTP"));
        assert!(why([0x15, 3, 1]).contains("did not answer in HTTP"));
        assert!(why("HTTP/1.1 abc\r\n\r\n").contains("invalid HTTP answer"));
        assert!(why("HTTP/1.1 20").contains("closed the connection"));
        assert!(why("").contains("closed the connection"));
        let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1 << 20));
        assert!(why(long).contains("more than 8192 bytes"));
        assert!(why("HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000)).contains("more than 8192 bytes"));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(65));
        assert!(why(many).contains("invalid HTTP answer"));
    }
}
