//! Applications that serve (ServeHost).

use std::{collections::HashSet, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::*;
use crate::{
    bus::{HostCall, HostEvent, HostId, Hosts},
    domain::RunId,
    link::{Queued, RpcError},
    supervisor::tests::world::mk_manifest,
};

const RUN: RunId = RunId::from_bytes([7; 12]);
const LIMIT: Duration = Duration::from_secs(600);

type Calls = mpsc::Receiver<Queued<HostEvent>>;

fn serve(hosts: &Hosts, methods: &[&str]) -> (HostId, Calls) {
    hosts.register(methods.iter().map(|method| (*method).to_owned()).collect::<HashSet<_>>())
}

async fn mk_caller() -> Arc<Plugin> {
    let world = mk_world().await;
    let plugin = world.handle.register_external(mk_manifest(), None).await.unwrap();
    world.shut_down().await;
    plugin
}

async fn call(hosts: &Hosts, plugin: &Arc<Plugin>, method: &str) -> Option<Result<Map<String, Value>, RpcError>> {
    hosts.call((plugin.clone(), RUN, None), (method, object(json!({"a": 1}))), LIMIT).await
}

async fn next(calls: &mut Calls) -> HostCall {
    match calls.recv().await.map(|queued| queued.item) {
        Some(HostEvent::Call(call)) => call,
        other => panic!("not a call: {other:?}"),
    }
}

/// Answers the next call with the name of who answers.
async fn answer_as(name: &str, hosts: &Hosts, id: HostId, calls: &mut Calls) -> String {
    let call = next(calls).await;
    assert!(hosts.answer(id, &call.id, Ok(object(json!({"by": name})))));
    call.method
}

#[tokio::test(start_paused = true)]
async fn an_application_gets_the_call_and_its_answer_comes_back() {
    let plugin = mk_caller().await;
    let hosts = Hosts::default();
    let (id, mut calls) = serve(&hosts, &["robot_run"]);
    let application = async {
        let call = next(&mut calls).await;
        assert_eq!((call.plugin.id, call.run, &*call.method, call.timeout), (plugin.id, RUN, "robot_run", LIMIT));
        assert_eq!(Value::Object(call.params), json!({"a": 1}));
        assert!(hosts.answer(id, &call.id, Ok(object(json!({"b": 2})))));
        assert!(!hosts.answer(id, &call.id, Ok(Map::new())), "nobody waits for a second answer");
    };
    let (answer, ()) = tokio::join!(call(&hosts, &plugin, "robot_run"), application);
    assert_eq!(Value::Object(answer.unwrap().unwrap()), json!({"b": 2}));
}

/// A message that is too large for it would end its stream. Short numbers take several times as many bytes as their text.
#[tokio::test(start_paused = true)]
async fn a_call_that_an_application_could_not_take_is_refused() {
    let (plugin, hosts) = (mk_caller().await, Hosts::default());
    let (_id, mut calls) = serve(&hosts, &["*"]);
    let params = object(json!({"a": vec![1; 300_000]}));
    let refused = hosts.call((plugin, RUN, None), ("any", params), LIMIT).await.unwrap().unwrap_err();
    assert_eq!(refused.code, RpcError::INVALID_PARAMS);
    assert!(calls.try_recv().is_err(), "it was told");
}

#[tokio::test(start_paused = true)]
async fn calls_that_an_application_does_not_read_are_bounded_in_bytes() {
    let (plugin, hosts) = (mk_caller().await, Hosts::default());
    let (_id, mut calls) = serve(&hosts, &["*"]);
    let large = || object(json!({"a": "x".repeat(1 << 20)}));
    let ask = || hosts.call((plugin.clone(), RUN, None), ("any", large()), LIMIT);
    let mut waiting: Vec<_> = (0..15).map(|_| Box::pin(ask())).collect();
    let all = futures_util::future::join_all(waiting.iter_mut());
    assert!(tokio::time::timeout(Duration::from_secs(1), all).await.is_err(), "they wait for an answer");
    let refused = ask().await.unwrap().unwrap_err();
    assert!(refused.message.contains("too busy"), "{}", refused.message);
    drop(next(&mut calls).await);
    let read = tokio::time::timeout(Duration::from_secs(1), ask()).await;
    assert!(read.is_err(), "what is read makes room");
}

#[tokio::test(start_paused = true)]
async fn who_names_a_method_comes_before_who_serves_anything() {
    let plugin = mk_caller().await;
    let hosts = Hosts::default();
    let (any, mut of_any) = serve(&hosts, &["*"]);
    let (named, mut of_named) = serve(&hosts, &["robot_run"]);
    for _ in 0..4 {
        let (_, method) =
            tokio::join!(call(&hosts, &plugin, "robot_run"), answer_as("named", &hosts, named, &mut of_named));
        assert_eq!(method, "robot_run");
        let (_, method) = tokio::join!(call(&hosts, &plugin, "other"), answer_as("any", &hosts, any, &mut of_any));
        assert_eq!(method, "other");
    }
}

/// Whatever else is called in between.
#[tokio::test(start_paused = true)]
async fn two_applications_that_serve_the_same_take_turns() {
    let plugin = mk_caller().await;
    let hosts = Arc::new(Hosts::default());
    let mut served = HashSet::new();
    for name in ["one", "two"] {
        let (id, mut calls) = serve(&hosts, &["robot_run", "access_get"]);
        let hosts = hosts.clone();
        tokio::spawn(async move {
            loop {
                answer_as(name, &hosts, id, &mut calls).await;
            }
        });
    }
    let mut turns = Vec::new();
    for _ in 0..4 {
        let answer = call(&hosts, &plugin, "robot_run").await.unwrap().unwrap();
        served.insert(answer["by"].as_str().unwrap().to_owned());
        turns.push(answer["by"].clone());
        call(&hosts, &plugin, "access_get").await.unwrap().unwrap();
    }
    assert_eq!(served.len(), 2, "one has all the work: {turns:?}");
    assert!(turns[0] != turns[1] && turns[0] == turns[2] && turns[1] == turns[3], "{turns:?}");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_goes_away_fails_its_calls_at_once_and_no_others() {
    let plugin = mk_caller().await;
    let hosts = Hosts::default();
    let (leaving, mut calls) = serve(&hosts, &["robot_run"]);
    let (staying, mut others) = serve(&hosts, &["other"]);
    let began = Instant::now();
    let departure = async {
        next(&mut calls).await;
        let other = next(&mut others).await;
        hosts.unregister(leaving);
        tokio::task::yield_now().await;
        assert!(hosts.answer(staying, &other.id, Ok(Map::new())));
    };
    let (failed, kept, ()) =
        tokio::join!(call(&hosts, &plugin, "robot_run"), call(&hosts, &plugin, "other"), departure);
    assert!(failed.unwrap().unwrap_err().message.contains("went away"));
    assert!(kept.unwrap().is_ok());
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert!(call(&hosts, &plugin, "robot_run").await.is_none(), "it serves no longer");
    assert!(!hosts.serves("robot_run") && hosts.serves("other"));
}

#[tokio::test(start_paused = true)]
async fn an_application_is_told_when_nobody_waits_for_its_answer_any_longer() {
    let plugin = mk_caller().await;
    let hosts = Hosts::default();
    let (id, mut calls) = serve(&hosts, &["robot_run"]);
    let late = hosts.call((plugin.clone(), RUN, None), ("robot_run", Map::new()), Duration::from_secs(3)).await;
    assert!(late.unwrap().unwrap_err().message.contains("3s"));
    let timed_out = next(&mut calls).await.id;
    let Some(HostEvent::Cancelled(cancelled)) = calls.recv().await.map(|queued| queued.item) else { panic!() };
    assert_eq!(cancelled, timed_out);
    assert!(!hosts.answer(id, &cancelled, Ok(Map::new())));
    // The plugin hangs up.
    tokio::select! {
        _ = call(&hosts, &plugin, "robot_run") => panic!("nobody answered"),
        call = next(&mut calls) => assert_ne!(call.id, timed_out),
    }
    assert!(matches!(calls.recv().await.unwrap().item, HostEvent::Cancelled(_)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_counts_only_from_who_was_asked() {
    let plugin = mk_caller().await;
    let hosts = Hosts::default();
    let (asked, mut calls) = serve(&hosts, &["robot_run"]);
    let (other, _of_other) = serve(&hosts, &["other"]);
    let application = async {
        let call = next(&mut calls).await;
        assert!(!hosts.answer(other, &call.id, Ok(object(json!({"by": "other"})))));
        assert!(hosts.answer(asked, &call.id, Ok(object(json!({"by": "asked"})))));
    };
    let (answer, ()) = tokio::join!(call(&hosts, &plugin, "robot_run"), application);
    assert_eq!(answer.unwrap().unwrap()["by"], "asked");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_reads_nothing_is_busy_at_some_point() {
    let plugin = mk_caller().await;
    let hosts = Arc::new(Hosts::default());
    let (_, _unread) = serve(&hosts, &["robot_run"]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let (hosts, plugin) = (hosts.clone(), plugin.clone());
        calls.spawn(async move { call(&hosts, &plugin, "robot_run").await.unwrap().unwrap_err().message });
    }
    let began = Instant::now();
    let first = calls.join_next().await.unwrap().unwrap();
    assert_eq!((&*first, began.elapsed()), ("the application is too busy", Duration::ZERO));
}
