//! Hostile input on the TCP port for media: it costs little, ends soon, and does not disturb calls.

mod support;

use offhook_sfu::{Config, Limits, Sfu};
use serde_json::{json, Value};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use support::{
    ctl,
    media::{flows, publish_audio, subscribe, Way},
    until, within, Client,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Bad input closes a connection at once, which is well before the time limit of 5 s for the first request.
const AT_ONCE: Duration = Duration::from_secs(3);

async fn start(waiting: usize) -> Sfu {
    let limits = Limits { media_waiting: waiting, ..Limits::default() };
    Sfu::start(Config { ice_tcp_port: Some(0), limits, ..Config::default() }).await.unwrap()
}

async fn connect(sfu: &Sfu) -> TcpStream {
    let address = ("127.0.0.1", sfu.ice_tcp_port().unwrap());
    within("a connection", TcpStream::connect(address)).await.unwrap()
}

/// Reads until the SFU closes the connection. It must not send anything.
async fn ends(stream: &mut TcpStream) {
    let mut byte = [0];
    assert!(!matches!(stream.read(&mut byte).await, Ok(n) if n > 0), "the SFU has answered");
}

fn frame(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes()[..], packet].concat()
}

/// A binding request with a PRIORITY, a role and an integrity that no password gives.
fn request(user: &str) -> Vec<u8> {
    let mut body = Vec::new();
    let attributes: [(u16, &[u8]); 4] = [(6, user.as_bytes()), (0x24, &[1; 4]), (0x802a, &[2; 8]), (8, &[3; 20])];
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend((value.len() as u16).to_be_bytes());
        body.extend(value);
        body.resize(body.len().next_multiple_of(4), 0);
    }
    let mut packet = vec![0, 1];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend([0x21, 0x12, 0xa4, 0x42]);
    packet.extend([4; 12]);
    packet.extend(body);
    packet
}

fn ice_tcp<'a>(state: &'a Value, name: &str) -> &'a Value {
    &state["media"]["ice_tcp"][name]
}

