//! Whom a node believes.

use super::{leader::*, *};

/// What the leader is told of a call with these headers of a client at 127.0.0.2.
async fn told(server: &Server, headers: &[(&'static str, &str)]) -> Answer {
    let mut call = mk_call("/tell", Body::empty());
    for (name, value) in headers {
        call.headers_mut().append(*name, value.parse().unwrap());
    }
    let mut client = Client::from(Ipv4Addr::new(127, 0, 0, 2), server).await;
    Answer::of(client.send(call).await).await
}

const SPOOFED: (&str, &str) = ("x-forwarded-for", "203.0.113.9");

#[tokio::test]
async fn the_leader_learns_the_clients_address_from_the_node_whatever_the_client_says() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    for headers in [&[][..], &[SPOOFED], &[SPOOFED, SPOOFED]] {
        let answer = told(&node.server, headers).await;
        assert!(answer.text().contains("from 127.0.0.2\n"), "{}", answer.text());
        assert!(!answer.text().contains("203.0.113.9"), "{}", answer.text());
    }
}

#[tokio::test]
async fn who_shows_no_token_is_no_node() {
    let leader = LeadingNode::start().await;
    let answer = told(&leader.server, &[SPOOFED]).await;
    assert!(answer.text().contains("from 127.0.0.2\n"), "{}", answer.text());
    assert!(!answer.headers.contains_key(REVISION));
}

#[tokio::test]
async fn who_shows_another_token_or_two_is_refused_by_every_node() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let (right, wrong) = ("t".repeat(40), "x".repeat(40));
    let token = |token| ("plugd-cluster-token", token);
    for headers in [&[token(&*wrong)][..], &[token("")], &[token(&*right), token(&*right)]] {
        for server in [&leader.server, &node.server] {
            let answer = told(server, headers).await;
            assert_eq!((answer.status.code(), answer.body.len()), (Code::Unauthenticated, 0), "{headers:?}");
        }
    }
    let request = http::Request::get("http://plugd.test/rpc").header("plugd-cluster-token", &wrong);
    let answer = Client::of(&leader.server).await.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_node_is_told_the_revision_and_believed_and_its_token_is_passed_on_to_nobody() {
    let leader = LeadingNode::start().await;
    let answer = told(&leader.server, &[("plugd-cluster-token", &"t".repeat(40)), SPOOFED]).await;
    assert_eq!(answer.headers[REVISION], REVISION_OF_LEADER.to_string());
    assert!(answer.text().contains("from 203.0.113.9\n"), "{}", answer.text());
    assert!(!answer.text().contains("plugd-cluster-token"), "{}", answer.text());
}
