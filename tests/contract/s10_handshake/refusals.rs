//! Before the upgrade (CONTRACT 10.1, 10.3).

use serde_json::json;

use super::{super::support::Wire, UPGRADE, rpc};
use crate::harness::{Answer, Body, Plugd, external_manifest};

#[track_caller]
fn is_refused(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{what}");
    assert!(!answer.bytes.is_empty(), "{what} is not explained");
}

#[tokio::test]
async fn who_may_not_come_in_is_told_so_in_plain_text_10_3() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let other = plugd.api().register(&external_manifest("other")).await.unwrap();
    let supervised = plugd.api().install(&["tame"]).await;
    let token = external.token();
    let unknown = format!("sdprt_{}", "a".repeat(32));
    let sealed = "A".repeat(80);
    let cases = [
        (String::new(), 400),
        ("?token=".to_owned(), 400),
        (format!("?plugin_id={supervised}"), 400),
        (format!("?token={sealed}"), 400),
        (format!("?token={sealed}&plugin_id=short"), 400),
        (format!("?token={token}&plugin_id=short"), 400),
        (format!("?token={sealed}&plugin_id={supervised}"), 401),
        (format!("?token={sealed}&plugin_id={}", external.id), 401),
        (format!("?token={unknown}"), 401),
        (format!("?token={token}&plugin_id={}", other.id), 401),
        (format!("?token={token}&plugin_id={supervised}"), 401),
        (format!("?token={sealed}&plugin_id=9m4e2mr0ui3e8a215n4g"), 401),
    ];
    for (query, status) in cases {
        is_refused(&rpc(&plugd, &query, &UPGRADE).await, status, &query);
    }
}

#[tokio::test]
async fn who_may_come_in_but_asks_for_no_upgrade_is_told_so_10_3() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let query = format!("?token={}", external.token());
    let instead = |index: usize, header: &'static str| {
        let mut headers = UPGRADE;
        headers[index] = header;
        headers
    };
    is_refused(&rpc(&plugd, &query, &[]).await, 426, "no upgrade");
    is_refused(&rpc(&plugd, &query, &instead(2, "sec-websocket-version: 8")).await, 400, "version 8");
    is_refused(&rpc(&plugd, &query, &instead(3, "sec-websocket-key: dGhl")).await, 400, "a short key");
    let foreign = [&UPGRADE[..], &["origin: https://evil.example"]].concat();
    is_refused(&rpc(&plugd, &query, &foreign).await, 403, "a foreign origin");
    for method in ["POST", "PUT", "DELETE"] {
        let path = format!("/rpc{query}");
        is_refused(&plugd.rest_as(None).send(method, &path, Body::None, &UPGRADE).await, 405, method);
    }
    is_refused(&rpc(&plugd, "?token=nobodys", &[]).await, 400, "authentication comes first");
}

#[tokio::test]
async fn the_endpoint_is_exactly_rpc_and_not_under_api_10_1() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap();
    for path in ["/rpc/", "/api/rpc", "/rpc/x"] {
        let path = format!("{path}?token={}", external.token());
        assert_eq!(plugd.rest_as(None).send("GET", &path, Body::None, &UPGRADE).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn an_origin_that_is_our_own_host_is_let_in_10_1() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let query = format!("token={}", external.token());
    let own = format!("http://{}", plugd.address());
    assert_eq!(Wire::dial_with(&plugd, &query, &[("origin", "http://127.0.0.1:1")]).await.err(), Some(403));
    assert!(Wire::dial_with(&plugd, &query, &[("origin", &own)]).await.is_ok());
}

/// Python offers it each time, and is content without it.
#[tokio::test]
async fn compression_may_be_offered_and_is_not_taken_10_1() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let offer = [("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")];
    let dialled = Wire::dial_with(&plugd, &format!("token={}", external.token()), &offer).await;
    let (mut wire, answer) = dialled.unwrap();
    assert!(answer.get("sec-websocket-extensions").is_none() && answer.get("sec-websocket-protocol").is_none());
    assert_eq!(wire.call("1", "get_config", json!({})).await["result"]["config"], json!({}));
}
