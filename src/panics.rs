//! Panics of the library: contained, and reported to its log; nothing is printed on the host's standard error.
//!
//! Rust calls a process-wide hook for each panic. The library's hook handles panics on threads of the library, and
//! inside [`Inside`] on any thread; other panics go to the previous hook. Must not know: who contains a panic and what
//! follows from it; the log, which registers a function ([`report_to`]).

use std::{
    any::Any,
    cell::{Cell, RefCell},
    panic::{catch_unwind, AssertUnwindSafe, PanicHookInfo},
    sync::{Once, OnceLock},
};

/// Receives the report of a panic.
type Reporter = fn(std::fmt::Arguments<'_>);

static REPORTER: OnceLock<Reporter> = OnceLock::new();
static THREAD_HOOK: OnceLock<fn()> = OnceLock::new();

thread_local! {
    /// Whether this is a thread of the library.
    static OURS: Cell<bool> = const { Cell::new(false) };
    /// Number of callers on this thread's stack that contain panics below them.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Location of the panic being contained.
    static WHERE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sets the function that receives panic reports. Only the first call counts.
pub(crate) fn report_to(reporter: Reporter) {
    let _ = REPORTER.set(reporter);
}

fn report(text: std::fmt::Arguments<'_>) {
    if let Some(reporter) = REPORTER.get() {
        reporter(text);
    }
}

/// Sets the function that every thread of the library calls first (to block signals). Only the first call counts.
pub fn set_thread_hook(hook: fn()) {
    let _ = THREAD_HOOK.set(hook);
}

/// Called first by every thread of the library: marks the thread as one of the library's.
pub(crate) fn thread_started() {
    install();
    OURS.set(true);
    if let Some(hook) = THREAD_HOOK.get() {
        hook();
    }
}

/// Runs a function that may panic; reports the panic and returns its text, cut to 200 characters. The caller must not
/// hold a lock that logging needs.
///
/// For code at the edge of the library, where a panic must end at most one session.
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    let inside = Inside::enter();
    catch_unwind(AssertUnwindSafe(f)).map_err(|payload| {
        let (place, text) = (inside.place(), panic_text(payload));
        report(format_args!("a panic was contained at {place}: {text}"));
        text
    })
}

/// The text of a panic, cut to 200 characters. The payload's drop may panic, too.
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
    // A panicking thread cannot change the hook; a later caller does.
    if ONCE.is_completed() || std::thread::panicking() {
        return;
    }
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // Without thread locals the thread is hardly one of the library's.
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

/// Reports a panic that the library does not catch (in a task of a dependency, which the runtime ends). Logs it
/// elsewhere and later: the panicking thread may hold a lock that logging needs.
fn uncontained(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    let text: String = text.chars().take(200).collect();
    let place = place(info);
    let send_report = move || report(format_args!("a thread or task panicked at {place}: {text}"));
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(async move { send_report() })),
        // If no thread can be started, the panic is not reported.
        Err(_) => drop(std::thread::Builder::new().name("oh-panic".into()).spawn(send_report)),
    }
}

/// While it lives, its holder contains the panics of this thread.
pub(crate) struct Inside(());

impl Inside {
    pub fn enter() -> Self {
        install();
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        Self(())
    }

    /// Location of the panic just contained.
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
