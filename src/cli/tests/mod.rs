//! Client commands against a server that is not plugd, but speaks its API.

pub(super) mod fake;
mod hostile;
mod several;
mod wording;

use std::{fs, time::Duration};

use clap::{CommandFactory, Parser};
use tonic::{Code, Status};

use super::{
    Cli, Command,
    client::Api,
    failure::{Exit, Failure},
    global::GlobalOptions,
    in_many_threads, run_client, show,
    ui::tests::{Printed, mk_ui},
    usage,
};
use crate::api::v1::{GetPluginRequest, PluginEvent, ReportedState as State, plugin_event::Kind};
use fake::{Fake, mk_plugin, mk_status};

const ID: &str = "d0a1b2c3d4e5f6g7h8i0";
const OTHER: &str = "d0a1b2c3d4e5f6g7h8j0";

/// Runs a client command against a server as the shell would: what it printed, and how it ended.
async fn run(server: &str, arguments: &[&str]) -> (String, Result<(), Failure>) {
    let global = ["plugd", "--server", server, "--token", "secret"];
    let cli = Cli::try_parse_from(global.iter().chain(arguments)).unwrap();
    let (ui, printed): (_, Printed) = mk_ui(cli.options.output);
    let Command::Client(command) = cli.command else { panic!("not a client command") };
    let work = Box::pin(run_client(*command, cli.options, ui));
    let done = tokio::time::timeout(Duration::from_secs(60), work).await.expect("the command ends");
    (printed.text(), done)
}

fn event(revision: u64, kind: Kind, state: State) -> PluginEvent {
    let plugin = Some(mk_plugin(ID, "Greeter", state, revision));
    PluginEvent {
        kind: kind.into(),
        revision,
        plugin_id: ID.to_owned(),
        plugin,
        cursor: format!("e:{revision}"),
        ..PluginEvent::default()
    }
}

#[test]
fn the_arguments_are_declared_without_contradiction() {
    Cli::command().debug_assert();
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let error = Cli::try_parse_from(["plugd", "watch", "--after", "x:1", "--live"]).unwrap_err();
    assert_eq!(error.exit_code(), Exit::Usage as i32);
}

#[tokio::test]
async fn list_prints_every_page_as_a_table_and_shows_the_token() {
    let fake = Fake::start().await;
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Active, 1), mk_plugin(OTHER, "Echo", State::Error, 2)]);
    let (printed, done) = run(&fake.url, &["list"]).await;
    done.unwrap();
    let expected = format!(
        "ID                    MANIFEST ID  NAME     MODE        STATE\n\
         {ID}  greeter      Greeter  supervised  active\n\
         {OTHER}  echo         Echo     supervised  error\n"
    );
    assert_eq!(printed, expected);
    assert_eq!(fake.pages_served(), 2);
    assert_eq!(fake.credential().as_deref(), Some("Bearer secret"));
}

#[tokio::test]
async fn json_is_the_stable_shape() {
    let fake = Fake::start().await;
    let plugin = mk_plugin(ID, "Greeter", State::Active, 1);
    fake.set_plugins([plugin.clone()]);
    let (printed, done) = run(&fake.url, &["get", "greeter", "-o", "json"]).await;
    done.unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&printed).unwrap(), show::plugin_json(&plugin));
}

#[tokio::test]
async fn what_is_not_there_is_not_found_by_id_and_by_name() {
    let fake = Fake::start().await;
    for id in [ID, "nobody"] {
        let (_, done) = run(&fake.url, &["get", id]).await;
        let failure = done.unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound, "{id}");
        assert!(failure.hint.is_some(), "{id}");
    }
}

#[tokio::test]
async fn install_sends_a_folder_as_a_package_with_its_digest() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    fs::write(folder.path().join("manifest.json"), r#"{"id": "a", "author": "a", "name": "A"}"#).unwrap();
    let path = folder.path().to_str().unwrap();
    let (printed, done) = run(&fake.url, &["install", path]).await;
    done.unwrap();
    assert_eq!(printed, format!("{ID} Installed is inactive\n"));
    let (digest, bytes) = fake.upload();
    assert_eq!(digest, crate::domain::package::digest_of(&bytes).to_string());
    assert_eq!(bytes, super::package::Package::read(folder.path(), &Default::default()).unwrap().bytes);
}

#[tokio::test]
async fn a_plugin_that_fails_has_an_exit_code_and_a_hint_of_its_own() {
    let fake = Fake::start().await;
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Inactive, 1)]);
    fake.fail_activation(mk_status(Code::FailedPrecondition, "PLUGIN_FAILED"));
    let (_, done) = run(&fake.url, &["activate", "Greeter", "--timeout", "7s"]).await;
    let failure = done.unwrap_err();
    assert_eq!((failure.exit, failure.hint.as_deref()), (Exit::PluginFailed, Some("do this")));
    assert_eq!(fake.wait_asked_for(), Some(7));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_, done) = run(&format!("http://{free}"), &["list"]).await;
    let failure = done.unwrap_err();
    assert_eq!(failure.exit, Exit::Unavailable);
    assert!(failure.what.starts_with("can't connect to"), "{failure}");
}

#[tokio::test]
async fn an_address_that_is_none_is_a_usage_error() {
    for server in ["localhost", "ftp://localhost", "http://"] {
        let (_, done) = run(server, &["list"]).await;
        assert_eq!(done.unwrap_err().exit, Exit::Usage, "{server}");
    }
}

