//! The same items pulled: timeouts, the descriptor, closing under a waiting puller.

use super::*;
use offhook::{dispatch::Posted, error::Code};
use std::os::fd::{AsFd, AsRawFd};

/// Waits for the descriptor as an event loop would.
fn poll(mailbox: &Box_, patience: Duration) -> bool {
    let descriptor = mailbox.wake_descriptor().unwrap();
    let events = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    events.block_on(async {
        let copy = descriptor.as_fd().try_clone_to_owned().unwrap();
        let watched = tokio::net::UnixStream::from_std(copy.into()).unwrap();
        let ready = tokio::time::timeout(patience, watched.readable()).await;
        ready.is_ok()
    })
}

fn readable(mailbox: &Box_) -> bool {
    poll(mailbox, LONG)
}

fn silent(mailbox: &Box_) -> bool {
    !poll(mailbox, Duration::from_millis(20))
}

fn code<T: std::fmt::Debug>(result: offhook::error::Result<T>) -> Code {
    result.unwrap_err().code
}

#[test]
fn items_are_pulled_in_order_until_the_last() {
    let pool = new_pool();
    let mailbox: Box_ = Mailbox::pulled(&pool, Limits { control: 2, vital: 1, media: 1, ..Limits::default() });
    assert_eq!(code(mailbox.next(Duration::ZERO)), Code::Empty);
    assert_eq!(code(mailbox.next(Duration::from_millis(5))), Code::Empty);
    normal(&mailbox, 1);
    mailbox.post_media(2, 0);
    mailbox.post_media(3, 0);
    normal(&mailbox, 4);
    assert_eq!(mailbox.post(5, Class::Normal), Posted::Lost);
    mailbox.post_last(6);
    use Delivery::*;
    for expected in [Control(1), Media(3), Control(4), Lost { count: 1, data: DataLost::default() }, Control(6)] {
        assert_eq!(mailbox.next(LONG).unwrap(), expected);
    }
    assert_eq!(code(mailbox.next(LONG)), Code::Closed);
    assert_eq!(pool.stats().threads, 0, "pulling needs no thread");
}

#[test]
fn the_descriptor_is_readable_while_there_is_something() {
    let pool = new_pool();
    let mailbox: Box_ = Mailbox::pulled(&pool, Limits::default());
    normal(&mailbox, 1);
    assert!(readable(&mailbox), "made when something was already there");
    mailbox.next(LONG).unwrap();
    assert!(silent(&mailbox));
    let raw = || mailbox.wake_descriptor().unwrap().as_raw_fd();
    assert_eq!(raw(), raw());
    for _ in 0..3 {
        (0..100).for_each(|n| normal(&mailbox, n));
        for _ in 0..100 {
            assert!(readable(&mailbox));
            mailbox.next(LONG).unwrap();
        }
        assert!(silent(&mailbox));
        assert_eq!(code(mailbox.next(Duration::ZERO)), Code::Empty);
    }
    mailbox.post_media(7, 0);
    assert!(readable(&mailbox));
    mailbox.close_media();
    assert!(silent(&mailbox));
    assert_eq!(mailbox.post_media(8, 0), Posted::Closed);
    assert!(silent(&mailbox));
    mailbox.post_last(9);
    mailbox.next(LONG).unwrap();
    assert!(readable(&mailbox), "that it is over is news, too");
    assert_eq!(code(mailbox.next(LONG)), Code::Closed);

    let closed: Box_ = Mailbox::pulled(&pool, Limits::default());
    assert!(silent(&closed));
    closed.close_and_wait();
    assert!(readable(&closed));
    let late: Box_ = Mailbox::pulled(&pool, Limits::default());
    late.close_and_wait();
    assert!(readable(&late));
}

#[test]
fn a_waiting_puller_gets_what_is_posted_and_a_second_one_is_refused() {
    let pool = new_pool();
    let mailbox: Box_ = Mailbox::pulled(&pool, Limits::default());
    let (sender, receiver) = channel();
    let other = mailbox.clone();
    thread::spawn(move || sender.send(other.next(LONG)).unwrap());
    // `State` comes as soon as the other thread waits; before that there is nothing to pull.
    until("the puller does not wait", || code(mailbox.next(Duration::ZERO)) == Code::State);
    normal(&mailbox, 5);
    assert_eq!(receiver.recv_timeout(LONG).unwrap().unwrap(), Delivery::Control(5));
}

#[test]
fn close_wakes_the_puller_and_discards() {
    let pool = new_pool();
    for wait in [true, false] {
        let mailbox: Box_ = Mailbox::pulled(&pool, Limits::default());
        let (sender, receiver) = channel();
        let other = mailbox.clone();
        thread::spawn(move || sender.send(other.next(Duration::MAX)).unwrap());
        until("the puller does not wait", || code(mailbox.next(Duration::ZERO)) == Code::State);
        assert_eq!(if wait { mailbox.close_and_wait() } else { mailbox.close() }, Closing::Done);
        assert_eq!(code(receiver.recv_timeout(LONG).unwrap()), Code::Closed);
        assert_eq!(mailbox.post(1, Class::Vital(0)), Posted::Closed);
        assert_eq!(code(mailbox.next(Duration::ZERO)), Code::Closed);
    }
    let mailbox: Box_ = Mailbox::pulled(&pool, Limits::default());
    normal(&mailbox, 1);
    mailbox.close_and_wait();
    assert_eq!(code(mailbox.next(LONG)), Code::Closed);
}

#[test]
fn a_mailbox_with_a_handler_cannot_be_pulled() {
    let pool = new_pool();
    let (mailbox, _receiver) = recorder(&pool, Limits::default());
    assert_eq!(code(mailbox.next(LONG)), Code::State);
    assert_eq!(code(mailbox.wake_descriptor()), Code::State);
    mailbox.close_and_wait();
}

#[test]
fn pullers_and_posters_race_without_loss() {
    let pool = new_pool();
    let mailbox: Box_ = Mailbox::pulled(&pool, Limits { control: 100_000, ..Limits::default() });
    mailbox.wake_descriptor().unwrap();
    let other = mailbox.clone();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut got = 0;
        while let Ok(item) = other.next(LONG) {
            assert_eq!(item, Delivery::Control(got));
            got += 1;
        }
        sender.send(got).unwrap();
    });
    (0..50_000).for_each(|n| normal(&mailbox, n));
    mailbox.post_last(50_000);
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 50_001);
}
