//! TLS of clients: which servers they trust, and the certificate that they show.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::{
    TlsConnector,
    rustls::{
        self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
        client::{
            WebPkiServerVerifier,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
            verify_server_name,
        },
        crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
        pki_types::{CertificateDer, ServerName, UnixTime},
        server::ParsedCertificate,
        sign::CertifiedKey,
    },
};
use tonic::transport::{ClientTlsConfig, Endpoint, Identity};
use webpki_roots::TLS_SERVER_ROOTS;

use super::{Error, Result, authority, certificates, pem, private_key};

/// Which servers a client trusts, and the certificate that it shows; files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Certificates of authorities or of servers that are trusted; none = the authorities that browsers trust.
    pub authority: Option<PathBuf>,
    /// Whether any certificate of a server is taken, unchecked: for trying.
    pub is_blind: bool,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// The server at an `http://` or `https://` address.
pub fn endpoint(address: &str, trust: &Trust) -> Result<Endpoint> {
    let wrong = |why: &str| Error::Address(address.to_owned(), why.to_owned());
    if ["http:", "https:"].contains(&address.trim_end_matches('/')) {
        return Err(wrong("it has no host"));
    }
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| wrong(&error.to_string()))?;
    match endpoint.uri().scheme_str() {
        Some("http") => Ok(endpoint),
        Some("https") => trust.encrypt(endpoint),
        _ => Err(wrong("it starts with neither http:// nor https://")),
    }
}

impl Trust {
    fn encrypt(&self, endpoint: Endpoint) -> Result<Endpoint> {
        let (config, address) = (self.config()?, endpoint.uri().to_string());
        let encrypted = match self.verifier()? {
            Some(verifier) => endpoint.tls_config_with_verifier(config, Arc::new(verifier)),
            None => endpoint.tls_config(config.with_webpki_roots()),
        };
        encrypted.map_err(|error| Error::Address(address, error.to_string()))
    }

    /// What encrypts connections on which this protocol is spoken (ALPN).
    ///
    /// # Errors
    /// A file can't be read, or what it holds can't be used.
    pub fn connector(&self, protocol: &[u8]) -> Result<TlsConnector> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?;
        let verified = match self.verifier()? {
            Some(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
            None => builder.with_root_certificates(RootCertStore::from_iter(TLS_SERVER_ROOTS.iter().cloned())),
        };
        let mut config = match self.identity()? {
            Some((certificate, key)) => {
                verified.with_client_auth_cert(certificates(certificate)?, private_key(key)?)?
            }
            None => verified.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Arc::new(config).into())
    }

    /// Who looks at the server's certificate, unless it is the authorities that browsers trust.
    fn verifier(&self) -> Result<Option<Verifier>> {
        match &self.authority {
            _ if self.is_blind => Ok(Some(Verifier::blind())),
            Some(path) => Ok(Some(Verifier::new(certificates(path)?)?)),
            None => Ok(None),
        }
    }

    fn config(&self) -> Result<ClientTlsConfig> {
        let config = ClientTlsConfig::new();
        let Some((certificate, key)) = self.identity()? else { return Ok(config) };
        // What can't be used is told here: tonic says no more than that there is something wrong.
        CertifiedKey::from_der(certificates(certificate)?, private_key(key)?, &ring::default_provider())?;
        let (certificate, key) = (pem("a certificate", certificate)?, pem("a private key", key)?);
        Ok(config.identity(Identity::from_pem(certificate, key)))
    }

    /// The files of the certificate that it shows and of its key, if it shows one.
    fn identity(&self) -> Result<Option<(&Path, &Path)>> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Error::Incomplete { given: "the client's certificate", missing: "its key" }),
            (None, Some(_)) => Err(Error::Incomplete { given: "the client's key", missing: "its certificate" }),
        }
    }
}

/// Which certificates of servers a client takes.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None: whatever there is. It is encrypted then, but with whom is not known.
    listed: Option<Listed>,
    provider: Arc<CryptoProvider>,
}

/// What the listed certificates vouch for, and each of them itself. The rules of the web (RFC 5280) do not let an
/// authority's certificate, which is what `openssl req -x509` makes, be a server's too. A user who lists one by hand means it,
/// and the holder of its key could make any other certificate: nothing is lost.
#[derive(Debug)]
struct Listed {
    certificates: Vec<CertificateDer<'static>>,
    authority: Arc<WebPkiServerVerifier>,
}

impl Verifier {
    /// A verifier that takes any certificate.
    fn blind() -> Self {
        Self { listed: None, provider: Arc::new(ring::default_provider()) }
    }

    /// A verifier for these certificates.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Result<Self> {
        let (roots, provider) = (Arc::new(authority(&certificates)?), Arc::new(ring::default_provider()));
        let authority = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build()?;
        Ok(Self { listed: Some(Listed { certificates, authority }), provider })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(listed) = &self.listed else { return Ok(ServerCertVerified::assertion()) };
        let is_listed = listed.certificates.contains(end_entity);
        match listed.authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // Its time was looked at before its kind.
            Err(error) if is_listed && is_authority(&error) => named(end_entity, server_name),
            Err(error) if is_listed && is_nameless(&error) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the certificate is refused for being an authority's.
fn is_authority(error: &rustls::Error) -> bool {
    let rustls::Error::InvalidCertificate(CertificateError::Other(other)) = error else { return false };
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Whether the certificate is refused for being for no name at all, as one of `openssl req -x509 -subj /CN=…` is.
fn is_nameless(error: &rustls::Error) -> bool {
    use CertificateError::NotValidForNameContext;
    matches!(error, rustls::Error::InvalidCertificate(NotValidForNameContext { presented, .. }) if presented.is_empty())
}

/// Takes a certificate that is for this name, or for none at all.
fn named(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<ServerCertVerified, rustls::Error> {
    match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
        Err(error) if !is_nameless(&error) => Err(error),
        _ => Ok(ServerCertVerified::assertion()),
    }
}
