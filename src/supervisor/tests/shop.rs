//! A library with one plugin, over a shelf in memory.

use std::{
    collections::BTreeMap,
    io::{Cursor, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::sync::oneshot;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::world::*;
use crate::{
    domain::{Digest, Error, Plugin, Reason, Result, State, events::EventCatalog},
    supervisor::{Committed, Library, PackageBytes},
};

#[derive(Default)]
pub(super) struct Shelf {
    packages: Mutex<BTreeMap<[u8; 32], Bytes>>,
    pub(super) is_away: AtomicBool,
    /// Locked: whoever wants bytes waits.
    pub(super) counter: tokio::sync::Mutex<()>,
    pub(super) putting: Hang,
    pub(super) deleting: Hang,
}

impl Shelf {
    /// Puts a package there, past everything.
    pub(super) fn hold(&self, digest: Digest, bytes: Bytes) {
        self.packages.lock().unwrap().insert(digest.0, bytes);
    }
}

/// What can hang, once.
#[derive(Default)]
pub(super) struct Hang {
    next: Mutex<Option<oneshot::Receiver<()>>>,
    /// How often it was begun, and how often it ended.
    pub(super) calls: AtomicUsize,
    pub(super) ends: AtomicUsize,
}

impl Hang {
    /// The next hangs until this is used or dropped.
    pub(super) fn next(&self) -> oneshot::Sender<()> {
        let (release, next) = oneshot::channel();
        *self.next.lock().unwrap() = Some(next);
        release
    }

    pub(super) fn is_hanging(&self) -> bool {
        self.calls.load(Ordering::SeqCst) > self.ends.load(Ordering::SeqCst)
    }

    async fn pass(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let hang = self.next.lock().unwrap().take();
        if let Some(hang) = hang {
            hang.await.unwrap_or_default();
        }
    }

    fn end(&self) {
        self.ends.fetch_add(1, Ordering::SeqCst);
    }
}

impl PackageBytes for Shelf {
    fn put(&self, digest: Digest, bytes: Bytes) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.putting.pass().await;
            if self.is_away.load(Ordering::SeqCst) {
                return Err(Error::new(Reason::StoreUnavailable, "the shelf is away"));
            }
            self.packages.lock().unwrap().insert(digest.0, bytes);
            self.putting.end();
            Ok(())
        })
    }

    fn get(&self, digest: Digest) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async move {
            let _turn = self.counter.lock().await;
            let found = self.packages.lock().unwrap().get(&digest.0).cloned();
            found.ok_or_else(|| Error::new(Reason::PackageNotFound, "not on the shelf"))
        })
    }

    fn delete(&self, digest: Digest) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            self.deleting.pass().await;
            self.packages.lock().unwrap().remove(&digest.0);
            self.deleting.end();
            Ok(())
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<(Digest, SystemTime)>>> {
        let packages = self.packages.lock().unwrap();
        let listed = packages.keys().map(|digest| (Digest(*digest), SystemTime::UNIX_EPOCH)).collect();
        Box::pin(async { Ok(listed) })
    }
}

/// A library with one installed plugin, version 1.
pub(super) struct Shop {
    pub(super) world: World,
    pub(super) library: Library,
    pub(super) shelf: Arc<Shelf>,
    pub(super) plugin: Arc<Plugin>,
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

impl Shop {
    pub(super) async fn new(behaviour: Behaviour) -> Self {
        let world = World::new(behaviour).await;
        world.handle.delete(world.id, None).await.unwrap();
        let shelf = Arc::new(Shelf::default());
        let library = Library::new(world.handle.clone(), shelf.clone(), EventCatalog::any());
        let plugin = library.install(archive("1")).await.unwrap();
        Self { world, library, shelf, plugin }
    }

    pub(super) async fn activate(&self) -> Arc<Plugin> {
        self.world.handle.set_active(self.plugin.id, ActiveState::Active, "test", WAIT).await.unwrap()
    }

    pub(super) async fn update(&self, archive: Bytes) -> Result<Arc<Plugin>> {
        let committed = self.commit_update(archive).await?;
        self.library.wait_settled(committed, WAIT).await
    }

    pub(super) async fn begin_update(&self, archive: Bytes) -> Result<Arc<Plugin>> {
        Ok(self.commit_update(archive).await?.plugin)
    }

    /// The same, for who waits later.
    pub(super) async fn commit_update(&self, archive: Bytes) -> Result<Committed> {
        self.library.update(self.plugin.id, archive, "test").await
    }

    /// An update that fails and from which plugd goes back; what its caller is told who looks only then.
    pub(super) async fn update_that_fails(&self, archive: Bytes) -> Error {
        self.world.behave(Behaviour::Exits(7));
        let committed = self.commit_update(archive).await.unwrap();
        let failed = committed.plugin.desired.package;
        self.until(|plugin| plugin.desired.package != failed).await;
        self.world.behave(Behaviour::Connects);
        self.until(|plugin| plugin.reported.state == State::Active && plugin.desired.package != failed).await;
        self.library.wait_settled(committed, WAIT).await.unwrap_err()
    }

    /// Waits until a record of the plugin is like this.
    pub(super) async fn until(&self, is_like_this: impl Fn(&Plugin) -> bool) -> Arc<Plugin> {
        let mut records = self.world.handle.slot(self.plugin.id).unwrap().subscribe();
        let found = records.wait_for(|plugin| plugin.as_ref().is_some_and(|plugin| is_like_this(plugin)));
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap().unwrap().clone().unwrap()
    }

    pub(super) async fn roll_back(&self) -> Result<Arc<Plugin>> {
        self.library.roll_back(self.plugin.id, "test", WAIT).await
    }

    /// Updates while somebody waits for bytes, who gets them when the update is committed and had its time to clean up.
    pub(super) async fn update_meanwhile(&self, archive: Bytes) -> Arc<Plugin> {
        let busy = self.shelf.counter.lock().await;
        tokio::task::yield_now().await;
        let before = self.get().desired.package;
        let release = async move {
            let mut records = self.world.handle.slot(self.plugin.id).unwrap().subscribe();
            records.wait_for(|p| p.as_ref().is_some_and(|p| p.desired.package != before)).await.unwrap();
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            drop(busy);
        };
        tokio::join!(self.update(archive), release).0.unwrap()
    }

    pub(super) fn get(&self) -> Arc<Plugin> {
        self.world.handle.get(self.plugin.id).unwrap()
    }

    pub(super) fn kept(&self) -> usize {
        self.shelf.packages.lock().unwrap().len()
    }

    /// Waits until as many packages are kept.
    pub(super) async fn keeps(&self, count: usize) {
        eventually(|| self.kept() == count).await;
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
