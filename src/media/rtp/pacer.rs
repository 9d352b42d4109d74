//! A 20 ms grid on the caller's clock: when the next tick is, and how many are due.
//!
//! Must not know: what is done at a tick, or where the time comes from.

use std::time::Duration;

/// Length of one tick.
pub const TICK: Duration = Duration::from_millis(20);

/// Result of [`Pacer::poll`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Ticks to run now, 0..=catch-up.
    pub ticks: u32,
    /// Ticks skipped because the caller was too late; media time advances over them without packets (see
    /// `FrameSource::pass`).
    pub skipped: u64,
}

/// Paces one or more tracks. The grid is anchored at the first tick, so a late tick does not shift the next one; only a
/// pause longer than the catch-up moves the grid.
#[derive(Clone, Debug)]
pub struct Pacer {
    next: Duration,
    catch_up: u32,
}

impl Pacer {
    /// A grid whose first tick is at `first`. At most `catch_up` (at least 1) ticks are due at once: a longer burst is
    /// useless, because the receiver has concealed the older ticks by then.
    pub fn new(first: Duration, catch_up: u32) -> Self {
        Self { next: first, catch_up: catch_up.max(1) }
    }

    /// When to call [`Pacer::poll`] next.
    pub fn next_tick(&self) -> Duration {
        self.next
    }

    /// The ticks due at `now`; they count as done. If `now` went backwards, none is due.
    pub fn poll(&mut self, now: Duration) -> Due {
        let Some(late) = now.checked_sub(self.next) else { return Due::default() };
        let due = late.as_nanos() / TICK.as_nanos() + 1;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        if due > u64::from(self.catch_up) {
            // Re-anchored at `now`: the old phase is meaningless after a pause.
            self.next = now.saturating_add(TICK);
            return Due { ticks: self.catch_up, skipped: due - u64::from(self.catch_up) };
        }
        // due <= catch_up, a u32.
        self.next = self.next.saturating_add(TICK * due as u32);
        Due { ticks: due as u32, skipped: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn lateness_does_not_accumulate() {
        let mut pacer = Pacer::new(ms(100), 3);
        assert_eq!(pacer.poll(ms(99)), Due::default());
        let mut ticks = 0;
        for step in 0..1_000u64 {
            // Polled between 0 and 13 ms late each time.
            ticks += pacer.poll(pacer.next_tick() + ms(step * 7 % 14)).ticks;
        }
        assert_eq!(ticks, 1_000);
        assert_eq!(pacer.next_tick(), ms(100 + 20 * 1_000));
    }

    #[test]
    fn catches_up_a_little_and_re_anchors_after_a_pause() {
        let mut pacer = Pacer::new(ms(0), 3);
        assert_eq!(pacer.poll(ms(45)), Due { ticks: 3, skipped: 0 });
        assert_eq!(pacer.next_tick(), ms(60));
        assert_eq!(pacer.poll(ms(1_065)), Due { ticks: 3, skipped: 48 });
        assert_eq!(pacer.next_tick(), ms(1_085));
        assert_eq!(pacer.poll(ms(1_065)), Due::default());
    }

    #[test]
    fn the_ends_of_time_are_survived() {
        let mut pacer = Pacer::new(Duration::ZERO, 0);
        let due = pacer.poll(Duration::MAX);
        assert_eq!(due.ticks, 1);
        assert_eq!(pacer.next_tick(), Duration::MAX);
        pacer.poll(Duration::MAX);
        pacer.poll(Duration::ZERO);
    }
}
