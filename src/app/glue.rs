//! What one part needs of another that it must not know.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::{
    domain::{
        Digest, Error, PluginId, Reason, Result, TokenId, access::AccessToken, manifest::Manifest, package::Package,
    },
    grpc::TokenStore,
    runtime::{PackageFiles, process::FetchPackage},
    store::{Store, packages::Packages},
    supervisor::{Library, PackageBytes, Wait},
};

/// The name under which plugd itself changes what is desired.
const PLUGD: &str = "plugd";

impl PackageBytes for Packages {
    fn put(&self, digest: Digest, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(Self::put(self, digest, bytes))
    }

    fn get(&self, digest: Digest) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(Self::get(self, digest))
    }

    fn retain(&self, keep: HashSet<Digest>) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { Self::retain(self, &keep).await.map(drop) })
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

/// Goes back to the previous package, in a task of its own.
pub(super) fn roll_back(library: Arc<Library>) -> Box<dyn Fn(PluginId) + Send + Sync> {
    Box::new(move |id| {
        let library = library.clone();
        tokio::spawn(async move {
            match library.roll_back(id, PLUGD, Wait::No).await {
                Ok(_) => tracing::warn!(plugin = %id, "the update failed; the previous package is back"),
                Err(error) => tracing::error!(plugin = %id, %error, "the update failed and can't be taken back"),
            }
        });
    })
}

impl TokenStore for Store {
    async fn create_token(&self, token: AccessToken) -> Result<()> {
        Self::create_token(self, token).await
    }

    async fn revoke_token(&self, id: TokenId) -> Result<AccessToken> {
        Self::revoke_token(self, id).await
    }

    async fn tokens(&self) -> Result<Vec<AccessToken>> {
        Self::tokens(self).await
    }
}
