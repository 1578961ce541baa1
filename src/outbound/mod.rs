//! HTTP requests to addresses that somebody gave, for packages and webhooks. Neither the address nor who answers is trusted: the
//! address may lead into the network that plugd runs in, and the server may send anything, or nothing for ever.
//!
//! ```text
//! url ──parse──► Target ──resolve, vet──► addresses ──dial, TLS──► connection ──request──► Answer
//! ```
//!
//! No environment variable changes whom plugd asks: with a proxy, the addresses that it dials would be beyond any check. Whoever
//! asks sets the deadline, and follows a redirect only by asking its [`Target`] in the same way.

mod target;
#[cfg(test)]
pub(crate) mod tests;

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
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};
use tokio_util::task::AbortOnDropHandle;

pub use self::target::Target;
use self::target::{Resolver, System};
use crate::{domain::text::shorten, tls::Trust};

/// How long one address may take to answer before the next is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// How plugd introduces itself.
const AGENT: &str = concat!("plugd/", env!("CARGO_PKG_VERSION"));

/// Bytes that the headers of an answer may have, and that are read at once.
const BUFFER: usize = 64 * 1024;

/// A connection, encrypted or not.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Characters of a host or an address that are repeated.
const MAX_SHOWN: usize = 200;

/// Why somebody could not be asked, for a person. Of the address it repeats the scheme and the host at most: the rest may be a
/// secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(String);

impl Unreachable {
    /// For this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Whom plugd may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether loopback, private, unique-local and shared addresses may be asked too, and `localhost`: for closed
    /// networks and tests. Other special addresses, link-local ones above all, never are.
    pub allow_private: bool,
    /// Whether public addresses may be asked without encryption.
    pub allow_plain: bool,
}

/// Asks servers, as far as the rules allow. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    rules: Rules,
    resolver: Arc<dyn Resolver>,
    tls: TlsConnector,
}

impl Client {
    /// A client that resolves names as the machine does, and believes the authorities that browsers trust.
    ///
    /// # Errors
    /// The TLS library can't be used.
    pub fn new(rules: Rules) -> Result<Self, Unreachable> {
        let tls = Trust::default().connector(b"http/1.1");
        let tls = tls.map_err(|error| Unreachable::new(format!("TLS can't be used: {error}")))?;
        Ok(Self { rules, resolver: Arc::new(System), tls })
    }

    /// Refuses a target of which it is known, without asking for its name, that it is never asked.
    ///
    /// # Errors
    /// Why it is not.
    pub fn check(&self, target: &Target) -> Result<(), Unreachable> {
        target::check(target, self.rules)
    }

    /// Sends a request to a target: its path and host are added. It has no deadline of its own.
    ///
    /// # Errors
    /// The rules forbid it, nobody is there, or who is does not answer in HTTP.
    pub async fn ask(&self, target: &Target, request: Request<Full<Bytes>>) -> Result<Answer, Unreachable> {
        let addresses = target::vetted(target, &*self.resolver, self.rules).await?;
        let connection = dial(target, &addresses, &self.tls).await?;
        send(connection, target, request).await
    }
}

/// Connects to one of these addresses, which are those of the target's host; nothing else is asked for others.
async fn dial(
    target: &Target,
    addresses: &[SocketAddr],
    tls: &TlsConnector,
) -> Result<Box<dyn Connection>, Unreachable> {
    let host = target.shown_host();
    let plain =
        first(addresses).await.map_err(|error| Unreachable::new(format!("no connection to {host}: {error}")))?;
    if !target.is_tls() {
        return Ok(Box::new(plain));
    }
    let name = server_name(target)?;
    let encrypted = tls.connect(name, plain).await;
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
    if let Some(address) = target.literal() {
        return Ok(address.into());
    }
    let name = ServerName::try_from(target.name().unwrap_or_default().to_owned());
    let host = target.shown_host();
    name.map_err(|_| Unreachable::new(format!("the host {host} has no name that a certificate could have")))
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
async fn send(
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

/// What somebody else chose, quoted and not too long.
fn shown(text: &str) -> String {
    format!("{:?}", shorten(text, MAX_SHOWN))
}
