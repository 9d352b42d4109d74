//! Streams to TURN servers for the engine, from the network of a client.
//!
//! The SFU names TURN servers: the rules for hosts that a server names apply (see [`Dialer::open`]). Must not know: the
//! engine, TURN.

use super::engine::{ByteStream, Opening, StreamTarget, Streams};
use crate::net::{Dialer, Endpoint, Traffic};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct ServerStreams(Arc<Dialer>);

impl ServerStreams {
    pub fn new(dialer: Arc<Dialer>) -> Self {
        Self(dialer)
    }
}

impl Streams for ServerStreams {
    fn open(&self, target: StreamTarget, timeout: Duration) -> Opening {
        let dialer = self.0.clone();
        Box::pin(async move {
            let deadline = Instant::now() + timeout;
            let endpoint = Endpoint::at(&target.host, target.port, target.tls).map_err(|failure| failure.message)?;
            let stream = dialer.open(&endpoint, Traffic::Opaque, deadline).await.map_err(|failure| failure.message)?;
            Ok(Box::pin(stream) as Pin<Box<dyn ByteStream>>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::Lookups;
    use crate::net::Proxies;
    use rustls::{pki_types::PrivateKeyDer, ServerConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use url::Url;

    const SOON: Duration = Duration::from_secs(10);

    /// Streams of a client whose service is `home`; every name is an address of this machine.
    fn streams(home: &str, proxy: &str, ca_file: Option<std::path::PathBuf>) -> ServerStreams {
        let lookups = Lookups::new(|_| Ok(vec!["127.0.0.1".parse().unwrap()]), Default::default());
        let dialer = Dialer::new(false, ca_file, lookups, Proxies::new(Some(proxy), &|_| None).unwrap());
        dialer.note_home(Endpoint::of(&Url::parse(home).unwrap(), true).unwrap(), true);
        ServerStreams::new(Arc::new(dialer))
    }

    fn target(host: &str, port: u16, tls: bool) -> StreamTarget {
        StreamTarget { host: host.to_owned(), port, tls }
    }

    async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn a_turn_server_on_this_machine_needs_a_home_here() {
        let (listener, port) = listener().await;
        for host in ["127.0.0.1", "turn.example.com", "localhost"] {
            // No proxy, and a remote home whose address is not one of this machine.
            let remote = streams("https://192.0.2.1/", "none", None);
            let why = remote.open(target(host, port, false), SOON).await.err().unwrap();
            assert!(why.contains("refused to contact"), "{why}");
            let here = streams("http://127.0.0.1:1/", "none", None);
            let mut stream = here.open(target(host, port, false), SOON).await.unwrap();
            let mut accepted = listener.accept().await.unwrap().0;
            stream.write_all(b"ping").await.unwrap();
            let mut bytes = [0; 4];
            accepted.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"ping");
        }
        for (host, port) in [("", 1), ("a b", 1), ("turn.example.com", 0)] {
            assert!(streams("http://127.0.0.1:1/", "none", None).open(target(host, port, false), SOON).await.is_err());
        }
    }

    #[tokio::test]
    async fn nothing_is_contacted_before_the_first_poll_and_the_deadline_holds() {
        let (listener, port) = listener().await;
        let here = streams("https://192.0.2.1/", &format!("http://127.0.0.1:{port}"), None);
        let opening = here.open(target("turn.example.com", 3478, false), Duration::from_millis(100));
        assert!(tokio::time::timeout(Duration::from_millis(50), listener.accept()).await.is_err());
        // The proxy does not answer.
        let why = tokio::time::timeout(SOON, opening).await.unwrap().err().unwrap();
        assert!(why.contains("did not answer in time when asked for turn.example.com:3478"), "{why}");
        assert!(tokio::time::timeout(SOON, listener.accept()).await.is_ok());
    }

    #[tokio::test]
    async fn tls_through_a_proxy_negotiates_no_protocol() {
        let certified = rcgen::generate_simple_self_signed(["turn.example.com".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        // A client that offered HTTP would be refused.
        config.alpn_protocols = vec![b"stun.turn".to_vec()];
        let path = std::env::temp_dir().join(format!("offhook-{}-turn.pem", std::process::id()));
        std::fs::write(&path, certified.cert.pem()).unwrap();
        let (listener, port) = listener().await;
        let server = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut stream = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            stream.write_all(b"pong").await.unwrap();
            stream.flush().await.unwrap();
            (String::from_utf8(head).unwrap(), stream)
        });
        let proxied = streams("https://192.0.2.1/", &format!("http://127.0.0.1:{port}"), Some(path.clone()));
        let opened = tokio::time::timeout(SOON, proxied.open(target("turn.example.com", 443, true), SOON)).await;
        let _ = std::fs::remove_file(&path);
        let mut stream = opened.unwrap().unwrap();
        let mut bytes = [0; 4];
        tokio::time::timeout(SOON, stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(&bytes, b"pong");
        let (head, _stream) = tokio::time::timeout(SOON, server).await.unwrap().unwrap();
        assert!(head.starts_with("CONNECT turn.example.com:443 "), "{head}");
    }
}
