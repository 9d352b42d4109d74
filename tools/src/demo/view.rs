//! Display of the running demo: participants, levels as bars, events.
//!
//! On a terminal it redraws a block of lines in place; elsewhere it prints plain lines. Pure text: the caller prints
//! it. Must not know: processes.

use std::{collections::BTreeMap, collections::VecDeque, fmt::Write};

const BAR: usize = 40;
const NEWS: usize = 8;

/// A participant on the screen.
#[derive(Clone, Debug, Default)]
struct Seat {
    inside: bool,
    note: String,
    level: f64,
}

/// State of the screen.
#[derive(Debug)]
pub struct View {
    ansi: bool,
    total_s: f64,
    banner: String,
    /// Name of the counter, current value, and final value.
    counter: Option<(String, u64, u64)>,
    seats: BTreeMap<String, Seat>,
    news: VecDeque<String>,
    unprinted: Vec<String>,
    drawn: usize,
}

impl View {
    /// `ansi`: draw in place; `total_s`: length of the run, for the progress bar.
    pub fn new(ansi: bool, total_s: f64) -> Self {
        let (seats, news) = (BTreeMap::new(), VecDeque::new());
        View { ansi, total_s, banner: String::new(), counter: None, seats, news, unprinted: Vec::new(), drawn: 0 }
    }

    fn seat(&mut self, name: &str) -> &mut Seat {
        // Names come from the network: control characters could move the cursor.
        let name: String = name.chars().filter(|c| !c.is_control()).take(12).collect();
        self.seats.entry(name).or_default()
    }

    pub fn enter(&mut self, name: &str, note: &str) {
        let seat = self.seat(name);
        seat.inside = true;
        seat.note = note.to_owned();
    }

    pub fn leave(&mut self, name: &str) {
        let seat = self.seat(name);
        *seat = Seat { note: "left".to_owned(), ..Seat::default() };
    }

    pub fn note(&mut self, name: &str, note: &str) {
        self.seat(name).note = note.to_owned();
    }

    /// One line above the participants: the state of the nodes.
    pub fn banner(&mut self, text: &str) {
        self.banner = text.to_owned();
    }

    /// Updates a counter, `at` seconds into the run: a bar on a terminal, elsewhere a line whenever it has grown. Zero
    /// is not shown.
    pub fn count(&mut self, at: f64, what: &str, done: u64, of: u64) {
        let before = self.counter.as_ref().map_or(0, |c| c.1);
        if done <= before {
            return;
        }
        self.counter = Some((what.to_owned(), done, of));
        if !self.ansi || done >= of && before < of {
            self.say(at, &format!("{what}: {done} of {of}"));
        }
    }

    /// `level` is 0 to 1 as received by the other participants; shown on a scale from -50 dB to 0 dB.
    pub fn level(&mut self, name: &str, level: f64) {
        let db = 20.0 * level.clamp(1e-4, 1.0).log10();
        self.seat(name).level = (1.0 + db / 50.0).clamp(0.0, 1.0);
    }

    /// Records an event, `at` seconds into the run.
    pub fn say(&mut self, at: f64, what: &str) {
        let what: String = what.chars().filter(|c| !c.is_control()).take(160).collect();
        let line = format!("{at:6.2} s  {what}");
        self.unprinted.push(line.clone());
        self.news.push_back(line);
        if self.news.len() > NEWS {
            self.news.pop_front();
        }
    }

    /// Text to print now. On a terminal it replaces the previous one; bars decay between calls.
    pub fn draw(&mut self, at: f64) -> String {
        let mut out = String::new();
        if !self.ansi {
            for line in self.unprinted.drain(..) {
                let _ = writeln!(out, "{line}");
            }
            return out;
        }
        self.unprinted.clear();
        if self.drawn > 0 {
            let _ = write!(out, "\x1b[{}A\x1b[J", self.drawn);
        }
        let done = ((at / self.total_s).clamp(0.0, 1.0) * BAR as f64) as usize;
        let mut lines =
            vec![format!("  {:<14}[{}{}] {at:4.1} s", "the call", "=".repeat(done), " ".repeat(BAR - done))];
        if !self.banner.is_empty() {
            lines.push(format!("  {}", self.banner));
        }
        if let Some((what, done, of)) = &self.counter {
            let full = (BAR as u64 * *done.min(of) / (*of).max(1)) as usize;
            let bar = format!("\x1b[36m{}\x1b[0m{}", "■".repeat(full), " ".repeat(BAR - full));
            lines.push(format!("  {:<14}[{bar}] {done} of {of} {what}", "late offers"));
        }
        lines.push(String::new());
        for (name, seat) in &mut self.seats {
            let full = (seat.level * BAR as f64).round() as usize;
            let colour = if seat.level > 0.85 { 33 } else { 32 };
            let sign = if seat.inside { "\x1b[32m●\x1b[0m" } else { "○" };
            lines.push(format!(
                "{sign} {name:<14}[\x1b[{colour}m{}\x1b[0m{}] {}",
                "█".repeat(full),
                " ".repeat(BAR - full),
                seat.note
            ));
            seat.level *= 0.7;
        }
        lines.push(String::new());
        lines.extend(self.news.iter().map(|l| format!("\x1b[2m{l}\x1b[0m")));
        self.drawn = lines.len();
        for line in lines {
            let _ = writeln!(out, "{line}");
        }
        out
    }

