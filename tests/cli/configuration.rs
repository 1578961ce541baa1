//! config get, set, edit, schema, history.

use std::{fs, os::unix::fs::PermissionsExt};

use plugd::api::{
    json::to_struct,
    v1::{ListConfigurationRevisionsRequest, UpdateConfigurationRequest},
};
use serde_json::json;

use super::{json_of, run};
use crate::harness::{Output, Plugd, Run, cli, within};

/// Edits the configuration of chaos with a script for an editor, which is given the file.
async fn edit(plugd: &Plugd, variable: &str, script: &str) -> Output {
    let editor = plugd.scratch().join("editor");
    fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = cli(plugd, &["config", "edit", "chaos"]);
    command.env(variable, format!("{} --some-flag", editor.display())).env("TMPDIR", plugd.scratch().join("tmp"));
    command.run().await
}

#[tokio::test]
async fn a_configuration_is_set_read_and_remembered() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    assert_eq!(json_of(&plugd, &["config", "get", "chaos"]).await, json!({}));
    let set = json_of(&plugd, &["config", "set", "chaos", "greeting=1", "count=3", "on=true"]).await;
    assert_eq!(set, json!({"greeting": "1", "count": 3, "on": true}));
    assert_eq!(json_of(&plugd, &["config", "get", "chaos"]).await, set);
    let all = json_of(&plugd, &["config", "set", "chaos", "--json", r#"{"greeting": "x"}"#]).await;
    assert_eq!(all, json!({"greeting": "x"}), "the whole of it");

    let history = json_of(&plugd, &["config", "history", "chaos"]).await;
    let past: Vec<_> = history.as_array().unwrap().iter().map(|one| one["configuration"].clone()).collect();
    assert_eq!(past, [all, set]);
    assert!(run(&plugd, &["config", "history", "chaos"]).await.text().starts_with("REVISION"));
    assert_eq!(run(&plugd, &["config", "set", "chaos", "--json", "[]"]).await.code(), Some(2));
    assert_eq!(run(&plugd, &["config", "set", "chaos", "--json", r#"{"greeting": 1}"#]).await.code(), Some(9));
}

/// 900 KB each: two of them are a page.
#[tokio::test]
async fn a_history_is_printed_to_its_end_however_large_it_is() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    for number in 1..=5 {
        let greeting = format!("{number}{}", "x".repeat(900_000));
        let values = json!({"greeting": greeting});
        let configuration = Some(to_struct(values.as_object().unwrap()).unwrap());
        let request = UpdateConfigurationRequest { plugin_id: id.clone(), configuration, if_generation: None };
        within("a new configuration", api.configurations().update_configuration(request)).await.unwrap();
    }
    let request = ListConfigurationRevisionsRequest { plugin_id: id, page_size: 100, page_token: String::new() };
    let page = api.configurations().list_configuration_revisions(request).await.unwrap().into_inner();
    assert_eq!(page.revisions.iter().map(|one| one.configuration_revision).collect::<Vec<_>>(), [5, 4]);

    let history = json_of(&plugd, &["config", "history", "chaos"]).await;
    let seen: Vec<_> = history.as_array().unwrap().iter().map(|one| one["revision"].as_u64().unwrap()).collect();
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    let table = run(&plugd, &["config", "history", "chaos"]).await;
    assert_eq!(table.text().lines().count(), 6, "a heading and five rows");
}

#[tokio::test]
async fn the_fields_of_a_configuration_are_shown() {
    let plugd = Plugd::start().await;
    plugd.api().install(&["tame"]).await;
    let field = json!({"id": "greeting", "type": "string", "label": "Greeting", "description": "", "default": "hi"});
    assert_eq!(json_of(&plugd, &["config", "schema", "chaos"]).await, json!([field]));
    let table = run(&plugd, &["config", "schema", "chaos"]).await;
    assert!(table.text().lines().nth(1).unwrap().starts_with("greeting  string  hi"), "{}", table.text());
}

#[tokio::test]
async fn a_configuration_is_edited_with_the_users_editor() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    for (variable, greeting) in [("EDITOR", "one"), ("VISUAL", "two")] {
        let script = format!("echo '{{\"greeting\": \"{greeting}\"}}' > \"$2\"; chmod 600 \"$2\"");
        assert_eq!(edit(&plugd, variable, &script).await.json(), json!({"greeting": greeting}));
    }
    let unchanged = edit(&plugd, "EDITOR", "true").await;
    assert_eq!((unchanged.text(), unchanged.stderr.trim()), ("", "Nothing was changed."));
    assert_eq!(fs::read_dir(plugd.scratch().join("tmp")).unwrap().count(), 0, "nothing is left behind");
    let revisions = json_of(&plugd, &["config", "history", "chaos"]).await;
    assert_eq!(revisions.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_typed_is_kept_when_it_can_not_be_stored() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    let cases = [("echo nonsense > \"$2\"", 2), ("echo '{\"greeting\": 1}' > \"$2\"", 9), ("exit 1", 1)];
    for (script, code) in cases {
        let failed = edit(&plugd, "EDITOR", script).await;
        assert_eq!(failed.code(), Some(code), "{script}: {}", failed.stderr);
        assert!(!failed.stderr.starts_with("error: your text"), "the reason comes first: {}", failed.stderr);
        let file = failed.stderr.split_once("; your text is in ").unwrap().1.lines().next().unwrap();
        assert!(fs::read_to_string(file).is_ok(), "{file}");
    }
}

#[tokio::test]
async fn a_change_on_top_of_another_generation_is_refused_and_says_what_to_do() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    run(&plugd, &["config", "set", "chaos", "greeting=one"]).await.text();
    let shown = run(&plugd, &["config", "get", "chaos"]).await;
    assert_eq!(shown.stderr, "revision 1, generation 3\n");
    run(&plugd, &["config", "set", "chaos", "greeting=two", "--if-generation", "3"]).await.text();
    for change in
        [&["set", "chaos", "greeting=three"][..], &["set", "chaos", "--json", "{}"], &["unset", "chaos", "greeting"]]
    {
        let refused = run(&plugd, &[&["config"], change, &["--if-generation", "3"]].concat()).await;
        assert_eq!(refused.code(), Some(6), "{change:?}");
        assert!(refused.stderr.contains("apply your change to what is desired of it now"), "{}", refused.stderr);
    }
    assert_eq!(json_of(&plugd, &["config", "get", "chaos"]).await, json!({"greeting": "two"}));
}

#[tokio::test]
async fn a_field_is_removed_and_one_that_the_plugin_does_not_declare_is_told() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    let set = run(&plugd, &["config", "set", "chaos", "greetin=x", "greeting=y"]).await;
    assert_eq!(set.json(), json!({"greetin": "x", "greeting": "y"}));
    let told = "warning: the plugin declares no field \"greetin\"; did you mean \"greeting\"?\n";
    assert!(set.stderr.starts_with(told) && set.stderr.matches("warning").count() == 1, "{}", set.stderr);
    let left = json_of(&plugd, &["config", "unset", "chaos", "greetin"]).await;
    assert_eq!(left, json!({"greeting": "y"}));
    assert_eq!(run(&plugd, &["config", "unset", "chaos", "greetin"]).await.code(), Some(3));
}

#[tokio::test]
async fn an_editor_that_can_not_be_run_is_an_error_with_what_else_to_do() {
    let plugd = Plugd::start().await;
    plugd.api().run(&["tame"]).await;
    let mut command = cli(&plugd, &["config", "edit", "chaos"]);
    let failed = command.env("EDITOR", "/no/such/editor").env("TMPDIR", plugd.scratch().join("tmp")).run().await;
    assert_eq!(failed.code(), Some(1));
    assert!(failed.stderr.contains("EDITOR") && failed.stderr.contains("plugd config set"), "{}", failed.stderr);
}
