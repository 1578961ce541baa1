//! The inits of runs, as plugd has them: asked of the keeper, given orders, heard.

use std::{
    io::{self, ErrorKind, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net,
    },
    sync::Arc,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg},
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixStream,
};

use super::{
    DESCRIPTORS,
    client::{Shared, State},
    protocol::{Instruction, Messages, Order, Report, Request, encode},
};

/// Whom inits are asked of. It keeps no keeper: who asks while nobody needs that any more is told so.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Inits(Arc<Shared>);

impl Inits {
    pub(super) fn of(keeper: Arc<Shared>) -> Self {
        Self(keeper)
    }

    /// Waits until nothing of an earlier plugd lives. False if nobody needs a keeper any more.
    pub(in crate::runtime) async fn unlocked(&self) -> bool {
        let mut state = self.0.state.subscribe();
        let state = state.wait_for(|state| !matches!(state, State::Locked)).await;
        state.is_ok_and(|state| !matches!(*state, State::Closed))
    }

    /// Why no run can be begun now, in words; none where one can.
    pub(in crate::runtime) fn obstacle(&self) -> Option<&'static str> {
        match *self.0.state.borrow() {
            State::Locked => Some("something that an earlier plugd started has not ended"),
            State::Over => Some("plugd has not been told in time that what it runs may go on"),
            State::Starting | State::Closed => Some("there is no keeper"),
            State::Ready(_) => None,
        }
    }

    /// Asks for the init of a run, whose processes write to these; in namespaces of its own, if it is to shut them in. Waits
    /// for a keeper, for ever if need be.
    ///
    /// # Errors
    /// The keeper has just died, or there are no descriptors left.
    pub(in crate::runtime) async fn init(&self, request: Request, output: [OwnedFd; 2]) -> io::Result<Init> {
        let (ours, theirs) = net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let control = UnixStream::from_std(ours)?;
        let [stdout, stderr] = &output;
        self.ask(request, &[stdout.as_fd(), stderr.as_fd(), theirs.as_fd()]).await?;
        // What is closed here is open in the run only: its end can be seen.
        drop((output, theirs));
        Ok(Init { control, reports: Messages::new() })
    }

    async fn ask(&self, request: Request, descriptors: &[BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
        loop {
            let keeper = self.ready().await?;
            match keeper.async_io(Interest::WRITABLE, || send(&keeper, request, descriptors)).await {
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                    self.forget(&keeper);
                }
                asked => return asked,
            }
        }
    }

    /// This keeper is gone: the next one is waited for.
    fn forget(&self, gone: &Arc<UnixStream>) {
        self.0.state.send_if_modified(|state| {
            let is_gone = matches!(state, State::Ready(keeper) if Arc::ptr_eq(keeper, gone));
            if is_gone {
                *state = State::Starting;
            }
            is_gone
        });
    }

    async fn ready(&self) -> io::Result<Arc<UnixStream>> {
        let mut state = self.0.state.subscribe();
        let ready = state.wait_for(|state| matches!(state, State::Ready(_) | State::Closed)).await;
        match ready.as_deref() {
            Ok(State::Ready(keeper)) => Ok(Arc::clone(keeper)),
            _ => Err(io::Error::new(ErrorKind::NotConnected, "plugd is ending")),
        }
    }
}

/// Asks a keeper for an init.
fn send(keeper: &UnixStream, request: Request, descriptors: &[BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    if !message.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("there is no room for descriptors"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(keeper, &[IoSlice::new(&Instruction::Make(request).to_bytes())], &mut message, flags)?;
    Ok(())
}

/// The init of a run. Dropping it kills everything of the run.
#[derive(Debug)]
pub(in crate::runtime) struct Init {
    control: UnixStream,
    reports: Messages<Report>,
}

impl Init {
    /// Gives an order. That the init is gone, and so the run, is seen by the end of its reports.
    pub(in crate::runtime) async fn order(&mut self, order: &Order) {
        match encode(order) {
            Ok(line) => drop(self.control.write_all(&line).await),
            Err(error) => tracing::error!(%error, "an order can't be given"),
        }
    }

    /// Whether it lives, and has said nothing yet.
    pub(in crate::runtime) fn is_idle(&self) -> bool {
        // Asked of the kernel: what tokio knows of a socket may be a moment old.
        let heard = recv(&self.control, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        heard.is_err_and(|error| error == Errno::AGAIN)
    }

    /// The next report; `None` when nothing of the run is left. A wait that is given up loses no report.
    ///
    /// # Errors
    /// It says what no init says.
    pub(in crate::runtime) async fn report(&mut self) -> io::Result<Option<Report>> {
        let mut piece = [0; 512];
        loop {
            if let Some(report) = self.reports.next() {
                return Ok(Some(report));
            }
            self.control.readable().await?;
            match self.control.try_read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(len) => self.reports.push(piece.get(..len).unwrap_or_default())?,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                // The other end was closed with orders unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}
