//! What one part needs of another that it must not know.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    domain::{
        Digest, Error, Plugin, PluginId, Reason, Result, TokenId, access::AccessToken, manifest::Manifest,
        package::Package,
    },
    grpc::TokenStore,
    logs::Logs,
    runtime::{
        PackageFiles, Runtime,
        process::{FetchPackage, ProcessRuntime},
    },
    store::{Store, packages::Packages},
    supervisor::{Library, PackageBytes, Projection},
};

impl PackageBytes for Packages {
    fn put(&self, digest: Digest, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::put(self, digest, bytes))
    }

    fn get(&self, digest: Digest) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(Self::get(self, digest))
    }

    fn delete(&self, digest: Digest) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::delete(self, digest))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<(Digest, SystemTime)>>> {
        Box::pin(Self::list(self))
    }
}

/// Packages for the runtime. They were checked when they came.
pub(super) fn fetch_package(packages: Packages) -> FetchPackage {
    Arc::new(move |digest| {
        let packages = packages.clone();
        Box::pin(async move {
            let bytes = packages.get(digest).await?;
            let read = tokio::task::spawn_blocking(move || Package::stored(bytes, Manifest::default())).await;
            let package = read.unwrap_or_else(|error| Err(Error::new(Reason::Internal, error.to_string())))?;
            Ok(Box::new(package) as Box<dyn PackageFiles>)
        })
    })
}

/// Takes away what else is kept of a deleted plugin, whether or not anybody waits for the deletion.
pub(super) fn forget(logs: Logs, library: Arc<Library>) -> Box<dyn Fn(&Plugin) + Send + Sync> {
    Box::new(move |plugin| {
        logs.remove(plugin.id);
        library.discard(&plugin.desired);
    })
}

/// How long a package may lie there without a plugin, and how often it is looked for them (DESIGN 7).
const GRACE: Duration = Duration::from_secs(3600);

/// Deletes packages that no plugin refers to and that lie there for longer than [`GRACE`]: a kill in the middle of an upload
/// or a deletion leaves one.
pub(super) async fn sweep_packages(library: Arc<Library>) {
    let mut rounds = tokio::time::interval(GRACE);
    loop {
        rounds.tick().await;
        library.sweep(|stored| stored.elapsed().is_ok_and(|age| age >= GRACE)).await;
    }
}

/// Removes the folders of plugins whose deletion was stored, but not carried out to its end, when plugd was last here. Only
/// those of which the journal says so: what nobody knows may be another plugd's, or of a store that is restored tomorrow.
pub(super) async fn finish_deletions(runtime: Arc<ProcessRuntime>, store: Store, projection: Arc<Projection>) {
    let unknown: Vec<_> = match runtime.installed().await {
        Ok(found) => found.into_iter().filter(|id| projection.slot(*id).is_err()).collect(),
        Err(error) => return tracing::warn!(%error, "the folder of plugins can't be read"),
    };
    if unknown.is_empty() {
        return;
    }
    let deleted = match store.deleted(&unknown).await {
        Ok(deleted) => deleted,
        Err(error) => return tracing::warn!(%error, "files of deleted plugins may be left behind until the next start"),
    };
    for plugin in deleted {
        match runtime.remove(plugin).await {
            Ok(()) => tracing::info!(%plugin, "the deletion of a plugin's files was finished"),
            Err(error) => tracing::warn!(%plugin, %error, "files of a deleted plugin are left behind"),
        }
    }
}

impl TokenStore for Store {
    async fn create_token(&self, token: AccessToken) -> Result<()> {
        Self::create_token(self, token).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<AccessToken> {
        Self::revoke_token(self, id).await
    }

    async fn purge_tokens(&self, now: Timestamp) -> Result<usize> {
        Self::purge_tokens(self, now).await
    }

    async fn tokens(&self, after: Option<TokenId>, limit: u64) -> Result<Vec<AccessToken>> {
        Self::tokens(self, after, limit).await
    }
}

/// Writes lines of plugd into the plugins' logs.
pub(super) fn note_in(logs: Logs) -> Box<dyn Fn(PluginId, String) + Send + Sync> {
    Box::new(move |id, line| logs.note(id, &line))
}
