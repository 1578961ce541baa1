//! One request to a receiver, and what comes of it.

use super::*;
use crate::hooks::{delivery::Outcome, event::Message};

fn mk_origin() -> Origin {
    Origin { database_id: "database".to_owned(), epoch: "epoch".to_owned() }
}

fn mk_message() -> Message {
    mk_origin().of_commit(&mk_commit(None, State::Error))
}

async fn deliver_to(url: String, rules: Rules) -> Outcome {
    let hook = Hook { url: url.into(), ..mk_hook(1) };
    in_time(delivery::deliver(&mk_client(named(), rules), &hook, &mk_message())).await
}

#[tokio::test]
async fn an_event_is_posted_over_https_with_its_signature() {
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    assert_eq!(deliver_to(secretly(&server), AT_HOME).await, Outcome::Delivered);
    let (head, body) = (server.heads.lock().unwrap()[0].clone(), server.bodies.lock().unwrap()[0].clone());
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
    assert!(head.starts_with("POST /hook?key=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert_eq!((header("webhook-id"), body.as_bytes()), ("epoch-8", &*mk_message().body));
    let time = header("webhook-timestamp").parse().unwrap();
    let signature = delivery::sign(&mk_hook(1).secret, "epoch-8", time, body.as_bytes());
    assert_eq!(Some(header("webhook-signature")), signature.as_deref());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::saying_secretly(|_| OK.to_owned()).await;
    let location = secretly(&target);
    let server =
        Server::saying_secretly(move |_| format!("HTTP/1.1 307 Elsewhere\r\nLocation: {location}\r\n\r\n")).await;
    let outcome = deliver_to(secretly(&server), AT_HOME).await;
    let why = outcome.error().unwrap();
    assert_eq!(why, "the receiver answered 307 Temporary Redirect, and redirects are not followed");
    assert_eq!((server.requests(), target.requests()), (1, 0));
}

#[tokio::test]
async fn a_private_address_is_not_asked_unless_that_is_allowed_nor_a_public_one_in_the_clear() {
    let server = Server::saying_secretly(|_| OK.to_owned()).await;
    let outside = Rules { allow_private: false, allow_plain: false };
    let refused = deliver_to(secretly(&server), outside).await;
    assert!(refused.error().unwrap().contains("a loopback address"), "{refused:?}");
    let refused = deliver_to("http://8.8.8.8/".to_owned(), AT_HOME).await;
    assert!(refused.error().unwrap().contains("only be asked over https"), "{refused:?}");
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn the_body_of_an_answer_is_not_waited_for() {
    let server = Server::saying_secretly(|_| "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n".to_owned()).await;
    assert_eq!(deliver_to(secretly(&server), AT_HOME).await, Outcome::Delivered);
}

#[tokio::test]
async fn a_receiver_that_keeps_silent_is_given_up() {
    // Connections are taken by the kernel, and nobody says anything on them.
    let (_silent, port) = mk_listener().await;
    tokio::time::pause();
    assert_eq!(deliver_to(format!("https://{CERTIFIED}:{port}/"), AT_HOME).await, Outcome::silent());
}
