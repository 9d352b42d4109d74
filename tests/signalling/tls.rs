//! TLS: verified always, with the system's certificates and one CA file more.

use crate::server::{read_head, reply, serve, silent, within};
use offhook::{
    core::model::{AdmissionRequest, FailureKind},
    error::Secret,
    signalling::{
        stream::Coordinator,
        ws::{open, WsIn, WsLimits},
        Net, NetOptions,
    },
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use soketto::handshake::{server::Response, Server};
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{rustls::ServerConfig, TlsAcceptor};
use tokio_util::compat::TokioAsyncReadCompatExt;
use url::Url;

/// A file that goes away with the test.
pub struct CaFile(pub PathBuf);

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub fn ca_file(name: &str, text: &str) -> CaFile {
    let path = std::env::temp_dir().join(format!("offhook-{}-{name}.pem", std::process::id()));
    std::fs::write(&path, text).unwrap();
    CaFile(path)
}

fn net(ca: Option<&CaFile>) -> Arc<Net> {
    let options = NetOptions { ca_file: ca.map(|file| file.0.clone()), ..Default::default() };
    Arc::new(Net::new(options).unwrap())
}

/// A certificate for `name`, signed by itself: the acceptor and its PEM.
pub fn certificate(name: &str) -> (TlsAcceptor, String) {
    certificate_with(name, |_| ())
}

fn certificate_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (TlsAcceptor, String) {
    static ISSUERS: AtomicUsize = AtomicUsize::new(0);
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    // An issuer of its own, or the others would look like this one with a wrong signature.
    let issuer = format!("test {}", ISSUERS.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, issuer);
    let pair = KeyPair::generate().unwrap();
    let made = params.self_signed(&pair).unwrap();
    (acceptor(made.der().clone(), &pair), made.pem())
}

fn acceptor(certificate: CertificateDer<'static>, pair: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn https(acceptor: TlsAcceptor) -> SocketAddr {
    let server = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let body = r#"{"credentials":{"server":{"url":"https://127.0.0.1/","ws_endpoint":"wss://127.0.0.1/"},"token":"t"}}"#;
            let _ = stream.write_all(&reply("200 OK", "", body)).await;
            let _ = stream.flush().await;
            let _ = stream.read(&mut request).await;
        }
    });
    server.await.0
}

async fn join(net: Arc<Net>, address: SocketAddr) -> Result<(), (FailureKind, String)> {
    let request = AdmissionRequest { call_type: "default".into(), call_id: "x".into(), ..Default::default() };
    let coordinator = Coordinator::new(net, &format!("https://{address}"), "k", "u").unwrap();
    let coordinator = coordinator.with_timeout(Duration::from_secs(5));
    let joined = within(coordinator.join(&request, &Secret::new("token"))).await;
    joined.map(|_| ()).map_err(|failure| (failure.kind, failure.message))
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let (acceptor, pem) = certificate("127.0.0.1");
    let address = https(acceptor).await;
    // Somebody is trusted, but not this one.
    let other = ca_file("other", &certificate("127.0.0.1").1);
    let (kind, message) = join(net(Some(&other)), address).await.unwrap_err();
    assert_eq!(kind, FailureKind::Tls, "{message}");
    assert!(message.contains("CA file"), "{message}");
    assert_eq!(join(net(None), address).await.unwrap_err().0, FailureKind::Tls);
    let ca = ca_file("own", &pem);
    assert_eq!(join(net(Some(&ca)), address).await, Ok(()));
}

/// As `openssl req -x509` makes them: they may sign others.
fn signs(params: &mut CertificateParams) {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
}

