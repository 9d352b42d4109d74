//! One at a time, in order, bounded, and panics stay where they are.

use super::*;
use offhook::dispatch::Posted;
use std::sync::atomic::AtomicBool;

#[test]
fn items_come_in_order_and_one_at_a_time() {
    let pool = new_pool();
    let busy = AtomicBool::new(false);
    let (sender, receiver) = channel();
    let handler = Handler::new(move |item: Item| {
        assert!(!busy.swap(true, SeqCst), "two callbacks at once");
        thread::yield_now();
        busy.store(false, SeqCst);
        sender.send(item).unwrap();
    });
    let mailbox =
        Mailbox::with_handler(&pool, Limits { media: 4000, control: 4000, vital: 4, ..Limits::default() }, handler);
    let threads = 4;
    thread::scope(|s| {
        for t in 0..threads {
            let mailbox = mailbox.clone();
            s.spawn(move || {
                for n in 0..800 {
                    let item = t << 16 | n;
                    let posted =
                        if n % 3 == 0 { mailbox.post_media(item, 0) } else { mailbox.post(item, Class::Normal) };
                    assert_eq!(posted, Posted::Queued);
                }
            });
        }
    });
    let mut next = vec![0; threads as usize];
    for _ in 0..threads * 800 {
        let (Delivery::Control(item) | Delivery::Media(item)) = receiver.recv_timeout(LONG).unwrap() else {
            panic!("nothing was lost")
        };
        let (t, n) = (item >> 16, item & 0xffff);
        assert_eq!(next[t as usize], n, "control and media keep their common order");
        next[t as usize] += 1;
    }
    assert_eq!(mailbox.counts().control + mailbox.counts().media, u64::from(threads * 800));
    mailbox.close_and_wait();
    end(&pool);
}

#[test]
fn what_does_not_fit_is_counted_in_its_place_and_vital_items_stay() {
    let pool = new_pool();
    let (gate, post) = gate();
    let (sender, receiver) = channel();
    let mut first = true;
    let handler = Handler::new(move |item: Item| {
        if std::mem::take(&mut first) {
            post.pass();
        }
        sender.send(item).unwrap();
    });
    let mailbox = Mailbox::with_handler(&pool, Limits { control: 3, vital: 2, media: 2, ..Limits::default() }, handler);
    normal(&mailbox, 0);
    gate.wait_for_entry();
    for n in 1..=3 {
        assert_eq!(mailbox.post(n, Class::Normal), Posted::Queued);
    }
    for n in 4..=10 {
        assert_eq!(mailbox.post(n, Class::Normal), Posted::Lost);
    }
    for n in [20, 21, 22, 23] {
        assert_eq!(mailbox.post_media(n, 0), Posted::Queued);
    }
    for n in 31..=35 {
        assert_eq!(mailbox.post(n, Class::Vital(1)), Posted::Queued);
    }
    assert_eq!(mailbox.post(40, Class::Vital(2)), Posted::Queued);
    assert_eq!(mailbox.post_last(99), Posted::Queued);
    for posted in [mailbox.post(1, Class::Vital(1)), mailbox.post_media(1, 0), mailbox.post_last(1)] {
        assert_eq!(posted, Posted::Closed);
    }
    gate.open();
    use Delivery::*;
    let got: Vec<_> = (0..12).map_while(|_| receiver.recv_timeout(LONG).ok()).collect();
    let expected = [
        Control(0),
        Control(1),
        Control(2),
        Control(3),
        Lost { count: 7, data: DataLost::default() },
        Media(22),
        Media(23),
        Control(31),
        Lost { count: 3, data: DataLost::default() },
        Control(35),
        Control(40),
        Control(99),
    ];
    assert_eq!(got, expected);
    assert!(receiver.recv_timeout(LONG).is_err(), "nothing after the last one");
    let counts = mailbox.counts();
    assert_eq!((counts.control, counts.media, counts.control_lost, counts.media_dropped), (8, 2, 10, 2));
    end(&pool);
}

#[test]
fn no_vital_item_is_lost_in_a_flood() {
    let pool = new_pool();
    let (mailbox, receiver) = recorder(&pool, Limits { control: 8, vital: 4, media: 4, ..Limits::default() });
    thread::scope(|s| {
        for _ in 0..3 {
            let mailbox = mailbox.clone();
            s.spawn(move || {
                for n in 0..5000 {
                    mailbox.post(n, Class::Normal);
                    mailbox.post_media(n, 0);
                }
            });
        }
        let mailbox = mailbox.clone();
        s.spawn(move || {
            for n in 0..1000 {
                assert_eq!(mailbox.post(1_000_000 + n, Class::Vital(0)), Posted::Queued);
            }
        });
    });
    mailbox.post_last(7_777_777);
    let (mut control, mut media, mut lost, mut last_vital) = (0u64, 0u64, 0, 0);
    loop {
        match receiver.recv_timeout(LONG).unwrap() {
            Delivery::Control(7_777_777) => break,
            Delivery::Control(n) => {
                control += 1;
                if n >= 1_000_000 {
                    assert!(n > last_vital);
                    last_vital = n;
                }
            }
            Delivery::Media(_) => media += 1,
            Delivery::Lost { count, .. } => lost += count,
        }
    }
    assert_eq!(last_vital, 1_000_999, "the newest state always arrives");
    assert_eq!(control + lost, 16_000);
    assert_eq!(media + mailbox.counts().media_dropped, 15_000);
    end(&pool);
}

