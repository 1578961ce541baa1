//! What every request must be (CONTRACT 1.5).

use serde_json::json;

use crate::harness::{Body, Plugd, chaos, external_manifest};

/// Ids of no plugin: too short, unknown, not canonical, not in the alphabet.
const NOBODY: [&str; 6] =
    ["x", "9m4e2mr0ui3e8a215n4g", "9m4e2mr0ui3e8a215n4h", "9M4E2MR0UI3E8A215N4G", "zzzzzzzzzzzzzzzzzzzz", "%00"];

/// The most bytes that a body may have.
const MAX_BODY: usize = 50 * 1024 * 1024;

fn json(text: &str) -> Body {
    Body::Raw(Some("application/json"), text.as_bytes().to_vec())
}

#[tokio::test]
async fn an_unknown_or_malformed_id_is_404_on_every_path_1_5_must() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    for id in NOBODY {
        let at = |rest: &str| format!("/api/plugins/{id}{rest}");
        let answers = [
            rest.get(&at("")).await,
            rest.delete(&at("")).await,
            rest.set_active(id, "active").await,
            rest.set_active(id, "inactive").await,
            rest.get(&at("/logs")).await,
            rest.post(&at("/token"), Body::None).await,
            rest.patch(&at("/manifest"), Body::Json(external_manifest("nobody"))).await,
            rest.get(&at("/package")).await,
            rest.patch(&at("/package"), Body::Zip(chaos(&["tame"]))).await,
            rest.get(&at("/configuration-schema")).await,
            rest.get(&at("/configuration")).await,
            rest.patch(&at("/configuration"), Body::Json(json!({}))).await,
        ];
        for answer in answers {
            let problem = answer.problem(404);
            assert_eq!(problem["error"], "plugin_not_found", "{id:?}");
            assert_eq!(problem["type"], "urn:storyden:problem:not-found");
        }
    }
}

#[tokio::test]
async fn only_the_first_20_characters_of_an_id_count_1_5_must() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = plugd.api().install(&["tame"]).await;
    for suffix in ["-and-its-name", "0", "%20", "%C3%A9"] {
        let named = format!("{id}{suffix}");
        assert_eq!(rest.get(&format!("/api/plugins/{named}")).await.expect(200)["id"], id);
        assert_eq!(rest.set_active(&named, "inactive").await.expect(200)["id"], id);
        rest.get(&format!("/api/plugins/{named}/configuration")).await.expect(200);
    }
    assert_eq!(rest.delete(&format!("/api/plugins/{id}-and-its-name")).await.status, 204);
}

/// plugd's own decision: 413, where the reference has 400.
#[tokio::test]
async fn a_body_of_50_mib_is_read_and_one_byte_more_is_413_1_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let before = plugd.files();
    let largest = vec![0; MAX_BODY];
    rest.post("/api/plugins", Body::Zip(largest.clone())).await.problem(400);
    let larger = [largest, vec![0]].concat();
    let problem = rest.post("/api/plugins", Body::Zip(larger.clone())).await.problem(413);
    assert_eq!(problem["error"], "too_large");
    // The same when the length is not told in advance.
    let chunked = ["transfer-encoding: chunked"];
    rest.send("POST", "/api/plugins", Body::Zip(larger), &chunked).await.problem(413);
    assert_eq!(plugd.files(), before, "nothing of it is kept");
}

#[tokio::test]
async fn a_body_that_is_empty_or_no_json_or_breaks_the_schema_is_400_1_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = plugd.api().install(&["tame"]).await;
    let outside = plugd.api().register(&external_manifest("outside")).await.unwrap().id;
    let never = ["", " ", "{", "nonsense", "[]", "null", "7", "\"active\"", "{\"active\": \"active\"} {}"];
    let active = ["{}", r#"{"active": 1}"#, r#"{"active": null}"#, r#"{"active": "on"}"#, r#"{"active": ""}"#];
    let added =
        ["{}", r#"{"mode": "other"}"#, r#"{"mode": 1}"#, r#"{"mode": "external"}"#, r#"{"mode": "supervised"}"#];
    let manifest = ["{}", r#"{"id": 1}"#, r#"{"id": "outside"}"#];
    for (method, path, own) in [
        ("PATCH", format!("/api/plugins/{id}/active"), &active[..]),
        ("POST", "/api/plugins".to_owned(), &added),
        ("PATCH", format!("/api/plugins/{outside}/manifest"), &manifest),
        ("PATCH", format!("/api/plugins/{id}/configuration"), &[]),
    ] {
        for text in never.iter().chain(own) {
            let problem = rest.send(method, &path, json(text), &[]).await.problem(400);
            assert_eq!(problem["type"], "urn:storyden:problem:invalid-argument", "{method} {path} {text:?}");
        }
    }
    let plugins = rest.list().await;
    assert_eq!(plugins.len(), 2, "nothing was added");
    assert_eq!(plugins[0]["status"]["active_state"], "inactive");
    assert_eq!(plugins[1]["manifest"]["id"], "outside");
}

#[tokio::test]
async fn a_media_type_that_is_not_declared_is_415_and_its_parameters_do_not_matter_1_5() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let id = plugd.api().install(&["tame"]).await;
    let path = |rest: &str| format!("/api/plugins/{id}{rest}");
    let body = br#"{"active": "inactive"}"#.to_vec();
    for media in [None, Some("text/plain"), Some("application/zip"), Some("application/jsonp")] {
        rest.patch(&path("/active"), Body::Raw(media, body.clone())).await.problem(415);
        rest.patch(&path("/configuration"), Body::Raw(media, b"{}".to_vec())).await.problem(415);
    }
    for media in [None, Some("text/plain"), Some("multipart/form-data; boundary=x"), Some("application/octet-stream")] {
        rest.post("/api/plugins", Body::Raw(media, chaos(&["tame"]))).await.problem(415);
        rest.patch(&path("/package"), Body::Raw(media, chaos(&["tame"]))).await.problem(415);
    }
    for media in ["application/json; charset=utf-8", "APPLICATION/JSON;x=y"] {
        rest.patch(&path("/active"), Body::Raw(Some(media), body.clone())).await.expect(200);
    }
    rest.post("/api/plugins", Body::Raw(Some("application/zip; name=chaos.zip"), chaos(&["tame"]))).await.expect(200);
}
