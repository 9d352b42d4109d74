//! Structures that begin with their own size: the one place where an older or newer header meets this library.
//!
//! Zero is the default of every member, so that what an older header does not have needs no other rule than zero.
//! Must not know: what the members mean.

use super::convert::argument;
use crate::error::{Code, Error, Result};
use std::ffi::c_void;

/// How much longer than ours a structure may say it is. More is no size but garbage, and its bytes may not be readable.
const MOST_BEYOND: usize = 4_096;

/// A structure of the header that begins with its size and grows at its end.
///
/// # Safety
/// `#[repr(C)]`, the first member is `size: usize`, and every other member takes any bytes: numbers, data pointers and
/// optional function pointers.
pub(super) unsafe trait Grows: Copy {
    /// Its name in C.
    const NAME: &'static str;
    /// Its size in the first release; less is an error.
    const FIRST: usize;
    /// The last member of the first release is `uint32_t reserved`, which a later one may put to use.
    const RESERVED: bool;

    /// The defaults.
    fn blank() -> Self {
        // SAFETY: every member takes zeros by the contract of the trait, and the first is the size.
        unsafe {
            let mut blank: Self = std::mem::zeroed();
            (&raw mut blank).cast::<usize>().write(size_of::<Self>());
            blank
        }
    }
}

/// Declares structures of the header, each with the last member that it had in the first release.
macro_rules! sized {
    ($($name:ident to $last:ident),* $(,)?) => {$(
        // SAFETY: the structure is `repr(C)` and begins with `size: usize` (checked here); its other members are
        // numbers, data pointers and optional function pointers.
        unsafe impl $crate::capi::sized::Grows for $name {
            const NAME: &'static str = stringify!($name);
            const FIRST: usize = {
                const fn of<T>(_: *const T) -> usize {
                    size_of::<T>()
                }
                assert!(std::mem::offset_of!($name, size) == 0);
                let blank = std::mem::MaybeUninit::<$name>::zeroed();
                // SAFETY: only an address inside of `blank` is taken, nothing is read.
                let last = unsafe { &raw const (*blank.as_ptr()).$last };
                std::mem::offset_of!($name, $last) + of(last)
            };
            const RESERVED: bool = matches!(stringify!($last).as_bytes(), b"reserved");
        }
    )*};
}
pub(super) use sized;

/// The size that a structure says it has.
///
/// # Errors
/// `Abi`, by name, when it is no size of any header.
///
/// # Safety
/// `given` must point to at least a `size`.
unsafe fn size_of_given<T: Grows>(given: *const T) -> Result<usize> {
    // SAFETY: by the caller's contract; the alignment is not assumed.
    let size = unsafe { given.cast::<usize>().read_unaligned() };
    let (name, first) = (T::NAME, T::FIRST);
    if size < first {
        let text = format!("{name}.size is {size}, the first release has {first}: initialise it with OH_INIT({name})");
        return Err(Error::new(Code::Abi, text));
    }
    if size > size_of::<T>().saturating_add(MOST_BEYOND) {
        return Err(Error::new(Code::Abi, format!("{name}.size is {size}, which no header has")));
    }
    Ok(size)
}

/// Reads a structure of the application; NULL: the defaults. Of an older header, what is not there has its default. Of a
/// newer one, what this library does not know must be zero.
///
/// # Errors
/// `Abi`, with the structure's name.
///
/// # Safety
/// `given` must be NULL or point to as many readable bytes as its `size` says.
pub(super) unsafe fn read<T: Grows>(given: *const T) -> Result<T> {
    let mut taken = T::blank();
    if given.is_null() {
        return Ok(taken);
    }
    let ours = size_of::<T>();
    // SAFETY: by the caller's contract.
    let size = unsafe { size_of_given(given)? };
    if size > ours {
        // SAFETY: `size` bytes are readable by the caller's contract.
        let beyond = unsafe { std::slice::from_raw_parts(given.cast::<u8>().add(ours), size - ours) };
        if beyond.iter().any(|byte| *byte != 0) {
            let text = format!("{} sets members of a newer header that this library does not have", T::NAME);
            return Err(Error::new(Code::Abi, text));
        }
    }
    if T::RESERVED {
        // SAFETY: the first release's members are readable by the contract, and `reserved` is the last four bytes.
        let reserved = unsafe { std::slice::from_raw_parts(given.cast::<u8>().add(T::FIRST - 4), 4) };
        if reserved.iter().any(|byte| *byte != 0) {
            return Err(Error::new(Code::Abi, format!("{}.reserved must be 0", T::NAME)));
        }
    }
    let known = size.min(ours);
    // SAFETY: so many bytes are readable by the caller's contract and fit into `taken`, whose members take any bytes.
    unsafe { (&raw mut taken).cast::<u8>().copy_from_nonoverlapping(given.cast::<u8>(), known) };
    Ok(taken)
}

