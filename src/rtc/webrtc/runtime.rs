//! The runtime under one peer connection: plain sockets, counted tasks, a driver that is watched.
//!
//! Part of the engine's module. Must not know: negotiation, media.

use super::super::early::{Early, IceUp};
use super::super::engine::PeerState;
use super::super::environment::{Datagrams, Environment};
use super::super::gate::Gate;
use super::super::tasks::Tasks;
use super::super::udp::{PlainSocket, DTLS_ALERT};
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime, Transmit,
};

/// Whether the driver task is being watched, and whether it is over.
#[derive(Debug, Default)]
pub(super) struct Driver {
    spawned: AtomicBool,
    armed: AtomicBool,
    ended: AtomicBool,
}

impl Driver {
    /// From now on the driver's end is the peer connection's failure, unless it is being closed.
    pub(super) fn arm(&self, gate: &Gate) {
        self.armed.store(true, Ordering::SeqCst);
        if self.ended.load(Ordering::SeqCst) {
            gate.state(PeerState::Failed);
        }
    }

    /// The driver's end is nobody's business any more.
    pub(super) fn disarm(&self) {
        self.armed.store(false, Ordering::SeqCst);
    }

    fn end(&self, gate: &Gate) {
        self.ended.store(true, Ordering::SeqCst);
        if self.armed.load(Ordering::SeqCst) {
            gate.state(PeerState::Failed);
        }
    }
}

/// The runtime given to one peer connection: plain sockets, counted tasks, no TCP.
#[derive(Debug)]
pub(super) struct EngineRuntime {
    pub(super) tasks: Tasks,
    pub(super) gate: Arc<Gate>,
    pub(super) alert: Arc<Notify>,
    pub(super) driver: Arc<Driver>,
    pub(super) ice: Arc<IceUp>,
    pub(super) environment: Option<Arc<dyn Environment>>,
}

struct Spawned(tokio::task::JoinHandle<()>);

impl JoinHandle for Spawned {
    fn detach(&self) {}

    fn abort(&self) {
        self.0.abort();
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

struct Ticks(tokio::time::Interval);

impl AsyncInterval for Ticks {
    fn tick(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.0.tick().await;
        })
    }
}

/// Ticks of another clock; the first comes at once.
struct OtherTicks {
    environment: Arc<dyn Environment>,
    period: Duration,
    next: Instant,
}

impl AsyncInterval for OtherTicks {
    fn tick(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let wait = self.next.saturating_duration_since(self.environment.now());
            self.next += self.period;
            self.environment.sleep(wait).await;
        })
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl Runtime for EngineRuntime {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) -> Box<dyn JoinHandle> {
        // The driver is the first task of a peer connection.
        if self.driver.spawned.swap(true, Ordering::SeqCst) {
            return Box::new(Spawned(self.tasks.spawn("engine", future)));
        }
        let (driver, gate) = (self.driver.clone(), self.gate.clone());
        Box::new(Spawned(self.tasks.spawn_then("driver", future, move || driver.end(&gate))))
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let early = Early::new(local, self.ice.clone());
        if let Some(environment) = &self.environment {
            let place = environment.socket(local);
            return Ok(Arc::new(OtherUdp { local, place, early, alert: self.alert.clone() }));
        }
        let _guard = self.tasks.handle().enter();
        Ok(Arc::new(Udp { socket: PlainSocket::new(socket, self.alert.clone())?, early }))
    }

    fn wrap_tcp_listener(&self, _: std::net::TcpListener) -> io::Result<Arc<dyn AsyncTcpListener>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect_tcp<'a>(&'a self, _: SocketAddr) -> Boxed<'a, Arc<dyn AsyncTcpStream>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Boxed<'a, Vec<SocketAddr>> {
        Box::pin(async move { Ok(tokio::net::lookup_host(host).await?.collect()) })
    }

    fn now(&self) -> Instant {
        self.environment.as_ref().map_or_else(Instant::now, |e| e.now())
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'static>> {
        if let Some(environment) = &self.environment {
            return environment.sleep(duration);
        }
        Box::pin(tokio::time::sleep(duration))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        if let Some(environment) = &self.environment {
            let environment = environment.clone();
            let next = environment.now();
            return Box::new(OtherTicks { environment, period, next });
        }
        Box::new(Ticks(tokio::time::interval(period)))
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        self.tasks.handle().block_on(future);
    }

    fn name(&self) -> &'static str {
        "offhook"
    }
}

#[derive(Debug)]
struct OtherUdp {
    local: SocketAddr,
    place: Arc<dyn Datagrams>,
    early: Early,
    alert: Arc<Notify>,
}

impl AsyncUdpSocket for OtherUdp {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let size = transmit.segment_size.filter(|s| *s > 0).unwrap_or(usize::MAX);
        for chunk in transmit.contents.chunks(size) {
            self.place.send(transmit.destination, chunk);
        }
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        let receive =
            |cx: &mut Context<'_>, buffer: &mut [u8]| self.place.poll_recv(cx, buffer).map(Ok::<_, io::Error>);
        let (length, from) = ready!(self.early.poll_recv(cx, buffer, receive))?;
        if buffer[..length].first() == Some(&DTLS_ALERT) {
            self.alert.notify_one();
        }
        (meta.len, meta.stride, meta.addr) = (length, length.max(1), from);
        Poll::Ready(Ok(1))
    }
}

#[derive(Debug)]
struct Udp {
    socket: PlainSocket,
    early: Early,
}

impl AsyncUdpSocket for Udp {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.socket.poll_send(cx, transmit.destination, transmit.contents, transmit.segment_size)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (bufs.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
        };
        let receive = |cx: &mut Context<'_>, buffer: &mut [u8]| self.socket.poll_recv(cx, buffer);
        let (length, from) = ready!(self.early.poll_recv(cx, buffer, receive))?;
        // A datagram of no bytes still needs a stride that advances.
        (meta.len, meta.stride, meta.addr) = (length, length.max(1), from);
        Poll::Ready(Ok(1))
    }
}
