//! Whose request it is that a proxy passes on. Anybody can write any address into a header, so only the proxies are believed
//! that the operator names; `plugd rest` is one.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, Request},
    http::HeaderMap,
};

use crate::rest::forwarded;

/// Has a request come from the address that these proxies name.
pub(super) fn see_through(request: &mut Request, trusted: &[IpAddr]) {
    let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() else { return };
    let client = client(peer.ip(), request.headers(), trusted);
    if client != peer.ip() {
        // The port is of the connection that the proxy made.
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, peer.port())));
    }
}

/// The last address that nobody but trusted proxies vouches for. What stands before it may be made up.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let mut client = peer.to_canonical();
    for before in forwarded::addresses(headers) {
        if !trusted.contains(&client) {
            break;
        }
        client = before.to_canonical();
    }
    client
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    /// The client of a request from this address with these lines of the header, where two proxies are trusted.
    fn found(peer: &str, lines: &[&str]) -> String {
        let header = HeaderName::from_static("x-forwarded-for");
        let value = |line: &&str| HeaderValue::from_bytes(line.as_bytes()).unwrap();
        let headers = lines.iter().map(|line| (header.clone(), value(line))).collect();
        let trusted = ["127.0.0.1", "10.0.0.1"].map(|address| address.parse().unwrap());
        client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_so_is_the_one_before_it() {
        assert_eq!(found("127.0.0.1", &["192.0.2.7"]), "192.0.2.7");
        assert_eq!(found("::ffff:127.0.0.1", &["2001:db8::1 , 10.0.0.1"]), "2001:db8::1");
        assert_eq!(found("127.0.0.1", &["192.0.2.7", "10.0.0.1"]), "192.0.2.7", "lines are one list");
    }

    #[test]
    fn nobody_else_is_believed() {
        assert_eq!(found("192.0.2.7", &["127.0.0.1"]), "192.0.2.7");
        assert_eq!(found("127.0.0.1", &["1.1.1.1, 192.0.2.7"]), "192.0.2.7", "what the client itself has sent");
        assert_eq!(found("127.0.0.1", &["1.1.1.1, unknown, 10.0.0.1"]), "10.0.0.1");
        assert_eq!(found("127.0.0.1", &["1.1.1.1, \u{fc}, 192.0.2.7"]), "192.0.2.7", "other bytes hide nobody");
        assert_eq!(found("127.0.0.1", &[]), "127.0.0.1");
    }
}
