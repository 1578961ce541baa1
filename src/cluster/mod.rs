//! Several plugd on one database, the nodes of a cluster. One leads: it writes, and runs the plugins. Any node answers any call;
//! what only the leader can answer is forwarded to it.
//!
//! ```text
//! client ──► node ──call──► Routed ──is_answered_here──► grpc::Server
//!                             │ else
//!                             ▼
//!                         Forwarder ── token of the cluster, client's address ──► Nodes, at the leader ──► grpc::Server
//!                             ◄─────────── answer, revision of the leader ───────────┘
//! ```
//!
//! Which of them leads is decided in `store::lease::term`; what a node is, one after the other, in `app::node`. A node that follows
//! has what it answers from the journal ([`Follower`]): it is told of each commit, and looks every second besides.
//!
//! REST and the console only talk to the gRPC API: a node renders them itself, over [`Routed`]. So what travels between nodes is
//! calls of gRPC, and the connections of plugins to `/rpc`.

mod calls;
mod connections;
mod follow;
mod forward;
mod leader;
mod nodes;
mod reach;
mod relayed;
mod socket;
#[cfg(test)]
mod tests;
mod token;

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderName, StatusCode, header::RETRY_AFTER},
    response::{IntoResponse, Response},
};

pub use self::{
    calls::Routed,
    follow::{Ended, Follower, Progress},
    forward::{Forwarder, WaitFor},
    nodes::Nodes,
    reach::reach,
    token::ClusterToken,
};
use crate::{
    domain::{Error, Reason},
    grpc,
    telemetry::trace,
};

/// The header with which a node proves that it is one.
const TOKEN: HeaderName = HeaderName::from_static("plugd-cluster-token");

/// The header in which the leader tells a node how far it is.
const REVISION: HeaderName = HeaderName::from_static("plugd-revision");

const NOBODY: &str = "no plugd is known to lead at the moment";

/// When a client may try again that found nobody who leads.
const RETRY: Duration = Duration::from_secs(1);

/// The node that leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// Where other nodes reach it: `http://HOST:PORT` or `https://HOST:PORT`.
    pub address: String,
    /// Which of the leaderships of this database it is; each has one more than the one before.
    pub term: u64,
}

/// What is answered to a request while nobody is known to lead.
pub fn unavailable(request: &Request) -> Response {
    let error = no_leader(NOBODY);
    if trace::is_grpc(request.headers()) { grpc::status::refusal(error) } else { service_unavailable(&error) }
}

fn no_leader(message: &str) -> Error {
    Error::new(Reason::NoLeader, message).after(RETRY)
}

fn service_unavailable(error: &Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, RETRY.as_secs())], format!("{error}: try again\n")).into_response()
}
