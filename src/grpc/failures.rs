//! How many bad credentials an address may send.
//!
//! A good credential is taken from every address at any time, so that nobody who shares an administrator's address (behind one
//! NAT, or one proxy) can lock them out. What keeps a token from being guessed is its 256 random bits; this keeps a client that
//! tries all the same cheap, and tells of it. And since a limit that is too strict harms nobody, all that it has is one table,
//! emptied once a window: crates for rate limits remember more, and none has a cap on the addresses.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::extract::{ConnectInfo, Request};
use tokio::time::Instant;

use crate::domain::{Error, Reason, Result};

/// Bad credentials that an address may send in a window; of IPv6 a network of 64 bits, which is what one client has. So many
/// that whoever tries every operation once or twice does not come so far.
const MAX_FAILURES: u32 = 100;
/// How long they are counted.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered. All others are counted as one.
const MAX_ADDRESSES: usize = 10_000;

/// The bad credentials of the window.
#[derive(Debug)]
pub(super) struct Failures(Mutex<Window>);

#[derive(Debug)]
struct Window {
    begun: Instant,
    counts: HashMap<Option<IpAddr>, u32>,
}

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new(Window { begun: Instant::now(), counts: HashMap::new() }))
    }
}

impl Failures {
    /// A bad credential came from this address.
    ///
    /// # Errors
    /// `TOO_MANY_FAILED_ATTEMPTS`: too many have come from there.
    pub(super) fn count(&self, address: Option<IpAddr>) -> Result<()> {
        let now = Instant::now();
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(window.begun) >= WINDOW {
            *window = Window { begun: now, counts: HashMap::new() };
        }
        let count = window.count_of(address.map(network));
        *count = count.saturating_add(1);
        if *count <= MAX_FAILURES {
            return Ok(());
        }
        if *count == MAX_FAILURES + 1 {
            tracing::warn!(?address, "{MAX_FAILURES} bad tokens came from there: more are refused for a while");
        }
        Err(refusal(window.begun + WINDOW - now))
    }
}

impl Window {
    fn count_of(&mut self, network: Option<IpAddr>) -> &mut u32 {
        let is_known = self.counts.len() < MAX_ADDRESSES || self.counts.contains_key(&network);
        self.counts.entry(network.filter(|_| is_known)).or_default()
    }
}

fn refusal(left: Duration) -> Error {
    let message = format!("more than {MAX_FAILURES} bad tokens came from this address within {WINDOW:?}");
    Error::new(Reason::TooManyFailedAttempts, message).after(left)
}

/// The address that a request came from, if the listener knows it.
pub(super) fn address_of(request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
    Some(peer.0.ip().to_canonical())
}

/// What is counted as one client.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    /// How many bad credentials of these addresses are looked at.
    fn taken(failures: &Failures, addresses: impl IntoIterator<Item = Option<IpAddr>>) -> usize {
        addresses.into_iter().filter(|address| failures.count(*address).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_its_number_a_window_and_is_told_when_the_next_begins() {
        let failures = Failures::default();
        assert_eq!(taken(&failures, vec![address("10.0.0.1"); 150]), 100);
        assert_eq!(taken(&failures, vec![address("10.0.0.2"); 150]), 100, "another one has its own");
        tokio::time::advance(Duration::from_secs(45)).await;
        let refused = failures.count(address("10.0.0.1")).unwrap_err();
        assert_eq!(refused.reason, Reason::TooManyFailedAttempts);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(15)));
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(taken(&failures, vec![address("10.0.0.1"); 150]), 100);
    }

    #[tokio::test]
    async fn a_network_of_ipv6_is_one_client_and_ipv4_is_the_same_in_either_form() {
        let failures = Failures::default();
        let of_one_network = (0..150).map(|host| address(&format!("2001:db8:0:1::{host:x}")));
        assert_eq!(taken(&failures, of_one_network), 100);
        assert_eq!(taken(&failures, [address("2001:db8:0:2::1")]), 1);
        assert_eq!(taken(&failures, vec![address("10.0.0.1"); 100]), 100);
        assert_eq!(taken(&failures, [address("::ffff:10.0.0.1")]), 0);
    }

    #[tokio::test]
    async fn addresses_beyond_those_that_are_remembered_are_counted_as_one() {
        let failures = Failures::default();
        let many = (0..u32::try_from(MAX_ADDRESSES).unwrap() + 150).map(|number| Some(IpAddr::V4(number.into())));
        assert_eq!(taken(&failures, many), MAX_ADDRESSES + 100);
        assert_eq!(failures.0.lock().unwrap().counts.len(), MAX_ADDRESSES + 1);
        assert_eq!(taken(&failures, [address("0.0.0.1")]), 1, "those that are remembered have their own");
    }
}
