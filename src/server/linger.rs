//! Connections that end while their client still sends.
//!
//! A socket that is closed with bytes in it that nobody read is reset, and a reset makes the client's side forget what
//! it has not read yet: the answer to an upload that was refused, or the close frame that says why. So a connection on
//! which something was said is closed in our direction only, and what still comes is thrown away for a while.

use std::{
    io,
    net::{Shutdown, TcpStream as StdStream},
    os::fd::AsFd,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, copy, sink},
    net::TcpStream,
    runtime::Handle,
    sync::Semaphore,
    time::timeout,
};

/// How long a client may take to notice.
const PATIENCE: Duration = Duration::from_secs(10);
/// What it may send meanwhile, in bytes; more than the largest message and the largest package have.
const MOST: u64 = 64 << 20;
/// Connections that linger at once. They have no place any longer, so they are counted here; a further one is closed.
static SLOTS: Semaphore = Semaphore::const_new(64);

/// Closes our direction of a connection that is about to be dropped, and lets the client finish in a task of its own.
pub(super) fn linger(stream: &TcpStream) {
    let (Ok(slot), Ok(runtime), Ok(stream)) = (SLOTS.try_acquire(), Handle::try_current(), half_close(stream)) else {
        return;
    };
    runtime.spawn(async move {
        let _slot = slot;
        // Whether it ends well or not, nobody is left to be told.
        let _ = timeout(PATIENCE, discard(stream)).await;
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
    copy(&mut stream.take(MOST), &mut sink()).await
}
