//! One place to ask for the package: the address given, or one that it redirects to.

use url::{Host, Position, Url};

use super::failure::{failure, shown};
use crate::domain::{Error, Result};

/// An address that passed every check which needs no name resolved. Errors repeat of it the host and the scheme at most:
/// the rest may be a secret.
#[derive(Debug)]
pub(super) struct Target {
    url: Url,
}

impl Target {
    /// Reads the address that a caller gave.
    pub(super) fn parse(url: &str) -> Result<Self> {
        if url.trim().is_empty() {
            return Err(Error::field("url", "must not be blank"));
        }
        let url = Url::parse(url).map_err(|error| failure(format!("the address is wrong: {error}")))?;
        Self::checked(url)
    }

    /// Where this one's answer leads: never from https to http (CONTRACT 3.2).
    pub(super) fn redirected(&self, location: &[u8]) -> Result<Self> {
        let location = String::from_utf8_lossy(location);
        let wrong = |error| failure(format!("{} redirects to a wrong address: {error}", self.shown_host()));
        let next = Self::checked(self.url.join(&location).map_err(wrong)?)?;
        if self.is_tls() && !next.is_tls() {
            return Err(failure(format!("{} redirects from https to http", self.shown_host())));
        }
        Ok(next)
    }

    fn checked(url: Url) -> Result<Self> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(failure(format!("the scheme {} is neither http nor https", shown(url.scheme()))));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(failure("an address must not have a user or a password"));
        }
        if !url.has_host() {
            return Err(failure("the address has no host"));
        }
        Ok(Self { url })
    }

    /// Whom to ask, if it is a name, without the dot that may end it.
    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.url.host().map(|host| match host {
            Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name)),
            address => address,
        })
    }

    /// The host, for people.
    pub(super) fn shown_host(&self) -> String {
        shown(self.url.host_str().unwrap_or_default())
    }

    /// Where its host listens.
    pub(super) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or_default()
    }

    /// Whether its scheme is https.
    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The `Host` header: the port only if it is not the scheme's own.
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Path and query.
    pub(super) fn path(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

#[cfg(test)]
#[path = "tests/target.rs"]
mod tests;
