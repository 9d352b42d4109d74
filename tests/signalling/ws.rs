//! The WebSocket transport against servers that keep to the rules and servers that do not.

use crate::server::{
    close_of, frame, net, read_frame, read_head, serve, silent, within, ws, BINARY, CLOSE, PING, PONG, TEXT,
};
use offhook::{
    core::model::FailureKind,
    signalling::ws::{open, SendError, WsIn, WsKind, WsLimits, WsReceiver, WsSender},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};
use url::Url;

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(5)
}

async fn connect_with(address: SocketAddr, limits: WsLimits) -> (WsSender, WsReceiver) {
    let url = Url::parse(&format!("ws://{address}/ws?x=1")).unwrap();
    within(open(&net(), &url, &[("x-test", "yes")], limits, soon())).await.unwrap()
}

async fn connect(address: SocketAddr) -> (WsSender, WsReceiver) {
    connect_with(address, WsLimits::default()).await
}

async fn refused(address: SocketAddr) -> FailureKind {
    let url = Url::parse(&format!("ws://{address}/ws")).unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_millis(500);
    within(open(&net(), &url, &[], WsLimits::default(), deadline)).await.unwrap_err().kind
}

/// Reported by [`scripted`] when the client is gone.
const GONE: (u8, Vec<u8>) = (0, Vec::new());

/// Sends `bytes` right behind the upgrade, then reports each frame of the client until it is gone.
async fn scripted(bytes: Vec<u8>) -> (SocketAddr, mpsc::Receiver<(u8, Vec<u8>)>) {
    let (report, frames) = mpsc::channel(1024);
    let address = ws(bytes, move |mut stream| {
        let report = report.clone();
        async move {
            while let Some(frame) = read_frame(&mut stream).await {
                let _ = report.send(frame).await;
            }
            let _ = report.send(GONE).await;
        }
    })
    .await;
    (address, frames)
}

#[tokio::test]
async fn messages_go_both_ways_as_they_are() {
    let bytes = [frame(TEXT, b"\xff\xfe not utf-8"), frame(BINARY, b""), frame(BINARY, &[7; 70_000])].concat();
    let (address, mut frames) = scripted(bytes).await;
    let (sender, mut receiver) = connect(address).await;
    assert_eq!(within(receiver.next()).await, WsIn::Text(b"\xff\xfe not utf-8".to_vec().into()));
    assert_eq!(within(receiver.next()).await, WsIn::Binary(Vec::new().into()));
    assert_eq!(within(receiver.next()).await, WsIn::Binary(vec![7; 70_000].into()));
    sender.send(vec![1, 2, 3], WsKind::Binary).unwrap();
    sender.send(vec![b'x'; 66_000], WsKind::Text).unwrap();
    assert_eq!(within(frames.recv()).await, Some((BINARY, vec![1, 2, 3])));
    assert_eq!(within(frames.recv()).await, Some((TEXT, vec![b'x'; 66_000])));
}

#[tokio::test]
async fn the_upgrade_request_carries_path_and_headers() {
    let head = Arc::new(Mutex::new(String::new()));
    let seen = head.clone();
    let (address, _) = serve(move |mut stream| {
        let seen = seen.clone();
        async move {
            *seen.lock().unwrap() = read_head(&mut stream).await.unwrap();
        }
    })
    .await;
    let url = Url::parse(&format!("ws://{address}/a%20b/ws?x=1&y=%26#z")).unwrap();
    let failure = within(open(&net(), &url, &[("x-test", "yes")], WsLimits::default(), soon())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Connect);
    let head = head.lock().unwrap().clone();
    assert!(head.starts_with("GET /a%20b/ws?x=1&y=%26 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nHost: {address}\r\n")) && head.contains("\r\nx-test: yes\r\n"), "{head}");
    let failure = within(open(&net(), &url, &[("x", "a\r\nb: c")], WsLimits::default(), soon())).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Malformed);
}

#[tokio::test]
async fn fragments_with_control_frames_between_are_one_message() {
    let bytes =
        [frame(0x01, b"one "), frame(PING, b"p"), frame(0x00, b""), frame(0x00, b"two "), frame(0x80, b"three")]
            .concat();
    let (address, mut frames) = scripted(bytes).await;
    let (_sender, mut receiver) = connect(address).await;
    assert_eq!(within(receiver.next()).await, WsIn::Text(b"one two three".to_vec().into()));
    assert_eq!(within(frames.recv()).await, Some((PONG, b"p".to_vec())));
}

