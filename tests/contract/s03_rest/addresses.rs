//! Installing from an address (CONTRACT 3.2 (b)), against a server of the test's own.
//!
//! Held elsewhere, by the unit tests of `src/fetch`: every special range of addresses, names that resolve to them, never
//! from https to http, the vetted address is the dialled one, 30 seconds in total.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{Answer, Body, Plugd, chaos};

const PRIVATE: &[(&str, &str)] = &[("PLUGD_FETCH_PRIVATE", "true")];

/// The most bytes that an archive may have.
const MAX_ARCHIVE: usize = 50 * 1024 * 1024;

/// A web server with answers by path.
struct Site {
    base: String,
    asked: Arc<AtomicUsize>,
}

impl Site {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { base, asked }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        request.push(byte);
    }
    let request = String::from_utf8(request).unwrap();
    let path = request.split(' ').nth(1).unwrap();
    // Who is refused hangs up without reading to the end.
    let _ = stream.write_all(&answer(path)).await;
    let _ = stream.shutdown().await;
}

fn answer(path: &str) -> Vec<u8> {
    let whole = |status: &str, headers: &str, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        [head.as_bytes(), body].concat()
    };
    let found = |to: &str| whole("302 Found", &format!("location: {to}\r\n"), b"");
    match path {
        "/chaos.zip" => whole("200 OK", "", &chaos(&["tame"])),
        "/page" => whole("200 OK", "content-type: text/html\r\n", b"<html>"),
        "/announced" => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_ARCHIVE + 1).into(),
        "/endless" => [b"HTTP/1.0 200 OK\r\n\r\n".to_vec(), vec![0; MAX_ARCHIVE + 1]].concat(),
        "/cut" => b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nPK".to_vec(),
        "/loop" => found("/loop"),
        "/to-a-file" => found("file:///etc/passwd"),
        "/to-metadata" => found("http://169.254.169.254/latest"),
        path => match path.strip_prefix("/hops/").map(|left| left.parse::<u32>().unwrap()) {
            Some(0) => answer("/chaos.zip"),
            Some(left) => found(&format!("/hops/{}", left - 1)),
            None => whole(&format!("{} Teapot", path.trim_start_matches('/')), "", &chaos(&["tame"])),
        },
    }
}

async fn install(plugd: &Plugd, url: &str) -> Answer {
    plugd.rest().post("/api/plugins", Body::Json(json!({"mode": "supervised", "url": url}))).await
}

#[tokio::test]
async fn a_package_is_downloaded_and_installed_as_if_it_had_been_uploaded_3_2() {
    let (plugd, site) = (Plugd::with(PRIVATE).await, Site::open().await);
    for path in ["/chaos.zip", "/hops/5"] {
        let plugin = install(&plugd, &site.at(path)).await.expect(200);
        assert_eq!(plugin["status"]["active_state"], "inactive");
        assert_eq!(plugin["connection"], json!({"mode": "supervised"}));
        let package = format!("/api/plugins/{}/package", plugin["id"].as_str().unwrap());
        assert_eq!(plugd.rest().get(&package).await.bytes, chaos(&["tame"]));
    }
}

#[tokio::test]
async fn a_missing_or_blank_address_is_400_3_2() {
    let plugd = Plugd::with(PRIVATE).await;
    for body in [json!({}), json!({"url": ""}), json!({"url": "  "}), json!({"url": null}), json!({"url": 7})] {
        let mut body: Value = body;
        body["mode"] = json!("supervised");
        let problem = plugd.rest().post("/api/plugins", Body::Json(body)).await.problem(400);
        assert_eq!(problem["metadata"]["violations"][0]["field"], "url");
    }
}

/// The reference says 500 for most of these (19, row 9).
#[tokio::test]
async fn an_address_that_no_package_is_fetched_from_is_400_3_2() {
    let plugd = Plugd::start().await;
    let site = Site::open().await;
    let port = site.base.rsplit(':').next().unwrap();
    let here =
        ["127.0.0.1", "localhost", "LOCALHOST.", "x.localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "0.0.0.0"];
    let here = here.map(|host| format!("http://{host}:{port}/chaos.zip"));
    let others = [
        "ftp://example.org/x.zip",
        "file:///etc/passwd",
        "http://",
        "nonsense",
        "http://user:secret@example.org/x.zip",
        "http://10.0.0.1/x.zip",
        "http://192.168.0.1/x.zip",
        "http://169.254.169.254/latest",
        "http://100.64.0.1/x.zip",
        "http://198.18.0.1/x.zip",
        "http://224.0.0.1/x.zip",
        "http://[fd00::1]/x.zip",
        "http://[2002:7f00:1::]/x.zip",
    ];
    for url in here.iter().map(String::as_str).chain(others) {
        let problem = install(&plugd, url).await.problem(400);
        assert_eq!(problem["error"], "fetch_failed", "{url}");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }
    assert_eq!(site.asked(), 0, "nobody was asked");
    assert_eq!(plugd.rest().list().await, [] as [Value; 0]);
}

#[tokio::test]
async fn an_answer_that_is_no_package_is_400_and_nothing_is_kept_3_2() {
    let (plugd, site) = (Plugd::with(PRIVATE).await, Site::open().await);
    let before = plugd.files();
    for (path, error) in [
        ("/404", "fetch_failed"),
        ("/500", "fetch_failed"),
        ("/201", "fetch_failed"),
        ("/206", "fetch_failed"),
        ("/hops/6", "fetch_failed"),
        ("/loop", "fetch_failed"),
        ("/to-a-file", "fetch_failed"),
        ("/to-metadata", "fetch_failed"),
        ("/cut", "fetch_failed"),
        ("/announced", "invalid_package"),
        ("/endless", "invalid_package"),
        ("/page", "invalid_package"),
    ] {
        let problem = install(&plugd, &site.at(path)).await.problem(400);
        assert_eq!(problem["error"], error, "{path}: {problem}");
        if error == "invalid_package" {
            let title = problem["title"].as_str().unwrap();
            assert!(title.starts_with("The provided plugin file is invalid: "), "{path}: {title}");
        }
    }
    assert_eq!(plugd.files(), before);
    assert_eq!(plugd.rest().list().await, [] as [Value; 0]);
}

/// A server that never answers costs one place of those for packages, and the rest of plugd nothing.
#[tokio::test]
async fn a_slow_server_holds_up_nobody_else_3_2() {
    let (plugd, site) = (Plugd::with(PRIVATE).await, Site::open().await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let rest = plugd.rest();
    let body = Body::Json(json!({"mode": "supervised", "url": url}));
    let waiting = tokio::spawn(async move { rest.post("/api/plugins", body).await });
    let (mut asked, _) = silent.accept().await.unwrap();
    asked.read_u8().await.unwrap();
    install(&plugd, &site.at("/chaos.zip")).await.expect(200);
    assert!(!waiting.is_finished());
    drop((asked, silent));
    assert_eq!(waiting.await.unwrap().problem(400)["error"], "fetch_failed");
}
