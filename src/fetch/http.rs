//! From vetted addresses to a connection, encrypted for https; one request on it, and its answer.

use std::{fmt::Display, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Empty, LengthLimitError, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Body as _, Incoming},
    client::conn::http1,
    header::{ACCEPT, ACCEPT_ENCODING, HOST, LOCATION, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_util::task::AbortOnDropHandle;
use url::Host;

use super::{failure, target::Target, too_large};
use crate::domain::{Error, Reason, Result};

/// How long one address may take to answer before the next is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// How plugd introduces itself.
const AGENT: &str = concat!("plugd/", env!("CARGO_PKG_VERSION"));

/// Bytes that the headers of an answer may have, and that are read at once.
const BUFFER: usize = 64 * 1024;

/// A connection, encrypted or not.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// TLS with the authorities that browsers trust.
pub(super) fn browsers_tls() -> Result<Arc<ClientConfig>> {
    tls(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

/// TLS with these authorities.
pub(super) fn tls(roots: RootCertStore) -> Result<Arc<ClientConfig>> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Reason::Internal, error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Connects to one of these addresses, which are those of the target's host; nothing else is asked for others.
pub(super) async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
    tls: Arc<ClientConfig>,
) -> Result<Box<dyn Connection>> {
    let host = target.shown_host();
    let plain = first(addresses).await.map_err(|error| failure(format!("no connection to {host}: {error}")))?;
    if !target.is_tls() {
        return Ok(Box::new(plain));
    }
    let name = server_name(target)?;
    let encrypted = TlsConnector::from(tls).connect(name, plain).await;
    Ok(Box::new(encrypted.map_err(|error| failure(format!("no encrypted connection to {host}: {error}")))?))
}

async fn first(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match time::timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

fn server_name(target: &Target) -> Result<ServerName<'static>> {
    let unfit = || failure(format!("the host {} has no name that a certificate could have", target.shown_host()));
    match target.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|_| unfit()),
        Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(address).into())),
        Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(address).into())),
        None => Err(unfit()),
    }
}

/// An answer whose body is not read yet. Dropped, it closes the connection.
pub(super) struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

/// Asks for the target over this connection.
pub(super) async fn get(connection: Box<dyn Connection>, target: &Target) -> Result<Answer> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(connection)).await.map_err(broken)?;
    let driver = tokio::spawn(async move {
        // An error here is the error of the request too, which is awaited below.
        let _ = connection.await;
    });
    let driver = AbortOnDropHandle::new(driver);
    let response = sender.send_request(request(target)?).await.map_err(broken)?;
    Ok(Answer { response, _connection: driver })
}

/// No cookies, no credentials, and the bytes as they are: a package is compressed already.
fn request(target: &Target) -> Result<Request<Empty<Bytes>>> {
    Request::get(target.path())
        .header(HOST, target.authority())
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "application/zip, application/octet-stream, */*")
        .header(ACCEPT_ENCODING, "identity")
        .body(Empty::new())
        .map_err(|error| failure(format!("the address cannot be asked for: {error}")))
}

impl Answer {
    /// Where else to ask, if that is the answer.
    pub(super) fn location(&self) -> Option<&[u8]> {
        let location = self.response.headers().get(LOCATION)?;
        matches!(self.response.status().as_u16(), 301 | 302 | 303 | 307 | 308).then_some(location.as_bytes())
    }

    /// The body of a 200, of at most so many bytes. Any other answer's body is not read, nor one that says in advance
    /// that it is too long.
    pub(super) async fn package(self, max_bytes: u64) -> Result<Bytes> {
        if self.response.status() != StatusCode::OK {
            return Err(failure(format!("the server answered {}", self.response.status())));
        }
        let body = self.response.into_body();
        if body.size_hint().lower() > max_bytes {
            return Err(too_large(max_bytes));
        }
        let read = Limited::new(body, usize::try_from(max_bytes).unwrap_or(usize::MAX)).collect().await;
        read.map(Collected::to_bytes).map_err(|error| match error.is::<LengthLimitError>() {
            true => too_large(max_bytes),
            false => broken(error),
        })
    }
}

fn broken(error: impl Display) -> Error {
    failure(format!("the server's answer is broken: {error}"))
}
