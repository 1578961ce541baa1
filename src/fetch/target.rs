//! One place to ask for the package: the address given, or one that it redirects to; and the addresses of its host that
//! may be dialled. Names are resolved here and nowhere else, once for each request: a name that says something else a
//! moment later (DNS rebinding) gains nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use futures_util::future::BoxFuture;
use url::{Host, Position, Url};

use super::{
    address::{self, Refusal},
    failure, shown,
};
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

    pub(super) fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The `Host` header: the port only if it is not the scheme's own.
    pub(super) fn authority(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    pub(super) fn path(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

pub(super) trait Resolver: Send + Sync {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// What the machine resolves names with.
pub(super) struct System;

impl Resolver for System {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// The addresses of the target's host. If one of them is refused, all are: who has a private address among public ones
/// is up to something.
pub(super) async fn vetted(
    target: &Target,
    resolver: &dyn Resolver,
    is_private_allowed: bool,
) -> Result<Vec<SocketAddr>> {
    let found = addresses(target, resolver, is_private_allowed).await?;
    for address in &found {
        vet(*address, is_private_allowed).map_err(|refusal| refused(target, refusal))?;
    }
    Ok(found.into_iter().map(|address| SocketAddr::new(address, target.port())).collect())
}

async fn addresses(target: &Target, resolver: &dyn Resolver, is_private_allowed: bool) -> Result<Vec<IpAddr>> {
    match target.host() {
        Some(Host::Ipv4(address)) => Ok(vec![address.into()]),
        Some(Host::Ipv6(address)) => Ok(vec![address.into()]),
        Some(Host::Domain(name)) if is_localhost(name) && !is_private_allowed => {
            Err(refused(target, Refusal::Loopback))
        }
        Some(Host::Domain(name)) => resolver
            .resolve(name)
            .await
            .map_err(|error| failure(format!("the host {} was not found: {error}", target.shown_host()))),
        None => Ok(Vec::new()),
    }
}

/// `localhost` and every name below it (RFC 6761), whatever they resolve to.
fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

fn vet(address: IpAddr, is_private_allowed: bool) -> Result<(), Refusal> {
    address::vet(address).or_else(|refusal| match refusal.is_private() && is_private_allowed {
        true => Ok(()),
        false => Err(refusal),
    })
}

/// Says what kind of address it is but not which: what private names resolve to is nobody's business.
fn refused(target: &Target, refusal: Refusal) -> Error {
    let host = target.shown_host();
    let remedy = if refusal.is_private() { ", unless plugd is started with --fetch-private" } else { "" };
    failure(format!("the host {host} has {refusal}, and packages come from public addresses only{remedy}"))
}

#[cfg(test)]
#[path = "tests/target.rs"]
mod tests;
