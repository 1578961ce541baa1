//! `robot_run`, whose failures are answers (CONTRACT 11.4).

use super::*;

const SESSION: &str = "9m4e2mr0ui3e8a215n4g";

async fn mk_fixture(permission: &str) -> Fixture {
    mk_fixture_of(json!({"access": {"handle": "bot", "name": "Bot", "permissions": [permission]}}), None).await
}

async fn run(fixture: &Fixture, params: Value) -> Value {
    fixture.call("", "robot_run", params).await.expect("all its failures are answers")
}

#[tokio::test(start_paused = true)]
async fn what_a_plugin_may_not_ask_or_asks_badly_never_reaches_the_application() {
    let good = json!({"message": "hi", "session_id": SESSION});
    let with = |key: &str, value: Value| {
        let mut params = good.clone();
        params[key] = value;
        params
    };
    let robots = json!({"access": {"permissions": ["USE_ROBOTS"]}});
    for (manifest, params, why) in [
        (json!({}), good.clone(), "does not request access"),
        (json!({"access": {"permissions": ["CREATE_POST"]}}), good.clone(), "USE_ROBOTS"),
        (robots.clone(), with("message", json!(" \t\n")), "blank"),
        (robots.clone(), with("message", json!(7)), "blank"),
        (robots.clone(), json!({"session_id": SESSION}), "blank"),
        (robots, with("session_id", json!("s")), "xid"),
    ] {
        let fixture = mk_fixture_of(manifest, None).await;
        fixture.serve(&["*"], |_| panic!("asked"));
        let answer = run(&fixture, params.clone()).await;
        assert!(answer["error"].as_str().unwrap().contains(why), "{params}: {answer}");
        let session = answer["session_id"].as_str().unwrap();
        assert!(session == SESSION || params["session_id"] == "s" && session.parse::<xid::Id>().is_ok(), "{answer}");
        fixture.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn that_nobody_serves_it_and_that_the_application_fails_are_answers_with_a_session() {
    let fixture = mk_fixture("USE_ROBOTS").await;
    let unserved = run(&fixture, json!({"message": "hi"})).await;
    assert!(unserved["error"].as_str().unwrap().contains("robot_run"), "{unserved}");
    assert!(is_xid(unserved["session_id"].as_str().unwrap()), "{unserved}");
    fixture.serve(&["robot_run"], |_| Err(RpcError::failed("no robots today")));
    let failed = run(&fixture, json!({"message": "hi", "session_id": SESSION})).await;
    assert_eq!(failed, json!({"session_id": SESSION, "error": "no robots today"}));
    fixture.close().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_passes_with_its_own_session_or_the_one_that_was_asked_for() {
    let fixture = mk_fixture("ADMINISTRATOR").await;
    let theirs = "9m4e2mr0ui3e8a215n50";
    let output =
        json!({"status": "blocked", "summary": "s", "attention": {"reason": "policy_blocked", "message": "m"}});
    let answer = json!({"output": output});
    let served = answer.clone();
    fixture.serve(&["robot_run"], move |call| match call.params["message"].as_str() {
        Some("own") => Ok(json!({"session_id": theirs, "output": served["output"], "undocumented": 1})),
        _ => Ok(served.clone()),
    });
    let own = run(&fixture, json!({"message": "own", "session_id": SESSION})).await;
    assert_eq!(own, json!({"session_id": theirs, "output": answer["output"]}));
    let other = run(&fixture, json!({"message": "other", "session_id": SESSION})).await;
    assert_eq!(other, json!({"session_id": SESSION, "output": answer["output"]}));
    fixture.close().await;
}

/// The Go SDK could not decode it, and its call would hang.
#[tokio::test(start_paused = true)]
async fn an_answer_of_another_shape_is_an_error() {
    for broken in [
        json!({"session_id": "theirs"}),
        json!({"session_id": 1}),
        json!({"output": "done"}),
        json!({"output": {"status": "done", "summary": ""}}),
        json!({"output": {"status": "completed"}}),
        json!({"output": {"status": "failed", "summary": "", "attention": {"reason": "bored", "message": ""}}}),
        json!({"error": {"message": "no"}}),
    ] {
        let fixture = mk_fixture("USE_ROBOTS").await;
        let served = broken.clone();
        fixture.serve(&["robot_run"], move |_| Ok(served.clone()));
        let answer = run(&fixture, json!({"message": "hi", "session_id": SESSION})).await;
        assert_eq!(answer["session_id"], SESSION, "{broken}");
        assert!(answer["error"].as_str().unwrap().contains("can't be read"), "{broken}: {answer}");
        fixture.close().await;
    }
}
