//! What the library must do to the process it is a guest in: notice a fork, keep signals away.
//!
//! Must not know: clients, calls, the runtime's insides.

use crate::error::{Code, Error, Result};
use std::sync::{
    atomic::{AtomicBool, Ordering::Relaxed},
    Once,
};

/// True in a child that was forked from a process that used the library: our threads do not exist
/// there, and our locks may be held for ever by threads that do not exist.
static FORKED: AtomicBool = AtomicBool::new(false);

extern "C" fn in_child() {
    FORKED.store(true, Relaxed);
}

/// Prepares the process; every entry that makes the first object calls it. Any thread, any number
/// of times. Not for a forked child: ask [`check_fork`] first.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        crate::runtime::set_thread_hook(block_signals);
        // SAFETY: a plain C call; the handler is async-signal-safe (one store) and lives as long as
        // the library, from which the C library takes it out when the library is unloaded.
        // It fails only without memory, and then a fork goes unnoticed, as without a guard.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// One relaxed load. Errors: `Forked` in a forked child, where nothing of ours may be touched.
#[inline]
pub fn check_fork() -> Result<()> {
    if FORKED.load(Relaxed) {
        return Err(Error::new(
            Code::Forked,
            "this process was forked from one that uses the library; use it after exec, or start it in the child only",
        ));
    }
    Ok(())
}

/// Blocks all signals that can be blocked on the calling thread, save those that report a fault of
/// the thread itself: the host's handlers run on the host's threads, and a broken socket never
/// raises SIGPIPE in one of ours.
pub fn block_signals() {
    // SAFETY: `set` is initialised by sigfillset before use; plain C calls on it; a null old mask
    // is allowed. Changes the calling thread only.
    unsafe {
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
        libc::sigfillset(&mut set);
        for fault in
            [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS]
        {
            libc::sigdelset(&mut set, fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, std::ptr::null_mut());
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
