//! Why a package could not be laid out.

use std::{io, path::Path};

use crate::{
    domain::{Failure, Stage},
    runtime::words,
};

/// Why a package could not be laid out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    /// The package is at fault.
    #[error("bad package: {0}")]
    Package(String),
    /// The disk is at fault: `cannot write lib/x: No space left on device`.
    #[error("{0}")]
    Disk(String),
    /// Nobody wants the result any more.
    #[error("the start was cancelled")]
    Cancelled,
}

pub(crate) type Result<T, E = InstallError> = std::result::Result<T, E>;

impl InstallError {
    /// `cannot <verb> <path>: <words>`.
    pub(crate) fn disk(verb: &str, path: impl AsRef<Path>, error: &io::Error) -> Self {
        Self::Disk(format!("cannot {verb} {}: {}", path.as_ref().display(), words(error)))
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Self {
        let failure = Self::new(Stage::Start, error.to_string());
        if matches!(error, InstallError::Package(_)) { failure.permanent() } else { failure }
    }
}
