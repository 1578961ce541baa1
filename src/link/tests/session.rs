use serde_json::json;

use super::*;
use crate::link::{RpcError, fake::FakePeer};

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_call_gets_its_answer() {
    let (session, mut plugin) = Session::channel("test/1");
    let (answer, ()) = tokio::join!(session.call("configure", Some(json!({"a": 1})), LONG), async {
        let call = plugin.next().await.unwrap();
        assert_eq!((call.method.as_str(), &call.params), ("configure", &json!({"a": 1})));
        plugin.answer(&call.id, Ok(FakePeer::ok(&call)));
    });
    assert_eq!(answer.unwrap()["ok"], true);
}

#[tokio::test]
async fn answers_find_their_calls_in_any_order_11_3() {
    let (session, mut plugin) = Session::channel("test/1");
    let (first, second, ()) = tokio::join!(
        session.call("event", Some(json!({"n": 1})), LONG),
        session.call("configure", None, LONG),
        async {
            let calls = [plugin.next().await.unwrap(), plugin.next().await.unwrap()];
            for call in calls.iter().rev() {
                plugin.answer(&call.id, Ok(json!({"method": call.method})));
            }
        }
    );
    assert_eq!((&first.unwrap()["method"], &second.unwrap()["method"]), (&json!("event"), &json!("configure")));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_times_out() {
    let (session, _plugin) = Session::channel("test/1");
    assert_eq!(session.call("event", None, LONG).await, Err(CallError::TimedOut(LONG)));
}

#[tokio::test]
async fn the_end_of_the_connection_fails_every_call_at_once_11_3() {
    let (session, plugin) = Session::channel("test/1");
    let (answer, ()) = tokio::join!(session.call("event", None, LONG), async { drop(plugin) });
    assert_eq!(answer, Err(CallError::Lost("its connection ended".into())));
    assert_eq!(session.call("event", None, LONG).await, Err(CallError::NotConnected));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once() {
    let (session, _plugin) = Session::channel("test/1");
    for _ in 0..crate::link::queue::MAX_MESSAGES {
        session.send_ping(LONG).unwrap();
    }
    assert_eq!(session.call("event", None, LONG).await, Err(CallError::QueueFull));
}

#[tokio::test]
async fn a_call_that_is_given_up_gives_its_place_back() {
    let (session, mut plugin) = Session::channel("test/1");
    // More than may be unanswered at once.
    for _ in 0..2000 {
        tokio::select! {
            biased;
            answer = session.call("event", None, LONG) => panic!("answered: {answer:?}"),
            call = plugin.next() => assert_eq!(call.unwrap().method, "event"),
        }
    }
    assert!(session.busy_until().is_some(), "the plugin is still at them");
    let (answer, ()) = tokio::join!(session.call("configure", None, LONG), async {
        let call = plugin.next().await.unwrap();
        plugin.answer(&call.id, Ok(FakePeer::ok(&call)));
    });
    assert!(answer.is_ok(), "{answer:?}");
}

#[tokio::test]
async fn a_message_over_one_mebibyte_is_refused_10_4() {
    let (session, _plugin) = Session::channel("test/1");
    let params = json!({"text": "x".repeat(MAX_OUTBOUND)});
    let refused = session.call("event", Some(params), LONG).await;
    assert!(matches!(refused, Err(CallError::TooLarge { limit: MAX_OUTBOUND, .. })), "{refused:?}");
    assert_eq!(session.busy_until(), None, "a call that was never sent keeps nobody busy");
}

#[tokio::test]
async fn an_error_of_the_plugin_is_its_refusal() {
    let (session, mut plugin) = Session::channel("test/1");
    let error = RpcError { code: -32601, message: "no tools".into() };
    let (answer, ()) = tokio::join!(session.call("robot_tool_call", None, LONG), async {
        let call = plugin.next().await.unwrap();
        plugin.answer(&call.id, Err(error.clone()));
    });
    assert_eq!(answer, Err(CallError::Refused(error)));
}

#[tokio::test]
async fn a_ping_that_is_answered_with_an_error_proves_life() {
    let (session, mut plugin) = Session::channel("test/1");
    let (lives, ()) = tokio::join!(session.ping(LONG), async {
        let call = plugin.next().await.unwrap();
        assert_eq!((call.method.as_str(), &call.params), ("ping", &Value::Null));
        plugin.answer(&call.id, Err(RpcError::failed("what?")));
    });
    assert!(lives);
}

#[tokio::test(start_paused = true)]
async fn silence_proves_nothing() {
    let (session, plugin) = Session::channel("test/1");
    assert!(!session.ping(LONG).await);
    let asked = Instant::now();
    let (lives, ()) = tokio::join!(session.ping(LONG), async { drop(plugin) });
    assert!(!lives, "the connection ended");
    assert!(asked.elapsed() < LONG, "the end of the connection is an answer too");
}

#[tokio::test]
async fn the_first_reason_to_close_counts() {
    let (session, plugin) = Session::channel("test/1");
    session.close(CloseReason::GoingAway);
    session.close(CloseReason::Closed);
    assert_eq!(plugin.closed().await, CloseReason::GoingAway);
}

#[tokio::test]
async fn a_fake_plugin_answers_until_it_is_closed() {
    let (session, plugin) = Session::channel("test/1");
    let plugin = tokio::spawn(plugin.answer_all(|call| Ok(FakePeer::ok(call))));
    assert!(session.call("configure", None, LONG).await.is_ok());
    session.close(CloseReason::Rejected);
    assert_eq!(plugin.await.unwrap(), CloseReason::Rejected);
}
