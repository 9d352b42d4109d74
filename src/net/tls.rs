//! TLS: which certificates are trusted, and the error text of a failed handshake.
//!
//! The system's certificates and those of one CA file are trusted. A certificate in that file is also accepted as the
//! server's own certificate, even if it is not allowed to sign, is self-signed or has an unknown issuer, provided that
//! it is valid now and matches the host name. Must not know: sockets, HTTP.

use super::{text, Endpoint};
use crate::core::model::{Failure, FailureKind};
use rustls::{
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name, WebPkiServerVerifier,
    },
    pki_types::{pem::PemObject, CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio_rustls::TlsConnector;

/// Largest CA file that is read, in bytes.
const MAX_CA_FILE: u64 = 4 << 20;
/// The DER-encoded identifier of the curve P-521 (RFC 5480 §2.1.1.1) in a certificate.
const P521: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
const KEYS: &str = "keys on the curves P-256 and P-384, Ed25519 and RSA are supported";

/// Starts TLS; the trusted certificates are loaded.
pub(super) struct Connectors {
    /// Negotiates HTTP/1.1 (ALPN, RFC 7301).
    pub http: TlsConnector,
    /// Negotiates no protocol.
    pub opaque: TlsConnector,
}

/// Reads the trusted certificates on a blocking thread: they are a few hundred files on some systems.
pub(super) async fn load(ca_file: Option<PathBuf>) -> Result<Connectors, Failure> {
    // tokio panics when it cannot start a thread.
    let started = crate::panics::contain(|| tokio::task::spawn_blocking(move || config(ca_file.as_deref())));
    let loaded = match started {
        Ok(task) => task.await.ok(),
        Err(_) => None,
    };
    loaded.unwrap_or_else(|| {
        Err(Failure::new(FailureKind::Tls, "cannot start a thread to load the trusted certificates"))
    })
}

fn config(ca_file: Option<&Path>) -> Result<Connectors, Failure> {
    let failed = |text: String| Failure::new(FailureKind::Tls, text);
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let mut pinned = Vec::new();
    if let Some(path) = ca_file {
        pinned = read_ca_file(path).map_err(|why| failed(format!("the CA file {} {why}", path.display())))?;
        if roots.add_parsable_certificates(pinned.clone()).0 == 0 {
            return Err(failed(format!("the CA file {} contains no usable certificate", path.display())));
        }
    }
    if roots.is_empty() {
        let text = "no trusted certificates on this system: install CA certificates (ca-certificates) or set a CA file";
        return Err(failed(text.to_owned()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|_| failed("the trusted certificates cannot be used".to_owned()))?;
    let opaque = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| failed("no TLS version is available".to_owned()))?
        // Differs from the default verifier only as described at the top of this file.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { inner, pinned }))
        .with_no_client_auth();
    let mut http = opaque.clone();
    http.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Connectors { http: Arc::new(http).into(), opaque: Arc::new(opaque).into() })
}

fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?.len();
    if size > MAX_CA_FILE {
        return Err(format!("is too large ({size} bytes, at most {MAX_CA_FILE})"));
    }
    CertificateDer::pem_file_iter(path)
        .and_then(|certificates| certificates.collect())
        .map_err(|_| "cannot be read as PEM certificates".to_owned())
}

/// The default verifier, plus certificates that are accepted as they are.
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    pinned: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("pinned", &self.pinned.len()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            Err(refused) => refused,
            accepted => return accepted,
        };
        // The verifier reports these only after it has checked the dates: an unknown issuer, and a server certificate
        // that is a CA's.
        let chain = matches!(
            refused,
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
        );
        if !chain || !self.pinned.iter().any(|pinned| **pinned == **end_entity) {
            return Err(refused);
        }
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed).map_err(|error| of_key(error, certificate))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed).map_err(|error| of_key(error, certificate))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Replaces the error if the cause is the certificate's curve.
fn of_key(error: rustls::Error, certificate: &CertificateDer<'_>) -> rustls::Error {
    if certificate.windows(P521.len()).any(|bytes| bytes == P521) {
        return rustls::Error::General(format!(
            "the server's key is on the curve P-521, which is not supported; {KEYS}"
        ));
    }
    error
}

/// Describes why a handshake failed.
pub(super) fn explain(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "the server closed the connection during the handshake".to_owned(),
            _ => format!("connection lost during the handshake: {error}"),
        };
    };
    use rustls::{AlertDescription as Alert, Error};
    match tls {
        Error::InvalidCertificate(why) => certificate(why),
        Error::AlertReceived(Alert::HandshakeFailure) => format!(
            "the server rejected the handshake: no common cipher suite, curve or certificate key type. {KEYS}; one \
             on the curve P-521 is not"
        ),
        Error::AlertReceived(alert) => format!("the server sent the TLS alert {}", words(alert)),
        Error::InvalidMessage(_) => "the server's data is not TLS".to_owned(),
        Error::PeerIncompatible(why) => {
            format!("the server has no TLS parameters in common with this library: {}", words(why))
        }
        Error::PeerMisbehaved(why) => format!("the server violated the TLS protocol: {}", words(why)),
        Error::NoApplicationProtocol => "the server does not support HTTP/1.1".to_owned(),
        Error::General(text) => text.clone(),
        other => words(other),
    }
}

