//! Calls that have one short answer.

use std::net::TcpListener;

use super::{leader::*, *};
use crate::tls::SelfSigned;

#[tokio::test]
async fn a_call_reaches_the_leader_as_it_was_and_its_answer_the_client() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let mut call = mk_call("/tell?a=b%20c", Body::empty());
    for (name, value) in [("authorization", "Bearer plugd_x"), ("grpc-timeout", "50S"), ("traceparent", "00-1")] {
        call.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = Answer::of(Client::of(&node.server).await.send(call).await).await;
    assert_eq!(answer.status.code(), Code::Ok);
    assert_eq!(answer.headers["content-type"], "application/grpc");
    for line in ["authorization: Bearer plugd_x", "grpc-timeout: 50S", "traceparent: 00-1", "of /tell?a=b%20c"] {
        assert!(answer.text().lines().any(|told| told == line), "{line} is not in {}", answer.text());
    }
    assert!(!answer.text().contains("plugd-cluster-token"), "{}", answer.text());
}

#[tokio::test]
async fn a_refusal_of_the_leader_is_the_answer() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let answer = Client::of(&node.server).await.call("/refuse").await;
    assert_eq!((answer.status.code(), answer.status.message()), (Code::NotFound, "no such thing"));
}

#[tokio::test]
async fn an_answer_comes_once_the_node_has_the_leaders_revision_which_the_client_is_not_told() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let answer = Client::of(&node.server).await.call("/tell").await;
    assert_eq!(*node.waited.lock().unwrap(), [REVISION_OF_LEADER]);
    assert!(!answer.headers.contains_key(REVISION));
}

#[tokio::test]
async fn an_answer_comes_although_the_node_lags_behind() {
    let leader = LeadingNode::start().await;
    let node = Node::with(leader.server.leads(1), mk_token("t"), &Trust::default(), false).await;
    let answer = Client::of(&node.server).await.call("/tell").await;
    assert_eq!((answer.status.code(), node.waited.lock().unwrap().len()), (Code::Ok, 1));
}

#[tokio::test]
async fn a_call_is_unavailable_while_nobody_leads_and_served_once_somebody_does() {
    let (leader, node) = (LeadingNode::start().await, Node::start(None).await);
    let mut client = Client::of(&node.server).await;
    client.call("/tell").await.is_no_leader(NOBODY);
    node.leader.send_replace(leader.server.leads(1));
    assert_eq!(client.call("/tell").await.status.code(), Code::Ok);
}

#[tokio::test]
async fn a_call_is_unavailable_while_the_leader_can_not_be_reached() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [format!("http://{closed}"), "http://no.such.host.invalid:1".into(), "nonsense".into()] {
        let node = Node::start(Some(Leader { address, term: 1 })).await;
        Client::of(&node.server).await.call("/tell").await.is_no_leader("can't be reached");
    }
}

#[tokio::test]
async fn a_connection_to_the_leader_that_has_ended_is_replaced() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let mut client = Client::of(&node.server).await;
    assert_eq!(client.call("/tell").await.status.code(), Code::Ok);
    let _leader = leader.restarted().await;
    // The node may not have heard of it yet.
    within(async { while client.call("/tell").await.status.code() != Code::Ok {} }).await;
}

#[tokio::test]
async fn two_nodes_that_take_each_other_for_the_leader_say_so_after_one_hop() {
    let (one, other) = (Node::start(None).await, Node::start(None).await);
    one.leader.send_replace(other.server.leads(1));
    other.leader.send_replace(one.server.leads(1));
    Client::of(&one.server).await.call("/tell").await.is_no_leader("does not lead");
}

#[tokio::test]
async fn a_leader_with_another_token_takes_no_calls_and_a_client_is_not_told_that_its_own_is_bad() {
    let leader = LeadingNode::start().await;
    let node = Node::with(leader.server.leads(1), mk_token("x"), &Trust::default(), true).await;
    Client::of(&node.server).await.call("/tell").await.is_no_leader("does not know this one");
}

#[tokio::test]
async fn a_calls_own_deadline_ends_it() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let mut call = mk_call("/hang", Body::empty());
    call.headers_mut().insert("grpc-timeout", "100m".parse().unwrap());
    let answer = Answer::of(Client::of(&node.server).await.send(call).await).await;
    assert_eq!(answer.status.code(), Code::DeadlineExceeded);
    eventually(|| leader.seen.given_up.load(std::sync::atomic::Ordering::Relaxed) == 1).await;
}

#[tokio::test]
async fn a_leader_is_reached_over_tls_if_its_certificate_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let own = SelfSigned::keep(folder.path(), (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let files = Files { certificate: own.certificate.clone(), key: own.key.clone(), client_authority: None };
    let leader = LeadingNode::with(Some(files)).await;
    assert!(leader.server.url.starts_with("https://"));
    let trust = Trust { authority: Some(own.certificate.clone()), ..Trust::default() };
    let node = Node::with(leader.server.leads(1), mk_token("t"), &trust, true).await;
    assert_eq!(Client::of(&node.server).await.call("/tell").await.status.code(), Code::Ok);
    sockets::is_carried(&node.server).await;
    let other = Node::start(leader.server.leads(1)).await;
    Client::of(&other.server).await.call("/tell").await.is_no_leader("can't be reached");
}