#[tokio::test]
async fn a_message_cut_into_single_bytes_arrives_whole() {
    let address = ws(Vec::new(), |mut stream| async move {
        for byte in [frame(BINARY, &[9; 300]), frame(TEXT, b"end")].concat() {
            let _ = stream.write_all(&[byte]).await;
            let _ = stream.flush().await;
        }
        while read_frame(&mut stream).await.is_some() {}
    })
    .await;
    let (_sender, mut receiver) = connect(address).await;
    assert_eq!(within(receiver.next()).await, WsIn::Binary(vec![9; 300].into()));
    assert_eq!(within(receiver.next()).await, WsIn::Text(b"end".to_vec().into()));
}

/// What a bad server is told and what the application is told.
async fn violation(bytes: Vec<u8>, code: u16) {
    let (address, mut frames) = scripted(bytes.clone()).await;
    let limits = WsLimits { max_message: 1000, max_fragments: 8, ..WsLimits::default() };
    let (sender, mut receiver) = connect_with(address, limits).await;
    let WsIn::Failed(failure) = within(receiver.next()).await else { panic!("{bytes:x?} was accepted") };
    match failure.kind {
        // A limit of ours, with its name and what was too much for it.
        FailureKind::TooLarge => {
            let text = "a message of 1001 bytes is larger than oh_client_options.max_message_bytes (1000)";
            assert_eq!((failure.message.as_str(), code), (text, 1009));
        }
        kind => assert_eq!(kind, FailureKind::Malformed),
    }
    let (first, payload) = within(frames.recv()).await.unwrap();
    assert_eq!((first, close_of(&payload).0), (CLOSE, code), "{bytes:x?}");
    assert!(matches!(within(receiver.next()).await, WsIn::Failed(_)), "the end repeats");
    within(sender.done()).await;
    assert_eq!(sender.send(vec![1], WsKind::Binary), Err(SendError::Closed));
}

