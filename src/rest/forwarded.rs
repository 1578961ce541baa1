//! The header in which proxies name whom they speak for. Each adds the address that it sees, so the last one is the surest; what
//! stands before it may be made up, and be any bytes.

use std::{net::IpAddr, str};

use axum::http::{HeaderMap, HeaderValue};

/// The header's name.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// The addresses from the last one to the first, as far as they are addresses. Several lines are one list.
pub fn addresses(headers: &HeaderMap) -> impl Iterator<Item = IpAddr> {
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')).map_while(address)
}

fn address(item: &[u8]) -> Option<IpAddr> {
    str::from_utf8(item).ok()?.trim().parse().ok()
}

/// What a proxy passes on that sees this address: its own entry after what came, which stays as it is.
pub(super) fn with(headers: &HeaderMap, peer: IpAddr) -> Vec<u8> {
    let before = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let address = peer.to_canonical().to_string();
    before.chain([address.as_bytes()]).collect::<Vec<_>>().join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        lines.iter().map(|line| (FORWARDED_FOR.parse().unwrap(), HeaderValue::from_bytes(line).unwrap())).collect()
    }

    #[test]
    fn a_proxy_adds_the_address_that_it_sees_to_whatever_came() {
        let peer = "::ffff:192.0.2.7".parse().unwrap();
        assert_eq!(with(&headers(&[]), peer), b"192.0.2.7");
        assert_eq!(with(&headers(&[b"\xff, 10.0.0.1", b"10.0.0.2"]), peer), b"\xff, 10.0.0.1, 10.0.0.2, 192.0.2.7");
    }

    #[test]
    fn addresses_are_read_from_the_last_to_what_is_none() {
        let found = |lines: &[&[u8]]| addresses(&headers(lines)).map(|found| found.to_string()).collect::<Vec<_>>();
        assert_eq!(found(&[b"10.0.0.1,10.0.0.2 ", b" 2001:db8::1"]), ["2001:db8::1", "10.0.0.2", "10.0.0.1"]);
        assert_eq!(found(&[b"10.0.0.1, \xff, 10.0.0.2", b"10.0.0.3"]), ["10.0.0.3", "10.0.0.2"]);
        assert!(found(&[b"10.0.0.1, "]).is_empty());
    }
}
