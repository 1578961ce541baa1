//! Downloads a package from an address that somebody gave (CONTRACT 3.2 b), and trusts neither of them: the address may
//! lead into the network that plugd runs in, and the server may send anything, or nothing for ever.
//!
//! ```text
//! url ──parse──► Target ──resolve, vet──► addresses ──dial, TLS──► connection ──GET──► Answer ──► package
//!                  ▲                                                                     │
//!                  └──────────────────────────────── redirect ◄──────────────────────────┘
//! ```
//!
//! Each redirect passes the same checks as the first address. No environment variable changes whom plugd asks: with a
//! proxy, the addresses that it dials would be beyond any check.

mod http;
mod target;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time;
use tokio_rustls::rustls::ClientConfig;

use self::{
    http::Answer,
    target::{Resolver, System, Target},
};
use crate::domain::{Error, Reason, Result, error::Violation, package::MAX_ARCHIVE, text::shorten};

/// Characters of a host or an address that are repeated.
const MAX_SHOWN: usize = 200;

/// What a download may take. The defaults are those of CONTRACT 3.2.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long it may take in total, redirects included.
    pub timeout: Duration,
    pub max_bytes: u64,
    pub max_redirects: usize,
    /// Whether loopback, private, unique-local and shared addresses may be asked too, and `localhost`: for closed
    /// networks and tests. Other special addresses, link-local ones above all, never are.
    pub allow_private: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(30), max_bytes: MAX_ARCHIVE, max_redirects: 5, allow_private: false }
    }
}

/// Downloads the package at `url`. Dropped, it closes its connection.
///
/// # Errors
/// `INVALID_ARGUMENT` with the field `url` if that is blank; `INVALID_PACKAGE` if there is too much of it;
/// `FETCH_FAILED` for everything else.
pub async fn fetch(url: &str, options: &Options) -> Result<Bytes> {
    Fetcher { options, resolver: &System, tls: http::browsers_tls()? }.fetch(url).await
}

struct Fetcher<'a> {
    options: &'a Options,
    resolver: &'a dyn Resolver,
    tls: Arc<ClientConfig>,
}

impl Fetcher<'_> {
    async fn fetch(&self, url: &str) -> Result<Bytes> {
        let (target, timeout) = (Target::parse(url)?, self.options.timeout);
        let followed = time::timeout(timeout, self.follow(target)).await;
        followed.unwrap_or_else(|_| Err(failure(format!("it took longer than {timeout:?}"))))
    }

    async fn follow(&self, mut target: Target) -> Result<Bytes> {
        for _ in 0..=self.options.max_redirects {
            let answer = self.ask(&target).await?;
            let Some(location) = answer.location() else { return answer.package(self.options.max_bytes).await };
            target = target.redirected(location)?;
        }
        Err(failure(format!("there are more than {} redirects", self.options.max_redirects)))
    }

    async fn ask(&self, target: &Target) -> Result<Answer> {
        let addresses = target::vetted(target, self.resolver, self.options.allow_private).await?;
        let connection = http::dial(target, &addresses, Arc::clone(&self.tls)).await?;
        http::get(connection, target).await
    }
}

/// The package could not be downloaded (CONTRACT 3.2: 400 whatever the cause).
fn failure(why: impl Into<String>) -> Error {
    let description = why.into();
    let error = Error::new(Reason::FetchFailed, format!("the package could not be downloaded: {description}"));
    Error { violations: vec![Violation { field: "url".to_owned(), description }], ..error }
}

/// The package is larger than allowed, in the words for any other package that is.
fn too_large(max_bytes: u64) -> Error {
    let description = format!("it has more than {max_bytes} bytes");
    let error = Error::new(Reason::InvalidPackage, format!("The provided plugin file is invalid: {description}"));
    Error { violations: vec![Violation { field: "package".to_owned(), description }], ..error }
}

/// What somebody else chose, quoted and not too long.
fn shown(text: &str) -> String {
    format!("{:?}", shorten(text, MAX_SHOWN))
}
