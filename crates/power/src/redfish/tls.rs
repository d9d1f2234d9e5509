//! A certificate pinned by its fingerprint: BMCs sign their own.

use rustls::{
    ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use std::{error::Error, fmt, io, sync::Arc};

/// SHA-256 of a certificate's DER.
pub(super) type Fingerprint = [u8; 32];

/// Reads 64 hex digits, with or without colons.
pub(super) fn parse(text: &str) -> Option<Fingerprint> {
    let digits: Vec<u8> = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}

/// As `spec.endpoint.certificateSha256` takes it.
pub(super) fn show(fingerprint: &Fingerprint) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// The client side of TLS that believes one certificate and no authority. The provider is named here, so that nothing
/// depends on what the process has installed as its default.
pub(super) fn pinned(sha256: Fingerprint) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let pin = Pin { sha256, algorithms: provider.signature_verification_algorithms };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pin))
        .with_no_client_auth())
}

/// The certificate was another one.
#[derive(Debug)]
pub(super) struct Mismatch {
    /// The one that was shown.
    pub(super) seen: Fingerprint,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate has the SHA-256 {}", show(&self.seen))
    }
}

impl Error for Mismatch {}

/// Finds the mismatch behind a failed request.
pub(super) fn mismatch<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Mismatch> {
    causes(error).into_iter().find_map(|cause| match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::Other(other)) => other.0.downcast_ref(),
        _ => None,
    })
}

/// Whether TLS failed because of the certificate.
pub(super) fn about_certificate(error: &(dyn Error + 'static)) -> bool {
    causes(error)
        .into_iter()
        .any(|cause| matches!(cause.downcast_ref(), Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented)))
}

/// The error and all that is behind it. An `io::Error` hides its inner error from `source()`.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = vec![error];
    let mut last = error;
    while let Some(next) =
        last.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|e| e as &(dyn Error + 'static)).or_else(|| last.source())
    {
        causes.push(next);
        last = next;
    }
    causes
}

#[derive(Debug)]
struct Pin {
    sha256: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen: Fingerprint = Sha256::digest(end_entity.as_ref()).into();
        if seen == self.sha256 { Ok(ServerCertVerified::assertion()) } else { Err(rustls::Error::Other(OtherError(Arc::new(Mismatch { seen })))) }
    }

    // Anybody can show the certificate; these two prove that the server has its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons_and_shown_with_them() {
        let fingerprint: Fingerprint = Sha256::digest(b"x").into();
        let shown = show(&fingerprint);
        assert_eq!(shown.len(), 95);
        assert_eq!(parse(&shown), Some(fingerprint));
        assert_eq!(parse(&shown.replace(':', "").to_lowercase()), Some(fingerprint));
        for wrong in ["", "12", &shown[..92], &format!("{shown}:00"), &shown.replace(':', "-"), "ä"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
