//! HTTP on one connection.

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Options, connection::Connection};

/// What a client may send on one HTTP/2 stream before anybody reads it, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for a whole connection: one stream that is not read must not stall the others.
const CONNECTION_WINDOW: u32 = 8 << 20;

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
        .max_header_list_size(options.max_header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Serves this connection to its end. From `shutdown` on it takes no further request.
pub(super) async fn serve(builder: &Builder, connection: Connection, app: Router, shutdown: CancellationToken) {
    let served = builder.serve_connection_with_upgrades(TokioIo::new(connection), TowerToHyperService::new(app));
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = shutdown.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "a connection ended badly");
    }
}
