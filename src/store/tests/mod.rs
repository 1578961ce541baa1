//! The store on real databases: a SQLite file, or what the environment variable `PLUGD_TEST_DATABASE` names. What only
//! files have is in `on_a_file`, what only a server has in `on_a_server`, which needs no variable.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use sea_orm::{Database, DatabaseConnection};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::domain::{
    ActiveState, Digest, Failure, Mode, PreviousPackage, Reason, RunId, Stage, State, access, manifest::Manifest,
    plugin::Request, policy::Policy,
};

pub(super) mod audit;
mod changes;
mod compaction;
mod counted;
#[path = "../../../tests/harness/database.rs"]
pub(super) mod database;
mod history;
mod hooks;
mod on_a_file;
mod on_a_server;
mod opening;
mod outage;
mod restart;
mod sql;
mod succession;
mod texts;
mod tokens;
mod transfer;

use database::{OneDatabase, Server};

/// Longer than any wait of the store itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database of a test's own.
#[derive(Clone)]
pub(super) enum Place {
    File(Arc<TempDir>),
    Server(Arc<OneDatabase>),
}

impl Place {
    /// Of the kind that the environment names.
    pub(super) async fn new() -> Self {
        match std::env::var("PLUGD_TEST_DATABASE").as_deref() {
            Ok("postgres") => Self::server().await,
            Ok("sqlite" | "") | Err(_) => Self::file(),
            Ok(other) => panic!("PLUGD_TEST_DATABASE is {other:?}"),
        }
    }

    pub(super) fn file() -> Self {
        Self::File(Arc::new(tempfile::tempdir().unwrap()))
    }

    pub(super) async fn server() -> Self {
        Self::Server(Arc::new(Server::shared().database().await))
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::File(folder) => format!("sqlite://{}?mode=rwc", database(folder.path()).display()),
            Self::Server(database) => database.url(),
        }
    }

    pub(super) fn address(&self) -> Address {
        Address::parse(&self.url()).unwrap()
    }

    pub(super) fn options(&self, journal_keep: u64) -> Options {
        Options { address: self.address(), journal_keep, audit_keep: journal_keep }
    }

    /// Somebody else's connection.
    pub(super) async fn connection(&self) -> DatabaseConnection {
        Database::connect(self.url()).await.unwrap()
    }
}

/// A store in a database of its own, and everything that it has told of.
struct Fixture {
    store: Store,
    loaded: Loaded,
    told: watch::Receiver<usize>,
    commits: Arc<Mutex<Vec<Arc<Commit>>>>,
    place: Place,
}

impl Fixture {
    async fn new() -> Self {
        Self::keeping(1_000_000).await
    }

    async fn keeping(journal_keep: u64) -> Self {
        Self::at(Place::new().await, journal_keep).await
    }

    async fn at(place: Place, journal_keep: u64) -> Self {
        let (opened, loaded) = open(place.options(journal_keep)).await.unwrap();
        let commits = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = watch::channel(0);
        let kept = Arc::clone(&commits);
        let on_commit = move |new: &[Arc<Commit>]| {
            let mut kept = kept.lock().unwrap();
            kept.extend_from_slice(new);
            tell.send_replace(kept.len());
        };
        Self { store: opened.start(Box::new(on_commit)), loaded, told, commits, place }
    }

    /// Closes the store and opens it again.
    async fn reopened(self, journal_keep: u64) -> Self {
        self.store.close().await.unwrap();
        Self::at(self.place, journal_keep).await
    }

    /// Waits until as many commits have been told of.
    async fn told(&mut self, count: usize) -> Vec<Arc<Commit>> {
        let reached = self.told.wait_for(|told| *told >= count);
        tokio::time::timeout(PATIENCE, reached).await.expect("the commits come").unwrap();
        self.commits()
    }

    fn commits(&self) -> Vec<Arc<Commit>> {
        self.commits.lock().unwrap().clone()
    }

    /// Waits until the store says so of its health.
    async fn healthy(&self, expected: bool) {
        let mut health = self.store.healthy();
        let reached = health.wait_for(|healthy| *healthy == expected);
        tokio::time::timeout(PATIENCE, reached).await.expect("the health changes").unwrap();
    }
}

