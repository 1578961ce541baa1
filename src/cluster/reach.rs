//! Whether a node is at an address: for whoever looks into a cluster, not for its work.

use std::{io, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode, header::HOST, uri::PathAndQuery},
};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    ClusterToken, REVISION, TOKEN,
    leader::{Encryption, Place, Protocol},
};
use crate::tls::Trust;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What every node answers, whatever it is.
const LIVENESS: PathAndQuery = PathAndQuery::from_static("/healthz");

/// Whether a node with this token answers at this address, the certificate of which is looked at as `trust` says.
///
/// # Errors
/// None does: why not, in words.
pub async fn reach(address: &str, token: &ClusterToken, trust: &Trust) -> io::Result<()> {
    let encryption = Encryption::new(trust).map_err(io::Error::other)?;
    let answered = timeout(PATIENCE, ask(&Place::new(address, encryption)?, token)).await;
    let (status, headers) =
        answered.map_err(|_| io::Error::other(format!("no answer within {} s", PATIENCE.as_secs())))??;
    match status {
        _ if headers.contains_key(REVISION) => Ok(()),
        StatusCode::UNAUTHORIZED => Err(io::Error::other("it has another token of the cluster")),
        status => Err(io::Error::other(format!("what answers there is no node of a cluster ({status})"))),
    }
}

async fn ask(place: &Place, token: &ClusterToken) -> io::Result<(StatusCode, HeaderMap)> {
    let stream = place.dial(Protocol::Http1, CancellationToken::new()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let uri = place.uri(Some(&LIVENESS));
    let host = uri.authority().map(ToString::to_string).unwrap_or_default();
    let request = Request::builder().uri(LIVENESS.as_str()).header(HOST, host).header(TOKEN, token.header());
    let request = request.body(Body::empty()).map_err(io::Error::other)?;
    let answered = tokio::select! {
        answered = sender.send_request(request) => answered,
        // It goes on for as long as something is to be sent or to be read.
        Err(error) = connection => Err(error),
    };
    let (head, _) = answered.map_err(io::Error::other)?.into_parts();
    Ok((head.status, head.headers))
}
