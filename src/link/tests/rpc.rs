//! CONTRACT 11: calls both ways.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn a_call_of_the_plugin_gets_its_id_back_and_a_result_with_its_method_11_1() {
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect().await;
    // As the Python SDK makes them: not an xid (11.2).
    for id in [json!("00zzzzzzzzzzzzzzzzzz"), json!(17)] {
        send(&mut socket, call(id.clone(), "get_config", json!({"keys": ["a"]}))).await;
        assert_eq!(
            receive(&mut socket).await,
            json!({"jsonrpc": "2.0", "id": id, "result": {"method": "get_config", "echo": {"keys": ["a"]}}})
        );
    }
}

#[tokio::test]
async fn the_host_is_told_who_calls() {
    let mut rig = Setup::answering(|caller, _, _| async move {
        Ok(json!({
            "plugin": caller.plugin.to_string(),
            "agent": caller.user_agent,
            "session": caller.session,
            "id": caller.request_id,
        }))
    })
    .start()
    .await;
    let (mut socket, session) = rig.connect().await;
    send(&mut socket, call(7, "access_get", Value::Null)).await;
    let result = receive(&mut socket).await["result"].take();
    assert_eq!(result["plugin"], PLUGIN);
    assert_eq!(result["agent"], "Python/3.11 websockets/15.0.1");
    assert_eq!(result["session"], session.id());
    assert_eq!(result["id"], "7");
}

#[tokio::test]
async fn a_failure_of_the_host_is_an_error_without_a_result_11_4() {
    let mut rig = Setup::answering(|_, method, _| async move {
        match method.as_str() {
            "unknown" => Err(RpcError { code: RpcError::METHOD_NOT_FOUND, message: "no such method".into() }),
            "panics" => panic!("as the test wants it"),
            "large" => Ok(json!({"text": "x".repeat(1 << 20)})),
            _ => Err(RpcError::failed("no")),
        }
    })
    .start()
    .await;
    let (mut socket, _session) = rig.connect().await;
    for (method, code) in [("unknown", -32601), ("panics", -32000), ("large", -32000), ("fails", -32000)] {
        send(&mut socket, call(method, method, json!({}))).await;
        let answer = receive(&mut socket).await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(method), &json!(code)), "{answer}");
        assert!(answer.get("result").is_none() && answer.get("method").is_none(), "{answer}");
    }
}

#[tokio::test]
async fn a_plugin_may_call_the_host_while_it_answers_a_call_11_3() {
    let mut rig = Setup::default().start().await;
    let (mut socket, session) = rig.connect().await;
    let configured = tokio::spawn(async move { session.call("configure", Some(json!({"a": 1})), LONG).await });
    let configure = receive(&mut socket).await;
    assert_eq!(configure["params"], json!({"a": 1}));
    send(&mut socket, call("inner", "access_get", json!({}))).await;
    assert_eq!(receive(&mut socket).await["id"], "inner");
    send(&mut socket, json!({"jsonrpc": "2.0", "id": configure["id"], "result": {"method": "configure", "ok": true}}))
        .await;
    assert_eq!(within(configured).await.unwrap().unwrap()["ok"], true);
}

#[tokio::test]
async fn a_long_call_of_the_plugin_holds_up_no_other_11_4() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Setup::answering({
        let gate = Arc::clone(&gate);
        move |_, method, _| {
            let gate = Arc::clone(&gate);
            async move {
                if method == "robot_run" {
                    let _ = gate.acquire().await;
                }
                Ok(json!({}))
            }
        }
    })
    .start()
    .await;
    let (mut socket, _session) = rig.connect().await;
    send(&mut socket, call("long", "robot_run", json!({}))).await;
    send(&mut socket, call("short", "get_config", json!({}))).await;
    assert_eq!(receive(&mut socket).await["id"], "short");
    gate.add_permits(1);
    assert_eq!(receive(&mut socket).await["id"], "long");
}

