//! Columns to and from the domain's types.

use std::{fmt::Display, str::FromStr};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::StoreError;
use crate::domain::Digest;

/// A count as databases hold it. None of ours comes near the limit.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count from a column.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is negative.
pub(super) fn unsigned(column: i64) -> Result<u64, StoreError> {
    u64::try_from(column).map_err(|_| StoreError::Corrupt(format!("{column} where a count should be")))
}

/// An id or a time from its text.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn parse<T: FromStr<Err: Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| StoreError::Corrupt(format!("{text:?}: {error}")))
}

/// The word by which serde knows a plain enum's variant.
pub(super) fn word<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => Some(word),
        _ => None,
    }
}

/// The variant of this word.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn from_word<T: DeserializeOwned>(word: String) -> Result<T, StoreError> {
    serde_json::from_value(Value::String(word)).map_err(|error| StoreError::Corrupt(error.to_string()))
}

/// A digest, or a token's hash, from its 32 bytes.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn bytes32(bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Corrupt(format!("{} bytes where a digest should be", bytes.len())))
}

/// A digest from its column.
///
/// # Errors
/// [`StoreError::Corrupt`].
pub(super) fn digest(bytes: &[u8]) -> Result<Digest, StoreError> {
    bytes32(bytes).map(Digest)
}
