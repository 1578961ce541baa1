//! What one part needs of another that it must not know.

use std::sync::Arc;

use jiff::Timestamp;

use crate::{
    domain::{
        Error, Plugin, PluginId, Reason, Result, TokenId, access::AccessToken, manifest::Manifest, package::Package,
    },
    grpc::TokenStore,
    logs::Logs,
    runtime::{
        PackageFiles, Runtime,
        process::{FetchPackage, ProcessRuntime},
    },
    store::{PackageStore, Store},
    supervisor::Projection,
};

/// Packages for the runtime. They were checked when they came.
pub(super) fn fetch_package(packages: PackageStore) -> FetchPackage {
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
pub(super) fn forget(logs: Logs) -> Box<dyn Fn(&Plugin) + Send + Sync> {
    Box::new(move |plugin| logs.remove(plugin.id))
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
