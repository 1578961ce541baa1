use std::net::SocketAddr;

use axum::{
    body::Body,
    extract::{Request, WebSocketUpgrade},
    http::{StatusCode, Version},
    routing::get,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    task::JoinHandle,
};

use super::*;

/// Whatever a test waits for comes within this time, or the test fails.
async fn within<T>(what: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), what).await.expect("it did not come in time")
}

/// The end of what `/version` answers an HTTP/1.1 client.
const BODY: &str = "\r\n\r\nHTTP/1.1";

struct Rig {
    address: SocketAddr,
    /// Lets one request to `/held` finish.
    release: Arc<Semaphore>,
    /// One permit for each request that has come to `/held`.
    arrived: Arc<Semaphore>,
    shutdown: CancellationToken,
    served: JoinHandle<usize>,
}

impl Rig {
    async fn start(options: Options) -> Self {
        let [release, arrived] = std::array::from_fn(|_| Arc::new(Semaphore::new(0)));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into(), None).await.unwrap();
        let address = listener.address();
        let shutdown = CancellationToken::new();
        let app = mk_app(Arc::clone(&release), Arc::clone(&arrived));
        let served = tokio::spawn(serve(listener, app, options, shutdown.clone()));
        Self { address, release, arrived, shutdown, served }
    }

    async fn connect(&self) -> TcpStream {
        within(TcpStream::connect(self.address)).await.unwrap()
    }

    /// Asks for `/held` and waits until the request has come in.
    async fn hold(&self) -> TcpStream {
        let mut stream = self.connect().await;
        ask(&mut stream, "/held").await;
        within(self.arrived.acquire()).await.unwrap().forget();
        stream
    }

    async fn stop(self) -> usize {
        self.shutdown.cancel();
        within(self.served).await.unwrap()
    }
}

fn mk_app(release: Arc<Semaphore>, arrived: Arc<Semaphore>) -> Router {
    let held = async move || {
        arrived.add_permits(1);
        release.acquire().await.unwrap().forget();
        "held"
    };
    Router::new()
        .route("/version", get(async |request: Request| format!("{:?}", request.version())))
        .route("/held", get(held))
        .route("/panic", get(async || -> StatusCode { panic!("as the test wants it") }))
        .route(
            "/socket",
            get(async |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async |mut socket| while socket.recv().await.is_some() {})
            }),
        )
}

async fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
}

/// Reads until the text has come or the connection ends; what was read.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut answer = Vec::new();
    let mut part = [0; 1024];
    while !String::from_utf8_lossy(&answer).contains(text) {
        match within(stream.read(&mut part)).await {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&part[..read]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get_http2(address: SocketAddr, path: &str) -> Result<(StatusCode, Version), hyper::Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("http://x{path}")).body(Body::empty()).unwrap();
    let answer = client.send_request(request).await?;
    connection.abort();
    Ok((answer.status(), answer.version()))
}

