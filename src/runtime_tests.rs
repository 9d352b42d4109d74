//! Tests of the runtime: start, stop, restart, panics, tasks that do not end, a system without resources.

use super::*;
use std::sync::mpsc::channel;

const LONG: Duration = Duration::from_secs(20);

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

#[test]
fn starts_with_the_first_task_and_again_after_each_stop() {
    let runtime = Runtime::new();
    assert!(!runtime.is_running() && runtime.live_tasks() == 0 && runtime.all_tasks() == 0);
    assert!(runtime.shutdown(LONG), "nothing to stop is stopped");
    for _ in 0..3 {
        let (sender, receiver) = channel();
        let mut stop = runtime.stop_signal().unwrap();
        assert!(!stop.is_requested());
        let seen = stop.clone();
        runtime
            .spawn("waiter", async move {
                sender.send(thread::current().name().map(String::from)).unwrap();
                stop.requested().await;
            })
            .unwrap();
        let name = receiver.recv_timeout(LONG).unwrap().unwrap();
        assert!(name.starts_with("oh-io-"), "{name}");
        assert_eq!(runtime.task_names(), [("waiter", 1)]);
        assert_eq!((runtime.live_tasks(), runtime.all_tasks()), (1, 1));
        assert!(runtime.shutdown(LONG));
        assert!(seen.is_requested());
        assert!(!runtime.is_running() && runtime.live_tasks() == 0);
    }
}

#[test]
fn counts_a_task_until_its_future_is_dropped() {
    struct SendOnDrop(std::sync::mpsc::Sender<()>);
    impl Drop for SendOnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let runtime = Runtime::new();
    let (sender, receiver) = channel();
    let held = SendOnDrop(sender);
    let task = runtime
        .spawn("held", async move {
            let _held = held;
            std::future::pending::<()>().await
        })
        .unwrap();
    assert_eq!(runtime.live_tasks(), 1);
    task.abort();
    receiver.recv_timeout(LONG).unwrap();
    until("the task is still counted", || runtime.live_tasks() == 0);
    assert!(runtime.shutdown(LONG));
}

#[test]
fn a_panic_is_reported_and_contained() {
    let runtime = Runtime::new();
    let (sender, receiver) = channel();
    runtime.spawn_guarded("bad", async { panic!("number {}", 7) }, move |text| sender.send(text).unwrap()).unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), "number 7");
    // A panic of the hook is contained, too.
    runtime.spawn_guarded("worse", async { panic!("a") }, |_| panic!("b")).unwrap();
    runtime.spawn("bare", async { panic!("c") }).unwrap();
    until("failed tasks are still counted", || runtime.live_tasks() == 0);
    let (sender, receiver) = channel();
    runtime.spawn_guarded("good", async move { sender.send(5).unwrap() }, |_| ()).unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), 5);
    assert!(runtime.shutdown(LONG));
}

#[test]
fn a_task_that_does_not_stop_is_cut_off() {
    let runtime = Runtime::with_grace(Duration::from_millis(100));
    runtime.spawn("stuck", std::future::pending::<()>()).unwrap();
    let began = Instant::now();
    assert!(runtime.shutdown(Duration::from_millis(200)), "dropped at its await: nothing runs any more");
    assert!(began.elapsed() < LONG);
}

#[test]
fn without_time_tasks_still_end_in_good_order_and_the_next_caller_waits_for_it() {
    let runtime = Runtime::new();
    let (sender, receiver) = channel();
    for _ in 0..50 {
        let (mut stop, sender) = (runtime.stop_signal().unwrap(), sender.clone());
        let task = async move {
            stop.requested().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
            sender.send("done").unwrap();
        };
        runtime.spawn("graceful", task).unwrap();
    }
    drop(sender);
    // A task that never ends: cancelled after the grace period.
    runtime.spawn("stuck", std::future::pending::<()>()).unwrap();
    assert!(!runtime.shutdown(Duration::ZERO) && !runtime.shutdown(Duration::from_millis(1)));
    // Meanwhile a new runtime starts.
    let (next, nexts) = channel();
    runtime.spawn("next", async move { next.send(()).unwrap() }).unwrap();
    nexts.recv_timeout(LONG).unwrap();
    assert!(runtime.shutdown(LONG));
    assert_eq!(receiver.into_iter().count(), 50);
}

