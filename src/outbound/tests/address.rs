use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{Refusal, vet};

/// IANA's registries as they are written, and multicast, site-local and the deprecated forms beside them.
const SPECIAL: [(&str, u32, Refusal); 55] = [
    ("0.0.0.0", 8, Refusal::Unspecified),
    ("0.0.0.0", 32, Refusal::Unspecified),
    ("10.0.0.0", 8, Refusal::Private),
    ("100.64.0.0", 10, Refusal::Shared),
    ("127.0.0.0", 8, Refusal::Loopback),
    ("169.254.0.0", 16, Refusal::LinkLocal),
    ("172.16.0.0", 12, Refusal::Private),
    ("192.0.0.0", 24, Refusal::Reserved),
    ("192.0.0.0", 29, Refusal::Reserved),
    ("192.0.0.8", 32, Refusal::Reserved),
    ("192.0.0.9", 32, Refusal::Reserved),
    ("192.0.0.10", 32, Refusal::Reserved),
    ("192.0.0.170", 31, Refusal::Reserved),
    ("192.0.2.0", 24, Refusal::Documentation),
    ("192.31.196.0", 24, Refusal::Reserved),
    ("192.52.193.0", 24, Refusal::Reserved),
    ("192.88.99.0", 24, Refusal::Reserved),
    ("192.168.0.0", 16, Refusal::Private),
    ("192.175.48.0", 24, Refusal::Reserved),
    ("198.18.0.0", 15, Refusal::Benchmark),
    ("198.51.100.0", 24, Refusal::Documentation),
    ("203.0.113.0", 24, Refusal::Documentation),
    ("224.0.0.0", 4, Refusal::Multicast),
    ("240.0.0.0", 4, Refusal::Reserved),
    ("255.255.255.255", 32, Refusal::Reserved),
    ("::", 128, Refusal::Unspecified),
    ("::1", 128, Refusal::Loopback),
    ("::7f00:0", 104, Refusal::Reserved),
    ("::ffff:127.0.0.0", 104, Refusal::Loopback),
    ("::ffff:10.0.0.0", 104, Refusal::Private),
    ("64:ff9b::169.254.0.0", 112, Refusal::LinkLocal),
    ("64:ff9b:1::", 48, Refusal::Tunnel),
    ("100::", 64, Refusal::Reserved),
    ("100:0:0:1::", 64, Refusal::Reserved),
    ("2001::", 32, Refusal::Tunnel),
    ("2001:1::", 32, Refusal::Reserved),
    ("2001:1::1", 128, Refusal::Reserved),
    ("2001:1::2", 128, Refusal::Reserved),
    ("2001:1::3", 128, Refusal::Reserved),
    ("2001:2::", 48, Refusal::Benchmark),
    ("2001:3::", 32, Refusal::Reserved),
    ("2001:4:112::", 48, Refusal::Reserved),
    ("2001:10::", 28, Refusal::Reserved),
    ("2001:20::", 28, Refusal::Reserved),
    ("2001:30::", 28, Refusal::Reserved),
    ("2001:100::", 24, Refusal::Reserved),
    ("2001:db8::", 32, Refusal::Documentation),
    ("2002::", 16, Refusal::Tunnel),
    ("2620:4f:8000::", 48, Refusal::Reserved),
    ("3fff::", 20, Refusal::Documentation),
    ("5f00::", 16, Refusal::Reserved),
    ("fc00::", 7, Refusal::Private),
    ("fe80::", 10, Refusal::LinkLocal),
    ("fec0::", 10, Refusal::Private),
    ("ff00::", 8, Refusal::Multicast),
];

/// Public addresses: some that are well known, and the neighbours of every special range that have no purpose.
const PUBLIC: [&str; 42] = [
    "1.1.1.1",
    "8.8.8.8",
    "1.0.0.0",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.31.195.255",
    "192.31.197.0",
    "192.52.192.255",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "192.175.47.255",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "2000::",
    "2001:200::",
    "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
    "2001:db9::",
    "2003::",
    "2606:4700:4700::1111",
    "2620:4f:8001::",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "3fff:1000::",
];

/// First and last address of a range.
fn ends(base: &str, prefix: u32) -> [IpAddr; 2] {
    match base.parse().unwrap() {
        IpAddr::V4(first) => {
            let last = first.to_bits() | u32::MAX.checked_shr(prefix).unwrap_or(0);
            [first.into(), Ipv4Addr::from_bits(last).into()]
        }
        IpAddr::V6(first) => {
            let last = first.to_bits() | u128::MAX.checked_shr(prefix).unwrap_or(0);
            [first.into(), Ipv6Addr::from_bits(last).into()]
        }
    }
}

