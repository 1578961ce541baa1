//! Connections of plugins.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error as SocketError, Message, client::IntoClientRequest},
};

use super::{leader::*, *};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Dials in, and answers with the socket and with what came to the leader.
async fn dial(server: &Server) -> (Socket, String) {
    let mut request = format!("ws://{}/rpc?token=t", server.address).into_client_request().unwrap();
    request.headers_mut().insert("user-agent", "sdk/1".parse().unwrap());
    request.headers_mut().insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
    let (mut socket, answer) = within(connect_async(request)).await.unwrap();
    assert!(!answer.headers().contains_key("plugd-revision"));
    let told = within(socket.next()).await.unwrap().unwrap().into_text().unwrap().to_string();
    (socket, told)
}

async fn echoes(socket: &mut Socket, text: &str) {
    within(socket.send(Message::text(text))).await.unwrap();
    assert_eq!(within(socket.next()).await.unwrap().unwrap().into_text().unwrap(), text);
}

/// A plugin can talk to the leader through this node.
pub(super) async fn is_carried(server: &Server) {
    let (mut socket, told) = dial(server).await;
    for line in ["of /rpc?token=t\n", "from 127.0.0.1\n", "user-agent: sdk/1\n"] {
        assert!(told.contains(line), "{line} is not in {told}");
    }
    assert!(!told.contains("203.0.113.9") && !told.contains("plugd-cluster-token"), "{told}");
    echoes(&mut socket, "hello").await;
    echoes(&mut socket, &"x".repeat(1 << 20)).await;
    within(socket.close(None)).await.unwrap();
    while within(socket.next()).await.is_some_and(|message| message.is_ok()) {}
}

#[tokio::test]
async fn what_is_said_on_a_plugins_connection_is_carried_both_ways() {
    let leader = LeadingNode::start().await;
    is_carried(&Node::start(leader.server.leads(1)).await.server).await;
}

/// The status and the body of a handshake that was refused, and after how long to try again.
pub(super) async fn refused(server: &Server, path: &str) -> (StatusCode, String, Option<String>) {
    match within(connect_async(format!("ws://{}{path}", server.address))).await {
        Err(SocketError::Http(answer)) => {
            let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            (answer.status(), String::from_utf8(answer.body().clone().unwrap_or_default()).unwrap(), retry)
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_plugin_that_the_leader_refuses_hears_its_words() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let (status, words, _) = refused(&node.server, "/rpc").await;
    assert_eq!((status, words.as_str()), (StatusCode::UNAUTHORIZED, "unauthorised"));
}

#[tokio::test]
async fn a_plugin_is_told_to_try_again_while_nobody_leads() {
    let node = Node::start(None).await;
    let (status, words, retry) = refused(&node.server, "/rpc?token=t").await;
    assert_eq!((status, retry.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
    assert!(words.starts_with(NOBODY), "{words}");
    let dead = LeadingNode::start().await.server.leads(1);
    node.leader.send_replace(dead);
    assert_eq!(refused(&node.server, "/rpc?token=t").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_plugins_connection_ends_when_its_leader_is_killed_or_another_one_leads() {
    let (leader, next) = (LeadingNode::start().await, LeadingNode::start().await);
    let node = Node::start(leader.server.leads(1)).await;
    let (mut socket, _) = dial(&node.server).await;
    echoes(&mut socket, "hello").await;
    drop(leader);
    while within(socket.next()).await.is_some_and(|message| message.is_ok()) {}
    node.leader.send_replace(next.server.leads(2));
    let (mut socket, _) = dial(&node.server).await;
    let last = LeadingNode::start().await;
    node.leader.send_replace(last.server.leads(3));
    while within(socket.next()).await.is_some_and(|message| message.is_ok()) {}
}
