//! The coordinator and the location hint.

use crate::server::{http, net, read_head, reply, serve, silent, within};
use offhook::{
    core::model::{AdmissionRequest, Failure, FailureKind},
    error::Secret,
    signalling::{
        stream::{hint, Coordinator},
        Net, NetOptions,
    },
};
use serde_json::{json, Value};
use std::{
    net::SocketAddr,
    sync::{atomic::Ordering, Arc},
    time::{Duration, Instant},
};
use tokio::io::AsyncWriteExt;

const TOKEN: &str = "planted-user-token-0123456789";

fn token() -> Secret {
    Secret::new(TOKEN)
}

fn coordinator(address: SocketAddr) -> Coordinator {
    Coordinator::new(net(), &format!("http://{address}/base/"), "key&1", "ann smith").unwrap()
}

fn request() -> AdmissionRequest {
    AdmissionRequest { call_type: "default".into(), call_id: "demo".into(), create: true, ..Default::default() }
}

fn answer() -> Value {
    json!({
        "call": {"cid": "default:demo", "created_at": 1_700_000_000_000_000_000u64, "custom": {"x": [1, {"y": null}]},
                 "settings": {"audio": {"opus_dtx_enabled": true, "redundant_coding_enabled": true}}},
        "own_capabilities": ["send-audio", 7, "send-video"],
        "credentials": {
            "server": {"edge_name": "sfu-a", "url": "http://127.0.0.1:1/sfu-a/twirp", "ws_endpoint": "ws://127.0.0.1:1/sfu-a/ws"},
            "token": "planted-sfu-token-abcdef",
            "ice_servers": [
                {"urls": "turn:127.0.0.1:3478", "username": "u", "password": "planted-turn-one"},
                {"urls": ["stun:127.0.0.1:1", "stun:127.0.0.1:2"], "username": "v", "credential": "planted-turn-two"},
                {"username": "no urls"}, "nonsense"
            ]},
        "stats_options": {"reporting_interval_ms": 8000},
        "created": true, "duration": "1.00ms"
    })
}

async fn refused(bytes: Vec<u8>) -> Failure {
    let (address, _seen, _) = http(bytes).await;
    within(coordinator(address).join(&request(), &token())).await.unwrap_err()
}

#[tokio::test]
async fn a_join_says_and_understands_everything() {
    let (address, mut seen, _) = http(reply("201 Created", "", answer().to_string())).await;
    let full = AdmissionRequest {
        call_id: "a/b?c d".into(),
        ring: true,
        members_limit: 9,
        data_json: r#"{"custom":{"topic":"x"}}"#.into(),
        connection_id: "c=1".into(),
        migrating_from: "sfu-b".into(),
        migrating_from_list: vec!["sfu-b".into(), "sfu-c".into()],
        ..request()
    };
    let admission = within(coordinator(address).join(&full, &token())).await.unwrap();
    assert_eq!(admission.url, "http://127.0.0.1:1/sfu-a/twirp");
    assert_eq!(admission.ws_endpoint, "ws://127.0.0.1:1/sfu-a/ws");
    assert_eq!(admission.token.reveal(), "planted-sfu-token-abcdef");
    assert_eq!((admission.edge_name.as_str(), admission.cid.as_str()), ("sfu-a", "default:demo"));
    let grants = admission.grants.expect("capabilities are rights");
    assert_eq!((grants.audio, grants.video, grants.screen_share, grants.data), (true, true, false, true));
    assert_eq!((admission.created, admission.stats_interval_ms), (true, 8000));
    assert!(admission.opus_dtx && admission.opus_red);
    assert_eq!(admission.ice_servers.len(), 2);
    assert_eq!(admission.ice_servers[0].urls, ["turn:127.0.0.1:3478"]);
    assert_eq!(admission.ice_servers[0].password.reveal(), "planted-turn-one");
    assert_eq!(admission.ice_servers[1].urls.len(), 2);
    assert_eq!(admission.ice_servers[1].password.reveal(), "planted-turn-two");
    assert!(!format!("{admission:?}").contains("planted"));

    let seen = within(seen.recv()).await.unwrap();
    let line = seen.head.lines().next().unwrap();
    assert_eq!(
        line,
        "POST /base/api/v2/video/call/default/a%2Fb%3Fc%20d/join?user_id=ann+smith&api_key=key%261&connection_id=c%3D1 HTTP/1.1"
    );
    let head = seen.head.to_ascii_lowercase();
    for header in [
        format!("authorization: {TOKEN}"),
        "stream-auth-type: jwt".into(),
        format!("x-stream-client: offhook-{}", env!("CARGO_PKG_VERSION")),
        "content-type: application/json".into(),
        "x-client-request-id: ".into(),
    ] {
        assert!(head.contains(&format!("\r\n{header}")), "{header} is missing in {head}");
    }
    assert_eq!(
        serde_json::from_slice::<Value>(&seen.body).unwrap(),
        json!({"location": "auto", "create": true, "video": false, "ring": true, "members_limit": 9,
               "data": {"custom": {"topic": "x"}}, "migrating_from": "sfu-b", "migrating_from_list": ["sfu-b", "sfu-c"]})
    );
}

