//! A supervisor with one plugin from a package, and packages in a folder.

use std::{
    fs,
    io::{Cursor, Write},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::world::*;
use crate::{
    domain::{Error, Plugin, Result, State, events::EventCatalog},
    store::PackageStore,
    supervisor::{Committed, Packages},
};

/// A supervisor with one installed plugin, version 1.
pub(super) struct Setup {
    pub(super) world: World,
    pub(super) packages: Arc<Packages>,
    pub(super) store: PackageStore,
    pub(super) plugin: Arc<Plugin>,
    folder: TempDir,
}

pub(super) fn archive_of(id: &str, version: &str) -> Bytes {
    let manifest = json!({"id": id, "author": "a", "name": "G", "command": "./g", "version": version});
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("manifest.json", SimpleFileOptions::default()).unwrap();
    archive.write_all(manifest.to_string().as_bytes()).unwrap();
    archive.finish().unwrap().into_inner().into()
}

pub(super) fn archive(version: &str) -> Bytes {
    archive_of("greeter", version)
}

impl Setup {
    pub(super) async fn new(behaviour: Behaviour) -> Self {
        let world = World::new(behaviour).await;
        world.handle.delete(world.id, "test").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = PackageStore::open(folder.path(), "database").await.unwrap();
        let packages = Arc::new(Packages::new(world.handle.clone(), store.clone(), EventCatalog::any()));
        let plugin = packages.install(archive("1"), None).await.unwrap();
        Self { world, packages, store, plugin, folder }
    }

    pub(super) async fn activate(&self) -> Arc<Plugin> {
        self.world.handle.set_active(self.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap()
    }

    pub(super) async fn update(&self, archive: Bytes) -> Result<Arc<Plugin>> {
        let committed = self.commit_update(archive).await?;
        self.packages.wait_settled(committed, WAIT).await
    }

    pub(super) async fn begin_update(&self, archive: Bytes) -> Result<Arc<Plugin>> {
        Ok(self.commit_update(archive).await?.plugin)
    }

    /// The same, for who waits later.
    pub(super) async fn commit_update(&self, archive: Bytes) -> Result<Committed> {
        self.packages.update(self.plugin.id, archive, "test").await
    }

    /// An update that fails and from which plugd goes back; what its caller is told who looks only then.
    pub(super) async fn update_that_fails(&self, archive: Bytes) -> Error {
        self.world.behave(Behaviour::Exits(7));
        let committed = self.commit_update(archive).await.unwrap();
        let failed = committed.plugin.desired.package;
        self.until(|plugin| plugin.desired.package != failed).await;
        self.world.behave(Behaviour::Connects);
        self.until(|plugin| plugin.reported.state == State::Active && plugin.desired.package != failed).await;
        self.packages.wait_settled(committed, WAIT).await.unwrap_err()
    }

    /// Waits until a record of the plugin is like this.
    pub(super) async fn until(&self, is_like_this: impl Fn(&Plugin) -> bool) -> Arc<Plugin> {
        let mut records = self.world.handle.slot(self.plugin.id).unwrap().subscribe();
        let found = records.wait_for(|plugin| plugin.as_ref().is_some_and(|plugin| is_like_this(plugin)));
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap().unwrap().clone().unwrap()
    }

    pub(super) async fn roll_back(&self) -> Result<Arc<Plugin>> {
        self.packages.roll_back(self.plugin.id, "test", WAIT).await
    }

    pub(super) fn get(&self) -> Arc<Plugin> {
        self.world.handle.get(self.plugin.id).unwrap()
    }

    pub(super) fn kept(&self) -> usize {
        fs::read_dir(self.package_folder()).unwrap().count()
    }

    /// Sweeps what nobody needs, however young; how many packages are left.
    pub(super) async fn swept(&self) -> usize {
        self.packages.sweep(Duration::ZERO).await;
        self.kept()
    }

    pub(super) fn package_folder(&self) -> PathBuf {
        self.folder.path().join("database")
    }
}

/// Waits until this is so.
pub(super) async fn eventually(is_so: impl Fn() -> bool) {
    let watch = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !is_so() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), watch).await.expect("it did not come true in time");
}

pub(super) fn version(plugin: &Plugin) -> &str {
    &plugin.desired.manifest.version
}