#[tokio::test]
async fn a_token_that_can_be_none_is_not_sent() {
    let fake = Fake::start().await;
    for token in ["s\u{e9}cret", "a\nb", "a\u{202e}"] {
        let options =
            GlobalOptions { server: Some(fake.url.clone()), token: Some(token.to_owned()), ..GlobalOptions::default() };
        assert_eq!(Api::connect(&options).await.unwrap_err().exit, Exit::Denied, "{token:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_at_its_deadline() {
    let fake = Fake::start().await;
    fake.hang();
    let options =
        GlobalOptions { server: Some(fake.url.clone()), token: Some("x".to_owned()), ..GlobalOptions::default() };
    let api = Api::connect(&options).await.unwrap();
    let request = GetPluginRequest { plugin_id: ID.to_owned(), view: 0 };
    let status = api.call(Duration::from_millis(50), request).await.unwrap_err();
    assert_eq!(Failure::from(status).exit, Exit::Timeout);
}

#[tokio::test]
async fn watch_prints_transitions_and_resumes_after_the_last_cursor() {
    let fake = Fake::start().await;
    fake.watch([fake::opened(1), fake::snapshot(1, [mk_plugin(ID, "Greeter", State::Inactive, 1)]), fake::end(1)], {
        Status::unavailable("draining")
    });
    fake.watch([fake::opened(3), fake::events(3, [event(2, Kind::Changed, State::Starting)])], Status::cancelled(""));
    let last = [event(4, Kind::Removed, State::Inactive), event(5, Kind::Added, State::Active)];
    fake.watch([fake::events(5, last)], Status::permission_denied("enough"));
    let (printed, done) = run(&fake.url, &["watch"]).await;
    assert_eq!(done.unwrap_err().exit, Exit::Denied);
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().skip(1).collect()).collect();
    let expected: [&[&str]; 4] = [
        &["1", ID, "Greeter", "inactive"],
        &["2", ID, "Greeter", "inactive", "->", "starting"],
        &["4", ID, "Greeter", "removed"],
        &["5", ID, "Greeter", "active"],
    ];
    assert_eq!(lines, expected);
    assert_eq!(fake.watches_asked_for(), ["snapshot", "after e:1", "after e:3"]);
}

#[tokio::test]
async fn a_snapshot_that_breaks_off_is_not_resumed_from_the_middle() {
    let fake = Fake::start().await;
    let part = || fake::snapshot(5, [mk_plugin(ID, "Greeter", State::Active, 5)]);
    fake.watch([fake::opened(5), part()], Status::unavailable("gone"));
    fake.watch([fake::opened(5), part(), fake::end(5)], Status::permission_denied("enough"));
    let (printed, _) = run(&fake.url, &["watch"]).await;
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert_eq!(fake.watches_asked_for(), ["snapshot", "snapshot"]);
}

#[tokio::test]
async fn a_place_that_is_no_longer_kept_is_found_again_by_a_snapshot() {
    let fake = Fake::start().await;
    let other = mk_plugin(OTHER, "Echo", State::Active, 9);
    fake.watch([fake::snapshot(1, [mk_plugin(ID, "Greeter", State::Active, 1)]), fake::end(1)], fake::unavailable());
    fake.watch([], mk_status(Code::OutOfRange, "REVISION_COMPACTED"));
    fake.watch([fake::snapshot(9, [other]), fake::end(9)], Status::permission_denied("enough"));
    let (printed, _) = run(&fake.url, &["watch", "-o", "json"]).await;
    let kinds: Vec<serde_json::Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = kinds.iter().map(|change| (change["kind"].as_str(), change["plugin_id"].as_str())).collect();
    assert_eq!(kinds, [(Some("snapshot"), Some(ID)), (Some("snapshot"), Some(OTHER)), (Some("removed"), Some(ID))]);
    assert_eq!(fake.watches_asked_for(), ["snapshot", "after e:1", "snapshot"]);
}

#[tokio::test]
async fn a_cursor_of_the_user_that_is_no_longer_kept_is_an_error() {
    let fake = Fake::start().await;
    fake.watch([], mk_status(Code::OutOfRange, "REVISION_COMPACTED"));
    let (_, done) = run(&fake.url, &["watch", "--after", "e:1"]).await;
    assert_eq!(done.unwrap_err().hint.as_deref(), Some("do this"));
    assert_eq!(fake.watches_asked_for(), ["after e:1"]);
}

#[tokio::test]
async fn a_followed_log_resumes_after_the_last_line() {
    let fake = Fake::start().await;
    fake.log(["one", "two"], Some(Status::unavailable("draining")));
    fake.log(["three"], Some(Status::permission_denied("enough")));
    let (printed, done) = run(&fake.url, &["logs", ID, "-f", "--tail", "2"]).await;
    assert_eq!(done.unwrap_err().exit, Exit::Denied);
    assert_eq!(printed, "one\ntwo\nthree\n");
    assert_eq!(fake.logs_asked_for(), [(vec![], Some(2)), (vec!["at two".to_owned()], None)]);
}

#[tokio::test]
async fn a_log_that_is_not_followed_ends_with_its_history() {
    let fake = Fake::start().await;
    fake.log(["one"], None);
    let (printed, done) = run(&fake.url, &["logs", ID]).await;
    done.unwrap();
    assert_eq!(printed, "one\n");
}

/// A connection must be served while a command blocks, or the server ends it as one that asks for nothing.
#[test]
fn connections_are_served_while_a_command_blocks_its_thread() {
    let served = in_many_threads(async {
        let (connection, command) = std::sync::mpsc::channel();
        tokio::spawn(async move { connection.send(()) });
        command.recv_timeout(Duration::from_secs(5)).map_err(|_| usage("nobody served the connection"))
    });
    served.unwrap();
}
