//! How connections end (CONTRACT 10.4). 1009 is held in `sizes`, what closes an external plugin in `s09_external` too.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use plugd::api::v1::ReportedState::{Active, Connecting};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tonic::Code;

use super::super::support::{Application, Wire, call_plugin, register, settle};
use crate::harness::{Plugd, eventually, reason, state_of};

/// A text frame of 1 MiB that means nothing, masked with zeros.
fn noise() -> Vec<u8> {
    let mut frame = vec![0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0];
    frame.resize(frame.len() + (1 << 20), b' ');
    frame
}

/// The text makes the SDKs try again.
#[tokio::test]
async fn a_second_connection_is_closed_with_1008_connection_rejected_while_the_first_answers_10_4_must() {
    let plugd = Plugd::start().await;
    let (plugin, first) = register(&plugd, &json!({}), "").await;
    let first = first.obey();
    let second = Wire::dial(&plugd, plugin.token()).await.unwrap();
    assert_eq!(second.closed().await, (1008, "connection rejected".to_owned()));
    assert!(!first.is_finished());
    assert_eq!(state_of(&plugd.api().get(&plugin.id).await.unwrap()), Active);
}

/// plugd's own decision: a first connection that does not answer within 2 s gives way; it is told goodbye.
#[tokio::test]
async fn a_second_connection_takes_over_from_a_silent_first_one_10_4() {
    let plugd = Plugd::start().await;
    let (plugin, first) = register(&plugd, &json!({}), "").await;
    let mut watch = plugd.api().live().await;
    let mut second = Wire::dial(&plugd, plugin.token()).await.unwrap();
    assert_eq!(first.closed().await, (1000, "closed".to_owned()));
    assert_eq!(second.call("1", "get_config", json!({})).await["result"]["config"], json!({}));
    assert_eq!(state_of(&plugd.api().get(&plugin.id).await.unwrap()), Active);
    drop(second);
    let seen = watch.until_state(&plugin.id, Connecting).await;
    assert!(seen.iter().rev().skip(1).all(|event| state_of(event.plugin.as_ref().unwrap()) == Active), "{seen:?}");
}

/// Also while a call of the plugin runs: Python waits for the answer before it exits, and would be killed (CONTRACT 8.4).
#[tokio::test]
async fn a_plugin_that_closes_is_answered_with_its_own_code_at_once_10_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["ponder"]).await;
    for code in [Some(1000), Some(1001), None] {
        let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
        wire.ask("1", "ponder", json!({})).await;
        let call = application.call().await;
        assert_eq!(wire.hang_up(code).await, code);
        assert_eq!(application.cancelled().await, call.call_id);
        settle(&plugd, &plugin.id, Connecting).await;
    }
}

#[tokio::test]
async fn each_breach_of_the_protocol_is_closed_with_1011_internal_error_10_4() {
    let plugd = Plugd::start().await;
    let breaches: [(&str, &[u8]); 5] = [
        ("a text that is not masked", b"\x81\x01x"),
        ("a reserved opcode", b"\x83\x80\0\0\0\0"),
        ("a text that is not UTF-8", b"\x81\x81\0\0\0\0\xff"),
        ("the middle of nothing", b"\x80\x80\0\0\0\0"),
        ("a ping in parts", b"\x09\x80\0\0\0\0"),
    ];
    for (what, bytes) in breaches {
        let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
        wire.send_raw(bytes).await;
        assert_eq!(wire.closed().await, (1011, "internal error".to_owned()), "{what}");
        settle(&plugd, &plugin.id, Connecting).await;
    }
}

/// It reads nothing before it has sent everything: no goodbye of plugd's is lost with what nobody wants any longer.
#[tokio::test]
async fn a_plugin_that_is_still_sending_learns_why_it_was_closed_10_4() {
    let plugd = Plugd::start().await;
    let api = plugd.api();
    let flood = noise().repeat(8);

    let (plugin, mut wire) = register(&plugd, &json!({}), "").await;
    let (deleted, ()) = tokio::join!(api.delete(&plugin.id), wire.send_raw(&flood));
    deleted.unwrap();
    assert_eq!(wire.closed().await, (1000, "closed".to_owned()));

    let (plugin, first) = register(&plugd, &json!({}), "").await;
    let _first = first.obey();
    let mut wire = Wire::dial(&plugd, plugin.token()).await.unwrap();
    wire.send_raw(&flood).await;
    assert_eq!(wire.closed().await, (1008, "connection rejected".to_owned()));

    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.send_raw(&[&b"\x81\x01x"[..], &flood].concat()).await;
    assert_eq!(wire.closed().await, (1011, "internal error".to_owned()));
}

/// The goodbye is all that comes, byte for byte, and then the end.
#[tokio::test]
async fn a_plugin_that_never_answers_a_goodbye_is_let_go_10_4() {
    let plugd = Plugd::start().await;
    let (plugin, wire) = register(&plugd, &json!({}), "").await;
    let api = plugd.api();
    let (deleted, rest) = tokio::join!(api.delete(&plugin.id), wire.rest());
    deleted.unwrap();
    assert_eq!(rest, b"\x88\x08\x03\xe8closed");
}

#[tokio::test]
async fn pings_are_answered_while_a_call_of_the_plugin_runs_10_4() {
    let plugd = Plugd::start().await;
    let mut application = Application::serve(&plugd.api(), &["ponder"]).await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    wire.ask("1", "ponder", json!({})).await;
    application.call().await;
    assert!(wire.is_ponged().await);
}

#[tokio::test]
async fn binary_frames_and_nonsense_do_not_end_the_connection_10_4() {
    let plugd = Plugd::start().await;
    let (_, mut wire) = register(&plugd, &json!({}), "").await;
    let call = json!({"jsonrpc": "2.0", "id": "binary", "method": "get_config"}).to_string();
    wire.send(Message::binary(call.into_bytes())).await;
    for nonsense in ["", "{", "[]", "null", "\"text\"", r#"{"id":"nobody's","result":{}}"#, r#"{"jsonrpc":"2.0"}"#] {
        wire.send(nonsense.to_owned()).await;
    }
    let answer = wire.call("1", "get_config", json!({})).await;
    assert_eq!(answer["result"]["config"], json!({}), "and nothing else is answered");
}

/// It begins to read when plugd has stopped listening already, and more is under way than the system buffers: so much
/// that plugd takes no further call for it.
#[tokio::test]
async fn plugd_says_goodbye_after_what_it_was_sending_when_it_stops_10_4() {
    let mut plugd = Plugd::start().await;
    let (plugin, wire) = register(&plugd, &json!({}), "").await;
    let (api, params) = (plugd.api(), json!({"text": "x".repeat(900_000)}));
    let call = |_| call_plugin(&api, &plugin.id, ("large", params.clone()), Duration::from_secs(60));
    let mut calls: FuturesUnordered<_> = (0..100).map(call).collect();
    let refused = calls.next().await.unwrap().unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::Unavailable, "TOO_BUSY".to_owned()));
    // No other connection keeps plugd.
    drop(calls);
    drop(api);
    let address = plugd.address();
    let leave = async {
        eventually("plugd stops listening", || std::net::TcpStream::connect(address).err()).await;
        wire.closed().await
    };

    let ((status, _), goodbye) = tokio::join!(plugd.sigterm(), leave);

    assert!(status.success(), "{status}");
    assert_eq!(goodbye, (1001, "going away".to_owned()));
}
