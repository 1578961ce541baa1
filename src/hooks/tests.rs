//! Webhooks over a real store, with receivers on 127.0.0.1 that have a certificate of the tests' own authority.

mod requests;

use std::sync::{
    Mutex as StdMutex,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use futures_util::{TryStreamExt, future::join};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::{
    domain::{
        Mode, Plugin, Reported,
        hook::tests::{mk_commit, mk_hook},
        lifecycle::tests::mk_plugin,
    },
    outbound::tests::world::{CERTIFIED, LOOPBACK, Names, Server, in_time, mk_client, mk_listener},
    store::{Address, Options, Snapshot, Table, open},
    supervisor,
};

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const AT_HOME: Rules = Rules { allow_private: true, allow_plain: false };

fn named() -> Arc<Names> {
    let once: &[std::net::IpAddr] = &[LOOPBACK];
    // As often as it is asked for.
    Arc::<Names>::default().with(CERTIFIED, &[once; 300])
}

fn secretly(server: &Server) -> String {
    format!("https://{CERTIFIED}:{}/hook?key=1", server.port)
}

/// Webhooks over a store in a folder of their own.
struct World {
    hooks: Hooks,
    draining: CancellationToken,
    folder: TempDir,
    _supervisor: supervisor::Supervisor,
}

impl World {
    /// A store that keeps so many revisions.
    async fn keeping(journal_keep: u64) -> Self {
        Self::with(tempfile::tempdir().unwrap(), journal_keep, Vec::new()).await
    }

    /// A store in this folder, with these webhooks besides those that it has.
    async fn with(folder: TempDir, journal_keep: u64, hooks: Vec<Hook>) -> Self {
        let address = address(&folder);
        let (opened, loaded) = open(Options { address, journal_keep, audit_keep: 10 }).await.unwrap();
        let mut found = Found::of(&loaded);
        let (projection, supervisor) = supervisor::start(loaded.plugins, loaded.head);
        let applied = projection.clone();
        let store = opened.start(Box::new(move |commits| applied.apply(commits)));
        for hook in hooks {
            store.create_hook(hook.clone()).await.unwrap();
            found.hooks.push(hook);
        }
        let draining = CancellationToken::new();
        let handle = Handle::new(projection, Arc::new(store.clone()), loaded.epoch, draining.clone());
        let hooks = Hooks::start_with(mk_client(named(), AT_HOME), found, store, handle, draining.clone());
        Self { hooks, draining, folder, _supervisor: supervisor }
    }

    /// Ends as plugd does; returns the folder of the store.
    async fn end(self) -> TempDir {
        self.draining.cancel();
        in_time(self.hooks.ended()).await;
        self.hooks.parts.store.clone().close().await.unwrap();
        self.folder
    }

    async fn add(&self, url: String) -> Hook {
        let (states, plugins) = (vec![State::Error], Vec::new());
        let new = NewHook { url, states, plugins, author: "somebody".to_owned() };
        let hook = self.hooks.prepare(new).unwrap();
        self.hooks.add(hook.clone()).await.unwrap();
        hook
    }

    async fn install(&self) -> Arc<Plugin> {
        let plugin = mk_plugin(Mode::Supervised, crate::domain::ActiveState::Active);
        self.hooks.parts.store.install(plugin).await.unwrap()
    }

    /// Reports so many states, of which every second is an error, and waits until they are stored.
    async fn report(&self, plugin: &Plugin, count: u64) {
        let reports = (1..=count).map(|serial| {
            let state = if serial % 2 == 0 { State::Error } else { State::Restarting };
            Reported { state, serial, ..plugin.reported.clone() }
        });
        for reported in reports {
            self.hooks.parts.store.report(plugin.id, reported);
            self.hooks.parts.store.flush().await.unwrap();
        }
    }

    fn progress(&self, id: HookId) -> Progress {
        self.hooks.shared(id).unwrap().progress()
    }

    /// Waits until the progress of a webhook is so.
    async fn until(&self, id: HookId, is_so: impl Fn(&Progress) -> bool) -> Progress {
        eventually(async || Some(self.progress(id)).filter(&is_so)).await
    }
}

/// Looks until there is something.
async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    in_time(async {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            if let Some(found) = look().await {
                return found;
            }
        }
    })
    .await
}

