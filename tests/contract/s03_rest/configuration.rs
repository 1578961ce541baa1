//! Configurations (CONTRACT 3.11 to 3.13).
//!
//! Held elsewhere: the plugin has 30 seconds to answer, and an answer that can't be read is none, in the unit tests of
//! `src/supervisor` (configuration) and `src/link`; a package update keeps the configuration in `packages`.

use plugd::api::v1::{
    GetConfigurationSchemaRequest, ListConfigurationRevisionsRequest, Role, UpdateConfigurationRequest,
};
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    contract::support::{Wire, register},
    harness::{Answer, Api, Body, Plugd, Rest, details, external_manifest, field_violations, reason},
};

fn path(id: &str) -> String {
    format!("/api/plugins/{id}/configuration")
}

fn schema() -> Value {
    json!({"configuration_schema": {"fields": [
        {"type": "string", "id": "greeting", "label": "Greeting", "description": "First word.", "default": "hi"},
        {"type": "number", "id": "count"},
        {"type": "boolean", "id": "loud", "default": false},
    ]}})
}

/// Updates over REST while the plugin answers like this.
async fn update(plugd: &Plugd, id: &str, wire: &mut Wire, (values, answer): (&Value, Result<Value, i64>)) -> Answer {
    let (rest, path, body) = (plugd.rest(), path(id), Body::Json(values.clone()));
    let update = tokio::spawn(async move { rest.patch(&path, body).await });
    let request = wire.request().await;
    assert_eq!((&request["method"], &request["params"]), (&json!("configure"), values));
    match answer {
        Ok(result) => wire.answer(&request, result).await,
        Err(code) => wire.refuse(&request, code, "raised").await,
    }
    update.await.unwrap()
}

async fn stored(rest: &Rest, id: &str) -> Value {
    rest.get(&path(id)).await.expect(200)
}

/// External and never connected, connected, inactive, active; what the fields look like is in `s02_shapes`.
#[tokio::test]
async fn the_schema_and_the_configuration_are_there_in_any_mode_and_any_state_3_11_3_12() {
    let plugd = Plugd::start().await;
    let (rest, api) = (plugd.rest(), plugd.api());
    let (connected, _wire) = register(&plugd, &schema(), "").await;
    let waiting = api.register(&external_manifest("bare")).await.unwrap().id;
    let (inactive, active) = (api.install(&["tame"]).await, api.run(&["tame"]).await);
    for (id, fields) in [(&connected.id, 3), (&waiting, 0), (&inactive, 1), (&active, 1)] {
        let schema = rest.get(&format!("/api/plugins/{id}/configuration-schema")).await.expect(200);
        assert_eq!(schema["fields"].as_array().unwrap().len(), fields);
        assert_eq!(stored(&rest, id).await, json!({}), "never set");
    }
    let request = GetConfigurationSchemaRequest { plugin_id: inactive };
    assert_eq!(api.configurations().get_configuration_schema(request).await.unwrap().into_inner().fields.len(), 1);
}

/// Step 2: a line and a violation for each field, before the plugin is asked.
#[tokio::test]
async fn a_value_of_another_type_is_400_and_names_its_field_3_13() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &schema(), "").await;
    let body = json!({"greeting": null, "count": "2", "loud": "no"});
    let problem = plugd.rest().patch(&path(&plugin.id), Body::Json(body.clone())).await.problem(400);
    let lines = [("greeting", "string"), ("count", "number"), ("loud", "boolean")];
    let lines = lines.map(|(id, kind)| format!("Field \"{id}\" must be a {kind} value."));
    assert_eq!(problem["title"], lines.join("\n"));
    let refused = update_over_grpc(&plugd.api(), &plugin.id, (&body, None)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_CONFIGURATION"));
    assert_eq!(field_violations(&refused), ["configuration.greeting", "configuration.count", "configuration.loud"]);
    assert_eq!(stored(&plugd.rest(), &plugin.id).await, json!({}));
    assert_eq!(wire.call("1", "get_config", json!({})).await["id"], "1", "the plugin was not asked");
}

/// The complete new configuration; unknown keys are kept, whole numbers stay whole.
#[tokio::test]
async fn an_accepted_configuration_replaces_the_one_before_3_13() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &schema(), "").await;
    for values in [json!({"greeting": "hi", "count": 3, "own": {"a": [null, 1.5]}}), json!({"count": 0.25}), json!({})]
    {
        let answer = update(&plugd, &plugin.id, &mut wire, (&values, Ok(json!({"ok": true})))).await;
        assert_eq!(answer.expect(200), values);
        assert_eq!(stored(&plugd.rest(), &plugin.id).await, values);
    }
}

