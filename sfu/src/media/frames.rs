//! Packets on a TCP connection (RFC 4571), and the user name fragment in a STUN binding request (RFC 8489).
//!
//! Pure. `tcp` does the I/O.

/// Largest packet in a frame: as large as the largest datagram that is read.
pub const MAX_FRAME: usize = 2048;
/// Largest frame of a connection that no peer connection has accepted. Binding requests are much smaller.
pub const MAX_FIRST_FRAME: usize = 1024;

const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const HEADER: usize = 20;
const BINDING_REQUEST: [u8; 2] = [0, 1];
const USERNAME: [u8; 2] = [0, 6];

/// A packet with its length in front. `None` if it is too long for a frame.
pub fn framed(packet: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(packet.len()).ok()?;
    let mut frame = Vec::with_capacity(packet.len() + 2);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(packet);
    Some(frame)
}

/// The receiver's user name fragment in a binding request. `None` if the packet is anything else.
///
/// Its integrity is not checked: that needs the password, which the engine has.
pub fn local_ufrag(packet: &[u8]) -> Option<&str> {
    let header = packet.get(..HEADER)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[..2] != BINDING_REQUEST || header[4..8] != COOKIE || length != packet.len() - HEADER {
        return None;
    }
    let mut rest = &packet[HEADER..];
    while let [kind0, kind1, length0, length1, body @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*length0, *length1]));
        let value = body.get(..length)?;
        if [*kind0, *kind1] == USERNAME {
            let (local, _) = std::str::from_utf8(value).ok()?.split_once(':')?;
            return (!local.is_empty()).then_some(local);
        }
        // Values are padded to four bytes.
        rest = body.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (kind, value) in attributes {
            body.extend(kind.to_be_bytes());
            body.extend((value.len() as u16).to_be_bytes());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        let mut packet = vec![0, 1];
        packet.extend((body.len() as u16).to_be_bytes());
        packet.extend(COOKIE);
        packet.extend([7; 12]);
        packet.extend(body);
        packet
    }

    #[test]
    fn frames_begin_with_their_length() {
        assert_eq!(framed(b"abc").unwrap(), b"\0\x03abc");
        assert_eq!(framed(&[1; 0xffff]).unwrap().len(), 0x1_0001);
        assert!(framed(&[1; 0x1_0000]).is_none());
    }

    #[test]
    fn the_local_fragment_comes_first() {
        assert_eq!(local_ufrag(&request(&[(6, b"local:remote")])), Some("local"));
        assert_eq!(local_ufrag(&request(&[(0x24, &[1, 2, 3]), (6, b"l:r"), (8, &[0; 20])])), Some("l"));
    }

    #[test]
    fn anything_else_has_no_fragment() {
        let good = request(&[(6, b"local:remote"), (8, &[0; 20])]);
        for length in 0..good.len() {
            assert_eq!(local_ufrag(&good[..length]), None, "cut to {length}");
        }
        for at in [0, 1, 2, 4, 7] {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(local_ufrag(&bad), None, "byte {at}");
        }
        for bad in [&b"nocolon"[..], b":remote", b"\xff\xfe:r"] {
            assert_eq!(local_ufrag(&request(&[(6, bad)])), None);
        }
        assert_eq!(local_ufrag(&request(&[])), None);
        // An attribute that claims to be longer than the packet.
        let mut long = request(&[(0x24, &[0; 4]), (6, b"l:r")]);
        long[22] = 0xff;
        assert_eq!(local_ufrag(&long), None);
    }
}
