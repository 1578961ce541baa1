//! REST: reading one plugin over many connections, against the same bytes from a server that only sends them. The client is
//! the same, and as little as HTTP allows.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    figures::{Goal, ROUNDS, Report, Rounds, to_f64},
    plugins::register,
    server::{Bare, Plugd},
};

const CONNECTIONS: usize = 64;
const ROUND: Duration = Duration::from_millis(1500);
const WARM_UP: Duration = Duration::from_millis(500);

pub(crate) async fn measure(report: &mut Report) {
    let (plugd, bare) = (Plugd::start(), Bare::start());
    let id = register(plugd.client().await).await.id;
    let authorization = format!("authorization: {}\r\n", plugd.authorization());
    let get = request("GET", &format!("/api/plugins/{id}"), &authorization, b"");
    let bytes = open(plugd.address()).await.send(&get).await;
    let put = request("PUT", "/bytes", "", &bytes);
    open(bare.address()).await.send(&put).await;
    let bare_get = request("GET", "/bytes", &authorization, b"");

    let (mut of_plugd, mut of_bare) = (Rounds::default(), Rounds::default());
    rate(plugd.address(), &get, WARM_UP).await;
    rate(bare.address(), &bare_get, WARM_UP).await;
    for _ in 0..ROUNDS {
        of_plugd.add(vec![rate(plugd.address(), &get, ROUND).await]);
        of_bare.add(vec![rate(bare.address(), &bare_get, ROUND).await]);
    }
    let limit = Some(("bare axum, same bytes", &of_bare));
    report.median(("REST GET of a plugin, 64 connections", "/s"), &of_plugd, limit, Goal::Rate(0.6));
}

/// A request with these headers, each with its line's end.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

async fn rate(address: &str, request: &[u8], time: Duration) -> f64 {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(open(address).await);
    }
    let began = Instant::now();
    let mut callers = JoinSet::new();
    for mut connection in connections {
        let request = request.to_vec();
        callers.spawn(async move {
            let mut count = 0;
            while began.elapsed() < time {
                connection.send(&request).await;
                count += 1;
            }
            count
        });
    }
    let count: usize = callers.join_all().await.into_iter().sum();
    to_f64(count) / began.elapsed().as_secs_f64()
}

async fn open(address: &str) -> Connection<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    Connection::over(stream)
}

/// A connection that is kept.
pub(crate) struct Connection<S> {
    stream: S,
    received: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, received: Vec::with_capacity(1 << 16) }
    }

    /// Sends a request: the body of the answer, which must have a length.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Vec<u8> {
        self.stream.write_all(request).await.unwrap();
        self.received.clear();
        let (head, length) = loop {
            match head(&self.received) {
                Some(found) => break found,
                None => self.receive().await,
            }
        };
        while self.received.len() < head + length {
            self.receive().await;
        }
        self.received[head..head + length].to_vec()
    }

    async fn receive(&mut self) {
        assert_ne!(self.stream.read_buf(&mut self.received).await.unwrap(), 0, "the connection was closed");
    }
}

/// How long the head is, and the body; None while the head is not all there.
fn head(received: &[u8]) -> Option<(usize, usize)> {
    let end = memchr::memmem::find(received, b"\r\n\r\n")?;
    let head = std::str::from_utf8(&received[..end]).unwrap().to_ascii_lowercase();
    let mut lines = head.lines();
    let status = lines.next().unwrap();
    assert!(status.contains(" 200"), "{status}");
    let length = lines.find_map(|line| line.strip_prefix("content-length:")).expect("an answer has a length");
    Some((end + 4, length.trim().parse().unwrap()))
}
