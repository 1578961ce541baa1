//! How a plugin looks (CONTRACT 2).

use axum::body::Bytes;
use prost::Message;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::ID;
use crate::{
    api::{
        json::to_struct,
        v1::{Failure, Placement, Plugin, PluginMode, PluginStatus, ReportedState, failure::Stage},
    },
    rest::views,
};

const TIME: &str = "2026-08-22T19:48:34.123456789Z";

fn mk_time() -> Option<Timestamp> {
    Some(Timestamp { seconds: 1_787_428_114, nanos: 123_456_789 })
}

fn mk_manifest(json: &Value) -> Bytes {
    to_struct(json.as_object().unwrap()).unwrap().encode_to_vec().into()
}

fn view(plugin: Plugin) -> Value {
    serde_json::to_value(views::Plugin::from(plugin)).unwrap()
}

fn status(state: ReportedState, failure: Option<&Failure>, left: Option<ReportedState>) -> Value {
    let status = PluginStatus {
        state: state.into(),
        state_time: mk_time(),
        failure: failure.cloned(),
        stopping_from: left.map(Into::into),
        ..PluginStatus::default()
    };
    view(Plugin { status: Some(status), ..Plugin::default() })["status"].clone()
}

#[test]
fn each_state_has_its_own_keys_and_no_others() {
    let exit = Failure {
        stage: Stage::Exit.into(),
        message: "exit status 42".to_owned(),
        exit_code: Some(42),
        ..Failure::default()
    };
    let kill = Failure { signal: Some(9), exit_code: None, message: "signal: killed".to_owned(), ..exit.clone() };
    let told = json!({"runtime_provider": "local", "stage": "exit", "error": "exit status 42", "exit_code": 42});
    let killed =
        json!({"runtime_provider": "local", "stage": "exit", "error": "signal: killed", "exit_code": -1, "signal": 9});
    let placement = Placement { provider: "kubernetes".to_owned(), ..Placement::default() };
    let pod = Failure { placement: Some(placement), ..exit.clone() };
    let in_a_pod =
        json!({"runtime_provider": "kubernetes", "stage": "exit", "error": "exit status 42", "exit_code": 42});
    let unknown = json!({"runtime_provider": "local", "stage": "unknown", "error": ""});
    #[rustfmt::skip]
    let table = [
        (ReportedState::Inactive, None, json!({"active_state": "inactive", "deactivated_at": TIME})),
        (ReportedState::Starting, None, json!({"active_state": "starting", "starting_at": TIME})),
        (ReportedState::Connecting, None, json!({"active_state": "connecting", "connecting_at": TIME})),
        (ReportedState::Active, None, json!({"active_state": "active", "activated_at": TIME})),
        (ReportedState::Error, Some(&exit), json!({"active_state": "error", "message": "exit status 42", "details": told})),
        (ReportedState::Error, Some(&pod), json!({"active_state": "error", "message": "exit status 42", "details": in_a_pod})),
        (ReportedState::Restarting, Some(&kill), json!({"active_state": "restarting", "message": "signal: killed", "details": killed})),
        (ReportedState::Error, None, json!({"active_state": "error", "message": "", "details": unknown})),
    ];
    for (state, failure, expected) in table {
        assert_eq!(status(state, failure, None), expected);
    }
}

#[test]
fn a_stopping_plugin_shows_the_state_that_it_leaves() {
    for (left, from, key) in [
        (Some(ReportedState::Active), "active", "activated_at"),
        (Some(ReportedState::Connecting), "connecting", "connecting_at"),
        (Some(ReportedState::Starting), "starting", "starting_at"),
        (Some(ReportedState::Restarting), "active", "activated_at"),
        (None, "active", "activated_at"),
    ] {
        let expected = json!({"active_state": from, key: TIME, "transition": "stopping"});
        assert_eq!(status(ReportedState::Stopping, None, left), expected);
    }
}

#[test]
fn a_plugin_has_the_contracts_keys_and_plugds_own_apart() {
    let plugin = Plugin {
        id: ID.to_owned(),
        name: "Greeter".to_owned(),
        mode: PluginMode::Supervised.into(),
        manifest: mk_manifest(&json!({"id": "greeter", "args": ["a", 1]})),
        create_time: mk_time(),
        generation: 3,
        ..Plugin::default()
    };
    let view = view(plugin);
    let keys: Vec<_> = view.as_object().unwrap().keys().cloned().collect();
    let mut expected =
        ["id", "added_at", "name", "description", "version", "status", "connection", "manifest", "plugd"];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(view["added_at"], TIME);
    assert_eq!((&view["description"], &view["version"]), (&json!(""), &json!("")));
    assert_eq!(view["manifest"], json!({"id": "greeter", "args": ["a", 1]}));
    assert_eq!(view["plugd"]["generation"], 3);
    assert_eq!(view["plugd"].get("pid"), None);
}

#[test]
fn only_an_external_plugin_shows_a_token_and_only_if_there_is_one_to_see() {
    let connection = |mode: PluginMode, token: Option<&str>| {
        let plugin = Plugin { mode: mode.into(), token: token.map(str::to_owned), ..Plugin::default() };
        view(plugin)["connection"].clone()
    };
    assert_eq!(connection(PluginMode::Supervised, Some("t")), json!({"mode": "supervised"}));
    assert_eq!(connection(PluginMode::External, Some("t")), json!({"mode": "external", "token": "t"}));
    assert_eq!(connection(PluginMode::External, None), json!({"mode": "external"}));
}
