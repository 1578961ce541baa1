//! plugd's side: a keeper that is always there, and the runs that it is asked for.

use std::{
    fs::{File, TryLockError},
    io::{self, ErrorKind, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net, process::ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv,
        sendmsg, socketpair,
    },
    process::WaitOptions,
};
use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixStream,
    runtime::Handle,
    sync::watch,
};

use super::{
    ARGUMENT, DESCRIPTORS,
    protocol::{Instruction, Messages, Order, Report, Request, encode},
    tree,
};
use crate::{boot_time::since_boot, files};

/// How long until a keeper that can't be started is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Whether the children of this process that nobody here started are reaped.
static ADOPTS: AtomicBool = AtomicBool::new(false);

/// Has processes reaped that lost their parents and came to this one, if it is the first of its process namespace. What this
/// process starts besides the keeper would be reaped too. To be called before a keeper is started.
pub fn adopt_orphans() {
    ADOPTS.store(std::process::id() == 1, Ordering::Relaxed);
}

/// A keeper, and another one when that dies. Dropping it ends everything that it started.
#[derive(Debug)]
pub(in crate::runtime) struct Keeper(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    /// Until when what runs may go on, since the host's boot; none: for ever. Held while a keeper is told.
    until: Mutex<Option<Duration>>,
    /// Tells when it was put off, or nobody needs a keeper any more.
    put_off: Condvar,
}

/// Whether there is a keeper.
#[derive(Debug, Clone)]
enum State {
    /// Something of an earlier plugd lives.
    Locked,
    /// It is being started.
    Starting,
    /// It has ended, since what ran was not to go on.
    Over,
    /// It can be asked for runs.
    Ready(Arc<UnixStream>),
    /// Nobody needs it any more.
    Closed,
}

