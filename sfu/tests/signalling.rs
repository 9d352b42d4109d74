//! Coordinator, sockets and RPCs in every encoding that clients use, and their limits.

mod support;

use offhook_proto::{
    event::{self, sfu_event::EventPayload, sfu_request::RequestPayload, SfuEvent, SfuRequest},
    models::TrackType,
    signal,
};
use offhook_sfu::{Config, Limits, Sfu};
use prost::Message;
use serde_json::{json, Value};
use std::net::SocketAddr;
use support::{address, ctl, http, join_call, join_request, state, try_http, websocket, within, Client};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

async fn start() -> Sfu {
    Sfu::start(Config::default()).await.unwrap()
}

#[tokio::test]
async fn join_get_and_watch() {
    let sfu = start().await;
    let answer = join_call(sfu.url(), "ann", "c", json!({"location": "LHR", "create": true})).await;
    assert_eq!(answer.status, 201);
    let answer = answer.json();
    assert_eq!(answer["call"]["cid"], "default:c");
    assert!(answer["call"]["created_at"].is_u64(), "native clients get integers");
    assert_eq!(answer["credentials"]["server"]["edge_name"], "sfu-a");
    assert_eq!(answer["created"], true);
    let base = sfu.url();
    let got = http("GET", &format!("{base}/video/call/default/c"), &[], b"").await;
    assert_eq!(got.status, 200);
    let text = got.json()["call"]["created_at"].as_str().expect("browser clients get RFC 3339").to_owned();
    assert!(text.ends_with('Z') && text.contains('T'), "{text}");
    let missing = http("GET", &format!("{base}/api/v2/video/call/default/none"), &[], b"").await;
    assert_eq!((missing.status, &missing.json()["code"]), (404, &json!(16)));
    // The user ID may come from the token's claim alone.
    let claims = "eyJ1c2VyX2lkIjoiY2xhaW1lZCJ9";
    let url = format!("{base}/api/v2/video/call/default/c/join");
    let joined = http("POST", &url, &[("authorization", &format!("x.{claims}.y"))], b"{}").await;
    assert_eq!(joined.status, 201);
    assert_eq!(http("POST", &url, &[], b"{}").await.status, 401, "a user ID is required");
    assert_eq!(http("POST", &url, &[], b"{nonsense").await.status, 400);
    assert_eq!(state(base).await["joins"][1]["user_id"], "claimed");
    // Excluded SFUs are not named again, and the exclusion is recorded.
    let body = json!({"migrating_from": "sfu-a", "migrating_from_list": ["sfu-a"]});
    let moved = join_call(base, "ann", "c", body).await.json();
    assert_eq!(moved["credentials"]["server"]["edge_name"], "sfu-b");
    assert_eq!(state(base).await["joins"][2]["migrating_from_list"], json!(["sfu-a"]));
}

