//! The collection, and what changes one of it.

use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
};
use futures_util::StreamExt;
use serde_json::json;
use tonic::Code;
use tower::ServiceExt;

use super::{Harness, ID, admin, fake::told, path};
use crate::api::v1::Plugin;

fn mk_plugin(id: usize) -> Plugin {
    Plugin { id: format!("{id:020}"), ..Plugin::default() }
}

#[tokio::test]
async fn the_list_has_every_page() {
    let harness = Harness::new();
    harness.fake.lists(vec![vec![mk_plugin(1), mk_plugin(2)], vec![], vec![mk_plugin(3)]]);
    let answer = harness.get("/api/plugins").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, Some("application/json")));
    let list = answer.json();
    let ids: Vec<_> = list["plugins"].as_array().unwrap().iter().map(|plugin| plugin["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [1, 2, 3].map(|id| format!("{id:020}")));
    assert_eq!(list.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn the_list_is_read_from_the_service_only_as_it_is_read_by_the_client() {
    let harness = Harness::new();
    harness.fake.lists((0..1000).map(|id| vec![mk_plugin(id)]).collect());
    let request = admin("GET", "/api/plugins").body(Body::empty()).unwrap();
    let mut body = harness.router.clone().oneshot(request).await.unwrap().into_body().into_data_stream();
    let mut read = String::new();
    while !read.contains(&format!("{:020}", 2)) {
        read.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(harness.fake.seen().len() <= 4, "{} pages for three plugins", harness.fake.seen().len());
}

#[tokio::test]
async fn a_list_that_fails_on_its_way_breaks_off() {
    let harness = Harness::new();
    harness.fake.lists(vec![vec![mk_plugin(1)], vec![mk_plugin(2)]]);
    let request = admin("GET", "/api/plugins").body(Body::empty()).unwrap();
    let response = harness.router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    harness.fake.fail(told(Code::Unavailable, "DRAINING", "the server shuts down"));
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
}

#[tokio::test]
async fn an_empty_list_is_a_list() {
    assert_eq!(Harness::new().get("/api/plugins").await.json(), json!({"plugins": []}));
}

#[tokio::test]
async fn one_plugin_is_found_by_what_the_path_says() {
    let harness = Harness::new();
    let answer = harness.get(&path("-suffix")).await;
    assert_eq!((answer.status, answer.json()["id"].as_str()), (StatusCode::OK, Some(ID)));
    assert!(harness.fake.seen()[0].contains(&format!("{ID}-suffix")));
}

#[tokio::test]
async fn deletion_has_no_body() {
    let harness = Harness::new();
    let answer = harness.json("DELETE", &path(""), "").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::NO_CONTENT, ""));
    assert_eq!(answer.header("content-type"), None);
}

#[tokio::test]
async fn a_package_is_installed_from_an_address() {
    let harness = Harness::new();
    let body = r#"{"mode":"supervised","url":" https://example.org/a.zip "}"#;
    assert_eq!(harness.json("POST", "/api/plugins", body).await.status, StatusCode::OK);
    assert!(harness.fake.seen()[1].contains("url: Some(\"https://example.org/a.zip\")"));
}

#[tokio::test]
async fn an_external_plugin_is_registered_with_its_manifest() {
    let harness = Harness::new();
    let body = r#"{"mode":"external","manifest":{"id":"greeter"}}"#;
    assert_eq!(harness.json("POST", "/api/plugins", body).await.status, StatusCode::OK);
    assert!(harness.fake.seen()[0].contains("StringValue(\"greeter\")"));
}

#[tokio::test]
async fn a_manifest_is_replaced_by_the_bare_object() {
    let harness = Harness::new();
    assert_eq!(harness.json("PATCH", &path("/manifest"), r#"{"id":"other"}"#).await.status, StatusCode::OK);
    let seen = &harness.fake.seen()[0];
    assert!(seen.contains(ID) && seen.contains("StringValue(\"other\")"), "{seen}");
}

#[tokio::test]
async fn a_cycled_token_is_all_that_is_answered() {
    let answer = Harness::new().json("POST", &path("/token"), "").await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"token": "sdprt_new"})));
}