    /// One plain line of levels, where redrawing is not possible; empty on a terminal.
    pub fn status(&mut self, at: f64) -> String {
        if self.ansi {
            return String::new();
        }
        let mut out = format!("{at:6.2} s ");
        for (name, seat) in &self.seats {
            let full = (seat.level * 10.0).round() as usize;
            let bar = format!("{}{}", "#".repeat(full), ".".repeat(10 - full));
            let _ = write!(out, "  {name} {}", if seat.inside { bar } else { "(out)     ".to_owned() });
            if !self.banner.is_empty() {
                let _ = write!(out, " ({})", seat.note);
            }
        }
        if !self.banner.is_empty() {
            let _ = write!(out, "  {}", self.banner);
        }
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_lines_come_once_and_in_order() {
        let mut view = View::new(false, 10.0);
        view.enter("alice", "talks");
        view.level("alice", 1.0);
        view.say(0.5, "alice joined");
        view.say(0.6, "bob joined");
        assert_eq!(view.draw(1.0), "  0.50 s  alice joined\n  0.60 s  bob joined\n");
        assert_eq!(view.draw(1.1), "");
        assert!(view.status(1.0).contains("alice ##########"));
        view.banner("node 0 is dead");
        assert!(view.status(1.0).ends_with("(talks)  node 0 is dead\n"));
    }

    #[test]
    fn what_is_counted_is_shown_as_it_grows() {
        let mut plain = View::new(false, 10.0);
        for done in [0, 300, 300, 200, 1003] {
            plain.count(1.0, "dropped", done, 1000);
        }
        assert_eq!(plain.draw(1.0), "  1.00 s  dropped: 300 of 1000\n  1.00 s  dropped: 1003 of 1000\n");
        let mut terminal = View::new(true, 10.0);
        assert!(!terminal.draw(0.0).contains("late offers"));
        terminal.count(1.0, "dropped", 500, 1000);
        let half = terminal.draw(1.0);
        assert!(half.contains("] 500 of 1000 dropped") && half.contains(&"■".repeat(BAR / 2)), "{half}");
        assert!(!half.contains("dropped: 500"), "{half}");
        terminal.count(1.0, "dropped", 1003, 1000);
        assert!(terminal.draw(1.0).contains(&format!("{}\x1b[0m]", "■".repeat(BAR))));
        terminal.count(1.0, "dropped", 5, 0);
        terminal.draw(1.0);
    }

    #[test]
    fn a_terminal_is_redrawn_in_place_and_never_by_the_network() {
        let mut view = View::new(true, 10.0);
        view.enter("alice\x1b[2J", "talks");
        for n in 0..50 {
            view.say(f64::from(n), "news\x1b[31m\n");
        }
        let first = view.draw(0.0);
        let second = view.draw(5.0);
        assert!(!first.contains("\x1b[2J") && !first.contains("\x1b[31m"));
        assert!(second.starts_with(&format!("\x1b[{}A", first.lines().count())));
        assert_eq!(first.matches("news").count(), NEWS);
        assert!(view.status(1.0).is_empty());
    }

    #[test]
    fn levels_are_decibels() {
        let mut view = View::new(false, 10.0);
        view.level("a", 0.0);
        view.level("b", 0.0562);
        view.level("c", 9.0);
        let shown: Vec<f64> = view.seats.values().map(|s| s.level).collect();
        assert!(shown[0] == 0.0 && (shown[1] - 0.5).abs() < 0.01 && shown[2] == 1.0, "{shown:?}");
    }
}
