//! One place to ask: the address given, or one that it redirects to; and the addresses of its host that may be dialled. Names are
//! resolved here and nowhere else, once for each request: a name that says something else a moment later (DNS rebinding) gains
//! nothing.
//!
//! Only public addresses are dialled (CONTRACT 3.2 b). Everything in IANA's special-purpose registries for IPv4 and IPv6 is
//! refused, what is reachable from everywhere (anycast for relays and resolvers) too: nobody serves packages or webhooks there. Of
//! IPv6, only global unicast is left. Two forms of IPv6 that carry an IPv4 address are as good as that address: IPv4-mapped, and
//! NAT64 with the well-known prefix, which is all that a host in an IPv6-only network may have. Other tunnels (6to4, Teredo,
//! NAT64 with a local prefix) can lead anywhere and are refused whatever they carry.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use futures_util::future::BoxFuture;
use url::{Host, Position, Url};

use super::{Rules, Unreachable, shown};

/// An address that passed every check which needs no name resolved.
#[derive(Debug, Clone)]
pub struct Target {
    url: Url,
}

impl Target {
    /// Reads the address that a caller gave.
    ///
    /// # Errors
    /// It is no URL, neither of http nor https, has no host, or has a user.
    pub fn parse(url: &str) -> Result<Self, Unreachable> {
        let url = Url::parse(url).map_err(|error| Unreachable::new(format!("the address is wrong: {error}")))?;
        Self::checked(url)
    }

    /// Where this one's answer leads: never from https to http (CONTRACT 3.2).
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn redirected(&self, location: &[u8]) -> Result<Self, Unreachable> {
        let location = String::from_utf8_lossy(location);
        let wrong = |error| Unreachable::new(format!("{} redirects to a wrong address: {error}", self.shown_host()));
        let next = Self::checked(self.url.join(&location).map_err(wrong)?)?;
        if self.is_tls() && !next.is_tls() {
            return Err(Unreachable::new(format!("{} redirects from https to http", self.shown_host())));
        }
        Ok(next)
    }

    fn checked(url: Url) -> Result<Self, Unreachable> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Unreachable::new(format!("the scheme {} is neither http nor https", shown(url.scheme()))));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Unreachable::new("an address must not have a user or a password"));
        }
        if !url.has_host() {
            return Err(Unreachable::new("the address has no host"));
        }
        Ok(Self { url })
    }

    /// Its host, if that is a name, without the dot that may end it.
    pub(super) fn name(&self) -> Option<&str> {
        self.url.domain().map(|name| name.strip_suffix('.').unwrap_or(name))
    }

    /// Its host, if that is an address and no name.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    /// The scheme and the host with its port, for whoever must not see the rest: that may be a secret.
    pub fn origin(&self) -> &str {
        &self.url[..Position::AfterPort]
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

pub trait Resolver: Send + Sync {
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
    rules: Rules,
) -> Result<Vec<SocketAddr>, Unreachable> {
    check(target, rules)?;
    let found = match target.name() {
        Some(name) => resolver
            .resolve(name)
            .await
            .map_err(|error| Unreachable::new(format!("the host {} was not found: {error}", target.shown_host())))?,
        None => target.literal().into_iter().collect(),
    };
    for address in &found {
        check_address(target, *address, rules)?;
    }
    Ok(found.into_iter().map(|address| SocketAddr::new(address, target.port())).collect())
}

/// What can be said of a target before its name is resolved.
pub(super) fn check(target: &Target, rules: Rules) -> Result<(), Unreachable> {
    if let Some(address) = target.literal() {
        return check_address(target, address, rules);
    }
    match target.name() {
        Some(name) if is_localhost(name) && !rules.allow_private => Err(refused(target, Refusal::Loopback)),
        _ if !target.is_tls() && !rules.allow_plain && !rules.allow_private => Err(unencrypted(target)),
        _ => Ok(()),
    }
}

fn check_address(target: &Target, address: IpAddr, rules: Rules) -> Result<(), Unreachable> {
    match vet(address) {
        Ok(()) if !target.is_tls() && !rules.allow_plain => Err(unencrypted(target)),
        Err(refusal) if !(refusal.is_private() && rules.allow_private) => Err(refused(target, refusal)),
        _ => Ok(()),
    }
}

fn unencrypted(target: &Target) -> Unreachable {
    Unreachable::new(format!("the host {} may only be asked over https", target.shown_host()))
}

/// `localhost` and every name below it (RFC 6761), whatever they resolve to.
fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Says what kind of address it is but not which: what private names resolve to is not told.
fn refused(target: &Target, refusal: Refusal) -> Unreachable {
    let host = target.shown_host();
    let remedy = if refusal.is_private() { ", unless plugd is started with --fetch-private" } else { "" };
    Unreachable::new(format!("the host {host} has {refusal}, and only public addresses are asked{remedy}"))
}

/// What kind of address it is that is not asked.
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
    /// Where clouds serve their machines' credentials beside link-local.
    #[error("a cloud's metadata address")]
    Metadata,
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
    /// Whether an operator may want it to be asked all the same, in a closed network. Link-local and metadata are
    /// not among them, for the credentials that clouds serve there.
    const fn is_private(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::Shared)
    }
}

