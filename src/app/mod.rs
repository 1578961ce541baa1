//! The only place that knows everything: what is started in which order, and stopped in which.

mod admin;
mod boot;
mod database;
mod glue;
mod health;
mod reload;
mod routes;
mod upstream;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub use admin::{AdminToken, MAX_TOKEN_FILE, TOKEN_FILE, reset_token};
use reload::Reload;
pub use upstream::serve_rest;

use crate::{
    config::{Config, RuntimeProvider},
    listener::{self, Listener, Report},
    tls::{self, Files, SelfSigned},
};

/// How long requests that are under way when plugd stops may take to end.
const DRAIN: Duration = Duration::from_secs(1);

/// How long plugins that other programs run may take to close their connections, and to read what was sent before.
const GOODBYES: Duration = Duration::from_secs(2);

/// How long what plugins printed last may take to be written once they have ended.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// How long a start may take to find out what every plugin does.
const CATCH_UP: Duration = Duration::from_secs(10);

/// What is known once the server listens.
#[derive(Debug)]
pub struct Ready {
    /// Where it listens.
    pub address: SocketAddr,
    /// The same as clients write it, as `http://127.0.0.1:8000`.
    pub url: String,
    /// The administrator's token, when this start made it.
    pub admin_token: Option<AdminToken>,
    /// The certificate that plugd made for itself, if it serves with that.
    pub self_signed: Option<SelfSigned>,
}

/// Serves until `shutdown`, then ends streams, stops plugins, and remembers everything. Of the settings that are `renewed`
/// meanwhile it takes what can be changed, and says which can't.
///
/// # Errors
/// It can't be started: the message says what is in the way.
pub async fn serve(
    config: Config,
    shutdown: CancellationToken,
    renewed: mpsc::Receiver<Config>,
    on_ready: impl FnOnce(Ready) + Send,
) -> anyhow::Result<()> {
    let (files, self_signed) = certificates(&config)?;
    let for_plugins = listener_for_plugins(files.is_some()).await?;
    let listener = Listener::bind(config.listen, files).await?;
    let (address, url) = (listener.address(), listener.url());
    let plugins_dial = for_plugins.as_ref().map_or(address, Listener::address);
    let draining = shutdown.child_token();
    let boot::System { app, plugins_app, connections, handle, supervisor, parts, store, logs, admin_token, catalog } =
        Box::pin(boot::boot(&config, plugins_dial, draining.clone())).await?;
    let patience = config.grace + config.kill_timeout + Duration::from_millis(500);
    let is_local = config.runtime_provider == RuntimeProvider::Local;
    let supervising = async {
        if is_local {
            supervisor.run(parts, draining.clone(), patience).await;
        }
    };
    let yielding = yield_to_another(store.healthy(), draining.clone());
    let options = listener_options(config.max_connections);
    let reload = Reload { renewed, certificates: listener.renewals(), running: config };
    let take = |config: Config| {
        let catalog = catalog.clone();
        async move {
            reload::renew_catalog(&catalog, config.event_catalog.clone()).await;
            // One that plugd made itself may be made anew.
            Ok(spawn_blocking(move || certificates(&config)).await??.0)
        }
    };
    let serving = async {
        // Until then, what is reported is what was when plugd was last here. Plugins that dial meanwhile wait in the queue.
        let current = async {
            handle.caught_up().await;
            store.flush().await
        };
        if is_local && !matches!(timeout(CATCH_UP, current).await, Ok(Ok(()))) {
            tracing::warn!("serving before every plugin's state is known to the store");
        }
        let served = listener::serve(listener, app, options, draining.clone());
        let plugins_served = async {
            if let Some(listener) = for_plugins {
                listener::serve(listener, plugins_app, options, draining.clone()).await;
            }
        };
        tracing::info!(url, "serving");
        on_ready(Ready { address, url, admin_token, self_signed });
        report(tokio::join!(reload.beside(served, take), plugins_served).0);
    };
    tokio::join!(serving, supervising, yielding);
    connections.close();
    if timeout(GOODBYES, connections.wait()).await.is_err() {
        tracing::warn!(count = connections.len(), "plugins have not taken leave in time");
    }
    if timeout(LAST_WORDS, logs.drained()).await.is_err() {
        tracing::warn!("a process that left its group still prints; what it prints is no longer kept");
    }
    store.close().await.context("the last changes could not be stored")?;
    tracing::info!("stopped");
    Ok(())
}

/// When the listener is encrypted, plugins of this host get a loopback port of their own, which serves them and nothing
/// else: no certificate vouches for a loopback address, and SDKs take no client certificates.
async fn listener_for_plugins(is_encrypted: bool) -> anyhow::Result<Option<Listener>> {
    if !is_encrypted {
        return Ok(None);
    }
    Ok(Some(Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), None).await.context("no port for plugins")?))
}

/// What the listener is encrypted with, if it is.
fn certificates(config: &Config) -> anyhow::Result<(Option<Files>, Option<SelfSigned>)> {
    let (certificate, authority) = (config.tls_cert.clone(), config.tls_client_ca.clone());
    if !config.tls_self_signed {
        return Ok((Files::of(certificate, config.tls_key.clone(), authority)?, None));
    }
    if certificate.is_some() || config.tls_key.is_some() {
        return Err(tls::Error::Contradiction("tls_self_signed", "tls_cert with its tls_key").into());
    }
    make_private(&config.data_dir)?;
    let own = SelfSigned::keep(&config.data_dir, config.listen)?;
    Ok((Some(own.files().with_client_authority(authority)), Some(own)))
}

/// Ends everything when the store ends by itself: another plugd has the database, and runs the plugins of it.
async fn yield_to_another(mut healthy: watch::Receiver<bool>, draining: CancellationToken) {
    tokio::select! {
        _ = async { while healthy.changed().await.is_ok() {} } => draining.cancel(),
        () = draining.cancelled() => {}
    }
}

fn listener_options(max_connections: u32) -> listener::Options {
    let max_connections = usize::try_from(max_connections).unwrap_or(usize::MAX);
    listener::Options { max_connections, drain_timeout: DRAIN, ..listener::Options::default() }
}

fn report(report: Report) {
    tracing::info!(accepted = report.accepted, dropped = report.dropped, "no longer listening");
}

/// Makes a folder that only its owner may look into.
fn make_private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("can't make the folder {}", folder.display()))
}

/// Lets plugd hear signals that whoever started it had blocked or ignored. To be called before there are threads.
pub fn hear_signals() {
    crate::runtime::process::hear_signals();
}

/// What the hidden subcommand `warden` does: ends what plugd ran once plugd is gone.
///
/// # Errors
/// Its input can't be read.
pub fn warden() -> std::io::Result<()> {
    crate::runtime::warden::run()
}
