//! The handshake, tokens and closes, byte for byte where existing SDKs depend on it (CONTRACT 10).
//!
//! Held elsewhere: 500 for the unexpected (`link::tests::handshake::what_is_refused_has_its_status`); what the SDKs
//! make of codes and texts (10.5) follows from these. A supervised plugin that is inactive has no token that opens
//! anything, so its connections end in 401 where the reference closes with 1008.

mod closes;
mod refusals;
mod sizes;
mod tokens;

use crate::harness::{Answer, Body, Plugd};

/// The headers of a proper upgrade.
const UPGRADE: [&str; 4] = [
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
];

/// Asks for the endpoint, of which only a refusal can come back.
async fn rpc(plugd: &Plugd, query: &str, headers: &[&str]) -> Answer {
    plugd.rest_as(None).send("GET", &format!("/rpc{query}"), Body::None, headers).await
}
