//! The near end of the keeper: keeps it running and tells it which groups live.

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, PipeReader, PipeWriter, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    fd::OwnedFd,
    fs::{OFlags, fcntl_setfl},
    pipe::fcntl_setpipe_size,
    process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

use super::child;
use crate::runtime::{
    keeper,
    process_table::{RunKey, to_pid},
    record::LeaderRecord,
};

/// The least time between two starts of a keeper.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// Bytes that the pipe holds: some ten thousand groups, so that telling them all never waits for the keeper.
const PIPE_BYTES: usize = 1 << 20;

/// A keeper at work. It kills what it was told of and not told to forget when the last clone is dropped or plugd dies.
#[derive(Clone)]
pub(super) struct Keeper(Arc<Handle>);

/// Ends the keeper when dropped; the thread that keeps it running holds only what is inside.
struct Handle(Arc<Shared>);

struct Shared {
    program: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    line: Option<Line>,
    /// Groups that live, with the line that names each.
    watched: BTreeMap<u32, String>,
    is_closed: bool,
}

/// The way to the keeper that runs. It must not be closed while that one lives: the end of its input means that plugd
/// is dead, and it would kill everything.
struct Line {
    pipe: PipeWriter,
    keeper: OwnedFd,
    is_deaf: bool,
}

impl Keeper {
    /// Starts a keeper and keeps one running.
    ///
    /// # Errors
    /// No thread could be started.
    pub(super) fn start(program: PathBuf) -> io::Result<Self> {
        let shared = Arc::new(Shared { program, state: Mutex::default(), changed: Condvar::new() });
        let kept = Arc::clone(&shared);
        thread::Builder::new().name("plugd-keeper".into()).spawn(move || kept.keep())?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// This group lives.
    pub(super) fn watch(&self, leader: LeaderRecord, key: RunKey) {
        let line = keeper::watch_line(leader, key);
        let mut state = self.0.0.lock();
        state.say(&line);
        state.watched.insert(leader.pgid, line);
    }

    /// Nothing of this group is left.
    pub(super) fn forget(&self, pgid: u32) {
        let mut state = self.0.0.lock();
        if state.watched.remove(&pgid).is_some() {
            state.say(&keeper::forget_line(pgid));
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("program", &self.0.0.program).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_closed = true;
        state.line = None;
        self.0.changed.notify_all();
    }
}

impl State {
    /// Says it to the keeper that runs. One that doesn't listen is killed: the next is told everything.
    fn say(&mut self, text: &str) {
        let Some(line) = self.line.as_mut().filter(|line| !line.is_deaf) else { return };
        if let Err(error) = line.pipe.write_all(text.as_bytes()) {
            tracing::warn!(%error, "the keeper does not listen");
            line.is_deaf = true;
            let _ = pidfd_send_signal(&line.keeper, Signal::KILL);
        }
    }

    /// Tells a new keeper what lives, and keeps the line to it. The pipe comes back if that fails.
    fn brief(&mut self, mut pipe: PipeWriter, pid: u32) -> Result<(), (PipeWriter, io::Error)> {
        let told = self.watched.values().try_for_each(|line| pipe.write_all(line.as_bytes()));
        match told.and_then(|()| open(pid)) {
            Ok(_) if self.is_closed => Ok(()),
            Ok(keeper) => {
                self.line = Some(Line { pipe, keeper, is_deaf: false });
                Ok(())
            }
            Err(error) => Err((pipe, error)),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self) {
        while !self.lock().is_closed {
            match self.spawn().and_then(|mut keeper| keeper.wait()) {
                Ok(status) if self.lock().is_closed => tracing::debug!(%status, "the keeper has ended"),
                Ok(status) => tracing::warn!(%status, "the keeper has ended; another one is started"),
                Err(error) => tracing::error!(program = %self.program.display(), %error, "cannot start the keeper"),
            }
            let mut state = self.lock();
            state.line = None;
            drop(self.changed.wait_timeout_while(state, RESTART_PAUSE, |state| !state.is_closed));
        }
    }

    /// Starts a keeper and tells it what lives.
    fn spawn(&self) -> io::Result<Child> {
        let (reader, pipe) = mk_pipe()?;
        let mut keeper = self.command(reader).spawn()?;
        let mut state = self.lock();
        match state.brief(pipe, keeper.id()) {
            Ok(()) => Ok(keeper),
            Err((pipe, error)) => {
                drop(state);
                keeper.kill().and_then(|()| keeper.wait())?;
                drop(pipe);
                Err(error)
            }
        }
    }

    fn command(&self, stdin: PipeReader) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("keeper").env_clear().stdin(stdin).stdout(Stdio::null());
        child::detach(&mut command);
        command
    }
}

fn open(pid: u32) -> io::Result<OwnedFd> {
    let pid = to_pid(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

fn mk_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // A smaller pipe only means that a busy keeper is replaced earlier.
    let _ = fcntl_setpipe_size(&writer, PIPE_BYTES);
    fcntl_setfl(&writer, OFlags::NONBLOCK)?;
    Ok((reader, writer))
}
