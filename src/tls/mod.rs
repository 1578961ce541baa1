//! Certificates: those that plugd's listeners and clients show, and those that they trust.

mod client;
mod server;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio_rustls::rustls::{
    self, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
};
use webpki::KeyUsage;

use crate::{domain::text::unmarked, files};

pub use client::{Trust, endpoint};
pub use server::{Certificates, Files, SelfSigned, ServerTls};

/// Why certificates can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One setting of several that only work together.
    #[error("{given} needs {missing}")]
    Incomplete {
        /// The setting that is there.
        given: &'static str,
        /// The one that is not.
        missing: &'static str,
    },
    /// A file is not there, can't be read, or is not PEM.
    #[error("can't read {what} from {}: {source}", path.display())]
    Unreadable {
        /// What it should hold.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// They can be read, but not served with: the key is another certificate's, or of a kind that is not known.
    #[error("the certificate and its key can't be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The authority that vouches for clients can't be used.
    #[error("the clients' authority can't be used: {0}")]
    Authority(#[from] rustls::server::VerifierBuilderError),
    /// A certificate of its own can't be made.
    #[error("can't make a certificate: {0}")]
    Unmade(#[from] rcgen::Error),
    /// What was made can't be kept.
    #[error("can't write {}: {source}", path.display())]
    Unwritable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Two settings that exclude each other.
    #[error("{0} and {1} exclude each other")]
    Contradiction(&'static str, &'static str),
    /// An address that can't be dialled.
    #[error("{0:?} is no address of a server: {1}")]
    Address(String, String),
}

impl Error {
    fn unreadable(
        what: &'static str,
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreadable { what, path: path.to_owned(), source: source.into() }
    }
}

/// What may fail for one of these.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a PEM file holds; `what` is for messages.
fn pem(what: &'static str, path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read(path, files::MAX_TEXT).map_err(|error| Error::unreadable(what, path, error))?;
    unmarked(&bytes).map(<[u8]>::to_vec).map_err(|error| Error::unreadable(what, path, error))
}

/// The private key of a PEM file.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let key = PrivateKeyDer::from_pem_slice(&pem("a private key", path)?);
    key.map_err(|error| Error::unreadable("a private key", path, error))
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error| Error::unreadable("certificates", path, error);
    let bytes = pem("certificates", path)?;
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| unreadable(Box::<dyn std::error::Error + Send + Sync>::from(error)))?;
    if found.is_empty() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidData, "no certificate is in it").into()));
    }
    Ok(found)
}

/// When the first certificate of a PEM file ends. A verifier is asked about a time at which every certificate has ended: it
/// says since when, before it looks at who vouches for it.
pub fn end_of(path: &Path) -> Result<SystemTime> {
    let own = certificates(path)?.into_iter().next().unwrap_or_else(|| Vec::new().into());
    let unusable = |error: webpki::Error| Error::unreadable("a certificate", path, error);
    let certificate = webpki::EndEntityCert::try_from(&own).map_err(unusable)?;
    let (later, usage) = (UnixTime::since_unix_epoch(LONG_AFTER), KeyUsage::server_auth());
    match certificate.verify_for_usage(&[], &[], &[], later, usage, None, None) {
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(not_after.as_secs()))
        }
        Err(error) => Err(unusable(error)),
        Ok(_) => Ok(SystemTime::UNIX_EPOCH + LONG_AFTER),
    }
}

/// A time after the year 9999, the last that a certificate can name.
const LONG_AFTER: Duration = Duration::from_secs(10_000 * 366 * 24 * 60 * 60);

/// A store of roots that trusts these certificates.
fn authority(certificates: &[CertificateDer<'static>]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    certificates.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
    Ok(roots)
}
