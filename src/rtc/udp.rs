//! A plain UDP socket for one peer connection: one datagram per call, and no segmentation offload, whose receive
//! buffers would take 190 KB per peer connection. Sending is immediate, from any thread.
//!
//! Must not know: any engine's types, what the datagrams mean.

use super::link::Link;
use crate::share::{self, Share};
use parking_lot::Mutex;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::Sleep;

/// Pauses the reading of a link, in one turn and by the call's share.
#[derive(Debug, Default)]
pub struct Admission(Mutex<Option<Pin<Box<Sleep>>>>);

impl Admission {
    /// Ready when the call may read more. Meanwhile data waits in the system's buffer; datagrams are dropped when it is
    /// full, and a stream's sender is slowed down: a flood costs only its sender's packets.
    pub fn poll(&self, share: &Share, cx: &mut Context<'_>) -> Poll<()> {
        if !share::one_more() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut waiting = self.0.lock();
        loop {
            if let Some(sleep) = waiting.as_mut() {
                ready!(sleep.as_mut().poll(cx));
                *waiting = None;
            }
            match share.wait() {
                Some(wait) => *waiting = Some(Box::pin(tokio::time::sleep(wait))),
                None => return Poll::Ready(()),
            }
        }
    }
}

#[derive(Debug)]
pub struct PlainSocket {
    io: UdpSocket,
    local: SocketAddr,
    /// Scope of a link-local IPv6 address, which candidates do not name.
    scope: u32,
    share: Arc<Share>,
    admission: Admission,
}

/// Whether an address is only valid together with a scope.
pub fn is_scoped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.segments()[0] & 0xffc0 == 0xfe80)
}

/// Without scope and flow, as candidates name addresses.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

impl PlainSocket {
    /// Takes over a bound socket; must be called inside the tokio runtime.
    pub fn new(socket: std::net::UdpSocket, share: Arc<Share>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        let scope = match local {
            SocketAddr::V6(address) if is_scoped(local.ip()) => address.scope_id(),
            _ => 0,
        };
        let (io, admission) = (UdpSocket::from_std(socket)?, Admission::default());
        Ok(Self { io, local: plain(local), scope, share, admission })
    }

    fn scoped(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V6(to) if self.scope > 0 && is_scoped(IpAddr::V6(*to.ip())) => {
                SocketAddrV6::new(*to.ip(), to.port(), 0, self.scope).into()
            }
            to => to,
        }
    }
}

impl Link for PlainSocket {
    fn local(&self) -> SocketAddr {
        self.local
    }

    fn send(&self, to: SocketAddr, contents: &[u8]) {
        let to = self.scoped(to);
        // Bypasses the runtime, which would first wait for writability.
        #[cfg(target_os = "linux")]
        {
            use nix::sys::socket::{sendto, MsgFlags, SockaddrStorage};
            use std::os::fd::AsRawFd;
            let _ = sendto(self.io.as_raw_fd(), contents, &SockaddrStorage::from(to), MsgFlags::MSG_DONTWAIT);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = self.io.try_send_to(contents, to);
    }

    fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        ready!(self.admission.poll(&self.share, cx));
        let mut read = ReadBuf::new(buffer);
        let from = ready!(self.io.poll_recv_from(cx, &mut read))?;
        self.share.read_one();
        Poll::Ready(Ok((read.filled().len(), plain(from))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    /// Reads without end and counts.
    fn read(socket: std::net::UdpSocket) -> (Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
        let (share, count) = (Arc::<Share>::default(), Arc::new(AtomicUsize::new(0)));
        let socket = PlainSocket::new(socket, share.clone()).expect("a socket");
        let counter = count.clone();
        let task = share.run(async move {
            let mut buffer = [0; 2_000];
            while std::future::poll_fn(|cx| socket.poll_recv(cx, &mut buffer)).await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        (count, tokio::spawn(task))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_flooded_socket_is_read_as_far_as_its_share_goes_and_another_one_whole() {
        const FLOOD: usize = 50_000;
        const QUIET: usize = 50;
        let _dry = share::without_common();
        let bind = || std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (flooded, quiet) = (bind(), bind());
        let (target, beside) = (flooded.local_addr().expect("an address"), quiet.local_addr().expect("an address"));
        let began = Instant::now();
        let ((read_flooded, task), (read_quiet, other)) = (read(flooded), read(quiet));
        let (sent, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end, sender) = (sent.clone(), stop.clone(), bind());
        let flood = std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                count.fetch_add(usize::from(sender.send_to(&[0x80; 100], target).is_ok()), Ordering::SeqCst);
            }
        });
        let sender = bind();
        let deadline = began + Duration::from_secs(20);
        let mut asked = 0;
        while sent.load(Ordering::SeqCst) < FLOOD || read_quiet.load(Ordering::SeqCst) < QUIET {
            assert!(Instant::now() < deadline, "{sent:?} sent, {read_quiet:?} of {asked} read beside the flood");
            // One at a time, like voice packets.
            if asked < QUIET && read_quiet.load(Ordering::SeqCst) == asked {
                sender.send_to(b"quiet", beside).expect("sent");
                asked += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (read, most) = (read_flooded.load(Ordering::SeqCst), share::per_call_reads(began.elapsed()));
        stop.store(true, Ordering::SeqCst);
        flood.join().expect("the flood ends");
        task.abort();
        other.abort();
        assert!(read <= most, "{read} datagrams were read, {most} are the share");
        assert!(read >= 1_000, "only {read} datagrams were read");
    }
}
