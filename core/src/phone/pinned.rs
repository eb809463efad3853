//! TLS as a phone speaks it: the server is whoever holds a pinned key, and nobody else. No list of authorities, no dates, no
//! names: a ward's server has none of the first, and a phone whose battery died has no date.
//!
//! The handshake's signature is verified as always: without the key, its certificate alone is worth nothing.

use super::error::PhoneError;
use crate::{hash::Sha256, pin};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use std::sync::Arc;

/// The word for a server that does not hold a pinned key.
pub(super) const ANOTHER_KEY: &str = "another-key";

/// TLS with whoever holds one of these keys.
///
/// # Errors
/// `Internal` if the library knows none of its own protocols.
pub(super) fn config(pins: &[Sha256]) -> Result<ClientConfig, PhoneError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let pinned = Pinned {
        pins: pins.to_vec(),
        algorithms: provider.signature_verification_algorithms,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(PhoneError::internal)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Ok(config)
}

/// Whether a request failed because another key answered.
pub(super) fn is_another_key(error: &(dyn std::error::Error + 'static)) -> bool {
    let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
    if error.downcast_ref::<Error>() == Some(&refused) {
        return true;
    }
    // An IO error passes over what it holds when it is asked for its source.
    let held = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .is_some_and(|held| is_another_key(held));
    held || error.source().is_some_and(is_another_key)
}

#[derive(Debug)]
struct Pinned {
    pins: Vec<Sha256>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        // What cannot be read is as little ours as what has another key.
        let Ok(certificate) = ParsedCertificate::try_from(end_entity) else {
            return Err(refused);
        };
        if self
            .pins
            .contains(&pin::of_key(&certificate.subject_public_key_info()))
        {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refused)
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
