//! Packages: checked, stored by digest, handed to plugins, and taken away when none needs them.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::RwLock;

use super::{
    Handle, Wait,
    handle::{check_supervised, commit},
    message::{Decide, Decision},
    settle::replaced,
};
use crate::domain::{
    Desired, Digest, Error, Plugin, PluginId, Reason, Result, events::EventCatalog, lifecycle::Event, package::Package,
};

/// Where the bytes of packages are kept.
pub trait PackageBytes: Send + Sync + 'static {
    /// Stores bytes under their digest; durable when it answers.
    fn put(&self, digest: Digest, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// The bytes with this digest.
    fn get(&self, digest: Digest) -> BoxFuture<'_, Result<Bytes>>;

    /// Deletes the bytes with this digest, if they are there.
    fn delete(&self, digest: Digest) -> BoxFuture<'_, Result<()>>;
}

/// The packages of all plugins.
pub struct Library {
    handle: Handle,
    bytes: Arc<dyn PackageBytes>,
    catalog: EventCatalog,
    /// Shared by those who need a package that no plugin refers to: not yet, or perhaps no longer. Alone for who collects
    /// those.
    intake: RwLock<()>,
}

impl Library {
    /// The library of a supervisor.
    #[must_use]
    pub fn new(handle: Handle, bytes: Arc<dyn PackageBytes>, catalog: EventCatalog) -> Self {
        Self { handle, bytes, catalog, intake: RwLock::default() }
    }

    /// Installs a package as a new, inactive plugin.
    ///
    /// # Errors
    /// `INVALID_PACKAGE`, `INVALID_MANIFEST`, `STORE_UNAVAILABLE`; nothing is kept then.
    pub async fn install(&self, archive: Bytes) -> Result<Arc<Plugin>> {
        let package = self.read(archive).await?;
        let _intake = self.intake.read().await;
        self.bytes.put(package.digest, package.bytes).await?;
        self.handle.install(package.manifest, package.digest).await
    }

    /// Replaces the package of a supervised plugin. One that is desired active is started with the new package:
    /// [`Library::wait_settled`] says what came of it.
    ///
    /// # Errors
    /// As [`Library::install`]; `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `MANIFEST_ID_MISMATCH`.
    pub async fn update(&self, id: PluginId, archive: Bytes, by: &str) -> Result<Arc<Plugin>> {
        check_supervised(&*self.handle.get(id)?)?;
        let package = self.read(archive).await?;
        let uploaded = package.digest;
        let (committed, seen) = {
            let _intake = self.intake.read().await;
            let seen = self.handle.get(id)?;
            check_same(&seen, &package)?;
            self.bytes.put(package.digest, package.bytes.clone()).await?;
            (self.amend(id, replace(package), by).await?, seen)
        };
        // Its own too: another update may have taken its place already.
        let candidates = [seen.desired.package, seen.desired.previous_package, Some(uploaded)];
        self.collect(candidates.into_iter().flatten()).await;
        Ok(committed)
    }

    /// Waits until what was desired of this record is settled with its package, not with one that took its place.
    ///
    /// # Errors
    /// As [`Handle::set_active`]; `SUPERSEDED` also when another package took the place of this one.
    pub async fn wait_settled(&self, committed: &Arc<Plugin>, wait: Wait) -> Result<Arc<Plugin>> {
        self.handle.wait_with_package(committed, wait).await
    }

    /// Goes back to the package before the present one; that one becomes the previous.
    ///
    /// # Errors
    /// `NO_PREVIOUS_PACKAGE`, `PACKAGE_NOT_FOUND`, and as [`Library::wait_settled`].
    pub async fn roll_back(&self, id: PluginId, by: &str, wait: Wait) -> Result<Arc<Plugin>> {
        let (committed, previous) = {
            let _intake = self.intake.read().await;
            let seen = self.handle.get(id)?;
            (self.restore_previous(&seen, by).await?, seen.desired.previous_package)
        };
        if committed.desired.package != previous {
            return Err(replaced(&committed));
        }
        self.wait_settled(&committed, wait).await
    }

    /// Changes nothing if the package has been changed since the plugin was seen, which has to be within the intake: an
    /// update meanwhile would throw the previous package away.
    async fn restore_previous(&self, seen: &Plugin, by: &str) -> Result<Arc<Plugin>> {
        check_supervised(seen)?;
        let previous = seen.desired.previous_package.ok_or_else(|| {
            let message = "there is no previous package to go back to";
            Error::new(Reason::NoPreviousPackage, message).with("plugin_id", seen.id)
        })?;
        let package = self.stored(previous).await?;
        self.amend(seen.id, restore(seen, package), by).await
    }

