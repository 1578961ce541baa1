//! From a host to the addresses that may be dialled. Names are resolved here and nowhere else, once for each request: a
//! name that says something else a moment later (DNS rebinding) gains nothing.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use futures_util::future::BoxFuture;
use url::Host;

use super::{
    failure::failure,
    guard::{self, Refusal},
    target::Target,
};
use crate::domain::Result;

/// Knows the addresses of names.
pub(super) trait Resolver: Send + Sync {
    /// Every address of a name.
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
///
/// # Errors
/// `FETCH_FAILED`: not found, or refused.
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
    guard::vet(address).or_else(|refusal| match refusal.is_private() && is_private_allowed {
        true => Ok(()),
        false => Err(refusal),
    })
}

/// Says what kind of address it is but not which: what private names resolve to is nobody's business.
fn refused(target: &Target, refusal: Refusal) -> crate::domain::Error {
    let host = target.shown_host();
    let remedy = if refusal.is_private() { ", unless plugd is started with --fetch-private" } else { "" };
    failure(format!("the host {host} has {refusal}, and packages come from public addresses only{remedy}"))
}
