//! Estimates the memory that decoding a protobuf message needs, before it is decoded.
//!
//! Two bytes on the wire (an empty participant) become some 250 in memory, so a frame limit alone
//! would let 1 MiB grow into 128. The scan walks the wire format with a table of the fields that
//! hold messages, sums what decoding would allocate, and allocates nothing itself. Each protocol
//! provides its own table. Must not know: what the fields mean.

/// Most bytes that decoding one message may allocate, excluding its text (bounded by the size of
/// the frame).
const MAX_DECODED: usize = 16 << 20;
/// Most fields of one message, all levels together.
const MAX_FIELDS: usize = 1_000_000;
/// Most participants in one message.
pub(super) const MAX_PARTICIPANTS: usize = 5_000;
/// Deepest nesting. prost itself stops at 100.
pub(super) const MAX_DEPTH: usize = 40;

/// A message type: its size in memory and its fields that hold messages. Fields that are not listed
/// are scalars and text.
pub(super) struct Kind {
    pub size: usize,
    pub fields: &'static [(u32, &'static Kind)],
    /// Counted separately, at most [`MAX_PARTICIPANTS`] of them.
    pub participant: bool,
}

pub(super) const fn leaf(size: usize) -> Kind {
    Kind { size, fields: &[], participant: false }
}

pub(super) const fn node(size: usize, fields: &'static [(u32, &'static Kind)]) -> Kind {
    Kind { size, fields, participant: false }
}

/// Memory for one element of a repeated text or number field.
const SCALAR: usize = size_of::<String>();

/// Why a message is not decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not well formed, or nested too deeply.
    Broken,
    /// Exceeds a limit of this library.
    TooMuch(&'static str),
}

impl Refused {
    /// The text reported to the application for a message of `size` bytes; `None`: nothing is
    /// reported.
    pub fn words(self, size: usize) -> Option<String> {
        match self {
            Refused::Broken => None,
            Refused::TooMuch(what) => Some(format!("an SFU message ({size} bytes) has {what}; it was dropped")),
        }
    }
}

/// Whether the tags and lengths of an encoded message are well formed, and the message is small
/// enough to be decoded.
pub(super) fn check(wire: &[u8], kind: &'static Kind) -> Result<(), Refused> {
    let mut scan = Scan { decoded: 0, fields: 0, participants: 0 };
    match scan.message(wire, kind, 0) {
        Some(()) => Ok(()),
        None => Err(scan.exceeded().map_or(Refused::Broken, Refused::TooMuch)),
    }
}

struct Scan {
    decoded: usize,
    fields: usize,
    participants: usize,
}

impl Scan {
    /// The limit that is exceeded, if any.
    fn exceeded(&self) -> Option<&'static str> {
        match self {
            _ if self.participants > MAX_PARTICIPANTS => Some("more than 5000 participants"),
            _ if self.fields > MAX_FIELDS => Some("more than 1000000 fields"),
            _ if self.decoded > MAX_DECODED => Some("a decoded size above 16 MiB"),
            _ => None,
        }
    }

    fn message(&mut self, mut wire: &[u8], kind: &'static Kind, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        // Vectors grow by doubling: up to twice the size of their elements, three times while they
        // are reallocated.
        self.decoded += 3 * kind.size;
        self.participants += usize::from(kind.participant);
        while !wire.is_empty() {
            self.fields += 1;
            if self.exceeded().is_some() {
                return None;
            }
            let tag = varint(&mut wire)?;
            let field = u32::try_from(tag >> 3).ok().filter(|field| *field != 0)?;
            match tag & 7 {
                0 => {
                    varint(&mut wire)?;
                }
                1 => wire = wire.get(8..)?,
                2 => {
                    let length = usize::try_from(varint(&mut wire)?).ok()?;
                    let (inner, rest) = wire.split_at_checked(length)?;
                    wire = rest;
                    match kind.fields.iter().find(|(number, _)| *number == field) {
                        Some((_, inner_kind)) => self.message(inner, inner_kind, depth + 1)?,
                        // Text, or packed numbers: at most four bytes of memory per byte on the
                        // wire.
                        None => self.decoded += SCALAR,
                    }
                }
                5 => wire = wire.get(4..)?,
                // Groups: not in proto3.
                _ => return None,
            }
        }
        self.exceeded().is_none().then_some(())
    }
}

fn varint(wire: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, byte) in wire.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *wire = &wire[index + 1..];
            return Some(value);
        }
    }
    None
}