#[tokio::test]
async fn preflight_and_hint() {
    let sfu = start().await;
    let headers = [
        ("origin", "http://localhost:1"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-stream-client,stream-auth-type"),
    ];
    for path in ["/video/call/default/c/join", "/sfu-a/twirp/stream.video.sfu.signal.SignalServer/SetPublisher"] {
        let reply = http("OPTIONS", &format!("{}{path}", sfu.url()), &headers, b"").await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        let allowed = reply.header("access-control-allow-headers").unwrap();
        assert!(allowed.contains("authorization") && allowed.contains("x-stream-client"), "{allowed}");
    }
    let hint = http("HEAD", &format!("{}/hint", sfu.url()), &[("origin", "http://x")], b"").await;
    assert_eq!(hint.header("x-amz-cf-pop"), Some("LOC50-P1"));
    assert_eq!(hint.header("access-control-expose-headers"), Some("x-amz-cf-pop"));
}

async fn next_json(receiver: &mut soketto::Receiver<support::Stream>) -> Value {
    let mut bytes = Vec::new();
    within("a message", receiver.receive_data(&mut bytes)).await.expect("a message");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn coordinator_socket() {
    let sfu = start().await;
    let ws = sfu.url().replace("http://", "ws://");
    join_call(sfu.url(), "ann", "c", json!({})).await;
    let mut sockets = Vec::new();
    for (path, user) in [("/api/v2/connect", "ann"), ("/video/connect", "ben")] {
        let (mut sender, mut receiver) = websocket(&format!("{ws}{path}?api_key=k&stream-auth-type=jwt")).await;
        let auth = json!({"token": "t", "products": ["video"], "user_details": {"id": user}});
        sender.send_text(auth.to_string()).await.unwrap();
        let ok = next_json(&mut receiver).await;
        assert_eq!((&ok["type"], &ok["me"]["id"]), (&json!("connection.ok"), &json!(user)));
        let id = ok["connection_id"].as_str().unwrap().to_owned();
        // A plain message gets a plain answer, a wrapped one a wrapped answer.
        sender.send_text(json!({"type": "health.check"}).to_string()).await.unwrap();
        assert_eq!(next_json(&mut receiver).await["type"], "health.check");
        sender.send_text(json!([{"type": "health.check"}]).to_string()).await.unwrap();
        assert_eq!(next_json(&mut receiver).await[0]["type"], "health.check");
        let watch = format!("{}/api/v2/video/call/default/c?connection_id={id}&user_id={user}", sfu.url());
        assert_eq!(http("POST", &watch, &[], b"{}").await.status, 200);
        sockets.push((sender, receiver));
    }
    let event = format!("{}/api/v2/video/call/default/c/event?user_id=ann", sfu.url());
    let body = json!({"custom": {"hello": 1}}).to_string();
    assert_eq!(http("POST", &event, &[], body.as_bytes()).await.status, 200);
    for (_, receiver) in &mut sockets {
        let custom = next_json(receiver).await;
        assert_eq!((&custom["type"], &custom["custom"]["hello"]), (&json!("custom"), &json!(1)));
        assert_eq!(custom["user"]["id"], "ann");
    }
}

/// A raw WebSocket client, for frames that no library sends.
struct Bare(TcpStream);

impl Bare {
    async fn open(ws: &str) -> Bare {
        let (host, path) = address(ws);
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(stream.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
        Bare(stream)
    }

    async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            n @ 0..=125 => frame.push(0x80 | n as u8),
            n => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(n as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next frame: (first byte, payload).
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.0.read_u8().await.ok()?;
        let length = match self.0.read_u8().await.ok()? {
            126 => usize::from(self.0.read_u16().await.ok()?),
            127 => self.0.read_u64().await.ok()? as usize,
            n => usize::from(n),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((first, payload))
    }

    async fn event(&mut self) -> EventPayload {
        let (first, payload) = within("an event", self.next()).await.expect("a frame");
        assert_eq!(first, 0x82, "events come in binary frames");
        SfuEvent::decode(&payload[..]).unwrap().event_payload.unwrap()
    }
}

async fn credentials(sfu: &Sfu, user: &str) -> (String, String, String) {
    let answer = join_call(sfu.url(), user, "c", json!({})).await.json();
    let text = |p: &str| answer.pointer(p).and_then(Value::as_str).unwrap().to_owned();
    (text("/credentials/server/ws_endpoint"), text("/credentials/server/url"), text("/credentials/token"))
}

#[tokio::test]
async fn protobuf_in_text_frames_and_json() {
    let sfu = start().await;
    let (ws, _, token) = credentials(&sfu, "ann").await;
    // Protobuf that is not UTF-8, in a text frame split into three fragments.
    let mut request = join_request(&token, "s1");
    request.subscriber_sdp = "x".repeat(300);
    let mut bytes = SfuRequest { request_payload: Some(RequestPayload::JoinRequest(request)) }.encode_to_vec();
    bytes.extend_from_slice(&[0xc2, 0x3e, 2, 0xff, 0xfe]); // an unknown field
    assert!(std::str::from_utf8(&bytes).is_err());
    let mut bare = Bare::open(&ws).await;
    bare.send(0x01, &bytes[..20]).await;
    bare.send(0x00, &bytes[20..40]).await;
    bare.send(0x80, &bytes[40..]).await;
    assert!(matches!(bare.event().await, EventPayload::JoinResponse(r) if r.publish_options.len() == 3));
    // Garbage is dropped and counted, and the socket stays open.
    bare.send(0x82, &[0xff; 40]).await;
    bare.send(0x81, b"{\"neither\": json").await;
    let health = SfuRequest { request_payload: Some(RequestPayload::HealthCheckRequest(event::HealthCheckRequest {})) };
    bare.send(0x81, &health.encode_to_vec()).await;
    let answer = bare.event().await;
    assert!(matches!(answer, EventPayload::HealthCheckResponse(h) if h.participant_count.unwrap().total == 1));
    let seen = state(sfu.url()).await;
    assert_eq!(support::session(&seen, "s1").unwrap()["messages_unreadable"], 2);
    // JSON in a text frame.
    let mut json_client = Bare::open(&ws).await;
    let join = json!({"joinRequest": {"token": token, "sessionId": "s2"}}).to_string();
    json_client.send(0x81, join.as_bytes()).await;
    assert!(matches!(json_client.event().await, EventPayload::JoinResponse(_)));
}

#[tokio::test]
async fn twirp_in_both_forms() {
    let sfu = start().await;
    let client = Client::join(sfu.url(), "ann", "c").await;
    let request =
        json!({"sessionId": client.session_id, "muteStates": [{"trackType": "TRACK_TYPE_AUDIO", "muted": true}]});
    for kind in ["application/json", "application/json; charset=utf-8"] {
        let reply = client.rpc_raw("UpdateMuteStates", kind, request.to_string().as_bytes()).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        assert_eq!(reply.json(), json!({}));
    }
    // An application error is in the response, in either encoding.
    let unknown = signal::UpdateSubscriptionsRequest { session_id: "nobody".into(), tracks: vec![] };
    let answer: signal::UpdateSubscriptionsResponse = client.rpc("UpdateSubscriptions", &unknown).await;
    assert_eq!(answer.error.unwrap().code, 200);
    let reply = client.rpc_raw("UpdateSubscriptions", "application/json", b"{\"sessionId\":\"nobody\"}").await;
    assert_eq!(reply.json()["error"]["code"], "ERROR_CODE_PARTICIPANT_NOT_FOUND");
    let denied = client.unmute(TrackType::Audio, false).await;
    assert_eq!(denied.error.unwrap().code, 100, "nothing is published");
    // Transport errors are Twirp JSON.
    for (method, kind, body, code) in [
        ("NoSuchMethod", "application/json", &b"{}"[..], "bad_route"),
        ("SetPublisher", "text/plain", b"{}", "bad_route"),
        ("SetPublisher", "application/protobuf", &[0xff; 9], "malformed"),
        ("SetPublisher", "application/json", b"{", "malformed"),
    ] {
        let reply = client.rpc_raw(method, kind, body).await;
        assert!(reply.status >= 400 && reply.status < 500);
        assert_eq!(reply.json()["code"], code);
    }
    let bad = client.set_publisher("v=0\r\nnonsense".into(), vec![]).await;
    assert_eq!(bad.error.unwrap().code, 400);
}

#[tokio::test]
async fn bounds() {
    let limits = Limits { participants: 2, rooms: 1, frame: 1 << 16, body: 1 << 16, ..Limits::default() };
    let sfu = Sfu::start(Config { limits, ..Config::default() }).await.unwrap();
    let url = format!("{}/api/v2/video/call/default/c/join?user_id=u", sfu.url());
    let big = vec![b' '; (1 << 16) + 1];
    let reply = within("a large body", try_http("POST", &url, &[], &big)).await;
    assert!(reply.is_none_or(|r| r.status == 413));
    let mut a = Client::join(sfu.url(), "a", "c").await;
    let _b = Client::join(sfu.url(), "b", "c").await;
    for (call, code) in [("c", 301), ("other", 429)] {
        let answer = join_call(sfu.url(), "x", call, json!({})).await.json();
        let ws = answer["credentials"]["server"]["ws_endpoint"].as_str().unwrap();
        let (mut sender, mut receiver) = websocket(ws).await;
        let request = join_request(answer["credentials"]["token"].as_str().unwrap(), "sx");
        let bytes = SfuRequest { request_payload: Some(RequestPayload::JoinRequest(request)) }.encode_to_vec();
        sender.send_binary(&bytes).await.unwrap();
        sender.flush().await.unwrap();
        let refused = within("an error", support::next_event(&mut receiver)).await;
        assert!(
            matches!(&refused, Some(EventPayload::Error(e)) if e.error.as_ref().unwrap().code == code),
            "{refused:?}"
        );
    }
    // A user cannot take over another user's session.
    let stolen = join_call(sfu.url(), "thief", "c", json!({})).await.json();
    let (mut sender, mut receiver) = websocket(stolen["credentials"]["server"]["ws_endpoint"].as_str().unwrap()).await;
    let request = join_request(stolen["credentials"]["token"].as_str().unwrap(), &a.session_id);
    let bytes = SfuRequest { request_payload: Some(RequestPayload::JoinRequest(request)) }.encode_to_vec();
    sender.send_binary(&bytes).await.unwrap();
    sender.flush().await.unwrap();
    let refused = within("an error", support::next_event(&mut receiver)).await;
    assert!(matches!(&refused, Some(EventPayload::Error(e)) if e.error.as_ref().unwrap().code == 400), "{refused:?}");
    // A frame over the limit closes only that client's socket.
    a.sender.send_binary(vec![0u8; (1 << 16) + 1]).await.unwrap();
    let _ = a.sender.flush().await;
    within("the end of the socket", async { while a.next().await.is_some() {} }).await;
    assert_eq!(state(sfu.url()).await["rooms"][0]["participants"].as_array().unwrap().len(), 2, "kept for FAST");
}

#[tokio::test]
async fn only_loopback_without_the_flag() {
    let config = Config { listen: SocketAddr::from(([0, 0, 0, 0], 0)), ..Config::default() };
    let refused = Sfu::start(config).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn control_answers_with_errors() {
    let sfu = start().await;
    for (name, body) in
        [("silent", "{\"stage\":\"nowhere\"}"), ("late_offer", "{\"user_id\":\"nobody\"}"), ("slow", "[")]
    {
        let reply = http("POST", &format!("{}/ctl/{name}", sfu.url()), &[], body.as_bytes()).await;
        assert_eq!(reply.status, 400);
        assert!(reply.json()["error"].is_string());
    }
    ctl(sfu.url(), "reset", json!({})).await;
}

#[tokio::test]
async fn the_program_prints_its_url_and_ends_with_stdin() {
    use std::io::{BufRead, BufReader};
    // The program ends when its standard input closes, and so also when the test panics.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_offhook-sfu"))
        .args(["--listen", "127.0.0.1:0", "--log", "off", "--exit-with-stdin"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let line = tokio::task::spawn_blocking(move || BufReader::new(out).lines().next());
    let line = within("the URL", line).await.unwrap().unwrap().unwrap();
    let url = serde_json::from_str::<Value>(&line).unwrap()["url"].as_str().unwrap().to_owned();
    assert_eq!(http("GET", &format!("{url}/ctl/state"), &[], b"").await.status, 200);
    drop(child.stdin.take());
    let end = tokio::task::spawn_blocking(move || child.wait());
    assert!(within("its end", end).await.unwrap().unwrap().success());
}
