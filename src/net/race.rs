//! The first of several addresses that accepts a connection (RFC 8305, "Happy Eyeballs", section 5).
//!
//! Must not know: names, what a connection is.

use futures_util::stream::{FuturesUnordered, StreamExt};
use std::{future::Future, io, net::SocketAddr, pin::pin, time::Duration};
use tokio::time::{sleep, Instant};

/// Time between the starts of two attempts (RFC 8305 section 8, "Connection Attempt Delay").
const DELAY: Duration = Duration::from_millis(250);

/// Why no address was connected.
#[derive(Debug)]
pub(super) struct Lost {
    /// Attempts started.
    pub tried: usize,
    pub addresses: usize,
    /// The latest error of the system; `None`: no attempt ended.
    pub last: Option<io::Error>,
    pub timed_out: bool,
}

/// Connects to the addresses, best first, with both families in turn. An attempt begins 250 ms after the one before, or
/// when an attempt fails; with little time left sooner, so that the last one still has half of it. The first connection
/// wins, the other attempts are dropped.
pub(super) async fn race<T, C, F>(addresses: &[SocketAddr], deadline: Instant, connect: C) -> Result<T, Lost>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
{
    race_in(addresses, deadline.saturating_duration_since(Instant::now()), connect, sleep).await
}

/// [`race`] with the given timers.
async fn race_in<T, C, F, S, Z>(addresses: &[SocketAddr], within: Duration, connect: C, sleep: S) -> Result<T, Lost>
where
    C: Fn(SocketAddr) -> F,
    F: Future<Output = io::Result<T>>,
    S: Fn(Duration) -> Z,
    Z: Future<Output = ()>,
{
    let delay = DELAY.min(within / (2 * addresses.len().max(1)) as u32);
    let mut end = pin!(sleep(within));
    let mut waiting = interleaved(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut lost = Lost { tried: 0, addresses: addresses.len(), last: None, timed_out: false };
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(connect(address));
            lost.tried += 1;
        } else if attempts.is_empty() {
            return Err(lost);
        }
        let mut next = pin!(sleep(delay));
        tokio::select! {
            biased;
            Some(ended) = attempts.next() => match ended {
                Ok(connection) => return Ok(connection),
                Err(error) => lost.last = Some(error),
            },
            () = &mut end => {
                lost.timed_out = true;
                return Err(lost);
            }
            () = &mut next, if waiting.len() > 0 => {}
        }
    }
}

