//! A queue of samples that is read and written as slices.
//!
//! Must not know: channels, rates. Its users count in frames and bound the content.

/// Samples in order of arrival. Allocates only until it has reached its largest content; an unused queue takes no
/// memory.
#[derive(Debug, Default)]
pub(super) struct Fifo {
    samples: Vec<f32>,
    /// Samples before this one have been read.
    head: usize,
    /// Largest content, set by the user; 0 if unknown.
    most: usize,
}

impl Fifo {
    /// For content of at most `samples` samples.
    pub fn of_at_most(samples: usize) -> Self {
        Self { most: samples, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.samples.len() - self.head
    }

    pub fn clear(&mut self) {
        self.samples.clear();
        self.head = 0;
    }

    pub fn as_slice(&self) -> &[f32] {
        &self.samples[self.head..]
    }

    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.samples[self.head..]
    }

    /// Discards the oldest `count` samples, or all of them if there are fewer.
    pub fn consume(&mut self, count: usize) {
        self.head = (self.head + count).min(self.samples.len());
        if self.head == self.samples.len() {
            self.clear();
        }
    }

    /// Makes room for `count` more.
    fn reserve(&mut self, count: usize) {
        // Moving the remaining samples is cheaper than growing, and keeps the buffer as small as its content. By moving
        // as soon as no more is moved than was read since, the cost is low and only the front of the memory is ever
        // touched.
        let full = self.samples.len() + count > self.samples.capacity();
        if self.head > 0 && (full || self.head >= self.len()) {
            self.samples.copy_within(self.head.., 0);
            self.samples.truncate(self.samples.len() - self.head);
            self.head = 0;
        }
        let needed = self.samples.len() + count;
        if needed > self.samples.capacity() {
            // Few bytes stay unused, and a long buffer does not grow in many steps.
            let capacity = (self.samples.capacity() / 4 * 5).min(self.most).max(needed);
            self.samples.reserve_exact(capacity - self.samples.len());
        }
    }

    /// Appends the items of `samples`, at most `count`.
    pub fn extend(&mut self, count: usize, samples: impl Iterator<Item = f32>) {
        self.reserve(count);
        self.samples.extend(samples.take(count));
    }

    /// Appends `samples`.
    pub fn append(&mut self, samples: &[f32]) {
        self.reserve(samples.len());
        self.samples.extend_from_slice(samples);
    }

    /// Appends `count` zeros and returns them for writing.
    pub fn grow(&mut self, count: usize) -> &mut [f32] {
        self.reserve(count);
        let start = self.samples.len();
        self.samples.resize(start + count, 0.0);
        &mut self.samples[start..]
    }

    /// Removes the newest `count` samples.
    pub fn shrink(&mut self, count: usize) {
        let len = self.samples.len().saturating_sub(count).max(self.head);
        self.samples.truncate(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_without_growing() {
        let mut fifo = Fifo::of_at_most(64);
        let (mut written, mut read) = (0u32, 0u32);
        for step in 0..10_000usize {
            let count = (step * 7 % 13).min(64 - fifo.len());
            for sample in fifo.grow(count) {
                *sample = written as f32;
                written += 1;
            }
            let take = (step * 5 % 11).min(fifo.len());
            for sample in &fifo.as_slice()[..take] {
                assert_eq!(*sample, read as f32);
                read += 1;
            }
            fifo.consume(take);
        }
        assert!(read > 10_000);
        assert_eq!(fifo.samples.capacity(), 64);
    }

    #[test]
    fn over_consuming_and_over_shrinking_stop_at_empty() {
        let mut fifo = Fifo::default();
        fifo.grow(5);
        fifo.consume(3);
        fifo.shrink(100);
        assert_eq!(fifo.len(), 0);
        fifo.grow(4);
        fifo.consume(100);
        assert_eq!(fifo.len(), 0);
        assert!(fifo.as_slice().is_empty());
    }
}
