//! Passing requests on to the leader, as they come, and its answers back. Bodies are streamed both ways: who reads slowly slows
//! the other side down, and nothing is kept but what is under way. The client's credential travels with its request, and the
//! leader judges it; the node itself proves that it is one by the cluster's token.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    http::{
        HeaderName, HeaderValue, StatusCode, Version,
        header::{CONNECTION, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    },
    response::Response,
};
use futures_util::future::BoxFuture;
use tokio::{sync::watch, time::timeout};

use super::{
    ClusterToken, Leader, NOBODY, REVISION, TOKEN,
    connections::{Connections, unreachable_leader},
    leader::{Encryption, Place},
    no_leader,
    nodes::PassedOn,
    relayed::Relayed,
};
use crate::{
    domain::{Error, Result},
    grpc,
    rest::forwarded::FORWARDED_FOR,
    tls::{self, Trust},
};

/// Returns when this node has a revision.
pub type WaitFor = Arc<dyn Fn(u64) -> BoxFuture<'static, ()> + Send + Sync>;

/// How long an answer waits until this node has the revision that the leader was at, so that who wrote reads what it wrote.
/// Then it comes all the same: what it says is done, and whoever is told otherwise does it again.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Headers that are of one connection, and not of the request: what HTTP/2 does by itself.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    CONNECTION,
    HOST,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Passes requests on to whoever leads.
#[derive(Clone)]
pub struct Forwarder(Arc<Shared>);

struct Shared {
    token: ClusterToken,
    encryption: Encryption,
    leader: watch::Receiver<Option<Leader>>,
    wait_for: WaitFor,
    /// Those to the leader that a request went to last.
    connections: Mutex<Option<(Leader, Arc<Connections>)>>,
}

impl Forwarder {
    /// Requests go to the `leader`, whose certificate is looked at as `trust` says, with this token. Answers wait until this
    /// node has the leader's revision (`wait_for`).
    ///
    /// # Errors
    /// A file of `trust` can't be read.
    pub fn new(
        token: ClusterToken,
        trust: &Trust,
        leader: watch::Receiver<Option<Leader>>,
        wait_for: WaitFor,
    ) -> tls::Result<Self> {
        let encryption = Encryption::new(trust)?;
        Ok(Self(Arc::new(Shared { token, encryption, leader, wait_for, connections: Mutex::default() })))
    }

    /// Has the leader answer a call of gRPC.
    pub async fn call(&self, request: Request) -> Response {
        let relay = async |request| self.relay(request).await.unwrap_or_else(grpc::status::refusal);
        grpc::in_time(request, relay).await
    }

    async fn relay(&self, request: Request) -> Result<Response> {
        let connections = self.connections(&request)?;
        let mut call = self.introduced(request, connections.place());
        *call.version_mut() = Version::HTTP_2;
        let headers = call.headers_mut();
        OF_THE_CONNECTION.iter().for_each(|name| drop(headers.remove(name)));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        let (answered, place) = connections.send(call).await?;
        let answered = self.accepted(answered).await?;
        Ok(answered.map(|body| Body::new(Relayed::new(body, place))))
    }

    /// The connections to whoever leads now.
    ///
    /// # Errors
    /// Nobody is known to, or another node took this one for the leader: then the two would go on for ever.
    pub(super) fn connections(&self, request: &Request) -> Result<Arc<Connections>> {
        if request.extensions().get::<PassedOn>().is_some() {
            return Err(no_leader("this plugd does not lead, and neither does the one that took it for the leader"));
        }
        let leader = self.0.leader.borrow().clone().ok_or_else(nobody)?;
        let mut known = self.0.connections.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some((of, connections)) if *of == leader => Ok(Arc::clone(connections)),
            _ => {
                let connections = Arc::new(self.connect(leader.clone())?);
                *known = Some((leader, Arc::clone(&connections)));
                Ok(connections)
            }
        }
    }

    /// Connections that end when another node leads.
    fn connect(&self, leader: Leader) -> Result<Connections> {
        let place = Place::new(&leader.address, self.0.encryption.clone()).map_err(|error| {
            tracing::error!(address = leader.address, %error, "the address of the plugd that leads is of no use");
            unreachable_leader()
        })?;
        let connections = Connections::new(place);
        let (mut led, ended) = (self.0.leader.clone(), connections.ended());
        tokio::spawn(async move {
            let another = led.wait_for(|now| now.as_ref().is_some_and(|now| *now != leader));
            let _ = ended.run_until_cancelled(another).await;
            ended.cancel();
        });
        Ok(connections)
    }

    /// This request as the leader is to have it: from this node, on behalf of the client that this node sees.
    pub(super) fn introduced(&self, request: Request, place: &Place) -> Request {
        let (mut parts, body) = request.into_parts();
        parts.uri = place.uri(parts.uri.path_and_query());
        parts.headers.insert(TOKEN, self.0.token.header());
        parts.headers.remove(FORWARDED_FOR);
        let client = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|client| client.0.ip().to_string());
        if let Some(client) = client.and_then(|client| client.try_into().ok()) {
            parts.headers.insert(FORWARDED_FOR, client);
        }
        // They are of the connection that it came on.
        parts.extensions.clear();
        Request::from_parts(parts, body)
    }

    /// The head of an answer of the leader, once this node is as far as the leader was.
    ///
    /// # Errors
    /// It is no answer to a node.
    pub(super) async fn accepted<B>(&self, mut answered: Response<B>) -> Result<Response<B>> {
        let revision = answered.headers_mut().remove(REVISION).and_then(|value| value.to_str().ok()?.parse().ok());
        let Some(revision) = revision else { return Err(not_a_node(answered.status())) };
        if timeout(CATCH_UP, (self.0.wait_for)(revision)).await.is_err() {
            tracing::warn!(
                revision,
                "this plugd lags behind the one that leads: an answer is ahead of what is read here"
            );
        }
        Ok(answered)
    }
}

fn nobody() -> Error {
    no_leader(NOBODY)
}

/// What is at the leader's address has answered, and not as the leader answers a node.
fn not_a_node(status: StatusCode) -> Error {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return no_leader("the plugd that leads takes no more connections");
    }
    tracing::error!(%status, "what leads does not take this plugd for a node: is its cluster_token_file another one?");
    no_leader("the plugd that leads does not know this one")
}
