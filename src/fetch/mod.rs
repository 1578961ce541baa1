//! x
use crate::domain;
/// o
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// p
    pub allow_private: bool,
}
/// f
/// # Errors
/// x
pub async fn fetch(_url: &str, _o: &Options) -> domain::Result<bytes::Bytes> {
    Err(domain::Error::field("url", "x"))
}
