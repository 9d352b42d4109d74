//! Mailboxes and the pool: one callback at a time, none after a close that waited, `destroy` exactly
//! once and last, nobody waits for ever.

use crate::dispatch::{Class, Closing, Delivery, Handler, Limits, Mailbox, Pool, PoolConfig, Posted};
use loom::thread;
use std::{
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        Arc,
    },
    time::Duration,
};

type Box_ = Mailbox<u32, u32>;

/// What the callbacks of one mailbox did. No atomics of the checker: it is not what is modelled.
#[derive(Default)]
struct Log {
    inside: AtomicUsize,
    calls: AtomicUsize,
    destroyed: AtomicUsize,
    /// Nothing may run any more.
    over: AtomicBool,
    wrong: AtomicUsize,
}

impl Log {
    fn enter(&self) {
        let alone = self.inside.fetch_add(1, SeqCst) == 0;
        let late = self.over.load(SeqCst) || self.destroyed.load(SeqCst) > 0;
        if !alone || late {
            self.wrong.fetch_add(1, SeqCst);
        }
        self.calls.fetch_add(1, SeqCst);
        // A callback takes its time: the others may go on meanwhile.
        thread::yield_now();
        if self.destroyed.load(SeqCst) > 0 {
            self.wrong.fetch_add(1, SeqCst);
        }
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, SeqCst);
    }

    fn destroy(&self) {
        if self.inside.load(SeqCst) != 0 || self.over.load(SeqCst) {
            self.wrong.fetch_add(1, SeqCst);
        }
        thread::yield_now();
        self.destroyed.fetch_add(1, SeqCst);
    }

    /// A close has returned that says it is all over.
    fn closed(&self) {
        self.over.store(true, SeqCst);
        assert_eq!(self.inside.load(SeqCst), 0, "a callback runs after the close");
        assert_eq!(self.destroyed.load(SeqCst), 1, "destroy has run {} times", self.destroyed.load(SeqCst));
    }

    fn check(&self) {
        assert_eq!(self.wrong.load(SeqCst), 0, "callbacks overlap, or run after the end");
        assert_eq!(self.destroyed.load(SeqCst), 1, "destroy ran {} times", self.destroyed.load(SeqCst));
    }
}

fn small_pool(base: usize, cap: usize) -> Arc<Pool> {
    Pool::new(PoolConfig { base, cap, load_cap: 1, ..PoolConfig::default() })
}

fn mailbox(pool: &Arc<Pool>, log: &Arc<Log>) -> Box_ {
    let (call, end) = (log.clone(), log.clone());
    let handler = Handler::new(move |_| {
        call.enter();
        call.leave();
    })
    .destroy(move || end.destroy());
    Mailbox::with_handler(pool, Limits::default(), handler)
}

fn stop(pool: &Arc<Pool>) {
    assert!(pool.shutdown(Duration::MAX), "the pool does not stop");
    let stats = pool.stats();
    assert_eq!((stats.threads, stats.ready), (0, 0), "something is left in the pool");
}

pub fn close_against_post() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let mailbox = mailbox(&pool, &log);
    let poster = {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            mailbox.post(1, Class::Normal);
            mailbox.post_media(2, 0);
        })
    };
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    log.closed();
    assert_eq!(mailbox.post(3, Class::Vital(0)), Posted::Closed);
    poster.join().unwrap();
    stop(&pool);
    log.check();
}

pub fn two_close() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let mailbox = mailbox(&pool, &log);
    mailbox.post(1, Class::Normal);
    let closer = {
        let mailbox = mailbox.clone();
        let log = log.clone();
        thread::spawn(move || {
            assert_eq!(mailbox.close_and_wait(), Closing::Done);
            assert_eq!((log.destroyed.load(SeqCst), log.inside.load(SeqCst)), (1, 0));
        })
    };
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    log.closed();
    closer.join().unwrap();
    stop(&pool);
    log.check();
}

/// One closes without waiting, which leaves the end to the pool, another waits for it.
pub fn close_both_ways() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let mailbox = mailbox(&pool, &log);
    let closer = {
        let mailbox = mailbox.clone();
        thread::spawn(move || assert_eq!(mailbox.close_and_wait(), Closing::Done))
    };
    mailbox.close();
    closer.join().unwrap();
    log.closed();
    stop(&pool);
    log.check();
}

