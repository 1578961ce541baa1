//! The REST shim in a process of its own.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tower::ServiceExt;

use super::{
    manager::{self, News},
    ports::listener_options,
    reload::Reload,
    routes,
};
use crate::{
    config::RestConfig,
    listener::{self, App, Listener},
    rest,
    telemetry::trace,
    tls::{self, Files, Trust},
};

/// How long an upstream may take to take a connection.
const UPSTREAM_CONNECT: Duration = Duration::from_secs(5);

/// How often a silent upstream is asked for a sign of life.
const UPSTREAM_KEEPALIVE: Duration = Duration::from_secs(20);

/// Room for the bytes that browsers have not read yet, in bytes: without it a slow one stalls the others on its connection.
const UPSTREAM_WINDOW: u32 = 64 << 20;

/// Serves REST in front of another plugd. Of the settings that are `renewed` meanwhile it takes what can be changed, and
/// says which can't.
pub async fn serve_rest(
    config: RestConfig,
    shutdown: CancellationToken,
    renewed: mpsc::Receiver<RestConfig>,
    on_ready: impl FnOnce(&str) + Send,
) -> anyhow::Result<()> {
    let listener = Listener::bind(config.listen, rest_certificates(&config)?).await?;
    let url = listener.url();
    // Streams that nobody reads stall a connection: calls have one of their own.
    let backend = rest::Backend::new(channel(&config)?, channel(&config)?);
    let options = rest::Options { allowed_origins: config.allowed_origins.clone(), ..rest::Options::default() };
    let router = trace::with_routes(routes::web(rest::App::new(backend, options)));
    let app = App::new(move |request| {
        let router = router.clone();
        trace::traced(
            request,
            |_| false,
            async |request| {
                let Ok(answer) = router.oneshot(request).await;
                answer
            },
        )
    });
    tracing::info!(url, upstream = config.upstream.0, "serving REST");
    on_ready(&url);
    manager::tell(News::Ready);
    let reload = Reload { renewed, certificates: listener.renewals(), running: config };
    let served = listener::serve(listener, app, listener_options(reload.running.max_connections), shutdown);
    let dropped = reload.beside(served, async |config| rest_certificates(&config)).await;
    tracing::info!(dropped, "no longer listening");
    Ok(())
}

fn rest_certificates(config: &RestConfig) -> anyhow::Result<Option<Files>> {
    Ok(Files::of(config.tls_cert.clone(), config.tls_key.clone(), None)?)
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
        .connect_timeout(UPSTREAM_CONNECT)
        .tcp_nodelay(true)
        .initial_connection_window_size(UPSTREAM_WINDOW)
        .http2_keep_alive_interval(UPSTREAM_KEEPALIVE)
        .keep_alive_while_idle(true)
        .connect_lazy())
}
