//! Cryptography backend of the SFU's WebRTC stack: `ring`, RustCrypto's AES, and `dimpl` for DTLS.
//!
//! The stack's default backends pull in a second C library. It takes longer to compile than the whole SFU, and cargo's
//! feature unification would link it into the library. Also used by tests that drive the stack. Must not know: calls.

use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use aes::{Aes128, Aes256};
use ring::{aead, digest, hmac};
use std::{
    fmt,
    sync::{Arc, Once},
    time::Instant,
};
use str0m::crypto::{
    dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, ProtocolVersion},
    AeadAes128GcmCipher, AeadAes256GcmCipher, Aes128CmSha1_80Cipher, CryptoError, CryptoProvider, Sha1HmacProvider,
    Sha1Provider, Sha256Provider, SrtpProvider, SupportedAeadAes128Gcm, SupportedAeadAes256Gcm,
    SupportedAes128CmSha1_80,
};

/// Installs this backend for every peer connection that the stack creates in this process from now on. Repeated calls
/// have no effect.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        CryptoProvider {
            srtp_provider: &Parts,
            sha1_hmac_provider: &Parts,
            sha1_provider: &Parts,
            sha256_provider: &Parts,
            dtls_provider: &Parts,
        }
        .install_process_default()
    });
}

/// All providers that the stack requires. Stateless.
#[derive(Debug)]
struct Parts;

impl Sha1HmacProvider for Parts {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
        payloads.iter().for_each(|part| context.update(part));
        fixed(context.sign().as_ref())
    }
}

impl Sha1Provider for Parts {
    fn sha1(&self, data: &[u8]) -> [u8; 20] {
        fixed(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, data).as_ref())
    }
}

impl Sha256Provider for Parts {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        fixed(digest::digest(&digest::SHA256, data).as_ref())
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the length of this digest")
}

impl SrtpProvider for Parts {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        &Parts
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Parts
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Parts
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        one_block::<Aes128>(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        one_block::<Aes256>(key, input, output);
    }
}

/// Encrypts one AES block, for key derivation (RFC 3711, 4.3). The rest of `output` is not changed.
fn one_block<C: KeyInit + BlockCipherEncrypt>(key: &[u8], input: &[u8], output: &mut [u8]) {
    let cipher = C::new_from_slice(key).expect("a key of this cipher");
    let mut block = aes::cipher::Block::<C>::default();
    block.copy_from_slice(&input[..16]);
    cipher.encrypt_block(&mut block);
    output[..16].copy_from_slice(&block);
}

/// AES in counter mode (RFC 3711, 4.1.1). Encryption and decryption are the same operation.
struct CounterMode([u8; 16]);

impl CounterMode {
    fn apply(&self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        let output = output.get_mut(..input.len()).ok_or_else(|| failed("no room for the packet"))?;
        output.copy_from_slice(input);
        ctr::Ctr128BE::<Aes128>::new(&self.0.into(), &(*iv).into()).apply_keystream(output);
        Ok(())
    }
}

impl SupportedAes128CmSha1_80 for Parts {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn Aes128CmSha1_80Cipher> {
        Box::new(CounterMode(key))
    }
}

impl Aes128CmSha1_80Cipher for CounterMode {
    fn encrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.apply(iv, input, output)
    }

    fn decrypt(&mut self, iv: &[u8; 16], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        self.apply(iv, input, output)
    }
}

/// AES-GCM with a 128-bit or 256-bit key (RFC 7714).
struct Gcm(aead::LessSafeKey);

const TAG: usize = 16;

impl Gcm {
    fn new(algorithm: &'static aead::Algorithm, key: &[u8]) -> Self {
        Gcm(aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key).expect("a key of this cipher")))
    }

    fn seal(&self, iv: &[u8; 12], aad: &[u8], input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        let output = output.get_mut(..input.len() + TAG).ok_or_else(|| failed("no room for the packet"))?;
        let (text, tag) = output.split_at_mut(input.len());
        text.copy_from_slice(input);
        let nonce = aead::Nonce::assume_unique_for_key(*iv);
        let made = self.0.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), text);
        tag.copy_from_slice(made.map_err(|_| failed("AES-GCM does not encrypt"))?.as_ref());
        Ok(())
    }

    fn open(&self, iv: &[u8; 12], aads: &[&[u8]], input: &[u8], output: &mut [u8]) -> Result<usize, CryptoError> {
        let length = input.len().checked_sub(TAG).ok_or_else(|| failed("shorter than a tag"))?;
        let nonce = aead::Nonce::assume_unique_for_key(*iv);
        let (mut whole, aad);
        let aad = match aads {
            [one] => *one,
            more => {
                aad = more.concat();
                &aad
            }
        };
        // ring decrypts in place with the tag after the text. `output` has no space for the tag.
        whole = input.to_vec();
        self.0.open_in_place(nonce, aead::Aad::from(aad), &mut whole).map_err(|_| failed("not authentic"))?;
        output.get_mut(..length).ok_or_else(|| failed("no room for the packet"))?.copy_from_slice(&whole[..length]);
        Ok(length)
    }
}

