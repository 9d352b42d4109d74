//! Tests of frame encryption.

use super::*;
use crate::media::video::{codec::Size, h264::tests as h264_frames, vp8::tests as vp8_frames};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

/// Random material needs no passphrase's derivation, which is slow in unoptimised tests.
fn ring(index: usize, secret: &[u8]) -> (KeyRing, Key) {
    let config = RingConfig { derivation: Derivation::Hkdf, ..RingConfig::default() };
    let (mut ring, material) = (KeyRing::new(config, b"the server's"), Material::new(secret));
    let key = material.derive(Derivation::Hkdf).expect("a key");
    ring.set(index, material, key.clone());
    (ring, key)
}

fn frames() -> Vec<(FrameKind, Bytes)> {
    let slice: Vec<u8> = [0x65, 0x88].into_iter().chain((0..5_000u32).map(|i| (i % 3) as u8)).collect();
    let h264 = h264_frames::frame(&[&[0x67, 0x42, 0, 0x1e], &[0x68, 1], &slice, &[0x41, 0x9a, 0, 0, 7]]);
    vec![
        (FrameKind::Audio, Bytes::from(vec![7; 80])),
        (FrameKind::Audio, Bytes::from_static(&[7])),
        (FrameKind::Video(Codec::Vp8), Bytes::from(vp8_frames::frame(true, Size::new(640, 360), 3_000))),
        (FrameKind::Video(Codec::Vp8), Bytes::from(vp8_frames::frame(false, Size::default(), 3_000))),
        (FrameKind::Video(Codec::Vp8), Bytes::from_static(&[1, 2, 3])),
        (FrameKind::Video(Codec::Vp9), Bytes::from(vec![0x82; 3_000])),
        (FrameKind::Video(Codec::H264), Bytes::from(h264)),
    ]
}

/// Computed with Python's hashlib and cryptography.
#[test]
fn vectors_of_other_implementations() {
    let passphrase = Material::new(b"a shared key");
    let mut bytes = [0; 16];
    passphrase.fill(Derivation::Pbkdf2, &mut bytes);
    assert_eq!(bytes[..], hex("be559cc58be4354b81dd21c8a509ebe2"));
    let next = passphrase.ratchet(Derivation::Pbkdf2).expect("material");
    assert_eq!(next.0, hex("be559cc58be4354b81dd21c8a509ebe2d5ea70e49226201187f211a5772e3848"));
    next.fill(Derivation::Pbkdf2, &mut bytes);
    assert_eq!(bytes[..], hex("c6e5608edf9570fa78e7903e9aea4719"));
    Material::new(&(0..32).collect::<Vec<u8>>()).fill(Derivation::Hkdf, &mut bytes);
    assert_eq!(bytes[..], hex("6d0dd7b3d6f4efde47ab9a9e15abde76"));
    let key = passphrase.derive(Derivation::Pbkdf2).expect("a key");
    let mut encryptor = Encryptor::new(key.clone(), 3, std::array::from_fn(|at| at as u8 + 1));
    let frame = Bytes::from([&hex("1002009d012a80026801")[..], b"picture"].concat());
    let sealed = encryptor.encrypt(FrameKind::Video(Codec::Vp8), &frame).expect("encrypted");
    let wanted = "1002009d012a800268018e6c223a6fb91003f30a8d97409286d6b180652a37e27e0102030405060708090a0b0c0c03";
    assert_eq!(sealed[..], hex(wanted));
    let mut ring = KeyRing::new(RingConfig::default(), &[]);
    ring.set(3, passphrase, key);
    assert_eq!(ring.decrypt(FrameKind::Video(Codec::Vp8), &sealed), Ok(frame));
}

#[test]
fn every_kind_comes_back_and_no_changed_byte_does() {
    let (mut ring, key) = ring(0, b"secret");
    let mut encryptor = Encryptor::new(key, 0, [0; NONCE]);
    for (kind, frame) in frames() {
        let sealed = encryptor.encrypt(kind, &frame).expect("encrypted");
        if kind == FrameKind::Video(Codec::H264) {
            assert_eq!(h264::units(&sealed).count(), 3, "start codes in the ciphertext");
            assert_eq!(sealed[..20], frame[..20], "parameter sets and two bytes of the slice");
        } else {
            assert_eq!(sealed.len(), frame.len() + OVERHEAD);
        }
        assert_eq!(ring.decrypt(kind, &sealed), Ok(frame), "{kind:?}");
        for at in (0..sealed.len()).step_by(sealed.len() / 40 + 1) {
            let mut changed = sealed.to_vec();
            changed[at] ^= 0x10;
            assert_eq!(ring.decrypt(kind, &Bytes::from(changed)), Err(Refused), "{kind:?}: byte {at}");
            assert_eq!(ring.decrypt(kind, &sealed.slice(..at)).is_ok(), at == 0);
            ring.entries.iter_mut().flatten().for_each(|entry| entry.failed = 0);
        }
    }
    let refused =
        [(Codec::Av1, &[0x32, 1, 2][..]), (Codec::H264, &[0, 0, 0, 1, 0x67, 1]), (Codec::Vp8, &[0x10, 2, 0, 1])];
    for (kind, frame) in refused {
        let frame = Bytes::copy_from_slice(frame);
        assert_eq!(encryptor.encrypt(FrameKind::Video(kind), &frame), Err(Refused));
        assert_eq!(ring.decrypt(FrameKind::Video(kind), &frame), Err(Refused));
    }
    assert_eq!(encryptor.encrypt(FrameKind::Audio, &Bytes::new()), Ok(Bytes::new()));
    assert_eq!(ring.decrypt(FrameKind::Audio, &Bytes::new()), Ok(Bytes::new()));
}

