//! How the leader is reached: its address, and connections to it.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};
use tokio_util::{
    either::Either,
    sync::{CancellationToken, WaitForCancellationFutureOwned},
};

use crate::tls::{self, Trust};

/// How long the leader may leave unanswered what is sent to it, or say nothing at all, until the connection ends.
const SILENCE: Duration = Duration::from_secs(10);

/// A connection to a leader, encrypted if its address says so. It breaks when it is told to: what waits for it at that moment
/// hears of it.
pub(super) struct Stream {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    broken: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// How connections are encrypted, one way for each protocol that is spoken on them.
#[derive(Clone)]
pub(super) struct Encryption {
    http2: TlsConnector,
    http1: TlsConnector,
}

impl Encryption {
    /// # Errors
    /// A file of these can't be read.
    pub(super) fn new(trust: &Trust) -> tls::Result<Self> {
        Ok(Self { http2: trust.connector(b"h2")?, http1: trust.connector(b"http/1.1")? })
    }
}

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// For calls.
    Http2,
    /// For what becomes a WebSocket.
    Http1,
}

/// Where a leader is.
#[derive(Clone)]
pub(super) struct Place {
    scheme: Scheme,
    authority: Authority,
    encryption: Encryption,
}

impl Place {
    /// The leader at this address.
    ///
    /// # Errors
    /// It is no address of a server.
    pub(super) fn new(address: &str, encryption: Encryption) -> io::Result<Self> {
        let parts = address.parse::<Uri>().map_err(io::Error::other)?.into_parts();
        match (parts.scheme, parts.authority) {
            (Some(scheme), Some(authority)) if [Scheme::HTTP, Scheme::HTTPS].contains(&scheme) => {
                Ok(Self { scheme, authority, encryption })
            }
            _ => Err(io::Error::other("it starts with neither http:// nor https://")),
        }
    }

    /// The address of what a request asks for there.
    pub(super) fn uri(&self, path: Option<&PathAndQuery>) -> Uri {
        let mut parts = Uri::default().into_parts();
        (parts.scheme, parts.authority) = (Some(self.scheme.clone()), Some(self.authority.clone()));
        parts.path_and_query = Some(path.cloned().unwrap_or(PathAndQuery::from_static("/")));
        // All three parts are there, which is all that it takes.
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// Connects, without a deadline. The connection breaks when this is cancelled.
    pub(super) async fn dial(&self, protocol: Protocol, broken: CancellationToken) -> io::Result<Stream> {
        let broken = Box::pin(broken.cancelled_owned());
        Ok(Stream { stream: self.connect(protocol).await?, broken })
    }

    async fn connect(&self, protocol: Protocol) -> io::Result<Either<TcpStream, Box<TlsStream<TcpStream>>>> {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let default = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        let stream = TcpStream::connect((host, self.authority.port_u16().unwrap_or(default))).await?;
        watch_over(&stream)?;
        if self.scheme == Scheme::HTTP {
            return Ok(Either::Left(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = match protocol {
            Protocol::Http2 => &self.encryption.http2,
            Protocol::Http1 => &self.encryption.http1,
        };
        Ok(Either::Right(Box::new(connector.connect(name, stream).await?)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.broken.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::ConnectionAborted.into())),
            Poll::Pending => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Has the kernel end the connection when the other host is silent for too long.
fn watch_over(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENCE / 2)?;
    sockopt::set_tcp_keepintvl(stream, SILENCE / 4)?;
    sockopt::set_tcp_keepcnt(stream, 2)?;
    Ok(sockopt::set_tcp_user_timeout(stream, u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX))?)
}
