//! LiveKit's end-to-end encryption of frames: AES-128-GCM, keys from a passphrase, key ring and ratchet.
//!
//! Must not know: packets, where keys and random bytes come from. Deriving a key from a passphrase takes tens of
//! milliseconds: not on a thread that serves calls.
//!
//! A frame is: clear header, ciphertext with its tag of 16 bytes, nonce of 12 bytes, the byte 12, the index of the key.
//! The clear header is authenticated. In H264 everything after it is escaped, so that it contains no start code. Nonces
//! are a counter from a random start of 96 bits: they never repeat, neither across layers nor across reconnects, as long
//! as each encryptor has a start of its own.

use std::num::NonZeroU32;

use bytes::Bytes;
use ring::{aead, hkdf, pbkdf2};

use super::{codec::Codec, h264};
use crate::media::transform::Refused;

const SALT: &[u8] = b"LKFrameEncryptionKey";
const TAG: usize = 16;
const NONCE: usize = 12;

/// Bytes after the ciphertext and its tag.
const TRAILER: usize = NONCE + 2;

/// What encryption adds to a frame, before escapes.
pub const OVERHEAD: usize = TAG + TRAILER;

/// Most keys in a ring.
pub const MAX_KEYS: usize = 256;

/// The server's own frames are not larger.
const MAX_SERVER_FRAME: usize = 256;

/// Longest mark of the server's own frames.
const MAX_MARK: usize = 256;

/// Iterations of PBKDF2.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();

/// Secret input of a key: 16 bytes of it are the key, all of it is the input of the next (ratchet).
#[derive(Clone)]
pub struct Material(Vec<u8>);

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material(<secret>)")
    }
}

/// How a key is derived from its material.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Derivation {
    /// For passphrases.
    #[default]
    Pbkdf2,
    /// For random material.
    Hkdf,
}

impl Material {
    pub fn new(secret: &[u8]) -> Self {
        Self(secret.to_vec())
    }

    /// Takes tens of milliseconds with PBKDF2.
    pub fn derive(&self, derivation: Derivation) -> Option<Key> {
        let mut bytes = [0; 16];
        self.fill(derivation, &mut bytes)?;
        let key = aead::UnboundKey::new(&aead::AES_128_GCM, &bytes).ok()?;
        Some(Key(aead::LessSafeKey::new(key)))
    }

    /// The material of the next key. Takes as long as a derivation.
    pub fn ratchet(&self, derivation: Derivation) -> Option<Material> {
        let mut bytes = vec![0; 32];
        self.fill(derivation, &mut bytes)?;
        Some(Material(bytes))
    }

    fn fill(&self, derivation: Derivation, out: &mut [u8]) -> Option<()> {
        match derivation {
            Derivation::Pbkdf2 => {
                pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, SALT, &self.0, out);
                Some(())
            }
            Derivation::Hkdf => {
                struct Length(usize);
                impl hkdf::KeyType for Length {
                    fn len(&self) -> usize {
                        self.0
                    }
                }
                let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(&self.0);
                secret.expand(&[&[0; 128]], Length(out.len())).ok()?.fill(out).ok()
            }
        }
    }
}

/// A key, ready for use.
#[derive(Clone)]
pub struct Key(aead::LessSafeKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(<secret>)")
    }
}

/// What a frame contains: it decides how much of it stays readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Audio,
    Video(Codec),
}

/// Length of the clear header. `None`: frames of this kind cannot be encrypted, or not so short ones: the receiver could
/// not find the end of their header.
fn clear_length(kind: FrameKind, frame: &[u8]) -> Option<usize> {
    let length = match kind {
        FrameKind::Audio => 1,
        FrameKind::Video(Codec::Vp8) if frame[0] & 1 == 0 => 10,
        FrameKind::Video(Codec::Vp8) => 3,
        FrameKind::Video(Codec::Vp9) => 0,
        FrameKind::Video(Codec::H264) => {
            let slice = h264::units(frame).find(|unit| matches!(frame[unit.start] & 0x1f, 1 | 5))?;
            slice.start + 2
        }
        // Its OBUs would have to be parsed after encryption; the official client refuses it.
        FrameKind::Video(Codec::Av1) => return None,
    };
    (length <= frame.len()).then_some(length)
}

/// Encrypts the frames of one sent stream, or of all layers of a track.
#[derive(Debug)]
pub struct Encryptor {
    key: Key,
    index: u8,
    /// The next nonce, 96 bits.
    nonce: u128,
    left: u64,
}

impl Encryptor {
    /// `start`: random, and never used for another encryptor.
    pub fn new(key: Key, index: u8, start: [u8; NONCE]) -> Self {
        let nonce = start.iter().fold(0, |nonce, byte| nonce << 8 | u128::from(*byte));
        Self { key, index, nonce, left: u64::MAX }
    }

