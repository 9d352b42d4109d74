//! Servers behind a proxy: CONNECT, SOCKS 5, and proxies that misbehave.
//!
//! The names of the servers do not exist: only the proxy knows them.

use crate::{
    server::{http, read_head, reply, serve, within, ws, Seen},
    tls::{ca_file, certificate},
};
use offhook::{
    core::model::{AdmissionRequest, Failure, FailureKind},
    error::Secret,
    lookup::Lookups,
    signalling::{
        stream::Coordinator,
        ws::{open, WsLimits, WsReceiver, WsSender},
        Net, NetOptions,
    },
};
use std::{
    future::pending,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::Duration,
};
use tokio::{
    io::{copy_bidirectional, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::Instant,
};
use url::Url;

const PASSWORD: &str = "planted-proxy-password";
const NAME: &str = "coordinator.test";

fn options(proxy: String) -> NetOptions {
    NetOptions { insecure_allowed: true, other_hosts_allowed: true, proxy: Some(proxy), ..Default::default() }
}

/// A network on which every name is this machine, and the number of look-ups.
fn net_with(options: NetOptions, environment: &[(&str, &str)]) -> (Arc<Net>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let resolver = move |_: &str| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(vec!["127.0.0.1".parse().unwrap()])
    };
    let find = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
    (Arc::new(Net::with(options, Lookups::new(resolver, Default::default()), &find).unwrap()), count)
}

fn net(proxy: String) -> Arc<Net> {
    net_with(options(proxy), &[]).0
}

async fn get(net: Arc<Net>, base: &str) -> Result<(), Failure> {
    let coordinator = Coordinator::new(net, base, "k", "u").unwrap().with_timeout(Duration::from_secs(10));
    let request = AdmissionRequest { call_type: "default".into(), call_id: "x".into(), ..Default::default() };
    within(coordinator.join(&request, &Secret::new("planted-token"))).await.map(drop)
}

async fn socket(net: &Net, url: &str, within_ms: u64) -> Result<(WsSender, WsReceiver), Failure> {
    let deadline = Instant::now() + Duration::from_millis(within_ms);
    within(open(net, &Url::parse(url).unwrap(), &[], WsLimits::default(), deadline)).await
}

fn answer() -> Vec<u8> {
    let body = r#"{"credentials":{"server":{"url":"https://sfu.test/","ws_endpoint":"wss://sfu.test/"},"token":"t"}}"#;
    reply("200 OK", "", body)
}

async fn server() -> (SocketAddr, mpsc::Receiver<Seen>) {
    let (address, seen, _) = http(answer()).await;
    (address, seen)
}

/// A proxy that answers CONNECT with `head` and then leads to `to`; reports requests.
async fn connect_proxy(head: &'static str, to: SocketAddr) -> (SocketAddr, mpsc::Receiver<String>) {
    let (report, seen) = mpsc::channel(16);
    let (address, _) = serve(move |mut stream| {
        let report = report.clone();
        async move {
            let Some(request) = read_head(&mut stream).await else { return };
            let _ = report.try_send(request);
            if stream.write_all(head.as_bytes()).await.is_err() || !head.contains(" 200 ") {
                return;
            }
            lead(stream, to).await;
        }
    })
    .await;
    (address, seen)
}

async fn lead(mut stream: impl AsyncRead + AsyncWrite + Unpin, to: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let _ = copy_bidirectional(&mut stream, &mut server).await;
}

/// A proxy with SOCKS 5 that leads to `to`; with `login` it requires user name and password. Reports the target.
async fn socks_proxy(login: Option<&'static str>, to: SocketAddr) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let (report, seen) = mpsc::channel(16);
    let (address, _) = serve(move |mut stream| {
        let report = report.clone();
        async move {
            let exchange = async {
                let [_, count] = take(&mut stream).await?;
                let mut methods = vec![0; usize::from(count)];
                stream.read_exact(&mut methods).await.ok()?;
                let method = if login.is_some() { 2 } else { 0 };
                if !methods.contains(&method) {
                    stream.write_all(&[5, 0xff]).await.ok()?;
                    return None;
                }
                stream.write_all(&[5, method]).await.ok()?;
                if let Some(login) = login {
                    let [_, length] = take(&mut stream).await?;
                    let mut user = vec![0; usize::from(length)];
                    stream.read_exact(&mut user).await.ok()?;
                    let [length] = take(&mut stream).await?;
                    let mut password = vec![0; usize::from(length)];
                    stream.read_exact(&mut password).await.ok()?;
                    let right = [&user[..], b":", &password].concat() == login.as_bytes();
                    stream.write_all(&[1, u8::from(!right)]).await.ok()?;
                    if !right {
                        return None;
                    }
                }
                let [_, _, _, kind] = take(&mut stream).await?;
                let length = match kind {
                    1 => 4,
                    4 => 16,
                    _ => usize::from(take::<1>(&mut stream).await?[0]),
                };
                let mut target = vec![0; length + 2];
                stream.read_exact(&mut target).await.ok()?;
                let _ = report.try_send(target);
                // A bound address as a name: its length is part of the reply.
                stream.write_all(b"\x05\0\0\x03\x05proxy\0\x50").await.ok()
            };
            if exchange.await.is_some() {
                lead(stream, to).await;
            }
        }
    })
    .await;
    (address, seen)
}

