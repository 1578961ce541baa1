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
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

pub(crate) use super::super::target::Resolver;
use super::super::{Client, Connection, Rules};

/// How long a test waits for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whom the certificate in `tls` is for. It was made with openssl: P-256, self-signed, from 2020 to 2120.
pub(crate) const CERTIFIED: &str = "plugins.test";
const CERTIFICATE: &[u8] = include_bytes!("tls/cert.der");
const KEY: &[u8] = include_bytes!("tls/key.der");

/// A connection whose request has been read.
pub(crate) type Asked = Box<dyn Connection>;

/// A server on 127.0.0.1, one request a connection.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// The heads of all requests so far.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    /// And their bodies.
    pub(crate) bodies: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers each request with what `answer` makes of its path, byte for byte, and hangs up.
    pub(crate) async fn saying(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start(None, answer).await
    }

    /// The same, encrypted.
    pub(crate) async fn saying_secretly(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::start(Some(mk_acceptor()), answer).await
    }

    async fn start(tls: Option<TlsAcceptor>, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let (listener, port) = mk_listener().await;
        let (heads, bodies) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (seen, read) = (Arc::clone(&heads), Arc::clone(&bodies));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(mut stream) = secured(stream, tls.as_ref()).await else { continue };
                let head = read_head(&mut stream).await;
                let said = answer(head.split(' ').nth(1).unwrap_or_default());
                let body = read_body(&mut stream, &head).await;
                read.lock().unwrap().push(body);
                seen.lock().unwrap().push(head);
                // The client may have hung up: what it says about that is what the test looks at.
                let _ = stream.write_all(said.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { port, heads, bodies }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn requests(&self) -> usize {
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

pub(crate) async fn mk_listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// One connection, with its request read, for tests that answer by themselves.
pub(crate) async fn asked(listener: TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    stream
}

/// The body that a request announces.
async fn read_body(stream: &mut (dyn Connection + '_), head: &str) -> String {
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    String::from_utf8(body).unwrap()
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
pub(crate) struct Names {
    answers: Mutex<HashMap<&'static str, Vec<Vec<IpAddr>>>>,
    pub(crate) asked: Mutex<Vec<String>>,
}

impl Names {
    /// `name` has these addresses the first time, the next ones the second time.
    pub(crate) fn with(self: Arc<Self>, name: &'static str, answers: &[&[IpAddr]]) -> Arc<Self> {
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

/// A client with these names and rules that believes the tests' certificate only.
pub(crate) fn mk_client(names: Arc<impl Resolver + 'static>, rules: Rules) -> Client {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(CERTIFICATE)).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client { rules, resolver: names, tls: Arc::new(tls).into() }
}

/// What must end, and did.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    time::timeout(DEADLINE, future).await.expect("it must end in time")
}
