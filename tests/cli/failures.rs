//! Exit codes, and what people and programs are told when something fails.

use serde_json::json;

use super::{error_of, run};
use crate::harness::{Plugd, Run, cli};

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
    std::fs::write(&garbage, "garbage").unwrap();
    let refused = run(&plugd, &["install", garbage.to_str().unwrap()]).await;
    assert_eq!(refused.code(), Some(9));
    assert!(refused.stderr.contains("The provided plugin file is invalid"), "{}", refused.stderr);
    let denied = cli(&plugd, &["list"]).env("PLUGD_TOKEN", "nonsense").run().await;
    assert_eq!(denied.code(), Some(4));
    let away = cli(&plugd, &["list"]).env("PLUGD_SERVER", "http://127.0.0.1:1").run().await;
    assert_eq!(away.code(), Some(8));
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
    let empty = Plugd::start().await;
    let listed = run(&empty, &["list", "-o", "json"]).await;
    assert_eq!((listed.json(), listed.stderr.as_str()), (json!([]), ""));
}
