//! Clients that were not written here: grpcurl, grpcio.

use std::fs;

use serde_json::json;

use crate::harness::{Plugd, Run, Running, chaos, grpcurl, python};

const SERVICE: &str = "plugd.v1.PluginService";

#[tokio::test]
async fn grpcurl_finds_everything_by_reflection() {
    let plugd = Plugd::start().await;

    let listed = grpcurl(&plugd, None, &["list"]).run().await;
    let services: Vec<_> = listed.text().lines().collect();
    for service in [
        SERVICE,
        "plugd.v1.PackageService",
        "plugd.v1.ConfigurationService",
        "plugd.v1.LogService",
        "plugd.v1.BusService",
        "plugd.v1.AccessService",
        "grpc.health.v1.Health",
    ] {
        assert!(services.contains(&service), "{services:?}");
    }

    let described = grpcurl(&plugd, None, &["describe", SERVICE]).run().await;
    for method in ["SetActiveState", "WatchState", "InstallPlugin"] {
        assert!(described.text().contains(&format!("rpc {method} (")), "{}", described.text());
    }
    let described = grpcurl(&plugd, None, &["describe", "plugd.v1.Plugin"]).run().await;
    assert!(described.text().contains("previous_package_digest"));
}

#[tokio::test]
async fn grpcurl_starts_and_stops_a_plugin_and_watches_it() {
    let plugd = Plugd::start().await;
    let id = plugd.api().install(&["tame"]).await;
    let method = format!("{SERVICE}/WatchState");
    let mut watch = Running::start(&mut grpcurl(&plugd, Some(&json!({})), &[&method]));
    watch.find("snapshotEnd").await;

    let method = format!("{SERVICE}/SetActiveState");
    for (desired, reported) in [("ACTIVE_STATE_ACTIVE", "ACTIVE"), ("ACTIVE_STATE_INACTIVE", "INACTIVE")] {
        let request = json!({"plugin_id": id, "active_state": desired});
        let answer = grpcurl(&plugd, Some(&request), &[&method]).run().await.json();
        assert_eq!(answer["plugin"]["status"]["state"], format!("REPORTED_STATE_{reported}"));
        assert_eq!(answer["plugin"]["activeState"], desired);
        watch.find(&format!(r#""state": "REPORTED_STATE_{reported}""#)).await;
    }
    watch.interrupt();
    watch.ended().await;
}

#[tokio::test]
async fn grpcurl_checks_health_without_a_credential() {
    let plugd = Plugd::start().await;
    for service in ["", SERVICE] {
        let mut check = grpcurl(&plugd, Some(&json!({"service": service})), &["grpc.health.v1.Health/Check"]);
        assert_eq!(check.run().await.json(), json!({"status": "SERVING"}));
    }
}

#[tokio::test]
async fn grpcurl_is_told_what_is_wrong() {
    let plugd = Plugd::start().await;
    let request = json!({"plugin_id": "nobody"});
    let refused = grpcurl(&plugd, Some(&request), &[&format!("{SERVICE}/GetPlugin")]).run().await;
    assert!(!refused.status.success());
    for words in ["Code: NotFound", "PLUGIN_NOT_FOUND", "there is no plugin"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn grpcio_installs_watches_activates_and_deletes() {
    let plugd = Plugd::start().await;
    let package = plugd.scratch().join("chaos.zip");
    fs::write(&package, chaos(&["tame"])).unwrap();
    let address = plugd.address().to_string();
    let mut script = python("tests/python/life.py", &[&address, plugd.token(), package.to_str().unwrap()]);

    let output = script.run().await;

    let said: Vec<serde_json::Value> = output.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = |name: &str| format!("REPORTED_STATE_{name}");
    let states = ["INACTIVE", "STARTING", "CONNECTING", "ACTIVE", "STOPPING", "INACTIVE"].map(state);
    let expected = [
        json!({"health": "SERVING"}),
        json!({"state": state("ACTIVE")}),
        json!({"state": state("INACTIVE")}),
        json!({"listed": ["Chaos"]}),
        json!({"states": states}),
        json!({"code": "NOT_FOUND"}),
    ];
    assert_eq!(said, expected);
}

/// What the application serves is held in `contract::s11_messages::python`.
#[tokio::test]
async fn a_python_application_calls_a_python_plugin_and_publishes_to_it() {
    let plugd = Plugd::start().await;
    let folder = crate::harness::repository("examples/python-echo");
    let folder = folder.to_str().unwrap();
    let installed = crate::harness::cli(&plugd, &["install", folder, "--activate", "-o", "json"]).run().await;
    let id = installed.json()["id"].as_str().unwrap().to_owned();
    let address = plugd.address().to_string();
    let host = |args: &[&str]| {
        let args = [&["--address", &address, "--token", plugd.token()], args].concat();
        python("examples/python-host/host.py", &args)
    };

    let called = host(&["call", &id, r#"{"text": "hi"}"#]).run().await;
    assert!(called.text().contains(r#""text": "hi""#), "{called:?}");
    let payload = r#"{"id": "9m4e2mr0ui3e8a215n4g"}"#;
    let published = host(&["publish", "EventThreadPublished", payload]).run().await;
    assert_eq!(published.text().trim(), "matched 1, accepted 1");
}