impl SupportedAeadAes128Gcm for Parts {
    fn create_cipher(&self, key: [u8; 16], _encrypt: bool) -> Box<dyn AeadAes128GcmCipher> {
        Box::new(Gcm::new(&aead::AES_128_GCM, &key))
    }
}

impl SupportedAeadAes256Gcm for Parts {
    fn create_cipher(&self, key: [u8; 32], _encrypt: bool) -> Box<dyn AeadAes256GcmCipher> {
        Box::new(Gcm::new(&aead::AES_256_GCM, &key))
    }
}

/// The stack has one trait per key length, with the same methods.
macro_rules! cipher {
    ($kind:ident) => {
        impl $kind for Gcm {
            fn encrypt(
                &mut self,
                iv: &[u8; 12],
                aad: &[u8],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<(), CryptoError> {
                self.seal(iv, aad, input, output)
            }

            fn decrypt(
                &mut self,
                iv: &[u8; 12],
                aads: &[&[u8]],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<usize, CryptoError> {
                self.open(iv, aads, input, output)
            }
        }
    };
}

cipher!(AeadAes128GcmCipher);
cipher!(AeadAes256GcmCipher);

// No key is ever printed.
impl fmt::Debug for CounterMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CounterMode")
    }
}

impl fmt::Debug for Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm")
    }
}

fn failed(what: &str) -> CryptoError {
    CryptoError::Other(what.to_owned())
}

impl DtlsProvider for Parts {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).ok()?;
        let certificate = rcgen::CertificateParams::new(Vec::new()).ok()?.self_signed(&key).ok()?;
        Some(DtlsCert { certificate: certificate.der().to_vec(), private_key: key.serialize_der() })
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        // ICE has verified the return path, so no DTLS cookie is needed.
        let mut builder = dimpl::Config::builder()
            .with_crypto_provider(dimpl::crypto::rust_crypto::default_provider())
            .use_server_cookie(false);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let config = Arc::new(builder.build().map_err(|error| failed(&format!("DTLS: {error}")))?);
        let certificate = certificate.clone();
        Ok(Box::new(Dtls(match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            DtlsVersion::Auto => dimpl::Dtls::new_auto(config, certificate, now),
            other => return Err(failed(&format!("{other} is not known"))),
        })))
    }
}

struct Dtls(dimpl::Dtls);

impl fmt::Debug for Dtls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dtls")
    }
}

impl DtlsInstance for Dtls {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 3711, appendix B.2: the first keystream blocks of a session key.
    #[test]
    fn counter_mode_is_that_of_rfc_3711() {
        let key = fixed::<16>(&hex("2B7E151628AED2A6ABF7158809CF4F3C"));
        let iv = fixed::<16>(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"));
        let mut stream = [0; 32];
        CounterMode(key).apply(&iv, &[0; 32], &mut stream).unwrap();
        assert_eq!(stream[..], hex("E03EAD0935C95E80E166B16DD92B4EB4D23513162B02D0F72A43A2FE4A5F97AB"));
        assert!(CounterMode(key).apply(&iv, &[0; 32], &mut [0; 31]).is_err());
    }

    /// RFC 3711, appendix B.3: the AES block that derives the session encryption key.
    #[test]
    fn one_block_derives_the_key_of_rfc_3711() {
        let (key, input) = (hex("E1F97A0D3E018BE0D64FA32C06DE4139"), hex("0EC675AD498AFEEBB6960B3AABE60000"));
        let mut output = [7; 20];
        Parts.srtp_aes_128_ecb_round(&key, &input, &mut output);
        assert_eq!(output[..16], hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(output[16..], [7; 4]);
    }

    /// RFC 7714, 16.1.1 and 16.1.2: one SRTP packet with AEAD_AES_128_GCM.
    #[test]
    fn gcm_is_that_of_rfc_7714_and_refuses_what_was_changed() {
        let gcm = Gcm::new(&aead::AES_128_GCM, &hex("000102030405060708090a0b0c0d0e0f"));
        let iv = fixed::<12>(&hex("51753c6580c2726f20718414"));
        let aad = hex("8040f17b8041f8d35501a0b2");
        let text = hex("47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
        let mut sealed = vec![0; text.len() + TAG];
        gcm.seal(&iv, &aad, &text, &mut sealed).unwrap();
        assert_eq!(
            sealed,
            hex("f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce")
        );
        let mut opened = vec![0; text.len()];
        assert_eq!(gcm.open(&iv, &[&aad[..4], &aad[4..]], &sealed, &mut opened).unwrap(), text.len());
        assert_eq!(opened, text);
        sealed[3] ^= 1;
        assert!(gcm.open(&iv, &[&aad], &sealed, &mut opened).is_err());
        assert!(gcm.open(&iv, &[&aad], &sealed[..TAG - 1], &mut opened).is_err());
    }

    /// Test vectors of FIPS 180-4 and RFC 2202.
    #[test]
    fn digests_are_the_known_ones() {
        assert_eq!(Parts.sha1(b"abc")[..], hex("a9993e364706816aba3e25717850c26c9cd0d89d"));
        assert_eq!(Parts.sha256(b"abc")[..], hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
        assert_eq!(
            Parts.sha1_hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"])[..],
            hex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
        );
    }
}
