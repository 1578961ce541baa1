//! Tokens (CONTRACT 10.2). That a rotated one is refused is held in `s09_external`.

use plugd::api::v1::ReportedState::{Active, Connecting};
use serde_json::json;

use super::{
    super::support::{Wire, settle},
    UPGRADE, rpc,
};
use crate::harness::{Body, Plugd, external_manifest, packaged, state_of, url_told_to};

/// How the example `chaos` prints the address that it was given.
const ADDRESS: &str = "env PLUGD_RPC_URL=";

/// The query of the address that a supervised plugin was given; it runs when its log has a line that starts like this.
async fn query_of(plugd: &Plugd, id: &str, line: &str) -> String {
    plugd.api().logs(id).await.find(line).await;
    url_told_to(plugd, id).await.split_once('?').unwrap().1.to_owned()
}

fn is_external(token: &str) -> bool {
    let secret = token.strip_prefix("sdprt_").unwrap_or_default();
    secret.len() == 32 && secret.bytes().all(|c| c.is_ascii_alphanumeric())
}

#[tokio::test]
async fn an_external_token_is_its_prefix_and_32_letters_and_digits_10_2() {
    let plugd = Plugd::start().await;
    for number in 0..20 {
        let plugin = plugd.api().register(&external_manifest(&format!("p{number}"))).await.unwrap();
        assert!(is_external(plugin.token()), "{}", plugin.token());
        let path = format!("/api/plugins/{}/token", plugin.id);
        let cycled = plugd.rest().post(&path, Body::None).await.expect(200)["token"].clone();
        assert!(is_external(cycled.as_str().unwrap()) && cycled != plugin.token(), "{cycled}");
    }
}

#[tokio::test]
async fn an_external_token_opens_again_and_again_with_its_plugin_id_or_without_10_2() {
    let plugd = Plugd::start().await;
    let plugin = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let (id, token) = (&plugin.id, format!("token={}", plugin.token()));
    for query in [token.clone(), format!("{token}&plugin_id={id}"), format!("plugin_id={id}&{token}")] {
        let wire = Wire::dial_as(&plugd, &query, "").await.unwrap();
        settle(&plugd, id, Active).await;
        assert_eq!(wire.hang_up(Some(1000)).await, Some(1000));
        settle(&plugd, id, Connecting).await;
    }
}

#[tokio::test]
async fn what_only_starts_like_an_external_token_is_taken_for_a_supervised_one_10_2() {
    let plugd = Plugd::start().await;
    let plugin = plugd.api().register(&external_manifest("outside")).await.unwrap();
    let token = plugin.token();
    for near in [&format!("{token}x"), &token[..37], &format!("{}-", &token[..37]), "sdprt_"] {
        assert_eq!(rpc(&plugd, &format!("?token={near}"), &UPGRADE).await.status, 400, "{near} names no plugin");
        let query = format!("?token={near}&plugin_id={}", plugin.id);
        assert_eq!(rpc(&plugd, &query, &UPGRADE).await.status, 401, "{near}");
    }
}

/// The SDKs pick their mode by the prefix.
#[tokio::test]
async fn the_token_of_a_supervised_plugin_is_new_for_each_start_and_has_no_prefix_of_others_10_2_must() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["print-env"]).await;
    let first = query_of(&plugd, &id, ADDRESS).await;
    api.restart(&id).await.unwrap();
    let second = query_of(&plugd, &id, ADDRESS).await;
    assert_ne!(first, second);
    for query in [first, second] {
        let token = query.strip_prefix(&format!("plugin_id={id}&token=")).unwrap();
        assert!(!token.starts_with("sdprt_"), "{token}");
        assert!(token.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_')), "{token}");
    }
}

#[tokio::test]
async fn the_token_of_a_supervised_plugin_is_good_for_one_connection_10_2() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let id = api.run(&["print-env"]).await;

    let answer = rpc(&plugd, &format!("?{}", query_of(&plugd, &id, ADDRESS).await), &UPGRADE).await;

    assert_eq!(answer.status, 401);
    assert_eq!(state_of(&api.get(&id).await.unwrap()), Active);
}

/// CONTRACT 19, row 19: what turns out to be no upgrade spends nothing.
#[tokio::test]
async fn a_supervised_token_stays_good_until_it_was_used_for_a_connection_10_2() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let script = "env; exec sleep 600";
    let manifest = json!({"id": "idle", "author": "a", "name": "Idle", "command": "sh", "args": ["-c", script]});
    let id = api.upload(packaged(&manifest)).await.unwrap().id;
    api.begin(&id).await;
    let query = query_of(&plugd, &id, "PLUGD_RPC_URL=").await;
    let other = query.replace("token=", "token=A");
    assert_eq!(rpc(&plugd, &format!("?{other}"), &UPGRADE).await.status, 401, "another token");
    assert_eq!(rpc(&plugd, &format!("?{query}"), &[]).await.status, 426);

    let mut wire = Wire::dial_as(&plugd, &query, "").await.unwrap();

    assert_eq!(wire.call("1", "get_config", json!({})).await["result"]["config"], json!({}));
    assert_eq!(Wire::dial_as(&plugd, &query, "").await.err(), Some(401));
    settle(&plugd, &id, Active).await;
    wire.obey();
    api.deactivate(&id).await.unwrap();
}