#[tokio::test]
async fn broken_rules_close_with_their_code() {
    // At once: these servers do not answer the close, so each takes its full second.
    tokio::join!(
        violation(frame(BINARY, &[0; 1001]), 1009),
        violation([frame(0x02, &[0; 999]), frame(0x80, &[0; 2])].concat(), 1009),
        violation(vec![0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1009),
        violation(b"\x80\x00".to_vec(), 1002),
        violation(b"\x82\x81abcdX".to_vec(), 1002),
        violation(b"\x09\x00".to_vec(), 1002),
        violation(b"\x83\x00".to_vec(), 1002),
        violation(b"\xc1\x00".to_vec(), 1002),
        violation(b"GET / HTTP/1.1\r\n".to_vec(), 1002),
    );
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_frame_of_200_mib_costs_nothing() {
    let size = 200u64 << 20;
    let mut header = vec![BINARY, 127];
    header.extend_from_slice(&size.to_be_bytes());
    let (report, mut closed) = mpsc::channel(1);
    let address = ws(header, move |stream| {
        let report = report.clone();
        async move {
            let (mut reader, mut writer) = stream.into_split();
            let blast = tokio::spawn(async move {
                let zeros = vec![0; 64 << 10];
                for _ in 0..size / zeros.len() as u64 {
                    if writer.write_all(&zeros).await.is_err() {
                        return;
                    }
                }
            });
            let mut close = [0; 8];
            let seen = reader.read_exact(&mut close).await.is_ok();
            let code = u16::from_be_bytes([close[6] ^ close[2], close[7] ^ close[3]]);
            let _ = report.send((seen, close[0], code)).await;
            blast.abort();
        }
    })
    .await;
    let before = resident_bytes();
    let (sender, mut receiver) = connect(address).await;
    let began = Instant::now();
    let WsIn::Failed(failure) = within(receiver.next()).await else { panic!("accepted") };
    assert!(began.elapsed() < Duration::from_millis(900), "refused from the header, not after the payload");
    assert_eq!(failure.kind, FailureKind::TooLarge);
    assert_eq!(within(closed.recv()).await, Some((true, CLOSE, 1009)));
    within(sender.done()).await;
    // Other tests of this process run meanwhile; the margin is theirs.
    assert!(resident_bytes().saturating_sub(before) < 96 << 20);
}

#[tokio::test]
async fn a_flood_of_pings_is_answered_sparingly_and_harms_nothing() {
    let flood = 200_000;
    let address = ws(Vec::new(), move |mut stream| async move {
        let ping = frame(PING, b"payload");
        let many: Vec<u8> = ping.iter().copied().cycle().take(ping.len() * 1000).collect();
        // Nothing is read meanwhile: pongs must not pile up in the client.
        for _ in 0..flood / 1000 {
            if stream.write_all(&many).await.is_err() {
                return;
            }
        }
        let _ = stream.write_all(&frame(TEXT, b"after")).await;
        let (mut pongs, mut data) = (0u32, false);
        while let Some((first, payload)) = read_frame(&mut stream).await {
            pongs += u32::from(first == PONG);
            data |= first == BINARY && payload == b"mine";
            if data && pongs > 0 {
                break;
            }
        }
        let _ = stream.write_all(&frame(TEXT, if data { b"got it" } else { b"missed" })).await;
        while read_frame(&mut stream).await.is_some() {}
    })
    .await;
    let (sender, mut receiver) = connect(address).await;
    sender.send(&b"mine"[..], WsKind::Binary).unwrap();
    assert_eq!(within(receiver.next()).await, WsIn::Text(b"after".to_vec().into()));
    assert_eq!(within(receiver.next()).await, WsIn::Text(b"got it".to_vec().into()));
}

#[tokio::test]
async fn our_close_code_reaches_the_server_behind_what_was_queued() {
    for code in [1000, 4001, 4100, 4101] {
        let (address, mut frames) = scripted(Vec::new()).await;
        let (sender, mut receiver) = connect(address).await;
        sender.send(&b"goodbye"[..], WsKind::Binary).unwrap();
        sender.close(code, &"why ".repeat(100));
        sender.close(1011, "second close does not count");
        assert_eq!(sender.send(&b"late"[..], WsKind::Binary), Err(SendError::Closed));
        assert_eq!(within(frames.recv()).await, Some((BINARY, b"goodbye".to_vec())));
        let (first, payload) = within(frames.recv()).await.unwrap();
        let (seen, reason) = close_of(&payload);
        assert_eq!((first, seen), (CLOSE, code));
        assert_eq!(reason.len(), 115);
        // This server neither answers the close nor hangs up: bounded all the same.
        let began = Instant::now();
        let WsIn::Closed { code: received, .. } = within(receiver.next()).await else { panic!("not closed") };
        within(sender.done()).await;
        assert!(received == code && began.elapsed() < Duration::from_millis(1500));
    }
}

#[tokio::test]
async fn the_servers_close_is_reported_and_answered() {
    let (address, mut frames) = scripted(frame(CLOSE, b"\x10\x04moved\x07")).await;
    let (sender, mut receiver) = connect(address).await;
    assert_eq!(within(receiver.next()).await, WsIn::Closed { code: 4100, reason: "moved".into() });
    let (first, payload) = within(frames.recv()).await.unwrap();
    assert_eq!((first, close_of(&payload).0), (CLOSE, 4100));
    within(sender.done()).await;

    let (address, mut frames) = scripted(frame(CLOSE, b"")).await;
    let (_sender, mut receiver) = connect(address).await;
    assert_eq!(within(receiver.next()).await, WsIn::Closed { code: 1005, reason: String::new() });
    assert_eq!(within(frames.recv()).await, Some((CLOSE, Vec::new())));
}

#[tokio::test]
async fn a_lost_connection_is_a_failure_after_what_came_before() {
    let address = ws(frame(TEXT, b"last words"), |_stream| async {}).await;
    let (_sender, mut receiver) = connect(address).await;
    assert_eq!(within(receiver.next()).await, WsIn::Text(b"last words".to_vec().into()));
    let WsIn::Failed(failure) = within(receiver.next()).await else { panic!("not failed") };
    assert_eq!(failure.kind, FailureKind::Connect);
}

/// A server that upgrades and then never reads again, and a client that has filled the way to it.
async fn wedged(limits: WsLimits) -> (WsSender, WsReceiver) {
    let address = ws(Vec::new(), |stream| async move {
        let _hold = stream;
        std::future::pending::<()>().await
    })
    .await;
    let (sender, receiver) = connect_with(address, limits).await;
    let full = async {
        // Full once the kernel's buffers and the queue are; the task needs turns to get there.
        let mut refusals = 0;
        while refusals < 200 {
            match sender.send(vec![0; 64 << 10], WsKind::Binary) {
                Ok(()) => refusals = 0,
                Err(SendError::Full) => refusals += 1,
                Err(error) => panic!("{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    within(full).await;
    (sender, receiver)
}

#[tokio::test]
async fn a_wedged_socket_refuses_and_closes_in_time() {
    let (sender, mut receiver) =
        wedged(WsLimits { write_deadline: Duration::from_secs(60), ..WsLimits::default() }).await;
    let began = Instant::now();
    sender.close(4001, "unhealthy");
    within(sender.done()).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert!(matches!(within(receiver.next()).await, WsIn::Closed { code: 4001, .. }));
}

#[tokio::test]
async fn a_wedged_write_fails_the_socket() {
    let limits = WsLimits { write_deadline: Duration::from_millis(300), ..WsLimits::default() };
    let (sender, mut receiver) = wedged(limits).await;
    let WsIn::Failed(failure) = within(receiver.next()).await else { panic!("not failed") };
    assert_eq!(failure.kind, FailureKind::Timeout);
    within(sender.done()).await;
}

#[tokio::test]
async fn what_is_sent_is_bounded() {
    let (address, _frames) = scripted(Vec::new()).await;
    let (sender, _receiver) =
        connect_with(address, WsLimits { queue: 2, queue_bytes: 100, ..WsLimits::default() }).await;
    assert_eq!(sender.send(vec![0; 101], WsKind::Binary), Err(SendError::TooLarge));
    // No turn for the task in between: the queue is what holds them.
    assert_eq!(sender.send(vec![0; 60], WsKind::Binary), Ok(()));
    assert_eq!(sender.send(vec![0; 60], WsKind::Binary), Err(SendError::Full));
    assert_eq!(sender.send(vec![0; 30], WsKind::Binary), Ok(()));
    assert_eq!(sender.send(vec![0; 1], WsKind::Binary), Err(SendError::Full));
}

#[tokio::test]
async fn a_slow_reader_slows_the_server_down() {
    let sent = Arc::new(Mutex::new(0usize));
    let progress = sent.clone();
    let address = ws(Vec::new(), move |mut stream| {
        let progress = progress.clone();
        async move {
            let message = frame(BINARY, &[0; 256 << 10]);
            for _ in 0..400 {
                if tokio::time::timeout(Duration::from_secs(1), stream.write_all(&message)).await.is_err() {
                    break;
                }
                *progress.lock().unwrap() += 1;
            }
            *progress.lock().unwrap() += 1_000_000;
            while read_frame(&mut stream).await.is_some() {}
        }
    })
    .await;
    let (_sender, _receiver) = connect(address).await;
    let stalled = async {
        while *sent.lock().unwrap() < 1_000_000 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(stalled).await;
    // Kernel buffers and two messages: far from the 100 MiB on offer.
    assert!(*sent.lock().unwrap() - 1_000_000 < 200);
}

#[tokio::test]
async fn refusals_of_the_upgrade_are_typed() {
    let answer = |bytes: &'static [u8]| {
        serve(move |mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(bytes).await;
            let _ = stream.read(&mut [0; 1]).await;
        })
    };
    assert_eq!(refused(answer(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.0).await, FailureKind::Http { status: 403 });
    let redirect = b"HTTP/1.1 302 Found\r\nlocation: http://192.0.2.1/\r\n\r\n";
    assert_eq!(refused(answer(redirect).await.0).await, FailureKind::Http { status: 302 });
    assert_eq!(refused(answer(b"hello\r\n\r\n").await.0).await, FailureKind::Malformed);
    let no_key = b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
    assert_eq!(refused(answer(no_key).await.0).await, FailureKind::Malformed);
    let bad_key =
        b"HTTP/1.1 101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n";
    assert_eq!(refused(answer(bad_key).await.0).await, FailureKind::Malformed);
    let endless = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 101 Switching\r\n").await;
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
    });
    assert_eq!(refused(endless.await.0).await, FailureKind::Malformed);
}

#[tokio::test]
async fn silence_is_a_timeout_within_the_deadline() {
    let half = serve(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgr").await;
        std::future::pending::<()>().await
    });
    for address in [silent().await, half.await.0] {
        let began = Instant::now();
        assert_eq!(refused(address).await, FailureKind::Timeout);
        assert!(began.elapsed() < Duration::from_secs(3));
    }
}

#[test]
fn no_task_outlives_its_ends() {
    // The servers run elsewhere, so that only the client's tasks are counted.
    let servers = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let quiet = || servers.block_on(scripted(Vec::new()));
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let tasks = || client.metrics().num_alive_tasks();
    let settled = || {
        client.block_on(within(async {
            while tasks() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }))
    };
    // Dropped in either order, without a close.
    for receiver_first in [true, false] {
        let (address, mut frames) = quiet();
        client.block_on(async {
            let (sender, receiver) = connect(address).await;
            assert_eq!(tasks(), 1);
            if receiver_first {
                drop(receiver);
                sender.send(&b"still here"[..], WsKind::Binary).unwrap();
                assert!(within(frames.recv()).await.is_some());
                drop(sender);
            } else {
                drop(sender);
                drop(receiver);
            }
        });
        settled();
        // The server sees the end, and no close frame: its session stays for a reconnect.
        assert_eq!(client.block_on(within(frames.recv())), Some(GONE));
    }
    // Closed and dropped at once: the close frame still leaves.
    let (address, mut frames) = quiet();
    client.block_on(async {
        let (sender, receiver) = connect(address).await;
        drop(receiver);
        sender.close(1000, "bye");
    });
    settled();
    assert_eq!(client.block_on(within(frames.recv())).map(|(first, _)| first), Some(CLOSE));
}
