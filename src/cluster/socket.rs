//! The connections of plugins to `/rpc`, which the leader serves: each gets a connection to the leader of its own.

use std::{io, time::Duration};

use axum::{
    body::Body,
    extract::Request,
    http::{
        StatusCode,
        header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    },
    response::Response,
};
use hyper::{
    client::conn::http1,
    upgrade::{self, OnUpgrade},
};
use hyper_util::rt::TokioIo;
use tokio::{io::copy_bidirectional, time::timeout};

use super::{
    Forwarder,
    connections::{REACH, broken, unreachable_leader},
    leader::Protocol,
    service_unavailable,
};
use crate::domain::Result;

/// How long the leader may take to say whether a plugin may connect.
const HANDSHAKE: Duration = Duration::from_secs(10);

impl Forwarder {
    /// Has the leader answer a request that may become a WebSocket, and carries what comes on that until one of the two ends it,
    /// or another node leads.
    pub async fn upgrade(&self, request: Request) -> Response {
        self.shake_hands(request).await.unwrap_or_else(|error| service_unavailable(&error))
    }

    async fn shake_hands(&self, mut request: Request) -> Result<Response> {
        let plugin = upgrade::on(&mut request);
        let connections = self.connections(&request)?;
        let request = without_body(self.introduced(request, connections.place()));
        let stream = timeout(REACH, connections.dial(Protocol::Http1)).await;
        let stream = stream.map_err(io::Error::other).flatten().map_err(|error| {
            tracing::warn!(%error, "a plugin can't be connected to the plugd that leads");
            unreachable_leader()
        })?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| broken())?;
        tokio::spawn(connection.with_upgrades());
        let answered = timeout(HANDSHAKE, sender.send_request(request)).await;
        let mut answered = answered.map_err(|_| unreachable_leader())?.map_err(|_| broken())?;
        let leader = upgrade::on(&mut answered);
        let answered = self.accepted(answered).await?;
        if answered.status() == StatusCode::SWITCHING_PROTOCOLS {
            tokio::spawn(carry(plugin, leader));
        }
        Ok(answered.map(Body::new))
    }
}

/// The same as it comes over HTTP/1.1, without a body: none has a meaning here.
fn without_body(request: Request) -> Request {
    let mut request = request.map(|_| Body::empty());
    *request.version_mut() = axum::http::Version::HTTP_11;
    request.headers_mut().remove(CONTENT_LENGTH);
    request.headers_mut().remove(TRANSFER_ENCODING);
    request
}

/// Carries bytes both ways, until both sides have said all, or one of them is gone. That the leader is silent for too long is
/// seen by its connection, and plugins are asked for signs of life by the leader.
async fn carry(plugin: OnUpgrade, leader: OnUpgrade) {
    let carried = async {
        let (plugin, leader) = tokio::try_join!(plugin, leader).map_err(io::Error::other)?;
        copy_bidirectional(&mut TokioIo::new(plugin), &mut TokioIo::new(leader)).await
    };
    if let Err(error) = carried.await {
        tracing::debug!(%error, "the connection of a plugin to the plugd that leads ended");
    }
}
