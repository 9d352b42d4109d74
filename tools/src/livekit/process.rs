//! A child process of the stand: started with a log file, checked, waited for, killed on drop.
//!
//! Does not use tokio's processes: their feature would be compiled into everything that shares tokio with the tools.
//! Must not know: what the processes are for.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Interval between two checks of a process that is to end.
const LOOK: Duration = Duration::from_millis(10);

/// A running or ended process. Drop kills it and waits for it.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a program that logs to `log` and ends with this process, even when this process is killed.
    pub fn spawn(program: &Path, args: &[String], log: &Path) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("{}: {e}", program.display());
        let file = OpenOptions::new().create(true).append(true).open(log).map_err(say)?;
        // The signal is sent when the thread that started the child ends, so only long-lived threads may call this.
        let mut command = match find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // The server also reads settings from the environment; none of this process are meant for it.
        command.env_clear().envs(["PATH", "HOME"].iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        command.args(args).stdin(Stdio::null()).stdout(file.try_clone().map_err(say)?).stderr(file);
        command.spawn().map(Process).map_err(say)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it is still running. If that cannot be determined, it is not.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits until it has ended; false if it has not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.is_running() {
            if Instant::now() > end {
                return false;
            }
            sleep(LOOK).await;
        }
        true
    }

    /// Sends SIGKILL; the process has ended when this returns.
    pub fn kill(&mut self) {
        // An error means that it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program in the PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
