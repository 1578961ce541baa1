//! What servers say.

use super::{
    super::{Options, fetch},
    world::{Server, in_time, nearby},
};
use crate::domain::{Error, Reason};

const INVALID: &str = "The provided plugin file is invalid: it has more than 10 bytes";

async fn fetched(answer: &'static str) -> Result<String, Error> {
    let server = Server::saying(move |_| answer.to_owned()).await;
    let options = Options { max_bytes: 10, ..nearby() };
    let bytes = in_time(fetch(&server.url("/plugin.zip"), &options)).await?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_package_arrives_whole() {
    assert_eq!(fetched("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789").await.unwrap(), "0123456789");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n";
    assert_eq!(fetched(chunked).await.unwrap(), "0123456789");
    assert_eq!(fetched("HTTP/1.0 200 OK\r\n\r\n0123456789").await.unwrap(), "0123456789");
    assert_eq!(fetched("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap(), "");
}

#[tokio::test]
async fn more_than_announced_is_not_read() {
    assert_eq!(fetched("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n0123456789").await.unwrap(), "0123");
}

#[tokio::test]
async fn one_byte_too_many_is_refused_announced_or_not() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551613\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n6789A\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\n\r\n0123456789A",
    ] {
        let error = fetched(answer).await.unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), (Reason::InvalidPackage, INVALID), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_ends_early_is_no_package() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012345678",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n",
    ] {
        let error = fetched(answer).await.unwrap_err();
        assert_eq!(error.reason, Reason::FetchFailed, "{answer}");
        assert!(error.message.contains("the server's answer is broken"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_must_be_http() {
    for answer in ["", "SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n01"]
    {
        assert_eq!(fetched(answer).await.unwrap_err().reason, Reason::FetchFailed, "{answer}");
    }
}

#[tokio::test]
async fn only_200_is_an_answer() {
    for status in [
        "201 Created",
        "204 No Content",
        "206 Partial Content",
        "300 Multiple Choices",
        "304 Not Modified",
        "404 Not Found",
        "503 Service Unavailable",
    ] {
        let server =
            Server::saying(move |_| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nLocation: /\r\n\r\n")).await;
        let error = in_time(fetch(&server.url("/"), &nearby())).await.unwrap_err();
        assert_eq!(error.reason, Reason::FetchFailed);
        assert_eq!(error.message, format!("the package could not be downloaded: the server answered {status}"));
        assert_eq!(error.violations[0].field, "url");
    }
}

#[tokio::test]
async fn a_request_says_no_more_than_it_must() {
    let server = Server::saying(|_| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    in_time(fetch(&server.url("/a%20b?c=d#e"), &nearby())).await.unwrap();
    let heads = server.heads.lock().unwrap();
    let (first, headers) = heads[0].split_once("\r\n").unwrap();
    let mut names: Vec<_> = headers.lines().filter_map(|line| Some(line.split_once(':')?.0.to_lowercase())).collect();
    names.sort();
    assert_eq!(first, "GET /a%20b?c=d HTTP/1.1");
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
    assert!(headers.contains(&format!("host: 127.0.0.1:{}\r\n", server.port)), "{headers}");
    assert!(headers.contains("accept-encoding: identity\r\n"), "{headers}");
}

#[tokio::test]
async fn a_blank_address_is_a_wrong_field() {
    for blank in ["", " ", "\t\n"] {
        let error = fetch(blank, &Options::default()).await.unwrap_err();
        assert_eq!((error.reason, error.message.as_str()), (Reason::InvalidArgument, "url: must not be blank"));
    }
}
