//! The TCP port: accepting connections, HTTP routes, and the shared server state.
//!
//! Must not know: what the handlers do with a request.

use crate::{
    config::Config,
    coordinator,
    faults::{Faults, Stage},
    log::Log,
    media::{
        address::{Addresses, LocalAddress},
        tcp::Registry,
    },
    room::World,
    state::Counters,
    {ctl, edge},
};
use axum::{
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderName, Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
    Router,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use offhook_proto::event::{sfu_event::EventPayload, SfuEvent};
use parking_lot::Mutex;
use prost::Message;
use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tower_service::Service;

/// Time limit for a request's head, and for its body.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// State shared by all handlers and tasks.
#[derive(Debug)]
pub struct Server {
    pub config: Config,
    pub log: Log,
    pub faults: Arc<Faults>,
    pub world: Mutex<World>,
    pub calls: Mutex<coordinator::Calls>,
    pub counters: Counters,
    pub address: SocketAddr,
    pub addresses: Addresses,
    pub tcp: Option<MediaTcp>,
    ids: AtomicU64,
    pub(crate) stop: watch::Sender<bool>,
}

/// The port for media over TCP.
#[derive(Clone, Debug)]
pub struct MediaTcp {
    pub port: u16,
    pub registry: Arc<Registry>,
}

/// Local address on which a request arrived.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub local: SocketAddr,
}

/// Marks a response that must not be sent; the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub struct HangUp;

/// Encodes an event as one message.
pub fn encode(payload: EventPayload) -> Vec<u8> {
    SfuEvent { event_payload: Some(payload) }.encode_to_vec()
}

impl Server {
    pub fn new(config: Config, address: SocketAddr, addresses: Addresses, tcp: Option<MediaTcp>) -> Arc<Self> {
        Arc::new(Server {
            log: Log::new(config.log),
            config,
            faults: Arc::default(),
            world: Mutex::default(),
            calls: Mutex::default(),
            counters: Counters::default(),
            address,
            addresses,
            tcp,
            ids: AtomicU64::new(1),
            stop: watch::Sender::new(false),
        })
    }

    /// Returns a number larger than all previous ones.
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Relaxed)
    }

    /// Waits until the server stops.
    pub async fn stopped(&self) {
        let _ = self.stop.subscribe().wait_for(|s| *s).await;
    }
}

fn routes(server: Arc<Server>) -> Router {
    let call = Router::new()
        .route("/{kind}/{id}/join", post(coordinator::http::join))
        .route("/{kind}/{id}/event", post(coordinator::http::custom_event))
        .route("/{kind}/{id}", get(coordinator::http::get_call).post(coordinator::http::get_call));
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::HEAD, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([HeaderName::from_static("x-amz-cf-pop")])
        .max_age(Duration::from_secs(600));
    Router::new()
        .nest("/api/v2/video/call", call.clone())
        .nest("/video/call", call)
        .route("/api/v2/connect", get(coordinator::ws::connect))
        .route("/video/connect", get(coordinator::ws::connect))
        .route("/hint", any(coordinator::http::hint))
        .route("/{edge}/ws", get(edge::ws::connect))
        .route("/{edge}/twirp/stream.video.sfu.signal.SignalServer/{method}", post(edge::twirp::call))
        .layer(middleware::from_fn_with_state(server.clone(), slow))
        .nest("/ctl", ctl::routes())
        .layer(middleware::from_fn_with_state(server.clone(), count))
        .layer(cors)
        .with_state(server)
}

async fn count(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    server.counters.http_requests.fetch_add(1, Relaxed);
    next.run(request).await
}

async fn slow(State(server): State<Arc<Server>>, request: Request, next: Next) -> Response {
    let ms = server.faults.slow_ms(edge_of(request.uri().path().as_bytes()));
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
    next.run(request).await
}

/// Reads a body, with limits on size and time.
pub async fn body(server: &Server, body: Body) -> Result<Bytes, Response> {
    let read = axum::body::to_bytes(body, server.config.limits.body);
    match tokio::time::timeout(HEAD_LIMIT, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        late_or_large => {
            server.counters.refused.fetch_add(1, Relaxed);
            let status =
                if late_or_large.is_err() { StatusCode::REQUEST_TIMEOUT } else { StatusCode::PAYLOAD_TOO_LARGE };
            Err((status, "request body too large or timed out").into_response())
        }
    }
}

/// Accepts connections until the server stops.
pub async fn serve(server: Arc<Server>, listener: TcpListener) {
    let router = routes(server.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.stopped() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Probably out of file descriptors. Retry; others may be closed in the meantime.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        server.counters.connections.fetch_add(1, Relaxed);
        if server.counters.connections_open.load(Relaxed) >= server.config.limits.connections as u64 {
            server.counters.refused.fetch_add(1, Relaxed);
            continue;
        }
        server.counters.connections_open.fetch_add(1, Relaxed);
        let (server, router) = (server.clone(), router.clone());
        tokio::spawn(async move {
            let until = server.stopped();
            tokio::select! {
                () = connection(server.clone(), router, stream) => {}
                () = until => {}
            }
            server.counters.connections_open.fetch_sub(1, Relaxed);
        });
    }
}

async fn connection(server: Arc<Server>, router: Router, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    // With the scope of a link-local address, which media needs.
    let Ok(local) = stream.local_addr().map(|a| LocalAddress::of(a).with_port(a.port())) else { return };
    if server.faults.any_silent(Stage::TcpAccept) {
        // The control API must still answer: peek at the request without consuming it.
        let mut head = [0u8; 512];
        let peeked = tokio::time::timeout(HEAD_LIMIT, stream.peek(&mut head)).await;
        let asked = peeked.ok().and_then(Result::ok).map(|n| &head[..n]).unwrap_or_default();
        let path = asked.split(|b| *b == b' ').nth(1).unwrap_or_default();
        if !path.starts_with(b"/ctl") && server.faults.take_silent(Stage::TcpAccept, "", edge_of(path)) {
            drained(stream).await;
            return;
        }
    }
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Connection { local });
        let mut router = router.clone();
        async move {
            let Ok(response) = router.call(request.map(Body::new)).await;
            match response.extensions().get::<HangUp>() {
                Some(_) => Err(std::io::Error::other("hung up")),
                None => Ok(response),
            }
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

fn edge_of(path: &[u8]) -> Option<crate::faults::Edge> {
    crate::faults::Edge::ALL.into_iter().find(|e| path.starts_with(format!("/{}/", e.name()).as_bytes()))
}

/// Reads and discards until the client closes the connection.
async fn drained(stream: TcpStream) {
    let mut sink = [0u8; 4096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut sink) {
            Ok(0) => return,
            Err(e) if e.kind() != std::io::ErrorKind::WouldBlock => return,
            _ => {}
        }
    }
}

/// Never completes; dropped with the connection.
pub async fn silence() -> Response {
    std::future::pending().await
}
