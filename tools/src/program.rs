//! A C program as a child process that prints JSON lines.
//!
//! tools/README.md describes the lines. Must not know: what the programs are for.

use serde::Deserialize;
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{sync_channel, Receiver},
    thread,
    time::{Duration, Instant},
};

/// Most bytes read of one line. A longer line is cut, and is then not valid JSON.
const MAX_LINE: u64 = 64 << 10;
/// Lines queued for the reader. When the queue is full, the program blocks on its pipe.
const MAX_LINES: usize = 4096;

/// One line of a program of the demo. Absent members are zero or empty.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Line {
    /// Milliseconds since the program started.
    #[serde(default)]
    pub t_ms: f64,
    #[serde(flatten)]
    pub event: Event,
}

/// Events that a program of the demo prints.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Joined {
        join_ms: f64,
    },
    FirstAudio {
        ms: f64,
    },
    Level {
        user: String,
        level: f64,
    },
    ParticipantJoined {
        user: String,
    },
    ParticipantLeft {
        user: String,
    },
    /// The call's state changed.
    State {
        state: String,
    },
    /// The call reconnected or migrated, and is joined again.
    Reconnected {
        ms: f64,
    },
    /// No received audio for this long in the middle of speech.
    Gap {
        ms: f64,
    },
    /// Frames received since the last of these, and the call's totals.
    ReceiveStats(ReceiveStats),
    /// The bot has freed its subscriber. Every offer to it is late from here on.
    SubscriberFreed,
    Error {
        #[serde(default)]
        code: i64,
        #[serde(default)]
        message: String,
    },
    Stats(Stats),
    Ended {
        #[serde(default)]
        reason: String,
    },
    /// An event unknown to this reader.
    #[serde(other)]
    Other,
}

/// Figures that a receiving program prints several times a second.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct ReceiveStats {
    /// Frames of 20 ms since the last line: received ones, and those synthesised by packet-loss concealment.
    pub frames: u64,
    pub concealed: u64,
    /// Packets, over the whole call.
    pub lost: u64,
    pub received: u64,
    /// Position in the recording.
    pub recorded_ms: f64,
}

/// The counters of a call. The last line counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Stats {
    pub packets_received: u64,
    pub packets_lost: u64,
    pub concealed_frames: u64,
    pub late_offers_dropped: u64,
    pub errors: u64,
    pub offers_while_leaving: u64,
}

/// A running program. Drop kills it and waits for it.
#[derive(Debug)]
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    /// Starts `path` with `args`. Its stdout is read line by line and copied to `{log}.jsonl`; its stderr goes to
    /// `{log}.log`.
    pub fn start(path: &Path, args: &[String], log: &Path) -> Result<Self, String> {
        let say = |e: std::io::Error| format!("{}: {e}", path.display());
        let errors = File::create(log.with_extension("log")).map_err(say)?;
        let mut copy = File::create(log.with_extension("jsonl")).map_err(say)?;
        let mut child = Command::new(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(say)?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let (sender, lines) = sync_channel(MAX_LINES);
        // Ends with the program's stdout, or when the receiver is dropped.
        thread::spawn(move || {
            let mut reader = BufReader::new(stdout);
            let mut line = Vec::new();
            loop {
                line.clear();
                match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                // A failed copy does not stop the reader.
                let _ = copy.write_all(&line);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if !text.is_empty() && sender.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Program { child, stdin, lines })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line, if one is queued.
    pub fn try_line(&self) -> Option<String> {
        self.lines.try_recv().ok()
    }

    /// The next line, or an error when the program ends or `limit` passes first.
    pub fn line(&self, limit: Duration) -> Result<String, String> {
        self.lines.recv_timeout(limit).map_err(|e| match e {
            std::sync::mpsc::RecvTimeoutError::Timeout => format!("no output within {limit:?}"),
            std::sync::mpsc::RecvTimeoutError::Disconnected => "ended without output".to_owned(),
        })
    }

    /// Sends one line to its stdin.
    pub fn send_line(&mut self, line: &str) -> Result<(), String> {
        let stdin = self.stdin.as_mut().ok_or("stdin is closed")?;
        stdin.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdin.flush()).map_err(|e| e.to_string())
    }

    /// The exit status, if the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end. After `limit` the program is killed, and that is an error.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, String> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Ok(status);
            }
            if Instant::now() >= end {
                self.kill();
                return Err(format!("did not end within {limit:?} and was killed"));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn kill(&mut self) {
        // An error means that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Line {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn lines_are_understood() {
        assert_eq!(
            parse(r#"{"t_ms":41,"event":"joined","join_ms":40.5}"#),
            Line { t_ms: 41.0, event: Event::Joined { join_ms: 40.5 } }
        );
        assert_eq!(parse(r#"{"event":"subscriber_freed"}"#).event, Event::SubscriberFreed);
        let stats = parse(r#"{"t_ms":9,"event":"stats","packets_received":7,"late_offers_dropped":1000}"#);
        assert_eq!(
            stats.event,
            Event::Stats(Stats { packets_received: 7, late_offers_dropped: 1000, ..Stats::default() })
        );
        assert_eq!(parse(r#"{"event":"something_new","x":[1]}"#).event, Event::Other);
        assert!(serde_json::from_str::<Line>("no json").is_err());
    }

    #[test]
    fn a_program_is_read_written_and_ended() {
        let log = std::env::temp_dir().join(format!("offhook-program-{}", std::process::id()));
        let script = "echo '{\"event\":\"joined\",\"join_ms\":1}'; read word; echo \"got $word\"; exit 3";
        let mut program = Program::start(Path::new("/bin/sh"), &["-c".into(), script.into()], &log).unwrap();
        let limit = Duration::from_secs(10);
        assert!(program.line(limit).unwrap().contains("joined"));
        program.send_line("go").unwrap();
        assert_eq!(program.line(limit).unwrap(), "got go");
        assert_eq!(program.wait(limit).unwrap().code(), Some(3));
        assert!(program.line(limit).unwrap_err().contains("ended"));

        let mut hung = Program::start(Path::new("/bin/sleep"), &["60".into()], &log).unwrap();
        assert!(hung.wait(Duration::from_millis(50)).unwrap_err().contains("killed"));
        for extension in ["log", "jsonl"] {
            std::fs::remove_file(log.with_extension(extension)).unwrap();
        }
    }
}
