//! Why a package is refused, in words that name the entry at fault.

use super::super::error::{Error, Reason, Violation};

/// How every refusal of a package begins (CONTRACT 3.2).
const PREFIX: &str = "The provided plugin file is invalid: ";

/// Characters of an entry's name that are repeated.
const MAX_SHOWN: usize = 200;

/// Why a package is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    entry: Option<String>,
    why: String,
}

impl Refusal {
    /// The archive as a whole is at fault.
    pub(super) fn archive(why: impl Into<String>) -> Self {
        Self { entry: None, why: why.into() }
    }

    /// One entry is at fault.
    pub(super) fn entry(name: &str, why: impl Into<String>) -> Self {
        Self { entry: Some(name.chars().take(MAX_SHOWN).collect()), why: why.into() }
    }
}

impl From<Refusal> for Error {
    fn from(Refusal { entry, why }: Refusal) -> Self {
        let (field, place) = match &entry {
            Some(name) => (format!("package[{name}]"), format!("entry {name:?}: ")),
            None => ("package".to_owned(), String::new()),
        };
        let error = Self::new(Reason::InvalidPackage, format!("{PREFIX}{place}{why}"));
        let error = Self { violations: vec![Violation { field, description: why }], ..error };
        entry.into_iter().fold(error, |error, name| error.with("entry", name))
    }
}

/// A refusal of the manifest, in the words of a refusal of its package.
pub(super) fn in_package(error: Error) -> Error {
    Error { message: format!("{PREFIX}{}", error.message), ..error }
}
