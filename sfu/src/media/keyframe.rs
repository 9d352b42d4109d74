//! Detects whether an RTP payload starts a key frame, per codec.
//!
//! Reads only a few bytes. An unreadable payload is not a key frame.

use str0m::format::Codec;

/// True if decoding can start with the frame that this packet belongs to.
pub fn is_keyframe(codec: Codec, payload: &[u8]) -> bool {
    match codec {
        Codec::Vp8 => vp8(payload).unwrap_or(false),
        Codec::Vp9 => vp9(payload).unwrap_or(false),
        Codec::H264 => h264(payload).unwrap_or(false),
        // N bit of the aggregation header: first packet of a coded video sequence.
        Codec::Av1 => payload.first().is_some_and(|b| b & 0x08 != 0),
        _ => false,
    }
}

/// RFC 7741 section 4.2: descriptor, then the inverse key frame flag of the payload header.
fn vp8(p: &[u8]) -> Option<bool> {
    let first = *p.first()?;
    if first & 0x10 == 0 || first & 0x07 != 0 {
        return Some(false);
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        let x = *p.get(at)?;
        at += 1;
        if x & 0x80 != 0 {
            at += if *p.get(at)? & 0x80 != 0 { 2 } else { 1 };
        }
        if x & 0x40 != 0 {
            at += 1;
        }
        if x & 0x30 != 0 {
            at += 1;
        }
    }
    Some(p.get(at)? & 0x01 == 0)
}

/// RFC 9628 section 4.2: begins a frame, not inter-picture predicted, lowest spatial layer.
fn vp9(p: &[u8]) -> Option<bool> {
    let first = *p.first()?;
    if first & 0x40 != 0 || first & 0x08 == 0 {
        return Some(false);
    }
    if first & 0x20 == 0 {
        return Some(true);
    }
    let mut at = 1;
    if first & 0x80 != 0 {
        at += if *p.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    Some((p.get(at)? >> 1) & 0x07 == 0)
}

/// RFC 6184: IDR slice or parameter sets, alone, aggregated or as the first fragment.
fn h264(p: &[u8]) -> Option<bool> {
    let key = |nal: u8| matches!(nal & 0x1f, 5 | 7);
    match p.first()? & 0x1f {
        24 => {
            let mut at = 1;
            while at + 2 < p.len() {
                if key(p[at + 2]) {
                    return Some(true);
                }
                at += 2 + usize::from(u16::from_be_bytes([p[at], p[at + 1]]));
            }
            Some(false)
        }
        28 | 29 => {
            let fu = *p.get(1)?;
            Some(fu & 0x80 != 0 && key(fu))
        }
        _ => Some(key(p[0])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_packets() {
        assert!(is_keyframe(Codec::Vp8, &[0x10, 0x00]));
        assert!(!is_keyframe(Codec::Vp8, &[0x10, 0x01]));
        assert!(is_keyframe(Codec::Vp8, &[0x90, 0x80, 0x81, 0x02, 0x10]));
        assert!(is_keyframe(Codec::H264, &[0x67, 1, 2]));
        assert!(is_keyframe(Codec::H264, &[0x7c, 0x85]));
        assert!(!is_keyframe(Codec::H264, &[0x7c, 0x05]));
        assert!(is_keyframe(Codec::Vp9, &[0x08]));
        assert!(is_keyframe(Codec::Av1, &[0x18]));
    }

    #[test]
    fn garbage_is_no_keyframe_and_no_panic() {
        let mut random = fastrand::Rng::with_seed(1);
        for codec in [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1, Codec::Opus] {
            assert!(!is_keyframe(codec, &[]));
            for _ in 0..20_000 {
                let bytes: Vec<u8> = (0..random.usize(0..9)).map(|_| random.u8(..)).collect();
                let _ = is_keyframe(codec, &bytes);
            }
        }
    }
}
