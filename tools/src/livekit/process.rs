//! A child process of the stand: started with a log, looked at, waited for, killed when it is dropped.
//!
//! Without tokio's processes: their feature would be compiled into everything that shares tokio with the tools. Knows
//! nothing of what the processes are for.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Pause between two looks at a process that is to end.
const LOOK: Duration = Duration::from_millis(10);

/// A running or ended process. Dropped, it is killed and collected.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts a program that writes into `log` and ends with this process, even when that is killed.
    pub fn spawn(program: &Path, args: &[String], log: &Path) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("{}: {e}", program.display());
        let file = OpenOptions::new().create(true).append(true).open(log).map_err(say)?;
        // The signal comes when the thread that started it ends, so only threads that stay may call this.
        let mut command = match find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        // The server takes settings from the environment too; none of ours are meant for it.
        command.env_clear().envs(["PATH", "HOME"].iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        command.args(args).stdin(Stdio::null()).stdout(file.try_clone().map_err(say)?).stderr(file);
        command.spawn().map(Process).map_err(say)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether it is still there; what cannot be asked is not.
    pub fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits until it has ended; false: it has not within `limit`.
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

    /// SIGKILL; it has ended when this returns.
    pub fn kill(&mut self) {
        // Already ended is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program of the PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
