//! Configurations over the wire (CONTRACT 3.11 to 3.13).

use plugd::api::v1::{
    GetConfigurationSchemaRequest, ListConfigurationRevisionsRequest, Role, UpdateConfigurationRequest,
};
use serde_json::{Value, json};
use tonic::Code;

use super::support::{Wire, register};
use crate::harness::{Answer, Api, Body, Plugd, Rest, field_violations, reason};

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

/// CONTRACT 2.2, 3.11, 3.12: in any mode and any state; `fields` is always there.
#[tokio::test]
async fn the_schema_and_the_empty_configuration_are_there_before_anything_runs() {
    let plugd = Plugd::start().await;
    let (rest, api) = (plugd.rest(), plugd.api());
    let (plugin, _wire) = register(&plugd, &schema(), "").await;
    let fields = rest.get(&format!("/api/plugins/{}/configuration-schema", plugin.id)).await.expect(200);
    assert_eq!(
        fields,
        json!({"fields": [
            {"type": "string", "id": "greeting", "label": "Greeting", "description": "First word.", "default": "hi"},
            {"type": "number", "id": "count", "label": "", "description": ""},
            {"type": "boolean", "id": "loud", "label": "", "description": "", "default": false},
        ]})
    );
    assert_eq!(stored(&rest, &plugin.id).await, json!({}));
    let bare = api.register(&crate::harness::external_manifest("bare")).await.unwrap();
    let fields = rest.get(&format!("/api/plugins/{}/configuration-schema", bare.id)).await.expect(200);
    assert_eq!(fields, json!({"fields": []}));
    let inactive = api.install(&["tame"]).await;
    let request = GetConfigurationSchemaRequest { plugin_id: inactive.clone() };
    assert_eq!(api.plugins().get_configuration_schema(request).await.unwrap().into_inner().fields.len(), 1);
    assert_eq!(stored(&rest, &inactive).await, json!({}));
}

/// CONTRACT 3.13, step 2: a line and a violation for each field, before the plugin is asked.
#[tokio::test]
async fn a_value_of_another_type_is_400_and_names_its_field() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &schema(), "").await;
    let body = json!({"greeting": null, "count": "2", "loud": "no"});
    let problem = plugd.rest().patch(&path(&plugin.id), Body::Json(body.clone())).await.problem(400);
    for line in
        ["Field \"greeting\" must be a string", "Field \"count\" must be a number", "Field \"loud\" must be a boolean"]
    {
        assert!(problem["title"].as_str().unwrap().contains(line), "{problem}");
    }
    let refused = update_over_grpc(&plugd.api(), &plugin.id, (&body, None)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "INVALID_CONFIGURATION"));
    assert_eq!(field_violations(&refused), ["configuration.greeting", "configuration.count", "configuration.loud"]);
    assert_eq!(stored(&plugd.rest(), &plugin.id).await, json!({}));
    assert_eq!(wire.call("1", "get_config", json!({})).await["id"], "1", "the plugin was not asked");
}

/// CONTRACT 3.13: the complete new configuration; unknown keys are kept, whole numbers stay whole.
#[tokio::test]
async fn an_accepted_configuration_replaces_the_one_before() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &schema(), "").await;
    for values in [json!({"greeting": "hi", "count": 3, "own": {"a": [null, 1.5]}}), json!({"count": 0.25}), json!({})]
    {
        let answer = update(&plugd, &plugin.id, &mut wire, (&values, Ok(json!({"ok": true})))).await;
        assert_eq!(answer.expect(200), values);
        assert_eq!(stored(&plugd.rest(), &plugin.id).await, values);
    }
}

