//! How plugd is put together: what is started in which order, what is changed while it runs, and what is stopped in which
//! order. The only place that knows everything.

mod about;
mod admin;
mod backup;
mod boot;
mod deletions;
mod following;
mod manager;
mod metrics;
mod node;
mod options;
mod place;
mod pods;
mod ports;
mod presence;
mod proxies;
mod reload;
mod role;
mod routes;
mod run;
mod runtimes;
mod shim;
mod stage;

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context;
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use admin::{AdminToken, MAX_TOKEN_FILE, TOKEN_FILE, reset_token};
pub use backup::{back_up, migrate, restore};
use boot::{Keys, Setup};
use manager::News;
use metrics::Measures;
use node::Member;
pub(crate) use node::reach_node;
pub(crate) use options::process_options;
pub(crate) use place::store_options;
pub use pods::fetch_package;
use ports::Ports;
use reload::Reload;
pub use shim::serve_rest;

pub use crate::{
    backup::Contents,
    runtime::kubernetes::{DIGEST_VARIABLE, URL_VARIABLE},
};
use crate::{
    config::Config,
    domain::{Secret, finding::Finding},
    tls::{self, Files, SelfSigned},
};

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
pub type Examine = Arc<dyn Fn(Config) -> LocalBoxFuture<'static, Vec<Finding>> + Send + Sync>;

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
    let certificate = files.as_ref().map(|files| files.certificate.clone());
    let catalog = boot::catalog(&config.event_catalog)?;
    let member = Member::of(&config)?;
    let ports = Ports::open(&config, files).await?;
    let listener = Measures { open: ports.clients.open(), certificate };
    let (address, url, plugins_dial) = (ports.clients.address(), ports.clients.url(), ports.plugins_dial());
    let reload = Reload { renewed, certificates: ports.clients.renewals(), running: config.clone() };
    let setup = Setup { config, examine, started: Timestamp::now(), listener, plugins_dial, catalog };
    let ready = |keys: Keys| {
        let Keys { admin_token, link } = keys;
        on_ready(Ready { address, url, admin_token, link, self_signed });
        manager::tell(News::Ready);
    };
    match member {
        None => alone(setup, ports, reload, shutdown, ready).await?,
        Some(member) => Box::pin(node::serve(member, setup, (ports, reload), shutdown, ready)).await?,
    }
    tracing::info!("stopped");
    Ok(())
}

/// Serves as the only plugd on its database.
async fn alone(
    setup: Setup,
    ports: Ports,
    reload: Reload<Config>,
    shutdown: CancellationToken,
    on_ready: impl FnOnce(Keys) + Send,
) -> anyhow::Result<()> {
    let draining = shutdown.child_token();
    let opened = boot::open_store(boot::prepare(&setup.config)?).await?;
    let mut system = Box::pin(boot::boot(&setup, opened, None, draining.clone())).await?;
    let (answers, keys, store) = (system.answers.clone(), std::mem::take(&mut system.keys), system.store.clone());
    let serving = async {
        on_ready(keys);
        tokio::join!(ports.serve(answers, reload, &setup.catalog, draining.clone()), tell_of_the_end(&draining));
    };
    system.run(serving, draining.clone()).await;
    store.close().await.context("the last changes could not be stored")
}

async fn tell_of_the_end(draining: &CancellationToken) {
    draining.cancelled().await;
    manager::tell(News::Stopping);
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
