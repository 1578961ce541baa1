//! Plugins as pods: the runtime for them, their logs, and what lays a package out within one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::options::limits;
use crate::{
    config::{Config, RuntimeProvider},
    domain::{Digest, PluginId, Reason, manifest::Manifest, package::Package, package::digest_of},
    fetch,
    logs::{self, Logs, Relay},
    runtime::{
        kubernetes::{KubernetesRuntime, Options, Printed, PrintedOf, Volumes},
        lay_out,
        process::ProcessRuntime,
    },
};

/// How long a pod asks for its package: plugd may be away for a moment, and others may be before it (`link::package`).
const PATIENCE: Duration = Duration::from_secs(150);

/// How long after a refusal it asks again.
const AGAIN: Duration = Duration::from_millis(500);

/// The image of plugd that has the program of this process.
const IMAGE: &str = concat!("plugd:", env!("CARGO_PKG_VERSION"));

/// The runtime of a plugd with these settings and this database; `local` has the folders of logs.
///
/// # Errors
/// No cluster is to be found.
pub(super) async fn runtime(
    config: &Config,
    database_id: &str,
    (local, logs): (Arc<ProcessRuntime>, Logs),
    draining: CancellationToken,
) -> anyhow::Result<KubernetesRuntime> {
    let images = config.kube_image.iter().filter_map(|image| image.split_once('='));
    let options = Options {
        namespace: config.kube_namespace.clone(),
        instance: database_id.to_owned(),
        images: images.map(|(command, image)| (command.to_owned(), image.to_owned())).collect(),
        plugd_image: config.kube_plugd_image.clone().unwrap_or_else(|| IMAGE.to_owned()),
        limits: limits(config),
        volumes: config.kube_volume_claims.clone().map(|class| Volumes { class, bytes: config.kube_volume_size.0 }),
        user: config.plugin_user,
        max_concurrent_starts: usize::try_from(config.max_concurrent_starts).unwrap_or(usize::MAX),
    };
    let runtime = KubernetesRuntime::new(options, (printed_of(config, logs), local), draining).await;
    runtime.context("there is no cluster to run plugins in: set KUBECONFIG, or run plugd as a pod of one")
}

/// Where pods dial; none where plugins are no pods.
pub(super) fn rpc_url(config: &Config) -> Option<String> {
    let url = config.kube_plugd_url.as_ref().filter(|_| config.runtime_provider == RuntimeProvider::Kubernetes)?;
    Some(format!("{}/rpc", url.0.replacen("http", "ws", 1)))
}

fn printed_of(config: &Config, logs: Logs) -> PrintedOf {
    let folder = config.plugin_dir.clone();
    let sandbox = config.sandbox;
    Arc::new(move |plugin, run, secret| {
        let source = logs::Source { plugin, run, secret: secret.clone(), sandbox };
        Box::new(Lines { relay: logs.relay(source), folder: folder.join(plugin.to_string()).into() })
    })
}

/// The lines of a run on their way into its plugin's log.
struct Lines {
    relay: Relay,
    /// The plugin's folder, in which nobody has laid anything out.
    folder: Arc<Path>,
}

impl Printed for Lines {
    fn last(&self) -> BoxFuture<'_, io::Result<Option<(Timestamp, usize)>>> {
        Box::pin(self.relay.last())
    }

    fn begin(&self) -> BoxFuture<'_, ()> {
        let folder = Arc::clone(&self.folder);
        Box::pin(async move {
            let made = spawn_blocking(move || fs::create_dir_all(folder)).await;
            // What can't be made can't be written into either, which is told then.
            drop(made);
            self.relay.begin().await;
        })
    }

    fn write(&self, lines: Vec<logs::Line>) -> BoxFuture<'_, ()> {
        Box::pin(self.relay.write(lines))
    }

    fn finish(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.relay.finish())
    }
}

/// What `plugd fetch` does in the pod of a run: fetches the package and lays it out in this folder.
///
/// # Errors
/// plugd does not hand it out, or it can't be laid out.
pub async fn fetch_package(url: &str, (plugin, digest): (PluginId, Digest), folder: PathBuf) -> anyhow::Result<()> {
    // The address is the operator's, in the cluster's own network.
    let options = fetch::Options { allow_private: true, max_redirects: 0, ..fetch::Options::default() };
    let mut last = io::Error::from(io::ErrorKind::TimedOut).into();
    let fetching = async {
        loop {
            match fetch::fetch(url, &options).await {
                Err(error) if error.reason == Reason::FetchFailed => last = anyhow::Error::from(error),
                done => return done,
            }
            sleep(AGAIN).await;
        }
    };
    let Ok(archive) = timeout(PATIENCE, fetching).await else { return Err(last) };
    let archive = archive?;
    anyhow::ensure!(digest_of(&archive) == digest, "the plugin has another package by now");
    let package = Package::stored(archive, digest, Manifest::default())?;
    let laid = spawn_blocking(move || lay_out(&folder, plugin, digest, &package)).await?;
    laid.map_err(|failure| anyhow::anyhow!(failure.message))
}
