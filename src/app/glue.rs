//! What one part needs of another that it must not know.

use std::{collections::HashSet, io, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::Later;
use crate::{
    domain::{Digest, PluginId, Result, access::AccessToken, manifest::Manifest, package::Package},
    grpc::TokenStore,
    runtime::{FileSink, PackageFiles, process::FetchPackage},
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

/// A package as the runtime lays it out.
struct Files(Package);

impl PackageFiles for Files {
    fn for_each(&self, sink: &mut FileSink<'_>) -> io::Result<()> {
        self.0.extract_each(&mut |file, contents| sink(&file.path, file.mode, contents))
    }

    fn folders(&self) -> Vec<String> {
        self.0.folders.clone()
    }
}

/// Packages for the runtime. They were checked when they came.
pub(super) fn fetch_package(packages: Packages) -> FetchPackage {
    Arc::new(move |digest| {
        let packages = packages.clone();
        Box::pin(async move {
            let bytes = packages.get(digest).await?;
            let read = tokio::task::spawn_blocking(move || Package::stored(bytes, Manifest::default())).await;
            let package = read.unwrap_or_else(|error| Err(crate::domain::Error::new(INTERNAL, error.to_string())))?;
            Ok(Box::new(Files(package)) as Box<dyn PackageFiles>)
        })
    })
}

const INTERNAL: crate::domain::Reason = crate::domain::Reason::Internal;

/// Goes back to the previous package, in a task of its own.
pub(super) fn roll_back(library: Later<Arc<Library>>) -> Box<dyn Fn(PluginId) + Send + Sync> {
    Box::new(move |id| {
        let Some(library) = library.get().cloned() else { return };
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

    async fn revoke_token(&self, id: crate::domain::TokenId) -> Result<AccessToken> {
        Self::revoke_token(self, id).await
    }

    async fn tokens(&self) -> Result<Vec<AccessToken>> {
        Self::tokens(self).await
    }
}
