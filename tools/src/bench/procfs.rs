//! Resource usage of a process, from `/proc/<pid>`.
//!
//! Must not know: what the process is.

use std::fs;

/// `_SC_CLK_TCK` of Linux, the unit of CPU times in `/proc`; fixed for user space since 2.6.
const TICKS_PER_SECOND: f64 = 100.0;

/// One sample of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// User and system CPU time of all its threads, ended ones included.
    pub cpu_s: f64,
    /// How long its live threads were runnable without a core; 0 where the kernel does not count it.
    pub wait_s: f64,
    pub rss_kb: u64,
    pub threads: u64,
    pub fds: u64,
}

/// Samples the process now.
pub fn look(pid: u32) -> Result<Usage, String> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
    };
    let entries = |folder: &str| {
        let path = format!("/proc/{pid}/{folder}");
        fs::read_dir(&path).map(|d| d.count() as u64).map_err(|e| format!("{path}: {e}"))
    };
    Ok(Usage {
        cpu_s: cpu_of(&read("stat")?).ok_or("unreadable stat")?,
        wait_s: wait_of(pid),
        rss_kb: rss_of(&read("status")?).ok_or("unreadable status")?,
        threads: entries("task")?,
        fds: entries("fd")?,
    })
}

/// Remote ports of the process's TCP connections over IPv4; empty if the process cannot be inspected.
pub fn connected(pid: u32) -> Vec<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_str()?.to_owned()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    table.lines().skip(1).filter_map(established).filter(|(_, inode)| sockets.contains(inode)).map(|s| s.0).collect()
}

/// The remote port and the descriptor's name, from a line about an established connection.
fn established(line: &str) -> Option<(u16, String)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let port = u16::from_str_radix(fields.get(2)?.split(':').nth(1)?, 16).ok()?;
    (*fields.get(3)? == "01").then_some((port, format!("socket:[{}]", fields.get(9)?)))
}

/// Fields 14 and 15. The name in field 2 may contain anything, so count from its last parenthesis.
fn cpu_of(stat: &str) -> Option<f64> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let ticks = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

/// The second number of each thread's schedstat, ns. A thread that ends meanwhile is skipped.
fn wait_of(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let waits = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse::<f64>().ok()
    });
    waits.sum::<f64>() / 1e9
}

fn rss_of(status: &str) -> Option<u64> {
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_a_strange_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 3 0 100 200 300";
        assert_eq!(cpu_of(stat), Some(3.0));
        assert_eq!(cpu_of("nonsense"), None);
        assert_eq!(rss_of("Name:\tx\nVmRSS:\t  1234 kB\n"), Some(1234));
    }

    #[test]
    fn connections_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!connected(std::process::id()).contains(&port));
        let stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        assert!(connected(std::process::id()).contains(&port));
        drop(stream);
        assert!(connected(u32::MAX).is_empty());
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let usage = look(std::process::id()).unwrap();
        assert!(usage.rss_kb > 100 && usage.threads >= 1 && usage.fds >= 3, "{usage:?}");
        assert!(usage.wait_s >= 0.0 && usage.wait_s.is_finite(), "{usage:?}");
        assert!(look(u32::MAX).is_err());
    }
}
