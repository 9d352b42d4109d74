//! RTP sequence numbers without their wrap (RFC 3550 appendix A.1).
//!
//! Must not know: packets, streams.

/// How far `sequence` is ahead of `reference`, along the shorter way; negative if it is behind.
pub fn distance(sequence: u16, reference: u16) -> i64 {
    i64::from(sequence.wrapping_sub(reference) as i16)
}

/// Extends the sequence numbers of one stream to 64 bits. Starts far above 0, so that earlier packets have numbers, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unwrapper {
    newest: Option<i64>,
}

impl Unwrapper {
    /// The extended number: nearest to the newest of those that [`Unwrapper::accept`] has received.
    pub fn extend(&self, sequence: u16) -> i64 {
        let Some(newest) = self.newest else { return (1 << 32) + i64::from(sequence) };
        newest + distance(sequence, newest as u16)
    }

    /// Extends and records it.
    pub fn accept(&mut self, sequence: u16) -> i64 {
        let extended = self.extend(sequence);
        self.newest = Some(self.newest.map_or(extended, |newest| newest.max(extended)));
        extended
    }

    /// The newest number accepted.
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_pass_the_wrap_in_both_directions() {
        let mut numbers = Unwrapper::default();
        let first = numbers.accept(65_534);
        assert_eq!([numbers.accept(1), numbers.accept(65_535), numbers.extend(0)], [first + 3, first + 1, first + 2]);
        assert_eq!(numbers.newest(), Some(first + 3));
        assert_eq!((numbers.extend(1 + 32_767), numbers.extend(1 + 32_768)), (first + 3 + 32_767, first + 3 - 32_768));
        assert_eq!((distance(0, 65_535), distance(65_535, 0), distance(7, 7)), (1, -1, 0));
        for _ in 0..100 {
            let newest = numbers.newest().expect("accepted one") as u16;
            numbers.accept(newest.wrapping_add(30_000));
        }
        assert_eq!(numbers.newest(), Some(first + 3 + 3_000_000));
    }
}
