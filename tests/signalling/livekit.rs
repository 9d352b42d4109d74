//! The path of a LiveKit server's socket: `/rtc/v1` for one peer connection, `/rtc` where it is not known.

use crate::server::{net, read_head, reply, serve, upgrade_to, within};
use offhook::{
    core::model::*,
    error::Secret,
    signalling::{
        livekit::LiveKitService,
        protocol::{CallFacts, LinkOptions, Protocol, Signalling},
        ws::WsLimits,
    },
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, time::Instant};

/// The paths of the upgrades that a server got.
type Paths = Arc<Mutex<Vec<String>>>;

/// A server that answers the upgrade to each path with this status.
async fn server(status: impl Fn(&str) -> u16 + Clone + Send + 'static) -> (SocketAddr, Paths) {
    let paths = Paths::default();
    let seen = paths.clone();
    let script = move |mut stream: tokio::net::TcpStream| {
        let (status, seen) = (status.clone(), seen.clone());
        async move {
            while let Some(head) = read_head(&mut stream).await {
                let path = head.split([' ', '?']).nth(1).unwrap_or_default().to_owned();
                let upgrades = head.to_ascii_lowercase().contains("upgrade: websocket");
                if upgrades {
                    seen.lock().unwrap().push(path.clone());
                }
                match status(&path) {
                    101 if upgrades => {
                        let _ = upgrade_to(&mut stream, &head, b"").await;
                        return std::future::pending().await;
                    }
                    other => {
                        let _ = stream.write_all(&reply(&format!("{other} No"), "", "no")).await;
                    }
                }
            }
        }
    };
    (serve(script).await.0, paths)
}

fn service(address: SocketAddr) -> LiveKitService {
    LiveKitService::new(net(), &format!("ws://{address}"), WsLimits::default()).unwrap()
}

async fn open(call: &Arc<dyn Signalling>, attempt: u32, resume: bool) -> Option<Failure> {
    let admission = call.admit(AdmissionRequest::default(), &Secret::new("a-token-of-some-length")).await.unwrap();
    let options = LinkOptions { admission, session_id: "PA_1".into(), attempt, resume };
    within(call.open(options, Instant::now() + Duration::from_secs(5))).await.err()
}

fn taken(paths: &Paths) -> Vec<String> {
    std::mem::take(&mut *paths.lock().unwrap())
}

#[tokio::test]
async fn a_newer_server_gets_one_request_at_each_join_and_resume() {
    let (address, paths) = server(|_| 101).await;
    let call = service(address).signalling(CallFacts::default());
    for (attempt, resume) in [(0, false), (1, true), (2, false)] {
        assert_eq!(open(&call, attempt, resume).await, None);
        assert_eq!(taken(&paths), ["/rtc/v1"]);
    }
}

#[tokio::test]
async fn an_older_server_is_asked_once_for_the_newer_path() {
    let (address, paths) = server(|path| if path == "/rtc" { 101 } else { 404 }).await;
    let service = service(address);
    let call = service.signalling(CallFacts::default());
    assert_eq!(open(&call, 0, false).await, None);
    assert_eq!(taken(&paths), ["/rtc/v1", "/rtc"]);
    // Neither a resume nor the next joins of this client pay another round trip.
    assert_eq!(open(&call, 1, true).await, None);
    assert_eq!(open(&service.signalling(CallFacts::default()), 0, false).await, None);
    assert_eq!(taken(&paths), ["/rtc", "/rtc"]);
}

#[tokio::test]
async fn a_server_that_refuses_both_is_not_taken_for_an_older_one() {
    // As a server without the room that is not allowed to create it.
    let (address, paths) = server(|_| 404).await;
    let call = service(address).signalling(CallFacts::default());
    for attempt in 0..2 {
        let failure = open(&call, attempt, false).await.expect("refused");
        assert!(matches!(failure.kind, FailureKind::Http { status: 404 }), "{failure:?}");
        assert_eq!(taken(&paths), ["/rtc/v1", "/rtc"]);
    }
}

#[tokio::test]
async fn other_refusals_are_final() {
    for status in [400, 401, 403, 500, 503] {
        let (address, paths) = server(move |_| status).await;
        let call = service(address).signalling(CallFacts::default());
        let failure = open(&call, 0, false).await.expect("refused");
        assert!(matches!(failure.kind, FailureKind::Http { status: is } if is == status), "{failure:?}");
        assert_eq!(taken(&paths), ["/rtc/v1"], "{status}");
    }
}
