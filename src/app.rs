//! How plugd is put together: what is started in which order, what is changed while it runs, and what is stopped in which
//! order. The only place that knows everything.

mod about;
mod admin;
mod backup;
mod boot;
mod manager;
mod metrics;
mod options;
mod place;
mod proxies;
mod routes;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::Context;
use futures_util::future::LocalBoxFuture;
use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;
use tower::ServiceExt;

pub use admin::{AdminToken, MAX_TOKEN_FILE, TOKEN_FILE, reset_token};
pub use backup::{back_up, migrate, restore};
use boot::System;
use manager::News;
use metrics::Measures;
pub(crate) use options::process_options;
pub(crate) use place::store_options;

pub use crate::backup::Contents;
use crate::{
    config::{self, Config, RestConfig, RuntimeProvider, Settings},
    domain::{Secret, events::EventCatalog, finding::Finding},
    listener::{self, App, Listener},
    logs::Logs,
    rest,
    store::Store,
    supervisor::Handle,
    telemetry::trace,
    tls::{self, Files, SelfSigned, Trust},
};

/// How long requests that are under way when plugd stops may take to end.
const DRAIN: Duration = Duration::from_secs(1);

/// How long plugins that other programs run may take to close their connections, and to read what was sent before.
const CLOSING: Duration = Duration::from_secs(2);

/// How long what plugins printed last may take to be written once they have ended.
const LAST_OUTPUT: Duration = Duration::from_millis(300);

/// How long a start may take to find out what every plugin does.
const CATCH_UP: Duration = Duration::from_secs(10);

/// How much longer than a plugin may take to stop the supervisor is waited for.
const MARGIN: Duration = Duration::from_millis(500);

/// How long an upstream may take to take a connection.
const UPSTREAM_CONNECT: Duration = Duration::from_secs(5);

/// How often a silent upstream is asked for a sign of life.
const UPSTREAM_KEEPALIVE: Duration = Duration::from_secs(20);

/// Room for the bytes that browsers have not read yet, in bytes: without it a slow one stalls the others on its connection.
const UPSTREAM_WINDOW: u32 = 64 << 20;

/// Settings that are taken at once; the log's filter has been taken before the settings come here.
const LIVE: [&str; 2] = ["log", "event_catalog"];

/// Settings that are taken at once where there is encryption before and after.
const OF_CERTIFICATES: [&str; 3] = ["tls_cert", "tls_key", "tls_client_ca"];

#[derive(Debug)]
pub struct Ready {
    pub address: SocketAddr,
    /// The same as clients write it, as `http://127.0.0.1:8000`.
    pub url: String,
    /// The administrator's token, when this start made it.
    pub admin_token: Option<AdminToken>,
    /// The token of a link to the console, which is good for one hour and one browser.
    pub link: Option<Secret>,
    /// The certificate that plugd made for itself, if it serves with that.
    pub self_signed: Option<SelfSigned>,
}

impl Ready {
    /// The server's address as a browser or a client of this machine writes it.
    pub fn local_url(&self) -> String {
        let (scheme, _) = self.url.split_once("://").unwrap_or(("http", ""));
        if self.address.ip().is_unspecified() {
            format!("{scheme}://localhost:{}", self.address.port())
        } else {
            self.url.clone()
        }
    }

    /// A link that opens the console, once and for an hour.
    pub fn link(&self) -> Option<String> {
        Some(console_link(&self.local_url(), self.link.as_ref()?.expose()))
    }
}

/// The link to the console of a server that signs in with the token of a link.
pub fn console_link(server: &str, token: &str) -> String {
    format!("{}/sign-in?token={token}", server.trim_end_matches('/'))
}

/// Looks whether the host and these settings are good for plugd, and tries it: what `plugd doctor` does.
pub type Examine = Box<dyn Fn(Config) -> LocalBoxFuture<'static, Vec<Finding>> + Send + Sync>;

