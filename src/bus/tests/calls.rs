//! Calls of plugins by the application.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::{bus, domain::Reason, link::RpcError};

const LIMIT: Duration = Duration::from_secs(7);

async fn call(world: &World, plugin: &Plugin, params: Value) -> crate::domain::Result<Map<String, Value>> {
    bus::call(world.handle.projection(), plugin.id, ("robot_tool_call", object(params)), LIMIT, None).await
}

/// CONTRACT 11.3: the method and exactly the given parameters arrive, the result comes back as it is.
#[tokio::test(start_paused = true)]
async fn a_call_brings_back_what_the_plugin_answers() {
    let world = mk_world().await;
    let (plugin, peer) = consumer(&world, "one", &[]).await;
    tokio::spawn(peer.answer_all(|call| {
        assert_eq!(call.method, "robot_tool_call");
        Ok(json!({"method": call.method, "output": call.params["arguments"]}))
    }));
    let result = call(&world, &plugin, json!({"arguments": {"a": [1, null]}})).await.unwrap();
    assert_eq!(Value::Object(result), json!({"method": "robot_tool_call", "output": {"a": [1, null]}}));
    world.shut_down().await;
}

/// CONTRACT 11.3: a handler that raised answers −32000.
#[tokio::test(start_paused = true)]
async fn an_error_of_the_plugin_comes_with_its_code_and_its_message() {
    let world = mk_world().await;
    let (plugin, peer) = consumer(&world, "one", &[]).await;
    tokio::spawn(peer.answer_all(|_| Err(RpcError::failed("handler error: no"))));
    let error = call(&world, &plugin, json!({})).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginCallFailed);
    assert_eq!((&*error.metadata["code"], &*error.metadata["message"]), ("-32000", "handler error: no"));
    assert_eq!(
        (&*error.metadata["method"], &*error.metadata["plugin_id"]),
        ("robot_tool_call", &*plugin.id.to_string())
    );
    world.shut_down().await;
}

/// CONTRACT 11.3: the Python SDK never answers what it does not know, so each call has a deadline.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_ends_at_its_deadline() {
    let world = mk_world().await;
    let (plugin, _deaf) = consumer(&world, "one", &[]).await;
    let began = Instant::now();
    let error = call(&world, &plugin, json!({})).await.unwrap_err();
    assert_eq!((error.reason, began.elapsed()), (Reason::PluginCallTimedOut, LIMIT));
    world.shut_down().await;
}

/// CONTRACT 11.3: sends fail immediately without a connection; a pending call fails when the socket closes.
#[tokio::test(start_paused = true)]
async fn without_a_connection_a_call_fails_at_once_even_one_under_way() {
    let world = mk_world().await;
    let plugin = register(&world, "one", json!({})).await;
    let began = Instant::now();
    let error = call(&world, &plugin, json!({})).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginNotConnected);
    let mut peer = dial(&world, &plugin).await;
    let hang_up = async {
        peer.next().await.unwrap();
        drop(peer);
    };
    let (answer, ()) = tokio::join!(call(&world, &plugin, json!({})), hang_up);
    let error = answer.unwrap_err();
    assert_eq!(error.reason, Reason::PluginCallFailed, "it was called");
    assert!(error.message.contains("went away before it answered"), "{error}");
    assert_eq!(began.elapsed(), Duration::ZERO);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn what_plugd_calls_by_itself_can_not_be_called_behind_its_back() {
    let world = mk_world().await;
    let (plugin, mut peer) = consumer(&world, "one", &[]).await;
    for (method, instead) in [("configure", "UpdateConfiguration"), ("event", "PublishEvent"), ("ping", "status")] {
        let called = bus::call(world.handle.projection(), plugin.id, (method, Map::new()), LIMIT, None).await;
        let refused = called.unwrap_err();
        assert_eq!((refused.reason, &*refused.violations[0].field), (Reason::InvalidArgument, "method"));
        assert!(refused.message.contains(instead), "{refused}");
    }
    let long = "m".repeat(129);
    let called = bus::call(world.handle.projection(), plugin.id, (&long, Map::new()), LIMIT, None).await;
    assert_eq!(&*called.unwrap_err().violations[0].field, "method");
    assert!(tokio::time::timeout(LIMIT, peer.next()).await.is_err(), "the plugin was called");
    world.shut_down().await;
}

/// CONTRACT 10.4: the Python SDK takes messages of at most 1 MiB.
#[tokio::test(start_paused = true)]
async fn a_call_that_no_plugin_could_read_is_refused_and_harms_nobody() {
    let world = mk_world().await;
    let (plugin, peer) = consumer(&world, "one", &[]).await;
    tokio::spawn(peer.answer_all(|_| Ok(json!({}))));
    let error = call(&world, &plugin, json!({"arguments": "x".repeat(1 << 20)})).await.unwrap_err();
    assert_eq!(error.reason, Reason::TooLarge);
    assert!(call(&world, &plugin, json!({})).await.is_ok());
    world.shut_down().await;
}

/// CONTRACT 11.3 (b): replies come in any order.
#[tokio::test(start_paused = true)]
async fn answers_find_their_calls_in_whatever_order_they_come() {
    let world = mk_world().await;
    let (plugin, mut peer) = consumer(&world, "one", &[]).await;
    let backwards = async {
        let mut calls = Vec::new();
        for _ in 0..20 {
            calls.push(peer.next().await.unwrap());
        }
        calls.iter().rev().for_each(|call| peer.answer(&call.id, Ok(call.params.clone())));
    };
    let calls = (0..20).map(|number| call(&world, &plugin, json!({"number": number})));
    let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), backwards);
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["number"], number);
    }
    world.shut_down().await;
}

/// The API has 64-bit floats only: the plugin's author is told which number to send as a string.
#[tokio::test(start_paused = true)]
async fn a_result_with_a_number_that_would_change_is_refused_with_its_place() {
    let world = mk_world().await;
    let (plugin, peer) = consumer(&world, "one", &[]).await;
    tokio::spawn(peer.answer_all(|_| Ok(json!({"rows": [{"id": 9_007_199_254_740_993_i64}]}))));
    let error = call(&world, &plugin, json!({})).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginCallFailed);
    let told = "result.rows[0].id: the number 9007199254740993 can't be carried exactly; send it as a string";
    assert!(error.message.contains(told), "{}", error.message);
    world.shut_down().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_that_no_caller_could_take_is_refused_with_its_size() {
    let world = mk_world().await;
    let (plugin, peer) = consumer(&world, "one", &[]).await;
    tokio::spawn(peer.answer_all(|_| Ok(json!({"rows": vec![1; 400_000]}))));
    let error = call(&world, &plugin, json!({})).await.unwrap_err();
    assert_eq!(error.reason, Reason::PluginCallFailed);
    assert!(error.message.contains("on the way to the caller"), "{}", error.message);
    world.shut_down().await;
}
