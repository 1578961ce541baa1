//! plugd's side: a keeper that is always there.

use std::{
    fs::{File, TryLockError},
    io,
    os::unix::{net, process::ExitStatusExt},
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
    net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair},
    process::WaitOptions,
};
use tokio::{net::UnixStream, runtime::Handle, sync::watch};

use super::{ARGUMENT, Inits, protocol::Instruction, tree};
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
pub(super) struct Shared {
    pub(super) state: watch::Sender<State>,
    /// Until when what runs may go on, since the host's boot; none: for ever. Held while a keeper is told.
    until: Mutex<Option<Duration>>,
    /// Tells when it was put off, or nobody needs a keeper any more.
    put_off: Condvar,
}

/// Whether there is a keeper.
#[derive(Debug, Clone)]
pub(super) enum State {
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

    /// Whom inits are asked of.
    pub(in crate::runtime) fn inits(&self) -> Inits {
        Inits::of(Arc::clone(&self.0))
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