#[test]
fn a_callback_may_post_to_its_own_mailbox() {
    let pool = new_pool();
    let (sender, receiver) = channel();
    let own = Arc::new(std::sync::OnceLock::<Box_>::new());
    let own_mailbox = own.clone();
    let handler = Handler::new(move |item: Item| {
        let Delivery::Control(n) = item else { panic!("only control") };
        if n < 100 {
            normal(own_mailbox.get().unwrap(), n + 1);
        }
        sender.send(n).unwrap();
    });
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    own.set(mailbox.clone()).unwrap();
    normal(&mailbox, 0);
    for n in 0..=100 {
        assert_eq!(receiver.recv_timeout(LONG).unwrap(), n);
    }
    mailbox.close_and_wait();
    end(&pool);
}

#[test]
fn a_busy_mailbox_does_not_starve_another() {
    let pool = Pool::new(PoolConfig { base: 1, cap: 1, ..PoolConfig::default() });
    let (gate, post) = gate();
    let (sender, receiver) = channel();
    let hog = sender.clone();
    let mut first = true;
    let busy = Mailbox::with_handler(
        &pool,
        Limits::default(),
        Handler::new(move |_: Item| {
            if std::mem::take(&mut first) {
                post.pass();
            }
            hog.send("busy").unwrap();
        }),
    );
    let modest =
        Mailbox::with_handler(&pool, Limits::default(), Handler::new(move |_: Item| sender.send("modest").unwrap()));
    normal(&busy, 0);
    gate.wait_for_entry();
    (0..500).for_each(|n| normal(&busy, n));
    normal(&modest, 0);
    gate.open();
    let before = std::iter::from_fn(|| receiver.recv_timeout(LONG).ok()).position(|who| who == "modest").unwrap();
    assert!(before <= 32, "{before} items of the other came first");
    busy.close_and_wait();
    modest.close_and_wait();
    end(&pool);
}

#[test]
fn a_panic_ends_its_own_mailbox_only() {
    let pool = new_pool();
    let ended = Ended::default();
    let (sender, receiver) = channel();
    let handler = Handler::new(|item: Item| {
        if item == Delivery::Control(2) {
            panic!("item {}", 2);
        }
    })
    .destroy(ended.hook())
    .on_panic(move |text| sender.send(text).unwrap());
    let bad = Mailbox::with_handler(&pool, Limits::default(), handler);
    let (good, got) = recorder(&pool, Limits::default());
    for n in 0..10 {
        normal(&bad, n);
        normal(&good, n);
    }
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), "item 2");
    for n in 0..10 {
        assert_eq!(got.recv_timeout(LONG).unwrap(), Delivery::Control(n));
    }
    assert!(bad.is_closed());
    assert_eq!(bad.post(3, Class::Vital(0)), Posted::Closed);
    bad.close_and_wait();
    assert_eq!((ended.count(), bad.counts().control), (1, 3));
    assert!(receiver.recv().is_err(), "told once");
    good.close_and_wait();
    end(&pool);
}

#[test]
fn a_panic_in_destroy_or_in_the_drop_of_an_item_is_contained() {
    struct Sharp(bool);
    impl Drop for Sharp {
        fn drop(&mut self) {
            if self.0 {
                panic!("drop");
            }
        }
    }
    let pool = Pool::new(PoolConfig { base: 1, cap: 1, ..PoolConfig::default() });
    let (gate, post) = gate();
    let (sender, receiver) = channel();
    let handler = Handler::<Sharp, Sharp>::new(move |item| {
        post.pass();
        std::mem::forget(item);
    })
    .destroy(|| panic!("destroy"))
    .on_panic(move |text| sender.send(text).unwrap());
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    mailbox.post(Sharp(false), Class::Normal);
    gate.wait_for_entry();
    mailbox.post(Sharp(true), Class::Normal);
    // Before the gate opens: the sharp item is discarded by the closer, never handed over.
    mailbox.close();
    gate.open();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), "destroy");
    mailbox.close_and_wait();
    let (good, got) = recorder(&pool, Limits::default());
    normal(&good, 1);
    got.recv_timeout(LONG).unwrap();
    good.close_and_wait();
    end(&pool);
}

#[test]
fn closed_media_is_taken_out_and_none_follows_while_control_goes_on() {
    let pool = new_pool();
    let (gate, post) = gate();
    let (sender, receiver) = channel();
    let mut first = true;
    let handler = Handler::new(move |item: Item| {
        if std::mem::take(&mut first) {
            post.pass();
        }
        sender.send(item).unwrap();
    });
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    normal(&mailbox, 0);
    gate.wait_for_entry();
    for n in 1..=6 {
        mailbox.post_media(n, 0);
    }
    mailbox.close_media();
    // Whoever was about to post when it was closed.
    assert_eq!(mailbox.post_media(8, 0), Posted::Closed);
    normal(&mailbox, 9);
    mailbox.post_last(7);
    gate.open();
    use Delivery::*;
    let got: Vec<_> = receiver.iter().collect();
    assert_eq!(got, [Control(0), Control(9), Control(7)]);
    end(&pool);
}
