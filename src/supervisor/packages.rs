//! Packages of supervised plugins: checked, stored by digest, installed, updated, gone back to, downloaded, and swept when
//! no plugin refers to them any longer.

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;

use super::{ChangeOptions, Committed, Handle, Wait, actor::check_generation};
use crate::{
    domain::{
        Digest, Error, Plugin, PluginId, Reason, Result,
        change::{DesiredChange, check_same_id, check_supervised},
        events::EventCatalog,
        package::Package,
    },
    store::{GRACE, PackageStore},
};

/// How often packages are looked for that nobody refers to.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

/// The packages of all plugins.
pub struct Packages {
    handle: Handle,
    store: PackageStore,
    catalog: EventCatalog,
}

impl Packages {
    /// The packages of a supervisor's plugins, in this store.
    #[must_use]
    pub fn new(handle: Handle, store: PackageStore, catalog: EventCatalog) -> Self {
        Self { handle, store, catalog }
    }

    /// Installs a package as a new, inactive plugin.
    ///
    /// # Errors
    /// `INVALID_PACKAGE`, `INVALID_MANIFEST`, `REQUEST_ID_REUSED`, `STORE_UNAVAILABLE`; no plugin is there then.
    pub async fn install(&self, archive: Bytes, request_id: Option<String>) -> Result<Arc<Plugin>> {
        let package = self.read(archive).await?;
        let (handle, digest) = (self.handle.clone(), package.digest);
        let commit = async move { handle.install(package.manifest, digest, request_id).await };
        self.store((digest, package.bytes), commit).await
    }

    /// Refuses what [`Packages::update`] would refuse whatever the package is, so that nobody sends one for nothing.
    ///
    /// # Errors
    /// `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `GENERATION_CONFLICT`.
    pub fn check_update(&self, id: PluginId, options: &ChangeOptions) -> Result<()> {
        let plugin = self.handle.get(id)?;
        check_supervised(&plugin)?;
        check_generation(&plugin, options.if_generation)
    }

    /// Replaces the package of a supervised plugin. One that is desired active is started with the new package:
    /// [`Packages::wait_settled`] says what came of it.
    ///
    /// # Errors
    /// As [`Packages::install`]; `PLUGIN_NOT_FOUND`, `EXTERNAL_PLUGIN`, `MANIFEST_ID_MISMATCH`.
    pub async fn update(&self, id: PluginId, archive: Bytes, options: impl Into<ChangeOptions>) -> Result<Committed> {
        check_supervised(&*self.handle.get(id)?)?;
        let package = self.read(archive).await?;
        check_same_id(&*self.handle.get(id)?, &package.manifest)?;
        let (handle, options) = (self.handle.clone(), options.into());
        let (digest, manifest) = (package.digest, Arc::new(package.manifest));
        let change = DesiredChange::ReplacePackage { digest, manifest };
        let commit = async move { handle.change_package(id, change, options).await };
        self.store((digest, package.bytes), commit).await
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
    /// `NO_PREVIOUS_PACKAGE`, `PACKAGE_NOT_FOUND`, and as [`Packages::wait_settled`].
    pub async fn roll_back(&self, id: PluginId, options: impl Into<ChangeOptions>, wait: Wait) -> Result<Arc<Plugin>> {
        let seen = self.handle.get(id)?;
        check_supervised(&seen)?;
        let (Some(from), Some(to)) = (seen.desired.package, seen.desired.previous_digest()) else {
            let message = "there is no previous package to go back to";
            return Err(Error::new(Reason::NoPreviousPackage, message).with("plugin_id", id));
        };
        // Should it be gone although the plugin refers to it, the present one is the better one. It can't go after this: the
        // change is refused unless the plugin still refers to it.
        self.store.get(to).await?;
        let committed = self.handle.change_package(id, DesiredChange::GoBack { from, to }, options.into()).await?;
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
        let bytes = self.store.get(digest).await?;
        Ok((plugin, bytes))
    }

    /// Sweeps now and once in a while, for ever.
    pub async fn keep_swept(self: Arc<Self>) {
        let mut rounds = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            rounds.tick().await;
            self.sweep(GRACE).await;
        }
    }

    /// Deletes the packages, at least as old as this, that no plugin and no open upload refers to.
    pub(super) async fn sweep(&self, age: Duration) {
        self.store.sweep(age, || self.needed()).await;
    }

    /// The packages that plugins refer to. None while nobody can tell: a change of which it is not known whether it was made
    /// may refer to any, and so may a record that can't be read.
    fn needed(&self) -> Option<HashSet<Digest>> {
        // In this order: a change that turns out to have been made is in the snapshot before it is certain.
        if !self.handle.is_certain() {
            return None;
        }
        let (_, plugins) = self.handle.projection().snapshot();
        let of_plugin = |plugin: &Arc<Plugin>| [plugin.desired.package, plugin.desired.previous_digest()];
        Some(plugins.iter().flat_map(of_plugin).flatten().collect())
    }

    /// Stores a package and commits what refers to it. It goes on to its end when nobody waits for it any longer; what it
    /// leaves when it fails is swept later.
    async fn store<T: Send + 'static>(
        &self,
        (digest, bytes): (Digest, Bytes),
        commit: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.handle.check_store()?;
        let store = self.store.clone();
        let storing = tokio::spawn(async move {
            let _upload = store.put(digest, bytes).await?;
            commit.await
        });
        storing.await.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the package could not be stored")))
    }

    async fn read(&self, archive: Bytes) -> Result<Package> {
        let catalog = self.catalog.clone();
        let read = tokio::task::spawn_blocking(move || Package::read(archive, &catalog)).await;
        read.unwrap_or_else(|_| Err(Error::new(Reason::Internal, "the package could not be checked")))
    }
}
