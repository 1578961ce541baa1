//! Packages: checked, stored by digest, handed to plugins, and taken away when none needs them.

mod shelf;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use self::shelf::{Shelf, packages_of};
use super::{ChangeOptions, Committed, Handle, Wait};
use crate::domain::{
    Desired, Digest, Error, Plugin, PluginId, Reason, Result,
    change::{DesiredChange, check_same_id, check_supervised},
    events::EventCatalog,
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
        check_same_id(&*self.handle.get(id)?, &package.manifest)?;
        let (handle, shelf, options) = (self.handle.clone(), self.shelf.clone(), options.into());
        let (digest, manifest) = (package.digest, Arc::new(package.manifest));
        let commit = async move {
            let committed =
                handle.change_package(id, DesiredChange::ReplacePackage { digest, manifest }, options).await?;
            // Its own too: another update may take its place before anybody looks.
            shelf.discard(packages_of(&committed.before.desired).chain([digest]));
            Ok(committed)
        };
        self.shelf.take_in((digest, package.bytes), commit).await
    }

    /// Waits until what was committed is settled with its package, not with one that took its place.
    ///
    /// # Errors
    /// As [`Handle::set_active`]; `SUPERSEDED` also when another package took the place of this one.
    pub async fn wait_settled(&self, committed: Committed, wait: Wait) -> Result<Arc<Plugin>> {
        self.handle.settled(committed, wait.deadline()).await
    }

    /// Goes back to the package before the present one; that one becomes the previous, unless it failed.
    ///
    /// # Errors
    /// `NO_PREVIOUS_PACKAGE`, `PACKAGE_NOT_FOUND`, and as [`Library::wait_settled`].
    pub async fn roll_back(&self, id: PluginId, options: impl Into<ChangeOptions>, wait: Wait) -> Result<Arc<Plugin>> {
        let seen = self.handle.get(id)?;
        check_supervised(&seen)?;
        let (Some(from), Some(to)) = (seen.desired.package, seen.desired.previous_digest()) else {
            let message = "there is no previous package to go back to";
            return Err(Error::new(Reason::NoPreviousPackage, message).with("plugin_id", id));
        };
        let options = options.into();
        let work = async {
            // Should it be gone although the plugin refers to it, the present one is the better one.
            self.shelf.get(to).await?;
            self.handle.change_package(id, DesiredChange::GoBack { from, to }, options).await
        };
        let committed = self.shelf.hold(to, work).await?;
        // A package that failed is never gone back to, so nobody needs it then.
        self.shelf.discard([from]);
        self.wait_settled(committed, wait).await
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
}

async fn blocking(read: impl FnOnce() -> Result<Package> + Send + 'static) -> Result<Package> {
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the package could not be checked")))
}
