//! The REST shim as a process of its own.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{listener_options, reload::Reload, report};
use crate::{
    config::RestConfig,
    listener::{self, Listener},
    rest,
    tls::{self, Trust},
};

const CONNECT: Duration = Duration::from_secs(5);
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Room for the bytes that browsers have not read yet: without it a slow one stalls the others on its connection.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// Serves REST in front of another plugd. Of the settings that are `renewed` meanwhile it takes what can be changed, and
/// says which can't.
///
/// # Errors
/// It can't be started. An upstream that is away is no obstacle: it is dialled when it is needed.
pub async fn serve_rest(
    config: RestConfig,
    shutdown: CancellationToken,
    renewed: mpsc::Receiver<RestConfig>,
    on_ready: impl FnOnce(&str) + Send,
) -> anyhow::Result<()> {
    let listener = Listener::bind(config.listen, certificates(&config)?).await?;
    let url = listener.url();
    // Streams that nobody reads stall a connection: calls have one of their own.
    let backend = rest::Backend::new(channel(&config)?, channel(&config)?);
    let options = rest::Options {
        allowed_origins: config.allowed_origins.clone(),
        is_encrypted: config.tls_cert.is_some(),
        ..rest::Options::default()
    };
    let app = rest::router(backend, options);
    tracing::info!(url, upstream = config.upstream.0, "serving REST");
    on_ready(&url);
    let (options, certificates_sent) = (listener_options(config.max_connections), listener.renewals());
    let served = listener::serve(listener, app, options, shutdown);
    let reload = Reload { renewed, certificates: certificates_sent, running: config };
    report(reload.beside(served, async |config| certificates(&config)).await);
    Ok(())
}

fn certificates(config: &RestConfig) -> anyhow::Result<Option<tls::Files>> {
    Ok(tls::Files::of(config.tls_cert.clone(), config.tls_key.clone(), None)?)
}

fn channel(config: &RestConfig) -> anyhow::Result<Channel> {
    let trust = Trust {
        authority: config.upstream_ca.clone(),
        is_blind: false,
        certificate: config.upstream_cert.clone(),
        key: config.upstream_key.clone(),
    };
    let endpoint = tls::endpoint(&config.upstream.0, &trust).context("the upstream can't be dialled")?;
    Ok(endpoint
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy())
}
