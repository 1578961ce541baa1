//! What commands say: in the command line's own words, and with a remedy that helps.

use tonic::{Code, Status};

use super::{
    Cli, Exit, ID, OTHER, Parser, State,
    fake::{Fake, mk_plugin, mk_status_with},
    fs, run,
};
use crate::cli::package;

fn failed(stage: &str) -> Status {
    let more = [("stage", stage), ("plugin_id", ID)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    mk_status_with(Code::FailedPrecondition, "PLUGIN_FAILED", more)
}

#[tokio::test]
async fn only_an_update_brings_corrected_files() {
    let (fake, remedy) = (Fake::start().await, format!("correct it, then `plugd update {ID} DIR`"));
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Error, 1)]);
    for stage in ["start", "run"] {
        fake.fail_activation(failed(stage));
        let failure = run(&fake.url, &["activate", ID]).await.1.unwrap_err();
        assert!(failure.hint.unwrap().contains(&remedy), "{stage}");
    }
    let (printed, _) = run(&fake.url, &["get", ID]).await;
    assert!(printed.contains(&remedy), "{printed}");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("manifest.json"), r#"{"id": "a", "author": "a", "name": "A"}"#).unwrap();
    fake.set_plugins([]);
    fake.fail_activation(failed("start"));
    let (_, done) = run(&fake.url, &["install", folder.path().to_str().unwrap(), "--activate"]).await;
    assert!(done.unwrap_err().hint.unwrap().contains(&remedy));
}

#[tokio::test]
async fn an_activation_after_which_the_package_before_comes_back_says_so() {
    let fake = Fake::start().await;
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Inactive, 1)]);
    let told = [("plugin_id", ID), ("stage", "exit"), ("going_back_to", "a")];
    let told = told.map(|(key, value)| (key.to_owned(), value.to_owned()));
    fake.fail_activation(mk_status_with(Code::FailedPrecondition, "PLUGIN_FAILED", told));
    let failure = run(&fake.url, &["activate", ID]).await.1.unwrap_err();
    assert_eq!(failure.what, "it broke; the package before this one is put back");
    assert_eq!(failure.exit, Exit::PluginFailed);
}

#[tokio::test]
async fn no_lines_of_a_log_are_none() {
    let fake = Fake::start().await;
    fake.log([], None);
    let (printed, done) = run(&fake.url, &["logs", ID, "--tail", "0"]).await;
    done.unwrap();
    assert_eq!(printed, "");
    fake.log(["two"], Some(Status::permission_denied("enough")));
    let (printed, _) = run(&fake.url, &["logs", ID, "-f", "-n", "0"]).await;
    assert_eq!(printed, "two\n");
    assert_eq!(fake.logs_asked_for(), [(vec![], Some(0)), (vec![], Some(0))]);
}

#[tokio::test]
async fn a_manifest_is_no_package() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    fake.set_plugins([mk_plugin(OTHER, "Echo", State::Active, 1)]);
    for name in ["external.yaml", "manifest.json"] {
        let path = folder.path().join(name);
        fs::write(&path, r#"{"id": "a", "author": "a", "name": "A"}"#).unwrap();
        for command in [&["install"][..], &["update", OTHER]] {
            let failure = run(&fake.url, &[command, &[path.to_str().unwrap()]].concat()).await.1.unwrap_err();
            assert_eq!(failure.exit, Exit::Refused, "{failure}");
            assert!(failure.hint.unwrap().contains("`plugd register "));
        }
    }
    assert_eq!(fake.calls(), [""; 0]);
}

#[test]
fn a_wait_that_is_none_is_refused_with_the_option_for_it() {
    for time in ["0s", "6m"] {
        let error = Cli::try_parse_from(["plugd", "activate", "x", "--timeout", time]).unwrap_err();
        assert!(error.to_string().contains("--no-wait"), "{error}");
    }
    let error = Cli::try_parse_from(["plugd", "call", "x", "y", "--timeout", "0s"]).unwrap_err();
    assert!(error.to_string().contains("10m"), "{error}");
}

#[tokio::test]
async fn what_is_only_begun_is_not_told_as_done() {
    let fake = Fake::start().await;
    fake.set_plugins([mk_plugin(ID, "Greeter", State::Active, 1)]);
    let (printed, done) = run(&fake.url, &["restart", ID, "--no-wait"]).await;
    done.unwrap();
    assert_eq!(printed, format!("{ID} Greeter is to be started anew\n"));
}

#[tokio::test]
async fn a_shell_can_evaluate_what_register_prints() {
    let (fake, folder) = (Fake::start().await, tempfile::tempdir().unwrap());
    let path = folder.path().join("external.json");
    fs::write(&path, r#"{"id": "a", "author": "a", "name": "A"}"#).unwrap();
    let (printed, done) = run(&fake.url, &["register", path.to_str().unwrap()]).await;
    done.unwrap();
    let names: Vec<_> = printed.lines().filter_map(|line| Some(line.split_once("='ws://")?.0)).collect();
    assert_eq!((names, printed.lines().count()), (vec!["STORYDEN_RPC_URL", "PLUGD_RPC_URL"], 2));
}

#[tokio::test]
async fn an_address_without_a_host_is_told_as_that() {
    for address in ["http://", "https://"] {
        let failure = run(address, &["list"]).await.1.unwrap_err();
        assert!(failure.what.contains("it has no host"), "{failure}");
    }
}

#[test]
fn a_development_session_does_not_offer_what_it_refuses() {
    let mut command = crate::cli::command();
    command.build();
    let help = |name| command.find_subcommand(name).unwrap().clone().render_long_help().to_string();
    assert!(help("serve").contains("--tls-cert") && help("dev").contains("--listen"));
    assert!(!help("dev").contains("--tls-"));
}

#[test]
fn a_file_that_is_there_is_replaced_by_force_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    package::write(&path, b"one", false).unwrap();
    assert_eq!(package::write(&path, b"two", false).unwrap_err().exit, Exit::Conflict);
    assert_eq!(fs::read(&path).unwrap(), b"one");
    package::write(&path, b"two", true).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
}
