//! Closing from another thread, from inside, twice, across, in circles; `destroy` exactly once.

use super::*;
use offhook::dispatch::in_any_callback;
use std::sync::{Barrier, OnceLock};

/// A mailbox whose handler stands at a gate once, then goes on.
fn gated(pool: &Arc<Pool>, ended: &Ended) -> (Box_, Gate) {
    let (gate, post) = gate();
    let handler = Handler::new(move |_: Item| post.pass()).destroy(ended.hook());
    (Mailbox::with_handler(pool, Limits::default(), handler), gate)
}

#[test]
fn close_waits_for_the_callback_of_another_thread() {
    let pool = new_pool();
    let ended = Ended::default();
    let (mailbox, gate) = gated(&pool, &ended);
    normal(&mailbox, 0);
    normal(&mailbox, 1);
    gate.wait_for_entry();
    let (sender, receiver) = channel();
    let (other, seen) = (mailbox.clone(), ended.clone());
    let closer = thread::spawn(move || {
        let closing = other.close_and_wait();
        sender.send((closing, seen.count())).unwrap();
    });
    until("the closer did not begin", || mailbox.is_closed());
    assert!(receiver.try_recv().is_err() && ended.count() == 0, "a callback runs: close must not be done");
    gate.open();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), (Closing::Done, 1));
    closer.join().unwrap();
    assert!(gate.entered.recv().is_err(), "the second item is discarded, and the handler dropped");
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    assert_eq!(ended.count(), 1);
    end(&pool);
}

#[test]
fn close_inside_the_callback_takes_effect_when_it_returns() {
    let pool = new_pool();
    let ended = Ended::default();
    let own = Arc::new(OnceLock::<Box_>::new());
    let (own_mailbox, seen) = (own.clone(), ended.clone());
    let (sender, receiver) = channel();
    let handler = Handler::new(move |_: Item| {
        let me = own_mailbox.get().unwrap();
        assert!(me.in_callback_of_this() && in_any_callback());
        let closings = [me.close_and_wait(), me.close_and_wait(), me.close(), me.quiesce()];
        sender.send((closings, seen.count())).unwrap();
    })
    .destroy(ended.hook());
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    own.set(mailbox.clone()).unwrap();
    normal(&mailbox, 0);
    normal(&mailbox, 1);
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), ([Closing::Deferred; 4], 0));
    assert!(receiver.recv().is_err(), "one callback only");
    assert!(!mailbox.in_callback_of_this() && !in_any_callback());
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    assert_eq!(ended.count(), 1);
    end(&pool);
}

#[test]
fn all_of_many_closers_wait() {
    let pool = new_pool();
    for round in 0..100 {
        let ended = Ended::default();
        let (mailbox, gate) = gated(&pool, &ended);
        let occupied = round % 2 == 0;
        if occupied {
            normal(&mailbox, 0);
            gate.wait_for_entry();
        }
        let start = Barrier::new(4);
        thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    start.wait();
                    assert_eq!(mailbox.close_and_wait(), Closing::Done);
                    assert_eq!(ended.count(), 1);
                });
            }
            if occupied {
                until("closed", || mailbox.is_closed());
                assert_eq!(ended.count(), 0);
                gate.open();
            }
        });
        assert_eq!(ended.count(), 1);
    }
    end(&pool);
}

#[test]
fn close_without_waiting_destroys_on_a_pool_thread() {
    let pool = new_pool();
    let (sender, receiver) = channel();
    let handler =
        Handler::new(|_: Item| ()).destroy(move || sender.send(thread::current().name().map(String::from)).unwrap());
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    assert_eq!(mailbox.close(), Closing::Deferred);
    assert!(receiver.recv_timeout(LONG).unwrap().unwrap().starts_with("oh-call-"));
    assert!(receiver.recv().is_err());
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    end(&pool);
}

/// Callback `n` closes mailbox `n + 1`, all at the same time, the last one the first.
fn circle(length: usize) {
    let pool = new_pool();
    for _ in 0..20 {
        let all = Arc::new(OnceLock::<Vec<Box_>>::new());
        let together = Arc::new(Barrier::new(length));
        let ended: Vec<_> = (0..length).map(|_| Ended::default()).collect();
        let (sender, receiver) = channel();
        let mailboxes: Vec<_> = (0..length)
            .map(|n| {
                let (all, together, sender) = (all.clone(), together.clone(), sender.clone());
                let handler = Handler::new(move |_: Item| {
                    together.wait();
                    sender.send(all.get().unwrap()[(n + 1) % length].close_and_wait()).unwrap();
                });
                Mailbox::with_handler(&pool, Limits::default(), handler.destroy(ended[n].hook()))
            })
            .collect();
        all.set(mailboxes.clone()).unwrap();
        mailboxes.iter().for_each(|m| normal(m, 0));
        let closings: Vec<_> = (0..length).map(|_| receiver.recv_timeout(LONG).expect("the circle hangs")).collect();
        assert_eq!(closings.iter().filter(|c| **c == Closing::Deferred).count(), 1, "{closings:?}");
        mailboxes.iter().for_each(close);
        assert!(ended.iter().all(|e| e.count() == 1));
    }
    end(&pool);
}

#[test]
fn a_circle_of_two_closers_does_not_hang() {
    circle(2);
}

#[test]
fn a_circle_of_three_closers_does_not_hang() {
    circle(3);
}

#[test]
fn a_circle_of_seven_closers_does_not_hang() {
    circle(7);
}

