//! `robot_run`: all its failures are answers (CONTRACT 11.4).

use serde_json::{Value, json};

use super::super::support::{Application, Wire, access, register};
use crate::harness::Plugd;

const SESSION: &str = "9m4e2mr0ui3e8a215n4g";

fn ask() -> Value {
    json!({"message": "hi", "robot_id": "r", "session_id": SESSION})
}

/// A plugin that may run robots, and the application that has them.
async fn robots(plugd: &Plugd) -> (Application, Wire) {
    let application = Application::serve(&plugd.api(), &["robot_run"]).await;
    let (_, wire) = register(plugd, &access(&["CREATE_POST", "USE_ROBOTS"]), "").await;
    (application, wire)
}

#[track_caller]
fn is_failed(answer: &Value, why: &str) {
    assert!(answer.get("error").is_none(), "a failure is a success of the call: {answer}");
    assert!(answer["result"]["error"].as_str().unwrap().contains(why), "{answer}");
    assert!(answer["result"].get("output").is_none(), "{answer}");
}

#[tokio::test]
async fn who_may_not_run_robots_is_answered_before_the_application_is_asked_11_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["*"]).await;
    for (members, why) in [(json!({}), "does not request access"), (access(&["CREATE_POST"]), "USE_ROBOTS")] {
        let (_, mut wire) = register(&plugd, &members, "").await;
        let answer = wire.call("1", "robot_run", ask()).await;
        is_failed(&answer, why);
        assert_eq!(answer["result"]["session_id"], SESSION);
        wire.ask("2", "other", json!({})).await;
        let call = application.call().await;
        assert_eq!(call.method, "other", "the first that it hears of");
        application.reply(&call, &json!({})).await;
        wire.frame().await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_is_blank_and_a_session_that_is_no_xid_are_answered_before_the_application_is_asked_11_4() {
    let plugd = Plugd::start().await;
    let (mut application, mut wire) = robots(&plugd).await;
    for (key, value, why) in
        [("message", json!(" \n"), "blank"), ("message", Value::Null, "blank"), ("session_id", json!("s"), "xid")]
    {
        let mut params = ask();
        params[key] = value;
        is_failed(&wire.call("1", "robot_run", params).await, why);
    }
    wire.ask("2", "robot_run", ask()).await;
    assert_eq!(application.call().await.params.unwrap().fields.len(), 3, "the first that it hears of");
}

#[tokio::test]
async fn without_a_session_the_answer_names_a_new_one_11_4() {
    let plugd = Plugd::start().await;
    let (_application, mut wire) = robots(&plugd).await;
    let mut named = async || {
        let answer = wire.call("1", "robot_run", json!({"message": "", "robot_id": "r"})).await;
        let session = answer["result"]["session_id"].as_str().unwrap().to_owned();
        assert_eq!(session.parse::<xid::Id>().unwrap().to_string(), session);
        session
    };
    assert_ne!(named().await, named().await);
}

#[tokio::test]
async fn what_the_application_fails_with_is_the_error_of_the_answer_11_4() {
    let plugd = Plugd::start().await;
    let (mut application, mut wire) = robots(&plugd).await;
    wire.ask("1", "robot_run", ask()).await;
    let call = application.call().await;
    application.fail(&call, -32050, "out of robots").await;
    let answer = wire.frame().await.unwrap();
    is_failed(&answer, "out of robots");
    assert_eq!(answer["result"]["session_id"], SESSION);
    wire.ask("2", "robot_run", ask()).await;
    application.call().await;
    drop(application);
    is_failed(&wire.frame().await.unwrap(), "went away");
    is_failed(&wire.call("3", "robot_run", ask()).await, "no application serves");
}

#[tokio::test]
async fn what_the_robot_came_to_is_the_output_of_the_answer_11_4() {
    let plugd = Plugd::start().await;
    let (mut application, mut wire) = robots(&plugd).await;
    let attention = json!({"reason": "needs_approval", "message": "may I?"});
    for output in [
        json!({"status": "completed", "summary": "done"}),
        json!({"status": "blocked", "summary": "", "attention": attention}),
    ] {
        let mut params = ask();
        params["workspace"] = json!({"workspace_id": SESSION});
        wire.ask("1", "robot_run", params.clone()).await;
        let call = application.call().await;
        let asked = plugd::api::json::from_struct(call.params.as_ref().unwrap());
        assert_eq!(Value::Object(asked), params, "as the plugin asked it");
        application.reply(&call, &json!({"output": output})).await;
        let expected = json!({"method": "robot_run", "session_id": SESSION, "output": output});
        assert_eq!(wire.frame().await.unwrap()["result"], expected);
    }
}

/// The Go SDK could not decode it, and its call would hang for ten minutes.
#[tokio::test]
async fn what_no_sdk_could_decode_is_an_error_of_the_answer_11_4() {
    let plugd = Plugd::start().await;
    let (mut application, mut wire) = robots(&plugd).await;
    for broken in [json!({"session_id": "s"}), json!({"output": "done"}), json!({"output": {"status": "great"}})] {
        wire.ask("1", "robot_run", ask()).await;
        let call = application.call().await;
        application.reply(&call, &broken).await;
        is_failed(&wire.frame().await.unwrap(), "can't be read");
    }
}