    /// Another key, or the next of the ratchet. The nonces go on.
    pub fn set_key(&mut self, key: Key, index: u8) {
        (self.key, self.index) = (key, index);
    }

    fn next_nonce(&mut self) -> Option<[u8; NONCE]> {
        self.left = self.left.checked_sub(1)?;
        let bytes = self.nonce.to_be_bytes();
        self.nonce = self.nonce.wrapping_add(1) & (u128::MAX >> 32);
        bytes.last_chunk().copied()
    }

    /// Encrypts a frame. Empty frames stay as they are.
    ///
    /// # Errors
    /// [`Refused`]: the frame is AV1, H264 without a slice, or shorter than its clear header.
    pub fn encrypt(&mut self, kind: FrameKind, frame: &Bytes) -> Result<Bytes, Refused> {
        if frame.is_empty() {
            return Ok(Bytes::new());
        }
        let clear = clear_length(kind, frame).ok_or(Refused)?;
        let nonce = self.next_nonce().ok_or(Refused)?;
        let is_h264 = kind == FrameKind::Video(Codec::H264);
        let mut out = Vec::with_capacity(frame.len() + OVERHEAD + if is_h264 { 16 } else { 0 });
        let header = &frame[..clear];
        if is_h264 {
            // As the receiver joins it: with start codes of four bytes.
            for unit in h264::units(header) {
                out.extend_from_slice(&[0, 0, 0, 1]);
                out.extend_from_slice(&header[unit]);
            }
        } else {
            out.extend_from_slice(header);
        }
        let begin = out.len();
        let (head, rest) = (out.clone(), &frame[clear..]);
        out.extend_from_slice(rest);
        let tag = self
            .key
            .0
            .seal_in_place_separate_tag(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::from(&head),
                &mut out[begin..],
            )
            .map_err(|_| Refused)?;
        out.extend_from_slice(tag.as_ref());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&[NONCE as u8, self.index]);
        if is_h264 {
            out = escaped(&out, begin);
        }
        Ok(Bytes::from(out))
    }
}

/// Inserts a byte wherever a start code could be read, from `begin` on (H.264 section 7.4.1.1).
fn escaped(bytes: &[u8], begin: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 64 + 16);
    out.extend_from_slice(&bytes[..begin]);
    let mut zeros = 0;
    for byte in &bytes[begin..] {
        if zeros >= 2 && *byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        out.push(*byte);
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
    }
    out
}

/// Removes these bytes again.
fn unescaped(bytes: &[u8], begin: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    out.extend_from_slice(&bytes[..begin]);
    let mut zeros = 0;
    for byte in &bytes[begin..] {
        if zeros >= 2 && *byte == 3 {
            zeros = 0;
            continue;
        }
        out.push(*byte);
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
    }
    out
}

/// Settings of a [`KeyRing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingConfig {
    /// Keys in the ring, 1..=256.
    pub keys: usize,
    /// Frames in a row that fail before a key is not tried any more, until it is set again; `None`: it is always tried.
    pub tolerance: Option<u32>,
    pub derivation: Derivation,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self { keys: 16, tolerance: Some(10), derivation: Derivation::Pbkdf2 }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    material: Material,
    key: Key,
    failed: u32,
}

/// Counters of a [`KeyRing`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCounts {
    pub decrypted: u64,
    /// Frames of a key that is not in the ring, or that failed too often.
    pub without_key: u64,
    /// Frames that the key does not fit, or that were changed.
    pub failed: u64,
    /// Frames that are not in the expected form.
    pub malformed: u64,
    /// Frames by the server itself: passed on; dropped.
    pub by_server: u64,
    pub by_server_dropped: u64,
}

/// The keys of one participant, and what is needed to decrypt its frames.
#[derive(Debug)]
pub struct KeyRing {
    config: RingConfig,
    entries: Vec<Option<Entry>>,
    mark: Vec<u8>,
    counts: RingCounts,
}

impl KeyRing {
    /// `mark`: how frames end that the server itself makes (`sif_trailer`); empty if there are none.
    pub fn new(config: RingConfig, mark: &[u8]) -> Self {
        let keys = config.keys.clamp(1, MAX_KEYS);
        let mark = if mark.len() <= MAX_MARK { mark.to_vec() } else { Vec::new() };
        Self { config, entries: vec![None; keys], mark, counts: RingCounts::default() }
    }

    pub fn counts(&self) -> RingCounts {
        self.counts
    }

