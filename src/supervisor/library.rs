//! Packages: checked, stored by digest, handed to plugins, and taken away when none needs them.

mod shelf;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::shelf::Shelf;
use super::{
    Handle, Wait,
    handle::{check_supervised, commit},
    message::{Decide, Decision},
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
    shelf: Arc<Shelf>,
    catalog: EventCatalog,
}

impl Library {
    /// The library of a supervisor.
    #[must_use]
    pub fn new(handle: Handle, bytes: Arc<dyn PackageBytes>, catalog: EventCatalog) -> Self {
        let shelf = Shelf::new(handle.clone(), bytes);
        Self { handle, shelf, catalog }
    }

    /// Installs a package as a new, inactive plugin.
    ///
    /// # Errors
    /// `INVALID_PACKAGE`, `INVALID_MANIFEST`, `STORE_UNAVAILABLE`, `TOO_BUSY`; nothing is kept then.
    pub async fn install(&self, archive: Bytes) -> Result<Arc<Plugin>> {
        let package = self.read(archive).await?;
        let (handle, digest) = (self.handle.clone(), package.digest);
        let commit = async move { handle.install(package.manifest, digest).await };
        self.shelf.take_in((digest, package.bytes), commit).await
    }

    /// Replaces the package of a supervised plugin. One that is desired active is started with the new package.
    ///
    /// # Errors
    /// As [`Library::install`] and [`Handle::set_active`]; `MANIFEST_ID_MISMATCH`; `SUPERSEDED` also when another package
    /// took the place of this one.
    pub async fn update(&self, id: PluginId, archive: Bytes, by: &str, wait: Wait) -> Result<Arc<Plugin>> {
        check_supervised(&*self.handle.get(id)?)?;
        let package = self.read(archive).await?;
        check_same(&*self.handle.get(id)?, &package)?;
        let (handle, shelf, by) = (self.handle.clone(), self.shelf.clone(), by.to_owned());
        let stored = (package.digest, package.bytes.clone());
        let commit = async move {
            let replaced = Arc::new(OnceLock::new());
            let committed = handle.amend_and_wait(id, replace(package, replaced.clone()), &by, Wait::No).await;
            shelf.discard(replaced.get().copied());
            committed
        };
        let committed = self.shelf.take_in(stored, commit).await?;
        self.wait_settled(&committed, committed.desired.package, wait).await
    }

    /// Goes back to the package before the present one; that one becomes the previous.
    ///
    /// # Errors
    /// `NO_PREVIOUS_PACKAGE`, `PACKAGE_NOT_FOUND`, and as [`Library::update`].
    pub async fn roll_back(&self, id: PluginId, by: &str, wait: Wait) -> Result<Arc<Plugin>> {
        let seen = self.handle.get(id)?;
        let committed = self.restore_previous(&seen, by).await?;
        self.wait_settled(&committed, seen.desired.previous_package, wait).await
    }

    /// Changes nothing if the package has been changed since the plugin was seen.
    async fn restore_previous(&self, seen: &Plugin, by: &str) -> Result<Arc<Plugin>> {
        check_supervised(seen)?;
        let previous = seen.desired.previous_package.ok_or_else(|| {
            let message = "there is no previous package to go back to";
            Error::new(Reason::NoPreviousPackage, message).with("plugin_id", seen.id)
        })?;
        let work = async {
            let now = self.handle.get(seen.id)?;
            if now.desired.package != seen.desired.package {
                // The previous package may be gone already.
                return Ok(now);
            }
            let package = self.stored(previous).await?;
            self.handle.amend_and_wait(seen.id, restore(seen, package), by, Wait::No).await
        };
        self.shelf.hold(previous, work).await
    }

    /// Settled with the package that was wanted, not with one that took its place meanwhile.
    async fn wait_settled(&self, committed: &Arc<Plugin>, wanted: Option<Digest>, wait: Wait) -> Result<Arc<Plugin>> {
        let plugin = self.handle.wait_settled(committed, wait).await?;
        if plugin.desired.package == wanted {
            return Ok(plugin);
        }
        let message = "another package took the place of this one before it was settled: look at what is installed now";
        Err(Error::new(Reason::Superseded, message).with("plugin_id", plugin.id))
    }

    /// The archive of a supervised plugin, byte for byte as uploaded.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `PACKAGE_NOT_FOUND`.
    pub async fn download(&self, id: PluginId) -> Result<(Arc<Plugin>, Bytes)> {
        let plugin = self.handle.get(id)?;
        check_supervised(&plugin)?;
        let digest = plugin.desired.package.ok_or_else(|| Error::new(Reason::PackageNotFound, "no package"))?;
        let bytes = self.shelf.get(digest).await?;
        Ok((plugin, bytes))
    }

    /// Takes back an update that failed before it was ever stable, unless something else is desired by now.
    ///
    /// # Errors
    /// As [`Library::roll_back`].
    pub async fn take_back(&self, id: PluginId, failed: Digest, by: &str) -> Result<()> {
        let seen = self.handle.get(id)?;
        if seen.desired.package == Some(failed) {
            self.restore_previous(&seen, by).await?;
        }
        Ok(())
    }

    /// Deletes those of these packages that no plugin refers to. Nothing else: a package that nobody is known to need may
    /// belong to a plugin of a store that is restored tomorrow.
    pub async fn collect(&self, candidates: impl IntoIterator<Item = Digest>) {
        self.shelf.collect(candidates).await;
    }

    async fn read(&self, archive: Bytes) -> Result<Package> {
        let catalog = self.catalog.clone();
        blocking(move || Package::read(archive, &catalog)).await
    }

    /// A package that was checked when it came; the rules may have changed since.
    async fn stored(&self, digest: Digest) -> Result<Package> {
        let bytes = self.shelf.get(digest).await?;
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

/// Says which package can't be gone back to any more, if there is one.
fn replace(package: Package, replaced: Arc<OnceLock<Digest>>) -> Decide {
    Box::new(move |plugin| {
        check_supervised(plugin)?;
        check_same(plugin, &package)?;
        let present = plugin.desired.package;
        let is_same = present == Some(package.digest);
        let previous_package = if is_same { plugin.desired.previous_package } else { present };
        if let Some(previous) = plugin.desired.previous_package {
            replaced.get_or_init(|| previous);
        }
        let desired = Desired {
            manifest: Arc::new(package.manifest),
            package: Some(package.digest),
            previous_package,
            ..plugin.desired.clone()
        };
        Ok(commit(desired, |generation, _| Event::PackageReplaced { generation }))
    })
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
            ..plugin.desired.clone()
        };
        Ok(commit(desired, |generation, _| Event::PackageRestored { generation }))
    })
}
