//! DTLS that comes before ICE has a pair. Engines drop it, and the other side repeats it only after
//! a second (RFC 9147 §5.8): an SFU that nominates and at once opens DTLS would cost each
//! connection that second. So the first datagrams are held back until they can be used.
//!
//! Must not know: any engine's types, sockets, what is in a handshake.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::task::{ready, Context, Poll, Waker};

/// Content type of a DTLS handshake record (RFC 6347 §4.1), never the first byte of STUN or RTP.
const DTLS_HANDSHAKE: u8 = 22;
/// Most datagrams held back per socket: a ClientHello and what may be repeated of it.
const MAX_HELD: usize = 4;

/// Whether ICE of one peer connection has a pair.
#[derive(Debug, Default)]
pub struct IceUp {
    up: AtomicBool,
    /// Who waits for it: the last one of each socket, as with any socket.
    waiting: Mutex<Vec<(SocketAddr, Waker)>>,
}

impl IceUp {
    /// From now on nothing is held back; what was comes first.
    pub fn set(&self) {
        let waiting = {
            let mut waiting = self.waiting.lock();
            self.up.store(true, Ordering::Release);
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn is_set(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Has `waker` woken once it is set; false if it is already.
    fn wait(&self, socket: SocketAddr, waker: &Waker) -> bool {
        let mut waiting = self.waiting.lock();
        if self.is_set() {
            return false;
        }
        waiting.retain(|(other, _)| *other != socket);
        waiting.push((socket, waker.clone()));
        true
    }
}

/// What one socket holds back.
#[derive(Debug)]
pub struct Early {
    socket: SocketAddr,
    ice: Arc<IceUp>,
    held: Mutex<VecDeque<(Vec<u8>, SocketAddr)>>,
    /// Nothing is held and nothing will be.
    done: AtomicBool,
}

impl Early {
    pub fn new(socket: SocketAddr, ice: Arc<IceUp>) -> Self {
        Self { socket, ice, held: Mutex::default(), done: AtomicBool::new(false) }
    }

    /// The next datagram, out of those held back or from `receive`.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        mut receive: impl FnMut(&mut Context<'_>, &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>>,
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        if self.done.load(Ordering::Acquire) {
            return receive(cx, buffer);
        }
        loop {
            if self.ice.is_set() || !self.ice.wait(self.socket, cx.waker()) {
                if let Some((datagram, from)) = self.held.lock().pop_front() {
                    let length = datagram.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&datagram[..length]);
                    return Poll::Ready(Ok((length, from)));
                }
                self.done.store(true, Ordering::Release);
                return receive(cx, buffer);
            }
            let (length, from) = ready!(receive(cx, buffer))?;
            if buffer.first() != Some(&DTLS_HANDSHAKE) || length == 0 {
                return Poll::Ready(Ok((length, from)));
            }
            let mut held = self.held.lock();
            if held.len() < MAX_HELD {
                held.push_back((buffer[..length].to_vec(), from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_handshake_waits_for_ice_and_comes_first_then() {
        let address = SocketAddr::from(([127, 0, 0, 1], 9));
        let ice = Arc::new(IceUp::default());
        let early = Early::new(address, ice.clone());
        let woken = Arc::new(Count::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut incoming: VecDeque<Vec<u8>> = VecDeque::new();
        let mut next = |incoming: &mut VecDeque<Vec<u8>>| {
            let mut buffer = [0; 2000];
            let receive = |_: &mut Context<'_>, buffer: &mut [u8]| match incoming.pop_front() {
                Some(datagram) => {
                    buffer[..datagram.len()].copy_from_slice(&datagram);
                    Poll::Ready(Ok((datagram.len(), address)))
                }
                None => Poll::Pending,
            };
            match early.poll_recv(&mut cx, &mut buffer, receive) {
                Poll::Ready(result) => Some(buffer[..result.expect("a datagram").0].to_vec()),
                Poll::Pending => None,
            }
        };
        // STUN passes, an empty datagram as well.
        incoming.extend([vec![0, 1], vec![22, 1], vec![], vec![22, 2], vec![22, 3], vec![22, 4], vec![22, 5]]);
        assert_eq!(next(&mut incoming), Some(vec![0, 1]));
        assert_eq!(next(&mut incoming), Some(vec![]));
        assert_eq!(next(&mut incoming), None);
        ice.set();
        assert_eq!(woken.0.load(Ordering::SeqCst), 1, "one socket waits once");
        incoming.push_back(vec![22, 6]);
        let got: Vec<_> = std::iter::from_fn(|| next(&mut incoming)).map(|datagram| datagram[1]).collect();
        assert_eq!(got, [1, 2, 3, 4, 6], "so many are held, in their order");
    }
}
