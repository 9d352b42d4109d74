//! Panics inside the library reach its log and never standard error; the host's own are left alone.
//!
//! The hook belongs to the process, so the test observes a separate process from outside.

use offhook::{
    dispatch::{self, Class, Handler, Limits, Mailbox},
    log::{self, Level},
    panics, runtime,
};
use std::{
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const INSIDE: &str = "OFFHOOK_PANICS_INSIDE";

#[test]
fn the_library_prints_nothing_and_logs_everything() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new(this)
        .args(["--exact", "the_library_prints_nothing_and_logs_everything", "--nocapture"])
        .env(INSIDE, "1")
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("all logged"), "{out}{err}");
    let panics: Vec<_> = err.lines().filter(|line| line.contains("planted")).collect();
    assert_eq!(panics, ["planted: the host's own, before", "planted: the host's own, after"], "{err}");
    assert_eq!(err.matches("panicked at").count(), 2, "{err}");
}

fn host_panics(when: &'static str) {
    let host = std::thread::spawn(move || panic!("planted: the host's own, {when}"));
    assert!(host.join().is_err());
}

fn inside() {
    let lines = Arc::new(Mutex::new(Vec::<String>::new()));
    let captured = lines.clone();
    log::global().set(Level::Debug, move |record| captured.lock().unwrap().push(record.text.clone()), || {});
    let expect = |text: &str, file: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        let logged = |line: &String| line.contains(text) && line.contains(file);
        while !lines.lock().unwrap().iter().any(logged) {
            assert!(Instant::now() < deadline, "{text:?} is not in the log: {:?}", lines.lock().unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
        let count = lines.lock().unwrap().iter().filter(|line| line.contains(text)).count();
        assert_eq!(count, 1, "{text}");
    };
    let here = "panics.rs:";
    host_panics("before");
    // On a thread of the host, inside an entry point of the library.
    assert_eq!(panics::contain(|| panic!("planted: in an entry")), Err("planted: in an entry".to_owned()));
    expect("planted: in an entry", here);
    // A guarded task, after an await.
    let task = async {
        tokio::task::yield_now().await;
        panic!("planted: in a guarded task");
    };
    runtime::spawn_guarded("planted", task, |_| {}).unwrap();
    expect("planted: in a guarded task", here);
    // An unguarded task, as dependencies have them.
    drop(runtime::spawn("planted", async { panic!("planted: in any task") }).unwrap());
    expect("planted: in any task", here);
    // A callback.
    let limits = Limits { control: 16, vital: 16, media: 16, ..Limits::default() };
    let handler = Handler::new(|_| panic!("planted: in a callback"));
    let mailbox = Mailbox::<u32, u32>::with_handler(dispatch::pool(), limits, handler);
    mailbox.post(1, Class::Normal);
    expect("planted: in a callback", here);
    // A panic payload that itself panics when dropped.
    struct Second;
    impl Drop for Second {
        fn drop(&mut self) {
            panic!("planted: while dropped");
        }
    }
    assert!(panics::contain(|| std::panic::panic_any(Second)).is_err());
    host_panics("after");
    println!("all logged");
}
