//! What the library must do to the process it is a guest in: notice a fork, keep signals away.
//!
//! Must not know: clients, calls, the runtime's insides.

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
/// of times. Not for a forked child: ask [`forked`] first.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        crate::panics::set_thread_hook(block_signals);
        // SAFETY: a plain C call; the handler is async-signal-safe (one store) and lives as long as
        // the library, from which the C library takes it out when the library is unloaded.
        // It fails only without memory, and then a fork goes unnoticed, as without a guard.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Whether this is a forked child, where nothing of ours may be touched. One relaxed load.
#[inline]
pub fn forked() -> bool {
    FORKED.load(Relaxed)
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

/// Keeps the library's code in the process for good, also after dlclose: for a thread that hangs in the system's
/// resolver and will return into it. True when it stays, or is part of the program and cannot go.
pub fn stay() -> bool {
    // SAFETY: plain C calls; `info` is written by dladdr when that succeeds, and the name in it lives as long as the
    // library. RTLD_NOLOAD: nothing is loaded that is not there.
    unsafe {
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::zeroed().assume_init();
        if libc::dladdr(stay as *const libc::c_void, &mut info) == 0 || info.dli_fname.is_null() {
            // A static program.
            return true;
        }
        let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        if !libc::dlopen(info.dli_fname, flags).is_null() {
            return true;
        }
        let mut program = std::mem::MaybeUninit::<libc::Dl_info>::zeroed().assume_init();
        let headers = libc::getauxval(libc::AT_PHDR) as *const libc::c_void;
        libc::dladdr(headers, &mut program) != 0 && program.dli_fbase == info.dli_fbase
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
