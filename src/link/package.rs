//! The package of a plugin for the plugin itself, at `/rpc/package`: where its run has no folder on plugd's host, the run fetches
//! it with the token that it dials with.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_LENGTH},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};

use super::{Acceptor, Refusal, handshake::read_handshake};
use crate::domain::{PluginId, Result};

/// Where a run fetches its package.
pub const PACKAGE: &str = "/rpc/package";

/// Packages on their way at once. Each may have 50 MiB and is in memory.
const AT_ONCE: usize = 8;

/// How long a plugin waits for its turn, and how long its package may then be on its way.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes that are handed on at once.
const CHUNK: usize = 256 * 1024;

/// Gets the archive of a plugin's package.
pub type PackageOf = Arc<dyn Fn(PluginId) -> BoxFuture<'static, Result<Bytes>> + Send + Sync>;

#[derive(Clone)]
struct Route {
    acceptor: Arc<dyn Acceptor>,
    package_of: PackageOf,
    places: Arc<Semaphore>,
}

/// Serves `/rpc/package`, and nothing else.
pub fn package_router(acceptor: Arc<dyn Acceptor>, package_of: PackageOf) -> Router {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    Router::new().route(PACKAGE, get(download)).with_state(Route { acceptor, package_of, places })
}

async fn download(State(route): State<Route>, request: Request) -> Result<Response, Refusal> {
    let (parts, _) = request.into_parts();
    let authenticated = route.acceptor.authenticate(read_handshake(&parts.uri, &parts.headers)?).await?;
    let Ok(Ok(place)) = timeout(PATIENCE, route.places.acquire_owned()).await else {
        return Ok((StatusCode::SERVICE_UNAVAILABLE, "too many packages are on their way").into_response());
    };
    Ok(match (route.package_of)(authenticated.plugin).await {
        Ok(archive) => ([(CONTENT_LENGTH, archive.len())], body(archive, place)).into_response(),
        Err(error) => (StatusCode::NOT_FOUND, error.message).into_response(),
    })
}

/// The archive in pieces that share its memory, with its place until it has gone or its time is over.
fn body(archive: Bytes, place: OwnedSemaphorePermit) -> Body {
    let pieces = stream::unfold((archive, place), |(mut rest, place)| async move {
        let piece = rest.split_to(rest.len().min(CHUNK));
        (!piece.is_empty()).then_some((Ok::<_, std::io::Error>(piece), (rest, place)))
    });
    Body::from_stream(pieces.take_until(sleep(PATIENCE)))
}
