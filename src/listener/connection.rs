//! One TCP connection, encrypted or not, and how it is closed while its client still sends.
//!
//! A socket that is closed with bytes in it that nobody read is reset, and a reset makes the client's side forget what
//! it has not read yet: the answer to an upload that was refused, or the close frame that says why. So a connection on
//! which something was said is closed in our direction only, and what still comes is thrown away for a while.

use std::{
    io::{self, IoSlice},
    net::{Shutdown, TcpStream as StdStream},
    os::fd::AsFd,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, copy, sink},
    net::TcpStream,
    runtime::Handle,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;

/// How long a client may take to notice that its connection ends.
const LINGER: Duration = Duration::from_secs(10);
/// What it may send meanwhile, in bytes; more than the largest message and the largest package have.
const MAX_DISCARDED: u64 = 64 << 20;
/// Connections that linger at once. They are nobody's any longer, so they are counted here; a further one is closed.
static LINGERING: Semaphore = Semaphore::const_new(64);

/// A connection.
pub(super) struct Connection {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    /// Was anything sent to the client, who may not have read it yet?
    has_spoken: bool,
    /// Has the client closed its direction, or is the connection broken?
    is_over: bool,
}

impl Connection {
    /// Waits for the client's part of the encryption, without a deadline.
    pub(super) async fn open(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = match tls {
            None => Either::Left(stream),
            Some(tls) => Either::Right(Box::new(tls.accept(stream).await?)),
        };
        Ok(Self { stream, has_spoken: false, is_over: false })
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

/// Closes our direction of a connection that is about to be dropped, and lets the client finish in a task of its own.
fn linger(stream: &TcpStream) {
    let (Ok(permit), Ok(runtime), Ok(stream)) = (LINGERING.try_acquire(), Handle::try_current(), half_close(stream))
    else {
        return;
    };
    runtime.spawn(async move {
        let _permit = permit;
        // Whether it ends well or not, nobody is left to be told.
        let _ = timeout(LINGER, discard(stream)).await;
    });
}

/// The same socket by a descriptor of its own: what is dropped closes its own one.
fn half_close(stream: &TcpStream) -> io::Result<StdStream> {
    let stream = StdStream::from(stream.as_fd().try_clone_to_owned()?);
    stream.shutdown(Shutdown::Write)?;
    Ok(stream)
}

async fn discard(stream: StdStream) -> io::Result<u64> {
    let stream = TcpStream::from_std(stream)?;
    copy(&mut stream.take(MAX_DISCARDED), &mut sink()).await
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, room) = (buf.filled().len(), buf.remaining());
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.is_over |= match &polled {
            Poll::Ready(Ok(())) => room > 0 && buf.filled().len() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        polled
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
