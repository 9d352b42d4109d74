//! Wraps the engine's cryptography to inspect DTLS payloads: SCTP is checked before the engine sees it, and the remote
//! peer's alerts are recorded, which the engine does not report.
//!
//! Part of the engine's module. AEAD suites only, so that records are decrypted in one place. Must not know:
//! negotiation, sockets.

use super::sctp_check::Check;
use parking_lot::Mutex;
use rtc::crypto::*;
use std::sync::Arc;

/// Content types of DTLS records (RFC 6347 §4.1).
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
pub(super) const APPLICATION: u8 = 23;

/// Packets rejected by the check at which the peer connection fails.
const MAX_BAD: u32 = 8;

/// State of the received records of one peer connection.
#[derive(Debug, Default)]
pub(super) struct Records {
    check: Check,
    bad: u32,
    /// The remote peer has ended DTLS, in an authentic record.
    pub(super) closed: bool,
}

impl Records {
    /// More bad packets were received than a peer sends by mistake.
    pub(super) fn is_hostile(&self) -> bool {
        self.bad >= MAX_BAD
    }

    fn opened(&mut self, content: u8, text: &[u8]) -> bool {
        match content {
            // close_notify, or a fatal alert.
            ALERT => self.closed |= matches!(text, [2, _, ..] | [_, 0, ..]),
            APPLICATION if !self.check.received(text) => {
                self.bad = self.bad.saturating_add(1);
                return false;
            }
            _ => {}
        }
        true
    }
}

/// See the module.
pub(super) struct Watched {
    inner: Arc<dyn RTCCryptoProvider>,
    crypto: WatchedCrypto,
}

impl Watched {
    pub(super) fn new(records: Arc<Mutex<Records>>) -> Result<Self, CryptoError> {
        let inner = default_provider()?;
        Ok(Self { crypto: WatchedCrypto { inner: inner.clone(), records }, inner })
    }
}

impl RTCCryptoProvider for Watched {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn crypto(&self) -> &dyn RTCCrypto {
        &self.crypto
    }

    fn random(&self) -> &dyn RTCRandom {
        self.inner.random()
    }
}

struct WatchedCrypto {
    inner: Arc<dyn RTCCryptoProvider>,
    records: Arc<Mutex<Records>>,
}

type Made<T> = Result<T, CryptoError>;

impl RTCCrypto for WatchedCrypto {
    fn supports(&self, algorithm: CryptoAlgorithm) -> bool {
        self.inner.crypto().supports(algorithm)
    }

    fn hash(&self, algorithm: HashAlgorithm, data: &[u8]) -> Made<Vec<u8>> {
        self.inner.crypto().hash(algorithm, data)
    }

    fn block_encrypt(&self, algorithm: BlockCipherAlgorithm, key: &[u8], block: &mut [u8]) -> Made<()> {
        self.inner.crypto().block_encrypt(algorithm, key, block)
    }

    fn new_hmac(&self, algorithm: HmacAlgorithm, key: &[u8]) -> Made<Box<dyn Mac>> {
        self.inner.crypto().new_hmac(algorithm, key)
    }

    fn new_stream_cipher(&self, algorithm: StreamCipherAlgorithm, key: &[u8]) -> Made<Box<dyn StreamCipher>> {
        self.inner.crypto().new_stream_cipher(algorithm, key)
    }

    fn new_aead(&self, algorithm: AeadAlgorithm, key: &[u8]) -> Made<Box<dyn AeadCipher>> {
        let inner = self.inner.crypto().new_aead(algorithm, key)?;
        Ok(Box::new(Cipher { inner, records: self.records.clone() }))
    }

    fn new_cbc(&self, algorithm: CbcAlgorithm, key: &[u8]) -> Made<Box<dyn CbcCipher>> {
        self.inner.crypto().new_cbc(algorithm, key)
    }

    fn start_key_exchange(&self, algorithm: KeyExchangeAlgorithm) -> Made<Box<dyn ActiveKeyExchange>> {
        self.inner.crypto().start_key_exchange(algorithm)
    }

    fn generate_signing_key(&self, scheme: SignatureScheme) -> Made<Arc<dyn SigningKey>> {
        self.inner.crypto().generate_signing_key(scheme)
    }

    fn import_signing_key(&self, scheme: SignatureScheme, pkcs8_der: &[u8]) -> Made<Arc<dyn SigningKey>> {
        self.inner.crypto().import_signing_key(scheme, pkcs8_der)
    }

    fn verify_signature(
        &self,
        scheme: SignatureScheme,
        public_key: PublicKey<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Made<()> {
        self.inner.crypto().verify_signature(scheme, public_key, message, signature)
    }
}

struct Cipher {
    inner: Box<dyn AeadCipher>,
    records: Arc<Mutex<Records>>,
}

/// The content type of a DTLS record, from its additional data (RFC 5246 §6.2.3.3). For SRTP its length is a multiple
/// of four.
fn content(aad: &[u8]) -> Option<u8> {
    (aad.len() == 13).then(|| aad[8])
}

impl AeadCipher for Cipher {
    fn tag_len(&self) -> usize {
        self.inner.tag_len()
    }

    fn seal_in_place(&mut self, nonce: &[u8], aad: &[u8], text: &mut [u8], tag_out: &mut [u8]) -> Made<()> {
        if content(aad) == Some(APPLICATION) {
            self.records.lock().check.sent(text);
        }
        self.inner.seal_in_place(nonce, aad, text, tag_out)
    }

    fn open_in_place(&mut self, nonce: &[u8], aad: &[u8], text: &mut [u8], tag: &[u8]) -> Made<()> {
        self.inner.open_in_place(nonce, aad, text, tag)?;
        match content(aad) {
            // As if it were not authentic: the engine drops such a record silently.
            Some(content) if !self.records.lock().opened(content, text) => Err(CryptoError::AuthenticationFailed),
            _ => Ok(()),
        }
    }
}