/// Resident memory of this process, in bytes.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse::<u64>().ok().map(|pages| pages * 4096)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_closed_at_once() {
    let sfu = start(256).await;
    let alice = Client::join(sfu.url(), "alice", "c").await;
    let (_sends, answer) = publish_audio(&alice, Way::TCP).await;
    let ufrag = answer.lines().find_map(|l| l.strip_prefix("a=ice-ufrag:")).unwrap();
    let mut response = request("unknown:x");
    response[0] = 1;
    let known = request(&format!("{ufrag}:x"));
    let cases = [
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("64 KiB, then silence", vec![0xff, 0xff]),
        ("a frame that is not STUN", frame(&[0x80; 100])),
        ("one byte", frame(&[0])),
        ("a STUN response", frame(&response)),
        ("a cut request", frame(&known[..known.len() - 4])),
        ("a known user, but a wrong integrity", frame(&known)),
    ];
    for (what, bytes) in &cases {
        let mut stream = connect(&sfu).await;
        stream.write_all(bytes).await.unwrap();
        assert!(timeout(AT_ONCE, ends(&mut stream)).await.is_ok(), "{what}: still open");
    }
    let state = until(sfu.url(), "all ended", |s| ice_tcp(s, "waiting") == 0).await;
    // The last case is refused by the engine, not by the listener.
    assert_eq!(ice_tcp(&state, "refused"), cases.len() - 1);
    assert_eq!(ice_tcp(&state, "assigned"), 1);
    sfu.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_input_ends_at_the_time_limit() {
    let sfu = start(256).await;
    let unknown = frame(&request("unknown:x"));
    let empty = [0, 0].repeat(10);
    let cases: [(&str, &[u8], usize, u64); 5] = [
        ("nothing", &[], 0, 100),
        ("one byte a second", &unknown, 1, 1000),
        ("half a frame", &unknown[..unknown.len() / 2], usize::MAX, 100),
        ("an unknown user, again and again", &unknown, usize::MAX, 300),
        ("empty frames", &empty, usize::MAX, 100),
    ];
    let tasks = cases.map(|(what, bytes, step, ms)| {
        let (bytes, port) = (bytes.to_vec(), sfu.ice_tcp_port().unwrap());
        let half = what == "half a frame";
        tokio::spawn(async move {
            let begin = Instant::now();
            let (mut reader, mut writer) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
            let writing = async {
                let mut parts = bytes.chunks(step.clamp(1, bytes.len().max(1))).cycle();
                let mut left = if half { 1 } else { usize::MAX };
                while let Some(part) = parts.next().filter(|_| left > 0) {
                    left -= 1;
                    if writer.write_all(part).await.is_err() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                }
                std::future::pending::<()>().await
            };
            let mut byte = [0];
            tokio::select! {
                () = writing => {}
                read = reader.read(&mut byte) => assert!(!matches!(read, Ok(n) if n > 0), "{what}: answered"),
                () = tokio::time::sleep(support::DEADLINE) => panic!("{what}: still open"),
            }
            (what, begin.elapsed())
        })
    });
    for task in tasks {
        let (what, after) = within("the end", task).await.unwrap();
        assert!(after >= Duration::from_secs(4), "{what}: ended after {after:?}");
    }
    let state = until(sfu.url(), "all ended", |s| ice_tcp(s, "waiting") == 0).await;
    assert_eq!((ice_tcp(&state, "refused"), ice_tcp(&state, "assigned")), (&json!(5), &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_do_not_disturb_calls() {
    const CONNECTIONS: usize = 3000;
    let sfu = start(64).await;
    let alice = Client::join(sfu.url(), "alice", "c").await;
    let mut bob = Client::join(sfu.url(), "bob", "c").await;
    let (sends, _) = publish_audio(&alice, Way::TCP).await;
    let (mut receives, _) = subscribe(&mut bob, Way::TCP).await;
    flows(&sends, &mut receives, 1000).await;
    let before = memory();
    // Half of them close in the middle of a frame, the others wait. This side keeps only some of them open.
    let port = sfu.ice_tcp_port().unwrap();
    let attack = tokio::spawn(async move {
        let mut kept = VecDeque::new();
        for n in 0..CONNECTIONS {
            let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
            let _ = stream.write_all(&[3, 0, 0, 1, 0]).await;
            if n % 2 == 0 {
                kept.push_back(stream);
            }
            if kept.len() > 200 {
                kept.pop_front();
            }
        }
        kept
    });
    // A new participant connects over TCP during the attack.
    let mut carol = Client::join(sfu.url(), "carol", "c").await;
    let (mut also, _) = subscribe(&mut carol, Way::TCP).await;
    flows(&sends, &mut also, 2000).await;
    flows(&sends, &mut receives, 3000).await;
    let kept = tokio::time::timeout(Duration::from_secs(60), attack).await.expect("in time").unwrap();
    let full = |s: &Value| ice_tcp(s, "accepted").as_u64() >= Some(CONNECTIONS as u64);
    let state = until(sfu.url(), "all accepted", full).await;
    // An evicted task counts until it is dropped, so the number may be a little above the limit for a moment.
    assert!(ice_tcp(&state, "waiting").as_u64() <= Some(64 + 8), "{}", state["media"]);
    assert!(ice_tcp(&state, "evicted").as_u64() >= Some(100), "{}", state["media"]);
    if let (Some(before), Some(after)) = (before, memory()) {
        assert!(after < before + (48 << 20), "{before} bytes before, {after} after");
    }
    flows(&sends, &mut receives, 4000).await;
    drop(kept);
    until(sfu.url(), "none waiting", |s| ice_tcp(s, "waiting") == 0).await;
    assert_eq!(sfu.state()["media"]["ice_tcp"]["open"], 3);
    sfu.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_loses_packets_and_then_its_connection() {
    let sfu = start(256).await;
    let alice = Client::join(sfu.url(), "alice", "c").await;
    let mut bob = Client::join(sfu.url(), "bob", "c").await;
    let mut carol = Client::join(sfu.url(), "carol", "c").await;
    let (sends, _) = publish_audio(&alice, Way::TCP).await;
    let (mut receives, _) = subscribe(&mut bob, Way::TCP).await;
    let (mut others, _) = subscribe(&mut carol, Way::TCP).await;
    flows(&sends, &mut receives, 1000).await;
    flows(&sends, &mut others, 2000).await;
    ctl(sfu.url(), "lossy", json!({"user_id": "bob", "repeat": 1000})).await;
    receives.pause_tcp().await;
    let stats = |s: &Value, name: &str| {
        let all = s["rooms"][0]["participants"].as_array().expect("participants");
        let bob = all.iter().find(|p| p["user_id"] == "bob").expect("bob");
        bob["legs"][0]["subscriber"][name].as_u64().expect("a number")
    };
    // 1000 copies of each packet soon fill every buffer between the SFU and bob.
    let dropped = async {
        for seq in 3000u64.. {
            sends.write(0, seq, 960 * seq as u32, vec![b'a'; 1000], Some(-10)).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stats(&sfu.state(), "tcp_dropped") > 0 {
                return seq;
            }
        }
        unreachable!()
    };
    let seq = within("dropped packets", dropped).await;
    flows(&sends, &mut others, seq + 1000).await;
    // The system's buffers may still take what waits: more is sent until they are full, too. The client opens a new
    // connection when it notices the end of the first one.
    let closed = async {
        let mut seq = seq + 2000;
        while stats(&sfu.state(), "tcp_open") > 0 && *ice_tcp(&sfu.state(), "assigned") == 3 {
            sends.write(0, seq, 960 * seq as u32, vec![b'a'; 1000], Some(-10)).await;
            seq += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(Duration::from_secs(30), closed).await.is_ok(), "{}", sfu.state()["rooms"][0]);
    flows(&sends, &mut others, seq + 5000).await;
    sfu.stop().await;
}