/// CONTRACT 3.13, steps 4 and 5.
#[tokio::test]
async fn what_the_plugin_does_not_accept_is_400_and_not_stored() {
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

/// CONTRACT 3.13, step 3: 400, in words that say what is missing.
#[tokio::test]
async fn a_plugin_that_is_not_active_accepts_nothing() {
    let plugd = Plugd::start().await;
    let inactive = plugd.api().install(&["tame"]).await;
    let waiting = plugd.api().register(&crate::harness::external_manifest("waiting")).await.unwrap();
    for id in [&inactive, &waiting.id] {
        let problem = plugd.rest().patch(&path(id), Body::Json(json!({}))).await.problem(400);
        assert!(problem["title"].as_str().unwrap().contains("connected"), "{problem}");
    }
}

/// A caller that read an older revision is told so; REST takes the ETag.
#[tokio::test]
async fn an_expected_revision_that_is_not_stored_is_409() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    let (_, first) = update_over_grpc(&api, &id, (&json!({"greeting": "one"}), Some(0))).await.unwrap();
    assert_eq!(first, 1);
    let conflict = update_over_grpc(&api, &id, (&json!({"greeting": "two"}), Some(0))).await.unwrap_err();
    assert_eq!((conflict.code(), reason(&conflict).as_str()), (Code::Aborted, "REVISION_CONFLICT"));
    let rest = plugd.rest();
    let tagged = rest.get(&path(&id)).await;
    assert_eq!(tagged.header("etag"), Some("\"1\""));
    let put = async |tag: &str| {
        let tag = format!("if-match: {tag}");
        rest.send("PATCH", &path(&id), Body::Json(json!({"greeting": "three"})), &[&tag]).await
    };
    put("\"0\"").await.problem(409);
    assert_eq!(stored(&rest, &id).await, json!({"greeting": "one"}));
    assert_eq!(put("\"1\"").await.header("etag"), Some("\"2\""));
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
    let revisions = api.plugins().list_configuration_revisions(request).await.unwrap().into_inner().revisions;
    let seen: Vec<_> = revisions.iter().map(|r| (r.configuration_revision, r.author.as_str())).collect();
    assert_eq!(seen[0], (2, "alice"));
    assert_eq!((seen.len(), seen[1].0), (2, 1));
    assert_ne!(seen[1].1, "alice");
    assert!(revisions.iter().all(|revision| revision.create_time.is_some()));
}

/// Stored means stored: a new run is given it, also by a plugd that was killed meanwhile.
#[tokio::test]
async fn the_stored_configuration_is_pushed_to_each_new_run_also_after_a_kill_of_plugd() {
    let mut plugd = Plugd::start().await;
    let id = plugd.api().run(&["tame"]).await;
    update_over_grpc(&plugd.api(), &id, (&json!({"greeting": "kept", "count": 2}), None)).await.unwrap();
    let told = "request configure {\"count\":2,\"greeting\":\"kept\"}";
    plugd.api().deactivate(&id).await.unwrap();
    plugd.api().activate(&id).await.unwrap();
    let mut log = plugd.api().logs(&id).await;
    for _ in 0..2 {
        log.find(told).await;
    }
    plugd.kill_9().await;
    plugd.restart().await;
    assert_eq!(stored(&plugd.rest(), &id).await, json!({"greeting": "kept", "count": 2}));
    let mut log = plugd.api().logs(&id).await;
    for _ in 0..3 {
        log.find(told).await;
    }
}

/// CONTRACT 3.10: a package update keeps the configuration.
#[tokio::test]
async fn a_package_update_keeps_the_configuration() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["tame"]).await;
    update_over_grpc(&api, &id, (&json!({"greeting": "kept"}), None)).await.unwrap();
    super::support::replace(&api, &id, super::support::versioned(2, "tame")).await.unwrap();
    assert_eq!(stored(&plugd.rest(), &id).await, json!({"greeting": "kept"}));
    api.logs(&id).await.find("whole 2").await;
}

async fn update_over_grpc(
    api: &Api,
    id: &str,
    (values, if_revision): (&Value, Option<u64>),
) -> Result<(Value, u64), tonic::Status> {
    let configuration = plugd::api::json::to_struct(values.as_object().unwrap()).unwrap();
    let request =
        UpdateConfigurationRequest { plugin_id: id.to_owned(), configuration: Some(configuration), if_revision };
    let answer = crate::harness::within("an update", api.plugins().update_configuration(request)).await?.into_inner();
    let configuration = plugd::api::json::from_struct(&answer.configuration.unwrap());
    Ok((Value::Object(configuration), answer.configuration_revision))
}
