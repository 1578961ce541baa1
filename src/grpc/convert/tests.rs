use std::sync::Arc;

use proptest::prelude::*;
use prost::Message;
use serde_json::json;

use super::*;
use crate::domain::{Desired, Digest, Plugin, Reported, access::AccessToken, events::EventCatalog};

mod counted;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn mk_plugin() -> Plugin {
    let created = at("2026-01-02T03:04:05.000000006Z");
    let manifest = json!({"id": "greeter", "author": "me", "name": "Greeter", "description": "", "version": "1.0"});
    let manifest = Arc::new(serde_json::from_value(manifest).unwrap());
    let desired = Desired {
        package: Some(Digest([1; 32])),
        configuration_revision: 3,
        active_generation: 4,
        generation: 5,
        token: Some("sdprt_secret".to_owned().into()),
        token_epoch: 1,
        ..Desired::new(Mode::External, manifest, ActiveState::Active)
    };
    let failure = domain::Failure::new(domain::Stage::Exit, "exit status 42");
    let reported = Reported { failure: Some(failure.into()), ..Reported::inactive(created, 4) };
    Plugin { id: PluginId::from(xid::new()), created, installed: 7, desired, reported, revision: 9, request: None }
}

#[test]
fn a_plugin_shows_what_is_desired_and_what_is_reported() {
    let source = mk_plugin();
    let shown = plugin(&source);
    assert_eq!(shown.manifest_struct().fields["id"], Value::from("greeter"));
    assert_eq!(shown.id, source.id.to_string());
    assert_eq!((shown.mode(), shown.active_state()), (v1::PluginMode::External, v1::ActiveState::Active));
    assert_eq!((shown.generation, shown.revision, shown.configuration_revision), (5, 9, Some(3)));
    assert_eq!((shown.package_digest, shown.previous_package_digest), (Some(Digest([1; 32]).to_string()), None));
    let status = shown.status.unwrap();
    assert_eq!((status.state(), status.observed_generation), (v1::ReportedState::Inactive, 4));
    assert_eq!((status.message(), status.pid, &status.run_id), ("exit status 42", None, &None));
}

#[test]
fn the_token_of_a_plugin_is_only_shown_in_full() {
    assert_eq!(plugin(&mk_plugin()).token, None);
    assert_eq!(plugin_in_full(&mk_plugin()).token.as_deref(), Some("sdprt_secret"));
}

#[test]
fn a_failure_says_what_is_known_of_how_it_ended() {
    let mut source = mk_plugin();
    let mut of = |failure: domain::Failure| {
        source.reported.failure = Some(failure.into());
        plugin(&source).status.unwrap().failure.unwrap()
    };
    let exited = of(domain::Exit { code: Some(42), signal: None, out_of_memory: false }.into());
    assert_eq!((exited.stage(), &*exited.message), (v1::failure::Stage::Exit, "exit status 42"));
    assert_eq!((exited.exit_code, exited.signal), (Some(42), None));
    let killed = of(domain::Exit { code: None, signal: Some(9), out_of_memory: false }.into());
    assert_eq!((killed.exit_code, killed.signal), (None, Some(9)));
    let stuck = domain::Failure::new(domain::Stage::Stop, "it can't be killed").with_survivors(&[7, 8]);
    let back = Digest([1; 32]);
    let stuck = of(domain::Failure { going_back_to: Some(back), ..stuck });
    assert_eq!(
        (stuck.stage(), &*stuck.survivors, stuck.going_back_to()),
        (v1::failure::Stage::Stop, &[7, 8][..], &*back.to_string())
    );
    source.reported.failure = None;
    assert_eq!(plugin(&source).status.unwrap().failure, None);
}

