//! Panics of the library: contained, and reported to its log; nothing is printed on the host's standard error.
//!
//! Rust calls a hook of the process for each panic. Ours takes what happens on threads of the library, and
//! inside [`Inside`] on any thread; the host's panics go to the hook that was there before. Must not
//! know: who contains a panic and what follows from it; the log, which gives itself as a function ([`report_to`]).

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{catch_unwind, AssertUnwindSafe, PanicHookInfo},
    sync::{Once, OnceLock},
};

/// Takes what is reported about a panic.
type Reporter = fn(std::fmt::Arguments<'_>);

static REPORTER: OnceLock<Reporter> = OnceLock::new();
static THREAD_HOOK: OnceLock<fn()> = OnceLock::new();

thread_local! {
    /// A thread of the library.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// How many callers on this thread's stack contain what fails below them.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Where the panic was that is being contained.
    static WHERE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sets where panics are reported. Only the first one counts.
pub(crate) fn report_to(reporter: Reporter) {
    let _ = REPORTER.set(reporter);
}

fn report(text: std::fmt::Arguments<'_>) {
    if let Some(reporter) = REPORTER.get() {
        reporter(text);
    }
}

/// Sets what every thread of the library calls first (blocking signals). Only the first one counts.
pub fn set_thread_hook(hook: fn()) {
    let _ = THREAD_HOOK.set(hook);
}

/// Called by every thread of the library as its first act: it belongs to the library for good.
pub(crate) fn thread_started() {
    install();
    OURS.set(true);
    if let Some(hook) = THREAD_HOOK.get() {
        hook();
    }
}

/// Runs something that may panic; reports the panic and gives its text, cut to 200 characters. Nothing may
/// be locked by the caller that logging needs.
///
/// For code at the edge of the library, where a panic must end with one session at most.
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    let inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let (place, text) = (inside.place(), panic_text(payload));
        report(format_args!("a panic was contained at {place}: {text}"));
        text
    })
}

/// The text of a panic, cut to 200 characters. The payload's own drop may panic too.
pub fn panic_text(payload: Box<dyn Any + Send>) -> String {
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => text.chars().take(200).collect(),
        (_, Some(text)) => text.chars().take(200).collect(),
        _ => String::from("panic without a text"),
    };
    let _inside = Inside::enter();
    if let Err(second) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(second);
    }
    text
}

fn install() {
    static ONCE: Once = Once::new();
    // The hook cannot be changed by a thread that panics; another one will.
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Where thread locals are gone already, the thread is hardly one of ours.
            if DEPTH.try_with(Cell::get).unwrap_or(0) > 0 {
                let _ = WHERE.try_with(|w| w.try_borrow_mut().map(|mut w| *w = Some(place(info))));
            } else if OURS.try_with(Cell::get).unwrap_or(false) {
                uncontained(info);
            } else {
                before(info);
            }
        }));
    });
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()))
}

/// Nobody of ours catches this one (a task of a dependency, which the runtime ends). Logged elsewhere
/// and later: who panics may hold a lock that logging needs.
fn uncontained(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    let text: String = text.chars().take(200).collect();
    let place = place(info);
    let tell = move || report(format_args!("a thread or task failed inside at {place}: {text}"));
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move { tell() })),
        // Without a thread to be had it stays unreported.
        Err(_) => drop(std::thread::Builder::new().name("oh-panic".into()).spawn(tell)),
    }
}

/// As long as it lives, panics of this thread are contained by who holds it.
pub(crate) struct Inside(());

impl Inside {
    pub fn enter() -> Self {
        install();
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        Self(())
    }

    /// Where the panic was that has just been contained.
    pub fn place(&self) -> String {
        let place = WHERE.try_with(|w| w.try_borrow_mut().ok().and_then(|mut w| w.take()));
        place.ok().flatten().unwrap_or_else(|| "an unknown place".into())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}
