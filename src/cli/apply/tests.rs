use std::{collections::BTreeMap, io::Cursor};

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    api::v1::{ActiveState, Plugin, PluginMode, ReportedState},
    cli::{
        apply::{
            desired::{Archive, Desired, Source},
            environment::{Environment, escaped},
            present::Present,
        },
        global::Output,
        tests::fake::mk_plugin,
        ui::{
            Ui,
            tests::{Printed, mk_ui},
        },
    },
};

const ID: &str = "d0a1b2c3d4e5f6g7h8i0";

fn variables(name: &str) -> Option<String> {
    let known = BTreeMap::from([("KEY", "hunter2"), ("LONG", "hunter2hunter2"), ("EMPTY", "")]);
    known.get(name).map(|value| (*value).to_owned())
}

/// What a file desires. A package in it is one of a version, "2.0.0", that was read before.
fn desired(yaml: &str) -> Result<Vec<Desired>, Failure> {
    let mut written = file::parse("plugins.yaml", Path::new("."), yaml)?;
    let versions: Vec<_> = written.iter_mut().map(|written| written.entry.package.take()).collect();
    let mut environment = Environment::new(&variables);
    let mut desired = desired::read(written, &mut environment)?;
    environment.finish()?;
    for (desired, version) in desired.iter_mut().zip(versions) {
        if let Some(version) = version {
            desired.source = Source::Package(mk_archive(&version));
        }
    }
    Ok(desired)
}

fn mk_archive(version: &str) -> Archive {
    let digest = format!("sha256:{version:0>12}");
    Archive { digest, version: version.to_owned(), bytes: bytes::Bytes::new(), notes: vec!["a note".to_owned()] }
}

/// The plugin `chaos` in version 1.0.0, active.
fn mk_present() -> Present {
    let mut plugin = mk_plugin(ID, "Chaos", ReportedState::Active, 1);
    plugin.version = "1.0.0".to_owned();
    plugin.package_digest = Some(mk_archive("1.0.0").digest);
    plugin.active_state = ActiveState::Active.into();
    Present::of(plugin)
}

fn mk_inactive() -> Present {
    let mut present = mk_present();
    present.plugin.active_state = ActiveState::Inactive.into();
    in_state(present, ReportedState::Inactive)
}