async fn take<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

fn without_secrets(failure: &Failure) {
    let text = format!("{failure:?}");
    for secret in [PASSWORD, "cGxhbnRlZC1wcm94", "planted-token", "alice"] {
        assert!(!text.contains(secret), "{text}");
    }
}

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n";

#[tokio::test]
async fn http_and_websocket_through_a_proxy_that_resolves_the_name() {
    let (server, mut at_server) = server().await;
    let (proxy, mut at_proxy) = connect_proxy(ESTABLISHED, server).await;
    let (net, lookups) = net_with(options(format!("http://{proxy}")), &[]);
    assert_eq!(get(net, &format!("http://{NAME}/base")).await, Ok(()));
    assert_eq!(at_proxy.recv().await.unwrap(), format!("CONNECT {NAME}:80 HTTP/1.1\r\nHost: {NAME}:80\r\n\r\n"));
    let head = at_server.recv().await.unwrap().head;
    assert!(head.starts_with("POST /base/") && !head.to_ascii_lowercase().contains("proxy"), "{head}");
    assert_eq!(lookups.load(Ordering::SeqCst), 0, "only the proxy looks the name up");

    let server = ws(Vec::new(), |stream| async move {
        let _hold = stream;
        pending::<()>().await
    })
    .await;
    let (proxy, mut at_proxy) = connect_proxy(ESTABLISHED, server).await;
    assert!(socket(&net_with(options(proxy.to_string()), &[]).0, "ws://[2001:db8::1]:81/", 10_000).await.is_ok());
    assert!(at_proxy.recv().await.unwrap().starts_with("CONNECT [2001:db8::1]:81 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn credentials_are_sent_to_the_proxy_only() {
    let (server, mut at_server) = server().await;
    let (proxy, mut at_proxy) = connect_proxy(ESTABLISHED, server).await;
    let net = net(format!("http://al%69ce:{PASSWORD}%21@{proxy}"));
    assert!(!format!("{net:?}").contains(PASSWORD));
    assert_eq!(get(net, &format!("http://{NAME}/")).await, Ok(()));
    let head = at_proxy.recv().await.unwrap();
    // alice:planted-proxy-password!
    assert!(head.contains("\r\nProxy-Authorization: Basic YWxpY2U6cGxhbnRlZC1wcm94eS1wYXNzd29yZCE=\r\n"), "{head}");
    assert!(!at_server.recv().await.unwrap().head.to_ascii_lowercase().contains("proxy-auth"));
}

#[tokio::test]
async fn socks_with_and_without_a_login() {
    for login in [None, Some("alice:planted-proxy-password")] {
        let (server, _seen) = server().await;
        let (proxy, mut at_proxy) = socks_proxy(login, server).await;
        for scheme in ["socks5", "socks5h"] {
            let (net, lookups) = net_with(options(format!("{scheme}://alice:{PASSWORD}@{proxy}")), &[]);
            assert_eq!(get(net, &format!("http://{NAME}:258/")).await, Ok(()));
            assert_eq!(at_proxy.recv().await.unwrap(), [NAME.as_bytes(), &[1, 2]].concat());
            assert_eq!(lookups.load(Ordering::SeqCst), 0);
        }
    }
    let (proxy, _) = socks_proxy(Some("alice:other"), ([127, 0, 0, 1], 1).into()).await;
    let failure = get(net(format!("socks5://alice:{PASSWORD}@{proxy}")), &format!("http://{NAME}/")).await.unwrap_err();
    without_secrets(&failure);
    let wanted = format!("the proxy socks5://{proxy} does not accept the credentials in its URL");
    assert_eq!((failure.kind, failure.message), (FailureKind::Connect, wanted));
    let failure = get(net(format!("socks5://{proxy}")), &format!("http://{NAME}/")).await.unwrap_err();
    assert!(failure.message.contains("requires a login: set credentials"), "{}", failure.message);
}

#[tokio::test]
async fn tls_through_a_proxy_and_to_a_proxy() {
    let (of_server, server_pem) = certificate(NAME);
    let (of_proxy, proxy_pem) = certificate("127.0.0.1");
    let ca = ca_file("proxy", &(server_pem + &proxy_pem));
    let server = serve(move |stream| {
        let acceptor = of_server.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(&answer()).await;
            let _ = stream.flush().await;
            let _ = stream.read(&mut [0; 1]).await;
        }
    });
    let server = server.await.0;
    let with_ca = |proxy: String, ca: Option<&PathBuf>| {
        let options = NetOptions { ca_file: ca.cloned(), insecure_allowed: false, ..options(proxy) };
        net_with(options, &[]).0
    };
    let (plain, mut at_proxy) = connect_proxy(ESTABLISHED, server).await;
    assert_eq!(get(with_ca(format!("http://{plain}"), Some(&ca.0)), &format!("https://{NAME}/")).await, Ok(()));
    assert!(at_proxy.recv().await.unwrap().starts_with(&format!("CONNECT {NAME}:443 HTTP/1.1\r\n")));
    // The server's certificate must be for the server's name.
    let failure = get(with_ca(format!("http://{plain}"), Some(&ca.0)), "https://other.test/").await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Tls, "{failure:?}");

    let encrypted = serve(move |stream| {
        let acceptor = of_proxy.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let _ = stream.write_all(ESTABLISHED.as_bytes()).await;
            lead(stream, server).await;
        }
    });
    let encrypted = encrypted.await.0;
    assert_eq!(get(with_ca(format!("https://{encrypted}"), Some(&ca.0)), &format!("https://{NAME}/")).await, Ok(()));
    // The proxy's certificate is verified as well.
    let failure = get(with_ca(format!("https://{encrypted}"), None), &format!("https://{NAME}/")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Tls);
    assert!(failure.message.starts_with(&format!("proxy: TLS with {encrypted} failed")), "{}", failure.message);
}

