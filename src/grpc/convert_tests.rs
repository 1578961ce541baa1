use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::domain::{Commit, Desired, Digest, Plugin, Reported, access::AccessToken};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn mk_plugin() -> Plugin {
    let created = at("2026-01-02T03:04:05.000000006Z");
    let manifest = json!({"id": "greeter", "author": "me", "name": "Greeter", "description": "", "version": "1.0"});
    let desired = Desired {
        mode: Mode::External,
        manifest: Arc::new(serde_json::from_value(manifest).unwrap()),
        package: Some(Digest([1; 32])),
        previous_package: None,
        is_restored: false,
        configuration: Arc::default(),
        configuration_revision: 3,
        active: ActiveState::Active,
        active_generation: 4,
        generation: 5,
        token: Some("sdprt_secret".to_owned()),
        token_epoch: 1,
    };
    let reported = Reported { message: "exit status 42".to_owned(), ..Reported::inactive(created, 4) };
    Plugin { id: PluginId::from(xid::new()), created, desired, reported, revision: 9 }
}

#[test]
fn a_plugin_shows_what_is_desired_and_what_is_reported() {
    let source = mk_plugin();
    let shown = plugin(&source, false);
    assert_eq!(shown.id, source.id.to_string());
    assert_eq!((shown.mode(), shown.desired_state()), (v1::PluginMode::External, v1::ActiveState::Active));
    assert_eq!((shown.generation, shown.revision, shown.configuration_revision), (5, 9, 3));
    assert_eq!((shown.package_digest, shown.previous_package_digest), (Digest([1; 32]).to_string(), String::new()));
    assert_eq!(shown.manifest.unwrap().fields["id"], ValueKind::StringValue("greeter".to_owned()).into());
    let status = shown.status.unwrap();
    assert_eq!((status.state(), status.observed_generation), (v1::ReportedState::Inactive, 4));
    assert_eq!((status.message.as_str(), status.pid, status.run_id.as_str()), ("exit status 42", 0, ""));
}

#[test]
fn the_token_of_a_plugin_is_only_shown_when_it_is_to_be_revealed() {
    assert_eq!(plugin(&mk_plugin(), false).token, "");
    assert_eq!(plugin(&mk_plugin(), true).token, "sdprt_secret");
}

#[test]
fn an_event_is_of_the_kind_that_the_filter_makes_of_it() {
    let plugin = Arc::new(mk_plugin());
    let commit =
        Commit { revision: 9, time: plugin.created, before: None, is_removal: false, plugin: Arc::clone(&plugin) };
    let event = event(&commit, EventKind::Removed, false);
    assert_eq!((event.kind(), event.revision, event.plugin_id), (EventKind::Removed, 9, plugin.id.to_string()));
    assert_eq!(event.plugin.unwrap().token, "");
}

#[test]
fn a_time_before_1970_counts_its_nanoseconds_forward() {
    let shown = |text| timestamp(at(text));
    assert_eq!(shown("1970-01-01T00:00:01.5Z"), prost_types::Timestamp { seconds: 1, nanos: 500_000_000 });
    assert_eq!(shown("1969-12-31T23:59:58.5Z"), prost_types::Timestamp { seconds: -2, nanos: 500_000_000 });
    assert_eq!(shown("1969-12-31T23:59:58Z"), prost_types::Timestamp { seconds: -2, nanos: 0 });
}

#[test]
fn a_stored_number_that_a_struct_cannot_carry_is_shown_with_all_its_digits() {
    let Json::Object(object) = json!({"a": [{"big": 9_007_199_254_740_995_i64}], "b": 1.5, "c": null}) else {
        unreachable!()
    };
    let shown = json::from_struct(&stored_struct(&object));
    assert_eq!(Json::Object(shown), json!({"a": [{"big": "9007199254740995"}], "b": 1.5, "c": null}));
}

#[test]
fn every_state_mode_and_role_survives_the_way_there_and_back() {
    use State::{Active, Connecting, Error, Inactive, Restarting, Starting, Stopping};
    let all = vec![Inactive, Starting, Connecting, Active, Restarting, Stopping, Error];
    let numbers: Vec<i32> = all.iter().map(|one| state(*one).into()).collect();
    assert_eq!(states("states", &numbers).unwrap(), all);
    for one in [ActiveState::Active, ActiveState::Inactive] {
        assert_eq!(desired_state("f", active_state(one).into()).unwrap(), one);
    }
    for one in [Mode::Supervised, Mode::External] {
        assert_eq!(mode_filter("f", mode(one).into()).unwrap(), Some(one));
    }
    for one in [Role::Admin, Role::Viewer, Role::Host] {
        assert_eq!(asked_role("f", role(one).into()).unwrap(), one);
    }
}

#[test]
fn what_is_not_given_or_not_known_is_a_fault_of_its_field() {
    let field = |error: domain::Error| error.violations[0].field.clone();
    assert_eq!(mode_filter("mode", 0).unwrap(), None);
    assert_eq!(field(mode_filter("mode", 9).unwrap_err()), "mode");
    assert_eq!(field(states("states", &[1, 0]).unwrap_err()), "states[1]");
    for number in [0, 9] {
        assert_eq!(field(desired_state("active_state", number).unwrap_err()), "active_state");
        assert_eq!(field(asked_role("role", number).unwrap_err()), "role");
    }
    let negative = prost_types::Duration { seconds: -1, nanos: 0 };
    assert_eq!(field(duration("ttl", negative).unwrap_err()), "ttl");
}

#[test]
fn what_is_not_an_id_is_a_plugin_that_does_not_exist() {
    let reason = plugin_id("nope").unwrap_err().reason;
    assert_eq!(reason, domain::Reason::PluginNotFound);
}

#[test]
fn a_token_is_shown_without_its_hash() {
    let expires = Some(at("2027-01-01T00:00:00Z"));
    let id = domain::TokenId::from(xid::new());
    let source = AccessToken {
        id,
        name: "ci".into(),
        role: Role::Host,
        hash: [7; 32],
        created: at("2026-01-01T00:00:00Z"),
        expires,
    };
    let shown = token(&source);
    assert_eq!((shown.name.as_str(), shown.role()), ("ci", v1::Role::Host));
    assert_eq!(shown.expire_time, expires.map(timestamp));
}
