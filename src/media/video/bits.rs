//! Bit fields: reads and writes them, most significant bit first.
//!
//! Must not know: codecs, packets.

/// Reads bits; every read past the end gives `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// The next `count` (0..=32) bits as a number.
    pub fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0u64;
        for _ in 0..count.min(32) {
            value = value << 1 | u64::from(self.flag()?);
        }
        Some(value as u32)
    }

    /// Skips `count` bits.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        let at = self.at.checked_add(count)?;
        if at > self.bytes.len().checked_mul(8)? {
            return None;
        }
        self.at = at;
        Some(())
    }

    /// An unsigned Exp-Golomb number (H.264 section 9.1; AV1's `uvlc` has the same form).
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        let rest = u64::from(self.bits(zeros)?);
        u32::try_from((1u64 << zeros) - 1 + rest).ok()
    }

    /// A signed Exp-Golomb number.
    pub fn se(&mut self) -> Option<i64> {
        let code = i64::from(self.ue()?);
        Some(if code & 1 == 1 { (code + 1) / 2 } else { -(code / 2) })
    }

    /// A number below `values`, not all of the same length (AV1 section 4.10.7). `values` must not be 0.
    pub fn ns(&mut self, values: u32) -> Option<u32> {
        let width = u32::BITS - values.leading_zeros();
        let short = (1u64 << width) - u64::from(values);
        let value = u64::from(self.bits(width.checked_sub(1)?)?);
        if value < short {
            return Some(value as u32);
        }
        let extra = u64::from(self.flag()?);
        u32::try_from((value << 1) - short + extra).ok()
    }
}

/// Writes bits into a buffer of fixed size; what does not fit is lost and reported.
#[derive(Debug)]
pub(super) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    at: usize,
    overflow: bool,
}

impl<'a> BitWriter<'a> {
    /// `bytes` must be zero.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0, overflow: false }
    }

    pub fn flag(&mut self, value: bool) {
        match self.bytes.get_mut(self.at / 8) {
            Some(byte) => *byte |= u8::from(value) << (7 - self.at % 8),
            None => self.overflow = true,
        }
        self.at += 1;
    }

    /// The lowest `count` (0..=32) bits of `value`.
    pub fn bits(&mut self, count: u32, value: u32) {
        for bit in (0..count.min(32)).rev() {
            self.flag(value >> bit & 1 == 1);
        }
    }

    /// `value` below `values`, as [`Bits::ns`] reads it.
    pub fn ns(&mut self, values: u32, value: u32) {
        let width = u32::BITS - values.leading_zeros();
        let short = (1u64 << width) - u64::from(values);
        if u64::from(value) < short {
            self.bits(width.saturating_sub(1), value);
        } else {
            self.bits(width, (u64::from(value) + short) as u32);
        }
    }

    /// Bytes written, the last one padded with zeros; `None` if they did not fit.
    pub fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.at.div_ceil(8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_written_and_the_end_is_an_end() {
        let mut bytes = [0; 16];
        let mut writer = BitWriter::new(&mut bytes);
        writer.flag(true);
        writer.bits(13, 0x1abc);
        for values in [1, 2, 3, 5, 9, 10] {
            (0..values).for_each(|value| writer.ns(values, value));
        }
        let length = writer.finish().expect("it fits");
        let mut reader = Bits::new(&bytes[..length]);
        assert_eq!((reader.flag(), reader.bits(13)), (Some(true), Some(0x1abc)));
        for values in [1, 2, 3, 5, 9, 10] {
            (0..values).for_each(|value| assert_eq!(reader.ns(values), Some(value)));
        }
        assert_eq!((reader.bits(32), reader.skip(usize::MAX)), (None, None));
        assert_eq!(BitWriter::new(&mut []).finish(), Some(0));
        let mut full = [0; 1];
        let mut writer = BitWriter::new(&mut full);
        writer.bits(9, 0);
        assert_eq!(writer.finish(), None);
    }

    #[test]
    fn exp_golomb() {
        // 1, 010, 011, 00100, 00101
        let mut reader = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([reader.ue(), reader.ue(), reader.ue(), reader.ue()], [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(reader.se(), Some(-2));
        assert_eq!(Bits::new(&[0; 40]).ue(), None);
        assert_eq!(Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]).ue(), Some(u32::MAX - 1));
    }
}
