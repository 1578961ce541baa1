//! help, completions, the environment, and `plugd rest`.

use std::collections::BTreeSet;

use super::{alone, error_of};
use crate::harness::{Output, Plugd, Run, cli, program, rest_shim};

/// The commands that a help lists, and below them theirs.
async fn commands(path: Vec<String>, found: &mut BTreeSet<String>) {
    let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
    arguments.push("--help");
    let help = alone(std::path::Path::new("."), &arguments).await;
    assert!(help.text().contains("Usage: plugd"), "{path:?}");
    if !path.is_empty() {
        found.insert(path.join(" "));
    }
    let is_parent = help.text().lines().any(|line| line.starts_with("Usage: ") && line.ends_with("<COMMAND>"));
    let before_options = help.text().split("\nOptions:").next().unwrap().split("\nGlobal options:").next().unwrap();
    let names = before_options.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| is_parent && *name != "help") {
        Box::pin(commands([path.clone(), vec![name.to_owned()]].concat(), found)).await;
    }
}

#[tokio::test]
async fn every_command_has_a_help() {
    let mut found = BTreeSet::new();
    commands(Vec::new(), &mut found).await;
    for command in ["list", "dev", "config edit", "token revoke", "validate", "completions"] {
        assert!(found.contains(command), "{command}: {found:?}");
    }
    assert_eq!(found.len(), 60, "{found:?}");
    assert!(!found.contains("keeper"));
}

#[tokio::test]
async fn every_shell_has_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = alone(std::path::Path::new("."), &["completions", shell]).await;
        assert!(script.text().contains("PLUGD_COMPLETE"), "{shell}");
    }
}

/// The words that may follow these, one a line, as the script for fish asks.
async fn completed(server: &str, token: &str, words: &[&str]) -> String {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.env("PLUGD_COMPLETE", "fish").env("PLUGD_SERVER", server).env("PLUGD_TOKEN", token);
    let answer = command.args(["--", "plugd"]).args(words).run().await;
    assert_eq!(answer.stderr, "");
    answer.text().to_owned()
}

#[tokio::test]
async fn completions_know_every_command_and_plugin_and_nothing_that_is_not_for_people() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let (server, token) = (plugd.url(), plugd.token().to_owned());
    let commands = completed(&server, &token, &[""]).await;
    assert!(commands.contains("update-manifest") && !commands.contains("keeper"), "{commands}");
    for words in [&["get", ""][..], &["delete", "ch"], &["config", "set", "c"], &["watch", "x", ""]] {
        let names = completed(&server, &token, words).await;
        assert!(names.contains("chaos\tChaos, inactive\n"), "{words:?}: {names}");
    }
    assert!(completed(&server, &token, &["get", &id[..4]]).await.contains(&id));
    assert!(!completed(&server, &token, &["token", "revoke", ""]).await.contains("chaos"));
    let elsewhere = completed("http://127.0.0.1:1", &token, &["--server", &server, "get", ""]).await;
    assert!(elsewhere.contains("chaos"), "the server that is typed: {elsewhere}");
    let nowhere = completed("http://127.0.0.1:1", &token, &["get", ""]).await;
    assert!(!nowhere.contains("chaos"), "{nowhere}");
}

#[tokio::test]
async fn bash_completes_a_plugin() {
    let plugd = Plugd::start().await;
    plugd.api().install(&["tame"]).await;
    let script = "source <(\"$PLUGD\" completions bash); PATH=${PLUGD%/*}:$PATH; COMP_WORDS=(plugd get ch); COMP_CWORD=2; \
                  COMP_TYPE=9; _clap_complete_plugd plugd ch get; echo \"${COMPREPLY[@]}\"";
    let mut command = program("bash");
    command
        .env("PLUGD", env!("CARGO_BIN_EXE_plugd"))
        .env("PLUGD_SERVER", plugd.url())
        .env("PLUGD_TOKEN", plugd.token());
    let said = command.args(["-c", script]).run().await;
    assert_eq!(said.text().trim(), "chaos", "{said:?}");
}

async fn with_variables(args: &[&str]) -> Output {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.env("PLUGD_SERVER", "http://127.0.0.1:1").env("PLUGD_TOKEN", "t").env("PLUGD_DATA_DIR", "d");
    command.args(args).run().await
}

#[tokio::test]
async fn a_usage_line_shows_what_is_missing_and_not_what_the_environment_gives() {
    let wrong = with_variables(&["get"]).await;
    assert_eq!(wrong.code(), Some(2));
    assert!(wrong.stderr.contains("Usage: plugd get <ID>"), "{}", wrong.stderr);
    let error = error_of(&with_variables(&["get", "-o", "json"]).await);
    assert!(error["message"].as_str().unwrap().contains("<ID>"), "{error}");
}

#[tokio::test]
async fn the_command_line_wins_over_the_environment() {
    let plugd = Plugd::start().await;
    let mut command = cli(&plugd, &["list", "--server", &plugd.url(), "--token", plugd.token()]);
    command.env("PLUGD_SERVER", "http://127.0.0.1:1").env("PLUGD_TOKEN", "nonsense");
    command.run().await.text();
    assert_eq!(with_variables(&["list"]).await.code(), Some(8));
}

#[tokio::test]
async fn rest_is_served_in_front_of_another_plugd() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let (shim, rest) = rest_shim(&plugd).await;
    assert_eq!(rest.get(&format!("/api/plugins/{id}")).await.status, 200);
    shim.interrupt();
    assert!(shim.ended().await.success());
}