fn address(folder: &TempDir) -> Address {
    Address::parse(&format!("sqlite://{}?mode=rwc", folder.path().join("db").display())).unwrap()
}

fn revisions(bodies: &StdMutex<Vec<String>>) -> Vec<u64> {
    let bodies = bodies.lock().unwrap();
    bodies
        .iter()
        .map(|body| serde_json::from_str::<Value>(body).unwrap()["data"]["revision"].as_u64().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_wanted_arrives_in_order_and_the_cursor_comes_to_the_head() {
    let world = World::keeping(1000).await;
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    let plugin = world.install().await;
    let hook = world.add(secretly(&server)).await;
    world.report(&plugin, 20).await;
    world.until(hook.id, |progress| progress.revision == world.hooks.head()).await;
    assert_eq!(revisions(&server.bodies), (1..=10).map(|number| 1 + 2 * number).collect::<Vec<_>>());
    let (head, world) = (world.hooks.head(), World::with(world.end().await, 1000, Vec::new()).await);
    assert_eq!(world.progress(hook.id).revision, head, "it was stored");
}

#[tokio::test]
async fn what_is_refused_is_sent_again_with_its_id_before_what_came_after() {
    let world = World::keeping(1000).await;
    let asked = AtomicUsize::new(0);
    let server = Server::saying_secretly(move |_| match asked.fetch_add(1, SeqCst) {
        0 => "HTTP/1.1 500 Oops\r\n\r\n".to_owned(),
        _ => OK.to_owned(),
    })
    .await;
    let plugin = world.install().await;
    let hook = world.add(secretly(&server)).await;
    world.report(&plugin, 4).await;
    let failed = world.until(hook.id, |progress| progress.failures == 1).await;
    assert_eq!(
        (failed.revision, failed.last_error.as_deref()),
        (2, Some("the receiver answered 500 Internal Server Error"))
    );
    world.hooks.enable(hook.id).await.unwrap();
    world.until(hook.id, |progress| progress.revision == world.hooks.head()).await;
    assert_eq!(revisions(&server.bodies), [3, 3, 5]);
}

#[tokio::test]
async fn where_a_webhook_goes_on_in_another_history_is_stored_though_nothing_happens() {
    let ahead = Hook { progress: Progress::after("another history", 99), ..mk_hook(1) };
    let world = World::with(tempfile::tempdir().unwrap(), 1000, vec![ahead.clone()]).await;
    assert_eq!(world.progress(ahead.id).revision, 0);
    let stored = async || {
        let snapshot = Snapshot::of(&address(&world.folder)).await.unwrap();
        let rows: Vec<String> = snapshot.rows(Table::Hook).try_collect().await.unwrap();
        snapshot.close().await.unwrap();
        serde_json::from_str::<Value>(&rows[0]).unwrap()
    };
    eventually(async || (stored().await["epoch"] == world.hooks.parts.origin.epoch).then_some(())).await;
    assert_eq!(stored().await["revision"], 0);
}

/// A webhook that is behind the whole journal of this folder: an installation, and so many reports. It does not deliver yet.
async fn mk_behind(url: String, reports: u64, progress: impl FnOnce(Progress) -> Progress) -> (World, HookId) {
    let world = World::keeping(1000).await;
    let plugin = world.install().await;
    world.report(&plugin, reports).await;
    let progress = progress(Progress::after(&world.hooks.parts.origin.epoch, 0));
    let behind = Hook { url: url.into(), progress, ..mk_hook(1) };
    let id = behind.id;
    // Nothing of it is in memory any more.
    (World::with(world.end().await, 1000, vec![behind]).await, id)
}

async fn rename_table(folder: &TempDir, from: &str, to: &str) {
    let db = sea_orm::Database::connect(format!("sqlite://{}", folder.path().join("db").display())).await.unwrap();
    db.execute_unprepared(&format!("ALTER TABLE {from} RENAME TO {to}")).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_journal_that_can_not_be_read_is_told_of_until_it_is_read_again() {
    // Nothing of it is wanted, so that it is by its reading alone that all is well again.
    let disabled = |progress| Progress { is_enabled: false, ..progress };
    let (world, id) = mk_behind("https://host.test/".to_owned(), 1, disabled).await;
    rename_table(&world.folder, "journal", "hidden").await;
    world.hooks.enable(id).await.unwrap();
    let failed = world.until(id, |progress| progress.failures > 0).await;
    let why = failed.last_error.unwrap();
    assert!(why.starts_with("the journal can't be read: "), "{why}");
    assert_eq!((failed.revision, failed.missed), (0, 0));

    rename_table(&world.folder, "hidden", "journal").await;

    world.hooks.shared(id).unwrap().news.notify_one();
    let read = world.until(id, |progress| progress.revision == world.hooks.head()).await;
    assert_eq!((read.failures, read.last_error, read.missed), (0, None, 0));
}

/// Its next attempt is so long from now.
fn waiting(wait: Duration) -> impl FnOnce(Progress) -> Progress {
    move |progress| Progress { failures: 1, next_attempt: Some(Timestamp::now() + wait), ..progress }
}

#[tokio::test]
async fn a_wait_goes_on_when_plugd_starts_again_and_is_over_when_somebody_asks() {
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    let (world, id) = mk_behind(secretly(&server), 2, waiting(Duration::from_secs(30 * 60))).await;
    // It has read what it wants.
    world.until(id, |progress| progress.revision == 2).await;
    // An attempt would have come before this.
    world.hooks.test(id).await.unwrap();
    assert_eq!(server.requests(), 1);
    server.bodies.lock().unwrap().clear();
    world.hooks.enable(id).await.unwrap();
    world.until(id, |progress| progress.revision == 3).await;
    assert_eq!(revisions(&server.bodies), [3]);
}

#[tokio::test]
async fn a_wait_that_is_longer_than_any_may_be_is_none_as_the_clock_was_set_back() {
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    let (world, id) = mk_behind(secretly(&server), 2, waiting(Duration::from_secs(61 * 60))).await;
    world.until(id, |progress| progress.revision == 3).await;
    assert_eq!(revisions(&server.bodies), [3]);
}

#[tokio::test]
async fn a_test_ends_in_time_also_while_another_request_is_under_way() {
    let world = World::keeping(10).await;
    // Connections are taken by the kernel, and nobody says anything on them.
    let (_silent, port) = mk_listener().await;
    let hook = world.add(format!("https://{CERTIFIED}:{port}/")).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let (first, second) = in_time(join(world.hooks.test(hook.id), world.hooks.test(hook.id))).await;
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert_eq!((error.reason, &*error.message), (Reason::DeliveryFailed, "the receiver did not answer within 15s"));
    }
    // Of a clock that stands still while anybody does something.
    assert_eq!(begun.elapsed().as_secs(), ATTEMPT.as_secs());
}

#[tokio::test]
async fn what_the_journal_has_forgotten_is_counted_as_missed_and_the_rest_arrives() {
    let world = World::keeping(10).await;
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    let plugin = world.install().await;
    let hook = world.add(secretly(&server)).await;
    let shared = world.hooks.shared(hook.id).unwrap();
    // Its follower stands still while the journal goes on without it.
    shared.change(|hook| hook.progress.is_enabled = false);
    shared.news.notify_one();
    world.report(&plugin, 200).await;
    let reached = world.progress(hook.id).revision;
    world.hooks.enable(hook.id).await.unwrap();
    let progress = world.until(hook.id, |progress| progress.revision == world.hooks.head()).await;
    assert!(progress.missed > 100, "{progress:?}");
    let first = reached + progress.missed + 1;
    let expected: Vec<u64> = (first..=201).filter(|revision| revision % 2 == 1).collect();
    assert_eq!(revisions(&server.bodies), expected, "{progress:?}");
}

#[tokio::test]
async fn an_event_that_is_always_refused_is_missed_once_the_journal_has_forgotten_it_and_the_rest_arrives() {
    let world = World::keeping(10).await;
    let is_back = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&is_back);
    let server = Server::saying_secretly(move |_| match answers.load(SeqCst) {
        true => OK.to_owned(),
        false => "HTTP/1.1 400 No\r\n\r\n".to_owned(),
    })
    .await;
    let plugin = world.install().await;
    let hook = world.add(secretly(&server)).await;
    world.report(&plugin, 2).await;
    world.until(hook.id, |progress| progress.failures > 0).await;
    world.report(&plugin, 200).await;
    let missed = world.until(hook.id, |progress| progress.missed > 0).await;
    let refused = server.requests();
    is_back.store(true, SeqCst);
    world.hooks.enable(hook.id).await.unwrap();
    world.until(hook.id, |progress| progress.revision == world.hooks.head()).await;
    let mut arrived = revisions(&server.bodies).split_off(refused);
    // The last that is refused may be under way still.
    arrived.dedup();
    let rest: Vec<u64> = (missed.revision + 1..=world.hooks.head()).filter(|revision| revision % 2 == 1).collect();
    assert!(missed.revision > 3 && rest.ends_with(&arrived) && !arrived.is_empty(), "{missed:?} {arrived:?}");
}

#[tokio::test]
async fn there_are_as_many_as_may_be_and_not_one_more() {
    let world = World::keeping(10).await;
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    for _ in 0..MAX_HOOKS {
        world.add(secretly(&server)).await;
    }
    let error = world.hooks.add(mk_hook(1)).await.unwrap_err();
    assert_eq!(error.reason, Reason::TooManyHooks);
    world.hooks.delete(world.hooks.list()[0].id).await.unwrap();
    world.hooks.add(mk_hook(1)).await.unwrap();
}

#[tokio::test]
async fn what_may_have_been_made_by_a_commit_that_failed_is_deleted_before_another_is_made() {
    let world = World::keeping(10).await;
    let doubtful = mk_hook(1);
    world.hooks.parts.store.create_hook(doubtful.clone()).await.unwrap();
    *world.hooks.making.lock().await = Some(doubtful.id);
    world.hooks.add(mk_hook(2)).await.unwrap();
    let world = World::with(world.end().await, 10, Vec::new()).await;
    assert_eq!(world.hooks.list().iter().map(|hook| hook.id).collect::<Vec<_>>(), [mk_hook(2).id]);
}

#[tokio::test]
async fn a_webhook_that_is_no_longer_stored_is_left_alone() {
    let world = World::keeping(10).await;
    let plugin = world.install().await;
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    let hook = world.add(secretly(&server)).await;
    world.hooks.parts.store.delete_hook(hook.id).await.unwrap();
    world.report(&plugin, 2).await;
    eventually(async || world.hooks.list().is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_can_never_be_asked_or_is_too_much_is_refused_at_once() {
    let world = World::keeping(10).await;
    let refused = |url: &str, states: Vec<State>, plugins: usize| {
        let plugins = vec![PluginId::from_bytes([1; 12]); plugins];
        let new = NewHook { url: url.to_owned(), states, plugins, author: String::new() };
        world.hooks.prepare(new).map(|_| ()).unwrap_err().violations[0].field.clone()
    };
    let long = format!("https://host.test/{}", "x".repeat(MAX_URL));
    for url in
        ["", "host", "ftp://host.test/", "https://user@host.test/", "http://8.8.8.8/", "https://169.254.0.1/", &long]
    {
        assert_eq!(refused(url, vec![State::Error], 0), "url", "{url}");
    }
    assert_eq!(refused("https://host.test/", Vec::new(), 0), "states");
    assert_eq!(refused("https://host.test/", vec![State::Error], MAX_PLUGINS + 1), "plugin_ids");
}

#[test]
fn a_cursor_of_another_history_goes_on_where_that_is_known_to_have_come_to() {
    for (epoch, revision, expected) in [("epoch", 9, 9), ("other", 9, 5), ("other", 3, 3)] {
        let mut progress = Progress::after("epoch", revision);
        resume(&mut progress, epoch, 5);
        assert_eq!((progress.epoch.as_str(), progress.revision), (epoch, expected));
    }
}