/// The cause of a failed handshake in one word, for programs.
pub(super) fn cause(error: &io::Error) -> &'static str {
    use CertificateError as C;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            C::Expired | C::ExpiredContext { .. } => "certificate_expired",
            C::NotValidYet | C::NotValidYetContext { .. } => "certificate_not_valid_yet",
            C::Revoked => "certificate_revoked",
            C::UnknownIssuer => "certificate_unknown_issuer",
            C::NotValidForName | C::NotValidForNameContext { .. } => "certificate_wrong_host",
            C::Other(why) if why.to_string() == "CaUsedAsEndEntity" => "certificate_is_ca",
            _ => "certificate_invalid",
        },
        Some(rustls::Error::InvalidMessage(_)) => "not_tls",
        Some(_) => "tls",
        None => "connection_lost",
    }
}

fn certificate(why: &CertificateError) -> String {
    use CertificateError as C;
    match why {
        C::Expired | C::ExpiredContext { .. } => "the server's certificate has expired (or the clock is wrong)".into(),
        C::NotValidYet | C::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet (or the clock is wrong)".into()
        }
        C::Revoked => "the server's certificate was revoked".into(),
        C::UnknownIssuer => "the issuer of the server's certificate is not trusted. If the server uses a private \
                             CA, set its CA file in the client options"
            .into(),
        C::NotValidForName => "the server's certificate is for another host name".into(),
        C::NotValidForNameContext { presented, .. } => match presented.first() {
            Some(name) => format!("the server's certificate is for another host name, {}", plain(name)),
            None => "the server's certificate has no host name".into(),
        },
        C::BadSignature => "the server's certificate has an invalid signature".into(),
        C::BadEncoding => "the server's certificate cannot be read".into(),
        C::UnsupportedSignatureAlgorithmContext { .. } | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            format!("the server's certificate uses an unsupported signature algorithm; {KEYS}, P-521 is not")
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "the server's certificate is not valid for a server".into()
        }
        C::Other(why) if why.to_string() == "CaUsedAsEndEntity" => {
            "the server's certificate is a CA certificate. To accept it, set it as the CA \
             file in the client options"
                .into()
        }
        C::Other(why) => format!("the server's certificate is invalid: {}", words(why)),
        other => format!("the server's certificate is invalid: {}", words(other)),
    }
}

/// Extracts x from `DnsName("x")`.
fn plain(presented: &str) -> &str {
    presented.split('"').nth(1).unwrap_or(presented)
}

/// The name of an enum variant as lower-case words, without its contents.
fn words(value: &dyn fmt::Debug) -> String {
    let name = format!("{value:?}");
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    // Wrapped errors: the innermost name matters.
    let name = match name.rsplit(['(', '{']).next().map(|last| last.trim_end_matches(')')) {
        Some(last) if last.chars().all(|c| c.is_ascii_alphanumeric()) && !last.is_empty() => last.to_owned(),
        _ => name[..end].to_owned(),
    };
    let mut text = String::new();
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && before.is_ascii_lowercase() {
            text.push(' ');
        }
        text.push(c.to_ascii_lowercase());
        before = c;
    }
    text
}

pub(super) fn failure(endpoint: &Endpoint, why: &str) -> Failure {
    Failure::new(FailureKind::Tls, text::clean(&format!("TLS with {endpoint} failed: {why}"), &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_structure_is_in_a_text() {
        let io = |error: rustls::Error| explain(&io::Error::new(io::ErrorKind::InvalidData, error));
        let all = [
            io(rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure)),
            io(rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion)),
            io(rustls::Error::AlertReceived(rustls::AlertDescription::Unknown(99))),
            io(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)),
            io(rustls::Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon)),
            io(rustls::Error::PeerMisbehaved(rustls::PeerMisbehaved::IllegalMiddleboxChangeCipherSpec)),
            io(CertificateError::UnhandledCriticalExtension.into()),
            io(CertificateError::Other(rustls::OtherError(Arc::new(io::Error::other("x")))).into()),
            io(CertificateError::UnknownIssuer.into()),
            io(rustls::Error::DecryptError),
        ];
        for text in all {
            let camel = text.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| {
                word.len() > 3
                    && word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
            });
            assert!(camel.is_none() && !text.contains(['{', '}']), "{text}");
        }
        assert_eq!(words(&rustls::PeerIncompatible::NoCipherSuitesInCommon), "no cipher suites in common");
    }
}
