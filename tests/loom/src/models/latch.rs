//! The close latch: who waits for the end of a call learns of it, whenever it comes.

use crate::{latch::HandedOver, sync::Instant};
use loom::thread;
use std::{sync::Arc, time::Duration};

pub fn marked_while_two_wait() {
    let latch = Arc::new(HandedOver::default());
    let wait = || {
        let latch = latch.clone();
        thread::spawn(move || assert!(latch.wait(None)))
    };
    let (one, two) = (wait(), wait());
    latch.mark();
    one.join().unwrap();
    two.join().unwrap();
    // Once is for ever.
    assert!(latch.wait(None));
}

pub fn marked_while_time_runs_out() {
    let latch = Arc::new(HandedOver::default());
    let theirs = latch.clone();
    let waiter = thread::spawn(move || {
        let deadline = Instant::now().checked_add(Duration::from_millis(5));
        theirs.wait(deadline)
    });
    latch.mark();
    latch.mark();
    // Either answer is true to what was seen; both are given in time.
    let _ = waiter.join().unwrap();
    assert!(latch.wait(None));
}
