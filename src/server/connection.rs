//! One TCP connection, and its place among those that may be open.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

use super::linger::linger;

/// What every HTTP/2 client says first (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection whose client has said enough to tell the protocol. Its place is given back when it is dropped, also
/// after an upgrade.
pub(super) struct Connection {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    /// What was read to tell the protocol, to be read again.
    head: Vec<u8>,
    read_again: usize,
    /// Was anything sent to the client, who may not have read it yet?
    has_spoken: bool,
    /// Has the client closed its direction, or is the connection broken?
    is_over: bool,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// Waits for the client's first bytes, and before them for its part of the encryption. HTTP libraries have no deadline
    /// for these; the caller has to give one.
    pub(super) async fn open(
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        place: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let mut stream = match tls {
            None => Either::Left(stream),
            Some(tls) => Either::Right(Box::new(tls.accept(stream).await?)),
        };
        let mut head = [0; HTTP2_PREFACE.len()];
        let mut filled = 0;
        while filled < head.len() && HTTP2_PREFACE.starts_with(&head[..filled]) {
            match stream.read(&mut head[filled..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        let head = head[..filled].to_vec();
        Ok(Self { stream, head, read_again: 0, has_spoken: false, is_over: false, _place: place })
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Either::Left(plain) => plain,
            Either::Right(encrypted) => encrypted.get_ref().0,
        }
    }
}

/// Also after an upgrade, and whoever drops it: a plugin must get the close frame that was written for it.
impl Drop for Connection {
    fn drop(&mut self) {
        if self.has_spoken && !self.is_over {
            linger(self.socket());
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let rest = this.head.get(this.read_again..).unwrap_or_default();
        if rest.is_empty() {
            let (before, room) = (buf.filled().len(), buf.remaining());
            let polled = Pin::new(&mut this.stream).poll_read(cx, buf);
            this.is_over |= match &polled {
                Poll::Ready(Ok(())) => room > 0 && buf.filled().len() == before,
                Poll::Ready(Err(_)) => true,
                Poll::Pending => false,
            };
            return polled;
        }
        let part = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..part]);
        this.read_again += part;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.has_spoken = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.has_spoken = true;
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
