//! HTTP on one connection.

use std::{convert::Infallible, sync::Arc};

use axum::{Router, extract::Request, response::Response};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tower::ServiceExt;
use tracing::debug;

use super::{
    Options, Shared,
    activity::{Activity, Watched},
    connection::Connection,
    guest::Guest,
};

/// What a client may send on one HTTP/2 stream before anybody reads it, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for a whole connection: one stream that is not read must not stall the others.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Requests that a client has given up before anybody saw them, a connection. A client with short deadlines gives up many,
/// and its other streams must not end for that; each costs as little as one that is served.
const MAX_GIVEN_UP: usize = 1024;

/// hyper accepts no lower limit for the head of an HTTP/1.1 request.
const MIN_HEADER_BYTES: usize = 8 << 10;

/// How connections are served.
pub(super) type Builder = auto::Builder<TokioExecutor>;

pub(super) fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(usize::try_from(options.max_header_bytes).unwrap_or(usize::MAX).max(MIN_HEADER_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .max_concurrent_streams(options.max_streams)
        .max_pending_accept_reset_streams(MAX_GIVEN_UP)
        .max_header_list_size(options.max_header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Serves this connection to its end. From `shutdown` on, or once it was idle for too long, it takes no further request;
/// when it has to give its place up, it ends at once.
pub(super) async fn serve(server: &Shared, connection: Connection, guest: &Guest) {
    let activity = Arc::new(Activity::default());
    let service = service(server.app.clone(), guest.clone(), Arc::clone(&activity));
    let served = server.builder.serve_connection_with_upgrades(TokioIo::new(connection), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = guest.evicted() => return debug!("a connection that nobody let in gave its place up"),
        () = ending(server, &activity) => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut served => ended,
                () = guest.evicted() => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(error, "a connection ended badly");
    }
}

/// Waits until the connection should take no further request.
async fn ending(server: &Shared, activity: &Activity) {
    tokio::select! {
        () = server.shutdown.cancelled() => {}
        () = activity.idle(server.options.idle_timeout) => {}
    }
}

/// The application as one connection has it.
fn service(
    app: Router,
    guest: Guest,
    activity: Arc<Activity>,
) -> impl Service<Request<Incoming>, Response = Response<Watched>, Error = Infallible, Future: Send> {
    service_fn(move |mut request: Request<Incoming>| {
        let open = activity.begin();
        request.extensions_mut().insert(guest.clone());
        let answer = app.clone().oneshot(request);
        async move { answer.await.map(|answer| answer.map(|body| open.until_sent(body))) }
    })
}
