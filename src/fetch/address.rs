//! Which addresses packages are downloaded from: public ones only (CONTRACT 3.2 b).
//!
//! Everything in IANA's special-purpose registries for IPv4 and IPv6 is refused, what is reachable from everywhere
//! (anycast for relays and resolvers) too: no packages are served there. Of IPv6, only global unicast is left. Two forms
//! of IPv6 that carry an IPv4 address are as good as that address: IPv4-mapped, and NAT64 with the well-known prefix,
//! which is all that a host in an IPv6-only network may have. Other tunnels (6to4, Teredo, NAT64 with a local prefix)
//! lead who knows where and are refused whatever they carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is that no package is downloaded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// "This" host or network.
    #[error("an unspecified address")]
    Unspecified,
    /// This machine.
    #[error("a loopback address")]
    Loopback,
    /// Private networks (RFC 1918), unique-local and site-local ones.
    #[error("a private address")]
    Private,
    /// Between a provider and its customers (RFC 6598).
    #[error("a carrier's shared address")]
    Shared,
    /// This link; clouds serve their machines' credentials there.
    #[error("a link-local address")]
    LinkLocal,
    /// Many hosts at once.
    #[error("a multicast address")]
    Multicast,
    /// For measurements.
    #[error("an address for benchmarks")]
    Benchmark,
    /// For examples.
    #[error("an address for documentation")]
    Documentation,
    /// An IPv6 tunnel to IPv4.
    #[error("a tunnel's address")]
    Tunnel,
    /// For protocols, or for nothing yet.
    #[error("a reserved address")]
    Reserved,
}

impl Refusal {
    /// Whether an operator may want packages from there all the same, in a closed network. Link-local is not among
    /// them, for the credentials that clouds serve there.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::Shared)
    }
}

/// Whether packages may be downloaded from this address.
///
/// # Errors
/// What kind of address it is instead of a public one.
pub fn vet(address: IpAddr) -> Result<(), Refusal> {
    match address {
        IpAddr::V4(address) => vet_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| vet_v6(address), vet_v4),
    }
}

fn vet_v4(address: Ipv4Addr) -> Result<(), Refusal> {
    V4.iter().find(|(range, _)| range.contains(address)).map_or(Ok(()), |(_, refusal)| Err(*refusal))
}

fn vet_v6(address: Ipv6Addr) -> Result<(), Refusal> {
    match V6.iter().find(|(range, _)| range.contains(address)) {
        Some((_, refusal)) => Err(*refusal),
        None if GLOBAL_UNICAST.contains(address) => Ok(()),
        None => Err(Refusal::Reserved),
    }
}

/// The IPv4 address that decides about this one.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = address.octets();
    EMBEDDING.iter().any(|range| range.contains(address)).then_some(Ipv4Addr::new(a, b, c, d))
}

/// The addresses that begin with the same `prefix` bits as `base`.
struct Range<A> {
    base: A,
    prefix: u32,
}

impl Range<Ipv4Addr> {
    const fn contains(&self, address: Ipv4Addr) -> bool {
        (self.base.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix
    }
}

impl Range<Ipv6Addr> {
    const fn contains(&self, address: Ipv6Addr) -> bool {
        (self.base.to_bits() ^ address.to_bits()).leading_zeros() >= self.prefix
    }
}

/// A range with a purpose other than to serve packages.
type Special<A> = (Range<A>, Refusal);

const fn v4([a, b, c, d]: [u8; 4], prefix: u32, refusal: Refusal) -> Special<Ipv4Addr> {
    (Range { base: Ipv4Addr::new(a, b, c, d), prefix }, refusal)
}

/// By the first four groups of its base; the others are zero.
const fn v6([a, b, c, d]: [u16; 4], prefix: u32, refusal: Refusal) -> Special<Ipv6Addr> {
    (Range { base: Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix }, refusal)
}

/// IANA's IPv4 special-purpose address registry, multicast, and the reserved end.
const V4: [Special<Ipv4Addr>; 18] = [
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
];

/// IANA's IPv6 special-purpose address registry, site-local and multicast; the narrower range first.
const V6: [Special<Ipv6Addr>; 17] = [
    v6([0, 0, 0, 0], 128, Refusal::Unspecified),
    (Range { base: Ipv6Addr::LOCALHOST, prefix: 128 }, Refusal::Loopback),
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

/// What IANA has given to the regions so far.
const GLOBAL_UNICAST: Range<Ipv6Addr> = Range { base: Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), prefix: 3 };

/// IPv4-mapped and NAT64 with the well-known prefix: the last four bytes are an IPv4 address.
const EMBEDDING: [Range<Ipv6Addr>; 2] = [
    Range { base: Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), prefix: 96 },
    Range { base: Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), prefix: 96 },
];

#[cfg(test)]
#[path = "tests/address.rs"]
mod tests;