/// The addresses with the families in turn, the first address first (RFC 8305 section 4).
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<SocketAddr>, Vec<_>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut order = Vec::with_capacity(addresses.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    while order.len() < addresses.len() {
        order.extend(first.next());
        order.extend(second.next());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        cell::RefCell,
        future::poll_fn,
        rc::Rc,
        task::{Context, Poll, Waker},
    };
    use tokio::net::{TcpListener, TcpSocket, TcpStream};

    fn address(n: u8) -> SocketAddr {
        ([192, 0, 2, n], 443).into()
    }

    fn addresses(n: u8) -> Vec<SocketAddr> {
        (1..=n).map(address).collect()
    }

    /// Time that passes only while everything waits.
    #[derive(Clone, Default)]
    struct Clock(Rc<RefCell<(Duration, Timers)>>);
    type Timers = Vec<(Duration, Waker)>;

    impl Clock {
        fn now(&self) -> Duration {
            self.0.borrow().0
        }

        fn sleep(&self, time: Duration) -> impl Future<Output = ()> {
            let (clock, until) = (self.clone(), self.now() + time);
            poll_fn(move |cx| {
                if clock.now() >= until {
                    return Poll::Ready(());
                }
                clock.0.borrow_mut().1.push((until, cx.waker().clone()));
                Poll::Pending
            })
        }

        fn run<T>(&self, what: impl Future<Output = T>) -> T {
            let mut what = pin!(what);
            loop {
                if let Poll::Ready(result) = what.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    return result;
                }
                let (now, timers) = &mut *self.0.borrow_mut();
                *now = timers.iter().map(|(until, _)| *until).min().expect("it waits for nothing");
                // All are asked again; those that still wait come back.
                timers.drain(..).for_each(|(_, waker)| waker.wake());
            }
        }
    }

    #[derive(Clone, Copy)]
    enum Answer {
        After(u64),
        RefusedAfter(u64),
        Never,
    }

    struct Attempt {
        to: SocketAddr,
        /// When it began, in ms.
        at: u64,
        /// It was dropped before it ended.
        dropped: bool,
    }

    /// Marks an attempt that is dropped.
    struct Guard<'a>(&'a RefCell<Vec<Attempt>>, usize);

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut()[self.1].dropped = true;
        }
    }

    /// The result, the attempts as (address, begin in ms, dropped), and the time taken in ms.
    #[allow(clippy::type_complexity)]
    fn run(
        addresses: &[SocketAddr],
        within: u64,
        answer: impl Fn(SocketAddr) -> Answer,
    ) -> (Result<SocketAddr, Lost>, Vec<(SocketAddr, u64, bool)>, u64) {
        let (clock, attempts) = (Clock::default(), RefCell::new(Vec::new()));
        let connect = |to| {
            let (clock, attempts, answer) = (clock.clone(), &attempts, answer(to));
            let at = clock.now().as_millis() as u64;
            attempts.borrow_mut().push(Attempt { to, at, dropped: false });
            let guard = Guard(attempts, attempts.borrow().len() - 1);
            async move {
                let result = match answer {
                    Answer::After(ms) => {
                        clock.sleep(Duration::from_millis(ms)).await;
                        Ok(to)
                    }
                    Answer::RefusedAfter(ms) => {
                        clock.sleep(Duration::from_millis(ms)).await;
                        Err(io::ErrorKind::ConnectionRefused.into())
                    }
                    Answer::Never => std::future::pending().await,
                };
                std::mem::forget(guard);
                result
            }
        };
        let result = clock.run(race_in(addresses, Duration::from_millis(within), connect, |time| clock.sleep(time)));
        let attempts = attempts.borrow().iter().map(|a| (a.to, a.at, a.dropped)).collect();
        (result, attempts, clock.now().as_millis() as u64)
    }

    #[test]
    fn families_take_turns() {
        let all = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let given = all(&["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "192.0.2.1:1", "192.0.2.2:1"]);
        let order = all(&["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "[2001:db8::3]:1"]);
        assert_eq!(interleaved(&given), order);
        let given = all(&["192.0.2.1:1", "[2001:db8::1]:1", "192.0.2.2:1"]);
        assert_eq!(interleaved(&given), given);
        assert!(interleaved(&[]).is_empty());
    }

    #[test]
    fn a_dead_address_costs_one_delay_and_losers_are_dropped() {
        let (result, journal, took) = run(&addresses(3), 10_000, |to| match to == address(2) {
            true => Answer::After(20),
            false => Answer::Never,
        });
        assert_eq!(result.unwrap(), address(2));
        assert_eq!(took, 270);
        assert_eq!(journal, [(address(1), 0, true), (address(2), 250, false)]);
    }

    #[test]
    fn a_slow_first_address_still_wins() {
        let (result, journal, took) = run(&addresses(2), 10_000, |to| match to == address(1) {
            true => Answer::After(400),
            false => Answer::After(300),
        });
        assert_eq!((result.unwrap(), took), (address(1), 400));
        assert_eq!(journal, [(address(1), 0, false), (address(2), 250, true)]);
    }

    #[test]
    fn a_failure_starts_the_next_attempt_at_once() {
        let (result, journal, took) = run(&addresses(3), 10_000, |to| match to == address(3) {
            true => Answer::After(5),
            false => Answer::RefusedAfter(10),
        });
        assert_eq!((result.unwrap(), took), (address(3), 25));
        assert_eq!(journal.iter().map(|(_, at, _)| *at).collect::<Vec<_>>(), [0, 10, 20]);
        // The same while an earlier attempt is silent.
        let (result, journal, took) = run(&addresses(3), 10_000, |to| match to {
            to if to == address(1) => Answer::Never,
            to if to == address(2) => Answer::RefusedAfter(10),
            _ => Answer::After(5),
        });
        assert_eq!((result.unwrap(), took), (address(3), 265));
        assert_eq!(journal.iter().map(|(_, at, _)| *at).collect::<Vec<_>>(), [0, 250, 260]);
        // All fail: the number of attempts and the error are known at once.
        let (result, _, took) = run(&addresses(3), 10_000, |_| Answer::RefusedAfter(10));
        let lost = result.unwrap_err();
        assert_eq!((lost.tried, lost.addresses, lost.timed_out, took), (3, 3, false, 30));
        assert_eq!(lost.last.unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn the_last_address_has_time_to_answer() {
        for (count, within) in [(8, 1_000), (8, 100), (2, 300), (1, 50)] {
            let (result, journal, took) = run(&addresses(count), within, |to| match to == address(count) {
                true => Answer::After(within / 2 - 5),
                false => Answer::Never,
            });
            assert_eq!(result.unwrap(), address(count), "{count} addresses in {within} ms");
            assert!(took < within && journal.len() == usize::from(count));
        }
    }

    #[test]
    fn the_deadline_ends_all_attempts() {
        let (result, journal, took) = run(&addresses(3), 2_000, |to| match to == address(1) {
            true => Answer::RefusedAfter(100),
            false => Answer::Never,
        });
        let lost = result.unwrap_err();
        assert_eq!((lost.tried, lost.timed_out, took), (3, true, 2_000));
        assert!(lost.last.is_some(), "the error of the attempt that ended");
        assert!(journal[1].2 && journal[2].2, "{journal:?}");
        // No address at all.
        let lost = run(&[], 1_000, |_| Answer::Never).0.unwrap_err();
        assert_eq!((lost.tried, lost.timed_out), (0, false));
        // The deadline has passed already.
        assert!(run(&addresses(2), 0, |_| Answer::Never).0.unwrap_err().timed_out);
    }

    /// A port on which connections get no answer: the listener's queue is full.
    async fn silent() -> (SocketAddr, tokio::net::TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let (address, mut queue) = (listener.local_addr().unwrap(), Vec::new());
        for _ in 0..16 {
            match tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
                Ok(stream) => queue.push(stream.unwrap()),
                Err(_) => return (address, listener, queue),
            }
        }
        panic!("the queue does not fill");
    }

    #[tokio::test]
    async fn a_silent_and_a_refusing_address_of_the_system() {
        let live = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let live = (live.local_addr().unwrap(), live);
        // Bound and not listening: connections are refused.
        let closed = TcpSocket::new_v4().unwrap();
        closed.bind("127.0.0.3:0".parse().unwrap()).unwrap();
        let refusing = closed.local_addr().unwrap();
        let (silent, _listener, _queue) = silent().await;
        let (begin, deadline) = (Instant::now(), Instant::now() + Duration::from_secs(10));
        let stream = race(&[silent, refusing, live.0], deadline, TcpStream::connect).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), live.0);
        assert!(begin.elapsed() >= DELAY, "the silent address came first");
        let lost = race(&[silent, refusing], Instant::now() + Duration::from_millis(400), TcpStream::connect).await;
        let lost = lost.unwrap_err();
        assert!(lost.timed_out && lost.tried == 2);
        assert_eq!(lost.last.unwrap().kind(), io::ErrorKind::ConnectionRefused);
    }
}