#[test]
fn random_closing_across_calls_never_hangs_and_destroys_once() {
    const BOXES: usize = 6;
    let pool = new_pool();
    for seed in 0..150u32 {
        let all = Arc::new(OnceLock::<Vec<Box_>>::new());
        let ended: Vec<_> = (0..BOXES).map(|_| Ended::default()).collect();
        let mailboxes: Vec<Box_> = (0..BOXES)
            .map(|own| {
                let (all, seen) = (all.clone(), ended[own].clone());
                let handler = Handler::new(move |item: Item| {
                    assert_eq!(seen.count(), 0, "a callback after destroy, seed {seed}");
                    let Delivery::Control(n) = item else { return };
                    let target = &all.get().unwrap()[n as usize % BOXES];
                    match n % 3 {
                        0 => _ = target.close_and_wait(),
                        1 => _ = target.quiesce(),
                        _ => normal(target, n / 7),
                    }
                    assert_eq!(seen.count(), 0, "destroyed under a callback, seed {seed}");
                });
                Mailbox::with_handler(&pool, Limits::default(), handler.destroy(ended[own].hook()))
            })
            .collect();
        all.set(mailboxes.clone()).unwrap();
        let mut x = seed.wrapping_mul(2_654_435_761) | 1;
        for _ in 0..40 {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            normal(&mailboxes[(x >> 8) as usize % BOXES], x >> 4);
        }
        let (sender, receiver) = channel();
        let closers = mailboxes.clone();
        thread::spawn(move || {
            closers.iter().rev().for_each(close);
            sender.send(()).unwrap();
        });
        receiver.recv_timeout(LONG).unwrap_or_else(|_| panic!("seed {seed} hangs"));
        assert!(ended.iter().all(|e| e.count() == 1), "seed {seed}");
    }
    end(&pool);
}

#[test]
fn destroy_may_close_others_and_itself() {
    let pool = new_pool();
    let (inner_ended, own) = (Ended::default(), Arc::new(OnceLock::<Box_>::new()));
    let inner = Mailbox::with_handler(&pool, Limits::default(), Handler::new(|_: Item| ()).destroy(inner_ended.hook()));
    let (sender, receiver) = channel();
    let own_mailbox = own.clone();
    let outer = Mailbox::with_handler(
        &pool,
        Limits::default(),
        Handler::new(|_: Item| ()).destroy(move || {
            let me = own_mailbox.get().unwrap();
            sender.send((me.in_callback_of_this(), me.close_and_wait(), inner.close_and_wait())).unwrap();
        }),
    );
    own.set(outer.clone()).unwrap();
    assert_eq!(outer.close_and_wait(), Closing::Done);
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), (true, Closing::Deferred, Closing::Done));
    assert_eq!(inner_ended.count(), 1);
    end(&pool);
}

#[test]
fn destroy_runs_once_after_the_last_item_and_when_only_dropped() {
    let pool = new_pool();
    let (last, dropped, unused) = (Ended::default(), Ended::default(), Ended::default());
    let make =
        |e: &Ended| Mailbox::with_handler(&pool, Limits::default(), Handler::new(|_: Item| ()).destroy(e.hook()));
    let mailbox = make(&last);
    mailbox.post_last(1);
    until("no end after the last item", || last.count() == 1);
    assert_eq!(mailbox.close_and_wait(), Closing::Done);
    drop(mailbox);
    let mailbox = make(&dropped);
    normal(&mailbox, 1);
    drop(mailbox);
    until("no end after the drop", || dropped.count() == 1);
    drop(make(&unused));
    assert_eq!(unused.count(), 1);
    end(&pool);
    assert_eq!((last.count(), dropped.count()), (1, 1));
}

#[test]
fn quiesce_waits_for_the_callback_in_progress_and_not_for_the_next() {
    let pool = new_pool();
    for _ in 0..50 {
        let (gate, post) = gate();
        let returned = Ended::default();
        let count = returned.0.clone();
        let handler = Handler::new(move |_: Item| {
            post.pass();
            count.fetch_add(1, SeqCst);
        });
        let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
        assert_eq!(mailbox.quiesce(), Closing::Done, "nothing runs");
        normal(&mailbox, 0);
        normal(&mailbox, 1);
        gate.wait_for_entry();
        let start = Barrier::new(2);
        thread::scope(|s| {
            let quiescer = s.spawn(|| {
                start.wait();
                assert_eq!(mailbox.quiesce(), Closing::Done);
                assert!(returned.count() >= 1, "the callback that was in progress is not over");
            });
            start.wait();
            gate.open();
            gate.wait_for_entry();
            // Most often the quiescer is through by now, while the second callback stands at the
            // gate; if it came late, it waits for that one.
            gate.open();
            quiescer.join().unwrap();
        });
        mailbox.close_and_wait();
    }
    end(&pool);
}

#[test]
fn quiesce_returns_while_the_next_callback_runs() {
    let pool = new_pool();
    let ended = Ended::default();
    let (mailbox, gate) = gated(&pool, &ended);
    let (sender, receiver) = channel();
    normal(&mailbox, 0);
    gate.wait_for_entry();
    let other = mailbox.clone();
    thread::spawn(move || sender.send(other.quiesce()).unwrap());
    // One callback after the other is in progress at any moment, and yet the quiescer gets out.
    let deadline = Instant::now() + LONG;
    let quiesced = loop {
        normal(&mailbox, 1);
        gate.open();
        gate.wait_for_entry();
        match receiver.try_recv() {
            Ok(closing) => break closing,
            Err(_) => assert!(Instant::now() < deadline),
        }
        thread::yield_now();
    };
    assert_eq!(quiesced, Closing::Done);
    gate.open();
    mailbox.close_and_wait();
    assert_eq!(ended.count(), 1);
    end(&pool);
}