#[test]
fn a_blocked_io_thread_makes_shutdown_fail_and_the_next_start_is_fresh() {
    let runtime = Runtime::new();
    let (entered, is_in) = channel();
    let (release, released) = channel::<()>();
    let (end, ended) = channel();
    runtime
        .spawn("blocked", async move {
            entered.send(()).unwrap();
            released.recv_timeout(LONG).unwrap();
            end.send(()).unwrap();
        })
        .unwrap();
    is_in.recv_timeout(LONG).unwrap();
    assert!(!runtime.shutdown(Duration::from_millis(50)));
    assert_eq!((runtime.is_running(), runtime.live_tasks()), (false, 0));
    let (sender, receiver) = channel();
    runtime.spawn("next", async move { sender.send(()).unwrap() }).unwrap();
    receiver.recv_timeout(LONG).unwrap();
    assert!(!runtime.shutdown(Duration::from_millis(50)), "the first one still has its thread");
    release.send(()).unwrap();
    ended.recv_timeout(LONG).unwrap();
    assert!(runtime.shutdown(LONG));
}

#[test]
fn during_a_shutdown_tasks_are_refused_and_a_second_caller_waits() {
    let runtime = Runtime::new();
    let mut stop = runtime.stop_signal().unwrap();
    let (asked, is_asked) = channel();
    let (go, may_go) = tokio::sync::oneshot::channel::<()>();
    runtime
        .spawn("slow", async move {
            stop.requested().await;
            asked.send(()).unwrap();
            let _ = may_go.await;
        })
        .unwrap();
    thread::scope(|s| {
        let first = s.spawn(|| runtime.shutdown(LONG));
        is_asked.recv_timeout(LONG).unwrap();
        assert_eq!(runtime.spawn("late", async {}).unwrap_err().code, Code::State);
        assert_eq!(runtime.handle().unwrap_err().code, Code::State);
        assert!(!runtime.shutdown(Duration::from_millis(1)), "the first one is not done");
        let second = s.spawn(|| runtime.shutdown(LONG));
        go.send(()).unwrap();
        assert!(first.join().unwrap() && second.join().unwrap());
    });
}

#[test]
fn shutdown_on_an_io_thread_is_refused_and_inside_a_foreign_runtime_works() {
    let runtime: &'static Runtime = Box::leak(Box::new(Runtime::new()));
    let (sender, receiver) = channel();
    runtime.spawn("self", async move { sender.send((on_io_thread(), runtime.shutdown(LONG))).unwrap() }).unwrap();
    assert_eq!(receiver.recv_timeout(LONG).unwrap(), (true, false));
    assert!(!on_io_thread());
    let host = Builder::new_current_thread().enable_all().build().unwrap();
    assert!(host.block_on(async { runtime.shutdown(LONG) }));
}

#[test]
fn the_number_of_io_threads_is_set_before_the_start() {
    let runtime = Runtime::new();
    assert_eq!(runtime.set_io_threads(65).unwrap_err().code, Code::Argument);
    runtime.set_io_threads(3).unwrap();
    assert_eq!(runtime.handle().unwrap().metrics().num_workers(), 3);
    runtime.set_io_threads(3).unwrap();
    assert_eq!(runtime.set_io_threads(2).unwrap_err().code, Code::State);
    assert!(runtime.shutdown(LONG));
    runtime.set_io_threads(0).unwrap();
    let default = runtime.handle().unwrap().metrics().num_workers();
    assert!((1..=4).contains(&default));
    assert!(runtime.shutdown(LONG));
}

/// Runs the test program again with few descriptors: the runtime fails to start with an error, and starts when
/// descriptors are free again.
#[test]
fn a_system_without_room_is_an_error_that_passes() {
    const MARK: &str = "OFFHOOK_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(MARK).is_some() {
        let runtime = Runtime::new();
        let mut hogs = Vec::new();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            hogs.push(file);
        }
        for _ in 0..2 {
            assert_eq!(runtime.spawn("x", async {}).unwrap_err().code, Code::Limit);
        }
        drop(hogs);
        let (sender, receiver) = channel();
        runtime.spawn("y", async move { sender.send(()).unwrap() }).unwrap();
        receiver.recv_timeout(LONG).unwrap();
        assert!(runtime.shutdown(LONG));
        return;
    }
    let me = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 32; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(me)
        .arg(thread::current().name().unwrap_or_default())
        .env(MARK, "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + 2 * LONG;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("the child hangs");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let mut output = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut output).unwrap();
    assert!(status.success() && output.contains("1 passed"), "{output}");
}
