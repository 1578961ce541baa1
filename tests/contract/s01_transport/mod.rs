//! Section 1 of the contract: where things are (1.1), who may do what (1.2: `credentials`), what success looks like (1.3),
//! and what every request must be (1.5: `requests`).
//!
//! Held elsewhere: the error body (1.4) in `s16_errors`; the answers of `/rpc` in `s10_handshake`; the default address in
//! the unit tests of `src/config`. Rate limits (1.5, optional) are a proxy's: plugd answers 503 `too_busy` where it has
//! to protect itself (`s16_errors`).

mod credentials;
mod requests;

use serde_json::json;

use crate::harness::{Body, Plugd, chaos, external_manifest};

#[tokio::test]
async fn health_needs_no_credential_and_has_no_body_1_1() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest_as(None);
    for path in ["/healthz", "/readyz"] {
        let answer = rest.get(path).await;
        assert_eq!((answer.status, answer.bytes.len()), (200, 0), "{path}");
    }
}

#[tokio::test]
async fn the_information_names_plugins_only_where_they_are_run_and_needs_no_credential_1_1() {
    for (provider, capabilities) in [("local", vec!["plugins"]), ("none", vec![])] {
        let plugd = Plugd::with(&[("PLUGIN_RUNTIME_PROVIDER", provider)]).await;
        let info = plugd.rest_as(None).get("/api/info").await.expect(200);
        assert_eq!(info["capabilities"], json!(capabilities), "{provider}");
    }
}

#[tokio::test]
async fn rest_is_under_api_and_the_websocket_at_exactly_one_path_1_1() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    assert_eq!(rest.get("/rpc").await.status, 400, "it wants a token");
    // Of the console.
    assert_eq!(rest.get("/plugins").await.status, 303);
    for path in ["/rpc/", "/api/rpc", "/api/plugins/", "/api/healthz", "/healthz/"] {
        assert_eq!(rest.get(path).await.problem(404)["error"], "not_found", "{path}");
    }
}

/// Clients compare the media type as a whole, and read up to the line break.
#[tokio::test]
async fn success_is_one_json_document_and_a_line_break_of_a_type_without_charset_1_3() {
    let plugd = Plugd::start().await;
    let rest = plugd.rest();
    let installed = rest.post("/api/plugins", Body::Zip(chaos(&["tame"]))).await;
    let path = format!("/api/plugins/{}", installed.json()["id"].as_str().unwrap());
    let external = json!({"mode": "external", "manifest": external_manifest("outside")});
    let external = rest.post("/api/plugins", Body::Json(external)).await;
    let outside = format!("/api/plugins/{}", external.json()["id"].as_str().unwrap());
    let answers = [
        installed,
        external,
        rest.get("/api/plugins").await,
        rest.get(&path).await,
        rest.patch(&format!("{path}/active"), Body::Json(json!({"active": "active"}))).await,
        rest.patch(&format!("{path}/package"), Body::Zip(chaos(&["tame"]))).await,
        rest.get(&format!("{path}/configuration-schema")).await,
        rest.get(&format!("{path}/configuration")).await,
        rest.patch(&format!("{path}/configuration"), Body::Json(json!({"greeting": "hello"}))).await,
        rest.post(&format!("{outside}/token"), Body::None).await,
        rest.patch(&format!("{outside}/manifest"), Body::Json(external_manifest("outside"))).await,
    ];
    for (number, answer) in answers.iter().enumerate() {
        answer.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/json"), "{number}");
        assert!(answer.bytes.ends_with(b"}\n") && !answer.bytes.ends_with(b"\n\n"), "{number}");
    }
    let deleted = rest.delete(&path).await;
    assert_eq!((deleted.status, deleted.bytes.len(), deleted.header("content-type")), (204, 0, None));
}
