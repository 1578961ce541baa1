//! CONTRACT 10.4, and what must come to its end when a connection does.

use tokio::{
    io::AsyncWriteExt,
    sync::{Semaphore, oneshot},
};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use super::*;

#[tokio::test]
async fn a_rejected_connection_is_closed_with_the_text_that_sdks_know() {
    let mut rig = Setup::attaching(|_| async { Err(Rejected) }).start().await;
    let mut socket = rig.dial().await;
    assert_eq!(read_close(&mut socket).await, (1008, "connection rejected".into()));
    assert!(rig.events.try_recv().is_err(), "what was never attached reports nothing");
}

#[tokio::test]
async fn each_reason_to_close_has_its_code_and_text() {
    for (why, code, text) in [
        (CloseReason::Closed, 1000, "closed"),
        (CloseReason::GoingAway, 1001, "going away"),
        (CloseReason::Rejected, 1008, "connection rejected"),
    ] {
        let mut rig = Setup::default().start().await;
        let (mut socket, session) = rig.connect().await;
        session.close(why);
        assert_eq!(read_close(&mut socket).await, (code, text.into()));
        assert!(rig.closed().await.contains(text));
    }
}

#[tokio::test]
async fn a_plugin_that_closes_is_answered_at_once_even_while_its_call_runs() {
    let (dropped, is_dropped) = oneshot::channel::<()>();
    let dropped = Mutex::new(Some(dropped));
    let started = Arc::new(Semaphore::new(0));
    let mut rig = Setup::answering({
        let started = Arc::clone(&started);
        move |_, _, _| {
            let held = dropped.lock().unwrap().take();
            started.add_permits(1);
            async move {
                let _held = held;
                std::future::pending().await
            }
        }
    })
    .start()
    .await;
    let (mut socket, session) = rig.connect().await;
    send(&mut socket, call("1", "robot_run", json!({}))).await;
    let waiting = tokio::spawn(async move { session.call("event", None, LONG).await });
    receive(&mut socket).await;
    let _started = within(started.acquire()).await.unwrap();
    within(socket.close(Some(CloseFrame { code: CloseCode::Away, reason: "bye".into() }))).await.unwrap();
    assert_eq!(read_close(&mut socket).await.0, 1001, "the answer echoes the code");
    assert!(matches!(within(waiting).await.unwrap(), Err(CallError::Lost(_))));
    assert!(within(is_dropped).await.is_err(), "the call that was running is dropped");
    assert_eq!(rig.closed().await, "the plugin closed the connection (1001)");
}

#[tokio::test]
async fn a_lost_connection_fails_what_waits_for_it() {
    let mut rig = Setup::default().start().await;
    let (socket, session) = rig.connect().await;
    let waiting = tokio::spawn(async move { session.call("event", None, LONG).await });
    drop(socket);
    assert!(matches!(within(waiting).await.unwrap(), Err(CallError::Lost(_))));
    assert!(rig.closed().await.starts_with("the connection was lost"));
}

#[tokio::test]
async fn a_breach_of_the_protocol_is_answered_with_1011_internal_error() {
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect().await;
    let MaybeTlsStream::Plain(stream) = socket.get_mut() else { panic!("not plain") };
    // Text, one byte, not masked.
    stream.write_all(&[0x81, 0x01, b'x']).await.unwrap();
    assert_eq!(read_close(&mut socket).await, (1011, "internal error".into()));
    assert!(rig.closed().await.starts_with("the plugin broke the protocol"));
}

#[tokio::test]
async fn four_mebibytes_are_taken_and_one_byte_more_is_answered_with_1009() {
    let mut rig =
        Setup::answering(|_, _, params| async move { Ok(json!({"length": params.to_string().len()})) }).start().await;
    let (mut socket, _session) = rig.connect().await;
    let frame = |length: usize| {
        let empty = call("1", "m", json!("")).to_string().len();
        Message::text(call("1", "m", json!("x".repeat(length - empty))).to_string())
    };
    let largest = 4 << 20;
    within(socket.send(frame(largest))).await.unwrap();
    assert!(receive(&mut socket).await["result"]["length"].as_u64() > Some(4_000_000));
    within(socket.send(frame(largest + 1))).await.unwrap();
    assert_eq!(read_close(&mut socket).await.0, 1009);
    assert_eq!(rig.closed().await, "a message of the plugin was too long");
}

