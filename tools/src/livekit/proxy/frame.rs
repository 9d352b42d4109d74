//! WebSocket frames as bytes: decoded and encoded, so that invalid ones can be made as well.
//!
//! Pure. Must not know: messages, sockets. The proxy forwards the handshake without its extensions.

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;

/// One frame, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn whole(opcode: u8, payload: Vec<u8>) -> Self {
        Frame { fin: true, opcode, payload }
    }

    pub fn close(code: u16, reason: &str) -> Self {
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend_from_slice(reason.as_bytes());
        payload.truncate(125);
        Frame::whole(CLOSE, payload)
    }

    /// Encodes the frame; frames to a server are masked.
    pub fn encode(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut out = header(self.fin, self.opcode, self.payload.len() as u64, mask.is_some());
        match mask {
            None => out.extend_from_slice(&self.payload),
            Some(mask) => {
                out.extend_from_slice(&mask);
                out.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
            }
        }
        out
    }
}

/// The header of a frame; `length` need not match the payload.
pub fn header(fin: bool, opcode: u8, length: u64, masked: bool) -> Vec<u8> {
    let mut out = vec![(u8::from(fin) << 7) | (opcode & 0xf)];
    let mask = u8::from(masked) << 7;
    match length {
        0..=125 => out.push(mask | length as u8),
        126..=0xffff => {
            out.push(mask | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out
}

/// Takes one frame from the front of `buffer`; None if it is incomplete.
pub fn take(buffer: &mut Vec<u8>, limit: u64) -> Result<Option<Frame>, String> {
    let [first, second, ..] = buffer[..] else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("a frame with reserved bits: extensions are not supported".to_owned());
    }
    let (mut at, length) = match second & 0x7f {
        126 => match buffer.get(2..4) {
            Some(bytes) => (4, u64::from(u16::from_be_bytes([bytes[0], bytes[1]]))),
            None => return Ok(None),
        },
        127 => match buffer.get(2..10).and_then(|b| b.try_into().ok()) {
            Some(bytes) => (10, u64::from_be_bytes(bytes)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    if length > limit {
        return Err(format!("a frame of {length} bytes"));
    }
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(bytes) = buffer.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()) else {
            return Ok(None);
        };
        mask = Some(bytes);
        at += 4;
    }
    let end = at + length as usize;
    let Some(payload) = buffer.get(at..end) else { return Ok(None) };
    let mut payload = payload.to_vec();
    if let Some(mask) = mask {
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(b, m)| *b ^= m);
    }
    buffer.drain(..end);
    Ok(Some(Frame { fin: first & 0x80 != 0, opcode: first & 0xf, payload }))
}

/// Assembles fragments.
#[derive(Debug, Default)]
pub struct Assembler {
    begun: Option<Frame>,
}

impl Assembler {
    /// Takes a frame and returns what is complete: a message, or a control frame immediately.
    pub fn push(&mut self, frame: Frame, limit: u64) -> Result<Option<Frame>, String> {
        if frame.opcode >= CLOSE {
            return Ok(Some(frame));
        }
        let mut whole = match (self.begun.take(), frame.opcode) {
            (None, CONTINUATION) => return Err("a continuation frame without a message".to_owned()),
            (None, _) => frame,
            (Some(mut begun), CONTINUATION) => {
                begun.payload.extend_from_slice(&frame.payload);
                begun.fin = frame.fin;
                begun
            }
            (Some(_), _) => return Err("a new message inside a fragmented one".to_owned()),
        };
        if whole.payload.len() as u64 > limit {
            return Err("a message too long".to_owned());
        }
        if whole.fin {
            whole.fin = true;
            return Ok(Some(whole));
        }
        self.begun = Some(whole);
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went() {
        for size in [0, 1, 125, 126, 0xffff, 0x10000] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let frame = Frame::whole(BINARY, (0..size).map(|i| i as u8).collect());
                let bytes = frame.encode(mask);
                let mut short = bytes[..bytes.len() - 1].to_vec();
                assert_eq!(take(&mut short, 1 << 20).unwrap(), None);
                let mut buffer = bytes;
                buffer.extend_from_slice(b"more");
                assert_eq!(take(&mut buffer, 1 << 20).unwrap(), Some(frame));
                assert_eq!(buffer, b"more");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert!(take(&mut vec![0xc2, 0], 10).is_err());
        assert!(take(&mut header(true, BINARY, 11, false), 10).is_err());
        let mut assembler = Assembler::default();
        assert!(assembler.push(Frame::whole(CONTINUATION, vec![]), 10).is_err());
    }

    #[test]
    fn fragments_become_a_message_around_control_frames() {
        let mut assembler = Assembler::default();
        let part = |fin, opcode, text: &[u8]| Frame { fin, opcode, payload: text.to_vec() };
        assert_eq!(assembler.push(part(false, TEXT, b"a"), 10).unwrap(), None);
        let close = Frame::close(1000, "bye");
        assert_eq!(assembler.push(close.clone(), 10).unwrap(), Some(close));
        assert_eq!(assembler.push(part(true, CONTINUATION, b"b"), 10).unwrap(), Some(part(true, TEXT, b"ab")));
    }
}
