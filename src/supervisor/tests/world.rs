//! The fakes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::super::*;
pub(crate) use super::runtime::*;
use crate::{
    domain::{
        Commit, Desired, Digest, Error, Plugin, PluginId, Reason, Reported, Result, RunId, State, manifest::Manifest,
        policy::Supervision,
    },
    link::{Caller, RpcError},
};

#[derive(Default)]
struct Book {
    head: u64,
    records: HashMap<PluginId, Arc<Plugin>>,
    journal: Vec<Arc<Commit>>,
}

#[derive(Default)]
pub(crate) struct MemoryStore {
    book: Mutex<Book>,
    projection: OnceLock<Arc<Projection>>,
    pub(crate) is_away: AtomicBool,
    /// Changes of what is desired are not answered.
    pub(crate) hangs: AtomicBool,
    /// Changes from this revision on are made, and not durable yet.
    pub(crate) unsynced: watch::Sender<Option<u64>>,
    /// Changes of what is desired are made, but their callers are told that it is not known.
    pub(crate) is_uncertain: AtomicBool,
    /// Changes of what is desired of which it is not known whether they were made; there is a list while none is known.
    doubt: Mutex<Option<Vec<(PluginId, Desired)>>>,
    pub(crate) compacted: std::sync::atomic::AtomicU64,
}

fn away() -> Error {
    Error::new(Reason::StoreUnavailable, "the store does not answer")
}

impl MemoryStore {
    fn commit(&self, id: PluginId, is_removal: bool, change: impl FnOnce(&mut Plugin)) -> Result<Arc<Plugin>> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(away());
        }
        let mut book = self.book.lock().unwrap();
        let old = book.records.get(&id).cloned().ok_or_else(|| Error::plugin_not_found("gone"))?;
        let mut plugin = Plugin::clone(&old);
        change(&mut plugin);
        self.append(&mut book, plugin, Some(old.reported.state), is_removal)
    }

    /// From now on it is not known of any change of what is desired whether it was made.
    pub(crate) fn begin_to_doubt(&self) {
        *self.doubt.lock().unwrap() = Some(Vec::new());
    }

    /// It turns out that they were made, all of them.
    pub(crate) fn find_out(&self) {
        for (id, desired) in self.doubt.lock().unwrap().take().unwrap() {
            self.commit(id, false, |plugin| plugin.desired = desired).unwrap();
        }
    }

    fn append(&self, book: &mut Book, plugin: Plugin, before: Option<State>, is_removal: bool) -> Result<Arc<Plugin>> {
        book.head += 1;
        let plugin = Arc::new(Plugin { revision: book.head, ..plugin });
        if is_removal {
            book.records.remove(&plugin.id);
        } else {
            book.records.insert(plugin.id, plugin.clone());
        }
        let commit = Commit { revision: book.head, time: Timestamp::now(), before, is_removal, plugin: plugin.clone() };
        book.journal.push(Arc::new(commit));
        self.projection.get().unwrap().apply(&book.journal[book.journal.len() - 1..]);
        Ok(plugin)
    }
}

impl Store for MemoryStore {
    fn install(&self, plugin: Plugin) -> BoxFuture<'static, Result<Arc<Plugin>>> {
        let installed = match self.is_away.load(Ordering::SeqCst) {
            true => Err(away()),
            false => {
                let mut book = self.book.lock().unwrap();
                let is_same = |known: &&Arc<Plugin>| {
                    plugin
                        .request
                        .as_ref()
                        .is_some_and(|asked| known.request.as_ref().is_some_and(|it| it.id == asked.id))
                };
                let installed = book.head + 1;
                match book.records.values().find(is_same).cloned() {
                    Some(earlier) => Ok(earlier),
                    None => self.append(&mut book, Plugin { installed, ..plugin }, None, false),
                }
            }
        };
        Box::pin(async { installed })
    }

    fn desire(&self, id: PluginId, desired: Desired, _author: String) -> BoxFuture<'static, Result<Arc<Plugin>>> {
        let committed = match &mut *self.doubt.lock().unwrap() {
            Some(doubt) => {
                doubt.push((id, desired));
                Err(away())
            }
            None => self.commit(id, false, |plugin| plugin.desired = desired),
        };
        let is_uncertain = self.is_uncertain.load(Ordering::SeqCst);
        let hangs = self.hangs.load(Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            if hangs {
                std::future::pending::<()>().await;
            }
            if is_uncertain { Err(away()) } else { committed }
        })
    }

    fn durable(&self, revision: u64) -> BoxFuture<'static, Result<()>> {
        let mut unsynced = self.unsynced.subscribe();
        Box::pin(async move {
            let synced = unsynced.wait_for(|unsynced| unsynced.is_none_or(|first| revision < first)).await;
            synced.map(drop).map_err(|_| away())
        })
    }

    fn report(&self, id: PluginId, reported: Reported) {
        self.commit(id, false, |plugin| plugin.reported = reported).map(drop).unwrap_or_default();
    }

    fn remove(&self, id: PluginId) -> BoxFuture<'static, Result<Arc<Plugin>>> {
        let removed = self.commit(id, true, |_| {});
        Box::pin(async { removed })
    }

    fn journal_after(&self, revision: u64, limit: usize) -> BoxFuture<'static, Result<Vec<Arc<Commit>>>> {
        let book = self.book.lock().unwrap();
        let found = book.journal.iter().filter(|commit| commit.revision > revision).take(limit).cloned().collect();
        Box::pin(async { Ok(found) })
    }

    fn compacted(&self) -> u64 {
        self.compacted.load(Ordering::SeqCst)
    }

    fn is_certain(&self) -> bool {
        self.check().is_ok()
    }

    fn check(&self) -> Result<()> {
        if self.is_away.load(Ordering::SeqCst) { Err(away()) } else { Ok(()) }
    }
}

