//! A plain UDP socket for one peer connection: one datagram per call, and no segmentation offload, whose receive
//! buffers would take 190 KB per peer connection. Sending is immediate, from any thread.
//!
//! Must not know: any engine's types, what the datagrams mean.

use super::link::Link;
use crate::share::{self, Share};
use parking_lot::Mutex;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;
use tokio::time::Sleep;

/// Maximum number of local addresses that get a socket.
const MAX_SOCKETS: usize = 16;

#[derive(Debug)]
pub struct PlainSocket {
    io: UdpSocket,
    local: SocketAddr,
    share: Arc<Share>,
    /// Pause in reading, because the call has used up its share.
    waiting: Mutex<Option<Pin<Box<Sleep>>>>,
}

impl PlainSocket {
    /// Takes over a bound socket; must be called inside the tokio runtime.
    pub fn new(socket: std::net::UdpSocket, share: Arc<Share>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Self { io: UdpSocket::from_std(socket)?, local, share, waiting: Mutex::new(None) })
    }

    /// Ready when the call may read more, in this turn and by its share. Meanwhile datagrams wait in the system's
    /// buffer and are dropped when it is full: a flood costs only its sender's packets.
    fn poll_admitted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !share::one_more() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut waiting = self.waiting.lock();
        loop {
            if let Some(sleep) = waiting.as_mut() {
                ready!(sleep.as_mut().poll(cx));
                *waiting = None;
            }
            match self.share.wait() {
                Some(wait) => *waiting = Some(Box::pin(tokio::time::sleep(wait))),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl Link for PlainSocket {
    fn local(&self) -> SocketAddr {
        self.local
    }

    fn send(&self, to: SocketAddr, contents: &[u8]) {
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
        ready!(self.poll_admitted(cx));
        let mut read = ReadBuf::new(buffer);
        let from = ready!(self.io.poll_recv_from(cx, &mut read))?;
        self.share.read_one();
        Poll::Ready(Ok((read.filled().len(), from)))
    }
}

/// Addresses to bind: one loopback socket, or one for each usable address. `interfaces` are the machine's addresses.
pub fn bind_addresses(loopback_only: bool, interfaces: impl IntoIterator<Item = IpAddr>) -> Vec<SocketAddr> {
    let is_usable = |address: &IpAddr| match address {
        IpAddr::V4(a) => !(a.is_loopback() || a.is_link_local() || a.is_unspecified()),
        IpAddr::V6(a) => !(a.is_loopback() || a.is_unspecified() || a.segments()[0] & 0xffc0 == 0xfe80),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    if !loopback_only {
        for address in interfaces.into_iter().filter(is_usable) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    addresses.sort_by_key(IpAddr::is_ipv6);
    addresses.truncate(MAX_SOCKETS);
    if addresses.is_empty() {
        addresses.push(Ipv4Addr::LOCALHOST.into());
    }
    addresses.into_iter().map(|address| SocketAddr::new(address, 0)).collect()
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