    /// Sets a key, with the key that was derived from the material elsewhere. Indices wrap as other clients' do.
    pub fn set(&mut self, index: usize, material: Material, key: Key) {
        let count = self.entries.len();
        self.entries[index % count] = Some(Entry { material, key, failed: 0 });
    }

    /// Removes a key.
    pub fn remove(&mut self, index: usize) {
        let count = self.entries.len();
        self.entries[index % count] = None;
    }

    /// Decrypts a frame.
    ///
    /// # Errors
    /// [`Refused`]: it must not be passed on.
    pub fn decrypt(&mut self, kind: FrameKind, frame: &Bytes) -> Result<Bytes, Refused> {
        if frame.is_empty() {
            return Ok(Bytes::new());
        }
        if !self.mark.is_empty() {
            if let Some(content) = frame.strip_suffix(&self.mark[..]) {
                return self.by_server(kind, frame.slice(..content.len()));
            }
        }
        let Some(Sealed { mut bytes, clear, nonce, index }) = Sealed::read(kind, frame) else {
            self.counts.malformed += 1;
            return Err(Refused);
        };
        let tolerance = self.config.tolerance.unwrap_or(u32::MAX);
        let entry = self.entries.get_mut(index).and_then(Option::as_mut).filter(|entry| entry.failed < tolerance);
        let Some(entry) = entry else {
            self.counts.without_key += 1;
            return Err(Refused);
        };
        let Some(length) = open(&entry.key, &mut bytes, clear, nonce) else {
            // A failed frame costs one attempt; with `None` as tolerance this never reaches the maximum.
            entry.failed = entry.failed.saturating_add(1).min(u32::MAX - 1);
            self.counts.failed += 1;
            return Err(Refused);
        };
        entry.failed = 0;
        self.counts.decrypted += 1;
        bytes.truncate(clear + length);
        Ok(Bytes::from(bytes))
    }

    /// Frames by the server are not encrypted. Only tiny ones are believed: anyone on the path could send others.
    fn by_server(&mut self, kind: FrameKind, content: Bytes) -> Result<Bytes, Refused> {
        let is_blank = match kind {
            FrameKind::Audio => true,
            FrameKind::Video(codec) => codec.key_frame_size(&content).is_some_and(super::codec::Size::is_blank),
        };
        if !is_blank || content.is_empty() || content.len() > MAX_SERVER_FRAME {
            self.counts.by_server_dropped += 1;
            return Err(Refused);
        }
        self.counts.by_server += 1;
        Ok(content)
    }

    /// Whether one of the next `window` keys of the ratchet decrypts a frame that failed; if so, it replaces the present
    /// one. Each step takes two derivations: not for every frame, and not on a thread that serves calls.
    pub fn ratchet(&mut self, kind: FrameKind, frame: &Bytes, window: u8) -> bool {
        let Some(sealed) = Sealed::read(kind, frame) else { return false };
        let Some(Some(entry)) = self.entries.get_mut(sealed.index) else { return false };
        let mut material = entry.material.clone();
        for _ in 0..window {
            let Some(next) = material.ratchet(self.config.derivation) else { return false };
            let Some(key) = next.derive(self.config.derivation) else { return false };
            material = next;
            let mut bytes = sealed.bytes.clone();
            if open(&key, &mut bytes, sealed.clear, sealed.nonce).is_some() {
                *entry = Entry { material, key, failed: 0 };
                return true;
            }
        }
        false
    }
}

/// An encrypted frame.
struct Sealed {
    /// Clear header, ciphertext and tag.
    bytes: Vec<u8>,
    clear: usize,
    nonce: [u8; NONCE],
    index: usize,
}

impl Sealed {
    fn read(kind: FrameKind, frame: &Bytes) -> Option<Self> {
        let clear = clear_length(kind, frame.get(..1).map(|_| &frame[..])?)?;
        let mut bytes = match kind {
            FrameKind::Video(Codec::H264) => unescaped(frame, clear),
            _ => frame.to_vec(),
        };
        let end = bytes.len().checked_sub(TRAILER).filter(|end| *end >= clear + TAG)?;
        let trailer = bytes.split_off(end);
        let [nonce @ .., length, index] = *trailer.first_chunk::<TRAILER>()?;
        (usize::from(length) == NONCE).then_some(Self { bytes, clear, nonce, index: index.into() })
    }
}

/// Decrypts in place what follows the clear header; returns its length.
fn open(key: &Key, bytes: &mut [u8], clear: usize, nonce: [u8; NONCE]) -> Option<usize> {
    let (header, sealed) = bytes.split_at_mut_checked(clear)?;
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    key.0.open_in_place(nonce, aead::Aad::from(&*header), sealed).ok().map(|content| content.len())
}

#[cfg(test)]
#[path = "crypt_tests.rs"]
mod tests;