#[test]
fn a_time_before_1970_counts_its_nanoseconds_forward() {
    let shown = |text| timestamp(at(text));
    assert_eq!(shown("1970-01-01T00:00:01.5Z"), prost_types::Timestamp { seconds: 1, nanos: 500_000_000 });
    assert_eq!(shown("1969-12-31T23:59:58.5Z"), prost_types::Timestamp { seconds: -2, nanos: 500_000_000 });
    assert_eq!(shown("1969-12-31T23:59:58Z"), prost_types::Timestamp { seconds: -2, nanos: 0 });
}

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-domain::json::EXACT.cast_signed()..domain::json::EXACT.cast_signed()).prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,200}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        let key = ".{0,20}";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Json::from),
            prop::collection::btree_map(key, inner, 0..8).prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What the domain says without protobuf is what the wire takes.
    #[test]
    fn the_size_of_json_on_the_wire_is_known_without_it(value in json_value()) {
        let object = Map::from_iter([("a".to_owned(), value.clone()), (String::new(), value)]);
        prop_assert_eq!(domain::json::size_of(&object), checked_struct(&object).encoded_len());
    }
}

#[test]
fn the_largest_plugin_takes_less_than_half_of_what_clients_take() {
    let mut source = mk_plugin();
    // The densest that there is: each digit becomes eleven bytes.
    let text = |tools: usize| {
        let schema = json!({"type": "object", "enum": vec![1; tools]});
        let capability = json!({"type": "robot.tool_provider", "id": "p", "name": "p", "version": "1",
            "tools": [{"id": "t", "name": "t", "description": "", "input_schema": schema}]});
        json!({"id": "greeter", "author": "me", "name": "G", "capabilities": [capability]}).to_string()
    };
    let read = |numbers| domain::manifest::Manifest::parse(text(numbers).as_bytes(), &EventCatalog::any());
    let most = domain::json::MAX_OBJECT / 11;
    assert_eq!(read(most).unwrap_err().violations[0].field, "manifest");
    source.desired.manifest = Arc::new(read(most - 100).unwrap());
    let failure = domain::Failure::new(domain::Stage::Start, "x".repeat(1 << 20));
    source.reported.failure = Some(failure.with_survivors(&[u32::MAX; 1000]).into());
    assert!(plugin_in_full(&source).encoded_len() <= 2 << 20);
}

#[test]
fn a_number_that_json_can_not_say_is_a_fault_of_its_field() {
    let fields = [("limit".to_owned(), f64::NAN.into())].into_iter().collect();
    assert_eq!(object("configuration", &Struct { fields }).unwrap_err().violations[0].field, "configuration.limit");
}

#[test]
fn every_state_mode_and_role_survives_the_way_there_and_back() {
    use State::{Active, Connecting, Error, Inactive, Restarting, Starting, Stopping};
    let all = vec![Inactive, Starting, Connecting, Active, Restarting, Stopping, Error];
    let numbers: Vec<i32> = all.iter().map(|one| v1::ReportedState::from(*one).into()).collect();
    assert_eq!(states("states", &numbers).unwrap(), all);
    for one in [ActiveState::Active, ActiveState::Inactive] {
        assert_eq!(required::<ActiveState>("f", v1::ActiveState::from(one).into()).unwrap(), one);
    }
    for one in [Mode::Supervised, Mode::External] {
        assert_eq!(Mode::asked("f", v1::PluginMode::from(one).into()).unwrap(), Some(one));
    }
    for one in [Role::Admin, Role::Viewer, Role::Host] {
        assert_eq!(required::<Role>("f", v1::Role::from(one).into()).unwrap(), one);
    }
}

#[test]
fn what_is_not_given_or_not_known_is_a_fault_of_its_field() {
    let field = |error: domain::Error| error.violations[0].field.clone();
    assert_eq!(Mode::asked("mode", 0).unwrap(), None);
    assert_eq!(field(Mode::asked("mode", 9).unwrap_err()), "mode");
    assert_eq!(field(states("states", &[1, 0]).unwrap_err()), "states[1]");
    for number in [0, 9] {
        assert_eq!(field(required::<ActiveState>("active_state", number).unwrap_err()), "active_state");
        assert_eq!(field(required::<Role>("role", number).unwrap_err()), "role");
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
