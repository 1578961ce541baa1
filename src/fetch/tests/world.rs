//! A server that says what a test wants, and names that lead where a test wants.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::super::{
    Fetcher, Options,
    http::{self, Connection},
    target::Resolver,
};
use crate::domain::Result;

/// How long a test waits for what must happen.
pub(super) const DEADLINE: Duration = Duration::from_secs(60);

pub(super) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whom the certificate in `tls` is for. It was made with openssl: P-256, self-signed, from 2020 to 2120.
pub(super) const CERTIFIED: &str = "plugins.test";
const CERTIFICATE: &[u8] = include_bytes!("tls/cert.der");
const KEY: &[u8] = include_bytes!("tls/key.der");

/// A connection whose request has been read.
pub(super) type Asked = Box<dyn Connection>;

/// A server on 127.0.0.1, one request a connection.
pub(super) struct Server {
    pub(super) port: u16,
    /// The heads of all requests so far.
    pub(super) heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of its path, byte for byte, and hangs up.
    pub(super) async fn saying(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start(None, answer).await
    }

    /// The same, encrypted.
    pub(super) async fn saying_secretly(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start(Some(mk_acceptor()), answer).await
    }

    async fn start(tls: Option<TlsAcceptor>, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let (listener, port) = mk_listener().await;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(mut stream) = secured(stream, tls.as_ref()).await else { continue };
                let head = read_head(&mut stream).await;
                let said = answer(head.split(' ').nth(1).unwrap_or_default());
                seen.lock().unwrap().push(head);
                // The client may have hung up: what it says about that is what the test looks at.
                let _ = stream.write_all(said.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, heads }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(super) fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }
}

async fn secured(stream: TcpStream, tls: Option<&TlsAcceptor>) -> Option<Asked> {
    match tls {
        Some(tls) => Some(Box::new(tls.accept(stream).await.ok()?)),
        None => Some(Box::new(stream)),
    }
}

fn mk_acceptor() -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(KEY).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub(super) async fn mk_listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// One connection, with its request read, for tests that answer by themselves.
pub(super) async fn asked(listener: TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    stream
}

async fn read_head(stream: &mut (dyn Connection + '_)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Names that lead somewhere else each time, and a count of who was asked for.
#[derive(Default)]
pub(super) struct Names {
    answers: Mutex<HashMap<&'static str, Vec<Vec<IpAddr>>>>,
    pub(super) asked: Mutex<Vec<String>>,
}

impl Names {
    /// `name` has these addresses the first time, the next ones the second time.
    pub(super) fn with(self, name: &'static str, answers: &[&[IpAddr]]) -> Self {
        let answers = answers.iter().rev().map(|addresses| addresses.to_vec()).collect();
        self.answers.lock().unwrap().insert(name, answers);
        self
    }
}

impl Resolver for Names {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.asked.lock().unwrap().push(name.to_owned());
        let found = self.answers.lock().unwrap().get_mut(name).and_then(Vec::pop);
        Box::pin(async { found.ok_or_else(|| io::Error::other("no such name")) })
    }
}

/// Options for a server on 127.0.0.1.
pub(super) fn nearby() -> Options {
    Options { allow_private: true, ..Options::default() }
}

/// Fetches with these names, believing the tests' certificate only.
pub(super) async fn fetch_by_name(url: &str, names: &dyn Resolver, options: &Options) -> Result<bytes::Bytes> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(CERTIFICATE)).unwrap();
    let fetcher = Fetcher { options, resolver: names, tls: http::tls(roots).unwrap() };
    in_time(fetcher.fetch(url)).await
}

/// What must end, and did.
pub(super) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    time::timeout(DEADLINE, future).await.expect("it must end in time")
}