#[tokio::test]
async fn the_least_answer_is_enough_and_less_is_not() {
    let least = json!({"credentials": {"server": {"url": "http://127.0.0.1:1", "ws_endpoint": "ws://127.0.0.1:1"}, "token": "t"},
                       "call": 7, "own_capabilities": {}, "stats_options": "often", "created": "yes"});
    let (address, _seen, _) = http(reply("200 OK", "", least.to_string())).await;
    let admission = within(coordinator(address).join(&request(), &token())).await.unwrap();
    assert_eq!((admission.cid.as_str(), admission.stats_interval_ms), ("default:demo", 0));
    for (pointer, word) in [
        ("/credentials/server/url", "url"),
        ("/credentials/server/ws_endpoint", "ws_endpoint"),
        ("/credentials/token", "token"),
    ] {
        let mut less = least.clone();
        *less.pointer_mut(pointer).unwrap() = Value::Null;
        let failure = refused(reply("200 OK", "", less.to_string())).await;
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert!(failure.message.contains(word), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_call_can_be_read() {
    let (address, mut seen, _) = http(reply("200 OK", "", answer().to_string())).await;
    let info = within(coordinator(address).get("default", "demo", &token())).await.unwrap();
    assert_eq!((info.cid.as_str(), info.own_capabilities.len(), info.opus_dtx), ("default:demo", 2, true));
    let head = within(seen.recv()).await.unwrap().head;
    assert!(head.starts_with("GET /base/api/v2/video/call/default/demo?user_id="), "{head}");
}

#[tokio::test]
async fn a_refusal_keeps_code_and_text() {
    let body = json!({"code": 17, "message": "not\r\nallowed", "StatusCode": 403, "unrecoverable": true});
    let failure = refused(reply("403 Forbidden", "", body.to_string())).await;
    assert_eq!(failure.kind, FailureKind::Http { status: 403 });
    assert_eq!((failure.code, failure.message.as_str(), failure.unrecoverable), (17, "not  allowed", true));
    assert_eq!(failure.retry_after_ms, None);

    let failure = refused(reply("429 Too Many Requests", "retry-after: 3\r\n", "{}")).await;
    assert_eq!(failure.kind, FailureKind::Http { status: 429 });
    assert_eq!(failure.retry_after_ms, Some(3000));

    let failure = refused(reply("502 Bad Gateway", "", "<html>")).await;
    assert_eq!((failure.code, failure.message.as_str()), (0, "the coordinator answered with HTTP 502"));
    let long = json!({"code": 4, "message": "é".repeat(10_000)});
    assert!(refused(reply("400 Bad Request", "", long.to_string())).await.message.len() <= 512);
}

#[tokio::test]
async fn tokens_never_come_back_in_a_failure() {
    let echo = json!({"code": 5, "message": format!("JWT {TOKEN} is not valid: {TOKEN}")});
    let failure = refused(reply("401 Unauthorized", "", echo.to_string())).await;
    assert!(failure.message.contains("is not valid"));
    let (address, _seen, _) = http(reply("200 OK", "", "{")).await;
    let broken = within(coordinator(address).join(&request(), &token())).await.unwrap_err();
    let bad = within(coordinator(address).join(&request(), &Secret::new(format!("{TOKEN}\n")))).await.unwrap_err();
    let lost = Coordinator::new(net(), &format!("ftp://127.0.0.1/?t={TOKEN}"), "k", "u").unwrap_err();
    let (closed, _held) = closed_port();
    let host = within(coordinator(closed).join(&request(), &token())).await.unwrap_err();
    let shown = format!("{:?}", coordinator(address));
    for text in [format!("{failure:?} {broken:?} {bad:?} {lost:?} {host:?}"), shown, format!("{:?}", net())] {
        assert!(!text.contains("planted"), "{text}");
    }
}

/// A port on which nobody listens, and nobody else can while the socket is open.
fn closed_port() -> (SocketAddr, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

#[tokio::test]
async fn a_server_that_is_not_there_or_goes_away() {
    let (closed, _held) = closed_port();
    let failure = within(coordinator(closed).join(&request(), &token())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect);
    let (hangs_up, _) = serve(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let failure = within(coordinator(hangs_up).join(&request(), &token())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect, "{failure:?}");
    let failure = refused(b"SMTP ready\r\n\r\n".to_vec()).await;
    assert_eq!(failure.kind, FailureKind::Malformed, "{failure:?}");
}

#[tokio::test]
async fn silence_at_each_stage_is_a_timeout() {
    let (half_head, _) = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await;
        std::future::pending::<()>().await
    })
    .await;
    let (half_body, _) = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await;
        std::future::pending::<()>().await
    })
    .await;
    for address in [silent().await, half_head, half_body] {
        let began = Instant::now();
        let coordinator = coordinator(address).with_timeout(Duration::from_millis(200));
        let failure = within(coordinator.join(&request(), &token())).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Timeout);
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn replies_are_bounded() {
    let announced = b"HTTP/1.1 200 OK\r\ncontent-length: 209715200\r\n\r\n".to_vec();
    assert_eq!(refused(announced).await.kind, FailureKind::TooLarge);
    let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..80 {
        endless.extend_from_slice(b"10000\r\n");
        endless.resize(endless.len() + 0x10000, b' ');
        endless.extend_from_slice(b"\r\n");
    }
    let failure = refused(endless).await;
    assert_eq!(failure.kind, FailureKind::TooLarge);
    assert!(failure.message.contains("larger"), "{}", failure.message);
    let inflated = reply("200 OK", "", "{},".repeat(1_000_000));
    assert_eq!(refused(inflated).await.kind, FailureKind::Malformed);
    let deep = reply("200 OK", "", "[".repeat(1_000_000));
    assert_eq!(refused(deep).await.kind, FailureKind::Malformed);
    let head = format!("HTTP/1.1 200 OK\r\n{}", "x: y\r\n".repeat(50_000)).into_bytes();
    assert_eq!(refused(head).await.kind, FailureKind::Malformed);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (target, _seen, hits) = http(reply("200 OK", "", answer().to_string())).await;
    let failure = refused(reply("307 Temporary Redirect", &format!("location: http://{target}/\r\n"), "")).await;
    assert_eq!(failure.kind, FailureKind::Http { status: 307 });
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn plain_text_leaves_the_machine_only_when_allowed() {
    let failure = Coordinator::new(net(), "http://192.0.2.1:9/", "k", "u").unwrap_err();
    assert_eq!(failure.kind, FailureKind::Insecure);
    assert!(failure.message.contains("https"), "{}", failure.message);
    let allowed = Arc::new(Net::new(NetOptions { insecure_allowed: true, ..Default::default() }).unwrap());
    assert!(Coordinator::new(allowed, "http://192.0.2.1:9/", "k", "u").is_ok());
    // By name, which is looked up.
    let (address, _seen, _) = http(reply("200 OK", "", answer().to_string())).await;
    let base = format!("http://localhost:{}", address.port());
    let by_name = Coordinator::new(net(), &base, "k", "u").unwrap();
    within(by_name.join(&request(), &token())).await.unwrap();
}

#[tokio::test]
async fn names_that_are_no_names() {
    let (address, _seen, hits) = http(reply("200 OK", "", answer().to_string())).await;
    for id in ["", ".", "..", &"x".repeat(2000)] {
        let failure = within(coordinator(address).get("default", id, &token())).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
    }
    let data = AdmissionRequest { data_json: "{".into(), ..request() };
    assert_eq!(within(coordinator(address).join(&data, &token())).await.unwrap_err().kind, FailureKind::Malformed);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let (address, _seen, connections) = http(reply("200 OK", "", answer().to_string())).await;
    let coordinator = coordinator(address);
    for _ in 0..10 {
        within(coordinator.join(&request(), &token())).await.unwrap();
    }
    assert!(connections.load(Ordering::SeqCst) <= 2, "{connections:?}");
}

#[tokio::test]
async fn the_hint_is_three_letters_or_auto() {
    let (near, mut seen, _) = http(b"HTTP/1.1 200 OK\r\nx-amz-cf-pop: FRA60-P1\r\n\r\n".to_vec()).await;
    assert_eq!(within(hint::location(&net(), &format!("http://{near}/hint"))).await, "FRA");
    assert!(within(seen.recv()).await.unwrap().head.starts_with("HEAD /hint "));
    let (none, _seen, _) = http(b"HTTP/1.1 404 Not Found\r\nx-amz-cf-pop: 1\r\n\r\n".to_vec()).await;
    assert_eq!(within(hint::location(&net(), &format!("http://{none}/"))).await, "auto");
    assert_eq!(within(hint::location(&net(), "http://192.0.2.1/")).await, "auto");
    assert_eq!(within(hint::location(&net(), "not a url")).await, "auto");
}

#[tokio::test]
async fn a_reply_that_never_begins_is_cut_off() {
    let said = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = said.clone();
    let server = serve(move |mut stream| {
        let said = counted.clone();
        async move {
            read_head(&mut stream).await;
            let hints = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(500);
            while stream.write_all(&hints).await.is_ok() {
                said.fetch_add(hints.len(), Ordering::Relaxed);
            }
        }
    });
    let coordinator = coordinator(server.await.0).with_timeout(Duration::from_secs(600));
    let failure = within(coordinator.join(&request(), &token())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect, "{}", failure.message);
    // Beside what the system holds on the way.
    assert!(said.load(Ordering::Relaxed) < 64 << 20, "{} bytes were taken", said.load(Ordering::Relaxed));
}

#[tokio::test]
async fn what_a_coordinator_names() {
    let named = |server: &str, allowed: bool| {
        let mut answer = answer();
        answer["credentials"]["server"]["url"] = format!("http://{server}/twirp").into();
        answer["credentials"]["server"]["ws_endpoint"] = format!("ws://{server}/ws").into();
        async move {
            let (address, _seen, _) = http(reply("200 OK", "", answer.to_string())).await;
            let options = NetOptions { insecure_allowed: true, other_hosts_allowed: allowed, ..Default::default() };
            let net = Arc::new(Net::new(options).unwrap());
            let coordinator = Coordinator::new(net, &format!("http://{address}"), "k", "u").unwrap();
            within(coordinator.join(&request(), &token())).await.map(|a| a.url).map_err(|f| (f.kind, f.message))
        }
    };
    assert!(named("127.0.0.1:9", false).await.is_ok());
    assert!(named("localhost:9", false).await.is_ok());
    let (kind, message) = named("192.0.2.1", false).await.unwrap_err();
    assert!(kind == FailureKind::Insecure && message.contains("allow_other_hosts"), "{message}");
    assert!(named("192.0.2.1", true).await.is_ok());
}

#[tokio::test]
async fn names_that_hang_delay_no_other_client() {
    let gate = Arc::new((std::sync::Mutex::new(false), std::sync::Condvar::new()));
    let theirs = gate.clone();
    let resolver = move |name: &str| {
        let mut open = theirs.0.lock().unwrap();
        while name.starts_with("hang") && !*open {
            open = theirs.1.wait(open).unwrap();
        }
        Ok(vec!["127.0.0.1".parse().unwrap()])
    };
    let lookups = offhook::lookup::Lookups::new(resolver, Default::default());
    let client = |host: &str, port: u16| {
        let options = NetOptions { insecure_allowed: true, ..Default::default() };
        let net = Arc::new(Net::with(options, lookups.clone(), &|_| None).unwrap());
        Coordinator::new(net, &format!("http://{host}:{port}"), "k", "u").unwrap()
    };
    let mut hanging = Vec::new();
    for n in 0..20 {
        let coordinator = client(&format!("hang-{n}.example.com"), 1).with_timeout(Duration::from_secs(600));
        hanging.push(tokio::spawn(async move { coordinator.join(&request(), &token()).await.map(drop) }));
    }
    while lookups.counts().0 < 20 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for n in 0..10 {
        let (address, _seen, _) = http(reply("201 Created", "", answer().to_string())).await;
        let joined =
            within(client(&format!("good-{n}.example.com"), address.port()).get("default", "x", &token())).await;
        assert!(joined.is_ok(), "{joined:?}");
    }
    assert!(lookups.counts().0 <= 32);
    // A deadline ends the wait, though nothing ends the look-up.
    let late = client("hang-late.example.com", 1).with_timeout(Duration::from_millis(50));
    let failure = within(late.join(&request(), &token())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for task in hanging {
        assert!(within(task).await.unwrap().is_err(), "nobody is there");
    }
}
