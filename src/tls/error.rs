//! Why certificates can't be used.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls;

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
        /// What is wrong with it.
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
    Unmade(String),
    /// What was made can't be kept.
    #[error("can't write {}: {source}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: std::io::Error,
    },
    /// Two settings that exclude each other.
    #[error("{0} and {1} exclude each other")]
    Contradiction(&'static str, &'static str),
    /// An address that can't be dialled.
    #[error("{0:?} is no address of a server: {1}")]
    Address(String, String),
}

impl Error {
    pub(super) fn unreadable(
        what: &'static str,
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Unreadable { what, path: path.to_owned(), source: source.into() }
    }
}

/// What may fail for one of these.
pub type Result<T, E = Error> = std::result::Result<T, E>;