fn in_state(mut present: Present, state: ReportedState) -> Present {
    present.plugin.status.get_or_insert_default().state = state.into();
    present
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn planned(yaml: &str, present: &[Present], prune: bool) -> Result<Plan, Failure> {
    plan(&desired(yaml)?, present, prune)
}

/// The lines of a plan but its headings and its summary, without the digest.
#[track_caller]
fn steps(yaml: &str, present: Present) -> Vec<String> {
    let (ui, _) = mk_ui(Output::Table);
    let lines = planned(yaml, &[present], false).unwrap().lines(&ui);
    let steps = lines.into_iter().filter(|line| line.starts_with("    "));
    steps.map(|line| line.split(" (sha256").next().unwrap_or_default().trim_start().to_owned()).collect()
}

#[test]
fn a_plan_is_told_in_words() {
    let mut other = mk_plugin("d0a1b2c3d4e5f6g7h8j0", "Other", ReportedState::Active, 2);
    other.active_state = ActiveState::Active.into();
    let mut outside = mk_plugin("d0a1b2c3d4e5f6g7h8k0", "Outside", ReportedState::Active, 3);
    outside.mode = PluginMode::External.into();
    let same = Present::of(mk_plugin("d0a1b2c3d4e5f6g7h8l0", "Same", ReportedState::Inactive, 4));
    let configuration = object(json!({"greeting": "hi", "key": "old", "kept": 1, "gone": "x"}));
    let policy = object(json!({"sandbox": "protect", "env.A": "a"}));
    let present = Present { configuration, policy, ..mk_present() };
    let yaml = "
plugins:
  - id: new
    package: 2.0.0
    active: true
    configuration: {key: '${env:KEY}', text: Hello}
  - id: chaos
    package: 1.1.0
    configuration: {greeting: Hello, key: 'Bearer ${env:KEY}', kept: 1, more: [1, true]}
    policy: {sandbox: strict, env.B: b}
  - id: same
    active: false
";
    let there = [present, Present::of(other), Present::of(outside), same];
    let plan = planned(yaml, &there, true).unwrap();
    let (ui, _) = mk_ui(Output::Table);
    let expected = r#"+ new
    install    version 2.0.0 (sha256:00000002.0.0)
    start
    configure  + key: [secret]
               + text: "Hello"
~ chaos (d0a1b2c3d4e5f6g7h8i0)
    update     version 1.0.0 -> version 1.1.0 (sha256:00000001.1.0)
    policy     - env.A
               + env.B: [secret]
               ~ sandbox: "protect" -> "strict"
    configure  - gone
               ~ greeting: "hi" -> "Hello"
               ~ key: [secret]
               + more: [1,true]
- other (d0a1b2c3d4e5f6g7h8j0)
    delete     with its files
1 to install, 1 to change, 1 to delete; 1 as the files say already."#;
    assert_eq!(plan.lines(&ui).join("\n"), expected);
    assert_eq!(plan.spared, ["outside"], "external plugins are left");
    assert_eq!(plan.plugins[1].notes, ["a note"]);
    assert!(!plan.json().to_string().contains("hunter2"), "{}", plan.json());
}

#[test]
fn a_plan_is_told_to_programs() {
    let configuration = object(json!({"greeting": "hi", "gone": 1}));
    let yaml = "plugins: [{id: chaos, active: false, configuration: {greeting: Hi, key: '${env:KEY}'}}]";
    let plan = planned(yaml, &[Present { configuration, ..mk_present() }], false).unwrap();
    let changes = json!([
        {"field": "gone", "change": "remove"},
        {"field": "greeting", "change": "replace", "before": "hi", "after": "Hi"},
        {"field": "key", "change": "add", "is_secret": true},
    ]);
    let steps = json!([{"step": "configure", "changes": changes}, {"step": "stop"}]);
    assert_eq!(plan.json(), json!([{"id": "chaos", "plugin_id": ID, "steps": steps}]));
    let plan = planned("plugins: [{id: chaos, package: 2.0.0}]", &[mk_present()], false).unwrap();
    let update =
        json!({"step": "update", "previous_version": "1.0.0", "version": "2.0.0", "digest": "sha256:00000002.0.0"});
    assert_eq!(plan.json()[0]["steps"], json!([update]));
}

#[test]
fn what_a_file_does_not_say_is_left_as_it_is() {
    let full = || Present {
        configuration: object(json!({"greeting": "hi"})),
        policy: object(json!({"sandbox": "strict"})),
        ..mk_present()
    };
    for yaml in ["{id: chaos}", "{id: chaos, package: 1.0.0}", "{id: chaos, active: true}"] {
        assert_eq!(steps(&format!("plugins: [{yaml}]"), full()), [""; 0], "{yaml}");
    }
    let broken = in_state(full(), ReportedState::Error);
    assert_eq!(steps("plugins: [{id: chaos}]", broken), [""; 0], "it may stay in error");
    assert_eq!(
        steps("plugins: [{id: chaos, configuration: {}, policy: {}}]", full()),
        ["policy     - sandbox", "configure  - greeting"]
    );
}

#[test]
fn a_plugin_runs_while_it_is_configured_and_no_longer_than_it_shall() {
    let change = "configuration: {greeting: a}";
    let configured = "configure  + greeting: \"a\"";
    let case = |said: &str, present| steps(&format!("plugins: [{{id: chaos, {said}}}]"), present);
    assert_eq!(case(change, mk_present()), [configured]);
    assert_eq!(case(change, mk_inactive()), ["start", configured, "stop"]);
    assert_eq!(case(&format!("active: true, {change}"), mk_inactive()), ["start", configured]);
    assert_eq!(case(&format!("active: false, {change}"), mk_present()), [configured, "stop"]);
    assert_eq!(case(change, in_state(mk_present(), ReportedState::Error)), ["start", configured]);
    assert_eq!(
        case("active: false, package: 2.0.0", mk_present()),
        ["stop", "update     version 1.0.0 -> version 2.0.0"]
    );
    assert_eq!(case("active: true", mk_inactive()), ["start"]);
    assert_eq!(case("active: true", in_state(mk_present(), ReportedState::Error)), ["start"], "it is tried again");
    assert_eq!(case("active: true", in_state(mk_present(), ReportedState::Connecting)), [""; 0], "it is on its way");
    assert_eq!(
        case("active: true, package: 2.0.0", in_state(mk_present(), ReportedState::Error)),
        ["update     version 1.0.0 -> version 2.0.0"]
    );
    assert_eq!(case("active: false", mk_inactive()), [""; 0]);
}

#[test]
fn an_external_plugin_is_registered_once_and_is_nothing_that_a_file_starts_or_shuts_in() {
    let manifest = "{id: chaos, author: me, name: Chaos}";
    let yaml = format!("plugins: [{{id: chaos, external: {manifest}}}]");
    let plan = planned(&yaml, &[], false).unwrap();
    assert_eq!(plan.json()[0]["steps"], json!([{"step": "register"}]));

    let mut external = mk_present();
    external.plugin.mode = PluginMode::External.into();
    assert_eq!(steps(&yaml, Present { plugin: external.plugin.clone(), ..Present::of(external.plugin.clone()) })[0], {
        "manifest   + author: \"me\""
    });
    let external = [external];
    for said in ["active: false", "policy: {sandbox: strict}"] {
        let refused = planned(&format!("plugins: [{{id: chaos, {said}}}]"), &external, false).err().unwrap();
        assert!(refused.what.contains("it is external"), "{said}: {}", refused.what);
        let refused = desired(&format!("plugins: [{{id: chaos, external: {manifest}, {said}}}]")).err().unwrap();
        assert!(refused.what.contains("do not go together"), "{said}: {}", refused.what);
    }
}

#[test]
fn what_can_not_be_done_is_refused_with_the_place_and_what_to_do() {
    let mut external = mk_present();
    external.plugin.mode = PluginMode::External.into();
    let twin = Present::of(Plugin { id: "d0a1b2c3d4e5f6g7h8j0".to_owned(), ..mk_present().plugin });
    let digest = format!("sha256:{:064}", 0);
    let cases = [
        ("id: chaos", vec![mk_present(), twin], Exit::Conflict, "d0a1b2c3d4e5f6g7h8i0 and d0a1b2c3d4e5f6g7h8j0"),
        ("id: chaos", vec![], Exit::NotFound, "does not say what it is"),
        (&format!("id: chaos\n    digest: {digest}"), vec![], Exit::NotFound, "but the digest of its package"),
        (&format!("id: chaos\n    digest: {digest}"), vec![mk_present()], Exit::Refused, "it has another package"),
        ("id: chaos\n    package: 1.0.0", vec![external], Exit::Conflict, "is external, and the file says otherwise"),
    ];
    for (said, present, exit, words) in cases {
        let refused = planned(&format!("plugins:\n  - {said}\n"), &present, false).err().unwrap();
        assert!(refused.what.starts_with("plugins.yaml, line 2: "), "{said}: {}", refused.what);
        assert!(refused.what.contains(words) && refused.hint.is_some(), "{said}: {}", refused.what);
        assert_eq!(refused.exit, exit, "{said}");
    }
}

#[test]
fn a_bad_file_is_refused_with_its_line() {
    let cases = [
        ("plugins:\n  - id: a\n    pakage: ./a\n", "plugins.yaml, line 3: there is no key \"pakage\""),
        ("plugin: []\n", "plugins.yaml, line 1: there is no key \"plugin\""),
        ("plugins:\n  - id: a\n    active: maybe\n", "plugins.yaml, line 3: "),
        ("plugins:\n  - id: a\n    configuration: [1]\n", "plugins.yaml, line 3: "),
        ("plugins:\n  - id: a\n    id: b\n", "plugins.yaml, line 3: "),
        ("plugins:\n  - package: ./a\n", "plugins.yaml, line 2: "),
        (
            "plugins:\n  - id: a\n    policy: {sandbx: off}\n",
            "plugins.yaml, line 2: a: policy: a policy has no \"sandbx\"",
        ),
        (
            "plugins:\n  - id: a\n    policy: {grace: [1]}\n",
            "plugins.yaml, line 2: a: policy: grace: a text or a number",
        ),
        ("plugins:\n  - id: a\n    digest: abc\n", "plugins.yaml, line 2: a: digest: "),
        ("plugins:\n  - id: a\n    external: 7\n", "plugins.yaml, line 2: a: external: "),
        (
            "plugins:\n  - id: a\n    external: {id: b, author: me, name: B}\n",
            "plugins.yaml, line 2: a: the manifest id",
        ),
        ("plugins:\n  - id: a\n    configuration: {n: 9007199254740993}\n", "plugins.yaml, line 2: a: configuration: "),
        ("nonsense: [", "plugins.yaml, line "),
        ("{\"plugins\": [{\"id\": \"a\",\n\t\"pakage\": 1}]}", "plugins.yaml, line 2: there is no key \"pakage\""),
    ];
    for (yaml, expected) in cases {
        let refused = desired(yaml).err().unwrap();
        assert!(refused.what.starts_with(expected), "{yaml}: {}", refused.what);
        assert!(!refused.what.trim_end().contains('\n'), "{}", refused.what);
        assert_eq!(refused.exit, Exit::Refused, "{yaml}");
    }
    assert_eq!(
        desired("plugins:\n  - id: a\n    pakage: b\n").err().unwrap().hint.unwrap(),
        "did you mean \"package\"?"
    );
}

#[test]
fn the_environment_is_filled_in_where_it_is_written_so() {
    let mut environment = Environment::new(&variables);
    let values = json!({
        "whole": "${env:KEY}", "part": "a ${env:KEY}${env:LONG}.", "deep": [{"x": "${env:KEY}"}],
        "literal": "$${env:KEY}", "open": "${env:KEY", "other": "$KEY ${KEY}", "number": 1,
    });
    let filled = environment.fill(object(values.clone()));
    let expected = json!({
        "whole": "hunter2", "part": "a hunter2hunter2hunter2.", "deep": [{"x": "hunter2"}],
        "literal": "${env:KEY}", "open": "${env:KEY", "other": "$KEY ${KEY}", "number": 1,
    });
    assert_eq!(Value::Object(filled.values.clone()), expected);
    assert_eq!(filled.secret.iter().map(String::as_str).collect::<Vec<_>>(), ["deep", "part", "whole"]);
    let failure = filled.hide_in(Failure::new("no hunter2hunter2, no hunter2").hint("hunter2"));
    assert_eq!((failure.what.as_str(), failure.hint.as_deref()), ("no [secret], no [secret]", Some("[secret]")));

    let again = Environment::new(&variables).fill(object(escaped(&values)));
    assert_eq!((Value::Object(again.values), again.secret.len()), (values, 0), "what is escaped is as it was");
}

#[test]
fn variables_that_are_not_there_are_told_together() {
    let yaml = "plugins: [{id: a, configuration: {x: '${env:NONE}'}}, {id: b, policy: {env.X: '${env:EMPTY}'}}]";
    let refused = desired(yaml).err().unwrap();
    assert_eq!(refused.what, "not set in the environment, or empty: EMPTY, NONE");
    assert_eq!(refused.exit, Exit::Refused);
}

#[test]
fn what_is_exported_reads_as_it_was() {
    let texts =
        ["", "true", "No", "1", "a: b", "- a", "#", "\u{85}\u{2028}\u{feff}\u{7f}\u{202e}", "\u{e0001}\u{1f600}"];
    let texts: Vec<Value> = texts
        .into_iter()
        .chain(["line\nline\ttab\\\"'", "${env:KEY}", "sha256:ab", ".5", "a.b"])
        .map(Value::from)
        .collect();
    let fields: Map<String, Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| (format!("{index} {}", text.as_str().unwrap()), text.clone()))
        .collect();
    let deep = json!({"a": [1, 2.5, -3, null, {"b": texts}], "c": {}, "on": true});
    let configuration = json!({"deep": deep, "on": "off", "fields": fields});
    let entry = json!({
        "id": "no", "package": "./no.zip", "digest": format!("sha256:{:064}", 7), "active": true,
        "configuration": escaped(&configuration), "policy": {"user": "1:2", "env.A": "x"},
    });
    let yaml = export::yaml("http://a", &[entry.clone(), json!({"id": "b", "digest": "sha256:x", "active": false})]);
    let read = file::parse("plugins.yaml", Path::new("."), &yaml).unwrap_or_else(|failure| panic!("{yaml}\n{failure}"));
    let first = &read[0].entry;
    assert_eq!((first.id.value.as_str(), first.active), ("no", Some(true)));
    assert_eq!(first.package.as_deref(), entry["package"].as_str());
    assert_eq!(first.digest.as_deref(), entry["digest"].as_str());
    let filled = Environment::new(&variables).fill(first.configuration.clone().unwrap());
    assert_eq!(Value::Object(filled.values), configuration);
    assert_eq!(Value::Object(first.policy.clone().unwrap()), entry["policy"]);
    let second =
        "  - id: b\n    # package: with `plugd export --packages DIR`\n    digest: sha256:x\n    active: false\n";
    assert!(yaml.ends_with(second), "{yaml}");
    assert!(file::parse("empty", Path::new("."), &export::yaml("http://a", &[])).unwrap().is_empty());
}

#[tokio::test]
async fn only_yes_is_a_yes() {
    let fake = crate::cli::tests::fake::Fake::start().await;
    let options = crate::cli::GlobalOptions { server: Some(fake.url.clone()), ..Default::default() };
    let printed = Printed::default();
    let ui = Ui::new(io::sink(), printed.clone(), Output::Table, false);
    let context = Context { api: crate::cli::Api::connect(&options).await.unwrap(), ui };
    let plan = planned("plugins: []", &[mk_present()], true).unwrap();
    for (answer, is_yes) in [("yes\n", true), ("YES", true), ("y\n", false), ("", false), ("no\nyes\n", false)] {
        assert_eq!(confirm(&context, &plan, &mut Cursor::new(answer)).is_ok(), is_yes, "{answer:?}");
    }
    assert!(printed.text().contains("Deleted for good: chaos."), "{}", printed.text());
}
