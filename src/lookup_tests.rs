//! Tests of lookups with a resolver that hangs, fails or answers.

use super::*;
use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use tokio::time::timeout;

/// A fake resolver: names that begin with "hang" wait for the gate, those with "no" fail.
#[derive(Clone)]
struct Fake {
    gate: Arc<(Mutex<bool>, Condvar)>,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    inside: Arc<AtomicUsize>,
}

impl Fake {
    fn new() -> Self {
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        Self { gate, asked: Arc::default(), inside: Arc::default() }
    }

    fn lookups(&self, bounds: Bounds) -> Lookups {
        let fake = self.clone();
        Lookups::new(move |name| fake.resolve(name), bounds)
    }

    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        *self.asked.lock().entry(name.to_owned()).or_default() += 1;
        if name.starts_with("hang") {
            self.inside.fetch_add(1, Ordering::SeqCst);
            let mut open = self.gate.0.lock();
            while !*open {
                self.gate.1.wait(&mut open);
            }
            self.inside.fetch_sub(1, Ordering::SeqCst);
        }
        match name {
            "panics" => panic!("planted"),
            // As if no descriptor were left.
            _ if name.starts_with("not now") => Err(io::Error::from_raw_os_error(24)),
            _ if name.starts_with("no") => Err(io::Error::other("unknown name")),
            _ => Ok(vec!["127.0.0.1".parse().unwrap(), "127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]),
        }
    }

    fn open(&self) {
        *self.gate.0.lock() = true;
        self.gate.1.notify_all();
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().get(name).copied().unwrap_or(0)
    }

    /// Waits until `count` lookups hang.
    async fn hanging(&self, count: usize) {
        let reached = async {
            while self.inside.load(Ordering::SeqCst) != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(LONG, reached).await.expect("fewer lookups hang than expected");
    }
}

/// Timeout for events that must happen.
const LONG: Duration = Duration::from_secs(20);

fn hang(lookups: &Lookups, party: Party, name: String) -> tokio::task::JoinHandle<Found> {
    let lookups = lookups.clone();
    tokio::spawn(async move { lookups.find(party, &name).await })
}

async fn quick(lookups: &Lookups, party: Party, name: &str) -> Found {
    timeout(LONG, lookups.find(party, name)).await.expect("a lookup is blocked by others")
}

#[tokio::test]
async fn hanging_lookups_do_not_delay_other_parties() {
    let fake = Fake::new();
    let bounds = Bounds::default();
    let lookups = fake.lookups(bounds);
    let mut waiting = Vec::new();
    // Three parties with eighty names each, and five parties with one.
    for _ in 0..3 {
        let party = Party::new();
        waiting.extend((0..80).map(|n| hang(&lookups, party, format!("hang-{party:?}-{n}"))));
    }
    fake.hanging(3 * bounds.share).await;
    let many = Party::new();
    for n in 0..5 {
        waiting.push(hang(&lookups, Party::new(), format!("hang-alone-{n}")));
    }
    fake.hanging(3 * bounds.share + 5).await;
    // Later lookups are as fast as before.
    for n in 0..50 {
        assert!(quick(&lookups, many, &format!("good-{n}")).await.is_ok());
    }
    let (threads, queued) = lookups.counts();
    assert!(threads <= bounds.threads, "{threads} threads");
    assert!(queued <= bounds.queue, "{queued} in the queue");
    fake.open();
    for task in waiting {
        assert!(timeout(LONG, task).await.unwrap().unwrap().is_ok());
    }
}

#[tokio::test]
async fn an_abandoned_lookup_leaves_the_queue_and_its_share() {
    let fake = Fake::new();
    let bounds = Bounds { threads: 8, reserve: 1, share: 2, held: 4, queue: 16, ..Bounds::default() };
    let lookups = fake.lookups(bounds);
    let party = Party::new();
    let tasks: Vec<_> = (0..6).map(|n| hang(&lookups, party, format!("hang-{n}"))).collect();
    fake.hanging(2).await;
    assert_eq!(lookups.counts(), (2, 4));
    // Without waiters the share is free again, although the threads hang.
    for task in &tasks {
        task.abort();
    }
    for task in tasks {
        let _ = task.await;
    }
    assert!(quick(&lookups, party, "good").await.is_ok());
    assert_eq!(lookups.counts().1, 0);
    // Hanging lookups are still bounded, and a party without lookups still gets a thread.
    let tasks: Vec<_> = (0..6).map(|n| hang(&lookups, party, format!("hang-again-{n}"))).collect();
    fake.hanging(4).await;
    assert!(quick(&lookups, Party::new(), "good too").await.is_ok());
    assert_eq!(fake.inside.load(Ordering::SeqCst), 4);
    fake.open();
    for task in tasks {
        assert!(timeout(LONG, task).await.unwrap().unwrap().is_ok());
    }
}

#[tokio::test]
async fn one_name_is_looked_up_once_and_cached() {
    let fake = Fake::new();
    let lookups = fake.lookups(Bounds::default());
    let tasks: Vec<_> = (0..40).map(|_| hang(&lookups, Party::new(), "hang".into())).collect();
    fake.hanging(1).await;
    fake.open();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().len(), 2);
    }
    let party = Party::new();
    assert!(quick(&lookups, party, "hang").await.is_ok());
    assert_eq!(fake.asked("hang"), 1);
    lookups.forget("hang");
    assert!(quick(&lookups, party, "hang").await.is_ok());
    assert_eq!(fake.asked("hang"), 2);
    // A failure is cached, too, for less time.
    for _ in 0..3 {
        assert_eq!(*quick(&lookups, party, "no").await.unwrap_err(), *"unknown name");
    }
    assert_eq!(fake.asked("no"), 1);
    let known = |name: &str| lookups.0.state.lock().kept.get(name).map(|(until, _)| *until - Instant::now());
    assert!(known("no").unwrap() <= FAILURE_KEPT && known("hang").unwrap() > FAILURE_KEPT);
    // A lack of system resources is not cached: the next lookup may succeed.
    for asked in 1..=3 {
        assert!(quick(&lookups, party, "not now").await.is_err());
        assert_eq!(fake.asked("not now"), asked);
    }
    assert!(quick(&lookups, party, "panics").await.is_err());
    assert!(quick(&lookups, party, &"x".repeat(5_000)).await.is_err());
    for n in 0..2 * MAX_KEPT {
        assert!(quick(&lookups, party, &format!("good-{n}")).await.is_ok());
    }
    assert!(lookups.0.state.lock().kept.len() <= MAX_KEPT);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_hanging_lookups() {
    let fake = Fake::new();
    let lookups = fake.lookups(Bounds::default());
    let (party, soon) = (Party::new(), || Instant::now() + Duration::from_millis(50));
    let stuck = hang(&lookups, party, "hang".into());
    fake.hanging(1).await;
    assert!(quick(&lookups, Party::new(), "good").await.is_ok());
    assert_eq!(lookups.stop(soon()), 1);
    assert_eq!(lookups.counts(), (1, 0));
    // Lookups work again at once.
    assert!(quick(&lookups, Party::new(), "good").await.is_ok());
    fake.open();
    assert!(timeout(LONG, stuck).await.unwrap().unwrap().is_ok());
    assert_eq!(lookups.stop(Instant::now() + LONG), 0);
    assert_eq!(lookups.counts(), (0, 0));
}

#[tokio::test]
async fn threads_end_when_there_is_nothing_to_do() {
    let fake = Fake::new();
    let lookups = fake.lookups(Bounds { idle: Duration::from_millis(10), ..Bounds::default() });
    assert!(quick(&lookups, Party::new(), "good").await.is_ok());
    let ended = async {
        while lookups.counts().0 > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, ended).await.expect("a thread does not end");
}