/// Serves until `shutdown`, then ends streams, stops plugins, and remembers everything. Of the settings that are `renewed`
/// meanwhile it takes what can be changed, and says which can't.
pub async fn serve(
    config: Config,
    examine: Examine,
    shutdown: CancellationToken,
    renewed: mpsc::Receiver<Config>,
    on_ready: impl FnOnce(Ready) + Send,
) -> anyhow::Result<()> {
    let (files, self_signed) = certificates(&config)?;
    let for_plugins = listener_for_plugins(files.is_some()).await?;
    let for_scrapes = listener_for_scrapes(config.metrics_listen).await?;
    let certificate = files.as_ref().map(|files| files.certificate.clone());
    let listener = Listener::bind(config.listen, files).await?;
    let (address, url) = (listener.address(), listener.url());
    let plugins_dial = for_plugins.as_ref().map_or(address, Listener::address);
    let draining = shutdown.child_token();
    let measures = Measures { open: listener.open(), certificate };
    let System { served, plugins_app, connections, handle, supervisor, parts, store, logs, hooks, secrets, catalog } =
        Box::pin(boot::boot(&config, plugins_dial, examine, measures, draining.clone())).await?;
    let ((app, scrapes), (admin_token, link)) = (served, secrets);

    let is_local = config.runtime_provider == RuntimeProvider::Local;
    let options = listener_options(config.max_connections);
    let reload = Reload { renewed, certificates: listener.renewals(), running: config };
    let take = |config: Config| {
        let catalog = catalog.clone();
        async move {
            renew_catalog(&catalog, config.event_catalog.clone()).await;
            // A certificate that plugd made itself may be made anew.
            Ok(spawn_blocking(move || certificates(&config)).await??.0)
        }
    };
    let serving = async {
        if is_local {
            catch_up(&handle, &store).await;
        }
        let clients = reload.beside(listener::serve(listener, app, options, draining.clone()), take);
        let plugins = serve_on(for_plugins, plugins_app, options, draining.clone());
        let scraping = serve_on(for_scrapes, scrapes.router(), options, draining.clone());
        tracing::info!(url, "serving");
        on_ready(Ready { address, url, admin_token, link, self_signed });
        manager::tell(News::Ready);
        let (dropped, (), ()) = tokio::join!(clients, plugins, scraping);
        tracing::info!(dropped, "no longer listening");
    };
    let supervising = async {
        if is_local {
            supervisor.run(parts, draining.clone(), MARGIN).await;
        }
    };
    let telling = tell_of_the_end(&draining);
    tokio::join!(serving, supervising, telling, yield_to_another(store.healthy(), draining.clone()));

    wait_for_plugins(&connections, &logs).await;
    hooks.ended().await;
    store.close().await.context("the last changes could not be stored")?;
    tracing::info!("stopped");
    Ok(())
}

/// Serves on a listener of its own, if there is one.
async fn serve_on(
    listener: Option<Listener>,
    app: impl Into<App>,
    options: listener::Options,
    shutdown: CancellationToken,
) {
    if let Some(listener) = listener {
        listener::serve(listener, app, options, shutdown).await;
    }
}

async fn tell_of_the_end(draining: &CancellationToken) {
    draining.cancelled().await;
    manager::tell(News::Stopping);
}

/// Waits until the store knows what every plugin does. Before that, what is reported is what was when plugd was last here.
/// Plugins that dial meanwhile wait in the queue.
async fn catch_up(handle: &Handle, store: &Store) {
    let current = async {
        handle.caught_up().await;
        store.flush().await
    };
    if !matches!(timeout(CATCH_UP, current).await, Ok(Ok(()))) {
        tracing::warn!("serving before every plugin's state is known to the store");
    }
}

/// Waits until plugins have closed their connections and all that they printed is written.
async fn wait_for_plugins(connections: &TaskTracker, logs: &Logs) {
    connections.close();
    if timeout(CLOSING, connections.wait()).await.is_err() {
        tracing::warn!(count = connections.len(), "plugins have not closed their connections in time");
    }
    if timeout(LAST_OUTPUT, logs.drained()).await.is_err() {
        tracing::warn!("a process that left its group still prints; what it prints is no longer kept");
    }
}

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
        trace::traced(request, async |request| {
            let Ok(answer) = router.oneshot(request).await;
            answer
        })
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

