//! One readable log line per event on stderr, filtered by level.
//!
//! Never receives a token, an ICE password or an SDP.

use std::{
    fmt,
    io::Write,
    str::FromStr,
    time::{Instant, SystemTime},
};

/// Log level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// No output.
    Off,
    /// Problems that need a developer's attention.
    Warn,
    /// Joins and leaves, published tracks, faults set.
    Info,
    /// Every RPC and negotiation.
    Debug,
}

impl FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "off" => Level::Off,
            "warn" => Level::Warn,
            "info" => Level::Info,
            "debug" => Level::Debug,
            other => return Err(format!("unknown log level {other:?}: off, warn, info or debug")),
        })
    }
}

/// Writes lines up to one level.
#[derive(Debug)]
pub struct Log {
    level: Level,
    start: Instant,
}

impl Log {
    pub fn new(level: Level) -> Self {
        Log { level, start: Instant::now() }
    }

    pub fn warn(&self, line: fmt::Arguments<'_>) {
        self.write(Level::Warn, "warn ", line);
    }

    pub fn info(&self, line: fmt::Arguments<'_>) {
        self.write(Level::Info, "info ", line);
    }

    pub fn debug(&self, line: fmt::Arguments<'_>) {
        self.write(Level::Debug, "debug", line);
    }

    fn write(&self, level: Level, name: &str, line: fmt::Arguments<'_>) {
        if level > self.level {
            return;
        }
        let at = self.start.elapsed();
        // A closed stderr must not stop the server.
        let _ = writeln!(
            std::io::stderr().lock(),
            "{:>6}.{:03} {name} {}",
            at.as_secs(),
            at.subsec_millis(),
            OneLine(&line.to_string())
        );
    }
}

/// Text from clients must not forge log lines.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars().take(400) {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// RFC 3339 in UTC with milliseconds, for the JSON of browser clients.
pub fn rfc3339(at: SystemTime) -> String {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil date from days since 1970, using the 400-year cycle that begins in March.
    let z = days as i64 + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60,
        since.subsec_millis()
    )
}

/// Nanoseconds since 1970, for the JSON of native clients.
pub fn unix_nanos(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates() {
        let at = |s| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_735_689_599), "2024-12-31T23:59:59.000Z");
    }

    #[test]
    fn lines_cannot_be_forged() {
        assert_eq!(OneLine("a\nb").to_string(), "a\\nb");
    }
}
