//! Packages: checked, stored by digest, handed to plugins, and taken away when none needs them.

mod shelf;

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::shelf::{Shelf, packages_of};
use super::{
    Committed, Handle, Wait,
    handle::{check_supervised, commit},
    message::{ChangeOptions, Decide, Decision},
    settle::{Wanted, replaced},
};
use crate::domain::{
    Desired, Digest, Error, Plugin, PluginId, PreviousPackage, Reason, Result, events::EventCatalog, lifecycle::Event,
    package::Package,
};

/// Where the bytes of packages are kept.
pub trait PackageBytes: Send + Sync + 'static {
    /// Stores bytes under their digest; durable when it answers.
    fn put(&self, digest: Digest, bytes: Bytes) -> BoxFuture<'_, Result<()>>;

    /// The bytes with this digest.
    fn get(&self, digest: Digest) -> BoxFuture<'_, Result<Bytes>>;

    /// Deletes the bytes with this digest, if they are there.
    fn delete(&self, digest: Digest) -> BoxFuture<'_, Result<()>>;

    /// All that there are, and when they were stored.
    fn list(&self) -> BoxFuture<'_, Result<Vec<(Digest, SystemTime)>>>;
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

    /// Replaces the package of a supervised plugin. One that is desired active is started with the new package:
    /// [`Library::wait_settled`] says what came of it.
    ///
    /// # Errors
    /// As [`Library::install`]; `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `MANIFEST_ID_MISMATCH`.
    pub async fn update(&self, id: PluginId, archive: Bytes, options: impl Into<ChangeOptions>) -> Result<Committed> {
        check_supervised(&*self.handle.get(id)?)?;
        let package = self.read(archive).await?;
        check_same(&*self.handle.get(id)?, &package)?;
        let (handle, shelf, options) = (self.handle.clone(), self.shelf.clone(), options.into());
        let stored = (package.digest, package.bytes.clone());
        let commit = async move {
            let offered = Arc::new(OnceLock::new());
            let committed = amend(&handle, id, replace(package, offered.clone()), options).await;
            shelf.discard(offered.get().into_iter().flatten().copied());
            committed
        };
        self.shelf.take_in(stored, commit).await
    }

    /// Waits until what was committed is settled with its package, not with one that took its place.
    ///
    /// # Errors
    /// As [`Handle::set_active`]; `SUPERSEDED` also when another package took the place of this one.
    pub async fn wait_settled(&self, committed: Committed, wait: Wait) -> Result<Arc<Plugin>> {
        self.handle.settled(committed, wait).await
    }

    /// Goes back to the package before the present one; that one becomes the previous, unless it failed.
    ///
    /// # Errors
    /// `NO_PREVIOUS_PACKAGE`, `PACKAGE_NOT_FOUND`, and as [`Library::wait_settled`].
    pub async fn roll_back(&self, id: PluginId, options: impl Into<ChangeOptions>, wait: Wait) -> Result<Arc<Plugin>> {
        let seen = self.handle.get(id)?;
        let committed = self.restore_previous(&seen, options.into()).await?;
        self.wait_settled(committed, wait).await
    }

    /// # Errors
    /// `SUPERSEDED` if the package has been changed since the plugin was seen, to another than the previous one.
    async fn restore_previous(&self, seen: &Plugin, options: ChangeOptions) -> Result<Committed> {
        check_supervised(seen)?;
        let previous = seen.desired.previous_digest().ok_or_else(|| {
            let message = "there is no previous package to go back to";
            Error::new(Reason::NoPreviousPackage, message).with("plugin_id", seen.id)
        })?;
        let work = async {
            let now = self.handle.get(seen.id)?;
            if ![seen.desired.package, Some(previous)].contains(&now.desired.package) {
                // The previous package may be gone already.
                return Err(replaced(&now));
            }
            let package = self.stored(previous).await?;
            amend(&self.handle, seen.id, restore(seen, package), options).await
        };
        let restored = self.shelf.hold(previous, work).await;
        // A package that failed is never gone back to, so nobody needs it then.
        self.shelf.discard(seen.desired.package);
        restored
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

    /// Takes back an update that failed before it was ever stable.
    ///
    /// # Errors
    /// As [`Library::roll_back`]; `SUPERSEDED` when something else is desired by now.
    pub async fn take_back(&self, id: PluginId, failed: Digest, by: &str) -> Result<()> {
        let seen = self.handle.get(id)?;
        if seen.desired.package != Some(failed) {
            return Err(replaced(&seen));
        }
        self.restore_previous(&seen, by.into()).await.map(drop)
    }

    /// Deletes the packages of a plugin that is gone, unless another refers to them. Nobody waits for it.
    pub fn discard(&self, desired: &Desired) {
        self.shelf.discard(packages_of(desired));
    }

    /// Deletes the packages that no plugin and no open upload refers to, of those stored at a time that is due. Without
    /// certainty about every record it deletes nothing.
    pub async fn sweep(&self, is_due: impl Fn(SystemTime) -> bool) {
        self.shelf.sweep(is_due).await;
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

async fn amend(handle: &Handle, id: PluginId, decide: Decide, options: ChangeOptions) -> Result<Committed> {
    handle.amend(&*handle.slot(id)?, id, (decide, Wanted::with_package_of), options).await
}

/// Says which packages are perhaps needed no longer then.
fn replace(package: Package, offered: Arc<OnceLock<Vec<Digest>>>) -> Decide {
    Box::new(move |plugin| {
        check_supervised(plugin)?;
        check_same(plugin, &package)?;
        // Its own too: another update may take its place before anybody looks.
        offered.get_or_init(|| packages_of(&plugin.desired).chain([package.digest]).collect());
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

/// What an update of a plugin to this package goes back to: of the two that are kept the newest that was ever stable,
/// and never the package itself, nor one that failed.
fn way_back(plugin: &Plugin, to: Digest) -> Option<PreviousPackage> {
    let present = present(&plugin.desired).filter(|present| present.digest != to && !plugin.has_failed());
    let previous = plugin.desired.previous_package.clone().filter(|previous| previous.digest != to);
    if plugin.is_proven() { present.or(previous) } else { previous.or(present) }
}

fn present(desired: &Desired) -> Option<PreviousPackage> {
    let manifest = desired.manifest.clone();
    desired.package.map(|digest| PreviousPackage { digest, manifest })
}

/// Goes back, unless the package has been changed since it was looked at.
fn restore(seen: &Plugin, package: Package) -> Decide {
    let seen = seen.desired.package;
    Box::new(move |plugin| {
        if plugin.desired.package == Some(package.digest) {
            return Ok(Decision::Join);
        }
        if plugin.desired.package != seen {
            return Err(replaced(plugin));
        }
        let desired = Desired {
            manifest: Arc::new(package.manifest),
            package: Some(package.digest),
            previous_package: present(&plugin.desired).filter(|_| !plugin.has_failed()),
            is_restored: true,
            ..plugin.desired.clone()
        };
        Ok(commit(desired, package_replaced))
    })
}

fn package_replaced(generation: u64, desired: &Desired) -> Event {
    Event::PackageReplaced { generation, package: desired.package }
}
