//! Who plugd is, and whom it believes: the certificates of its listeners and of its clients.

mod client;
mod error;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Trust, endpoint};
pub use error::{Error, Result};
pub use server::{Certificates, Files, ServerTls};
