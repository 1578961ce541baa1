//! What only shows on a real connection.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Harness, fake::Ended, path};
use crate::rest::{App, Backend, Options, router};

const DEADLINE: Duration = Duration::from_secs(60);

/// A connection to the shim on which this has been sent.
async fn send(harness: &Harness, text: &str) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = harness.router.clone();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(text.as_bytes()).await.unwrap();
    socket
}

fn head(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: plugd\r\nauthorization: Bearer admin\r\n{more}\r\n")
}

async fn read_until(socket: &mut TcpStream, end: &str) -> String {
    let mut text = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&text).contains(end) {
            text.push(socket.read_u8().await.unwrap());
        }
    };
    timeout(DEADLINE, read).await.expect("nothing came");
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn the_headers_of_a_stream_come_before_its_first_event() {
    let harness = Harness::new();
    let mut socket = send(&harness, &head("GET", &path("/logs"), "")).await;
    let text = read_until(&mut socket, "\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    assert!(text.contains("content-type: text/event-stream; charset=utf-8"), "{text}");
}

#[tokio::test]
async fn a_connection_that_breaks_within_an_archive_is_an_error_to_the_service() {
    for more in ["content-length: 100\r\n", "transfer-encoding: chunked\r\n"] {
        let harness = Harness::new();
        let head = head("POST", "/api/plugins", &format!("content-type: application/zip\r\n{more}"));
        let socket = send(&harness, &format!("{head}2\r\nPK\r\n")).await;
        let begun = async {
            while harness.fake.seen().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, begun).await.expect("the call has not begun");
        drop(socket);
        assert!(matches!(harness.fake.upload().await, Ended::Broken(_)), "{more}");
    }
}

#[tokio::test]
async fn a_service_that_is_away_is_unavailable_and_its_address_is_not_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let channel = tonic::transport::Endpoint::try_from(format!("http://{address}")).unwrap().connect_lazy();
    let harness = Harness {
        router: router(App::new(Backend::new(channel.clone(), channel), Options::default())),
        ..Harness::new()
    };
    for path in ["/api/plugins", "/readyz", "/api/plugins/watch"] {
        let answer = harness.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("1")), "{path}");
        assert!(!answer.text.contains(&address.port().to_string()), "{}", answer.text);
    }
}
