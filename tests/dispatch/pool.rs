//! Threads: lazily started, more while callbacks block, fewer afterwards, none after shutdown.

use super::*;

#[test]
fn idle_mailboxes_cost_no_thread() {
    let pool = new_pool();
    let boxes: Vec<_> = (0..1000).map(|_| recorder(&pool, Limits::default())).collect();
    assert_eq!(pool.stats().threads, 0);
    normal(&boxes[0].0, 1);
    boxes[0].1.recv_timeout(LONG).unwrap();
    assert!(pool.stats().threads <= 2);
    boxes.iter().for_each(|(m, _)| close(m));
    end(&pool);
}

#[test]
fn blocked_callbacks_delay_only_their_own_mailbox() {
    let pool = new_pool();
    let blocked: Vec<_> = (0..8)
        .map(|_| {
            let (gate, post) = gate();
            let mut first = true;
            let (sender, receiver) = channel();
            let handler = Handler::new(move |item: Item| {
                if std::mem::take(&mut first) {
                    post.pass();
                }
                sender.send(item).unwrap();
            });
            let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
            (0..5).for_each(|n| normal(&mailbox, n));
            (mailbox, gate, receiver)
        })
        .collect();
    blocked.iter().for_each(|(_, gate, _)| gate.wait_for_entry());
    let others: Vec<_> = (0..100).map(|_| recorder(&pool, Limits::default())).collect();
    let began = Instant::now();
    for n in 0..50 {
        others.iter().for_each(|(m, _)| normal(m, n));
    }
    for (_, receiver) in &others {
        for n in 0..50 {
            assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(n));
        }
    }
    println!("100 mailboxes got 50 items each past 8 blocked ones in {:?}", began.elapsed());
    assert!(pool.stats().threads >= 9, "{:?}", pool.stats());
    for (mailbox, gate, receiver) in &blocked {
        assert!(receiver.try_recv().is_err());
        gate.open();
        for n in 0..5 {
            assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(n));
        }
        mailbox.close_and_wait();
    }
    // Those who were started for it go again.
    until("the extra threads stay", || pool.stats().threads <= 2);
    others.iter().for_each(|(m, _)| close(m));
    end(&pool);
}

#[test]
fn many_blocked_callbacks_are_replaced_quickly() {
    const BLOCKED: usize = 150;
    let pool = new_pool();
    let gates: Vec<_> = (0..BLOCKED)
        .map(|_| {
            let (gate, post) = gate();
            let handler = Handler::new(move |_: Item| post.pass());
            let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
            normal(&mailbox, 0);
            (mailbox, gate)
        })
        .collect();
    let began = Instant::now();
    gates.iter().for_each(|(_, gate)| gate.wait_for_entry());
    println!("{BLOCKED} blocked callbacks all began within {:?}", began.elapsed());
    gates.iter().for_each(|(_, gate)| gate.open());
    until("the extra threads stay", || pool.stats().threads <= 2);
    gates.iter().for_each(|(m, _)| close(m));
    end(&pool);
}

#[test]
fn at_the_cap_the_others_wait_and_nothing_is_lost() {
    let pool = Pool::new(PoolConfig { cap: 3, keep: Duration::from_millis(30), ..PoolConfig::default() });
    let gates: Vec<_> = (0..3)
        .map(|_| {
            let (gate, post) = gate();
            let mailbox = Mailbox::with_handler(&pool, Limits::default(), Handler::new(move |_: Item| post.pass()));
            normal(&mailbox, 0);
            (mailbox, gate)
        })
        .collect();
    gates.iter().for_each(|(_, gate)| gate.wait_for_entry());
    let (waiting, receiver) = recorder(&pool, Limits::default());
    (0..10).for_each(|n| normal(&waiting, n));
    assert!(receiver.recv_timeout(Duration::from_millis(60)).is_err());
    assert_eq!(pool.stats().threads, 3);
    gates[1].1.open();
    for n in 0..10 {
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(n));
    }
    gates[0].1.open();
    gates[2].1.open();
    gates.iter().for_each(|(m, _)| close(m));
    waiting.close_and_wait();
    end(&pool);
}

#[test]
fn a_pool_is_shut_down_and_used_again() {
    let pool = new_pool();
    assert!(pool.shutdown(LONG), "nothing to stop is stopped");
    let (mailbox, receiver) = recorder(&pool, Limits::default());
    for round in 0..20 {
        (0..20).for_each(|n| normal(&mailbox, round * 100 + n));
        // What was queued is handed over before the threads end.
        end(&pool);
        for n in 0..20 {
            assert_eq!(receiver.try_recv().unwrap(), Delivery::Control(round * 100 + n));
        }
    }
    mailbox.close_and_wait();
    end(&pool);
}

#[test]
fn shutdown_with_a_blocked_callback_says_no_and_later_yes() {
    let pool = new_pool();
    let (gate, post) = gate();
    let blocked = Mailbox::with_handler(&pool, Limits::default(), Handler::new(move |_: Item| post.pass()));
    normal(&blocked, 0);
    gate.wait_for_entry();
    assert!(!pool.shutdown(Duration::from_millis(20)));
    // Others go on meanwhile.
    let (mailbox, receiver) = recorder(&pool, Limits::default());
    normal(&mailbox, 1);
    receiver.recv_timeout(LONG).unwrap();
    gate.open();
    end(&pool);
    normal(&mailbox, 2);
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(2));
    blocked.close_and_wait();
    mailbox.close_and_wait();
    end(&pool);
}

#[test]
fn shutdown_inside_a_callback_is_refused() {
    let pool = new_pool();
    let (sender, receiver) = channel();
    let own = pool.clone();
    let handler = Handler::new(move |_: Item| sender.send(own.shutdown(LONG)).unwrap());
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    normal(&mailbox, 0);
    assert!(!receiver.recv_timeout(LONG).unwrap());
    mailbox.close_and_wait();
    end(&pool);
}

#[test]
fn shutdown_and_posting_race_without_loss() {
    let pool = new_pool();
    let (mailbox, receiver) = recorder(&pool, Limits { control: 100_000, ..Limits::default() });
    thread::scope(|s| {
        let (mailbox, pool) = (mailbox.clone(), &pool);
        let poster = s.spawn(move || (0..20_000).for_each(|n| normal(&mailbox, n)));
        for _ in 0..2 {
            s.spawn(|| {
                for _ in 0..50 {
                    pool.shutdown(Duration::from_millis(2));
                }
            });
        }
        poster.join().unwrap();
    });
    for n in 0..20_000 {
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(n));
    }
    mailbox.close_and_wait();
    end(&pool);
}

/// Prints the figure; the bound is loose because test machines are busy.
#[test]
fn latency_from_post_to_callback() {
    let pool = new_pool();
    let (sender, receiver) = channel();
    let handler = Handler::new(move |item: Delivery<Instant, ()>| {
        if let Delivery::Control(posted) = item {
            sender.send(posted.elapsed()).unwrap();
        }
    });
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    let mut took: Vec<_> = (0..3000)
        .map(|_| {
            mailbox.post(Instant::now(), Class::Normal);
            receiver.recv_timeout(LONG).unwrap()
        })
        .collect();
    took.sort();
    println!("post to callback: p50 {:?}, p95 {:?}, p99 {:?}", took[1500], took[2850], took[2970]);
    assert!(took[1500] < Duration::from_millis(50));
    mailbox.close_and_wait();
    end(&pool);
}
