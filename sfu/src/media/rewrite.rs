//! Rewrites sequence numbers and timestamps of one outgoing stream whose source may change.
//!
//! The receiver sees one continuous stream while sources (simulcast layers, a migrated publisher) change.

use std::time::Instant;

/// Maps a source's numbering to the outgoing numbering.
#[derive(Debug, Default)]
pub struct Rewrite {
    source: Option<u64>,
    base_in: u64,
    base_out: u64,
    shift: u32,
    newest: Option<(u64, u32, Instant)>,
}

impl Rewrite {
    /// The next packet belongs to another track with its own numbering, even if it is from the same publisher.
    pub fn leave_source(&mut self) {
        self.source = None;
    }

    /// Returns the outgoing (extended sequence number, timestamp) of a packet, or `None` if it is too late.
    ///
    /// `source` identifies the incoming stream. `clock` is its RTP clock rate in Hz.
    pub fn map(&mut self, source: u64, seq: u64, timestamp: u32, now: Instant, clock: u32) -> Option<(u64, u32)> {
        if self.source != Some(source) {
            self.source = Some(source);
            self.base_in = seq;
            match self.newest {
                // Start below 2^15: the receiver assumes a rollover counter of zero.
                None => (self.base_out, self.shift) = (u64::from(fastrand::u16(1..0x7fff)), 0),
                Some((out, at, when)) => {
                    self.base_out = out + 1;
                    let gap = now.saturating_duration_since(when).as_secs_f64() * f64::from(clock);
                    self.shift = at.wrapping_add((gap as u32).max(1)).wrapping_sub(timestamp);
                }
            }
        }
        let out = self.base_out + seq.checked_sub(self.base_in)?;
        let at = timestamp.wrapping_add(self.shift);
        if self.newest.is_none_or(|(newest, ..)| out > newest) {
            self.newest = Some((out, at, now));
        }
        Some((out, at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn sources_join_without_a_seam() {
        let (mut rewrite, now) = (Rewrite::default(), Instant::now());
        let (a, t) = rewrite.map(1, 1000, 5000, now, 48_000).unwrap();
        assert_eq!(rewrite.map(1, 1002, 6920, now, 48_000), Some((a + 2, t + 1920)));
        assert_eq!(rewrite.map(1, 1001, 5960, now, 48_000), Some((a + 1, t + 960)), "reordering survives");
        let later = now + Duration::from_millis(20);
        assert_eq!(rewrite.map(2, 9, 1, later, 48_000), Some((a + 3, t + 1920 + 960)));
        assert_eq!(rewrite.map(2, 8, 1, later, 48_000), None);
        // Another track of the same publisher, with lower numbers.
        rewrite.leave_source();
        assert_eq!(rewrite.map(2, 3, 1, later, 48_000).map(|(out, _)| out), Some(a + 4));
    }
}