fn database(folder: &Path) -> PathBuf {
    folder.join("plugd.db")
}

pub(crate) fn mk_id(number: u32) -> PluginId {
    let [a, b, c, d] = number.to_be_bytes();
    PluginId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, a, b, c, d])
}

pub(super) fn mk_configuration(text: &str) -> Arc<Map<String, Value>> {
    Arc::new(json!({ "greeting": text }).as_object().unwrap().clone())
}

/// A plugin in which no field has its default.
pub(crate) fn mk_plugin(number: u32) -> Plugin {
    let created = rows::stored(Timestamp::now());
    let desired = Desired {
        mode: Mode::External,
        manifest: Arc::new(mk_manifest("greeter")),
        package: Some(Digest([1; 32])),
        previous_package: Some(PreviousPackage { digest: Digest([2; 32]), manifest: Arc::new(mk_manifest("earlier")) }),
        is_restored: true,
        policy: Arc::new(mk_policy()),
        configuration: mk_configuration("hello"),
        configuration_revision: 3,
        active: ActiveState::Active,
        active_generation: 4,
        restart_generation: 2,
        generation: 5,
        token: Some("sprt_secret".to_owned().into()),
        token_epoch: 6,
    };
    Plugin {
        id: mk_id(number),
        created,
        desired,
        installed: 0,
        reported: mk_report(State::Inactive, 1),
        revision: 0,
        request: Some(Request { id: format!("request {number}"), asked: Digest([number as u8; 32]) }),
    }
}

fn mk_policy() -> Policy {
    serde_json::from_value(json!({"sandbox": "strict", "environment": {"KEY": "value"}, "tcp_ports": [443]})).unwrap()
}

/// The only place in these tests that knows what a manifest must hold.
fn mk_manifest(id: &str) -> Manifest {
    serde_json::from_value(json!({
        "id": id, "name": "A plugin", "author": "somebody", "version": "1.0.0", "description": "It greets.",
        "command": "./greeter",
    }))
    .unwrap()
}

/// A report in which no field has its default.
pub(super) fn mk_report(state: State, number: u64) -> Reported {
    Reported {
        state,
        since: rows::stored(Timestamp::now()),
        observed_generation: number,
        failure: Some(mk_failure().into()),
        stopping_from: Some(State::Active),
        restarts: 2,
        run: Some(RunId::from_bytes([9; 12])),
        pid: Some(4711),
        confinement: Some(crate::domain::Confinement::Protect),
        placement: Some(Box::new(crate::domain::Placement {
            provider: "kubernetes".to_owned(),
            name: "plugd/a-pod".to_owned(),
            host: Some("a-host".to_owned()),
        })),
        is_degraded: true,
        events_dropped: 8,
        protocol_faults: 9,
        last_protocol_fault: "not JSON".to_owned(),
        proven_package: Some(Digest([3; 32])),
        failed_package: Some(Digest([4; 32])),
        deaths_at_start: 2,
        serial: number,
    }
}

/// A failure in which no field has its default.
fn mk_failure() -> Failure {
    Failure {
        exit_code: Some(42),
        signal: Some(9),
        out_of_memory: true,
        survivors: vec![7, 8],
        cause: Some(Reason::PackageNotFound),
        going_back_to: Some(Digest([4; 32])),
        ..Failure::new(Stage::Exit, "exit status 42").permanent()
    }
}

pub(crate) fn mk_token(number: u8) -> AccessToken {
    let id = TokenId::from_bytes([number; 12]);
    let (role, hash) = (access::Role::Admin, [number; 32]);
    AccessToken { id, name: "somebody".to_owned(), role, hash, created: rows::stored(Timestamp::now()), expires: None }
}

fn revisions(commits: &[Arc<Commit>]) -> Vec<u64> {
    commits.iter().map(|commit| commit.revision).collect()
}

/// All of the journal after this revision, read in pages of seven.
async fn journal(store: &Store, mut after: u64) -> Vec<Arc<Commit>> {
    let mut all = Vec::new();
    loop {
        let page = store.journal_after(after, 7).await.unwrap();
        let Some(last) = page.last() else { return all };
        after = last.revision;
        all.extend(page);
    }
}
