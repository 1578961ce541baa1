//! CONTRACT 15, the settings: every environment name of its table sets what it says, with its default and Go's durations.
//!
//! What is not of this host is not there: `sprites` is an unknown provider, and `SPRITES_API_KEY`, `RATE_LIMIT` and
//! `RATE_LIMIT_PERIOD` are ignored (1.5 makes rate limits optional). `LISTEN_ADDR` has plugd's own default. Held
//! elsewhere: what the crash settings do (`s08_supervised`), what `PUBLIC_API_ADDRESS` does (`s13_identity`), what is
//! answered where the provider is `none` (`s01_transport`), flags and the settings file (`config::tests`).

use std::path::Path;

use plugd::api::v1::{ActiveState, ReportedState::Active};

use super::support::settle;
use crate::harness::{Knobs, Output, Plugd, Run, Running, program};

/// Environment name, key in the settings file, default, another value, and how that is printed.
const TABLE: [(&str, &str, &str, &str, &str); 8] = [
    ("PLUGIN_DATA_PATH", "plugin_dir", "\"./data/plugins\"", "/srv/plugins", "\"/srv/plugins\""),
    ("PLUGIN_RUNTIME_PROVIDER", "runtime_provider", "\"local\"", "none", "\"none\""),
    ("PLUGIN_MAX_RESTART_ATTEMPTS", "max_restart_attempts", "3", "7", "7"),
    ("PLUGIN_MAX_BACKOFF_DURATION", "max_backoff", "\"60s\"", "1m30s", "\"90s\""),
    ("PLUGIN_RUNTIME_CRASH_THRESHOLD", "stable_after", "\"30s\"", "100ms", "\"100ms\""),
    ("PLUGIN_RUNTIME_CRASH_BACKOFF", "stable_crash_backoff", "\"5s\"", "1h", "\"3600s\""),
    (
        "PUBLIC_API_ADDRESS",
        "public_api_address",
        "\"http://localhost:8000\"",
        "https://forum.example",
        "\"https://forum.example\"",
    ),
    ("LISTEN_ADDR", "listen", "\"127.0.0.1:8000\"", "127.0.0.1:9", "\"127.0.0.1:9\""),
];

async fn print_config(variables: Knobs<'_>) -> Output {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["serve", "--print-config"]).envs(variables.iter().copied());
    command.run().await
}

/// A setting as it is in effect with these variables.
async fn setting(key: &str, variables: Knobs<'_>) -> String {
    let printed = print_config(variables).await;
    let start = format!("{key} = ");
    let line = printed.text().lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {key}: {printed:?}")).to_owned()
}

#[tokio::test]
async fn each_name_of_the_table_sets_what_it_says_and_has_its_default_15() {
    for (name, key, default, value, printed) in TABLE {
        assert_eq!(setting(key, &[]).await, default, "{name}");
        assert_eq!(setting(key, &[(name, value)]).await, printed, "{name}");
        assert_eq!(setting(key, &[(name, "")]).await, default, "{name}: an empty variable is not set");
    }
}

/// plugd's own decision: the name with `PLUGD_` comes first.
#[tokio::test]
async fn a_name_of_plugds_own_beats_the_one_of_the_table_15() {
    let both = [("PLUGIN_MAX_RESTART_ATTEMPTS", "7"), ("PLUGD_MAX_RESTART_ATTEMPTS", "9")];
    assert_eq!(setting("max_restart_attempts", &both).await, "9");
}

