//! Callbacks that wait for each other: seen before anybody waits for ever.

use super::*;

/// Two mailboxes whose callbacks are both running; each then does something with the other one.
fn both_inside(first: fn(&Box_) -> bool, second: fn(&Box_) -> bool) -> (bool, bool) {
    let pool = new_pool();
    let make = |what: fn(&Box_) -> bool| {
        let (gate, post) = gate();
        let (give, other) = channel::<Box_>();
        let (sender, receiver) = channel();
        let handler = Handler::new(move |_: Item| {
            let other = other.recv_timeout(LONG).unwrap();
            post.pass();
            sender.send(what(&other)).unwrap();
        });
        (Mailbox::with_handler(&pool, Limits::default(), handler), gate, give, receiver)
    };
    let (a, b) = (make(first), make(second));
    a.2.send(b.0.clone()).unwrap();
    b.2.send(a.0.clone()).unwrap();
    normal(&a.0, 1);
    normal(&b.0, 1);
    a.1.wait_for_entry();
    b.1.wait_for_entry();
    a.1.open();
    b.1.open();
    let results = (a.3.recv_timeout(LONG).expect("the first hangs"), b.3.recv_timeout(LONG).expect("the second hangs"));
    a.0.close_and_wait();
    b.0.close_and_wait();
    end(&pool);
    results
}

fn closes(mailbox: &Box_) -> bool {
    mailbox.close_and_wait() == Closing::Done
}

fn quiesces(mailbox: &Box_) -> bool {
    mailbox.quiesce() == Closing::Done
}

#[test]
fn of_two_that_wait_for_each_other_one_gets_an_error() {
    type Wait = fn(&Box_) -> bool;
    let all: [(&str, Wait); 2] = [("close", closes), ("quiesce", quiesces)];
    for (first, f) in all {
        for (second, s) in all {
            for _ in 0..20 {
                let results = both_inside(f, s);
                assert!(!(results.0 && results.1), "{first}, {second}");
            }
        }
    }
}

/// What a callback is sent to do.
type Work = Box<dyn FnOnce() + Send>;

/// A mailbox with its callback running, which does what it is sent until nothing more comes.
fn worker(pool: &Arc<Pool>) -> (Box_, Sender<Work>) {
    let (give, work) = channel::<Work>();
    let (begin, begun) = channel();
    let handler = Handler::new(move |_: Item| {
        begin.send(()).unwrap();
        while let Ok(work) = work.recv_timeout(LONG) {
            work();
        }
    });
    let mailbox = Mailbox::with_handler(pool, Limits::default(), handler);
    normal(&mailbox, 1);
    // A close before that would discard the item, and no callback would ever run.
    begun.recv_timeout(LONG).unwrap();
    (mailbox, give)
}

#[test]
fn who_waits_for_the_end_is_seen_by_who_waits_for_the_callback() {
    let pool = new_pool();
    let ((a, in_a), (b, in_b)) = (worker(&pool), worker(&pool));
    let (sender, receiver) = channel();
    // The callback of a waits for the end of b; that of b then closes a.
    let (finish, finished) = channel::<()>();
    let (other, sender_a) = (b.clone(), sender.clone());
    let wait = move || {
        let waiting = other.wait_for_end();
        sender_a.send(waiting.is_some()).unwrap();
        finished.recv_timeout(LONG).unwrap();
    };
    in_a.send(Box::new(wait)).unwrap();
    assert!(receiver.recv_timeout(LONG).unwrap());
    let (other, sender_b) = (a.clone(), sender);
    in_b.send(Box::new(move || sender_b.send(other.close_and_wait() == Closing::Deferred).unwrap())).unwrap();
    assert!(receiver.recv_timeout(LONG).expect("closing hangs"));
    finish.send(()).unwrap();
    drop((in_a, in_b));
    a.close_and_wait();
    close(&b);
    end(&pool);
}

#[test]
fn who_is_waited_for_cannot_wait_for_the_end() {
    let pool = new_pool();
    let ((a, in_a), (b, in_b)) = (worker(&pool), worker(&pool));
    let (sender, receiver) = channel();
    let other = a.clone();
    in_b.send(Box::new(move || assert_eq!(other.close_and_wait(), Closing::Done))).unwrap();
    until("b does not close a", || a.is_closed());
    let other = b.clone();
    in_a.send(Box::new(move || sender.send(other.wait_for_end().is_none()).unwrap())).unwrap();
    assert!(receiver.recv_timeout(LONG).unwrap());
    // Nobody waits for this thread.
    assert!(b.wait_for_end().is_some());
    drop((in_a, in_b));
    close(&b);
    end(&pool);
}
