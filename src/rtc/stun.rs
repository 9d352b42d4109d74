//! Reads STUN messages (RFC 8489) and TURN's (RFC 8656), as far as they are used outside of the engine.
//!
//! Pure; nothing here panics on any bytes. Must not know: sockets, who sent a message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
pub const HEADER: usize = 20;
/// The header of a TURN channel's data (RFC 8656 section 12.4).
pub const CHANNEL_HEADER: usize = 4;

/// The type of a message; `None` if it is not STUN.
pub fn message_type(datagram: &[u8]) -> Option<u16> {
    (datagram.len() >= HEADER && datagram[4..8] == COOKIE).then(|| u16::from_be_bytes([datagram[0], datagram[1]]))
}

/// The transaction id of a response.
pub fn transaction(datagram: &[u8]) -> Option<[u8; 12]> {
    message_type(datagram).filter(|kind| kind & 0x0100 != 0)?;
    datagram[8..HEADER].try_into().ok()
}

/// The attributes of a message: type and value (RFC 8489 section 14).
pub fn attributes(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram.get(HEADER..).unwrap_or_default();
    std::iter::from_fn(move || {
        let [a, b, c, d, ..] = *rest else { return None };
        let length = usize::from(u16::from_be_bytes([c, d]));
        let value = rest.get(4..4 + length)?;
        rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_be_bytes([a, b]), value))
    })
}

/// The code of an error response (section 14.8), 0 if there is none.
pub fn error_code(datagram: &[u8]) -> u16 {
    let mut codes = attributes(datagram).filter(|(kind, value)| *kind == 0x0009 && value.len() >= 4);
    codes.next().map_or(0, |(_, value)| u16::from(value[2] & 7) * 100 + u16::from(value[3]))
}

/// The mapped address in a binding success response (sections 14.1 and 14.2).
pub fn mapped(datagram: &[u8]) -> Option<SocketAddr> {
    if datagram.get(..2)? != [1, 1] {
        return None;
    }
    let key: [u8; 16] = datagram.get(4..HEADER)?.try_into().ok()?;
    let mut plain = None;
    for (kind, value) in attributes(datagram) {
        match kind {
            0x0020 => return address(value, &key),
            0x0001 => plain = address(value, &[0; 16]),
            _ => {}
        }
    }
    plain
}

fn address(value: &[u8], key: &[u8; 16]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes([value.get(2)? ^ key[0], value.get(3)? ^ key[1]]);
    let unmasked = |n: usize| -> Option<Vec<u8>> {
        Some(value.get(4..4 + n)?.iter().zip(key).map(|(byte, key)| byte ^ key).collect())
    };
    let ip = match value.get(1)? {
        1 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(unmasked(4)?).ok()?)),
        2 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(unmasked(16)?).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Whether a check is meant for the agent with this user name fragment and nominates its pair: a binding request with
/// USE-CANDIDATE (RFC 8445 sections 7.2.2 and 16.1).
pub fn nominates(datagram: &[u8], ufrag: &str) -> bool {
    let is_addressed = |user: &[u8]| user.strip_prefix(ufrag.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
    datagram.starts_with(&[0, 1])
        && attributes(datagram).any(|(kind, _)| kind == 0x0025)
        && attributes(datagram).any(|(kind, user)| kind == 0x0006 && !ufrag.is_empty() && is_addressed(user))
}

/// Bytes of a stream that are neither a message nor channel data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFramed;

/// The length of the message or channel data at the start of a stream, with its padding on a stream (RFC 8656
/// section 12.5); and how much of it is the datagram. `Ok(None)`: more bytes are needed to know it.
///
/// # Errors
/// These bytes are neither.
pub fn framed(bytes: &[u8]) -> Result<Option<(usize, usize)>, NotFramed> {
    let [a, _, c, d, ..] = *bytes else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([c, d]));
    match a >> 6 {
        0 if length % 4 == 0 => match bytes.get(4..8) {
            Some(cookie) if *cookie != COOKIE => Err(NotFramed),
            Some(_) => Ok(Some((HEADER + length, HEADER + length))),
            None => Ok(None),
        },
        1 => Ok(Some(((CHANNEL_HEADER + length).next_multiple_of(4), CHANNEL_HEADER + length))),
        _ => Err(NotFramed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nominating_check_is_recognised() {
        let message = |kind: [u8; 2], attributes: &[u8]| [&kind[..], &[0; 18], attributes].concat();
        let (user, nomination) = ([0, 6, 0, 3, b'a', b':', b'b', 0], [0, 0x25, 0, 0]);
        let both = [&user[..], &nomination].concat();
        let nominates_a = |kind: [u8; 2], attributes: &[u8]| nominates(&message(kind, attributes), "a");
        assert!(nominates_a([0, 1], &both));
        assert!(!nominates_a([0, 1], &user) && !nominates_a([0, 1], &nomination) && !nominates_a([1, 1], &both));
        // For another agent, and without a user name fragment.
        assert!(!nominates(&message([0, 1], &both), "ab") && !nominates(&message([0, 1], &both), ""));
        // A value that looks like the attribute, and wrong lengths.
        assert!(!nominates_a([0, 1], &[0, 6, 0, 4, 0, 0x25, 0, 0]));
        assert!(!nominates_a([0, 1], &[0, 6, 0, 9, 0, 0x25, 0, 0]) && !nominates(&[0, 1, 0, 0], "a"));
    }

    #[test]
    fn messages_on_a_stream_are_distinguished_by_their_first_bits() {
        let message = [&[0, 1, 0, 8][..], &COOKIE, &[0; 12], &[0; 8]].concat();
        assert_eq!(framed(&message), Ok(Some((28, 28))));
        assert_eq!(framed(&message[..8]), Ok(Some((28, 28))));
        // Channel data is padded, and its length does not count the padding.
        assert_eq!(framed(&[0x40, 0, 0, 5]), Ok(Some((12, 9))));
        for short in 0..8 {
            assert_eq!(framed(&message[..short]), Ok(None), "{short} bytes");
        }
        assert_eq!(framed(&[0, 1, 0, 7, 0x21, 0x12, 0xa4, 0x42]), Err(NotFramed));
        assert_eq!(framed(&[0, 1, 0, 8, 1, 2, 3, 4]), Err(NotFramed));
        assert_eq!(framed(b"HTTP/1.1"), Ok(Some(((4 + 0x5450_usize).next_multiple_of(4), 4 + 0x5450))));
        assert_eq!(framed(&[0x80, 0, 0, 0]), Err(NotFramed));
    }

    #[test]
    fn no_bytes_panic() {
        let mut state = 9u32;
        for length in 0..200usize {
            let mut bytes = vec![1, 1, 0, 0];
            bytes.extend(COOKIE);
            for _ in 0..length {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                bytes.push((state >> 24) as u8 & [0xff, 0x23, 3][length % 3]);
            }
            let _ = (mapped(&bytes), transaction(&bytes), error_code(&bytes), framed(&bytes), nominates(&bytes, "a"));
        }
    }
}