struct NoHost;

impl crate::link::Host for NoHost {
    fn call(&self, _: Caller, _: String, _: Value) -> BoxFuture<'static, std::result::Result<Value, RpcError>> {
        Box::pin(async { Ok(json!({})) })
    }
}

/// A supervisor with one plugin.
pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) runtime: Arc<FakeRuntime>,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) id: PluginId,
    /// Lines of plugd in the plugins' logs.
    pub(crate) notes: mpsc::UnboundedReceiver<(PluginId, String)>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

pub(crate) const EPOCH: &str = "epoch";

impl World {
    pub(crate) async fn new(behaviour: Behaviour) -> Self {
        let mut world = Self::over(behaviour, Vec::new());
        world.id = world.handle.install(mk_manifest(), Digest([1; 32]), None).await.unwrap().id;
        world
    }

    /// The world of a plugd that starts and finds this plugin in its store.
    pub(crate) fn booted(behaviour: Behaviour, plugin: Plugin) -> Self {
        let id = plugin.id;
        Self { id, ..Self::over(behaviour, vec![plugin]) }
    }

    pub(crate) fn over(behaviour: Behaviour, plugins: Vec<Plugin>) -> Self {
        Self::beside(behaviour, plugins, None)
    }

    /// The same where runs outlive plugd, and this run of the plugin goes on, or has ended.
    pub(crate) fn with_earlier(run: RunId, plugin: Plugin, has_ended: bool) -> Self {
        let id = plugin.id;
        Self { id, ..Self::beside(Behaviour::Connects, vec![plugin], Some((id, run, has_ended))) }
    }

    fn beside(behaviour: Behaviour, plugins: Vec<Plugin>, earlier: Option<(PluginId, RunId, bool)>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let records = plugins.iter().map(|plugin| (plugin.id, Arc::new(plugin.clone()))).collect();
        store.book.lock().unwrap().records = records;
        let (projection, supervisor) = start(plugins, 0);
        store.projection.set(projection.clone()).map_err(drop).unwrap();
        let shutdown = CancellationToken::new();
        let handle = Handle::new(projection, store.clone(), EPOCH.to_owned(), shutdown.clone());
        let runtime = Arc::new(FakeRuntime {
            behaviour: Mutex::new(behaviour),
            handle: OnceLock::new(),
            live: Arc::default(),
            starts: AtomicUsize::new(0),
            removed: Mutex::default(),
            last: Arc::default(),
            earlier,
            known: watch::Sender::new(true),
            url: Mutex::default(),
        });
        runtime.handle.set(handle.clone()).map_err(drop).unwrap();
        let (noted, notes) = mpsc::unbounded_channel();
        let parts = Arc::new(Parts {
            store: store.clone(),
            runtime: runtime.clone(),
            supervision: Supervision::default(),
            host: Arc::new(NoHost),
            start_alone: Arc::new(tokio::sync::Semaphore::new(1)),
            rpc_url: "ws://127.0.0.1:1/rpc".to_owned(),
            note: Box::new(move |id, line| noted.send((id, line)).unwrap_or_default()),
            on_deleted: Box::new(|_| ()),
        });
        let task = tokio::spawn(supervisor.run(parts, shutdown.clone(), Duration::from_secs(1)));
        let id = PluginId::from_bytes([0; 12]);
        Self { handle, runtime, store, id, notes, shutdown, task }
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.runtime.behaviour.lock().unwrap() = behaviour;
    }

    pub(crate) async fn set_active(&self, active: ActiveState) -> Result<Arc<Plugin>> {
        self.handle.set_active(self.id, active, "test", WAIT).await
    }

    pub(crate) fn state(&self) -> State {
        self.handle.get(self.id).unwrap().reported.state
    }

    /// The present process.
    pub(crate) fn group(&self) -> Arc<FakeGroup> {
        self.runtime.last.lock().unwrap().clone().unwrap()
    }

    /// Waits until the plugin is in a state.
    pub(crate) async fn until(&self, state: State) -> Arc<Plugin> {
        let mut records = self.handle.slot(self.id).unwrap().subscribe();
        let is_there = |plugin: &Option<Arc<Plugin>>| plugin.as_ref().is_some_and(|p| p.reported.state == state);
        let found = tokio::time::timeout(Duration::from_secs(600), records.wait_for(is_there)).await;
        found.unwrap().unwrap().clone().unwrap()
    }

    /// The states that the plugin has gone through, in order.
    pub(crate) fn states(&self) -> Vec<State> {
        let book = self.store.book.lock().unwrap();
        let mut states: Vec<_> = book.journal.iter().map(|commit| commit.plugin.reported.state).collect();
        states.dedup();
        states
    }

    pub(crate) fn live(&self) -> usize {
        self.runtime.live.load(Ordering::SeqCst)
    }

    pub(crate) async fn shut_down(self) -> Arc<MemoryStore> {
        let (runtime, store) = (self.runtime.clone(), self.store.clone());
        self.leave().await;
        assert_eq!(runtime.live.load(Ordering::SeqCst), 0);
        store
    }

    /// Begins to shut down.
    pub(crate) fn drain(&self) {
        self.shutdown.cancel();
    }

    /// Shuts down, whatever goes on then.
    pub(crate) async fn leave(self) {
        self.shutdown.cancel();
        self.task.await.unwrap();
    }
}

pub(crate) use crate::domain::ActiveState;

pub(crate) const WAIT: Wait = Wait::UpTo(Duration::from_secs(300));

pub(crate) fn mk_manifest() -> Manifest {
    serde_json::from_value(json!({"id": "greeter", "author": "a", "name": "Greeter", "command": "./greeter"})).unwrap()
}
