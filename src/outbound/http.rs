//! From vetted addresses to a connection, encrypted for https; one request on it, and its answer.

use std::{fmt::Display, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::Incoming,
    client::conn::http1,
    header::{HOST, HeaderValue, USER_AGENT},
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

use super::{Unreachable, target::Target};

/// How long one address may take to answer before the next is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// How plugd introduces itself.
const AGENT: &str = concat!("plugd/", env!("CARGO_PKG_VERSION"));

/// Bytes that the headers of an answer may have, and that are read at once.
const BUFFER: usize = 64 * 1024;

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// TLS with the authorities that browsers trust.
pub(super) fn browsers_tls() -> Result<Arc<ClientConfig>, Unreachable> {
    tls(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

/// TLS with these authorities.
pub(super) fn tls(roots: RootCertStore) -> Result<Arc<ClientConfig>, Unreachable> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| Unreachable::new(format!("TLS can't be used: {error}")))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Connects to one of these addresses, which are those of the target's host; nothing else is asked for others.
pub(super) async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
    tls: Arc<ClientConfig>,
) -> Result<Box<dyn Connection>, Unreachable> {
    let host = target.shown_host();
    let plain =
        first(addresses).await.map_err(|error| Unreachable::new(format!("no connection to {host}: {error}")))?;
    if !target.is_tls() {
        return Ok(Box::new(plain));
    }
    let name = server_name(target)?;
    let encrypted = TlsConnector::from(tls).connect(name, plain).await;
    Ok(Box::new(encrypted.map_err(|error| Unreachable::new(format!("no encrypted connection to {host}: {error}")))?))
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

fn server_name(target: &Target) -> Result<ServerName<'static>, Unreachable> {
    let unfit =
        || Unreachable::new(format!("the host {} has no name that a certificate could have", target.shown_host()));
    match target.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()).map_err(|_| unfit()),
        Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(address).into())),
        Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(address).into())),
        None => Err(unfit()),
    }
}

/// An answer whose body is not read yet. Dropped, it closes the connection.
pub struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The body, which can be read as long as the answer is there.
    pub fn body_mut(&mut self) -> &mut Incoming {
        self.response.body_mut()
    }
}

/// Sends a request for the target over this connection. It has no cookies and no credentials.
pub(super) async fn send(
    connection: Box<dyn Connection>,
    target: &Target,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Unreachable> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(connection)).await.map_err(broken)?;
    let driver = tokio::spawn(async move {
        // An error here is the error of the request too, which is awaited below.
        let _ = connection.await;
    });
    let driver = AbortOnDropHandle::new(driver);
    let response = sender.send_request(addressed(target, request)?).await.map_err(broken)?;
    Ok(Answer { response, _connection: driver })
}

fn addressed(target: &Target, mut request: Request<Full<Bytes>>) -> Result<Request<Full<Bytes>>, Unreachable> {
    let unfit = |error: &dyn Display| Unreachable::new(format!("the address cannot be asked for: {error}"));
    *request.uri_mut() = target.path().parse::<Uri>().map_err(|error| unfit(&error))?;
    let host = HeaderValue::from_str(target.authority()).map_err(|error| unfit(&error))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    Ok(request)
}

/// The error of an answer that makes no sense.
pub fn broken(error: impl Display) -> Unreachable {
    Unreachable::new(format!("the server's answer is broken: {error}"))
}
