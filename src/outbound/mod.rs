//! HTTP requests to addresses that somebody gave, for packages and webhooks. Neither the address nor who answers is trusted: the
//! address may lead into the network that plugd runs in, and the server may send anything, or nothing for ever.
//!
//! ```text
//! url ──parse──► Target ──resolve, vet──► addresses ──dial, TLS──► connection ──request──► Answer
//! ```
//!
//! No environment variable changes whom plugd asks: with a proxy, the addresses that it dials would be beyond any check. Whoever
//! asks sets the deadline, and follows a redirect only by asking its [`Target`] in the same way.

mod http;
mod target;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio_rustls::rustls::ClientConfig;

use self::target::{Resolver, System};
pub use self::{
    http::{Answer, broken},
    target::Target,
};
use crate::domain::text::shorten;

/// Characters of a host or an address that are repeated.
const MAX_SHOWN: usize = 200;

/// Why somebody could not be asked, for a person. Of the address it repeats the scheme and the host at most: the rest may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

impl Unreachable {
    /// For this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Whom plugd may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether loopback, private, unique-local and shared addresses may be asked too, and `localhost`: for closed
    /// networks and tests. Other special addresses, link-local ones above all, never are.
    pub allow_private: bool,
    /// Whether public addresses may be asked without encryption.
    pub allow_plain: bool,
}

/// Asks servers, as far as the rules allow. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    rules: Rules,
    resolver: Arc<dyn Resolver>,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// A client that resolves names as the machine does, and believes the authorities that browsers trust.
    ///
    /// # Errors
    /// The TLS library can't be used.
    pub fn new(rules: Rules) -> Result<Self, Unreachable> {
        Ok(Self { rules, resolver: Arc::new(System), tls: http::browsers_tls()? })
    }

    /// Refuses a target of which it is known, without asking for its name, that it is never asked.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, target: &Target) -> Result<(), Unreachable> {
        target::check(target, self.rules)
    }

    /// Sends a request to a target: its path and host are added. It has no deadline of its own.
    ///
    /// # Errors
    /// The rules forbid it, nobody is there, or who is does not answer in HTTP.
    pub async fn ask(&self, target: &Target, request: Request<Full<Bytes>>) -> Result<Answer, Unreachable> {
        let addresses = target::vetted(target, &*self.resolver, self.rules).await?;
        let connection = http::dial(target, &addresses, Arc::clone(&self.tls)).await?;
        http::send(connection, target, request).await
    }
}

/// What somebody else chose, quoted and not too long.
fn shown(text: &str) -> String {
    format!("{:?}", shorten(text, MAX_SHOWN))
}
