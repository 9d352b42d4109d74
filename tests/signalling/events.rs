//! The coordinator's event socket: one connection, and what its server may do wrong.

use crate::server::{frame, net, read_frame, serve, upgrade, within, CLOSE, TEXT};
use offhook::{
    core::model::{Failure, FailureKind},
    error::Secret,
    signalling::stream::{events::refuses_token, Coordinator, CustomEvent, EventIn, EventSocket, EventsOptions},
};
use serde_json::{json, Value};
use std::{
    future::Future,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::mpsc};

const TOKEN: &str = "planted-user-token-0123456789";

fn quick() -> EventsOptions {
    let ms = Duration::from_millis;
    EventsOptions { open: ms(2_000), ping: ms(50), silent: ms(400), ..EventsOptions::default() }
}

fn coordinator(address: SocketAddr) -> Coordinator {
    Coordinator::new(net(), &format!("http://{address}/base/"), "key&1", "ann smith").unwrap()
}

async fn connect(address: SocketAddr, options: EventsOptions) -> Result<EventSocket, Failure> {
    within(EventSocket::connect(&coordinator(address), &Secret::new(TOKEN), options)).await
}

/// A server that reports the request's head and the first message, then runs `script`.
async fn server<F, S>(script: S) -> (SocketAddr, mpsc::Receiver<(String, Value)>)
where
    F: Future<Output = ()> + Send + 'static,
    S: Fn(TcpStream) -> F + Clone + Send + 'static,
{
    let (report, seen) = mpsc::channel(16);
    let accept = move |mut stream: TcpStream| {
        let (report, script) = (report.clone(), script.clone());
        async move {
            let Some(head) = upgrade(&mut stream, b"").await else { return };
            let Some((first, hello)) = read_frame(&mut stream).await else { return };
            assert_eq!(first, TEXT);
            let _ = report.try_send((head, serde_json::from_slice(&hello).unwrap()));
            script(stream).await;
        }
    };
    (serve(accept).await.0, seen)
}

async fn say(stream: &mut TcpStream, message: Value) {
    let _ = stream.write_all(&frame(TEXT, message.to_string().as_bytes())).await;
}

async fn admit(stream: &mut TcpStream) {
    say(stream, json!({"type": "connection.ok", "connection_id": "c-1", "me": {"id": "ann"}})).await;
}