#[tokio::test]
async fn durations_are_written_as_in_go_15() {
    for (text, printed) in [
        ("100ms", "\"100ms\""),
        ("5s", "\"5s\""),
        ("1m", "\"60s\""),
        ("1m30s", "\"90s\""),
        ("1h2m3s", "\"3723s\""),
        ("1.5s", "\"1500ms\""),
        (".5s", "\"500ms\""),
        ("+2s", "\"2s\""),
        ("250us", "\"250000ns\""),
        ("250\u{b5}s", "\"250000ns\""),
        ("7ns", "\"7ns\""),
        ("0", "\"0s\""),
    ] {
        assert_eq!(setting("max_backoff", &[("PLUGIN_MAX_BACKOFF_DURATION", text)]).await, printed, "{text}");
    }
    for text in ["5", "s", "-5s", "5 parsecs", "1h-2m", "99999999999h"] {
        let refused = print_config(&[("PLUGIN_MAX_BACKOFF_DURATION", text)]).await;
        assert_eq!(refused.code(), Some(2), "{text}: {refused:?}");
        assert!(refused.stderr.contains("PLUGIN_MAX_BACKOFF_DURATION"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn the_provider_is_known_in_any_case_and_an_unknown_one_is_a_start_up_error_15() {
    for (text, printed) in [("LOCAL", "\"local\""), ("None", "\"none\"")] {
        assert_eq!(setting("runtime_provider", &[("PLUGIN_RUNTIME_PROVIDER", text)]).await, printed);
    }
    for text in ["docker", "sprites"] {
        let mut command = program(env!("CARGO_BIN_EXE_plugd"));
        let refused = command.arg("serve").env("PLUGIN_RUNTIME_PROVIDER", text).run().await;
        assert_eq!(refused.code(), Some(2), "{refused:?}");
        assert!(
            refused.stderr.contains("PLUGIN_RUNTIME_PROVIDER") && refused.stderr.contains(text),
            "{}",
            refused.stderr
        );
    }
}

#[tokio::test]
async fn what_this_host_has_no_use_for_is_ignored_15() {
    let unused = [("SPRITES_API_KEY", "key"), ("RATE_LIMIT", "1"), ("RATE_LIMIT_PERIOD", "1h")];
    let plugd = Plugd::with(&unused).await;
    for _ in 0..3 {
        assert_eq!(plugd.rest().get("/api/plugins").await.status, 200);
    }
}

/// The sizes that the reference has in its code: 10 MB, 3 rotated files.
#[tokio::test]
async fn logs_are_rotated_at_10_mb_and_3_are_kept_15() {
    assert_eq!(setting("log_max_bytes", &[]).await, "10000000");
    assert_eq!(setting("log_keep", &[]).await, "3");
}

/// plugd started with nothing but variables; what it says of where it listens.
async fn announced(folder: &Path, variables: Knobs<'_>) -> String {
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.arg("serve").env("PLUGD_DATA_DIR", folder).envs(variables.iter().copied());
    let mut running = Running::start_reading_stderr(&mut command);
    let said = running.find("plugd serves on ").await;
    running.interrupt();
    assert!(running.ended().await.success());
    said.rsplit(' ').next().unwrap().to_owned()
}

#[tokio::test]
async fn it_listens_where_listen_addr_says_15() {
    let folder = tempfile::tempdir().unwrap();
    let url = announced(folder.path(), &[("LISTEN_ADDR", "127.0.0.2:0")]).await;
    assert!(url.starts_with("http://127.0.0.2:"), "{url}");
}

#[tokio::test]
async fn plugins_live_where_plugin_data_path_says_15() {
    let folder = tempfile::tempdir().unwrap();
    let plugd = Plugd::with(&[("PLUGIN_DATA_PATH", folder.path().to_str().unwrap())]).await;
    let id = plugd.api().run(&["tame"]).await;
    assert!(folder.path().join(&id).join("manifest.json").is_file());
    assert!(folder.path().join(&id).join("logs/output.log").is_file());
    plugd.api().deactivate(&id).await.unwrap();
}

#[tokio::test]
async fn with_the_provider_none_nothing_runs_and_nothing_that_is_desired_is_forgotten_15() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    assert!(plugd.sigterm().await.0.success());

    plugd.set("PLUGIN_RUNTIME_PROVIDER", "none");
    plugd.restart().await;
    plugd.rest().get("/api/plugins").await.problem(403);
    assert_eq!(Plugd::processes_of(&id), []);
    assert!(plugd.sigterm().await.0.success());

    plugd.set("PLUGIN_RUNTIME_PROVIDER", "local");
    plugd.restart().await;
    settle(&plugd, &id, Active).await;
    assert_eq!(plugd.api().get(&id).await.unwrap().active_state(), ActiveState::Active);
}
