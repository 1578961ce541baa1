//! What runs plugins: processes of this host, or pods of a cluster.

use std::sync::Arc;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use super::{options::process_options, pods};
use crate::{
    config::{Config, RuntimeProvider},
    domain::{Error, Reason, manifest::Manifest, package::Package},
    logs::{self, Logs},
    runtime::{
        PackageFiles, Runtime, StartSpec,
        process::{self, FetchPackage, ProcessRuntime},
    },
    store::PackageStore,
};

/// What runs plugins.
pub(super) struct Runtimes {
    pub(super) used: Arc<dyn Runtime>,
    /// Why nothing can be started now, in words; none where something can.
    pub(super) obstacle: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl Runtimes {
    /// # Errors
    /// There is no cluster for pods.
    pub(super) async fn new(
        config: &Config,
        database_id: &str,
        (local, logs): (Arc<ProcessRuntime>, Logs),
        draining: &CancellationToken,
    ) -> anyhow::Result<Self> {
        if config.runtime_provider != RuntimeProvider::Kubernetes {
            let used = local.clone();
            return Ok(Self { used, obstacle: Arc::new(move || local.obstacle().map(str::to_owned)) });
        }
        let pods = Arc::new(pods::runtime(config, database_id, (local, logs), draining.clone()).await?);
        Ok(Self { used: pods.clone(), obstacle: Arc::new(move || pods.obstacle()) })
    }
}

/// Runs plugins as processes of this host.
///
/// # Errors
/// What is in the way.
pub(super) fn local(config: &Config, packages: &PackageStore, logs: &Logs) -> anyhow::Result<ProcessRuntime> {
    let is_local = config.runtime_provider == RuntimeProvider::Local;
    process::raise_open_files();
    let options = process_options(config)?;
    let capture = {
        let (logs, sandbox) = (logs.clone(), config.sandbox);
        Arc::new(move |spec: &StartSpec, pipes| {
            let secret = spec.token().to_owned().into();
            let sandbox = spec.policy.process.sandbox.unwrap_or(sandbox);
            let source = logs::Source { plugin: spec.plugin, run: spec.run, secret, sandbox };
            logs.capture(source, pipes);
        })
    };
    let runtime =
        ProcessRuntime::new(options, fetch_package(packages.clone()), capture).context("plugins can't be run here")?;
    if is_local {
        runtime.empty_trash();
        runtime.remove_leftovers();
    }
    Ok(runtime)
}

/// Packages for the runtime. They were checked when they came.
fn fetch_package(packages: PackageStore) -> FetchPackage {
    Arc::new(move |digest| {
        let packages = packages.clone();
        Box::pin(async move {
            let bytes = packages.get(digest).await?;
            let read = tokio::task::spawn_blocking(move || Package::stored(bytes, digest, Manifest::default())).await;
            let package = read.unwrap_or_else(|error| Err(Error::new(Reason::Internal, error.to_string())))?;
            Ok(Box::new(package) as Box<dyn PackageFiles>)
        })
    })
}
