//! Diagnoses against servers in this process: what works, and each way in which it does not.

use super::*;
use crate::core::model::IceServer;
use crate::signalling::ws::WsLimits;
use rcgen::{CertificateParams, KeyPair};
use rustls::{pki_types::PrivateKeyDer, ServerConfig};
use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};
use tokio_rustls::TlsAcceptor;

const TOKEN: &str = "head5ecretHead.pay5ecretLoad.sig5ecretNature0123";

fn request(service: Service, url: &str) -> Request {
    let options = ServiceOptions {
        url: url.to_owned(),
        api_key: String::new(),
        user_id: "doctor".into(),
        token: Secret::default(),
        hint_url: String::new(),
        events: false,
        limits: WsLimits::default(),
    };
    // The environment of the tests may have a proxy; servers on this machine are reached directly in any case.
    let net = NetOptions { proxy: Some("none".into()), ..NetOptions::default() };
    let timeout = Duration::from_secs(15);
    Request { service, options, net, policy: NetworkPolicy::default(), call: None, ice_servers: Vec::new(), timeout }
}

/// Runs a diagnosis on the library's runtime, as the C interface does.
async fn diagnose(request: Request) -> Report {
    let journal = Journal::new(request.secrets(), None);
    let of_task = journal.clone();
    let task = runtime::spawn("diagnose", async move { run(request, &of_task).await }).unwrap();
    tokio::time::timeout(Duration::from_secs(30), task).await.expect("the test's deadline passed").unwrap();
    let report = journal.report();
    let shown = format!("{} {}", report.json(), report.text());
    assert!(!shown.contains("5ecret"), "{shown}");
    report
}

fn step<'a>(report: &'a Report, name: &str) -> &'a Step {
    let found = report.steps.iter().find(|step| step.name == name);
    found.unwrap_or_else(|| panic!("no step {name} in:\n{}", report.text()))
}

fn has_failed(report: &Report, name: &str, cause: &str) -> String {
    let step = step(report, name);
    assert_eq!((step.state, step.cause), (State::Failed, cause), "{}", report.text());
    assert!(!step.advice.is_empty(), "{}", report.text());
    assert_eq!(report.state(), State::Failed);
    step.found.clone()
}