#[tokio::test]
async fn http1_and_http2_are_served_on_the_same_port() {
    let rig = Rig::start(Options::default()).await;
    let mut stream = rig.connect().await;
    ask(&mut stream, "/version").await;
    let answer = read_until(&mut stream, BODY).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(within(get_http2(rig.address, "/version")).await.unwrap(), (StatusCode::OK, Version::HTTP_2));
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_head_is_cut_off() {
    let options = Options { header_timeout: Duration::from_millis(200), ..Options::default() };
    let rig = Rig::start(options).await;
    // Nothing, what could become HTTP/2, and HTTP/1.1 that never ends its head.
    for start in ["", "PRI * HT", "GET /version HTTP/1.1\r\nHost: x\r\n"] {
        let mut stream = rig.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let answer = read_until(&mut stream, "never").await;
        assert!(!answer.contains("200 OK"), "{start:?}: {answer}");
    }
    assert_eq!(rig.stop().await, 0);
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() {
    let rig = Rig::start(Options::default()).await;
    let mut stream = rig.connect().await;
    let head = format!("GET /version HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(40 << 10));
    let _ = within(stream.write_all(head.as_bytes())).await;
    assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let rig = Rig::start(Options { max_connections: 2, ..Options::default() }).await;
    let (first, _second) = (rig.hold().await, rig.hold().await);
    let mut third = rig.connect().await;
    ask(&mut third, "/version").await;
    let mut byte = [0];
    assert!(timeout(Duration::from_millis(200), third.read(&mut byte)).await.is_err(), "it was served");
    drop(first);
    assert!(read_until(&mut third, BODY).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn whoever_asks_for_nothing_takes_nobodys_place_and_is_cut_off() {
    let options = Options { max_connections: 1, header_timeout: Duration::from_secs(2), ..Options::default() };
    let rig = Rig::start(options).await;
    let mut silent = Vec::new();
    for number in 0..60 {
        let mut stream = rig.connect().await;
        let said: &[u8] = match number % 3 {
            0 => b"",
            1 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
            _ => b"GET /version HTTP/1.1\r\n",
        };
        stream.write_all(said).await.unwrap();
        silent.push(stream);
    }
    let mut held = rig.hold().await;
    for mut stream in silent {
        assert!(!read_until(&mut stream, "never").await.contains("200"));
    }
    rig.release.add_permits(1);
    assert!(read_until(&mut held, "held").await.ends_with("held"), "it asked for something and stays");
}

#[tokio::test]
async fn whoever_waits_too_long_for_a_place_is_told_so() {
    let options = Options { max_connections: 1, place_timeout: Duration::from_millis(100), ..Options::default() };
    let rig = Rig::start(options).await;
    let _first = rig.hold().await;
    let mut second = rig.connect().await;
    ask(&mut second, "/version").await;
    let answer = read_until(&mut second, "later").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(within(get_http2(rig.address, "/version")).await.unwrap().0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn an_http2_connection_without_requests_is_told_to_end() {
    let (header_timeout, idle_timeout) = (Duration::from_secs(2), Duration::from_millis(100));
    let rig = Rig::start(Options { header_timeout, idle_timeout, ..Options::default() }).await;
    let io = TokioIo::new(rig.connect().await);
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = || Request::get("http://x/held").body(Body::empty()).unwrap();
    let held = client.send_request(request());
    within(rig.arrived.acquire()).await.unwrap().forget();
    // Far longer than may pass without a request.
    assert!(timeout(Duration::from_secs(4), rig.arrived.acquire()).await.is_err());
    let another = client.send_request(request());
    rig.release.add_permits(2);
    for answer in [within(held).await, within(another).await] {
        assert_eq!(answer.unwrap().status(), StatusCode::OK, "an open request is no idleness");
    }
    assert!(within(connection).await.unwrap().is_ok(), "it ended in good order");
    assert_eq!(rig.stop().await, 0);
}

#[tokio::test]
async fn a_websocket_gives_its_place_back() {
    let rig = Rig::start(Options { max_connections: 1, ..Options::default() }).await;
    let url = format!("ws://{}/socket", rig.address);
    let (_first, _) = within(tokio_tungstenite::connect_async(&url)).await.unwrap();
    let (_second, _) = within(tokio_tungstenite::connect_async(&url)).await.unwrap();
    let mut client = rig.connect().await;
    ask(&mut client, "/version").await;
    assert!(read_until(&mut client, BODY).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn stopping_lets_a_running_request_finish_and_refuses_new_ones() {
    let rig = Rig::start(Options::default()).await;
    let mut running = rig.hold().await;
    let mut idle = rig.connect().await;
    ask(&mut idle, "/version").await;
    read_until(&mut idle, BODY).await;
    rig.shutdown.cancel();
    assert_eq!(read_until(&mut idle, "never").await, "", "an idle connection is closed");
    within(async { while TcpStream::connect(rig.address).await.is_ok() {} }).await;
    rig.release.add_permits(1);
    let answer = read_until(&mut running, "never").await;
    assert!(answer.contains("connection: close") && answer.ends_with("held"), "{answer}");
    assert_eq!(within(rig.served).await.unwrap(), 0);
}

#[tokio::test]
async fn stopping_lets_a_running_http2_request_finish() {
    let rig = Rig::start(Options::default()).await;
    let running = tokio::spawn(get_http2(rig.address, "/held"));
    within(rig.arrived.acquire()).await.unwrap().forget();
    rig.shutdown.cancel();
    rig.release.add_permits(1);
    assert_eq!(within(running).await.unwrap().unwrap().0, StatusCode::OK);
    assert_eq!(within(rig.served).await.unwrap(), 0);
}

#[tokio::test]
async fn requests_that_hang_are_cut_when_the_time_to_drain_is_over() {
    let rig = Rig::start(Options { drain_timeout: Duration::from_millis(200), ..Options::default() }).await;
    let mut hanging = rig.hold().await;
    let http2 = tokio::spawn(get_http2(rig.address, "/held"));
    within(rig.arrived.acquire()).await.unwrap().forget();
    assert_eq!(rig.stop().await, 2);
    assert_eq!(read_until(&mut hanging, "never").await, "");
    assert!(within(http2).await.unwrap().is_err());
}

#[tokio::test]
async fn a_connection_that_was_upgraded_is_not_waited_for() {
    let rig = Rig::start(Options::default()).await;
    let url = format!("ws://{}/socket", rig.address);
    let (_socket, _) = within(tokio_tungstenite::connect_async(url)).await.unwrap();
    assert_eq!(rig.stop().await, 0);
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_nothing_else() {
    let rig = Rig::start(Options::default()).await;
    let mut stream = rig.connect().await;
    ask(&mut stream, "/panic").await;
    assert_eq!(read_until(&mut stream, "never").await, "");
    assert!(within(get_http2(rig.address, "/panic")).await.is_err());
    assert!(within(get_http2(rig.address, "/version")).await.is_ok());
}

/// The rest of the body is thrown away; a reset would take the answer with it.
#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_answer() {
    let rig = Rig::start(Options::default()).await;
    let mut stream = rig.connect().await;
    let body = vec![0; 8 << 20];
    let head = format!("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    within(stream.write_all(head.as_bytes())).await.unwrap();
    within(stream.write_all(&body)).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

/// A frame of HTTP/2 (RFC 9113, 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// All at once, so that the server has seen none of the requests when they are given up.
#[tokio::test]
async fn a_client_that_gives_many_requests_up_keeps_its_connection() {
    let [headers, reset, settings, goaway] = [1, 3, 4, 7];
    let rig = Rig::start(Options::default()).await;
    let mut client = rig.connect().await;
    // GET http / in HPACK's static table.
    let ask = |stream| frame(headers, 5, stream, &[0x82, 0x86, 0x84]);
    let mut sent = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(settings, 0, 0, &[])].concat();
    for stream in (1..601).step_by(2) {
        sent.extend(ask(stream));
        sent.extend(frame(reset, 0, stream, &8_u32.to_be_bytes()));
    }
    sent.extend(ask(601));
    client.write_all(&sent).await.unwrap();
    loop {
        let mut head = [0; 9];
        within(client.read_exact(&mut head)).await.unwrap();
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        within(client.read_exact(&mut payload)).await.unwrap();
        assert_ne!(kind, goaway, "{payload:?}");
        if kind == headers && u32::from_be_bytes(stream) == 601 {
            break;
        }
    }
}
