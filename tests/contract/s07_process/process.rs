//! The process: what is run, with which arguments, where, and what it is told.

use std::fs;

use serde_json::json;

use super::{activate, install, script};
use crate::harness::{Plugd, Rest, status_of};

const SCRIPT: &str = "#!/bin/sh\necho from the package\nexec chaos tame\n";

#[tokio::test]
async fn a_name_with_a_slash_is_a_file_of_the_package_7() {
    let plugd = Plugd::start().await;
    for command in ["./run.sh", "bin/run.sh", "bin/../run.sh"] {
        let files = [("run.sh", SCRIPT, 0o755), ("bin/run.sh", SCRIPT, 0o755)];
        let id = install(&plugd, &json!({"command": command, "args": []}), &files).await;
        activate(&plugd, &id).await;
        plugd.api().logs(&id).await.until("from the package").await;
    }
}

async fn failure(rest: &Rest, id: &str) -> String {
    rest.set_active(id, "active").await.problem(502)["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_bare_name_is_looked_up_on_the_hosts_path_and_never_in_the_package_7() {
    let plugd = Plugd::start().await;
    let id = install(&plugd, &json!({"command": "run.sh", "args": []}), &[("run.sh", SCRIPT, 0o755)]).await;
    let detail = failure(&plugd.rest(), &id).await;
    assert!(detail.contains("\"run.sh\" not found on the host's PATH"), "{detail}");
    let id = install(&plugd, &json!({"command": "chaos"}), &[("chaos", "#!/bin/sh\nexit 9\n", 0o755)]).await;
    activate(&plugd, &id).await;
}

#[tokio::test]
async fn a_program_without_its_exec_bit_in_the_archive_is_not_run_7() {
    let plugd = Plugd::start().await;
    let id = install(&plugd, &json!({"command": "./run.sh", "args": []}), &[("run.sh", SCRIPT, 0o644)]).await;
    let detail = failure(&plugd.rest(), &id).await;
    assert!(detail.contains("\"./run.sh\" is not executable"), "{detail}");
}

#[tokio::test]
async fn arguments_are_passed_as_they_are_and_no_shell_reads_them_7() {
    const ARGS: [&str; 7] = ["a b", "$HOME", "*", "", "'\"`\\", "; exit 9", "--\u{e9}"];
    let plugd = Plugd::start().await;
    let print = "#!/bin/sh\nfor arg in \"$@\"; do echo \"<$arg>\"; done\nexec chaos tame\n";
    let id = install(&plugd, &json!({"command": "./print.sh", "args": ARGS}), &[("print.sh", print, 0o755)]).await;
    activate(&plugd, &id).await;
    let printed = plugd.api().logs(&id).await.until("pid ").await;
    let printed: Vec<_> = printed.iter().map(|line| line.text.as_str()).take(ARGS.len()).collect();
    assert_eq!(printed, ARGS.map(|arg| format!("<{arg}>")));
}

#[tokio::test]
async fn it_runs_in_its_install_directory_with_nothing_to_read_7() {
    let plugd = Plugd::start().await;
    let id = script(&plugd, "pwd -P; wc -c").await;
    activate(&plugd, &id).await;
    let mut log = plugd.api().logs(&id).await;
    let directory = log.line().await.unwrap().unwrap().text;
    let expected = plugd.data_dir().join("plugins").join(&id).canonicalize().unwrap();
    assert_eq!(directory, expected.to_str().unwrap());
    assert_eq!(log.line().await.unwrap().unwrap().text.trim(), "0");
    let pid = status_of(&plugd.api().get(&id).await.unwrap()).pid();
    assert_eq!(fs::read_link(format!("/proc/{pid}/fd/0")).unwrap().to_str(), Some("/dev/null"));
}

/// Names and values of the environment of a plugin that prints it.
async fn environment(plugd: &Plugd) -> (String, Vec<(String, String)>) {
    let id = plugd.api().run(&["print-env"]).await;
    let lines = plugd.api().logs(&id).await.until("env TZ").await;
    let pairs = lines.iter().filter_map(|line| line.text.strip_prefix("env ")?.split_once('='));
    (id, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// plugd's own decision. `SECRET_OF_THE_HOST` is in the environment of every plugd of these tests.
#[tokio::test]
async fn its_environment_is_an_allowlist_of_the_hosts_and_three_of_plugds_7() {
    let hosts = [("LANG", "C.UTF-8"), ("LC_ALL", "C"), ("TZ", "UTC"), ("LCX", "no"), ("AWS_SECRET", "no")];
    let plugd = Plugd::with(&hosts).await;
    let (id, variables) = environment(&plugd).await;
    let names: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        ["HOME", "LANG", "LC_ALL", "PATH", "PLUGD_PLUGIN_ID", "PLUGD_RPC_URL", "STORYDEN_RPC_URL", "TMPDIR", "TZ"];
    assert_eq!(names, expected);
    let value = |name: &str| &variables.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!((value("LANG").as_str(), value("TZ").as_str()), ("C.UTF-8", "UTC"));
    assert_eq!(value("PATH"), &crate::harness::search_path());
    assert_eq!(value("PLUGD_PLUGIN_ID"), &id);
    assert_eq!(value("PLUGD_RPC_URL"), value("STORYDEN_RPC_URL"));
}

#[tokio::test]
async fn the_operator_says_which_variables_of_the_host_it_gets_7() {
    let knobs = [("PLUGD_ENV_ALLOW", "TZ,SECRET_*,PATH"), ("TZ", "UTC")];
    let (_, variables) = environment(&Plugd::with(&knobs).await).await;
    let names: Vec<_> = variables.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PATH", "PLUGD_PLUGIN_ID", "PLUGD_RPC_URL", "SECRET_OF_THE_HOST", "STORYDEN_RPC_URL", "TZ"]);
}

/// The lines of a file that the plugin wrote: in its log the token is masked.
fn told(plugd: &Plugd, id: &str, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(plugd.data_dir().join("plugins").join(id).join(name)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Defect 15 of section 19: not an address that somebody once wrote down.
#[tokio::test]
async fn the_url_names_the_plugin_its_token_and_where_plugd_really_listens_7() {
    let plugd = Plugd::start().await;
    let id = script(&plugd, "echo $STORYDEN_RPC_URL > url").await;
    activate(&plugd, &id).await;
    let url = told(&plugd, &id, "url").remove(0);
    let start = format!("ws://{}/rpc?plugin_id={id}&token=", plugd.address());
    let token = url.strip_prefix(&start).unwrap_or_else(|| panic!("{url}"));
    assert!(!token.starts_with("sdprt_"), "10.2: {token}");
    assert!(token.len() >= 32 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{token}");
}

#[tokio::test]
async fn every_start_has_a_token_of_its_own_also_one_after_a_crash_7() {
    let plugd = Plugd::start().await;
    let id = script(&plugd, "echo $STORYDEN_RPC_URL >> urls; [ -e crashed ] || { touch crashed; exit 1; }").await;
    activate(&plugd, &id).await;
    plugd.api().restart(&id).await.unwrap();
    let mut urls = told(&plugd, &id, "urls");
    urls.sort();
    urls.dedup();
    assert_eq!(urls.len(), 3, "{urls:?}");
}
