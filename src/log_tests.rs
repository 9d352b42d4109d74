//! Tests of the log: bounds, levels, a handler that blocks, panics or logs itself.

use super::*;
use std::sync::{
    mpsc::{channel, Receiver},
    Arc,
};

const LONG: Duration = Duration::from_secs(20);

fn listen(log: &Log, level: Level) -> Receiver<Record> {
    let (sender, receiver) = channel();
    log.set(level, move |record| drop(sender.send(record.clone())), || ());
    receiver
}

fn write_line(log: &Log, level: Level, text: &str) {
    if log.enabled(level) {
        log.write(level, "test", format_args!("{text}"));
    }
}

#[test]
fn is_off_without_a_handler_and_obeys_the_level() {
    let log = Log::new();
    assert!(!log.enabled(Level::Error) && !log.enabled(Level::Off));
    log.set_level(Level::Trace);
    assert!(!log.enabled(Level::Error));
    let receiver = listen(&log, Level::Info);
    write_line(&log, Level::Debug, "no");
    write_line(&log, Level::Info, "yes");
    log.set_level(Level::Debug);
    write_line(&log, Level::Debug, "and this");
    assert!(!log.enabled(Level::Off));
    let first = receiver.recv_timeout(LONG).unwrap();
    assert_eq!((first.level, first.target, first.text.as_str()), (Level::Info, "test", "yes"));
    assert!(first.unix_us > 1_600_000_000_000_000);
    assert_eq!(receiver.recv_timeout(LONG).unwrap().text, "and this");
    assert_eq!(log.remove(), Closing::Done);
    assert!(!log.enabled(Level::Error));
    write_line(&log, Level::Error, "no handler");
    assert!(receiver.recv().is_err(), "the handler is dropped with its last line");
}

#[test]
fn a_line_is_bounded_and_cannot_forge_another() {
    let long = line(format_args!("{}", "ü".repeat(5000)));
    assert_eq!(long.len(), LINE_BYTES);
    let odd = line(format_args!("a{}", "ü".repeat(5000)));
    assert_eq!(odd.len(), LINE_BYTES - 1);
    assert_eq!(line(format_args!("a\nb\r\x1b[2J\0c")), "a b  [2J c");
}

#[test]
fn a_blocked_handler_delays_no_caller_and_receives_the_number_of_lost_lines() {
    let log = Log::new();
    let (sender, receiver) = channel();
    let (release, released) = channel::<()>();
    let (entered, is_in) = channel();
    let mut first = true;
    log.set(
        Level::Info,
        move |record| {
            if std::mem::take(&mut first) {
                entered.send(()).unwrap();
                released.recv_timeout(LONG).unwrap();
            }
            sender.send(record.clone()).unwrap();
        },
        || (),
    );
    write_line(&log, Level::Info, "first");
    is_in.recv_timeout(LONG).unwrap();
    // The handler hangs; none of these waits for it.
    for n in 0..LINES + 5 {
        write_line(&log, Level::Info, &n.to_string());
    }
    release.send(()).unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap().text, "first");
    for n in 0..LINES {
        assert_eq!(receiver.recv_timeout(LONG).unwrap().text, n.to_string());
    }
    let last = receiver.recv_timeout(LONG).unwrap();
    assert_eq!(last.level, Level::Warn);
    assert!(last.text.starts_with("5 lines were lost"), "{}", last.text);
    log.remove();
}

#[test]
fn a_handler_that_logs_or_removes_itself_is_safe() {
    let log: &'static Log = Box::leak(Box::new(Log::new()));
    let (sender, receiver) = channel();
    let (end, ended) = channel();
    log.set(
        Level::Info,
        move |record| {
            write_line(log, Level::Info, "echo");
            let closing = (record.text == "bye").then(|| log.remove());
            sender.send((record.text.clone(), closing)).unwrap();
        },
        move || end.send(()).unwrap(),
    );
    write_line(log, Level::Info, "hello");
    write_line(log, Level::Info, "bye");
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), ("hello".into(), None));
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), ("bye".into(), Some(Closing::Deferred)));
    ended.recv_timeout(LONG).unwrap();
    assert!(receiver.recv().is_err());
    assert!(ended.recv().is_err(), "destroyed once");
}

#[test]
fn replacing_destroys_the_old_handler_once() {
    let log = Log::new();
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    for n in 0..5 {
        let own = count.clone();
        let destroy = move || {
            own.fetch_add(1, Relaxed);
        };
        assert_eq!(log.set(Level::Info, |_| (), destroy), Closing::Done);
        assert_eq!((count.load(Relaxed), Arc::strong_count(&count)), (n, 2));
    }
    assert_eq!(count.load(Relaxed), 4);
    log.remove();
    assert_eq!((count.load(Relaxed), Arc::strong_count(&count)), (5, 1));
}

#[test]
fn a_handler_that_panics_is_gone_and_the_log_off() {
    let log = Log::new();
    let (end, ended) = channel();
    log.set(Level::Info, |_| panic!("handler"), move || end.send(()).unwrap());
    write_line(&log, Level::Info, "x");
    ended.recv_timeout(LONG).unwrap();
    let deadline = std::time::Instant::now() + LONG;
    while log.enabled(Level::Info) {
        assert!(std::time::Instant::now() < deadline);
        write_line(&log, Level::Info, "y");
    }
    let receiver = listen(&log, Level::Info);
    write_line(&log, Level::Info, "again");
    assert_eq!(receiver.recv_timeout(LONG).unwrap().text, "again");
    log.remove();
}

#[test]
fn the_macro_formats_only_for_a_handler() {
    struct Loud;
    impl fmt::Display for Loud {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("formatted without a handler")
        }
    }
    // Trace level of the process's log: no test of this process sets a handler for it.
    oh_log!(Level::Trace, "{}", Loud);
}
