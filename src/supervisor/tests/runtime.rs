//! The runtime that is a fake.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use futures_util::future::BoxFuture;
use serde_json::json;

use super::super::*;
use crate::{
    domain::{Exit, Failure, PluginId, RunEvent, RunId, Stage},
    link::{Acceptor, Handshake, Session},
    runtime::{EarlierRun, Run, RunEvents, Runtime, StartSpec},
};

/// What a fake process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Connects,
    Hangs,
    Exits(i32),
    CannotSpawn,
    IgnoresStop,
    CannotBeKilled,
}

pub(crate) struct FakeRuntime {
    pub(super) behaviour: Mutex<Behaviour>,
    pub(super) handle: OnceLock<Handle>,
    pub(super) live: Arc<AtomicUsize>,
    pub(crate) starts: AtomicUsize,
    pub(crate) removed: Mutex<Vec<PluginId>>,
    pub(super) last: Arc<Mutex<Option<Arc<FakeGroup>>>>,
    /// The run of a plugin that an earlier plugd began, and whether it has ended: then runs outlive plugd.
    pub(super) earlier: Option<(PluginId, RunId, bool)>,
    /// Whether it is known what goes on.
    pub(super) known: tokio::sync::watch::Sender<bool>,
    /// Where the last process was told to connect.
    pub(crate) url: Mutex<String>,
}

pub(crate) struct FakeGroup {
    events: RunEvents,
    behaviour: Behaviour,
    is_over: AtomicBool,
    live: Arc<AtomicUsize>,
}

struct FakeRun(Arc<FakeGroup>);

impl FakeGroup {
    /// The process ends, and with it all of its group.
    pub(crate) fn end(&self, exit: Exit) {
        if !self.is_over.swap(true, Ordering::SeqCst) {
            self.live.fetch_sub(1, Ordering::SeqCst);
            (self.events)(RunEvent::Exited(exit));
            (self.events)(RunEvent::GroupEmptied);
        }
    }

    fn signalled(&self, signal: i32) {
        self.end(Exit { code: None, signal: Some(signal), out_of_memory: false });
    }
}

impl Run for FakeRun {
    fn stop(&self) {
        if !matches!(self.0.behaviour, Behaviour::IgnoresStop | Behaviour::CannotBeKilled) {
            self.0.signalled(2);
        }
    }

    fn kill(&self) {
        if self.0.behaviour != Behaviour::CannotBeKilled {
            self.0.signalled(9);
        }
    }

    fn pids(&self) -> Vec<u32> {
        vec![4711]
    }
}

impl Runtime for FakeRuntime {
    fn start(&self, spec: StartSpec, events: RunEvents) -> Box<dyn Run> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.live.fetch_add(1, Ordering::SeqCst), 0, "a second group of one plugin");
        let behaviour = *self.behaviour.lock().unwrap();
        let live = self.live.clone();
        let group = Arc::new(FakeGroup { events, behaviour, is_over: AtomicBool::new(false), live });
        *self.last.lock().unwrap() = Some(group.clone());
        self.url.lock().unwrap().replace_range(.., spec.url.expose());
        if behaviour == Behaviour::CannotSpawn {
            group.is_over.store(true, Ordering::SeqCst);
            self.live.fetch_sub(1, Ordering::SeqCst);
            (group.events)(RunEvent::SpawnFailed(Failure::new(Stage::Start, "no such file").permanent()));
        } else {
            (group.events)(RunEvent::Spawned {
                pid: Some(4711),
                confinement: Some(crate::domain::Confinement::Off),
                placement: None,
            });
        }
        match behaviour {
            Behaviour::Exits(code) => group.end(Exit { code: Some(code), signal: None, out_of_memory: false }),
            Behaviour::Hangs | Behaviour::CannotSpawn => {}
            _ => drop(tokio::spawn(connect(self.handle.get().unwrap().clone(), spec.url.expose().to_owned()))),
        }
        Box::new(FakeRun(group))
    }

    fn go_on_until(&self, _: Duration) {}

    fn outlives_plugd(&self) -> bool {
        self.earlier.is_some()
    }

    fn earlier(&self) -> BoxFuture<'_, Vec<EarlierRun>> {
        let earlier = self.earlier.map(|(plugin, run, has_ended)| {
            let (live, last) = (self.live.clone(), self.last.clone());
            let take_over = Box::new(move |events: RunEvents, _| {
                live.fetch_add(1, Ordering::SeqCst);
                events(RunEvent::Spawned { pid: None, confinement: None, placement: None });
                let (behaviour, is_over) = (Behaviour::Connects, AtomicBool::new(false));
                let group = Arc::new(FakeGroup { events, behaviour, is_over, live });
                *last.lock().unwrap() = Some(group.clone());
                Box::new(FakeRun(group)) as Box<dyn Run>
            });
            EarlierRun { plugin, run, token: EARLIER_TOKEN.to_owned().into(), has_ended, take_over }
        });
        Box::pin(async move {
            self.known.subscribe().wait_for(|is_known| *is_known).await.unwrap();
            earlier.into_iter().collect()
        })
    }

    fn remove(&self, plugin: PluginId) -> BoxFuture<'static, std::io::Result<()>> {
        self.removed.lock().unwrap().push(plugin);
        Box::pin(async { Ok(()) })
    }
}

/// With which the plugin of an earlier run dials.
pub(crate) const EARLIER_TOKEN: &str = "sdprt_0123456789abcdefghijABCDEFGHIJ01";

/// What a process that is told to connect here dials with.
pub(crate) fn mk_handshake(url: &str) -> Handshake {
    let query = url.split_once('?').unwrap().1.to_owned();
    let part = |key: &str| query.split('&').find_map(|pair| Some(pair.strip_prefix(key)?.to_owned()));
    Handshake {
        plugin_id: part("plugin_id=").map(|id| id.parse().unwrap()),
        token: part("token=").unwrap(),
        user_agent: "fake".to_owned(),
    }
}

/// Dials in as a plugin does, and answers everything with ok.
pub(crate) async fn connect(handle: Handle, url: String) -> bool {
    let handshake = mk_handshake(&url);
    let Ok(authenticated) = handle.authenticate(handshake).await else { return false };
    let (session, peer) = Session::channel("fake");
    if handle.attach(authenticated, session).await.is_err() {
        return false;
    }
    tokio::spawn(peer.answer_all(|_| Ok(json!({"ok": true}))));
    true
}