#[tokio::test]
async fn a_refusal_names_proxy_target_and_status() {
    let nowhere = ([127, 0, 0, 1], 1).into();
    let (proxy, _) = connect_proxy("HTTP/1.1 407 planted-proxy-password\r\ncontent-length: 0\r\n\r\n", nowhere).await;
    for (login, advice) in [
        (String::new(), "set credentials in the URL of the proxy"),
        (format!("alice:{PASSWORD}@"), "the credentials in the URL of the proxy are not accepted"),
    ] {
        let net = net(format!("http://{login}{proxy}"));
        let failure = get(net.clone(), &format!("http://{NAME}/")).await.unwrap_err();
        without_secrets(&failure);
        assert_eq!((failure.kind, failure.code), (FailureKind::Connect, 407));
        let wanted = format!("the proxy http://{proxy} refused CONNECT to {NAME}:80 with 407: {advice}");
        assert_eq!(failure.message, wanted);
        assert_eq!(socket(&net, &format!("ws://{NAME}/"), 10_000).await.unwrap_err().message, wanted);
    }
    // Nobody listens there.
    let (proxy, _) = connect_proxy(ESTABLISHED, nowhere).await;
    let dead = serve(|_| async {}).await.0;
    let dead = SocketAddr::new([127, 0, 0, 77].into(), dead.port());
    let failure = get(net(format!("http://alice:{PASSWORD}@{dead}")), &format!("http://{NAME}/")).await.unwrap_err();
    without_secrets(&failure);
    assert!(failure.message.starts_with(&format!("proxy: could not connect to {dead}: ")), "{}", failure.message);
    // The server behind the tunnel is gone.
    let failure = get(net(format!("http://{proxy}")), &format!("http://{NAME}/")).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect);
}

