//! What is said about a download that failed.

use crate::domain::{Error, Reason, error::Violation};

/// Characters of a host or an address that are repeated.
const MAX_SHOWN: usize = 200;

/// The package could not be downloaded (CONTRACT 3.2: 400 whatever the cause).
pub(super) fn failure(why: impl Into<String>) -> Error {
    let description = why.into();
    let error = Error::new(Reason::FetchFailed, format!("the package could not be downloaded: {description}"));
    Error { violations: vec![Violation { field: "url".to_owned(), description }], ..error }
}

/// The package is larger than allowed, in the words for any other package that is.
pub(super) fn too_large(max_bytes: u64) -> Error {
    let description = format!("it has more than {max_bytes} bytes");
    let error = Error::new(Reason::InvalidPackage, format!("The provided plugin file is invalid: {description}"));
    Error { violations: vec![Violation { field: "package".to_owned(), description }], ..error }
}

/// What strangers chose, quoted and not too long.
pub(super) fn shown(text: &str) -> String {
    let text: String = text.chars().take(MAX_SHOWN).collect();
    format!("{text:?}")
}