#[tokio::test]
async fn the_sixty_fifth_call_at_once_is_refused_as_busy() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Setup::answering({
        let gate = Arc::clone(&gate);
        move |_, _, _| {
            let gate = Arc::clone(&gate);
            async move {
                let _ = gate.acquire().await;
                Ok(json!({}))
            }
        }
    })
    .start()
    .await;
    let (mut socket, _session) = rig.connect().await;
    for id in 0..65 {
        send(&mut socket, call(id, "robot_run", json!({}))).await;
    }
    let refused = receive(&mut socket).await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(64), &json!(-32000)), "{refused}");
    gate.add_permits(100);
    let mut answered = Vec::new();
    for _ in 0..64 {
        answered.push(receive(&mut socket).await["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (0..64).collect::<Vec<_>>());
}

#[tokio::test]
async fn calls_at_once_are_bounded_in_memory_and_give_it_back() {
    let gate = Arc::new(Semaphore::new(0));
    let mut rig = Setup::answering({
        let gate = Arc::clone(&gate);
        move |_, _, _| {
            let gate = Arc::clone(&gate);
            async move {
                let _ = gate.acquire().await;
                Ok(json!({}))
            }
        }
    })
    .start()
    .await;
    let (mut socket, _session) = rig.connect().await;
    // Short texts that take long: 20,000 such objects need some 14 MiB.
    let large = |count: usize| json!({"items": vec![json!({"": 0}); count]});
    for id in 0..5 {
        send(&mut socket, call(id, "robot_run", large(20_000))).await;
    }
    send(&mut socket, call(5, "robot_run", json!({}))).await;
    let refused = receive(&mut socket).await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(4), &json!(-32000)), "{refused}");
    gate.add_permits(100);
    let mut answered = Vec::new();
    for _ in 0..5 {
        answered.push(receive(&mut socket).await["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, [0, 1, 2, 3, 5], "a small one fits beside the large ones");
    send(&mut socket, call(6, "robot_run", large(120_000))).await;
    let answer = receive(&mut socket).await;
    assert!(answer["id"] == 6 && answer.get("error").is_none(), "more than all may take is served alone: {answer}");
}

#[tokio::test]
async fn calls_wait_until_the_connection_is_attached() {
    let gate = Arc::new(Semaphore::new(0));
    let served = Arc::new(AtomicUsize::new(0));
    let attach = {
        let gate = Arc::clone(&gate);
        move |session: Session| {
            let gate = Arc::clone(&gate);
            async move {
                // The session works before it is attached.
                assert!(session.call("event", None, LONG).await.is_ok());
                let _ = gate.acquire().await;
                Ok(())
            }
        }
    };
    let answer = {
        let served = Arc::clone(&served);
        move |_, _, _| {
            served.fetch_add(1, Ordering::SeqCst);
            async { Ok(json!({})) }
        }
    };
    let rig = Setup { attach: Setup::attaching(attach).attach, ..Setup::answering(answer) }.start().await;
    let mut socket = rig.dial().await;
    send(&mut socket, call("early", "access_get", json!({}))).await;
    let event = receive(&mut socket).await;
    assert_eq!(served.load(Ordering::SeqCst), 0);
    send(&mut socket, json!({"id": event["id"], "result": {"method": "event", "ok": true}})).await;
    gate.add_permits(1);
    assert_eq!(receive(&mut socket).await["id"], "early");
}

/// Each is told to the author, in words that say what to mend.
#[tokio::test]
async fn each_breach_of_the_protocol_is_told() {
    for (text, words) in [
        ("no json", "not JSON: expected"),
        ("[]", "not a JSON object"),
        (r#"{"id":"nobody","result":{}}"#, "the id \"nobody\", which no call of plugd has"),
        (r#"{"method":"x"}"#, "a request without an id"),
        (r#"{"result":{}}"#, "neither a method nor the id"),
    ] {
        let mut rig = Setup::default().start().await;
        let (mut socket, _session) = rig.connect().await;
        within(socket.send(Message::text(text))).await.unwrap();
        let (count, last) = rig.fault().await;
        assert_eq!(count, 1);
        assert!(last.contains(words), "{text}: {last}");
    }
}

/// CONTRACT 11.1: what does not name the method that it answers is no answer; the call ends at once.
#[tokio::test]
async fn an_answer_that_can_not_be_read_ends_its_call_at_once_and_is_told_11_1() {
    for (answer, words) in [
        (json!({"result": {"method": "configure", "ok": true}}), "\"configure\" and must be \"event\""),
        (json!({"result": {"ok": true}}), "no \"method\""),
        (json!({"result": [1]}), "not an object"),
        (json!({"result": null}), "neither a result nor an error"),
    ] {
        let mut rig = Setup::default().start().await;
        let (mut socket, session) = rig.connect().await;
        let called = tokio::spawn(async move { session.call("event", None, 100 * LONG).await });
        let mut answer = answer;
        answer["id"] = receive(&mut socket).await["id"].take();
        send(&mut socket, answer).await;
        let Err(CallError::Undecodable(why)) = within(called).await.unwrap() else { panic!("{words}") };
        assert!(why.contains(words), "{why}");
        let fault = rig.fault().await.1;
        assert!(fault.contains(words) && fault.contains("answer to \"event\""), "{fault}");
    }
}

#[tokio::test]
async fn a_flood_of_breaches_is_told_seldom_and_none_is_lost() {
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect().await;
    for _ in 0..1000 {
        within(socket.send(Message::text("no json"))).await.unwrap();
    }
    drop(socket);
    let (mut reports, mut count) = (0, 0);
    while let RunEvent::ProtocolBroken { count: more, .. } = rig.event().await {
        reports += 1;
        count += more;
    }
    assert_eq!(count, 1000);
    assert!(reports < 20, "{reports} reports");
}

#[tokio::test]
async fn what_means_nothing_is_passed_over() {
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect().await;
    for text in ["", "no json", "[]", "{}", r#"{"method":"x"}"#, r#"{"id":"nobody","result":{}}"#] {
        within(socket.send(Message::text(text))).await.unwrap();
    }
    send(&mut socket, json!({"id": "odd", "method": 7})).await;
    let refused = receive(&mut socket).await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!("odd"), &json!(-32600)));
    send(&mut socket, call("after", "get_config", json!({}))).await;
    assert_eq!(receive(&mut socket).await["id"], "after");
}

#[tokio::test]
async fn many_calls_both_ways_at_once_all_get_their_answers() {
    let mut rig = Setup::default().start().await;
    let (socket, session) = rig.connect().await;
    let (mut sink, mut stream) = socket.split();
    let plugin = tokio::spawn(async move {
        let (mut own, mut sent) = (0, 0);
        while own < 500 {
            if sent < 500 && sent - own < 32 {
                sink.send(Message::text(call(sent, "get_config", json!({})).to_string())).await.unwrap();
                sent += 1;
            }
            let Some(Ok(Message::Text(text))) = stream.next().await else { panic!("no text") };
            let frame: Value = serde_json::from_str(&text).unwrap();
            match frame.get("method") {
                Some(method) => {
                    let answer = json!({"id": frame["id"], "result": {"method": method, "n": frame["params"]["n"]}});
                    sink.send(Message::text(answer.to_string())).await.unwrap();
                }
                None => own += 1,
            }
        }
    });
    let calls = (0..50).map(|n| session.call("event", Some(json!({"n": n})), LONG));
    let answers = within(futures_util::future::join_all(calls)).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap()["n"], n);
    }
    within(plugin).await.unwrap();
}
