//! When every thread that there may be is blocked: a reserve for those whose callbacks have been prompt.

use super::*;

/// A mailbox whose callbacks return at once until the item 1000, at which they stand.
fn turning(pool: &Arc<Pool>) -> (Box_, Gate, Receiver<Item>) {
    let (gate, post) = gate();
    let (sender, receiver) = channel();
    let handler = Handler::new(move |item: Item| {
        if item == Delivery::Control(1000) {
            post.pass();
        }
        sender.send(item).unwrap();
    });
    (Mailbox::with_handler(pool, Limits::default(), handler), gate, receiver)
}

#[test]
fn the_prompt_go_on_when_all_threads_are_blocked() {
    let pool = Pool::new(PoolConfig { cap: 8, keep: Duration::from_millis(30), ..PoolConfig::default() });
    // One that has always been prompt, one that was so a few times.
    let (steady, steady_receiver) = recorder(&pool, Limits::default());
    let (young, young_receiver) = recorder(&pool, Limits::default());
    let receive = |mailbox: &Box_, receiver: &Receiver<Item>, count: u32| {
        for n in 0..count {
            normal(mailbox, n);
            assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(n));
        }
    };
    receive(&steady, &steady_receiver, 50);
    receive(&young, &young_receiver, 2);
    let blocked: Vec<_> = (0..8).map(|_| turning(&pool)).collect();
    for (mailbox, gate, _) in &blocked {
        normal(mailbox, 1000);
        gate.wait_for_entry();
    }
    receive(&steady, &steady_receiver, 50);
    receive(&young, &young_receiver, 2);
    // Who has shown nothing yet waits.
    let (new, new_receiver) = recorder(&pool, Limits::default());
    normal(&new, 1);
    assert!(new_receiver.recv_timeout(Duration::from_millis(60)).is_err());
    assert!(pool.stats().reserve <= 4, "{:?}", pool.stats());

    blocked.iter().for_each(|(_, gate, _)| gate.open());
    assert_eq!(new_receiver.recv_timeout(LONG).unwrap(), Delivery::Control(1));
    until("the reserve stays", || pool.stats().reserve == 0 && pool.stats().threads <= 2);
    blocked.iter().for_each(|(m, ..)| close(m));
    [steady, young, new].iter().for_each(close);
    end(&pool);
}

#[test]
fn the_reserve_outlasts_those_who_were_prompt_and_then_block() {
    let pool = Pool::new(PoolConfig { cap: 8, keep: Duration::from_millis(30), ..PoolConfig::default() });
    let (steady, receiver) = recorder(&pool, Limits::default());
    let turncoats: Vec<_> = (0..20).map(|_| turning(&pool)).collect();
    for (mailbox, _, receiver) in &turncoats {
        normal(mailbox, 1);
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(1));
    }
    for n in 0..50 {
        normal(&steady, n);
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(n));
    }
    turncoats.iter().for_each(|(mailbox, ..)| normal(mailbox, 1000));
    // Eight stand on the threads that there may be, a quarter as many on the reserve; what is left of it is for who
    // has been prompt for long.
    let standing = || turncoats.iter().filter(|(_, gate, _)| gate.entered.try_recv().is_ok()).count();
    let mut stand = 0;
    until("not even the threads that there may be are used", || {
        stand += standing();
        stand >= 10
    });
    for n in 0..500 {
        normal(&steady, n);
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(n));
    }
    let stats = pool.stats();
    assert!(stats.threads <= 8 + 4 + 2, "{stats:?}");
    turncoats.iter().for_each(|(_, gate, _)| gate.open());
    for (mailbox, _, receiver) in &turncoats {
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), Delivery::Control(1000));
        close(mailbox);
    }
    close(&steady);
    end(&pool);
}

#[test]
fn the_bound_can_be_raised_while_all_threads_are_blocked() {
    let pool = Pool::new(PoolConfig { cap: 2, keep: Duration::from_millis(30), ..PoolConfig::default() });
    let boxes: Vec<_> = (0..4).map(|_| turning(&pool)).collect();
    boxes.iter().for_each(|(mailbox, ..)| normal(mailbox, 1000));
    boxes[..2].iter().for_each(|(_, gate, _)| gate.wait_for_entry());
    pool.set_cap(4);
    boxes[2..].iter().for_each(|(_, gate, _)| gate.wait_for_entry());
    boxes.iter().for_each(|(_, gate, _)| gate.open());
    boxes.iter().for_each(|(m, ..)| close(m));
    end(&pool);
}