#[tokio::test]
async fn says_who_it_is_and_keeps_alive() {
    let (pings, mut pinged) = mpsc::channel(16);
    let (address, mut seen) = server(move |mut stream| {
        let pings = pings.clone();
        async move {
            say(&mut stream, json!({"type": "too.early"})).await;
            admit(&mut stream).await;
            while let Some((_, ping)) = read_frame(&mut stream).await {
                let _ = pings.try_send(serde_json::from_slice::<Value>(&ping));
                say(&mut stream, json!({"type": "health.check"})).await;
            }
        }
    })
    .await;
    let mut socket = connect(address, quick()).await.unwrap();
    assert_eq!(socket.connection_id(), "c-1");
    assert!(!format!("{socket:?}").contains("planted"));
    let (head, hello) = within(seen.recv()).await.unwrap();
    let line = head.lines().next().unwrap();
    assert_eq!(line, "GET /base/api/v2/connect?api_key=key%261&stream-auth-type=jwt HTTP/1.1");
    assert!(!head.contains("planted"), "the token is in no URL and no header");
    assert_eq!(hello, json!({"token": TOKEN, "products": ["video"], "user_details": {"id": "ann smith"}}));
    // Health checks outlast the limit of silence many times over; nothing else comes.
    let began = Instant::now();
    let quiet = tokio::time::timeout(Duration::from_millis(1_600), socket.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let mut count = 0;
    while let Ok(ping) = pinged.try_recv() {
        assert_eq!(ping.unwrap(), json!({"type": "health.check", "connection_id": "c-1"}));
        count += 1;
    }
    assert!(count >= 4, "{count} health checks in {:?}", began.elapsed());
}

#[tokio::test]
async fn receives_custom_events_and_survives_malformed_ones() {
    let (address, _seen) = server(|mut stream| async move {
        admit(&mut stream).await;
        let deep = format!("{{\"type\":\"custom\",\"custom\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
        for text in ["{nonsense", "", "[]", "7", "{\"type\":9}", deep.as_str()] {
            let _ = stream.write_all(&frame(TEXT, text.as_bytes())).await;
        }
        let _ = stream.write_all(&frame(TEXT, &[0xff, 0xfe])).await;
        let wide = format!("{{\"type\":\"custom\",\"call_cid\":\"d:c\",\"custom\":[{}0]}}", "0,".repeat(300_000));
        let _ = stream.write_all(&frame(TEXT, wide.as_bytes())).await;
        say(&mut stream, json!({"type": "custom", "custom": {"of": "no call"}})).await;
        say(&mut stream, json!({"type": "custom", "call_cid": "d:c", "custom": {"x": "y".repeat(20_000)}})).await;
        say(&mut stream, json!({"type": "call.updated", "call_cid": "d:c"})).await;
        say(
            &mut stream,
            json!({"type": "custom", "call_cid": "d:c", "user": {"id": "ben"}, "custom": {"type": "hand", "n": 1}}),
        )
        .await;
        say(&mut stream, json!({"type": "custom", "call_cid": "d:c", "user": [], "custom": null})).await;
        let _ = stream.write_all(&frame(CLOSE, &1012u16.to_be_bytes())).await;
        std::future::pending::<()>().await
    })
    .await;
    let mut socket = connect(address, EventsOptions::default()).await.unwrap();
    for index in 0..10 {
        assert_eq!(within(socket.next()).await, EventIn::Malformed, "message {index}");
    }
    assert_eq!(within(socket.next()).await, EventIn::Other);
    let event = |user: &str, kind: &str, json: &str| {
        let (cid, user_id, custom_type) = ("d:c".to_owned(), user.to_owned(), kind.to_owned());
        EventIn::Custom(CustomEvent { cid, user_id, custom_type, json: json.to_owned() })
    };
    assert_eq!(within(socket.next()).await, event("ben", "hand", r#"{"n":1,"type":"hand"}"#));
    assert_eq!(within(socket.next()).await, event("", "", "{}"));
    let EventIn::Ended(failure) = within(socket.next()).await else { panic!("it was closed") };
    assert!(failure.message.contains("1012") && !refuses_token(&failure), "{failure:?}");
}

#[tokio::test]
async fn a_refusal_keeps_the_words_and_hides_the_token() {
    let (address, _seen) = server(|mut stream| async move {
        let error = json!({"code": 40, "StatusCode": 401, "message": format!("token {TOKEN} is expired")});
        say(&mut stream, json!({"type": "connection.error", "connection_id": "", "error": error})).await;
        std::future::pending::<()>().await
    })
    .await;
    let failure = connect(address, quick()).await.unwrap_err();
    assert_eq!((failure.kind.clone(), failure.code), (FailureKind::Http { status: 401 }, 40));
    assert_eq!(failure.message, "token <secret> is expired");
    assert!(refuses_token(&failure));

    let (address, _) = serve(|mut stream| async move {
        let _ = crate::server::read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    assert!(refuses_token(&connect(address, quick()).await.unwrap_err()));
}

#[tokio::test]
async fn silence_at_every_stage_has_an_end() {
    let began = Instant::now();
    let mute = crate::server::silent().await;
    let brief = EventsOptions { open: Duration::from_millis(300), ..quick() };
    assert_eq!(connect(mute, brief).await.unwrap_err().kind, FailureKind::Timeout);
    let (unanswered, _seen) = server(|stream| async move {
        let _hold = stream;
        std::future::pending::<()>().await
    })
    .await;
    assert_eq!(connect(unanswered, brief).await.unwrap_err().kind, FailureKind::Timeout);
    let (later, _seen) = server(|mut stream| async move {
        admit(&mut stream).await;
        std::future::pending::<()>().await
    })
    .await;
    let mut socket = connect(later, quick()).await.unwrap();
    let EventIn::Ended(failure) = within(socket.next()).await else { panic!("nothing was said") };
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