/// Fills in a structure of the application as far as both sides know it, its `size` included, which says how far.
///
/// # Errors
/// `Argument` for NULL, `Abi` with the structure's name; those of `value`. Nothing is written then.
///
/// # Safety
/// `out` must be NULL or point to as many writable bytes as its `size` says.
pub(super) unsafe fn write<T: Grows>(out: *mut T, value: impl FnOnce() -> Result<T>) -> Result<()> {
    if out.is_null() {
        return Err(argument(format!("{} must not be NULL", T::NAME)));
    }
    // SAFETY: by the caller's contract.
    let known = unsafe { size_of_given(out)? }.min(size_of::<T>());
    let mut value = value()?;
    // SAFETY: the first member is the size; `known` bytes are writable by the caller's contract.
    unsafe {
        (&raw mut value).cast::<usize>().write(known);
        out.cast::<u8>().copy_from_nonoverlapping((&raw const value).cast::<u8>(), known);
    }
    Ok(())
}

/// Makes a structure its defaults: all zero, and its size. The same as OH_INIT, for languages without macros.
///
/// @param structure  any structure of this header that begins with `size`; NULL: nothing happens.
/// @param size       its size in the caller's header; fewer bytes than the member `size` has: nothing happens.
///
/// # Safety
/// `structure` must be NULL or point to `size` writable bytes.
#[no_mangle]
pub unsafe extern "C" fn oh_struct_init(structure: *mut c_void, size: usize) {
    if structure.is_null() || size < size_of::<usize>() {
        return;
    }
    // SAFETY: `size` bytes are writable by the caller's contract, and they hold a `usize`.
    unsafe {
        structure.cast::<u8>().write_bytes(0, size);
        structure.cast::<usize>().write_unaligned(size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Old {
        size: usize,
        a: u64,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Now {
        size: usize,
        a: u64,
        b: u64,
    }

    sized!(Now to a);

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Newer {
        now: Now,
        c: u64,
    }

    fn text<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.code, Code::Abi);
        error.message.into_owned()
    }

    #[test]
    fn structures_of_older_and_newer_headers_are_read() {
        let old = Old { size: 16, a: 7 };
        // SAFETY: each structure has as many bytes as it says.
        unsafe {
            assert_eq!(read(std::ptr::null::<Now>()), Ok(Now { size: 24, a: 0, b: 0 }));
            assert_eq!(read((&raw const old).cast::<Now>()).map(|n| (n.a, n.b)), Ok((7, 0)));
            let mut newer = Newer { now: Now { size: 32, a: 1, b: 2 }, c: 0 };
            assert_eq!(read((&raw const newer).cast::<Now>()).map(|n| (n.a, n.b)), Ok((1, 2)));
            newer.c = 1;
            assert!(text(read((&raw const newer).cast::<Now>())).starts_with("Now sets members"));
            for size in [0, 8, 15, 24 + MOST_BEYOND + 1, usize::MAX] {
                let wrong = Now { size, a: 0, b: 0 };
                assert!(text(read(&raw const wrong)).starts_with("Now.size is "));
            }
        }
    }

    #[test]
    fn reserved_members_must_be_zero() {
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[repr(C)]
        struct Kept {
            size: usize,
            a: u32,
            reserved: u32,
            later: u64,
        }
        sized!(Kept to reserved);
        for (reserved, later, taken) in [(0, 0, true), (0, 1, true), (1, 0, false), (1 << 31, 0, false)] {
            let given = Kept { size: size_of::<Kept>(), a: 7, reserved, later };
            // SAFETY: the structure has as many bytes as it says.
            let read = unsafe { read(&raw const given) };
            assert_eq!(read.is_ok(), taken);
            assert!(taken || text(read) == "Kept.reserved must be 0");
        }
    }

    #[test]
    fn structures_of_older_and_newer_headers_are_filled() {
        let value = || Ok(Now { size: 0, a: 3, b: 4 });
        let mut room = [9u64; 5];
        for (size, filled) in [(16, [16, 3, 9, 9, 9]), (24, [24, 3, 4, 9, 9]), (40, [24, 3, 4, 9, 9])] {
            room = [9; 5];
            room[0] = size;
            // SAFETY: the array has as many bytes as its first number says.
            assert_eq!(unsafe { write(room.as_mut_ptr().cast::<Now>(), value) }, Ok(()));
            assert_eq!(room, filled);
        }
        room[0] = 8;
        // SAFETY: as above.
        assert!(text(unsafe { write(room.as_mut_ptr().cast::<Now>(), value) }).starts_with("Now.size is 8"));
        // SAFETY: NULL is allowed.
        assert_eq!(unsafe { write(std::ptr::null_mut::<Now>(), value) }.unwrap_err().code, Code::Argument);
    }
}