#[tokio::test]
async fn proxies_that_misbehave() {
    /// Writes the same bytes until the peer goes away.
    async fn endless(mut stream: TcpStream, begin: &'static [u8], more: &'static [u8]) {
        let mut bytes = begin;
        while stream.write_all(bytes).await.is_ok() {
            bytes = more;
        }
    }
    type Script = (&'static [u8], &'static [u8]);
    let cases: [(Script, FailureKind); 6] = [
        ((b"HTTP/1.1 200 OK\r\n", b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n"), FailureKind::TooLarge),
        ((b"HTTP/1.1 200 OK\r\nx: ", b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"), FailureKind::TooLarge),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 x\r\n\r\n"), FailureKind::TooLarge),
        ((b"\0\x01\x02garbage", b"\xff"), FailureKind::Malformed),
        ((b"HTTP/1.1 200 OK\r\n", b""), FailureKind::Connect),
        ((b"", b""), FailureKind::Connect),
    ];
    for ((begin, more), kind) in cases {
        let proxy = serve(move |mut stream| async move {
            read_head(&mut stream).await;
            match more {
                b"" => drop(stream.write_all(begin).await),
                more => endless(stream, begin, more).await,
            }
        });
        let net = net(format!("http://alice:{PASSWORD}@{}", proxy.await.0));
        let failure = get(net, &format!("http://{NAME}/")).await.unwrap_err();
        without_secrets(&failure);
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert!(failure.message.starts_with("the proxy http://127.0.0.1:"), "{}", failure.message);
    }
    for (answer, kind) in [(&b"HTTP/1.1 200 OK\r\n\r\n"[..], FailureKind::Malformed), (b"\x05", FailureKind::Connect)] {
        let proxy = serve(move |mut stream| async move {
            let _ = stream.read(&mut [0; 16]).await;
            let _ = stream.write_all(answer).await;
        });
        let net = net(format!("socks5://alice:{PASSWORD}@{}", proxy.await.0));
        let failure = get(net, &format!("http://{NAME}/")).await.unwrap_err();
        without_secrets(&failure);
        assert_eq!(failure.kind, kind, "{}", failure.message);
    }
}

#[tokio::test]
async fn a_silent_proxy_costs_the_deadline_and_no_more() {
    let silent = crate::server::silent().await;
    for scheme in ["http", "socks5"] {
        let begin = Instant::now();
        let net = net(format!("{scheme}://alice:{PASSWORD}@{silent}"));
        let failure = socket(&net, &format!("ws://{NAME}/"), 200).await.unwrap_err();
        without_secrets(&failure);
        assert_eq!(failure.kind, FailureKind::Timeout);
        let wanted = format!("the proxy {scheme}://{silent} did not answer in time when asked for {NAME}:80");
        assert_eq!(failure.message, wanted);
        assert!(begin.elapsed() >= Duration::from_millis(200) && begin.elapsed() < Duration::from_secs(10));
    }
    // TLS to the proxy.
    let ca = ca_file("silent-proxy", &certificate("127.0.0.1").1);
    let encrypted = NetOptions { ca_file: Some(ca.0.clone()), ..options(format!("https://{silent}")) };
    let failure = socket(&net_with(encrypted, &[]).0, &format!("ws://{NAME}/"), 200).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(failure.message.starts_with("proxy: "), "{}", failure.message);
}

#[tokio::test]
async fn the_environment_and_its_exceptions() {
    let (server, _seen) = server().await;
    let (proxy, mut at_proxy) = connect_proxy(ESTABLISHED, server).await;
    let url = format!("http://alice:{PASSWORD}@{proxy}");
    let base = format!("http://{NAME}:{}/", server.port());
    let plain = || NetOptions { insecure_allowed: true, other_hosts_allowed: true, ..Default::default() };
    // From the environment.
    let (net, lookups) = net_with(plain(), &[("HTTP_PROXY", &url)]);
    assert_eq!(get(net, &base).await, Ok(()));
    assert!(at_proxy.recv().await.is_some() && lookups.load(Ordering::SeqCst) == 0);
    // Exceptions apply to the option, too.
    for (options, environment) in [
        (plain(), [("HTTP_PROXY", url.as_str()), ("NO_PROXY", ".test")]),
        (options(url.clone()), [("x", ""), ("no_proxy", NAME)]),
        (options("none".to_owned()), [("HTTP_PROXY", url.as_str()), ("ALL_PROXY", &url)]),
    ] {
        let (net, lookups) = net_with(options, &environment);
        assert_eq!(get(net, &base).await, Ok(()));
        assert!(at_proxy.try_recv().is_err() && lookups.load(Ordering::SeqCst) == 1, "direct: {environment:?}");
    }
    // Loopback is always direct.
    assert_eq!(get(net_with(options(url.clone()), &[]).0, &format!("http://{server}/")).await, Ok(()));
    assert!(at_proxy.try_recv().is_err());
}

#[test]
fn an_unusable_url_is_an_error_of_the_constructor() {
    let options = options(format!("gopher://alice:{PASSWORD}@proxy.test"));
    let shown = format!("{options:?}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("alice"), "{shown}");
    let why = Net::new(options).unwrap_err();
    assert!(why.contains("scheme") && !why.contains(PASSWORD) && !why.contains("alice"), "{why}");
}
