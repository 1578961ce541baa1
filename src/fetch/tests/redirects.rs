//! Where servers send their clients.

use std::sync::Arc;

use super::{
    super::fetch,
    world::{CERTIFIED, LOOPBACK, Names, Server, fetch_by_name, in_time, nearby},
};
use crate::domain::Reason;

const PACKAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nzip";

fn redirect_to(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

/// `/3` redirects to `/2` and so on down to `/0`, which is the package.
async fn mk_countdown() -> Server {
    Server::saying(|path| match path.trim_start_matches('/').parse::<u32>().unwrap() {
        0 => PACKAGE.to_owned(),
        left => redirect_to(&format!("/{}", left - 1)),
    })
    .await
}

#[tokio::test]
async fn five_redirects_are_followed() {
    let server = mk_countdown().await;
    assert_eq!(in_time(fetch(&server.url("/5"), &nearby())).await.unwrap(), "zip");
    assert_eq!(server.requests(), 6);
}

#[tokio::test]
async fn six_redirects_are_too_many() {
    let server = mk_countdown().await;
    let error = in_time(fetch(&server.url("/6"), &nearby())).await.unwrap_err();
    assert_eq!(error.reason, Reason::FetchFailed);
    assert!(error.message.ends_with("there are more than 5 redirects"), "{error}");
    assert_eq!(server.requests(), 6);
}

#[tokio::test]
async fn a_loop_ends() {
    let server = Server::saying(|_| redirect_to("/again")).await;
    let error = in_time(fetch(&server.url("/"), &nearby())).await.unwrap_err();
    assert!(error.message.ends_with("there are more than 5 redirects"), "{error}");
}

#[tokio::test]
async fn every_kind_of_redirect_is_followed() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::saying(move |path| match path {
            "/" => format!("HTTP/1.1 {status} Elsewhere\r\nLocation: there\r\n\r\n"),
            _ => PACKAGE.to_owned(),
        })
        .await;
        assert_eq!(in_time(fetch(&server.url("/"), &nearby())).await.unwrap(), "zip", "{status}");
    }
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_error() {
    let server = Server::saying(|_| "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    let error = in_time(fetch(&server.url("/"), &nearby())).await.unwrap_err();
    assert!(error.message.ends_with("the server answered 302 Found"), "{error}");
}

#[tokio::test]
async fn a_redirect_to_a_forbidden_address_is_not_followed() {
    for location in
        ["http://169.254.169.254/latest/meta-data", "http://0.0.0.0/", "http://[fe80::1]/", "file:///etc/passwd"]
    {
        let server = Server::saying(move |_| redirect_to(location)).await;
        let error = in_time(fetch(&server.url("/"), &nearby())).await.unwrap_err();
        assert_eq!(error.reason, Reason::FetchFailed, "{location}");
        assert!(error.message.contains("only") || error.message.contains("neither"), "{error}");
    }
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_not_followed() {
    let open = Server::saying(|_| PACKAGE.to_owned()).await;
    let location = open.url("/");
    let secret = Server::saying_secretly(move |_| redirect_to(&location)).await;
    let names = Arc::<Names>::default().with(CERTIFIED, &[&[LOOPBACK]]);
    let url = format!("https://{CERTIFIED}:{}/", secret.port);
    let error = fetch_by_name(&url, &names, &nearby()).await.unwrap_err();
    assert!(error.message.ends_with("\"plugins.test\" redirects from https to http"), "{error}");
    assert_eq!((secret.requests(), open.requests()), (1, 0));
}

#[tokio::test]
async fn a_redirect_from_http_to_https_is_followed() {
    let secret = Server::saying_secretly(|_| PACKAGE.to_owned()).await;
    let location = format!("https://{CERTIFIED}:{}/", secret.port);
    let open = Server::saying(move |_| redirect_to(&location)).await;
    let names = Arc::<Names>::default().with(CERTIFIED, &[&[LOOPBACK]]);
    assert_eq!(fetch_by_name(&open.url("/"), &names, &nearby()).await.unwrap(), "zip");
}
