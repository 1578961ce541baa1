//! One connection of a client, encrypted or not: HTTP on it, and how it is closed while its client still sends.
//!
//! A socket that is closed with bytes in it that nobody read is reset, and a reset makes the client's side forget what
//! it has not read yet: the answer to an upload that was refused, or the close frame that says why. So a connection on
//! which something was said is closed in our direction only, and what still comes is dropped for a while.

use std::{
    convert::Infallible,
    io::{self, IoSlice},
    net::{Shutdown, TcpStream as StdStream},
    os::fd::AsFd,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::ConnectInfo,
    http::{Request, Response, StatusCode},
    response::IntoResponse,
};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, copy, sink},
    net::TcpStream,
    runtime::Handle,
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::either::Either;
use tracing::debug;

use crate::telemetry::metrics::Held;

use super::{Options, Shared};

/// What a client may send on one HTTP/2 stream before anybody reads it, in bytes. So little that the uploads of a token that
/// run, and all that may wait for their turn (36, see `grpc::transfers`), leave room for other calls of their connection.
const STREAM_WINDOW: u32 = 192 << 10;
/// The same for a whole connection: streams that are not read must not stall the others.
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Requests that a client has given up before anybody saw them, a connection. A client with short deadlines gives up many,
/// and its other streams must not end for that; each costs as little as one that is served.
const MAX_GIVEN_UP: usize = 1024;

/// hyper accepts no lower limit for the head of an HTTP/1.1 request.
const MIN_HEADER_BYTES: usize = 8 << 10;

/// How connections are served.
pub(super) type Builder = auto::Builder<TokioExecutor>;
/// How long a client may take to notice that its connection ends.
const LINGER: Duration = Duration::from_secs(10);
/// What it may send meanwhile, in bytes; more than the largest message and the largest package have.
const MAX_DISCARDED: u64 = 64 << 20;
/// Connections that linger at once. They are no longer counted elsewhere; a further one is closed.
static LINGERING: Semaphore = Semaphore::const_new(64);

pub(super) fn builder(options: &Options) -> Builder {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(usize::try_from(options.max_header_bytes).unwrap_or(usize::MAX).max(MIN_HEADER_BYTES));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .max_concurrent_streams(options.max_streams)
        .max_pending_accept_reset_streams(MAX_GIVEN_UP)
        .max_header_list_size(options.max_header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}

/// Serves a connection to its end, or until it is upgraded. From `shutdown` on, or once it was idle for too long, it takes
/// no further request; if it asks for nothing in time, it is dropped.
pub(super) async fn serve(server: Arc<Shared>, stream: TcpStream, new: OwnedSemaphorePermit) {
    let _open = Held::one_of(&server.open);
    let peer = match stream.peer_addr() {
        Ok(peer) => ConnectInfo(peer),
        Err(error) => return debug!(%error, "a connection ended before it began"),
    };
    let opened = timeout(server.options.header_timeout, Connection::open(stream, server.acceptor()));
    let Some(opened) = server.shutdown.run_until_cancelled(opened).await else { return };
    let connection = match opened {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return debug!(%error, "a connection could not be encrypted"),
        Err(_) => return debug!("a connection was not encrypted in time"),
    };
    let requests = Arc::new(Requests::new(new));
    let service = service_fn(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        answer(Arc::clone(&server), requests.begin(), request)
    });
    let mut served = pin!(server.builder.serve_connection_with_upgrades(TokioIo::new(connection), service));
    let ended = tokio::select! {
        ended = &mut served => ended,
        // It should take no further request.
        _ = server.shutdown.run_until_cancelled(requests.idle(&server.options)) => {
            if requests.begun.load(Ordering::Relaxed) == 0 {
                return debug!("a connection asked for nothing");
            }
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(error, "a connection ended badly");
    }
}

/// What the application answers. The request is open until its answer is sent or given up.
async fn answer(
    server: Arc<Shared>,
    open: Open,
    request: Request<Incoming>,
) -> Result<Response<Answering>, Infallible> {
    let answer = match open.0.has_place(&server).await {
        true => (server.app.0)(request.map(Body::new)).await,
        false => {
            let why = "too many connections are open (--max-connections): try again later\n";
            (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
        }
    };
    Ok(answer.map(|body| Answering { body, _open: open }))
}

/// The body of an answer, whose request is open as long as this is there.
struct Answering {
    body: Body,
    _open: Open,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The requests of one connection.
struct Requests {
    begun: AtomicU64,
    open: AtomicUsize,
    /// Held while the connection is new.
    new: Mutex<Option<OwnedSemaphorePermit>>,
    /// Held from then on.
    place: OnceCell<OwnedSemaphorePermit>,
}

impl Requests {
    fn new(new: OwnedSemaphorePermit) -> Self {
        let new = Mutex::new(Some(new));
        Self { begun: AtomicU64::new(0), open: AtomicUsize::new(0), new, place: OnceCell::new() }
    }

    /// A request has come. It is open until what this returns is dropped.
    fn begin(self: &Arc<Self>) -> Open {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Waits until this is no longer a new connection; says whether it came to that in time.
    async fn has_place(&self, server: &Shared) -> bool {
        let placed = self.place.get_or_try_init(async || {
            let place = timeout(server.options.place_timeout, Arc::clone(&server.places).acquire_owned()).await;
            let place = place.ok().and_then(Result::ok).ok_or(())?;
            self.new.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok::<_, ()>(place)
        });
        placed.await.is_ok()
    }

    /// Waits until the first request has not come in time, or none was open for long; for that, at most twice as long:
    /// requests are many, and none of them should have to set a timer.
    async fn idle(&self, options: &Options) {
        let (mut limit, mut before) = (options.header_timeout, 0);
        loop {
            sleep(limit).await;
            let begun = self.begun.load(Ordering::Relaxed);
            if begun == before && self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            (limit, before) = (options.idle_timeout, begun);
        }
    }
}

struct Open(Arc<Requests>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    /// Something was sent to the client, who may not have read it yet.
    has_spoken: bool,
}

impl Connection {
    /// Waits for the client's part of the encryption, without a deadline.
    async fn open(stream: TcpStream, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = match tls {
            None => Either::Left(stream),
            Some(tls) => Either::Right(Box::new(tls.accept(stream).await?)),
        };
        Ok(Self { stream, has_spoken: false })
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Either::Left(plain) => plain,
            Either::Right(encrypted) => encrypted.get_ref().0,
        }
    }
}

/// A connection lingers after an upgrade too, whichever module drops it: a plugin must get the close frame that was written
/// for it.
impl Drop for Connection {
    fn drop(&mut self) {
        if self.has_spoken {
            linger(self.socket());
        }
    }
}

/// Closes our direction of a connection that is about to be dropped, and lets the client finish in a task of its own. Where
/// the client has finished already, that ends at once.
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
        Pin::new(&mut self.stream).poll_read(cx, buf)
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
