//! Who plugd is, and whom it believes: the certificates of its listeners and of its clients.

mod client;
mod error;
mod self_signed;
mod server;
#[cfg(test)]
mod tests;
mod verify;

use std::path::Path;

use crate::{domain::text::unmarked, files};

pub use client::{Trust, endpoint};
pub use error::{Error, Result};
pub use self_signed::SelfSigned;
pub use server::{Certificates, Files, ServerTls};

/// What a PEM file holds; `what` is for messages.
fn pem(what: &'static str, path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read(path, files::MAX_TEXT).map_err(|error| Error::unreadable(what, path, error))?;
    unmarked(&bytes).map(<[u8]>::to_vec).map_err(|error| Error::unreadable(what, path, error))
}
