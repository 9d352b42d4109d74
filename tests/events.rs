//! A client's event hub against the development SFU: calls are watched, kept apart, and watched again.
//!
//! Must not know: the C API, media.

use offhook::{
    core::model::AdmissionRequest,
    error::Secret,
    runtime,
    signalling::{
        protocol::ServiceListener,
        stream::{Coordinator, CustomEvent, EventHub, EventsOptions, HubCounts},
        Net, NetOptions,
    },
};
use offhook_sfu::{Config, Sfu};
use serde_json::{json, Value};
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, Mutex, MutexGuard},
};

/// All tests share the process's runtime, and one of them stops it.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

async fn within<T>(what: impl std::future::Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("the test's deadline passed")
}

struct Listener {
    received: mpsc::UnboundedSender<CustomEvent>,
    token_requests: Arc<AtomicUsize>,
}

impl ServiceListener for Listener {
    fn custom(&self, event: CustomEvent) {
        let _ = self.received.send(event);
    }
    fn token_needed(&self) {
        self.token_requests.fetch_add(1, Ordering::SeqCst);
    }
}

struct Scene {
    sfu: Sfu,
    coordinator: Arc<Coordinator>,
    hub: Arc<EventHub>,
    _alone: MutexGuard<'static, ()>,
}

/// One call of the client, used as the session does.
struct Call {
    key: u64,
    id: &'static str,
    received: mpsc::UnboundedReceiver<CustomEvent>,
    token_requests: Arc<AtomicUsize>,
}

const TOKEN: &str = "planted-token-one";

