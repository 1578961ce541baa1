//! `access_get` and its encodings (CONTRACT 13).

use super::*;

const PYTHON: &str = "Python/3.11 websockets/15.0.1";
const GO: &str = "Go-http-client/1.1";

fn credentials() -> Credentials {
    Credentials { access_key: "sdbak_k".to_owned().into(), api_base_url: "http://host:3000".to_owned() }
}

async fn access(fixture: &Fixture, user_agent: &str) -> Value {
    fixture.call(user_agent, "access_get", json!({})).await.expect("the outer response is a success")
}

async fn mk_fixture(fallback: Option<Credentials>) -> Fixture {
    mk_fixture_of(json!({"access": {"handle": "bot", "name": "Bot", "permissions": []}}), fallback).await
}

/// CONTRACT 13: a complete response inside `result`, with the caller's own id.
#[tokio::test(start_paused = true)]
async fn the_answer_is_a_whole_response_of_its_own() {
    let fixture = mk_fixture(Some(credentials())).await;
    let answer = access(&fixture, "curl/8").await;
    let id = mk_caller(&fixture.plugin, "").request_id;
    assert_eq!(
        answer,
        json!({"jsonrpc": "2.0", "id": id, "method": "access_get",
               "result": {"access_key": "sdbak_k", "api_base_url": "http://host:3000"}})
    );
    fixture.close().await;
}

/// CONTRACT 13, the three-way incompatibility **[must]**.
#[tokio::test(start_paused = true)]
async fn each_sdk_gets_the_encoding_that_it_reads() {
    let fixture = mk_fixture(Some(credentials())).await;
    let python = access(&fixture, PYTHON).await["result"].clone();
    assert_eq!(python, json!({"access_key": "sdbak_k", "apibase_url": "http://host:3000"}));
    let go = access(&fixture, GO).await["result"].clone();
    assert_eq!(
        go,
        json!({"access_key": "sdbak_k", "api_base_url": {
            "Scheme": "http", "Opaque": "", "User": null, "Host": "host:3000", "Path": "", "RawPath": "",
            "OmitHost": false, "ForceQuery": false, "RawQuery": "", "Fragment": "", "RawFragment": ""}})
    );
    for other in ["", "curl/8", "Node.js", "Python/3.11 aiohttp/3.9"] {
        let other = access(&fixture, other).await["result"].clone();
        assert_eq!(other, json!({"access_key": "sdbak_k", "api_base_url": "http://host:3000"}));
    }
    fixture.close().await;
}

/// CONTRACT 13: Go's struct keeps scheme, host and path apart.
#[tokio::test(start_paused = true)]
async fn an_address_with_a_path_is_taken_apart_for_go() {
    let api_base_url = "https://forum.example/community".to_owned();
    let fixture = mk_fixture(Some(Credentials { api_base_url, ..credentials() })).await;
    let url = access(&fixture, GO).await["result"]["api_base_url"].clone();
    assert_eq!(
        (&url["Scheme"], &url["Host"], &url["Path"]),
        (&json!("https"), &json!("forum.example"), &json!("/community"))
    );
    fixture.close().await;
}

/// CONTRACT 13: failures are inside the result as well, and `result.method` is still there.
#[tokio::test(start_paused = true)]
async fn a_manifest_without_access_gets_32601_inside_the_result_whoever_serves() {
    let fixture = mk_fixture_of(json!({}), Some(credentials())).await;
    fixture.serve(&["*"], |_| Ok(json!({"access_key": "k", "api_base_url": "u"})));
    for agent in [PYTHON, GO, ""] {
        let answer = access(&fixture, agent).await;
        assert_eq!(answer["method"], "access_get");
        assert_eq!(answer["error"], json!({"code": -32601, "message": "manifest does not request access"}));
        assert_eq!(answer["result"], json!({}), "a zero value");
    }
    fixture.close().await;
}

/// plugd's own decision on the methods that a plugin calls.
#[tokio::test(start_paused = true)]
async fn with_nobody_serving_and_no_credentials_the_answer_names_what_is_missing() {
    let fixture = mk_fixture(None).await;
    let error = access(&fixture, PYTHON).await["error"].clone();
    assert_eq!(error["code"], -32601);
    assert!(error["message"].as_str().unwrap().contains("access_get"), "{error}");
    assert!(error["message"].as_str().unwrap().contains("ServeHost"), "{error}");
    fixture.close().await;
}

/// plugd's own decision: the application comes first, what the operator gave stands in for it.
#[tokio::test(start_paused = true)]
async fn an_application_that_serves_it_comes_before_the_operators_credentials() {
    let fixture = mk_fixture(Some(credentials())).await;
    fixture.serve(&["access_get"], |_| Ok(json!({"access_key": "sdbak_app", "api_base_url": "http://app"})));
    let answer = access(&fixture, PYTHON).await;
    assert_eq!(answer["result"], json!({"access_key": "sdbak_app", "apibase_url": "http://app"}));
    fixture.close().await;
}

/// CONTRACT 13: −32603 for anything but the missing request for access.
#[tokio::test(start_paused = true)]
async fn an_application_that_fails_or_answers_half_is_32603_inside_the_result() {
    for broken in [json!({"access_key": "k"}), json!({"api_base_url": "u"}), json!({})] {
        let fixture = mk_fixture(Some(credentials())).await;
        fixture.serve(&["access_get"], move |_| Ok(broken.clone()));
        assert_eq!(access(&fixture, GO).await["error"]["code"], -32603);
        fixture.close().await;
    }
    let fixture = mk_fixture(None).await;
    fixture.serve(&["access_get"], |_| Err(RpcError { code: -1, message: "account suspended".to_owned() }));
    let error = access(&fixture, GO).await["error"].clone();
    assert_eq!(error, json!({"code": -32603, "message": "account suspended"}));
    fixture.close().await;
}