/// Why a server with this certificate is refused when that very one is the CA file.
async fn pinned(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Result<(), (FailureKind, String)> {
    let (acceptor, pem) = certificate_with(name, change);
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let ca = ca_file(&format!("pinned-{}", FILES.fetch_add(1, Ordering::Relaxed)), &pem);
    join(net(Some(&ca)), https(acceptor).await).await
}

#[tokio::test]
async fn the_very_certificate_that_is_trusted_is_accepted_while_it_is_valid() {
    assert_eq!(pinned("127.0.0.1", signs).await, Ok(()));
    assert_eq!(pinned("127.0.0.1", |_| ()).await, Ok(()));
    let expired = |p: &mut CertificateParams| p.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let early = |p: &mut CertificateParams| p.not_before = rcgen::date_time_ymd(2999, 1, 1);
    type Change = fn(&mut CertificateParams);
    let changes: [(Change, &str); 2] = [(expired, "expired"), (early, "not valid yet")];
    for (change, expected) in changes {
        for ca in [false, true] {
            let change = |params: &mut CertificateParams| {
                change(params);
                if ca {
                    signs(params);
                }
            };
            let (kind, message) = pinned("127.0.0.1", change).await.unwrap_err();
            assert!(kind == FailureKind::Tls && message.contains(expected), "{message}");
        }
    }
    let (_, message) = pinned("example.com", signs).await.unwrap_err();
    assert!(message.contains("for another host name, example.com"), "{message}");
    // Somebody else's certificate of the same kind.
    let (acceptor, _) = certificate_with("127.0.0.1", signs);
    let other = ca_file("other-signs", &certificate_with("127.0.0.1", signs).1);
    let (_, message) = join(net(Some(&other)), https(acceptor).await).await.unwrap_err();
    assert!(message.contains("CA file") && !message.contains("CaUsed"), "{message}");
}

#[tokio::test]
async fn one_that_somebody_unknown_has_signed_is_accepted_too() {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    signs(&mut authority);
    authority.distinguished_name.push(DnType::CommonName, "nobody knows it");
    let authority = Issuer::new(authority, KeyPair::generate().unwrap());
    let pair = KeyPair::generate().unwrap();
    let made = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&pair, &authority).unwrap();
    let address = https(acceptor(made.der().clone(), &pair)).await;
    assert_eq!(join(net(None), address).await.unwrap_err().0, FailureKind::Tls);
    let ca = ca_file("leaf", &made.pem());
    assert_eq!(join(net(Some(&ca)), address).await, Ok(()));
}

#[tokio::test]
async fn a_server_with_nothing_in_common_is_explained() {
    // What a server with a key on P-521 does: the alert handshake_failure.
    let server = serve(|mut stream| async move {
        let mut hello = vec![0; 4096];
        let _ = stream.read(&mut hello).await;
        let _ = stream.write_all(&[21, 3, 3, 0, 2, 2, 40]).await;
    });
    let ca = ca_file("alert", &certificate("127.0.0.1").1);
    let (kind, message) = join(net(Some(&ca)), server.await.0).await.unwrap_err();
    assert_eq!(kind, FailureKind::Tls);
    assert!(message.contains("P-521") && !message.contains("HandshakeFailure"), "{message}");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (acceptor, pem) = certificate("example.com");
    let ca = ca_file("name", &pem);
    assert_eq!(join(net(Some(&ca)), https(acceptor).await).await.unwrap_err().0, FailureKind::Tls);
}

#[tokio::test]
async fn ca_files_that_are_none_say_so() {
    let address = silent().await;
    let empty = ca_file("empty", "no certificates here");
    let missing = CaFile(std::env::temp_dir().join("offhook-there-is-no-such-file.pem"));
    for file in [empty, missing] {
        let (kind, message) = join(net(Some(&file)), address).await.unwrap_err();
        assert_eq!(kind, FailureKind::Tls);
        assert!(message.contains("CA file"), "{message}");
    }
}

#[tokio::test]
async fn silence_and_plain_text_in_place_of_tls() {
    let (_, pem) = certificate("127.0.0.1");
    let ca = ca_file("silence", &pem);
    let url = Url::parse(&format!("wss://{}/", silent().await)).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(300);
    let failure = within(open(&net(Some(&ca)), &url, &[], WsLimits::default(), deadline)).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.contains("TLS"), "{}", failure.message);
    let plain = serve(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        read_head(&mut stream).await;
    });
    assert_eq!(join(net(Some(&ca)), plain.await.0).await.unwrap_err().0, FailureKind::Tls);
}

#[tokio::test]
async fn a_websocket_over_tls() {
    let (acceptor, pem) = certificate("127.0.0.1");
    let server = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let mut server = Server::new(stream.compat());
            let Ok(request) = server.receive_request().await else { return };
            let key = request.key();
            let _ = server.send_response(&Response::Accept { key, protocol: None }).await;
            let mut stream = server.into_inner().into_inner();
            let _ = stream.write_all(b"\x82\x02hi").await;
            let _ = stream.flush().await;
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        }
    });
    let ca = ca_file("wss", &pem);
    let url = Url::parse(&format!("wss://{}/", server.await.0)).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    let (sender, mut receiver) = within(open(&net(Some(&ca)), &url, &[], WsLimits::default(), deadline)).await.unwrap();
    assert_eq!(within(receiver.next()).await, WsIn::Binary(b"hi".to_vec().into()));
    sender.close(1000, "");
    within(sender.done()).await;
}