/// Whether everybody may be asked at this address.
fn vet(address: IpAddr) -> Result<(), Refusal> {
    let address = match address.to_canonical() {
        IpAddr::V6(v6) if is_in(v6.into(), NAT64) => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    };
    match SPECIAL.iter().find(|(network, _)| is_in(address, network)) {
        Some((_, refusal)) => Err(*refusal),
        None if address.is_ipv4() || is_in(address, GLOBAL_UNICAST) => Ok(()),
        None => Err(Refusal::Reserved),
    }
}

/// Whether an address is in a network, written like `10.0.0.0/8`. One that can't be read would have every address in it.
fn is_in(address: IpAddr, network: &str) -> bool {
    let parse = |(base, prefix): (&str, &str)| Some((base.parse().ok()?, prefix.parse().ok()?));
    let Some((base, prefix)): Option<(IpAddr, u32)> = network.split_once('/').and_then(parse) else { return true };
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => (address.to_bits() ^ base.to_bits()).leading_zeros() >= prefix,
        (IpAddr::V6(address), IpAddr::V6(base)) => (address.to_bits() ^ base.to_bits()).leading_zeros() >= prefix,
        _ => false,
    }
}

/// NAT64 with the well-known prefix: the last four bytes are an IPv4 address.
const NAT64: &str = "64:ff9b::/96";

/// What IANA has given to the regions so far begins with the same three bits.
const GLOBAL_UNICAST: &str = "2000::/3";

/// Networks with a purpose other than to serve the public: IANA's special-purpose address registries, site-local, multicast and
/// reserved addresses, and where clouds serve credentials; the narrower one first.
const SPECIAL: [(&str, Refusal); 39] = [
    ("0.0.0.0/8", Refusal::Unspecified),
    ("10.0.0.0/8", Refusal::Private),
    // Alibaba Cloud.
    ("100.100.100.200/32", Refusal::Metadata),
    ("100.64.0.0/10", Refusal::Shared),
    ("127.0.0.0/8", Refusal::Loopback),
    // Azure.
    ("168.63.129.16/32", Refusal::Metadata),
    ("169.254.0.0/16", Refusal::LinkLocal),
    ("172.16.0.0/12", Refusal::Private),
    // Protocol assignments: DS-Lite, dummy addresses, PCP and TURN anycast, NAT64 discovery.
    ("192.0.0.0/24", Refusal::Reserved),
    ("192.0.2.0/24", Refusal::Documentation),
    // AS112, AMT, and the relays that 6to4 once had.
    ("192.31.196.0/24", Refusal::Reserved),
    ("192.52.193.0/24", Refusal::Reserved),
    ("192.88.99.0/24", Refusal::Reserved),
    ("192.168.0.0/16", Refusal::Private),
    ("192.175.48.0/24", Refusal::Reserved),
    ("198.18.0.0/15", Refusal::Benchmark),
    ("198.51.100.0/24", Refusal::Documentation),
    ("203.0.113.0/24", Refusal::Documentation),
    ("224.0.0.0/4", Refusal::Multicast),
    // Broadcast is at its end.
    ("240.0.0.0/4", Refusal::Reserved),
    ("::/128", Refusal::Unspecified),
    ("::1/128", Refusal::Loopback),
    ("64:ff9b:1::/48", Refusal::Tunnel),
    // Discard-only, and the dummy prefix.
    ("100::/64", Refusal::Reserved),
    ("100:0:0:1::/64", Refusal::Reserved),
    // Teredo.
    ("2001::/32", Refusal::Tunnel),
    ("2001:2::/48", Refusal::Benchmark),
    // Protocol assignments: PCP, TURN and DNS-SD anycast, AMT, AS112, ORCHID, drones.
    ("2001::/23", Refusal::Reserved),
    ("2001:db8::/32", Refusal::Documentation),
    // 6to4.
    ("2002::/16", Refusal::Tunnel),
    // AS112.
    ("2620:4f:8000::/48", Refusal::Reserved),
    ("3fff::/20", Refusal::Documentation),
    // Segment routing.
    ("5f00::/16", Refusal::Reserved),
    // AWS, Google Cloud.
    ("fd00:ec2::254/128", Refusal::Metadata),
    ("fd20:ce::254/128", Refusal::Metadata),
    ("fc00::/7", Refusal::Private),
    ("fe80::/10", Refusal::LinkLocal),
    ("fec0::/10", Refusal::Private),
    ("ff00::/8", Refusal::Multicast),
];

#[cfg(test)]
#[path = "tests/address.rs"]
mod address_tests;
#[cfg(test)]
#[path = "tests/target.rs"]
mod tests;
