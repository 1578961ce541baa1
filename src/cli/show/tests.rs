use super::*;
use crate::api::v1::{ActiveState, PluginMode};

#[test]
fn the_json_of_a_plugin_is_stable() {
    let status = PluginStatus {
        state: ReportedState::Error.into(),
        state_time: Some(Timestamp { seconds: 0, nanos: 0 }),
        observed_generation: 3,
        failure: Some(v1::Failure { message: "exit status 42".to_owned(), ..v1::Failure::default() }),
        ..PluginStatus::default()
    };
    let mut message = Plugin {
        id: "x".to_owned(),
        mode: PluginMode::Supervised.into(),
        active_state: ActiveState::Active.into(),
        status: Some(status),
        package_digest: Some("sha256:00".to_owned()),
        ..Plugin::default()
    };
    let expected = json!({
        "id": "x", "name": "", "description": "", "version": "", "mode": "supervised", "manifest": {},
        "active_state": "active", "generation": 0, "created": null, "revision": 0, "configuration_revision": null,
        "package_digest": "sha256:00", "previous_package_digest": null, "token": null,
        "status": {
            "state": "error", "state_time": "1970-01-01T00:00:00Z", "observed_generation": 3,
            "failure": {
                "stage": "unspecified", "message": "exit status 42", "exit_code": null, "signal": null,
                "out_of_memory": false, "survivors": [], "going_back_to": null, "placement": null,
            },
            "restart_count": 0, "pid": null, "run_id": null,
            "confinement": null, "degraded": false, "events_dropped": 0, "protocol_faults": 0, "last_protocol_fault": null,
            "usage": null, "placement": null,
        },
    });
    assert_eq!(plugin_json(&message), expected);
    message.token = Some("sdprt_x".to_owned());
    assert_eq!(plugin_json(&message)["token"], "sdprt_x");
}

#[test]
fn what_a_plugin_uses_is_told_in_words_and_as_json() {
    let mut usage = Usage {
        memory_bytes: 12_897_485,
        cpu_time: Some(prost_types::Duration { seconds: 3, nanos: 500_000_000 }),
        processes: 2,
        memory_history: vec![1, 12_897_485],
        ..Usage::default()
    };
    let told = |usage: &Usage| usage_fields(&PluginStatus { usage: Some(usage.clone()), ..PluginStatus::default() });
    let words = told(&usage).map(|(_, words)| words);
    assert_eq!(words, ["", "12.30 MiB", "2", ""], "neither a share nor files are known yet");
    (usage.cpu_millis, usage.open_files) = (Some(1234), Some(7));
    let words = told(&usage).map(|(_, words)| words);
    assert_eq!(words, ["123.4%", "12.30 MiB", "2", "7"]);
    assert_eq!(usage_fields(&PluginStatus::default()).map(|(_, words)| words.len()), [0; 4]);
    let expected = json!({
        "sample_time": null, "memory_bytes": 12_897_485, "cpu_seconds": 3.5, "cpu_millis": 1234, "processes": 2,
        "open_files": 7, "memory_history": [1, 12_897_485],
    });
    assert_eq!(usage_json(&usage), expected);
}

#[test]
fn a_plugin_in_a_pod_is_shown_with_that_and_the_host_of_it() {
    let placement = v1::Placement {
        provider: "kubernetes".to_owned(),
        name: "plugd/a-pod".to_owned(),
        host: Some("a-host".to_owned()),
    };
    let status = PluginStatus { placement: Some(placement.clone()), ..PluginStatus::default() };
    let plugin = Plugin { status: Some(status), ..Plugin::default() };
    assert!(fields(&plugin).contains(&("placement", "plugd/a-pod on a-host".to_owned())));
    let expected = json!({"provider": "kubernetes", "name": "plugd/a-pod", "host": "a-host"});
    assert_eq!(plugin_json(&plugin)["status"]["placement"], expected);
    let failed = v1::Failure { placement: Some(placement), ..v1::Failure::default() };
    assert_eq!(failure(&failed)["placement"], expected);
}