impl Keeper {
    /// Starts it in the background: when nothing of an earlier plugd has this lock. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The lock can't be had here, or there are no threads left.
    pub(in crate::runtime) fn start(program: PathBuf, lock: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", lock.display()));
        let lock = files::open_private(lock).map_err(named)?;
        let first = match lock.try_lock() {
            Ok(()) => State::Starting,
            Err(TryLockError::WouldBlock) => State::Locked,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        let (state, until, put_off) = (watch::Sender::new(first), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { state, until, put_off });
        let host = Host { program, lock, shared: Arc::clone(&shared), tokio: Handle::current() };
        thread::Builder::new().name("plugd-keeper".into()).spawn(move || host.keep())?;
        Ok(Self(shared))
    }

    /// See [`crate::runtime::Runtime::go_on_until`].
    pub(in crate::runtime) fn go_on_until(&self, time: Duration) {
        let mut until = self.0.until();
        if until.is_some_and(|until| until >= time) {
            return;
        }
        *until = Some(time);
        if let State::Ready(keeper) = &*self.0.state.borrow() {
            tell(keeper, time);
        }
        self.0.put_off.notify_all();
    }

    /// Waits until nothing of an earlier plugd lives.
    pub(in crate::runtime) async fn unlocked(&self) {
        // The sender is here: the wait can only end with what is waited for.
        let _ = self.0.state.subscribe().wait_for(|state| !matches!(state, State::Locked)).await;
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

    /// Whether it can be asked for runs.
    pub(in crate::runtime) fn is_ready(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Ready(_))
    }

    /// Why a run is not begun, in words.
    pub(in crate::runtime) fn obstacle(&self) -> &'static str {
        match *self.0.state.borrow() {
            State::Locked => "something that an earlier plugd started has not ended",
            State::Over => "plugd has not been told in time that what it runs may go on",
            State::Starting | State::Ready(_) | State::Closed => "no keeper answers",
        }
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

impl Drop for Keeper {
    fn drop(&mut self) {
        let _until = self.0.until();
        self.0.state.send_replace(State::Closed);
        self.0.put_off.notify_all();
    }
}

impl Shared {
    fn until(&self) -> MutexGuard<'_, Option<Duration>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        matches!(*self.state.borrow(), State::Closed)
    }

    /// False if nobody needs a keeper any more.
    fn become_state(&self, state: State) -> bool {
        self.state.send_if_modified(|now| {
            let is_open = !matches!(now, State::Closed);
            if is_open {
                *now = state;
            }
            is_open
        })
    }

    /// Waits while what runs may not go on, as long as somebody needs a keeper.
    fn await_permission(&self) {
        let mut until = self.until();
        while is_over(*until) && self.become_state(State::Over) {
            until = self.put_off.wait(until).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn is_over(until: Option<Duration>) -> bool {
    until.is_some_and(|until| until <= since_boot())
}

/// Tells a keeper until when what it runs may go on. One that is gone runs nothing, and one that does not listen any more
/// will end.
fn tell(keeper: &UnixStream, time: Duration) {
    let bytes = Instruction::GoOnUntil(time).to_bytes();
    if let Err(error) = rustix::net::send(keeper, &bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        tracing::debug!(%error, "the keeper could not be told until when what runs may go on");
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

/// Has a keeper run.
struct Host {
    program: PathBuf,
    /// Held by this descriptor and by all that are made of it.
    lock: File,
    shared: Arc<Shared>,
    tokio: Handle,
}

impl Host {
    fn keep(self) {
        if matches!(*self.shared.state.borrow(), State::Locked) {
            tracing::warn!(
                "something that an earlier plugd started still lives; nothing is started until it has ended"
            );
            if let Err(error) = self.lock.lock() {
                tracing::error!(%error, "the lock of the data folder can't be had; nothing is started");
                return;
            }
            tracing::info!("nothing of an earlier plugd lives any more");
        }
        loop {
            self.shared.await_permission();
            if !self.shared.become_state(State::Starting) {
                return;
            }
            match self.start().and_then(wait) {
                Ok(status) if self.shared.is_closed() => tracing::debug!(%status, "the keeper has ended"),
                Ok(_) if is_over(*self.shared.until()) => {
                    tracing::error!(
                        "the keeper was not told in time that what runs may go on: it has ended all plugins"
                    );
                }
                Ok(status) => {
                    tracing::error!(%status, "the keeper has ended, and all plugins with it; another one is started");
                    // One that was not killed has said why it ended; the next will most likely say the same.
                    if status.code().is_some() {
                        thread::park_timeout(RETRY);
                    }
                }
                Err(error) => {
                    tracing::error!(program = %self.program.display(), %error, "the keeper can't be started; trying again");
                    thread::park_timeout(RETRY);
                }
            }
        }
    }

    /// Starts a keeper, which can be asked for runs from then on.
    fn start(&self) -> io::Result<Child> {
        // Each message is received as one.
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let ours = net::UnixStream::from(ours);
        ours.set_nonblocking(true)?;
        let ours = {
            let _context = self.tokio.enter();
            UnixStream::from_std(ours)?
        };
        let mut command = Command::new(&self.program);
        command.arg(ARGUMENT).env_clear();
        command.stdin(theirs).stdout(self.lock.try_clone()?);
        let keeper = command.spawn()?;
        // It hears of the time before it is asked for anything.
        let until = self.shared.until();
        if let Some(time) = *until {
            tell(&ours, time);
        }
        self.shared.become_state(State::Ready(Arc::new(ours)));
        drop(until);
        Ok(keeper)
    }
}

/// Waits for the end of a keeper, and meanwhile for the ends of all that came to this process.
fn wait(mut keeper: Child) -> io::Result<ExitStatus> {
    if !ADOPTS.load(Ordering::Relaxed) {
        return keeper.wait();
    }
    loop {
        if let Some((pid, status)) = tree::reap(WaitOptions::empty())?
            && Some(pid) == tree::to_pid(keeper.id())
        {
            return Ok(ExitStatus::from_raw(status.as_raw()));
        }
    }
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