struct Reload<S> {
    /// Settings as they were read again.
    renewed: mpsc::Receiver<S>,
    /// Where the certificate's files are sent, if connections are encrypted.
    certificates: Option<watch::Sender<Files>>,
    /// The settings that plugd was started with.
    running: S,
}

impl<S: Settings + Clone> Reload<S> {
    /// Takes settings until `serving` ends: `take` takes what is not the certificate's, and says where that is now.
    async fn beside<T, F: Future<Output = anyhow::Result<Option<Files>>>>(
        mut self,
        serving: impl Future<Output = T>,
        take: impl Fn(S) -> F,
    ) -> T {
        let taking = async {
            while let Some(settings) = self.renewed.recv().await {
                let files = take(settings.clone()).await;
                tell_of_others(&self.running, &settings, self.certificates.is_some() && !matches!(files, Ok(None)));
                match (&self.certificates, files) {
                    (Some(certificates), Ok(Some(files))) => drop(certificates.send_replace(files)),
                    (_, Err(error)) => tracing::warn!("{error:#}; the certificate stays as it is"),
                    _ => {}
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            served = serving => served,
            never = taking => never,
        }
    }
}

async fn renew_catalog(catalog: &EventCatalog, setting: config::EventCatalog) {
    let read = spawn_blocking(move || boot::catalog(&setting)).await;
    match read.map_err(anyhow::Error::from).flatten() {
        // No catalogue before and after is no news.
        Ok(renewed) if catalog.is_any() && renewed.is_any() => {}
        Ok(renewed) => {
            catalog.replace_with(&renewed);
            tracing::info!("the catalogue of events was read again");
        }
        Err(error) => tracing::warn!("{error:#}; the catalogue of events stays as it is"),
    }
}

/// Says which settings were changed and are not taken.
fn tell_of_others<S: Settings>(running: &S, renewed: &S, is_encrypted: bool) {
    let is_live = |name: &&str| LIVE.contains(name) || is_encrypted && OF_CERTIFICATES.contains(name);
    let others: Vec<&str> = running.differing(renewed).into_iter().filter(|name| !is_live(name)).collect();
    if !others.is_empty() {
        tracing::warn!(settings = others.join(", "), "these settings are changed by a restart only");
    }
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

/// When the listener is encrypted, plugins of this host get a loopback port of their own, which serves them and nothing
/// else: no certificate vouches for a loopback address, and SDKs take no client certificates.
async fn listener_for_plugins(is_encrypted: bool) -> anyhow::Result<Option<Listener>> {
    if !is_encrypted {
        return Ok(None);
    }
    Ok(Some(Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), None).await.context("no port for plugins")?))
}

/// A port for metrics alone, where the operator wants one.
async fn listener_for_scrapes(address: Option<SocketAddr>) -> anyhow::Result<Option<Listener>> {
    let Some(address) = address else { return Ok(None) };
    let listener = Listener::bind(address, None).await.context("no port for metrics")?;
    tracing::info!(url = listener.url(), "serving metrics");
    Ok(Some(listener))
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
    let (certificate, key) = (own.certificate.clone(), own.key.clone());
    Ok((Some(Files { certificate, key, client_authority: authority }), Some(own)))
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

/// Makes a folder that only its owner may look into.
fn make_private(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("can't make the folder {}", folder.display()))
}

/// Lets plugd hear signals that its parent process had blocked or ignored. To be called before there are threads.
pub fn hear_signals() {
    crate::runtime::keeper::hear_signals();
}

/// Has plugd look after processes that have lost their parent, where it is the first of a container: they come to it then.
/// Not for a process that starts others itself, besides the plugins.
pub fn adopt_orphans() {
    crate::runtime::keeper::adopt_orphans();
}

pub use crate::runtime::keeper::{ARGUMENT as KEEPER, close_to_others, run as keeper};