/// Steps 4 and 5.
#[tokio::test]
async fn what_the_plugin_does_not_accept_is_400_and_not_stored_3_13() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &schema(), "").await;
    let good = json!({"greeting": "good"});
    update(&plugd, &plugin.id, &mut wire, (&good, Ok(json!({"ok": true})))).await.expect(200);
    let bad = json!({"greeting": "bad"});
    for answer in [Ok(json!({"ok": false})), Ok(json!({})), Err(-32000)] {
        update(&plugd, &plugin.id, &mut wire, (&bad, answer)).await.problem(400);
        assert_eq!(stored(&plugd.rest(), &plugin.id).await, good);
    }
    // It hangs up instead of answering.
    let (rest, at) = (plugd.rest(), path(&plugin.id));
    let update = tokio::spawn(async move { rest.patch(&at, Body::Json(json!({"greeting": "bad"}))).await });
    wire.request().await;
    drop(wire);
    update.await.unwrap().problem(400);
    assert_eq!(stored(&plugd.rest(), &plugin.id).await, good);
}

/// Step 3: 400, in words that say what is missing.
#[tokio::test]
async fn a_plugin_that_is_not_active_accepts_nothing_3_13() {
    let plugd = Plugd::start().await;
    let inactive = plugd.api().install(&["tame"]).await;
    let waiting = plugd.api().register(&external_manifest("waiting")).await.unwrap();
    for id in [&inactive, &waiting.id] {
        let problem = plugd.rest().patch(&path(id), Body::Json(json!({}))).await.problem(400);
        assert!(problem["title"].as_str().unwrap().contains("connected"), "{problem}");
    }
}

/// The steps in their order: each request has everything wrong that comes later, too.
#[tokio::test]
async fn an_update_goes_through_its_steps_in_order_3_13() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let patch = async |id: &str, body: Value| rest.patch(&path(id), Body::Json(body)).await;
    let (wrong, good) = (json!({"greeting": 1}), json!({"greeting": "hello"}));
    assert_eq!(patch("9m4e2mr0ui3e8a215n4g", wrong.clone()).await.problem(404)["error"], "plugin_not_found");
    let idle = plugd.api().install(&["tame"]).await;
    assert_eq!(patch(&idle, wrong).await.problem(400)["error"], "invalid_configuration");
    assert_eq!(patch(&idle, good.clone()).await.problem(400)["error"], "plugin_not_connected");
    let (plugin, mut wire) = register(&plugd, &schema(), "").await;
    let refused = update(&plugd, &plugin.id, &mut wire, (&good, Ok(json!({"ok": false})))).await;
    assert_eq!(refused.problem(400)["error"], "configuration_rejected");
    assert_eq!(stored(&rest, &plugin.id).await, json!({}), "nothing is kept of a refusal");
    assert_eq!(update(&plugd, &plugin.id, &mut wire, (&good, Ok(json!({"ok": true})))).await.expect(200), good);
    assert_eq!(stored(&rest, &plugin.id).await, good);
}

/// It is stored only now: until the plugin has answered, the one before is read.
#[tokio::test]
async fn a_configuration_is_stored_once_the_plugin_has_accepted_it_3_13() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &schema(), "").await;
    let (rest, at) = (plugd.rest(), path(&plugin.id));
    let update = tokio::spawn(async move { rest.patch(&at, Body::Json(json!({"count": 1}))).await });
    let request = wire.request().await;
    assert_eq!(stored(&plugd.rest(), &plugin.id).await, json!({}));
    wire.answer(&request, json!({"ok": true})).await;
    assert_eq!(update.await.unwrap().expect(200), json!({"count": 1}));
    assert_eq!(stored(&plugd.rest(), &plugin.id).await, json!({"count": 1}));
}

/// No schema, or a field without an id: nothing is checked (3.13, 5.5).
#[tokio::test]
async fn what_is_not_declared_is_not_checked_3_13() {
    let plugd = Plugd::start().await;
    let blank = json!({"configuration_schema": {"fields": [{"type": "string", "label": "For show"}]}});
    for members in [json!({}), blank] {
        let (plugin, mut wire) = register(&plugd, &members, "").await;
        for values in [json!({"any": [1, {"thing": null}], "": 7}), json!({"9": true})] {
            let answer = update(&plugd, &plugin.id, &mut wire, (&values, Ok(json!({"ok": true})))).await;
            assert_eq!(answer.expect(200), values);
        }
    }
}