#[test]
fn nonces_go_on_over_keys_and_over_the_wrap() {
    let (_, key) = ring(0, b"secret");
    let mut encryptor = Encryptor::new(key.clone(), 0, [0xff; NONCE]);
    let frame = Bytes::from_static(&[1, 2, 3]);
    let mut nonces = std::collections::HashSet::new();
    for number in 0..1_000 {
        let sealed = encryptor.encrypt(FrameKind::Audio, &frame).expect("encrypted");
        let trailer = sealed[sealed.len() - TRAILER..].to_vec();
        assert!(nonces.insert(trailer[..NONCE].to_vec()), "{number}");
        encryptor.set_key(key.clone(), number as u8);
    }
    encryptor.left = 0;
    assert_eq!(encryptor.encrypt(FrameKind::Audio, &frame), Err(Refused));
}

#[test]
fn unknown_and_wrong_keys_and_the_ratchet() {
    let (mut receiving, _) = ring(2, b"secret");
    let mut material = Material::new(b"secret");
    for _ in 0..3 {
        material = material.ratchet(Derivation::Hkdf).expect("material");
    }
    let frame = Bytes::from_static(&[1, 2, 3, 4]);
    let mut encryptor = Encryptor::new(material.derive(Derivation::Hkdf).expect("a key"), 2, [9; NONCE]);
    let sealed = encryptor.encrypt(FrameKind::Audio, &frame).expect("encrypted");
    for _ in 0..15 {
        assert_eq!(receiving.decrypt(FrameKind::Audio, &sealed), Err(Refused));
    }
    assert_eq!((receiving.counts().failed, receiving.counts().without_key), (10, 5));
    assert!(!receiving.ratchet(FrameKind::Audio, &sealed, 2));
    assert!(receiving.ratchet(FrameKind::Audio, &sealed, 8));
    assert_eq!(receiving.decrypt(FrameKind::Audio, &sealed), Ok(frame));
    receiving.remove(2);
    assert_eq!(receiving.decrypt(FrameKind::Audio, &sealed), Err(Refused));
    assert!(!receiving.ratchet(FrameKind::Audio, &sealed, 8));
    let (mut other, key) = ring(200, b"secret");
    other.set(usize::MAX, Material::new(b"x"), key);
    assert_eq!(other.decrypt(FrameKind::Audio, &sealed), Err(Refused), "no such index");
    assert!(!format!("{other:?} {encryptor:?}").contains("115, 101, 99"), "secrets are not printed");
}

#[test]
fn frames_by_the_server() {
    let (mut ring, _) = ring(0, b"secret");
    let marked = |frame: Vec<u8>| Bytes::from([&frame[..], b"the server's"].concat());
    let blank = vp8_frames::frame(true, Size::new(8, 8), 31);
    let large = vp8_frames::frame(true, Size::new(640, 360), 31);
    let vp8 = FrameKind::Video(Codec::Vp8);
    assert_eq!(ring.decrypt(vp8, &marked(blank.clone())), Ok(Bytes::from(blank)));
    assert_eq!(ring.decrypt(FrameKind::Audio, &marked(vec![0xf8; 80])), Ok(Bytes::from(vec![0xf8; 80])));
    for frame in [large, vp8_frames::frame(false, Size::default(), 31), Vec::new(), vec![0; 1_000]] {
        assert_eq!(ring.decrypt(vp8, &marked(frame)), Err(Refused));
    }
    assert_eq!((ring.counts().by_server, ring.counts().by_server_dropped), (2, 4));
}

#[test]
fn no_bytes_panic() {
    let (mut ring, key) = ring(0, b"secret");
    let mut encryptor = Encryptor::new(key, 0, [1; NONCE]);
    let mut state = 77u64;
    for _ in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..state >> 33 & 63 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            bytes.push([0, 1, 3, 12, 0x65, (state >> 56) as u8][(state >> 40) as usize % 6]);
        }
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let frame = Bytes::from(bytes);
        for kind in Codec::ALL.map(FrameKind::Video).into_iter().chain([FrameKind::Audio]) {
            let _ = ring.decrypt(kind, &frame);
            ring.entries.iter_mut().flatten().for_each(|entry| entry.failed = 0);
            let Ok(sealed) = encryptor.encrypt(kind, &frame) else { continue };
            let opened = ring.decrypt(kind, &sealed);
            if kind == FrameKind::Video(Codec::H264) {
                // Start codes of three bytes in the clear header become four.
                let expand = |bytes: &[u8]| h264::units(bytes).map(|unit| bytes[unit].to_vec()).next();
                assert_eq!(opened.map(|opened| expand(&opened)), Ok(expand(&frame)));
            } else {
                assert_eq!(opened, Ok(frame.clone()));
            }
        }
    }
}
