//! SOCKS version 5 (RFC 1928) with user name and password (RFC 1929).
//!
//! Every message is read to its exact length: what follows the last one belongs to the tunnel. Must not know: how the
//! stream to the proxy was made.

use super::{Credentials, Refusal};
use crate::core::model::FailureKind;
use crate::net::Endpoint;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Host;

/// Most bytes of a name, user name or password.
pub(super) const MAX_TEXT: usize = 255;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const AUTHENTICATION_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

pub(super) async fn connect<S>(
    stream: &mut S,
    target: &Endpoint,
    credentials: Option<&Credentials>,
) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    // Both methods are offered: the proxy may not ask for the credentials.
    let methods: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    write(stream, methods).await?;
    let [version, method] = read(stream).await?;
    if version != VERSION {
        return Err(not_socks());
    }
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => {}
        (USER_AND_PASSWORD, Some(credentials)) => authenticate(stream, credentials).await?,
        (0xff, Some(_)) => return Err(refused_login("accepts neither a password nor a login without one")),
        (0xff, None) => return Err(refused_login("requires a login: set credentials in the URL of the proxy")),
        _ => return Err(Refusal::new(FailureKind::Malformed, "chose an authentication that was not offered")),
    }
    let mut request = vec![VERSION, CONNECT, 0];
    match &target.host {
        Host::Ipv4(address) => {
            request.push(IPV4);
            request.extend(address.octets());
        }
        Host::Ipv6(address) => {
            request.push(IPV6);
            request.extend(address.octets());
        }
        Host::Domain(name) => {
            request.push(NAME);
            push_text(&mut request, name)?;
        }
    }
    request.extend(target.port.to_be_bytes());
    write(stream, &request).await?;
    let [version, reply, _, kind] = read(stream).await?;
    if version != VERSION {
        return Err(not_socks());
    }
    if reply != 0 {
        return Err(refused(target, reply));
    }
    // The address of the proxy's end, and its port: of no use here.
    match kind {
        IPV4 => drop(read::<_, 6>(stream).await?),
        IPV6 => drop(read::<_, 18>(stream).await?),
        NAME => {
            let [length] = read(stream).await?;
            let mut rest = vec![0; usize::from(length) + 2];
            stream.read_exact(&mut rest).await.map_err(|error| Refusal::of_stream(&error))?;
        }
        _ => return Err(not_socks()),
    }
    Ok(())
}

async fn authenticate<S>(stream: &mut S, credentials: &Credentials) -> Result<(), Refusal>
where
    S: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut request = vec![AUTHENTICATION_VERSION];
    push_text(&mut request, credentials.user.reveal())?;
    push_text(&mut request, credentials.password.reveal())?;
    write(stream, &request).await?;
    match read(stream).await? {
        [AUTHENTICATION_VERSION, 0] => Ok(()),
        [AUTHENTICATION_VERSION, _] => Err(refused_login("does not accept the credentials in its URL")),
        _ => Err(not_socks()),
    }
}

fn push_text(to: &mut Vec<u8>, text: &str) -> Result<(), Refusal> {
    let length = u8::try_from(text.len());
    to.push(length.map_err(|_| Refusal::new(FailureKind::Malformed, "cannot get a name of more than 255 bytes"))?);
    to.extend(text.as_bytes());
    Ok(())
}

async fn write<S: AsyncWrite + Unpin + ?Sized>(stream: &mut S, bytes: &[u8]) -> Result<(), Refusal> {
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    write.await.map_err(|error| Refusal::of_stream(&error))
}

async fn read<S: AsyncRead + Unpin + ?Sized, const N: usize>(stream: &mut S) -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(|error| Refusal::of_stream(&error))?;
    Ok(bytes)
}

fn not_socks() -> Refusal {
    Refusal::new(FailureKind::Malformed, "did not answer in SOCKS version 5")
}

fn refused_login(why: &str) -> Refusal {
    Refusal::new(FailureKind::Connect, why)
}

