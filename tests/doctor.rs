//! `plugd doctor`: what it finds, and that it changes nothing.

use std::{collections::BTreeMap, fs, os::unix::fs::MetadataExt, path::Path};

use plugd::api::v1::ReportedState::Active;
use serde_json::Value;

use crate::{
    harness::{Certificates, Output, Plugd, Run, program, within},
    shut_in::{as_user, is_root},
};

/// What every plugin that is shut in must be refused, by the words of the findings.
const REFUSED: [&str; 9] = [
    "read the administrator's token",
    "see what is in plugd's folders",
    "write outside of its folder",
    "have capabilities",
    "mount a file system",
    "read plugd's environment",
    "trace plugd",
    "connect to an abstract socket",
    "kill plugd",
];

async fn doctor(folder: &Path, args: &[&str]) -> Output {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["doctor", "--data-dir"]).arg(folder).args(args);
    within("the end of the doctor", command.run()).await
}

/// The findings by their subjects.
fn findings(output: &Output) -> BTreeMap<String, Value> {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output:?}"));
    let findings = document["findings"].as_array().unwrap().iter();
    findings.map(|finding| (finding["subject"].as_str().unwrap().to_owned(), finding.clone())).collect()
}

#[track_caller]
fn assert_held(findings: &BTreeMap<String, Value>, subjects: &[&str]) {
    for subject in subjects {
        let finding = findings.get(*subject).unwrap_or_else(|| panic!("{subject}: {findings:#?}"));
        assert!(finding["found"].as_str().unwrap().starts_with("held: "), "{finding}");
        assert_eq!(finding["outcome"], "ok", "{finding}");
    }
}

/// Every file below, with what a change of it would change.
fn state(folder: &Path) -> BTreeMap<String, (u64, i64, i64, u64)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = entries.flat_map(|path| {
        // One that has just got another name, as the logs of a plugd that runs do, is not there.
        let Ok(found) = fs::symlink_metadata(&path) else { return BTreeMap::new() };
        let name = path.display().to_string();
        let own = (name, (found.ino(), found.mtime(), found.mtime_nsec(), found.len()));
        let inside = if found.is_dir() { state(&path) } else { BTreeMap::new() };
        inside.into_iter().chain([own]).collect()
    });
    below.collect()
}

#[tokio::test]
async fn before_the_first_start_everything_is_tried_and_nothing_is_made() {
    let home = tempfile::tempdir().unwrap();
    for level in ["protect", "strict"] {
        let output = doctor(&home.path().join("data"), &["--sandbox", level, "-o", "json"]).await;
        assert_eq!(output.code(), Some(0), "{output:?}");
        let found = findings(&output);
        assert_held(&found, &REFUSED);
        assert_eq!(found.contains_key("connect to another port"), level == "strict");
        assert_eq!(found["sandbox"]["found"], format!("{level} holds"));
        assert!(found["data folder"]["found"].as_str().unwrap().contains("not there yet"), "{found:?}");
        assert_eq!(found["run sh"]["outcome"], "ok", "{found:?}");
    }
    let strict = doctor(&home.path().join("data"), &["--sandbox", "strict", "-o", "json"]).await;
    assert_held(&findings(&strict), &["connect to another port"]);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "nothing is made");
}

#[tokio::test]
async fn a_plugd_that_runs_is_neither_changed_nor_disturbed() {
    let plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    plugd.api().deactivate(&id).await.unwrap();
    // It may write to its files meanwhile, and puts the log of a run that has ended aside.
    let files = || {
        let all = state(&plugd.data_dir()).into_iter().filter(|(name, _)| !name.contains("/logs/"));
        all.map(|(name, (inode, ..))| (name, inode)).collect::<Vec<_>>()
    };
    let before = files();
    let output = doctor(&plugd.data_dir(), &["-o", "json"]).await;
    assert_eq!(output.code(), Some(0), "{output:?}");
    assert_eq!(files(), before, "nothing is made, taken away or replaced");
    let found = findings(&output);
    assert_held(&found, &REFUSED);
    let server = found["server"]["found"].as_str().unwrap();
    assert!(server.ends_with(&format!("process {}", plugd.pid())), "{server}");
    let database = found["database"]["found"].as_str().unwrap();
    assert!(database.contains("the plugd that runs uses it"), "{database}");
    let api = plugd.api();
    api.activate(&id).await.unwrap();
    api.live().await.until_state(&id, Active).await;
}

