//! Exit codes, and what people and programs are told when something fails.

use std::fs;

use serde_json::json;

use super::{alone, chaos_folder, error_of, run};
use crate::harness::{Plugd, Run, chaos_manifest, cli, program, within};

#[tokio::test]
async fn exit_codes_say_what_kind_of_failure_it_was() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "10ms"), ("PLUGIN_MAX_RESTART_ATTEMPTS", "1")]).await;
    let failing = plugd.api().install(&["exit", "42"]).await;
    let hanging = plugd.api().install(&["hang"]).await;

    let failed = run(&plugd, &["activate", &failing]).await;
    assert_eq!(failed.code(), Some(5));
    assert!(failed.stderr.contains("exit status 42") && failed.stderr.contains("hint:"), "{}", failed.stderr);
    let shown = run(&plugd, &["get", &failing]).await;
    assert!(shown.text().contains(&format!("`plugd logs {failing}`")), "{}", shown.text());
    assert_eq!(run(&plugd, &["activate", &hanging, "--timeout", "50ms"]).await.code(), Some(7));
    assert_eq!(run(&plugd, &["activate", "nobody"]).await.code(), Some(3));
    assert_eq!(run(&plugd, &["no-such-command"]).await.code(), Some(2));
    assert_eq!(run(&plugd, &["install", "/no/such/file"]).await.code(), Some(3));
    let garbage = plugd.scratch().join("garbage.zip");
    fs::write(&garbage, "garbage").unwrap();
    let refused = run(&plugd, &["install", garbage.to_str().unwrap()]).await;
    assert_eq!(refused.code(), Some(9));
    assert!(refused.stderr.contains("The provided plugin file is invalid"), "{}", refused.stderr);
    let denied = cli(&plugd, &["list"]).env("PLUGD_TOKEN", "nonsense").run().await;
    assert_eq!(denied.code(), Some(4));
    let away = cli(&plugd, &["list"]).env("PLUGD_SERVER", "http://127.0.0.1:1").run().await;
    assert_eq!(away.code(), Some(8));
}

#[tokio::test]
async fn a_session_on_a_server_that_is_named_needs_to_be_an_external_one() {
    let home = tempfile::tempdir().unwrap();
    let named = alone(home.path(), &["--server", "http://127.0.0.1:1", "dev", "no-such-folder"]).await;
    assert_eq!(named.code(), Some(2), "{named:?}");
    assert!(named.stderr.contains("--server needs --external"), "{named:?}");
    let mut command = program(env!("CARGO_BIN_EXE_plugd"));
    command.args(["dev", "no-such-folder"]).env("PLUGD_SERVER", "http://127.0.0.1:1").current_dir(home.path());
    assert_eq!(command.run().await.code(), Some(3), "a variable is for other commands");
}

/// The settings are named as the command line has them.
#[tokio::test]
async fn a_certificate_without_a_key_is_told_by_its_option() {
    let home = tempfile::tempdir().unwrap();
    let refused = alone(home.path(), &["serve", "--listen", "127.0.0.1:0", "--tls-cert", "x.pem"]).await;
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(refused.stderr.contains("--tls-cert needs --tls-key"), "{refused:?}");
}

/// The package was put in while the plugin was inactive, and fails only now.
#[tokio::test]
async fn an_activation_that_fails_says_that_the_package_before_comes_back() {
    let plugd = Plugd::with(&[("PLUGD_BACKOFF", "10ms"), ("PLUGIN_MAX_RESTART_ATTEMPTS", "1")]).await;
    let id = plugd.api().run(&["tame"]).await;
    plugd.api().deactivate(&id).await.unwrap();
    let bad = chaos_folder(plugd.scratch(), "2.0.0-bad");
    let mut manifest = chaos_manifest(&["exit", "42"]);
    manifest["version"] = "2.0.0-bad".into();
    std::fs::write(bad.join("manifest.json"), manifest.to_string()).unwrap();
    run(&plugd, &["update", &id, bad.to_str().unwrap()]).await.text();

    let failed = run(&plugd, &["activate", &id]).await;

    assert_eq!(failed.code(), Some(5), "{}", failed.stderr);
    let said = "the plugin failed: exit status 42; the package before this one is put back\n";
    assert!(failed.stderr.contains(said), "{}", failed.stderr);
}

#[tokio::test]
async fn programs_get_errors_and_remarks_as_json() {
    let plugd = Plugd::start().await;
    let failing = plugd.api().install(&["exit", "42"]).await;
    let refused = run(&plugd, &["get", "nobody", "-o", "json"]).await;
    assert_eq!(refused.stdout, b"");
    let error = error_of(&refused);
    assert_eq!((&error["exit_code"], &error["message"]), (&json!(3), &json!("there is no plugin \"nobody\"")));
    assert!(error["hint"].as_str().unwrap().contains("plugd list"), "{error}");
    let error = error_of(&run(&plugd, &["activate", &failing, "-o", "json"]).await);
    assert_eq!((&error["exit_code"], &error["reason"]), (&json!(5), &json!("PLUGIN_FAILED")));
    // One for all of several plugins.
    let refused = run(&plugd, &["activate", &failing, "nobody", "-o", "json"]).await;
    assert_eq!((refused.stdout.as_slice(), refused.stderr.lines().count()), (&b"[]\n"[..], 1), "{refused:?}");
    let error = error_of(&refused);
    let each = ["nobody", &failing].map(|plugin| error["plugins"][plugin]["exit_code"].clone());
    assert_eq!((&error["exit_code"], each), (&json!(5), [json!(3), json!(5)]), "{error}");
    let empty = Plugd::start().await;
    let listed = run(&empty, &["list", "-o", "json"]).await;
    assert_eq!((listed.json(), listed.stderr.as_str()), (json!([]), ""));
}

#[tokio::test]
async fn whether_a_server_can_do_its_work_is_told_without_a_token() {
    let plugd = Plugd::start().await;
    let health = |args: &[&str]| {
        let mut command = program(env!("CARGO_BIN_EXE_plugd"));
        command.args(["--server", &plugd.url(), "health"]).args(args).current_dir(plugd.scratch());
        command
    };
    assert_eq!(health(&[]).run().await.text(), "serving\n");
    assert_eq!(health(&["plugd.v1.PluginService", "-o", "json"]).run().await.json(), json!({"serving": true}));
    assert_eq!(health(&["plugd.v1.Nothing"]).run().await.code(), Some(3));
    fs::remove_file(plugd.data_dir().join("plugd.db")).unwrap();
    let asked = async {
        loop {
            let output = health(&[]).run().await;
            if output.code() == Some(8) {
                return output;
            }
        }
    };
    let output = within("what was lost is noticed", asked).await;
    assert!(output.stderr.contains("can't do its work"), "{output:?}");
}