    async fn amend(&self, id: PluginId, decide: Decide, by: &str) -> Result<Arc<Plugin>> {
        self.handle.amend(&*self.handle.slot(id)?, id, decide, by).await
    }

    /// The archive of a supervised plugin, byte for byte as uploaded.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `PACKAGE_NOT_FOUND`.
    pub async fn download(&self, id: PluginId) -> Result<(Arc<Plugin>, Bytes)> {
        let plugin = self.handle.get(id)?;
        check_supervised(&plugin)?;
        let digest = plugin.desired.package.ok_or_else(|| Error::new(Reason::PackageNotFound, "no package"))?;
        let bytes = self.bytes.get(digest).await?;
        Ok((plugin, bytes))
    }

    /// Takes back an update that failed before it was ever stable, unless something else is desired by now.
    ///
    /// # Errors
    /// As [`Library::roll_back`].
    pub async fn take_back(&self, id: PluginId, failed: Digest, by: &str) -> Result<()> {
        let _intake = self.intake.read().await;
        let seen = self.handle.get(id)?;
        if seen.desired.package == Some(failed) {
            self.restore_previous(&seen, by).await?;
        }
        Ok(())
    }

    /// Deletes those of these packages that no plugin refers to. Nothing else: a package that nobody is known to need may
    /// belong to a plugin of a store that is restored tomorrow.
    pub async fn collect(&self, candidates: impl IntoIterator<Item = Digest>) {
        let _alone = self.intake.write().await;
        if !self.handle.is_settled() {
            // A plugin whose commit is not certain yet may refer to one.
            return;
        }
        let (_, plugins) = self.handle.projection().snapshot();
        let of = |plugin: &Arc<Plugin>| [plugin.desired.package, plugin.desired.previous_package];
        let needed: HashSet<Digest> = plugins.iter().flat_map(of).flatten().collect();
        for digest in candidates.into_iter().filter(|digest| !needed.contains(digest)) {
            if let Err(error) = self.bytes.delete(digest).await {
                tracing::warn!(%digest, %error, "a package that nobody needs is left behind");
            }
        }
    }

    async fn read(&self, archive: Bytes) -> Result<Package> {
        let catalog = self.catalog.clone();
        blocking(move || Package::read(archive, &catalog)).await
    }

    /// A package that was checked when it came; the rules may have changed since.
    async fn stored(&self, digest: Digest) -> Result<Package> {
        let bytes = self.bytes.get(digest).await?;
        blocking(move || Package::read(bytes, &EventCatalog::any())).await
    }
}

async fn blocking(read: impl FnOnce() -> Result<Package> + Send + 'static) -> Result<Package> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the package could not be checked")))
}

fn check_same(plugin: &Plugin, package: &Package) -> Result<()> {
    let installed = &plugin.desired.manifest.id;
    if *installed == package.manifest.id {
        return Ok(());
    }
    let message = "The uploaded package must have the same manifest ID as the installed plugin.";
    Err(Error::new(Reason::ManifestIdMismatch, message)
        .with("installed", installed)
        .with("uploaded", &package.manifest.id))
}

fn replace(package: Package) -> Decide {
    Box::new(move |plugin| {
        check_supervised(plugin)?;
        check_same(plugin, &package)?;
        let desired = Desired {
            manifest: Arc::new(package.manifest),
            package: Some(package.digest),
            previous_package: way_back(plugin, package.digest),
            is_restored: plugin.desired.is_restored && plugin.desired.package == Some(package.digest),
            ..plugin.desired.clone()
        };
        Ok(commit(desired, package_replaced))
    })
}

/// What an update of a plugin to this package goes back to: of the two that are kept the newest that was ever stable, and
/// never the package itself.
fn way_back(plugin: &Plugin, to: Digest) -> Option<Digest> {
    let Desired { package, previous_package, .. } = plugin.desired;
    let present = package.filter(|present| *present != to);
    let previous = previous_package.filter(|previous| *previous != to);
    if plugin.is_proven() { present.or(previous) } else { previous.or(present) }
}

/// Goes back, unless the package has been changed since it was looked at.
fn restore(seen: &Plugin, package: Package) -> Decide {
    let seen = seen.desired.package;
    Box::new(move |plugin| {
        if plugin.desired.package != seen {
            return Ok(Decision::Join);
        }
        let desired = Desired {
            manifest: Arc::new(package.manifest),
            package: Some(package.digest),
            previous_package: seen,
            is_restored: true,
            ..plugin.desired.clone()
        };
        Ok(commit(desired, package_replaced))
    })
}

fn package_replaced(generation: u64, desired: &Desired) -> Event {
    Event::PackageReplaced { generation, package: desired.package }
}