/// A listener that hands each connection to `script`.
async fn serve<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// Answers every request with these bytes.
async fn answering(reply: &'static str) -> SocketAddr {
    serve(move |mut stream| async move {
        let mut request = [0; 8192];
        while stream.read(&mut request).await.is_ok_and(|length| length > 0) {
            if stream.write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn against_the_development_sfu_everything_is_ok() {
    let sfu = offhook_sfu::Sfu::start(offhook_sfu::Config::default()).await.unwrap();
    let mut request = request(Service::Stream, sfu.url());
    request.options.token = Secret::new(TOKEN);
    request.call = Some(("default".into(), "diagnosis".into()));
    let report = diagnose(request).await;
    let states = report.text();
    assert_eq!(report.count(State::Failed), 0, "{states}");
    for name in ["lookup", "tcp", "http", "join", "publisher"] {
        assert_eq!(step(&report, name).state, State::Ok, "{states}");
    }
    assert!(step(&report, "publisher").found.starts_with("sends over UDP: host 127.0.0.1 to "), "{states}");
    assert!(!report.cut_off);
    // It has left.
    let begun = std::time::Instant::now();
    while sfu.state().to_string().contains("\"user_id\":\"doctor\"") && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sfu.stop().await;
}

#[tokio::test]
async fn without_a_token_the_service_is_recognised() {
    let sfu = offhook_sfu::Sfu::start(offhook_sfu::Config::default()).await.unwrap();
    let report = diagnose(request(Service::Stream, sfu.url())).await;
    assert_eq!(report.count(State::Failed), 0, "{}", report.text());
    assert!(step(&report, "http").found.starts_with("a Stream coordinator"), "{}", report.text());
    assert_eq!(step(&report, "join").state, State::Skipped);
    let at = answering("HTTP/1.1 401 Unauthorized\r\ncontent-length: 17\r\n\r\nno access allowed").await;
    let report = diagnose(request(Service::LiveKit, &format!("ws://{at}"))).await;
    let found = &step(&report, "http").found;
    assert_eq!(found, "a LiveKit server, HTTP 401; it requires a token, and none was given", "{}", report.text());
    // The same answer to a token is a refusal.
    let mut refused = request(Service::LiveKit, &format!("ws://{at}"));
    refused.options.token = Secret::new(TOKEN);
    let report = diagnose(refused).await;
    assert!(has_failed(&report, "http", "token").ends_with("HTTP 401: no access allowed"));
}

#[tokio::test]
async fn a_closed_port_refuses() {
    // Bound, so that nobody else can listen there.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let report = diagnose(request(Service::Stream, &format!("http://{address}"))).await;
    has_failed(&report, "tcp", "refused");
    assert!(step(&report, "tcp").details[0].starts_with(&format!("{address}: Connection refused")));
}

#[tokio::test]
async fn a_name_without_an_address() {
    let report = diagnose(request(Service::Stream, "https://host.invalid")).await;
    has_failed(&report, "lookup", "name");
}

#[tokio::test]
async fn a_silent_server_costs_no_more_than_the_time_limit() {
    let address = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    for (url, name) in [(format!("https://{address}"), "tls"), (format!("http://{address}"), "http")] {
        let mut request = request(Service::Stream, &url);
        request.timeout = Duration::from_millis(700);
        let begun = std::time::Instant::now();
        let report = diagnose(request).await;
        assert!(begun.elapsed() < Duration::from_secs(10));
        has_failed(&report, name, "timeout");
    }
}

#[tokio::test]
async fn another_service_is_not_taken_for_this_one() {
    for reply in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n",
    ] {
        let address = answering(reply).await;
        for (service, url) in
            [(Service::LiveKit, format!("ws://{address}")), (Service::Stream, format!("http://{address}"))]
        {
            has_failed(&diagnose(request(service, &url)).await, "http", "not_the_service");
        }
    }
    let address = answering("SSH-2.0-x\r\n").await;
    has_failed(&diagnose(request(Service::LiveKit, &format!("ws://{address}"))).await, "http", "malformed");
    has_failed(&diagnose(request(Service::LiveKit, &format!("wss://{address}"))).await, "tls", "not_tls");
}

/// A file that goes away with the test.
struct CaFile(PathBuf);

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A TLS server with a certificate of its own, which is in the file.
async fn secured(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (SocketAddr, CaFile) {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    let pair = KeyPair::generate().unwrap();
    let made = params.self_signed(&pair).unwrap();
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("offhook-{}-doctor-{number}.pem", std::process::id()));
    std::fs::write(&path, made.pem()).unwrap();
    let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut request = [0; 8192];
            while stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                let reply = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
                if stream.write_all(reply.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    (address, CaFile(path))
}

#[tokio::test]
async fn a_certificate_has_its_problem_by_name() {
    let report_of = |address: SocketAddr, file: &CaFile| {
        let mut request = request(Service::LiveKit, &format!("wss://{address}"));
        request.net.ca_file = Some(file.0.clone());
        diagnose(request)
    };
    let (address, file) = secured("127.0.0.1", |_| ()).await;
    let report = report_of(address, &file).await;
    assert_eq!(report.count(State::Failed), 0, "{}", report.text());
    assert!(step(&report, "tls").found.starts_with("TLS 1.3"), "{}", report.text());
    let (expired, its_file) = secured("127.0.0.1", |p| p.not_after = rcgen::date_time_ymd(2001, 1, 1)).await;
    has_failed(&report_of(expired, &its_file).await, "tls", "certificate_expired");
    let (early, its_file) = secured("127.0.0.1", |p| p.not_before = rcgen::date_time_ymd(2999, 1, 1)).await;
    has_failed(&report_of(early, &its_file).await, "tls", "certificate_not_valid_yet");
    let (other, its_file) = secured("other.example.com", |_| ()).await;
    has_failed(&report_of(other, &its_file).await, "tls", "certificate_wrong_host");
    let (unknown, _) = secured("127.0.0.1", |p| {
        p.distinguished_name.push(rcgen::DnType::CommonName, "somebody else");
    })
    .await;
    has_failed(&report_of(unknown, &file).await, "tls", "certificate_unknown_issuer");
    // What follows TLS is not tried.
    let report = report_of(unknown, &file).await;
    assert!(report.steps.iter().all(|step| step.name != "http"), "{}", report.text());
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let proxy = answering("HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let mut request = request(Service::LiveKit, "wss://sfu.example.com");
    request.net.proxy = Some(format!("http://user:proxy5ecret@{proxy}"));
    let report = diagnose(request).await;
    let found = has_failed(&report, "proxy", "proxy_refused");
    assert!(found.contains("refused CONNECT to sfu.example.com:443 with 403"), "{found}");
    assert_eq!(step(&report, "proxy").target, format!("http://{proxy}"));
    let asks = answering("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let mut request = self::request(Service::LiveKit, "wss://sfu.example.com");
    request.net.proxy = Some(format!("http://{asks}"));
    has_failed(&diagnose(request).await, "proxy", "proxy_credentials");
    let mut request = self::request(Service::LiveKit, "wss://sfu.example.com");
    request.net.proxy = Some("http://user:proxy5ecret@:1".into());
    has_failed(&diagnose(request).await, "proxy", "argument");
}

fn message(kind: u16, id: &[u8], attributes: &[u8]) -> Vec<u8> {
    let length = (attributes.len() as u16).to_be_bytes();
    [&kind.to_be_bytes()[..], &length, &[0x21, 0x12, 0xa4, 0x42], id, attributes].concat()
}

/// A server over UDP: answers binding requests, and refuses allocations, in the end with this code; 0: never answers.
async fn ice_server(code: u16) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if code == 0 || length < 20 {
                continue;
            }
            let id = buffer[8..20].to_vec();
            // Without a user name the request is refused with 401, which brings the realm and the nonce.
            let signed = buffer[20..length].windows(4).any(|bytes| bytes == b"user");
            let error = |code: u16| {
                let mut attributes = vec![0, 9, 0, 4, 0, 0, (code / 100) as u8, (code % 100) as u8];
                attributes.extend(b"\x00\x14\x00\x04real\x00\x15\x00\x04nonc");
                message(0x0113, &id, &attributes)
            };
            let SocketAddr::V4(seen) = from else { continue };
            let mut mapped = vec![0, 0x20, 0, 8, 0, 1];
            mapped.extend((seen.port() ^ 0x2112).to_be_bytes());
            mapped.extend(seen.ip().octets().iter().zip([0x21, 0x12, 0xa4, 0x42]).map(|(a, b)| a ^ b));
            let reply = match u16::from_be_bytes([buffer[0], buffer[1]]) {
                0x0001 => message(0x0101, &id, &mapped),
                0x0003 if signed => error(code),
                0x0003 => error(401),
                _ => continue,
            };
            let _ = socket.send_to(&reply, from).await;
        }
    });
    address
}

#[tokio::test]
async fn stun_and_turn_servers_are_checked_by_themselves() {
    let sfu = offhook_sfu::Sfu::start(offhook_sfu::Config::default()).await.unwrap();
    let (refusing, full, silent) = (ice_server(401).await, ice_server(486).await, ice_server(0).await);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = closed.local_addr().unwrap();
    drop(closed);
    let turn = |url: String| IceServer {
        urls: vec![url],
        username: "user".into(),
        password: Secret::new("turn5ecretPassword"),
    };
    let mut request = request(Service::Stream, sfu.url());
    request.timeout = Duration::from_secs(4);
    request.ice_servers = vec![
        IceServer { urls: vec![format!("stun:{refusing}")], ..IceServer::default() },
        turn(format!("turn:{refusing}")),
        turn(format!("turn:{full}?transport=udp")),
        turn(format!("turn:{silent}")),
        turn(format!("turn:{tcp}?transport=tcp")),
        IceServer { urls: vec![format!("turn:{full}")], ..IceServer::default() },
        turn("http://127.0.0.1".into()),
    ];
    let report = diagnose(request).await;
    let text = report.text();
    let of = |target: String| {
        let found = report.steps.iter().find(|step| step.target == target);
        let step = found.unwrap_or_else(|| panic!("{target} is not in:\n{text}"));
        (step.state, step.cause)
    };
    assert_eq!(of(format!("stun:{refusing}")), (State::Ok, ""), "{text}");
    assert_eq!(of(format!("turn:{refusing}")), (State::Failed, "credentials"), "{text}");
    assert_eq!(of(format!("turn:{full}?transport=udp")), (State::Failed, "quota"), "{text}");
    assert_eq!(of(format!("turn:{silent}")), (State::Failed, "unreachable"), "{text}");
    assert_eq!(of(format!("turn:{tcp}?transport=tcp")), (State::Failed, "unreachable"), "{text}");
    assert_eq!(of(format!("turn:{full}")), (State::Failed, "credentials"), "{text}");
    assert_eq!(of("http://127.0.0.1".into()), (State::Warning, "url"), "{text}");
    assert!(text.contains("401: wrong user name or password"), "{text}");
}

#[tokio::test]
async fn options_that_cannot_work_are_steps_as_well() {
    let report = diagnose(request(Service::Stream, "http://192.0.2.1")).await;
    has_failed(&report, "url", "insecure");
    let report = diagnose(request(Service::LiveKit, "wss://user:5ecret@h")).await;
    has_failed(&report, "url", "malformed");
}

#[test]
fn a_proxy_password_is_a_secret() {
    let of = |url: &str| password_of(url).map(|secret| secret.reveal().to_owned());
    assert_eq!(of("http://user:hunter2@h:3128/x@y").as_deref(), Some("hunter2"));
    assert_eq!(of("user:hunter2@h").as_deref(), Some("hunter2"));
    assert_eq!(of("http://h:3128"), None);
    assert_eq!(of("none"), None);
}
