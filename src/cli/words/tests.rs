use super::*;

#[test]
fn the_json_of_a_plugin_is_stable() {
    let status = PluginStatus {
        state: ReportedState::Error.into(),
        since: Some(Timestamp { seconds: 0, nanos: 0 }),
        observed_generation: 3,
        message: "exit status 42".to_owned(),
        ..PluginStatus::default()
    };
    let mut message = Plugin {
        id: "x".to_owned(),
        mode: PluginMode::Supervised.into(),
        desired_state: ActiveState::Active.into(),
        status: Some(status),
        package_digest: "sha256:00".to_owned(),
        ..Plugin::default()
    };
    let expected = json!({
        "id": "x", "name": "", "description": "", "version": "", "mode": "supervised", "manifest": {},
        "desired_state": "active", "generation": 0, "created": null, "revision": 0, "configuration_revision": 0,
        "package_digest": "sha256:00",
        "status": {
            "state": "error", "since": "1970-01-01T00:00:00Z", "observed_generation": 3,
            "message": "exit status 42", "details": {}, "restart_count": 0, "pid": null, "run_id": null,
            "degraded": false, "events_dropped": 0, "protocol_faults": 0, "last_protocol_fault": "",
        },
    });
    assert_eq!(plugin(&message), expected);
    message.token = "sdprt_x".to_owned();
    assert_eq!(plugin(&message)["token"], "sdprt_x");
}
