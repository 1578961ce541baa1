//! How a node takes requests that another node passes on.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::{ConnectInfo, Request},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};

use super::{ClusterToken, REVISION, TOKEN};
use crate::{
    domain::{Error, Reason},
    grpc,
    rest::forwarded::{self, FORWARDED_FOR},
    telemetry::trace,
};

/// In the extensions of a request that another node has passed on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PassedOn;

/// What knows the other nodes of the cluster. Each node puts it before all that it answers.
#[derive(Clone)]
pub struct Nodes {
    token: ClusterToken,
    revision: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Nodes {
    /// Those with this token. They are told this revision with each answer: the newest one when that was made.
    pub fn new(token: ClusterToken, revision: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { token, revision: Arc::new(revision) }
    }

    /// Answers a request. What a node passes on comes from the client that it names, and its answer names the revision. One
    /// that shows another token is refused. Whoever answers does not see the token.
    pub async fn answer<F>(&self, mut request: Request, answer: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        match self.is_a_node(request.headers_mut()) {
            None => answer(request).await,
            Some(false) => refused(&request),
            Some(true) => {
                let client = forwarded::addresses(request.headers()).next();
                request.headers_mut().remove(FORWARDED_FOR);
                let extensions = request.extensions_mut();
                extensions.insert(PassedOn);
                if let Some(client) = client {
                    believe(extensions.get_mut(), client);
                }
                let mut response = answer(request).await;
                response.headers_mut().insert(REVISION, (self.revision)().into());
                response
            }
        }
    }

    /// Whether these headers show the token; none if they show none. It is taken out of them.
    fn is_a_node(&self, headers: &mut HeaderMap) -> Option<bool> {
        let mut shown = headers.get_all(TOKEN).iter();
        let is_node = shown.next().map(|token| self.token.is(token) && shown.next().is_none());
        headers.remove(TOKEN);
        is_node
    }
}

/// The port stays: it is of the connection that the node made.
fn believe(peer: Option<&mut ConnectInfo<SocketAddr>>, client: IpAddr) {
    if let Some(ConnectInfo(peer)) = peer {
        peer.set_ip(client);
    }
}

fn refused(request: &Request) -> Response {
    let message = "the token of the cluster that was sent is not this plugd's: every node needs the same";
    if trace::is_grpc(request.headers()) {
        return grpc::status::refusal(Error::new(Reason::Unauthenticated, message));
    }
    (StatusCode::UNAUTHORIZED, message).into_response()
}