/// Callbacks that use up their turn: the mailbox goes back into the pool's queue between them.
pub fn turns() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let (call, end) = (log.clone(), log.clone());
    let handler = Handler::new(move |_| {
        call.enter();
        crate::sync::pass(Duration::from_millis(6));
        call.leave();
    })
    .destroy(move || end.destroy());
    let mailbox: Box_ = Mailbox::with_handler(&pool, Limits::default(), handler);
    mailbox.post(1, Class::Normal);
    let poster = {
        let mailbox = mailbox.clone();
        thread::spawn(move || mailbox.post(2, Class::Normal))
    };
    poster.join().unwrap();
    mailbox.post_last(3);
    stop(&pool);
    log.check();
    assert_eq!(log.calls.load(SeqCst), 3, "what was posted did not arrive");
}

pub fn close_against_last() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let mailbox = mailbox(&pool, &log);
    let poster = {
        let mailbox = mailbox.clone();
        thread::spawn(move || mailbox.post_last(9))
    };
    mailbox.close();
    poster.join().unwrap();
    stop(&pool);
    log.check();
    assert!(log.calls.load(SeqCst) <= 1);
}

pub fn freed_inside() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let own: Arc<std::sync::Mutex<Option<Box_>>> = Arc::default();
    let deferred = Arc::new(AtomicUsize::new(0));
    let (call, end, me, seen) = (log.clone(), log.clone(), own.clone(), deferred.clone());
    let handler = Handler::new(move |_| {
        call.enter();
        let mailbox = me.lock().unwrap().take();
        if let Some(mailbox) = mailbox {
            if mailbox.close_and_wait() == Closing::Deferred {
                seen.fetch_add(1, SeqCst);
            }
        }
        call.leave();
    })
    .destroy(move || end.destroy());
    let mailbox: Box_ = Mailbox::with_handler(&pool, Limits::default(), handler);
    *own.lock().unwrap() = Some(mailbox.clone());
    mailbox.post(1, Class::Normal);
    mailbox.post(2, Class::Normal);
    stop(&pool);
    log.check();
    assert_eq!((log.calls.load(SeqCst), deferred.load(SeqCst)), (1, 1), "freed inside, yet it went on");
    assert_eq!(mailbox.post(3, Class::Normal), Posted::Closed);
}

pub fn free_each_other() {
    let pool = small_pool(2, 2);
    let logs = [Arc::new(Log::default()), Arc::new(Log::default())];
    let boxes: Arc<std::sync::Mutex<Vec<Box_>>> = Arc::default();
    for (n, log) in logs.iter().enumerate() {
        let (call, end, all) = (log.clone(), log.clone(), boxes.clone());
        let handler = Handler::new(move |_| {
            call.enter();
            let other = all.lock().unwrap().get(1 - n).cloned();
            if let Some(other) = other {
                other.close_and_wait();
            }
            call.leave();
        })
        .destroy(move || end.destroy());
        boxes.lock().unwrap().push(Mailbox::with_handler(&pool, Limits::default(), handler));
    }
    let [one, two]: [Box_; 2] = std::mem::take(&mut *boxes.lock().unwrap()).try_into().ok().unwrap();
    *boxes.lock().unwrap() = vec![one.clone(), two.clone()];
    one.post(1, Class::Normal);
    two.post(1, Class::Normal);
    stop(&pool);
    boxes.lock().unwrap().clear();
    // One of them may not have been reached by the other, if that one was closed before it began.
    one.close_and_wait();
    two.close_and_wait();
    stop(&pool);
    logs[0].check();
    logs[1].check();
}

pub fn last_clone_dropped() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let mailbox = mailbox(&pool, &log);
    let other = mailbox.clone();
    let poster = thread::spawn(move || {
        other.post(1, Class::Normal);
        drop(other);
    });
    drop(mailbox);
    poster.join().unwrap();
    stop(&pool);
    log.check();
    assert_eq!(log.calls.load(SeqCst), 1, "what was posted did not arrive");
}

