//! Signs of life over a socket. The rules are tested in `liveness`.

use tokio::time::Instant;

use super::*;

fn quick() -> Setup {
    let pings = Pings { interval: Duration::from_millis(100), timeout: Duration::from_millis(50) };
    Setup { pings, ..Setup::default() }
}

#[tokio::test]
async fn a_ping_that_is_answered_is_reported() {
    let mut rig = quick().start().await;
    let (mut socket, _session) = rig.connect().await;
    let ping = receive(&mut socket).await;
    assert_eq!(ping, json!({"jsonrpc": "2.0", "id": ping["id"], "method": "ping"}));
    // The Python SDK of some age knows no ping; that it says so is proof enough.
    send(&mut socket, json!({"jsonrpc": "2.0", "id": ping["id"], "error": {"code": -32601, "message": "?"}})).await;
    assert_eq!(rig.event().await, RunEvent::PongReceived);
}

#[tokio::test]
async fn silence_is_reported_and_so_is_its_end() {
    let mut rig = quick().start().await;
    let (mut socket, _session) = rig.connect().await;
    assert_eq!(rig.event().await, RunEvent::PongMissed);
    assert_eq!(rig.event().await, RunEvent::PongMissed);
    send(&mut socket, call("1", "get_config", json!({}))).await;
    assert_eq!(rig.event().await, RunEvent::PongReceived);
}

#[tokio::test]
async fn a_plugin_that_is_busy_with_a_call_misses_once() {
    let mut rig = quick().start().await;
    let (_socket, session) = rig.connect().await;
    let (started, limit) = (Instant::now(), Duration::from_secs(1));
    let (ended, ()) = tokio::join!(session.call("event", None, limit), async {
        assert_eq!(rig.event().await, RunEvent::PongMissed);
        assert_eq!(rig.event().await, RunEvent::PongMissed);
        assert!(started.elapsed() >= limit, "a second miss while the call was in flight");
    });
    assert_eq!(ended, Err(CallError::TimedOut(limit)));
}

#[tokio::test]
async fn an_old_connection_can_be_asked_whether_it_lives() {
    let mut rig = Setup::default().start().await;
    let (mut socket, session) = rig.connect().await;
    let asked = tokio::spawn({
        let session = session.clone();
        async move { session.ping(LONG).await }
    });
    let ping = receive(&mut socket).await;
    send(&mut socket, json!({"id": ping["id"], "result": {"method": "ping", "pong": true}})).await;
    assert!(within(asked).await.unwrap());
    assert!(!session.ping(Duration::from_millis(50)).await);
}