impl Scene {
    async fn new(token: &str, options: EventsOptions) -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        let sfu = Sfu::start(Config::default()).await.unwrap();
        let net = Arc::new(Net::new(NetOptions::default()).unwrap());
        let coordinator = Arc::new(Coordinator::new(net, sfu.url(), "", "ann").unwrap());
        let hub = Arc::new(EventHub::new(coordinator.clone(), Secret::new(token), options));
        Self { sfu, coordinator, hub, _alone: alone }
    }

    async fn join_as(&self, id: &'static str, token: &str) -> (Call, String) {
        let (sender, received) = mpsc::unbounded_channel();
        let token_requests = Arc::new(AtomicUsize::new(0));
        let listener = Listener { received: sender, token_requests: token_requests.clone() };
        let key = self.hub.register("default", id, Arc::new(listener)).unwrap();
        let token = Secret::new(token);
        let connection_id = self.hub.connection_id(&token).await;
        let request = AdmissionRequest {
            call_type: "default".into(),
            call_id: id.into(),
            create: true,
            connection_id: connection_id.clone(),
            ..Default::default()
        };
        self.coordinator.join(&request, &token).await.unwrap();
        self.hub.admitted(key, &connection_id, &token);
        (Call { key, id, received, token_requests }, connection_id)
    }

    async fn join(&self, id: &'static str) -> Call {
        self.join_as(id, TOKEN).await.0
    }

    async fn ctl(&self, name: &str, arguments: Value) -> Value {
        let address = self.sfu.url().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).await.unwrap();
        let body = arguments.to_string();
        let head = format!(
            "POST /ctl/{name} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap()
    }

    /// Sends an event to the call's watchers until it reached one socket.
    async fn send_event(&self, call: &str, n: u64) {
        let arguments = json!({"cid": format!("default:{call}"), "user_id": "ben", "custom": {"n": n}});
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.ctl("custom_event", arguments.clone()).await["sockets"] != 1 {
            assert!(Instant::now() < deadline, "no socket watches {call}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn until(&self, what: impl Fn(HubCounts) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while !what(self.hub.counts()) {
            assert!(Instant::now() < deadline, "{:?}", self.hub.counts());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Call {
    async fn expect(&mut self, n: u64) {
        let event = within(self.received.recv()).await.unwrap();
        let wanted = CustomEvent {
            cid: format!("default:{}", self.id),
            user_id: "ben".into(),
            custom_type: String::new(),
            json: json!({ "n": n }).to_string(),
        };
        assert_eq!(event, wanted);
    }
}

fn tasks() -> usize {
    runtime::global().task_names().iter().filter(|(name, _)| *name == "events").map(|(_, n)| n).sum()
}

async fn no_task_within(limit: Duration) {
    let began = Instant::now();
    while tasks() > 0 {
        assert!(began.elapsed() < limit, "the task still runs");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn each_call_receives_its_own_events() {
    let scene = Scene::new(TOKEN, EventsOptions::default()).await;
    let (mut one, id) = scene.join_as("one", TOKEN).await;
    assert!(!id.is_empty(), "the first join waited for the connection");
    let mut two = scene.join("two").await;
    let mut again = scene.join("one").await;
    for n in 0..50 {
        scene.send_event("one", n).await;
        scene.send_event("two", 1_000 + n).await;
    }
    for n in 0..50 {
        one.expect(n).await;
        again.expect(n).await;
        two.expect(1_000 + n).await;
    }
    // After the leave: the socket still watches that call, but its events have no listener.
    scene.hub.unregister(two.key);
    scene.send_event("two", 7).await;
    scene.send_event("one", 8).await;
    one.expect(8).await;
    assert!(two.received.recv().await.is_none(), "the listener was dropped");
    let counts = scene.hub.counts();
    assert_eq!((counts.connections, counts.failures, counts.foreign), (1, 0, 1), "{counts:?}");
    assert_eq!(counts.delivered, 152);
    assert_eq!(tasks(), 1, "one task, however many calls");
}

#[tokio::test]
async fn a_lost_connection_comes_back_with_every_call() {
    let scene = Scene::new(TOKEN, EventsOptions::default()).await;
    let mut calls = vec![scene.join("one").await, scene.join("two").await, scene.join("three").await];
    for (round, how) in [json!({}), json!({"hard": true}), json!({"code": 1001})].into_iter().enumerate() {
        assert_eq!(scene.ctl("drop_coordinator", how).await["sockets"], 1);
        let wanted = round as u64 + 2;
        scene.until(|counts| counts.connections == wanted).await;
        for call in &mut calls {
            scene.send_event(call.id, wanted).await;
            call.expect(wanted).await;
        }
    }
    assert_eq!(calls.iter().map(|c| c.token_requests.load(Ordering::SeqCst)).sum::<usize>(), 0);
}

#[tokio::test]
async fn nonsense_is_counted_and_costs_nothing() {
    let scene = Scene::new(TOKEN, EventsOptions::default()).await;
    let mut call = scene.join("one").await;
    let cid = "default:one";
    for message in [
        json!("{nonsense"),
        json!([]),
        json!({"type": 7}),
        json!({"type": "custom", "call_cid": ["x"], "custom": {}}),
        json!({"type": "custom", "call_cid": cid, "custom": {"x": "y".repeat(17 << 10)}}),
    ] {
        scene.ctl("coordinator_frame", json!({ "message": message })).await;
    }
    for kind in ["call.ended", "call.session_started", "health.check", "connection.ok"] {
        scene.ctl("coordinator_frame", json!({"message": {"type": kind, "call_cid": cid, "connection_id": "x"}})).await;
    }
    scene.send_event("one", 1).await;
    call.expect(1).await;
    let counts = scene.hub.counts();
    assert_eq!((counts.malformed, counts.ignored), (5, 3), "{counts:?}");
    assert_eq!((counts.connections, counts.failures), (1, 0), "{counts:?}");
}

#[tokio::test]
async fn a_refused_token_is_asked_for_once_and_replaced() {
    let scene = Scene::new(TOKEN, EventsOptions::default()).await;
    let mut call = scene.join("one").await;
    let refusal = json!({"http_status": 401, "code": 40, "message": format!("{TOKEN} is expired")});
    scene.ctl("refuse_connect", refusal).await;
    scene.ctl("drop_coordinator", json!({})).await;
    let token_requests = call.token_requests.clone();
    let deadline = Instant::now() + Duration::from_secs(10);
    while token_requests.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    scene.ctl("reset", json!({})).await;
    // The same token again changes nothing; another one opens a connection.
    scene.hub.offer_token(&Secret::new(TOKEN));
    scene.hub.offer_token(&Secret::new("planted-token-two"));
    scene.until(|counts| counts.connections == 2).await;
    scene.send_event("one", 1).await;
    call.expect(1).await;
    assert_eq!(token_requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_a_token_the_first_join_brings_it() {
    let scene = Scene::new("", EventsOptions::default()).await;
    let (mut call, id) = scene.join_as("one", TOKEN).await;
    assert!(!id.is_empty());
    scene.send_event("one", 1).await;
    call.expect(1).await;
}

#[tokio::test]
async fn a_silent_coordinator_delays_a_join_for_a_moment_only() {
    let options = EventsOptions { open: Duration::from_secs(2), ..EventsOptions::default() };
    let scene = Scene::new(TOKEN, options).await;
    scene.ctl("silent", json!({"stage": "coordinator_hello", "count": 1})).await;
    let began = Instant::now();
    let (mut call, id) = scene.join_as("one", TOKEN).await;
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
    assert_eq!(id, "");
    // The connection comes up later, and the call is watched then.
    scene.send_event("one", 1).await;
    call.expect(1).await;
    assert_eq!(scene.hub.counts().failures, 1);
}

#[tokio::test]
async fn a_call_that_cannot_be_watched_yet_is_watched_later() {
    let scene = Scene::new(TOKEN, EventsOptions::default()).await;
    let mut call = scene.join("one").await;
    // For a while, answers arrive after the request's deadline.
    scene.ctl("slow", json!({"ms": 5_500})).await;
    scene.ctl("drop_coordinator", json!({"hard": true})).await;
    scene.until(|counts| counts.failures >= 2).await;
    scene.ctl("slow", json!({"ms": 0})).await;
    scene.send_event("one", 3).await;
    call.expect(3).await;
}

#[tokio::test]
async fn it_ends_at_once_and_for_good() {
    for silent in [false, true] {
        let scene = Scene::new(TOKEN, EventsOptions::default()).await;
        if silent {
            scene.ctl("silent", json!({"stage": "coordinator_ws"})).await;
        }
        let mut call = scene.join("one").await;
        scene.hub.close();
        scene.hub.close();
        no_task_within(Duration::from_millis(200)).await;
        assert!(call.received.recv().await.is_none(), "the listener was dropped");
        // A join after the close does not wait.
        let began = Instant::now();
        assert_eq!(scene.join_as("one", TOKEN).await.1, "");
        assert!(began.elapsed() < Duration::from_millis(400));
        assert_eq!(tasks(), 0);
        drop(scene);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_ends_it_and_a_later_call_starts_it_again() {
    let scene = Scene::new(TOKEN, EventsOptions::default()).await;
    let _call = scene.join("one").await;
    let began = Instant::now();
    assert!(tokio::task::spawn_blocking(|| runtime::shutdown(Duration::from_secs(5))).await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(1_000), "{:?}", began.elapsed());
    let (mut call, id) = scene.join_as("two", TOKEN).await;
    assert!(!id.is_empty());
    scene.send_event("two", 1).await;
    call.expect(1).await;
}