#[tokio::test]
async fn a_folder_that_no_plugd_uses_is_read_as_it_lies_there() {
    let mut plugd = Plugd::start().await;
    plugd.api().install(&["tame"]).await;
    plugd.sigterm().await;
    let before = state(&plugd.data_dir());
    let output = doctor(&plugd.data_dir(), &["-o", "json"]).await;
    assert_eq!(state(&plugd.data_dir()), before);
    let found = findings(&output);
    let database = found["database"]["found"].as_str().unwrap();
    assert!(database.starts_with("SQLite 3.") && database.ends_with(": plugins: 1"), "{database}");
    assert!(found["server"]["found"].as_str().unwrap().starts_with("no plugd"), "{found:?}");
}

/// Without a sandbox root's plugins can do all of it: so it is the sandbox that holds them, and the attempts are real.
#[tokio::test]
async fn without_a_sandbox_the_attempts_succeed_and_are_warnings() {
    let home = tempfile::tempdir().unwrap();
    let output = doctor(&home.path().join("data"), &["--sandbox", "off", "-o", "json"]).await;
    assert_eq!(output.code(), Some(0), "{output:?}");
    let found = findings(&output);
    let everybodys = ["see what is in plugd's folders", "write outside of its folder", "kill plugd"];
    let subjects = if is_root() { &REFUSED[..] } else { &everybodys };
    for subject in subjects {
        assert_eq!((&found[*subject]["outcome"], &found[*subject]["found"]), (&"warning".into(), &"not held".into()));
    }
    assert!(String::from_utf8_lossy(&output.stdout).contains("\"outcome\": \"warning\""));
}

#[tokio::test]
async fn a_user_without_privileges_gets_the_same_answers() {
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut command = as_user(home.path());
    command.args(["doctor", "-o", "json", "--data-dir"]).arg(home.path().join("data"));
    let output = within("the end of the doctor", command.run()).await;
    assert_eq!(output.code(), Some(0), "{output:?}");
    assert_held(&findings(&output), &REFUSED);
}

#[tokio::test]
async fn what_a_user_may_not_see_is_not_told_of() {
    if !is_root() {
        return;
    }
    let plugd = Plugd::start().await;
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let mut command = as_user(home.path());
    command.args(["doctor", "-o", "json", "--data-dir"]).arg(plugd.data_dir());
    let found = findings(&within("the end of the doctor", command.run()).await);
    for subject in ["server", "database"] {
        assert_eq!(found[subject]["outcome"], "warning", "{}", found[subject]);
        assert!(found[subject]["found"].as_str().unwrap().contains("can't be seen"), "{}", found[subject]);
    }
}

#[tokio::test]
async fn what_would_keep_plugd_from_its_work_is_a_failure_with_a_remedy() {
    let (home, certificates) = (tempfile::tempdir().unwrap(), Certificates::new());
    let data = home.path().join("data");
    fs::write(&data, "no folder").unwrap();
    let (certificate, key) = (certificates.path("server.pem"), home.path().join("none.pem"));
    let args = ["--tls-cert", &certificate, "--tls-key", key.to_str().unwrap(), "-o", "json"];
    let output = doctor(&data, &args).await;
    assert_eq!(output.code(), Some(1), "{output:?}");
    let found = findings(&output);
    for subject in ["data folder", "certificate"] {
        assert_eq!(found[subject]["outcome"], "failure", "{found:?}");
        assert!(found[subject]["remedy"].is_string(), "{found:?}");
    }
    let error: Value = serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["exit_code"], 1);
}

#[tokio::test]
async fn a_secret_where_plugins_can_read_it_is_told() {
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let (data, settings) = (home.path().join("data"), home.path().join("plugd.toml"));
    fs::write(&settings, "access_key = \"k\"\n").unwrap();
    let config = ["--config", settings.to_str().unwrap(), "-o", "json"];
    let output = doctor(&data, &config).await;
    let secret = findings(&output)["read the file of settings"].clone();
    assert_eq!((&secret["outcome"], &secret["found"]), (&"warning".into(), &"not held".into()), "{secret}");
    assert!(secret["remedy"].as_str().unwrap().contains("data folder"), "{secret}");
    fs::create_dir(&data).unwrap();
    let inside = data.join("plugd.toml");
    fs::rename(&settings, &inside).unwrap();
    let output = doctor(&data, &["--config", inside.to_str().unwrap(), "-o", "json"]).await;
    assert!(!findings(&output).contains_key("read the file of settings"), "it is hidden with the folder");
}

#[tokio::test]
async fn people_get_a_table_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let output = doctor(&home.path().join("data"), &["--sandbox", "off", "--listen", "0.0.0.0:8000"]).await;
    let table = output.text();
    assert!(table.starts_with("OUTCOME"), "{table}");
    for words in
        ["ok       kernel", "warning  certificate", "-> --tls-cert", "warning  sandbox", "-> --sandbox protect"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
    assert!(output.stderr.contains("warnings: "), "{output:?}");
}