pub fn panic_against_close() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let reported = Arc::new(AtomicUsize::new(0));
    let (call, end, report) = (log.clone(), log.clone(), reported.clone());
    let handler = Handler::new(move |_| {
        call.enter();
        call.leave();
        std::panic::resume_unwind(Box::new("a callback panics"));
    })
    .destroy(move || end.destroy())
    .on_panic(move |_| {
        report.fetch_add(1, SeqCst);
    });
    let mailbox: Box_ = Mailbox::with_handler(&pool, Limits::default(), handler);
    mailbox.post(1, Class::Normal);
    mailbox.post(2, Class::Normal);
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    log.closed();
    stop(&pool);
    log.check();
    let calls = log.calls.load(SeqCst);
    assert!(calls <= 1, "it was called after it had panicked");
    assert_eq!(reported.load(SeqCst), calls, "the panic was reported {} times", reported.load(SeqCst));
}

pub fn quiesce() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let mailbox = mailbox(&pool, &log);
    mailbox.post(1, Class::Normal);
    let quiet = {
        let mailbox = mailbox.clone();
        thread::spawn(move || assert_eq!(mailbox.quiesce(), Closing::Done))
    };
    mailbox.post_last(2);
    quiet.join().unwrap();
    stop(&pool);
    log.check();
    assert_eq!(log.calls.load(SeqCst), 2);
}

/// One thread pulls, one posts the last item: nothing sleeps through a wake-up.
pub fn pull() {
    let pool = small_pool(1, 1);
    let mailbox: Box_ = Mailbox::pulled(&pool, Limits::default());
    let puller = {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            let mut got = Vec::new();
            while let Ok(item) = mailbox.next(Duration::MAX) {
                got.push(item);
            }
            got
        })
    };
    mailbox.post(1, Class::Normal);
    mailbox.post_last(2);
    let got = puller.join().unwrap();
    assert_eq!(got, [Delivery::Control(1), Delivery::Control(2)]);
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
}

/// A wait that times out takes nothing along; a close from elsewhere ends it.
pub fn pull_with_timeout() {
    let pool = small_pool(1, 1);
    let mailbox: Box_ = Mailbox::pulled(&pool, Limits::default());
    let puller = {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            let mut got = 0;
            for _ in 0..2 {
                got += usize::from(mailbox.next(Duration::from_millis(10)).is_ok());
            }
            got
        })
    };
    let posted = mailbox.post(1, Class::Normal);
    assert_eq!(posted, Posted::Queued);
    let got = puller.join().unwrap();
    let rest = usize::from(mailbox.next(Duration::ZERO).is_ok());
    assert_eq!(got + rest, 1, "an item is lost or doubled");
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    assert!(mailbox.next(Duration::MAX).is_err());
}

pub fn shutdown_against_post() {
    let (pool, log) = (small_pool(1, 1), Arc::new(Log::default()));
    let mailbox = mailbox(&pool, &log);
    let poster = {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            mailbox.post(1, Class::Normal);
            mailbox.post_last(2);
        })
    };
    assert!(pool.shutdown(Duration::MAX));
    poster.join().unwrap();
    // What was posted after the pool had stopped has started it again.
    stop(&pool);
    log.check();
    assert_eq!(log.calls.load(SeqCst), 2, "what was posted got lost in a shutdown");
}

/// With one thread in a callback that waits for another mailbox's, only the monitor can help.
pub fn relieved() {
    let pool = small_pool(1, 2);
    let log = Arc::new(Log::default());
    let reached = Arc::new((crate::sync::Mutex::new(false), crate::sync::Condvar::new()));
    let waits = reached.clone();
    let (call, end) = (log.clone(), log.clone());
    let blocked: Box_ = Mailbox::with_handler(
        &pool,
        Limits::default(),
        Handler::new(move |_| {
            call.enter();
            let mut done = waits.0.lock();
            while !*done {
                waits.1.wait(&mut done);
            }
            drop(done);
            call.leave();
        })
        .destroy(move || end.destroy()),
    );
    let helper: Box_ = Mailbox::with_handler(
        &pool,
        Limits::default(),
        Handler::new(move |_| {
            *reached.0.lock() = true;
            reached.1.notify_all();
        }),
    );
    blocked.post_last(1);
    helper.post_last(1);
    stop(&pool);
    log.check();
}