#[tokio::test]
async fn a_message_that_is_too_long_in_parts_is_answered_with_1009() {
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect().await;
    let MaybeTlsStream::Plain(stream) = socket.get_mut() else { panic!("not plain") };
    // Five fragments of 1 MiB: the first is text, the others continue it, none is the last.
    for opcode in [0x01, 0x00, 0x00, 0x00, 0x00] {
        let mut part = vec![opcode, 0xff];
        part.extend((1_u64 << 20).to_be_bytes());
        part.extend([0; 4]);
        part.resize(part.len() + (1 << 20), b' ');
        within(stream.write_all(&part)).await.unwrap();
    }
    assert_eq!(read_close(&mut socket).await.0, 1009);
    rig.closed().await;
}

#[tokio::test]
async fn binary_frames_are_skipped_and_said_to_be() {
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect().await;
    within(socket.send(Message::binary(call("1", "m", json!({})).to_string()))).await.unwrap();
    assert!(rig.fault().await.1.contains("a binary frame"));
    send(&mut socket, call("2", "m", json!({}))).await;
    assert_eq!(receive(&mut socket).await["id"], "2");
}

#[tokio::test]
async fn the_plugins_pings_are_answered() {
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect().await;
    within(socket.send(Message::Ping("hello".into()))).await.unwrap();
    assert_eq!(within(socket.next()).await.unwrap().unwrap(), Message::Pong("hello".into()));
}

#[tokio::test]
async fn a_plugin_that_does_not_read_is_dropped_and_is_heard_until_then() {
    let options = Options { write_timeout: Duration::from_secs(1), ..Options::default() };
    let mut rig = Setup { options, ..Setup::default() }.start().await;
    let (mut socket, session) = rig.connect_narrow().await;
    let text = json!("x".repeat(1_000_000));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (session, text) = (session.clone(), text.clone());
        calls.spawn(async move { session.call("event", Some(text), LONG).await });
    }
    let is_heard = session.ping(LONG);
    let (heard, ()) = tokio::join!(within(is_heard), send(&mut socket, call("x", "get_config", json!({}))));
    assert!(heard, "a stuck write holds up no reading");
    assert_eq!(rig.closed().await, "the plugin does not read what is sent to it");
    while let Some(ended) = within(calls.join_next()).await {
        assert_eq!(ended.unwrap(), Err(CallError::Lost("the plugin does not read what is sent to it".into())));
    }
}

/// As many masked pings of 125 bytes as make so many bytes.
fn pings(bytes: usize) -> Vec<u8> {
    let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    ping.resize(ping.len() + 125, b'x');
    ping.repeat(bytes / ping.len())
}

/// Writes until it is done, or the other side has gone.
async fn pour(socket: &mut Socket, bytes: &[u8]) {
    let MaybeTlsStream::Plain(stream) = socket.get_mut() else { panic!("not plain") };
    let _ = stream.write_all(bytes).await;
}

#[tokio::test]
async fn the_answers_to_pings_that_are_not_read_are_bounded_in_bytes() {
    const SENT: usize = 24 << 20;
    let mut rig = Setup::default().start().await;
    let (mut socket, _session) = rig.connect_narrow().await;
    timeout(LONG, pour(&mut socket, &pings(SENT))).await.expect("it is read to the end");
    let after = json!({"jsonrpc": "2.0", "id": "after", "method": "get_config"}).to_string();
    let _ = timeout(LONG, socket.send(Message::text(after))).await;
    let mut answered = 0;
    while let Some(Ok(Message::Pong(payload))) = within(socket.next()).await {
        answered += payload.len();
    }
    // What the kernel holds comes on top of what plugd does.
    assert!(answered < SENT / 2, "{answered} bytes were kept for a plugin that reads nothing");
}

