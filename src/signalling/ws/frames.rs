//! WebSocket framing (RFC 6455 §5), without I/O.
//!
//! Lengths are checked from the header, before any payload is stored: a frame that announces
//! 200 MiB costs its fourteen header bytes. Must not know: sockets, tasks, time.

use super::WsLimits;
use bytes::{Buf, Bytes, BytesMut};
use soketto::{
    base::{Codec, Error as FrameError, Header, OpCode},
    Parsing,
};

/// Longest payload of a control frame (RFC 6455 §5.5).
pub(super) const MAX_CONTROL: usize = 125;

/// The result of parsing the bytes received so far.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// More bytes are needed.
    NeedMore,
    Message {
        text: bool,
        data: Bytes,
    },
    Ping(Bytes),
    Pong,
    /// `None`: the peer gave no code.
    Close {
        code: Option<u16>,
        reason: String,
    },
}

/// A protocol violation by the peer, with its close code.
#[derive(Debug, PartialEq)]
pub(super) struct Violation {
    pub code: u16,
    pub what: &'static str,
    /// Size in bytes, as far as known, of a message that is too large.
    pub size: Option<u64>,
}

const fn protocol(what: &'static str) -> Violation {
    Violation { code: 1002, what, size: None }
}

const fn too_big(size: u64) -> Violation {
    Violation { code: 1009, what: "a message is larger than the limit", size: Some(size) }
}

/// Assembles messages from frames. Must not be used again after a [`Violation`].
pub(super) struct Assembler {
    codec: Codec,
    max_message: usize,
    max_fragments: u32,
    /// The frame being read: missing payload bytes, and whether it ends its message.
    frame: Option<(usize, bool)>,
    /// Whether the message being assembled is text; `None` between messages.
    text: Option<bool>,
    data: BytesMut,
    fragments: u32,
}

impl Assembler {
    pub fn new(limits: &WsLimits) -> Self {
        let mut codec = Codec::new();
        codec.set_max_data_size(limits.max_message.max(MAX_CONTROL));
        Self {
            codec,
            max_message: limits.max_message,
            max_fragments: limits.max_fragments,
            frame: None,
            text: None,
            data: BytesMut::new(),
            fragments: 0,
        }
    }

    /// Consumes bytes from `input`. Call again until it returns [`Step::NeedMore`].
    pub fn step(&mut self, input: &mut BytesMut) -> Result<Step, Violation> {
        loop {
            if let Some((left, last)) = self.frame {
                let taken = left.min(input.len());
                self.data.extend_from_slice(&input[..taken]);
                input.advance(taken);
                if taken < left {
                    self.frame = Some((left - taken, last));
                    return Ok(Step::NeedMore);
                }
                self.frame = None;
                if last {
                    let text = self.text.take().unwrap_or(false);
                    self.fragments = 0;
                    return Ok(Step::Message { text, data: std::mem::take(&mut self.data).freeze() });
                }
            }
            let (header, length) = match self.codec.decode_header(input) {
                Ok(Parsing::Done { value, offset }) => (value, offset),
                Ok(Parsing::NeedMore(_)) => return Ok(Step::NeedMore),
                Err(FrameError::PayloadTooLarge { actual, .. }) => {
                    return Err(too_big(actual.saturating_add(self.data.len() as u64)));
                }
                Err(FrameError::InvalidReservedBit(_)) => return Err(protocol("a reserved bit is set")),
                Err(FrameError::FragmentedControl | FrameError::InvalidControlFrameLen) => {
                    return Err(protocol("a control frame is malformed"));
                }
                Err(_) => return Err(protocol("a frame is malformed")),
            };
            if header.is_masked() {
                return Err(protocol("a server frame is masked"));
            }
            if header.opcode().is_control() {
                if input.len() < length + header.payload_len() {
                    return Ok(Step::NeedMore);
                }
                input.advance(length);
                return control(&header, input.split_to(header.payload_len()).freeze());
            }
            self.begin(&header)?;
            input.advance(length);
            self.frame = Some((header.payload_len(), header.is_fin()));
        }
    }

    /// Checks that a data frame's header fits the message being assembled.
    fn begin(&mut self, header: &Header) -> Result<(), Violation> {
        match (header.opcode(), self.text) {
            (OpCode::Continue, None) => return Err(protocol("a continuation frame without a first frame")),
            (OpCode::Continue, Some(_)) => {}
            (_, Some(_)) => return Err(protocol("a new message starts inside a fragmented one")),
            (opcode, None) => self.text = Some(opcode == OpCode::Text),
        }
        self.fragments += 1;
        if self.fragments > self.max_fragments {
            return Err(Violation { code: 1009, what: "a message has too many fragments", size: None });
        }
        // No overflow: the codec bounds this frame, this check bounds the sum of the earlier ones.
        if self.data.len() + header.payload_len() > self.max_message {
            return Err(too_big((self.data.len() + header.payload_len()) as u64));
        }
        Ok(())
    }
}

