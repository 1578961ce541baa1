//! Which certificate of a server a client takes.

use std::sync::Arc;

use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

/// Takes what the listed certificates vouch for, and each of them itself. The rules of the web (RFC 5280) do not let an
/// authority's certificate, which is what `openssl req -x509` makes, be a server's too. Who lists one by hand means it, and
/// whoever has its key could make any other certificate: nothing is lost.
#[derive(Debug)]
pub(super) struct Listed {
    listed: Vec<CertificateDer<'static>>,
    authority: Arc<WebPkiServerVerifier>,
}

impl Listed {
    /// A verifier for these certificates.
    ///
    /// # Errors
    /// One of them is none, or of an unknown kind.
    pub(super) fn new(listed: Vec<CertificateDer<'static>>) -> super::Result<Self> {
        let mut roots = RootCertStore::empty();
        listed.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
        let provider = Arc::new(ring::default_provider());
        let authority = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { listed, authority })
    }
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            // Its time was looked at before its kind.
            Err(error) if is_authority(&error) && self.listed.contains(end_entity) => named(end_entity, server_name),
            Err(Error::InvalidCertificate(error)) if is_nameless(&error) && self.listed.contains(end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.supported_verify_schemes()
    }
}

/// Is the certificate refused for being an authority's?
fn is_authority(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Is the certificate for no name at all, as one of `openssl req -x509 -subj /CN=…` is?
fn is_nameless(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty())
}

/// Is a certificate for this name, if it is for any?
fn named(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<ServerCertVerified, Error> {
    match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
        Err(Error::InvalidCertificate(error)) if !is_nameless(&error) => Err(error.into()),
        Err(error) if !matches!(error, Error::InvalidCertificate(_)) => Err(error),
        _ => Ok(ServerCertVerified::assertion()),
    }
}

/// Takes whatever certificate there is: encrypted, but with whom is not known.
#[derive(Debug)]
pub(super) struct Anybody(CryptoProvider);

impl Default for Anybody {
    fn default() -> Self {
        Self(ring::default_provider())
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
