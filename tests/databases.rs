//! plugd on PostgreSQL: what a kill, a second plugd, an outage and a cut connection leave. The store's own tests run
//! on it too (`src/store/tests`).

use plugd::api::v1::{
    ActiveState,
    ReportedState::{Active, Inactive, Starting},
    WatchStateRequest,
};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::Command;
use tonic::{Code, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::harness::{
    Cursor, OneDatabase, Output, PASSWORD, Plugd, QUICK, Run, Server, cli, program, reason, state_of, status_of, within,
};

/// A plugd on this database, which says everything that it and its drivers have to say.
async fn mk_plugd(database: &OneDatabase) -> Plugd {
    let url = database.url();
    let talkative = [("PLUGD_DATABASE_URL", &*url), ("PLUGD_LOG", "debug")];
    Plugd::with(&[QUICK, &talkative].concat()).await
}

fn after(cursor: Cursor) -> WatchStateRequest {
    WatchStateRequest { start: Some(cursor.start()), ..Default::default() }
}

/// The changes of plugd's health, as it tells them.
struct Health(tonic::Streaming<HealthCheckResponse>);

impl Health {
    async fn of(plugd: &Plugd) -> Self {
        let channel = Endpoint::from_shared(plugd.url()).unwrap().connect().await.unwrap();
        let mut client = HealthClient::new(channel);
        Self(client.watch(HealthCheckRequest::default()).await.unwrap().into_inner())
    }

    async fn until(&mut self, status: ServingStatus) {
        let reached = async { while self.0.message().await.unwrap().unwrap().status() != status {} };
        within("a change of health", reached).await;
    }
}

#[tokio::test]
async fn everything_is_there_after_a_kill() {
    let database = Server::shared().database().await;
    let mut plugd = mk_plugd(&database).await;
    let api = plugd.api();
    let wanted = api.run(&["tame"]).await;
    let unwanted = api.install(&["tame"]).await;
    let cursor = api.live().await.cursor;

    plugd.kill_9().await;
    plugd.restart().await;

    let api = plugd.api();
    // The watch itself fails on a gap.
    let mut watch = api.watch(after(cursor.clone())).await.unwrap();
    assert_eq!(watch.cursor.epoch, cursor.epoch);
    let seen = watch.until_state(&wanted, Starting).await;
    assert_eq!(seen.first().unwrap().revision, cursor.revision + 1);
    watch.until_state(&wanted, Active).await;
    assert_eq!(Plugd::processes_of(&wanted).len(), 1);
    let plugin = api.get(&unwanted).await.unwrap();
    assert_eq!((plugin.active_state(), state_of(&plugin)), (ActiveState::Inactive, Inactive));
    assert!(!plugd.data_dir().join("plugd.db").exists());
}

#[tokio::test]
async fn an_outage_stops_changes_and_nothing_else() {
    let server = Server::start();
    let plugd = mk_plugd(&server.database().await).await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let first = api.get(&id).await.unwrap();
    let mut watch = api.live().await;
    let from = watch.cursor.revision;
    let mut health = Health::of(&plugd).await;
    health.until(ServingStatus::Serving).await;

    server.stop();
    health.until(ServingStatus::NotServing).await;
    let refused = api.deactivate(&id).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "STORE_UNAVAILABLE"));
    assert_eq!(plugd.rest().get("/readyz").await.status, 503);
    assert_eq!(api.get(&id).await.unwrap(), first, "what is known is served");
    // Supervision goes on: what crashes is started again.
    let pid = Pid::from_raw(status_of(&first).pid().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();

    server.restart();
    health.until(ServingStatus::Serving).await;
    // The watch itself fails on a gap.
    let seen = watch.until_state(&id, Active).await;
    assert_eq!(seen.first().unwrap().revision, from + 1);
    let again = seen.last().unwrap().plugin.as_ref().unwrap();
    assert_ne!(status_of(again).run_id, status_of(&first).run_id);
    assert_eq!(status_of(again).restart_count, 1);
    api.deactivate(&id).await.unwrap();
}

#[tokio::test]
async fn a_plugd_that_comes_back_late_yields() {
    let database = Server::shared().database().await;
    let mut first = mk_plugd(&database).await;
    let id = first.api().run(&["tame"]).await;
    first.suspend();
    database.end_sessions().await;
    let second = first.successor().await;
    let api = second.api();
    api.activate(&id).await.unwrap();
    let run = second.runs_of(&id);
    assert_eq!((run.len(), first.runs_of(&id).len()), (1, 1), "the first can't know yet");

    first.resume();
    assert!(!first.ended().await.success());
    assert_eq!(first.runs_of(&id), []);
    assert_eq!(second.runs_of(&id), run, "the second has noticed nothing");
    api.deactivate(&id).await.unwrap();
}

#[tokio::test]
async fn a_plugd_with_an_empty_folder_runs_what_another_one_has_stored_and_hands_it_out() {
    let database = Server::shared().database().await;
    let mut first = mk_plugd(&database).await;
    let (id, package) = (first.api().run(&["tame"]).await, first.packages());
    let archive = downloaded(&first, &id).await;
    first.sigterm().await;

    let second = first.successor().await;
    let mut watch = second.api().live().await;
    watch.plugin_in(&id, Active).await;
    assert_eq!((second.runs_of(&id).len(), second.packages()), (1, package));
    assert!(downloaded(&second, &id).await == archive);
}

async fn downloaded(plugd: &Plugd, id: &str) -> Vec<u8> {
    let file = plugd.scratch().join("downloaded");
    cli(plugd, &["download", id, "-O", file.to_str().unwrap()]).run().await.text();
    std::fs::read(file).unwrap()
}

/// `plugd serve` on this database with this data folder; it runs no plugins.
fn another(database: &OneDatabase, home: &TempDir) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--runtime-provider", "none", "--log", "debug", "--data-dir"]);
    command.arg(home.path()).env("PLUGD_DATABASE_URL", database.url());
    command
}

/// The same, where it ends by itself.
async fn serve(database: &OneDatabase, args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    within("the end of plugd", another(database, &home).args(args).run()).await
}

#[tokio::test]
async fn a_second_plugd_ends_and_says_why() {
    let database = Server::shared().database().await;
    let plugd = mk_plugd(&database).await;
    let second = serve(&database, &[]).await;
    assert!(!second.status.success(), "{second:?}");
    assert!(second.stderr.contains("another plugd uses this database"), "{second:?}");
    plugd.api().install(&["tame"]).await;
    let printed = serve(&database, &["--print-config"]).await;
    assert!(printed.text().contains("database_url = \"postgres://"));
    for text in [second.stderr, printed.stderr.clone(), printed.text().to_owned(), plugd.said()] {
        assert!(!text.contains(PASSWORD) && !text.contains("hunter%402"), "{text}");
    }
}
