//! The ports that plugd listens on.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    certificates,
    reload::{self, Reload},
};
use crate::{
    config::Config,
    domain::events::EventCatalog,
    listener::{self, App, Listener},
    tls::Files,
};

/// How long requests that are under way when plugd stops may take to end.
const DRAIN: Duration = Duration::from_secs(1);

/// The ports: one for everything, and where it is needed one for plugins alone, and one for metrics alone.
pub(super) struct Ports {
    pub(super) clients: Listener,
    plugins: Option<Listener>,
    scrapes: Option<Listener>,
}

/// What answers on each of them.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) clients: App,
    /// What plugins dial, and nothing else.
    pub(super) plugins: App,
    pub(super) scrapes: App,
}

impl Ports {
    /// Listens on each; for clients encrypted, if there are files for it.
    ///
    /// # Errors
    /// One can't be listened on.
    pub(super) async fn open(config: &Config, files: Option<Files>) -> anyhow::Result<Self> {
        let plugins = for_plugins(files.is_some()).await?;
        let scrapes = for_scrapes(config.metrics_listen).await?;
        Ok(Self { clients: Listener::bind(config.listen, files).await?, plugins, scrapes })
    }

    /// Where plugins of this host dial.
    pub(super) fn plugins_dial(&self) -> SocketAddr {
        self.plugins.as_ref().unwrap_or(&self.clients).address()
    }

    /// Serves until `shutdown`, and takes settings meanwhile.
    pub(super) async fn serve(
        self,
        answers: Answers,
        reload: Reload<Config>,
        catalog: &EventCatalog,
        shutdown: CancellationToken,
    ) {
        let options = listener_options(reload.running.max_connections);
        let take = |config: Config| async move {
            reload::renew_catalog(catalog, config.event_catalog.clone()).await;
            // A certificate that plugd made itself may be made anew.
            Ok(spawn_blocking(move || certificates(&config)).await??.0)
        };
        tracing::info!(url = self.clients.url(), "serving");
        let clients = reload.beside(listener::serve(self.clients, answers.clients, options, shutdown.clone()), take);
        let plugins = serve_on(self.plugins, answers.plugins, options, shutdown.clone());
        let scrapes = serve_on(self.scrapes, answers.scrapes, options, shutdown);
        let (dropped, (), ()) = tokio::join!(clients, plugins, scrapes);
        tracing::info!(dropped, "no longer listening");
    }
}

/// Serves on a listener of its own, if there is one.
async fn serve_on(listener: Option<Listener>, app: App, options: listener::Options, shutdown: CancellationToken) {
    if let Some(listener) = listener {
        listener::serve(listener, app, options, shutdown).await;
    }
}

/// When the listener is encrypted, plugins of this host get a loopback port of their own, which serves them and nothing
/// else: no certificate vouches for a loopback address, and SDKs take no client certificates.
async fn for_plugins(is_encrypted: bool) -> anyhow::Result<Option<Listener>> {
    if !is_encrypted {
        return Ok(None);
    }
    Ok(Some(Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), None).await.context("no port for plugins")?))
}

/// A port for metrics alone, where the operator wants one.
async fn for_scrapes(address: Option<SocketAddr>) -> anyhow::Result<Option<Listener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = Listener::bind(address, None).await.context("no port for metrics")?;
    tracing::info!(url = listener.url(), "serving metrics");
    Ok(Some(listener))
}

/// How a listener with as many connections is served.
pub(super) fn listener_options(max_connections: u32) -> listener::Options {
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    listener::Options { max_connections, drain_timeout: DRAIN, ..listener::Options::default() }
}