fn refused(target: &Endpoint, reply: u8) -> Refusal {
    // RFC 1928 section 6.
    let meaning = match reply {
        2 => ": it does not allow connections to this host and port",
        3 => ": the network is unreachable",
        4 => ": the host is unreachable",
        5 => ": the server refused the connection",
        6 => ": the time to live expired",
        7 | 8 => ": it does not support such connections",
        _ => "",
    };
    let why = format!("refused a connection to {target} with SOCKS reply {reply}{meaning}");
    Refusal { kind: FailureKind::Connect, code: reply.into(), why }
}

#[cfg(test)]
mod tests {
    use super::super::{understand, Proxy};
    use super::*;

    #[test]
    fn what_follows_the_reply_belongs_to_the_tunnel() {
        let v4: &[u8] = &[5, 0, 5, 0, 0, 1, 127, 0, 0, 1, 0, 80];
        let name: &[u8] = &[5, 0, 5, 0, 0, 3, 2, b'a', b'b', 0, 80];
        let v6 = [&[5, 0, 5, 0, 0, 4][..], &[0; 18]].concat();
        for answer in [v4, name, &v6] {
            assert_eq!(understand(true, false, &[answer, b"hello"].concat()), Ok(answer.len()));
            for end in 0..answer.len() {
                let why = understand(true, false, &answer[..end]).unwrap_err();
                assert!(why.contains("closed the connection"), "{why}");
            }
        }
        let with_login = [&[5, 2, 1, 0][..], &v4[2..]].concat();
        assert_eq!(understand(true, true, &with_login), Ok(with_login.len()));
        assert_eq!(understand(true, true, v4), Ok(v4.len()), "the proxy needs no credentials");
    }

    #[test]
    fn refusals() {
        let why = |authenticated: bool, answer: &[u8]| understand(true, authenticated, answer).unwrap_err();
        assert!(why(false, &[5, 0xff]).contains("set credentials in the URL"));
        assert!(why(true, &[5, 2, 1, 1]).contains("does not accept the credentials"));
        assert!(why(false, &[5, 2]).contains("not offered"));
        assert!(why(true, &[5, 1]).contains("not offered"));
        assert!(why(false, &[5, 0, 5, 2, 0, 1]).contains("SOCKS reply 2: it does not allow"));
        assert!(why(false, &[5, 0, 5, 5, 0, 1]).contains("refused the connection"));
        for garbage in [&b"HTTP/1.1 400"[..], &[4, 90], &[5, 0, 4, 0, 0, 1], &[5, 0, 5, 0, 0, 9]] {
            assert!(why(false, garbage).contains("did not answer in SOCKS version 5"), "{garbage:?}");
        }
    }

    /// The bytes that are sent for a target.
    async fn sent(target: &str, answers: &[u8]) -> Vec<u8> {
        let proxy = Proxy::parse("socks5://us%65r:hunter2@p").unwrap();
        let mut sent = Vec::new();
        let mut stream = tokio::io::join(answers, &mut sent);
        let opened = proxy.request(&mut stream, &Endpoint::at(target, 258, true).unwrap()).await;
        assert_eq!(opened, Ok(()));
        sent
    }

    #[tokio::test]
    async fn requests() {
        let login = [5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let name = sent("sfu.example.com", &login).await;
        let wanted =
            [&b"\x05\x02\x00\x02\x01\x04user\x07hunter2\x05\x01\x00\x03\x0fsfu.example.com\x01\x02"[..]].concat();
        assert_eq!(name, wanted);
        let plain = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(sent("192.0.2.1", &plain).await[4..], [5, 1, 0, 1, 192, 0, 2, 1, 1, 2]);
        let v6 = sent("2001:db8::1", &plain).await;
        assert_eq!(v6[4..10], [5, 1, 0, 4, 0x20, 1]);
        assert_eq!(v6.len(), 4 + 4 + 16 + 2);
        // A name that does not fit.
        let proxy = Proxy::parse("socks5://p").unwrap();
        let long = Endpoint::at(&vec!["x".repeat(60); 5].join("."), 1, true);
        if let Ok(long) = long {
            let mut stream = tokio::io::join(&plain[..], tokio::io::sink());
            assert!(proxy.request(&mut stream, &long).await.is_err());
        }
    }
}
