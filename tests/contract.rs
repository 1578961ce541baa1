//! The plugin WebSocket's handshake, byte for byte where existing SDKs depend on it.

mod applications;
mod crowds;
mod events;
mod external;
mod messages;
mod power_cuts;
mod python;
mod s01_transport;
mod s02_shapes;
mod s03_rest;
mod s16_errors;
mod s17_sd;
mod s18_admin;
mod support;

use plugd::api::v1::ReportedState::Active;

use crate::harness::{Answer, Body, Plugd, external_manifest, state_of};

const UPGRADE: [&str; 4] = [
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
];

async fn rpc(plugd: &Plugd, query: &str, headers: &[&str]) -> Answer {
    plugd.rest_as(None).send("GET", &format!("/rpc{query}"), Body::None, headers).await
}

#[tokio::test]
async fn refusals_before_the_upgrade_contract_10_3() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let other = plugd.api().register(&external_manifest("other")).await.unwrap();
    let supervised = plugd.api().install(&["tame"]).await;
    let token = &external.token;
    let unknown = format!("sdprt_{}", "a".repeat(32));
    let sealed = "A".repeat(80);
    let cases = [
        (String::new(), 400),
        (format!("?plugin_id={supervised}"), 400),
        (format!("?token={sealed}"), 400),
        (format!("?token={sealed}&plugin_id=short"), 400),
        (format!("?token={token}&plugin_id=short"), 400),
        (format!("?token={sealed}&plugin_id={supervised}"), 401),
        (format!("?token={unknown}"), 401),
        (format!("?token={token}&plugin_id={}", other.id), 401),
        (format!("?token={token}x&plugin_id={}", external.id), 401),
        (format!("?token={sealed}&plugin_id=9m4e2mr0ui3e8a215n4g"), 401),
    ];
    for (query, status) in cases {
        let answer = rpc(&plugd, &query, &UPGRADE).await;
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.header("content-type").is_none_or(|media| media.starts_with("text/plain")), "{query}");
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_told_so_contract_10_3() {
    let plugd = Plugd::start().await;
    let external = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let query = format!("?token={}", external.token);
    assert_eq!(rpc(&plugd, &query, &[]).await.status, 426);
    let mut old = UPGRADE;
    old[2] = "sec-websocket-version: 8";
    assert_eq!(rpc(&plugd, &query, &old).await.status, 400);
    let foreign = [&UPGRADE[..], &["origin: https://evil.example"]].concat();
    assert_eq!(rpc(&plugd, &query, &foreign).await.status, 403);
    let posted = plugd.rest_as(None).send("POST", &format!("/rpc{query}"), Body::None, &UPGRADE).await;
    assert_eq!(posted.status, 405);
}

#[tokio::test]
async fn the_token_of_a_supervised_plugin_is_good_for_one_connection_contract_10_2() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["print-env"]).await;
    let url = api.logs(&id).await.find("env PLUGD_RPC_URL=").await;
    let query = &url[url.find('?').unwrap()..];

    let answer = rpc(&plugd, query, &UPGRADE).await;

    assert_eq!(answer.status, 401);
    assert_eq!(state_of(&api.get(&id).await.unwrap()), Active);
}