/// Every IPv6 address that has this IPv4 address in it.
fn forms(address: Ipv4Addr) -> [Ipv6Addr; 8] {
    let bits = u128::from(address.to_bits());
    let at = |prefix: u128, lowest_bit: u32| Ipv6Addr::from_bits(prefix | bits << lowest_bit);
    [
        at(0, 0),
        at(0xffff << 32, 0),
        // NAT64: the well-known prefix, then the local one with 96 and with 48 bits.
        at(0x0064_ff9b << 96, 0),
        at(0x0064_ff9b_0001 << 80, 0),
        Ipv6Addr::from_bits((0x0064_ff9b_0001 << 80) | (bits >> 16) << 64 | (bits & 0xffff) << 40),
        // 6to4.
        at(0x2002 << 112, 80),
        // Teredo: as the server, and as the client, inverted.
        at(0x2001_0000 << 96, 64),
        Ipv6Addr::from_bits(0x2001_0000 << 96 | 0x0808_0808 << 64 | (bits ^ 0xffff_ffff)),
    ]
}

/// Refused IPv4 addresses, every range as likely as the next.
fn refused_v4() -> impl Strategy<Value = Ipv4Addr> {
    let networks = super::SPECIAL.iter().map(|(network, _)| network.split_once('/').unwrap());
    let v4 = networks.filter_map(|(base, prefix)| Some((base.parse::<Ipv4Addr>().ok()?, prefix.parse().unwrap())));
    let ranges: Vec<(u32, u32)> = v4.map(|(base, prefix)| (base.to_bits(), prefix)).collect();
    let within = (proptest::sample::select(ranges), any::<u32>());
    within.prop_map(|((base, prefix), host)| {
        Ipv4Addr::from_bits(base | (host & u32::MAX.checked_shr(prefix).unwrap_or(0)))
    })
}

#[test]
fn both_ends_of_every_special_range_are_refused() {
    for (base, prefix, refusal) in SPECIAL {
        for address in ends(base, prefix) {
            assert_eq!(vet(address), Err(refusal), "{address} of {base}/{prefix}");
        }
    }
}

#[test]
fn public_addresses_are_not_refused() {
    for address in PUBLIC {
        assert_eq!(vet(address.parse().unwrap()), Ok(()), "{address}");
    }
}

#[test]
fn an_operator_cannot_allow_what_clouds_serve_credentials_at() {
    let link_local = ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "fe80::1"];
    let elsewhere = ["100.100.100.200", "::ffff:100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"];
    for address in link_local.into_iter().chain(elsewhere) {
        assert!(!vet(address.parse().unwrap()).unwrap_err().is_private(), "{address}");
    }
}

proptest! {
    #[test]
    fn a_refused_ipv4_address_is_refused_in_every_ipv6_form(address in refused_v4()) {
        prop_assert!(vet(address.into()).is_err());
        for form in forms(address) {
            prop_assert!(vet(form.into()).is_err(), "{form}");
        }
    }

    #[test]
    fn an_ipv4_address_fares_the_same_mapped_and_behind_nat64(bits: u32) {
        let address = Ipv4Addr::from_bits(bits);
        let [_, mapped, nat64, ..] = forms(address);
        prop_assert_eq!(mapped, address.to_ipv6_mapped());
        prop_assert_eq!(vet(mapped.into()), vet(address.into()));
        prop_assert_eq!(vet(nat64.into()), vet(address.into()));
    }

    #[test]
    fn what_the_standard_library_calls_special_is_refused(address in prop_oneof![refused_v4(), any::<Ipv4Addr>()]) {
        let is_special = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
            || address.is_unspecified() || address.is_broadcast() || address.is_documentation();
        prop_assert!(!is_special || vet(address.into()).is_err());
    }

    #[test]
    fn nothing_outside_of_global_unicast_passes_but_the_two_embedding_forms(bits: u128) {
        let address = Ipv6Addr::from_bits(bits);
        let is_global = bits >> 125 == 1;
        let is_embedding = [0xffff, 0x0064_ff9b << 64].contains(&(bits >> 32));
        prop_assert!(is_global || is_embedding || vet(address.into()).is_err());
    }
}
