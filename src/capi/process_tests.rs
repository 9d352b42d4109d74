//! Tests of the fork guard and of the signal mask.

use super::*;
use std::time::{Duration, Instant};

#[test]
fn a_forked_child_is_recognised_and_the_parent_is_not() {
    init();
    init();
    assert!(!forked());
    // SAFETY: the child only loads an atomic and leaves by _exit, both allowed after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let code = if forked() { 42 } else { 1 };
        // SAFETY: ends the child at once, without running anything of the test's.
        unsafe { libc::_exit(code) };
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut status = 0;
    loop {
        // SAFETY: `status` is valid for the call; the child is ours.
        let ended = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if ended == child {
            break;
        }
        assert!(ended == 0 && Instant::now() < deadline, "the child hangs");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 42, "status {status:x}");
    assert!(!forked());
}

fn blocked(signal: i32) -> bool {
    // SAFETY: `set` is filled by pthread_sigmask; a null new mask only reads.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
        libc::pthread_sigmask(libc::SIG_SETMASK, std::ptr::null(), &mut set);
        libc::sigismember(&set, signal) == 1
    }
}

#[test]
fn signals_for_the_host_are_blocked_and_faults_are_not() {
    let (here, there) = (
        blocked(libc::SIGPIPE),
        std::thread::spawn(|| {
            block_signals();
            [libc::SIGPIPE, libc::SIGINT, libc::SIGTERM, libc::SIGCHLD, libc::SIGSEGV, libc::SIGABRT].map(blocked)
        }),
    );
    assert_eq!(there.join().unwrap(), [true, true, true, true, false, false]);
    assert_eq!(blocked(libc::SIGPIPE), here, "the mask of another thread changed");
}

#[test]
fn threads_of_the_runtime_and_of_the_pool_block_signals() {
    init();
    let runtime = crate::runtime::Runtime::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    let io = sender.clone();
    runtime.spawn("mask", async move { io.send(blocked(libc::SIGPIPE)).unwrap() }).unwrap();
    assert!(receiver.recv_timeout(Duration::from_secs(10)).unwrap());
    assert!(runtime.shutdown(Duration::from_secs(10)));

    use crate::dispatch::{Class, Handler, Limits, Mailbox, Pool, PoolConfig};
    let pool = Pool::new(PoolConfig::default());
    let handler = Handler::<(), ()>::new(move |_| sender.send(blocked(libc::SIGPIPE)).unwrap());
    let mailbox = Mailbox::with_handler(&pool, Limits::default(), handler);
    mailbox.post((), Class::Normal);
    assert!(receiver.recv_timeout(Duration::from_secs(10)).unwrap());
    mailbox.close_and_wait();
    assert!(pool.shutdown(Duration::from_secs(10)));
}
