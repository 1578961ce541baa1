//! Downloads that end although nobody on the other side wants them to.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{self, BoxFuture};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time,
};

use super::{
    super::{Options, fetch},
    world::{Resolver, asked, fetch_by_name, in_time, mk_listener, nearby},
};
use crate::domain::{Error, Reason};

const SHORT: Duration = Duration::from_millis(300);

fn assert_too_slow(error: &Error, since: Instant) {
    assert_eq!(error.reason, Reason::FetchFailed);
    assert!(error.message.ends_with("it took longer than 300ms"), "{error}");
    assert!(since.elapsed() >= SHORT);
}

fn hasty() -> Options {
    Options { timeout: SHORT, ..nearby() }
}

/// Whether the client hung up.
async fn has_hung_up(mut stream: TcpStream) -> bool {
    matches!(in_time(stream.read(&mut [0; 1])).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn a_body_that_drips_is_given_up_at_the_deadline() {
    let (listener, port) = mk_listener().await;
    let dripping = tokio::spawn(async move {
        let mut stream = asked(listener).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
        let mut every = time::interval(Duration::from_millis(10));
        while stream.write_all(b"x").await.is_ok() {
            every.tick().await;
        }
    });
    let since = Instant::now();
    let error = in_time(fetch(&format!("http://127.0.0.1:{port}/"), &hasty())).await.unwrap_err();
    assert_too_slow(&error, since);
    in_time(dripping).await.unwrap();
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_deadline() {
    for scheme in ["http", "https"] {
        let (listener, port) = mk_listener().await;
        let silent = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // It ends when the client hangs up.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let since = Instant::now();
        let error = in_time(fetch(&format!("{scheme}://127.0.0.1:{port}/"), &hasty())).await.unwrap_err();
        assert_too_slow(&error, since);
        in_time(silent).await.unwrap();
    }
}

#[tokio::test]
async fn a_name_that_never_resolves_is_given_up_at_the_deadline() {
    struct Never;
    impl Resolver for Never {
        fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(future::pending())
        }
    }
    let since = Instant::now();
    let error = fetch_by_name("http://never.test/", &Arc::new(Never), &hasty()).await.unwrap_err();
    assert_too_slow(&error, since);
}

#[tokio::test]
async fn an_endless_body_is_cut_off_soon_after_it_is_too_long() {
    const MIB: usize = 1 << 20;
    let (listener, port) = mk_listener().await;
    let pouring = tokio::spawn(async move {
        let mut stream = asked(listener).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
        let chunk = [format!("{MIB:x}\r\n").into_bytes(), vec![0; MIB], b"\r\n".to_vec()].concat();
        let mut poured = 0;
        while stream.write_all(&chunk).await.is_ok() {
            poured += MIB;
        }
        poured
    });
    let options = Options { max_bytes: MIB as u64, ..nearby() };
    let error = in_time(fetch(&format!("http://127.0.0.1:{port}/"), &options)).await.unwrap_err();
    assert_eq!(error.reason, Reason::InvalidPackage);
    // What the kernel buffers between the two is a few MiB at most.
    let poured = in_time(pouring).await.unwrap();
    assert!(poured < 32 * MIB, "{poured}");
}

#[tokio::test]
async fn a_body_announced_too_long_or_of_an_error_is_not_read() {
    for (head, reason) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 52428801\r\n\r\n", Reason::InvalidPackage),
        ("HTTP/1.1 500 Oops\r\nContent-Length: 1000\r\n\r\n", Reason::FetchFailed),
        ("HTTP/1.1 302 Found\r\nLocation: ftp://x/\r\nContent-Length: 1000\r\n\r\n", Reason::FetchFailed),
    ] {
        let (listener, port) = mk_listener().await;
        // The body never comes: who waited for it would wait for ever.
        let waiting = tokio::spawn(async move {
            let mut stream = asked(listener).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            has_hung_up(stream).await
        });
        let error = in_time(fetch(&format!("http://127.0.0.1:{port}/"), &nearby())).await.unwrap_err();
        assert_eq!(error.reason, reason, "{head}");
        assert!(in_time(waiting).await.unwrap());
    }
}

#[tokio::test]
async fn headers_without_end_are_given_up() {
    let (listener, port) = mk_listener().await;
    let pouring = tokio::spawn(async move {
        let mut stream = asked(listener).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ").await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let error = in_time(fetch(&format!("http://127.0.0.1:{port}/"), &nearby())).await.unwrap_err();
    assert!(error.message.contains("the server's answer is broken"), "{error}");
    in_time(pouring).await.unwrap();
}

#[tokio::test]
async fn a_fetch_that_is_dropped_hangs_up() {
    let (listener, port) = mk_listener().await;
    let url = format!("http://127.0.0.1:{port}/");
    let fetching = tokio::spawn(async move { fetch(&url, &nearby()).await });
    let mut stream = in_time(asked(listener)).await;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx").await.unwrap();
    fetching.abort();
    assert!(has_hung_up(stream).await);
}
