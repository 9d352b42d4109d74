//! Tests of the dispatcher through its public face: order, bounds, closing from everywhere, threads
//! that grow and go, pulling. What they share is here.

mod close;
mod order;
mod pool;
mod pull;
mod reserve;
mod waits;

use offhook::dispatch::{Class, Closing, DataLost, Delivery, Handler, Limits, Mailbox, Pool, PoolConfig};
use std::{
    sync::{
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc::{channel, Receiver, Sender},
        Arc,
    },
    thread,
    time::{Duration, Instant},
};

/// Every test ends by then, one way or the other; nothing that goes well takes as long.
const LONG: Duration = Duration::from_secs(30);

type Item = Delivery<u32, u32>;
type Box_ = Mailbox<u32, u32>;

fn new_pool() -> Arc<Pool> {
    Pool::new(PoolConfig { keep: Duration::from_millis(30), ..PoolConfig::default() })
}

fn end(pool: &Arc<Pool>) {
    assert!(pool.shutdown(LONG), "threads of the pool are left: {:?}", pool.stats());
    let stats = pool.stats();
    assert_eq!((stats.threads, stats.idle, stats.ready), (0, 0, 0));
}

/// A mailbox that sends on what it gets.
fn recorder(pool: &Arc<Pool>, limits: Limits) -> (Box_, Receiver<Item>) {
    let (sender, receiver) = channel();
    (Mailbox::with_handler(pool, limits, Handler::new(move |item| sender.send(item).unwrap())), receiver)
}

/// A gate that a callback stands at until the test lets it go.
struct Gate {
    entered: Receiver<()>,
    go: Sender<()>,
}

struct Post {
    entered: Sender<()>,
    go: Receiver<()>,
}

fn gate() -> (Gate, Post) {
    let (sender, entered) = channel();
    let (go, may_go) = channel();
    (Gate { entered, go }, Post { entered: sender, go: may_go })
}

impl Gate {
    fn wait_for_entry(&self) {
        self.entered.recv_timeout(LONG).expect("the callback did not begin");
    }

    fn open(&self) {
        self.go.send(()).unwrap();
    }
}

impl Post {
    fn pass(&self) {
        self.entered.send(()).unwrap();
        self.go.recv_timeout(LONG).expect("the gate was not opened");
    }
}

/// Counts how often `destroy` ran.
#[derive(Clone, Default)]
struct Ended(Arc<AtomicUsize>);

impl Ended {
    fn hook(&self) -> impl FnOnce() + Send + 'static {
        let count = self.0.clone();
        move || {
            count.fetch_add(1, SeqCst);
        }
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::sleep(Duration::from_micros(200));
    }
}

fn normal(mailbox: &Box_, item: u32) {
    mailbox.post(item, Class::Normal);
}

fn close(mailbox: &Box_) {
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
}
