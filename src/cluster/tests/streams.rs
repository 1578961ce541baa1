//! Calls whose messages are many, or whose ends come early.

use std::sync::atomic::Ordering::Relaxed;

use futures_util::{StreamExt, stream};

use super::{leader::*, *};

const UPLOAD: usize = 50 << 20;
const PIECE: usize = 64 << 10;

/// What may be under way between client and leader, in bytes: what both connections and the sockets of the kernel take.
const UNDER_WAY: usize = 16 << 20;

#[tokio::test]
async fn a_long_answer_comes_whole_and_is_made_no_faster_than_it_is_read() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let mut client = Client::of(&node.server).await;
    let mut body = client.send(mk_call("/stream", Body::empty())).await.into_body();
    let first = within(body.frame()).await.unwrap().unwrap().into_data().unwrap();
    // Other calls of the same connection go on meanwhile.
    assert_eq!(client.call("/tell").await.status.code(), Code::Ok);
    let before = leader.seen.made.load(Relaxed);
    assert!(before < MESSAGES, "{before} messages were made before anybody read them");
    let rest = within(body.collect()).await.unwrap();
    assert_eq!(rest.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(first.len() + rest.to_bytes().len(), MESSAGES * MESSAGE);
}

#[tokio::test]
async fn an_upload_comes_whole_and_no_more_of_it_is_taken_than_fits_on_the_way() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let sent = Arc::new(Mutex::new(0));
    let taken = Arc::clone(&sent);
    let pieces = stream::iter(0..UPLOAD / PIECE).map(move |_| {
        *taken.lock().unwrap() += PIECE;
        Ok::<_, axum::Error>(Bytes::from_static(&[0; PIECE]))
    });
    let mut client = Client::of(&node.server).await;
    let answered = tokio::spawn(client.0.send_request(mk_call("/upload", Body::from_stream(pieces))));
    let mut other = Client::of(&node.server).await;
    // Until what is on the way stays the same for as long as another call takes.
    let mut before = usize::MAX;
    while before != *sent.lock().unwrap() || before == 0 {
        before = *sent.lock().unwrap();
        assert_eq!(other.call("/tell").await.status.code(), Code::Ok);
    }
    assert!(before < UNDER_WAY, "{before} bytes were taken before anybody read them");
    leader.seen.may_read.add_permits(1);
    let answer = Answer::of(within(answered).await.unwrap().unwrap().map(Body::new)).await;
    assert_eq!((answer.status.code(), leader.seen.read.load(Relaxed)), (Code::Ok, UPLOAD));
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_not_taken_for_a_whole_one() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    leader.seen.may_read.add_permits(1);
    let seen = Arc::clone(&leader.seen);
    let failed = stream::once(async move {
        eventually(|| seen.read.load(Relaxed) == 4).await;
        Err(axum::Error::new("the client's disk"))
    });
    let pieces = stream::iter([Ok(Bytes::from_static(b"half"))]).chain(failed);
    let mut client = Client::of(&node.server).await;
    let call = client.0.send_request(mk_call("/upload", Body::from_stream(pieces)));
    assert!(within(call).await.is_err());
    eventually(|| leader.seen.given_up.load(Relaxed) == 1).await;
}

#[tokio::test]
async fn a_client_that_gives_up_is_heard_of_at_the_leader() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let mut client = Client::of(&node.server).await;
    let unanswered = tokio::spawn(client.0.send_request(mk_call("/hang", Body::empty())));
    let half = client.send(mk_call("/half", Body::empty())).await;
    eventually(|| leader.seen.hanging.load(Relaxed) == 2).await;
    drop(half);
    eventually(|| leader.seen.given_up.load(Relaxed) == 1).await;
    unanswered.abort();
    eventually(|| leader.seen.given_up.load(Relaxed) == 2).await;
}

/// Calls that are half answered, answered not at all, and half sent; and what becomes of them when this was done.
async fn is_broken_off_when(node: &Node, leader: &LeadingNode, done: impl FnOnce()) {
    let mut client = Client::of(&node.server).await;
    let mut half = client.send(mk_call("/half", Body::empty())).await.into_body();
    assert_eq!(within(half.frame()).await.unwrap().unwrap().into_data().unwrap(), "half");
    let unanswered = tokio::spawn(client.0.send_request(mk_call("/hang", Body::empty())));
    let upload = Body::from_stream(stream::pending::<Result<Bytes, axum::Error>>());
    let unsent = tokio::spawn(client.0.send_request(mk_call("/upload", upload)));
    eventually(|| leader.seen.hanging.load(Relaxed) == 2).await;
    done();
    let ended = within(half.collect()).await.unwrap();
    let status = Status::from_header_map(ended.trailers().unwrap()).unwrap();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, broken_off().as_str()));
    for call in [unanswered, unsent] {
        let answer = within(call).await.unwrap().unwrap().map(Body::new);
        Answer::of(answer).await.is_no_leader(&broken_off());
    }
}

fn broken_off() -> String {
    connections::broken().to_string()
}

#[tokio::test]
async fn calls_end_when_the_leader_is_killed_and_later_ones_go_to_the_next() {
    let (mut leader, next) = (LeadingNode::start().await, LeadingNode::start().await);
    let node = Node::start(leader.server.leads(1)).await;
    let dead = Server::start(App::new(async |_| unreachable!()), None).await;
    let killed = std::mem::replace(&mut leader.server, dead);
    is_broken_off_when(&node, &leader, || drop(killed)).await;
    node.leader.send_replace(next.server.leads(2));
    assert_eq!(Client::of(&node.server).await.call("/tell").await.status.code(), Code::Ok);
}

#[tokio::test]
async fn calls_end_when_another_node_leads_though_their_leader_lives() {
    let (leader, next) = (LeadingNode::start().await, LeadingNode::start().await);
    let node = Node::start(leader.server.leads(1)).await;
    is_broken_off_when(&node, &leader, || drop(node.leader.send_replace(next.server.leads(2)))).await;
}

/// One that is frozen, or whose host is cut off: the kernel takes connections, and nobody says anything on them.
#[tokio::test]
async fn calls_and_plugins_do_not_wait_for_ever_for_a_leader_that_says_nothing() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let node = Node::start(Some(Leader { address, term: 1 })).await;
    let mut client = Client::of(&node.server).await;
    let (answer, refused) = tokio::join!(client.call("/tell"), sockets::refused(&node.server, "/rpc?token=t"));
    answer.is_no_leader(&broken_off());
    assert_eq!(refused.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn calls_go_on_while_it_is_not_known_who_leads() {
    let leader = LeadingNode::start().await;
    let node = Node::start(leader.server.leads(1)).await;
    let mut client = Client::of(&node.server).await;
    let mut body = client.send(mk_call("/stream", Body::empty())).await.into_body();
    within(body.frame()).await.unwrap().unwrap();
    node.leader.send_replace(None);
    client.call("/tell").await.is_no_leader(NOBODY);
    assert_eq!(within(body.collect()).await.unwrap().trailers().unwrap()["grpc-status"], "0");
}