/// A caller that saw an older generation is told so; REST takes the ETag.
#[tokio::test]
async fn an_expected_generation_that_is_another_by_now_is_409() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let seen = api.get(&id).await.unwrap().generation;
    let (_, first) = update_over_grpc(&api, &id, (&json!({"greeting": "one"}), Some(seen))).await.unwrap();
    assert_eq!(first, 1);
    let conflict = update_over_grpc(&api, &id, (&json!({"greeting": "two"}), Some(seen))).await.unwrap_err();
    assert_eq!((conflict.code(), reason(&conflict).as_str()), (Code::Aborted, "GENERATION_CONFLICT"));
    let told = details(&conflict);
    assert_eq!((&told["expected"], &told["actual"]), (&seen.to_string(), &(seen + 1).to_string()));
    let rest = plugd.rest();
    let tagged = rest.get(&path(&id)).await;
    let tag = |generation: u64| format!("\"{generation}\"");
    assert_eq!(tagged.header("etag"), Some(&*tag(seen + 1)));
    let put = async |tag: &str| {
        let tag = format!("if-match: {tag}");
        rest.send("PATCH", &path(&id), Body::Json(json!({"greeting": "three"})), &[&tag]).await
    };
    put(&tag(seen)).await.problem(409);
    assert_eq!(stored(&rest, &id).await, json!({"greeting": "one"}));
    assert_eq!(put(&tag(seen + 1)).await.header("etag"), Some(&*tag(seen + 2)));
}

/// Who set what, newest first.
#[tokio::test]
async fn the_history_names_the_author_of_each_revision() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let (_, secret) = api.create_token("alice", Role::Admin).await;
    for (turn, api) in [(1, plugd.api()), (2, plugd.api_as(Some(&secret)))] {
        update_over_grpc(&api, &id, (&json!({"turn": turn}), None)).await.unwrap();
    }
    let request = ListConfigurationRevisionsRequest { plugin_id: id.clone(), ..Default::default() };
    let revisions = api.configurations().list_configuration_revisions(request).await.unwrap().into_inner().revisions;
    let seen: Vec<_> = revisions.iter().map(|r| (r.configuration_revision, r.author.as_str())).collect();
    assert_eq!(seen[0], (2, "alice"));
    assert_eq!((seen.len(), seen[1].0), (2, 1));
    assert_ne!(seen[1].1, "alice");
    assert!(revisions.iter().all(|revision| revision.create_time.is_some()));
}

/// Stored means stored: a new run that asks gets it, also from a plugd that was killed meanwhile. It is told nothing of itself:
/// a `configure` is a change.
#[tokio::test]
async fn each_new_run_gets_the_stored_configuration_when_it_asks_also_after_a_kill_of_plugd_3_13() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().run(&["ask", "get_config"]).await;
    update_over_grpc(&plugd.api(), &id, (&json!({"greeting": "kept", "count": 2}), None)).await.unwrap();
    let got = r#"result {"config":{"count":2,"greeting":"kept"}"#;
    plugd.api().deactivate(&id).await.unwrap();
    plugd.api().activate(&id).await.unwrap();
    plugd.api().logs(&id).await.find(got).await;
    plugd.kill_9().await;
    plugd.restart().await;
    assert_eq!(stored(&plugd.rest(), &id).await, json!({"greeting": "kept", "count": 2}));
    let mut log = plugd.api().logs(&id).await;
    let mut seen = log.until(got).await;
    seen.extend(log.until(got).await);
    let told = seen.iter().filter(|line| line.text.contains("request configure")).count();
    assert_eq!(told, 1, "{seen:?}");
}

async fn update_over_grpc(
    api: &Api,
    id: &str,
    (values, if_generation): (&Value, Option<u64>),
) -> Result<(Value, u64), tonic::Status> {
    let configuration = plugd::api::json::to_struct(values.as_object().unwrap()).unwrap();
    let request =
        UpdateConfigurationRequest { plugin_id: id.to_owned(), configuration: Some(configuration), if_generation };
    let answer =
        crate::harness::within("an update", api.configurations().update_configuration(request)).await?.into_inner();
    let configuration = plugd::api::json::from_struct(&answer.configuration.unwrap());
    Ok((Value::Object(configuration), answer.configuration_revision))
}
