//! JSON that is nested deeper than a message may be: refused at once, with the field and the limit, whichever way it comes.

use std::time::Duration;

use plugd::api::{
    json::to_struct,
    v1::{CallPluginRequest, RegisterExternalPluginRequest, UpdateConfigurationRequest, UpdateManifestRequest},
};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::super::support::{call_plugin, register, try_publish};
use crate::harness::{Body, Plugd, external_manifest, field_violations, reason, within};

/// Just too deep, and then what stops the readers of gRPC (a hundred messages) and of JSON (128 levels).
const TOO_DEEP: [usize; 5] = [31, 32, 64, 100, 200];

/// So many levels.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }))
}

fn fields(value: &Value) -> Option<prost_types::Struct> {
    to_struct(value.as_object().unwrap()).ok()
}

#[track_caller]
fn assert_refused(status: &Status, field: &str, levels: usize) {
    assert_eq!(status.code(), Code::InvalidArgument, "{levels}: {status:?}");
    let named = field_violations(status);
    assert!(named.iter().any(|name| name.starts_with(field)), "{levels}: {named:?}");
    assert!(status.message().contains("nested deeper than 30 levels"), "{levels}: {}", status.message());
}

#[tokio::test]
async fn a_request_over_grpc_that_is_nested_too_deep_is_told_its_field_and_the_limit() {
    let plugd = Plugd::start().await;
    let (api, manifest) = (plugd.api(), external_manifest("outside"));
    let plugin_id = api.register(&manifest).await.unwrap().id;
    for levels in TOO_DEEP {
        let object = json!({"deep": nested(levels)});
        assert_refused(&try_publish(&api, "order.paid", &object).await.unwrap_err(), "payload", levels);
        let call = CallPluginRequest {
            plugin_id: plugin_id.clone(),
            method: "m".into(),
            params: fields(&object),
            timeout: None,
        };
        assert_refused(&api.bus().call_plugin(call).await.unwrap_err(), "params", levels);
        let change = UpdateConfigurationRequest {
            plugin_id: plugin_id.clone(),
            configuration: fields(&object),
            ..Default::default()
        };
        assert_refused(&api.configurations().update_configuration(change).await.unwrap_err(), "configuration", levels);
        let mut deep = manifest.clone();
        deep["access"] = json!({"handle": "h", "name": "n", "metadata": nested(levels)});
        let new = RegisterExternalPluginRequest { manifest: fields(&deep), request_id: None };
        assert_refused(&api.plugins().register_external_plugin(new).await.unwrap_err(), "manifest", levels);
        let new = UpdateManifestRequest { plugin_id: plugin_id.clone(), manifest: fields(&deep), if_generation: None };
        assert_refused(&api.plugins().update_manifest(new).await.unwrap_err(), "manifest", levels);
    }
}

#[tokio::test]
async fn a_request_over_rest_that_is_nested_too_deep_is_told_so() {
    let plugd = Plugd::start().await;
    let manifest = external_manifest("outside");
    let id = plugd.api().register(&manifest).await.unwrap().id;
    for levels in TOO_DEEP {
        let mut deep = manifest.clone();
        deep["access"] = json!({"handle": "h", "name": "n", "metadata": nested(levels)});
        let answers = [
            plugd
                .rest()
                .patch(&format!("/api/plugins/{id}/configuration"), Body::Json(json!({"deep": nested(levels)})))
                .await,
            plugd.rest().patch(&format!("/api/plugins/{id}/manifest"), Body::Json(deep.clone())).await,
            plugd.rest().post("/api/plugins", Body::Json(json!({"mode": "external", "manifest": deep}))).await,
        ];
        for answer in answers {
            let message = answer.problem(400)["message"].as_str().unwrap().to_owned();
            assert!(message.contains("nested deeper than 30 levels"), "{levels}: {message}");
        }
    }
}

#[tokio::test]
async fn a_plugins_answer_that_is_nested_too_deep_ends_the_call_at_once() {
    let plugd = Plugd::start().await;
    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    for levels in TOO_DEEP {
        let (api, id) = (plugd.api(), plugin.id.clone());
        let limit = Duration::from_secs(300);
        let called = tokio::spawn(async move { call_plugin(&api, &id, ("m", json!({})), limit).await });
        let (request, _) = wire.request_of("m").await;
        wire.answer(&request, json!({"deep": nested(levels)})).await;
        let failed = within("the call's end", called).await.unwrap().unwrap_err();
        assert_eq!((failed.code(), reason(&failed)), (Code::FailedPrecondition, "PLUGIN_CALL_FAILED".to_owned()));
        assert!(failed.message().contains("nested deeper than 30 levels"), "{levels}: {}", failed.message());
    }
}

#[tokio::test]
async fn a_message_that_is_none_is_the_clients_fault() {
    let plugd = Plugd::start().await;
    // A message of five bytes, which are no message.
    let body = [b"\0\0\0\0\x05".as_slice(), &[0xff; 5]].concat();
    for method in ["PluginService/GetPlugin", "BusService/PublishEvent", "AccessService/ListTokens"] {
        let body = Body::Raw(Some("application/grpc"), body.clone());
        let answer = plugd.rest().send("POST", &format!("/plugd.v1.{method}"), body, &["te: trailers"]).await;
        assert_eq!(answer.header("grpc-status"), Some("3"), "{method}: {:?}", answer.header("grpc-message"));
        assert!(answer.header("grpc-status-details-bin").is_some(), "{method}: a reason and what to do");
    }
}