#[tokio::test]
async fn a_plugin_that_pings_and_does_not_read_is_dropped() {
    let options = Options { write_timeout: Duration::from_secs(1), ..Options::default() };
    let mut rig = Setup { options, ..Setup::default() }.start().await;
    let (mut socket, _session) = rig.connect_narrow().await;
    let pour = async {
        loop {
            pour(&mut socket, &pings(1 << 20)).await;
            tokio::task::yield_now().await;
        }
    };
    let reason = tokio::select! {
        reason = rig.closed() => reason,
        () = pour => unreachable!(),
    };
    assert_eq!(reason, "the plugin does not read what is sent to it");
}

#[tokio::test]
async fn a_plugin_that_asks_and_does_not_read_the_answers_is_closed_before_they_pile_up() {
    let options = Options { write_timeout: 100 * LONG, ..Options::default() };
    let answer = Setup::answering(|_, _, _| async { Ok(json!({"config": "x".repeat(1_000_000)})) });
    let mut rig = Setup { options, ..answer }.start().await;
    let (mut socket, _session) = rig.connect_narrow().await;
    for id in 0..30 {
        send(&mut socket, call(id, "get_config", json!({}))).await;
    }
    assert_eq!(rig.closed().await, "the plugin does not read what is sent to it");
}

#[tokio::test]
async fn a_plugin_that_makes_unknown_calls_and_does_not_read_is_dropped() {
    let options = Options { write_timeout: Duration::from_secs(1), ..Options::default() };
    let unknown = |_, method: String, _| async move {
        Err(RpcError { code: RpcError::METHOD_NOT_FOUND, message: format!("no such method: {method}") })
    };
    let mut rig = Setup { options, ..Setup::answering(unknown) }.start().await;
    let (mut socket, _session) = rig.connect_narrow().await;
    let unknown = "x".repeat(100_000);
    for id in 0..200 {
        // It may have been dropped by now.
        let _ = within(socket.send(Message::text(call(id, &unknown, json!({})).to_string()))).await;
    }
    assert_eq!(rig.closed().await, "the plugin does not read what is sent to it");
}

#[tokio::test]
async fn a_plugin_that_does_not_read_does_not_hold_up_the_close() {
    let options = Options { close_timeout: LONG, ..Options::default() };
    let mut rig = Setup { options, ..Setup::default() }.start().await;
    let (mut socket, session) = rig.connect_narrow().await;
    let text = json!("x".repeat(1_000_000));
    let calls = (0..12).map(|_| session.call("event", Some(text.clone()), LONG));
    let (_, reason) = tokio::join!(futures_util::future::join_all(calls), async {
        // The first message has been written in part.
        within(socket.next()).await.unwrap().unwrap();
        session.close(CloseReason::GoingAway);
        rig.closed().await
    });
    assert!(reason.contains("going away"), "{reason}");
    let mut late = 0;
    while let Some(Ok(Message::Text(_))) = within(socket.next()).await {
        late += 1;
    }
    assert!(late < 11, "the close frame came after all that waited");
}

#[tokio::test]
async fn a_connection_that_ends_while_it_is_attached_is_reported_closed_all_the_same() {
    let mut rig = Setup::attaching(|session| async move {
        // The plugin goes while the acceptor is busy; the acceptor's call to it fails then.
        assert!(matches!(session.call("event", None, LONG).await, Err(CallError::Lost(_))));
        Ok(())
    })
    .start()
    .await;
    let mut socket = rig.dial().await;
    receive(&mut socket).await;
    drop(socket);
    rig.closed().await;
}

/// Whoever stops plugd waits for that.
#[tokio::test]
async fn a_connection_counts_until_the_plugin_has_taken_leave() {
    let mut rig = Setup::default().start().await;
    let (mut socket, session) = rig.connect().await;
    rig.connections.close();
    session.close(CloseReason::GoingAway);
    within(session.ended()).await;
    assert_eq!(rig.connections.len(), 1, "it has not read the goodbye");
    assert_eq!(read_close(&mut socket).await.0, 1001);
    // The library answers the close frame when it is polled again.
    assert!(within(socket.next()).await.is_none());
    within(rig.connections.wait()).await;
}
