//! Whose request it is that a proxy passes on. Anybody can write any address into a header, so only the proxies are believed
//! that the operator names; `plugd rest` is one.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, HeaderName},
    middleware::Next,
    response::Response,
};

/// The header in which each proxy adds the address that it sees.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A layer that has requests come from the address that these proxies name.
pub(super) async fn see_through(State(trusted): State<Arc<[IpAddr]>>, mut request: Request, next: Next) -> Response {
    if let Some(peer) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let client = client(peer.0.ip(), request.headers(), &trusted);
        // The port is of the connection that the proxy made.
        let client = SocketAddr::new(client, peer.0.port());
        request.extensions_mut().insert(ConnectInfo(client));
    }
    next.run(request).await
}

/// The last address that nobody but trusted proxies vouches for. What stands before it may be made up.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    let lines = headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or_default());
    let named: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let mut client = peer.to_canonical();
    for address in named.into_iter().rev() {
        match address.parse::<IpAddr>() {
            Ok(before) if trusted.contains(&client) => client = before.to_canonical(),
            _ => break,
        }
    }
    client
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client of a request from this address with these lines of the header, where two proxies are trusted.
    fn found(peer: &str, lines: &[&str]) -> String {
        let headers: HeaderMap = lines.iter().map(|line| (FORWARDED_FOR, line.parse().unwrap())).collect();
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
        assert_eq!(found("127.0.0.1", &[]), "127.0.0.1");
    }
}
