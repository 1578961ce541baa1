//! Whom a client believes, and how it says who it is.

use std::{path::PathBuf, sync::Arc};

use tonic::transport::{ClientTlsConfig, Endpoint, Identity};

use super::{
    Error, Result, pem,
    server::certificates,
    verify::{Anybody, Listed},
};

/// Whom a client believes, and how it says who it is; files in PEM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Who vouches for servers, or servers' own certificates; nobody named = those whom browsers believe.
    pub authority: Option<PathBuf>,
    /// Whether any server is believed, whoever it is: for trying.
    pub is_blind: bool,
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
        let encrypted = match &self.authority {
            _ if self.is_blind => endpoint.tls_config_with_verifier(config, Arc::new(Anybody::default())),
            Some(path) => endpoint.tls_config_with_verifier(config, Arc::new(Listed::new(certificates(path)?)?)),
            None => endpoint.tls_config(config.with_webpki_roots()),
        };
        encrypted.map_err(|error| Error::Address(address, error.to_string()))
    }

    fn config(&self) -> Result<ClientTlsConfig> {
        let config = ClientTlsConfig::new();
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
