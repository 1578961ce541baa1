//! One place to ask for the package: the address given, or one that it redirects to; and the addresses of its host that
//! may be dialled. Names are resolved here and nowhere else, once for each request: a name that says something else a
//! moment later (DNS rebinding) gains nothing.
//!
//! Only public addresses are dialled (CONTRACT 3.2 b). Everything in IANA's special-purpose registries for IPv4 and IPv6 is
//! refused, what is reachable from everywhere (anycast for relays and resolvers) too: no packages are served there. Of IPv6,
//! only global unicast is left. Two forms of IPv6 that carry an IPv4 address are as good as that address: IPv4-mapped, and
//! NAT64 with the well-known prefix, which is all that a host in an IPv6-only network may have. Other tunnels (6to4, Teredo,
//! NAT64 with a local prefix) can lead anywhere and are refused whatever they carry.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use futures_util::future::BoxFuture;
use url::{Host, Position, Url};

use super::{failure, shown};
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

/// The addresses of the target's host. If one of them is refused, all are: a private address among public
/// ones is no accident.
pub(super) async fn vetted(
    target: &Target,
    resolver: &dyn Resolver,
    is_private_allowed: bool,
) -> Result<Vec<SocketAddr>> {
    let found = addresses(target, resolver, is_private_allowed).await?;
    for address in &found {
        check_address(*address, is_private_allowed).map_err(|refusal| refused(target, refusal))?;
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

fn check_address(address: IpAddr, is_private_allowed: bool) -> Result<(), Refusal> {
    vet(address).or_else(|refusal| match refusal.is_private() && is_private_allowed {
        true => Ok(()),
        false => Err(refusal),
    })
}

/// Says what kind of address it is but not which: what private names resolve to is not told.
fn refused(target: &Target, refusal: Refusal) -> Error {
    let host = target.shown_host();
    let remedy = if refusal.is_private() { ", unless plugd is started with --fetch-private" } else { "" };
    failure(format!("the host {host} has {refusal}, and packages come from public addresses only{remedy}"))
}

/// What kind of address it is that no package is downloaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("an unspecified address")]
    Unspecified,
    #[error("a loopback address")]
    Loopback,
    #[error("a private address")]
    Private,
    /// Between a provider and its customers (RFC 6598).
    #[error("a carrier's shared address")]
    Shared,
    /// This link; clouds serve their machines' credentials there.
    #[error("a link-local address")]
    LinkLocal,
    #[error("a multicast address")]
    Multicast,
    #[error("an address for benchmarks")]
    Benchmark,
    #[error("an address for documentation")]
    Documentation,
    #[error("a tunnel's address")]
    Tunnel,
    #[error("a reserved address")]
    Reserved,
}

impl Refusal {
    /// Whether an operator may want packages from there all the same, in a closed network. Link-local is not among
    /// them, for the credentials that clouds serve there.
    const fn is_private(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::Shared)
    }
}

/// Whether packages may be downloaded from this address.
fn vet(address: IpAddr) -> Result<(), Refusal> {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) if has_prefix(address, NAT64, 96) => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).to_ipv6_mapped()
        }
        IpAddr::V6(address) => address,
    };
    match SPECIAL.iter().find(|special| has_prefix(address, special.base, special.prefix)) {
        Some(special) => Err(special.refusal),
        None if has_prefix(address, GLOBAL_UNICAST, 3) || address.to_ipv4_mapped().is_some() => Ok(()),
        None => Err(Refusal::Reserved),
    }
}

/// Whether an address begins with the same `prefix` bits as `base`.
const fn has_prefix(address: Ipv6Addr, base: Ipv6Addr, prefix: u32) -> bool {
    (address.to_bits() ^ base.to_bits()).leading_zeros() >= prefix
}

/// NAT64 with the well-known prefix: the last four bytes are an IPv4 address.
const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

/// What IANA has given to the regions so far begins with the same three bits.
const GLOBAL_UNICAST: Ipv6Addr = Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0);

/// Addresses with a purpose other than to serve packages: those that begin with the same `prefix` bits as `base`.
struct Special {
    base: Ipv6Addr,
    prefix: u32,
    refusal: Refusal,
}

