//! The network watch in a separate network namespace, with real links and addresses.
//!
//! Needs root, `unshare` and `ip`; prints a notice and passes where these are missing. Must not know: how the watch
//! works.

use offhook::{
    core::NetworkChange::{self, Changed, Offline, Online},
    netwatch::{self, Subscription},
    runtime,
};
use std::{
    io::Write,
    process::Command,
    time::{Duration, Instant},
};

/// Set in the process inside the namespace.
const INSIDE: &str = "OFFHOOK_NETWATCH_INSIDE";

fn skipped(why: &str) {
    // Bypasses the harness, which captures what passing tests print.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: the network watch was not tested: {why}\n");
}

fn runs(command: &[&str]) -> bool {
    Command::new(command[0]).args(&command[1..]).output().is_ok_and(|output| output.status.success())
}

#[test]
fn real_links_and_addresses() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !cfg!(target_os = "linux") {
        return skipped("this is not Linux");
    }
    let probe = "ip link add eth0 type veth peer name far0";
    if !runs(&["unshare", "-n", "sh", "-c", probe]) {
        return skipped("no network namespace with a virtual link can be made (not root?)");
    }
    let this = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .arg("-n")
        .arg(this)
        .args(["--exact", "real_links_and_addresses", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("all seen inside"), "{printed}");
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

async fn expect(watch: &mut Subscription, wanted: NetworkChange) {
    let change = tokio::time::timeout(Duration::from_secs(10), watch.next()).await;
    assert_eq!(change.ok(), Some(wanted));
}

/// Nothing is reported in twice the time that the report of a change takes.
async fn expect_nothing(watch: &mut Subscription) {
    let change = tokio::time::timeout(Duration::from_millis(2_500), watch.next()).await;
    assert_eq!(change.ok(), None);
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn inside() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // The library's runtime has a descriptor or two itself.
        runtime::spawn("warm", async {}).unwrap().await.unwrap();
        let before = descriptors();
        let mut watch = netwatch::subscribe();
        let deadline = Instant::now() + Duration::from_secs(10);
        while watch.is_online() {
            assert!(Instant::now() < deadline, "an empty namespace is offline");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ip("link set lo up");
        ip("link add eth0 type veth peer name far0");
        ip("link set far0 up");
        ip("link set eth0 up");
        expect_nothing(&mut watch).await;
        ip("addr add 10.99.0.2/24 dev eth0");
        // No Offline was delivered before.
        expect(&mut watch, Changed).await;
        assert!(watch.is_online());
        let mut second = netwatch::subscribe();
        ip("addr del 10.99.0.2/24 dev eth0");
        expect(&mut watch, Offline).await;
        ip("addr add 10.99.0.3/24 dev eth0");
        expect(&mut watch, Online).await;
        ip("addr add 10.99.0.4/24 dev eth0");
        expect(&mut watch, Changed).await;
        ip("addr add 2001:db8::4/64 dev eth0 nodad");
        expect(&mut watch, Changed).await;
        ip("addr del 10.99.0.4/24 dev eth0");
        ip("addr add 10.99.0.4/24 dev eth0");
        expect_nothing(&mut watch).await;
        ip("route add default via 10.99.0.1 dev eth0");
        expect(&mut watch, Changed).await;
        ip("link set eth0 down");
        expect(&mut watch, Offline).await;
        ip("link set eth0 up");
        expect(&mut watch, Online).await;
        ip("link del eth0");
        expect(&mut watch, Offline).await;
        // A late reader receives the combined change.
        expect(&mut second, Offline).await;

        let tasks = || runtime::global().task_names().iter().filter(|(name, _)| *name == "netwatch").count();
        assert_eq!((tasks(), descriptors()), (1, before + 1), "one task and one socket for all");
        drop((watch, second));
        let deadline = Instant::now() + Duration::from_secs(10);
        while tasks() > 0 || descriptors() > before {
            assert!(Instant::now() < deadline, "without subscribers it still watches");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // ... and the watch starts again.
        let mut watch = netwatch::subscribe();
        ip("link add eth1 type veth peer name far1");
        ip("link set far1 up");
        ip("link set eth1 up");
        ip("addr add 10.98.0.2/24 dev eth1");
        expect(&mut watch, Changed).await;
    });
    assert!(runtime::shutdown(Duration::from_secs(5)));
    assert_eq!(runtime::global().all_tasks(), 0);
    println!("all seen inside");
}
