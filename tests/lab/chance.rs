//! Seeded randomness for real peer connections: DTLS draws its waits from the system.
//!
//! Replaces `getrandom` of the C library for a thread that requests it, and for no other.

use offhook::core::rng::Rng;
use std::cell::RefCell;

thread_local! {
    static SEEDED: RefCell<Option<Rng>> = const { RefCell::new(None) };
}

/// Until the guard is dropped, the system randomness of this thread is derived from the seed.
pub struct Seeded(());

impl Seeded {
    pub fn new(seed: u64) -> Self {
        SEEDED.with(|rng| *rng.borrow_mut() = Some(Rng::new(seed)));
        // The random source of the other stack, which is seeded with the time of day by default.
        fastrand::seed(seed);
        Self(())
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        SEEDED.with(|rng| *rng.borrow_mut() = None);
    }
}

/// As getrandom(2).
///
/// # Safety
/// `buffer` must be valid for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    let seeded = SEEDED.try_with(|rng| {
        let mut rng = rng.try_borrow_mut().ok()?;
        let rng = rng.as_mut()?;
        // Safe: the caller promises it.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&rng.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Some(length as isize)
    });
    match seeded {
        Ok(Some(drawn)) => drawn,
        _ => unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize },
    }
}
