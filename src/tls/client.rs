//! Whom a client believes, and how it says who it is.

use std::path::PathBuf;

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::{Error, Result, pem};

/// Whom a client believes, and how it says who it is; files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Who vouches for servers; nobody named = those whom browsers believe.
    pub authority: Option<PathBuf>,
    /// The client's own certificate, for servers that ask for one.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// The server at an `http://` or `https://` address.
///
/// # Errors
/// The address is none, or a file can't be read.
pub fn endpoint(address: &str, trust: &Trust) -> Result<Endpoint> {
    let wrong = |why: &str| Error::Address(address.to_owned(), why.to_owned());
    let endpoint = Endpoint::from_shared(address.to_owned()).map_err(|error| wrong(&error.to_string()))?;
    match endpoint.uri().scheme_str() {
        Some("http") => Ok(endpoint),
        Some("https") => endpoint.tls_config(trust.config()?).map_err(|error| wrong(&error.to_string())),
        _ => Err(wrong("it starts with neither http:// nor https://")),
    }
}

impl Trust {
    fn config(&self) -> Result<ClientTlsConfig> {
        let config = match &self.authority {
            Some(path) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem("certificates", path)?)),
            None => ClientTlsConfig::new().with_webpki_roots(),
        };
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (pem("a certificate", certificate)?, pem("a private key", key)?);
                Ok(config.identity(Identity::from_pem(certificate, key)))
            }
            (None, None) => Ok(config),
            (Some(_), None) => Err(Error::Incomplete { given: "the client's certificate", missing: "its key" }),
            (None, Some(_)) => Err(Error::Incomplete { given: "the client's key", missing: "its certificate" }),
        }
    }
}