fn control(header: &Header, payload: Bytes) -> Result<Step, Violation> {
    match header.opcode() {
        OpCode::Ping => Ok(Step::Ping(payload)),
        OpCode::Pong => Ok(Step::Pong),
        _ if payload.is_empty() => Ok(Step::Close { code: None, reason: String::new() }),
        _ if payload.len() == 1 => Err(protocol("a close code is malformed")),
        _ => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            let reason = String::from_utf8_lossy(&payload[2..]);
            Ok(Step::Close { code: Some(code), reason: crate::signalling::text::clean(&reason, &[]) })
        }
    }
}

/// Appends one unfragmented frame to `out`, masked as a client must (RFC 6455 §5.3).
pub(super) fn encode(opcode: OpCode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    let mut header = Header::new(opcode);
    header.set_masked(true).set_mask(u32::from_be_bytes(mask)).set_payload_len(payload.len());
    out.extend_from_slice(Codec::new().encode_header(&header));
    let start = out.len();
    out.extend_from_slice(payload);
    Codec::apply_mask(&header, &mut out[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn assembler(max_message: usize) -> Assembler {
        Assembler::new(&WsLimits { max_message, max_fragments: 8, ..WsLimits::default() })
    }

    fn all(bytes: &[u8]) -> (Vec<Step>, Option<Violation>) {
        let (mut assembler, mut input, mut steps) = (assembler(1000), BytesMut::from(bytes), Vec::new());
        loop {
            match assembler.step(&mut input) {
                Ok(Step::NeedMore) => return (steps, None),
                Ok(step) => steps.push(step),
                Err(violation) => return (steps, Some(violation)),
            }
        }
    }

    #[test]
    fn fragments_with_a_ping_between() {
        let (steps, bad) = all(b"\x01\x01a\x89\x02hi\x00\x00\x80\x01\xff\x82\x00");
        assert_eq!(bad, None);
        assert_eq!(
            steps,
            [
                Step::Ping(Bytes::from_static(b"hi")),
                Step::Message { text: true, data: Bytes::from_static(b"a\xff") },
                Step::Message { text: false, data: Bytes::new() },
            ]
        );
    }

    #[test]
    fn violations_have_their_codes() {
        for (bytes, code) in [
            (&b"\x80\x00"[..], 1002),
            (b"\x01\x00\x01\x00", 1002),
            (b"\x82\x80\0\0\0\0", 1002),
            (b"\xc2\x00", 1002),
            (b"\x83\x00", 1002),
            (b"\x09\x00", 1002),
            (b"\x89\x7e\x00\x80", 1002),
            (b"\x88\x01\x03", 1002),
            (b"\x82\x7f\0\0\0\0\x0c\x80\0\0", 1009),
            (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 1009),
            (b"\x01\x00\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 1009),
        ] {
            assert_eq!(all(bytes).1.map(|violation| violation.code), Some(code), "{bytes:x?}");
        }
    }

    #[test]
    fn the_sum_of_fragments_is_limited_from_the_header() {
        let mut input = BytesMut::from(&b"\x02\x7e\x03\xe8"[..]);
        input.extend_from_slice(&[7; 1000]);
        input.extend_from_slice(b"\x80\x01");
        let mut assembler = assembler(1000);
        let violation = assembler.step(&mut input).unwrap_err();
        assert_eq!((violation.code, violation.size), (1009, Some(1001)));
    }

    proptest! {
        #[test]
        fn encoded_frames_decode_in_any_chunking(
            payload in proptest::collection::vec(any::<u8>(), 0..900),
            mask in any::<[u8; 4]>(),
            cut in 1usize..64,
        ) {
            let mut wire = Vec::new();
            encode(OpCode::Binary, &payload, mask, &mut wire);
            prop_assert!(wire[1] & 0x80 != 0);
            // Unmask as a server would, so that the client's own decoder accepts it.
            let head = wire.len() - payload.len();
            wire[1] &= 0x7f;
            for (index, byte) in wire[head..].iter_mut().enumerate() {
                *byte ^= mask[index % 4];
            }
            wire.drain(head - 4..head);
            let (mut assembler, mut input, mut found) = (assembler(1000), BytesMut::new(), None);
            for piece in wire.chunks(cut) {
                input.extend_from_slice(piece);
                match assembler.step(&mut input).unwrap() {
                    Step::NeedMore => {}
                    Step::Message { data, .. } => found = Some(data),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
            prop_assert_eq!(found.as_deref(), Some(&payload[..]));
        }

        #[test]
        fn garbage_never_panics_nor_grows(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let (steps, _) = all(&bytes);
            for step in steps {
                if let Step::Message { data, .. } = step {
                    prop_assert!(data.len() <= 1000);
                }
            }
        }
    }
}
