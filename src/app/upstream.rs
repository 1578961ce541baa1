//! The REST shim as a process of its own.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::{report, server_options};
use crate::{config::RestConfig, rest, server};

const CONNECT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Room for the bytes that browsers have not read yet: without it a slow one stalls the others on its connection.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// Serves REST in front of another plugd.
///
/// # Errors
/// It can't be started. An upstream that is away is no obstacle: it is dialled when it is needed.
pub async fn serve_rest(
    config: RestConfig,
    shutdown: CancellationToken,
    on_ready: impl FnOnce(SocketAddr) + Send,
) -> anyhow::Result<()> {
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("can't listen on {listen}"))?;
    let upstream = &config.upstream.0;
    // Streams that nobody reads stall a connection: calls have one of their own.
    let backend = rest::Backend::new(channel(upstream)?, channel(upstream)?);
    let options = rest::Options { allowed_origins: config.allowed_origins.clone(), ..rest::Options::default() };
    let address = listener.local_addr().unwrap_or(listen);
    let app = rest::router(backend, options);
    tracing::info!(%address, upstream, "serving REST");
    on_ready(address);
    report(server::serve(listener, app, server_options(config.max_connections), shutdown).await);
    Ok(())
}

fn channel(upstream: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(upstream.to_owned()).with_context(|| format!("{upstream:?} is no address"))?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy())
}
