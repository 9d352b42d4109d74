//! What `src/sync.rs` is in the library: the same names, made of the checker's primitives.
//!
//! Must not know: what is modelled. The shapes are those of parking_lot (no poisoning, guards that
//! can be put aside). Every lock has a lock of the checker, made at the first use so that `new` can be
//! const, and the data in a lock of the standard library that is therefore never contended.
//!
//! Time stands still but for timed waits: see [`Time`].

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
    sync::{self, OnceLock, PoisonError},
    time::Duration,
};

pub(crate) use loom::thread;

/// As the standard one with `const` values, which the checker's own does not take.
macro_rules! local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $value:expr };)*) => {
        loom::thread_local! {
            $($(#[$attribute])* static $name: $type = $value;)*
        }
    };
}
pub(crate) use local as thread_local;

macro_rules! global {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        loom::lazy_static! {
            $(#[$attribute])*
            static ref $name: $type = $value;
        }
    };
}
pub(crate) use global;

/// What a timed wait does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Time {
    /// Nothing but a notification ends it.
    Stands,
    /// It times out as soon as every other thread has had its chance, notified or not: the nastiest
    /// moment is that in which both happen.
    Runs,
}

std::thread_local! {
    // All threads of a model are run by one thread of the process.
    static MODE: Cell<Time> = const { Cell::new(Time::Stands) };
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Called at the beginning of every run.
pub fn begin(time: Time) {
    MODE.set(time);
    NOW.set(Duration::ZERO);
}

/// Something took this long.
pub fn pass(time: Duration) {
    NOW.set(NOW.get() + time);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(Duration);

impl Instant {
    pub fn now() -> Self {
        Self(NOW.get())
    }

    pub fn checked_add(self, more: Duration) -> Option<Self> {
        // As far away as a year is no time at all for a model.
        self.0.checked_add(more).filter(|t| *t < Duration::from_secs(365 * 86400)).map(Self)
    }

    pub fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

#[derive(Debug, Default)]
pub struct Mutex<T> {
    lock: OnceLock<loom::sync::Mutex<()>>,
    data: sync::Mutex<T>,
}

pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    // Given back in this order.
    data: Option<sync::MutexGuard<'a, T>>,
    held: Option<loom::sync::MutexGuard<'a, ()>>,
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self { lock: OnceLock::new(), data: sync::Mutex::new(value) }
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        let mut guard = MutexGuard { mutex: self, data: None, held: None };
        guard.take();
        guard
    }

    /// Waits as long as it takes: nothing here holds such a lock for ever.
    pub fn try_lock_until(&self, _: Instant) -> Option<MutexGuard<'_, T>> {
        Some(self.lock())
    }

    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a, T> MutexGuard<'a, T> {
    fn take(&mut self) {
        let lock = self.mutex.lock.get_or_init(|| loom::sync::Mutex::new(()));
        self.held = Some(lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.take_data();
    }

    fn take_data(&mut self) {
        self.data = Some(match self.mutex.data.try_lock() {
            Ok(data) => data,
            Err(sync::TryLockError::Poisoned(data)) => data.into_inner(),
            Err(sync::TryLockError::WouldBlock) => panic!("two threads hold one lock"),
        });
    }

    fn give_back(&mut self) {
        self.data = None;
        self.held = None;
    }

    pub fn unlocked<R>(guard: &mut Self, f: impl FnOnce() -> R) -> R {
        guard.give_back();
        let result = f();
        guard.take();
        result
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.data.as_ref().expect("the guard is put aside")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.data.as_mut().expect("the guard is put aside")
    }
}

#[derive(Debug, Default)]
pub struct Condvar(OnceLock<loom::sync::Condvar>);

pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn inner(&self) -> &loom::sync::Condvar {
        self.0.get_or_init(loom::sync::Condvar::new)
    }

    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        guard.data = None;
        let held = guard.held.take().expect("the guard is put aside");
        guard.held = Some(self.inner().wait(held).unwrap_or_else(PoisonError::into_inner));
        guard.take_data();
    }

    pub fn wait_until<T>(&self, guard: &mut MutexGuard<'_, T>, deadline: Instant) -> WaitTimeoutResult {
        if MODE.get() == Time::Stands {
            self.wait(guard);
            return WaitTimeoutResult(false);
        }
        guard.give_back();
        loom::thread::yield_now();
        NOW.set(NOW.get().max(deadline.0));
        guard.take();
        WaitTimeoutResult(true)
    }

    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, timeout: Duration) -> WaitTimeoutResult {
        self.wait_until(guard, Instant(NOW.get() + timeout))
    }

    pub fn notify_one(&self) {
        self.inner().notify_one();
    }

    pub fn notify_all(&self) {
        self.inner().notify_all();
    }
}

pub struct RwLock<T> {
    lock: OnceLock<loom::sync::RwLock<()>>,
    data: sync::RwLock<T>,
}

pub struct ReadGuard<'a, T> {
    data: sync::RwLockReadGuard<'a, T>,
    _held: loom::sync::RwLockReadGuard<'a, ()>,
}

pub struct WriteGuard<'a, T> {
    data: sync::RwLockWriteGuard<'a, T>,
    _held: loom::sync::RwLockWriteGuard<'a, ()>,
}

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        Self { lock: OnceLock::new(), data: sync::RwLock::new(value) }
    }

    fn lock(&self) -> &loom::sync::RwLock<()> {
        self.lock.get_or_init(|| loom::sync::RwLock::new(()))
    }

    pub fn read(&self) -> ReadGuard<'_, T> {
        let _held = self.lock().read().unwrap_or_else(PoisonError::into_inner);
        let data = self.data.try_read().expect("a reader beside a writer");
        ReadGuard { data, _held }
    }

    pub fn write(&self) -> WriteGuard<'_, T> {
        let _held = self.lock().write().unwrap_or_else(PoisonError::into_inner);
        let data = self.data.try_write().expect("a writer beside another");
        WriteGuard { data, _held }
    }
}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}