/// As the IPv6 addresses that are mapped to these.
const fn v4([a, b, c, d]: [u8; 4], prefix: u32, refusal: Refusal) -> Special {
    Special { base: Ipv4Addr::new(a, b, c, d).to_ipv6_mapped(), prefix: 96 + prefix, refusal }
}

/// By the first four groups of its base; the others are zero.
const fn v6([a, b, c, d]: [u16; 4], prefix: u32, refusal: Refusal) -> Special {
    Special { base: Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix, refusal }
}

/// IANA's special-purpose address registries, site-local, multicast and reserved addresses; the narrower range first.
const SPECIAL: [Special; 35] = [
    v4([0, 0, 0, 0], 8, Refusal::Unspecified),
    v4([10, 0, 0, 0], 8, Refusal::Private),
    v4([100, 64, 0, 0], 10, Refusal::Shared),
    v4([127, 0, 0, 0], 8, Refusal::Loopback),
    v4([169, 254, 0, 0], 16, Refusal::LinkLocal),
    v4([172, 16, 0, 0], 12, Refusal::Private),
    // Protocol assignments: DS-Lite, dummy addresses, PCP and TURN anycast, NAT64 discovery.
    v4([192, 0, 0, 0], 24, Refusal::Reserved),
    v4([192, 0, 2, 0], 24, Refusal::Documentation),
    // AS112, AMT, and the relays that 6to4 once had.
    v4([192, 31, 196, 0], 24, Refusal::Reserved),
    v4([192, 52, 193, 0], 24, Refusal::Reserved),
    v4([192, 88, 99, 0], 24, Refusal::Reserved),
    v4([192, 168, 0, 0], 16, Refusal::Private),
    v4([192, 175, 48, 0], 24, Refusal::Reserved),
    v4([198, 18, 0, 0], 15, Refusal::Benchmark),
    v4([198, 51, 100, 0], 24, Refusal::Documentation),
    v4([203, 0, 113, 0], 24, Refusal::Documentation),
    v4([224, 0, 0, 0], 4, Refusal::Multicast),
    // Broadcast is at its end.
    v4([240, 0, 0, 0], 4, Refusal::Reserved),
    v6([0, 0, 0, 0], 128, Refusal::Unspecified),
    Special { base: Ipv6Addr::LOCALHOST, prefix: 128, refusal: Refusal::Loopback },
    v6([0x64, 0xff9b, 1, 0], 48, Refusal::Tunnel),
    // Discard-only, and the dummy prefix.
    v6([0x100, 0, 0, 0], 64, Refusal::Reserved),
    v6([0x100, 0, 0, 1], 64, Refusal::Reserved),
    // Teredo.
    v6([0x2001, 0, 0, 0], 32, Refusal::Tunnel),
    v6([0x2001, 2, 0, 0], 48, Refusal::Benchmark),
    // Protocol assignments: PCP, TURN and DNS-SD anycast, AMT, AS112, ORCHID, drones.
    v6([0x2001, 0, 0, 0], 23, Refusal::Reserved),
    v6([0x2001, 0xdb8, 0, 0], 32, Refusal::Documentation),
    // 6to4.
    v6([0x2002, 0, 0, 0], 16, Refusal::Tunnel),
    // AS112.
    v6([0x2620, 0x4f, 0x8000, 0], 48, Refusal::Reserved),
    v6([0x3fff, 0, 0, 0], 20, Refusal::Documentation),
    // Segment routing.
    v6([0x5f00, 0, 0, 0], 16, Refusal::Reserved),
    v6([0xfc00, 0, 0, 0], 7, Refusal::Private),
    v6([0xfe80, 0, 0, 0], 10, Refusal::LinkLocal),
    v6([0xfec0, 0, 0, 0], 10, Refusal::Private),
    v6([0xff00, 0, 0, 0], 8, Refusal::Multicast),
];

#[cfg(test)]
#[path = "tests/address.rs"]
mod address_tests;
#[cfg(test)]
#[path = "tests/target.rs"]
mod tests;
